// Token buckets: how fast a fleet may go. A bucket is asked before an attempt begins and never between a reset
// and its saving, so an attempt reserves the most it can need and gives back what it did not.

import type { Clock } from '../rotation/ports.ts';

export type Bucket = {
  /**
   * Resolves when `count` tokens have been taken, in the order of asking; at once, and taking nothing, when `wake` is aborted.
   * More than the capacity waits for a full bucket.
   */
  take(count: number, wake?: AbortSignal): Promise<void>;
  /** Gives back what was reserved and not used. */
  giveBack(count: number): void;
  /** Hands out nothing for so long: what a `Retry-After` says. A longer pause that is already running stays. */
  pause(ms: number): void;
};

export type Rate = { readonly perSecond: number; readonly capacity: number };

/** A full bucket. */
export function openBucket(
  { perSecond, capacity }: Rate,
  clock: Pick<Clock, 'monotonicMs' | 'sleep'>,
): Bucket {
  let tokens = capacity;
  let filledAtMs = clock.monotonicMs();
  let pausedUntilMs = Number.NEGATIVE_INFINITY;
  /** One asker after the other, so that a large one is not starved by small ones. */
  let last: Promise<void> = Promise.resolve();

  function fill(): void {
    const nowMs = clock.monotonicMs();
    tokens = Math.min(capacity, tokens + ((nowMs - filledAtMs) / 1000) * perSecond);
    filledAtMs = nowMs;
  }

  function waitMs(needed: number): number {
    fill();
    const nowMs = clock.monotonicMs();
    const missing = Math.max(0, needed - tokens);
    return Math.max(0, pausedUntilMs - nowMs, Math.ceil((missing / perSecond) * 1000));
  }

  async function taken(count: number, wake: AbortSignal | undefined): Promise<void> {
    const needed = Math.min(count, capacity);
    for (let wait = waitMs(needed); wait > 0; wait = waitMs(needed)) {
      if (wake?.aborted) return;
      await clock.sleep(wait, wake);
    }
    if (!wake?.aborted) tokens -= needed;
  }

  return {
    take: (count, wake) => {
      const turn = last.then(() => taken(count, wake));
      last = turn;
      return turn;
    },
    giveBack: (count) => {
      // The next look at the bucket lets run over what is too much.
      tokens += count;
    },
    pause: (ms) => {
      pausedUntilMs = Math.max(pausedUntilMs, clock.monotonicMs() + ms);
    },
  };
}
