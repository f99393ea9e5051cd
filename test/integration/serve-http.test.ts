import { afterEach, expect, test } from '@jest/globals';
import { Failure } from '../../src/rotation/failure.ts';
import type { Check } from '../../src/server/readiness.ts';
import { type ServedWorld, servedWorld, token } from '../harness/serve-http.ts';
import { dayMs, minuteMs } from '../harness/serve-world.ts';

let served: ServedWorld | null = null;
afterEach(async () => {
  await served?.close();
  served = null;
});

async function open(...given: Parameters<typeof servedWorld>): Promise<ServedWorld> {
  served = await servedWorld(...given);
  return served;
}

const checksIn = (body: string): readonly Check[] =>
  (JSON.parse(body) as { checks: readonly Check[] }).checks;
const json = (body: string): Record<string, unknown> => JSON.parse(body) as Record<string, unknown>;

test('a requested rotation can be followed, and is audited with who asked for it', async () => {
  const { world, rotate, ask } = await open({ names: ['fleet/east'] });

  const accepted = await rotate('fleet/east', {
    reason: 'a leaver',
    changeRef: 'CHG-17',
    force: true,
  });
  const { location } = json(accepted.body) as { location: string };
  await world.clock.advance(minuteMs);
  const followed = await ask('GET', location, { headers: { authorization: `Bearer ${token}` } });

  expect(accepted.status).toBe(202);
  expect(accepted.headers['location']).toBe(location);
  expect(json(followed.body)).toMatchObject({
    account: 'fleet/east',
    state: 'finished',
    force: true,
    requestedBy: 'http token http.token from 127.0.0.1',
    reason: 'a leaver',
    changeRef: 'CHG-17',
    result: { outcome: 'rotated', certainty: 'rotated', logins: 2 },
  });
  const intended = world.audit.find(({ code }) => code === 'rotation.intended');
  expect(intended).toMatchObject({
    trigger: {
      kind: 'manual',
      requestedBy: 'http token http.token from 127.0.0.1',
      reason: 'a leaver',
      changeRef: 'CHG-17',
    },
  });
  expect(world.counts.resets).toBe(1);
});

test('a requested rotation without force changes nothing before the password is due', async () => {
  const { world, rotate, ask } = await open({ names: ['fleet-east'] });

  const accepted = await rotate('fleet-east');
  await world.clock.advance(minuteMs);
  const followed = await ask('GET', String(accepted.headers['location']), {
    headers: { authorization: `Bearer ${token}` },
  });

  expect(json(followed.body)).toMatchObject({ result: { outcome: 'not-due' } });
  expect(world.counts.resets).toBe(0);
});

test('one idempotency key starts one attempt, and is refused for a different request', async () => {
  const { world, rotate } = await open({ names: ['fleet-east'] });
  const key = { 'idempotency-key': 'deploy-4711' };

  const first = await rotate('fleet-east', { force: true }, key);
  await world.clock.advance(minuteMs);
  const second = await rotate('fleet-east', { force: true }, key);
  const other = await rotate('fleet-east', { force: false }, key);
  await world.clock.advance(minuteMs);

  expect(second.status).toBe(202);
  expect(second.headers['location']).toBe(first.headers['location']);
  expect(second.headers['idempotency-replayed']).toBe('true');
  expect(other.status).toBe(422);
  expect(world.counts.resets).toBe(1);
});

test('a request conflicts with a running attempt on its account or on its pair', async () => {
  const { world, rotate } = await open({
    names: ['fleet-east', 'fleet-west'],
    config: { pairs: [['fleet-east', 'fleet-west']] },
  });
  let release = (): void => {};
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  world.hold = () => held;

  const first = await rotate('fleet-east', { force: true });
  await world.clock.advance(0);
  const second = await rotate('fleet-east', { force: true });
  const pair = await rotate('fleet-west', { force: true });
  release();
  await world.clock.advance(minuteMs);
  const window = await rotate('fleet-west');

  expect([first.status, second.status, pair.status, window.status]).toEqual([202, 409, 409, 409]);
  expect(json(second.body)).toEqual({
    error: 'busy',
    message: 'another attempt on fleet-east is running or waiting',
  });
  expect(json(pair.body)['message']).toContain(
    'fleet-east, the other user of its ThingSpace account',
  );
  expect(json(window.body)['message']).toContain('was changed a short time ago');
});

