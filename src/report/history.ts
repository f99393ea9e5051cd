// What the log says about each account since its first record: inventory, limits, exemptions,
// changes of the password, attempts, suspensions and doubts. One pass in log order. It does not
// know the period of a report or the store.

import { exemptionIn, type Exemption as Granted, type Limits, limitsIn } from '../audit/facts.ts';
import type { RecordView } from '../audit/record.ts';
import { dayMs, parseIso } from '../time.ts';

/** Limits that hold from `fromMs` until the next ones; `null`: none. */
export type Setting = { readonly fromMs: number; readonly value: Limits | null };

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
  /** The sequence numbers of its first record and of the one that closed it last. */
  records: readonly number[];
  readonly actor: string;
  readonly trigger: string;
  closedAtMs: number | null;
  /** The newest result that is recorded. */
  status: 'open' | 'success' | 'failure' | 'unknown';
  verified: boolean;
  reason?: string | undefined;
  detail?: string | undefined;
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

export type AccountHistory = ReturnType<typeof createAccount>;

/** An account that is known from this record on. */
const createAccount = (account: string, { timeMs: fromMs, trigger }: RecordView) => ({
  account,
  username: null as string | null,
  secretId: null as string | null,
  /** When it was in the inventory: by `inventory.changed`, else from its first record on. */
  memberships: [{ fromMs, toMs: null as number | null }],
  /** False where it is known from native rotation only: `inventory.summary` does not count it. */
  isListed: trigger !== 'native',
  /** Its own limits. */
  policies: [] as Setting[],
  exemptions: [] as Exemption[],
  changes: [] as Change[],
  attempts: [] as Attempt[],
  stops: [] as Stop[],
  doubts: [] as Doubt[],
});

export type LogHistory = ReturnType<typeof createHistory>;

/** The accounts, and the records about the log itself. */
export const createHistory = () => ({
  accounts: new Map<string, AccountHistory>(),
  /** Those of the fleet. Without a `policy.changed` only the larger limit is known. */
  policies: [] as Setting[],
  saysPolicy: false,
  /** By the id of the exception. */
  acknowledgements: new Map<string, RecordView>(),
  storageFailures: [] as RecordView[],
  repairs: [] as RecordView[],
  inventorySummary: null as RecordView | null,
});

/** Adds the next record of the log. */
export function addRecord(history: LogHistory, view: RecordView): void {
  const { code, account, exceptionId } = view;
  if (code === 'exception.acknowledged') {
    if (exceptionId !== undefined) history.acknowledgements.set(exceptionId, view);
  } else if (code === 'sink.failed') history.storageFailures.push(view);
  else if (code === 'log.repaired') history.repairs.push(view);
  else if (code === 'inventory.summary') history.inventorySummary = view;
  else {
    if (account !== undefined) addToAccount(history, account, view);
    addFleetPolicy(history, view);
  }
}

/** Until the log says a policy, the limit in the records of version 0.1 is that of the fleet. */
function addFleetPolicy(history: LogHistory, view: RecordView): void {
  const { timeMs: fromMs, code, account, policyMaxAgeDays: maxAgeDays } = view;
  const { policies, saysPolicy } = history;
  if (code === 'policy.changed' && account === undefined) {
    history.saysPolicy = true;
    policies.push({ fromMs, value: limitsIn(view) ?? null });
  } else if (!saysPolicy && maxAgeDays !== undefined) {
    if (policies.at(-1)?.value?.maxAgeDays !== maxAgeDays)
      policies.push({ fromMs, value: { maxAgeDays, rotateAfterDays: Infinity } });
  }
}

/** What a record changes in the history of its account, by event. */
const effects = new Map<string, (account: AccountHistory, view: RecordView) => void>([
  ['inventory.changed', addMembership],
  ['policy.changed', addPolicy],
  ['exemption.changed', addExemption],
  ['attempt.failed', addFailedAttempt],
  ['rotation.intended', addIntent],
  ['secret.changed', addChangeByHand],
  ['credential.verified', addVerification],
  ['rotation.outcome', closeAttempt],
  ['rotation.reconciled', closeAttempt],
  ['account.stopped', addStop],
  ['account.resumed', endStops],
]);

function addToAccount({ accounts }: LogHistory, name: string, view: RecordView): void {
  const account = accounts.get(name) ?? createAccount(name, view);
  accounts.set(name, account);
  account.username = view.username ?? account.username;
  account.secretId = view.secretId ?? account.secretId;
  effects.get(view.code)?.(account, view);
}

function addMembership(account: AccountHistory, view: RecordView): void {
  const { timeMs } = view;
  const last = account.memberships.at(-1);
  account.isListed = view.trigger !== 'native';
  if (view.change === 'removed') {
    if (last) last.toMs ??= timeMs;
    // When it is added again, it begins without limits and exemption.
    account.policies.push({ fromMs: timeMs, value: null });
    endExemption(account, timeMs);
  } else if (last?.toMs != null) {
    account.memberships.push({ fromMs: timeMs, toMs: null });
  }
}

