// Checkpoints: the size and the root of the log at one moment, signed, in the public C2SP formats
// `signed-note` v1 and `tlog-checkpoint` (c2sp.org, read 2026-11). The private key never leaves its
// Signer.
//
//   example.com/fleet/audit            origin
//   20852163                           number of records
//   CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=    root, base64
//                                      (empty line)
//   — example.com/fleet/audit Az3grl…  base64(key id, 4 bytes ‖ Ed25519 signature)
//
// The signature covers the lines before the empty line, with their LF.

import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  sign,
  verify,
} from 'node:crypto';
import { base64Of, type Hash, hashOf } from './merkle.ts';
import type { AuditSource } from './reader.ts';

/** Signs notes: with the key of a file (`openSigningKey`), or with AWS KMS (aws/kms-signer.ts). */
export interface Signer {
  /** The key's name; C2SP: the log's origin. No spaces, no `+`. */
  readonly name: string;
  /** The first four bytes of SHA-256(name ‖ LF ‖ 0x01 ‖ public key). */
  readonly keyId: number;
  /** What verifiers need: `name+keyid+base64(0x01 ‖ public key)`. */
  readonly verifierKey: string;
  /**
   * The 64 bytes of the Ed25519 signature (RFC 8032, pure). Rejects when the key cannot be used.
   */
  sign(bytes: Uint8Array): Promise<Uint8Array>;
}

/** A public key that verifies notes. */
export type Verifier = {
  readonly name: string;
  readonly keyId: number;
  readonly verifierKey: string;
  readonly key: KeyObject;
};

/** What a key signs: the text of a note (1), or a cosignature/v1 of it (4). */
const ed25519 = 1;
const cosignature = 4;
export type KeyType = typeof ed25519 | typeof cosignature;
/** What precedes the 32 bytes of an Ed25519 public key in DER (RFC 8410). */
const spkiPrefix = Buffer.from('302a300506032b6570032100', 'hex');
const pkcs8Prefix = Buffer.from('302e020100300506032b657004220420', 'hex');

const isKeyName = (name: string): boolean =>
  name !== '' && !/[\s+]/u.test(name) && !hasControls(name);
// biome-ignore lint/suspicious/noControlCharactersInRegex: signed notes forbid exactly these
const hasControls = (text: string): boolean => /[\u0000-\u0009\u000b-\u001f]/.test(text);

/** A key id as it is written in keys. */
export const hexOf = (keyId: number): string => keyId.toString(16).padStart(8, '0');

/** A key by its name and id, for messages. */
export const describeKey = ({ name, keyId }: Pick<Verifier, 'name' | 'keyId'>): string =>
  `${name} (key id ${hexOf(keyId)})`;

/** The key id of an Ed25519 public key (32 bytes) under a name. */
export function keyIdOf(name: string, publicKey: Uint8Array, type: KeyType = ed25519): number {
  return createHash('sha256')
    .update(`${name}\n`)
    .update(Uint8Array.of(type))
    .update(publicKey)
    .digest()
    .readUInt32BE(0);
}

/** The 32 bytes of an Ed25519 public key in DER; `null` for anything else. */
export function rawPublicKey(spki: Uint8Array): Buffer | null {
  const bytes = Buffer.from(spki);
  const isEd25519 = bytes.length === 44 && bytes.subarray(0, 12).equals(spkiPrefix);
  return isEd25519 ? bytes.subarray(12) : null;
}

function publicKeyOf(key: KeyObject): Buffer {
  return key.export({ type: 'spki', format: 'der' }).subarray(-32);
}

/** The verifier key of an Ed25519 public key (32 bytes) under a name. */
export function verifierKeyOf(name: string, publicKey: Buffer, type: KeyType = ed25519): string {
  const encoded = Buffer.concat([Uint8Array.of(type), publicKey]).toString('base64');
  return `${name}+${hexOf(keyIdOf(name, publicKey, type))}+${encoded}`;
}

