// Promise 9: an account that is due and healthy is rotated within two runs.

import { currentAgeMs, currentOf, dayMs, newestRecord, type World } from '../../harness/world.ts';

/** Whether nothing but a rotation is missing. */
export const isDueAndHealthy = (world: World): boolean =>
  currentAgeMs(world) >= 60 * dayMs &&
  currentOf(world).password === world.live &&
  newestRecord(world)?.open === undefined &&
  newestRecord(world)?.phase !== 'stopped';

/** `before`: the world two runs ago, when it was due and healthy. */
export function rotated(before: World, after: World): string | null {
  return after.live === before.live
    ? 'the account was due and healthy, and two runs did not rotate it'
    : null;
}
