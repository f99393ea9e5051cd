import { expect, test } from '@jest/globals';
import type { Rotator } from '../../src/app.ts';
import type { LoggedEvent } from '../../src/audit/schema.ts';
import type { Result } from '../../src/rotation/state.ts';
import { openKeyedQueue } from '../../src/scheduler/keyed-queue.ts';
import { run } from '../../src/scheduler/run.ts';
import { virtualClock } from '../harness/serve-world.ts';

const accounts = (...names: string[]) =>
  names.map((name) => ({ name, secretId: name, enabled: true }));

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

type Fleet = {
  readonly accounts: ReturnType<typeof accounts>;
  readonly concurrency: number;
  readonly pairs: [string, string][];
  readonly attempt: (account: { readonly name: string }) => Promise<Result>;
  readonly onResult?: (result: Result) => void;
};

/** A run without a store; `logged` gets what the audit log would get. */
function runFleet(fleet: Fleet, logged: (LoggedEvent | 'checkpoint')[] = []) {
  const { concurrency, pairs, attempt, onResult = () => {} } = fleet;
  const audit = {
    append: async (events: readonly LoggedEvent[]) => void logged.push(...events),
    checkpoint: async () => void logged.push('checkpoint'),
  };
  const clock = virtualClock();
  const config = { concurrency, pairs };
  const rotator = { config, clock, attempt, audit, observe: () => {} } as unknown as Rotator;
  const ask = { purpose: 'rotate', trigger: { kind: 'manual' } } as const;
  const interrupt = new AbortController().signal;
  return run(rotator, { accounts: fleet.accounts, ask, interrupt, onResult });
}

const waitMicrotasks = async (count = 20): Promise<void> => {
  for (let index = 0; index < count; index += 1)
    await new Promise((resolve) => setImmediate(resolve));
};

test('a run keeps to its concurrency, and its results have the order of the accounts', async () => {
  let [running, most] = [0, 0];
  const finished: string[] = [];

  const { results } = await runFleet({
    pairs: [],
    accounts: accounts('a', 'b', 'c', 'd', 'e'),
    concurrency: 2,
    attempt: async ({ name }) => {
      running += 1;
      most = Math.max(most, running);
      await waitMicrotasks(name === 'a' ? 30 : 2);
      running -= 1;
      return resultOf(name);
    },
    onResult: ({ account }) => finished.push(account),
  });

  expect(most).toBe(2);
  expect(results.map(({ account }) => account)).toEqual(['a', 'b', 'c', 'd', 'e']);
  expect(finished).toEqual(['b', 'c', 'd', 'e', 'a']);
});

