// Verifies a log from its stored bytes: every root, signature, sequence number, time and heartbeat.
// Trusts no cache and no writer; trusts only the given verifier keys, and checkpoints that were
// kept on another machine (`consistentWith`).

import { dayMs, isoTime } from '../time.ts';
import {
  type Checkpoint,
  checkNote,
  parseCheckpoint,
  signatureProblems,
  type Verifier,
} from './checkpoint.ts';
import { base64Of, type Hash, leafHashInPlace, Tree } from './merkle.ts';
import {
  type AuditSource,
  blocksOf,
  eachLine,
  type LineBlock,
  numberAt,
  recordKeys,
} from './reader.ts';

/**
 * `altered`: something is not what was signed. `incomplete`: nothing was altered, but something is
 * missing.
 */
export type FindingLevel = 'altered' | 'incomplete';

export type FindingKind =
  | 'root' // the records before this checkpoint are not those that were signed
  | 'shortened' // the log has fewer records than a signed checkpoint
  | 'signature' // a checkpoint has no valid signature by a given key, or is no checkpoint
  | 'origin' // a checkpoint of another log
  | 'checkpoint-missing' // a record mentions a checkpoint that does not exist
  | 'sequence' // a sequence number is missing, repeated or out of order
  | 'not-a-record' // a line without sequence number or time
  | 'inconsistent' // the log does not continue a checkpoint that was kept elsewhere
  | 'clock' // the time goes back
  | 'gap' // no record for more than a day and two hours
  | 'half-written' // the last line is incomplete
  | 'unsealed'; // records after the last checkpoint

export type Finding = {
  readonly kind: FindingKind;
  readonly level: FindingLevel;
  readonly message: string;
  readonly sequence?: number | undefined;
};

export type Verification = {
  readonly state: 'intact' | 'incomplete' | 'altered';
  /** 0 intact, 1 incomplete, 4 altered. */
  readonly exitCode: 0 | 1 | 4;
  readonly records: number;
  /** Number of valid checkpoints. */
  readonly checkpoints: number;
  /** How many records the largest valid checkpoint covers. */
  readonly sealedRecords: number;
  /** Base64 root over all records. */
  readonly root: string;
  readonly newest: Checkpoint | null;
  /** Verifier keys, of those given, that signed. */
  readonly keys: readonly string[];
  readonly firstTimeMs: number | null;
  readonly lastTimeMs: number | null;
  /** Sizes of the checkpoints of `consistentWith` that the log continues. */
  readonly anchors: readonly number[];
  /** At most 100. */
  readonly findings: readonly Finding[];
  /** How many findings were left out. */
  readonly more: number;
};

export type VerifyOptions = {
  readonly verifiers: readonly Verifier[];
  /** Texts of checkpoints kept elsewhere. */
  readonly consistentWith?: readonly string[] | undefined;
  /** UTC milliseconds. With it, a log without recent records is reported too. */
  readonly nowMs?: number | undefined;
  /** The longest time without a record that is not reported; by default a day and two hours. */
  readonly gapMs?: number | undefined;
};

/**
 * The end of the key `sealed_size`. The search runs at the speed of its first byte, and `z` is rare
 * in a record.
 */
const rareEnd = Buffer.from('ze":');

/**
 * Finds a key in one line after another. It searches near the position in the previous line first,
 * and from the start of the line only then: records are similar, and this takes a quarter of the
 * time.
 */
function createFinder(needle: Buffer): { find(bytes: Buffer, start: number, end: number): number } {
  const first = needle[0];
  let distance = 0;
  // A loop is faster here than a call of indexOf, which takes as long as the hash of a node.
  function isAt(bytes: Buffer, place: number): boolean {
    for (let index = 1; index < needle.length; index += 1)
      if (bytes[place + index] !== needle[index]) return false;
    return true;
  }
  return {
    find(bytes, start, end) {
      const near = start + Math.max(0, distance - 24);
      let at = -1;
      for (
        let place = near;
        place < near + 48 && place + needle.length <= end && at < 0;
        place += 1
      ) {
        if (bytes[place] === first && isAt(bytes, place)) at = place;
      }
      if (at < 0) at = bytes.indexOf(needle, start);
      if (at < 0 || at >= end) return -1;
      distance = at - start;
      return at;
    },
  };
}

/** What is kept of a checkpoint during the pass; a log can have thousands. */
type Given = {
  readonly name: string;
  readonly size: number;
  readonly root: Hash;
  readonly isAnchor: boolean;
};

