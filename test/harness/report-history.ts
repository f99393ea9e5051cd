// Random histories of a fleet, from a seed, as scripts of what happened, and the log that the
// program would have written. report-truth.ts computes from a script what a report must say; it
// knows neither the log nor the product code.

import { formatRecord, uuidv7 } from '../../src/audit/record.ts';
import type { LoggedEvent } from '../../src/audit/schema.ts';
import type { AuditEvent } from '../../src/rotation/event.ts';
import { context, memorySource, origin } from './audit.ts';
import { randomOf } from './audit-year.ts';

/** Everything happens at the beginning of an hour; times are hours after `startMs`. */
export const hourMs = 3_600_000;
export const startMs = Date.UTC(2025, 0, 1);
export const hoursOfYear = 365 * 24;

export type Limits = { readonly maxAgeDays: number; readonly rotateAfterDays: number };

/** What happened to the password of one account, or was tried. */
export type Deed =
  | { readonly deed: 'refused'; readonly at: number; readonly hasIntent: boolean }
  /** Reset at `at`. `knownAt`: when the log learned how it ended; Infinity: never. */
  | {
      readonly deed: 'rotation';
      readonly at: number;
      readonly knownAt: number;
      readonly ended: 'rotated' | 'unchanged' | 'superseded' | 'lost';
      /** Whether the first attempt recorded an unknown outcome, or died without one. */
      readonly hasOutcome: boolean;
    }
  | {
      readonly deed: 'by-hand';
      readonly at: number;
      readonly since: number | null;
      readonly isFirst: boolean;
    }
  /** The stored password was rejected; a person resumed the account, or stored a password. */
  | { readonly deed: 'rejected'; readonly at: number; readonly resumedAt: number };

export type Script = {
  readonly accounts: readonly {
    readonly name: string;
    readonly stays: readonly { readonly from: number; readonly to: number }[];
    readonly limits: readonly { readonly from: number; readonly limits: Limits | null }[];
    readonly exemptions: readonly {
      readonly from: number;
      readonly to: number;
      /** Its last day, counted from the day of `startMs`. */
      readonly untilDay: number;
    }[];
    readonly deeds: readonly Deed[];
  }[];
  readonly limits: readonly { readonly from: number; readonly limits: Limits }[];
  readonly storageFailures: readonly number[];
};

type Random = () => number;
const pick = (random: Random, least: number, most: number): number =>
  least + Math.floor(random() * (most - least + 1));

/** A year of `count` accounts. */
export function scriptOf(seed: number, count: number): Script {
  const random = randomOf(seed);
  const outages = Array.from({ length: pick(random, 0, 3) }, () => {
    const from = pick(random, 0, hoursOfYear);
    return { from, to: from + pick(random, 5, 40 * 24) };
  });
  const limitsOf = (): Limits => {
    const maxAgeDays = pick(random, 20, 120);
    return { maxAgeDays, rotateAfterDays: pick(random, 10, maxAgeDays) };
  };
  const changesOf = <Value>(most: number, limitsFor: () => Value) =>
    hoursIn(random, pick(random, 0, most)).map((from) => ({ from, limits: limitsFor() }));
  return {
    accounts: Array.from({ length: count }, (_, index) => {
      const stays = staysOf(random);
      const [{ from: joined } = { from: 0 }] = stays;
      const exemptions = exemptionsOf(random, stays);
      const own = changesOf(3, () => (random() < 0.3 ? null : limitsOf()));
      const isThere = (at: number) => stays.some(({ from, to }) => from < at && at < to);
      return {
        name: `account-${index}`,
        stays,
        exemptions,
        limits: own.filter(({ from }) => isThere(from)),
        deeds: deedsOf(random, joined, outages).filter(({ at }) => isThere(at)),
      };
    }),
    limits: [{ from: 0, limits: limitsOf() }, ...changesOf(3, limitsOf)],
    storageFailures: hoursIn(random, pick(random, 0, 2)),
  };
}

