// Findings on the audit records and the report of version 0.1, each as a test of the built program.
// ROTATOR_DIST names another build; with that of commit 03af53f every test here fails, in the way
// that its comment says:
//
//   ROTATOR_DIST=../v01/dist npm run jest -- test/e2e/report-findings

import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type BlackBox, documentOf, openBlackBox, type Ran } from '../harness/black-box.ts';
import { testPart } from '../harness/sample.ts';

/** A sixth of them in each run. */
const sampled = testPart(6);

const force = ['rotate', 'east', '--force'];
const noon = (date: string): { at: string } => ({ at: `${date} 12:00:00` });

/** Replaces keys of the configuration. */
function configure(box: BlackBox, keys: Readonly<Record<string, unknown>>): void {
  const file = join(box.folder, 'rotator.yaml');
  writeFileSync(file, JSON.stringify({ ...JSON.parse(readFileSync(file, 'utf8')), ...keys }));
}

const east = { name: 'east', secretId: 'thingspace/east' };

type Exception = {
  readonly id: string;
  readonly kind: string;
  readonly text: string;
  readonly acknowledgement: { readonly note: string } | null;
};

let reports = 0;

/** The report of a period that is made on a day: the rows of report.csv, and report.json. */
async function reportOf(box: BlackBox, from: string, to: string, madeOn: string) {
  reports += 1;
  const out = `report-${reports}`;
  const period = ['--from', from, '--to', to];
  const ran = await box.run(['audit', 'report', ...period, '--out', out], noon(madeOn));
  const read = (name: string): string => readFileSync(join(box.folder, out, name), 'utf8');
  if (!existsSync(join(box.folder, out))) throw new Error(ran.said);
  const [head = '', ...lines] = read('report.csv').replace('\ufeff', '').trimEnd().split('\r\n');
  const rows = lines.map((line) => {
    const cells = line.split(',');
    return Object.fromEntries(head.split(',').map((title, index) => [title, cells[index] ?? '']));
  });
  const json = JSON.parse(read('report.json'));
  return { rows, json, exceptions: json.exceptions as readonly Exception[], said: ran.said };
}

const standings = ({ rows }: Awaited<ReturnType<typeof reportOf>>) =>
  rows.map((row) => [row['account'], row['standing']]);

const recordsOf = (box: BlackBox, code: string) =>
  box.audit().filter(({ metadata }) => (metadata as { event_code: string }).event_code === code);

const recorded = (box: BlackBox, code: string) =>
  recordsOf(box, code).map((line) => (line['unmapped'] ?? {}) as Record<string, unknown>);

// On 03af53f: the account that was removed is not in the report, and no day is overdue under the
// limit of today.
sampled(
  'A2: a removed account and a higher limit change nothing about the days before',
  async () => {
    await using box = await openBlackBox();
    configure(box, { accounts: [east, { name: 'gone' }] });
    await box.run(force, noon('2025-01-02'));
    configure(box, { accounts: [east], policy: { maxAgeDays: 3000 } });
    await box.run(force, noon('2025-06-30'));

    const report = await reportOf(box, '2025-01-01', '2025-06-30', '2025-07-01');

    expect(standings(report)).toEqual([
      ['east', 'Inside'],
      ['gone', 'Removed'],
    ]);
    // From 2 April, when the password was 90 days old, to 30 June.
    expect(report.rows[0]).toMatchObject({
      days_overdue: '90',
      // The two processes start within the same second, one a little later than the other.
      largest_age_days: expect.stringMatching(/^179/),
    });
    expect(report.json.period_verdict).toMatchObject({ accounts: 2, compliant: 0, overdue: 1 });
  },
);

// On 03af53f: the account is exempt for ever.
sampled('A3: an exemption ends with its last day', async () => {
  await using box = await openBlackBox();
  const exempt = { who: 'ciso', why: 'decommissioned soon', until: '2025-02-28' };
  configure(box, { accounts: [{ ...east, exempt }] });
  await box.run(force, noon('2025-01-02'));

  const before = await reportOf(box, '2025-01-01', '2025-02-28', '2025-06-30');
  const after = await reportOf(box, '2025-01-01', '2025-06-29', '2025-06-30');

  expect([standings(before), standings(after)]).toEqual([
    [['east', 'Exempt']],
    [['east', 'Outside']],
  ]);
});

