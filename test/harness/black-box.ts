// The built program as its users know it: a folder, a configuration file, commands and their exit
// codes, a simulated ThingSpace and one of the two stores. Nothing of the rotator runs in the
// test's own process, so the same test can judge another build: ROTATOR_DIST names its dist/.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  cpSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { text } from 'node:stream/consumers';
import { generateIdentity, identityToRecipient } from 'age-encryption';
import { generateSigningKey } from '../../src/audit/checkpoint.ts';
import { openClock } from '../../src/clock.ts';
import { Secret } from '../../src/secret.ts';
import {
  openThingSpaceSimulator,
  type ThingSpaceSimulator,
  type ThingSpaceSimulatorOptions,
} from '../../src/simulator/thingspace.ts';
import { readIdentityFile } from '../../src/stores/age-key.ts';

import { type FileStore, openFileStore } from '../../src/stores/file-store.ts';
import {
  openSecretsManagerSimulator,
  type SecretsManagerSimulator,
  type SecretsManagerSimulatorOptions,
} from '../fakes/secrets-manager.ts';

/** The folder of the program under test. */
export const dist = resolve(process.env['ROTATOR_DIST'] ?? 'dist');

const application = { clientId: 'app-key', clientSecret: 'app-test-secret' };
const account = 'east';
export const secretId = 'thingspace/east';
export const oldPassword = 'old-password';

/** `none`: no receipts. `readable`: the program has the identity that opens them. */
export type ReceiptsMode = 'none' | 'sealed' | 'readable';

export type BlackBoxOptions = {
  readonly store?: 'file' | 'secrets-manager';
  /** The password that ThingSpace accepts; the store holds `oldPassword`. */
  readonly live?: string;
  readonly username?: string;
  readonly receipts?: ReceiptsMode;
  readonly ageDays?: number;
  /** Keys of the configuration's section `thingspace`. */
  readonly thingspace?: Readonly<Record<string, unknown>>;
  readonly simulator?: Partial<ThingSpaceSimulatorOptions>;
  /** What the program has as ThingSpace, in front of the simulator. */
  readonly relay?: (baseUrl: string) => string;
  readonly secretsManager?: SecretsManagerSimulatorOptions;
  /** A folder with the keys, and one with secrets/, audit/ and receipts/, instead of new ones. */
  readonly fixture?: { readonly keys: string; readonly state: string };
};

export type RunOptions = {
  /** UTC, such as `2026-10-01 13:00:00`: when the program believes it to be. */
  readonly at?: string;
  readonly wrap?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly input?: string;
};

export type Ran = {
  readonly code: number | null;
  /** The JSON objects on standard output; the elements of an array, where it is one. */
  readonly lines: readonly Readonly<Record<string, unknown>>[];
  /** Standard output and standard error. */
  readonly said: string;
};

export type Started = {
  readonly child: ChildProcess;
  readonly ended: Promise<Ran>;
  /** Resolves when its output so far contains this text; rejects when it ends without. */
  said(what: string): Promise<void>;
  /** Resolves with `moment`; rejects when the program ends before. */
  until(moment: Promise<unknown> | undefined): Promise<void>;
  kill(): Promise<void>;
};

export type Version = {
  readonly versionId: string;
  readonly password: string;
  readonly document: string;
};

export type BlackBox = AsyncDisposable & {
  readonly folder: string;
  readonly thingspace: ThingSpaceSimulator;
  readonly secretsManager: SecretsManagerSimulator | null;
  start(args: readonly string[], options?: RunOptions): Started;
  run(args: readonly string[], options?: RunOptions): Promise<Ran>;
  current(): Promise<Version>;
  /** Stores a document as the new current version, as somebody who knows nothing of the rotator. */
  putByHand(document: string): Promise<string>;
  /** Moves AWSCURRENT back to the version that had it before, where there is one. */
  rollBack(): Promise<void>;
  /** The versions that hold this password. */
  holdersOf(password: string): Promise<string[]>;
  /** Moves the clock of Secrets Manager; five minutes at most, or signatures are too old. */
  advance(ms: number): void;
  /** The ThingSpace password that is valid now. */
  live(): string;
  /** The files in the receipts folder. */
  receipts(): string[];
  /** The audit log, oldest record first. Reading the files leaves no record. */
  audit(): Ran['lines'];
};

