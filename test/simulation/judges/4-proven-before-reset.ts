// Promise 4: no reset is sent unless the reset before it is proven: answered, refused, or over
// before a login was accepted, which then shows that it did not happen.

import type { Simulation } from '../../harness/world-run.ts';

export function provenBeforeReset({ world }: Simulation): string | null {
  const newest = world.resets.at(-1);
  if (!newest) return null;
  const unproven = world.resets.find(
    (earlier) =>
      earlier !== newest &&
      earlier.response === 'nothing' &&
      earlier.endedOrder >= newest.loginOrder,
  );
  return unproven
    ? `a reset for ${newest.rotationId} was sent while that for ${unproven.rotationId} was not ` +
        `proven`
    : null;
}
