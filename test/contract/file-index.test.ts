// The index of a secret and the files below the stores: complete contents, what is durable and in
// which order, damage, and names.

import { readlinkSync } from 'node:fs';
import {
  type FileHandle,
  mkdir,
  mkdtemp,
  open,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { Encrypter, generateIdentity, identityToRecipient } from 'age-encryption';
import { Failure } from '../../src/rotation/failure.ts';
import { Secret } from '../../src/secret.ts';
import { openAgeKey } from '../../src/stores/age-key.ts';
import {
  discard,
  makeFolder,
  namesIn,
  onDisk,
  safeName,
  writeDurably,
} from '../../src/stores/durable-files.ts';
import { changeIndex, type IndexContent, readIndex } from '../../src/stores/file-index.ts';
import { markFolder, markOf, refuseLost } from '../../src/stores/folders.ts';
import { failureOf } from '../harness/store-contract.ts';

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'rotator-index-'));
});

afterEach(() => rm(folder, { recursive: true, force: true }));

const version = { versionId: 'v-1', file: 'v-1.r.age', createdAtMs: 1, stages: ['AWSCURRENT'] };
const content: IndexContent = { name: 'fleet', identity: 'file:fleet#1', versions: [version] };
const numbered = (generation: number): string => `${String(generation).padStart(12, '0')}.json`;

/** Records the path of each fsync below the folder, with the names that are there at that time. */
async function recordSyncs(run: () => Promise<unknown>): Promise<string[]> {
  await using file = await open(folder);
  const handle = Object.getPrototypeOf(file) as FileHandle;
  const { sync } = handle;
  using _restored = { [Symbol.dispose]: () => void Object.assign(handle, { sync }) };
  const synced: string[] = [];
  handle.sync = function (this: FileHandle) {
    synced.push(
      relative(folder, readlinkSync(`/proc/self/fd/${this.fd}`)).replace(
        /[0-9a-f]{8}-[0-9a-f-]{27}/,
        'ID',
      ),
    );
    return sync.call(this);
  };
  await run();
  return synced;
}

test('a change of the index is one complete file, and durable', async () => {
  await writeFile(join(folder, `x${numbered(98)}`), 'no index');
  await writeFile(join(folder, `${numbered(99)}.bak`), 'no index');

  const synced = await recordSyncs(() => changeIndex(folder, async () => content));

  const index = await readIndex(folder);
  expect(index).toEqual({
    ...content,
    generation: 1,
    before: [],
    commit: expect.stringMatching(/^[0-9a-f-]{36}$/),
  });
  expect(
    (await readFile(join(folder, numbered(1)), 'utf8')).replace(index?.commit ?? '', 'ID'),
  ).toBe(`{
 "format": "thingspace-rotator/secret/1",
 "name": "fleet",
 "identity": "file:fleet#1",
 "versions": [
  {
   "versionId": "v-1",
   "file": "v-1.r.age",
   "createdAtMs": 1,
   "stages": [
    "AWSCURRENT"
   ]
  }
 ],
 "generation": 1,
 "commit": "ID",
 "before": []
}
`);
  expect(synced).toEqual(['.new-ID', '']);
  expect(await readdir(folder)).toHaveLength(3);
});

test('an index that is left as it is becomes durable, and is not written', async () => {
  const none = await recordSyncs(() => changeIndex(folder, async () => null));
  await changeIndex(folder, async () => content);

  const some = await recordSyncs(async () =>
    expect(await changeIndex(folder, async () => null)).toBeNull(),
  );

  expect([none, some, await readdir(folder)]).toEqual([[], [''], [numbered(1)]]);
});

test('an index knows the 64 commits before it, and eight files of them stay', async () => {
  const commits: string[] = [];
  for (let change = 0; change < 70; change += 1)
    commits.unshift((await changeIndex(folder, async () => content))?.commit ?? '');

  const newest = await readIndex(folder);

  expect([newest?.generation, newest?.commit, newest?.before]).toEqual([
    70,
    commits[0],
    commits.slice(1, 65),
  ]);
  expect((await readdir(folder)).sort()).toEqual(
    Array.from({ length: 8 }, (_, index) => numbered(63 + index)),
  );
});

test('a writer that always loses gives up after 200 rounds', async () => {
  let rounds = 0;

  const failure = await failureOf(
    changeIndex(folder, async () => {
      rounds += 1;
      await writeFile(join(folder, numbered(rounds)), valid(rounds));
      return content;
    }),
  );

  expect(rounds).toBe(200);
  expect(failure).toEqual({
    reason: 'store-unavailable',
    detail: `${folder} is changed by too many others at once`,
  });
});

const good = {
  format: 'thingspace-rotator/secret/1',
  ...content,
  generation: 1,
  commit: 'c',
  before: ['b'],
};
const valid = (generation: number): string => JSON.stringify({ ...good, generation });

test('an index is read without its format', async () => {
  await writeFile(join(folder, numbered(1)), valid(1));
  const { format: _, ...expected } = good;

  expect(await readIndex(folder)).toEqual(expected);
});

