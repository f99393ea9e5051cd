// What the log tells of each account over its whole life: when its password changed, what failed, when it stopped, what is open.
// One pass in log order; nothing here knows the period of a report, the store, or today.

import type { RecordView } from '../audit/record.ts';
import { dayMs } from '../time.ts';

/** A moment since when an account has another password. */
export type Change = {
  readonly timeMs: number;
  /** `outside`: put by hand or found in the store, not by a rotation. */
  readonly by: 'rotation' | 'recovery' | 'outside';
  readonly sequence: number | null;
  readonly rotationId?: string;
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
  /** The last word on it. */
  status: 'open' | 'success' | 'failure' | 'unknown';
  reason?: string;
  detail?: string;
  closedBy?: { readonly sequence: number; readonly uid: string };
  storedAtMs?: number;
};

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
  /** When it belonged to the inventory: by `inventory.changed`, else from its first record on. */
  readonly memberships: { readonly fromMs: number; toMs: number | null }[];
  /** The age that the first records tell, as the moment the password must have been set; `null` when none does. */
  bornMs: number | null;
  readonly changes: Change[];
  readonly attempts: Attempt[];
  readonly stops: Stop[];
};

/** Records that concern no account but the log, kept as they are. */
export type LogHistory = {
  readonly accounts: Map<string, AccountHistory>;
  readonly acknowledgements: Map<string, RecordView>;
  readonly sinkFailures: RecordView[];
  readonly repairs: RecordView[];
  readonly exports: RecordView[];
  inventorySummary: RecordView | null;
  readonly runs: { started: number; finished: number };
  first: RecordView | null;
  last: RecordView | null;
};

export const createHistory = (): LogHistory => ({
  accounts: new Map(),
  acknowledgements: new Map(),
  sinkFailures: [],
  repairs: [],
  exports: [],
  inventorySummary: null,
  runs: { started: 0, finished: 0 },
  first: null,
  last: null,
});

/** Takes the next record of the log into account. */
export function addRecord(history: LogHistory, view: RecordView): void {
  history.first ??= view;
  history.last = view;
  switch (view.code) {
    case 'exception.acknowledged': {
      if (view.exceptionId !== undefined) history.acknowledgements.set(view.exceptionId, view);
      return;
    }
    case 'sink.failed':
      history.sinkFailures.push(view);
      return;
    case 'log.repaired':
      history.repairs.push(view);
      return;
    case 'report.exported':
      history.exports.push(view);
      return;
    case 'inventory.summary':
      history.inventorySummary = view;
      return;
    case 'run.started':
      history.runs.started += 1;
      return;
    case 'run.finished':
      history.runs.finished += 1;
      return;
  }
  if (view.account !== undefined) addToAccount(accountOf(history, view.account, view), view);
}

function accountOf(history: LogHistory, account: string, view: RecordView): AccountHistory {
  const known = history.accounts.get(account);
  if (known) return known;
  const fresh: AccountHistory = {
    account,
    firstSeenMs: view.timeMs,
    memberships: [{ fromMs: view.timeMs, toMs: null }],
    bornMs: null,
    changes: [],
    attempts: [],
    stops: [],
  };
  history.accounts.set(account, fresh);
  return fresh;
}

