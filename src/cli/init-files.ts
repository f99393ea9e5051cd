// The files that `init` and `demo` create: a commented rotator.yaml, keys, the token, and the audit
// log with its first records. All of them are created or none, and no existing file is overwritten.

import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { generateSigningKey } from '../audit/checkpoint.ts';
import { recordFacts } from '../audit/facts.ts';
import { explainErrors, UsageError } from '../config/errors.ts';
import { loadConfig } from '../config/load.ts';
import { errnoOf, osErrorText } from '../rotation/failure.ts';
import { markOf } from '../stores/folders.ts';
import { recordWith } from './context.ts';
import type { Shell } from './terminal.ts';

/** What the configuration will say. */
export type Setup = {
  readonly store: 'file' | 'secrets-manager';
  readonly baseUrl: string;
  readonly accounts: readonly { readonly name: string; readonly secretId: string }[];
};

/** A created file, and what it is for. */
type CreatedFile = { readonly file: string; readonly about: string };
type NewFile = CreatedFile & { readonly text: string; readonly mode: number };
type SigningKey = ReturnType<typeof generateSigningKey>;

/** Creates all files beside `configFile`, or none: where one exists, it throws a UsageError. */
export async function createFiles(
  shell: Shell,
  configFile: string,
  setup: Setup,
): Promise<CreatedFile[]> {
  const folder = dirname(configFile);
  const audit = join(folder, 'audit');
  const host = hostname().replace(/[^A-Za-z0-9.-]/g, '-') || 'host';
  const id = randomBytes(3).toString('hex');
  const signing = generateSigningKey(`${host}/thingspace-rotator/${id}`);
  const files = await newFiles(shell, configFile, setup, signing);
  refuseExisting(files, audit);

  const create = (): string | undefined => mkdirSync(folder, { recursive: true });
  const createdFolder = explainErrors(`Cannot create ${folder}`, create);
  const written: string[] = [];
  try {
    for (const { file, text, mode } of files) {
      writeFileSync(file, text, { flag: 'wx', mode, flush: true });
      written.push(file);
    }
    const config = await loadConfig({ file: configFile, env: {}, cwd: folder });
    await recordWith(shell, config, (log) => recordFacts(log, config));
  } catch (error) {
    for (const file of written) rmSync(file, { force: true });
    rmSync(audit, { recursive: true, force: true });
    rmSync(markOf(audit), { force: true });
    if (createdFolder !== undefined) rmdirSync(folder);
    if (errnoOf(error) === '') throw error;
    throw new UsageError(
      `Cannot write in ${folder}: ${osErrorText(error)}. All new files were removed.`,
    );
  }
  return [
    ...files.map(({ file, about }) => ({ file, about })),
    { file: audit, about: 'The audit log, with its first records.' },
    { file: markOf(audit), about: 'Marks the audit log as in use: a missing one is an error.' },
  ];
}

async function newFiles(
  shell: Shell,
  configFile: string,
  setup: Setup,
  { signingKey, verifierKey }: SigningKey,
): Promise<NewFile[]> {
  const receipts = await generateAgeKey();
  const store = setup.store === 'file' ? await generateAgeKey() : null;
  const config = configText(shell, setup, receipts.recipient);
  const token = randomBytes(32).toString('base64url');
  const file = (name: string, about: string, text: string, mode = 0o600): NewFile => {
    return { file: join(dirname(configFile), name), about, text: `${text}\n`, mode };
  };
  const storeKeyText = 'Decrypts the secrets. Keep an offline copy.';
  const receiptsKeyText = 'Decrypts receipts. MOVE IT OFF THIS MACHINE; only `recover` needs it.';
  const auditKeyText = 'Verifies the audit log. Give it to your auditors.';
  return [
    file(basename(configFile), 'The configuration.', config, 0o644),
    ...(store ? [file('rotator.key', storeKeyText, store.text)] : []),
    file('receipts.key', receiptsKeyText, receipts.text),
    file('audit.key', 'Signs the audit log.', signingKey),
    file('audit.key.pub', auditKeyText, verifierKey, 0o644),
    file('http.token', 'The bearer token of the HTTP interface.', token),
  ];
}

function refuseExisting(files: readonly NewFile[], audit: string): void {
  const existing = files.map(({ file }) => file).filter((file) => existsSync(file));
  if (existsSync(audit) && readdirSync(audit).length > 0) existing.push(audit);
  if (existing.length > 0) throw new UsageError(existing.map(describeExisting));
}

export const describeExisting = (file: string): string =>
  `${file} exists. init overwrites no file, and has written none.`;

async function generateAgeKey(): Promise<{ text: string; recipient: string }> {
  const { generateIdentity, identityToRecipient } = await import('age-encryption');
  const identity = await generateIdentity();
  const recipient = await identityToRecipient(identity);
  return { text: `# public key: ${recipient}\n${identity}`, recipient };
}

const storeText = {
  file: `store:
  type: file                     # or secrets-manager
  directory: ./secrets           # encrypted with age, one file per version
  identityFile: ./rotator.key    # decrypts them; keep an offline copy
`,
  'secrets-manager': `store:
  type: secrets-manager          # or file
  # region: us-east-1            # default: the Region of the AWS environment
`,
};

/** A name in YAML: in quotes where it would be a number or another value. */
const plain = (name: string): string =>
  /^[a-z/_](.*[^:])?$/i.test(name) && !/^(true|false|null)$/i.test(name)
    ? name
    : JSON.stringify(name);

function configText({ schema }: Shell, { store, baseUrl, accounts }: Setup, recipient: string) {
  const listed = accounts
    .map((one) => `  - name: ${plain(one.name)}\n    secretId: ${plain(one.secretId)}\n`)
    .join('');
  const discover =
    store === 'file'
      ? ''
      : '# Every secret with this tag is an account, too:\n# discover: { tag: thingspace-rotator ' +
        '}\n';
  return `# yaml-language-server: $schema=${schema}
# docs/CONFIGURATION.md describes every key. Relative paths start at the folder of this file.
# An environment variable can set a key: ROTATOR_POLICY__MAX_AGE_DAYS is policy.maxAgeDays.

thingspace:
  baseUrl: ${baseUrl}

${storeText[store]}
# Each account is one ThingSpace user. Its secret is a JSON object:
# {"username","password","clientId","clientSecret", …}
accounts:
${listed}    # If the keys of the secret have other names:
    # fields: { username: uwsUser, password: uwsPassword }
    # If clientId and clientSecret are in another secret:
    # oauthSecretId: thingspace/application
${discover}
# Verizon recommends 90 days. A new account is not rotated before it is due.
policy: { rotateAfterDays: 75, maxAgeDays: 90 }

# When \`serve\` rotates what is due.
schedule: { cron: "17 3 * * *", timezone: UTC, jitterMinutes: 30 }

# The response to a reset is the only copy of the new password. It is encrypted to this key before
# it is parsed. Keep receipts.key, which decrypts it, on another machine.
receipts:
  directory: ./receipts
  recipients: [${recipient}]

audit: { directory: ./audit, signingKeyFile: ./audit.key }

# Sends failures, overdue and suspended accounts:
# notify: { webhook: https://hooks.example.com/… }

http: { host: 127.0.0.1, port: 9464, tokenFile: ./http.token }`;
}