/**
 * A new Ed25519 key. `signingKey` is the text of the key file (`PRIVATE+KEY+name+id+base64`, the
 * format of golang.org/x/mod/sumdb/note). `verifierKey` is for the auditor. Throws on a name with
 * spaces or `+`.
 */
export function generateSigningKey(name: string): { signingKey: string; verifierKey: string } {
  if (!isKeyName(name)) throw new Error('a key name must be non-empty, without spaces and "+"');
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const seed = privateKey.export({ type: 'pkcs8', format: 'der' }).subarray(-32);
  const raw = publicKeyOf(publicKey);
  const secret = Buffer.concat([Uint8Array.of(ed25519), seed]).toString('base64');
  return {
    signingKey: `PRIVATE+KEY+${name}+${hexOf(keyIdOf(name, raw))}+${secret}`,
    verifierKey: verifierKeyOf(name, raw),
  };
}

/** The private key in the text of a key file. Throws an Error that never quotes the key. */
export function parseSigningKey(signingKey: string): {
  readonly name: string;
  readonly key: KeyObject;
  readonly publicKey: Buffer;
} {
  const found = /^PRIVATE\+KEY\+([^+\s]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/=]+)$/.exec(
    signingKey.trim(),
  );
  const [name, id, encoded] = [found?.[1] ?? '', found?.[2] ?? '', found?.[3] ?? ''];
  const secret = Buffer.from(encoded, 'base64');
  if (!found || secret.length !== 33 || secret[0] !== ed25519)
    throw new Error('the signing key is not PRIVATE+KEY+name+id+base64 of Ed25519');
  const key = createPrivateKey({
    key: Buffer.concat([pkcs8Prefix, secret.subarray(1)]),
    format: 'der',
    type: 'pkcs8',
  });
  const publicKey = publicKeyOf(createPublicKey(key));
  if (hexOf(keyIdOf(name, publicKey)) !== id)
    throw new Error('the id of the signing key does not fit the key');
  return { name, key, publicKey };
}

/** A signer from the text of a key file. Throws an Error that never quotes the key. */
export function openSigningKey(signingKey: string): Signer {
  const { name, key, publicKey } = parseSigningKey(signingKey);
  return {
    name,
    keyId: keyIdOf(name, publicKey),
    verifierKey: verifierKeyOf(name, publicKey),
    sign: async (bytes) => sign(null, bytes, key),
  };
}

/** A verifier from `name+id+base64`. Throws an Error that says what is wrong with it. */
export const parseVerifierKey = (verifierKey: string): Verifier => parseKey(verifierKey, ed25519);

/** The verifier of a witness's cosignatures, likewise. */
export const parseWitnessKey = (verifierKey: string): Verifier =>
  parseKey(verifierKey, cosignature);

function parseKey(verifierKey: string, type: KeyType): Verifier {
  const found = /^([^+\s]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/=]+)$/.exec(verifierKey.trim());
  const [name, id, encoded] = [found?.[1] ?? '', found?.[2] ?? '', found?.[3] ?? ''];
  const bytes = Buffer.from(encoded, 'base64');
  if (!found || bytes.length !== 33 || bytes[0] !== type)
    throw new Error(
      type === ed25519
        ? 'a verifier key is name+id+base64 of an Ed25519 key'
        : 'a witness key is name+id+base64 of an Ed25519 key for cosignature/v1',
    );
  const raw = bytes.subarray(1);
  const keyId = keyIdOf(name, raw, type);
  if (hexOf(keyId) !== id) throw new Error('the id of the verifier key does not fit the key');
  const key = createPublicKey({
    key: Buffer.concat([spkiPrefix, raw]),
    format: 'der',
    type: 'spki',
  });
  return { name, keyId, verifierKey: verifierKeyOf(name, raw, type), key };
}

/** The parts of a note. Do not trust them before `checkNote`. */
export type Note = {
  readonly text: string;
  readonly signatures: readonly { name: string; keyId: number; signature: Buffer }[];
};

