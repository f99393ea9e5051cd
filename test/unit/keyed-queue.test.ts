import { expect, test } from '@jest/globals';
import type { Result } from '../../src/rotation/state.ts';
import { openLanes, runFleet } from '../../src/scheduler/keyed-queue.ts';
import { virtualClock } from '../harness/serve-world.ts';

/** Nothing in these runs is slow: it never has to tick. */
const still = virtualClock();

const accounts = (...names: string[]) => names.map((name) => ({ name, secretId: name }));

const resultOf = (account: string, more: Partial<Result> = {}): Result => ({
  account,
  secretId: account,
  outcome: 'rotated',
  certainty: 'rotated',
  logins: 2,
  startedAtMs: 0,
  endedAtMs: 5,
  next: '',
  ...more,
});

const turns = async (count = 20): Promise<void> => {
  for (let index = 0; index < count; index += 1)
    await new Promise((resolve) => setImmediate(resolve));
};

test('a run keeps to its concurrency and answers in the order of the accounts', async () => {
  let [running, most] = [0, 0];
  const finished: string[] = [];

  const results = await runFleet({
    pairs: [],
    clock: still,
    accounts: accounts('a', 'b', 'c', 'd', 'e'),
    concurrency: 2,
    interrupt: new AbortController().signal,
    attempt: async ({ name }) => {
      running += 1;
      most = Math.max(most, running);
      await turns(name === 'a' ? 30 : 2);
      running -= 1;
      return resultOf(name);
    },
    onResult: ({ account }) => finished.push(account),
  });

  expect(most).toBe(2);
  expect(results.map(({ account }) => account)).toEqual(['a', 'b', 'c', 'd', 'e']);
  expect(finished).toEqual(['b', 'c', 'd', 'e', 'a']);
});

test('the other user of a changed pair is put off to the next run, and says why', async () => {
  const attempted: string[] = [];

  const results = await runFleet({
    clock: still,
    accounts: accounts('a', 'b', 'c'),
    concurrency: 8,
    pairs: [['b', 'a']],
    interrupt: new AbortController().signal,
    attempt: async ({ name }) => {
      attempted.push(name);
      await turns();
      return resultOf(name);
    },
    onResult: () => {},
  });

  expect(attempted.sort()).toEqual(['a', 'c']);
  expect(results[1]).toEqual({
    account: 'b',
    secretId: 'b',
    outcome: 'not-due',
    certainty: 'not-due',
    detail:
      'put off to the next run: a, the other user of its ThingSpace account, was changed in this one',
    logins: 0,
    startedAtMs: 5,
    endedAtMs: 5,
    next: '',
  });
});

test.each([
  ['was not due', { outcome: 'not-due', certainty: 'not-due', logins: 0 }, true],
  [
    'failed before anything changed',
    { outcome: 'failed', certainty: 'unchanged', reason: 'api-unavailable', logins: 0 },
    true,
  ],
  [
    'was stopped long ago',
    { outcome: 'stopped', certainty: 'lost', reason: 'password-lost', logins: 0 },
    true,
  ],
  [
    'is in doubt',
    { outcome: 'failed', certainty: 'in-doubt', reason: 'answer-lost', logins: 1 },
    false,
  ],
  [
    'was lost just now',
    { outcome: 'stopped', certainty: 'lost', reason: 'password-lost', logins: 1 },
    false,
  ],
  [
    'is stored but not verified',
    { outcome: 'failed', certainty: 'changed', reason: 'verify-unavailable', logins: 2 },
    false,
  ],
] as const)('when the first of a pair %s, the second one goes on: %#', async (_, first, goesOn) => {
  const attempted: string[] = [];

  await runFleet({
    clock: still,
    accounts: accounts('a', 'b'),
    concurrency: 8,
    pairs: [['a', 'b']],
    interrupt: new AbortController().signal,
    attempt: async ({ name }) => {
      attempted.push(name);
      return name === 'a' ? resultOf(name, first) : resultOf(name);
    },
    onResult: () => {},
  });

  expect(attempted).toEqual(goesOn ? ['a', 'b'] : ['a']);
});

test('a bug ends the run only after the others have finished', async () => {
  const finished: string[] = [];

  const run = runFleet({
    pairs: [],
    clock: still,
    accounts: accounts('a', 'b', 'c'),
    concurrency: 3,
    interrupt: new AbortController().signal,
    attempt: async ({ name }) => {
      if (name === 'a') throw new Error('bug: on purpose');
      await turns();
      return resultOf(name);
    },
    onResult: ({ account }) => finished.push(account),
  });

  await expect(run).rejects.toThrow('bug: on purpose');
  expect(finished).toEqual(['b', 'c']);
});

test('pairs that overlap never run side by side, and never wait for each other for ever', async () => {
  const lanes = openLanes({
    concurrency: 8,
    pairs: [
      ['a', 'b'],
      ['b', 'c'],
      ['c', 'a'],
    ],
    clock: virtualClock(),
    slowAfterMs: 1e6,
  });
  let [running, most] = [0, 0];

  await Promise.all(
    ['a', 'b', 'c', 'b', 'a', 'c'].map((name) =>
      lanes.run(name, async () => {
        running += 1;
        most = Math.max(most, running);
        await turns(3);
        running -= 1;
      }),
    ),
  );

  expect(most).toBe(1);
});

test('slow work gives its place away, and urgent work has places of its own', async () => {
  const clock = virtualClock();
  const lanes = openLanes({ concurrency: 1, pairs: [], clock, slowAfterMs: 1000 });
  const done: string[] = [];
  void lanes.run('slow', () => new Promise(() => {}));
  void lanes.run('next', async () => void done.push('next'));
  void lanes.run('urgent', async () => void done.push('urgent'), 'urgent');

  await clock.advance(500);
  const early = [...done];
  await clock.advance(600);

  expect(early).toEqual(['urgent']);
  expect(done).toEqual(['urgent', 'next']);
  expect(lanes.isBusy('slow')).toBe(true);
  expect(lanes.isBusy('next')).toBe(false);
});
