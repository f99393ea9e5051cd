// Promise 2: AWSCURRENT is never moved to a value that did not come from a reset answer; and only from the version that
// the rotation began with, so that it never goes back to a password that is dead.

import type { World } from '../../harness/world.ts';
import type { Simulation } from '../../harness/world-run.ts';

export function onlyResetAnswers({ world }: Simulation): string | null {
  const promotion = world.promotions.at(-1);
  if (!promotion || promotion.order !== world.order) return null;
  const { to, was } = promotion;
  const password = world.versions.get(to)?.value?.password;
  if (!world.answers.some((answer) => answer.rotationId === to && answer.password === password))
    return `AWSCURRENT was moved to ${to}, whose value no reset answer gave`;
  if (password !== world.answers.at(-1)?.password)
    return `AWSCURRENT was moved to ${to}, although a newer reset has been answered`;
  return was === basisOf(world, to)
    ? null
    : `AWSCURRENT was moved to ${to} from ${was}, which somebody else had made current`;
}

function basisOf({ versions }: World, rotationId: string): string | undefined {
  for (const { record } of versions.values())
    if (record?.phase === 'resetting' && record.rotationId === rotationId) return record.basis;
  return undefined;
}
