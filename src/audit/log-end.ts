// The end of the audit log as its writer knows it: size and tree, time, open intents, newest
// checkpoint. It follows the storage by reading what any process appended, and starts from a cache
// where a checkpoint that carries our signature confirms it. Callers run every method under
// `segments.exclusively`, one at a time.

// Not `{ z }`: esbuild keeps all of zod then.
import * as z from 'zod';
import type { LastRotation, LastSuspension, OpenIntent, StoredByHand } from '../rotation/event.ts';
import { Failure } from '../rotation/failure.ts';
import { parseIso } from '../time.ts';
import {
  type Checkpoint,
  checkNote,
  describeKey,
  parseCheckpoint,
  parseVerifierKey,
  type Signer,
  signatureProblems,
} from './checkpoint.ts';
import { type Frontier, frontierFile, frontierFormat, readFrontier } from './frontier.ts';
import { parseNamedKey } from './key-history.ts';
import { base64Of, type Hash, hashOf, leafHash, RecentLeaves, Tree } from './merkle.ts';
import { listRecords } from './query.ts';
import { type AuditSource, blocksOf, eachLine, numberAfter, recordKeys } from './reader.ts';
import { viewLine } from './record.ts';
import { addRunRecord, type RequestedRuns, requestedRunsSchema } from './requested-runs.ts';
import { type AuditSegments, damagedLog, type SegmentPosition } from './segments.ts';

/** What is known of the records up to the last one that was read or written. */
export type LogEnd = {
  tree: Tree;
  lastTimeMs: number;
  /** The largest checkpoint size that a record mentions. */
  mentioned: number;
  /** The verifier key in force, as the log names it; `null` in an empty log. */
  key: string | null;
  /** Unfinished rotations by rotationId. */
  open: Map<string, OpenIntent>;
  /** Rotations whose outcome is recorded as unknown, by rotationId, with the time of it. */
  unresolved: Map<string, OpenIntent>;
  /** The newest rotation whose password became current, by account. */
  rotated: Map<string, LastRotation>;
  /** The newest password that a person stored, by account. */
  stored: Map<string, StoredByHand>;
  /** The newest suspension that nobody has resumed, by account. */
  suspended: Map<string, LastSuspension>;
  /** The runs that somebody requested for one account. */
  requested: RequestedRuns;
  /** The accounts that only native rotation has added to the inventory. */
  native: Set<string>;
  /** The facts in the newest `inventory.summary` (facts.ts). */
  factsHash?: string | undefined;
};

/** Bytes that show that a line is of interest here; the others are hashed and not parsed. */
const rotationMark = Buffer.from('"event_code":"rotation.');
const promotedMark = Buffer.from('"event_code":"secret.promoted"');
const verifiedMark = Buffer.from('"event_code":"credential.verified"');
const runMark = Buffer.from('"event_code":"run.');
const inventoryMark = Buffer.from('"event_code":"inventory.');
const storedMark = Buffer.from('"event_code":"secret.changed"');
const accountMark = Buffer.from('"event_code":"account.');
const sealedMark = Buffer.from('"sealed_size":');
const keyMark = Buffer.from('"verifier_key":');
const marks = [
  rotationMark,
  promotedMark,
  verifiedMark,
  runMark,
  inventoryMark,
  storedMark,
  accountMark,
  sealedMark,
  keyMark,
];

/**
 * Adds one stored line. Returns false, and adds nothing, when it is not the record of the next
 * sequence number.
 */
