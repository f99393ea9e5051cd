// Worlds from seeds, beyond what can be counted: up to three processes at once, every act, many
// rounds, people who meddle, and in each world another choice of mishaps. Every choice is a pick,
// so that a world which breaks a promise can be shrunk.

import { createWorld, type World } from '../harness/world.ts';
import { everyAct, type ProcessPlan } from '../harness/world-acts.ts';
import { everyMishap } from '../harness/world-mishaps.ts';
import { type Handiwork, handiwork, isPossible } from '../harness/world-people.ts';
import { lenientPicks, type Picks, randomOf, seedPicks } from '../harness/world-picks.ts';
import type { Config, Step } from '../harness/world-run.ts';
import { type Explored, finish } from './explore.ts';
import { Broken, Objection } from './judging.ts';
import { reachedCrashes } from './reached.ts';
import { shrink } from './shrink.ts';
import { defaults, formatStory, plannedOf, play, type Round } from './story.ts';

/** One world from a seed. Throws Broken with a story that has been shrunk. */
export async function exploreSeed(seed: number, faults: number): Promise<Explored> {
  const random = randomOf(seed);
  const rate = [0.02, 0.05, 0.1, 0.3][Math.floor(random() * 4)] ?? 0.1;
  const picks = seedPicks(random, rate);
  const tale = await tell(picks, faults);
  reachedCrashes(tale.steps);
  if (tale.objection) throw await shrunk(picks.taken, tale.objection, { seed, faults });
  return { worlds: 1, steps: tale.steps.length, states: tale.rounds.length };
}

type Tale = {
  readonly config: Config;
  readonly rounds: Round[];
  readonly steps: Step[];
  objection: Objection | null;
};

async function shrunk(
  taken: readonly number[],
  { promise }: Objection,
  { seed, faults }: { readonly seed: number; readonly faults: number },
): Promise<Broken> {
  const best = await shrink(taken, async (list) => {
    const { objection } = await tell(lenientPicks(list), faults);
    return objection?.promise === promise;
  });
  const { config, rounds, steps, objection } = await tell(lenientPicks(best), faults);
  if (!objection) throw new Error('bug: what was shrunk breaks nothing');
  const { receipts, resetEndsSessions, machines } = config;
  const setting = { receipts, resetEndsSessions, machines };
  const title = `${promise}: ${objection.message}`;
  const replay = `--seed ${seed} --runs 1 --faults ${faults}`;
  return new Broken(objection, steps, replay, formatStory(title, setting, rounds));
}

/** The world of these picks, and what a judge objects to. A bug of the world is thrown. */
async function tell(picks: Picks, faults: number): Promise<Tale> {
  const config = configFrom(picks);
  const tale: Tale = { config, rounds: [], steps: [], objection: null };
  const world = createWorld();
  const count = 1 + picks.pick(5);
  let left = faults;
  try {
    for (let number = 0; number < count; number += 1) {
      const round = roundFrom(picks, world);
      const steps: Step[] = [];
      const budget = { faults: left, switches: Number.MAX_SAFE_INTEGER };
      try {
        left = (await play(world, config, round, { picks, budget, steps })).faultsLeft;
      } finally {
        tale.steps.push(...steps);
        tale.rounds.push({ ...round, mishaps: plannedOf(steps) });
      }
    }
    tale.objection = await finish(world, config, tale.steps);
  } catch (error) {
    if (!(error instanceof Objection)) throw error;
    tale.objection = error;
  }
  return tale;
}

const oneOf = <T>(picks: Picks, list: readonly T[]): T => list[picks.pick(list.length)] as T;

/** A swarm: worlds with few kinds of mishaps reach what worlds with all of them never do. */
function configFrom(picks: Picks): Config {
  const receipts = oneOf(picks, ['off', 'sealed', 'readable'] as const);
  const resetEndsSessions = oneOf(picks, [true, false]);
  const machines = oneOf(picks, ['many', 'one'] as const);
  const swarm = picks.pick(1_000_000);
  const random = randomOf(swarm);
  const enabled = new Set(everyMishap.filter(() => swarm === 0 || random() < 0.4));
  return { ...defaults, receipts, resetEndsSessions, machines, anyOrder: true, enabled };
}

const everyDeed = Object.keys(handiwork) as Handiwork[];

/** Seconds between two rounds. */
const gaps = [0, 1, 5, 60, 100, 150, 200, 700, 61 * 86_400] as const;

function roundFrom(picks: Picks, world: World): Round {
  const after = oneOf(picks, gaps);
  const count = oneOf(picks, [1, 1, 2, 3]);
  const processes = Array.from({ length: count }, () => processFrom(picks));
  const deed = oneOf(picks, [undefined, undefined, undefined, ...everyDeed]);
  const by = deed !== undefined && isPossible(deed, world) ? { by: deed } : {};
  return { after, ...by, processes };
}

/** Half of all acts rotate: the others need something to act on. */
function processFrom(picks: Picks): ProcessPlan {
  const count = oneOf(picks, [1, 1, 2, 3]);
  const acts = Array.from({ length: count }, (_, index) => {
    const act = picks.pick(2) === 0 ? 'rotate' : oneOf(picks, everyAct);
    return [index === 0 ? 0 : picks.pick(250), act] as const;
  });
  const clockHours = oneOf(picks, [0, 0, 0, -1, 1]);
  const limitSeconds = oneOf(picks, [undefined, undefined, 900, 100]);
  return {
    acts,
    ...(clockHours === 0 ? {} : { clockHours }),
    ...(limitSeconds === undefined ? {} : { limitSeconds }),
  };
}
