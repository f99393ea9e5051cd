import { expect, test } from '@jest/globals';
import { failures, type Reason } from '../../src/rotation/failure.ts';
import { type Result, settledAfterMs } from '../../src/rotation/state.ts';
import { createCircuitBreaker } from '../../src/scheduler/circuit-breaker.ts';
import { retryDelayMs } from '../../src/scheduler/retry.ts';

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
    const wait = retryDelayMs(ended(reason, logins), inARow, timing);
    return wait === null ? null : wait / minuteMs;
  });

test('the delays of retries in minutes', () => {
  const settle = (settledAfterMs(timing) + 1000) / minuteMs;

  expect(waits('store-unavailable')).toEqual([15, 60, 240, null, null, null]);
  expect(waits('answer-lost', 1)).toEqual([settle, 5, 15, 60, 240, null]);
  expect(waits('login-refused', 1)).toEqual([null, null, null, null, null, null]);
});

test('a failure that a person must correct is not retried, and every other one is', () => {
  for (const [reason, { disposition }] of Object.entries(failures)) {
    const wait = retryDelayMs(ended(reason as Reason), 1, timing);
    if (disposition === 'person' || reason === 'interrupted')
      expect([reason, wait]).toEqual([reason, null]);
    else expect(wait).toBeGreaterThan(0);
  }
  expect(retryDelayMs(ended(undefined), 0, timing)).toBeNull();
});

test.each(['login-unavailable', 'verify-unavailable'] as const)(
  'after %s no second login is sent before the next scheduled run',
  (reason) => {
    expect(retryDelayMs(ended(reason, 1), 1, timing)).toBeNull();
  },
);

test('five accounts in a row begin an outage; one account five times does not', () => {
  const breaker = createCircuitBreaker();
  const meets = (account: string, reason?: Reason, logins = 0) =>
    breaker.record({ account, reason, logins, atMs: 7 });

  for (let times = 0; times < 9; times += 1) expect(meets('a', 'store-unavailable')).toEqual({});
  for (const account of ['b', 'c', 'd']) expect(meets(account, 'store-unavailable')).toEqual({});
  expect(meets('x')).toEqual({});
  for (const account of ['b', 'c', 'd', 'e'])
    expect(meets(account, 'store-unavailable')).toEqual({});
  expect(meets('f', 'store-unavailable')).toEqual({ began: 'store' });

  expect(breaker.outage()).toEqual({ dependency: 'store', sinceMs: 7, probes: 0 });
});

test('only an account that logged in ends an outage of ThingSpace', () => {
  const breaker = createCircuitBreaker([1, 2, 5], 2);
  const meets = (account: string, reason?: Reason, logins = 0) =>
    breaker.record({ account, reason, logins, atMs: 7 });
  meets('a', 'api-unavailable');
  meets('b', 'login-unavailable', 1);

  const delaysMs = [breaker.probeDelayMs()];
  expect(meets('not-due')).toEqual({});
  for (let probe = 0; probe < 4; probe += 1) {
    meets('a', 'api-unavailable');
    delaysMs.push(breaker.probeDelayMs());
  }

  expect(delaysMs).toEqual([1, 2, 5, 5, 5]);
  expect(meets('c', undefined, 2)).toMatchObject({
    ended: { dependency: 'thingspace', probes: 4 },
  });
  expect(breaker.outage()).toBeNull();
});
