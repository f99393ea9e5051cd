// The writer of the audit log, over either storage (segments.ts): it stamps records, chains them in
// the Merkle tree, signs checkpoints, and knows the open intents.
//
// 1. An append is durable when it resolves, or it throws `audit-unavailable`.
// 2. The records of one append are all in the log or none is.
// 3. No checkpoint is signed that does not continue the one before.
// 4. A record that the audit storage did not take goes to the fallback, except an intent: no reset
// follows it.

import type { LastRotation, OpenIntent } from '../rotation/event.ts';
import { Failure } from '../rotation/failure.ts';
import type { AuditLog, Clock } from '../rotation/ports.ts';
import {
  type Checkpoint,
  newestCheckpoint,
  parseCheckpoint,
  type Signer,
  signCheckpoint,
} from './checkpoint.ts';
import { type CosigningEvent, createCosigning, type WitnessClient } from './cosigning.ts';
import { createFollower, type LogEnd, type LogFollower, readLogEnd } from './log-end.ts';
import { consistencyOf } from './proof.ts';
import type { AuditSource } from './reader.ts';
import { type AuditContext, formatRecord, stampAll, uuidv7 } from './record.ts';
import type { RequestedRun } from './requested-runs.ts';
import type { LogEvent, LoggedEvent } from './schema.ts';
import { type AuditSegments, type Batch, linesOf } from './segments.ts';

export type AuditLogOptions = {
  readonly segments: AuditSegments;
  /** Signs checkpoints; its name should be the origin. */
  readonly signer: Signer;
  readonly clock: Clock;
  /**
   * The name of this log, which never changes: first line of every checkpoint, `log_name` of every
   * record.
   */
  readonly origin: string;
  readonly context: AuditContext;
  /** Reads the last checkpoint of the log that this one follows; for the first record. */
  readonly predecessor?: (() => Promise<Checkpoint>) | undefined;
  /** Cosign the checkpoints. A witness that fails delays nothing. */
  readonly witnesses?: readonly WitnessClient[] | undefined;
  readonly onCosigning?: ((event: CosigningEvent) => void) | undefined;
  /** Receives each record that the audit storage did not take, as one line. Must not throw. */
  readonly fallback?: ((line: string) => void) | undefined;
};

export interface AuditWriter extends AuditLog {
  /**
   * Appends in order, all or none; durable when it resolves. Throws `audit-unavailable`, naming the
   * storage. The records have then gone to the fallback (4 above), and the next append that
   * succeeds adds `sink.failed`.
   */
  append(events: readonly LoggedEvent[]): Promise<void>;
  /**
   * The newest rotation of each account with this ThingSpace user, by account, as far as the log
   * has been read: another process may have made them.
   */
  rotationsOfUser(username: string): ReadonlyMap<string, LastRotation>;
  /**
   * Shows that records can be written: tries it where the storage allows that, and throws
   * `audit-unavailable` when that or the newest append failed. Resolves with the time of the newest
   * record.
   */
  probe(): Promise<number>;
  /**
   * The rotations of all accounts that have no outcome yet, or an unknown one. Throws
   * `audit-unavailable`.
   */
  unfinished(): Promise<readonly OpenIntent[]>;
  /**
   * The runs of the last seven days that somebody requested for one account, as far as the log has
   * been read.
   */
  requestedRuns(): ReadonlyMap<string, RequestedRun>;
  /** What the newest `inventory.summary` carries (facts.ts), as far as the log has been read. */
  factsHash(): string | undefined;
  /** The accounts that only native rotation has added, as far as the log has been read. */
  nativeAccounts(): ReadonlySet<string>;
  /**
   * Signs the log as it is, durably. Appends `log.heartbeat` first when nothing was appended since
   * the previous checkpoint. Throws `audit-unavailable`.
   */
  checkpoint(): Promise<Checkpoint>;
  /** The same log for readers. */
  readonly source: AuditSource;
  /** Resolves when no checkpoint is on its way to a witness; within a bounded time. */
  witnessed(): Promise<void>;
  /** Closes the storage after the appends that are in progress. */
  close(): Promise<void>;
}

