// The end of the log as a writer knows it: size, frontier, open intents. It follows the files by reading what came since, whoever
// wrote it, and cuts what a crash left half written. Everything here is synchronous: it runs under the lock between processes.

import {
  closeSync,
  fsyncSync,
  ftruncateSync,
  openSync,
  readFileSync,
  readSync,
  renameSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import type { OpenIntent } from '../rotation/event.ts';
import { Failure } from '../rotation/failure.ts';
import { guarded, monthFile, monthsIn } from './file-segments.ts';
import { base64Of, type Hash, hashOf, leafHash, Tree } from './merkle.ts';
import { parseLine, viewLine, viewOf } from './record-view.ts';

/** What is known of the log up to `position` of the month file `month`. */
export type Tail = {
  tree: Tree;
  month: string | null;
  position: number;
  lastTimeMs: number;
  /** The largest checkpoint size that a record mentions. */
  mentioned: number;
  /** By rotationId. */
  open: Map<string, OpenIntent>;
};

export const emptyTail = (): Tail => ({
  tree: new Tree(),
  month: null,
  position: 0,
  lastTimeMs: 0,
  mentioned: 0,
  open: new Map(),
});

const copyOf = (tail: Tail): Tail => ({
  ...tail,
  tree: tail.tree.copy(),
  open: new Map(tail.open),
});

const marks = {
  rotation: Buffer.from('"event_code":"rotation.'),
  sealed: Buffer.from('"sealed_size":'),
  batch: Buffer.from('"batch_remaining":'),
};

/** What the tail remembers of a record. */
type Noted = {
  readonly code: string;
  readonly rotationId?: string | undefined;
  readonly account?: string | undefined;
  readonly timeMs: number;
};

/** Takes the next record's line into account, its meaning being known. */
export function absorbKnown(
  tail: Tail,
  line: Buffer,
  { code, rotationId, account, timeMs }: Noted,
): void {
  if (rotationId !== undefined) {
    if (code === 'rotation.intended' && account !== undefined)
      tail.open.set(rotationId, { rotationId, account, intendedAtMs: timeMs });
    if (code === 'rotation.outcome' || code === 'rotation.reconciled') tail.open.delete(rotationId);
  }
  tail.tree.append(leafHash(line));
  tail.position += line.length + 1;
}

/** Takes one stored line into account. */
function absorb(tail: Tail, line: Buffer): void {
  const isTelling = line.includes(marks.rotation) || line.includes(marks.sealed);
  const view = isTelling ? viewLine(line) : null;
  const sealed = view?.more['sealed_size'];
  if (typeof sealed === 'number') tail.mentioned = Math.max(tail.mentioned, sealed);
  absorbKnown(tail, line, view ?? { code: '', timeMs: 0 });
}

/** What `follow` found beside whole records. */
export type Followed = { readonly cutBytes: number; readonly cutRecords: number };

/**
 * Reads everything since `tail`, over months; `at(tail)` is called when the tree has reached `watchSize`. A half-written tail (no LF,
 * no record, or an append of several records of which the last are missing) is cut from the file, down to what is whole.
 * Throws `audit-unavailable` when the log is shorter than it was, or holds a line that is no record before others that are.
 */
export function follow(
  directory: string,
  tail: Tail,
  watchSize: number,
  at: (tail: Tail) => void,
): Followed {
  if (tail.tree.size === watchSize) at(tail);
  let [cutBytes, cutRecords] = [0, 0];
  const months = monthsIn(directory);
  if (tail.month !== null && !months.includes(tail.month)) throw gone(directory, tail.month);
  for (const month of months) {
    if (tail.month !== null && month < tail.month) continue;
    const path = join(directory, monthFile(month));
    const size = guarded(path, () => statSync(path).size);
    if (month === tail.month && size === tail.position) continue;
    if (month === tail.month && size < tail.position) throw gone(directory, month);
    if (month !== tail.month) Object.assign(tail, { month, position: 0 });
    const cut = followFile(path, tail, watchSize, at);
    cutBytes += cut.cutBytes;
    cutRecords += cut.cutRecords;
  }
  return { cutBytes, cutRecords };
}

const gone = (directory: string, month: string): Failure =>
  new Failure(
    'audit-unavailable',
    `audit log ${join(directory, monthFile(month))}: shorter than it was; run: thingspace-rotator audit verify`,
  );

function followFile(
  path: string,
  tail: Tail,
  watchSize: number,
  at: (tail: Tail) => void,
): Followed {
  const beganAt = { position: tail.position, size: tail.tree.size };
  let whole: Tail | null = null; // the state before an append of several records, while its last has not been seen
  let last: Buffer | null = null;
  let bad: { position: number; size: number } | null = null;
  const size = eachStoredLine(path, tail.position, (line) => {
    if (bad === null && line[0] !== 0x7b) bad = { position: tail.position, size: tail.tree.size };
    if (bad !== null) {
      if (viewLine(line) !== null) throw damaged(path, bad.size);
      return;
    }
    const isPart = line.includes(marks.batch);
    if (isPart && whole === null) whole = copyOf(tail);
    absorb(tail, line);
    if (!isPart) whole = null;
    last = line;
    if (tail.tree.size === watchSize) at(tail);
  });
  if (last !== null) {
    const view = lastView(last, path, tail.tree.size);
    tail.lastTimeMs = Math.max(tail.lastTimeMs, view.timeMs);
  }
  let cutRecords = 0;
  if (whole !== null) {
    const before: Tail = whole;
    cutRecords = tail.tree.size - before.tree.size;
    Object.assign(tail, before, { lastTimeMs: tail.lastTimeMs });
  }
  if (tail.position < beganAt.position) throw damaged(path, beganAt.size);
  const cutBytes = size - tail.position;
  if (cutBytes > 0) {
    if (tail.tree.size < watchSize) throw damaged(path, tail.tree.size);
    cut(path, tail.position);
  }
  return { cutBytes, cutRecords };
}

const damaged = (path: string, sequence: number): Failure =>
  new Failure(
    'audit-unavailable',
    `audit log ${path}: damaged at record ${sequence}; run: thingspace-rotator audit verify`,
  );

function lastView(line: Buffer, path: string, size: number): { timeMs: number } {
  const record = parseLine(line);
  const view = record && viewOf(record);
  // A reader that lost count must not write on.
  if (!view || view.sequence !== size - 1) throw damaged(path, size - 1);
  return view;
}

/** Shortens the file to `length`, durably. */
function cut(path: string, length: number): void {
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

/** Calls `visit` with each whole line from `position` on; the file's size, which is more than the lines' when its end is half written. */
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

const format = 'thingspace-rotator/audit-state/1';

/** Writes the cache beside the log. Best effort: without it the next start reads the log from its beginning. */
export function saveState(path: string, tail: Tail): void {
  const state = {
    format,
    size: tail.tree.size,
    frontier: tail.tree.frontier.map(base64Of),
    month: tail.month,
    position: tail.position,
    lastTimeMs: tail.lastTimeMs,
    mentioned: tail.mentioned,
    open: [...tail.open.values()],
  };
  try {
    writeFileSync(`${path}.new`, JSON.stringify(state), { mode: 0o640 });
    renameSync(`${path}.new`, path);
  } catch {
    // A missing cache costs a scan, nothing else.
  }
}

/** The cached tail, if its root is the one that `rootAt(size)` has from a checkpoint; else `null`. Never throws. */
export function loadState(path: string, rootAt: (size: number) => Hash | null): Tail | null {
  try {
    const state = JSON.parse(readFileSync(path, 'utf8'));
    if (
      state.format !== format ||
      typeof state.month !== 'string' ||
      !Number.isSafeInteger(state.position)
    )
      return null;
    const tree = new Tree(
      state.size,
      state.frontier.map((text: string) => hashOf(text) ?? ''),
    );
    if (tree.root() !== rootAt(tree.size)) return null;
    const open = new Map<string, OpenIntent>(
      state.open.map((intent: OpenIntent) => [intent.rotationId, intent]),
    );
    return {
      tree,
      month: state.month,
      position: state.position,
      lastTimeMs: state.lastTimeMs,
      mentioned: state.mentioned,
      open,
    };
  } catch {
    return null;
  }
}
