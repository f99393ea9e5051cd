// The claim and the login that it has counted. Pure; the arrows that leave claiming and entering.

import { Failure } from '../failure.ts';
import { ageDays, isDue } from '../policy.ts';
import type { Session } from '../ports.ts';
import type { AttemptRecord, ClosedRotation } from '../record.ts';
import {
  auditOf,
  ending,
  failedWith,
  recordFields,
  released,
  suspended,
  type Verdict,
  withClosed,
} from '../result.ts';
import {
  claimLeaseMs,
  type Is,
  type Moment,
  type Of,
  type Plan,
  resetLeaseMs,
  type State,
  settledAfterMs,
} from '../state.ts';
import { closed } from './close.ts';
import { saving } from './survey.ts';

/** How many sequences others may take before the account counts as busy. */
const collisionLimit = 100;

/**
 * The claim is written, taken by another (survey again), or failed; the API token is at hand or
 * not.
 */
export function afterClaim(state: Is<'claiming'>, outcome: Of<'claim'>): State {
  const { request, tally, record } = state;
  const at = { ...outcome, current: state.current };
  if (outcome.claim === 'taken') {
    const collisions = tally.collisions + 1;
    const detail = `${collisions} attempts in a row were taken by other processes`;
    if (collisions >= collisionLimit) return ending(state, at, { reason: 'busy', detail });
    return {
      at: 'surveying',
      request,
      tally: { ...tally, collisions, atLeast: record.sequence },
      waitMs: 0,
    };
  }
  // A claim whose answer was lost may be written: the release gives its login back (promise 11).
  if (outcome.claim instanceof Failure) return notSent(state, at, failedWith(outcome.claim), true);
  const carried = [...tally.carried, ...state.reconciled];
  const claimed = { ...state, tally: { ...tally, carried } };
  const failed = [outcome.token, outcome.room].find((tried) => tried instanceof Failure);
  if (failed) return notSent(claimed, at, failedWith(failed));
  if (outcome.interrupted) return notSent(claimed, at, { reason: 'interrupted' });
  // Afterwards the account may belong to another process, and no record counts this login.
  const enterByMonotonicMs = outcome.startedAtMonotonicMs + claimLeaseMs(request.timing);
  return { ...claimed, at: 'entering', enterByMonotonicMs };
}

/**
 * The login provably did not reach ThingSpace: it is no longer counted. `isUncertain`: the
 * claim may not have been written.
 */
function notSent(
  state: Is<'claiming'> | Is<'entering'>,
  at: Moment,
  verdict: Verdict,
  isUncertain = false,
): State {
  const after = isUncertain
    ? { ...state.record, sequence: state.record.sequence - 1 }
    : state.record;
  const record = released(state, at, after, state.spentBefore);
  const rotationId = rotationOf(state.plan);
  return ending(state, at, { rotationId, ...verdict }, { record, isUncertain });
}

/** The open rotation that a plan is about. */
function rotationOf(plan: Plan): string | undefined {
  if (plan.plan === 'prove') return plan.write.rotationId;
  return 'rotationId' in plan ? plan.rotationId : undefined;
}

/** The answer to the login. A refused one suspends the account at once; it is never repeated. */
export function afterLogin(entered: Is<'entering'>, outcome: Of<'log-in'>): State {
  const { login } = outcome;
  const { tally } = entered;
  const at = { ...outcome, current: entered.current };
  if (login.login === 'not-sent') {
    const reason = outcome.isLate ? 'busy' : 'api-unavailable';
    return notSent(entered, at, { reason, detail: login.detail, facts: login.facts });
  }
  const state = { ...entered, tally: { ...tally, logins: tally.logins + 1 } };
  const { record, plan } = state;
  const rotationId = rotationOf(plan);
  switch (login.login) {
    case 'unknown': {
      const { detail, facts } = login;
      const verdict = { reason: 'login-unavailable', detail, facts, rotationId } as const;
      return ending(state, at, verdict, {
        record: released(state, at, record, record.loginsSpent),
      });
    }
    case 'refused': {
      const { loginsSpent } = record;
      const { reason, refused } = refusalOf(state);
      const { detail } = login;
      // A password that a person typed says nothing about the one that the reset returned.
      if (plan.plan === 'prove' && plan.write.source === undefined)
        return ending(
          state,
          at,
          {
            reason: 'answer-lost',
            detail: `the given password was rejected: ${detail}`,
            rotationId,
          },
          { record: released(state, at, record, loginsSpent) },
        );
      return suspended(state, at, reason, { after: record, loginsSpent, refused, detail });
    }
    case 'accepted':
      return afterAcceptedLogin(state, at, outcome, login.session);
  }
}

/** What a refused login says, and which version's password was refused. */
function refusalOf({ plan, current, record }: Is<'entering'>) {
  const refused = current.versionId;
  switch (plan.plan) {
    case 'rotate':
    case 'check':
      return { reason: 'login-refused', refused } as const;
    case 'verify':
      return { reason: 'verify-refused', refused } as const;
    case 'test':
      return { reason: plan.ifRefused, refused } as const;
    case 'prove': {
      const reason = record.open ? 'password-lost' : 'store-conflict';
      return { reason, refused: plan.write.source } as const;
    }
  }
}

