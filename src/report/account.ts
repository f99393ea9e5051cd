// The row of one account: the age of its password at the end of the period, its largest age in the
// period, and the stretches of time in which the age grew.

import { dayMs } from '../time.ts';
import type { AccountHistory, Attempt, Change, Stop } from './history.ts';

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

/** An account that need not follow the policy until an ISO date. */
export type Exemption = {
  readonly account: string;
  readonly who: string;
  readonly why: string;
  readonly until: string;
};

export type Bucket = 'inside' | 'soon' | 'outside' | 'never' | 'unknown' | 'exempt';

/** From `fromMs` to `toMs` the age of the password grew from `ageMs`. */
export type AgeStretch = { readonly fromMs: number; readonly toMs: number; readonly ageMs: number };

export type AccountRow = {
  readonly account: string;
  readonly username: string | null;
  readonly secretId: string | null;
  readonly bucket: Bucket;
  /** Why it is in that bucket, where the age does not show it. */
  readonly note: string | null;
  readonly lastChange: Change | null;
  /** At the end of the period; `null` when it is not known since when the password is in use. */
  readonly ageMs: number | null;
  readonly largestAgeMs: number | null;
  /** When it had that age. */
  readonly largestAtMs: number | null;
  /** Older than the policy allows at some moment of the period. */
  readonly everOutside: boolean;
  readonly nextDueMs: number | null;
  readonly succeeded: number;
  readonly failed: number;
  readonly unknown: number;
  readonly stretches: readonly AgeStretch[];
  /** In the period. */
  readonly changes: readonly Change[];
  readonly failures: readonly Attempt[];
  readonly stops: readonly Stop[];
  readonly openAttempts: readonly Attempt[];
  readonly exemption: Exemption | null;
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
  readonly account: string;
  readonly history: AccountHistory | null;
  readonly store: StoreFact | null;
  readonly exemption: Exemption | null;
  readonly fromMs: number;
  readonly endMs: number;
  readonly policy: { readonly maxAgeDays: number; readonly rotateAfterDays: number };
};

/** The row of one account at `endMs`, over the period from `fromMs`. */
export function accountRow(options: RowOptions): AccountRow {
  const { account, history, store, exemption, fromMs, endMs, policy } = options;
  const logged = history?.changes ?? [];
  const sinceMs = store?.passwordSinceMs ?? null;
  const storeDiffers = differenceOf(logged, sinceMs, endMs);
  const changes = [...logged];
  if (storeDiffers?.kind === 'newer') changes.push(changeInStore(storeDiffers.passwordSinceMs));
  const bornMs = history?.bornMs ?? (logged.length === 0 ? sinceMs : null);
  const firstSeenMs = history?.firstSeenMs ?? endMs;
  // The older age counts where the store holds an older password than the log says.
  const olderSinceMs = storeDiffers?.kind === 'older' ? storeDiffers.passwordSinceMs : null;
  const stretches = stretchesOf(options, bornMs, changes, firstSeenMs, olderSinceMs);
  const last = stretches.at(-1);
  const ageMs = last ? last.ageMs + (last.toMs - last.fromMs) : null;
  const largest = largestOf(stretches);
  const attempts = history?.attempts ?? [];
  const inPeriod = attempts.filter(({ intendedAtMs }) => intendedAtMs >= fromMs);
  const countOf = (...statuses: readonly Attempt['status'][]): number =>
    inPeriod.filter(({ status }) => statuses.includes(status)).length;
  const lastChange = changes.at(-1) ?? null;
  const doubt = doubtOf(history, lastChange);
  const agedBucket = doubt === null ? bucketOf(ageMs, policy) : 'unknown';
  return {
    account,
    username: history?.username ?? null,
    secretId: history?.secretId ?? null,
    bucket: exemption === null ? agedBucket : 'exempt',
    note:
      exemption === null ? doubt : `${exemption.why} (${exemption.who}, until ${exemption.until})`,
    lastChange,
    ageMs,
    largestAgeMs: largest?.ageMs ?? null,
    largestAtMs: largest?.atMs ?? null,
    everOutside: largest !== null && largest.ageMs > policy.maxAgeDays * dayMs,
    nextDueMs: ageMs === null ? null : endMs - ageMs + policy.rotateAfterDays * dayMs,
    succeeded: countOf('success'),
    failed: countOf('failure'),
    unknown: countOf('unknown', 'open'),
    stretches,
    changes: changes.filter(({ timeMs }) => timeMs >= fromMs),
    failures: inPeriod.filter(({ status }) => status === 'failure' || status === 'unknown'),
    stops: (history?.stops ?? []).filter(({ toMs }) => toMs === null || toMs >= fromMs),
    openAttempts: attempts.filter(({ status }) => status === 'open'),
    exemption,
    storeState: store?.state ?? null,
    storeDiffers,
  };
}

