// One configuration in operation: rotator, scheduler, alerts and what the HTTP interface needs,
// opened and closed together. One process is one lease owner, so a reload closes a service before
// it opens the next.

import { createSecretKey, type KeyObject } from 'node:crypto';
import { basename } from 'node:path';
import { auditContextOf, compose, type Runtime } from '../app.ts';
import { UsageError } from '../config/errors.ts';
import type { Config } from '../config/load.ts';
import type { RotationEvent } from '../rotation/event.ts';
import type { Clock } from '../rotation/ports.ts';
import { createNextRunMs, findScheduleProblem } from '../scheduler/cron.ts';
import type { Emit, SchedulerEvent } from '../scheduler/events.ts';
import { openScheduler } from '../scheduler/scheduler.ts';
import { isWell } from '../scheduler/status-cache.ts';
import { createAlerts } from '../telemetry/alerts.ts';
import { type Heartbeat, heartbeatText, openHeartbeat } from '../telemetry/heartbeat.ts';
import { type Log, logEvent, logSchedulerEvent } from '../telemetry/log.ts';
import { openJournal } from '../telemetry/notification-journal.ts';
import { type Notifier, openNotifier } from '../telemetry/notifier.ts';
import type { Metrics } from '../telemetry/prometheus.ts';
import { openReceiver, type Receiver } from '../telemetry/webhook.ts';
import { version } from '../version.ts';
import { openToken, readSecretFile } from './auth.ts';
import { createComplianceReport } from './compliance-report.ts';
import {
  type Check,
  createReadiness,
  type Readiness,
  type ReadinessOptions,
  stuckAfterMs,
} from './readiness.ts';
import { openRotateRequests } from './rotate-requests.ts';

/** What a service runs in; it outlives a reload. */
export type Surroundings = {
  readonly pid: number;
  readonly user: Runtime['context']['actor'];
  readonly hostname: string;
  /** The configuration file that was named on the command line, for printed commands. */
  readonly configFile: string | undefined;
  /** Writes one line to standard error, synchronously; never throws. */
  readonly writeLine: (line: string) => void;
  readonly log: Log;
  readonly clock: Clock;
  readonly metrics: Metrics;
};

export type Service = Awaited<ReturnType<typeof openService>>;

const flushWithinMs = 5_000;
/** How often the readiness is checked for the metrics. The probes write. */
const readinessEveryMs = 300_000;
const minWebhookKeyBytes = 16;

/** Finds what the schema cannot: schedules and secret files. Throws a UsageError; opens nothing. */
export function checkUsable(config: Config): void {
  const { schedule, accounts, http } = config;
  const schedules = [schedule, ...accounts.flatMap((account) => account.schedule ?? [])];
  const problems = schedules.flatMap((one) => findScheduleProblem(one) ?? []);
  if (problems.length > 0) throw new UsageError([...new Set(problems)]);
  openToken('http.tokenFile', http.tokenFile);
  openToken('http.readTokenFile', http.readTokenFile);
  openReceivers(config);
}

/** Opens a configuration and starts its schedule. Throws a UsageError or a Failure. */
export async function openService(config: Config, surroundings: Surroundings) {
  checkUsable(config);
  const { pid, user, hostname, configFile, writeLine, log, clock, metrics } = surroundings;
  const receivers = openReceivers(config);
  const notifier = receivers && openAlerts(config, surroundings, receivers);
  const subscribers = createSubscribers(config, surroundings, notifier, () => readiness.check());
  const rotator = await compose(config, {
    clock,
    pid,
    context: auditContextOf(user),
    observe: subscribers.observe,
    writeLine,
  }).catch(async (error: unknown) => {
    await notifier?.close(flushWithinMs);
    throw error;
  });
  const { emit } = subscribers;
  const nextRunMs = createNextRunMs(clock);
  const daemon = openScheduler({ rotator, clock, nextRunMs, emit });
  const { statuses } = daemon;
  const { tokenFile, readTokenFile } = config.http;
  const readiness = openReadiness({ rotator, daemon, clock });
  const facts = { store: config.store.type, config: configFile };
  let isClosing = false;
  // While a service closes, its scheduler does not run, and it must not be killed for that.
  const isAlive = (): boolean => isClosing || daemon.idleMs() < stuckAfterMs;
  await daemon.start();
  readiness.start();
  return {
    config,
    daemon,
    page: () => ({
      entries: statuses.entries(),
      nowMs: clock.nowMs(),
      host: hostname,
      version,
      nextRunMs: daemon.nextRunMs(),
      timezone: config.schedule.timezone,
      outage: daemon.outage(),
      isAlive: isAlive(),
      notReady: readiness.last()?.checks.filter(({ ok }) => !ok) ?? [],
      facts,
    }),
    readiness: readiness.check,
    /** The last results of the readiness checks; null before the first ones. Checks nothing. */
    lastReadiness: readiness.last,
    isAlive,
    metrics,
    report: createComplianceReport(rotator, clock, statuses.entries),
    rotateRequests: openRotateRequests({ scheduler: daemon, audit: rotator.audit, clock, facts }),
    token: openToken('http.tokenFile', tokenFile),
    readToken: openToken('http.readTokenFile', readTokenFile),
    tokenName: `http token ${basename(tokenFile ?? '')}`,
    log,
    /** When the oldest notification was made that is not delivered; UTC milliseconds. */
    oldestNoticeMs: () => notifier?.oldestMs(),
    /** The accounts whose new password is not stored yet. */
    unsavedAccounts: subscribers.unsavedAccounts,
    /**
     * Starts no attempt any more; resolves when the running ones have ended and alerts are
     * delivered.
     */
    close: async (): Promise<void> => {
      if (isClosing) return;
      isClosing = true;
      readiness.close();
      await daemon.stop();
      await rotator.close();
      await notifier?.close(flushWithinMs);
    },
  };
}

