// From the evidence to the next step: what is open is completed or tested, what is due is claimed,
// and everything else is a reason. Pure; the arrows that leave surveying and examining.

import {
  classify,
  detailOf,
  type Finding,
  factsOf,
  fresherCurrent,
  hasSamePassword,
  hasValidLease,
  historyIn,
  openIn,
  openReasonOf,
  questionsOf,
  reasonOf,
  saidSinceMs,
} from '../classify.ts';
import type { AuditEvent } from '../event.ts';
import { Failure } from '../failure.ts';
import { ageDays, dueness, isDue, orderedBefore } from '../policy.ts';
import type { ClosedRotation, OpenRotation, StoppedRecord } from '../record.ts';
import {
  auditOf,
  type Carried,
  concernsRotation,
  ending,
  failedWith,
  recordFields,
  released,
  repeatedVerdict,
  suspended,
  suspensionEvents,
  withClosed,
} from '../result.ts';
import {
  type ClaimedRecord,
  claimLeaseMs,
  type Details,
  type Evidence,
  type Is,
  type Moment,
  neededForResetMs,
  type Of,
  type Plan,
  type State,
  type Write,
} from '../state.ts';
import { closed, outcomeOf } from './close.ts';

/** Five consecutive failed logins lock the user, and only Verizon unlocks it (promise 3). */
const loginLimit = 3;

/** How often a survey is repeated because a read by label was outdated. */
const staleReadLimit = 3;

/** The evidence is complete: claim what is due, or read what is still needed. */
export function afterSurvey(state: Is<'surveying'>, outcome: Of<'survey'>): State {
  const { evidence } = outcome;
  if (evidence instanceof Failure) return ending(state, outcome, failedWith(evidence));
  const { request, tally } = state;
  const { current, record } = evidence;
  // Nothing that this attempt knows is forgotten because one read does not show it. That a rotation
  // is open is known from the newest record only.
  const known = tally.openReason === 'answer-lost' ? undefined : tally.openReason;
  const openReason = known ?? (openIn(evidence) ? ('answer-lost' as const) : undefined);
  const atLeast = Math.max(tally.atLeast, record?.record.sequence ?? 0);
  const surveyed = { ...state, tally: { ...tally, openReason, atLeast } };
  const questions = questionsOf(evidence, request);
  // A claim proves that no newer record exists, so a rotation that is due needs no further read.
  const last = historyIn(evidence).find(({ versionId }) => versionId === current.versionId);
  const sinceMs = last?.sinceMs ?? saidSinceMs(evidence) ?? current.createdAtMs;
  const age = ageDays(sinceMs, outcome.atMs);
  const hasLogins = (record?.record.loginsSpent ?? 0) < loginLimit;
  const mayClaim = request.purpose === 'rotate' && hasLogins && questions.versionIds.length === 0;
  if (mayClaim && isDue(request, historyIn(evidence), age)) {
    const details = { ...noDetails, sinceMs };
    if (classify(evidence, details, request).finding === 'closed')
      return follow(surveyed, outcome, evidence, details);
  }
  return { at: 'examining', request, tally: surveyed.tally, evidence, questions };
}

const noDetails: Details = {
  versions: new Map(),
  newer: null,
  recoveryId: null,
  restoreId: null,
  receipt: null,
  answer: null,
  password: null,
  sinceMs: null,
};

/** The answers are complete, unless they show that a read was outdated. */
export function afterExamining(state: Is<'examining'>, outcome: Of<'examine'>): State {
  const { evidence, request, tally } = state;
  const { details } = outcome;
  if (details instanceof Failure)
    return ending(state, { ...outcome, current: evidence.current }, failedWith(details));
  const { newer } = details;
  if (newer !== null)
    return {
      at: 'surveying',
      request,
      tally: { ...tally, atLeast: newer.record.sequence },
      waitMs: 0,
    };
  const fresher = fresherCurrent(evidence, details);
  if (fresher === null) return follow(state, outcome, evidence, details);
  const staleReads = tally.staleReads + 1;
  const counted = { ...tally, staleReads };
  if (staleReads > staleReadLimit) {
    const detail = 'the secret store still returns an outdated version under AWSCURRENT';
    return ending(state, { ...outcome, current: evidence.current }, { reason: 'busy', detail });
  }
  if (fresher === 'unknown') return { at: 'surveying', request, tally: counted, waitMs: 1_000 };
  const corrected = { ...evidence, current: fresher };
  const questions = questionsOf(corrected, request);
  return { at: 'examining', request, tally: counted, evidence: corrected, questions };
}

