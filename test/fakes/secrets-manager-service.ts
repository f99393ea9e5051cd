// What AWS Secrets Manager answers, without HTTP: secrets, versions, labels, and the rules between
// them. It agrees with the answers of the real service recorded 2022 to 2026
// (test/contract/secrets-manager-recorded.test.ts), and is stricter where in doubt. It knows the
// wire's names and nothing of our code. Everything is gone when the process ends.

import { randomBytes } from 'node:crypto';

/** One action's input or output, as on the wire (dates are seconds since 1970). */
export type Fields = { readonly [name: string]: unknown };

/**
 * An error answer. `isModelled`: named in the action's own list; its text is then under
 * "Message", else under "message".
 */
export class ServiceError extends Error {
  readonly code: string;
  readonly status: number;
  readonly isModelled: boolean;

  constructor(code: string, message: string, { status = 400, isModelled = true } = {}) {
    super(message);
    this.code = code;
    this.status = status;
    this.isModelled = isModelled;
  }
}

export type Value = { readonly SecretString: string } | { readonly SecretBinary: string };

export type Version = {
  readonly id: string;
  readonly createdMs: number;
  /** `null`: made by RotateSecret, and not filled yet. */
  value: Value | null;
  stages: string[];
  accessedMs: number | null;
};

export type SecretState = {
  readonly arn: string;
  readonly name: string;
  readonly createdMs: number;
  changedMs: number;
  accessedMs: number | null;
  description: string | null;
  kmsKeyId: string | null;
  deletedMs: number | null;
  tags: { Key: string; Value: string }[] | null;
  policy: string | null;
  /** Oldest first. */
  versions: Version[];
  /** The changes of labels, oldest first, with the labels before each. */
  stageChanges: readonly {
    readonly atMs: number;
    readonly before: ReadonlyMap<string, readonly string[]>;
  }[];
  rotation: { lambdaArn: string; rules: Fields; enabled: boolean; lastMs: number | null } | null;
};

export type Service = {
  readonly secrets: Map<string, SecretState>;
  readonly region: string;
  readonly accountId: string;
  readonly nowMs: () => number;
  /** Deviations of known emulators, for work against them all. */
  readonly quirks: Quirks;
};

/**
 * `limitsYoung`: no new version beside 100 of the last 24 hours, as AWS documents (its number is
 * approximate). `stale`: a read by one of these labels is served from the labels as they were `ms`
 * ago; a read by VersionId is not. `listsStale`: ListSecretVersionIds and ListSecrets show what
 * there was so many milliseconds ago.
 * `ignoresRemoveFrom`: labels move wherever they are. `notFoundStatus`: 404 where AWS says 400.
 * `staleUnqualified`: a read without label and id is served from the labels before their newest
 * change.
 */
export type Quirks = {
  readonly limitsYoung?: boolean;
  readonly stale?: { readonly stages: readonly string[]; readonly ms: number };
  readonly listsStale?: number;
  readonly ignoresRemoveFrom?: boolean;
  readonly notFoundStatus?: 400 | 404;
  readonly staleUnqualified?: boolean;
};

const maxValueBytes = 65_536;
const maxStages = 20;
const maxDeprecated = 100;
/** About 100 at AWS, which never removes a version of the last 24 hours. */
const maxYoung = 100;
const dayMs = 86_400_000;

export const seconds = (ms: number): number => ms / 1000;

/** LastAccessedDate has no time of day at AWS. */
const day = (ms: number): number => seconds(ms - (ms % dayMs));

/**
 * The secret a SecretId names: a name, an ARN, or an ARN without its last hyphen and six
 * characters.
 */