test.each<[string, object | null]>([
  ['no object', null],
  ['another format', { format: 'thingspace-rotator/secret/2' }],
  ['a name that is no text', { name: 1 }],
  ['an identity that is no text', { identity: null }],
  ['a commit that is no text', { commit: [] }],
  ['a generation that is no number', { generation: '1' }],
  ['a fraction as its generation', { generation: 1.5 }],
  ['no list of commits', { before: {} }],
  ['no list of versions', { versions: {} }],
  ['a version that is null', { versions: [version, null] }],
  ['a version that is a text', { versions: ['v-1'] }],
  ['a version without an id', { versions: [{ ...version, versionId: 1 }] }],
  ['a file outside of the store', { versions: [version, { ...version, file: '../v-1.r.age' }] }],
  ['a file below another folder', { versions: [{ ...version, file: 'v-1.r.age/x' }] }],
  ['a version without a date', { versions: [{ ...version, createdAtMs: null }] }],
  ['a version without labels', { versions: [{ ...version, stages: 'AWSCURRENT' }] }],
])('an index with %s is damaged', async (_, change) => {
  const path = join(folder, numbered(1));
  await writeFile(path, JSON.stringify(change && { ...good, ...change }));

  expect(await failureOf(readIndex(folder))).toEqual({
    reason: 'store-unavailable',
    detail: `${path} is damaged; restore it from a backup`,
  });
});

test('an index that was removed after it was listed is read again, and not for ever', async () => {
  // The name is listed, and there is no file.
  await symlink('target', join(folder, numbered(1)));

  const failure = await failureOf(readIndex(folder));
  const reading = readIndex(folder);
  await writeFile(join(folder, 'new'), valid(1));
  await rename(join(folder, 'new'), join(folder, 'target'));

  expect(failure).toEqual({
    reason: 'store-unavailable',
    detail: `${folder} changes faster than it can be read`,
  });
  expect((await reading)?.generation).toBe(1);
});

test('an index that cannot be read is not missing', async () => {
  const path = join(folder, numbered(1));
  await mkdir(path);

  expect(await failureOf(readIndex(folder))).toEqual({
    reason: 'store-unavailable',
    detail: `cannot read ${path}: EISDIR`,
  });
  expect(await readIndex(join(folder, 'none'))).toBeNull();
  expect(await changeIndex(join(folder, 'none'), async () => null)).toBeNull();
});

test.each([
  ['EACCES', 'store-denied'],
  ['EPERM', 'store-denied'],
  ['EROFS', 'store-denied'],
  ['EIO', 'store-unavailable'],
  ['ENOSPC', 'store-unavailable'],
])('%s of a disk is %s', async (code, reason) => {
  const refuse = async (): Promise<never> => {
    throw Object.assign(new Error('refused'), { code });
  };

  expect(await failureOf(onDisk('write', '/a/b', refuse, ['ENOENT']))).toEqual({
    reason,
    detail: `cannot write /a/b: ${code}`,
  });
  await expect(onDisk('write', '/a/b', refuse, ['ENOENT', code])).rejects.toThrow('refused');
});

test('a defect is no failure of a disk', async () => {
  const defect = onDisk('write', '/a/b', () => Promise.reject(new TypeError('a defect')));

  await expect(defect).rejects.toThrow(new TypeError('a defect'));
});

test('a file is new, complete and durable, and only its owner can read it', async () => {
  const path = join(folder, 'file');
  const mask = process.umask(0);
  using _restored = { [Symbol.dispose]: () => void process.umask(mask) };

  const synced = await recordSyncs(() => writeDurably(path, 'text'));

  expect([synced, await readFile(path, 'utf8'), (await stat(path)).mode & 0o777]).toEqual([
    ['file'],
    'text',
    0o600,
  ]);
  expect((await failureOf(writeDurably(path, 'other'))).detail).toBe(
    `cannot write ${path}: EEXIST`,
  );
  expect(await readFile(path, 'utf8')).toBe('text');
});

test('a file that cannot be completed leaves nothing', async () => {
  await using file = await open(folder);
  const handle = Object.getPrototypeOf(file) as FileHandle;
  const { sync } = handle;
  using _restored = { [Symbol.dispose]: () => void Object.assign(handle, { sync }) };
  handle.sync = async () => {
    throw Object.assign(new Error('full'), { code: 'EDQUOT' });
  };
  const path = join(folder, 'file');

  expect(await failureOf(writeDurably(path, 'text'))).toEqual({
    reason: 'store-unavailable',
    detail: `cannot write ${path}: EDQUOT`,
  });
  expect(await readdir(folder)).toEqual([]);
});

test('folders that were made are durable up to the one that was there', async () => {
  const path = join(folder, 'a', 'b', 'c');
  const mask = process.umask(0);
  using _restored = { [Symbol.dispose]: () => void process.umask(mask) };

  const made = await recordSyncs(() => makeFolder(path));
  const again = await recordSyncs(() => makeFolder(path));

  expect([made, again]).toEqual([['a/b', 'a', ''], []]);
  expect((await stat(path)).mode & 0o777).toBe(0o700);
});

