// What a report about a script must say, computed hour by hour and without the product code: an
// independent reading of docs/AUDIT.md, "How a day is judged".

import type { Deed, Limits, Script } from './report-history.ts';
import { hourMs, startMs } from './report-history.ts';

type AccountScript = Script['accounts'][number];
type Hour = 'compliant' | 'soon' | 'overdue' | 'never' | 'unknown' | 'exempt';
type Day = 'compliant' | 'overdue' | 'unknown' | 'exempt';

/** The numbers of one account. Ages are hours. */
export type AccountTruth = {
  readonly standing: Hour | 'removed';
  readonly age: number | null;
  readonly largestAge: number | null;
  readonly nextDue: number | null;
  readonly days: Readonly<Record<Day, number>>;
  readonly succeeded: number;
  readonly failed: number;
  readonly unknown: number;
  readonly limits: Limits;
};

export type Truth = {
  readonly accounts: Readonly<Record<string, AccountTruth>>;
  readonly days: readonly (Readonly<Record<Day, number>> & { readonly day: string })[];
  readonly atStart: number;
  readonly added: readonly string[];
  readonly removed: readonly string[];
  readonly open: number;
  /** Exceptions of these kinds. */
  readonly exceptions: Readonly<Record<'over-age' | 'outside-change' | 'unknown-outcome', number>>;
};

/** The password at an hour, as far as it is known before the hour `end`. */
type Password = { readonly is: 'known' | 'unknown' | 'never'; readonly since: number };

/** Whether the log says before `end` that this reset changed the password. */
const isRotated = (deed: Deed, end: number): boolean =>
  deed.deed === 'rotation' && deed.ended === 'rotated' && deed.knownAt < end;
const isUnchanged = (deed: Deed, end: number): boolean =>
  deed.deed === 'rotation' && deed.ended === 'unchanged' && deed.knownAt < end;

function passwordAt({ deeds }: AccountScript, hour: number, end: number): Password {
  let password: Password = { is: 'never', since: 0 };
  let before: Password = password;
  for (const deed of deeds) {
    if (deed.at > hour) break;
    if (deed.deed === 'by-hand')
      password = { is: deed.since === null ? 'unknown' : 'known', since: deed.since ?? 0 };
    if (isRotated(deed, end)) password = { is: 'known', since: deed.at };
    else if (deed.deed === 'rotation' && !isUnchanged(deed, end))
      password = { is: 'unknown', since: 0 };
    if (deed.deed === 'rejected') {
      before = password;
      const isOver = deed.resumedAt <= hour && deed.resumedAt < end;
      password = isOver ? before : { is: 'unknown', since: 0 };
    }
  }
  return password;
}

const isThere = ({ stays }: AccountScript, hour: number): boolean =>
  stays.some(({ from, to }) => from <= hour && hour < to);

function limitsAt(script: Script, account: AccountScript, hour: number): Limits {
  const stay = account.stays.find(({ from, to }) => from <= hour && hour < to);
  const own = account.limits.filter(({ from }) => from <= hour && from >= (stay?.from ?? 0)).at(-1);
  const fleet = script.limits.filter(({ from }) => from <= hour).at(-1)?.limits;
  if (own?.limits) return own.limits;
  if (!fleet) throw new Error('a script without limits');
  return fleet;
}

function judge(script: Script, account: AccountScript, hour: number, end: number): Hour {
  const day = Math.floor(hour / 24);
  const isExempt = account.exemptions.some(
    ({ from, to, untilDay }) => from <= hour && hour < to && day <= untilDay,
  );
  if (isExempt) return 'exempt';
  const { is, since } = passwordAt(account, hour, end);
  if (is !== 'known') return is;
  const { maxAgeDays, rotateAfterDays } = limitsAt(script, account, hour);
  // In the middle of the hour.
  const ageDays = (hour + 0.5 - since) / 24;
  if (ageDays > maxAgeDays) return 'overdue';
  return ageDays > rotateAfterDays ? 'soon' : 'compliant';
}

const worst: readonly Day[] = ['compliant', 'exempt', 'unknown', 'overdue'];
const dayOf: Readonly<Record<Hour, Day>> = {
  compliant: 'compliant',
  soon: 'compliant',
  overdue: 'overdue',
  never: 'unknown',
  unknown: 'unknown',
  exempt: 'exempt',
};

