// One audit record: an OCSF 1.5.0 event of class 3001 (Account Change), one JSON object on one line. Printer and
// reader use the one table of fields (schema.ts), so that nothing is written that the table does not name: no
// password, no token, no header, and no hash of a password.
//
// Keys are in RFC 8785 order; values are strings, integers and lists of strings. So a line is its own canonical form.
// A stored record is not trusted before the tree is checked: the reader throws nothing and trusts no type.

import { createHash, randomBytes } from 'node:crypto';
import type { Reason } from '../rotation/failure.ts';
import { isoTime } from '../time.ts';
import {
  type Field,
  type FieldName,
  fields,
  type LoggedEvent,
  type RecordValues,
} from './schema.ts';

/** What is the same in every record of one process. */
export type AuditContext = {
  /** Who acts: an OS user or a role session ARN. */
  readonly actor: { readonly name: string; readonly uid?: string | undefined };
  /** The release of this program. */
  readonly productVersion: string;
  /** The machine or function it runs on. */
  readonly sourceEndpoint?:
    | {
        readonly hostname?: string | undefined;
        readonly ip?: string | undefined;
        readonly uid?: string | undefined;
      }
    | undefined;
  /** The cloud, where there is one; `provider` is "AWS". */
  readonly cloud?:
    | {
        readonly provider: string;
        readonly region?: string | undefined;
        readonly accountUid?: string | undefined;
      }
    | undefined;
  /** The policy in force, in days; also decides severity. */
  readonly policy: { readonly maxAgeDays: number; readonly warnAgeDays: number };
};

/** What only the writer of the log may say about a record. */
export type Stamp = {
  readonly uid: string;
  /** Zero-based, no gaps. `null` for the fallback: the record is in no log. */
  readonly sequence: number | null;
  /** UTC milliseconds. */
  readonly timeMs: number;
  readonly origin: string;
  /** How many records of the same append follow. */
  readonly batchRemaining: number;
  /** On the first record after a checkpoint: its size, so that a missing checkpoint is noticed. */
  readonly sealedSize?: number | undefined;
};

/** The most bytes of a line with its LF. */
export const maxLineBytes = 65_536;

const surrogate = /[\ud800-\udfff]/;

/** `text` without lone surrogates (RFC 8785 forbids them), at most `max` UTF-16 units. */
function clip(text: string, max: number): string {
  const clipped = text.length > max ? `${text.slice(0, max - 1)}…` : text;
  return surrogate.test(clipped) ? Buffer.from(clipped, 'utf8').toString('utf8') : clipped;
}

const statuses = {
  started: [99, 'Started'],
  success: [1, 'Success'],
  failure: [2, 'Failure'],
  unknown: [0, 'Unknown'],
} as const;
export type RecordStatus = keyof typeof statuses;

/** The text of a status in a stored record; `undefined` when there is no such status. */
export const storedStatus = (status: string): string | undefined =>
  Object.hasOwn(statuses, status) ? statuses[status as RecordStatus][1] : undefined;

const rejections: ReadonlySet<Reason | undefined> = new Set([
  'login-refused',
  'login-budget-spent',
  'verify-refused',
  'reset-refused',
  'session-refused',
  'api-key-refused',
  'store-denied',
  'store-conflict',
]);

/** 1 informational, 2 low, 3 past the warning age, 4 rejected, locked or past the largest age, 5 password unknown. */
function severityOf(
  event: LoggedEvent,
  status: RecordStatus,
  { maxAgeDays, warnAgeDays }: AuditContext['policy'],
): number {
  if (status === 'unknown') return 5;
  const { certainty, reason, ageDaysBefore } = 'status' in event ? event : noFacts;
  if (certainty === undefined && reason === undefined && ageDaysBefore === undefined)
    return event.code === 'account.stopped' ? 4 : status === 'failure' ? 3 : 1;
  const ageDays = ageDaysBefore ?? 0;
  if (certainty === 'lost' || reason === 'password-lost') return 5;
  if (status === 'success') return 1;
  if (event.code === 'account.stopped' || rejections.has(reason) || ageDays > maxAgeDays) return 4;
  if (ageDays > warnAgeDays) return 3;
  return status === 'failure' ? 2 : 1;
}
const noFacts = { certainty: undefined, reason: undefined, ageDaysBefore: undefined };

/** The fields that an event brings, and its status. */
type Mapped = RecordValues & { readonly result: RecordStatus };

