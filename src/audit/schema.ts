// What the audit log holds: its events, and the one table of the fields of a record. The printer
// and the reader (record.ts) and the tables in docs/AUDIT.md are made from it. Data only, and no
// field that could hold a secret: what is not in this table is not written.

import type { AuditEvent, Trigger } from '../rotation/event.ts';
import type { Result } from '../rotation/state.ts';

/**
 * Events about the log, the runs and the accounts as a set; `AuditEvent` is about the password of
 * one account.
 */
export type LogEvent =
  /** Written by the log itself: `verifierKey` belongs to the key that signs it. */
  | {
      readonly code: 'log.genesis';
      readonly verifierKey: string;
      /** Origin, size and root of the last checkpoint of the log that this one follows. */
      readonly predecessor?: string | undefined;
    }
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
      /** Of a run that was requested for one account. */
      readonly account?: string | undefined;
      readonly force?: 'true' | undefined;
      readonly keyDigest?: string | undefined;
      /** Of the request, hex. */
      readonly sha256?: string | undefined;
    }
  | {
      readonly code: 'run.finished';
      readonly runId?: string | undefined;
      readonly exitCode: 0 | 1 | 3 | 4;
      readonly rotated: number;
      readonly failed: number;
      readonly trigger: Trigger;
      /** Of a run that was requested for one account; the result follows where there is one. */
      readonly account?: string | undefined;
      readonly result?: Result | undefined;
    }
  /**
   * One record for each account that was added or removed. With the trigger `native`: Secrets
   * Manager rotates it, and no run over the accounts finds it.
   */
  | {
      readonly code: 'inventory.changed';
      readonly change: 'added' | 'removed' | 'moved';
      readonly account: string;
      readonly secretId?: string | undefined;
      readonly trigger?: Trigger | undefined;
    }
  /**
   * Stored as count and SHA-256 of the sorted names; the names are in `inventory.changed`.
   * `factsSha256`: over all facts (facts.ts); absent in records of 0.1.
   */
  | {
      readonly code: 'inventory.summary';
      readonly accounts: readonly string[];
      readonly factsSha256?: string | undefined;
    }
  /** Of the fleet, or of `account`; an account without limits follows the fleet again. */
  | {
      readonly code: 'policy.changed';
      readonly account?: string | undefined;
      readonly maxAgeDays?: number | undefined;
      readonly rotateAfterDays?: number | undefined;
      readonly maxAgeDaysBefore?: number | undefined;
      readonly rotateAfterDaysBefore?: number | undefined;
      readonly trigger?: Trigger | undefined;
    }
  /** An exemption from the policy began, has other words, or ended (`removed`). */
  | {
      readonly code: 'exemption.changed';
      readonly change: 'added' | 'removed';
      readonly account: string;
      readonly exemptBy: string;
      readonly exemptWhy: string;
      readonly exemptUntil: string;
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
  /** Records were shown to somebody; `detail` is the command. */
  | {
      readonly code: 'log.read';
      readonly detail: string;
      readonly trigger?: Trigger | undefined;
    }
  /** A month of the log was written to a bundle, or removed from the log after that. */
  | {
      readonly code: 'log.archived';
      readonly change: 'written' | 'removed';
      readonly month: string;
      /** The number of records up to its end. */
      readonly size: number;
      /** Of the bundle, hex. */
      readonly sha256: string;
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

/** One field of a record. */
export type Field = {
  /** Where it is in the JSON object. */
  readonly path: string;
  /** `list`: of texts. Times are integers. */
  readonly type: 'text' | 'integer' | 'list';
  /** The most UTF-16 units that are written. */
  readonly max?: number | undefined;
};

const text = (path: string, max?: number) => ({ path, type: 'text', max }) as const;
const integer = (path: string) => ({ path, type: 'integer' }) as const;
const list = (path: string) => ({ path, type: 'list' }) as const;

/** Every field of a record, by the name that this program uses; in the order of docs/AUDIT.md. */
export const fields = {
  sequence: integer('metadata.sequence'),
  uid: text('metadata.uid'),
  code: text('metadata.event_code'),
  timeMs: integer('metadata.logged_time'),
  eventTimeMs: integer('time'),
  logName: text('metadata.log_name'),
  account: text('user.account.name', 256),
  username: text('user.name', 512),
  rotationId: text('metadata.correlation_uid', 128),
  status: text('status'),
  statusId: integer('status_id'),
  reason: text('status_code'),
  detail: text('status_detail', 2048),
  severity: integer('severity_id'),
  message: text('message'),
  actor: text('actor.user.name', 512),
  actorUid: text('actor.user.uid', 512),
  app: text('actor.app_name'),
  trigger: text('unmapped.trigger'),
  requestedBy: text('unmapped.requested_by', 512),
  triggerReason: text('unmapped.reason', 1024),
  changeRef: text('unmapped.change_ref', 256),
  secretId: text('unmapped.secret_id', 512),
  versionBefore: text('unmapped.version_before', 128),
  versionAfter: text('unmapped.version_after', 128),
  attemptRecord: integer('unmapped.attempt_record'),
  certainty: text('unmapped.certainty'),
  verifiedBy: text('unmapped.verified_by'),
  deadWindowMs: integer('unmapped.dead_window_ms'),
  ageDaysBefore: integer('unmapped.age_days_before'),
  policyMaxAgeDays: integer('unmapped.policy_max_age_days'),
  passwordSince: text('unmapped.password_since'),
  nextDue: text('unmapped.next_due'),
  batchRemaining: integer('unmapped.batch_remaining'),
  sealedSize: integer('unmapped.sealed_size'),
  count: integer('unmapped.count'),
  exitCode: integer('unmapped.exit_code'),
  rotated: integer('unmapped.rotated'),
  failed: integer('unmapped.failed'),
  force: text('unmapped.force'),
  keyDigest: text('unmapped.idempotency_key_digest'),
  outcome: text('unmapped.outcome'),
  ofRotation: text('unmapped.rotation_uid', 128),
  logins: integer('unmapped.logins'),
  change: text('unmapped.change'),
  sha256: text('unmapped.sha256'),
  factsSha256: text('unmapped.facts_sha256'),
  exemptBy: text('unmapped.exempt_by', 512),
  exemptWhy: text('unmapped.exempt_reason', 1024),
  exemptUntil: text('unmapped.exempt_until'),
  maxAgeDays: integer('unmapped.max_age_days'),
  maxAgeDaysBefore: integer('unmapped.max_age_days_before'),
  rotateAfterDays: integer('unmapped.rotate_after_days'),
  rotateAfterDaysBefore: integer('unmapped.rotate_after_days_before'),
  bytes: integer('unmapped.bytes'),
  sink: text('unmapped.sink', 512),
  lost: integer('unmapped.lost'),
  from: text('unmapped.from'),
  to: text('unmapped.to'),
  state: text('unmapped.state'),
  month: text('unmapped.month'),
  size: integer('unmapped.size'),
  root: text('unmapped.root'),
  verifierKey: text('unmapped.verifier_key'),
  verifierKeyBefore: text('unmapped.verifier_key_before'),
  predecessor: text('unmapped.predecessor', 512),
  exceptionId: text('unmapped.exception_id', 256),
  note: text('unmapped.note', 2048),
  productVersion: text('metadata.product.version'),
  productName: text('metadata.product.name'),
  vendorName: text('metadata.product.vendor_name'),
  hostname: text('src_endpoint.hostname'),
  ip: text('src_endpoint.ip'),
  endpointUid: text('src_endpoint.uid'),
  cloudProvider: text('cloud.provider'),
  cloudRegion: text('cloud.region'),
  cloudAccount: text('cloud.account.uid'),
  activityId: integer('activity_id'),
  activityName: text('activity_name'),
  typeUid: integer('type_uid'),
  classUid: integer('class_uid'),
  categoryUid: integer('category_uid'),
  schemaVersion: text('metadata.version'),
  profiles: list('metadata.profiles'),
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
