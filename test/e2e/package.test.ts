// The zip that is deployed to AWS, in Node 24 without our node_modules, behind a fake of the Lambda
// runtime API: cold, warm, with too little time, with SIGTERM, and killed during a rotation.

import { randomUUID } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { formatWork } from '../../src/lambda/messages.ts';
import {
  type Ended,
  type FunctionProcess,
  packagedFunctions,
  packageFunction,
  removeFunction,
} from '../harness/lambda-runtime.ts';
import { type LambdaRig, openLambdaRig, sqsEvent } from '../harness/lambda-world.ts';
import { testPart } from '../harness/sample.ts';

/** Half of those that start functions in each run. */
const sampled = testPart(2);

const functions = packagedFunctions();
let rig: LambdaRig;
afterEach(async () => {
  await functions.end();
  rig.thingspace.release();
  await rig.close();
});

const start = (
  handler: 'scheduled' | 'worker' | 'rotationSteps',
  extras: Record<string, string> = {},
): Promise<FunctionProcess> => functions.start(handler, rig.env(extras));

const byHand = { action: 'rotate', force: true, reason: 'test' };
const answerOf = (ended: Ended): Record<string, never> =>
  'value' in ended ? (ended.value as never) : (ended as never);
const firstResult = (ended: Ended): Record<string, unknown> =>
  (answerOf(ended) as { results?: Record<string, unknown>[] }).results?.[0] ?? {
    ...answerOf(ended),
  };

test('the zip contains the handlers and their chunks, and nothing else', async () => {
  rig = await openLambdaRig({ users: {} });

  expect(readdirSync(functions.folder()).sort()).toEqual(['chunks', 'lambda.js']);
});

test('the same sources give the same bytes, so a second deployment changes nothing', async () => {
  rig = await openLambdaRig({ users: {} });
  const again = packageFunction();

  const archive = (folder: string): Buffer =>
    readFileSync(join(dirname(folder), 'package/function.zip'));
  expect(archive(again).equals(archive(functions.folder()))).toBe(true);
  removeFunction(again);
});

test('a function loads at most 700 kB before its first rotation', async () => {
  rig = await openLambdaRig({ users: {} });
  const { bundleFunction, loadedBytes } = (await import(
    '../../scripts/function-bundle.mjs' as string
  )) as {
    bundleFunction(): Promise<{ metafile: { outputs: Record<string, { entryPoint?: string }> } }>;
    loadedBytes(
      outputs: object,
      entry: string,
      isLazy: (path: string) => boolean,
    ): { bytes: number };
  };
  const { outputs } = (await bundleFunction()).metafile;
  const entry = Object.keys(outputs).find((path) => path.endsWith('/lambda.js')) ?? '';
  const { bytes } = loadedBytes(
    outputs,
    entry,
    (path) => outputs[path]?.entryPoint?.includes('stores/secrets-manager') === true,
  );

  expect(bytes).toBeGreaterThan(400_000);
  expect(bytes).toBeLessThanOrEqual(700_000);
});

sampled('a warm invocation uses the connections and keys of the cold one', async () => {
  rig = await openLambdaRig({ users: { east: 'old-east' } });
  const scheduled = await start('scheduled');

  const cold = await scheduled.invoke(byHand);
  const warm = await scheduled.invoke(byHand);

  expect([firstResult(cold), firstResult(warm)]).toMatchObject([
    { outcome: 'rotated' },
    { outcome: 'rotated' },
  ]);
  expect(rig.aws.calls.filter(({ action }) => action === 'GetPublicKey')).toHaveLength(1);
  expect(rig.current('east').password).toBe(rig.thingspace.livePassword('east'));
  for (const line of scheduled.lines) expect(() => JSON.parse(line)).not.toThrow();
});

sampled('an invalid configuration is an error that names its variable', async () => {
  rig = await openLambdaRig({ users: { east: 'old-east' } });
  const scheduled = await start('scheduled', { ROTATOR_POLICY__MAX_AGE_DAYS: 'ninety' });

  const ended = await scheduled.invoke(byHand);

  expect(ended).toEqual({
    error: {
      errorType: 'UsageError',
      errorMessage: expect.stringContaining(
        'ROTATOR_POLICY__MAX_AGE_DAYS: policy.maxAgeDays takes an integer',
      ),
    },
  });
});

sampled('an invocation with too little remaining time sends no reset', async () => {
  rig = await openLambdaRig({ users: { east: 'old-east' } });
  const scheduled = await start('scheduled');

  const ended = await scheduled.invoke(byHand, 15_000);

  expect(firstResult(ended)).toMatchObject({ reason: 'out-of-time', certainty: 'unchanged' });
  expect(rig.thingspace.resetsReceived('east')).toBe(0);
});

sampled('SIGTERM before the reset ends the attempt, and the response is complete', async () => {
  rig = await openLambdaRig({ users: { east: 'old-east' } });
  const scheduled = await start('scheduled');
  rig.thingspace.arm({ fault: 'hold', call: 'login' });
  const held = rig.thingspace.waitFor('held', { call: 'login' });

  const running = scheduled.invoke(byHand);
  await held;
  scheduled.signal('SIGTERM');
  await scheduled.line('"event":"signal.received"');
  rig.thingspace.release();
  const ended = await running;

  expect(firstResult(ended)).toMatchObject({ reason: 'interrupted', certainty: 'unchanged' });
  expect(rig.thingspace.resetsReceived('east')).toBe(0);
});