/** `text` (which ends in LF) with one signature line per signer. */
export async function signNote(text: string, signers: readonly Signer[]): Promise<string> {
  if (!text.endsWith('\n') || hasControls(text))
    throw new Error('a note must end in a newline and hold no control characters');
  const bytes = Buffer.from(text, 'utf8');
  let note = `${text}\n`;
  for (const signer of signers) note += signatureLine(signer, await signer.sign(bytes));
  return note;
}

/** One signature of a note as a line. */
export function signatureLine(
  { name, keyId }: Pick<Verifier, 'name' | 'keyId'>,
  signature: Uint8Array,
): string {
  const id = Buffer.alloc(4);
  id.writeUInt32BE(keyId);
  return `— ${name} ${Buffer.concat([id, signature]).toString('base64')}\n`;
}

/** The parts of a signed note; `null` when it is not one. */
export function parseNote(note: string): Note | null {
  const split = note.lastIndexOf('\n\n');
  if (split < 0 || !note.endsWith('\n') || hasControls(note)) return null;
  const lines = note.slice(split + 2, -1).split('\n');
  const signatures = [];
  for (const line of lines) {
    const found = /^— ([^+\s]+) ([A-Za-z0-9+/]+={0,2})$/u.exec(line);
    const bytes = Buffer.from(found?.[2] ?? '', 'base64');
    if (!found || bytes.length < 5) return null;
    signatures.push({
      name: found[1] as string,
      keyId: bytes.readUInt32BE(0),
      signature: bytes.subarray(4),
    });
  }
  return { text: note.slice(0, split + 1), signatures };
}

/** Whether a note is signed by one of the keys that are given. */
export type SignatureStatus = 'valid' | 'invalid' | 'unknown-key';

/** What is wrong with a note; follows "the checkpoint". */
export const signatureProblems: Readonly<Record<Exclude<SignatureStatus, 'valid'>, string>> = {
  invalid: 'has an invalid signature',
  'unknown-key': 'is not signed by a key that was given',
};

/**
 * `invalid` when the signature of any given key does not fit. Signatures by other keys are ignored.
 */
export function checkNote(note: Note, verifiers: readonly Verifier[]): SignatureStatus {
  const bytes = Buffer.from(note.text, 'utf8');
  let status: SignatureStatus = 'unknown-key';
  for (const { name, keyId, signature } of note.signatures) {
    const verifier = verifiers.find((one) => one.name === name && one.keyId === keyId);
    if (!verifier) continue;
    if (!verify(null, bytes, verifier.key, signature)) return 'invalid';
    status = 'valid';
  }
  return status;
}

/** The parts of a checkpoint, and its text. */
export type Checkpoint = {
  readonly origin: string;
  readonly size: number;
  readonly root: Hash;
  readonly text: string;
  readonly note: Note;
};

/** The signed note of a tree head. */
export function signCheckpoint(
  origin: string,
  size: number,
  root: Hash,
  signers: readonly Signer[],
): Promise<string> {
  return signNote(`${origin}\n${size}\n${base64Of(root)}\n`, signers);
}

/**
 * The parts of a checkpoint, its signature not checked; `null` when the text is not a checkpoint.
 * Extension lines are ignored.
 */
export function parseCheckpoint(text: string): Checkpoint | null {
  const note = parseNote(text);
  const [origin = '', size = '', encoded = '', ...rest] = note?.text.slice(0, -1).split('\n') ?? [];
  const root = hashOf(encoded);
  if (
    !note ||
    origin === '' ||
    !/^(0|[1-9]\d{0,15})$/.test(size) ||
    root === null ||
    rest.includes('')
  )
    return null;
  return { origin, size: Number(size), root, text, note };
}

/** The last stored checkpoint, its signature not checked; `null` when there is none. */
export async function newestCheckpoint(source: AuditSource): Promise<Checkpoint | null> {
  const last = (await source.checkpoints()).at(-1);
  return last ? parseCheckpoint(await last.read()) : null;
}
