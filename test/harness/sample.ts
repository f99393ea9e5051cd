// Suites whose cases start processes run a part of them: another part every hour, so that all cases
// run in the course of a day. MATRIX=complete runs all, MATRIX=3 the part with that number.

const matrix = process.env['MATRIX'] ?? '';
const isComplete = matrix === 'complete';
const part = /^\d+$/.test(matrix) ? Number(matrix) : Math.floor(Date.now() / 3_600_000);

/** Every nth case; `offset` moves the part, so that two suites of one thing have different ones. */
export const partOf = <T>(cases: readonly T[], step: number, offset = 0): readonly T[] =>
  isComplete ? cases : cases.filter((_, index) => (index + part + offset) % step === 0);

/** `test` for a suite of which a part runs: every nth of its tests. */
export function testPart(step: number, offset = 0) {
  let index = offset;
  return (title: string, run: () => Promise<void>): void => {
    index += 1;
    if (isComplete || (index + part) % step === 0) test(title, run);
  };
}

/** The distance between two numbers of a count whose end is not known before. */
export const strideOf = (step: number): number => (isComplete ? 1 : step);
