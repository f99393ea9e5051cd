// From a received password to a proven one: nothing in here may give up a password that has been
// received (promise 1). Pure; the arrows that leave storing, promoting and verifying.

import type { AuditEvent } from '../event.ts';
import { Failure } from '../failure.ts';
import type { Session } from '../ports.ts';
import type { ClosedRotation } from '../record.ts';
import { auditOf, ending, released, suspended, withClosed } from '../result.ts';
import type { Is, Moment, Of, ReceiptState, State } from '../state.ts';
import { closed, outcomeOf } from './close.ts';

/** Waits between tries to save a password; milliseconds. */
const savingBackoffMs = [100, 250, 500, 1_000, 2_000, 5_000, 10_000] as const;
/** All later waits, for as long as the process runs; milliseconds. */
const longestWaitMs = 30_000;

/** The last part of the platform's time belongs to the outcome: record, audit, metrics, message. */
const reportingMs = 5_000;

/** How much of the platform's time may be spent on saving a password; milliseconds. */
export const savingTimeMs = (remainingMs: number): number =>
  remainingMs - Math.min(reportingMs, remainingMs / 2);

/**
 * How often a permanent error is tried before another durable copy of the password ends the
 * attempt.
 */
const permanentTries = 3;

/**
 * The wait before the next try; null to stop: the platform's time is over, or the error is
 * permanent and another durable copy exists.
 */
export function nextTry(
  tries: number,
  remainingMs: number,
  failure: Failure,
  receipt: ReceiptState,
): { tries: number; waitMs: number } | null {
  if (remainingMs <= reportingMs) return null;
  if (isPermanent(failure) && typeof receipt === 'object' && tries + 1 >= permanentTries)
    return null;
  const waitMs = savingBackoffMs[tries] ?? longestWaitMs;
  return { tries: tries + 1, waitMs: Math.min(waitMs, savingTimeMs(remainingMs) / 2) };
}

/**
 * Errors that only a person can remove: access denied, a value that is too large, a secret that is
 * deleted.
 */
const isPermanent = ({ reason }: Failure): boolean =>
  reason === 'store-denied' || reason === 'secret-invalid' || reason === 'secret-not-found';

/** The new version is stored, or is tried again. */
export function afterStore(state: Is<'storing'>, outcome: Of<'store'>): State {
  const { store, receipt } = outcome;
  const { request, tally, current, write, reset, claim } = state;
  const at = { ...outcome, current };
  if (store instanceof Failure) {
    const again = nextTry(state.tries, outcome.remainingMs, store, receipt);
    if (again) return { ...state, ...again };
    return unsaved(state, at, 'not-stored', store, placeOf(receipt));
  }
  // The id names other content, so writing it can never succeed: the password gets another id (rule
  // 4).
  if (store !== 'stored')
    return { ...state, write: { ...write, versionId: store.taken }, waitMs: 0 };
  const saved = { ...tally, openReason: 'not-promoted' as const };
  const stored = { ...write, isStored: true };
  const saving = { current, write: stored, reset, claim, tries: 0, waitMs: 0 };
  return { at: 'promoting', request, tally: saved, ...saving };
}

function unsaved(
  state: Is<'storing'> | Is<'promoting'>,
  at: Moment,
  reason: 'not-stored' | 'not-promoted',
  failure: Failure,
  receipt?: string,
): State {
  const { write, current, reset } = state;
  const { rotationId } = write;
  const detail = failure.message;
  const audit = [outcomeOf(state, current, { rotationId, reason, detail, certainty: 'changed' })];
  const facts = { ...failure.facts, cause: undefined, receipt };
  // The owner ends here: the rotation stays open, and the next run need not wait for the lease.
  const record = reset && released(state, at, reset.record, 0);
  const session = reset?.session;
  return ending(state, at, { reason, detail, rotationId, facts }, { audit, session, record });
}

/** Where the receipt is; undefined where there is none yet. */
export const placeOf = (receipt: ReceiptState): string | undefined =>
  typeof receipt === 'object' ? receipt.place : undefined;

/** AWSCURRENT has moved, or is tried again, or another process or a person moved it. */
export function afterPromote(state: Is<'promoting'>, outcome: Of<'promote'>): State {
  const { current, write, reset, request, tally } = state;
  const { promote } = outcome;
  const at = { ...outcome, current };
  if (promote instanceof Failure) {
    // The stored version is a durable copy.
    const copy = { place: `version ${write.versionId}` };
    const again = nextTry(state.tries, outcome.remainingMs, promote, copy);
    return again ? { ...state, ...again } : unsaved(state, at, 'not-promoted', promote);
  }
  const session = reset?.session ?? tally.session;
  // Another process or a person moved AWSCURRENT: the decision table says what to do with the new
  // one.
  if (promote !== 'promoted' && promote.conflict !== write.versionId) {
    const atLeast = Math.max(tally.atLeast, reset?.record.sequence ?? 0);
    return { at: 'surveying', request, tally: { ...tally, session, atLeast }, waitMs: 0 };
  }
  if (!reset) return afterRecovery(state, at);
  const deadWindowMs = deadWindowOf(reset, outcome);
  const promoted = { ...tally, deadWindowMs, openReason: 'verify-unavailable' as const };
  if (!request.native) return { ...state, at: 'verifying', tally: promoted, deadWindowMs };
  // testSecret verifies, finishSecret closes; neither has to wait for this lease.
  const { open, history } = reset.record;
  const { rotationId, versionId } = write;
  const native = { ...state, tally: promoted };
  return ending(
    native,
    at,
    { outcome: 'rotated', rotationId, versionId, sinceMs: write.sinceMs },
    {
      record: released(state, at, reset.record, 0, { open, history }),
      session: reset.session,
      audit: savedEvents(native),
    },
  );
}

