// Values for the tests of the state machine, and the texts in which they show what a transition
// changes. No I/O and no time: the store, the receipts and the audit log are read from plain data.

import type { OpenIntent } from '../../src/rotation/event.ts';
import { Failure, type Reason } from '../../src/rotation/failure.ts';
import { advance, begin, effectOf } from '../../src/rotation/machine.ts';
import type { FoundReceipt, FoundRecord, Ports, SecretVersion } from '../../src/rotation/ports.ts';
import type { AttemptRecord, OpenRotation } from '../../src/rotation/record.ts';
import { examine, survey } from '../../src/rotation/rotate.ts';
import type { Effect, Evidence, Outcome, Request, State } from '../../src/rotation/state.ts';
import { Secret } from '../../src/secret.ts';

export const dayMs = 86_400_000;
/** 2026-12-01T00:00:00Z; every attempt in these tests begins then. */
export const nowMs = Date.UTC(2026, 11, 1);

export const request: Request = {
  account: 'east',
  secretId: 'thingspace/east',
  store: 'file',
  purpose: 'rotate',
  force: false,
  impatient: false,
  trigger: { kind: 'schedule' },
  policy: { rotateAfterDays: 60, maxAgeDays: 90 },
  timing: { requestTimeoutMs: 10_000, resetTimeoutMs: 60_000, settleMs: 120_000 },
};

export const owner = { id: 'owner-1', host: 'here', pid: 7 };

/** A version of the secret; `days`: its age. */
export const version = (
  versionId: string,
  password: string,
  { days = 61 }: { days?: number } = {},
): SecretVersion => ({
  versionId,
  stages: [],
  createdAtMs: nowMs - days * dayMs,
  document: new Secret(`{"password":"${password}"}`),
  credentials: {
    username: 'UWSEAST',
    password: new Secret(password),
    clientId: 'client',
    clientSecret: new Secret('client secret'),
  },
});

export const failure = (reason: Reason): Failure =>
  new Failure(reason, 'it failed here', { host: 'api.test', cause: 'disk-full' });

export const bytes = (text: string) => new Secret<Uint8Array>(new TextEncoder().encode(text));

export const open: OpenRotation = {
  rotationId: 'r1',
  basis: 'v1',
  startedAtMs: nowMs - 200_000,
  settleLeftMs: 190_000,
};

/** A record of another process, seven records after the first one. */
export const recordOf = (fields: Partial<AttemptRecord> = {}): AttemptRecord =>
  ({
    phase: 'released',
    sequence: 7,
    basis: 'v1',
    holder: { id: 'owner-0', host: 'there', pid: 3 },
    writtenAtMs: nowMs - 100_000,
    leaseMs: 0,
    loginsSpent: 0,
    ...fields,
  }) as AttemptRecord;

/** All that an attempt can read about an account. */
export type Facts = {
  readonly record?: AttemptRecord | null;
  readonly ageMs?: number;
  readonly current?: SecretVersion;
  readonly liveness?: Evidence['liveness'];
  readonly pending?: string;
  /** Rotations whose intent has no outcome in the audit log. */
  readonly intents?: readonly string[];
  readonly last?: Partial<NonNullable<Evidence['lastRotation']>>;
  readonly stored?: NonNullable<Evidence['stored']>;
  readonly suspension?: Partial<NonNullable<Evidence['suspension']>>;
  readonly versions?: readonly SecretVersion[];
  readonly receipt?: FoundReceipt;
  readonly answer?: string;
  readonly sinceDays?: number;
  /** A newer record, which the first read does not show. */
  readonly newer?: AttemptRecord;
  /** What is read by label and is outdated. */
  readonly outdated?: SecretVersion;
  /** Versions that are not found by their id, although they exist. */
  readonly hidden?: readonly string[];
  /** No version is read with the label AWSCURRENT. */
  readonly isUnlabelled?: true;
  /** The method that fails. */
  readonly fails?: keyof Ports['store'] | 'rotationsOf' | 'find';
  readonly remainingMs?: number;
  readonly request?: Partial<Request>;
};

const reasonOf = (method: NonNullable<Facts['fails']>): Reason =>
  method === 'rotationsOf'
    ? 'audit-unavailable'
    : method === 'find'
      ? 'receipt-unavailable'
      : 'store-unavailable';

