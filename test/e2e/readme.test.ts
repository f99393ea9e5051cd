// Every command block of the README is run here, in a copy of the source, as a new user
// would run it.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { text } from 'node:stream/consumers';
import {
  openThingSpaceSimulator,
  type ThingSpaceSimulator,
} from '../../src/simulator/thingspace.ts';
import { partOf } from '../harness/sample.ts';

const readme = readFileSync('README.md', 'utf8');
const blocks = [...readme.matchAll(/```sh\n([\s\S]+?)```/g)].map((match) => match[1]?.trim() ?? '');

let copy: string;
let home: string;
let thingspace: ThingSpaceSimulator;

beforeAll(async () => {
  copy = mkdtempSync(join(tmpdir(), 'readme-'));
  home = mkdtempSync(join(tmpdir(), 'home-'));
  const ignored = readFileSync('.gitignore', 'utf8').split('\n').filter(Boolean);
  const isOurs = (path: string): boolean =>
    !['.git', ...ignored.map((line) => line.replaceAll('/', ''))].includes(basename(path));
  cpSync('.', copy, { recursive: true, filter: isOurs });
  thingspace = await openThingSpaceSimulator({
    users: [{ username: 'fleet-user', password: 'a "quoted" päss' }],
    applications: [{ clientId: 'key', clientSecret: 'secret' }],
  });
});

afterAll(async () => {
  await thingspace.close();
  for (const folder of [copy, home]) rmSync(folder, { recursive: true, force: true });
});

/**
 * Runs a block as bash would; not synchronously, since the simulator it talks to lives in this
 * process.
 */
async function runBlock(
  block: string,
  cwd: string,
): Promise<{ status: number; stdout: string; stderr: string }> {
  const env = {
    ...process.env,
    npm_config_prefix: join(home, 'npm'),
    PATH: `${join(home, 'npm', 'bin')}:${process.env['PATH']}`,
    ROTATOR_THINGSPACE__BASE_URL: thingspace.baseUrl,
    NO_COLOR: '1',
  };
  const child = spawn('bash', ['-euo', 'pipefail', '-c', block], {
    cwd,
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const [stdout, stderr, [status]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, 'close'),
  ]);
  return { status, stdout, stderr };
}

/** Packages as they are; a folder for the cache of the build. */
function linkPackages(): void {
  const packages = join(copy, 'node_modules');
  mkdirSync(packages);
  for (const name of readdirSync('node_modules'))
    if (name === '.bin' || !name.startsWith('.'))
      symlinkSync(resolve('node_modules', name), join(packages, name));
}

test('the README has these command blocks and no others', () => {
  expect(blocks.map((block) => block.split('\n')[0])).toEqual([
    'npm ci && npm run demo',
    'npm cit',
    'npm run --silent build && npm install --global .',
  ]);
});

// `npm ci` takes most of the time, and whoever runs this test has run it: in one part of the day it
// runs here too, and in the others the copy gets what it has installed.
test('one command sets up a new machine and runs the demo', async () => {
  let block = blocks[0] ?? '';
  if (partOf([block], 24).length === 0) {
    linkPackages();
    block = block.replace('npm ci && ', '');
  }

  const { status, stdout, stderr } = await runBlock(block, copy);

  expect({ status, stderr: status === 0 ? '' : stderr }).toEqual({ status: 0, stderr: '' });
  expect(stdout).toMatch(/rotated/);
  expect(stdout).toMatch(/not due/);
  expect(stdout).toMatch(/suspended/);
  expect(stdout).toMatch(/audit/);
});

test('the other one runs the tests, and CI runs the same commands', () => {
  const { scripts } = JSON.parse(readFileSync('package.json', 'utf8'));

  expect(scripts.test).toContain('jest');
  // `npm cit` is `npm ci` and `npm test`.
  const ci = readFileSync('.ci/run', 'utf8');
  expect(ci).toMatch(/ npm ci$/m);
  expect(ci.trim()).toMatch(/ npm test$/);
});

test('five lines configure and check a real account, and rotate it when it is due', async () => {
  writeFileSync(
    join(copy, 'fleet-east.json'),
    JSON.stringify({
      username: 'fleet-user',
      password: 'a "quoted" päss',
      clientId: 'key',
      clientSecret: 'secret',
    }),
  );

  const { status, stdout, stderr } = await runBlock(blocks[2] ?? '', copy);

  expect({ status, stderr: status === 0 ? '' : stderr }).toEqual({ status: 0, stderr: '' });
  expect(stdout).toMatch(/fleet-east/);
  expect(thingspace.failedLogins('fleet-user').most).toBe(0);
  expect(thingspace.requests.some(({ call }) => call === 'login')).toBe(true);
  expect(thingspace.resetsReceived('fleet-user')).toBe(0);
});

test('every file that the README links to exists', () => {
  const links = [...readme.matchAll(/\]\(([^)#]+)\)/g)]
    .map((match) => match[1] ?? '')
    .filter((link) => !link.includes(':'));

  for (const link of links)
    expect([
      link,
      readdirSync(dirname(join('.', link)) || '.').includes(
        link.replace(/\/$/, '').split('/').at(-1) ?? '',
      ),
    ]).toEqual([link, true]);
});
