// Reads, validates and completes the configuration. A message names the key, its place and what is
// accepted, and never the value. Callers pass the environment and the folder.

import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import * as z from 'zod';
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
import { explained, suggestion, UsageError } from './errors.ts';
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
  if (named !== undefined || existsSync(file)) {
    const read = (): string => readFileSync(file, 'utf8');
    const text = explained(`Cannot read the configuration ${file}`, read);
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
  const refuse = (problems: readonly Problem[]): UsageError =>
    new UsageError(problems.map(({ path, says }) => `${placeOf(path)}: ${says}`));
  const parsed = schema.safeParse(value, { reportInput: true });
  if (!parsed.success) {
    const root = describeConfig();
    throw refuse(parsed.error.issues.flatMap((issue) => describeIssue(issue, root)));
  }
  const config = complete(parsed.data, folder);
  const contradictions = rulesFor(config, parsed.data).filter(({ isBroken }) => isBroken);
  if (contradictions.length > 0) throw refuse(contradictions);
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
  const { store, receipts, http } = others;
  const withPaths = <Section extends object>(
    section: Section,
    ...keys: readonly (keyof Section)[]
  ): Section => {
    const given = keys.filter((key) => section[key] !== undefined);
    const paths = given.map((key) => [key, resolve(folder, String(section[key]))] as const);
    return { ...section, ...Object.fromEntries(paths) };
  };
  const audit = withPaths(others.audit, 'directory', 'signingKeyFile', 'predecessor');
  return {
    ...others,
    audit,
    store: store.type === 'file' ? withPaths(store, 'directory', 'identityFile') : store,
    accounts: parsed.accounts.map(({ policy, schedule, ...account }) => ({
      ...account,
      secretId: account.secretId ?? account.name,
      ...(policy && { policy: { ...parsed.policy, ...policy } }),
      ...(schedule && { schedule: { ...parsed.schedule, ...schedule } }),
    })),
    receipts: withPaths(receipts, 'directory', 'identityFile'),
    ...(notify && { notify: completeNotify(notify, audit, withPaths) }),
    http: withPaths(http, 'tokenFile', 'readTokenFile'),
  };
}

type Notify = NonNullable<Parsed['notify']>;

function completeNotify(
  { receivers, stateFile, allIsWell, webhook, ...common }: Notify,
  audit: Parsed['audit'],
  withPaths: <Section extends object>(section: Section, key: keyof Section) => Section,
): NotifyConfig {
  const all = webhook === undefined ? receivers : [{ name: 'default', webhook, ...common }];
  const beside = audit.s3 ? undefined : join(dirname(audit.directory), 'notifications.jsonl');
  const file = stateFile ?? beside;
  return {
    allIsWell,
    receivers: all.map((receiver) => withPaths(receiver, 'secretFile')),
    ...(file !== undefined && withPaths({ stateFile: file }, 'stateFile')),
  };
}

type Rule = Problem & { readonly isBroken: boolean };

const rule = (isBroken: boolean, path: Path, says: string): Rule => ({ isBroken, path, says });

