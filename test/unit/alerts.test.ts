import { expect, test } from '@jest/globals';
import { nextStep } from '../../src/rotation/catalogue.ts';
import { failures, type Reason } from '../../src/rotation/failure.ts';
import type { Result } from '../../src/rotation/state.ts';
import type { AccountEntry } from '../../src/scheduler/status-cache.ts';
import { alertOf, createAlerts } from '../../src/telemetry/alerts.ts';
import type { Alert } from '../../src/telemetry/webhook.ts';
import { entryOf, nowMs } from '../harness/serve-pages.ts';

const resultOf = (reason: Reason | undefined, more: Partial<Result> = {}): Result => ({
  account: 'fleet-east',
  secretId: 'x',
  outcome: reason === undefined ? 'rotated' : 'failed',
  certainty: reason === undefined ? 'rotated' : failures[reason].certainty,
  ...(reason === undefined ? {} : { reason }),
  logins: 0,
  startedAtMs: nowMs,
  endedAtMs: nowMs,
  next: reason === undefined ? '' : nextStep(reason),
  ...more,
});

function subscribed(allIsWell = false) {
  const sent: Alert[] = [];
  const resolved: (string | undefined)[] = [];
  const alerts = createAlerts(
    {
      send: (alert) => void sent.push(alert),
      resolve: (account) => void resolved.push(account),
    },
    allIsWell,
  );
  return { ...alerts, sent, resolved };
}

const kinds = (inARow: number): Record<string, string> =>
  Object.fromEntries(
    (Object.keys(failures) as Reason[]).flatMap((reason) => {
      const alert = alertOf(resultOf(reason), inARow);
      return alert ? [[reason, alert.kind]] : [];
    }),
  );

test('a failure that a person must correct is sent at once', () => {
  expect(kinds(1)).toEqual({
    'store-denied': 'failing',
    'secret-not-found': 'failing',
    'secret-invalid': 'failing',
    'foreign-pending': 'failing',
    'record-invalid': 'stopped',
    'api-key-refused': 'failing',
    'receipt-unavailable': 'failing',
    'audit-unavailable': 'audit-failed',
    'not-stored': 'changed',
    'not-promoted': 'changed',
    'verify-unavailable': 'verify-failed',
    'answer-lost': 'in-doubt',
    'answer-unreadable': 'changed',
    'old-password-restored': 'changed',
    'receipt-sealed': 'changed',
    'store-older-than-audit': 'stopped',
    'login-refused': 'stopped',
    'login-budget-spent': 'stopped',
    'verify-refused': 'verify-failed',
    'store-conflict': 'stopped',
    'password-lost': 'lost',
  });
});

test('an alert exists for every lasting failure', () => {
  expect(Object.keys(kinds(3)).sort()).toEqual(Object.keys(failures).sort());
});

test('a success resolves the alerts of an account, unless the account is blocked', () => {
  const { notify, sent, resolved } = subscribed();

  notify({
    event: 'result.recorded',
    entry: entryOf('fleet-east', 1),
    result: resultOf(undefined),
  });
  notify({
    event: 'result.recorded',
    entry: entryOf('fleet-west', 1, {
      blocked: 'fleet-west and twin have the same ThingSpace user',
    }),
    result: resultOf(undefined, { account: 'fleet-west' }),
  });

  expect([sent, resolved]).toEqual([[], ['fleet-east']]);
});

test('an overdue password is sent, in addition to any other alert', () => {
  const { notify, sent } = subscribed();

  notify({
    event: 'result.recorded',
    entry: entryOf('fleet-east', 97.5),
    result: resultOf('api-unavailable'),
  });
  notify({
    event: 'result.recorded',
    entry: entryOf('spare', 97.5, {
      account: { name: 'spare', secretId: 'spare', enabled: false },
    }),
    result: resultOf(undefined),
  });

  expect(sent).toEqual([
    {
      account: 'fleet-east',
      kind: 'overdue',
      text: 'The password is 97 days old. The policy allows 90 days.',
      daysLeft: -7.5,
    },
  ]);
});

