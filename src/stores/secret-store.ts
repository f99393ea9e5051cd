// The port of the loop (rotation/ports.ts `SecretStore`) over any store of versions: which token
// names an attempt record, what may be pending, how a value is read and written. The only place
// that knows both the secret's document and the attempt record; it never decides what happens next.

import { createHash } from 'node:crypto';
import { Failure } from '../rotation/failure.ts';
import type { Credentials, FoundRecord, SecretStore, SecretVersion } from '../rotation/ports.ts';
import { type AttemptRecord, formatRecord, parseRecord } from '../rotation/record.ts';
import { Secret } from '../secret.ts';
import { dayMs } from '../time.ts';
import { defaultFields, type Fields, readFields, replaceField } from './secret-document.ts';
import type { ListedVersion, StoredVersion, VersionStore } from './version-store.ts';

/**
 * Which secret an account is. `oauth`: the secret that holds clientId and clientSecret, where that
 * is another one.
 */
export type AccountSecret = {
  readonly secretId: string;
  readonly fields?: Partial<Fields> | undefined;
  readonly oauth?: { readonly secretId: string; readonly versions: VersionStore } | undefined;
};

/**
 * How many older versions `passwordSince` reads one after the other, before it halves what is left.
 * An age is asked for at every run.
 */
const versionsReadInTurn = 20;

/**
 * How many attempt records below the newest one `passwordSince` knows by their token; a store keeps
 * about 100 versions without a label.
 */
const maxRecordsKnown = 200;

/**
 * The version id of an attempt record: 64 hex digits that only this secret and sequence have, so
 * that two writers of one sequence meet. The identity is in it because a secret that is recreated
 * under the same name starts with new records.
 */
export function recordToken(identity: string, sequence: number): string {
  return createHash('sha256')
    .update(`thingspace-rotator/ROTATION\0${identity}\0${sequence}`)
    .digest('hex');
}

/** The version id that only these parts have: 64 hex digits. */
function derivedId(kind: string, ...parts: readonly string[]): string {
  return createHash('sha256')
    .update(['thingspace-rotator', kind, ...parts].join('\0'))
    .digest('hex');
}

/**
 * Versions younger than a day that a rotation must find room for: claim, resetting, password,
 * closing, and as many in a recovery.
 */
const versionsReserved = 10;

/**
 * The port over `versions`. The only state is the identity in the last response; every read renews
 * it.
 */
export function openSecretStore(versions: VersionStore, account: AccountSecret): SecretStore {
  const fields: Fields = { ...defaultFields, ...account.fields };
  const where = `secret ${account.secretId}`;
  let knownIdentity: string | null = null;

  const read: Read = async (which) => {
    const version = await versions.read(which);
    if (version) knownIdentity = version.identity;
    return version;
  };
  const identity = async (): Promise<string> =>
    knownIdentity ?? (await needCurrent(read, where)).identity;
  const oauthWhere = account.oauth ? `secret ${account.oauth.secretId}` : where;
  const { oauth: other } = account;
  const oauthVersion = (): Promise<StoredVersion | null> =>
    other ? needCurrent((which) => other.versions.read(which), oauthWhere) : none;
  const secretIn = (version: StoredVersion, oauth: StoredVersion | null): SecretVersion => {
    const { versionId, stages, createdAtMs, value } = version;
    const credentials = credentialsIn(version, oauth, fields, where, oauthWhere);
    // A binary value has no credentials.
    return { versionId, stages, createdAtMs, document: value as Secret, credentials };
  };

  return {
    async readCurrent() {
      const current = needCurrent(read, where);
      return secretIn(...(await Promise.all([current, oauthVersion()])));
    },

    async readVersion(versionId) {
      const [version, oauth] = await Promise.all([read({ versionId }), oauthVersion()]);
      return version && secretIn(version, oauth);
    },

    async readPending() {
      const version = await read({ stage: 'AWSPENDING' });
      if (!version || (version.value !== 'binary' && version.value.isEmpty)) return null;
      return version.stages.includes('AWSCURRENT') || version.stages.includes('AWSPREVIOUS')
        ? null
        : version.versionId;
    },

    async putPending(versionId, basis, password) {
      const value = replaceField(basis.document, fields.password, password, where);
      const version = { token: versionId, value, stages: ['AWSPENDING'] };
      if ((await versions.put(version)) === 'written') return 'stored';
      // Another document with the same password is accepted: another key was edited between two
      // attempts to store it.
      const stored = await versions.read({ versionId });
      const isSame = stored && passwordIn(stored, fields, where)?.equals(password);
      return isSame ? 'stored' : 'taken';
    },

    promote: async (from, to) =>
      (await versions.move('AWSCURRENT', from, to)) === 'moved' ? 'promoted' : 'conflict',
    recoveryId: (rotationId, replaced) => derivedId('recovery', rotationId, replaced),
    roomAtMs: (nowMs) => findRoomAtMs(versions, nowMs),
    passwordSince: async (current) => {
      const [listed, newest] = await Promise.all([versions.list(), read({ stage: 'ROTATION' })]);
      const candidates = olderThan(current, listed, knownRecords(newest));
      return findPasswordSince(versions, current, candidates, fields, where);
    },
    ...recordMethods(versions, read, identity),
    ...answerMethods(versions, read),
  };
}

