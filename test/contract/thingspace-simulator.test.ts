// The ThingSpace simulator follows the rules that Verizon documents, and is strict where production
// may be lenient.

import { once } from 'node:events';
import { request as httpsRequest } from 'node:https';
import { connect } from 'node:net';
import {
  openThingSpaceSimulator,
  type ThingSpaceSimulator,
  type ThingSpaceSimulatorOptions,
} from '../../src/simulator/thingspace.ts';
import { createCertificate } from '../harness/certificate.ts';
import { application, ask, basic, callerOf } from '../harness/thingspace-caller.ts';
import { testWith } from '../harness/tools.ts';

const minuteMs = 60_000;
let simulator: ThingSpaceSimulator;

async function open(options: ThingSpaceSimulatorOptions = {}) {
  simulator = await openThingSpaceSimulator({
    users: [{ username: 'ada', password: 'old-1' }],
    applications: [application],
    ...options,
  });
  return callerOf(simulator);
}

afterEach(() => simulator.close());

const code = (name: string) => ({
  status: 400,
  body: expect.objectContaining({ errorCode: `UnifiedWebService.${name}` }),
});
const wrongCredentials = code('REQUEST_FAILED.SimulatedWrongCredentials');
const lockedUser = code('REQUEST_FAILED.SimulatedUserLocked');
const sessionExpired = code('REQUEST_FAILED.SessionToken.Expired');

test('a reset returns a new random password, which is valid at once', async () => {
  const caller = await open();
  const { body: session } = await caller.login('ada', 'old-1');

  const reset = await caller.reset(String(session['sessionToken']), 'old-1');

  expect(reset).toEqual({
    status: 200,
    body: { newPassword: expect.stringMatching(/^[A-Za-z0-9]{12}$/) },
  });
  expect(simulator.livePassword('ada')).toBe(reset.body['newPassword']);
  expect(await caller.login('ada', 'old-1')).toEqual(wrongCredentials);
  expect((await caller.login('ada', String(reset.body['newPassword']))).status).toBe(200);
});

test('an application key receives one API token for an hour, and then another', async () => {
  const caller = await open();
  simulator.addApplication({ clientId: 'other', clientSecret: 'other-secret' });

  const first = await caller.token();
  simulator.advance(59 * minuteMs);
  const again = await caller.token();
  const foreign = await caller.token({ clientId: 'other', clientSecret: 'other-secret' });
  simulator.advance(minuteMs);
  const later = await caller.token();

  expect(first.body).toEqual({
    access_token: expect.any(String),
    token_type: 'Bearer',
    expires_in: 3600,
    scope: 'default',
  });
  expect(again.body).toEqual(first.body);
  expect(foreign.body['access_token']).not.toBe(first.body['access_token']);
  expect(later.body['access_token']).not.toBe(first.body['access_token']);
});

test('a repeated API token reports its remaining time, if configured', async () => {
  const caller = await open({ expiresInCountsDown: true, nowMs: () => 0 });

  await caller.token();
  simulator.advance(50 * minuteMs);

  expect((await caller.token()).body['expires_in']).toBe(600);
});

test('an invalid application key and a missing or expired bearer are rejected first', async () => {
  const caller = await open();
  const stale = await caller.bearer();
  simulator.advance(60 * minuteMs);
  const login = (headers: Record<string, string>) =>
    ask(simulator, 'POST', '/m2m/v1/session/login', headers, 'not even JSON');

  const answers = [await login({}), await login({ authorization: stale })].map(
    ({ status, body }) => [status, JSON.parse(body).fault.code],
  );

  expect(await caller.token({ clientId: 'app-key', clientSecret: 'wrong' })).toEqual({
    status: 401,
    body: { error: 'invalid_client', error_description: expect.any(String) },
  });
  expect(answers).toEqual([
    [401, 900902],
    [401, 900901],
  ]);
});

