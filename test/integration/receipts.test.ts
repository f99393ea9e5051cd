// Receipts on a real disk, with the age library and with Debian's age.

import { spawnSync } from 'node:child_process';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { generateIdentity, identityToRecipient } from 'age-encryption';
import {
  openReceipt,
  openReceipts,
  parseReceiptLine,
  type ReceiptObjects,
  rotationIdOf,
} from '../../src/receipts/receipts.ts';
import { Failure } from '../../src/rotation/failure.ts';
import { Secret } from '../../src/secret.ts';
import { testWith } from '../harness/tools.ts';

const label = {
  rotationId: '0b4ae5a2-2f1e-4a54-9d2f-5f5b3d0c7a10',
  account: 'fleet/east',
  secretId: 'thingspace/fleet-east',
};
const answer = new TextEncoder().encode('{"newPassword":"p\\"å 🔑"}');

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'receipts-'));
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});

async function openWithKey(options: { withIdentity: boolean }) {
  const identity = await generateIdentity();
  const lines: string[] = [];
  const receipts = openReceipts({
    recipients: [await identityToRecipient(identity)],
    directory: folder,
    writeLine: (line) => lines.push(line),
    ...(options.withIdentity ? { identity: new Secret(`# a comment\n${identity}\n`) } : {}),
  });
  return { identity, lines, receipts };
}

test('a receipt is an encrypted file and an encrypted line with the exact bytes', async () => {
  const { identity, lines, receipts } = await openWithKey({ withIdentity: false });
  await receipts.prepare(label);

  const place = (await receipts.write(label, new Secret(answer))) ?? '';

  expect(readdirSync(folder)).toEqual([`fleet%2Feast.${label.rotationId}.age`]);
  expect(statSync(place).mode & 0o777).toBe(0o600);
  const opened = [
    await openReceipt(readFileSync(place), new Secret(identity)),
    await openReceipt(new TextEncoder().encode(lines[0] ?? ''), new Secret(identity)),
    await openReceipt(
      new TextEncoder().encode(JSON.parse(lines[0] ?? '').sealed),
      new Secret(identity),
    ),
  ];
  expect(opened.map((body) => Buffer.from(body.reveal()).equals(answer))).toEqual([
    true,
    true,
    true,
  ]);
  expect(rotationIdOf(place)).toBe(label.rotationId);
  expect(readFileSync(place).includes('newPassword') || lines.join().includes('newPassword')).toBe(
    false,
  );
});

testWith('age')('the standard age program opens a receipt', async () => {
  const { identity, receipts } = await openWithKey({ withIdentity: false });
  const place = (await receipts.write(label, new Secret(answer))) ?? '';
  const key = join(folder, 'key.txt');
  writeFileSync(key, `${identity}\n`);

  const age = spawnSync('age', ['-d', '-i', key, place]);

  expect(age.stdout.equals(Buffer.from(answer))).toBe(true);
});

test('the bytes of a receipt and its name are on the disk when its place is returned', async () => {
  const { receipts } = await openWithKey({ withIdentity: false });
  await receipts.prepare(label);
  await using file = await open(folder);
  const handle = Object.getPrototypeOf(file) as FileHandle;
  const { sync } = handle;
  const synced: unknown[] = [];
  using _restored = { [Symbol.dispose]: () => void Object.assign(handle, { sync }) };
  handle.sync = function (this: FileHandle) {
    const path = readlinkSync(`/proc/self/fd/${this.fd}`);
    synced.push([relative(folder, path).split('.').at(-1), readdirSync(folder)]);
    return sync.call(this);
  };

  await receipts.write(label, new Secret(answer));

  const named = (ending: string): string[] => [`fleet%2Feast.${label.rotationId}.${ending}`];
  expect(synced).toEqual([
    ['reserved', named('reserved')],
    ['', named('age')],
  ]);
});

test('disk space is reserved before the reset, and the receipt uses it', async () => {
  const { receipts } = await openWithKey({ withIdentity: false });

  await receipts.prepare(label);

  const [reserved = ''] = readdirSync(folder);
  expect(reserved).toMatch(/\.reserved$/);
  expect(statSync(join(folder, reserved)).blocks * 512).toBeGreaterThanOrEqual(8192);
  await receipts.write(label, new Secret(answer));
  expect(readdirSync(folder)).toHaveLength(1);
});

test('with an identity on the machine a receipt is found by rotation id and deleted', async () => {
  const { receipts } = await openWithKey({ withIdentity: true });
  await receipts.write(label, new Secret(answer));

  const found = await receipts.find(label.rotationId);
  await receipts.discard(label.rotationId);

  expect(found?.body && Buffer.from(found.body.reveal()).equals(answer)).toBe(true);
  expect(await receipts.find(label.rotationId)).toBeNull();
  expect(readdirSync(folder)).toEqual([]);
});

