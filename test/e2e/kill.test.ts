// The built program, killed for real: at every moment of every call it makes, and at every system call that
// makes something durable. Then it is run again until it settles, and the live password must be somewhere.

import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { jest } from '@jest/globals';
import { openReceipt } from '../../src/receipts.ts';
import { Secret } from '../../src/secret.ts';
import type { CallName, Moment } from '../../src/simulator/thingspace.ts';
import { openRig, type Rig } from '../support/rig.ts';

const cli = resolve('dist/cli.js');
const oldPassword = 'old-password';
// Short enough that a doubt settles within a run or two; long enough for a slow machine.
const thingspace = { requestTimeoutMs: 2_000, resetTimeoutMs: 2_000, settleMs: 0 };

jest.setTimeout(240_000);

let rig: Rig;
afterEach(() => rig.close());

async function openKillRig(store: 'file' | 'secrets-manager'): Promise<void> {
  rig = await openRig({ store, users: { east: oldPassword } });
  const path = join(rig.folder, 'rotator.yaml');
  const config = JSON.parse(readFileSync(path, 'utf8'));
  writeFileSync(path, JSON.stringify({ ...config, thingspace: { ...config.thingspace, ...thingspace } }));
}

function start(wrap: readonly string[] = [], env: NodeJS.ProcessEnv = {}): ChildProcess {
  const words = [...wrap, process.execPath, cli, 'rotate', '--force', '--json', '--config', join(rig.folder, 'rotator.yaml')];
  return spawn(words[0] ?? '', words.slice(1), { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...env } });
}

/** Waits for a moment, or throws when the program ends before it. */
async function whileRunning(child: ChildProcess, moment: Promise<unknown> | undefined): Promise<void> {
  const ended = once(child, 'close').then(() => {
    throw new Error('the program ended before it could be killed');
  });
  await Promise.race([moment, ended]);
  ended.catch(() => {});
}

async function kill(child: ChildProcess): Promise<void> {
  const closed = once(child, 'close');
  child.kill('SIGKILL');
  await closed;
}

async function finish(child: ChildProcess): Promise<{ code: number | null; result: Record<string, unknown> | null; said: string }> {
  let out = '';
  let said = '';
  child.stdout?.on('data', (chunk) => {
    out += chunk;
  });
  child.stderr?.on('data', (chunk) => {
    said += chunk;
  });
  const [code] = await once(child, 'close');
  return { code, said, result: out.trim() === '' ? null : JSON.parse(out.trim().split('\n')[0] ?? '') };
}

/** Runs again until the account is settled or stopped. */
async function settle(): Promise<Record<string, unknown>> {
  for (let runs = 0; runs < 20; runs += 1) {
    const { code, result } = await finish(start());
    if (result && (code === 0 || code === 4)) return result;
  }
  throw new Error('it never settled');
}

async function currentPassword(): Promise<string> {
  const text = rig.secretsManager
    ? String(rig.secretsManager.call('GetSecretValue', { SecretId: 'thingspace/east', VersionStage: 'AWSCURRENT' })['SecretString'])
    : await rig.rotator.files
        ?.versions('thingspace/east')
        .read({ stage: 'AWSCURRENT' })
        .then((version) => (version && version.value !== 'binary' ? version.value.reveal() : ''));
  return JSON.parse(text ?? '').password;
}

async function receiptHolds(password: string): Promise<boolean> {
  const folder = join(rig.folder, 'receipts');
  const names = existsSync(folder) ? readdirSync(folder).filter((name) => name.endsWith('.age')) : [];
  for (const name of names) {
    const body = await openReceipt(readFileSync(join(folder, name)), new Secret(rig.receiptIdentity));
    if (new TextDecoder().decode(body.reveal()).includes(password)) return true;
  }
  return false;
}

/** What must hold, wherever it was killed. */
async function expectNothingLost(where: string): Promise<string> {
  const before = rig.thingspace.livePassword('east');
  const kept = before === oldPassword || before === (await currentPassword()) || (await receiptHolds(before));
  const result = await settle();
  const live = rig.thingspace.livePassword('east');
  const verdict = (await currentPassword()) === live ? 'current' : (await receiptHolds(live)) ? 'receipt' : String(result['reason']);

  expect({
    where,
    verdict,
    failed: rig.thingspace.failedLogins('east').most <= 1,
    inFlight: rig.thingspace.maxResetsInFlight('east') <= 1,
  }).toEqual({
    where,
    verdict: expect.stringMatching(kept ? /^(current|receipt)$/ : /^(current|receipt|password-lost)$/),
    failed: true,
    inFlight: true,
  });
  return verdict;
}

