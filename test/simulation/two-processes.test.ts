// Two processes on one account, at every interleaving with a few switches, and wherever one waits,
// is paused or dies. At most one reset is in flight, even if a process is paused, killed or slow.

import { exploring } from './exploring.ts';

test.each([
  ['one fault, one machine', 'readable,stays,one,together,1,0'],
  ['one fault, several machines', 'off,ends,many,together,1,0'],
  ['no fault and two switches', 'sealed,stays,many,together,0,2'],
])('two processes break no promise: %s', async (_, scope) => {
  expect(await exploring('--count', scope)).toBeGreaterThan(100);
});
