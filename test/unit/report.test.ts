import { checkProof } from '../../src/audit/proof.ts';
import { formatRecord, uuidv7 } from '../../src/audit/record.ts';
import type { LoggedEvent } from '../../src/audit/schema.ts';
import { buildReport, type Report, type ReportOptions } from '../../src/report/build.ts';
import { reportCsv, reportJson } from '../../src/report/export.ts';
import { reportHtml } from '../../src/report/html.tsx';
import { daysOf } from '../../src/report/text.ts';
import {
  context,
  dayMs,
  intended,
  march,
  memorySource,
  origin,
  outcome,
} from '../harness/audit.ts';
import { fleetOf, hostileNames, reportOptions, yearOf } from '../harness/audit-year.ts';

const policy = { maxAgeDays: 90, rotateAfterDays: 75 };
type Timed = readonly [day: number, event: LoggedEvent];

/** The report over days 0 to 200 after 1 March of a log that holds these events. */
async function reportOf(
  events: readonly Timed[],
  more: Partial<ReportOptions> = {},
): Promise<Report> {
  const lines = events.map(([day, event], sequence) => {
    const timeMs = march + day * dayMs;
    return formatRecord(
      event,
      { uid: uuidv7(timeMs), sequence, timeMs, origin, batchRemaining: 0 },
      context,
    );
  });
  const endMs = march + 200 * dayMs;
  const base = {
    verifiers: [],
    fromMs: march,
    toMs: endMs,
    nowMs: endMs,
    origin,
    accounts: null,
    store: null,
    policy,
  };
  return (await buildReport({ ...base, source: memorySource(lines), ...more })).report;
}
const rowOf = ({ rows }: Report, account = 'a') => rows.find((row) => row.account === account);
const days = (ms: number | null | undefined): number | null => (ms == null ? null : ms / dayMs);
const kindsOf = ({ exceptions }: Report): string[] =>
  exceptions.filter(({ kind }) => kind !== 'integrity').map(({ kind }) => kind);
const rotation = (day: number, id: string, more: object = {}): Timed[] => [
  [day, intended(id, 'a', more)],
  [day, outcome(id, 'a', more)],
];

test('the largest age of the period covers every day, not only the last one', async () => {
  const report = await reportOf([
    ...rotation(10, 'r-1'),
    ...rotation(110, 'r-2', { ageDaysBefore: 100 }),
    ...rotation(180, 'r-3'),
  ]);

  const row = rowOf(report);
  expect([
    days(row?.ageMs),
    days(row?.largestAgeMs),
    days((row?.largestAtMs ?? 0) - march),
    row?.bucket,
  ]).toEqual([20, 100, 110, 'inside']);
  expect(report.verdict).toMatchObject({ inside: 1, outside: 0 });
  expect(report.period).toMatchObject({ accounts: 1, compliant: 0, overdue: 1 });
  expect(kindsOf(report)).toEqual(['over-age']);
  expect(report.exceptions.find(({ kind }) => kind === 'over-age')?.text).toBe(
    'The password was older than 90 days for 10 days, until 2026-06-19.',
  );
});

test('the age before the first rotation in the log is unknown', async () => {
  const report = await reportOf(rotation(5, 'r-1', { ageDaysBefore: 120 }));

  const row = rowOf(report);
  expect(days(row?.largestAgeMs)).toBe(195);
  expect(row?.days).toEqual({ all: 195, compliant: 90, overdue: 105, unknown: 0, exempt: 0 });
});

test('exactly 90 days is compliant, and a moment more is overdue and shown so', async () => {
  const at = async (day: number): Promise<string | undefined> =>
    rowOf(await reportOf(rotation(day, 'r-1')))?.bucket;
  expect([await at(110), await at(109.9999), await at(125), await at(124)]).toEqual([
    'soon',
    'outside',
    'inside',
    'soon',
  ]);
  expect([daysOf(90 * dayMs), daysOf(90 * dayMs + 1), daysOf(0)]).toEqual(['90.0', '90.1', '0.0']);
});

