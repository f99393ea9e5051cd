// What the ThingSpace client knows when a response breaks off. No secret is in anything that it
// returns or throws.

import type { Socket } from 'node:net';
import { inspect } from 'node:util';
import { bodyLimitBytes } from '../../src/thingspace/http.ts';
import { limitMs } from '../harness/limits.mjs';
import {
  http,
  openClient,
  openRawServer,
  openResetServer,
  plantedClientSecret,
  plantedPassword,
  type RawServer,
  sessionOf,
  textOf,
  textsOf,
  tokenAnswer,
} from '../harness/thingspace-wire.ts';

/** A timeout that a test waits for. */
const shortMs = limitMs(250);
const opened: { close(): unknown }[] = [];

afterEach(async () => {
  for (const each of opened.splice(0).reverse()) await each.close();
});

function closing<T extends { close(): unknown }>(value: T): T {
  opened.push(value);
  return value;
}

const resets = (server: RawServer) =>
  server.seen.filter(({ line }) => line.includes('/reset')).length;

const chunked = (body: string) =>
  `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${[...body]
    .map((each) => `1\r\n${each}\r\n`)
    .join('')}0\r\n\r\n`;

test.each([
  ['a content length', http(200, '{"newPassword":"Wh0a1545a84d"}')],
  ['chunks', chunked('{"newPassword":"Wh0a1545a84d"}')],
])(
  'a reset response with %s, cut at any byte, is in doubt and keeps the received bytes',
  async (_, complete) => {
    const headEnd = complete.indexOf('\r\n\r\n') + 4;
    const body = '{"newPassword":"Wh0a1545a84d"}';
    let cutAt = 0;
    const server = closing(await openResetServer(() => complete.slice(0, cutAt)));
    const thingspace = closing(openClient(server.baseUrl));
    const bodyBytesAt = (at: number) => {
      if (complete.includes('chunked'))
        return [...complete.slice(headEnd, at).matchAll(/1\r\n(.)/g)]
          .map(([, each]) => each)
          .join('');
      return complete.slice(headEnd, at);
    };

    for (cutAt = 0; cutAt < complete.length; cutAt += 1) {
      const answer = await thingspace.reset(sessionOf());

      const expected = bodyBytesAt(cutAt);
      expect({
        cutAt,
        reset: answer.reset,
        body: 'body' in answer ? textOf(answer.body) : undefined,
      }).toEqual({
        cutAt,
        reset: 'in-doubt',
        body: expected === '' ? undefined : expected,
      });
    }

    const answer = await thingspace.reset(sessionOf());
    expect('body' in answer && textOf(answer.body)).toBe(body);
    expect(answer.reset).toBe('answered');
    expect(resets(server)).toBe(complete.length + 1);
  },
);

test('a reset response that stalls is in doubt and keeps the received bytes', async () => {
  const server = closing(
    await openResetServer((_seen, _nth, socket) => {
      socket.write(http(200, '{"newPassword":"x"}').slice(0, -1));
      return undefined;
    }),
  );

  const answer = await closing(openClient(server.baseUrl, { resetTimeoutMs: shortMs })).reset(
    sessionOf(),
  );

  expect('body' in answer && textOf(answer.body)).toBe('{"newPassword":"x"');
  expect(answer).toMatchObject({
    reset: 'in-doubt',
    detail: `reset: HTTP 200, no complete response within ${shortMs} ms`,
  });
});

test('an endless reset response is in doubt and keeps its first mebibyte', async () => {
  const flood = Buffer.alloc(65536, 'x');
  const pour = (socket: Socket): void => {
    while (!socket.destroyed && socket.write(flood));
    socket.once('drain', () => pour(socket));
  };
  const server = closing(
    await openResetServer((_seen, _nth, socket) => {
      socket.write('HTTP/1.1 200 OK\r\n\r\n');
      pour(socket);
      return undefined;
    }),
  );

  const answer = await closing(openClient(server.baseUrl)).reset(sessionOf());

  expect(answer).toMatchObject({
    reset: 'in-doubt',
    detail: `reset: HTTP 200, the body has more than ${bodyLimitBytes} bytes`,
  });
  expect('body' in answer && answer.body?.reveal().length).toBe(1_048_576);
});

test('a reset response of one mebibyte is complete', async () => {
  const body = Array.from({ length: 131_072 }, (_, index) => `${index} `.padStart(8)).join('');
  const server = closing(await openResetServer(() => http(200, body)));

  const answer = await closing(openClient(server.baseUrl)).reset(sessionOf());

  expect(answer.reset === 'answered' && textOf(answer.body) === body).toBe(true);
});

test('an upgrade to another protocol is no response, and ends at the timeout', async () => {
  const server = closing(
    await openResetServer((_seen, _nth, socket) => {
      socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n');
      return undefined;
    }),
  );

  const answer = await closing(openClient(server.baseUrl, { resetTimeoutMs: shortMs })).reset(
    sessionOf(),
  );

  expect(answer).toEqual({
    reset: 'in-doubt',
    detail: `reset: no complete response within ${shortMs} ms`,
  });
});

test('an error page that contains a new password is kept; any other is not', async () => {
  let page = '';
  const server = closing(await openResetServer(() => http(500, page)));
  const thingspace = closing(openClient(server.baseUrl));
  const bodies = [];

  for (page of ['{"newPassword":"x"}', '<html>oops</html>']) {
    const answer = await thingspace.reset(sessionOf());
    bodies.push('body' in answer ? textOf(answer.body) : undefined);
  }

  expect(bodies).toEqual(['{"newPassword":"x"}', undefined]);
});

