// The states of one attempt, and the outcomes that lead from one to the next. Each state carries exactly
// what exists in it: there is no password in a state that has none. The machine (machine.ts) is the only
// place that knows the arrows.
//
//   surveying ─┬─ busy, stopped, foreign, settling ───────────────────────────────► finished
//              ├─ examining ── a receipt opens ──────────────► storing
//              │      └─ none: in doubt ──► claiming (probe)
//              ├─ AWSPENDING is ours ────────────────────────► promoting ──► surveying, then verify
//              └─ clean ── dating ─┬─ not due ─► (ending) ───────────────────────────► finished
//                                  ▼
//   claiming ──► entering ──► intending ──► resetting ──► storing ──► promoting ──► verifying ──► ending ──► finished
//      ▲            │             │             │  │ refused: unchanged, back to claiming once    ▲
//      │            │             │             │  └ in doubt ─────────────────────────────────┐  │
//      └── taken: look again      └── refused, failed, interrupted: released or stopped ───────┴──┘

import type { Secret } from '../secret.ts';
import type { AuditEvent, OpenIntent, Trigger } from './event.ts';
import type { Certainty, Facts, Failure, Reason } from './failure.ts';
import type {
  CurrentSecret,
  FoundRecord,
  LoginAnswer,
  ReceiptLabel,
  ResetAnswer,
  Session,
} from './ports.ts';
import type { AttemptRecord, Holder } from './record.ts';

/** What is asked for, for one account. Constant over the attempt. */
export type Request = {
  readonly account: string;
  readonly secretId: string;
  /** Which words and commands fit the reader; decides nothing. */
  readonly store?: Facts['store'];
  /**
   * `rotate`: what is due. `check`: everything but the reset. `recover`: roll forward or probe what is open, start nothing.
   * `resume`: lift a stop and forget the logins spent, on an operator's word; no login.
   */
  readonly purpose: 'rotate' | 'check' | 'recover' | 'resume';
  /** Rotate although not due. */
  readonly force: boolean;
  /**
   * Under Secrets Manager's own rotation: the ClientRequestToken becomes the rotationId, a doubt fails before any login
   * (Secrets Manager repeats whole rotations), and verifying is left to testSecret.
   */
  readonly native?: { readonly rotationId: string };
  /** The operator's recover: roll forward without waiting for a lease. A doubt is never probed before it has settled. */
  readonly impatient: boolean;
  /** A receipt opened by the operator. */
  readonly receipt?: { readonly rotationId: string; readonly body: Secret<Uint8Array> };
  readonly trigger: Trigger;
  readonly policy: Policy;
  readonly timing: Timing;
};

/** Ages in days. */
export type Policy = { readonly rotateAfterDays: number; readonly maxAgeDays: number };

/** All in milliseconds. */
export type Timing = {
  /** Bounds each call but the reset. */
  readonly requestTimeoutMs: number;
  /** Bounds the reset call. */
  readonly resetTimeoutMs: number;
  /** How long after a reset can no longer be answered before a login may probe it. */
  readonly settleMs: number;
};

/** How long a claim may be left alone: token, login, read-back and intent, each bounded by the request timeout. */
export const claimLeaseMs = (timing: Timing): number => 4 * timing.requestTimeoutMs;
/** From the start of writing `resetting`: within this the reset is sent, or not at all. */
export const sendWithinMs = (timing: Timing): number => timing.requestTimeoutMs;
/** How long the holder of a reset may be left alone: send, answer, store, promote. */
export const resetLeaseMs = (timing: Timing): number =>
  sendWithinMs(timing) + timing.resetTimeoutMs + 2 * timing.requestTimeoutMs;
/** Since `resetting` was written: a reset that was sent as late as it may be has by then been finished by the server. */
export const settledAfterMs = (timing: Timing): number =>
  sendWithinMs(timing) + timing.resetTimeoutMs + timing.settleMs;
/** What must remain of the platform's time when a reset is started: the reset, and saving its answer. */
export const neededForResetMs = (timing: Timing): number =>
  sendWithinMs(timing) + timing.resetTimeoutMs + 2 * timing.requestTimeoutMs;

