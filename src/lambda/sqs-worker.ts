// One account per SQS message. A failure that a later delivery can correct is reported, so that SQS
// delivers the message again; a failure that needs a person is not. A message that is not ours is
// delivered three times and then moves to the dead-letter queue. Never throws because of one
// message.

// Not `{ z }`: esbuild keeps all of zod then.
import * as z from 'zod';
import type { Account } from '../app.ts';
import { UsageError } from '../config/errors.ts';
import { keyDigestOf } from '../order.ts';
import { failures } from '../rotation/failure.ts';
import type { Result } from '../rotation/state.ts';
import { run } from '../scheduler/run.ts';
import { parseWork, type Work } from './messages.ts';
import { recordResultOf } from './record-result.ts';
import type { Invocation } from './runtime.ts';

const sqsEvent = z.object({
  Records: z.array(z.object({ messageId: z.string(), body: z.string() })),
});

export type BatchResponse = {
  readonly batchItemFailures: readonly { readonly itemIdentifier: string }[];
};

export async function runWorker(event: unknown, invocation: Invocation): Promise<BatchResponse> {
  const parsed = sqsEvent.safeParse(event);
  if (!parsed.success) throw new UsageError('worker takes an event with SQS Records.');
  const failed: string[] = [];
  for (const { messageId, body } of parsed.data.Records)
    if (!(await processMessage(body, invocation))) failed.push(messageId);
  return { batchItemFailures: failed.map((itemIdentifier) => ({ itemIdentifier })) };
}

/** Whether the message is finished with. */
async function processMessage(body: string, invocation: Invocation): Promise<boolean> {
  const { rotator, log } = invocation;
  let work: Work;
  let account: Account;
  try {
    work = parseWork(body);
    account = accountOf(work, invocation);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    log.error('work.poisoned', { detail: error.message });
    return false;
  }
  const { force, trigger, idempotencyKey } = work;
  const keyDigest = idempotencyKey && keyDigestOf(idempotencyKey);
  const { results } = await run(rotator, {
    accounts: [account],
    ask: { purpose: 'rotate', force, keyDigest, trigger },
    interrupt: invocation.interrupt,
    onResult: recordResultOf(invocation, [account]),
  });
  return results.every((result) => !needsRedelivery(result));
}

/**
 * The configured account; where accounts are discovered, any secret that the sender names, since
 * IAM limits which secrets can be read. Throws a UsageError.
 */
function accountOf({ account: name, secretId }: Work, { config }: Invocation): Account {
  const configured = config.accounts.find((account) => account.name === name);
  if (configured) return configured;
  if (config.discover) return { name, secretId, enabled: true };
  throw new UsageError(`There is no account ${name}.`);
}

/**
 * Whether another delivery, some minutes later, can succeed. A failure that used a login waits for
 * the next daily run: three deliveries must not use up the login limit while the API has an outage
 * of an hour.
 */
export function needsRedelivery({ reason, logins }: Result): boolean {
  if (reason === undefined) return false;
  const { disposition, certainty } = failures[reason];
  if (disposition === 'person') return false;
  // Interrupted after an accepted login: no login was counted.
  if (reason === 'interrupted') return true;
  return (
    certainty === 'in-doubt' || reason === 'not-promoted' || reason === 'not-stored' || logins === 0
  );
}
