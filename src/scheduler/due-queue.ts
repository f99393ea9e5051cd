// What is to be looked at, and when. One entry per account at most, whatever asks for it.

import type { Book } from './run-log.ts';

/** `see`: only read where the account stands. `attempt`: one attempt, which decides by itself what is due. */
export type Item = {
  readonly name: string;
  readonly look: 'see' | 'attempt';
  /** Milliseconds of the monotonic clock. */
  readonly atMs: number;
  /** The run it belongs to; null for one that is looked at again after a failure. */
  readonly book: Book | null;
};

export type Agenda = {
  /** Puts it there. One that is there already keeps its run, an attempt stays an attempt, and the earlier time holds. */
  put(item: Item): void;
  /** Puts it there in place of whatever is. */
  replace(item: Item): void;
  get(name: string): Item | undefined;
  remove(name: string): void;
  /** What is due, in the order of time. */
  due(nowMs: number): Item[];
  /** When the next one not due yet will be; Infinity where there is none. */
  nextAfterMs(nowMs: number): number;
  items(): Iterable<Item>;
};

export function createAgenda(): Agenda {
  const items = new Map<string, Item>();
  return {
    put: (item) => {
      const there = items.get(item.name);
      const look = there?.look === 'attempt' ? 'attempt' : item.look;
      items.set(item.name, {
        ...item,
        look,
        atMs: Math.min(item.atMs, there?.atMs ?? item.atMs),
        book: there?.book ?? item.book,
      });
    },
    replace: (item) => void items.set(item.name, item),
    get: (name) => items.get(name),
    remove: (name) => void items.delete(name),
    due: (nowMs) =>
      [...items.values()].filter(({ atMs }) => atMs <= nowMs).sort((a, b) => a.atMs - b.atMs),
    nextAfterMs: (nowMs) => {
      let next = Number.POSITIVE_INFINITY;
      for (const { atMs } of items.values()) if (atMs > nowMs && atMs < next) next = atMs;
      return next;
    },
    items: () => items.values(),
  };
}
