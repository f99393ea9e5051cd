// infra/ and the packaged template against AWS's own resource specification and against the house
// rules. Each check is also shown a planted fault, since a check that finds nothing may check
// nothing.

import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  brokenRules,
  exportsOf,
  type Fields,
  guardBinary,
  type Json,
  packageTemplate,
  problemsOf,
  readTemplate,
  type Template,
} from '../harness/cloudformation.ts';

const root = join(import.meta.dirname, '../..');
const folder = mkdtempSync(join(tmpdir(), 'infra-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const packaged = (...params: string[]): Promise<Template> => packageTemplate(folder, params);

const names = ['foundation', 'account', 'alarms', 'vpc-endpoints'] as const;
const file = (name: string): string => join(root, 'infra', `${name}.yaml`);
const rules = join(root, 'infra/policy/house.guard');
const guard = guardBinary();

let functions: Template;
let everywhere: Template;
let exported: string[];
beforeAll(async () => {
  functions = await packaged();
  everywhere = await packaged(
    'Vpc=on',
    'SubnetIds=subnet-1,subnet-2',
    'SecurityGroupId=sg-1',
    'Tracing=on',
    'Reserve=off',
  );
  exported = [functions, ...names.map((name) => readTemplate(file(name)))].flatMap(exportsOf);
});

/** The rules that a template breaks. */
function broken(template: Template): string[] {
  if (guard === null) throw new Error('cfn-guard has no binary for this machine');
  const path = join(folder, 'template.json');
  writeFileSync(path, JSON.stringify(template));
  return brokenRules(guard, rules, path);
}

/** A copy of a template with one thing changed. */
function altered(template: Template, change: (copy: Template) => void): Template {
  const copy = structuredClone(template);
  change(copy);
  return copy;
}

const properties = (template: Template, id: string): Fields =>
  template.Resources[id]?.Properties as Fields;

test.each(names)('infra/%s.yaml holds nothing that CloudFormation does not know', (name) => {
  expect(problemsOf(readTemplate(file(name)), exported)).toEqual([]);
});

test('CloudFormation knows everything in the packaged template, with every parameter', () => {
  expect(problemsOf(functions, exported)).toEqual([]);
  expect(problemsOf(everywhere, exported)).toEqual([]);
});

test.each<[string, (copy: Template) => void, RegExp]>([
  [
    'an unknown type',
    (copy) => Object.assign(copy.Resources['Work'] ?? {}, { Type: 'AWS::SQS::Kueue' }),
    /AWS::SQS::Kueue is no resource type/,
  ],
  [
    'an unknown property',
    (copy) => Object.assign(properties(copy, 'Work'), { Encrypted: true }),
    /has no property Encrypted/,
  ],
  [
    'an unknown property further in',
    (copy) => Object.assign(properties(copy, 'DailySchedule')['Target'] as Fields, { Retries: 1 }),
    /no property Retries/,
  ],
  [
    'a text for a number',
    (copy) => Object.assign(properties(copy, 'Work'), { VisibilityTimeout: 'long' }),
    /VisibilityTimeout: is string/,
  ],
  [
    'a map for a list',
    (copy) =>
      Object.assign(properties(copy, 'QueuesPolicy'), {
        Queues: { Ref: 'Work' } as never,
        Extra: 1,
      }),
    /no property Extra/,
  ],
  [
    'one value for a list',
    (copy) => Object.assign(properties(copy, 'QueuesPolicy'), { Queues: 'Work' }),
    /Queues: is string/,
  ],
  [
    'a missing property',
    (copy) => delete properties(copy, 'DailySchedule')['FlexibleTimeWindow'],
    /FlexibleTimeWindow is missing/,
  ],
  [
    'a dangling Ref',
    (copy) => Object.assign(properties(copy, 'Work'), { QueueName: { Ref: 'Nowhere' } }),
    /nothing called Nowhere/,
  ],
  // This one passes osls.
  [
    'a dangling GetAtt',
    (copy) =>
      Object.assign(properties(copy, 'Work'), { QueueName: { 'Fn::GetAtt': ['Nowhere', 'Arn'] } }),
    /no resource Nowhere/,
  ],
  [
    'an attribute that is none',
    (copy) =>
      Object.assign(properties(copy, 'Work'), { QueueName: { 'Fn::GetAtt': ['Work', 'Url'] } }),
    /no attribute Url/,
  ],
  [
    'a Sub of nothing',
    (copy) =>
      Object.assign(properties(copy, 'Work'), { QueueName: { 'Fn::Sub': '${' + 'Wrok.Arn}' } }),
    /no resource Wrok/,
  ],
  [
    'an import of nothing',
    (copy) =>
      Object.assign(properties(copy, 'Work'), { QueueName: { 'Fn::ImportValue': 'nowhere' } }),
    /no template exports nowhere/,
  ],
  [
    'a DependsOn of nothing',
    (copy) => Object.assign(copy.Resources['Work'] ?? {}, { DependsOn: ['Nowhere'] }),
    /DependsOn names nothing/,
  ],
  [
    'a condition that is none',
    (copy) => Object.assign(copy.Resources['Work'] ?? {}, { Condition: 'Sometimes' }),
    /no condition Sometimes/,
  ],
])('the check finds %s', (_, change, expected) => {
  expect(problemsOf(altered(functions, change), exported)).toContainEqual(
    expect.stringMatching(expected),
  );
});

test('every template keeps the house rules', () => {
  for (const name of names) expect([name, broken(readTemplate(file(name)))]).toEqual([name, []]);
  expect(broken(functions)).toEqual([]);
  expect(broken(everywhere)).toEqual([]);
});

const statement = (action: string): Fields => ({ Effect: 'Allow', Action: action, Resource: '*' });
const addStatement = (copy: Template, added: Fields): void => {
  const [policy] = properties(copy, 'WorkerRole')['Policies'] as {
    PolicyDocument: { Statement: Fields[] };
  }[];
  policy?.PolicyDocument.Statement.push(added);
};

test.each<
  [
    string,
    string,
    (copies: {
      functions: Template;
      foundation: Template;
      account: Template;
      alarms: Template;
    }) => Template,
  ]
>([
  [
    'an open bucket',
    'buckets_are_closed_and_encrypted',
    ({ foundation }) =>
      altered(foundation, (copy) =>
        Object.assign(properties(copy, 'AuditBucket')['PublicAccessBlockConfiguration'] as Fields, {
          BlockPublicAcls: false,
        }),
      ),
  ],
  [
    'a lock that a user can remove',
    'locked_buckets_are_locked_for_everybody',
    ({ foundation }) =>
      altered(foundation, (copy) =>
        Object.assign(properties(copy, 'AuditBucket'), {
          ObjectLockConfiguration: { Rule: { DefaultRetention: { Mode: 'GOVERNANCE', Days: 1 } } },
        }),
      ),
  ],
  [
    'a rule that expires records of the log',
    'locked_buckets_are_locked_for_everybody',
    ({ foundation }) =>
      altered(foundation, (copy) =>
        Object.assign(properties(copy, 'AuditBucket'), {
          LifecycleConfiguration: { Rules: [{ Status: 'Enabled', ExpirationInDays: 400 }] },
        }),
      ),
  ],
  [
    'a bucket that goes with its stack',
    'locked_buckets_are_locked_for_everybody',
    ({ foundation }) =>
      altered(foundation, (copy) => delete copy.Resources['AuditBucket']?.['DeletionPolicy']),
  ],
  [
    'a bucket without TLS',
    'buckets_speak_tls_only',
    ({ foundation }) =>
      altered(foundation, (copy) =>
        Object.assign(properties(copy, 'AuditBucketPolicy'), {
          PolicyDocument: { Statement: [{ Effect: 'Deny' }] },
        }),
      ),
  ],
  [
    'a secret under the default key',
    'secrets_have_a_key_of_their_own_and_no_value',
    ({ account }) => altered(account, (copy) => delete properties(copy, 'Secret')['KmsKeyId']),
  ],
  [
    'a password in a template',
    'secrets_have_a_key_of_their_own_and_no_value',
    ({ account }) =>
      altered(account, (copy) => Object.assign(properties(copy, 'Secret'), { SecretString: 'x' })),
  ],
  [
    'enabling that rotates',
    'enabling_never_rotates',
    ({ account }) =>
      altered(account, (copy) => delete properties(copy, 'Rotation')['RotateImmediatelyOnUpdate']),
  ],
  [
    'a key for ever',
    'symmetric_keys_are_rotated',
    ({ foundation }) =>
      altered(foundation, (copy) => delete properties(copy, 'SecretKey')['EnableKeyRotation']),
  ],
  [
    'a clear queue',
    'queues_are_encrypted',
    ({ functions }) =>
      altered(functions, (copy) => delete properties(copy, 'Work')['SqsManagedSseEnabled']),
  ],
  [
    'poison that comes back for ever',
    'queues_for_work_have_an_end',
    ({ functions }) =>
      altered(functions, (copy) => delete properties(copy, 'Work')['RedrivePolicy']),
  ],
  [
    'a message handed out while its rotation runs',
    'queues_for_work_have_an_end',
    ({ functions }) =>
      altered(functions, (copy) =>
        Object.assign(properties(copy, 'Work'), { VisibilityTimeout: 60 }),
      ),
  ],
  [
    'a clear topic',
    'topics_are_encrypted',
    ({ alarms }) => altered(alarms, (copy) => delete properties(copy, 'Topic')['KmsMasterKeyId']),
  ],
  [
    'an old runtime',
    'functions_are_of_one_make_and_bounded',
    ({ functions }) =>
      altered(functions, (copy) =>
        Object.assign(properties(copy, 'WorkerLambdaFunction'), { Runtime: 'nodejs20.x' }),
      ),
  ],
  [
    'a function too short for a rotation',
    'functions_are_of_one_make_and_bounded',
    ({ functions }) =>
      altered(functions, (copy) =>
        Object.assign(properties(copy, 'WorkerLambdaFunction'), { Timeout: 30 }),
      ),
  ],
  [
    'a log for ever',
    'logs_end_some_day',
    ({ foundation }) =>
      altered(foundation, (copy) => delete properties(copy, 'LogGroup')['RetentionInDays']),
  ],
  [
    'a log that is deleted with its stack',
    'logs_are_kept',
    ({ foundation }) =>
      altered(foundation, (copy) => delete copy.Resources['LogGroup']?.['DeletionPolicy']),
  ],
  [
    'a batch that fails as one',
    'batches_fail_by_the_message',
    ({ functions }) =>
      altered(
        functions,
        (copy) =>
          delete properties(copy, 'WorkerEventSourceMappingSQSWork')['FunctionResponseTypes'],
      ),
  ],
  [
    'anybody’s secrets',
    'services_call_for_this_account_only',
    ({ functions }) =>
      altered(
        functions,
        (copy) => delete properties(copy, 'RotationStepsPermission')['SourceAccount'],
      ),
  ],
  [
    'a star for a resource',
    'roles_name_what_they_touch',
    ({ functions }) => altered(functions, (copy) => addStatement(copy, statement('s3:GetObject'))),
  ],
  [
    'a star in a list',
    'roles_name_what_they_touch',
    ({ functions }) =>
      altered(functions, (copy) =>
        addStatement(copy, {
          ...statement(''),
          Action: ['secretsmanager:ListSecrets', 'kms:Sign'],
        }),
      ),
  ],
  [
    'a star for an action',
    'roles_name_what_they_do',
    ({ functions }) =>
      altered(functions, (copy) =>
        addStatement(copy, { ...statement('secretsmanager:*'), Resource: 'arn:aws:s3:::x' }),
      ),
  ],
])('the house rules find %s', (_, rule, plant) => {
  const template = plant({
    functions,
    foundation: readTemplate(file('foundation')),
    account: readTemplate(file('account')),
    alarms: readTemplate(file('alarms')),
  });

  expect(broken(template)).toContain(rule);
});

test('a message stays hidden while its worker runs, and a function has time for a rotation', () => {
  const seconds = (id: string, name: string): number => Number(properties(functions, id)[name]);
  // neededForResetMs with the defaults, and four calls of 15 s before it, and four after.
  const longest = 15 + 120 + 30 + 4 * 15 + 4 * 15;

  expect(seconds('Work', 'VisibilityTimeout')).toBeGreaterThan(
    seconds('WorkerLambdaFunction', 'Timeout'),
  );
  for (const id of [
    'ScheduledLambdaFunction',
    'WorkerLambdaFunction',
    'RotationStepsLambdaFunction',
  ])
    expect(seconds(id, 'Timeout')).toBeGreaterThan(longest);
});

type Stage = { readonly Parameters: Readonly<Record<string, string>> };
const stages = readdirSync(join(root, 'infra/stages')).map((name): [string, Stage] => [
  name.replace('.json', ''),
  JSON.parse(readFileSync(join(root, 'infra/stages', name), 'utf8')),
]);
const parametersOf = (name: string): string[] =>
  Object.keys(readTemplate(file(name)).Parameters ?? {});

// On 03af53f the values were arguments of each command. The update command of DEPLOY.md had none,
// and turned receipts off.
test('an update without arguments changes no value: the stage file has all of them', () => {
  const serverless = readFileSync(join(root, 'serverless.yml'), 'utf8');
  const used = [...serverless.matchAll(/\$\{param:(\w+)\}/g)].map((found) => found[1] ?? '');
  const declared = ['foundation', 'alarms', 'vpc-endpoints'].flatMap(parametersOf);

  for (const [name, { Parameters }] of stages) {
    expect([name, Object.keys(Parameters).sort()]).toEqual([
      name,
      [...new Set([...used, ...declared])].sort(),
    ]);
    expect(Parameters['Stage']).toBe(name);
    expect(Object.values(Parameters).every((value) => typeof value === 'string')).toBe(true);
  }
  // A default beside the file would be a second value.
  for (const name of ['foundation', 'alarms', 'vpc-endpoints'])
    for (const parameter of Object.values(readTemplate(file(name)).Parameters ?? {}))
      expect(parameter).not.toHaveProperty('Default');
});

test('RotationLate alarms three days after the due date, in every stage', () => {
  for (const [, { Parameters: values }] of stages) {
    const due = Number(values['MaxAgeDays']) - Number(values['RotateAfterDays']);
    expect(Number(values['LateDaysLeft'])).toBe(due - 3);
    expect(Number(values['UrgentDaysLeft'])).toBeLessThan(due - 3);
  }
});

/** Every name that is one per AWS account and Region. */
function namesIn(template: Template): string[] {
  const keys = /^(Function|Queue|Topic|Alarm|LogGroup|Alias|Dashboard|Bucket)?Name$/;
  const inside = (value: Json): Json[] => {
    if (typeof value === 'string') return [value];
    const { 'Fn::Sub': text = [], 'Fn::If': branches = [] } = value as Fields;
    return [text, (branches as Json[]).slice(2)].flat();
  };
  return [
    ...Object.values(template.Resources).flatMap(({ Properties = {} }) =>
      Object.entries(Properties).flatMap(([key, value]) => (keys.test(key) ? inside(value) : [])),
    ),
    ...Object.values(template.Outputs ?? {}).flatMap(({ Export, Condition }) =>
      Export && Condition === undefined ? inside(Export.Name) : [],
    ),
  ].map((name) => JSON.stringify(name));
}

// On 03af53f no name had the stage: a second stage in the same AWS account could not be deployed.
test('two stages in one AWS account share no name', async () => {
  const other = await packageTemplate(folder, [], 'test');
  const live = namesIn(functions);

  expect(live.length).toBeGreaterThan(12);
  expect(namesIn(other).filter((name) => live.includes(name))).toEqual([]);
  for (const name of ['foundation', 'alarms']) {
    const found = namesIn(readTemplate(file(name)));
    expect(found.length).toBeGreaterThan(7);
    expect(found.filter((one) => !one.includes('${' + 'Stage}'))).toEqual([]);
  }
  const values = stages.map(([, { Parameters }]) => Parameters);
  for (const key of ['Stage', 'SecretPrefix', 'DiscoverTag', 'AuditOrigin'])
    expect(new Set(values.map((one) => one[key])).size).toBe(stages.length);
});

// On 03af53f `osls remove` deleted the log groups, which were the only place of the receipts.
test('removing the functions deletes neither the log nor a receipt', () => {
  const types = Object.values(functions.Resources).map(({ Type }) => Type);
  const foundation = readTemplate(file('foundation'));

  expect(types).not.toContain('AWS::Logs::LogGroup');
  for (const id of [
    'ScheduledLambdaFunction',
    'WorkerLambdaFunction',
    'RotationStepsLambdaFunction',
  ]) {
    expect(properties(functions, id)['LoggingConfig']).toMatchObject({
      LogGroup: '/thingspace-rotator/live',
    });
    const { Variables } = properties(functions, id)['Environment'] as { Variables: Fields };
    expect(Variables['ROTATOR_RECEIPTS__S3__BUCKET']).toEqual({
      'Fn::ImportValue': 'thingspace-rotator-live-AuditBucketName',
    });
  }
  for (const id of ['LogGroup', 'AuditBucket', 'AuditBucketPolicy', 'SecretKey', 'AuditKey'])
    expect([id, foundation.Resources[id]]).toMatchObject([
      id,
      { DeletionPolicy: 'Retain', UpdateReplacePolicy: 'Retain' },
    ]);
});

// On 03af53f enabling the rotation ran testSecret on the secret that the same stack had just made
// without a value, and it failed.
test('native rotation is enabled when the value is stored, and not before', () => {
  const account = readTemplate(file('account'));

  expect(account.Resources['Rotation']?.Condition).toBe('IsRotatedNatively');
  expect(account.Conditions?.['IsRotatedNatively']).toEqual({
    'Fn::And': [{ Condition: 'IsNative' }, { 'Fn::Equals': [{ Ref: 'ValueStored' }, 'yes'] }],
  });
  expect(account.Parameters?.['ValueStored']?.['Default']).toBe('no');
});

type Statement = { Principal: Fields; Effect: string; Condition?: Fields };
const statementsOf = (template: Template, id: string, key = 'PolicyDocument'): Statement[] =>
  (properties(template, id)[key] as { Statement: Statement[] }).Statement;

// On 03af53f one statement with aws:SourceAccount was for CloudWatch and EventBridge.
test('EventBridge reaches the topic, and an event that it cannot deliver is kept', () => {
  const alarms = readTemplate(file('alarms'));
  const isRule = ({ Principal }: Statement) => Principal['Service'] === 'events.amazonaws.com';

  const onTopic = statementsOf(alarms, 'TopicPolicy').filter(isRule);
  const onKey = statementsOf(alarms, 'TopicKey', 'KeyPolicy').filter(isRule);
  for (const found of [onTopic, onKey]) {
    expect(found).toHaveLength(1);
    expect(found[0]).not.toHaveProperty('Condition');
  }
  const [target] = properties(alarms, 'RotationFailed')['Targets'] as Fields[];
  expect(target?.['DeadLetterConfig']).toEqual({
    Arn: { 'Fn::GetAtt': ['RuleDeadLetterQueue', 'Arn'] },
  });
  expect(statementsOf(alarms, 'RuleDeadLetterPolicy').filter(isRule)).toMatchObject([
    {
      Action: 'sqs:SendMessage',
      Condition: { ArnEquals: { 'aws:SourceArn': { 'Fn::GetAtt': ['RotationFailed', 'Arn'] } } },
    },
  ]);
});

test('the sweep runs every 15 minutes, and its failure is not repeated', () => {
  expect(properties(functions, 'SweepSchedule')).toMatchObject({
    ScheduleExpression: 'rate(15 minutes)',
    Target: {
      Input: '{"source":"aws.scheduler","detail-type":"sweep"}',
      RetryPolicy: { MaximumRetryAttempts: 0 },
    },
  });
});

test('the runbook explains every alarm, and no other', () => {
  const alarms = Object.entries(readTemplate(file('alarms')).Resources)
    .filter(([, { Type }]) => Type === 'AWS::CloudWatch::Alarm')
    .map(([id]) => id);
  const runbook = readFileSync(join(root, 'docs/RUNBOOK.md'), 'utf8');
  const table = runbook.slice(runbook.indexOf('\n## Alarms on AWS\n'));

  expect([...table.matchAll(/^\| ([A-Z]\w+) \|/gm)].map((found) => found[1])).toEqual([
    'Alarm',
    ...alarms,
  ]);
});
