// Metrics as log lines: the same names and labels as /metrics, in the shape that CloudWatch reads.

import type { RotationEvent } from '../../src/rotation/event.ts';
import type { Result } from '../../src/rotation/state.ts';
import { createEmfMetrics } from '../../src/telemetry/emf.ts';
import { openMetrics } from '../../src/telemetry/prometheus.ts';

/** A function has no webhook and no schedule, and its version is in the log. */
const serviceOnly = [
  'build_info',
  'notices_total',
  'oldest_notice_timestamp_seconds',
  'account_enabled',
  'account_exempt',
  'account_overdue',
  'account_stale',
  'exempt_until_timestamp_seconds',
  'password_limit_days',
  'password_due_timestamp_seconds',
  'next_run_timestamp_seconds',
  'evidence_timestamp_seconds',
  'failing_since_timestamp_seconds',
  'last_receipt_timestamp_seconds',
  'last_event_timestamp_seconds',
  'ready',
  'clock_timestamp_seconds',
].map((name) => `thingspace_rotator_${name}`);

const result: Result = {
  account: 'east',
  secretId: 'thingspace/east',
  outcome: 'rotated',
  certainty: 'rotated',
  logins: 2,
  startedAtMs: 1_000,
  endedAtMs: 3_500,
  next: '',
};
const figures = {
  account: 'east',
  state: 'settled',
  ageDays: 12.5,
  daysLeft: 77.5,
  lastSuccessMs: 5_000,
} as const;
const events: RotationEvent[] = [
  { event: 'login.accepted', account: 'east', credential: 'current' },
  { event: 'receipt.written', account: 'east', place: 'the log' },
  { event: 'receipt.failed', account: 'east', detail: '' },
  { event: 'secret.promoted', account: 'east', versionId: 'v', deadWindowMs: 80 },
  {
    event: 'saving.retried',
    account: 'east',
    step: 'store',
    tries: 1,
    waitMs: 0,
    reason: 'store-unavailable',
    detail: '',
  },
  { event: 'audit.failed', account: 'east', detail: '' },
  { event: 'witness.cosigned', account: '*', witness: 'w1' },
];

type Line = {
  _aws: {
    Timestamp: number;
    CloudWatchMetrics: {
      Namespace: string;
      Dimensions: string[][];
      Metrics: { Name: string; Unit: string }[];
    }[];
  };
} & Record<string, unknown>;

const policy = { rotateAfterDays: 75, maxAgeDays: 90 };
const judged = { policy, isExempt: false };

/** A recorder, and the lines that it wrote so far. */
function opened(byAccount: boolean) {
  const lines: Line[] = [];
  const emf = createEmfMetrics({
    namespace: 'Test',
    byAccount,
    writeLine: (line) => lines.push(JSON.parse(line)),
    nowMs: () => 10_000,
  });
  return { emf, lines };
}

function everything(byAccount = true): Line[] {
  const { emf, lines } = opened(byAccount);
  for (const event of events) emf.observe(event);
  emf.recordResult(result, judged);
  emf.recordAccount(figures, false);
  emf.recordRun();
  return lines;
}

test('a function writes the metrics of the service, with the same names and labels', async () => {
  const service = await openMetrics({
    version: '1',
    figures: () => [figures],
    clock: { nowMs: () => 9_000 },
  });
  for (const event of events) service.observe(event);
  service.recordResult(result);
  service.recordRun(10_000);
  const { text } = await service.expose();
  const names = [...text.matchAll(/^# TYPE (\S+)/gm)]
    .map((found) => found[1])
    .filter((name) => !serviceOnly.includes(name ?? ''));

  const lines = everything();
  const emitted = lines.flatMap(({ _aws }) =>
    _aws.CloudWatchMetrics.flatMap(({ Metrics }) => Metrics.map(({ Name }) => Name)),
  );
  expect([...new Set(emitted)].sort()).toEqual(names.sort());
  const labels = [...text.matchAll(/\{([^}]*)\}/g)].flatMap((found) =>
    [...(found[1] ?? '').matchAll(/(\w+)="/g)].map((label) => label[1]),
  );
  for (const { _aws } of lines)
    expect(labels).toEqual(
      expect.arrayContaining(_aws.CloudWatchMetrics.flatMap(({ Dimensions }) => Dimensions.flat())),
    );
});

test('every metric and dimension that a line declares has a value in the line', () => {
  for (const line of everything()) {
    for (const { Namespace, Dimensions, Metrics } of line._aws.CloudWatchMetrics) {
      expect(Namespace).toBe('Test');
      for (const name of Dimensions.flat()) expect(typeof line[name]).toBe('string');
      for (const { Name } of Metrics) expect([line[Name]].flat().every(Number.isFinite)).toBe(true);
    }
  }
});

test('the alarms find their metrics under the dimensions that they use', () => {
  const sets = (name: string): string[][] =>
    everything().flatMap(({ _aws }) =>
      _aws.CloudWatchMetrics.flatMap(({ Metrics, Dimensions }) =>
        Metrics.some(({ Name }) => Name === `thingspace_rotator_${name}`) ? Dimensions : [],
      ),
    );

  expect(sets('password_days_left')).toEqual(expect.arrayContaining([[], ['account']]));
  expect(sets('attempts_total')).toEqual(expect.arrayContaining([['outcome'], ['reason']]));
  expect(sets('account_state')).toContainEqual(['state']);
  for (const name of [
    'last_run_timestamp_seconds',
    'saving_retries_total',
    'audit_failures_total',
    'receipts_written_total',
  ])
    expect(sets(name)).toContainEqual([]);
});

test('without metrics per account their number does not grow with the fleet', () => {
  const lines = everything(false).filter((line) => 'thingspace_rotator_password_age_days' in line);

  expect(
    lines.flatMap(({ _aws }) => _aws.CloudWatchMetrics.flatMap(({ Dimensions }) => Dimensions)),
  ).toEqual([[]]);
  expect(lines.map((line) => line['account'])).toEqual(['east']);
});

test('a line is written when its event happens, and not when the function ends', () => {
  const { emf, lines } = opened(false);

  const counts = events.map((event) => {
    emf.observe(event);
    return lines.length;
  });

  expect(counts).toEqual(events.map((_, index) => index + 1));
});

test('a result says how old the password of its account is, by the policy', () => {
  const dayMs = 86_400_000;
  const { emf, lines } = opened(false);

  emf.recordResult({ ...result, endedAtMs: 100 * dayMs, dueAtMs: 95 * dayMs }, judged);

  expect(lines).toContainEqual(
    expect.objectContaining({
      account: 'east',
      thingspace_rotator_password_age_days: 80,
      thingspace_rotator_password_days_left: 10,
    }),
  );
});

test('an exempt account has no limit, so that its age alarms nobody', () => {
  const { emf, lines } = opened(false);

  emf.recordAccount({ ...figures, ageDays: 200, daysLeft: -110 }, true);

  const text = JSON.stringify(lines);
  expect(text).toContain('password_age_days');
  expect(text).not.toContain('password_days_left');
});

test('an attempt that finds another process at work is not counted as failed', () => {
  const { emf, lines } = opened(false);

  emf.recordResult(
    { ...result, outcome: 'failed', certainty: 'unchanged', reason: 'busy' },
    judged,
  );

  expect(lines).toContainEqual(
    expect.objectContaining({
      outcome: 'busy',
      reason: 'busy',
      thingspace_rotator_attempts_total: 1,
    }),
  );
  expect(lines).toContainEqual(expect.objectContaining({ account: 'east', state: 'busy' }));
});