// On 03af53f: 72 days are `Pass`, because the limit of the fleet is 90 days.
sampled('A4: an account is judged by its own policy', async () => {
  await using box = await openBlackBox();
  const policy = { rotateAfterDays: 20, maxAgeDays: 30 };
  configure(box, { accounts: [{ ...east, policy }] });
  await box.run(force, noon('2025-01-02'));

  const { json } = await reportOf(box, '2025-01-01', '2025-03-14', '2025-03-15');

  expect(json.findings[0].compliance).toMatchObject({ status: 'Fail', status_code: 'outside' });
});

// On 03af53f: the log has no record of the attempt.
sampled('A5: an attempt that ends before the intent is in the log, with its reason', async () => {
  await using box = await openBlackBox();
  await box.thingspace.close();

  await box.run(force);

  const found = box.audit().filter(({ status_code }) => status_code === 'api-unavailable');
  expect(found).toMatchObject([
    { metadata: { event_code: 'attempt.failed' }, user: { account: { name: 'east' } } },
  ]);
});

// On 03af53f: "1 failed rotation (password-lost) of 1 account; nothing was changed."
sampled(
  'A6: the report does not say that nothing was changed when a password is lost',
  async () => {
    await using box = await openBlackBox({ receipts: 'none' });
    box.thingspace.arm({ fault: 'drop-after-commit', call: 'reset', count: 1 });
    await box.run(force, noon('2025-01-02'));
    await box.run(['recover', 'east'], noon('2025-01-03'));

    const { exceptions, rows } = await reportOf(box, '2025-01-01', '2025-01-31', '2025-02-01');

    expect(exceptions.map(({ text }) => text).join()).toContain('password-lost');
    expect(exceptions.map(({ text }) => text).join()).not.toContain('nothing was changed');
    expect(rows[0]).toMatchObject({ standing: 'Unknown' });
  },
);

// On 03af53f: the password is 0 days old after the recovery, in the report and in `status`.
sampled('A7: a password that is recovered 40 days after its reset is 40 days old', async () => {
  await using box = await openBlackBox({ store: 'secrets-manager', receipts: 'readable' });
  const day = (days: number) => {
    const time = new Date(Date.now() + days * 86_400_000).toISOString();
    return { at: time.slice(0, 19).replace('T', ' '), date: time.slice(0, 10) };
  };
  const program = box.start(force);
  box.secretsManager?.inject('PutSecretValue', 'silent', 1, 2);
  await program.until(box.secretsManager?.waitFor(({ fault }) => fault === 'silent'));
  await program.said('receipt.written');
  await program.kill();
  box.advance(40 * 86_400_000);
  await box.run(['recover', 'east'], day(40));

  const status = await box.run(['status'], day(40));
  const out = ['--from', day(0).date, '--to', 'now', '--out', 'report'];
  await box.run(['audit', 'report', ...out], day(40));
  const [head = '', line = ''] = readFileSync(join(box.folder, 'report/report.csv'), 'utf8')
    .split('\r\n')
    .map((text) => text.replace('\ufeff', ''));
  const row = Object.fromEntries(
    head.split(',').map((title, index) => [title, line.split(',')[index]]),
  );

  expect(Math.round(Number(status.lines[0]?.['ageDays']))).toBe(40);
  expect(row).toMatchObject({ last_change_by: 'recovery', age_days: expect.stringMatching(/^40/) });
});

