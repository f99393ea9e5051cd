// What the port of the loop reads and writes in a store of versions: complete values, on a store in
// memory.

import { Failure } from '../../src/rotation/failure.ts';
import type { SecretVersion } from '../../src/rotation/ports.ts';
import { formatRecord } from '../../src/rotation/record.ts';
import { Secret } from '../../src/secret.ts';
import { openSecretStore, recordToken } from '../../src/stores/secret-store.ts';
import type { StoredVersion, VersionStore } from '../../src/stores/version-store.ts';
import { documentText, failureOf, planted, record } from '../harness/store-contract.ts';

const secretId = 'thingspace/fleet-east';
const answerId = 'c07b0101e2310de2f8a603d8a6243bd322c35bf01ef11780d05f546328f8d22c';
const dayMs = 86_400_000;
type Version = Partial<StoredVersion> & { readonly error?: Error };

/** A store that holds these versions; `reads` and `puts` list what was asked. */
function openMemory(versions: readonly Version[] = [], youngVersionLimit: number | null = null) {
  const kept = versions.map((version, index) => ({
    versionId: `version-${index}`,
    stages: [],
    createdAtMs: index * 1000,
    storeNowMs: 100_000,
    value: new Secret(documentText),
    identity: 'arn:secret',
    ...version,
  }));
  const reads: unknown[] = [];
  const puts: unknown[] = [];
  const store: VersionStore = {
    youngVersionLimit,
    async read(which) {
      reads.push(which);
      const found = kept.find(({ versionId, stages }: StoredVersion) =>
        'stage' in which ? stages.includes(which.stage) : versionId === which.versionId,
      );
      if (found?.error) throw found.error;
      return found ?? null;
    },
    async put({ token, value, stages }) {
      puts.push({ token, value: value.reveal(), stages });
      return kept.some(({ versionId }) => versionId === token) ? 'taken' : 'written';
    },
    move: async () => 'conflict',
    list: async () => kept,
  };
  return { store, reads, puts, open: () => openSecretStore(store, { secretId }) };
}

const current = { versionId: 'current', stages: ['AWSCURRENT'], createdAtMs: 50_000 };

test('the ids of records, responses and recoveries are the same in every release', async () => {
  const { open, puts } = openMemory([current]);
  const store = open();

  await store.putRecord(record(7));
  await store.putAnswer('rotation-1', new Secret(new Uint8Array([0, 255])));

  expect(puts).toEqual([
    {
      token: 'c9aa9e7c1f0ba1410980dc91e6d180f60109d0bfa41e342bc9d39cde44b26433',
      value: formatRecord(record(7)),
      stages: ['ROTATION'],
    },
    {
      token: answerId,
      value: '{"format":"thingspace-rotator/answer/1","rotationId":"rotation-1","bytes":"AP8="}',
      stages: ['ROTATION_ANSWER'],
    },
  ]);
  expect(store.recoveryId('rotation-1', 'version-1')).toBe(
    'e12b482a56eae1a56e9354dacc2b114a5c1fb8ba3fa92dce28ece1d2d9c4ae91',
  );
});

test('of a long response the first 45,000 bytes are kept', async () => {
  const { open, puts } = openMemory();

  await open().putAnswer('rotation-1', new Secret(new Uint8Array(45_001).fill(65)));

  const [{ value }] = puts as [{ value: string }];
  expect(Buffer.from(JSON.parse(value).bytes, 'base64')).toEqual(Buffer.alloc(45_000, 'A'));
});

test.each<[string, StoredVersion['value'], string | null]>([
  ['bytes', new Secret('{"bytes":"QUI="}'), 'AB'],
  ['no text', 'binary', null],
  ['no JSON', new Secret('QUI='), null],
  ['no string', new Secret('{"bytes":1}'), null],
  ['nothing', new Secret('{}'), null],
])('a kept response with %s is read as %p', async (_, value, expected) => {
  const { open } = openMemory([{ versionId: answerId, value }]);

  const kept = await open().readAnswer('rotation-1');

  expect(kept && Buffer.from(kept.body.reveal()).toString()).toBe(expected);
  expect(kept?.versionId).toBe(expected === null ? undefined : answerId);
});

test('the identity is read once, and a later read renews it', async () => {
  const { open, reads, puts } = openMemory([current]);
  const store = open();

  const first = [await store.readRecord(0), reads.splice(0)];
  await store.readRecord(1);
  await store.putRecord(record(2));

  expect(first).toEqual([null, [{ stage: 'ROTATION' }]]);

  const token = (sequence: number) => recordToken('arn:secret', sequence);
  expect(reads).toEqual([{ stage: 'ROTATION' }, { stage: 'AWSCURRENT' }, { versionId: token(1) }]);
  expect(puts).toMatchObject([{ token: token(2) }]);
});

