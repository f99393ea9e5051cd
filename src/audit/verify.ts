// Verifies a log from its stored bytes: every root, signature, sequence number, time and heartbeat.
// Trusts no cache and no writer; trusts only the given verifier keys, and checkpoints that were
// kept on another machine (`consistentWith`).

import { dayMs, isoTime } from '../time.ts';
import {
  type Checkpoint,
  parseCheckpoint,
  signatureProblems,
  type Verifier,
} from './checkpoint.ts';
import type { Cosignature } from './cosignature.ts';
import {
  type Acknowledgement,
  createFindings,
  type Findings,
  type Verified,
  WrongInput,
} from './findings.ts';
import { type Frontier, parseFrontier } from './frontier.ts';
import { createKeyHistory, type KeyHistory, type Signed, signerOf } from './key-history.ts';
import { base64Of, type Hash, leafHashInPlace, Tree } from './merkle.ts';
import {
  type AuditSource,
  blocksOf,
  eachLine,
  type LineBlock,
  numberAt,
  recordKeys,
  type StoredText,
} from './reader.ts';
import { viewLine } from './record.ts';
import { checkWitnesses, type WitnessPolicy } from './witness-check.ts';

export type Verification = Verified & {
  readonly records: number;
  /** How many of them are archived: the log goes on from the frontier at this record. */
  readonly archivedRecords: number;
  /** Number of valid checkpoints. */
  readonly checkpoints: number;
  /** How many records the largest valid checkpoint covers. */
  readonly sealedRecords: number;
  /** Base64 root over all records. */
  readonly root: string;
  readonly newest: Checkpoint | null;
  /** The cosignatures of the newest checkpoint by the witnesses that were given. */
  readonly cosignatures: readonly Cosignature[];
  /** Verifier keys, of those given, that signed. */
  readonly keys: readonly string[];
  readonly firstTimeMs: number | null;
  readonly lastTimeMs: number | null;
  /** Sizes of the checkpoints of `consistentWith` that the log continues. */
  readonly anchors: readonly number[];
};

