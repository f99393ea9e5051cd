// What the service tells the audit log besides the attempts themselves: its runs, the accounts it looks after, and
// that it lives. A log that cannot be written holds nothing up here: without it no attempt resets.

import { randomUUID } from 'node:crypto';
import type { Rotator } from '../app.ts';
import { listRecords } from '../audit/query.ts';
import type { Trigger } from '../rotation/event.ts';
import { exitCodeOf, Failure } from '../rotation/failure.ts';
import { isGood } from '../rotation/result.ts';
import type { Policy, Result } from '../rotation/state.ts';
import { hasChanged } from './keyed-queue.ts';

/** One run: opened when it begins, closed by itself when its last account is done. */
export type Book = {
  readonly trigger: Trigger;
  /** One account is done; null when it was only looked at. */
  done(name: string, result: Result | null): void;
};

/** An account, as far as the inventory is concerned. */
export type Named = { readonly name: string; readonly secretId?: string };

export type Books = {
  /** Begins a run over these accounts; a run over none is not told. `onEnd` is called once, before the log is told. */
  open(names: readonly string[], trigger: Trigger, onEnd?: () => void): Book;
  /** Tells which accounts there are, and which came and went. */
  inventory(
    accounts: readonly Named[],
    change: { added: readonly Named[]; removed: readonly Named[] },
  ): Promise<void>;
  /** Tells the common policy where the log's newest word about it is another one. */
  policy(policy: Policy): Promise<void>;
  /** Which accounts the log says there are; null when it cannot be read. */
  inventoryInLog(): Promise<ReadonlySet<string> | null>;
  /** Signs the log as it is. */
  seal(): Promise<void>;
  /** Resolves when everything that was to be told has been. */
  settled(): Promise<void>;
};

type Log = Pick<Rotator, 'audit' | 'observe'>;

/** Opens no file of its own: the rotator's log is the log. */
export function openBooks({ audit, observe }: Log): Books {
  /** Told in order, one after the other. */
  let last: Promise<void> = Promise.resolve();

  function tell(telling: () => Promise<unknown>): Promise<void> {
    last = last.then(async () => {
      try {
        await telling();
      } catch (error) {
        if (!(error instanceof Failure)) throw error;
        observe({ event: 'audit.failed', account: '*', detail: error.message });
      }
    });
    return last;
  }

  const seal = (): Promise<void> => tell(() => audit.checkpoint());

  return {
    seal,
    settled: () => last,

    open: (names, trigger, onEnd = () => {}) => {
      const runId = randomUUID();
      const pending = new Set(names);
      let [rotated, failed, exitCode]: [number, number, 0 | 1 | 3 | 4] = [0, 0, 0];
      if (names.length > 0)
        void tell(() =>
          audit.append([{ code: 'run.started', runId, accounts: names.length, trigger }]),
        );
      return {
        trigger,
        done: (name, result) => {
          if (!pending.delete(name)) return;
          if (result) {
            const code = exitCodeOf(result.certainty, isGood(result));
            if (code > exitCode) exitCode = code;
            if (!isGood(result)) failed += 1;
            else if (hasChanged(result)) rotated += 1;
          }
          if (pending.size > 0) return;
          onEnd();
          void tell(() =>
            audit.append([{ code: 'run.finished', runId, exitCode, rotated, failed, trigger }]),
          );
          void seal();
        },
      };
    },

    inventory: (accounts, { added, removed }) => {
      const changes = [
        ...added.map((account) => ({ change: 'added' as const, ...account })),
        ...removed.map((account) => ({ change: 'removed' as const, ...account })),
      ].map(({ change, name, secretId }) => ({
        code: 'inventory.changed' as const,
        change,
        account: name,
        ...(secretId === undefined ? {} : { secretId }),
      }));
      return tell(async () => {
        // The log takes a bounded number of events at once.
        for (let from = 0; from < changes.length; from += 500)
          await audit.append(changes.slice(from, from + 500));
        await audit.append([
          { code: 'inventory.summary', accounts: accounts.map(({ name }) => name) },
        ]);
      });
    },

    policy: ({ maxAgeDays, rotateAfterDays }) =>
      tell(async () => {
        let before: Readonly<Record<string, unknown>> = {};
        for await (const { view } of listRecords(audit.source, {
          event: 'policy.changed',
          last: 1,
        }))
          before = view.more;
        const [maxBefore, rotateBefore] = [before['max_age_days'], before['rotate_after_days']];
        if (maxBefore === maxAgeDays && rotateBefore === rotateAfterDays) return;
        const known =
          typeof maxBefore === 'number' && typeof rotateBefore === 'number'
            ? { maxAgeDaysBefore: maxBefore, rotateAfterDaysBefore: rotateBefore }
            : {};
        await audit.append([{ code: 'policy.changed', maxAgeDays, rotateAfterDays, ...known }]);
      }),

    inventoryInLog: async () => {
      const names = new Set<string>();
      try {
        for await (const { view } of listRecords(audit.source, { event: 'inventory.changed' })) {
          if (view.account === undefined) continue;
          if (view.more['change'] === 'removed') names.delete(view.account);
          else names.add(view.account);
        }
        return names;
      } catch (error) {
        if (error instanceof Failure) return null;
        throw error;
      }
    },
  };
}