/** The attempt records among the versions, found by label or by the token of their sequence. */
function recordMethods(
  versions: VersionStore,
  read: Read,
  identity: () => Promise<string>,
): Pick<SecretStore, 'readRecord' | 'putRecord'> {
  return {
    async readRecord(atLeast) {
      const labelled = await read({ stage: 'ROTATION' });
      const newest = labelled && recordIn(labelled);
      if (atLeast < 1 || (newest && newest.record.sequence >= atLeast)) return newest;
      // The label is outdated or missing: the token of a sequence names its record without a label.
      const derived = await read({ versionId: recordToken(await identity(), atLeast) });
      return derived ? recordIn(derived) : newest;
    },

    async putRecord(record: AttemptRecord) {
      const token = recordToken(await identity(), record.sequence);
      return versions.put({ token, value: new Secret(formatRecord(record)), stages: ['ROTATION'] });
    },
  };
}

/** The stored reset responses, one per rotation. */
function answerMethods(
  versions: VersionStore,
  read: Read,
): Pick<SecretStore, 'putAnswer' | 'readAnswer'> {
  return {
    async putAnswer(rotationId, body) {
      const token = derivedId('ROTATION_ANSWER', rotationId);
      const value = formatAnswer(rotationId, body);
      await versions.put({ token, value, stages: ['ROTATION_ANSWER'] });
      return token;
    },

    async readAnswer(rotationId) {
      const versionId = derivedId('ROTATION_ANSWER', rotationId);
      const version = await read({ versionId });
      const body = version && parseAnswer(version.value);
      return body === null ? null : { versionId, body };
    },
  };
}

/** When the store accepts the versions of one more rotation; null for now or for no limit. */
async function findRoomAtMs(versions: VersionStore, nowMs: number): Promise<number | null> {
  const { youngVersionLimit } = versions;
  if (youngVersionLimit === null) return null;
  const young = (await versions.list())
    .map(({ createdAtMs }) => createdAtMs + dayMs)
    .filter((freeAtMs) => freeAtMs > nowMs)
    .sort((a, b) => a - b);
  // So many of the oldest young versions must age before there is room.
  const surplus = young.length - (youngVersionLimit - versionsReserved);
  return surplus < 0 ? null : (young[surplus] ?? null);
}

/** When the oldest version of an unbroken run with the current password was created. */
async function findPasswordSince(
  versions: VersionStore,
  current: SecretVersion,
  candidates: readonly ListedVersion[],
  fields: Fields,
  where: string,
): Promise<number> {
  const { password } = current.credentials;
  let since = current.createdAtMs;
  let rest = candidates;
  for (let reads = 0; ; reads += 1) {
    // Another program may have stored all of the newest ones.
    const at = reads < versionsReadInTurn ? 0 : rest.length >> 1;
    const next = rest[at];
    if (!next) return since;
    const { versionId } = next;
    const older = await versions.read({ versionId }).catch(closedForGood);
    // A version is empty until the rotation that Secrets Manager began has filled it.
    if (older === null || (older !== 'closed' && holdsOwn(older))) rest = rest.toSpliced(at, 1);
    else if (older !== 'closed' && passwordIn(older, fields, where)?.equals(password)) {
      since = Math.min(since, older.createdAtMs);
      rest = rest.slice(at + 1);
    } else rest = rest.slice(0, at);
  }
}

/**
 * Secrets Manager takes 65,536 bytes; a reset response has about 30, so the rest of a longer one is
 * a page of a proxy.
 */
const answerBytesKept = 45_000;

