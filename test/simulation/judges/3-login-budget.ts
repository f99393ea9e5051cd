// Promise 3: consecutive failed logins caused by us never exceed 3, over all processes and
// restarts.

import type { Simulation } from '../../harness/world-run.ts';

export function loginBudget({ world }: Simulation): string | null {
  return world.strikes > 3 ? `${world.strikes} failed logins in a row` : null;
}
