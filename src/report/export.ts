// The report as JSON (one OCSF Compliance Finding, class 2003, per account) and as CSV, with the
// same facts as the page. The names of columns and fields are interfaces, with words that the texts
// for people no longer use.

import { hash } from 'node:crypto';
import { uuidv7 } from '../audit/record.ts';
import { dayMs, isoDay, isoTime } from '../time.ts';
import { version } from '../version.ts';
import type { AccountRow } from './account.ts';
import type { Report } from './build.ts';
import type { Attempt } from './history.ts';
import {
  bucketFacts,
  bucketMeaning,
  controls,
  daysOf,
  integrityText,
  limitsText,
  periodText,
  statusIds,
  verdictText,
} from './text.ts';

type Cell = string | number | null | undefined;

const iso = (ms: number | null | undefined): string | null => (ms == null ? null : isoTime(ms));
const days = (ms: number | null): number | null => (ms === null ? null : Number(daysOf(ms)));

/** One finding, with what OCSF requires in class 2003 (test/contract/ocsf.test.ts). */
function findingOf(report: Report, row: AccountRow): object {
  const { account, bucket, lastChange, limits } = row;
  const { title, ocsf } = bucketFacts[bucket];
  const [status, severity] = ocsf;
  const meaning = bucketMeaning(bucket, limits);
  return {
    activity_id: 1,
    category_uid: 2,
    class_uid: 2003,
    compliance: {
      control: 'PCI DSS 4.0.1 8.6.3',
      requirements: ['8.6.3'],
      standards: ['PCI DSS 4.0.1', 'NIST SP 800-53 rev. 5 IA-5'],
      status,
      status_code: bucket,
      status_detail: row.note ?? `${title}: ${meaning}`,
      status_id: statusIds[status],
    },
    finding_info: {
      created_time: report.madeAtMs,
      title: `Password age of ${account}`,
      types: ['Credential rotation'],
      uid: `${report.origin}/${account}/${isoTime(report.endMs)}`,
    },
    message: `${account}: ${title} (${meaning})`,
    metadata: {
      log_name: report.origin,
      product: {
        name: 'thingspace-rotator',
        vendor_name: 'thingspace-rotator',
        version,
      },
      uid: uuidv7(report.madeAtMs),
      version: '1.5.0',
    },
    resources: [{ name: account, type: 'ThingSpace UWS account', uid: row.secretId ?? undefined }],
    severity_id: severity,
    status_id: 1,
    time: report.madeAtMs,
    type_uid: 200_301,
    unmapped: {
      age_days: days(row.ageMs),
      attempts: row.attempts.map(attemptJson),
      days: row.days,
      exemptions: row.exemptions.map(({ fromMs, toMs, ...rest }) => ({
        ...rest,
        from: iso(fromMs),
        to: iso(toMs),
      })),
      failed: row.failed,
      largest_age_at: iso(row.largestAtMs),
      largest_age_days: days(row.largestAgeMs),
      last_change: iso(lastChange?.timeMs),
      last_change_by: lastChange?.by ?? null,
      last_change_sequence: lastChange?.sequence ?? null,
      max_age_days: limits.maxAgeDays,
      next_due: iso(row.nextDueMs),
      rotate_after_days: limits.rotateAfterDays,
      store_state: row.storeState,
      succeeded: row.succeeded,
      unknown: row.unknown,
      verified_by_login: lastChange?.verified ?? false,
    },
  };
}

/** An attempt of the period, with the sequence numbers of its first and last record. */
const attemptJson = ({ intendedAtMs, closedAtMs, status, reason, ...one }: Attempt): object => ({
  at: iso(intendedAtMs),
  ended_at: iso(closedAtMs),
  status,
  reason: reason ?? null,
  trigger: one.trigger,
  records: one.records,
});