function valuesOf(event: LoggedEvent): Mapped {
  const result = 'success';
  switch (event.code) {
    case 'log.genesis':
      return { result, verifierKey: event.verifierKey };
    case 'log.heartbeat':
      return { result };
    case 'log.repaired':
      return { result, detail: event.detail, bytes: event.bytes };
    case 'run.started':
      return { result: 'started', rotationId: event.runId, count: event.accounts };
    case 'run.finished': {
      const { exitCode, rotated, failed, runId } = event;
      const status = exitCode === 0 ? result : 'failure';
      return { result: status, rotationId: runId, exitCode, failed, rotated };
    }
    case 'inventory.changed':
      return { result, account: event.account, change: event.change, secretId: event.secretId };
    case 'inventory.summary':
      return { result, count: event.accounts.length, sha256: inventoryHash(event.accounts) };
    case 'policy.changed': {
      const { maxAgeDays, maxAgeDaysBefore, rotateAfterDays, rotateAfterDaysBefore } = event;
      return { result, maxAgeDays, maxAgeDaysBefore, rotateAfterDays, rotateAfterDaysBefore };
    }
    case 'sink.failed':
      return { result: 'failure', detail: event.detail, lost: event.lost, sink: event.sink };
    case 'report.exported':
      return { result, from: event.from, sha256: event.sha256, to: event.to };
    case 'log.verified': {
      const { root, size, state } = event;
      return { result: state === 'altered' ? 'failure' : result, root, size, state };
    }
    case 'key.rotated': {
      const { verifierKey, verifierKeyBefore } = event;
      return { result, verifierKey, verifierKeyBefore };
    }
    case 'exception.acknowledged': {
      const { account, exceptionId, note } = event;
      return { result, account, exceptionId, note };
    }
    default: {
      const { status, account, rotationId, reason, detail, secretId, certainty } = event;
      const { versionBefore, versionAfter, verifiedBy, deadWindowMs, ageDaysBefore } = event;
      return {
        result: status,
        account,
        username: event.username,
        rotationId,
        reason,
        detail,
        secretId,
        certainty,
        versionBefore,
        versionAfter,
        verifiedBy,
        deadWindowMs,
        ageDaysBefore,
        nextDue: event.nextDueMs === undefined ? undefined : isoTime(event.nextDueMs),
      };
    }
  }
}

/** Events about a password are *Password Change* (3); what the log says about itself, and stops, are *Other* (99). */
const isPasswordChange = (code: LoggedEvent['code']): boolean =>
  /^(rotation|secret|credential)\./.test(code);

/** The record of `event` as one line without LF. Throws a RangeError above 64 KiB, which the limits rule out. */
export function formatRecord(event: LoggedEvent, stamp: Stamp, context: AuditContext): string {
  const { result, ...values } = valuesOf(event);
  const [statusId, status] = statuses[result];
  const { actor, cloud, policy, sourceEndpoint } = context;
  const trigger = 'trigger' in event ? event.trigger : undefined;
  const activityId = isPasswordChange(event.code) ? 3 : 99;
  const account = values.account === undefined ? undefined : clip(values.account, 256);
  const line = print({
    ...values,
    ...constants,
    activityId,
    activityName: activityId === 3 ? 'Password Change' : event.code,
    typeUid: 300_100 + activityId,
    message: `${event.code}: ${account ?? actor.name}`,
    code: event.code,
    severity: severityOf(event, result, policy),
    status,
    statusId,
    actor: actor.name,
    actorUid: actor.uid,
    // Class 3001 requires a user. Where a record has no account, it is the one who acts.
    username: account === undefined ? actor.name : clipOptional(values.username, 256),
    logName: stamp.origin,
    timeMs: stamp.timeMs,
    eventTimeMs: stamp.timeMs,
    sequence: stamp.sequence ?? undefined,
    uid: stamp.uid,
    batchRemaining: stamp.batchRemaining > 0 ? stamp.batchRemaining : undefined,
    sealedSize: stamp.sealedSize,
    policyMaxAgeDays: 'status' in event ? policy.maxAgeDays : undefined,
    trigger: trigger?.kind,
    triggerReason: trigger?.reason,
    requestedBy: trigger?.requestedBy,
    changeRef: trigger?.changeRef,
    productVersion: context.productVersion,
    hostname: sourceEndpoint?.hostname,
    ip: sourceEndpoint?.ip,
    endpointUid: sourceEndpoint?.uid,
    cloudProvider: cloud?.provider,
    cloudRegion: cloud?.region,
    cloudAccount: cloud?.accountUid,
    profiles: cloud ? ['cloud'] : undefined,
  });
  if (Buffer.byteLength(line) + 1 > maxLineBytes)
    throw new RangeError('an audit record above 64 KiB');
  return line;
}

const clipOptional = (text: string | undefined, max: number): string | undefined =>
  text === undefined ? undefined : clip(text, max);

const constants: RecordValues = {
  app: 'thingspace-rotator',
  productName: 'thingspace-rotator',
  vendorName: 'thingspace-rotator',
  categoryUid: 3,
  classUid: 3001,
  schemaVersion: '1.5.0',
};

type Fields = Readonly<Record<string, unknown>>;

const fieldEntries = Object.entries(fields) as [FieldName, Field][];

/** In RFC 8785 order of their paths, so that objects that are filled in this order have their keys in order. */
const orderedFields = fieldEntries
  .map(([name, { path, max }]) => ({ name, max, folders: path.split('.').slice(0, -1), path }))
  .map((field) => ({ ...field, key: field.path.slice(field.path.lastIndexOf('.') + 1) }))
  .sort((a, b) => (sortKey(a.path) < sortKey(b.path) ? -1 : 1));

/** A key that is the beginning of another one comes first, also before a dot. */
function sortKey(path: string): string {
  return path.replaceAll('.', '\u0000');
}

