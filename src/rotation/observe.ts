// What an outcome means in the vocabulary of event.ts, for the log and the metrics. Pure, and harmless:
// nothing is decided by what is told.

import { survey } from './classify.ts';
import type { RotationEvent } from './event.ts';
import { Failure } from './failure.ts';
import type { Outcome, Result, State } from './state.ts';

/** The event that this outcome is, or null for one that nobody needs to hear about. */
export function eventOf(state: State, outcome: Outcome): RotationEvent | null {
  const { account } = state.request;
  switch (outcome.of) {
    case 'survey': {
      const finding =
        outcome.evidence instanceof Failure
          ? outcome.evidence.reason
          : survey(outcome.evidence, state.request).finding;
      return { event: 'survey.finished', account, finding };
    }
    case 'claim':
      if (state.at !== 'claiming' || outcome.claim !== 'written') return null;
      return {
        event: 'attempt.claimed',
        account,
        sequence: state.record.sequence,
        loginsSpent: state.record.loginsSpent,
      };
    case 'log-in':
    case 'verify': {
      const detail = 'detail' in outcome.login ? { detail: outcome.login.detail } : {};
      return {
        event: `login.${outcome.login.login}`,
        account,
        credential: outcome.of === 'verify' ? 'new' : 'current',
        ...detail,
      };
    }
    case 'intend':
      if (state.at !== 'intending' || outcome.record !== 'written' || outcome.audit !== 'durable')
        return null;
      return {
        event: 'rotation.intended',
        account,
        rotationId: state.record.rotationId,
        sequence: state.record.sequence,
      };
    case 'reset': {
      const rotation = state.at === 'resetting' ? { rotationId: state.record.rotationId } : {};
      if (outcome.answer.reset === 'answered')
        return { event: 'reset.answered', account, ...rotation };
      return {
        event: `reset.${outcome.answer.reset}`,
        account,
        ...rotation,
        detail: outcome.answer.detail,
      };
    }
    case 'store':
      if (state.at !== 'storing') return null;
      if (outcome.store instanceof Failure) return retried(state, 'store', outcome.store);
      return {
        event: 'secret.stored',
        account,
        rotationId: state.rotationId,
        versionId: state.rotationId,
      };
    case 'promote':
      if (state.at !== 'promoting') return null;
      if (outcome.promote instanceof Failure) return retried(state, 'promote', outcome.promote);
      if (outcome.promote !== 'promoted') return null;
      return {
        event: 'secret.promoted',
        account,
        rotationId: state.rotationId,
        versionId: state.rotationId,
      };
    case 'end':
      if (!(outcome.audit instanceof Failure)) return null;
      return { event: 'audit.failed', account, detail: outcome.audit.message };
    case 'find-receipt':
    case 'date-password':
      return null;
  }
}

function retried(
  state: Extract<State, { at: 'storing' | 'promoting' }>,
  step: 'store' | 'promote',
  failure: Failure,
): RotationEvent {
  const { rotationId, tries, waitMs, request } = state;
  return {
    event: 'saving.retried',
    account: request.account,
    rotationId,
    step,
    tries: tries + 1,
    waitMs,
    reason: failure.reason,
    detail: failure.message,
  };
}

/** The last event of every attempt. */
export function finishedEvent(result: Result): RotationEvent {
  const { account, outcome, certainty, logins, reason, detail, rotationId, facts } = result;
  return {
    event: 'attempt.finished',
    account,
    outcome,
    certainty,
    logins,
    ...(reason === undefined ? {} : { reason }),
    ...(detail === undefined ? {} : { detail }),
    ...(rotationId === undefined ? {} : { rotationId }),
    ...(reason === undefined || facts === undefined ? {} : { facts }),
  };
}