test('a rotation whose result was determined later counts from its intent', async () => {
  const report = await reportOf([
    ...rotation(10, 'r-1'),
    [80, intended('r-2', 'a')],
    [80, outcome('r-2', 'a', { status: 'unknown', certainty: 'in-doubt', reason: 'answer-lost' })],
    [85, outcome('r-2', 'a', { code: 'rotation.reconciled' })],
  ]);
  const row = rowOf(report);
  expect([days(row?.largestAgeMs), days(row?.ageMs), row?.lastChange?.by, row?.bucket]).toEqual([
    120,
    120,
    'recovery',
    'outside',
  ]);
  expect(row).toMatchObject({ succeeded: 2, unknown: 0 });
});

test('an account with an unknown or missing outcome is unknown, whatever its age', async () => {
  const doubtful: Timed[] = [...rotation(150, 'r-1'), [160, intended('r-2', 'a')]];
  const open = await reportOf(doubtful);
  const lost = await reportOf([
    ...doubtful,
    [160, outcome('r-2', 'a', { status: 'unknown', certainty: 'in-doubt', reason: 'answer-lost' })],
  ]);
  const cleared = await reportOf([
    ...doubtful,
    [
      160,
      outcome('r-2', 'a', { status: 'failure', certainty: 'unchanged', reason: 'reset-refused' }),
    ],
  ]);

  expect([open, lost, cleared].map((report) => rowOf(report)?.bucket)).toEqual([
    'unknown',
    'unknown',
    'inside',
  ]);
  expect([kindsOf(open), kindsOf(lost), kindsOf(cleared)]).toEqual([
    ['open-intent'],
    ['unknown-outcome'],
    ['failures'],
  ]);
  expect(open.population).toMatchObject({ attempts: 2, withOutcome: 1, open: 1 });
  expect(open.verdict).toMatchObject({ accounts: 1, inside: 0, unknown: 1 });
});

test('an acknowledged exception stays in the list, with the note', async () => {
  const open: Timed = [160, intended('r-2', 'a')];
  const note = 'checked by hand: the old password works';
  const acknowledged = await reportOf([
    open,
    [
      170,
      {
        code: 'exception.acknowledged',
        exceptionId: 'r-2',
        account: 'a',
        note,
        trigger: { kind: 'manual', requestedBy: 'mia' },
      },
    ],
  ]);

  const [exception] = acknowledged.exceptions.filter(({ kind }) => kind === 'open-intent');
  expect(exception).toMatchObject({
    id: 'r-2',
    isOpen: true,
    acknowledgement: { by: 'mia', note, sequence: 1 },
  });
  expect(rowOf(acknowledged)?.bucket).toBe('unknown');
});

test('a stored password that is not in the log is an exception', async () => {
  const events = rotation(180, 'r-1');
  const store = (day: number) => ({
    store: new Map([['a', { passwordSinceMs: march + day * dayMs, state: 'settled' }]]),
  });
  const newer = await reportOf(events, store(190));
  const older = await reportOf(events, store(50));
  const same = await reportOf(events, store(180.001));

  expect([newer, older, same].map(kindsOf)).toEqual([
    ['outside-change', 'unknown-age'],
    ['over-age', 'outside-change'],
    [],
  ]);
  expect([newer, older, same].map((report) => days(rowOf(report)?.ageMs))).toEqual([null, 150, 20]);
  expect(rowOf(newer)?.bucket).toBe('unknown');
  expect(newer.population.store).toEqual({ asked: 1, differing: 1, missing: [] });
  expect((await reportOf(events)).population.store).toBe('not performed');
});

test('a change by hand is an exception, and so is a suspension until its end', async () => {
  const report = await reportOf([
    ...rotation(10, 'r-1'),
    [
      80,
      {
        ...outcome('r-2', 'a', {
          status: 'failure',
          certainty: 'stopped',
          reason: 'login-refused',
          detail: 'no',
        }),
        code: 'account.stopped',
      },
    ],
    [
      90,
      {
        ...outcome('x', 'a', { trigger: { kind: 'manual', requestedBy: 'mia' } }),
        code: 'secret.changed',
      },
    ],
  ]);
  expect(kindsOf(report)).toEqual(['stop', 'outside-change', 'unknown-age']);
  expect(
    rowOf(report)?.stops.map(({ fromMs, toMs }) => [
      days(fromMs - march),
      days((toMs ?? 0) - march),
    ]),
  ).toEqual([[80, 90]]);
  expect(rowOf(report)?.lastChange).toMatchObject({ by: 'outside', actor: 'mia' });
});