function addPolicy({ policies }: AccountHistory, view: RecordView): void {
  policies.push({ fromMs: view.timeMs, value: limitsIn(view) ?? null });
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

const beginningOf = (view: RecordView) => ({
  intendedAtMs: view.timeMs,
  records: [view.sequence],
  actor: actorOf(view),
  trigger: view.trigger ?? '',
  verified: false,
});

const actorOf = ({ requestedBy, actor }: RecordView): string => requestedBy ?? actor;

/** Its rotation, if any, is the one that an earlier attempt left open. */
function addFailedAttempt({ attempts }: AccountHistory, view: RecordView): void {
  const { uid: rotationId, timeMs: closedAtMs, reason, detail } = view;
  const ended = { rotationId, closedAtMs, status: 'failure', reason, detail } as const;
  attempts.push({ ...beginningOf(view), ...ended });
}

function addIntent({ attempts, doubts }: AccountHistory, view: RecordView): void {
  const rotationId = view.rotationId ?? view.uid;
  const attempt: Attempt = { ...beginningOf(view), rotationId, closedAtMs: null, status: 'open' };
  attempts.push(attempt);
  const why = 'the last rotation is unfinished';
  doubts.push({ fromMs: view.timeMs, toMs: null, why, of: attempt });
}

const attemptOf = ({ attempts }: AccountHistory, { rotationId }: RecordView): Attempt | undefined =>
  attempts.findLast((attempt) => attempt.rotationId === rotationId);

function addVerification(account: AccountHistory, view: RecordView): void {
  const attempt = attemptOf(account, view);
  if (attempt && view.status === 'success') attempt.verified = true;
}

/** Suspensions after which the stored password is known not to be valid. */
const rejected: ReadonlySet<string> = new Set([
  'login-refused',
  'verify-refused',
  'store-conflict',
  'store-older-than-audit',
  'password-lost',
]);

function addStop({ stops, doubts }: AccountHistory, view: RecordView): void {
  if (stops.some(({ toMs }) => toMs === null)) return;
  const { timeMs: fromMs, uid, sequence, reason = 'stopped', detail = '' } = view;
  const stop = { fromMs, toMs: null, reason, uid, sequence, detail };
  stops.push(stop);
  const why = reason === 'password-lost' ? 'the password is unrecoverable' : `suspended: ${reason}`;
  if (rejected.has(reason)) doubts.push({ fromMs, toMs: null, why, of: stop });
}

/** A person cleared the suspension. What is lost stays lost until the password changes. */
function endStops({ stops, doubts }: AccountHistory, { timeMs }: RecordView): void {
  for (const doubt of doubts)
    if ('fromMs' in doubt.of && doubt.of.reason !== 'password-lost') doubt.toMs ??= timeMs;
  for (const stop of stops) stop.toMs ??= timeMs;
}

/** The password is known again. */
function endDoubts(account: AccountHistory, fromMs: number, recordedMs: number): void {
  for (const doubt of account.doubts) doubt.toMs ??= Math.max(doubt.fromMs, fromMs);
  for (const stop of account.stops) stop.toMs ??= recordedMs;
}

function closeAttempt(account: AccountHistory, view: RecordView): void {
  const attempt = attemptOf(account, view);
  const { status, reason, certainty = 'unchanged' } = view;
  if (attempt) {
    attempt.closedAtMs = view.timeMs;
    attempt.status = status === 'started' ? 'open' : status;
    attempt.records = [...attempt.records.slice(0, 1), view.sequence];
    attempt.reason = reason;
    attempt.detail = view.detail ?? attempt.detail;
    attempt.verified ||= view.verifiedBy === 'login';
  }
  if (status === 'success') addRotation(account, view, attempt);
  const doubt = account.doubts.find(({ of }) => of === attempt);
  if (!doubt || doubt.toMs !== null) return;
  // In hindsight there was no doubt: the reset did not happen.
  if (status === 'failure' && certainty === 'unchanged') doubt.toMs = doubt.fromMs;
  else if (reason === 'password-lost') doubt.why = 'the password is unrecoverable';
  else doubt.why = `the outcome of the last rotation is unknown${reason ? `: ${reason}` : ''}`;
}

/** A rotation changed the password when it was reset, whenever that was determined. */
function addRotation(account: AccountHistory, view: RecordView, attempt?: Attempt): void {
  const { rotationId, timeMs: recordedMs, passwordSince = '', verifiedBy } = view;
  const timeMs = parseIso(passwordSince) ?? attempt?.intendedAtMs ?? recordedMs;
  endDoubts(account, timeMs, recordedMs);
  if (account.changes.some((one) => rotationId !== undefined && one.rotationId === rotationId))
    return;
  addChange(account, view, {
    timeMs,
    sinceMs: timeMs,
    by: view.code === 'rotation.reconciled' ? 'recovery' : 'rotation',
    rotationId,
    verified: attempt?.verified ?? verifiedBy === 'login',
  });
}

function addChangeByHand(account: AccountHistory, view: RecordView): void {
  const { timeMs, versionBefore, passwordSince = '' } = view;
  if (view.status !== 'success') return;
  const isFirst = versionBefore === undefined && account.changes.length === 0;
  const by = isFirst ? 'first' : 'outside';
  addChange(account, view, { timeMs, sinceMs: parseIso(passwordSince), by, verified: false });
  endDoubts(account, timeMs, timeMs);
}

function addChange(
  { changes }: AccountHistory,
  view: RecordView,
  change: Pick<Change, 'timeMs' | 'sinceMs' | 'by' | 'rotationId' | 'verified'>,
): void {
  const { timeMs: recordedMs, sequence, trigger = '' } = view;
  changes.push({ ...change, recordedMs, sequence, actor: actorOf(view), trigger });
  changes.sort((a, b) => a.timeMs - b.timeMs);
}
