import { expect, test } from '@jest/globals';
import { openTokenBucket } from '../../src/scheduler/token-bucket.ts';
import { virtualClock } from '../harness/serve-world.ts';

test('a full bucket gives out its capacity at once, and then its rate per second', async () => {
  const clock = virtualClock();
  const bucket = openTokenBucket({ perSecond: 10, capacity: 20 }, clock);
  const taken: number[] = [];
  for (let index = 0; index < 50; index += 1)
    void bucket.take(1).then(() => taken.push(clock.monotonicMs()));

  await clock.advance(0);
  const atOnce = taken.length;
  await clock.advance(1000);
  const aSecondLater = taken.length;
  await clock.advance(2000);

  expect([atOnce, aSecondLater, taken.length]).toEqual([20, 30, 50]);
});

test('small requests do not starve a large one', async () => {
  const clock = virtualClock();
  const bucket = openTokenBucket({ perSecond: 1, capacity: 5 }, clock);
  const order: string[] = [];
  await bucket.take(5);
  void bucket.take(5).then(() => order.push('much'));
  for (let index = 0; index < 3; index += 1) void bucket.take(1).then(() => order.push('little'));

  await clock.advance(60_000);

  expect(order).toEqual(['much', 'little', 'little', 'little']);
});

test('a request above the capacity waits for a full bucket', async () => {
  const clock = virtualClock();
  const bucket = openTokenBucket({ perSecond: 1, capacity: 5 }, clock);
  await bucket.take(3);
  let isTaken = false;
  void bucket.take(100).then(() => {
    isTaken = true;
  });

  await clock.advance(2_000);
  const early = isTaken;
  await clock.advance(1_100);

  expect([early, isTaken]).toEqual([false, true]);
});

test('tokens that are given back can be taken again, up to the capacity', async () => {
  const clock = virtualClock();
  const bucket = openTokenBucket({ perSecond: 0.001, capacity: 5 }, clock);
  await bucket.take(5);

  bucket.giveBack(50);
  let taken = 0;
  for (let index = 0; index < 10; index += 1) void bucket.take(1).then(() => (taken += 1));
  await clock.advance(10);

  expect(taken).toBe(5);
});

test('a pause delays every request, and a shorter pause does not shorten it', async () => {
  const clock = virtualClock();
  const bucket = openTokenBucket({ perSecond: 10, capacity: 10 }, clock);
  bucket.pause(60_000);
  bucket.pause(1_000);
  let isTaken = false;
  void bucket.take(1).then(() => {
    isTaken = true;
  });

  await clock.advance(59_000);
  const early = isTaken;
  await clock.advance(1_100);

  expect([early, isTaken]).toEqual([false, true]);
});

test('an interrupted wait ends at once and takes no token', async () => {
  const clock = virtualClock();
  const bucket = openTokenBucket({ perSecond: 0.001, capacity: 1 }, clock);
  await bucket.take(1);
  const interrupt = new AbortController();
  const waiting = bucket.take(1, interrupt.signal);

  interrupt.abort();
  await waiting;

  expect(clock.sleepers()).toBe(0);
});
