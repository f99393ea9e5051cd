// What an auditor must examine. Each exception has an id by which a person acknowledges it (`audit
// acknowledge ID`). An acknowledged exception stays in the list, with the note.

import type { Verification } from '../audit/verify.ts';
import { counted } from '../text.ts';
import { dayMs, isoDay, isoTime } from '../time.ts';
import type { AccountRow } from './account.ts';
import type { LogHistory } from './history.ts';
import type { Segment } from './timeline.ts';

/** What an auditor must examine, by kind, and its title. */
export const exceptionTitles = {
  // The log was altered, or is incomplete.
  integrity: 'Integrity of the log',
  'unknown-outcome': 'Unknown outcome',
  'open-intent': 'Unfinished rotation',
  'over-age': 'Password older than the policy allows',
  'unknown-age': 'Age of the password not known',
  stop: 'Automatic rotation suspended',
  'outside-change': 'Password changed outside the product',
  failures: 'Failed attempts',
  sink: 'Audit storage not writable',
};

type Found = {
  /** What `audit acknowledge` takes. */
  readonly id: string;
  readonly kind: keyof typeof exceptionTitles;
  readonly account: string | null;
  readonly atMs: number | null;
  readonly text: string;
  /** The sequence numbers of the records that show it. */
  readonly records: readonly number[];
  /** Whether it still applies at the end of the period. */
  readonly isOpen: boolean;
};

/** Every exception; the most serious kind first, then by account and time. */
export function exceptionsOf(
  rows: readonly AccountRow[],
  history: LogHistory,
  verification: Verification,
  fromMs: number,
) {
  const found = [
    ...ofIntegrity(verification),
    ...rows.flatMap((row) => [
      ...ofAttempts(row),
      ...ofAge(row),
      ...ofStops(row),
      ...ofOutsideChanges(row, fromMs),
    ]),
    ...ofUnknownAges(rows),
    ...ofFailures(rows),
    ...ofStorage(history, fromMs),
  ];
  const seen = new Map<string, number>();
  return found.map((exception) => {
    // Two exceptions of one day have different ids.
    const count = (seen.get(exception.id) ?? 0) + 1;
    seen.set(exception.id, count);
    const id = count === 1 ? exception.id : `${exception.id}#${count}`;
    const record = history.acknowledgements.get(id);
    if (!record) return { ...exception, id, acknowledgement: null };
    const { requestedBy, actor, timeMs: atMs, note = '', sequence } = record;
    const by = requestedBy ?? actor;
    return { ...exception, id, acknowledgement: { by, atMs, note, sequence } };
  });
}

function* ofIntegrity({ findings }: Verification): Iterable<Found> {
  for (const { id, kind, level, message, sequence } of findings) {
    if (kind === 'unsealed') continue;
    const text = `The log ${level === 'altered' ? 'was altered' : 'is incomplete'}: ${message}.`;
    const records = sequence === undefined ? [] : [sequence];
    const isOpen = level !== 'explained';
    yield { id, kind: 'integrity', account: null, atMs: null, text, records, isOpen };
  }
}

function* ofAttempts({ account, openAttempts, attempts, bucket }: AccountRow): Iterable<Found> {
  for (const { rotationId: id, records, intendedAtMs: atMs } of openAttempts) {
    const text = 'A rotation has an intent and no outcome.';
    yield { id, kind: 'open-intent', account, atMs, text, records, isOpen: true };
  }
  for (const { status, rotationId: id, reason, detail, records, ...attempt } of attempts) {
    if (status !== 'unknown') continue;
    const what = `The outcome of a rotation is unknown${reason ? ` (${reason})` : ''}`;
    const text = withDetail(what, detail);
    const atMs = attempt.closedAtMs ?? attempt.intendedAtMs;
    const isOpen = bucket === 'unknown';
    yield { id, kind: 'unknown-outcome', account, atMs, text, records, isOpen };
  }
}

const withDetail = (sentence: string, detail: string | undefined): string =>
  detail ? `${sentence}: ${detail}` : `${sentence}.`;

/** One for each time without a break in which the password was overdue. */
function* ofAge(row: AccountRow): Iterable<Found> {
  const { account } = row;
  for (const span of spansOf(row, ({ ageClass }) => ageClass === 'outside')) {
    const { fromMs: atMs, toMs, isOpen, records, limit } = span;
    const days = counted(Math.max(1, Math.ceil((toMs - atMs) / dayMs)), 'day');
    const until = isOpen ? 'and still is' : `until ${isoDay(toMs)}`;
    const text = `The password was older than ${limit} days for ${days}, ${until}.`;
    const id = `over-age:${account}:${isoDay(atMs)}`;
    yield { id, kind: 'over-age', account, atMs, text, records, isOpen };
  }
}

/**
 * Two at most, of the accounts whose age is not known at the end and of the others; their history
 * says when. A doubt about the password itself is an exception of another kind.
 */
function* ofUnknownAges(rows: readonly AccountRow[]): Iterable<Found> {
  const isUnknown = ({ ageClass, doubt }: Segment): boolean =>
    ageClass === 'never' || (ageClass === 'unknown' && !doubt);
  const found = rows.flatMap((row) =>
    spansOf(row, isUnknown).map((span) => ({ ...span, account: row.account })),
  );
  for (const isOpen of [true, false]) {
    const spans = found.filter((span) => span.isOpen === isOpen);
    if (spans.length === 0) continue;
    const names = new Set(spans.map(({ account }) => account));
    const atMs = spans.reduce((latest, { fromMs }) => Math.max(latest, fromMs), 0);
    const id = `unknown-age:${isOpen ? 'open' : 'over'}:${isoDay(atMs)}:${spans.length}`;
    const until = isOpen ? ', and still is not' : ' for some time';
    const accounts = counted(names.size, 'account');
    const text = `The age of the password was not known${until}: ${accounts}.`;
    const records = spans.flatMap((span) => span.records).sort((a, b) => a - b);
    yield { id, kind: 'unknown-age', account: onlyOf(names), atMs, text, records, isOpen };
  }
}

