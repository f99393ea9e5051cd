// What a person typed or wrote is wrong: exit code 2. The message names the thing, the place and the nearest
// right name, and never the value, which may be a secret in the wrong place.

/** Wrong usage or configuration. `problems` are whole sentences, one per mistake. */
export class UsageError extends Error {
  readonly problems: readonly string[];

  constructor(problems: string | readonly string[]) {
    const list = typeof problems === 'string' ? [problems] : problems;
    super(list.join('\n'));
    this.name = 'UsageError';
    this.problems = list;
  }
}

/** `; did you mean "x"?` where a known name is near, else the known names. `wrong` is itself not repeated. */
export function suggestion(wrong: string, known: readonly string[]): string {
  const near = nearest(wrong, known);
  if (near !== undefined) return `did you mean "${near}"?`;
  return known.length === 0
    ? 'there are none'
    : `known: ${known.slice(0, 12).join(', ')}${known.length > 12 ? ', …' : ''}`;
}

/** The name that was probably meant: at most a third of it differs, whatever its case and separators. */
export function nearest(wrong: string, known: readonly string[]): string | undefined {
  const plain = (name: string): string => name.toLowerCase().replace(/[_\-\s]/g, '');
  const ranked = known
    .map((name) => ({ name, edits: edits(plain(wrong), plain(name)) }))
    .filter(
      ({ name, edits }) =>
        edits <= Math.max(1, Math.floor(Math.max(plain(name).length, plain(wrong).length) / 3)),
    )
    .sort((a, b) => a.edits - b.edits);
  return ranked[0]?.name;
}

/** How many letters are missing, superfluous, exchanged or swapped with their neighbour (optimal string alignment). */
function edits(a: string, b: string): number {
  let [before, last]: [number[], number[]] = [
    [],
    Array.from({ length: b.length + 1 }, (_, index) => index),
  ];
  for (let i = 1; i <= a.length; i += 1) {
    const row = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const same = a[i - 1] === b[j - 1] ? 0 : 1;
      let least = Math.min((last[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1, (last[j - 1] ?? 0) + same);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        least = Math.min(least, (before[j - 2] ?? 0) + 1);
      row.push(least);
    }
    [before, last] = [last, row];
  }
  return last[b.length] ?? 0;
}
