// simulate: ThingSpace on loopback, and Secrets Manager beside it, until a signal ends it. For trying things out;
// no password has to stand in the arguments.

import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import type { SecretsManagerSimulator } from '../../test/fakes/secrets-manager.ts';
import { suggestion, UsageError } from '../config/errors.ts';
import {
  type CallName,
  type Fault,
  faultNames,
  openThingSpaceSimulator,
  type RequestLine,
  type ThingSpaceSimulator,
} from '../simulator/thingspace.ts';
import { type CommonFlags, print, printTable, readStdin, type Shell, tell } from './terminal.ts';

export type SimulateFlags = CommonFlags & {
  user?: string[];
  application?: string[];
  credentials?: string;
  fault?: string[];
  faults?: boolean;
  port?: string;
  secretsManager?: boolean;
};

type Simulated = {
  readonly username: string;
  readonly password: string;
  readonly clientId?: string;
  readonly clientSecret?: string;
};

export async function simulate(shell: Shell, flags: SimulateFlags): Promise<number> {
  if (flags.faults) {
    printTable(
      shell,
      ['FAULT', 'WHAT IT DOES'],
      Object.entries(faultNames).map(([name, about]) => [name, about]),
    );
    return 0;
  }
  const port = flags.port === undefined ? 0 : Number(flags.port);
  if (!Number.isInteger(port) || port < 0 || port > 65_535)
    throw new UsageError('--port takes a number from 0 to 65535');
  const faults = (flags.fault ?? []).map(faultOf);
  const credentials = await credentialsOf(shell, flags);
  const applications = (flags.application ?? []).map((text) =>
    pairOf('--application', text, 'ID=SECRET'),
  );

  let end = (): void => {};
  const ended = new Promise<void>((resolveEnded) => {
    end = resolveEnded;
  });
  const takeBack = shell.onSignal(() => end());
  shell.outputClosed.addEventListener('abort', () => end());
  const simulator = await listening(shell, port, flags);
  let secretsManager: SecretsManagerSimulator | null = null;
  try {
    for (const { username, password, clientId, clientSecret } of credentials) {
      simulator.addUser(username, password);
      if (clientId !== undefined && clientSecret !== undefined)
        simulator.addApplication({ clientId, clientSecret });
    }
    for (const [clientId, clientSecret] of applications)
      simulator.addApplication({ clientId, clientSecret });
    for (const fault of faults) simulator.arm(fault);
    if (flags.secretsManager) secretsManager = await openSecrets(credentials);
    printPlaces(shell, flags, simulator, secretsManager);
    await ended;
  } finally {
    takeBack();
    await Promise.all([simulator.close(), secretsManager?.close()]);
  }
  return 0;
}

async function listening(
  shell: Shell,
  port: number,
  flags: SimulateFlags,
): Promise<ThingSpaceSimulator> {
  const onRequest = ({ method, path, username, status, fault, committed }: RequestLine): void => {
    const what = [
      method,
      path,
      username ?? '-',
      status ?? 'no answer',
      fault === undefined ? '' : `fault ${fault}`,
      committed ? 'done' : 'nothing done',
    ];
    tell(shell, what.filter((word) => word !== '').join(' '));
  };
  try {
    return await openThingSpaceSimulator({ port, ...(flags.quiet ? {} : { onRequest }) });
  } catch (error) {
    throw new UsageError(
      `cannot listen on port ${port}: ${(error as NodeJS.ErrnoException).code ?? 'an unexpected error'}`,
    );
  }
}

function printPlaces(
  shell: Shell,
  { json }: CommonFlags,
  { baseUrl }: ThingSpaceSimulator,
  secretsManager: SecretsManagerSimulator | null,
): void {
  if (json) print(shell, JSON.stringify({ baseUrl, secretsManager: secretsManager?.url ?? null }));
  else {
    print(shell, `ROTATOR_THINGSPACE__BASE_URL=${baseUrl}`);
    if (secretsManager) print(shell, `AWS_ENDPOINT_URL_SECRETS_MANAGER=${secretsManager.url}`);
  }
}

