import { expect, test } from '@jest/globals';
import { failures } from '../../src/rotation/failure.ts';
import type { Result } from '../../src/rotation/state.ts';
import type { AccountFigures } from '../../src/telemetry/metrics.ts';
import { figuresOf, openMetrics } from '../../src/telemetry/prometheus.ts';
import { entryOf, nowMs as pageNowMs } from '../harness/serve-pages.ts';

const nowMs = 1_795_470_000_000;

const rotated: Result = {
  account: 'fleet-east',
  secretId: 'thingspace/fleet-east',
  outcome: 'rotated',
  certainty: 'rotated',
  logins: 2,
  startedAtMs: 1_000,
  endedAtMs: 3_400,
  next: '',
};

async function open(figures: () => AccountFigures[] = () => []) {
  const metrics = await openMetrics({ figures, clock: { nowMs: () => nowMs }, version: '0.1.0' });
  const value = async (series: string): Promise<string | undefined> => {
    const { text } = await metrics.expose();
    return text
      .split('\n')
      .find((line) => line.startsWith(`thingspace_rotator_${series} `))
      ?.split(' ')
      .at(-1);
  };
  return { metrics, value };
}

test('every counter of an alert starts at 0, so that its first increase is seen', async () => {
  const { metrics } = await open();

  const { text, contentType } = await metrics.expose();

  expect(contentType).toContain('text/plain');
  for (const [reason, { certainty }] of Object.entries(failures)) {
    const outcome = certainty === 'stopped' || certainty === 'lost' ? 'stopped' : 'failed';
    expect(text).toContain(
      `thingspace_rotator_attempts_total{outcome="${outcome}",reason="${reason}"} 0\n`,
    );
  }
  for (const result of ['accepted', 'refused', 'unknown', 'not-sent'])
    expect(text).toContain(`thingspace_rotator_logins_total{result="${result}"} 0\n`);
  for (const name of ['audit_failures_total', 'receipts_written_total', 'saving_retries_total'])
    expect(text).toContain(`thingspace_rotator_${name} 0\n`);
});

test('the names are those that the alerts and the dashboard use, and no others', async () => {
  const { metrics } = await open();

  const { text } = await metrics.expose();

  expect(text.match(/^# TYPE \S+ \S+$/gm)).toEqual([
    '# TYPE thingspace_rotator_build_info gauge',
    '# TYPE thingspace_rotator_password_age_days gauge',
    '# TYPE thingspace_rotator_password_days_left gauge',
    '# TYPE thingspace_rotator_last_success_timestamp_seconds gauge',
    '# TYPE thingspace_rotator_account_state gauge',
    '# TYPE thingspace_rotator_account_enabled gauge',
    '# TYPE thingspace_rotator_account_exempt gauge',
    '# TYPE thingspace_rotator_account_overdue gauge',
    '# TYPE thingspace_rotator_account_stale gauge',
    '# TYPE thingspace_rotator_exempt_until_timestamp_seconds gauge',
    '# TYPE thingspace_rotator_password_limit_days gauge',
    '# TYPE thingspace_rotator_password_due_timestamp_seconds gauge',
    '# TYPE thingspace_rotator_next_run_timestamp_seconds gauge',
    '# TYPE thingspace_rotator_evidence_timestamp_seconds gauge',
    '# TYPE thingspace_rotator_failing_since_timestamp_seconds gauge',
    '# TYPE thingspace_rotator_last_receipt_timestamp_seconds gauge',
    '# TYPE thingspace_rotator_last_event_timestamp_seconds gauge',
    '# TYPE thingspace_rotator_ready gauge',
    '# TYPE thingspace_rotator_clock_timestamp_seconds gauge',
    '# TYPE thingspace_rotator_attempts_total counter',
    '# TYPE thingspace_rotator_logins_total counter',
    '# TYPE thingspace_rotator_dead_window_seconds histogram',
    '# TYPE thingspace_rotator_attempt_duration_seconds histogram',
    '# TYPE thingspace_rotator_last_run_timestamp_seconds gauge',
    '# TYPE thingspace_rotator_audit_failures_total counter',
    '# TYPE thingspace_rotator_witness_requests_total counter',
    '# TYPE thingspace_rotator_receipts_written_total counter',
    '# TYPE thingspace_rotator_receipts_failed_total counter',
    '# TYPE thingspace_rotator_saving_retries_total counter',
    '# TYPE thingspace_rotator_oldest_notice_timestamp_seconds gauge',
    '# TYPE thingspace_rotator_notices_total counter',
  ]);
});

