// Runs processes in a world: the production loop over ports whose every call waits until it is
// picked. No timers and no real time: between two steps the microtasks run dry, so the same picks
// give the same world, to the letter. What the calls do is in world-ports.ts.

import { runStep } from '../../src/lambda/rotation-steps.ts';
import type { Invocation } from '../../src/lambda/runtime.ts';
import type { Ports } from '../../src/rotation/ports.ts';
import type { AttemptRecord, Owner } from '../../src/rotation/record.ts';
import { rotate } from '../../src/rotation/rotate.ts';
import type { Request, Result, Timing } from '../../src/rotation/state.ts';
import { type AccountStatus, readStatus } from '../../src/rotation/status.ts';
import { account, mayBeStale, passTime, secretId, type World } from './world.ts';
import {
  clockSteps,
  latePauses,
  type Method,
  type Mishap,
  mishaps,
  pauses,
} from './world-mishaps.ts';
import { type Handiwork, handiwork, isPossible } from './world-people.ts';
import type { Picks } from './world-picks.ts';
import { portsOf } from './world-ports.ts';

/** One entry of a story: what happens at the next call that begins like this. */
export type Planned = readonly [
  call: string,
  /** `null`: nothing, and the next such call is meant. */
  event: Mishap | 'served first' | `switch to ${string}` | null,
];

/** What a world is like, besides what happens in it. */
export type Config = {
  /** `sealed`: written, to be opened elsewhere. `readable`: with the identity on the machine. */
  readonly receipts: 'off' | 'sealed' | 'readable';
  readonly resetEndsSessions: boolean;
  /** On one machine it is known that a process has ended; across machines it is unknown. */
  readonly machines: 'one' | 'many';
  readonly timing: Timing;
  /** Calls side by side are served in any order, not in the order in which they were made. */
  readonly anyOrder?: true;
  /** Which mishaps there are; without it all of them. */
  readonly enabled?: ReadonlySet<Mishap>;
  /** At which calls; without it at all of them. */
  readonly at?: ReadonlySet<Method>;
  /** The events of a story, in order. Nothing is picked then. */
  readonly planned?: Planned[];
  /** A bug put around the ports, to see a judge fail. */
  readonly plant?: (ports: Ports, simulation: Simulation, process: Process) => Ports;
};

/** What the worlds are set to; the server keeps to it whatever a process believes. */
export const timing: Timing = {
  requestTimeoutMs: 10_000,
  resetTimeoutMs: 60_000,
  settleMs: 120_000,
};

/** A login of the present attempt: with which password, and the answer. */
export type Login = {
  readonly password: string;
  told: 'nothing' | 'accepted' | 'refused' | 'unknown' | 'not-sent';
};

/** One attempt of a process, or one reading of the status, for the judges. */
export type Attempted = {
  readonly process: string;
  readonly number: number;
  readonly request: Request | null;
  readonly logins: Login[];
  /** The count of logins in the record below its own ones. */
  countedBelow: number;
  /** How many logins it had made before it built on that record. */
  loginsBelow: number;
  /** Somebody else, or an earlier write, changed the world meanwhile. */
  isDisturbed: boolean;
  /** Somebody restored a backup meanwhile: records that it had read or written are gone. */
  isRestored: boolean;
  /** One of its reads got no answer, or an outdated one. */
  isBlind: boolean;
};

/** One process and what it has in hand. */
export type Process = {
  readonly name: string;
  alive: boolean;
  attempt: Attempted;
  owner: Owner | null;
  /** What the newest `resetting` record that it wrote calls the rotation. */
  rotationId: string | null;
  loginOrder: number;
  names: number;
  wallOffsetMs: number;
  pausedUntilMs: number;
  /** All reads at this time are outdated. */
  staleAtMs: number;
  /** When the platform ends it. */
  readonly deadlineMs: number;
  readonly interrupt: AbortController;
  calls: Call[];
  timers: Timer[];
  /** A digest of all responses to it. Two processes with the same digest are at the same point. */
  digest: number;
  results: Result[];
  /** How many of them have been judged. */
  judged: number;
};

