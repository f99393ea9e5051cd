// What the log says about each account since its first record: when it was in the inventory, under
// which limits and exemption, when its password changed, what failed, when its rotation was
// suspended, and when it was in doubt. One pass in log order. This file does not know the period of
// a report or the store.

import { exemptionIn, type Exemption as Granted, type Limits, limitsIn } from '../audit/facts.ts';
import type { RecordView } from '../audit/record.ts';
import { dayMs, parseIso } from '../time.ts';

/** A value that holds from `fromMs` until the next one; `null`: none. */
export type Setting<Value> = {
  readonly fromMs: number;
  readonly value: Value | null;
  readonly sequence: number;
};

/** A moment from which on an account has another password. */
export type Change = {
  /** A rotation: its reset. A change by hand: its record. UTC milliseconds. */
  readonly timeMs: number;
  /** Since when the password is in use, for its age; `null` when that is not known. */
  readonly sinceMs: number | null;
  /** When the log recorded it. */
  readonly recordedMs: number;
  /** `first`: the first password. `outside`: stored by hand, or known from the store only. */
  readonly by: 'rotation' | 'recovery' | 'first' | 'outside';
  /** `null`: only the store shows this change. */
  readonly sequence: number | null;
  readonly rotationId?: string | undefined;
  readonly actor: string;
  readonly trigger: string;
  readonly verified: boolean;
};

export type Attempt = {
  readonly rotationId: string;
  /** When its intent was recorded; where it ended before, that record. */
  readonly intendedAtMs: number;
  readonly sequence: number;
  readonly uid: string;
  readonly actor: string;
  readonly trigger: string;
  closedAtMs: number | null;
  /** The newest result that is recorded. */
  status: 'open' | 'success' | 'failure' | 'unknown';
  verified: boolean;
  reason?: string | undefined;
  detail?: string | undefined;
  closedBy?: { readonly sequence: number; readonly uid: string };
};

/** A time in which automatic rotation was suspended. */
export type Stop = {
  readonly fromMs: number;
  toMs: number | null;
  readonly reason: string;
  readonly uid: string;
  readonly sequence: number;
  readonly detail: string;
};

/** A time in which it is not known whether the stored password is valid. */
export type Doubt = {
  readonly fromMs: number;
  toMs: number | null;
  why: string;
  /** The rotation or the suspension that it comes from. */
  readonly of: Attempt | Stop;
};

/** An exemption: recorded from `fromMs` on; it ends with its last day, or when it is removed. */
export type Exemption = Granted & {
  readonly fromMs: number;
  toMs: number;
  readonly sequence: number;
};

export type AccountHistory = {
  readonly account: string;
  username?: string;
  secretId?: string;
  /** When it was in the inventory: by `inventory.changed`, else from its first record on. */
  readonly memberships: { readonly fromMs: number; toMs: number | null }[];
  /** False where it is known from native rotation only: `inventory.summary` does not count it. */
  isListed: boolean;
  /** Its own limits. */
  readonly policies: Setting<Limits>[];
  readonly exemptions: Exemption[];
  readonly changes: Change[];
  readonly attempts: Attempt[];
  readonly stops: Stop[];
  readonly doubts: Doubt[];
};

/** The accounts, and the records about the log itself. */
export type LogHistory = {
  readonly accounts: Map<string, AccountHistory>;
  /**
   * The limits of the fleet. Without a `policy.changed` only the larger one is
   * known, and the other one is Infinity.
   */
  readonly policies: Setting<Limits>[];
  saysPolicy: boolean;
  /** By the id of the exception. */
  readonly acknowledgements: Map<string, RecordView>;
  readonly storageFailures: RecordView[];
  readonly repairs: RecordView[];
  inventorySummary: RecordView | null;
};

export const createHistory = (): LogHistory => ({
  accounts: new Map(),
  policies: [],
  saysPolicy: false,
  acknowledgements: new Map(),
  storageFailures: [],
  repairs: [],
  inventorySummary: null,
});

/** Adds the next record of the log. */
export function addRecord(history: LogHistory, view: RecordView): void {
  switch (view.code) {
    case 'exception.acknowledged':
      if (view.exceptionId !== undefined) history.acknowledgements.set(view.exceptionId, view);
      return;
    case 'sink.failed':
      history.storageFailures.push(view);
      return;
    case 'log.repaired':
      history.repairs.push(view);
      return;
    case 'inventory.summary':
      history.inventorySummary = view;
      return;
  }
  if (view.account !== undefined) addToAccount(accountOf(history, view.account, view), view);
  addFleetPolicy(history, view);
}

