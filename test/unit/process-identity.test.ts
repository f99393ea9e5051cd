// Names for attempts, and the processes behind them: real processes, killed for real.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { openHolders } from '../../src/process-identity.ts';

test('an attempt of this process is alive until it ends', () => {
  const holders = openHolders(process.pid);
  const holder = holders.begin();

  const before = holders.standing(holder);
  holders.end(holder);

  expect([before, holders.standing(holder)]).toEqual(['alive', 'gone']);
});

test('an attempt of another process is alive until that process is killed', async () => {
  const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)']);
  await once(child, 'spawn');
  const holder = { ...openHolders(child.pid ?? 0).begin(), id: 'of the child' };
  const holders = openHolders(process.pid);

  const before = holders.standing(holder);
  child.kill('SIGKILL');
  await once(child, 'exit');

  expect([before, holders.standing(holder)]).toEqual(['alive', 'gone']);
});

test('a pid that was given to another process does not keep an attempt alive', () => {
  const holders = openHolders(process.pid);
  const holder = { ...holders.begin(), id: 'earlier', pid: process.ppid, startedAt: '1' };

  expect(holders.standing(holder)).toBe('gone');
});

test('of another machine, or one without evidence, nothing is known', () => {
  const holders = openHolders(process.pid);

  expect([
    holders.standing({ id: 'a' }),
    holders.standing({ ...holders.begin(), id: 'b', boot: 'another' }),
  ]).toEqual(['unknown', 'unknown']);
});
