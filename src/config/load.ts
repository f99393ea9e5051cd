// The configuration: read, judged, and filled in. A wrong value names its key, its place and what is accepted,
// never itself; nothing here looks at the process, so the environment and the folder are handed in.

import { existsSync, readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
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
import { suggestion, UsageError } from './errors.ts';
import { schema } from './schema.ts';

type Parsed = z.output<typeof schema>;

/** One configured account. `policy` and `schedule` are there only where they differ from the common ones, and are then whole. */
export type AccountConfig = Omit<Parsed['accounts'][number], 'secretId' | 'policy' | 'schedule'> & {
  readonly secretId: string;
  readonly policy?: Parsed['policy'];
  readonly schedule?: Parsed['schedule'];
};

/** The configuration with every default filled in and every path absolute. */
export type Config = Omit<Parsed, 'accounts'> & { readonly accounts: readonly AccountConfig[] };

export type ConfigSource = {
  /** The YAML, or null where there is no file. */
  readonly text: string | null;
  /** What places call the file. */
  readonly file: string;
  /** What relative paths start from. */
  readonly folder: string;
  readonly env: Readonly<Record<string, string | undefined>>;
};

/** The JSON Schema of what may be written, with `accepts` on every value. */
export function describeConfig(): Node {
  return z.toJSONSchema(schema, {
    io: 'input',
    override: ({ jsonSchema }) => dropEmptyDefault(jsonSchema),
  }) as Node;
}

function dropEmptyDefault(node: { default?: unknown }): void {
  if (JSON.stringify(node.default) === '{}') delete node.default;
}

/**
 * Finds and reads the configuration: `file`, else ROTATOR_CONFIG, else ./rotator.yaml; the environment alone will do. Throws a
 * UsageError that lists every mistake.
 */
export async function loadConfig(from: {
  file?: string;
  env: ConfigSource['env'];
  cwd: string;
}): Promise<Config> {
  const { env, cwd } = from;
  const named = from.file ?? (env[`${prefix}CONFIG`] || undefined);
  const file = resolve(cwd, named ?? 'rotator.yaml');
  const isFromEnvironment = Object.keys(env).some(
    (name) => name.startsWith(prefix) && name !== `${prefix}CONFIG` && env[name] !== '',
  );
  if (named === undefined && !existsSync(file)) {
    if (isFromEnvironment) return parseConfig({ text: null, file, folder: cwd, env });
    throw new UsageError(
      `there is no rotator.yaml in ${cwd}; make one with: thingspace-rotator init, or name one with --config FILE`,
    );
  }
  return parseConfig({ text: readText(file), file, folder: dirname(file), env });
}

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw new UsageError(
      `cannot read the configuration ${file}: ${(error as NodeJS.ErrnoException).code ?? 'an unexpected error'}`,
    );
  }
}

/** Judges and fills in. Throws a UsageError that lists every mistake. */
export async function parseConfig({ text, file, folder, env }: ConfigSource): Promise<Config> {
  const root = describeConfig();
  const written: Input =
    text === null
      ? { value: {}, placeOf: () => 'the environment' }
      : (await import('./yaml.ts')).readYaml(text, file);
  const { value, placeOf } = withEnvironment({ ...written, value: written.value ?? {} }, env, root);
  const parsed = schema.safeParse(value);
  if (!parsed.success) {
    throw new UsageError(
      parsed.error.issues
        .flatMap((issue) => describeIssue(issue, root))
        .map(({ path, says }) => `${placeOf(path)}: ${says}`),
    );
  }
  const config = settled(parsed.data, folder);
  const problems = contradictions(config, parsed.data);
  if (problems.length > 0)
    throw new UsageError(problems.map(({ path, says }) => `${placeOf(path)}: ${says}`));
  return config;
}

type Problem = { readonly path: Path; readonly says: string };

/** A zod issue in our words: its own may quote the value. */
function describeIssue(issue: z.core.$ZodIssue, root: Node): Problem[] {
  const path = issue.path as Path;
  if (issue.code === 'unrecognized_keys') {
    const known = Object.keys(propertiesOf(nodeAt(root, path) ?? {}));
    return issue.keys.map((key) => {
      // A key of another variant (store.directory beside secrets-manager) is known, and yet out of place.
      const says = known.includes(key)
        ? `${showPath([...path, key])} does not belong to this type`
        : `unknown key ${showPath([...path, key])}; ${suggestion(key, known)}`;
      return { path: [...path, key], says };
    });
  }
  const node = nodeAt(root, path) ?? {};
  const what = path.length === 0 ? 'the configuration' : showPath(path);
  const accepted =
    node.accepts ??
    (path.length === 0 || node.properties || node.oneOf
      ? 'a section of keys'
      : 'another kind of value');
  const isMissing =
    'input' in issue ? issue.input === undefined : issue.message.endsWith('received undefined');
  return [
    {
      path,
      says: isMissing
        ? `${what} is missing: ${accepted}`
        : `${what} is not accepted: it takes ${accepted}`,
    },
  ];
}

