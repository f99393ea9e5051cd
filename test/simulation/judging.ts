// The judges, and what happens when one objects: the world ends, and people get the schedule and
// the one command that replays it.

import type { World } from '../harness/world.ts';
import {
  coreMishaps,
  everyMishap,
  type Mishap,
  refusalMishaps,
  togetherMishaps,
} from '../harness/world-mishaps.ts';
import type { Picks } from '../harness/world-picks.ts';
import type { Config, Simulation, Step } from '../harness/world-run.ts';
import { neverLost } from './judges/1-never-lost.ts';
import { onlyResetAnswers } from './judges/2-only-reset-answers.ts';
import { loginBudget } from './judges/3-login-budget.ts';
import { provenBeforeReset } from './judges/4-proven-before-reset.ts';
import { oneInFlight } from './judges/5-one-in-flight.ts';
import { audited, auditedAtEnd } from './judges/6-audited.ts';
import { unsettled } from './judges/7-settles.ts';
import { nothingLeaks } from './judges/8-nothing-leaks.ts';
import { truthful } from './judges/10-truthful.ts';
import { needed } from './judges/11-needed.ts';
import { oneReset } from './judges/12-one-reset.ts';

const judges = [
  ['promise 1', neverLost],
  ['promise 2', onlyResetAnswers],
  ['promise 3', loginBudget],
  ['promise 5', oneInFlight],
  ['promise 4', provenBeforeReset],
  ['promise 6', audited],
  ['promise 8', nothingLeaks],
  ['promise 10', truthful],
  ['promise 11', needed],
  ['promise 12', oneReset],
] as const;

/** What a judge says; a schedule is put to it where one is known. */
export class Objection extends Error {
  readonly promise: string;

  constructor(promise: string, what: string) {
    super(what);
    this.promise = promise;
  }
}

/** A promise that was not kept, by which schedule, and how to see it again. */
export class Broken extends Error {
  readonly promise: string;
  readonly schedule: string;

  constructor(
    { promise, message }: Objection,
    steps: readonly Step[],
    replay: string,
    story?: string,
  ) {
    const schedule = steps.map(show).join('\n');
    const test = story === undefined ? '' : `\n\nas a test for found.test.ts:\n\n${story}`;
    const command = `replay: npm run sim -- ${replay}`;
    super(`${promise} is broken: ${message}\n\n${schedule}${test}\n\n${command}`);
    this.name = 'Broken';
    this.promise = promise;
    this.schedule = schedule;
  }
}

const show = ({ atMs, process, call, mishap }: Step): string =>
  `${String(atMs / 1000).padStart(10)} s  ${process}  ` +
  `${call}${mishap === null ? '' : `   <<< ${mishap}`}`;

/** Asks every judge about the present world. Throws an Objection. */
export function judge(simulation: Simulation): void {
  for (const [promise, object] of judges) {
    const objection = object(simulation);
    if (objection !== null) throw new Objection(promise, objection);
  }
}

/** What the judges of the end still wait for; null when no rotation is in progress. */
export function unfinished(simulation: Simulation): Objection | null {
  const open = unsettled(simulation, simulation.processes.at(-1)?.results.at(-1));
  if (open !== null) return new Objection('promise 7', open);
  const silent = auditedAtEnd(simulation);
  return silent === null ? null : new Objection('promise 6', silent);
}

/** Which mishaps an exploration combines; the name is part of a replay. */
export const mishapSets = {
  all: new Set(everyMishap),
  core: coreMishaps,
  together: togetherMishaps,
  refusals: refusalMishaps,
} satisfies Record<string, ReadonlySet<Mishap>>;

export type Budget = { readonly faults: number; readonly switches: number };

export function simulationOf(
  world: World,
  config: Config,
  picks: Picks,
  { faults, switches }: Budget,
  afterStep = judge,
): Simulation {
  const nothingYet = {
    processes: [],
    running: null,
    steps: [],
    said: [],
    statements: [],
    logins: [],
    records: [],
    auditJudged: world.audit.length,
  };
  return {
    world,
    config,
    picks,
    faultsLeft: faults,
    switchesLeft: switches,
    afterStep,
    ...nothingYet,
  };
}
