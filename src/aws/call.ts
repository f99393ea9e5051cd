// Calls to AWS: one deadline, one retry, and one mapping of error names to failures, for every
// service. An SDK error ends here. Its code and its request id are printed; its message and its
// object never are, because they can hold a request.
//
// Each SDK client is made with `clientSettings`: the retries are those of this file.

import { within } from '../rotation/deadline.ts';
import { type Cause, Failure, type Reason } from '../rotation/failure.ts';
import type { Clock } from '../rotation/ports.ts';

/**
 * What every SDK client is made with. One attempt: the SDK retries LimitExceeded, and its timers
 * cannot be aborted.
 */
export const clientSettings = (requestTimeoutMs: number, region?: string) => ({
  ...(region === undefined ? {} : { region }),
  maxAttempts: 1,
  requestHandler: {
    connectionTimeout: Math.min(3000, requestTimeoutMs),
    socketTimeout: requestTimeoutMs,
    httpsAgent: { keepAlive: true },
  },
});

/**
 * What an error means. `missing`, `exists`, `not-allowed` can be answers that the caller expects.
 * `throttled` and `unanswered` are retried. `deletion` is `not-allowed` because the secret is
 * scheduled for deletion.
 */
export type Meaning =
  | 'missing'
  | 'exists'
  | 'not-allowed'
  | 'deletion'
  | 'denied'
  | 'kms'
  | 'credentials'
  | 'region'
  | 'quota'
  | 'throttled'
  | 'unanswered'
  | 'rejected';

const codesOf: Readonly<Partial<Record<Meaning, string>>> = {
  // HTTP 400 at AWS and 404 at some emulators: only the code counts.
  missing: 'ResourceNotFoundException NoSuchKey NotFound NotFoundException QueueDoesNotExist',
  // A token that holds another value; an object that If-None-Match: * found.
  exists: 'ResourceExistsException PreconditionFailed',
  // A label that is not where RemoveFromVersionId says; a secret in the wrong state.
  'not-allowed': `
    InvalidParameterException InvalidRequestException ValidationException
    PreconditionNotMetException`,
  // A message that names KMS makes it `kms`.
  denied: 'AccessDeniedException AccessDenied NotAuthorized',
  kms: `
    DecryptionFailure EncryptionFailure KMSAccessDeniedException KMSDisabledException
    KMSInvalidStateException KMSNotFoundException DisabledException InvalidKeyUsageException`,
  credentials: `
    CredentialsProviderError TokenProviderError ExpiredToken ExpiredTokenException
    IncompleteSignature IncompleteSignatureException InvalidAccessKeyId InvalidClientTokenId
    InvalidSignatureException MissingAuthenticationToken MissingAuthenticationTokenException
    OptInRequired RequestTimeTooSkewed SignatureDoesNotMatch UnrecognizedClientException`,
  // The SDK takes it for throttling. Here it means 20 labels, or 100 versions a day: a retry does
  // not help.
  quota: 'LimitExceededException',
  throttled: `
    RequestLimitExceeded RequestThrottled SlowDown Throttling ThrottlingException
    TooManyRequestsException`,
  // Also every 5xx and every error of the network.
  unanswered: `
    ConditionalRequestConflict InternalFailure InternalServiceError OperationAborted RequestExpired
    RequestTimeout RequestTimeoutException ServiceUnavailable ServiceUnavailableException
    TimeoutError`,
  // Final although its status is below 400.
  rejected: 'PermanentRedirect',
};

const codesIn = (meaning: Meaning): string[] => (codesOf[meaning] ?? '').trim().split(/\s+/);

/** Error code → meaning. From the API references and the SDK's credential chain (2026-11). */
export const meanings: ReadonlyMap<string, Meaning> = new Map(
  (Object.keys(codesOf) as Meaning[]).flatMap((meaning) =>
    codesIn(meaning).map((code) => [code, meaning] as const),
  ),
);

/** What may be printed about an SDK error. */
export type AwsError = {
  readonly meaning: Meaning;
  readonly code: string;
  readonly requestId: string;
};

/**
 * Reads an SDK error. Never throws. Keeps code and request id, and those only where they have the
 * form of one.
 */
export function readAwsError(error: unknown): AwsError {
  const fields = fieldsOf(error);
  const metadata = fieldsOf(fields['$metadata']);
  const name = plain(fields['name']);
  const code = name === 'Error' || name === '' ? plain(fields['code']) || name : name;
  return {
    meaning: meaningOf(code, metadata, String(fields['message'] ?? '')),
    code: code || 'unknown',
    requestId: plain(metadata['requestId']),
  };
}

const fieldsOf = (value: unknown): Record<string, unknown> =>
  typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};

/** A code or an id; anything else is not printed. */
const plain = (value: unknown): string =>
  typeof value === 'string' && /^[A-Za-z0-9_.-]{1,80}$/.test(value) ? value : '';

function meaningOf(code: string, metadata: Record<string, unknown>, message: string): Meaning {
  const known = meanings.get(code);
  // The SDK has measured the difference to the clock of the server, and signs with it from now on.
  if (known === 'credentials' && metadata['clockSkewCorrected'] === true) return 'unanswered';
  if (known === 'denied' && /kms/i.test(message)) return 'kms';
  if (known === 'not-allowed' && /deletion|deleted/i.test(message)) return 'deletion';
  if (known !== undefined) return known;
  if (/region is missing/i.test(message)) return 'region';
  const status = Number(metadata['httpStatusCode'] ?? 0);
  if (status === 429) return 'throttled';
  // No response, a good one that ended early or is not JSON, or an error of the server.
  return status < 400 || status >= 500 ? 'unanswered' : 'rejected';
}

