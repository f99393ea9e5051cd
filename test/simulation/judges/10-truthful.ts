// Promise 10: every statement is true. Results, statuses and native steps are judged once each,
// when they are made, by what the servers know. A statement about a world that somebody else
// changed during the attempt is only judged by what no change excuses.

import type { Certainty, Reason } from '../../../src/rotation/failure.ts';
import type { ClosedRotation } from '../../../src/rotation/record.ts';
import {
  answersIn,
  currentAgeMs,
  currentOf,
  dayMs,
  labelled,
  lastRotation,
  lastSuspension,
  newestRecord,
  passwordOf,
  passwordsIn,
  recordAt,
  shortId,
  versionOf,
  type World,
} from '../../harness/world.ts';
import type { Attempted, Simulation, Statement } from '../../harness/world-run.ts';

export function truthful(simulation: Simulation): string | null {
  for (const statement of simulation.statements.splice(0)) {
    const wrong = untruth(simulation, statement);
    if (wrong !== null) return wrong;
  }
  return null;
}

type Said = {
  readonly simulation: Simulation;
  readonly attempt: Attempted;
  readonly reason?: Reason | undefined;
  readonly rotationId?: string | undefined;
};

function untruth(simulation: Simulation, statement: Statement): string | null {
  const { attempt } = statement;
  if (statement.of === 'step') return stepUntruth(simulation, statement);
  if (statement.of === 'status') {
    const { reason, state, facts } = statement.status;
    const about = { simulation, attempt, reason, rotationId: facts?.rotationId };
    const objection =
      reason === undefined ? healthUntruth(simulation, attempt) : reasonUntruth(about);
    return objection === null ? null : `the status says ${reason ?? state}, but ${objection}`;
  }
  const { result } = statement;
  const { outcome, reason, certainty } = result;
  const sent = attempt.logins.filter(({ told }) => told !== 'not-sent').length;
  if (result.logins !== sent) return `the run says ${result.logins} logins, and ${sent} were sent`;
  const objection =
    resetUntruth(simulation, attempt, certainty) ??
    (reason === undefined
      ? outcomeUntruth(simulation, attempt, result)
      : reasonUntruth({ simulation, attempt, reason, rotationId: result.rotationId }));
  return objection === null ? null : `the run says ${reason ?? outcome}, but ${objection}`;
}

/** The four outcomes of the attempt's own reset, whoever else acts. */
function resetUntruth(
  { world }: Simulation,
  { process, number, isDisturbed }: Attempted,
  certainty: Certainty,
): string | null {
  if (certainty !== 'unchanged') return null;
  const isOfThis = (one: { process: string; attempt: number }): boolean =>
    one.process === process && one.attempt === number;
  if (world.resets.some((reset) => isOfThis(reset) && reset.fate !== 'dropped'))
    return 'its reset may have happened';
  // Restoring the password of a closed rotation changes nothing at Verizon; and somebody else may
  // have closed the rotation meanwhile.
  if (isDisturbed && newestRecord(world)?.open === undefined) return null;
  return world.promotions.some(
    (promotion) => isOfThis(promotion) && !closedPasswords(world).includes(promotion.password),
  )
    ? 'it made a new password current'
    : null;
}

/** What others have set at Verizon shows only at a login, for which there may be no reason. */
const isSetByOthers = ({ live }: World): boolean => !live.startsWith('§p');

const rotatedIn = (world: World): readonly ClosedRotation[] =>
  newestRecord(world)?.history?.filter(({ as }) => as === 'rotated') ?? [];
const closedPasswords = (world: World): (string | null)[] =>
  rotatedIn(world).map(({ versionId }) => passwordOf(world, versionId));

/** Exit code 0 of `settled`, `not-due`, and the status `settled`. */
function healthUntruth({ world }: Simulation, attempt: Attempted): string | null {
  const current = currentOf(world);
  // What a person did so short a time ago that a read is outdated, nobody can know.
  if (attempt.isDisturbed || attempt.isBlind || current.password === world.live) return null;
  const isReplaced = rotatedIn(world).some(
    ({ replaced }) => passwordOf(world, replaced) === current.password,
  );
  if (isReplaced && !closedPasswords(world).includes(current.password))
    return 'AWSCURRENT holds a password that a closed rotation replaced';
  const { open } = newestRecord(world) ?? {};
  return open && !isSetByOthers(world)
    ? `rotation ${shortId(open.rotationId)} is open, and AWSCURRENT is invalid`
    : null;
}

function outcomeUntruth(
  simulation: Simulation,
  attempt: Attempted,
  { outcome, versionId }: Extract<Statement, { of: 'result' }>['result'],
): string | null {
  const { world } = simulation;
  const current = currentOf(world);
  const isProven = attempt.logins.some(
    ({ told, password }) => told === 'accepted' && password === current.password,
  );
  switch (outcome) {
    case 'rotated':
    case 'recovered':
      if (!attempt.isDisturbed && versionId !== current.id) return 'AWSCURRENT is elsewhere';
      if (versionId !== current.id || current.password === world.live) return null;
      // A token of Secrets Manager that is AWSCURRENT already needs no login.
      if (attempt.request?.native) return healthUntruth(simulation, attempt);
      if (attempt.logins.length === 0 && isSetByOthers(world)) return null;
      return attempt.isDisturbed || isProven ? null : 'AWSCURRENT does not log in';
    case 'checked':
      return attempt.isDisturbed || isProven || newestRecord(world)?.open?.verified
        ? null
        : 'no login with AWSCURRENT was accepted';
    case 'not-due':
      if (attempt.isDisturbed || attempt.isBlind) return null;
      if (current.password === world.live && currentAgeMs(world) >= 60 * dayMs)
        return 'the password is older than 60 days';
      return isProven ? null : healthUntruth(simulation, attempt);
    case 'settled':
      // A person's own word is believed.
      return attempt.request?.purpose === 'resume' || isProven
        ? null
        : healthUntruth(simulation, attempt);
    default:
      return null;
  }
}