/** Different hours in order. */
const hoursIn = (random: Random, count: number): number[] =>
  [...new Set(Array.from({ length: count }, () => pick(random, 1, hoursOfYear - 1)))].sort(
    (a, b) => a - b,
  );

function staysOf(random: Random) {
  const joined = random() < 0.6 ? 0 : pick(random, 1, hoursOfYear - 200);
  const left = random() < 0.7 ? Infinity : pick(random, joined + 100, hoursOfYear);
  const again = left + pick(random, 1, 2_000);
  const stays = [{ from: joined, to: left }];
  if (again < hoursOfYear && random() < 0.6) stays.push({ from: again, to: Infinity });
  return stays;
}

/** One after the other; an exemption ends with a stay. */
function exemptionsOf(random: Random, stays: readonly { from: number; to: number }[]) {
  return stays.flatMap(({ from, to }) => {
    if (random() < 0.6) return [];
    const begin = from + pick(random, 1, 4_000);
    const removed = begin + pick(random, 1, 3_000);
    const untilDay = Math.floor(begin / 24) + pick(random, -1, 100);
    return begin < to ? [{ from: begin, to: Math.min(removed, to), untilDay }] : [];
  });
}

function deedsOf(
  random: Random,
  joined: number,
  outages: readonly { from: number; to: number }[],
): Deed[] {
  const deeds: Deed[] = [];
  let at = joined + pick(random, 1, 30 * 24);
  if (random() < 0.5) {
    const since = random() < 0.5 ? null : at - pick(random, 0, 100 * 24);
    deeds.push({ deed: 'by-hand', at, since, isFirst: true });
  }
  for (;;) {
    at += pick(random, 24, random() < 0.3 ? 10 * 24 : 90 * 24);
    if (at >= hoursOfYear) return deeds;
    const isOut = outages.some(({ from, to }) => from <= at && at < to);
    const luck = isOut ? 0 : random();
    if (luck < 0.12) deeds.push({ deed: 'refused', at, hasIntent: !isOut && random() < 0.5 });
    else if (luck < 0.3) at = addTrouble(random, deeds, at);
    else deeds.push({ deed: 'rotation', at, knownAt: at, ended: 'rotated', hasOutcome: false });
  }
}

/** A doubtful rotation, a change by hand or a rejected password; when it is over. */
function addTrouble(random: Random, deeds: Deed[], at: number): number {
  const kind = random();
  const later = at + pick(random, 1, 60 * 24);
  if (kind < 0.25) {
    const since = random() < 0.5 ? null : at - pick(random, 0, 100 * 24);
    deeds.push({ deed: 'by-hand', at, since, isFirst: false });
    return at;
  }
  if (kind < 0.4) {
    deeds.push({ deed: 'rejected', at, resumedAt: later });
    return later;
  }
  const ended = (['rotated', 'rotated', 'unchanged', 'superseded', 'lost'] as const)[
    pick(random, 0, 4)
  ];
  const hasOutcome = random() < 0.5;
  deeds.push({ deed: 'rotation', at, knownAt: later, ended: ended ?? 'rotated', hasOutcome });
  return later;
}

type Timed = { readonly at: number; readonly event: LoggedEvent };

const withDate = (hour: number) => ({ passwordSinceMs: startMs + hour * hourMs });

