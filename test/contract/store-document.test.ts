// Properties of the secret document and of folder names, with generated input.

import fc from 'fast-check';
import { Failure } from '../../src/rotation/failure.ts';
import { Secret } from '../../src/secret.ts';
import { safeName } from '../../src/stores/durable-files.ts';
import { parseSecret, readFields, replaceField } from '../../src/stores/secret-document.ts';
import { expectNothingPlanted, planted } from '../harness/store-contract.ts';

/** JSON text with generated white space, so that the code can rely on the password only. */
const space = fc.stringMatching(/^[ \t\r\n]{0,3}$/);
const members = fc.dictionary(
  fc.string().filter((key) => key !== 'password' && key !== '__proto__'),
  fc.jsonValue(),
  { maxKeys: 6 },
);
const documents = fc
  .tuple(members, members, fc.string({ minLength: 1, unit: 'binary' }), space, space)
  .map(([before, after, password, left, right]) => {
    const member = ([key, value]: [string, unknown]): string => {
      const text = JSON.stringify(value, null, left.length);
      return `${left}${JSON.stringify(key)}${right}:${left}${text}${right}`;
    };
    const texts = [
      ...Object.entries(before).map(member),
      '\0',
      ...Object.entries(after)
        .filter(([key]) => !(key in before))
        .map(member),
    ];
    const withPassword = (literal: string): string => {
      const password = `${right}"pass\\u0077ord":${left}${literal}${right}`;
      return `${left}{${texts.join(',').replace('\0', () => password)}}${right}`;
    };
    return { password, withPassword };
  });

test('in any document the password is found, and only its bytes change', () => {
  fc.assert(
    fc.property(
      documents,
      fc.string({ minLength: 1, unit: 'binary' }),
      ({ password, withPassword }, fresh) => {
        const document = new Secret(withPassword(JSON.stringify(password)));

        const replaced = replaceField(document, 'password', new Secret(fresh), 'secret x');

        expect(readFields(document, ['password'], 'secret x')).toEqual([password]);
        expect(replaced.reveal()).toBe(withPassword(JSON.stringify(fresh)));
        expect(readFields(replaced, ['password'], 'secret x')).toEqual([fresh]);
      },
    ),
  );
});

test('text that is no document is rejected, and the error does not quote it', () => {
  fc.assert(
    fc.property(fc.string(), fc.constantFrom(...Object.values(planted)), (junk, secret) => {
      try {
        readFields(new Secret(`${secret}${junk}${secret}`), ['password'], 'secret x');
      } catch (error) {
        expectNothingPlanted(error);
        return;
      }
      throw new Error('the text was accepted');
    }),
  );
});

const complete = '{"username":"u","password":"p"}';

test.each<[string, Secret | 'binary', string]>([
  ['bytes', 'binary', 'is binary; it has to be a JSON object as text'],
  ['60,001 bytes', new Secret(complete.padEnd(60_001)), 'is over 60000 bytes'],
  ['no JSON', new Secret('{"username":"u"'), 'is not JSON'],
  ['a list', new Secret('[{"username":"u"}]'), 'is JSON, but not an object'],
  ['another key', new Secret('{"user":"username"}'), 'has no "username"'],
  ['a key below another one', new Secret('{"a":{"username":"u"}}'), 'has no "username"'],
  ['a number', new Secret('{"username":1}'), 'has a "username" that is not a string'],
  [
    'a list as its value',
    new Secret('{"username":["u"]}'),
    'has a "username" that is not a string',
  ],
  ['an empty text', new Secret('{"username":""}'), 'has an empty "username"'],
  ['a key twice', new Secret('{"username":"u","username":"v"}'), 'has "username" twice'],
  ['a second key that is missing', new Secret('{"username":"u"}'), 'has no "password"'],
])('a document with %s is rejected', (_, value, problem) => {
  const read = () => readFields(value, ['username', 'password'], 'secret x');

  expect(read).toThrow(new Failure('secret-invalid', `the value of secret x ${problem}`));
});

test('a document of 60,000 bytes is read, and other keys may occur twice', () => {
  const read = (text: string) => readFields(new Secret(text), ['password', 'username'], 'secret x');

  expect(read(complete.padEnd(60_000))).toEqual(['p', 'u']);
  expect(read('{"a":1,"a":2,"password":"p","username":"u"}')).toEqual(['p', 'u']);
  expect(() => replaceField(new Secret('{}'), 'password', new Secret('p'), 'secret x')).toThrow(
    new Failure('secret-invalid', 'the value of secret x has no "password"'),
  );
});

test.each<[string, { value: Secret | 'binary' } | null, unknown]>([
  ['a text', { value: new Secret('{"a":1}') }, { a: 1 }],
  [
    'no version',
    null,
    new Failure('secret-not-found', 'secret x has no AWSCURRENT, or does not exist'),
  ],
  [
    'no valid text',
    { value: new Secret('planted') },
    new Failure('secret-invalid', 'the value of secret x is not what is expected there'),
  ],
  [
    'bytes',
    { value: 'binary' },
    new Failure('secret-invalid', 'the value of secret x is not what is expected there'),
  ],
])('the secret of a key that is %s gives the key or a failure', async (_, version, expected) => {
  const asked: unknown[] = [];
  const read = async (which: unknown) => {
    asked.push(which);
    return version;
  };

  const parsed = await parseSecret({ read } as never, 'secret x', JSON.parse).catch(
    (error: unknown) => error,
  );

  expect(parsed).toEqual(expected);
  expect((parsed as Failure).reason).toBe((expected as Failure).reason);
  expect(asked).toEqual([{ stage: 'AWSCURRENT' }]);
});

test('sixty kilobytes of brackets, quotes or escapes are parsed', () => {
  const fills = [
    '['.repeat(29_000) + ']'.repeat(29_000),
    `${'{"a":'.repeat(9_000)}1${'}'.repeat(9_000)}`,
    JSON.stringify('"'.repeat(29_000)),
    JSON.stringify('\\'.repeat(29_000)),
  ];

  const found = fills.map((fill) =>
    readFields(new Secret(`{"deep":${fill},"password":"p"}`), ['password'], 'secret x'),
  );

  expect(found).toEqual(Array(4).fill(['p']));
});

test('different names have different folders, on every file system', () => {
  const name = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.stringMatching(/^[a-zA-Z./%~_-]{1,300}$/),
  );
  fc.assert(
    fc.property(name, name, (a, b) => {
      const [first, second] = [safeName(a), safeName(b)];

      expect(first.toLowerCase().normalize('NFC') === second.toLowerCase().normalize('NFC')).toBe(
        Buffer.from(a).equals(Buffer.from(b)),
      );
      expect(
        [first, second].every(
          (folder) => /^[a-z0-9_%~.-]{0,160}$/.test(folder) && !folder.startsWith('.'),
        ),
      ).toBe(true);
    }),
  );
});
