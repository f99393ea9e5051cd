// The work queue of a run that has more due accounts than one function rotates. Loaded only where a
// queue is configured.

import { SendMessageBatchCommand, SQSClient } from '@aws-sdk/client-sqs';
import type { Clock } from '../rotation/ports.ts';
import { clientSettings, createAwsCall, serviceWith } from './call.ts';

/** The most messages in one request. */
const batchSize = 10;

/** A message about one account. */
export type QueueMessage = { readonly account: string; readonly body: string };

export type WorkQueue = {
  /**
   * Sends all messages. Returns the accounts whose message was not accepted. Throws
   * `store-unavailable`.
   */
  send(messages: readonly QueueMessage[], runId: string): Promise<readonly string[]>;
};

const service = serviceWith('store-unavailable', { name: 'SQS', prefix: 'sqs' });

export function openWorkQueue(
  queueUrl: string,
  { requestTimeoutMs, clock }: { readonly requestTimeoutMs: number; readonly clock: Clock },
): WorkQueue {
  // A message that is sent twice has one MessageDeduplicationId, and arrives once.
  const client = new SQSClient(clientSettings(requestTimeoutMs));
  const call = createAwsCall(service, { requestTimeoutMs, maxAttempts: 3, clock });
  return {
    async send(messages, runId) {
      const rejected: string[] = [];
      for (let start = 0; start < messages.length; start += batchSize) {
        const batch = messages.slice(start, start + batchSize);
        const Entries = batch.map(({ account, body }, index) => ({
          Id: String(index),
          MessageBody: body,
          // The messages of one account are delivered one after the other.
          MessageGroupId: idOf(account),
          MessageDeduplicationId: idOf(`${runId}.${start + index}`),
        }));
        const { Failed = [] } = await call({
          action: 'SendMessageBatch',
          subject: `queue ${queueUrl}`,
          resource: queueUrl,
          send: (options) =>
            client.send(new SendMessageBatchCommand({ QueueUrl: queueUrl, Entries }), options),
        });
        for (const { Id } of Failed) rejected.push(batch[Number(Id)]?.account ?? '');
      }
      return rejected;
    },
  };
}

/** SQS accepts 128 letters, digits and punctuation marks, which the name of an account has. */
const idOf = (text: string): string =>
  text.replace(/[^A-Za-z0-9!"#$%&'()*+,\-./:;<=>?@[\\\]^_`{|}~]/g, '_').slice(0, 128);
