// Least privilege, in both directions: every call that the functions make at the simulators is
// allowed by the role that serverless.yml gives them, and everything a role allows is used by some
// call.

import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { generateIdentity, identityToRecipient } from 'age-encryption';
import { formatWork } from '../../src/lambda/messages.ts';
import { runStep } from '../../src/lambda/rotation-steps.ts';
import type { Invocation } from '../../src/lambda/runtime.ts';
import { runScheduled } from '../../src/lambda/scheduled.ts';
import { runWorker } from '../../src/lambda/sqs-worker.ts';
import {
  type Fields,
  type Json,
  packageTemplate,
  type Template,
} from '../harness/cloudformation.ts';
import { type Instance, type LambdaRig, openLambdaRig, sqsEvent } from '../harness/lambda-world.ts';

type Call = { readonly action: string; readonly resource: string };
type Allowance = { readonly actions: readonly string[]; readonly resources: readonly string[] };

const folder = mkdtempSync(join(tmpdir(), 'iam-'));
let template: Template;
beforeAll(async () => {
  template = await packageTemplate(folder);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const secretKey = 'arn:aws:kms:us-east-1:111111111111:key/secrets';

/** What the template's references are in the world of the simulators. */
function resolved(value: Json, rig: LambdaRig): string {
  if (typeof value === 'string') return value;
  const fields = value as Fields;
  const imports: Record<string, string> = {
    'thingspace-rotator-live-SecretKeyArn': secretKey,
    'thingspace-rotator-live-AuditKeyArn': rig.aws.keyArn,
    'thingspace-rotator-live-AuditBucketArn': `arn:aws:s3:::${rig.aws.bucket}`,
  };
  if (fields['Fn::ImportValue']) return imports[String(fields['Fn::ImportValue'])] ?? 'nowhere';
  if (fields['Fn::Sub']) {
    const known: Record<string, string> = {
      'AWS::Partition': 'aws',
      'AWS::Region': 'us-east-1',
      'AWS::AccountId': '111111111111',
    };
    return String(fields['Fn::Sub']).replace(
      /\$\{([^}]+)\}/g,
      (_, name: string) => known[name] ?? 'nowhere',
    );
  }
  if (fields['Fn::Join'])
    return ((fields['Fn::Join'] as Json[])[1] as Json[])
      .map((part) => resolved(part, rig))
      .join('');
  const [id] = (fields['Fn::GetAtt'] as string[] | undefined) ?? ['nowhere'];
  if (id === 'Work') return 'arn:aws:sqs:us-east-1:111111111111:thingspace-rotator-work.fifo';
  return `the ${id} of the platform`;
}

function allowancesOf(role: string, rig: LambdaRig): Allowance[] {
  const policies = (template.Resources[role]?.Properties?.['Policies'] ?? []) as {
    PolicyDocument: { Statement: Fields[] };
  }[];
  return policies
    .flatMap(({ PolicyDocument }) => PolicyDocument.Statement)
    .filter((statement) => statement['Effect'] === 'Allow')
    .map(({ Action, Resource }) => ({
      actions: [Action].flat().map(String),
      resources: [Resource ?? null].flat().map((one) => resolved(one, rig)),
    }));
}

const allows = ({ actions, resources }: Allowance, call: Call): boolean =>
  actions.includes(call.action) &&
  resources.some((pattern) =>
    new RegExp(`^${pattern.replace(/[.+?^${}()|[\]\\]/g, '\\$&').replaceAll('*', '.*')}$`).test(
      call.resource,
    ),
  );

/**
 * Every call at the simulators, and those that Secrets Manager makes to KMS under the caller's
 * role.
 */
function callsOf(rig: LambdaRig): Call[] {
  const secrets = rig.secretsManager.requests.flatMap(({ action, resource }): Call[] => {
    const own = { action: `secretsmanager:${action}`, resource };
    if (action === 'GetSecretValue') return [own, { action: 'kms:Decrypt', resource: secretKey }];
    if (action === 'PutSecretValue')
      return [
        own,
        { action: 'kms:GenerateDataKey', resource: secretKey },
        { action: 'kms:Decrypt', resource: secretKey },
      ];
    return [own];
  });
  return [
    ...secrets,
    ...rig.aws.calls.map(({ service, action, resource }) => ({
      action: `${service}:${action}`,
      resource,
    })),
  ];
}

/** What the platform does under the role, not our code: the log, the poller, the dead letter. */
const platform = [
  'logs:CreateLogStream',
  'logs:PutLogEvents',
  'sqs:ReceiveMessage',
  'sqs:DeleteMessage',
  'sqs:GetQueueAttributes',
];

function judge(role: string, rig: LambdaRig): { refused: Call[]; unused: string[] } {
  const allowances = allowancesOf(role, rig);
  const calls = callsOf(rig);
  const refused = calls.filter((call) => !allowances.some((allowance) => allows(allowance, call)));
  const unused = allowances.flatMap((allowance) =>
    allowance.actions.filter(
      (action) =>
        !platform.includes(action) &&
        !allowance.resources.some((resource) => resource.startsWith('the RunDeadLetters')) &&
        !calls.some((call) => call.action === action && allows(allowance, call)),
    ),
  );
  return {
    refused: [...new Map(refused.map((call) => [JSON.stringify(call), call])).values()],
    unused,
  };
}

/** Editing another key, so that the age comes from older versions. */
function editByHand(rig: LambdaRig, account: string): void {
  const { SecretString } = rig.secretsManager.call('GetSecretValue', {
    SecretId: rig.arn(account),
  });
  rig.secretsManager.call('PutSecretValue', {
    SecretId: rig.arn(account),
    SecretString: JSON.stringify({ ...JSON.parse(String(SecretString)), note: 'edited' }),
    ClientRequestToken: randomUUID(),
  });
}

const recipient = identityToRecipient(await generateIdentity());

/** An instance with receipts. */
const instanceWith = async (extras: Record<string, string> = {}): Promise<Instance> =>
  rig.instance({ ROTATOR_RECEIPTS__RECIPIENTS: await recipient, ...extras });

/** Leaves a rotation open, so that the next survey searches its receipt. */
async function leaveOpen(work: Work, event: unknown): Promise<void> {
  const instance = await instanceWith();
  let remainingMs = 900_000;
  rig.secretsManager.inject('UpdateSecretVersionStage', 'access-denied', 1_000);
  const running = instance.invoke(work, event, () => remainingMs).catch(() => {});
  await instance.line('"event":"saving.retried"');
  remainingMs = 0;
  await running;
  rig.secretsManager.heal();
}

type Work = (event: unknown, invocation: Invocation) => Promise<unknown>;
const byHand = { action: 'rotate', force: true, reason: 'test' };
let rig: LambdaRig;
afterEach(() => rig.close());

test('scheduled calls what its role allows, and its role allows what it calls', async () => {
  rig = await openLambdaRig({ users: { east: 'a', west: 'b' } });
  editByHand(rig, 'east');
  await leaveOpen(runScheduled, byHand);
  const instance = await instanceWith();
  await instance.invoke(runScheduled, { source: 'aws.scheduler', 'detail-type': 'sweep' });
  await instance.invoke(runScheduled, { source: 'aws.scheduler' });
  await instance.invoke(runScheduled, byHand);
  await (await instanceWith({ WORK_QUEUE_URL: rig.aws.queueUrl, INLINE_ACCOUNTS: '1' })).invoke(
    runScheduled,
    byHand,
  );

  expect(judge('ScheduledRole', rig)).toEqual({ refused: [], unused: [] });
});

test('worker calls what its role allows, and its role allows what it calls', async () => {
  rig = await openLambdaRig({ users: { east: 'a' } });
  editByHand(rig, 'east');
  const work = formatWork({
    account: 'thingspace/east',
    secretId: rig.arn('east'),
    force: true,
    idempotencyKey: 'order-1',
    trigger: { kind: 'manual' },
  });
  await leaveOpen(runWorker, sqsEvent(work));
  await (await instanceWith()).invoke(runWorker, sqsEvent(work));

  expect(judge('WorkerRole', rig)).toEqual({ refused: [], unused: [] });
});

test('rotationSteps calls what its role allows, and its role allows what it calls', async () => {
  rig = await openLambdaRig({ users: { east: 'a' } });
  editByHand(rig, 'east');
  const ClientRequestToken = randomUUID();
  const SecretId = rig.arn('east');
  await leaveOpen(runStep, { Step: 'setSecret', SecretId, ClientRequestToken });
  const instance = await instanceWith();
  for (const Step of ['createSecret', 'setSecret', 'testSecret', 'finishSecret'])
    await instance.invoke(runStep, { Step, SecretId, ClientRequestToken });

  expect(judge('RotationStepsRole', rig)).toEqual({ refused: [], unused: [] });
});

test('the judge finds a call that is not allowed and an allowance that is not used', async () => {
  rig = await openLambdaRig({ users: { east: 'a', west: 'b' } });
  await rig
    .instance({ WORK_QUEUE_URL: rig.aws.queueUrl, INLINE_ACCOUNTS: '1' })
    .invoke(runScheduled, byHand);

  // The worker's role may neither list secrets nor send messages; and no password was searched in
  // older versions' list.
  const { refused, unused } = judge('WorkerRole', rig);
  expect(refused.map(({ action }) => action).sort()).toEqual([
    'secretsmanager:ListSecrets',
    'sqs:SendMessage',
  ]);
  expect(unused).toEqual(
    expect.arrayContaining([
      'secretsmanager:PutSecretValue',
      'secretsmanager:UpdateSecretVersionStage',
    ]),
  );
});