test('an attempt is counted with outcome, reason, duration and outage window', async () => {
  const { metrics, value } = await open();

  metrics.recordResult(rotated);
  metrics.recordResult({
    ...rotated,
    outcome: 'failed',
    certainty: 'unchanged',
    reason: 'store-unavailable',
  });
  metrics.observe({ event: 'login.accepted', account: 'fleet-east', credential: 'current' });
  metrics.observe({
    event: 'secret.promoted',
    account: 'fleet-east',
    versionId: 'v',
    deadWindowMs: 840,
  });
  metrics.observe({ event: 'receipt.written', account: 'fleet-east', place: '/receipts/x' });
  metrics.observe({
    event: 'saving.retried',
    account: 'a',
    step: 'store',
    tries: 1,
    waitMs: 0,
    reason: 'store-unavailable',
    detail: '',
  });
  metrics.observe({ event: 'audit.failed', account: '*', detail: '' });
  metrics.recordRun(1_795_464_000_000);
  metrics.recordDelivery('delivered', 3);

  expect(await value('attempts_total{outcome="rotated",reason="none"}')).toBe('1');
  expect(await value('attempts_total{outcome="failed",reason="store-unavailable"}')).toBe('1');
  expect(await value('dead_window_seconds_sum')).toBe('0.84');
  expect(await value('dead_window_seconds_count')).toBe('1');
  expect(await value('attempt_duration_seconds_sum')).toBe('4.8');
  expect(await value('logins_total{result="accepted"}')).toBe('1');
  expect(await value('receipts_written_total')).toBe('1');
  expect(await value('saving_retries_total')).toBe('1');
  expect(await value('audit_failures_total')).toBe('1');
  expect(await value('last_run_timestamp_seconds')).toBe('1795464000');
  expect(await value('notices_total{result="delivered"}')).toBe('3');
});

test('ages are read at the scrape, and a removed account leaves no series behind', async () => {
  const fleet: AccountFigures[] = [
    {
      account: 'fleet-east',
      state: 'settled',
      ageDays: 41.5,
      daysLeft: 48.5,
      lastSuccessMs: 1_795_464_000_000,
    },
    { account: 'fleet-west', state: 'stopped' },
  ];
  const { metrics, value } = await open(() => fleet);
  const before = await value('password_age_days{account="fleet-east"}');
  const state = await value('account_state{account="fleet-west",state="stopped"}');
  const other = await value('account_state{account="fleet-west",state="settled"}');
  const unknownAge = await value('password_age_days{account="fleet-west"}');

  fleet.shift();
  const { text } = await metrics.expose();

  expect([before, state, other, unknownAge]).toEqual(['41.5', '1', '0', undefined]);
  expect(text).not.toContain('fleet-east');
});