test('without an identity on the machine a receipt is found sealed', async () => {
  const { receipts } = await openWithKey({ withIdentity: false });
  const place = await receipts.write(label, new Secret(answer));

  expect(await receipts.find(label.rotationId)).toEqual({ place, body: null });
});

test('a receipt named as a reservation is found; an empty reservation is not', async () => {
  const { receipts } = await openWithKey({ withIdentity: true });
  await receipts.prepare(label);
  const empty = await receipts.find(label.rotationId);
  const place = (await receipts.write(label, new Secret(answer))) ?? '';
  renameSync(place, place.replace(/age$/, 'reserved'));

  const found = await receipts.find(label.rotationId);

  expect(empty).toBeNull();
  expect(found?.body && Buffer.from(found.body.reveal()).equals(answer)).toBe(true);
});

test('a folder that cannot be read is a failure, one that does not exist is empty', async () => {
  // 0.1 took both for an empty folder: it spent a login, and the audit log said `lost`.
  const inFile = join(folder, 'a-file');
  writeFileSync(inFile, '');
  const options = { recipients: [], writeLine: () => {} };

  const missing = openReceipts({ ...options, directory: join(folder, 'missing') });
  const unreadable = openReceipts({ ...options, directory: inFile });

  expect(await missing.find(label.rotationId)).toBeNull();
  await expect(unreadable.find(label.rotationId)).rejects.toMatchObject({
    reason: 'receipt-unavailable',
    message: `the receipts folder ${inFile}: ENOTDIR`,
  });
});

test('a log that fails loses no receipt file; without a folder it is an error', async () => {
  const identity = await generateIdentity();
  const recipients = [await identityToRecipient(identity)];
  const writeLine = (): void => {
    throw Object.assign(new Error('write EPIPE'), { code: 'EPIPE' });
  };

  const place = await openReceipts({ recipients, directory: folder, writeLine }).write(
    label,
    new Secret(answer),
  );
  const nowhere = openReceipts({ recipients, writeLine }).write(label, new Secret(answer));

  const opened = await openReceipt(readFileSync(place ?? ''), new Secret(identity));
  expect(Buffer.from(opened.reveal()).equals(answer)).toBe(true);
  await expect(nowhere).rejects.toMatchObject({ reason: 'receipt-unavailable' });
});

test('an old reservation is deleted, unless it contains a receipt', async () => {
  const { receipts } = await openWithKey({ withIdentity: false });
  const [unused, filled] = [
    '11111111-1111-4111-8111-111111111111',
    '22222222-2222-4222-8222-222222222222',
  ].map((id) => join(folder, `east.${id}.reserved`));
  writeFileSync(unused ?? '', Buffer.alloc(8192));
  writeFileSync(filled ?? '', 'age-encryption.org/v1');
  for (const file of [unused, filled]) utimesSync(file ?? '', 1_700_000_000, 1_700_000_000);
  await receipts.prepare(label);

  await receipts.prepare({ ...label, rotationId: '33333333-3333-4333-8333-333333333333' });

  const left = readdirSync(folder).sort();
  expect(left).toHaveLength(3);
  expect(left).toContain('east.22222222-2222-4222-8222-222222222222.reserved');
});

test('only reservations that are older than a day are deleted', async () => {
  const { receipts } = await openWithKey({ withIdentity: false });
  const newest = 1_700_000_000;
  const files: Record<string, number> = {
    'newest.reserved': newest,
    'a-day-old.reserved': newest - 86_400,
    'older.reserved': newest - 86_401,
    // A receipt may have the size of a reservation.
    'receipt.age': newest - 86_401,
  };
  for (const [name, seconds] of Object.entries(files)) {
    writeFileSync(join(folder, name), Buffer.alloc(8192));
    utimesSync(join(folder, name), seconds, seconds);
  }
  symlinkSync('nowhere', join(folder, 'gone.reserved'));

  await receipts.prepare({ ...label, account: 'å'.repeat(20) });

  expect(readdirSync(folder).sort()).toEqual([
    `${'%C3%A5'.repeat(16)}%C3%.${label.rotationId}.reserved`,
    'a-day-old.reserved',
    'gone.reserved',
    'newest.reserved',
    'receipt.age',
  ]);
});

