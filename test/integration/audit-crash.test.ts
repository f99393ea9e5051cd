// Real processes, real kills, a full disk: afterwards every record that was acknowledged is in the
// log, and the sequence numbers have no gap.

import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { generateSigningKey } from '../../src/audit/checkpoint.ts';
import { viewLine } from '../../src/audit/record.ts';
import {
  intended,
  linesIn,
  openTestLog,
  origin,
  outcome,
  removeTempFolders,
  tempFolder,
} from '../harness/audit.ts';
import { partOf } from '../harness/sample.ts';
import { testWith } from '../harness/tools.ts';

const root = join(import.meta.dirname, '../..');
const built = mkdtempSync(join(tmpdir(), 'audit-child-'));
const program = join(built, 'audit-child.mjs');
const keyFile = join(built, 'audit.key');
const { signingKey } = generateSigningKey(origin);

beforeAll(() => {
  const esbuild = join(root, 'node_modules/.bin/esbuild');
  const entry = join(root, 'test/harness/audit-child.ts');
  execFileSync(esbuild, [
    entry,
    '--bundle',
    '--platform=node',
    '--format=esm',
    `--outfile=${program}`,
    '--log-level=error',
  ]);
  writeFileSync(keyFile, signingKey);
});
afterEach(removeTempFolders);
afterAll(() => rmSync(built, { recursive: true, force: true }));

const args = (
  directory: string,
  name: string,
  appends: number,
  perAppend: number,
  ending: string,
): string[] => [program, directory, keyFile, name, String(appends), String(perAppend), ending];

/** rotationIds that must be in the log by what the process said. */
const acknowledgedBy = (output: string, perAppend: number): string[] =>
  [...output.matchAll(/^(\S+) (\d+)$/gm)].flatMap(([, name, index]) =>
    Array.from({ length: perAppend }, (_, place) => `${name}-${index}-${place}`),
  );

const rotationsIn = (directory: string): Set<string | undefined> =>
  new Set(linesIn(directory).map((line) => viewLine(line)?.rotationId));

async function expectComplete(directory: string): Promise<void> {
  const log = await openTestLog({ directory, signingKey });
  await log.close();
  expect(linesIn(directory).map((line) => viewLine(line)?.sequence)).toEqual(
    linesIn(directory).map((_, index) => index),
  );
}

/** Runs to its end; `until` may kill it. */
function run(
  child: ChildProcess,
  until: (output: string) => boolean = () => false,
): Promise<{ output: string }> {
  let output = '';
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    output += text;
    if (until(output)) child.kill('SIGKILL');
  });
  return new Promise((resolve) => child.on('close', () => resolve({ output })));
}

test.each(partOf(['exit', 'throw'], 2))(
  'all 10,000 acknowledged records are in the log after %s',
  async (ending) => {
    const directory = join(tempFolder(), 'audit');
    const { output } = await run(
      spawn(process.execPath, args(directory, 'p', 1000, 10, ending), {
        stdio: ['ignore', 'pipe', 'ignore'],
      }),
    );

    const acknowledged = acknowledgedBy(output, 10);
    expect(acknowledged.length).toBe(10_000);
    const found = rotationsIn(directory);
    expect(acknowledged.filter((id) => !found.has(id))).toEqual([]);
    await expectComplete(directory);
  },
);