export type Timer = { readonly atMs: number; readonly what: string; readonly fire: () => void };

export type Call = {
  readonly process: Process;
  readonly method: Method;
  readonly what: string;
  readonly madeAtMs: number;
  readonly perform: (mishap: Mishap | null) => void;
};

/** A step, for people who read a failed schedule. */
export type Step = {
  readonly atMs: number;
  readonly process: string;
  readonly call: string;
  readonly mishap: Planned[1];
  /** The calls that the process had in hand. */
  readonly beside?: readonly string[];
};

/** What a process says besides a result, for the judges. */
export type Statement =
  | { readonly of: 'result'; readonly attempt: Attempted; readonly result: Result }
  | { readonly of: 'status'; readonly attempt: Attempted; readonly status: AccountStatus }
  | {
      readonly of: 'step';
      readonly attempt: Attempted;
      readonly step: string;
      readonly token: string;
    };

export type Simulation = {
  readonly world: World;
  readonly config: Config;
  readonly picks: Picks;
  readonly processes: Process[];
  faultsLeft: number;
  switchesLeft: number;
  running: Process | null;
  /** How many audit events have been judged. */
  auditJudged: number;
  readonly steps: Step[];
  /** Events and results that no judge has checked yet. */
  readonly said: unknown[];
  /** Results, statuses and steps that no judge has checked yet. */
  readonly statements: Statement[];
  /** Logins that were decided on and not judged yet. */
  readonly logins: { readonly process: Process; readonly password: string }[];
  /** Records that were given to the store and not judged yet. */
  readonly records: { readonly attempt: Attempted; readonly record: AttemptRecord }[];
  /** After every step; throws to end the world. */
  readonly afterStep: (simulation: Simulation) => void;
};

/** What a process does: attempts, one after the other. */
export type Script = {
  readonly name: string;
  readonly wallOffsetMs?: number;
  /** How long the platform lets it run. */
  readonly limitMs?: number;
  readonly run: (attempt: Attempt) => Promise<void>;
};
/** What is asked for; the rest is as the command line and the scheduler fill it in. */
export type Order = Partial<
  Pick<Request, 'purpose' | 'force' | 'keyDigest' | 'native' | 'impatient' | 'receipt' | 'abandon'>
>;
export type StepName = 'createSecret' | 'setSecret' | 'testSecret' | 'finishSecret';
export type Attempt = {
  readonly process: Process;
  rotate(order?: Order): Promise<Result>;
  status(): Promise<AccountStatus>;
  /** A step of Secrets Manager's own rotation; whether it succeeded. */
  step(name: StepName, token: string): Promise<boolean>;
  sleep(ms: number): Promise<void>;
};

const requestOf = (config: Config, order: Order): Request => ({
  account,
  secretId,
  purpose: 'rotate',
  force: false,
  impatient: false,
  trigger: { kind: order.native ? 'native' : order.impatient ? 'recovery' : 'schedule' },
  policy: { rotateAfterDays: 60, maxAgeDays: 90 },
  timing: config.timing,
  ...order,
});

/**
 * How many microtasks a process may need from an answer to its next call. Too few shows: a process
 * would then wait for nothing.
 */
const microtasks = 48;

/** Runs the scripts until each has ended or died, and leaves the world as it is then. */
export async function simulate(simulation: Simulation, scripts: readonly Script[]): Promise<void> {
  const ended = new Set<Process>();
  const bugs: unknown[] = [];
  for (const script of scripts) {
    const process = createProcess(script, simulation.world.nowMs);
    simulation.processes.push(process);
    script.run(attemptsOf(simulation, process)).then(
      () => ended.add(process),
      (bug) => bugs.push(bug),
    );
  }
  for (;;) {
    for (let count = 0; count < microtasks; count += 1) await null;
    if (bugs.length > 0) throw bugs[0];
    simulation.afterStep(simulation);
    for (const process of simulation.processes)
      if (process.alive && process.deadlineMs <= simulation.world.nowMs) die(simulation, process);
    const ready = simulation.processes.filter(isReady, simulation);
    if (ready.length > 0) {
      step(simulation, choose(simulation, ready));
      continue;
    }
    const waiting = simulation.processes.filter(
      (process) => process.alive && !ended.has(process) && nextMoment(process) < Infinity,
    );
    if (waiting.length === 0) break;
    letTimePass(simulation, Math.min(...waiting.map(nextMoment)));
  }
  for (const process of simulation.processes) {
    if (process.alive && !ended.has(process))
      throw new Error(
        `bug: ${process.name} waits for nothing: a call is missing, or a promise never ends`,
      );
    process.alive = false;
  }
}

