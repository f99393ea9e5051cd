// One audit record: an OCSF 1.5.0 event of class 3001 (Account Change), one JSON object on one
// line. Printer and reader use the one table of fields (schema.ts), so that nothing is written that
// the table does not name: no password, no token, no header, and no hash of a password.
//
// Keys are in RFC 8785 order; values are strings, integers and lists of strings. So a line is its
// own canonical form. A stored record is not trusted before the tree is checked: the reader throws
// nothing and trusts no type.

import { createHash, randomBytes } from 'node:crypto';
import type { AuditEvent, Trigger } from '../rotation/event.ts';
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

/**
 * 1 informational, 2 low, 3 past the warning age, 4 rejected, locked or past the largest age, 5
 * password unknown.
 */
function severityOf(
  event: LoggedEvent,
  status: RecordStatus,
  policy: AuditContext['policy'],
): number {
  if (status === 'unknown') return 5;
  const { certainty, reason, ageDaysBefore } = 'status' in event ? event : noFacts;
  if (certainty === undefined && reason === undefined && ageDaysBefore === undefined)
    return event.code === 'account.stopped' ? 4 : status === 'failure' ? 3 : 1;
  const ageDays = ageDaysBefore ?? 0;
  const maxAgeDays = 'status' in event ? limitOf(event, policy) : 0;
  if (certainty === 'lost' || reason === 'password-lost') return 5;
  if (status === 'success') return 1;
  if (event.code === 'account.stopped' || rejections.has(reason) || ageDays > maxAgeDays) return 4;
  if (ageDays > policy.warnAgeDays) return 3;
  return status === 'failure' ? 2 : 1;
}
const noFacts = { certainty: undefined, reason: undefined, ageDaysBefore: undefined };

/** The largest age that the policy of the account allows; days. */
const limitOf = ({ policyMaxAgeDays }: AuditEvent, policy: AuditContext['policy']): number =>
  policyMaxAgeDays ?? policy.maxAgeDays;

function resultOf(event: LoggedEvent): RecordStatus {
  switch (event.code) {
    case 'run.started':
      return 'started';
    case 'run.finished':
      return event.exitCode === 0 ? 'success' : 'failure';
    case 'sink.failed':
      return 'failure';
    case 'log.verified':
      return event.state === 'altered' ? 'failure' : 'success';
    default:
      return 'status' in event ? event.status : 'success';
  }
}

/** The fields that an event has under another name than the schema. */
function renamedValues(event: LoggedEvent): RecordValues {
  switch (event.code) {
    case 'run.started':
      return { rotationId: event.runId, count: event.accounts };
    case 'run.finished': {
      const { runId: rotationId, result } = event;
      if (result === undefined) return { rotationId };
      const { outcome, certainty, reason, detail, secretId, logins, dueAtMs } = result;
      return {
        ...{ rotationId, outcome, certainty, reason, detail, secretId, logins },
        ofRotation: result.rotationId,
        versionAfter: result.versionId,
        ageDaysBefore: result.ageDays,
        deadWindowMs: result.deadWindowMs,
        nextDue: dueAtMs === undefined ? undefined : isoTime(dueAtMs),
      };
    }
    case 'inventory.summary':
      return { count: event.accounts.length, sha256: inventoryHash(event.accounts) };
    default: {
      const { nextDueMs, passwordSinceMs }: Pick<AuditEvent, 'nextDueMs' | 'passwordSinceMs'> =
        'status' in event ? event : {};
      return {
        nextDue: nextDueMs === undefined ? undefined : isoTime(nextDueMs),
        passwordSince: passwordSinceMs === undefined ? undefined : isoTime(passwordSinceMs, true),
      };
    }
  }
}

/**
 * Events about a password are *Password Change* (3); what the log says about itself, and stops, are
 * *Other* (99).
 */
const isPasswordChange = (code: LoggedEvent['code']): boolean =>
  /^(rotation|secret|credential)\./.test(code);

/**
 * The record of `event` as one line without LF. Throws a RangeError above 64 KiB, which the limits
 * rule out.
 */
export function formatRecord(event: LoggedEvent, stamp: Stamp, context: AuditContext): string {
  const { trigger, ...values }: Named = event;
  const result = resultOf(event);
  const [statusId, status] = statuses[result];
  const { actor, policy } = context;
  const activityId = isPasswordChange(event.code) ? 3 : 99;
  const account = values.account === undefined ? undefined : clip(values.account, 256);
  const username = values.username === undefined ? undefined : clip(values.username, 256);
  // Small objects of few shapes: one object with every field costs five times the time.
  const stamped: RecordValues = {
    activityId,
    activityName: activityId === 3 ? 'Password Change' : event.code,
    typeUid: 300_100 + activityId,
    message: `${event.code}: ${account ?? actor.name}`,
    code: event.code,
    severity: severityOf(event, result, policy),
    status,
    statusId,
    // Class 3001 requires a user. Where a record has no account, it is the one who acts.
    username: account === undefined ? actor.name : username,
    logName: stamp.origin,
    timeMs: stamp.timeMs,
    eventTimeMs: stamp.timeMs,
    sequence: stamp.sequence ?? undefined,
    uid: stamp.uid,
    batchRemaining: stamp.batchRemaining > 0 ? stamp.batchRemaining : undefined,
    sealedSize: stamp.sealedSize,
    policyMaxAgeDays: 'status' in event ? limitOf(event, policy) : undefined,
  };
  const triggered: RecordValues = {
    trigger: trigger?.kind,
    triggerReason: trigger?.reason,
    requestedBy: trigger?.requestedBy,
    changeRef: trigger?.changeRef,
  };
  const sources = [stamped, triggered, contextValues(context), renamedValues(event), values];
  const line = print(sources, fieldTree);
  if (Buffer.byteLength(line) + 1 > maxLineBytes)
    throw new RangeError('an audit record above 64 KiB');
  return line;
}