/** The events of one deed, as the program records them. */
function eventsOf(account: string, deed: Deed, index: number): Timed[] {
  const { at } = deed;
  const rotationId = `${account}-${index}`;
  const base = { account, secretId: `secret/${account}`, trigger: { kind: 'schedule' } } as const;
  const event = (
    code: AuditEvent['code'],
    status: AuditEvent['status'],
    more: Partial<AuditEvent> = {},
  ): AuditEvent => ({ ...base, code, status, ...more });
  switch (deed.deed) {
    case 'refused': {
      const failed = { reason: 'api-unavailable', certainty: 'unchanged', rotationId } as const;
      if (!deed.hasIntent) return [{ at, event: event('attempt.failed', 'failure', failed) }];
      return [
        { at, event: event('rotation.intended', 'started', { rotationId }) },
        { at, event: event('rotation.outcome', 'failure', failed) },
      ];
    }
    case 'by-hand': {
      const before = deed.isFirst ? {} : { versionBefore: 'v1' };
      const since = deed.since === null ? {} : withDate(deed.since);
      return [
        { at, event: event('secret.changed', 'started', { ...before, ...since }) },
        { at, event: event('secret.changed', 'success', { ...before, ...since }) },
      ];
    }
    case 'rejected': {
      const reason = 'login-refused';
      const stopped = event('account.stopped', 'failure', { reason, certainty: 'stopped' });
      const resumed = { at: deed.resumedAt, event: event('account.resumed', 'success') };
      return [{ at, event: stopped }, resumed];
    }
    case 'rotation': {
      const { knownAt, ended, hasOutcome } = deed;
      const code = knownAt === at ? 'rotation.outcome' : 'rotation.reconciled';
      // Version 0.1 did not record since when a password is valid.
      const date = index % 2 === 0 ? withDate(at) : {};
      const about = {
        rotated: ['success', { certainty: 'rotated', verifiedBy: 'login', ...date }],
        unchanged: ['failure', { certainty: 'unchanged' }],
        superseded: ['unknown', { certainty: 'in-doubt' }],
        lost: ['failure', { certainty: 'lost', reason: 'password-lost' }],
      } as const;
      const [status, facts] = about[ended];
      const lost = { certainty: 'lost', reason: 'password-lost', rotationId } as const;
      const doubtful = { reason: 'answer-lost', certainty: 'in-doubt', rotationId } as const;
      return [
        { at, event: event('rotation.intended', 'started', { rotationId }) },
        ...(hasOutcome ? [{ at, event: event('rotation.outcome', 'unknown', doubtful) }] : []),
        { at: knownAt, event: event(code, status, { rotationId, ...facts }) },
        ...(ended === 'lost'
          ? [{ at: knownAt, event: event('account.stopped', 'failure', lost) }]
          : []),
      ];
    }
  }
}

const dayOf = (day: number): string =>
  new Date(startMs + day * 24 * hourMs).toISOString().slice(0, 10);

/** The events of a script in the order of their hours. */
export function eventsOfScript({ accounts, limits, storageFailures }: Script): Timed[] {
  const events: Timed[] = limits.map(({ from, limits: value }) => ({
    at: from,
    event: { code: 'policy.changed', ...value },
  }));
  for (const { name: account, stays, exemptions, deeds, limits: own } of accounts) {
    for (const { from, to } of stays) {
      const change = (what: 'added' | 'removed'): LoggedEvent => ({
        code: 'inventory.changed',
        change: what,
        account,
      });
      events.push({ at: from, event: change('added') }, { at: to, event: change('removed') });
    }
    for (const { from, limits: value } of own)
      events.push({ at: from, event: { code: 'policy.changed', account, ...value } });
    for (const { from, to, untilDay } of exemptions) {
      const facts = { account, exemptBy: 'ciso', exemptWhy: 'why', exemptUntil: dayOf(untilDay) };
      const code = 'exemption.changed';
      events.push({ at: from, event: { code, change: 'added', ...facts } });
      if (!stays.some((stay) => stay.to === to))
        events.push({ at: to, event: { code, change: 'removed', ...facts } });
    }
    for (const [index, deed] of deeds.entries()) events.push(...eventsOf(account, deed, index));
  }
  for (const at of storageFailures)
    events.push({ at, event: { code: 'sink.failed', sink: 'disk', detail: 'full', lost: 1 } });
  return events.filter(({ at }) => at < hoursOfYear).sort((a, b) => a.at - b.at);
}

/** The log of these events. */
export function sourceOf(events: readonly Timed[]) {
  const lines = events.map(({ at, event }, sequence) => {
    const timeMs = startMs + at * hourMs;
    const stamp = { uid: uuidv7(timeMs), sequence, timeMs, origin, batchRemaining: 0 };
    return formatRecord(event, stamp, context);
  });
  return memorySource(lines);
}
