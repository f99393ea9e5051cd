// A time limit for work that cannot be cancelled: a file operation on a hung mount never ends, and
// nothing may wait for it forever.

import type { Clock } from './ports.ts';

/** The result of `work`, or `late` when it took longer than `ms`. Rejects as `work` does. */
export async function within<T>(
  clock: Pick<Clock, 'sleep'>,
  ms: number,
  work: Promise<T>,
): Promise<T | 'late'> {
  const ended = new AbortController();
  const late = clock.sleep(ms, ended.signal).then(() => 'late' as const);
  try {
    return await Promise.race([work, late]);
  } finally {
    ended.abort();
  }
}