const known = new WeakMap<AuditContext, RecordValues>();

/** The fields that are the same in every record of one process. */
function contextValues(context: AuditContext): RecordValues {
  const found = known.get(context);
  if (found !== undefined) return found;
  const { actor, cloud, productVersion, sourceEndpoint } = context;
  const values: RecordValues = {
    app: 'thingspace-rotator',
    productName: 'thingspace-rotator',
    vendorName: 'thingspace-rotator',
    productVersion,
    categoryUid: 3,
    classUid: 3001,
    schemaVersion: '1.5.0',
    actor: actor.name,
    actorUid: actor.uid,
    hostname: sourceEndpoint?.hostname,
    ip: sourceEndpoint?.ip,
    endpointUid: sourceEndpoint?.uid,
    cloudProvider: cloud?.provider,
    cloudRegion: cloud?.region,
    cloudAccount: cloud?.accountUid,
    profiles: cloud ? ['cloud'] : undefined,
  };
  known.set(context, values);
  return values;
}

/** An event as a source: its properties with the names of the schema are printed. */
type Named = Omit<RecordValues, 'trigger'> & { readonly trigger?: Trigger | undefined };

type Fields = Readonly<Record<string, unknown>>;

/**
 * The fields as a tree of their paths: printer and reader walk it instead of searching each path.
 */
type FieldTree = Map<string, FieldTree | Leaf>;
type Leaf = { readonly name: FieldName; readonly field: Field };

/** Keys are in RFC 8785 order in each object, because the paths are added in order. */
const fieldTree: FieldTree = new Map();
const paths = (Object.entries(fields) as [FieldName, Field][])
  .map(([name, field]) => ({ name, field, steps: field.path.split('.') }))
  .sort((a, b) => (a.steps.join('\u0000') < b.steps.join('\u0000') ? -1 : 1));
for (const { name, field, steps } of paths) {
  let folder = fieldTree;
  for (const step of steps.slice(0, -1)) {
    const next = folder.get(step);
    const inner: FieldTree = next instanceof Map ? next : new Map();
    folder.set(step, inner);
    folder = inner;
  }
  folder.set(steps.at(-1) ?? '', { name, field });
}

/** The JSON text of the fields in `tree`; each value comes from the first source that has one. */
function print(sources: readonly RecordValues[], tree: FieldTree): string {
  let text = '';
  for (const [key, node] of tree) {
    const inner = node instanceof Map ? print(sources, node) : printValue(sources, node);
    if (inner !== '') text += `${text === '' ? '{' : ','}"${key}":${inner}`;
  }
  return text === '' ? '' : `${text}}`;
}

function printValue(sources: readonly RecordValues[], { name, field: { max } }: Leaf): string {
  for (const source of sources) {
    const value = source[name];
    if (value === undefined) continue;
    if (typeof value === 'number') return String(Math.trunc(value));
    return JSON.stringify(
      typeof value === 'string' && max !== undefined ? clip(value, max) : value,
    );
  }
  return '';
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
function parseLine(line: string | Buffer): Fields | null {
  try {
    return fieldsOf(JSON.parse(typeof line === 'string' ? line : line.toString('utf8')));
  } catch {
    return null;
  }
}

const fieldsOf = (value: unknown): Fields | null =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : null;

type Values = { -readonly [Name in FieldName]?: unknown };

/** Adds the fields of `record` that have the type of the schema. */
function readValues(record: Fields, tree: FieldTree, values: Values): Values {
  for (const key in record) {
    const node = tree.get(key);
    const value = record[key];
    if (node === undefined) continue;
    if (node instanceof Map) {
      const inner = fieldsOf(value);
      if (inner !== null) readValues(inner, node, values);
    } else if (
      node.field.type === 'text' ? typeof value === 'string' : isInteger(node.field, value)
    ) {
      values[node.name] = value;
    }
  }
  return values;
}

const isInteger = ({ type }: Field, value: unknown): boolean =>
  type === 'integer' && Number.isSafeInteger(value);

/** The view of a stored line; `null` when uid, sequence, time or event code is missing. */
export function viewLine(line: string | Buffer): RecordView | null {
  const record = parseLine(line);
  if (record === null) return null;
  const values = readValues(record, fieldTree, {}) as RecordValues;
  const { sequence = -1, timeMs = -1, uid, code, severity = 0, account } = values;
  if (sequence < 0 || timeMs < 0 || uid === undefined || code === undefined) return null;
  const actor = values.actor ?? values.app ?? '';
  // Without an account the user of the record is the actor.
  const username = account === undefined ? undefined : values.username;
  const status = statusOf(values.statusId);
  return Object.assign(values, { sequence, timeMs, uid, code, severity, actor, username, status });
}

const statusOf = (statusId: number | undefined): RecordStatus =>
  (Object.keys(statuses) as RecordStatus[]).find((name) => statuses[name][0] === statusId) ??
  'unknown';

/**
 * SHA-256, hex, of the sorted account names, each followed by LF: what `inventory.summary` carries.
 */
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
  const groups = [
    time.slice(0, 8),
    time.slice(8),
    `7${random.slice(0, 3)}`,
    `${variant}${random.slice(4, 7)}`,
    random.slice(8, 20),
  ];
  return groups.join('-');
}

/**
 * A clock that steps back by less gets the time of the record before. A larger step is written, and
 * `verify` reports it.
 */
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
