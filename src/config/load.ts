// Reads, validates and completes the configuration. A message names the key, its place and what is
// accepted, and never the value. Callers pass the environment and the folder.

import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import * as z from 'zod';
import {
  type Environment,
  type Input,
  type Node,
  nodeAt,
  type Path,
  prefix,
  propertiesOf,
  showPath,
  withEnvironment,
} from './environment.ts';
import { explainErrors, suggestion, UsageError } from './errors.ts';
import { schema } from './schema.ts';

type Parsed = z.output<typeof schema>;

/** One account. Its `policy` and `schedule` are complete where they differ from the common ones. */
export type AccountConfig = Omit<Parsed['accounts'][number], 'secretId' | 'policy' | 'schedule'> & {
  readonly secretId: string;
  readonly policy?: Parsed['policy'];
  readonly schedule?: Parsed['schedule'];
};

/** The configuration with all defaults and with absolute paths. */
export type Config = Omit<Parsed, 'accounts' | 'notify'> & {
  readonly accounts: readonly AccountConfig[];
  readonly notify?: NotifyConfig;
};

/** The receivers, also the one of `notify.webhook`. Without `stateFile`: memory only. */
type NotifyConfig = Pick<NonNullable<Parsed['notify']>, 'receivers' | 'allIsWell' | 'stateFile'>;

export type ConfigSource = {
  /** The YAML, or null where there is no file. */
  readonly text: string | null;
  /** The name of the file in messages. */
  readonly file: string;
  /** Relative paths start here. */
  readonly folder: string;
  readonly env: Environment;
};

/** The JSON Schema of the configuration, with `accepts` on every value. */
export function describeConfig(): Node {
  return z.toJSONSchema(schema, {
    io: 'input',
    override: ({ jsonSchema }) => {
      if (JSON.stringify(jsonSchema.default) === '{}') delete jsonSchema.default;
    },
  }) as Node;
}

/**
 * Finds and reads the configuration: `file`, else ROTATOR_CONFIG, else ./rotator.yaml. With
 * ROTATOR_ variables no file is needed. Throws a UsageError with every mistake.
 */
export async function loadConfig(from: {
  file?: string | undefined;
  env: Environment;
  cwd: string;
}): Promise<Config> {
  const { env, cwd } = from;
  const fileVariable = `${prefix}CONFIG`;
  const named = from.file ?? (env[fileVariable] || undefined);
  const file = resolve(cwd, named ?? 'rotator.yaml');
  if (named !== undefined || existsSync(file)) {
    const read = (): string => readFileSync(file, 'utf8');
    const text = explainErrors(`Cannot read the configuration ${file}`, read);
    return parseConfig({ text, file, folder: dirname(file), env });
  }
  const isInEnvironment = Object.keys(env).some(
    (name) => name.startsWith(prefix) && name !== fileVariable && env[name] !== '',
  );
  if (isInEnvironment) return parseConfig({ text: null, file, folder: cwd, env });
  throw new UsageError(
    `There is no rotator.yaml in ${cwd}. Create one with \`thingspace-rotator init\`, or name ` +
      'one with --config FILE.',
  );
}

/** The configuration in a text and the environment. Throws a UsageError with every mistake. */
export async function parseConfig({ text, file, folder, env }: ConfigSource): Promise<Config> {
  const written: Input =
    text === null
      ? { value: {}, placeOf: () => 'the environment' }
      : (await import('./yaml.ts')).readYaml(text, file);
  const input = { ...written, value: written.value ?? {} };
  return validateConfig(withEnvironment(input, env, describeConfig()), folder);
}

/** The configuration in plain values. Throws a UsageError with every mistake. */
export function validateConfig({ value, placeOf }: Input, folder: string): Config {
  const errorOf = (problems: readonly Problem[]): UsageError =>
    new UsageError(problems.map(({ path, says }) => `${placeOf(path)}: ${says}`));
  const parsed = schema.safeParse(value, { reportInput: true });
  if (!parsed.success) {
    const root = describeConfig();
    throw errorOf(parsed.error.issues.flatMap((issue) => describeIssue(issue, root)));
  }
  const config = complete(parsed.data, folder);
  const problems = [...contradictions(config, parsed.data)];
  if (problems.length > 0) throw errorOf(problems);
  return config;
}

