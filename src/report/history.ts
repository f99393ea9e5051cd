// What the log says about each account since its first record: when its password changed, what
// failed, when its rotation was suspended, which intents are open. One pass in log order. This file
// does not know the period of a report or the store.

import type { RecordView } from '../audit/record.ts';
import { dayMs } from '../time.ts';

/** A moment from which on an account has another password. */
export type Change = {
  readonly timeMs: number;
  /** `outside`: stored by hand or found in the store, not by a rotation. */
  readonly by: 'rotation' | 'recovery' | 'outside';
  /** `null`: only the store shows this change. */
  readonly sequence: number | null;
  readonly rotationId?: string | undefined;
  readonly actor: string;
  readonly trigger: string;
  verified: boolean;
};

export type Attempt = {
  readonly rotationId: string;
  readonly intendedAtMs: number;
  readonly sequence: number;
  readonly uid: string;
  readonly actor: string;
  closedAtMs: number | null;
  /** The newest result that is recorded. */
  status: 'open' | 'success' | 'failure' | 'unknown';
  reason?: string | undefined;
  detail?: string | undefined;
  closedBy?: { readonly sequence: number; readonly uid: string };
  storedAtMs?: number;
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

export type AccountHistory = {
  readonly account: string;
  username?: string;
  secretId?: string;
  readonly firstSeenMs: number;
  /** When it was in the inventory: by `inventory.changed`, else from its first record on. */
  readonly memberships: { readonly fromMs: number; toMs: number | null }[];
  /**
   * When the first password was stored, by the age in the first records; `null` when none has an
   * age.
   */
  bornMs: number | null;
  readonly changes: Change[];
  readonly attempts: Attempt[];
  readonly stops: Stop[];
};

/** The accounts, and the records about the log itself. */
export type LogHistory = {
  readonly accounts: Map<string, AccountHistory>;
  /** By the id of the exception. */
  readonly acknowledgements: Map<string, RecordView>;
  readonly storageFailures: RecordView[];
  readonly repairs: RecordView[];
  inventorySummary: RecordView | null;
};

export const createHistory = (): LogHistory => ({
  accounts: new Map(),
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
}

function accountOf(history: LogHistory, account: string, view: RecordView): AccountHistory {
  const known = history.accounts.get(account);
  if (known) return known;
  const created: AccountHistory = {
    account,
    firstSeenMs: view.timeMs,
    memberships: [{ fromMs: view.timeMs, toMs: null }],
    bornMs: null,
    changes: [],
    attempts: [],
    stops: [],
  };
  history.accounts.set(account, created);
  return created;
}

function addToAccount(account: AccountHistory, view: RecordView): void {
  const { username, secretId, ageDaysBefore, timeMs } = view;
  if (username !== undefined) account.username = username;
  if (secretId !== undefined) account.secretId = secretId;
  if (account.bornMs === null && account.changes.length === 0 && ageDaysBefore !== undefined)
    account.bornMs = timeMs - ageDaysBefore * dayMs;
  switch (view.code) {
    case 'inventory.changed':
      addMembership(account, view);
      break;
    case 'rotation.intended':
      addAttempt(account, view);
      break;
    case 'secret.stored':
    case 'secret.promoted': {
      const attempt = attemptOf(account, view);
      if (attempt) attempt.storedAtMs ??= timeMs;
      if (view.code === 'secret.promoted') addChange(account, view, attempt);
      break;
    }
    case 'secret.changed':
      if (view.status === 'success') addChange(account, view, undefined);
      endStops(account, timeMs);
      break;
    case 'credential.verified':
      for (const change of account.changes)
        if (view.status === 'success' && change.rotationId === view.rotationId)
          change.verified = true;
      break;
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
  const last = account.memberships.at(-1);
  if (view.change === 'removed') {
    if (last && last.toMs === null) last.toMs = view.timeMs;
  } else if (last?.toMs != null) {
    account.memberships.push({ fromMs: view.timeMs, toMs: null });
  }
}

/** Whether the account was in the inventory just before `timeMs`. */
export const isMember = ({ memberships }: AccountHistory, timeMs: number): boolean =>
  memberships.some(({ fromMs, toMs }) => fromMs < timeMs && (toMs === null || toMs >= timeMs));

function addAttempt(account: AccountHistory, view: RecordView): void {
  account.attempts.push({
    rotationId: view.rotationId ?? view.uid,
    intendedAtMs: view.timeMs,
    sequence: view.sequence,
    uid: view.uid,
    actor: view.requestedBy ?? view.actor,
    closedAtMs: null,
    status: 'open',
  });
}

const attemptOf = (account: AccountHistory, { rotationId }: RecordView): Attempt | undefined =>
  account.attempts.findLast((attempt) => attempt.rotationId === rotationId);

function addStop(account: AccountHistory, view: RecordView): void {
  if (account.stops.some(({ toMs }) => toMs === null)) return;
  const { timeMs: fromMs, uid, sequence, reason = 'stopped', detail = '' } = view;
  account.stops.push({ fromMs, toMs: null, reason, uid, sequence, detail });
}

function endStops(account: AccountHistory, timeMs: number): void {
  for (const stop of account.stops) stop.toMs ??= timeMs;
}

function closeAttempt(account: AccountHistory, view: RecordView): void {
  const attempt = attemptOf(account, view);
  if (attempt) {
    attempt.closedAtMs = view.timeMs;
    attempt.status = view.status === 'started' ? 'open' : view.status;
    attempt.closedBy = { sequence: view.sequence, uid: view.uid };
    attempt.reason = view.reason;
    attempt.detail = view.detail ?? attempt.detail;
  }
  if (view.status !== 'success') return;
  addChange(account, view, attempt);
  endStops(account, view.timeMs);
}

/**
 * Adds a change of the password. A rotation counts from when its password was stored. One whose
 * result was determined later counts from its intent, the earliest possible moment, so that no age
 * is reported too low.
 */
function addChange(account: AccountHistory, view: RecordView, attempt: Attempt | undefined): void {
  const { rotationId } = view;
  const verified = view.verifiedBy === 'login';
  const known = account.changes.find(
    (change) =>
      rotationId !== undefined &&
      change.rotationId === rotationId &&
      change.timeMs >= (attempt?.intendedAtMs ?? 0),
  );
  if (known) {
    known.verified ||= verified;
    return;
  }
  const isLate = view.code === 'rotation.reconciled';
  const recordedMs = isLate ? (attempt?.intendedAtMs ?? view.timeMs) : view.timeMs;
  account.changes.push({
    timeMs: attempt?.storedAtMs ?? recordedMs,
    by: view.code === 'secret.changed' ? 'outside' : isLate ? 'recovery' : 'rotation',
    sequence: view.sequence,
    rotationId,
    actor: view.requestedBy ?? view.actor,
    trigger: view.trigger ?? '',
    verified,
  });
  account.changes.sort((a, b) => a.timeMs - b.timeMs);
}
