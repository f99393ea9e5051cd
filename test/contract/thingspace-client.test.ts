// The ThingSpace client against the simulator and, for responses that the simulator never sends, a
// raw server.

import type { AddressInfo, Socket } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import { openClock } from '../../src/clock.ts';
import type { Failure } from '../../src/rotation/failure.ts';
import type { LoginAnswer, ResetAnswer } from '../../src/rotation/ports.ts';
import { Secret } from '../../src/secret.ts';
import {
  openThingSpaceSimulator,
  type ThingSpaceSimulator,
  type ThingSpaceSimulatorOptions,
} from '../../src/simulator/thingspace.ts';
import { openHttp } from '../../src/thingspace/http.ts';
import { limitMs } from '../harness/limits.mjs';
import {
  credentialsOf,
  http,
  loginAnswer,
  openClient,
  openRawServer,
  openResetServer,
  plantedClientSecret,
  plantedPassword,
  sessionOf,
  textOf,
  tokenAnswer,
} from '../harness/thingspace-wire.ts';

/** A timeout that a test waits for. */
const shortMs = limitMs(250);
const opened: { close(): unknown }[] = [];

afterEach(async () => {
  for (const each of opened.splice(0).reverse()) await each.close();
});

/** Closed after the test. */
function closing<T extends { close(): unknown }>(value: T): T {
  opened.push(value);
  return value;
}

async function simulate(options: ThingSpaceSimulatorOptions = {}): Promise<ThingSpaceSimulator> {
  const application = { clientId: 'app-key', clientSecret: plantedClientSecret };
  const users = ['uws-user', 'second-user'].map((username) => ({
    username,
    password: plantedPassword,
  }));
  return closing(await openThingSpaceSimulator({ users, applications: [application], ...options }));
}

const client = (baseUrl: string, timeouts?: Parameters<typeof openClient>[1]) =>
  closing(openClient(baseUrl, timeouts));

/** The answers with their secrets in plain text, to compare complete values. */
const plainReset = (answer: ResetAnswer) =>
  'body' in answer ? { ...answer, body: textOf(answer.body) } : answer;
const plainLogin = (answer: LoginAnswer) =>
  answer.login === 'accepted'
    ? { ...answer, session: answer.session.sessionToken.reveal() }
    : answer;

async function loggedIn(
  thingspace: ReturnType<typeof openClient>,
  username = 'uws-user',
  password = plantedPassword,
) {
  const answer = await thingspace.login(credentialsOf(username, password));
  if (answer.login !== 'accepted') throw new Error(`the test needs a session: ${answer.detail}`);
  return answer.session;
}

const count = (simulator: ThingSpaceSimulator, call: string) =>
  simulator.requests.filter((line) => line.call === call).length;

test('a password is reset, the new one is accepted, and both sessions are ended', async () => {
  const simulator = await simulate();
  const thingspace = client(simulator.baseUrl);
  await thingspace.authorize(credentialsOf());
  const session = await loggedIn(thingspace);

  const answer = await thingspace.reset(session);
  const newPassword = answer.reset === 'answered' ? thingspace.readNewPassword(answer.body) : null;
  const second = await loggedIn(thingspace, 'uws-user', newPassword?.reveal());
  await Promise.all([thingspace.endSession(session), thingspace.endSession(second)]);

  expect(newPassword?.reveal()).toBe(simulator.livePassword('uws-user'));
  expect(newPassword?.reveal()).not.toBe(plantedPassword);
  expect(simulator.openSessions('uws-user')).toBe(0);
  expect(simulator.requests.map(({ call, status }) => `${call} ${status}`)).toEqual([
    'token 200',
    'login 200',
    'reset 200',
    'login 200',
    'logout 200',
    'logout 200',
  ]);
});

