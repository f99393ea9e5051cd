// The reasons for which an attempt can fail, as one closed set, with what each one says about the
// password. What a person reads about a reason is in catalogue.ts. The same string is the log
// field, the audit field, the metric label and the heading in docs/RUNBOOK.md.

/**
 * What is known about the password. `rotated`, `not-due`: it is the current version. `unchanged`:
 * nothing happened at Verizon. `changed`: known to this program, not yet current or not yet
 * verified. `in-doubt`: not known yet. `lost`: not known and not recoverable. `stopped`:
 * automatic rotation is suspended.
 */
export type Certainty =
  | 'rotated'
  | 'not-due'
  | 'unchanged'
  | 'changed'
  | 'in-doubt'
  | 'lost'
  | 'stopped';

/**
 * `later`: a later run retries. `recover`: a later run completes or checks the rotation. `person`:
 * no run does anything until a person acts.
 */
export type Disposition = 'later' | 'recover' | 'person';

/** One row of the table below. */
export type FailureKind = {
  readonly certainty: Exclude<Certainty, 'rotated' | 'not-due'>;
  readonly disposition: Disposition;
};

const unchanged: FailureKind = { certainty: 'unchanged', disposition: 'later' };
const changed: FailureKind = { certainty: 'changed', disposition: 'recover' };
const inDoubt: FailureKind = { certainty: 'in-doubt', disposition: 'recover' };
const suspended: FailureKind = { certainty: 'stopped', disposition: 'person' };

export const failures = {
  // Nothing happened at Verizon: the old password is valid.
  busy: unchanged,
  interrupted: unchanged,
  'out-of-time': unchanged,
  'store-unavailable': unchanged,
  'store-denied': unchanged,
  'store-missing': unchanged,
  'secret-not-found': unchanged,
  'secret-invalid': unchanged,
  'foreign-pending': unchanged,
  'token-used': unchanged,
  'store-full': unchanged,
  'record-invalid': suspended,
  'api-unavailable': unchanged,
  'api-key-refused': unchanged,
  'login-unavailable': unchanged,
  'session-refused': unchanged,
  'reset-refused': unchanged,
  'reset-throttled': unchanged,
  'receipt-unavailable': unchanged,
  'audit-unavailable': unchanged,
  // Verizon changed the password, and this program knows the new one.
  'not-stored': changed,
  'not-promoted': changed,
  'verify-unavailable': changed,
  'receipt-sealed': { certainty: 'changed', disposition: 'person' } as FailureKind,
  'answer-unreadable': { certainty: 'changed', disposition: 'person' } as FailureKind,
  'old-password-restored': changed,
  // Verizon may have changed the password.
  'in-flight': inDoubt,
  'answer-lost': inDoubt,
  settling: inDoubt,
  // A person must act.
  'login-refused': suspended,
  'login-budget-spent': suspended,
  'verify-refused': suspended,
  'store-conflict': suspended,
  'store-older-than-audit': suspended,
  'password-lost': { certainty: 'lost', disposition: 'person' } as FailureKind,
} as const satisfies Record<string, FailureKind>;

/** Why an attempt failed. */
export type Reason = keyof typeof failures;

/** The reasons for which a secret store cannot be read, whatever the secret is. */
export const storeFailures = [
  'store-unavailable',
  'store-denied',
  'store-missing',
] as const satisfies readonly Reason[];

/** The reasons that a `stopped` record may hold. */
export const stopReasons = [
  'login-refused',
  'login-budget-spent',
  'verify-refused',
  'store-conflict',
  'password-lost',
] as const satisfies readonly Reason[];

export type StopReason = (typeof stopReasons)[number];

/** What lies behind a reason, where one reason has several causes that need different actions. */
export const causes = [
  /** The file `path` has mode `mode` and can be read by other users. */
  'file-mode',
  /** The operating system denied access to `path`. */
  'file-denied',
  /** The file `path` does not exist. */
  'file-missing',
  /** The folder `path` was in use before, and it is missing or empty; `mark` says so. */
  'folder-missing',
  /** The disk that holds `path` is full. */
  'disk-full',
  /** The operating system reported an input or output error for `path`. */
  'disk-error',
  /** The disk that holds `path` does not answer. */
  'disk-hangs',
  /** The content of `path` cannot be used: truncated or altered. */
  'damaged',
  /** The file `path` holds no usable key. */
  'key-invalid',
  /** The key in `path` is not the one that the data was encrypted to. */
  'key-mismatch',
  /** The IAM principal lacks `permission` on `resource`. */
  'iam',
  /** The KMS key of the secret cannot be used: it is disabled, or `permission` is missing. */
  'kms-key',
  /** AWS credentials are missing, expired or rejected. */
  'aws-credentials',
  /** No AWS Region is configured. */
  'aws-region',
  /** The secret is scheduled for deletion. */
  'secret-deleted',
  /** The service's quota on versions or labels is exhausted. */
  'quota',
  /** The service answered that requests come too fast. */
  'throttled',
  /** The configured URL leads to no known API (gateway fault 900906). */
  'base-url',
  /** A receipt recipient is not a valid age recipient. */
  'recipient-invalid',
  /** The receipt is of another rotation, or nothing is open. */
  'other-rotation',
  /** The receipt holds no password that this program can read. */
  'receipt-content',
  /** Other processes change the same data all the time. */
  'contention',
  /** Another account has the same ThingSpace user. */
  'shared-user',
  /** An earlier order with the same idempotency key began a rotation whose end is not known. */
  'order-repeated',
  /** The audit log at `path` is not as it was written. */
  'log-damaged',
  /** The audit log at `path` does not begin with record 0, nor with a frontier of its key. */
  'log-begins-later',
] as const;

