// The limit on work that cannot be cancelled: what is in time, what is late, and what the message
// says.

import { answerIn, within } from '../../src/rotation/deadline.ts';
import { Failure } from '../../src/rotation/failure.ts';

/** A clock whose waits end at once, or never unless they are woken; it keeps what was asked. */
function clockOf(isLate: boolean) {
  const waits: { readonly ms: number; readonly wake: AbortSignal | undefined }[] = [];
  const sleep = (ms: number, wake?: AbortSignal): Promise<void> => {
    waits.push({ ms, wake });
    return isLate ? Promise.resolve() : new Promise(() => {});
  };
  return { waits, sleep };
}

const onDisk = {
  reason: 'store-unavailable',
  subject: 'the index of the store',
  path: '/var/lib/store/index',
} as const;
const never = new Promise<never>(() => {});

test('work that ends in time gives its result, and the wait ends with it', async () => {
  const clock = clockOf(false);

  expect(await within(clock, 250, Promise.resolve('done'))).toBe('done');
  expect(clock.waits.map(({ ms, wake }) => [ms, wake?.aborted])).toEqual([[250, true]]);
});

test('work that fails in time rejects, and the wait ends with it', async () => {
  const clock = clockOf(false);
  const bug = new TypeError('a bug');

  await expect(within(clock, 250, Promise.reject(bug))).rejects.toBe(bug);
  expect(clock.waits[0]?.wake?.aborted).toBe(true);
});

test('work that does not end is late', async () => {
  expect(await within(clockOf(true), 250, never)).toBe('late');
});

test('a disk that does not answer in 30 seconds is named, after a call of `late`', async () => {
  const clock = clockOf(true);
  const calls: string[] = [];

  const answer = answerIn(clock, onDisk, never, () => calls.push('late'));

  await expect(answer).rejects.toEqual(
    new Failure('store-unavailable', 'the index of the store: the disk did not answer within 30 s'),
  );
  await expect(answer).rejects.toMatchObject({
    reason: 'store-unavailable',
    facts: { cause: 'disk-hangs', path: '/var/lib/store/index' },
  });
  expect([calls, clock.waits[0]?.ms]).toEqual([['late'], 30_000]);
  await expect(answerIn(clock, onDisk, never)).rejects.toThrow('did not answer');
});

test('a disk that answers is not late', async () => {
  const calls: string[] = [];

  const answer = await answerIn(clockOf(false), onDisk, Promise.resolve(7), () =>
    calls.push('late'),
  );

  expect([answer, calls]).toEqual([7, []]);
});
