// Counted, not sampled: every schedule of a few faults, one process at a time, over as many runs as
// it takes; that is, every world that can be reached between two runs, with every run from there.

import { exploring } from './exploring.ts';

test('three faults in any order break no promise', async () => {
  expect(await exploring('--count', 'readable,stays,many,core,3')).toBeGreaterThan(50_000);
}, 120_000);

test('two faults of any kind break no promise: receipts sealed', async () => {
  expect(await exploring('--count', 'sealed,stays,one,all,2')).toBeGreaterThan(20_000);
}, 120_000);
