// Promise 7: when faults stop, every account reaches in a bounded number of runs either settled, with an AWSCURRENT that
// logs in, or stopped with its reason.

import type { Result } from '../../../src/rotation/state.ts';
import { currentOf, newestRecord } from '../../harness/world.ts';
import type { Simulation } from '../../harness/world-run.ts';

/** Why the account is not at rest yet; null when it is. `result` is what the last run without faults said. */
export function unsettled({ world }: Simulation, result: Result | undefined): string | null {
  const record = newestRecord(world);
  const current = currentOf(world);
  const isOpen = record !== null && record.basis === current.id;
  if (isOpen && record.phase === 'stopped')
    return result?.reason === record.reason
      ? null
      : `stopped for ${record.reason}, while the run says ${result?.reason ?? result?.outcome}`;
  if (isOpen && (record.phase !== 'released' || record.doubtful))
    return `the record of ${record.phase} is still open`;
  if (current.value.password !== world.live)
    return 'AWSCURRENT does not log in, and nothing says so';
  return result?.reason === undefined ? null : `the run says ${result.reason}`;
}