export function findSecret(service: Service, id: unknown): SecretState {
  const text = String(id ?? '');
  if (!/^[\w/+=.@!:-]{1,2048}$/.test(text) || (text.includes(':') && !text.startsWith('arn:')))
    throw invalidName();
  const notFound = new ServiceError(
    'ResourceNotFoundException',
    "Secrets Manager can't find the specified secret.",
    {
      status: service.quirks.notFoundStatus ?? 400,
    },
  );
  if (!text.startsWith('arn:')) return service.secrets.get(text) ?? fail(notFound);
  const name = text.replace(/^arn:[^:]*:secretsmanager:[^:]*:\d*:secret:/, '');
  const exact = [...service.secrets.values()].find(({ arn }) => arn === text);
  // What ends like a complete ARN is never read as one without its end (recorded:
  // Invalid/_+=.@-Name-a1b2c3).
  return (
    exact ??
    (/-[A-Za-z0-9]{6}$/.test(name) ? undefined : service.secrets.get(name)) ??
    fail(notFound)
  );
}

/** The same, unless it is scheduled for deletion. */
export function findLiveSecret(service: Service, id: unknown): SecretState {
  const secret = findSecret(service, id);
  if (secret.deletedMs === null) return secret;
  throw invalidRequest(
    "You can't perform this operation on the secret because it was marked for deletion.",
  );
}

export const invalidRequest = (message: string): ServiceError =>
  new ServiceError('InvalidRequestException', message);
export const invalidParameter = (message: string): ServiceError =>
  new ServiceError('InvalidParameterException', message);
export const validation = (message: string): ServiceError =>
  new ServiceError('ValidationException', message, { isModelled: false });

function invalidName(): ServiceError {
  return validation(
    'Invalid name. Must be a valid name containing alphanumeric characters, or any of the ' +
      'following: -/_+=.@!',
  );
}

export function fail(error: ServiceError): never {
  throw error;
}

const named = (secret: SecretState): Fields => ({ ARN: secret.arn, Name: secret.name });
const sorted = (stages: readonly string[]): string[] => [...stages].sort();

export function createSecret(service: Service, input: Fields): Fields {
  const name = String(input['Name'] ?? '');
  if (!/^[\w/+=.@-]{1,512}$/.test(name)) throw invalidName();
  const token = tokenOf(input);
  const existing = service.secrets.get(name);
  if (existing?.deletedMs != null) {
    throw invalidRequest(
      "You can't create this secret because a secret with this name is already scheduled " +
        'for deletion.',
    );
  }
  const value = valueIn(input);
  if (existing) {
    const version = existing.versions.find(({ id }) => id === token);
    if (version && sameValue(version.value, value)) return { ...named(existing), VersionId: token };
    throw new ServiceError(
      'ResourceExistsException',
      `The operation failed because the secret ${name} already exists.`,
    );
  }
  const nowMs = service.nowMs();
  const suffix = randomBytes(8)
    .toString('base64')
    .replace(/[^A-Za-z0-9]/g, 'a')
    .slice(0, 6);
  const secret: SecretState = {
    arn: `arn:aws:secretsmanager:${service.region}:${service.accountId}:secret:${name}-${suffix}`,
    name,
    createdMs: nowMs,
    changedMs: nowMs,
    accessedMs: null,
    description: textOf(input, 'Description'),
    kmsKeyId: textOf(input, 'KmsKeyId'),
    deletedMs: null,
    tags: Array.isArray(input['Tags'])
      ? [...(input['Tags'] as { Key: string; Value: string }[])]
      : null,
    policy: null,
    versions: [],
    stageChanges: [],
    rotation: null,
  };
  service.secrets.set(name, secret);
  if (value === null) return named(secret);
  addVersion(service, secret, token, value, ['AWSCURRENT']);
  return { ...named(secret), VersionId: token };
}

