// The states of one attempt, and the outcomes that lead from one to the next. Each state carries
// exactly what exists in it: there is no password in a state that has none. machine.ts says which
// effect a state waits for and which file in transitions/ holds the arrows that leave it.
//
//   surveying ─► examining ─┬─ busy, suspended, waiting, sealed, not due ──────► finished
//       │                   ├─ new password known, not current ─► storing ─► promoting ─► surveying
//       │                   ├─ a login decides (verify, test, prove) ─► claiming
//       └─ due, all closed ─┴────────────────────────────────────────► claiming
//
//   claiming ─► entering ─► intending ─► resetting ─┬─► storing ─► promoting ─► verifying ─► ending
//      ▲           │            │            │      └─ not readable ─► keeping ───────────────▲
//      │           │            │            ├─ session refused: back to claiming once        │
//      │           │            │            └─ no response: the rotation stays open ─────────┤
//      └── taken: survey again  └── failed, interrupted: released or suspended ───────────────┘

import type { Secret } from '../secret.ts';
import type {
  AuditEvent,
  LastRotation,
  LastSuspension,
  OpenIntent,
  StoredByHand,
  Trigger,
} from './event.ts';
import type { Certainty, Facts, Failure, Reason, StopReason } from './failure.ts';
import type {
  FoundReceipt,
  FoundRecord,
  LoginAnswer,
  ReceiptLabel,
  ResetAnswer,
  SecretVersion,
  Session,
} from './ports.ts';
import type { AttemptRecord, Owner } from './record.ts';

/** What is asked for, for one account. Constant over the attempt. */
export type Request = {
  readonly account: string;
  readonly secretId: string;
  /** Which words and commands fit the reader; decides nothing. */
  readonly store?: Facts['store'];
  /**
   * `rotate`: rotate what is due. `check`: everything but the reset. `recover`: complete or test
   * what is open, start nothing. `resume`: clear a suspension and the count of logins, on an
   * operator's word; no login.
   */
  readonly purpose: 'rotate' | 'check' | 'recover' | 'resume';
  /** Rotate although not due. */
  readonly force: boolean;
  /**
   * Digest of the order's idempotency key: one key starts one reset, whoever delivers the order
   * again (promise 12).
   */
  readonly keyDigest?: string | undefined;
  /**
   * Under Secrets Manager's own rotation: the ClientRequestToken becomes the rotationId, a doubt
   * fails before any login (Secrets Manager repeats the complete rotation), and testSecret
   * verifies the password.
   */
  readonly native?: { readonly rotationId: string; readonly closes?: boolean } | undefined;
  /**
   * The operator's recover: complete a rotation without waiting for a lease. Never shortens the
   * settle time.
   */
  readonly impatient: boolean;
  /** recover: a receipt that the operator names. */
  readonly receipt?: GivenReceipt | undefined;
  /** resume: the open rotation that is closed as abandoned. */
  readonly abandon?: string | undefined;
  readonly trigger: Trigger;
  readonly policy: Policy;
  readonly timing: Timing;
};

/**
 * `body` is null where the given identity does not open it. `password`: what the operator read in
 * it.
 */
export type GivenReceipt = {
  readonly rotationId: string;
  readonly place: string;
  readonly body: Secret<Uint8Array> | null;
  readonly password?: Secret | undefined;
};

/** Ages in days. */
export type Policy = { readonly rotateAfterDays: number; readonly maxAgeDays: number };

/** All in milliseconds. */
export type Timing = {
  /** Bounds each call but the reset. */
  readonly requestTimeoutMs: number;
  /** Bounds the reset call. */
  readonly resetTimeoutMs: number;
  /** How long after a reset can no longer be answered before a login may test it. */
  readonly settleMs: number;
};

/**
 * How long a claim is respected: token, login, read-back and intent, each bounded by the request
 * timeout.
 */
