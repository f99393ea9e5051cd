// The body of a reset response is the only copy of the password: it is read in whatever form it
// arrives, or not at all.

import {
  brotliCompressSync,
  deflateRawSync,
  deflateSync,
  gunzipSync,
  gzipSync,
  inflateSync,
} from 'node:zlib';
import fc from 'fast-check';
import { Secret } from '../../src/secret.ts';
import { bodyLimitBytes } from '../../src/thingspace/http.ts';
import { mentionsNewPassword, readNewPassword } from '../../src/thingspace/response-body.ts';

const read = (body: Uint8Array | string): string | null =>
  readNewPassword(new Secret(new Uint8Array(Buffer.from(body))))?.reveal() ?? null;
const mentions = (body: Uint8Array | string): boolean =>
  mentionsNewPassword(new Secret(new Uint8Array(Buffer.from(body))));

const bigEndian = (text: string): Buffer => Buffer.from(text, 'utf16le').swap16();

const charsets: Record<string, (text: string) => Buffer> = {
  'UTF-8': (text) => Buffer.from(text),
  'UTF-8 with BOM': (text) => Buffer.from(`\ufeff${text}`),
  'UTF-16LE': (text) => Buffer.from(text, 'utf16le'),
  'UTF-16LE with BOM': (text) => Buffer.from(`\ufeff${text}`, 'utf16le'),
  'UTF-16BE': bigEndian,
  'UTF-16BE with BOM': (text) => bigEndian(`\ufeff${text}`),
  'Latin-1': (text) => Buffer.from(text, 'latin1'),
};

const encodings: Record<string, (bytes: Buffer) => Buffer> = {
  identity: (bytes) => bytes,
  gzip: (bytes) => gzipSync(bytes),
  'zlib deflate': (bytes) => deflateSync(bytes),
  'raw deflate': (bytes) => deflateRawSync(bytes),
  br: (bytes) => brotliCompressSync(bytes),
};

const trailers: Record<string, Buffer> = {
  nothing: Buffer.alloc(0),
  'a line end': Buffer.from('\r\n'),
  'zero bytes': Buffer.alloc(8),
  'a comment': Buffer.from('<!-- served by proxy -->'),
  'bytes that are no text': Buffer.from([0xff, 0xc0, 0x80, 0x1f, 0x8b]),
  'another JSON value': Buffer.from('{"status":"ok"}'),
};

const passwords = [
  'Wh0a1545a84d',
  `q"uo'te\\ ],} {"newPassword":"x"}`,
  '  spaces \u0000\u001f\u007f ',
  'naïve Grüße',
];
const passwordsBeyondLatin1 = ['🔑 пароль\u2028', 'Ã©', 'lone\ud83dhalf'];

const cases = Object.keys(encodings).flatMap((encoding) =>
  Object.keys(charsets).map((charset) => [encoding, charset] as const),
);

test.each(cases)('a password is read from %s of %s, whatever bytes follow', (encoding, charset) => {
  const encode = encodings[encoding];
  const write = charsets[charset];
  if (!encode || !write) throw new Error('the table names an unknown encoding');
  const all = charset === 'Latin-1' ? passwords : [...passwords, ...passwordsBeyondLatin1];

  const readBack = all.flatMap((password) =>
    Object.values(trailers).flatMap((trailer) => {
      const bytes = write(JSON.stringify({ other: { newPassword: 1 }, newPassword: password }));
      return [
        read(Buffer.concat([encode(bytes), trailer])),
        read(encode(Buffer.concat([bytes, trailer]))),
      ];
    }),
  );

  expect(readBack).toEqual(
    all.flatMap((password) => Object.keys(trailers).flatMap(() => [password, password])),
  );
});

test.each(['UTF-16LE', 'UTF-16BE'])(
  'a lone surrogate in %s stays what it is, and can be sent back escaped',
  (charset) => {
    const body = charsets[charset]?.('{"newPassword":"a\ud83d"}') ?? '';

    expect(read(body)).toBe('a\ud83d');
  },
);

test.each([
  [' {"other":1,"newPassword":"\\u0041\\ud800"}\r\n', 'A\ud800'],
  ['{"new\\u0050assword":"x"}', 'x'],
  ['{"message":"newPassword created","newPassword":"x"}', 'x'],
  ['{"newPassword":"x","nested":[{"newPassword":"y"}]}', 'x'],
  ['{"newPassword":"x"}{"status":1}', 'x'],
  ['{"":"","a":"\\"","newPassword":"x"}', 'x'],
  ['{"field":"newPassword","newPassword":"x"}', 'x'],
  [`{"newPassword"${' '.repeat(200)}:"x"}`, 'x'],
])('the body %s holds the password %p', (body, password) => {
  expect(read(body)).toBe(password);
});

