// Promise 6: no reset without a durable audit record before it; every one is followed by an outcome
// record, at the latest by recovery; every audit record is true when it is written, and none is
// missing at the end.

import {
  type Audited,
  isOutcome,
  lastSuspension,
  newestRecord,
  passwordOf,
  recordAt,
  recordIn,
  shortId,
  versionOf,
  type World,
} from '../../harness/world.ts';
import type { Simulation } from '../../harness/world-run.ts';
import { isOlderThanAudit } from './10-truthful.ts';

export function audited(simulation: Simulation): string | null {
  const { world } = simulation;
  for (const event of world.audit.slice(simulation.auditJudged)) {
    const wrong = falsehood(simulation, event);
    if (wrong !== null)
      return `the audit log says ${event.code} ${event.certainty ?? ''}, but ${wrong}`;
  }
  simulation.auditJudged = world.audit.length;
  const newest = world.resets.at(-1);
  const isIntended = world.audit.some(
    (event) => event.code === 'rotation.intended' && event.rotationId === newest?.rotationId,
  );
  return newest && !isIntended
    ? `the reset for ${shortId(newest.rotationId)} was sent without a durable intent`
    : null;
}

function falsehood(simulation: Simulation, event: Audited): string | null {
  const { world } = simulation;
  const { code, rotationId = '', versionAfter } = event;
  switch (code) {
    case 'secret.stored':
      // Somebody may have restored an older copy of the store.
      return versionOf(world, versionAfter) ||
        world.promotions.some(({ to }) => to === versionAfter)
        ? null
        : 'the store has no such version';
    case 'secret.promoted':
      return promotedFalsehood(world, event);
    case 'credential.verified':
      return acceptedFalsehood(world, versionAfter);
    case 'account.stopped': {
      const record = recordAt(world, event.attemptRecord ?? 0);
      const isWritten = record?.phase === 'stopped' && record.reason === event.reason;
      // Somebody may have restored an older copy of the store.
      return isWritten || isAnybodyElse(simulation) ? null : 'no record suspends the account';
    }
    case 'rotation.outcome':
    case 'rotation.reconciled':
      return outcomeFalsehood(simulation, event, rotationId);
    default:
      return null;
  }
}

const isAnybodyElse = ({ processes }: Simulation): boolean =>
  processes.some(({ alive, attempt }) => alive && attempt.isDisturbed);

function promotedFalsehood(world: World, { versionAfter, deadWindowMs }: Audited) {
  const promotion = world.promotions.find(({ to }) => to === versionAfter);
  if (!promotion) return 'AWSCURRENT was never moved to it';
  if (deadWindowMs === undefined) return null;
  const answer = world.answers.find(({ password }) => password === promotion.password);
  // The response of the move, and a pause before it is read, are part of the window.
  return answer && deadWindowMs >= promotion.atMs - answer.atMs
    ? null
    : `the window was ${promotion.atMs - (answer?.atMs ?? 0)} ms and not ${deadWindowMs}`;
}

function acceptedFalsehood(world: World, versionId: string | undefined): string | null {
  const password = passwordOf(world, versionId);
  return password === null || world.proven.has(password) ? null : 'no login with it was accepted';
}

function outcomeFalsehood(simulation: Simulation, event: Audited, rotationId: string) {
  const { world } = simulation;
  const reset = world.resets.findLast((one) => one.rotationId === rotationId);
  const name = shortId(rotationId);
  switch (event.certainty) {
    case 'unchanged': {
      // A token of Secrets Manager can be used again after its rotation was closed.
      const intent = world.audit.findLast(
        (one) => one.code === 'rotation.intended' && one.rotationId === rotationId,
      );
      const isBefore = (reset?.sentOrder ?? 0) < (intent?.order ?? 0);
      return reset && reset.fate !== 'dropped' && !isBefore ? `${name} may have been reset` : null;
    }
    case 'rotated':
      if (reset?.fate !== 'done') return `${name} was not reset`;
      return world.promotions.some(({ password }) => password === resetPassword(world, rotationId))
        ? null
        : `the password of ${name} never became current`;
    case 'changed':
      return reset?.fate === 'done' || reset?.fate === 'in-flight' || isPossible(event)
        ? null
        : `${name} was not reset`;
    case 'lost':
      return isStored(world, rotationId) && !isAnybodyElse(simulation)
        ? `the password of ${name} is in the store`
        : null;
    default:
      if (!reset && wasOnlyPlanned(world, rotationId)) return `${name} was never announced`;
      // In doubt: the reset was sent, or its record allowed it.
      return reset || newestRecord(world)?.open || isAnybodyElse(simulation) || isPossible(event)
        ? null
        : `no reset of ${name} was possible`;
  }
}

/**
 * Whether the attempt that planned it ended before the record that allows its reset. Another
 * process may use the same token of Secrets Manager.
 */
function wasOnlyPlanned(world: World, rotationId: string): boolean {
  if (rotationId.startsWith('native')) return false;
  const records = world.secret.versions.flatMap(({ value }) => recordIn(value) ?? []);
  const isPlanned = records.some((one) => one.phase === 'claimed' && one.planned === rotationId);
  const isNamed = records.some(
    ({ open, history = [] }) =>
      open?.rotationId === rotationId || history.some((one) => one.rotationId === rotationId),
  );
  return isPlanned && !isNamed;
}

/** An abandoned or superseded rotation, or one whose bytes were kept and not understood. */
const isPossible = ({ status, reason }: Audited): boolean =>
  status === 'unknown' && (reason === undefined || reason === 'answer-unreadable');

const resetPassword = ({ answers }: World, rotationId: string): string | undefined =>
  answers.findLast((answer) => answer.rotationId === rotationId)?.password ??
  `§p-${shortId(rotationId)}`;

const isStored = (world: World, rotationId: string): boolean =>
  world.answers.some(
    ({ password }) =>
      password === world.live &&
      password === passwordOf(world, rotationId) &&
      !world.refused.has(password),
  );

/** When no rotation is in progress, everything that happened has its record. */
export function auditedAtEnd({ world }: Simulation): string | null {
  const ends = world.audit.filter(isOutcome);
  // The store that knows the end was replaced by an older copy, and a person may restore it.
  const known = isOlderThanAudit(world) ? [] : world.resets;
  for (const { rotationId } of known)
    if (!ends.some((event) => event.rotationId === rotationId))
      return `the audit log has no outcome for ${shortId(rotationId)}`;
  const record = newestRecord(world);
  const isSaid = lastSuspension(world)?.attemptRecord === record?.sequence;
  return record?.phase === 'stopped' && !isSaid && !isOlderThanAudit(world)
    ? `the audit log does not say that the account is suspended for ${record.reason}`
    : null;
}
