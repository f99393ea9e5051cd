// S3, KMS and SQS as far as the function calls them, on one loopback port: real HTTP, strict about
// what we rely on (conditional puts, Ed25519, message digests), a log of what was asked for the
// tests of IAM, faults by name. Only for tests.

import {
  createHash,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  sign,
} from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** One call as IAM sees it. */
export type AwsCall = {
  readonly service: 's3' | 'kms' | 'sqs';
  readonly action: string;
  readonly resource: string;
};
export type SentMessage = {
  readonly body: string;
  readonly groupId: string;
  readonly deduplicationId: string;
};
/**
 * `denied`: as without the permission. `lost`: done, and the connection cut. `unavailable`: a 503.
 * `not-taken`: SQS refuses the first entry.
 */
export type AwsFault = 'denied' | 'lost' | 'unavailable' | 'not-taken';

export type AwsFake = {
  readonly url: string;
  readonly bucket: string;
  readonly keyArn: string;
  readonly queueUrl: string;
  readonly publicKey: KeyObject;
  readonly calls: AwsCall[];
  /** By name, without the bucket. */
  readonly objects: Map<string, Buffer>;
  readonly messages: SentMessage[];
  /** The next `times` calls of this action meet this fault. */
  inject(action: string, fault: AwsFault, times?: number): void;
  /** What a function's environment needs to find it. */
  readonly env: Readonly<Record<string, string>>;
  close(): Promise<void>;
};

type Answer = { readonly status: number; readonly body: string | Buffer; readonly type?: string };
const contentsOf = (key: string): string => `<Contents><Key>${key}</Key></Contents>`;
const account = '111111111111';
const region = 'us-east-1';

