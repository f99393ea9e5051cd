// The long-running service: opens the log, the metrics, the port and the configured accounts, and lives until it is
// told to end. It holds no rule: when to look is serve/daemon.ts, what a path answers is http/routes.ts.

import { hostname } from 'node:os';
import { readConfig } from './cli/context.ts';
import { type CommonFlags, type Shell, tell } from './cli/terminal.ts';
import { openClock } from './clock.ts';
import { UsageError } from './config/errors.ts';
import type { Config } from './config/load.ts';
import { Failure } from './rotation/failure.ts';
import { errorAnswer, type HttpServer, isLoopbackName, openHttp } from './server/listener.ts';
import { openSystemd, type Systemd } from './server/sd-notify.ts';
import {
  figuresOf,
  openService,
  refuseUnusable,
  type Service,
  type Surroundings,
} from './server/service.ts';
import { type Log, openLog } from './telemetry/log.ts';
import { openMetrics } from './telemetry/prometheus.ts';
import { isoTime } from './time.ts';
import { version } from './version.ts';

/**
 * Runs until a signal. SIGHUP reloads the configuration and keeps the old one when the new one is wrong. The first SIGTERM or
 * SIGINT ends what has sent no reset and waits for the rest; another one says what would be lost, and still waits. The exit code.
 */
export async function serve(shell: Shell, flags: CommonFlags): Promise<number> {
  const config = await readConfig(shell, flags);
  const log = openServiceLog(shell, config);
  const clock = openClock();
  const systemd = openSystemd({
    env: shell.env,
    pid: shell.pid,
    onTrouble: (detail) => log.warn('systemd.failed', { detail }),
  });
  const now: { service: Service | null } = { service: null };
  const metrics = await openMetrics({
    figures: () => figuresOf(now.service?.daemon.statuses.entries() ?? [], clock.nowMs()),
    version,
  });
  const surroundings: Surroundings = { shell, host: hostname(), log, clock, metrics };
  try {
    now.service = await openService(config, surroundings);
    const listener = await listen(config, surroundings, now);
    await live({ shell, flags, log, systemd, surroundings, now, listener });
    return 0;
  } catch (error) {
    // What cannot be opened; systemd, or whoever started it, tries again.
    await now.service?.close();
    throw error;
  } finally {
    await log.close();
  }
}

/** As the commands' log, but a service on a terminal says what it does. */
function openServiceLog({ stderr }: Shell, { log }: Config): Log {
  return openLog({ level: log.level, style: stderr.isTTY ? 'text' : 'json', stream: stderr });
}

async function listen(
  { http }: Config,
  { log, clock }: Surroundings,
  now: { service: Service | null },
): Promise<HttpServer> {
  try {
    const listener = await openHttp({
      ...http,
      log,
      clock,
      handle: async (asked) =>
        now.service?.handle(asked) ?? errorAnswer(503, 'reloading', 'the service is being opened'),
    });
    const url = `http://${http.host.includes(':') ? `[${http.host}]` : http.host}:${listener.port}/`;
    log.info('http.listening', { url });
    if (!isLoopbackName(http.host))
      log.warn('http.exposed', {
        url,
        detail: 'reading needs no token: keep this port inside your network',
      });
    return listener;
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'an unexpected error';
    throw new UsageError(`http: cannot listen on ${http.host}:${http.port} (${code})`);
  }
}

type Life = {
  readonly shell: Shell;
  readonly flags: CommonFlags;
  readonly log: Log;
  readonly systemd: Systemd;
  readonly surroundings: Surroundings;
  readonly now: { service: Service | null };
  listener: HttpServer;
};

