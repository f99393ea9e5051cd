// Each ThingSpace request has its own connection, which may be opened before the request is ready.

import { once } from 'node:events';
import { type AddressInfo, createServer, Socket } from 'node:net';
import { Worker } from 'node:worker_threads';
import { openClock } from '../../src/clock.ts';
import { sentenceFor } from '../../src/thingspace/connections.ts';
import { type Http, openHttp } from '../../src/thingspace/http.ts';
import { limitMs } from '../harness/limits.mjs';
import {
  credentialsOf,
  http,
  loginAnswer,
  openClient,
  plantedPassword,
  sessionOf,
  tokenAnswer,
} from '../harness/thingspace-wire.ts';

/** A limit that a test waits for. */
const shortMs = limitMs(100);
const opened: { close(): unknown }[] = [];

afterEach(async () => {
  for (const each of opened.splice(0).reverse()) await each.close();
});

function closing<T extends { close(): unknown }>(value: T): T {
  opened.push(value);
  return value;
}

type Recorder = {
  readonly url: URL;
  /** What each connection has carried, in the order of the connections. */
  readonly received: string[];
  readonly sockets: Socket[];
  /** Resolves when this many connections were accepted. */
  accepted(count: number): Promise<void>;
  close(): Promise<void>;
};

/**
 * Records every byte. Answers each request with success; `onConnection` may do something else
 * first.
 */
