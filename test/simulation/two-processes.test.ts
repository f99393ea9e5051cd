// Two processes on one account, at every interleaving with a few switches. At most one reset is in
// flight, even if a process is paused, killed or slow, or its clock is an hour off.

import { exploring } from './exploring.ts';

test.each([
  ['one fault and two switches', 'readable,stays,one,together,1,2'],
  ['two faults, and a switch wherever one waits, is paused or dies', 'off,ends,many,together,2,0'],
  ['no fault and four switches', 'sealed,stays,many,together,0,4'],
])('two processes break no promise: %s', async (_, scope) => {
  expect(await exploring('--count', scope)).toBeGreaterThan(1_000);
});