/** The bytes of a response as a text that any store takes. */
function formatAnswer(rotationId: string, body: Secret<Uint8Array>): Secret {
  const bytes = Buffer.from(body.reveal().subarray(0, answerBytesKept)).toString('base64');
  return new Secret(JSON.stringify({ format: 'thingspace-rotator/answer/1', rotationId, bytes }));
}

function parseAnswer(value: Secret | 'binary'): Secret<Uint8Array> | null {
  if (value === 'binary') return null;
  try {
    const { bytes } = JSON.parse(value.reveal()) as { bytes?: unknown };
    return typeof bytes === 'string'
      ? new Secret(new Uint8Array(Buffer.from(bytes, 'base64')))
      : null;
  } catch {
    return null;
  }
}

const none: Promise<null> = Promise.resolve(null);

type Read = VersionStore['read'];

/** The current version, or `secret-not-found`. */
async function needCurrent(read: Read, where: string): Promise<StoredVersion> {
  const version = await read({ stage: 'AWSCURRENT' });
  if (version) return version;
  throw new Failure('secret-not-found', `${where} has no AWSCURRENT, or does not exist`);
}

function credentialsIn(
  version: StoredVersion,
  oauth: StoredVersion | null,
  fields: Fields,
  where: string,
  oauthWhere: string,
): Credentials {
  const [username, password] = readFields(
    version.value,
    [fields.username, fields.password],
    where,
  ) as [string, string];
  const pair = readFields(
    (oauth ?? version).value,
    [fields.clientId, fields.clientSecret],
    oauthWhere,
  ) as [string, string];
  return {
    username,
    password: new Secret(password),
    clientId: pair[0],
    clientSecret: new Secret(pair[1]),
  };
}

/** The password in a version, or `null` where its value is not one of ours. */
function passwordIn(version: StoredVersion, fields: Fields, where: string): Secret | null {
  try {
    return new Secret((readFields(version.value, [fields.password], where) as [string])[0]);
  } catch (error) {
    return unreadable(error);
  }
}

function recordIn(version: StoredVersion): FoundRecord {
  if (version.value === 'binary')
    throw new Failure(
      'record-invalid',
      `version ${version.versionId} is binary, not an attempt record`,
    );
  // One end is the creation date with its milliseconds, the other may be an HTTP date without:
  // hence never below 0.
  return {
    record: parseRecord(version.value.reveal()),
    ageMs: Math.max(0, version.storeNowMs - version.createdAtMs),
  };
}

/** Whether a version is an attempt record or a kept response, and no document with a password. */
function holdsOwn(version: StoredVersion): boolean {
  if (version.value === 'binary') return false;
  try {
    const { format } = JSON.parse(version.value.reveal()) as { format?: unknown };
    return String(format).startsWith('thingspace-rotator/');
  } catch {
    return false;
  }
}

/**
 * The tokens of the newest record and of those before it, without reading any. Empty where the
 * newest is not readable.
 */
function knownRecords(newest: StoredVersion | null): ReadonlySet<string> {
  if (!newest) return new Set();
  try {
    const { sequence } = recordIn(newest).record;
    const count = Math.min(sequence, maxRecordsKnown);
    return new Set(
      Array.from({ length: count }, (_, index) => recordToken(newest.identity, sequence - index)),
    );
  } catch (error) {
    unreadable(error);
    return new Set();
  }
}

/** Newest first; without the version itself, later ones, and attempt records. */
function olderThan(
  current: SecretVersion,
  listed: readonly ListedVersion[],
  records: ReadonlySet<string>,
): ListedVersion[] {
  return listed
    .filter(
      ({ versionId, createdAtMs }) =>
        versionId !== current.versionId &&
        createdAtMs <= current.createdAtMs &&
        !records.has(versionId),
    )
    .sort((a, b) => b.createdAtMs - a.createdAtMs);
}

/**
 * The key of an older version may be gone, or its file damaged: no later read shows more. Without
 * an answer at all the age would be wrong.
 */
function closedForGood(error: unknown): 'closed' {
  if (error instanceof Failure && (error.reason === 'store-denied' || isDamaged(error)))
    return 'closed';
  throw error;
}

const isDamaged = ({ facts }: Failure): boolean => facts.cause === 'damaged';

/** `null` for a Failure; anything else is a bug and is thrown again. */
function unreadable(error: unknown): null {
  if (error instanceof Failure) return null;
  throw error;
}