test('a request without the token changes nothing and reveals no account', async () => {
  const { world, ask, rotate, lines } = await open({ names: ['fleet-east'] });
  const post = (headers: Record<string, string>) =>
    ask('POST', '/v1/accounts/fleet-east/rotate', { headers });

  const missing = await post({});
  const wrong = await post({ authorization: `Bearer ${token}x` });
  const basic = await post({ authorization: 'Basic YTpi' });
  const unknown = await rotate('nobody');
  const unknownWithout = await ask('POST', '/v1/accounts/nobody/rotate');
  const peek = await ask('GET', '/v1/attempts/00000000-0000-4000-8000-000000000000');

  expect([missing.status, wrong.status, basic.status, unknown.status]).toEqual([
    401, 401, 401, 404,
  ]);
  expect(missing.headers['www-authenticate']).toBe('Bearer');
  expect(wrong.headers['www-authenticate']).toBe('Bearer error="invalid_token"');
  // Without the token, the response does not depend on whether the account exists.
  expect([unknownWithout.status, peek.status]).toEqual([401, 401]);
  expect(world.counts.attempts).toBe(1);
  expect(lines.join('\n')).not.toContain(token);
});

test('guesses of the token are throttled, and a request with the token still passes', async () => {
  const { ask, rotate, lines } = await open({ names: ['fleet-east'] });

  const statuses: number[] = [];
  for (let guess = 0; guess < 15; guess += 1) {
    statuses.push(
      (
        await ask('POST', '/v1/accounts/fleet-east/rotate', {
          headers: { authorization: `Bearer guess-${guess}` },
        })
      ).status,
    );
  }

  expect(statuses).toEqual([...Array(10).fill(401), ...Array(5).fill(429)]);
  expect((await rotate('fleet-east')).status).toBe(202);
  expect(lines.filter((line) => line.includes('http.refused'))).toHaveLength(10);
});

/** The head of a rotate request, without the empty line that ends it. */
const postHead = (name: string): string =>
  [
    `POST /v1/accounts/${name}/rotate HTTP/1.1`,
    'Host: localhost',
    `Authorization: Bearer ${token}`,
    'Content-Type: application/json',
    '',
  ].join('\r\n');

test('a chunked body is read, and an encoded percent sign in a name is decoded once', async () => {
  const { raw, ask, rotate } = await open({ names: ['a%2Fb'] });
  const authorization = `Bearer ${token}`;

  const chunked = await raw(
    postHead('a%252Fb') +
      'Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n' +
      '8\r\n{"force"\r\n6\r\n:true}\r\n0\r\n\r\n',
  );
  const location = /"location":"([^"]+)"/.exec(chunked)?.[1] ?? '/';
  const followed = await ask('GET', location, { headers: { authorization } });
  const decodedTwice = await rotate('a/b', { force: true });

  expect(chunked).toMatch(/^HTTP\/1\.1 202 /);
  expect(json(followed.body)).toMatchObject({ account: 'a%2Fb', force: true });
  expect(decodedTwice.status).toBe(404);
});

test('during a reload every path responds that the service is unavailable', async () => {
  const { ask, reload } = await open({ names: ['fleet-east'] });

  reload(true);
  const during = await ask('GET', '/');
  reload(false);
  const after = await ask('GET', '/');

  expect([during.status, after.status]).toEqual([503, 200]);
  expect(json(during.body)['error']).toBe('reloading');
  expect(during.headers).toMatchObject({ 'cache-control': 'no-store' });
});

test('without a token file no rotation can be requested', async () => {
  const { rotate, world } = await open({ names: ['fleet-east'] }, { token: false });

  const answer = await rotate('fleet-east', { force: true });

  expect(answer.status).toBe(403);
  expect(json(answer.body)['error']).toBe('disabled');
  expect(world.counts.resets).toBe(0);
});

type Bad = {
  body: string;
  status: number;
  type?: string;
  says?: string;
  headers?: Record<string, string>;
};