/** How an attempt ended. `ok` is what exit code 0 means. */
export type Result = {
  readonly account: string;
  readonly secretId: string;
  readonly outcome:
    | 'rotated'
    | 'recovered'
    | 'not-due'
    | 'checked'
    | 'settled'
    | 'failed'
    | 'stopped';
  readonly certainty: Certainty;
  readonly reason?: Reason;
  readonly detail?: string;
  readonly rotationId?: string;
  /** The version under AWSCURRENT, as far as we know. */
  readonly versionId?: string;
  /** Age of the password when the attempt looked, in days. */
  readonly ageDays?: number;
  readonly logins: number;
  readonly startedAtMs: number;
  readonly endedAtMs: number;
  /** From the reset's answer to AWSCURRENT on the new version, in milliseconds. */
  readonly deadWindowMs?: number;
  /** The first step to take, on one line; empty when there is none. */
  readonly next: string;
  /** What is known about a failure, for `explain` (catalogue.ts). */
  readonly facts?: Facts;
};

/** What accumulates over an attempt. */
export type Tally = {
  readonly holder: Holder;
  readonly startedAtMs: number;
  readonly logins: number;
  /** A reset was refused for its session or token, once; a second time ends the attempt. */
  readonly retried: boolean;
  /** The lowest sequence a survey may believe: one that we saw taken. */
  readonly atLeast: number;
  /** The sequence whose successor a survey has asked for by its token. */
  readonly lookedPast: number;
  /** The doubted rotation whose version was found in the store, though not under AWSPENDING, when the survey was repeated for it. */
  readonly foundSaved?: string;
  /** Our own rotations, newest first, on one of whose versions AWSPENDING may still be. */
  readonly earlier: readonly string[];
  /** How many claims were taken by others. */
  readonly collisions: number;
  readonly ageDays?: number;
  /** Audit events that the next audit write takes along. */
  readonly carried: readonly AuditEvent[];
  /** A rotation that this attempt found open and has made current; its verification is still to come. */
  readonly recovered?: string;
};

type At<Name extends string, Fields = unknown> = {
  readonly at: Name;
  readonly request: Request;
  readonly tally: Tally;
} & Readonly<Fields>;

/** What a claim is for. `verify` proves a password that is current already (a check, or closing an open intent). */
export type ClaimPurpose = 'rotate' | 'probe' | 'check' | 'verify';

/** A password that a reset has just given us, on its way into the store. */
type Answered = {
  current: CurrentSecret;
  /** The sequence of our `resetting` record. */
  sequence: number;
  rotationId: string;
  password: Secret;
  /** The session that made the reset; null when the answer came from a receipt. */
  session: Session | null;
  answeredAtMonotonicMs: number;
};

/** How often an effect that must hold has been tried, and how long to wait before the next try. */
type Retrying = { tries: number; waitMs: number };

export type State =
  | At<'surveying'>
  | At<'examining', { evidence: Evidence; rotationId: string }>
  | At<'dating', { evidence: Evidence }>
  | At<'claiming', Claiming>
  | At<'entering', Claiming & { enterByMonotonicMs: number }>
  | At<'intending', { current: CurrentSecret; session: Session; record: ResettingRecord }>
  | At<
      'resetting',
      {
        current: CurrentSecret;
        session: Session;
        record: ResettingRecord;
        sendByMonotonicMs: number;
      }
    >
  | At<'storing', Answered & Retrying>
  | At<'promoting', Promotion & Retrying>
  | At<'verifying', Answered & { deadWindowMs: number }>
  | At<'ending', Ending>
  | At<'finished', { result: Result }>;

export type ResettingRecord = Extract<AttemptRecord, { phase: 'resetting' }>;
export type ClaimedRecord = Extract<AttemptRecord, { phase: 'claimed' }>;

type Claiming = {
  current: CurrentSecret;
  claim: ClaimPurpose;
  record: ClaimedRecord;
  /** `loginsSpent` without the login that this claim is about; what a login that was never sent goes back to. */
  spentBefore: number;
  /** The rotation whose open intent a verifying login closes. */
  closes: string | null;
};

/** `answered` is null when the survey found the version already under AWSPENDING. */
type Promotion = {
  current: CurrentSecret;
  sequence: number;
  rotationId: string;
  answered: Answered | null;
};

/** The last line of every path: at most one record, one session to end, and the audit events. */
export type Ending = {
  readonly record: AttemptRecord | null;
  readonly session: Session | null;
  readonly audit: readonly AuditEvent[];
  readonly discardReceipt: string | null;
  readonly result: Result;
};