test.each([
  // At least this sequence; the sequence with the label; another one; what is found.
  [0, 1, 2, 1],
  [1, 1, 2, 1],
  [2, 1, 2, 2],
  [3, 1, 2, 1],
  [1, 2, 1, 2],
])('a record of at least %i is found by label %i or by token %i', async (...row) => {
  const [atLeast, labelled, other, found] = row;
  const versions = [labelled, other].map((sequence) => ({
    versionId: recordToken('arn:secret', sequence),
    stages: sequence === labelled ? ['ROTATION'] : [],
    value: new Secret(formatRecord(record(sequence))),
    createdAtMs: 60_000,
  }));

  const answer = await openMemory([current, ...versions])
    .open()
    .readRecord(atLeast);

  expect(answer).toEqual({ record: record(found), ageMs: 40_000 });
});

test('a record that is binary names its version', async () => {
  const { open } = openMemory([{ versionId: 'odd', stages: ['ROTATION'], value: 'binary' }]);

  expect(await failureOf(open().readRecord(0))).toEqual({
    reason: 'record-invalid',
    detail: 'version odd is binary, not an attempt record',
  });
});

test('a secret that does not exist is named, with that of the application key', async () => {
  const { store } = openMemory([current]);
  const none = openMemory().store;
  const oauth = { secretId: 'thingspace/app', versions: none };

  const failures = [
    await failureOf(openSecretStore(none, { secretId }).readCurrent()),
    await failureOf(openSecretStore(store, { secretId, oauth }).readCurrent()),
    await failureOf(openSecretStore(none, { secretId }).putRecord(record(1))),
  ];

  const detail = (id: string) => `secret ${id} has no AWSCURRENT, or does not exist`;
  expect(failures).toEqual(
    [secretId, 'thingspace/app', secretId].map((id) => ({
      reason: 'secret-not-found',
      detail: detail(id),
    })),
  );
});

test('the current version is read with its labels, its date and its document', async () => {
  const { credentials, document, ...found } = await openMemory([current]).open().readCurrent();

  expect({ ...found, document: document.reveal(), username: credentials.username }).toEqual({
    ...{ ...current, document: documentText, username: 'uws' },
  });
});

test('a version that is taken and gone is not stored', async () => {
  const { store } = openMemory([current]);
  const port = openSecretStore({ ...store, put: async () => 'taken' }, { secretId });

  const answer = port.putPending('gone', await port.readCurrent(), new Secret(planted.fresh));

  expect(await answer).toBe('taken');
});

test('a binary value has no credentials', async () => {
  const { open } = openMemory([{ ...current, value: 'binary' }]);

  expect(await failureOf(open().readCurrent())).toEqual({
    reason: 'secret-invalid',
    detail: `the value of secret ${secretId} is binary; it has to be a JSON object as text`,
  });
});

test.each<[string, Version | null, string | null]>([
  ['no version', null, null],
  ['an empty version', { value: new Secret('') }, null],
  ['the current version', { stages: ['AWSPENDING', 'AWSCURRENT'] }, null],
  ['the previous version', { stages: ['AWSPENDING', 'AWSPREVIOUS'] }, null],
  ['a binary version', { value: 'binary' }, 'version-0'],
  ['a version', {}, 'version-0'],
])('%s with AWSPENDING: %p is pending', async (_, version, pending) => {
  const versions = version ? [{ stages: ['AWSPENDING'], ...version }] : [];

  expect(await openMemory(versions).open().readPending()).toBe(pending);
});

test('a password is stored under the id of its rotation, once', async () => {
  const same = documentText.replace(planted.password, planted.fresh).replace('}', ',"note":1}');
  const { open, puts } = openMemory([
    current,
    { versionId: 'same', value: new Secret(same) },
    { versionId: 'other' },
    { versionId: 'binary', value: 'binary' },
    { versionId: 'no-password', value: new Secret('{}') },
  ]);
  const store = open();
  const basis = await store.readCurrent();
  const ids = ['new', 'same', 'other', 'binary', 'no-password'];

  const answers = [];
  for (const id of ids) answers.push(await store.putPending(id, basis, new Secret(planted.fresh)));

  expect(answers).toEqual(['stored', 'stored', 'taken', 'taken', 'taken']);
  const value = documentText.replace(planted.password, planted.fresh);
  expect(puts).toEqual(ids.map((token) => ({ token, value, stages: ['AWSPENDING'] })));
});

