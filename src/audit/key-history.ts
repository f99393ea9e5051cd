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

/** A key that the log names; `null` when it is none. */
export function parseNamedKey(text: string | null | undefined): Verifier | null {
  try {
    return parseVerifierKey(text ?? '');
  } catch {
    return null;
  }
}

/** What is known during the pass over the log. */
type Keys = {
  /** Keys that the log names, the record that named each first, and whether it was a record. */
  readonly named: Map<string, Named>;
  /** Keys that signed, and the first checkpoint of each. */
  readonly used: Map<string, { readonly isGiven: boolean; readonly name: string }>;
  readonly unsigned: Signed[];
  /** The key in force. */
  current: Verifier | null;
  /** The key that was in force when the log began. */
  first: string | undefined;
  frontier: Signed | null;
  /** How many records the given keys signed. */
  sealed: number;
};

/** `isRecorded`: a record names it, and not only the state of a frontier. */
type Named = {
  readonly verifier: Verifier;
  readonly sequence: number;
  readonly isRecorded: boolean;
};

function addNamed(
  { named }: Keys,
  text: string | undefined,
  sequence: number,
  isRecorded: boolean,
): Verifier | null {
  const verifier = parseNamedKey(text);
  const known = verifier && named.get(verifier.verifierKey);
  if (verifier && !(known?.isRecorded || (known && !isRecorded)))
    named.set(verifier.verifierKey, {
      verifier,
      sequence: known?.sequence ?? sequence,
      isRecorded,
    });
  return verifier;
}

function compareWithRecords(
  keys: Keys,
  signer: Verifier,
  { name, size }: Signed,
  findings: Findings,
) {
  const { current, used, frontier } = keys;
  if (current !== null && current.verifierKey !== signer.verifierKey) {
    const place = `${name} is signed by ${describeKey(signer)}`;
    if (used.has(current.verifierKey) || (frontier && current.verifierKey === keys.first)) {
      const replaced = `and no record says that it replaced ${describeKey(current)}`;
      findings.add('key-unrecorded', `${place}, ${replaced}`, size);
    } else {
      const expected = `but the log names ${describeKey(current)}, which signed no checkpoint`;
      findings.add('key', `${place}, ${expected}`, name);
    }
  }
  keys.current = signer;
}

/** Who signed a checkpoint: a given key, or one of `candidates`; else `null`. */
function signerIn(
  keys: Keys,
  checkpoint: Signed,
  candidates: readonly Named[],
  findings: Findings,
): Verifier | null {
  const { name, signature, isAnchor, size } = checkpoint;
  const isGiven = isVerifier(signature);
  const known = candidates.map(({ verifier }) => verifier);
  const signer = isGiven ? signature : signerOf(signature, known);
  if (signer === 'unknown-key') keys.unsigned.push(checkpoint);
  if (signer === 'invalid') findings.add('signature', `${name} ${signatureProblems[signer]}`, name);
  if (typeof signer === 'string') return null;
  if (isAnchor) return signer;
  if (isGiven) keys.sealed = Math.max(keys.sealed, size);
  return signer;
}

function addUsed({ used }: Keys, { verifierKey }: Verifier, { name, signature }: Signed): void {
  if (!used.has(verifierKey)) used.set(verifierKey, { isGiven: isVerifier(signature), name });
}

export type KeyHistory = ReturnType<typeof createKeyHistory>;

export function createKeyHistory(given: readonly Verifier[], findings: Findings) {
  const keys: Keys = {
    named: new Map(),
    used: new Map(),
    unsigned: [],
    current: null,
    first: undefined,
    frontier: null,
    sealed: 0,
  };
  return {
    /** The log begins with a frontier, which names the key in force. */
    begin(signed: Signed, key: string | null): void {
      keys.frontier = signed;
      keys.first = key ?? undefined;
      keys.current = addNamed(keys, keys.first, signed.size - 1, false);
    },
    /** A record `log.genesis` or `key.rotated`. */
    addRecord({ code, sequence, verifierKey, verifierKeyBefore }: RecordView): void {
      if (code === 'log.genesis') keys.first = verifierKey;
      addNamed(keys, verifierKeyBefore, sequence, true);
      keys.current = addNamed(keys, verifierKey, sequence, true) ?? keys.current;
    },
    /** Whether a key that is known so far signed the checkpoint, over all records so far. */
    accepts(checkpoint: Signed): boolean {
      const signer = signerIn(keys, checkpoint, [...keys.named.values()], findings);
      if (signer === null || checkpoint.isAnchor) return signer !== null;
      compareWithRecords(keys, signer, checkpoint, findings);
      addUsed(keys, signer, checkpoint);
      return true;
    },
    /** The keys that signed. Throws a `WrongInput`, unless the log was altered in any case. */
    end(): readonly string[] {
      const { frontier, named, used, unsigned } = keys;
      // The key that signed the frontier is given, or a record names it: its state does not count.
      const recorded = [...named.values()].filter(({ isRecorded }) => isRecorded);
      const signer = frontier && signerIn(keys, frontier, recorded, findings);
      if (frontier && signer) addUsed(keys, signer, frontier);
      const isOwnKey = given.some(({ verifierKey }) => verifierKey === keys.first);
      for (const { name, isAnchor } of used.size > 0 || isOwnKey ? unsigned : [])
        if (!isAnchor)
          findings.add('signature', `${name} ${signatureProblems['unknown-key']}`, name);
      if (!findings.isAltered()) throwOtherKey(keys, given);
      return [...used.keys()];
    },
  };
}

/** Throws when a key that is not trusted signed. */
function throwOtherKey({ named, used, unsigned, sealed }: Keys, given: readonly Verifier[]): void {
  const untrusted = [...used].find(
    ([key, { isGiven }]) => !isGiven && (named.get(key)?.sequence ?? 0) >= sealed,
  );
  if (untrusted) throw otherKey(untrusted[1].name, [untrusted[0]], given);
  const [stranger] = unsigned;
  if (stranger === undefined) return;
  const { name, signature } = stranger;
  const signers = isVerifier(signature) ? [] : signature.signatures.map(describeKey);
  throw otherKey(name, signers, given);
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
