// Cosignatures of checkpoints: the public C2SP format `cosignature/v1` (c2sp.org, read 2026-11). A
// witness says with it: at this time, this was the largest checkpoint of this log that I had seen,
// and it continues every earlier one.
//
//   — witness.example/w1 base64(key id, 4 bytes ‖ POSIX seconds, 8 bytes ‖ Ed25519 signature)
//
// The signature covers `cosignature/v1`, a line `time SECONDS`, and the text of the checkpoint.

import { sign, verify } from 'node:crypto';
import {
  keyIdOf,
  type Note,
  parseSigningKey,
  signatureLine,
  type Verifier,
  verifierKeyOf,
} from './checkpoint.ts';

/** Cosigns with the key of a file, which has the same format as that of a log. */
export type Cosigner = {
  readonly name: string;
  readonly verifierKey: string;
  /** A signature line for the text of a note, at a time in UTC milliseconds. */
  cosign(text: string, timeMs: number): string;
};

/** Throws an Error that never quotes the key. */
export function openWitnessKey(signingKey: string): Cosigner {
  const { name, key, publicKey } = parseSigningKey(signingKey);
  const verifierKey = verifierKeyOf(name, publicKey, 4);
  const keyId = keyIdOf(name, publicKey, 4);
  return {
    name,
    verifierKey,
    cosign(text, timeMs) {
      const seconds = Buffer.alloc(8);
      seconds.writeBigUInt64BE(BigInt(Math.floor(timeMs / 1000)));
      const signature = sign(null, messageOf(text, seconds), key);
      return signatureLine({ name, keyId }, Buffer.concat([seconds, signature]));
    },
  };
}

const messageOf = (text: string, seconds: Buffer): Buffer =>
  Buffer.from(`cosignature/v1\ntime ${seconds.readBigUInt64BE()}\n${text}`, 'utf8');

/** The cosignature of one witness. */
export type Cosignature = {
  readonly witness: string;
  readonly verifierKey: string;
  /** When the witness signed; UTC milliseconds, of its clock. */
  readonly timeMs: number;
};

/** The cosignature of `witness` on a note; `null`: there is none, `invalid`: it is forged. */
export function cosignatureOf(note: Note, witness: Verifier): Cosignature | 'invalid' | null {
  const line = note.signatures.find(
    ({ name, keyId }) => name === witness.name && keyId === witness.keyId,
  );
  if (line === undefined) return null;
  const seconds = line.signature.subarray(0, 8);
  const signature = line.signature.subarray(8);
  if (
    signature.length !== 64 ||
    !verify(null, messageOf(note.text, seconds), witness.key, signature)
  )
    return 'invalid';
  const timeMs = Number(seconds.readBigUInt64BE()) * 1000;
  return { witness: witness.name, verifierKey: witness.verifierKey, timeMs };
}
