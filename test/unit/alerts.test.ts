import { expect, test } from '@jest/globals';
import { nextStep } from '../../src/rotation/catalogue.ts';
import { failures, type Reason } from '../../src/rotation/failure.ts';
import type { Result } from '../../src/rotation/state.ts';
import type { Entry } from '../../src/scheduler/status-cache.ts';
import { createNotices, noticeOf } from '../../src/telemetry/alerts.ts';
import type { Notice } from '../../src/telemetry/webhook.ts';
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

function listening(allIsWell = false) {
  const told: Notice[] = [];
  const resolved: (string | undefined)[] = [];
  const notices = createNotices(
    {
      tell: (notice) => void told.push(notice),
      resolve: (account) => void resolved.push(account),
      flush: async () => {},
    },
    allIsWell,
  );
  return { ...notices, told, resolved };
}

const kinds = (inARow: number): Record<string, string> =>
  Object.fromEntries(
    (Object.keys(failures) as Reason[]).flatMap((reason) => {
      const notice = noticeOf(entryOf('fleet-east', 10, { failures: inARow }), resultOf(reason));
      return notice ? [[reason, notice.kind]] : [];
    }),
  );

test('what needs a person is told at once', () => {
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
    'answer-unreadable': 'in-doubt',
    'login-refused': 'stopped',
    'login-budget-spent': 'stopped',
    'verify-refused': 'verify-failed',
    'store-conflict': 'stopped',
    'password-lost': 'lost',
  });
});

test('and nothing that lasts is left untold', () => {
  expect(Object.keys(kinds(3)).sort()).toEqual(Object.keys(failures).sort());
});

test('a good end takes back what was told, but not while the account is refused for its user', () => {
  const { hear, told, resolved } = listening();

  hear({ news: 'result', entry: entryOf('fleet-east', 1), result: resultOf(undefined) });
  hear({
    news: 'result',
    entry: entryOf('fleet-west', 1, { blocked: 'two are one' }),
    result: resultOf(undefined, { account: 'fleet-west' }),
  });

  expect([told, resolved]).toEqual([[], ['fleet-east']]);
});

test('a password past its limit is told, whatever else is so', () => {
  const { hear, told } = listening();

  hear({ news: 'result', entry: entryOf('fleet-east', 97.5), result: resultOf('api-unavailable') });
  hear({
    news: 'result',
    entry: entryOf('spare', 97.5, {
      account: { name: 'spare', secretId: 'spare', enabled: false },
    }),
    result: resultOf(undefined),
  });

  expect(told).toEqual([
    {
      account: 'fleet-east',
      kind: 'overdue',
      text: 'the password is 97 days old; at most 90 are allowed',
      daysLeft: -7.5,
    },
  ]);
});

test('every day says again what still needs a person, and that all is well only when it is', () => {
  const { hear, told } = listening(true);
  const stopped = entryOf('depot-08', 20, {
    state: 'stopped',
    reason: 'login-refused',
    next: 'Put the right password.',
    failures: 1,
  });
  const day = (...entries: Entry[]) => hear({ news: 'day', entries, atMs: nowMs });

  day(entryOf('fleet-east', 12), stopped);
  day(entryOf('fleet-east', 12), entryOf('fleet-west', 95));
  day(entryOf('fleet-east', 12), entryOf('newcomer', null, { state: 'unknown' }));
  day(entryOf('fleet-east', 12), entryOf('fleet-west', 41));

  expect(told.map(({ kind, account, text }) => [kind, account, text])).toEqual([
    ['stopped', 'depot-08', 'still login-refused'],
    ['overdue', 'fleet-west', 'the password is 95 days old; at most 90 are allowed'],
    ['all-is-well', undefined, 'all is well: 2 accounts, the oldest password is 41 days old'],
  ]);
});

test('without being asked for, nobody is told that all is well', () => {
  const { hear, told } = listening(false);

  hear({ news: 'day', entries: [entryOf('fleet-east', 12)], atMs: nowMs });

  expect(told).toEqual([]);
});

test('an outage is told once for all, and so is its end', () => {
  const { hear, told, resolved } = listening();

  hear({ news: 'outage.began', dependency: 'store', atMs: nowMs });
  hear({ news: 'outage.ended', dependency: 'store', sinceMs: nowMs - 90 * 60_000, atMs: nowMs });

  expect(told).toEqual([
    {
      kind: 'outage',
      reason: 'store',
      text: 'the secret store is away; looking on, one account at a time',
    },
  ]);
  expect(resolved).toEqual([undefined]);
});

test('an audit log that cannot be written, a bug and a shared user are told', () => {
  const { hear, observe, told } = listening();

  observe({ event: 'audit.failed', account: '*', detail: 'no space left on device (ENOSPC)' });
  observe({ event: 'login.accepted', account: 'fleet-east', credential: 'current' });
  hear({
    news: 'broken',
    entry: entryOf('fleet-east', 1),
    detail: 'a bug: TypeError at machine.js:1:2',
  });
  hear({
    news: 'blocked',
    entry: entryOf('twin-a', 1, { blocked: 'twin-a and twin-b are one ThingSpace user' }),
  });

  expect(told.map(({ kind, text }) => [kind, text])).toEqual([
    ['audit-failed', 'no space left on device (ENOSPC)'],
    ['failing', 'a bug: TypeError at machine.js:1:2'],
    ['stopped', 'twin-a and twin-b are one ThingSpace user'],
  ]);
});
