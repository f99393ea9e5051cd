// The contract between the writer of the audit log (log.ts) and the storage of its records. Two
// backends implement it: month files (file-segments.ts) and immutable objects (object-segments.ts).
// MUST marks the duties of a backend; test/harness/audit-contract.ts runs the writer over each
// backend.
//
// A backend stores bytes and knows no record. Whatever it throws is a Failure `audit-unavailable`.

import { Failure } from '../rotation/failure.ts';
import type { AuditSource } from './reader.ts';

/** The lines of one append. */
export type Batch = {
  /** The records in the log before this append. */
  readonly size: number;
  /** UTC milliseconds of these records. */
  readonly timeMs: number;
  /** Complete lines, each ended by LF. */
  readonly bytes: Buffer;
};

/**
 * The end of the last append in a backend that needs more than the number of records to find it.
 */
export type SegmentPosition = {
  readonly month?: string | undefined;
  readonly position?: number | undefined;
};

/** An append whose end is missing, because the process that wrote it ended. */
export type IncompleteAppend = {
  readonly path: string;
  readonly bytes: number;
  /** Complete lines among these bytes. */
  readonly records: number;
  /** Removes these bytes. MUST be durable when it resolves. */
  readonly remove: () => Promise<void>;
};

export type StoredCheckpoint = {
  readonly name: string;
  readonly size: number;
  readonly text: string;
};

export interface AuditSegments {
  /** The folder, or `s3://bucket/prefix`; for messages. */
  readonly place: string;
  /** The value of `format` in the cache. */
  readonly cacheFormat: string;
  /**
   * Runs `work` while no other process appends, or leaves the exclusion to `append`. The caller
   * runs one `work` at a time. `mayHaveGrown` MUST be true when another process may have appended
   * since the previous call.
   */
  exclusively<T>(work: (mayHaveGrown: boolean) => Promise<T>): Promise<T>;
  /**
   * Calls `visit` with the lines of each append after the last one that was visited or written, in
   * order, without their LF. MUST find every append that was acknowledged before, by any process.
   * Stops at an incomplete append and returns it; `null` when there is none. Throws when the log is
   * shorter than before, or when complete records follow bytes that are no record.
   */
  readNew(
    size: number,
    visit: (lines: readonly Buffer[]) => void,
  ): Promise<IncompleteAppend | null>;
  /**
   * Appends all lines or none. `written` MUST mean that they are durable. `taken`: another process
   * appended first, and nothing changed. When it throws, `readNew` shows whether the lines are
   * stored.
   */
  append(batch: Batch): Promise<'written' | 'taken'>;
  /**
   * The newest checkpoint; `null` when there is none, or when no newer one was found since the
   * previous call. MAY miss one that another process stored meanwhile: a later record then mentions
   * a later checkpoint.
   */
  newestCheckpoint(): Promise<StoredCheckpoint | null>;
  /** The text of the checkpoint of that size; `null` when there is none. */
  readCheckpoint(size: number): Promise<string | null>;
  /**
   * Stores a checkpoint. MUST be durable when it resolves. Returns the text that is stored under
   * this size.
   */
  storeCheckpoint(size: number, text: string): Promise<string>;
  /**
   * Keeps a signature line of a witness with the stored checkpoint of that size; readers get it as
   * the last line of its text. Once more is no error.
   */
  addSignature(size: number, line: string): Promise<void>;
  /** The newest cache; `null` when there is none. Never throws for a missing cache. */
  readCache(): Promise<string | null>;
  /** Stores a cache for the checkpoint of that size. Best effort: never throws a Failure. */
  storeCache(size: number, text: string): Promise<void>;
  /** The position after the last append, for the cache. */
  position(): SegmentPosition;
  /** Continues after `position`. Returns false when it is not a position in this backend. */
  seek(position: SegmentPosition): boolean;
  /**
   * Shows that an append would be stored, without an append, where the storage allows that. Runs
   * outside of `exclusively`. Throws when it would not.
   */
  probe(): Promise<void>;
  /** The same log for readers. */
  readonly source: AuditSource;
  close(): Promise<void>;
}

const sizeDigits = 12;

/** A number as it is written in names, so that names sort by size. */
export const paddedSize = (size: number): string => String(size).padStart(sizeDigits, '0');
export const largestSize = 10 ** sizeDigits - 1;
export const checkpointFile = (size: number): string => `${paddedSize(size)}.checkpoint`;

/** The lines of `bytes` without their LF. Bytes after the last LF are left out. */
export function linesOf(bytes: Buffer): Buffer[] {
  const lines: Buffer[] = [];
  let start = 0;
  for (let end = bytes.indexOf(0x0a); end >= 0; end = bytes.indexOf(0x0a, start)) {
    lines.push(bytes.subarray(start, end));
    start = end + 1;
  }
  return lines;
}

/** The log at `place` is not the one that was written. */
export const damagedLog = (place: string, what: string): Failure =>
  new Failure('audit-unavailable', `audit log ${place}: ${what}`, {
    cause: 'log-damaged',
    path: place,
  });