/** `report.json`: one document. It names the SHA-256 of `report.csv`. */
export function reportJson(report: Report): string {
  const { newest: _newest, ...integrity } = report.integrity;
  const document = {
    format: 'thingspace-rotator/report/1',
    report_id: report.id,
    sha256: { 'report.csv': hash('sha256', reportCsv(report)) },
    origin: report.origin,
    period: { from: isoTime(report.fromMs), to: isoTime(report.toMs), end: isoTime(report.endMs) },
    made_at: isoTime(report.madeAtMs),
    policy: {
      max_age_days: report.policy.maxAgeDays,
      rotate_after_days: report.policy.rotateAfterDays,
    },
    verdict: { ...report.verdict, text: verdictText(report) },
    period_verdict: { ...report.period, text: periodText(report) },
    days: report.days.map(({ day, ...counts }) => ({ day: isoDay(day * dayMs), ...counts })),
    buckets: report.buckets,
    integrity: { ...integrity, text: integrityText(report) },
    findings: report.rows.map((row) => findingOf(report, row)),
    exceptions: report.exceptions.map(({ isOpen, ...rest }) => ({ ...rest, isStanding: isOpen })),
    population: report.population,
    samples: report.samples,
    controls,
    limits: limitsText,
  };
  return `${JSON.stringify(sortKeys(document), null, 1)}\n`;
}

/** `value` with the keys of its objects in order, so that the same report is the same file. */
function sortKeys(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sortKeys);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(entries.map(([key, inner]) => [key, sortKeys(inner)]));
}

type Column = readonly [title: string, cellOf: (row: AccountRow) => Cell];

/** The columns of `report.csv`. Their names, and the words in `standing`, are an interface. */
const columnsOf = (report: Report): readonly Column[] => [
  ['account', ({ account }) => account],
  ['username', ({ username }) => username],
  ['secret_id', ({ secretId }) => secretId],
  ['standing', ({ bucket }) => bucketFacts[bucket].standing],
  ['note', ({ note }) => note],
  ['last_change', ({ lastChange }) => iso(lastChange?.timeMs)],
  ['last_change_by', ({ lastChange }) => lastChange?.by],
  ['age_days', ({ ageMs }) => days(ageMs)],
  ['largest_age_days', ({ largestAgeMs }) => days(largestAgeMs)],
  ['largest_age_at', ({ largestAtMs }) => iso(largestAtMs)],
  ['next_due', ({ nextDueMs }) => iso(nextDueMs)],
  ['days', (row) => row.days.all],
  ['days_compliant', (row) => row.days.compliant],
  ['days_overdue', (row) => row.days.overdue],
  ['days_unknown', (row) => row.days.unknown],
  ['days_exempt', (row) => row.days.exempt],
  ['max_age_days', ({ limits }) => limits.maxAgeDays],
  ['rotations_ok', ({ succeeded }) => succeeded],
  ['rotations_failed', ({ failed }) => failed],
  ['rotations_unknown', ({ unknown }) => unknown],
  ['last_actor', ({ lastChange }) => lastChange?.actor],
  ['last_trigger', ({ lastChange }) => lastChange?.trigger],
  ['verified_by_login', ({ lastChange }) => lastChange && (lastChange.verified ? 'yes' : 'no')],
  ['record', ({ lastChange }) => lastChange?.sequence],
  ['store_state', ({ storeState }) => storeState],
  ['report', () => report.id],
  ['period_from', () => isoTime(report.fromMs)],
  ['period_end', () => isoTime(report.endMs)],
  ['checkpoint_size', () => report.integrity.newest?.size],
  ['checkpoint_root', () => report.integrity.newest?.note.text.split('\n')[2]],
  ['log', () => report.integrity.state],
];

/** An apostrophe precedes what a spreadsheet would run as a formula (OWASP, CSV injection). */
function csvField(value: Cell): string {
  if (value === undefined || value === null) return '';
  if (typeof value === 'number') return String(value);
  const text = /^[=+\-@\t\r]/.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(text) || text !== text.trim() ? `"${text.replaceAll('"', '""')}"` : text;
}

/** `report.csv`: one line for each account, worst first; RFC 4180, with a byte order mark. */
export function reportCsv(report: Report): string {
  const columns = columnsOf(report);
  const titles = columns.map(([title]) => title);
  const rows = report.rows.map((row) => columns.map(([, cellOf]) => cellOf(row)));
  const lines = [titles, ...rows].map((cells) => `${cells.map(csvField).join(',')}\r\n`);
  return `\ufeff${lines.join('')}`;
}
