// One sample at least of each event that the audit log records.

import type { Stamp } from '../../src/audit/record.ts';
import type { LoggedEvent } from '../../src/audit/schema.ts';
import { context, intended, march, origin, outcome } from './audit.ts';

export const stamp: Stamp = {
  uid: '018f0000-0000-7000-8000-000000000000',
  sequence: 7,
  timeMs: march,
  origin,
  batchRemaining: 0,
};
export const cloudContext = {
  ...context,
  cloud: { provider: 'AWS', region: 'us-east-1', accountUid: '123456789012' },
};
export const samples: readonly LoggedEvent[] = [
  intended('r-1'),
  outcome('r-1'),
  outcome('r-1', 'a', {
    status: 'failure',
    reason: 'login-refused',
    certainty: 'stopped',
    detail: 'ThingSpace said no',
  }),
  { ...outcome('r-1'), code: 'attempt.failed', status: 'failure', reason: 'api-unavailable' },
  { ...outcome('r-1'), code: 'secret.stored' },
  { ...outcome('r-1'), code: 'secret.promoted' },
  { ...outcome('r-1'), code: 'secret.changed' },
  { ...outcome('r-1'), code: 'credential.verified' },
  { ...outcome('r-1'), code: 'rotation.reconciled', status: 'unknown', certainty: 'in-doubt' },
  { ...outcome('r-1'), code: 'account.stopped', status: 'failure', reason: 'password-lost' },
  {
    ...outcome('r-1'),
    code: 'account.resumed',
    trigger: { kind: 'manual', requestedBy: 'mia', reason: 'checked', changeRef: 'CHG-1' },
  },
  { code: 'log.genesis', verifierKey: 'k' },
  { code: 'log.heartbeat' },
  { code: 'log.repaired', bytes: 12, detail: 'cut' },
  { code: 'run.started', accounts: 3, trigger: { kind: 'schedule' }, runId: 'run-1' },
  {
    ...{ code: 'run.started', accounts: 1, trigger: { kind: 'manual' }, runId: 'run-2' },
    ...{ account: 'east', force: 'true', keyDigest: 'a1b2', sha256: 'c3d4' },
  },
  {
    ...{ code: 'run.finished', exitCode: 1, rotated: 0, failed: 1, runId: 'run-2' },
    trigger: { kind: 'manual' },
    account: 'east',
    result: {
      ...{ account: 'east', secretId: 'thingspace/east', outcome: 'failed', logins: 0, next: '' },
      ...{ certainty: 'unchanged', reason: 'api-unavailable', rotationId: 'r-1', ageDays: 80 },
      ...{ startedAtMs: 0, endedAtMs: 1 },
    },
  },
  {
    code: 'run.finished',
    exitCode: 3,
    rotated: 2,
    failed: 1,
    trigger: { kind: 'schedule' },
    runId: 'run-1',
  },
  { code: 'inventory.changed', change: 'added', account: 'a', secretId: 's' },
  { code: 'inventory.summary', accounts: ['b', 'a'] },
  {
    code: 'policy.changed',
    maxAgeDays: 90,
    rotateAfterDays: 75,
    maxAgeDaysBefore: 365,
    rotateAfterDaysBefore: 300,
  },
  { code: 'policy.changed', account: 'a', maxAgeDays: 30, rotateAfterDays: 20 },
  {
    code: 'exemption.changed',
    change: 'added',
    account: 'a',
    exemptBy: 'ciso',
    exemptWhy: 'decommissioned in May',
    exemptUntil: '2026-06-30',
  },
  { code: 'sink.failed', sink: '/audit', detail: 'ENOSPC', lost: 2 },
  { code: 'report.exported', from: '2026-01-01', to: '2026-03-31', sha256: 'ff' },
  { code: 'log.read', detail: 'audit show 42', trigger: { kind: 'manual', requestedBy: 'mia' } },
  { code: 'log.verified', state: 'intact', size: 7, root: 'AA==' },
  { code: 'key.rotated', verifierKey: 'new', verifierKeyBefore: 'old' },
  { code: 'log.archived', change: 'written', month: '2026-03', size: 9, sha256: 'ab' },
  { code: 'exception.acknowledged', exceptionId: 'r-9', account: 'a', note: 'seen' },
];
