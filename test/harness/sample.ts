// Suites whose cases start processes run a part of them: another part every hour, so that all cases
// run in the course of a day (part.mjs).
//
// A step divides 24. Where rows and columns both have a step, the steps have no common divisor
// (3 and 8), so that every combination has its hour.

import { isComplete, part } from './part.mjs';
import { type Tool, testWith } from './tools.ts';

/**
 * Every nth case; `offset` moves the part, so that two suites of one thing have different ones.
 * Jest refuses a table without rows: `test.each` needs at least `step` cases.
 */
export const partOf = <T>(cases: readonly T[], step: number, offset = 0): readonly T[] =>
  isComplete ? cases : cases.filter((_, index) => (index + part + offset) % step === 0);

/** `test` for a suite of which a part runs: every nth of its tests. */
export function testPart(step: number, offset = 0) {
  let index = offset;
  const partWith =
    (run: typeof test) =>
    (title: string, body: () => Promise<void>): void => {
      index += 1;
      if (isComplete || (index + part) % step === 0) run(title, body);
    };
  return Object.assign(partWith(test), {
    /** For what needs these tools. */
    with: (...tools: readonly Tool[]) => partWith(testWith(...tools)),
  });
}
