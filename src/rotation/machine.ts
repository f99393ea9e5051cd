// The machine: the state says which effect comes next, the outcome says which state comes next, and
// nothing else decides. Pure: no clock, no randomness, no I/O. An outcome that does not fit is a bug and throws.

import type { Secret } from '../secret.ts';
import { ageDays, dueAtMs, dueness } from './due.ts';
import { auditOf, claimed, concernsRotation, earlierFields, ending, finishedWith, released, stopEvents, stoppedBy } from './ending.ts';
import type { AuditEvent } from './event.ts';
import { Failure, type Reason } from './failure.ts';
import type { CurrentSecret, ReceiptLabel } from './ports.ts';
import type { AttemptRecord, Holder } from './record.ts';
import {
  type ClaimPurpose,
  claimLeaseMs,
  type Effect,
  type Evidence,
  neededForResetMs,
  type Outcome,
  type Request,
  resetLeaseMs,
  type State,
  sendWithinMs,
  type Tally,
} from './state.ts';
import { describeHolder, doubtedRotation, isHeld, probeInMs, survey } from './survey.ts';

/** Two below the lock: five consecutive failed logins lock the user, and only Verizon unlocks it. */
export const loginBudget = 3;

/** How many sequences others may take from under us before we call the account busy. */
const collisionLimit = 100;

/** Waits between tries to save a password, in milliseconds; the last one repeats for as long as the process lives. */
const savingBackoffMs = [0, 100, 250, 500, 1_000, 2_000, 5_000, 10_000, 30_000] as const;

/** The platform's last moments belong to telling how it ended. */
const lastWordsMs = 300;

type Is<Name extends State['at']> = Extract<State, { at: Name }>;
type Of<Name extends Outcome['of']> = Extract<Outcome, { of: Name }>;

/** Where every attempt begins. */
export function begin(request: Request, holder: Holder, nowMs: number): State {
  return {
    at: 'surveying',
    request,
    tally: { holder, startedAtMs: nowMs, logins: 0, retried: false, atLeast: 0, lookedPast: 0, earlier: [], collisions: 0, carried: [] },
  };
}

/** The one effect that this state waits for; null when the attempt is over. */
export function effectOf(state: State): Effect | null {
  switch (state.at) {
    case 'surveying':
      return { effect: 'survey', atLeast: Math.max(state.tally.atLeast, state.tally.lookedPast > 0 ? state.tally.lookedPast + 1 : 0) };
    case 'examining':
      return { effect: 'find-receipt', rotationId: state.rotationId };
    case 'dating':
      return { effect: 'date-password', current: state.evidence.current };
    case 'claiming':
      return { effect: 'claim', record: state.record, current: state.current };
    case 'entering':
      return { effect: 'log-in', record: state.record, current: state.current, enterByMonotonicMs: state.enterByMonotonicMs };
    case 'intending':
      return { effect: 'intend', record: state.record, audit: intent(state), label: labelOf(state.request, state.record.rotationId) };
    case 'resetting':
      return {
        effect: 'reset',
        session: state.session,
        label: labelOf(state.request, state.record.rotationId),
        sendByMonotonicMs: state.sendByMonotonicMs,
      };
    case 'storing':
      return { effect: 'store', waitMs: state.waitMs, rotationId: state.rotationId, current: state.current, password: state.password };
    case 'promoting':
      return { effect: 'promote', waitMs: state.waitMs, from: state.current.versionId, to: state.rotationId };
    case 'verifying':
      return { effect: 'verify', current: state.current, password: state.password, session: state.session };
    case 'ending':
      return {
        effect: 'end',
        ending: {
          record: state.record,
          session: state.session,
          audit: state.audit,
          discardReceipt: state.discardReceipt,
          result: state.result,
        },
      };
    case 'finished':
      return null;
  }
}

/** The state that follows. */
export function advance(state: State, outcome: Outcome): State {
  switch (state.at) {
    case 'surveying':
      return afterSurvey(state, expect(outcome, 'survey'));
    case 'examining':
      return afterExamining(state, expect(outcome, 'find-receipt'));
    case 'dating':
      return afterDating(state, expect(outcome, 'date-password'));
    case 'claiming':
      return afterClaim(state, expect(outcome, 'claim'));
    case 'entering':
      return afterLogin(state, expect(outcome, 'log-in'));
    case 'intending':
      return afterIntent(state, expect(outcome, 'intend'));
    case 'resetting':
      return afterReset(state, expect(outcome, 'reset'));
    case 'storing':
      return afterStore(state, expect(outcome, 'store'));
    case 'promoting':
      return afterPromote(state, expect(outcome, 'promote'));
    case 'verifying':
      return afterVerify(state, expect(outcome, 'verify'));
    case 'ending':
      return afterEnd(state, expect(outcome, 'end'));
    case 'finished':
      throw new Error('bug: a finished attempt has no outcome');
  }
}

