// Explores worlds by counting: every schedule of a few faults for one process at a time, and every
// interleaving of two processes with a few switches. Worlds that have the same future are followed
// once.

import {
  copyWorld,
  createWorld,
  currentOf,
  dayMs,
  nameOf,
  newestRecord,
  passTime,
  type World,
} from '../harness/world.ts';
import { keyBetweenRuns, keyWithin, mayReadStale } from '../harness/world-key.ts';
import { countPicks, listedPicks, type Picks } from '../harness/world-picks.ts';
import {
  type Config,
  type Script,
  type Simulation,
  type Step,
  simulate,
  timing,
} from '../harness/world-run.ts';
import { waitsForPerson } from './judges/7-settles.ts';
import { isDueAndHealthy, rotated } from './judges/9-rotated.ts';
import {
  Broken,
  type Budget,
  judge,
  mishapSets,
  Objection,
  simulationOf,
  unfinished,
} from './judging.ts';

/** What is explored. `switches` is undefined for one process at a time. */
export type Scope = {
  readonly receipts: Config['receipts'];
  readonly session: 'ends' | 'stays';
  readonly machines: Config['machines'];
  readonly mishaps: keyof typeof mishapSets;
  readonly faults: number;
  readonly switches?: number;
  readonly plant?: Config['plant'];
  readonly timing?: Config['timing'];
};

export type Explored = { readonly worlds: number; readonly steps: number; readonly states: number };
type Count = { -readonly [Key in keyof Explored]: Explored[Key] };

/**
 * Milliseconds between two runs: at once, when leases are over, when doubts have settled, when the
 * next rotation is due.
 */
const gapsMs = [0, 100_000, 200_000, 61 * dayMs] as const;

/** Runs without faults in which every account must come to rest. */
const runsToFinish = 5;

/** This world has the same future as one before; it is followed there. */
class Known extends Error {}

/** One run from a world: which gap before it, and which picks in it. */
type Leg = { readonly gap: number; readonly picks: readonly number[] };
type Node = {
  readonly world: World;
  readonly faultsLeft: number;
  readonly before: Node | null;
  readonly leg: Leg | null;
  readonly steps: readonly Step[];
};

const configOf = ({
  receipts,
  session,
  machines,
  mishaps,
  plant,
  timing: chosen,
}: Scope): Config => ({
  receipts,
  resetEndsSessions: session === 'ends',
  machines,
  timing: chosen ?? timing,
  enabled: mishapSets[mishaps],
  ...(plant ? { plant } : {}),
});

const once = (world: World): Script => ({
  name: nameOf(world, 'p'),
  run: async (attempt) => {
    await attempt.rotate();
  },
});

/**
 * Every schedule of up to `faults` faults in which one process runs at a time, however many runs it
 * takes: all worlds that can be reached between two runs, each followed by every run with the
 * faults that are left.
 */
export async function exploreOneByOne(scope: Scope): Promise<Explored> {
  const explored: Count = { worlds: 0, steps: 0, states: 0 };
  const seen = new Set<string>();
  const finished = new Set<string>();
  const levels: Node[][] = Array.from({ length: scope.faults + 1 }, () => []);
  const config = configOf(scope);
  const add = (node: Node): void => {
    const key = keyBetweenRuns(node.world, mayReadStale(config));
    // Levels are worked off from most faults left to none, so what was seen was seen with at least
    // as many.
    if (seen.has(key)) return;
    seen.add(key);
    levels[node.faultsLeft]?.push(node);
  };
  add({ world: createWorld(), faultsLeft: scope.faults, before: null, leg: null, steps: [] });
  for (let left = scope.faults; left >= 0; left -= 1) {
    for (let node = levels[left]?.shift(); node; node = levels[left]?.shift()) {
      explored.states += 1;
      await expectFinished(node, scope, finished, explored);
      for (const gap of gapsOf(node.world)) await exploreRun(node, gap, scope, explored, add);
    }
  }
  return explored;
}

/**
 * With something open, leases and settle times matter; with nothing open, only whether the next
 * rotation is due.
 */
const gapsOf = (world: World): readonly number[] => (isOpen(world) ? [0, 1, 2] : [0, 3]);

function isOpen(world: World): boolean {
  const record = newestRecord(world);
  const current = currentOf(world);
  if (world.commits.length > 0 || current.password !== world.live) return true;
  return record !== null && (record.phase !== 'released' || record.open !== undefined);
}

