// The production machine, which counts what it does. scripts/sim.mjs bundles it instead of
// src/rotation/machine.ts.

import { advance as production } from '../../src/rotation/machine.ts';
import type { Outcome, State } from '../../src/rotation/state.ts';
import { reachedEnd, reachedOutcome } from './reached.ts';

export { begin, effectOf } from '../../src/rotation/machine.ts';

export function advance(state: State, outcome: Outcome): State {
  reachedOutcome(state, outcome);
  const next = production(state, outcome);
  if (next.at === 'finished') reachedEnd(next.result);
  return next;
}