export function addLine(end: LogEnd, line: Buffer): boolean {
  const timeMs = numberAfter(line, recordKeys.loggedTime);
  if (timeMs < 0 || numberAfter(line, recordKeys.sequence) !== end.tree.size) return false;
  if (marks.some((mark) => line.includes(mark))) {
    const view = viewLine(line);
    if (view === null) return false;
    const { code, rotationId, account, secretId, username, versionAfter, sealedSize = 0 } = view;
    end.mentioned = Math.max(end.mentioned, sealedSize);
    addRunRecord(end.requested, view);
    if (code === 'inventory.summary') end.factsHash = view.factsSha256;
    if (code === 'inventory.changed' && account !== undefined) {
      if (view.trigger === 'native') end.native.add(account);
      else end.native.delete(account);
    }
    if (code === 'secret.changed' && account !== undefined && versionAfter !== undefined)
      end.stored.set(account, {
        versionId: versionAfter,
        sinceMs: parseIso(view.passwordSince ?? ''),
      });
    if (code === 'account.resumed' && account !== undefined) end.suspended.delete(account);
    if (code === 'account.stopped' && account !== undefined && secretId !== undefined) {
      // A record of 0.1 does not say which attempt record it is about.
      const { attemptRecord = 0 } = view;
      end.suspended.set(account, { secretId, attemptRecord, atMs: timeMs });
    }
    if (code === 'log.genesis' || code === 'key.rotated') end.key = view.verifierKey ?? end.key;
    if (rotationId !== undefined) {
      if (code === 'rotation.intended' && account !== undefined)
        end.open.set(rotationId, { rotationId, account, intendedAtMs: timeMs });
      if (code === 'secret.promoted' && account !== undefined && secretId !== undefined)
        end.rotated.set(account, {
          rotationId,
          secretId,
          versionId: versionAfter ?? rotationId,
          username,
          atMs: timeMs,
          isVerified: false,
        });
      if (code === 'credential.verified' && view.status === 'success')
        markVerified(end, rotationId, account);
      if (code === 'rotation.outcome' || code === 'rotation.reconciled') {
        end.open.delete(rotationId);
        end.unresolved.delete(rotationId);
      }
      if (code === 'rotation.outcome' && view.status === 'unknown' && account !== undefined)
        end.unresolved.set(rotationId, { rotationId, account, intendedAtMs: timeMs });
    }
  }
  end.tree.append(leafHash(line));
  end.lastTimeMs = Math.max(end.lastTimeMs, timeMs);
  return true;
}

/** The password of the account's newest rotation was accepted at a login. */
function markVerified({ rotated }: LogEnd, rotationId: string, account = ''): void {
  const last = rotated.get(account);
  if (last?.rotationId === rotationId) rotated.set(account, { ...last, isVerified: true });
}

export const emptyEnd = (): LogEnd => ({
  tree: new Tree(),
  lastTimeMs: 0,
  mentioned: 0,
  key: null,
  open: new Map(),
  unresolved: new Map(),
  rotated: new Map(),
  stored: new Map(),
  suspended: new Map(),
  requested: new Map(),
  native: new Set(),
});

/** The end of a log for a reader. Throws `audit-unavailable` where the log is damaged. */
export async function readLogEnd(source: AuditSource): Promise<LogEnd> {
  const frontier = await readFrontier(source);
  const end = (frontier && readState(frontier)) ?? emptyEnd();
  for await (const block of blocksOf(source))
    eachLine(block, (bytes, from, to) => {
      if (!addLine(end, bytes.subarray(from, to)))
        throw damagedLog(block.segment.name, `the log is damaged at record ${end.tree.size}`);
    });
  return end;
}

/** A copy that later records do not change, and its position in the storage. */
export type Snapshot = LogEnd & { readonly position: SegmentPosition };

/** What `follow` removed, for the record `log.repaired`. */
export type Removed = { readonly bytes: number; readonly records: number };

export type LogFollower = {
  readonly end: LogEnd;
  /** The newest checkpoint that is known, and its size; 0 when there is none. */
  newest(): Checkpoint | null;
  sealedSize(): number;
  /**
   * Starts from the cache, if it is valid, else from the frontier of an archive. Throws when the
   * log belongs to another origin, and when the frontier is not signed by a key of this log.
   */
  start(): Promise<void>;
  /**
   * Reads what was appended since, and removes an append that was not completed. Throws
   * `audit-unavailable` when the log does not continue its newest checkpoint, or when a record
   * cannot be read.
   */
  follow(): Promise<readonly Removed[]>;
  /** Adds lines that this process appended. */
  add(lines: readonly Buffer[]): void;
  snapshot(): Snapshot;
  /** From here on, `consistency` has what it needs. */
  keepLeaves(): void;
  /** RFC 6962 PROOF(older, D[size]); `null` when it needs records from before `keepLeaves`. */
  consistency(older: number, size: number): readonly Hash[] | null;
  /**
   * Stores a signed checkpoint of `snapshot`, and the cache for it. Both are durable when it
   * resolves.
   */
  store(snapshot: Snapshot, checkpoint: Checkpoint): Promise<void>;
};