function createFindings() {
  const kept: Finding[] = [];
  let more = 0;
  return {
    add(level: FindingLevel, kind: FindingKind, message: string, sequence?: number): void {
      if (kept.length < 100) kept.push({ level, kind, message, sequence });
      else more += 1;
    },
    done: (): { findings: readonly Finding[]; more: number } => ({ findings: kept, more }),
  };
}
type Findings = ReturnType<typeof createFindings>;

const exitCodes = { intact: 0, incomplete: 1, altered: 4 } as const;

/**
 * Checks every record. Memory does not grow with the log. Throws `audit-unavailable` when it cannot
 * be read.
 */
export async function verifyLog(
  source: AuditSource,
  options: VerifyOptions,
): Promise<Verification> {
  const findings = createFindings();
  const signed = await signedCheckpoints(source, options, findings);
  const walk = createWalk(signed.bySize, options.gapMs ?? dayMs + 2 * 3_600_000, findings);
  let incompleteBytes = 0;
  for await (const block of blocksOf(source)) {
    walk.visit(block);
    incompleteBytes = block.incompleteBytes;
    if (incompleteBytes > 0)
      findings.add(
        'incomplete',
        'half-written',
        `${block.segment.name} ends with ${incompleteBytes} bytes of an incomplete record`,
      );
  }
  const { tree, mentioned, valid, times } = walk.end(options.nowMs);
  const stored = valid.filter(({ isAnchor }) => !isAnchor);
  const sealedRecords = stored.reduce((most, { size }) => Math.max(most, size), 0);
  for (const size of mentioned) {
    if (!signed.sizes.has(size))
      findings.add('altered', 'checkpoint-missing', `the checkpoint at ${size} records is missing`);
  }
  const unsealed = tree.size - sealedRecords;
  if (unsealed > 0 && incompleteBytes === 0) {
    const message = `${unsealed} of ${tree.size} records are after the last checkpoint`;
    findings.add('incomplete', 'unsealed', message, sealedRecords);
  }
  const found = findings.done();
  const isAltered = found.findings.some(({ level }) => level === 'altered');
  const state = isAltered ? 'altered' : found.findings.length > 0 ? 'incomplete' : 'intact';
  return {
    state,
    exitCode: exitCodes[state],
    records: tree.size,
    checkpoints: stored.length,
    sealedRecords,
    root: base64Of(tree.root()),
    newest: await readAgain(source, stored.at(-1)?.name),
    keys: signed.keys,
    ...times,
    anchors: valid.filter(({ isAnchor }) => isAnchor).map(({ size }) => size),
    ...found,
  };
}

/** One by one: the text of a stored checkpoint is read when it is asked for. */
function* eachCheckpoint(
  stored: readonly { readonly name: string; readonly text: string }[],
  kept: readonly string[],
) {
  for (const { name, text } of stored) yield { name, text, isAnchor: false };
  for (const [index, text] of kept.entries())
    yield { name: `given checkpoint ${index + 1}`, text, isAnchor: true };
}

/** Reads the checkpoint of that name again: the texts are not kept during the pass. */
async function readAgain(
  source: AuditSource,
  name: string | undefined,
): Promise<Checkpoint | null> {
  if (name === undefined) return null;
  const found = (await source.checkpoints()).findLast((one) => one.name === name);
  return found ? parseCheckpoint(found.text) : null;
}

/** The checkpoints with a valid signature by a given key, by size. The others become findings. */
async function signedCheckpoints(
  source: AuditSource,
  { verifiers, consistentWith = [] }: VerifyOptions,
  findings: Findings,
) {
  const bySize = new Map<number, Given[]>();
  const sizes = new Set<number>();
  const keys = new Set<string>();
  let origin: string | undefined;
  const stored = await source.checkpoints();
  for (const { name, text, isAnchor } of eachCheckpoint(stored, consistentWith)) {
    const checkpoint = parseCheckpoint(text);
    if (checkpoint === null) {
      findings.add('altered', 'signature', `${name} is no checkpoint`);
      continue;
    }
    const signature = checkNote(checkpoint.note, verifiers);
    if (signature !== 'valid') {
      findings.add('altered', 'signature', `${name} ${signatureProblems[signature]}`);
      continue;
    }
    origin ??= checkpoint.origin;
    if (checkpoint.origin !== origin)
      findings.add(
        'altered',
        'origin',
        `${name} belongs to the log "${checkpoint.origin}", not to "${origin}"`,
      );
    if (!isAnchor) sizes.add(checkpoint.size);
    const { size, root } = checkpoint;
    bySize.set(size, [...(bySize.get(size) ?? []), { name, size, root, isAnchor }]);
    for (const { name: keyName, keyId, verifierKey } of verifiers) {
      if (checkpoint.note.signatures.some((line) => line.name === keyName && line.keyId === keyId))
        keys.add(verifierKey);
    }
  }
  return { bySize, sizes, keys: [...keys] };
}

