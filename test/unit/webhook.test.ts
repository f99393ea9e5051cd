import { createSecretKey } from 'node:crypto';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, expect, test } from '@jest/globals';
import { Webhook } from 'standardwebhooks';
import { type Alert, deliveryDelaysMs, openNotifier } from '../../src/telemetry/webhook.ts';
import { minuteMs, type VirtualClock, virtualClock } from '../harness/serve-world.ts';

type Received = {
  readonly body: { text: string; notices: Alert[]; dropped: number; host: string; sentAt: string };
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
    for (const notify of watchers.splice(0)) notify();
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
  const opened = openNotifier({
    webhook: url,
    host: 'ops-1',
    clock,
    log: { info: write, warn: write, error: write },
    onDelivery: (result, count) => {
      counts[result] += count;
    },
    ...more,
  });
  return { ...opened, clock, lines, counts };
}

/** Real requests need the real event loop; virtual time passes meanwhile. */
async function until(clock: VirtualClock, isDone: () => boolean, stepMs = 1000): Promise<void> {
  for (let round = 0; round < 20_000 && !isDone(); round += 1) await clock.advance(stepMs);
  expect(isDone()).toBe(true);
}

const stopped: Alert = {
  kind: 'stopped',
  account: 'fleet-east',
  reason: 'login-refused',
  text: 'login-refused (HTTP 400)',
  next: 'Store the correct password.',
};

test('an alert is text that a channel shows, and the same data as JSON', async () => {
  const hook = await webhook();
  const sender = notifier(hook.url);

  sender.send(stopped);
  await until(sender.clock, () => sender.counts.delivered === 1);

  expect(hook.received[0]?.body).toEqual({
    text: ':octagonal_sign: *fleet-east*: login-refused (HTTP 400) _Store the correct password._',
    source: 'thingspace-rotator',
    host: 'ops-1',
    sentAt: '2026-12-01T00:00:01Z',
    dropped: 0,
    notices: [stopped],
  });
  expect(hook.received[0]?.headers['content-type']).toBe('application/json');
  expect(hook.received[0]?.headers['webhook-signature']).toBeUndefined();
});

