// Receipts: the reset answer's raw bytes, sealed to offline keys (age) and made durable before anything
// parses them. Stock `age -d -i KEY FILE` opens one. This file must never look into what it seals.
//
// A receipt is `<account>.<rotationId>.age` in the receipts folder, and one line of JSON on the log with the
// same text armored. Room for it is reserved before the reset, as `<account>.<rotationId>.reserved`.

import {
  closeSync,
  fsyncSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { Failure } from './rotation/failure.ts';
import type { ReceiptLabel, Receipts } from './rotation/ports.ts';
import { Secret } from './secret.ts';

export type ReceiptOptions = {
  /** age recipients (`age1…`); none means that no receipts are written. */
  readonly recipients: readonly string[];
  /** Where receipts lie; without it they only go to the log. */
  readonly directory?: string;
  /** An age identity on this machine; with it the survey opens receipts by itself. */
  readonly identity?: Secret;
  /** Writes one line to the log, synchronously. */
  readonly writeLine: (line: string) => void;
};

/** More than any answer of ThingSpace needs, sealed: what is reserved on the disk before the reset. */
const reservedBytes = 8_192;

export function openReceipts(options: ReceiptOptions): Receipts {
  const { recipients, directory, identity, writeLine } = options;
  const prepared = new Map<string, Seal>();

  return {
    prepare: async (label) => {
      if (recipients.length === 0) return;
      prepared.set(label.rotationId, await prepareSeal(recipients));
      if (directory !== undefined) guarded(directory, () => reserve(directory, label));
    },

    write: async (label, body) => {
      if (recipients.length === 0) return null;
      const seal = prepared.get(label.rotationId) ?? (await prepareSeal(recipients));
      prepared.delete(label.rotationId);
      const { sealed, armored } = await seal(body.reveal());
      // The line first: it needs no disk, so a full one cannot take both.
      writeLine(JSON.stringify({ event: 'receipt.sealed', ...label, sealed: armored }));
      if (directory === undefined) return 'the log';
      return guarded(directory, () => keep(directory, label, sealed));
    },

    find: async (rotationId) => {
      if (directory === undefined || identity === undefined) return null;
      const file = fileOf(directory, rotationId);
      if (file === null) return null;
      try {
        return await openReceipt(readFileSync(file), identity);
      } catch {
        return null;
      }
    },

    discard: async (rotationId) => {
      prepared.delete(rotationId);
      if (directory === undefined) return;
      try {
        for (const name of readdirSync(directory).filter((name) => name.includes(`.${rotationId}.`))) unlinkSync(join(directory, name));
      } catch {
        // A receipt that stays is sealed; it only takes room.
      }
    },
  };
}

/**
 * Opens a receipt: an age file, armored or not, or the log's JSON line. Throws `receipt-unavailable` when this identity
 * does not open it.
 */
export async function openReceipt(content: Uint8Array, identity: Secret): Promise<Secret<Uint8Array>> {
  const { armor, Decrypter } = await import('age-encryption');
  try {
    const text = new TextDecoder().decode(content).trim();
    const armored = text.startsWith('{') ? String((JSON.parse(text) as Record<string, unknown>)['sealed']) : text;
    const decrypter = new Decrypter();
    for (const line of identitiesIn(identity)) decrypter.addIdentity(line);
    return new Secret(await decrypter.decrypt(armored.startsWith('-----BEGIN') ? armor.decode(armored) : content));
  } catch {
    throw new Failure('receipt-unavailable', 'the receipt does not open with this identity, or is not an age file');
  }
}

/** The rotation that a receipt file's name speaks of; undefined for a file that was renamed. */
export function rotationIdOf(file: string): string | undefined {
  return /\.([0-9A-Za-z-]{32,64})\.age$/.exec(basename(file))?.[1];
}

/** The identities of an age key file: every line but comments and blank ones. */
function identitiesIn(identity: Secret): string[] {
  return identity
    .reveal()
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'));
}

type Seal = (body: Uint8Array) => Promise<{ readonly sealed: Uint8Array; readonly armored: string }>;

/** Loads and warms the seal up, so that nothing has to be loaded while the only copy is in memory. */
async function prepareSeal(recipients: readonly string[]): Promise<Seal> {
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
    throw new Failure('receipt-unavailable', 'receipts.recipients holds something that is not an age recipient (age1…)');
  }
}

/** Runs a piece of file work; a disk's refusal becomes a failure that names the folder. */
function guarded<T>(directory: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'an unexpected error';
    throw new Failure('receipt-unavailable', `the receipts folder ${directory}: ${code}`);
  }
}

const nameOf = ({ account, rotationId }: ReceiptLabel, ending: string): string =>
  `${encodeURIComponent(account).slice(0, 100)}.${rotationId}.${ending}`;

function reserve(directory: string, label: ReceiptLabel): void {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  sweep(directory);
  const fd = openSync(join(directory, nameOf(label, 'reserved')), 'w', 0o600);
  try {
    writeSync(fd, new Uint8Array(reservedBytes));
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** Reservations of resets that were refused or never sent; those of the last day may still be in use. */
function sweep(directory: string): void {
  const stale = readdirSync(directory).filter((name) => name.endsWith('.reserved'));
  const newest = Math.max(0, ...stale.map((name) => statSync(join(directory, name)).mtimeMs));
  for (const name of stale) if (statSync(join(directory, name)).mtimeMs < newest - 86_400_000) unlinkSync(join(directory, name));
}

function keep(directory: string, label: ReceiptLabel, sealed: Uint8Array): string {
  const reserved = join(directory, nameOf(label, 'reserved'));
  const file = join(directory, nameOf(label, 'age'));
  // "r+" keeps the reserved blocks; without a reservation (a receipt written in recovery) the file is new.
  const fd = openReserved(reserved);
  try {
    writeSync(fd, sealed, 0, sealed.length, 0);
    ftruncateSync(fd, sealed.length);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  renameSync(reserved, file);
  const folder = openSync(directory, 'r');
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
  return file;
}

function openReserved(file: string): number {
  try {
    return openSync(file, 'r+');
  } catch {
    return openSync(file, 'w', 0o600);
  }
}

function fileOf(directory: string, rotationId: string): string | null {
  try {
    const name = readdirSync(directory).find((name) => name.endsWith(`.${rotationId}.age`));
    return name === undefined ? null : join(directory, name);
  } catch {
    return null;
  }
}