async function openRecorder(onConnection: (socket: Socket, nth: number) => void = () => {}) {
  const received: string[] = [];
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    const index = sockets.push(socket) - 1;
    received.push('');
    socket.on('error', () => undefined);
    socket.on('data', (chunk) => {
      received[index] += chunk.toString();
      const text = received[index] ?? '';
      if (text.includes('/oauth2/token')) socket.end(tokenAnswer);
      else socket.end(text.includes('/session/login') ? loginAnswer : http(200, '{}'));
    });
    onConnection(socket, index + 1);
    server.emit('accepted');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const recorder: Recorder = {
    url: new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}/api`),
    received,
    sockets,
    async accepted(count) {
      while (sockets.length < count) await once(server, 'accepted');
    },
    async close() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
  return closing(recorder);
}

const openPool = (
  url: URL,
  options: { unusedLimitMs?: number; clock?: Parameters<typeof openHttp>[0]['clock'] } = {},
): Http =>
  closing(openHttp({ url, connectTimeoutMs: limitMs(5000), clock: openClock(), ...options }));

const put = (mayStillSend?: () => string | null) => ({
  method: 'PUT' as const,
  path: '/reset',
  headers: {},
  body: plantedPassword,
  timeoutMs: limitMs(5000),
  mayStillSend,
});

test('a call takes a connection opened ahead, and no connection carries two requests', async () => {
  const server = await openRecorder();
  const pool = openPool(server.url);

  pool.connectAhead();
  await server.accepted(1);
  const before = server.sockets.length;
  const answers = [await pool.send(put()), await pool.send(put())];

  expect([before, server.sockets.length]).toEqual([1, 2]);
  expect(answers.map(({ ended }) => ended)).toEqual(['complete', 'complete']);
  expect(server.received.map((text) => text.match(/PUT /g)?.length)).toEqual([1, 1]);
});

test('two calls at once do not share the connection that was opened ahead', async () => {
  const server = await openRecorder();
  const pool = openPool(server.url);
  pool.connectAhead();
  await server.accepted(1);

  await Promise.all([pool.send(put()), pool.send(put())]);

  expect(server.received.map((text) => text.match(/PUT /g)?.length)).toEqual([1, 1]);
});

test('only a connection that a call uses keeps the process running', async () => {
  const server = await openRecorder();
  const pool = openPool(server.url);
  const { ref, unref } = Socket.prototype;
  closing({ close: () => Object.assign(Socket.prototype, { ref, unref }) });
  const calls: string[] = [];
  const spyOn = (name: string) => ({
    [name](this: Socket) {
      calls.push(name);
      return this;
    },
  });
  Object.assign(Socket.prototype, spyOn('ref'), spyOn('unref'));

  pool.connectAhead();
  calls.push('taken');
  await pool.send(put());

  expect(calls).toEqual(['unref', 'taken', 'ref']);
});

test('a call takes a connection that is still being opened', async () => {
  const server = await openRecorder();
  const pool = openPool(server.url);

  pool.connectAhead();
  await pool.send(put());

  expect(server.sockets.length).toBe(1);
});

test.each(['opened ahead', 'opened by the call'])(
  'when the last check refuses, nothing is sent over a connection that was %s',
  async (how) => {
    const server = await openRecorder();
    let elapsed = false;
    let checks = 0;
    // The connection is established for a while before the check, as in a process that was paused.
    const clock = openClock();
    const sleep = async (): Promise<void> => {
      await clock.sleep(100);
      elapsed = true;
    };
    const pool = openPool(server.url, { clock: { ...clock, sleep } });
    if (how === 'opened ahead') {
      pool.connectAhead();
      await server.accepted(1);
    }

    const answer = await pool.send(
      put(() => {
        checks += 1;
        return 'the process was paused';
      }),
    );
    await server.accepted(1);
    const ended = new Promise((resolve) => server.sockets[0]?.once('close', resolve));
    await ended;

    expect(answer).toEqual({ ended: 'not-sent', why: 'the process was paused' });
    expect([server.received, checks]).toEqual([[''], 1]);
    expect(elapsed).toBe(how === 'opened ahead');
  },
);

test('nothing else runs between the last check and the first byte', async () => {
  const server = await openRecorder();
  const pool = openPool(server.url);
  const order: string[] = [];
  const { write } = Socket.prototype;
  closing({ close: () => Reflect.deleteProperty(Socket.prototype, 'write') });
  Socket.prototype.write = function (this: Socket, ...args: unknown[]) {
    if (this.remotePort === Number(server.url.port)) order.push('write');
    return Reflect.apply(write, this, args);
  } as typeof write;

  await pool.send(
    put(() => {
      order.push('check');
      process.nextTick(() => order.push('later'));
      return null;
    }),
  );

  expect(order.slice(0, 2)).toEqual(['check', 'write']);
  expect(order.at(-1)).toBe('later');
});

test('a login and a reset that the check refuses are not sent', async () => {
  const server = await openRecorder();
  const client = closing(openClient(server.url.href));
  await client.authorize(credentialsOf());

  const login = await client.login(credentialsOf(), () => 'the lease has ended');
  const reset = await client.reset(sessionOf(), () => 'the lease has ended');

  expect(login).toEqual({ login: 'not-sent', detail: 'login: not sent, the lease has ended' });
  expect(reset).toEqual({ reset: 'not-sent', detail: 'reset: not sent, the lease has ended' });
  expect(server.received.slice(1)).toEqual(['', '']);
});

test('the check is made after the API token was requested', async () => {
  const server = await openRecorder();
  const client = closing(openClient(server.url.href));
  let requestsBefore: string[] = [];

  await client.reset(sessionOf(), () => {
    requestsBefore = server.received.map((text) => text.split(' ')[1] ?? '');
    return null;
  });

  expect(requestsBefore.filter((path) => path !== '')).toEqual(['/api/ts/v1/oauth2/token']);
  expect(server.received.length).toBe(2);
});

test.each<[string, (socket: Socket) => void]>([
  ['closed', (socket) => void socket.end()],
  ['reset', (socket) => void socket.resetAndDestroy()],
  ['answered without a request', (socket) => void socket.write('HTTP/1.0 408 Timeout\r\n\r\n')],
])('a connection that the server %s before its use is replaced', async (_, spoil) => {
  const server = await openRecorder((socket, nth) => {
    if (nth === 1) spoil(socket);
  });
  const pool = openPool(server.url);
  pool.connectAhead();
  await server.accepted(1);

  const answer = await pool.send(put());

  expect(answer).toMatchObject({ ended: 'complete', status: 200 });
  expect([server.sockets.length, server.received[0]]).toEqual([2, '']);
});

test('a close that arrived while the process was paused is noticed before a use', async () => {
  // A server in another thread, so that it closes while this thread is blocked: 1 when this thread
  // blocks, 2 when the socket is closed.
  const progress = new Int32Array(new SharedArrayBuffer(4));
  const worker = new Worker(
    `const { createServer } = require('node:net');
     const { parentPort, workerData } = require('node:worker_threads');
     let count = 0;
     const server = createServer((socket) => {
       count += 1;
       socket.on('error', () => undefined);
       if (count > 1) {
         socket.on('data', () => socket.end('HTTP/1.1 204 No Content\\r\\n\\r\\n'));
         return;
       }
       parentPort.postMessage('accepted');
       Atomics.wait(workerData, 0, 0);
       socket.once('close', () => {
         Atomics.store(workerData, 0, 2);
         Atomics.notify(workerData, 0);
       });
       socket.destroy();
     });
     server.listen(0, '127.0.0.1', () => parentPort.postMessage(server.address().port));`,
    { eval: true, workerData: progress },
  );
  closing({ close: () => worker.terminate() });
  const [port] = await once(worker, 'message');
  const pool = openPool(new URL(`http://127.0.0.1:${port}/`));
  pool.connectAhead();
  await once(worker, 'message');

  Atomics.store(progress, 0, 1);
  Atomics.notify(progress, 0);
  Atomics.wait(progress, 0, 1);
  const answer = await pool.send(put());

  expect(answer).toMatchObject({ ended: 'complete', status: 204 });
});