// Every secret of the test, and every way in which a response can repeat one.
const planted = [
  plantedPassword,
  plantedClientSecret,
  Buffer.from(`app-key:${plantedClientSecret}`).toString('base64'),
  'planted-api-token-3',
  'planted-session-token-4',
  'planted-new-password-5',
];
const echo = planted.join(' ');
const echoes: [string, (call: string) => string][] = [
  ['503', () => http(503, echo)],
  [
    'redirect',
    () => http(307, '', { Location: `https://elsewhere.example/${encodeURIComponent(echo)}` }),
  ],
  [
    'application error',
    () => http(400, JSON.stringify({ errorCode: `S.REQUEST_FAILED.X`, errorMessage: echo })),
  ],
  [
    'application code',
    () => http(400, JSON.stringify({ errorCode: `S.REQUEST_FAILED.${echo}`, errorMessage: echo })),
  ],
  [
    'gateway fault',
    () => http(401, JSON.stringify({ fault: { code: 900901, message: echo, description: echo } })),
  ],
  ['gateway fault code', () => http(401, JSON.stringify({ fault: { code: echo, message: echo } }))],
  [
    'OAuth error',
    () => http(401, JSON.stringify({ error: 'invalid_token', error_description: echo })),
  ],
  ['OAuth code', () => http(401, JSON.stringify({ error: echo }))],
  ['throttled', () => http(429, echo)],
  ['status text', () => `HTTP/1.1 500 ${echo}\r\nContent-Length: 0\r\n\r\n`],
  ['bad header', () => `HTTP/1.1 200 OK\r\n${echo}\r\n\r\n`],
  ['garbage', () => echo],
  ['not JSON', () => http(200, `{"newPassword": ${echo}`)],
  [
    'wrong type',
    () =>
      http(
        200,
        JSON.stringify({ newPassword: [echo], sessionToken: [echo], access_token: [echo] }),
      ),
  ],
  [
    'control characters',
    () =>
      http(
        200,
        JSON.stringify({ newPassword: '', sessionToken: `${echo}\n`, access_token: `${echo}\n` }),
      ),
  ],
  ['cut answer', () => http(200, JSON.stringify({ newPassword: echo })).slice(0, -3)],
  ['an answer', () => http(200, JSON.stringify({ newPassword: 'planted-new-password-5' }))],
  ['cut connection', () => ''],
];

test.each(echoes)('no returned or thrown value shows a secret: %s', async (_name, hostile) => {
  const token = http(200, '{"access_token":"planted-api-token-3"}');
  const server = closing(
    await openRawServer((seen) => (seen.line.includes('/token') ? token : hostile(seen.line))),
  );
  const hostileTokens = closing(await openRawServer((seen) => hostile(seen.line)));
  const thingspace = closing(openClient(server.baseUrl));
  const session = sessionOf('planted-session-token-4');
  const results: unknown[] = [];

  results.push(
    await thingspace.login(session.credentials),
    await thingspace.reset(session),
    await thingspace.endSession(session),
  );
  const reset = results[1] as Awaited<ReturnType<typeof thingspace.reset>>;
  if ('body' in reset && reset.body) results.push(thingspace.readNewPassword(reset.body));
  const tokenless = closing(openClient(hostileTokens.baseUrl));
  results.push(await tokenless.authorize(session.credentials).catch((error: unknown) => error));
  results.push(
    await tokenless.login(session.credentials),
    await tokenless.reset(session),
    thingspace,
    session,
  );

  const texts = results.map(textsOf).join('\n');
  expect(planted.filter((secret) => texts.includes(secret))).toEqual([]);
  expect(texts).not.toMatch(/RequestError|HTTPError|TimeoutError|got/);
});

test('no value shows a secret when there is no server', async () => {
  const thingspace = closing(openClient('http://127.0.0.1:1/api'));
  const session = sessionOf('planted-session-token-4');

  const results = [
    await thingspace.authorize(session.credentials).catch((error: unknown) => error),
    await thingspace.login(session.credentials),
    await thingspace.reset(session),
  ];

  const texts = results.map(textsOf).join('\n');
  expect(planted.filter((secret) => texts.includes(secret))).toEqual([]);
  expect(texts).toContain('ECONNREFUSED');
});

test('an error code is cut to 100 safe characters, and hidden if it repeats a secret', async () => {
  const codes = [
    `REQUEST_FAILED.\u001b[31m<é>`,
    `REQUEST_FAILED.${'x'.repeat(500)}`,
    `REQUEST_FAILED.${plantedPassword}`,
    'Odd.Code',
  ];
  let code = '';
  const server = closing(
    await openRawServer((seen) =>
      seen.line.includes('/token')
        ? tokenAnswer
        : http(400, JSON.stringify({ errorCode: `S.${code}` })),
    ),
  );
  const thingspace = closing(openClient(server.baseUrl));

  const details = [];
  for (code of codes) details.push(await thingspace.reset(sessionOf()));

  const refused = (shown: string) => ({
    reset: 'refused',
    because: 'code',
    detail: `reset: HTTP 400, ${shown}`,
  });
  expect(details).toEqual([
    refused('REQUEST_FAILED.??31m???'),
    refused(`REQUEST_FAILED.${'x'.repeat(85)}`),
    refused('a code that repeats a secret'),
    refused('S.Odd.Code'),
  ]);
  expect(inspect(details)).not.toContain(plantedPassword);
});
