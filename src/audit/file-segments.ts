// The log on one machine's disk. Only this file, lock.ts and log.ts know about files.
//
//   audit/audit-2026-11.jsonl               one record a line, append-only, one file per UTC month
//   audit/checkpoints/000000000042.checkpoint   the signed head at 42 records
//   audit/state.json                        a cache, rebuilt when missing, believed by nobody who verifies
//   audit/lock                              a hard link to the identity of the process that is appending

import {
  closeSync,
  fstatSync,
  fsyncSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
} from 'node:fs';
import { join } from 'node:path';
import { Failure } from '../rotation/failure.ts';
import type { AuditSource, Segment } from './reader.ts';

const monthPattern = /^audit-(\d{4}-\d{2})\.jsonl$/;
const checkpointPattern = /^(\d{12,16})\.checkpoint$/;

export const monthFile = (month: string): string => `audit-${month}.jsonl`;
export const checkpointFile = (size: number): string =>
  `${String(size).padStart(12, '0')}.checkpoint`;
export const checkpointFolder = 'checkpoints';

/** The failure that a system call's error on `path` amounts to; names the file and the errno, nothing else. */
export function unavailable(path: string, error: unknown): Failure {
  if (error instanceof Failure) return error;
  const { code, syscall } = error as { code?: string; syscall?: string };
  if (code === undefined) throw error;
  return new Failure(
    'audit-unavailable',
    `audit log ${path}: ${code}${syscall ? ` at ${syscall}` : ''}`,
  );
}

/** Runs a system call on `path`; its error becomes `audit-unavailable`. */
export function guarded<T>(path: string, call: () => T): T {
  try {
    return call();
  } catch (error) {
    throw unavailable(path, error);
  }
}

/** Names of the month files, oldest first. */
export function monthsIn(directory: string): string[] {
  return guarded(directory, () => readdirSync(directory))
    .map((name) => monthPattern.exec(name)?.[1])
    .filter((month) => month !== undefined)
    .sort();
}

/** Sizes of the checkpoints, ascending; none when the folder is missing. */
export function checkpointSizesIn(directory: string): number[] {
  const folder = join(directory, checkpointFolder);
  return guarded(folder, () => {
    try {
      return readdirSync(folder);
    } catch (error) {
      if ((error as { code?: string }).code === 'ENOENT') return [];
      throw error;
    }
  })
    .map((name) => Number(checkpointPattern.exec(name)?.[1] ?? Number.NaN))
    .filter(Number.isSafeInteger)
    .sort((a, b) => a - b);
}

/** Makes the names in a folder durable; a folder's own fsync is what makes a new file survive a power cut. */
export function syncFolder(folder: string): void {
  guarded(folder, () => {
    const fd = openSync(folder, 'r');
    try {
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
  });
}

function segmentOf(directory: string, month: string): Segment {
  const path = join(directory, monthFile(month));
  return {
    name: monthFile(month),
    month,
    open() {
      const fd = guarded(path, () => openSync(path, 'r'));
      // What is appended while we read is the next reader's.
      const size = guarded(path, () => fstatSync(fd).size);
      return {
        read: (into, at, position) =>
          guarded(path, () =>
            readSync(
              fd,
              into,
              at,
              Math.max(0, Math.min(into.length - at, size - position)),
              position,
            ),
          ),
        close: () => closeSync(fd),
      };
    },
  };
}

/** The log in `directory`, for readers: takes no lock, writes nothing. */
export function openFileSource(directory: string): AuditSource {
  return {
    segments: async () => monthsIn(directory).map((month) => segmentOf(directory, month)),
    checkpoints: async () =>
      checkpointSizesIn(directory).map((size) => new StoredCheckpoint(directory, size)),
  };
}

/** Read when it is looked at: there is one for every run of the log's life, and a class keeps each of them small. */
class StoredCheckpoint {
  readonly #directory: string;
  readonly #size: number;

  constructor(directory: string, size: number) {
    this.#directory = directory;
    this.#size = size;
  }

  get name(): string {
    return checkpointFile(this.#size);
  }

  get text(): string {
    const path = join(this.#directory, checkpointFolder, this.name);
    return guarded(path, () => readFileSync(path, 'utf8'));
  }
}
