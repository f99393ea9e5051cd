// Which accounts are processed, and when: one item per account, whatever asked for it.

import type { Run } from './run-log.ts';

/** `check` reads the status of the account. `attempt` rotates its password if it is due. */
export type DueItem = {
  readonly name: string;
  readonly task: 'check' | 'attempt';
  /** Milliseconds of the monotonic clock. */
  readonly atMs: number;
  /** The run that waits for this account; null for a retry that has not started yet. */
  readonly run: Run | null;
};

export type DueQueue = ReturnType<typeof createDueQueue>;

export function createDueQueue() {
  const items = new Map<string, DueItem>();
  return {
    /** Adds an item, or merges it: the run, `attempt` and the earlier time stay. */
    add: (item: DueItem): void => {
      const existing = items.get(item.name);
      items.set(item.name, {
        ...item,
        task: existing?.task === 'attempt' ? 'attempt' : item.task,
        atMs: Math.min(item.atMs, existing?.atMs ?? item.atMs),
        run: existing?.run ?? item.run,
      });
    },
    /** Adds an item in place of the one that is there. */
    replace: (item: DueItem): void => void items.set(item.name, item),
    get: (name: string): DueItem | undefined => items.get(name),
    remove: (name: string): void => void items.delete(name),
    items: (): Iterable<DueItem> => items.values(),
    /** The items whose time has come, earliest first. */
    due: (nowMs: number): DueItem[] =>
      [...items.values()].filter(({ atMs }) => atMs <= nowMs).sort((a, b) => a.atMs - b.atMs),
    /** The time of the next item that is not due yet; Infinity when there is none. */
    nextAfterMs: (nowMs: number): number => {
      let next = Number.POSITIVE_INFINITY;
      for (const { atMs } of items.values()) if (atMs > nowMs && atMs < next) next = atMs;
      return next;
    },
  };
}
