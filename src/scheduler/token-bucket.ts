// Token buckets limit how fast a fleet calls ThingSpace and writes to the store. An attempt takes
// tokens for the most it can need before it begins, and gives back the rest: nothing may wait
// between a reset and its storage.

import pLimit from 'p-limit';
import type { Clock } from '../rotation/ports.ts';

export type Rate = { readonly perSecond: number; readonly capacity: number };

export type TokenBucket = ReturnType<typeof openTokenBucket>;

/** Opens a full bucket. */
export function openTokenBucket(
  { perSecond, capacity }: Rate,
  clock: Pick<Clock, 'monotonicMs' | 'sleep'>,
) {
  let tokens = capacity;
  let filledAtMs = clock.monotonicMs();
  let pausedUntilMs = Number.NEGATIVE_INFINITY;
  /** One caller after the other, so that small requests do not starve a large one. */
  const inOrder = pLimit(1);

  function fill(): void {
    const nowMs = clock.monotonicMs();
    tokens = Math.min(capacity, tokens + ((nowMs - filledAtMs) / 1000) * perSecond);
    filledAtMs = nowMs;
  }

  function waitMs(needed: number): number {
    fill();
    const missing = Math.max(0, needed - tokens);
    const pauseMs = pausedUntilMs - clock.monotonicMs();
    return Math.max(0, pauseMs, Math.ceil((missing / perSecond) * 1000));
  }

  async function wait(count: number, wake: AbortSignal | undefined): Promise<void> {
    const needed = Math.min(count, capacity);
    for (let ms = waitMs(needed); ms > 0; ms = waitMs(needed)) {
      if (wake?.aborted) return;
      await clock.sleep(ms, wake);
    }
    if (!wake?.aborted) tokens -= needed;
  }

  return {
    /**
     * Resolves when `count` tokens are taken; callers are served in order. When `wake` is aborted
     * it resolves at once and takes nothing. A count above the capacity waits for a full bucket.
     */
    take: (count: number, wake?: AbortSignal): Promise<void> => inOrder(() => wait(count, wake)),
    /** Gives back tokens that were taken and not used; `fill` removes what exceeds the capacity. */
    giveBack: (count: number): void => {
      tokens += count;
    },
    /** Gives out no token for `ms`. A longer pause that is in progress stays. */
    pause: (ms: number): void => {
      pausedUntilMs = Math.max(pausedUntilMs, clock.monotonicMs() + ms);
    },
  };
}
