// The contracts between the loop and the world. MUST marks what a store, a client or a log must do;
// the contract suites in test/contract run each sentence against every implementation. Adapters
// throw `Failure` (failure.ts) and nothing else; any other error is a bug.

import type { Secret } from '../secret.ts';
import type {
  AuditEvent,
  LastRotation,
  LastSuspension,
  OpenIntent,
  RotationEvent,
  StoredByHand,
} from './event.ts';
import type { Facts } from './failure.ts';
import type { AttemptRecord, Owner } from './record.ts';

/** The UWS credentials and the application key pair of one account. */
export type Credentials = {
  readonly username: string;
  readonly password: Secret;
  readonly clientId: string;
  readonly clientSecret: Secret;
};

/** One version of the secret with its value. */
export type SecretVersion = {
  readonly versionId: string;
  /** The labels on it when it was read. */
  readonly stages: readonly string[];
  /** When the store made this version, on the store's clock; UTC milliseconds. */
  readonly createdAtMs: number;
  /** The complete value as it was read; every byte but the password's is written back as it is. */
  readonly document: Secret;
  readonly credentials: Credentials;
};

/** The newest attempt record, and how old it is. */
export type FoundRecord = {
  readonly record: AttemptRecord;
  /**
   * Milliseconds since it was written, both ends on the *store's* clock, never below 0: no other
   * clock decides about a lease.
   */
  readonly ageMs: number;
};

/** One account's secret. Every method is one round trip, or several side by side. */
export interface SecretStore {
  /**
   * Throws `store-unavailable`, `store-denied`, `secret-not-found`, `secret-invalid`. MUST read by
   * the label AWSCURRENT, never unqualified.
   */
  readCurrent(): Promise<SecretVersion>;
  /**
   * A version by its VersionId, or null when there is none with a value. Throws as readCurrent but
   * `secret-not-found`.
   */
  readVersion(versionId: string): Promise<SecretVersion | null>;
  /**
   * The version that carries AWSPENDING and has a value, unless it also carries AWSCURRENT or
   * AWSPREVIOUS; its VersionId.
   */
  readPending(): Promise<string | null>;
  /**
   * The record under ROTATION. With `atLeast`, a record of a lower sequence (a stale read, a
   * removed label) MUST be passed over for the one whose token is derived from `atLeast`. Throws
   * `record-invalid` too.
   */
  readRecord(atLeast: number): Promise<FoundRecord | null>;
  /**
   * Stores the record under the token derived from (secret, sequence), and ROTATION on it. MUST be
   * won by one writer only: `taken` when the token holds other content; the same content again is
   * `written`. Durable when it resolves.
   */
  putRecord(record: AttemptRecord): Promise<'written' | 'taken'>;
  /**
   * Stores `basis` with its password replaced as version `versionId` under AWSPENDING; repeating it
   * is a no-op. `taken`: that version holds another password. Durable when it resolves. Throws
   * `store-unavailable`, `store-denied`, `secret-invalid` (the value became too large).
   */
  putPending(
    versionId: string,
    basis: SecretVersion,
    password: Secret,
  ): Promise<'stored' | 'taken'>;
  /**
   * The VersionId under which a rotation's password is written over the version `replaced`; the
   * same for every process.
   */
  recoveryId(rotationId: string, replaced: string): string;
  /**
   * Moves AWSCURRENT from `from` to `to`, or changes nothing and says `conflict`. Durable when it
   * resolves.
   */
  promote(from: string, to: string): Promise<'promoted' | 'conflict'>;
  /**
   * Keeps the bytes of a reset response that cannot be read, under the label ROTATION_ANSWER; its
   * VersionId. Durable when it resolves.
   */
  putAnswer(rotationId: string, body: Secret<Uint8Array>): Promise<string>;
  /** The kept bytes of this rotation's response; null when there are none. */
  readAnswer(
    rotationId: string,
  ): Promise<{ readonly versionId: string; readonly body: Secret<Uint8Array> } | null>;
  /**
   * When a rotation has room for its versions: null now, else UTC milliseconds. Read from the list
   * of versions.
   */
  roomAtMs(nowMs: number): Promise<number | null>;
  /**
   * When the password in `current` was first stored. Reads older versions as long as they have the
   * same password, so that an edit of another key does not change the age. UTC milliseconds.
   * Ends at a version that may not be read or is damaged. Throws as readCurrent.
   */
  passwordSince(current: SecretVersion): Promise<number>;
}

/** An open session; what is inside belongs to the client. */
export type Session = { readonly sessionToken: Secret; readonly credentials: Credentials };

/**
 * `refused`: ThingSpace rejected it. `not-sent`: proven that no byte of it reached the login.
 * `unknown`: may count as a failed login.
 */
export type LoginAnswer =
  | { readonly login: 'accepted'; readonly session: Session }
  | { readonly login: 'refused'; readonly detail: string }
  | {
      readonly login: 'not-sent' | 'unknown';
      readonly detail: string;
      readonly facts?: Facts | undefined;
    };

/**
 * `answered`: a 2xx, its body as bytes, not parsed. `refused`: proven not to have happened;
 * `because` says what may help. `not-sent`: proven that no byte of it reached the server.
 * `in-doubt`: it may have happened. `body` is there whenever bytes arrived that might hold a
 * password.
 */
