// Kills the built program: at every moment of every call that it makes, and at every system call
// that makes something durable. Then runs it again until no rotation is in progress. The valid
// password must exist in the store or in a receipt.

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { jest } from '@jest/globals';
import { openReceipt } from '../../src/receipts/receipts.ts';
import { Secret } from '../../src/secret.ts';
import type { CallName } from '../../src/simulator/faults.ts';
import type { Moment } from '../../src/simulator/thingspace.ts';
import { limitMs } from '../harness/limits.mjs';
import { openProgramRig, type Program, startProgram, whileRunning } from '../harness/program.ts';
import type { Rig } from '../harness/rig.ts';
import { partOf } from '../harness/sample.ts';
import { type SystemCall, systemCallsIn } from '../harness/system-calls.ts';
import { hasTool, testWith } from '../harness/tools.ts';

jest.setTimeout(limitMs(900_000));

const oldPassword = 'old-password';
// Short enough that the settle time ends within two runs; long enough for a slow machine.
const thingspace = { requestTimeoutMs: 2_000, resetTimeoutMs: 2_000, settleMs: 0 };

let rig: Rig;
afterEach(() => rig.close());

async function openKillRig(store: 'file' | 'secrets-manager'): Promise<void> {
  rig = await openProgramRig({ store, users: { east: oldPassword } }, thingspace);
}

const start = (options?: Parameters<typeof startProgram>[2]): Program =>
  startProgram(rig, ['rotate', '--force'], options);

async function kill({ child, finished }: Program): Promise<void> {
  child.kill('SIGKILL');
  await finished;
}

/** Runs again until no run can do more: nothing is open, or only a person can go on. */
async function settle(): Promise<Record<string, unknown>> {
  for (let runs = 0; runs < 20; runs += 1) {
    const { code, result } = await start().finished;
    const isOver = code === 0 || code === 4 || result?.['reason'] === 'receipt-sealed';
    if (result && isOver) return result;
  }
  throw new Error('a rotation is still in progress');
}

async function currentPassword(): Promise<string> {
  const text = rig.secretsManager
    ? String(
        rig.secretsManager.call('GetSecretValue', {
          SecretId: 'thingspace/east',
          VersionStage: 'AWSCURRENT',
        })['SecretString'],
      )
    : await rig.rotator.files
        ?.versions('thingspace/east')
        .read({ stage: 'AWSCURRENT' })
        .then((version) => (version && version.value !== 'binary' ? version.value.reveal() : ''));
  return JSON.parse(text ?? '').password;
}

async function receiptHolds(password: string): Promise<boolean> {
  const folder = join(rig.folder, 'receipts');
  for (const name of existsSync(folder) ? readdirSync(folder) : []) {
    // A reservation without a receipt cannot be opened.
    const body = await openReceipt(
      readFileSync(join(folder, name)),
      new Secret(rig.receiptIdentity),
    ).catch(() => null);
    if (body && new TextDecoder().decode(body.reveal()).includes(password)) return true;
  }
  return false;
}

/** What must be true after a kill at any moment. */
async function expectNothingLost(where: string): Promise<string> {
  const before = rig.thingspace.livePassword('east');
  const kept =
    before === oldPassword || before === (await currentPassword()) || (await receiptHolds(before));
  const result = await settle();
  const live = rig.thingspace.livePassword('east');
  const verdict =
    (await currentPassword()) === live
      ? 'current'
      : (await receiptHolds(live))
        ? 'receipt'
        : String(result['reason']);

  expect({
    where,
    verdict,
    failed: rig.thingspace.failedLogins('east').most <= 1,
    inFlight: rig.thingspace.maxResetsInFlight('east') <= 1,
  }).toEqual({
    where,
    verdict: expect.stringMatching(
      kept ? /^(current|receipt)$/ : /^(current|receipt|password-lost)$/,
    ),
    failed: true,
    inFlight: true,
  });
  return verdict;
}

