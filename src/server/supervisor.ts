// The life of the process: from ready, over reloads, to the end. SIGHUP reloads the configuration
// and keeps the old one when the new one is wrong. The first SIGTERM or SIGINT stops what has sent
// no reset and waits for the rest; a second one prints what would be lost, and the process still
// waits.

import { once } from 'node:events';
import { UsageError } from '../config/errors.ts';
import type { Config } from '../config/load.ts';
import { errnoOf, Failure } from '../rotation/failure.ts';
import { isWell } from '../scheduler/status-cache.ts';
import { counted } from '../text.ts';
import { isoTime } from '../time.ts';
import { createApp } from './app.ts';
import { isLoopbackName } from './limits.ts';
import { type Listener, openListener } from './listener.ts';
import type { Systemd } from './sd-notify.ts';
import { checkUsable, openService, type Service, type Surroundings } from './service.ts';

export type SupervisorOptions = {
  /** Reads the configuration again. Throws a UsageError. */
  readonly readConfig: () => Promise<Config>;
  readonly surroundings: Surroundings;
  readonly systemd: Systemd;
  /** Calls `handler` for SIGINT, SIGTERM and SIGHUP; the returned function ends that. */
  readonly onSignal: (handler: (signal: string) => void) => () => void;
  /** The open service; null during a reload. Written here, read by the metrics. */
  readonly current: { service: Service | null };
};

type Run = SupervisorOptions & {
  listener: Listener;
  reloading: Promise<void> | null;
  /** Aborted with `stopRequested`, or with the error that makes the service end. */
  readonly ending: AbortController;
};

const stopRequested = 'stop requested';

/**
 * Runs until a signal ends it. Rejects when the service cannot be opened, or cannot be opened
 * again.
 */
export async function runService(config: Config, options: SupervisorOptions): Promise<void> {
  const { surroundings, systemd, current } = options;
  const { log, clock } = surroundings;
  try {
    current.service = await openService(config, surroundings);
    const listener = await listen(config, options);
    const run: Run = { ...options, listener, reloading: null, ending: new AbortController() };
    const removeHandler = options.onSignal((signal) => handleSignal(run, signal));
    const closed = new AbortController();
    const reporting = reportToSystemd(run, closed.signal);
    await systemd.notify('READY=1', statusOf(run));
    log.info('service.ready', countsOf(current.service));

    if (!run.ending.signal.aborted) await once(run.ending.signal, 'abort');
    void systemd.notify('STOPPING=1', statusOf(run));
    await run.reloading;
    await current.service?.close();
    await run.listener.close();
    closed.abort();
    await reporting;
    removeHandler();
    log.info('service.ended', { durationMs: Math.round(clock.monotonicMs()) });
    await systemd.notify('STATUS=ended');
    if (run.ending.signal.reason !== stopRequested) throw run.ending.signal.reason;
  } catch (error) {
    await current.service?.close();
    throw error;
  }
}

function handleSignal(run: Run, signal: string): void {
  const { current, ending, surroundings } = run;
  const isEnding = ending.signal.aborted;
  if (signal === 'SIGHUP' && !isEnding) {
    surroundings.log.info('signal.received', { signal });
    run.reloading ??= reload(run)
      .catch((error: unknown) => ending.abort(error))
      .finally(() => {
        run.reloading = null;
      });
    return;
  }
  const unsaved = current.service?.unsavedAccounts() ?? [];
  surroundings.log.warn('signal.received', { signal, accounts: unsaved.length });
  if (isEnding) surroundings.writeLine(`${signal}: ${lossOf(unsaved)}`);
  ending.abort(stopRequested);
}

function lossOf(unsaved: readonly string[]): string {
  if (unsaved.length === 0)
    return 'No new password is waiting to be stored. The service is ending.';
  const loss = 'If you end this process now, the new passwords of these accounts are lost';
  return `${loss}: ${unsaved.join(', ')}. Still waiting.`;
}

