// How attempts end: the last record, the audit events and the result, made in one place so that the
// reason in the result, in the record and in the audit log is the same string.

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
import type { CurrentSecret, Session } from './ports.ts';
import type { AttemptRecord, KnownRotation } from './record.ts';
import {
  type ClaimedRecord,
  claimLeaseMs,
  type Ending,
  type Outcome,
  type Result,
  type State,
} from './state.ts';

/** When something ended, and on which version; `current` is missing where the survey itself failed. */
type Moment = {
  readonly atMs: number;
  readonly current?: CurrentSecret;
  readonly versionId?: string;
};

type Known = { readonly rotationId?: string | undefined; readonly doubtful?: true | undefined };

function knownFields({ rotationId, doubtful }: Known): KnownRotation {
  if (rotationId === undefined) return {};
  return doubtful ? { rotationId, doubtful } : { rotationId };
}

/** One audit event of this attempt. */
export function auditOf(
  { request, tally }: State,
  code: AuditEvent['code'],
  status: AuditEvent['status'],
  facts: Partial<
    Omit<AuditEvent, 'code' | 'status' | 'account' | 'secretId' | 'trigger' | 'ageDaysBefore'>
  >,
): AuditEvent {
  const { account, secretId, trigger } = request;
  return {
    code,
    status,
    account,
    secretId,
    trigger,
    ...facts,
    ...(tally.ageDays === undefined ? {} : { ageDaysBefore: tally.ageDays }),
  };
}

/** The tally's earlier rotations, as records carry them on. */
export const earlierFields = ({ earlier }: State['tally']): { earlier?: readonly string[] } =>
  earlier.length === 0 ? {} : { earlier };

/** A claim on the current version. */
export function claimed(
  { request, tally }: State,
  at: { atMs: number; current: CurrentSecret },
  fields: { sequence: number; loginsSpent: number; known: Known },
): ClaimedRecord {
  const { sequence, loginsSpent, known } = fields;
  const common = {
    sequence,
    basis: at.current.versionId,
    holder: tally.holder,
    writtenAtMs: at.atMs,
    leaseMs: claimLeaseMs(request.timing),
    loginsSpent,
    ...earlierFields(tally),
  };
  return { phase: 'claimed', ...common, ...knownFields(known) };
}

/** The record that lets go of `after`. A doubt goes on, unless a login has resolved it. */
export function released(
  { tally }: State,
  at: { atMs: number },
  {
    after,
    loginsSpent,
    keepDoubt,
  }: { after: AttemptRecord; loginsSpent: number; keepDoubt: boolean },
): Extract<AttemptRecord, { phase: 'released' }> {
  const doubtful = keepDoubt && after.phase !== 'resetting' ? after.doubtful : undefined;
  const common = {
    sequence: after.sequence + 1,
    basis: after.basis,
    holder: tally.holder,
    writtenAtMs: at.atMs,
    leaseMs: 0,
    loginsSpent,
    ...earlierFields(tally),
  };
  return {
    phase: 'released',
    ...common,
    ...knownFields({ rotationId: after.rotationId, doubtful }),
  };
}

/** Stops the account: the record, the audit events, and the result. */
export function stoppedBy(
  state: State,
  at: { atMs: number; current: CurrentSecret; versionId?: string },
  reason: StopReason,
  where: { sequence: number; loginsSpent: number; known: Known; basis?: string; detail?: string },
  session: Session | null = null,
): State {
  const { tally } = state;
  const { sequence, loginsSpent, known } = where;
  const common = {
    sequence,
    basis: where.basis ?? at.current.versionId,
    holder: tally.holder,
    writtenAtMs: at.atMs,
    leaseMs: 0,
    loginsSpent,
    ...earlierFields(tally),
  };
  const record: AttemptRecord = { phase: 'stopped', ...common, ...knownFields(known), reason };
  const detail = where.detail === undefined ? {} : { detail: where.detail };
  const { rotationId } = known;
  const audit = stopEvents(state, at.current, reason, { rotationId, ...detail });
  const about = concernsRotation(reason) && rotationId !== undefined ? { rotationId } : {};
  return ending(
    state,
    at,
    { outcome: 'stopped', reason, ...detail, ...about },
    { record, audit, session },
  );
}

/** Whether this reason says how a rotation ended that an intent has announced; the others stop before any intent. */
export const concernsRotation = (reason: StopReason): boolean =>
  reason === 'password-lost' || reason === 'store-conflict' || reason === 'verify-refused';

