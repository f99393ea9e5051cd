// The versions of a secret and their labels: small JSON files, one per change, of which the highest
// number counts. A change is a *link* to the next number, and only one process can make
// that link. So a killed process leaves no lock, on another machine or in another container. A
// process that does not get the link reads again.
//
//   index/000000000042.json      0600; written under a temporary name, synced, then linked
//   {
//     "format": "thingspace-rotator/secret/1",
//     "name": "thingspace/fleet-east",
//     "identity": "file:thingspace/fleet-east#4f0c…",      this secret and no other one ever
//     "generation": 42,
//     "commit": "9b1d…",                                   random; names this very change
//     "before": ["…", …],                                  earlier commits, newest first: 64
//     "versions": [                                        oldest first
//       {"versionId": "…", "file": "….age", "createdAtMs": 1795400000000, "stages": ["AWSCURRENT"]}
//     ]
//   }
//
// A crash leaves: a temporary file (swept later), or the complete new number. The numbers below are
// kept for eight generations. A writer that was paused for longer may link a number that was
// removed. That number is not read, since a higher one counts. The writer sees that no later change
// names its commit, and starts again.

import { randomUUID } from 'node:crypto';
import { link, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { errnoOf, Failure } from '../rotation/failure.ts';
import { discard, namesIn, onDisk, syncFolder, writeDurably } from './durable-files.ts';
import type { ListedVersion } from './version-store.ts';

export type IndexedVersion = ListedVersion & { readonly file: string };

export type Index = {
  readonly name: string;
  readonly identity: string;
  readonly generation: number;
  readonly commit: string;
  readonly before: readonly string[];
  /** Oldest first. */
  readonly versions: readonly IndexedVersion[];
};

/** The result of a change to an index. */
export type IndexContent = Pick<Index, 'name' | 'identity' | 'versions'>;

const format = 'thingspace-rotator/secret/1';
const generationsKept = 8;
const commitsRemembered = 64;
/** In each round one writer succeeds, so only hundreds of writers at once reach this limit. */
const maxRounds = 200;

/**
 * The index that counts, or `null` when there is none yet. Throws `store-unavailable` (damaged, or
 * the disk), `store-denied`.
 */
export async function readIndex(folder: string): Promise<Index | null> {
  for (let round = 0; round < maxRounds; round += 1) {
    const generation = await newestGeneration(folder);
    if (generation === 0) return null;
    const path = pathOf(folder, generation);
    try {
      const text = await onDisk('read', path, () => readFile(path, 'utf8'), ['ENOENT']);
      return parseIndex(text, path);
    } catch (error) {
      // Removed between listing and reading: eight newer ones are there by now.
      if (errnoOf(error) !== 'ENOENT') throw error;
    }
  }
  throw new Failure('store-unavailable', `${folder} changes faster than it can be read`);
}

/**
 * Changes the index: `change` gets the one that counts and returns what it becomes, or `null` to
 * leave it. It runs again whenever another process was first, so it must not have effects that
 * cannot be repeated. Resolves with the index it wrote, or `null`; what it resolved with, or left,
 * is durable.
 */
export async function changeIndex(
  folder: string,
  change: (index: Index | null) => Promise<IndexContent | null>,
): Promise<Index | null> {
  for (let round = 0; round < maxRounds; round += 1) {
    const index = await readIndex(folder);
    const content = await change(index);
    if (content === null) {
      // The index that was read may have been linked by a process that was killed before it synced
      // the folder.
      if (index) await syncFolder(folder);
      return null;
    }
    const next = follow(index, content);
    if (await commit(folder, next)) return next;
  }
  throw new Failure('store-unavailable', `${folder} is changed by too many others at once`);
}

function follow(index: Index | null, content: IndexContent): Index {
  const before = index ? [index.commit, ...index.before].slice(0, commitsRemembered) : [];
  return { ...content, generation: (index?.generation ?? 0) + 1, commit: randomUUID(), before };
}

/** Whether this very change is in force. False: another one was first, nothing happened. */
async function commit(folder: string, next: Index): Promise<boolean> {
  const temporary = join(folder, `.new-${next.commit}`);
  await writeDurably(temporary, formatIndex(next));
  try {
    await onDisk(
      'link',
      pathOf(folder, next.generation),
      () => link(temporary, pathOf(folder, next.generation)),
      ['EEXIST', 'ENOENT'],
    );
  } catch (error) {
    if (error instanceof Failure) throw error;
    return false;
  } finally {
    await discard(temporary);
  }
  await syncFolder(folder);
  const newest = await readIndex(folder);
  if (newest?.commit !== next.commit && !newest?.before.includes(next.commit)) return false;
  await removeOld(folder, next.generation - generationsKept);
  return true;
}

async function removeOld(folder: string, upTo: number): Promise<void> {
  const old = generationsIn((await namesIn(folder)) ?? []).filter(
    (generation) => generation <= upTo,
  );
  await Promise.all(old.map((generation) => discard(pathOf(folder, generation))));
}

async function newestGeneration(folder: string): Promise<number> {
  return Math.max(0, ...generationsIn((await namesIn(folder)) ?? []));
}

function generationsIn(names: readonly string[]): number[] {
  return names.filter((name) => /^\d{12}\.json$/.test(name)).map(Number.parseFloat);
}

function pathOf(folder: string, generation: number): string {
  return join(folder, `${String(generation).padStart(12, '0')}.json`);
}

function formatIndex(index: Index): string {
  return `${JSON.stringify({ format, ...index }, null, 1)}\n`;
}

function parseIndex(text: string, path: string): Index {
  // Never read the previous one instead: it would restore an old AWSCURRENT silently.
  const damaged = new Failure('store-unavailable', `${path} is damaged; restore it from a backup`);
  try {
    const { format: found, ...index } = JSON.parse(text) as Index & { format: unknown };
    if (found !== format || !isIndex(index)) throw damaged;
    return index;
  } catch {
    throw damaged;
  }
}

function isIndex(index: Partial<Index>): boolean {
  const { name, identity, generation, commit: id, before, versions } = index;
  const texts = [name, identity, id].every((text) => typeof text === 'string');
  return (
    texts &&
    Number.isSafeInteger(generation) &&
    Array.isArray(before) &&
    Array.isArray(versions) &&
    versions.every(isVersion)
  );
}

function isVersion(version: Partial<IndexedVersion>): boolean {
  const { versionId, file, createdAtMs, stages } = version;
  // A file name of ours has no folder in it: a damaged index must not lead out of the store.
  return (
    typeof versionId === 'string' &&
    /^[\w-]+\.[\w-]+\.age$/.test(String(file)) &&
    Number.isFinite(createdAtMs) &&
    Array.isArray(stages)
  );
}