test('every day the open problems are sent again', () => {
  const { notify, sent } = subscribed(true);
  const stopped = entryOf('depot-08', 20, {
    state: 'stopped',
    reason: 'login-refused',
    next: 'Store the correct password.',
    failures: 1,
  });
  const day = (...entries: AccountEntry[]) => notify({ event: 'day.passed', entries, atMs: nowMs });

  day(entryOf('fleet-east', 12), stopped);
  day(entryOf('fleet-east', 12), entryOf('fleet-west', 95));
  day(entryOf('fleet-east', 12), entryOf('fleet-west', 41));

  expect(sent.map(({ kind, account, text }) => [kind, account, text])).toEqual([
    [
      'stopped',
      'depot-08',
      'Login rejected (login-refused). Password: Unchanged. ' +
        'ThingSpace rejected the stored password. Automatic rotation is suspended.',
    ],
    ['overdue', 'fleet-west', 'The password is 95 days old. The policy allows 90 days.'],
  ]);
});

// Part of finding S1. In 0.1 a timer sent this message, also when no run had ended for days.
test('"no problems" is sent after a run over all accounts, where it is configured', () => {
  const { notify, sent } = subscribed(true);
  const after = (isScheduled: boolean, ...entries: AccountEntry[]) =>
    notify({ event: 'run.ended', isScheduled, entries, atMs: nowMs });
  const [east, west] = [entryOf('fleet-east', 12), entryOf('fleet-west', 41)];

  notify({ event: 'day.passed', entries: [east, west], atMs: nowMs });
  after(false, east, west);
  after(true, east, entryOf('fleet-west', 95));
  after(true, east, entryOf('newcomer', null, { state: 'unknown' }));
  after(true, east, west);
  const dated = subscribed(true);
  const entries = [east, entryOf('fleet-west', 41, { isAgeKnown: false })];
  dated.notify({ event: 'run.ended', isScheduled: true, entries, atMs: nowMs });
  const silent = subscribed(false);
  silent.notify({ event: 'run.ended', isScheduled: true, entries: [east], atMs: nowMs });

  expect(sent.map(({ kind, text }) => [kind, text])).toEqual([
    ['all-is-well', 'No problems. Accounts: 2. The oldest password is 41 days old.'],
  ]);
  expect(dated.sent[0]?.text).toBe(
    'No problems. Accounts: 2. The oldest password is 12 days old. Passwords of unknown age: 1.',
  );
  expect(silent.sent).toEqual([]);
});

test('an outage is sent once for all accounts, and so is its end', () => {
  const { notify, sent, resolved } = subscribed();

  notify({ event: 'outage.began', dependency: 'store', atMs: nowMs });
  notify({ event: 'outage.ended', dependency: 'store', sinceMs: nowMs - 90 * 60_000, atMs: nowMs });

  expect(sent).toEqual([
    {
      kind: 'outage',
      reason: 'store',
      text: 'The secret store is unreachable. Probing with one account every 1 to 15 min.',
    },
  ]);
  expect(resolved).toEqual([undefined]);
});

test('a failure of the audit log, a bug and a shared user are sent', () => {
  const { notify, observe, sent } = subscribed();

  observe({ event: 'audit.failed', account: '*', detail: 'no space left on device (ENOSPC)' });
  observe({ event: 'login.accepted', account: 'fleet-east', credential: 'current' });
  notify({
    event: 'attempt.broken',
    entry: entryOf('fleet-east', 1),
    detail: 'a bug: TypeError at machine.js:1:2',
  });
  notify({
    event: 'account.blocked',
    entry: entryOf('twin-a', 1, { blocked: 'twin-a and twin-b have the same ThingSpace user' }),
  });

  expect(sent.map(({ kind, text }) => [kind, text])).toEqual([
    ['audit-failed', 'An audit record could not be written: no space left on device (ENOSPC).'],
    ['failing', 'The attempt ended in a bug: TypeError at machine.js:1:2.'],
    ['stopped', 'Not rotated: twin-a and twin-b have the same ThingSpace user.'],
  ]);
});
