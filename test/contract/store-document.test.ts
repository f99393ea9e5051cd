// Properties of the secret document and of folder names, with generated input.

import fc from 'fast-check';
import { Secret } from '../../src/secret.ts';
import { safeName } from '../../src/stores/durable-files.ts';
import { readFields, replaceField } from '../../src/stores/secret-document.ts';
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
