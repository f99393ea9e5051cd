// The scheduler of the service: checks every account at start, then starts a run at each scheduled
// time, until it is stopped. It decides when an account is processed; the attempt decides whether
// its password is due.
//
// 1. A scheduled time that was missed is made up for; one that comes twice starts no second run.
// 2. After `stop` no attempt begins; attempts before their reset end, and the others finish.
// 3. One account at a time is rotated of each pair, and none that shares its ThingSpace user
//    (attempt-runner.ts).

import type { Account, Ask, Rotator } from '../app.ts';
import { within } from '../rotation/deadline.ts';
import { Failure } from '../rotation/failure.ts';
import type { Clock } from '../rotation/ports.ts';
import type { Result } from '../rotation/state.ts';
import { dayMs } from '../time.ts';
import { type AttemptRunner, isTooCloseToPair } from './attempt-runner.ts';
import { createCircuitBreaker, type Outage } from './circuit-breaker.ts';
import { jitterMs, keyOf, type NextRunMs, type Schedule, scheduleOf } from './cron.ts';
import {
  attemptNow,
  checkAll,
  checkMisdated,
  type Dispatcher,
  dispatchDue,
  endRuns,
  forget,
  startRun,
} from './dispatcher.ts';
import { createDueQueue } from './due-queue.ts';
import type { Emit } from './events.ts';
import { openKeyedQueue, partnersOf, slowAttemptMs } from './keyed-queue.ts';
import { createProbeSchedule } from './outage.ts';
import { openRunLog, type RunRequest } from './run-log.ts';
import { createStatusCache } from './status-cache.ts';
import { openTokenBucket, type Rate } from './token-bucket.ts';

/** Rates and delays; tests shorten them. */
export type Pace = {
  /** Calls to ThingSpace; Verizon publishes no limit for session calls (2026-11). */
  readonly calls: Rate;
  /** Writes to the store; Secrets Manager accepts 50 per second for an AWS account. */
  readonly writes: Rate;
  /** The longest sleep of the scheduler loop. */
  readonly loopMs: number;
  /**
   * How long a status may take to be read: longer than the store's own limits. A file operation on
   * a hung mount has none.
   */
  readonly checkMs: number;
  /** After so long an attempt frees its place, and its account is checked. */
  readonly slowAttemptMs: number;
};

export const defaultPace: Pace = {
  calls: { perSecond: 10, capacity: 60 },
  writes: { perSecond: 40, capacity: 50 },
  loopMs: 30_000,
  checkMs: 60_000,
  slowAttemptMs,
};

export type SchedulerOptions = {
  readonly rotator: Pick<
    Rotator,
    'config' | 'accounts' | 'attempt' | 'status' | 'audit' | 'observe'
  >;
  readonly clock: Clock;
  /** When a schedule is due next, by the wall clock. */
  readonly nextRunMs: NextRunMs;
  readonly emit: Emit;
  readonly pace?: Pace;
};

/** A difference between the clocks that is reported. */
const clockStepMs = 60_000;

/** A schedule, and when its next run is due; UTC milliseconds. */
type ActiveSchedule = { readonly schedule: Schedule; dueAtMs: number };

/** Everything that the loop reads and changes. */
type State = {
  readonly runner: AttemptRunner;
  readonly dispatcher: Dispatcher;
  readonly nextRunMs: NextRunMs;
  readonly schedules: ActiveSchedule[];
  readonly interrupt: AbortController;
  /** Aborted to end the sleep of the loop; replaced by the loop. */
  wake: AbortController;
  loopedAtMs: number;
  nextDailyMs: number;
  loop: Promise<void>;
  stopped: Promise<void> | null;
};

export type Scheduler = ReturnType<typeof openScheduler>;

