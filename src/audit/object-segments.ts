// The audit log in immutable objects, for a function without a disk. Each append is one object, named by its first sequence
// number and put only where that name is free: two writers cannot both claim a number, and the loser reads on and tries the
// next. Appends that meet are put together. Must never lose a record it acknowledged, nor overwrite one.
//
//   records/000000000042.jsonl            whole lines, each ended by LF; the next object's name is this number plus its lines
//   checkpoints/000000000045.checkpoint   the signed head at 45 records
//   heads/999999999954.json               a cache beside it: what a cold start needs, the newest one first by name; believed
//                                         only where its root is the one that is signed

import type { OpenIntent } from '../rotation/event.ts';
import { Failure } from '../rotation/failure.ts';
import type { Clock } from '../rotation/ports.ts';
import {
  type Checkpoint,
  checkNote,
  parseCheckpoint,
  parseVerifierKey,
  type Signer,
  signCheckpoint,
} from './checkpoint.ts';
import type { FileAuditLog } from './log.ts';
import { base64Of, hashOf, leafHash, Tree } from './merkle.ts';
import type { ObjectStore } from './objects.ts';
import type { AuditSource, Segment } from './reader.ts';
import { type AuditContext, formatRecord, frameOf, stampAll, uuidv7 } from './record.ts';
import { viewLine } from './record-view.ts';
import type { LogEvent, LoggedEvent } from './schema.ts';

export type ObjectLogOptions = {
  readonly objects: ObjectStore;
  /** Signs checkpoints; its name should be the origin. */
  readonly signer: Signer;
  readonly clock: Clock;
  /** What this log is called, for ever. */
  readonly origin: string;
  readonly context: AuditContext;
  /** Gets the line of every record that could not be written, unless it is an intent, after which nothing happens. Must not throw. */
  readonly secondSink?: (line: string) => void;
};

/** As on one machine (log.ts), so that whoever reads or appends need not know where the log is. */
export type ObjectAuditLog = FileAuditLog;

const digits = 12;
const last = 10 ** digits - 1;
const numbered = (size: number): string => String(size).padStart(digits, '0');
const recordName = (sequence: number): string => `records/${numbered(sequence)}.jsonl`;
const checkpointName = (size: number): string => `checkpoints/${numbered(size)}.checkpoint`;
const headName = (size: number): string => `heads/${numbered(last - size)}.json`;
const sizeOfHead = (name: string): number =>
  last - Number(/(\d+)\.json$/.exec(name)?.[1] ?? Number.NaN);

/** How often others may take the number we were about to; each time one of them has gone on, so nobody starves for long. */
const collisionLimit = 200;

/** How many records one object may hold, so that it stays readable at one go. */
const maxBatch = 1_000;

/** The end of the log as a writer knows it. */
type Tail = {
  tree: Tree;
  lastTimeMs: number;
  /** The largest checkpoint size that a record mentions. */
  mentioned: number;
  /** Intents without an outcome, by rotationId. */
  open: Map<string, OpenIntent>;
};

const emptyTail = (): Tail => ({ tree: new Tree(), lastTimeMs: 0, mentioned: 0, open: new Map() });

/** Takes the next record's line into account; whether it is one. */
function absorb(tail: Tail, line: Buffer): boolean {
  const view = viewLine(line);
  if (view === null || view.sequence !== tail.tree.size) return false;
  const { code, rotationId, account, timeMs, more } = view;
  if (rotationId !== undefined) {
    if (code === 'rotation.intended' && account !== undefined)
      tail.open.set(rotationId, { rotationId, account, intendedAtMs: timeMs });
    if (code === 'rotation.outcome' || code === 'rotation.reconciled') tail.open.delete(rotationId);
  }
  const sealed = more['sealed_size'];
  if (typeof sealed === 'number') tail.mentioned = Math.max(tail.mentioned, sealed);
  tail.tree.append(leafHash(line));
  tail.lastTimeMs = Math.max(tail.lastTimeMs, timeMs);
  return true;
}

