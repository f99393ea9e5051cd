// Real processes: killed at each system call that changes the disk, with an error at each sync, and
// competing with each other. The store is always in the old state or in the new state, an
// acknowledged change is durable, and no process waits for one that was killed.

import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Secret } from '../../src/secret.ts';
import type { FileStore } from '../../src/stores/file-store.ts';
import { limitMs } from '../harness/limits.mjs';
import { partOf } from '../harness/sample.ts';
import { type FileWorld, openFileWorld } from '../harness/store-worlds.ts';
import { type SystemCall, systemCallsIn } from '../harness/system-calls.ts';
import { hasTool, testWith } from '../harness/tools.ts';

const secretId = 'thingspace/fleet-east';
const root = join(import.meta.dirname, '../..');
const built = mkdtempSync(join(tmpdir(), 'rotator-child-'));
const program = join(built, 'store-child.mjs');
let world: FileWorld;

beforeAll(() => {
  const options = [
    '--bundle',
    '--platform=node',
    '--format=esm',
    `--outfile=${program}`,
    '--log-level=error',
  ];
  execFileSync(join(root, 'node_modules/.bin/esbuild'), [
    join(root, 'test/harness/store-child.ts'),
    ...options,
  ]);
});
afterAll(() => rmSync(built, { recursive: true, force: true }));

beforeEach(openWorld);
afterEach(() => world.close());

async function openWorld(): Promise<void> {
  world = await openFileWorld();
  rmSync(join(built, 'key'), { force: true });
  writeFileSync(join(built, 'key'), world.identity, { mode: 0o600 });
}

/** Files of a killed run would cause more calls in the next run. */
async function startAfresh(): Promise<void> {
  await world.close();
  await openWorld();
}

const childArguments = (work: string, argument: string): string[] => [
  program,
  world.directory,
  join(built, 'key'),
  secretId,
  work,
  argument,
];

const traced = testWith('strace');

/**
 * Runs a rotation under strace. One thread makes all file calls, so that their numbers are
 * reproducible.
 */
function rotateUnder(token: string, ...options: string[]): { output: string; isKilled: boolean } {
  const { stdout, signal, status } = spawnSync(
    'strace',
    ['-f', '-qq', ...options, process.execPath, ...childArguments('rotate', token)],
    {
      encoding: 'utf8',
      env: { ...process.env, UV_THREADPOOL_SIZE: '1' },
      timeout: limitMs(60_000),
    },
  );
  return { output: stdout, isKilled: signal === 'SIGKILL' || status === 137 };
}

const injecting = (what: string): string[] => ['-o', '/dev/null', '-e', `inject=${what}`];

/** Every system call of a rotation that changes the disk or wakes the main thread. */
let calls: SystemCall[] = [];
beforeAll(async () => {
  if (!hasTool('strace')) return;
  await openWorld();
  await world.putByHand(secretId, 'the old value');
  const trace = join(built, 'calls');
  rotateUnder(randomUUID(), '-o', trace, '-e', 'trace=fsync,link,unlink,write');
  calls = systemCallsIn(trace);
  await world.close();
});

async function currentIn(
  store: FileStore,
): Promise<{ versionId: string | undefined; text: string | undefined }> {
  const version = await store.versions(secretId).read({ stage: 'AWSCURRENT' });
  return {
    versionId: version?.versionId,
    text: version && version.value !== 'binary' ? version.value.reveal() : undefined,
  };
}

/** What a restart does: the same `put` and the same `move` again. */
async function finish(store: FileStore, from: string, token: string): Promise<void> {
  const versions = store.versions(secretId);
  expect(
    await versions.put({ token, value: new Secret('the new value'), stages: ['AWSPENDING'] }),
  ).toBe('written');
  if ((await currentIn(store)).versionId === from) await versions.move('AWSCURRENT', from, token);
  expect(await currentIn(store)).toEqual({ versionId: token, text: 'the new value' });
}

// Node's file thread calls `write` after each of its calls, to wake the main thread. So a kill at
// `write` covers all of them. The first thirty come before the store is open.
traced('a kill at any call leaves the old or the new state, and a restart continues', async () => {
  const kills = calls.filter(([name, when]) => name !== 'write' || when >= 30);
  // Two changes, each with a file, a link and their folders.
  expect(kills.length).toBeGreaterThan(30);
  for (const [name, when] of partOf(kills, 12)) {
    await startAfresh();
    const before = await world.putByHand(secretId, 'the old value');
    const token = randomUUID();

    const signal = injecting(`${name}:signal=KILL:when=${when}`);
    const { output, isKilled } = rotateUnder(token, ...signal);

    // How often a thread is woken depends on the moment.
    const isOver = name === 'write' && output.includes('done');
    expect([name, when, isKilled || isOver]).toEqual([name, when, true]);
    const found = await currentIn(await world.reopen());
    const expected = [{ versionId: before, text: 'the old value' }];
    if (!output.includes('moved')) expected.push({ versionId: token, text: 'the new value' });
    else expected[0] = { versionId: token, text: 'the new value' };
    expect(expected).toContainEqual(found);
    if (output.includes('written'))
      expect(await world.versions(secretId).read({ versionId: token })).not.toBeNull();
    await finish(await world.reopen(), before, token);
  }
});

