import { afterEach, expect, jest, test } from '@jest/globals';
import { Cron } from 'croner';
import fc from 'fast-check';
import {
  createNextRunMs,
  findScheduleProblem,
  jitterMs,
  nextRuns,
} from '../../src/scheduler/cron.ts';
import { itIs } from '../harness/fake-date.ts';

const dayMs = 86_400_000;
const zones = [
  'UTC',
  'America/New_York',
  'Europe/Berlin',
  'Australia/Lord_Howe',
  'Asia/Kolkata',
  'America/Sao_Paulo',
  'Pacific/Chatham',
];

afterEach(() => void jest.useRealTimers());

const offsetMinutes = (timeZone: string, ms: number): number => {
  const name = new Intl.DateTimeFormat('en', { timeZone, timeZoneName: 'longOffset' })
    .formatToParts(ms)
    .find(({ type }) => type === 'timeZoneName');
  const [, sign, hours = '0', minutes = '0'] =
    /GMT([+-])(\d\d):(\d\d)/.exec(name?.value ?? '') ?? [];
  return (sign === '-' ? -1 : 1) * (Number(hours) * 60 + Number(minutes));
};

/** Whether the offset changes within a day and a half: there the two libraries may differ. */
const isNearChange = (zone: string, ms: number): boolean =>
  offsetMinutes(zone, ms - 1.5 * dayMs) !== offsetMinutes(zone, ms + 1.5 * dayMs);

const minute = fc.integer({ min: 0, max: 59 }).map(String);
const hour = fc.oneof(
  fc.integer({ min: 0, max: 23 }).map(String),
  fc.constantFrom('*', '*/6', '1-5', '0,12', '8-18/2'),
);
const day = fc.oneof(
  { weight: 4, arbitrary: fc.constant('*') },
  fc.constantFrom('1', '15', '1,15', '28-31', '*/10'),
);
const month = fc.oneof(
  { weight: 4, arbitrary: fc.constant('*') },
  fc.constantFrom('1', 'jan,jul', '3-11', '*/2'),
);
const weekday = fc.oneof(
  { weight: 3, arbitrary: fc.constant('*') },
  fc.constantFrom('0', '7', 'mon', '1-5', 'sat,sun'),
);

test('the runs are those that croner finds, except near a daylight-saving change', () => {
  fc.assert(
    fc.property(
      fc.tuple(minute, hour, day, month, weekday),
      fc.constantFrom(...zones),
      fc.integer({ min: Date.UTC(2026, 10, 1), max: Date.UTC(2031, 0, 1) }),
      (fields, timezone, fromMs) => {
        const cron = fields.join(' ');
        itIs(fromMs);

        const ours = nextRuns({ cron, timezone }, 6);
        const theirs = new Cron(cron, { timezone, domAndDow: true, paused: true })
          .nextRuns(12, new Date(fromMs))
          .map((run) => run.getTime());

        const untilMs = Math.min(ours.at(-1) ?? 0, theirs.at(-1) ?? 0);
        const calm = (runs: readonly number[]): number[] =>
          runs.filter((ms) => ms <= untilMs && !isNearChange(timezone, ms));
        expect(calm(ours)).toEqual(calm(theirs));
      },
    ),
    { numRuns: 300, seed: 20261123 },
  );
});

test('two daily runs are at most two days apart, in every time zone', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 1439 }),
      fc.constantFrom(...zones),
      fc.integer({ min: 0, max: 700 }),
      (at, timezone, days) => {
        itIs(Date.UTC(2026, 10, 1) + days * dayMs);

        const runs = nextRuns({ cron: `${at % 60} ${Math.floor(at / 60)} * * *`, timezone }, 5);

        const gaps = runs.slice(1).map((ms, index) => (ms - (runs[index] ?? 0)) / dayMs);
        expect(Math.max(...gaps)).toBeLessThanOrEqual(2 + 1 / 24);
        expect(Math.min(...gaps)).toBeGreaterThanOrEqual(1 - 1 / 24);
      },
    ),
    { numRuns: 150, seed: 20261123 },
  );
});

test('over a daylight-saving change a local time that the clocks skip has no run', () => {
  itIs(Date.UTC(2027, 2, 12, 12));

  const runs = nextRuns({ cron: '30 2 * * *', timezone: 'America/New_York' }, 3);

  expect(runs.map((ms) => new Date(ms).toISOString().slice(0, 16))).toEqual([
    '2027-03-13T07:30',
    '2027-03-15T06:30',
    '2027-03-16T06:30',
  ]);
});

test('the next run is right in every minute, also after the clock was set back', () => {
  const nextRunMs = createNextRunMs({ nowMs: () => Date.now() });
  const askAt = (ms: number): string => {
    itIs(ms);
    return new Date(nextRunMs({ cron: '17 3 * * *', timezone: 'UTC' })).toISOString();
  };
  const dayAt = (...time: [number, number, number?]) => Date.UTC(2027, 2, 21, ...time);

  expect([
    askAt(dayAt(3, 16, 1)),
    askAt(dayAt(3, 16, 59)),
    askAt(dayAt(3, 17)),
    askAt(dayAt(3, 17, 30)),
    askAt(dayAt(3, 17, 30) - 20 * dayMs),
  ]).toEqual([
    '2027-03-21T03:17:00.000Z',
    '2027-03-21T03:17:00.000Z',
    '2027-03-22T03:17:00.000Z',
    '2027-03-22T03:17:00.000Z',
    '2027-03-02T03:17:00.000Z',
  ]);
});

test('an hour that comes twice has one run', () => {
  itIs(Date.UTC(2027, 9, 1));

  const november = nextRuns({ cron: '30 1 * * *', timezone: 'America/New_York' }, 60).filter((ms) =>
    new Date(ms).toISOString().startsWith('2027-11-07'),
  );

  expect(november).toHaveLength(1);
});

test('a schedule that matches no date is reported', () => {
  expect(findScheduleProblem({ cron: '0 0 30 2 *', timezone: 'UTC' })).toBe(
    'schedule.cron "0 0 30 2 *" (UTC) matches no date, so no run would start',
  );
  expect(findScheduleProblem({ cron: '17 3 * * *', timezone: 'UTC' })).toBeNull();
});

test('the jitter is the same for the same name, and evenly spread over a fleet', () => {
  const names = Array.from({ length: 3000 }, (_, index) => `fleet-${index}`);

  const quarters = [0, 0, 0, 0];
  for (const name of names) {
    const share = jitterMs(name, 60) / 3_600_000;
    expect(share).toBe(jitterMs(name, 60) / 3_600_000);
    quarters[Math.floor(share * 4)] = (quarters[Math.floor(share * 4)] ?? 0) + 1;
  }

  expect(jitterMs('fleet-east', 30)).toBe(jitterMs('fleet-east', 30));
  expect(jitterMs('fleet-east', 0)).toBe(0);
  for (const count of quarters) expect(Math.abs(count - 750)).toBeLessThan(120);
});
