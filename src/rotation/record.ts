// The attempt record: a small JSON document without any credential, kept as versions of the secret
// under the label ROTATION. It is the lock, the journal and the count of failed logins. Printer and
// parser are side by side; the token that names a record's version is derived in stores/ (it needs
// a hash).
//
//   {
//     "format": "thingspace-rotator/attempt/2",
//     "sequence": 7,                 counts up over the life of the secret
//     "phase": "resetting",          claimed | resetting | released | stopped
//     "basis": "…",                  VersionId of the current version when the attempt began
//     "holder": { "id": "…", … },    the writer; random, so two writers never write equal content
//     "writtenAtMs": 1795464000000,  the writer's clock: for people, nothing is decided by it
//     "leaseMs": 60000,              how long the writer owns the account, on the store's clock
//     "loginsSpent": 1,              logins since the last accepted one, the next one included
//     "planned": "…",                claimed: the rotation that the attempt may start
//     "open": { … },                 the rotation that no record has closed yet (rule 1)
//     "history": [{ … }],            the last closed rotations, newest first
//     "reason": "login-refused",     stopped: why
//     "refused": "…"                 stopped: the VersionId whose password was rejected
//   }
//
// Invariant R1: a rotation is open from its `resetting` record until a record closes it by its id;
// every record in between carries it. Invariant R2: a reset is sent only while its `resetting`
// record is the newest one.

import { Failure, type StopReason, stopReasons } from './failure.ts';

/**
 * The process that wrote a record: a random id, and facts that show whether the process has ended,
 * where the platform provides them.
 */
export type Owner = {
  readonly id: string;
  readonly host?: string;
  readonly boot?: string;
  readonly namespace?: string;
  readonly pid?: number;
  readonly startedAt?: string;
};

/** A rotation whose reset may have happened, and which is not closed. */
export type OpenRotation = {
  readonly rotationId: string;
  /** The version that was current when the reset was sent. */
  readonly basis: string;
  /**
   * When the reset was prepared; UTC milliseconds, the writer's clock. The new password is as old
   * as that.
   */
  readonly startedAtMs: number;
  /**
   * Milliseconds after the writing of this record (store's clock) in which the server may still
   * process the reset.
   */
  readonly settleLeftMs: number;
  /** Digest of the idempotency key of the order that started it. */
  readonly keyDigest?: string | undefined;
  /** A login with its password was accepted; only the closing is missing (native rotation). */
  readonly verified?: true | undefined;
  /** Read from a record of version 0.1; never written. */
  readonly isLegacy?: true | undefined;
};

/** How a rotation was closed; the proof that each needs is in docs/ROTATION.md, rule 1. */
export const closings = ['rotated', 'not-applied', 'superseded', 'abandoned'] as const;

export type ClosedRotation = {
  readonly rotationId: string;
  readonly as: (typeof closings)[number];
  /** `rotated`: the version that holds its password. */
  readonly versionId?: string | undefined;
  /** `rotated`: the version whose password it replaced. */
  readonly replaced?: string | undefined;
  /** `rotated`: since when its password is valid; UTC milliseconds. */
  readonly sinceMs?: number | undefined;
  /** Digest of the idempotency key of the order that started it. */
  readonly keyDigest?: string | undefined;
};

type Common = {
  readonly sequence: number;
  readonly basis: string;
  readonly holder: Owner;
  readonly writtenAtMs: number;
  readonly leaseMs: number;
  readonly loginsSpent: number;
  readonly history?: readonly ClosedRotation[] | undefined;
};

export type AttemptRecord = Common &
  (
    | {
        readonly phase: 'claimed';
        readonly planned?: string | undefined;
        readonly open?: OpenRotation | undefined;
      }
    | { readonly phase: 'resetting'; readonly open: OpenRotation }
    | { readonly phase: 'released'; readonly open?: OpenRotation | undefined }
    | {
        readonly phase: 'stopped';
        readonly open?: OpenRotation | undefined;
        readonly reason: StopReason;
        readonly refused?: string | undefined;
      }
  );

export type StoppedRecord = Extract<AttemptRecord, { phase: 'stopped' }>;

const format = 'thingspace-rotator/attempt/2';

/** How many closed rotations a record names. */
export const historyKept = 8;

/** The record's JSON, the same bytes for the same record. */
export function formatRecord(record: AttemptRecord): string {
  return JSON.stringify({ format, ...record });
}

/** The record in `text`, of this release or of 0.1. Throws `record-invalid` for anything else. */
export function parseRecord(text: string): AttemptRecord {
  const fields = parseObject(text);
  const { format: found, ...rest } = fields;
  if (found === legacyFormat) return upgraded(rest);
  if (found !== format) throw invalid(`its "format" is not "${format}"`);
  const problem = problemWith(rest);
  if (problem) throw invalid(problem);
  return rest as unknown as AttemptRecord;
}

