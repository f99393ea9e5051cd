// Diagnostics on standard error, by winston. A line holds only the fields named here, and of those
// only strings, numbers and booleans: an error, a request or a Secret that is passed by mistake is
// dropped.

import type { Writable } from 'node:stream';
import { createLogger, format, transports } from 'winston';
import { nextStep } from '../rotation/catalogue.ts';
import type { RotationEvent } from '../rotation/event.ts';
import type { SchedulerEvent } from '../scheduler/events.ts';

export type LogOptions = {
  readonly level: 'error' | 'warn' | 'info' | 'debug';
  /** `json` for machines: one object per line; `text` for a terminal. */
  readonly style: 'json' | 'text';
  readonly stream: Writable;
  /** Fields of every line, such as the request id of Lambda. */
  readonly context?: Readonly<Record<string, string>>;
};

/** The events of the programs around the attempts and the scheduler. */
export type ProgramEvent =
  /** The service has opened its configuration, its port and its scheduler. */
  | 'service.ready'
  /** The service has ended, and every attempt with it. */
  | 'service.ended'
  /** The process received a signal. */
  | 'signal.received'
  /** The service uses a new configuration. */
  | 'config.reloaded'
  /** The new configuration has an error, and the service keeps the old one. */
  | 'config.kept'
  /** systemd could not be notified. */
  | 'systemd.failed'
  /** The HTTP server listens. */
  | 'http.listening'
  /** The HTTP server can be reached from other machines. */
  | 'http.exposed'
  /** The HTTP server could not listen on its new address, and keeps the old one. */
  | 'http.kept'
  /** A request was answered. */
  | 'http.answered'
  /** A request without the right token was refused. */
  | 'http.refused'
  /** A request ended in a bug of this program. */
  | 'http.failed'
  /** A person requested an attempt over HTTP. */
  | 'http.rotate'
  /** The monitor did not accept a heartbeat; it is sent again. */
  | 'heartbeat.retried'
  /** The monitor did not accept a heartbeat, and it is not sent again: the monitor alarms. */
  | 'heartbeat.failed'
  /** A receiver did not accept a notification; it is sent again soon. */
  | 'notify.retried'
  /** A receiver did not accept a notification for long, or refused it; it is sent again later. */
  | 'notify.failed'
  /** Notifications are in memory only: there is no journal, or it cannot be written. */
  | 'notify.unsaved'
  /** A Lambda function began a run. */
  | 'run.started'
  /** A Lambda function ended a run. */
  | 'run.finished'
  /** Secrets Manager called the function for one step of its rotation. */
  | 'step.started'
  /** The work queue did not accept the message for an account. */
  | 'work.not-queued'
  /** A message of the work queue is not valid. */
  | 'work.poisoned';

/** Every event of a log line. */
export type LogEvent = RotationEvent['event'] | SchedulerEvent['event'] | ProgramEvent;

type Write = (event: LogEvent, fields?: object) => void;

/** Writes one line per call. Fields that are not in the allow-list are dropped. */
export type Log = {
  readonly error: Write;
  readonly warn: Write;
  readonly info: Write;
  readonly debug: Write;
  /** Resolves when every line has been passed to the stream. */
  readonly close: () => Promise<void>;
};

/** The fields of a line besides `time`, `level` and `event`; docs/RUNBOOK.md explains them. */
export const loggedFields = [
  'account',
  'rotationId',
  'requestId',
  'finding',
  'sequence',
  'loginsSpent',
  'logins',
  'credential',
  'detail',
  'place',
  'versionId',
  'deadWindowMs',
  'step',
  'tries',
  'waitMs',
  'reason',
  'next',
  'outcome',
  'certainty',
  'accounts',
  'witness',
  'receiver',
  'count',
  'nextRun',
  'url',
  'signal',
  'file',
  'durationMs',
] as const;

