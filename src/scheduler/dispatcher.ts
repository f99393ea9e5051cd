// Decides which account is processed next: starts runs, sends what is due to the attempt runner,
// and puts failed accounts back into the due queue. During an outage it sends single probes only.
//
// Order constraint: every account is checked once before the first run starts, so that accounts
// with the same ThingSpace user are known before any of them is rotated.

import type { Account, Ask } from '../app.ts';
import type { Trigger } from '../rotation/event.ts';
import type { Result } from '../rotation/state.ts';
import { type AttemptRunner, isHeld, type Processed, processAccount } from './attempt-runner.ts';
import { jitterMs } from './cron.ts';
import type { DueItem, DueQueue } from './due-queue.ts';
import type { ProbeSchedule } from './outage.ts';
import { retryDelayMs } from './retry.ts';
import type { Run, RunLog, RunRequest } from './run-log.ts';

export type Dispatcher = {
  readonly runner: AttemptRunner;
  readonly queue: DueQueue;
  readonly probes: ProbeSchedule;
  readonly runLog: RunLog;
  /** Accounts that the first check has not reached yet. */
  readonly unchecked: Set<string>;
  /** Ends the sleep of the scheduler loop, because the due queue has changed. */
  readonly wake: () => void;
};

/** Accounts that an outage held back start again within so many minutes. */
const spreadMinutes = 10;

const retryTrigger: Trigger = { kind: 'schedule', reason: 'retry after a failure' };

function checkNow({ runner, queue }: Dispatcher, name: string): void {
  queue.add({ name, task: 'check', atMs: runner.clock.monotonicMs(), run: null });
}

/** Checks every account once; the first run starts when the last one is checked. */
export function checkAll(dispatcher: Dispatcher): void {
  for (const { account } of dispatcher.runner.statuses.entries()) {
    dispatcher.unchecked.add(account.name);
    checkNow(dispatcher, account.name);
  }
}

/** Checks the accounts whose evidence is dated in the future: the clock was ahead. */
export function checkMisdated(dispatcher: Dispatcher): void {
  const { runner, queue } = dispatcher;
  const nowMs = runner.clock.nowMs();
  for (const { account, evidenceAtMs = 0 } of runner.statuses.entries())
    if (evidenceAtMs > nowMs && !queue.get(account.name)) checkNow(dispatcher, account.name);
}

/** Starts a run. Accounts that wait or run already are left out. */
export function startRun(
  dispatcher: Dispatcher,
  accounts: readonly Account[],
  reason: string,
  delayMs: (account: Account) => number,
): void {
  const { runner, queue, wake } = dispatcher;
  const isFree = ({ name }: Account): boolean =>
    !queue.get(name)?.run && !runner.keyedQueue.isBusy(name);
  const enabled = accounts.filter((account) => account.enabled && isFree(account));
  const trigger: Trigger = { kind: 'schedule', reason };
  const run = enabled.length === 0 ? null : openRun(dispatcher, enabled, trigger, 'scheduled');
  const nowMs = runner.clock.monotonicMs();
  for (const account of enabled)
    queue.add({ name: account.name, task: 'attempt', atMs: nowMs + delayMs(account), run });
  for (const { name, enabled } of accounts) if (!enabled) checkNow(dispatcher, name);
  wake();
}

function openRun(
  { runLog, runner: { emit, clock, statuses } }: Dispatcher,
  accounts: readonly { readonly name: string }[],
  trigger: Trigger,
  scheduled?: 'scheduled',
  request?: RunRequest,
): Run {
  const names = accounts.map(({ name }) => name);
  const isScheduled = scheduled !== undefined;
  emit({ event: 'run.started', isScheduled });
  const onEnd = (): void =>
    emit({ event: 'run.ended', isScheduled, entries: statuses.entries(), atMs: clock.nowMs() });
  return runLog.start(names, trigger, onEnd, request);
}

