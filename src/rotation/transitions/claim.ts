// From the claim to the intent: the preflight write, the login that it has counted, and what must be durable before the reset.
// Pure; the arrows that leave claiming, entering and intending.

import type { AuditEvent } from '../event.ts';
import { type Facts, Failure, type Reason } from '../failure.ts';
import { ageDays, dueAtMs, dueness } from '../policy.ts';
import { auditOf, earlierFields, ending, released, stoppedBy } from '../result.ts';
import {
  claimLeaseMs,
  type Is,
  type Moment,
  type Of,
  type Request,
  resetLeaseMs,
  type State,
  sendWithinMs,
} from '../state.ts';

/** How many sequences others may take from under us before we call the account busy. */
const collisionLimit = 100;

/** The claim is written, taken by another (look again), or failed; the API token is at hand or not. */
export function afterClaim(state: Is<'claiming'>, outcome: Of<'claim'>): State {
  const { request, tally, record } = state;
  const at = { ...outcome, current: state.current };
  if (outcome.claim instanceof Failure)
    return ending(state, at, { reason: outcome.claim.reason, detail: outcome.claim.message });
  if (outcome.claim === 'taken') {
    const collisions = tally.collisions + 1;
    if (collisions >= collisionLimit)
      return ending(state, at, {
        reason: 'busy',
        detail: `${collisions} attempts in a row were taken by others`,
      });
    return { at: 'surveying', request, tally: { ...tally, collisions, atLeast: record.sequence } };
  }
  const notSent = (reason: Reason, detail?: string, facts?: Facts): State =>
    ending(
      state,
      at,
      { reason, detail, facts },
      {
        record: released(state, at, {
          after: record,
          loginsSpent: state.spentBefore,
          keepDoubt: true,
        }),
      },
    );
  if (outcome.token instanceof Failure)
    return notSent(outcome.token.reason, outcome.token.message, outcome.token.facts);
  if (outcome.interrupted) return notSent('interrupted');
  // Afterwards the account is somebody else's, and a login of ours is in nobody's count.
  return {
    ...state,
    at: 'entering',
    enterByMonotonicMs: outcome.startedAtMonotonicMs + claimLeaseMs(request.timing),
  };
}

/** The login’s answer. A refused one stops the account at once; it is never repeated. */
export function afterLogin(entered: Is<'entering'>, outcome: Of<'log-in'>): State {
  const { login } = outcome;
  const state =
    login.login === 'not-sent'
      ? entered
      : { ...entered, tally: { ...entered.tally, logins: entered.tally.logins + 1 } };
  const { record, claim: purpose, current } = state;
  const at = { ...outcome, current };
  const failing = purpose === 'verify' ? 'verify-unavailable' : null;
  switch (login.login) {
    case 'not-sent':
      return ending(
        state,
        at,
        {
          reason: failing ?? (outcome.isLate ? 'busy' : 'api-unavailable'),
          detail: login.detail,
          facts: login.facts,
        },
        {
          record: released(state, at, {
            after: record,
            loginsSpent: state.spentBefore,
            keepDoubt: true,
          }),
        },
      );
    case 'unknown':
      return ending(
        state,
        at,
        { reason: failing ?? 'login-unavailable', detail: login.detail, facts: login.facts },
        {
          record: released(state, at, {
            after: record,
            loginsSpent: record.loginsSpent,
            keepDoubt: true,
          }),
        },
      );
    case 'refused': {
      const known = { rotationId: state.closes ?? record.rotationId, doubtful: record.doubtful };
      const sequence = record.sequence + 1;
      const reason =
        purpose === 'probe'
          ? 'password-lost'
          : state.closes === null
            ? 'login-refused'
            : 'verify-refused';
      return stoppedBy(state, at, reason, {
        sequence,
        loginsSpent: record.loginsSpent,
        known,
        detail: login.detail,
      });
    }
    case 'accepted':
      return afterAcceptedLogin(state, { ...outcome, login });
  }
}

