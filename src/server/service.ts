// One configuration at work: rotator, daemon, notices and routes, opened together and closed together. A reload closes
// one and opens the next; it never has two at a time, because one process is one holder.

import { createSecretKey, type KeyObject } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { auditContextOf, compose, openVerifiers } from '../app.ts';
import type { Shell } from '../cli/terminal.ts';
import { UsageError } from '../config/errors.ts';
import type { Config } from '../config/load.ts';
import { buildReport } from '../report/build.ts';
import { reportHtml } from '../report/html.tsx';
import type { RotationEvent } from '../rotation/event.ts';
import type { Clock } from '../rotation/ports.ts';
import { findScheduleProblem, openCronTask } from '../scheduler/cron.ts';
import type { Emit } from '../scheduler/events.ts';
import { openScheduler, type Scheduler } from '../scheduler/scheduler.ts';
import { type AccountEntry, agesOf } from '../scheduler/status-cache.ts';
import { createAlerts } from '../telemetry/alerts.ts';
import { type Log, logEvent, logSchedulerEvent } from '../telemetry/log.ts';
import type { AccountFigures } from '../telemetry/metrics.ts';
import type { Metrics } from '../telemetry/prometheus.ts';
import { type Notifier, openNotifier } from '../telemetry/webhook.ts';
import { version } from '../version.ts';
import { createRoutes } from './app.ts';
import { openToken } from './auth.ts';
import type { Answer, Asked } from './listener.ts';
import { createReadiness, stuckAfterMs } from './readiness.ts';
import { createAttempts } from './rotate-requests.ts';

/** What outlives a reload. */
export type Surroundings = {
  readonly shell: Shell;
  readonly host: string;
  readonly log: Log;
  readonly clock: Clock;
  readonly metrics: Metrics;
};

export type Service = {
  readonly config: Config;
  readonly daemon: Scheduler;
  handle(asked: Asked): Promise<Answer>;
  /** The accounts between a reset and its saving. */
  critical(): readonly string[];
  isAlive(): boolean;
  /** No new attempts; resolves when those that must finish have, and everything is told. */
  close(): Promise<void>;
};

const flushWithinMs = 5_000;
const reportDays = 90;
const reportKeptMs = 60_000;

/** What is wrong with a configuration beyond its form. Throws a UsageError; opens nothing. */
export function refuseUnusable({ schedule, accounts, http, notify }: Config): void {
  const problems = [schedule, ...accounts.flatMap((account) => account.schedule ?? [])].flatMap(
    (one) => findScheduleProblem(one) ?? [],
  );
  if (problems.length > 0) throw new UsageError([...new Set(problems)]);
  if (http.tokenFile !== undefined) openToken(http.tokenFile);
  if (notify?.secretFile !== undefined) readKey(notify.secretFile);
}

/** Opens a configuration and begins to look. Throws a UsageError or a Failure that names what cannot be opened. */
export async function openService(config: Config, surroundings: Surroundings): Promise<Service> {
  refuseUnusable(config);
  const { shell, host, log, clock, metrics } = surroundings;
  const notifier = openNotices(config, surroundings);
  const critical = new Set<string>();
  const notices = notifier && createAlerts(notifier, config.notify?.allIsWell ?? false);

  const observe = (event: RotationEvent): void => {
    const { event: name, account } = event;
    if (name === 'rotation.intended') critical.add(account);
    if (['secret.promoted', 'attempt.finished', 'reset.refused', 'reset.not-sent'].includes(name))
      critical.delete(account);
    logEvent(log, event);
    metrics.observe(event);
    notices?.observe(event);
  };
  const emit: Emit = (event) => {
    logSchedulerEvent(log, event);
    if (event.event === 'result.recorded') metrics.recordResult(event.result);
    if (event.event === 'run.ended') metrics.recordRun(event.atMs);
    notices?.notify(event);
  };

  const rotator = await compose(config, {
    clock,
    pid: shell.pid,
    context: auditContextOf(shell.user),
    observe,
    writeLine: shell.writeLine,
  });
  const daemon = openScheduler({ rotator, clock, openCronTask, emit });
  const { tokenFile } = config.http;
  let isClosing = false;
  // A service that finishes what it must no longer turns its loop, and is not to be killed for that.
  const isAlive = (): boolean => isClosing || daemon.idleMs() < stuckAfterMs;
  const handle = createRoutes({
    page: () => ({
      entries: daemon.statuses.entries(),
      nowMs: clock.nowMs(),
      host,
      version,
      nextTickMs: daemon.nextRunMs(),
      timezone: config.schedule.timezone,
      outage: daemon.outage(),
    }),
    readiness: createReadiness({ rotator, daemon, clock }),
    isAlive,
    metrics,
    report: kept(clock, () =>
      makeReport(config, clock, rotator.audit.source, daemon.statuses.entries()),
    ),
    attempts: createAttempts(daemon, clock),
    ...(tokenFile === undefined ? {} : { token: openToken(tokenFile) }),
    tokenName: `http token ${basename(tokenFile ?? '')}`,
    log,
    monotonicMs: clock.monotonicMs,
  });
  await daemon.start();
  return {
    config,
    daemon,
    handle,
    critical: () => [...critical],
    isAlive,
    close: async () => {
      if (isClosing) return;
      isClosing = true;
      await daemon.stop();
      await rotator.close();
      await notifier?.flush(flushWithinMs);
    },
  };
}

