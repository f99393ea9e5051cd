// Probing during an outage: accounts wait in the due queue, and one of them at a time finds out whether the
// dependency is reachable again.

import type { CircuitBreaker } from './circuit-breaker.ts';
import type { DueItem } from './due-queue.ts';

export type ProbeSchedule = {
  /** Follows the circuit breaker; true once when an outage has ended. */
  update(nowMs: number): boolean;
  /** The item that probes now; another account each time. `finish` must be called after the probe. */
  take(held: readonly DueItem[], nowMs: number): DueItem | undefined;
  finish(nowMs: number): void;
  /** The time of the next probe after `nowMs`; Infinity when none is planned. */
  nextAfterMs(nowMs: number): number;
};

export function createProbeSchedule(
  breaker: Pick<CircuitBreaker, 'outage' | 'probeDelayMs'>,
): ProbeSchedule {
  let nextMs = Number.POSITIVE_INFINITY;
  let isOutage = false;
  let probes = 0;

  return {
    update: (nowMs) => {
      const wasOutage = isOutage;
      isOutage = breaker.outage() !== null;
      if (isOutage && !wasOutage) nextMs = nowMs + breaker.probeDelayMs();
      return wasOutage && !isOutage;
    },
    take: (held, nowMs) => {
      if (nowMs < nextMs || held.length === 0) return undefined;
      nextMs = Number.POSITIVE_INFINITY;
      probes += 1;
      return held[(probes - 1) % held.length];
    },
    finish: (nowMs) => {
      nextMs = nowMs + breaker.probeDelayMs();
    },
    // A probe whose time has come waits for the next account that is due.
    nextAfterMs: (nowMs) => (isOutage && nextMs > nowMs ? nextMs : Number.POSITIVE_INFINITY),
  };
}
