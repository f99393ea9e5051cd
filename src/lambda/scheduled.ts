// The daily look, and the order by hand: a small fleet is rotated here and now, of a larger one whatever needs it goes to the work
// queue. No rule of the protocol lives here.

import { randomUUID } from 'node:crypto';
import pLimit from 'p-limit';
import type { Account } from '../app.ts';
import { suggestion, UsageError } from '../config/errors.ts';
import { exitCodeOf, Failure } from '../rotation/failure.ts';
import { resultJson } from '../rotation/result-json.ts';
import type { Result } from '../rotation/state.ts';
import type { AccountStatus } from '../rotation/status.ts';
import { partnersOf } from '../scheduler/keyed-queue.ts';
import { run } from '../scheduler/run.ts';
import { type Order, readOrder, type Work } from './messages.ts';
import type { Invocation } from './runtime.ts';

/** The answer of an invocation by hand. The results are the lines of `rotate --json`. */
export type Answer = {
  readonly exitCode: 0 | 1 | 3 | 4;
  readonly accounts: number;
  readonly results: readonly object[];
  /** Accounts whose work went to the queue. */
  readonly queued: readonly string[];
};

export async function runScheduled(event: unknown, invocation: Invocation): Promise<Answer> {
  const order = readOrder(event, invocation.requestId);
  const { rotator, queue, inlineAccounts, metrics, clock, log } = invocation;
  const accounts = selected(await rotator.accounts(), order.accounts);
  log.info('run.started', { accounts: accounts.length, reason: order.trigger.reason });

  const isLarge = queue !== null && order.purpose === 'rotate' && accounts.length > inlineAccounts;
  const before = isLarge ? await statuses(invocation, accounts) : null;
  const needing = before ? await accountsThatNeedIt(invocation, accounts, before, order) : accounts;
  let results: readonly Result[] = [];
  let queued: readonly string[] = [];
  let exitCode: Answer['exitCode'] = 0;
  if (before && needing.length > inlineAccounts) {
    ({ queued, exitCode } = await fanOut(invocation, needing, order));
    for (const status of before) metrics.recordAccount(status);
  } else {
    ({ results, exitCode } = await run(rotator, {
      accounts: needing,
      ask: {
        purpose: order.purpose,
        force: order.force,
        trigger: order.trigger,
        ...(order.purpose === 'recover' ? { impatient: true } : {}),
      },
      interrupt: invocation.interrupt,
      onResult: (result) => metrics.recordResult(result),
    }));
    for (const status of await statuses(invocation, accounts)) metrics.recordAccount(status);
  }
  metrics.recordRun(clock.nowMs());
  log.info('run.finished', {
    accounts: accounts.length,
    count: results.length + queued.length,
    outcome: String(exitCode),
  });
  return {
    exitCode,
    accounts: accounts.length,
    results: results.map(resultJson),
    queued,
  };
}

/** Throws a UsageError that names the nearest right account. */
function selected(accounts: readonly Account[], names: readonly string[]): readonly Account[] {
  if (names.length === 0) return accounts.filter(({ enabled }) => enabled);
  const known = accounts.map(({ name }) => name);
  const unknown = names.filter((name) => !known.includes(name));
  if (unknown.length > 0)
    throw new UsageError(
      unknown.map((name) => `unknown account ${name}; ${suggestion(name, known)}`),
    );
  return accounts.filter(({ name }) => names.includes(name));
}

/** What the last seconds of an invocation are kept for. */
const lastWordsMs = 5_000;

/** Where the accounts stand, read-only; as many as the time allows. */
async function statuses(
  { rotator, config, clock }: Invocation,
  accounts: readonly Account[],
): Promise<(AccountStatus & { state: AccountStatus['state'] })[]> {
  const limit = pLimit(2 * config.concurrency);
  const found = await Promise.all(
    accounts.map((account) =>
      limit(async () => (clock.remainingMs() < lastWordsMs ? [] : [await rotator.status(account)])),
    ),
  );
  return found.flat();
}

/** What a run would not leave alone: due, unfinished, unreadable, or with an intent that has no outcome yet. Of a pair, one. */
async function accountsThatNeedIt(
  { rotator }: Invocation,
  accounts: readonly Account[],
  statuses: readonly AccountStatus[],
  { force }: Order,
): Promise<readonly Account[]> {
  const byName = new Map(statuses.map((status) => [status.account, status]));
  const needing: Account[] = [];
  for (const account of accounts) {
    const status = byName.get(account.name);
    const isOpen =
      status === undefined || status.state !== 'settled' || status.dueness !== 'not-due';
    if (!force && !isOpen && (await openIntents(rotator, account)) === 0) continue;
    const partners = partnersOf(account.name, rotator.config.pairs);
    if (!needing.some(({ name }) => partners.includes(name))) needing.push(account);
  }
  return needing;
}

async function openIntents(rotator: Invocation['rotator'], { name }: Account): Promise<number> {
  try {
    return (await rotator.audit.rotationsOf(name)).open.length;
  } catch (error) {
    if (error instanceof Failure) return 0;
    throw error;
  }
}

/** One message per account; told to the audit log like every run. */
async function fanOut(
  invocation: Invocation,
  accounts: readonly Account[],
  order: Order,
): Promise<Pick<Answer, 'queued' | 'exitCode'>> {
  const { queue, clock, rotator, log } = invocation;
  if (queue === null) throw new Error('bug: no queue to send to');
  const runId = randomUUID();
  const requestedAtMs = clock.nowMs();
  const work = accounts.map(
    ({ name, secretId }): Work => ({
      account: name,
      secretId,
      force: order.force,
      requestedAtMs,
      trigger: order.trigger,
    }),
  );
  const untaken = await (await queue()).send(work, runId);
  for (const account of untaken) log.error('work.not-queued', { account });
  // A run over no account of its own: `worker` tells what becomes of each.
  await run(rotator, {
    accounts: [],
    ask: { purpose: 'rotate', trigger: order.trigger },
    interrupt: invocation.interrupt,
  });
  const queued = accounts.map(({ name }) => name).filter((name) => !untaken.includes(name));
  return { queued, exitCode: untaken.length === 0 ? 0 : exitCodeOf('unchanged', false) };
}
