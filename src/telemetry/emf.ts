// The metrics of a Lambda function as log lines that CloudWatch reads (Embedded Metric Format, read
// 2026-11), since nothing scrapes a function. Each line is written when its event happens: a
// function that times out or is killed leaves what it knew. The bytes of the log are the only
// price of a line; CloudWatch charges for each metric with its dimensions, per hour.

import type { RotationEvent } from '../rotation/event.ts';
import { ageDays } from '../rotation/policy.ts';
import type { Policy, Result } from '../rotation/state.ts';
import { stateOfReason } from '../rotation/status.ts';
import { dayMs } from '../time.ts';
import {
  type AccountFigures,
  type Labels,
  metricPrefix,
  metricTable,
  type Sample,
  samplesOfAccount,
  samplesOfEvent,
  samplesOfResult,
} from './metrics.ts';

export type EmfOptions = {
  /** Of the metrics in CloudWatch; two stages must not share one. */
  readonly namespace: string;
  /**
   * CloudWatch keeps the ages of each account apart, at the price of three metrics per account.
   * Without it an age is one metric with its minimum and maximum, and the log line names the
   * account.
   */
  readonly byAccount: boolean;
  /** Writes one line to the log, synchronously. */
  readonly writeLine: (line: string) => void;
  /** UTC milliseconds. */
  readonly nowMs: () => number;
};

/** By what an account is judged at the moment. */
export type Judged = { readonly policy: Policy; readonly isExempt: boolean };

export type EmfMetrics = ReturnType<typeof createEmfMetrics>;

const units = { counter: 'Count', gauge: 'None', histogram: 'Seconds' } as const;

/** Never throws. */
export function createEmfMetrics({ namespace, byAccount, writeLine, nowMs }: EmfOptions) {
  function write(samples: readonly Sample[]): void {
    const groups = new Map<string, Sample[]>();
    for (const sample of samples) {
      const key = JSON.stringify(sample.labels ?? {});
      groups.set(key, [...(groups.get(key) ?? []), sample]);
    }
    for (const group of groups.values()) writeLine(lineOf(group));
  }

  function lineOf(samples: readonly Sample[]): string {
    const labels = samples[0]?.labels ?? {};
    const definition = {
      Namespace: namespace,
      Dimensions: dimensionsOf(labels, byAccount),
      Metrics: samples.map(({ name }) => ({
        Name: metricPrefix + name,
        Unit: units[metricTable[name].type],
      })),
    };
    return JSON.stringify({
      _aws: { Timestamp: Math.round(nowMs()), CloudWatchMetrics: [definition] },
      ...labels,
      ...Object.fromEntries(samples.map(({ name, value }) => [metricPrefix + name, value])),
    });
  }

  /** The ages of an account, and its state. An exempt account has no limit that it can exceed. */
  function recordAccount(figures: AccountFigures, isExempt: boolean): void {
    const { account, state } = figures;
    const labels = { account, state };
    const { daysLeft, ...others } = figures;
    const samples = samplesOfAccount(isExempt ? others : figures);
    write([...samples, { name: 'account_state', value: 1, labels }]);
  }

  return {
    /** Counts what happens in an attempt. */
    observe: (event: RotationEvent): void => write(samplesOfEvent(event)),
    /** Counts how an attempt ended, and records what it found out about its account. */
    recordResult(result: Result, { policy, isExempt }: Judged): void {
      write(samplesOfResult(result).map(isBusy(result) ? asBusy : (sample) => sample));
      recordAccount(figuresOf(result, policy), isExempt);
    },
    recordAccount,
    /** Records that a run over all accounts ended. */
    recordRun: (): void =>
      write([{ name: 'last_run_timestamp_seconds', value: Math.round(nowMs()) / 1000 }]),
  };
}

/** One set per label. The account is a dimension only on request; else the line names it. */
function dimensionsOf({ account, ...others }: Labels, byAccount: boolean): string[][] {
  const names = Object.keys(others);
  if (names.length > 0) return names.map((name) => [name]);
  return byAccount && account !== undefined ? [['account'], []] : [[]];
}

/** Another process works on the account, and reports the result and the state that it leaves. */
export const isBusy = ({ reason }: Pick<Result, 'reason'>): boolean =>
  reason === 'busy' || reason === 'in-flight';

/** So that the alarm AttemptsFailed does not count it. */
const asBusy = (sample: Sample): Sample =>
  sample.labels?.['outcome'] === undefined
    ? sample
    : { ...sample, labels: { ...sample.labels, outcome: 'busy' } };

/** What a result says about its account. Ages are unknown where the secret was not read. */
function figuresOf(result: Result, policy: Policy): AccountFigures {
  const { account, reason, dueAtMs, endedAtMs } = result;
  const state = isBusy(result) ? 'busy' : reason === undefined ? 'settled' : stateOfReason(reason);
  if (dueAtMs === undefined) return { account, state };
  const age = ageDays(dueAtMs - policy.rotateAfterDays * dayMs, endedAtMs);
  return { account, state, ageDays: age, daysLeft: policy.maxAgeDays - age };
}
