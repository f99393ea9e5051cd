// The metrics of a Lambda function as log lines that CloudWatch reads (Embedded Metric Format, read
// 2026-11), since nothing scrapes a function. Flushed once per invocation.

import type { RotationEvent } from '../rotation/event.ts';
import type { Result } from '../rotation/state.ts';
import {
  type AccountFigures,
  accountStates,
  type Labels,
  metricPrefix,
  metricTable,
  type Sample,
  samplesOfAccount,
  samplesOfEvent,
  samplesOfResult,
} from './metrics.ts';

export const emfNamespace = 'ThingspaceRotator';

export type EmfMetrics = ReturnType<typeof createEmfMetrics>;

/** CloudWatch takes at most this many values of one metric in a line. */
const maxValues = 100;

const units = { counter: 'Count', gauge: 'None', histogram: 'Seconds' } as const;

/** Samples with the same labels. Each dimension set is one more metric that AWS charges for. */
type Group = {
  readonly labels: Labels;
  readonly dimensions: readonly (readonly string[])[];
  readonly values: Map<Sample['name'], number[]>;
};

/**
 * `byAccount`: CloudWatch keeps the ages of each account apart, at the price of three metrics per
 * account. Without it an age is one metric with its minimum and maximum, and the log line names the
 * account.
 */
export function createEmfMetrics({ byAccount }: { readonly byAccount: boolean }) {
  let groups = new Map<string, Group>();
  let accounts: AccountFigures[] = [];

  function record({ name, value, labels = {} }: Sample): void {
    const { account, ...others } = labels;
    const apart = byAccount && account !== undefined ? [['account']] : [];
    const keys = Object.keys(others);
    const dimensions = keys.length > 0 ? keys.map((key) => [key]) : [...apart, []];
    const key = JSON.stringify(labels);
    const group = groups.get(key) ?? { labels, dimensions, values: new Map() };
    groups.set(key, group);
    group.values.set(name, [...(group.values.get(name) ?? []), value]);
  }

  /** CloudWatch gets the number of accounts in each state. */
  function recordStates(): void {
    for (const state of accounts.length === 0 ? [] : accountStates) {
      const value = accounts.filter((one) => one.state === state).length;
      record({ name: 'account_state', value, labels: { state } });
    }
    accounts = [];
  }

  return {
    /** Counts what happens in an attempt. Never throws. */
    observe: (event: RotationEvent): void => samplesOfEvent(event).forEach(record),
    /** Counts how an attempt ended. */
    recordResult: (result: Result): void => samplesOfResult(result).forEach(record),
    /** Records the figures of an account, once per invocation. */
    recordAccount: (figures: AccountFigures): void => {
      accounts.push(figures);
      samplesOfAccount(figures).forEach(record);
    },
    /** Records that a run ended at this time; UTC milliseconds. */
    recordRun: (atMs: number): void =>
      record({ name: 'last_run_timestamp_seconds', value: atMs / 1000 }),
    /** The lines of everything since the last flush; empty when nothing was recorded. */
    flush: (nowMs: number): string[] => {
      recordStates();
      const lines = [...groups.values()].flatMap((group) => linesOf(group, nowMs));
      groups = new Map();
      return lines;
    },
  };
}

function linesOf({ labels, dimensions, values }: Group, nowMs: number): string[] {
  const most = Math.max(...[...values.values()].map((list) => list.length));
  return Array.from({ length: Math.ceil(most / maxValues) }, (_, index) => {
    const part = [...values].flatMap(([name, all]) => {
      const list = all.slice(index * maxValues, (index + 1) * maxValues);
      return list.length === 0 ? [] : [{ name, value: list.length === 1 ? list[0] : list }];
    });
    const definition = {
      Namespace: emfNamespace,
      Dimensions: dimensions,
      Metrics: part.map(({ name }) => ({
        Name: metricPrefix + name,
        Unit: units[metricTable[name].type],
      })),
    };
    return JSON.stringify({
      _aws: { Timestamp: Math.round(nowMs), CloudWatchMetrics: [definition] },
      ...labels,
      ...Object.fromEntries(part.map(({ name, value }) => [metricPrefix + name, value])),
    });
  });
}
