// Prometheus metrics of the service. Names and labels are an interface (infra/prometheus, infra/grafana); a label is an
// account's name, a state, an outcome or a reason, and never a text from outside.

import type { RotationEvent } from '../rotation/event.ts';
import { failures, type Reason } from '../rotation/failure.ts';
import type { Result } from '../rotation/state.ts';
import type { AccountStatus } from '../rotation/status.ts';

/** What is told about one account at a scrape. Ages in days. */
export type AccountFigures = {
  readonly account: string;
  readonly state: AccountStatus['state'] | 'unknown';
  readonly ageDays?: number;
  readonly daysLeft?: number;
  /** UTC milliseconds. */
  readonly lastSuccessMs?: number;
};

export type MetricsOptions = {
  /** Asked at every scrape. */
  readonly figures: () => Iterable<AccountFigures>;
  readonly version: string;
  /** Also the usual `process_` and `nodejs_` metrics. */
  readonly ofProcess?: boolean;
};

export type Metrics = {
  /** Counts what an attempt tells. Never throws. */
  observe(event: RotationEvent): void;
  /** Counts the end of an attempt. */
  finished(result: Result): void;
  /** Counts what became of notices. */
  noticed(result: 'delivered' | 'failed' | 'dropped', count: number): void;
  /** A run over the accounts ended at this time; UTC milliseconds. */
  ran(atMs: number): void;
  /** The exposition text, and its content type. */
  expose(): Promise<{ readonly contentType: string; readonly text: string }>;
};

/** `unknown` until an account has been looked at. */
export const accountStates = [
  'settled',
  'busy',
  'in-doubt',
  'changed',
  'stopped',
  'unreadable',
  'unknown',
] as const;

const loginResults = ['accepted', 'refused', 'unknown', 'not-sent'] as const;

/** Opens a registry of its own. Loads prom-client, which nothing but the service needs. */
export async function openMetrics({
  figures,
  version,
  ofProcess = false,
}: MetricsOptions): Promise<Metrics> {
  const { Counter, Gauge, Histogram, Registry, collectDefaultMetrics } = (
    await import('prom-client')
  ).default;
  const registry = new Registry();
  const registers = [registry];
  const named = (name: string, help: string) => ({
    name: `thingspace_rotator_${name}`,
    help,
    registers,
  });

  const build = new Gauge({
    ...named('build_info', 'Always 1; the label tells the version.'),
    labelNames: ['version'],
  });
  build.set({ version }, 1);
  if (ofProcess) collectDefaultMetrics({ register: registry });

  const byAccount = { labelNames: ['account'] as const };
  const age = new Gauge({
    ...named('password_age_days', 'Age of the password that is in AWSCURRENT, in days.'),
    ...byAccount,
  });
  const left = new Gauge({
    ...named('password_days_left', 'Days until the password is older than maxAgeDays.'),
    ...byAccount,
  });
  const success = new Gauge({
    ...named(
      'last_success_timestamp_seconds',
      'When the account was last looked at, or rotated, without a failure.',
    ),
    ...byAccount,
  });
  const state = new Gauge({
    ...named('account_state', '1 for the state the account is in, 0 for the others.'),
    labelNames: ['account', 'state'] as const,
  });

  const attempts = new Counter({
    ...named(
      'attempts_total',
      'Attempts by how they ended; the reason is a heading of docs/RUNBOOK.md, or none.',
    ),
    labelNames: ['outcome', 'reason'] as const,
  });
  const logins = new Counter({
    ...named('logins_total', 'Logins at ThingSpace by their answer.'),
    labelNames: ['result'] as const,
  });
  const deadWindow = new Histogram({
    ...named(
      'dead_window_seconds',
      'From the answer of a reset to AWSCURRENT on the new password.',
    ),
    buckets: [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300],
  });
  const duration = new Histogram({
    ...named('attempt_duration_seconds', 'How long attempts took.'),
    buckets: [0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300],
  });
  const lastRun = new Gauge(
    named('last_run_timestamp_seconds', 'When the last run over the accounts ended.'),
  );
  const auditFailures = new Counter(
    named('audit_failures_total', 'Audit records that could not be written to the log.'),
  );
  const receipts = new Counter(
    named('receipts_written_total', 'Receipts written: sealed answers of resets.'),
  );
  const savingRetries = new Counter(
    named('saving_retries_total', 'Tries to save a new password that had to be repeated.'),
  );

  const notices = new Counter({
    ...named('notices_total', 'Notices to the webhook by what became of them.'),
    labelNames: ['result'] as const,
  });

  // A counter that is born at 1 shows no increase: all that can be counted begin at 0.
  for (const result of loginResults) logins.inc({ result }, 0);
  for (const result of ['delivered', 'failed', 'dropped']) notices.inc({ result }, 0);
  for (const outcome of ['rotated', 'recovered', 'not-due', 'checked', 'settled'])
    attempts.inc({ outcome, reason: 'none' }, 0);
  for (const reason of Object.keys(failures) as Reason[])
    attempts.inc({ outcome: endOf(reason), reason }, 0);

  /** The four that are read anew at every scrape; an account that is gone leaves no series behind. */
  function fill(): void {
    for (const gauge of [age, left, success, state]) gauge.reset();
    for (const one of figures()) {
      const { account } = one;
      for (const name of accountStates)
        state.set({ account, state: name }, name === one.state ? 1 : 0);
      if (one.ageDays !== undefined) age.set({ account }, one.ageDays);
      if (one.daysLeft !== undefined) left.set({ account }, one.daysLeft);
      if (one.lastSuccessMs !== undefined) success.set({ account }, one.lastSuccessMs / 1000);
    }
  }

  return {
    observe: (event) => {
      switch (event.event) {
        case 'login.accepted':
        case 'login.refused':
        case 'login.unknown':
        case 'login.not-sent':
          return logins.inc({ result: event.event.slice('login.'.length) });
        case 'receipt.written':
          return receipts.inc();
        case 'saving.retried':
          return savingRetries.inc();
        case 'audit.failed':
          return auditFailures.inc();
        default:
          return;
      }
    },
    finished: ({ outcome, reason, startedAtMs, endedAtMs, deadWindowMs }) => {
      attempts.inc({ outcome, reason: reason ?? 'none' });
      duration.observe(Math.max(0, endedAtMs - startedAtMs) / 1000);
      if (deadWindowMs !== undefined) deadWindow.observe(deadWindowMs / 1000);
    },
    noticed: (result, count) => notices.inc({ result }, count),
    ran: (atMs) => lastRun.set(atMs / 1000),
    expose: async () => {
      fill();
      return { contentType: registry.contentType, text: await registry.metrics() };
    },
  };
}

/** The outcome that goes with a reason. */
function endOf(reason: Reason): Result['outcome'] {
  const { certainty } = failures[reason];
  return certainty === 'stopped' || certainty === 'lost' ? 'stopped' : 'failed';
}
