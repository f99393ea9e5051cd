// The audit log in files on one machine, for the writer (segments.ts) and for readers. Every call
// to the file system is synchronous and checked, so that nothing of this process runs between the
// steps of an append.
//
//   DIRECTORY/audit-2026-11.jsonl                    the records of one UTC month, one a line
//   DIRECTORY/checkpoints/000000000042.checkpoint    the signed head at 42 records
//   DIRECTORY/frontiers/000000004711.frontier        where the records go on after an archive
//   DIRECTORY/.writer/state.json                     a cache; verification does not read it
//   DIRECTORY/.writer/lock and others                the lock between processes (lock.ts)

import {
  closeSync,
  constants,
  fdatasyncSync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  renameSync,
  statSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { errnoOf, systemFailure } from '../rotation/failure.ts';
import { isoDay } from '../time.ts';
import { guarded, readOptional, storeText, syncFolder, writeAll } from './durable-text.ts';
import { frontierFile, frontierFolder } from './frontier.ts';
import { type LockOptions, openLock } from './lock.ts';
import { type AuditSource, numberAfter, recordKeys, type Segment } from './reader.ts';
import { maxLineBytes, viewLine } from './record.ts';
import {
  type AuditSegments,
  checkpointFile,
  damagedLog,
  type IncompleteAppend,
  type StoredCheckpoint,
} from './segments.ts';

/** As large as an append of one rotation can be. */
const probeBytes = 65_536;

const monthPattern = /^audit-(\d{4}-\d{2})\.jsonl$/;
const checkpointPattern = /^(\d{12,16})\.checkpoint$/;
const checkpointFolder = 'checkpoints';
const batchMark = Buffer.from('"batch_remaining":');

const monthFile = (month: string): string => `audit-${month}.jsonl`;
const frontierPath = (directory: string, size: number): string =>
  join(directory, frontierFolder, frontierFile(size));
const checkpointPath = (directory: string, size: number): string =>
  join(directory, checkpointFolder, checkpointFile(size));

/** The first file of a log, or a position in a later one. */
type End = { readonly month: string | null; readonly position: number };

/**
 * Opens the files in `directory` for a writer, and makes the folders. Throws `audit-unavailable`.
 */
export function openFileSegments({ directory, processes, clock }: LockOptions): AuditSegments {
  const writer = join(directory, '.writer');
  const cache = join(writer, 'state.json');
  makeFolders(directory, writer);
  const lock = openLock({ directory: writer, processes, clock });
  const file = createAppender(directory);
  const checkpoints = createCheckpointFolder(directory);
  let end: End = { month: null, position: 0 };

  return {
    place: directory,
    cacheFormat: 'thingspace-rotator/audit-state/2',
    exclusively: lock.hold,
    async readNew(_size, visit) {
      for (const { month, path, from } of changedMonths(directory, end)) {
        const incomplete = readAppends(path, from, (lines, position) => {
          visit(lines);
          end = { month, position };
        });
        if (incomplete !== null) return incomplete;
      }
      return null;
    },
    async append({ timeMs, bytes }) {
      const now = isoDay(timeMs).slice(0, 7);
      // A clock that was set back does not write into a month that is over.
      const month = end.month !== null && end.month > now ? end.month : now;
      const position = month === end.month ? end.position : 0;
      guarded(join(directory, monthFile(month)), () => file.append(month, bytes, position));
      end = { month, position: position + bytes.length };
      return 'written';
    },
    newestCheckpoint: async () => checkpoints.newest(),
    readCheckpoint: async (size) => readOptional(checkpointPath(directory, size)),
    storeCheckpoint: async (size, text) => checkpoints.store(size, text),
    async addSignature(size, line) {
      const path = checkpointPath(directory, size);
      const text = guarded(path, () => readFileSync(path, 'utf8'));
      if (!text.includes(line)) storeText(path, `${text}${line}`);
    },
    readCache: async () => readOptional(cache),
    async storeCache(_size, text) {
      try {
        writeFileSync(`${cache}.new`, text, { mode: 0o640 });
        renameSync(`${cache}.new`, cache);
      } catch {
        // Without a cache the next start reads the log from its beginning.
      }
    },
    position: () => ({ month: end.month ?? undefined, position: end.position }),
    seek({ month, position }) {
      if (month === undefined || position === undefined) return false;
      end = { month, position };
      return true;
    },
    probe: () => probe(join(writer, 'probe')),
    source: openFileSource(directory),
    close() {
      file.close();
      lock.close();
    },
  };
}

/** Not synchronous, unlike an append: it must not hold up the thread of a rotation. */
async function probe(path: string): Promise<void> {
  try {
    await writeFile(path, Buffer.alloc(probeBytes), { mode: 0o640, flush: true });
  } catch (error) {
    throw systemFailure('audit-unavailable', `audit log ${path}`, path, error);
  } finally {
    // Also a part of it: on a full disk the records need the room.
    await rm(path, { force: true }).catch(() => undefined);
  }
}

function makeFolders(directory: string, writer: string): void {
  guarded(directory, () => {
    mkdirSync(writer, { recursive: true, mode: 0o750 });
    mkdirSync(join(directory, checkpointFolder), { recursive: true, mode: 0o750 });
  });
  syncFolder(directory);
  syncFolder(dirname(directory));
}

/**
 * The month files that hold more than `end`, oldest first. Throws when one is shorter than before.
 */
function changedMonths(directory: string, end: End) {
  const months = monthsIn(directory);
  const shorter = (month: string) =>
    damagedLog(join(directory, monthFile(month)), 'the file is shorter than before');
  if (end.month !== null && !months.includes(end.month)) throw shorter(end.month);
  return months
    .filter((month) => end.month === null || month >= end.month)
    .map((month) => {
      const path = join(directory, monthFile(month));
      const from = month === end.month ? end.position : 0;
      const size = guarded(path, () => statSync(path).size);
      if (size < from) throw shorter(month);
      return { month, path, from, isLonger: size > from };
    })
    .filter(({ isLonger }) => isLonger);
}

/** Calls `visit` with each complete append after `from` and the position after it. */
function readAppends(
  path: string,
  from: number,
  visit: (lines: readonly Buffer[], position: number) => void,
): IncompleteAppend | null {
  let position = from;
  let part: Buffer[] = [];
  let isBroken = false;
  const size = eachStoredLine(path, from, (line) => {
    if (isBroken && viewLine(line) !== null)
      throw damagedLog(path, `damaged at byte ${position}, and records follow`);
    isBroken ||= line[0] !== 0x7b;
    if (isBroken) return;
    part.push(line);
    if (line.includes(batchMark)) return;
    position += part.reduce((sum, { length }) => sum + length + 1, 0);
    visit(part, position);
    part = [];
  });
  if (size === position) return null;
  return {
    path,
    bytes: size - position,
    records: part.length,
    remove: () => truncate(path, position),
  };
}

/** Shortens the file to `length`, durably. */
function truncate(path: string, length: number): void {
  guarded(path, () => {
    const fd = openSync(path, 'r+');
    try {
      ftruncateSync(fd, length);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
  });
}

/** Calls `visit` with each complete line after `position`; returns the size of the file. */
function eachStoredLine(path: string, position: number, visit: (line: Buffer) => void): number {
  return guarded(path, () => {
    const fd = openSync(path, 'r');
    try {
      let bytes: Buffer = Buffer.allocUnsafe(1 << 20);
      let [held, at] = [0, position];
      for (;;) {
        if (held === bytes.length) bytes = Buffer.concat([bytes], bytes.length * 2);
        const got = readSync(fd, bytes, held, bytes.length - held, at);
        if (got === 0) return at;
        at += got;
        held += got;
        let start = 0;
        for (
          let end = bytes.indexOf(0x0a);
          end >= 0 && end < held;
          end = bytes.indexOf(0x0a, start)
        ) {
          visit(Buffer.from(bytes.subarray(start, end)));
          start = end + 1;
        }
        bytes.copyWithin(0, start, held);
        held -= start;
      }
    } finally {
      closeSync(fd);
    }
  });
}

/** Appends bytes to month files; keeps the newest one open. */
function createAppender(directory: string) {
  let opened: { month: string; fd: number } | null = null;

  function close(): void {
    if (opened) closeSync(opened.fd);
    opened = null;
  }

  function openMonth(month: string): number {
    if (opened?.month === month) return opened.fd;
    close();
    const flags = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT;
    opened = { month, fd: openSync(join(directory, monthFile(month)), flags, 0o640) };
    return opened.fd;
  }

  return {
    close,
    /**
     * One write and one fdatasync: durable when it returns. On an error the file gets its old
     * length back, if possible.
     */
    append(month: string, bytes: Buffer, position: number): void {
      const fd = openMonth(month);
      try {
        writeAll(fd, bytes);
        fdatasyncSync(fd);
        if (position === 0) syncFolder(directory);
      } catch (error) {
        try {
          ftruncateSync(fd, position);
          fdatasyncSync(fd);
        } catch {
          // The next `readNew` finds the incomplete append.
        }
        // After a failed fdatasync the kernel may drop the pages: the next append opens the file
        // again.
        close();
        throw error;
      }
    },
  };
}

/** The folder of the checkpoints, for the writer. */
function createCheckpointFolder(directory: string) {
  const folder = join(directory, checkpointFolder);
  let seenMs = 0;
  return {
    newest(): StoredCheckpoint | null {
      const changedMs = guarded(folder, () => statSync(folder).mtimeMs);
      if (changedMs === seenMs) return null;
      seenMs = changedMs;
      const size = checkpointSizesIn(directory).at(-1);
      if (size === undefined) return null;
      const name = checkpointPath(directory, size);
      return { name, size, text: guarded(name, () => readFileSync(name, 'utf8')) };
    },
    store(size: number, text: string): string {
      storeText(checkpointPath(directory, size), text);
      return text;
    },
  };
}

/** Stores a frontier in the log. Durable on return. Throws `audit-unavailable`. */
export function storeFrontier(directory: string, size: number, text: string): void {
  const path = frontierPath(directory, size);
  guarded(path, () => mkdirSync(dirname(path), { recursive: true, mode: 0o750 }));
  storeText(path, text);
}

/**
 * Removes months that are archived, oldest first, and their checkpoints. The frontiers of these
 * months MUST be stored; `size` is that of the last one. Throws `audit-unavailable`.
 */
export function removeMonths(directory: string, months: readonly string[], size: number): void {
  const remove = (path: string): void => guarded(path, () => unlinkSync(path));
  for (const month of [...months].sort()) remove(join(directory, monthFile(month)));
  syncFolder(directory);
  for (const covered of checkpointSizesIn(directory))
    if (covered <= size) remove(checkpointPath(directory, covered));
  const folder = join(directory, frontierFolder);
  for (const name of guarded(folder, () => readdirSync(folder)))
    if (name < frontierFile(size)) remove(join(folder, name));
}

/** Names of the months that have a file, oldest first. */
function monthsIn(directory: string): string[] {
  return guarded(directory, () => readdirSync(directory))
    .map((name) => monthPattern.exec(name)?.[1])
    .filter((month) => month !== undefined)
    .sort();
}

/** Sizes of the checkpoints, ascending; none when the folder is missing. */
function checkpointSizesIn(directory: string): number[] {
  const folder = join(directory, checkpointFolder);
  return guarded(folder, () => {
    try {
      return readdirSync(folder);
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return [];
      throw error;
    }
  })
    .map((name) => Number(checkpointPattern.exec(name)?.[1] ?? Number.NaN))
    .filter(Number.isSafeInteger)
    .sort((a, b) => a - b);
}

/** The sequence number of the first stored record; 0 when there is none. */
function firstSequence(directory: string): number {
  const [month] = monthsIn(directory);
  if (month === undefined) return 0;
  const path = join(directory, monthFile(month));
  const line = Buffer.alloc(maxLineBytes);
  return guarded(path, () => {
    const fd = openSync(path, 'r');
    try {
      const length = readSync(fd, line, 0, line.length, 0);
      return Math.max(0, numberAfter(line.subarray(0, length), recordKeys.sequence));
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
      // The size at the start: what is appended while this reader reads is left to the next one.
      const size = guarded(path, () => fstatSync(fd).size);
      return {
        read: (into, at, position) => {
          const length = Math.max(0, Math.min(into.length - at, size - position));
          return guarded(path, () => readSync(fd, into, at, length, position));
        },
        close: () => closeSync(fd),
      };
    },
  };
}

/** The log in `directory` for readers. Takes no lock and writes nothing. */
export function openFileSource(directory: string): AuditSource {
  return {
    segments: async () => monthsIn(directory).map((month) => segmentOf(directory, month)),
    checkpoints: async () =>
      checkpointSizesIn(directory).map((size) => new CheckpointFile(directory, size)),
    async frontier() {
      const size = firstSequence(directory);
      const text = readOptional(frontierPath(directory, size));
      return text === null ? null : { name: frontierFile(size), text };
    },
  };
}

/**
 * Read on demand. A log has one for every run, and an instance of a class needs the least memory.
 */
class CheckpointFile {
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
    const path = checkpointPath(this.#directory, this.#size);
    return guarded(path, () => readFileSync(path, 'utf8'));
  }
}
