// What the service knows of every account, for the status page, the metrics, the alerts and the
// scheduler. Memory only, a few hundred bytes per account. It never decides anything about a
// password: each attempt reads its secret.

import type { Account } from '../app.ts';
import { type Facts, type Reason, storeFailures } from '../rotation/failure.ts';
import { ageDays, dueAtMs, isExemptAt } from '../rotation/policy.ts';
import type { Clock } from '../rotation/ports.ts';
import { isGood } from '../rotation/result.ts';
import { describeSharedUser, findSharedUsers } from '../rotation/shared-users.ts';
import type { Policy, Result } from '../rotation/state.ts';
import { type AccountStatus, stateOfReason } from '../rotation/status.ts';
import { dayMs } from '../time.ts';

/** One account. Times are UTC milliseconds. */
export type AccountEntry = {
  readonly account: Account;
  readonly policy: Policy;
  state: AccountStatus['state'] | 'unknown';
  reason?: Reason | undefined;
  detail?: string | undefined;
  /** What is known about a failure, for `explain` (catalogue.ts). */
  facts?: Facts | undefined;
  /** The first step to take, on one line; empty when there is none. */
  next: string;
  username?: string | undefined;
  /** Why this account is not rotated: another one has the same ThingSpace user. */
  blocked?: string | undefined;
  /** When the password was first stored. */
  passwordSinceMs?: number | undefined;
  /** False: nobody said how old the password is; it is due as if it were new when stored. */
  isAgeKnown?: boolean | undefined;
  /** When the account was checked last, with or without an answer. */
  checkedAtMs?: number | undefined;
  /** When the store last gave what the status rests on. */
  evidenceAtMs?: number | undefined;
  /** The scheduled run that has to renew the evidence. */
  nextRunMs: number;
  lastSuccessMs?: number | undefined;
  /**
   * Since when the account fails: the first failure of those in a row, or what the store knows of
   * a suspension or an unfinished rotation.
   */
  failingSinceMs?: number | undefined;
  /** When an attempt of this process changed the password, or may have changed it. */
  changedMs?: number | undefined;
  /** Failures in a row. */
  failures: number;
};

export type StatusCache = ReturnType<typeof createStatusCache>;

export type StatusCacheOptions = {
  readonly policyOf: (account: Account) => Policy;
  /** The next run of the account's schedule, with its delay in that run; UTC milliseconds. */
  readonly nextRunMs: (account: Account) => number;
  readonly clock: Pick<Clock, 'nowMs'>;
};

export function createStatusCache({ policyOf, nextRunMs, clock }: StatusCacheOptions) {
  let entries = new Map<string, AccountEntry>();

  function recordEvidence(entry: AccountEntry, atMs: number): void {
    entry.evidenceAtMs = atMs;
    entry.nextRunMs = nextRunMs(entry.account);
  }

  return {
    /** Replaces the accounts, and keeps what is known of those that stay. Returns the others. */
    replaceAccounts: (accounts: readonly Account[]): readonly Account[] => {
      const before = entries;
      const blank = { state: 'unknown', next: '', failures: 0 } as const;
      // The objects stay the same: an attempt in progress holds one.
      entries = new Map(
        accounts.map((account) => {
          const policy = policyOf(account);
          // A new account is checked now.
          const entry = before.get(account.name) ?? { ...blank, nextRunMs: clock.nowMs() };
          return [account.name, Object.assign(entry, { account, policy })];
        }),
      );
      return [...before.values()]
        .map(({ account }) => account)
        .filter(({ name }) => !entries.has(name));
    },
    get: (name: string): AccountEntry | undefined => entries.get(name),
    entries: (): readonly AccountEntry[] => [...entries.values()],
    /** Records how an attempt ended. */
    recordResult: (result: Result): void => {
      const entry = entries.get(result.account);
      if (!entry) return;
      applyResult(entry, result);
      if (isEvidence(result)) recordEvidence(entry, result.endedAtMs);
    },
    /** Records what a check without an attempt found. */
    recordStatus: (status: AccountStatus, atMs: number): void => {
      const entry = entries.get(status.account);
      if (!entry) return;
      const { username, passwordSinceMs } = status;
      applyStatus(entry, status, atMs);
      if (isEvidence(status)) recordEvidence(entry, atMs);
      if (passwordSinceMs !== undefined)
        Object.assign(entry, { passwordSinceMs, isAgeKnown: status.isAgeKnown });
      if (username === undefined || username === entry.username) return;
      entry.username = username;
      blockSharedUsers([...entries.values()]);
    },
    /** Records that an attempt ended in a bug. */
    recordBug: (name: string, detail: string, atMs: number): void => {
      const entry = entries.get(name);
      if (!entry) return;
      Object.assign(entry, {
        state: 'unreadable',
        reason: undefined,
        detail,
        facts: undefined,
        next: 'Report this bug with the log. The next scheduled run retries.',
        checkedAtMs: atMs,
      });
      countFailure(entry, atMs);
    },
  };
}

/** The reasons for which an account was not read. */
const unread: readonly Reason[] = [
  ...storeFailures,
  'interrupted',
  'out-of-time',
  'audit-unavailable',
];

/** Whether the store said how the account is, be it good or bad. */
const isEvidence = ({ reason }: Pick<Result, 'reason'>): boolean =>
  reason === undefined || !unread.includes(reason);

