// One call to S3 or KMS: bounded as a whole, tried a few times, and a vendor's error turned into ours at the border. Its code
// and request id may be told, its message and its object never.

import { Failure } from '../rotation/failure.ts';
import type { Clock } from '../rotation/ports.ts';

export type AwsCallOptions = { readonly abortSignal: AbortSignal };

type Caller = <Output, Answer extends string = never>(
  action: string,
  send: (options: AwsCallOptions) => Promise<Output>,
  /** Error codes that are answers. */
  expected: Readonly<Record<string, Answer>>,
) => Promise<Output | Answer>;

/** Milliseconds before the second and the third try. */
const waitsMs = [100, 400] as const;

/** Codes that no second try helps. Everything else that is not an answer may pass. */
const final =
  /^(AccessDenied|AccessDeniedException|NoSuchBucket|NotFoundException|DisabledException|KMSInvalidStateException|InvalidKeyUsageException|InvalidAccessKeyId|SignatureDoesNotMatch|UnrecognizedClientException|CredentialsProviderError|ExpiredToken|ExpiredTokenException|InvalidClientTokenId|PermanentRedirect|InvalidRequest|ValidationException)$/;

export function createCaller(where: {
  service: 's3' | 'kms';
  place: string;
  requestTimeoutMs: number;
  clock: Clock;
}): Caller {
  const { service, place, requestTimeoutMs, clock } = where;

  async function once<Output>(send: (options: AwsCallOptions) => Promise<Output>): Promise<Output> {
    const [late, done] = [new AbortController(), new AbortController()];
    const deadline = clock.sleep(requestTimeoutMs, done.signal).then(() => {
      late.abort();
      throw Object.assign(new Error('late'), { name: 'TimeoutError' });
    });
    try {
      return await Promise.race([send({ abortSignal: late.signal }), deadline]);
    } finally {
      deadline.catch(() => undefined);
      done.abort();
    }
  }

  return async (action, send, expected) => {
    for (let tries = 0; ; tries += 1) {
      try {
        return await once(send);
      } catch (error) {
        const { code, requestId } = toldBy(error);
        const answer = Object.hasOwn(expected, code) ? expected[code] : undefined;
        if (answer !== undefined) return answer;
        const waitMs = waitsMs[tries];
        if (waitMs !== undefined && !final.test(code)) {
          await clock.sleep(waitMs);
          continue;
        }
        const told = `${code}${requestId ? `, request ${requestId}` : ''}`;
        const denied = /^AccessDenied|^NotAuthorized/.test(code)
          ? `${service}:${permissionFor(action)} is not allowed`
          : `${action} failed`;
        throw new Failure('audit-unavailable', `audit log ${place}: ${denied} (${told})`);
      }
    }
  };
}

/** ListObjectsV2 is allowed by another name. */
const permissionFor = (action: string): string =>
  action === 'ListObjectsV2' ? 'ListBucket' : action;

function toldBy(error: unknown): { code: string; requestId: string } {
  const fields = (typeof error === 'object' && error !== null ? error : {}) as Record<
    string,
    unknown
  >;
  const metadata = (fields['$metadata'] ?? {}) as Record<string, unknown>;
  const name = plain(fields['name']);
  return {
    code: (name === 'Error' ? plain(fields['code']) : name) || 'unknown',
    requestId: plain(metadata['requestId']),
  };
}

const plain = (value: unknown): string =>
  typeof value === 'string' && /^[A-Za-z0-9_.-]{1,80}$/.test(value) ? value : '';