export function createFollower(
  segments: AuditSegments,
  signer: Pick<Signer, 'verifierKey'>,
  origin: string,
): LogFollower {
  let end = emptyEnd();
  let newest: Checkpoint | null = null;
  let recent: RecentLeaves | null = null;

  const discontinued = (size: number): Failure =>
    damagedLog(segments.place, `the log does not continue its checkpoint at ${size} records`);

  function checkRoot(): void {
    if (newest?.size === end.tree.size && newest.root !== end.tree.root())
      throw discontinued(newest.size);
  }

  function add(lines: readonly Buffer[]): void {
    for (const line of lines) {
      if (end.tree.size === 0 && numberAfter(line, recordKeys.sequence) > 0)
        throw beginsLater(segments.place, numberAfter(line, recordKeys.sequence));
      if (!addLine(end, line))
        throw damagedLog(segments.place, `the log is damaged at record ${end.tree.size}`);
      recent?.add(leafHash(line));
      checkRoot();
    }
  }

  async function findCheckpoint(): Promise<void> {
    newest = (await readNewer(segments, origin, newest?.size ?? 0)) ?? newest;
  }

  return {
    get end() {
      return end;
    },
    sealedSize: () => newest?.size ?? 0,
    newest: () => newest,
    keepLeaves() {
      recent = new RecentLeaves(end.tree);
    },
    consistency: (older, size) => recent?.consistency(older, size) ?? null,
    add,
    async start() {
      await findCheckpoint();
      const frontier = await readFrontier(segments.source);
      const cached = await readCachedEnd(segments, signer, newest, frontier?.tree.size ?? 0);
      if (frontier && !cached) await checkFrontier(segments, signer, frontier, newest);
      end = cached ?? (frontier && readState(frontier)) ?? end;
    },
    async follow() {
      await findCheckpoint();
      checkRoot();
      const removed: Removed[] = [];
      for (;;) {
        const incomplete = await segments.readNew(end.tree.size, add);
        if (incomplete === null) break;
        if (end.tree.size < (newest?.size ?? 0))
          throw damagedLog(incomplete.path, `the log is damaged at record ${end.tree.size}`);
        await incomplete.remove();
        removed.push(incomplete);
      }
      if (newest !== null && end.tree.size < newest.size) throw discontinued(newest.size);
      return removed;
    },
    snapshot: () => ({
      ...end,
      tree: end.tree.copy(),
      open: new Map(end.open),
      unresolved: new Map(end.unresolved),
      rotated: new Map(end.rotated),
      stored: new Map(end.stored),
      suspended: new Map(end.suspended),
      requested: new Map(end.requested),
      native: new Set(end.native),
      position: segments.position(),
    }),
    async store(snapshot, checkpoint) {
      const stored = parseCheckpoint(
        await segments.storeCheckpoint(checkpoint.size, checkpoint.text),
      );
      if (stored?.root !== checkpoint.root) throw discontinued(checkpoint.size);
      await segments.storeCache(checkpoint.size, formatState(snapshot, segments.cacheFormat));
      if (checkpoint.size > (newest?.size ?? 0)) newest = checkpoint;
    },
  };
}

/** The newest checkpoint, when it is larger than `size`. */
async function readNewer(
  segments: AuditSegments,
  origin: string,
  size: number,
): Promise<Checkpoint | null> {
  const found = await segments.newestCheckpoint();
  if (found === null || found.size <= size) return null;
  const checkpoint = parseCheckpoint(found.text);
  if (checkpoint?.size !== found.size)
    throw damagedLog(found.name, 'the file is not a checkpoint of that size');
  if (checkpoint.origin !== origin)
    throw new Failure(
      'audit-unavailable',
      `audit log ${found.name}: the checkpoint belongs to the log "${checkpoint.origin}"`,
    );
  return checkpoint;
}

/** Months were moved out of the log, and not with `audit archive`. */
const beginsLater = (place: string, sequence: number): Failure =>
  new Failure(
    'audit-unavailable',
    `audit log ${place}: it begins with record ${sequence}, and no frontier of that record exists`,
    { cause: 'log-begins-later', path: place },
  );

/**
 * Throws unless the frontier is signed by our key, or by one that a later record names. While our
 * key has not signed the newest checkpoint, it takes over, and the frontier may name its own key.
 */
async function checkFrontier(
  { place, source }: AuditSegments,
  { verifierKey }: Pick<Signer, 'verifierKey'>,
  { checkpoint: { size, note }, key }: Frontier,
  newest: Checkpoint | null,
): Promise<void> {
  const own = [parseVerifierKey(verifierKey)];
  let status = checkNote(note, own);
  if (status === 'unknown-key') {
    const isInUse = newest !== null && checkNote(newest.note, own) === 'valid';
    const named: (string | null | undefined)[] = isInUse ? [] : [key];
    for await (const { view } of listRecords(source, { event: 'key.rotated' }))
      if (view.sequence >= size) named.push(view.verifierKeyBefore, view.verifierKey);
    status = checkNote(
      note,
      named.map(parseNamedKey).filter((verifier) => verifier !== null),
    );
  }
  if (status === 'valid') return;
  const signers = note.signatures.map(describeKey).join(', ');
  const problem =
    status === 'invalid' ? signatureProblems.invalid : `is signed by another key: ${signers}`;
  throw new Failure(
    'audit-unavailable',
    `audit log ${place}: it begins with record ${size}, and ${frontierFile(size)} ${problem}`,
    { cause: 'log-begins-later', path: place },
  );
}