test('of the receipts in a folder only those of one rotation are deleted', async () => {
  const directory = join(folder, 'a', 'receipts');
  const mask = process.umask(0);
  using _restored = { [Symbol.dispose]: () => void process.umask(mask) };
  const recipients = [await identityToRecipient(await generateIdentity())];
  const receipts = openReceipts({ recipients, directory, writeLine: () => {} });
  const other = { ...label, rotationId: '33333333-3333-4333-8333-333333333333' };
  for (const each of [label, other]) {
    await receipts.prepare(each);
    await receipts.write(each, new Secret(answer));
  }
  await receipts.prepare(label);

  await receipts.discard(label.rotationId);

  expect(readdirSync(directory)).toEqual([`fleet%2Feast.${other.rotationId}.age`]);
  expect(statSync(directory).mode & 0o777).toBe(0o700);
});

test('a receipt without a reservation is for its owner only', async () => {
  const { receipts } = await openWithKey({ withIdentity: false });
  const mask = process.umask(0);
  using _restored = { [Symbol.dispose]: () => void process.umask(mask) };

  const place = (await receipts.write(label, new Secret(answer))) ?? '';

  expect(statSync(place).mode & 0o777).toBe(0o600);
});

test('a receipt that cannot be read or opened does not hide another one', async () => {
  const identity = await generateIdentity();
  const [recipient, other] = [
    await identityToRecipient(identity),
    await identityToRecipient(await generateIdentity()),
  ];
  const { content, objects } = openBucket();
  const openWith = (recipients: string[]) =>
    openReceipts({
      ...{ recipients, directory: folder, objects, identity: new Secret(identity) },
      writeLine: () => {},
    });
  await openReceipts({ recipients: [recipient], objects, writeLine: () => {} }).write(
    label,
    new Secret(answer),
  );
  const [line] = [...content.values()];
  const file = join(folder, `east.${label.rotationId}.age`);
  const object = `s3://bucket/receipts/${label.rotationId}.json`;
  const found = async () => {
    const receipt = await openWith([]).find(label.rotationId);
    return { ...receipt, body: receipt?.body && Buffer.from(receipt.body.reveal()) };
  };
  const opened = { place: object, body: Buffer.from(answer) };

  mkdirSync(file);
  expect(await found()).toEqual(opened);
  content.clear();
  expect(await found()).toEqual({ place: file, body: null });
  rmSync(file, { recursive: true });
  const sealedToOther = await openWith([other]).write(label, new Secret(answer));
  content.set(`${label.rotationId}.json`, line as Uint8Array);
  expect(await found()).toEqual(opened);
  content.clear();
  expect(await found()).toEqual({ place: sealedToOther, body: null });
});

test('an error of a folder that has no name is one sentence, too', async () => {
  const directory = 'a\0b';
  const receipts = openReceipts({ recipients: [], directory, writeLine: () => {} });

  await expect(receipts.find(label.rotationId)).rejects.toMatchObject({
    reason: 'receipt-unavailable',
    message: `the receipts folder ${directory}: an unexpected error`,
  });
  await receipts.discard(label.rotationId);
});

test('a bucket that cannot be read is a failure, and a defect stays one', async () => {
  const find = (error: Error) =>
    openReceipts({
      recipients: [],
      objects: { ...openBucket().objects, get: () => Promise.reject(error) },
      writeLine: () => {},
    }).find(label.rotationId);

  await expect(
    find(new Failure('audit-unavailable', 'denied', { host: 'bucket' })),
  ).rejects.toMatchObject({
    reason: 'receipt-unavailable',
    message: 'denied',
    facts: { host: 'bucket' },
  });
  await expect(find(new TypeError('a defect'))).rejects.toThrow(TypeError);
  const { objects } = openBucket();
  const empty = openReceipts({ recipients: [], objects, writeLine: () => {} });
  expect(await empty.find(label.rotationId)).toBeNull();
});

test('an invalid recipient and an invalid folder are rejected before the reset', async () => {
  const options = { directory: folder, writeLine: () => {} };
  const { identity } = await openWithKey({ withIdentity: false });
  const recipient = await identityToRecipient(identity);
  writeFileSync(join(folder, 'file'), '');

  const wrongRecipient = openReceipts({ ...options, recipients: ['age1nonsense'] }).prepare(label);
  const wrongFolder = openReceipts({
    ...options,
    recipients: [recipient],
    directory: join(folder, 'file', 'below'),
  }).prepare(label);

  await expect(wrongRecipient).rejects.toMatchObject({
    reason: 'receipt-unavailable',
    message: expect.stringContaining('receipts.recipients'),
  });
  await expect(wrongFolder).rejects.toMatchObject({
    reason: 'receipt-unavailable',
    message: expect.stringContaining('ENOTDIR'),
  });
});

