// Processes one account: reads its status, and makes one attempt if nothing forbids it. Whatever
// happens to one account here, including a bug, does not affect another account.

import type { Ask } from '../app.ts';
import { nextStep } from '../rotation/catalogue.ts';
import { within } from '../rotation/deadline.ts';
import { ageDays, dueness } from '../rotation/policy.ts';
import type { Clock } from '../rotation/ports.ts';
import type { Result } from '../rotation/state.ts';
import { dayMs } from '../time.ts';
import type { CircuitBreaker, Observation } from './circuit-breaker.ts';
import { nextRuns, type Schedule, scheduleOf } from './cron.ts';
import type { DueItem } from './due-queue.ts';
import type { Emit } from './events.ts';
import { hasChanged, type KeyedQueue, partnersOf } from './keyed-queue.ts';
import type { Pace, SchedulerOptions } from './scheduler.ts';
import type { AccountEntry, StatusCache } from './status-cache.ts';
import type { TokenBucket } from './token-bucket.ts';

export type AttemptRunner = {
  readonly rotator: SchedulerOptions['rotator'];
  readonly statuses: StatusCache;
  readonly keyedQueue: KeyedQueue;
  readonly breaker: CircuitBreaker;
  /** Calls to ThingSpace. */
  readonly calls: TokenBucket;
  /** Writes to the store. */
  readonly writes: TokenBucket;
  readonly clock: Clock;
  readonly pace: Pace;
  /** Aborted when the service ends. */
  readonly interrupt: AbortSignal;
  readonly emit: Emit;
};

export type AccountTask = {
  readonly task: DueItem['task'];
  readonly ask: Ask;
  /** A person waits: outages and `enabled: false` do not hold this attempt back. */
  readonly urgent?: boolean;
  /** This attempt finds out whether an outage is over. */
  readonly probe?: boolean;
};

/** `held`: an outage holds the account back; nothing was done. */
export type Processed = Result | 'checked' | 'held';

/** Two records, pending, promote, last record; token, two logins, reset, two logouts. */
const writesPerAttempt = 5;
const callsPerAttempt = 6;

/** How long no call is sent after ThingSpace answered that requests come too fast. */
const throttledMs = 60_000;

/** Processes an account when it and a place are free. Never rejects: a bug is recorded. */
export function processAccount(
  runner: AttemptRunner,
  name: string,
  task: AccountTask,
): Promise<Processed> {
  const work = async (): Promise<Processed> => {
    const entry = runner.statuses.get(name);
    if (!entry || runner.interrupt.aborted) return 'checked';
    try {
      return await processEntry(runner, entry, task);
    } catch (error) {
      const detail = describeBug(error);
      runner.statuses.recordBug(name, detail, runner.clock.nowMs());
      runner.emit({ event: 'attempt.broken', entry, detail });
      return 'checked';
    }
  };
  return runner.keyedQueue.run(name, work, task.urgent ? 'urgent' : undefined);
}

async function processEntry(
  runner: AttemptRunner,
  entry: AccountEntry,
  { task, ask, urgent = false, probe = false }: AccountTask,
): Promise<Processed> {
  if (!urgent && !probe && isHeld(runner, entry)) return 'held';
  const { enabled } = entry.account;
  // The ThingSpace user must be known before a rotation: two accounts may have the same one.
  if (task === 'check' || entry.username === undefined || !enabled) await check(runner, entry);
  if (entry.blocked !== undefined) return 'checked';
  if (!enabled && !urgent) {
    // A rotation that a person began is completed; no other one begins.
    const isUnfinished = entry.state === 'in-doubt' || entry.state === 'changed';
    return isUnfinished ? await attempt(runner, entry, { ...ask, purpose: 'recover' }) : 'checked';
  }
  if (task === 'check') return 'checked';
  if (!ask.force && isTooCloseToPair(runner, entry)) {
    await check(runner, entry);
    return 'checked';
  }
  const result = await attempt(runner, entry, ask);
  if (entry.passwordSinceMs === undefined && entry.state !== 'unreadable')
    await check(runner, entry);
  return result;
}

/** Whether an outage holds this account back; one of ThingSpace only if it may rotate. */
export function isHeld({ breaker, clock }: AttemptRunner, entry: AccountEntry): boolean {
  const outage = breaker.outage();
  if (!outage) return false;
  return outage.dependency === 'store' || mayRotate(entry, clock.nowMs());
}

