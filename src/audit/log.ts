// The audit log in files. An append is one write and one fdatasync, synchronous and checked, under the lock between processes; it
// is durable before it resolves, or it is an `audit-unavailable` and nothing of it stays. Must never lose a record it acknowledged,
// and never sign a head that does not continue the one signed before.

import {
  closeSync,
  constants,
  fdatasyncSync,
  fsyncSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  statSync,
  writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import type { OpenIntent } from '../rotation/event.ts';
import { Failure } from '../rotation/failure.ts';
import type { AuditLog, Clock, ProcessIdentity } from '../rotation/ports.ts';
import { isoDay } from '../time.ts';
import { type Checkpoint, parseCheckpoint, type Signer, signCheckpoint } from './checkpoint.ts';
import {
  checkpointFile,
  checkpointFolder,
  checkpointSizesIn,
  guarded,
  monthFile,
  openFileSource,
  syncFolder,
} from './file-segments.ts';
import { openLock } from './lock.ts';
import type { Hash } from './merkle.ts';
import type { AuditSource } from './reader.ts';
import {
  type AuditContext,
  type Frame,
  formatRecord,
  frameOf,
  stampAll,
  uuidv7,
} from './record.ts';
import type { LogEvent, LoggedEvent } from './schema.ts';
import { absorbKnown, emptyTail, follow, loadState, saveState, type Tail } from './tail.ts';

export type AuditLogOptions = {
  readonly directory: string;
  /** Signs checkpoints; its name should be the origin. */
  readonly signer: Signer;
  readonly clock: Clock;
  /** Says who this process is to the others that append here. One instance per process (processes.ts). */
  readonly processes: Pick<ProcessIdentity, 'begin' | 'end' | 'liveness'>;
  /** What this log is called, for ever: the first line of every checkpoint, `log_name` of every record. */
  readonly origin: string;
  readonly context: AuditContext;
  /** Gets the line of every record that could not be written, unless it is an intent, after which nothing happens. Must not throw. */
  readonly secondSink?: (line: string) => void;
};

export interface FileAuditLog extends AuditLog {
  /**
   * Appends in order, all or none; durable when it resolves. Throws `audit-unavailable`, naming the file and the errno; the records
   * have then gone to the second sink, except intents, and the next append that succeeds notes `sink.failed`.
   */
  append(events: readonly LoggedEvent[]): Promise<void>;
  openIntents(account: string): Promise<readonly OpenIntent[]>;
  /** Signs the log as it is, durably; writes `log.heartbeat` first when nothing was appended since the last one. Throws `audit-unavailable`. */
  checkpoint(): Promise<Checkpoint>;
  /** The same log for readers. */
  readonly source: AuditSource;
  /** Lets go of the files. Appends still under way are finished first. */
  close(): Promise<void>;
}

/** How many records still fit one append; more is a bug of the caller. */
const maxBatch = 1_000;

/**
 * Opens the log in `directory`, making it when it is not there. Cuts and notes what a crash left half written. Throws
 * `audit-unavailable` when it cannot be written, when it is not the log of `origin`, or does not continue its newest checkpoint.
 */
export async function openAuditLog(options: AuditLogOptions): Promise<FileAuditLog> {
  const { directory, signer, clock, processes, origin, secondSink } = options;
  const writer = join(directory, '.writer');
  const statePath = join(writer, 'state.json');
  makeFolders(directory, writer);
  const lock = openLock({ directory: writer, processes, clock });
  let newest = newestCheckpoint(directory, origin);
  const tail = loadState(statePath, (size) => rootAt(directory, size)) ?? emptyTail();
  const file = createAppender(directory);
  const frame = frameOf(options.context);
  /** What the log has to say about itself with the next append. */
  let notes: LogEvent[] = [];
  let seenMs = 0;
  let mustLook = true;
  let last: Promise<unknown> = Promise.resolve();

  /** One after the other in this process, then under the lock between processes. */
  function exclusively<T>(work: () => T): Promise<T> {
    const held = (): Promise<T> =>
      lock.hold((isFresh) => {
        mustLook ||= isFresh;
        return work();
      });
    const turn = last.then(held, held);
    last = turn;
    return turn;
  }

  /** Takes in what others appended. While the lock was kept there is nothing, unless our own last append failed. */
  function refresh(): void {
    if (!mustLook) return;
    lookForCheckpoints();
    const size = newest?.size ?? 0;
    const followed = follow(directory, tail, size, ({ tree }) => {
      if (newest && tree.root() !== newest.root) throw discontinued(directory, newest);
    });
    if (tail.tree.size < size) throw discontinued(directory, newest);
    if (followed.cutBytes > 0) {
      const detail = `a half-written end was cut: ${followed.cutBytes} bytes, ${followed.cutRecords} whole records of an unfinished append`;
      notes.push({ code: 'log.repaired', bytes: followed.cutBytes, detail });
    }
    mustLook = false;
  }

  /** Others sign too. A missed one is no harm: the record after the next mentions it. */
  function lookForCheckpoints(): void {
    const changed = guarded(directory, () => statSync(join(directory, checkpointFolder)).mtimeMs);
    if (changed === seenMs) return;
    seenMs = changed;
    if (newestSize(directory) > (newest?.size ?? 0)) newest = newestCheckpoint(directory, origin);
  }

  function write(events: readonly LoggedEvent[]): void {
    refresh();
    const genesis: LogEvent[] =
      tail.tree.size === 0 ? [{ code: 'log.genesis', verifierKey: signer.verifierKey }] : [];
    const all = [...genesis, ...notes, ...events];
    // An append of nothing would be an empty line, and the log damaged.
    if (all.length === 0) return;
    const batch = stampBatch(all, tail, clock.nowMs(), newest?.size ?? 0, frame, origin);
    mustLook = true;
    guarded(join(directory, monthFile(batch.month)), () =>
      file.append(batch.month, batch.bytes, batch.month === tail.month ? tail.position : 0),
    );
    if (batch.month !== tail.month) Object.assign(tail, { month: batch.month, position: 0 });
    batch.lines.forEach((line, index) => {
      absorbKnown(tail, line, { timeMs: batch.timeMs, ...(all[index] as LoggedEvent) });
    });
    if (batch.sealedSize !== undefined) tail.mentioned = batch.sealedSize;
    tail.lastTimeMs = Math.max(tail.lastTimeMs, batch.timeMs);
    notes = [];
    mustLook = false;
  }

  /**
   * Appends that came in the same moment share one write and one sync: a fleet's rotations move side by side. While there is no
   * other rotation under way there is nobody to wait for, and the append goes at once.
   */
  let waiting: Waiting[] = [];
  let appending: Promise<void> = Promise.resolve();

  function append(events: readonly LoggedEvent[]): Promise<void> {
    if (events.length === 0) return Promise.resolve();
    if (events.length > maxBatch)
      throw new Error(`bug: ${events.length} audit events in one append`);
    return new Promise((resolve, reject) => {
      waiting.push({ events, resolve, reject });
      if (waiting.length > 1) return;
      const moment = tail.open.size > 1 ? clock.sleep(0) : Promise.resolve();
      appending = moment.then(appendWaiting);
    });
  }

  async function appendWaiting(): Promise<void> {
    let together: Waiting[] = [];
    try {
      await exclusively(() => {
        together = takeBatch(waiting);
        waiting = waiting.slice(together.length);
        write(together.flatMap(({ events }) => events));
      });
      for (const { resolve } of together) resolve();
    } catch (error) {
      // Nothing was taken when the lock could not be had: then it fails all who wait for it.
      if (together.length === 0) [together, waiting] = [waiting, []];
      if (error instanceof Failure) spill(together, error);
      for (const { reject } of together) reject(error);
    }
    if (waiting.length > 0) await appendWaiting();
  }

  /** What could not be written goes to the second sink, but for intents: nothing follows those. */
  function spill(together: readonly Waiting[], failure: Failure): void {
    const events = together.flatMap((one) => one.events);
    notes = [
      ...notes.filter(({ code }) => code !== 'sink.failed'),
      sinkFailed(notes, directory, failure, events),
    ];
    for (const event of events)
      if (event.code !== 'rotation.intended')
        secondSink?.(strayLine(event, clock.nowMs(), frame, origin));
  }

  async function checkpoint(): Promise<Checkpoint> {
    const head = await exclusively(() => {
      refresh();
      if (tail.tree.size === 0 || tail.tree.size <= newestSize(directory))
        write([{ code: 'log.heartbeat' }]);
      return { ...tail, tree: tail.tree.copy(), open: new Map(tail.open) };
    });
    const text = await signCheckpoint(origin, head.tree.size, head.tree.root(), [signer]).catch(
      (error) => {
        if (error instanceof Failure) throw error;
        throw new Failure(
          'audit-unavailable',
          `audit log ${directory}: the signing key ${signer.name} could not sign`,
        );
      },
    );
    const made = parseCheckpoint(text) as Checkpoint;
    storeCheckpoint(directory, made);
    saveState(statePath, head);
    if (made.size > (newest?.size ?? 0)) newest = made;
    return made;
  }

  try {
    await exclusively(() => {
      refresh();
      if (tail.tree.size === 0 || notes.length > 0) write([]);
    });
  } catch (error) {
    file.close();
    lock.close();
    throw error;
  }

  return {
    append,
    checkpoint,
    openIntents: (account) =>
      exclusively(() => {
        refresh();
        return [...tail.open.values()].filter((intent) => intent.account === account);
      }),
    source: openFileSource(directory),
    async close() {
      await appending;
      await last.catch(() => undefined);
      file.close();
      lock.close();
    },
  };
}

type Waiting = {
  readonly events: readonly LoggedEvent[];
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
};

/** As many of those who wait, in order, as one append may hold; always the first. */
function takeBatch(waiting: readonly Waiting[]): Waiting[] {
  let count = 0;
  return waiting.filter(({ events }, index) => {
    count += events.length;
    return index === 0 || count <= maxBatch;
  });
}

type Batch = {
  readonly month: string;
  readonly timeMs: number;
  readonly lines: readonly Buffer[];
  readonly bytes: Buffer;
  readonly sealedSize?: number;
};

/** The lines of one append, and the month whose file they go to: never one before that of the record before. */
function stampBatch(
  events: readonly LoggedEvent[],
  tail: Tail,
  nowMs: number,
  newestSize: number,
  frame: Frame,
  origin: string,
): Batch {
  const sealed = newestSize > tail.mentioned ? { sealedSize: newestSize } : {};
  const { timeMs, texts } = stampAll(
    events,
    { size: tail.tree.size, lastTimeMs: tail.lastTimeMs, nowMs, ...sealed },
    frame,
    origin,
  );
  const monthNow = isoDay(timeMs).slice(0, 7);
  const month = tail.month !== null && tail.month > monthNow ? tail.month : monthNow;
  const bytes = Buffer.from(`${texts.join('\n')}\n`);
  const lines: Buffer[] = [];
  for (let start = 0; start < bytes.length; ) {
    const end = bytes.indexOf(0x0a, start);
    lines.push(bytes.subarray(start, end));
    start = end + 1;
  }
  return { month, timeMs, lines, bytes, ...sealed };
}

/** The record as the second sink gets it: without a place in the log. */
function strayLine(event: LoggedEvent, timeMs: number, frame: Frame, origin: string): string {
  return formatRecord(
    event,
    { uid: uuidv7(timeMs), sequence: null, timeMs, origin, batchRemaining: 0 },
    frame,
  );
}

function sinkFailed(
  before: readonly LogEvent[],
  sink: string,
  failure: Failure,
  events: readonly LoggedEvent[],
): LogEvent {
  const earlier = before.find(({ code }) => code === 'sink.failed');
  const lost = events.filter(({ code }) => code !== 'rotation.intended').length;
  return {
    code: 'sink.failed',
    sink,
    detail: failure.message,
    lost: lost + (earlier?.code === 'sink.failed' ? earlier.lost : 0),
  };
}

/** Appends bytes to month files; keeps the newest one open. */
function createAppender(directory: string) {
  let opened: { month: string; fd: number } | null = null;

  function close(): void {
    if (opened) closeSync(opened.fd);
    opened = null;
  }

  return {
    close,
    /** Durable when it returns. When it throws, the file is as long as `position` again, if the disk allows that much. */
    append(month: string, bytes: Buffer, position: number): void {
      if (opened?.month !== month) {
        close();
        const path = join(directory, monthFile(month));
        opened = {
          month,
          fd: openSync(path, constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT, 0o640),
        };
      }
      const { fd } = opened;
      try {
        for (let written = 0; written < bytes.length; ) written += writeSync(fd, bytes, written);
        fdatasyncSync(fd);
        if (position === 0) syncFolder(directory);
      } catch (error) {
        try {
          ftruncateSync(fd, position);
          fdatasyncSync(fd);
        } catch {
          // The next reader under the lock cuts what is half written.
        }
        // After a failed fdatasync the kernel may forget the pages; the next try starts with a file of its own.
        close();
        throw error;
      }
    },
  };
}

function makeFolders(directory: string, writer: string): void {
  guarded(directory, () => {
    mkdirSync(writer, { recursive: true, mode: 0o750 });
    mkdirSync(join(directory, checkpointFolder), { recursive: true, mode: 0o750 });
  });
  syncFolder(directory);
  syncFolder(dirname(directory));
}

const newestSize = (directory: string): number => checkpointSizesIn(directory).at(-1) ?? 0;

function readCheckpoint(directory: string, size: number): Checkpoint | null {
  const path = join(directory, checkpointFolder, checkpointFile(size));
  return guarded(path, () => parseCheckpoint(readFileSync(path, 'utf8')));
}

function newestCheckpoint(directory: string, origin: string): Checkpoint | null {
  const size = checkpointSizesIn(directory).at(-1);
  if (size === undefined) return null;
  const checkpoint = readCheckpoint(directory, size);
  const path = join(directory, checkpointFolder, checkpointFile(size));
  if (checkpoint?.size !== size)
    throw new Failure('audit-unavailable', `audit log ${path}: not a checkpoint of that size`);
  if (checkpoint.origin !== origin)
    throw new Failure(
      'audit-unavailable',
      `audit log ${path}: belongs to the log "${checkpoint.origin}"`,
    );
  return checkpoint;
}

function rootAt(directory: string, size: number): Hash | null {
  try {
    return readCheckpoint(directory, size)?.root ?? null;
  } catch {
    return null;
  }
}

const discontinued = (directory: string, newest: Checkpoint | null): Failure =>
  new Failure(
    'audit-unavailable',
    `audit log ${directory}: does not continue its checkpoint at ${newest?.size} records; run: thingspace-rotator audit verify`,
  );

/** Writes the checkpoint under another name, then gives it its own: it is there whole, durably, or not at all. */
function storeCheckpoint(directory: string, { size, text }: Checkpoint): void {
  const folder = join(directory, checkpointFolder);
  const path = join(folder, checkpointFile(size));
  guarded(path, () => {
    const fd = openSync(`${path}.new`, 'w', 0o644);
    try {
      const bytes = Buffer.from(text, 'utf8');
      for (let written = 0; written < bytes.length; ) written += writeSync(fd, bytes, written);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    renameSync(`${path}.new`, path);
  });
  syncFolder(folder);
}
