// Promise 1: a password that this program has received is in the store or in a receipt at the end.
// Otherwise its owner was killed before the receipt was written, and the account says in-doubt. And
// nothing delays the store: not the receipt either (rule 4).

import {
  answersIn,
  newestRecord,
  openIntents,
  passwordsIn,
  shortId,
  type World,
} from '../../harness/world.ts';
import type { Simulation } from '../../harness/world-run.ts';

/** A process that runs asks the store at once; in virtual time, after two seconds for a receipt. */
const offeredWithinMs = 5_000;

export function neverLost({ world, processes, config }: Simulation): string | null {
  const answer = world.answers.findLast(({ password }) => password === world.live);
  // What a restored backup has forgotten was saved.
  if (!answer || answer.isForgotten || isKept(world, answer.password)) return null;
  const receiver = processes.find(({ name }) => name === answer.process);
  const { rotationId } = answer;
  const name = shortId(rotationId);
  if (receiver?.alive && receiver.owner !== null) {
    const isLate = world.nowMs - answer.atMs > offeredWithinMs;
    const wasPaused = receiver.pausedUntilMs > answer.atMs;
    return isLate && !answer.isOffered && !wasPaused
      ? `the store was not asked to keep the password of ${name}`
      : null;
  }
  if (!answer.ownerDied)
    return `the attempt that received the password of ${name} ended without saving it`;
  if (answer.receipt === 'written')
    return `the receipt and the store have both forgotten the password of ${name}`;
  if (config.receipts !== 'off' && answer.receipt === 'none')
    return `something came between the answer of ${name} and its receipt`;
  return isSaid(world, rotationId) ? null : `the password of ${name} is lost, and nothing says so`;
}

/** In a version of the store, sealed, or replaced by a person after it was current. */
function isKept(world: World, password: string): boolean {
  if (world.promotions.some((promotion) => promotion.password === password)) return true;
  if (passwordsIn(world).includes(password)) return true;
  return [...world.receipts.values(), ...answersIn(world)].some((body) => body.includes(password));
}

function isSaid(world: World, rotationId: string): boolean {
  const record = newestRecord(world);
  if (record?.open?.rotationId === rotationId) return true;
  const closed = record?.history?.find((one) => one.rotationId === rotationId);
  if (closed?.as === 'abandoned') return true;
  // Once a person has moved AWSCURRENT, the record is about another version. The unfinished
  // rotation in the audit log still says it.
  if (openIntents(world).some((intent) => intent.rotationId === rotationId)) return true;
  return world.audit.some(
    (event) =>
      event.rotationId === rotationId &&
      (event.certainty === 'in-doubt' || event.certainty === 'lost'),
  );
}
