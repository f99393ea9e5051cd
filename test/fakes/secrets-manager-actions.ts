// The rest of the simulated service's actions: listing, deleting, tags, policies, rotation; and the
// table of all actions by name. The rules about versions and labels are in
// secrets-manager-service.ts.

import { randomBytes } from 'node:crypto';
import {
  addVersion,
  changeStages,
  createSecret,
  describe,
  describeSecret,
  describeVersion,
  type Fields,
  fail,
  findLiveSecret,
  findSecret,
  getSecretValue,
  invalidParameter,
  invalidRequest,
  listedVersions,
  putSecretValue,
  type SecretState,
  type Service,
  ServiceError,
  seconds,
  stagesByVersion,
  textOf,
  tokenOf,
  updateSecret,
  updateSecretVersionStage,
  validation,
} from './secrets-manager-service.ts';

/** What Secrets Manager hands to a rotation function, four times. */
export type RotationStep = {
  readonly Step: 'createSecret' | 'setSecret' | 'testSecret' | 'finishSecret';
  readonly SecretId: string;
  readonly ClientRequestToken: string;
};

/** The Lambda function; a rejection is a failed invocation. */
export type RotationFunction = (step: RotationStep) => Promise<unknown>;

/** What an action may need besides the service. */
export type Context = {
  readonly isStale: boolean;
  readonly rotationFunctions: ReadonlyMap<string, RotationFunction>;
  /** Runs after the answer is sent; the simulator waits for it when it closes. */
  readonly afterwards: (work: () => Promise<void>) => void;
};

type Action = (service: Service, input: Fields, context: Context) => Fields;

const dayMs = 86_400_000;
const named = (secret: SecretState): Fields => ({ ARN: secret.arn, Name: secret.name });

export const actions: Readonly<Record<string, Action>> = {
  CreateSecret: createSecret,
  GetSecretValue: (service, input, { isStale }) => getSecretValue(service, input, isStale),
  PutSecretValue: putSecretValue,
  UpdateSecret: updateSecret,
  UpdateSecretVersionStage: updateSecretVersionStage,
  DescribeSecret: describeSecret,

  ListSecretVersionIds(service, input) {
    const secret = findSecret(service, input['SecretId']);
    const versions = listedVersions(service, secret).filter(
      ({ stages }) => stages.length > 0 || input['IncludeDeprecated'] === true,
    );
    const { page, next } = pageOf(versions, input);
    return { ...named(secret), Versions: page.map(describeVersion), ...next };
  },

  ListSecrets(service, input) {
    const filters = (input['Filters'] ?? []) as { Key: string; Values: string[] }[];
    const sinceMs = service.nowMs() - (service.quirks.listsStale ?? 0);
    const secrets = [...service.secrets.values()]
      .filter(({ createdMs }) => createdMs <= sinceMs)
      .filter(({ deletedMs }) => deletedMs === null || input['IncludePlannedDeletion'] === true)
      .filter((secret) => filters.every((filter) => isMatch(secret, filter)));
    const { page, next } = pageOf(secrets, input);
    const entries = page.map((secret) => {
      const stages = stagesByVersion(secret);
      return { ...describe(secret), ...(stages ? { SecretVersionsToStages: stages } : {}) };
    });
    return { SecretList: entries, ...next };
  },

  DeleteSecret(service, input) {
    const isForced = input['ForceDeleteWithoutRecovery'] === true;
    const secret = isForced
      ? findSecret(service, input['SecretId'])
      : findLiveSecret(service, input['SecretId']);
    const days = Number(input['RecoveryWindowInDays'] ?? 30);
    if (isForced && input['RecoveryWindowInDays'] !== undefined) {
      throw invalidParameter(
        "You can't use ForceDeleteWithoutRecovery in conjunction with RecoveryWindowInDays.",
      );
    }
    if (days < 7 || days > 30)
      throw invalidParameter(
        'The RecoveryWindowInDays value must be between 7 and 30 days (inclusive).',
      );
    const nowMs = service.nowMs();
    if (isForced) service.secrets.delete(secret.name);
    else secret.deletedMs = nowMs;
    return { ...named(secret), DeletionDate: seconds(isForced ? nowMs : nowMs + days * dayMs) };
  },

  RestoreSecret(service, input) {
    const secret = findSecret(service, input['SecretId']);
    secret.deletedMs = null;
    return named(secret);
  },

  TagResource(service, input) {
    const secret = findLiveSecret(service, input['SecretId']);
    const tags = (input['Tags'] ?? []) as { Key: string; Value: string }[];
    const kept = (secret.tags ?? []).filter(({ Key }) => !tags.some((tag) => tag.Key === Key));
    secret.tags = [...kept, ...tags];
    return {};
  },

  UntagResource(service, input) {
    const secret = findLiveSecret(service, input['SecretId']);
    const keys = (input['TagKeys'] ?? []) as string[];
    secret.tags = secret.tags?.filter(({ Key }) => !keys.includes(Key)) ?? null;
    return {};
  },

  PutResourcePolicy(service, input) {
    const secret = findLiveSecret(service, input['SecretId']);
    secret.policy = textOf(input, 'ResourcePolicy');
    return named(secret);
  },

  GetResourcePolicy(service, input) {
    const secret = findLiveSecret(service, input['SecretId']);
    return {
      ...named(secret),
      ...(secret.policy === null ? {} : { ResourcePolicy: secret.policy }),
    };
  },

  ValidateResourcePolicy(service, input) {
    if (input['SecretId'] !== undefined) findLiveSecret(service, input['SecretId']);
    return { PolicyValidationPassed: true, ValidationErrors: [] };
  },

  GetRandomPassword: (_service, input) => ({
    RandomPassword: randomBytes(Number(input['PasswordLength'] ?? 32))
      .toString('base64url')
      .slice(0, Number(input['PasswordLength'] ?? 32)),
  }),

  RotateSecret: rotateSecret,

  CancelRotateSecret(service, input) {
    const secret = findLiveSecret(service, input['SecretId']);
    if (!secret.rotation)
      throw invalidRequest(
        "You can't cancel rotation: rotation is not configured for this secret.",
      );
    secret.rotation.enabled = false;
    const pending = secret.versions.find(({ stages }) => stages.includes('AWSPENDING'));
    return { ...named(secret), ...(pending ? { VersionId: pending.id } : {}) };
  },
};