const bad: readonly [string, Bad][] = [
  ['a body that is not JSON', { body: '{', status: 400 }],
  ['a body that is a list', { body: '[]', status: 400 }],
  ['an unknown key', { body: '{"froce":true}', status: 400, says: 'Did you mean' }],
  ['a force that is not a boolean', { body: '{"force":"yes"}', status: 400 }],
  ['a reason over several lines', { body: '{"reason":"a\\nb"}', status: 400 }],
  [
    'a reason that is too long',
    { body: JSON.stringify({ reason: 'x'.repeat(1025) }), status: 400 },
  ],
  [
    'a body of another media type',
    { body: 'force=true', type: 'application/x-www-form-urlencoded', status: 415 },
  ],
  [
    'a body that is too large',
    { body: JSON.stringify({ reason: 'x'.repeat(20_000) }), status: 413 },
  ],
  [
    'the origin of another site',
    { body: '{}', headers: { 'sec-fetch-site': 'cross-site' }, status: 403 },
  ],
  [
    'an idempotency key with a space',
    { body: '{}', headers: { 'idempotency-key': 'with space' }, status: 400 },
  ],
];

test.each(bad)(
  'a request is refused when it has %s',
  async (_, { body, status, type = 'application/json', says = '', headers = {} }) => {
    const { ask, world } = await open({ names: ['fleet-east'] });
    const given = { authorization: `Bearer ${token}`, 'content-type': type, ...headers };

    const answer = await ask('POST', '/v1/accounts/fleet-east/rotate', { headers: given, body });

    expect(answer.status).toBe(status);
    expect(answer.body).toContain(says);
    expect(world.counts.attempts).toBe(1);
  },
);

test('an endless body is cut off, and an incomplete request times out', async () => {
  const { raw } = await open({ names: ['fleet-east'] }, { requestTimeoutMs: 300 });
  const head = postHead('fleet-east');

  const endless = await raw(
    `${head}Transfer-Encoding: chunked\r\n\r\n${`1000\r\n${'x'.repeat(4096)}\r\n`.repeat(8)}`,
  );
  const slow = await raw(`${head}Content-Length: 100\r\n\r\n{"fo`);
  const slowHead = await raw('GET / HTTP/1.1\r\nHost: local');
  const large = await raw(`GET / HTTP/1.1\r\nHost: localhost\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`);

  expect(endless).toMatch(/^HTTP\/1\.1 413 /);
  expect(slow).toMatch(/^HTTP\/1\.1 408 /);
  expect(slowHead).toMatch(/^HTTP\/1\.1 408 /);
  expect(large).toMatch(/^HTTP\/1\.1 431 /);
});

test('health, readiness and metrics show the state of the service', async () => {
  const { ask, world } = await open({
    names: ['fleet-east', 'fleet-west'],
    age: (index) => (index === 0 ? 30 : 100),
  });

  const health = await ask('GET', '/healthz');
  const ready = await ask('GET', '/readyz');
  const metrics = await ask('GET', '/metrics');
  world.broken.store = true;
  world.broken.audit = true;
  await world.clock.advance(minuteMs);
  const notReady = await ask('GET', '/readyz');

  expect([health.status, health.body]).toEqual([200, 'ok\n']);
  expect([ready.status, notReady.status]).toEqual([200, 503]);
  expect(json(ready.body)).toMatchObject({
    ready: true,
    checks: ['store', 'audit', 'clock', 'evidence', 'loop'].map((check) => ({ check, ok: true })),
  });
  expect(json(notReady.body)).toMatchObject({
    ready: false,
    checks: [
      { check: 'store', ok: false, detail: 'store-unavailable: the store is unreachable' },
      { ok: false, detail: 'audit-unavailable: no space left on device (ENOSPC)' },
      { ok: true },
      { ok: true },
      { ok: true },
    ],
  });
  expect(metrics.headers['content-type']).toContain('text/plain');
  expect(metrics.body).toMatch(/password_age_days\{account="fleet-east"\} 30\.00/);
  expect(metrics.body).toMatch(/account_state\{account="fleet-west",state="settled"\} 1/);
  expect(metrics.body).toMatch(/last_success_timestamp_seconds\{account="fleet-west"\} \d+/);
});

