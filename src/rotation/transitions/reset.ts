// From the intent to the reset response. Pure; the arrows that leave intending, resetting and
// keeping.

import { Failure } from '../failure.ts';
import type { ClosedRotation } from '../record.ts';
import { ending, failedWith, recordFields, released, type Verdict, withClosed } from '../result.ts';
import {
  claimLeaseMs,
  type Is,
  type Moment,
  type Of,
  type OpenReason,
  type State,
  sendWithinMs,
  serverDoneAfterMs,
  type Tally,
} from '../state.ts';
import { outcomeOf } from './close.ts';
import { nextTry, placeOf } from './save.ts';

/** Record, audit and receipt are durable, or nothing is reset (promises 4 and 6). */
export function afterIntent(state: Is<'intending'>, outcome: Of<'intend'>): State {
  const { record, session, current, request } = state;
  const at = { ...outcome, current };
  // What was carried is durable now, unless the audit write failed.
  const isDurable = !(outcome.audit instanceof Failure);
  const recorded = isDurable ? { ...state, tally: { ...state.tally, carried: [] } } : state;
  const failed = [outcome.record, outcome.audit, outcome.receipt].find(
    (tried) => tried instanceof Failure,
  );
  if (outcome.record !== 'taken' && failed === undefined) {
    const sendByMonotonicMs = outcome.startedAtMonotonicMs + sendWithinMs(request.timing);
    const { tally } = recorded;
    return { at: 'resetting', request, tally, current, session, record, sendByMonotonicMs };
  }
  const taken = { reason: 'busy', detail: 'another process took over before the reset' } as const;
  const verdict = failed ? failedWith(failed) : taken;
  const isOurs = outcome.record !== 'taken';
  const isUncertain = outcome.record instanceof Failure;
  return notApplied(recorded, at, verdict, { hasIntent: isDurable, isOurs, isUncertain });
}

/** Nothing changed at Verizon: the rotation is closed, and its intent gets its outcome. */
function notApplied(
  state: Is<'intending'> | Is<'resetting'>,
  at: Moment,
  verdict: Verdict,
  facts: {
    readonly hasIntent: boolean;
    readonly isOurs: boolean;
    readonly isUncertain: boolean;
  },
): State {
  const { hasIntent, isOurs, isUncertain } = facts;
  const { record, current, session } = state;
  const { rotationId } = record.open;
  const history = withClosed(record, closingOf(rotationId));
  const sequence = record.sequence - (isUncertain ? 1 : 0);
  const release = released(state, at, { ...record, sequence }, 0, { history });
  const { reason = 'reset-refused', detail } = verdict;
  const about = { rotationId, reason, detail, certainty: 'unchanged' } as const;
  // Who took over may have reset with the same token of Secrets Manager.
  const isCertain = isOurs || state.request.native === undefined;
  const audit = hasIntent && isCertain ? [outcomeOf(state, current, about)] : [];
  const last = { record: isOurs ? release : null, isUncertain, session, audit };
  return ending(state, at, { ...verdict, rotationId }, last);
}

/** The intent and the record are durable, and the reset provably did not happen. */
const unsentFacts = { hasIntent: true, isOurs: true, isUncertain: false };

const closingOf = (rotationId: string): ClosedRotation => ({ rotationId, as: 'not-applied' });

/** The reset response: a password to save, proof that nothing happened, or a doubt. */
export function afterReset(state: Is<'resetting'>, outcome: Of<'reset'>): State {
  const { answer, password } = outcome;
  const { record, current, session, request, tally } = state;
  const at = { ...outcome, current };
  const { rotationId, startedAtMs: sinceMs } = record.open;
  if (password) {
    const write = { rotationId, versionId: rotationId, password, sinceMs };
    const { resetTimeoutMs, requestTimeoutMs } = request.timing;
    const verifyByMonotonicMs = state.sendByMonotonicMs + resetTimeoutMs + 2 * requestTimeoutMs;
    const answeredAtMonotonicMs = outcome.atMonotonicMs;
    const reset = { session, record, answeredAtMonotonicMs, verifyByMonotonicMs };
    const unsaved = { ...write, isStored: false, isVerified: false };
    const saving = { current, write: unsaved, reset, claim: null };
    const open = openTally(tally, 'not-stored');
    return { at: 'storing', request, tally: open, ...saving, tries: 0, waitMs: 0 };
  }
  switch (answer.reset) {
    case 'not-sent': {
      const { reason, detail } = answer;
      return notApplied(state, at, { reason, detail }, unsentFacts);
    }
    case 'refused':
      return afterRefusedReset(state, at, answer, outcome.freshId);
    case 'answered':
    case 'in-doubt': {
      const detail = answer.reset === 'answered' ? 'HTTP 2xx' : answer.detail;
      if (answer.body === undefined) return inDoubt(state, at, detail);
      const kept = openTally(tally, 'answer-lost');
      const { body } = answer;
      return { ...state, at: 'keeping', tally: kept, body, detail, tries: 0, waitMs: 0 };
    }
  }
}