/** A simulator with one secret per user, named thingspace/USERNAME. */
async function openSecrets(credentials: readonly Simulated[]): Promise<SecretsManagerSimulator> {
  const { openSecretsManagerSimulator } = await import('../../test/fakes/secrets-manager.ts');
  const simulator = await openSecretsManagerSimulator();
  credentials.forEach((object, index) => {
    const ClientRequestToken = `simulated-${String(index).padStart(22, '0')}`;
    simulator.call('CreateSecret', {
      Name: `thingspace/${object.username}`,
      SecretString: JSON.stringify(object),
      ClientRequestToken,
    });
  });
  return simulator;
}

/** `NAME[:call[:count]]`, such as `drop-after-commit:reset:1`. */
function faultOf(text: string): Fault {
  const [name = '', call = 'reset', count = '1', ...rest] = text.split(':');
  const names = Object.keys(faultNames) as (keyof typeof faultNames)[];
  const fault = names.find((known) => known === name);
  if (!fault)
    throw new UsageError(
      `unknown fault ${name}; ${suggestion(name, names)} (simulate --faults lists them)`,
    );
  const calls: readonly CallName[] = ['token', 'login', 'reset', 'logout'];
  const met = calls.find((known) => known === call);
  if (!met) throw new UsageError(`unknown call ${call} in --fault; ${suggestion(call, calls)}`);
  if (rest.length > 0 || !/^([1-9]\d{0,8}|all)$/.test(count))
    throw new UsageError('--fault takes NAME[:CALL[:COUNT]], COUNT a number or all');
  return {
    fault,
    call: met,
    count: count === 'all' ? Number.POSITIVE_INFINITY : Number(count),
    ...(fault === 'slow' ? { delayMs: 10_000 } : {}),
  };
}

function pairOf(flag: string, text: string, form: string): readonly [string, string] {
  const at = text.indexOf('=');
  if (at < 1 || at === text.length - 1) throw new UsageError(`${flag} takes ${form}`);
  return [text.slice(0, at), text.slice(at + 1)];
}

/** From --user, from the file or standard input that --credentials names, and from SIMULATOR_CREDENTIALS. */
async function credentialsOf(
  shell: Shell,
  { user = [], credentials }: SimulateFlags,
): Promise<Simulated[]> {
  const users = user
    .map((text) => pairOf('--user', text, 'NAME=PASSWORD'))
    .map(([username, password]) => ({ username, password }));
  const given =
    credentials === undefined
      ? []
      : parseCredentials(
          '--credentials',
          credentials === '-' ? await readStdin(shell) : readText(shell, credentials),
        );
  const { SIMULATOR_CREDENTIALS } = shell.env as { SIMULATOR_CREDENTIALS?: string };
  return [
    ...users,
    ...given,
    ...(SIMULATOR_CREDENTIALS
      ? parseCredentials('SIMULATOR_CREDENTIALS', SIMULATOR_CREDENTIALS)
      : []),
  ];
}

function readText({ cwd }: Shell, file: string): string {
  try {
    return readFileSync(resolve(cwd, file), 'utf8');
  } catch (error) {
    throw new UsageError(
      `--credentials ${file}: ${(error as NodeJS.ErrnoException).code ?? 'cannot be read'}`,
    );
  }
}

/** One object as the secret holds it, or a list of them. JSON.parse's own message would quote the text. */
function parseCredentials(from: string, text: string): Simulated[] {
  const wrong = new UsageError(
    `${from} takes JSON: {"username","password","clientId","clientSecret"}, or a list of such objects`,
  );
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw wrong;
  }
  return (Array.isArray(value) ? value : [value]).map((item) => {
    if (typeof item?.username !== 'string' || typeof item.password !== 'string') throw wrong;
    return item as Simulated;
  });
}
