// Checkpoints: the size and root of the log at one moment, signed, in the public C2SP formats `signed-note` v1 and
// `tlog-checkpoint` (c2sp.org, read 2026-11). Printer and parser stand side by side. The private key never leaves
// its Signer, and a signature is only ever made over a whole note text.
//
//   example.com/fleet/audit            origin
//   20852163                           size: how many records
//   CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=    root, base64
//                                      (empty line)
//   — example.com/fleet/audit Az3grl…  base64(key id, 4 bytes ‖ Ed25519 signature over everything before the empty line)

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

/** Signs notes; a key file here, KMS (`ECC_NIST_EDWARDS25519`) elsewhere. */
export interface Signer {
  /** The key's name; C2SP: the log's origin. No spaces, no `+`. */
  readonly name: string;
  /** The first four bytes of SHA-256(name ‖ LF ‖ 0x01 ‖ public key). */
  readonly keyId: number;
  /** What readers need: `name+keyid+base64(0x01 ‖ public key)`. */
  readonly verifierKey: string;
  /** The 64 bytes of the Ed25519 signature (RFC 8032, pure). Rejects when the key cannot be used now. */
  sign(bytes: Uint8Array): Promise<Uint8Array>;
}

/** A public key that checks notes. */
export type Verifier = {
  readonly name: string;
  readonly keyId: number;
  readonly verifierKey: string;
  readonly key: KeyObject;
};

const ed25519 = 1;
const spkiPrefix = Buffer.from('302a300506032b6570032100', 'hex');
const pkcs8Prefix = Buffer.from('302e020100300506032b657004220420', 'hex');

const isKeyName = (name: string): boolean =>
  name !== '' && !/[\s+]/u.test(name) && !hasControls(name);
// biome-ignore lint/suspicious/noControlCharactersInRegex: signed notes forbid exactly these
const hasControls = (text: string): boolean => /[\u0000-\u0009\u000b-\u001f]/.test(text);
const hexOf = (keyId: number): string => keyId.toString(16).padStart(8, '0');

/** The key id of an Ed25519 public key (32 bytes) under a name. */
export function keyIdOf(name: string, publicKey: Uint8Array): number {
  return createHash('sha256')
    .update(`${name}\n`)
    .update(Uint8Array.of(ed25519))
    .update(publicKey)
    .digest()
    .readUInt32BE(0);
}

function rawPublicKey(key: KeyObject): Buffer {
  return key.export({ type: 'spki', format: 'der' }).subarray(-32);
}

function verifierKeyOf(name: string, publicKey: Buffer): string {
  return `${name}+${hexOf(keyIdOf(name, publicKey))}+${Buffer.concat([Uint8Array.of(ed25519), publicKey]).toString('base64')}`;
}

/**
 * A new Ed25519 key. `signingKey` is the text of the key file (`PRIVATE+KEY+name+id+base64`, the format of the reference
 * implementation golang.org/x/mod/sumdb/note); `verifierKey` is what auditors are given. Throws on a name with spaces or `+`.
 */
export function generateSigningKey(name: string): { signingKey: string; verifierKey: string } {
  if (!isKeyName(name)) throw new Error('a key name must be non-empty, without spaces and "+"');
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const seed = privateKey.export({ type: 'pkcs8', format: 'der' }).subarray(-32);
  const raw = rawPublicKey(publicKey);
  const secret = Buffer.concat([Uint8Array.of(ed25519), seed]).toString('base64');
  return {
    signingKey: `PRIVATE+KEY+${name}+${hexOf(keyIdOf(name, raw))}+${secret}`,
    verifierKey: verifierKeyOf(name, raw),
  };
}

/** A signer from the text of a key file. Throws an Error that never quotes the key. */
export function openSigningKey(signingKey: string): Signer {
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
  const raw = rawPublicKey(createPublicKey(key));
  const keyId = keyIdOf(name, raw);
  if (hexOf(keyId) !== id) throw new Error('the signing key and its id do not belong together');
  return {
    name,
    keyId,
    verifierKey: verifierKeyOf(name, raw),
    sign: async (bytes) => sign(null, bytes, key),
  };
}

/** A verifier from `name+id+base64`. Throws an Error that says what is wrong with it. */
export function parseVerifierKey(verifierKey: string): Verifier {
  const found = /^([^+\s]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/=]+)$/.exec(verifierKey.trim());
  const [name, id, encoded] = [found?.[1] ?? '', found?.[2] ?? '', found?.[3] ?? ''];
  const bytes = Buffer.from(encoded, 'base64');
  if (!found || bytes.length !== 33 || bytes[0] !== ed25519)
    throw new Error('a verifier key is name+id+base64 of an Ed25519 key');
  const raw = bytes.subarray(1);
  const keyId = keyIdOf(name, raw);
  if (hexOf(keyId) !== id) throw new Error('the verifier key and its id do not belong together');
  const key = createPublicKey({
    key: Buffer.concat([spkiPrefix, raw]),
    format: 'der',
    type: 'spki',
  });
  return { name, keyId, verifierKey: verifierKeyOf(name, raw), key };
}

/** A note taken apart; nothing in it is believed before `checkNote`. */
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
  for (const signer of signers) {
    const id = Buffer.alloc(4);
    id.writeUInt32BE(signer.keyId);
    note += `— ${signer.name} ${Buffer.concat([id, await signer.sign(bytes)]).toString('base64')}\n`;
  }
  return note;
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

/** `good`: by a known key; `bad`: a known key's signature does not fit; `unknown`: no line by a known key. Unknown lines are passed over. */
export function checkNote(note: Note, verifiers: readonly Verifier[]): 'good' | 'bad' | 'unknown' {
  const bytes = Buffer.from(note.text, 'utf8');
  let known = false;
  for (const { name, keyId, signature } of note.signatures) {
    const verifier = verifiers.find((one) => one.name === name && one.keyId === keyId);
    if (!verifier) continue;
    if (!verify(null, bytes, verifier.key, signature)) return 'bad';
    known = true;
  }
  return known ? 'good' : 'unknown';
}

/** What a checkpoint says, and the very text that says it. */
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

/** A checkpoint's parts, its signature not yet checked; `null` when the text is not a checkpoint. Extension lines are allowed and ignored. */
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
