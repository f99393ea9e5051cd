// Names for attempts, and the processes behind them: real processes, killed for real.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { openProcessIdentity } from '../../src/process-identity.ts';

test('an attempt of this process is alive until it ends', () => {
  const processes = openProcessIdentity(process.pid);
  const holder = processes.begin();

  const before = processes.liveness(holder);
  processes.end(holder);

  expect([before, processes.liveness(holder)]).toEqual(['alive', 'gone']);
});

test('an attempt of another process is alive until that process is killed', async () => {
  const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)']);
  await once(child, 'spawn');
  const holder = { ...openProcessIdentity(child.pid ?? 0).begin(), id: 'of the child' };
  const processes = openProcessIdentity(process.pid);

  const before = processes.liveness(holder);
  child.kill('SIGKILL');
  await once(child, 'exit');

  expect([before, processes.liveness(holder)]).toEqual(['alive', 'gone']);
});

test('a pid that was given to another process does not keep an attempt alive', () => {
  const processes = openProcessIdentity(process.pid);
  const holder = { ...processes.begin(), id: 'earlier', pid: process.ppid, startedAt: '1' };

  expect(processes.liveness(holder)).toBe('gone');
});

test('of another machine, or one without evidence, nothing is known', () => {
  const processes = openProcessIdentity(process.pid);

  expect([
    processes.liveness({ id: 'a' }),
    processes.liveness({ ...processes.begin(), id: 'b', boot: 'another' }),
  ]).toEqual(['unknown', 'unknown']);
});