/** The most records in one append; a caller that passes more has a bug. */
const maxBatch = 1_000;

/**
 * How often other writers may use the number that this one tried to use. Each time, one of them
 * made progress.
 */
const collisionLimit = 200;

/**
 * Opens the log, and begins it when it is empty. Takes over `segments`: closes it in `close`, and
 * when this throws. Throws `audit-unavailable` when the log cannot be written, belongs to another
 * origin, or does not continue its newest checkpoint.
 */
export async function openAuditLog(options: AuditLogOptions): Promise<AuditWriter> {
  const { segments, clock } = options;
  const follower = createFollower(segments, options.signer, options.origin);
  const writer = createWriter(options, follower);
  const sequence = createSequence(segments, writer.expectChanges);
  const queue = createQueue(sequence.run, writer.write, writer.reportLost, () =>
    // Rotations that run side by side append at the same moment, and share one write.
    follower.end.open.size > 1 ? clock.sleep(0) : Promise.resolve(),
  );
  const cosigning = openCosigning(options, follower, sequence.run);
  try {
    await sequence.run(async () => {
      await follower.start();
      await writer.begin(cosigning.begin);
    });
  } catch (error) {
    await segments.close();
    throw error;
  }
  return {
    append: queue.append,
    async checkpoint() {
      const snapshot = await sequence.run(writer.snapshotForCheckpoint);
      const checkpoint = await sign(options, snapshot.tree.size, snapshot.tree.root());
      await follower.store(snapshot, checkpoint);
      cosigning.submit(checkpoint);
      return checkpoint;
    },
    witnessed: cosigning.idle,
    rotationsOf: (account) =>
      sequence.run(async () => {
        await writer.follow();
        return rotationsIn(follower.end, account);
      }),
    unfinished: () =>
      sequence.run(async () => {
        await writer.follow();
        return unfinishedIn(follower.end);
      }),
    rotationsOfUser: (username) => {
      const found = new Map<string, LastRotation>();
      for (const [account, last] of follower.end.rotated)
        if (last.username === username) found.set(account, last);
      return found;
    },
    requestedRuns: () => follower.end.requested,
    factsHash: () => follower.end.factsHash,
    nativeAccounts: () => follower.end.native,
    async probe() {
      await segments.probe();
      return sequence.run(async () => {
        await writer.follow();
        const failure = writer.lastFailure();
        if (failure) throw failure;
        return follower.end.lastTimeMs;
      });
    },
    source: segments.source,
    async close() {
      await queue.idle();
      await cosigning.idle();
      await sequence.idle();
      await segments.close();
    },
  };
}

/**
 * The log for those who only read it: without a lock and a key. Reads the complete log when it is
 * first asked for rotations. `append` and `checkpoint` throw `audit-unavailable`.
 */
export function openAuditReader(source: AuditSource): AuditWriter {
  let end: Promise<LogEnd> | undefined;
  const refuse = async (): Promise<never> => {
    throw new Failure('audit-unavailable', 'the audit log is open for reading only');
  };
  return {
    append: refuse,
    checkpoint: refuse,
    rotationsOf: async (account) => {
      end ??= readLogEnd(source);
      return rotationsIn(await end, account);
    },
    unfinished: async () => {
      end ??= readLogEnd(source);
      return unfinishedIn(await end);
    },
    rotationsOfUser: () => new Map(),
    requestedRuns: () => new Map(),
    factsHash: () => undefined,
    nativeAccounts: () => new Set(),
    probe: refuse,
    source,
    witnessed: async () => {},
    close: async () => {},
  };
}

/** What the log knows of an account. */
function rotationsIn({ open, rotated, stored, suspended }: LogEnd, account: string) {
  return {
    open: [...open.values()].filter((intent) => intent.account === account),
    last: rotated.get(account) ?? null,
    stored: stored.get(account) ?? null,
    suspension: suspended.get(account) ?? null,
  };
}

const unfinishedIn = ({ open, unresolved }: LogEnd): OpenIntent[] => [
  ...open.values(),
  ...unresolved.values(),
];

