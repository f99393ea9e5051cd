// Notifications over real HTTP on loopback, with a virtual clock and a real journal.

import { execFileSync } from 'node:child_process';
import { createSecretKey } from 'node:crypto';
import {
  appendFileSync,
  closeSync,
  existsSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { stat } from 'node:fs/promises';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, test } from '@jest/globals';
import { Webhook } from 'standardwebhooks';
import { openClock } from '../../src/clock.ts';
import { openJournal } from '../../src/telemetry/notification-journal.ts';
import {
  deliveryDelaysMs,
  type NotifierOptions,
  openNotifier,
  type Problem,
} from '../../src/telemetry/notifier.ts';
import { openReceiver, type ReceiverOptions } from '../../src/telemetry/webhook.ts';
import { minuteMs, type VirtualClock, virtualClock } from '../harness/serve-world.ts';

const hourMs = 60 * minuteMs;

type Notice = { kind: string; account?: string; id: string; acknowledged?: object };
type Received = {
  readonly body: {
    text: string;
    notices: Notice[];
    digest: boolean;
    host: string;
    sentAt: string;
  };
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

/** The place of a journal, in memory where that exists: a busy disk takes seconds. */
function journal(): string {
  const memory = '/dev/shm';
  const folder = mkdtempSync(join(existsSync(memory) ? memory : tmpdir(), 'notify-'));
  closing.push(async () => rmSync(folder, { recursive: true, force: true }));
  return join(folder, 'notifications.jsonl');
}

function receiver(webhook: string, more: Partial<ReceiverOptions> = {}) {
  const all = { name: 'default', format: 'json', minSeverity: 'info', kinds: [] } as const;
  return openReceiver({ ...all, webhook, ...more });
}

function notifier(url: string, more: Partial<NotifierOptions> & { readonly file?: string } = {}) {
  const clock = (more.clock as VirtualClock | undefined) ?? virtualClock();
  const lines: string[] = [];
  const counts = { delivered: 0, failed: 0, dropped: 0 };
  const write = (event: string, fields: object = {}): void =>
    void lines.push(JSON.stringify({ event, ...fields }));
  const opened = openNotifier({
    receivers: [receiver(url)],
    // The disk takes real time.
    journal: openJournal({
      file: more.file,
      clock: openClock(),
      onFailure: (detail) => write('notify.unsaved', { detail }),
    }),
    host: 'ops-1',
    clock,
    log: { info: write, warn: write, error: write },
    onDelivery: (result, count) => {
      counts[result] += count;
    },
    ...more,
  });
  closing.push(() => Promise.all([opened.close(1), clock.advance(2_000)]).then(() => {}));
  return { ...opened, clock, lines, counts };
}

/** Real requests need the real event loop; virtual time passes meanwhile. */
async function until(clock: VirtualClock, isDone: () => boolean, stepMs = 1000): Promise<void> {
  for (let round = 0; round < 20_000 && !isDone(); round += 1) {
    await clock.advance(stepMs);
    // The journal is on a disk, and little virtual time may pass while it is written.
    await stat('.');
  }
  expect(isDone()).toBe(true);
}

const stopped: Problem = {
  kind: 'stopped',
  subject: 'fleet-east',
  account: 'fleet-east',
  reason: 'login-refused',
  text: 'login-refused (HTTP 400)',
  next: 'Store the correct password.',
};
const lost: Problem = { ...stopped, kind: 'lost', reason: 'password-lost', text: 'lost' };
const about = (account: string): Problem => ({ ...stopped, account, subject: account });
const kindsIn = (received: readonly Received[]): string[] =>
  received.flatMap(({ body }) => body.notices.map(({ kind }) => kind));

test('a problem is text that a channel shows, and the same data as JSON', async () => {
  const hook = await webhook();
  const sender = notifier(hook.url);

  sender.report(stopped);
  await until(sender.clock, () => sender.counts.delivered === 1);

  expect(hook.received[0]?.body).toEqual({
    text: ':octagonal_sign: *fleet-east*: login-refused (HTTP 400) _Store the correct password._',
    source: 'thingspace-rotator',
    host: 'ops-1',
    sentAt: '2026-12-01T00:00:01Z',
    digest: false,
    notices: [
      {
        kind: 'stopped',
        account: 'fleet-east',
        reason: 'login-refused',
        text: 'login-refused (HTTP 400)',
        next: 'Store the correct password.',
        id: expect.stringMatching(/^[0-9a-f]{8}$/),
        severity: 'critical',
        since: '2026-12-01T00:00:00Z',
      },
    ],
  });
  expect(hook.received[0]?.headers['content-type']).toBe('application/json');
  expect(hook.received[0]?.headers['webhook-signature']).toBeUndefined();
});

test.each([
  ['any text', 'a shared secret of both sides', 'raw'],
  ['a secret of Standard Webhooks', 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw', undefined],
] as const)('the body is signed as Standard Webhooks asks: %s', async (_, secret, format) => {
  const hook = await webhook({ status: 503 });
  const key = createSecretKey(Buffer.from(secret));
  const sender = notifier('', { receivers: [receiver(hook.url, { key })] });

  sender.report(stopped);
  await until(sender.clock, () => sender.counts.delivered === 1);

  const signed = new Webhook(secret, format && { format });
  const ids = hook.received.map(({ headers }) => headers['webhook-id']);
  expect(ids).toEqual([expect.stringMatching(/^msg_/), ids[0]]);
  for (const { headers, raw, body } of hook.received) {
    const sentAt = new Date(body.sentAt);
    expect(headers['webhook-timestamp']).toBe(String(sentAt.getTime() / 1000));
    expect(headers['webhook-signature']).toBe(signed.sign(String(ids[0]), sentAt, raw));
  }
});

test('a key of Standard Webhooks that is not base64 is refused', () => {
  const key = createSecretKey(Buffer.from('whsec_not base64 at all'));

  expect(() => receiver('http://127.0.0.1:1/', { key })).toThrow('not base64');
});

// Finding S8. In 0.1 every start forgot what was sent, and sent every problem again.
test('a problem is sent once per cause, over restarts too, and its end once', async () => {
  const hook = await webhook();
  const file = journal();
  const clock = virtualClock();
  for (let start = 0; start < 3; start += 1) {
    const sender = notifier(hook.url, { file, clock });
    sender.report(stopped);
    await sender.close(1_000);
    await clock.advance(5 * minuteMs);
  }
  const sender = notifier(hook.url, { file, clock });

  sender.report(lost);
  await until(clock, () => hook.received.length === 2);
  sender.resolve('fleet-east', 'Outcome: rotated.');
  sender.resolve('fleet-east', 'Outcome: rotated.');
  sender.resolve('fleet-west', 'No problem was reported.');
  await until(clock, () => hook.received.length === 3);
  await clock.advance(hourMs);

  expect(kindsIn(hook.received)).toEqual(['stopped', 'lost', 'resolved']);
  const [one, other, end] = hook.received.map(({ body }) => body.notices[0]?.id);
  expect([other === one, end]).toEqual([false, other]);
});

// Finding S8. In 0.1 a suspended and overdue account was two notifications a day, for ever.
test('what stays open is one entry of one message a day', async () => {
  const hook = await webhook();
  const file = journal();
  const clock = virtualClock();
  const overdue = { ...about('fleet-east'), kind: 'overdue', text: '97 days old.' } as const;
  for (let day = 0; day < 3; day += 1) {
    const sender = notifier(hook.url, { file, clock });
    for (const problem of [stopped, overdue, about('fleet-west')]) sender.report(problem);
    sender.remind();
    sender.remind();
    await sender.close(1_000);
    await clock.advance(24 * hourMs);
  }

  expect(
    hook.received.map(({ body }) => [
      body.digest,
      body.text.split('\n')[0],
      body.notices.map(({ account }) => account),
    ]),
  ).toEqual([
    [
      false,
      ':octagonal_sign: *fleet-east*: login-refused (HTTP 400) 97 days old. ' +
        '_Store the correct password._',
      ['fleet-east', 'fleet-west'],
    ],
    [true, 'Open problems on ops-1: 2', ['fleet-east', 'fleet-west']],
    [true, 'Open problems on ops-1: 2', ['fleet-east', 'fleet-west']],
  ]);
});

test('a problem that somebody took over is listed last, and needs no daily message', async () => {
  const hook = await webhook();
  const file = journal();
  const sender = notifier(hook.url, { file });
  sender.report(stopped);
  sender.report({ ...about('fleet-west'), kind: 'failing' });
  await until(sender.clock, () => sender.counts.delivered === 2);
  const ids = hook.received[0]?.body.notices.map(({ id }) => id) ?? [];
  const take = (problem: string | undefined, more: object = {}): void =>
    appendFileSync(
      file,
      `${JSON.stringify({
        problem,
        acknowledged: { reason: 'INC-77', by: 'ops', atMs: sender.clock.nowMs(), ...more },
      })}\n`,
    );

  take(ids[0]);
  await until(sender.clock, () => sender.counts.delivered === 3);
  await sender.clock.advance(24 * hourMs);
  sender.remind();
  await until(sender.clock, () => sender.counts.delivered === 5);
  take(ids[1], { untilMs: sender.clock.nowMs() + 30 * hourMs });
  await until(sender.clock, () => sender.counts.delivered === 6);
  await sender.clock.advance(24 * hourMs);
  sender.remind();
  await sender.clock.advance(24 * hourMs);
  sender.remind();
  await until(sender.clock, () => sender.counts.delivered === 8);
  // A worse problem of the same account is another one, which nobody took over.
  sender.report(lost);
  await until(sender.clock, () => sender.counts.delivered === 10);

  expect(hook.received.map(({ body }) => body.text.split('\n'))).toEqual([
    [expect.stringContaining('*fleet-east*'), expect.stringContaining('*fleet-west*')],
    [':eyes: *fleet-east*: Acknowledged by ops: INC-77'],
    [
      'Open problems on ops-1: 2, 1 of them acknowledged',
      expect.stringContaining('*fleet-west*'),
      expect.stringMatching(/\*fleet-east\*.*_Acknowledged by ops: INC-77_$/),
    ],
    [':eyes: *fleet-west*: Snoozed by ops: INC-77'],
    [
      'Open problems on ops-1: 2, 1 of them acknowledged',
      expect.stringContaining('*fleet-west*'),
      expect.stringContaining('*fleet-east*'),
    ],
    [':rotating_light: *fleet-east*: lost _Store the correct password._'],
  ]);
});

test('problems of the same moment are one message, whose text has at most 20 lines', async () => {
  const hook = await webhook();
  const sender = notifier(hook.url);

  for (let index = 0; index < 45; index += 1) sender.report(about(`fleet-${index}`));
  await until(sender.clock, () => sender.counts.delivered === 45);

  expect(hook.received).toHaveLength(1);
  expect(hook.received[0]?.body.text.split('\n')).toHaveLength(21);
  expect(hook.received[0]?.body.text.split('\n').at(-1)).toBe(
    '… and 25 more. To list them: `thingspace-rotator notifications`',
  );
  expect(hook.received[0]?.body.notices).toHaveLength(45);
});

// In 0.1 the sixth refusal ended the delivery, and a process that ended lost what it had not sent.
test('a lost password reaches a webhook that failed for hours and over a restart', async () => {
  const hook = await webhook(...Array.from({ length: 20 }, (): Reply => ({ status: 500 })));
  const file = journal();
  const clock = virtualClock();
  const before = notifier(hook.url, { file, clock });
  before.report(lost);
  await until(clock, () => hook.received.length === 15, 10_000);
  expect(clock.monotonicMs()).toBeGreaterThan(1.5 * hourMs);
  expect([before.counts, before.oldestMs()]).toEqual([
    { delivered: 0, failed: 1, dropped: 0 },
    expect.any(Number),
  ]);
  await before.close(1_000);

  const after = notifier(hook.url, { file, clock });
  await until(clock, () => after.counts.delivered === 1, 10_000);

  const ids = new Set(hook.received.map(({ headers }) => headers['webhook-id']));
  expect([ids.size, kindsIn(hook.received.slice(-1)), after.oldestMs()]).toEqual([
    1,
    ['lost'],
    undefined,
  ]);
  expect(before.lines.filter((line) => line.includes('failed'))).toEqual([
    JSON.stringify({
      event: 'notify.failed',
      receiver: 'default',
      detail: 'the webhook answered HTTP 500',
      count: 1,
      tries: 6,
    }),
  ]);
});

test('a delivery is retried when the webhook allows it', async () => {
  const hook = await webhook({ status: 503 }, 'cut', {
    status: 429,
    headers: { 'retry-after': '300' },
  });
  const sender = notifier(hook.url);

  sender.report(stopped);
  await until(sender.clock, () => sender.counts.delivered === 1, 500);

  expect(hook.received).toHaveLength(4);
  expect(sender.clock.monotonicMs()).toBeGreaterThanOrEqual(1_000 + 1_000 + 5_000 + 300_000);
  expect(sender.lines.map((line) => (JSON.parse(line) as { event: string }).event)).toEqual([
    'notify.unsaved',
    'notify.retried',
    'notify.retried',
    'notify.retried',
  ]);
  expect(deliveryDelaysMs).toHaveLength(5);
});

test('a refused message is kept and does not hold up others; no redirect is followed', async () => {
  const gone = await webhook({ status: 410 });
  const sender = notifier(gone.url);
  sender.report(stopped);
  await until(sender.clock, () => sender.counts.failed === 1);
  sender.report(about('fleet-west'));
  await until(sender.clock, () => sender.counts.delivered === 1);
  await until(sender.clock, () => sender.counts.delivered === 2, 30_000);
  expect(kindsIn(gone.received)).toEqual(['stopped', 'stopped', 'stopped']);

  const target = await webhook();
  const moving = await webhook(
    ...Array.from({ length: 9 }, (): Reply => ({ status: 307, headers: { location: target.url } })),
  );
  const other = notifier(moving.url);
  other.report(stopped);
  await until(other.clock, () => other.counts.failed === 1, 10_000);
  expect(target.received).toHaveLength(0);
});

test('the address, which may be a secret, is not logged', async () => {
  const sender = notifier('http://127.0.0.1:1/services/T000/B000/very-secret-path');

  sender.report(stopped);
  await until(sender.clock, () => sender.counts.failed === 1, 10_000);

  expect(sender.lines.length).toBeGreaterThan(3);
  expect(sender.lines.join('\n')).toContain('the webhook is unreachable');
  expect(sender.lines.join('\n')).not.toMatch(/very-secret|127\.0\.0\.1|services/);
});

test('an account name cannot mention a channel or begin a link', async () => {
  const hook = await webhook();
  const sender = notifier(hook.url);

  sender.report({
    ...stopped,
    account: '<!channel>',
    text: '<https://evil.example|click> & more',
  });
  await until(sender.clock, () => sender.counts.delivered === 1);

  expect(hook.received[0]?.body.text).toBe(
    ':octagonal_sign: *&lt;!channel&gt;*: &lt;https://evil.example|click&gt; &amp; more ' +
      '_Store the correct password._',
  );
});

test('a disk that takes no journal delays no notification, and is logged once', async () => {
  const hook = await webhook();
  const sender = notifier(hook.url, { file: '/dev/full' });

  sender.report(stopped);
  await until(sender.clock, () => sender.counts.delivered === 1);
  sender.report(lost);
  await until(sender.clock, () => hook.received.length === 2);

  expect(kindsIn(hook.received)).toEqual(['stopped', 'lost']);
  expect(sender.lines).toEqual([
    '{"event":"notify.unsaved","detail":"/dev/full: no space left on the disk"}',
  ]);
});

test('a journal that was cut off in a line loses this line only', async () => {
  const hook = await webhook({ status: 500 }, { status: 500 });
  const file = journal();
  const clock = virtualClock();
  const before = notifier(hook.url, { file, clock });
  before.report(stopped);
  await until(clock, () => hook.received.length === 1);
  await before.close(1_000);
  const whole = readFileSync(file, 'utf8');
  writeFileSync(file, `${whole}{"message":{"id":"msg_torn`);

  const after = notifier(hook.url, { file, clock });
  await until(clock, () => after.counts.delivered === 1);
  after.report(stopped);
  after.report(about('fleet-west'));
  await until(clock, () => after.counts.delivered === 2);
  const last = notifier(hook.url, { file, clock });
  last.report(stopped);
  last.report(about('fleet-west'));
  await last.close(1_000);

  expect(hook.received.map(({ body }) => body.notices.map(({ account }) => account))).toEqual([
    ['fleet-east'],
    ['fleet-east'],
    ['fleet-east'],
    ['fleet-west'],
  ]);
});

test('a journal that hangs keeps one thread, and a problem is sent all the same', async () => {
  const hook = await webhook();
  const file = journal();
  execFileSync('mkfifo', [file]);
  const clock = virtualClock();
  const onFailure = (detail: string): void => void failures.push(detail);
  const failures: string[] = [];
  const sender = notifier(hook.url, { clock, journal: openJournal({ file, clock, onFailure }) });

  sender.report(stopped);
  await until(clock, () => sender.counts.delivered === 1);
  await clock.advance(hourMs);
  // A reader and a writer release what waits for them; a second operation would wait on.
  closeSync(openSync(file, 'r+'));
  await stat('.');

  expect(kindsIn(hook.received)).toEqual(['stopped']);
  expect(failures).toEqual([`${file}: the disk does not answer`]);
});

test('the journal keeps only what is not over when the service starts', async () => {
  const hook = await webhook();
  const file = journal();
  const before = notifier(hook.url, { file });
  before.report(stopped);
  for (let index = 0; index < 300; index += 1) {
    before.report({ ...about(`fleet-${index}`), text: 'x'.repeat(1_000) });
    before.resolve(`fleet-${index}`, 'Over.');
  }
  before.report({ ...about('fleet-west'), kind: 'failing' });
  await until(before.clock, () => before.counts.delivered > 600);
  await before.close(1_000);
  const size = statSync(file).size;

  const after = notifier(hook.url, { file });
  after.report(stopped);
  after.keep(new Set(['fleet-east']));
  await until(after.clock, () => after.counts.delivered === 1);

  expect(hook.received.at(-1)?.body.notices).toMatchObject([
    {
      kind: 'resolved',
      account: 'fleet-west',
      text: 'The account is not configured any more.',
    },
  ]);
  expect([size > 256 * 1024, statSync(file).size < 4_096]).toEqual([true, true]);
});

test('a webhook that never answers costs bounded memory, and no critical problem', async () => {
  const hook = await webhook(...Array.from({ length: 40 }, (): Reply => ({ status: 503 })));
  const sender = notifier(hook.url);
  sender.report(lost);
  await sender.clock.advance(2_000);
  for (let round = 0; round < 1_100; round += 1) {
    sender.report({ ...about(`fleet-${round}`), kind: 'failing' });
    await sender.clock.advance(1_001);
  }

  expect(sender.counts.dropped).toBeGreaterThan(50);
  await until(sender.clock, () => sender.counts.delivered > 900, 60_000);
  expect(new Set(kindsIn(hook.received.slice(0, 40)))).toEqual(new Set(['lost']));
  expect(kindsIn(hook.received).at(-1)).toBe('failing');
});

test('closing delivers what waits, and takes no longer than its limit', async () => {
  const hook = await webhook();
  const sender = notifier(hook.url);
  sender.report(stopped);
  const closed = sender.close(5_000);
  await hook.until(1);
  await closed;
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
  other.report(stopped);
  const bounded = other.close(5_000);
  await other.clock.advance(5_000);
  await bounded;
});

/** What each request had, of the messages about one problem from its beginning to its end. */
async function storyIn(format: ReceiverOptions['format']): Promise<unknown[]> {
  const hook = await webhook();
  const file = journal();
  const key = createSecretKey(Buffer.from('R0123456789abcdef0123456789abcdef\n'));
  const receivers = [receiver(hook.url, { format, ...(format === 'pagerduty' ? { key } : {}) })];
  const sender = notifier('', { file, receivers });
  const at = async (delivered: number): Promise<void> =>
    until(sender.clock, () => sender.counts.delivered === delivered);
  sender.report({ ...stopped, text: 'Rejected [once](https://x.example) <!here>.' });
  await at(1);
  const id = /"id":"([0-9a-f]{8})"/.exec(readFileSync(file, 'utf8'))?.[1];
  const acknowledged = { reason: 'INC-77', by: 'ops', atMs: 1 };
  appendFileSync(file, `${JSON.stringify({ problem: id, acknowledged })}\n`);
  await at(2);
  sender.report(lost);
  await at(4);
  await sender.clock.advance(24 * hourMs);
  sender.remind();
  await at(5);
  sender.resolve('fleet-east', 'Outcome: rotated.');
  await at(6);
  sender.confirm('No problems.');
  await at(7);
  const text = JSON.stringify(hook.received.map(({ raw }) => JSON.parse(raw) as unknown));
  return JSON.parse(text.replaceAll(id ?? '', 'FIRST').replace(/\/[0-9a-f]{8}"/g, '/SECOND"'));
}

test('PagerDuty gets an incident for each cause, and its acknowledgement and end', async () => {
  const common = { routing_key: 'R0123456789abcdef0123456789abcdef' };
  const first = { ...common, dedup_key: 'thingspace-rotator/FIRST' };
  const second = { ...common, dedup_key: 'thingspace-rotator/SECOND' };
  const payload = {
    source: 'ops-1',
    severity: 'critical',
    component: 'fleet-east',
  };
  const next = 'Store the correct password.';

  expect(await storyIn('pagerduty')).toEqual([
    {
      ...first,
      event_action: 'trigger',
      client: 'thingspace-rotator',
      payload: {
        ...payload,
        summary: 'fleet-east: Rejected [once](https://x.example) <!here>.',
        timestamp: expect.any(String),
        class: 'stopped',
        custom_details: { reason: 'login-refused', next },
      },
    },
    { ...first, event_action: 'acknowledge' },
    { ...first, event_action: 'resolve' },
    {
      ...second,
      event_action: 'trigger',
      client: 'thingspace-rotator',
      payload: {
        ...payload,
        summary: 'fleet-east: lost',
        timestamp: expect.any(String),
        class: 'lost',
        custom_details: { reason: 'password-lost', next },
      },
    },
    { ...second, event_action: 'resolve' },
  ]);
});

test('Slack gets blocks, and the same as text', async () => {
  const section = (text: string) => ({ type: 'section', text: { type: 'mrkdwn', text } });
  const about = { type: 'mrkdwn', text: 'thingspace-rotator on ops-1' };
  const context = { type: 'context', elements: [about] };
  const header = { type: 'plain_text', text: 'Open problems on ops-1: 1' };
  const begin =
    ':octagonal_sign: *fleet-east*: Rejected [once](https://x.example) &lt;!here&gt;. ' +
    '_Store the correct password._';
  const gone = ':rotating_light: *fleet-east*: lost _Store the correct password._';
  const single = (text: string) => ({ text, blocks: [section(text), context] });

  expect(await storyIn('slack')).toEqual([
    single(begin),
    single(':eyes: *fleet-east*: Acknowledged by ops: INC-77'),
    single(gone),
    {
      text: `Open problems on ops-1: 1\n${gone}`,
      blocks: [{ type: 'header', text: header }, section(gone), context],
    },
    single(':white_check_mark: *fleet-east*: Outcome: rotated.'),
    single(':white_check_mark: No problems.'),
  ]);
});

test('Teams gets an adaptive card, in which no text is a link', async () => {
  const card = (heading: string, text: string, color: string) => ({
    type: 'message',
    attachments: [
      {
        contentType: 'application/vnd.microsoft.card.adaptive',
        contentUrl: null,
        content: {
          $schema: 'http://adaptivecards.io/schemas/adaptive-card.json',
          type: 'AdaptiveCard',
          version: '1.4',
          body: [
            { type: 'TextBlock', text: heading, wrap: true, weight: 'bolder', size: 'medium' },
            { type: 'TextBlock', text, wrap: true, color },
          ],
        },
      },
    ],
  });
  const usual = 'thingspace-rotator on ops-1';
  const gone = 'Unrecoverable: fleet-east: lost\n\nStore the correct password.';

  expect(await storyIn('teams')).toEqual([
    card(
      usual,
      'Suspended: fleet-east: Rejected \\[once\\]\\(https://x.example\\) <!here>.\n\n' +
        'Store the correct password.',
      'attention',
    ),
    card(usual, 'Acknowledged: fleet-east: Acknowledged by ops: INC-77', 'attention'),
    card(usual, gone, 'attention'),
    card('Open problems on ops-1: 1', gone, 'attention'),
    card(usual, 'Resolved: fleet-east: Outcome: rotated.', 'good'),
    card(usual, 'Healthy: No problems.', 'default'),
  ]);
});

test('each receiver gets the problems of its severity and kinds, and their ends', async () => {
  const [chat, pager, audit] = [await webhook(), await webhook(), await webhook()];
  const sender = notifier('', {
    receivers: [
      receiver(chat.url, { name: 'chat' }),
      receiver(pager.url, { name: 'pager', minSeverity: 'critical' }),
      receiver(audit.url, { name: 'audit', kinds: ['audit-failed', 'overdue'] }),
    ],
  });
  const all: Problem[] = [
    stopped,
    { ...about('fleet-west'), kind: 'failing' },
    { ...about('lab'), kind: 'overdue' },
  ];

  for (const problem of all) sender.report(problem);
  await until(sender.clock, () => sender.counts.delivered === 9);
  // Not true yet.
  sender.confirm('No problems.');
  for (const { subject } of all) sender.resolve(subject, 'Over.');
  await until(sender.clock, () => sender.counts.delivered === 18);
  sender.confirm('No problems.');
  await until(sender.clock, () => sender.counts.delivered === 19);

  expect([chat, pager, audit].map(({ received }) => kindsIn(received))).toEqual([
    [...all.map(({ kind }) => kind), 'resolved', 'resolved', 'resolved', 'all-is-well'],
    ['stopped', 'resolved'],
    ['overdue', 'resolved'],
  ]);
});

test('a journal that was cut off at any byte has what is complete, and goes on', async () => {
  const file = journal();
  const clock = openClock();
  const open = () => openJournal({ file, clock, onFailure: () => {} });
  const writing = open();
  const lineOf = (account: string) => ({
    message: {
      id: `msg_${account}`,
      atMs: 1,
      isDigest: false,
      to: ['chat'],
      alerts: [{ ...about(account), id: account, severity: 'critical' as const, sinceMs: 1 }],
    },
  });
  for (const account of ['a', 'b']) await writing.append(lineOf(account));
  const bytes = readFileSync(file);
  const first = bytes.indexOf(0x0a);

  for (let cut = 0; cut < bytes.length; cut += 5) {
    writeFileSync(file, bytes.subarray(0, cut));
    const next = open();
    await next.catchUp();
    await next.append(lineOf('c'));
    const after = open();
    await after.catchUp();

    const complete = [first, bytes.length - 1].filter((end) => cut >= end).length;
    const expected = [...['a', 'b'].slice(0, complete), 'c'];
    expect([cut, [...after.state.problems.keys()]]).toEqual([cut, expected]);
    expect([...after.state.messages.keys()]).toEqual(expected.map((account) => `msg_${account}`));
  }
});
