// Promise 12: orders with one idempotency key reset the password once, however often they are
// delivered. That the password is old enough again is another reason.

import { dayMs } from '../../harness/world.ts';
import type { Simulation } from '../../harness/world-run.ts';
import { namesRotation } from './10-truthful.ts';

export function oneReset({ world }: Simulation): string | null {
  const newest = world.resets.at(-1);
  if (newest?.keyDigest === undefined) return null;
  // What a restored backup has forgotten, nobody can know.
  const earlier = world.resets.find(
    (one) =>
      one !== newest &&
      one.keyDigest === newest.keyDigest &&
      one.fate === 'done' &&
      newest.sentAtMs - one.sentAtMs < 60 * dayMs &&
      namesRotation(world, one.rotationId),
  );
  return earlier
    ? `the order that ${earlier.process} had carried out was carried out again by ${newest.process}`
    : null;
}
