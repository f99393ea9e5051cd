// The audit log in immutable objects, for a function without a disk: for the writer (segments.ts)
// and for readers. Each append is one object. Its name is its first sequence number, and it is put
// only where that name is free: two writers cannot both use a number, and the second one reads on
// and takes the next.
//
//   records/000000000042.jsonl             one append: complete lines, each ended by LF
//   checkpoints/000000000045.checkpoint    the signed head at 45 records
//   checkpoints/000000000045.checkpoint.0f3a…    the line of a witness that cosigned it
//   heads/999999999954.json                the cache for it: the newest is the first by name

import { hash } from 'node:crypto';
import { Failure } from '../rotation/failure.ts';
import { parseCheckpoint } from './checkpoint.ts';
import type { AuditSource, Segment } from './reader.ts';
import {
  type AuditSegments,
  checkpointFile,
  damagedLog,
  largestSize,
  linesOf,
  paddedSize,
  type StoredCheckpoint,
} from './segments.ts';

/**
 * A store of immutable objects. Each failure is an `audit-unavailable` that names place and
 * permission.
 */
export interface ObjectStore {
  /** For messages: `s3://bucket/prefix`. */
  readonly place: string;
  /**
   * Stores an object under a name that MUST NOT exist; `taken`, and nothing changes, when it does.
   * After a lost response a repetition says `taken` although the first call stored the object: the
   * caller compares. MUST be durable when it resolves.
   */
  put(name: string, bytes: Uint8Array): Promise<'written' | 'taken'>;
  /**
   * The bytes of the object; `null` when there is none. MUST see every put that has resolved, by
   * any process.
   */
  get(name: string): Promise<Buffer | null>;
  /** Names that begin with `prefix`, in byte order; at most `limit`. */
  list(prefix: string, limit?: number): Promise<readonly string[]>;
  close(): void;
}

const recordName = (sequence: number): string => `records/${paddedSize(sequence)}.jsonl`;
const checkpointName = (size: number): string => `checkpoints/${checkpointFile(size)}`;
/** Beside the checkpoint, which cannot be replaced. The name ends with a hash of the witness. */
const cosignatureName = (size: number, line: string): string => {
  const witness = hash('sha256', line.split(' ')[1] ?? '').slice(0, 16);
  return `${checkpointName(size)}.${witness}`;
};
const headName = (size: number): string => `heads/${paddedSize(largestSize - size)}.json`;
const sizeOfHead = (name: string): number =>
  largestSize - Number(/(\d+)\.json$/.exec(name)?.[1] ?? Number.NaN);

/** Contacts nothing yet. */
export function openObjectSegments(objects: ObjectStore): AuditSegments {
  const getText = async (name: string): Promise<string | null> =>
    (await objects.get(name))?.toString('utf8') ?? null;
  let isAsked = false;
  let head: Promise<string | null> = Promise.resolve(null);

  return {
    place: objects.place,
    cacheFormat: 'thingspace-rotator/audit-head/2',
    // Between processes the names decide.
    exclusively: (work) => work(false),
    async readNew(size, visit) {
      for (let next = size; ; ) {
        const name = recordName(next);
        const bytes = await objects.get(name);
        if (bytes === null) return null;
        const lines = linesOf(bytes);
        if (lines.length === 0 || bytes.at(-1) !== 0x0a)
          throw damagedLog(`${objects.place}${name}`, 'the object is damaged');
        visit(lines);
        next += lines.length;
      }
    },
    async append({ size, bytes }) {
      const name = recordName(size);
      if ((await objects.put(name, bytes)) === 'written') return 'written';
      return (await objects.get(name))?.equals(bytes) ? 'written' : 'taken';
    },
    /**
     * Asks once: a list request for each append would cost more than a checkpoint that is found
     * later.
     */
    async newestCheckpoint(): Promise<StoredCheckpoint | null> {
      if (isAsked) return null;
      const [newest] = await objects.list('heads/', 1);
      if (newest === undefined) {
        isAsked = true;
        return null;
      }
      head = getText(newest);
      // The caller of `readCache` gets the error.
      head.catch(() => undefined);
      const size = sizeOfHead(newest);
      const name = checkpointName(size);
      const text = await getText(name);
      isAsked = true;
      // An object under Object Lock cannot be replaced: a damaged checkpoint must not stop the
      // writer.
      return text === null || parseCheckpoint(text) === null ? null : { name, size, text };
    },
    readCheckpoint: (size) => getText(checkpointName(size)),
    async storeCheckpoint(size, text) {
      const answer = await objects.put(checkpointName(size), Buffer.from(text, 'utf8'));
      return answer === 'written' ? text : ((await getText(checkpointName(size))) ?? '');
    },
    async addSignature(size, line) {
      await objects.put(cosignatureName(size, line), Buffer.from(line, 'utf8'));
    },
    readCache: () => head,
    async storeCache(size, text) {
      try {
        await objects.put(headName(size), Buffer.from(text, 'utf8'));
      } catch (error) {
        // Without it the next cold start begins at the head before.
        if (!(error instanceof Failure)) throw error;
      }
    },
    position: () => ({}),
    seek: () => true,
    // A test object under Object Lock would stay. The newest append is the evidence.
    probe: async () => {},
    source: openObjectSource(objects),
    close: async () => objects.close(),
  };
}

/** How many objects a reader requests at the same time. */
const readAhead = 16;

/** The log for readers. Writes nothing. */
export function openObjectSource(objects: ObjectStore): AuditSource {
  return {
    async segments() {
      const names = await objects.list('records/');
      const requested = new Map<string, Promise<Buffer | null>>();
      const request = (name: string): Promise<Buffer | null> => {
        const bytes = requested.get(name) ?? objects.get(name);
        requested.set(name, bytes);
        // Reported where it is awaited.
        bytes.catch(() => undefined);
        return bytes;
      };
      return names.map(
        (name, index): Segment => ({
          name,
          async open() {
            for (const next of names.slice(index, index + readAhead)) void request(next);
            const bytes = await request(name);
            requested.delete(name);
            if (bytes === null)
              throw damagedLog(`${objects.place}${name}`, 'the object is missing');
            return {
              read: (into, at, position) =>
                bytes.copy(into, at, position, Math.min(bytes.length, position + into.length - at)),
              close: () => {},
            };
          },
        }),
      );
    },
    // Object Lock keeps objects, and `audit archive` is for files.
    frontier: async () => null,
    async checkpoints() {
      const names = await objects.list('checkpoints/');
      const texts = await Promise.all(
        names.map(async (name) => (await objects.get(name))?.toString('utf8') ?? ''),
      );
      const notes: { name: string; text: string }[] = [];
      // The name of a cosignature begins with that of its checkpoint, and follows it.
      for (const [index, name] of names.entries()) {
        const text = texts[index] ?? '';
        const note = notes.at(-1);
        if (note !== undefined && name.startsWith(`${note.name}.`)) note.text += text;
        else notes.push({ name, text });
      }
      return notes.map(({ name, text }) => ({ name, read: async () => text }));
    },
  };
}