function expect<Name extends Outcome['of']>(outcome: Outcome, name: Name): Of<Name> {
  if (outcome.of !== name) throw new Error(`bug: the outcome of ${outcome.of} does not fit where ${name} was asked for`);
  return outcome as Of<Name>;
}

const labelOf = (request: Request, rotationId: string): ReceiptLabel => ({
  rotationId,
  account: request.account,
  secretId: request.secretId,
});

function intent(state: Is<'intending'>): AuditEvent[] {
  const intended = auditOf(state, 'rotation.intended', 'started', {
    rotationId: state.record.rotationId,
    username: state.current.credentials.username,
    versionBefore: state.current.versionId,
  });
  return [...state.tally.carried, intended];
}

function afterSurvey(state: Is<'surveying'>, outcome: Of<'survey'>): State {
  const { evidence } = outcome;
  if (evidence instanceof Failure) return ending(state, outcome, { reason: evidence.reason, detail: evidence.message });
  const next = following({ ...state, tally: { ...state.tally, earlier: earlierRotations(evidence) } }, outcome, evidence);
  const sequence = evidence.record?.record.sequence ?? 0;
  // A write that reached the store after its writer had given up may have moved ROTATION back to an older record. A claim
  // finds out by being taken; whatever else follows is only believed after asking for the record behind this one.
  if (next.at === 'claiming' || sequence <= state.tally.lookedPast) return next;
  return { at: 'surveying', request: state.request, tally: { ...state.tally, lookedPast: sequence } };
}

/** How many rotations that came to nothing may follow one whose version still carries AWSPENDING, with that label out of sight. */
const earlierKept = 8;

/** Our own rotations that AWSPENDING may be on. The one it is seen on comes first, so it is never the one that is forgotten. */
function earlierRotations({ record, pending }: Evidence): readonly string[] {
  const { rotationId, earlier = [] } = record?.record ?? {};
  const known = rotationId === undefined ? earlier : [rotationId, ...earlier];
  const seen = pending !== null && known.includes(pending) ? [pending] : [];
  return [...new Set([...seen, ...known])].slice(0, earlierKept);
}

function following(state: Is<'surveying'>, outcome: Of<'survey'>, evidence: Evidence): State {
  const { request } = state;
  const at = { ...outcome, current: evidence.current };
  const found = survey(evidence, request);
  switch (found.finding) {
    case 'clean':
      return afterCleanSurvey(state, outcome, evidence);
    case 'busy': {
      const reason: Reason = doubtedRotation(found.record) === undefined ? 'busy' : 'in-flight';
      return ending(state, at, { reason, detail: describeHolder(found.record, found.forMs) });
    }
    case 'promote':
      if (rollsNothing(request)) return ending(state, at, { reason: 'not-promoted', rotationId: found.rotationId });
      return {
        at: 'promoting',
        request,
        tally: state.tally,
        current: evidence.current,
        sequence: found.record.sequence,
        rotationId: found.rotationId,
        answered: null,
        tries: 0,
        waitMs: 0,
      };
    case 'examine':
      return { at: 'examining', request, tally: state.tally, evidence, rotationId: found.rotationId };
    case 'stopped':
      if (request.purpose === 'resume') return resumed(state, at, found.record, untoldStop(state, evidence, found.record));
      return ending(state, at, stoppedAlready(found.record), { audit: untoldStop(state, evidence, found.record) });
    case 'foreign-pending':
      return ending(state, at, {
        reason: 'foreign-pending',
        detail: `AWSPENDING is on version ${found.versionId}, which no attempt of ours names`,
      });
  }
}

/** A check looks, and a resume lifts; neither rolls an open rotation forward. */
const rollsNothing = ({ purpose }: Request): boolean => purpose === 'check' || purpose === 'resume';

function stoppedAlready(record: { reason: Reason; rotationId?: string; sequence: number }): {
  reason: Reason;
  detail: string;
  rotationId?: string;
} {
  const detail = `stopped by attempt ${record.sequence}; lifted by a new AWSCURRENT or by resume`;
  return { reason: record.reason, detail, ...(record.rotationId === undefined ? {} : { rotationId: record.rotationId }) };
}