/** `isStale`: served from labels as they were before the newest change. */
export function getSecretValue(service: Service, input: Fields, isStale: boolean): Fields {
  const secret = findLiveSecret(service, input['SecretId']);
  const [id, stage] = [textOf(input, 'VersionId'), textOf(input, 'VersionStage')];
  const isOld =
    isStale || (service.quirks.staleUnqualified === true && id === null && stage === null);
  const old = isOld
    ? (secret.stageChanges.at(-1)?.before ?? new Map<string, string[]>())
    : id === null
      ? stagesBefore(service, secret, stage)
      : null;
  const stagesOf = (version: Version): readonly string[] =>
    old ? (old.get(version.id) ?? []) : version.stages;
  const wanted = stage ?? (id === null ? 'AWSCURRENT' : null);
  const version = secret.versions.find((candidate) =>
    id === null ? stagesOf(candidate).includes(wanted ?? '') : candidate.id === id,
  );
  if (version && id !== null && stage !== null && !stagesOf(version).includes(stage)) {
    throw invalidRequest(
      'You provided a VersionStage that is not associated to the provided VersionId.',
    );
  }
  if (!version?.value) {
    const what = id === null ? `staging label: ${wanted}` : `VersionId: ${id}`;
    const status = service.quirks.notFoundStatus ?? 400;
    throw new ServiceError(
      'ResourceNotFoundException',
      `Secrets Manager can't find the specified secret value for ${what}`,
      { status },
    );
  }
  version.accessedMs = secret.accessedMs = service.nowMs();
  const stages = stagesOf(version);
  return {
    ...named(secret),
    CreatedDate: seconds(version.createdMs),
    VersionId: version.id,
    ...(stages.length === 0 ? {} : { VersionStages: sorted(stages) }),
    ...version.value,
  };
}

export function putSecretValue(service: Service, input: Fields): Fields {
  const secret = findLiveSecret(service, input['SecretId']);
  const token = tokenOf(input);
  const value =
    valueIn(input) ?? fail(invalidRequest('You must provide either SecretString or SecretBinary.'));
  const given = (input['VersionStages'] as string[] | undefined) ?? ['AWSCURRENT'];
  if (given.length < 1 || given.length > maxStages)
    throw validation(`VersionStages has between 1 and ${maxStages} members.`);
  const existing = secret.versions.find(({ id }) => id === token);
  if (existing?.value) {
    if (!sameValue(existing.value, value)) throw tokenTaken(token);
    return { ...named(secret), VersionId: token, VersionStages: sorted(existing.stages) };
  }
  // The first version of an empty secret becomes current whatever it is put for.
  const stages = secret.versions.some((version) => version.stages.includes('AWSCURRENT'))
    ? given
    : [...new Set([...given, 'AWSCURRENT'])];
  const version = addVersion(service, secret, token, value, stages);
  return { ...named(secret), VersionId: token, VersionStages: sorted(version.stages) };
}

export function updateSecret(service: Service, input: Fields): Fields {
  const secret = findLiveSecret(service, input['SecretId']);
  const token = tokenOf(input);
  const value = valueIn(input);
  const existing = secret.versions.find(({ id }) => id === token);
  if (value && existing && !sameValue(existing.value, value)) throw tokenTaken(token);
  secret.description = textOf(input, 'Description') ?? secret.description;
  secret.kmsKeyId = textOf(input, 'KmsKeyId') ?? secret.kmsKeyId;
  secret.changedMs = service.nowMs();
  if (!value) return named(secret);
  if (!existing) addVersion(service, secret, token, value, ['AWSCURRENT']);
  return { ...named(secret), VersionId: token };
}

export function updateSecretVersionStage(service: Service, input: Fields): Fields {
  const secret = findLiveSecret(service, input['SecretId']);
  const stage = textOf(input, 'VersionStage') ?? fail(validation('VersionStage is required.'));
  const [from, to] = [textOf(input, 'RemoveFromVersionId'), textOf(input, 'MoveToVersionId')];
  const labelled = secret.versions.find(({ stages }) => stages.includes(stage));
  const target = secret.versions.find(({ id }) => id === to);
  if (to !== null && !target) {
    throw new ServiceError(
      'ResourceNotFoundException',
      `Secrets Manager can't find the specified secret version: ${to}`,
    );
  }
  if (!service.quirks.ignoresRemoveFrom) checkRemoveFrom(stage, from, to, labelled?.id ?? null);
  if (stage === 'AWSCURRENT' && to === null) {
    throw invalidParameter(
      'You can only move staging label AWSCURRENT to a different secret version. ' +
        "It can't be completely removed.",
    );
  }
  if (target && !target.stages.includes(stage) && target.stages.length >= maxStages)
    throw tooManyStages();
  changeStages(service, secret, () => moveStage(secret, stage, target ?? null));
  return named(secret);
}