test('the four requests are exactly the documented ones', async () => {
  const server = closing(await openResetServer(() => http(200, '{}')));
  const thingspace = client(`${server.baseUrl}/`);
  const session = await loggedIn(thingspace);

  await thingspace.reset(session);
  await thingspace.endSession(session);

  const common = {
    accept: 'application/json',
    'accept-encoding': 'identity',
    connection: 'close',
    host: `127.0.0.1:${server.port}`,
    'user-agent': 'thingspace-rotator',
  };
  const bearer = { ...common, authorization: 'Bearer api-token-1' };
  const withSession = { ...bearer, 'vz-m2m-token': '5e551011-0000-4000-8000-000000000000' };
  const basic = Buffer.from(`app-key:${plantedClientSecret}`).toString('base64');
  expect(server.seen).toEqual([
    {
      line: 'POST /api/ts/v1/oauth2/token HTTP/1.1',
      headers: {
        ...common,
        authorization: `Basic ${basic}`,
        'content-type': 'application/x-www-form-urlencoded',
        'content-length': '29',
      },
      body: 'grant_type=client_credentials',
    },
    {
      line: 'POST /api/m2m/v1/session/login HTTP/1.1',
      headers: { ...bearer, 'content-type': 'application/json', 'content-length': '56' },
      body: `{"username":"uws-user","password":"${plantedPassword}"}`,
    },
    {
      line: 'PUT /api/m2m/v1/session/password/actions/reset HTTP/1.1',
      headers: { ...withSession, 'content-type': 'application/json', 'content-length': '37' },
      body: `{"oldPassword":"${plantedPassword}"}`,
    },
    {
      line: 'POST /api/m2m/v1/session/logout HTTP/1.1',
      headers: { ...withSession, 'content-length': '0' },
      body: '',
    },
  ]);
});

test.each([
  'ftp://thingspace.example/api',
  'thingspace.example',
  'https://user:word@thingspace.example/api',
  'https://thingspace.example/?a=b',
])('the base URL %s is not used', (baseUrl) => {
  expect(() => openClient(baseUrl)).toThrow(
    'the ThingSpace base URL must be http or https, without user, query or fragment',
  );
});

test('accounts with one application key share one token request, also concurrently', async () => {
  const simulator = await simulate();
  const thingspace = client(simulator.baseUrl);

  await Promise.all([
    thingspace.authorize(credentialsOf('uws-user')),
    loggedIn(thingspace),
    loggedIn(thingspace, 'second-user'),
  ]);

  expect(count(simulator, 'token')).toBe(1);
});

test('application keys with the same id and different secrets do not share a token', async () => {
  const simulator = await simulate();
  const thingspace = client(simulator.baseUrl);
  await thingspace.authorize(credentialsOf());

  const other = thingspace.authorize({ ...credentialsOf(), clientSecret: new Secret('another') });

  await expect(other).rejects.toMatchObject({
    reason: 'api-key-refused',
    message: 'token: HTTP 401, invalid_client',
  });
});

test.each([
  // What the server says of the lifetime, and for how long the token is kept.
  ['', 3_540_000],
  [',"expires_in":"60"', 3_540_000],
  [',"expires_in":0', 3_540_000],
  [',"expires_in":-1', 3_540_000],
  [',"expires_in":3600', 3_540_000],
  [',"expires_in":120', 60_000],
  [',"expires_in":61', 1_000],
  [',"expires_in":30', 0],
  [',"expires_in":1', 0],
])('a token with the lifetime %p is kept until one minute before its end', async (life, keptMs) => {
  const server = closing(await openRawServer(() => http(200, `{"access_token":"t"${life}}`)));
  const thingspace = client(server.baseUrl);
  const counts: number[] = [];

  await thingspace.authorize(credentialsOf());
  for (const ms of [Math.max(0, keptMs - 1), 1]) {
    thingspace.advance(ms);
    await thingspace.authorize(credentialsOf());
    counts.push(server.seen.length);
  }

  expect(counts).toEqual(keptMs === 0 ? [2, 3] : [1, 2]);
});

const wrongKey = 'api-key-refused';
const noToken = 'api-unavailable';

test.each<[string, number, string, string, string?]>([
  // body, status, reason, what follows the status, cause
  ['{"error":"invalid_client","error_description":"secret"}', 401, wrongKey, ', invalid_client'],
  ['{"error":"unauthorized_client"}', 400, wrongKey, ', unauthorized_client'],
  ['{"error":"invalid_client"}', 403, wrongKey, ', invalid_client'],
  ['{"fault":{"code":"900902"}}', 401, wrongKey, ', 900902'],
  ['{"fault":{"code":900906}}', 400, wrongKey, ', 900906', 'base-url'],
  ['{"fault":{"code":900906}}', 404, noToken, ', 900906', 'base-url'],
  ['{"errorCode":"900906"}', 400, noToken, ', 900906'],
  ['{"errorCode":"900803"}', 500, noToken, ', 900803'],
  ['{"errorCode":"900803"}', 401, wrongKey, ', 900803'],
  ['', 401, wrongKey, ''],
  ['<html>', 400, noToken, ''],
  ['{"fault":{"code":900800}}', 429, noToken, ', 900800', 'throttled'],
  ['{"error":"invalid_client"}', 429, noToken, ', invalid_client', 'throttled'],
  ['{"fault":{"code":900803}}', 403, noToken, ', 900803', 'throttled'],
  ['oops', 503, noToken, ''],
  ['{"access_token":"t"}', 300, noToken, ''],
  ['{"access_token":"t"}', 99, noToken, ''],
  ['{"token":"x"}', 200, noToken, ' without a usable access_token'],
  ['[]', 299, noToken, ' without a usable access_token'],
  ['{"access_token":"a\\r\\nb"}', 200, noToken, ' without a usable access_token'],
])(
  'a failed token request is sent once and reported in one sentence: %s with HTTP %d',
  async (...[body, status, reason, shown, cause]) => {
    const server = closing(await openRawServer(() => http(status, body, { Location: '/x' })));

    const failing = client(server.baseUrl).authorize(credentialsOf());

    const failure = await failing.catch((error: unknown) => error);
    const { host } = new URL(server.baseUrl);
    expect({ ...(failure as Failure), message: (failure as Failure).message }).toEqual({
      name: 'Failure',
      reason,
      message: `token: HTTP ${status}${shown}`,
      facts: { host, cause },
    });
    expect(server.seen.length).toBe(1);
  },
);