/** Every run from this world, after this gap. */
async function exploreRun(
  node: Node,
  gap: number,
  scope: Scope,
  explored: Count,
  add: (node: Node) => void,
): Promise<void> {
  const known = new Set<string>();
  const picks = countPicks();
  do {
    const world = copyWorld(node.world);
    const simulation = simulationOf(
      world,
      configOf(scope),
      picks,
      { faults: node.faultsLeft, switches: 0 },
      (now) => {
        judge(now);
        if (now.faultsLeft > 0 && picks.isNew) exploreFrom(now, known);
      },
    );
    const after = (): Node => ({
      world,
      faultsLeft: simulation.faultsLeft,
      before: node,
      leg: { gap, picks: picks.taken },
      steps: simulation.steps,
    });
    explored.worlds += 1;
    try {
      passTime(world, world.nowMs + (gapsMs[gap] ?? 0), () => judge(simulation));
      await simulate(simulation, [once(world)]);
      add(after());
    } catch (error) {
      if (error instanceof Objection) throw broken(error, after(), scope);
      if (!(error instanceof Known)) throw error;
    }
    explored.steps += simulation.steps.length;
  } while (picks.next());
}

function exploreFrom(simulation: Simulation, known: Set<string>): void {
  const key = keyWithin(simulation);
  if (known.has(key)) throw new Known();
  known.add(key);
}

/**
 * Two processes at once: every interleaving of their calls, with up to `faults` faults and up to
 * `switches` voluntary changes of the process. A change because one waits or is paused does not
 * count. The second one tries up to three times.
 */
export async function exploreTwo(scope: Scope): Promise<Explored> {
  const explored: Count = { worlds: 0, steps: 0, states: 0 };
  const known = new Set<string>();
  const finished = new Set<string>();
  const picks = countPicks();
  do {
    const world = createWorld();
    const simulation = simulationOf(world, configOf(scope), picks, budgetOf(scope), (now) => {
      judge(now);
      if (picks.isNew) exploreFrom(now, known);
    });
    const after = (): Node => ({
      world,
      faultsLeft: 0,
      before: start,
      leg: { gap: 0, picks: picks.taken },
      steps: simulation.steps,
    });
    explored.worlds += 1;
    try {
      await simulate(simulation, [once(world), persistent(world, picks)]);
      explored.states += 1;
      await expectFinished(after(), scope, finished, explored);
    } catch (error) {
      if (error instanceof Objection) throw broken(error, after(), scope);
      if (!(error instanceof Known)) throw error;
    }
    explored.steps += simulation.steps.length;
  } while (picks.next());
  return explored;
}

const start: Node = { world: createWorld(), faultsLeft: 0, before: null, leg: null, steps: [] };
const budgetOf = ({ faults, switches = 0 }: Scope): Budget => ({ faults, switches });

/** Tries up to three times: at once, after the lease, or after the settle time. */
const persistent = (world: World, picks: Picks): Script => ({
  name: nameOf(world, 'p'),
  run: async (attempt) => {
    for (let tries = 1; tries <= 3; tries += 1) {
      const result = await attempt.rotate();
      if (result.outcome !== 'failed' || tries === 3) return;
      await attempt.sleep(gapsMs[picks.pick(3)] ?? 0);
    }
  },
});

/**
 * Without faults from here on: no rotation is in progress after a bounded number of runs.
 * `finished` has the keys of the worlds for which this is known.
 */
async function expectFinished(
  node: Node,
  scope: Scope,
  finished: Set<string>,
  explored: Count,
): Promise<void> {
  const config = configOf(scope);
  const passed: string[] = [];
  const run = { world: node.world, steps: [...node.steps] };
  let objection: Objection | null = null;
  for (let runs = 0; runs < runsToFinish; runs += 1) {
    const key = `${runs}${keyBetweenRuns(run.world, mayReadStale(config))}`;
    if (finished.has(key)) break;
    passed.push(key);
    explored.worlds += 1;
    run.world = copyWorld(run.world);
    ({ objection } = await runWithoutFaults(run, runs, config).catch((error: unknown) => {
      throw error instanceof Objection
        ? broken(error, { ...node, steps: run.steps }, scope)
        : error;
    }));
    if (objection === null) break;
  }
  if (
    objection !== null &&
    passed.length > 0 &&
    passed.at(-1)?.startsWith(String(runsToFinish - 1))
  )
    throw broken(
      new Objection(
        objection.promise,
        `after ${runsToFinish} runs without faults: ${objection.message}`,
      ),
      { ...node, steps: run.steps },
      scope,
    );
  for (const key of passed) finished.add(key);
}