test('the population adds up, and missing accounts are named', async () => {
  const added = (account: string): LoggedEvent => ({
    code: 'inventory.changed',
    change: 'added',
    account,
  });
  const removed = (account: string): LoggedEvent => ({
    code: 'inventory.changed',
    change: 'removed',
    account,
  });
  const events: Timed[] = [
    [-20, added('a')],
    [-20, added('b')],
    [10, added('c')],
    [20, removed('b')],
    [21, { code: 'inventory.summary', accounts: ['a', 'c'] }],
  ];
  const report = await reportOf(events, { accounts: ['a', 'd'] });

  expect(report.population).toMatchObject({
    atStart: 2,
    added: ['c'],
    removed: ['b'],
    atEnd: 2,
    inPeriod: 3,
    unseen: ['d'],
    unlisted: ['c'],
    summary: 'matches',
  });
  expect(report.population.atStart + 1 - 1).toBe(report.population.atEnd);
  expect(report.rows.map(({ account, bucket }) => [account, bucket])).toEqual([
    ['a', 'never'],
    ['c', 'never'],
    ['b', 'removed'],
  ]);
  expect(
    (await reportOf([...events, [22, { code: 'inventory.summary', accounts: ['a'] }]])).population
      .summary,
  ).toBe('differs');
});

test('an exemption counts from its record to its last day, and is shown', async () => {
  const exempt = (until: string): Timed => [
    20,
    {
      code: 'exemption.changed',
      change: 'added',
      account: 'a',
      exemptBy: 'ciso',
      exemptWhy: 'decommissioned in May',
      exemptUntil: until,
    },
  ];
  const [open, over] = [
    await reportOf([...rotation(10, 'r-1'), exempt('2026-12-31')]),
    await reportOf([...rotation(10, 'r-1'), exempt('2026-08-31')]),
  ];

  expect(open.verdict).toMatchObject({ inside: 0, outside: 0, exempt: 1 });
  expect(reportHtml(open)).toContain('decommissioned in May');
  expect(over.verdict).toMatchObject({ inside: 0, outside: 1, exempt: 0 });
  // The day 20, on which it was recorded, and the days up to 31 August; then overdue.
  expect(rowOf(over)?.days).toEqual({
    all: 190,
    compliant: 10,
    exempt: 164,
    overdue: 16,
    unknown: 0,
  });
});

test('records after the period do not change the report', async () => {
  const report = await reportOf([[150, intended('r-1', 'a')], ...rotation(210, 'r-2')]);
  expect(report.population).toMatchObject({ attempts: 1, open: 1, records: 1 });
  expect(rowOf(report)?.lastChange).toBeNull();
});

test('a sample has valid proofs, and one log draws the same rotations', async () => {
  const year = await yearOf(fleetOf(200));
  const { report, proofs } = await buildReport(reportOptions(year, { sampleCount: 7 }));
  const again = await buildReport(reportOptions(year, { sampleCount: 7 }));
  const other = await buildReport(
    reportOptions(await yearOf(fleetOf(200), { seed: 2 }), { sampleCount: 7 }),
  );

  expect(report.integrity).toMatchObject({ state: 'intact', previous: 'not given' });
  expect(report.population.attempts).toBe(report.population.withOutcome + report.population.open);
  expect(Object.values(report.buckets).reduce((sum, count) => sum + count)).toBe(200);
  // Every record of the seven, from the intent to the outcome.
  expect(report.samples.drawn.length).toBe(7);
  expect(proofs.map(({ file }) => file).sort()).toEqual(
    report.samples.drawn.flatMap(({ files }) => files).sort(),
  );
  expect(proofs.every(({ text }) => checkProof(text, year.verifiers).proven)).toBe(true);
  expect(again.report.samples).toEqual(report.samples);
  expect(other.report.samples.drawn).not.toEqual(report.samples.drawn);
});

