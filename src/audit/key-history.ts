// Which key signs from which record on, as the log says it (`log.genesis`, `key.rotated`), compared
// with the signatures of its checkpoints.
//
// A key is trusted when it was given. A key that the log names in a record is trusted too, when a
// checkpoint that a given key signed covers that record.

import {
  checkNote,
  describeKey,
  type Note,
  parseVerifierKey,
  type SignatureStatus,
  signatureProblems,
  type Verifier,
} from './checkpoint.ts';
import { type Findings, WrongInput } from './findings.ts';
import type { RecordView } from './record.ts';

/** A checkpoint by name and size, and who signed it: one of the given keys, or its note. */
export type Signed = {
  readonly name: string;
  readonly size: number;
  /** A checkpoint that was kept elsewhere. */
  readonly isAnchor: boolean;
  /** The given key that signed it; the note where none of them did. */
  readonly signature: Verifier | Note;
};

/** The key that signed a note: valid, damaged, or by none of these. */
export function signerOf(
  note: Note,
  verifiers: readonly Verifier[],
): Verifier | Exclude<SignatureStatus, 'valid'> {
  const status = checkNote(note, verifiers);
  if (status !== 'valid') return status;
  const isSigner = ({ name, keyId }: Verifier): boolean =>
    note.signatures.some((line) => line.name === name && line.keyId === keyId);
  return verifiers.find(isSigner) ?? 'unknown-key';
}

const isVerifier = (signature: Verifier | Note): signature is Verifier => 'key' in signature;

function parseKey(text: string | undefined): Verifier | null {
  try {
    return parseVerifierKey(text ?? '');
  } catch {
    return null;
  }
}

export function createKeyHistory(given: readonly Verifier[], findings: Findings) {
  /** Keys that the log names, and the record that named each first. */
  const named = new Map<string, { readonly verifier: Verifier; readonly sequence: number }>();
  /** Keys that signed, and the first checkpoint of each. */
  const used = new Map<string, { readonly isGiven: boolean; readonly name: string }>();
  const unsigned: Signed[] = [];
  /** The key in force. */
  let current: Verifier | null = null;
  let genesisKey: string | undefined;
  /** How many records the given keys signed. */
  let sealed = 0;

  function addNamed(text: string | undefined, sequence: number): Verifier | null {
    const verifier = parseKey(text);
    if (verifier && !named.has(verifier.verifierKey))
      named.set(verifier.verifierKey, { verifier, sequence });
    return verifier;
  }

  function compareWithRecords(signer: Verifier, { name, size }: Signed): void {
    if (current !== null && current.verifierKey !== signer.verifierKey) {
      const place = `${name} is signed by ${describeKey(signer)}`;
      if (used.has(current.verifierKey)) {
        const replaced = `and no record says that it replaced ${describeKey(current)}`;
        findings.add('key-unrecorded', `${place}, ${replaced}`, size);
      } else {
        const expected = `but the log names ${describeKey(current)}, which signed no checkpoint`;
        findings.add('key', `${place}, ${expected}`, name);
      }
    }
    current = signer;
  }

  return {
    /** A record `log.genesis` or `key.rotated`. */
    addRecord({ code, sequence, verifierKey, verifierKeyBefore }: RecordView): void {
      if (code === 'log.genesis') genesisKey = verifierKey;
      addNamed(verifierKeyBefore, sequence);
      current = addNamed(verifierKey, sequence) ?? current;
    },
    /** Whether a key that is known so far signed the checkpoint, over all records so far. */
    accepts(checkpoint: Signed): boolean {
      const { name, signature, size, isAnchor } = checkpoint;
      const isGiven = isVerifier(signature);
      const known = [...named.values()].map(({ verifier }) => verifier);
      const signer = isGiven ? signature : signerOf(signature, known);
      if (signer === 'unknown-key') unsigned.push(checkpoint);
      if (signer === 'invalid')
        findings.add('signature', `${name} ${signatureProblems[signer]}`, name);
      if (typeof signer === 'string') return false;
      if (isAnchor) return true;
      compareWithRecords(signer, checkpoint);
      if (!used.has(signer.verifierKey)) used.set(signer.verifierKey, { isGiven, name });
      if (isGiven) sealed = Math.max(sealed, size);
      return true;
    },
    /** The keys that signed. Throws a `WrongInput`, unless the log was altered in any case. */
    end(): readonly string[] {
      const stored = unsigned.filter(({ isAnchor }) => !isAnchor);
      const isOwnKey = given.some(({ verifierKey }) => verifierKey === genesisKey);
      if (used.size > 0 || isOwnKey)
        for (const { name } of stored)
          findings.add('signature', `${name} ${signatureProblems['unknown-key']}`, name);
      const isUntrusted = ([key, { isGiven }]: [string, { isGiven: boolean }]): boolean =>
        !isGiven && (named.get(key)?.sequence ?? 0) >= sealed;
      const [untrusted] = [...used].filter(isUntrusted);
      const [stranger] = unsigned;
      if (!findings.isAltered() && untrusted)
        throw otherKey(untrusted[1].name, [untrusted[0]], given);
      if (!findings.isAltered() && stranger) {
        const { signature, name } = stranger;
        const signers = isVerifier(signature) ? [] : signature.signatures.map(describeKey);
        throw otherKey(name, signers, given);
      }
      return [...used.keys()];
    },
  };
}

function otherKey(
  name: string,
  signers: readonly string[],
  given: readonly Verifier[],
): WrongInput {
  const keys = given.map(({ verifierKey }) => verifierKey).join(', ');
  return new WrongInput(
    `${name} is signed by ${signers.join(', ')}, and not by a key that was given: ${keys}. ` +
      'Give the key that signed it, when the owner of the log confirms that key.',
  );
}
