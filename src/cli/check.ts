// What `check` examines besides the accounts; with `--offline` without contacting anything.

import { randomUUID } from 'node:crypto';
import { access, constants, readFile, stat } from 'node:fs/promises';
import { platform } from 'node:os';
import { dirname } from 'node:path';
import { openWitnesses } from '../app.ts';
import { openSigningKey, parseNote } from '../audit/checkpoint.ts';
import { cosignatureOf } from '../audit/cosignature.ts';
import { openClock } from '../clock.ts';
import type { Config } from '../config/load.ts';
import { missingProtections } from '../config/protections.ts';
import { openReceipts } from '../receipts/receipts.ts';
import { nextStep } from '../rotation/catalogue.ts';
import { answerIn } from '../rotation/deadline.ts';
import { errnoOf, type Facts, Failure, osErrorText } from '../rotation/failure.ts';
import type { Clock } from '../rotation/ports.ts';
import type { AccountStatus } from '../rotation/status.ts';
import { openAgeKey, readIdentityFile } from '../stores/age-key.ts';
import { refuseLost } from '../stores/folders.ts';
import { counted } from '../text.ts';
import { dayMs, isoTime } from '../time.ts';
import { readConfig, type Session } from './context.ts';
import { columnsOf, paintFor, print, type Shell, tell, wrapped } from './terminal.ts';

/** `warning`: it works, with the disadvantage that the detail names. */
type Finding = {
  readonly check: string;
  readonly state: 'ok' | 'warning' | 'failed';
  readonly detail: string;
};

/** `check --offline`. */
export async function checkOffline(shell: Shell): Promise<number> {
  const config = await readConfig(shell);
  const accounts = `${counted(config.accounts.length, 'account')}.`;
  const findings: Finding[] = [
    { check: 'configuration', state: 'ok', detail: accounts },
    ...(await checkFiles(config, openClock())),
    ...(await checkReceipts(config)),
    ...checkProtections(config),
  ];
  if (shell.flags.json) for (const finding of findings) print(shell, JSON.stringify(finding));
  else printFindings(shell, findings);
  if (!shell.flags.json && !shell.flags.quiet)
    tell(shell, 'ThingSpace and the secret store were not contacted (--offline).');
  return isReady(findings) ? 0 : 1;
}

/** What an attempt needs besides the account. */
export async function checkEnvironment(
  session: Session,
  statuses: readonly AccountStatus[],
): Promise<Finding[]> {
  const { config, clock } = session;
  return [
    ...(await checkFiles(config, clock)),
    ...(await checkWitnesses(session)),
    ...(await checkReceipts(config)),
    ...checkProtections(config),
    checkClock(statuses, clock.nowMs()),
  ];
}

/** Prints all findings on a terminal, and those that are not ok in a pipe. */
export function printFindings(shell: Shell, findings: readonly Finding[]): void {
  const { green, yellow, red } = paintFor(shell, shell.stderr);
  const signs = { ok: green('✓'), warning: yellow('!'), failed: red('✗') };
  const printsGood = shell.stderr.isTTY === true && !shell.flags.quiet && !shell.flags.json;
  for (const { check, state, detail } of findings) {
    if (state === 'ok' && !printsGood) continue;
    const lines = wrapped(columnsOf(shell.stderr) - 2, `${check}: ${detail}`, 4);
    tell(shell, `${signs[state]} ${lines.join('\n')}`);
  }
}

export const isReady = (findings: readonly Finding[]): boolean =>
  findings.every(({ state }) => state !== 'failed');

/** Whether each witness cosigned a checkpoint within a day. Contacts none of them. */
async function checkWitnesses({ config, rotator, clock }: Session): Promise<Finding[]> {
  const witnesses = await openWitnesses(config);
  if (witnesses.length === 0) return [];
  const newest = new Map<string, number>();
  for (const stored of (await rotator.audit.source.checkpoints()).slice(-checkedCheckpoints)) {
    const note = parseNote(await stored.read());
    for (const { verifier } of witnesses) {
      const found = note && cosignatureOf(note, verifier);
      if (found && found !== 'invalid') newest.set(verifier.verifierKey, found.timeMs);
    }
  }
  return witnesses.map(({ verifier: { name, verifierKey } }) => {
    const timeMs = newest.get(verifierKey) ?? 0;
    const isRecent = clock.nowMs() - timeMs <= 2 * dayMs;
    const detail =
      timeMs === 0
        ? `${name} cosigned none of the newest checkpoints. Check that it runs.`
        : `${name} cosigned a checkpoint at ${isoTime(timeMs)}.`;
    return { check: 'audit.witnesses', state: isRecent ? 'ok' : 'warning', detail };
  });
}

/** More than a day has of them. */
const checkedCheckpoints = 100;