/** Opens the log. */
export function openLog({ level, style, stream, context = {} }: LogOptions): Log {
  const logger = createLogger({
    level,
    format: format.combine(
      format.timestamp(),
      format.printf(style === 'json' ? jsonLine : textLine),
    ),
    transports: [new transports.Stream({ stream, eol: '\n' })],
    // The entry point reports an uncaught error; winston would print all of it.
    exitOnError: false,
  });
  const write =
    (at: LogOptions['level']): Write =>
    (event, fields = {}) => {
      logger.log({ level: at, message: event, fields: allowed({ ...context, ...fields }) });
    };
  return {
    error: write('error'),
    warn: write('warn'),
    info: write('info'),
    debug: write('debug'),
    close: () =>
      new Promise((resolve) => {
        logger.once('finish', () =>
          stream.writableNeedDrain ? stream.once('drain', () => resolve()) : resolve(),
        );
        logger.end();
      }),
  };
}

type Line = {
  readonly level: string;
  readonly message: unknown;
  readonly timestamp?: unknown;
  readonly fields?: unknown;
};

function jsonLine({ timestamp, level, message, fields }: Line): string {
  return JSON.stringify({ time: timestamp, level, event: message, ...(fields as object) });
}

function textLine({ timestamp, level, message, fields }: Line): string {
  const pairs = Object.entries(fields as object).map(
    ([name, value]) => `${name}=${/[\s"]/.test(String(value)) ? JSON.stringify(value) : value}`,
  );
  return [timestamp, level.padEnd(5), message, ...pairs].join(' ');
}

/** Writes an event of an attempt. A failure gets the first step that corrects it. */
export function logEvent(log: Log, event: RotationEvent): void {
  const { event: name, ...fields } = event;
  const reason = 'reason' in event ? event.reason : undefined;
  const facts = 'facts' in event ? event.facts : { account: event.account };
  const next = reason === undefined ? undefined : nextStep(reason, facts);
  log[levelOf(event)](name, { ...fields, next });
}

/** Writes an event of the scheduler. Results have no line: attempts write their own. */
export function logSchedulerEvent(log: Log, event: SchedulerEvent): void {
  switch (event.event) {
    case 'attempt.broken':
      log.error(event.event, { account: event.entry.account.name, detail: event.detail });
      break;
    case 'account.blocked':
      log.error(event.event, { account: event.entry.account.name, detail: event.entry.blocked });
      break;
    case 'outage.began':
      log.error(event.event, { detail: `${event.dependency} is unreachable` });
      break;
    case 'outage.ended': {
      const durationMs = event.atMs - event.sinceMs;
      log.info(event.event, { detail: `${event.dependency} is reachable again`, durationMs });
      break;
    }
    case 'clock.stepped': {
      const seconds = Math.round(event.byMs / 1000);
      log.warn(event.event, { detail: `the wall clock was set by ${seconds} s` });
    }
  }
}

/** The other events have the level `info`. */
const levels: Partial<Record<RotationEvent['event'], LogOptions['level']>> = {
  'reset.in-doubt': 'error',
  'saving.retried': 'error',
  'receipt.failed': 'error',
  'audit.failed': 'error',
  'login.refused': 'error',
  'witness.refused': 'error',
  'login.unknown': 'warn',
  'reset.refused': 'warn',
  'reset.not-sent': 'warn',
  'witness.failed': 'warn',
  'survey.finished': 'debug',
  'attempt.claimed': 'debug',
  'witness.cosigned': 'debug',
};

function levelOf(event: RotationEvent): LogOptions['level'] {
  if (event.event !== 'attempt.finished' || event.reason === undefined)
    return levels[event.event] ?? 'info';
  return event.certainty === 'unchanged' ? 'warn' : 'error';
}

/** The fields that a line may have. */
export function allowed(
  fields: Readonly<Record<string, unknown>>,
): Record<string, string | number | boolean> {
  const kept: Record<string, string | number | boolean> = {};
  for (const name of loggedFields) {
    const value = fields[name];
    if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean')
      kept[name] = value;
  }
  return kept;
}
