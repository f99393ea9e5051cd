// The files that `init` (and the demo) begin with: a commented rotator.yaml, keys, the token, the empty audit log.
// All of them or none, and never over one that is there.

import { randomBytes } from 'node:crypto';
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  rmdirSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { hostname } from 'node:os';
import { dirname, join } from 'node:path';
import { auditContextOf } from '../app.ts';
import { generateSigningKey, openSigningKey } from '../audit/checkpoint.ts';
import { openFileSegments } from '../audit/file-segments.ts';
import { openAuditLog } from '../audit/log.ts';
import { UsageError } from '../config/errors.ts';
import { openProcessIdentity } from '../process-identity.ts';
import type { Clock } from '../rotation/ports.ts';
import type { Shell } from './terminal.ts';

export type Beginning = {
  readonly store: 'file' | 'secrets-manager';
  readonly baseUrl: string;
  readonly accounts: readonly { readonly name: string; readonly secretId: string }[];
  /** More YAML at the end. */
  readonly extra?: string;
};

export type BegunFile = { readonly file: string; readonly about: string };

/** Writes everything beside `configFile`. Throws a UsageError that names what is there already; then nothing was written. */
export async function begin(
  shell: Shell,
  clock: Clock,
  configFile: string,
  beginning: Beginning,
): Promise<BegunFile[]> {
  const folder = dirname(configFile);
  const at = (name: string): string => join(folder, name);
  const { generateIdentity, identityToRecipient } = await import('age-encryption');
  const receipts = await ageKey(generateIdentity, identityToRecipient);
  const origin = `${hostname().replace(/[^A-Za-z0-9.-]/g, '-') || 'host'}/thingspace-rotator/${randomBytes(3).toString('hex')}`;
  const signing = generateSigningKey(origin);
  const files: (BegunFile & { text: string; mode: number })[] = [
    {
      file: configFile,
      about: 'the configuration',
      text: configText(shell, beginning, receipts.recipient),
      mode: 0o644,
    },
  ];
  if (beginning.store === 'file') {
    const store = await ageKey(generateIdentity, identityToRecipient);
    files.push({
      file: at('rotator.key'),
      about: 'opens the secrets; keep a copy offline',
      text: store.text,
      mode: 0o600,
    });
  }
  files.push(
    {
      file: at('receipts.key'),
      about: 'opens receipts: MOVE IT OFFLINE, off this machine; it is needed only to recover',
      text: receipts.text,
      mode: 0o600,
    },
    {
      file: at('audit.key'),
      about: 'signs the audit log',
      text: `${signing.signingKey}\n`,
      mode: 0o600,
    },
    {
      file: at('audit.key.pub'),
      about: 'verifies the audit log; give it to your auditors',
      text: `${signing.verifierKey}\n`,
      mode: 0o644,
    },
    {
      file: at('http.token'),
      about: 'the bearer token of the HTTP interface',
      text: `${randomBytes(32).toString('base64url')}\n`,
      mode: 0o600,
    },
  );
  const audit = at('audit');
  const present = files.map(({ file }) => file).filter((file) => existsSync(file));
  if (existsSync(audit) && readdirSync(audit).length > 0) present.push(audit);
  if (present.length > 0)
    throw new UsageError(
      present.map((file) => `${file} exists; init overwrites nothing, and has written nothing`),
    );

  const madeFolder = mkdirSync(folder, { recursive: true });
  const written: string[] = [];
  try {
    for (const { file, text, mode } of files) {
      writeNew(file, text, mode);
      written.push(file);
    }
    const log = await openAuditLog({
      segments: openFileSegments({
        directory: audit,
        processes: openProcessIdentity(shell.pid),
        clock,
      }),
      signer: openSigningKey(signing.signingKey),
      clock,
      origin,
      context: { ...auditContextOf(shell.user), policy: { maxAgeDays: 90, warnAgeDays: 75 } },
    });
    try {
      const inventory = beginning.accounts.map(
        ({ name, secretId }) =>
          ({ code: 'inventory.changed', change: 'added', account: name, secretId }) as const,
      );
      await log.append([
        ...inventory,
        { code: 'inventory.summary', accounts: beginning.accounts.map(({ name }) => name) },
      ]);
      await log.checkpoint();
    } finally {
      await log.close();
    }
  } catch (error) {
    for (const file of written) rmSync(file, { force: true });
    rmSync(audit, { recursive: true, force: true });
    if (madeFolder !== undefined) rmdirSync(folder);
    const { code } = error as NodeJS.ErrnoException;
    if (code === undefined) throw error;
    throw new UsageError(`cannot write in ${folder}: ${code}; nothing is left behind`);
  }
  return [
    ...files.map(({ file, about }) => ({ file, about })),
    { file: audit, about: 'the audit log, with its first record' },
  ];
}

async function ageKey(
  generate: () => Promise<string>,
  recipientOf: (identity: string) => Promise<string>,
): Promise<{ text: string; recipient: string }> {
  const identity = await generate();
  const recipient = await recipientOf(identity);
  return { text: `# public key: ${recipient}\n${identity}\n`, recipient };
}

/** On the disk when it returns; fails when the file is there. */
function writeNew(file: string, text: string, mode: number): void {
  const fd = openSync(file, 'wx', mode);
  try {
    writeSync(fd, text);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

function configText(
  { schema }: Shell,
  { store, baseUrl, accounts, extra }: Beginning,
  recipient: string,
): string {
  const file = `store:
  type: file                     # or secrets-manager
  directory: ./secrets           # age-encrypted, one file per version
  identityFile: ./rotator.key    # opens them; keep a copy offline
`;
  const manager = `store:
  type: secrets-manager          # or file
  # region: us-east-1            # else from the usual AWS environment
`;
  const listed = accounts
    .map(({ name, secretId }) => `  - name: ${name}\n    secretId: ${secretId}\n`)
    .join('');
  return `# yaml-language-server: $schema=${schema}
# Every key: docs/CONFIGURATION.md. Paths start from this file's folder. ROTATOR_POLICY__MAX_AGE_DAYS=… sets a key from the environment.

thingspace:
  baseUrl: ${baseUrl}

${store === 'file' ? file : manager}
# One ThingSpace user each, kept in one secret: {"username","password","clientId","clientSecret", …}.
accounts:
${listed}    # fields: { username: uwsUser, password: uwsPassword }   where the secret's keys have other names
    # oauthSecretId: thingspace/application                  where clientId and clientSecret are in another secret
${store === 'file' ? '' : '# discover: { tag: thingspace-rotator }   every secret with this tag is an account as well\n'}
# Verizon recommends 90 days. Adding an account never rotates it: it is rotated when it is due.
policy: { rotateAfterDays: 75, maxAgeDays: 90 }

# When \`serve\` looks for what is due.
schedule: { cron: "17 3 * * *", timezone: UTC, jitterMinutes: 30 }

# The answer to a reset is the only copy of the new password. It is sealed to this key before anything else happens; the
# identity that opens it (receipts.key) belongs offline.
receipts:
  directory: ./receipts
  recipients: [${recipient}]

audit: { directory: ./audit, signingKeyFile: ./audit.key }

# notify: { webhook: https://hooks.example.com/… }   failures, overdue and stopped accounts

http: { host: 127.0.0.1, port: 9464, tokenFile: ./http.token }
${extra ?? ''}`;
}