function attemptsOf(simulation: Simulation, process: Process): Attempt {
  const status = async (): Promise<AccountStatus> => {
    const ports = portsOf(simulation, process);
    const request = requestOf(simulation.config, { purpose: 'check' });
    process.attempt = attempted(process, request);
    const found = await readStatus(ports, request);
    simulation.statements.push({ of: 'status', attempt: process.attempt, status: found });
    simulation.said.push(found);
    return found;
  };
  const run = (order: Order): Promise<Result> => attemptOf(simulation, process, order);
  return {
    process,
    rotate: (order = {}) => run(order),
    status,
    step: (name, token) => stepOf(simulation, process, { name, token, run, status }),
    sleep: (ms) => sleep(simulation, process, ms),
  };
}

/** The last part of the platform's time, in which a result is reported; milliseconds. */
const reportingMs = 6_000;

async function attemptOf(simulation: Simulation, process: Process, order: Order): Promise<Result> {
  const { config } = simulation;
  const request = requestOf(config, order);
  process.attempt = attempted(process, request);
  const ports = portsOf(simulation, process);
  const planted = config.plant ? config.plant(ports, simulation, process) : ports;
  const result = await rotate(planted, request, process.interrupt.signal);
  // What the platform leaves no time for cannot be saved any more.
  if (process.deadlineMs - simulation.world.nowMs <= reportingMs) endAnswers(simulation, process);
  process.results.push(result);
  simulation.statements.push({ of: 'result', attempt: process.attempt, result });
  simulation.said.push(result);
  return result;
}

/** The function of src/lambda, as Secrets Manager invokes it. */
async function stepOf(
  simulation: Simulation,
  process: Process,
  step: {
    readonly name: StepName;
    readonly token: string;
    run(order: Order): Promise<Result>;
    status(): Promise<AccountStatus>;
  },
): Promise<boolean> {
  const { name, token, run, status } = step;
  const rotator = {
    attempt: (_: unknown, order: Order) => run(order),
    status,
    // The account is in the inventory already.
    audit: { checkpoint: async () => {}, nativeAccounts: () => ({ has: () => true }) },
    observe: () => {},
  };
  const invocation = {
    config: { accounts: [] },
    rotator,
    interrupt: process.interrupt.signal,
    metrics: { recordResult: () => {} },
    log: { info: () => {} },
  } as unknown as Invocation;
  const event = { Step: name, SecretId: secretId, ClientRequestToken: token };
  try {
    await runStep(event, invocation);
  } catch (error) {
    if (!(error instanceof Error) || error.name !== 'StepFailed') throw error;
    simulation.said.push(error.message);
    return false;
  }
  simulation.statements.push({ of: 'step', attempt: process.attempt, step: name, token });
  return true;
}

function isReady(this: Simulation, { alive, calls, pausedUntilMs }: Process): boolean {
  return alive && calls.length > 0 && pausedUntilMs <= this.world.nowMs;
}

/** Takes the next event of the story, if it is meant for this process's first call. */
function plannedFor(
  { config: { planned = [] } }: Simulation,
  process: Process,
  isMeant: (event: Planned[1]) => boolean,
  call = process.calls[0],
): Planned | undefined {
  const [next] = planned;
  if (!next || !call || !isMeant(next[1])) return undefined;
  const isSame =
    call.what.startsWith(next[0]) || `${process.name} ${call.what}`.startsWith(next[0]);
  return isSame ? planned.shift() : undefined;
}