/** What the audit log hears about a stop: the outcome of the rotation that it ended, if it ended one, and the stop. */
export function stopEvents(
  state: State,
  { credentials }: CurrentSecret,
  reason: StopReason,
  { rotationId, detail }: { rotationId?: string | undefined; detail?: string },
): AuditEvent[] {
  const { certainty } = failures[reason];
  const facts = {
    username: credentials.username,
    certainty,
    reason,
    ...(detail === undefined ? {} : { detail }),
  };
  if (!concernsRotation(reason) || rotationId === undefined)
    return [auditOf(state, 'account.stopped', 'failure', facts)];
  const about = { ...facts, rotationId };
  return [
    auditOf(state, outcomeCode(reason), 'failure', about),
    auditOf(state, 'account.stopped', 'failure', about),
  ];
}

const outcomeCode = (reason: StopReason): AuditEvent['code'] =>
  reason === 'password-lost' ? 'rotation.reconciled' : 'rotation.outcome';

type Verdict = {
  outcome?: Result['outcome'];
  reason?: Reason | undefined;
  detail?: string | undefined;
  rotationId?: string;
  deadWindowMs?: number;
  facts?: Facts | undefined;
};

/** The end of an attempt: what is still to be written, and the result that follows. */
export function ending(
  state: State,
  at: Moment,
  verdict: Verdict,
  last: Partial<Omit<Ending, 'result'>> = {},
): State {
  const { request, tally } = state;
  const { reason, detail } = afterRecovery(tally, verdict);
  const versionId = at.versionId ?? at.current?.versionId;
  const certainty: Certainty =
    reason === undefined ? goodCertainty(verdict.outcome) : failures[reason].certainty;
  const isStopped = certainty === 'stopped' || certainty === 'lost';
  const facts: Facts = {
    ...verdict.facts,
    account: request.account,
    secretId: request.secretId,
    store: request.store,
    detail,
    rotationId: verdict.rotationId,
    versionId,
    loginsSpent: last.record?.loginsSpent,
  };
  const result: Result = {
    account: request.account,
    secretId: request.secretId,
    outcome: verdict.outcome ?? (isStopped ? 'stopped' : 'failed'),
    certainty,
    ...(reason === undefined ? {} : { reason }),
    ...(detail === undefined ? {} : { detail }),
    ...(verdict.rotationId === undefined ? {} : { rotationId: verdict.rotationId }),
    ...(versionId === undefined ? {} : { versionId }),
    ...(tally.ageDays === undefined ? {} : { ageDays: tally.ageDays }),
    ...(verdict.deadWindowMs === undefined ? {} : { deadWindowMs: verdict.deadWindowMs }),
    logins: tally.logins,
    startedAtMs: tally.startedAtMs,
    endedAtMs: at.atMs,
    next: reason === undefined ? '' : nextStep(reason, facts),
    facts,
  };
  const audit = [...tally.carried, ...(last.audit ?? [])];
  const { record = null, session = null, discardReceipt = null } = last;
  if (record === null && session === null && audit.length === 0 && discardReceipt === null)
    return { at: 'finished', request, tally, result };
  return { at: 'ending', request, tally, record, session, audit, discardReceipt, result };
}

/** An attempt that has made a password current cannot end by saying that nothing changed. */
function afterRecovery(
  { recovered }: State['tally'],
  { reason, detail }: Verdict,
): Pick<Verdict, 'reason' | 'detail'> {
  if (recovered === undefined || reason === undefined || failures[reason].certainty !== 'unchanged')
    return { reason, detail };
  return {
    reason: 'verify-unavailable',
    detail: `${recovered} was made current, then: ${reason}${detail === undefined ? '' : `, ${detail}`}`,
  };
}

function goodCertainty(outcome: Result['outcome'] | undefined): Certainty {
  if (outcome === 'rotated' || outcome === 'recovered') return 'rotated';
  return outcome === 'not-due' ? 'not-due' : 'unchanged';
}

/** The result, with what could not be told or written at the very end. */
export function finishedWith(
  state: Extract<State, { at: 'ending' }>,
  outcome: Outcome,
  untold: readonly Failure['message'][],
): State {
  const { request, tally } = state;
  const detail = [state.result.detail, ...untold.map((message) => `not recorded: ${message}`)]
    .filter((part) => part !== undefined)
    .join('; ');
  return {
    at: 'finished',
    request,
    tally,
    result: { ...state.result, endedAtMs: outcome.atMs, ...(detail === '' ? {} : { detail }) },
  };
}

/** What exit code 0 means. */
export function isGood(result: Result): boolean {
  return result.reason === undefined;
}
