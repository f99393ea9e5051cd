// Ways a world can be: receipts or none, sessions that survive a reset or do not, one machine or
// several; one fault of any kind in each. And worlds from seeds: more faults than can be
// counted, three processes, every act, people who meddle.

import { partOf } from '../harness/sample.ts';
import { exploring } from './exploring.ts';

const ways = [
  ['off', 'ends', 'many'],
  ['sealed', 'stays', 'one'],
  ['readable', 'ends', 'one'],
] as const;

// Every other run has one of them.
test.each(partOf(ways, 6))(
  'one fault of any kind breaks no promise: receipts %s, session %s, %s machine',
  async (...way) => {
    expect(await exploring('--count', [...way, 'all', 1].join())).toBeGreaterThan(1_000);
  },
);

// One run in six has these; every run has new seeds.
test.each(partOf(['1'], 6, 2))(
  'worlds from seed %s on break no promise, and reach everything that can be reached',
  async (seed) => {
    const options = ['--seed', seed, '--runs', '2500', '--faults', '6', '--reach'];

    expect(await exploring(...options)).toBe(2_500);
  },
);

// The seed is printed; a failure prints the command that repeats it, and a test to paste.
test('worlds from new seeds break no promise', async () => {
  expect(await exploring('--runs', '200', '--faults', '6')).toBe(200);
});