function openNotices(
  { notify }: Config,
  { host, clock, log, metrics }: Surroundings,
): Notifier | null {
  if (!notify) return null;
  const key = notify.secretFile === undefined ? {} : { key: readKey(notify.secretFile) };
  return openNotifier({
    webhook: notify.webhook,
    ...key,
    host,
    clock,
    log,
    onDelivery: metrics.recordDelivery,
  });
}

/** Throws a UsageError that names the file and never its contents. */
function readKey(file: string): KeyObject {
  try {
    const key = Buffer.from(readFileSync(file, 'utf8').trim());
    if (key.length >= 16) return createSecretKey(key);
  } catch (error) {
    throw new UsageError(
      `notify.secretFile ${file}: ${(error as NodeJS.ErrnoException).code ?? 'cannot be read'}`,
    );
  }
  throw new UsageError(`notify.secretFile ${file}: a secret has at least 16 characters`);
}

/** One at a time, and not more often than once a minute: it reads the whole log. */
function kept(clock: Clock, make: () => Promise<string>): () => Promise<string> {
  let last: { readonly atMs: number; readonly made: Promise<string> } | null = null;
  return () => {
    if (last && clock.monotonicMs() - last.atMs < reportKeptMs) return last.made;
    const made = make();
    last = { atMs: clock.monotonicMs(), made };
    made.catch(() => {
      last = null;
    });
    return made;
  };
}

async function makeReport(
  config: Config,
  clock: Clock,
  source: Source,
  entries: readonly AccountEntry[],
): Promise<string> {
  const nowMs = clock.nowMs();
  const verifiers = await openVerifiers(config, clock);
  const store = new Map(
    entries.map(({ account, state, reason, passwordSinceMs }) => [
      account.name,
      {
        passwordSinceMs: passwordSinceMs ?? null,
        state: state === 'settled' || reason === undefined ? state : `${state}: ${reason}`,
      },
    ]),
  );
  const { report } = await buildReport({
    source,
    verifiers,
    fromMs: nowMs - reportDays * 86_400_000,
    toMs: nowMs,
    nowMs,
    origin: config.audit.origin ?? verifiers[0]?.name ?? 'unknown',
    productVersion: version,
    accounts: entries.map(({ account }) => account.name),
    store,
    policy: config.policy,
    exemptions: entries.flatMap(({ account: { name, exempt } }) =>
      exempt ? [{ account: name, ...exempt }] : [],
    ),
  });
  return reportHtml(report);
}

type Source = Parameters<typeof buildReport>[0]['source'];

/** What the metrics tell of the accounts. */
export function figuresOf(entries: readonly AccountEntry[], nowMs: number): AccountFigures[] {
  return entries.map((entry) => {
    const ages = agesOf(entry, nowMs);
    return {
      account: entry.account.name,
      state: entry.state,
      ...(ages ? { ageDays: ages.ageDays, daysLeft: ages.daysLeft } : {}),
      ...(entry.lastSuccessMs === undefined ? {} : { lastSuccessMs: entry.lastSuccessMs }),
    };
  });
}
