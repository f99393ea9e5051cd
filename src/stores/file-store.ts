// The embedded store: age-encrypted versions in a folder, with the semantics of Secrets Manager,
// for one or many processes. No version is ever changed; what counts is the index (file-index.ts),
// and it changes all at once or not at all.
//
//   DIRECTORY/                                      0700
//     thingspace%2ffleet-east/                      one per secret (durable-files.ts safeName)
//       index/000000000042.json                     names, dates, labels: the highest number counts
//       versions/VERSIONID.RANDOM.age               per version, 0600: age -d -i rotator.key FILE
//
// A crash between the two leaves an .age file that no index names. It is not read, and it is swept
// after a day.

import { randomUUID } from 'node:crypto';
import { open, readdir, readFile, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { answerIn } from '../rotation/deadline.ts';
import { errnoOf, Failure } from '../rotation/failure.ts';
import type { Clock } from '../rotation/ports.ts';
import type { Secret } from '../secret.ts';
import { dayMs } from '../time.ts';
import { type AgeKey, openAgeKey } from './age-key.ts';
import {
  discard,
  makeFolder,
  namesIn,
  onDisk,
  safeName,
  syncFolder,
  writeDurably,
} from './durable-files.ts';
import {
  changeIndex,
  type Index,
  type IndexContent,
  type IndexedVersion,
  readIndex,
} from './file-index.ts';
import { markFolder, refuseLost } from './folders.ts';
import type { StoredVersion, VersionStore } from './version-store.ts';

export type FileStoreOptions = {
  /** Made by the first `putCurrent`, 0700, and marked (folders.ts). */
  readonly directory: string;
  /** The contents of the identity file (`readIdentityFile`). */
  readonly identity: Secret;
  /**
   * The store's clock; processes that share a folder share this machine's, or should agree within
   * seconds.
   */
  readonly clock: Clock;
};

export type FileStore = {
  versions(secretId: string): VersionStore;
  /**
   * Makes the value the new AWSCURRENT, AWSPREVIOUS follows; makes the secret when there is none.
   * The VersionId. The value is taken as it is: see `readFields` for what an account needs. Durable
   * when it resolves.
   */
  putCurrent(secretId: string, value: Secret): Promise<string>;
  /**
   * Shows that a version can be stored: writes and removes a file. Resolves with the time of the
   * disk, UTC milliseconds. Throws as `versions`, and `store-missing`.
   */
  probe(): Promise<number>;
  /** The names of all secrets, sorted. */
  list(): Promise<readonly string[]>;
  /** Ends the sweep; resolves when it has ended. On a disk that hangs it does not resolve. */
  close(): Promise<void>;
};

/**
 * As in Secrets Manager: a version without a label is kept while there are no more than 100, and
 * for a day in any case.
 */
const unlabelledKept = 100;
/** Bytes; Secrets Manager's limit, so that a secret can move there. */
const maxValueBytes = 65_536;

/**
 * Opens the folder, which need not exist, and sweeps what crashes of more than a day ago left.
 * Throws `store-unavailable`, `store-denied`.
 */
export async function openFileStore(options: FileStoreOptions): Promise<FileStore> {
  const { directory, clock } = options;
  const key = await openAgeKey(options.identity);
  const timely: Timely = (working) =>
    answerIn(
      clock,
      { reason: 'store-unavailable', subject: `store ${directory}`, path: directory },
      working,
    );
  const folders = await timely(openFolder(directory));
  // Not waited for, and one folder at a time: one that hangs keeps one thread of the file system.
  const closing = new AbortController();
  const swept = sweepAll(
    folders.map((name) => join(directory, name)),
    clock.nowMs() - dayMs,
    closing.signal,
  );
  const placeOf = (secretId: string): Place => {
    if (secretId === '') throw new Failure('secret-not-found', 'a secret without a name');
    const folder = join(directory, safeName(secretId));
    return {
      secretId,
      directory,
      index: join(folder, 'index'),
      versions: join(folder, 'versions'),
      key,
      clock,
    };
  };
  return {
    versions: (secretId) => limited(timely, versionsAt(placeOf(secretId))),

    async putCurrent(secretId, value) {
      const place = placeOf(secretId);
      const token = randomUUID();
      await timely(makePlace(place));
      await timely(
        putAt(place, { token, value, stages: ['AWSCURRENT'] }, () => emptySecret(secretId)),
      );
      return token;
    },

    probe: () => timely(probe(directory)),

    async list() {
      const names = (await timely(namesIn(directory))) ?? [];
      const indexes = await timely(
        Promise.all(names.map((name) => readIndex(join(directory, name, 'index')))),
      );
      return indexes.flatMap((index) => (index ? [index.name] : [])).sort();
    },

    close() {
      closing.abort();
      return swept;
    },
  };
}

/** Throws `store-unavailable` when the disk does not answer in time. */
type Timely = <T>(working: Promise<T>) => Promise<T>;

/** The same store, whose calls end. After `put` and `move` a late one may still have its effect. */
function limited(timely: Timely, versions: VersionStore): VersionStore {
  return {
    ...versions,
    read: (which) => timely(versions.read(which)),
    put: (version) => timely(versions.put(version)),
    move: (stage, from, to) => timely(versions.move(stage, from, to)),
    list: () => timely(versions.list()),
  };
}

/** The names in the folder of the store, which is marked when there are any. */
async function openFolder(directory: string): Promise<readonly string[]> {
  const names = await onDisk('read the folder', directory, () => readdir(directory), [
    'ENOENT',
  ]).catch((error: unknown) => {
    if (errnoOf(error) === 'ENOENT') return [];
    throw error;
  });
  if (names.length > 0) await markFolder(directory);
  return names;
}

/** Makes the folders of a secret, durably. */
async function makePlace({ directory, index, versions }: Place): Promise<void> {
  await refuseLost(directory, 'store-missing');
  for (const folder of [versions, index]) await makeFolder(folder);
  for (const folder of [dirname(index), directory]) await syncFolder(folder);
  await markFolder(directory);
}

async function probe(directory: string): Promise<number> {
  await refuseLost(directory, 'store-missing');
  const path = join(directory, '.probe');
  return onDisk('write', path, async () => {
    const file = await open(path, 'w', 0o600);
    try {
      await file.writeFile(Buffer.alloc(maxValueBytes));
      await file.sync();
      return (await file.stat()).mtimeMs;
    } finally {
      await file.close();
      await rm(path, { force: true }).catch(() => undefined);
    }
  });
}

/** One secret's folders, and what opens and dates its versions. */
type Place = {
  readonly secretId: string;
  readonly directory: string;
  readonly index: string;
  readonly versions: string;
  readonly key: AgeKey;
  readonly clock: Clock;
};

function versionsAt(place: Place): VersionStore {
  return {
    youngVersionLimit: null,

    read: (which) => readAt(place, which),

    put: (version) => putAt(place, version, () => missing(place)),

    async move(stage, from, to) {
      const moved = await changeIndex(place.index, async (index) => {
        const labelled =
          index?.versions.find(({ stages }) => stages.includes(stage))?.versionId ?? null;
        if (
          !index ||
          labelled !== from ||
          !index.versions.some(({ versionId }) => versionId === to)
        )
          return null;
        return { ...index, versions: withLabel(index.versions, stage, to) };
      });
      return moved ? 'moved' : 'conflict';
    },

    async list() {
      const index = (await readIndex(place.index)) ?? (await missing(place));
      return index.versions.map(({ versionId, stages, createdAtMs }) => ({
        versionId,
        stages,
        createdAtMs,
      }));
    },
  };
}

async function readAt(
  place: Place,
  which: { stage: string } | { versionId: string },
): Promise<StoredVersion | null> {
  for (let isSecondRead = false; ; isSecondRead = true) {
    const index = await readIndex(place.index);
    const found = index?.versions.find((version) =>
      'stage' in which
        ? version.stages.includes(which.stage)
        : version.versionId === which.versionId,
    );
    if (!index) await refuseLost(place.directory, 'store-missing');
    if (!index || !found) return null;
    try {
      const value = await openVersion(place, found, isSecondRead ? [] : ['ENOENT']);
      const { versionId, stages, createdAtMs } = found;
      return {
        versionId,
        stages,
        createdAtMs,
        storeNowMs: place.clock.nowMs(),
        value,
        identity: index.identity,
      };
    } catch (error) {
      // Pruned between the two reads. If a second index still names the file, the file was deleted
      // by hand.
      if (errnoOf(error) !== 'ENOENT') throw error;
    }
  }
}

async function openVersion(
  place: Place,
  version: IndexedVersion,
  pass: readonly string[] = [],
): Promise<Secret | 'binary'> {
  const path = join(place.versions, version.file);
  return place.key.open(await onDisk('read', path, () => readFile(path), pass), path);
}

async function putAt(
  place: Place,
  version: { readonly token: string; readonly value: Secret; readonly stages: readonly string[] },
  first: () => IndexContent | Promise<IndexContent>,
): Promise<'written' | 'taken'> {
  const { token, value, stages } = version;
  // The token becomes a file name, and has to be one of Secrets Manager's too.
  if (!/^[A-Za-z0-9-]{32,64}$/.test(token))
    throw new RangeError('a token has 32 to 64 letters, digits or hyphens');
  if (Buffer.byteLength(value.reveal()) > maxValueBytes)
    throw new Failure(
      'secret-invalid',
      `the value of secret ${place.secretId} is over ${maxValueBytes} bytes`,
    );
  const file = `${token}.${randomUUID()}.age`;
  let isSealed = false;
  let existing: IndexedVersion | undefined;
  let pruned: readonly IndexedVersion[] = [];

  const written = await changeIndex(place.index, async (index) => {
    const content = index ?? (await first());
    existing = content.versions.find(({ versionId }) => versionId === token);
    if (existing) return null;
    // The version is complete and on the disk before any index names it.
    if (!isSealed) await seal(place, file, value);
    isSealed = true;
    const made = { versionId: token, file, createdAtMs: place.clock.nowMs(), stages: [] };
    const labelled = stages.reduce((versions, stage) => withLabel(versions, stage, token), [
      ...content.versions,
      made,
    ] as readonly IndexedVersion[]);
    pruned = prunable(labelled, place.clock.nowMs());
    return { ...content, versions: labelled.filter((candidate) => !pruned.includes(candidate)) };
  });

  if (written) await Promise.all(pruned.map((old) => discard(join(place.versions, old.file))));
  if (written || !existing) return 'written';
  await discard(join(place.versions, file));
  const stored = await openVersion(place, existing);
  return stored !== 'binary' && stored.equals(value) ? 'written' : 'taken';
}

async function seal(place: Place, file: string, value: Secret): Promise<void> {
  await writeDurably(join(place.versions, file), await place.key.seal(value));
  await syncFolder(place.versions);
}

/**
 * The versions with `stage` on `to` only. Where AWSCURRENT was, AWSPREVIOUS comes and AWSPENDING
 * goes, as in Secrets Manager.
 */
function withLabel(
  versions: readonly IndexedVersion[],
  stage: string,
  to: string,
): readonly IndexedVersion[] {
  const from = versions.find(({ stages }) => stages.includes(stage))?.versionId;
  const isPromotion = stage === 'AWSCURRENT' && from !== undefined && from !== to;
  const moved = versions.map((version) => {
    const others = version.stages.filter(
      (other) =>
        other !== stage && !(isPromotion && other === 'AWSPENDING' && version.versionId === from),
    );
    return { ...version, stages: version.versionId === to ? [...others, stage] : others };
  });
  return isPromotion ? withLabel(moved, 'AWSPREVIOUS', from) : moved;
}

/** The oldest versions without a label beyond the hundredth, if older than a day. */
function prunable(versions: readonly IndexedVersion[], nowMs: number): readonly IndexedVersion[] {
  const unlabelled = versions.filter(({ stages }) => stages.length === 0);
  return unlabelled
    .slice(0, Math.max(0, unlabelled.length - unlabelledKept))
    .filter(({ createdAtMs }) => nowMs - createdAtMs > dayMs);
}

function emptySecret(secretId: string): IndexContent {
  return { name: secretId, identity: `file:${secretId}#${randomUUID()}`, versions: [] };
}

async function missing(place: Place): Promise<never> {
  await refuseLost(place.directory, 'store-missing');
  throw new Failure(
    'secret-not-found',
    `secret ${place.secretId} does not exist in the file store`,
  );
}

async function sweepAll(
  folders: readonly string[],
  beforeMs: number,
  end: AbortSignal,
): Promise<void> {
  for (const folder of folders) {
    if (end.aborted) return;
    await sweep(folder, beforeMs).catch((error: unknown) => {
      if (!(error instanceof Failure)) throw error;
    });
  }
}

/**
 * Removes what no index names and no writer can still link: it is older than a day. Best effort.
 */
async function sweep(folder: string, beforeMs: number): Promise<void> {
  const [indexFolder, versionsFolder] = [join(folder, 'index'), join(folder, 'versions')];
  const leftovers = ((await namesIn(indexFolder)) ?? [])
    .filter((name) => name.startsWith('.new-'))
    .map((name) => join(indexFolder, name));
  const files = (await namesIn(versionsFolder)) ?? [];
  const index: Index | null = await readIndex(indexFolder).catch(() => null);
  // An index that cannot be read names nothing; then no version is swept.
  const orphans = index
    ? files.filter(
        (file) => file.endsWith('.age') && !index.versions.some((version) => version.file === file),
      )
    : [];
  for (const path of [...leftovers, ...orphans.map((file) => join(versionsFolder, file))]) {
    const { mtimeMs } = await stat(path).catch(() => ({ mtimeMs: Number.POSITIVE_INFINITY }));
    if (mtimeMs < beforeMs) await discard(path);
  }
}
