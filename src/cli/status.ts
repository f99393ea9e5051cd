// status: where each account stands, read-only; and the one mistake that only shows there, two accounts that are
// one ThingSpace user.

import pLimit from 'p-limit';
import type { Account, Rotator } from '../app.ts';
import { listRecords } from '../audit/query.ts';
import type { RecordView } from '../audit/record.ts';
import { UsageError } from '../config/errors.ts';
import { Failure } from '../rotation/failure.ts';
import { rounded } from '../rotation/result-json.ts';
import { describeSharedUser, findSharedUsers } from '../rotation/shared-users.ts';
import type { AccountStatus } from '../rotation/status.ts';
import { isoDay, isoTime } from '../time.ts';
import { selectAccounts, withSession } from './context.ts';
import {
  type Cell,
  type CommonFlags,
  type Paint,
  paintFor,
  print,
  printTable,
  type Shell,
  tell,
} from './terminal.ts';

export async function status(
  shell: Shell,
  names: readonly string[],
  flags: CommonFlags,
): Promise<number> {
  return withSession(shell, flags, async ({ rotator }) => {
    const accounts =
      names.length === 0 ? await rotator.accounts() : await selectAccounts(rotator, names);
    const [statuses, results] = [await readStatuses(rotator, accounts), await lastResults(rotator)];
    const rows = statuses.map((status, index) => ({
      status,
      enabled: accounts[index]?.enabled ?? true,
      last: results.get(status.account) ?? null,
    }));
    if (flags.json) print(shell, JSON.stringify(rows.map(jsonOf)));
    else printStandings(shell, flags, rows);
    const shared = findSharedUsers(statuses).map(describeSharedUser);
    for (const problem of shared) tell(shell, `error: ${problem}`);
    return shared.length > 0 ? 2 : Math.max(0, ...statuses.map(exitCodeOf));
  });
}

/** The statuses of these accounts, in their order. */
export function readStatuses(
  rotator: Rotator,
  accounts: readonly Account[],
): Promise<AccountStatus[]> {
  const limit = pLimit(rotator.config.concurrency);
  return Promise.all(accounts.map((account) => limit(() => rotator.status(account))));
}

/** Throws a UsageError when two of these accounts have the same ThingSpace user. */
export function refuseSharedUsers(statuses: readonly AccountStatus[]): void {
  const problems = findSharedUsers(statuses).map(describeSharedUser);
  if (problems.length > 0) throw new UsageError(problems);
}

type LastResult = Pick<RecordView, 'status' | 'reason' | 'timeMs'>;

/** The newest outcome of each account in the audit log; empty when that cannot be read: `audit verify` says why. */
async function lastResults(rotator: Rotator): Promise<ReadonlyMap<string, LastResult>> {
  const found = new Map<string, LastResult>();
  try {
    for await (const { view } of listRecords(rotator.audit.source, {})) {
      const isResult =
        view.code === 'rotation.outcome' ||
        view.code === 'account.stopped' ||
        view.code === 'rotation.reconciled';
      if (isResult && view.account !== undefined) found.set(view.account, view);
    }
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
  }
  return found;
}

function exitCodeOf({ state }: AccountStatus): number {
  switch (state) {
    case 'settled':
    case 'busy':
      return 0;
    case 'unreadable':
      return 1;
    case 'changed':
    case 'in-doubt':
      return 3;
    case 'stopped':
      return 4;
  }
}

type Row = {
  readonly status: AccountStatus;
  readonly enabled: boolean;
  readonly last: LastResult | null;
};

function jsonOf({ status, enabled, last }: Row): object {
  const {
    account,
    secretId,
    username,
    state,
    reason,
    detail,
    next,
    ageDays,
    daysLeft,
    dueAtMs,
    dueness,
    versionId,
    rotationId,
    loginsSpent,
  } = status;
  return {
    account,
    secretId,
    username: username ?? null,
    enabled,
    state,
    reason: reason ?? null,
    detail: detail ?? null,
    ageDays: ageDays === undefined ? null : rounded(ageDays),
    daysLeft: daysLeft === undefined ? null : rounded(daysLeft),
    dueness: dueness ?? null,
    nextRotation: dueAtMs === undefined ? null : isoTime(dueAtMs),
    versionId: versionId ?? null,
    rotationId: rotationId ?? null,
    loginsSpent: loginsSpent ?? null,
    lastResult: last && {
      status: last.status,
      reason: last.reason ?? null,
      at: isoTime(last.timeMs),
    },
    next: next === '' ? null : next,
  };
}

function printStandings(shell: Shell, flags: CommonFlags, rows: readonly Row[]): void {
  const paint = paintFor(shell, shell.stdout);
  const shown = flags.quiet
    ? rows.filter(({ status }) => status.next !== '' || status.dueness === 'overdue')
    : rows;
  printTable(
    shell,
    ['ACCOUNT', 'AGE', 'LEFT', 'NEXT ROTATION', 'STATE', 'LAST RESULT'],
    shown.map((row) => cellsOf(row, paint)),
  );
  if (!shell.stdout.isTTY) return;
  for (const { status } of shown) {
    if (status.next === '') continue;
    print(shell, '');
    print(
      shell,
      `${paint.bold(status.account)}: ${status.reason ?? status.state}${status.detail ? ` (${status.detail})` : ''}`,
    );
    print(shell, `    next: ${status.next}`);
  }
}

function cellsOf({ status, enabled, last }: Row, paint: Paint): Cell[] {
  const { account, ageDays, daysLeft, dueAtMs, dueness, state, reason } = status;
  const leftPaint =
    dueness === 'overdue' ? paint.red : dueness === 'due' ? paint.yellow : paint.green;
  const statePaint =
    state === 'settled' ? paint.green : state === 'busy' ? paint.yellow : paint.red;
  const when =
    dueAtMs === undefined
      ? '-'
      : !enabled
        ? 'by hand only'
        : dueness === 'not-due'
          ? isoDay(dueAtMs)
          : 'due now';
  return [
    account,
    ageDays === undefined ? '-' : String(Math.floor(ageDays)),
    // So that age and days left add up, and an overdue day counts at once.
    {
      text:
        daysLeft === undefined
          ? '-'
          : String(daysLeft < 0 ? Math.floor(daysLeft) : Math.ceil(daysLeft)),
      paint: leftPaint,
    },
    when,
    {
      text: state === 'settled' || reason === undefined ? state : `${state}: ${reason}`,
      paint: statePaint,
    },
    last === null ? '-' : `${last.reason ?? last.status} ${isoDay(last.timeMs)}`,
  ];
}
