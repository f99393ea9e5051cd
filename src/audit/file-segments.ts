// The audit log in files on one machine, for the writer (segments.ts) and for readers.
//
//   DIRECTORY/audit-2026-11.jsonl                    the records of one UTC month, one a line
//   DIRECTORY/checkpoints/000000000042.checkpoint    the signed head at 42 records
//   DIRECTORY/frontiers/000000004711.frontier        where the records go on after an archive
//   DIRECTORY/.writer/state.json                     a cache; verification does not read it
//   DIRECTORY/.writer/lock and others                the lock between processes (lock.ts)

import {
  constants,
  type FileHandle,
  mkdir,
  open,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  unlink,
  writeFile,
} from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { errnoOf } from '../rotation/failure.ts';
import type { Clock } from '../rotation/ports.ts';
import { isoDay } from '../time.ts';
import { type Disk, openDisk, readIfExists, storeText, syncFolder, withFile } from './disk.ts';
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

/** A log's folder, and the disk that it is on. */
type Place = { readonly directory: string; readonly disk: Disk };

/**
 * Opens the files in `directory` for a writer, and makes the folders. Throws `audit-unavailable`.
 */
export async function openFileSegments(options: Omit<LockOptions, 'disk'>): Promise<AuditSegments> {
  const { directory } = options;
  const disk = openDisk(options.clock);
  const place = { directory, disk };
  const writer = join(directory, '.writer');
  const cache = join(writer, 'state.json');
  await disk.run(directory, () => makeFolders(directory, writer));
  const lock = await openLock({ ...options, directory: writer, disk });
  const file = createAppender(directory);
  const checkpoints = createCheckpointFolder(place);
  let end: End = { month: null, position: 0 };

  return {
    place: directory,
    cacheFormat: 'thingspace-rotator/audit-state/2',
    exclusively: lock.hold,
    async readNew(_size, visit) {
      for (const { month, path, from } of await changedMonths(place, end)) {
        const incomplete = await readAppends(disk, path, from, (lines, position) => {
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
      const path = join(directory, monthFile(month));
      await disk.run(path, () => file.append(path, bytes, position));
      end = { month, position: position + bytes.length };
      return 'written';
    },
    newestCheckpoint: checkpoints.newest,
    readCheckpoint: checkpoints.read,
    storeCheckpoint: checkpoints.store,
    addSignature: checkpoints.addSignature,
    readCache: () => disk.run(cache, () => readIfExists(cache)).catch(() => null),
    async storeCache(_size, text) {
      await disk
        .run(cache, async () => {
          await writeFile(`${cache}.new`, text, { mode: 0o640 });
          await rename(`${cache}.new`, cache);
        })
        // Without a cache the next start reads the log from its beginning.
        .catch(() => undefined);
    },
    position: () => ({ month: end.month ?? undefined, position: end.position }),
    seek({ month, position }) {
      if (month === undefined || position === undefined) return false;
      end = { month, position };
      return true;
    },
    probe: () => disk.run(join(writer, 'probe'), () => probe(join(writer, 'probe'))),
    source: sourceOf(place),
    async close() {
      await disk.run(directory, file.close).catch(() => undefined);
      await lock.close();
    },
  };
}

async function probe(path: string): Promise<void> {
  try {
    await writeFile(path, Buffer.alloc(probeBytes), { mode: 0o640, flush: true });
  } finally {
    // Also a part of it: on a full disk the records need the room.
    await rm(path, { force: true }).catch(() => undefined);
  }
}

async function makeFolders(directory: string, writer: string): Promise<void> {
  await mkdir(writer, { recursive: true, mode: 0o750 });
  await mkdir(join(directory, checkpointFolder), { recursive: true, mode: 0o750 });
  await syncFolder(directory);
  await syncFolder(dirname(directory));
}

/**
 * The month files that hold more than `end`, oldest first. Throws when one is shorter than before.
 */
async function changedMonths(place: Place, end: End) {
  const { directory, disk } = place;
  const months = await monthsIn(place);
  const shorter = (month: string) =>
    damagedLog(join(directory, monthFile(month)), 'the file is shorter than before');
  if (end.month !== null && !months.includes(end.month)) throw shorter(end.month);
  const changed: { month: string; path: string; from: number }[] = [];
  for (const month of months) {
    if (end.month !== null && month < end.month) continue;
    const path = join(directory, monthFile(month));
    const from = month === end.month ? end.position : 0;
    const { size } = await disk.run(path, () => stat(path));
    if (size < from) throw shorter(month);
    if (size > from) changed.push({ month, path, from });
  }
  return changed;
}

/** Calls `visit` with each complete append after `from` and the position after it. */
async function readAppends(
  disk: Disk,
  path: string,
  from: number,
  visit: (lines: readonly Buffer[], position: number) => void,
): Promise<IncompleteAppend | null> {
  let position = from;
  let part: Buffer[] = [];
  let isBroken = false;
  const size = await eachStoredLine(disk, path, from, (line) => {
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
    remove: () => disk.run(path, () => truncate(path, position)),
  };
}

/** Shortens the file to `length`, durably. */
const truncate = (path: string, length: number): Promise<void> =>
  withFile(path, 'r+', async (file) => {
    await file.truncate(length);
    await file.sync();
  });

/** Calls `visit` with each complete line after `position`; resolves with the size of the file. */
async function eachStoredLine(
  disk: Disk,
  path: string,
  position: number,
  visit: (line: Buffer) => void,
): Promise<number> {
  const file = await disk.run(path, () => open(path, 'r'));
  try {
    let bytes: Buffer = Buffer.allocUnsafe(1 << 20);
    let [held, at] = [0, position];
    for (;;) {
      if (held === bytes.length) bytes = Buffer.concat([bytes], bytes.length * 2);
      const [into, used, from] = [bytes, held, at];
      const read = () => file.read(into, used, into.length - used, from);
      const { bytesRead } = await disk.run(path, read);
      if (bytesRead === 0) return at;
      at += bytesRead;
      held += bytesRead;
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
    await closed(disk, path, file);
  }
}

/** What was read is known: a file that cannot be closed spoils nothing. */
const closed = (disk: Disk, path: string, file: FileHandle): Promise<void> =>
  disk.run(path, () => file.close()).catch(() => undefined);

/**
 * A command of root can begin a month. The user of the service must be able to go on with it. For
 * other users this changes nothing.
 */
async function giveToOwner(file: FileHandle, directory: string): Promise<void> {
  const { uid } = await stat(directory);
  await file.chown(uid, -1).catch(() => undefined);
}

/** Appends bytes to month files; keeps the newest one open. */
function createAppender(directory: string) {
  let opened: { path: string; file: FileHandle } | null = null;

  async function close(): Promise<void> {
    const { file } = opened ?? {};
    opened = null;
    await file?.close();
  }

  async function openMonth(path: string): Promise<FileHandle> {
    if (opened?.path === path) return opened.file;
    await close();
    const flags = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT;
    opened = { path, file: await open(path, flags, 0o640) };
    return opened.file;
  }

  return {
    close,
    /**
     * One write and one fdatasync: durable when it resolves. On an error the file gets its old
     * length back, if possible.
     */
    async append(path: string, bytes: Buffer, position: number): Promise<void> {
      const file = await openMonth(path);
      if (position === 0) await giveToOwner(file, directory);
      try {
        for (let written = 0; written < bytes.length; )
          written += (await file.write(bytes, written)).bytesWritten;
        await file.datasync();
        if (position === 0) await syncFolder(directory);
      } catch (error) {
        try {
          await file.truncate(position);
          await file.datasync();
        } catch {
          // The next `readNew` finds the incomplete append.
        }
        // After a failed fdatasync the kernel may drop the pages: the next append opens the file
        // again.
        await close().catch(() => undefined);
        throw error;
      }
    },
  };
}

/** The folder of the checkpoints, for the writer. */
function createCheckpointFolder(place: Place) {
  const { directory, disk } = place;
  const folder = join(directory, checkpointFolder);
  let seenMs = 0;
  return {
    async newest(): Promise<StoredCheckpoint | null> {
      const { mtimeMs } = await disk.run(folder, () => stat(folder));
      if (mtimeMs === seenMs) return null;
      const size = (await checkpointSizesIn(place)).at(-1);
      const name = checkpointPath(directory, size ?? 0);
      const text = size === undefined ? '' : await disk.run(name, () => readFile(name, 'utf8'));
      seenMs = mtimeMs;
      return size === undefined ? null : { name, size, text };
    },
    read(size: number): Promise<string | null> {
      const path = checkpointPath(directory, size);
      return disk.run(path, () => readIfExists(path));
    },
    async store(size: number, text: string): Promise<string> {
      const path = checkpointPath(directory, size);
      await disk.run(path, () => storeText(path, text));
      return text;
    },
    async addSignature(size: number, line: string): Promise<void> {
      const path = checkpointPath(directory, size);
      await disk.run(path, async () => {
        const text = await readFile(path, 'utf8');
        if (!text.includes(line)) await storeText(path, `${text}${line}`);
      });
    },
  };
}

/** Stores a frontier in the log. Durable when it resolves. Throws `audit-unavailable`. */
export async function storeFrontier(
  directory: string,
  clock: Clock,
  size: number,
  text: string,
): Promise<void> {
  const path = frontierPath(directory, size);
  await openDisk(clock).run(path, async () => {
    await mkdir(dirname(path), { recursive: true, mode: 0o750 });
    await storeText(path, text);
  });
}

/**
 * Removes months that are archived, oldest first, and their checkpoints. The frontiers of these
 * months MUST be stored; `size` is that of the last one. Throws `audit-unavailable`.
 */
export async function removeMonths(
  directory: string,
  clock: Clock,
  months: readonly string[],
  size: number,
): Promise<void> {
  const disk = openDisk(clock);
  const remove = (path: string): Promise<void> => disk.run(path, () => unlink(path));
  for (const month of [...months].sort()) await remove(join(directory, monthFile(month)));
  await disk.run(directory, () => syncFolder(directory));
  for (const covered of await checkpointSizesIn({ directory, disk }))
    if (covered <= size) await remove(checkpointPath(directory, covered));
  const folder = join(directory, frontierFolder);
  for (const name of await disk.run(folder, () => readdir(folder)))
    if (name < frontierFile(size)) await remove(join(folder, name));
}

/** Names of the months that have a file, oldest first. */
async function monthsIn({ directory, disk }: Place): Promise<string[]> {
  return (await disk.run(directory, () => readdir(directory)))
    .map((name) => monthPattern.exec(name)?.[1])
    .filter((month) => month !== undefined)
    .sort();
}

/** Sizes of the checkpoints, ascending; none when the folder is missing. */
async function checkpointSizesIn({ directory, disk }: Place): Promise<number[]> {
  const folder = join(directory, checkpointFolder);
  const names = await disk.run(folder, async () => {
    try {
      return await readdir(folder);
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return [];
      throw error;
    }
  });
  return names
    .map((name) => Number(checkpointPattern.exec(name)?.[1] ?? Number.NaN))
    .filter(Number.isSafeInteger)
    .sort((a, b) => a - b);
}

/** The sequence number of the first stored record; 0 when there is none. */
async function firstSequence(place: Place): Promise<number> {
  const [month] = await monthsIn(place);
  if (month === undefined) return 0;
  const path = join(place.directory, monthFile(month));
  const line = Buffer.alloc(maxLineBytes);
  return place.disk.run(path, () =>
    withFile(path, 'r', async (file) => {
      const { bytesRead } = await file.read(line, 0, line.length, 0);
      return Math.max(0, numberAfter(line.subarray(0, bytesRead), recordKeys.sequence));
    }),
  );
}

function segmentOf({ directory, disk }: Place, month: string): Segment {
  const path = join(directory, monthFile(month));
  return {
    name: monthFile(month),
    month,
    async open() {
      const file = await disk.run(path, () => open(path, 'r'));
      // The size at the start: what is appended while this reader reads is left to the next one.
      const { size } = await disk.run(path, () => file.stat());
      return {
        async read(into, at, position) {
          const length = Math.max(0, Math.min(into.length - at, size - position));
          const { bytesRead } = await disk.run(path, () => file.read(into, at, length, position));
          return bytesRead;
        },
        close: () => closed(disk, path, file),
      };
    },
  };
}

/** The log in `directory` for readers. Takes no lock and writes nothing. */
export const openFileSource = (directory: string, clock: Pick<Clock, 'sleep'>): AuditSource =>
  sourceOf({ directory, disk: openDisk(clock) });

const sourceOf = (place: Place): AuditSource => ({
  segments: async () => (await monthsIn(place)).map((month) => segmentOf(place, month)),
  checkpoints: async () =>
    (await checkpointSizesIn(place)).map((size) => new CheckpointFile(place, size)),
  async frontier() {
    const size = await firstSequence(place);
    const path = frontierPath(place.directory, size);
    const text = await place.disk.run(path, () => readIfExists(path));
    return text === null ? null : { name: frontierFile(size), text };
  },
});

/**
 * Read on demand. A log has one for every run, and an instance of a class needs the least memory.
 */
class CheckpointFile {
  readonly #place: Place;
  readonly #size: number;

  constructor(place: Place, size: number) {
    this.#place = place;
    this.#size = size;
  }

  get name(): string {
    return checkpointFile(this.#size);
  }

  read(): Promise<string> {
    const path = checkpointPath(this.#place.directory, this.#size);
    return this.#place.disk.run(path, () => readFile(path, 'utf8'));
  }
}
