// CloudWatch metrics as log lines (Embedded Metric Format, read 2026-11), with the names and labels of metrics.ts: a function
// has nobody who scrapes it. One flush per invocation. A value is a number of ours and a dimension one of few words, or an
// account's name; never a text from outside.

import type { RotationEvent } from '../rotation/event.ts';
import type { Result } from '../rotation/state.ts';
import { type AccountFigures, accountStates } from './metrics.ts';

export const emfNamespace = 'ThingspaceRotator';

export type EmfMetrics = {
  /** Counts what an attempt tells. Never throws. */
  observe(event: RotationEvent): void;
  /** Counts the end of an attempt. */
  finished(result: Result): void;
  /** Where an account stands, once per invocation. */
  figure(figures: AccountFigures): void;
  /** A run over the accounts ended at this time; UTC milliseconds. */
  ran(atMs: number): void;
  /** The lines of everything since the last flush; none when nothing was told. */
  flush(nowMs: number): string[];
};

/** CloudWatch takes at most so many values of one metric in a line. */
const maxValues = 100;

type Series = {
  readonly dimensions: Readonly<Record<string, string>>;
  readonly sets: readonly (readonly string[])[];
  readonly values: Map<string, number[]>;
};

/**
 * `byAccount`: CloudWatch also keeps the ages of each account apart, three metrics to pay for per account. Without it they are one
 * metric with its least and its largest value; which account it was is in the log line.
 */
export function createEmfMetrics({ byAccount }: { readonly byAccount: boolean }): EmfMetrics {
  let series = new Map<string, Series>();
  const figured: AccountFigures[] = [];

  /** `sets`: by which dimensions CloudWatch keeps the metric; each one more is one more metric to pay for. */
  function add(
    dimensions: Record<string, string>,
    sets: readonly (readonly string[])[],
    name: string,
    value: number,
  ): void {
    const key = JSON.stringify([dimensions, sets]);
    const one = series.get(key) ?? { dimensions, sets, values: new Map() };
    series.set(key, one);
    one.values.set(name, [...(one.values.get(name) ?? []), value]);
  }
  const plain = (name: string, value: number): void => add({}, [[]], name, value);
  const attempt = (outcome: string, reason: string): void =>
    add({ outcome, reason }, [['outcome'], ['reason']], 'attempts_total', 1);

  function fill(): void {
    if (figured.length === 0) return;
    for (const { account, ageDays, daysLeft, lastSuccessMs } of figured) {
      const sets = byAccount ? [['account'], []] : [[]];
      if (ageDays !== undefined) add({ account }, sets, 'password_age_days', ageDays);
      if (daysLeft !== undefined) add({ account }, sets, 'password_days_left', daysLeft);
      if (lastSuccessMs !== undefined)
        add({ account }, sets, 'last_success_timestamp_seconds', lastSuccessMs / 1000);
    }
    for (const state of accountStates) {
      const count = figured.filter((one) => one.state === state).length;
      add({ state }, [['state']], 'account_state', count);
    }
    figured.length = 0;
  }

  return {
    observe: (event) => {
      switch (event.event) {
        case 'login.accepted':
        case 'login.refused':
        case 'login.unknown':
        case 'login.not-sent':
          return add(
            { result: event.event.slice('login.'.length) },
            [['result']],
            'logins_total',
            1,
          );
        case 'receipt.written':
          return plain('receipts_written_total', 1);
        case 'saving.retried':
          return plain('saving_retries_total', 1);
        case 'audit.failed':
          return plain('audit_failures_total', 1);
        default:
          return;
      }
    },
    finished: ({ outcome, reason, startedAtMs, endedAtMs, deadWindowMs }) => {
      attempt(outcome, reason ?? 'none');
      plain('attempt_duration_seconds', Math.max(0, endedAtMs - startedAtMs) / 1000);
      if (deadWindowMs !== undefined) plain('dead_window_seconds', deadWindowMs / 1000);
    },
    figure: (figures) => {
      figured.push(figures);
    },
    ran: (atMs) => plain('last_run_timestamp_seconds', atMs / 1000),
    flush: (nowMs) => {
      fill();
      const lines = [...series.values()].flatMap((one) => linesOf(one, nowMs));
      series = new Map();
      return lines;
    },
  };
}

const unitOf = (name: string): string =>
  name.endsWith('_seconds') && !name.includes('timestamp')
    ? 'Seconds'
    : name.endsWith('_total')
      ? 'Count'
      : 'None';

function linesOf({ dimensions, sets, values }: Series, nowMs: number): string[] {
  const most = Math.max(...[...values.values()].map((list) => list.length));
  return Array.from({ length: Math.ceil(most / maxValues) }, (_, index) => {
    const part = [...values]
      .map(
        ([name, list]) => [name, list.slice(index * maxValues, (index + 1) * maxValues)] as const,
      )
      .filter(([, list]) => list.length > 0);
    return JSON.stringify({
      _aws: {
        Timestamp: Math.round(nowMs),
        CloudWatchMetrics: [
          {
            Namespace: emfNamespace,
            Dimensions: sets,
            Metrics: part.map(([name]) => ({
              Name: `thingspace_rotator_${name}`,
              Unit: unitOf(name),
            })),
          },
        ],
      },
      ...dimensions,
      ...Object.fromEntries(
        part.map(([name, list]) => [
          `thingspace_rotator_${name}`,
          list.length === 1 ? list[0] : list,
        ]),
      ),
    });
  });
}