/**
 * Secrets Manager repeats all steps after a failed step; the guide does not say how often.
 */
const rotationTries = 5;

function rotateSecret(service: Service, input: Fields, context: Context): Fields {
  const secret = findLiveSecret(service, input['SecretId']);
  const token = tokenOf(input, invalidParameter);
  const lambdaArn = textOf(input, 'RotationLambdaARN') ?? secret.rotation?.lambdaArn;
  if (!lambdaArn)
    throw invalidRequest('No Lambda rotation function ARN is associated with this secret.');
  const lambda = context.rotationFunctions.get(lambdaArn) ?? fail(cannotInvoke());
  const pending = secret.versions.find(
    ({ stages }) => stages.includes('AWSPENDING') && !stages.includes('AWSCURRENT'),
  );
  if (pending && pending.id !== token)
    throw invalidRequest("A previous rotation isn't complete. That rotation will be reattempted.");
  const rules = (input['RotationRules'] as Fields | undefined) ?? secret.rotation?.rules ?? {};
  secret.rotation = { lambdaArn, rules, enabled: true, lastMs: secret.rotation?.lastMs ?? null };
  // Empty until the function fills it: GetSecretValue does not find it, the token is taken by
  // nobody yet.
  if (!pending) addVersion(service, secret, token, null, ['AWSPENDING']);
  const isImmediate = input['RotateImmediately'] !== false;
  context.afterwards(() => runRotation(service, secret, token, lambda, isImmediate));
  return { ...named(secret), VersionId: token };
}

async function runRotation(
  service: Service,
  secret: SecretState,
  token: string,
  lambda: RotationFunction,
  isImmediate: boolean,
): Promise<void> {
  const steps = isImmediate
    ? (['createSecret', 'setSecret', 'testSecret', 'finishSecret'] as const)
    : (['testSecret'] as const);
  for (let tries = 1; tries <= (isImmediate ? rotationTries : 1); tries += 1) {
    try {
      for (const Step of steps)
        await lambda({ Step, SecretId: secret.arn, ClientRequestToken: token });
      if (isImmediate && secret.rotation) secret.rotation.lastMs = service.nowMs();
      break;
    } catch {
      // A failed invocation: all steps again.
    }
  }
  // AWSPENDING leaves a version that has become current (recorded), and the empty one of a mere
  // test.
  const version = secret.versions.find(({ id }) => id === token);
  if (!version || (isImmediate && !version.stages.includes('AWSCURRENT'))) return;
  changeStages(service, secret, () => {
    version.stages = version.stages.filter((stage) => stage !== 'AWSPENDING');
  });
}

function cannotInvoke(): ServiceError {
  return new ServiceError(
    'AccessDeniedException',
    'Secrets Manager cannot invoke the specified Lambda function. Ensure that the function ' +
      'policy grants access to the principal secretsmanager.amazonaws.com.',
    { isModelled: false },
  );
}

/**
 * Filters match prefixes, and `!` in front negates one. Values of one filter are alternatives.
 */
function isMatch(secret: SecretState, { Key, Values }: { Key: string; Values: string[] }): boolean {
  const tags = secret.tags ?? [];
  const fields: Record<string, string[]> = {
    name: [secret.name],
    description: [secret.description ?? ''],
    'tag-key': tags.map((tag) => tag.Key),
    'tag-value': tags.map((tag) => tag.Value),
  };
  const texts =
    Key === 'all'
      ? Object.values(fields).flat()
      : (fields[Key] ?? fail(validation(`Unknown filter ${Key}.`)));
  return Values.some((value) => {
    const isTurned = value.startsWith('!');
    const prefix = isTurned ? value.slice(1) : value;
    return texts.some((text) => text.startsWith(prefix)) !== isTurned;
  });
}

function pageOf<Item>(
  items: readonly Item[],
  input: Fields,
): { page: readonly Item[]; next: Fields } {
  const size = Number(input['MaxResults'] ?? 100);
  if (size < 1 || size > 100) throw validation('MaxResults is between 1 and 100.');
  const token = textOf(input, 'NextToken');
  const start = token === null ? 0 : Number(/^page-(\d+)$/.exec(token)?.[1] ?? Number.NaN);
  if (Number.isNaN(start))
    throw new ServiceError('InvalidNextTokenException', 'Invalid NextToken.');
  const end = start + size;
  return {
    page: items.slice(start, end),
    next: end < items.length ? { NextToken: `page-${end}` } : {},
  };
}
