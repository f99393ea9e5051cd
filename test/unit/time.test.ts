import fc from 'fast-check';
import { isoDay, isoTime, parseIso, parseWhen } from '../../src/time.ts';

test('dates agree with JavaScript over four centuries', () => {
  fc.assert(
    fc.property(fc.integer({ min: -2e12, max: 1.2e13 }), (ms) => {
      expect(isoTime(ms, true)).toBe(new Date(ms).toISOString());
      expect(isoDay(ms)).toBe(new Date(ms).toISOString().slice(0, 10));
      expect(parseIso(new Date(ms).toISOString())).toBe(ms);
    }),
  );
});

test('ISO dates with and without time and offset are understood, days that do not exist are not', () => {
  expect(parseIso('2026-11-23')).toBe(Date.UTC(2026, 10, 23));
  expect(parseIso('2026-11-23T04:17+01:00')).toBe(Date.UTC(2026, 10, 23, 3, 17));
  expect(parseIso('2026-11-23 04:17:30.5Z')).toBe(Date.UTC(2026, 10, 23, 4, 17, 30, 500));
  expect(['2026-02-30', '2026-13-01', 'yesterday', '', '2026-11-23T25:00'].map(parseIso)).toEqual([
    null,
    null,
    null,
    null,
    null,
  ]);
});

test('people write "90 days ago", "3 months ago", "90d" and "today"', () => {
  const now = Date.UTC(2026, 4, 31, 12);
  expect(parseWhen('90 days ago', now)).toBe(now - 90 * 86_400_000);
  expect(parseWhen('90d', now)).toBe(now - 90 * 86_400_000);
  expect(parseWhen('1 hour ago', now)).toBe(now - 3_600_000);
  expect(parseWhen('3 months ago', now)).toBe(Date.UTC(2026, 1, 28, 12));
  expect(parseWhen('1 year ago', now)).toBe(Date.UTC(2025, 4, 31, 12));
  expect(parseWhen('today', now)).toBe(Date.UTC(2026, 4, 31));
  expect(parseWhen('2026-01-01', now)).toBe(Date.UTC(2026, 0, 1));
  expect(parseWhen('some time ago', now)).toBeNull();
});
