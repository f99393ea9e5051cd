// What an auditor must examine. Each exception has an id by which a person acknowledges it (`audit
// acknowledge ID`). An acknowledged exception stays in the list, with the note.

import type { RecordView } from '../audit/record.ts';
import type { Verification } from '../audit/verify.ts';
import { counted } from '../text.ts';
import { dayMs, isoDay, isoTime } from '../time.ts';
import type { AccountRow } from './account.ts';
import type { Change, LogHistory } from './history.ts';
import type { Segment } from './timeline.ts';

export type ExceptionKind =
  | 'integrity' // the log was altered, or is incomplete
  | 'unknown-outcome'
  | 'open-intent'
  | 'over-age' // the password was older than the policy allows
  | 'unknown-age' // it is not known how old the password was
  | 'stop' // automatic rotation was suspended
  | 'outside-change'
  | 'failures'
  | 'sink'; // the audit storage could not be written

export type Exception = {
  /** What `audit acknowledge` takes. */
  readonly id: string;
  readonly kind: ExceptionKind;
  readonly account: string | null;
  readonly atMs: number | null;
  readonly text: string;
  /** The sequence numbers of the records that show it. */
  readonly records: readonly number[];
  /** Whether it still applies at the end of the period. */
  readonly isOpen: boolean;
  readonly acknowledgement: {
    readonly by: string;
    readonly atMs: number;
    readonly note: string;
    readonly sequence: number;
  } | null;
};

type Given = {
  readonly rows: readonly AccountRow[];
  readonly history: LogHistory;
  readonly verification: Verification;
  readonly fromMs: number;
};

/** Every exception; the most serious kind first, then by account and time. */
export function exceptionsOf(given: Given): readonly Exception[] {
  const found = [
    ...ofIntegrity(given.verification),
    ...given.rows.flatMap((row) => [
      ...ofAttempts(row),
      ...ofAge(row),
      ...ofStops(row),
      ...ofOutsideChanges(row, given.fromMs),
    ]),
    ...ofUnknownAges(given.rows),
    ...ofFailures(given.rows),
    ...ofStorage(given),
  ];
  const seen = new Map<string, number>();
  return found.map((exception) => {
    // Two exceptions of one day have different ids.
    const count = (seen.get(exception.id) ?? 0) + 1;
    seen.set(exception.id, count);
    const id = count === 1 ? exception.id : `${exception.id}#${count}`;
    const record = given.history.acknowledgements.get(id);
    const acknowledgement = record
      ? {
          by: record.requestedBy ?? record.actor,
          atMs: record.timeMs,
          note: record.note ?? '',
          sequence: record.sequence,
        }
      : null;
    return { ...exception, id, acknowledgement };
  });
}

type Found = Omit<Exception, 'acknowledgement'>;

function ofIntegrity({ findings }: Verification): Found[] {
  return findings
    .filter(({ kind }) => kind !== 'unsealed')
    .map(
      ({ id, level, message, sequence }): Found => ({
        id,
        kind: 'integrity',
        account: null,
        atMs: null,
        text: `The log ${level === 'altered' ? 'was altered' : 'is incomplete'}: ${message}.`,
        records: sequence === undefined ? [] : [sequence],
        isOpen: level !== 'explained',
      }),
    );
}

function ofAttempts({ account, openAttempts, attempts, bucket }: AccountRow): Found[] {
  const open = openAttempts.map(
    ({ rotationId, sequence, intendedAtMs }): Found => ({
      id: rotationId,
      kind: 'open-intent',
      account,
      atMs: intendedAtMs,
      text: 'A rotation has an intent and no outcome.',
      records: [sequence],
      isOpen: true,
    }),
  );
  const unknown = attempts
    .filter(({ status }) => status === 'unknown')
    .map(
      ({ rotationId, sequence, closedBy, closedAtMs, intendedAtMs, ...said }): Found => ({
        id: rotationId,
        kind: 'unknown-outcome',
        account,
        atMs: closedAtMs ?? intendedAtMs,
        text: withDetail(
          `The outcome of a rotation is unknown${said.reason ? ` (${said.reason})` : ''}`,
          said.detail,
        ),
        records: [sequence, ...(closedBy ? [closedBy.sequence] : [])],
        isOpen: bucket === 'unknown',
      }),
    );
  return [...open, ...unknown];
}

const withDetail = (sentence: string, detail: string | undefined): string =>
  detail ? `${sentence}: ${detail}` : `${sentence}.`;

/** One for each time without a break in which the password was overdue. */
function ofAge(row: AccountRow): Found[] {
  const { account } = row;
  return spansOf(row, ({ ageClass }) => ageClass === 'outside').map((span): Found => {
    const { fromMs, toMs, isOpen, records, limit } = span;
    const days = counted(Math.max(1, Math.ceil((toMs - fromMs) / dayMs)), 'day');
    const until = isOpen ? 'and still is' : `until ${isoDay(toMs)}`;
    const text = `The password was older than ${limit} days for ${days}, ${until}.`;
    const id = `over-age:${account}:${isoDay(fromMs)}`;
    return { id, kind: 'over-age', account, atMs: fromMs, text, records, isOpen };
  });
}

/**
 * Two at most, of the accounts whose age is not known at the end and of the others; their history
 * says when. A doubt about the password itself is an exception of another kind.
 */