/** From ready to ended. */
async function live(life: Life): Promise<void> {
  const { shell, log, systemd, surroundings, now } = life;
  const ending = new AbortController();
  let reloading: Promise<void> | null = null;

  let fatal: { readonly error: unknown } | null = null;

  const takeBack = shell.onSignal((signal) => {
    if (signal === 'SIGHUP' && !ending.signal.aborted) {
      log.info('signal.received', { signal });
      reloading ??= reload(life, ending.signal)
        .catch((error: unknown) => {
          fatal = { error };
          ending.abort();
        })
        .finally(() => {
          reloading = null;
        });
      return;
    }
    const critical = now.service?.critical() ?? [];
    log.warn('signal.received', { signal, accounts: critical.length });
    if (ending.signal.aborted) tell(shell, `${signal}: ${stakeOf(critical)}`);
    ending.abort();
  });
  const over = new AbortController();
  const watchdog = keepAlive(life, over.signal);
  await systemd.notify('READY=1', `STATUS=next look ${describeNext(now.service)}`);
  log.info('service.ready', {
    accounts: now.service?.daemon.statuses.entries().length,
    nextRun: describeNext(now.service),
  });

  await aborted(ending.signal);
  void systemd.notify('STOPPING=1', 'STATUS=finishing what is between reset and save');
  await reloading;
  await now.service?.close();
  await life.listener.close();
  over.abort();
  await watchdog;
  takeBack();
  log.info('service.ended', { durationMs: Math.round(surroundings.clock.monotonicMs()) });
  await systemd.notify('STATUS=ended');
  if (fatal) throw (fatal as { error: unknown }).error;
}

const aborted = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) =>
    signal.aborted ? resolve() : signal.addEventListener('abort', () => resolve(), { once: true }),
  );

function describeNext(service: Service | null): string {
  const nextMs = service?.daemon.nextRunMs() ?? Number.POSITIVE_INFINITY;
  return Number.isFinite(nextMs) ? isoTime(nextMs) : 'never';
}

function stakeOf(critical: readonly string[]): string {
  return critical.length === 0
    ? 'Nothing is between reset and save; ending.'
    : `Killing this process now would lose the only copy of the new password of: ${critical.join(', ')}. Still waiting.`;
}

/** The old configuration is closed before the new one is opened, since one process is one holder; it comes back when the new one fails. */
async function reload(life: Life, ending: AbortSignal): Promise<void> {
  const { shell, flags, log, systemd, surroundings, now } = life;
  const before = now.service?.config;
  if (!before) return;
  let config: Config;
  try {
    config = await readConfig(shell, flags);
    refuseUnusable(config);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    for (const detail of error.problems) log.error('config.kept', { detail });
    return;
  }
  await systemd.notify('RELOADING=1');
  await now.service?.close();
  now.service = null;
  if (!ending.aborted) {
    now.service = await openService(config, surroundings).catch((error: unknown) => {
      if (!(error instanceof Failure || error instanceof UsageError)) throw error;
      log.error('config.kept', { detail: error.message });
      return openService(before, surroundings);
    });
    await moveListener(life, before, now.service.config);
    log.info('config.reloaded', {
      accounts: now.service.daemon.statuses.entries().length,
      nextRun: describeNext(now.service),
    });
  }
  await systemd.notify('READY=1', `STATUS=next look ${describeNext(now.service)}`);
}

/** Another address is opened before the old one is let go; when it cannot be, the old one stays. */
async function moveListener(life: Life, before: Config, after: Config): Promise<void> {
  if (before.http.host === after.http.host && before.http.port === after.http.port) return;
  try {
    const next = await listen(after, life.surroundings, life.now);
    const old = life.listener;
    life.listener = next;
    await old.close();
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    life.log.error('http.kept', { detail: error.message });
  }
}

/** Tells systemd that the loop turns, for as long as it does, and through all of the ending: what is being saved must not be killed. */
async function keepAlive({ systemd, surroundings, now }: Life, over: AbortSignal): Promise<void> {
  const { watchdogMs } = systemd;
  if (watchdogMs === null) return;
  while (!over.aborted) {
    if (now.service === null || now.service.isAlive()) await systemd.notify('WATCHDOG=1');
    await surroundings.clock.sleep(watchdogMs, over);
  }
}
