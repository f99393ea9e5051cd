// An order: what a person or a schedule asks the program to do. One schema and one set of limits
// for the command line, the HTTP interface and the functions on AWS Lambda.
//
// Callers pass what they received as it is. A message names the key, its place and what is
// accepted, and never repeats a value, which can be a secret in the wrong place.

import { createHash } from 'node:crypto';
// Not `{ z }`: esbuild keeps all of zod then (444 kB instead of 83 kB).
import * as z from 'zod';
import { suggestion, UsageError } from './config/errors.ts';

const orderActions = ['rotate', 'check', 'recover', 'resume'] as const;

/** The bound of free text, in UTF-16 units: the one of the field `reason` in an audit record. */
export const maxTextLength = 1_024;

/** Free text that goes into the audit log: trimmed, on one line. */
export const freeText = z
  .string()
  .trim()
  .min(1)
  .max(maxTextLength)
  .regex(/^\P{Cc}*$/u);

const acceptedText = `1 to ${maxTextLength} characters on one line, without control characters`;

export const idempotencyKey = z.string().regex(/^[\x21-\x7e]{1,255}$/);

/** What records keep of an idempotency key: 128 bits of its SHA-256, hex. */
export const keyDigestOf = (key: string): string =>
  createHash('sha256').update(key).digest('hex').slice(0, 32);

const schema = z.strictObject({
  action: z.enum(orderActions),
  /** Names of accounts; none: all that are enabled. */
  accounts: z.array(freeText).default([]),
  /** Rotates although it is not due. */
  force: z.boolean().default(false),
  reason: freeText.optional(),
  changeRef: freeText.optional(),
  /** Who asks, as the caller says; not proven. */
  requestedBy: freeText.optional(),
  /** Names the order: however often it is delivered, each account is reset at most once. */
  idempotencyKey: idempotencyKey.optional(),
});

export type Order = z.output<typeof schema>;

type Key = keyof Order;

const accepted: Record<Key, string> = {
  action: orderActions.join(', '),
  accounts: 'a list of account names',
  force: 'true or false',
  reason: acceptedText,
  changeRef: acceptedText,
  requestedBy: acceptedText,
  idempotencyKey: '1 to 255 visible ASCII characters',
};

/** Where an order comes from, and which keys may be given there. */
const places = {
  'command line': ['accounts', 'force', 'reason', 'changeRef', 'idempotencyKey'],
  'request body': ['force', 'reason', 'changeRef'],
  event: ['action', 'accounts', 'force', 'reason', 'changeRef', 'requestedBy', 'idempotencyKey'],
} as const satisfies Record<string, readonly Key[]>;

export type OrderPlace = keyof typeof places;

/**
 * The order in `input`, an object. `fixed` holds what the caller decides: the command, a path, a
 * header. Throws a UsageError with one sentence per mistake.
 */
export function parseOrder(
  input: unknown,
  place: OrderPlace,
  fixed: { readonly [Name in Key]?: Order[Name] | undefined } = {},
): Order {
  if (typeof input !== 'object' || input === null || Array.isArray(input))
    throw new UsageError(`The ${place} takes a JSON object.`);
  const known: readonly Key[] = places[place];
  const problems = Object.keys(input)
    .filter((key) => !known.some((name) => name === key))
    .map((key) => `The ${place} has an unknown key. ${suggestion(key, known)}`);
  const parsed = schema.safeParse({ ...pick(input, known), ...fixed });
  if (!parsed.success) {
    // An issue in a list is an issue of the list.
    const keys = new Set(parsed.error.issues.map(({ path }) => path[0] as Key));
    for (const key of keys) problems.push(`${nameOf(key, place)} takes ${accepted[key]}.`);
  }
  if (problems.length > 0 || !parsed.success) throw new UsageError(problems);
  const order = parsed.data;
  if (order.action === 'resume' && order.reason === undefined)
    problems.push(`resume needs ${nameOf('reason', place)}: why rotation may continue.`);
  if (order.action === 'resume' && order.accounts.length === 0)
    problems.push(`resume needs ${nameOf('accounts', place)}: which accounts to resume.`);
  if (problems.length > 0) throw new UsageError(problems);
  return order;
}

/** Free text outside an order, such as a note. `name` is the flag or key. Throws a UsageError. */
export function parseFreeText(name: string, text: string): string {
  const parsed = freeText.safeParse(text);
  if (!parsed.success) throw new UsageError(`${name} takes ${acceptedText}.`);
  return parsed.data;
}

function pick(input: object, keys: readonly string[]): object {
  return Object.fromEntries(Object.entries(input).filter(([key]) => keys.includes(key)));
}

const flags: Partial<Record<Key, string>> = {
  accounts: 'ACCOUNT',
  reason: '--reason',
  changeRef: '--change-ref',
  idempotencyKey: '--idempotency-key',
};

/** A key as the person who wrote it knows it. */
function nameOf(key: Key, place: OrderPlace): string {
  if (key === 'idempotencyKey' && place === 'request body') return 'The header Idempotency-Key';
  if (place === 'command line') return flags[key] ?? `--${key}`;
  return `"${key}" in the ${place}`;
}

/** The accounts with these names; without names, all that are enabled. Throws a UsageError. */
export function selectAccounts<Account extends { name: string; enabled: boolean }>(
  accounts: readonly Account[],
  names: readonly string[],
): readonly Account[] {
  if (names.length === 0) return accounts.filter(({ enabled }) => enabled);
  const known = accounts.map(({ name }) => name);
  const unknown = names.filter((name) => !known.includes(name));
  if (unknown.length > 0)
    throw new UsageError(
      unknown.map((name) => `Unknown account ${name}. ${suggestion(name, known)}`),
    );
  return accounts.filter(({ name }) => names.includes(name));
}