const tooLong = `{"newPassword":"x","a":"${' '.repeat(bodyLimitBytes)}"}`;

test.each([
  ['an empty body', ''],
  ['a page', '<html><body>newPassword</body></html>'],
  ['another field', '{"password":"x"}'],
  ['another spelling', '{"NewPassword":"x"}'],
  ['an empty password', '{"newPassword":""}'],
  ['a number', '{"newPassword":42}'],
  ['null', '{"newPassword":null}'],
  ['an object', '{"newPassword":{"value":"x"}}'],
  ['a lower level', '{"result":{"newPassword":"x"}}'],
  ['a list', '[{"newPassword":"x"}]'],
  ['a string', '"newPassword"'],
  ['truncated JSON', '{"newPassword":"x"'],
  ['a truncated string', '{"newPassword":"x'],
  ['invalid JSON', '{"newPassword":"x",}'],
  ['text before the object', 'ok {"newPassword":"x"}'],
  ['the key twice, with two passwords', '{"newPassword":"x","newPassword":"y"}'],
  ['the key twice, once escaped', '{"newPassword":"x","new\\u0050assword":"y"}'],
  ['a second object with another password', '{"newPassword":"x"}\n{"newPassword":"y"}'],
  ['a surrogate in UTF-8', Buffer.from('7b226e657750617373776f7264223a22eda0bd227d', 'hex')],
  ['a part of a UTF-8 sequence', Buffer.from('{"newPassword":"\xc3\xa9\xff"}', 'latin1')],
  ['a Windows-1252 euro sign', Buffer.from('{"newPassword":"\x80"}', 'latin1')],
  ['a truncated gzip body', gzipSync('{"newPassword":"Wh0a1545a84d"}').subarray(0, -16)],
  ['gzip within gzip', gzipSync(gzipSync('{"newPassword":"x"}'))],
  ['more than one mebibyte', gzipSync(tooLong)],
  ['more than one mebibyte of deflate', deflateSync(tooLong)],
  ['more than one mebibyte of raw deflate', deflateRawSync(tooLong)],
  ['more than one mebibyte of br', brotliCompressSync(tooLong)],
])('no password is read from %s', (_, body) => {
  expect(read(body)).toBeNull();
});

test('a compressed body that lost only its checksum is read', () => {
  const complete = gzipSync('{"newPassword":"Wh0a1545a84d"}');

  expect(read(complete.subarray(0, -8))).toBe('Wh0a1545a84d');
  expect(() => gunzipSync(complete.subarray(0, -8))).toThrow();
});

test('any password is read back from any encoding, charset and trailer', () => {
  fc.assert(
    fc.property(
      fc.string({ unit: 'binary', minLength: 1 }),
      fc.constantFrom(...Object.values(encodings)),
      fc.constantFrom(...Object.entries(charsets).filter(([name]) => name !== 'Latin-1')),
      fc.uint8Array({ maxLength: 40 }),
      (password, encode, [, write], trailer) => {
        const body = encode(write(JSON.stringify({ newPassword: password })));

        expect(read(Buffer.concat([body, trailer]))).toBe(password);
      },
    ),
  );
});

test('Latin-1 gives the password or nothing, except for bytes that are valid UTF-8', () => {
  const latin1 = fc.string({
    unit: fc.integer({ min: 0x20, max: 0xff }).map((code) => String.fromCharCode(code)),
    minLength: 1,
  });
  fc.assert(
    fc.property(latin1, (password) => {
      const body = Buffer.from(JSON.stringify({ newPassword: password }), 'latin1');
      const isUtf8 = Buffer.from(body.toString()).equals(body);

      if (!isUtf8) expect([password, null]).toContain(read(body));
    }),
  );
});

test('no bytes make it throw', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      read(bytes);
      mentions(bytes);
    }),
  );
});

test('the name of the field is found in every form, also in a body that was cut', () => {
  for (const encode of Object.values(encodings)) {
    for (const write of Object.values(charsets)) {
      expect(mentions(encode(write('{"newPassword":"Wh0a1545a84d"}')))).toBe(true);
      expect(mentions(encode(write('<html>Please try again later</html>')))).toBe(false);
    }
  }
  const long = `{"newPassword":"${'Wh0a1545a84d'.repeat(20)}"}`;
  expect(mentions(deflateSync(long).subarray(0, -5))).toBe(true);
  expect(() => inflateSync(deflateSync(long).subarray(0, -5))).toThrow();
  expect(mentions(brotliCompressSync(long).subarray(0, -5))).toBe(true);
  for (const other of ['{"xewPassword":"x"}', '{"newPassworx":"x"}'])
    expect(Object.values(charsets).map((write) => mentions(write(other)))).toEqual(
      Array(7).fill(false),
    );
});
