// Two processes on one account, at every interleaving with a few switches, and wherever one waits,
// is paused or dies. At most one reset is in flight, even if a process is paused, killed or slow.

import { partOf } from '../harness/sample.ts';
import { exploring } from './exploring.ts';

const scopes = [
  ['one fault, one machine', 'readable,stays,one,together,1,0'],
  ['one fault, several machines', 'off,ends,many,together,1,0'],
  ['no fault and two switches', 'sealed,stays,many,together,0,2'],
] as const;

test.each(partOf(scopes, 3))('two processes break no promise: %s', async (_, scope) => {
  expect(await exploring('--count', scope)).toBeGreaterThan(100);
});
