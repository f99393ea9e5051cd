// The journal of notifications: what was reported, delivered and acknowledged, one JSON object per
// line. The service and the commands append to the same file. Problems and messages that are not
// delivered survive a restart; without a file, and while the disk is full, they are in memory only.

import { appendFile, open, rename, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { within } from '../rotation/deadline.ts';
import { errnoOf, osErrorText } from '../rotation/failure.ts';
import type { Clock } from '../rotation/ports.ts';
import { syncFolder } from '../stores/durable-files.ts';
import {
  applyLine,
  emptyState,
  type Line,
  lineSchema,
  type NotificationState,
} from './notification.ts';

export type JournalOptions = {
  /** Undefined: memory only. */
  readonly file: string | undefined;
  readonly clock: Pick<Clock, 'sleep'>;
  /** Called when there is no file, and when it cannot be read or written, until it works again. */
  readonly onFailure: (detail: string) => void;
};

export type Journal = ReturnType<typeof openJournal>;

/** A file operation on a hung mount never ends. */
const timeoutMs = 5_000;
const compactFromBytes = 256 * 1024;
const maxUnwritten = 1_000;

export function openJournal({ file, clock, onFailure }: JournalOptions) {
  const state: NotificationState = emptyState();
  /** How far the file was read. */
  let read = { inode: 0, bytes: 0 };
  /** The last line of the file has no end: whoever wrote it was killed, or the disk was full. */
  let isTorn = false;
  let isFailing = false;
  /** An operation that hangs keeps a thread of the file system, so no other one begins. */
  let isHung = false;
  /** What could not be written is written with the next line. */
  let unwritten: Line[] = [];
  if (file === undefined) onFailure('there is no notify.stateFile');

  /** `null` when the operation failed or did not end. */
  async function onFile<Value>(work: (path: string) => Promise<Value>): Promise<Value | null> {
    if (file === undefined) return null;
    const fail = (detail: string): null => {
      if (!isFailing) onFailure(`${file}: ${detail}`);
      isFailing = true;
      return null;
    };
    if (isHung) return null;
    isHung = true;
    const working = work(file).finally(() => {
      isHung = false;
    });
    try {
      const value = await within(clock, timeoutMs, working);
      return value === 'late' ? fail('the disk does not answer') : value;
    } catch (error) {
      return fail(osErrorText(error));
    }
  }

  /** The lines that were appended since the last call, also by others, after they were applied. */
  async function catchUp(): Promise<readonly Line[]> {
    const found = await onFile((path) => readSince(path, read));
    if (!found) return [];
    const { inode, start, bytes } = found;
    const isNew = inode !== read.inode || start < read.bytes;
    read = { inode, bytes: start + bytes.length };
    if (bytes.length === 0) return [];
    if (isNew) Object.assign(state, emptyState());
    isTorn = bytes.at(-1) !== 0x0a;
    const lines = bytes.toString('utf8').split('\n').flatMap(parseLine);
    for (const line of [...lines, ...(isNew ? unwritten : [])]) applyLine(state, line);
    return lines;
  }

  /** Applies the line, and appends it. Whether it is on the disk. Never rejects. */
  async function append(line: Line): Promise<boolean> {
    applyLine(state, line);
    if (file === undefined) return false;
    unwritten = [...unwritten, line].slice(-maxUnwritten);
    const text = `${isTorn ? '\n' : ''}${textOf(unwritten)}`;
    isTorn = true;
    if ((await onFile((path) => appendFile(path, text, durable))) === null) return false;
    [unwritten, isTorn, isFailing] = [[], false, false];
    return true;
  }

  /** Leaves out what is over. Only the service does this, when it starts. */
  async function compact(): Promise<void> {
    if (read.bytes < compactFromBytes) return;
    const { problems, messages, digestAtMs, healthyAtMs } = state;
    const snapshot = { problems: [...problems.values()], digestAtMs, healthyAtMs };
    const lines: Line[] = [...messages.values()].map((message) => ({ message }));
    const text = textOf([...lines, { snapshot }]);
    await onFile((path) => replaceFile(path, text));
  }

  return { state, catchUp, append, compact };
}

const textOf = (lines: readonly Line[]): string =>
  lines.map((line) => `${JSON.stringify(line)}\n`).join('');

type Read = { readonly inode: number; readonly bytes: number };

/** What is in the file after what was read, or all of it when it is another file. */
async function readSince(path: string, { inode, bytes }: Read) {
  const handle = await open(path, 'r').catch((error: unknown) => {
    if (errnoOf(error) === 'ENOENT') return null;
    throw error;
  });
  if (!handle) return { inode, start: bytes, bytes: Buffer.alloc(0) };
  try {
    const { ino, size } = await handle.stat();
    const start = ino === inode && size >= bytes ? bytes : 0;
    const buffer = Buffer.alloc(size - start);
    await handle.read(buffer, 0, buffer.length, start);
    return { inode: ino, start, bytes: buffer };
  } finally {
    await handle.close();
  }
}

/** 0600, and on the disk when the write resolves. */
const durable = { mode: 0o600, flush: true } as const;

/** Durable when it resolves; the old file stays when it does not. */
async function replaceFile(path: string, text: string): Promise<void> {
  await writeFile(`${path}.new`, text, durable);
  await rename(`${path}.new`, path);
  await syncFolder(dirname(path));
}

/** The line in the text; none where a write was cut off, or another version wrote it. */
function parseLine(text: string): Line[] {
  if (text === '') return [];
  try {
    const parsed = lineSchema.safeParse(JSON.parse(text));
    return parsed.success ? [parsed.data] : [];
  } catch {
    return [];
  }
}