/** What each key allows, and the combination does not. */
function rulesFor(config: Config, parsed: Parsed): Rule[] {
  const { accounts, store, discover, policy, audit, pairs } = config;
  const { kmsKeyId, origin, signingKeySecretId } = audit;
  const names = accounts.map(({ name }) => name);
  const hasNone = accounts.length === 0 && !discover;
  const isFile = discover !== undefined && store.type === 'file';
  const hasNoOrigin = kmsKeyId !== undefined && origin === undefined;
  const hasTwoKeys = kmsKeyId !== undefined && signingKeySecretId !== undefined;
  return [
    rule(hasNone, ['accounts'], 'accounts is empty. Name an account, or set discover.tag.'),
    rule(isFile, ['discover'], 'discover needs store.type: secrets-manager.'),
    rule(
      hasNoOrigin,
      ['audit', 'kmsKeyId'],
      'audit.kmsKeyId needs audit.origin, because a KMS key has no name.',
    ),
    rule(
      hasTwoKeys,
      ['audit', 'signingKeySecretId'],
      'audit.signingKeySecretId and audit.kmsKeyId exclude each other.',
    ),
    rule(
      policy.rotateAfterDays > policy.maxAgeDays,
      ['policy', 'rotateAfterDays'],
      'policy.rotateAfterDays is more than policy.maxAgeDays.',
    ),
    ...(parsed.notify ? notifyRules(parsed.notify) : []),
    ...accountRules(accounts, parsed),
    ...pairs.flatMap((pair, index) => {
      const [path, at] = [['pairs', index], `pairs[${index}]`];
      const unknown = discover ? undefined : pair.find((name) => !names.includes(name));
      const hint = unknown === undefined ? '' : suggestion(unknown, names);
      return [
        rule(pair[0] === pair[1], path, `${at} names the same account twice.`),
        rule(unknown !== undefined, path, `${at} names an unknown account. ${hint}`),
      ];
    }),
  ];
}

function notifyRules(notify: Notify): Rule[] {
  const { webhook, receivers } = notify;
  const isMany = receivers.length > 0;
  const needsKey = 'pagerduty needs secretFile, the file with the integration key.';
  const lacksKey = ({ format, secretFile }: Pick<Notify, 'format' | 'secretFile'>): boolean =>
    format === 'pagerduty' && secretFile === undefined;
  const names = receivers.map(({ name }) => name);
  return [
    rule(
      webhook !== undefined && isMany,
      ['notify', 'receivers'],
      'notify.webhook and notify.receivers exclude each other.',
    ),
    rule(webhook === undefined && !isMany, ['notify'], 'notify needs webhook or receivers.'),
    rule(!isMany && lacksKey(notify), ['notify', 'format'], `notify.format: ${needsKey}`),
    ...receivers.flatMap((one, index) => {
      const at = `notify.receivers[${index}]`;
      const path = ['notify', 'receivers', index];
      const isRepeated = names.indexOf(one.name) < index;
      return [
        rule(lacksKey(one), [...path, 'format'], `${at}.format: ${needsKey}`),
        rule(isRepeated, [...path, 'name'], `${at}.name: ${one.name} is there twice.`),
      ];
    }),
  ];
}

/** Each account needs a name and a secret that no other account has. */
function accountRules(accounts: Config['accounts'], parsed: Parsed): Rule[] {
  const names = accounts.map(({ name }) => name.toLowerCase());
  const secrets = accounts.map(({ secretId }) => secretName(secretId));
  return accounts.flatMap(({ name, secretId, policy }, index) => {
    const [path, at] = [['accounts', index], `accounts[${index}]`];
    const sameName = names.indexOf(name.toLowerCase());
    const sameSecret = secrets.indexOf(secretName(secretId));
    const key = parsed.accounts[index]?.secretId === undefined ? 'name' : 'secretId';
    return [
      rule(
        sameName < index,
        [...path, 'name'],
        `${at} and accounts[${sameName}] have the same name, ${name}.`,
      ),
      rule(
        sameSecret < index && sameName === index,
        [...path, key],
        `The accounts ${name} and ${accounts[sameSecret]?.name} have the same secret. Each ` +
          'account needs its own.',
      ),
      rule(
        policy !== undefined && policy.rotateAfterDays > policy.maxAgeDays,
        [...path, 'policy'],
        `${at}.policy.rotateAfterDays is more than maxAgeDays.`,
      ),
    ];
  });
}

/** The name of a secret in its ARN, without the six random letters; a name stays as it is. */
export function secretName(secretId: string): string {
  const arn = /^arn:[^:]*:secretsmanager:[^:]*:[^:]*:secret:(.+?)(?:-[A-Za-z0-9]{6})?$/;
  return arn.exec(secretId)?.[1] ?? secretId;
}
