// The service itself: one look at start, one per tick, and again after failures, until it is told to end. It decides when
// to look and never what is due. First signal: no new attempts, those before their reset end, the others finish.

import type { Account, Ask, Rotator } from '../app.ts';
import type { Trigger } from '../rotation/event.ts';
import { Failure } from '../rotation/failure.ts';
import type { Clock } from '../rotation/ports.ts';
import type { Result } from '../rotation/state.ts';
import { createLooker } from './attempt-runner.ts';
import { jitterMs, nextRuns, type OpenTicker, type Schedule, type Ticker } from './cron.ts';
import { createAgenda, type Item } from './due-queue.ts';
import type { Hear } from './events.ts';
import { openLanes, partnersOf, slowAttemptMs } from './keyed-queue.ts';
import { createOutages, nextLookInMs, type Outage, outageAfter, probeWaitsMs } from './retry.ts';
import { type Book, openBooks } from './run-log.ts';
import { type Board, createBoard, type Entry } from './status-cache.ts';
import { openBucket, type Rate } from './token-bucket.ts';

/** How fast, and how patient. Tests have less time. */
export type Pace = {
  /** Calls to ThingSpace. Verizon publishes no limit for session calls (2026-11); this is a tenth of what it allows elsewhere per minute and key. */
  readonly calls: Rate;
  /** Writes to the store: Secrets Manager takes 50/s per account and Region, for everybody in it. */
  readonly writes: Rate;
  readonly outageAfter: number;
  readonly probeWaitsMs: readonly number[];
  /** After an outage, those that waited come back within so many minutes. */
  readonly spreadMinutes: number;
  /** How often the loop looks at the clocks and for ticks that did not come. */
  readonly turnMs: number;
};

export const usualPace: Pace = {
  calls: { perSecond: 10, capacity: 60 },
  writes: { perSecond: 40, capacity: 50 },
  outageAfter,
  probeWaitsMs,
  spreadMinutes: 10,
  turnMs: 30_000,
};

export type DaemonOptions = {
  readonly rotator: Pick<
    Rotator,
    'config' | 'accounts' | 'attempt' | 'status' | 'audit' | 'observe'
  >;
  readonly clock: Clock;
  readonly openTicker: OpenTicker;
  readonly hear: Hear;
  readonly pace?: Pace;
};

export type Daemon = {
  readonly board: Board;
  /** Resolves when the accounts are known and the first look is on its way. */
  start(): Promise<void>;
  /** Why an attempt by hand cannot begin now; null when it can. */
  conflict(name: string, force: boolean): string | null;
  /** An attempt by hand, at once; null when the service ends first, or the attempt is a bug. Ask for a conflict before. */
  request(name: string, ask: Ask): Promise<Result | null>;
  /** Looks at all accounts now, as a tick would; for tests and for whoever knows better. */
  tick(): Promise<void>;
  /** The outage that keeps accounts waiting; null when there is none. */
  outage(): Outage | null;
  /** Milliseconds since the loop last turned; a healthy one turns every half minute. */
  idleMs(): number;
  /** When the next tick comes, UTC milliseconds; Infinity when none does. */
  nextTickMs(): number;
  /** Begins to end; resolves when every attempt has, and the audit log is sealed. */
  stop(): Promise<void>;
};

const dayMs = 86_400_000;
/** A tick that is so late is not coming. */
const lateTickMs = 60_000;
const stepMs = 60_000;

