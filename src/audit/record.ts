// One audit record: an OCSF 1.5.0 event of class 3001 (Account Change), one JSON object on one line. Printer and parser stand side
// by side. Fields are an allow-list by construction: what is not named here is not written. Never a password, a token, a header,
// nor a hash of a password.
//
//   {"activity_id":3,"activity_name":"Password Change","actor":{…},…,"metadata":{…"sequence":7,"uid":"…"},…,"unmapped":{…},"user":{…}}
//
// Keys are in RFC 8785 order, values are strings, booleans, null and safe integers, so the line is its own canonical form.

import { createHash, randomBytes } from 'node:crypto';
import type { AuditEvent, Trigger } from '../rotation/event.ts';
import type { Reason } from '../rotation/failure.ts';
import { isoTime } from '../time.ts';
import type { LoggedEvent } from './schema.ts';

/** What is the same for every record of one process; given once when the log is opened. */
export type AuditContext = {
  /** Who acts: an OS user or a role session ARN. */
  readonly actor: { readonly name: string; readonly uid?: string };
  /** The release of this program. */
  readonly productVersion: string;
  /** The machine or function it runs on. */
  readonly sourceEndpoint?: {
    readonly hostname?: string;
    readonly ip?: string;
    readonly uid?: string;
  };
  /** The cloud, where there is one; `provider` is "AWS". */
  readonly cloud?: {
    readonly provider: string;
    readonly region?: string;
    readonly accountUid?: string;
  };
  /** The policy in force, in days; also decides severity. */
  readonly policy: { readonly maxAgeDays: number; readonly warnAgeDays: number };
};

/** What only the writer of the log may say about a record. */
export type Stamp = {
  readonly uid: string;
  /** Zero-based, no gaps. `null` on the second sink: the record is in no log. */
  readonly sequence: number | null;
  /** UTC milliseconds. */
  readonly timeMs: number;
  readonly origin: string;
  /** How many records of the same append still follow. */
  readonly batchRemaining: number;
  /** On the first record after a checkpoint: its size, so that a checkpoint cannot vanish unnoticed. */
  readonly sealedSize?: number;
};

/** A line with its LF must not be longer. */
export const maxLineBytes = 65_536;

const surrogate = /[\ud800-\udfff]/;

/** `text` without lone surrogates (RFC 8785 forbids them), at most `max` UTF-16 units. */
function clip(text: string | undefined, max: number): string | undefined {
  if (text === undefined) return undefined;
  const whole = text.length > max ? `${text.slice(0, max - 1)}…` : text;
  return surrogate.test(whole) ? Buffer.from(whole, 'utf8').toString('utf8') : whole;
}

const int = (value: number | undefined): number | undefined =>
  value === undefined ? undefined : Math.trunc(value);

const statuses = {
  started: [99, 'Started'],
  success: [1, 'Success'],
  failure: [2, 'Failure'],
  unknown: [0, 'Unknown'],
} as const;
type Status = keyof typeof statuses;

const refusals: ReadonlySet<Reason | undefined> = new Set([
  'login-refused',
  'login-budget-spent',
  'verify-refused',
  'reset-refused',
  'session-refused',
  'api-key-refused',
  'store-denied',
  'store-conflict',
]);

/** 1 informational, 2 low, 3 past the warning age, 4 refused, locked or past the policy's age, 5 the password is unknown. */
function severityOf(event: LoggedEvent, status: Status, policy: AuditContext['policy']): number {
  if (status === 'unknown') return 5;
  if (
    !('secretId' in event) ||
    !('certainty' in event || 'ageDaysBefore' in event || 'reason' in event)
  ) {
    return event.code === 'account.stopped' ? 4 : status === 'failure' ? 3 : 1;
  }
  const {
    certainty,
    reason,
    ageDaysBefore: ageDays = 0,
  } = event as { certainty?: string; reason?: Reason; ageDaysBefore?: number };
  if (certainty === 'lost' || reason === 'password-lost') return 5;
  if (status === 'success') return 1;
  if (event.code === 'account.stopped' || refusals.has(reason) || ageDays > policy.maxAgeDays)
    return 4;
  if (ageDays > policy.warnAgeDays) return 3;
  return status === 'failure' ? 2 : 1;
}

/** The fields an event brings beside its code: user, result, and what goes under `unmapped`. */
type Mapped = {
  status: Status;
  account?: string | undefined;
  username?: string | undefined;
  correlation?: string | undefined;
  code?: string | undefined;
  detail?: string | undefined;
  trigger?: Trigger | undefined;
  unmapped: object;
};

