// Translates an outcome into an event of event.ts, for the log and the metrics. Pure. No decision
// depends on these events.

import { classify } from './classify.ts';
import type { RotationEvent } from './event.ts';
import { Failure } from './failure.ts';
import type { Outcome, Result, State } from './state.ts';
import { deadWindowOf } from './transitions/save.ts';

/** The event for this outcome, or null for an outcome that is not logged. */
export function eventOf(state: State, outcome: Outcome): RotationEvent | null {
  const { account } = state.request;
  switch (outcome.of) {
    case 'survey':
      if (!(outcome.evidence instanceof Failure)) return null;
      return { event: 'survey.finished', account, finding: outcome.evidence.reason };
    case 'examine': {
      const { details } = outcome;
      if (state.at !== 'examining') return null;
      const finding =
        details instanceof Failure
          ? details.reason
          : classify(state.evidence, details, state.request).finding;
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
      const { login } = outcome;
      const detail = login.login === 'accepted' ? {} : { detail: login.detail };
      return {
        event: `login.${login.login}`,
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
        rotationId: state.record.open.rotationId,
        sequence: state.record.sequence,
      };
    case 'reset': {
      const rotation = state.at === 'resetting' ? { rotationId: state.record.open.rotationId } : {};
      if (outcome.answer.reset === 'answered')
        return { event: 'reset.answered', account, ...rotation };
      return {
        event: `reset.${outcome.answer.reset}`,
        account,
        ...rotation,
        detail: outcome.answer.detail,
      };
    }
    case 'keep':
      if (!(outcome.keep instanceof Failure) || state.at !== 'keeping') return null;
      return retried(state, 'keep', state.record.open.rotationId, outcome.keep);
    case 'store': {
      if (state.at !== 'storing') return null;
      const { rotationId, versionId } = state.write;
      if (outcome.store instanceof Failure)
        return retried(state, 'store', rotationId, outcome.store);
      if (outcome.store !== 'stored') return null;
      return { event: 'secret.stored', account, rotationId, versionId };
    }
    case 'promote': {
      if (state.at !== 'promoting') return null;
      const { rotationId, versionId } = state.write;
      if (outcome.promote instanceof Failure)
        return retried(state, 'promote', rotationId, outcome.promote);
      if (outcome.promote !== 'promoted') return null;
      const deadWindowMs = state.reset ? deadWindowOf(state.reset, outcome) : undefined;
      return { event: 'secret.promoted', account, rotationId, versionId, deadWindowMs };
    }
    case 'end':
      if (!(outcome.audit instanceof Failure)) return null;
      return { event: 'audit.failed', account, detail: outcome.audit.message };
  }
}

function retried(
  { tries, waitMs, request }: Extract<State, { at: 'storing' | 'promoting' | 'keeping' }>,
  step: 'store' | 'promote' | 'keep',
  rotationId: string,
  failure: Failure,
): RotationEvent {
  const { account } = request;
  const { reason, message: detail } = failure;
  const about = { account, rotationId, step, reason, detail };
  return { event: 'saving.retried', ...about, tries: tries + 1, waitMs };
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
    reason,
    detail,
    rotationId,
    facts: reason === undefined ? undefined : facts,
  };
}