/** A stop whose writer died before the audit log heard of it leaves its intent open; this closes it. */
function untoldStop(state: Is<'surveying'>, evidence: Evidence, record: Extract<AttemptRecord, { phase: 'stopped' }>): AuditEvent[] {
  return evidence.openIntents.flatMap(({ rotationId }) =>
    rotationId === record.rotationId && concernsRotation(record.reason)
      ? stopEvents(state, evidence.current, record.reason, { rotationId })
      : [superseded(state, evidence, rotationId)],
  );
}

/** An operator's word lifts a stop and a spent budget: the password is known to be right, or has been put right. */
function resumed(state: Is<'surveying'>, at: Moment, record: AttemptRecord, untold: readonly AuditEvent[]): State {
  const { rotationId } = record;
  const facts = { username: at.current.credentials.username, ...(rotationId === undefined ? {} : { rotationId }) };
  // The release does not name the rotation: it does not say that this one came to nothing.
  const { rotationId: _, ...release } = released(state, at, { after: record, loginsSpent: 0, keepDoubt: false });
  return ending(
    state,
    at,
    { outcome: 'settled' },
    { record: release, audit: [...untold, auditOf(state, 'account.resumed', 'success', facts)] },
  );
}

function afterCleanSurvey(state: Is<'surveying'>, outcome: Outcome, evidence: Evidence): State {
  const { request } = state;
  const { current, record } = evidence;
  const age = ageDays(current.createdAtMs, outcome.atMs);
  const ours = state.tally.earlier.includes(current.versionId);
  // A holder that promoted a moment ago closes its intent by itself; testSecret is that closing.
  const leave = isHeld(evidence) && !request.native && !request.impatient;
  const closes = leave ? [] : evidence.openIntents.map((intended) => intended.rotationId).filter((id) => id !== state.tally.recovered);
  const toVerify = state.tally.recovered ?? closes.find((id) => id === current.versionId) ?? null;
  const carried = closes.filter((id) => id !== current.versionId).map((rotationId) => superseded(state, evidence, rotationId));
  const looked = { ...state, tally: { ...state.tally, ageDays: age, carried: [...state.tally.carried, ...carried] } };
  const at = { ...outcome, current };

  if (request.receipt && request.receipt.rotationId !== current.versionId) {
    return ending(looked, at, {
      reason: 'receipt-unavailable',
      detail: `the receipt is of rotation ${request.receipt.rotationId}, and nothing is open; AWSCURRENT is version ${current.versionId}`,
    });
  }
  if (request.purpose === 'resume') {
    if (record === null || record.record.loginsSpent === 0)
      return ending(state, at, { outcome: 'settled', detail: 'nothing to resume: the account is not stopped' });
    return resumed(looked, at, { ...record.record, basis: current.versionId }, []);
  }
  if (request.purpose === 'check') return claim(looked, at, evidence, 'check', toVerify);
  if (request.native && request.native.rotationId === current.versionId)
    return ending(looked, at, { outcome: 'rotated', rotationId: current.versionId });
  if (toVerify !== null) return claim(looked, at, evidence, 'verify', toVerify);
  if (request.purpose === 'recover') return ending(looked, at, { outcome: 'settled' });
  if (request.force || dueness(age, request.policy) !== 'not-due') return claim(looked, at, evidence, 'rotate', null);
  // A young version may hold an old password, since editing another key makes a new version too. Ours never does.
  if (ours) return ending(looked, at, { outcome: 'not-due' });
  return { at: 'dating', request, tally: looked.tally, evidence };
}

/** An intent that AWSCURRENT has moved past: refused and released, or overtaken by a value from elsewhere. */
function superseded(state: Is<'surveying'>, { record, current }: Evidence, rotationId: string): AuditEvent {
  const known = record?.record;
  const isNewest = known?.rotationId === rotationId;
  const nothingHappened = isNewest && known.phase === 'released' && !known.doubtful;
  const isOpen = isNewest && known.basis === current.versionId && doubtedRotation(known) === rotationId;
  const unknown = isOpen
    ? 'nobody knows whether this reset happened, and nothing automatic will find out'
    : 'its end was not recorded, and AWSCURRENT is on another version';
  return auditOf(state, 'rotation.reconciled', nothingHappened ? 'failure' : 'unknown', {
    rotationId,
    username: current.credentials.username,
    certainty: nothingHappened ? 'unchanged' : 'in-doubt',
    detail: nothingHappened ? 'the attempt ended before anything changed' : unknown,
    versionAfter: current.versionId,
  });
}

