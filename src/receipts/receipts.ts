// Receipts: the raw bytes of the reset response, encrypted to offline keys (age) and made durable
// before anything parses them. Stock `age -d -i KEY FILE` opens one. This file must never interpret
// what it encrypts.
//
// A receipt is `<account>.<rotationId>.age` in the receipts folder, and one line of JSON on the log
// with the same text armored. Room for it is reserved before the reset, as
// `<account>.<rotationId>.reserved`. In a bucket it is the object `<rotationId>.json`, which holds
// the line of the log: a killed function can lose its last line, and nobody can delete the object.

import {
  type FileHandle,
  mkdir,
  open,
  readdir,
  readFile,
  rename,
  stat,
  unlink,
} from 'node:fs/promises';
import { basename, join } from 'node:path';
import { errnoOf, Failure } from '../rotation/failure.ts';
import type { FoundReceipt, ReceiptLabel, Receipts } from '../rotation/ports.ts';
import { Secret } from '../secret.ts';
import { dayMs } from '../time.ts';

export type ReceiptOptions = {
  /** age recipients (`age1…`); none means that no receipts are written. */
  readonly recipients: readonly string[];
  /** Where receipts lie; without it and without `objects` they only go to the log. */
  readonly directory?: string | undefined;
  /** A bucket where receipts lie, too. */
  readonly objects?: ReceiptObjects | undefined;
  /** An age identity on this machine; with it the survey can open receipts. */
  readonly identity?: Secret | undefined;
  /** Writes one line to the log, synchronously. */
  readonly writeLine: (line: string) => void;
};

/** Immutable objects. The methods throw a Failure. */
export type ReceiptObjects = {
  /** Precedes each name, such as `s3://bucket/receipts/`. */
  readonly place: string;
  put(name: string, bytes: Uint8Array): Promise<'written' | 'taken'>;
  get(name: string): Promise<Uint8Array | null>;
};

/**
 * More than any answer of ThingSpace needs, sealed: what is reserved on the disk before the reset.
 */
const reservedBytes = 8_192;

export function openReceipts(options: ReceiptOptions): Receipts {
  const { recipients, directory, objects, identity, writeLine } = options;
  let seal: Promise<Seal> | null = null;

  return {
    prepare: async (label) => {
      if (recipients.length === 0) return;
      seal ??= openSeal(recipients);
      await seal;
      if (directory !== undefined) await guarded(directory, () => reserve(directory, label));
    },

    write: async (label, body) => {
      if (recipients.length === 0) return null;
      seal ??= openSeal(recipients);
      const { sealed, armored } = await (await seal)(body.reveal());
      // The line first: it needs no disk, so a full one cannot take both; nor must a log that is
      // gone take the file.
      const line = formatReceiptLine(label, armored);
      const isLogged = written(() => writeLine(line));
      // One that fails must not end the other.
      const [file, object] = await Promise.allSettled([
        directory !== undefined && guarded(directory, () => keep(directory, label, sealed)),
        objects && putObject(objects, label, line),
      ]);
      const failed = [file, object].find((one) => one.status === 'rejected');
      if (failed) throw failed.reason;
      const places = [file, object].flatMap((one) => ('value' in one && one.value) || []);
      if (places[0] !== undefined) return places[0];
      if (isLogged) return 'the log';
      throw new Failure(
        'receipt-unavailable',
        'the log could not be written, and there is no receipts folder',
      );
    },

    find: async (rotationId) => {
      let sealed: FoundReceipt | null = null;
      for await (const { place, content } of receiptsOf(options, rotationId)) {
        if (content?.every((byte) => byte === 0)) continue; // a reservation that was never filled
        sealed ??= { place, body: null };
        if (content === null || identity === undefined) continue;
        const body = await openReceipt(content, identity).catch(() => null);
        if (body !== null) return { place, body };
      }
      return sealed;
    },

    discard: async (rotationId) => {
      if (directory === undefined) return;
      try {
        for (const name of await readdir(directory))
          if (name.includes(`.${rotationId}.`)) await unlink(join(directory, name));
      } catch {
        // A receipt that stays is sealed; it only takes room.
      }
    },
  };
}

/**
 * Opens a receipt: an age file, armored or not, or the log's JSON line. Throws
 * `receipt-unavailable` when this identity does not open it.
 */
export async function openReceipt(
  content: Uint8Array,
  identity: Secret,
): Promise<Secret<Uint8Array>> {
  const { armor, Decrypter } = await import('age-encryption');
  try {
    const text = new TextDecoder().decode(content).trim();
    const armored = parseReceiptLine(text)?.sealed ?? text;
    const decrypter = new Decrypter();
    for (const line of identitiesIn(identity)) decrypter.addIdentity(line);
    return new Secret(
      await decrypter.decrypt(armored.startsWith('-----BEGIN') ? armor.decode(armored) : content),
    );
  } catch {
    throw new Failure(
      'receipt-unavailable',
      'the receipt does not open with this identity, or is not an age file',
    );
  }
}

/** A receipt in a line of the log: its rotation, and an armored age file. */
export type ReceiptLine = { readonly rotationId: string; readonly sealed: string };

const receiptEvent = 'receipt.sealed';

function formatReceiptLine(label: ReceiptLabel, sealed: string): string {
  return JSON.stringify({ event: receiptEvent, ...label, sealed });
}

/** The receipt in a line of the log; null for any other line. */
export function parseReceiptLine(line: string): ReceiptLine | null {
  try {
    const { event, rotationId, sealed } = Object(JSON.parse(line)) as Record<string, unknown>;
    return event === receiptEvent && typeof rotationId === 'string' && typeof sealed === 'string'
      ? { rotationId, sealed }
      : null;
  } catch {
    return null;
  }
}

