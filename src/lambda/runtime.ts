// What an instance of a function keeps between invocations, and what each invocation gets. The
// rotator is opened once. The clock counts the remaining time of the current invocation, and the
// log carries its request id. Lambda runs one invocation at a time in an instance.

import { Writable } from 'node:stream';
import { compose, type Rotator } from '../app.ts';
import type { WorkQueue } from '../aws/sqs-queue.ts';
import { openClock } from '../clock.ts';
import { type Config, parseConfig } from '../config/load.ts';
import type { Clock } from '../rotation/ports.ts';
import { createEmfMetrics, type EmfMetrics } from '../telemetry/emf.ts';
import { type Log, logEvent, openLog } from '../telemetry/log.ts';
import { version } from '../version.ts';

/** What we use of the context object of Lambda. */
export type LambdaContext = {
  readonly awsRequestId: string;
  readonly invokedFunctionArn?: string;
  getRemainingTimeInMillis(): number;
};

type Env = Readonly<Record<string, string | undefined>>;

/** The process, as lambda.ts passes it. */
export type Platform = {
  readonly env: Env;
  readonly pid: number;
  readonly cwd: string;
  /**
   * Writes one line to the log of the function, synchronously, so that it is written before
   * the process ends.
   */
  readonly writeLine: (line: string) => void;
  readonly onShutdown: (handler: () => void) => void;
};

export type Invocation = {
  readonly config: Config;
  readonly rotator: Rotator;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: EmfMetrics;
  /** Aborted by SIGTERM: an attempt that has not sent a reset ends. */
  readonly interrupt: AbortSignal;
  readonly requestId: string;
  /** For more due accounts than this function rotates; `null` where no queue is configured. */
  readonly queue: (() => Promise<WorkQueue>) | null;
  /** With more due accounts than this, the queue is used. */
  readonly inlineAccounts: number;
  /** The address that infra/alarms.yaml subscribes; empty for none, undefined where not known. */
  readonly alarmEmail: string | undefined;
};

export type LambdaInstance = ReturnType<typeof createInstance>;

type Opened = Pick<Invocation, 'config' | 'rotator'>;

export function createInstance(platform: Platform) {
  const { env, writeLine } = platform;
  const shutdown = new AbortController();
  /** What belongs to the current invocation. */
  const current: { context: LambdaContext | null; log: Log | null } = { context: null, log: null };
  const clock = openClock(
    () => current.context?.getRemainingTimeInMillis() ?? Number.POSITIVE_INFINITY,
  );
  const metrics = createEmfMetrics({
    namespace: env['METRICS_NAMESPACE'] ?? 'ThingspaceRotator',
    byAccount: env['METRICS_BY_ACCOUNT'] === 'on',
    writeLine,
    nowMs: clock.nowMs,
  });
  let opened: Promise<Opened> | null = null;
  platform.onShutdown(() => {
    current.log?.warn('signal.received', { signal: 'SIGTERM' });
    shutdown.abort();
  });

  async function open(context: LambdaContext): Promise<Opened> {
    const { cwd: folder, pid } = platform;
    const config = await parseConfig({ text: null, file: 'the environment', folder, env });
    const rotator = await compose(config, {
      clock,
      pid,
      context: auditContextOf(env, context),
      observe: (event) => {
        metrics.observe(event);
        if (current.log) logEvent(current.log, event);
      },
      writeLine,
    });
    return { config, rotator };
  }

  return {
    async invoke<T>(
      context: LambdaContext,
      work: (invocation: Invocation) => Promise<T>,
    ): Promise<T> {
      current.context = context;
      try {
        // The next invocation retries when something cannot be opened.
        opened ??= open(context);
        const { config, rotator } = await opened.catch((error) => {
          opened = null;
          throw error;
        });
        const log = openInvocationLog(config, context, writeLine);
        current.log = log;
        const result = await work({
          config,
          rotator,
          clock,
          log,
          metrics,
          interrupt: shutdown.signal,
          requestId: context.awsRequestId,
          queue: queueOf(env, config, clock),
          inlineAccounts: Number(env['INLINE_ACCOUNTS'] ?? 20),
          alarmEmail: env['ALARM_EMAIL'],
        });
        // Nothing runs between invocations.
        await rotator.audit.witnessed();
        return result;
      } finally {
        await current.log?.close();
        current.log = null;
        current.context = null;
      }
    },
  };
}

function openInvocationLog(
  { log: { level } }: Config,
  { awsRequestId: requestId }: LambdaContext,
  writeLine: Platform['writeLine'],
): Log {
  const stream = new Writable({
    decodeStrings: false,
    write: (line, _encoding, done) => {
      writeLine(String(line).replace(/\n$/, ''));
      done();
    },
  });
  return openLog({ level, style: 'json', stream, context: { requestId } });
}

function queueOf(env: Env, config: Config, clock: Clock): Invocation['queue'] {
  const url = env['WORK_QUEUE_URL'];
  if (!url) return null;
  const { requestTimeoutMs } = config.thingspace;
  return async () =>
    (await import('../aws/sqs-queue.ts')).openWorkQueue(url, { requestTimeoutMs, clock });
}

/** Which function acts, in which log stream, Region and AWS account. */
function auditContextOf(
  env: Env,
  { invokedFunctionArn: arn }: LambdaContext,
): Parameters<typeof compose>[1]['context'] {
  const name = env['AWS_LAMBDA_FUNCTION_NAME'] ?? 'lambda';
  const logStream = env['AWS_LAMBDA_LOG_STREAM_NAME'];
  const [, , , region, accountUid] = (arn ?? '').split(':');
  return {
    actor: { name, uid: arn },
    productVersion: version,
    sourceEndpoint: { hostname: name, uid: logStream },
    cloud: {
      provider: 'AWS',
      ...(region ? { region } : {}),
      ...(accountUid ? { accountUid } : {}),
    },
  };
}