type Moment = { atMs: number; remainingMs: number; current: CurrentSecret };

/** Claims the account, counting the login that follows; or stops it when the budget is spent. */
function claim(state: State, at: Moment, evidence: Evidence, purpose: ClaimPurpose, closes: string | null): State {
  const { request } = state;
  const spentBefore = evidence.record?.record.loginsSpent ?? 0;
  const sequence = Math.max(evidence.record?.record.sequence ?? 0, state.tally.atLeast) + 1;
  if (spentBefore >= loginBudget)
    return stoppedBy(state, at, 'login-budget-spent', { sequence, loginsSpent: spentBefore, known: knownBy(evidence) });
  if (purpose === 'rotate' && at.remainingMs < neededForResetMs(request.timing)) return ending(state, at, { reason: 'out-of-time' });
  const record = claimed(state, at, { sequence, loginsSpent: spentBefore + 1, known: knownBy(evidence) });
  return { at: 'claiming', request, tally: state.tally, current: at.current, claim: purpose, record, spentBefore, closes };
}

/** What a claim carries on: the open doubt. A rotation that a released record names without doubt came to nothing. */
function knownBy({ record, current }: Evidence): { rotationId?: string; doubtful?: true } {
  const doubted = record?.record.basis === current.versionId ? doubtedRotation(record.record) : undefined;
  return doubted === undefined ? {} : { rotationId: doubted, doubtful: true };
}

function afterExamining(state: Is<'examining'>, outcome: Of<'find-receipt'>): State {
  const { request, evidence, rotationId } = state;
  const record = evidence.record?.record;
  if (!record) throw new Error('bug: nothing to examine without a record');
  const at = { ...outcome, current: evidence.current };
  if (outcome.saved instanceof Failure)
    return ending(state, at, { reason: outcome.saved.reason, rotationId, detail: outcome.saved.message });
  if (outcome.saved && state.tally.foundSaved !== rotationId)
    return { at: 'surveying', request, tally: { ...state.tally, foundSaved: rotationId } };
  if (outcome.saved && record.phase !== 'stopped') {
    // Twice in the store and not under AWSPENDING: it has been current, and AWSCURRENT was moved back by hand. That record is history.
    const history = { ...evidence, record: { ageMs: evidence.record?.ageMs ?? 0, record: { ...record, basis: rotationId } } };
    return afterCleanSurvey({ at: 'surveying', request, tally: state.tally }, outcome, history);
  }
  if (outcome.password) {
    if (rollsNothing(request))
      return ending(state, at, { reason: 'not-stored', rotationId, detail: 'a receipt on this machine holds the new password' });
    const answered = { current: evidence.current, sequence: record.sequence, rotationId, password: outcome.password, session: null };
    return { at: 'storing', request, tally: state.tally, ...answered, answeredAtMonotonicMs: outcome.atMonotonicMs, tries: 0, waitMs: 0 };
  }
  if (request.receipt) {
    return ending(state, at, {
      reason: 'receipt-unavailable',
      rotationId,
      detail:
        request.receipt.rotationId === rotationId
          ? 'the receipt holds no password that we can read; open it with age -d'
          : `the receipt is of rotation ${request.receipt.rotationId}; the open one is ${rotationId}`,
    });
  }
  if (record.phase === 'stopped') return ending(state, at, stoppedAlready(record));
  // Secrets Manager repeats a failed rotation by itself, several times: no login may be spent by that.
  if (request.native || rollsNothing(request)) return ending(state, at, { reason: 'answer-lost', rotationId });
  const waitMs = probeInMs(evidence, request.timing);
  if (waitMs > 0) {
    // A process that lives may yet bring the answer; otherwise only the server's time has to pass.
    const reason = evidence.standing === 'alive' && record.phase === 'resetting' ? 'in-flight' : 'settling';
    return ending(state, at, { reason, rotationId, detail: `look again in ${Math.ceil(waitMs / 1000)} s` });
  }
  return claim(state, at, evidence, 'probe', null);
}

