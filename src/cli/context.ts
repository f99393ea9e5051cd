// What most commands begin and end with: the configuration, the log, the rotator, the accounts that are meant,
// and signals that end an attempt before its reset but never between reset and save.

import { Writable } from 'node:stream';
import { type Account, auditContextOf, compose, type Rotator } from '../app.ts';
import { openClock } from '../clock.ts';
import { suggestion, UsageError } from '../config/errors.ts';
import { type Config, loadConfig } from '../config/load.ts';
import type { RotationEvent, Trigger } from '../rotation/event.ts';
import type { Clock } from '../rotation/ports.ts';
import { type Log, logEvent, openLog } from '../telemetry/log.ts';
import { type CommonFlags, type Shell, tell } from './terminal.ts';

export type Session = {
  readonly config: Config;
  readonly rotator: Rotator;
  readonly log: Log;
  readonly clock: Clock;
  /** Aborted by the first signal. */
  readonly interrupt: AbortSignal;
  /** Who asks, and why. */
  trigger(
    kind: Trigger['kind'],
    why?: { reason?: string | undefined; changeRef?: string | undefined },
  ): Trigger;
  /** Adds an observer. */
  watch(observer: (event: RotationEvent) => void): void;
};

/** On a terminal the result says these, in better words. */
const toldByResults: ReadonlySet<RotationEvent['event']> = new Set([
  'attempt.finished',
  'login.refused',
]);

/** Runs `work` in an open session and closes it, whatever happens. */
export async function withSession<T>(
  shell: Shell,
  flags: CommonFlags,
  work: (session: Session) => Promise<T>,
): Promise<T> {
  const config = await readConfig(shell, flags);
  const log = openCommandLog(shell, config, flags);
  const clock = openClock();
  const isTold = ({ event }: RotationEvent): boolean =>
    shell.stderr.isTTY === true && toldByResults.has(event);
  const observers: ((event: RotationEvent) => void)[] = [
    (event) => isTold(event) || logEvent(log, event),
  ];
  const observe = (event: RotationEvent): void => {
    for (const observer of observers) observer(event);
  };
  const lines = createLineWriter(shell, config);
  observers.push(lines.observe);
  const signals = openSignals(shell, log);
  observers.push(signals.observe);
  try {
    const rotator = await compose(config, {
      clock,
      pid: shell.pid,
      context: auditContextOf(shell.user),
      observe,
      writeLine: lines.write,
    });
    try {
      return await work({
        config,
        rotator,
        log,
        clock,
        interrupt: signals.interrupt,
        trigger: (kind, why = {}) => triggerOf(shell, kind, why),
        watch: (observer) => observers.push(observer),
      });
    } finally {
      await rotator.close();
    }
  } finally {
    signals.close();
    await log.close();
  }
}

/** The configuration that the flags and the environment name. */
export function readConfig({ env, cwd }: Shell, { config }: CommonFlags): Promise<Config> {
  return loadConfig({ env, cwd, ...(config === undefined ? {} : { file: config }) });
}

/** On a terminal people read the results, so the log only speaks of trouble; elsewhere it is one JSON object per line. */
function openCommandLog({ stderr }: Shell, config: Config, { quiet }: CommonFlags): Log {
  if (!stderr.isTTY)
    return openLog({ level: quiet ? 'error' : config.log.level, style: 'json', stream: stderr });
  const level = quiet || config.log.level === 'info' ? 'error' : config.log.level;
  // Over a progress bar, which draws itself again.
  const write = (line: Buffer, _encoding: string, done: () => void): void =>
    void stderr.write(`\r\u001b[K${line}`, done);
  return openLog({ level, style: 'text', stream: new Writable({ write }) });
}

function triggerOf(
  { user }: Shell,
  kind: Trigger['kind'],
  { reason, changeRef }: { reason?: string | undefined; changeRef?: string | undefined } = {},
): Trigger {
  return {
    kind,
    requestedBy: user.name,
    ...(reason === undefined ? {} : { reason }),
    ...(changeRef === undefined ? {} : { changeRef }),
  };
}

/** The accounts with these names; without names, all that are enabled. Throws a UsageError that names the nearest right one. */
export async function selectAccounts(
  rotator: Rotator,
  names: readonly string[],
): Promise<readonly Account[]> {
  const accounts = await rotator.accounts();
  if (names.length === 0) return accounts.filter(({ enabled }) => enabled);
  const known = accounts.map(({ name }) => name);
  const unknown = names.filter((name) => !known.includes(name));
  if (unknown.length > 0)
    throw new UsageError(
      unknown.map((name) => `unknown account ${name}; ${suggestion(name, known)}`),
    );
  return accounts.filter(({ name }) => names.includes(name));
}

/**
 * Sealed receipts and the second sink's audit records, on standard error. A terminal is spared the receipts that also go
 * into a folder: there they are printed only when that failed, which is told right after.
 */
function createLineWriter(shell: Shell, config: Config) {
  const isSpared = shell.stderr.isTTY === true && config.receipts.directory !== undefined;
  const held = new Map<string, string>();
  return {
    write: (line: string): void => {
      const isReceipt = line.startsWith('{"event":"receipt.sealed"');
      const rotationId =
        isSpared && isReceipt ? /"rotationId":"([^"]+)"/.exec(line)?.[1] : undefined;
      if (rotationId === undefined) shell.writeLine(line);
      else held.set(rotationId, line);
    },
    observe: ({ event, rotationId = '' }: RotationEvent): void => {
      const line = held.get(rotationId);
      if (event === 'receipt.failed' && line !== undefined) shell.writeLine(line);
      if (event === 'receipt.failed' || event === 'receipt.written' || event === 'attempt.finished')
        held.delete(rotationId);
    },
  };
}

/** The first signal ends what has not sent a reset; a second one says what would be lost, and still waits. */
function openSignals(shell: Shell, log: Log) {
  const controller = new AbortController();
  const critical = new Set<string>();
  const close = shell.onSignal((signal) => {
    const names = [...critical].join(', ');
    log.warn('signal.received', { signal, accounts: critical.size });
    if (!controller.signal.aborted) {
      controller.abort();
      tell(
        shell,
        `${signal}: ending.${names === '' ? '' : ` Between reset and save, finishing first: ${names}.`}`,
      );
      return;
    }
    const stake =
      names === ''
        ? 'Nothing is between reset and save; ending.'
        : `Killing this process now would lose the only copy of the new password of: ${names}. Still waiting.`;
    tell(shell, `${signal}: ${stake}`);
  });
  return {
    interrupt: controller.signal,
    observe: ({ event, account }: RotationEvent): void => {
      if (event === 'rotation.intended') critical.add(account);
      if (
        ['secret.promoted', 'attempt.finished', 'reset.refused', 'reset.not-sent'].includes(event)
      )
        critical.delete(account);
    },
    close,
  };
}
