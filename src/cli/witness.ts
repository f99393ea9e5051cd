// witness: cosigns checkpoints of audit logs on another machine than the one that writes them.

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { resolve } from 'node:path';
import { generateSigningKey, parseVerifierKey, type Verifier } from '../audit/checkpoint.ts';
import { type Cosigner, openWitnessKey } from '../audit/cosignature.ts';
import { openWitness } from '../audit/witness.ts';
import { openClock } from '../clock.ts';
import { explainErrors, UsageError } from '../config/errors.ts';
import { openProcessIdentity } from '../process-identity.ts';
import { errnoOf, osErrorText } from '../rotation/failure.ts';
import { openListener } from '../server/listener.ts';
import { createWitnessApp } from '../server/witness-app.ts';
import { print, type Shell, tell } from './terminal.ts';

type WitnessFlags = {
  listen: string;
  state: string;
  key: string;
  log: readonly string[];
};

/** Runs until a signal. */
export async function witness(shell: Shell, flags: WitnessFlags): Promise<void> {
  const { host, port } = parseAddress(flags.listen);
  const logs = flags.log.map(parseLog);
  const cosigner = openKey(resolve(shell.cwd, flags.key));
  const directory = resolve(shell.cwd, flags.state);
  explainErrors(`--state ${directory}`, () =>
    mkdirSync(directory, { recursive: true, mode: 0o750 }),
  );
  const clock = openClock();
  const processes = openProcessIdentity(shell.pid);
  const core = await openWitness({ directory, cosigner, logs, clock, processes });
  try {
    const ended = new Promise<void>((end) => shell.onSignal(() => end()));
    const app = createWitnessApp(core, (detail) => tell(shell, `error: ${detail}`));
    const listener = await openListener({ app, host, port, clock }).catch((error: unknown) => {
      throw new UsageError(`Cannot listen on ${host}:${port}: ${osErrorText(error)}.`);
    });
    print(shell, cosigner.verifierKey);
    tell(shell, `Listening on http://${flags.listen.replace(/:\d+$/, `:${listener.port}`)}`);
    await ended;
    await listener.close();
  } finally {
    await core.close();
  }
}

function parseAddress(text: string): { readonly host: string; readonly port: number } {
  const [, host = '', port = ''] = /^\[?([^[\]]+?)\]?:(\d{1,5})$/.exec(text) ?? [];
  if (host === '' || Number(port) > 65_535)
    throw new UsageError('--listen takes HOST:PORT, such as 0.0.0.0:9465.');
  return { host, port: Number(port) };
}

function parseLog(key: string): Verifier {
  try {
    return parseVerifierKey(key);
  } catch {
    throw new UsageError('--log takes the verifier key of a log: name+id+base64.');
  }
}

/** The key in the file; a new one when there is no file. */
function openKey(file: string): Cosigner {
  try {
    return openWitnessKey(readKey(file));
  } catch (error) {
    const why = errnoOf(error) === '' ? (error as Error).message : osErrorText(error);
    throw new UsageError(`--key ${file}: ${why}.`);
  }
}

function readKey(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error;
    const { signingKey } = generateSigningKey(`${hostname()}/witness`);
    writeFileSync(file, `${signingKey}\n`, { flag: 'wx', mode: 0o600 });
    return signingKey;
  }
}
