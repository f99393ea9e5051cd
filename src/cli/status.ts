// status: the state of each account, read-only. Two accounts with one ThingSpace user are an error.

import pLimit from 'p-limit';
import type { Account, Rotator } from '../app.ts';
import { listRecords } from '../audit/query.ts';
import type { RecordView } from '../audit/record.ts';
import { UsageError } from '../config/errors.ts';
import { selectAccounts } from '../order.ts';
import { explanationLines } from '../rotation/catalogue.ts';
import { Failure } from '../rotation/failure.ts';
import { rounded } from '../rotation/result-json.ts';
import { describeSharedUser, findSharedUsers } from '../rotation/shared-users.ts';
import type { AccountStatus } from '../rotation/status.ts';
import { isoDay, isoTime } from '../time.ts';
import { type Session, withSession } from './context.ts';
import { columnsOf, paintFor, print, printTable, type Shell, tell, wrapped } from './terminal.ts';

export async function status(shell: Shell, _: object, ...names: string[]): Promise<number> {
  const show = async ({ rotator }: Session): Promise<number> => {
    const all = await rotator.accounts();
    const accounts = names.length === 0 ? all : selectAccounts(all, names);
    const statuses = await readStatuses(rotator, accounts);
    const results = await readLastResults(shell, rotator);
    const rows = statuses.map((status, index) => ({
      status,
      enabled: accounts[index]?.enabled ?? true,
      last: results.get(status.account) ?? null,
    }));
    if (shell.flags.json) print(shell, JSON.stringify(rows.map(jsonOf)));
    else printRows(shell, rows);
    const shared = findSharedUsers(statuses).map(describeSharedUser);
    for (const problem of shared) tell(shell, `error: ${problem}`);
    return shared.length > 0 ? 2 : Math.max(0, ...rows.map(exitCodeOf));
  };
  return withSession(shell, show, 'read');
}

/** The statuses of these accounts, in their order. */
export function readStatuses(rotator: Rotator, accounts: readonly Account[]) {
  const limit = pLimit(rotator.config.concurrency);
  return Promise.all(accounts.map((account) => limit(() => rotator.status(account))));
}

/** Throws a UsageError when two of these accounts have the same ThingSpace user. */
export function refuseSharedUsers(statuses: readonly AccountStatus[]): void {
  const problems = findSharedUsers(statuses).map(describeSharedUser);
  if (problems.length > 0) throw new UsageError(problems);
}

type LastResult = Pick<RecordView, 'status' | 'reason' | 'timeMs'>;

const resultCodes = [
  'rotation.outcome',
  'account.stopped',
  'rotation.reconciled',
  'attempt.failed',
];

/** The newest result of each account in the audit log, as far as the log can be read. */
async function readLastResults(shell: Shell, rotator: Rotator): Promise<Map<string, LastResult>> {
  const found = new Map<string, LastResult>();
  try {
    for await (const { view } of listRecords(rotator.audit.source, {}))
      if (resultCodes.includes(view.code) && view.account !== undefined)
        found.set(view.account, view);
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    tell(shell, `The audit log cannot be read: ${error.message}. The last results are missing.`);
  }
  return found;
}

/** States as people read them (a pipe gets the words of `--json`), and their exit codes. */
export const states = {
  settled: { word: 'healthy', exitCode: 0 },
  busy: { word: 'busy', exitCode: 0 },
  unreadable: { word: 'unreadable', exitCode: 1 },
  changed: { word: 'changed', exitCode: 3 },
  'in-doubt': { word: 'in doubt', exitCode: 3 },
  stopped: { word: 'suspended', exitCode: 4 },
} as const;

type Row = {
  readonly status: AccountStatus;
  readonly enabled: boolean;
  readonly last: LastResult | null;
};

/** Whether the password is due, and the last attempt to change it failed. */
const isFailing = ({ status: { state, dueness }, last }: Row): boolean =>
  state === 'settled' && dueness !== 'not-due' && last?.status === 'failure';

const exitCodeOf = (row: Row): number => (isFailing(row) ? 1 : states[row.status.state].exitCode);

/** The fields of `status --json`; null where there is no value. */
function jsonOf({ status, enabled, last }: Row): object {
  const { account, secretId, username, state, reason, detail, dueness, dueAtMs, next } = status;
  const { versionId, rotationId, loginsSpent } = status;
  const { ageDays, daysLeft } = knownAges(status);
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

function printRows(shell: Shell, rows: readonly Row[]): void {
  const shown = rows.filter(
    ({ status: { next, dueness } }) => !shell.flags.quiet || next !== '' || dueness === 'overdue',
  );
  printTable(
    shell,
    ['ACCOUNT', 'AGE', 'LEFT', 'NEXT ROTATION', 'STATE', 'LAST RESULT'],
    shown.map((row) => cellsOf(shell, row)),
  );
  if (!shell.stdout.isTTY) return;
  const wrap = (line: string): string[] => wrapped(columnsOf(shell.stdout), line);
  for (const { status } of shown) {
    const { reason, account, detail, facts } = status;
    if (reason === undefined) continue;
    const known = { ...facts, account, detail, config: shell.flags.config };
    for (const line of ['', ...explanationLines(reason, known, wrap)]) print(shell, line);
  }
}

/** Rounded so that age and days left add up, and an overdue day counts at once. */
const roundedDaysLeft = (days: number): number => (days < 0 ? Math.floor(days) : Math.ceil(days));

function cellsOf(shell: Shell, row: Row) {
  const { red, yellow, green } = paintFor(shell, shell.stdout);
  const { account, dueness, state, reason } = row.status;
  const { ageDays, daysLeft } = knownAges(row.status);
  const word = shell.stdout.isTTY ? states[state].word : state;
  const isHealthy = state === 'settled' && !isFailing(row);
  const isGreen = state === 'settled' && dueness === 'not-due' && daysLeft !== undefined;
  return [
    account,
    ageDays === undefined ? unknownAge(row.status) : String(Math.floor(ageDays)),
    {
      text: daysLeft === undefined ? unknownAge(row.status) : String(roundedDaysLeft(daysLeft)),
      paint: dueness === 'overdue' ? red : isGreen ? green : yellow,
    },
    nextRotation(row),
    {
      text: isFailing(row) ? 'failing' : reason === undefined ? word : `${word}: ${reason}`,
      paint: isHealthy ? green : state === 'busy' ? yellow : red,
    },
    row.last === null ? '-' : `${row.last.reason ?? row.last.status} ${isoDay(row.last.timeMs)}`,
  ];
}

/** Age and days left; none where nobody said how old the password is. */
const knownAges = (status: AccountStatus): Pick<AccountStatus, 'ageDays' | 'daysLeft'> =>
  status.isAgeKnown === false ? {} : status;

/** The password can be read, and nobody said how old it is. */
const unknownAge = ({ isAgeKnown }: AccountStatus): string =>
  isAgeKnown === false ? 'unknown' : '-';

function nextRotation({ status: { dueAtMs, dueness }, enabled }: Row): string {
  if (dueAtMs === undefined) return '-';
  if (!enabled) return 'by hand only';
  return dueness === 'not-due' ? isoDay(dueAtMs) : 'due now';
}
