// Counted, not sampled: every schedule of a few faults, one process at a time, over as many runs as
// it takes; that is, every world that can be reached between two runs, with every run from there.
// Larger scopes take minutes: `npm run sim -- --count readable,stays,many,core,3`,
// `--count sealed,stays,one,core,2` and `--count sealed,stays,one,all,2`.

import { testPart } from '../harness/sample.ts';
import { exploring } from './exploring.ts';

test('one fault breaks no promise: several machines', async () => {
  expect(await exploring('--count', 'readable,stays,many,core,1')).toBeGreaterThan(2_000);
});

// One run in eight has these.
testPart(8, 2)('two faults in any order break no promise: several machines', async () => {
  expect(await exploring('--count', 'readable,stays,many,core,2')).toBeGreaterThan(50_000);
});