/** The account, where there is one only. */
const onlyOf = (accounts: ReadonlySet<string>): string | null =>
  accounts.size === 1 ? ([...accounts][0] ?? null) : null;

type Span = {
  readonly fromMs: number;
  toMs: number;
  /** Whether it lasts to the end of the period. */
  isOpen: boolean;
  readonly limit: number;
  readonly records: readonly number[];
};

/** The times without a break, as far as they reach into the period, from their real beginning. */
function spansOf({ timeline, segments }: AccountRow, isIn: (segment: Segment) => boolean): Span[] {
  const startMs = segments[0]?.fromMs ?? Number.POSITIVE_INFINITY;
  const endMs = segments.at(-1)?.toMs ?? 0;
  const spans: Span[] = [];
  for (const { fromMs, toMs, limits, change } of timeline.filter(isIn)) {
    const last = spans.at(-1);
    const isOpen = toMs === endMs;
    if (last?.toMs === fromMs) Object.assign(last, { toMs, isOpen });
    else {
      const records = change?.sequence == null ? [] : [change.sequence];
      spans.push({ fromMs, toMs, isOpen, limit: limits.maxAgeDays, records });
    }
  }
  return spans.filter(({ toMs }) => toMs > startMs);
}

function* ofStops({ account, stops }: AccountRow): Iterable<Found> {
  for (const { uid: id, sequence, fromMs: atMs, toMs, reason, detail } of stops) {
    const state = toMs === null ? 'is suspended' : `was suspended until ${isoTime(toMs)}`;
    const text = withDetail(`Automatic rotation ${state} (${reason})`, detail);
    yield { id, kind: 'stop', account, atMs, text, records: [sequence], isOpen: toMs === null };
  }
}

function* ofOutsideChanges(row: AccountRow, fromMs: number): Iterable<Found> {
  const { account, changes, storeDiffers, lastChange } = row;
  const kind = 'outside-change';
  const inStore = { kind, account, records: [], isOpen: true } as const;
  const idInStore = (ms: number): string => `store:${account}:${isoDay(ms)}`;
  for (const { by, timeMs: atMs, sequence, actor } of changes) {
    if (by !== 'outside' || atMs < fromMs) continue;
    if (sequence === null) {
      const text = 'The store holds a password that is newer than any change in this log.';
      yield { ...inStore, id: idInStore(atMs), atMs, text };
    } else {
      const who = actor ? ` by ${actor}` : '';
      const text = `The password was stored by hand${who}, outside a rotation.`;
      const id = `record:${sequence}`;
      yield { id, kind, account, atMs, text, records: [sequence], isOpen: false };
    }
  }
  if (storeDiffers !== 'older' || lastChange?.sinceMs == null) return;
  const atMs = lastChange.sinceMs;
  const day = isoDay(atMs);
  const text = `The store holds a password of ${day}, older than the last change in this log.`;
  yield { ...inStore, id: idInStore(atMs), atMs, text };
}

type FailureGroup = { readonly accounts: Set<string>; readonly records: number[]; lastMs: number };

/** By reason. A new failure makes a new id: an acknowledgement covers what happened before. */
function* ofFailures(rows: readonly AccountRow[]): Iterable<Found> {
  const groups = new Map<string, FailureGroup>();
  for (const { account, attempts } of rows)
    for (const { status, reason = 'no reason recorded', ...attempt } of attempts) {
      if (status !== 'failure') continue;
      const empty: FailureGroup = { accounts: new Set(), records: [], lastMs: 0 };
      const group = groups.get(reason) ?? empty;
      group.accounts.add(account);
      group.records.push(attempt.records.at(-1) ?? 0);
      group.lastMs = Math.max(group.lastMs, attempt.closedAtMs ?? attempt.intendedAtMs);
      groups.set(reason, group);
    }
  const mostFirst = [...groups].sort(([, a], [, b]) => b.records.length - a.records.length);
  for (const [reason, { accounts, records, lastMs: atMs }] of mostFirst) {
    const failed = counted(records.length, 'failed attempt');
    const text = `${failed} (${reason}) of ${counted(accounts.size, 'account')}.`;
    const id = `failures:${reason}:${records.sort((a, b) => a - b).at(-1)}`;
    yield { id, kind: 'failures', account: onlyOf(accounts), atMs, text, records, isOpen: false };
  }
}

function* ofStorage({ storageFailures, repairs }: LogHistory, fromMs: number): Iterable<Found> {
  const views = [...storageFailures, ...repairs];
  for (const { code, uid: id, timeMs: atMs, sequence, lost = 0, detail } of views) {
    if (atMs < fromMs) continue;
    const text =
      code === 'log.repaired'
        ? `After a crash, ${detail ?? 'an incomplete append was removed'}.`
        : `The audit storage could not be written; ${counted(lost, 'record')} went to standard ` +
          `error only. ${detail ?? ''}`;
    yield { id, kind: 'sink', account: null, atMs, text, records: [sequence], isOpen: false };
  }
}
