// CSV (RFC 4180, UTF-8 with a byte order mark, ISO times) for spreadsheets. A record holds text of
// other people: no field may start a formula, end a line or control a terminal.

import type { FoundRecord } from '../audit/query.ts';
import type { FieldName } from '../audit/schema.ts';
import { isoTime } from '../time.ts';

type Cell = string | number | null | undefined;

/**
 * One field. An apostrophe precedes what a spreadsheet would run as a formula (OWASP, CSV
 * injection).
 */
function csvField(value: Cell): string {
  if (value === undefined || value === null) return '';
  if (typeof value === 'number') return String(value);
  const text = /^[=+\-@\t\r]/.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(text) || text !== text.trim() ? `"${text.replaceAll('"', '""')}"` : text;
}

/** A line with its CR LF. */
const csvRow = (cells: readonly Cell[]): string => `${cells.map(csvField).join(',')}\r\n`;

/**
 * The column titles as the first line of a file, after the mark by which spreadsheets recognise
 * UTF-8.
 */
const csvHead = (titles: readonly string[]): string => `\ufeff${csvRow(titles)}`;

/** A column: its title, and its cell in a row. */
export type Column<Row> = readonly [title: string, cellOf: (row: Row) => Cell];

/** A CSV file with these columns. */
export function csvTable<Row>(columns: readonly Column<Row>[], rows: readonly Row[]): string {
  const lines = rows.map((row) => csvRow(columns.map(([, cellOf]) => cellOf(row))));
  return csvHead(columns.map(([title]) => title)) + lines.join('');
}

/** The columns of the CSV file of records, and the fields of the schema that fill them. */
const recordColumns: readonly (readonly [title: string, field: FieldName])[] = [
  ['sequence', 'sequence'],
  ['time', 'timeMs'],
  ['event', 'code'],
  ['account', 'account'],
  ['username', 'username'],
  ['status', 'status'],
  ['reason', 'reason'],
  ['detail', 'detail'],
  ['severity', 'severity'],
  ['actor', 'actor'],
  ['requested_by', 'requestedBy'],
  ['trigger', 'trigger'],
  ['trigger_reason', 'triggerReason'],
  ['change_ref', 'changeRef'],
  ['rotation_id', 'rotationId'],
  ['secret_id', 'secretId'],
  ['version_before', 'versionBefore'],
  ['version_after', 'versionAfter'],
  ['verified_by', 'verifiedBy'],
  ['dead_window_ms', 'deadWindowMs'],
  ['age_days_before', 'ageDaysBefore'],
  ['next_due', 'nextDue'],
  ['product_version', 'productVersion'],
  ['uid', 'uid'],
];

/** Records as CSV, line by line. */
export async function* csvOf(
  records: AsyncIterable<FoundRecord>,
): AsyncGenerator<string, void, undefined> {
  yield csvHead(recordColumns.map(([title]) => title));
  for await (const { view } of records)
    yield csvRow(
      recordColumns.map(([, field]) => {
        const value = field === 'timeMs' ? isoTime(view.timeMs, true) : view[field];
        return typeof value === 'object' ? value.join(' ') : value;
      }),
    );
}