test('a connection that no call takes is closed, and an old one is never used', async () => {
  const server = await openRecorder();
  let monotonicMs = 3_000;
  const clock = { ...openClock(), monotonicMs: () => monotonicMs };
  const impatient = openPool(server.url, { unusedLimitMs: 20 });
  const paused = openPool(server.url, { clock });

  impatient.connectAhead();
  await server.accepted(1);
  await once(server.sockets[0] as Socket, 'close');
  paused.connectAhead();
  await server.accepted(2);
  await openClock().sleep(0);
  const closed = once(server.sockets[1] as Socket, 'close');
  monotonicMs = 8_000;
  const answer = await paused.send(put());
  await closed;
  paused.connectAhead();
  await server.accepted(4);
  await openClock().sleep(0);
  monotonicMs = 12_999;
  const young = await paused.send(put());

  expect([answer, young]).toMatchObject(Array(2).fill({ ended: 'complete' }));
  expect(server.received.map((text) => text !== '')).toEqual([false, false, true, true]);
});

test('a response may come after the limits for connecting and for unused connections', async () => {
  const server = await openRecorder((socket) => {
    socket.removeAllListeners('data').once('data', () => {
      AbortSignal.timeout(4 * shortMs).onabort = () => socket.end(http(200, '{}'));
    });
  });
  const limits = { connectTimeoutMs: shortMs, unusedLimitMs: shortMs };
  const pool = closing(openHttp({ url: server.url, clock: openClock(), ...limits }));

  const answer = await pool.send(put());

  expect(answer).toMatchObject({ ended: 'complete', status: 200 });
});

test('a connection that takes too long is closed, also when no call waits for it', async () => {
  // The server does not answer the TLS handshake.
  const server = await openRecorder((socket) => socket.removeAllListeners('data').resume());
  const url = new URL(server.url.href.replace('http:', 'https:'));
  const open = (connectTimeoutMs: number) =>
    closing(openHttp({ url, clock: openClock(), connectTimeoutMs }));
  const closed = async (index: number) => {
    await server.accepted(index + 1);
    await once(server.sockets[index] as Socket, 'close');
  };

  const answer = await open(limitMs(5000)).send({ ...put(), timeoutMs: shortMs });
  await closed(0);
  open(shortMs).connectAhead();
  await closed(1);

  const why = 'no connection before the time limit of the request';
  expect(answer).toEqual({ ended: 'not-sent', why });
});

test('connections that the server closed are not counted as unused', async () => {
  const server = await openRecorder((socket, nth) => void (nth <= 64 && socket.destroy()));
  const pool = openPool(server.url);
  for (let times = 0; times < 64; times += 1) pool.connectAhead();
  await server.accepted(64);

  // The client sees each close a little later.
  while (server.sockets.length === 64) {
    pool.connectAhead();
    await openClock().sleep(1);
  }

  expect(await pool.send(put())).toMatchObject({ ended: 'complete' });
});