/** A change that only the store shows. */
const changeInStore = (timeMs: number): Change => ({
  timeMs,
  by: 'outside',
  sequence: null,
  actor: '',
  trigger: '',
  verified: false,
});

function differenceOf(
  changes: readonly Change[],
  sinceMs: number | null,
  endMs: number,
): AccountRow['storeDiffers'] {
  if (sinceMs === null || sinceMs >= endMs) return null;
  const last = changes.at(-1);
  if (!last) return null;
  if (sinceMs > last.timeMs + clockToleranceMs) return { kind: 'newer', passwordSinceMs: sinceMs };
  if (sinceMs < last.timeMs - clockToleranceMs) return { kind: 'older', passwordSinceMs: sinceMs };
  return null;
}

/**
 * The age between the first record (or change) and the end of the period; empty where no moment is
 * known.
 */
function stretchesOf(
  { fromMs, endMs }: RowOptions,
  bornMs: number | null,
  changes: readonly Change[],
  firstSeenMs: number,
  olderSinceMs: number | null,
): AgeStretch[] {
  const born = bornMs === null ? [] : [bornMs];
  const moments = [...born, ...changes.map(({ timeMs }) => timeMs)].sort((a, b) => a - b);
  const visibleFromMs = Math.max(fromMs, Math.min(firstSeenMs, moments[0] ?? endMs));
  const stretches: AgeStretch[] = [];
  moments.forEach((moment, index) => {
    const start = Math.max(moment, visibleFromMs);
    const end = Math.min(moments[index + 1] ?? endMs, endMs);
    if (start >= end) return;
    const isLast = index === moments.length - 1;
    const since = isLast && olderSinceMs !== null ? olderSinceMs : moment;
    stretches.push({ fromMs: start, toMs: end, ageMs: start - since });
  });
  return stretches;
}

function largestOf(stretches: readonly AgeStretch[]): { ageMs: number; atMs: number } | null {
  let largest: { ageMs: number; atMs: number } | null = null;
  for (const { fromMs, toMs, ageMs } of stretches) {
    const at = ageMs + (toMs - fromMs);
    if (largest === null || at > largest.ageMs) largest = { ageMs: at, atMs: toMs };
  }
  return largest;
}

/** Why it is not known whether the stored password is valid; `null` when it is known. */
function doubtOf(history: AccountHistory | null, lastChange: Change | null): string | null {
  if (!history) return null;
  const attempt = history.attempts.findLast(
    ({ intendedAtMs }) => lastChange === null || intendedAtMs > lastChange.timeMs,
  );
  if (attempt?.status === 'open') return 'the last rotation is unfinished';
  if (attempt?.status === 'unknown') {
    const problem = 'the outcome of the last rotation is unknown';
    return attempt.reason === undefined ? problem : `${problem}: ${attempt.reason}`;
  }
  const stop = history.stops.find(({ toMs }) => toMs === null);
  return stop && stop.reason === 'password-lost' ? 'the password is unrecoverable' : null;
}

function bucketOf(
  ageMs: number | null,
  { maxAgeDays, rotateAfterDays }: RowOptions['policy'],
): Bucket {
  if (ageMs === null) return 'never';
  if (ageMs > maxAgeDays * dayMs) return 'outside';
  return ageMs > rotateAfterDays * dayMs ? 'soon' : 'inside';
}
