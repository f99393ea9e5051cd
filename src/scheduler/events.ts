// Everything the service has to say to the rest of itself: metrics, notices and the log listen. No code in here.

import type { Result } from '../rotation/state.ts';
import type { Dependency } from './retry.ts';
import type { Entry } from './status-cache.ts';

export type News =
  /** An attempt ended. */
  | { readonly news: 'result'; readonly entry: Entry; readonly result: Result }
  /** An attempt ended in a bug; the others go on. */
  | { readonly news: 'broken'; readonly entry: Entry; readonly detail: string }
  /** An account turned out to share its ThingSpace user with another one; neither is rotated. */
  | { readonly news: 'blocked'; readonly entry: Entry }
  /** Several accounts in a row met the same closed door; everybody waits but for single probes. */
  | { readonly news: 'outage.began'; readonly dependency: Dependency; readonly atMs: number }
  | {
      readonly news: 'outage.ended';
      readonly dependency: Dependency;
      readonly sinceMs: number;
      readonly atMs: number;
    }
  /** A run over the accounts ended. */
  | { readonly news: 'run.ended'; readonly atMs: number }
  /** A day has passed. */
  | { readonly news: 'day'; readonly entries: readonly Entry[]; readonly atMs: number }
  /** The wall clock moved against the other one; milliseconds, forward positive. */
  | { readonly news: 'clock.stepped'; readonly byMs: number };

export type Hear = (news: News) => void;
