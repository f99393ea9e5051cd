// The built program as a child process, and what it needs on loopback: a simulated ThingSpace, a
// fake Secrets Manager, a folder that `init` created, secrets of some age. `npm test` builds before
// it tests.

import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createFiles } from '../../src/cli/init-files.ts';
import type { Shell } from '../../src/cli/terminal.ts';
import { openClock } from '../../src/clock.ts';
import { Secret } from '../../src/secret.ts';
import {
  openThingSpaceSimulator,
  type ThingSpaceSimulator,
} from '../../src/simulator/thingspace.ts';
import { readIdentityFile } from '../../src/stores/age-key.ts';
import { openFileStore } from '../../src/stores/file-store.ts';
import { openSecretsManagerSimulator } from '../fakes/secrets-manager.ts';

/** ROTATOR_DIST names the dist/ of another build. */
export const program = resolve(process.env['ROTATOR_DIST'] ?? 'dist', 'cli.js');

export type Ran = {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
};
export type RunOptions = {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly input?: string;
};

export type Child = {
  readonly process: ChildProcess;
  /** Resolves when its output so far matches; rejects when it ends before. */
  saw(what: RegExp): Promise<RegExpExecArray>;
  readonly ended: Promise<Ran>;
};

/** Only what a program needs: nothing of this machine's own configuration. */
const bare = {
  PATH: process.env['PATH'] ?? '',
  HOME: '/nonexistent',
  AWS_EC2_METADATA_DISABLED: 'true',
};

export function start(
  args: readonly string[],
  { cwd = tmpdir(), env = {}, input }: RunOptions = {},
): Child {
  return watch(
    spawn(process.execPath, [program, ...args], { cwd, env: { ...bare, ...env } }),
    input,
  );
}

/** On a terminal (util-linux `script`): standard input, output and error are one pty. */
export function startOnTerminal(
  args: readonly string[],
  { cwd = tmpdir(), env = {}, input }: RunOptions = {},
): Child {
  const command = [process.execPath, program, ...args]
    .map((word) => `'${word.replaceAll("'", "'\\''")}'`)
    .join(' ');
  return watch(
    spawn('script', ['-qefc', command, '/dev/null'], {
      cwd,
      env: { TERM: 'xterm', ...bare, ...env },
    }),
    input,
    false,
  );
}

const living = new Set<ChildProcess>();

/** Ends what a failed test has left running. */
export function killLeftovers(): void {
  for (const child of living) child.kill('SIGKILL');
}

function watch(child: ReturnType<typeof spawn>, input: string | undefined, isEnding = true): Child {
  let [stdout, stderr] = ['', ''];
  living.add(child);
  const watchers = new Set<() => void>();
  child.stdout?.on('data', (chunk) => {
    stdout += chunk;
    for (const check of watchers) check();
  });
  child.stderr?.on('data', (chunk) => {
    stderr += chunk;
    for (const check of watchers) check();
  });
  if (isEnding) child.stdin?.end(input ?? '');
  else if (input !== undefined) child.stdin?.write(input);
  child.stdin?.on('error', () => {});
  const ended = new Promise<Ran>((resolveEnd, reject) => {
    child.on('error', reject);
    child.on('close', (code) => {
      living.delete(child);
      resolveEnd({ code, stdout, stderr });
    });
  });
  return {
    process: child,
    saw: (what) =>
      new Promise((resolveSeen, reject) => {
        const check = (): void => {
          const found = what.exec(stdout) ?? what.exec(stderr);
          if (found) resolveSeen(found);
        };
        watchers.add(check);
        check();
        void ended.then(({ code }) =>
          reject(new Error(`ended with ${code} before ${what}:\n${stdout}\n${stderr}`)),
        );
      }),
    ended,
  };
}

export const run = (args: readonly string[], options?: RunOptions): Promise<Ran> =>
  start(args, options).ended;

/** A fake Secrets Manager with these secrets, and the environment in which a program finds it. */
export async function openFakeStore(secrets: Readonly<Record<string, string>>) {
  const fake = await openSecretsManagerSimulator();
  for (const [Name, SecretString] of Object.entries(secrets))
    fake.call('CreateSecret', { Name, SecretString, ClientRequestToken: randomUUID() });
  return {
    env: {
      AWS_ENDPOINT_URL_SECRETS_MANAGER: fake.url,
      AWS_REGION: 'us-east-1',
      AWS_ACCESS_KEY_ID: 'x',
      AWS_SECRET_ACCESS_KEY: 'x',
    },
    [Symbol.asyncDispose]: () => fake.close(),
  };
}

export type Place = {
  readonly folder: string;
  readonly simulator: ThingSpaceSimulator;
  /** Runs a command in the folder. */
  run(args: readonly string[], options?: RunOptions): Promise<Ran>;
  start(args: readonly string[], options?: RunOptions): Child;
  close(): Promise<void>;
};

export type PlacedAccount = {
  readonly ageDays: number;
  readonly password?: string;
  readonly live?: string;
};

const application = { clientId: 'app-key', clientSecret: 'app-planted-secret' };

/**
 * A folder with these accounts, whose users are USER-name; each has another password, unless
 * said otherwise.
 */
export async function openPlace(accounts: Readonly<Record<string, PlacedAccount>>): Promise<Place> {
  const folder = mkdtempSync(join(tmpdir(), 'cli-'));
  const users = Object.entries(accounts).map(([name, { live = `planted-${name}` }]) => ({
    username: `USER-${name}`,
    password: live,
  }));
  const simulator = await openThingSpaceSimulator({ users, applications: [application] });
  const place: Place = {
    folder,
    simulator,
    run: (args, options) => run(args, { cwd: folder, ...options }),
    start: (args, options) => start(args, { cwd: folder, ...options }),
    close: async () => {
      await simulator.close();
      rmSync(folder, { recursive: true });
    },
  };
  const shell = { pid: process.pid, user: { name: 'test' }, schema: 'schema' } as Shell;
  const listed = Object.keys(accounts).map((name) => ({ name, secretId: `thingspace/${name}` }));
  await createFiles(shell, join(folder, 'rotator.yaml'), {
    store: 'file',
    baseUrl: simulator.baseUrl,
    accounts: listed,
  });
  for (const [name, account] of Object.entries(accounts)) await putAged(folder, name, account);
  return place;
}

async function putAged(
  folder: string,
  name: string,
  { ageDays, password = `planted-${name}` }: PlacedAccount,
): Promise<void> {
  const clock = openClock();
  const identity = await readIdentityFile(join(folder, 'rotator.key'));
  const aged = { ...clock, nowMs: () => clock.nowMs() - ageDays * 86_400_000 };
  const store = await openFileStore({ directory: join(folder, 'secrets'), identity, clock: aged });
  await store.putCurrent(
    `thingspace/${name}`,
    new Secret(JSON.stringify({ username: `USER-${name}`, password, ...application })),
  );
}
