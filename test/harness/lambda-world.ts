// The functions in this process, on loopback: simulated ThingSpace, and fakes of Secrets Manager,
// S3, KMS and SQS, one world per function instance. Only for tests.

import { randomUUID } from 'node:crypto';
import {
  createInstance,
  type Invocation,
  type LambdaContext,
  type LambdaInstance,
} from '../../src/lambda/runtime.ts';
import {
  openThingSpaceSimulator,
  type ThingSpaceSimulator,
  type ThingSpaceSimulatorOptions,
} from '../../src/simulator/thingspace.ts';
import { type AwsFake, openAwsFake } from '../fakes/aws.ts';
import {
  openSecretsManagerSimulator,
  type RotationFunction,
  type SecretsManagerSimulator,
} from '../fakes/secrets-manager.ts';
import { limitMs } from './limits.mjs';
import { application } from './rig.ts';

const tag = 'thingspace-rotator';

export type LambdaRig = {
  readonly thingspace: ThingSpaceSimulator;
  readonly secretsManager: SecretsManagerSimulator;
  readonly aws: AwsFake;
  /** The environment of a function, with extras on top. */
  env(extras?: Readonly<Record<string, string>>): Record<string, string>;
  /** Another instance of a function: its own world, its own lines. */
  instance(extras?: Readonly<Record<string, string>>): Instance;
  /** What AWSCURRENT holds. */
  current(account: string): { versionId: string; password: string };
  arn(account: string): string;
  /**
   * Moves Secrets Manager's clock: a lease runs out without waiting. At most five minutes, or
   * signatures are too old.
   */
  advance(ms: number): void;
  close(): Promise<void>;
};

export type Instance = {
  readonly lines: string[];
  /** Resolves with the first line, past or future, that contains the text. */
  line(text: string): Promise<string>;
  /** Runs one handler as one invocation. */
  invoke<T>(
    work: (event: unknown, invocation: Invocation) => Promise<T>,
    event: unknown,
    remainingMs?: () => number,
  ): Promise<T>;
  /** As Lambda's SIGTERM. */
  shutdown(): void;
};

export async function openLambdaRig(options: {
  readonly users: Readonly<Record<string, string>>;
  readonly thingspace?: Partial<ThingSpaceSimulatorOptions>;
  readonly rotationFunctions?: Readonly<Record<string, RotationFunction>>;
}): Promise<LambdaRig> {
  const users = Object.entries(options.users).map(([username, password]) => ({
    username,
    password,
  }));
  const thingspace = await openThingSpaceSimulator({
    users,
    applications: [application],
    ...options.thingspace,
  });
  let advancedMs = 0;
  const nowMs = (): number => Date.now() + advancedMs;
  const secretsManager = await openSecretsManagerSimulator({
    nowMs,
    rotationFunctions: options.rotationFunctions ?? {},
  });
  const aws = await openAwsFake();
  const arns = new Map<string, string>();
  for (const { username, password } of users) {
    const { ARN } = secretsManager.call('CreateSecret', {
      Name: `thingspace/${username}`,
      SecretString: JSON.stringify({ username, password, ...application }),
      ClientRequestToken: randomUUID(),
      Tags: [{ Key: tag, Value: 'own' }],
    });
    arns.set(username, String(ARN));
  }
  const env = (extras: Readonly<Record<string, string>> = {}): Record<string, string> => ({
    ...aws.env,
    AWS_ENDPOINT_URL_SECRETS_MANAGER: secretsManager.url,
    AWS_LAMBDA_FUNCTION_NAME: 'thingspace-rotator-test',
    ROTATOR_THINGSPACE__BASE_URL: thingspace.baseUrl,
    ROTATOR_THINGSPACE__REQUEST_TIMEOUT_MS: String(limitMs(5000)),
    ROTATOR_THINGSPACE__RESET_TIMEOUT_MS: String(limitMs(5000)),
    ROTATOR_THINGSPACE__SETTLE_MS: '0',
    ROTATOR_STORE__TYPE: 'secrets-manager',
    ROTATOR_STORE__REGION: 'us-east-1',
    ROTATOR_DISCOVER__TAG: tag,
    ROTATOR_AUDIT__ORIGIN: 'test.example/audit',
    ROTATOR_AUDIT__S3__BUCKET: aws.bucket,
    ROTATOR_AUDIT__S3__PREFIX: 'audit/',
    ROTATOR_AUDIT__KMS_KEY_ID: aws.keyArn,
    ROTATOR_RECEIPTS__S3__BUCKET: aws.bucket,
    ROTATOR_RECEIPTS__S3__PREFIX: 'receipts/',
    ...extras,
  });
  return {
    thingspace,
    secretsManager,
    aws,
    env,
    instance: (extras) => {
      // The SDK reads the environment of the process.
      Object.assign(process.env, env(extras));
      for (const name of Object.keys(process.env))
        if (name.startsWith('ROTATOR_')) delete process.env[name];
      const lines: string[] = [];
      const watchers: { text: string; found: (line: string) => void }[] = [];
      let shutdown = (): void => {};
      const lambda: LambdaInstance = createInstance({
        env: env(extras),
        pid: 0,
        cwd: '/nowhere',
        writeLine: (line) => {
          lines.push(line);
          for (const { text, found } of watchers) if (line.includes(text)) found(line);
        },
        onShutdown: (handler) => {
          shutdown = handler;
        },
      });
      return {
        lines,
        line: (text) =>
          new Promise((found) => {
            const seen = lines.find((line) => line.includes(text));
            if (seen === undefined) watchers.push({ text, found });
            else found(seen);
          }),
        invoke: (work, event, remainingMs = () => 900_000) => {
          const context: LambdaContext = {
            awsRequestId: randomUUID(),
            invokedFunctionArn:
              'arn:aws:lambda:us-east-1:111111111111:function:thingspace-rotator-test',
            getRemainingTimeInMillis: remainingMs,
          };
          return lambda.invoke(context, (invocation) => work(event, invocation));
        },
        shutdown: () => shutdown(),
      };
    },
    current: (account) => {
      const { VersionId, SecretString } = secretsManager.call('GetSecretValue', {
        SecretId: `thingspace/${account}`,
        VersionStage: 'AWSCURRENT',
      });
      return { versionId: String(VersionId), password: JSON.parse(String(SecretString)).password };
    },
    advance: (ms) => {
      advancedMs += ms;
    },
    arn: (account) => arns.get(account) ?? '',
    close: async () => {
      await thingspace.close();
      await secretsManager.close();
      await aws.close();
    },
  };
}

/** Version 0.1 has no bucket of receipts, and refuses its keys. */
export function withoutReceiptsBucket(env: Readonly<Record<string, string>>) {
  const isKept = ([name]: [string, string]): boolean => !name.startsWith('ROTATOR_RECEIPTS__S3__');
  return Object.fromEntries(Object.entries(env).filter(isKept));
}

/** An event as SQS hands it to a function. */
export const sqsEvent = (...bodies: string[]) => ({
  Records: bodies.map((body, index) => ({
    messageId: `message-${index}`,
    body,
    eventSource: 'aws:sqs',
    attributes: { ApproximateReceiveCount: '1' },
  })),
});