// Part of finding S8. 0.1 had no metric of the policy, the schedule, the readiness or an exemption.
test('a scrape says of each account what the policy and the schedule ask for', async () => {
  const [day, hour] = [86_400_000, 3_600_000];
  const exempt = { who: 'CISO', why: 'a laboratory', until: '2026-12-31' };
  const limits = { rotateAfterDays: 50, maxAgeDays: 60 };
  const entries = [
    entryOf('fleet-east', 76, { evidenceAtMs: pageNowMs - hour, lastSuccessMs: pageNowMs - hour }),
    entryOf('lab', 97, {
      account: { name: 'lab', secretId: 'lab', enabled: true, exempt },
      policy: limits,
    }),
    entryOf('depot-09', 79, {
      state: 'stopped',
      reason: 'password-lost',
      failingSinceMs: pageNowMs - 3 * day,
      nextRunMs: pageNowMs - 3 * hour,
    }),
  ];
  const metrics = await openMetrics({
    figures: () => figuresOf(entries, pageNowMs),
    readiness: () => ({
      atMs: pageNowMs - 60_000,
      checks: [
        { check: 'store', ok: true },
        { check: 'audit', ok: false },
      ],
    }),
    clock: { nowMs: () => pageNowMs },
    version: '0.1.0',
  });
  metrics.observe({ event: 'audit.failed', account: '*', detail: '' });
  metrics.observe({ event: 'receipt.written', account: 'fleet-east', place: '/receipts/x' });

  const { text } = await metrics.expose();

  const shown = text
    .split('\n')
    .filter((line) => /\{(account|event|check)="/.test(line) && !line.includes('state='))
    .map((line) => line.replace('thingspace_rotator_', ''));
  const second = (ms: number): string => String(ms / 1000);
  expect(shown).toEqual([
    'password_age_days{account="fleet-east"} 76',
    'password_age_days{account="lab"} 97',
    'password_days_left{account="fleet-east"} 14',
    'password_days_left{account="lab"} -37',
    `last_success_timestamp_seconds{account="fleet-east"} ${second(pageNowMs - hour)}`,
    'account_enabled{account="fleet-east"} 1',
    'account_enabled{account="lab"} 1',
    'account_enabled{account="depot-09"} 1',
    'account_exempt{account="fleet-east"} 0',
    'account_exempt{account="lab"} 1',
    'account_exempt{account="depot-09"} 0',
    'account_overdue{account="fleet-east"} 0',
    'account_overdue{account="lab"} 0',
    'account_overdue{account="depot-09"} 0',
    'account_stale{account="fleet-east"} 0',
    'account_stale{account="lab"} 0',
    'account_stale{account="depot-09"} 1',
    `exempt_until_timestamp_seconds{account="lab"} ${second(Date.UTC(2027, 0, 1))}`,
    'password_limit_days{account="fleet-east"} 90',
    'password_limit_days{account="lab"} 60',
    'password_limit_days{account="depot-09"} 90',
    `password_due_timestamp_seconds{account="fleet-east"} ${second(pageNowMs - day)}`,
    `password_due_timestamp_seconds{account="lab"} ${second(pageNowMs - 47 * day)}`,
    `next_run_timestamp_seconds{account="fleet-east"} ${second(pageNowMs + day / 2)}`,
    `next_run_timestamp_seconds{account="lab"} ${second(pageNowMs + day / 2)}`,
    `next_run_timestamp_seconds{account="depot-09"} ${second(pageNowMs - 3 * hour)}`,
    `evidence_timestamp_seconds{account="fleet-east"} ${second(pageNowMs - hour)}`,
    `evidence_timestamp_seconds{account="lab"} ${second(pageNowMs - 17 * 60_000)}`,
    `evidence_timestamp_seconds{account="depot-09"} ${second(pageNowMs - 17 * 60_000)}`,
    'failing_since_timestamp_seconds{account="depot-09",reason="password-lost"} ' +
      second(pageNowMs - 3 * day),
    `last_receipt_timestamp_seconds{account="fleet-east"} ${second(pageNowMs)}`,
    `last_event_timestamp_seconds{event="audit.failed"} ${second(pageNowMs)}`,
    'ready{check="store"} 1',
    'ready{check="audit"} 0',
  ]);
});

test('an account name cannot break out of its label', async () => {
  const { metrics } = await open(() => [
    { account: 'a"} 1\nevil{x="\\', state: 'settled', ageDays: 1, daysLeft: 89 },
  ]);

  const { text } = await metrics.expose();

  expect(text).toContain(
    'thingspace_rotator_password_age_days{account="a\\"} 1\\nevil{x=\\"\\\\"} 1\n',
  );
});

test('a thousand accounts are exposed, with every state of each', async () => {
  const fleet = Array.from({ length: 1000 }, (_, index) => ({
    account: `fleet-${index}`,
    state: 'settled' as const,
    ageDays: 1,
    daysLeft: 89,
  }));
  const { metrics } = await open(() => fleet);

  const { text } = await metrics.expose();

  expect(text.match(/account_state\{/g)).toHaveLength(7000);
});
