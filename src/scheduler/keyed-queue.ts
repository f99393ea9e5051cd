// Bounded concurrency with one attempt at a time per account. Two users of one ThingSpace account
// (a pair) are never processed at the same time. A slow or failing account does not delay the
// others, and no account starts while the work of the others could delay the storing of a password.

import pLimit from 'p-limit';
import { within } from '../rotation/deadline.ts';
import type { Clock } from '../rotation/ports.ts';
import type { Result } from '../rotation/state.ts';

/** Pairs of account names. */
export type Pairs = readonly (readonly [string, string])[];

/** The accounts that share a ThingSpace account with this one. */
export function partnersOf(name: string, pairs: Pairs): string[] {
  return pairs.flatMap(([one, other]) => (one === name ? [other] : other === name ? [one] : []));
}

/** Whether the password was or may be changed; the other user of the pair then waits. */
export function hasChanged({ outcome, certainty, logins }: Result): boolean {
  if (outcome === 'rotated' || outcome === 'recovered') return true;
  return (
    certainty === 'changed' || certainty === 'in-doubt' || (certainty === 'lost' && logins > 0)
  );
}

/** Longer than a healthy attempt whose reset takes all of its two minutes. */
export const slowAttemptMs = 300_000;

export type KeyedQueueOptions = {
  readonly concurrency: number;
  readonly pairs: Pairs;
  readonly clock: Pick<Clock, 'sleep' | 'monotonicMs' | 'busyMs'>;
  /** Work that takes longer frees its place and continues, such as endless retries to store. */
  readonly slowAfterMs: number;
};

export type KeyedQueue = ReturnType<typeof openKeyedQueue>;

const urgentPlaces = 4;

/** An account starts when this thread has waited for at least this share of the time. */
const idleShare = 0.2;
const lookAgainMs = 10;
/** A thread that never has time must not keep accounts from starting. */
const longestHoldMs = 1_000;

/** Opens a queue. Memory: one small entry per waiting account. */
export function openKeyedQueue(options: KeyedQueueOptions) {
  const places = pLimit(options.concurrency);
  const urgentOnly = pLimit(urgentPlaces);
  const starts = pLimit(1);
  const { clock } = options;
  let lastStart = { atMs: Number.NEGATIVE_INFINITY, busyMs: 0 };
  /** Per key, the end of the work that asked for it last. */
  const tails = new Map<string, Promise<void>>();

  /** Takes all keys in one synchronous step, so that two callers cannot wait for each other. */
  async function runAlone<T>(keys: readonly string[], work: () => Promise<T>): Promise<T> {
    const before = keys.flatMap((key) => tails.get(key) ?? []);
    let end = (): void => {};
    const ended = new Promise<void>((resolve) => {
      end = resolve;
    });
    for (const key of keys) tails.set(key, ended);
    await Promise.all(before);
    try {
      return await work();
    } finally {
      end();
      for (const key of keys) if (tails.get(key) === ended) tails.delete(key);
    }
  }

  /**
   * Waits until this thread has had time since the last start. Without it, 64 accounts that start
   * together reach their reset together, and each delays the two store calls of the others.
   */
  async function waitForIdleTime(): Promise<void> {
    const { atMs, busyMs } = lastStart;
    const heldAtMs = clock.monotonicMs();
    for (;;) {
      const nowMs = clock.monotonicMs();
      const isIdle = clock.busyMs() - busyMs <= (1 - idleShare) * (nowMs - atMs);
      if (isIdle || nowMs - heldAtMs >= longestHoldMs) break;
      await clock.sleep(lookAgainMs);
    }
    lastStart = { atMs: clock.monotonicMs(), busyMs: clock.busyMs() };
  }

  /** Keeps a place until the work ends or becomes slow. */
  async function runInPlace<T>(limit: typeof places, work: () => Promise<T>): Promise<T> {
    let running: Promise<T> | undefined;
    await limit(async () => {
      if (limit === places) await starts(waitForIdleTime);
      running = work();
      await within(clock, options.slowAfterMs, Promise.allSettled([running]));
    });
    return running as Promise<T>;
  }

  return {
    /**
     * Runs `work` when the account and its pairs are free and a place is free. `urgent` work (a
     * person waits) uses reserved places. Rejects with the error of `work`.
     */
    run: <T>(name: string, work: () => Promise<T>, urgent?: 'urgent'): Promise<T> => {
      const pairKeys = partnersOf(name, options.pairs).map(
        (partner) => `pair ${[name, partner].sort().join(' ')}`,
      );
      return runAlone([`account ${name}`, ...pairKeys], () =>
        runInPlace(urgent ? urgentOnly : places, work),
      );
    },
    /** Whether work of this account waits or runs. */
    isBusy: (name: string): boolean => tails.has(`account ${name}`),
    /** Resolves when nothing waits and nothing runs. */
    idle: async (): Promise<void> => {
      while (tails.size > 0) await Promise.all(tails.values());
    },
  };
}