type Problem = { readonly path: Path; readonly says: string };

/** A zod issue in our words: its own may quote the value. */
function describeIssue(issue: z.core.$ZodIssue, root: Node): Problem[] {
  const path = issue.path as Path;
  const node = nodeAt(root, path) ?? {};
  if (issue.code === 'unrecognized_keys') {
    const known = Object.keys(propertiesOf(node));
    return issue.keys.map((key) => {
      const at = [...path, key];
      // A key of the other variant (store.directory beside secrets-manager) is known, and still
      // wrong here.
      const says = known.includes(key)
        ? `${showPath(at)} does not belong to this type.`
        : `Unknown key ${showPath(at)}. ${suggestion(key, known)}`;
      return { path: at, says };
    });
  }
  const name = path.length === 0 ? 'The configuration' : showPath(path);
  const isSection = path.length === 0 || node.properties !== undefined || node.oneOf !== undefined;
  const accepts = node.accepts ?? (isSection ? 'a section of keys' : 'another kind of value');
  const says = issue.input === undefined ? `is missing. It takes ${accepts}.` : `takes ${accepts}.`;
  return [{ path, says: `${name} ${says}` }];
}

/** A section whose values under `keys` are paths, from the folder of the configuration. */
function withPaths<Section extends object>(
  folder: string,
  section: Section,
  ...keys: readonly (keyof Section)[]
): Section {
  const given = keys.filter((key) => section[key] !== undefined);
  const paths = given.map((key) => [key, resolve(folder, String(section[key]))] as const);
  return { ...section, ...Object.fromEntries(paths) };
}

/** Paths become absolute; each account gets its secret, and its complete policy and schedule. */
function complete(parsed: Parsed, folder: string): Config {
  const { notify, store, receipts, http, ...others } = parsed;
  const audit = withPaths(folder, others.audit, 'directory', 'signingKeyFile', 'predecessor');
  return {
    ...others,
    audit,
    store: store.type === 'file' ? withPaths(folder, store, 'directory', 'identityFile') : store,
    accounts: parsed.accounts.map(({ policy, schedule, ...account }) => ({
      ...account,
      secretId: account.secretId ?? account.name,
      ...(policy && { policy: { ...parsed.policy, ...policy } }),
      ...(schedule && { schedule: { ...parsed.schedule, ...schedule } }),
    })),
    receipts: withPaths(folder, receipts, 'directory', 'identityFile'),
    ...(notify && { notify: completeNotify(notify, audit, folder) }),
    http: withPaths(folder, http, 'tokenFile', 'readTokenFile'),
  };
}

type Notify = NonNullable<Parsed['notify']>;

function completeNotify(notify: Notify, audit: Parsed['audit'], folder: string): NotifyConfig {
  const { receivers, stateFile, allIsWell, webhook, ...common } = notify;
  const all = webhook === undefined ? receivers : [{ name: 'default', webhook, ...common }];
  const beside = audit.s3 ? undefined : join(dirname(audit.directory), 'notifications.jsonl');
  const file = stateFile ?? beside;
  return {
    allIsWell,
    receivers: all.map((receiver) => withPaths(folder, receiver, 'secretFile')),
    ...(file !== undefined && { stateFile: resolve(folder, file) }),
  };
}

/** A sentence about the key at `path`, by its name or by another `subject`. */
const about = (path: Path, sentence: string, subject = showPath(path)): Problem => {
  return { path, says: `${subject} ${sentence}` };
};

