// One account per SQS message. What may be better later is reported as failed and comes back; what needs a person is done with;
// what is no work of ours comes back three times and then lies in the dead-letter queue. Never throws for one message's sake.

import type { Account } from '../app.ts';
import { failures } from '../rotation/failure.ts';
import type { Result } from '../rotation/state.ts';
import { run } from '../scheduler/run.ts';
import { parseWork, type Work } from './messages.ts';
import type { Invocation } from './runtime.ts';

export type SqsEvent = {
  readonly Records: readonly { readonly messageId: string; readonly body: string }[];
};
export type BatchAnswer = {
  readonly batchItemFailures: readonly { readonly itemIdentifier: string }[];
};

export async function runWorker(event: unknown, invocation: Invocation): Promise<BatchAnswer> {
  const { Records } = event as SqsEvent;
  if (!Array.isArray(Records))
    throw new Error('the event has no Records; worker takes SQS messages only');
  const failed: string[] = [];
  for (const { messageId, body } of Records)
    if (!(await isDone(body, invocation))) failed.push(messageId);
  return { batchItemFailures: failed.map((itemIdentifier) => ({ itemIdentifier })) };
}

async function isDone(body: string, invocation: Invocation): Promise<boolean> {
  const { rotator, log, metrics } = invocation;
  const work = parseWork(body);
  const account = work && accountOf(work, invocation);
  if (!work || !account) {
    log.error('work.poisoned', {
      detail: work
        ? `there is no account ${work.account}`
        : 'the message is no work of this release',
    });
    return false;
  }
  if (work.force && (await isDoneAlready(work, account, invocation))) {
    log.info('work.repeated', { account: account.name });
    return true;
  }
  const { results } = await run(rotator, {
    accounts: [account],
    ask: { purpose: 'rotate', force: work.force, trigger: work.trigger },
    interrupt: invocation.interrupt,
    onResult: (result) => metrics.recordResult(result),
  });
  metrics.recordAccount(await rotator.status(account));
  return results.every((result) => !comesBack(result));
}

/** Configured under this name; or, where accounts are discovered, whatever secret the sender names: IAM says which ones there are. */
function accountOf({ account: name, secretId }: Work, { config }: Invocation): Account | undefined {
  const configured = config.accounts.find((account) => account.name === name);
  return configured ?? (config.discover ? { name, secretId, enabled: true } : undefined);
}

/** SQS may deliver a message twice; without `force` the secret's own dates say so, with it only this. */
async function isDoneAlready(
  { requestedAtMs }: Work,
  account: Account,
  { rotator }: Invocation,
): Promise<boolean> {
  const { passwordSinceMs, state } = await rotator.status(account);
  return state === 'settled' && passwordSinceMs !== undefined && passwordSinceMs > requestedAtMs;
}

/**
 * Whether another delivery, some minutes later, may help. A failure that has spent a login waits for the next day's run instead:
 * three deliveries must not spend the budget of an account whose API has an hour's trouble.
 */
export function comesBack({ reason, logins }: Result): boolean {
  if (reason === undefined) return false;
  const { disposition, certainty } = failures[reason];
  if (disposition === 'person') return false;
  // Told to end after a login that was accepted: nothing is spent.
  if (reason === 'interrupted') return true;
  return (
    certainty === 'in-doubt' || reason === 'not-promoted' || reason === 'not-stored' || logins === 0
  );
}
