// The work queue, where a run has more due than one function rotates by itself. Loaded only where a queue is configured.

import { SendMessageBatchCommand, SQSClient } from '@aws-sdk/client-sqs';
import { formatWork, type Work } from '../lambda/messages.ts';
import { Failure } from '../rotation/failure.ts';

/** SQS takes ten at a time. */
const batchSize = 10;

export type WorkQueue = {
  /** Sends one message per piece of work; the accounts whose message was not taken. Throws `store-unavailable` where none can be sent. */
  send(work: readonly Work[], runId: string): Promise<readonly string[]>;
};

export function openWorkQueue(queueUrl: string, requestTimeoutMs: number): WorkQueue {
  const client = new SQSClient({
    // A message that is sent twice has the same MessageDeduplicationId, and is one.
    maxAttempts: 3,
    requestHandler: {
      connectionTimeout: Math.min(3000, requestTimeoutMs),
      socketTimeout: requestTimeoutMs,
      requestTimeout: requestTimeoutMs,
    },
  });
  return {
    async send(work, runId) {
      const untaken: string[] = [];
      for (let start = 0; start < work.length; start += batchSize) {
        const batch = work.slice(start, start + batchSize);
        const Entries = batch.map((one, index) => ({
          Id: String(index),
          MessageBody: formatWork(one),
          // One account's messages come one after the other, never side by side.
          MessageGroupId: idOf(one.account),
          MessageDeduplicationId: idOf(`${runId}.${start + index}`),
        }));
        try {
          const { Failed = [] } = await client.send(
            new SendMessageBatchCommand({ QueueUrl: queueUrl, Entries }),
          );
          for (const { Id } of Failed) untaken.push(batch[Number(Id)]?.account ?? '');
        } catch (error) {
          const name =
            error instanceof Error && /^[A-Za-z.]{1,80}$/.test(error.name)
              ? error.name
              : 'an unexpected error';
          throw new Failure(
            'store-unavailable',
            `the work queue did not take sqs:SendMessage (${name})`,
          );
        }
      }
      return untaken;
    },
  };
}

/** SQS allows 128 letters, digits and punctuation, which an account's name keeps to. */
const idOf = (text: string): string =>
  text.replace(/[^A-Za-z0-9!"#$%&'()*+,\-./:;<=>?@[\\\]^_`{|}~]/g, '_').slice(0, 128);
