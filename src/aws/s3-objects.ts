// An S3 bucket as a store of immutable objects (audit/object-segments.ts). Object Lock is a setting
// of the bucket (infra/foundation.yaml): its default retention locks every object that is put.

import {
  GetObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
} from '@aws-sdk/client-s3';
import type { ObjectStore } from '../audit/object-segments.ts';
import type { Clock } from '../rotation/ports.ts';
import { clientSettings, createAwsCall, serviceWith } from './call.ts';

const service = serviceWith('audit-unavailable', { name: 'S3', prefix: 's3' });

export type S3Options = {
  readonly bucket: string;
  /** Precedes every name. */
  readonly prefix: string;
  readonly region?: string | undefined;
  readonly requestTimeoutMs: number;
  readonly clock: Clock;
  /** What the objects are, for messages: `audit log`. */
  readonly subject: string;
};

/** Contacts nothing yet. */
export function openS3Objects({
  bucket,
  prefix,
  region,
  requestTimeoutMs,
  clock,
  subject,
}: S3Options): ObjectStore {
  const client = new S3Client({
    ...clientSettings(requestTimeoutMs, region),
    // S3 compares what arrives with this checksum. Object Lock requires one.
    requestChecksumCalculation: 'WHEN_SUPPORTED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    followRegionRedirects: false,
  });
  const place = `s3://${bucket}/${prefix}`;
  const call = createAwsCall(service, { requestTimeoutMs, maxAttempts: 3, clock });
  const about = { subject: `${subject} ${place}`, resource: place };

  return {
    place,
    async put(name, bytes) {
      const input = {
        Bucket: bucket,
        Key: `${prefix}${name}`,
        Body: bytes,
        IfNoneMatch: '*',
        ChecksumAlgorithm: 'SHA256' as const,
      };
      const answer = await call({
        ...about,
        action: 'PutObject',
        send: (options) => client.send(new PutObjectCommand(input), options),
        expected: ['exists'],
      });
      return answer === 'exists' ? 'taken' : 'written';
    },
    async get(name) {
      const input = { Bucket: bucket, Key: `${prefix}${name}` };
      const answer = await call({
        ...about,
        action: 'GetObject',
        send: async (options) =>
          (await client.send(new GetObjectCommand(input), options)).Body?.transformToByteArray(),
        expected: ['missing'],
      });
      return answer === 'missing' || answer === undefined ? null : Buffer.from(answer);
    },
    async list(wanted, limit) {
      const names: string[] = [];
      for (let token: string | undefined; ; ) {
        const input = {
          Bucket: bucket,
          Prefix: `${prefix}${wanted}`,
          ContinuationToken: token,
          MaxKeys: limit,
        };
        const page = await call({
          ...about,
          action: 'ListObjectsV2',
          send: (options) => client.send(new ListObjectsV2Command(input), options),
        });
        for (const { Key } of page.Contents ?? []) if (Key) names.push(Key.slice(prefix.length));
        token = page.NextContinuationToken;
        if (!token || (limit !== undefined && names.length >= limit)) return names.slice(0, limit);
      }
    },
    close: () => client.destroy(),
  };
}