test('a failed token request is not cached', async () => {
  const simulator = await simulate();
  simulator.arm({ fault: '503-before', call: 'token' });
  const thingspace = client(simulator.baseUrl);

  await expect(thingspace.authorize(credentialsOf())).rejects.toMatchObject({
    reason: 'api-unavailable',
  });

  await thingspace.authorize(credentialsOf());
  expect(count(simulator, 'token')).toBe(2);
});

test('a login rejected for its API token is sent once more with a new token', async () => {
  const simulator = await simulate();
  const thingspace = client(simulator.baseUrl);
  await thingspace.authorize(credentialsOf());
  simulator.endApiTokens();

  const answer = await thingspace.login(credentialsOf());

  expect(answer.login).toBe('accepted');
  expect([
    count(simulator, 'token'),
    count(simulator, 'login'),
    simulator.loginsReceived('uws-user'),
  ]).toEqual([2, 2, 1]);
});

test('a login rejected twice for its API token is not sent a third time', async () => {
  const simulator = await simulate();
  simulator.arm({ fault: 'bearer-401', call: 'login', count: Number.POSITIVE_INFINITY });

  const thingspace = client(simulator.baseUrl);

  const answer = await thingspace.login(credentialsOf());

  const counts = [count(simulator, 'token'), count(simulator, 'login')];
  await thingspace.login(credentialsOf());

  expect(answer).toEqual({ login: 'not-sent', detail: 'login: HTTP 401, 900901' });
  expect(counts).toEqual([2, 2]);
  // The second token was dropped too.
  expect([count(simulator, 'token'), count(simulator, 'login')]).toEqual([4, 4]);
});

test('a defect is thrown, and is no answer of ThingSpace', async () => {
  const simulator = await simulate();
  const login = client(simulator.baseUrl).login({ ...credentialsOf(), password: null as never });

  await expect(login).rejects.toThrow(TypeError);
});

test('a logout rejected for its API token is sent once more', async () => {
  const simulator = await simulate();
  const thingspace = client(simulator.baseUrl);
  const session = await loggedIn(thingspace);
  simulator.endApiTokens();

  await thingspace.endSession(session);

  expect([count(simulator, 'logout'), simulator.openSessions('uws-user')]).toEqual([2, 0]);
});

test.each([
  'drop-before-commit',
  'drop-after-commit',
  '503-before',
  'session-400',
  'empty-200',
  'truncated-200',
  '429',
] as const)('ending a session never throws: %s', async (fault) => {
  const simulator = await simulate();
  const thingspace = client(simulator.baseUrl);
  const session = await loggedIn(thingspace);
  simulator.arm({ fault, call: 'logout' });

  await thingspace.endSession(session);

  expect(count(simulator, 'logout')).toBe(1);
});

test('ending a session without an API token sends nothing and does not throw', async () => {
  const simulator = await simulate();
  const thingspace = client(simulator.baseUrl);
  const session = await loggedIn(thingspace);
  thingspace.advance(3_600_000);
  simulator.arm({ fault: '503-before', call: 'token' });

  await thingspace.endSession(session);

  expect([count(simulator, 'token'), count(simulator, 'logout')]).toEqual([2, 0]);
});