// On 03af53f: the exception has no acknowledgement in the report of January.
sampled(
  'A8: an acknowledgement counts in the report of the period, whenever it is made',
  async () => {
    await using box = await openBlackBox();
    await box.run(force, noon('2025-01-02'));
    const input = documentOf({ password: box.live() });
    await box.run(['secret', 'put', 'east'], { ...noon('2025-01-10'), input });
    const first = await reportOf(box, '2025-01-01', '2025-01-31', '2025-02-01');
    const { id = '' } = first.exceptions.find(({ kind }) => kind === 'outside-change') ?? {};
    await box.run(['audit', 'acknowledge', id, '--note', 'planned work'], noon('2025-02-10'));

    const second = await reportOf(box, '2025-01-01', '2025-01-31', '2025-02-11');

    expect(second.exceptions.find((one) => one.id === id)).toMatchObject({
      acknowledgement: { note: 'planned work' },
    });
  },
);

// On 03af53f: two accounts, one of them unknown.
sampled(
  'A9: an account that was added later is not in the report of an earlier period',
  async () => {
    await using box = await openBlackBox();
    await box.run(force, noon('2025-01-02'));
    configure(box, { accounts: [east, { name: 'later' }] });
    await box.run(force, noon('2025-03-02'));

    const { json } = await reportOf(box, '2025-01-01', '2025-01-31', '2025-03-03');

    expect(json.verdict).toMatchObject({ accounts: 1, inside: 1, unknown: 0 });
  },
);

// On 03af53f: `intact`, although the log has been silent for 60 days.
sampled('A10: the report calls a log that has been silent incomplete', async () => {
  await using box = await openBlackBox();
  await box.run(force, noon('2025-01-02'));

  const { json } = await reportOf(box, '2025-01-01', '2025-03-02', '2025-03-03');

  expect(json.integrity.state).toBe('incomplete');
});

// On 03af53f: no record of either, the command line writes none; and the flag is unknown.
sampled('A12: the command line records inventory, policy and a run by cron', async () => {
  await using box = await openBlackBox();
  await box.run(force, noon('2025-01-02'));
  configure(box, { accounts: [east, { name: 'new' }], policy: { maxAgeDays: 80 } });

  await box.run(['rotate', 'east', '--force', '--trigger', 'schedule'], noon('2025-01-03'));

  expect(recorded(box, 'inventory.changed').map(({ change }) => change)).toEqual([
    'added',
    'added',
  ]);
  expect(recorded(box, 'policy.changed').map((one) => one['max_age_days'])).toEqual([90, 80]);
  expect(recorded(box, 'rotation.intended').map(({ trigger }) => trigger)).toEqual([
    'unattended',
    'schedule',
  ]);
});

// On 03af53f: a verification leaves no record.
sampled('A16: a verification and a report are records', async () => {
  await using box = await openBlackBox();
  await box.run(force, noon('2025-01-02'));

  await box.run(['audit', 'verify'], noon('2025-01-02'));
  await reportOf(box, '2025-01-01', '2025-01-02', '2025-01-02');

  expect(recorded(box, 'log.verified')).toMatchObject([{ state: 'intact' }]);
  expect(recorded(box, 'report.exported')).toMatchObject([
    { from: '2025-01-01', to: '2025-01-02' },
  ]);
  expect((await box.run(['audit', 'verify'], noon('2025-01-02'))).code).toBe(0);
});

// On 03af53f: no command that shows records leaves a record.
sampled('A16: whoever lists, shows or proves records is in the log', async () => {
  await using box = await openBlackBox();
  const outcomes = ['audit', 'list', '--event', 'rotation.outcome'];
  await box.run(['rotate', 'east', '--force']);

  const listed = await box.run(outcomes, { env: { SUDO_USER: 'mia' } });
  const codes = [
    (await box.run(['audit', 'show', '0'])).code,
    (await box.run(['audit', 'prove', '0', '--out', 'proof'])).code,
    (await box.run(['audit', 'show', '99999'])).code,
    (await box.run(['audit', 'verify'])).code,
  ];

  expect(codes).toEqual([0, 0, 2, 0]);
  const readings = recordsOf(box, 'log.read');
  expect(readings.map(({ status_detail }) => status_detail)).toEqual([
    'audit list --event rotation.outcome --json',
    'audit show 0 --json',
    'audit prove 0 --out proof --json',
  ]);
  expect(readings[0]).toMatchObject({ unmapped: { requested_by: 'mia', trigger: 'unattended' } });
  // Where no record can be written, the command says so, and shows what was asked for.
  renameSync(join(box.folder, 'audit.key'), join(box.folder, 'elsewhere'));
  const unrecorded = await box.run(outcomes);
  expect([unrecorded.code, unrecorded.lines]).toEqual([0, listed.lines]);
  expect(unrecorded.said).toContain('The audit log has no record of this command: ');
});

