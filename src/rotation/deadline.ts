// A time limit for work that cannot be cancelled: a file operation on a hung mount never ends, and
// nothing may wait for it forever.

import { Failure, type Reason } from './failure.ts';
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

/** How long an operation on a disk may take; milliseconds. */
const diskLimitMs = 30_000;

/** An operation on a disk, for the message when it does not end. */
export type OnDisk = {
  readonly reason: Reason;
  /** What is on the disk. */
  readonly subject: string;
  readonly path: string;
};

/**
 * The result of an operation on a disk. Throws `reason` after 30 s; then `late` is called first.
 * The operation may still have its effect.
 */
export async function answerIn<T>(
  clock: Pick<Clock, 'sleep'>,
  { reason, subject, path }: OnDisk,
  work: Promise<T>,
  late?: () => void,
): Promise<T> {
  const answer = await within(clock, diskLimitMs, work);
  if (answer !== 'late') return answer;
  late?.();
  throw diskHangs({ reason, subject, path });
}

export const diskHangs = ({ reason, subject, path }: OnDisk): Failure =>
  new Failure(reason, `${subject}: the disk did not answer within ${diskLimitMs / 1000} s`, {
    cause: 'disk-hangs',
    path,
  });