function afterDating(state: Is<'dating'>, outcome: Of<'date-password'>): State {
  const { evidence, request } = state;
  const at = { ...outcome, current: evidence.current };
  if (outcome.sinceMs instanceof Failure) return ending(state, at, { reason: outcome.sinceMs.reason, detail: outcome.sinceMs.message });
  const age = ageDays(outcome.sinceMs, outcome.atMs);
  const dated = { ...state, tally: { ...state.tally, ageDays: age } };
  if (dueness(age, request.policy) === 'not-due') return ending(dated, at, { outcome: 'not-due' });
  return claim(dated, at, evidence, 'rotate', null);
}

function afterClaim(state: Is<'claiming'>, outcome: Of<'claim'>): State {
  const { request, tally, record } = state;
  const at = { ...outcome, current: state.current };
  if (outcome.claim instanceof Failure) return ending(state, at, { reason: outcome.claim.reason, detail: outcome.claim.message });
  if (outcome.claim === 'taken') {
    const collisions = tally.collisions + 1;
    if (collisions >= collisionLimit)
      return ending(state, at, { reason: 'busy', detail: `${collisions} attempts in a row were taken by others` });
    return { at: 'surveying', request, tally: { ...tally, collisions, atLeast: record.sequence } };
  }
  const notSent = (reason: Reason, detail?: string): State =>
    ending(
      state,
      at,
      { reason, ...(detail === undefined ? {} : { detail }) },
      { record: released(state, at, { after: record, loginsSpent: state.spentBefore, keepDoubt: true }) },
    );
  if (outcome.token instanceof Failure) return notSent(outcome.token.reason, outcome.token.message);
  if (outcome.interrupted) return notSent('interrupted');
  // Afterwards the account is somebody else's, and a login of ours is in nobody's count.
  return { ...state, at: 'entering', enterByMonotonicMs: outcome.startedAtMonotonicMs + claimLeaseMs(request.timing) };
}

function afterLogin(entered: Is<'entering'>, outcome: Of<'log-in'>): State {
  const { login } = outcome;
  const state = login.login === 'not-sent' ? entered : { ...entered, tally: { ...entered.tally, logins: entered.tally.logins + 1 } };
  const { record, claim: purpose, current } = state;
  const at = { ...outcome, current };
  const failing = purpose === 'verify' ? 'verify-unavailable' : null;
  switch (login.login) {
    case 'not-sent':
      return ending(
        state,
        at,
        { reason: failing ?? 'api-unavailable', detail: login.detail },
        { record: released(state, at, { after: record, loginsSpent: state.spentBefore, keepDoubt: true }) },
      );
    case 'unknown':
      return ending(
        state,
        at,
        { reason: failing ?? 'login-unavailable', detail: login.detail },
        { record: released(state, at, { after: record, loginsSpent: record.loginsSpent, keepDoubt: true }) },
      );
    case 'refused': {
      const known = { rotationId: state.closes ?? record.rotationId, doubtful: record.doubtful };
      const sequence = record.sequence + 1;
      const reason = purpose === 'probe' ? 'password-lost' : state.closes === null ? 'login-refused' : 'verify-refused';
      return stoppedBy(state, at, reason, { sequence, loginsSpent: record.loginsSpent, known, detail: login.detail });
    }
    case 'accepted':
      return afterAcceptedLogin(state, { ...outcome, login });
  }
}

function afterAcceptedLogin(state: Is<'entering'>, outcome: Of<'log-in'> & { login: { login: 'accepted' } }): State {
  const { record, claim: purpose, current, request } = state;
  const { session } = outcome.login;
  const at = { ...outcome, current };
  if (outcome.readBack === 'other')
    return ending(state, at, { reason: 'busy', detail: 'another instance took over while we logged in' }, { session });
  // The login was accepted, so nothing is spent and an open doubt is resolved: that reset did not happen.
  const release = { record: released(state, at, { after: record, loginsSpent: 0, keepDoubt: false }), session };
  const proven = provenUnchanged(state);
  // Reading back matters before a reset; here none follows.
  if (state.closes !== null) return verified(state, at, release, state.closes);
  if (outcome.readBack instanceof Failure) {
    return ending(proven, at, { reason: outcome.readBack.reason, detail: `reading the claim back: ${outcome.readBack.message}` }, release);
  }
  if (purpose === 'check') return ending(proven, at, { outcome: 'checked' }, release);
  if (outcome.interrupted) return ending(proven, at, { reason: 'interrupted' }, release);
  if (purpose === 'probe' && request.purpose === 'recover') return ending(proven, at, { outcome: 'settled' }, release);
  const due = request.force || purpose === 'rotate' || dueness(ageDays(current.createdAtMs, outcome.atMs), request.policy) !== 'not-due';
  if (!due) return ending(proven, at, { outcome: 'not-due' }, release);
  return {
    at: 'intending',
    request,
    tally: proven.tally,
    current,
    session,
    record: {
      phase: 'resetting',
      sequence: record.sequence + 1,
      basis: current.versionId,
      holder: state.tally.holder,
      writtenAtMs: outcome.atMs,
      leaseMs: resetLeaseMs(request.timing),
      // The login that will verify the new password, counted before it is sent like every other.
      loginsSpent: 1,
      ...earlierFields(state.tally),
      rotationId: request.native?.rotationId ?? outcome.rotationId,
    },
  };
}

