// demo: the whole job against a simulated Verizon, with the file store, in a folder of its own that stays for the
// reader to look at. What it says is taken from the results, not written beforehand.

import {
  createWriteStream,
  existsSync,
  mkdirSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join, relative, resolve } from 'node:path';
import { openVerifiers } from '../app.ts';
import { openFileSource } from '../audit/file-segments.ts';
import { listRecords } from '../audit/query.ts';
import { verifyLog } from '../audit/verify.ts';
import { openClock } from '../clock.ts';
import { UsageError } from '../config/errors.ts';
import { dayMs } from '../rotation/policy.ts';
import type { Clock } from '../rotation/ports.ts';
import { resultJson } from '../rotation/result-json.ts';
import { run } from '../scheduler/run.ts';
import { Secret } from '../secret.ts';
import { openThingSpaceSimulator, type ThingSpaceSimulator } from '../simulator/thingspace.ts';
import { readIdentityFile } from '../stores/age-key.ts';
import { openFileStore } from '../stores/file-store.ts';
import { openSecretStore } from '../stores/secret-store.ts';
import { type Session, withSession } from './context.ts';
import { humanLines } from './format-result.ts';
import { begin } from './init-files.ts';
import { readStatuses } from './status.ts';
import { type CommonFlags, paintFor, print, type Shell, tell } from './terminal.ts';

const marker = '.thingspace-rotator-demo';
const application = { clientId: 'demo-application', clientSecret: 'demo-application-secret' };

/** Due, not due, and one whose secret holds a password that ThingSpace will refuse. */
const accounts = [
  { name: 'fleet-east', username: 'UWSEAST', ageDays: 81, about: '81 days old, so it is due' },
  { name: 'fleet-west', username: 'UWSWEST', ageDays: 12, about: '12 days old, so it is not due' },
  {
    name: 'fleet-south',
    username: 'UWSSOUTH',
    ageDays: 80,
    about: '80 days old, and the password in the store is not the one at Verizon',
  },
] as const;

export async function demo(
  shell: Shell,
  flags: CommonFlags & { directory?: string },
): Promise<number> {
  const folder = resolve(shell.cwd, flags.directory ?? 'demo');
  makeFolder(folder);
  const clock = openClock();
  const simulator = await openThingSpaceSimulator({
    users: accounts.map(({ username, name }) => ({
      username,
      password: `live-at-verizon-${name}`,
    })),
    applications: [application],
  });
  try {
    await prepare(shell, clock, folder, simulator);
    const config = join(folder, 'rotator.yaml');
    // The log, with its sealed receipts, goes into the folder: a demonstration should be readable.
    const log = createWriteStream(join(folder, 'rotator.log'), { flags: 'a', mode: 0o600 });
    const aside: Shell = {
      ...shell,
      env: {},
      stderr: log,
      writeLine: (line) => void log.write(`${line}\n`),
    };
    try {
      return await withSession(aside, { config }, (session) =>
        perform(shell, flags, folder, session, simulator),
      );
    } finally {
      await new Promise<void>((resolveEnd) => log.end(resolveEnd));
    }
  } finally {
    await simulator.close();
  }
}

/** A fresh folder: an earlier demonstration is replaced, anything else is left alone. */
function makeFolder(folder: string): void {
  if (existsSync(folder)) {
    if (!existsSync(join(folder, marker)) && readdirSync(folder).length > 0)
      throw new UsageError(
        `${folder} exists and is no earlier demo; name another folder with --directory`,
      );
    rmSync(folder, { recursive: true });
  }
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    writeFileSync(
      join(folder, marker),
      'Made by thingspace-rotator demo, and replaced by the next one.\n',
    );
  } catch (error) {
    throw new UsageError(
      `cannot make ${folder}: ${(error as NodeJS.ErrnoException).code}; name another folder with --directory`,
    );
  }
}

/** What a customer would have: the files of `init`, and three secrets of some age. */
async function prepare(
  shell: Shell,
  clock: Clock,
  folder: string,
  simulator: ThingSpaceSimulator,
): Promise<void> {
  const secretIdOf = (name: string): string => `thingspace/${name}`;
  await begin(shell, clock, join(folder, 'rotator.yaml'), {
    store: 'file',
    baseUrl: simulator.baseUrl,
    accounts: accounts.map(({ name }) => ({ name, secretId: secretIdOf(name) })),
  });
  const identity = await readIdentityFile(join(folder, 'rotator.key'));
  for (const { name, username, ageDays } of accounts) {
    const then: Clock = { ...clock, nowMs: () => clock.nowMs() - ageDays * dayMs };
    const store = await openFileStore({
      directory: join(folder, 'secrets'),
      identity,
      clock: then,
    });
    const password = name === 'fleet-south' ? 'not-the-one-at-verizon' : `live-at-verizon-${name}`;
    await store.putCurrent(
      secretIdOf(name),
      new Secret(JSON.stringify({ username, password, ...application, region: name })),
    );
  }
}

