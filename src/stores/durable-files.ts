// Files that are complete or absent, also after a power failure; names that are safe on any disk;
// and the failure for each errno. It never overwrites a file and never follows a name out of its
// folder.

import { createHash } from 'node:crypto';
import { mkdir, open, readdir, unlink } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { errnoOf, Failure } from '../rotation/failure.ts';

/**
 * What a disk says when a person has to change a permission or a mount; anything else may pass by
 * itself.
 */
const denied = new Set(['EACCES', 'EPERM', 'EROFS']);

/**
 * Runs a file operation; its errno becomes `store-denied` (EACCES, EPERM, EROFS) or
 * `store-unavailable` (EIO, ENOSPC, EDQUOT, EMFILE, …), naming path and errno. The errnos in `pass`
 * are thrown on as they are, for the caller to branch on; other errors are bugs and thrown on too.
 */
export async function onDisk<Value>(
  doing: string,
  path: string,
  operation: () => Promise<Value>,
  pass: readonly string[] = [],
): Promise<Value> {
  try {
    return await operation();
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === '' || pass.includes(errno)) throw error;
    throw new Failure(
      denied.has(errno) ? 'store-denied' : 'store-unavailable',
      `cannot ${doing} ${path}: ${errno}`,
    );
  }
}

/**
 * Makes a new file with these bytes, 0600, on the disk when it resolves; its name is durable only
 * after `syncFolder`. Leaves no part of it behind.
 */
export async function writeDurably(path: string, bytes: Uint8Array | string): Promise<void> {
  await onDisk('write', path, async () => {
    const file = await open(path, 'wx', 0o600);
    try {
      await file.writeFile(bytes);
      await file.sync();
    } catch (error) {
      await discard(path);
      throw error;
    } finally {
      await file.close();
    }
  });
}

/** Makes the names in a folder durable. */
export async function syncFolder(path: string): Promise<void> {
  await onDisk('sync the folder', path, async () => {
    const folder = await open(path, 'r');
    try {
      await folder.sync();
    } finally {
      await folder.close();
    }
  });
}

/**
 * Makes a folder, 0700, and its missing parents; what it made is durable when it resolves. There
 * already is fine.
 */
export async function makeFolder(path: string): Promise<void> {
  const first = await onDisk('make the folder', path, () =>
    mkdir(path, { recursive: true, mode: 0o700 }),
  );
  if (first === undefined) return;
  // Only where something was made: a parent that was there may be closed to us for reading.
  for (let made = resolve(path); ; made = dirname(made)) {
    await syncFolder(dirname(made));
    if (made === resolve(first) || made === dirname(made)) return;
  }
}

/** The names in a folder; `null` when there is no such folder. */
export async function namesIn(path: string): Promise<string[] | null> {
  return onDisk('read the folder', path, () => readdir(path), ['ENOENT', 'ENOTDIR']).catch(
    (error) => {
      if (error instanceof Failure) throw error;
      return null;
    },
  );
}

/** Removes a file that nothing refers to. Best effort: what is left is swept later. */
export async function discard(path: string): Promise<void> {
  await unlink(path).catch(() => undefined);
}

/**
 * A folder name for any name. Lower-case letters, digits, `-`, `_` and inner dots stay; every other
 * byte is `%` and two lower-case hex digits. So names that differ only in case, or in how accents
 * are composed, are different on every disk. Long names end in `%~` and their hash; no short name
 * can.
 */
export function safeName(name: string): string {
  const encoded = [...Buffer.from(name)]
    .map((byte, index) => encodeByte(byte, index === 0))
    .join('');
  if (encoded.length <= 150) return encoded;
  return `${encoded.slice(0, 80)}%~${createHash('sha256').update(name).digest('hex')}`;
}

function encodeByte(byte: number, isFirst: boolean): string {
  const character = String.fromCharCode(byte);
  const stays = /[a-z0-9_-]/.test(character) || (character === '.' && !isFirst);
  return stays ? character : `%${byte.toString(16).padStart(2, '0')}`;
}
