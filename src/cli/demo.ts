// demo: three accounts are rotated against a simulated ThingSpace, with the file store, in a folder
// that stays for the reader. What it prints comes from the results.

import {
  createWriteStream,
  existsSync,
  mkdirSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join, relative, resolve } from 'node:path';
import { openVerifiers, type Rotator } from '../app.ts';
import { listRecords } from '../audit/query.ts';
import { verifyLog } from '../audit/verify.ts';
import { openClock } from '../clock.ts';
import { explainErrors, UsageError } from '../config/errors.ts';
import type { Clock } from '../rotation/ports.ts';
import { resultJson } from '../rotation/result-json.ts';
import type { Result } from '../rotation/state.ts';
import { run } from '../scheduler/run.ts';
import { Secret } from '../secret.ts';
import { openThingSpaceSimulator, type ThingSpaceSimulator } from '../simulator/thingspace.ts';
import { readIdentityFile } from '../stores/age-key.ts';
import { openFileStore } from '../stores/file-store.ts';
import { openSecretStore } from '../stores/secret-store.ts';
import { counted } from '../text.ts';
import { dayMs } from '../time.ts';
import { type Session, withSession } from './context.ts';
import { humanLines } from './format-result.ts';
import { createFiles } from './init-files.ts';
import { readStatuses, states } from './status.ts';
import { columnsOf, paintFor, print, type Shell, tell, wrapped } from './terminal.ts';

const marker = '.thingspace-rotator-demo';
const application = { clientId: 'demo-application', clientSecret: 'demo-application-secret' };

/** Due, not due, and one whose secret holds a password that ThingSpace will reject. */
const accounts = [
  { name: 'fleet-east', username: 'UWSEAST', ageDays: 81, about: '81 days old, so it is due' },
  { name: 'fleet-west', username: 'UWSWEST', ageDays: 12, about: '12 days old, so it is not due' },
  {
    name: 'fleet-south',
    username: 'UWSSOUTH',
    ageDays: 80,
    about: '80 days old, and the stored password is wrong',
  },
] as const;

const secretIdOf = (name: string): string => `thingspace/${name}`;
const livePasswordOf = (name: string): string => `live-at-verizon-${name}`;

/** What the steps of the demonstration share. */
type Demo = {
  readonly shell: Shell;
  readonly folder: string;
  /** The configuration, as a printed command names it. */
  readonly config: string;
  readonly simulator: ThingSpaceSimulator;
  readonly say: (...lines: readonly string[]) => void;
};

export async function demo(shell: Shell, flags: { directory?: string }): Promise<number> {
  const folder = resolve(shell.cwd, flags.directory ?? 'demo');
  createFolder(folder);
  const simulator = await openThingSpaceSimulator({
    users: accounts.map(({ username, name }) => ({ username, password: livePasswordOf(name) })),
    applications: [application],
  });
  // Commands and lines that are formatted already begin with a space or a mark.
  const fit = (line: string): string[] =>
    /^\w/.test(line) ? wrapped(columnsOf(shell.stdout), line, 0) : [line];
  const say = (...lines: readonly string[]): void => {
    if (shell.flags.json || shell.flags.quiet) return;
    for (const line of lines.flatMap(fit)) print(shell, line);
  };
  // The log, with its receipts, is written into the folder: it would hide the output.
  const log = createWriteStream(join(folder, 'rotator.log'), { flags: 'a', mode: 0o600 });
  try {
    await prepare(shell, folder, simulator.baseUrl);
    const file = join(folder, 'rotator.yaml');
    const quiet: Shell = {
      ...shell,
      flags: { config: file },
      env: {},
      stderr: log,
      writeLine: (line) => void log.write(`${line}\n`),
    };
    const config = relative(shell.cwd, file);
    return await withSession(quiet, (session) =>
      perform({ shell, folder, config, simulator, say }, session),
    );
  } finally {
    await new Promise<void>((resolveEnd) => log.end(resolveEnd));
    await simulator.close();
  }
}

/** A new folder, or that of an earlier demo. Other content is a UsageError. */
function createFolder(folder: string): void {
  const advice = ' Name another folder with --directory.';
  const create = (): void => {
    const isEmpty = !existsSync(folder) || readdirSync(folder).length === 0;
    if (!isEmpty && !existsSync(join(folder, marker)))
      throw new UsageError(`${folder} exists, and no demo created it.${advice}`);
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const note = 'Created by thingspace-rotator demo; the next demo replaces it.\n';
    writeFileSync(join(folder, marker), note);
  };
  explainErrors(`Cannot create ${folder}`, create, advice);
}

