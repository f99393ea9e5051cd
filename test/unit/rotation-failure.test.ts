// The failure table holds together: what is known, who acts, and what the process exits with.

import { type Certainty, exitCodeOf, failures, stopReasons } from '../../src/rotation/failure.ts';

const rows = Object.entries(failures);

test.each(rows)('%s waits for whom its certainty says', (_, { certainty, disposition }) => {
  const whom = {
    unchanged: 'later',
    changed: 'recover',
    'in-doubt': 'recover',
    lost: 'person',
    stopped: 'person',
  } as const;

  expect(disposition).toBe(whom[certainty]);
});

test('what stops an account waits for a person', () => {
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