/** A service, and the reasons of the failures of its calls. */
export type AwsService = {
  readonly name: 'Secrets Manager' | 'S3' | 'KMS' | 'SQS';
  /** The prefix of its permissions. */
  readonly prefix: 'secretsmanager' | 's3' | 'kms' | 'sqs';
  readonly denied: Reason;
  readonly missing: Reason;
  readonly deletion: Reason;
  readonly unavailable: Reason;
};

/** One call: the action of the API, and what it is about. */
export type AwsRequest<Output, Expected extends Meaning> = {
  readonly action: string;
  /** What a sentence says after "on": `secret fleet-east`. */
  readonly subject: string;
  /** The name or ARN of the subject, for the advice. */
  readonly resource: string;
  readonly send: (options: { readonly abortSignal: AbortSignal }) => Promise<Output>;
  /** Meanings that are answers here. */
  readonly expected?: readonly Expected[] | undefined;
};

export type AwsCall = <Output, Expected extends Meaning = never>(
  request: AwsRequest<Output, Expected>,
) => Promise<Output | Expected>;

/** Milliseconds before the second and the third attempt, and before each further one. */
const waitsMs: readonly number[] = [100, 400];

/**
 * Each attempt has `requestTimeoutMs` from credentials to the last byte. Throws a Failure and
 * nothing else.
 */
export function createAwsCall(
  service: AwsService,
  limits: {
    readonly requestTimeoutMs: number;
    readonly maxAttempts: number;
    readonly clock: Clock;
  },
): AwsCall {
  const { requestTimeoutMs, maxAttempts, clock } = limits;

  /** The SDK's own timeouts cover neither credentials nor a body that stops halfway. */
  async function attempt<Output>(
    send: (options: { abortSignal: AbortSignal }) => Promise<Output>,
  ): Promise<Output> {
    const ended = new AbortController();
    const output = await within(clock, requestTimeoutMs, send({ abortSignal: ended.signal }));
    if (output !== 'late') return output;
    ended.abort();
    throw Object.assign(new Error('late'), { name: 'TimeoutError' });
  }

  return async (request) => {
    for (let attempts = 1; ; attempts += 1) {
      try {
        return await attempt(request.send);
      } catch (thrown) {
        const error = readAwsError(thrown);
        const answer = request.expected?.find((meaning) => meaning === error.meaning);
        if (answer !== undefined) return answer;
        const isRetried = error.meaning === 'throttled' || error.meaning === 'unanswered';
        if (!isRetried || attempts >= maxAttempts) throw failureOf(service, request, error);
        await clock.sleep(waitsMs[attempts - 1] ?? waitsMs.at(-1) ?? 0);
      }
    }
  };
}

/** Actions that IAM knows by another name. */
const permissionNames: Readonly<Record<string, string>> = {
  ListObjectsV2: 'ListBucket',
  SendMessageBatch: 'SendMessage',
};

/** The failure to throw for an error that is no answer. */
export function failureOf(
  service: AwsService,
  request: Pick<AwsRequest<unknown, never>, 'action' | 'subject' | 'resource'>,
  { meaning, code, requestId }: AwsError,
): Failure {
  const { name, prefix } = service;
  const { action, subject, resource } = request;
  const permission = `${prefix}:${permissionNames[action] ?? action}`;
  const keyPermission = keyPermissionOf(service, action, permission);
  const key = prefix === 'kms' ? subject : `the KMS key of ${subject}`;
  const shown = `(${code}${requestId === '' ? '' : `, request ${requestId}`})`;
  const wrongState = `the state of ${subject} does not allow ${action} ${shown}`;
  const failures: Readonly<Record<Meaning, FailureParts>> = {
    missing: ['missing', `${subject} does not exist ${shown}`],
    deletion: ['deletion', `${subject} is scheduled for deletion ${shown}`, 'secret-deleted'],
    denied: ['denied', `${permission} on ${subject} is not allowed ${shown}`, 'iam', permission],
    kms: [
      'denied',
      `${key} cannot be used ${shown}: ${keyPermission}, and an enabled key, are needed`,
      'kms-key',
      keyPermission,
    ],
    credentials: [
      'denied',
      `AWS credentials are missing, expired or not accepted for ${permission} ${shown}`,
      'aws-credentials',
    ],
    region: ['denied', 'no AWS Region is configured', 'aws-region'],
    'not-allowed': ['denied', wrongState],
    exists: ['denied', wrongState],
    quota: ['unavailable', `${subject} is at a quota of ${name} ${shown}`, 'quota'],
    throttled: ['unavailable', `${name} throttled ${action} on ${subject} ${shown}`, 'throttled'],
    rejected: ['unavailable', `${name} rejected ${action} on ${subject} ${shown}`],
    unanswered: ['unavailable', `${name} did not answer ${action} on ${subject} ${shown}`],
  };
  const [reason, sentence, cause, needed] = failures[meaning];
  const secretId = prefix === 'secretsmanager' ? resource : undefined;
  return new Failure(service[reason], sentence, { resource, secretId, cause, permission: needed });
}

type FailureParts = readonly [
  reason: 'denied' | 'missing' | 'deletion' | 'unavailable',
  sentence: string,
  cause?: Cause,
  permission?: string,
];

function keyPermissionOf({ prefix }: AwsService, action: string, permission: string): string {
  if (prefix === 'kms') return permission;
  return action.startsWith('Put') ? 'kms:GenerateDataKey and kms:Decrypt' : 'kms:Decrypt';
}

/** A service whose calls have one reason for every failure. */
export const serviceWith = (
  reason: Reason,
  service: Pick<AwsService, 'name' | 'prefix'>,
): AwsService => ({
  ...service,
  denied: reason,
  missing: reason,
  deletion: reason,
  unavailable: reason,
});