/** After a probe whose login was accepted: the doubted rotation gets its outcome with the next audit write. */
function provenUnchanged(state: Is<'entering'>): Is<'entering'> {
  const { record } = state;
  if (!record.doubtful || record.rotationId === undefined) return state;
  const reconciled = auditOf(state, 'rotation.reconciled', 'failure', {
    rotationId: record.rotationId,
    username: state.current.credentials.username,
    certainty: 'unchanged',
    detail: 'a login with the old password was accepted: the reset did not happen',
  });
  return { ...state, tally: { ...state.tally, carried: [...state.tally.carried, reconciled] } };
}

/** The password that an earlier attempt, or the step before this one, has made current logs in. */
function verified(state: Is<'entering'>, at: Moment, release: Parameters<typeof ending>[3], rotationId: string): State {
  const facts = {
    rotationId,
    username: state.current.credentials.username,
    versionAfter: state.current.versionId,
    verifiedBy: 'login' as const,
  };
  const code = state.request.native ? 'rotation.outcome' : 'rotation.reconciled';
  const audit = [
    auditOf(state, 'credential.verified', 'success', facts),
    auditOf(state, code, 'success', { ...facts, certainty: 'rotated', ...nextDue(state.request, state.current.createdAtMs) }),
  ];
  const outcome = state.request.purpose === 'check' ? 'checked' : 'recovered';
  return ending(state, at, { outcome, rotationId }, { ...release, audit, discardReceipt: rotationId });
}

const nextDue = (request: Request, sinceMs: number): { nextDueMs: number } => ({ nextDueMs: dueAtMs(sinceMs, request.policy) });

function afterIntent(state: Is<'intending'>, outcome: Of<'intend'>): State {
  const { record, session, current } = state;
  const at = { ...outcome, current };
  // Whatever was carried is durable now, unless the audit write failed.
  const durable = !(outcome.audit instanceof Failure);
  const told = durable ? { ...state, tally: { ...state.tally, carried: [] } } : state;
  const failed = [outcome.record, outcome.audit, outcome.receipt].find((tried) => tried instanceof Failure);
  if (outcome.record !== 'taken' && failed === undefined) {
    const sendByMonotonicMs = outcome.startedAtMonotonicMs + sendWithinMs(state.request.timing);
    return { at: 'resetting', request: state.request, tally: told.tally, current, session, record, sendByMonotonicMs };
  }
  const bad = failed
    ? { reason: failed.reason, detail: failed.message }
    : { reason: 'busy' as const, detail: 'another instance took over before the reset' };
  return unchanged(told, at, { ...bad, rotationId: record.rotationId }, { session, hadIntent: durable, ours: outcome.record !== 'taken' });
}

/** Nothing was changed at Verizon: let the claim go, and give the intent its outcome. */
function unchanged(
  state: Is<'intending'> | Is<'resetting'>,
  at: Moment,
  bad: { reason: Reason; detail?: string; rotationId: string },
  { session, hadIntent, ours }: { session: Is<'resetting'>['session'] | null; hadIntent: boolean; ours: boolean },
): State {
  const record = ours ? released(state, at, { after: state.record, loginsSpent: 0, keepDoubt: false }) : null;
  const audit = hadIntent ? [unchangedOutcome(state, bad)] : [];
  return ending(state, at, bad, { record, session, audit });
}

function unchangedOutcome(
  state: Is<'intending'> | Is<'resetting'>,
  bad: { reason: Reason; detail?: string; rotationId: string },
): AuditEvent {
  return auditOf(state, 'rotation.outcome', 'failure', {
    ...bad,
    username: state.current.credentials.username,
    certainty: 'unchanged',
    versionBefore: state.current.versionId,
  });
}

