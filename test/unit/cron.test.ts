import { afterEach, expect, jest, test } from '@jest/globals';
import { Cron } from 'croner';
import fc from 'fast-check';
import { jitterMs, nextRuns, openTicker, outlook, problemWith } from '../../src/scheduler/cron.ts';

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

/** Only `new Date()` is set; timers run as they do. */
function itIs(ms: number): void {
  jest.useFakeTimers({
    now: ms,
    doNotFake: [
      'setTimeout',
      'setInterval',
      'setImmediate',
      'queueMicrotask',
      'nextTick',
      'performance',
      'hrtime',
    ],
  });
}

const offsetMinutes = (timeZone: string, ms: number): number => {
  const name = new Intl.DateTimeFormat('en', { timeZone, timeZoneName: 'longOffset' })
    .formatToParts(ms)
    .find(({ type }) => type === 'timeZoneName');
  const [, sign, hours = '0', minutes = '0'] =
    /GMT([+-])(\d\d):(\d\d)/.exec(name?.value ?? '') ?? [];
  return (sign === '-' ? -1 : 1) * (Number(hours) * 60 + Number(minutes));
};

/** The clocks change within a day and a half of it: there the two libraries may differ, and toolchain.md says how. */
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

test('the runs are those that croner finds, wherever the clocks do not change', () => {
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

test('no two runs of a fixed time are more than two days apart, whatever the clocks do', () => {
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

test('over a change of the clocks the ticks come when the outlook said, and none comes for an hour that is not there', async () => {
  jest.useFakeTimers({ now: Date.UTC(2027, 2, 12, 12) });
  const expected = nextRuns({ cron: '30 2 * * *', timezone: 'America/New_York' }, 3);
  const ticks: number[] = [];
  const ticker = openTicker({ cron: '30 2 * * *', timezone: 'America/New_York' }, () =>
    ticks.push(Date.now()),
  );
  const firstMs = ticker.nextMs();

  await jest.advanceTimersByTimeAsync(4 * dayMs);
  ticker.stop();

  expect(firstMs).toBe(expected[0]);
  expect(ticks.map((ms) => Math.floor(ms / 1000) * 1000)).toEqual(expected);
  expect(ticks.map((ms) => new Date(ms).toISOString().slice(0, 16))).toEqual([
    '2027-03-13T07:30',
    '2027-03-15T06:30',
    '2027-03-16T06:30',
  ]);
  expect(jest.getTimerCount()).toBe(0);
});

test('the outlook tells in words what a change of the clocks does', () => {
  itIs(Date.UTC(2027, 2, 13, 0));

  const { runs, sentences } = outlook(
    { cron: '30 2 * * *', timezone: 'America/New_York', jitterMinutes: 30 },
    3,
    Date.UTC(2027, 2, 13, 0),
  );

  expect(runs.map(({ local, inWords, remark }) => [local, inWords, remark])).toEqual([
    ['Sat 13 Mar 2027, 02:30 GMT-5', 'in 7 h 30 min', undefined],
    ['Mon 15 Mar 2027, 02:30 GMT-4', 'in 2 days 6 h', 'the clocks went forward 60 min before it'],
    ['Tue 16 Mar 2027, 02:30 GMT-4', 'in 3 days 6 h', undefined],
  ]);
  expect(sentences).toEqual([
    'Every day at 02:30, America/New_York.',
    'Each account follows within 30 min, always at its own same minute.',
    'A run only looks: what is rotated is decided by the age of each password.',
    'On Sun 14 Mar 2027 in America/New_York there is no 02:30: that run is left out, and the next one finds what it would have found.',
  ]);
});

test('an hour that comes twice is told, and runs once', () => {
  itIs(Date.UTC(2027, 9, 1));
  const schedule = { cron: '30 1 * * *', timezone: 'America/New_York', jitterMinutes: 0 };

  const { sentences } = outlook(schedule, 1, Date.UTC(2027, 9, 1));
  const november = nextRuns(schedule, 60).filter((ms) =>
    new Date(ms).toISOString().startsWith('2027-11-07'),
  );

  expect(sentences.at(-1)).toBe(
    'On Sun 7 Nov 2027 in America/New_York 01:30 comes twice: the second one finds nothing left to do, if it runs at all.',
  );
  expect(november).toHaveLength(1);
});

test.each([
  ['17 3 * * *', 'Every day at 03:17, UTC.'],
  ['5 * * * *', 'Every hour at minute 5, UTC.'],
  ['0 4 * * 1', 'Every Monday at 04:00, UTC.'],
  ['0 4 1 * *', 'On day 1 of every month at 04:00, UTC.'],
  ['0 4 13 * 5', 'By "0 4 13 * 5", when day of month and day of week both hold, UTC.'],
  ['*/10 1-5 * * *', 'By the cron expression "*/10 1-5 * * *", UTC.'],
])('%s is told in words', (cron, words) => {
  expect(outlook({ cron, timezone: 'UTC', jitterMinutes: 0 }, 1, Date.now()).sentences[0]).toBe(
    words,
  );
});

test('a schedule that has the right form and never comes is told', () => {
  expect(problemWith({ cron: '0 0 30 2 *', timezone: 'UTC' })).toBe(
    'the schedule "0 0 30 2 *" (UTC) never comes',
  );
  expect(problemWith({ cron: '17 3 * * *', timezone: 'UTC' })).toBeNull();
});

test('jitter is the same for the same name, and evenly spread over a fleet', () => {
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
