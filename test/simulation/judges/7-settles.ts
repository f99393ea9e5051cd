// Promise 7: when faults stop, every account reaches one of two ends in a bounded number of runs: a
// closed rotation with an AWSCURRENT that logs in, or a reason that says what a person has to do.

import type { Result } from '../../../src/rotation/state.ts';
import { currentOf, newestRecord } from '../../harness/world.ts';
import type { Simulation } from '../../harness/world-run.ts';

/** Reasons that wait for a person without a suspension. */
export const waitsForPerson: readonly (string | undefined)[] = [
  'receipt-sealed',
  'answer-unreadable',
  'foreign-pending',
  'store-older-than-audit',
];

/**
 * Why the account is still unfinished; null when it is not. `result` is what the last run without
 * faults returned.
 */
export function unsettled({ world }: Simulation, result: Result | undefined): string | null {
  const record = newestRecord(world);
  const said = result?.reason ?? result?.outcome;
  if (record?.phase === 'stopped' && said === record.reason) return null;
  if (waitsForPerson.includes(said)) return null;
  if (record?.open) return `rotation ${record.open.rotationId} is open, while the run says ${said}`;
  if (record?.phase === 'stopped')
    return `suspended for ${record.reason}, while the run says ${said}`;
  if (currentOf(world).password !== world.live)
    return 'AWSCURRENT does not log in, and nothing says so';
  return result?.reason === undefined ? null : `the run says ${result.reason}`;
}