function afterReset(state: Is<'resetting'>, outcome: Of<'reset'>): State {
  const { answer, password } = outcome;
  const { record, current, session, request } = state;
  const { rotationId } = record;
  const at = { ...outcome, current };
  if (password) {
    const answered = { current, sequence: record.sequence, rotationId, password, session, answeredAtMonotonicMs: outcome.atMonotonicMs };
    return { at: 'storing', request, tally: state.tally, ...answered, tries: 0, waitMs: 0 };
  }
  switch (answer.reset) {
    case 'not-sent':
      return unchanged(state, at, { reason: answer.reason, detail: answer.detail, rotationId }, { session, hadIntent: true, ours: true });
    case 'refused': {
      const dead = answer.because === 'session' || answer.because === 'api-token';
      const reason: Reason = dead ? 'session-refused' : answer.because === 'throttled' ? 'reset-throttled' : 'reset-refused';
      const bad = { reason, detail: answer.detail, rotationId };
      if (!dead || state.tally.retried) return unchanged(state, at, bad, { session, hadIntent: true, ours: true });
      // One new login and one new intent, once per attempt: the session, not the password, was refused.
      const tally: Tally = { ...state.tally, retried: true, carried: [unchangedOutcome(state, bad)] };
      const again = claimed({ ...state, tally }, at, { sequence: record.sequence + 1, loginsSpent: 1, known: { rotationId } });
      return { at: 'claiming', request, tally, current, claim: 'rotate', record: again, spentBefore: 0, closes: null };
    }
    case 'answered':
      return inDoubt(state, at, 'answer-unreadable', 'a 2xx without a readable newPassword');
    case 'in-doubt':
      return inDoubt(state, at, 'answer-lost', answer.detail);
  }
}

function inDoubt(state: Is<'resetting'>, at: Moment, reason: 'answer-lost' | 'answer-unreadable', detail: string): State {
  const { record, session, current } = state;
  const { rotationId } = record;
  const audit = [
    auditOf(state, 'rotation.outcome', 'unknown', {
      rotationId,
      reason,
      detail,
      certainty: 'in-doubt',
      username: current.credentials.username,
      versionBefore: current.versionId,
    }),
  ];
  // The doubt stays in the journal, but says that its holder has let go; the settle time runs from here.
  const doubtful = { ...released(state, at, { after: record, loginsSpent: 0, keepDoubt: true }), rotationId, doubtful: true as const };
  return ending(state, at, { reason, detail, rotationId }, { record: doubtful, session, audit });
}

/** The wait before the next try to save; null when the platform's time is up. */
function nextTry(tries: number, remainingMs: number): { tries: number; waitMs: number } | null {
  const left = remainingMs - lastWordsMs;
  if (left <= 0) return null;
  const waitMs = savingBackoffMs[Math.min(tries + 1, savingBackoffMs.length - 1)] ?? 0;
  return { tries: tries + 1, waitMs: Math.min(waitMs, Math.max(0, left / 2)) };
}

function afterStore(state: Is<'storing'>, outcome: Of<'store'>): State {
  const { current, rotationId, sequence, password, session, answeredAtMonotonicMs } = state;
  if (outcome.store instanceof Failure) {
    const again = nextTry(state.tries, outcome.remainingMs);
    if (again) return { ...state, ...again };
    return unsaved(state, { ...outcome, current }, 'not-stored', outcome.store.message);
  }
  const answered = { current, rotationId, sequence, password, session, answeredAtMonotonicMs };
  return { at: 'promoting', request: state.request, tally: state.tally, current, rotationId, sequence, answered, tries: 0, waitMs: 0 };
}

function unsaved(state: Is<'storing'> | Is<'promoting'>, at: Moment, reason: 'not-stored' | 'not-promoted', detail: string): State {
  const { rotationId, current } = state;
  const facts = { rotationId, reason, detail, username: current.credentials.username, versionBefore: current.versionId };
  const audit = [auditOf(state, 'rotation.outcome', 'unknown', { ...facts, certainty: 'changed' })];
  const session = state.at === 'storing' ? state.session : (state.answered?.session ?? null);
  return ending(state, at, { reason, detail, rotationId }, { audit, session });
}