// On 03af53f: the user of the process, root.
sampled('A17: the user who called sudo is who requested it', async () => {
  await using box = await openBlackBox();

  await box.run(force, { env: { SUDO_USER: 'mia' } });

  expect(recorded(box, 'rotation.intended')).toMatchObject([{ requested_by: 'mia' }]);
});

// On 03af53f: the first password of the account is an exception.
sampled('A18: the first password of an account is no exception', async () => {
  await using box = await openBlackBox();
  configure(box, { accounts: [{ name: 'first', secretId: 'first' }] });
  const input = documentOf({ password: box.live() });
  await box.run(['secret', 'put', 'first'], { ...noon('2025-01-02'), input });

  const { exceptions, rows } = await reportOf(box, '2025-01-01', '2025-01-31', '2025-02-01');

  expect(exceptions.filter(({ kind }) => kind === 'outside-change')).toEqual([]);
  // Nobody said how old it is.
  expect(rows[0]).toMatchObject({ standing: 'Unknown', age_days: '' });
});

// On 03af53f: no rotation: 31 December is not in the period.
sampled('A19: the last day of the period is included', async () => {
  await using box = await openBlackBox();
  await box.run(force, noon('2025-12-31'));

  const { rows } = await reportOf(box, '2025-01-01', '2025-12-31', '2026-01-05');
  const listed = await box.run(['audit', 'list', '--until', '2025-12-31']);

  expect(rows[0]).toMatchObject({ rotations_ok: '1' });
  expect(listed.lines.length).toBeGreaterThan(0);
});

// On 03af53f: the option is unknown. Without it the password is 0 days old and compliant.
sampled('a date that a person gives is the age of a password that is stored by hand', async () => {
  await using box = await openBlackBox();
  const input = documentOf({ password: box.live() });
  const put = (...more: string[]): Promise<Ran> =>
    box.run(['secret', 'put', 'east', ...more], { ...noon('2025-01-02'), input });

  const refused = await put('--changed-at', '2025-02-30');
  await put('--changed-at', '2024-11-03');
  const known = await box.run(['status'], noon('2025-01-03'));
  const report = await reportOf(box, '2025-01-02', '2025-01-02', '2025-01-03');
  await put();
  const unknown = await box.run(['status'], noon('2025-01-03'));

  expect(refused.code).toBe(2);
  expect(known.lines).toMatchObject([{ ageDays: 61.5 }]);
  expect(report.rows[0]).toMatchObject({ age_days: '61' });
  expect(unknown.lines).toMatchObject([
    { ageDays: null, daysLeft: null, nextRotation: expect.stringMatching(/^2025-03-18T12/) },
  ]);
});

// On 03af53f: each of the three commands fails with audit-unavailable.
sampled('status, verify and report work when the audit log cannot be written', async () => {
  await using box = await openBlackBox();
  await box.run(force, noon('2025-01-02'));
  const writer = join(box.folder, 'audit/.writer');
  renameSync(writer, `${writer}.away`);
  // A file in place of the folder: no user can write into it.
  writeFileSync(writer, '');

  const status = await box.run(['status'], noon('2025-01-02'));
  const verify = await box.run(['audit', 'verify'], noon('2025-01-02'));
  const report = await reportOf(box, '2025-01-01', '2025-01-03', '2025-01-03');

  expect(status).toMatchObject({ code: 0, lines: [{ state: 'settled' }] });
  expect(verify.code).toBe(0);
  expect(verify.said).toContain('The audit log has no record of this command');
  expect(report.said).toContain('The audit log has no record of this command');
  expect(report.rows).toMatchObject([{ account: 'east', standing: 'Inside' }]);
});