export type ResetAnswer =
  | { readonly reset: 'answered'; readonly body: Secret<Uint8Array> }
  | {
      readonly reset: 'refused';
      readonly because: 'session' | 'api-token' | 'throttled' | 'code';
      readonly detail: string;
    }
  | { readonly reset: 'not-sent'; readonly detail: string }
  | {
      readonly reset: 'in-doubt';
      readonly detail: string;
      readonly body?: Secret<Uint8Array> | undefined;
    };

/**
 * Called once when the connection is established and the API token is at hand, directly before the
 * first byte is written; a sentence means: do not send.
 */
export type MayStillSend = () => string | null;

/** Verizon's API, three calls and a token. */
export interface ThingSpace {
  /**
   * Makes sure an API token is at hand for this application key; from memory when one is. Throws
   * `api-unavailable`, `api-key-refused`.
   */
  authorize(credentials: Credentials): Promise<void>;
  /**
   * Opens a connection for one later call while the current one runs. Best effort, never throws; a
   * connection that no call takes is closed after a few seconds.
   */
  connectAhead(): void;
  /**
   * MUST send the login at most once to the application: no retry, no redirect. Never throws a
   * Failure for an answer. `mayStillSend` is called once more when the gateway refused the API
   * token and the login is sent with a new one.
   */
  login(credentials: Credentials, mayStillSend: MayStillSend): Promise<LoginAnswer>;
  /** MUST send the reset at most once: no retry, no redirect, no cache; MUST NOT parse a 2xx. */
  reset(session: Session, mayStillSend: MayStillSend): Promise<ResetAnswer>;
  /**
   * The new password in the bytes of a reset response, or `null` when there is none that can be
   * read. Never throws.
   */
  readNewPassword(body: Secret<Uint8Array>): Secret | null;
  /** Best effort: never throws, bounded in time. */
  endSession(session: Session): Promise<void>;
}

/** What a receipt says in clear about the sealed answer. */
export type ReceiptLabel = {
  readonly rotationId: string;
  readonly account: string;
  readonly secretId: string;
};

/** `body` is null where no identity on this machine opens it. */
export type FoundReceipt = { readonly place: string; readonly body: Secret<Uint8Array> | null };

/** The raw bytes of a reset response, sealed to an offline key before anything parses them. */
export interface Receipts {
  /**
   * Proves before the reset that a receipt can be written. Throws `receipt-unavailable`. A no-op
   * without recipients.
   */
  prepare(label: ReceiptLabel): Promise<void>;
  /**
   * Seals and writes; durable when it resolves; the place, or `null` without recipients. Throws
   * `receipt-unavailable`.
   */
  write(label: ReceiptLabel, body: Secret<Uint8Array>): Promise<string | null>;
  /**
   * The receipt of this rotation on this machine: its file, and its bytes where an identity here
   * opens it; null when there is none. Throws `receipt-unavailable` when the folder cannot be read.
   */
  find(rotationId: string): Promise<FoundReceipt | null>;
  /** Removes the receipt; best effort, never throws. Only after promote and verify. */
  discard(rotationId: string): Promise<void>;
}

/** The audit log. */
export interface AuditLog {
  /**
   * Appends in order. The events are durable in the audit storage when it resolves. Throws
   * `audit-unavailable`, which names the storage.
   */
  append(events: readonly AuditEvent[]): Promise<void>;
  /**
   * What the log knows of this account: intents that have no outcome yet, oldest first, the newest
   * rotation that became current, the newest password that a person stored, and the suspension that
   * nobody has resumed; null when it knows none. Throws `audit-unavailable`.
   */
  rotationsOf(account: string): Promise<{
    readonly open: readonly OpenIntent[];
    readonly last: LastRotation | null;
    readonly stored?: StoredByHand | null;
    readonly suspension?: LastSuspension | null;
  }>;
}

/** The only clock. */
export interface Clock {
  /** Wall clock, UTC milliseconds; may step. For dates and for people. */
  nowMs(): number;
  /** Milliseconds that never step; for durations. */
  monotonicMs(): number;
  /** Milliseconds in which this thread has computed, and not waited, since it started. */
  busyMs(): number;
  /** Milliseconds until the platform ends this process; Infinity where it does not. */
  remainingMs(): number;
  /** Resolves after `ms`, or at once when `wake` is aborted. Never rejects. */
  sleep(ms: number, wake?: AbortSignal): Promise<void>;
}

/** Names for attempts, and whether the process of a name is still running. */
export interface ProcessIdentity {
  /** A new owner for one attempt of this process. */
  begin(): Owner;
  /** Says that the attempt is over. */
  end(owner: Owner): void;
  /**
   * `unknown` for another machine. `alive` only while that attempt, or at least its process, is
   * running.
   */
  liveness(owner: Owner): 'alive' | 'gone' | 'unknown';
  /** A random version-4 UUID, for a rotationId. */
  rotationId(): string;
}

/** Everything the loop needs for one account. */
export type Ports = {
  readonly store: SecretStore;
  readonly thingspace: ThingSpace;
  readonly receipts: Receipts;
  readonly audit: AuditLog;
  readonly clock: Clock;
  readonly processes: ProcessIdentity;
  readonly observe: (event: RotationEvent) => void;
};
