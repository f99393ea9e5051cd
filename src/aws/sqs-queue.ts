// The work queue of a run that has more due accounts than one function rotates. Loaded only where a
// queue is configured.

import { SendMessageBatchCommand, SQSClient } from '@aws-sdk/client-sqs';
import { formatWork, type Work } from '../lambda/messages.ts';
import type { Clock } from '../rotation/ports.ts';
import { type AwsService, createAwsCall } from './call.ts';

/** The most messages in one request. */
const batchSize = 10;

export type WorkQueue = {
  /**
   * Sends one message for each item. Returns the accounts whose message was not accepted. Throws
   * `store-unavailable`.
   */
  send(work: readonly Work[], runId: string): Promise<readonly string[]>;
};

const service: AwsService = {
  name: 'SQS',
  prefix: 'sqs',
  denied: 'store-unavailable',
  missing: 'store-unavailable',
  deletion: 'store-unavailable',
  unavailable: 'store-unavailable',
};

export function openWorkQueue(
  queueUrl: string,
  { requestTimeoutMs, clock }: { readonly requestTimeoutMs: number; readonly clock: Clock },
): WorkQueue {
  const client = new SQSClient({
    // The retries are those of call.ts. A message that is sent twice has one
    // MessageDeduplicationId, and arrives once.
    maxAttempts: 1,
    requestHandler: {
      connectionTimeout: Math.min(3000, requestTimeoutMs),
      socketTimeout: requestTimeoutMs,
      requestTimeout: requestTimeoutMs,
    },
  });
  const call = createAwsCall(service, { requestTimeoutMs, maxAttempts: 3, clock });
  return {
    async send(work, runId) {
      const rejected: string[] = [];
      for (let start = 0; start < work.length; start += batchSize) {
        const batch = work.slice(start, start + batchSize);
        const Entries = batch.map((one, index) => ({
          Id: String(index),
          MessageBody: formatWork(one),
          // The messages of one account are delivered one after the other.
          MessageGroupId: idOf(one.account),
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