async function perform(
  shell: Shell,
  flags: CommonFlags,
  folder: string,
  session: Session,
  simulator: ThingSpaceSimulator,
): Promise<number> {
  const { rotator, config, interrupt, clock } = session;
  const paint = paintFor(shell, shell.stdout);
  const say = (line: string): void => {
    if (!flags.json && !flags.quiet) print(shell, line);
  };
  say(
    `A simulated Verizon ThingSpace answers at ${simulator.baseUrl}. Three accounts, in the file store:`,
  );
  for (const { name, about } of accounts) say(`  ${name}: ${about}`);
  say('');
  say('thingspace-rotator rotate');
  const { results } = await run(rotator, {
    accounts: config.accounts,
    ask: {
      purpose: 'rotate',
      trigger: { kind: 'manual', requestedBy: shell.user.name, reason: 'demonstration' },
    },
    interrupt,
  });
  for (const result of results) {
    const account = config.accounts.find(({ name }) => name === result.account);
    if (flags.json) print(shell, JSON.stringify(resultJson(result)));
    else for (const line of humanLines(result, { account, config, paint })) say(line);
  }

  say('');
  say('What Verizon saw:');
  const statuses = await readStatuses(rotator, config.accounts);
  for (const { name, username } of accounts) {
    const isLive = await storeHolds(
      rotator,
      `thingspace/${name}`,
      simulator.livePassword(username),
    );
    const { consecutive } = simulator.failedLogins(username);
    const state = statuses.find(({ account }) => account === name)?.state ?? 'unreadable';
    const refused =
      consecutive === 0 ? '' : ` (${consecutive} refused; five in a row would lock the user)`;
    const seen = `${counted(simulator.loginsReceived(username), 'login')}${refused}, ${counted(simulator.resetsCommitted(username), 'reset')}`;
    say(
      `  ${name}: ${seen}; the store ${isLive ? 'holds' : 'does not hold'} its password; ${state}`,
    );
  }
  await tellRest(shell, session, folder, say, clock.nowMs());

  const [east, west, south] = results;
  const isAsPromised =
    east?.outcome === 'rotated' && west?.outcome === 'not-due' && south?.reason === 'login-refused';
  if (!isAsPromised) tell(shell, 'demo: that is not what should have happened');
  return isAsPromised ? 0 : 1;
}

const counted = (count: number, what: string): string =>
  `${count} ${what}${count === 1 ? '' : 's'}`;

async function storeHolds(
  { files }: Session['rotator'],
  secretId: string,
  livePassword: string,
): Promise<boolean> {
  if (!files) return false;
  const { credentials } = await openSecretStore(files.versions(secretId), {
    secretId,
  }).readCurrent();
  return credentials.password.equals(new Secret(livePassword));
}

async function tellRest(
  shell: Shell,
  { config, clock }: Session,
  folder: string,
  say: (line: string) => void,
  nowMs: number,
): Promise<void> {
  const source = openFileSource(config.audit.directory);
  const events: string[] = [];
  for await (const { view } of listRecords(source, {}))
    events.push(view.account === undefined ? view.code : `${view.code} ${view.account}`);
  const verified = await verifyLog(source, {
    verifiers: await openVerifiers(config, clock),
    nowMs,
  });
  const segment = (await source.segments()).at(-1)?.name ?? '';
  const file = relative(shell.cwd, join(folder, 'rotator.yaml'));
  say('');
  say(
    `The audit log, ${join(relative(shell.cwd, config.audit.directory), segment)}: ${verified.records} records, ${verified.state}:`,
  );
  for (const event of events) say(`  ${event}`);
  say('');
  say(`Everything is in ${folder} (the next demo replaces it). Look around:`);
  for (const command of ['status', 'audit list', 'audit verify'])
    say(`  ${shell.program} ${command} --config ${file}`);
  say('');
  say(
    'fleet-south waits for a person: the right password, by `secret put fleet-south`, and it goes on.',
  );
  say(
    'This Verizon ended with the demo; `simulate` starts one that stays, `init` begins with a real account.',
  );
}
