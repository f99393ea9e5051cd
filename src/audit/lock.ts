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

import {
  closeSync,
  existsSync,
  linkSync,
  lstatSync,
  openSync,
  readdirSync,
  readFileSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { errnoOf, Failure, systemFailure } from '../rotation/failure.ts';
import type { Clock, ProcessIdentity } from '../rotation/ports.ts';
import type { Owner } from '../rotation/record.ts';

export type Lock = {
  /**
   * Runs `work` while no other process does; one call at a time. `isFresh`: another process may
   * have owned the lock since the previous call. Throws `audit-unavailable` when the lock cannot be
   * acquired.
   */
  hold<T>(work: (isFresh: boolean) => Promise<T>): Promise<T>;
  close(): void;
};

export type LockOptions = {
  readonly directory: string;
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

const failureOn = (path: string, error: unknown): Failure =>
  systemFailure('audit-unavailable', `audit log ${path}`, path, error);

/** Registers this process as a possible owner, and removes the files of processes that ended. */
export function openLock({ directory, processes, clock }: LockOptions): Lock {
  const me = processes.begin();
  const links = createLinks(join(directory, `.holder-${me.id}`), me);
  const lock = join(directory, 'lock');
  const wanted = join(directory, 'wanted');
  const acquire = createAcquire(links, { lock, wanted, processes, clock });
  removeEnded(directory, processes);

  let uses = 0;
  let isHeld = false;
  let isWorking = false;
  let isWatched = false;
  const closing = new AbortController();

  /**
   * What was done under the lock is durable already. A link that cannot be removed is ours at the
   * next `acquire`.
   */
  function release(): void {
    if (isHeld) remove(lock);
    isHeld = false;
  }

  /** Releases the lock when nothing used it for a while. */
  async function watch(): Promise<void> {
    if (isWatched) return;
    isWatched = true;
    for (let seen = -1; isHeld && (isWorking || seen !== uses); ) {
      seen = uses;
      await clock.sleep(idleMs, closing.signal);
    }
    isWatched = false;
    release();
  }

  return {
    async hold(work) {
      const isFresh = !isHeld;
      if (isFresh) {
        await acquire();
        isHeld = true;
      }
      uses += 1;
      isWorking = true;
      void watch();
      try {
        return await work(isFresh);
      } finally {
        isWorking = false;
        if (uses % usesInARow === 0 && existsSync(wanted)) {
          release();
          remove(wanted);
          await clock.sleep(2 * idleMs);
        }
      }
    },
    close() {
      release();
      closing.abort();
      links.close();
      processes.end(me);
    },
  };
}

/** The file that identifies this process, and the links to it. */
function createLinks(own: string, me: Owner) {
  try {
    const fd = openSync(own, 'wx', 0o644);
    try {
      const identity = Buffer.from(JSON.stringify(me));
      if (writeSync(fd, identity) !== identity.length)
        throw Object.assign(new Error('incomplete write'), { code: 'ENOSPC' });
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    throw failureOn(own, error);
  }
  return {
    close: () => remove(own),
    /** `true` when `path` is ours; else its owner, or `null` when it was just released. */
    take(path: string): true | Owner | null {
      try {
        linkSync(own, path);
        return true;
      } catch (error) {
        if (errnoOf(error) !== 'EEXIST') throw failureOn(path, error);
        const owner = ownerOf(path);
        return owner?.id === me.id ? true : owner;
      }
    },
    /** Best effort: without it the wait is longer. */
    mark(path: string): void {
      try {
        linkSync(own, path);
      } catch {
        // Another process marked it, or it cannot be marked.
      }
    },
  };
}
type Links = ReturnType<typeof createLinks>;

/** Removes `path`, which `ended` owned, unless another process was faster. */
function takeOver(
  links: Links,
  path: string,
  ended: Owner,
  hasEnded: (owner: Owner) => boolean,
): void {
  const right = `${path}.over-${ended.id}`;
  const taken = links.take(right);
  if (taken === true) {
    try {
      if (ownerOf(path)?.id === ended.id) unlinkSync(path);
    } finally {
      unlinkSync(right);
    }
  } else if (taken !== null && hasEnded(taken)) {
    takeOver(links, right, taken, hasEnded);
  }
}

function createAcquire(
  links: Links,
  {
    lock,
    wanted,
    processes,
    clock,
  }: Pick<LockOptions, 'processes' | 'clock'> & { lock: string; wanted: string },
): () => Promise<void> {
  return async () => {
    if (links.take(lock) === true) return;
    const startedMs = clock.monotonicMs();
    let watched = { key: '', sinceMs: startedMs };
    for (let tries = 0; ; tries += 1) {
      const owner = links.take(lock);
      if (owner === true) {
        // Other waiting processes mark it again.
        remove(wanted);
        return;
      }
      const nowMs = clock.monotonicMs();
      const key = `${owner?.id} ${linkedAtMs(lock)}`;
      if (key !== watched.key) watched = { key, sinceMs: nowMs };
      const heldMs = nowMs - watched.sinceMs;
      const liveness = owner === null ? 'alive' : processes.liveness(owner);
      const hasEnded = (other: Owner, sinceMs: number): boolean => {
        const found = processes.liveness(other);
        return found === 'gone' || (found === 'unknown' && nowMs - sinceMs >= unknownMs);
      };
      if (owner !== null && hasEnded(owner, watched.sinceMs))
        takeOver(links, lock, owner, (other) => hasEnded(other, startedMs));
      else if (heldMs >= (liveness === 'unknown' ? unknownMs : patienceMs))
        throw notReleased(lock, owner);
      links.mark(wanted);
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
function removeEnded(directory: string, processes: LockOptions['processes']): void {
  let names: string[];
  try {
    names = readdirSync(directory);
  } catch (error) {
    throw failureOn(directory, error);
  }
  for (const name of names.filter((one) => one.startsWith('.holder-'))) {
    const owner = ownerOf(join(directory, name));
    if (owner && processes.liveness(owner) === 'gone') remove(join(directory, name));
  }
}

function ownerOf(path: string): Owner | null {
  try {
    const value: unknown = JSON.parse(readFileSync(path, 'utf8'));
    return typeof value === 'object' && value !== null && typeof (value as Owner).id === 'string'
      ? (value as Owner)
      : null;
  } catch (error) {
    if (errnoOf(error) === 'ENOENT' || error instanceof SyntaxError) return null;
    throw failureOn(path, error);
  }
}

/** When the link was made: the change time of the inode changes with the number of its links. */
function linkedAtMs(path: string): number {
  try {
    return lstatSync(path).ctimeMs;
  } catch {
    return 0;
  }
}

function remove(path: string): void {
  try {
    unlinkSync(path);
  } catch {
    // Best effort: the next process removes it.
  }
}
