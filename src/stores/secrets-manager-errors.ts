// What Secrets Manager's errors mean to us: one table from the vendor's code to a meaning, one from the meaning
// to a sentence. The vendor's error ends here: its code and request id may be told, its message and its object never.

import { Failure } from '../rotation/failure.ts';

/**
 * `missing`, `exists`, `not-allowed` may be answers that the caller expects; `again` is tried again; the rest end the call.
 * `deletion` is `not-allowed` because somebody scheduled the secret for deletion.
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
  | 'limit'
  | 'again'
  | 'unexpected';

/** Error code → meaning. From the API reference's common errors and each action's own, and the SDK's credential chain (2026-11). */
export const meanings: Readonly<Record<string, Meaning>> = {
  // No such secret, version or label: HTTP 400 at AWS, 404 at some emulators, so only the code counts.
  ResourceNotFoundException: 'missing',
  // The token holds another value.
  ResourceExistsException: 'exists',
  // A label that is not where RemoveFromVersionId says; a secret in the wrong state.
  InvalidParameterException: 'not-allowed',
  InvalidRequestException: 'not-allowed',
  ValidationException: 'not-allowed',
  PreconditionNotMetException: 'not-allowed',
  // The role lacks a permission. A message that speaks of KMS makes it `kms`.
  AccessDeniedException: 'denied',
  AccessDenied: 'denied',
  NotAuthorized: 'denied',
  DecryptionFailure: 'kms',
  EncryptionFailure: 'kms',
  KMSAccessDeniedException: 'kms',
  KMSDisabledException: 'kms',
  KMSInvalidStateException: 'kms',
  KMSNotFoundException: 'kms',
  // We are nobody: no credentials, or none that hold.
  CredentialsProviderError: 'credentials',
  TokenProviderError: 'credentials',
  ExpiredToken: 'credentials',
  ExpiredTokenException: 'credentials',
  IncompleteSignature: 'credentials',
  IncompleteSignatureException: 'credentials',
  InvalidClientTokenId: 'credentials',
  InvalidSignatureException: 'credentials',
  MissingAuthenticationToken: 'credentials',
  MissingAuthenticationTokenException: 'credentials',
  OptInRequired: 'credentials',
  SignatureDoesNotMatch: 'credentials',
  UnrecognizedClientException: 'credentials',
  // The SDK counts this as throttling. Here it means 20 labels or 100 versions a day: no second try helps.
  LimitExceededException: 'limit',
  // Load and outages; also every 5xx, 429 and every error of the network.
  InternalFailure: 'again',
  InternalServiceError: 'again',
  RequestExpired: 'again',
  RequestLimitExceeded: 'again',
  RequestTimeout: 'again',
  RequestTimeoutException: 'again',
  ServiceUnavailable: 'again',
  ServiceUnavailableException: 'again',
  SlowDown: 'again',
  Throttling: 'again',
  ThrottlingException: 'again',
  TimeoutError: 'again',
  TooManyRequestsException: 'again',
};

/** Milliseconds before the second and the third try. The loop has its own patience above this one. */
export const waitsMs: readonly number[] = [100, 400];

/** What may be told about a vendor's error. */
export type Refusal = {
  readonly meaning: Meaning;
  readonly code: string;
  readonly requestId: string;
};

/** Reads a vendor's error. Never throws; keeps nothing of it but code and request id, and those only where they look like one. */
export function refusalOf(error: unknown): Refusal {
  const fields = (typeof error === 'object' && error !== null ? error : {}) as Record<
    string,
    unknown
  >;
  const metadata = (fields['$metadata'] ?? {}) as Record<string, unknown>;
  const message = String(fields['message'] ?? '');
  const name = plain(fields['name']);
  const code = name === 'Error' || name === '' ? plain(fields['code']) || name : name;
  return {
    meaning: meaningOf(code, metadata, message),
    code: code || 'unknown',
    requestId: plain(metadata['requestId']),
  };
}

function meaningOf(code: string, metadata: Record<string, unknown>, message: string): Meaning {
  const known = Object.hasOwn(meanings, code) ? meanings[code] : undefined;
  // The SDK has measured the difference to the server's clock and signs with it from now on. It says so on every error,
  // whatever it is about.
  if (known === 'credentials' && metadata['clockSkewCorrected'] === true) return 'again';
  if (known === 'denied' && /kms/i.test(message)) return 'kms';
  if (known === 'not-allowed' && /deletion|deleted/i.test(message)) return 'deletion';
  if (known) return known;
  if (/region is missing/i.test(message)) return 'region';
  // No answer at all, a good one that broke off or is no JSON, or one of load: of the network, whatever name the SDK gives it.
  const status = Number(metadata['httpStatusCode'] ?? 0);
  return status < 400 || status >= 500 || status === 429 ? 'again' : 'unexpected';
}

/** The failure to throw; `where` is "secret NAME". */
export function failureOf(refusal: Refusal, action: string, where: string): Failure {
  const told = `${refusal.code}${refusal.requestId ? `, request ${refusal.requestId}` : ''}`;
  switch (refusal.meaning) {
    case 'missing':
      return new Failure('secret-not-found', `${where} does not exist (${told})`);
    case 'deletion':
      return new Failure(
        'secret-invalid',
        `${where} is scheduled for deletion (${told}); restore it`,
      );
    case 'denied':
      return new Failure(
        'store-denied',
        `secretsmanager:${action} on ${where} is not allowed (${told})`,
      );
    case 'kms': {
      const permissions =
        action === 'PutSecretValue' ? 'kms:GenerateDataKey and kms:Decrypt' : 'kms:Decrypt';
      return new Failure(
        'store-denied',
        `the KMS key of ${where} cannot be used (${told}): ${permissions}, and an enabled key, are needed`,
      );
    }
    case 'credentials':
      return new Failure(
        'store-denied',
        `AWS credentials are missing, expired or not accepted for secretsmanager:${action} (${told})`,
      );
    case 'region':
      return new Failure(
        'store-denied',
        'no AWS Region is configured: set store.region or AWS_REGION',
      );
    case 'not-allowed':
    case 'exists':
      return new Failure(
        'store-denied',
        `Secrets Manager refuses ${action} on ${where} in its present state (${told})`,
      );
    case 'limit':
      return new Failure(
        'store-unavailable',
        `${where} is at a quota of Secrets Manager, on labels or versions (${told})`,
      );
    case 'again':
    case 'unexpected':
      return new Failure(
        'store-unavailable',
        `Secrets Manager did not answer ${action} on ${where} (${told})`,
      );
  }
}

/** A code or an id, or nothing: whatever else stands there is not printed. */
function plain(value: unknown): string {
  return typeof value === 'string' && /^[A-Za-z0-9_.-]{1,80}$/.test(value) ? value : '';
}