test('a late rejection of an old API token does not remove the new one', async () => {
  const fault = http(401, '{"fault":{"code":900901}}');
  let minted = 0;
  let keepBack: (socket: Socket) => void = () => undefined;
  const keptBack = new Promise<Socket>((resolve) => {
    keepBack = resolve;
  });
  const server = closing(
    await openRawServer((seen, _nth, socket) => {
      if (seen.line.includes('/token')) return http(200, `{"access_token":"token-${++minted}"}`);
      if (seen.headers['authorization'] === 'Bearer token-2') return loginAnswer;
      if (!seen.body.includes('late-user')) return fault;
      keepBack(socket);
      return undefined;
    }),
  );
  const thingspace = client(server.baseUrl);

  const late = thingspace.login(credentialsOf('late-user'));
  const lateSocket = await keptBack;
  const prompt = await thingspace.login(credentialsOf());
  lateSocket.end(fault);

  expect([prompt.login, (await late).login, minted]).toEqual(['accepted', 'accepted', 2]);
});

test('a reset rejected for its API token is not repeated; the next has a new token', async () => {
  const simulator = await simulate();
  const thingspace = client(simulator.baseUrl);
  const session = await loggedIn(thingspace);
  simulator.endApiTokens();

  const refused = await thingspace.reset(session);
  const resets = count(simulator, 'reset');
  const again = await thingspace.reset(session);

  expect(refused).toEqual({
    reset: 'refused',
    because: 'api-token',
    detail: 'reset: HTTP 401, 900901',
  });
  expect([resets, again.reset, simulator.resetsCommitted('uws-user')]).toEqual([1, 'answered', 1]);
});

test('a reset without an API token is rejected before it is sent', async () => {
  const simulator = await simulate();
  const thingspace = client(simulator.baseUrl);
  const session = await loggedIn(thingspace);
  thingspace.advance(3_600_000);
  simulator.arm({ fault: '503-before', call: 'token' });

  const refused = await thingspace.reset(session);

  expect(refused).toEqual({ reset: 'refused', because: 'api-token', detail: 'token: HTTP 503' });
  expect(count(simulator, 'reset')).toBe(0);
});

test.each([
  [
    'drop-before-commit',
    { reset: 'in-doubt', detail: 'reset: the connection failed (ECONNRESET)' },
  ],
  ['drop-after-commit', { reset: 'in-doubt', detail: 'reset: the connection failed (ECONNRESET)' }],
  ['503-before', { reset: 'in-doubt', detail: 'reset: HTTP 503' }],
  ['503-after', { reset: 'in-doubt', detail: 'reset: HTTP 503' }],
  [
    'html-200',
    { reset: 'answered', body: '<html><body><h1>Please try again later</h1></body></html>' },
  ],
  ['empty-200', { reset: 'answered', body: '' }],
  [
    'truncated-200',
    {
      reset: 'in-doubt',
      detail: 'reset: HTTP 200, the connection failed (ECONNRESET)',
      body: '{"newPassword',
    },
  ],
  ['wrong-typed-200', { reset: 'answered', body: '{"newPassword":42}' }],
  ['bearer-401', { reset: 'refused', because: 'api-token', detail: 'reset: HTTP 401, 900901' }],
  [
    'session-400',
    {
      reset: 'refused',
      because: 'session',
      detail: 'reset: HTTP 400, REQUEST_FAILED.SessionToken.Expired',
    },
  ],
  ['429', { reset: 'refused', because: 'throttled', detail: 'reset: HTTP 429, 900800' }],
  [
    'unexpected-error',
    { reset: 'in-doubt', detail: 'reset: HTTP 400, REQUEST_FAILED.UnexpectedError' },
  ],
  [
    'unexpected-error-after',
    { reset: 'in-doubt', detail: 'reset: HTTP 400, REQUEST_FAILED.UnexpectedError' },
  ],
] as const)('a reset is sent once and its result is correct: %s', async (fault, expected) => {
  const simulator = await simulate({ generatePassword: () => 'newPassword12' });
  const thingspace = client(simulator.baseUrl);
  const session = await loggedIn(thingspace);
  simulator.arm({ fault, call: 'reset', cutAfterBytes: 13 });

  const answer = await thingspace.reset(session);

  expect(plainReset(answer)).toEqual(expected);
  expect(simulator.resetsReceived('uws-user')).toBe(1);
  if (answer.reset === 'refused') expect(simulator.resetsCommitted('uws-user')).toBe(0);
});

test.each([
  'gzip-200',
  'deflate-200',
  'deflate-raw-200',
  'br-200',
  'utf8-bom-200',
  'utf16le-200',
  'utf16be-200',
  'latin1-200',
  'trailing-200',
] as const)('a reset response is read in any form: %s', async (fault) => {
  const simulator = await simulate({ generatePassword: () => 'naïve Grüße' });
  const thingspace = client(simulator.baseUrl);
  const session = await loggedIn(thingspace);
  simulator.arm({ fault, call: 'reset' });

  const answer = await thingspace.reset(session);
  const password = answer.reset === 'answered' ? thingspace.readNewPassword(answer.body) : null;

  expect(password?.reveal()).toBe('naïve Grüße');
});