/** Compares the tree with the checkpoints of its size. */
function createComparer(
  bySize: ReadonlyMap<number, readonly Given[]>,
  tree: Tree,
  findings: Findings,
) {
  const valid: Given[] = [];
  let validSize = 0;
  let isBroken = false;

  function compareOne(given: Given): void {
    const { size, isAnchor, name } = given;
    if (given.root === tree.root()) {
      valid.push(given);
      if (!isAnchor) validSize = size;
    } else if (isAnchor) {
      const message = `the first ${size} records are not those that ${name} was signed over`;
      findings.add('altered', 'inconsistent', message);
    } else if (!isBroken) {
      isBroken = true;
      const records = `records ${validSize} to ${size - 1}`;
      findings.add(
        'altered',
        'root',
        `${records} are not those that ${name} was signed over; no later record can be trusted`,
        validSize,
      );
    }
  }

  return {
    valid,
    compare(): void {
      for (const given of bySize.get(tree.size) ?? []) compareOne(given);
    },
    /** Checkpoints of more records than the log has. */
    end(): void {
      for (const [size, given] of bySize)
        for (const { name } of size > tree.size ? given : [])
          findings.add(
            'altered',
            'shortened',
            `${name} was signed over ${size} records, and the log has ${tree.size}`,
          );
    },
  };
}

/** Checks the order of the times, and the time between two records. */
function createTimeCheck(gapMs: number, findings: Findings) {
  let [first, last] = [null as number | null, null as number | null];
  return {
    add(timeMs: number, sequence: number): void {
      if (last !== null && timeMs < last) {
        const message = `the time goes back from ${isoTime(last)} to ${isoTime(timeMs)}`;
        findings.add('incomplete', 'clock', message, sequence);
      } else if (last !== null && timeMs - last > gapMs) {
        const message = `no record and no heartbeat from ${isoTime(last)} to ${isoTime(timeMs)}`;
        findings.add('incomplete', 'gap', message, sequence);
      }
      first ??= timeMs;
      last = timeMs;
    },
    end(nowMs: number | undefined) {
      if (nowMs !== undefined && last !== null && nowMs - last > gapMs)
        findings.add('incomplete', 'gap', `no record and no heartbeat since ${isoTime(last)}`);
      return { firstTimeMs: first, lastTimeMs: last };
    },
  };
}

/**
 * The pass over all lines: hashes and counts them, and compares the tree at the size of every
 * checkpoint.
 */
function createWalk(
  bySize: ReadonlyMap<number, readonly Given[]>,
  gapMs: number,
  findings: Findings,
) {
  const tree = new Tree();
  const times = createTimeCheck(gapMs, findings);
  const checkpoints = createComparer(bySize, tree, findings);
  const mentioned = new Set<number>();
  const logged = createFinder(recordKeys.loggedTime);
  const sequences = createFinder(recordKeys.sequence);

  function addLine(bytes: Buffer, start: number, end: number): void {
    const expected = tree.size;
    const loggedAt = logged.find(bytes, start, end);
    const sequenceAt = loggedAt < 0 ? -1 : sequences.find(bytes, loggedAt, end);
    if (sequenceAt < 0) {
      findings.add('altered', 'not-a-record', `line ${expected} is no record`, expected);
    } else {
      const sequence = numberAt(bytes, sequenceAt + recordKeys.sequence.length);
      if (sequence !== expected) {
        const message = `record ${expected} carries the sequence number ${sequence}`;
        findings.add('altered', 'sequence', message, expected);
      }
      times.add(numberAt(bytes, loggedAt + recordKeys.loggedTime.length), expected);
    }
    tree.append(leafHashInPlace(bytes, start, end));
    checkpoints.compare();
  }

  checkpoints.compare();
  return {
    visit(block: LineBlock): void {
      addMentioned(block, mentioned);
      eachLine(block, addLine);
    },
    end(nowMs: number | undefined) {
      checkpoints.end();
      return { tree, mentioned, valid: checkpoints.valid, times: times.end(nowMs) };
    },
  };
}

/** Adds the sizes of the checkpoints that the records of a block mention. */
function addMentioned({ bytes, start, end }: LineBlock, mentioned: Set<number>): void {
  const { sealedSize } = recordKeys;
  let at = bytes.indexOf(rareEnd, start);
  while (at >= 0 && at < end) {
    const after = at + rareEnd.length;
    const from = Math.max(0, after - sealedSize.length);
    if (bytes.compare(sealedSize, 0, sealedSize.length, from, after) === 0)
      mentioned.add(numberAt(bytes, after));
    at = bytes.indexOf(rareEnd, at + 1);
  }
}
