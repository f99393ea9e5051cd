// The attempt record's text: what is written is read back, whatever it is; what is not ours is
// refused.

import fc from 'fast-check';
import { Failure, stopReasons } from '../../src/rotation/failure.ts';
import {
  type AttemptRecord,
  closings,
  formatRecord,
  parseRecord,
} from '../../src/rotation/record.ts';

const text = fc.string({ minLength: 1 });
const common = {
  sequence: fc.maxSafeNat(),
  basis: text,
  holder: fc.record(
    { id: text, host: text, boot: text, namespace: text, pid: fc.nat(), startedAt: text },
    { requiredKeys: ['id'] },
  ),
  writtenAtMs: fc.maxSafeNat(),
  leaseMs: fc.maxSafeNat(),
  loginsSpent: fc.nat(3),
};
const open = fc.record(
  {
    rotationId: text,
    basis: text,
    startedAtMs: fc.maxSafeNat(),
    settleLeftMs: fc.maxSafeNat(),
    keyDigest: text,
    verified: fc.constant(true as const),
  },
  { requiredKeys: ['rotationId', 'basis', 'startedAtMs', 'settleLeftMs'] },
);
const closed = fc.record(
  {
    rotationId: text,
    as: fc.constantFrom(...closings),
    versionId: text,
    replaced: text,
    sinceMs: fc.maxSafeNat(),
    keyDigest: text,
  },
  { requiredKeys: ['rotationId', 'as'] },
);
const known = { open, history: fc.array(closed) };
const requiredKeys = [
  'sequence',
  'basis',
  'holder',
  'writtenAtMs',
  'leaseMs',
  'loginsSpent',
  'phase',
] as const;

const anyRecord: fc.Arbitrary<AttemptRecord> = fc.oneof(
  fc.record(
    { ...common, ...known, phase: fc.constant('claimed' as const), planned: text },
    { requiredKeys: [...requiredKeys] },
  ),
  fc.record(
    { ...common, ...known, phase: fc.constant('released' as const) },
    { requiredKeys: [...requiredKeys] },
  ),
  fc.record({ ...common, ...known, phase: fc.constant('resetting' as const) }),
  fc.record(
    {
      ...common,
      ...known,
      phase: fc.constant('stopped' as const),
      reason: fc.constantFrom(...stopReasons),
      refused: text,
    },
    { requiredKeys: [...requiredKeys, 'reason'] },
  ),
) as fc.Arbitrary<AttemptRecord>;

test('a record that is written is read back as it was', () => {
  fc.assert(
    fc.property(anyRecord, (record) => {
      expect(parseRecord(formatRecord(record))).toEqual(record);
    }),
  );
});

test('two processes never write the same record', () => {
  fc.assert(
    fc.property(anyRecord, text, (record, id) => {
      fc.pre(id !== record.holder.id);

      expect(formatRecord({ ...record, holder: { ...record.holder, id } })).not.toBe(
        formatRecord(record),
      );
    }),
  );
});

test('the same record is the same text, so that writing it again changes nothing', () => {
  fc.assert(
    fc.property(anyRecord, (record) => {
      expect(formatRecord(parseRecord(formatRecord(record)))).toBe(formatRecord(record));
    }),
  );
});

test('a record without one of its fields is refused', () => {
  fc.assert(
    fc.property(anyRecord, fc.constantFrom(...requiredKeys, 'format'), (record, key) => {
      const { [key]: _, ...rest } = JSON.parse(formatRecord(record)) as Record<string, unknown>;

      expect(reasonOf(() => parseRecord(JSON.stringify(rest)))).toBe('record-invalid');
    }),
  );
});

const legacy = {
  format: 'thingspace-rotator/attempt/1',
  sequence: 4,
  basis: 'v1',
  holder: { id: 'h1' },
  writtenAtMs: 5,
  leaseMs: 0,
  loginsSpent: 1,
};
const openRotation = { rotationId: 'r', basis: 'v', startedAtMs: 1, settleLeftMs: 0 };
const closedRotation = {
  rotationId: 'r',
  as: 'rotated',
  versionId: 'w',
  replaced: 'v',
  sinceMs: 1,
};

test.each<[string, object]>([
  ['"phase" is unknown', { phase: 'sleeping' }],
  ['"sequence" is not a count', { sequence: -1 }],
  ['"leaseMs" is not a count', { leaseMs: 0.5 }],
  ['"loginsSpent" is not a count', { loginsSpent: '1' }],
  ['"writtenAtMs" is not a count', { writtenAtMs: null }],
  ['"basis" is missing', { basis: '' }],
  ['"holder" is missing', { holder: 'h1' }],
  ['"holder" is missing', { holder: { id: 7 } }],
  ['"open" is not an open rotation', { phase: 'resetting', open: undefined }],
  ['"open" is not an open rotation', { open: 'r' }],
  ['"open" is not an open rotation', { open: { ...openRotation, rotationId: '' } }],
  ['"open" is not an open rotation', { open: { ...openRotation, basis: 7 } }],
  ['"open" is not an open rotation', { open: { ...openRotation, startedAtMs: -1 } }],
  ['"open" is not an open rotation', { open: { ...openRotation, settleLeftMs: 'x' } }],
  ['"open" is not an open rotation', { open: { ...openRotation, verified: false } }],
  ['"open" is not an open rotation', { open: { ...openRotation, keyDigest: 7 } }],
  ['"open" is not an open rotation', { open: [openRotation] }],
  ['"open" is not an open rotation', { open: null }],
  ['"history" is not a list of closed rotations', { history: {} }],
  ['"history" is not a list of closed rotations', { history: ['r'] }],
  ['"history" is not a list of closed rotations', { history: [null] }],
  ['"history" is not a list of closed rotations', { history: [{ ...closedRotation, as: 'x' }] }],
  [
    '"history" is not a list of closed rotations',
    { history: [{ ...closedRotation, rotationId: 1 }] },
  ],
  [
    '"history" is not a list of closed rotations',
    { history: [{ ...closedRotation, versionId: 1 }] },
  ],
  [
    '"history" is not a list of closed rotations',
    { history: [{ ...closedRotation, replaced: '' }] },
  ],
  [
    '"history" is not a list of closed rotations',
    { history: [{ ...closedRotation, sinceMs: 'x' }] },
  ],
  [
    '"history" is not a list of closed rotations',
    { history: [{ ...closedRotation, keyDigest: '' }] },
  ],
  ['"planned" is not a text', { planned: 7 }],
  ['"refused" is not a text', { refused: '' }],
  ['"reason" is unknown', { phase: 'stopped', refused: 'v1', reason: 'tired' }],
])('a damaged record is refused: %s', (problem, damage) => {
  const sound = { ...legacy, format: 'thingspace-rotator/attempt/2', phase: 'released' };
  expect(reasonOf(() => parseRecord(JSON.stringify(sound)))).toBe('nothing was refused');

  expect(() => parseRecord(JSON.stringify({ ...sound, ...damage }))).toThrow(problem);
});