function mapLogEvent(
  event: Exclude<LoggedEvent, { readonly secretId: string; readonly status: string }>,
): Mapped {
  const base = {
    status: 'success' as const,
    ...('trigger' in event && event.trigger ? { trigger: event.trigger } : {}),
  };
  switch (event.code) {
    case 'log.genesis':
      return { ...base, unmapped: { verifier_key: event.verifierKey } };
    case 'log.heartbeat':
      return { ...base, unmapped: {} };
    case 'log.repaired':
      return { ...base, detail: event.detail, unmapped: { bytes: event.bytes } };
    case 'run.started':
      return {
        ...base,
        status: 'started',
        ...(event.runId ? { correlation: event.runId } : {}),
        unmapped: { count: event.accounts },
      };
    case 'run.finished': {
      const { exitCode, rotated, failed, runId } = event;
      const status = exitCode === 0 ? ('success' as const) : ('failure' as const);
      return {
        ...base,
        status,
        ...(runId ? { correlation: runId } : {}),
        unmapped: { exit_code: exitCode, failed, rotated },
      };
    }
    case 'inventory.changed':
      return {
        ...base,
        account: event.account,
        unmapped: { change: event.change, secret_id: clip(event.secretId, 512) },
      };
    case 'inventory.summary':
      return {
        ...base,
        unmapped: { count: event.accounts.length, sha256: inventoryHash(event.accounts) },
      };
    case 'policy.changed':
      return {
        ...base,
        unmapped: {
          max_age_days: event.maxAgeDays,
          max_age_days_before: event.maxAgeDaysBefore,
          rotate_after_days: event.rotateAfterDays,
          rotate_after_days_before: event.rotateAfterDaysBefore,
        },
      };
    case 'sink.failed':
      return {
        ...base,
        status: 'failure',
        detail: event.detail,
        unmapped: { lost: event.lost, sink: clip(event.sink, 512) },
      };
    case 'report.exported':
      return { ...base, unmapped: { from: event.from, sha256: event.sha256, to: event.to } };
    case 'log.verified':
      return {
        ...base,
        status: event.state === 'altered' ? 'failure' : 'success',
        unmapped: { root: event.root, size: event.size, state: event.state },
      };
    case 'key.rotated':
      return {
        ...base,
        unmapped: { verifier_key: event.verifierKey, verifier_key_before: event.verifierKeyBefore },
      };
    case 'exception.acknowledged':
      return {
        ...base,
        ...(event.account === undefined ? {} : { account: event.account }),
        unmapped: { exception_id: clip(event.exceptionId, 256), note: clip(event.note, 2048) },
      };
  }
}

function mapEvent(event: LoggedEvent): Mapped {
  if (!('status' in event)) return mapLogEvent(event);
  const { status, account, username, rotationId, reason, detail, trigger } = event;
  return {
    status,
    account,
    username,
    correlation: rotationId,
    code: reason,
    detail,
    trigger,
    unmapped: event,
  };
}

/** What every record has under `unmapped`, as far as there is something. */
function commonFields(stamp: Stamp, trigger: Trigger | undefined, maxAgeDays: number | undefined) {
  return {
    batch_remaining: stamp.batchRemaining > 0 ? stamp.batchRemaining : undefined,
    change_ref: clip(trigger?.changeRef, 256),
    policy_max_age_days: maxAgeDays,
    reason: clip(trigger?.reason, 1024),
    requested_by: clip(trigger?.requestedBy, 512),
    sealed_size: stamp.sealedSize,
    trigger: trigger?.kind,
  };
}

/** The fields of an event about a password, in RFC 8785 order as they stand. */
function passwordFields(event: AuditEvent, common: ReturnType<typeof commonFields>): object {
  return {
    age_days_before: int(event.ageDaysBefore),
    batch_remaining: common.batch_remaining,
    certainty: event.certainty,
    change_ref: common.change_ref,
    dead_window_ms: int(event.deadWindowMs),
    next_due: event.nextDueMs === undefined ? undefined : isoTime(event.nextDueMs),
    policy_max_age_days: common.policy_max_age_days,
    reason: common.reason,
    requested_by: common.requested_by,
    sealed_size: common.sealed_size,
    secret_id: clip(event.secretId, 512),
    trigger: common.trigger,
    verified_by: event.verifiedBy,
    version_after: clip(event.versionAfter, 128),
    version_before: clip(event.versionBefore, 128),
  };
}

/** Keys in RFC 8785 order, the undefined left out; `undefined` for an empty object. */
function sorted(fields: Record<string, unknown>): Record<string, unknown> | undefined {
  const keys = Object.keys(fields)
    .filter((key) => fields[key] !== undefined)
    .sort();
  return keys.length === 0 ? undefined : Object.fromEntries(keys.map((key) => [key, fields[key]]));
}

function cloudOf({ cloud }: AuditContext): unknown {
  if (!cloud) return undefined;
  const account = cloud.accountUid === undefined ? undefined : { uid: cloud.accountUid };
  return sorted({ account, provider: cloud.provider, region: cloud.region });
}

/** What stays the same from record to record, computed once. */
export type Frame = {
  readonly context: AuditContext;
  readonly actor: unknown;
  readonly cloud: unknown;
  readonly source: unknown;
};

export function frameOf(context: AuditContext): Frame {
  const user = sorted({ name: clip(context.actor.name, 512), uid: clip(context.actor.uid, 512) });
  const { sourceEndpoint } = context;
  const source =
    sourceEndpoint &&
    sorted({ hostname: sourceEndpoint.hostname, ip: sourceEndpoint.ip, uid: sourceEndpoint.uid });
  return {
    context,
    actor: { app_name: 'thingspace-rotator', user },
    cloud: cloudOf(context),
    source,
  };
}

