// An S3 bucket as a store of immutable objects; with kms-signer.ts the only file here that knows the SDK. Object Lock is the
// bucket's own (infra/foundation.yaml): every object that is put is locked by its default retention.

import {
  GetObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
} from '@aws-sdk/client-s3';
import type { ObjectStore } from '../audit/object-segments.ts';
import type { Clock } from '../rotation/ports.ts';
import { type AwsCallOptions, createCaller } from './call.ts';

export type S3Options = {
  readonly bucket: string;
  /** Put before every name. */
  readonly prefix: string;
  readonly region?: string;
  readonly requestTimeoutMs: number;
  readonly clock: Clock;
};

/** Contacts nothing yet. */
export function openS3Objects({
  bucket,
  prefix,
  region,
  requestTimeoutMs,
  clock,
}: S3Options): ObjectStore {
  const client = new S3Client({
    ...(region === undefined ? {} : { region }),
    // The tries are ours (aws-call.ts).
    maxAttempts: 1,
    requestHandler: {
      connectionTimeout: Math.min(3000, requestTimeoutMs),
      socketTimeout: requestTimeoutMs,
      httpsAgent: { keepAlive: true },
    },
    // S3 checks what arrives against this, which is what Object Lock asks for.
    requestChecksumCalculation: 'WHEN_SUPPORTED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    followRegionRedirects: false,
  });
  const place = `s3://${bucket}/${prefix}`;
  const call = createCaller({ service: 's3', place, requestTimeoutMs, clock });
  const expected = {
    PreconditionFailed: 'taken',
    NoSuchKey: 'missing',
    NotFound: 'missing',
  } as const;

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
      const answer = await call(
        'PutObject',
        (options: AwsCallOptions) => client.send(new PutObjectCommand(input), options),
        expected,
      );
      return answer === 'taken' ? 'taken' : 'written';
    },
    async get(name) {
      const input = { Bucket: bucket, Key: `${prefix}${name}` };
      const answer = await call(
        'GetObject',
        async (options: AwsCallOptions) =>
          (await client.send(new GetObjectCommand(input), options)).Body?.transformToByteArray(),
        expected,
      );
      return answer === 'missing' || answer === 'taken' || answer === undefined
        ? null
        : Buffer.from(answer);
    },
    async list(wanted, limit) {
      const names: string[] = [];
      for (let token: string | undefined; ; ) {
        const input = {
          Bucket: bucket,
          Prefix: `${prefix}${wanted}`,
          ...(token ? { ContinuationToken: token } : {}),
          ...(limit ? { MaxKeys: limit } : {}),
        };
        const page = await call(
          'ListObjectsV2',
          (options: AwsCallOptions) => client.send(new ListObjectsV2Command(input), options),
          {},
        );
        for (const { Key } of page.Contents ?? []) if (Key) names.push(Key.slice(prefix.length));
        token = page.NextContinuationToken;
        if (!token || (limit !== undefined && names.length >= limit))
          return limit === undefined ? names : names.slice(0, limit);
      }
    },
    close: () => client.destroy(),
  };
}
