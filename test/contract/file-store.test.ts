// Rules of the file store alone: files, permissions, damage, hostile names, the standard age
// program.

import { execFileSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { existsSync, readlinkSync } from 'node:fs';
import {
  chmod,
  cp,
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
  utimes,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join, relative } from 'node:path';
import { generateHybridIdentity, generateIdentity } from 'age-encryption';
import { openClock } from '../../src/clock.ts';
import { Secret } from '../../src/secret.ts';
import { readIdentityFile } from '../../src/stores/age-key.ts';
import { changeIndex, readIndex } from '../../src/stores/file-index.ts';
import { type FileStore, openFileStore } from '../../src/stores/file-store.ts';
import { openSecretStore } from '../../src/stores/secret-store.ts';
import { documentText, failureOf, planted } from '../harness/store-contract.ts';
import { type FileWorld, openFileWorld } from '../harness/store-worlds.ts';
import { testWith } from '../harness/tools.ts';

const secretId = 'thingspace/fleet-east';
let world: FileWorld;

beforeEach(async () => {
  world = await openFileWorld();
});

afterEach(() => world.close());

const folder = (): string => join(world.directory, 'thingspace%2ffleet-east');
const filesOf = async (part: 'index' | 'versions'): Promise<string[]> =>
  (await readdir(join(folder(), part))).sort().map((name) => join(folder(), part, name));
const everything = async (): Promise<string[]> =>
  (await readdir(world.directory, { recursive: true, withFileTypes: true })).map((entry) =>
    join(entry.parentPath, entry.name),
  );
const read = (): Promise<unknown> => world.versions(secretId).read({ stage: 'AWSCURRENT' });

testWith('age')('the standard age program opens a version file', async () => {
  await world.putByHand(secretId, documentText);
  const key = join(world.directory, 'key');
  await writeFile(key, `${world.identity}\n`, { mode: 0o600 });
  const [file = ''] = await filesOf('versions');

  const text = execFileSync('age', ['-d', '-i', key, file], { encoding: 'utf8' });

  expect(text).toBe(documentText);
});

test('no plain text is on the disk, and no other user can read a file or folder', async () => {
  const mask = process.umask(0);
  await world.putByHand(secretId, documentText);
  process.umask(mask);

  const modes = await Promise.all(
    [world.directory, ...(await everything())].map(async (path) =>
      ((await stat(path)).mode & 0o777).toString(8),
    ),
  );
  const texts = await Promise.all(
    [...(await filesOf('index')), ...(await filesOf('versions'))].map((path) =>
      readFile(path, 'latin1'),
    ),
  );

  expect([...new Set(modes)].sort()).toEqual(['600', '700']);
  expect(texts.join()).not.toContain('planted');
});

test('no secret name leaves the folder, and no two share one, ignoring case', async () => {
  const long = 'x/'.repeat(300);
  const names = [
    '../../etc/passwd',
    '..',
    '.',
    '/',
    'Fleet',
    'fleet',
    'FLEET',
    'caf\u00e9',
    'cafe\u0301',
    'a\0b',
    'a\nb',
    '%2e',
    'a.b',
    long,
    `${long}y`,
    '-rf',
    '\\..\\x',
  ];
  for (const name of names) await world.putByHand(name, JSON.stringify(name));

  const values = await Promise.all(
    names.map(async (name) => (await world.versions(name).read({ stage: 'AWSCURRENT' }))?.value),
  );

  const folders = await readdir(world.directory);
  expect(
    values.map((value) => value !== undefined && value !== 'binary' && JSON.parse(value.reveal())),
  ).toEqual(names);
  expect(new Set(folders.map((name) => name.toLowerCase())).size).toBe(names.length);
  expect(
    folders.filter((name) => !/^[a-z0-9_%~.-]{1,160}$/.test(name) || name.startsWith('.')),
  ).toEqual([]);
  expect([...(await world.store.list())].sort()).toEqual([...names].sort());
});

test('a secret without a name is rejected', () => {
  expect(() => world.versions('')).toThrow('a secret without a name');
});

test.each<[string, (path: string) => Promise<void>]>([
  ['cut short', async (path) => writeFile(path, (await readFile(path)).subarray(0, 150))],
  [
    'cut within its last block',
    async (path) => writeFile(path, (await readFile(path)).subarray(0, -1)),
  ],
  ['emptied', (path) => writeFile(path, '')],
  ['changed in one bit', async (path) => writeFile(path, flip(await readFile(path), -5))],
  ['overwritten with text', (path) => writeFile(path, documentText)],
])('a version file that was %s is named, and never half read', async (_, damage) => {
  await world.putByHand(secretId, documentText);
  const [file = ''] = await filesOf('versions');
  await damage(file);

  expect(await failureOf(read())).toEqual({
    reason: 'store-unavailable',
    detail: `${file} is damaged: age cannot open it`,
  });
});

const flip = (bytes: Buffer, at: number): Buffer => {
  const index = bytes.length + at;
  bytes[index] = (bytes[index] ?? 0) ^ 1;
  return bytes;
};

test('an error names the version file that is missing', async () => {
  await world.putByHand(secretId, documentText);
  const [file = ''] = await filesOf('versions');
  await rm(file);

  expect(await failureOf(read())).toEqual({
    reason: 'store-unavailable',
    detail: `cannot read ${file}: ENOENT`,
  });
});

test.each([
  '',
  '{',
  '{}',
  '[]',
  'null',
  '{"format":"thingspace-rotator/secret/1","versions":[{"file":"../../x"}]}',
])('an index with the content %j is an error, and the previous index is not used', async (text) => {
  await world.putByHand(secretId, 'old');
  await world.putByHand(secretId, documentText);
  const newest = (await filesOf('index')).at(-1) ?? '';
  await writeFile(newest, text);

  const failures = [await failureOf(read()), await failureOf(world.putByHand(secretId, 'new'))];

  const expected = {
    reason: 'store-unavailable',
    detail: `${newest} is damaged; restore it from a backup`,
  };
  expect(failures).toEqual([expected, expected]);
});

test('an old version that cannot be read ends the search for the password’s age', async () => {
  for (const note of ['a', 'b', 'c']) {
    await world.putByHand(secretId, documentText.replace('}', `,"note":"${note}"}`));
    world.advance(60_000);
  }
  const store = openSecretStore(world.versions(secretId), { secretId });
  const listed = await world.versions(secretId).list();
  const oldest =
    (await filesOf('versions')).find((path) =>
      basename(path).startsWith(listed[0]?.versionId ?? '-'),
    ) ?? '';
  await writeFile(oldest, 'damaged');

  expect(await store.passwordSince(await store.readCurrent())).toBe(listed[1]?.createdAtMs);
});

test('an error says that a version is encrypted to another key', async () => {
  await world.putByHand(secretId, documentText);
  const other = await openFileStore({
    directory: world.directory,
    identity: new Secret(await generateIdentity()),
    clock: openClock(),
  });

  const failure = await failureOf(other.versions(secretId).read({ stage: 'AWSCURRENT' }));

  expect(failure).toEqual({
    reason: 'store-denied',
    detail: expect.stringContaining('it was sealed to another key'),
  });
});

test('the first key of the identity file encrypts, and the other keys still open', async () => {
  await world.putByHand('old', documentText);
  const fresh = await generateIdentity();
  const rotated = await openFileStore({
    directory: world.directory,
    identity: new Secret(`# new\n${fresh}\r\n\n# old\n${world.identity}\n`),
    clock: openClock(),
  });
  await rotated.putCurrent('new', new Secret(documentText));

  const opened = await Promise.all(
    ['old', 'new'].map((name) => rotated.versions(name).read({ stage: 'AWSCURRENT' })),
  );
  const failure = await failureOf(world.versions('new').read({ stage: 'AWSCURRENT' }));

  expect([opened.map((version) => version !== null), failure.reason]).toEqual([
    [true, true],
    'store-denied',
  ]);
});

test('an error about an identity file names the defect and never its content', async () => {
  await mkdir(world.directory);
  const path = join(world.directory, 'rotator.key');
  const openWith = async (contents: string): Promise<unknown> =>
    openFileStore({
      directory: world.directory,
      identity: new Secret(contents),
      clock: openClock(),
    });
  await writeFile(path, `${world.identity}\n`, { mode: 0o600 });
  await chmod(path, 0o640);
  const failures = [
    await failureOf(readIdentityFile(path)),
    await failureOf(readIdentityFile(`${path}-none`)),
  ];
  for (const contents of [
    '',
    '# only a comment\n',
    planted.password,
    await generateHybridIdentity(),
  ])
    failures.push(await failureOf(openWith(contents)));
  await chmod(path, 0o400);

  const good = await readIdentityFile(path);

  expect(failures.map(({ reason }) => reason)).toEqual(Array(6).fill('store-denied'));
  expect(failures[0]?.detail).toBe(
    `identity file ${path} has mode 0640; others can read it: chmod 600 ${path}`,
  );
  expect(failures[1]?.detail).toBe(`cannot read identity file ${path}-none: ENOENT`);
  expect(good.reveal()).toBe(`${world.identity}\n`);
});

test('files left by a crash are deleted after a day, unless they are in use', async () => {
  await world.putByHand(secretId, documentText);
  const [used = ''] = await filesOf('versions');
  const [young, old] = [join(folder(), 'index', '.new-young'), join(folder(), 'index', '.new-old')];
  const orphan = join(folder(), 'versions', 'orphan.1.age');
  const others = [join(folder(), 'versions', 'note.txt'), join(folder(), 'index', 'note.txt')];
  for (const path of [young, old, orphan, ...others]) await writeFile(path, 'left');
  const dayBefore = new Date(Date.now() - 25 * 3_600_000);
  for (const path of [old, orphan, used, ...others]) await utimes(path, dayBefore, dayBefore);
  // What cannot be read is passed over.
  const damaged = join(world.directory, 'damaged');
  await cp(folder(), damaged, { recursive: true, preserveTimestamps: true });
  await writeFile(join(damaged, 'index', '000000000009.json'), '');
  await writeFile(join(world.directory, '%20no-folder'), '');
  await mkdir(join(world.directory, '%20unreadable'));
  await symlink('index', join(world.directory, '%20unreadable', 'index'));

  await world.reopen();
  // Nobody waits for the sweep.
  const gone = [old, orphan, join(damaged, 'index', '.new-old')];
  while (gone.some(existsSync)) await new Promise((resolve) => setImmediate(resolve));
  await (await world.reopen()).close();

  const kept = [young, used, ...others, join(damaged, 'versions', 'orphan.1.age')];
  expect(kept.filter((path) => !existsSync(path))).toEqual([]);
});

// A command of a store with thousands of secrets ended only after the sweep of all of them.
test('a store that is closed sweeps no further', async () => {
  await world.putByHand(secretId, documentText);
  const leftovers = await Promise.all(
    Array.from({ length: 50 }, async (_, index) => {
      const versions = join(world.directory, `other-${index}`, 'versions');
      await cp(folder(), dirname(versions), { recursive: true });
      const path = join(versions, 'orphan.1.age');
      await writeFile(path, 'left');
      await utimes(path, 0, 0);
      return path;
    }),
  );

  await (await world.reopen()).close();

  expect(leftovers.filter(existsSync).length).toBeGreaterThan(40);
});

test('beyond 100 versions those without a label are deleted after a day', async () => {
  for (let index = 0; index < 105; index += 1) await world.putByHand(secretId, `value ${index}`);
  const young = (await filesOf('versions')).length;
  world.advance(25 * 3_600_000);

  await world.putByHand(secretId, documentText);

  expect([
    young,
    (await world.versions(secretId).list()).length,
    (await filesOf('versions')).length,
  ]).toEqual([105, 102, 102]);
});

test('only the newest eight generations of the index are kept', async () => {
  for (let index = 0; index < 20; index += 1) await world.putByHand(secretId, `value ${index}`);

  expect((await filesOf('index')).map((path) => basename(path))).toEqual(
    Array.from({ length: 8 }, (_, index) => `0000000000${13 + index}.json`),
  );
});

test('a delayed writer starts again, although the number that it read is free again', async () => {
  await world.putByHand(secretId, 'first');
  const index = join(folder(), 'index');
  const seen: number[] = [];

  await changeIndex(index, async (found) => {
    if (!found) throw new Error('no index');
    seen.push(found.generation);
    // Twelve other changes, so that the next number of this writer was used and deleted.
    if (seen.length === 1)
      for (let other = 0; other < 12; other += 1) await world.putByHand(secretId, `other ${other}`);
    return {
      ...found,
      versions: found.versions.map((version) => ({
        ...version,
        stages: [...version.stages, 'SEEN'],
      })),
    };
  });

  const newest = await readIndex(index);
  expect([
    seen,
    newest?.versions.length,
    newest?.versions.every(({ stages }) => stages.includes('SEEN')),
  ]).toEqual([[1, 13], 13, true]);
});

test('concurrent writes of several stores on one folder lose no version', async () => {
  await world.putByHand(secretId, documentText);
  const stores = [world.store, await world.reopen(), await world.reopen()];
  const ids = Array.from({ length: 30 }, () => randomUUID());

  await Promise.all(
    ids.map((id, index) =>
      stores[index % 3]
        ?.versions(secretId)
        .put({ token: id, value: new Secret(id), stages: ['ROTATION'] }),
    ),
  );

  const listed = await world.versions(secretId).list();
  expect(
    listed
      .map(({ versionId }) => versionId)
      .slice(1)
      .sort(),
  ).toEqual([...ids].sort());
  expect(listed.filter(({ stages }) => stages.includes('ROTATION')).length).toBe(1);
});

test('a value that Secrets Manager would reject is rejected', async () => {
  await world.putByHand(secretId, 'ä'.repeat(32_768));

  expect(await failureOf(world.putByHand(secretId, `${'ä'.repeat(32_768)}a`))).toEqual({
    reason: 'secret-invalid',
    detail: `the value of secret ${secretId} is over 65536 bytes`,
  });
});

test('a token that Secrets Manager would reject, or a path, is a defect, and throws', async () => {
  await world.putByHand(secretId, documentText);
  const put = (token: string) =>
    world.versions(secretId).put({ token, value: new Secret('x'), stages: [] });

  for (const token of [`../../${'a'.repeat(32)}`, 'a'.repeat(31), 'a'.repeat(65), 'a_'.repeat(16)])
    await expect(put(token)).rejects.toThrow(
      new RangeError('a token has 32 to 64 letters, digits or hyphens'),
    );
  expect(await put('a'.repeat(32))).toBe('written');
  expect(await put('a-'.repeat(32))).toBe('written');
});

test('a version is durable before an index names it; a taken token leaves no file', async () => {
  await using handle = await open(dirname(world.directory));
  const prototype = Object.getPrototypeOf(handle) as FileHandle;
  const { sync } = prototype;
  using _restored = { [Symbol.dispose]: () => void Object.assign(prototype, { sync }) };
  const synced: string[] = [];
  prototype.sync = function (this: FileHandle) {
    const path = relative(world.directory, readlinkSync(`/proc/self/fd/${this.fd}`));
    synced.push(path.replaceAll(/[0-9a-f]{8}-[0-9a-f-]{27}/g, 'ID'));
    return sync.call(this);
  };
  const put = (value: string, token: string = randomUUID()) =>
    world.versions(secretId).put({ token, value: new Secret(value), stages: [] });

  const current = await world.putByHand(secretId, documentText);
  const first = synced.splice(0);
  await put('more');
  const second = synced.splice(0);
  const answers = [await put('other', current), await put(documentText, current)];
  const taken = synced.splice(0);

  const own = 'thingspace%2ffleet-east';
  const written = [
    `${own}/versions/ID.ID.age`,
    `${own}/versions`,
    `${own}/index/.new-ID`,
    `${own}/index`,
  ];
  const made = [own, '', '..', own, own, ''];
  expect(first).toEqual([...made, ...written]);
  expect(second).toEqual(written);
  expect([answers, taken]).toEqual([['taken', 'written'], Array(2).fill(`${own}/index`)]);
  expect(await filesOf('versions')).toHaveLength(2);
});

test('a version is read and listed completely', async () => {
  const versionId = await world.putByHand(secretId, documentText);
  const versions = world.versions(secretId);

  const [version, listed] = [await versions.read({ versionId }), await versions.list()];

  const { createdAtMs, storeNowMs } = version as NonNullable<typeof version>;
  expect(listed).toEqual([{ versionId, stages: ['AWSCURRENT'], createdAtMs }]);
  expect(createdAtMs).toBeLessThanOrEqual(storeNowMs);
  expect({ ...version, value: null }).toEqual({
    ...{ versionId, stages: ['AWSCURRENT'], createdAtMs, storeNowMs, value: null },
    identity: expect.stringMatching(/^file:thingspace\/fleet-east#[0-9a-f-]{36}$/),
  });
  expect(versions.youngVersionLimit).toBeNull();
  const nobody = world.versions('nobody');
  expect(await failureOf(nobody.list())).toEqual({
    reason: 'secret-not-found',
    detail: 'secret nobody does not exist in the file store',
  });
  expect(await nobody.move('AWSCURRENT', null, versionId)).toBe('conflict');
  expect(await versions.move('AWSCURRENT', versionId, versionId)).toBe('moved');
  expect(await versions.list()).toEqual(listed);
});

test('a probe writes a value of the largest size, and leaves nothing', async () => {
  expect(await world.store.list()).toEqual([]);
  expect((await failureOf(world.store.probe())).reason).toBe('store-unavailable');
  await world.putByHand(secretId, documentText);
  await mkdir(join(world.directory, 'no-secret'));
  const mark = join(dirname(world.directory), '.secrets.mark');
  const { mtimeMs } = await stat(mark);

  const probedAtMs = await world.store.probe();

  await writeFile(mark, '');
  expect(probedAtMs).toBeGreaterThanOrEqual(mtimeMs);
  expect(probedAtMs).toBeLessThanOrEqual((await stat(mark)).mtimeMs);
  expect((await readdir(world.directory)).sort()).toEqual(['no-secret', 'thingspace%2ffleet-east']);
  expect(await world.store.list()).toEqual([secretId]);
  await rm(world.directory, { recursive: true });
  expect((await failureOf(world.store.probe())).reason).toBe('store-missing');
});

test('an error names the file that is where a folder should be', async () => {
  await mkdir(world.directory);
  const file = join(world.directory, 'file');
  await writeFile(file, '');
  const open = (directory: string): Promise<unknown> =>
    openFileStore({ directory, identity: new Secret(world.identity), clock: openClock() });

  const failures = [await failureOf(open(join(file, 'secrets'))), await failureOf(open(file))];

  expect(failures.map(({ detail }) => detail)).toEqual([
    `cannot read the folder ${join(file, 'secrets')}: ENOTDIR`,
    `cannot read the folder ${file}: ENOTDIR`,
  ]);
});

// Finding S5. 0.1 made an empty store where a disk was not mounted, and said "Create the secret".
test.each([
  ['missing', async () => {}],
  ['empty', async (directory: string) => void (await mkdir(directory))],
])('a store that was in use and is %s is an error, and is not made again', async (_, leave) => {
  await world.putByHand(secretId, documentText);
  await rename(world.directory, `${world.directory}.away`);
  await leave(world.directory);
  const mark = join(dirname(world.directory), '.secrets.mark');
  const open = (): Promise<FileStore> =>
    openFileStore({
      directory: world.directory,
      identity: new Secret(world.identity),
      clock: openClock(),
    });

  const store = await open();
  const failures = [
    await failureOf(store.versions(secretId).read({ stage: 'AWSCURRENT' })),
    await failureOf(store.versions(secretId).list()),
    await failureOf(store.putCurrent(secretId, new Secret(documentText))),
  ];
  await rm(mark);
  await (await open()).putCurrent(secretId, new Secret(documentText));

  const detail = `the folder ${world.directory} is missing or empty, and it was in use before`;
  expect(failures).toEqual(Array(3).fill({ reason: 'store-missing', detail }));
});

const mount = (...options: string[]): Buffer => execFileSync('mount', options);

/** Runs with a store on a disk of 64 kB. */
async function onSmallDisk(run: (disk: string, store: FileStore) => Promise<void>): Promise<void> {
  const disk = await mkdtemp(join(tmpdir(), 'rotator-disk-'));
  const identity = new Secret(world.identity);
  mount('-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', disk);
  try {
    await run(
      disk,
      await openFileStore({ directory: join(disk, 's'), identity, clock: openClock() }),
    );
  } finally {
    execFileSync('umount', [disk]);
    await rm(disk, { recursive: true });
  }
}

const onSmallDisks = testWith('mount');

onSmallDisks(
  'a full disk is an error that leaves no partial file, and the old value is readable',
  () =>
    onSmallDisk(async (disk, store) => {
      await store.putCurrent(secretId, new Secret(documentText));
      await writeFile(join(disk, 'filler'), Buffer.alloc(64_000)).catch(() => undefined);
      const before = (await readdir(disk, { recursive: true })).length;

      const failure = await failureOf(
        store.putCurrent(secretId, new Secret(planted.fresh.repeat(300))),
      );

      expect(failure).toEqual({
        reason: 'store-unavailable',
        detail: expect.stringMatching(/^cannot write .*: ENOSPC$/),
      });
      const current = await store.versions(secretId).read({ stage: 'AWSCURRENT' });
      expect([
        current?.value !== 'binary' && current?.value.reveal(),
        (await readdir(disk, { recursive: true })).length,
      ]).toEqual([documentText, before]);
      await rm(join(disk, 'filler'));
      await store.putCurrent(secretId, new Secret('there is room again'));
    }),
);

onSmallDisks('a read-only disk is reported as a missing permission, and is still readable', () =>
  onSmallDisk(async (disk, store) => {
    await store.putCurrent(secretId, new Secret(documentText));
    mount('-o', 'remount,ro', disk);

    const failure = await failureOf(store.putCurrent(secretId, new Secret(planted.fresh)));

    expect(failure).toEqual({ reason: 'store-denied', detail: expect.stringMatching(/: EROFS$/) });
    expect(await store.versions(secretId).read({ stage: 'AWSCURRENT' })).not.toBeNull();
  }),
);