function ofUnknownAges(rows: readonly AccountRow[]): Found[] {
  const isUnknown = ({ ageClass, doubt }: Segment): boolean =>
    ageClass === 'never' || (ageClass === 'unknown' && !doubt);
  const found = rows.flatMap((row) =>
    spansOf(row, isUnknown).map((span) => ({ ...span, account: row.account })),
  );
  return [true, false].flatMap((isOpen): Found[] => {
    const spans = found.filter((span) => span.isOpen === isOpen);
    const names = [...new Set(spans.map(({ account }) => account))];
    const [name = ''] = names;
    if (names.length === 0) return [];
    const atMs = spans.reduce((latest, { fromMs }) => Math.max(latest, fromMs), 0);
    const until = isOpen ? ', and still is not' : ' for some time';
    return [
      {
        id: `unknown-age:${isOpen ? 'open' : 'over'}:${isoDay(atMs)}:${spans.length}`,
        kind: 'unknown-age',
        account: names.length === 1 ? name : null,
        atMs,
        text: `The age of the password was not known${until}: ${counted(names.length, 'account')}.`,
        records: spans.flatMap(({ records }) => records).sort((a, b) => a - b),
        isOpen,
      },
    ];
  });
}

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
  for (const segment of timeline.filter(isIn)) {
    const { fromMs, toMs, limits, change } = segment;
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

function ofStops({ account, stops }: AccountRow): Found[] {
  return stops.map(({ uid, sequence, fromMs, toMs, reason, detail }) => {
    const state = toMs === null ? 'is suspended' : `was suspended until ${isoTime(toMs)}`;
    return {
      id: uid,
      kind: 'stop',
      account,
      atMs: fromMs,
      text: withDetail(`Automatic rotation ${state} (${reason})`, detail),
      records: [sequence],
      isOpen: toMs === null,
    };
  });
}

function ofOutsideChanges({ account, changes, storeDiffers }: AccountRow, fromMs: number): Found[] {
  const found = changes
    .filter(({ by, timeMs }) => by === 'outside' && timeMs >= fromMs)
    .map(
      (change): Found => ({
        id:
          change.sequence === null
            ? `store:${account}:${isoDay(change.timeMs)}`
            : `record:${change.sequence}`,
        kind: 'outside-change',
        account,
        atMs: change.timeMs,
        text: outsideText(change),
        records: change.sequence === null ? [] : [change.sequence],
        isOpen: change.sequence === null,
      }),
    );
  if (storeDiffers?.kind !== 'older') return found;
  const { passwordSinceMs } = storeDiffers;
  const day = isoDay(passwordSinceMs);
  return [
    ...found,
    {
      id: `store:${account}:${day}`,
      kind: 'outside-change',
      account,
      atMs: passwordSinceMs,
      text: `The store holds a password of ${day}, older than the last change in this log.`,
      records: [],
      isOpen: true,
    },
  ];
}

const outsideText = ({ sequence, actor }: Change): string =>
  sequence === null
    ? 'The store holds a password that is newer than any change in this log.'
    : `The password was stored by hand${actor ? ` by ${actor}` : ''}, outside a rotation.`;

type FailureGroup = { readonly accounts: Set<string>; readonly records: number[]; lastMs: number };

const failuresText = (reason: string, count: number, accounts: number): string =>
  `${counted(count, 'failed attempt')} (${reason}) of ${counted(accounts, 'account')}.`;

/**
 * By reason. A new failure makes a new id, so that an acknowledgement covers only what had happened
 * by then.
 */
function ofFailures(rows: readonly AccountRow[]): Found[] {
  const groups = new Map<string, FailureGroup>();
  for (const { account, attempts } of rows)
    for (const { status, reason = 'no reason recorded', ...attempt } of attempts) {
      if (status !== 'failure') continue;
      const empty = { accounts: new Set<string>(), records: [], lastMs: 0 };
      const group: FailureGroup = groups.get(reason) ?? empty;
      group.accounts.add(account);
      group.records.push(attempt.closedBy?.sequence ?? attempt.sequence);
      group.lastMs = Math.max(group.lastMs, attempt.closedAtMs ?? attempt.intendedAtMs);
      groups.set(reason, group);
    }
  return [...groups]
    .sort(([, a], [, b]) => b.records.length - a.records.length)
    .map(([reason, { accounts, records, lastMs }]) => ({
      id: `failures:${reason}:${records.sort((a, b) => a - b).at(-1)}`,
      kind: 'failures',
      account: accounts.size === 1 ? ([...accounts][0] ?? null) : null,
      atMs: lastMs,
      text: failuresText(reason, records.length, accounts.size),
      records,
      isOpen: false,
    }));
}

const storageText = ({ lost = 0 }: RecordView): string => {
  const records = counted(lost, 'record');
  return `The audit storage could not be written; ${records} went to standard error only.`;
};

function ofStorage({ history, fromMs }: Given): Found[] {
  const failures = history.storageFailures.map((view) => ({
    view,
    text: `${storageText(view)} ${view.detail ?? ''}`,
  }));
  const repairs = history.repairs.map((view) => ({
    view,
    text: `After a crash, ${view.detail ?? 'an incomplete append was removed'}.`,
  }));
  return [...failures, ...repairs]
    .filter(({ view }) => view.timeMs >= fromMs)
    .map(({ view, text }) => ({
      id: view.uid,
      kind: 'sink',
      account: null,
      atMs: view.timeMs,
      text,
      records: [view.sequence],
      isOpen: false,
    }));
}
