// simulate: a ThingSpace simulator on a loopback port, until a signal ends it. Passwords can come
// from a file, standard input or the environment, so that none has to be in the arguments.

import * as z from 'zod';
import { suggestion, UsageError } from '../config/errors.ts';
import { osErrorText } from '../rotation/failure.ts';
import type { Application } from '../simulator/accounts.ts';
import { type CallName, type Fault, faultNames } from '../simulator/faults.ts';
import {
  openThingSpaceSimulator,
  type RequestLine,
  type ThingSpaceSimulator,
} from '../simulator/thingspace.ts';
import { readGivenFile } from './files.ts';
import { type CommonFlags, print, printTable, readStdin, type Shell, tell } from './terminal.ts';

export type SimulateFlags = CommonFlags & {
  user?: string[];
  application?: string[];
  credentials?: string;
  fault?: string[];
  faults?: boolean;
  port?: string;
};

const credentials = z.object({
  username: z.string(),
  password: z.string(),
  clientId: z.string().optional(),
  clientSecret: z.string().optional(),
});

type Credentials = z.output<typeof credentials>;

export async function simulate(shell: Shell, flags: SimulateFlags): Promise<number> {
  if (flags.faults) {
    printTable(shell, ['FAULT', 'WHAT IT DOES'], Object.entries(faultNames));
    return 0;
  }
  const port = flags.port === undefined ? 0 : Number(flags.port);
  if (!Number.isInteger(port) || port < 0 || port > 65_535)
    throw new UsageError('--port takes a number from 0 to 65535.');
  const faults = (flags.fault ?? []).map(parseFault);
  const users = await readCredentials(shell, flags);
  const applications = (flags.application ?? []).map((text): Application => {
    const [clientId, clientSecret] = parsePair('--application', text, 'ID=SECRET');
    return { clientId, clientSecret };
  });

  const ended = untilEnd(shell);
  const simulator = await openSimulator(shell, port, flags);
  try {
    for (const { username, password, clientId, clientSecret } of users) {
      simulator.addUser(username, password);
      if (clientId !== undefined && clientSecret !== undefined)
        applications.push({ clientId, clientSecret });
    }
    for (const application of applications) simulator.addApplication(application);
    for (const fault of faults) simulator.arm(fault);
    const { baseUrl } = simulator;
    print(
      shell,
      flags.json ? JSON.stringify({ baseUrl }) : `ROTATOR_THINGSPACE__BASE_URL=${baseUrl}`,
    );
    await ended;
  } finally {
    await simulator.close();
  }
  return 0;
}

/** Resolves at a signal, or when nobody reads standard output any more. */
function untilEnd(shell: Shell): Promise<void> {
  return new Promise((resolve) => {
    const unsubscribe = shell.onSignal(end);
    shell.outputClosed.addEventListener('abort', end);
    function end(): void {
      unsubscribe();
      resolve();
    }
  });
}

async function openSimulator(
  shell: Shell,
  port: number,
  { quiet }: CommonFlags,
): Promise<ThingSpaceSimulator> {
  const onRequest = (line: RequestLine): void => {
    if (!quiet) tell(shell, formatRequest(line));
  };
  try {
    return await openThingSpaceSimulator({ port, onRequest });
  } catch (error) {
    throw new UsageError(`Cannot listen on port ${port}: ${osErrorText(error)}.`);
  }
}

function formatRequest(line: RequestLine): string {
  const { method, path, username, status, fault, committed } = line;
  const words = [
    method,
    path,
    username ?? '-',
    status ?? 'no answer',
    ...(fault === undefined ? [] : [`fault ${fault}`]),
    committed ? 'done' : 'nothing done',
  ];
  return words.join(' ');
}

/** `NAME[:call[:count]]`, such as `drop-after-commit:reset:1`. */
function parseFault(text: string): Fault {
  const [name = '', call = 'reset', count = '1', ...rest] = text.split(':');
  const names = Object.keys(faultNames) as (keyof typeof faultNames)[];
  const fault = names.find((known) => known === name);
  if (!fault)
    throw new UsageError(
      `Unknown fault ${name}. ${suggestion(name, names)} \`simulate --faults\` lists all faults.`,
    );
  const calls: readonly CallName[] = ['token', 'login', 'reset', 'logout'];
  const affected = calls.find((known) => known === call);
  if (!affected)
    throw new UsageError(`Unknown call ${call} in --fault. ${suggestion(call, calls)}`);
  if (rest.length > 0 || !/^([1-9]\d{0,8}|all)$/.test(count))
    throw new UsageError('--fault takes NAME[:CALL[:COUNT]]; COUNT is a number or all.');
  return {
    fault,
    call: affected,
    count: count === 'all' ? Number.POSITIVE_INFINITY : Number(count),
    ...(fault === 'slow' ? { delayMs: 10_000 } : {}),
  };
}

function parsePair(flag: string, text: string, form: string): readonly [string, string] {
  const at = text.indexOf('=');
  if (at < 1 || at === text.length - 1) throw new UsageError(`${flag} takes ${form}.`);
  return [text.slice(0, at), text.slice(at + 1)];
}

/** From --user, from --credentials (a file or standard input), and from SIMULATOR_CREDENTIALS. */
async function readCredentials(shell: Shell, flags: SimulateFlags): Promise<Credentials[]> {
  const users = (flags.user ?? []).map((text): Credentials => {
    const [username, password] = parsePair('--user', text, 'NAME=PASSWORD');
    return { username, password };
  });
  const file = flags.credentials;
  const given =
    file === undefined
      ? undefined
      : file === '-'
        ? await readStdin(shell)
        : readGivenFile(shell, '--credentials', file).toString('utf8');
  return [
    ...users,
    ...parseCredentials('--credentials', given),
    ...parseCredentials('SIMULATOR_CREDENTIALS', shell.env['SIMULATOR_CREDENTIALS'] || undefined),
  ];
}

/**
 * One object as the secret holds it, or a list of them. JSON.parse's own message would quote the
 * text.
 */
function parseCredentials(place: string, text: string | undefined): Credentials[] {
  if (text === undefined) return [];
  try {
    const value: unknown = JSON.parse(text);
    return z.array(credentials).parse(Array.isArray(value) ? value : [value]);
  } catch {
    throw new UsageError(
      `${place} takes JSON: {"username","password","clientId","clientSecret"}, or a list of ` +
        'such objects.',
    );
  }
}
