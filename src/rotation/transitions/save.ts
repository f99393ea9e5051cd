// From the reset to a proven password: nothing in here may give up a password that has been received. Pure; the arrows that
// leave resetting, storing, promoting and verifying.

import type { Secret } from '../../secret.ts';
import type { AuditEvent } from '../event.ts';
import { Failure, type Reason } from '../failure.ts';
import type { CurrentSecret } from '../ports.ts';
import { auditOf, claimed, ending, released, stoppedBy } from '../result.ts';
import { type Is, type Moment, type Of, resetLeaseMs, type State, type Tally } from '../state.ts';
import { nextDue, unchanged, unchangedOutcome } from './claim.ts';

/** Waits between tries to save a password, in milliseconds; the last one repeats for as long as the process lives. */
const savingBackoffMs = [0, 100, 250, 500, 1_000, 2_000, 5_000, 10_000, 30_000] as const;

/** The platform's last moments belong to telling how it ended. */
const lastWordsMs = 300;

/** The reset’s answer: a password to save, proof that nothing happened, or a doubt. */
export function afterReset(state: Is<'resetting'>, outcome: Of<'reset'>): State {
  const { answer, password } = outcome;
  const { record, current, session, request } = state;
  const { rotationId } = record;
  const at = { ...outcome, current };
  if (password) {
    const answered = {
      current,
      sequence: record.sequence,
      rotationId,
      password,
      session,
      answeredAtMonotonicMs: outcome.atMonotonicMs,
    };
    return { at: 'storing', request, tally: state.tally, ...answered, tries: 0, waitMs: 0 };
  }
  switch (answer.reset) {
    case 'not-sent':
      return unchanged(
        state,
        at,
        { reason: answer.reason, detail: answer.detail, rotationId },
        { session, hadIntent: true, ours: true },
      );
    case 'refused': {
      const dead = answer.because === 'session' || answer.because === 'api-token';
      const reason: Reason = dead
        ? 'session-refused'
        : answer.because === 'throttled'
          ? 'reset-throttled'
          : 'reset-refused';
      const bad = { reason, detail: answer.detail, rotationId };
      if (!dead || state.tally.retried)
        return unchanged(state, at, bad, { session, hadIntent: true, ours: true });
      // One new login and one new intent, once per attempt: the session, not the password, was refused.
      const tally: Tally = {
        ...state.tally,
        retried: true,
        carried: [unchangedOutcome(state, bad)],
      };
      const again = claimed({ ...state, tally }, at, {
        sequence: record.sequence + 1,
        loginsSpent: 1,
        known: { rotationId },
      });
      return {
        at: 'claiming',
        request,
        tally,
        current,
        claim: 'rotate',
        record: again,
        spentBefore: 0,
        closes: null,
      };
    }
    case 'answered':
      return inDoubt(state, at, 'answer-unreadable', 'a 2xx without a readable newPassword');
    case 'in-doubt':
      return inDoubt(state, at, 'answer-lost', answer.detail);
  }
}

function inDoubt(
  state: Is<'resetting'>,
  at: Moment,
  reason: 'answer-lost' | 'answer-unreadable',
  detail: string,
): State {
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
  const doubtful = {
    ...released(state, at, { after: record, loginsSpent: 0, keepDoubt: true }),
    rotationId,
    doubtful: true as const,
  };
  return ending(state, at, { reason, detail, rotationId }, { record: doubtful, session, audit });
}

/** The wait before the next try to save; null when the platform's time is up. */
function nextTry(tries: number, remainingMs: number): { tries: number; waitMs: number } | null {
  const left = remainingMs - lastWordsMs;
  if (left <= 0) return null;
  const waitMs = savingBackoffMs[Math.min(tries + 1, savingBackoffMs.length - 1)] ?? 0;
  return { tries: tries + 1, waitMs: Math.min(waitMs, Math.max(0, left / 2)) };
}

/** The new version is stored, or is tried again. */
export function afterStore(state: Is<'storing'>, outcome: Of<'store'>): State {
  const { current, rotationId, sequence, password, session, answeredAtMonotonicMs } = state;
  if (outcome.store instanceof Failure) {
    const again = nextTry(state.tries, outcome.remainingMs);
    if (again) return { ...state, ...again };
    return unsaved(state, { ...outcome, current }, 'not-stored', outcome.store.message);
  }
  const answered = { current, rotationId, sequence, password, session, answeredAtMonotonicMs };
  return {
    at: 'promoting',
    request: state.request,
    tally: state.tally,
    current,
    rotationId,
    sequence,
    answered,
    tries: 0,
    waitMs: 0,
  };
}

function unsaved(
  state: Is<'storing'> | Is<'promoting'>,
  at: Moment,
  reason: 'not-stored' | 'not-promoted',
  detail: string,
): State {
  const { rotationId, current } = state;
  const facts = {
    rotationId,
    reason,
    detail,
    username: current.credentials.username,
    versionBefore: current.versionId,
  };
  const audit = [auditOf(state, 'rotation.outcome', 'unknown', { ...facts, certainty: 'changed' })];
  const session = state.at === 'storing' ? state.session : (state.answered?.session ?? null);
  return ending(state, at, { reason, detail, rotationId }, { audit, session });
}

/** AWSCURRENT has moved, or is tried again, or somebody else moved it. */
export function afterPromote(state: Is<'promoting'>, outcome: Of<'promote'>): State {
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
    const where = {
      sequence: state.sequence + 1,
      loginsSpent: 0,
      known: { rotationId },
      basis: promote.conflict,
      detail,
    };
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

function savedEvents(
  state: Is<'promoting'> | Is<'verifying'>,
  rotationId: string,
  deadWindowMs: number,
): AuditEvent[] {
  const facts = {
    rotationId,
    username: state.current.credentials.username,
    versionBefore: state.current.versionId,
    versionAfter: rotationId,
  };
  return [
    auditOf(state, 'secret.stored', 'success', facts),
    auditOf(state, 'secret.promoted', 'success', { ...facts, deadWindowMs }),
  ];
}

/** The login with the new password. Whatever it says, AWSCURRENT stays: the old password is dead. */
export function afterVerify(before: Is<'verifying'>, outcome: Of<'verify'>): State {
  const { login } = outcome;
  const state =
    login.login === 'not-sent'
      ? before
      : { ...before, tally: { ...before.tally, logins: before.tally.logins + 1 } };
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
      const late =
        outcome.atMonotonicMs - state.answeredAtMonotonicMs > resetLeaseMs(request.timing);
      const detail = sameAsOld(state.password, current)
        ? { detail: 'warning: the new password equals the old one' }
        : {};
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
      const where = {
        sequence: state.sequence + 1,
        loginsSpent: 1,
        known: { rotationId },
        basis: rotationId,
        detail: login.detail,
      };
      return stoppedBy(
        { ...state, tally: { ...state.tally, carried: saved } },
        at,
        'verify-refused',
        where,
      );
    }
    case 'unknown':
    case 'not-sent':
      // The intent stays open: the next run verifies under a claim of its own, and tells the outcome.
      return ending(
        state,
        at,
        {
          reason: 'verify-unavailable',
          detail: login.detail,
          rotationId,
          deadWindowMs,
          facts: login.facts,
        },
        { audit: saved },
      );
  }
}

const sameAsOld = (password: Secret, current: CurrentSecret): boolean =>
  password.equals(current.credentials.password);