function parseObject(text: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw invalid('it is not JSON');
  }
  if (!isObject(value)) throw invalid('it is not an object');
  return value;
}

function invalid(what: string): Failure {
  return new Failure(
    'record-invalid',
    `the version under ROTATION is not an attempt record of this release: ${what}`,
  );
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const isCount = (value: unknown): boolean => Number.isSafeInteger(value) && Number(value) >= 0;
const isText = (value: unknown): boolean => typeof value === 'string' && value !== '';
const isAbsentOr = (is: (value: unknown) => boolean, value: unknown): boolean =>
  value === undefined || is(value);

/** The first field that is wrong, in words; null for a record. */
function problemWith(fields: Record<string, unknown>): string | null {
  const { phase, open, history, planned, reason, refused } = fields;
  if (!['claimed', 'resetting', 'released', 'stopped'].includes(String(phase)))
    return '"phase" is unknown';
  for (const key of ['sequence', 'leaseMs', 'loginsSpent', 'writtenAtMs'])
    if (!isCount(fields[key])) return `"${key}" is not a count`;
  if (!isText(fields['basis'])) return '"basis" is missing';
  if (!isObject(fields['holder']) || !isText(fields['holder']['id'])) return '"holder" is missing';
  if (phase === 'resetting' ? !isOpen(open) : !isAbsentOr(isOpen, open))
    return '"open" is not an open rotation';
  if (!isAbsentOr(isHistory, history)) return '"history" is not a list of closed rotations';
  if (!isAbsentOr(isText, planned)) return '"planned" is not a text';
  if (!isAbsentOr(isText, refused)) return '"refused" is not a text';
  if (phase === 'stopped' && !isStopReason(reason)) return '"reason" is unknown';
  return null;
}

const isStopReason = (value: unknown): boolean =>
  (stopReasons as readonly unknown[]).includes(value);

function isOpen(value: unknown): boolean {
  return (
    isObject(value) &&
    isText(value['rotationId']) &&
    isText(value['basis']) &&
    isCount(value['startedAtMs']) &&
    isCount(value['settleLeftMs']) &&
    isAbsentOr(isText, value['keyDigest']) &&
    isAbsentOr((verified) => verified === true, value['verified'])
  );
}

function isHistory(value: unknown): boolean {
  return (
    Array.isArray(value) &&
    value.every(
      (entry) =>
        isObject(entry) &&
        isText(entry['rotationId']) &&
        (closings as readonly unknown[]).includes(entry['as']) &&
        isAbsentOr(isText, entry['versionId']) &&
        isAbsentOr(isText, entry['replaced']) &&
        isAbsentOr(isCount, entry['sinceMs']) &&
        isAbsentOr(isText, entry['keyDigest']),
    )
  );
}

// Version 0.1 wrote format /1: `rotationId`, `doubtful` and `earlier` instead of `open` and
// `history`. Its records counted as settled when the current version moved. Version 2 does
// not rely on that: a rotation that 0.1 may have reset is open until evidence closes it.

const legacyFormat = 'thingspace-rotator/attempt/1';

/** A version id that no version has; as long as Secrets Manager requires. */
const unknownVersion = '00000000-0000-0000-0000-000000000000';

/**
 * What the settle time of 0.1 can be at most with its defaults (10 s + 120 s + 120 s), with a
 * reserve.
 */
const legacySettleMs = 600_000;

function upgraded(fields: Record<string, unknown>): AttemptRecord {
  const { rotationId, doubtful, earlier = [], phase, basis, ...rest } = fields;
  const startedAtMs = fields['writtenAtMs'];
  const names = [rotationId, ...(Array.isArray(earlier) ? earlier : [])].filter(isText);
  const mayBeOpen =
    isText(rotationId) && (phase === 'resetting' || doubtful === true || closesLater(fields));
  // What it wrote after a conflict names the changed version, which no reset began with.
  const resetBasis = fields['reason'] === 'store-conflict' ? unknownVersion : basis;
  const open = mayBeOpen
    ? { rotationId, basis: resetBasis, startedAtMs, settleLeftMs: legacySettleMs, isLegacy: true }
    : undefined;
  // Their ends are not recorded: `abandoned` says that nothing is known about them.
  const known = names.filter((name) => name !== open?.rotationId);
  const history = known.map((name) => ({ rotationId: name, as: 'abandoned' }));
  const refused = phase === 'stopped' ? basis : undefined;
  const record = { ...rest, phase, basis, open, history: history.slice(0, historyKept), refused };
  const problem = problemWith(record);
  if (problem) throw invalid(problem);
  return record as unknown as AttemptRecord;
}

/**
 * 0.1 stopped an account after a reset without saying `doubtful`: the rotation is not closed by
 * that.
 */
const closesLater = ({ phase, reason }: Record<string, unknown>): boolean =>
  phase === 'stopped' &&
  ['verify-refused', 'store-conflict', 'password-lost'].includes(String(reason));
