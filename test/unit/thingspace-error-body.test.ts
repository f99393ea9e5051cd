// Who refused a request, and with which code.

import { Secret } from '../../src/secret.ts';
import {
  isApiTokenRefusal,
  isBeforeApplication,
  isNoSuchPath,
  isSessionRefusal,
  isThrottle,
  isUnexpectedError,
  parseObject,
  readRefusal,
  showCode,
} from '../../src/thingspace/error-body.ts';

const refusalIn = (body: unknown) => readRefusal(Buffer.from(JSON.stringify(body)));

test('an error code of RFC 6749 is a refusal by OAuth, and no other text is one', () => {
  const codes = [
    'invalid_request',
    'invalid_client',
    'invalid_grant',
    'unauthorized_client',
    'unsupported_grant_type',
    'invalid_scope',
    'invalid_token',
    'insufficient_scope',
  ];

  expect(codes.map((error) => refusalIn({ error }))).toEqual(
    codes.map((code) => ({ by: 'oauth', code })),
  );
  expect(
    ['Bad Request', '', 'server_error', ['invalid_token'], null, 1].map((error) =>
      refusalIn({ error }),
    ),
  ).toEqual(Array(6).fill(null));
});

test.each([
  [{ errorCode: 'Unified.REQUEST_FAILED.X', fault: { code: 900901 } }, 'REQUEST_FAILED.X'],
  [{ errorCode: 'Unified.\nINPUT_INVALID.A.B' }, 'INPUT_INVALID.A.B'],
  [{ errorCode: 'REQUEST_FAILED' }, 'REQUEST_FAILED'],
])('%j is a refusal by the application', (body, code) => {
  expect(refusalIn(body)).toEqual({ by: 'application', code });
});

test.each([
  [{ fault: { code: 900901 }, error: 'invalid_token' }, '900901'],
  [{ errorCode: '', fault: { code: '101504' } }, '101504'],
  [{ fault: { code: 90090 } }, null],
  [{ fault: { code: 9009011 } }, null],
  [{ fault: null }, null],
  [{ fault: 900901 }, null],
  [[], null],
  [null, null],
])('%j has the code %p of the gateway', (body, code) => {
  expect(refusalIn(body)).toEqual(code && { by: 'gateway', code });
});

test('only one JSON object in valid UTF-8 is read', () => {
  const texts = ['{"a":1}', '[]', 'null', '1', '"{}"', '', '{', '{} {}'];

  expect(texts.map(parseObject)).toEqual([{ a: 1 }, ...Array(7).fill(null)]);
  expect(parseObject(Buffer.from('{"a":"é"}'))).toEqual({ a: 'é' });
  expect(parseObject(Buffer.from('{"a":"é"}', 'latin1'))).toBeNull();
});

test('a code means what it means at its author', () => {
  const codes = ['invalid_token', 'invalid_scope', '900800', '900899', '900900', '900901'].concat(
    ['900904', '900905', '900906', '900999', '900799', '901000', '101504'],
    ['A.SessionToken.B', 'SessionToken', 'A.SessionTokens', 'A.B.UnexpectedError'],
  );
  const meanings = {
    isApiTokenRefusal,
    isBeforeApplication,
    isNoSuchPath,
    isThrottle,
    isSessionRefusal,
    isUnexpectedError,
  };

  const found = Object.entries(meanings).map(([name, has]) => [
    name,
    ...(['application', 'gateway', 'oauth'] as const).map((by) =>
      codes.filter((code) => has({ by, code })).join(' '),
    ),
  ]);

  const gateway = '900800 900899 900900 900901 900904 900905 900906 900999';
  const session = 'A.SessionToken.B SessionToken';
  expect(found).toEqual([
    ['isApiTokenRefusal', '', ...Array(2).fill('invalid_token 900901 900904')],
    ['isBeforeApplication', '', gateway, codes.join(' ')],
    ['isNoSuchPath', '', '900906', ''],
    ['isThrottle', '', '900800 900899', ''],
    ['isSessionRefusal', session, session, session],
    ['isUnexpectedError', ...Array(3).fill('A.B.UnexpectedError')],
  ]);
});

test('a code that repeats a secret is not shown; an empty secret hides nothing', () => {
  const refusal = { by: 'application', code: `a b/${'c'.repeat(100)}` } as const;

  expect(showCode(refusal, [new Secret('')])).toBe(`a?b?${'c'.repeat(96)}`);
  expect(showCode(refusal, [new Secret('x'), new Secret('b/c')])).toBe(
    'a code that repeats a secret',
  );
});