const isSwitch = (event: Planned[1]): event is `switch to ${string}` =>
  event?.startsWith('switch to ') ?? false;

/**
 * Another process may go on at every step, but each time that it need not costs one of a bounded
 * number of switches.
 */
function choose(simulation: Simulation, ready: Process[]): Process {
  const [first] = ready;
  if (!first) throw new Error('bug: nobody to choose from');
  const { running, config } = simulation;
  const present = running !== null && ready.includes(running) ? running : first;
  const isFree = present !== running;
  const chosen = config.planned
    ? chooseAsPlanned(simulation, ready, present)
    : choosePicked(simulation, ready, isFree ? null : present);
  if (chosen !== present)
    note(simulation, present, `switch to ${chosen.name}`, present.calls[0]?.what);
  simulation.running = chosen;
  return chosen;
}

function chooseAsPlanned(simulation: Simulation, ready: Process[], present: Process): Process {
  const planned = plannedFor(simulation, present, isSwitch);
  return ready.find(({ name }) => planned?.[1] === `switch to ${name}`) ?? present;
}

function choosePicked(simulation: Simulation, ready: Process[], running: Process | null): Process {
  const { picks } = simulation;
  const [first] = ready as [Process];
  if (ready.length === 1) return first;
  if (running === null) return ready[picks.pick(ready.length)] ?? first;
  if (simulation.switchesLeft === 0) return running;
  const others = ready.filter((process) => process !== running);
  const other = others[picks.mishap(others.length) - 1];
  if (!other) return running;
  simulation.switchesLeft -= 1;
  return other;
}

const nextMoment = ({ calls, timers, pausedUntilMs, deadlineMs }: Process): number => {
  const timer = Math.min(...timers.map(({ atMs }) => atMs));
  return Math.min(deadlineMs, Math.max(calls.length > 0 ? 0 : timer, pausedUntilMs));
};

/** Everybody but `by` finds the world changed. */
function disturb({ processes }: Simulation, by: Process | null): void {
  for (const process of processes) if (process !== by) process.attempt.isDisturbed = true;
}

function letTimePass(simulation: Simulation, untilMs: number): void {
  passTime(simulation.world, untilMs, () => {
    disturb(simulation, null);
    simulation.afterStep(simulation);
  });
  for (const process of simulation.processes) {
    if (!process.alive || process.pausedUntilMs > untilMs) continue;
    for (const timer of process.timers.filter(({ atMs }) => atMs <= untilMs)) {
      process.timers.splice(process.timers.indexOf(timer), 1);
      timer.fire();
    }
  }
}

/** Performs the process's first call, with or without a mishap. */
function step(simulation: Simulation, process: Process): void {
  const { world } = simulation;
  reorder(simulation, process);
  const mishap = mishapFor(simulation, process);
  if (mishap !== null && mishap in pauses) {
    note(simulation, process, mishap, process.calls[0]?.what);
    process.pausedUntilMs = world.nowMs + pauses[mishap as keyof typeof pauses];
    return;
  }
  const call = process.calls.shift();
  if (!call) throw new Error('bug: a step without a call');
  world.order += 1;
  note(simulation, process, mishap, call.what);
  disturb(simulation, process);
  if (mishap !== null && mishap in latePauses)
    process.pausedUntilMs = world.nowMs + latePauses[mishap as keyof typeof latePauses];
  if (mishap !== null && mishap in clockSteps)
    process.wallOffsetMs += clockSteps[mishap as keyof typeof clockSteps];
  if (mishap === 'interrupted') process.interrupt.abort();
  if (mishap !== null && mishap in handiwork) {
    handiwork[mishap as Handiwork](world);
    if (mishap === 'somebody restores the backup')
      for (const { attempt } of simulation.processes) attempt.isRestored = true;
    world.order += 1;
    disturb(simulation, null);
    simulation.afterStep(simulation);
  }
  if (mishap === 'crash, the others done') for (const other of process.calls) other.perform(null);
  // A reset that is never performed has to be dropped, since it counts as sent.
  const isKilled = mishap === 'crash' || mishap === 'crash, the others done';
  if (isKilled && call.method !== 'reset') die(simulation, process);
  else call.perform(mishap);
}

