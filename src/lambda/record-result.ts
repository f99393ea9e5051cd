// What the metrics of a function need to know about the account of a result. Apart from runtime.ts,
// which opens everything: the simulation runs the steps without it.

import type { Account } from '../app.ts';
import { isExemptAt } from '../rotation/policy.ts';
import type { Result } from '../rotation/state.ts';
import type { Judged } from '../telemetry/emf.ts';
import type { Invocation } from './runtime.ts';

/** The policy of an account, and whether it is exempt now. */
export function judgedBy(
  { config, clock }: Invocation,
  accounts: readonly Account[],
  name: string,
): Judged {
  const account = accounts.find((one) => one.name === name);
  const isExempt = account !== undefined && isExemptAt(account, clock.nowMs());
  return { policy: account?.policy ?? config.policy, isExempt };
}

/** Records a result in the metrics; for `onResult` of a run. */
export const recordResultOf =
  (invocation: Invocation, accounts: readonly Account[]) =>
  (result: Result): void =>
    invocation.metrics.recordResult(result, judgedBy(invocation, accounts, result.account));
