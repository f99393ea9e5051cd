// Promise 5: two instances never have a reset in flight for one account at the same time.

import type { Simulation } from '../../harness/world-run.ts';

export function oneInFlight({ world }: Simulation): string | null {
  const newest = world.resets.at(-1);
  if (newest?.fate !== 'in-flight') return null;
  const other = world.resets.find(
    ({ fate, process }) => fate === 'in-flight' && process !== newest.process,
  );
  return other
    ? `resets of ${other.process} and ${newest.process} were in flight at the same time`
    : null;
}