/** Whether a password was stored in the future: then this clock is wrong, and so are ages. */
function checkClock(statuses: readonly AccountStatus[], nowMs: number): Finding {
  const newest = Math.max(0, ...statuses.flatMap(({ passwordSinceMs }) => passwordSinceMs ?? []));
  const aheadMinutes = Math.round((newest - nowMs) / 60_000);
  const check = 'clock';
  if (aheadMinutes < 5)
    return { check, state: 'ok', detail: 'No password was stored in the future.' };
  const detail =
    `A password was stored ${aheadMinutes} min in the future: this clock is behind the clock of ` +
    'the store.';
  return { check, state: 'warning', detail };
}

async function checkFiles({ store, audit, http, receipts }: Config, clock: Clock) {
  const findings: Finding[] = [];
  const examine = async (
    check: string,
    path: string | undefined,
    work: (path: string) => Promise<string>,
  ): Promise<void> => {
    if (path === undefined) return;
    try {
      const onDisk = { reason: 'store-denied', subject: path, path } as const;
      findings.push({ check, state: 'ok', detail: await answerIn(clock, onDisk, work(path)) });
    } catch (error) {
      findings.push({ check, state: 'failed', detail: describe(error) });
    }
  };
  if (store.type === 'file') {
    await examine('store.identityFile', store.identityFile, checkIdentity);
    await examine('store.directory', store.directory, checkFolder);
  }
  if (audit.kmsKeyId === undefined && audit.signingKeySecretId === undefined)
    await examine('audit.signingKeyFile', audit.signingKeyFile, checkSigningKey);
  if (audit.s3 === undefined) await examine('audit.directory', audit.directory, checkFolder);
  await examine('http.tokenFile', http.tokenFile, checkPrivateFile);
  await examine('http.readTokenFile', http.readTokenFile, checkPrivateFile);
  await examine('receipts.identityFile', receipts.identityFile, checkIdentity);
  return findings;
}

/** The failure, and the first step that corrects it. */
function describe(error: unknown): string {
  const failure = error instanceof Failure ? error : accessFailure(error);
  const { message, reason, facts } = failure;
  return `${message}. ${nextStep(reason, { ...facts, detail: message })}`;
}

/** The failure for an error of the operating system. Rethrows an error without a path: a bug. */
function accessFailure(error: unknown): Failure {
  const { path } = error as NodeJS.ErrnoException;
  if (path === undefined) throw error;
  const cause = errnoOf(error) === 'ENOENT' ? 'file-missing' : 'file-denied';
  return fileFailure(`${path}: ${osErrorText(error)}`, { cause, path });
}

/** Findings print the cause and its steps, and never the reason. */
const fileFailure = (detail: string, facts: Facts): Failure =>
  new Failure('store-denied', detail, facts);

async function checkIdentity(file: string): Promise<string> {
  const { recipient } = await openAgeKey(await readIdentityFile(file));
  return `The identity opens what is encrypted to ${recipient}.`;
}

async function checkSigningKey(file: string): Promise<string> {
  await checkPrivateFile(file);
  try {
    return `The key signs as ${openSigningKey(await readFile(file, 'utf8')).name}.`;
  } catch {
    const facts = { cause: 'key-invalid', path: file } as const;
    throw fileFailure(`${file} holds no signing key (PRIVATE+KEY+…)`, facts);
  }
}

/** A folder that is writable, or that can be created. */
async function checkFolder(folder: string): Promise<string> {
  await refuseLost(folder, 'store-denied');
  try {
    await access(folder, constants.R_OK | constants.W_OK | constants.X_OK);
    return `${folder} is writable.`;
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error;
  }
  await access(dirname(folder), constants.W_OK | constants.X_OK);
  return `${folder} does not exist yet, and can be created.`;
}

async function checkPrivateFile(file: string): Promise<string> {
  const { mode } = await stat(file);
  await access(file, constants.R_OK);
  if (platform() !== 'win32' && (mode & 0o077) !== 0) {
    const octal = `0${(mode & 0o777).toString(8)}`;
    const detail = `${file} has mode ${octal}, so that other users can read it`;
    throw fileFailure(detail, { cause: 'file-mode', path: file, mode: octal });
  }
  return `${file} is readable by its owner only.`;
}

/** The protections that are off. */
const checkProtections = (config: Config): Finding[] =>
  missingProtections(config).map(({ key, detail }) => ({ check: key, state: 'warning', detail }));

/** Reserves room for a test receipt and removes it; nothing where none is configured. */
async function checkReceipts({ receipts }: Config): Promise<Finding[]> {
  const { recipients, directory, s3 } = receipts;
  const check = 'receipts';
  if (recipients.length === 0) return [];
  const rotationId = randomUUID();
  const port = openReceipts({ recipients, writeLine: () => {}, directory });
  try {
    await port.prepare({ rotationId, account: check, secretId: check });
    await port.discard(rotationId);
  } catch (error) {
    return [{ check, state: 'failed', detail: describe(error) }];
  }
  const count = counted(recipients.length, 'recipient');
  const places = [directory, s3 && `s3://${s3.bucket}/${s3.prefix} (not tested)`].filter(Boolean);
  const where = places.length === 0 ? 'the log only' : [...places, 'the log'].join(' and to ');
  return [{ check, state: 'ok', detail: `Receipts for ${count} are written to ${where}.` }];
}
