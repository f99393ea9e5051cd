// When an account that ended badly is looked at again, before the next tick. A table to be read; whoever waits
// here must never cost a login of the account's budget, nor come back as a storm.

import { type FailureKind, failures, type Reason } from '../rotation/failure.ts';
import { isGood } from '../rotation/result.ts';
import { type Result, settledAfterMs, type Timing } from '../rotation/state.ts';

const minuteMs = 60_000;
const hourMs = 60 * minuteMs;

/** Waits after the first, second, … bad end in a row; after the last one, the next tick. */
const retryWaitsMs: Readonly<Record<FailureKind['disposition'], readonly number[]>> = {
  later: [15 * minuteMs, hourMs, 4 * hourMs],
  // The first one is the settle time, and a little.
  recover: [0, 5 * minuteMs, 15 * minuteMs, hourMs, 4 * hourMs],
  // Never by itself; told once a day.
  person: [],
};

/**
 * How long until this account is looked at again, in milliseconds; null: the next tick. `inARow` counts bad ends, this one
 * included. A login that may have counted is not followed by another one before the next tick: three of them stop the account.
 */
export function nextLookInMs(result: Result, inARow: number, timing: Timing): number | null {
  const { reason, logins } = result;
  if (isGood(result) || reason === undefined || reason === 'interrupted') return null;
  const { disposition } = failures[reason];
  if (logins > 0 && (reason === 'login-unavailable' || reason === 'verify-unavailable'))
    return null;
  const wait = retryWaitsMs[disposition][inARow - 1];
  if (wait === undefined) return null;
  return disposition === 'recover' ? Math.max(wait, settledAfterMs(timing) + 1_000) : wait;
}

/** What both sides of an outage have in common. */
export type Dependency = 'store' | 'thingspace';

/** Waits between single looks while a dependency is away; the last one repeats. */
export const probeWaitsMs: readonly number[] = [
  minuteMs,
  2 * minuteMs,
  5 * minuteMs,
  10 * minuteMs,
  15 * minuteMs,
];

/** How many different accounts in a row must meet the same closed door before it counts as an outage. */
export const outageAfter = 5;

/** What a look said, as far as outages are concerned: a result, or a status. */
export type Heard = {
  readonly account: string;
  readonly reason?: Reason | undefined;
  readonly logins: number;
  readonly atMs: number;
};

/** Which dependency was away, and which ones were shown to be there. */
function evidenceOf({ reason, logins }: Pick<Heard, 'reason' | 'logins'>): {
  readonly away?: Dependency;
  readonly here: readonly Dependency[];
} {
  if (reason === 'store-unavailable') return { away: 'store', here: [] };
  if (
    reason === 'api-unavailable' ||
    reason === 'login-unavailable' ||
    reason === 'reset-throttled'
  )
    return { away: 'thingspace', here: ['store'] };
  return { here: logins > 0 ? ['store', 'thingspace'] : ['store'] };
}

export type Outage = {
  readonly dependency: Dependency;
  readonly sinceMs: number;
  readonly probes: number;
};

export type Outages = {
  /** The outage that keeps everybody waiting; null when there is none. */
  open(): Outage | null;
  /** Takes a look into account; says what it changed. */
  heard(look: Heard): { readonly opened?: Dependency; readonly closed?: Outage };
  /** Milliseconds from the last probe to the next. */
  probeWaitMs(): number;
};

/** Tells one broken account from a dependency that is away for all. */
export function createOutages(
  waits: readonly number[] = probeWaitsMs,
  after: number = outageAfter,
): Outages {
  const met: Record<Dependency, Set<string>> = { store: new Set(), thingspace: new Set() };
  let outage: { dependency: Dependency; sinceMs: number; probes: number } | null = null;

  return {
    open: () => outage,
    heard: (look) => {
      const { away, here } = evidenceOf(look);
      for (const dependency of here) met[dependency].clear();
      if (outage && here.includes(outage.dependency)) {
        const closed = outage;
        outage = null;
        return { closed };
      }
      if (away === undefined) return {};
      met[away].add(look.account);
      if (outage) {
        outage.probes += 1;
        return {};
      }
      if (met[away].size < after) return {};
      outage = { dependency: away, sinceMs: look.atMs, probes: 0 };
      return { opened: away };
    },
    probeWaitMs: () => waits[Math.min(outage?.probes ?? 0, waits.length - 1)] ?? minuteMs,
  };
}
