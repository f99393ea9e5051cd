// Promise 4: no reset is sent unless the reset before it is proven: answered, refused, or over
// before a login was accepted, which then shows that it did not happen. And the secret has room for
// the new password, unless somebody fills it at the same moment, or the list was outdated (rule 3).

import type { Simulation } from '../../harness/world-run.ts';

export function provenBeforeReset({ world, processes }: Simulation): string | null {
  const newest = world.resets.at(-1);
  if (!newest) return null;
  const sender = processes.find(({ name }) => name === newest.process);
  const { number, isDisturbed = true, isBlind } = sender?.attempt ?? {};
  if (number === newest.attempt && !isDisturbed && !isBlind && newest.room < 1)
    return `a reset was sent while the secret had no room`;
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
