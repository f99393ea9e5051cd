import { expect, test } from '@jest/globals';
import { nextStep } from '../../src/rotation/catalogue.ts';
import { failures, type Reason } from '../../src/rotation/failure.ts';
import type { Result } from '../../src/rotation/state.ts';
import type { AccountEntry } from '../../src/scheduler/status-cache.ts';
import { createAlerts, problemOf } from '../../src/telemetry/alerts.ts';
import type { Problem } from '../../src/telemetry/notifier.ts';
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

/** Over its limit, and exempt. */
const lab = entryOf('lab', 97, {
  account: {
    name: 'lab',
    secretId: 'lab',
    enabled: true,
    exempt: { who: 'CISO', why: 'a laboratory', until: '2026-12-31' },
  },
});

function subscribed(allIsWell = false) {
  const sent: Problem[] = [];
  const resolved: string[] = [];
  const confirmed: string[] = [];
  const kept: string[][] = [];
  let reminders = 0;
  const alerts = createAlerts(
    {
      report: (problem) => void sent.push(problem),
      resolve: (subject) => void resolved.push(subject),
      keep: (subjects) => void kept.push([...subjects]),
      confirm: (text) => void confirmed.push(text),
      remind: () => {
        reminders += 1;
      },
    },
    allIsWell,
  );
  return { ...alerts, sent, resolved, confirmed, kept, reminders: () => reminders };
}

const kinds = (isLasting: boolean): Record<string, string> =>
  Object.fromEntries(
    (Object.keys(failures) as Reason[]).flatMap((reason) => {
      const problem = problemOf(resultOf(reason), isLasting);
      return problem ? [[reason, problem.kind]] : [];
    }),
  );

test('a failure that a person must correct is sent at once', () => {
  expect(kinds(false)).toEqual({
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
  expect(Object.keys(kinds(true)).sort()).toEqual(Object.keys(failures).sort());
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
      subject: 'fleet-east',
      kind: 'overdue',
      text: 'The password is 97 days old. The policy allows 90 days.',
      daysLeft: -7.5,
    },
  ]);
});

// Part of finding S8. In 0.1 a suspended and overdue account was sent twice on each day.
test('every day each problem is reported again, and what is over is resolved', () => {
  const { notify, sent, resolved, reminders } = subscribed(true);
  const stopped = entryOf('depot-08', 97, {
    state: 'stopped',
    reason: 'login-refused',
    next: 'Store the correct password.',
    failures: 1,
  });
  const day = (...entries: AccountEntry[]) => notify({ event: 'day.passed', entries, atMs: nowMs });

  day(entryOf('fleet-east', 12), stopped);
  day(
    entryOf('busy', 12, { state: 'busy', reason: 'busy' }),
    entryOf('frozen', 41, { evidenceAtMs: nowMs - 2 * 86_400_000, nextRunMs: nowMs - 86_400_000 }),
    lab,
  );

  expect(sent.map(({ kind, subject, text }) => [kind, subject, text])).toEqual([
    [
      'stopped',
      'depot-08',
      'Login rejected (login-refused). Password: Unchanged. ' +
        'ThingSpace rejected the stored password. Automatic rotation is suspended.',
    ],
    ['overdue', 'depot-08', 'The password is 97 days old. The policy allows 90 days.'],
    [
      'stale',
      'frozen',
      'Not checked in time. The store last showed its status at 2026-11-21T20:50:00Z.',
    ],
  ]);
  expect([resolved, reminders()]).toEqual([['fleet-east', 'lab'], 2]);
});

test('a failure that a retry can correct is reported when it lasts', () => {
  const { notify, sent } = subscribed();
  const failing = { state: 'settled', reason: 'api-unavailable' } as const;
  const hourMs = 3_600_000;
  const end = (failures: number, hours: number): void => {
    const more = { ...failing, failures, failingSinceMs: nowMs - hours * hourMs };
    const entries = [entryOf('fleet-east', 80, more)];
    notify({ event: 'run.ended', isScheduled: true, entries, atMs: nowMs });
  };

  end(1, 0);
  end(2, 5);
  expect(sent).toEqual([]);
  end(3, 1);
  end(1, 7);

  expect(sent.map(({ kind, reason }) => [kind, reason])).toEqual([
    ['failing', 'api-unavailable'],
    ['failing', 'api-unavailable'],
  ]);
});

// Part of finding S1. In 0.1 a timer sent this message, also when no run had ended for days.
test('"no problems" is sent after a run over all accounts, where it is configured', () => {
  const { notify, confirmed } = subscribed(true);
  const after = (isScheduled: boolean, ...entries: AccountEntry[]) =>
    notify({ event: 'run.ended', isScheduled, entries, atMs: nowMs });
  const [east, west] = [entryOf('fleet-east', 12), entryOf('fleet-west', 41)];
  const frozen = entryOf('frozen', 41, { nextRunMs: nowMs - 86_400_000 });

  notify({ event: 'day.passed', entries: [east, west], atMs: nowMs });
  after(false, east, west);
  after(true, east, entryOf('fleet-west', 95));
  after(true, east, entryOf('newcomer', null, { state: 'unknown' }));
  after(true, east, frozen);
  after(true, east, west);
  after(true, east, entryOf('fleet-west', 41, { isAgeKnown: false }));
  after(true, east, lab);
  const silent = subscribed(false);
  silent.notify({ event: 'run.ended', isScheduled: true, entries: [east], atMs: nowMs });

  expect(confirmed).toEqual([
    'No problems. Accounts: 2. The oldest password is 41 days old.',
    'No problems. Accounts: 2. The oldest password is 12 days old. Passwords of unknown age: 1.',
    'No problems. Accounts: 2. The oldest password is 12 days old. Exempt accounts: 1.',
  ]);
  expect(silent.confirmed).toEqual([]);
});

test('an outage is sent once for all accounts, and so is its end', () => {
  const { notify, sent, resolved } = subscribed();

  notify({ event: 'outage.began', dependency: 'store', atMs: nowMs });
  notify({ event: 'outage.ended', dependency: 'store', sinceMs: nowMs - 90 * 60_000, atMs: nowMs });

  expect(sent).toEqual([
    {
      subject: 'store',
      kind: 'outage',
      reason: 'store',
      text: 'The secret store is unreachable. Probing with one account every 1 to 15 min.',
    },
  ]);
  expect(resolved).toEqual(['store']);
});

test('what does not happen again until the end of the next run is over', () => {
  const { notify, observe, kept, resolved } = subscribed();
  const entries = [entryOf('fleet-east', 12)];
  const endRun = () => notify({ event: 'run.ended', isScheduled: true, entries, atMs: nowMs });

  observe({ event: 'audit.failed', account: '*', detail: 'no space left' });
  notify({ event: 'outage.began', dependency: 'store', atMs: nowMs });
  endRun();
  observe({ event: 'witness.failed', account: '*', witness: 'ops-2' });
  endRun();
  notify({ event: 'outage.ended', dependency: 'store', sinceMs: nowMs, atMs: nowMs });
  observe({ event: 'witness.cosigned', account: '*', witness: 'ops-2' });
  endRun();

  expect(kept).toEqual([
    ['fleet-east', 'audit', 'store'],
    ['fleet-east', 'witness ops-2', 'store'],
    ['fleet-east'],
  ]);
  expect(resolved.filter((subject) => subject !== 'fleet-east')).toEqual([
    'store',
    'witness ops-2',
  ]);
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
