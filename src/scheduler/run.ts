// One run over many accounts, from beginning to end: for `rotate`, `demo` and the Lambda functions.
// The service has runs too (dispatcher.ts), whose accounts are spread over time.

import type { Account, Ask, Rotator } from '../app.ts';
import type { Result } from '../rotation/state.ts';
import { hasChanged, openKeyedQueue, partnersOf, slowAttemptMs } from './keyed-queue.ts';
import { openRunLog, worstExitCode } from './run-log.ts';

export type RunOptions = {
  readonly accounts: readonly Account[];
  readonly ask: Ask;
  /** Ends the attempts that have not sent a reset; the others finish. */
  readonly interrupt: AbortSignal;
  /** Called as each account finishes. */
  readonly onResult?: (result: Result) => void;
};

export type RunResult = { readonly results: readonly Result[]; readonly exitCode: 0 | 1 | 3 | 4 };

/**
 * Makes one attempt per account; the results are in the order of the accounts. On return the run
 * and a checkpoint are in the audit log. A bug in one attempt rejects, after the other attempts
 * have finished.
 */
export async function run(
  rotator: Pick<Rotator, 'config' | 'clock' | 'attempt' | 'audit' | 'observe'>,
  { accounts, ask, interrupt, onResult = () => {} }: RunOptions,
): Promise<RunResult> {
  const { clock } = rotator;
  const { concurrency, pairs } = rotator.config;
  const log = openRunLog(rotator);
  const names = accounts.map(({ name }) => name);
  const logged = log.start(names, ask.trigger);
  await log.flush();
  const queue = openKeyedQueue({ concurrency, pairs, clock, slowAfterMs: slowAttemptMs });
  const changed = new Map<string, Result>();
  const attempt = async (account: Account): Promise<Result> => {
    const partner = partnersOf(account.name, pairs).find((name) => changed.has(name));
    const because = partner === undefined ? undefined : changed.get(partner);
    const result = because
      ? postponed(account, because)
      : await rotator.attempt(account, ask, interrupt);
    if (hasChanged(result)) changed.set(account.name, result);
    logged.finish(account.name, result);
    onResult(result);
    return result;
  };
  const settled = await Promise.allSettled(
    accounts.map((account) => queue.run(account.name, () => attempt(account))),
  );
  const bug = settled.find((one) => one.status === 'rejected');
  if (bug) throw bug.reason;
  const results = settled.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
  await log.flush();
  return { results, exitCode: worstExitCode(results) };
}

/** The result of an account whose pair was changed in the same run. */
function postponed({ name, secretId }: Account, because: Result): Result {
  return {
    account: name,
    secretId,
    outcome: 'not-due',
    certainty: 'not-due',
    detail:
      `postponed to the next run: this run changed ${because.account}, ` +
      'the other user of its ThingSpace account',
    logins: 0,
    startedAtMs: because.endedAtMs,
    endedAtMs: because.endedAtMs,
    next: '',
  };
}
