// The findings S7, S9 and S10 on version 0.1: the function of a build in another process, and the
// alarms of this build over the lines that it writes. Each test fails on 03af53f, as its comment
// says:
//
//   ROTATOR_DIST=../v01/dist npm run jest -- test/e2e/lambda-findings

import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { generateIdentity, identityToRecipient } from 'age-encryption';
import { dist } from '../harness/black-box.ts';
import { closing } from '../harness/closing.ts';
import { dataOf, openAlarms } from '../harness/cloudwatch.ts';
import { type FunctionProcess, startFunction } from '../harness/lambda-runtime.ts';
import { type LambdaRig, openLambdaRig, withoutReceiptsBucket } from '../harness/lambda-world.ts';
import { partOf } from '../harness/sample.ts';

const dayMs = 86_400_000;
/** Those of the build: 0.1 has other ones. */
const alarms = openAlarms(join(dist, '../infra/alarms.yaml'));
const daily = { source: 'aws.scheduler', 'detail-type': 'Scheduled Event' };
const byHand = { action: 'rotate', force: true, reason: 'test' };

/** `east` was stored 76 days ago: it is due since yesterday, and no alarm about its age is on. */
async function openWorld() {
  const rig = await openLambdaRig({ users: { east: 'old' } });
  rig.advance(-76 * dayMs);
  edit(rig, {});
  rig.advance(76 * dayMs);
  const recipient = await identityToRecipient(await generateIdentity());
  const extras = {
    METRICS_NAMESPACE: 'ThingspaceRotator/live',
    ROTATOR_RECEIPTS__RECIPIENTS: recipient,
  };
  const env = withoutReceiptsBucket(rig.env(extras));
  const { execPath: node } = process;
  const lambda = await startFunction({ task: dist, handler: 'lambda.scheduled', env, node });
  return { rig, lambda, closed: closing([rig, lambda]) };
}

/** The alarms over the lines so far, without what the platform measures. */
const inAlarm = ({ lines }: FunctionProcess): string[] => alarms.inAlarm(dataOf(lines), Date.now());

function store({ secretsManager, arn }: LambdaRig, SecretString: string): void {
  const SecretId = arn('east');
  secretsManager.call('PutSecretValue', {
    SecretId,
    SecretString,
    ClientRequestToken: randomUUID(),
  });
}

function edit(rig: LambdaRig, changes: object): void {
  const { SecretString } = rig.secretsManager.call('GetSecretValue', { SecretId: rig.arn('east') });
  store(rig, JSON.stringify({ ...JSON.parse(String(SecretString)), ...changes }));
}

type Row = readonly [name: string, reason: string, fault: (rig: LambdaRig) => void];

const rows: readonly Row[] = [
  ['a renewed client secret', 'api-key-refused', (rig) => edit(rig, { clientSecret: 'renewed' })],
  ['broken JSON in the secret', 'secret-invalid', (rig) => store(rig, '{"username":')],
  [
    'a secret without a value',
    'secret-not-found',
    ({ secretsManager }) => {
      const Tags = [{ Key: 'thingspace-rotator', Value: 'own' }];
      const ClientRequestToken = randomUUID();
      secretsManager.call('CreateSecret', { Name: 'thingspace/empty', ClientRequestToken, Tags });
    },
  ],
  [
    'an API that throttles',
    'api-unavailable',
    ({ thingspace }) => thingspace.arm({ fault: '429', call: 'login', count: 100 }),
  ],
  [
    'a secret store that answers 500',
    'store-unavailable',
    ({ secretsManager }) => secretsManager.inject('GetSecretValue', 'internal-error', 1_000),
  ],
];

// On 03af53f: the run fails with the same reason, and no alarm is in ALARM: AttemptsFailed needs
// more than two failures in an hour, and an account makes one attempt a day.
test.each(partOf(rows, 3))('S9: %s of one account raises an alarm', async (_, reason, fault) => {
  const { rig, lambda, closed } = await openWorld();
  await using _closed = closed;
  fault(rig);

  const ended = await lambda.invoke(daily);

  const { results } = (ended as { value: { results: object[] } }).value;
  expect(results).toContainEqual(expect.objectContaining({ outcome: 'failed', reason }));
  expect(inAlarm(lambda)).toEqual(['AttemptsFailed']);
});

// On 03af53f: no alarm is in ALARM: the metrics are written at the end of an invocation, which this
// one does not reach.
test('S10: a password that cannot be stored raises an alarm before the time limit', async () => {
  const { rig, lambda, closed } = await openWorld();
  await using _closed = closed;
  await lambda.invoke(daily);
  const before = inAlarm(lambda);
  const isRefused = ({ fault }: { fault: string | null }): boolean => fault === 'access-denied';
  rig.secretsManager.inject('PutSecretValue', 'access-denied', Number.POSITIVE_INFINITY, 2);

  const running = lambda.invoke(byHand);
  await rig.secretsManager.waitFor(() => rig.secretsManager.requests.filter(isRefused).length >= 3);
  // As the platform does at the time limit.
  lambda.signal('SIGKILL');

  expect(await running).toEqual({ died: true });
  expect(rig.thingspace.resetsReceived('east')).toBe(2);
  expect([before, inAlarm(lambda)]).toEqual([[], ['SavingIsHard']]);
});

// On 03af53f: two resets, and DEPLOY.md says that a repeated delivery does no harm.
test('S7: an order that AWS delivers twice resets the password once', async () => {
  const { rig, lambda, closed } = await openWorld();
  await using _closed = closed;
  const requestId = randomUUID();

  await lambda.invoke(byHand, undefined, requestId);
  await lambda.invoke(byHand, undefined, requestId);

  expect(rig.thingspace.resetsReceived('east')).toBe(1);
});