/** The document of the secret, with another note or password. */
export const documentOf = (fields: {
  readonly username?: string;
  readonly password: string;
  readonly note?: string;
}): string => JSON.stringify({ note: 'kept', username: account, ...application, ...fields });

/** The same document with another key edited. */
export const edited = ({ document }: Version): string =>
  JSON.stringify({ ...JSON.parse(document), note: 'edited' });

export async function openBlackBox(options: BlackBoxOptions = {}): Promise<BlackBox> {
  const { store = 'file', live = oldPassword, username = account, fixture } = options;
  const folder = mkdtempSync(join(tmpdir(), 'box-'));
  const thingspace = await openThingSpaceSimulator({
    users: [{ username, password: live }],
    applications: [application],
    ...options.simulator,
  });
  let aheadMs = 0;
  const nowMs = (): number => Date.now() + aheadMs;
  const secretsManager =
    store === 'secrets-manager'
      ? await openSecretsManagerSimulator({ nowMs, ...options.secretsManager })
      : null;
  const recipient = fixture ? copyFixture(folder, fixture) : await writeKeys(folder);
  const baseUrl = options.relay?.(thingspace.baseUrl) ?? thingspace.baseUrl;
  writeConfig(folder, baseUrl, recipient, options);
  const place = fixture ? 'east' : secretId;
  const hands = secretsManager
    ? handsIn(secretsManager, secretId)
    : handsOn(await openFiles(folder, 0), place);
  const ageDays = options.ageDays ?? 0;
  const document = documentOf({ username, password: oldPassword });
  if (secretsManager) {
    const ClientRequestToken = crypto.randomUUID();
    const input = { Name: secretId, SecretString: document, ClientRequestToken };
    secretsManager.call('CreateSecret', input);
  } else if (!fixture)
    await (await openFiles(folder, ageDays)).putCurrent(secretId, new Secret(document));
  const env = environmentOf(secretsManager?.url ?? null);
  const children = new Set<ChildProcess>();

  const start = (args: readonly string[], given: RunOptions = {}): Started => {
    const started = startProgram(folder, args, { ...given, env: { ...env, ...given.env } });
    children.add(started.child);
    return started;
  };
  const run = (args: readonly string[], given?: RunOptions): Promise<Ran> =>
    start(args, given).ended;
  return {
    folder,
    thingspace,
    secretsManager,
    start,
    run,
    advance: (ms) => {
      aheadMs += ms;
    },
    live: () => thingspace.livePassword(username),
    current: () => hands.current(),
    putByHand: (value) => hands.putByHand(value),
    rollBack: () => hands.rollBack(),
    holdersOf: (password) => hands.holdersOf(password),
    receipts() {
      const receipts = join(folder, 'receipts');
      const names = existsSync(receipts) ? readdirSync(receipts) : [];
      return names.filter((name) => name.endsWith('.age')).map((name) => join(receipts, name));
    },
    audit() {
      const months = readdirSync(join(folder, 'audit')).filter((name) => name.endsWith('.jsonl'));
      const texts = months.sort().map((name) => readFileSync(join(folder, 'audit', name), 'utf8'));
      return texts.flatMap((text) =>
        text
          .split('\n')
          .slice(0, -1)
          .map((line) => JSON.parse(line)),
      );
    },
    async [Symbol.asyncDispose]() {
      for (const child of children) child.kill('SIGKILL');
      await Promise.all([thingspace.close(), secretsManager?.close()]);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

const versionOf = (versionId: string, document: string): Version => ({
  versionId,
  document,
  password: JSON.parse(document).password,
});

/** What people and other programs do with one secret. */
export type Hands = Pick<BlackBox, 'current' | 'putByHand' | 'rollBack' | 'holdersOf'>;

/** On Secrets Manager, by VersionId: a read by label may be out of date. */
export function handsIn({ call }: SecretsManagerSimulator, SecretId: string): Hands {
  const idOf = (stage: string): string | undefined => {
    const described = call('DescribeSecret', { SecretId });
    const stages = Object.entries(described['VersionIdsToStages'] as Record<string, string[]>);
    return stages.find(([, labels]) => labels.includes(stage))?.[0];
  };
  const read = (VersionId: string | undefined): Version => {
    const found = call('GetSecretValue', { SecretId, VersionId });
    return versionOf(String(VersionId), String(found['SecretString']));
  };
  return {
    current: async () => read(idOf('AWSCURRENT')),
    async putByHand(SecretString) {
      const ClientRequestToken = crypto.randomUUID();
      return String(
        call('PutSecretValue', { SecretId, SecretString, ClientRequestToken })['VersionId'],
      );
    },
    async rollBack() {
      const [from, to] = [idOf('AWSCURRENT'), idOf('AWSPREVIOUS')];
      if (to === undefined) return;
      const moved = { RemoveFromVersionId: from, MoveToVersionId: to };
      call('UpdateSecretVersionStage', { SecretId, VersionStage: 'AWSCURRENT', ...moved });
    },
    async holdersOf(password) {
      const listed = call('ListSecretVersionIds', { SecretId, IncludeDeprecated: true });
      const ids = (listed['Versions'] as { VersionId: string }[]).map(({ VersionId }) => VersionId);
      return ids.filter((id) => holds(() => read(id), password));
    },
  };
}

/** False for a version without a value: RotateSecret makes such. */
function holds(read: () => Version, password: string): boolean {
  try {
    return read().password === password;
  } catch {
    return false;
  }
}

function handsOn(files: FileStore, place: string): Hands {
  const versions = files.versions(place);
  const read = async (which: Parameters<typeof versions.read>[0]): Promise<Version | null> => {
    const version = await versions.read(which);
    if (!version || version.value === 'binary') return null;
    return versionOf(version.versionId, version.value.reveal());
  };
  const current = async (): Promise<Version> => {
    const version = await read({ stage: 'AWSCURRENT' });
    if (!version) throw new Error('no current version');
    return version;
  };
  return {
    current,
    putByHand: (value) => files.putCurrent(place, new Secret(value)),
    async rollBack() {
      const [from, to] = [await current(), await read({ stage: 'AWSPREVIOUS' })];
      if (to) await versions.move('AWSCURRENT', from.versionId, to.versionId);
    },
    async holdersOf(password) {
      const ids = (await versions.list()).map(({ versionId }) => versionId);
      const found = await Promise.all(ids.map((versionId) => read({ versionId })));
      return found.flatMap((one) => (one?.password === password ? [one.versionId] : []));
    },
  };
}

async function openFiles(folder: string, ageDays: number) {
  const clock = openClock();
  const aged = { ...clock, nowMs: () => clock.nowMs() - ageDays * 86_400_000 };
  const identity = await readIdentityFile(join(folder, 'rotator.key'));
  return openFileStore({ directory: join(folder, 'secrets'), identity, clock: aged });
}

/** New keys; the recipient of receipts. */
async function writeKeys(folder: string): Promise<string> {
  const write = (name: string, key: string): void =>
    writeFileSync(join(folder, name), key, { mode: 0o600 });
  const receipts = await generateIdentity();
  const { signingKey, verifierKey } = generateSigningKey('box.test');
  write('rotator.key', await generateIdentity());
  write('receipts.key', receipts);
  write('audit.key', signingKey);
  write('audit.key.pub', verifierKey);
  return identityToRecipient(receipts);
}

/** The keys and the state of a fixture; the recipient of its receipts. */
function copyFixture(folder: string, { keys, state }: { keys: string; state: string }): string {
  for (const name of readdirSync(keys))
    writeFileSync(join(folder, name), readFileSync(join(keys, name)), { mode: 0o600 });
  for (const name of readdirSync(state))
    cpSync(join(state, name), join(folder, name), { recursive: true });
  const key = readFileSync(join(folder, 'receipts.key'), 'utf8');
  return /public key: (age1\w+)/.exec(key)?.[1] ?? '';
}

function writeConfig(
  folder: string,
  baseUrl: string,
  recipient: string,
  { store = 'file', receipts = 'sealed', thingspace, fixture }: BlackBoxOptions,
): void {
  const times = { requestTimeoutMs: 2_000, resetTimeoutMs: 2_000, settleMs: 0, ...thingspace };
  const identityFile = receipts === 'readable' ? { identityFile: './receipts.key' } : {};
  const recipients = receipts !== 'none' ? { recipients: [recipient] } : {};
  const config = {
    thingspace: { baseUrl, ...times },
    store: store === 'file' ? { type: 'file' } : { type: store, region: 'us-east-1' },
    accounts: [{ name: account, secretId: fixture ? 'east' : secretId }],
    receipts: { directory: './receipts', ...recipients, ...identityFile },
  };
  writeFileSync(join(folder, 'rotator.yaml'), JSON.stringify(config));
}

function environmentOf(secretsManagerUrl: string | null): Readonly<Record<string, string>> {
  const bare = { PATH: process.env['PATH'] ?? '', HOME: '/nonexistent', TZ: 'UTC' };
  if (secretsManagerUrl === null) return bare;
  return {
    ...bare,
    AWS_EC2_METADATA_DISABLED: 'true',
    AWS_ENDPOINT_URL_SECRETS_MANAGER: secretsManagerUrl,
    AWS_ACCESS_KEY_ID: 'test',
    AWS_SECRET_ACCESS_KEY: 'test',
  };
}

function startProgram(
  cwd: string,
  args: readonly string[],
  { at, wrap = [], env = {}, input = '' }: RunOptions,
): Started {
  const clock = at === undefined ? [] : ['faketime', '-f', `@${at}`];
  const program = [process.execPath, join(dist, 'cli.js'), ...args, '--json'];
  const [command = '', ...words] = [...wrap, ...clock, ...program];
  const child = spawn(command, words, { cwd, env });
  child.stdin.on('error', () => {});
  child.stdin.end(input);
  const ended = Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')]).then(
    ([out, said, [code]]) => ({ code, lines: linesOf(out), said: `${out}\n${said}` }),
  );
  const until = async (moment: Promise<unknown> | undefined): Promise<void> => {
    const early = ended.then(({ code, said }) => {
      throw new Error(`the program ended with ${code} before the moment came: ${said}`);
    });
    early.catch(() => {});
    await Promise.race([moment, early]);
  };
  const sees = watchOutput(child);
  return {
    child,
    ended,
    until,
    said: (what) => until(sees(what)),
    async kill() {
      child.kill('SIGKILL');
      await ended;
    },
  };
}

/** A function that resolves when the output so far contains a text. */
function watchOutput({ stdout, stderr }: ChildProcess): (what: string) => Promise<void> {
  let seen = '';
  const checks = new Set<() => void>();
  for (const stream of [stdout, stderr])
    stream?.on('data', (chunk) => {
      seen += chunk;
      for (const check of checks) check();
    });
  return (what) =>
    new Promise((found) => {
      const check = (): void => {
        if (seen.includes(what)) found();
      };
      checks.add(check);
      check();
    });
}

function linesOf(out: string): Ran['lines'] {
  const lines = out.split('\n').filter((line) => /^[[{]/.test(line));
  return lines.flatMap((line) => JSON.parse(line));
}