export function openScheduler(options: SchedulerOptions) {
  const state = createState(options);
  const { runner } = state;
  return {
    statuses: runner.statuses,
    /** Resolves when the accounts are known and the first check has begun. */
    start: (): Promise<void> => start(state),
    /** Why a person's attempt cannot begin now; null when it can. */
    findConflict: (name: string, force: boolean): string | null =>
      findConflict(runner, name, force),
    /** Makes an attempt now, after `findConflict`; null when none was made. */
    request: (name: string, ask: Ask, request?: RunRequest): Promise<Result | null> =>
      attemptNow(state.dispatcher, name, ask, request),
    /** Resolves when the runs that have begun are in the audit log, or failed to be. */
    recorded: (): Promise<void> => state.dispatcher.runLog.flush(),
    /** The outage in progress; null when there is none. */
    outage: (): Outage | null => runner.breaker.outage(),
    /** Milliseconds since the scheduler loop last ran. */
    idleMs: (): number => runner.clock.monotonicMs() - state.loopedAtMs,
    /** The time of the next scheduled run, UTC milliseconds; Infinity when there is none. */
    nextRunMs: (): number =>
      Math.min(Number.POSITIVE_INFINITY, ...state.schedules.map(({ dueAtMs }) => dueAtMs)),
    /** Resolves when every attempt has ended and the audit log has a checkpoint. */
    stop: (): Promise<void> => {
      state.stopped ??= stop(state);
      return state.stopped;
    },
  };
}

function createState(options: SchedulerOptions): State {
  const { rotator, clock, nextRunMs, emit, pace = defaultPace } = options;
  const { config } = rotator;
  const { concurrency, pairs } = config;
  const interrupt = new AbortController();
  const breaker = createCircuitBreaker();
  const runner: AttemptRunner = {
    rotator,
    statuses: createStatusCache({
      policyOf: (account) => account.policy ?? config.policy,
      nextRunMs: (account) => {
        const schedule = scheduleOf(account, config);
        return nextRunMs(schedule) + jitterMs(account.name, schedule.jitterMinutes);
      },
      clock,
    }),
    keyedQueue: openKeyedQueue({ concurrency, pairs, clock, slowAfterMs: pace.slowAttemptMs }),
    breaker,
    calls: openTokenBucket(pace.calls, clock),
    writes: openTokenBucket(pace.writes, clock),
    clock,
    pace,
    interrupt: interrupt.signal,
    emit,
  };
  const state: State = {
    runner,
    dispatcher: {
      runner,
      queue: createDueQueue(),
      probes: createProbeSchedule(breaker),
      runLog: openRunLog(rotator),
      unchecked: new Set(),
      wake: () => state.wake.abort(),
    },
    nextRunMs,
    schedules: [],
    interrupt,
    wake: new AbortController(),
    loopedAtMs: clock.monotonicMs(),
    nextDailyMs: clock.monotonicMs() + dayMs,
    loop: Promise.resolve(),
    stopped: null,
  };
  return state;
}

async function start(state: State): Promise<void> {
  await readAccounts(state);
  const { config } = state.runner.rotator;
  const all = [config.schedule, ...accountsOf(state).map((account) => scheduleOf(account, config))];
  for (const schedule of new Map(all.map((one) => [keyOf(one), one])).values())
    state.schedules.push({ schedule, dueAtMs: state.nextRunMs(schedule) });
  checkAll(state.dispatcher);
  state.loop = loop(state);
}

const accountsOf = ({ runner }: State): Account[] =>
  runner.statuses.entries().map(({ account }) => account);

/** Reads the accounts again; keeps the known ones when discovery fails. */
async function readAccounts({ runner, dispatcher }: State): Promise<void> {
  const { rotator, statuses, clock, pace } = runner;
  const read = rotator.accounts().catch((error: unknown) => {
    if (error instanceof Failure) return null;
    throw error;
  });
  const found = await within(clock, pace.checkMs, read);
  const accounts = found === 'late' ? null : found;
  const isFirst = statuses.entries().length === 0;
  if (accounts === null && !isFirst) return;
  const removed = statuses.replaceAccounts(accounts ?? rotator.config.accounts);
  for (const { name } of removed) forget(dispatcher, name);
}

/**
 * Starts the runs whose time has come, also those that were missed. A clock that was ahead and is
 * set back must not make a schedule wait until the wrong time: the earlier time counts.
 */