test.each(['gzip-200', 'utf16le-200', 'trailing-200'] as const)(
  'a login or token response in such a form is not read: %s',
  async (fault) => {
    const simulator = await simulate();
    simulator.arm({ fault, call: 'token' });
    simulator.arm({ fault, call: 'login' });
    const thingspace = client(simulator.baseUrl);

    await expect(thingspace.authorize(credentialsOf())).rejects.toMatchObject({
      reason: 'api-unavailable',
    });
    expect(await thingspace.login(credentialsOf())).toMatchObject({ login: 'unknown' });
  },
);

test.each(['close-on-accept', 'close-idle'] as const)(
  'a connection opened ahead that the server gives up is replaced: %s',
  async (fault) => {
    const simulator = await simulate();
    const thingspace = client(simulator.baseUrl);
    await thingspace.authorize(credentialsOf());
    simulator.arm({ fault, call: 'login', delayMs: 20 });
    thingspace.connectAhead();
    await new Promise((resolve) => setTimeout(resolve, 60));

    const answer = await thingspace.login(credentialsOf());

    expect(answer.login).toBe('accepted');
  },
);

test('a slow handshake delays a call and does not fail it', async () => {
  const simulator = await simulate();
  const thingspace = client(simulator.baseUrl);
  simulator.arm({ fault: 'slow-handshake', call: 'token', delayMs: 50 });

  await thingspace.authorize(credentialsOf());

  expect(count(simulator, 'token')).toBe(1);
});

test('a reset that exceeds its timeout is in doubt; the server may apply it later', async () => {
  const simulator = await simulate();
  const thingspace = client(simulator.baseUrl, { resetTimeoutMs: shortMs });
  const session = await loggedIn(thingspace);
  simulator.arm({ fault: 'hold', call: 'reset' });
  const left = simulator.waitFor('ended', { call: 'reset' });
  const committed = simulator.waitFor('committed', { call: 'reset' });

  const answer = await thingspace.reset(session);
  await left;
  simulator.release();
  await committed;

  expect(answer).toEqual({
    reset: 'in-doubt',
    detail: `reset: no complete response within ${shortMs} ms`,
  });
  expect([simulator.resetsReceived('uws-user'), simulator.resetsCommitted('uws-user')]).toEqual([
    1, 1,
  ]);
});

test('the answer to a wrong oldPassword and to a locked user contains the code', async () => {
  const simulator = await simulate();
  const thingspace = client(simulator.baseUrl);
  const session = await loggedIn(thingspace);

  const wrong = { ...session, credentials: credentialsOf('uws-user', 'wrong') };

  const detail = 'reset: HTTP 400, REQUEST_FAILED.SimulatedWrongOldPassword';
  expect(await thingspace.reset(wrong)).toEqual({ reset: 'refused', because: 'code', detail });
});

test.each([
  ['drop-before-commit', { login: 'unknown', detail: 'login: the connection failed (ECONNRESET)' }],
  ['drop-after-commit', { login: 'unknown', detail: 'login: the connection failed (ECONNRESET)' }],
  ['503-before', { login: 'unknown', detail: 'login: HTTP 503' }],
  ['503-after', { login: 'unknown', detail: 'login: HTTP 503' }],
  ['html-200', { login: 'unknown', detail: 'login: HTTP 200 without a usable session token' }],
  ['empty-200', { login: 'unknown', detail: 'login: HTTP 200 without a usable session token' }],
  [
    'truncated-200',
    { login: 'unknown', detail: 'login: HTTP 200, the connection failed (ECONNRESET)' },
  ],
  [
    'wrong-typed-200',
    { login: 'unknown', detail: 'login: HTTP 200 without a usable session token' },
  ],
  ['429', { login: 'not-sent', detail: 'login: HTTP 429, 900800', facts: { cause: 'throttled' } }],
  [
    'unexpected-error',
    { login: 'unknown', detail: 'login: HTTP 400, REQUEST_FAILED.UnexpectedError' },
  ],
] as const)('a login is sent once and its result is correct: %s', async (fault, expected) => {
  const simulator = await simulate();
  simulator.arm({ fault, call: 'login' });

  const answer = await client(simulator.baseUrl).login(credentialsOf());

  expect(answer).toEqual(expected);
  expect(simulator.loginsReceived('uws-user')).toBe(1);
});