/** The truth about the hours from `from` up to, and without, `end`. */
export function truthOf(script: Script, from: number, end: number): Truth {
  const accounts: Record<string, AccountTruth> = {};
  const days = new Map<number, Record<Day, number>>();
  for (const account of script.accounts) {
    const found = accountTruth(script, account, from, end, days);
    if (found) accounts[account.name] = found;
  }
  const names = Object.keys(accounts);
  const named = (hour: number) =>
    script.accounts.filter((one) => isThere(one, hour)).map(({ name }) => name);
  const deeds = script.accounts.flatMap((account) => account.deeds);
  const [before, after] = [named(from - 1), named(end - 1)];
  return {
    accounts,
    days: [...days]
      .sort(([a], [b]) => a - b)
      .map(([day, counts]) => ({
        day: new Date(startMs + day * 24 * hourMs).toISOString().slice(0, 10),
        ...counts,
      })),
    atStart: before.length,
    added: names.filter((name) => !before.includes(name)).sort(),
    removed: names.filter((name) => !after.includes(name)).sort(),
    exceptions: exceptionsOf(script, from, end),
    open: deeds.filter((deed) => isOpen(deed, end) && deed.at >= from && deed.at < end).length,
  };
}

/** Overdue times without a break that reach into the period, and what happened in it. */
function exceptionsOf(script: Script, from: number, end: number): Truth['exceptions'] {
  const counts = { 'over-age': 0, 'outside-change': 0, 'unknown-outcome': 0 };
  for (const account of script.accounts) {
    const isOverdue = (hour: number): boolean =>
      isThere(account, hour) && judge(script, account, hour, end) === 'overdue';
    for (let hour = from; hour < end; hour += 1)
      if (isOverdue(hour) && (hour === from || !isOverdue(hour - 1))) counts['over-age'] += 1;
    const isInPeriod = (hour: number): boolean =>
      account.stays.some((stay) => stay.from < end && stay.to > from) && hour >= from && hour < end;
    for (const deed of account.deeds) {
      if (!isInPeriod(deed.at)) continue;
      if (deed.deed === 'by-hand' && !deed.isFirst) counts['outside-change'] += 1;
      if (deed.deed !== 'rotation' || isOpen(deed, end)) continue;
      if (deed.knownAt >= end || deed.ended === 'superseded') counts['unknown-outcome'] += 1;
    }
  }
  return counts;
}

/** An intent without any outcome. */
const isOpen = (deed: Deed, end: number): boolean =>
  deed.deed === 'rotation' && !deed.hasOutcome && deed.knownAt >= end;

function accountTruth(
  script: Script,
  account: AccountScript,
  from: number,
  end: number,
  days: Map<number, Record<Day, number>>,
): AccountTruth | null {
  const ofDay = new Map<number, Day>();
  let largestAge: number | null = null;
  let lastHour = from;
  for (let hour = from; hour < end; hour += 1) {
    if (!isThere(account, hour)) continue;
    lastHour = hour;
    const verdict = dayOf[judge(script, account, hour, end)];
    const day = Math.floor(hour / 24);
    const known = ofDay.get(day) ?? 'compliant';
    ofDay.set(day, worst.indexOf(verdict) > worst.indexOf(known) ? verdict : known);
    const { is, since } = passwordAt(account, hour, end);
    if (is === 'known') largestAge = Math.max(largestAge ?? 0, hour + 1 - since);
  }
  if (ofDay.size === 0) return null;
  const counts = { compliant: 0, overdue: 0, unknown: 0, exempt: 0 };
  for (const [day, verdict] of ofDay) {
    counts[verdict] += 1;
    const all = days.get(day) ?? { compliant: 0, overdue: 0, unknown: 0, exempt: 0 };
    all[verdict] += 1;
    days.set(day, all);
  }
  const isMember = isThere(account, end - 1);
  const { is, since } = passwordAt(account, end - 1, end);
  const age = isMember && is === 'known' ? end - since : null;
  const limits = limitsAt(script, account, lastHour);
  return {
    standing: isMember ? judge(script, account, end - 1, end) : 'removed',
    age,
    largestAge,
    nextDue: age === null ? null : since + limits.rotateAfterDays * 24,
    days: counts,
    limits,
    ...attemptsOf(account, from, end),
  };
}

function attemptsOf({ deeds }: AccountScript, from: number, end: number) {
  const counts = { succeeded: 0, failed: 0, unknown: 0 };
  for (const deed of deeds) {
    if (deed.at < from || deed.at >= end) continue;
    if (deed.deed === 'refused') counts.failed += 1;
    if (deed.deed !== 'rotation') continue;
    if (deed.knownAt >= end || deed.ended === 'superseded') counts.unknown += 1;
    else if (deed.ended === 'rotated') counts.succeeded += 1;
    else counts.failed += 1;
  }
  return counts;
}