const openTally = (tally: Tally, openReason: OpenReason): Tally => ({ ...tally, openReason });

/**
 * A refused session is replaced once per attempt, with a new login and a new intent; the password
 * was not refused.
 */
function afterRefusedReset(
  state: Is<'resetting'>,
  at: Moment,
  { because, detail }: Extract<Of<'reset'>['answer'], { reset: 'refused' }>,
  freshId: string,
): State {
  const { record, current, request, tally } = state;
  const { rotationId } = record.open;
  const isSession = because === 'session' || because === 'api-token';
  const reason = isSession
    ? 'session-refused'
    : because === 'throttled'
      ? 'reset-throttled'
      : 'reset-refused';
  if (!isSession || tally.retried) return notApplied(state, at, { reason, detail }, unsentFacts);
  const facts = { rotationId, reason, detail, certainty: 'unchanged' } as const;
  const planned = request.native?.rotationId ?? freshId;
  const carried = [outcomeOf(state, current, facts)];
  const again: Tally = { ...tally, retried: true, rotationId: planned, carried };
  const fields = {
    sequence: record.sequence + 1,
    basis: current.versionId,
    loginsSpent: 1,
    leaseMs: claimLeaseMs(request.timing),
  };
  const history = withClosed(record, closingOf(rotationId));
  const claim = { phase: 'claimed', ...recordFields(state, at, fields), history, planned } as const;
  const plan = { plan: 'rotate' } as const;
  const claiming = { current, plan, record: claim, spentBefore: 0, reconciled: [] };
  return { at: 'claiming', request, tally: again, ...claiming };
}

/**
 * No bytes arrived that could hold a password. The rotation stays open; the settle time runs from
 * here.
 */
function inDoubt(state: Is<'resetting'>, at: Moment, detail: string): State {
  const { record, session, current, request } = state;
  const { rotationId } = record.open;
  // After a cut connection the server may still execute the reset.
  const open = { ...record.open, settleLeftMs: serverDoneAfterMs(request.timing) };
  const release = released(state, at, record, 0, { open, history: record.history });
  const facts = { rotationId, reason: 'answer-lost', detail, certainty: 'in-doubt' } as const;
  const audit = [outcomeOf(state, current, facts)];
  const verdict = { reason: 'answer-lost', detail, rotationId } as const;
  return ending(state, at, verdict, { record: release, session, audit });
}

/** The bytes that could not be read are kept in the secret, or that is tried again (rule 4). */
export function afterKeep(state: Is<'keeping'>, outcome: Of<'keep'>): State {
  const { record, session, current } = state;
  const { keep, receipt } = outcome;
  const { rotationId } = record.open;
  const at = { ...outcome, current };
  if (keep instanceof Failure) {
    const again = nextTry(state.tries, outcome.remainingMs, keep, receipt);
    if (again) return { ...state, ...again };
  }
  const written = placeOf(receipt);
  const place = keep instanceof Failure ? written : `version ${keep}`;
  const [reason, certainty, what] =
    place === undefined
      ? (['answer-lost', 'in-doubt', 'could not be kept'] as const)
      : (['answer-unreadable', 'changed', `is kept in ${place}`] as const);
  const detail = `${state.detail}; the response ${what}`;
  const { open, history } = record;
  const release = released(state, at, record, 0, { open, history });
  const audit = [outcomeOf(state, current, { rotationId, reason, detail, certainty })];
  const facts = { receipt: written };
  return ending(
    state,
    at,
    { reason, detail, rotationId, facts },
    { record: release, session, audit },
  );
}
