import { expect, test } from '@jest/globals';
import { failures, type Reason } from '../../src/rotation/failure.ts';
import { type Result, settledAfterMs } from '../../src/rotation/state.ts';
import { createOutages, nextLookInMs } from '../../src/scheduler/retry.ts';

const timing = { requestTimeoutMs: 15_000, resetTimeoutMs: 120_000, settleMs: 120_000 };
const minuteMs = 60_000;

const ended = (reason: Reason | undefined, logins = 0): Result => ({
  account: 'fleet-east',
  secretId: 'x',
  outcome: reason === undefined ? 'rotated' : 'failed',
  certainty: reason === undefined ? 'rotated' : failures[reason].certainty,
  ...(reason === undefined ? {} : { reason }),
  logins,
  startedAtMs: 0,
  endedAtMs: 0,
  next: '',
});

const waits = (reason: Reason, logins = 0): (number | null)[] =>
  [1, 2, 3, 4, 5, 6].map((inARow) => {
    const wait = nextLookInMs(ended(reason, logins), inARow, timing);
    return wait === null ? null : wait / minuteMs;
  });

test('the table of waits, as a person reads it, in minutes', () => {
  const settle = (settledAfterMs(timing) + 1000) / minuteMs;

  expect(waits('store-unavailable')).toEqual([15, 60, 240, null, null, null]);
  expect(waits('answer-lost', 1)).toEqual([settle, 5, 15, 60, 240, null]);
  expect(waits('login-refused', 1)).toEqual([null, null, null, null, null, null]);
});

test('no reason that needs a person is looked at again by itself, and every other one is', () => {
  for (const [reason, { disposition }] of Object.entries(failures)) {
    const wait = nextLookInMs(ended(reason as Reason), 1, timing);
    if (disposition === 'person' || reason === 'interrupted')
      expect([reason, wait]).toEqual([reason, null]);
    else expect(wait).toBeGreaterThan(0);
  }
  expect(nextLookInMs(ended(undefined), 0, timing)).toBeNull();
});

test.each(['login-unavailable', 'verify-unavailable'] as const)(
  'after %s no second login is risked before the next tick',
  (reason) => {
    expect(nextLookInMs(ended(reason, 1), 1, timing)).toBeNull();
  },
);

test('five accounts in a row before a closed door are an outage; one account five times is not', () => {
  const outages = createOutages();
  const meets = (account: string, reason?: Reason, logins = 0) =>
    outages.heard({ account, reason, logins, atMs: 7 });

  for (let times = 0; times < 9; times += 1) expect(meets('a', 'store-unavailable')).toEqual({});
  for (const account of ['b', 'c', 'd']) expect(meets(account, 'store-unavailable')).toEqual({});
  expect(meets('x')).toEqual({});
  for (const account of ['b', 'c', 'd', 'e'])
    expect(meets(account, 'store-unavailable')).toEqual({});
  expect(meets('f', 'store-unavailable')).toEqual({ opened: 'store' });

  expect(outages.open()).toEqual({ dependency: 'store', sinceMs: 7, probes: 0 });
});

test('only who needed ThingSpace can tell that it is back', () => {
  const outages = createOutages([1, 2, 5], 2);
  const meets = (account: string, reason?: Reason, logins = 0) =>
    outages.heard({ account, reason, logins, atMs: 7 });
  meets('a', 'api-unavailable');
  meets('b', 'login-unavailable', 1);

  const waitsMs = [outages.probeWaitMs()];
  expect(meets('young')).toEqual({});
  for (let probe = 0; probe < 4; probe += 1) {
    meets('a', 'api-unavailable');
    waitsMs.push(outages.probeWaitMs());
  }

  expect(waitsMs).toEqual([1, 2, 5, 5, 5]);
  expect(meets('c', undefined, 2)).toMatchObject({
    closed: { dependency: 'thingspace', probes: 4 },
  });
  expect(outages.open()).toBeNull();
});
