// simulate: a ThingSpace simulator on a loopback port, until a signal ends it. Passwords can come
// from a file, standard input or the environment, so that none has to be in the arguments.

import * as z from 'zod';
import { suggestion, UsageError } from '../config/errors.ts';
import { osErrorText } from '../rotation/failure.ts';
import type { Application } from '../simulator/accounts.ts';
import { type CallName, type Fault, faultNames } from '../simulator/faults.ts';
import { openThingSpaceSimulator, type RequestLine } from '../simulator/thingspace.ts';
import { readGivenFile } from './files.ts';
import { print, printTable, readStdin, type Shell, tell } from './terminal.ts';

type SimulateFlags = {
  user?: string[];
  application?: string[];
  credentials?: string;
  fault?: string[];
  faults?: boolean;
  port?: number;
};

const credentials = z.object({
  username: z.string(),
  password: z.string(),
  clientId: z.string().optional(),
  clientSecret: z.string().optional(),
});

type Credentials = z.output<typeof credentials>;

export async function simulate(shell: Shell, flags: SimulateFlags): Promise<void> {
  if (flags.faults) {
    printTable(shell, ['FAULT', 'WHAT IT DOES'], Object.entries(faultNames));
    return;
  }
  const { port = 0 } = flags;
  const faults = (flags.fault ?? []).map(parseFault);
  const users = await readCredentials(shell, flags);
  const applications = (flags.application ?? []).map((text): Application => {
    const [clientId, clientSecret] = parsePair('--application', text, 'ID=SECRET');
    return { clientId, clientSecret };
  });
  for (const { clientId, clientSecret } of users)
    if (clientId !== undefined && clientSecret !== undefined)
      applications.push({ clientId, clientSecret });

  const ended = untilEnd(shell);
  const onRequest = (line: RequestLine): void => {
    if (!shell.flags.quiet) tell(shell, formatRequest(line));
  };
  const simulator = await openThingSpaceSimulator({ port, onRequest, users, applications }).catch(
    (error: unknown) => {
      throw new UsageError(`Cannot listen on port ${port}: ${osErrorText(error)}.`);
    },
  );
  try {
    for (const fault of faults) simulator.arm(fault);
    const { baseUrl } = simulator;
    const variable = `ROTATOR_THINGSPACE__BASE_URL=${baseUrl}`;
    print(shell, shell.flags.json ? JSON.stringify({ baseUrl }) : variable);
    await ended;
  } finally {
    await simulator.close();
  }
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

function formatRequest(line: RequestLine): string {
  const { method, path, username, status, fault, committed } = line;
  const what = fault === undefined ? [] : [`fault ${fault}`];
  const done = committed ? 'done' : 'nothing done';
  return [method, path, username ?? '-', status ?? 'no answer', ...what, done].join(' ');
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
  const { credentials: file } = flags;
  const read = async (name: string): Promise<string> =>
    name === '-' ? readStdin(shell) : readGivenFile(shell, '--credentials', name).toString('utf8');
  const given = file === undefined ? undefined : await read(file);
  return [
    ...users,
    ...parseCredentials('--credentials', given),
    ...parseCredentials('SIMULATOR_CREDENTIALS', shell.env['SIMULATOR_CREDENTIALS'] || undefined),
  ];
}

/** One object as in the secret, or a list. The message of JSON.parse would quote the text. */
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
