// What most commands share: configuration, log, rotator and signals. A signal ends an attempt
// before its reset, but never between the reset and the storage of its response.

import { Writable } from 'node:stream';
import { auditContextOf, compose, openAuditWriter, type Rotator, type Runtime } from '../app.ts';
import type { AuditWriter } from '../audit/log.ts';
import { openClock } from '../clock.ts';
import { type Config, loadConfig } from '../config/load.ts';
import { selectAccounts } from '../order.ts';
import { openProcessIdentity } from '../process-identity.ts';
import { parseReceiptLine } from '../receipts/receipts.ts';
import type { RotationEvent, Trigger } from '../rotation/event.ts';
import { Failure } from '../rotation/failure.ts';
import type { Clock } from '../rotation/ports.ts';
import { type Log, logEvent, openLog } from '../telemetry/log.ts';
import { type Shell, tell } from './terminal.ts';

export type Session = {
  readonly shell: Shell;
  readonly config: Config;
  readonly rotator: Rotator;
  readonly log: Log;
  readonly clock: Clock;
  /** Aborted by the first signal. */
  readonly interrupt: AbortSignal;
  /** False: a record could not be written to the audit log. */
  readonly isAudited: () => boolean;
  /** Who asks, and why. */
  trigger(kind: Trigger['kind'], order?: Pick<Trigger, 'reason' | 'changeRef'>): Trigger;
};

/** Events that a terminal does not show, since the result says the same. */
const shownByResults: readonly RotationEvent['event'][] = ['attempt.finished', 'login.refused'];

/** Runs `work` in a session. With `read`, a read-only or full disk does not matter. */
export async function withSession<T>(
  shell: Shell,
  work: (session: Session) => Promise<T>,
  auditAccess: Runtime['auditAccess'] = 'write',
): Promise<T> {
  const config = await readConfig(shell);
  const log = openCommandLog(shell, config);
  const clock = openClock();
  const lines = createLineWriter(shell, config);
  const signals = openSignals(shell, log);
  let isAudited = true;
  const observe = (event: RotationEvent): void => {
    if (event.event === 'audit.failed') isAudited = false;
    if (!shell.stderr.isTTY || !shownByResults.includes(event.event)) logEvent(log, event);
    lines.observe(event);
    signals.observe(event);
  };
  try {
    const rotator = await compose(config, {
      clock,
      pid: shell.pid,
      context: auditContextOf(shell.user),
      observe,
      writeLine: lines.write,
      auditAccess,
    });
    try {
      return await work({
        shell,
        config,
        rotator,
        log,
        clock,
        interrupt: signals.interrupt,
        isAudited: () => isAudited,
        trigger: (kind, order) => ({
          kind: kind === 'manual' && !shell.isAttended ? 'unattended' : kind,
          requestedBy: shell.user.requestedBy,
          reason: order?.reason,
          changeRef: order?.changeRef,
        }),
      });
    } finally {
      await rotator.close();
    }
  } finally {
    signals.close();
    await log.close();
  }
}

type Append = (audit: AuditWriter, trigger: Trigger) => Promise<void>;

/** Appends records to the audit log, and signs it. Throws as the log does. */
export async function recordWith(shell: Shell, config: Config, append: Append): Promise<void> {
  const { writeLine, user, isAttended, pid } = shell;
  const context = auditContextOf(user);
  const runtime = { clock: openClock(), context, writeLine, observe: () => undefined };
  const kind = isAttended ? 'manual' : 'unattended';
  const audit = await openAuditWriter(config, runtime, openProcessIdentity(pid));
  try {
    await append(audit, { kind, requestedBy: user.requestedBy });
    await audit.checkpoint();
  } finally {
    await audit.close();
  }
}

/** Records what a reading command did. False, and a message, when the log cannot be written. */
export async function recordReading(
  shell: Shell,
  config: Config,
  append: Append,
): Promise<boolean> {
  try {
    await recordWith(shell, config, append);
    return true;
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    tell(shell, `The audit log has no record of this command: ${error.message}.`);
    return false;
  }
}

/** The configuration that the flags and the environment name. */
export function readConfig({ env, cwd, flags }: Shell): Promise<Config> {
  return loadConfig({ env, cwd, file: flags.config });
}

/** A terminal shows the results, so that its log has errors only; elsewhere it is JSON lines. */
function openCommandLog({ stderr, flags: { quiet } }: Shell, config: Config): Log {
  if (!stderr.isTTY)
    return openLog({ level: quiet ? 'error' : config.log.level, style: 'json', stream: stderr });
  const level = quiet || config.log.level === 'info' ? 'error' : config.log.level;
  // Over a progress bar, which is drawn again.
  const write = (line: Buffer, _encoding: string, done: () => void): void =>
    void stderr.write(`\r\u001b[K${line}`, done);
  return openLog({ level, style: 'text', stream: new Writable({ write }) });
}

/** The account with this name. Throws a UsageError. */
export async function findAccount(rotator: Rotator, name: string) {
  const [account] = selectAccounts(await rotator.accounts(), [name]);
  if (account === undefined) throw new Error('bug: selectAccounts found no account');
  return account;
}

/**
 * Writes sealed receipts, and audit records whose storage failed, to standard error. A terminal
 * does not show a receipt that is also in the receipts folder, unless it could not be written
 * there.
 */
function createLineWriter(shell: Shell, config: Config) {
  const hidesReceipts = shell.stderr.isTTY === true && config.receipts.directory !== undefined;
  const held = new Map<string, string>();
  return {
    write: (line: string): void => {
      const receipt = hidesReceipts ? parseReceiptLine(line) : null;
      if (receipt === null) shell.writeLine(line);
      else held.set(receipt.rotationId, line);
    },
    observe: ({ event, rotationId = '' }: RotationEvent): void => {
      const line = held.get(rotationId);
      if (event === 'receipt.failed' && line !== undefined) shell.writeLine(line);
      if (event === 'receipt.failed' || event === 'receipt.written' || event === 'attempt.finished')
        held.delete(rotationId);
    },
  };
}

const endsOfCritical: readonly RotationEvent['event'][] = [
  'secret.promoted',
  'attempt.finished',
  'reset.refused',
  'reset.not-sent',
];

/** The first signal ends what has not sent a reset; the second says what an end would cost. */
function openSignals(shell: Shell, log: Log) {
  const controller = new AbortController();
  const critical = new Set<string>();
  const close = shell.onSignal((signal) => {
    const isFirst = !controller.signal.aborted;
    log.warn('signal.received', { signal, accounts: critical.size });
    controller.abort();
    tell(shell, `${signal}: ${signalText(isFirst, critical)}`);
  });
  return {
    interrupt: controller.signal,
    observe: ({ event, account }: RotationEvent): void => {
      if (event === 'rotation.intended') critical.add(account);
      if (endsOfCritical.includes(event)) critical.delete(account);
    },
    close,
  };
}

function signalText(isFirst: boolean, critical: ReadonlySet<string>): string {
  const accounts = [...critical].join(', ');
  if (accounts === '')
    return isFirst ? 'The program ends.' : 'No new password is unsaved. The program ends.';
  return isFirst
    ? `The program ends when the new passwords of these accounts are stored: ${accounts}.`
    : 'If you end this process now, the new passwords of these accounts are lost: ' +
        `${accounts}. Still waiting.`;
}
