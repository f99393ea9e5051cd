import fc from 'fast-check';
import { ageDays, dayMs, dueAtMs, dueness } from '../../src/rotation/policy.ts';

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