/** Opens the log, whose first record is written when it is empty. Throws `audit-unavailable`. */
export async function openObjectLog(options: ObjectLogOptions): Promise<ObjectAuditLog> {
  const { objects, signer, clock, origin, context, secondSink } = options;
  const frame = frameOf(context);
  const started = await newestHead(objects, signer, origin);
  const tail = started?.tail ?? emptyTail();
  let sealedSize = started?.tail.tree.size ?? 0;
  let notes: LogEvent[] = [];
  let turn: Promise<unknown> = Promise.resolve();

  /** One after the other in this process; between processes the names decide. */
  function exclusively<T>(work: () => Promise<T>): Promise<T> {
    const mine = turn.then(work, work);
    turn = mine;
    return mine;
  }

  /** Reads what others have appended. */
  async function follow(): Promise<void> {
    for (;;) {
      const bytes = await objects.get(recordName(tail.tree.size));
      if (bytes === null) return;
      absorbObject(bytes);
    }
  }

  function absorbObject(bytes: Buffer): void {
    const name = recordName(tail.tree.size);
    const lines = linesOf(bytes);
    if (lines.length === 0 || !lines.every((line) => absorb(tail, line)))
      throw new Failure(
        'audit-unavailable',
        `audit log ${objects.place}${name}: damaged; run: thingspace-rotator audit verify`,
      );
  }

  function linesFor(events: readonly LoggedEvent[]): Buffer {
    const sealed = sealedSize > tail.mentioned ? { sealedSize } : {};
    const at = {
      size: tail.tree.size,
      lastTimeMs: tail.lastTimeMs,
      nowMs: clock.nowMs(),
      ...sealed,
    };
    const { texts } = stampAll(events, at, frame, origin);
    return Buffer.from(texts.map((line) => `${line}\n`).join(''), 'utf8');
  }

  async function write(events: readonly LoggedEvent[]): Promise<void> {
    // Without looking first: the name itself says whether somebody was faster, and one round trip is saved before a reset.
    for (let collisions = 0; collisions < collisionLimit; collisions += 1) {
      const genesis: LogEvent[] =
        tail.tree.size === 0 ? [{ code: 'log.genesis', verifierKey: signer.verifierKey }] : [];
      const all = [...genesis, ...notes, ...events];
      // Somebody else has written the first record meanwhile, which was all we came for.
      if (all.length === 0) return;
      const bytes = linesFor(all);
      const name = recordName(tail.tree.size);
      const isOurs =
        (await objects.put(name, bytes)) === 'written' || (await objects.get(name))?.equals(bytes);
      if (isOurs) {
        absorbObject(bytes);
        notes = [];
        return;
      }
      await follow();
    }
    throw new Failure(
      'audit-unavailable',
      `audit log ${objects.place}: ${collisionLimit} writers were faster`,
    );
  }

  type Waiting = {
    readonly events: readonly LoggedEvent[];
    readonly done: () => void;
    readonly failed: (error: unknown) => void;
  };
  const waiting: Waiting[] = [];

  /** Writes everything that waits, as one object. */
  async function flush(): Promise<void> {
    const batch: Waiting[] = [];
    for (
      let count = 0;
      waiting[0] && (batch.length === 0 || count + waiting[0].events.length <= maxBatch);
    ) {
      const next = waiting.shift() as Waiting;
      count += next.events.length;
      batch.push(next);
    }
    if (batch.length === 0) return;
    const events = batch.flatMap((one) => one.events);
    try {
      await write(events);
      for (const { done } of batch) done();
    } catch (error) {
      if (error instanceof Failure) giveToSecondSink(events, error);
      for (const { failed } of batch) failed(error);
    }
  }

  function giveToSecondSink(events: readonly LoggedEvent[], failure: Failure): void {
    const before = notes.find((note) => note.code === 'sink.failed');
    const stray = events.filter(({ code }) => code !== 'rotation.intended');
    const lost = stray.length + (before?.code === 'sink.failed' ? before.lost : 0);
    notes = [{ code: 'sink.failed', sink: objects.place, detail: failure.message, lost }];
    const timeMs = clock.nowMs();
    for (const event of stray)
      secondSink?.(
        formatRecord(
          event,
          { uid: uuidv7(timeMs), sequence: null, timeMs, origin, batchRemaining: 0 },
          frame,
        ),
      );
  }

  async function append(events: readonly LoggedEvent[]): Promise<void> {
    if (events.length === 0) return;
    if (events.length > maxBatch)
      throw new Error(`bug: ${events.length} audit events in one append`);
    await new Promise<void>((done, failed) => {
      waiting.push({ events, done, failed });
      void exclusively(flush);
    });
  }

  async function checkpoint(): Promise<Checkpoint> {
    const head = await exclusively(async () => {
      await follow();
      if (tail.tree.size === 0 || tail.tree.size <= sealedSize)
        await write([{ code: 'log.heartbeat' }]);
      return { ...tail, tree: tail.tree.copy(), open: new Map(tail.open) };
    });
    const { size } = head.tree;
    const text = await signCheckpoint(origin, size, head.tree.root(), [signer]).catch((error) => {
      if (error instanceof Failure) throw error;
      throw new Failure(
        'audit-unavailable',
        `audit log ${objects.place}: the signing key ${signer.name} could not sign`,
      );
    });
    const made = parseCheckpoint(text) as Checkpoint;
    if ((await objects.put(checkpointName(size), Buffer.from(text, 'utf8'))) === 'taken') {
      const there = parseCheckpoint(
        (await objects.get(checkpointName(size)))?.toString('utf8') ?? '',
      );
      if (there?.root !== made.root)
        throw new Failure(
          'audit-unavailable',
          `audit log ${objects.place}: does not continue its checkpoint at ${size} records; run: thingspace-rotator audit verify`,
        );
    }
    await saveHead(objects, head);
    sealedSize = Math.max(sealedSize, size);
    return made;
  }

  await exclusively(async () => {
    await follow();
    if (tail.tree.size === 0) await write([]);
  });

  return {
    append,
    checkpoint,
    openIntents: (account) =>
      exclusively(async () => {
        await follow();
        return [...tail.open.values()].filter((intent) => intent.account === account);
      }),
    source: openObjectSource(objects),
    async close() {
      await turn.catch(() => undefined);
      objects.close();
    },
  };
}

