// What an auditor must look at, each with an id by which a person can acknowledge it (`audit acknowledge ID --note`). Nothing leaves
// this list by being acknowledged; it shows who said what about it.

import type { Verification } from '../audit/verify.ts';
import { dayMs, isoDay, isoTime } from '../time.ts';
import type { AccountRow } from './account.ts';
import type { LogHistory } from './history.ts';

export type ExceptionKind =
  | 'integrity' // the log is altered, or has gaps
  | 'unknown-outcome'
  | 'open-intent'
  | 'over-age' // beyond the policy's age at some moment
  | 'stop'
  | 'outside-change'
  | 'failures'
  | 'sink';

export type Exception = {
  /** What `audit acknowledge` takes. */
  readonly id: string;
  readonly kind: ExceptionKind;
  readonly account: string | null;
  readonly atMs: number | null;
  readonly text: string;
  /** Whether it still stands at the end of the period. */
  readonly isStanding: boolean;
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
  readonly endMs: number;
  readonly policy: { readonly maxAgeDays: number };
};

/** Everything out of the ordinary, the gravest kind first, then by time. */
export function exceptionsOf(given: Given): readonly Exception[] {
  const { history } = given;
  const found = [
    ...ofIntegrity(given),
    ...given.rows.flatMap((row) => ofAccount(row, given)),
    ...ofFailures(given),
    ...ofSinks(given),
  ];
  return found.map((exception) => {
    const record = history.acknowledgements.get(exception.id);
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

function ofIntegrity({ verification }: Given): Found[] {
  return verification.findings
    .filter(({ kind }) => kind !== 'unsealed')
    .map(({ kind, level, message, sequence }) => ({
      id: `${kind}:${sequence ?? 0}`,
      kind: 'integrity',
      account: null,
      atMs: null,
      text: `${level === 'altered' ? 'The log was altered' : 'The log is incomplete'}: ${message}`,
      isStanding: true,
    }));
}

function ofAccount(row: AccountRow, { fromMs, policy }: Given): Found[] {
  const { account } = row;
  const found: Found[] = [];
  const add = (
    kind: ExceptionKind,
    id: string,
    atMs: number,
    text: string,
    isStanding: boolean,
  ): void => {
    found.push({ id, kind, account, atMs, text, isStanding });
  };
  for (const { rotationId, intendedAtMs } of row.openAttempts)
    add(
      'open-intent',
      rotationId,
      intendedAtMs,
      'A rotation was intended and has no outcome.',
      true,
    );
  for (const { rotationId, closedAtMs, intendedAtMs, reason, detail, status } of row.failures) {
    if (status !== 'unknown') continue;
    const text = `The outcome of a rotation is unknown${reason ? ` (${reason})` : ''}${detail ? `: ${detail}` : '.'}`;
    add('unknown-outcome', rotationId, closedAtMs ?? intendedAtMs, text, row.bucket === 'unknown');
  }
  for (const { fromMs: start, toMs, ageMs } of row.stretches) {
    const overFrom = Math.max(start, start - ageMs + policy.maxAgeDays * dayMs);
    if (overFrom >= toMs) continue;
    const isLast = toMs === row.stretches.at(-1)?.toMs;
    const days = Math.max(1, Math.ceil((toMs - overFrom) / dayMs));
    const until = isLast && row.bucket === 'outside' ? 'and still is' : `until ${isoDay(toMs)}`;
    add(
      'over-age',
      `over-age:${account}:${isoDay(overFrom)}`,
      overFrom,
      `Older than ${policy.maxAgeDays} days for ${days} days, ${until}.`,
      isLast,
    );
  }
  for (const { uid, fromMs: at, toMs, reason, detail } of row.stops) {
    const end = toMs === null ? 'and still is' : `until ${isoTime(toMs)}`;
    add(
      'stop',
      uid,
      at,
      `Stopped (${reason}) ${end}${detail ? `: ${detail}` : '.'}`,
      toMs === null,
    );
  }
  for (const change of row.changes) {
    if (change.by !== 'outside' || change.timeMs < fromMs) continue;
    const id =
      change.sequence === null
        ? `store:${account}:${isoDay(change.timeMs)}`
        : `record:${change.sequence}`;
    const text =
      change.sequence === null
        ? 'The store holds a password that is newer than any change in this log: it was changed outside this product.'
        : `The password was put by hand${change.actor ? ` by ${change.actor}` : ''}, outside a rotation.`;
    add('outside-change', id, change.timeMs, text, change.sequence === null);
  }
  if (row.storeDiffers?.kind === 'older') {
    const at = row.storeDiffers.passwordSinceMs;
    const text = `The store holds a password of ${isoDay(at)}, older than the last change in this log: an older version was made current.`;
    add('outside-change', `store:${account}:${isoDay(at)}`, at, text, true);
  }
  return found;
}

/** By reason. A new failure makes a new id, so that an acknowledgement covers only what had happened by then. */
function ofFailures({ rows }: Given): Found[] {
  const byReason = new Map<
    string,
    { count: number; accounts: Set<string>; lastMs: number; lastSequence: number }
  >();
  for (const { account, failures } of rows) {
    for (const {
      status,
      reason = 'no reason recorded',
      closedAtMs,
      intendedAtMs,
      closedBy,
      sequence,
    } of failures) {
      if (status !== 'failure') continue;
      const group = byReason.get(reason) ?? {
        count: 0,
        accounts: new Set(),
        lastMs: 0,
        lastSequence: 0,
      };
      group.count += 1;
      group.accounts.add(account);
      group.lastMs = Math.max(group.lastMs, closedAtMs ?? intendedAtMs);
      group.lastSequence = Math.max(group.lastSequence, closedBy?.sequence ?? sequence);
      byReason.set(reason, group);
    }
  }
  return [...byReason]
    .sort(([, a], [, b]) => b.count - a.count)
    .map(([reason, { count, accounts, lastMs, lastSequence }]) => ({
      id: `failures:${reason}:${lastSequence}`,
      kind: 'failures',
      account: accounts.size === 1 ? ([...accounts][0] ?? null) : null,
      atMs: lastMs,
      text: `${count} failed ${count === 1 ? 'rotation' : 'rotations'} (${reason}) of ${accounts.size} ${accounts.size === 1 ? 'account' : 'accounts'}; nothing was changed.`,
      isStanding: false,
    }));
}

function ofSinks({ history, fromMs }: Given): Found[] {
  const failures = history.sinkFailures.map((view) => ({
    view,
    text: `The audit log could not be written; ${view.lost ?? 0} records went to standard error alone. ${view.detail ?? ''}`,
  }));
  const repairs = history.repairs.map((view) => ({
    view,
    text: `After a crash, ${view.detail ?? 'a half-written end was cut'}.`,
  }));
  return [...failures, ...repairs]
    .filter(({ view }) => view.timeMs >= fromMs)
    .map(({ view, text }) => ({
      id: view.uid,
      kind: 'sink',
      account: null,
      atMs: view.timeMs,
      text,
      isStanding: false,
    }));
}
