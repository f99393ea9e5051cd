// Rules of Secrets Manager that no recording covers (API reference and quotas, 2026-11), asked of
// the simulator directly; and the simulator's own promises to the tests that use it.

import { randomUUID } from 'node:crypto';
import {
  openSecretsManagerSimulator,
  type SecretsManagerSimulator,
} from '../fakes/secrets-manager.ts';

const SecretId = 's';
let simulator: SecretsManagerSimulator;
let first: string;

beforeEach(async () => {
  simulator = await openSecretsManagerSimulator();
  first = String(
    simulator.call('CreateSecret', {
      Name: SecretId,
      ClientRequestToken: randomUUID(),
      SecretString: 'v',
    })['VersionId'],
  );
});

afterEach(() => simulator.close());

const put = (input: object): string =>
  String(
    simulator.call('PutSecretValue', {
      SecretId,
      ClientRequestToken: randomUUID(),
      SecretString: 'x',
      ...input,
    })['VersionId'],
  );
const move = (
  VersionStage: string,
  RemoveFromVersionId?: string,
  MoveToVersionId?: string,
): unknown =>
  simulator.call('UpdateSecretVersionStage', {
    SecretId,
    VersionStage,
    RemoveFromVersionId,
    MoveToVersionId,
  });
const stages = (): unknown => simulator.call('DescribeSecret', { SecretId })['VersionIdsToStages'];
const codeOf = (act: () => unknown): string => {
  try {
    act();
    return 'done';
  } catch (error) {
    return String((error as { code?: string }).code);
  }
};

test('a label moves only with the version it is on named, and a wrong name changes nothing', () => {
  const second = put({ VersionStages: ['KEPT', 'AWSPENDING'] });
  const before = stages();

  const codes = [
    codeOf(() => move('AWSCURRENT', undefined, second)),
    codeOf(() => move('AWSCURRENT', second, second)),
    codeOf(() => move('KEPT', undefined, first)),
    codeOf(() => move('AWSCURRENT', first)),
    codeOf(() => move('AWSCURRENT', first, randomUUID())),
  ];

  expect(codes).toEqual([
    ...Array(4).fill('InvalidParameterException'),
    'ResourceNotFoundException',
  ]);
  expect(stages()).toEqual(before);
});

test('values, labels and tokens have the limits of the service', () => {
  const labels = (count: number): string[] =>
    Array.from({ length: count }, (_, index) => `L${index}`);

  const codes = [
    codeOf(() => put({ SecretString: 'ä'.repeat(32_768) })),
    codeOf(() => put({ SecretString: 'ä'.repeat(32_768).concat('a') })),
    codeOf(() => put({ VersionStages: labels(20) })),
    codeOf(() => put({ VersionStages: labels(21) })),
    codeOf(() => put({ ClientRequestToken: 'a'.repeat(31) })),
    codeOf(() => put({ ClientRequestToken: 'a'.repeat(32) })),
    codeOf(() => put({ ClientRequestToken: 'b'.repeat(64) })),
    codeOf(() => put({ ClientRequestToken: 'a'.repeat(65) })),
  ];

  const bad = 'ValidationException';
  expect(codes).toEqual(['done', bad, 'done', bad, bad, 'done', 'done', bad]);
});

test('a version over its labels is not made at all', () => {
  const second = put({ VersionStages: Array.from({ length: 20 }, (_, index) => `L${index}`) });

  expect(codeOf(() => move('ONE-MORE', undefined, second))).toBe('LimitExceededException');
});

test('a token holds one value for ever', () => {
  const ClientRequestToken = randomUUID();
  put({ ClientRequestToken });

  expect([
    codeOf(() => put({ ClientRequestToken })),
    codeOf(() => put({ ClientRequestToken, SecretString: 'y' })),
  ]).toEqual(['done', 'ResourceExistsException']);
});