/** Ports that read these facts and can do nothing else. */
export function portsOf(facts: Facts): Omit<Ports, 'observe'> {
  const { record = null, ageMs = 100_000, fails } = facts;
  const stages = facts.isUnlabelled ? [] : ['AWSCURRENT'];
  const current = { ...(facts.current ?? version('v1', 'old')), stages };
  const known = new Map([current, ...(facts.versions ?? [])].map((one) => [one.versionId, one]));
  for (const id of facts.hidden ?? []) known.delete(id);
  const answering = <T>(method: NonNullable<Facts['fails']>, value: T): Promise<T> =>
    method === fails ? Promise.reject(failure(reasonOf(method))) : Promise.resolve(value);
  const found = (one: AttemptRecord | null): FoundRecord | null => one && { record: one, ageMs };
  const open: OpenIntent[] = (facts.intents ?? []).map((rotationId) => ({
    rotationId,
    account: 'east',
    intendedAtMs: nowMs - 1,
  }));
  const last = facts.last && {
    rotationId: 'r5',
    secretId: 'thingspace/east',
    versionId: 'r5',
    atMs: nowMs - 30_000,
    isVerified: false,
    ...facts.last,
  };
  const suspension = facts.suspension && {
    secretId: 'thingspace/east',
    attemptRecord: 9,
    atMs: nowMs - 3_600_000,
    ...facts.suspension,
  };
  const { stored = null } = facts;
  const ports = {
    store: {
      readCurrent: () => answering('readCurrent', facts.outdated ?? current),
      readVersion: (id: string) => answering('readVersion', known.get(id) ?? null),
      readPending: () => answering('readPending', facts.pending ?? null),
      readRecord: (atLeast: number) => {
        const isNewest = facts.newer !== undefined && atLeast > (record?.sequence ?? 0);
        return answering('readRecord', found(isNewest ? (facts.newer ?? null) : record));
      },
      recoveryId: (rotationId: string, replaced: string) => `${rotationId}>${replaced}`,
      readAnswer: () =>
        answering(
          'readAnswer',
          facts.answer === undefined ? null : { versionId: 'answer-1', body: bytes(facts.answer) },
        ),
      passwordSince: () => answering('passwordSince', nowMs - (facts.sinceDays ?? 61) * dayMs),
    },
    thingspace: {
      readNewPassword: (body: Secret<Uint8Array>) => {
        const text = new TextDecoder().decode(body.reveal());
        return text.startsWith('?') ? null : new Secret(text);
      },
    },
    receipts: { find: () => answering('find', facts.receipt ?? null) },
    audit: {
      rotationsOf: () => answering('rotationsOf', { open, last: last ?? null, stored, suspension }),
    },
    processes: { liveness: () => facts.liveness ?? 'unknown' },
    clock: { nowMs: () => nowMs },
  };
  return ports as unknown as Omit<Ports, 'observe'>;
}

type Measured = 'atMs' | 'atMonotonicMs' | 'remainingMs';
type WithoutTime<O> = O extends Outcome ? Omit<O, Measured> : never;

/** An outcome, at the time of these tests. */
export const outcome = (
  given: WithoutTime<Outcome>,
  remainingMs = Number.POSITIVE_INFINITY,
): Outcome => ({ ...given, atMs: nowMs, atMonotonicMs: 5_400, remainingMs }) as Outcome;

const tried = (error: unknown): Failure => {
  if (error instanceof Failure) return error;
  throw error;
};

/** The states of an attempt until it has read all that it asks for. */
export async function surveyed(facts: Facts, asked: Partial<Request> = {}): Promise<State[]> {
  const whole = { ...request, ...facts.request, ...asked };
  const ports = portsOf(facts);
  const states = [begin(whole, owner, nowMs - 700, whole.native?.rotationId ?? 'r2')];
  for (let reads = 0; reads < 20; reads += 1) {
    const state = states.at(-1) as State;
    const effect = effectOf(state);
    const read = effect && (await readFor(effect, ports, whole));
    if (!read) break;
    states.push(advance(state, { ...outcome(read, facts.remainingMs) } as Outcome));
  }
  return states;
}

async function readFor(
  effect: Effect,
  ports: Omit<Ports, 'observe'>,
  asked: Request,
): Promise<WithoutTime<Outcome> | null> {
  if (effect.effect === 'survey')
    return {
      of: 'survey',
      evidence: await survey(ports, asked, effect.atLeast, owner).catch(tried),
    };
  if (effect.effect === 'examine')
    return { of: 'examine', details: await examine(ports, asked, effect).catch(tried) };
  return null;
}

/** JSON in which passwords, versions and failures are readable. */
export const shown = (value: unknown): string =>
  JSON.stringify(value, function show(this: Record<string, unknown>, key, plain) {
    const given = this[key];
    if (given instanceof Secret) {
      const secret = given.reveal();
      return typeof secret === 'string' ? `§${secret}` : `§${new TextDecoder().decode(secret)}`;
    }
    if (given instanceof Failure)
      return { failure: given.reason, detail: given.message, facts: given.facts };
    if (given instanceof Map) return Object.fromEntries(given);
    if (given === Number.POSITIVE_INFINITY) return 'for ever';
    if (typeof given === 'object' && given !== null && 'document' in given) {
      const { versionId, credentials } = given as SecretVersion;
      return `${versionId} §${credentials.password.reveal()}`;
    }
    return plain;
  });

/** The fields that differ, each on a line. */
const changes = (before: object, after: object, prefix = ''): string[] =>
  [...new Set([...Object.keys(before), ...Object.keys(after)])].flatMap((key) => {
    const [was, is] = [before, after].map((one) => (one as Record<string, unknown>)[key]);
    if (shown(was) === shown(is)) return [];
    const values = Array.isArray(is) && is.length > 0 ? is : [is];
    return values.map((value) => `  ${prefix}${key} ${shown(value)}`);
  });

/** The next state: its name, and what differs from the state before. */
export function changesIn(before: State, after: State): string[] {
  const { at: _, request: asked, tally: known, ...fields } = before;
  const { at, request: asksNow, tally, ...others } = after;
  return [
    `→ ${at}`,
    ...changes(asked, asksNow, 'request.'),
    ...changes(known, tally, 'tally.'),
    // A field that the next state does not have says nothing about it.
    ...changes(Object.fromEntries(Object.entries(fields).filter(([key]) => key in others)), others),
  ];
}