test('a wrong password, an unknown user and a locked user are rejected', async () => {
  const simulator = await simulate();
  const thingspace = client(simulator.baseUrl);
  const wrong = {
    login: 'refused',
    detail: 'login: HTTP 400, REQUEST_FAILED.SimulatedWrongCredentials',
  };

  expect(await thingspace.login(credentialsOf('uws-user', 'wrong'))).toEqual(wrong);
  expect(await thingspace.login(credentialsOf('nobody'))).toEqual(wrong);
  for (let strike = 0; strike < 4; strike += 1)
    await thingspace.login(credentialsOf('uws-user', 'wrong'));
  expect(await thingspace.login(credentialsOf())).toEqual({
    login: 'refused',
    detail: 'login: HTTP 400, REQUEST_FAILED.SimulatedUserLocked',
  });
});

test('a login without a response is unknown; one without an API token was not sent', async () => {
  const simulator = await simulate();
  simulator.arm({ fault: 'hang', call: 'login' });
  const impatient = client(simulator.baseUrl, { requestTimeoutMs: shortMs });
  expect(await impatient.login(credentialsOf())).toEqual({
    login: 'unknown',
    detail: `login: no complete response within ${shortMs} ms`,
  });

  simulator.arm({ fault: 'drop-before-commit', call: 'token' });
  const fresh = client(simulator.baseUrl);
  expect(await fresh.login(credentialsOf())).toEqual({
    login: 'not-sent',
    detail: 'token: the connection failed (ECONNRESET)',
    facts: { host: new URL(simulator.baseUrl).host },
  });
  expect(simulator.loginsReceived('uws-user')).toBe(1);
});

const application =
  '{"errorCode":"UnifiedWebService.REQUEST_FAILED.AccountNotFound","errorMessage":"m"}';
const bearerFault = '{"fault":{"code":900901,"message":"m","description":"d"}}';
const backendFault = '{"fault":{"code":101504,"message":"m","description":"d"}}';
const oauth = '{"error":"insufficient_scope","error_description":"d"}';

test.each<[string, number, string, string, string?]>([
  // body, status, answer to a login, answer to a reset, code in the details
  [application, 400, 'refused', 'code', 'REQUEST_FAILED.AccountNotFound'],
  [application, 403, 'refused', 'code', 'REQUEST_FAILED.AccountNotFound'],
  [application, 499, 'refused', 'code', 'REQUEST_FAILED.AccountNotFound'],
  [application, 500, 'refused', 'in-doubt', 'REQUEST_FAILED.AccountNotFound'],
  [application, 302, 'refused', 'in-doubt', 'REQUEST_FAILED.AccountNotFound'],
  [application, 200, 'refused', 'answered', 'REQUEST_FAILED.AccountNotFound'],
  [application, 429, 'unknown', 'throttled', 'REQUEST_FAILED.AccountNotFound'],
  ['{"errorCode":"REQUEST_FAILED.AccountX"}', 400, 'refused', 'code', 'REQUEST_FAILED.AccountX'],
  [
    '{"errorCode":"Foo.REQUEST_FAILED.UnexpectedError"}',
    400,
    'unknown',
    'in-doubt',
    'REQUEST_FAILED.UnexpectedError',
  ],
  [
    '{"errorCode":"Foo.INPUT_INVALID.SessionToken.Invalid"}',
    401,
    'refused',
    'session',
    'INPUT_INVALID.SessionToken.Invalid',
  ],
  [
    '{"errorCode":"Foo.REQUEST_FAILED.SessionToken.Format"}',
    403,
    'refused',
    'session',
    'REQUEST_FAILED.SessionToken.Format',
  ],
  // A code of the application may have any text, also one that means something at the gateway.
  ['{"errorCode":"invalid_token"}', 401, 'refused', 'code', 'invalid_token'],
  ['{"errorCode":"900901"}', 401, 'refused', 'code', '900901'],
  ['{"errorCode":"900803"}', 403, 'refused', 'code', '900803'],
  ['{"errorCode":""}', 400, 'unknown', 'in-doubt'],
  ['{"errorCode":17}', 400, 'unknown', 'in-doubt'],
  [bearerFault, 401, 'not-sent', 'api-token', '900901'],
  [bearerFault, 400, 'not-sent', 'api-token', '900901'],
  [bearerFault, 500, 'unknown', 'in-doubt', '900901'],
  [backendFault, 400, 'unknown', 'in-doubt', '101504'],
  [backendFault, 504, 'unknown', 'in-doubt', '101504'],
  ['{"fault":{"code":"900906"}}', 400, 'not-sent', 'code', '900906'],
  ['{"fault":{"code":900803}}', 403, 'not-sent', 'throttled', '900803'],
  ['{"fault":"900901"}', 401, 'unknown', 'in-doubt'],
  [oauth, 403, 'not-sent', 'code', 'insufficient_scope'],
  ['{"error":"invalid_token"}', 401, 'not-sent', 'api-token', 'invalid_token'],
  ['{"error":"Bad Request","status":400}', 400, 'unknown', 'in-doubt'],
  ['', 401, 'unknown', 'in-doubt'],
  ['<html>Forbidden</html>', 403, 'unknown', 'in-doubt'],
  ['<html>Not found</html>', 404, 'unknown', 'in-doubt'],
  ['', 408, 'unknown', 'in-doubt'],
  ['slow down', 429, 'not-sent', 'throttled'],
  ['null', 400, 'unknown', 'in-doubt'],
  ['[]', 400, 'unknown', 'in-doubt'],
  ['', 502, 'unknown', 'in-doubt'],
  ['', 204, 'unknown', 'answered'],
  ['', 299, 'unknown', 'answered'],
  ['', 300, 'unknown', 'in-doubt'],
  ['{"sessionToken":"t"}', 300, 'unknown', 'in-doubt'],
  ['{"sessionToken":"t"}', 400, 'unknown', 'in-doubt'],
  ['', 99, 'unknown', 'in-doubt'],
])(
  '%s with HTTP %d means %s at the login and %s at the reset',
  async (...[body, status, login, reset, code]) => {
    const server = closing(
      await openRawServer((seen) =>
        seen.line.includes('/token') ? tokenAnswer : http(status, body),
      ),
    );
    const thingspace = client(server.baseUrl);

    const loginResult = await thingspace.login(credentialsOf());
    const resetResult = await thingspace.reset(sessionOf());

    const shown = code === undefined ? '' : `, ${code}`;
    // An error page of a reset is shown without its code where it proves nothing.
    const isClientError = status >= 400 && status <= 499;
    const unusable = status < 300 && login === 'unknown' ? ' without a usable session token' : '';
    expect(loginResult).toEqual({
      login,
      detail: `login: HTTP ${status}${shown}${unusable}`,
      facts: status === 429 ? { cause: 'throttled' } : undefined,
    });
    const detail = `reset: HTTP ${status}${isClientError ? shown : ''}`;
    if (reset === 'answered') expect(plainReset(resetResult)).toEqual({ reset, body });
    else if (reset === 'in-doubt') expect(resetResult).toEqual({ reset, detail });
    else expect(resetResult).toEqual({ reset: 'refused', because: reset, detail });
    expect(server.seen.filter(({ line }) => line.includes('/reset')).length).toBe(1);
  },
);

