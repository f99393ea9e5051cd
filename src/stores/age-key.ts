// The age key of the file store: reading the identity file, sealing to its recipient, opening what
// was sealed. Stock `age -d -i FILE` opens what is sealed here. No message ever carries the
// identity or a plaintext.

import { open } from 'node:fs/promises';
import { platform } from 'node:os';
import { Decrypter, Encrypter, identityToRecipient } from 'age-encryption';
import { errnoOf, Failure } from '../rotation/failure.ts';
import { Secret } from '../secret.ts';

/** Seals to one recipient, opens with any identity of the file. */
export type AgeKey = {
  readonly recipient: string;
  /** An age file, binary. */
  seal(value: Secret): Promise<Uint8Array>;
  /**
   * The plaintext; `binary` where it is not UTF-8. `path` names the file in a failure:
   * `store-denied` for another key, `store-unavailable` for a damaged file.
   */
  open(sealed: Uint8Array, path: string): Promise<Secret | 'binary'>;
};

/**
 * The contents of an identity file as age-keygen writes it. Throws `store-denied` when it is
 * missing, or readable for group or others (not asked on Windows), naming the mode.
 */
export async function readIdentityFile(path: string): Promise<Secret> {
  try {
    const file = await open(path, 'r');
    try {
      // The mode of the very file that is read, not of the name.
      const mode = (await file.stat()).mode & 0o777;
      if (platform() !== 'win32' && (mode & 0o077) !== 0) {
        throw new Failure(
          'store-denied',
          `identity file ${path} has mode 0${mode.toString(8)}; others can read it: chmod 600 ` +
            `${path}`,
        );
      }
      return new Secret(await file.readFile('utf8'));
    } finally {
      await file.close();
    }
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === '') throw error;
    throw new Failure('store-denied', `cannot read identity file ${path}: ${errno}`);
  }
}

/**
 * The key in an identity file's contents. With several identities, all open and the first one
 * seals, so a key is replaced by putting a new one on top. Throws `store-denied` when there is none
 * that is valid.
 */
export async function openAgeKey(contents: Secret): Promise<AgeKey> {
  const identities = contents
    .reveal()
    .split(/\r?\n/)
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => new Secret(line));
  const [recipient] = await Promise.all(identities.map(recipientOf));
  if (recipient === undefined)
    throw new Failure(
      'store-denied',
      'the identity file holds no age identity (AGE-SECRET-KEY-1…)',
    );
  return {
    recipient,
    async seal(value) {
      const encrypter = new Encrypter();
      encrypter.addRecipient(recipient);
      return encrypter.encrypt(value.reveal());
    },
    async open(sealed, path) {
      const decrypter = new Decrypter();
      for (const identity of identities) decrypter.addIdentity(identity.reveal());
      return asText(await decrypter.decrypt(sealed).catch((error: unknown) => refuse(error, path)));
    },
  };
}

async function recipientOf(identity: Secret, index: number): Promise<string> {
  try {
    if (!identity.reveal().startsWith('AGE-SECRET-KEY-1')) throw new Error('another kind');
    return await identityToRecipient(identity.reveal());
  } catch {
    throw new Failure(
      'store-denied',
      `identity ${index + 1} of the identity file is no X25519 identity (AGE-SECRET-KEY-1…)`,
    );
  }
}

function refuse(error: unknown, path: string): never {
  // age-encryption 0.3 has no codes; its message is fixed text.
  if (/no identity matched/.test(String(error))) {
    throw new Failure(
      'store-denied',
      `the identity does not open ${path}; it was sealed to another key`,
    );
  }
  const detail = `${path} is damaged: age cannot open it`;
  throw new Failure('store-unavailable', detail, { cause: 'damaged', path });
}

function asText(plaintext: Uint8Array): Secret | 'binary' {
  try {
    return new Secret(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(plaintext));
  } catch {
    return 'binary';
  }
}
