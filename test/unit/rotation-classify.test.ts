// Every row of the decision table of docs/ROTATION.md (rule 2), the checks for drift (rule 5), and
// what ends a suspension: what the labels, the newest record, the versions and the owner's process
// mean together.

import {
  classify,
  hasValidLease,
  questionsOf,
  reasonOf,
  settleLeftMs,
} from '../../src/rotation/classify.ts';
import type { LastRotation } from '../../src/rotation/event.ts';
import type { SecretVersion } from '../../src/rotation/ports.ts';
import type { AttemptRecord, OpenRotation } from '../../src/rotation/record.ts';
import {
  type Details,
  type Evidence,
  type Request,
  settledAfterMs,
} from '../../src/rotation/state.ts';
import { Secret } from '../../src/secret.ts';

const timing = { requestTimeoutMs: 10_000, resetTimeoutMs: 60_000, settleMs: 120_000 };
const request: Request = {
  account: 'fleet-east',
  secretId: 'secret',
  purpose: 'rotate',
  force: false,
  impatient: false,
  trigger: { kind: 'schedule' },
  policy: { rotateAfterDays: 60, maxAgeDays: 90 },
  timing,
};

const version = (versionId: string, password: string): SecretVersion => ({
  versionId,
  stages: [],
  createdAtMs: 0,
  document: new Secret('{}'),
  credentials: {
    username: 'UWSFLEET',
    password: new Secret(password),
    clientId: 'client',
    clientSecret: new Secret('secret'),
  },
});

const open: OpenRotation = {
  rotationId: 'r1',
  basis: 'v1',
  startedAtMs: 5,
  settleLeftMs: settledAfterMs(timing),
};
const common = {
  sequence: 7,
  basis: 'v1',
  holder: { id: 'h1' },
  writtenAtMs: 0,
  leaseMs: 90_000,
  loginsSpent: 1,
};
const claimed: AttemptRecord = { ...common, phase: 'claimed' };
const resetting: AttemptRecord = { ...common, phase: 'resetting', open };
const released: AttemptRecord = { ...common, phase: 'released', leaseMs: 0 };
const rotatedBefore = {
  rotationId: 'r0',
  as: 'rotated',
  versionId: 'r0',
  replaced: 'v0',
  sinceMs: 3,
} as const;
const closedBefore: AttemptRecord = { ...released, history: [rotatedBefore] };

const [running, over, settled] = [1_000, 100_000, 500_000];

type Facts = {
  readonly record?: AttemptRecord | null;
  readonly ageMs?: number;
  readonly current?: SecretVersion;
  readonly evidence?: Partial<Evidence>;
  readonly versions?: readonly SecretVersion[];
  readonly details?: Partial<Details>;
  readonly request?: Partial<Request>;
};

/** The finding for these facts; versions that are not named do not exist. */
/** A rotation as the audit log has it before the verification. */
const promoted = (id: string, atMs: number): LastRotation => ({
  rotationId: id,
  versionId: id,
  secretId: 'secret',
  atMs,
  isVerified: false,
});

function found({
  record = resetting,
  ageMs = over,
  current = version('v1', 'old'),
  ...facts
}: Facts) {
  const evidence: Evidence = {
    atMs: 1_000_000,
    current,
    record: record && { record, ageMs },
    pending: null,
    liveness: 'unknown',
    openIntents: [],
    lastRotation: null,
    ...facts.evidence,
  };
  const { rotationId, restores, versionIds } = questionsOf(evidence, request);
  const exist = new Map([current, ...(facts.versions ?? [])].map((one) => [one.versionId, one]));
  const recoveryId = rotationId === null ? null : `${rotationId}>${current.versionId}`;
  const restoreId = restores === null ? null : `${restores}>${current.versionId}`;
  const wanted = [...versionIds, recoveryId, restoreId].filter((id) => id !== null);
  const details: Details = {
    versions: new Map(wanted.map((id) => [id, exist.get(id) ?? null])),
    newer: null,
    recoveryId,
    restoreId,
    receipt: null,
    answer: null,
    password: null,
    sinceMs: 0,
    ...facts.details,
  };
  return classify(evidence, details, { ...request, ...facts.request });
}