type Surveyed = Is<'surveying'> | Is<'examining'>;
type Found<Name extends Finding['finding']> = Extract<Finding, { finding: Name }>;

function follow(
  before: Surveyed,
  outcome: Of<'survey'> | Of<'examine'>,
  evidence: Evidence,
  details: Details,
): State {
  const { request } = before;
  const { current } = evidence;
  const at = { ...outcome, current };
  const finding = classify(evidence, details, request);
  const openReason = openReasonOf(finding) ?? before.tally.openReason;
  const state = { ...before, tally: { ...before.tally, openReason } };
  if (request.purpose === 'resume') return resume(state, at, evidence, finding);
  switch (finding.finding) {
    case 'closed':
      return afterClosed(state, at, evidence, { ...finding, details });
    case 'stopped':
      return refuse(state, at, evidence, finding, [
        ...reconciled(state, evidence),
        ...unrecordedSuspension(state, evidence, finding.record),
      ]);
    case 'verify':
      return verify(state, at, evidence, finding);
    case 'write':
      return writeNew(state, at, evidence, finding);
    case 'old-password':
      if (request.purpose === 'check') return refuse(state, at, evidence, finding);
      return claim(state, at, evidence, { plan: 'prove', write: finding.write });
    case 'test':
      return test(state, at, evidence, finding);
    case 'sealed':
    case 'unreadable':
      return refuse(state, at, evidence, finding, [
        ...reconciled(state, evidence),
        ...unrecordedEnd(state, evidence, finding),
      ]);
    case 'foreign-pending':
      return refuse(state, at, evidence, finding, reconciled(state, evidence));
    case 'busy':
    case 'store-older':
    case 'wait':
    case 'outdated':
      return refuse(state, at, evidence, finding);
  }
}

/** Ends with the reason of a finding that nothing is done about. */
function refuse(
  state: Surveyed,
  at: Moment,
  evidence: Evidence,
  finding: Finding,
  audit: readonly AuditEvent[] = [],
): State {
  const reason = reasonOf(finding);
  if (reason === null) throw new Error('bug: a closed account is refused for nothing');
  const open = openIn(evidence);
  const isReceiptOfOther =
    state.request.receipt !== undefined && state.request.receipt.rotationId !== open?.rotationId;
  const said = detailOf(finding, evidence);
  const other = isReceiptOfOther
    ? `the receipt is of rotation ${state.request.receipt?.rotationId}`
    : undefined;
  const detail = [said, other].filter((part) => part !== undefined).join('; ');
  const facts = factsOf(finding, evidence);
  const verdict = { reason, detail: detail === '' ? undefined : detail, facts };
  return ending(state, at, { ...verdict, rotationId: open?.rotationId }, { audit });
}

/** Whether the audit log has no outcome of this rotation. */
const hasOpenIntent = ({ openIntents }: Evidence, rotationId: string | undefined): boolean =>
  openIntents.some((intent) => intent.rotationId === rotationId);

/**
 * What the audit log lacks about a suspension, because its writer ended or the log could not be
 * written: the suspension, and the outcome of the rotation whose intent is open.
 */
function unrecordedSuspension(
  state: Surveyed,
  evidence: Evidence,
  record: StoppedRecord,
): AuditEvent[] {
  const { current, suspension } = evidence;
  const { open } = record;
  const isOpen = hasOpenIntent(evidence, open?.rotationId);
  const isRecorded = suspension?.attemptRecord === record.sequence;
  const events = suspensionEvents(state, current, record).filter(({ code }) =>
    code === 'account.stopped' ? !isRecorded : isOpen,
  );
  const isCarried = open && isOpen && !concernsRotation(record.reason);
  return isCarried ? [...events, suspendedOutcome(state, evidence, open)] : events;
}

/** The outcome of a rotation that stays open because no login is left to decide about it. */
function suspendedOutcome(
  state: Surveyed,
  { current }: Evidence,
  { rotationId }: OpenRotation,
): AuditEvent {
  const { openReason = 'answer-lost' } = state.tally;
  const certainty = openReason === 'answer-lost' ? 'in-doubt' : 'changed';
  return outcomeOf(state, current, { rotationId, reason: openReason, certainty });
}

