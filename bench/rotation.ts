// What a rotation costs, as ratios against other code that does the same work in the same run:
//   outage window   from the reset response to AWSCURRENT, against the order of AWS's templates
//   fleet           many accounts, against accounts × round trips ÷ concurrency × round trip time
// `node scripts/ts.mjs bench/rotation.ts [--accounts 1000,10000]`; network times are simulated by
// relays on loopback.

import { spawn, spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import {
  DescribeSecretCommand,
  GetSecretValueCommand,
  PutSecretValueCommand,
  SecretsManagerClient,
  UpdateSecretVersionStageCommand,
} from '@aws-sdk/client-secrets-manager';
import { generateIdentity, identityToRecipient } from 'age-encryption';
import { compose } from '../src/app.ts';
import { generateSigningKey } from '../src/audit/checkpoint.ts';
import { openClock } from '../src/clock.ts';
import { parseConfig } from '../src/config/load.ts';
import { run } from '../src/scheduler/run.ts';
import { Secret } from '../src/secret.ts';
import { openThingSpace } from '../src/thingspace/client.ts';
import { openRig, type Rig, type RigOptions } from '../test/harness/rig.ts';
import { addressOf, type FlightClock, openRelay } from '../test/harness/round-trips.ts';

const roundTripMs = 40;
const never = new AbortController().signal;
const { values } = parseArgs({
  options: {
    accounts: { type: 'string', default: '1000' },
    runs: { type: 'string', default: '9' },
  },
});

/** The median of the figures that `measure` returns. */
async function median(runs: number, measure: () => Promise<number>): Promise<number> {
  const figures: number[] = [];
  for (let run = 0; run < runs; run += 1) figures.push(await measure());
  return figures.sort((a, b) => a - b)[Math.floor(runs / 2)] ?? Number.NaN;
}

function openDelayedRig(
  options: Pick<RigOptions, 'users' | 'config'>,
  clock: FlightClock,
): Promise<Rig> {
  const relay = async (url: string | null): Promise<string> => {
    const { port } = await openRelay(addressOf(url ?? ''), roundTripMs, clock);
    return `http://127.0.0.1:${port}`;
  };
  return openRig({
    store: 'secrets-manager',
    ...options,
    relay: async ({ thingspace, secretsManager }) => ({
      thingspace: `${await relay(thingspace)}/api`,
      secretsManager: await relay(secretsManager),
    }),
  });
}

/**
 * The outage window with AWS's order, for a password that the server creates: set, then three more
 * steps, each with a new client as in AWS's templates.
 */
async function templateOutageWindow(rig: Rig): Promise<number> {
  const [, account] = await rig.rotator.accounts();
  const SecretId = account?.secretId ?? '';
  const token = randomUUID();
  const step = async <T>(work: (client: SecretsManagerClient) => Promise<T>): Promise<T> => {
    const client = new SecretsManagerClient({ region: 'us-east-1' });
    try {
      return await work(client);
    } finally {
      client.destroy();
    }
  };
  const read = async (client: SecretsManagerClient, VersionStage: string, VersionId?: string) => {
    const { SecretString = '{}' } = await client.send(
      new GetSecretValueCommand({ SecretId, VersionStage, ...(VersionId ? { VersionId } : {}) }),
    );
    return JSON.parse(SecretString);
  };
  const logIn = async (value: Record<string, string>) => {
    const thingspace = openThingSpace({
      baseUrl: rig.rotator.config.thingspace.baseUrl,
      requestTimeoutMs: 5_000,
      resetTimeoutMs: 5_000,
      clock: openClock(),
    });
    const { username = '', password = '', clientId = '', clientSecret = '' } = value;
    const answer = await thingspace.login(
      {
        username,
        password: new Secret(password),
        clientId,
        clientSecret: new Secret(clientSecret),
      },
      () => null,
    );
    if (answer.login !== 'accepted') throw new Error(answer.detail);
    return { thingspace, session: answer.session };
  };
  const answeredAt = await step(async (client) => {
    const value = await read(client, 'AWSCURRENT');
    const { thingspace, session } = await logIn(value);
    const answer = await thingspace.reset(session, () => null);
    if (answer.reset !== 'answered') throw new Error(answer.reset);
    const answered = performance.now();
    const password = thingspace.readNewPassword(answer.body)?.reveal();
    await client.send(
      new PutSecretValueCommand({
        SecretId,
        ClientRequestToken: token,
        SecretString: JSON.stringify({ ...value, password }),
        VersionStages: ['AWSPENDING'],
      }),
    );
    await thingspace.endSession(session);
    return answered;
  });
  await step(async (client) => {
    await client.send(new DescribeSecretCommand({ SecretId }));
    const { thingspace, session } = await logIn(await read(client, 'AWSPENDING', token));
    await thingspace.endSession(session);
  });
  await step(async (client) => {
    const { VersionIdsToStages = {} } = await client.send(new DescribeSecretCommand({ SecretId }));
    const current = Object.entries(VersionIdsToStages).find(([, stages]) =>
      stages.includes('AWSCURRENT'),
    )?.[0];
    await client.send(
      new UpdateSecretVersionStageCommand({
        SecretId,
        VersionStage: 'AWSCURRENT',
        MoveToVersionId: token,
        RemoveFromVersionId: current,
      }),
    );
  });
  return performance.now() - answeredAt;
}

async function benchOutageWindow(): Promise<void> {
  const clock: FlightClock = { flights: 0 };
  const rig = await openDelayedRig({ users: { ours: 'old', theirs: 'old' } }, clock);
  const [account] = await rig.rotator.accounts();
  if (!account) throw new Error('no account');
  const attempt = () =>
    rig.rotator.attempt(
      account,
      { purpose: 'rotate', force: true, trigger: { kind: 'manual' } },
      never,
    );
  await attempt();
  await templateOutageWindow(rig);
  const runs = Number(values.runs);
  const ours = await median(runs, async () => (await attempt()).deadWindowMs ?? Number.NaN);
  const theirs = await median(runs, () => templateOutageWindow(rig));
  const before = clock.flights;
  const startedAt = performance.now();
  await attempt();
  const rotationMs = performance.now() - startedAt;
  const roundTrips = (clock.flights - before) / 2;
  row(
    'outage window',
    `${ours.toFixed(0)} ms`,
    `${theirs.toFixed(0)} ms`,
    'the order of AWS’s templates',
    theirs / ours,
  );
  row(
    'outage window in round trips',
    (ours / roundTripMs).toFixed(2),
    '2.00',
    'store and promote, nothing else',
    ours / roundTripMs / 2,
  );
  row(
    'complete rotation, warm',
    `${rotationMs.toFixed(0)} ms, ${roundTrips} round trips`,
    `${roundTrips * roundTripMs} ms`,
    'the round trips only',
    rotationMs / (roundTrips * roundTripMs),
  );
  await rig.close();
}

/** The servers in a separate process, so that the measured process is the rotator only. */
async function openWorld(
  accounts: number,
): Promise<{ thingspace: string; secretsManager: string; close(): void }> {
  const child = spawn(
    process.execPath,
    [
      'scripts/ts.mjs',
      'bench/world.ts',
      '--accounts',
      String(accounts),
      '--round-trip-ms',
      String(roundTripMs),
    ],
    {
      stdio: ['pipe', 'pipe', 'inherit'],
    },
  );
  const [line] = await once(createInterface({ input: child.stdout }), 'line');
  return { ...JSON.parse(line), close: () => child.stdin.end() };
}

/**
 * A complete rotation including the start of the process: the built program against a plain script
 * with the same HTTP calls.
 */
async function benchCold(): Promise<void> {
  const world = await openWorld(2);
  const folder = mkdtempSync(join(tmpdir(), 'bench-'));
  writeFileSync(join(folder, 'audit.key'), generateSigningKey('bench.test').signingKey);
  const config = join(folder, 'rotator.yaml');
  const receipts = {
    directory: './receipts',
    recipients: [await identityToRecipient(await generateIdentity())],
  };
  const accounts = [{ name: 'account-0', secretId: 'thingspace/account-0' }];
  const store = { type: 'secrets-manager', region: 'us-east-1' };
  writeFileSync(
    config,
    JSON.stringify({ thingspace: { baseUrl: world.thingspace }, store, accounts, receipts }),
  );
  const env = {
    ...process.env,
    AWS_REGION: 'us-east-1',
    AWS_ACCESS_KEY_ID: 'test',
    AWS_SECRET_ACCESS_KEY: 'test',
    AWS_ENDPOINT_URL_SECRETS_MANAGER: world.secretsManager,
    THINGSPACE: world.thingspace,
    SECRET_ID: 'thingspace/account-1',
  };
  const time = (...args: string[]) => {
    const startedAt = performance.now();
    const { status, stderr } = spawnSync(process.execPath, args, { env, encoding: 'utf8' });
    if (status !== 0) throw new Error(stderr);
    return performance.now() - startedAt;
  };
  const pairs = Array.from({ length: Number(values.runs) }, () => [
    time('dist/cli.js', 'rotate', '--force', '--quiet', '--config', config),
    time('bench/plain.mjs'),
  ]);
  const middle = (index: number) =>
    pairs.map((pair) => pair[index] ?? 0).sort((a, b) => a - b)[Math.floor(pairs.length / 2)] ?? 0;
  row(
    'complete rotation, cold process',
    `${middle(0).toFixed(0)} ms`,
    `${middle(1).toFixed(0)} ms`,
    'a plain script of the same calls',
    middle(0) / middle(1),
  );
  world.close();
  rmSync(folder, { recursive: true });
}

async function benchFleet(count: number, concurrency = 64): Promise<number> {
  const world = await openWorld(count);
  const folder = mkdtempSync(join(tmpdir(), 'bench-'));
  writeFileSync(join(folder, 'audit.key'), generateSigningKey('bench.test').signingKey);
  process.env['AWS_ENDPOINT_URL_SECRETS_MANAGER'] = world.secretsManager;
  const text = JSON.stringify({
    thingspace: { baseUrl: world.thingspace },
    store: { type: 'secrets-manager', region: 'us-east-1' },
    accounts: Array.from({ length: count }, (_, index) => ({
      name: `account-${index}`,
      secretId: `thingspace/account-${index}`,
    })),
    receipts: {
      directory: './receipts',
      recipients: [await identityToRecipient(await generateIdentity())],
    },
    concurrency,
  });
  const rotator = await compose(
    await parseConfig({ text, file: 'rotator.yaml', folder, env: {} }),
    {
      clock: openClock(),
      pid: process.pid,
      context: { actor: { name: 'bench' }, productVersion: '0.0.0' },
      observe: () => {},
      writeLine: () => {},
    },
  );
  const accounts = await rotator.accounts();
  const before = process.memoryUsage().rss;
  let peak = before;
  const cpuBefore = process.cpuUsage();
  const startedAt = performance.now();
  const { results } = await run(rotator, {
    accounts,
    ask: { purpose: 'rotate', force: true, trigger: { kind: 'schedule' } },
    interrupt: never,
    onResult: () => {
      peak = Math.max(peak, process.memoryUsage().rss);
    },
  });
  const seconds = (performance.now() - startedAt) / 1000;
  const cpu = process.cpuUsage(cpuBefore);
  const ideal = ((count / concurrency) * 9 * roundTripMs) / 1000;
  const rotated = results.filter(({ outcome }) => outcome === 'rotated').length;
  row(
    `fleet of ${count}, ${rotated} rotated`,
    `${seconds.toFixed(1)} s`,
    `${ideal.toFixed(1)} s`,
    `accounts × 9 round trips ÷ ${concurrency}`,
    seconds / ideal,
  );
  row(
    `processor, fleet of ${count}`,
    `${((cpu.user + cpu.system) / 1e6).toFixed(1)} s`,
    `${seconds.toFixed(1)} s`,
    'the time it took',
    (cpu.user + cpu.system) / 1e6 / seconds,
  );
  row(
    `memory, fleet of ${count}`,
    `+${((peak - before) / 2 ** 20).toFixed(0)} MiB`,
    `${(before / 2 ** 20).toFixed(0)} MiB`,
    'before the run',
    peak / before,
  );
  await rotator.close();
  world.close();
  rmSync(folder, { recursive: true });
  const windows = results.flatMap(({ deadWindowMs = [] }) => deadWindowMs).sort((a, b) => a - b);
  return windows[Math.floor(windows.length * 0.99)] ?? Number.NaN;
}

function row(what: string, ours: string, theirs: string, against: string, ratio: number): void {
  console.log(
    `| ${[what, ours, theirs, against, Number.isNaN(ratio) ? '' : ratio.toFixed(2)].join(' | ')} |`,
  );
}

const processors = spawnSync('nproc', { encoding: 'utf8' }).stdout.trim();
console.log(`Node ${process.version}, ${processors} processors, ${roundTripMs} ms round trip\n`);
console.log('| What | Ours | Against | Which is | Ratio |\n| --- | --- | --- | --- | --- |');
await benchOutageWindow();
await benchCold();
for (const count of values.accounts.split(',')) {
  const [few, many] = [await benchFleet(Number(count), 8), await benchFleet(Number(count), 64)];
  const [p99, against] = [many, few].map((ms) => `${ms} ms`);
  row(
    'outage window, p99, 64 at once',
    p99 ?? '',
    against ?? '',
    'the p99 of 8 at once',
    many / few,
  );
}
process.exit(0);
