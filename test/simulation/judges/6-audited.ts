// Promise 6: no reset without a durable audit record before it; every one is followed by an outcome
// record, at the latest by recovery; and no outcome says what is not so.

import { isOutcome, type World } from '../../harness/world.ts';
import type { Simulation } from '../../harness/world-run.ts';

export function audited(simulation: Simulation): string | null {
  const { world } = simulation;
  // Only for the first such record, and only when no process is paused: a paused owner may continue
  // and save a password that was recorded as lost.
  const isPaused = simulation.processes.some(({ pausedUntilMs }) => pausedUntilMs > 0);
  for (const [index, { certainty, rotationId }] of world.audit.entries()) {
    if (index < simulation.auditJudged) continue;
    const isFirst =
      index ===
      world.audit.findIndex((one) => one.certainty === 'lost' && one.rotationId === rotationId);
    if (certainty === 'lost' && isFirst && !isPaused && isStored(world, rotationId))
      return `the audit log says lost of ${rotationId}, which is in the store`;
  }
  simulation.auditJudged = world.audit.length;
  const newest = world.resets.at(-1);
  if (!newest) return null;
  const { rotationId } = newest;
  if (
    !world.audit.some(
      (event) => event.code === 'rotation.intended' && event.rotationId === rotationId,
    )
  )
    return `the reset for ${rotationId} was sent without a durable intent`;
  for (const event of world.audit) {
    if (!isOutcome(event)) continue;
    const reset = world.resets.find((one) => one.rotationId === event.rotationId);
    if (event.certainty === 'unchanged' && reset?.fate === 'done')
      return `the audit log says unchanged of ${event.rotationId}, which was reset`;
    if (event.certainty === 'rotated' && reset?.fate !== 'done')
      return `the audit log says rotated of ${event.rotationId}, which was not reset`;
  }
  return null;
}

function isStored({ versions, answers }: World, rotationId: string | undefined): boolean {
  const version = versions.get(rotationId ?? '');
  return (
    version !== undefined && answers.some(({ password }) => password === version.value?.password)
  );
}

/** When no rotation is in progress, every intent whose reset was sent has its outcome. */
export function auditedAtEnd({ world }: Simulation): string | null {
  const open = world.resets.find(
    ({ rotationId }) =>
      !world.audit.some((event) => isOutcome(event) && event.rotationId === rotationId),
  );
  return open ? `the audit log has no outcome for ${open.rotationId}` : null;
}