/** The outcome of a rotation that waits for a person, where its own attempt could not record it. */
function unrecordedEnd(
  state: Surveyed,
  evidence: Evidence,
  finding: Found<'sealed'> | Found<'unreadable'>,
): AuditEvent[] {
  const { rotationId } = finding.open;
  const { current } = evidence;
  if (!hasOpenIntent(evidence, rotationId)) return [];
  const reason = finding.finding === 'sealed' ? 'receipt-sealed' : 'answer-unreadable';
  const detail = detailOf(finding, evidence);
  return [outcomeOf(state, current, { rotationId, reason, detail, certainty: 'changed' })];
}

/** Nothing is open: the account is due, or not. */
function afterClosed(
  before: Surveyed,
  at: Moment,
  evidence: Evidence,
  { sinceMs, details }: Found<'closed'> & { readonly details: Details },
): State {
  const { request } = before;
  const age = ageDays(sinceMs, at.atMs);
  const audit = reconciled(before, evidence);
  const state = {
    ...before,
    tally: { ...before.tally, ageDays: age, sinceMs, openReason: undefined },
  };
  if (request.receipt) {
    const detail = `the receipt is of rotation ${request.receipt.rotationId}; no rotation is open`;
    return ending(state, at, {
      reason: 'receipt-unavailable',
      detail,
      facts: { cause: 'other-rotation' },
    });
  }
  if (request.native && isDoneNatively(before, evidence, details, request.native.rotationId)) {
    const { rotationId } = request.native;
    return ending(state, at, { outcome: 'rotated', rotationId }, { audit });
  }
  if (request.native && details.versions.get(request.native.rotationId)) {
    const { rotationId } = request.native;
    const detail = `version ${rotationId} has a value already, and is not AWSCURRENT`;
    return ending(state, at, { reason: 'token-used', detail, rotationId });
  }
  if (request.purpose === 'recover') return ending(state, at, { outcome: 'settled' }, { audit });
  if (request.purpose === 'check') return claim(state, at, evidence, { plan: 'check' });
  const history = historyIn(evidence);
  if (isDue(request, history, age)) return claim(state, at, evidence, { plan: 'rotate' });
  const isOld = dueness(age, request.policy) !== 'not-due';
  return ending(state, at, repeatedVerdict(orderedBefore(request, history), isOld), { audit });
}

/**
 * Whether the password of this token is current, also in another version; or another process has
 * closed the rotation that this attempt began, whatever is current since.
 */
function isDoneNatively(
  { tally }: Surveyed,
  evidence: Evidence,
  { versions }: Details,
  token: string,
): boolean {
  const { current } = evidence;
  if (current.versionId === token) return true;
  const closing = historyIn(evidence).find(({ rotationId }) => rotationId === token);
  if (closing?.versionId === undefined) return false;
  if (closing.versionId === current.versionId || tally.session !== undefined) return true;
  const version = versions.get(closing.versionId);
  return version ? hasSamePassword(version, current) : false;
}

/**
 * The outcomes of rotations that the record closed, but the audit log did not record. The open
 * rotation has no outcome yet.
 */
function reconciled(state: Surveyed, evidence: Evidence): AuditEvent[] {
  const { current, openIntents } = evidence;
  const history = historyIn(evidence);
  const unsent = unsentIntent(evidence);
  const open = openIn(evidence)?.rotationId;
  // `recover` does not wait for a lease: its owner may still send what it planned.
  const planned = hasValidLease(evidence) ? plannedIn(evidence) : undefined;
  const others = openIntents.filter(
    ({ rotationId }) => rotationId !== open && rotationId !== planned,
  );
  return others.map(({ rotationId }) => {
    if (rotationId === unsent)
      return closed(state, current, { rotationId, as: 'not-applied' }, 'rotation.reconciled');
    const closing = history.find((one) => one.rotationId === rotationId);
    if (closing) return closed(state, current, closing);
    return auditOf(state, 'rotation.reconciled', 'unknown', {
      rotationId,
      username: current.credentials.username,
      certainty: 'in-doubt',
      detail: 'no record names this rotation any more; its end is not known',
    });
  });
}