/** Until the log says a policy, the limit in the records of version 0.1 is that of the fleet. */
function addFleetPolicy(history: LogHistory, view: RecordView): void {
  const { timeMs: fromMs, sequence, code, account, policyMaxAgeDays: maxAgeDays } = view;
  const { policies, saysPolicy } = history;
  if (code === 'policy.changed' && account === undefined) {
    history.saysPolicy = true;
    policies.push({ fromMs, sequence, value: limitsIn(view) ?? null });
  } else if (!saysPolicy && maxAgeDays !== undefined) {
    if (policies.at(-1)?.value?.maxAgeDays !== maxAgeDays)
      policies.push({ fromMs, sequence, value: { maxAgeDays, rotateAfterDays: Infinity } });
  }
}

function accountOf(history: LogHistory, account: string, view: RecordView): AccountHistory {
  const known = history.accounts.get(account);
  if (known) return known;
  const created: AccountHistory = {
    account,
    memberships: [{ fromMs: view.timeMs, toMs: null }],
    isListed: view.trigger !== 'native',
    policies: [],
    exemptions: [],
    changes: [],
    attempts: [],
    stops: [],
    doubts: [],
  };
  history.accounts.set(account, created);
  return created;
}

function addToAccount(account: AccountHistory, view: RecordView): void {
  const { username, secretId, timeMs, sequence } = view;
  if (username !== undefined) account.username = username;
  if (secretId !== undefined) account.secretId = secretId;
  switch (view.code) {
    case 'inventory.changed':
      addMembership(account, view);
      break;
    case 'policy.changed':
      account.policies.push({ fromMs: timeMs, value: limitsIn(view) ?? null, sequence });
      break;
    case 'exemption.changed':
      addExemption(account, view);
      break;
    case 'attempt.failed':
    case 'rotation.intended':
      addAttempt(account, view);
      break;
    case 'secret.changed':
      if (view.status === 'success') addChangeByHand(account, view);
      break;
    case 'credential.verified': {
      const attempt = attemptOf(account, view);
      if (attempt && view.status === 'success') attempt.verified = true;
      break;
    }
    case 'rotation.outcome':
    case 'rotation.reconciled':
      closeAttempt(account, view);
      break;
    case 'account.stopped':
      addStop(account, view);
      break;
    case 'account.resumed':
      endStops(account, timeMs);
      break;
  }
}

function addMembership(account: AccountHistory, view: RecordView): void {
  const { timeMs, sequence } = view;
  const last = account.memberships.at(-1);
  account.isListed = view.trigger !== 'native';
  if (view.change === 'removed') {
    if (last && last.toMs === null) last.toMs = timeMs;
    // When it is added again, it begins without limits and exemption.
    account.policies.push({ fromMs: timeMs, value: null, sequence });
    endExemption(account, timeMs);
  } else if (last?.toMs != null) {
    account.memberships.push({ fromMs: timeMs, toMs: null });
  }
}

function addExemption(account: AccountHistory, view: RecordView): void {
  const { timeMs: fromMs, sequence } = view;
  endExemption(account, fromMs);
  const granted = exemptionIn(view);
  if (!granted) return;
  // Its last day is included.
  const endMs = (parseIso(granted.until) ?? fromMs - dayMs) + dayMs;
  account.exemptions.push({ ...granted, fromMs, toMs: Math.max(fromMs, endMs), sequence });
}

function endExemption({ exemptions }: AccountHistory, timeMs: number): void {
  const last = exemptions.at(-1);
  if (last) last.toMs = Math.min(last.toMs, timeMs);
}

/** Whether the account was in the inventory just before `timeMs`. */
export const isMember = ({ memberships }: AccountHistory, timeMs: number): boolean =>
  memberships.some(({ fromMs, toMs }) => fromMs < timeMs && (toMs === null || toMs >= timeMs));

function addAttempt(account: AccountHistory, view: RecordView): void {
  const { timeMs, sequence, uid, reason, detail, trigger = '' } = view;
  const actor = view.requestedBy ?? view.actor;
  const common = { intendedAtMs: timeMs, sequence, uid, actor, trigger, verified: false };
  if (view.code === 'attempt.failed') {
    // Its rotation, if any, is the one that an earlier attempt left open.
    const ended = {
      rotationId: uid,
      closedAtMs: timeMs,
      status: 'failure',
      reason,
      detail,
    } as const;
    account.attempts.push({ ...common, ...ended });
    return;
  }
  const rotationId = view.rotationId ?? uid;
  const attempt: Attempt = { ...common, rotationId, closedAtMs: null, status: 'open' };
  account.attempts.push(attempt);
  account.doubts.push(doubtOf(attempt, timeMs, 'the last rotation is unfinished'));
}

