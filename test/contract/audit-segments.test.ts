// Both storages of the audit log, and the writer over them: names, bytes, modes, calls and failures
// as complete values.

import {
  appendFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { generateSigningKey, openSigningKey, signCheckpoint } from '../../src/audit/checkpoint.ts';
import {
  openFileSegments,
  openFileSource,
  removeMonths,
  storeFrontier,
} from '../../src/audit/file-segments.ts';
import { type AuditLogOptions, openAuditLog, openAuditReader } from '../../src/audit/log.ts';
import { emptyRoot } from '../../src/audit/merkle.ts';
import {
  type ObjectStore,
  openObjectSegments,
  openObjectSource,
} from '../../src/audit/object-segments.ts';
import { type AuditSource, blocksOf, eachLine } from '../../src/audit/reader.ts';
import { formatRecord, viewLine } from '../../src/audit/record.ts';
import type { AuditSegments } from '../../src/audit/segments.ts';
import { Failure } from '../../src/rotation/failure.ts';
import {
  context,
  intended,
  march,
  origin,
  outcome,
  processes,
  removeTempFolders,
  tempFolder,
  testClock,
} from '../harness/audit.ts';

const opened: AuditSegments[] = [];

afterEach(async () => {
  for (const segments of opened.splice(0)) await segments.close();
  removeTempFolders();
});

const april = Date.UTC(2026, 3, 1);
const signer = openSigningKey(generateSigningKey(origin).signingKey);
const stamp = { timeMs: march, origin, batchRemaining: 0 };
const line = (sequence: number, batchRemaining = 0): string =>
  formatRecord(
    intended(`r-${sequence}`),
    { ...stamp, uid: `u-${sequence}`, sequence, batchRemaining },
    context,
  );
const bytesOf = (...lines: string[]): Buffer =>
  Buffer.from(lines.map((text) => `${text}\n`).join(''));

async function openFiles(directory = join(tempFolder(), 'audit')) {
  const segments = await openFileSegments({ directory, processes, clock: testClock() });
  opened.push(segments);
  return { directory, segments };
}

/** What `readNew` visits, and what it returns. */
async function readAll(segments: AuditSegments, size = 0) {
  const visited: string[][] = [];
  const incomplete = await segments.readNew(size, (lines) => {
    visited.push(lines.map(String));
  });
  return { visited, incomplete };
}

const textsOf = async (source: AuditSource) => {
  const checkpoints = await source.checkpoints();
  return Promise.all(checkpoints.map(async (one) => [one.name, await one.read()]));
};

test('the files of a log have the names, modes and bytes of the documentation', async () => {
  const mask = process.umask(0);
  using _restored = { [Symbol.dispose]: () => void process.umask(mask) };
  const { directory, segments } = await openFiles();

  await segments.append({ size: 0, timeMs: march, bytes: bytesOf(line(0)) });
  await segments.append({ size: 1, timeMs: april, bytes: bytesOf(line(1)) });
  // A clock that was set back.
  await segments.append({ size: 2, timeMs: march, bytes: bytesOf(line(2)) });
  await segments.storeCheckpoint(3, 'text\n');
  await segments.addSignature(3, 'line\n');
  await segments.addSignature(3, 'line\n');
  await segments.storeCache(3, 'cache');
  await segments.probe();

  const modes = Object.fromEntries(
    readdirSync(directory, { recursive: true })
      .map(String)
      .filter((name) => !name.includes('lock') && !name.includes('holder'))
      .sort()
      .map((name) => [name, (statSync(join(directory, name)).mode & 0o777).toString(8)]),
  );
  expect(modes).toEqual({
    '.writer': '750',
    '.writer/state.json': '640',
    'audit-2026-03.jsonl': '640',
    'audit-2026-04.jsonl': '640',
    checkpoints: '750',
    'checkpoints/000000000003.checkpoint': '644',
  });
  expect([
    String(readFileSync(join(directory, 'audit-2026-03.jsonl'))),
    String(readFileSync(join(directory, 'audit-2026-04.jsonl'))),
    await segments.readCheckpoint(3),
    await segments.readCheckpoint(4),
    await segments.readCache(),
    segments.place,
    segments.position(),
  ]).toEqual([
    String(bytesOf(line(0))),
    String(bytesOf(line(1), line(2))),
    'text\nline\n',
    null,
    'cache',
    directory,
    { month: '2026-04', position: bytesOf(line(1), line(2)).length },
  ]);
  expect(await textsOf(segments.source)).toEqual([['000000000003.checkpoint', 'text\nline\n']]);
  expect((await segments.source.segments()).map(({ name, month }) => [name, month])).toEqual([
    ['audit-2026-03.jsonl', '2026-03'],
    ['audit-2026-04.jsonl', '2026-04'],
  ]);
});

test('a writer reads each append once, from where it has read', async () => {
  const { directory, segments } = await openFiles();
  const other = await openFiles(directory);
  const position = (bytes: Buffer) => ({ month: '2026-03', position: bytes.length });
  const first = bytesOf(line(0, 1), line(1));
  await segments.append({ size: 0, timeMs: march, bytes: first });

  expect(other.segments.position()).toEqual({ month: undefined, position: 0 });
  expect(await readAll(other.segments)).toEqual({
    visited: [[line(0, 1), line(1)]],
    incomplete: null,
  });
  expect(await readAll(other.segments)).toEqual({ visited: [], incomplete: null });
  await other.segments.append({ size: 2, timeMs: march, bytes: bytesOf(line(2)) });
  expect(await readAll(segments)).toEqual({ visited: [[line(2)]], incomplete: null });
  expect([
    segments.seek({}),
    segments.seek({ month: '2026-03' }),
    segments.seek({ position: 1 }),
  ]).toEqual([false, false, false]);
  expect(segments.seek(position(first))).toBe(true);
  expect(await readAll(segments)).toEqual({ visited: [[line(2)]], incomplete: null });
});

test('an append that is incomplete is named, and removed', async () => {
  const { directory, segments } = await openFiles();
  const path = join(directory, 'audit-2026-03.jsonl');
  const complete = bytesOf(line(0), line(1));
  writeFileSync(path, complete);
  // One complete line of an append of three, and a half.
  appendFileSync(path, bytesOf(line(2, 2)));
  appendFileSync(path, line(3, 1).slice(0, 40));

  const { visited, incomplete } = await readAll(segments);
  await incomplete?.remove();

  expect(visited).toEqual([[line(0)], [line(1)]]);
  expect(incomplete).toEqual({
    path,
    bytes: bytesOf(line(2, 2)).length + 40,
    records: 1,
    remove: expect.any(Function),
  });
  expect(readFileSync(path).equals(complete)).toBe(true);
  expect(await readAll(segments)).toEqual({ visited: [], incomplete: null });
});

test('a log that is shorter than before or damaged is named', async () => {
  const { directory, segments } = await openFiles();
  const path = join(directory, 'audit-2026-03.jsonl');
  const failed = (what: string, name = path) => ({
    reason: 'audit-unavailable',
    message: `audit log ${name}: ${what}`,
    facts: { cause: 'log-damaged', path: name },
  });
  await segments.append({ size: 0, timeMs: march, bytes: bytesOf(line(0), line(1)) });

  truncateSync(path, bytesOf(line(0)).length);
  await expect(readAll(segments)).rejects.toMatchObject(failed('the file is shorter than before'));
  segments.seek({ month: '2026-02', position: 0 });
  await expect(readAll(segments)).rejects.toMatchObject(
    failed('the file is shorter than before', join(directory, 'audit-2026-02.jsonl')),
  );
  segments.seek({ month: '2026-03', position: 0 });
  appendFileSync(path, bytesOf('damaged', line(1)));
  const at = bytesOf(line(0)).length;
  await expect(readAll(segments)).rejects.toMatchObject(
    failed(`damaged at byte ${at}, and records follow`),
  );
});

test('a line of more than a mebibyte is read, and other files in the folder are not', async () => {
  const { directory, segments } = await openFiles();
  const long = `{"text":"${'x'.repeat(3 << 20)}"}`;
  for (const name of ['audit-2026-02.jsonl.bak', 'audit-26-02.jsonl', 'note'])
    writeFileSync(join(directory, name), 'no record');
  for (const name of ['000000000001.checkpoint.new', '1.checkpoint'])
    writeFileSync(join(directory, 'checkpoints', name), 'none');
  writeFileSync(join(directory, 'audit-2026-03.jsonl'), bytesOf(line(0), long, line(1)));

  const { visited } = await readAll(segments);
  expect(await openFileSource(tempFolder(), testClock()).checkpoints()).toEqual([]);
  const lines: string[] = [];
  for await (const block of blocksOf(segments.source))
    eachLine(block, (bytes, start, end) => lines.push(bytes.toString('utf8', start, end)));

  expect(visited.flat()).toEqual([line(0), long, line(1)]);
  expect(lines).toEqual([line(0), long, line(1)]);
  expect(await segments.source.checkpoints()).toEqual([]);
});

test('the newest checkpoint is found once, and again when there is a newer one', async () => {
  const { directory, segments } = await openFiles();
  const path = (size: string) => join(directory, 'checkpoints', `${size}.checkpoint`);

  const found = [await segments.newestCheckpoint()];
  await segments.storeCheckpoint(9, 'nine');
  await segments.storeCheckpoint(10, 'ten');
  found.push(await segments.newestCheckpoint(), await segments.newestCheckpoint());

  expect(found).toEqual([null, { name: path('000000000010'), size: 10, text: 'ten' }, null]);
});

test('archived months are removed with their checkpoints and older frontiers', async () => {
  const { directory, segments } = await openFiles();
  for (const [index, month] of ['2026-03', '2026-04', '2026-05'].entries())
    writeFileSync(join(directory, `audit-${month}.jsonl`), bytesOf(line(index)));
  for (const size of [1, 2, 3]) await segments.storeCheckpoint(size, String(size));
  for (const size of [1, 2]) await storeFrontier(directory, testClock(), size, `frontier ${size}`);
  const before = await segments.source.frontier();

  await removeMonths(directory, testClock(), ['2026-04', '2026-03'], 2);

  expect(before).toBeNull();
  expect(
    readdirSync(directory, { recursive: true })
      .map(String)
      .filter((name) => !name.startsWith('.writer'))
      .sort(),
  ).toEqual([
    ...['audit-2026-05.jsonl', 'checkpoints', 'checkpoints/000000000003.checkpoint'],
    ...['frontiers', 'frontiers/000000000002.frontier'],
  ]);
  expect(await segments.source.frontier()).toEqual({
    name: '000000000002.frontier',
    text: 'frontier 2',
  });
});

test('a file that cannot be read or written is named', async () => {
  const { directory, segments } = await openFiles();
  const path = join(directory, 'audit-2026-03.jsonl');
  symlinkSync('audit-2026-03.jsonl', path);
  mkdirSync(join(directory, 'checkpoints', '000000000001.checkpoint'));

  const failures = [
    segments.append({ size: 0, timeMs: march, bytes: bytesOf(line(0)) }),
    readAll(segments),
    segments.readCheckpoint(1),
    segments.newestCheckpoint(),
  ];

  for (const failure of failures)
    await expect(failure).rejects.toMatchObject({ reason: 'audit-unavailable' });
});

/** Immutable objects in memory, the calls, and which names fail. */
function openObjects() {
  const stored = new Map<string, Buffer>();
  const calls: string[] = [];
  const failing = new Set<string>();
  const use = (call: string, name: string): void => {
    calls.push(`${call} ${name}`);
    if (failing.has(name)) throw new Failure('audit-unavailable', `no ${name}`);
  };
  const objects: ObjectStore = {
    place: 's3://bucket/audit/',
    async put(name, bytes) {
      use('put', name);
      if (stored.has(name)) return 'taken';
      stored.set(name, Buffer.from(bytes));
      return 'written';
    },
    async get(name) {
      use('get', name);
      return stored.get(name) ?? null;
    },
    async list(prefix, limit) {
      use('list', prefix);
      const names = [...stored.keys()].filter((name) => name.startsWith(prefix)).sort();
      return names.slice(0, limit);
    },
    close: () => void calls.push('close'),
  };
  return { objects, stored, calls, failing };
}

test('the objects of a log have the names and the bytes of the documentation', async () => {
  const { objects, stored, calls } = openObjects();
  const segments = openObjectSegments(objects);
  const note = await signCheckpoint(origin, 3, emptyRoot, [signer]);

  const answers = [
    await segments.append({ size: 0, timeMs: march, bytes: bytesOf(line(0), line(1)) }),
    await segments.append({ size: 0, timeMs: march, bytes: bytesOf(line(0), line(1)) }),
    await segments.append({ size: 0, timeMs: march, bytes: bytesOf(line(5)) }),
    await segments.append({ size: 2, timeMs: march, bytes: bytesOf(line(2)) }),
    await segments.storeCheckpoint(3, note),
    await segments.storeCheckpoint(3, 'other'),
  ];
  await segments.addSignature(3, '— w1 AAAA\n');
  await segments.addSignature(3, '— w2 BBBB\n');
  await segments.storeCache(3, 'cache');
  await segments.probe();

  expect(answers).toEqual(['written', 'written', 'taken', 'written', note, note]);
  const checkpoint = 'checkpoints/000000000003.checkpoint';
  const witnesses = ['06f8faea3b5f6976', '60c5590f72eef292'];
  expect([...stored.keys()].sort()).toEqual([
    ...[checkpoint, ...witnesses.map((id) => `${checkpoint}.${id}`)],
    ...['heads/999999999996.json'],
    ...['records/000000000000.jsonl', 'records/000000000002.jsonl'],
  ]);
  expect(await textsOf(segments.source)).toEqual([[checkpoint, `${note}— w2 BBBB\n— w1 AAAA\n`]]);
  expect(await readAll(segments)).toEqual({
    visited: [[line(0), line(1)], [line(2)]],
    incomplete: null,
  });
  expect(await readAll(segments, 2)).toEqual({ visited: [[line(2)]], incomplete: null });
  expect([segments.place, segments.position(), segments.seek({})]).toEqual([
    's3://bucket/audit/',
    {},
    true,
  ]);
  expect(await segments.exclusively(async (isFresh) => isFresh)).toBe(false);
  expect(await segments.source.frontier()).toBeNull();
  calls.length = 0;
  await segments.close();
  expect(calls).toEqual(['close']);
});

test('a cold start asks for the newest head, its checkpoint, and nothing again', async () => {
  const { objects, stored, calls, failing } = openObjects();
  const note = (size: number) => signCheckpoint(origin, size, emptyRoot, [signer]);
  for (const size of [3, 12]) {
    const writer = openObjectSegments(objects);
    await writer.storeCheckpoint(size, await note(size));
    await writer.storeCache(size, `cache ${size}`);
  }
  const name = 'checkpoints/000000000012.checkpoint';
  const text = String(stored.get(name));
  calls.length = 0;

  const segments = openObjectSegments(objects);
  failing.add(name);
  await expect(segments.newestCheckpoint()).rejects.toThrow('no checkpoints');
  failing.clear();
  const found = [await segments.newestCheckpoint(), await segments.newestCheckpoint()];

  expect(found).toEqual([{ name, size: 12, text }, null]);
  expect(await segments.readCache()).toBe('cache 12');
  expect(await segments.readCheckpoint(12)).toBe(text);
  const head = 'heads/999999999987.json';
  const asked = ['list heads/', `get ${head}`, `get ${name}`];
  expect(calls).toEqual([...asked, ...asked, `get ${name}`]);
});

test('without a head, and with a damaged checkpoint, the log is read from its begin', async () => {
  const empty = openObjects();
  const segments = openObjectSegments(empty.objects);
  expect([await segments.newestCheckpoint(), await segments.readCache()]).toEqual([null, null]);
  expect([await segments.newestCheckpoint(), empty.calls]).toEqual([null, ['list heads/']]);

  for (const stored of [undefined, Buffer.from('no checkpoint')]) {
    const { objects, stored: bucket } = openObjects();
    bucket.set('heads/999999999996.json', Buffer.from('cache'));
    if (stored) bucket.set('checkpoints/000000000003.checkpoint', stored);
    expect(await openObjectSegments(objects).newestCheckpoint()).toBeNull();
  }
});

test('an object that is damaged or missing is named', async () => {
  const failed = (what: string) => ({
    reason: 'audit-unavailable',
    message: `audit log s3://bucket/audit/records/000000000000.jsonl: ${what}`,
    facts: { cause: 'log-damaged', path: 's3://bucket/audit/records/000000000000.jsonl' },
  });
  for (const content of ['', 'half a line', `${line(0)}\nhalf`]) {
    const { objects, stored } = openObjects();
    stored.set('records/000000000000.jsonl', Buffer.from(content));
    await expect(readAll(openObjectSegments(objects))).rejects.toMatchObject(
      failed('the object is damaged'),
    );
  }
  const { objects, stored } = openObjects();
  stored.set('records/000000000000.jsonl', bytesOf(line(0)));
  const [segment] = await openObjectSource(objects).segments();
  stored.clear();
  await expect(segment?.open()).rejects.toMatchObject(failed('the object is missing'));
});

test('a head that cannot be stored is no failure, and a defect is one', async () => {
  const { objects, failing } = openObjects();
  failing.add('heads/999999999996.json');
  await openObjectSegments(objects).storeCache(3, 'cache');
  const broken = { ...objects, put: () => Promise.reject(new TypeError('a defect')) };

  await expect(openObjectSegments(broken).storeCache(3, 'cache')).rejects.toThrow('a defect');
});

test('a reader requests sixteen objects ahead, each once', async () => {
  const { objects, calls } = openObjects();
  for (let size = 0; size < 20; size += 1)
    await openObjectSegments(objects).append({ size, timeMs: march, bytes: bytesOf(line(size)) });
  calls.length = 0;
  const segments = await openObjectSource(objects).segments();
  const name = (size: number) => `get records/${String(size).padStart(12, '0')}.jsonl`;

  await segments[0]?.open();
  const first = calls.splice(0);
  await segments[1]?.open();

  expect(first).toEqual(['list records/', ...Array.from({ length: 16 }, (_, size) => name(size))]);
  expect(calls).toEqual([name(16)]);
  const lines: string[] = [];
  for await (const block of blocksOf(openObjectSource(objects)))
    eachLine(block, (bytes, start, end) => lines.push(bytes.toString('utf8', start, end)));
  expect(lines).toEqual(Array.from({ length: 20 }, (_, size) => line(size)));
});

test('blocks say where they are, and what of the last line is missing', async () => {
  const read = async (texts: readonly string[], from?: { segment: string; position: number }) => {
    const source: Pick<AuditSource, 'segments'> = {
      segments: async () =>
        texts.map((text, index) => ({
          name: String(index),
          open: () => ({
            read: (into, at, position) => Buffer.from(text).copy(into, at, position, position + 5),
            close: () => undefined,
          }),
        })),
    };
    const skip = ({ name }: { name: string }) => name === '3';
    const blocks: unknown[] = [];
    for await (const { segment, bytes, start, end, position, incompleteBytes } of blocksOf(source, {
      skip,
      from,
    }))
      blocks.push([segment.name, bytes.toString('utf8', start, end), position, incompleteBytes]);
    return blocks;
  };

  expect(await read(['a\nbcd\nefghijk\nl', '', 'x', 'skipped\n', '\n'])).toEqual([
    ['0', 'a\n', 0, 0],
    ['0', 'bcd\n', 2, 0],
    ['0', 'efghijk\n', 6, 0],
    ['0', '', 14, 1],
    ['2', '', 0, 1],
    ['4', '\n', 0, 0],
  ]);
  expect(await read(['a\n', 'b\nc\n', 'd\n'], { segment: '1', position: 2 })).toEqual([
    ['1', 'c\n', 2, 0],
    ['2', 'd\n', 0, 0],
  ]);
});

/** A log over objects in memory. */
async function openLog(more: Partial<AuditLogOptions> = {}) {
  const { objects, stored, failing } = openObjects();
  const strays: string[] = [];
  const clock = testClock();
  const log = await openAuditLog({
    ...{ segments: openObjectSegments(objects), signer, clock, origin, context },
    fallback: (text) => strays.push(text),
    ...more,
  });
  const views = () =>
    [...stored.entries()]
      .filter(([name]) => name.startsWith('records/'))
      .sort()
      .flatMap(([, bytes]) => String(bytes).trim().split('\n').map(viewLine));
  return { log, clock, strays, failing, views };
}

test('records that cannot be stored go to the fallback, and the log says so later', async () => {
  const { log, clock, strays, failing, views } = await openLog();
  const next = 'records/000000000001.jsonl';
  failing.add(next);

  const failure = { reason: 'audit-unavailable', message: `no ${next}` };
  await expect(log.append([intended('r-1'), outcome('r-1')])).rejects.toMatchObject(failure);
  await expect(log.append([outcome('r-2'), outcome('r-3')])).rejects.toMatchObject(failure);
  await expect(log.probe()).rejects.toMatchObject(failure);
  failing.clear();
  clock.atMs += 1000;
  await log.append([outcome('r-4')]);

  expect(await log.probe()).toBe(march + 1000);
  const [lost] = strays;
  const { uid } = JSON.parse(lost ?? '').metadata;
  expect(lost).toBe(formatRecord(outcome('r-1'), { ...stamp, uid, sequence: null }, context));
  expect(strays.map((text) => JSON.parse(text).metadata.correlation_uid)).toEqual([
    ...['r-1', 'r-2', 'r-3'],
  ]);
  const stored = views().map((view) => [view?.code, view?.lost, view?.detail, view?.sink]);
  expect(stored).toEqual([
    ['log.genesis', undefined, undefined, undefined],
    ['sink.failed', 3, `no ${next}`, 's3://bucket/audit/'],
    ['rotation.outcome', undefined, undefined, undefined],
  ]);
  await log.close();
});

test('a log of which others always append first is busy, and a defect stays a defect', async () => {
  const { objects } = openObjects();
  const segments = openObjectSegments(objects);
  const taken: AuditSegments = { ...segments, append: async () => 'taken' };
  const broken: AuditSegments = {
    ...segments,
    append: () => Promise.reject(new TypeError('a defect')),
  };
  const strays: string[] = [];
  const openWith = (own: AuditSegments) =>
    openAuditLog({
      ...{ segments: own, signer, clock: testClock(), origin, context },
      fallback: (text) => strays.push(text),
    });

  await expect(openWith(taken)).rejects.toMatchObject({
    reason: 'audit-unavailable',
    message: 'audit log s3://bucket/audit/: other writers appended first, 200 times in a row',
    facts: { cause: 'contention', path: 's3://bucket/audit/' },
  });
  await (await openWith(segments)).append([intended('r-1')]);
  const log = await openWith(broken);
  await expect(log.append([outcome('r-1')])).rejects.toThrow('a defect');
  expect(strays).toEqual([]);
});

test('a key that cannot sign is named, and a reader refuses to write', async () => {
  const cannot = { ...signer, sign: () => Promise.reject(new Error('planted')) };
  const { log } = await openLog({ signer: cannot });
  const reader = openAuditReader(log.source);

  await expect(log.checkpoint()).rejects.toMatchObject({
    reason: 'audit-unavailable',
    message: `audit log s3://bucket/audit/: the signing key ${signer.name} could not sign`,
  });
  for (const call of [reader.append([]), reader.checkpoint(), reader.probe()])
    await expect(call).rejects.toMatchObject({
      reason: 'audit-unavailable',
      message: 'the audit log is open for reading only',
    });
  await log.append([intended('r-1'), outcome('r-2', 'b', { status: 'unknown' })]);
  const unfinished = [
    { rotationId: 'r-1', account: 'fleet-a', intendedAtMs: march },
    { rotationId: 'r-2', account: 'b', intendedAtMs: march },
  ];
  expect([await log.unfinished(), await reader.unfinished()]).toEqual([unfinished, unfinished]);
  const promoted = outcome('r-3', 'c', { code: 'secret.promoted', versionAfter: 'v-3' });
  await log.append([promoted]);
  const last = {
    ...{ rotationId: 'r-3', secretId: 'thingspace/a', versionId: 'v-3', username: 'uws-a' },
    ...{ atMs: march, isVerified: false },
  };
  expect([...log.rotationsOfUser('uws-a')]).toEqual([['c', last]]);
  expect([...log.rotationsOfUser('nobody')]).toEqual([]);
  const known = { open: [unfinished[0]], last: null, stored: null, suspension: null };
  expect(await log.rotationsOf('fleet-a')).toEqual(known);
  expect(await openAuditReader(log.source).rotationsOf('fleet-a')).toEqual(known);
});
