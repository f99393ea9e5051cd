// Ways a world can be: receipts or none, sessions that survive a reset or do not, one machine or
// several; one fault of any kind in each. And worlds from seeds: more faults than can be
// counted, three processes, every act, people who meddle.

import { testPart } from '../harness/sample.ts';
import { exploring } from './exploring.ts';

const ways = [
  ['off', 'ends', 'many'],
  ['sealed', 'stays', 'one'],
  ['readable', 'ends', 'one'],
] as const;

// In CI every other run has one of them, else one in eight.
const oneWay = testPart(process.env['CI'] ? 6 : 24);
for (const [receipts, session, machines] of ways)
  oneWay(
    `one fault of any kind breaks no promise: receipts ${receipts}, session ${session}, \
${machines} machine`,
    async () => {
      const scope = [receipts, session, machines, 'all', 1].join();

      expect(await exploring('--count', scope)).toBeGreaterThan(1_000);
    },
  );

// CI always has these, other runs one in 24; every run has new seeds.
const inCi = process.env['CI'] ? test : testPart(24, 3);
inCi('worlds from seeds break no promise, and reach everything that can be reached', async () => {
  const options = ['--seed', '1', '--runs', '2500', '--faults', '6', '--reach'];

  expect(await exploring(...options)).toBe(2_500);
});

// The seed is printed; a failure prints the command that repeats it, and a test to paste.
test('worlds from new seeds break no promise', async () => {
  const runs = process.env['CI'] ? 100 : 40;

  expect(await exploring('--runs', String(runs), '--faults', '6')).toBe(runs);
});