function reasonUntruth({ simulation, attempt, reason, rotationId }: Said): string | null {
  const { world, config } = simulation;
  if (attempt.isDisturbed || reason === undefined) return null;
  const record = newestRecord(world);
  const open = record?.open;
  const current = currentOf(world);
  const id = rotationId ?? open?.rotationId ?? '';
  const fate = world.resets.findLast((one) => one.rotationId === id)?.fate;
  const isRefused = (password: string | null): boolean =>
    attempt.logins.some((one) => one.told === 'refused' && one.password === password);
  switch (reason) {
    case 'login-refused':
    case 'verify-refused':
    case 'store-conflict':
    case 'password-lost': {
      // A stored value that is not the one before the reset decides too (docs/ROTATION.md, rule 2),
      // and the version before the reset may still be valid.
      if (
        reason === 'password-lost' &&
        open?.basis === current.id &&
        keptCopy(world, config.receipts)
      )
        return 'the valid password is at hand';
      const isRecorded = record?.phase === 'stopped' && record.reason === reason;
      return isRecorded || attempt.logins.some(({ told }) => told === 'refused')
        ? null
        : 'no login was refused';
    }
    case 'login-budget-spent':
      return (record?.loginsSpent ?? 0) >= 3 ? null : 'the limit is not reached';
    case 'store-older-than-audit': {
      const last = lastRotation(world);
      const isThere = versionOf(world, last?.versionId) !== undefined;
      return last && isThere && !isOlderThanAudit(world)
        ? `the store has rotation ${shortId(last.rotationId)}`
        : null;
    }
    case 'answer-lost':
    case 'settling':
    case 'in-flight':
      // A record that was read before an answer was missing is all that is known; one of an older
      // copy is waited for, as if it were an outdated read.
      if (attempt.isBlind || isOlderThanAudit(world)) return null;
      if (fate === undefined && record?.phase !== 'resetting' && !open)
        return `no reset of ${shortId(id)} may have happened`;
      return reason !== 'in-flight' && passwordOf(world, id) !== null
        ? 'the new password is in the store'
        : null;
    case 'not-stored':
    case 'not-promoted':
    case 'verify-unavailable':
      if (fate !== 'done') return `rotation ${shortId(id)} was not reset`;
      if (reason === 'verify-unavailable' && isRefused(current.password)) return 'it was refused';
      return null;
    case 'receipt-sealed':
      return world.receipts.has(id) ? null : 'there is no receipt';
    case 'answer-unreadable':
      return answersIn(world).length > 0 || world.receipts.has(id) ? null : 'nothing is kept';
    case 'old-password-restored':
      return current.password === world.live ? 'AWSCURRENT is valid' : null;
    case 'foreign-pending':
      return attempt.isBlind || labelled(world, 'AWSPENDING') ? null : 'nothing is pending';
    default:
      return null;
  }
}

/** Whether the program itself could find the valid password, and no login with it was refused. */
function keptCopy(world: World, receipts: string): boolean {
  if (world.refused.has(world.live)) return false;
  const open = newestRecord(world)?.open;
  const own = [open?.rotationId, ...rotatedIn(world).map(({ versionId }) => versionId)];
  const isStored = own.some((id) => passwordOf(world, id) === world.live);
  const body = `{${world.live}}`;
  const isReadable = receipts === 'readable' && world.receipts.get(open?.rotationId ?? '') === body;
  return isStored || (isReadable && passwordsIn(world).length > 0);
}

/** Whether the store is a copy from before the last rotation or suspension in the audit log. */
export function isOlderThanAudit(world: World): boolean {
  const last = lastRotation(world);
  const { attemptRecord = 0 } = lastSuspension(world) ?? {};
  const isMissing = attemptRecord > (newestRecord(world)?.sequence ?? 0);
  return isMissing || (last !== null && !namesRotation(world, last.rotationId));
}

/** Whether a record still names this rotation. */
export function namesRotation(world: World, rotationId: string): boolean {
  for (let sequence = newestRecord(world)?.sequence ?? 0; sequence > 0; sequence -= 1) {
    const record = recordAt(world, sequence);
    if (!record) return false;
    const names = [record.open, ...(record.history ?? [])].map((one) => one?.rotationId);
    if (names.includes(rotationId)) return true;
  }
  return false;
}

/** `setSecret` and `finishSecret` succeed when the version of their token is current and valid. */
function stepUntruth(
  simulation: Simulation,
  { step, token, attempt }: Extract<Statement, { of: 'step' }>,
): string | null {
  const isExcused = attempt.isDisturbed || attempt.isBlind;
  if (isExcused || step === 'createSecret' || step === 'testSecret') return null;
  if (currentOf(simulation.world).id !== token)
    return `${step} succeeded, and AWSCURRENT is not on its version`;
  // A closing that cannot be written follows at the next run, without a login.
  const open = newestRecord(simulation.world)?.open;
  if (step === 'finishSecret' && open && !open.verified)
    return 'finishSecret succeeded, and the rotation is open';
  const objection = healthUntruth(simulation, attempt);
  return objection === null ? null : `${step} succeeded, and ${objection}`;
}
