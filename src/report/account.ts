// The row of one account: its age class at the end of the period, the verdict of each of its days,
// the largest age of its password, and what happened.

import type { Limits } from '../audit/facts.ts';
import { dayMs } from '../time.ts';
import {
  type AccountHistory,
  type Attempt,
  type Change,
  type Exemption,
  isMember,
  type Setting,
  type Stop,
} from './history.ts';
import {
  type AgeClass,
  clipped,
  type DayVerdict,
  daysOf,
  limitsAt,
  type Segment,
  timelineOf,
} from './timeline.ts';

/** What the secret store says about an account. */
export type StoreFact = {
  /**
   * When the current password was first stored; `null` when the store does not know. UTC
   * milliseconds.
   */
  readonly passwordSinceMs: number | null;
  /** `settled`, `busy`, `in doubt`, `stopped: reason`; for people. */
  readonly state: string;
};

/** `removed`: it left the inventory before the end of the period. */
export type Bucket = AgeClass | 'removed';

export type AccountRow = {
  readonly account: string;
  readonly username: string | null;
  readonly secretId: string | null;
  /** At the end of the period. */
  readonly bucket: Bucket;
  /** Why it is in that bucket, where the age does not show it. */
  readonly note: string | null;
  readonly lastChange: Change | null;
  /** At the end of the period; `null` when it is not known since when the password is in use. */
  readonly ageMs: number | null;
  readonly largestAgeMs: number | null;
  /** When it had that age. */
  readonly largestAtMs: number | null;
  /** The limits at the end of its last day in the period. */
  readonly limits: Limits;
  /** The days of the period on which it was in the population, each by its worst moment. */
  readonly days: Readonly<Record<DayVerdict | 'all', number>>;
  readonly dayVerdicts: ReadonlyMap<number, DayVerdict>;
  readonly nextDueMs: number | null;
  readonly succeeded: number;
  readonly failed: number;
  readonly unknown: number;
  /** The segments of the period. */
  readonly segments: readonly Segment[];
  /** All segments, also before the period. */
  readonly timeline: readonly Segment[];
  /** In the period. */
  readonly changes: readonly Change[];
  readonly attempts: readonly Attempt[];
  readonly stops: readonly Stop[];
  readonly exemptions: readonly Exemption[];
  readonly openAttempts: readonly Attempt[];
  readonly storeState: string | null;
  /**
   * How store and log differ: a password newer than every change in the log, or older than the last
   * one.
   */
  readonly storeDiffers: {
    readonly kind: 'newer' | 'older';
    readonly passwordSinceMs: number;
  } | null;
};

/** Store and log have two clocks, and a password is stored shortly before it is recorded. */
const clockToleranceMs = 15 * 60_000;

export type RowOptions = {
  readonly history: AccountHistory;
  readonly store: StoreFact | null;
  readonly fromMs: number;
  readonly endMs: number;
  /** The limits of the fleet, as the log has them, and those for a log without any. */
  readonly fleet: readonly Setting<Limits>[];
  readonly policy: Limits;
};

/** The row of one account at `endMs`, over the period from `fromMs`. */
export function accountRow(options: RowOptions): AccountRow {
  const { store, fromMs, endMs, fleet, policy } = options;
  const storeDiffers = differenceOf(options.history.changes, store?.passwordSinceMs ?? null, endMs);
  const history = withStore(options.history, storeDiffers);
  const timeline = timelineOf(history, fleet, policy, endMs);
  const segments = clipped(timeline, fromMs, endMs);
  const latest = segments.at(-1);
  const last = isMember(history, endMs) ? latest : undefined;
  const ageMs = last?.ageMs == null ? null : last.ageMs + (last.toMs - last.fromMs);
  const limits = latest?.limits ?? limitsAt(endMs, history.policies, fleet, policy);
  const attempts = history.attempts.filter(({ intendedAtMs }) => intendedAtMs >= fromMs);
  const countOf = (...statuses: readonly Attempt['status'][]): number =>
    attempts.filter(({ status }) => statuses.includes(status)).length;
  const dayVerdicts = daysOf(segments);
  return {
    account: history.account,
    username: history.username ?? null,
    secretId: history.secretId ?? null,
    bucket: last?.ageClass ?? 'removed',
    note: last ? noteOf(last) : null,
    lastChange: history.changes.at(-1) ?? null,
    ageMs,
    ...largestOf(segments),
    limits,
    days: countDays(dayVerdicts),
    dayVerdicts,
    nextDueMs: ageMs === null ? null : endMs - ageMs + limits.rotateAfterDays * dayMs,
    succeeded: countOf('success'),
    failed: countOf('failure'),
    unknown: countOf('unknown', 'open'),
    segments,
    timeline,
    changes: history.changes.filter(({ timeMs }) => timeMs >= fromMs),
    attempts,
    stops: history.stops.filter(({ toMs }) => toMs === null || toMs >= fromMs),
    exemptions: history.exemptions.filter((one) => one.toMs > fromMs && one.fromMs < endMs),
    openAttempts: history.attempts.filter(({ status }) => status === 'open'),
    storeState: store?.state ?? null,
    storeDiffers,
  };
}

