import fc from 'fast-check';
import { ageDays, dayMs, dueAtMs, dueness, isDue } from '../../src/rotation/policy.ts';
import { closings } from '../../src/rotation/record.ts';
import { withClosed } from '../../src/rotation/result.ts';

const policy = { rotateAfterDays: 60, maxAgeDays: 90 };

test.each([
  [0, 'not-due'],
  [59.999, 'not-due'],
  [60, 'due'],
  [90, 'due'],
  [90.001, 'overdue'],
])('a password of %d days is %s', (age, expected) => {
  expect(dueness(age, policy)).toBe(expected);
});

test('a password is due from the moment that was announced', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 4e12 }), (sinceMs) => {
      const dueMs = dueAtMs(sinceMs, policy);

      expect(dueness(ageDays(sinceMs, dueMs), policy)).toBe('due');
      expect(dueness(ageDays(sinceMs, dueMs - 1), policy)).toBe('not-due');
    }),
  );
});

test('a clock that has stepped back makes no password younger than new', () => {
  expect(ageDays(dayMs, 0)).toBe(0);
});

test('an order that is delivered again forces nothing, unless its reset did not happen', () => {
  const request = { force: true, keyDigest: 'a', policy };
  const dueAfter = (as: (typeof closings)[number], age: number): boolean =>
    isDue(request, [{ rotationId: 'r', as, keyDigest: 'a' }], age);

  const forced = closings.map((as) => [as, dueAfter(as, 1), dueAfter(as, 61)]);

  expect(forced).toEqual([
    ['rotated', false, true],
    ['not-applied', true, true],
    ['superseded', false, false],
    ['abandoned', false, false],
  ]);
});

test('an order with another key, or without one, is not a repetition', () => {
  const history = [{ rotationId: 'r', as: 'rotated', keyDigest: 'a' }] as const;

  expect(isDue({ force: true, keyDigest: 'b', policy }, history, 1)).toBe(true);
  expect(isDue({ force: true, policy }, history, 1)).toBe(true);
  expect(isDue({ force: false, policy }, history, 1)).toBe(false);
});

test('resets that did not happen push no order out of the history of eight', () => {
  const ordered = { rotationId: 'ordered', as: 'rotated', keyDigest: 'a' } as const;
  const later = { rotationId: 'later', as: 'rotated' } as const;
  let history = withClosed({ history: [ordered] }, later);
  for (let count = 0; count < 20; count += 1)
    history = withClosed({ history }, { rotationId: `refused-${count}`, as: 'not-applied' });

  expect(history.map(({ rotationId }) => rotationId)).toEqual([
    ...[19, 18, 17, 16, 15, 14].map((count) => `refused-${count}`),
    'later',
    'ordered',
  ]);
});