/** Sends the checkpoints of this process to the witnesses. */
function openCosigning(
  { segments, witnesses = [], onCosigning = () => {}, clock }: AuditLogOptions,
  follower: LogFollower,
  run: (work: () => Promise<void>) => Promise<void>,
) {
  const { source } = segments;
  const cosigning = createCosigning({
    witnesses,
    proveFrom: async (older, { size }) =>
      follower.consistency(older, size) ?? consistencyOf(source, older, size, () => clock.sleep(0)),
    store: (size, line) => run(() => segments.addSignature(size, line)),
    newestSize: async () => (await newestCheckpoint(source))?.size ?? 0,
    report: onCosigning,
  });
  return {
    ...cosigning,
    /** What was signed before is known; what is appended from now on is kept for the proofs. */
    begin(): void {
      const newest = follower.newest();
      if (newest) cosigning.begin(newest);
      if (witnesses.length > 0) follower.keepLeaves();
    },
  };
}

async function sign(
  { segments, signer, origin }: AuditLogOptions,
  size: number,
  root: string,
): Promise<Checkpoint> {
  try {
    return parseCheckpoint(await signCheckpoint(origin, size, root, [signer])) as Checkpoint;
  } catch (error) {
    if (error instanceof Failure) throw error;
    throw new Failure(
      'audit-unavailable',
      `audit log ${segments.place}: the signing key ${signer.name} could not sign`,
    );
  }
}

/** Runs jobs one after another in this process, each under the exclusion of the storage. */
function createSequence(segments: AuditSegments, expectChanges: () => void) {
  let last: Promise<unknown> = Promise.resolve();
  return {
    run<T>(work: () => Promise<T>): Promise<T> {
      const job = (): Promise<T> =>
        segments.exclusively((mayHaveGrown) => {
          if (mayHaveGrown) expectChanges();
          return work();
        });
      const result = last.then(job, job);
      last = result;
      return result;
    },
    idle: () => last.catch(() => undefined),
  };
}

/** The lines of the next append. */
function stamp(
  { clock, context, origin }: AuditLogOptions,
  { end, sealedSize }: LogFollower,
  events: readonly LoggedEvent[],
): Batch {
  const { size } = end.tree;
  const position = {
    size,
    lastTimeMs: end.lastTimeMs,
    nowMs: clock.nowMs(),
    sealedSize: sealedSize() > end.mentioned ? sealedSize() : undefined,
  };
  const { timeMs, texts } = stampAll(events, position, context, origin);
  return { size, timeMs, bytes: Buffer.from(`${texts.join('\n')}\n`, 'utf8') };
}

/** The record of the key that signs, where the log does not name it yet. */
async function keyEvents(
  { tree, key }: LogEnd,
  { signer, predecessor }: AuditLogOptions,
): Promise<LogEvent[]> {
  const { verifierKey } = signer;
  if (tree.size === 0) {
    const last = (await predecessor?.())?.note.text.split('\n').slice(0, 3).join(' ');
    return [{ code: 'log.genesis', verifierKey, predecessor: last }];
  }
  if (key === null || key === verifierKey) return [];
  return [{ code: 'key.rotated', verifierKey, verifierKeyBefore: key }];
}

