// Reads, validates and completes the configuration. A message names the key, its place and what is
// accepted, and never the value. Callers pass the environment and the folder; nothing here reads
// the process.

import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import * as z from 'zod';
import { osErrorText } from '../rotation/failure.ts';
import {
  type Input,
  type Node,
  nodeAt,
  type Path,
  prefix,
  propertiesOf,
  showPath,
  withEnvironment,
} from './environment.ts';
import { suggestion, UsageError } from './errors.ts';
import { schema } from './schema.ts';

type Parsed = z.output<typeof schema>;

/**
 * One account. `policy` and `schedule` are there only where they differ from the common ones, and
 * are then complete.
 */
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
  readonly env: Readonly<Record<string, string | undefined>>;
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
  env: ConfigSource['env'];
  cwd: string;
}): Promise<Config> {
  const { env, cwd } = from;
  const fileVariable = `${prefix}CONFIG`;
  const named = from.file ?? (env[fileVariable] || undefined);
  const file = resolve(cwd, named ?? 'rotator.yaml');
  if (named !== undefined || existsSync(file))
    return parseConfig({ text: readText(file), file, folder: dirname(file), env });
  const isInEnvironment = Object.keys(env).some(
    (name) => name.startsWith(prefix) && name !== fileVariable && env[name] !== '',
  );
  if (isInEnvironment) return parseConfig({ text: null, file, folder: cwd, env });
  throw new UsageError(
    `There is no rotator.yaml in ${cwd}. Create one with \`thingspace-rotator init\`, or name ` +
      'one with --config FILE.',
  );
}

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw new UsageError(`Cannot read the configuration ${file}: ${osErrorText(error)}.`);
  }
}

/**
 * The configuration in a file's text and the environment. Throws a UsageError with every mistake.
 */
export async function parseConfig({ text, file, folder, env }: ConfigSource): Promise<Config> {
  const written: Input =
    text === null
      ? { value: {}, placeOf: () => 'the environment' }
      : (await import('./yaml.ts')).readYaml(text, file);
  const root = describeConfig();
  const input = withEnvironment({ ...written, value: written.value ?? {} }, env, root);
  return validateConfig(input, folder, root);
}

