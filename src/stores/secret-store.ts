// The port of the loop (rotation/ports.ts `SecretStore`) over any store of versions: which token names an
// attempt record, what may be pending, how a value is read and written. The only place that knows both the
// secret's document and the attempt record; it never decides what happens next.

import { createHash } from 'node:crypto';
import { Failure } from '../rotation/failure.ts';
import type { Credentials, CurrentSecret, FoundRecord, SecretStore } from '../rotation/ports.ts';
import { type AttemptRecord, formatRecord, isRecord, parseRecord } from '../rotation/record.ts';
import { Secret } from '../secret.ts';
import { defaultFields, type Fields, readFields, replaceField } from './secret-document.ts';
import type { ListedVersion, StoredVersion, VersionStore } from './version-store.ts';

/** Which secret an account is. `oauth`: the secret that holds clientId and clientSecret, where that is another one. */
export type AccountSecret = {
  readonly secretId: string;
  readonly fields?: Partial<Fields>;
  readonly oauth?: { readonly secretId: string; readonly versions: VersionStore };
};

/** How many older versions `passwordSince` reads at most; an age is asked for at every run. */
const maxVersionsRead = 20;

/** How many attempt records below the newest one `passwordSince` knows by their token; a store keeps about 100 versions without a label. */
const maxRecordsKnown = 200;

/**
 * The version id of an attempt record: 64 hex digits that only this secret and sequence have, so that two writers of
 * one sequence meet. The identity is in it because a secret made anew under the same name starts its records anew.
 */
export function recordToken(identity: string, sequence: number): string {
  return createHash('sha256')
    .update(`thingspace-rotator/ROTATION\0${identity}\0${sequence}`)
    .digest('hex');
}

/** The port over `versions`. Holds no state but the identity of the last answer, which every read renews. */
export function openSecretStore(versions: VersionStore, account: AccountSecret): SecretStore {
  const fields: Fields = { ...defaultFields, ...account.fields };
  const where = `secret ${account.secretId}`;
  let knownIdentity: string | null = null;

  const read = async (
    which: { stage: string } | { versionId: string },
  ): Promise<StoredVersion | null> => {
    const version = await versions.read(which);
    if (version) knownIdentity = version.identity;
    return version;
  };
  const identity = async (): Promise<string> =>
    knownIdentity ?? (await need(read, { stage: 'AWSCURRENT' }, where)).identity;
  const oauthVersion = (): Promise<StoredVersion | null> =>
    account.oauth
      ? need(
          (which) => account.oauth?.versions.read(which) ?? null,
          { stage: 'AWSCURRENT' },
          `secret ${account.oauth.secretId}`,
        )
      : none;

  const readWhole = async (
    which: { stage: string } | { versionId: string },
  ): Promise<CurrentSecret> => {
    const [version, oauth] = await Promise.all([need(read, which, where), oauthVersion()]);
    const credentials = credentialsIn(
      version,
      oauth,
      fields,
      where,
      account.oauth ? `secret ${account.oauth.secretId}` : where,
    );
    if (version.value === 'binary')
      throw new Failure('secret-invalid', `the value of ${where} is binary`);
    return {
      versionId: version.versionId,
      createdAtMs: version.createdAtMs,
      document: version.value,
      credentials,
    };
  };

  return {
    readCurrent: () => readWhole({ stage: 'AWSCURRENT' }),
    readVersion: (versionId) => readWhole({ versionId }),

    async readPending() {
      const version = await read({ stage: 'AWSPENDING' });
      if (!version || (version.value !== 'binary' && version.value.isEmpty)) return null;
      return version.stages.includes('AWSCURRENT') || version.stages.includes('AWSPREVIOUS')
        ? null
        : version.versionId;
    },

    async readRecord(atLeast) {
      const labelled = await read({ stage: 'ROTATION' });
      const newest = labelled && recordIn(labelled);
      if (atLeast < 1 || (newest && newest.record.sequence >= atLeast)) return newest;
      // The label is stale or gone: the token of a sequence names its record without any label.
      const derived = await read({ versionId: recordToken(await identity(), atLeast) });
      return derived ? recordIn(derived) : newest;
    },

    async putRecord(record: AttemptRecord) {
      const token = recordToken(await identity(), record.sequence);
      return versions.put({ token, value: new Secret(formatRecord(record)), stages: ['ROTATION'] });
    },

    async putPending(rotationId, basis, password) {
      const value = replaceField(basis.document, fields.password, password, where);
      if ((await versions.put({ token: rotationId, value, stages: ['AWSPENDING'] })) === 'written')
        return;
      // Another document with the same password is as good: somebody edited another key between two tries.
      const stored = await versions.read({ versionId: rotationId });
      if (stored && passwordIn(stored, fields, where)?.equals(password)) return;
      throw new Failure(
        'store-unavailable',
        `${where}: version ${rotationId} already holds another value`,
      );
    },

    promote: async (from, to) =>
      (await versions.move('AWSCURRENT', from, to)) === 'moved' ? 'promoted' : 'conflict',

    async passwordSince(current) {
      const [listed, newest] = await Promise.all([versions.list(), read({ stage: 'ROTATION' })]);
      const candidates = olderThan(current, listed, knownRecords(newest));
      let since = current.createdAtMs;
      for (const version of candidates.slice(0, maxVersionsRead)) {
        const older = await versions.read({ versionId: version.versionId }).catch(unreadable);
        if (older && holdsRecord(older)) continue;
        if (!older || !passwordIn(older, fields, where)?.equals(current.credentials.password))
          break;
        since = Math.min(since, older.createdAtMs);
      }
      return since;
    },
  };
}

const none: Promise<null> = Promise.resolve(null);

type Which = { readonly stage: string } | { readonly versionId: string };

/** The version, or `secret-not-found`. */
async function need(
  read: (which: Which) => Promise<StoredVersion | null> | null,
  which: Which,
  where: string,
): Promise<StoredVersion> {
  const version = await read(which);
  if (version) return version;
  throw new Failure(
    'secret-not-found',
    `${where} ${'stage' in which ? `has no ${which.stage}, or does not exist` : `has no version ${which.versionId}`}`,
  );
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
  // One end is the creation date with its milliseconds, the other may be an HTTP date without: hence never below 0.
  return {
    record: parseRecord(version.value.reveal()),
    ageMs: Math.max(0, version.storeNowMs - version.createdAtMs),
  };
}

function holdsRecord(version: StoredVersion): boolean {
  if (version.value === 'binary') return false;
  try {
    return isRecord(JSON.parse(version.value.reveal()));
  } catch {
    return false;
  }
}

/** The tokens of the newest record and of those before it, without reading any. Empty where the newest is not readable. */
function knownRecords(newest: StoredVersion | null): ReadonlySet<string> {
  if (!newest || !holdsRecord(newest)) return new Set();
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
  current: CurrentSecret,
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

/** `null` for a Failure; anything else is a bug and goes on. */
function unreadable(error: unknown): null {
  if (error instanceof Failure) return null;
  throw error;
}
