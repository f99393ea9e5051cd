import { tables } from '../../src/html/tables.ts';
import { buildReport } from '../../src/report/build.ts';
import { reportCsv, reportJson } from '../../src/report/export.ts';
import { reportHtml } from '../../src/report/html.tsx';
import { dayMs } from '../../src/time.ts';
import { origin } from '../harness/audit.ts';
import {
  eventsOfScript,
  hourMs,
  hoursOfYear,
  type Script,
  scriptOf,
  sourceOf,
  startMs,
} from '../harness/report-history.ts';
import { type Truth, truthOf } from '../harness/report-truth.ts';

/** `REPORT_YEARS=200` judges 200 years of 20 accounts; by default a sample. */
const years = Number(process.env['REPORT_YEARS'] ?? 6);

type Events = ReturnType<typeof eventsOfScript>;

async function reportOf(events: Events, from: number, end: number) {
  const endMs = startMs + end * hourMs;
  const { report } = await buildReport({
    source: sourceOf(events),
    verifiers: [],
    fromMs: startMs + from * hourMs,
    toMs: endMs,
    nowMs: endMs,
    origin,
    accounts: null,
    store: null,
    policy: { maxAgeDays: 1, rotateAfterDays: 1 },
  });
  return report;
}

const standings = {
  compliant: 'Inside',
  soon: 'Due soon',
  overdue: 'Outside',
  never: 'Never rotated',
  unknown: 'Unknown',
  exempt: 'Exempt',
  removed: 'Removed',
};
const daysOf = (hours: number | null): string =>
  hours === null ? '' : String(Math.ceil((hours * 10) / 24) / 10);
const timeOf = (hour: number | null): string =>
  hour === null ? '' : new Date(startMs + hour * hourMs).toISOString().replace('.000Z', 'Z');

/** The cells of report.csv by account and column. */
function cellsOf(csv: string): Record<string, Record<string, string>> {
  const [head = '', ...lines] = csv.replace('\ufeff', '').trimEnd().split('\r\n');
  const titles = head.split(',');
  return Object.fromEntries(
    lines.map((line) => {
      const cells = line.match(/(?<=^|,)("([^"]|"")*"|[^,]*)/g) ?? [];
      const row = Object.fromEntries(titles.map((title, index) => [title, cells[index] ?? '']));
      return [row['account'], row];
    }),
  );
}

const judged = [
  'standing',
  'age_days',
  'largest_age_days',
  'next_due',
  'days',
  'days_compliant',
  'days_overdue',
  'days_unknown',
  'days_exempt',
  'max_age_days',
  'rotations_ok',
  'rotations_failed',
  'rotations_unknown',
];

function truthInCsv({ accounts }: Truth): Record<string, Record<string, string>> {
  return Object.fromEntries(
    Object.entries(accounts).map(([name, one]) => {
      const { compliant, overdue, unknown, exempt } = one.days;
      const values = [
        standings[one.standing],
        daysOf(one.age),
        daysOf(one.largestAge),
        timeOf(one.nextDue),
        ...[compliant + overdue + unknown + exempt, compliant, overdue, unknown, exempt],
        one.limits.maxAgeDays,
        ...[one.succeeded, one.failed, one.unknown],
      ].map(String);
      return [name, Object.fromEntries(judged.map((title, index) => [title, values[index] ?? '']))];
    }),
  );
}

/** The totals of report.json. */
function truthInJson(truth: Truth) {
  const all = Object.values(truth.accounts);
  const count = (isIn: (one: (typeof all)[number]) => boolean): number => all.filter(isIn).length;
  const standing = (...of: readonly string[]): number => count((one) => of.includes(one.standing));
  const attempts = all.reduce((sum, one) => sum + one.succeeded + one.failed + one.unknown, 0);
  const [overdue, unknown, exempt] = [
    count(({ days }) => days.overdue > 0),
    count(({ days }) => days.overdue === 0 && days.unknown > 0),
    count(({ days }) => days.overdue + days.unknown === 0 && days.exempt > 0),
  ];
  return {
    verdict: {
      accounts: all.length - standing('removed'),
      inside: standing('compliant', 'soon'),
      outside: standing('overdue'),
      unknown: standing('never', 'unknown'),
      exempt: standing('exempt'),
    },
    period_verdict: {
      accounts: all.length,
      compliant: all.length - overdue - unknown - exempt,
      overdue,
      unknown,
      exempt,
    },
    days: truth.days,
    population: {
      atStart: truth.atStart,
      added: truth.added,
      removed: truth.removed,
      inPeriod: all.length,
      attempts,
      open: truth.open,
      withOutcome: attempts - truth.open,
    },
  };
}

/** The text of the cells of report.html by account and column, and the statements. */
function foundInHtml(html: string) {
  const textOf = (markup = ''): string => markup.replace(/<[^>]*>/g, '');
  const table = html.slice(html.indexOf('<h2 id="accounts">'), html.indexOf('<h2 id="history">'));
  const rows = [...table.matchAll(/<tr><th scope="row">(.*?)<\/th>(.*?)<\/tr>/g)].map(
    ([, name, cells = '']) => {
      const columns = [...cells.matchAll(/<td>(.*?)<\/td>/g)];
      return [
        textOf(name),
        Object.fromEntries(
          columns.map(([, cell], index) => [tables.accounts[index + 1]?.[0], textOf(cell)]),
        ),
      ] as const;
    },
  );
  const statements = [...html.matchAll(/<strong>(.*?)<\/strong>/g)].map(([, text]) => textOf(text));
  return { rows: Object.fromEntries(rows), statements };
}