export function openDaemon(options: DaemonOptions): Daemon {
  const { rotator, clock, hear, pace = usualPace } = options;
  const { config } = rotator;
  const board = createBoard((account) => account.policy ?? config.policy);
  const lanes = openLanes({
    concurrency: config.concurrency,
    pairs: config.pairs,
    clock,
    slowAfterMs: slowAttemptMs,
  });
  const outages = createOutages(pace.probeWaitsMs, pace.outageAfter);
  const books = openBooks(rotator);
  const agenda = createAgenda();
  const interrupt = new AbortController();
  const scheduleOf = (account: Account): Schedule => account.schedule ?? config.schedule;
  const looker = createLooker({
    rotator,
    board,
    lanes,
    outages,
    calls: openBucket(pace.calls, clock),
    writes: openBucket(pace.writes, clock),
    clock,
    interrupt: interrupt.signal,
    hear,
    pairGapMs: createPairGap(scheduleOf),
  });
  const tickers: { readonly ticker: Ticker; readonly onTick: () => void; expectedMs: number }[] =
    [];
  const unseen = new Set<string>();
  let wake = new AbortController();
  let turnedAtMs = clock.monotonicMs();
  let dailyAtMs = clock.monotonicMs() + dayMs;
  let probeAtMs = 0;
  let probes = 0;
  let isEnding = false;
  let ended: Promise<void> | null = null;
  let turning: Promise<void> = Promise.resolve();

  const rouse = (): void => wake.abort();

  /** Reads the accounts anew; keeps the old ones when they cannot be told (discovery needs the store). */
  async function readAccounts(): Promise<void> {
    const accounts = await rotator.accounts().catch((error: unknown) => {
      if (error instanceof Failure) return null;
      throw error;
    });
    if (accounts === null && board.entries().length > 0) return;
    const isFirst = board.entries().length === 0;
    const change = board.set(accounts ?? config.accounts);
    for (const { name } of change.removed) {
      agenda.get(name)?.book?.done(name, null);
      agenda.remove(name);
      unseen.delete(name);
    }
    if (isFirst) return;
    if (change.added.length + change.removed.length > 0)
      await books.inventory(accountsNow(), change);
  }

  const accountsNow = (): Account[] => board.entries().map(({ account }) => account);

  async function tellInventory(): Promise<void> {
    const inLog = await books.inventoryInLog();
    const now = accountsNow();
    const names = new Set(now.map(({ name }) => name));
    const removed = [...(inLog ?? [])].filter((name) => !names.has(name)).map((name) => ({ name }));
    await books.inventory(now, {
      added: inLog ? now.filter(({ name }) => !inLog.has(name)) : [],
      removed,
    });
  }

  /** A run over these accounts, each at its own moment. Those that wait already are looked at once. */
  function begin(
    accounts: readonly Account[],
    reason: string,
    offsetMs: (account: Account) => number,
  ): void {
    const enabled = accounts.filter(
      ({ name, enabled }) => enabled && !agenda.get(name)?.book && !lanes.isBusy(name),
    );
    const trigger: Trigger = { kind: 'schedule', reason };
    const book = enabled.length === 0 ? null : openBook(enabled, trigger);
    const nowMs = clock.monotonicMs();
    for (const account of enabled)
      agenda.put({ name: account.name, look: 'attempt', atMs: nowMs + offsetMs(account), book });
    for (const { name, enabled } of accounts)
      if (!enabled) agenda.put({ name, look: 'see', atMs: nowMs, book: null });
    rouse();
  }

  function openBook(accounts: readonly { readonly name: string }[], trigger: Trigger): Book {
    const names = accounts.map(({ name }) => name);
    return books.open(names, trigger, () => hear({ news: 'run.ended', atMs: clock.nowMs() }));
  }

  async function tick(schedule: Pick<Schedule, 'cron' | 'timezone'> | null): Promise<void> {
    if (isEnding) return;
    await readAccounts();
    // The first look is still being prepared, and will find what this one would.
    if (unseen.size > 0) return;
    const isMeant = (account: Account): boolean =>
      schedule === null || keyOf(scheduleOf(account)) === keyOf(schedule);
    begin(accountsNow().filter(isMeant), 'tick', (account) =>
      jitterMs(account.name, scheduleOf(account).jitterMinutes),
    );
  }

  function startTickers(): void {
    const schedules = new Map(
      [config.schedule, ...accountsNow().map(scheduleOf)].map((schedule) => [
        keyOf(schedule),
        schedule,
      ]),
    );
    for (const schedule of schedules.values()) {
      const started = {
        expectedMs: Number.POSITIVE_INFINITY,
        onTick: () => {
          started.expectedMs = started.ticker.nextMs();
          void tick(schedule);
        },
        ticker: options.openTicker(schedule, () => started.onTick()),
      };
      started.expectedMs = started.ticker.nextMs();
      tickers.push(started);
    }
  }

  async function perform(item: Item, probe?: true): Promise<void> {
    const { name } = item;
    const book = item.book ?? (item.look === 'attempt' ? openBook([item], again) : null);
    const looked = await looker.look(name, {
      look: item.look,
      ask: { purpose: 'rotate', trigger: book?.trigger ?? again },
      ...(probe && { probe }),
    });
    if (looked === 'held' && !isEnding)
      return agenda.put({ ...item, book, atMs: clock.monotonicMs() });
    settle(name, looked, book);
  }

  function settle(name: string, looked: Result | 'seen' | 'held', book: Book | null): void {
    const result = typeof looked === 'string' ? null : looked;
    book?.done(name, result);
    if (unseen.delete(name) && unseen.size === 0) begin(accountsNow(), 'start', () => 0);
    const wait = result && nextLookInMs(result, board.get(name)?.failures ?? 1, config.thingspace);
    // A little apart, so that those who failed together do not come back together.
    if (wait !== null && !isEnding)
      agenda.put({
        name,
        look: 'attempt',
        atMs: clock.monotonicMs() + wait + jitterMs(name, wait / 600_000),
        book: null,
      });
  }

  /** Sends off what is due. During an outage, only single probes of those it holds. */
  function dispatch(nowMs: number): void {
    const due = agenda.due(nowMs).filter(({ name }) => !lanes.isBusy(name));
    const isHeld = ({ name }: Item): boolean => {
      const entry = board.get(name);
      return entry !== undefined && looker.isHeld(entry);
    };
    const held = due.filter(isHeld);
    const free = due.filter((item) => !isHeld(item));
    const probe = nowMs >= probeAtMs ? held[probes % held.length] : undefined;
    for (const item of free) agenda.remove(item.name);
    const lone = free.filter(({ book, look }) => book === null && look === 'attempt');
    const book = lone.length > 0 ? openBook(lone, again) : null;
    for (const item of free)
      void perform(lone.includes(item) ? { ...item, book } : item).then(rouse);
    if (!probe) return;
    agenda.remove(probe.name);
    probes += 1;
    probeAtMs = Number.POSITIVE_INFINITY;
    void perform(probe, true).then(() => {
      probeAtMs = clock.monotonicMs() + outages.probeWaitMs();
      if (!outages.open()) comeBack();
      rouse();
    });
  }

  /** The outage is over: those that waited come back one after the other, in their own order. */
  function comeBack(): void {
    const nowMs = clock.monotonicMs();
    probeAtMs = 0;
    for (const item of agenda.due(nowMs))
      agenda.replace({ ...item, atMs: nowMs + jitterMs(item.name, pace.spreadMinutes) });
  }

  function daily(nowMs: number): void {
    if (nowMs < dailyAtMs) return;
    dailyAtMs = nowMs + dayMs;
    void books.inventory(accountsNow(), { added: [], removed: [] });
    void books.seal();
    hear({ news: 'day', entries: board.entries(), atMs: clock.nowMs() });
  }

  async function turn(): Promise<void> {
    let aheadMs = clock.nowMs() - clock.monotonicMs();
    let wasOut = false;
    while (!isEnding) {
      const nowMs = clock.monotonicMs();
      turnedAtMs = nowMs;
      const byMs = clock.nowMs() - nowMs - aheadMs;
      if (Math.abs(byMs) > stepMs) hear({ news: 'clock.stepped', byMs });
      if (Math.abs(byMs) > stepMs) aheadMs += byMs;
      for (const late of tickers) if (clock.nowMs() > late.expectedMs + lateTickMs) late.onTick();
      // An outage that a look by hand found to be over.
      if (wasOut && !outages.open()) comeBack();
      if (!wasOut && outages.open()) probeAtMs = nowMs + outages.probeWaitMs();
      wasOut = outages.open() !== null;
      dispatch(nowMs);
      daily(nowMs);
      // A probe that could be made and has nobody to make it with waits for the next that comes due.
      const probe = wasOut && probeAtMs > nowMs ? probeAtMs : Number.POSITIVE_INFINITY;
      const until = Math.min(agenda.nextAfterMs(nowMs), probe, nowMs + pace.turnMs);
      if (wake.signal.aborted) wake = new AbortController();
      else await clock.sleep(Math.max(1, until - clock.monotonicMs()), wake.signal);
    }
  }

  async function stop(): Promise<void> {
    for (const { ticker } of tickers) ticker.stop();
    interrupt.abort();
    rouse();
    await turning;
    await lanes.idle();
    for (const { name, book } of agenda.items()) book?.done(name, null);
    await books.seal();
    await books.settled();
  }

  return {
    board,
    start: async () => {
      await readAccounts();
      await books.policy(config.policy);
      await tellInventory();
      startTickers();
      const nowMs = clock.monotonicMs();
      for (const { name } of accountsNow()) {
        unseen.add(name);
        agenda.put({ name, look: 'see', atMs: nowMs, book: null });
      }
      turning = turn();
    },
    conflict: (name, force) => conflictOf(name, force),
    request: async (name, ask) => {
      const book = openBook([{ name }], ask.trigger);
      const looked = await looker.look(name, { look: 'attempt', ask, urgent: true });
      settle(name, looked, book);
      rouse();
      return typeof looked === 'string' ? null : looked;
    },
    tick: () => tick(null),
    outage: outages.open,
    idleMs: () => clock.monotonicMs() - turnedAtMs,
    nextTickMs: () =>
      Math.min(Number.POSITIVE_INFINITY, ...tickers.map(({ ticker }) => ticker.nextMs())),
    stop: () => {
      isEnding = true;
      ended ??= stop();
      return ended;
    },
  };

  function conflictOf(name: string, force: boolean): string | null {
    const entry = board.get(name);
    if (isEnding) return 'the service is ending';
    if (!entry) return 'there is no such account';
    if (entry.blocked !== undefined) return entry.blocked;
    if (lanes.isBusy(name)) return 'an attempt on this account is running or waiting';
    const partner = partnersOf(name, config.pairs).find((other) => lanes.isBusy(other));
    if (partner !== undefined)
      return `an attempt on ${partner}, the other user of its ThingSpace account, is running or waiting`;
    if (!force && looker.isTooCloseToPair(entry))
      return 'the other user of its ThingSpace account was changed in this window; force does it all the same';
    return null;
  }
}

const again: Trigger = { kind: 'schedule', reason: 'again after a failure' };

const keyOf = ({ cron, timezone }: Pick<Schedule, 'cron' | 'timezone'>): string =>
  `${cron} ${timezone}`;

/** Half of what lies between two runs, and at most half a day: another run then, and the same one by no jitter. */
function createPairGap(scheduleOf: (account: Account) => Schedule): (entry: Entry) => number {
  const known = new Map<string, number>();
  return ({ account }) => {
    const schedule = scheduleOf(account);
    const found = known.get(keyOf(schedule));
    if (found !== undefined) return found;
    const [first = 0, second = 0] = nextRuns(schedule, 2);
    const gapMs = Math.min(dayMs / 2, (second - first) / 2);
    known.set(keyOf(schedule), gapMs);
    return gapMs;
  };
}