test.each([400, 429, 500])(
  'a new password in a response with HTTP %d is kept, whatever else the response says',
  async (status) => {
    const body = JSON.stringify({ errorCode: 'S.REQUEST_FAILED.X', newPassword: 'Wh0a1545a84d' });
    const server = closing(await openResetServer(() => http(status, body)));

    const answer = await client(server.baseUrl).reset(sessionOf());

    expect(plainReset(answer)).toEqual({
      reset: 'in-doubt',
      detail: `reset: HTTP ${status}`,
      body,
    });
  },
);

test.each([301, 302, 303, 307, 308])(
  'a redirect %d is not followed, so no password or token goes to another host',
  async (status) => {
    const elsewhere = closing(await openRawServer(() => http(200, '{"newPassword":"stolen"}')));
    const redirect = http(status, '', { Location: `http://localhost:${elsewhere.port}/api` });
    const server = closing(
      await openRawServer((seen) => (seen.line.includes('/token') ? tokenAnswer : redirect)),
    );
    const thingspace = client(server.baseUrl);

    const login = await thingspace.login(credentialsOf());
    const reset = await thingspace.reset(sessionOf());
    await thingspace.endSession(sessionOf());

    expect(login).toEqual({ login: 'unknown', detail: `login: HTTP ${status}` });
    expect(reset).toEqual({ reset: 'in-doubt', detail: `reset: HTTP ${status}` });
    expect([elsewhere.seen.length, server.seen.length]).toEqual([0, 4]);
  },
);

test('a call without a connection is reported as not sent', async () => {
  const server = await openResetServer(() => undefined);
  const thingspace = client(server.baseUrl);
  await thingspace.authorize(credentialsOf());
  await server.close();

  expect(await thingspace.login(credentialsOf())).toEqual({
    login: 'not-sent',
    detail: 'login: not sent, the connection failed (ECONNREFUSED)',
  });
  expect(await thingspace.reset(sessionOf())).toEqual({
    reset: 'not-sent',
    detail: 'reset: not sent, the connection failed (ECONNREFUSED)',
  });
  await expect(
    client('https://no-such-host.invalid/api').authorize(credentialsOf()),
  ).rejects.toMatchObject({ reason: 'api-unavailable' });
});