export async function openAwsFake(): Promise<AwsFake> {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const bucket = 'audit-bucket';
  const keyArn = `arn:aws:kms:${region}:${account}:key/11111111-2222-3333-4444-555555555555`;
  const queueArn = `arn:aws:sqs:${region}:${account}:thingspace-rotator-work.fifo`;
  const calls: AwsCall[] = [];
  const objects = new Map<string, Buffer>();
  const messages: SentMessage[] = [];
  const faults: { action: string; fault: AwsFault; times: number }[] = [];
  const takeFault = (action: string): AwsFault | null => {
    const planned = faults.find((one) => one.action === action && one.times > 0);
    if (planned) planned.times -= 1;
    return planned?.fault ?? null;
  };

  const json = (status: number, value: object): Answer => ({
    status,
    body: JSON.stringify(value),
    type: 'application/x-amz-json-1.1',
  });
  const xmlError = (status: number, code: string): Answer => ({
    status,
    body: `<Error><Code>${code}</Code><Message>no</Message></Error>`,
    type: 'application/xml',
  });

  function s3(
    request: IncomingMessage,
    url: URL,
    body: Buffer,
    fault: (action: string, resource: string) => AwsFault | null,
  ): Answer | null {
    const [, , ...rest] = url.pathname.split('/');
    const name = decodeURIComponent(rest.join('/'));
    const bucketArn = `arn:aws:s3:::${bucket}`;
    if (url.searchParams.get('list-type') === '2') {
      if (fault('ListBucket', bucketArn)) return xmlError(403, 'AccessDenied');
      const prefix = url.searchParams.get('prefix') ?? '';
      const after = url.searchParams.get('continuation-token') ?? '';
      const max = Number(url.searchParams.get('max-keys') ?? 1000);
      const names = [...objects.keys()]
        .filter((key) => key.startsWith(prefix) && key > after)
        .sort();
      const page = names.slice(0, max);
      const more =
        names.length > max
          ? '<IsTruncated>true</IsTruncated>' +
            `<NextContinuationToken>${page.at(-1)}</NextContinuationToken>`
          : '<IsTruncated>false</IsTruncated>';
      return {
        status: 200,
        type: 'application/xml',
        body: `<ListBucketResult>${page.map(contentsOf).join('')}${more}</ListBucketResult>`,
      };
    }
    if (request.method === 'GET') {
      if (fault('GetObject', `${bucketArn}/${name}`)) return xmlError(403, 'AccessDenied');
      const found = objects.get(name);
      return found
        ? { status: 200, body: found, type: 'application/octet-stream' }
        : xmlError(404, 'NoSuchKey');
    }
    const met = fault('PutObject', `${bucketArn}/${name}`);
    if (met === 'denied') return xmlError(403, 'AccessDenied');
    if (met === 'unavailable') return xmlError(503, 'SlowDown');
    // The bucket policy of infra/foundation.yaml, and what Object Lock asks for.
    if (request.headers['if-none-match'] !== '*') return xmlError(403, 'AccessDenied');
    const checksum = request.headers['x-amz-checksum-sha256'];
    if (checksum !== createHash('sha256').update(body).digest('base64'))
      return xmlError(400, 'InvalidRequest');
    if (objects.has(name)) return xmlError(412, 'PreconditionFailed');
    objects.set(name, body);
    return met === 'lost' ? null : { status: 200, body: '' };
  }

  function kms(
    action: string,
    input: Record<string, string>,
    fault: (action: string, resource: string) => AwsFault | null,
  ): Answer {
    if (fault(action, keyArn)) return json(400, { __type: 'AccessDeniedException', message: 'no' });
    if (input['KeyId'] !== keyArn) return json(400, { __type: 'NotFoundException', message: 'no' });
    if (action === 'GetPublicKey') {
      const der = createPublicKey(publicKey.export({ type: 'spki', format: 'pem' })).export({
        type: 'spki',
        format: 'der',
      });
      return json(200, {
        KeyId: keyArn,
        PublicKey: der.toString('base64'),
        KeySpec: 'ECC_NIST_EDWARDS25519',
        KeyUsage: 'SIGN_VERIFY',
        SigningAlgorithms: ['ED25519_SHA_512'],
      });
    }
    if (input['SigningAlgorithm'] !== 'ED25519_SHA_512' || input['MessageType'] !== 'RAW')
      return json(400, { __type: 'InvalidKeyUsageException', message: 'no' });
    const Signature = sign(
      null,
      Buffer.from(input['Message'] ?? '', 'base64'),
      privateKey,
    ).toString('base64');
    return json(200, { KeyId: keyArn, Signature, SigningAlgorithm: 'ED25519_SHA_512' });
  }

  function sqs(
    action: string,
    input: {
      Entries: {
        Id: string;
        MessageBody: string;
        MessageGroupId?: string;
        MessageDeduplicationId?: string;
      }[];
    },
    fault: (action: string, resource: string) => AwsFault | null,
  ): Answer {
    // IAM knows the batch under the single action's name.
    const met = fault(action.replace(/Batch$/, ''), queueArn);
    if (met === 'denied')
      return json(403, { __type: 'com.amazonaws.sqs#AccessDenied', message: 'no' });
    const [refused, taken] =
      met === 'not-taken'
        ? [input.Entries.slice(0, 1), input.Entries.slice(1)]
        : [[], input.Entries];
    for (const { MessageBody, MessageGroupId, MessageDeduplicationId } of taken) {
      if (!MessageGroupId || !MessageDeduplicationId)
        return json(400, { __type: 'com.amazonaws.sqs#MissingParameter', message: 'FIFO' });
      if (messages.some(({ deduplicationId }) => deduplicationId === MessageDeduplicationId))
        continue;
      messages.push({
        body: MessageBody,
        groupId: MessageGroupId,
        deduplicationId: MessageDeduplicationId,
      });
    }
    return json(200, {
      Successful: taken.map(({ Id, MessageBody }) => ({
        Id,
        MessageId: crypto.randomUUID(),
        MD5OfMessageBody: createHash('md5').update(MessageBody).digest('hex'),
      })),
      Failed: refused.map(({ Id }) => ({ Id, Code: 'InternalError', SenderFault: false })),
    });
  }

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const body = Buffer.concat(chunks);
    const url = new URL(request.url ?? '/', 'http://localhost');
    const [api = '', action = ''] = String(request.headers['x-amz-target'] ?? '').split('.');
    const service = api === 'TrentService' ? 'kms' : api === 'AmazonSQS' ? 'sqs' : 's3';
    const fault = (asked: string, resource: string): AwsFault | null => {
      calls.push({ service, action: asked, resource });
      return takeFault(asked);
    };
    const isSigned = String(request.headers['authorization'] ?? '').startsWith('AWS4-HMAC-SHA256');
    const answer = !isSigned
      ? xmlError(403, 'AccessDenied')
      : service === 's3'
        ? s3(request, url, body, fault)
        : service === 'kms'
          ? kms(action, JSON.parse(body.toString('utf8')), fault)
          : sqs(action, JSON.parse(body.toString('utf8')), fault);
    if (answer === null) return void response.destroy();
    response.writeHead(answer.status, {
      'content-type': answer.type ?? 'text/plain',
      'x-amz-request-id': 'test',
    });
    response.end(answer.body);
  }

  const server = createServer((request, response) => void serve(request, response));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    url,
    bucket,
    keyArn,
    queueUrl: `${url}/${account}/thingspace-rotator-work.fifo`,
    publicKey,
    calls,
    objects,
    messages,
    inject: (action, fault, times = 1) => faults.push({ action, fault, times }),
    env: {
      AWS_REGION: region,
      AWS_ACCESS_KEY_ID: 'test',
      AWS_SECRET_ACCESS_KEY: 'test',
      AWS_ENDPOINT_URL_S3: url,
      AWS_ENDPOINT_URL_KMS: url,
      AWS_ENDPOINT_URL_SQS: url,
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