function truthInHtml({ accounts }: Truth) {
  const decimals = (hours: number | null): string =>
    hours === null ? '' : (Math.ceil((hours * 10) / 24) / 10).toFixed(1);
  return Object.fromEntries(
    Object.entries(accounts).map(([name, one]) => {
      const { compliant, overdue, unknown, exempt } = one.days;
      return [
        name,
        {
          'Days compliant / overdue / unknown / exempt': [compliant, overdue, unknown, exempt].join(
            ' / ',
          ),
          'Age, days': decimals(one.age),
          'Largest age, days': expect.stringMatching(
            new RegExp(`^${decimals(one.largestAge).replace('.', '\\.')}( on .*)?$`),
          ),
          'Limit, days': String(one.limits.maxAgeDays),
          'Next due': one.nextDue === null ? '' : timeOf(one.nextDue).slice(0, 10),
          'Attempts succeeded / failed / unknown': [one.succeeded, one.failed, one.unknown].join(
            ' / ',
          ),
        },
      ];
    }),
  );
}

/** A year is reported in total, and in a part that begins and ends at any hour. */
function periodsOf(seed: number): [from: number, end: number][] {
  const from = (seed * 997) % 4_000;
  return [
    [0, hoursOfYear],
    [from, from + 1 + ((seed * 7_919) % 4_700)],
  ];
}

test('every number of the report is what happened, in random histories', async () => {
  for (let seed = 1; seed <= years; seed += 1) {
    const script = scriptOf(seed, 20);
    const events = eventsOfScript(script);
    for (const [from, end] of periodsOf(seed)) {
      const report = await reportOf(events, from, end);
      const truth = truthOf(script, from, end);
      const cells = cellsOf(reportCsv(report));
      const found = Object.fromEntries(
        Object.entries(cells).map(([name, row]) => [
          name,
          Object.fromEntries(judged.map((title) => [title, row[title]])),
        ]),
      );

      expect({ seed, from, end, found }).toEqual({ seed, from, end, found: truthInCsv(truth) });
      const totals = truthInJson(truth);
      expect(JSON.parse(reportJson(report))).toMatchObject(totals);
      for (const [kind, count] of Object.entries(truth.exceptions))
        expect([kind, report.exceptions.filter((one) => one.kind === kind).length]).toEqual([
          kind,
          count,
        ]);
      const page = foundInHtml(reportHtml(report));
      expect(Object.keys(page.rows).sort()).toEqual(Object.keys(truth.accounts).sort());
      expect(page.rows).toMatchObject(truthInHtml(truth));
      const { verdict, period_verdict: period } = totals;
      expect(page.statements[0]).toContain(`${verdict.inside} of ${verdict.accounts} account`);
      expect(page.statements[0]).toContain(
        `; ${verdict.outside} overdue; ${verdict.unknown} unknown`,
      );
      expect(page.statements[1]).toContain(`${period.compliant} of ${period.accounts} account`);
      expect(page.statements[1]).toContain(
        `; ${period.overdue} overdue on at least one day; ${period.unknown} unknown`,
      );
    }
  }
}, 3_600_000);

/** What somebody could do at an hour to improve a report. */
const cosmetics: readonly ((script: Script, at: number) => Script)[] = [
  (script, at) => ({
    ...script,
    accounts: script.accounts.map((account) => ({
      ...account,
      stays: account.stays.map(({ from, to }) => ({ from, to: from < at && at < to ? at : to })),
    })),
  }),
  (script, at) => ({
    ...script,
    accounts: script.accounts.map((account) => ({
      ...account,
      exemptions: account.stays.some(({ from, to }) => from < at && at < to)
        ? [
            ...account.exemptions.map((one) => ({ ...one, to: Math.min(one.to, at) })),
            { from: at, to: Number.POSITIVE_INFINITY, untilDay: 10_000 },
          ]
        : account.exemptions,
    })),
  }),
  (script, at) => ({
    ...script,
    limits: [
      ...script.limits.filter(({ from }) => from < at),
      { from: at, limits: { maxAgeDays: 3_650, rotateAfterDays: 3_650 } },
    ],
  }),
];

test('removing, exempting or a higher limit improves no number of an earlier day', async () => {
  const at = 200 * 24;
  for (let seed = 1; seed <= years; seed += 1)
    for (const cosmetic of cosmetics) {
      const script = scriptOf(seed, 10);
      const truly = await reportOf(eventsOfScript(script), 0, hoursOfYear);
      const after = await reportOf(eventsOfScript(cosmetic(script, at)), 0, hoursOfYear);
      const earlier = ({ days }: typeof truly) =>
        days.filter(({ day }) => day * dayMs < startMs + at * hourMs);

      expect(earlier(after)).toEqual(earlier(truly));
      expect(after.rows.map(({ account }) => account).sort()).toEqual(
        expect.arrayContaining(
          truly.rows
            .filter(({ segments }) => (segments[0]?.fromMs ?? 0) < startMs + at * hourMs)
            .map(({ account }) => account),
        ),
      );
    }
}, 3_600_000);