/** Forgets an account that is no longer configured. */
export function forget({ queue, unchecked }: Dispatcher, name: string): void {
  queue.get(name)?.run?.finish(name, null);
  queue.remove(name);
  unchecked.delete(name);
}

/** Starts what is due. Does not wait for it. */
export function dispatchDue(dispatcher: Dispatcher, nowMs: number): void {
  const { runner, queue, probes, wake } = dispatcher;
  if (probes.update(nowMs)) spread(dispatcher, nowMs);
  const due = queue.due(nowMs).filter(({ name }) => !runner.keyedQueue.isBusy(name));
  const held = due.filter(({ name }) => {
    const entry = runner.statuses.get(name);
    return entry !== undefined && isHeld(runner, entry);
  });
  const free = due.filter((item) => !held.includes(item));
  const probe = probes.take(held, nowMs);
  const retries = free.filter(({ run, task }) => run === null && task === 'attempt');
  const run = retries.length > 0 ? openRun(dispatcher, retries, retryTrigger) : null;
  for (const item of free) {
    queue.remove(item.name);
    void perform(dispatcher, retries.includes(item) ? { ...item, run } : item).then(wake);
  }
  if (!probe) return;
  queue.remove(probe.name);
  void perform(dispatcher, probe, 'probe').then(() => {
    probes.finish(runner.clock.monotonicMs());
    wake();
  });
}

/** After an outage the accounts that waited start again over several minutes, in a fixed order. */
function spread({ queue }: Dispatcher, nowMs: number): void {
  for (const item of queue.due(nowMs))
    queue.replace({ ...item, atMs: nowMs + jitterMs(item.name, spreadMinutes) });
}

async function perform(dispatcher: Dispatcher, item: DueItem, probe?: 'probe'): Promise<void> {
  const { runner, queue } = dispatcher;
  const { name, task } = item;
  const run = item.run ?? (task === 'attempt' ? openRun(dispatcher, [item], retryTrigger) : null);
  const processed = await processAccount(runner, name, {
    task,
    ask: { purpose: 'rotate', trigger: run?.trigger ?? retryTrigger },
    probe: probe !== undefined,
  });
  if (processed === 'held' && !runner.interrupt.aborted)
    return queue.add({ ...item, run, atMs: runner.clock.monotonicMs() });
  finish(dispatcher, name, processed, run);
}

/** One attempt that a person asked for, at once; null when none was made. */
export async function attemptNow(
  dispatcher: Dispatcher,
  name: string,
  ask: Ask,
  request?: RunRequest,
): Promise<Result | null> {
  const { runner, wake } = dispatcher;
  const run = openRun(dispatcher, [{ name }], ask.trigger, undefined, request);
  const processed = await processAccount(runner, name, { task: 'attempt', ask, urgent: true });
  finish(dispatcher, name, processed, run);
  wake();
  return typeof processed === 'string' ? null : processed;
}

function finish(dispatcher: Dispatcher, name: string, processed: Processed, run: Run | null): void {
  const { runner, queue, unchecked } = dispatcher;
  const { statuses, rotator, clock, interrupt } = runner;
  const result = typeof processed === 'string' ? null : processed;
  run?.finish(name, result);
  if (unchecked.delete(name) && unchecked.size === 0) {
    const accounts = statuses.entries().map(({ account }) => account);
    startRun(dispatcher, accounts, 'start', () => 0);
  }
  if (result === null || interrupt.aborted) return;
  const failuresInARow = statuses.get(name)?.failures ?? 1;
  const delayMs = retryDelayMs(result, failuresInARow, rotator.config.thingspace);
  if (delayMs === null) return;
  // Up to a tenth more, so that accounts that failed together do not retry together.
  const atMs = clock.monotonicMs() + delayMs + jitterMs(name, delayMs / 600_000);
  queue.add({ name, task: 'attempt', atMs, run: null });
}

/** Ends the runs of the accounts that still wait. */
export function endRuns({ queue }: Dispatcher): void {
  for (const { name, run } of queue.items()) run?.finish(name, null);
}