function checkRemoveFrom(
  stage: string,
  from: string | null,
  to: string | null,
  labelled: string | null,
): void {
  if (from !== null && from !== labelled)
    throw invalidParameter(`Staging label ${stage} is not attached to version ${from}.`);
  if (from === null && labelled !== null && labelled !== to) {
    throw invalidParameter(
      `The parameter RemoveFromVersionId can't be empty. Staging label ${stage} is currently ` +
        `attached to version ${labelled}, so you must explicitly reference that version in ` +
        'RemoveFromVersionId.',
    );
  }
}

export function describeSecret(service: Service, input: Fields): Fields {
  const secret = findSecret(service, input['SecretId']);
  const stages = stagesByVersion(secret);
  return { ...describe(secret), ...(stages ? { VersionIdsToStages: stages } : {}) };
}

/** What DescribeSecret and ListSecrets both say. */
export function describe(secret: SecretState): Fields {
  const { rotation } = secret;
  const days = Number(rotation?.rules['AutomaticallyAfterDays'] ?? 0);
  return {
    ...named(secret),
    CreatedDate: seconds(secret.createdMs),
    LastChangedDate: seconds(secret.changedMs),
    ...(secret.description ? { Description: secret.description } : {}),
    ...(secret.kmsKeyId ? { KmsKeyId: secret.kmsKeyId } : {}),
    ...(secret.accessedMs === null ? {} : { LastAccessedDate: day(secret.accessedMs) }),
    ...(secret.deletedMs === null ? {} : { DeletedDate: seconds(secret.deletedMs) }),
    ...(secret.tags ? { Tags: secret.tags } : {}),
    ...(rotation
      ? {
          RotationEnabled: rotation.enabled,
          RotationLambdaARN: rotation.lambdaArn,
          RotationRules: rotation.rules,
        }
      : {}),
    ...(rotation?.lastMs == null ? {} : { LastRotatedDate: seconds(rotation.lastMs) }),
    ...(rotation?.lastMs == null || !days
      ? {}
      : { NextRotationDate: seconds(rotation.lastMs + days * dayMs) }),
  };
}

export function stagesByVersion(secret: SecretState): Fields | null {
  const labelled = secret.versions.filter(({ stages }) => stages.length > 0);
  return labelled.length === 0
    ? null
    : Object.fromEntries(labelled.map(({ id, stages }) => [id, sorted(stages)]));
}

export function describeVersion(version: Version): Fields {
  return {
    VersionId: version.id,
    CreatedDate: seconds(version.createdMs),
    KmsKeyIds: ['DefaultEncryptionKey'],
    ...(version.accessedMs === null ? {} : { LastAccessedDate: day(version.accessedMs) }),
    ...(version.stages.length === 0 ? {} : { VersionStages: sorted(version.stages) }),
  };
}

/** Makes or fills a version, moves the labels onto it, and forgets old versions without a label. */
export function addVersion(
  service: Service,
  secret: SecretState,
  id: string,
  value: Value | null,
  stages: readonly string[],
): Version {
  const nowMs = service.nowMs();
  const known = secret.versions.find((candidate) => candidate.id === id);
  const made = known ?? { id, createdMs: nowMs, value, stages: [], accessedMs: null };
  if (new Set([...made.stages, ...stages]).size > maxStages) throw tooManyStages();
  const young = secret.versions.filter(({ createdMs }) => nowMs - createdMs < dayMs);
  if (service.quirks.limitsYoung && !known && young.length >= maxYoung) throw tooManyVersions();
  if (known) known.value = value;
  else secret.versions.push(made);
  changeStages(service, secret, () => {
    for (const stage of stages) moveStage(secret, stage, made);
  });
  const deprecated = secret.versions.filter((candidate) => candidate.stages.length === 0);
  const forgotten = deprecated
    .slice(0, Math.max(0, deprecated.length - maxDeprecated))
    .filter(({ createdMs }) => nowMs - createdMs > dayMs);
  secret.versions = secret.versions.filter((candidate) => !forgotten.includes(candidate));
  return made;
}

