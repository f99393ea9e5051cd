// The metrics of this program: one table, from which prometheus.ts makes /metrics and emf.ts makes log lines for
// CloudWatch. Names and labels are an interface (infra/prometheus, infra/grafana, infra/alarms.yaml). A label is
// an account name, a state, an outcome, a reason or a result; never text from outside.

import type { RotationEvent } from '../rotation/event.ts';
import type { Result } from '../rotation/state.ts';
import type { AccountStatus } from '../rotation/status.ts';

export type Metric = {
  readonly type: 'counter' | 'gauge' | 'histogram';
  readonly help: string;
  readonly labels?: readonly string[];
  readonly buckets?: readonly number[];
};

export const metricPrefix = 'thingspace_rotator_';

export const metricTable = {
  build_info: {
    type: 'gauge',
    labels: ['version'],
    help: 'Always 1. The label is the version of the program.',
  },
  password_age_days: {
    type: 'gauge',
    labels: ['account'],
    help: 'Age of the current password in days.',
  },
  password_days_left: {
    type: 'gauge',
    labels: ['account'],
    help: 'Days until the password is older than maxAgeDays; negative when it is overdue.',
  },
  last_success_timestamp_seconds: {
    type: 'gauge',
    labels: ['account'],
    help: 'Unix time of the last attempt that ended without a failure.',
  },
  account_state: {
    type: 'gauge',
    labels: ['account', 'state'],
    help: '1 for the state that the account is in, 0 for the other states.',
  },
  attempts_total: {
    type: 'counter',
    labels: ['outcome', 'reason'],
    help: 'Attempts by outcome and reason. docs/RUNBOOK.md explains each reason.',
  },
  logins_total: {
    type: 'counter',
    labels: ['result'],
    help: 'Logins at ThingSpace by result.',
  },
  dead_window_seconds: {
    type: 'histogram',
    buckets: [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300],
    help: 'Time from the reset response until the new password was current.',
  },
  attempt_duration_seconds: {
    type: 'histogram',
    buckets: [0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300],
    help: 'Duration of attempts.',
  },
  last_run_timestamp_seconds: {
    type: 'gauge',
    help: 'Unix time at which the last run over the accounts ended.',
  },
  audit_failures_total: {
    type: 'counter',
    help: 'Audit records that could not be written to the audit log.',
  },
  receipts_written_total: {
    type: 'counter',
    help: 'Receipts written. A receipt is an encrypted reset response.',
  },
  saving_retries_total: {
    type: 'counter',
    help: 'Retries to store a new password.',
  },
  notices_total: {
    type: 'counter',
    labels: ['result'],
    help: 'Webhook notifications by result.',
  },
} as const satisfies Record<string, Metric>;

export type MetricName = keyof typeof metricTable;
export type Labels = Readonly<Record<string, string>>;

/** One value of a metric: added to a counter, set on a gauge, observed by a histogram. */
export type Sample = {
  readonly name: MetricName;
  readonly value: number;
  readonly labels?: Labels;
};

/** What is known about one account. Ages in days. */
export type AccountFigures = {
  readonly account: string;
  readonly state: AccountStatus['state'] | 'unknown';
  readonly ageDays?: number | undefined;
  readonly daysLeft?: number | undefined;
  /** UTC milliseconds. */
  readonly lastSuccessMs?: number | undefined;
};

/** The values of the label `state`; `unknown` until the account was checked. */
export const accountStates = [
  'settled',
  'busy',
  'in-doubt',
  'changed',
  'stopped',
  'unreadable',
  'unknown',
] as const;

export function samplesOfEvent(event: RotationEvent): Sample[] {
  switch (event.event) {
    case 'login.accepted':
    case 'login.refused':
    case 'login.unknown':
    case 'login.not-sent': {
      const result = event.event.slice('login.'.length);
      return [{ name: 'logins_total', value: 1, labels: { result } }];
    }
    case 'receipt.written':
      return [{ name: 'receipts_written_total', value: 1 }];
    case 'saving.retried':
      return [{ name: 'saving_retries_total', value: 1 }];
    case 'audit.failed':
      return [{ name: 'audit_failures_total', value: 1 }];
    default:
      return [];
  }
}

export function samplesOfResult(result: Result): Sample[] {
  const { outcome, reason = 'none', startedAtMs, endedAtMs, deadWindowMs } = result;
  const seconds = Math.max(0, endedAtMs - startedAtMs) / 1000;
  return [
    { name: 'attempts_total', value: 1, labels: { outcome, reason } },
    { name: 'attempt_duration_seconds', value: seconds },
    ...sampleOf('dead_window_seconds', deadWindowMs, 1000),
  ];
}

/** All samples of an account but its state. */
export function samplesOfAccount(figures: AccountFigures): Sample[] {
  const labels = { account: figures.account };
  return [
    ...sampleOf('password_age_days', figures.ageDays, 1, labels),
    ...sampleOf('password_days_left', figures.daysLeft, 1, labels),
    ...sampleOf('last_success_timestamp_seconds', figures.lastSuccessMs, 1000, labels),
  ];
}

const sampleOf = (
  name: MetricName,
  value: number | undefined,
  divisor: number,
  labels: Labels = {},
): Sample[] => (value === undefined ? [] : [{ name, value: value / divisor, labels }]);
