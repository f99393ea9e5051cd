// What only the Secrets Manager adapter owes: faults of the network and the service, credentials,
// clocks, paging.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import {
  type AwsService,
  failureOf as failureFor,
  meanings,
  readAwsError,
} from '../../src/aws/call.ts';
import { openClock } from '../../src/clock.ts';
import { Secret } from '../../src/secret.ts';
import { openSecretStore } from '../../src/stores/secret-store.ts';
import { openSecretsManager } from '../../src/stores/secrets-manager.ts';
import { parseHttpDate } from '../../src/time.ts';
import type { Fault } from '../fakes/secrets-manager.ts';
import {
  documentText,
  expectNothingPlanted,
  failureOf,
  planted,
  record,
} from '../harness/store-contract.ts';
import { openSecretsManagerWorld, type SecretsManagerWorld } from '../harness/store-worlds.ts';

const secretId = 'thingspace/fleet-east';
const token = '0d9f3a1e-0000-4000-8000-000000000001';
let world: SecretsManagerWorld;

beforeEach(async () => {
  world = await openSecretsManagerWorld();
  await world.putByHand(secretId, documentText);
});

afterEach(() => world.close());

const account = () => openSecretStore(world.versions(secretId), { secretId });
const asked = (action: string): number =>
  world.simulator.requests.filter((request) => request.action === action).length;

test.each<Fault>([
  'unavailable',
  'internal-error',
  'throttled',
  'drop-before-commit',
  'drop-after-commit',
  'proxy-page',
  'truncated',
])('a read that meets "%s" twice is tried a third time', async (fault) => {
  world.simulator.inject('GetSecretValue', fault, 2);

  const current = await account().readCurrent();

  expect([current.credentials.username, asked('GetSecretValue')]).toEqual(['uws', 3]);
});

test.each<[Fault, string]>([
  ['unavailable', 'did not answer'],
  ['throttled', 'throttled'],
  ['drop-after-commit', 'did not answer'],
  ['proxy-page', 'did not answer'],
])(
  'a store that answers every attempt with "%s" is unavailable after three attempts',
  async (fault, problem) => {
    world.simulator.inject('GetSecretValue', fault, 9);

    const failure = await failureOf(account().readCurrent());

    expect([failure.reason, asked('GetSecretValue')]).toEqual(['store-unavailable', 3]);
    expect(failure.detail).toContain(
      `Secrets Manager ${problem} GetSecretValue on secret thingspace/fleet-east`,
    );
  },
);

test.each<[Fault, string, string]>([
  [
    'access-denied',
    'GetSecretValue',
    'secretsmanager:GetSecretValue on secret thingspace/fleet-east is not allowed',
  ],
  ['kms-denied', 'GetSecretValue', 'kms:Decrypt, and an enabled key, are needed'],
  ['decryption-failure', 'GetSecretValue', 'kms:Decrypt, and an enabled key, are needed'],
  ['expired-credentials', 'GetSecretValue', 'AWS credentials are missing, expired or not accepted'],
])('"%s" is not tried again and names what to grant', async (fault, action, sentence) => {
  world.simulator.inject(action, fault);

  const failure = await failureOf(account().readCurrent());

  expect([failure.reason, asked(action)]).toEqual(['store-denied', 1]);
  expect(failure.detail).toContain(sentence);
});

test('a write that KMS refuses names the permission of a write', async () => {
  world.simulator.inject('PutSecretValue', 'kms-denied');

  const failure = await failureOf(account().putRecord(record(1)));

  expect(failure.detail).toContain('kms:GenerateDataKey and kms:Decrypt');
});

test('a quota is not load: it is not tried again', async () => {
  world.simulator.inject('PutSecretValue', 'limit-exceeded');

  const failure = await failureOf(account().putRecord(record(1)));

  expect([failure.reason, asked('PutSecretValue')]).toEqual(['store-unavailable', 1]);
});

test('a put whose answer was lost is repeated under its token and makes one version', async () => {
  world.simulator.inject('PutSecretValue', 'drop-after-commit');

  const answer = await world
    .versions(secretId)
    .put({ token, value: new Secret('x'), stages: ['AWSPENDING'] });

  expect([answer, asked('PutSecretValue'), (await world.versions(secretId).list()).length]).toEqual(
    ['written', 2, 2],
  );
});

test('a promotion with a lost response reports a conflict, and is done', async () => {
  const store = account();
  const current = await store.readCurrent();
  await store.putPending(token, current, new Secret(planted.fresh));
  world.simulator.inject('UpdateSecretVersionStage', 'drop-after-commit');

  const answer = await store.promote(current.versionId, token);

  expect([answer, (await store.readCurrent()).versionId]).toEqual(['conflict', token]);
});

