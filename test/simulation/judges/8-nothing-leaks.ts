// Promise 8: no password, session token, API token or client secret appears in any log, audit
// record, metric, error or report. Every secret value of a world carries the mark §.

import type { Simulation } from '../../harness/world-run.ts';

export function nothingLeaks({ said }: Simulation): string | null {
  for (const one of said.splice(0)) {
    const text = JSON.stringify(one);
    if (text.includes('§')) return `a secret was said: ${text}`;
  }
  return null;
}