/** The rotation in the name of a receipt file; undefined for a file that was renamed. */
export function rotationIdOf(file: string): string | undefined {
  return /\.([0-9A-Za-z-]{32,64})\.(?:age|reserved)$/.exec(basename(file))?.[1];
}

/** The identities of an age key file: every line but comments and blank ones. */
function identitiesIn(identity: Secret): string[] {
  return identity
    .reveal()
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'));
}

function written(write: () => void): boolean {
  try {
    write();
    return true;
  } catch {
    return false;
  }
}

type Seal = (
  body: Uint8Array,
) => Promise<{ readonly sealed: Uint8Array; readonly armored: string }>;

/**
 * Loads and warms the seal up, so that nothing has to be loaded while the only copy is in memory.
 */
async function openSeal(recipients: readonly string[]): Promise<Seal> {
  try {
    const { armor, Encrypter } = await import('age-encryption');
    const encrypter = new Encrypter();
    for (const recipient of recipients) encrypter.addRecipient(recipient);
    await encrypter.encrypt('');
    return async (body) => {
      const sealed = await encrypter.encrypt(body);
      return { sealed, armored: armor.encode(sealed) };
    };
  } catch {
    throw new Failure(
      'receipt-unavailable',
      'receipts.recipients holds something that is not an age recipient (age1…)',
    );
  }
}

/** Runs a piece of file work; a disk's refusal becomes a failure that names the folder. */
async function guarded<T>(directory: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const code = errnoOf(error) || 'an unexpected error';
    throw new Failure('receipt-unavailable', `the receipts folder ${directory}: ${code}`);
  }
}

const nameOf = ({ account, rotationId }: ReceiptLabel, ending: string): string =>
  `${encodeURIComponent(account).slice(0, 100)}.${rotationId}.${ending}`;

async function reserve(directory: string, label: ReceiptLabel): Promise<void> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  await sweep(directory);
  await writeFrom(
    await open(join(directory, nameOf(label, 'reserved')), 'w', 0o600),
    new Uint8Array(reservedBytes),
  );
}

/** Makes the file these bytes, durably, in the blocks that it has. */
async function writeFrom(file: FileHandle, bytes: Uint8Array): Promise<void> {
  try {
    // Truncate first: a process that is killed after the write then leaves a complete age file
    // under either name.
    await file.truncate(bytes.length);
    await file.write(bytes, 0, bytes.length, 0);
    await file.sync();
  } finally {
    await file.close();
  }
}

/**
 * Reservations of resets that were refused or never sent. Those of the last day may still be in
 * use, and one of another size holds a receipt.
 */
async function sweep(directory: string): Promise<void> {
  const names = (await readdir(directory)).filter((name) => name.endsWith('.reserved'));
  const found = await Promise.all(
    names.map((name) => stat(join(directory, name)).catch(() => null)),
  );
  const newestMs = Math.max(0, ...found.map((file) => file?.mtimeMs ?? 0));
  for (const [index, file] of found.entries()) {
    if (file?.size !== reservedBytes || file.mtimeMs >= newestMs - dayMs) continue;
    await unlink(join(directory, names[index] ?? '')).catch(() => {});
  }
}

async function keep(directory: string, label: ReceiptLabel, sealed: Uint8Array): Promise<string> {
  const reserved = join(directory, nameOf(label, 'reserved'));
  const file = join(directory, nameOf(label, 'age'));
  // "r+" keeps the reserved blocks; without a reservation the file is new.
  await writeFrom(await open(reserved, 'r+').catch(() => open(reserved, 'w', 0o600)), sealed);
  await rename(reserved, file);
  const folder = await open(directory, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
  return file;
}

/** A folder that does not exist holds no receipt; one that cannot be read may hold one. */
function noFolder(error: NodeJS.ErrnoException): string[] {
  if (error.code === 'ENOENT') return [];
  throw error;
}

const objectName = (rotationId: string): string => `${rotationId}.json`;

/** The place of the object. The rotation has one receipt, so a name that is taken holds it. */
async function putObject(
  objects: ReceiptObjects,
  { rotationId }: ReceiptLabel,
  line: string,
): Promise<string> {
  const name = objectName(rotationId);
  try {
    await objects.put(name, Buffer.from(line));
    return `${objects.place}${name}`;
  } catch (error) {
    throw unavailable(error);
  }
}

/** A failure of the bucket as one of the receipts. */
function unavailable(error: unknown): unknown {
  if (!(error instanceof Failure)) return error;
  return new Failure('receipt-unavailable', error.message, error.facts);
}

/** What may be the receipt of this rotation; null for content that cannot be read. */
async function* receiptsOf(
  { directory, objects }: ReceiptOptions,
  rotationId: string,
): AsyncGenerator<{ place: string; content: Uint8Array | null }> {
  for (const place of directory === undefined ? [] : await filesOf(directory, rotationId))
    yield { place, content: await readFile(place).catch(() => null) };
  if (!objects) return;
  const name = objectName(rotationId);
  const content = await objects.get(name).catch((error) => {
    throw unavailable(error);
  });
  if (content !== null) yield { place: `${objects.place}${name}`, content };
}

/**
 * The receipt, and the reservation, which has the same bytes when a process was killed before it
 * renamed the file.
 */
async function filesOf(directory: string, rotationId: string): Promise<string[]> {
  const names = await guarded(directory, () => readdir(directory).catch(noFolder));
  return ['age', 'reserved'].flatMap((ending) =>
    names
      .filter((name) => name.endsWith(`.${rotationId}.${ending}`))
      .map((name) => join(directory, name)),
  );
}