function afterAcceptedLogin(
  state: Is<'entering'>,
  outcome: Of<'log-in'> & { login: { login: 'accepted' } },
): State {
  const { record, claim: purpose, current, request } = state;
  const { session } = outcome.login;
  const at = { ...outcome, current };
  if (outcome.readBack === 'other')
    return ending(
      state,
      at,
      { reason: 'busy', detail: 'another instance took over while we logged in' },
      { session },
    );
  // The login was accepted, so nothing is spent and an open doubt is resolved: that reset did not happen.
  const release = {
    record: released(state, at, { after: record, loginsSpent: 0, keepDoubt: false }),
    session,
  };
  const proven = provenUnchanged(state);
  // Reading back matters before a reset; here none follows.
  if (state.closes !== null) return verified(state, at, release, state.closes);
  if (outcome.readBack instanceof Failure) {
    return ending(
      proven,
      at,
      {
        reason: outcome.readBack.reason,
        detail: `reading the claim back: ${outcome.readBack.message}`,
      },
      release,
    );
  }
  if (purpose === 'check') return ending(proven, at, { outcome: 'checked' }, release);
  if (outcome.interrupted) return ending(proven, at, { reason: 'interrupted' }, release);
  if (purpose === 'probe' && request.purpose === 'recover')
    return ending(proven, at, { outcome: 'settled' }, release);
  const due =
    request.force ||
    purpose === 'rotate' ||
    dueness(ageDays(current.createdAtMs, outcome.atMs), request.policy) !== 'not-due';
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
function verified(
  state: Is<'entering'>,
  at: Moment,
  release: Parameters<typeof ending>[3],
  rotationId: string,
): State {
  const facts = {
    rotationId,
    username: state.current.credentials.username,
    versionAfter: state.current.versionId,
    verifiedBy: 'login' as const,
  };
  const code = state.request.native ? 'rotation.outcome' : 'rotation.reconciled';
  const audit = [
    auditOf(state, 'credential.verified', 'success', facts),
    auditOf(state, code, 'success', {
      ...facts,
      certainty: 'rotated',
      ...nextDue(state.request, state.current.createdAtMs),
    }),
  ];
  const outcome = state.request.purpose === 'check' ? 'checked' : 'recovered';
  return ending(
    state,
    at,
    { outcome, rotationId },
    { ...release, audit, discardReceipt: rotationId },
  );
}

/** When the policy asks for the next rotation of a password first stored then. */
export const nextDue = (request: Request, sinceMs: number): { nextDueMs: number } => ({
  nextDueMs: dueAtMs(sinceMs, request.policy),
});

/** Record, audit and receipt are durable, or nothing is reset. */
export function afterIntent(state: Is<'intending'>, outcome: Of<'intend'>): State {
  const { record, session, current } = state;
  const at = { ...outcome, current };
  // Whatever was carried is durable now, unless the audit write failed.
  const durable = !(outcome.audit instanceof Failure);
  const told = durable ? { ...state, tally: { ...state.tally, carried: [] } } : state;
  const failed = [outcome.record, outcome.audit, outcome.receipt].find(
    (tried) => tried instanceof Failure,
  );
  if (outcome.record !== 'taken' && failed === undefined) {
    const sendByMonotonicMs = outcome.startedAtMonotonicMs + sendWithinMs(state.request.timing);
    return {
      at: 'resetting',
      request: state.request,
      tally: told.tally,
      current,
      session,
      record,
      sendByMonotonicMs,
    };
  }
  const bad = failed
    ? { reason: failed.reason, detail: failed.message }
    : { reason: 'busy' as const, detail: 'another instance took over before the reset' };
  return unchanged(
    told,
    at,
    { ...bad, rotationId: record.rotationId },
    { session, hadIntent: durable, ours: outcome.record !== 'taken' },
  );
}

/** Nothing was changed at Verizon: let the claim go, and give the intent its outcome. */
export function unchanged(
  state: Is<'intending'> | Is<'resetting'>,
  at: Moment,
  bad: { reason: Reason; detail?: string; rotationId: string },
  {
    session,
    hadIntent,
    ours,
  }: { session: Is<'resetting'>['session'] | null; hadIntent: boolean; ours: boolean },
): State {
  const record = ours
    ? released(state, at, { after: state.record, loginsSpent: 0, keepDoubt: false })
    : null;
  const audit = hadIntent ? [unchangedOutcome(state, bad)] : [];
  return ending(state, at, bad, { record, session, audit });
}

/** The outcome of an intent whose reset did not happen. */
export function unchangedOutcome(
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