const moments: [Moment, CallName, number][] = (['arrived', 'committed'] as const).flatMap(
  (moment): [Moment, CallName, number][] => [
    [moment, 'token', 0],
    [moment, 'login', 0],
    [moment, 'reset', 0],
    [moment, 'login', 1],
    [moment, 'logout', 0],
    [moment, 'logout', 1],
  ],
);

describe.each(['file', 'secrets-manager'] as const)('%s', (store) => {
  // Each store has other moments; the protocol does not know which store it has.
  test.each(partOf(moments, 12, store === 'file' ? 0 : 6))(
    'a kill when ThingSpace has %s a %s (number %i) loses no password',
    async (moment, call, number) => {
      await openKillRig(store);
      const program = start();
      for (let seen = 0; seen <= number; seen += 1)
        await whileRunning(program, rig.thingspace.waitFor(moment, { call }));
      await kill(program);

      await expectNothingLost(`${moment} ${call} ${number}`);
    },
  );
});

const secretsManagerCalls: [string, number][] = [
  ['GetSecretValue', 1],
  ['PutSecretValue', 1],
  ['PutSecretValue', 2],
  ['PutSecretValue', 3],
  ['UpdateSecretVersionStage', 1],
];

test.each(partOf(secretsManagerCalls, 4))(
  'a kill while Secrets Manager answers %s (number %i) loses no password',
  async (action, number) => {
    await openKillRig('secrets-manager');
    const program = start();
    let seen = 0;
    await whileRunning(
      program,
      rig.secretsManager?.waitFor((request) => request.action === action && ++seen === number),
    );
    await kill(program);

    await expectNothingLost(`${action} ${number}`);
  },
);

/** Runs the program under strace. Each thread has its own count, so it gets one pool thread. */
function startTraced(...expressions: string[]): Program {
  const log = join(rig.folder, 'strace.log');
  const wrap = ['strace', '-f', '-qq', '-o', log, ...expressions.flatMap((one) => ['-e', one])];
  return start({ wrap, env: { UV_THREADPOOL_SIZE: '1' } });
}

/** System calls that make something durable or visible, and the error that each is refused with. */
const systemCalls: Readonly<Record<string, string | null>> = {
  fsync: 'EIO',
  fdatasync: 'ENOSPC',
  link: 'EIO',
  rename: 'ENOSPC',
  unlink: null,
  connect: null,
};
let allCalls: SystemCall[] = [];

beforeAll(async () => {
  if (!hasTool('strace')) return;
  await openKillRig('file');
  await startTraced(`trace=${Object.keys(systemCalls)}`).finished;
  allCalls = systemCallsIn(join(rig.folder, 'strace.log'));
  await rig.close();
});

testWith('strace')(
  'a kill at any system call of the file store, the audit log or the receipts loses no password',
  async () => {
    expect(new Set(allCalls.map(([name]) => name))).toEqual(new Set(Object.keys(systemCalls)));
    for (const [name, when] of partOf(allCalls, 24)) {
      await openKillRig('file');
      const inject = `inject=${name}:signal=SIGKILL:when=${when}`;
      const { code } = await startTraced(`trace=${name}`, inject).finished;

      expect([name, when, code]).toEqual([name, when, null]);
      await expectNothingLost(`${name} ${when}`);
      await rig.close();
    }
  },
);

testWith('strace')(
  'every system call that is refused once: a clear end, and nothing lost',
  async () => {
    const refused = allCalls.filter(([name]) => systemCalls[name] !== null);
    for (const [name, when] of partOf(refused, 24, 12)) {
      await openKillRig('file');
      const inject = `inject=${name}:error=${systemCalls[name]}:when=${when}`;
      const { code, result, said } = await startTraced(`trace=${name}`, inject).finished;

      expect(readFileSync(join(rig.folder, 'strace.log'), 'utf8')).toContain('(INJECTED)');
      expect([0, 1, 3]).toContain(code);
      // Rejected before an attempt began: the command prints the error and the place.
      if (result === null)
        expect({ code, said }).toEqual({ code: 1, said: expect.stringMatching(/(EIO|ENOSPC)/) });
      await expectNothingLost(`${name} ${when} ${systemCalls[name]}`);
      await rig.close();
    }
  },
);