test('a service whose clock is far behind the store is not ready', async () => {
  const { ask, world } = await open({ names: ['fleet-east'], age: () => 30 });
  world.clock.step(-7 * dayMs);
  world.storeAheadMs = 7 * dayMs;

  const answer = await ask('GET', '/readyz');

  expect(answer.status).toBe(503);
  expect(json(answer.body)['checks']).toContainEqual({
    check: 'clock',
    ok: false,
    detail: 'the store is 604800 s ahead of this clock',
    at: expect.any(String),
  });
});

// Finding S1: each question kept a thread of the file system until none was left.
test('readiness says since when the store is silent, and asks it only once meanwhile', async () => {
  const { ask, world } = await open({ names: ['fleet-east'] });
  const before = await ask('GET', '/readyz');
  let asked = 0;
  world.holdStatus = () => {
    asked += 1;
    return new Promise(() => {});
  };

  const answers: unknown[] = [];
  for (let count = 0; count < 5; count += 1) {
    await world.clock.advance(minuteMs);
    let isAnswered = false;
    const answer = ask('GET', '/readyz').finally(() => {
      isAnswered = true;
    });
    while (!isAnswered) {
      await world.clock.advance(1_000);
      await new Promise((resolve) => setImmediate(resolve));
    }
    const { status, body } = await answer;
    answers.push([status, checksIn(body)[0]?.detail]);
  }

  const [{ at } = { at: '' }] = checksIn(before.body);
  expect(before.status).toBe(200);
  expect(answers).toEqual(Array(5).fill([503, `no answer since ${at}`]));
  expect(asked).toBe(1);
});

test('the report is created on request, and an unreadable audit log is named', async () => {
  let isBroken = false;
  const report = async (): Promise<string> => {
    if (isBroken) throw new Failure('audit-unavailable', 'the log cannot be read');
    return '<!doctype html><title>report</title>';
  };
  const { ask, world } = await open({ names: ['fleet-east'] }, { report });

  const good = await ask('GET', '/audit');
  isBroken = true;
  await world.clock.advance(minuteMs);
  const bad = await ask('GET', '/audit');

  expect([good.status, good.headers['content-type']]).toEqual([200, 'text/html; charset=UTF-8']);
  expect([bad.status, json(bad.body)]).toEqual([
    503,
    { error: 'audit-unavailable', message: 'the log cannot be read' },
  ]);
});

test('the message of an unexpected error reaches neither the client nor the log', async () => {
  const report = async (): Promise<string> => {
    throw new Error('the password is hunter2');
  };
  const { ask, lines } = await open({ names: ['fleet-east'] }, { report });

  const answer = await ask('GET', '/audit');

  expect(answer.status).toBe(500);
  expect(answer.body + lines.join('')).not.toContain('hunter2');
});

test('unknown paths and methods have the right status', async () => {
  const { ask } = await open({ names: ['fleet-east'] });

  const statuses = await Promise.all(
    (
      [
        ['GET', '/nothing'],
        ['POST', '/'],
        ['GET', '/v1/accounts/fleet-east/rotate'],
        ['DELETE', '/v1/accounts/fleet-east/rotate'],
        ['POST', '/v1/accounts/%zz/rotate'],
        ['GET', '/__proto__'],
        ['HEAD', '/healthz'],
        ['GET', `/${'x'.repeat(5000)}`],
      ] as const
    ).map(
      async ([method, path]) =>
        (await ask(method, path, { headers: { authorization: `Bearer ${token}` } })).status,
    ),
  );

  expect(statuses).toEqual([404, 405, 405, 405, 400, 404, 200, 414]);
});

test('on a loopback address the service answers only to the names of this machine', async () => {
  const { ask } = await open({ names: ['fleet-east'] });

  const rebound = await ask('GET', '/', { host: 'evil.example:9464' });
  const local = await ask('GET', '/', { host: 'localhost:9464' });
  const six = await ask('GET', '/', { host: '[::1]:9464' });

  expect([rebound.status, local.status, six.status]).toEqual([403, 200, 200]);
});

