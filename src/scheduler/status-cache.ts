// The board: what the service last saw of every account, for the status page, the metrics, the notices and the
// next look. It is memory only, a few hundred bytes per account, and nothing is ever decided by it about a password.

import type { Account } from '../app.ts';
import { failures, type Reason } from '../rotation/failure.ts';
import { ageDays, dayMs, dueAtMs } from '../rotation/policy.ts';
import { isGood } from '../rotation/result.ts';
import type { Policy, Result } from '../rotation/state.ts';
import type { AccountStatus } from '../rotation/status.ts';

/** One account. Dates are UTC milliseconds. */
export type Entry = {
  readonly account: Account;
  readonly policy: Policy;
  state: AccountStatus['state'] | 'unknown';
  reason?: Reason | undefined;
  detail?: string | undefined;
  /** One imperative sentence; empty when nothing is to be done. */
  next: string;
  username?: string | undefined;
  /** Why nothing automatic is done about it, beyond what its secret says: it shares a ThingSpace user with another account. */
  blocked?: string | undefined;
  /** When the password was first stored. */
  passwordSinceMs?: number | undefined;
  lastLookMs?: number | undefined;
  /** How the last attempt ended. */
  lastOutcome?: string | undefined;
  lastSuccessMs?: number | undefined;
  /** When an attempt of this process last changed the password, or may have. */
  changedMs?: number | undefined;
  /** Bad ends in a row. */
  failures: number;
};

export type Board = {
  /** Takes the accounts as they are now; what was known of those that stay is kept. Says who came and who went. */
  set(accounts: readonly Account[]): {
    readonly added: readonly Account[];
    readonly removed: readonly Account[];
  };
  get(name: string): Entry | undefined;
  entries(): readonly Entry[];
  /** Notes how an attempt ended. */
  learn(result: Result): void;
  /** Notes what a look without an attempt found. */
  see(status: AccountStatus, atMs: number): void;
  /** Notes that an attempt ended in a bug. */
  broken(name: string, detail: string, atMs: number): void;
};

export function createBoard(policyOf: (account: Account) => Policy): Board {
  let entries = new Map<string, Entry>();
  const blank = (account: Account): Entry => ({
    account,
    policy: policyOf(account),
    state: 'unknown',
    next: '',
    failures: 0,
  });

  return {
    set: (accounts) => {
      const before = entries;
      const added = accounts.filter(({ name }) => !before.has(name));
      // The same objects stay: a look that is under way holds one.
      entries = new Map(
        accounts.map((account) => [
          account.name,
          Object.assign(before.get(account.name) ?? blank(account), {
            account,
            policy: policyOf(account),
          }),
        ]),
      );
      return {
        added,
        removed: [...before.values()]
          .map(({ account }) => account)
          .filter(({ name }) => !entries.has(name)),
      };
    },
    get: (name) => entries.get(name),
    entries: () => [...entries.values()],
    learn: (result) => {
      const entry = entries.get(result.account);
      if (!entry) return;
      const { reason, detail, endedAtMs } = result;
      const sinceMs = passwordSince(result);
      Object.assign(entry, {
        state: stateAfter(result),
        reason,
        detail: reason === undefined && result.outcome !== 'not-due' ? undefined : detail,
        next: result.next,
        lastLookMs: endedAtMs,
        lastOutcome: result.outcome,
        failures: isGood(result) ? 0 : entry.failures + 1,
      });
      if (isGood(result)) entry.lastSuccessMs = endedAtMs;
      if (sinceMs !== undefined) entry.passwordSinceMs = sinceMs;
      // Promoted from an earlier attempt: its age is the store's to tell.
      else if (result.outcome === 'recovered') entry.passwordSinceMs = undefined;
    },
    see: ({ account, state, reason, detail, next, username, passwordSinceMs }, atMs) => {
      const entry = entries.get(account);
      if (!entry) return;
      Object.assign(entry, { state, reason, detail, next, lastLookMs: atMs });
      if (passwordSinceMs !== undefined) entry.passwordSinceMs = passwordSinceMs;
      if (username === undefined || username === entry.username) return;
      entry.username = username;
      blockShared([...entries.values()]);
    },
    broken: (name, detail, atMs) => {
      const entry = entries.get(name);
      if (!entry) return;
      const next = 'Report this as a bug, with the log; the account is tried again by itself.';
      Object.assign(entry, {
        state: 'unreadable',
        reason: undefined,
        detail,
        next,
        lastLookMs: atMs,
        failures: entry.failures + 1,
      });
    },
  };
}

/** Two accounts that are one ThingSpace user: a rotation of one would kill the other's password, so neither is rotated. */
function blockShared(entries: readonly Entry[]): void {
  const owners = new Map<string, Entry[]>();
  for (const entry of entries) {
    entry.blocked = undefined;
    if (entry.username !== undefined)
      owners.set(entry.username, [...(owners.get(entry.username) ?? []), entry]);
  }
  for (const sharing of owners.values()) {
    if (sharing.length < 2) continue;
    const names = sharing.map(({ account }) => account.name).join(' and ');
    for (const entry of sharing)
      entry.blocked = `${names} are one ThingSpace user; keep one of them in the configuration`;
  }
}

/** The reasons that say that the store did not tell where the account stands. */
const unreadable: readonly Reason[] = [
  'store-unavailable',
  'store-denied',
  'secret-not-found',
  'secret-invalid',
];

/** As status.ts would call it, from how an attempt ended. */
function stateAfter({ reason }: Result): Entry['state'] {
  if (reason === undefined) return 'settled';
  if (reason === 'busy') return 'busy';
  if (unreadable.includes(reason)) return 'unreadable';
  const { certainty } = failures[reason];
  if (certainty === 'stopped' || certainty === 'lost') return 'stopped';
  return certainty === 'unchanged' ? 'settled' : certainty;
}

/** When the password in AWSCURRENT was stored, where the result tells. A dead window ends with a new AWSCURRENT. */
function passwordSince({
  outcome,
  deadWindowMs,
  ageDays: age,
  startedAtMs,
  endedAtMs,
}: Result): number | undefined {
  if (outcome === 'rotated' || deadWindowMs !== undefined) return endedAtMs;
  if (outcome === 'recovered' || age === undefined) return undefined;
  return startedAtMs - age * dayMs;
}

/** Ages of an entry at a time; undefined where the age is not known. */
export function agesOf({ passwordSinceMs, policy }: Entry, nowMs: number) {
  if (passwordSinceMs === undefined) return undefined;
  const age = ageDays(passwordSinceMs, nowMs);
  return {
    ageDays: age,
    daysLeft: policy.maxAgeDays - age,
    dueAtMs: dueAtMs(passwordSinceMs, policy),
  };
}

/** How much an account needs a person, most first: 0 is the worst. */
export function rankOf(entry: Entry, nowMs: number): number {
  const daysLeft = agesOf(entry, nowMs)?.daysLeft;
  if (entry.reason === 'password-lost') return 0;
  if (entry.state === 'stopped' || entry.blocked !== undefined) return 1;
  if (daysLeft !== undefined && daysLeft < 0) return 2;
  if (entry.state === 'in-doubt') return 3;
  if (entry.state === 'changed') return 4;
  if (entry.state === 'unreadable') return 5;
  if (entry.reason !== undefined && entry.state !== 'busy') return 6;
  return entry.state === 'unknown' ? 8 : 7;
}

/** Worst first; among equals the one with the fewest days left. */
export function worstFirst(entries: readonly Entry[], nowMs: number): Entry[] {
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