/** The configuration in plain values. Throws a UsageError with every mistake. */
export function validateConfig(
  { value, placeOf }: Input,
  folder: string,
  root = describeConfig(),
): Config {
  const refuse = (problems: readonly Problem[]): void => {
    if (problems.length > 0)
      throw new UsageError(problems.map(({ path, says }) => `${placeOf(path)}: ${says}`));
  };
  const parsed = schema.safeParse(value, { reportInput: true });
  if (!parsed.success) {
    const problems = parsed.error.issues.flatMap((issue) => describeIssue(issue, root));
    refuse(problems);
    throw new Error('bug: a rejected configuration without a problem');
  }
  const config = complete(parsed.data, folder);
  refuse(contradictions(config, parsed.data));
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

/** Paths become absolute; each account gets its secret, and its complete policy and schedule. */
function complete(parsed: Parsed, folder: string): Config {
  const { notify, ...others } = parsed;
  const { store, receipts, audit, http } = others;
  const at = (path: string): string => resolve(folder, path);
  const withPaths = <Section extends object>(
    section: Section,
    ...keys: readonly (keyof Section)[]
  ): Section => {
    const absolute = { ...section };
    for (const key of keys) {
      const path = section[key];
      if (typeof path === 'string') Object.assign(absolute, { [key]: at(path) });
    }
    return absolute;
  };
  return {
    ...others,
    store: store.type === 'file' ? withPaths(store, 'directory', 'identityFile') : store,
    accounts: parsed.accounts.map(({ policy, schedule, ...account }) => ({
      ...account,
      secretId: account.secretId ?? account.name,
      ...(policy === undefined ? {} : { policy: { ...parsed.policy, ...policy } }),
      ...(schedule === undefined ? {} : { schedule: { ...parsed.schedule, ...schedule } }),
    })),
    receipts: withPaths(receipts, 'directory', 'identityFile'),
    audit: withPaths(audit, 'directory', 'signingKeyFile', 'predecessor'),
    ...(notify === undefined ? {} : { notify: completeNotify(notify, parsed.audit, at) }),
    http: withPaths(http, 'tokenFile', 'readTokenFile'),
  };
}

type Notify = NonNullable<Parsed['notify']>;

function completeNotify(
  { receivers, stateFile, allIsWell, webhook, ...common }: Notify,
  audit: Parsed['audit'],
  at: (path: string) => string,
): NotifyConfig {
  const all = webhook === undefined ? receivers : [{ name: 'default', webhook, ...common }];
  const beside = audit.s3 ? undefined : join(dirname(at(audit.directory)), 'notifications.jsonl');
  const file = stateFile === undefined ? beside : at(stateFile);
  return {
    allIsWell,
    receivers: all.map(({ secretFile, ...receiver }) => ({
      ...receiver,
      ...(secretFile === undefined ? {} : { secretFile: at(secretFile) }),
    })),
    ...(file === undefined ? {} : { stateFile: file }),
  };
}

function notifyProblems({ webhook, receivers, secretFile, format }: Notify): Problem[] {
  const problems: Problem[] = [];
  const check = (isWrong: boolean, path: Path, says: string): void => {
    if (isWrong) problems.push({ path: ['notify', ...path], says });
  };
  const isBoth = webhook !== undefined && receivers.length > 0;
  check(isBoth, ['receivers'], 'notify.webhook and notify.receivers exclude each other.');
  const hasNone = webhook === undefined && receivers.length === 0;
  check(hasNone, [], 'notify needs webhook or receivers.');
  const needs = 'needs secretFile, the file with the integration key.';
  const isSingle = receivers.length === 0;
  const lacksKey = isSingle && format === 'pagerduty' && secretFile === undefined;
  check(lacksKey, ['format'], `notify.format: pagerduty ${needs}`);
  const names = receivers.map(({ name }) => name);
  receivers.forEach((one, index) => {
    const at = `notify.receivers[${index}]`;
    const lacks = one.format === 'pagerduty' && one.secretFile === undefined;
    check(lacks, ['receivers', index, 'format'], `${at}.format: pagerduty ${needs}`);
    const isRepeated = names.indexOf(one.name) < index;
    check(isRepeated, ['receivers', index, 'name'], `${at}.name: ${one.name} is there twice.`);
  });
  return problems;
}

/** What each key allows, and the combination does not. */
function contradictions(config: Config, parsed: Parsed): Problem[] {
  const { accounts, store, discover, policy, audit } = config;
  const problems: Problem[] = [];
  const check = (isWrong: boolean, path: Path, says: string): void => {
    if (isWrong) problems.push({ path, says });
  };
  const names = accounts.map(({ name }) => name);
  const hasNone = accounts.length === 0 && !discover;
  check(hasNone, ['accounts'], 'accounts is empty. Name an account, or set discover.tag.');
  const isFile = discover !== undefined && store.type === 'file';
  check(isFile, ['discover'], 'discover needs store.type: secrets-manager.');
  check(
    audit.kmsKeyId !== undefined && audit.origin === undefined,
    ['audit', 'kmsKeyId'],
    'audit.kmsKeyId needs audit.origin, because a KMS key has no name.',
  );
  check(
    audit.kmsKeyId !== undefined && audit.signingKeySecretId !== undefined,
    ['audit', 'signingKeySecretId'],
    'audit.signingKeySecretId and audit.kmsKeyId exclude each other.',
  );
  check(
    policy.rotateAfterDays > policy.maxAgeDays,
    ['policy', 'rotateAfterDays'],
    'policy.rotateAfterDays is more than policy.maxAgeDays.',
  );
  if (parsed.notify) problems.push(...notifyProblems(parsed.notify));
  problems.push(...accountProblems(accounts, parsed));
  config.pairs.forEach((pair, index) => {
    const at = ['pairs', index];
    check(pair[0] === pair[1], at, `pairs[${index}] names the same account twice.`);
    const unknown = discover ? undefined : pair.find((name) => !names.includes(name));
    if (unknown !== undefined)
      check(true, at, `pairs[${index}] names an unknown account. ${suggestion(unknown, names)}`);
  });
  return problems;
}

/** Each account needs a name and a secret that no other account has. */
function accountProblems(accounts: Config['accounts'], parsed: Parsed): Problem[] {
  const names = accounts.map(({ name }) => name.toLowerCase());
  const secrets = accounts.map(({ secretId }) => secretName(secretId));
  return accounts.flatMap(({ name, secretId, policy }, index): Problem[] => {
    const at = `accounts[${index}]`;
    const sameName = names.indexOf(name.toLowerCase());
    const sameSecret = secrets.indexOf(secretName(secretId));
    const problems: Problem[] = [];
    if (sameName < index)
      problems.push({
        path: ['accounts', index, 'name'],
        says: `${at} and accounts[${sameName}] have the same name, ${name}.`,
      });
    else if (sameSecret < index)
      problems.push({
        path: [
          'accounts',
          index,
          parsed.accounts[index]?.secretId === undefined ? 'name' : 'secretId',
        ],
        says:
          `The accounts ${name} and ${accounts[sameSecret]?.name} have the same secret. Each ` +
          'account needs its own.',
      });
    if (policy && policy.rotateAfterDays > policy.maxAgeDays)
      problems.push({
        path: ['accounts', index, 'policy'],
        says: `${at}.policy.rotateAfterDays is more than maxAgeDays.`,
      });
    return problems;
  });
}

/**
 * The name in an ARN, which ends in the name of the secret and six random letters; a name stays as
 * it is.
 */
export function secretName(secretId: string): string {
  const arn = /^arn:[^:]*:secretsmanager:[^:]*:[^:]*:secret:(.+?)(?:-[A-Za-z0-9]{6})?$/;
  return arn.exec(secretId)?.[1] ?? secretId;
}
