// What an auditor must examine. Each exception has an id by which a person acknowledges it (`audit
// acknowledge ID`). An acknowledged exception stays in the list, with the note.

import type { RecordView } from '../audit/record.ts';
import type { Verification } from '../audit/verify.ts';
import { counted } from '../text.ts';
import { dayMs, isoDay, isoTime } from '../time.ts';
import type { AccountRow } from './account.ts';
import type { Change, LogHistory } from './history.ts';

export type ExceptionKind =
  | 'integrity' // the log was altered, or is incomplete
  | 'unknown-outcome'
  | 'open-intent'
  | 'over-age' // the password was older than the policy allows
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
  readonly policy: { readonly maxAgeDays: number };
};

/** Every exception; the most serious kind first, then by account and time. */
export function exceptionsOf(given: Given): readonly Exception[] {
  const found = [
    ...ofIntegrity(given.verification),
    ...given.rows.flatMap((row) => [
      ...ofAttempts(row),
      ...ofAge(row, given.policy.maxAgeDays),
      ...ofStops(row),
      ...ofOutsideChanges(row, given.fromMs),
    ]),
    ...ofFailures(given.rows),
    ...ofStorage(given),
  ];
  return found.map((exception) => {
    const record = given.history.acknowledgements.get(exception.id);
    const acknowledgement = record
      ? {
          by: record.requestedBy ?? record.actor,
          atMs: record.timeMs,
          note: record.note ?? '',
          sequence: record.sequence,
        }
      : null;
    return { ...exception, acknowledgement };
  });
}

type Found = Omit<Exception, 'acknowledgement'>;

function ofIntegrity({ findings }: Verification): Found[] {
  return findings
    .filter(({ kind }) => kind !== 'unsealed')
    .map(({ kind, level, message, sequence }) => ({
      id: `${kind}:${sequence ?? 0}`,
      kind: 'integrity',
      account: null,
      atMs: null,
      text: `${level === 'altered' ? 'The log was altered' : 'The log is incomplete'}: ${message}.`,
      isOpen: true,
    }));
}

function ofAttempts({ account, openAttempts, failures, bucket }: AccountRow): Found[] {
  const open = openAttempts.map(
    ({ rotationId, intendedAtMs }): Found => ({
      id: rotationId,
      kind: 'open-intent',
      account,
      atMs: intendedAtMs,
      text: 'A rotation has an intent and no outcome.',
      isOpen: true,
    }),
  );
  const unknown = failures
    .filter(({ status }) => status === 'unknown')
    .map(
      ({ rotationId, closedAtMs, intendedAtMs, reason, detail }): Found => ({
        id: rotationId,
        kind: 'unknown-outcome',
        account,
        atMs: closedAtMs ?? intendedAtMs,
        text: withDetail(
          `The outcome of a rotation is unknown${reason ? ` (${reason})` : ''}`,
          detail,
        ),
        isOpen: bucket === 'unknown',
      }),
    );
  return [...open, ...unknown];
}

const withDetail = (sentence: string, detail: string | undefined): string =>
  detail ? `${sentence}: ${detail}` : `${sentence}.`;

function ofAge({ account, stretches, bucket }: AccountRow, maxAgeDays: number): Found[] {
  const found: Found[] = [];
  for (const { fromMs, toMs, ageMs } of stretches) {
    const overFrom = Math.max(fromMs, fromMs - ageMs + maxAgeDays * dayMs);
    if (overFrom >= toMs) continue;
    const isLast = toMs === stretches.at(-1)?.toMs;
    const days = Math.max(1, Math.ceil((toMs - overFrom) / dayMs));
    const until = isLast && bucket === 'outside' ? 'and still is' : `until ${isoDay(toMs)}`;
    found.push({
      id: `over-age:${account}:${isoDay(overFrom)}`,
      kind: 'over-age',
      account,
      atMs: overFrom,
      text: `The password was older than ${maxAgeDays} days for ${counted(days, 'day')}, ${until}.`,
      isOpen: isLast,
    });
  }
  return found;
}

function ofStops({ account, stops }: AccountRow): Found[] {
  return stops.map(({ uid, fromMs, toMs, reason, detail }) => {
    const state = toMs === null ? 'is suspended' : `was suspended until ${isoTime(toMs)}`;
    return {
      id: uid,
      kind: 'stop',
      account,
      atMs: fromMs,
      text: withDetail(`Automatic rotation ${state} (${reason})`, detail),
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
        isOpen: change.sequence === null,
      }),
    );
  if (storeDiffers?.kind !== 'older') return found;
  const day = isoDay(storeDiffers.passwordSinceMs);
  return [
    ...found,
    {
      id: `store:${account}:${day}`,
      kind: 'outside-change',
      account,
      atMs: storeDiffers.passwordSinceMs,
      text: `The store holds a password of ${day}, older than the last change in this log.`,
      isOpen: true,
    },
  ];
}

const outsideText = ({ sequence, actor }: Change): string =>
  sequence === null
    ? 'The store holds a password that is newer than any change in this log.'
    : `The password was stored by hand${actor ? ` by ${actor}` : ''}, outside a rotation.`;

type FailureGroup = {
  count: number;
  readonly accounts: Set<string>;
  lastMs: number;
  lastSequence: number;
};

const failuresText = (reason: string, count: number, accounts: number): string =>
  `${counted(count, 'failed rotation')} (${reason}) of ${counted(accounts, 'account')}.`;

/**
 * By reason. A new failure makes a new id, so that an acknowledgement covers only what had happened
 * by then.
 */
function ofFailures(rows: readonly AccountRow[]): Found[] {
  const groups = new Map<string, FailureGroup>();
  for (const { account, failures } of rows) {
    for (const attempt of failures.filter(({ status }) => status === 'failure')) {
      const { reason = 'no reason recorded', closedAtMs, intendedAtMs, closedBy } = attempt;
      const empty = { count: 0, accounts: new Set<string>(), lastMs: 0, lastSequence: 0 };
      const group: FailureGroup = groups.get(reason) ?? empty;
      group.count += 1;
      group.accounts.add(account);
      group.lastMs = Math.max(group.lastMs, closedAtMs ?? intendedAtMs);
      group.lastSequence = Math.max(group.lastSequence, closedBy?.sequence ?? attempt.sequence);
      groups.set(reason, group);
    }
  }
  return [...groups]
    .sort(([, a], [, b]) => b.count - a.count)
    .map(([reason, { count, accounts, lastMs, lastSequence }]) => ({
      id: `failures:${reason}:${lastSequence}`,
      kind: 'failures',
      account: accounts.size === 1 ? ([...accounts][0] ?? null) : null,
      atMs: lastMs,
      text: failuresText(reason, count, accounts.size),
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
      isOpen: false,
    }));
}