/** The labels that a read by this label is served from; `null` for a read that is fresh. */
function stagesBefore(
  { quirks, nowMs }: Service,
  secret: SecretState,
  stage: string | null,
): ReadonlyMap<string, readonly string[]> | null {
  return quirks.stale?.stages.includes(stage ?? 'AWSCURRENT')
    ? stagesAt(secret, nowMs() - quirks.stale.ms)
    : null;
}

/** The labels at a time in the last hour; `null` where they have not changed since. */
const stagesAt = (
  { stageChanges }: SecretState,
  sinceMs: number,
): ReadonlyMap<string, readonly string[]> | null =>
  stageChanges.find(({ atMs }) => atMs > sinceMs)?.before ?? null;

/** The versions that a list shows, with their labels; late by the quirk's time. */
export function listedVersions({ quirks, nowMs }: Service, secret: SecretState): Version[] {
  const sinceMs = nowMs() - (quirks.listsStale ?? 0);
  const before = stagesAt(secret, sinceMs);
  return secret.versions
    .filter(({ createdMs }) => createdMs <= sinceMs)
    .map((version) => ({ ...version, stages: [...(before?.get(version.id) ?? version.stages)] }));
}

/** How long the labels before a change are kept, for reads that are served from them. */
const changesKeptMs = 3_600_000;

export function changeStages(service: Service, secret: SecretState, change: () => void): void {
  const atMs = service.nowMs();
  const before = new Map(secret.versions.map(({ id, stages }) => [id, [...stages]]));
  const kept = secret.stageChanges.filter((one) => one.atMs > atMs - changesKeptMs);
  secret.stageChanges = [...kept, { atMs, before }];
  change();
  secret.changedMs = service.nowMs();
}

export function moveStage(secret: SecretState, stage: string, target: Version | null): void {
  const labelled = secret.versions.find(({ stages }) => stages.includes(stage));
  for (const version of secret.versions)
    version.stages = version.stages.filter((other) => other !== stage);
  target?.stages.push(stage);
  if (stage !== 'AWSCURRENT' || !labelled || labelled === target) return;
  // Recorded for PutSecretValue: a version that was both current and pending ends as AWSPREVIOUS
  // only.
  labelled.stages = labelled.stages.filter((other) => other !== 'AWSPENDING');
  moveStage(secret, 'AWSPREVIOUS', labelled);
}

/** ClientRequestToken, which the SDKs fill in and the service insists on. */
export function tokenOf(input: Fields, missing = invalidRequest): string {
  const token = textOf(input, 'ClientRequestToken');
  if (token === null)
    throw missing('You must provide a ClientRequestToken value. We recommend a UUID-type value.');
  if (token.length < 32 || token.length > 64)
    throw validation('ClientRequestToken has between 32 and 64 characters.');
  return token;
}

function valueIn(input: Fields): Value | null {
  const [text, binary] = [textOf(input, 'SecretString'), textOf(input, 'SecretBinary')];
  if (text !== null && binary !== null)
    throw invalidParameter("You can't specify both a SecretString and a SecretBinary value.");
  const bytes =
    text === null ? Buffer.from(binary ?? '', 'base64').length : Buffer.byteLength(text);
  if (bytes > maxValueBytes)
    throw validation(`The secret value is longer than ${maxValueBytes} bytes.`);
  if (text !== null) return { SecretString: text };
  return binary === null ? null : { SecretBinary: binary };
}

const sameValue = (a: Value | null, b: Value | null): boolean =>
  JSON.stringify(a) === JSON.stringify(b);

const tooManyStages = (): ServiceError =>
  new ServiceError('LimitExceededException', `A version has at most ${maxStages} staging labels.`);

const tooManyVersions = (): ServiceError =>
  new ServiceError(
    'LimitExceededException',
    `The secret has ${maxYoung} versions that were created in the last 24 hours.`,
  );

const tokenTaken = (token: string): ServiceError =>
  new ServiceError(
    'ResourceExistsException',
    `A version with the ClientRequestToken ${token} and another value already exists.`,
  );

export function textOf(input: Fields, name: string): string | null {
  const value = input[name];
  return typeof value === 'string' ? value : null;
}
