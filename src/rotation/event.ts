// Everything that can happen, with its data. One vocabulary for the log, the audit log, the metrics and
// the runbook. No code and no secret in here: what is not a field of these types is printed nowhere.

import type { Certainty, Facts, Reason } from './failure.ts';

/** Why an attempt runs, and on whose word. Free text by people is bounded by the entry points. */
export type Trigger = {
  readonly kind: 'schedule' | 'manual' | 'native' | 'recovery';
  /** Who asked, where somebody asked: an OS user, a role session ARN, a token's name. */
  readonly requestedBy?: string;
  readonly reason?: string;
  readonly changeRef?: string;
};

/**
 * What goes to the audit log about one account. The writer stamps id, sequence and time itself.
 * `status`: `started` for an intent; `unknown` where the reset may have happened.
 */
export type AuditEvent = {
  readonly code:
    | 'rotation.intended'
    | 'secret.stored'
    | 'secret.promoted'
    | 'credential.verified'
    | 'rotation.outcome'
    | 'rotation.reconciled'
    | 'account.stopped'
    | 'account.resumed'
    | 'secret.changed';
  readonly status: 'started' | 'success' | 'failure' | 'unknown';
  readonly account: string;
  readonly secretId: string;
  readonly username?: string;
  /** Correlates intent, store, verify and outcome of one rotation. */
  readonly rotationId?: string;
  readonly certainty?: Certainty;
  readonly reason?: Reason;
  readonly detail?: string;
  readonly versionBefore?: string;
  readonly versionAfter?: string;
  readonly verifiedBy?: 'login';
  readonly deadWindowMs?: number;
  readonly ageDaysBefore?: number;
  /** When the policy asks for the next rotation; UTC milliseconds. */
  readonly nextDueMs?: number;
  readonly trigger: Trigger;
};

/** A rotation whose intent is in the audit log without an outcome. */
export type OpenIntent = {
  readonly rotationId: string;
  readonly account: string;
  readonly intendedAtMs: number;
};

/** What the loop tells its observer (log, metrics, progress); facts only, never a value from the secret. */
export type RotationEvent = { readonly account: string; readonly rotationId?: string } & (
  | { readonly event: 'survey.finished'; readonly finding: string }
  | { readonly event: 'attempt.claimed'; readonly sequence: number; readonly loginsSpent: number }
  | {
      readonly event: 'login.accepted' | 'login.refused' | 'login.unknown' | 'login.not-sent';
      readonly credential: 'current' | 'new';
      readonly detail?: string;
    }
  | { readonly event: 'rotation.intended'; readonly sequence: number }
  | { readonly event: 'reset.answered' }
  | {
      readonly event: 'reset.refused' | 'reset.in-doubt' | 'reset.not-sent';
      readonly detail: string;
    }
  | { readonly event: 'receipt.written'; readonly place: string }
  | { readonly event: 'receipt.failed'; readonly detail: string }
  | { readonly event: 'secret.stored'; readonly versionId: string }
  | {
      readonly event: 'secret.promoted';
      readonly versionId: string;
      readonly deadWindowMs?: number;
    }
  | {
      readonly event: 'saving.retried';
      readonly step: 'store' | 'promote';
      readonly tries: number;
      readonly waitMs: number;
      readonly reason: Reason;
      readonly detail: string;
    }
  | { readonly event: 'audit.failed'; readonly detail: string }
  | {
      readonly event: 'attempt.finished';
      readonly outcome: string;
      readonly certainty: Certainty;
      readonly reason?: Reason;
      readonly detail?: string;
      readonly logins: number;
      /** What is known about a failure, for `explain` (catalogue.ts); never printed as it is. */
      readonly facts?: Facts;
    }
);