/** What each key allows, and the combination does not. */
function* contradictions(config: Config, parsed: Parsed): Iterable<Problem> {
  const { accounts, store, discover, policy, audit, pairs } = config;
  const { kmsKeyId, origin, signingKeySecretId } = audit;
  const names = accounts.map(({ name }) => name);
  if (accounts.length === 0 && !discover)
    yield about(['accounts'], 'is empty. Name an account, or set discover.tag.');
  if (discover && store.type === 'file')
    yield about(['discover'], 'needs store.type: secrets-manager.');
  if (kmsKeyId !== undefined && origin === undefined)
    yield about(['audit', 'kmsKeyId'], 'needs audit.origin, because a KMS key has no name.');
  if (kmsKeyId !== undefined && signingKeySecretId !== undefined)
    yield about(['audit', 'signingKeySecretId'], 'and audit.kmsKeyId exclude each other.');
  if (policy.rotateAfterDays > policy.maxAgeDays)
    yield about(['policy', 'rotateAfterDays'], 'is more than policy.maxAgeDays.');
  if (parsed.notify) yield* notifyProblems(parsed.notify);
  yield* accountProblems(accounts, parsed);
  for (const [index, pair] of pairs.entries()) {
    const at = ['pairs', index];
    const unknown = discover ? undefined : pair.find((name) => !names.includes(name));
    if (pair[0] === pair[1]) yield about(at, 'names the same account twice.');
    if (unknown !== undefined)
      yield about(at, `names an unknown account. ${suggestion(unknown, names)}`);
  }
}

function* notifyProblems(notify: Notify): Iterable<Problem> {
  const { webhook, receivers } = notify;
  const isMany = receivers.length > 0;
  const needsKey = 'pagerduty needs secretFile, the file with the integration key.';
  const lacksKey = ({ format, secretFile }: Pick<Notify, 'format' | 'secretFile'>): boolean =>
    format === 'pagerduty' && secretFile === undefined;
  if (webhook !== undefined && isMany)
    yield about(
      ['notify', 'receivers'],
      'and notify.receivers exclude each other.',
      'notify.webhook',
    );
  if (webhook === undefined && !isMany) yield about(['notify'], 'needs webhook or receivers.');
  if (!isMany && lacksKey(notify)) yield about(['notify', 'format'], needsKey, 'notify.format:');
  const names = receivers.map(({ name }) => name);
  for (const [index, one] of receivers.entries()) {
    const aboutKey = (key: string, sentence: string): Problem => {
      const path = ['notify', 'receivers', index, key];
      return about(path, sentence, `${showPath(path)}:`);
    };
    const isRepeated = names.indexOf(one.name) < index;
    if (lacksKey(one)) yield aboutKey('format', needsKey);
    if (isRepeated) yield aboutKey('name', `${one.name} is there twice.`);
  }
}

/** Each account needs a name and a secret that no other account has. */
function* accountProblems(accounts: Config['accounts'], parsed: Parsed): Iterable<Problem> {
  const names = accounts.map(({ name }) => name.toLowerCase());
  const secrets = accounts.map(({ secretId }) => secretName(secretId));
  for (const [index, { name, secretId, policy }] of accounts.entries()) {
    const at = ['accounts', index];
    const sameName = names.indexOf(name.toLowerCase());
    const sameSecret = secrets.indexOf(secretName(secretId));
    const key = parsed.accounts[index]?.secretId === undefined ? 'name' : 'secretId';
    const sameNames = `${showPath(at)} and accounts[${sameName}]`;
    const pair = `The accounts ${name} and ${accounts[sameSecret]?.name}`;
    if (sameName < index) yield about([...at, 'name'], `have the same name, ${name}.`, sameNames);
    else if (sameSecret < index)
      yield about([...at, key], 'have the same secret. Each account needs its own.', pair);
    if (policy && policy.rotateAfterDays > policy.maxAgeDays)
      yield about(
        [...at, 'policy'],
        'is more than maxAgeDays.',
        `${showPath(at)}.policy.rotateAfterDays`,
      );
  }
}

/** The name of a secret in its ARN, without the six random letters; a name stays as it is. */
export function secretName(secretId: string): string {
  const arn = /^arn:[^:]*:secretsmanager:[^:]*:[^:]*:secret:(.+?)(?:-[A-Za-z0-9]{6})?$/;
  return arn.exec(secretId)?.[1] ?? secretId;
}