test('a server that never answers is given up after the timeout', async () => {
  const impatient = openSecretsManager({
    clock: openClock(),
    requestTimeoutMs: 100,
    maxAttempts: 2,
  });
  world.simulator.inject('GetSecretValue', 'silent', 2);

  const failure = await failureOf(impatient.versions(secretId).read({ stage: 'AWSCURRENT' }));

  // A busy server may see fewer requests than were made: some end before they arrive.
  impatient.close();
  expect(failure.reason).toBe('store-unavailable');
  expect(failure.detail).toContain('TimeoutError');
});

test('a store that is not there at all is unavailable', async () => {
  await world.simulator.close();

  const failure = await failureOf(account().readCurrent());

  expect(failure).toEqual({
    reason: 'store-unavailable',
    detail: expect.stringContaining('did not answer GetSecretValue'),
  });
});

test('a stale label is passed over for the record of the sequence that was just won', async () => {
  const store = account();
  for (const sequence of [1, 2]) await store.putRecord(record(sequence));
  world.simulator.inject('GetSecretValue', 'stale-labels');

  const found = await store.readRecord(2);

  expect(found?.record.sequence).toBe(2);
});

test('a secret scheduled for deletion is invalid, on reading and on writing', async () => {
  const store = account();
  await store.readCurrent();
  world.simulator.call('DeleteSecret', { SecretId: secretId });

  const failures = [
    await failureOf(store.readCurrent()),
    await failureOf(store.putRecord(record(1))),
    await failureOf(store.promote('a', 'b')),
  ];

  expect(failures.map(({ reason }) => reason)).toEqual([
    'secret-invalid',
    'secret-invalid',
    'secret-invalid',
  ]);
  expect(failures[0]?.detail).toContain('is scheduled for deletion');
});

test('a secret that is created again has new records for all processes', async () => {
  const store = account();
  await store.putRecord(record(1, 'a'));
  world.simulator.call('DeleteSecret', { SecretId: secretId, ForceDeleteWithoutRecovery: true });
  await world.putByHand(secretId, documentText);
  await store.readCurrent();

  const answers = [
    await store.readRecord(1),
    await store.putRecord(record(1, 'b')),
    await account().putRecord(record(1, 'c')),
  ];

  expect(answers).toEqual([null, 'written', 'taken']);
});

test('a binary value is rejected, and a binary pending version is foreign', async () => {
  const SecretBinary = Buffer.from(documentText).toString('base64');
  world.simulator.call('PutSecretValue', {
    SecretId: secretId,
    ClientRequestToken: token,
    SecretBinary,
    VersionStages: ['AWSPENDING'],
  });
  const pending = await account().readPending();
  world.simulator.call('PutSecretValue', {
    SecretId: secretId,
    ClientRequestToken: `${token}-2`,
    SecretBinary,
  });

  const failure = await failureOf(account().readCurrent());

  expect([pending, failure.reason]).toEqual([token, 'secret-invalid']);
  expect(failure.detail).toContain('is binary');
});

test('the empty version of an unfinished native rotation is not pending', async () => {
  await world.close();
  const rotationFunctions = {
    'arn:lambda': () => Promise.reject(new Error('the function failed')),
  };
  world = await openSecretsManagerWorld({}, { rotationFunctions });
  await world.putByHand(secretId, documentText);
  world.simulator.call('RotateSecret', {
    SecretId: secretId,
    ClientRequestToken: token,
    RotationLambdaARN: 'arn:lambda',
  });
  await world.simulator.rotationsFinished();
  const before = await account().readPending();

  await account().putPending(token, await account().readCurrent(), new Secret(planted.fresh));

  expect([before, await account().readPending()]).toEqual([null, token]);
});

test('the versions of a secret and the secrets of a tag are listed over all pages', async () => {
  for (let index = 0; index < 120; index += 1) {
    const ClientRequestToken = `0d9f3a1e-0000-4000-8000-${String(index).padStart(12, '0')}`;
    world.simulator.call('PutSecretValue', {
      SecretId: secretId,
      ClientRequestToken,
      SecretString: 'x',
      VersionStages: ['KEPT'],
    });
    world.simulator.call('CreateSecret', {
      Name: `tagged-${index}`,
      ClientRequestToken,
      Tags: [{ Key: 'rotate', Value: '' }],
    });
  }
  world.simulator.call('TagResource', {
    SecretId: secretId,
    Tags: [{ Key: 'rotate-not', Value: '' }],
  });
  world.simulator.call('DeleteSecret', { SecretId: 'tagged-7' });

  const [versions, found] = [
    await world.versions(secretId).list(),
    await world.store.discover('rotate'),
  ];

  expect([versions.length, found.length, found[0]]).toEqual([
    121,
    119,
    { secretId: expect.stringMatching(/^arn:.*:secret:tagged-0-/), name: 'tagged-0' },
  ]);
});

