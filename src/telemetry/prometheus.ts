// The metrics of the service in the Prometheus text format, by prom-client.

import type { Gauge, Registry } from 'prom-client';
import type { RotationEvent } from '../rotation/event.ts';
import { failures } from '../rotation/failure.ts';
import { exemptUntilMs } from '../rotation/policy.ts';
import type { Clock } from '../rotation/ports.ts';
import type { Result } from '../rotation/state.ts';
import {
  type AccountEntry,
  agesOf,
  isExempt,
  isOverdue,
  isStale,
} from '../scheduler/status-cache.ts';
import {
  type AccountFigures,
  accountStates,
  type Labels,
  type MetricName,
  metricPrefix,
  metricTable,
  type Sample,
  sampleOf,
  samplesOfAccount,
  samplesOfEvent,
  samplesOfResult,
} from './metrics.ts';

export type MetricsOptions = {
  /** Called at every scrape. */
  readonly figures: () => Iterable<AccountFigures>;
  /** The last results of the readiness checks, and when they were made. Called at every scrape. */
  readonly readiness?: () => {
    readonly atMs: number;
    readonly checks: readonly { readonly check: string; readonly ok: boolean }[];
  } | null;
  /** When the oldest notification was made that is not delivered. Called at every scrape. */
  readonly oldestNoticeMs?: () => number | undefined;
  readonly clock: Pick<Clock, 'nowMs'>;
  readonly version: string;
};

export type Metrics = Awaited<ReturnType<typeof openMetrics>>;

/** Older results of the readiness checks are not shown. */
const readyForMs = 660_000;

/** Events after which a rule asks. A counter would hide what happens before the first scrape. */
const datedEvents: readonly RotationEvent['event'][] = [
  'audit.failed',
  'saving.retried',
  'witness.cosigned',
  'witness.failed',
  'witness.refused',
];

type PromClient = Pick<typeof import('prom-client'), 'Counter' | 'Gauge' | 'Histogram'>;

const metricNames = Object.keys(metricTable) as MetricName[];

type Record = (labels: Labels, value: number) => void;

type Series = {
  readonly record: (sample: Sample) => void;
  /** A gauge has no series until it is set again. */
  readonly clear: (name: MetricName) => void;
};

/** The series of every metric in the table, by prom-client, which only the service needs. */
function openSeries({ Counter, Gauge, Histogram }: PromClient, registry: Registry): Series {
  const gauges = new Map<MetricName, Gauge>();

  function open(name: MetricName): Record {
    const { type, help, labels, buckets } = metricTable[name];
    const options = { name: metricPrefix + name, help, labelNames: labels, registers: [registry] };
    if (type === 'counter') {
      const counter = new Counter(options);
      return (given, value) => counter.inc(given, value);
    }
    if (type === 'gauge') {
      const gauge = new Gauge(options);
      gauges.set(name, gauge);
      return (given, value) => gauge.set(given, value);
    }
    const histogram = new Histogram({ ...options, buckets: [...buckets] });
    return (given, value) => histogram.observe(given, value);
  }

  const series = new Map(metricNames.map((name) => [name, open(name)]));
  // `reset` gives a gauge without labels the value 0, which nobody measured.
  const clear = (name: MetricName): void =>
    metricTable[name].labels.length > 0 ? gauges.get(name)?.reset() : gauges.get(name)?.remove();
  for (const name of gauges.keys()) clear(name);
  return {
    record: ({ name, value, labels = {} }) => series.get(name)?.(labels, value),
    clear,
  };
}