/** Paths from the folder of the file; accounts with their secret, and their policy and schedule whole. */
function settled(parsed: Parsed, folder: string): Config {
  const at = (path: string): string => resolve(folder, path);
  const { store, receipts, audit, notify, http } = parsed;
  return {
    ...parsed,
    store:
      store.type === 'file'
        ? { ...store, directory: at(store.directory), identityFile: at(store.identityFile) }
        : store,
    accounts: parsed.accounts.map(({ policy, schedule, ...account }) => ({
      ...account,
      secretId: account.secretId ?? account.name,
      ...(policy === undefined ? {} : { policy: { ...parsed.policy, ...policy } }),
      ...(schedule === undefined ? {} : { schedule: { ...parsed.schedule, ...schedule } }),
    })),
    receipts: {
      ...receipts,
      ...(receipts.directory === undefined ? {} : { directory: at(receipts.directory) }),
      ...(receipts.identityFile === undefined ? {} : { identityFile: at(receipts.identityFile) }),
    },
    audit: { ...audit, directory: at(audit.directory), signingKeyFile: at(audit.signingKeyFile) },
    ...(notify === undefined
      ? {}
      : {
          notify: {
            ...notify,
            ...(notify.secretFile === undefined ? {} : { secretFile: at(notify.secretFile) }),
          },
        }),
    http: { ...http, ...(http.tokenFile === undefined ? {} : { tokenFile: at(http.tokenFile) }) },
  };
}

/** What each key allows and all of them together do not. */
function contradictions(config: Config, parsed: Parsed): Problem[] {
  const { accounts, store, discover, policy } = config;
  const problems: Problem[] = [];
  const say = (path: Path, says: string): void => {
    problems.push({ path, says });
  };

  if (accounts.length === 0 && !discover)
    say(['accounts'], 'accounts is empty: name at least one, or discover them by tag');
  if (discover && store.type === 'file')
    say(['discover'], 'discover needs store.type: secrets-manager');
  if (config.audit.kmsKeyId !== undefined && config.audit.origin === undefined)
    say(['audit', 'kmsKeyId'], 'audit.origin is missing: a key in KMS carries no name');
  if (config.audit.kmsKeyId !== undefined && config.audit.signingKeySecretId !== undefined)
    say(
      ['audit', 'signingKeySecretId'],
      'audit.signingKeySecretId and audit.kmsKeyId exclude each other',
    );

  const later = <T extends string>(values: readonly T[], index: number): number =>
    values.indexOf(values[index] as T);
  const names = accounts.map(({ name }) => name.toLowerCase());
  const secrets = accounts.map(({ secretId }) => plainSecret(secretId));
  accounts.forEach(({ name, policy: own }, index) => {
    const [sameName, sameSecret] = [later(names, index), later(secrets, index)];
    if (sameName < index)
      say(
        ['accounts', index, 'name'],
        `accounts[${index}] and accounts[${sameName}] have the same name, ${name}`,
      );
    else if (sameSecret < index) {
      const place = parsed.accounts[index]?.secretId === undefined ? 'name' : 'secretId';
      say(
        ['accounts', index, place],
        `accounts ${name} and ${accounts[sameSecret]?.name} share one secret; each needs its own`,
      );
    }
    if (own && own.rotateAfterDays > own.maxAgeDays)
      say(
        ['accounts', index, 'policy'],
        `accounts[${index}].policy: rotateAfterDays is more than maxAgeDays`,
      );
  });
  if (policy.rotateAfterDays > policy.maxAgeDays)
    say(['policy', 'rotateAfterDays'], 'policy.rotateAfterDays is more than policy.maxAgeDays');

  config.pairs.forEach((pair, index) => {
    if (pair[0] === pair[1]) say(['pairs', index], `pairs[${index}] names one account twice`);
    const known = accounts.map(({ name }) => name);
    const stranger = discover ? undefined : pair.find((name) => !known.includes(name));
    if (stranger !== undefined)
      say(
        ['pairs', index],
        `pairs[${index}] names ${stranger}, which is no account; ${suggestion(stranger, known)}`,
      );
  });
  return problems;
}

/** An ARN ends in the secret's name and six random letters; the name alone means the same secret. */
function plainSecret(secretId: string): string {
  return (
    /^arn:[^:]*:secretsmanager:[^:]*:[^:]*:secret:(.+)-[A-Za-z0-9]{6}$/.exec(secretId)?.[1] ??
    secretId
  );
}
