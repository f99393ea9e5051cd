// A schedule as a story: round after round of processes in one world, and what goes wrong in them.
// `found.test.ts` tells stories; the swarm tells one from a seed and prints the one that it found.

import type { Result } from '../../src/rotation/state.ts';
import { createWorld, passTime, type World } from '../harness/world.ts';
import { type Act, type ProcessPlan, scriptOf } from '../harness/world-acts.ts';
import { type Handiwork, handiwork } from '../harness/world-people.ts';
import { listedPicks, type Picks } from '../harness/world-picks.ts';
import {
  type Config,
  type Planned,
  type Simulation,
  type Step,
  simulate,
  timing,
} from '../harness/world-run.ts';
import { type Budget, judge, simulationOf } from './judging.ts';

export type Round = {
  /** Seconds since the round before. */
  readonly after?: number;
  /** What a person does then. */
  readonly by?: Handiwork;
  /** One process, which does this once; by default it rotates. */
  readonly act?: Act;
  /** Several processes, or one that does more. */
  readonly processes?: readonly ProcessPlan[];
  /** What goes wrong, in order. */
  readonly mishaps?: readonly Planned[];
};

export type Setting = Partial<
  Pick<Config, 'receipts' | 'resetEndsSessions' | 'machines' | 'plant' | 'timing'>
>;

export const defaults = {
  receipts: 'off',
  resetEndsSessions: true,
  machines: 'many',
  timing,
} as const satisfies Config;

/** Plays one round. `steps` takes what happened, also when a judge objects. */
export async function play(
  world: World,
  config: Config,
  { after = 0, by, act = 'rotate', processes = [{ acts: [act] }] }: Round,
  { picks, budget, steps }: { picks: Picks; budget: Budget; steps: Step[] },
): Promise<Simulation> {
  const simulation = simulationOf(world, config, picks, budget);
  try {
    passTime(world, world.nowMs + after * 1_000, () => judge(simulation));
    if (by) handiwork[by](world);
    await simulate(
      simulation,
      processes.map((plan) => scriptOf(world, plan)),
    );
  } finally {
    steps.push(...simulation.steps);
  }
  return simulation;
}

/** The world after these rounds, and how the first process of each ended; null where it died. */
type Told = { readonly world: World; readonly results: readonly (Result | null)[] };

export async function storyIn(setting: Setting, ...rounds: Round[]): Promise<Told> {
  const world = createWorld();
  const results: (Result | null)[] = [];
  for (const round of rounds) {
    const planned = [...(round.mishaps ?? [])];
    const config = { ...defaults, ...setting, planned };
    const budget = { faults: 0, switches: 0 };
    const how = { picks: listedPicks([]), budget, steps: [] };
    const { processes } = await play(world, config, round, how);
    if (planned.length > 0) throw new Error(`did not happen: ${JSON.stringify(planned)}`);
    results.push(processes[0]?.results.at(-1) ?? null);
  }
  return { world, results };
}

export const story = (...rounds: Round[]): ReturnType<typeof storyIn> => storyIn({}, ...rounds);

/** How the runs ended, in words. */
export const ends = (results: readonly (Result | null)[]): string[] =>
  results.map((result) => result?.reason ?? result?.outcome ?? 'died');

/** The events of a round that was played with picks, as a story plans them. */
export function plannedOf(steps: readonly Step[]): Planned[] {
  const planned: Planned[] = [];
  let since = 0;
  for (const [index, { process, call, mishap }] of steps.entries()) {
    if (mishap === null) continue;
    const what = `${process} ${call}`;
    const earlier = steps
      .slice(since, index)
      .filter((step) => step.mishap === null && `${step.process} ${step.call}`.startsWith(what));
    planned.push(...earlier.map(() => [what, null] as const), [what, mishap]);
    since = index + 1;
  }
  return planned;
}

/** A test for found.test.ts. */
export function formatStory(title: string, setting: Setting, rounds: readonly Round[]): string {
  const lines = rounds.map((round) => `    ${format(round)},`);
  return [
    `test(${JSON.stringify(title)}, async () => {`,
    `  await storyIn(`,
    `    ${format(setting)},`,
    ...lines,
    '  );',
    '});',
  ].join('\n');
}

const format = (value: object): string =>
  JSON.stringify(value)
    .replace(/"([A-Za-z]+)":/g, '$1: ')
    .replaceAll('"', "'");