traced(
  'a version, the index and their folders are durable before the change is acknowledged',
  async () => {
    await world.putByHand(secretId, 'the old value');
    const trace = join(built, 'trace');

    rotateUnder(randomUUID(), '-y', '-o', trace, '-e', 'trace=fsync,link');

    const traced = readFileSync(trace, 'utf8').matchAll(
      /(fsync)\(\d+<([^>]*)>|(link)\("[^"]*", "([^"]*)"/g,
    );
    const kind = (path: string): string =>
      path.endsWith('.age')
        ? 'version'
        : /\.new-[^/]*$/.test(path)
          ? 'index, unnamed'
          : path.replace(/^.*\/(\d*)/, '$1');
    const put = [
      'fsync version',
      'fsync versions',
      'fsync index, unnamed',
      'link 000000000002.json',
      'fsync index',
    ];
    const move = ['fsync index, unnamed', 'link 000000000003.json', 'fsync index'];
    expect(
      [...traced].map(
        ([, fsync, synced, link, linked]) => `${fsync ?? link} ${kind(synced ?? linked ?? '')}`,
      ),
    ).toEqual([...put, ...move]);
  },
);

const errors: readonly [call: string, errno: string, reason: string][] = [
  ['fsync', 'EIO', 'store-unavailable'],
  ['link', 'EDQUOT', 'store-unavailable'],
  ['link', 'EACCES', 'store-denied'],
];
traced('an error of any call names the path, and the state stays readable', async () => {
  const failures = errors.flatMap(([call, errno, reason]) =>
    calls.filter(([name]) => name === call).map(([, when]) => ({ call, errno, reason, when })),
  );
  expect(failures.length).toBeGreaterThan(6);
  for (const { call, errno, reason, when } of partOf(failures, 6)) {
    await startAfresh();
    const before = await world.putByHand(secretId, 'the old value');
    const token = randomUUID();

    const { output } = rotateUnder(token, ...injecting(`${call}:error=${errno}:when=${when}`));

    const said = output.split('\n').find((line) => line.startsWith('{'));
    const { versionId } = await currentIn(await world.reopen());
    expect([before, token]).toContain(versionId);
    await finish(await world.reopen(), before, token);
    expect(JSON.parse(said ?? '')).toEqual({
      reason,
      detail: expect.stringMatching(new RegExp(`^cannot .* ${world.directory}.*: ${errno}$`)),
    });
  }
});

/** Resolves with the output when the process ends; kills it when `until` returns true. */
function run(
  child: ChildProcess,
  until: (output: string) => boolean = () => false,
): Promise<string> {
  let output = '';
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    output += text;
    if (until(output)) child.kill('SIGKILL');
  });
  return new Promise((resolve) => child.on('close', () => resolve(output)));
}

const start = (times: number): ChildProcess =>
  spawn(process.execPath, childArguments('count', String(times)), {
    stdio: ['ignore', 'pipe', 'inherit'],
  });

test('competing processes, two of them killed, lose no acknowledged step', async () => {
  await world.putByHand(secretId, '0');
  const killedAfter = (steps: number) => (output: string) => output.split('counted').length > steps;

  const outputs = await Promise.all([
    run(start(15)),
    run(start(15)),
    run(start(1000), killedAfter(3)),
    run(start(1000), killedAfter(5)),
  ]);

  const acknowledged = outputs.flatMap((output) =>
    [...output.matchAll(/counted (\S+)/g)].map(([, token]) => token),
  );
  const listed = await world.versions(secretId).list();
  const total = Number((await currentIn(world.store)).text);
  expect(outputs.map((output) => output.endsWith('done\n'))).toEqual([true, true, false, false]);
  expect(
    acknowledged.filter((token) => !listed.some(({ versionId }) => versionId === token)),
  ).toEqual([]);
  // Each of the two killed processes may have made one step that it did not acknowledge.
  expect(total).toBeGreaterThanOrEqual(acknowledged.length);
  expect(total).toBeLessThanOrEqual(acknowledged.length + 2);
});
