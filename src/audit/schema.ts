// What the audit log holds: its events, and the one table of the fields of a record. The printer
// and the reader (record.ts), the CSV columns (report/csv.ts) and the tables in docs/AUDIT.md are
// made from it. Data only, and no field that could hold a secret: what is not in this table is not
// written.

import type { AuditEvent, Trigger } from '../rotation/event.ts';

/**
 * Events about the log, the runs and the accounts as a set; `AuditEvent` is about the password of
 * one account.
 */
export type LogEvent =
  /** Written by the log itself: `verifierKey` belongs to the key that signs it. */
  | { readonly code: 'log.genesis'; readonly verifierKey: string }
  /**
   * Written by the log itself, so that a log without activity differs from a log with missing
   * records.
   */
  | { readonly code: 'log.heartbeat' }
  /** Written by the log itself: so many bytes of an incomplete append were removed. */
  | { readonly code: 'log.repaired'; readonly bytes: number; readonly detail: string }
  | {
      readonly code: 'run.started';
      readonly runId?: string | undefined;
      readonly accounts: number;
      readonly trigger: Trigger;
    }
  | {
      readonly code: 'run.finished';
      readonly runId?: string | undefined;
      readonly exitCode: 0 | 1 | 3 | 4;
      readonly rotated: number;
      readonly failed: number;
      readonly trigger: Trigger;
    }
  /** One record for each account that was added or removed. */
  | {
      readonly code: 'inventory.changed';
      readonly change: 'added' | 'removed';
      readonly account: string;
      readonly secretId?: string | undefined;
    }
  /** Stored as count and SHA-256 of the sorted names; the names are in `inventory.changed`. */
  | { readonly code: 'inventory.summary'; readonly accounts: readonly string[] }
  | {
      readonly code: 'policy.changed';
      readonly maxAgeDays: number;
      readonly rotateAfterDays: number;
      readonly maxAgeDaysBefore?: number | undefined;
      readonly rotateAfterDaysBefore?: number | undefined;
      readonly trigger?: Trigger | undefined;
    }
  /** The audit storage `sink` could not be written; `lost` records went to the fallback only. */
  | {
      readonly code: 'sink.failed';
      readonly sink: string;
      readonly detail: string;
      readonly lost: number;
    }
  /** `from`, `to`: ISO dates. `sha256`: of report.json, hex. */
  | {
      readonly code: 'report.exported';
      readonly from: string;
      readonly to: string;
      readonly sha256: string;
      readonly trigger?: Trigger | undefined;
    }
  | {
      readonly code: 'log.verified';
      readonly state: 'intact' | 'incomplete' | 'altered';
      readonly size: number;
      readonly root: string;
      readonly trigger?: Trigger | undefined;
    }
  | {
      readonly code: 'key.rotated';
      readonly verifierKey: string;
      readonly verifierKeyBefore: string;
      readonly trigger?: Trigger | undefined;
    }
  /**
   * A person acknowledged an exception of the report; `exceptionId` is the id that the report
   * shows.
   */
  | {
      readonly code: 'exception.acknowledged';
      readonly exceptionId: string;
      readonly account?: string | undefined;
      readonly note: string;
      readonly trigger?: Trigger | undefined;
    };

/** Everything that the log takes. */
export type LoggedEvent = AuditEvent | LogEvent;

export type EventCode = LoggedEvent['code'];