test('the hundredth version without a label is forgotten, but never on its first day', async () => {
  await simulator.close();
  let nowMs = Date.now();
  simulator = await openSecretsManagerSimulator({ nowMs: () => nowMs });
  simulator.call('CreateSecret', {
    Name: SecretId,
    ClientRequestToken: randomUUID(),
    SecretString: 'v',
  });
  const count = (): number =>
    (
      simulator.call('ListSecretVersionIds', {
        SecretId,
        IncludeDeprecated: true,
        MaxResults: 100,
      })['Versions'] as []
    ).length;
  const nextToken = (): unknown =>
    simulator.call('ListSecretVersionIds', { SecretId, IncludeDeprecated: true })['NextToken'];
  const countAll = (): string => `${count()}${nextToken() ?? ''}`;
  for (let index = 0; index < 130; index += 1) put({});
  const young = countAll();
  nowMs += 25 * 3_600_000;

  put({});

  // 100 without a label, AWSPREVIOUS and AWSCURRENT: two on the second page.
  expect([
    young,
    (
      simulator.call('ListSecretVersionIds', {
        SecretId,
        IncludeDeprecated: true,
        NextToken: 'page-100',
      })['Versions'] as []
    ).length,
  ]).toEqual(['100page-100', 2]);
});

test('a rotation function is called four times, and again when it fails', async () => {
  await simulator.close();
  const steps: string[] = [];
  const rotate = ({ Step }: { Step: string }): Promise<void> => {
    steps.push(Step);
    return Step === 'setSecret' ? Promise.reject(new Error('no')) : Promise.resolve();
  };
  simulator = await openSecretsManagerSimulator({ rotationFunctions: { 'arn:l': rotate } });
  simulator.call('CreateSecret', {
    Name: SecretId,
    ClientRequestToken: randomUUID(),
    SecretString: 'v',
  });
  const ClientRequestToken = randomUUID();

  simulator.call('RotateSecret', { SecretId, ClientRequestToken, RotationLambdaARN: 'arn:l' });
  await simulator.rotationsFinished();

  expect(steps).toEqual(Array(5).fill(['createSecret', 'setSecret']).flat());
  expect(stages()).toMatchObject({ [ClientRequestToken]: ['AWSPENDING'] });
  expect(
    codeOf(() => simulator.call('RotateSecret', { SecretId, ClientRequestToken: randomUUID() })),
  ).toBe('InvalidRequestException');
});

test('RotateImmediately=false only tests, with an empty version that loses its label', async () => {
  await simulator.close();
  const steps: string[] = [];
  const rotationFunctions = {
    'arn:l': async ({ Step }: { Step: string }): Promise<void> => {
      steps.push(Step);
    },
  };
  simulator = await openSecretsManagerSimulator({ rotationFunctions });
  first = String(
    simulator.call('CreateSecret', {
      Name: SecretId,
      ClientRequestToken: randomUUID(),
      SecretString: 'v',
    })['VersionId'],
  );

  simulator.call('RotateSecret', {
    SecretId,
    ClientRequestToken: randomUUID(),
    RotationLambdaARN: 'arn:l',
    RotateImmediately: false,
  });
  await simulator.rotationsFinished();

  expect([steps, stages()]).toEqual([['testSecret'], { [first]: ['AWSCURRENT'] }]);
});

test('a request needs a recent signature, and the log keeps no value', async () => {
  const ask = (headers: Record<string, string>): Promise<Response> =>
    fetch(simulator.url, {
      method: 'POST',
      headers: { 'x-amz-target': 'secretsmanager.PutSecretValue', connection: 'close', ...headers },
      body: JSON.stringify({ SecretId, SecretString: 'planted' }),
    });
  const authorization =
    'AWS4-HMAC-SHA256 Credential=x/20261123/us-east-1/secretsmanager/aws4_request, Signature=x';

  const answers = [await ask({}), await ask({ authorization, 'x-amz-date': '20200101T000000Z' })];

  expect(await Promise.all(answers.map((answer) => answer.json()))).toMatchObject([
    { __type: 'MissingAuthenticationTokenException' },
    { __type: 'InvalidSignatureException' },
  ]);
  expect(answers.map(({ status, headers }) => [status, headers.has('date')])).toEqual(
    Array(2).fill([400, true]),
  );
  expect(JSON.stringify(simulator.requests)).not.toContain('planted');
  expect(simulator.requests[0]?.resource).toBe(
    simulator.call('DescribeSecret', { SecretId })['ARN'],
  );
});