const doubtOf = (of: Attempt | Stop, fromMs: number, why: string): Doubt => ({
  fromMs,
  toMs: null,
  why,
  of,
});

const attemptOf = (account: AccountHistory, { rotationId }: RecordView): Attempt | undefined =>
  account.attempts.findLast((attempt) => attempt.rotationId === rotationId);

/** Suspensions after which the stored password is known not to be valid. */
const rejected: ReadonlySet<string> = new Set([
  'login-refused',
  'verify-refused',
  'store-conflict',
  'store-older-than-audit',
  'password-lost',
]);

function addStop(account: AccountHistory, view: RecordView): void {
  if (account.stops.some(({ toMs }) => toMs === null)) return;
  const { timeMs: fromMs, uid, sequence, reason = 'stopped', detail = '' } = view;
  const stop = { fromMs, toMs: null, reason, uid, sequence, detail };
  account.stops.push(stop);
  const why = reason === 'password-lost' ? 'the password is unrecoverable' : `suspended: ${reason}`;
  if (rejected.has(reason)) account.doubts.push(doubtOf(stop, fromMs, why));
}

/** A person cleared the suspension. What is lost stays lost until the password changes. */
function endStops({ stops, doubts }: AccountHistory, timeMs: number): void {
  for (const doubt of doubts)
    if ('fromMs' in doubt.of && doubt.of.reason !== 'password-lost') doubt.toMs ??= timeMs;
  for (const stop of stops) stop.toMs ??= timeMs;
}

/** The password is known again. */
function endDoubts(account: AccountHistory, fromMs: number, recordedMs: number): void {
  for (const doubt of account.doubts)
    if (doubt.toMs === null) doubt.toMs = Math.max(doubt.fromMs, fromMs);
  for (const stop of account.stops) stop.toMs ??= recordedMs;
}

function closeAttempt(account: AccountHistory, view: RecordView): void {
  const attempt = attemptOf(account, view);
  const { status, reason, timeMs } = view;
  if (attempt) {
    attempt.closedAtMs = timeMs;
    attempt.status = status === 'started' ? 'open' : status;
    attempt.closedBy = { sequence: view.sequence, uid: view.uid };
    attempt.reason = reason;
    attempt.detail = view.detail ?? attempt.detail;
    attempt.verified ||= view.verifiedBy === 'login';
  }
  if (status === 'success') addRotation(account, view, attempt);
  const doubt = account.doubts.find(({ of }) => of === attempt);
  if (!doubt || doubt.toMs !== null) return;
  // In hindsight there was no doubt: the reset did not happen.
  if (status === 'failure' && isUnchanged(view)) doubt.toMs = doubt.fromMs;
  else if (reason === 'password-lost') doubt.why = 'the password is unrecoverable';
  else doubt.why = `the outcome of the last rotation is unknown${reason ? `: ${reason}` : ''}`;
}

const isUnchanged = ({ certainty }: RecordView): boolean =>
  certainty === undefined || certainty === 'unchanged';

/** A rotation changed the password when it was reset, whenever that was determined. */
function addRotation(
  account: AccountHistory,
  view: RecordView,
  attempt: Attempt | undefined,
): void {
  const { rotationId, sequence, timeMs: recordedMs } = view;
  const sinceMs = parseIso(view.passwordSince ?? '') ?? attempt?.intendedAtMs ?? recordedMs;
  endDoubts(account, sinceMs, recordedMs);
  if (account.changes.some((one) => rotationId !== undefined && one.rotationId === rotationId))
    return;
  addChange(account, {
    timeMs: sinceMs,
    sinceMs,
    recordedMs,
    by: view.code === 'rotation.reconciled' ? 'recovery' : 'rotation',
    sequence,
    rotationId,
    actor: view.requestedBy ?? view.actor,
    trigger: view.trigger ?? '',
    verified: attempt?.verified ?? view.verifiedBy === 'login',
  });
}

function addChangeByHand(account: AccountHistory, view: RecordView): void {
  const { timeMs, sequence, versionBefore, passwordSince, trigger = '' } = view;
  const isFirst = versionBefore === undefined && account.changes.length === 0;
  addChange(account, {
    timeMs,
    sinceMs: parseIso(passwordSince ?? ''),
    recordedMs: timeMs,
    by: isFirst ? 'first' : 'outside',
    sequence,
    actor: view.requestedBy ?? view.actor,
    trigger,
    verified: false,
  });
  endDoubts(account, timeMs, timeMs);
}

function addChange({ changes }: AccountHistory, change: Change): void {
  changes.push(change);
  changes.sort((a, b) => a.timeMs - b.timeMs);
}