function addToAccount(account: AccountHistory, view: RecordView): void {
  if (view.username !== undefined) account.username = view.username;
  if (view.secretId !== undefined) account.secretId = view.secretId;
  const age = view.ageDaysBefore;
  if (account.bornMs === null && account.changes.length === 0 && age !== undefined)
    account.bornMs = view.timeMs - age * dayMs;
  switch (view.code) {
    case 'inventory.changed':
      changeMembership(account, view);
      return;
    case 'rotation.intended':
      account.attempts.push({
        rotationId: view.rotationId ?? view.uid,
        intendedAtMs: view.timeMs,
        sequence: view.sequence,
        uid: view.uid,
        actor: view.requestedBy ?? view.actor,
        closedAtMs: null,
        status: 'open',
      });
      return;
    case 'secret.stored':
    case 'secret.promoted': {
      const attempt = attemptOf(account, view);
      if (attempt) attempt.storedAtMs ??= view.timeMs;
      if (view.code === 'secret.promoted') addChange(account, view, attempt);
      return;
    }
    case 'secret.changed':
      if (view.status === 'success') addChange(account, view, undefined);
      liftStop(account, view.timeMs);
      return;
    case 'credential.verified':
      for (const change of account.changes)
        if (view.status === 'success' && change.rotationId === view.rotationId)
          change.verified = true;
      return;
    case 'rotation.outcome':
    case 'rotation.reconciled':
      close(account, view);
      return;
    case 'account.stopped':
      if (!account.stops.some(({ toMs }) => toMs === null)) {
        const { timeMs: fromMs, uid, sequence } = view;
        account.stops.push({
          fromMs,
          toMs: null,
          reason: view.reason ?? 'stopped',
          uid,
          sequence,
          detail: view.detail ?? '',
        });
      }
      return;
    case 'account.resumed':
      liftStop(account, view.timeMs);
      return;
  }
}

function changeMembership(account: AccountHistory, view: RecordView): void {
  const last = account.memberships.at(-1);
  if (view.change === 'removed') {
    if (last && last.toMs === null) last.toMs = view.timeMs;
  } else if (last?.toMs != null) {
    account.memberships.push({ fromMs: view.timeMs, toMs: null });
  }
}

/** Whether the account belonged to the inventory just before `timeMs`. */
export const isMember = ({ memberships }: AccountHistory, timeMs: number): boolean =>
  memberships.some(({ fromMs, toMs }) => fromMs < timeMs && (toMs === null || toMs >= timeMs));

const attemptOf = (account: AccountHistory, { rotationId }: RecordView): Attempt | undefined =>
  account.attempts.findLast((attempt) => attempt.rotationId === rotationId);

function liftStop(account: AccountHistory, timeMs: number): void {
  for (const stop of account.stops) stop.toMs ??= timeMs;
}

function close(account: AccountHistory, view: RecordView): void {
  const attempt = attemptOf(account, view);
  if (attempt) {
    attempt.closedAtMs = view.timeMs;
    attempt.status = view.status === 'started' ? 'open' : view.status;
    attempt.closedBy = { sequence: view.sequence, uid: view.uid };
    if (view.reason === undefined) delete attempt.reason;
    else attempt.reason = view.reason;
    if (view.detail !== undefined) attempt.detail = view.detail;
  }
  if (view.status !== 'success') return;
  addChange(account, view, attempt);
  liftStop(account, view.timeMs);
}

/**
 * Notes that the password changed. A rotation counts from when its password was stored; one that was only found out later counts from
 * its intent, the earliest moment it can have happened, so that no age is told too young.
 */
function addChange(account: AccountHistory, view: RecordView, attempt: Attempt | undefined): void {
  const { rotationId } = view;
  const verified = view.verifiedBy === 'login';
  const known =
    rotationId === undefined
      ? undefined
      : account.changes.find(
          (change) =>
            change.rotationId === rotationId && change.timeMs >= (attempt?.intendedAtMs ?? 0),
        );
  if (known) {
    known.verified ||= verified;
    return;
  }
  const isLate = view.code === 'rotation.reconciled';
  account.changes.push({
    timeMs: attempt?.storedAtMs ?? (isLate ? (attempt?.intendedAtMs ?? view.timeMs) : view.timeMs),
    by: view.code === 'secret.changed' ? 'outside' : isLate ? 'recovery' : 'rotation',
    sequence: view.sequence,
    ...(rotationId === undefined ? {} : { rotationId }),
    actor: view.requestedBy ?? view.actor,
    trigger: view.trigger ?? '',
    verified,
  });
  account.changes.sort((a, b) => a.timeMs - b.timeMs);
}
