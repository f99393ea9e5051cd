// One appender at a time, over processes. The lock is a hard link: `lock` is another name for the file that says who its
// holder is, so it appears whole or not at all, and two system calls are all it costs.
//
//   take      link(mine, lock)          EEXIST: somebody holds it
//   give      unlink(lock)
//   take over from the dead X           take `lock.over-X` by the same rules, look again that X still holds, unlink(lock), give
//
// A dead process stays dead, so "X is gone" never becomes untrue; and only the holder of `lock.over-X` may remove X's lock.
// Hence nobody removes the lock of one who lives, whatever the order of events.
//
// Who appends again at once keeps the lock: it is given back after a few idle milliseconds, or after so many uses that others must
// have their turn. Those who wait say so by a file `wanted`.

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
import { Failure } from '../rotation/failure.ts';
import type { Clock, ProcessIdentity } from '../rotation/ports.ts';
import type { Holder } from '../rotation/record.ts';
import { guarded, unavailable } from './file-segments.ts';

export type Lock = {
  /**
   * Runs `work`, which must be synchronous, while no other process does; one call at a time. `isFresh`: others may have been here since
   * the last one. Throws `audit-unavailable` when the lock cannot be had.
   */
  hold<T>(work: (isFresh: boolean) => T): Promise<T>;
  close(): void;
};

export type LockOptions = {
  readonly directory: string;
  readonly processes: Pick<ProcessIdentity, 'begin' | 'end' | 'liveness'>;
  readonly clock: Clock;
  /** How long to wait for somebody who lives; an append takes milliseconds. */
  readonly patienceMs?: number;
  /** How long somebody of whom nothing is known (another machine, another container) may hold the lock before it is taken over. */
  readonly unknownMs?: number;
};

/** Idle so long, the lock is given back. */
const idleMs = 5;
/** Used so often, it is given to whoever waits. */
const usesInTurn = 64;

const errnoOf = (error: unknown): string | undefined => (error as { code?: string }).code;

/** Registers this process as a possible holder. Removes what dead ones left. */
export function openLock({
  directory,
  processes,
  clock,
  patienceMs = 10_000,
  unknownMs = 30_000,
}: LockOptions): Lock {
  const me = processes.begin();
  const mine = join(directory, `.holder-${me.id}`);
  const lock = join(directory, 'lock');
  const wanted = join(directory, 'wanted');

  guarded(mine, () => {
    const fd = openSync(mine, 'wx', 0o644);
    try {
      const identity = Buffer.from(JSON.stringify(me));
      if (writeSync(fd, identity) !== identity.length)
        throw new Failure('audit-unavailable', `audit log ${mine}: no room`);
    } finally {
      closeSync(fd);
    }
  });
  sweep();

  /** Identities of processes that are gone; best effort. */
  function sweep(): void {
    for (const name of guarded(directory, () => readdirSync(directory))) {
      if (!name.startsWith('.holder-')) continue;
      const holder = holderIn(join(directory, name));
      if (holder && processes.liveness(holder) === 'gone') remove(join(directory, name));
    }
  }

  function want(): void {
    try {
      linkSync(mine, wanted);
    } catch {
      // It is there already, or it is not: then the wait is longer.
    }
  }

  /** `true` when taken; else who holds it, or `null` when it has just been given back. */
  function take(path: string): true | Holder | null {
    try {
      linkSync(mine, path);
      return true;
    } catch (error) {
      if (errnoOf(error) !== 'EEXIST') throw unavailable(path, error);
      const holder = holderIn(path);
      return holder?.id === me.id ? true : holder;
    }
  }

  /** Removes `path`, which `dead` held, unless somebody was faster. */
  function takeOver(path: string, dead: Holder, deadToo: (holder: Holder) => boolean): void {
    const right = `${path}.over-${dead.id}`;
    const taken = take(right);
    if (taken === true) {
      try {
        if (holderIn(path)?.id === dead.id) unlinkSync(path);
      } finally {
        unlinkSync(right);
      }
    } else if (taken !== null && deadToo(taken)) {
      takeOver(right, taken, deadToo);
    }
  }

  async function acquire(): Promise<void> {
    if (take(lock) === true) return;
    const startedMs = clock.monotonicMs();
    let watched = { key: '', sinceMs: startedMs };
    for (let tries = 0; ; tries += 1) {
      const holder = take(lock);
      if (holder === true) {
        // Others who wait say so again.
        remove(wanted);
        return;
      }
      const nowMs = clock.monotonicMs();
      const key = `${holder?.id} ${takenAt(lock)}`;
      if (key !== watched.key) watched = { key, sinceMs: nowMs };
      const isPresumedDead = (other: Holder, sinceMs: number): boolean => {
        const liveness = processes.liveness(other);
        return liveness === 'gone' || (liveness === 'unknown' && nowMs - sinceMs >= unknownMs);
      };
      if (holder && isPresumedDead(holder, watched.sinceMs)) {
        takeOver(lock, holder, (other) => isPresumedDead(other, startedMs));
      } else if (
        nowMs - watched.sinceMs >=
        (holder && processes.liveness(holder) === 'unknown' ? unknownMs : patienceMs)
      ) {
        throw heldBy(lock, holder);
      }
      want();
      await clock.sleep(Math.min(idleMs, 1 + tries));
    }
  }

  let uses = 0;
  let isHeld = false;
  let isWatched = false;
  const closing = new AbortController();

  function give(): void {
    // What was done under it is durable already; a lock that will not go is found to be ours at the next take.
    if (isHeld) remove(lock);
    isHeld = false;
  }

  /** Gives the lock back when nothing has used it for a while. */
  async function watch(): Promise<void> {
    if (isWatched) return;
    isWatched = true;
    for (let seen = -1; isHeld && seen !== uses; ) {
      seen = uses;
      await clock.sleep(idleMs, closing.signal);
    }
    isWatched = false;
    give();
  }

  return {
    async hold(work) {
      const isFresh = !isHeld;
      if (isFresh) {
        await acquire();
        isHeld = true;
      }
      void watch();
      uses += 1;
      try {
        return work(isFresh);
      } finally {
        if (uses % usesInTurn === 0 && existsSync(wanted)) {
          give();
          remove(wanted);
          await clock.sleep(2 * idleMs);
        }
      }
    },
    close() {
      give();
      closing.abort();
      remove(mine);
      processes.end(me);
    },
  };
}

function heldBy(path: string, holder: Holder | null): Failure {
  const who =
    holder?.pid === undefined
      ? `holder ${holder?.id}`
      : `process ${holder.pid}${holder.host ? ` on ${holder.host}` : ''}`;
  return new Failure(
    'audit-unavailable',
    `audit log ${path}: held by ${who}, which lives and does not let go`,
  );
}

function holderIn(path: string): Holder | null {
  try {
    const value: unknown = JSON.parse(readFileSync(path, 'utf8'));
    return typeof value === 'object' && value !== null && typeof (value as Holder).id === 'string'
      ? (value as Holder)
      : null;
  } catch (error) {
    if (errnoOf(error) === 'ENOENT' || error instanceof SyntaxError) return null;
    throw unavailable(path, error);
  }
}

/** When the link was made, as the file system tells: the change time of the inode moves with its link count. */
function takenAt(path: string): number {
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
    // Best effort: the next process sweeps.
  }
}