/**
 * One run without faults, and what is still unfinished after it. A wrong password that a person
 * stored is only detected when it is due.
 */
async function runWithoutFaults(
  run: { world: World; readonly steps: Step[] },
  runs: number,
  config: Config,
): Promise<{ objection: Objection | null; waits: boolean }> {
  const { world } = run;
  const { planned: _, ...quiet } = config;
  const simulation = simulationOf(world, quiet, listedPicks([]), { faults: 0, switches: 0 });
  const gap = runs === 3 ? 3 : 2;
  try {
    passTime(world, world.nowMs + gapsMs[gap], () => judge(simulation));
    await simulate(simulation, [once(world)]);
  } finally {
    run.steps.push(...simulation.steps);
  }
  const last = simulation.processes.at(-1)?.results.at(-1);
  return { objection: unfinished(simulation), waits: waitsForPerson.includes(last?.reason) };
}

/**
 * Runs without faults until the account has come to rest, and until it has been rotated once more
 * where it is healthy; what a judge still waits for then.
 */
export async function finish(
  world: World,
  config: Config,
  steps: Step[],
): Promise<Objection | null> {
  let objection: Objection | null = null;
  for (let runs = 0; runs < runsToFinish; runs += 1) {
    ({ objection } = await runWithoutFaults({ world, steps }, runs, config));
    if (objection === null) break;
  }
  if (objection !== null)
    return new Objection(
      objection.promise,
      `after ${runsToFinish} runs without faults: ${objection.message}`,
    );
  passTime(world, world.nowMs + gapsMs[3], () => {});
  if (!isDueAndHealthy(world)) return null;
  const before = copyWorld(world);
  for (let runs = 0; runs < 2 && world.live === before.live; runs += 1) {
    const { waits } = await runWithoutFaults({ world, steps }, runs, config);
    if (waits) return null;
  }
  const wrong = rotated(before, world);
  return wrong === null ? null : new Objection('promise 9', wrong);
}

function broken(objection: Objection, last: Node, scope: Scope): Broken {
  const nodes: Node[] = [];
  for (let node: Node | null = last; node; node = node.before) nodes.unshift(node);
  const legs = nodes.flatMap(({ leg }) => (leg ? [`${leg.gap}:${leg.picks.join('.')}`] : []));
  const steps = nodes.flatMap((node) => node.steps);
  return new Broken(objection, steps, `--replay ${[formatScope(scope), ...legs].join('/')}`);
}

/**
 * A scope in a word, for the command line: receipts,session,machines,mishaps,faults and, for two
 * processes, switches.
 */
function formatScope({ receipts, session, machines, mishaps, faults, switches }: Scope): string {
  return [
    receipts,
    session,
    machines,
    mishaps,
    faults,
    ...(switches === undefined ? [] : [switches]),
  ].join(',');
}

export function parseScope(text: string): Scope {
  const [receipts, session, machines, mishaps, faults, switches] = text.split(',');
  const two = switches === undefined ? {} : { switches: Number(switches) };
  return { receipts, session, machines, mishaps, faults: Number(faults), ...two } as Scope;
}

/** Every world in the scope. */
export function explore(scope: Scope): Promise<Explored> {
  return scope.switches === undefined ? exploreOneByOne(scope) : exploreTwo(scope);
}

/**
 * Goes through the schedule that a broken promise printed, and on to rest; throws as the
 * exploration did.
 */
export async function replay(text: string): Promise<void> {
  const [where = '', ...legs] = text.split('/');
  const scope = parseScope(where);
  const config = configOf(scope);
  const world = createWorld();
  const node: Node = { world, faultsLeft: 0, before: start, leg: null, steps: [] };
  const budget = { ...budgetOf(scope) };
  for (const leg of legs) {
    const [gap = '0', taken = ''] = leg.split(':');
    const picks = listedPicks(taken === '' ? [] : taken.split('.').map(Number));
    const simulation = simulationOf(world, config, picks, budget);
    try {
      passTime(world, world.nowMs + (gapsMs[Number(gap)] ?? 0), () => judge(simulation));
      await simulate(
        simulation,
        scope.switches === undefined ? [once(world)] : [once(world), persistent(world, picks)],
      );
    } catch (error) {
      throw error instanceof Objection
        ? broken(error, { ...node, steps: simulation.steps }, scope)
        : error;
    }
    budget.faults = simulation.faultsLeft;
  }
  await expectFinished(node, scope, new Set(), { worlds: 0, steps: 0, states: 0 });
}