function print(values: RecordValues): string {
  const record: Record<string, unknown> = {};
  for (const { name, folders, key, max } of orderedFields) {
    const value = values[name];
    if (value === undefined) continue;
    let place = record;
    for (const folder of folders) {
      place[folder] ??= {};
      place = place[folder] as Record<string, unknown>;
    }
    if (typeof value === 'number') place[key] = Math.trunc(value);
    else place[key] = typeof value === 'string' && max !== undefined ? clip(value, max) : value;
  }
  return JSON.stringify(record);
}

/** A stored record. A field that is absent or of another type is `undefined`. */
export type RecordView = Omit<RecordValues, 'status'> & {
  readonly sequence: number;
  readonly uid: string;
  /** UTC milliseconds, stamped by the writer. */
  readonly timeMs: number;
  readonly code: string;
  readonly status: RecordStatus;
  readonly severity: number;
  readonly actor: string;
};

/** The fields of a line's JSON object; `null` when it is no JSON object. */
export function parseLine(line: string | Buffer): Fields | null {
  try {
    return fieldsOf(JSON.parse(typeof line === 'string' ? line : line.toString('utf8')));
  } catch {
    return null;
  }
}

const fieldsOf = (value: unknown): Fields | null =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : null;

const pathsByName = fieldEntries.map(([name, { path, type }]) => ({
  name,
  type,
  steps: path.split('.'),
}));

function valueAt(record: Fields, steps: readonly string[]): unknown {
  let value: unknown = record;
  for (const step of steps) value = fieldsOf(value)?.[step];
  return value;
}

/** The view of a stored line; `null` when uid, sequence, time or event code is missing. */
export function viewLine(line: string | Buffer): RecordView | null {
  const record = parseLine(line);
  if (record === null) return null;
  const values: Partial<Record<FieldName, unknown>> = {};
  for (const { name, type, steps } of pathsByName) {
    const value = valueAt(record, steps);
    if (
      type === 'text'
        ? typeof value === 'string'
        : type === 'integer' && Number.isSafeInteger(value)
    )
      values[name] = value;
  }
  const { sequence, timeMs, uid, code, statusId, ...others } = values as RecordValues;
  if (sequence === undefined || timeMs === undefined || uid === undefined || code === undefined)
    return null;
  if (sequence < 0 || timeMs < 0) return null;
  return {
    ...others,
    sequence,
    timeMs,
    uid,
    code,
    statusId,
    status: statusOf(statusId),
    severity: others.severity ?? 0,
    actor: others.actor ?? others.app ?? '',
    // Without an account the user of the record is the actor.
    username: others.account === undefined ? undefined : others.username,
  };
}

const statusOf = (statusId: number | undefined): RecordStatus =>
  (Object.keys(statuses) as RecordStatus[]).find((name) => statuses[name][0] === statusId) ??
  'unknown';

/** SHA-256, hex, of the sorted account names, each followed by LF: what `inventory.summary` carries. */
export function inventoryHash(accounts: readonly string[]): string {
  const hash = createHash('sha256');
  for (const name of [...accounts].sort()) hash.update(`${name}\n`);
  return hash.digest('hex');
}

let pool = Buffer.alloc(0);

/** A version 7 UUID (RFC 9562): 48 bits of UTC milliseconds and 74 random bits. */
export function uuidv7(timeMs: number): string {
  // One request to the system for 256 of them.
  if (pool.length < 10) pool = randomBytes(2560);
  const random = pool.toString('hex', 0, 10);
  pool = pool.subarray(10);
  const time = Math.floor(timeMs).toString(16).padStart(12, '0').slice(-12);
  const variant = (8 + (Number.parseInt(random.charAt(3), 16) % 4)).toString(16);
  return `${time.slice(0, 8)}-${time.slice(8)}-7${random.slice(0, 3)}-${variant}${random.slice(4, 7)}-${random.slice(8, 20)}`;
}

/** A clock that steps back by less gets the time of the record before. A larger step is written, and `verify` reports it. */
const clockSlackMs = 5_000;

/** What the next records follow. */
export type Position = {
  readonly size: number;
  readonly lastTimeMs: number;
  readonly nowMs: number;
  /** The size of a checkpoint that no record mentions yet. */
  readonly sealedSize?: number | undefined;
};

/** The lines of one append, without LF, and their time. */
export function stampAll(
  events: readonly LoggedEvent[],
  { size, lastTimeMs, nowMs, sealedSize }: Position,
  context: AuditContext,
  origin: string,
): { timeMs: number; texts: string[] } {
  const back = lastTimeMs - nowMs;
  const timeMs = back > 0 && back <= clockSlackMs ? lastTimeMs : nowMs;
  const texts = events.map((event, index) =>
    formatRecord(
      event,
      {
        uid: uuidv7(timeMs),
        sequence: size + index,
        timeMs,
        origin,
        batchRemaining: events.length - 1 - index,
        sealedSize: index === 0 ? sealedSize : undefined,
      },
      context,
    ),
  );
  return { timeMs, texts };
}