test.each([
  // Limit, ages of the versions in hours, and after how many hours there is room.
  [null, Array(200).fill(1), null],
  [100, [], null],
  [100, Array(89).fill(1), null],
  [100, [5, ...Array(89).fill(1)], 19],
  [100, [...Array(89).fill(1), 7, 5], 19],
  [100, [24, ...Array(89).fill(1)], null],
  [100, [25, 30, ...Array(90).fill(1)], 23],
  [5, [1], null],
])('a store that keeps %p young versions has room in time (case %#)', async (limit, ages, room) => {
  const nowMs = 10 * dayMs;
  const versions = ages.map((hours) => ({ createdAtMs: nowMs - hours * 3_600_000 }));
  const { open } = openMemory(versions, limit);

  expect(await open().roomAtMs(nowMs)).toBe(room === null ? null : nowMs + room * 3_600_000);
});

const unreadable = (reason: 'store-denied' | 'store-unavailable', cause?: 'damaged') => ({
  error: new Failure(reason, 'cannot be read', { cause }),
});
const otherPassword = { value: new Secret(documentText.replace(planted.password, 'x')) };
const ownDocument = { value: new Secret('{"format":"thingspace-rotator/attempt/0"}') };

test.each<[string, Version[], number | RegExp]>([
  // Older versions from the newest to the oldest, one second apart; the age of the oldest that
  // counts in seconds.
  ['the same password', [{}, {}], 2],
  ['another password', [{}, otherPassword, {}], 1],
  ['attempt records', [ownDocument, {}], 2],
  ['a binary version', [{}, { value: 'binary' }, {}], 1],
  ['a version that is no document', [{}, { value: new Secret('{}') }, {}], 1],
  ['a version that is no JSON', [{}, { value: new Secret('x') }, {}], 1],
  ['a key that is gone', [{}, unreadable('store-denied'), {}], 1],
  ['a damaged file', [{}, unreadable('store-unavailable', 'damaged'), {}], 1],
  ['a store without an answer', [{}, unreadable('store-unavailable')], /cannot be read/],
  ['a defect', [{}, { error: new TypeError('a defect') }], /a defect/],
  ['thirty versions', Array(30).fill({}), 30],
  ['forty of them', [...Array(40).fill({}), ...Array(30).fill(otherPassword)], 40],
  ['records among them', [...Array(25).fill({}), ...Array(9).fill(ownDocument), {}], 35],
  ['a key that is gone after them', [...Array(27).fill({}), unreadable('store-denied'), {}], 27],
])('the age of a password goes back over %s', async (_, older, expected) => {
  const at = (seconds: number) => ({ createdAtMs: 50_000 - seconds * 1000 });
  const versions = older.map((version, index) => ({ ...at(index + 1), ...version }));
  const later = { versionId: 'later', createdAtMs: 50_001 };
  const store = openMemory([current, later, ...versions.reverse()]).open();

  const since = store.passwordSince(await store.readCurrent());

  if (typeof expected === 'number') expect(await since).toBe(50_000 - expected * 1000);
  else await expect(since).rejects.toThrow(expected);
});

test('the newest 200 records are known by their token, and no older one', async () => {
  const sequences = Array.from({ length: 220 }, (_, index) => index + 1);
  const versions = sequences.map((sequence) => ({
    versionId: recordToken('arn:secret', sequence),
    stages: sequence === 220 ? ['ROTATION'] : [],
    createdAtMs: sequence,
    value: new Secret(formatRecord(record(sequence))),
  }));
  const { open, reads } = openMemory([current, ...versions]);
  const store = open();
  const basis: SecretVersion = await store.readCurrent();
  reads.length = 0;

  await store.passwordSince(basis);

  expect(reads).toEqual([
    { stage: 'ROTATION' },
    ...sequences
      .slice(0, 20)
      .reverse()
      .map((sequence) => ({ versionId: recordToken('arn:secret', sequence) })),
  ]);
});

test('a record that cannot be read leaves the age of the password as it is', async () => {
  const odd = { versionId: 'odd', stages: ['ROTATION'], value: new Secret('{}'), createdAtMs: 1 };
  const store = openMemory([current, { createdAtMs: 2 }, odd]).open();

  expect(await store.passwordSince(await store.readCurrent())).toBe(2);
});
