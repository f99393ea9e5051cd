// One look at one account: where it stands, and one attempt where nothing speaks against it. Whatever happens to one
// account here, a bug included, must never reach another one.

import type { Ask, Rotator } from '../app.ts';
import { ageDays, dueness } from '../rotation/policy.ts';
import type { Clock } from '../rotation/ports.ts';
import type { Result } from '../rotation/state.ts';
import type { Hear } from './events.ts';
import { hasChanged, type Lanes, partnersOf } from './keyed-queue.ts';
import type { Outages } from './retry.ts';
import type { Board, Entry } from './status-cache.ts';
import type { Bucket } from './token-bucket.ts';

export type LookOptions = {
  readonly rotator: Pick<Rotator, 'config' | 'attempt' | 'status'>;
  readonly board: Board;
  readonly lanes: Lanes;
  readonly outages: Outages;
  /** Calls to ThingSpace. */
  readonly calls: Bucket;
  /** Writes to the store. */
  readonly writes: Bucket;
  readonly clock: Clock;
  readonly interrupt: AbortSignal;
  readonly hear: Hear;
  /** Two users of a pair are this far apart; milliseconds. */
  readonly pairGapMs: (entry: Entry) => number;
};

export type Asked = {
  readonly look: 'see' | 'attempt';
  readonly ask: Ask;
  /** A person waits: outages, pairs and `enabled: false` do not hold it. */
  readonly urgent?: true;
  /** The one look that finds out whether an outage is over. */
  readonly probe?: true;
};

/** `held`: an outage keeps it waiting; nothing was done. */
export type Looked = Result | 'seen' | 'held';

/** The most one attempt needs: two records, pending, promote and a last record; token, two logins, reset, two logouts. */
const writesPerAttempt = 5;
const callsPerAttempt = 6;

/** How long nobody calls ThingSpace after it said 429 without saying for how long. */
const throttledMs = 60_000;

export function createLooker(options: LookOptions) {
  const { rotator, board, lanes, outages, calls, writes, clock, interrupt, hear } = options;

  function heard(look: Parameters<Outages['heard']>[0]): void {
    const { opened, closed } = outages.heard(look);
    if (opened !== undefined) hear({ news: 'outage.began', dependency: opened, atMs: look.atMs });
    if (closed)
      hear({
        news: 'outage.ended',
        dependency: closed.dependency,
        sinceMs: closed.sinceMs,
        atMs: look.atMs,
      });
  }

  async function see(entry: Entry): Promise<void> {
    const status = await rotator.status(entry.account);
    const atMs = clock.nowMs();
    const wasBlocked = entry.blocked !== undefined;
    board.see(status, atMs);
    heard({ account: status.account, reason: status.reason, logins: 0, atMs });
    if (entry.blocked !== undefined && !wasBlocked) hear({ news: 'blocked', entry });
  }

  /** Whether an outage keeps this account waiting: a store's everybody, ThingSpace's only those that need it. */
  function isHeld(entry: Entry): boolean {
    const outage = outages.open();
    if (!outage) return false;
    return outage.dependency === 'store' || mayWrite(entry);
  }

  /** Whether an attempt may do more than read. */
  function mayWrite({ state, reason, passwordSinceMs, policy }: Entry): boolean {
    if (state !== 'settled' || reason !== undefined || passwordSinceMs === undefined) return true;
    return dueness(ageDays(passwordSinceMs, clock.nowMs()), policy) !== 'not-due';
  }

  /** The other user of its ThingSpace account was changed so lately that consumers may still be on the way to it. */
  function isTooCloseToPair(entry: Entry): boolean {
    const nowMs = clock.nowMs();
    const gapMs = options.pairGapMs(entry);
    return partnersOf(entry.account.name, rotator.config.pairs).some((name) => {
      const partner = board.get(name);
      const changedMs = Math.max(partner?.changedMs ?? 0, partner?.passwordSinceMs ?? 0);
      return changedMs > nowMs - gapMs;
    });
  }

  async function attempt(entry: Entry, ask: Ask): Promise<Result> {
    const reserves = ask.force === true || mayWrite(entry);
    // Before the attempt, and never within: nothing may wait between a reset and its saving.
    if (reserves)
      await Promise.all([
        writes.take(writesPerAttempt, interrupt),
        calls.take(callsPerAttempt, interrupt),
      ]);
    const result = await rotator.attempt(entry.account, ask, interrupt);
    if (reserves && result.logins === 0) {
      writes.giveBack(writesPerAttempt);
      calls.giveBack(callsPerAttempt);
    }
    if (isThrottled(result)) calls.pause(throttledMs);
    board.learn(result);
    if (hasChanged(result) && result.logins > 0) entry.changedMs = result.endedAtMs;
    heard({
      account: result.account,
      reason: result.reason,
      logins: result.logins,
      atMs: result.endedAtMs,
    });
    hear({ news: 'result', entry, result });
    return result;
  }

  async function lookAt(entry: Entry, { look, ask, urgent, probe }: Asked): Promise<Looked> {
    if (!urgent && !probe && isHeld(entry)) return 'held';
    const { enabled } = entry.account;
    // Nobody is rotated before it is known which ThingSpace user it is.
    if (look === 'see' || entry.username === undefined || !enabled) await see(entry);
    if (entry.blocked !== undefined) return 'seen';
    // What was begun by hand is finished by itself; nothing new is begun.
    const isOpen = entry.state === 'in-doubt' || entry.state === 'changed';
    if (!enabled && !urgent)
      return isOpen ? await attempt(entry, { ...ask, purpose: 'recover' }) : 'seen';
    if (look === 'see') return 'seen';
    if (!ask.force && isTooCloseToPair(entry)) {
      await see(entry);
      return 'seen';
    }
    const result = await attempt(entry, ask);
    if (entry.passwordSinceMs === undefined && entry.state !== 'unreadable') await see(entry);
    return result;
  }

  return {
    isHeld,
    isTooCloseToPair,
    /** Looks when the account is free and there is a place. Never rejects: a bug is told, and stays with its account. */
    look: (name: string, asked: Asked): Promise<Looked> =>
      lanes.run(
        name,
        async () => {
          const entry = board.get(name);
          if (!entry || interrupt.aborted) return 'seen';
          try {
            return await lookAt(entry, asked);
          } catch (error) {
            const detail = describeBug(error);
            board.broken(name, detail, clock.nowMs());
            hear({ news: 'broken', entry, detail });
            return 'seen';
          }
        },
        asked.urgent && 'urgent',
      ),
  };
}

/** Where a bug is: its kind and its place. Its message may quote what it stumbled over, which may be a secret. */
function describeBug(error: unknown): string {
  if (!(error instanceof Error)) return 'a bug: something that is no error was thrown';
  const place = /\(?([^()\s]+:\d+:\d+)\)?$/m.exec(
    error.stack?.split('\n').find((line) => line.trim().startsWith('at ')) ?? '',
  )?.[1];
  return `a bug: ${error.name}${place === undefined ? '' : ` at ${place.replace(/^.*\/(?=[^/]+\/[^/]+$)/, '')}`}`;
}

/** Whether ThingSpace answered that requests come too fast; the secret store has a reason of its own. */
const isThrottled = ({ reason, facts }: Result): boolean =>
  reason === 'reset-throttled' || (reason !== 'store-unavailable' && facts?.cause === 'throttled');