test('the names of a folder that is missing or a file are none, and no failure', async () => {
  await writeFile(join(folder, 'file'), '');

  expect([
    await namesIn(folder),
    await namesIn(join(folder, 'none')),
    await namesIn(join(folder, 'file')),
  ]).toEqual([['file'], null, null]);
  expect(await failureOf(namesIn(join(folder, 'x'.repeat(300))))).toMatchObject({
    reason: 'store-unavailable',
  });
  await discard(join(folder, 'none'));
});

test.each([
  ['fleet-1_a.b', 'fleet-1_a.b'],
  ['.a', '%2ea'],
  ['A/é', '%41%2f%c3%a9'],
  ['\n', '%0a'],
  ['x'.repeat(150), 'x'.repeat(150)],
  [
    'x'.repeat(151),
    `${'x'.repeat(80)}%~8eb827e6964db1e28caafb07b408d441efc804c8da30e3bad83a70dd3566a88b`,
  ],
])('the folder of %j is %s', (name, expected) => {
  expect(safeName(name)).toBe(expected);
});

test('a folder that was in use has a mark beside it', async () => {
  const directory = join(folder, 'data', 'secrets');
  const mask = process.umask(0);
  using _restored = { [Symbol.dispose]: () => void process.umask(mask) };
  await refuseLost(directory, 'store-missing');

  await markFolder(directory);
  await markFolder(directory);

  const mark = join(folder, 'data', '.secrets.mark');
  expect(markOf(directory)).toBe(mark);
  expect(await readFile(mark, 'utf8')).toBe(
    `thingspace-rotator uses the folder ${directory}.\n` +
      'While this file exists, it is an error when that folder is missing or empty.\n',
  );
  expect([
    (await stat(mark)).mode & 0o777,
    (await stat(join(folder, 'data'))).mode & 0o777,
  ]).toEqual([0o644, 0o700]);
  const lost = refuseLost(directory, 'audit-missing' as never, 'log: ');
  await expect(lost).rejects.toMatchObject({
    reason: 'audit-missing',
    message: `log: the folder ${directory} is missing or empty, and it was in use before`,
    facts: { cause: 'folder-missing', path: directory, mark },
  });
  await mkdir(directory);
  await expect(refuseLost(directory, 'store-missing')).rejects.toThrow(Failure);
  await writeFile(join(directory, 'secret'), '');
  await refuseLost(directory, 'store-missing');
});

test('a mark that cannot be written, or a folder that is a file, is no failure here', async () => {
  const file = join(folder, 'file');
  await writeFile(file, '');

  await markFolder(join(file, 'secrets'));
  await refuseLost(file, 'store-missing');
});

test('a key seals to its first identity, and opens what is sealed to any', async () => {
  const [first, second, other] = [
    await generateIdentity(),
    await generateIdentity(),
    await generateIdentity(),
  ];
  const key = await openAgeKey(new Secret(`# comment\n${first}\r\n\n${second}\n`));
  const sealTo = async (identity: string, value: string | Uint8Array): Promise<Uint8Array> => {
    const encrypter = new Encrypter();
    encrypter.addRecipient(await identityToRecipient(identity));
    return encrypter.encrypt(value);
  };
  const opened = async (sealed: Uint8Array): Promise<unknown> => {
    const value = await key.open(sealed, '/a/file');
    return value === 'binary' ? value : value.reveal();
  };

  expect(key.recipient).toBe(await identityToRecipient(first));
  expect(await opened(await key.seal(new Secret('\ufefftext\n')))).toBe('\ufefftext\n');
  expect(await opened(await sealTo(second, 'text'))).toBe('text');
  expect(await opened(await sealTo(first, new Uint8Array([0x7b, 0xff])))).toBe('binary');
  await expect(opened(await sealTo(other, 'text'))).rejects.toMatchObject({
    reason: 'store-denied',
    message: 'the identity does not open /a/file; it was sealed to another key',
    facts: {},
  });
  await expect(opened(Buffer.from('no age file'))).rejects.toMatchObject({
    reason: 'store-unavailable',
    message: '/a/file is damaged: age cannot open it',
    facts: { cause: 'damaged', path: '/a/file' },
  });
});

test('an identity that is not usable is named by its place', async () => {
  const good = await generateIdentity();
  const no = (place: number) =>
    `identity ${place} of the identity file is no X25519 identity (AGE-SECRET-KEY-1…)`;

  const details = [];
  for (const contents of ['', '# comment', 'planted', `${good}\nAGE-SECRET-KEY-1planted`])
    details.push(await failureOf(openAgeKey(new Secret(contents))));

  const none = 'the identity file holds no age identity (AGE-SECRET-KEY-1…)';
  expect(details).toEqual(
    [none, none, no(1), no(2)].map((detail) => ({ reason: 'store-denied', detail })),
  );
});
