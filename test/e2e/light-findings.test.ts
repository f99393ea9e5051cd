// The findings S4, S5 and S17 on version 0.1, on the built program: what its lights say while the
// disk is full, a folder is gone, or an account fails. Each finding fails on 03af53f:
//
//   ROTATOR_DIST=../v01/dist npm run jest -- test/e2e/light-findings

import { execFileSync } from 'node:child_process';
import { appendFileSync, cpSync, existsSync, mkdirSync, readdirSync, renameSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { type BlackBox, openBlackBox, type Ran } from '../harness/black-box.ts';
import { testWith } from '../harness/tools.ts';

const due = { ageDays: 80 };

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

type Ready = { readonly status: number; readonly checks: Readonly<Record<string, string>> };

/** A running `serve`: readiness as detail by check, and the status page. */
async function serving(box: BlackBox) {
  const port = await freePort();
  const started = box.start(['serve'], { env: { ROTATOR_HTTP__PORT: String(port) } });
  await started.said('"event":"service.ready"');
  const get = (path: string): Promise<Response> => fetch(`http://127.0.0.1:${port}/${path}`);
  const ready = async (): Promise<Ready> => {
    const response = await get('readyz');
    const { checks } = (await response.json()) as { checks: { check: string; detail: string }[] };
    const details = checks.map(({ check, detail }) => [check, detail]);
    return { status: response.status, checks: Object.fromEntries(details) };
  };
  return {
    /** Resolves when the service is not ready: an answer is kept for seconds. */
    notReady: async (): Promise<Ready> => {
      for (;;) {
        const found = await ready();
        if (found.status !== 200) return found;
        await setTimeout(250);
      }
    },
    /** Resolves when a readiness check says this. */
    says: async (check: string, what: string): Promise<void> => {
      while (!(await ready()).checks[check]?.includes(what)) await setTimeout(250);
    },
    page: async (): Promise<string> => (await get('')).text(),
    end: async (): Promise<Ran> => {
      started.child.kill('SIGTERM');
      return started.ended;
    },
  };
}

const named = (ran: Ran): unknown[] =>
  ran.lines.map(({ account, outcome, reason }) => [account, outcome, reason]);

/** Mounts a disk of this size, in kB, on a folder of the box, with what the folder holds. */
function mountSmall(box: BlackBox, name: string, size: number): AsyncDisposable {
  const folder = join(box.folder, name);
  const copy = join(box.folder, `${name}.copy`);
  mkdirSync(folder, { recursive: true });
  cpSync(folder, copy, { recursive: true });
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${size}k`, 'tmpfs', folder]);
  cpSync(copy, folder, { recursive: true });
  return {
    async [Symbol.asyncDispose]() {
      execFileSync('umount', ['--lazy', folder]);
    },
  };
}

/** Writes until the disk is full. */
function fill(folder: string): void {
  try {
    for (;;) appendFileSync(join(folder, 'filler'), Buffer.alloc(4_096));
  } catch {
    // It is full.
  }
}

// 03af53f: "settled", exit code 0, and no trace of the two failures.
test('S17: an account whose rotation fails before the login is not healthy', async () => {
  await using box = await openBlackBox({ ...due, simulator: { applications: [] } });
  await box.run(['rotate', '--json']);
  await box.run(['rotate', '--json']);

  const status = await box.run(['status', '--json']);

  expect(status.code).toBe(1);
  expect(status.lines).toMatchObject([
    { lastResult: { status: 'failure', reason: 'api-key-refused', at: expect.any(String) } },
  ]);
});

// 03af53f: a new log begins, and the report of it is intact.
test('S17: an audit log that is gone is an error, and no new one begins', async () => {
  await using box = await openBlackBox(due);
  await box.run(['check']);
  renameSync(join(box.folder, 'audit'), join(box.folder, 'audit.away'));

  const rotate = await box.run(['rotate', '--json']);
  const status = await box.run(['status', '--json']);
  const offline = await box.run(['check', '--offline']);

  expect([offline.code, offline.said]).toEqual([1, expect.stringContaining('was in use before')]);
  expect(rotate.code).toBe(1);
  expect(named(rotate)).toEqual([['east', 'failed', 'audit-unavailable']]);
  expect(rotate.said).toContain(`rm ${join(box.folder, '.audit.mark')}`);
  expect(existsSync(join(box.folder, 'audit'))).toBe(false);
  // What the store says is still shown.
  expect(status.lines).toMatchObject([
    { account: 'east', state: 'unreadable', reason: 'audit-unavailable', dueness: 'due' },
  ]);
  // That of `check`.
  expect(box.thingspace.loginsReceived('east')).toBe(1);
});

const testOnDisks = testWith('mount');

// 03af53f: no line at all.
testOnDisks('S17: on a full disk each command says what it knows of each account', async () => {
  await using box = await openBlackBox(due);
  await box.run(['check']);
  await using _disk = mountSmall(box, 'audit', 256);
  fill(join(box.folder, 'audit'));

  const rotate = await box.run(['rotate', '--json']);
  const status = await box.run(['status', '--json']);
  const revealed = await box.run(['secret', 'get', 'east', '--reveal']);
  const check = await box.run(['check', '--json']);

  expect(named(rotate)).toEqual([['east', 'failed', 'audit-unavailable']]);
  expect(rotate.said).toContain('df -h');
  expect(status.lines).toMatchObject([{ account: 'east', state: 'settled', dueness: 'due' }]);
  expect([check.code, ...named(check)]).toEqual([1, ['east', 'checked', null]]);
  expect([revealed.code, revealed.said]).toEqual([0, expect.stringContaining('old-password')]);
});

// 03af53f: "audit: takes records", for 27 minutes.
testOnDisks('S4: with a full audit disk the service is not ready, and says why', async () => {
  await using box = await openBlackBox();
  await box.run(['check']);
  await using _disk = mountSmall(box, 'audit', 256);
  const serve = await serving(box);
  fill(join(box.folder, 'audit'));

  const ready = await serve.notReady();

  expect(ready.status).toBe(503);
  expect(ready.checks['audit']).toMatch(
    /^audit-unavailable: .*no space left on the disk \(ENOSPC\)/,
  );
});

// 03af53f: an empty store is made, readiness is green, and the page says "Create the secret".
test('S5: without its store the service is not ready, and makes no new one', async () => {
  await using box = await openBlackBox();
  await box.run(['check']);
  renameSync(join(box.folder, 'secrets'), join(box.folder, 'secrets.away'));
  mkdirSync(join(box.folder, 'secrets'));
  const serve = await serving(box);

  const ready = await serve.notReady();
  const page = await serve.page();
  const status = await box.run(['status', '--json']);

  expect(ready.status).toBe(503);
  expect(ready.checks['store']).toContain('store-missing');
  expect(page).toContain('store-missing');
  expect(page).not.toContain('healthy');
  expect(status.lines).toMatchObject([{ state: 'unreadable', reason: 'store-missing' }]);
});

// 03af53f: no log line and no port.
test('S1: a service whose secrets hang starts, and is not ready', async () => {
  await using box = await openBlackBox();
  await box.run(['check']);
  const secrets = join(box.folder, 'secrets');
  const [own = ''] = readdirSync(secrets);
  // More than the four threads of the file system.
  for (const copy of ['b', 'c', 'd', 'e', 'f'])
    cpSync(join(secrets, own), join(secrets, `${own}-${copy}`), { recursive: true });
  for (const name of readdirSync(secrets))
    execFileSync('mkfifo', [join(secrets, name, 'index', '999999999999.json')]);

  const serve = await serving(box);
  const ready = await serve.notReady();

  expect(ready.checks['store']).toBe('no answer');
});

test('where a disk hangs, a service says so and ends, and so does a command', async () => {
  await using box = await openBlackBox();
  await using other = await openBlackBox();
  await Promise.all([box.run(['check']), other.run(['check'])]);
  execFileSync('mkfifo', [join(box.folder, 'audit', '.writer', 'probe')]);
  const secrets = join(other.folder, 'secrets');
  for (const name of readdirSync(secrets))
    execFileSync('mkfifo', [join(secrets, name, 'index', '999999999999.json')]);

  const ran = other.run(['status', '--json']);
  const serve = await serving(box);
  await serve.says('audit', 'did not answer within 30 s');
  const page = await serve.page();
  const [ended, status] = await Promise.all([serve.end(), ran]);

  expect(page).toContain('did not answer within 30 s');
  for (const { code, said } of [ended, status])
    expect([code, said]).toEqual([null, expect.stringContaining('A disk does not answer')]);
  expect(status.lines).toMatchObject([{ state: 'unreadable', reason: 'store-unavailable' }]);
});
