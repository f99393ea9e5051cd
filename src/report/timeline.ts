// The age class of one account at every moment, by its age, limits and exemption, as segments in
// which nothing changes; and the verdict of each day. It does not know the period of a report.

import type { Limits } from '../audit/facts.ts';
import { dayMs } from '../time.ts';
import type { AccountHistory, Change, Doubt, Exemption, Setting } from './history.ts';

/**
 * `inside` and `soon` are compliant. `never`: no password of this account has a known date.
 * `unknown`: the password, or its age, is not known.
 */
export type AgeClass = 'inside' | 'soon' | 'outside' | 'never' | 'unknown' | 'exempt';

/** A time of membership in which nothing changes but the age. */
export type Segment = {
  readonly fromMs: number;
  readonly toMs: number;
  readonly ageClass: AgeClass;
  /** The age at `fromMs`; `null` when it is not known. */
  readonly ageMs: number | null;
  readonly limits: Limits;
  readonly change: Change | null;
  readonly doubt: Doubt | null;
  readonly exemption: Exemption | null;
};

/** What all rows of a report share. */
export type RowContext = {
  readonly fromMs: number;
  readonly endMs: number;
  /** The limits of the fleet, as the log has them, and those for a log without any. */
  readonly fleet: AccountHistory['policies'];
  readonly policy: Limits;
};

/** The setting at a moment; before the first one that is known, the first one. */
export function limitsAt(timeMs: number, own: readonly Setting[], context: RowContext): Limits {
  const { fleet, policy } = context;
  const mine = own.findLast(({ fromMs }) => fromMs <= timeMs)?.value;
  if (mine) return mine;
  const common = fleet.findLast(({ fromMs }) => fromMs <= timeMs) ?? fleet[0];
  const { maxAgeDays, rotateAfterDays } = common?.value ?? policy;
  if (rotateAfterDays <= maxAgeDays) return { maxAgeDays, rotateAfterDays };
  return { maxAgeDays, rotateAfterDays: Math.min(policy.rotateAfterDays, maxAgeDays) };
}

/** The segments of an account up to `endMs`, in order; none where it was not in the inventory. */
export function timelineOf(history: AccountHistory, context: RowContext): Segment[] {
  const { fleet, endMs } = context;
  const { memberships, policies, exemptions, changes, doubts } = history;
  const fixed = [
    ...[...memberships, ...exemptions, ...doubts].flatMap(({ fromMs, toMs }) => [fromMs, toMs]),
    ...[...policies, ...fleet].map(({ fromMs }) => fromMs),
    ...changes.map(({ timeMs }) => timeMs),
  ].filter((ms) => ms !== null);
  const momentAt = (fromMs: number) => {
    const change = changes.findLast(({ timeMs }) => timeMs <= fromMs) ?? null;
    const limits = limitsAt(fromMs, policies, context);
    const doubt = holdsAt(doubts, fromMs);
    return { fromMs, change, limits, doubt, exemption: holdsAt(exemptions, fromMs) };
  };
  const segments: Segment[] = [];
  for (const { fromMs: joinedMs, toMs: leftMs } of memberships) {
    const untilMs = Math.min(leftMs ?? endMs, endMs);
    const within = fixed.filter((ms) => ms > joinedMs && ms < untilMs).sort((a, b) => a - b);
    const starts = [...new Set([joinedMs, ...within])];
    starts.forEach((fromMs, index) => {
      const toMs = starts[index + 1] ?? untilMs;
      if (fromMs < toMs) segments.push(...dividedByAge(momentAt(fromMs), toMs));
    });
  }
  return segments;
}

const holdsAt = <Time extends { readonly fromMs: number; readonly toMs: number | null }>(
  times: readonly Time[],
  ms: number,
): Time | null => times.find(({ fromMs, toMs }) => fromMs <= ms && (toMs ?? Infinity) > ms) ?? null;

type Moment = Omit<Segment, 'toMs' | 'ageClass' | 'ageMs'>;

/** The segments from a moment to `toMs`: a limit may be passed in between. */
function dividedByAge(moment: Moment, toMs: number): Segment[] {
  const { fromMs, change, limits, doubt, exemption } = moment;
  const sinceMs = change?.sinceMs ?? null;
  const segment = (from: number, to: number, ageClass: AgeClass): Segment[] => {
    const ageMs = sinceMs === null || doubt ? null : from - sinceMs;
    return from < to ? [{ ...moment, fromMs: from, toMs: to, ageClass, ageMs }] : [];
  };
  if (exemption) return segment(fromMs, toMs, 'exempt');
  if (doubt) return segment(fromMs, toMs, 'unknown');
  if (sinceMs === null) return segment(fromMs, toMs, change ? 'unknown' : 'never');
  const within = (ms: number): number => Math.min(Math.max(ms, fromMs), toMs);
  const dueMs = within(sinceMs + limits.rotateAfterDays * dayMs);
  const overMs = within(sinceMs + limits.maxAgeDays * dayMs);
  return [
    ...segment(fromMs, Math.min(dueMs, overMs), 'inside'),
    ...segment(Math.min(dueMs, overMs), overMs, 'soon'),
    ...segment(overMs, toMs, 'outside'),
  ];
}

/** The verdicts on a day, which is judged by its worst moment; the most severe one is the last. */
export const noVerdicts = { compliant: 0, exempt: 0, unknown: 0, overdue: 0 };

export type DayVerdict = keyof typeof noVerdicts;

const severity = Object.keys(noVerdicts);

const verdicts: Readonly<Record<AgeClass, DayVerdict>> = {
  inside: 'compliant',
  soon: 'compliant',
  outside: 'overdue',
  never: 'unknown',
  unknown: 'unknown',
  exempt: 'exempt',
};

export function countVerdicts(counted: Iterable<DayVerdict>): Record<DayVerdict, number> {
  const counts = { ...noVerdicts };
  for (const verdict of counted) counts[verdict] += 1;
  return counts;
}

/** The UTC days in which the account was in the population, by day number, and their verdicts. */
export function daysOf(segments: readonly Segment[]): ReadonlyMap<number, DayVerdict> {
  const days = new Map<number, DayVerdict>();
  for (const { fromMs, toMs, ageClass } of segments) {
    const verdict = verdicts[ageClass];
    for (let day = Math.floor(fromMs / dayMs); day * dayMs < toMs; day += 1) {
      const before = days.get(day);
      if (before === undefined || severity.indexOf(verdict) > severity.indexOf(before))
        days.set(day, verdict);
    }
  }
  return days;
}

/** The parts of segments that lie in a period. */
export const clipped = (segments: readonly Segment[], startMs: number, endMs: number): Segment[] =>
  segments.flatMap((segment) => {
    const fromMs = Math.max(segment.fromMs, startMs);
    const toMs = Math.min(segment.toMs, endMs);
    const ageMs = segment.ageMs === null ? null : segment.ageMs + fromMs - segment.fromMs;
    return fromMs < toMs ? [{ ...segment, fromMs, toMs, ageMs }] : [];
  });