test('repeated SIGKILLs lose no record that was acknowledged', async () => {
  const directory = join(tempFolder(), 'audit');
  const acknowledged: string[] = [];
  for (let life = 0; acknowledged.length < 10_000; life += 1) {
    const lines = 40 + ((life * 97) % 211);
    const child = spawn(process.execPath, args(directory, `life-${life}`, 5000, 10, 'wait'), {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    const { output } = await run(child, (text) => text.split('\n').length > lines);
    acknowledged.push(...acknowledgedBy(output, 10));
  }

  const found = rotationsIn(directory);
  expect(acknowledged.filter((id) => !found.has(id))).toEqual([]);
  await expectComplete(directory);
});

test('three processes append at once, one is killed, and the numbers have no gap', async () => {
  const directory = join(tempFolder(), 'audit');
  const start = (name: string): ChildProcess =>
    spawn(process.execPath, args(directory, name, 150, 2, 'wait'), {
      stdio: ['ignore', 'pipe', 'ignore'],
    });

  const runs = await Promise.all([
    run(start('a')),
    run(start('b')),
    run(start('c'), (output) => output.split('\n').length > 40),
  ]);

  const acknowledged = runs.flatMap(({ output }) => acknowledgedBy(output, 2));
  expect(acknowledged.length).toBeGreaterThan(600);
  const found = rotationsIn(directory);
  expect(acknowledged.filter((id) => !found.has(id))).toEqual([]);
  await expectComplete(directory);
  expect(readdirSync(join(directory, '.writer')).filter((name) => name !== 'wanted')).toEqual([]);
});

// Every system call of an append that changes anything; the process dies as it enters the nth.
const deadly: [string, number[]][] = [
  ['link', [1]],
  ['write', [1, 2, 7, 20]],
  ['fdatasync', [1, 2, 7, 20]],
  ['unlink', [1, 2]],
  ['fsync', [1, 2]],
];
testWith('strace').each(partOf(deadly, 4))(
  'a process that is killed as it enters %s leaves a log that can be continued',
  async (call, moments) => {
    const directory = join(tempFolder(), 'audit');
    const seed = await openTestLog({ directory, signingKey });
    await seed.append([intended('before')]);
    await seed.close();
    let deaths = 0;
    for (const nth of moments) {
      const strace = [
        '-f',
        '-qq',
        '-o',
        '/dev/null',
        '-e',
        `trace=${call}`,
        '-e',
        `inject=${call}:signal=KILL:when=${nth}`,
      ];
      const done = spawnSync(
        'strace',
        [...strace, process.execPath, ...args(directory, `k${nth}`, 30, 3, 'wait')],
        // One thread for all files: strace counts the calls of each thread.
        { encoding: 'utf8', env: { ...process.env, UV_THREADPOOL_SIZE: '1' } },
      );
      if (done.signal === 'SIGKILL') deaths += 1;
      const log = await openTestLog({ directory, signingKey });
      await log.append([outcome(`after-${nth}`)]);
      await log.close();
      const found = rotationsIn(directory);
      expect(acknowledgedBy(done.stdout, 3).filter((id) => !found.has(id))).toEqual([]);
      expect(found.has('before') && found.has(`after-${nth}`)).toBe(true);
      await expectComplete(directory);
    }
    expect(deaths).toBeGreaterThan(moments.length / 2);
  },
);

testWith('mount')('a full disk is named, and no acknowledged record is lost', async () => {
  const mount = join(tempFolder(), 'small');
  mkdirSync(mount);
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=512k', 'tmpfs', mount]);
  try {
    const directory = join(mount, 'audit');
    const log = await openTestLog({ directory, signingKey });
    const acknowledged: string[] = [];
    let refusal = '';
    for (let index = 0; index < 2000 && refusal === ''; index += 1) {
      try {
        await log.append([intended(`r-${index}`), outcome(`r-${index}`)]);
        acknowledged.push(`r-${index}`);
      } catch (error) {
        refusal = (error as Error).message;
      }
    }
    expect(refusal).toMatch(/audit-\d{4}-\d{2}\.jsonl: no space left on the disk \(ENOSPC\)/);
    expect(acknowledged.length).toBeGreaterThan(50);
    expect(log.strays.length).toBe(1);
    await log.close();
    const found = rotationsIn(directory);
    expect(acknowledged.filter((id) => !found.has(id))).toEqual([]);
    expect(found.has(`r-${acknowledged.length}`)).toBe(false);
  } finally {
    spawnSync('umount', [mount]);
  }
  expect(existsSync(mount)).toBe(true);
});
