// One mapping of AWS errors to failures: what the operator has to do depends on the cause.

import { createAwsCall, serviceWith } from '../../src/aws/call.ts';
import { Failure } from '../../src/rotation/failure.ts';
import { testClock } from '../harness/audit.ts';

const service = serviceWith('audit-unavailable', { name: 'S3', prefix: 's3' });
const about = { subject: 'audit log s3://b/', resource: 's3://b/' };

/**
 * What a call throws whose every attempt fails with these errors in turn, and how many attempts
 * were made.
 */
async function failing(...errors: object[]): Promise<{ failure: Failure; attempts: number }> {
  // A sleep of a second or more is the deadline, which never ends here.
  const clock = {
    ...testClock(),
    sleep: (ms: number) => new Promise<void>((end) => ms < 1e3 && end()),
  };
  const call = createAwsCall(service, { requestTimeoutMs: 5_000, maxAttempts: 3, clock });
  let attempts = 0;
  const send = (): Promise<never> => {
    attempts += 1;
    return Promise.reject(errors[Math.min(attempts, errors.length) - 1]);
  };
  const failure = await call({ ...about, action: 'PutObject', send }).catch((error) => error);
  if (!(failure instanceof Failure)) throw new Error('the call did not fail');
  return { failure, attempts };
}

const named = (name: string, httpStatusCode: number, message = ''): object => ({
  name,
  message,
  $metadata: { httpStatusCode },
});

test.each([
  [named('AccessDenied', 403), 'iam', 1],
  [named('AccessDenied', 403, 'no kms:GenerateDataKey'), 'kms-key', 1],
  [named('ExpiredToken', 400), 'aws-credentials', 1],
  [named('Error', 0, 'Region is missing'), 'aws-region', 1],
  [named('LimitExceededException', 400), 'quota', 1],
  [named('SlowDown', 503), 'throttled', 3],
  [named('SomethingNew', 429), 'throttled', 3],
  [named('InvalidRequestException', 400, 'scheduled for deletion'), 'secret-deleted', 1],
  [named('SomethingNew', 500), undefined, 3],
  [named('SomethingNew', 400), undefined, 1],
  [named('PermanentRedirect', 301), undefined, 1],
])('%j has the cause %s after %i attempts', async (error, cause, expected) => {
  const { failure, attempts } = await failing(error);

  expect([failure.reason, failure.facts.cause, attempts]).toEqual([
    'audit-unavailable',
    cause,
    expected,
  ]);
});

test('a denied call names the permission and the resource', async () => {
  const { failure } = await failing(named('AccessDenied', 403));

  expect(failure.message).toBe('s3:PutObject on audit log s3://b/ is not allowed (AccessDenied)');
  expect(failure.facts).toMatchObject({ permission: 's3:PutObject', resource: 's3://b/' });
});

test('credentials are retried only when the clock of the server is known', async () => {
  const skewed = {
    name: 'RequestTimeTooSkewed',
    $metadata: { httpStatusCode: 403, clockSkewCorrected: true },
  };

  expect((await failing(skewed)).attempts).toBe(3);
  expect((await failing(named('RequestTimeTooSkewed', 403))).attempts).toBe(1);
});
