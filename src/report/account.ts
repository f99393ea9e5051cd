// One account's row: how old its password is at the end, how old it ever was in the period, and the line of its age for the picture.

import { dayMs } from '../time.ts';
import type { AccountHistory, Attempt, Change, Stop } from './history.ts';

/** What the secret store says of an account. */
export type StoreFact = {
  /** When the password that is current was first stored; `null` when the store could not tell. UTC milliseconds. */
  readonly passwordSinceMs: number | null;
  /** `settled`, `busy`, `in doubt`, `stopped: reason`; for people. */
  readonly state: string;
};

/** An account that need not follow the policy for now. `until`: ISO date. */
export type Exemption = {
  readonly account: string;
  readonly who: string;
  readonly why: string;
  readonly until: string;
};

export type Bucket = 'inside' | 'soon' | 'outside' | 'never' | 'unknown' | 'exempt';

/** A stretch of the picture: from `fromMs` on the password's age grew from `ageMs`, until `toMs`. */
export type AgeStretch = { readonly fromMs: number; readonly toMs: number; readonly ageMs: number };

export type AccountRow = {
  readonly account: string;
  readonly username: string | null;
  readonly secretId: string | null;
  readonly bucket: Bucket;
  /** Why it is in that bucket, where the age alone does not say. */
  readonly note: string | null;
  readonly lastChange: Change | null;
  /** At the end of the period; `null` when nobody knows since when the password is in use. */
  readonly ageMs: number | null;
  readonly largestAgeMs: number | null;
  /** When that was. */
  readonly largestAtMs: number | null;
  /** Beyond the policy's age at some moment of the period. */
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
  /** How the store contradicts the log: a password newer than any change in the log, or older than the last one. */
  readonly storeDiffers: {
    readonly kind: 'newer' | 'older';
    readonly passwordSinceMs: number;
  } | null;
};

/** Store and log are two clocks, and a password is stored a moment before it is audited. */
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
export function accountRow({
  account,
  history,
  store,
  exemption,
  fromMs,
  endMs,
  policy,
}: RowOptions): AccountRow {
  const logged = history?.changes ?? [];
  const sinceMs = store?.passwordSinceMs ?? null;
  const storeDiffers = differing(logged, sinceMs, endMs);
  const changes = [...logged];
  if (storeDiffers?.kind === 'newer') changes.push(fromStore(storeDiffers.passwordSinceMs));
  const born = history?.bornMs ?? (logged.length === 0 ? sinceMs : null);
  const moments = [...(born === null ? [] : [born]), ...changes.map(({ timeMs }) => timeMs)].sort(
    (a, b) => a - b,
  );
  const visibleFrom = Math.max(
    fromMs,
    Math.min(history?.firstSeenMs ?? endMs, moments[0] ?? endMs),
  );
  // A store that holds an older password than the log says is believed: the older age counts.
  const stretches = stretchesOf(
    moments,
    visibleFrom,
    endMs,
    storeDiffers?.kind === 'older' ? storeDiffers.passwordSinceMs : null,
  );
  const last = stretches.at(-1);
  const ageMs = last ? last.ageMs + (last.toMs - last.fromMs) : null;
  const largest = largestOf(stretches);
  const attempts = history?.attempts ?? [];
  const inPeriod = attempts.filter(({ intendedAtMs }) => intendedAtMs >= fromMs);
  const lastChange = changes.at(-1) ?? null;
  const doubt = doubtOf(history, lastChange);
  const isExempt = exemption !== null;
  const bucket = isExempt ? 'exempt' : doubt ? 'unknown' : bucketOf(ageMs, policy);
  return {
    account,
    username: history?.username ?? null,
    secretId: history?.secretId ?? null,
    bucket,
    note: isExempt ? `${exemption.why} (${exemption.who}, until ${exemption.until})` : doubt,
    lastChange,
    ageMs,
    largestAgeMs: largest?.ageMs ?? null,
    largestAtMs: largest?.atMs ?? null,
    everOutside: largest !== null && largest.ageMs > policy.maxAgeDays * dayMs,
    nextDueMs: ageMs === null ? null : endMs - ageMs + policy.rotateAfterDays * dayMs,
    succeeded: inPeriod.filter(({ status }) => status === 'success').length,
    failed: inPeriod.filter(({ status }) => status === 'failure').length,
    unknown: inPeriod.filter(({ status }) => status === 'unknown' || status === 'open').length,
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

const fromStore = (timeMs: number): Change => ({
  timeMs,
  by: 'outside',
  sequence: null,
  actor: '',
  trigger: '',
  verified: false,
});

function differing(
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

/** The saw-tooth between `fromMs` and `endMs`; empty where no moment is known. */
function stretchesOf(
  moments: readonly number[],
  fromMs: number,
  endMs: number,
  olderSinceMs: number | null,
): AgeStretch[] {
  const stretches: AgeStretch[] = [];
  moments.forEach((moment, index) => {
    const start = Math.max(moment, fromMs);
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

/** Why nobody knows whether the password in the store is the one at Verizon; `null` when that is known. */
function doubtOf(history: AccountHistory | null, lastChange: Change | null): string | null {
  if (!history) return null;
  const attempt = history.attempts.findLast(
    ({ intendedAtMs }) => lastChange === null || intendedAtMs > lastChange.timeMs,
  );
  if (attempt?.status === 'open') return 'the last rotation has an intent and no outcome';
  if (attempt?.status === 'unknown')
    return `the outcome of the last rotation is unknown${attempt.reason ? `: ${attempt.reason}` : ''}`;
  const stop = history.stops.find(({ toMs }) => toMs === null);
  return stop && stop.reason === 'password-lost' ? 'the password is known to nobody' : null;
}

function bucketOf(
  ageMs: number | null,
  { maxAgeDays, rotateAfterDays }: RowOptions['policy'],
): Bucket {
  if (ageMs === null) return 'never';
  if (ageMs > maxAgeDays * dayMs) return 'outside';
  return ageMs > rotateAfterDays * dayMs ? 'soon' : 'inside';
}
