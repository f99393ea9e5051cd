// What a function's instance keeps between invocations, and what each invocation gets: the rotator is composed once, the clock
// counts down the invocation that runs, the log carries its request id. One invocation at a time, as Lambda promises.

import { Writable } from 'node:stream';
import { compose, type Rotator } from '../app.ts';
import type { WorkQueue } from '../aws/sqs-queue.ts';
import { openClock } from '../clock.ts';
import { type Config, parseConfig } from '../config/load.ts';
import type { Clock } from '../rotation/ports.ts';
import { createEmfMetrics, type EmfMetrics } from '../telemetry/emf.ts';
import { type Log, logEvent, openLog } from '../telemetry/log.ts';
import { version } from '../version.ts';

/** What we use of Lambda's context object. */
export type Context = {
  readonly awsRequestId: string;
  readonly invokedFunctionArn?: string;
  getRemainingTimeInMillis(): number;
};

/** The process, as lambda.ts hands it in. */
export type Platform = {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly pid: number;
  readonly cwd: string;
  /** One line to the function's log, synchronously: what is written is there when the process is killed. */
  readonly writeLine: (line: string) => void;
  readonly onShutdown: (handler: () => void) => void;
};

export type Invocation = {
  readonly config: Config;
  readonly rotator: Rotator;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: EmfMetrics;
  /** Aborted by SIGTERM: what has not sent a reset ends. */
  readonly interrupt: AbortSignal;
  readonly requestId: string;
  /** Where more is due than this function rotates by itself; `null` where no queue is configured. */
  readonly queue: (() => Promise<WorkQueue>) | null;
  /** From how many accounts on they go to the queue. */
  readonly inlineAccounts: number;
};

/** Variables of the function that are no keys of the configuration. */
const queueVariable = 'WORK_QUEUE_URL';
const inlineVariable = 'INLINE_ACCOUNTS';
const byAccountVariable = 'METRICS_BY_ACCOUNT';
const defaultInlineAccounts = 20;

export type World = {
  invoke<T>(context: Context, work: (invocation: Invocation) => Promise<T>): Promise<T>;
};

export function createWorld(platform: Platform): World {
  const { env, writeLine } = platform;
  const shutdown = new AbortController();
  platform.onShutdown(() => {
    log?.warn('signal.received', { signal: 'SIGTERM' });
    shutdown.abort();
  });
  let remainingMs = (): number => Number.POSITIVE_INFINITY;
  let log: Log | null = null;
  const metrics = createEmfMetrics({ byAccount: env[byAccountVariable] === 'on' });
  const clock = openClock(() => remainingMs());
  let opened: Promise<{ config: Config; rotator: Rotator }> | null = null;

  async function open({
    invokedFunctionArn,
  }: Context): Promise<{ config: Config; rotator: Rotator }> {
    const config = await parseConfig({
      text: null,
      file: 'the environment',
      folder: platform.cwd,
      env,
    });
    const functionName = env['AWS_LAMBDA_FUNCTION_NAME'] ?? 'lambda';
    const [, , , region, accountUid] = (invokedFunctionArn ?? '').split(':');
    const logStream = env['AWS_LAMBDA_LOG_STREAM_NAME'];
    const rotator = await compose(config, {
      clock,
      pid: platform.pid,
      context: {
        actor: {
          name: functionName,
          ...(invokedFunctionArn === undefined ? {} : { uid: invokedFunctionArn }),
        },
        productVersion: version,
        sourceEndpoint: {
          hostname: functionName,
          ...(logStream === undefined ? {} : { uid: logStream }),
        },
        cloud: {
          provider: 'AWS',
          ...(region ? { region } : {}),
          ...(accountUid ? { accountUid } : {}),
        },
      },
      observe: (event) => {
        metrics.observe(event);
        if (log) logEvent(log, event);
      },
      writeLine,
    });
    return { config, rotator };
  }

  return {
    async invoke(context, work) {
      const requestId = context.awsRequestId;
      remainingMs = () => context.getRemainingTimeInMillis();
      const stream = new Writable({
        decodeStrings: false,
        write: (line, _encoding, done) => {
          writeLine(String(line).replace(/\n$/, ''));
          done();
        },
      });
      try {
        // What could not be opened is tried again by the next invocation.
        opened ??= open(context);
        const { config, rotator } = await opened.catch((error) => {
          opened = null;
          throw error;
        });
        log = openLog({ level: config.log.level, style: 'json', stream, context: { requestId } });
        const queueUrl = env[queueVariable];
        return await work({
          config,
          rotator,
          clock,
          log,
          metrics,
          interrupt: shutdown.signal,
          requestId,
          queue: queueUrl
            ? async () =>
                (await import('../aws/sqs-queue.ts')).openWorkQueue(queueUrl, {
                  requestTimeoutMs: config.thingspace.requestTimeoutMs,
                  clock,
                })
            : null,
          inlineAccounts: Number(env[inlineVariable] ?? defaultInlineAccounts),
        });
      } finally {
        for (const line of metrics.flush(clock.nowMs())) writeLine(line);
        await log?.close();
        log = null;
        remainingMs = () => Number.POSITIVE_INFINITY;
      }
    },
  };
}
