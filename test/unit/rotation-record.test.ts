// The attempt record's text: what is written is read back, whatever it is; what is not ours is refused.

import fc from 'fast-check';
import { Failure, stopReasons } from '../../src/rotation/failure.ts';
import {
  type AttemptRecord,
  formatRecord,
  isRecord,
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
const known = { rotationId: text, doubtful: fc.constant(true as const), earlier: fc.array(text) };
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
    { ...common, ...known, phase: fc.constantFrom('claimed' as const, 'released' as const) },
    { requiredKeys: [...requiredKeys] },
  ),
  fc.record({ ...common, phase: fc.constant('resetting' as const), rotationId: text }),
  fc.record(
    {
      ...common,
      ...known,
      phase: fc.constant('stopped' as const),
      reason: fc.constantFrom(...stopReasons),
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

test('any other text is refused as what it is', () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.json()), (other) => {
      expect(reasonOf(() => parseRecord(other))).toBe('record-invalid');
    }),
  );
});

test('a newer release’s record is known for a record, and refused', () => {
  const newer = { format: 'thingspace-rotator/attempt/2' };

  expect(isRecord(newer)).toBe(true);
  expect(reasonOf(() => parseRecord(JSON.stringify(newer)))).toBe('record-invalid');
  expect(isRecord({ username: 'UWSFLEET' })).toBe(false);
});

function reasonOf(parse: () => unknown): string {
  try {
    parse();
    return 'nothing was refused';
  } catch (error) {
    return error instanceof Failure ? error.reason : String(error);
  }
}
