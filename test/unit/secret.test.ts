// A Secret shows itself to nobody but reveal().

import { format, inspect } from 'node:util';
import { Secret } from '../../src/secret.ts';

const planted = 'planted-value';
const bytes = new TextEncoder().encode(planted);

test('no way of printing shows the value', () => {
  for (const secret of [new Secret(planted), new Secret(bytes)]) {
    const printed = [
      `${secret}`,
      String(secret),
      JSON.stringify({ secret }),
      inspect(secret, { showHidden: true, depth: 9, getters: true }),
      inspect({ deep: [{ secret }] }, { depth: 9 }),
      format('%s %o %O %j', secret, secret, secret, secret),
      JSON.stringify(Object.entries(secret)),
      JSON.stringify({ ...secret }),
      new Error(`cannot use ${secret}`).stack,
    ].join('\n');

    expect(printed).not.toContain(planted);
    expect(printed).not.toContain(String(bytes));
    expect(printed).toContain('[secret]');
  }
});

test('secrets can be compared without being revealed', () => {
  expect(new Secret<string>('a').equals(new Secret('a'))).toBe(true);
  expect(new Secret<string>('a').equals(new Secret('b'))).toBe(false);
  expect(new Secret(bytes).equals(new Secret(Uint8Array.from(bytes)))).toBe(true);
  expect(new Secret(bytes).equals(new Secret(bytes.subarray(1)))).toBe(false);
  expect(new Secret('').isEmpty).toBe(true);
});

test('a structured clone contains no secret', () => {
  expect(JSON.stringify(structuredClone(new Secret(planted)))).toBe('{}');
});