/** Every event code, and what it means; in the order of docs/AUDIT.md. */
export const eventMeanings: Readonly<Record<EventCode, string>> = {
  'rotation.intended':
    'A reset is about to be sent. This record is durable first; without it no reset is sent.',
  'secret.stored': 'The new password is stored as the pending version of the secret.',
  'secret.promoted': 'The new password is the current version of the secret.',
  'credential.verified': 'ThingSpace accepted a login with the new password.',
  'rotation.outcome':
    'The rotation ended. Status `unknown` means that the reset may have changed the password.',
  'rotation.reconciled': 'The result of an earlier rotation was determined later.',
  'account.stopped': 'Automatic rotation of the account is suspended until a person acts.',
  'account.resumed': 'A person cleared the suspension.',
  'secret.changed': 'The password was stored by hand, outside a rotation.',
  'run.started': 'A run over the accounts started.',
  'run.finished': 'The run ended, with the numbers of rotated and failed accounts.',
  'inventory.changed': 'An account was added or removed.',
  'inventory.summary': 'The number of accounts, and the SHA-256 of their sorted names.',
  'policy.changed': 'The policy has other limits than before.',
  'log.genesis': 'The first record of a log. It holds the verifier key of the key that signs.',
  'log.heartbeat': 'No other record was written since the previous checkpoint.',
  'log.repaired': 'An append that a crash left incomplete was removed. It was not acknowledged.',
  'log.verified': 'The log was verified.',
  'key.rotated': 'Another key signs from here on.',
  'sink.failed': 'The audit storage could not be written. The records went to standard error only.',
  'report.exported': 'A report was written.',
  'exception.acknowledged': 'A person acknowledged an exception of the report.',
};

export const eventCodes = Object.keys(eventMeanings) as readonly EventCode[];

/** One field of a record. */
export type Field = {
  /** Where it is in the JSON object. */
  readonly path: string;
  /** `list`: of texts. Times are integers. */
  readonly type: 'text' | 'integer' | 'list';
  /** What it holds, for docs/AUDIT.md. */
  readonly meaning: string;
  /** The most UTF-16 units that are written. */
  readonly max?: number | undefined;
};

const text = (path: string, meaning: string, max?: number) =>
  ({ path, type: 'text', meaning, max }) as const;
const integer = (path: string, meaning: string) => ({ path, type: 'integer', meaning }) as const;
const list = (path: string, meaning: string) => ({ path, type: 'list', meaning }) as const;

