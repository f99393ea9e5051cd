// Writes lines synchronously, also into a full pipe: sealed receipts and audit records must be
// written when the process is killed right after.

import { writeSync } from 'node:fs';
import { errnoOf } from '../rotation/failure.ts';

/** Milliseconds between two attempts on a full pipe. */
const pauseMs = 5;

/**
 * Writes one line to a file descriptor. Never throws: a closed reader loses the line. `giveUpMs`
 * bounds the wait for a reader of a full pipe.
 */
export function writeLineTo(fd: number, line: string, giveUpMs: number): void {
  const bytes = Buffer.from(`${line}\n`);
  let waitedMs = 0;
  for (let offset = 0; offset < bytes.length; ) {
    try {
      offset += writeSync(fd, bytes, offset);
    } catch (error) {
      if (errnoOf(error) !== 'EAGAIN' || waitedMs >= giveUpMs) return;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, pauseMs);
      waitedMs += pauseMs;
    }
  }
}