test('the age of a password that many versions have costs few reads', async () => {
  const store = account();
  for (let edit = 0; edit < 80; edit += 1)
    await world.putByHand(secretId, documentText.replace('}', `,"edit":${edit}}`));
  const before = asked('GetSecretValue');

  await store.passwordSince(await store.readCurrent());

  expect(asked('GetSecretValue') - before).toBeLessThan(32);
});

test('no read goes without a label or an id, and a rotation needs four permissions', async () => {
  const store = account();
  const current = await store.readCurrent();
  await store.readRecord(1);
  await store.putRecord(record(1));
  await store.putPending(token, current, new Secret(planted.fresh));
  await store.promote(current.versionId, token);
  await store.passwordSince(await store.readCurrent());

  const reads = world.simulator.requests.filter(({ action }) => action === 'GetSecretValue');
  expect(
    reads.filter(({ input }) => !('VersionId' in input) && !('VersionStage' in input)),
  ).toEqual([]);
  expect([...new Set(world.simulator.requests.map(({ action }) => action))].sort()).toEqual([
    'GetSecretValue',
    'ListSecretVersionIds',
    'PutSecretValue',
    'UpdateSecretVersionStage',
  ]);
});

test('the requests are exactly the documented ones', async () => {
  const versions = world.versions(secretId);
  const { requests } = world.simulator;
  const first = (await versions.read({ stage: 'AWSCURRENT' }))?.versionId ?? '';
  await versions.read({ versionId: first });
  await versions.put({ token, value: new Secret('x'), stages: ['AWSPENDING', 'KEPT'] });
  await versions.move('AWSCURRENT', first, token);
  await versions.move('ROTATION', null, token);
  await versions.list();
  await world.store.discover('rotate');

  expect(requests.map(({ action, input }) => ({ action, ...input }))).toEqual([
    { action: 'GetSecretValue', SecretId: secretId, VersionStage: 'AWSCURRENT' },
    { action: 'GetSecretValue', SecretId: secretId, VersionId: first },
    {
      action: 'PutSecretValue',
      SecretId: secretId,
      ClientRequestToken: token,
      VersionStages: ['AWSPENDING', 'KEPT'],
    },
    {
      action: 'UpdateSecretVersionStage',
      SecretId: secretId,
      VersionStage: 'AWSCURRENT',
      MoveToVersionId: token,
      RemoveFromVersionId: first,
    },
    {
      action: 'UpdateSecretVersionStage',
      SecretId: secretId,
      VersionStage: 'ROTATION',
      MoveToVersionId: token,
    },
    {
      action: 'ListSecretVersionIds',
      SecretId: secretId,
      IncludeDeprecated: true,
      MaxResults: 100,
    },
    {
      action: 'ListSecrets',
      Filters: [{ Key: 'tag-key', Values: ['rotate'] }],
      MaxResults: 100,
      IncludePlannedDeletion: false,
    },
  ]);
});

test('a version is read with all that the service says of it', async () => {
  const written = await world.versions(secretId).read({ stage: 'AWSCURRENT' });

  const { value } = written ?? {};
  expect({ ...written, value: value instanceof Secret && value.reveal() }).toEqual({
    versionId: expect.stringMatching(/^[0-9a-f-]{36}$/),
    stages: ['AWSCURRENT'],
    createdAtMs: expect.any(Number),
    storeNowMs: expect.any(Number),
    value: documentText,
    identity: expect.stringMatching(/^arn:aws:secretsmanager:us-east-1:\d{12}:secret:thingspace/),
  });
  expect(Number(written?.storeNowMs) % 1000).toBe(0);
  expect(await world.versions(secretId).list()).toEqual([
    { versionId: written?.versionId, stages: ['AWSCURRENT'], createdAtMs: written?.createdAtMs },
  ]);
  expect(world.versions(secretId).youngVersionLimit).toBe(100);
});

