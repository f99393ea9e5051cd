// Probing during an outage: accounts wait in the due queue, and one of them at a time finds out
// whether the dependency is reachable again.

import type { CircuitBreaker } from './circuit-breaker.ts';
import type { DueItem } from './due-queue.ts';

export type ProbeSchedule = ReturnType<typeof createProbeSchedule>;

export function createProbeSchedule(breaker: Pick<CircuitBreaker, 'outage' | 'probeDelayMs'>) {
  let nextMs = Number.POSITIVE_INFINITY;
  let isOutage = false;
  let probes = 0;

  return {
    /** Follows the circuit breaker; true once when an outage has ended. */
    update: (nowMs: number): boolean => {
      const wasOutage = isOutage;
      isOutage = breaker.outage() !== null;
      if (isOutage && !wasOutage) nextMs = nowMs + breaker.probeDelayMs();
      return wasOutage && !isOutage;
    },
    /** The item that probes now, another one each time. Call `finish` after the probe. */
    take: (held: readonly DueItem[], nowMs: number): DueItem | undefined => {
      if (nowMs < nextMs || held.length === 0) return undefined;
      nextMs = Number.POSITIVE_INFINITY;
      probes += 1;
      return held[(probes - 1) % held.length];
    },
    finish: (nowMs: number): void => {
      nextMs = nowMs + breaker.probeDelayMs();
    },
    /** The time of the next probe; Infinity when a probe waits for an account that is due. */
    nextAfterMs: (nowMs: number): number =>
      isOutage && nextMs > nowMs ? nextMs : Number.POSITIVE_INFINITY,
  };
}
