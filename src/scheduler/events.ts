// The events of the scheduler, for the log, the metrics and the alerts. A subscriber must not
// throw: the scheduler calls it between attempts. No code here.

import type { Result } from '../rotation/state.ts';
import type { Dependency } from './circuit-breaker.ts';
import type { AccountEntry } from './status-cache.ts';

/** All accounts at a time; UTC milliseconds. */
type Snapshot = { readonly entries: readonly AccountEntry[]; readonly atMs: number };

export type SchedulerEvent = Readonly<
  /** An attempt ended, and the status cache holds its result. */
  | { event: 'result.recorded'; entry: AccountEntry; result: Result }
  /** An attempt ended in a bug of this program; the other accounts continue. */
  | { event: 'attempt.broken'; entry: AccountEntry; detail: string }
  /** An account has the same ThingSpace user as another one; the scheduler rotates neither. */
  | { event: 'account.blocked'; entry: AccountEntry }
  /** Several accounts in a row could not reach a dependency; single accounts probe it now. */
  | { event: 'outage.began'; dependency: Dependency; atMs: number }
  /** A dependency is reachable again. */
  | { event: 'outage.ended'; dependency: Dependency; sinceMs: number; atMs: number }
  /**
   * A run started. `isScheduled`: over all accounts of a schedule, and not a retry or an attempt
   * that a person asked for.
   */
  | { event: 'run.started'; isScheduled: boolean }
  /** The last account of a run was processed. The entries are also those of other runs. */
  | ({ event: 'run.ended'; isScheduled: boolean } & Snapshot)
  /** Another 24 hours have passed since the start. */
  | ({ event: 'day.passed' } & Snapshot)
  /** The wall clock was set: `byMs` against the monotonic clock, positive when forward. */
  | { event: 'clock.stepped'; byMs: number }
>;

/** Passes an event to the subscribers. */
export type Emit = (event: SchedulerEvent) => void;