/** Another of the calls side by side is served first. */
function reorder(simulation: Simulation, process: Process): void {
  const { config, picks } = simulation;
  const { calls } = process;
  const planned = calls.findIndex((call) =>
    plannedFor(simulation, process, (event) => event === 'served first', call),
  );
  const first = config.anyOrder && !config.planned ? picks.pick(calls.length) : planned;
  if (first < 1) return;
  const [call] = calls.splice(first, 1);
  if (!call) return;
  note(simulation, process, 'served first', call.what);
  calls.unshift(call);
}

const isMishap = (event: Planned[1]): event is Mishap | null =>
  !isSwitch(event) && event !== 'served first';

function mishapFor(simulation: Simulation, process: Process): Mishap | null {
  if (simulation.config.planned)
    return (plannedFor(simulation, process, isMishap)?.[1] ?? null) as Mishap | null;
  if (simulation.faultsLeft === 0) return null;
  const options = mishapsNow(simulation, process);
  if (options.length === 0) return null;
  const mishap = options[simulation.picks.mishap(options.length) - 1] ?? null;
  if (mishap !== null) simulation.faultsLeft -= 1;
  return mishap;
}

function mishapsNow({ world, config }: Simulation, { calls, deadlineMs, interrupt }: Process) {
  const [call] = calls;
  if (!call || config.at?.has(call.method) === false) return [];
  return mishaps[call.method].filter((mishap) => {
    if (config.enabled && !config.enabled.has(mishap)) return false;
    if (mishap.startsWith('stale')) return mayBeStale(world);
    if (mishap === 'crash, the others done') return calls.length > 1;
    if (mishap === 'never returns') return deadlineMs < Infinity;
    if (mishap === 'interrupted') return !interrupt.signal.aborted;
    // A call is held up once.
    if (mishap in pauses) return call.madeAtMs === world.nowMs;
    return !(mishap in handiwork) || isPossible(mishap as Handiwork, world);
  });
}

function note({ steps, world }: Simulation, process: Process, mishap: Planned[1], call = ''): void {
  steps.push({ atMs: world.nowMs, process: process.name, call, mishap });
}

function endAnswers({ world }: Simulation, { name }: Process): void {
  for (const answer of world.answers) if (answer.process === name) answer.ownerDied = true;
}

/** The process is gone: nothing of it goes on. */
export function die(simulation: Simulation, process: Process): void {
  process.alive = false;
  endAnswers(simulation, process);
  process.calls = [];
  process.timers = [];
}

const noAttempt = {
  number: 0,
  request: null,
  countedBelow: 0,
  loginsBelow: 0,
  isDisturbed: false,
  isRestored: false,
  isBlind: false,
};

const attempted = ({ name, attempt }: Process, request: Request): Attempted => ({
  ...noAttempt,
  process: name,
  number: attempt.number + 1,
  request,
  logins: [],
});

function createProcess({ name, wallOffsetMs = 0, limitMs }: Script, nowMs: number): Process {
  return {
    name,
    alive: true,
    attempt: { ...noAttempt, process: name, logins: [] },
    owner: null,
    rotationId: null,
    loginOrder: 0,
    names: 0,
    wallOffsetMs,
    pausedUntilMs: 0,
    staleAtMs: -1,
    deadlineMs: limitMs === undefined ? Number.POSITIVE_INFINITY : nowMs + limitMs,
    interrupt: new AbortController(),
    calls: [],
    timers: [],
    digest: 0,
    results: [],
    judged: 0,
  };
}

export function sleep(
  { world }: Simulation,
  process: Process,
  ms: number,
  wake?: AbortSignal,
): Promise<void> {
  return new Promise((resolve) => {
    const timer = { atMs: world.nowMs + ms, what: 'sleep', fire: resolve };
    process.timers.push(timer);
    wake?.addEventListener('abort', () => {
      process.timers = process.timers.filter((one) => one !== timer);
      resolve();
    });
  });
}