test('the three files have the same facts and checkpoint, and no name can do harm', async () => {
  const year = await yearOf(hostileNames, { troubles: false });
  const { report } = await buildReport(reportOptions(year, { store: null }));
  const [html, csv, json] = [reportHtml(report), reportCsv(report), JSON.parse(reportJson(report))];
  const root = report.integrity.newest?.note.text.split('\n')[2] ?? 'none';

  expect([
    html.includes(root),
    csv.includes(root),
    json.integrity.checkpointText.includes(root),
  ]).toEqual([true, true, true]);
  expect(html).not.toMatch(/<script|<img|<link|<iframe|https?:\/\/(?!evil)/i);
  expect(html).not.toContain('\u202e');
  expect(csv.split('\r\n').filter((line) => /^[=+\-@]/.test(line))).toEqual([]);
  expect(csv.split('\r\n').length).toBe(report.rows.length + 2);
  expect(
    json.findings
      .map(({ resources }: { resources: { name: string }[] }) => resources[0]?.name)
      .sort(),
  ).toEqual([...hostileNames].sort());
  expect(json.verdict.text).toBe(
    '9 of 9 accounts were compliant on 2026-10-31; 0 overdue; 0 unknown.',
  );
});

test('report.csv follows RFC 4180 with a byte order mark, and has no formula', async () => {
  const { report } = await buildReport(reportOptions(await yearOf(hostileNames)));

  const csv = reportCsv(report);
  expect(csv.startsWith('\ufeffaccount,username,secret_id,standing,')).toBe(true);
  expect(csv).toContain('"\'=HYPERLINK(""http://evil"",""click"")",');
  expect(csv.endsWith('\r\n')).toBe(true);
});

test('every link of the page has a target, and every number the records behind it', async () => {
  const { report } = await buildReport(reportOptions(await yearOf(fleetOf(120))));
  const html = reportHtml(report);

  const [targets, ids] = ['href="#', ' id="'].map(
    (mark) =>
      new Set(
        html
          .split(mark)
          .slice(1)
          .map((rest) => rest.split('"')[0]),
      ),
  );
  expect([...(targets ?? [])].filter((target) => !ids?.has(target))).toEqual([]);
  for (const row of report.rows)
    for (const { records } of row.attempts) expect(html).toContain(records.join(' and '));
  // Fifty strips and one band for the rest.
  expect(html.match(/<svg class="strip"[^>]*role="img"/g)).toHaveLength(51);
});

// ocsf/ocsf-schema 1.5.0: events/findings/finding.json, compliance_finding.json,
// objects/compliance.json, finding_info.json.
test('every account is an OCSF Compliance Finding with what class 2003 requires', async () => {
  const { report } = await buildReport(reportOptions(await yearOf(fleetOf(3))));
  for (const finding of JSON.parse(reportJson(report)).findings) {
    expect(finding).toMatchObject({
      activity_id: 1,
      category_uid: 2,
      class_uid: 2003,
      type_uid: 200301,
      time: report.madeAtMs,
      severity_id: expect.any(Number),
      compliance: { standards: expect.any(Array), status_id: expect.any(Number) },
      finding_info: { uid: expect.any(String) },
      metadata: { version: '1.5.0', product: { name: 'thingspace-rotator' } },
    });
  }
});

test('the report of an altered log says so at the top, and has no proofs', async () => {
  const year = await yearOf(fleetOf(2), { days: 120 });
  const lines = year.lines.map((line, index) =>
    index === 40 ? line.replace('Success', 'Failure') : line,
  );
  const stored = await year.source.checkpoints();
  const checkpoints = await Promise.all(stored.map((one) => one.read()));
  const { report, proofs } = await buildReport(
    reportOptions(year, { source: memorySource(lines, checkpoints) }),
  );

  expect(report.integrity.state).toBe('altered');
  expect(reportHtml(report)).toContain('The log was altered. This report cannot be relied upon');
  expect(report.exceptions[0]?.kind).toBe('integrity');
  expect(proofs).toEqual([]);
});
