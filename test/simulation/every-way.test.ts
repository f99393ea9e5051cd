// Every way a world can be: receipts or none, sessions that survive a reset or do not, one machine
// or several; one fault of any kind in each. And worlds from seeds: more faults than can be
// counted, three processes, people who meddle.

import { exploring } from './exploring.ts';

const ways = ['off', 'sealed', 'readable'].flatMap((receipts) =>
  ['ends', 'stays'].flatMap((session) =>
    ['one', 'many'].map((machines) => [receipts, session, machines] as const),
  ),
);

test.each(ways)(
  'one fault of any kind breaks no promise: receipts %s, session %s, %s machine',
  async (...way) => {
    expect(await exploring('--count', [...way, 'all', 1].join())).toBeGreaterThan(1_000);
  },
);

test('worlds from seeds break no promise', async () => {
  expect(await exploring('--seed', '1', '--runs', '3000', '--faults', '6')).toBe(3_000);
});
