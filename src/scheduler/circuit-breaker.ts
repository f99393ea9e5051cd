// Tells an account that fails from a dependency that is unreachable for all accounts. It opens when
// several accounts in a row cannot reach the same dependency, and closes at the first account that
// can.

import type { Reason } from '../rotation/failure.ts';

/** What every account needs. */
export type Dependency = 'store' | 'thingspace';

/** At the beginning of a sentence. */
export const dependencyNames: Readonly<Record<Dependency, string>> = {
  store: 'The secret store',
  thingspace: 'ThingSpace',
};

const minuteMs = 60_000;

/** Delays between probes during an outage; the last one repeats. */
const probeDelaysMs: readonly number[] = [1, 2, 5, 10, 15].map((count) => count * minuteMs);

/** How many different accounts in a row open the circuit breaker. */
const accountsUntilOutage = 5;

/** What one attempt or check shows about the dependencies. */
export type Observation = {
  readonly account: string;
  readonly reason?: Reason | undefined;
  readonly logins: number;
  readonly atMs: number;
};

export type Outage = {
  readonly dependency: Dependency;
  readonly sinceMs: number;
  readonly probes: number;
};

export type CircuitBreaker = ReturnType<typeof createCircuitBreaker>;

export function createCircuitBreaker(
  delaysMs: readonly number[] = probeDelaysMs,
  accountsNeeded: number = accountsUntilOutage,
) {
  const failing: Record<Dependency, Set<string>> = { store: new Set(), thingspace: new Set() };
  let outage: Outage | null = null;

  return {
    /** The outage in progress; null when there is none. */
    outage: (): Outage | null => outage,
    /** Counts an observation; returns the outage that it begins or ends. */
    record: (observation: Observation): { began?: Dependency; ended?: Outage } => {
      const { unreachable, reachable } = evidenceOf(observation);
      for (const dependency of reachable) failing[dependency].clear();
      if (outage && reachable.includes(outage.dependency)) {
        const ended = outage;
        outage = null;
        return { ended };
      }
      if (unreachable === undefined) return {};
      failing[unreachable].add(observation.account);
      if (outage) {
        outage = { ...outage, probes: outage.probes + 1 };
        return {};
      }
      if (failing[unreachable].size < accountsNeeded) return {};
      outage = { dependency: unreachable, sinceMs: observation.atMs, probes: 0 };
      return { began: unreachable };
    },
    /** Milliseconds from the last probe to the next one. */
    probeDelayMs: (): number =>
      delaysMs[Math.min(outage?.probes ?? 0, delaysMs.length - 1)] ?? minuteMs,
  };
}

/** A check that sends no login says nothing about ThingSpace. */
function evidenceOf({ reason, logins }: Pick<Observation, 'reason' | 'logins'>): {
  readonly unreachable?: Dependency;
  readonly reachable: readonly Dependency[];
} {
  switch (reason) {
    case 'store-unavailable':
    case 'store-missing':
      return { unreachable: 'store', reachable: [] };
    case 'api-unavailable':
    case 'login-unavailable':
    case 'reset-throttled':
      return { unreachable: 'thingspace', reachable: ['store'] };
    default:
      return { reachable: logins > 0 ? ['store', 'thingspace'] : ['store'] };
  }
}