test('no response may be stored, framed or read as another type', async () => {
  const { ask } = await open({ names: ['fleet-east'] });

  for (const path of ['/', '/audit', '/metrics', '/healthz', '/nothing']) {
    const { headers } = await ask('GET', path);
    expect(headers).toMatchObject({
      'cache-control': 'no-store',
      'x-content-type-options': 'nosniff',
      'x-frame-options': 'DENY',
    });
  }
  const page = await ask('GET', '/');
  expect(page.headers['content-security-policy']).toMatch(
    /^default-src 'none'; style-src 'sha256-[^']+'; form-action 'self'/,
  );
  expect(page.headers['refresh']).toBe('60');
  expect((await ask('GET', '/?refresh=0')).headers['refresh']).toBeUndefined();
});

// S16: on 03af53f each of them was rendered anew on the loop that rotates (120 ms each), and with
// 128 connections the probes were not accepted any more: no answer for 50 s.
test('probes are answered while a client asks 130 times for metrics and report', async () => {
  const counts = { metrics: 0, report: 0, probes: 0 };
  let release = (): void => {};
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  const names = Array.from({ length: 2_000 }, (_, index) => `fleet-${index}`);
  const { ask } = await open(
    { names },
    {
      onExpose: () => {
        counts.metrics += 1;
      },
      report: async () => {
        counts.report += 1;
        await held;
        return '<!doctype html><title>report</title>';
      },
    },
  );

  const reading = Array.from({ length: 130 }, (_, index) =>
    ask('GET', index % 2 === 0 ? '/metrics' : '/audit'),
  );
  for (; counts.probes < 20; counts.probes += 2)
    for (const path of ['/healthz', '/readyz'])
      expect([path, (await ask('GET', path)).status]).toEqual([path, 200]);
  release();
  const replies = await Promise.all(reading);

  expect(counts).toEqual({ metrics: 1, report: 1, probes: 20 });
  const statuses = replies.map(({ status }) => status);
  expect(new Set(statuses)).toEqual(new Set([200, 429]));
  expect(statuses.filter((status) => status === 200).length).toBeGreaterThanOrEqual(16);
  const refused = replies.filter(({ status }) => status === 429);
  expect(refused.map(({ headers }) => headers['retry-after'])).toEqual(refused.map(() => '1'));
});

test('a client that never stops is refused for some seconds, and its probes are not', async () => {
  const { ask, world } = await open({ names: ['fleet-east'] });
  const asked: number[] = [];
  for (let count = 0; count < 201; count += 1) asked.push((await ask('GET', '/metrics')).status);
  const health = await ask('GET', '/healthz');
  await world.clock.advance(10_000);
  const later = await ask('GET', '/metrics');

  expect(asked).toEqual([...Array(200).fill(200), 429]);
  expect([health.status, later.status]).toEqual([200, 200]);
});

test('with a token for reading, pages and metrics need it, and the probes do not', async () => {
  const readToken = 'a-token-for-reading-0123456789';
  const { ask } = await open({ names: ['fleet-east'] }, { readToken });
  const basic = (password: string): string =>
    `Basic ${Buffer.from(`me:${password}`).toString('base64')}`;
  const statusesWith = async (authorization?: string): Promise<number[]> => {
    const headers = authorization === undefined ? {} : { authorization };
    const paths = ['/', '/audit', '/metrics', '/healthz', '/readyz'];
    const replies = await Promise.all(paths.map((path) => ask('GET', path, { headers })));
    return replies.map(({ status }) => status);
  };

  const without = await statusesWith();
  const wrong = await statusesWith('Bearer a-token-that-is-not-the-one');
  const right = await Promise.all(
    [`Bearer ${readToken}`, basic(readToken), `Bearer ${token}`].map(statusesWith),
  );
  const write = await ask('POST', '/v1/accounts/fleet-east/rotate', {
    headers: { authorization: `Bearer ${readToken}` },
  });
  const byBrowser = await ask('GET', '/v1/attempts/1', {
    headers: { authorization: basic(token) },
  });

  expect([without, wrong]).toEqual(Array(2).fill([401, 401, 401, 200, 200]));
  expect(right).toEqual(Array(3).fill([200, 200, 200, 200, 200]));
  expect([write.status, byBrowser.status]).toEqual([401, 401]);
});
