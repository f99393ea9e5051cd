// What the audit log says about itself, the program's runs and its accounts as a set; what happens to one account's password
// is `AuditEvent` (rotation/event.ts). Nothing but data here, and no field that could hold a secret.

import type { AuditEvent, Trigger } from '../rotation/event.ts';

export type LogEvent =
  /** The first record of every log: which key will sign it. Written by the log itself. */
  | { readonly code: 'log.genesis'; readonly verifierKey: string }
  /** Nothing happened since the last checkpoint; written by the log itself so that silence can be told from absence. */
  | { readonly code: 'log.heartbeat' }
  /** A half-written tail was cut, so many bytes; written by the log itself. */
  | { readonly code: 'log.repaired'; readonly bytes: number; readonly detail: string }
  | {
      readonly code: 'run.started';
      readonly runId?: string;
      readonly accounts: number;
      readonly trigger: Trigger;
    }
  | {
      readonly code: 'run.finished';
      readonly runId?: string;
      readonly exitCode: 0 | 1 | 3 | 4;
      readonly rotated: number;
      readonly failed: number;
      readonly trigger: Trigger;
    }
  /** One account came or went; one record each. */
  | {
      readonly code: 'inventory.changed';
      readonly change: 'added' | 'removed';
      readonly account: string;
      readonly secretId?: string;
    }
  /** Count and SHA-256 of the sorted names, one per line; the names themselves are in `inventory.changed`. */
  | { readonly code: 'inventory.summary'; readonly accounts: readonly string[] }
  | {
      readonly code: 'policy.changed';
      readonly maxAgeDays: number;
      readonly rotateAfterDays: number;
      readonly maxAgeDaysBefore?: number;
      readonly rotateAfterDaysBefore?: number;
      readonly trigger?: Trigger;
    }
  /** A sink could not be written; `lost` records went to the second sink alone. */
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
      readonly trigger?: Trigger;
    }
  | {
      readonly code: 'log.verified';
      readonly state: 'intact' | 'incomplete' | 'altered';
      readonly size: number;
      readonly root: string;
      readonly trigger?: Trigger;
    }
  | {
      readonly code: 'key.rotated';
      readonly verifierKey: string;
      readonly verifierKeyBefore: string;
      readonly trigger?: Trigger;
    }
  /** A person looked at an exception of the report. `exceptionId` is the id the report gives it: a record's uid, or a rotationId. */
  | {
      readonly code: 'exception.acknowledged';
      readonly exceptionId: string;
      readonly account?: string;
      readonly note: string;
      readonly trigger?: Trigger;
    };

/** Everything the log takes. */
export type LoggedEvent = AuditEvent | LogEvent;

/** Every event code there is. */
export type EventCode = LoggedEvent['code'];

const codes: Record<EventCode, true> = {
  'log.genesis': true,
  'log.heartbeat': true,
  'log.repaired': true,
  'run.started': true,
  'run.finished': true,
  'inventory.changed': true,
  'inventory.summary': true,
  'policy.changed': true,
  'sink.failed': true,
  'report.exported': true,
  'log.verified': true,
  'key.rotated': true,
  'exception.acknowledged': true,
  'rotation.intended': true,
  'secret.stored': true,
  'secret.promoted': true,
  'secret.changed': true,
  'credential.verified': true,
  'rotation.outcome': true,
  'rotation.reconciled': true,
  'account.stopped': true,
  'account.resumed': true,
};

/** Every event code, for `--event` and its nearest right one. */
export const eventCodes = Object.keys(codes) as readonly EventCode[];
