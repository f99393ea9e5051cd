// The findings S1, S2, S4, S5, S8, S16 and S17 on version 0.1, on the built program: what its
// lights say while a disk is full or hangs, a folder is gone, an account fails, or a client asks
// too much, and how often they say it. Each finding fails on 03af53f:
//
//   ROTATOR_DIST=../v01/dist npm run jest -- test/e2e/light-findings

import { execFileSync } from 'node:child_process';
import {
  appendFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  renameSync,
  writeFileSync,
} from 'node:fs';
import { createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { json } from 'node:stream/consumers';
import { setTimeout } from 'node:timers/promises';
import { type BlackBox, openBlackBox, type Ran, secretId } from '../harness/black-box.ts';
import { testPart } from '../harness/sample.ts';
import { testWith } from '../harness/tools.ts';

/** A quarter of them in each run. */
const sampled = testPart(4);

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
async function serving(box: BlackBox, env: Readonly<Record<string, string>> = {}) {
  const port = await freePort();
  const started = box.start(['serve'], { env: { ROTATOR_HTTP__PORT: String(port), ...env } });
  await started.said('"event":"service.ready"');
  const get = (path: string): Promise<Response> => fetch(`http://127.0.0.1:${port}/${path}`);
  const ready = async (): Promise<Ready> => {
    const response = await get('readyz');
    const { checks } = (await response.json()) as { checks: { check: string; detail: string }[] };
    const details = checks.map(({ check, detail }) => [check, detail]);
    return { status: response.status, checks: Object.fromEntries(details) };
  };
  return {
    port,
    said: started.said,
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
sampled('S17: an account whose rotation fails before the login is not healthy', async () => {
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
sampled('S17: an audit log that is gone is an error, and no new one begins', async () => {
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
sampled('S5: without its store the service is not ready, and makes no new one', async () => {
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

/** From now on, the index of each secret is a file that cannot be opened, as on a hung mount. */
function hangSecrets({ folder }: BlackBox): void {
  const secrets = join(folder, 'secrets');
  for (const name of readdirSync(secrets))
    execFileSync('mkfifo', [join(secrets, name, 'index', '999999999999.json')]);
}

// 03af53f: no log line and no port.
sampled('S1: a service whose secrets hang starts, and is not ready', async () => {
  await using box = await openBlackBox();
  await box.run(['check']);
  const secrets = join(box.folder, 'secrets');
  const [own = ''] = readdirSync(secrets);
  // More than the four threads of the file system.
  for (const copy of ['b', 'c', 'd', 'e', 'f'])
    cpSync(join(secrets, own), join(secrets, `${own}-${copy}`), { recursive: true });
  hangSecrets(box);

  const serve = await serving(box);
  const ready = await serve.notReady();

  expect(ready.checks['store']).toBe('no answer');
});

sampled('where a disk hangs, a service says so and ends, and so does a command', async () => {
  await using box = await openBlackBox();
  await using other = await openBlackBox();
  await Promise.all([box.run(['check']), other.run(['check'])]);
  execFileSync('mkfifo', [join(box.folder, 'audit', '.writer', 'probe')]);
  hangSecrets(other);

  const ran = other.run(['status', '--json']);
  const serve = await serving(box);
  await serve.says('audit', 'did not answer within 30 s');
  const page = await serve.page();
  const [ended, status] = await Promise.all([serve.end(), ran]);

  expect(page).toContain('did not answer within 30 s');
  for (const { code, said } of [ended, status])
    expect([code, said]).toEqual([
      null,
      expect.stringContaining('A disk has not answered for 5 s'),
    ]);
  expect(status.lines).toMatchObject([{ state: 'unreadable', reason: 'store-unavailable' }]);
});

type Notice = { readonly kind: string; readonly account: string; readonly id?: string };
/** Version 0.1 has neither ids nor digests. */
type Message = { readonly digest?: boolean; readonly notices: readonly Notice[] };

/** A receiver of notifications; what it received, one line per account and problem. */
async function openReceiver() {
  const notices: string[] = [];
  const ids = new Set<string | undefined>();
  const checks = new Set<() => void>();
  const server = createServer(async (incoming, response) => {
    const { digest, notices: sent } = (await json(incoming)) as Message;
    for (const { kind, account, id } of sent) {
      // The clock moves while the first message is answered, so that it can be sent once more.
      const isAgain = digest === false && ids.has(id);
      if (!isAgain) notices.push(`${account} ${kind}`);
      if (id !== undefined) ids.add(id);
    }
    response.end();
    for (const check of checks) check();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    env: { ROTATOR_NOTIFY__WEBHOOK: `http://127.0.0.1:${port}/` },
    notices,
    /** Resolves when this was received. */
    received: (notice: string): Promise<void> =>
      new Promise((resolve) => {
        const check = (): void => {
          if (notices.includes(notice)) resolve();
        };
        checks.add(check);
        check();
      }),
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
    },
  };
}

// 03af53f: `east stopped` again after the restart.
sampled('S8: a restart does not repeat what was reported before', async () => {
  await using box = await openBlackBox({ ...due, live: 'changed-in-the-portal' });
  await using receiver = await openReceiver();
  const first = await serving(box, receiver.env);
  await receiver.received('east stopped');
  await first.end();

  // A new problem, whose notification is sent with or after what is repeated.
  const accounts = JSON.stringify([{ name: 'east', secretId }, { name: 'west' }]);
  const second = await serving(box, { ...receiver.env, ROTATOR_ACCOUNTS: accounts });
  await second.said('"reason":"login-refused"');
  await receiver.received('west failing');
  await second.end();

  expect(receiver.notices).toEqual(['east stopped', 'west failing']);
});

/** An environment in which the clocks of a program move, also while it runs. */
function movingClock(box: BlackBox) {
  const file = join(box.folder, 'clock');
  const moveTo = (offset: string): void => {
    writeFileSync(`${file}.new`, offset);
    renameSync(`${file}.new`, file);
  };
  moveTo('+0h');
  const printed = execFileSync('faketime', ['-f', '+0h', 'printenv', 'LD_PRELOAD']);
  const LD_PRELOAD = printed.toString().trim();
  return { moveTo, env: { LD_PRELOAD, FAKETIME_TIMESTAMP_FILE: file, FAKETIME_NO_CACHE: '1' } };
}

// 03af53f: `east stopped` and `east overdue`, each day.
sampled.with('faketime')('S8: a suspended and overdue account is one notice a day', async () => {
  await using box = await openBlackBox({ live: 'changed-in-the-portal', ageDays: 97 });
  await using receiver = await openReceiver();
  const clock = movingClock(box);
  const noJitter = { ROTATOR_SCHEDULE__JITTER_MINUTES: '0' };
  const serve = await serving(box, { ...receiver.env, ...clock.env, ...noJitter });
  await receiver.received('east stopped');

  const before = receiver.notices.length;
  clock.moveTo('+25h');
  // A request ends the wait of the program for its next timer.
  while (receiver.notices.length === before)
    await Promise.all([ask(serve.port, '/healthz'), setTimeout(250)]);
  // The scheduled run of the second day.
  await serve.said('"logins":0');
  await serve.end();

  expect(receiver.notices).toEqual(['east stopped', 'east stopped']);
});

// 03af53f: the page stays green, and the test ends at its time limit.
sampled.with('faketime')(
  'S1: while a secret hangs, the page of the next day is not green',
  async () => {
    await using box = await openBlackBox(due);
    await box.run(['rotate']);
    const clock = movingClock(box);
    const serve = await serving(box, clock.env);
    const isGreen = async (): Promise<boolean> => / (well|healthy)[ .<]/.test(await serve.page());
    while (!(await isGreen())) await setTimeout(250);

    hangSecrets(box);
    clock.moveTo('+30h');

    while (await isGreen()) await setTimeout(250);
  },
);

// 03af53f: the service is ready, and the test ends at its time limit.
sampled.with('faketime')('S2: a service whose clock is 20 days ahead is not ready', async () => {
  await using box = await openBlackBox(due);
  await box.run(['rotate']);
  const clock = movingClock(box);
  clock.moveTo('+480h');

  const serve = await serving(box, { ...clock.env, DONT_FAKE_MONOTONIC: '1' });
  const { checks } = await serve.notReady();

  expect(checks['clock']).toMatch(/^the store is \d+ s behind this clock/);
});

/** The status of the response to a request on a new connection, and how long it took. */
async function ask(port: number, path: string): Promise<{ status: number; ms: number }> {
  const startedMs = performance.now();
  const status = await new Promise<number>((resolve) => {
    // Without a body, whose transfer would be measured.
    const asked = request({ port, path, method: 'HEAD', agent: false }, (response) => {
      response.resume().on('end', () => resolve(response.statusCode ?? 0));
    });
    asked.on('error', () => resolve(0)).end();
  });
  return { status, ms: performance.now() - startedMs };
}

// 03af53f: 17 to 90 times the time of the first request for metrics, or no answer at all.
sampled('S16: a probe is answered while a client asks 130 times for the metrics', async () => {
  await using box = await openBlackBox();
  const names = Array.from({ length: 2_000 }, (_, index) => `fleet-${index}`);
  const accounts = names.map((name) => ({ name, enabled: false }));
  const serve = await serving(box, { ROTATOR_ACCOUNTS: JSON.stringify(accounts) });
  const single = await ask(serve.port, '/metrics');

  const all = Promise.all(names.slice(0, 130).map(() => ask(serve.port, '/metrics')));
  const probe = await ask(serve.port, '/healthz');
  await all;

  expect([single.status, probe.status]).toEqual([200, 200]);
  expect(probe.ms / single.ms).toBeLessThan(10);
});