export const claimLeaseMs = (timing: Timing): number => 4 * timing.requestTimeoutMs;
/** From the start of writing `resetting`: within this the reset is sent, or not at all. */
export const sendWithinMs = (timing: Timing): number => timing.requestTimeoutMs;
/** How long the owner of a reset is left alone: send, response, store, promote. */
export const resetLeaseMs = (timing: Timing): number =>
  sendWithinMs(timing) + timing.resetTimeoutMs + 2 * timing.requestTimeoutMs;
/** Since a reset was sent: the server has processed it by then, or never will. */
export const serverDoneAfterMs = (timing: Timing): number =>
  timing.resetTimeoutMs + timing.settleMs;
/**
 * Since `resetting` was written: a reset that was sent as late as possible is processed by then.
 */
export const settledAfterMs = (timing: Timing): number =>
  sendWithinMs(timing) + serverDoneAfterMs(timing);
/**
 * What must remain of the platform's time when a reset is started: the reset, storing, and
 * reporting.
 */
export const neededForResetMs = (timing: Timing): number =>
  sendWithinMs(timing) + timing.resetTimeoutMs + 2 * timing.requestTimeoutMs;

/** How an attempt ended. */
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
  readonly reason?: Reason | undefined;
  readonly detail?: string | undefined;
  readonly rotationId?: string | undefined;
  /** The current version, as far as it is known. */
  readonly versionId?: string | undefined;
  /** Age of the password when the attempt read it, in days. */
  readonly ageDays?: number | undefined;
  /** When the policy asks for the next rotation; UTC milliseconds. */
  readonly dueAtMs?: number | undefined;
  readonly logins: number;
  readonly startedAtMs: number;
  readonly endedAtMs: number;
  /** From the reset response to AWSCURRENT on the new version, in milliseconds. */
  readonly deadWindowMs?: number | undefined;
  /** The first step to take, on one line; empty when there is none. */
  readonly next: string;
  /** What is known about a failure, for `explain` (catalogue.ts). */
  readonly facts?: Facts | undefined;
};

/** What accumulates over an attempt. */
export type Tally = {
  readonly owner: Owner;
  readonly startedAtMs: number;
  /** The id that a rotation started by this attempt gets. */
  readonly rotationId: string;
  readonly logins: number;
  /** A reset was refused for its session or token, once; a second time ends the attempt. */
  readonly retried: boolean;
  /** The lowest sequence that a survey may accept: one that is known to exist. */
  readonly atLeast: number;
  /** How many claims were taken by others. */
  readonly collisions: number;
  /** How many surveys were repeated because a read was outdated. */
  readonly staleReads: number;
  readonly ageDays?: number;
  /** Since when the current password counts for the policy; UTC milliseconds. */
  readonly sinceMs?: number;
  /** Audit events that the next audit write takes along. */
  readonly carried: readonly AuditEvent[];
  /**
   * What is true about the password while a rotation is open; the attempt cannot end by saying
   * less.
   */
  readonly openReason?: OpenReason | undefined;
  /** A session that is still open, for the end. */
  readonly session?: Session | undefined;
  /** From the reset response to the new version being current. */
  readonly deadWindowMs?: number | undefined;
};

/** The reasons that say how far an open rotation is. */
export type OpenReason = Extract<
  Reason,
  'not-stored' | 'not-promoted' | 'verify-unavailable' | 'answer-lost' | 'old-password-restored'
>;

type At<Name extends string, Fields = unknown> = {
  readonly at: Name;
  readonly request: Request;
  readonly tally: Tally;
} & Readonly<Fields>;

/** What a claim is for, and what its login proves. */
export type Plan =
  | { readonly plan: 'rotate' }
  | { readonly plan: 'check' }
  /** The new password is current; an accepted login closes the rotation as `rotated`. */
  | {
      readonly plan: 'verify';
      readonly rotationId: string;
      readonly replaced: string;
      readonly sinceMs: number;
    }
  /**
   * An accepted login with the current password shows that the reset was not applied, or is
   * superseded.
   */
  | {
      readonly plan: 'test';
      readonly rotationId: string;
      readonly ifAccepted: 'not-applied' | 'superseded';
      readonly ifRefused: Extract<StopReason, 'password-lost' | 'store-conflict'>;
    }
  /** A login with a password that is not current; when it is accepted, the password is written. */
  | { readonly plan: 'prove'; readonly write: Write };

