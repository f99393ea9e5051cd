// Every way a world can be: receipts or none, sessions that survive a reset or do not, one machine or several; one
// fault of any kind in each. And worlds from seeds: more faults than can be counted, three processes, people who meddle.

import { exploring } from './exploring.ts';
import { exploreSeed } from './swarm.ts';

const ways = ['off', 'sealed', 'readable'].flatMap((receipts) =>
  ['ends', 'stays'].flatMap((session) => ['one', 'many'].map((machines) => [receipts, session, machines] as const)),
);

test.each(ways)(
  'one fault of any kind breaks no promise: receipts %s, session %s, %s machine',
  async (...way) => {
    expect(await exploring('--count', [...way, 'all', 1].join())).toBeGreaterThan(1_000);
  },
  60_000,
);

test('worlds from seeds break no promise', async () => {
  expect(await exploring('--seed', '1', '--runs', '3000', '--faults', '6')).toBe(3_000);
}, 60_000);

// What each of these once broke is in the log of src/rotation.
test.each([
  [764, 4],
  [995, 4],
  [1060, 4],
  [2046, 6],
  [5392, 6],
  [203768, 6],
  [207142, 6],
  [213666, 6],
  [300760, 6],
  [302157, 6],
  [306390, 6],
  [401577, 6],
  [406628, 6],
])('seed %i, which once broke a promise, does so no more', async (seed, faults) => {
  await expect(exploreSeed(seed, faults)).resolves.toBeDefined();
});
