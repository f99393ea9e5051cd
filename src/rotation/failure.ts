// Every way an attempt can end badly: one closed set of reasons, and one table that says for each what
// we know about the password, whether a later run may try again, and what a person should do next.
// The same string is the log field, the audit field, the metric label and the heading in docs/RUNBOOK.md.

/**
 * What we know about the password. `rotated`, `not-due`: it is in AWSCURRENT. `unchanged`: nothing
 * happened at Verizon. `changed`: known to us, not yet current or not yet verified. `in-doubt`: not known
 * yet. `lost`: known to nobody. `stopped`: nothing more happens until a person has looked.
 */
export type Certainty =
  | 'rotated'
  | 'not-due'
  | 'unchanged'
  | 'changed'
  | 'in-doubt'
  | 'lost'
  | 'stopped';

/** One row of the table below. */
export type FailureKind = {
  readonly certainty: Exclude<Certainty, 'rotated' | 'not-due'>;
  /** `later`: a later run tries again by itself. `recover`: a later run rolls forward or probes. `person`: the account waits. */
  readonly disposition: 'later' | 'recover' | 'person';
  /** One imperative sentence for the operator. */
  readonly next: string;
};

const unchanged = (next: string): FailureKind => ({
  certainty: 'unchanged',
  disposition: 'later',
  next,
});
const stopped = (next: string): FailureKind => ({
  certainty: 'stopped',
  disposition: 'person',
  next,
});

export const failures = {
  // Nothing happened at Verizon: the old password lives.
  busy: unchanged('Wait for the other instance; its lease end is in the detail.'),
  interrupted: unchanged('Start it again; it was told to end before anything was sent.'),
  'out-of-time': unchanged(
    'Give the function more time (timeout above resetTimeoutMs plus 60 s), or fewer accounts per run.',
  ),
  'store-unavailable': unchanged('Look at the secret store; a later run tries again by itself.'),
  'store-denied': unchanged('Grant the permission named in the detail.'),
  'secret-not-found': unchanged('Create the secret, or mend the account’s secretId.'),
  'secret-invalid': unchanged('Mend the secret’s value as the detail says.'),
  'foreign-pending': unchanged(
    'Find out who wrote AWSPENDING (the detail names the version), then remove that label.',
  ),
  'record-invalid': stopped(
    'Read the version under ROTATION; it was written by a newer release or by hand.',
  ),
  'api-unavailable': unchanged('Look at the ThingSpace API; a later run tries again by itself.'),
  'api-key-refused': unchanged('Mend clientId and clientSecret in the secret.'),
  'login-unavailable': unchanged(
    'Look at the ThingSpace API; the login may count, and is counted.',
  ),
  'session-refused': unchanged(
    'Run again; ThingSpace ended two sessions in a row before the reset.',
  ),
  'reset-refused': unchanged(
    'Read ThingSpace’s error code in the detail; the old password still lives.',
  ),
  'reset-throttled': unchanged('Wait; a later run tries again by itself.'),
  'receipt-unavailable': unchanged(
    'Make the receipts folder writable, or mend receipts.recipients.',
  ),
  'audit-unavailable': unchanged(
    'Make the audit sink in the detail writable; nothing is reset without it.',
  ),
  // The server has changed it, and we know it.
  'not-stored': {
    certainty: 'changed',
    disposition: 'recover',
    next: 'Open the receipt: thingspace-rotator recover ACCOUNT --receipt FILE --identity KEY.',
  },
  'not-promoted': {
    certainty: 'changed',
    disposition: 'recover',
    next: 'Run again; the password is safe under AWSPENDING and needs only to be made current.',
  },
  'verify-unavailable': {
    certainty: 'changed',
    disposition: 'recover',
    next: 'Run again: one login then proves the password, which is in AWSCURRENT already.',
  },
  // Perhaps.
  'in-flight': {
    certainty: 'in-doubt',
    disposition: 'recover',
    next: 'Wait for the other instance, which is between reset and save, then run again.',
  },
  'answer-lost': {
    certainty: 'in-doubt',
    disposition: 'recover',
    next: 'Run again after the settle time; one login then tells whether the reset happened.',
  },
  'answer-unreadable': {
    certainty: 'in-doubt',
    disposition: 'recover',
    next: 'Open the receipt with age -d; the answer was no password we could read. Or run again after the settle time.',
  },
  settling: {
    certainty: 'in-doubt',
    disposition: 'recover',
    next: 'Run again after the time in the detail; a slow reset may still be finishing.',
  },
  // A person is needed.
  'login-refused': stopped(
    'Put the right password (a new AWSCURRENT lifts the stop), or resume when it is right after all.',
  ),
  'login-budget-spent': stopped(
    'Log in by hand once to prove the password, then: thingspace-rotator resume ACCOUNT --reason TEXT.',
  ),
  'verify-refused': stopped(
    'Log in by hand with AWSCURRENT; if refused, have Verizon reset the password and put it.',
  ),
  'store-conflict': stopped(
    'Compare AWSCURRENT with AWSPENDING; the one the last reset gave is under AWSPENDING. Make it current.',
  ),
  'password-lost': {
    certainty: 'lost',
    disposition: 'person',
    next: 'Look for a receipt; if there is none, have Verizon support reset the password, and put it.',
  },
} as const satisfies Record<string, FailureKind>;

/** Why an attempt ended badly. */
export type Reason = keyof typeof failures;

/** The reasons that are written into a `stopped` record. */
export type StopReason =
  | 'login-refused'
  | 'login-budget-spent'
  | 'verify-refused'
  | 'store-conflict'
  | 'password-lost';

export const stopReasons: readonly StopReason[] = [
  'login-refused',
  'login-budget-spent',
  'verify-refused',
  'store-conflict',
  'password-lost',
];

/**
 * A failure of an attempt, thrown by adapters and caught by the loop. `detail` is a sentence for people,
 * made by us: never a vendor's error, which may carry the request and so the password.
 */
export class Failure extends Error {
  readonly reason: Reason;

  constructor(reason: Reason, detail: string) {
    super(detail);
    this.name = 'Failure';
    this.reason = reason;
  }
}

/** Worst last; 0 good, 1 unchanged, 3 changed or in doubt, 4 a person is needed (2 is usage: never from an attempt). */
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