const stored = version('r1', 'new');
const receipt = { place: 'receipts/r1.age', body: null };
const fromReceipt = { password: new Secret('new') };

describe('a rotation that is open', () => {
  test.each<[string, Facts, object]>([
    [
      'new password known, current is the new one by version: verify',
      { current: stored },
      { finding: 'verify', isVerified: false },
    ],
    [
      'new password known, current is the new one by value: verify',
      { current: version('edited', 'new'), versions: [stored] },
      { finding: 'verify' },
    ],
    [
      'verified by testSecret: nothing but the closing is left',
      { record: { ...resetting, open: { ...open, verified: true } }, current: stored },
      { finding: 'verify', isVerified: true },
    ],
    [
      'new password stored, current is the basis: make it current',
      { versions: [stored] },
      { finding: 'write', write: { versionId: 'r1', isStored: true }, isGiven: false },
    ],
    [
      'new password in a receipt that opens, current is the basis: store it',
      { details: fromReceipt },
      { finding: 'write', write: { versionId: 'r1', isStored: false }, isGiven: false },
    ],
    [
      'new password stored, another key of the secret was edited: write it over the edited version',
      { current: version('edited', 'old'), versions: [stored, version('v1', 'old')] },
      { finding: 'write', write: { versionId: 'r1>edited', isStored: false } },
    ],
    [
      'the same, after a crash between store and promote: make that version current',
      {
        current: version('edited', 'old'),
        versions: [stored, version('v1', 'old'), version('r1>edited', 'new')],
      },
      { finding: 'write', write: { versionId: 'r1>edited', isStored: true } },
    ],
    [
      'new password known, current holds another password: one login with the current one decides',
      { current: version('by-hand', 'other'), versions: [stored, version('v1', 'old')] },
      { finding: 'test', ifAccepted: 'superseded', ifRefused: 'store-conflict' },
    ],
    [
      'sealed receipt: no login, whatever is current',
      { details: { receipt }, ageMs: settled },
      { finding: 'sealed', place: 'receipts/r1.age' },
    ],
    [
      'sealed receipt, and another password is current: no login',
      { details: { receipt }, ageMs: settled, current: version('by-hand', 'other') },
      { finding: 'sealed' },
    ],
    [
      'unreadable response kept: no login',
      { details: { answer: { versionId: 'a1' } }, ageMs: settled },
      { finding: 'unreadable', versionId: 'a1' },
    ],
    [
      'nothing known, the settle time is not over: wait',
      {},
      { finding: 'wait', forMs: settledAfterMs(timing) - over },
    ],
    [
      'nothing known, the settle time is over, the old password is current: one login decides',
      { ageMs: settled },
      { finding: 'test', ifAccepted: 'not-applied', ifRefused: 'password-lost' },
    ],
    [
      'nothing known, another password is current: one login decides',
      { ageMs: settled, current: version('by-hand', 'other'), versions: [version('v1', 'old')] },
      { finding: 'test', ifAccepted: 'superseded', ifRefused: 'password-lost' },
    ],
    [
      'the lease is valid: another process works on it',
      { ageMs: running, versions: [stored] },
      { finding: 'busy', forMs: common.leaseMs - running },
    ],
    [
      'the owner has ended: its lease does not matter',
      { ageMs: running, versions: [stored], evidence: { liveness: 'gone' } },
      { finding: 'write' },
    ],
    [
      'an operator does not wait for the lease',
      { ageMs: running, versions: [stored], request: { impatient: true } },
      { finding: 'write' },
    ],
    [
      'an operator typed the password: it is proven before it is written',
      {
        request: {
          impatient: true,
          receipt: { ...receipt, rotationId: 'r1', password: new Secret('new') },
        },
      },
      { finding: 'write', isGiven: true, write: { isStored: false } },
    ],
    [
      'a receipt of another rotation proves nothing',
      {
        ageMs: settled,
        request: { receipt: { ...receipt, rotationId: 'r9', password: new Secret('new') } },
      },
      { finding: 'test' },
    ],
  ])('%s', (_, facts, finding) => {
    expect(found(facts)).toMatchObject(finding);
  });

  test('a process that runs is never overtaken, whatever the clock says', () => {
    const evidence = { liveness: 'alive' } as const;

    expect(found({ ageMs: settled, evidence })).toMatchObject({ finding: 'wait', forMs: 1_000 });
  });

  test('a later record carries on the settle time that was left', () => {
    const left: AttemptRecord = { ...released, open: { ...open, settleLeftMs: 30_000 } };
    const evidence = { record: { record: left, ageMs: 10_000 }, liveness: 'unknown' } as Evidence;

    expect(settleLeftMs(evidence, timing)).toBe(20_000);
  });
});

