// Worlds from seeds, beyond what can be counted: up to three processes at once, many rounds, people
// who meddle, and in each world another choice of mishaps.

import { createWorld, nameOf, newestRecord, passTime, type World } from '../harness/world.ts';
import { everyMishap } from '../harness/world-mishaps.ts';
import { randomOf, seedPicks } from '../harness/world-picks.ts';
import { type Config, type Script, type Step, simulate, timing } from '../harness/world-run.ts';
import { type Explored, gapsMs, runWithoutFaults } from './explore.ts';
import { Broken, judge, Objection, simulationOf } from './judging.ts';

/** Runs without faults in which every account must come to rest. */
const runsToFinish = 5;

/**
 * One world from a seed: its ways, its mishaps and how likely they are, its processes, and when
 * they run.
 */
export async function exploreSeed(seed: number, faults: number): Promise<Explored> {
  const random = randomOf(seed);
  const config = configFrom(random);
  const picks = seedPicks(random, oneOf(random, [0.02, 0.05, 0.1, 0.3]));
  const world = createWorld();
  const steps: Step[] = [];
  const fail = (error: unknown): unknown =>
    error instanceof Objection
      ? new Broken(error, steps, `--seed ${seed} --runs 1 --faults ${faults}`)
      : error;
  const rounds = 1 + Math.floor(random() * 8);
  let left = faults;
  for (let round = 0; round < rounds; round += 1) {
    const simulation = simulationOf(world, config, picks, {
      faults: left,
      switches: Number.MAX_SAFE_INTEGER,
    });
    try {
      passTime(world, world.nowMs + oneOf(random, [...gapsMs, 5_000, 60_000, 150_000]), () =>
        judge(simulation),
      );
      await simulate(simulation, scriptsFrom(random, world));
    } catch (error) {
      steps.push(...simulation.steps);
      throw fail(error);
    }
    steps.push(...simulation.steps);
    left = simulation.faultsLeft;
  }
  let objection: Objection | null = null;
  for (let runs = 0; runs < runsToFinish; runs += 1) {
    objection = await runWithoutFaults({ world, steps }, runs, config).catch((error: unknown) => {
      throw fail(error);
    });
    if (objection === null) return { worlds: 1, steps: steps.length, states: rounds };
  }
  throw fail(objection);
}

function oneOf<T>(random: () => number, list: readonly T[]): T {
  return list[Math.floor(random() * list.length)] as T;
}

/** A swarm: worlds with few kinds of mishaps reach what worlds with all of them never do. */
const configFrom = (random: () => number): Config => ({
  receipts: oneOf(random, ['off', 'sealed', 'readable']),
  resetEndsSessions: random() < 0.5,
  machines: oneOf(random, ['one', 'many']),
  timing,
  anyOrder: true,
  enabled: new Set(everyMishap.filter(() => random() < 0.4)),
});

function scriptsFrom(random: () => number, world: World): Script[] {
  const scripts = Array.from({ length: oneOf(random, [1, 2, 2, 3]) }, () => daemon(world, random));
  const isStopped = newestRecord(world)?.phase === 'stopped';
  return isStopped && random() < 0.5 ? [resuming(world), ...scripts] : scripts;
}

/** One to three attempts, some time apart, by a wall clock that may be an hour off. */
function daemon(world: World, random: () => number): Script {
  const gapsMs = Array.from(
    { length: 1 + Math.floor(random() * 3) },
    () => Math.floor(random() * 250) * 1_000,
  );
  return {
    name: nameOf(world, 'p'),
    wallOffsetMs: Math.floor((random() - 0.5) * 7_200_000),
    run: async (attempt) => {
      for (const [index, gapMs] of gapsMs.entries()) {
        if (index > 0) await attempt.sleep(gapMs);
        await attempt.rotate();
      }
    },
  };
}

/** A person clears the suspension after a login with the password, as the runbook says. */
const resuming = (world: World): Script => ({
  name: nameOf(world, 'person'),
  run: async (attempt) => {
    await attempt.rotate('resume');
  },
});