/** A known password on its way into the current version. */
export type Write = {
  readonly rotationId: string;
  /** The version to make. */
  readonly versionId: string;
  readonly password: Secret;
  /** The version that holds the password already, under whatever id; undefined for a receipt. */
  readonly source?: string | undefined;
  /** The version exists already with this password. */
  readonly isStored: boolean;
  readonly sinceMs: number;
  /** A login with the password was accepted. */
  readonly isVerified: boolean;
};

/**
 * How often an effect that must succeed has been tried, and how long to wait before the next try.
 */
type Retrying = { tries: number; waitMs: number };

/**
 * A password that is being saved. `reset` is null in a recovery; there the attempt surveys again
 * after promoting.
 */
type Saving = {
  /** The version that is replaced: the document is its own, and AWSCURRENT moves from it. */
  current: SecretVersion;
  write: Write;
  reset: {
    session: Session;
    record: ResettingRecord;
    answeredAtMonotonicMs: number;
    /** The end of the lease: afterwards the account may belong to another process. */
    verifyByMonotonicMs: number;
  } | null;
  /**
   * The claim whose login has proven the password; null in a recovery without one, and after a
   * reset.
   */
  claim: ClaimedRecord | null;
};

export type State =
  | At<'surveying', { waitMs: number }>
  | At<'examining', { evidence: Evidence; questions: Questions }>
  | At<'claiming', Claiming>
  | At<'entering', Claiming & { enterByMonotonicMs: number }>
  | At<'intending', { current: SecretVersion; session: Session; record: ResettingRecord }>
  | At<'resetting', Resetting>
  | At<'keeping', Resetting & { body: Secret<Uint8Array>; detail: string } & Retrying>
  | At<'storing', Saving & Retrying>
  | At<'promoting', Saving & Retrying>
  | At<'verifying', Saving & { deadWindowMs: number }>
  | At<'ending', Ending>
  | At<'finished', { result: Result }>;

type Resetting = {
  current: SecretVersion;
  session: Session;
  record: ResettingRecord;
  sendByMonotonicMs: number;
};

export type ResettingRecord = Extract<AttemptRecord, { phase: 'resetting' }>;
export type ClaimedRecord = Extract<AttemptRecord, { phase: 'claimed' }>;

type Claiming = {
  current: SecretVersion;
  plan: Plan;
  record: ClaimedRecord;
  /**
   * `loginsSpent` without the login that this claim is about; what a login that was never sent goes
   * back to.
   */
  spentBefore: number;
  /**
   * Audit events that rest on the record before this claim: true only when the claim is not taken.
   */
  reconciled: readonly AuditEvent[];
};

/** The end of every path: at most one record, one session to end, and the audit events. */
export type Ending = {
  readonly record: AttemptRecord | null;
  /**
   * Whether this attempt's own record of the same sequence may exist, since its write got no
   * answer. Invariant R3: a sequence is only written when the one below it exists, so that no late
   * write can hide the records above.
   */
  readonly isUncertain: boolean;
  readonly session: Session | null;
  readonly audit: readonly AuditEvent[];
  readonly discardReceipt: string | null;
  readonly result: Result;
};

/** What every attempt reads first. */
export type Evidence = {
  /** When it was read; UTC milliseconds. */
  readonly atMs: number;
  readonly current: SecretVersion;
  readonly record: FoundRecord | null;
  /** VersionId under AWSPENDING that has a value and never was current. */
  readonly pending: string | null;
  /** Whether the process behind the record still runs. */
  readonly liveness: 'alive' | 'gone' | 'unknown';
  readonly openIntents: readonly OpenIntent[];
  readonly lastRotation: LastRotation | null;
  readonly stored?: StoredByHand | null;
  readonly suspension?: LastSuspension | null;
};

