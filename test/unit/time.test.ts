import fc from 'fast-check';
import { distance, isoDay, isoTime, localTime, parseIso, parseWhen } from '../../src/time.ts';

test('dates agree with JavaScript over four centuries', () => {
  fc.assert(
    fc.property(fc.integer({ min: -2e12, max: 1.2e13 }), (ms) => {
      expect(isoTime(ms, true)).toBe(new Date(ms).toISOString());
      expect(isoDay(ms)).toBe(new Date(ms).toISOString().slice(0, 10));
      expect(parseIso(new Date(ms).toISOString())).toBe(ms);
    }),
  );
});

test('ISO dates are read with and without time and offset; days must exist', () => {
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

test('"90 days ago", "3 months ago", "90d" and "today" are understood', () => {
  const now = Date.UTC(2026, 4, 31, 12);
  expect(parseWhen('90 days ago', now)).toBe(now - 90 * 86_400_000);
  expect(parseWhen('90d', now)).toBe(now - 90 * 86_400_000);
  expect(parseWhen('1 hour ago', now)).toBe(now - 3_600_000);
  expect(parseWhen('3 months ago', now)).toBe(Date.UTC(2026, 1, 28, 12));
  expect(parseWhen('1 year ago', now)).toBe(Date.UTC(2025, 4, 31, 12));
  expect(parseWhen('today', now)).toBe(Date.UTC(2026, 4, 31));
  expect(parseWhen('2026-01-01', now)).toBe(Date.UTC(2026, 0, 1));
  expect(parseWhen('some time ago', now)).toBeNull();
  expect(parseWhen('999999 years ago', now)).toBeNull();
});

test('a number that is no time is printed, not thrown: a damaged log may hold one', () => {
  expect([isoTime(Number.NaN), isoTime(1e300), isoDay(-1e300)]).toEqual([
    'invalid time',
    'invalid time',
    'invalid time',
  ]);
});

test('a time is shown in a time zone, with its offset, and a distance in two units', () => {
  const summer = Date.UTC(2027, 6, 1, 1, 17);
  expect(localTime(summer, 'Europe/Berlin')).toMatch(/^Thu 1 Jul 2027, 03:17 (GMT\+2|CEST)$/);
  expect([0, 59, 387, 1440, 3 * 1440 + 120].map((minutes) => distance(minutes * 60_000))).toEqual([
    'now',
    'in 59 min',
    'in 6 h 27 min',
    'in 1 day',
    'in 3 days 2 h',
  ]);
});
