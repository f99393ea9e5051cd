// Every row of the crash table of docs/ROTATION.md, and the cases thought through: what the labels, the newest record
// and its holder's liveness mean.

import { probeInMs, survey } from '../../src/rotation/classify.ts';
import type { CurrentSecret } from '../../src/rotation/ports.ts';
import type { AttemptRecord } from '../../src/rotation/record.ts';
import type { Evidence, Request } from '../../src/rotation/state.ts';
import { settledAfterMs } from '../../src/rotation/state.ts';
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

const currentAs = (versionId: string): CurrentSecret => ({
  versionId,
  createdAtMs: 0,
  document: new Secret('{}'),
  credentials: {
    username: 'UWSFLEET',
    password: new Secret('old'),
    clientId: 'client',
    clientSecret: new Secret('secret'),
  },
});

const common = {
  sequence: 7,
  basis: 'v1',
  holder: { id: 'h1' },
  writtenAtMs: 0,
  leaseMs: 90_000,
  loginsSpent: 1,
};
const claimed: AttemptRecord = { ...common, phase: 'claimed' };
const resetting: AttemptRecord = { ...common, phase: 'resetting', rotationId: 'r1' };
const released: AttemptRecord = { ...common, phase: 'released', leaseMs: 0 };
const doubted: AttemptRecord = { ...released, rotationId: 'r1', doubtful: true };
const stopped: AttemptRecord = { ...common, phase: 'stopped', leaseMs: 0, reason: 'login-refused' };

const [running, over, settled] = [1_000, 100_000, 500_000];

function evidenceOf(
  record: AttemptRecord | null,
  ageMs: number,
  more: Partial<Evidence> = {},
): Evidence {
  const found = record && { record, ageMs };
  return {
    current: currentAs('v1'),
    record: found,
    pending: null,
    liveness: 'unknown',
    openIntents: [],
    ...more,
  };
}

test.each<[string, string, Evidence]>([
  ['no record', 'clean', evidenceOf(null, 0)],
  ['released', 'clean', evidenceOf(released, running)],
  ['claimed, the lease running', 'busy', evidenceOf(claimed, running)],
  [
    'claimed, the lease running, by a process that is gone',
    'clean',
    evidenceOf(claimed, running, { liveness: 'gone' }),
  ],
  ['claimed, the lease over', 'clean', evidenceOf(claimed, over)],
  [
    'claimed, the lease over, its holder alive',
    'clean',
    evidenceOf(claimed, over, { liveness: 'alive' }),
  ],
  ['resetting, the lease running', 'busy', evidenceOf(resetting, running)],
  [
    'resetting and AWSPENDING, the lease running',
    'busy',
    evidenceOf(resetting, running, { pending: 'r1' }),
  ],
  [
    'resetting and AWSPENDING, the lease over',
    'promote',
    evidenceOf(resetting, over, { pending: 'r1' }),
  ],
  [
    'resetting and AWSPENDING, the holder gone',
    'promote',
    evidenceOf(resetting, running, { pending: 'r1', liveness: 'gone' }),
  ],
  ['resetting, neither, the lease over', 'examine', evidenceOf(resetting, over)],
  [
    'resetting, another version under AWSPENDING',
    'examine',
    evidenceOf(resetting, over, { pending: 'r0' }),
  ],
  ['released in doubt', 'examine', evidenceOf(doubted, running)],
  [
    'released in doubt, and saved since',
    'promote',
    evidenceOf(doubted, running, { pending: 'r1' }),
  ],
  ['stopped', 'stopped', evidenceOf(stopped, settled)],
  [
    'stopped in doubt',
    'stopped',
    evidenceOf({ ...stopped, rotationId: 'r1', doubtful: true }, settled),
  ],
  [
    'stopped in doubt, and saved since',
    'promote',
    evidenceOf({ ...stopped, rotationId: 'r1', doubtful: true }, settled, { pending: 'r1' }),
  ],
])('%s: %s', (_, finding, evidence) => {
  expect(survey(evidence, request).finding).toBe(finding);
});

test.each<[string, string, Evidence]>([
  [
    'a stop is lifted by a new AWSCURRENT',
    'clean',
    evidenceOf(stopped, settled, { current: currentAs('v2') }),
  ],
  [
    'a promoted rotation is history',
    'clean',
    evidenceOf(resetting, running, { current: currentAs('r1') }),
  ],
  [
    'a doubt is history once somebody has set AWSCURRENT and it has settled',
    'clean',
    evidenceOf(resetting, settled, { current: currentAs('v2') }),
  ],
  [
    'a reset may still run although somebody has set AWSCURRENT',
    'busy',
    evidenceOf(resetting, running, { current: currentAs('v2') }),
  ],
  [
    'and so may one whose connection was cut',
    'busy',
    evidenceOf(doubted, running, { current: currentAs('v2') }),
  ],
  [
    'a claim is held whatever AWSCURRENT has become',
    'busy',
    evidenceOf(claimed, running, { current: currentAs('v2') }),
  ],
  [
    'AWSPENDING that nobody of ours names is foreign',
    'foreign-pending',
    evidenceOf(released, settled, { pending: 'x9' }),
  ],
  [
    'AWSPENDING of the newest rotation is not',
    'clean',
    evidenceOf({ ...released, rotationId: 'r1' }, settled, { pending: 'r1' }),
  ],
  [
    'nor is that of an earlier one',
    'clean',
    evidenceOf({ ...released, rotationId: 'r2', earlier: ['r1'] }, settled, { pending: 'r1' }),
  ],
])('%s', (_, finding, evidence) => {
  expect(survey(evidence, request).finding).toBe(finding);
});

test('the rotation that Secrets Manager asks for is not foreign', () => {
  const evidence = evidenceOf(null, 0, { pending: 'token' });

  expect(survey(evidence, { ...request, native: { rotationId: 'token' } }).finding).toBe('clean');
});

test('an operator’s recover does not wait for a lease to save what is known', () => {
  const impatient = { ...request, impatient: true };

  expect(survey(evidenceOf(resetting, running, { pending: 'r1' }), impatient).finding).toBe(
    'promote',
  );
  expect(survey(evidenceOf(resetting, running), impatient).finding).toBe('examine');
});

test('a doubt is probed only when the slowest reset is over on the server', () => {
  const settledMs = settledAfterMs(timing);

  expect(probeInMs(evidenceOf(resetting, 0), timing)).toBe(settledMs);
  expect(probeInMs(evidenceOf(resetting, settledMs), timing)).toBe(0);
  expect(probeInMs(evidenceOf(doubted, 0), timing)).toBe(timing.resetTimeoutMs + timing.settleMs);
  expect(
    probeInMs(evidenceOf({ ...claimed, rotationId: 'r1', doubtful: true }, over), timing),
  ).toBe(0);
});

test('a doubt is not probed while its holder lives: it may have the only copy', () => {
  expect(probeInMs(evidenceOf(resetting, settled, { liveness: 'alive' }), timing)).toBeGreaterThan(
    0,
  );
});