test('a call without a complete TLS handshake is reported as not sent', async () => {
  const received: string[] = [];
  const silent = closing(await openRawServer(() => String(received.push('a request'))));
  const withoutCertificate = createTlsServer({}, (socket) =>
    socket.on('data', () => received.push('a request')),
  );
  withoutCertificate.on('tlsClientError', () => undefined);
  await new Promise<void>((resolve) => withoutCertificate.listen(0, '127.0.0.1', resolve));
  closing({ close: () => new Promise((resolve) => withoutCertificate.close(resolve)) });
  const send = (port: number) =>
    closing(
      openHttp({
        url: new URL(`https://127.0.0.1:${port}/`),
        connectTimeoutMs: shortMs,
        clock: openClock(),
      }),
    ).send({
      method: 'PUT',
      path: '/',
      headers: {},
      body: plantedPassword,
      timeoutMs: limitMs(5000),
    });

  const answers = [
    await send(silent.port),
    await send((withoutCertificate.address() as AddressInfo).port),
  ];

  expect(answers).toEqual([
    { ended: 'not-sent', why: `no connection within ${shortMs} ms` },
    { ended: 'not-sent', why: expect.stringMatching(/^the connection failed \([A-Z]/) },
  ]);
  expect(received).toEqual([]);
});

test('closing the client ends its open calls', async () => {
  const simulator = await simulate();
  const thingspace = client(simulator.baseUrl);
  const session = await loggedIn(thingspace);
  simulator.arm({ fault: 'hang', call: 'reset' });
  const held = simulator.waitFor('held');
  const reset = thingspace.reset(session);
  await held;

  thingspace.close();

  expect(await reset).toEqual({
    reset: 'in-doubt',
    detail: 'reset: the connection failed (ECONNRESET)',
  });
});

test.each([
  ['quotes and a backslash', `q"uo'te\\`],
  ['spaces around it', '  pass word  '],
  ['emoji and accents, composed and not', '🔑é é'],
  ['a lone surrogate', 'lone\ud83dhalf'],
  ['NUL, newline and DEL', 'n\0u\nl\u007f'],
  ['line separators', 'a\u2028b\u2029c'],
  ['four thousand characters', 'Ab1+'.repeat(1000)],
  ['text in the form of JSON', '{"newPassword":"x"}'],
])('a password with %s arrives unchanged and is sent back unchanged', async (_, password) => {
  const simulator = await simulate({ generatePassword: () => password });
  const thingspace = client(simulator.baseUrl);

  const first = await thingspace.reset(await loggedIn(thingspace));
  const read =
    first.reset === 'answered' ? thingspace.readNewPassword(first.body)?.reveal() : undefined;
  const second = await thingspace.reset(await loggedIn(thingspace, 'uws-user', read));

  expect([read, second.reset]).toEqual([password, 'answered']);
});

test('a response with status 200 is returned as bytes, also when it is no text', async () => {
  const bytes = Buffer.from([0x1f, 0x8b, 0x00, 0xff, 0xfe]);
  const fields = `Content-Encoding: gzip\r\nContent-Length: ${bytes.length}`;
  const head = `HTTP/1.1 201 Created\r\n${fields}\r\n\r\n`;
  const server = closing(await openResetServer(() => Buffer.concat([Buffer.from(head), bytes])));
  const thingspace = client(server.baseUrl);

  const answer = await thingspace.reset(await loggedIn(thingspace));

  expect(answer.reset === 'answered' && [...answer.body.reveal()]).toEqual([...bytes]);
});

test('a login is accepted only with a session token that is valid in a header', async () => {
  const bodies = [
    '{"sessionToken":""}',
    '{"sessionToken":"a b"}',
    '{"sessionToken":"a\\nb"}',
    '{"sessionToken":null}',
    '{}',
  ];
  for (const body of bodies) {
    const server = closing(
      await openRawServer((seen) => (seen.line.includes('/token') ? tokenAnswer : http(200, body))),
    );
    expect(await client(server.baseUrl).login(credentialsOf())).toEqual({
      login: 'unknown',
      detail: 'login: HTTP 200 without a usable session token',
    });
  }
  const server = closing(
    await openRawServer((seen) => (seen.line.includes('/token') ? tokenAnswer : loginAnswer)),
  );
  const credentials = credentialsOf();
  expect(plainLogin(await client(server.baseUrl).login(credentials))).toEqual({
    login: 'accepted',
    session: '5e551011-0000-4000-8000-000000000000',
  });
});
