// The secret's value: a JSON object that the customer's programs read. We read four keys of it and
// replace the bytes of one; every other byte stays, and no part of the value ever reaches a message
// (JSON.parse's own do quote it).
//
//   {"username": "…", "password": "…", "clientId": "…", "clientSecret": "…", "any other key": …}
//                                 ^^^ the only bytes that ever change

import { Failure } from '../rotation/failure.ts';
import { Secret } from '../secret.ts';
import type { VersionStore } from './version-store.ts';

/** The keys of the secret's JSON object, where they have other names than ours. */
export type Fields = {
  readonly username: string;
  readonly password: string;
  readonly clientId: string;
  readonly clientSecret: string;
};

export const defaultFields: Fields = {
  username: 'username',
  password: 'password',
  clientId: 'clientId',
  clientSecret: 'clientSecret',
};

/**
 * Bytes of UTF-8. Secrets Manager takes 65,536 (its quota page, 2026-11); the rest is room for a
 * longer password.
 */
const maxDocumentBytes = 60_000;

/**
 * One top-level value of the object: the text between two places, and its meaning where it is a
 * string.
 */
type Member = { readonly start: number; readonly end: number; readonly text: string | null };

/**
 * The non-empty strings under the named keys, in their order. `where` names the secret in the
 * message. Throws `secret-invalid`, naming the key and what is wrong, never the value: binary, over
 * 60,000 bytes, not JSON, not an object, a key that is missing, twice there, no string, or empty.
 */
export function readFields(
  value: Secret | 'binary',
  names: readonly string[],
  where: string,
): string[] {
  const members = membersOf(value, names, where);
  return names.map((name) => textOf(members, name, where));
}

/**
 * The same document with the bytes of the top-level `field` replaced by the new password. Throws as
 * `readFields`.
 */
export function replaceField(
  document: Secret,
  field: string,
  password: Secret,
  where: string,
): Secret {
  const members = membersOf(document, [field], where);
  const member = members.get(field);
  if (!member) throw invalid(where, `has no "${field}"`);
  const text = document.reveal();
  return new Secret(
    text.slice(0, member.start) + JSON.stringify(password.reveal()) + text.slice(member.end),
  );
}

function textOf(members: ReadonlyMap<string, Member>, name: string, where: string): string {
  const member = members.get(name);
  if (!member) throw invalid(where, `has no "${name}"`);
  if (member.text === null) throw invalid(where, `has a "${name}" that is not a string`);
  if (member.text === '') throw invalid(where, `has an empty "${name}"`);
  return member.text;
}

/**
 * A string, a bracket, a colon, a comma, or any other literal, of text that is known to be JSON.
 */
const tokens = /"[^"\\]*(?:\\.[^"\\]*)*"|[{}[\]:,]|[^\s{}[\]:,"]+/g;

/**
 * The top-level members with these names. Flat on purpose: a tree parser's stack overflows on 60 kB
 * of brackets.
 */
function membersOf(
  value: Secret | 'binary',
  names: readonly string[],
  where: string,
): Map<string, Member> {
  if (value === 'binary') throw invalid(where, 'is binary; it has to be a JSON object as text');
  const text = value.reveal();
  if (Buffer.byteLength(text) > maxDocumentBytes)
    throw invalid(where, `is over ${maxDocumentBytes} bytes`);
  if (!isJson(text)) throw invalid(where, 'is not JSON');
  if (!/^\s*\{/.test(text)) throw invalid(where, 'is JSON, but not an object');
  const found = new Map<string, Member>();
  let [depth, start, end] = [0, -1, -1];
  let key: string | null = null;
  for (const { 0: token, index } of text.matchAll(tokens)) {
    const isTop = depth === 1;
    if (isTop && (token === ',' || token === '}')) {
      const name = names.find((wanted) => wanted === key);
      if (name !== undefined) {
        if (found.has(name)) throw invalid(where, `has "${name}" twice`);
        found.set(name, {
          start,
          end,
          text: text[start] === '"' ? JSON.parse(text.slice(start, end)) : null,
        });
      }
      [key, start] = [null, -1];
    } else if (isTop && key === null) key = JSON.parse(token) as string;
    else if (isTop && token !== ':' && start < 0) start = index;
    if (token === '{' || token === '[') depth += 1;
    if (token === '}' || token === ']') depth -= 1;
    end = index + token.length;
  }
  return found;
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

function invalid(where: string, what: string): Failure {
  return new Failure('secret-invalid', `the value of ${where} ${what}`);
}

/**
 * The result of `parse` for the complete text of a secret that contains a key. `parse` must not
 * keep the text. What `parse` throws becomes `secret-invalid`.
 * Throws as `VersionStore.read`, and `secret-not-found`.
 */
export async function parseSecret<Parsed>(
  versions: VersionStore,
  where: string,
  parse: (text: string) => Parsed,
): Promise<Parsed> {
  const version = await versions.read({ stage: 'AWSCURRENT' });
  if (!version)
    throw new Failure('secret-not-found', `${where} has no AWSCURRENT, or does not exist`);
  try {
    if (version.value !== 'binary') return parse(version.value.reveal());
  } catch {
    // Not rethrown: the message of the error may quote the text.
  }
  throw new Failure('secret-invalid', `the value of ${where} is not what is expected there`);
}
