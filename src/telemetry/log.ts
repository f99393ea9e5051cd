// Diagnostics, on standard error, through winston. Nothing reaches a line but the fields named here, and of
// those only strings, numbers and booleans: an error, a request or a Secret handed in by mistake is dropped.

import type { Writable } from 'node:stream';
import { createLogger, format, transports } from 'winston';
import { nextStep } from '../rotation/catalogue.ts';
import type { RotationEvent } from '../rotation/event.ts';

export type LogOptions = {
  readonly level: 'error' | 'warn' | 'info' | 'debug';
  /** `json` for machines: one object per line; `text` for a terminal. */
  readonly style: 'json' | 'text';
  readonly stream: Writable;
  /** Goes on every line: a Lambda request id, for one. */
  readonly context?: Readonly<Record<string, string>>;
};

/** One line. `fields` is open for the caller's sake; what is printed of it is decided by the allow-list. */
export type Log = {
  readonly error: (event: string, fields?: object) => void;
  readonly warn: (event: string, fields?: object) => void;
  readonly info: (event: string, fields?: object) => void;
  readonly debug: (event: string, fields?: object) => void;
  /** Resolves when every line has been handed to the stream. */
  readonly close: () => Promise<void>;
};

/** Every field a line may have besides `time`, `level` and `event`; docs/RUNBOOK.md explains them. */
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
    // An uncaught error is the entry point's to report; winston would print it whole.
    exitOnError: false,
  });
  const write =
    (at: LogOptions['level']) =>
    (event: string, fields: object = {}): void => {
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

/** How loud an event of the protocol is. */
export function logEvent(log: Log, event: RotationEvent): void {
  const { event: name, ...fields } = event;
  const next =
    'reason' in event && event.reason !== undefined
      ? {
          next: nextStep(event.reason, 'facts' in event ? event.facts : { account: event.account }),
        }
      : {};
  log[levelOf(event)](name, { ...fields, ...next });
}

function levelOf(event: RotationEvent): LogOptions['level'] {
  switch (event.event) {
    case 'attempt.finished':
      if (event.reason === undefined) return 'info';
      return event.certainty === 'unchanged' ? 'warn' : 'error';
    case 'reset.in-doubt':
    case 'saving.retried':
    case 'receipt.failed':
    case 'audit.failed':
    case 'login.refused':
      return 'error';
    case 'login.unknown':
    case 'reset.refused':
    case 'reset.not-sent':
      return 'warn';
    case 'survey.finished':
    case 'attempt.claimed':
      return 'debug';
    default:
      return 'info';
  }
}

/** What a line may carry. */
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