describe('no rotation is open', () => {
  test.each<[string, Facts, object]>([
    ['no record', { record: null }, { finding: 'closed' }],
    ['released', { record: released }, { finding: 'closed' }],
    ['claimed, the lease valid', { record: claimed, ageMs: running }, { finding: 'busy' }],
    ['claimed, the lease over', { record: claimed }, { finding: 'closed' }],
    [
      'the current version is the one of the last rotation: as old as its reset',
      { record: closedBefore, current: version('r0', 'p0') },
      { finding: 'closed', sinceMs: 3 },
    ],
    [
      'another key was edited after the last rotation: the password is as old as before',
      { record: closedBefore, current: version('edited', 'p0'), versions: [version('r0', 'p0')] },
      { finding: 'closed', sinceMs: 3 },
    ],
    [
      'somebody stored another password: its age is read from the versions',
      {
        record: closedBefore,
        current: version('by-hand', 'other'),
        versions: [version('r0', 'p0'), version('v0', 'older')],
        details: { sinceMs: 77 },
      },
      { finding: 'closed', sinceMs: 77 },
    ],
    [
      'an old password was stored again: the later one is proven and written over it',
      {
        record: closedBefore,
        current: version('restored', 'older'),
        versions: [version('r0', 'p0'), version('v0', 'older')],
      },
      { finding: 'old-password', write: { versionId: 'r0>restored', isStored: false, sinceMs: 3 } },
    ],
    [
      'AWSCURRENT was moved back to the version before',
      { record: closedBefore, current: version('v0', 'older'), versions: [version('r0', 'p0')] },
      { finding: 'old-password', write: { versionId: 'r0>v0' } },
    ],
    [
      'the audit log knows a later rotation than the store',
      {
        record: closedBefore,
        current: version('r0', 'p0'),
        evidence: {
          lastRotation: promoted('r5', 0),
        },
      },
      { finding: 'store-older', missing: { versionId: 'r5' } },
    ],
    [
      'the audit log has a suspension whose attempt record the store does not have',
      {
        record: closedBefore,
        current: version('r0', 'p0'),
        evidence: { suspension: { secretId: 'secret', attemptRecord: 100, atMs: 0 } },
      },
      { finding: 'store-older', missing: { attemptRecord: 100 } },
    ],
    [
      'the audit log is newer than the store by seconds: the read may be outdated',
      {
        record: closedBefore,
        current: version('r0', 'p0'),
        evidence: {
          lastRotation: promoted('r5', 990_000),
        },
      },
      { finding: 'outdated', forMs: 50_000 },
    ],
    [
      'AWSPENDING is on a version that no rotation names',
      { record: released, evidence: { pending: 'foreign' }, versions: [version('foreign', 'x')] },
      { finding: 'foreign-pending', versionId: 'foreign' },
    ],
    [
      'AWSPENDING is on a version of a closed rotation',
      { record: closedBefore, current: version('r0', 'p0'), evidence: { pending: 'r0' } },
      { finding: 'closed' },
    ],
  ])('%s', (_, facts, finding) => {
    expect(found(facts)).toMatchObject(finding);
  });
});