test('a session ends after twenty minutes without use', async () => {
  const caller = await open();
  const { body } = await caller.login('ada', 'old-1');
  const sessionToken = String(body['sessionToken']);

  simulator.advance(19 * minuteMs);
  const used = await caller.reset(sessionToken, 'old-1');
  simulator.advance(19 * minuteMs);
  const usedAgain = await caller.reset(sessionToken, simulator.livePassword('ada'));
  simulator.advance(20 * minuteMs);
  const idle = await caller.reset(sessionToken, simulator.livePassword('ada'));

  expect([used.status, usedAgain.status, idle]).toEqual([200, 200, sessionExpired]);
});

test('an unknown session and a missing session have different codes', async () => {
  const caller = await open();
  const none = await ask(
    simulator,
    'PUT',
    '/m2m/v1/session/password/actions/reset',
    { authorization: await caller.bearer(), 'content-type': 'application/json' },
    '{"oldPassword":"old-1"}',
  );

  expect(await caller.reset('never-given', 'old-1')).toEqual(
    code('INPUT_INVALID.SessionToken.Invalid'),
  );
  expect(JSON.parse(none.body)).toEqual(code('REQUEST_FAILED.SessionToken.Format').body);
});

test('five consecutive failed logins lock a user until support unlocks the user', async () => {
  const caller = await open();
  const { body } = await caller.login('ada', 'old-1');
  const wrong = async (times: number) => {
    for (let time = 0; time < times; time += 1)
      expect(await caller.login('ada', 'wrong')).toEqual(wrongCredentials);
  };

  await wrong(4);
  expect((await caller.login('ada', 'old-1')).status).toBe(200);
  await wrong(5);

  expect(await caller.login('ada', 'old-1')).toEqual(lockedUser);
  expect(await caller.reset(String(body['sessionToken']), 'old-1')).toEqual(lockedUser);
  expect([simulator.isLocked('ada'), simulator.failedLogins('ada')]).toEqual([
    true,
    { consecutive: 5, most: 5 },
  ]);
  simulator.unlock('ada');
  expect((await caller.login('ada', 'old-1')).status).toBe(200);
  expect(simulator.failedLogins('ada')).toEqual({ consecutive: 0, most: 5 });
});

test('a wrong oldPassword changes nothing, and counts as a failed login by default', async () => {
  const strict = await open();
  const { body } = await strict.login('ada', 'old-1');
  expect(await strict.reset(String(body['sessionToken']), 'wrong')).toEqual(
    code('REQUEST_FAILED.SimulatedWrongOldPassword'),
  );
  expect([simulator.livePassword('ada'), simulator.failedLogins('ada').consecutive]).toEqual([
    'old-1',
    1,
  ]);
  await simulator.close();

  const lenient = await open({ wrongOldPasswordCounts: false });
  const { body: session } = await lenient.login('ada', 'old-1');
  await lenient.reset(String(session['sessionToken']), 'wrong');
  expect(simulator.failedLogins('ada').consecutive).toBe(0);
});

test.each([true, false])(
  'with resetEndsSessions %s a reset treats all sessions of the user alike',
  async (resetEndsSessions) => {
    const caller = await open({ resetEndsSessions });
    const [first, second] = [
      await caller.login('ada', 'old-1'),
      await caller.login('ada', 'old-1'),
    ];

    await caller.reset(String(first.body['sessionToken']), 'old-1');

    expect(simulator.openSessions('ada')).toBe(resetEndsSessions ? 0 : 2);
    expect((await caller.logout(String(second.body['sessionToken']))).status).toBe(
      resetEndsSessions ? 400 : 200,
    );
  },
);

test('a logout ends the session and returns its token', async () => {
  const caller = await open();
  const { body } = await caller.login('ada', 'old-1');
  const sessionToken = String(body['sessionToken']);

  expect(await caller.logout(sessionToken)).toEqual({ status: 200, body: { sessionToken } });
  expect(await caller.logout(sessionToken)).toEqual(sessionExpired);
});

