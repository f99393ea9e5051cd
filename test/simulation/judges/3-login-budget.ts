// Promise 3: consecutive failed logins caused by us never exceed 3, over all processes and
// restarts. Every record that counts them counts each login that may have failed, and no other one.

import type { AttemptRecord } from '../../../src/rotation/record.ts';
import type { Attempted, Simulation } from '../../harness/world-run.ts';

export function loginBudget({ world, records }: Simulation): string | null {
  // What a restored backup does not count, nobody can know.
  const strikes = world.strikes - world.forgottenStrikes;
  if (strikes > 3) return `${strikes} failed logins in a row`;
  for (const { attempt, record } of records.splice(0)) {
    const objection = miscounted(attempt, record);
    if (objection !== null) return objection;
  }
  return null;
}

/** A claim and an intent count the login that follows them as well. */
function miscounted(attempt: Attempted, { phase, sequence, loginsSpent }: AttemptRecord) {
  if (attempt.request?.purpose === 'resume' || attempt.isRestored) return null;
  // What it did before it built on the record of another attempt is behind that count.
  const since = attempt.logins.slice(attempt.loginsBelow);
  const sent = since.filter(({ told }) => told !== 'not-sent');
  const accepted = sent.findLastIndex(({ told }) => told === 'accepted');
  const below = accepted < 0 ? attempt.countedBelow : 0;
  const next = phase === 'claimed' || phase === 'resetting' ? 1 : 0;
  const expected = below + sent.length - accepted - 1 + next;
  return loginsSpent === expected
    ? null
    : `record ${sequence} (${phase}) counts ${loginsSpent} logins and not ${expected}`;
}