test('the other user of a changed pair is postponed to the next run, with the reason', async () => {
  const attempted: string[] = [];

  const { results } = await runFleet({
    accounts: accounts('a', 'b', 'c'),
    concurrency: 8,
    pairs: [['b', 'a']],
    attempt: async ({ name }) => {
      attempted.push(name);
      await waitMicrotasks();
      return resultOf(name);
    },
  });

  expect(attempted.sort()).toEqual(['a', 'c']);
  expect(results[1]).toEqual({
    account: 'b',
    secretId: 'b',
    outcome: 'not-due',
    certainty: 'not-due',
    detail:
      'postponed to the next run: this run changed a, the other user of its ThingSpace account',
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
    'was suspended before',
    { outcome: 'stopped', certainty: 'lost', reason: 'password-lost', logins: 0 },
    true,
  ],
  [
    'is in doubt',
    { outcome: 'failed', certainty: 'in-doubt', reason: 'answer-lost', logins: 1 },
    false,
  ],
  [
    'was lost in this run',
    { outcome: 'stopped', certainty: 'lost', reason: 'password-lost', logins: 1 },
    false,
  ],
  [
    'is stored but not verified',
    { outcome: 'failed', certainty: 'changed', reason: 'verify-unavailable', logins: 2 },
    false,
  ],
] as const)(
  'when the first user of a pair %s, the second one is attempted or postponed: %#',
  async (_, first, goesOn) => {
    const attempted: string[] = [];

    await runFleet({
      accounts: accounts('a', 'b'),
      concurrency: 8,
      pairs: [['a', 'b']],
      attempt: async ({ name }) => {
        attempted.push(name);
        return name === 'a' ? resultOf(name, first) : resultOf(name);
      },
    });

    expect(attempted).toEqual(goesOn ? ['a', 'b'] : ['a']);
  },
);

test('a bug ends the run after the other accounts have finished', async () => {
  const finished: string[] = [];

  const running = runFleet({
    pairs: [],
    accounts: accounts('a', 'b', 'c'),
    concurrency: 3,
    attempt: async ({ name }) => {
      if (name === 'a') throw new Error('bug: on purpose');
      await waitMicrotasks();
      return resultOf(name);
    },
    onResult: ({ account }) => finished.push(account),
  });

  await expect(running).rejects.toThrow('bug: on purpose');
  expect(finished).toEqual(['b', 'c']);
});

test('a run is in the audit log with its worst exit code, and a checkpoint follows', async () => {
  const logged: (LoggedEvent | 'checkpoint')[] = [];
  const failures: Record<string, Partial<Result>> = {
    b: { outcome: 'failed', certainty: 'in-doubt', reason: 'answer-lost' },
    c: { outcome: 'failed', certainty: 'unchanged', reason: 'busy', logins: 0 },
  };

  const { exitCode } = await runFleet(
    {
      accounts: accounts('a', 'b', 'c'),
      concurrency: 1,
      pairs: [],
      attempt: async ({ name }) => resultOf(name, failures[name]),
    },
    logged,
  );

  expect(exitCode).toBe(3);
  expect(logged).toEqual([
    expect.objectContaining({ code: 'run.started', accounts: 3 }),
    expect.objectContaining({ code: 'run.finished', exitCode: 3, rotated: 1, failed: 2 }),
    'checkpoint',
  ]);
});

test('a run over no account is in the audit log too', async () => {
  const logged: (LoggedEvent | 'checkpoint')[] = [];

  await runFleet(
    { accounts: [], concurrency: 1, pairs: [], attempt: async () => resultOf('a') },
    logged,
  );

  expect(logged).toEqual([
    expect.objectContaining({ code: 'run.started', accounts: 0 }),
    expect.objectContaining({ code: 'run.finished', exitCode: 0, rotated: 0, failed: 0 }),
    'checkpoint',
  ]);
});

test('overlapping pairs never run at the same time and never deadlock', async () => {
  const queue = openKeyedQueue({
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
      queue.run(name, async () => {
        running += 1;
        most = Math.max(most, running);
        await waitMicrotasks(3);
        running -= 1;
      }),
    ),
  );

  expect(most).toBe(1);
});

test('slow work frees its place, and urgent work uses reserved places', async () => {
  const clock = virtualClock();
  const queue = openKeyedQueue({ concurrency: 1, pairs: [], clock, slowAfterMs: 1000 });
  const done: string[] = [];
  void queue.run('slow', () => new Promise(() => {}));
  void queue.run('next', async () => void done.push('next'));
  void queue.run('urgent', async () => void done.push('urgent'), 'urgent');

  await clock.advance(500);
  const early = [...done];
  await clock.advance(600);

  expect(early).toEqual(['urgent']);
  expect(done).toEqual(['urgent', 'next']);
  expect(queue.isBusy('slow')).toBe(true);
  expect(queue.isBusy('next')).toBe(false);
});

/** A queue on a thread that computes for `share` of the (virtual) time; a test sets it. */
function busyThread() {
  const clock = virtualClock();
  const thread = { share: 1 };
  const queue = openKeyedQueue({
    concurrency: 64,
    pairs: [],
    clock: { ...clock, busyMs: () => thread.share * clock.monotonicMs() },
    slowAfterMs: 1e6,
  });
  const started: string[] = [];
  const start = (name: string, urgent?: 'urgent') =>
    queue.run(name, async () => void started.push(name), urgent);
  return { clock, thread, started, start };
}

test('an account starts when the thread has had time for the accounts before it', async () => {
  const { clock, thread, started, start } = busyThread();
  await start('a');
  await clock.advance(1);

  void start('b');
  await clock.advance(100);
  const busy = [...started];
  thread.share = 0.7;
  await clock.advance(10);

  expect(busy).toEqual(['a']);
  expect(started).toEqual(['a', 'b']);
});

test('a thread that never has time delays an account by a second at most', async () => {
  const { clock, started, start } = busyThread();
  await start('a');
  await clock.advance(1);

  void start('b');
  await clock.advance(990);
  const early = [...started];
  await clock.advance(20);
  const later = [...started];

  expect(early).toEqual(['a']);
  expect(later).toEqual(['a', 'b']);
});

test('an account that a person waits for starts on a busy thread, too', async () => {
  const { clock, started, start } = busyThread();
  await start('a');
  await clock.advance(1);

  await start('b', 'urgent');

  expect(started).toEqual(['a', 'b']);
});
