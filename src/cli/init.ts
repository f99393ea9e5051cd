// init: asks on a terminal, or takes flags, and writes what a first rotation needs.

import { existsSync } from 'node:fs';
import { relative, resolve } from 'node:path';
import { createInterface } from 'node:readline/promises';
import { openClock } from '../clock.ts';
import { nearest, UsageError } from '../config/errors.ts';
import { parseConfig } from '../config/load.ts';
import { type Beginning, begin } from './init-files.ts';
import { type CommonFlags, print, type Shell, tell } from './terminal.ts';

export type InitFlags = CommonFlags & { store?: string; baseUrl?: string; account?: string[] };

const stores = ['file', 'secrets-manager'] as const;
const verizon = 'https://thingspace.verizon.com/api';

export async function init(shell: Shell, flags: InitFlags): Promise<number> {
  const configFile = resolve(
    shell.cwd,
    flags.config ?? (shell.env['ROTATOR_CONFIG'] || 'rotator.yaml'),
  );
  if (existsSync(configFile))
    throw new UsageError(`${configFile} exists; init overwrites nothing, and has written nothing`);
  const beginning = await beginningOf(shell, flags);
  // The text that will be read back later is judged now, before anything is on the disk.
  const judged = {
    store: { type: beginning.store },
    thingspace: { baseUrl: beginning.baseUrl },
    accounts: beginning.accounts,
  };
  await parseConfig({
    text: JSON.stringify(judged),
    file: 'init',
    folder: shell.cwd,
    env: {},
  }).catch((error: unknown) => {
    if (!(error instanceof UsageError)) throw error;
    throw new UsageError(error.problems.map((problem) => problem.replace(/^init:\d+:\d+: /, '')));
  });
  const files = await begin(shell, openClock(), configFile, beginning);

  if (flags.json) print(shell, JSON.stringify({ files }));
  else if (!flags.quiet) {
    for (const { file, about } of files) print(shell, `${shown(shell, file)}\t${about}`);
    for (const line of nextSteps(beginning, flags.config)) tell(shell, line);
  }
  return 0;
}

const shown = ({ cwd }: Shell, file: string): string => relative(cwd, file) || file;

function nextSteps({ store, accounts }: Beginning, config: string | undefined): string[] {
  const name = accounts[0]?.name ?? 'ACCOUNT';
  const flag = config === undefined ? '' : ` --config ${config}`;
  const put =
    store === 'file'
      ? `thingspace-rotator secret put ${name}${flag} < secret.json   the object {"username","password","clientId","clientSecret"}`
      : `put the object {"username","password","clientId","clientSecret"} into the secret ${accounts[0]?.secretId}`;
  return [
    'next:',
    '  1. move receipts.key off this machine',
    `  2. ${put}`,
    `  3. thingspace-rotator check ${name}${flag}`,
    `  4. thingspace-rotator rotate ${name}${flag} --force --reason "first rotation"`,
  ];
}

async function beginningOf(shell: Shell, flags: InitFlags): Promise<Beginning> {
  const given = flags.account?.map(accountOf);
  const isAsking = shell.stdin.isTTY === true && shell.stderr.isTTY === true && !flags.json;
  if (!isAsking && (given === undefined || given.length === 0))
    throw new UsageError(
      'no account: thingspace-rotator init --account fleet-east[=thingspace/fleet-east] (on a terminal, init asks)',
    );
  const ask = isAsking ? openQuestions(shell) : null;
  try {
    const store = storeOf(
      flags.store ??
        (given === undefined && ask
          ? await ask.question('Secret store, file or secrets-manager', 'file')
          : 'file'),
    );
    const baseUrl =
      flags.baseUrl ??
      (given === undefined && ask ? await ask.question('ThingSpace API', verizon) : verizon);
    const accounts = given ?? (await askedAccounts(ask));
    return { store, baseUrl, accounts };
  } finally {
    ask?.close();
  }
}

function storeOf(text: string): Beginning['store'] {
  const store = stores.find((known) => known === text);
  if (store) return store;
  const near = nearest(text, stores);
  throw new UsageError(
    `--store takes file or secrets-manager${near === undefined ? '' : `; did you mean ${near}?`}`,
  );
}

function accountOf(text: string): { name: string; secretId: string } {
  const [name = '', ...rest] = text.split('=');
  return { name, secretId: rest.length === 0 ? `thingspace/${name}` : rest.join('=') };
}

type Questions = { question(text: string, fallback: string): Promise<string>; close(): void };

async function askedAccounts(ask: Questions | null): Promise<Beginning['accounts']> {
  const accounts: { name: string; secretId: string }[] = [];
  while (ask) {
    const name = await ask.question(
      accounts.length === 0 ? 'Name of the first account' : 'Another account (empty: no more)',
      '',
    );
    if (name === '' && accounts.length > 0) break;
    if (name === '') continue;
    accounts.push({
      name,
      secretId: await ask.question(`Secret of ${name}`, `thingspace/${name}`),
    });
  }
  return accounts;
}

function openQuestions({ stdin, stderr }: Shell): Questions {
  const lines = createInterface({ input: stdin, output: stderr });
  return {
    question: async (text, fallback) => {
      const answer = (
        await lines.question(fallback === '' ? `${text}: ` : `${text} [${fallback}]: `)
      ).trim();
      return answer === '' ? fallback : answer;
    },
    close: () => lines.close(),
  };
}
