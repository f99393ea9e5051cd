// Shrinks a list of choices by which a world breaks a promise: shorter, with more zeros (the first
// and most ordinary choice), until no smaller list that was tried breaks the same promise.

/** How many lists are tried at most. */
const triesLimit = 1_500;

export async function shrink(
  found: readonly number[],
  isStillBroken: (list: readonly number[]) => Promise<boolean>,
): Promise<readonly number[]> {
  let best = withoutZeros(found);
  let tries = 0;
  const attempt = async (list: readonly number[]): Promise<boolean> => {
    const shorter = withoutZeros(list);
    if (tries >= triesLimit || !isSmaller(shorter, best)) return false;
    tries += 1;
    if (!(await isStillBroken(shorter))) return false;
    best = shorter;
    return true;
  };
  for (let before = Number.POSITIVE_INFINITY; weight(best) < before; ) {
    before = weight(best);
    for (let size = 64; size >= 1; size = Math.floor(size / 2)) {
      for (let at = 0; at < best.length; at += size) {
        const end = Math.min(at + size, best.length);
        if (await attempt([...best.slice(0, at), ...best.slice(end)])) continue;
        const part = best.slice(at, end);
        if (part.some((value) => value > 0))
          await attempt([...best.slice(0, at), ...part.map(() => 0), ...best.slice(end)]);
      }
    }
    for (let at = 0; at < best.length; at += 1) {
      const value = best[at] ?? 0;
      if (value > 1) await attempt([...best.slice(0, at), value - 1, ...best.slice(at + 1)]);
    }
  }
  return best;
}

/** What is missing at the end is zero. */
function withoutZeros(list: readonly number[]): readonly number[] {
  const last = list.findLastIndex((value) => value !== 0);
  return list.slice(0, last + 1);
}

const weight = (list: readonly number[]): number =>
  1_000_000 * list.filter((value) => value !== 0).length +
  1_000 * list.length +
  list.reduce((sum, value) => sum + value, 0);
const isSmaller = (one: readonly number[], other: readonly number[]): boolean =>
  weight(one) < weight(other);
