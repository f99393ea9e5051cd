// How attempts end: the last record, the audit events and the result. They are made in one place,
// so that all of them give the same reason. Pure.

import { isoTime } from '../time.ts';
import { nextStep } from './catalogue.ts';
import type { AuditEvent } from './event.ts';
import {
  type Certainty,
  type Facts,
  type Failure,
  failures,
  type Reason,
  type StopReason,
} from './failure.ts';
import { dueAtMs } from './policy.ts';
import type { SecretVersion } from './ports.ts';
import {
  type AttemptRecord,
  type ClosedRotation,
  historyKept,
  type OpenRotation,
  type StoppedRecord,
} from './record.ts';
import type { Ending, Moment, OpenReason, Outcome, Result, State } from './state.ts';

/** One audit event of this attempt. */
export function auditOf(
  { request, tally }: State,
  code: AuditEvent['code'],
  status: AuditEvent['status'],
  facts: Partial<
    Omit<
      AuditEvent,
      'code' | 'status' | 'account' | 'secretId' | 'trigger' | 'ageDaysBefore' | 'policyMaxAgeDays'
    >
  >,
): AuditEvent {
  const { account, secretId, trigger, policy } = request;
  const known = { ageDaysBefore: tally.ageDays, policyMaxAgeDays: policy.maxAgeDays };
  return { code, status, account, secretId, trigger, ...facts, ...known };
}

/** What a record keeps of the ones before it. */
export type Carried = {
  readonly open?: OpenRotation | undefined;
  readonly history?: readonly ClosedRotation[] | undefined;
};

/** The fields that all records of this attempt share. */
export function recordFields(
  { tally }: State,
  at: { readonly atMs: number },
  fields: {
    readonly sequence: number;
    readonly basis: string;
    readonly loginsSpent: number;
    readonly leaseMs?: number;
  },
) {
  return { leaseMs: 0, ...fields, holder: tally.owner, writtenAtMs: at.atMs };
}

/** The record that releases `after`, with what is open and closed now. */
export function released(
  state: State,
  at: { readonly atMs: number },
  after: Pick<AttemptRecord, 'sequence' | 'basis'> & Carried,
  loginsSpent: number,
  carried: Carried = after,
): Extract<AttemptRecord, { phase: 'released' }> {
  const { open, history } = carried;
  const { basis, sequence } = after;
  const fields = recordFields(state, at, { sequence: sequence + 1, basis, loginsSpent });
  return { phase: 'released', ...fields, open, history };
}

/**
 * The history with one more closing, newest first. The newest rotation that made its password
 * current is never forgotten, nor the one that `pending`, the version under AWSPENDING, belongs to.
 * Of the others, those that a repeated order must find are kept longest.
 */
export function withClosed(
  { open, history = [] }: Carried,
  closing: ClosedRotation,
  pending: string | null = null,
): readonly ClosedRotation[] {
  const { rotationId } = closing;
  // A password that was restored closes its rotation once more.
  const before = [open, ...history].find((one) => one?.rotationId === rotationId);
  const keyDigest = before?.keyDigest;
  const others = history.filter((one) => one.rotationId !== rotationId);
  const all = [{ ...closing, keyDigest }, ...others];
  const newest = all.find(({ as }) => as === 'rotated');
  const ofPending = all.find(({ rotationId, versionId }) =>
    [rotationId, versionId].includes(pending ?? ''),
  );
  const needed = new Set([all[0], newest, ofPending]);
  const rankOf = (one: ClosedRotation): number =>
    needed.has(one) ? 0 : one.keyDigest !== undefined && one.as !== 'not-applied' ? 1 : 2;
  const kept = new Set(all.toSorted((a, b) => rankOf(a) - rankOf(b)).slice(0, historyKept));
  return all.filter((one) => kept.has(one));
}

/** What a suspension says: the record, the audit events, and the result. */
export type Suspension = {
  readonly after: Pick<AttemptRecord, 'sequence' | 'history' | 'open'>;
  readonly loginsSpent: number;
  /** The version whose password was rejected. */
  readonly refused?: string | undefined;
  readonly detail?: string | undefined;
};

/** Suspends automatic rotation of the account. */
export function suspended(
  state: State,
  at: Moment,
  reason: StopReason,
  { after, loginsSpent, refused, detail }: Suspension,
): State {
  const { current } = at;
  const { sequence, open, history } = after;
  const fields = { sequence: sequence + 1, basis: current.versionId, loginsSpent };
  const common = recordFields(state, at, fields);
  const record: StoppedRecord = { phase: 'stopped', ...common, open, history, reason, refused };
  const rotationId = open?.rotationId;
  const audit = suspensionEvents(state, current, record, detail);
  return ending(state, at, { reason, detail, rotationId }, { record, audit });
}

/** Whether this reason says how a rotation ended; the others suspend an account without one. */
export const concernsRotation = (reason: StopReason): boolean =>
  reason === 'password-lost' || reason === 'store-conflict' || reason === 'verify-refused';

/**
 * What the audit log records about a suspension: the outcome of the rotation, if there is one, and
 * the suspension.
 */