/** The old service is closed before the new one is opened; it is opened again when that fails. */
async function reload(run: Run): Promise<void> {
  const { readConfig, surroundings, systemd, current, ending } = run;
  const { log } = surroundings;
  const before = current.service?.config;
  if (!before) return;
  let config: Config;
  try {
    config = await readConfig();
    checkUsable(config);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    for (const detail of error.problems) log.error('config.kept', { detail });
    return;
  }
  await systemd.notify('RELOADING=1', 'STATUS=loading the configuration');
  await current.service?.close();
  current.service = null;
  if (!ending.signal.aborted) {
    current.service = await openService(config, surroundings).catch((error: unknown) => {
      if (!(error instanceof Failure || error instanceof UsageError)) throw error;
      log.error('config.kept', { detail: error.message });
      return openService(before, surroundings);
    });
    await moveListener(run, before, current.service.config);
    log.info('config.reloaded', countsOf(current.service));
  }
  await systemd.notify('READY=1', statusOf(run));
}

/**
 * The listener on the new address is opened before the old one is closed, and the old one stays
 * when that fails.
 */
async function moveListener(run: Run, before: Config, after: Config): Promise<void> {
  if (before.http.host === after.http.host && before.http.port === after.http.port) return;
  try {
    const next = await listen(after, run);
    const old = run.listener;
    run.listener = next;
    await old.close();
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    run.surroundings.log.error('http.kept', { detail: error.message });
  }
}

async function listen(
  { http }: Config,
  { surroundings, current }: SupervisorOptions,
): Promise<Listener> {
  const { log, clock } = surroundings;
  const { host, port } = http;
  const app = createApp({ service: () => current.service, host, log, clock });
  try {
    const listener = await openListener({ app, host, port, clock });
    const url = `http://${host.includes(':') ? `[${host}]` : host}:${listener.port}/`;
    log.info('http.listening', { url });
    if (!isLoopbackName(host) && http.readTokenFile === undefined)
      log.warn('http.exposed', {
        url,
        detail: 'reading needs no token: allow access to this port only inside your network',
      });
    return listener;
  } catch (error) {
    const code = errnoOf(error) || 'an unexpected error';
    throw new UsageError(`http: cannot listen on ${host}:${port} (${code})`);
  }
}

/**
 * Tells systemd the status, and that the scheduler runs, for as long as it does, and also while the
 * service ends: a password that waits to be stored must not be lost to a kill.
 */
async function reportToSystemd(run: Run, closed: AbortSignal): Promise<void> {
  const { systemd, surroundings, current } = run;
  const { everyMs, hasWatchdog } = systemd;
  if (everyMs === null) return;
  while (!closed.aborted) {
    const isAlive = current.service?.isAlive() ?? true;
    await systemd.notify(statusOf(run), ...(hasWatchdog && isAlive ? ['WATCHDOG=1'] : []));
    await surroundings.clock.sleep(everyMs, closed);
  }
}

function nextRunOf(service: Service | null): string {
  const nextMs = service?.daemon.nextRunMs() ?? Number.POSITIVE_INFINITY;
  return Number.isFinite(nextMs) ? isoTime(nextMs) : 'never';
}

/** What `systemctl status` shows. A status has its time, because the process can hang. */
function statusOf({ current: { service }, ending, surroundings }: Run): string {
  if (ending.signal.aborted) return 'STATUS=storing passwords that were reset';
  if (service === null) return 'STATUS=loading the configuration';
  if (!service.isAlive()) return 'STATUS=the scheduler does not run';
  const nowMs = surroundings.clock.nowMs();
  const failed = service.lastReadiness()?.checks.find(({ ok }) => !ok);
  const notReady = failed && `not ready (${failed.check}: ${failed.detail}); `;
  const entries = service.daemon.statuses.entries();
  const unknown = entries.filter(({ state }) => state === 'unknown').length;
  const healthy = entries.filter((entry) => isWell(entry, nowMs)).length;
  const counts = [
    `${healthy} healthy`,
    `${entries.length - healthy - unknown} with a problem`,
    ...(unknown > 0 ? [`${unknown} not checked yet`] : []),
  ];
  const about = `${counted(entries.length, 'account')}: ${counts.join(', ')}`;
  const next = nextRunOf(service);
  return `STATUS=${notReady ?? ''}${about}, at ${isoTime(nowMs)}; next run ${next}`;
}

const countsOf = (service: Service) => ({
  accounts: service.daemon.statuses.entries().length,
  nextRun: nextRunOf(service),
});
