// When an account is retried after a failure, before the next scheduled run. A retry must not spend
// a login that may count as failed: three of them suspend the account.

import { type FailureKind, failures } from '../rotation/failure.ts';
import { isGood } from '../rotation/result.ts';
import { type Result, settledAfterMs, type Timing } from '../rotation/state.ts';

const minuteMs = 60_000;
const hourMs = 60 * minuteMs;

/** Delays after each failure in a row; after the last one, the next scheduled run. */
const retryDelaysMs: Readonly<Record<FailureKind['disposition'], readonly number[]>> = {
  later: [15 * minuteMs, hourMs, 4 * hourMs],
  // The first delay is the settle time, which is added below.
  recover: [0, 5 * minuteMs, 15 * minuteMs, hourMs, 4 * hourMs],
  person: [],
};

/** Milliseconds until a retry; null: the next scheduled run. `inARow` includes this failure. */
export function retryDelayMs(result: Result, inARow: number, timing: Timing): number | null {
  const { reason, logins } = result;
  if (isGood(result) || reason === undefined || reason === 'interrupted') return null;
  const { disposition } = failures[reason];
  if (logins > 0 && (reason === 'login-unavailable' || reason === 'verify-unavailable'))
    return null;
  const delayMs = retryDelaysMs[disposition][inARow - 1];
  if (delayMs === undefined) return null;
  return disposition === 'recover' ? Math.max(delayMs, settledAfterMs(timing) + 1_000) : delayMs;
}
