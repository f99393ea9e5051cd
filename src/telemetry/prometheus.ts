// The metrics of the service in the Prometheus text format, by prom-client.

import type { Gauge, Registry } from 'prom-client';
import type { RotationEvent } from '../rotation/event.ts';
import { failures } from '../rotation/failure.ts';
import type { Clock } from '../rotation/ports.ts';
import type { Result } from '../rotation/state.ts';
import {
  type AccountFigures,
  accountStates,
  type Labels,
  type MetricName,
  metricPrefix,
  metricTable,
  type Sample,
  samplesOfAccount,
  samplesOfCondition,
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

export type Metrics = {
  /** Counts what happens in an attempt. Never throws. */
  observe(event: RotationEvent): void;
  /** Counts how an attempt ended. */
  recordResult(result: Result): void;
  /** Counts webhook notifications. */
  recordDelivery(result: 'delivered' | 'failed' | 'dropped', count: number): void;
  /** Records that a run ended at this time; UTC milliseconds. */
  recordRun(atMs: number): void;
  /** The exposition text and its content type. */
  expose(): Promise<{ readonly contentType: string; readonly text: string }>;
};

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
export async function openMetrics(options: MetricsOptions): Promise<Metrics> {
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
      for (const state of accountStates) {
        const labels = { account: one.account, state };
        record({ name: 'account_state', value: state === one.state ? 1 : 0, labels });
      }
      samplesOfAccount(one).forEach(record);
      if (one.condition) samplesOfCondition(one.account, one.condition).forEach(record);
      const receiptMs = receiptsMs.get(one.account);
      if (receiptMs === undefined) continue;
      const labels = { account: one.account };
      record({ name: 'last_receipt_timestamp_seconds', value: receiptMs / 1000, labels });
    }
  }

  /** Sets the gauges of this process again. */
  function updateProcess(): void {
    const nowMs = clock.nowMs();
    record({ name: 'clock_timestamp_seconds', value: nowMs / 1000 });
    const noticeMs = oldestNoticeMs();
    clear('oldest_notice_timestamp_seconds');
    if (noticeMs !== undefined)
      record({ name: 'oldest_notice_timestamp_seconds', value: noticeMs / 1000 });
    clear('ready');
    const { atMs = 0, checks = [] } = readiness() ?? {};
    if (nowMs - atMs > readyForMs) return;
    for (const { check, ok } of checks)
      record({ name: 'ready', value: Number(ok), labels: { check } });
  }

  return {
    observe: (event) => {
      samplesOfEvent(event).forEach(record);
      const nowMs = clock.nowMs();
      if (event.event === 'receipt.written') receiptsMs.set(event.account, nowMs);
      if (!datedEvents.includes(event.event)) return;
      const labels = { event: event.event };
      record({ name: 'last_event_timestamp_seconds', value: nowMs / 1000, labels });
    },
    recordResult: (result) => samplesOfResult(result).forEach(record),
    recordDelivery: (result, count) =>
      record({ name: 'notices_total', value: count, labels: { result } }),
    recordRun: (atMs) => record({ name: 'last_run_timestamp_seconds', value: atMs / 1000 }),
    expose: async () => {
      updateAccounts();
      updateProcess();
      return { contentType: registry.contentType, text: await registry.metrics() };
    },
  };
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