function afterPromote(state: Is<'promoting'>, outcome: Of<'promote'>): State {
  const { current, rotationId, answered, request, tally } = state;
  const { promote } = outcome;
  const at = { ...outcome, current };
  if (promote instanceof Failure) {
    const again = nextTry(state.tries, outcome.remainingMs);
    return again ? { ...state, ...again } : unsaved(state, at, 'not-promoted', promote.message);
  }
  // A conflict with the very version we wanted: our own earlier try whose answer was lost, or somebody who recovered for us.
  if (promote !== 'promoted' && promote.conflict !== rotationId) {
    const detail = `AWSCURRENT moved from ${current.versionId} to ${promote.conflict} meanwhile; the new password is version ${rotationId} under AWSPENDING`;
    const where = { sequence: state.sequence + 1, loginsSpent: 0, known: { rotationId }, basis: promote.conflict, detail };
    return stoppedBy(state, at, 'store-conflict', where, answered?.session ?? null);
  }
  if (!answered || answered.session === null) {
    // Recovery: look again, now with the new basis, and prove the password under a claim of its own.
    return { at: 'surveying', request, tally: { ...tally, recovered: rotationId } };
  }
  const deadWindowMs = Math.round(outcome.atMonotonicMs - answered.answeredAtMonotonicMs);
  if (request.native) {
    const audit = savedEvents(state, rotationId, deadWindowMs);
    return ending(
      state,
      { ...at, versionId: rotationId },
      { outcome: 'rotated', rotationId, deadWindowMs },
      { audit, session: answered.session },
    );
  }
  return { at: 'verifying', request, tally, ...answered, deadWindowMs };
}

function savedEvents(state: Is<'promoting'> | Is<'verifying'>, rotationId: string, deadWindowMs: number): AuditEvent[] {
  const facts = {
    rotationId,
    username: state.current.credentials.username,
    versionBefore: state.current.versionId,
    versionAfter: rotationId,
  };
  return [auditOf(state, 'secret.stored', 'success', facts), auditOf(state, 'secret.promoted', 'success', { ...facts, deadWindowMs })];
}

function afterVerify(before: Is<'verifying'>, outcome: Of<'verify'>): State {
  const { login } = outcome;
  const state = login.login === 'not-sent' ? before : { ...before, tally: { ...before.tally, logins: before.tally.logins + 1 } };
  const { rotationId, deadWindowMs, current, request } = state;
  const saved = savedEvents(state, rotationId, deadWindowMs);
  const facts = {
    rotationId,
    username: current.credentials.username,
    versionBefore: current.versionId,
    versionAfter: rotationId,
    deadWindowMs,
  };
  const at = { ...outcome, current, versionId: rotationId };
  switch (login.login) {
    case 'accepted': {
      const late = outcome.atMonotonicMs - state.answeredAtMonotonicMs > resetLeaseMs(request.timing);
      const detail = sameAsOld(state.password, current) ? { detail: 'warning: the new password equals the old one' } : {};
      const audit = [
        ...saved,
        auditOf(state, 'credential.verified', 'success', { ...facts, verifiedBy: 'login' }),
        auditOf(state, late ? 'rotation.reconciled' : 'rotation.outcome', 'success', {
          ...facts,
          ...detail,
          certainty: 'rotated',
          verifiedBy: 'login',
          ...nextDue(request, outcome.atMs),
        }),
      ];
      const good = { outcome: 'rotated' as const, rotationId, deadWindowMs, ...detail };
      return ending(state, at, good, { audit, session: login.session, discardReceipt: rotationId });
    }
    case 'refused': {
      const where = { sequence: state.sequence + 1, loginsSpent: 1, known: { rotationId }, basis: rotationId, detail: login.detail };
      return stoppedBy({ ...state, tally: { ...state.tally, carried: saved } }, at, 'verify-refused', where);
    }
    case 'unknown':
    case 'not-sent': {
      const bad = { reason: 'verify-unavailable' as const, detail: login.detail };
      const audit = [
        ...saved,
        auditOf(state, 'rotation.outcome', 'success', { ...facts, ...bad, certainty: 'changed', ...nextDue(request, outcome.atMs) }),
      ];
      return ending(state, at, { ...bad, rotationId, deadWindowMs }, { audit });
    }
  }
}

const sameAsOld = (password: Secret, current: CurrentSecret): boolean => password.equals(current.credentials.password);

function afterEnd(state: Is<'ending'>, outcome: Of<'end'>): State {
  const untold = [outcome.record, outcome.audit].filter((tried) => tried instanceof Failure).map((failure) => failure.message);
  return finishedWith(state, outcome, untold);
}