/** From the reset response until now, in milliseconds: how long the stored password was invalid. */
export const deadWindowOf = (
  { answeredAtMonotonicMs }: { readonly answeredAtMonotonicMs: number },
  { atMonotonicMs }: Pick<Of<'promote'>, 'atMonotonicMs'>,
): number => Math.round(atMonotonicMs - answeredAtMonotonicMs);

/**
 * A password that a recovery made current: closed when a login has proven it, else the next survey
 * verifies it.
 */
function afterRecovery(state: Is<'promoting'>, at: Moment): State {
  const { request, tally, claim, write } = state;
  const saved = savedEvents(state);
  // Without a login, the next survey verifies the password. It also decides about another rotation
  // that is open.
  const isOther = claim?.open !== undefined && claim.open.rotationId !== write.rotationId;
  if (claim === null || isOther) {
    const carried = [...tally.carried, ...saved];
    const openReason = 'verify-unavailable' as const;
    return { at: 'surveying', request, tally: { ...tally, carried, openReason }, waitMs: 0 };
  }
  const { rotationId, versionId, sinceMs } = write;
  const replaced = at.current.versionId;
  const closing: ClosedRotation = { rotationId, as: 'rotated', versionId, replaced, sinceMs };
  const done = { ...state, tally: { ...tally, openReason: undefined } };
  return ending(
    done,
    at,
    { outcome: 'recovered', rotationId, versionId, sinceMs },
    {
      record: released(state, at, claim, 0, { history: withClosed(claim, closing) }),
      audit: [...saved, closed(state, at.current, closing)],
      discardReceipt: rotationId,
    },
  );
}

function savedEvents(state: Is<'promoting'> | Is<'verifying'>): AuditEvent[] {
  const { write, current, tally } = state;
  const { rotationId, versionId: versionAfter, sinceMs: passwordSinceMs } = write;
  const { username } = current.credentials;
  const { versionId: versionBefore } = current;
  const facts = { rotationId, username, versionBefore, versionAfter, passwordSinceMs };
  const { deadWindowMs } = tally;
  return [
    auditOf(state, 'secret.stored', 'success', facts),
    auditOf(state, 'secret.promoted', 'success', { ...facts, deadWindowMs }),
  ];
}

/**
 * The login with the new password. Whatever it says, AWSCURRENT stays: the old password is invalid.
 */
export function afterVerify(before: Is<'verifying'>, outcome: Of<'verify'>): State {
  const { login } = outcome;
  const { current, write, reset } = before;
  if (!reset) throw new Error('bug: only a reset of this attempt is verified here');
  const logins = before.tally.logins + (login.login === 'not-sent' ? 0 : 1);
  const state = { ...before, tally: { ...before.tally, logins } };
  const { rotationId, versionId } = write;
  const at = { ...outcome, current };
  const saved = savedEvents(state);
  switch (login.login) {
    case 'accepted':
      return rotated(state, at, login.session, reset);
    case 'refused': {
      const carried = [...state.tally.carried, ...saved];
      const rejected = { ...state, tally: { ...state.tally, carried } };
      const { detail } = login;
      const suspension = { after: reset.record, loginsSpent: 1, refused: versionId, detail };
      return suspended(
        rejected,
        { ...at, current: { ...current, versionId } },
        'verify-refused',
        suspension,
      );
    }
    case 'unknown':
    case 'not-sent': {
      // The rotation stays open: the next run claims the account again and verifies.
      const { detail } = login;
      const spent = login.login === 'not-sent' ? 0 : 1;
      const verdict = { reason: 'verify-unavailable', detail, rotationId, versionId } as const;
      const record = released(state, at, reset.record, spent);
      return ending(state, at, verdict, { audit: saved, record });
    }
  }
}

/** The rotation is complete: it is closed, and the count of logins starts at zero. */
function rotated(
  state: Is<'verifying'>,
  at: Moment,
  session: Session,
  reset: NonNullable<Is<'verifying'>['reset']>,
): State {
  const { current, write } = state;
  const { rotationId, versionId, sinceMs, password } = write;
  const { record } = reset;
  const replaced = current.versionId;
  const closing: ClosedRotation = { rotationId, as: 'rotated', versionId, replaced, sinceMs };
  const history = withClosed(record, closing);
  const isSame = password.equals(current.credentials.password);
  const detail = isSame ? 'warning: the new password equals the old one' : undefined;
  const { username } = current.credentials;
  const facts = { rotationId, username, versionAfter: versionId, verifiedBy: 'login' } as const;
  const verified = auditOf(state, 'credential.verified', 'success', facts);
  const outcome = closed(state, current, closing, 'rotation.outcome');
  const { deadWindowMs } = state;
  const done = { ...state, tally: { ...state.tally, openReason: undefined } };
  return ending(
    done,
    at,
    { outcome: 'rotated', rotationId, versionId, sinceMs, detail },
    {
      record: released(state, at, record, 0, { history }),
      session,
      audit: [...savedEvents(state), verified, { ...outcome, deadWindowMs, detail }],
      discardReceipt: rotationId,
    },
  );
}
