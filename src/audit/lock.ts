// The lock between processes that append to the same files. It is a hard link: `lock` is another
// name of the file that says who its owner is, so it exists completely or not at all.
//
//   acquire                link(own file, lock)          EEXIST: another process owns it
//   release                unlink(lock)
//   take over from X       acquire `lock.over-X` by the same rules, check again that X owns `lock`,
//                          unlink(lock), release `lock.over-X`
//
// 1. A process that ended does not come back, so "X ended" stays true.
// 2. Only the owner of `lock.over-X` may remove the lock of X. Hence no process removes the lock of
// a running process, in any order of events.
// 3. A process that appends again at once keeps the lock. It releases it after a few idle
// milliseconds, or after a number of uses when another process waits. A waiting process says so
// with the file `wanted`.

import { link, lstat, readdir, readFile, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { errnoOf, Failure } from '../rotation/failure.ts';
import type { Clock, ProcessIdentity } from '../rotation/ports.ts';
import type { Owner } from '../rotation/record.ts';
import { type Disk, withFile } from './disk.ts';

export type Lock = {
  /**
   * Runs `work` while no other process does; one call at a time. `isFresh`: another process may
   * have owned the lock since the previous call. Throws `audit-unavailable` when the lock cannot be
   * acquired.
   */
  hold<T>(work: (isFresh: boolean) => Promise<T>): Promise<T>;
  close(): Promise<void>;
};

export type LockOptions = {
  readonly directory: string;
  readonly disk: Disk;
  /** Identifies this process to the others. One instance per process (process-identity.ts). */
  readonly processes: Pick<ProcessIdentity, 'begin' | 'end' | 'liveness'>;
  readonly clock: Clock;
};

/** How long to wait for a running owner. An append takes milliseconds. */
const patienceMs = 10_000;
/**
 * How long an owner of unknown liveness (another machine, another container) keeps the lock before
 * it is taken over.
 */
const unknownMs = 30_000;
/** The lock is released after so much idle time, */
const idleMs = 5;
/** or after so many uses, when another process waits. */
const usesInARow = 64;
/** The time between two checks whether an operation that is late has ended. */
const lateMs = 1_000;

/** Registers this process as a possible owner, and removes the files of processes that ended. */
export async function openLock({ directory, disk, processes, clock }: LockOptions): Promise<Lock> {
  const me = processes.begin();
  const files = createFiles(disk);
  const links = await createLinks(files, join(directory, `.holder-${me.id}`), me);
  const lock = join(directory, 'lock');
  const wanted = join(directory, 'wanted');
  const acquire = createAcquire(files, links, { lock, wanted, processes, clock });
  await removeEnded(files, directory, processes);

  let uses = 0;
  let isHeld = false;
  let isWorking = false;
  let isWatched = false;
  let releasing: Promise<void> = Promise.resolve();
  const closing = new AbortController();

  /**
   * What was done under the lock is durable already. A link that cannot be removed is ours at the
   * next `acquire`. An operation that is late may still write: then the lock is kept, and a process
   * that ends leaves it to be taken over.
   */
  function release(): Promise<void> {
    if (!isHeld || disk.isLate()) return releasing;
    isHeld = false;
    releasing = files.remove(lock);
    return releasing;
  }

  /** Releases the lock when nothing used it for a while. */
  async function watch(): Promise<void> {
    if (isWatched) return;
    isWatched = true;
    for (let seen = -1; isHeld && (isWorking || disk.isLate() || seen !== uses); ) {
      if (closing.signal.aborted) break;
      seen = uses;
      await clock.sleep(disk.isLate() ? lateMs : idleMs, closing.signal);
    }
    isWatched = false;
    await release();
  }

  /** A link that was late is ours when it comes, also when nothing uses the lock any more. */
  async function adopt(): Promise<void> {
    while (disk.isLate() && !closing.signal.aborted) await clock.sleep(lateMs, closing.signal);
    const seen = uses;
    const owner = await files.owner(lock).catch(() => null);
    if (owner?.id !== me.id || isWorking || seen !== uses) return;
    isHeld = true;
    await watch();
  }

  return {
    async hold(work) {
      uses += 1;
      isWorking = true;
      try {
        await releasing;
        const isFresh = !isHeld;
        if (isFresh) await acquire();
        isHeld = true;
        void watch();
        return await work(isFresh);
      } catch (error) {
        if (!isHeld && disk.isLate()) void adopt();
        throw error;
      } finally {
        isWorking = false;
        if (uses % usesInARow === 0 && (await files.exists(wanted))) {
          await release();
          await files.remove(wanted);
          await clock.sleep(2 * idleMs);
        }
      }
    },
    async close() {
      await release();
      closing.abort();
      await links.close();
      // What is late may still write, so this owner has not ended for the others of this process.
      if (!disk.isLate()) processes.end(me);
    },
  };
}

/** The operations on the files of the lock. */
function createFiles(disk: Disk) {
  /** Best effort: the next process removes it. */
  const remove = (path: string): Promise<void> =>
    disk.run(path, () => unlink(path)).catch(() => undefined);
  return {
    remove,
    exists: (path: string): Promise<boolean> =>
      disk
        .run(path, () => lstat(path))
        .then(
          () => true,
          () => false,
        ),
    names: (directory: string): Promise<string[]> => disk.run(directory, () => readdir(directory)),
    unlink: (path: string): Promise<void> => disk.run(path, () => unlink(path)),
    create: (path: string, text: string): Promise<void> =>
      disk.run(path, () => withFile(path, 'wx', (file) => file.writeFile(text))),
    /** False when `path` exists. */
    link: (own: string, path: string): Promise<boolean> =>
      disk.run(path, async () => {
        try {
          await link(own, path);
          return true;
        } catch (error) {
          if (errnoOf(error) !== 'EEXIST') throw error;
          return false;
        }
      }),
    /** `null` when the file was just removed, or says nothing. */
    owner: (path: string): Promise<Owner | null> =>
      disk.run(path, async () => {
        try {
          const value: unknown = JSON.parse(await readFile(path, 'utf8'));
          return typeof value === 'object' &&
            value !== null &&
            typeof (value as Owner).id === 'string'
            ? (value as Owner)
            : null;
        } catch (error) {
          if (errnoOf(error) === 'ENOENT' || error instanceof SyntaxError) return null;
          throw error;
        }
      }),
    /**
     * When the link was made: the change time of the inode changes with the number of its links.
     */
    linkedAtMs: (path: string): Promise<number> =>
      disk
        .run(path, () => lstat(path))
        .then(
          ({ ctimeMs }) => ctimeMs,
          () => 0,
        ),
  };
}
type Files = ReturnType<typeof createFiles>;

/** The file that identifies this process, and the links to it. */
async function createLinks(files: Files, own: string, me: Owner) {
  await files.create(own, JSON.stringify(me));
  return {
    close: () => files.remove(own),
    /** `true` when `path` is ours; else its owner, or `null` when it was just released. */
    async take(path: string): Promise<true | Owner | null> {
      if (await files.link(own, path)) return true;
      const owner = await files.owner(path);
      return owner?.id === me.id ? true : owner;
    },
    /** Best effort: without it the wait is longer. */
    mark: (path: string): Promise<unknown> => files.link(own, path).catch(() => undefined),
  };
}
type Links = Awaited<ReturnType<typeof createLinks>>;

/** Removes `path`, which `ended` owned, unless another process was faster. */
async function takeOver(
  files: Files,
  links: Links,
  path: string,
  ended: Owner,
  hasEnded: (owner: Owner) => boolean,
): Promise<void> {
  const right = `${path}.over-${ended.id}`;
  const taken = await links.take(right);
  if (taken === true) {
    try {
      if ((await files.owner(path))?.id === ended.id) await files.unlink(path);
    } finally {
      await files.unlink(right);
    }
  } else if (taken !== null && hasEnded(taken)) {
    await takeOver(files, links, right, taken, hasEnded);
  }
}

function createAcquire(
  files: Files,
  links: Links,
  {
    lock,
    wanted,
    processes,
    clock,
  }: Pick<LockOptions, 'processes' | 'clock'> & { lock: string; wanted: string },
): () => Promise<void> {
  return async () => {
    if ((await links.take(lock)) === true) return;
    const startedMs = clock.monotonicMs();
    let watched = { key: '', sinceMs: startedMs };
    for (let tries = 0; ; tries += 1) {
      const owner = await links.take(lock);
      if (owner === true) {
        // Other waiting processes mark it again.
        await files.remove(wanted);
        return;
      }
      const nowMs = clock.monotonicMs();
      const key = `${owner?.id} ${await files.linkedAtMs(lock)}`;
      if (key !== watched.key) watched = { key, sinceMs: nowMs };
      const heldMs = nowMs - watched.sinceMs;
      const liveness = owner === null ? 'alive' : processes.liveness(owner);
      const hasEnded = (other: Owner, sinceMs: number): boolean => {
        const found = processes.liveness(other);
        return found === 'gone' || (found === 'unknown' && nowMs - sinceMs >= unknownMs);
      };
      if (owner !== null && hasEnded(owner, watched.sinceMs))
        await takeOver(files, links, lock, owner, (other) => hasEnded(other, startedMs));
      else if (heldMs >= (liveness === 'unknown' ? unknownMs : patienceMs))
        throw notReleased(lock, owner);
      await links.mark(wanted);
      await clock.sleep(Math.min(idleMs, 1 + tries));
    }
  };
}

function notReleased(path: string, owner: Owner | null): Failure {
  const host = owner?.host === undefined ? '' : ` on ${owner.host}`;
  const who = owner?.pid === undefined ? `owner ${owner?.id}` : `process ${owner.pid}${host}`;
  return new Failure(
    'audit-unavailable',
    `audit log ${path}: ${who} is running and does not release the lock`,
    { cause: 'contention', path },
  );
}

/** Removes the files of processes that ended. Best effort. */
async function removeEnded(
  files: Files,
  directory: string,
  processes: LockOptions['processes'],
): Promise<void> {
  for (const name of await files.names(directory)) {
    if (!name.startsWith('.holder-')) continue;
    const path = join(directory, name);
    const owner = await files.owner(path);
    if (owner && processes.liveness(owner) === 'gone') await files.remove(path);
  }
}
