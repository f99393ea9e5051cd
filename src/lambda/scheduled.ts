// The daily run, and orders. A small number of accounts is rotated in this invocation; from a large
// number, those that need an attempt are sent to the work queue. No rule of the protocol is here.

import { randomUUID } from 'node:crypto';
import pLimit from 'p-limit';
import type { Account } from '../app.ts';
import { missingProtections } from '../config/protections.ts';
import { keyDigestOf, selectAccounts } from '../order.ts';
import { exitCodeOf, Failure } from '../rotation/failure.ts';
import { type ResultJson, resultJson } from '../rotation/result-json.ts';
import type { AccountStatus } from '../rotation/status.ts';
import { partnersOf } from '../scheduler/keyed-queue.ts';
import { run } from '../scheduler/run.ts';
import { openHeartbeat, withHeartbeat } from '../telemetry/heartbeat.ts';
import { formatWork, isSweep, readOrder, type ScheduledOrder } from './messages.ts';
import { judgedBy, recordResultOf } from './record-result.ts';
import type { Invocation } from './runtime.ts';
import { sweep } from './sweep.ts';

/** The response of an invocation. The results have the fields of `rotate --json`. */
export type Answer = {
  readonly exitCode: 0 | 1 | 3 | 4;
  readonly accounts: number;
  readonly results: readonly ResultJson[];
  /** Accounts whose work was sent to the queue. */
  readonly queued: readonly string[];
  /** The protections that are off, a sentence each. */
  readonly warnings: readonly string[];
};

type Done = Pick<Answer, 'exitCode' | 'results' | 'queued'>;

export async function runScheduled(event: unknown, invocation: Invocation): Promise<Answer> {
  if (isSweep(event))
    return { accounts: 0, queued: [], warnings: [], ...(await sweep(invocation)) };
  const order = readOrder(event, invocation.requestId);
  const { rotator, log } = invocation;
  const accounts = selectAccounts(await rotator.accounts(), order.accounts);
  log.info('run.started', { accounts: accounts.length, reason: order.trigger.reason });
  const { exitCode, results, queued } = await dispatch(invocation, accounts, order);
  log.info('run.finished', {
    accounts: accounts.length,
    count: results.length + queued.length,
    outcome: String(exitCode),
  });
  const warnings = warningsOf(invocation);
  return { exitCode, accounts: accounts.length, results, queued, warnings };
}

/** What the program cannot notice while it works. */
function warningsOf({ config, alarmEmail }: Invocation): string[] {
  const warnings = missingProtections(config).map(({ key, detail }) => `${key}: ${detail}`);
  if (alarmEmail === '')
    warnings.push(
      'alarms: The stage file names no AlarmEmail. Check that somebody has subscribed to the ' +
        'topic of the alarms.',
    );
  return warnings;
}

/** Rotates here, or sends to the queue what needs an attempt. */
async function dispatch(
  invocation: Invocation,
  accounts: readonly Account[],
  order: ScheduledOrder,
): Promise<Done> {
  const { queue, inlineAccounts, metrics, rotator } = invocation;
  const isFleet = order.action === 'rotate' && order.accounts.length === 0;
  let needed = accounts;
  if (queue !== null && order.action === 'rotate' && accounts.length > inlineAccounts) {
    const before = await readStatuses(invocation, accounts);
    needed = await selectNeeded(invocation, accounts, before, order);
    // The others are recorded with the result of their attempt, here or by `worker`.
    for (const status of before)
      if (!needed.some(({ name }) => name === status.account))
        metrics.recordAccount(status, judgedBy(invocation, accounts, status.account).isExempt);
    if (needed.length > inlineAccounts) {
      const done = await sendToQueue(invocation, needed, order);
      // An account that is not queued was not part of the run: the alarm NoRun reports it.
      if (isFleet && done.exitCode === 0) metrics.recordRun();
      return done;
    }
  }
  const { config, clock, log, interrupt } = invocation;
  const monitor =
    config.heartbeat && isFleet ? openHeartbeat({ ...config.heartbeat, clock, log }) : undefined;
  const { action, force, trigger } = order;
  const impatient = action === 'recover';
  const keyDigest = keyDigestOf(order.idempotencyKey);
  const { results, exitCode } = await withHeartbeat(monitor, accounts.length, async () => {
    const done = await run(rotator, {
      accounts: needed,
      ask: { purpose: action, force, keyDigest, trigger, impatient },
      interrupt,
      onResult: recordResultOf(invocation, needed),
    });
    if (isFleet) metrics.recordRun();
    return done;
  });
  return { exitCode, results: results.map(resultJson), queued: [] };
}

/** The end of an invocation is reserved for metrics and the log. */
const reservedMs = 5_000;

/** The statuses of the accounts, read-only; as many as the remaining time permits. */
async function readStatuses(
  { rotator, config, clock }: Invocation,
  accounts: readonly Account[],
): Promise<AccountStatus[]> {
  const limit = pLimit(2 * config.concurrency);
  const found = await Promise.all(
    accounts.map((account) =>
      limit(async () => (clock.remainingMs() < reservedMs ? [] : [await rotator.status(account)])),
    ),
  );
  return found.flat();
}

/**
 * The accounts that are due, unfinished, unreadable or have an open intent; one account of each
 * pair.
 */
async function selectNeeded(
  { rotator }: Invocation,
  accounts: readonly Account[],
  statuses: readonly AccountStatus[],
  { force }: ScheduledOrder,
): Promise<readonly Account[]> {
  const byName = new Map(statuses.map((status) => [status.account, status]));
  const open = await accountsWithOpenRotation(rotator);
  const needed: Account[] = [];
  for (const account of accounts) {
    const status = byName.get(account.name);
    const isHealthy = status?.state === 'settled' && status.dueness === 'not-due';
    if (!force && isHealthy && !open.has(account.name)) continue;
    const partners = partnersOf(account.name, rotator.config.pairs);
    if (!needed.some(({ name }) => partners.includes(name))) needed.push(account);
  }
  return needed;
}

/** The accounts with an unfinished rotation, as far as the audit log can be read. */
async function accountsWithOpenRotation({ audit }: Invocation['rotator']): Promise<Set<string>> {
  try {
    return new Set((await audit.unfinished()).map(({ account }) => account));
  } catch (error) {
    if (error instanceof Failure) return new Set();
    throw error;
  }
}

/** Sends one message per account; the audit log records it like each run. */
async function sendToQueue(
  invocation: Invocation,
  accounts: readonly Account[],
  { force, trigger, idempotencyKey }: ScheduledOrder,
): Promise<Done> {
  const { queue, rotator, log, interrupt } = invocation;
  if (queue === null) throw new Error('bug: no queue to send to');
  const messages = accounts.map(({ name: account, secretId }) => ({
    account,
    body: formatWork({ account, secretId, force, idempotencyKey, trigger }),
  }));
  const failed = await (await queue()).send(messages, randomUUID());
  for (const account of failed) log.error('work.not-queued', { account });
  // A run without accounts: `worker` records the result of each account.
  await run(rotator, { accounts: [], ask: { purpose: 'rotate', trigger }, interrupt });
  const queued = accounts.map(({ name }) => name).filter((name) => !failed.includes(name));
  const exitCode = failed.length === 0 ? 0 : exitCodeOf('unchanged', false);
  return { results: [], queued, exitCode };
}