/** Events about a password are *Password Change* (3); what the log says about itself, and stops, are *Other* (99) with a name. */
function activityOf(code: LoggedEvent['code']): readonly [number, string] {
  return /^(rotation|secret|credential)\./.test(code) ? [3, 'Password Change'] : [99, code];
}

/** The record of `event` as one line without LF. Throws a RangeError for a line above 64 KiB, which the clipping above rules out. */
export function formatRecord(event: LoggedEvent, stamp: Stamp, frame: Frame): string {
  const mapped = mapEvent(event);
  const { context } = frame;
  const [activity, activityName] = activityOf(event.code);
  const [statusId, status] = statuses[mapped.status];
  const account = clip(mapped.account, 256);
  const about = account === undefined ? context.actor.name : account;
  const common = commonFields(
    stamp,
    mapped.trigger,
    'status' in event ? context.policy.maxAgeDays : undefined,
  );
  // Literals below are in RFC 8785 order; JSON.stringify leaves out what is undefined.
  const line = JSON.stringify({
    activity_id: activity,
    activity_name: activityName,
    actor: frame.actor,
    category_uid: 3,
    class_uid: 3001,
    cloud: frame.cloud,
    message: `${event.code}: ${about}`,
    metadata: {
      correlation_uid: clip(mapped.correlation, 128),
      event_code: event.code,
      log_name: stamp.origin,
      logged_time: stamp.timeMs,
      product: {
        name: 'thingspace-rotator',
        vendor_name: 'thingspace-rotator',
        version: context.productVersion,
      },
      profiles: frame.cloud ? ['cloud'] : undefined,
      sequence: stamp.sequence ?? undefined,
      uid: stamp.uid,
      version: '1.5.0',
    },
    severity_id: severityOf(event, mapped.status, context.policy),
    src_endpoint: frame.source,
    status,
    status_code: mapped.code,
    status_detail: clip(mapped.detail, 2048),
    status_id: statusId,
    time: stamp.timeMs,
    type_uid: 300_100 + activity,
    unmapped:
      'status' in event ? passwordFields(event, common) : sorted({ ...mapped.unmapped, ...common }),
    // Class 3001 asks for a user; where a record is about the log and no account, it is the one who acts.
    user:
      account === undefined
        ? { name: clip(context.actor.name, 512) }
        : { account: { name: account }, name: clip(mapped.username, 256) },
  });
  if (Buffer.byteLength(line) + 1 > maxLineBytes)
    throw new RangeError('an audit record above 64 KiB');
  return line;
}

/** SHA-256, hex, of the sorted account names, each followed by LF: what `inventory.summary` carries. */
export function inventoryHash(accounts: readonly string[]): string {
  const hash = createHash('sha256');
  for (const name of [...accounts].sort()) hash.update(`${name}\n`);
  return hash.digest('hex');
}

let pool = Buffer.alloc(0);

/** A version-7 UUID (RFC 9562): 48 bits of UTC milliseconds, 74 random bits, drawn from the system in larger helpings. */
export function uuidv7(timeMs: number): string {
  if (pool.length < 10) pool = randomBytes(2560);
  const random = pool.toString('hex', 0, 10);
  pool = pool.subarray(10);
  const time = Math.floor(timeMs).toString(16).padStart(12, '0').slice(-12);
  const variant = (8 + (Number.parseInt(random.charAt(3), 16) % 4)).toString(16);
  return `${time.slice(0, 8)}-${time.slice(8)}-7${random.slice(0, 3)}-${variant}${random.slice(4, 7)}-${random.slice(8, 20)}`;
}

/** A clock that steps back by less than this is taken for the time of the record before; more is written as it is, and shows in `verify`. */
const clockSlackMs = 5_000;

/** Where a log stands, for the records that come next: its size, the time of its last record, and a checkpoint still to be mentioned. */
export type Position = {
  readonly size: number;
  readonly lastTimeMs: number;
  readonly nowMs: number;
  readonly sealedSize?: number;
};

/** The lines of one append, without LF. The time is never before that of the record before, unless the clock went back by more than a slip. */
export function stampAll(
  events: readonly LoggedEvent[],
  at: Position,
  frame: Frame,
  origin: string,
): { timeMs: number; texts: string[] } {
  const back = at.lastTimeMs - at.nowMs;
  const timeMs = back > 0 && back <= clockSlackMs ? at.lastTimeMs : at.nowMs;
  const texts = events.map((event, index) =>
    formatRecord(
      event,
      {
        uid: uuidv7(timeMs),
        sequence: at.size + index,
        timeMs,
        origin,
        batchRemaining: events.length - 1 - index,
        ...(index === 0 && at.sealedSize !== undefined ? { sealedSize: at.sealedSize } : {}),
      },
      frame,
    ),
  );
  return { timeMs, texts };
}
