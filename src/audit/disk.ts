// Files of the audit log and of a witness that survive a power failure. Every call is synchronous
// and checked.

import { closeSync, fsyncSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { systemFailure } from '../rotation/failure.ts';

/** Runs a system call on `path`; its error becomes `audit-unavailable`. */
export function guarded<T>(path: string, call: () => T): T {
  try {
    return call();
  } catch (error) {
    throw systemFailure('audit-unavailable', `audit log ${path}`, path, error);
  }
}

export function writeAll(fd: number, bytes: Buffer): void {
  for (let written = 0; written < bytes.length; ) written += writeSync(fd, bytes, written);
}

/** Writes under another name and renames: the file is complete and durable, or absent. */
export function storeText(path: string, text: string): void {
  guarded(path, () => {
    const fd = openSync(`${path}.new`, 'w', 0o644);
    try {
      writeAll(fd, Buffer.from(text, 'utf8'));
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    renameSync(`${path}.new`, path);
  });
  syncFolder(dirname(path));
}

/** The text of a file; `null` when it cannot be read. */
export function readOptional(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return null;
  }
}

/**
 * Makes the names in a folder durable: without the fsync of the folder a new file can be lost in a
 * power failure.
 */
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