/** Opens a registry. */
export async function openMetrics(options: MetricsOptions) {
  const { figures, readiness = () => null, oldestNoticeMs = () => undefined } = options;
  const { clock, version } = options;
  const prometheus = (await import('prom-client')).default;
  const registry = new prometheus.Registry();
  const { record, clear } = openSeries(prometheus, registry);
  record({ name: 'build_info', value: 1, labels: { version } });
  zeroSamples().forEach(record);
  /** When the last receipt of an account was written. */
  const receiptsMs = new Map<string, number>();

  /** Sets the gauges of accounts again, so that a removed account leaves no series. */
  function updateAccounts(): void {
    for (const name of metricNames) if (metricTable[name].labels.includes('account')) clear(name);
    for (const one of figures()) {
      const { account, conditions = [] } = one;
      for (const state of accountStates) {
        const value = Number(state === one.state);
        record({ name: 'account_state', value, labels: { account, state } });
      }
      const receiptMs = receiptsMs.get(account);
      [
        ...samplesOfAccount(one),
        ...conditions,
        ...sampleOf('last_receipt_timestamp_seconds', receiptMs, 1000, { account }),
      ].forEach(record);
    }
  }

  /** Sets the gauges of this process again. */
  function updateProcess(): void {
    const nowMs = clock.nowMs();
    record({ name: 'clock_timestamp_seconds', value: nowMs / 1000 });
    clear('oldest_notice_timestamp_seconds');
    sampleOf('oldest_notice_timestamp_seconds', oldestNoticeMs(), 1000).forEach(record);
    clear('ready');
    const { atMs = 0, checks = [] } = readiness() ?? {};
    if (nowMs - atMs > readyForMs) return;
    for (const { check, ok } of checks)
      record({ name: 'ready', value: Number(ok), labels: { check } });
  }

  return {
    /** Counts what happens in an attempt. Never throws. */
    observe: (event: RotationEvent): void => {
      samplesOfEvent(event).forEach(record);
      const nowMs = clock.nowMs();
      if (event.event === 'receipt.written') receiptsMs.set(event.account, nowMs);
      if (!datedEvents.includes(event.event)) return;
      const labels = { event: event.event };
      record({ name: 'last_event_timestamp_seconds', value: nowMs / 1000, labels });
    },
    /** Counts how an attempt ended. */
    recordResult: (result: Result): void => samplesOfResult(result).forEach(record),
    /** Counts webhook notifications. */
    recordDelivery: (result: 'delivered' | 'failed' | 'dropped', count: number): void =>
      record({ name: 'notices_total', value: count, labels: { result } }),
    /** Records that a run ended at this time; UTC milliseconds. */
    recordRun: (atMs: number): void =>
      record({ name: 'last_run_timestamp_seconds', value: atMs / 1000 }),
    /** The exposition text and its content type. */
    expose: async (): Promise<{ contentType: string; text: string }> => {
      updateAccounts();
      updateProcess();
      return { contentType: registry.contentType, text: await registry.metrics() };
    },
  };
}

/** What the metrics show of the accounts of the service. */
export function figuresOf(entries: readonly AccountEntry[], nowMs: number): AccountFigures[] {
  return entries.map((entry) => {
    const { account, blocked, lastSuccessMs } = entry;
    const { ageDays, daysLeft, dueAtMs } = agesOf(entry, nowMs) ?? {};
    const state = blocked === undefined ? entry.state : 'stopped';
    const conditions = conditionsOf(entry, nowMs, dueAtMs);
    return { account: account.name, state, ageDays, daysLeft, lastSuccessMs, conditions };
  });
}

function conditionsOf(entry: AccountEntry, nowMs: number, dueAtMs?: number): Sample[] {
  const { account, policy, reason, failingSinceMs } = entry;
  const labels = { account: account.name };
  const flag = (name: MetricName, value: boolean) => ({ name, value: Number(value), labels });
  const time = (name: MetricName, ms: number | undefined) => sampleOf(name, ms, 1000, labels);
  return [
    flag('account_enabled', account.enabled),
    flag('account_exempt', isExempt(entry, nowMs)),
    flag('account_overdue', isOverdue(entry, nowMs)),
    flag('account_stale', isStale(entry, nowMs)),
    { name: 'password_limit_days', value: policy.maxAgeDays, labels },
    ...time('exempt_until_timestamp_seconds', exemptUntilMs(account)),
    ...time('password_due_timestamp_seconds', dueAtMs),
    ...time('next_run_timestamp_seconds', entry.nextRunMs),
    ...time('evidence_timestamp_seconds', entry.evidenceAtMs),
    ...(reason === undefined
      ? []
      : sampleOf('failing_since_timestamp_seconds', failingSinceMs, 1000, { ...labels, reason })),
  ];
}

/** A counter that first appears as 1 shows no increase, so known labels start at 0. */
function zeroSamples(): Sample[] {
  const zero = (name: MetricName, labels: Labels): Sample => ({ name, value: 0, labels });
  return [
    ...['rotated', 'recovered', 'not-due', 'checked', 'settled'].map((outcome) =>
      zero('attempts_total', { outcome, reason: 'none' }),
    ),
    ...Object.entries(failures).map(([reason, { certainty }]) => {
      const outcome = certainty === 'stopped' || certainty === 'lost' ? 'stopped' : 'failed';
      return zero('attempts_total', { outcome, reason });
    }),
    ...['accepted', 'refused', 'unknown', 'not-sent'].map((result) =>
      zero('logins_total', { result }),
    ),
    ...['cosigned', 'failed', 'refused'].map((result) =>
      zero('witness_requests_total', { result }),
    ),
    ...['delivered', 'failed', 'dropped'].map((result) => zero('notices_total', { result })),
  ];
}
