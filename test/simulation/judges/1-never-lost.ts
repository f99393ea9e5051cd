// Promise 1: a password that this program has received ends in the store, or in a receipt, or its
// holder died before the receipt was written and the account says that it is in doubt.

import { newestRecord, openIntents, type World } from '../../harness/world.ts';
import type { Simulation } from '../../harness/world-run.ts';

export function neverLost({ world, processes, config }: Simulation): string | null {
  const answer = world.answers.findLast(({ password }) => password === world.live);
  if (!answer || isKept(world, answer.password)) return null;
  const holder = processes.find(({ name }) => name === answer.process);
  if (holder?.alive && holder.holder !== null) return null;

  const { rotationId } = answer;
  if (!answer.holderDied)
    return `the attempt that received the password of ${rotationId} ended without saving it`;
  if (answer.receipt === 'written')
    return `the receipt and the store have both forgotten the password of ${rotationId}`;
  if (config.receipts !== 'off' && answer.receipt === 'none')
    return `something came between the answer of ${rotationId} and its receipt`;
  return isSaid(world, rotationId)
    ? null
    : `the password of ${rotationId} is lost, and nothing says so`;
}

/** Under a label of the store, sealed, or replaced by a person after it was current. */
function isKept({ labels, versions, receipts, promotions }: World, password: string): boolean {
  if (promotions.some(({ to }) => versions.get(to)?.value?.password === password)) return true;
  for (const label of ['AWSCURRENT', 'AWSPENDING', 'AWSPREVIOUS'] as const)
    if (versions.get(labels.get(label) ?? '')?.value?.password === password) return true;
  const answers = [...versions.values()].map(({ answer = '' }) => answer);
  return [...receipts.values(), ...answers].some((body) => body.includes(password));
}

function isSaid(world: World, rotationId: string): boolean {
  const record = newestRecord(world);
  if (record?.open?.rotationId === rotationId) return true;
  // Once AWSCURRENT was set by hand the record speaks of something else; the intent without an
  // outcome still says it.
  if (openIntents(world, '').some((intent) => intent.rotationId === rotationId)) return true;
  return world.audit.some(
    (event) =>
      event.rotationId === rotationId &&
      (event.certainty === 'in-doubt' || event.certainty === 'lost'),
  );
}