test('a wrong identity and a damaged file are errors that quote no content', async () => {
  const { identity, receipts } = await openWithKey({ withIdentity: false });
  const place = (await receipts.write(label, new Secret(answer))) ?? '';
  const sealed = readFileSync(place);
  const other = new Secret(await generateIdentity());

  const attempts: [Uint8Array, Secret][] = [
    [sealed, other],
    [sealed.subarray(0, -1), new Secret(identity)],
    [Buffer.from('{"sealed":1}'), new Secret(identity)],
  ];

  for (const [content, key] of attempts) {
    await expect(openReceipt(content, key)).rejects.toMatchObject({
      reason: 'receipt-unavailable',
      message: 'the receipt does not open with this identity, or is not an age file',
    });
  }
});

test('a renamed receipt has no rotation id', () => {
  expect(rotationIdOf('/tmp/receipt.age')).toBeUndefined();
});

test('without recipients no receipt is written and no space is reserved', async () => {
  const receipts = openReceipts({ recipients: [], directory: folder, writeLine: () => {} });

  await receipts.prepare(label);

  expect(await receipts.write(label, new Secret(answer))).toBeNull();
  expect(readdirSync(folder)).toEqual([]);
});

test('a receipt in the log is recognised, and no other line is taken for one', async () => {
  const { lines, receipts } = await openWithKey({ withIdentity: false });
  await receipts.write(label, new Secret(answer));
  const line = JSON.parse(lines[0] ?? '');

  expect(line).toEqual({ event: 'receipt.sealed', ...label, sealed: line.sealed });
  expect(parseReceiptLine(lines[0] ?? '')).toEqual({
    rotationId: label.rotationId,
    sealed: line.sealed,
  });
  for (const other of [
    { ...line, event: 'receipt.written' },
    { ...line, rotationId: 7 },
    { ...line, sealed: null },
    null,
    'text',
  ])
    expect(parseReceiptLine(JSON.stringify(other))).toBeNull();
  expect(parseReceiptLine('no JSON')).toBeNull();
});

test('without a folder the receipt is in the log, and no receipt is found', async () => {
  const lines: string[] = [];
  const recipients = [await identityToRecipient(await generateIdentity())];
  const receipts = openReceipts({ recipients, writeLine: (line) => lines.push(line) });

  await receipts.prepare(label);

  expect(await receipts.write(label, new Secret(answer))).toBe('the log');
  expect(lines.map((line) => parseReceiptLine(line)?.rotationId)).toEqual([label.rotationId]);
  expect(await receipts.find(label.rotationId)).toBeNull();
});

/** A bucket in memory, whose writes can be refused. */
function openBucket(refuse = false) {
  const content = new Map<string, Uint8Array>();
  const objects: ReceiptObjects = {
    place: 's3://bucket/receipts/',
    put: async (name, bytes) => {
      if (refuse) throw new Failure('audit-unavailable', 'receipts s3://bucket/receipts/: denied');
      content.set(name, bytes);
      return 'written';
    },
    get: async (name) => content.get(name) ?? null,
  };
  return { content, objects };
}

// On 03af53f a receipt of a function was only a line of its log, which `osls remove` deleted.
test('a receipt in a bucket is found there, and opens like the line of the log', async () => {
  const identity = await generateIdentity();
  const recipients = [await identityToRecipient(identity)];
  const { content, objects } = openBucket();
  const receipts = openReceipts({ recipients, objects, writeLine: () => {} });
  const place = `s3://bucket/receipts/${label.rotationId}.json`;

  expect(await receipts.write(label, new Secret(answer))).toBe(place);

  expect(await receipts.find(label.rotationId)).toEqual({ place, body: null });
  const [bytes] = [...content.values()];
  const opened = await openReceipt(bytes as Uint8Array, new Secret(identity));
  expect(opened.reveal()).toEqual(answer);
});

test('a receipt that the bucket refuses is in the log and the folder, and a failure', async () => {
  const { objects } = openBucket(true);
  const recipients = [await identityToRecipient(await generateIdentity())];
  const lines: string[] = [];
  const writeLine = (line: string) => void lines.push(line);
  const receipts = openReceipts({ recipients, directory: folder, objects, writeLine });
  await receipts.prepare(label);

  await expect(receipts.write(label, new Secret(answer))).rejects.toMatchObject({
    reason: 'receipt-unavailable',
    message: 'receipts s3://bucket/receipts/: denied',
  });

  expect(lines.map((line) => parseReceiptLine(line)?.rotationId)).toEqual([label.rotationId]);
  expect(await receipts.find(label.rotationId)).toMatchObject({ body: null });
});
