// Many accounts: bounded concurrency, one attempt at a time per account, and two users of one ThingSpace account
// (a pair) never side by side nor in one run. One slow or broken account never holds up the others.

import pLimit from 'p-limit';
import type { Clock } from '../rotation/ports.ts';
import type { Result } from '../rotation/state.ts';

/** Account names, two by two. */
export type Pairs = readonly (readonly [string, string])[];

/** The accounts that share a ThingSpace account with this one. */
export function partnersOf(name: string, pairs: Pairs): string[] {
  return pairs.flatMap(([one, other]) => (one === name ? [other] : other === name ? [one] : []));
}

export type LaneOptions = {
  readonly concurrency: number;
  readonly pairs: Pairs;
  readonly clock: Pick<Clock, 'sleep'>;
  /**
   * Work that takes longer gives its place to the next and goes on beside it: an attempt that cannot save its password tries
   * for as long as the process lives. Longer than any healthy attempt.
   */
  readonly slowAfterMs: number;
};

export type Lanes = {
  /**
   * Runs `work` when the account and its pairs are free and there is a place. `urgent` work (a person waits) has places of its
   * own. Rejects with what `work` throws.
   */
  run<T>(name: string, work: () => Promise<T>, urgent?: 'urgent'): Promise<T>;
  /** Waiting or running. */
  isBusy(name: string): boolean;
  /** Resolves when nothing waits and nothing runs. */
  idle(): Promise<void>;
};

const urgentPlaces = 4;

/** Lanes that live as long as the process, or as one run. Holds no more than one small entry per waiting account. */
export function openLanes({ concurrency, pairs, clock, slowAfterMs }: LaneOptions): Lanes {
  const places = pLimit(concurrency);
  const reserved = pLimit(urgentPlaces);
  /** The end of the last work that asked for a key. */
  const tails = new Map<string, Promise<void>>();

  /** All keys are asked for at once, in one turn of the loop, so that two askers can never wait for each other. */
  async function exclusively<T>(keys: readonly string[], work: () => Promise<T>): Promise<T> {
    const before = keys.flatMap((key) => tails.get(key) ?? []);
    let free = (): void => {};
    const done = new Promise<void>((resolve) => {
      free = resolve;
    });
    for (const key of keys) tails.set(key, done);
    await Promise.all(before);
    try {
      return await work();
    } finally {
      free();
      for (const key of keys) if (tails.get(key) === done) tails.delete(key);
    }
  }

  /** Keeps a place until the work is done or slow. */
  async function placed<T>(limit: typeof places, work: () => Promise<T>): Promise<T> {
    let running: Promise<T> | undefined;
    await limit(async () => {
      running = work();
      const over = new AbortController();
      const settled = running.then(
        () => over.abort(),
        () => over.abort(),
      );
      await Promise.race([settled, clock.sleep(slowAfterMs, over.signal)]);
    });
    return running as Promise<T>;
  }

  return {
    run: (name, work, urgent) => {
      const edges = partnersOf(name, pairs).map(
        (partner) => `pair ${[name, partner].sort().join(' ')}`,
      );
      return exclusively([`account ${name}`, ...edges], () =>
        placed(urgent ? reserved : places, work),
      );
    },
    isBusy: (name) => tails.has(`account ${name}`),
    idle: async () => {
      while (tails.size > 0) await Promise.all(tails.values());
    },
  };
}

/** Whether this attempt changed the password, or may have: the other user of the pair then waits for another run. */
export function hasChanged(result: Result): boolean {
  const { outcome, certainty, logins } = result;
  if (outcome === 'rotated' || outcome === 'recovered') return true;
  return (
    certainty === 'changed' || certainty === 'in-doubt' || (certainty === 'lost' && logins > 0)
  );
}

export type Fleet<Account extends { name: string; secretId: string }> = {
  readonly accounts: readonly Account[];
  readonly concurrency: number;
  readonly pairs: Pairs;
  readonly clock: Pick<Clock, 'sleep'>;
  /** Ends the attempts that have not sent a reset; the others finish. */
  readonly interrupt: AbortSignal;
  /** One attempt on one account. What it throws is a bug; it ends the run after the others have finished. */
  readonly attempt: (account: Account) => Promise<Result>;
  /** Called as each account finishes, in that order. */
  readonly onResult: (result: Result) => void;
};

/** One attempt per account; the results in the order of the accounts. */
export async function runFleet<Account extends { name: string; secretId: string }>(
  fleet: Fleet<Account>,
): Promise<Result[]> {
  const { concurrency, pairs, clock } = fleet;
  const lanes = openLanes({ concurrency, pairs, clock, slowAfterMs: slowAttemptMs });
  const changed = new Map<string, Result>();
  const settled = await Promise.allSettled(
    fleet.accounts.map((account) =>
      lanes.run(account.name, async () => {
        const partner = partnersOf(account.name, pairs).find((name) => changed.has(name));
        const because = partner === undefined ? undefined : changed.get(partner);
        const result = because ? putOff(account, because) : await fleet.attempt(account);
        if (hasChanged(result)) changed.set(account.name, result);
        fleet.onResult(result);
        return result;
      }),
    ),
  );
  const bug = settled.find((one) => one.status === 'rejected');
  if (bug) throw bug.reason;
  return settled.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
}

/** Longer than a healthy attempt with a reset that takes all of its two minutes. */
export const slowAttemptMs = 300_000;

/** The result of an account that was left alone because its pair was changed in the same run. */
function putOff({ name, secretId }: { name: string; secretId: string }, because: Result): Result {
  return {
    account: name,
    secretId,
    outcome: 'not-due',
    certainty: 'not-due',
    detail: `put off to the next run: ${because.account}, the other user of its ThingSpace account, was changed in this one`,
    logins: 0,
    startedAtMs: because.endedAtMs,
    endedAtMs: because.endedAtMs,
    next: '',
  };
}
