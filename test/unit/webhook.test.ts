import { createHmac, createSecretKey } from 'node:crypto';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, expect, test } from '@jest/globals';
import {
  deliveryWaitsMs,
  type Notice,
  openNotifier,
  signature,
} from '../../src/telemetry/webhook.ts';
import { minuteMs, type VirtualClock, virtualClock } from '../harness/serve-world.ts';

type Received = {
  readonly body: { text: string; notices: Notice[]; dropped: number; host: string; sentAt: string };
  readonly raw: string;
  readonly headers: IncomingMessage['headers'];
};
type Reply = { status: number; headers?: Record<string, string> } | 'cut';

const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

/** A webhook that answers in this order, and 200 from then on. */
async function webhook(...replies: Reply[]) {
  const received: Received[] = [];
  const watchers: (() => void)[] = [];
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const raw = Buffer.concat(chunks).toString('utf8');
    received.push({ raw, body: JSON.parse(raw) as Received['body'], headers: request.headers });
    const reply = replies.shift() ?? { status: 200 };
    if (reply === 'cut') response.destroy();
    else response.writeHead(reply.status, { connection: 'close', ...reply.headers }).end('ok');
    for (const look of watchers.splice(0)) look();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closing.push(
    () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  );
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook/very-secret-path`,
    received,
    until: async (count: number): Promise<void> => {
      while (received.length < count) await new Promise<void>((resolve) => watchers.push(resolve));
    },
  };
}

function notifier(url: string, more: Partial<Parameters<typeof openNotifier>[0]> = {}) {
  const clock = virtualClock();
  const lines: string[] = [];
  const counts = { delivered: 0, failed: 0, dropped: 0 };
  const write = (event: string, fields: object = {}): void =>
    void lines.push(JSON.stringify({ event, ...fields }));
  const told = openNotifier({
    webhook: url,
    host: 'ops-1',
    clock,
    log: { info: write, warn: write, error: write },
    onDelivery: (result, count) => {
      counts[result] += count;
    },
    ...more,
  });
  return { ...told, clock, lines, counts };
}

/** Real requests need real turns of the loop; virtual time passes meanwhile. */
async function until(clock: VirtualClock, isDone: () => boolean, stepMs = 1000): Promise<void> {
  for (let turn = 0; turn < 20_000 && !isDone(); turn += 1) await clock.advance(stepMs);
  expect(isDone()).toBe(true);
}

const stopped: Notice = {
  kind: 'stopped',
  account: 'fleet-east',
  reason: 'login-refused',
  text: 'login-refused (HTTP 400)',
  next: 'Put the right password.',
};

test('a notice is text that a channel shows, and the same as JSON', async () => {
  const hook = await webhook();
  const told = notifier(hook.url);

  told.tell(stopped);
  await until(told.clock, () => told.counts.delivered === 1);

  expect(hook.received[0]?.body).toEqual({
    text: ':octagonal_sign: *fleet-east*: login-refused (HTTP 400) _Put the right password._',
    source: 'thingspace-rotator',
    host: 'ops-1',
    sentAt: '2026-12-01T00:00:01Z',
    dropped: 0,
    notices: [stopped],
  });
  expect(hook.received[0]?.headers['content-type']).toBe('application/json');
  expect(hook.received[0]?.headers['x-rotator-signature']).toBeUndefined();
});

test('the body is signed with its time, so that a receiver can tell it from a forged or an old one', async () => {
  const hook = await webhook();
  const key = createSecretKey(Buffer.from('a shared secret of the two'));
  const told = notifier(hook.url, { key });

  told.tell(stopped);
  await until(told.clock, () => told.counts.delivered === 1);

  const { headers, raw } = hook.received[0] as Received;
  const [, t = '', v1] =
    /^t=(\d+),v1=([0-9a-f]{64})$/.exec(String(headers['x-rotator-signature'])) ?? [];
  expect(t).toBe(String(Date.UTC(2026, 11, 1, 0, 0, 1) / 1000));
  expect(v1).toBe(
    createHmac('sha256', 'a shared secret of the two').update(`${t}.${raw}`).digest('hex'),
  );
  expect(signature(key, Number(t), raw)).toBe(headers['x-rotator-signature']);
});

test('the same notice is told once a day, a worse one at once, and its end is told once', async () => {
  const hook = await webhook();
  const told = notifier(hook.url);

  told.tell(stopped);
  await until(told.clock, () => told.counts.delivered === 1);
  told.tell(stopped);
  told.tell({ ...stopped, kind: 'lost', reason: 'password-lost' });
  await until(told.clock, () => told.counts.delivered === 2);
  await told.clock.advance(21 * 60 * minuteMs);
  told.tell(stopped);
  await until(told.clock, () => told.counts.delivered === 3);
  told.resolve('fleet-east', 'rotated; all is well again');
  told.resolve('fleet-east', 'rotated; all is well again');
  told.resolve('fleet-west', 'never told about');
  await until(told.clock, () => told.counts.delivered === 4);
  await told.clock.advance(minuteMs);

  expect(hook.received.flatMap(({ body }) => body.notices.map(({ kind }) => kind))).toEqual([
    'stopped',
    'lost',
    'stopped',
    'resolved',
  ]);
});

test('what happens in one moment is one message, however much it is, and nobody is named twice over', async () => {
  const hook = await webhook();
  const told = notifier(hook.url);

  for (let index = 0; index < 45; index += 1) told.tell({ ...stopped, account: `fleet-${index}` });
  await until(told.clock, () => told.counts.delivered === 45);

  expect(hook.received).toHaveLength(1);
  expect(hook.received[0]?.body.text.split('\n')).toHaveLength(21);
  expect(hook.received[0]?.body.text.split('\n').at(-1)).toBe(
    '… and 25 more; see thingspace-rotator status',
  );
  expect(hook.received[0]?.body.notices).toHaveLength(45);
});

test('a webhook that fails is tried again, as late as it asks for, and then given up aloud', async () => {
  const hook = await webhook({ status: 503 }, 'cut', {
    status: 429,
    headers: { 'retry-after': '300' },
  });
  const told = notifier(hook.url);

  told.tell(stopped);
  await until(told.clock, () => told.counts.delivered === 1, 500);
  const tookMs = told.clock.monotonicMs();

  expect(hook.received).toHaveLength(4);
  expect(tookMs).toBeGreaterThanOrEqual(1_000 + 1_000 + 5_000 + 300_000);
  expect(told.lines.map((line) => (JSON.parse(line) as { event: string }).event)).toEqual([
    'notify.retried',
    'notify.retried',
    'notify.retried',
  ]);

  const dead = await webhook(...Array.from({ length: 20 }, (): Reply => ({ status: 500 })));
  const other = notifier(dead.url);
  other.tell(stopped);
  await until(other.clock, () => other.counts.failed === 1, 10_000);
  expect(dead.received).toHaveLength(deliveryWaitsMs.length + 1);
  expect(other.lines.at(-1)).toBe(
    '{"event":"notify.failed","detail":"the webhook answered HTTP 500","count":1,"tries":6}',
  );
  // It was not told, so the next occasion tells it.
  other.tell(stopped);
  await dead.until(deliveryWaitsMs.length + 1);
  await until(other.clock, () => dead.received.length === deliveryWaitsMs.length + 2);
});

test('a webhook that says no is not asked again, and a redirect is not followed', async () => {
  const gone = await webhook({ status: 410 });
  const told = notifier(gone.url);
  told.tell(stopped);
  await until(told.clock, () => told.counts.failed === 1);
  expect(gone.received).toHaveLength(1);

  const target = await webhook();
  const moving = await webhook(
    ...Array.from({ length: 9 }, (): Reply => ({ status: 307, headers: { location: target.url } })),
  );
  const other = notifier(moving.url);
  other.tell(stopped);
  await until(other.clock, () => other.counts.failed === 1, 10_000);
  expect(target.received).toHaveLength(0);
});

test('the address, which may be a secret, is in no line of the log', async () => {
  const told = notifier('http://127.0.0.1:1/services/T000/B000/very-secret-path');

  told.tell(stopped);
  await until(told.clock, () => told.counts.failed === 1, 10_000);

  expect(told.lines.length).toBeGreaterThan(3);
  expect(told.lines.join('\n')).toContain('the webhook could not be reached');
  expect(told.lines.join('\n')).not.toMatch(/very-secret|127\.0\.0\.1|services/);
});

test('a name cannot call a channel or make a link', async () => {
  const hook = await webhook();
  const told = notifier(hook.url);

  told.tell({ ...stopped, account: '<!channel>', text: '<https://evil.example|click> & more' });
  await until(told.clock, () => told.counts.delivered === 1);

  expect(hook.received[0]?.body.text).toBe(
    ':octagonal_sign: *&lt;!channel&gt;*: &lt;https://evil.example|click&gt; &amp; more _Put the right password._',
  );
});

test('a webhook that is away for long costs no memory without end, and says how much was dropped', async () => {
  const hook = await webhook(...Array.from({ length: 3 }, (): Reply => ({ status: 503 })));
  const told = notifier(hook.url);

  for (let index = 0; index < 2000; index += 1)
    told.tell({ ...stopped, account: `fleet-${index}` });
  await until(told.clock, () => told.counts.delivered + told.counts.failed === 500, 10_000);

  expect(told.counts).toEqual({ delivered: 500, failed: 0, dropped: 1500 });
  expect(hook.received.map(({ body }) => body.dropped)).toContain(1500);
});

test('an ending service hurries, and waits no longer than it was told to', async () => {
  const hook = await webhook();
  const told = notifier(hook.url);
  told.tell(stopped);
  const flushed = told.flush(5_000);
  await hook.until(1);
  await flushed;
  expect(told.clock.monotonicMs()).toBe(0);

  const silent = createServer(() => {});
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
  closing.push(
    () =>
      new Promise((resolve) => {
        silent.close(() => resolve());
        silent.closeAllConnections();
      }),
  );
  const other = notifier(`http://127.0.0.1:${(silent.address() as AddressInfo).port}/`);
  other.tell(stopped);
  const bounded = other.flush(5_000);
  await other.clock.advance(5_000);
  await bounded;
});