const noteOf = ({ exemption, doubt, ageClass }: Segment): string | null => {
  if (exemption) return `${exemption.why} (${exemption.who}, until ${exemption.until})`;
  if (doubt) return doubt.why;
  return ageClass === 'unknown' ? 'stored by hand; the age of the password is not known' : null;
};

function countDays(verdicts: ReadonlyMap<number, DayVerdict>): AccountRow['days'] {
  const days = { all: 0, compliant: 0, overdue: 0, unknown: 0, exempt: 0 };
  for (const verdict of verdicts.values()) {
    days.all += 1;
    days[verdict] += 1;
  }
  return days;
}

function differenceOf(
  changes: readonly Change[],
  sinceMs: number | null,
  endMs: number,
): AccountRow['storeDiffers'] {
  const last = changes.at(-1);
  if (sinceMs === null || sinceMs >= endMs || !last) return null;
  const oldestMs = last.sinceMs ?? last.timeMs;
  if (sinceMs > last.recordedMs + clockToleranceMs)
    return { kind: 'newer', passwordSinceMs: sinceMs };
  if (sinceMs < oldestMs - clockToleranceMs) return { kind: 'older', passwordSinceMs: sinceMs };
  return null;
}

/**
 * The history with what only the store shows: a newer password, whose age is not known, or an
 * older one, whose age counts.
 */
function withStore(history: AccountHistory, differs: AccountRow['storeDiffers']): AccountHistory {
  if (differs === null) return history;
  const { kind, passwordSinceMs } = differs;
  const changes = [...history.changes];
  const last = changes.at(-1);
  if (kind === 'newer') changes.push(changeInStore(passwordSinceMs));
  else if (last) changes.splice(-1, 1, { ...last, sinceMs: passwordSinceMs });
  return { ...history, changes };
}

/** A change that only the store shows. */
const changeInStore = (timeMs: number): Change => ({
  timeMs,
  sinceMs: null,
  recordedMs: timeMs,
  by: 'outside',
  sequence: null,
  actor: '',
  trigger: '',
  verified: false,
});

function largestOf(segments: readonly Segment[]): Pick<AccountRow, 'largestAgeMs' | 'largestAtMs'> {
  let largest: { largestAgeMs: number | null; largestAtMs: number | null } = {
    largestAgeMs: null,
    largestAtMs: null,
  };
  for (const { fromMs, toMs, ageMs } of segments) {
    if (ageMs === null) continue;
    const at = ageMs + (toMs - fromMs);
    if (at > (largest.largestAgeMs ?? -1)) largest = { largestAgeMs: at, largestAtMs: toMs };
  }
  return largest;
}

/** A UTC day, by its number, and how many accounts were judged how. */
export type DayCounts = { readonly day: number } & Readonly<Record<DayVerdict, number>>;

export function dailyCounts(rows: readonly AccountRow[]): DayCounts[] {
  const counts = new Map<number, { day: number } & Record<DayVerdict, number>>();
  for (const { dayVerdicts } of rows)
    for (const [day, verdict] of dayVerdicts) {
      const empty = { day, compliant: 0, overdue: 0, unknown: 0, exempt: 0 };
      const count = counts.get(day) ?? empty;
      count[verdict] += 1;
      counts.set(day, count);
    }
  return [...counts.values()].sort((a, b) => a.day - b.day);
}