test('a client that is closed opens no connection', async () => {
  const server = await openRecorder();
  const pool = openPool(server.url);

  pool.close();
  pool.connectAhead();
  await openPool(server.url).send(put());

  expect(server.sockets.length).toBe(1);
});

test.each([
  ['http://ts.example/api', { host: 'ts.example', port: 80 }],
  ['http://[::1]:8080/', { host: '::1', port: 8080 }],
  ['https://ts.example/api', { host: 'ts.example', port: 443, servername: 'ts.example' }],
  ['https://127.0.0.1:8443/', { host: '127.0.0.1', port: 8443, servername: '' }],
  ['https://[::1]/', { host: '::1', port: 443, servername: '' }],
])('a connection for %s has the address and the options of its URL', async (href, address) => {
  const isSecure = href.startsWith('https:');
  const { connect, setNoDelay } = Socket.prototype;
  closing({ close: () => Object.assign(Socket.prototype, { connect, setNoDelay }) });
  const seen: unknown[] = [];
  Object.assign(Socket.prototype, {
    connect(this: Socket, ...args: unknown[]) {
      const [{ host, port, ...others }] = args.flat() as [Record<string, unknown>];
      const { servername, ALPNProtocols, rejectUnauthorized, noDelay } = others;
      seen.push({ host, port, servername, ALPNProtocols, rejectUnauthorized, noDelay });
      setImmediate(() => this.destroy());
      return this;
    },
    setNoDelay(this: Socket, isOn: boolean) {
      seen.push({ isOn });
      return this;
    },
  });

  const answer = await openPool(new URL(href)).send(put());

  expect(answer).toEqual({ ended: 'not-sent', why: 'the connection failed' });
  const tls = { ALPNProtocols: ['http/1.1'], rejectUnauthorized: true };
  expect(seen).toEqual(
    isSecure ? [{ ...address, ...tls }, { isOn: true }] : [{ ...address, noDelay: true }],
  );
});

test('of an error only the code of Node or OpenSSL is repeated', () => {
  const codes = ['ECONNRESET', 'ERR_SSL_TLS/13', 'EX', 'A'.repeat(61), 'A'.repeat(62)].concat([
    'E',
    'Eplanted',
    ' EPIPE',
    '1EPIPE',
  ]);

  const sentences = [...codes.map((code) => ({ code })), {}, new Error('planted')].map(sentenceFor);

  const failed = 'the connection failed';
  expect(sentences).toEqual([
    ...codes.slice(0, 4).map((code) => `${failed} (${code})`),
    ...Array(7).fill(failed),
  ]);
});

test('opening ahead never throws, is limited, and ends with the client', async () => {
  const server = await openRecorder();
  const pool = openPool(server.url);
  const unreachable = openPool(new URL('http://127.0.0.1:1/'));

  unreachable.connectAhead();
  for (let times = 0; times < 100; times += 1) pool.connectAhead();
  await server.accepted(64);
  pool.close();
  pool.connectAhead();

  expect(await unreachable.send(put())).toEqual({
    ended: 'not-sent',
    why: 'the connection failed (ECONNREFUSED)',
  });
  expect(await pool.send(put())).toEqual({ ended: 'not-sent', why: 'the client is closed' });
  expect(server.sockets.length).toBe(64);
});

test('a failure before the first byte is not sent, and one after it is in doubt', async () => {
  const server = await openRecorder((socket, nth) => {
    if (nth === 2) socket.prependListener('data', () => socket.resetAndDestroy());
  });
  const client = closing(openClient(server.url.href));
  await client.authorize(credentialsOf());

  const inDoubt = await client.reset(sessionOf());
  await server.close();
  const notSent = await client.reset(sessionOf());

  expect(inDoubt).toEqual({
    reset: 'in-doubt',
    detail: 'reset: the connection failed (ECONNRESET)',
  });
  expect(notSent).toEqual({
    reset: 'not-sent',
    detail: 'reset: not sent, the connection failed (ECONNREFUSED)',
  });
});
