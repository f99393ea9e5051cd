// The machine: the state says which effect comes next, the outcome says which state comes next, and
// nothing else decides. Pure: no clock, no randomness, no I/O. An outcome that does not fit is a bug and throws.

import type { AuditEvent } from './event.ts';
import { Failure } from './failure.ts';
import type { ReceiptLabel } from './ports.ts';
import type { Holder } from './record.ts';
import { auditOf, finishedWith } from './result.ts';
import type { Effect, Is, Of, Outcome, Request, State } from './state.ts';
import { afterClaim, afterIntent, afterLogin } from './transitions/claim.ts';
import { afterPromote, afterReset, afterStore, afterVerify } from './transitions/save.ts';
import { afterDating, afterExamining, afterSurvey } from './transitions/survey.ts';

/** Where every attempt begins. */
export function begin(request: Request, holder: Holder, nowMs: number): State {
  return {
    at: 'surveying',
    request,
    tally: {
      holder,
      startedAtMs: nowMs,
      logins: 0,
      retried: false,
      atLeast: 0,
      lookedPast: 0,
      earlier: [],
      collisions: 0,
      carried: [],
    },
  };
}

/** The one effect that this state waits for; null when the attempt is over. */
export function effectOf(state: State): Effect | null {
  switch (state.at) {
    case 'surveying':
      return {
        effect: 'survey',
        atLeast: Math.max(
          state.tally.atLeast,
          state.tally.lookedPast > 0 ? state.tally.lookedPast + 1 : 0,
        ),
      };
    case 'examining':
      return { effect: 'find-receipt', rotationId: state.rotationId };
    case 'dating':
      return { effect: 'date-password', current: state.evidence.current };
    case 'claiming':
      return { effect: 'claim', record: state.record, current: state.current };
    case 'entering':
      return {
        effect: 'log-in',
        record: state.record,
        current: state.current,
        enterByMonotonicMs: state.enterByMonotonicMs,
      };
    case 'intending':
      return {
        effect: 'intend',
        record: state.record,
        audit: intent(state),
        label: labelOf(state.request, state.record.rotationId),
      };
    case 'resetting':
      return {
        effect: 'reset',
        session: state.session,
        label: labelOf(state.request, state.record.rotationId),
        sendByMonotonicMs: state.sendByMonotonicMs,
      };
    case 'storing':
      return {
        effect: 'store',
        waitMs: state.waitMs,
        rotationId: state.rotationId,
        current: state.current,
        password: state.password,
      };
    case 'promoting':
      return {
        effect: 'promote',
        waitMs: state.waitMs,
        from: state.current.versionId,
        to: state.rotationId,
      };
    case 'verifying':
      return {
        effect: 'verify',
        current: state.current,
        password: state.password,
        session: state.session,
      };
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
  if (outcome.of !== name)
    throw new Error(`bug: the outcome of ${outcome.of} does not fit where ${name} was asked for`);
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

function afterEnd(state: Is<'ending'>, outcome: Of<'end'>): State {
  const untold = [outcome.record, outcome.audit]
    .filter((tried) => tried instanceof Failure)
    .map((failure) => failure.message);
  return finishedWith(state, outcome, untold);
}