/** The end in the cache, where a checkpoint that our key signed confirms it. */
async function readCachedEnd(
  segments: AuditSegments,
  { verifierKey }: Pick<Signer, 'verifierKey'>,
  newest: Checkpoint | null,
  leastSize: number,
): Promise<LogEnd | null> {
  const cache = await segments.readCache();
  const cached = cache === null ? null : parseState(cache, segments.cacheFormat);
  if (cached === null || cached.tree.size < leastSize) return null;
  const { size } = cached.tree;
  const text = size === newest?.size ? newest.text : await segments.readCheckpoint(size);
  const checkpoint = text === null ? null : parseCheckpoint(text);
  const isSigned =
    checkpoint?.root === cached.tree.root() &&
    checkNote(checkpoint.note, [parseVerifierKey(verifierKey)]) === 'valid';
  return isSigned && segments.seek(cached.position) ? cached : null;
}

const intents = z.array(
  z.object({ rotationId: z.string(), account: z.string(), intendedAtMs: z.number() }),
);

const intentsById = (list: readonly OpenIntent[]): Map<string, OpenIntent> =>
  new Map(list.map((intent) => [intent.rotationId, intent]));

const stateSchema = z.object({
  format: z.string(),
  size: z.int().nonnegative(),
  frontier: z.array(z.string()),
  month: z.string().optional(),
  position: z.int().nonnegative().optional(),
  lastTimeMs: z.number(),
  mentioned: z.int(),
  factsHash: z.string().optional(),
  stored: z
    .array(
      z.tuple([z.string(), z.object({ versionId: z.string(), sinceMs: z.number().nullable() })]),
    )
    .default([]),
  suspended: z
    .array(
      z.tuple([
        z.string(),
        z.object({ secretId: z.string(), attemptRecord: z.number(), atMs: z.number() }),
      ]),
    )
    .default([]),
  requested: requestedRunsSchema,
  native: z.array(z.string()).default([]),
  key: z.string().nullable(),
  open: intents,
  unresolved: intents.default([]),
  rotated: z.array(
    z.tuple([
      z.string(),
      z.object({
        rotationId: z.string(),
        secretId: z.string(),
        versionId: z.string(),
        username: z.string().optional(),
        atMs: z.number(),
        isVerified: z.boolean(),
      }),
    ]),
  ),
});

/** The end as JSON, for the cache and for a frontier, which adds the records that it carries. */
export function formatState(
  snapshot: LogEnd & { readonly position?: SegmentPosition },
  format: string,
  carried?: readonly string[],
): string {
  const { tree, position, lastTimeMs, mentioned, key, rotated, stored, factsHash } = snapshot;
  return JSON.stringify({
    format,
    size: tree.size,
    frontier: tree.frontier.map(base64Of),
    ...position,
    lastTimeMs,
    mentioned,
    factsHash,
    key,
    open: [...snapshot.open.values()],
    unresolved: [...snapshot.unresolved.values()],
    rotated: [...rotated],
    stored: [...stored],
    suspended: [...snapshot.suspended],
    requested: [...snapshot.requested.values()],
    native: [...snapshot.native],
    carried,
  });
}

/** The end of the archived records. Its signature is not checked. */
export const readState = ({ state }: Frontier): LogEnd | null => parseState(state, frontierFormat);

/**
 * The end in a cache or a frontier; `null` when the text has another format. Nothing in it is
 * verified yet.
 */
function parseState(text: string, format: string): Snapshot | null {
  try {
    const cache = stateSchema.parse(JSON.parse(text));
    if (cache.format !== format) return null;
    const { month, position, lastTimeMs, mentioned, key, factsHash } = cache;
    return {
      tree: new Tree(
        cache.size,
        cache.frontier.map((hash) => hashOf(hash) ?? ''),
      ),
      lastTimeMs,
      mentioned,
      factsHash,
      key,
      open: intentsById(cache.open),
      unresolved: intentsById(cache.unresolved),
      rotated: new Map(cache.rotated),
      stored: new Map(cache.stored),
      suspended: new Map(cache.suspended),
      requested: cache.requested,
      native: new Set(cache.native),
      position: { month, position },
    };
  } catch {
    return null;
  }
}