test('a failure names the call, the secret or the tag, and what to grant', async () => {
  for (const action of ['PutSecretValue', 'UpdateSecretVersionStage', 'ListSecretVersionIds'])
    world.simulator.inject(action, 'access-denied');
  world.simulator.inject('ListSecrets', 'access-denied');
  const versions = world.versions(secretId);

  const failures = [
    await failureOf(versions.put({ token, value: new Secret('x'), stages: [] })),
    await failureOf(versions.move('AWSCURRENT', null, token)),
    await failureOf(versions.list()),
    await failureOf(world.store.discover('rotate')),
  ];

  expect(failures.map(({ detail }) => detail.replace(/ \(.*|;.*/, ''))).toEqual([
    `secretsmanager:PutSecretValue on secret ${secretId} is not allowed`,
    `secretsmanager:UpdateSecretVersionStage on secret ${secretId} is not allowed`,
    `secretsmanager:ListSecretVersionIds on secret ${secretId} is not allowed`,
    'secretsmanager:ListSecrets on secrets with the tag rotate is not allowed',
  ]);
});

test('the account and the application secret are read side by side', async () => {
  await world.putByHand('thingspace/app', documentText);
  const oauth = { secretId: 'thingspace/app', versions: world.versions('thingspace/app') };
  const held = world.simulator.hold('GetSecretValue');

  const reading = openSecretStore(world.versions(secretId), { secretId, oauth }).readCurrent();
  await held.arrived;
  await world.simulator.waitFor(({ action }) => action === 'GetSecretValue');
  held.release();
  await reading;

  expect(world.simulator.mostAtOnce('GetSecretValue')).toBe(2);
});

test.each([-86_400_000, -360_000, 360_000, 86_400_000])(
  'a machine whose clock is %i ms off is still let in',
  async (ms) => {
    world.advance(ms);

    expect((await account().readCurrent()).credentials.username).toBe('uws');
  },
);

test('missing credentials and a missing Region are reported', async () => {
  const { env } = process;
  const nowhere = mkdtempSync(join(tmpdir(), 'rotator-home-'));
  const { AWS_ACCESS_KEY_ID: _id, AWS_SECRET_ACCESS_KEY: _key, AWS_REGION: _region, ...rest } = env;
  const off = {
    HOME: nowhere,
    AWS_EC2_METADATA_DISABLED: 'true',
    AWS_CONFIG_FILE: join(nowhere, 'c'),
    AWS_SHARED_CREDENTIALS_FILE: join(nowhere, 's'),
  };
  process.env = { ...rest, ...off };
  using _restored = {
    [Symbol.dispose]() {
      process.env = env;
      rmSync(nowhere, { recursive: true });
    },
  };
  const failures = [];
  for (const region of [undefined, 'us-east-1']) {
    const store = openSecretsManager({ clock: openClock(), ...(region ? { region } : {}) });
    failures.push(await failureOf(store.versions(secretId).read({ stage: 'AWSCURRENT' })));
    store.close();
  }

  expect(failures.map(({ reason }) => reason)).toEqual(['store-denied', 'store-denied']);
  expect(failures[0]?.detail).toContain('no AWS Region is configured');
  expect(failures[1]?.detail).toContain('AWS credentials are missing');
});

test('an SDK error shows no more than its code and its request id', () => {
  const service: AwsService = {
    name: 'Secrets Manager',
    prefix: 'secretsmanager',
    denied: 'store-denied',
    missing: 'secret-not-found',
    deletion: 'secret-invalid',
    unavailable: 'store-unavailable',
  };
  for (const name of [...meanings.keys(), 'Error', planted.password, `Code ${planted.password}`]) {
    const error = Object.assign(new Error(`${planted.password} in the message`), {
      name,
      code: planted.clientSecret,
      $metadata: { requestId: `${planted.fresh} `, httpStatusCode: 400 },
      $response: { body: planted.password },
    });

    const refusal = readAwsError(error);

    if (!name.includes('planted') && name !== 'Error')
      expectNothingPlanted(
        failureFor(
          service,
          { action: 'PutSecretValue', subject: 'secret x', resource: 'x' },
          refusal,
        ),
      );
    expect([refusal.requestId, Object.keys(refusal).sort()]).toEqual([
      '',
      ['code', 'meaning', 'requestId'],
    ]);
  }
});

test('an HTTP date is read as Date itself would, and nothing else is taken for one', () => {
  const years = { min: new Date('1600-01-01'), max: new Date('9999-12-31'), noInvalidDate: true };
  fc.assert(
    fc.property(
      fc.date(years),
      (date) => parseHttpDate(date.toUTCString()) === Math.floor(date.getTime() / 1000) * 1000,
    ),
  );

  expect(
    [undefined, '', 'now', '2026-11-23T10:00:00Z', 'Sun, 06 Foo 1994 08:49:37 GMT'].map(
      parseHttpDate,
    ),
  ).toEqual(Array(5).fill(null));
});