export type VerifyOptions = {
  readonly verifiers: readonly Verifier[];
  /** Texts of checkpoints kept elsewhere. */
  readonly consistentWith?: readonly string[] | undefined;
  /** Who cosigns the checkpoints. */
  readonly witnesses?: WitnessPolicy | undefined;
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
type Given = Signed & { readonly root: Hash };

/**
 * Checks every record. Memory does not grow with the log. Throws `audit-unavailable` when it cannot
 * be read, and `WrongInput` when a key or a checkpoint that was given does not belong to this log.
 */
export async function verifyLog(
  source: AuditSource,
  options: VerifyOptions,
): Promise<Verification> {
  const findings = createFindings();
  const start = await readStart(source, options, findings);
  const signed = await readCheckpoints(source, options, findings, start?.frontier.checkpoint);
  const walk = createWalk(signed, options, findings, start);
  let incompleteBytes = 0;
  for await (const block of blocksOf(source)) {
    walk.visit(block);
    incompleteBytes = block.incompleteBytes;
    if (incompleteBytes > 0)
      findings.add(
        'half-written',
        `${block.segment.name} ends with ${incompleteBytes} bytes of an incomplete record`,
        block.segment.name,
      );
  }
  const { tree, valid, times, keys, acknowledgements } = walk.end(options.nowMs);
  const stored = valid.filter(({ isAnchor }) => !isAnchor);
  const sealedRecords = stored.reduce((most, { size }) => Math.max(most, size), 0);
  const unsealed = tree.size - sealedRecords;
  if (unsealed > 0 && incompleteBytes === 0) {
    const message = `${unsealed} of ${tree.size} records are after the last checkpoint`;
    findings.add('unsealed', message, sealedRecords);
  }
  const newest = await readAgain(source, stored.at(-1)?.name);
  const policy = options.witnesses ?? { clients: [] };
  const cosignatures = await checkWitnesses(source, newest, policy, findings);
  const isSigned = ([, { sequence }]: [string, Acknowledgement]): boolean =>
    sequence < sealedRecords;
  return {
    ...findings.end(new Map([...acknowledgements].filter(isSigned))),
    records: tree.size,
    archivedRecords: start?.frontier.tree.size ?? 0,
    checkpoints: stored.length,
    sealedRecords,
    root: base64Of(tree.root()),
    newest,
    cosignatures,
    keys,
    ...times,
    anchors: valid.filter(({ isAnchor }) => isAnchor).map(({ size }) => size),
  };
}

type Start = { readonly frontier: Frontier; readonly signed: Signed };

/** The frontier from which the records go on; `null` for record 0. */
async function readStart(
  source: AuditSource,
  { verifiers }: VerifyOptions,
  findings: Findings,
): Promise<Start | null> {
  const found = await source.frontier();
  if (found === null) return null;
  const { name, text } = found;
  const frontier = parseFrontier(text);
  const signer = frontier && signerOf(frontier.checkpoint.note, verifiers);
  if (!frontier || !signer || signer === 'invalid') {
    findings.add(
      'signature',
      `${name} ${frontier ? signatureProblems.invalid : 'is no frontier'}`,
      name,
    );
    return null;
  }
  const { size, note } = frontier.checkpoint;
  const signature = signer === 'unknown-key' ? note : signer;
  return { frontier, signed: { name, size, isAnchor: false, signature } };
}

/** One by one: the text of a stored checkpoint is read when it is asked for. */
async function* eachCheckpoint(stored: readonly StoredText[], kept: readonly string[]) {
  for (const one of stored) yield { name: one.name, text: await one.read(), isAnchor: false };
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
  return found ? parseCheckpoint(await found.read()) : null;
}

/**
 * A checkpoint that was kept elsewhere; editors and mail programs change the ends of its lines.
 * Throws a `WrongInput`.
 */
function readAnchor(name: string, text: string): Checkpoint {
  const lines = text.replace(/^\ufeff/, '').replaceAll('\r\n', '\n');
  const checkpoint = parseCheckpoint(lines.endsWith('\n') ? lines : `${lines}\n`);
  if (checkpoint) return checkpoint;
  throw new WrongInput(
    `${name} is not a checkpoint: a text of origin, size and root, an empty line, and a signature.`,
  );
}

type Checkpoints = {
  readonly origin: string | undefined;
  readonly bySize: ReadonlyMap<number, readonly Given[]>;
  /** The sizes of the stored ones. */
  readonly sizes: ReadonlySet<number>;
};

/** The checkpoints by size. What is damaged becomes a finding; what was given, a `WrongInput`. */
async function readCheckpoints(
  source: AuditSource,
  { verifiers, consistentWith = [] }: VerifyOptions,
  findings: Findings,
  archived: Checkpoint | undefined,
): Promise<Checkpoints> {
  const bySize = new Map<number, Given[]>();
  const sizes = new Set<number>();
  let origin = archived?.origin;
  const stored = await source.checkpoints();
  for await (const { name, text, isAnchor } of eachCheckpoint(stored, consistentWith)) {
    const checkpoint = isAnchor ? readAnchor(name, text) : parseCheckpoint(text);
    const signer = checkpoint && signerOf(checkpoint.note, verifiers);
    if (checkpoint === null || signer === 'invalid' || signer === null) {
      const problem = checkpoint ? signatureProblems.invalid : 'is no checkpoint';
      if (isAnchor) throw new WrongInput(`${name} ${problem}.`);
      findings.add('signature', `${name} ${problem}`, name);
      continue;
    }
    const { size, root, note } = checkpoint;
    origin ??= checkpoint.origin;
    if (checkpoint.origin !== origin) {
      const problem = `${name} belongs to the log "${checkpoint.origin}", not to "${origin}"`;
      if (isAnchor) throw new WrongInput(`${problem}.`);
      findings.add('origin', problem, name);
    }
    if (archived && size < archived.size) {
      const message = `${name} covers ${size} records, and the first ${archived.size} are archived`;
      if (isAnchor) findings.add('archived', message, name);
      continue;
    }
    if (!isAnchor) sizes.add(size);
    const signature = signer === 'unknown-key' ? note : signer;
    bySize.set(size, [...(bySize.get(size) ?? []), { name, size, root, isAnchor, signature }]);
  }
  return { origin, bySize, sizes };
}

/** Compares the tree with the checkpoints of its size. */
function createComparer(
  bySize: Checkpoints['bySize'],
  tree: Tree,
  keys: KeyHistory,
  findings: Findings,
) {
  const valid: Given[] = [];
  let validSize = 0;
  let isBroken = false;

  function compareOne(given: Given): void {
    const { size, isAnchor, name } = given;
    const isAccepted = keys.accepts(given);
    // A checkpoint that an unknown key signed shows nothing.
    if (isAnchor && !isAccepted) return;
    if (given.root === tree.root()) {
      if (!isAccepted) return;
      valid.push(given);
      if (!isAnchor) validSize = size;
    } else if (isAnchor) {
      const message = `the first ${size} records are not those that ${name} was signed over`;
      findings.add('inconsistent', message, name);
    } else if (!isBroken) {
      isBroken = true;
      const records = `records ${validSize} to ${size - 1}`;
      findings.add(
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
        for (const checkpoint of size > tree.size ? given : []) {
          const { name } = checkpoint;
          if (keys.accepts(checkpoint) || !checkpoint.isAnchor)
            findings.add(
              'shortened',
              `${name} was signed over ${size} records, and the log has ${tree.size}`,
              name,
            );
        }
    },
  };
}

/** Checks the order of the times, and the time between two records. */
function createTimeCheck(gapMs: number, findings: Findings, before: number | null) {
  let [first, last] = [null as number | null, before];
  return {
    add(timeMs: number, sequence: number): void {
      if (last !== null && timeMs < last) {
        const message = `the time goes back from ${isoTime(last)} to ${isoTime(timeMs)}`;
        findings.add('clock', message, sequence);
      } else if (last !== null && timeMs - last > gapMs) {
        const message = `no record and no heartbeat from ${isoTime(last)} to ${isoTime(timeMs)}`;
        findings.add('gap', message, sequence);
      }
      first ??= timeMs;
      last = timeMs;
    },
    /** `sequence`: of the next record. */
    end(nowMs: number | undefined, sequence: number) {
      if (nowMs !== undefined && last !== null && nowMs - last > gapMs)
        findings.add('gap', `no record and no heartbeat since ${isoTime(last)}`, sequence);
      return { firstTimeMs: first, lastTimeMs: last };
    },
  };
}

/**
 * The pass over all lines: hashes and counts them, and compares the tree at the size of every
 * checkpoint.
 */
function createWalk(
  { origin, bySize, sizes }: Checkpoints,
  { verifiers, gapMs = dayMs + 2 * 3_600_000 }: VerifyOptions,
  findings: Findings,
  start: Start | null,
) {
  const tree = start?.frontier.tree.copy() ?? new Tree();
  const times = createTimeCheck(gapMs, findings, start?.frontier.lastTimeMs ?? null);
  const keys = createKeyHistory(verifiers, findings);
  if (start) keys.begin(start.signed, start.frontier.key);
  const checkpoints = createComparer(bySize, tree, keys, findings);
  const facts = createFacts(origin, keys, findings);
  const logged = createFinder(recordKeys.loggedTime);
  const sequences = createFinder(recordKeys.sequence);

  function addLine(bytes: Buffer, start: number, end: number): void {
    const expected = tree.size;
    const loggedAt = logged.find(bytes, start, end);
    const sequenceAt = loggedAt < 0 ? -1 : sequences.find(bytes, loggedAt, end);
    if (sequenceAt < 0) {
      findings.add('not-a-record', `line ${expected} is no record`, expected);
    } else {
      const sequence = numberAt(bytes, sequenceAt + recordKeys.sequence.length);
      if (sequence !== expected) {
        const message = `record ${expected} carries the sequence number ${sequence}`;
        findings.add('sequence', message, expected);
      }
      times.add(numberAt(bytes, loggedAt + recordKeys.loggedTime.length), expected);
    }
    facts.add(bytes, start, end, expected);
    tree.append(leafHashInPlace(bytes, start, end));
    checkpoints.compare();
  }

  checkpoints.compare();
  const archived = tree.size;
  return {
    visit(block: LineBlock): void {
      facts.begin(block);
      eachLine(block, addLine);
    },
    end(nowMs: number | undefined) {
      checkpoints.end();
      for (const size of facts.mentioned) {
        if (sizes.has(size) || size <= archived) continue;
        findings.add('checkpoint-missing', `the checkpoint at ${size} records is missing`, size);
      }
      return {
        tree,
        valid: checkpoints.valid,
        times: times.end(nowMs, tree.size),
        keys: keys.end(),
        acknowledgements: facts.acknowledgements,
      };
    },
  };
}

/**
 * Parts of the codes of the records that a verification reads; only these lines are parsed. A
 * search runs at the speed of its first byte, and `k` is rare in a record.
 */
const rareCodes = ['key.rotated', 'knowledged"'].map((part) => Buffer.from(part));

/** What the records say about keys, checkpoints and acknowledged findings. */
function createFacts(origin: string | undefined, keys: KeyHistory, findings: Findings) {
  const mentioned = new Set<number>();
  const acknowledgements = new Map<string, Acknowledgement>();
  /** Where the next rare record of the block is, by its needle. */
  let next: { readonly code: Buffer; at: number }[] = [];

  function addRecord(line: Buffer, sequence: number): void {
    const view = viewLine(line);
    if (view === null) return;
    const { code, exceptionId, logName, timeMs, note = '', requestedBy, actor } = view;
    if (code === 'log.genesis' || code === 'key.rotated') keys.addRecord({ ...view, sequence });
    if (sequence === 0 && origin !== undefined && logName !== origin)
      findings.add('origin', `record 0 belongs to the log "${logName}", not to "${origin}"`, 0);
    if (code === 'exception.acknowledged' && exceptionId !== undefined)
      acknowledgements.set(exceptionId, { by: requestedBy ?? actor, timeMs, note, sequence });
  }

  return {
    mentioned,
    acknowledgements,
    begin(block: LineBlock): void {
      addMentioned(block, mentioned);
      next = rareCodes
        .map((code) => ({ code, at: block.bytes.indexOf(code, block.start) }))
        .filter(({ at }) => at >= 0 && at < block.end);
    },
    add(bytes: Buffer, start: number, end: number, sequence: number): void {
      let isRare = sequence === 0;
      for (const one of next) {
        if (one.at < start || one.at >= end) continue;
        isRare = true;
        one.at = bytes.indexOf(one.code, end);
      }
      if (isRare) addRecord(bytes.subarray(start, end), sequence);
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