export function suspensionEvents(
  state: State,
  { credentials }: SecretVersion,
  { reason, open, sequence: attemptRecord }: StoppedRecord,
  detail?: string,
): AuditEvent[] {
  const { certainty } = failures[reason];
  const facts = { username: credentials.username, certainty, reason, detail };
  const isOfRotation = open && concernsRotation(reason);
  const about = isOfRotation ? { ...facts, rotationId: open.rotationId } : facts;
  const stopped = auditOf(state, 'account.stopped', 'failure', { ...about, attemptRecord });
  const outcome = reason === 'password-lost' ? 'rotation.reconciled' : 'rotation.outcome';
  return isOfRotation ? [stopped, auditOf(state, outcome, 'failure', about)] : [stopped];
}

/** How an attempt ended. Without a reason it succeeded. */
export type Verdict = {
  readonly outcome?: Result['outcome'] | undefined;
  readonly reason?: Reason | undefined;
  readonly detail?: string | undefined;
  readonly rotationId?: string | undefined;
  readonly facts?: Facts | undefined;
  /** The current version, where it is not the one of the moment. */
  readonly versionId?: string | undefined;
  /** Since when the current password counts for the policy, where this attempt changed it. */
  readonly sinceMs?: number | undefined;
};

/** A failure as a verdict. */
export const failedWith = (failure: Failure): Verdict => ({
  reason: failure.reason,
  detail: failure.message,
  facts: failure.facts,
});

/**
 * What became of the rotation that an earlier delivery of the same order started. `isOld`: the
 * password is due by its age, so that only the unknown end of that rotation keeps it.
 */
export function repeatedVerdict(ordered: ClosedRotation | undefined, isOld: boolean): Verdict {
  if (ordered === undefined) return { outcome: 'not-due' };
  const { rotationId, as, sinceMs } = ordered;
  const when = sinceMs === undefined ? '' : ` at ${isoTime(sinceMs)}`;
  const what =
    as === 'rotated' ? `rotated the password${when}` : `began a rotation that is closed as ${as}`;
  const detail = `the first order with this idempotency key ${what} (rotation ${rotationId})`;
  return isOld
    ? { reason: 'token-used', detail, rotationId, facts: { cause: 'order-repeated' } }
    : { outcome: 'not-due', detail, rotationId };
}

type LastActs = { readonly [Act in Exclude<keyof Ending, 'result'>]?: Ending[Act] | undefined };

/** The end of an attempt: what is still to be written, and the result that follows. */
export function ending(
  state: State,
  at: Omit<Moment, 'current'> & { readonly current?: SecretVersion },
  given: Verdict,
  last: LastActs = {},
): State {
  const { request, tally } = state;
  const verdict = withOpenReason(tally.openReason, given);
  const { reason, detail, rotationId } = verdict;
  const versionId = verdict.versionId ?? at.current?.versionId;
  const { account, secretId, store, policy } = request;
  const sinceMs = verdict.sinceMs ?? tally.sinceMs;
  const loginsSpent = last.record?.loginsSpent;
  const known = { account, secretId, store, detail, rotationId, versionId, loginsSpent };
  const facts: Facts = { ...verdict.facts, ...known };
  const certainty: Certainty =
    reason === undefined ? goodCertainty(verdict.outcome) : failures[reason].certainty;
  const isSuspended = certainty === 'stopped' || certainty === 'lost';
  const result: Result = {
    account,
    secretId,
    outcome: verdict.outcome ?? (isSuspended ? 'stopped' : 'failed'),
    certainty,
    reason,
    detail,
    rotationId,
    versionId,
    ageDays: tally.ageDays,
    dueAtMs: sinceMs === undefined ? undefined : dueAtMs(sinceMs, policy),
    deadWindowMs: tally.deadWindowMs,
    logins: tally.logins,
    startedAtMs: tally.startedAtMs,
    endedAtMs: at.atMs,
    next: reason === undefined ? '' : nextStep(reason, facts),
    facts,
  };
  const audit = [...tally.carried, ...(last.audit ?? [])];
  const { record = null, isUncertain = false, discardReceipt = null } = last;
  const session = last.session ?? tally.session ?? null;
  if (record === null && session === null && audit.length === 0)
    return { at: 'finished', request, tally, result };
  const acts = { record, isUncertain, session, audit, discardReceipt, result };
  return { at: 'ending', request, tally, ...acts };
}

/** While a rotation is open an attempt cannot end by saying that nothing changed (promise 10). */
function withOpenReason(openReason: OpenReason | undefined, verdict: Verdict): Verdict {
  const { reason, detail } = verdict;
  if (openReason === undefined || reason === undefined) return verdict;
  if (failures[reason].certainty !== 'unchanged') return verdict;
  const said = `${reason}${detail === undefined ? '' : `, ${detail}`}`;
  return { ...verdict, reason: openReason, detail: said };
}

function goodCertainty(outcome: Result['outcome'] | undefined): Certainty {
  if (outcome === 'rotated' || outcome === 'recovered') return 'rotated';
  return outcome === 'not-due' ? 'not-due' : 'unchanged';
}

/** The result, with what could not be recorded at the very end. */
export function finishedWith(
  state: Extract<State, { at: 'ending' }>,
  outcome: Outcome,
  unrecorded: readonly string[],
): State {
  const { request, tally } = state;
  const details = [state.result.detail, ...unrecorded.map((message) => `not recorded: ${message}`)];
  const detail = details.filter((part) => part !== undefined).join('; ');
  const said = detail === '' ? {} : { detail };
  const result = { ...state.result, endedAtMs: outcome.atMs, ...said };
  return { at: 'finished', request, tally, result };
}

/** What exit code 0 means. */
export function isGood(result: Result): boolean {
  return result.reason === undefined;
}