const moments: [Moment, CallName, number][] = (['arrived', 'committed'] as const).flatMap((moment): [Moment, CallName, number][] => [
  [moment, 'token', 0],
  [moment, 'login', 0],
  [moment, 'reset', 0],
  [moment, 'login', 1],
  [moment, 'logout', 0],
  [moment, 'logout', 1],
]);

describe.each(['file', 'secrets-manager'] as const)('%s', (store) => {
  test.each(moments)('killed when ThingSpace has %s a %s (number %i)', async (moment, call, number) => {
    await openKillRig(store);
    const child = start();
    for (let seen = 0; seen <= number; seen += 1) await whileRunning(child, rig.thingspace.waitFor(moment, { call }));
    await kill(child);

    await expectNothingLost(`${moment} ${call} ${number}`);
  });
});

const secretsManagerCalls: [string, number][] = [
  ['GetSecretValue', 1],
  ['PutSecretValue', 1],
  ['PutSecretValue', 2],
  ['PutSecretValue', 3],
  ['UpdateSecretVersionStage', 1],
];

test.each(secretsManagerCalls)('killed while Secrets Manager answers %s (number %i)', async (action, number) => {
  await openKillRig('secrets-manager');
  const child = start();
  let seen = 0;
  await whileRunning(
    child,
    rig.secretsManager?.waitFor((request) => request.action === action && ++seen === number),
  );
  await kill(child);

  await expectNothingLost(`${action} ${number}`);
});

const canTrace = spawnSync('strace', ['-qq', '-e', 'trace=none', 'true']).status === 0;
if (process.env['CI'] && !canTrace) throw new Error('strace is missing, or may not trace: apt-get install strace');

/** System calls that make something durable or visible. Each thread counts its own; one pool thread makes the count the program's. */
const systemCalls = ['fsync', 'fdatasync', 'link', 'rename', 'unlink', 'connect'];

(canTrace ? test : test.skip).each(systemCalls)('killed at every %s of the file store, the audit log and the receipts', async (call) => {
  const verdicts: string[] = [];
  for (let when = 1; ; when += 1) {
    await openKillRig('file');
    const child = start(
      ['strace', '-f', '-qq', '-o', '/dev/null', '-e', `trace=${call}`, '-e', `inject=${call}:signal=SIGKILL:when=${when}`],
      {
        UV_THREADPOOL_SIZE: '1',
      },
    );
    const { code } = await finish(child);
    if (code === 0) break;
    verdicts.push(await expectNothingLost(`${call} ${when}`));
    await rig.close();
  }

  expect(verdicts.length).toBeGreaterThan(0);
});

(canTrace ? test : test.skip).each([
  ['fsync', 'EIO'],
  ['fsync', 'ENOSPC'],
  ['fdatasync', 'EIO'],
  ['link', 'EIO'],
  ['rename', 'ENOSPC'],
])('every %s refused once with %s: a clear end, and nothing lost', async (call, errno) => {
  for (let when = 1; ; when += 1) {
    await openKillRig('file');
    const log = join(rig.folder, 'strace.log');
    const child = start(['strace', '-f', '-qq', '-o', log, '-e', `trace=${call}`, '-e', `inject=${call}:error=${errno}:when=${when}`], {
      UV_THREADPOOL_SIZE: '1',
    });
    const { code, result, said } = await finish(child);
    const wasMet = readFileSync(log, 'utf8').includes('(INJECTED)');
    expect([0, 1, 3]).toContain(code);
    // Refused before there was an attempt: the command itself says so, and where.
    if (result === null) expect({ code, said }).toEqual({ code: 1, said: expect.stringMatching(/(EIO|ENOSPC)/) });
    await expectNothingLost(`${call} ${when} ${errno}`);
    if (!wasMet) break;
    await rig.close();
  }
});
