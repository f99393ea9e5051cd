// Everything that can happen, with its data. One vocabulary for the log, the audit log, the metrics
// and the runbook. No code and no secret in here: what is not a field of these types is printed
// nowhere.

import type { Certainty, Facts, Reason } from './failure.ts';

/** `unattended`: the command line without a terminal, which does not say what called it. */
export const triggerKinds = ['schedule', 'manual', 'native', 'recovery', 'unattended'] as const;

/** Why an attempt runs, and on whose word. Free text by people is bounded by the entry points. */
export type Trigger = {
  readonly kind: (typeof triggerKinds)[number];
  /** Who asked, where somebody asked: an OS user, a role session ARN, a token's name. */
  readonly requestedBy?: string | undefined;
  readonly reason?: string | undefined;
  readonly changeRef?: string | undefined;
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
    | 'attempt.failed'
    | 'account.stopped'
    | 'account.resumed'
    | 'secret.changed';
  readonly status: 'started' | 'success' | 'failure' | 'unknown';
  readonly account: string;
  readonly secretId: string;
  readonly username?: string | undefined;
  /** Correlates intent, store, verify and outcome of one rotation. */
  readonly rotationId?: string | undefined;
  /** The sequence of the attempt record that suspends the account. */
  readonly attemptRecord?: number | undefined;
  readonly certainty?: Certainty | undefined;
  readonly reason?: Reason | undefined;
  readonly detail?: string | undefined;
  readonly versionBefore?: string | undefined;
  readonly versionAfter?: string | undefined;
  readonly verifiedBy?: 'login' | undefined;
  readonly deadWindowMs?: number | undefined;
  readonly ageDaysBefore?: number | undefined;
  /** The largest age that the policy of this account allows; without it, that of the fleet. */
  readonly policyMaxAgeDays?: number | undefined;
  /** Since when the password is valid, where that is known; UTC milliseconds. */
  readonly passwordSinceMs?: number | undefined;
  /** When the policy asks for the next rotation; UTC milliseconds. */
  readonly nextDueMs?: number | undefined;
  readonly trigger: Trigger;
};

/** A rotation whose intent is in the audit log without an outcome. */
export type OpenIntent = {
  readonly rotationId: string;
  readonly account: string;
  readonly intendedAtMs: number;
};

/** The newest password of an account that a person stored (`secret put`), as the log has it. */
export type StoredByHand = {
  readonly versionId: string;
  /** Since when it is in use; null when nobody said it. UTC milliseconds. */
  readonly sinceMs: number | null;
};

/** The newest suspension of an account that nobody has resumed, as the audit log has it. */
export type LastSuspension = {
  readonly secretId: string;
  /** The sequence of the attempt record that suspended it. */
  readonly attemptRecord: number;
  /** UTC milliseconds. */
  readonly atMs: number;
};

/** A rotation whose password became the current version, as the audit log has it. */
export type LastRotation = {
  readonly rotationId: string;
  readonly secretId: string;
  readonly versionId: string;
  /** The ThingSpace user. */
  readonly username?: string | undefined;
  /** UTC milliseconds. */
  readonly atMs: number;
  /** Whether the log has an accepted login with it. */
  readonly isVerified: boolean;
};

/**
 * What an attempt reports to its observer (log, metrics, progress). No field holds a value from the
 * secret.
 */
export type RotationEvent = {
  readonly account: string;
  readonly rotationId?: string | undefined;
} & (
  | {
      /** The secret and its attempt record were read. */
      readonly event: 'survey.finished';
      readonly finding: string;
    }
  /** The lease of the account was written. */
  | { readonly event: 'attempt.claimed'; readonly sequence: number; readonly loginsSpent: number }
  /** ThingSpace accepted or rejected a login, or did not answer it, or the login was not sent. */
  | {
      readonly event: 'login.accepted' | 'login.refused' | 'login.unknown' | 'login.not-sent';
      readonly credential: 'current' | 'new';
      readonly detail?: string | undefined;
    }
  /** The intent to reset is durable; the reset is sent next. */
  | { readonly event: 'rotation.intended'; readonly sequence: number }
  /** ThingSpace answered the reset. */
  | { readonly event: 'reset.answered' }
  /** ThingSpace rejected the reset, or its result is not known, or it was not sent. */
  | {
      readonly event: 'reset.refused' | 'reset.in-doubt' | 'reset.not-sent';
      readonly detail: string;
    }
  /** The encrypted reset response was written. */
  | { readonly event: 'receipt.written'; readonly place: string }
  /** The encrypted reset response could not be written. */
  | { readonly event: 'receipt.failed'; readonly detail: string }
  /** The new password is in the store, not yet current. */
  | { readonly event: 'secret.stored'; readonly versionId: string }
  /** The new password is current. */
  | {
      readonly event: 'secret.promoted';
      readonly versionId: string;
      readonly deadWindowMs?: number | undefined;
    }
  /** The new password could not be stored or made current; the attempt retries. */
  | {
      readonly event: 'saving.retried';
      readonly step: 'store' | 'promote' | 'keep';
      readonly tries: number;
      readonly waitMs: number;
      readonly reason: Reason;
      readonly detail: string;
    }
  /**
   * An audit record could not be written; it is on the log. The account is `*` for records about
   * runs.
   */
  | { readonly event: 'audit.failed'; readonly detail: string }
  /**
   * A witness cosigned a checkpoint of the audit log, or could not, or refused: it has seen another
   * history of this log. The account is `*`.
   */
  | {
      readonly event: 'witness.cosigned' | 'witness.failed' | 'witness.refused';
      readonly witness: string;
      readonly detail?: string | undefined;
    }
  /** The attempt ended. The last event of every attempt. */
  | {
      readonly event: 'attempt.finished';
      readonly outcome: string;
      readonly certainty: Certainty;
      readonly reason?: Reason | undefined;
      readonly detail?: string | undefined;
      readonly logins: number;
      /** What is known about a failure, for `explain` (catalogue.ts); never printed as it is. */
      readonly facts?: Facts | undefined;
    }
);