/** The files of `init`, and three secrets of some age. */
async function prepare(shell: Shell, folder: string, baseUrl: string): Promise<void> {
  const clock = openClock();
  await createFiles(shell, join(folder, 'rotator.yaml'), {
    store: 'file',
    baseUrl,
    accounts: accounts.map(({ name }) => ({ name, secretId: secretIdOf(name) })),
  });
  const identity = await readIdentityFile(join(folder, 'rotator.key'));
  const directory = join(folder, 'secrets');
  for (const { name, username, ageDays } of accounts) {
    const past: Clock = { ...clock, nowMs: () => clock.nowMs() - ageDays * dayMs };
    const store = await openFileStore({ directory, identity, clock: past });
    const password = name === 'fleet-south' ? 'not-the-one-at-verizon' : livePasswordOf(name);
    const secret = { username, password, ...application, region: name };
    await store.putCurrent(secretIdOf(name), new Secret(JSON.stringify(secret)));
  }
}

async function perform(demo: Demo, session: Session): Promise<number> {
  const { shell, config, say, simulator } = demo;
  const { bold } = paintFor(shell, shell.stdout);
  say(
    `A simulated ThingSpace runs at ${simulator.baseUrl}. The file store has three accounts:`,
    ...accounts.map(({ name, about }) => `  ${name}: ${about}.`),
    '',
    bold('thingspace-rotator rotate'),
  );
  const { results } = await run(session.rotator, {
    accounts: session.config.accounts,
    ask: { purpose: 'rotate', trigger: session.trigger('manual', { reason: 'demonstration' }) },
    interrupt: session.interrupt,
  });
  for (const result of results) {
    if (shell.flags.json) print(shell, JSON.stringify(resultJson(result)));
    else say(...humanLines({ ...shell, flags: { config } }, result, 'rotate'));
  }
  say('', bold('What the simulated ThingSpace received'));
  for (const line of await requestLines(demo, session))
    say(...wrapped(columnsOf(shell.stdout), line));
  say('', ...(await auditLines(demo, session)));
  say(
    '',
    bold('What to try next'),
    ...['status', 'explain login-refused', 'audit list', 'audit verify'].map(
      (command) => `  ${shell.program} ${command} --config ${config}`,
    ),
    '',
    `All files are in ${demo.folder}; the next demo replaces them.`,
    'The simulated ThingSpace has ended. `simulate` starts one that stays.',
    'To begin with a real account: `thingspace-rotator init`.',
  );
  const isExpected = isAsExpected(results);
  if (!isExpected) tell(shell, 'The demo has another result than expected.');
  return isExpected ? 0 : 1;
}

const isAsExpected = ([east, west, south]: readonly Result[]): boolean =>
  east?.outcome === 'rotated' && west?.outcome === 'not-due' && south?.reason === 'login-refused';

/** For each account: its requests, whether the store holds its password, and its status. */
async function requestLines({ simulator }: Demo, { rotator, config }: Session): Promise<string[]> {
  const statuses = await readStatuses(rotator, config.accounts);
  const lines: string[] = [];
  for (const { name, username } of accounts) {
    const live = new Secret(simulator.livePassword(username));
    const holds = (await storedPassword(rotator, name))?.equals(live) ? 'holds' : 'does not hold';
    const { consecutive } = simulator.failedLogins(username);
    const rejected =
      consecutive === 0 ? '' : ` (${consecutive} rejected; five in a row would lock the user)`;
    const logins = `${counted(simulator.loginsReceived(username), 'login')}${rejected}`;
    const resets = counted(simulator.resetsCommitted(username), 'reset');
    const { state = 'unreadable' } = statuses.find(({ account }) => account === name) ?? {};
    const words = `The store ${holds} its password. Status: ${states[state].word}.`;
    lines.push(`  ${name}: ${logins}, ${resets}. ${words}`);
  }
  return lines;
}

async function storedPassword({ files }: Rotator, name: string): Promise<Secret | undefined> {
  const secretId = secretIdOf(name);
  const store = files && openSecretStore(files.versions(secretId), { secretId });
  return (await store?.readCurrent())?.credentials.password;
}

async function auditLines({ shell }: Demo, { config, clock, rotator }: Session): Promise<string[]> {
  const { source } = rotator.audit;
  const events: string[] = [];
  for await (const { view } of listRecords(source, {}))
    events.push(`  ${view.code} ${view.account ?? ''}`.trimEnd());
  const verifiers = await openVerifiers(config, clock);
  const { records, state } = await verifyLog(source, { verifiers, nowMs: clock.nowMs() });
  const segment = (await source.segments()).at(-1)?.name ?? '';
  const file = join(relative(shell.cwd, config.audit.directory), segment);
  const { bold } = paintFor(shell, shell.stdout);
  return [bold(`The audit log ${file}: ${records} records, ${state}`), ...events];
}
