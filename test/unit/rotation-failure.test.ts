// The failure table holds together: what is known, who acts, and what the process exits with.

import { type Certainty, exitCodeOf, failures, stopReasons } from '../../src/rotation/failure.ts';

const rows = Object.entries(failures);

/** The new password exists, and no program can read it. */
const unreadable = ['receipt-sealed', 'answer-unreadable'];

test.each(rows)('%s says who acts next', (reason, { certainty, disposition }) => {
  const whom = {
    unchanged: 'later',
    changed: 'recover',
    'in-doubt': 'recover',
    lost: 'person',
    stopped: 'person',
  } as const;

  expect(disposition).toBe(unreadable.includes(reason) ? 'person' : whom[certainty]);
});

test('a suspended account waits for a person', () => {
  expect(stopReasons.map((reason) => failures[reason].disposition)).toEqual(
    stopReasons.map(() => 'person'),
  );
});

test.each<[Certainty, number]>([
  ['rotated', 0],
  ['not-due', 0],
  ['unchanged', 1],
  ['changed', 3],
  ['in-doubt', 3],
  ['lost', 4],
  ['stopped', 4],
])('%s exits with %d, and with 0 when that is what was asked for', (certainty, code) => {
  expect(exitCodeOf(certainty, false)).toBe(code);
  expect(exitCodeOf(certainty, true)).toBe(0);
});