test('method, path, content type, keys and their types must be exact', async () => {
  const caller = await open();
  const bearer = { authorization: await caller.bearer() };
  const json = { ...bearer, 'content-type': 'application/json' };
  const good = '{"username":"ada","password":"old-1"}';
  const login = '/m2m/v1/session/login';
  const form = { authorization: basic(), 'content-type': 'application/x-www-form-urlencoded' };
  const answers = [
    await ask(simulator, 'PUT', login, json, good),
    await ask(simulator, 'POST', `${login}?x=1`, json, good),
    await ask(simulator, 'POST', '/m2m/v2/session/login', json, good),
    await ask(
      simulator,
      'POST',
      '/m2m/v1/session/password/actions/reset',
      json,
      '{"oldPassword":"old-1"}',
    ),
    await ask(simulator, 'POST', login, { ...bearer, 'content-type': 'text/plain' }, good),
    await ask(simulator, 'POST', login, { ...json, 'vz-m2m-token': 'x' }, good),
    await ask(simulator, 'POST', login, json, ''),
    await ask(simulator, 'POST', login, json, '{"username":"ada"}'),
    await ask(simulator, 'POST', login, json, '{"username":"ada","password":1}'),
    await ask(
      simulator,
      'POST',
      login,
      json,
      '{"username":"ada","password":"old-1","remember":"yes"}',
    ),
    await ask(simulator, 'POST', login, json, '{"Username":"ada","Password":"old-1"}'),
    await ask(simulator, 'POST', '/m2m/v1/session/logout', bearer, '{}'),
    await ask(
      simulator,
      'POST',
      '/ts/v1/oauth2/token',
      { ...form, authorization: 'Bearer x' },
      'grant_type=client_credentials',
    ),
    await ask(simulator, 'POST', '/ts/v1/oauth2/token', form, 'grant_type=password'),
    await ask(
      simulator,
      'POST',
      '/ts/v1/oauth2/token',
      { ...form, 'content-type': 'application/json' },
      'grant_type=client_credentials',
    ),
  ];

  const short = answers.map(
    ({ status, body }) => `${status} ${JSON.parse(body).fault?.code ?? JSON.parse(body).errorCode}`,
  );

  expect(short).toEqual([
    '400 900906',
    '400 900906',
    '400 900906',
    '400 900906',
    '415 900906',
    '400 UnifiedWebService.INPUT_INVALID.Request.SessionTokenNotAllowed',
    '400 UnifiedWebService.INPUT_INVALID.RequestUndefined',
    '400 UnifiedWebService.INPUT_INVALID.Request.Fields',
    '400 UnifiedWebService.INPUT_INVALID.Request.FieldType',
    '400 UnifiedWebService.INPUT_INVALID.Request.Fields',
    '400 UnifiedWebService.INPUT_INVALID.Request.Fields',
    '400 UnifiedWebService.INPUT_INVALID.Request.BodyNotAllowed',
    '401 900902',
    '400 900900',
    '415 900906',
  ]);
  expect(simulator.loginsReceived('ada')).toBe(0);
});

test('apostrophe, less-than and backslash in a field are rejected, if configured', async () => {
  const lenient = await open();
  expect(await lenient.login('ada', "o'brien")).toEqual(wrongCredentials);
  await simulator.close();

  const caller = await open({ refusesInvalidCharacters: true });
  for (const password of ["o'brien", '<b', 'back\\slash']) {
    expect(await caller.login('ada', password)).toEqual(
      code('INPUT_INVALID.Request.InvalidCharacter'),
    );
  }
  expect((await caller.login('ada', 'old-1')).status).toBe(200);
});

