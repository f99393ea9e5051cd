// Five consecutive failed logins lock the user, and only Verizon unlocks it. A daemon runs for a
// month, every hour or every day, with its retries, and is killed and restarted. It never causes
// more than three.

import { retryDelayMs } from '../../src/scheduler/retry.ts';
import { partOf } from '../harness/sample.ts';
import {
  beginsAtMs,
  createWorld,
  dayMs,
  idOf,
  moveLabel,
  nameOf,
  newestRecord,
  passTime,
  type World,
} from '../harness/world.ts';
import type { Method, Mishap } from '../harness/world-mishaps.ts';
import { handiwork } from '../harness/world-people.ts';
import { randomOf, seedPicks } from '../harness/world-picks.ts';
import { type Config, type Script, simulate, timing } from '../harness/world-run.ts';
import { judge, simulationOf } from './judging.ts';

const hourMs = 3_600_000;

/** What an API and a store do on a bad month, and a machine that is restarted without asking. */
const flapping: readonly Mishap[] = [
  'not sent',
  'dropped',
  'answer lost',
  'late',
  'unavailable',
  'throttled',
  'session refused',
  'crash',
];

type Month = {
  readonly everyMs: number;
  readonly enabled: readonly Mishap[];
  readonly at?: readonly Method[];
  readonly rate: number;
  readonly seed: number;
};

/** The month's end, and the most failed logins in a row that it has seen. */
async function live(world: World, { everyMs, enabled, at, rate, seed }: Month): Promise<number> {
  const only = at ? { at: new Set(at) } : {};
  const config: Config = {
    receipts: 'off',
    resetEndsSessions: true,
    machines: 'many',
    timing,
    enabled: new Set(enabled),
    ...only,
  };
  const picks = seedPicks(randomOf(seed), rate);
  let most = 0;
  for (let runMs = 0; runMs < 30 * dayMs; runMs += everyMs) {
    const simulation = simulationOf(
      world,
      config,
      picks,
      { faults: Number.MAX_SAFE_INTEGER, switches: 0 },
      (now) => {
        judge(now);
        most = Math.max(most, world.strikes);
      },
    );
    passTime(world, Math.max(world.nowMs, runMs), () => judge(simulation));
    await simulate(simulation, [daemon(world, runMs + everyMs)]);
  }
  return most;
}

/** One scheduled run, and the retries of the daemon before the next scheduled run. */
const daemon = (world: World, nextRunMs: number): Script => ({
  name: nameOf(world, 'p'),
  run: async (attempt) => {
    for (let inARow = 1; ; inARow += 1) {
      const waitMs = retryDelayMs(await attempt.rotate(), inARow, timing);
      if (waitMs === null || world.nowMs + waitMs >= nextRunMs) return;
      await attempt.sleep(waitMs);
    }
  },
});

const rhythms = [
  ['every hour', hourMs],
  ['every day', dayMs],
] as const;
/** Each rhythm with two seeds. */
const months = rhythms.flatMap(([name, everyMs]) =>
  [1, 2].map((seed) => [name, seed, everyMs] as const),
);

test.each(partOf(rhythms, 2, 0))(
  'a month of %s against a wrong password spends one login',
  async (_, everyMs) => {
    const world = createWorld();
    handiwork['operator stores the right password'](world);
    moveLabel(world, 'AWSCURRENT', idOf('v0'));

    const most = await live(world, { everyMs, enabled: [], rate: 0, seed: 1 });

    expect(most).toBe(1);
    expect(newestRecord(world)).toMatchObject({
      phase: 'stopped',
      reason: 'login-refused',
      loginsSpent: 1,
    });
  },
);

test.each(partOf(months, 4, 1))(
  'a month of %s (seed %i) against a wrong password and a flapping API spends three at most',
  async (_, seed, everyMs) => {
    const world = createWorld();
    world.live = '§somebody else’s';

    const most = await live(world, { everyMs, enabled: flapping, rate: 0.3, seed });

    expect(most).toBeLessThanOrEqual(3);
    expect(newestRecord(world)?.phase).toBe('stopped');
  },
);

test.each(partOf(rhythms, 2, 2))(
  'a month of %s against a wrong password whose refusals never arrive spends three',
  async (_, everyMs) => {
    const world = createWorld();
    world.live = '§somebody else’s';

    const most = await live(world, {
      everyMs,
      enabled: ['answer lost'],
      at: ['login'],
      rate: 1,
      seed: 1,
    });

    expect(most).toBe(3);
    expect(newestRecord(world)).toMatchObject({ phase: 'stopped', reason: 'login-budget-spent' });
  },
);

test.each(partOf(months, 4, 3))(
  'a month of %s (seed %i) of deaths around every refusal spends three at most',
  async (_, seed, everyMs) => {
    const world = createWorld();
    world.live = '§somebody else’s';

    const most = await live(world, {
      everyMs,
      enabled: ['crash'],
      at: ['putRecord'],
      rate: 0.8,
      seed,
    });

    expect(most).toBeLessThanOrEqual(3);
  },
);

test.each(partOf(months, 4, 4))(
  'a month of %s (seed %i) after a lost answer spends three at most, whatever the API does',
  async (_, seed, everyMs) => {
    const world = createWorld();
    const first = { everyMs: 30 * dayMs, enabled: ['crash, but done'] as const, rate: 1, seed };
    await live(world, first);
    const wasLost = world.resets.at(-1)?.fate === 'done';

    const most = await live(world, { everyMs, enabled: flapping, rate: 0.15, seed });

    expect(wasLost).toBe(true);
    expect(most).toBeLessThanOrEqual(3);
    expect(newestRecord(world)?.phase).toBe('stopped');
  },
);

test.each(partOf(months, 4, 5))(
  'a month of %s (seed %i) with a flapping API and a right password locks nobody out',
  async (_, seed, everyMs) => {
    const most = await live(createWorld(), { everyMs, enabled: flapping, rate: 0.1, seed });

    expect(most).toBeLessThanOrEqual(3);
  },
);

test('an operator who stores a wrong password every day is stopped at the third', async () => {
  const world = createWorld();
  for (let day = 0; day < 10; day += 1) {
    // A wrong value with the age of the old one, so that it is tried at once.
    handiwork['operator stores a wrong password'](world);
    const createdMs = beginsAtMs + world.nowMs - 61 * dayMs;
    world.secret.versions = world.secret.versions.map((version) =>
      version.stages.includes('AWSCURRENT') ? { ...version, createdMs } : version,
    );
    await live(world, { everyMs: 30 * dayMs, enabled: [], rate: 0, seed: 1 });
  }

  expect(world.strikes).toBe(3);
  expect(newestRecord(world)).toMatchObject({
    phase: 'stopped',
    reason: 'login-budget-spent',
    loginsSpent: 3,
  });
});