/** The readiness checks, made now and then, so that the metrics know their results. */
function openReadiness(options: ReadinessOptions) {
  const { clock } = options;
  const readiness = createReadiness(options);
  const closed = new AbortController();
  let last: { readonly atMs: number; readonly checks: readonly Check[] } | null = null;
  const check: Readiness = async () => {
    const checks = await readiness();
    last = { atMs: clock.nowMs(), checks };
    return checks;
  };
  const repeat = async (): Promise<void> => {
    while (!closed.signal.aborted) {
      await check();
      await clock.sleep(readinessEveryMs, closed.signal);
    }
  };
  return {
    check,
    last: () => last,
    /** When the accounts are known: without one, a check can say nothing of the store. */
    start: () => void repeat(),
    close: () => closed.abort(),
  };
}

/** Who receives events: the log, the metrics, the alerts, and the list of unsaved accounts. */
export function createSubscribers(
  { notify, heartbeat: monitor }: Pick<Config, 'notify' | 'heartbeat'>,
  { log, metrics, clock }: Pick<Surroundings, 'log' | 'metrics' | 'clock'>,
  notifier: Notifier | null,
  checkReadiness: Readiness,
) {
  const alerts = notifier && createAlerts(notifier, notify?.allIsWell ?? false);
  const heartbeat = monitor && openHeartbeat({ ...monitor, clock, log });
  const unsaved = new Set<string>();
  const emit: Emit = (event) => {
    logSchedulerEvent(log, event);
    if (event.event === 'result.recorded') metrics.recordResult(event.result);
    if (event.event === 'run.started' && event.isScheduled) void heartbeat?.start();
    if (event.event === 'run.ended' && event.isScheduled) {
      metrics.recordRun(event.atMs);
      if (heartbeat) void endHeartbeat(heartbeat, event, checkReadiness);
    }
    alerts?.notify(event);
  };
  return {
    emit,
    observe: (event: RotationEvent): void => {
      if (event.event === 'rotation.intended') unsaved.add(event.account);
      if (endsUnsaved.has(event.event)) unsaved.delete(event.account);
      logEvent(log, event);
      metrics.observe(event);
      alerts?.observe(event);
    },
    unsavedAccounts: () => [...unsaved],
  };
}

/** A run is good when every account is healthy, and the service could rotate. */
async function endHeartbeat(
  heartbeat: Heartbeat,
  { entries, atMs }: Extract<SchedulerEvent, { event: 'run.ended' }>,
  checkReadiness: Readiness,
): Promise<void> {
  const unwell = entries.filter((entry) => !isWell(entry, atMs));
  const names = unwell.map(({ account }) => account.name);
  const failed = (await checkReadiness()).filter(({ ok }) => !ok);
  const problems = failed.map(({ check, detail }) => `${check}: ${detail}`);
  const isHealthy = unwell.length === 0 && failed.length === 0;
  await heartbeat.end(isHealthy, heartbeatText(entries.length, names, problems));
}

/** After one of these events, no new password exists in this process only. */
const endsUnsaved: ReadonlySet<RotationEvent['event']> = new Set([
  'secret.promoted',
  'attempt.finished',
  'reset.refused',
  'reset.not-sent',
]);

/** Null without notifications. Throws a UsageError when a key cannot be used. */
function openReceivers({ notify }: Config): readonly Receiver[] | null {
  if (!notify) return null;
  return notify.receivers.map(({ secretFile, ...receiver }) =>
    openReceiver({
      ...receiver,
      key: secretFile === undefined ? undefined : readWebhookKey(receiver.name, secretFile),
    }),
  );
}

function openAlerts(
  { notify }: Config,
  { hostname, clock, log, metrics }: Surroundings,
  receivers: readonly Receiver[],
): Notifier {
  const onFailure = (detail: string): void => log.error('notify.unsaved', { detail });
  const journal = openJournal({ file: notify?.stateFile, clock, onFailure });
  const onDelivery = metrics.recordDelivery;
  return openNotifier({ receivers, journal, host: hostname, clock, log, onDelivery });
}

/** Throws a UsageError that names the file and never its content. */
function readWebhookKey(receiver: string, file: string): KeyObject {
  const place = `notify: secretFile of receiver ${receiver}`;
  const key = Buffer.from(readSecretFile(place, file));
  if (key.length < minWebhookKeyBytes)
    throw new UsageError(
      `${place} ${file}: a secret has at least ${minWebhookKeyBytes} characters`,
    );
  return createSecretKey(key);
}