/** The lines of an object, without their LF; none when the last one has no LF, which no writer of ours leaves. */
function linesOf(bytes: Buffer): Buffer[] {
  const lines: Buffer[] = [];
  let start = 0;
  for (let end = bytes.indexOf(0x0a); end >= 0; end = bytes.indexOf(0x0a, start)) {
    lines.push(bytes.subarray(start, end));
    start = end + 1;
  }
  return start === bytes.length ? lines : [];
}

const headFormat = 'thingspace-rotator/audit-head/1';

/** Best effort: without it the next cold start begins at the head before, or at the log's beginning. */
async function saveHead(
  objects: ObjectStore,
  { tree, lastTimeMs, mentioned, open }: Tail,
): Promise<void> {
  const head = {
    format: headFormat,
    size: tree.size,
    frontier: tree.frontier.map(base64Of),
    lastTimeMs,
    mentioned,
    open: [...open.values()],
  };
  try {
    await objects.put(headName(tree.size), Buffer.from(JSON.stringify(head), 'utf8'));
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
  }
}

/** Where the log was when it was last signed; `null` where nothing can be believed, and the whole log is read. */
async function newestHead(
  objects: ObjectStore,
  signer: Signer,
  origin: string,
): Promise<{ readonly tail: Tail } | null> {
  const [name] = await objects.list('heads/', 1);
  if (name === undefined) return null;
  const [head, note] = await Promise.all([
    objects.get(name),
    objects.get(checkpointName(sizeOfHead(name))),
  ]);
  const checkpoint = note && parseCheckpoint(note.toString('utf8'));
  if (!checkpoint) return null;
  if (checkpoint.origin !== origin)
    throw new Failure(
      'audit-unavailable',
      `audit log ${objects.place}: belongs to the log "${checkpoint.origin}"`,
    );
  // After a change of keys the newest one is signed by the old key: the log is then read from its beginning, once.
  if (checkNote(checkpoint.note, [parseVerifierKey(signer.verifierKey)]) !== 'good') return null;
  const tail = head && tailOf(head.toString('utf8'));
  return tail && tail.tree.size === checkpoint.size && tail.tree.root() === checkpoint.root
    ? { tail }
    : null;
}

function tailOf(text: string): Tail | null {
  try {
    const state = JSON.parse(text);
    if (state.format !== headFormat) return null;
    const tree = new Tree(
      state.size,
      state.frontier.map((hash: string) => hashOf(hash) ?? ''),
    );
    const open = new Map<string, OpenIntent>(
      state.open.map((intent: OpenIntent) => [intent.rotationId, intent]),
    );
    return { ...emptyTail(), tree, lastTimeMs: state.lastTimeMs, mentioned: state.mentioned, open };
  } catch {
    return null;
  }
}

/** How many objects a reader has on the way at a time. */
const readAhead = 16;

/** The log for readers; writes nothing. */
export function openObjectSource(objects: ObjectStore): AuditSource {
  return {
    async segments() {
      const names = await objects.list('records/');
      const ahead = new Map<string, Promise<Buffer | null>>();
      const fetch = (name: string): Promise<Buffer | null> => {
        const fetched = ahead.get(name) ?? objects.get(name);
        ahead.set(name, fetched);
        // Told where it is awaited.
        fetched.catch(() => undefined);
        return fetched;
      };
      return names.map(
        (name, index): Segment => ({
          name,
          async open() {
            for (const next of names.slice(index, index + readAhead)) void fetch(next);
            const bytes = await fetch(name);
            ahead.delete(name);
            if (bytes === null)
              throw new Failure('audit-unavailable', `audit log ${objects.place}${name}: is gone`);
            return {
              read: (into, at, position) =>
                bytes.copy(into, at, position, Math.min(bytes.length, position + into.length - at)),
              close: () => {},
            };
          },
        }),
      );
    },
    async checkpoints() {
      const names = await objects.list('checkpoints/');
      return Promise.all(
        names.map(async (name) => ({
          name,
          text: (await objects.get(name))?.toString('utf8') ?? '',
        })),
      );
    },
  };
}
