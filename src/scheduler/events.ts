// The events of the scheduler, for the log, the metrics and the alerts. A subscriber must not
// throw: the scheduler calls it between attempts. No code here.

import type { Result } from '../rotation/state.ts';
import type { Dependency } from './circuit-breaker.ts';
import type { AccountEntry } from './status-cache.ts';

/** An attempt ended, and the status cache holds its result. */
type ResultRecorded = {
  readonly event: 'result.recorded';
  readonly entry: AccountEntry;
  readonly result: Result;
};

/** An attempt ended in a bug of this program; the other accounts continue. */
type AttemptBroken = {
  readonly event: 'attempt.broken';
  readonly entry: AccountEntry;
  readonly detail: string;
};

/** An account has the same ThingSpace user as another account; the scheduler rotates neither. */
type AccountBlocked = { readonly event: 'account.blocked'; readonly entry: AccountEntry };

/** Several accounts in a row could not reach a dependency; from now on single accounts probe it. */
type OutageBegan = {
  readonly event: 'outage.began';
  readonly dependency: Dependency;
  readonly atMs: number;
};

/** A dependency is reachable again. */
type OutageEnded = {
  readonly event: 'outage.ended';
  readonly dependency: Dependency;
  readonly sinceMs: number;
  readonly atMs: number;
};

/**
 * A run started. `isScheduled`: over all accounts of a schedule, and not a retry or an attempt that
 * a person asked for.
 */
type RunStarted = { readonly event: 'run.started'; readonly isScheduled: boolean };

/** The last account of a run was processed. */
type RunEnded = {
  readonly event: 'run.ended';
  readonly isScheduled: boolean;
  /** All accounts, also those of other runs. */
  readonly entries: readonly AccountEntry[];
  readonly atMs: number;
};

/** Another 24 hours have passed since the start. */
type DayPassed = {
  readonly event: 'day.passed';
  readonly entries: readonly AccountEntry[];
  readonly atMs: number;
};

/** The wall clock was set: `byMs` against the monotonic clock, positive when forward. */
type ClockStepped = { readonly event: 'clock.stepped'; readonly byMs: number };

export type SchedulerEvent =
  | ResultRecorded
  | AttemptBroken
  | AccountBlocked
  | OutageBegan
  | OutageEnded
  | RunStarted
  | RunEnded
  | DayPassed
  | ClockStepped;

/** Passes an event to the subscribers. */
export type Emit = (event: SchedulerEvent) => void;