test.each([
  ['drop-before-commit', 'cut', false],
  ['drop-after-commit', 'cut', true],
  ['503-before', 503, false],
  ['503-after', 503, true],
  ['html-200', 200, true],
  ['empty-200', 200, true],
  ['truncated-200', 'cut', true],
  ['gzip-200', 200, true],
  ['deflate-200', 200, true],
  ['deflate-raw-200', 200, true],
  ['br-200', 200, true],
  ['utf8-bom-200', 200, true],
  ['utf16le-200', 200, true],
  ['utf16be-200', 200, true],
  ['latin1-200', 200, true],
  ['trailing-200', 200, true],
  ['wrong-typed-200', 200, true],
  ['bearer-401', 401, false],
  ['session-400', 400, false],
  ['429', 429, false],
  ['unexpected-error', 400, false],
  ['unexpected-error-after', 400, true],
] as const)(
  'the fault %s answers a reset with %s; password changed: %s',
  async (fault, answer, isChanged) => {
    const caller = await open();
    const { body } = await caller.login('ada', 'old-1');
    const headers = {
      authorization: await caller.bearer(),
      'vz-m2m-token': String(body['sessionToken']),
      'content-type': 'application/json',
    };
    simulator.arm({ fault, call: 'reset', username: 'ada' });
    const reset = () =>
      ask(
        simulator,
        'PUT',
        '/m2m/v1/session/password/actions/reset',
        headers,
        '{"oldPassword":"old-1"}',
      );

    const status = await reset().then(
      (answered) => answered.status,
      () => 'cut',
    );

    expect(status).toBe(answer);
    expect(simulator.livePassword('ada') !== 'old-1').toBe(isChanged);
    expect([simulator.resetsReceived('ada'), simulator.resetsCommitted('ada')]).toEqual([
      1,
      isChanged ? 1 : 0,
    ]);
    expect(simulator.requests.at(-1)).toMatchObject({
      call: 'reset',
      username: 'ada',
      fault,
      committed: isChanged,
    });
  },
);

test('faults of connections apply to new connections, whatever the call', async () => {
  const caller = await open();
  simulator.arm({ fault: 'close-on-accept', call: 'reset' });
  simulator.arm({ fault: 'slow-handshake', call: 'reset', delayMs: 20 });

  const closed = caller.token().then(
    () => 'answered',
    () => 'closed',
  );

  expect(await closed).toBe('closed');
  expect((await caller.token()).status).toBe(200);
  expect(simulator.requests.length).toBe(1);
});

test('an idle connection is closed, and a connection with a request is not', async () => {
  const caller = await open();
  simulator.arm({ fault: 'close-idle', call: 'reset', delayMs: 20, count: 2 });
  const idle = connect(Number(new URL(simulator.baseUrl).port), '127.0.0.1').resume();
  const hung = simulator.waitFor('held');
  simulator.arm({ fault: 'hang', call: 'token' });

  const token = caller.token();
  await hung;
  await once(idle, 'close');
  await new Promise((resolve) => setTimeout(resolve, 40));
  simulator.release();

  expect((await token).status).toBe(200);
});

testWith('openssl')('with a key and a certificate it serves https', async () => {
  const tls = createCertificate();
  await open({ tls });

  const status = await new Promise((resolve, reject) => {
    const options = { method: 'POST', ca: tls.cert, headers: { authorization: basic() } };
    httpsRequest(`${simulator.baseUrl}/ts/v1/oauth2/token`, options, (response) => {
      response.resume();
      resolve(response.statusCode);
    })
      .on('error', reject)
      .end();
  });

  expect(simulator.baseUrl).toMatch(/^https:/);
  expect(status).toBe(415);
});

test('a fault applies after a number of calls, as often as armed, to one user', async () => {
  const caller = await open({
    users: ['ada', 'bob'].map((username) => ({ username, password: 'old-1' })),
  });
  simulator.arm({ fault: 'session-400', call: 'login', username: 'ada', after: 1, count: 2 });

  const statuses = [];
  for (const username of ['ada', 'bob', 'ada', 'bob', 'ada', 'ada'])
    statuses.push((await caller.login(username, 'old-1')).status);

  expect(statuses).toEqual([200, 200, 400, 200, 400, 200]);
});

test('a fault with a probability applies to the same calls for the same seed', async () => {
  const run = async (seed: number) => {
    const caller = await open({ seed });
    simulator.arm({
      fault: 'session-400',
      call: 'login',
      count: Number.POSITIVE_INFINITY,
      probability: 0.5,
    });
    const statuses = [];
    for (let login = 0; login < 20; login += 1)
      statuses.push((await caller.login('ada', 'old-1')).status);
    await simulator.close();
    return statuses;
  };

  const [first, again, other] = [await run(7), await run(7), await run(8)];

  expect(new Set(first)).toEqual(new Set([200, 400]));
  expect(again).toEqual(first);
  expect(other).not.toEqual(first);
});