/** Appends. Every method runs in `createSequence`, except `expectChanges` and `reportLost`. */
function createWriter(options: AuditLogOptions, follower: LogFollower) {
  const { segments, clock, origin, context, fallback } = options;
  /** What the log has to say about itself in the next append. */
  let notes: LogEvent[] = [];
  let mustFollow = true;
  let lastFailure: Failure | null = null;

  async function follow(): Promise<void> {
    for (const { bytes, records } of await follower.follow()) {
      const size = `${bytes} bytes with ${records} complete records`;
      const detail = `an incomplete append was removed: ${size}`;
      notes.push({ code: 'log.repaired', bytes, detail });
    }
    mustFollow = false;
  }

  async function write(events: readonly LoggedEvent[]): Promise<void> {
    if (mustFollow) await follow();
    for (let collisions = 0; collisions < collisionLimit; collisions += 1) {
      const all = [...(await keyEvents(follower.end, options)), ...notes, ...events];
      // Another process may have begun the log meanwhile.
      if (all.length === 0) return;
      const batch = stamp(options, follower, all);
      mustFollow = true;
      const answer = await segments.append(batch);
      if (answer === 'written') {
        follower.add(linesOf(batch.bytes));
        notes = [];
        mustFollow = false;
        lastFailure = null;
        return;
      }
      await follow();
    }
    throw new Failure(
      'audit-unavailable',
      `audit log ${segments.place}: other writers appended first, ${collisionLimit} times in a row`,
      { cause: 'contention', path: segments.place },
    );
  }

  /** Promise 4. */
  function reportLost(events: readonly LoggedEvent[], failure: Failure): void {
    lastFailure = failure;
    const lost = events.filter(({ code }) => code !== 'rotation.intended');
    notes = withLost(notes, lost.length, segments.place, failure.message);
    const timeMs = clock.nowMs();
    for (const event of lost) {
      const stamp = { uid: uuidv7(timeMs), sequence: null, timeMs, origin, batchRemaining: 0 };
      fallback?.(formatRecord(event, stamp, context));
    }
  }

  return {
    follow,
    write,
    reportLost,
    /** Why the newest append failed; null when it was written. */
    lastFailure: () => lastFailure,
    expectChanges() {
      mustFollow = true;
    },
    /** The key that signs, and what `follow` has to note. */
    async begin(afterFollow: () => void): Promise<void> {
      await follow();
      afterFollow();
      await write([]);
    },
    async snapshotForCheckpoint() {
      await follow();
      if (follower.end.tree.size <= follower.sealedSize()) await write([{ code: 'log.heartbeat' }]);
      return follower.snapshot();
    },
  };
}

/** The notes, with one `sink.failed` that counts all lost records. */
function withLost(
  notes: readonly LogEvent[],
  count: number,
  sink: string,
  detail: string,
): LogEvent[] {
  const earlier = notes.reduce(
    (sum, note) => sum + (note.code === 'sink.failed' ? note.lost : 0),
    0,
  );
  const others = notes.filter(({ code }) => code !== 'sink.failed');
  return [...others, { code: 'sink.failed', sink, detail, lost: count + earlier }];
}

type Waiting = {
  readonly events: readonly LoggedEvent[];
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
};

/** Combines appends that wait at the same time into one. */
function createQueue(
  run: (work: () => Promise<void>) => Promise<void>,
  write: (events: readonly LoggedEvent[]) => Promise<void>,
  reportLost: (events: readonly LoggedEvent[], failure: Failure) => void,
  moment: () => Promise<void>,
) {
  let waiting: Waiting[] = [];
  let running: Promise<void> = Promise.resolve();

  async function appendWaiting(): Promise<void> {
    let batch: Waiting[] = [];
    try {
      await run(() => {
        batch = takeBatch(waiting);
        waiting = waiting.slice(batch.length);
        return write(batch.flatMap(({ events }) => events));
      });
      for (const { resolve } of batch) resolve();
    } catch (error) {
      // Without the exclusion nothing was taken: the failure is that of everyone who waits.
      if (batch.length === 0) [batch, waiting] = [waiting, []];
      if (error instanceof Failure)
        reportLost(
          batch.flatMap(({ events }) => events),
          error,
        );
      for (const { reject } of batch) reject(error);
    }
    if (waiting.length > 0) await appendWaiting();
  }

  return {
    append(events: readonly LoggedEvent[]): Promise<void> {
      if (events.length === 0) return Promise.resolve();
      if (events.length > maxBatch)
        throw new Error(`bug: ${events.length} audit events in one append`);
      return new Promise((resolve, reject) => {
        waiting.push({ events, resolve, reject });
        if (waiting.length === 1) running = moment().then(appendWaiting);
      });
    },
    idle: () => running,
  };
}

/** The first of those who wait, and as many more, in order, as one append may hold. */
function takeBatch(waiting: readonly Waiting[]): Waiting[] {
  let count = 0;
  return waiting.filter(({ events }, index) => {
    count += events.length;
    return index === 0 || count <= maxBatch;
  });
}