test.each([
  ['any text', 'a shared secret of both sides', 'raw'],
  ['a secret of Standard Webhooks', 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw', undefined],
] as const)('the body is signed as Standard Webhooks asks: %s', async (_, secret, format) => {
  const hook = await webhook({ status: 503 });
  const sender = notifier(hook.url, { key: createSecretKey(Buffer.from(secret)) });

  sender.send(stopped);
  await until(sender.clock, () => sender.counts.delivered === 1);

  const receiver = new Webhook(secret, format && { format });
  const ids = hook.received.map(({ headers }) => headers['webhook-id']);
  expect(ids).toEqual([expect.stringMatching(/^msg_/), ids[0]]);
  for (const { headers, raw, body } of hook.received) {
    const sentAt = new Date(body.sentAt);
    expect(headers['webhook-timestamp']).toBe(String(sentAt.getTime() / 1000));
    expect(headers['webhook-signature']).toBe(receiver.sign(String(ids[0]), sentAt, raw));
  }
});

test('a key of Standard Webhooks that is not base64 is refused', () => {
  const key = createSecretKey(Buffer.from('whsec_not base64 at all'));

  expect(() => notifier('http://127.0.0.1:1/', { key })).toThrow('not base64');
});

test('the same alert is sent once a day, another one at once, and its end once', async () => {
  const hook = await webhook();
  const sender = notifier(hook.url);

  sender.send(stopped);
  await until(sender.clock, () => sender.counts.delivered === 1);
  sender.send(stopped);
  sender.send({ ...stopped, kind: 'lost', reason: 'password-lost' });
  await until(sender.clock, () => sender.counts.delivered === 2);
  await sender.clock.advance(21 * 60 * minuteMs);
  sender.send(stopped);
  await until(sender.clock, () => sender.counts.delivered === 3);
  sender.resolve('fleet-east', 'Outcome: rotated.');
  sender.resolve('fleet-east', 'Outcome: rotated.');
  sender.resolve('fleet-west', 'No alert was sent.');
  await until(sender.clock, () => sender.counts.delivered === 4);
  await sender.clock.advance(minuteMs);

  expect(hook.received.flatMap(({ body }) => body.notices.map(({ kind }) => kind))).toEqual([
    'stopped',
    'lost',
    'stopped',
    'resolved',
  ]);
});

test('alerts of the same moment are one message, whose text has at most 20 lines', async () => {
  const hook = await webhook();
  const sender = notifier(hook.url);

  for (let index = 0; index < 45; index += 1)
    sender.send({ ...stopped, account: `fleet-${index}` });
  await until(sender.clock, () => sender.counts.delivered === 45);

  expect(hook.received).toHaveLength(1);
  expect(hook.received[0]?.body.text.split('\n')).toHaveLength(21);
  expect(hook.received[0]?.body.text.split('\n').at(-1)).toBe(
    '… and 25 more. To list them: `thingspace-rotator status`',
  );
  expect(hook.received[0]?.body.notices).toHaveLength(45);
});

test('a failed delivery is retried when the webhook allows it, then logged as failed', async () => {
  const hook = await webhook({ status: 503 }, 'cut', {
    status: 429,
    headers: { 'retry-after': '300' },
  });
  const sender = notifier(hook.url);

  sender.send(stopped);
  await until(sender.clock, () => sender.counts.delivered === 1, 500);
  const tookMs = sender.clock.monotonicMs();

  expect(hook.received).toHaveLength(4);
  expect(tookMs).toBeGreaterThanOrEqual(1_000 + 1_000 + 5_000 + 300_000);
  expect(sender.lines.map((line) => (JSON.parse(line) as { event: string }).event)).toEqual([
    'notify.retried',
    'notify.retried',
    'notify.retried',
  ]);

  const failing = await webhook(...Array.from({ length: 20 }, (): Reply => ({ status: 500 })));
  const other = notifier(failing.url);
  other.send(stopped);
  await until(other.clock, () => other.counts.failed === 1, 10_000);
  expect(failing.received).toHaveLength(deliveryDelaysMs.length + 1);
  expect(other.lines.at(-1)).toBe(
    '{"event":"notify.failed","detail":"the webhook answered HTTP 500","count":1,"tries":6}',
  );
  // It was not delivered, so it may be sent again.
  other.send(stopped);
  await failing.until(deliveryDelaysMs.length + 1);
  await until(other.clock, () => failing.received.length === deliveryDelaysMs.length + 2);
});

test('a refused delivery is not retried, and a redirect is not followed', async () => {
  const gone = await webhook({ status: 410 });
  const sender = notifier(gone.url);
  sender.send(stopped);
  await until(sender.clock, () => sender.counts.failed === 1);
  expect(gone.received).toHaveLength(1);

  const target = await webhook();
  const moving = await webhook(
    ...Array.from({ length: 9 }, (): Reply => ({ status: 307, headers: { location: target.url } })),
  );
  const other = notifier(moving.url);
  other.send(stopped);
  await until(other.clock, () => other.counts.failed === 1, 10_000);
  expect(target.received).toHaveLength(0);
});

test('the address, which may be a secret, is not logged', async () => {
  const sender = notifier('http://127.0.0.1:1/services/T000/B000/very-secret-path');

  sender.send(stopped);
  await until(sender.clock, () => sender.counts.failed === 1, 10_000);

  expect(sender.lines.length).toBeGreaterThan(3);
  expect(sender.lines.join('\n')).toContain('the webhook is unreachable');
  expect(sender.lines.join('\n')).not.toMatch(/very-secret|127\.0\.0\.1|services/);
});

test('an account name cannot mention a channel or begin a link', async () => {
  const hook = await webhook();
  const sender = notifier(hook.url);

  sender.send({ ...stopped, account: '<!channel>', text: '<https://evil.example|click> & more' });
  await until(sender.clock, () => sender.counts.delivered === 1);

  expect(hook.received[0]?.body.text).toBe(
    ':octagonal_sign: *&lt;!channel&gt;*: &lt;https://evil.example|click&gt; &amp; more ' +
      '_Store the correct password._',
  );
});

test('an unreachable webhook costs bounded memory, and dropped alerts are counted', async () => {
  const hook = await webhook(...Array.from({ length: 3 }, (): Reply => ({ status: 503 })));
  const sender = notifier(hook.url);

  for (let index = 0; index < 2000; index += 1)
    sender.send({ ...stopped, account: `fleet-${index}` });
  await until(sender.clock, () => sender.counts.delivered + sender.counts.failed === 500, 10_000);

  expect(sender.counts).toEqual({ delivered: 500, failed: 0, dropped: 1500 });
  expect(hook.received.map(({ body }) => body.dropped)).toContain(1500);
});

test('flush delivers at once, and waits no longer than its limit', async () => {
  const hook = await webhook();
  const sender = notifier(hook.url);
  sender.send(stopped);
  const flushed = sender.flush(5_000);
  await hook.until(1);
  await flushed;
  expect(sender.clock.monotonicMs()).toBe(0);

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
  other.send(stopped);
  const bounded = other.flush(5_000);
  await other.clock.advance(5_000);
  await bounded;
});