test('a held reset is applied and answered after its release', async () => {
  const caller = await open();
  const { body } = await caller.login('ada', 'old-1');
  simulator.arm({ fault: 'hold', call: 'reset' });
  const held = simulator.waitFor('held', { call: 'reset', username: 'ada' });
  const reset = caller.reset(String(body['sessionToken']), 'old-1');

  await held;
  expect(simulator.livePassword('ada')).toBe('old-1');
  simulator.release();

  expect((await reset).body).toEqual({ newPassword: simulator.livePassword('ada') });
});

test('a hanging reset is applied at once and answered at its release', async () => {
  const caller = await open();
  const { body } = await caller.login('ada', 'old-1');
  simulator.arm({ fault: 'hang', call: 'reset' });
  const held = simulator.waitFor('held');
  const reset = caller.reset(String(body['sessionToken']), 'old-1');

  await held;
  const changed = simulator.livePassword('ada');
  simulator.release();

  expect(changed).not.toBe('old-1');
  expect((await reset).body).toEqual({ newPassword: changed });
});

test('a server that closes ends the held calls without applying them', async () => {
  const caller = await open();
  const { body } = await caller.login('ada', 'old-1');
  simulator.arm({ fault: 'hold', call: 'reset' });
  simulator.arm({ fault: 'slow', call: 'login', delayMs: 3_600_000 });
  const held = Promise.all([
    simulator.waitFor('held', { call: 'reset' }),
    simulator.waitFor('held', { call: 'login' }),
  ]);
  const calls = Promise.allSettled([
    caller.reset(String(body['sessionToken']), 'old-1'),
    caller.login('ada', 'old-1'),
  ]);
  await held;

  await simulator.close();
  simulator.release();
  await new Promise((resolve) => setImmediate(resolve));

  expect((await calls).map(({ status }) => status)).toEqual(['rejected', 'rejected']);
  expect([simulator.livePassword('ada'), simulator.openSessions('ada')]).toEqual(['old-1', 1]);
});

test('consecutive resets of one user do not overlap', async () => {
  const caller = await open();
  const { body } = await caller.login('ada', 'old-1');

  for (let reset = 0; reset < 3; reset += 1)
    await caller.reset(String(body['sessionToken']), simulator.livePassword('ada'));

  expect([simulator.maxResetsInFlight('ada'), simulator.resetsCommitted('ada')]).toEqual([1, 3]);
});

test('overlapping resets of one user are counted', async () => {
  const caller = await open();
  const { body } = await caller.login('ada', 'old-1');
  simulator.arm({ fault: 'hold', call: 'reset', count: 2 });
  const first = simulator.waitFor('held');
  const one = caller.reset(String(body['sessionToken']), 'old-1');
  await first;
  const second = simulator.waitFor('held');
  const two = caller.reset(String(body['sessionToken']), 'old-1');
  await second;

  simulator.release();
  await Promise.all([one, two]);

  expect([
    simulator.maxResetsInFlight('ada'),
    simulator.resetsReceived('ada'),
    simulator.resetsCommitted('ada'),
  ]).toEqual([2, 2, 1]);
});

test('the request log shows order, overlap and result, and contains no secret', async () => {
  const caller = await open();
  const { body } = await caller.login('ada', 'old-1');
  await caller.reset(String(body['sessionToken']), 'old-1');
  await caller.login('ada', 'wrong-2');

  const [token, login, , reset, , refused] = simulator.requests;

  expect(
    [token, login, reset, refused].map(
      (line) => `${line?.method} ${line?.path} ${line?.status} ${line?.code} ${line?.username}`,
    ),
  ).toEqual([
    'POST /api/ts/v1/oauth2/token 200 undefined undefined',
    'POST /api/m2m/v1/session/login 200 undefined ada',
    'PUT /api/m2m/v1/session/password/actions/reset 200 undefined ada',
    'POST /api/m2m/v1/session/login 400 REQUEST_FAILED.SimulatedWrongCredentials ada',
  ]);
  expect(Number(token?.endedMs)).toBeLessThanOrEqual(Number(login?.startedMs));
  const secrets = [
    'old-1',
    'wrong-2',
    'app-secret',
    String(body['sessionToken']),
    simulator.livePassword('ada'),
  ];
  expect(secrets.filter((secret) => JSON.stringify(simulator.requests).includes(secret))).toEqual(
    [],
  );
});
