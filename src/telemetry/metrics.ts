// The metrics of this program: one table, from which prometheus.ts makes /metrics and emf.ts makes
// log lines for CloudWatch. Names and labels are an interface (infra/prometheus, infra/grafana,
// infra/alarms.yaml). A label is an account name, a state, an outcome, a reason or a result; never
// text from outside.

import type { RotationEvent } from '../rotation/event.ts';
import type { Result } from '../rotation/state.ts';
import type { AccountStatus } from '../rotation/status.ts';

export type Metric = {
  readonly type: 'counter' | 'gauge' | 'histogram';
  readonly help: string;
  readonly labels: readonly string[];
  readonly buckets: readonly number[];
};

const counter = (help: string, ...labels: string[]): Metric => {
  return { type: 'counter', help, labels, buckets: [] };
};
const gauge = (help: string, ...labels: string[]): Metric => {
  return { type: 'gauge', help, labels, buckets: [] };
};
const accountGauge = (help: string): Metric => gauge(help, 'account');
const histogram = (help: string, ...buckets: number[]): Metric => {
  return { type: 'histogram', help, labels: [], buckets };
};

export const metricPrefix = 'thingspace_rotator_';

export const metricTable = {
  build_info: gauge('Always 1. The label is the version of the program.', 'version'),
  password_age_days: accountGauge('Age of the current password in days.'),
  password_days_left: accountGauge(
    'Days until the password is older than maxAgeDays; negative when it is overdue.',
  ),
  last_success_timestamp_seconds: accountGauge(
    'Unix time of the last attempt that ended without a failure.',
  ),
  account_state: gauge(
    '1 for the state that the account is in, 0 for the other states.',
    'account',
    'state',
  ),
  account_enabled: accountGauge('1 when the schedule rotates the account, else 0.'),
  account_exempt: accountGauge('1 while the account is exempt from the policy, else 0.'),
  account_overdue: accountGauge(
    '1 when the password is older than maxAgeDays, unless the account is exempt or not enabled.',
  ),
  account_stale: accountGauge(
    '1 when the status of the account rests on evidence that is too old or misdated, else 0.',
  ),
  exempt_until_timestamp_seconds: accountGauge('Unix time at which the exemption ends.'),
  password_limit_days: accountGauge('The policy of the account: maxAgeDays.'),
  password_due_timestamp_seconds: accountGauge(
    'Unix time from which the policy of the account asks for a rotation.',
  ),
  next_run_timestamp_seconds: accountGauge(
    'Unix time of the scheduled run that has to renew the evidence of the account.',
  ),
  evidence_timestamp_seconds: accountGauge(
    'Unix time at which the secret store last showed the status of the account.',
  ),
  failing_since_timestamp_seconds: gauge(
    'Unix time since which the account fails or is suspended, by the newest reason.',
    'account',
    'reason',
  ),
  last_receipt_timestamp_seconds: accountGauge(
    'Unix time of the last receipt that this process wrote.',
  ),
  last_event_timestamp_seconds: gauge(
    'Unix time of the last event of this kind. docs/RUNBOOK.md explains each event.',
    'event',
  ),
  ready: gauge('Readiness checks of the last eleven minutes: 1 succeeded, 0 failed.', 'check'),
  clock_timestamp_seconds: gauge('Unix time by the clock of this machine.'),
  attempts_total: counter(
    'Attempts by outcome and reason. docs/RUNBOOK.md explains each reason.',
    'outcome',
    'reason',
  ),
  logins_total: counter('Logins at ThingSpace by result.', 'result'),
  dead_window_seconds: histogram(
    'Time from the reset response until the new password was current.',
    ...[0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300],
  ),
  attempt_duration_seconds: histogram(
    'Duration of attempts.',
    ...[0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300],
  ),
  last_run_timestamp_seconds: gauge('Unix time at which the last run over the accounts ended.'),
  audit_failures_total: counter('Audit records that could not be written to the audit log.'),
  witness_requests_total: counter(
    'Checkpoints sent to witnesses by result: cosigned, failed, or refused (another history).',
    'result',
  ),
  receipts_written_total: counter('Receipts written. A receipt is an encrypted reset response.'),
  receipts_failed_total: counter('Receipts, or copies of receipts, that could not be written.'),
  saving_retries_total: counter('Retries to store a new password.'),
  oldest_notice_timestamp_seconds: gauge(
    'Unix time of the oldest notification that a receiver has not accepted.',
  ),
  notices_total: counter('Webhook notifications by result.', 'result'),
};

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
  /** What only the service knows, for rules that survive a restart. */
  readonly conditions?: readonly Sample[];
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

/** The counters of events. One with a label has the second word of the event as its value. */
const eventCounters: Partial<Record<RotationEvent['event'], MetricName>> = {
  'login.accepted': 'logins_total',
  'login.refused': 'logins_total',
  'login.unknown': 'logins_total',
  'login.not-sent': 'logins_total',
  'receipt.written': 'receipts_written_total',
  'receipt.failed': 'receipts_failed_total',
  'saving.retried': 'saving_retries_total',
  'audit.failed': 'audit_failures_total',
  'witness.cosigned': 'witness_requests_total',
  'witness.failed': 'witness_requests_total',
  'witness.refused': 'witness_requests_total',
};

export function samplesOfEvent(event: RotationEvent): Sample[] {
  if (event.event === 'secret.promoted')
    return sampleOf('dead_window_seconds', event.deadWindowMs, 1000);
  const name = eventCounters[event.event];
  if (name === undefined) return [];
  const [, result = ''] = event.event.split('.');
  return [{ name, value: 1, labels: metricTable[name].labels.length > 0 ? { result } : {} }];
}

export function samplesOfResult(result: Result): Sample[] {
  const { outcome, reason = 'none', startedAtMs, endedAtMs } = result;
  const seconds = Math.max(0, endedAtMs - startedAtMs) / 1000;
  return [
    { name: 'attempts_total', value: 1, labels: { outcome, reason } },
    { name: 'attempt_duration_seconds', value: seconds },
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

/** A sample of a value that can be unknown. */
export const sampleOf = (
  name: MetricName,
  value: number | undefined,
  divisor: number,
  labels: Labels = {},
): Sample[] => (value === undefined ? [] : [{ name, value: value / divisor, labels }]);
