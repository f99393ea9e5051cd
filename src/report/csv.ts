// Records as text: rows for people, tab-separated for programs, CSV for spreadsheets. A record holds other people's words; nothing in
// them may move a cursor, start a formula or end a line.

import type { FoundRecord } from '../audit/query.ts';
import { parseLine, type RecordView } from '../audit/record-view.ts';
import { printable } from '../text.ts';
import { isoTime } from '../time.ts';

const columns: readonly {
  readonly title: string;
  readonly width: number;
  readonly of: (view: RecordView) => string;
}[] = [
  { title: 'TIME', width: 20, of: ({ timeMs }) => isoTime(timeMs) },
  { title: 'NUMBER', width: 7, of: ({ sequence }) => String(sequence) },
  { title: 'EVENT', width: 19, of: ({ code }) => code },
  { title: 'ACCOUNT', width: 24, of: ({ account }) => account ?? '' },
  { title: 'STATUS', width: 7, of: ({ status }) => status },
  { title: 'REASON', width: 18, of: ({ reason }) => reason ?? '' },
  { title: 'TRIGGER', width: 8, of: ({ trigger }) => trigger ?? '' },
  { title: 'ACTOR', width: 16, of: ({ actor, requestedBy }) => requestedBy ?? actor },
  { title: 'ID', width: 36, of: ({ uid }) => uid },
];

/** The head of the table that `formatRecordRow` fills; nothing for programs. */
export function formatRecordHead(forPeople: boolean): string {
  return forPeople
    ? columns
        .map(({ title, width }) => title.padEnd(width))
        .join('  ')
        .trimEnd()
    : '';
}

/** One record on one line, without LF: padded columns for a terminal, else the same columns separated by tabs. */
export function formatRecordRow({ view }: FoundRecord, forPeople: boolean): string {
  const cells = columns.map(({ of, width }) => {
    const text = printable(of(view));
    return forPeople ? text.padEnd(width) : text;
  });
  return forPeople ? cells.join('  ').trimEnd() : cells.join('\t');
}

/** `audit show` for people: every field of the record on a line of its own. */
export function formatRecordFields({ line }: FoundRecord): string {
  const rows: string[] = [];
  const walk = (value: unknown, path: string): void => {
    if (typeof value === 'object' && value !== null) {
      for (const [key, inner] of Object.entries(value))
        walk(inner, path === '' ? key : `${path}.${key}`);
      return;
    }
    const isTime =
      (path === 'time' || path === 'metadata.logged_time') && typeof value === 'number';
    rows.push(
      `${path.padEnd(32)}  ${printable(isTime ? `${isoTime(value as number, true)} (${value})` : String(value))}`,
    );
  };
  walk(parseLine(line), '');
  return rows.join('\n');
}

/** One field of RFC 4180 CSV. What a spreadsheet would run as a formula gets an apostrophe in front (OWASP, CSV injection). */
function csvField(value: string | number | undefined): string {
  if (value === undefined) return '';
  if (typeof value === 'number') return String(value);
  const text = /^[=+\-@\t\r]/.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(text) || text !== text.trim() ? `"${text.replaceAll('"', '""')}"` : text;
}

/** A CSV line with its CR LF. */
export const csvRow = (fields: readonly (string | number | undefined)[]): string =>
  `${fields.map(csvField).join(',')}\r\n`;

/** What a CSV file begins with, so that spreadsheets read it as UTF-8. */
export const csvMark = '\ufeff';

const csvColumns: readonly (readonly [
  title: string,
  of: (view: RecordView) => string | number | undefined,
])[] = [
  ['sequence', ({ sequence }) => sequence],
  ['time', ({ timeMs }) => isoTime(timeMs, true)],
  ['event', ({ code }) => code],
  ['account', ({ account }) => account],
  ['username', ({ username }) => username],
  ['status', ({ status }) => status],
  ['reason', ({ reason }) => reason],
  ['detail', ({ detail }) => detail],
  ['severity', ({ severity }) => severity],
  ['actor', ({ actor }) => actor],
  ['requested_by', ({ requestedBy }) => requestedBy],
  ['trigger', ({ trigger }) => trigger],
  ['trigger_reason', ({ why }) => why],
  ['change_ref', ({ changeRef }) => changeRef],
  ['rotation_id', ({ rotationId }) => rotationId],
  ['secret_id', ({ more }) => textOf(more['secret_id'])],
  ['version_before', ({ more }) => textOf(more['version_before'])],
  ['version_after', ({ more }) => textOf(more['version_after'])],
  ['verified_by', ({ more }) => textOf(more['verified_by'])],
  ['dead_window_ms', ({ more }) => textOf(more['dead_window_ms'])],
  ['age_days_before', ({ more }) => textOf(more['age_days_before'])],
  ['next_due', ({ more }) => textOf(more['next_due'])],
  ['product_version', ({ productVersion }) => productVersion],
  ['uid', ({ uid }) => uid],
];

const textOf = (value: unknown): string | number | undefined =>
  typeof value === 'string' || typeof value === 'number' ? value : undefined;

/** Records as CSV (UTF-8 with BOM, RFC 4180, ISO times), a string per line. */
export async function* csvOf(
  records: AsyncIterable<FoundRecord>,
): AsyncGenerator<string, void, undefined> {
  yield csvMark + csvRow(csvColumns.map(([title]) => title));
  for await (const { view } of records) yield csvRow(csvColumns.map(([, of]) => of(view)));
}