function afterAcceptedLogin(
  state: Is<'entering'>,
  at: Moment,
  outcome: Of<'log-in'>,
  session: Session,
): State {
  const { plan, record } = state;
  const { readBack } = outcome;
  if (readBack === 'other') {
    const detail = 'another process took over during the login';
    return ending(state, at, { reason: 'busy', detail }, { session });
  }
  switch (plan.plan) {
    case 'verify':
      return afterVerified(state, at, session, plan);
    case 'prove': {
      const proven = { ...state, tally: { ...state.tally, session } };
      return saving(proven, at, { ...plan.write, isVerified: true }, record);
    }
    case 'check':
      return ending(
        state,
        at,
        { outcome: 'checked' },
        { session, record: released(state, at, record, 0) },
      );
    case 'rotate':
      return announce(state, at, outcome, session);
    case 'test':
      return afterTested(state, at, outcome, session, plan);
  }
}

/** The new password logged in: the rotation is closed, or, for testSecret, marked as verified. */
function afterVerified(
  state: Is<'entering'>,
  at: Moment,
  session: Session,
  { rotationId, replaced, sinceMs }: Extract<Plan, { plan: 'verify' }>,
): State {
  const { record, current, request } = state;
  const { versionId } = current;
  const { username } = current.credentials;
  const facts = { rotationId, username, versionAfter: versionId, verifiedBy: 'login' } as const;
  const verified = auditOf(state, 'credential.verified', 'success', facts);
  const done = { ...state, tally: { ...state.tally, openReason: undefined } };
  if (request.native && request.purpose === 'check') {
    const open = record.open && { ...record.open, verified: true as const };
    const release = released(state, at, record, 0, { ...record, open });
    return ending(
      done,
      at,
      { outcome: 'checked', rotationId, sinceMs },
      { record: release, session, audit: [verified] },
    );
  }
  const closing: ClosedRotation = { rotationId, as: 'rotated', versionId, replaced, sinceMs };
  const history = withClosed(record, closing);
  const outcome = request.purpose === 'check' ? 'checked' : 'recovered';
  return ending(
    done,
    at,
    { outcome, rotationId, sinceMs },
    {
      record: released(state, at, record, 0, { history }),
      session,
      audit: [
        verified,
        closed(
          state,
          current,
          closing,
          request.native ? 'rotation.outcome' : 'rotation.reconciled',
        ),
      ],
      discardReceipt: rotationId,
    },
  );
}

/**
 * The current password is valid, so the open rotation is closed; a rotation that is due follows.
 */
function afterTested(
  state: Is<'entering'>,
  at: Moment,
  outcome: Of<'log-in'>,
  session: Session,
  { rotationId, ifAccepted }: Extract<Plan, { plan: 'test' }>,
): State {
  const { current, request, tally } = state;
  const closing: ClosedRotation = { rotationId, as: ifAccepted };
  const history = withClosed(state.record, closing);
  const record = { ...state.record, open: undefined, history };
  const carried = [...tally.carried, closed(state, current, closing)];
  const tested = { ...state, record, tally: { ...tally, carried, openReason: undefined } };
  const release = { record: released(tested, at, record, 0), session };
  const isNextDue = isDue(request, history, ageDays(current.createdAtMs, at.atMs));
  // The reset of a rotation that is superseded may have happened. A young version can hold an old
  // password; the next run dates it.
  const ended = ifAccepted === 'superseded' ? 'recovered' : 'settled';
  if (request.purpose === 'recover' || !isNextDue)
    return ending(tested, at, { outcome: ended }, release);
  return announce(tested, at, outcome, session);
}

/** The record that makes the rotation open, before its reset. */
function announce(
  state: Is<'entering'>,
  at: Moment,
  { readBack, interrupted }: Of<'log-in'>,
  session: Session,
): State {
  const { record, request, tally, current } = state;
  const release = { record: released(state, at, record, 0), session };
  if (readBack instanceof Failure) {
    const { reason, message, facts } = readBack;
    const detail = `reading the claim back: ${message}`;
    return ending(state, at, { reason, detail, facts }, release);
  }
  if (interrupted) return ending(state, at, { reason: 'interrupted' }, release);
  const { rotationId } = tally;
  const basis = current.versionId;
  // The login that will verify the new password is counted before it is sent, like every other
  // (promise 3).
  const fields = {
    sequence: record.sequence + 1,
    basis,
    loginsSpent: 1,
    leaseMs: resetLeaseMs(request.timing),
  };
  const open = {
    rotationId,
    basis,
    startedAtMs: at.atMs,
    settleLeftMs: settledAfterMs(request.timing),
    keyDigest: request.keyDigest,
  };
  const { history } = record satisfies AttemptRecord;
  const resetting = {
    phase: 'resetting',
    ...recordFields(state, at, fields),
    open,
    history,
  } as const;
  return { at: 'intending', request, tally, current, session, record: resetting };
}