/** What the survey has to go by. */
export type Evidence = {
  readonly current: CurrentSecret;
  readonly record: FoundRecord | null;
  /** VersionId under AWSPENDING that has a value and never was current. */
  readonly pending: string | null;
  /** Whether the process behind the record still lives. */
  readonly liveness: 'alive' | 'gone' | 'unknown';
  readonly openIntents: readonly OpenIntent[];
};

export type Effect =
  | { readonly effect: 'survey'; readonly atLeast: number }
  | { readonly effect: 'find-receipt'; readonly rotationId: string }
  | { readonly effect: 'date-password'; readonly current: CurrentSecret }
  | { readonly effect: 'claim'; readonly record: AttemptRecord; readonly current: CurrentSecret }
  | {
      readonly effect: 'log-in';
      readonly record: AttemptRecord;
      readonly current: CurrentSecret;
      readonly enterByMonotonicMs: number;
    }
  | {
      readonly effect: 'intend';
      readonly record: AttemptRecord;
      readonly audit: readonly AuditEvent[];
      readonly label: ReceiptLabel;
    }
  | {
      readonly effect: 'reset';
      readonly session: Session;
      readonly label: ReceiptLabel;
      readonly sendByMonotonicMs: number;
    }
  | {
      readonly effect: 'store';
      readonly waitMs: number;
      readonly rotationId: string;
      readonly current: CurrentSecret;
      readonly password: Secret;
    }
  | {
      readonly effect: 'promote';
      readonly waitMs: number;
      readonly from: string;
      readonly to: string;
    }
  | {
      readonly effect: 'verify';
      readonly current: CurrentSecret;
      readonly password: Secret;
      readonly session: Session | null;
    }
  | { readonly effect: 'end'; readonly ending: Ending };

/** A port's answer, or the failure it threw. */
export type Tried<T> = T | Failure;

/** What performing an effect gave. `atMs` and `atMonotonicMs` are when it was complete. */
export type Outcome = {
  readonly atMs: number;
  readonly atMonotonicMs: number;
  readonly remainingMs: number;
} & (
  | { readonly of: 'survey'; readonly evidence: Tried<Evidence> }
  | {
      readonly of: 'find-receipt';
      readonly body: Secret<Uint8Array> | null;
      readonly password: Secret | null;
      /** Whether the store holds this rotation's version after all. */
      readonly saved: Tried<boolean>;
    }
  | { readonly of: 'date-password'; readonly sinceMs: Tried<number> }
  | {
      readonly of: 'claim';
      readonly claim: Tried<'written' | 'taken'>;
      readonly token: Tried<'ready'>;
      readonly interrupted: boolean;
      readonly startedAtMonotonicMs: number;
    }
  | {
      readonly of: 'log-in';
      readonly login: LoginAnswer;
      readonly readBack: Tried<'same' | 'other'>;
      /** Paused past the lease: the login was not sent for our own sake. */
      readonly isLate?: true;
      readonly interrupted: boolean;
      readonly rotationId: string;
    }
  | {
      readonly of: 'intend';
      readonly record: Tried<'written' | 'taken'>;
      readonly audit: Tried<'durable'>;
      readonly receipt: Tried<'ready'>;
      readonly startedAtMonotonicMs: number;
    }
  | {
      readonly of: 'reset';
      readonly answer:
        | Exclude<ResetAnswer, { reset: 'not-sent' }>
        | {
            readonly reset: 'not-sent';
            readonly reason: 'interrupted' | 'out-of-time' | 'busy';
            readonly detail: string;
          };
      /** Read from the sealed bytes, after they were sealed. */
      readonly password: Secret | null;
    }
  | { readonly of: 'store'; readonly store: Tried<'stored'> }
  | { readonly of: 'promote'; readonly promote: Tried<'promoted' | { readonly conflict: string }> }
  | { readonly of: 'verify'; readonly login: LoginAnswer }
  | {
      readonly of: 'end';
      readonly record: Tried<'written' | 'taken'>;
      readonly audit: Tried<'durable'>;
    }
);

/** The state of this name. */
export type Is<Name extends State['at']> = Extract<State, { at: Name }>;
/** The outcome of this effect. */
export type Of<Name extends Outcome['of']> = Extract<Outcome, { of: Name }>;
/** When something was found, and on which version. */
export type Moment = {
  readonly atMs: number;
  readonly remainingMs: number;
  readonly current: CurrentSecret;
};