function startDueRuns(state: State): void {
  for (const active of state.schedules) {
    const nextMs = state.nextRunMs(active.schedule);
    const isDue = active.dueAtMs <= state.runner.clock.nowMs();
    active.dueAtMs = isDue ? nextMs : Math.min(active.dueAtMs, nextMs);
    if (isDue) void startScheduledRun(state, active.schedule);
  }
}

async function startScheduledRun(state: State, schedule: Schedule): Promise<void> {
  const { dispatcher, interrupt, runner } = state;
  const { config } = runner.rotator;
  if (interrupt.signal.aborted) return;
  await readAccounts(state);
  // The first check is in progress, and the run after it finds what this one would find.
  if (dispatcher.unchecked.size > 0) return;
  const accounts = accountsOf(state).filter(
    (account) => keyOf(scheduleOf(account, config)) === keyOf(schedule),
  );
  startRun(dispatcher, accounts, 'scheduled run', (account) =>
    jitterMs(account.name, scheduleOf(account, config).jitterMinutes),
  );
}

async function loop(state: State): Promise<void> {
  const { clock, emit } = state.runner;
  let differenceMs = clock.nowMs() - clock.monotonicMs();
  while (!state.interrupt.signal.aborted) {
    const nowMs = clock.monotonicMs();
    state.loopedAtMs = nowMs;
    const byMs = clock.nowMs() - nowMs - differenceMs;
    if (Math.abs(byMs) > clockStepMs) {
      emit({ event: 'clock.stepped', byMs });
      differenceMs += byMs;
      if (byMs < 0) checkMisdated(state.dispatcher);
    }
    startDueRuns(state);
    dispatchDue(state.dispatcher, nowMs);
    doDailyWork(state, nowMs);
    await sleepUntilDue(state, nowMs);
  }
}

function doDailyWork(state: State, nowMs: number): void {
  if (nowMs < state.nextDailyMs) return;
  const { clock, emit, statuses } = state.runner;
  state.nextDailyMs = nowMs + dayMs;
  void state.dispatcher.runLog.checkpoint();
  emit({ event: 'day.passed', entries: statuses.entries(), atMs: clock.nowMs() });
}

async function sleepUntilDue(state: State, nowMs: number): Promise<void> {
  const { clock, pace } = state.runner;
  const { queue, probes } = state.dispatcher;
  const { signal } = state.wake;
  if (signal.aborted) {
    state.wake = new AbortController();
    return;
  }
  const dueAtMs = Math.min(...state.schedules.map((one) => one.dueAtMs));
  const untilMs = Math.min(
    nowMs + (dueAtMs - clock.nowMs()),
    queue.nextAfterMs(nowMs),
    probes.nextAfterMs(nowMs),
    nowMs + pace.loopMs,
  );
  await clock.sleep(Math.max(1, untilMs - clock.monotonicMs()), signal);
}

async function stop(state: State): Promise<void> {
  const { runner, dispatcher } = state;
  state.interrupt.abort();
  state.wake.abort();
  await state.loop;
  await runner.keyedQueue.idle();
  endRuns(dispatcher);
  await dispatcher.runLog.checkpoint();
}

function findConflict(runner: AttemptRunner, name: string, force: boolean): string | null {
  const { statuses, keyedQueue, rotator, interrupt } = runner;
  const entry = statuses.get(name);
  if (interrupt.aborted) return 'the service is stopping';
  if (!entry) return `there is no account ${name}`;
  if (entry.blocked !== undefined) return entry.blocked;
  if (keyedQueue.isBusy(name)) return `another attempt on ${name} is running or waiting`;
  const partner = partnersOf(name, rotator.config.pairs).find((other) => keyedQueue.isBusy(other));
  const other = 'the other user of its ThingSpace account';
  if (partner !== undefined) return `an attempt on ${partner}, ${other}, is running or waiting`;
  if (!force && isTooCloseToPair(runner, entry))
    return `${other} was changed a short time ago; "force" rotates anyway`;
  return null;
}
