// init: asks on a terminal, or reads flags, and creates the files that a first rotation needs.

import { existsSync } from 'node:fs';
import { relative, resolve } from 'node:path';
import { createInterface } from 'node:readline/promises';
import { suggestion, UsageError } from '../config/errors.ts';
import { validateConfig } from '../config/load.ts';
import { ownCommand } from '../rotation/catalogue.ts';
import { createFiles, describeExisting, type Setup } from './init-files.ts';
import { print, printTable, type Shell, tell } from './terminal.ts';

type InitFlags = { store?: string; baseUrl?: string; account?: string[] };

const stores = ['file', 'secrets-manager'] as const;
const verizonUrl = 'https://thingspace.verizon.com/api';

export async function init(shell: Shell, flags: InitFlags): Promise<void> {
  const { config, json, quiet } = shell.flags;
  const configFile = resolve(shell.cwd, config ?? (shell.env['ROTATOR_CONFIG'] || 'rotator.yaml'));
  if (existsSync(configFile)) throw new UsageError(describeExisting(configFile));
  const setup = await readSetup(shell, flags);
  // What the configuration will say is validated before a file is written.
  const { store, baseUrl, accounts } = setup;
  const value = { store: { type: store }, thingspace: { baseUrl }, accounts };
  validateConfig({ value, placeOf: () => 'init' }, shell.cwd);
  const files = await createFiles(shell, configFile, setup);

  if (json) print(shell, JSON.stringify({ files }));
  else if (!quiet) {
    const rows = files.map(({ file, about }) => [relative(shell.cwd, file) || file, about]);
    printTable(shell, ['FILE', 'PURPOSE'], rows);
    for (const line of nextSteps(setup, config)) tell(shell, line);
  }
}

function nextSteps({ store, accounts }: Setup, config: string | undefined): string[] {
  const [{ name, secretId } = { name: 'ACCOUNT', secretId: 'SECRET' }] = accounts;
  const facts = { config };
  const rotate = ownCommand(facts, 'rotate', name, '--force', '--reason', 'first rotation');
  return [
    'Next steps:',
    '  1. Move receipts.key to another machine.',
    '  2. Store the object {"username","password","clientId","clientSecret"}:',
    store === 'file'
      ? `       ${ownCommand(facts, 'secret', 'put', name)} < secret.json`
      : `       aws secretsmanager put-secret-value --secret-id ${secretId} --secret-string ` +
        'file://secret.json',
    '  3. Test the account without changing its password:',
    `       ${ownCommand(facts, 'check', name)}`,
    '  4. Rotate it:',
    `       ${rotate}`,
  ];
}

async function readSetup(shell: Shell, flags: InitFlags): Promise<Setup> {
  const { baseUrl = verizonUrl, store = 'file' } = flags;
  const accounts = flags.account?.map(parseAccount) ?? [];
  if (accounts.length > 0) return { store: parseStore(store), baseUrl, accounts };
  if (shell.stdin.isTTY && shell.stderr.isTTY && !shell.flags.json) return askSetup(shell, flags);
  throw new UsageError(
    'init needs an account: --account fleet-east[=thingspace/fleet-east]. On a terminal, init ' +
      'asks.',
  );
}

function parseStore(text: string): Setup['store'] {
  const store = stores.find((known) => known === text);
  if (store) return store;
  throw new UsageError(`--store takes file or secrets-manager. ${suggestion(text, stores)}`);
}

function parseAccount(text: string): Setup['accounts'][number] {
  const [name = '', ...rest] = text.split('=');
  return { name, secretId: rest.length === 0 ? `thingspace/${name}` : rest.join('=') };
}

async function askSetup({ stdin, stderr }: Shell, flags: InitFlags): Promise<Setup> {
  const lines = createInterface({ input: stdin, output: stderr });
  const ask = async (text: string, fallback = ''): Promise<string> => {
    const question = fallback === '' ? `${text}: ` : `${text} [${fallback}]: `;
    return (await lines.question(question)).trim() || fallback;
  };
  try {
    const type = flags.store ?? (await ask('Secret store, file or secrets-manager', 'file'));
    const store = parseStore(type);
    const baseUrl = flags.baseUrl ?? (await ask('ThingSpace API', verizonUrl));
    const accounts: { name: string; secretId: string }[] = [];
    for (;;) {
      const isFirst = accounts.length === 0;
      const what = isFirst ? 'Name of the first account' : 'Another account (empty: no more)';
      const name = await ask(what);
      if (name === '' && !isFirst) return { store, baseUrl, accounts };
      if (name !== '')
        accounts.push({ name, secretId: await ask(`Secret of ${name}`, `thingspace/${name}`) });
    }
  } finally {
    lines.close();
  }
}
