// Two processes on one account: one paused beyond its lease, and two whose clocks differ by an
// hour. Then signals.

import { openProgramRig, startProgram, whileRunning } from '../harness/program.ts';
import type { Rig } from '../harness/rig.ts';
import { partOf } from '../harness/sample.ts';
import { testWith } from '../harness/tools.ts';

const force = ['rotate', '--force'];

let rig: Rig;
afterEach(() => rig.close());

describe.each(['file', 'secrets-manager'] as const)('%s', (store) => {
  test('a process that is paused beyond its lease sends no reset when it continues', async () => {
    rig = await openProgramRig(
      { store, users: { east: 'old' } },
      { requestTimeoutMs: 1_000, resetTimeoutMs: 2_000, settleMs: 0 },
    );
    const paused = startProgram(rig, force);
    await whileRunning(paused, rig.thingspace.waitFor('committed', { call: 'login' }));
    paused.child.kill('SIGSTOP');

    let other = await startProgram(rig, force).finished;
    while (other.code === 1) other = await startProgram(rig, force).finished;
    paused.child.kill('SIGCONT');
    const continued = await paused.finished;

    expect([other.result?.['outcome'], continued.code === 0]).toEqual(['rotated', false]);
    expect(rig.thingspace.resetsReceived('east')).toBe(1);
    expect(rig.thingspace.failedLogins('east').most).toBe(0);
  });

  testWith('faketime').each(partOf(['+1h', '-1h'], 2, store === 'file' ? 0 : 1))(
    'a second instance whose clock is wrong by %s sends no reset during the reset of the first one',
    async (offset) => {
      rig = await openProgramRig(
        { store, users: { east: 'old' } },
        { requestTimeoutMs: 10_000, resetTimeoutMs: 60_000, settleMs: 0 },
      );
      rig.thingspace.arm({ fault: 'hold', call: 'reset' });
      const first = startProgram(rig, force);
      await whileRunning(first, rig.thingspace.waitFor('held', { call: 'reset' }));

      const second = await startProgram(rig, force, { wrap: ['faketime', '-f', offset] }).finished;
      rig.thingspace.release();
      const { result } = await first.finished;

      expect({
        second: second.code,
        reason: second.result?.['reason'],
        first: result?.['outcome'],
      }).toEqual({
        second: 3,
        // By its own clock, the lease in the file store is over; the settle time is not.
        reason: store === 'file' && offset === '+1h' ? 'settling' : 'in-flight',
        first: 'rotated',
      });
      expect(rig.thingspace.resetsReceived('east')).toBe(1);
      expect(rig.thingspace.loginsReceived('east')).toBe(2);
    },
  );
});

test('after a signal it saves the new password; a second one prints what is at risk', async () => {
  rig = await openProgramRig(
    { store: 'file', users: { east: 'old' } },
    { requestTimeoutMs: 2_000, resetTimeoutMs: 60_000, settleMs: 0 },
  );
  rig.thingspace.arm({ fault: 'hold', call: 'reset' });
  const program = startProgram(rig, force);
  await whileRunning(program, rig.thingspace.waitFor('held', { call: 'reset' }));

  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    const printed = new Promise<void>((resolve) =>
      program.child.stderr?.on('data', (chunk) => String(chunk).includes(signal) && resolve()),
    );
    program.child.kill(signal);
    await whileRunning(program, printed);
  }
  rig.thingspace.release();
  const { code, result, said } = await program.finished;

  expect({ code, outcome: result?.['outcome'] }).toEqual({ code: 0, outcome: 'rotated' });
  expect(said).toContain('SIGTERM');
  expect(said).toMatch(
    /SIGINT: If you end this process now, the new passwords of these accounts are lost: east/,
  );
});

test('a signal before the reset ends the attempt with the password unchanged', async () => {
  rig = await openProgramRig(
    { store: 'file', users: { east: 'old' } },
    { requestTimeoutMs: 10_000, resetTimeoutMs: 10_000, settleMs: 0 },
  );
  rig.thingspace.arm({ fault: 'hold', call: 'login' });
  const program = startProgram(rig, force);
  await whileRunning(program, rig.thingspace.waitFor('held', { call: 'login' }));
  const printed = new Promise<void>((resolve) =>
    program.child.stderr?.on('data', (chunk) => String(chunk).includes('SIGTERM') && resolve()),
  );

  program.child.kill('SIGTERM');
  await whileRunning(program, printed);
  rig.thingspace.release();
  const { code, result } = await program.finished;
  const again = await startProgram(rig, force).finished;

  expect({
    code,
    reason: result?.['reason'],
    resets: rig.thingspace.resetsReceived('east'),
  }).toEqual({
    code: 1,
    reason: 'interrupted',
    resets: 1,
  });
  expect(again.result?.['outcome']).toBe('rotated');
});