/** The new password is current: one counted login proves it, unless one did already. */
function verify(state: Surveyed, at: Moment, evidence: Evidence, finding: Found<'verify'>): State {
  const { request } = state;
  const { open, isVerified } = finding;
  const { rotationId, basis: replaced, startedAtMs: sinceMs } = open;
  // Under native rotation setSecret is done here; testSecret verifies.
  const isSetStep = request.native?.rotationId === rotationId && request.purpose === 'rotate';
  if (isSetStep) return ending(state, at, { outcome: 'rotated', rotationId, sinceMs });
  if (isVerified && request.native && request.purpose === 'check')
    return ending(state, at, { outcome: 'checked', rotationId, sinceMs });
  if (!isVerified)
    return claim(state, at, evidence, { plan: 'verify', rotationId, replaced, sinceMs });
  const record = evidence.record?.record;
  if (!record) throw new Error('bug: an open rotation without a record');
  const { versionId } = at.current;
  const closing: ClosedRotation = { rotationId, as: 'rotated', versionId, replaced, sinceMs };
  const history = withClosed(record, closing, evidence.pending);
  const isOwn = request.native?.rotationId === rotationId;
  const code = isOwn ? 'rotation.outcome' : 'rotation.reconciled';
  const done = { ...state, tally: { ...state.tally, openReason: undefined } };
  return ending(
    done,
    at,
    { outcome: 'recovered', rotationId, sinceMs },
    {
      // No login is sent here: failed ones since the verification still count.
      record: released(state, at, record, record.loginsSpent, { history }),
      audit: [closed(state, at.current, closing, code)],
      discardReceipt: rotationId,
    },
  );
}

/** The new password is known and not current: write it, after a login where a person typed it. */
function writeNew(
  state: Surveyed,
  at: Moment,
  evidence: Evidence,
  { write, isGiven, ...finding }: Found<'write'>,
): State {
  if (state.request.purpose === 'check')
    return refuse(state, at, evidence, { write, isGiven, ...finding });
  if (isGiven) return claim(state, at, evidence, { plan: 'prove', write });
  return saving(state, at, write);
}

/** The way into the store, for a password that no reset of this attempt returned. */
export function saving(
  state: State,
  { current }: Moment,
  write: Write,
  claim: ClaimedRecord | null = null,
): State {
  const { request, tally } = state;
  const common = { request, tally, current, write, reset: null, claim, tries: 0, waitMs: 0 };
  return write.isStored ? { at: 'promoting', ...common } : { at: 'storing', ...common };
}

/**
 * One login with the current password decides. Secrets Manager repeats its steps, so there none is
 * spent.
 */
function test(state: Surveyed, at: Moment, evidence: Evidence, finding: Found<'test'>): State {
  const { request } = state;
  if (request.native || request.purpose === 'check') return refuse(state, at, evidence, finding);
  const { ifAccepted, ifRefused, open } = finding;
  const { rotationId } = open;
  return claim(state, at, evidence, { plan: 'test', rotationId, ifAccepted, ifRefused });
}

/**
 * Claims the account, counting the login that follows; or suspends it when the limit is reached.
 */
function claim(state: Surveyed, at: Moment, evidence: Evidence, plan: Plan): State {
  const { request, tally } = state;
  const unrecorded = reconciled(state, evidence);
  const { current } = evidence;
  const before = evidence.record?.record;
  // The count in this attempt's own record is over once its login was accepted.
  const isAccepted = tally.session !== undefined && before?.holder.id === tally.owner.id;
  const spentBefore = isAccepted ? 0 : (before?.loginsSpent ?? 0);
  const sequence = tally.atLeast + 1;
  const carried = carriedBy(evidence);
  if (spentBefore >= loginLimit) {
    const after = { ...carried, sequence: sequence - 1 };
    const open = openIn(evidence);
    const isUnrecorded = open && hasOpenIntent(evidence, open.rotationId);
    const carriedAudit = isUnrecorded ? [suspendedOutcome(state, evidence, open)] : [];
    const known = { ...tally, carried: [...tally.carried, ...carriedAudit] };
    const counted = { ...state, tally: known };
    return suspended(counted, at, 'login-budget-spent', { after, loginsSpent: spentBefore });
  }
  if (plan.plan === 'rotate' && at.remainingMs < neededForResetMs(request.timing))
    return ending(state, at, { reason: 'out-of-time' });
  const fields = {
    sequence,
    basis: current.versionId,
    loginsSpent: spentBefore + 1,
    leaseMs: claimLeaseMs(request.timing),
  };
  const { rotationId: planned } = tally;
  const record = {
    phase: 'claimed',
    ...recordFields(state, at, fields),
    ...carried,
    planned,
  } as const;
  const claiming = { current, plan, record, spentBefore, reconciled: unrecorded };
  return { at: 'claiming', request, tally, ...claiming };
}