test('any other text is refused', () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.json()), (other) => {
      expect(reasonOf(() => parseRecord(other))).toBe('record-invalid');
    }),
  );
});

test('a record of a newer release is refused', () => {
  const newer = { format: 'thingspace-rotator/attempt/3' };

  expect(reasonOf(() => parseRecord(JSON.stringify(newer)))).toBe('record-invalid');
});

test.each([
  ['no JSON', '{', 'it is not JSON'],
  ['a list', '[]', 'it is not an object'],
  ['null', 'null', 'it is not an object'],
  ['another format', '{"format":"x"}', 'its "format" is not "thingspace-rotator/attempt/2"'],
])('the failure says what is wrong with the text: %s', (_, content, what) => {
  expect(() => parseRecord(content)).toThrow(
    new Failure(
      'record-invalid',
      `the version under ROTATION is not an attempt record of this release: ${what}`,
    ),
  );
});

const legacyOpen = {
  rotationId: 'r1',
  basis: 'v1',
  startedAtMs: 5,
  settleLeftMs: 600_000,
  isLegacy: true,
};
const ten = Array.from({ length: 10 }, (_, index) => `r${index}`);
const abandoned = (rotationId: string) => ({ rotationId, as: 'abandoned' });

test.each<[string, object, object]>([
  [
    'a reset that 0.1 may have sent is open',
    { phase: 'resetting', rotationId: 'r1' },
    { phase: 'resetting', open: legacyOpen, history: [] },
  ],
  [
    'a doubt that 0.1 released is open',
    { phase: 'released', rotationId: 'r1', doubtful: true, earlier: ['r1', 'r0', 7, ''] },
    { phase: 'released', open: legacyOpen, history: [abandoned('r0')] },
  ],
  [
    'a conflict of 0.1 names a version that no reset began with',
    { phase: 'stopped', rotationId: 'r1', reason: 'store-conflict' },
    {
      phase: 'stopped',
      reason: 'store-conflict',
      refused: 'v1',
      open: { ...legacyOpen, basis: '00000000-0000-0000-0000-000000000000' },
      history: [],
    },
  ],
  [
    'a password that 0.1 could not verify is open',
    { phase: 'stopped', rotationId: 'r1', reason: 'verify-refused' },
    { phase: 'stopped', reason: 'verify-refused', refused: 'v1', open: legacyOpen, history: [] },
  ],
  [
    'a password that 0.1 lost is open',
    { phase: 'stopped', rotationId: 'r1', reason: 'password-lost' },
    { phase: 'stopped', reason: 'password-lost', refused: 'v1', open: legacyOpen, history: [] },
  ],
  [
    'a login that was rejected before the reset leaves nothing open',
    { phase: 'stopped', rotationId: 'r1', reason: 'login-refused' },
    { phase: 'stopped', reason: 'login-refused', refused: 'v1', history: [abandoned('r1')] },
  ],
  [
    'a doubt about no rotation is none',
    { phase: 'released', doubtful: true, earlier: 'r0' },
    { phase: 'released', history: [] },
  ],
  [
    'a reason of another phase is none',
    { phase: 'released', rotationId: 'r1', reason: 'verify-refused' },
    { phase: 'released', reason: 'verify-refused', history: [abandoned('r1')] },
  ],
  [
    'a rotation that 0.1 released without a doubt came to nothing, and its version is not foreign',
    { phase: 'released', rotationId: 'r1', earlier: ['r0'] },
    { phase: 'released', history: [abandoned('r1'), abandoned('r0')] },
  ],
  [
    'eight of the earlier rotations are kept',
    { phase: 'released', earlier: ten },
    { phase: 'released', history: ten.slice(0, 8).map(abandoned) },
  ],
])('records of version 0.1: %s', (_, fields, expected) => {
  const { format: _format, ...common } = legacy;

  expect(parseRecord(JSON.stringify({ ...legacy, ...fields }))).toEqual({ ...common, ...expected });
});

test('a damaged record of version 0.1 is refused', () => {
  expect(() => parseRecord(JSON.stringify({ ...legacy, phase: 'sleeping' }))).toThrow(
    '"phase" is unknown',
  );
});

function reasonOf(parse: () => unknown): string {
  try {
    parse();
    return 'nothing was refused';
  } catch (error) {
    return error instanceof Failure ? error.reason : String(error);
  }
}