sampled('SIGTERM after the reset does not prevent that the password is stored', async () => {
  rig = await openLambdaRig({ users: { east: 'old-east' } });
  const scheduled = await start('scheduled');
  rig.thingspace.arm({ fault: 'hang', call: 'reset' });
  const committed = rig.thingspace.waitFor('committed', { call: 'reset' });

  const running = scheduled.invoke(byHand);
  await committed;
  scheduled.signal('SIGTERM');
  await scheduled.line('"event":"signal.received"');
  rig.thingspace.release();
  const ended = await running;

  expect(firstResult(ended)).toMatchObject({ outcome: 'rotated' });
  expect(rig.current('east').password).toBe(rig.thingspace.livePassword('east'));
});

sampled(
  'after a kill at the login the next instance waits for the lease, then rotates',
  async () => {
    rig = await openLambdaRig({ users: { east: 'old-east' } });
    const killed = await start('scheduled');
    rig.thingspace.arm({ fault: 'hold', call: 'login' });
    const held = rig.thingspace.waitFor('held', { call: 'login' });
    const running = killed.invoke(byHand);
    await held;
    killed.signal('SIGKILL');
    expect(await running).toEqual({ died: true });
    rig.thingspace.release();

    const next = await start('scheduled');
    const early = await next.invoke(byHand);
    rig.advance(60_000);
    const late = await next.invoke(byHand);

    expect(firstResult(early)).toMatchObject({ reason: 'busy', logins: 0 });
    expect(firstResult(late)).toMatchObject({ outcome: 'rotated' });
    expect(rig.current('east').password).toBe(rig.thingspace.livePassword('east'));
  },
);

sampled(
  'after a kill between store and promote the next instance promotes and verifies',
  async () => {
    rig = await openLambdaRig({ users: { east: 'old-east' } });
    const killed = await start('scheduled');
    rig.secretsManager.inject('UpdateSecretVersionStage', 'access-denied', 1_000);
    const running = killed.invoke(byHand);
    await killed.line('"event":"saving.retried"');
    killed.signal('SIGKILL');
    expect(await running).toEqual({ died: true });
    rig.secretsManager.heal();

    const next = await start('scheduled');
    rig.advance(60_000);
    const ended = await next.invoke({ source: 'aws.scheduler' });

    expect(firstResult(ended)).toMatchObject({ outcome: 'recovered' });
    expect(rig.current('east').password).toBe(rig.thingspace.livePassword('east'));
    expect(rig.thingspace.resetsReceived('east')).toBe(1);
    expect(rig.thingspace.failedLogins('east').most).toBe(0);
  },
);

sampled('after a kill before the reset response one login shows that it is lost', async () => {
  rig = await openLambdaRig({ users: { east: 'old-east' } });
  const killed = await start('scheduled');
  rig.thingspace.arm({ fault: 'hang', call: 'reset' });
  const committed = rig.thingspace.waitFor('committed', { call: 'reset' });
  const running = killed.invoke(byHand);
  await committed;
  killed.signal('SIGKILL');
  expect(await running).toEqual({ died: true });

  const next = await start('scheduled');
  const early = await next.invoke(byHand);
  rig.advance(120_000);
  const late = await next.invoke(byHand);
  const again = await next.invoke(byHand);

  expect(firstResult(early)).toMatchObject({ certainty: 'in-doubt', logins: 0 });
  expect(firstResult(late)).toMatchObject({
    certainty: 'lost',
    reason: 'password-lost',
    logins: 1,
  });
  expect(firstResult(again)).toMatchObject({ reason: 'password-lost', logins: 0 });
  expect(rig.thingspace.resetsReceived('east')).toBe(1);
});

sampled(
  'two workers rotate ten accounts from SQS once each, despite duplicate messages',
  async () => {
    const users = Object.fromEntries(
      Array.from({ length: 10 }, (_, index) => [`u${index}`, `old-${index}`]),
    );
    rig = await openLambdaRig({ users });
    const messages = Object.keys(users).map((account) =>
      formatWork({
        account: `thingspace/${account}`,
        secretId: rig.arn(account),
        force: true,
        idempotencyKey: 'order-1',
        trigger: { kind: 'schedule' },
      }),
    );
    const [one, other] = [await start('worker'), await start('worker')];

    const answers = await Promise.all([
      one.invoke(sqsEvent(...messages.slice(0, 5), messages[1] ?? '', 'poison')),
      other.invoke(sqsEvent(...messages.slice(5), messages[6] ?? '')),
    ]);

    expect(answers.map(answerOf)).toEqual([
      { batchItemFailures: [{ itemIdentifier: 'message-6' }] },
      { batchItemFailures: [] },
    ]);
    for (const account of Object.keys(users)) {
      expect([account, rig.thingspace.resetsReceived(account)]).toEqual([account, 1]);
      expect(rig.current(account).password).toBe(rig.thingspace.livePassword(account));
    }
    expect(one.lines.join('\n')).toContain('work.poisoned');
  },
);

sampled('the packaged handler completes two rotations started by Secrets Manager', async () => {
  const functionArn = 'arn:aws:lambda:us-east-1:111111111111:function:rotation-steps';
  let steps: FunctionProcess | undefined;
  rig = await openLambdaRig({
    users: { east: 'old-east' },
    rotationFunctions: {
      [functionArn]: async (step) => {
        const ended = await steps?.invoke(step);
        if (!ended || !('value' in ended)) throw new Error('the step failed');
      },
    },
  });
  steps = await start('rotationSteps');

  for (let time = 1; time <= 2; time += 1) {
    const token = randomUUID();
    rig.secretsManager.call('RotateSecret', {
      SecretId: rig.arn('east'),
      RotationLambdaARN: functionArn,
      ClientRequestToken: token,
    });
    await rig.secretsManager.rotationsFinished();

    expect(rig.current('east')).toEqual({
      versionId: token,
      password: rig.thingspace.livePassword('east'),
    });
    expect(rig.thingspace.resetsReceived('east')).toBe(time);
  }
});