/**
 * The rotation whose intent is in the audit log, and whose attempt ended before its `resetting`
 * record was written: its reset was never sent (invariant R2).
 */
function unsentIntent(evidence: Evidence): string | undefined {
  const planned = plannedIn(evidence);
  return evidence.openIntents.find(({ rotationId }) => rotationId === planned)?.rotationId;
}

/** The rotation that the owner of the newest claim may start. */
const plannedIn = ({ record }: Evidence): string | undefined =>
  record?.record.phase === 'claimed' ? record.record.planned : undefined;

/**
 * What the next record carries on: the open rotation, with the settle time that is left of it, and
 * the history. A rotation that was planned and never announced came to nothing.
 */
function carriedBy(evidence: Evidence): Carried & { history: readonly ClosedRotation[] } {
  const { record, pending } = evidence;
  const open = openIn(evidence);
  const unsent = unsentIntent(evidence);
  const history = historyIn(evidence);
  const complete =
    unsent === undefined
      ? history
      : withClosed({ history }, { rotationId: unsent, as: 'not-applied' }, pending);
  if (open === undefined || !record) return { history: complete };
  const { isLegacy: _, ...kept } = open;
  const settleLeftMs = Math.max(0, open.settleLeftMs - record.ageMs);
  return { open: { ...kept, settleLeftMs } satisfies OpenRotation, history: complete };
}

/**
 * An operator's word clears a suspension and a spent limit, and may close a rotation as abandoned.
 */
function resume(state: Surveyed, at: Moment, evidence: Evidence, finding: Finding): State {
  const { request } = state;
  const record = evidence.record?.record;
  const open = openIn(evidence);
  const { abandon } = request;
  if (finding.finding === 'busy' || finding.finding === 'outdated')
    return refuse(state, at, evidence, finding);
  if (abandon !== undefined && abandon !== open?.rotationId) {
    const detail = `rotation ${abandon} is not open, and nothing was changed`;
    return ending(cleared(state), at, { outcome: 'settled', detail });
  }
  const stopped = record?.phase === 'stopped' ? record : undefined;
  const older = finding.finding === 'store-older' ? finding.missing : null;
  const missing = older && 'rotationId' in older ? older.rotationId : undefined;
  if (!stopped && older === null && abandon === undefined && (record?.loginsSpent ?? 0) === 0) {
    // Nothing to clear is no success while something else is wrong (promise 10).
    if (finding.finding !== 'closed') return refuse(state, at, evidence, finding);
    const detail = 'automatic rotation is not suspended';
    return ending(cleared(state), at, { outcome: 'settled', detail });
  }
  const { username } = at.current.credentials;
  const carried = carriedBy(evidence);
  const closings: ClosedRotation[] = [abandon, missing]
    .filter((rotationId) => rotationId !== undefined)
    .map((rotationId) => ({ rotationId, as: 'abandoned' }));
  const history = closings.reduce(
    (known, closing) => withClosed({ ...carried, history: known }, closing, evidence.pending),
    carried.history,
  );
  const kept = { open: abandon === undefined ? carried.open : undefined, history };
  const after = record ?? { sequence: 0, basis: at.current.versionId };
  const others = reconciled(state, evidence).filter(
    (event) => !closings.some(({ rotationId }) => rotationId === event.rotationId),
  );
  const audit = [
    ...others,
    ...(stopped ? unrecordedSuspension(state, evidence, stopped) : []),
    ...closings.map((closing) => closed(state, at.current, closing)),
    auditOf(state, 'account.resumed', 'success', { username, rotationId: open?.rotationId }),
  ];
  const release = released(state, at, after, 0, kept);
  return ending(cleared(state), at, { outcome: 'settled' }, { record: release, audit });
}

const cleared = (state: Surveyed): Surveyed => ({
  ...state,
  tally: { ...state.tally, openReason: undefined },
});
