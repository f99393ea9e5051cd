// The disk of an audit log or a witness. Every call is checked and ends: one on a hung mount never
// returns, and nothing may wait for it forever. What is stored survives a power failure.

import { type FileHandle, open, readFile, rename } from 'node:fs/promises';
import { dirname } from 'node:path';
import { answerIn, diskHangs } from '../rotation/deadline.ts';
import { errnoOf, systemFailure } from '../rotation/failure.ts';
import type { Clock } from '../rotation/ports.ts';

export type Disk = {
  /**
   * Runs an operation on `path`. Throws `audit-unavailable` when the disk refuses it, or does not
   * answer within 30 s, or still owes the answer to an earlier one: each operation that hangs keeps
   * a thread. One that is late may still have its effect.
   */
  run<T>(path: string, operation: () => Promise<T>): Promise<T>;
  /** True while an operation that is late may still have its effect. */
  isLate(): boolean;
};

/** One for a writer and its readers, so that they do not wait again for what it has waited for. */
export function openDisk(clock: Pick<Clock, 'sleep'>): Disk {
  let late = 0;
  return {
    isLate: () => late > 0,
    async run(path, operation) {
      const subject = `audit log ${path}`;
      const where = { reason: 'audit-unavailable', subject, path } as const;
      if (late > 0) throw diskHangs(where);
      const running = operation();
      try {
        return await answerIn(clock, where, running, () => {
          late += 1;
          const end = (): void => {
            late -= 1;
          };
          running.then(end, end);
        });
      } catch (error) {
        throw systemFailure('audit-unavailable', subject, path, error);
      }
    },
  };
}

/** Opens a file, passes it to `use`, and closes it. */
export async function withFile<T>(
  path: string,
  flags: string | number,
  use: (file: FileHandle) => Promise<T>,
): Promise<T> {
  const file = await open(path, flags, 0o644);
  try {
    return await use(file);
  } finally {
    await file.close();
  }
}

/** Writes under another name and renames: the file is complete and durable, or absent. */
export async function storeText(path: string, text: string): Promise<void> {
  await withFile(`${path}.new`, 'w', async (file) => {
    await file.writeFile(text);
    await file.sync();
  });
  await rename(`${path}.new`, path);
  await syncFolder(dirname(path));
}

/** The text of a file; `null` when there is none. */
export async function readIfExists(path: string): Promise<string | null> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return null;
    throw error;
  }
}

/**
 * Makes the names in a folder durable: without the fsync of the folder a new file can be lost in a
 * power failure.
 */
export const syncFolder = (folder: string): Promise<void> =>
  withFile(folder, 'r', (opened) => opened.sync());
