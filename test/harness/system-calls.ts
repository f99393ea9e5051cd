// System calls that strace has written down, so that a test can interfere with each of them.

import { readFileSync } from 'node:fs';

export type SystemCall = readonly [name: string, when: number];

/**
 * The calls in the file that `strace -f -o FILE` has written: each name with each of its numbers.
 * strace counts the calls of each thread.
 */
export function systemCallsIn(file: string): SystemCall[] {
  const counts = new Map<string, number>();
  const calls = new Map<string, SystemCall>();
  for (const [, thread, name = ''] of readFileSync(file, 'utf8').matchAll(/^(\d+) +(\w+)\(/gm)) {
    const when = (counts.get(`${thread} ${name}`) ?? 0) + 1;
    counts.set(`${thread} ${name}`, when);
    calls.set(`${name} ${when}`, [name, when]);
  }
  return [...calls.values()];
}
