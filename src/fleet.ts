// Many accounts: bounded concurrency, and two users of one ThingSpace account never in the same run. One
// slow or broken account never holds up the others.

import pLimit from 'p-limit';
import type { Result } from './rotation/state.ts';

export type Fleet<Account extends { name: string }> = {
  readonly accounts: readonly Account[];
  readonly concurrency: number;
  /** Ends the attempts that have not sent a reset; the others finish. */
  readonly interrupt: AbortSignal;
  /** One attempt on one account. What it throws is a bug; it ends the run after the others have finished. */
  readonly attempt: (account: Account) => Promise<Result>;
  /** Called as each account finishes, in that order. */
  readonly onResult: (result: Result) => void;
};

/** One attempt per account; the results in the order of the accounts. */
export async function runFleet<Account extends { name: string }>(fleet: Fleet<Account>): Promise<Result[]> {
  const limit = pLimit(fleet.concurrency);
  const settled = await Promise.allSettled(
    fleet.accounts.map((account) =>
      limit(async () => {
        const result = await fleet.attempt(account);
        fleet.onResult(result);
        return result;
      }),
    ),
  );
  const bug = settled.find((one) => one.status === 'rejected');
  if (bug) throw bug.reason;
  return settled.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
}