/** A failure stays until an attempt succeeds, unless it was that of reading, which works now. */
function applyStatus(entry: AccountEntry, status: AccountStatus, atMs: number): void {
  const { state, reason, detail, facts, next } = status;
  const isFailing = entry.failures > 0 && entry.reason !== undefined;
  const staysFailed = isFailing && reason === undefined && entry.state !== 'unreadable';
  Object.assign(entry, { state, checkedAtMs: atMs });
  if (!staysFailed) Object.assign(entry, { reason, detail, facts, next });
  if (entry.failures > 0) return;
  const knownMs = facts?.suspendedAtMs ?? facts?.unfinishedSinceMs ?? entry.failingSinceMs;
  entry.failingSinceMs = reason === undefined || reason === 'busy' ? undefined : (knownMs ?? atMs);
}

function countFailure(entry: AccountEntry, atMs: number): void {
  entry.failures += 1;
  entry.failingSinceMs ??= atMs;
}

function applyResult(entry: AccountEntry, result: Result): void {
  const { outcome, reason, detail, facts, next, endedAtMs } = result;
  Object.assign(entry, {
    state: reason === undefined ? 'settled' : stateOfReason(reason),
    reason,
    detail: reason === undefined && outcome !== 'not-due' ? undefined : detail,
    facts,
    next,
    checkedAtMs: endedAtMs,
  });
  if (!isGood(result)) countFailure(entry, endedAtMs);
  else Object.assign(entry, { failures: 0, failingSinceMs: undefined, lastSuccessMs: endedAtMs });
  if (outcome === 'rotated' || outcome === 'recovered') entry.isAgeKnown = true;
  const sinceMs = passwordSinceMs(result);
  if (sinceMs !== undefined) entry.passwordSinceMs = sinceMs;
  // An earlier attempt issued this password; the next check reads its age from the store.
  else if (outcome === 'recovered') entry.passwordSinceMs = undefined;
}

function blockSharedUsers(entries: readonly AccountEntry[]): void {
  const shared = findSharedUsers(
    entries.map(({ account, username }) => ({ account: account.name, username })),
  );
  for (const entry of entries) {
    const names = shared.find((one) => one.includes(entry.account.name));
    entry.blocked = names && describeSharedUser(names);
  }
}

/** When the current password was stored, if the result tells. */
function passwordSinceMs(result: Result): number | undefined {
  const { outcome, deadWindowMs, ageDays: age, startedAtMs, endedAtMs } = result;
  if (outcome === 'rotated' || deadWindowMs !== undefined) return endedAtMs;
  if (outcome === 'recovered' || age === undefined) return undefined;
  return startedAtMs - age * dayMs;
}

/** The age of the password at `nowMs`; undefined when it, or the password, is not known. */
export function agesOf({ passwordSinceMs, policy, reason }: AccountEntry, nowMs: number) {
  if (passwordSinceMs === undefined || reason === 'password-lost') return undefined;
  const age = ageDays(passwordSinceMs, nowMs);
  return {
    ageDays: age,
    daysLeft: policy.maxAgeDays - age,
    dueAtMs: dueAtMs(passwordSinceMs, policy),
  };
}

/** A scheduled run has so long to reach an account, and to renew its evidence. */
const graceMs = 2 * 3_600_000;
/** Evidence that is dated further ahead was written while this clock was wrong. */
const maxAheadMs = 60_000;

/** Whether nothing positive may be said of an account: its evidence is too old, or misdated. */
export function isStale({ evidenceAtMs = 0, nextRunMs }: AccountEntry, nowMs: number): boolean {
  return nowMs > nextRunMs + graceMs || evidenceAtMs > nowMs + maxAheadMs;
}

/** Whether the policy does not apply today, because somebody approved that. */
export const isExempt = ({ account }: Pick<AccountEntry, 'account'>, nowMs: number): boolean =>
  isExemptAt(account, nowMs);

/**
 * Whether the password is older than the policy permits, for the page, the metrics, the alerts and
 * the notifications. An exempt account is not overdue, nor is one that only a command rotates.
 */
export function isOverdue(entry: AccountEntry, nowMs: number): boolean {
  const isOver = (agesOf(entry, nowMs)?.daysLeft ?? 0) < 0;
  return isOver && entry.account.enabled && !isExempt(entry, nowMs);
}

/** Whether nothing is wrong with an account, by evidence that is not stale. */
export function isWell(entry: AccountEntry, nowMs: number): boolean {
  const { state, reason, blocked, account } = entry;
  if (isStale(entry, nowMs) || isOverdue(entry, nowMs)) return false;
  if (reason !== undefined || blocked !== undefined || state !== 'settled') return false;
  return !account.enabled || agesOf(entry, nowMs) !== undefined;
}

/** How urgently an account needs a person; 0 is the most urgent. */
export function rankOf(entry: AccountEntry, nowMs: number): number {
  if (entry.reason === 'password-lost') return 0;
  if (entry.state === 'stopped' || entry.blocked !== undefined) return 1;
  if (isOverdue(entry, nowMs)) return 2;
  if (entry.state === 'in-doubt') return 3;
  if (entry.state === 'changed') return 4;
  if (entry.state === 'unreadable') return 5;
  if (entry.reason !== undefined && entry.state !== 'busy') return 6;
  if (isStale(entry, nowMs)) return 7;
  if (entry.state === 'unknown') return 10;
  if (isExempt(entry, nowMs)) return 11;
  return entry.isAgeKnown === false ? 8 : 9;
}

/** Most urgent first; among equals the one with the fewest days left. */
export function worstFirst(entries: readonly AccountEntry[], nowMs: number): AccountEntry[] {
  const ranked = entries.map((entry) => ({
    entry,
    rank: rankOf(entry, nowMs),
    left: agesOf(entry, nowMs)?.daysLeft ?? Number.MAX_VALUE,
  }));
  ranked.sort(
    (a, b) =>
      a.rank - b.rank || a.left - b.left || (a.entry.account.name < b.entry.account.name ? -1 : 1),
  );
  return ranked.map(({ entry }) => entry);
}
