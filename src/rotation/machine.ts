// The machine: the state says which effect comes next, the outcome says which state comes next, and
// nothing else decides. Pure: no clock, no randomness, no I/O. An outcome that does not fit is a
// bug and throws.

import type { AuditEvent } from './event.ts';
import { Failure } from './failure.ts';
import type { ReceiptLabel } from './ports.ts';
import type { Owner } from './record.ts';
import { auditOf, ending, failedWith, finishedWith } from './result.ts';
import type { Effect, Is, Of, Outcome, Request, State } from './state.ts';
import { afterClaim, afterLogin } from './transitions/claim.ts';
import { afterIntent, afterKeep, afterReset } from './transitions/reset.ts';
import { afterPromote, afterStore, afterVerify } from './transitions/save.ts';
import { afterExamining, afterSurvey } from './transitions/survey.ts';

/** Where every attempt begins. `rotationId` names the rotation that it may start. */
export function begin(request: Request, owner: Owner, nowMs: number, rotationId: string): State {
  const counts = { logins: 0, collisions: 0, staleReads: 0, atLeast: 0 };
  const tally = { owner, startedAtMs: nowMs, rotationId, retried: false, ...counts, carried: [] };
  return { at: 'surveying', request, tally, waitMs: 0 };
}

/** The one effect that this state waits for; null when the attempt is over. */
export function effectOf(state: State): Effect | null {
  switch (state.at) {
    case 'surveying':
      return { effect: 'survey', atLeast: state.tally.atLeast, waitMs: state.waitMs };
    case 'examining':
      return { effect: 'examine', evidence: state.evidence, questions: state.questions };
    case 'claiming': {
      const { record, current, plan } = state;
      return { effect: 'claim', record, current, needsRoom: plan.plan === 'rotate' };
    }
    case 'entering':
      return loginEffect(state);
    case 'intending': {
      const { record, request } = state;
      return {
        effect: 'intend',
        record,
        audit: intent(state),
        label: labelOf(request, record.open.rotationId),
      };
    }
    case 'resetting': {
      const { session, record, request, sendByMonotonicMs } = state;
      const label = labelOf(request, record.open.rotationId);
      return { effect: 'reset', session, label, sendByMonotonicMs };
    }
    case 'keeping': {
      const { waitMs, record, body } = state;
      return { effect: 'keep', waitMs, rotationId: record.open.rotationId, body };
    }
    case 'storing':
      return { effect: 'store', waitMs: state.waitMs, write: state.write, current: state.current };
    case 'promoting': {
      const { waitMs, current, write } = state;
      return { effect: 'promote', waitMs, from: current.versionId, to: write.versionId };
    }
    case 'verifying': {
      const { current, write, reset } = state;
      if (!reset) throw new Error('bug: only a reset of this attempt is verified here');
      const credentials = { ...current.credentials, password: write.password };
      const { session, verifyByMonotonicMs } = reset;
      return { effect: 'verify', credentials, session, verifyByMonotonicMs };
    }
    case 'ending': {
      const { record, isUncertain, session, audit, discardReceipt, result } = state;
      const ending = { record, isUncertain, session, audit, discardReceipt, result };
      return { effect: 'end', ending };
    }
    case 'finished':
      return null;
  }
}

function loginEffect({ record, current, plan, enterByMonotonicMs }: Is<'entering'>): Effect {
  const password = plan.plan === 'prove' ? plan.write.password : current.credentials.password;
  const credentials = { ...current.credentials, password };
  return { effect: 'log-in', record, credentials, enterByMonotonicMs };
}

/** The state that follows. */
export function advance(state: State, outcome: Outcome): State {
  switch (state.at) {
    case 'surveying':
      return afterSurvey(state, expect(outcome, 'survey'));
    case 'examining':
      return afterExamining(state, expect(outcome, 'examine'));
    case 'claiming':
      return afterClaim(state, expect(outcome, 'claim'));
    case 'entering':
      return afterLogin(state, expect(outcome, 'log-in'));
    case 'intending':
      return afterIntent(state, expect(outcome, 'intend'));
    case 'resetting':
      return afterReset(state, expect(outcome, 'reset'));
    case 'keeping':
      return afterKeep(state, expect(outcome, 'keep'));
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
  if (outcome.of !== name)
    throw new Error(`bug: the outcome of ${outcome.of} does not fit where ${name} was asked for`);
  return outcome as Of<Name>;
}

const labelOf = ({ account, secretId }: Request, rotationId: string): ReceiptLabel => ({
  rotationId,
  account,
  secretId,
});

function intent(state: Is<'intending'>): AuditEvent[] {
  const { versionId: versionBefore, credentials } = state.current;
  const { rotationId } = state.record.open;
  const facts = { rotationId, username: credentials.username, versionBefore };
  return [...state.tally.carried, auditOf(state, 'rotation.intended', 'started', facts)];
}

function afterEnd(state: Is<'ending'>, outcome: Of<'end'>): State {
  const { record } = outcome;
  // A resume is its record, where it has one: without it nothing was resumed.
  if (state.request.purpose === 'resume' && record !== 'written') {
    const detail = 'another process changed the account meanwhile';
    const failure = record === 'taken' ? ({ reason: 'busy', detail } as const) : failedWith(record);
    return ending(state, outcome, failure);
  }
  const unrecorded = [outcome.record, outcome.audit]
    .filter((tried) => tried instanceof Failure)
    .map((failure) => failure.message);
  return finishedWith(state, outcome, unrecorded);
}
