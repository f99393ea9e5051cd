// Where a simulated world's choices come from: a counter that enumerates them all (TigerBeetle's
// exhaustigen), a seed, or a list that an earlier run printed. A world that makes the same picks is
// the same world.

/** One source of choices. */
export type Picks = {
  /** A number from 0 to `n - 1`. */
  pick(n: number): number;
  /**
   * 0 for none of `n` mishaps, or which one (from 1). A seed picks a mishap seldom; the counter
   * picks each.
   */
  mishap(n: number): number;
  /** What has been picked so far. */
  readonly taken: readonly number[];
};

/** Enumerates every sequence of choices: run the world, then `next()`, until that says false. */
export function countPicks(): Picks & { next(): boolean; readonly isNew: boolean } {
  let taken: number[] = [];
  let bounds: number[] = [];
  let at = 0;
  const pick = (n: number): number => {
    if (at === taken.length) {
      taken.push(0);
      bounds.push(n);
    }
    if (bounds[at] !== n)
      throw new Error(
        `bug: a world is not deterministic: ${bounds[at]} choices became ${n} at ${at}`,
      );
    at += 1;
    return taken[at - 1] ?? 0;
  };
  return {
    pick,
    mishap: (n) => pick(n + 1),
    get taken() {
      return taken.slice(0, at);
    },
    /**
     * Whether this world has left the path of the one before it: from here on nothing has been
     * enumerated yet.
     */
    get isNew() {
      return at >= taken.length;
    },
    next() {
      // What the last world did not reach belongs to nobody.
      taken = taken.slice(0, at);
      bounds = bounds.slice(0, at);
      at = 0;
      while (taken.length > 0) {
        const last = taken.length - 1;
        const value = (taken[last] ?? 0) + 1;
        if (value < (bounds[last] ?? 0)) {
          taken[last] = value;
          return true;
        }
        taken.pop();
        bounds.pop();
      }
      return false;
    },
  };
}

/** A generator (mulberry32): the same seed, the same numbers, on every machine. */
export function randomOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/** Choices from a seed; `rate` is how likely a mishap is where one is possible. */
export function seedPicks(random: () => number, rate: number): Picks {
  const taken: number[] = [];
  const note = (value: number): number => {
    taken.push(value);
    return value;
  };
  const below = (n: number): number => Math.floor(random() * n);
  return {
    pick: (n) => note(below(n)),
    mishap: (n) => note(random() < rate ? below(n) + 1 : 0),
    taken,
  };
}

/** The choices of an earlier run, then nothing but the first choice. */
export function listedPicks(list: readonly number[]): Picks {
  const taken: number[] = [];
  const pick = (n: number): number => {
    const value = list[taken.length] ?? 0;
    if (value >= n)
      throw new Error(
        `bug: choice ${taken.length} of this list is ${value}, and there are only ${n}`,
      );
    taken.push(value);
    return value;
  };
  return { pick, mishap: (n) => pick(n + 1), taken };
}

/** The same for a list that was changed: a choice that there is no more is the first one. */
export function lenientPicks(list: readonly number[]): Picks {
  const taken: number[] = [];
  const pick = (n: number): number => {
    const value = list[taken.length] ?? 0;
    taken.push(value < n ? value : 0);
    return value < n ? value : 0;
  };
  return { pick, mishap: (n) => pick(n + 1), taken };
}
