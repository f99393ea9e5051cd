// The row of one account: its age class at the end of the period, the verdict of each of its days,
// the largest age of its password, and what happened.

import type { AccountStatus } from '../rotation/status.ts';
import { dayMs } from '../time.ts';
import { type AccountHistory, type Attempt, type Change, isMember } from './history.ts';
import {
  type AgeClass,
  clipped,
  countVerdicts,
  type DayVerdict,
  daysOf,
  limitsAt,
  noVerdicts,
  type RowContext,
  type Segment,
  timelineOf,
} from './timeline.ts';

/** What the secret store says about an account. */
export type StoreFact = {
  /** When the current password was first stored, UTC milliseconds; `null` when it is not known. */
  readonly passwordSinceMs: number | null;
  /** `settled`, `busy`, `in doubt`, `stopped: reason`; for people. */
  readonly state: string;
};

type KnownStatus = Pick<AccountStatus, 'reason' | 'passwordSinceMs'> & {
  readonly state: AccountStatus['state'] | 'unknown';
};

export function storeFactOf({ state, reason, passwordSinceMs }: KnownStatus): StoreFact {
  const isPlain = state === 'settled' || reason === undefined;
  return {
    passwordSinceMs: passwordSinceMs ?? null,
    state: isPlain ? state : `${state}: ${reason}`,
  };
}

/** `removed`: it left the inventory before the end of the period. */
export type Bucket = AgeClass | 'removed';

export type AccountRow = ReturnType<typeof accountRow>;

/** The row of one account at `endMs`, over the period from `fromMs`. */
export function accountRow(logged: AccountHistory, store: StoreFact | null, context: RowContext) {
  const { fromMs, endMs } = context;
  const { history, storeDiffers } = compareWithStore(logged, store?.passwordSinceMs ?? null, endMs);
  const timeline = timelineOf(history, context);
  const segments = clipped(timeline, fromMs, endMs);
  const latest = segments.at(-1);
  const last = isMember(history, endMs) ? latest : undefined;
  const ageMs = last?.ageMs == null ? null : last.ageMs + (last.toMs - last.fromMs);
  const limits = latest?.limits ?? limitsAt(endMs, history.policies, context);
  const attempts = history.attempts.filter(({ intendedAtMs }) => intendedAtMs >= fromMs);
  const countOf = (...statuses: readonly Attempt['status'][]): number =>
    attempts.filter(({ status }) => statuses.includes(status)).length;
  const dayVerdicts = daysOf(segments);
  const bucket: Bucket = last?.ageClass ?? 'removed';
  return {
    account: history.account,
    username: history.username,
    secretId: history.secretId,
    /** At the end of the period. */
    bucket,
    /** Why it is in that bucket, where the age does not show it. */
    note: last ? noteOf(last) : null,
    lastChange: history.changes.at(-1) ?? null,
    /** At the end of the period; `null` when it is not known since when the password is in use. */
    ageMs,
    ...largestAgeOf(segments),
    /** The limits at the end of its last day in the period. */
    limits,
    /** The days of the period on which it was in the population, each by its worst moment. */
    days: { all: dayVerdicts.size, ...countVerdicts(dayVerdicts.values()) },
    dayVerdicts,
    nextDueMs: ageMs === null ? null : endMs - ageMs + limits.rotateAfterDays * dayMs,
    succeeded: countOf('success'),
    failed: countOf('failure'),
    unknown: countOf('unknown', 'open'),
    /** The segments of the period. */
    segments,
    /** All segments, also before the period. */
    timeline,
    /** What happened in the period. */
    changes: history.changes.filter(({ timeMs }) => timeMs >= fromMs),
    attempts,
    stops: history.stops.filter(({ toMs }) => toMs === null || toMs >= fromMs),
    exemptions: history.exemptions.filter((one) => one.toMs > fromMs && one.fromMs < endMs),
    /** Also of the time before the period. */
    openAttempts: history.attempts.filter(({ status }) => status === 'open'),
    storeState: store?.state ?? null,
    /** `older`: than the last change, whose `sinceMs` is that of the store. */
    storeDiffers,
  };
}

const noteOf = ({ exemption, doubt, ageClass }: Segment): string | null => {
  if (exemption) return `${exemption.why} (${exemption.who}, until ${exemption.until})`;
  if (doubt) return doubt.why;
  return ageClass === 'unknown' ? 'stored by hand; the age of the password is not known' : null;
};

/** Store and log have two clocks, and a password is stored shortly before it is recorded. */
const clockToleranceMs = 15 * 60_000;

/** The history with what only the store shows, and how its password differs from the log. */
function compareWithStore(logged: AccountHistory, sinceMs: number | null, endMs: number) {
  const last = logged.changes.at(-1);
  const withChanges = (storeDiffers: 'newer' | 'older' | null, changes: Change[]) => {
    return { history: { ...logged, changes }, storeDiffers };
  };
  if (sinceMs === null || sinceMs >= endMs || !last) return withChanges(null, logged.changes);
  // The age of a newer password is not known; that of an older one counts.
  if (sinceMs > last.recordedMs + clockToleranceMs) {
    const times = { timeMs: sinceMs, recordedMs: sinceMs, sinceMs: null, sequence: null };
    const newer: Change = { ...times, by: 'outside', actor: '', trigger: '', verified: false };
    return withChanges('newer', [...logged.changes, newer]);
  }
  if (sinceMs >= (last.sinceMs ?? last.timeMs) - clockToleranceMs)
    return withChanges(null, logged.changes);
  return withChanges('older', [...logged.changes.slice(0, -1), { ...last, sinceMs }]);
}

/** The largest age, and when it was reached; the first time where it was reached twice. */
function largestAgeOf(segments: readonly Segment[]): {
  readonly largestAgeMs: number | null;
  readonly largestAtMs: number | null;
} {
  const ends = segments.flatMap(({ fromMs, toMs, ageMs }) =>
    ageMs === null ? [] : { largestAgeMs: ageMs + (toMs - fromMs), largestAtMs: toMs },
  );
  const [largest] = ends.sort((a, b) => b.largestAgeMs - a.largestAgeMs);
  return largest ?? { largestAgeMs: null, largestAtMs: null };
}

/** A UTC day, by its number, and how many accounts were judged how. */
export type DayCounts = { readonly day: number } & Record<DayVerdict, number>;

export function dailyCounts(rows: readonly AccountRow[]): DayCounts[] {
  const counts = new Map<number, DayCounts>();
  for (const { dayVerdicts } of rows)
    for (const [day, verdict] of dayVerdicts) {
      const count = counts.get(day) ?? { day, ...noVerdicts };
      count[verdict] += 1;
      counts.set(day, count);
    }
  return [...counts.values()].sort((a, b) => a.day - b.day);
}