/** Every field of a record, by the name that this program uses; in the order of docs/AUDIT.md. */
export const fields = {
  sequence: integer('metadata.sequence', 'Number of the record: counted from 0, without a gap'),
  uid: text('metadata.uid', 'Unique id of the record: a version 7 UUID'),
  code: text('metadata.event_code', 'Event; see the next table'),
  timeMs: integer(
    'metadata.logged_time',
    'Time at which the log wrote the record; UTC milliseconds',
  ),
  eventTimeMs: integer('time', 'The same time; OCSF requires this field'),
  logName: text('metadata.log_name', 'Name of the log: its origin'),
  account: text('user.account.name', 'Account', 256),
  username: text('user.name', 'ThingSpace user of the account; without an account, the actor', 512),
  rotationId: text('metadata.correlation_uid', 'Rotation or run; the same in all its records', 128),
  status: text('status', 'Result: Success, Failure, Unknown or Started'),
  statusId: integer('status_id', 'Result: 1 success, 2 failure, 0 unknown, 99 started'),
  reason: text('status_code', 'Reason of a failure; see RUNBOOK.md'),
  detail: text('status_detail', 'Reason in one sentence', 2048),
  severity: integer('severity_id', '1 informational, 2 low, 3 medium, 4 high, 5 critical'),
  message: text('message', 'Event and account'),
  actor: text('actor.user.name', 'Who acted: an operating-system user or a role session ARN', 512),
  actorUid: text('actor.user.uid', 'Id of that user', 512),
  app: text('actor.app_name', 'This program'),
  trigger: text('unmapped.trigger', 'What started it: schedule, manual, native or recovery'),
  requestedBy: text('unmapped.requested_by', 'Who requested it', 512),
  triggerReason: text('unmapped.reason', 'Why it was requested', 1024),
  changeRef: text('unmapped.change_ref', 'Reference of the change, for example a ticket', 256),
  secretId: text('unmapped.secret_id', 'Secret that holds the password', 512),
  versionBefore: text('unmapped.version_before', 'Version of the secret before the rotation', 128),
  versionAfter: text('unmapped.version_after', 'Version of the secret with the new password', 128),
  certainty: text('unmapped.certainty', 'What is known about the password afterwards'),
  verifiedBy: text('unmapped.verified_by', '`login`: a login with the new password was accepted'),
  deadWindowMs: integer(
    'unmapped.dead_window_ms',
    'How long the stored password was out of date; milliseconds',
  ),
  ageDaysBefore: integer('unmapped.age_days_before', 'Age of the password before; days'),
  policyMaxAgeDays: integer('unmapped.policy_max_age_days', 'Largest age that the policy allows'),
  nextDue: text('unmapped.next_due', 'When the policy asks for the next rotation'),
  batchRemaining: integer(
    'unmapped.batch_remaining',
    'How many records of the same append follow; absent on the last one',
  ),
  sealedSize: integer(
    'unmapped.sealed_size',
    'Size of the checkpoint that was signed before this record',
  ),
  count: integer('unmapped.count', '`run.started`, `inventory.summary`: number of accounts'),
  exitCode: integer('unmapped.exit_code', '`run.finished`: exit code'),
  rotated: integer('unmapped.rotated', '`run.finished`: accounts that were rotated'),
  failed: integer('unmapped.failed', '`run.finished`: accounts that failed'),
  change: text('unmapped.change', '`inventory.changed`: added or removed'),
  sha256: text('unmapped.sha256', '`inventory.summary`, `report.exported`: SHA-256, hexadecimal'),
  maxAgeDays: integer('unmapped.max_age_days', '`policy.changed`: largest age'),
  maxAgeDaysBefore: integer('unmapped.max_age_days_before', '`policy.changed`: largest age before'),
  rotateAfterDays: integer(
    'unmapped.rotate_after_days',
    '`policy.changed`: age at which to rotate',
  ),
  rotateAfterDaysBefore: integer(
    'unmapped.rotate_after_days_before',
    '`policy.changed`: age at which to rotate, before',
  ),
  bytes: integer('unmapped.bytes', '`log.repaired`: bytes that were removed'),
  sink: text('unmapped.sink', '`sink.failed`: the audit storage', 512),
  lost: integer('unmapped.lost', '`sink.failed`: records that are only on standard error'),
  from: text('unmapped.from', '`report.exported`: start of the period'),
  to: text('unmapped.to', '`report.exported`: end of the period'),
  state: text('unmapped.state', '`log.verified`: intact, incomplete or altered'),
  size: integer('unmapped.size', '`log.verified`: number of records'),
  root: text('unmapped.root', '`log.verified`: root hash, base64'),
  verifierKey: text('unmapped.verifier_key', '`log.genesis`, `key.rotated`: verifier key'),
  verifierKeyBefore: text('unmapped.verifier_key_before', '`key.rotated`: verifier key before'),
  exceptionId: text('unmapped.exception_id', '`exception.acknowledged`: id in the report', 256),
  note: text('unmapped.note', '`exception.acknowledged`: what the person wrote', 2048),
  productVersion: text('metadata.product.version', 'Version of this program'),
  productName: text('metadata.product.name', 'This program'),
  vendorName: text('metadata.product.vendor_name', 'This program'),
  hostname: text('src_endpoint.hostname', 'Machine'),
  ip: text('src_endpoint.ip', 'Address of the machine'),
  endpointUid: text('src_endpoint.uid', 'Id of the machine or function'),
  cloudProvider: text('cloud.provider', 'Cloud'),
  cloudRegion: text('cloud.region', 'Region of the cloud'),
  cloudAccount: text('cloud.account.uid', 'Account at the cloud provider'),
  activityId: integer('activity_id', '3 *Password Change*, 99 *Other*'),
  activityName: text('activity_name', '*Password Change*, or the event'),
  typeUid: integer('type_uid', 'OCSF type: class and activity'),
  classUid: integer('class_uid', 'OCSF class: 3001 *Account Change*'),
  categoryUid: integer('category_uid', 'OCSF category: 3 *Identity & Access Management*'),
  schemaVersion: text('metadata.version', 'OCSF version'),
  profiles: list('metadata.profiles', 'OCSF profiles'),
} as const satisfies Record<string, Field>;

export type FieldName = keyof typeof fields;

type ValueOf<F extends Field> = F['type'] extends 'text'
  ? string
  : F['type'] extends 'integer'
    ? number
    : readonly string[];

/** The fields of one record by our names. */
export type RecordValues = {
  readonly [Name in FieldName]?: ValueOf<(typeof fields)[Name]> | undefined;
};