export type Cause = (typeof causes)[number];

/** What is known about one failure; everything that a printed sentence or command may need. */
export type Facts = {
  readonly account?: string | undefined;
  readonly secretId?: string | undefined;
  readonly store?: 'file' | 'secrets-manager' | undefined;
  /** One sentence by this program; never a vendor's message, which may carry a request. */
  readonly detail?: string | undefined;
  readonly cause?: Cause | undefined;
  readonly path?: string | undefined;
  /** The file that marks `path` as in use. */
  readonly mark?: string | undefined;
  /** Octal permission bits of `path`. */
  readonly mode?: string | undefined;
  readonly host?: string | undefined;
  readonly permission?: string | undefined;
  readonly resource?: string | undefined;
  readonly rotationId?: string | undefined;
  /** The VersionId of the current version. */
  readonly versionId?: string | undefined;
  /** The VersionId under AWSPENDING, where it matters. */
  readonly pendingVersionId?: string | undefined;
  /** Failed logins counted against the limit of three. */
  readonly loginsSpent?: number | undefined;
  /** The earliest moment at which a retry can succeed; UTC milliseconds. */
  readonly retryAtMs?: number | undefined;
  /** When automatic rotation was suspended; UTC milliseconds. */
  readonly suspendedAtMs?: number | undefined;
  /** When the rotation began that is not complete; UTC milliseconds. */
  readonly unfinishedSinceMs?: number | undefined;
  /** A receipt file of this rotation. */
  readonly receipt?: string | undefined;
  /** The configuration file that was named on the command line; printed commands name it too. */
  readonly config?: string | undefined;
};

/**
 * A failure of an attempt, thrown by adapters and caught by the loop. `detail` is one sentence for
 * people, written by this program: never a vendor's error, which may carry the request and the
 * password.
 */
export class Failure extends Error {
  readonly reason: Reason;
  readonly facts: Facts;

  constructor(reason: Reason, detail: string, facts: Facts = {}) {
    super(detail);
    this.name = 'Failure';
    this.reason = reason;
    this.facts = facts;
  }
}

/** Errors of file systems on Linux that Node has no name for. */
const unnamed: Readonly<Record<number, string>> = {
  [-37]: 'ENOLCK',
  [-116]: 'ESTALE',
  [-122]: 'EDQUOT',
};

/** The errno name of a failed system call, or '' for any other error. */
export function errnoOf(error: unknown): string {
  const { code, errno } = (error ?? {}) as { code?: unknown; errno?: unknown };
  if (typeof code === 'string' && /^E[A-Z0-9]+$/.test(code)) return code;
  return unnamed[Number(errno)] ?? '';
}

/** What an error of the operating system means, and the cause that `catalogue.ts` explains. */
const systemErrors: Readonly<Record<string, readonly [meaning: string, cause?: Cause]>> = {
  EACCES: ['permission denied', 'file-denied'],
  EADDRINUSE: ['the address is in use'],
  EADDRNOTAVAIL: ['this machine does not have the address'],
  EDQUOT: ['disk quota exceeded', 'disk-full'],
  EEXIST: ['the file exists already'],
  EIO: ['input or output error', 'disk-error'],
  EISDIR: ['it is a folder'],
  ENOENT: ['no such file or folder', 'file-missing'],
  ENOSPC: ['no space left on the disk', 'disk-full'],
  ENOTDIR: ['it is not a folder'],
  EPERM: ['operation not permitted', 'file-denied'],
  EROFS: ['the file system is read-only', 'file-denied'],
};

/** An operating-system error in words; never its message, which can quote arguments. */
export function osErrorText(error: unknown): string {
  const code = errnoOf(error) || 'unknown';
  return systemErrors[code]?.[0] ?? `system error ${code}`;
}

/** The failure for an error of the operating system. Rethrows an error without a code: a bug. */
export function systemFailure(
  reason: Reason,
  subject: string,
  path: string,
  error: unknown,
): Failure {
  if (error instanceof Failure) return error;
  const code = errnoOf(error);
  if (code === '') throw error;
  const [meaning = 'the operating system reported an error', cause] = systemErrors[code] ?? [];
  return new Failure(reason, `${subject}: ${meaning} (${code})`, { cause, path });
}

/**
 * 0 good, 1 unchanged, 3 changed or in doubt, 4 action required (2 is usage: never from an
 * attempt).
 */
export function exitCodeOf(certainty: Certainty, ok: boolean): 0 | 1 | 3 | 4 {
  if (ok) return 0;
  switch (certainty) {
    case 'rotated':
    case 'not-due':
      return 0;
    case 'unchanged':
      return 1;
    case 'changed':
    case 'in-doubt':
      return 3;
    case 'lost':
    case 'stopped':
      return 4;
  }
}