describe('a suspension', () => {
  const stopped: AttemptRecord = {
    ...released,
    phase: 'stopped',
    reason: 'login-refused',
    refused: 'v1',
  };

  test.each<[string, Facts, string]>([
    ['stays while the rejected version is current', { record: stopped }, 'stopped'],
    [
      'stays when another key of the secret is edited',
      { record: stopped, current: version('edited', 'old'), versions: [version('v1', 'old')] },
      'stopped',
    ],
    [
      'is cleared by another password',
      { record: stopped, current: version('by-hand', 'other'), versions: [version('v1', 'old')] },
      'closed',
    ],
    [
      'for the login limit is cleared by nothing but resume',
      {
        record: { ...stopped, reason: 'login-budget-spent', refused: undefined },
        current: version('by-hand', 'other'),
      },
      'stopped',
    ],
    [
      'for a lost password ends when the new password becomes known',
      { record: { ...stopped, reason: 'password-lost', open }, details: fromReceipt },
      'write',
    ],
    [
      'for a rejected new password stays when the basis is current again',
      {
        record: { ...stopped, reason: 'verify-refused', open, refused: 'r1' },
        versions: [stored],
      },
      'stopped',
    ],
    [
      'for a conflict ends when the new password is made current',
      {
        record: { ...stopped, reason: 'store-conflict', open, refused: 'by-hand' },
        current: stored,
        versions: [version('by-hand', 'other')],
      },
      'verify',
    ],
  ])('%s', (_, facts, finding) => {
    expect(found(facts).finding).toBe(finding);
  });
});

test('a record of version 0.1 is never misread as closed', () => {
  const history = [{ rotationId: 'r0', as: 'abandoned' }] as const;
  const legacy: AttemptRecord = { ...released, history, open: { ...open, isLegacy: true } };
  const lastRotation = promoted('r1', 0);
  const verified = { ...lastRotation, isVerified: true };
  const completed = (last: LastRotation | null) =>
    found({ record: legacy, current: stored, evidence: { lastRotation: last } });

  expect(found({ record: legacy, ageMs: over })).toMatchObject({ finding: 'wait' });
  expect(completed(null)).toMatchObject({ finding: 'verify' });
  expect(completed(lastRotation)).toMatchObject({ finding: 'verify' });
  expect(completed({ ...verified, rotationId: 'r0' })).toMatchObject({ finding: 'verify' });
  expect(completed(verified)).toMatchObject({ finding: 'closed' });
});

test('every finding but a closed account has a reason', () => {
  expect(reasonOf(found({ record: released }))).toBeNull();
  expect(reasonOf(found({ details: { receipt } }))).toBe('receipt-sealed');
  expect(reasonOf(found({}))).toBe('settling');
});

test('an open rotation that was examined without its id is a bug', () => {
  expect(() => found({ details: { recoveryId: null } })).toThrow(
    'bug: an open rotation was examined without its id',
  );
});

test('without a record nobody has a lease', () => {
  expect(hasValidLease({ record: null, liveness: 'alive' } as Evidence)).toBe(false);
});

test('nothing is settled where nothing is open', () => {
  const evidence = { record: { record: released, ageMs: 0 }, liveness: 'alive' } as Evidence;

  expect(settleLeftMs(evidence, timing)).toBe(0);
  expect(settleLeftMs({ ...evidence, record: null }, timing)).toBe(0);
});

test('a password whose age nobody knows is as old as its version', () => {
  const current = { ...version('v1', 'old'), createdAtMs: 9 };

  expect(found({ record: null, current, details: { sinceMs: null } })).toEqual({
    finding: 'closed',
    sinceMs: 9,
    isAgeKnown: false,
  });
});