/** Whether an attempt may do more than read. */
function mayRotate({ state, reason, passwordSinceMs, policy }: AccountEntry, nowMs: number) {
  if (state !== 'settled' || reason !== undefined || passwordSinceMs === undefined) return true;
  return dueness(ageDays(passwordSinceMs, nowMs), policy) !== 'not-due';
}

/** Whether the other user of the pair was changed so recently that consumers may still use it. */
export function isTooCloseToPair(runner: AttemptRunner, entry: AccountEntry): boolean {
  const { rotator, statuses, clock } = runner;
  const { config } = rotator;
  const nowMs = clock.nowMs();
  return partnersOf(entry.account.name, config.pairs).some((name) => {
    const partner = statuses.get(name);
    const changedMs = Math.max(partner?.changedMs ?? 0, partner?.passwordSinceMs ?? 0);
    return changedMs > nowMs - pairGapMs(scheduleOf(entry.account, config));
  });
}

/** Half of the time between two runs, at most 12 h: a pair is never rotated in one run. */
function pairGapMs(schedule: Schedule): number {
  const [first = 0, second = 0] = nextRuns(schedule, 2);
  return Math.min(dayMs / 2, (second - first) / 2);
}

async function check(runner: AttemptRunner, entry: AccountEntry): Promise<void> {
  const { rotator, statuses, clock, emit, pace } = runner;
  const answer = await within(clock, pace.checkMs, rotator.status(entry.account));
  const status = answer === 'late' ? noAnswer(entry, pace.checkMs) : answer;
  const atMs = clock.nowMs();
  const wasBlocked = entry.blocked !== undefined;
  statuses.recordStatus(status, atMs);
  observe(runner, { account: status.account, reason: status.reason, logins: 0, atMs });
  if (entry.blocked !== undefined && !wasBlocked) emit({ event: 'account.blocked', entry });
}

function noAnswer({ account: { name: account, secretId } }: AccountEntry, ms: number) {
  const reason = 'store-unavailable';
  const detail = `the store did not answer within ${ms / 1000} s`;
  const facts = { account, secretId, detail };
  const next = nextStep(reason, facts);
  return { account, secretId, state: 'unreadable', reason, detail, facts, next } as const;
}

async function attempt(runner: AttemptRunner, entry: AccountEntry, ask: Ask): Promise<Result> {
  const { rotator, statuses, calls, writes, clock, pace, interrupt, emit } = runner;
  const takesTokens = ask.force === true || mayRotate(entry, clock.nowMs());
  if (takesTokens)
    await Promise.all([
      writes.take(writesPerAttempt, interrupt),
      calls.take(callsPerAttempt, interrupt),
    ]);
  const running = rotator.attempt(entry.account, ask, interrupt);
  // What takes so long is not known here; the status says whether the store answers.
  if ((await within(clock, pace.slowAttemptMs, running)) === 'late') await check(runner, entry);
  const result = await running;
  const { account, reason, logins, endedAtMs } = result;
  if (takesTokens && logins === 0) {
    writes.giveBack(writesPerAttempt);
    calls.giveBack(callsPerAttempt);
  }
  if (isThrottled(result)) calls.pause(throttledMs);
  statuses.recordResult(result);
  if (hasChanged(result) && logins > 0) entry.changedMs = endedAtMs;
  observe(runner, { account, reason, logins, atMs: endedAtMs });
  emit({ event: 'result.recorded', entry, result });
  return result;
}

function observe({ breaker, emit }: AttemptRunner, observation: Observation): void {
  const { began, ended } = breaker.record(observation);
  const { atMs } = observation;
  if (began !== undefined) emit({ event: 'outage.began', dependency: began, atMs });
  if (ended) {
    const { dependency, sinceMs } = ended;
    emit({ event: 'outage.ended', dependency, sinceMs, atMs });
  }
}

/** Whether ThingSpace was called too often; the secret store can be throttled, too. */
const isThrottled = ({ reason, facts }: Result): boolean =>
  reason === 'reset-throttled' || (reason !== 'store-unavailable' && facts?.cause === 'throttled');

/** The kind and the place of a bug. Its message is left out: it may quote a secret. */
function describeBug(error: unknown): string {
  if (!(error instanceof Error)) return 'a bug: a value that is not an error was thrown';
  const frame = error.stack?.split('\n').find((line) => line.trim().startsWith('at ')) ?? '';
  const place = /\(?([^()\s]+:\d+:\d+)\)?$/.exec(frame)?.[1];
  const short = place?.replace(/^.*\/(?=[^/]+\/[^/]+$)/, '');
  return `a bug: ${error.name}${short === undefined ? '' : ` at ${short}`}`;
}
