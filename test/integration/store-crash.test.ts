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
import { strideOf } from '../harness/sample.ts';
import { type FileWorld, openFileWorld } from '../harness/store-worlds.ts';
import { testWith } from '../harness/tools.ts';

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

/**
 * Files of a killed run would cause more calls in the next run, and the loop over calls would not
 * end.
 */
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
function rotateUnder(injection: string, token: string): { output: string; isKilled: boolean } {
  const strace = ['-f', '-qq', '-o', '/dev/null', '-e', `inject=${injection}`, process.execPath];
  const environment = { ...process.env, UV_THREADPOOL_SIZE: '1' };
  const { stdout, signal, status } = spawnSync(
    'strace',
    [...strace, ...childArguments('rotate', token)],
    {
      encoding: 'utf8',
      env: environment,
      timeout: limitMs(60_000),
    },
  );
  return { output: stdout, isKilled: signal === 'SIGKILL' || status === 137 };
}

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
traced.each([
  ['fsync', 1],
  ['link', 1],
  ['unlink', 1],
  ['write', 30],
])(
  'a kill at any %s leaves the old or the new state, and a restart continues from it',
  async (call, first) => {
    let kills = 0;
    for (let nth = first; ; nth += call === 'write' ? strideOf(6) : 1, await startAfresh()) {
      const before = await world.putByHand(secretId, 'the old value');
      const token = randomUUID();

      const { output, isKilled } = rotateUnder(`${call}:signal=KILL:when=${nth}`, token);

      const found = await currentIn(await world.reopen());
      const expected = [{ versionId: before, text: 'the old value' }];
      if (!output.includes('moved')) expected.push({ versionId: token, text: 'the new value' });
      else expected[0] = { versionId: token, text: 'the new value' };
      expect(expected).toContainEqual(found);
      if (output.includes('written'))
        expect(await world.versions(secretId).read({ versionId: token })).not.toBeNull();
      await finish(await world.reopen(), before, token);
      if (!isKilled) break;
      kills += 1;
    }
    // Two changes, each with a file, a link and their folders: with fewer kills strace missed
    // calls.
    expect(kills).toBeGreaterThanOrEqual(2);
  },
);

traced(
  'a version, the index and their folders are durable before the change is acknowledged',
  async () => {
    await world.putByHand(secretId, 'the old value');
    const trace = join(built, 'trace');
    const environment = { ...process.env, UV_THREADPOOL_SIZE: '1' };

    spawnSync(
      'strace',
      [
        '-f',
        '-qq',
        '-y',
        '-o',
        trace,
        '-e',
        'trace=fsync,link',
        process.execPath,
        ...childArguments('rotate', randomUUID()),
      ],
      { env: environment },
    );

    const calls = readFileSync(trace, 'utf8').matchAll(
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
      [...calls].map(
        ([, fsync, synced, link, linked]) => `${fsync ?? link} ${kind(synced ?? linked ?? '')}`,
      ),
    ).toEqual([...put, ...move]);
  },
);

traced.each([
  ['fsync', 'EIO', 'store-unavailable'],
  ['link', 'EDQUOT', 'store-unavailable'],
  ['link', 'EACCES', 'store-denied'],
])(
  'an error of %s with %s names the path, and the state stays readable',
  async (call, errno, reason) => {
    let failures = 0;
    for (let nth = 1; ; nth += 1, await startAfresh()) {
      const before = await world.putByHand(secretId, 'the old value');
      const token = randomUUID();

      const { output } = rotateUnder(`${call}:error=${errno}:when=${nth}`, token);

      const said = output.split('\n').find((line) => line.startsWith('{'));
      const { versionId } = await currentIn(await world.reopen());
      expect([before, token]).toContain(versionId);
      await finish(await world.reopen(), before, token);
      if (!said) break;
      failures += 1;
      expect(JSON.parse(said)).toEqual({
        reason,
        detail: expect.stringMatching(new RegExp(`^cannot .* ${world.directory}.*: ${errno}$`)),
      });
    }
    expect(failures).toBeGreaterThanOrEqual(2);
  },
);

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
