// Mistakes in usage or configuration: exit code 2. A message names the key, its place and what is
// accepted, and never the value, which can be a secret in the wrong place.

import { errnoOf, osErrorText } from '../rotation/failure.ts';

/** Wrong usage or configuration. `problems` are sentences, one per mistake. */
export class UsageError extends Error {
  readonly problems: readonly string[];

  constructor(problems: string | readonly string[]) {
    const list = typeof problems === 'string' ? [problems] : problems;
    super(list.join('\n'));
    this.name = 'UsageError';
    this.problems = list;
  }
}

/** What `work` returns. An error of the operating system becomes a UsageError about `subject`. */
export function explainErrors<T>(subject: string, work: () => T, advice = ''): T {
  try {
    return work();
  } catch (error) {
    if (errnoOf(error) === '') throw error;
    throw new UsageError(`${subject}: ${osErrorText(error)}.${advice}`);
  }
}

/** A sentence that names the nearest known name, or the known names. `wrong` is not repeated. */
export function suggestion(wrong: string, known: readonly string[]): string {
  const near = nearest(wrong, known);
  if (near !== undefined) return `Did you mean "${near}"?`;
  if (known.length === 0) return 'There are none.';
  return `Use one of: ${known.slice(0, 12).join(', ')}${known.length > 12 ? ', …' : ''}.`;
}

/** The name that was probably meant: at most a third differs, without case and separators. */
export function nearest(wrong: string, known: readonly string[]): string | undefined {
  const normalise = (name: string): string => name.toLowerCase().replace(/[_\-\s]/g, '');
  const from = normalise(wrong);
  const [first] = known
    .map((name) => ({ name, to: normalise(name) }))
    .map(({ name, to }) => ({ name, edits: countEdits(from, to), length: to.length }))
    .filter(({ edits, length }) => edits <= Math.max(1, Math.max(length, from.length) / 3))
    .sort((a, b) => a.edits - b.edits);
  return first?.name;
}

/** How many letters are missing, superfluous, exchanged or swapped (optimal string alignment). */
function countEdits(a: string, b: string): number {
  let before: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, index) => index);
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
