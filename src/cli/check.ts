// What `check` looks at besides the accounts: files and their modes, receipts, the audit log, the clock. With
// `--offline` it contacts nothing.

import { randomUUID } from 'node:crypto';
import { accessSync, constants, readFileSync, statSync } from 'node:fs';
import { platform } from 'node:os';
import { dirname } from 'node:path';
import { openSigningKey } from '../audit/checkpoint.ts';
import type { Config } from '../config/load.ts';
import { openReceipts } from '../receipts/receipts.ts';
import { Failure } from '../rotation/failure.ts';
import type { AccountStatus } from '../rotation/status.ts';
import { openAgeKey, readIdentityFile } from '../stores/age-key.ts';
import { readConfig, type Session } from './context.ts';
import { type CommonFlags, paintFor, print, type Shell, tell } from './terminal.ts';

/** `warning`: it works, and costs something that is said. */
export type Finding = {
  readonly check: string;
  readonly state: 'ok' | 'warning' | 'failed';
  readonly detail: string;
};

/** `check --offline`. */
export async function checkOffline(shell: Shell, flags: CommonFlags): Promise<number> {
  const config = await readConfig(shell, flags);
  const findings = [
    { check: 'configuration', state: 'ok', detail: `${config.accounts.length} accounts` } as const,
    ...(await fileFindings(config)),
    ...(await receiptFindings(config)),
  ];
  const isGood = tellSurroundings(shell, flags, findings);
  if (!flags.json && !flags.quiet)
    tell(shell, 'offline: neither the API nor a store was contacted');
  return isGood ? 0 : 1;
}

/** What is looked at besides the attempts. */
export async function surroundings(
  { config, clock }: Session,
  statuses: readonly AccountStatus[],
): Promise<Finding[]> {
  return [
    ...(await fileFindings(config)),
    ...(await receiptFindings(config)),
    clockFinding(statuses, clock.nowMs()),
  ];
}

/** A password that was stored in the future means that this clock and the store's differ; ages are then wrong. */
function clockFinding(statuses: readonly AccountStatus[], nowMs: number): Finding {
  const newest = Math.max(0, ...statuses.flatMap(({ passwordSinceMs }) => passwordSinceMs ?? []));
  const aheadMinutes = Math.round((newest - nowMs) / 60_000);
  if (aheadMinutes < 5)
    return { check: 'clock', state: 'ok', detail: 'no password is younger than now' };
  return {
    check: 'clock',
    state: 'warning',
    detail: `a password was stored ${aheadMinutes} minutes from now: this clock is behind the store's`,
  };
}

/** Prints the findings: all of them on a terminal, what is wrong in a pipe. Whether none failed. */
export function tellSurroundings(
  shell: Shell,
  flags: CommonFlags & { offline?: boolean },
  findings: readonly Finding[],
): boolean {
  const paint = paintFor(shell, shell.stderr);
  for (const { check, state, detail } of findings) {
    if (flags.offline && flags.json) print(shell, JSON.stringify({ check, state, detail }));
    else if (state === 'failed') tell(shell, `${paint.red('✗')} ${check}: ${detail}`);
    else if (state === 'warning') tell(shell, `${paint.yellow('!')} ${check}: ${detail}`);
    else if (shell.stderr.isTTY && !flags.quiet && !flags.json)
      tell(shell, `${paint.green('✓')} ${check}: ${detail}`);
  }
  return findings.every(({ state }) => state !== 'failed');
}

async function fileFindings({ store, audit, http, receipts }: Config): Promise<Finding[]> {
  const findings: Finding[] = [];
  const say = async (check: string, look: () => Promise<string> | string): Promise<void> => {
    try {
      findings.push({ check, state: 'ok', detail: await look() });
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code;
      const detail =
        error instanceof Failure
          ? error.message
          : (code ?? (error instanceof Error ? error.message : 'an unexpected error'));
      findings.push({ check, state: 'failed', detail });
    }
  };
  if (store.type === 'file') {
    await say(
      'store.identityFile',
      async () =>
        `opens secrets sealed to ${(await openAgeKey(await readIdentityFile(store.identityFile))).recipient}`,
    );
    await say('store.directory', () => writableFolder(store.directory));
  }
  if (audit.kmsKeyId === undefined && audit.signingKeySecretId === undefined) {
    await say('audit.signingKeyFile', () => {
      readPrivate(audit.signingKeyFile);
      return `signs as ${openSigningKey(readFileSync(audit.signingKeyFile, 'utf8')).name}`;
    });
  }
  if (audit.s3 === undefined) await say('audit.directory', () => writableFolder(audit.directory));
  const { tokenFile } = http;
  if (tokenFile !== undefined) await say('http.tokenFile', () => readPrivate(tokenFile));
  const { identityFile } = receipts;
  if (identityFile !== undefined)
    await say(
      'receipts.identityFile',
      async () =>
        `opens receipts sealed to ${(await openAgeKey(await readIdentityFile(identityFile))).recipient}`,
    );
  return findings;
}

/** A folder that can be written, or that can be made. */
function writableFolder(folder: string): string {
  try {
    accessSync(folder, constants.R_OK | constants.W_OK | constants.X_OK);
    return `${folder} is writable`;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT')
      throw new Error(`${folder}: ${(error as NodeJS.ErrnoException).code}`);
    accessSync(dirname(folder), constants.W_OK | constants.X_OK);
    return `${folder} will be made`;
  }
}

function readPrivate(file: string): string {
  const { mode } = statSync(file);
  accessSync(file, constants.R_OK);
  if (platform() !== 'win32' && (mode & 0o077) !== 0)
    throw new Error(`${file} can be read by others: chmod 600 ${file}`);
  return `${file} is readable for its owner only`;
}

/** Seals a test receipt and takes it away again, or says what it means that there are none. */
async function receiptFindings({ receipts }: Config): Promise<Finding[]> {
  const { recipients, directory } = receipts;
  if (recipients.length === 0) {
    const detail =
      'none are configured: if this process dies between the reset and the save, the new password is lost to everybody';
    return [{ check: 'receipts', state: 'warning', detail }];
  }
  const rotationId = randomUUID();
  const port = openReceipts({
    recipients,
    writeLine: () => {},
    ...(directory === undefined ? {} : { directory }),
  });
  try {
    await port.prepare({ rotationId, account: 'check', secretId: 'check' });
    await port.discard(rotationId);
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    return [{ check: 'receipts', state: 'failed', detail: error.message }];
  }
  const where = directory === undefined ? 'on the log only' : `in ${directory} and on the log`;
  return [
    {
      check: 'receipts',
      state: 'ok',
      detail: `sealed to ${recipients.length} recipient${recipients.length === 1 ? '' : 's'}, ${where}`,
    },
  ];
}