/** What the evidence leaves open; all of it is read side by side. */
export type Questions = {
  /** Versions to read by VersionId, which takes precedence over a read by label. */
  readonly versionIds: readonly string[];
  /**
   * The rotation whose receipt and stored response are read, and whose recovery id is derived.
   */
  readonly rotationId: string | null;
  /** The closed rotation whose password may have to be written over an old one. */
  readonly restores: string | null;
};

/** The answers. */
export type Details = {
  readonly versions: ReadonlyMap<string, SecretVersion | null>;
  /** A record with a higher sequence than the survey found. */
  readonly newer: FoundRecord | null;
  /** Where the rotation's password is written over the current version. */
  readonly recoveryId: string | null;
  /** Where the password of the last closed rotation is written over the current version. */
  readonly restoreId: string | null;
  readonly receipt: FoundReceipt | null;
  readonly answer: { readonly versionId: string } | null;
  /** The password in the receipt or the kept response, where one can be read. */
  readonly password: Secret | null;
  /** When the current password was first stored. */
  readonly sinceMs: number | null;
};

export type Effect =
  | { readonly effect: 'survey'; readonly atLeast: number; readonly waitMs: number }
  | {
      readonly effect: 'examine';
      readonly evidence: Evidence;
      readonly questions: Questions;
    }
  | {
      readonly effect: 'claim';
      readonly record: AttemptRecord;
      readonly current: SecretVersion;
      /** A reset is to follow: the store must have room for its versions (rule 3). */
      readonly needsRoom: boolean;
    }
  | {
      readonly effect: 'log-in';
      readonly record: AttemptRecord;
      readonly credentials: SecretVersion['credentials'];
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
      readonly effect: 'keep';
      readonly waitMs: number;
      readonly rotationId: string;
      readonly body: Secret<Uint8Array>;
    }
  | {
      readonly effect: 'store';
      readonly waitMs: number;
      readonly write: Write;
      readonly current: SecretVersion;
    }
  | {
      readonly effect: 'promote';
      readonly waitMs: number;
      readonly from: string;
      readonly to: string;
    }
  | {
      readonly effect: 'verify';
      readonly verifyByMonotonicMs: number;
      readonly credentials: SecretVersion['credentials'];
      readonly session: Session;
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
  | { readonly of: 'examine'; readonly details: Tried<Details> }
  | {
      readonly of: 'claim';
      readonly claim: Tried<'written' | 'taken'>;
      readonly token: Tried<'ready'>;
      /** Whether the store has room; `ready` where no reset follows. */
      readonly room: Tried<'ready'>;
      readonly interrupted: boolean;
      readonly startedAtMonotonicMs: number;
    }
  | {
      readonly of: 'log-in';
      readonly login: LoginAnswer;
      readonly readBack: Tried<'same' | 'other'>;
      /** Paused past the lease: this process did not send the login. */
      readonly isLate: boolean;
      readonly interrupted: boolean;
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
            readonly reason: 'interrupted' | 'out-of-time' | 'busy' | 'reset-refused';
            readonly detail: string;
          };
      readonly password: Secret | null;
      /** The id for one more try, where the session was refused. */
      readonly freshId: string;
    }
  | { readonly of: 'keep'; readonly keep: Tried<string>; readonly receipt: ReceiptState }
  | {
      readonly of: 'store';
      readonly store: Tried<'stored' | { readonly taken: string }>;
      readonly receipt: ReceiptState;
    }
  | { readonly of: 'promote'; readonly promote: Tried<'promoted' | { readonly conflict: string }> }
  | { readonly of: 'verify'; readonly login: LoginAnswer }
  | {
      readonly of: 'end';
      readonly record: Tried<'written' | 'taken'>;
      readonly audit: Tried<'durable'>;
    }
);

/** What became of the receipt so far; its place when it is written. */
export type ReceiptState = { readonly place: string } | 'none' | 'being written';

/** The state of this name. */
export type Is<Name extends State['at']> = Extract<State, { at: Name }>;
/** The outcome of this effect. */
export type Of<Name extends Outcome['of']> = Extract<Outcome, { of: Name }>;
/** When something was found, and on which version. */
export type Moment = {
  readonly atMs: number;
  readonly remainingMs: number;
  readonly current: SecretVersion;
};
