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
const histogram = (help: string, ...buckets: number[]): Metric => {
  return { type: 'histogram', help, labels: [], buckets };
};

export const metricPrefix = 'thingspace_rotator_';

export const metricTable = {
  build_info: gauge('Always 1. The label is the version of the program.', 'version'),
  password_age_days: gauge('Age of the current password in days.', 'account'),
  password_days_left: gauge(
    'Days until the password is older than maxAgeDays; negative when it is overdue.',
    'account',
  ),
  last_success_timestamp_seconds: gauge(
    'Unix time of the last attempt that ended without a failure.',
    'account',
  ),
  account_state: gauge(
    '1 for the state that the account is in, 0 for the other states.',
    'account',
    'state',
  ),
  account_enabled: gauge('1 when the schedule rotates the account, else 0.', 'account'),
  account_exempt: gauge('1 while the account is exempt from the policy, else 0.', 'account'),
  account_overdue: gauge(
    '1 when the password is older than maxAgeDays, unless the account is exempt or not enabled.',
    'account',
  ),
  account_stale: gauge(
    '1 when the status of the account rests on evidence that is too old or misdated, else 0.',
    'account',
  ),
  exempt_until_timestamp_seconds: gauge('Unix time at which the exemption ends.', 'account'),
  password_limit_days: gauge('The policy of the account: maxAgeDays.', 'account'),
  password_due_timestamp_seconds: gauge(
    'Unix time from which the policy of the account asks for a rotation.',
    'account',
  ),
  next_run_timestamp_seconds: gauge(
    'Unix time of the scheduled run that has to renew the evidence of the account.',
    'account',
  ),
  evidence_timestamp_seconds: gauge(
    'Unix time at which the secret store last showed the status of the account.',
    'account',
  ),
  failing_since_timestamp_seconds: gauge(
    'Unix time since which the account fails or is suspended, by the newest reason.',
    'account',
    'reason',
  ),
  last_receipt_timestamp_seconds: gauge(
    'Unix time of the last receipt that this process wrote.',
    'account',
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
  /** Only the service knows it. */
  readonly condition?: AccountCondition;
};

/** What the service knows of an account beyond its password. Times are UTC milliseconds. */
export type AccountCondition = {
  readonly isEnabled: boolean;
  readonly isExempt: boolean;
  readonly isOverdue: boolean;
  readonly isStale: boolean;
  readonly exemptUntilMs?: number | undefined;
  /** `maxAgeDays` of the policy. */
  readonly limitDays: number;
  readonly dueAtMs?: number | undefined;
  readonly nextRunMs: number;
  readonly evidenceAtMs?: number | undefined;
  readonly failing?: { readonly sinceMs: number; readonly reason: string } | undefined;
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
    case 'secret.promoted':
      return sampleOf('dead_window_seconds', event.deadWindowMs, 1000);
    case 'receipt.written':
      return [{ name: 'receipts_written_total', value: 1 }];
    case 'receipt.failed':
      return [{ name: 'receipts_failed_total', value: 1 }];
    case 'saving.retried':
      return [{ name: 'saving_retries_total', value: 1 }];
    case 'audit.failed':
      return [{ name: 'audit_failures_total', value: 1 }];
    case 'witness.cosigned':
    case 'witness.failed':
    case 'witness.refused': {
      const result = event.event.slice('witness.'.length);
      return [{ name: 'witness_requests_total', value: 1, labels: { result } }];
    }
    default:
      return [];
  }
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

/** The samples of an account that a scrape needs in addition, for rules that survive a restart. */
export function samplesOfCondition(account: string, condition: AccountCondition): Sample[] {
  const labels = { account };
  const { failing } = condition;
  const timeOf = (name: MetricName, ms: number | undefined) => sampleOf(name, ms, 1000, labels);
  return [
    { name: 'account_enabled', value: Number(condition.isEnabled), labels },
    { name: 'account_exempt', value: Number(condition.isExempt), labels },
    { name: 'account_overdue', value: Number(condition.isOverdue), labels },
    { name: 'account_stale', value: Number(condition.isStale), labels },
    { name: 'password_limit_days', value: condition.limitDays, labels },
    ...timeOf('exempt_until_timestamp_seconds', condition.exemptUntilMs),
    ...timeOf('password_due_timestamp_seconds', condition.dueAtMs),
    ...timeOf('next_run_timestamp_seconds', condition.nextRunMs),
    ...timeOf('evidence_timestamp_seconds', condition.evidenceAtMs),
    ...sampleOf('failing_since_timestamp_seconds', failing?.sinceMs, 1000, {
      account,
      reason: failing?.reason ?? '',
    }),
  ];
}

const sampleOf = (
  name: MetricName,
  value: number | undefined,
  divisor: number,
  labels: Labels = {},
): Sample[] => (value === undefined ? [] : [{ name, value: value / divisor, labels }]);
