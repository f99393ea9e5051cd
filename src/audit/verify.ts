// Recomputes everything from the stored bytes: every root, signature, sequence number, time, heartbeat. Believes no cache and nobody
// who wrote the log; believes only the verifier keys it is given, and checkpoints that have left the machine (`consistentWith`).

import { dayMs, isoTime } from '../time.ts';
import { type Checkpoint, checkNote, parseCheckpoint, type Verifier } from './checkpoint.ts';
import { base64Of, type Hash, leafHashInPlace, Tree } from './merkle.ts';
import { type AuditSource, blocksOf, type LineBlock } from './reader.ts';

/** `altered`: somebody changed something. `incomplete`: nothing speaks against the log, but something is missing. */
export type FindingLevel = 'altered' | 'incomplete';

export type FindingKind =
  | 'root' // records before this checkpoint are not those it was signed over
  | 'shortened' // the log ends before a signed checkpoint does
  | 'signature' // a checkpoint is not signed by a key that was given, or is no checkpoint
  | 'origin' // checkpoints of another log
  | 'checkpoint-missing' // a record says that a checkpoint was signed that is not there
  | 'sequence' // a number is missing, double or out of order
  | 'not-a-record' // a line without number or time
  | 'inconsistent' // a checkpoint that left the machine says otherwise
  | 'clock' // the time goes back
  | 'gap' // no record for more than a day and two hours
  | 'half-written' // the last line has no end
  | 'unsealed'; // records after the last checkpoint

export type Finding = {
  readonly kind: FindingKind;
  readonly level: FindingLevel;
  readonly message: string;
  readonly sequence?: number;
};

export type Verification = {
  readonly state: 'intact' | 'incomplete' | 'altered';
  /** 0 intact, 1 incomplete, 4 altered. */
  readonly exitCode: 0 | 1 | 4;
  readonly records: number;
  /** Good checkpoints, and how many records the largest of them covers. */
  readonly checkpoints: number;
  readonly sealedRecords: number;
  /** Base64 root over all records, sealed or not. */
  readonly root: string;
  readonly newest: Checkpoint | null;
  /** Verifier keys, of those given, that signed. */
  readonly keys: readonly string[];
  readonly firstTimeMs: number | null;
  readonly lastTimeMs: number | null;
  /** Sizes of the outside checkpoints that the log was found consistent with. */
  readonly anchors: readonly number[];
  /** At most 100; `more` says how many were left out. */
  readonly findings: readonly Finding[];
  readonly more: number;
};

export type VerifyOptions = {
  readonly verifiers: readonly Verifier[];
  /** Texts of checkpoints kept elsewhere. */
  readonly consistentWith?: readonly string[];
  /** With the time, a log that fell silent is noticed too. UTC milliseconds. */
  readonly nowMs?: number;
  /** The longest silence that needs no explanation; a day and two hours by default. */
  readonly gapMs?: number;
};

const needles = {
  logged: Buffer.from('"logged_time":'),
  sequence: Buffer.from('"sequence":'),
  sealed: Buffer.from('"sealed_size":'),
};

const rareEnd = Buffer.from('ze":');

/** The digits at `at`, as a number; -1 when there are none or too many. */
function numberAt(bytes: Buffer, at: number): number {
  let [value, index] = [0, at];
  for (; index < at + 16; index += 1) {
    const digit = (bytes[index] as number) - 48;
    if (digit < 0 || digit > 9) break;
    value = value * 10 + digit;
  }
  return index === at || index === at + 16 ? -1 : value;
}

/**
 * Finds a key in line after line. Records are much alike, so it looks near where it was in the line before, and from the line's
 * beginning only when it is not there: a quarter of the time. In RFC 8785 order `logged_time` stands before `sequence`, both in
 * `metadata`; a quote inside a text is escaped, so these bytes cannot occur in one.
 */
function createFinder(needle: Buffer): { find(bytes: Buffer, start: number, end: number): number } {
  const first = needle[0];
  let distance = 0;
  // A loop here beats a call to indexOf, which costs as much as the hash of a node.
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

/** What is kept of a checkpoint while the log passes by; there may be thousands. */
type Given = {
  readonly name: string;
  readonly size: number;
  readonly root: Hash;
  readonly isAnchor: boolean;
};

/** Collects findings, and tells the first few of a kind only once too often. */
function createFindings() {
  const kept: Finding[] = [];
  let more = 0;
  return {
    add(level: FindingLevel, kind: FindingKind, message: string, sequence?: number): void {
      if (kept.length < 100)
        kept.push({ level, kind, message, ...(sequence === undefined ? {} : { sequence }) });
      else more += 1;
    },
    done: (): { findings: readonly Finding[]; more: number } => ({ findings: kept, more }),
  };
}
type Findings = ReturnType<typeof createFindings>;

/** Checks the whole log. Throws `audit-unavailable` when it cannot be read. Memory is flat in the log's length. */
export async function verifyLog(
  source: AuditSource,
  options: VerifyOptions,
): Promise<Verification> {
  const findings = createFindings();
  const signed = await signedCheckpoints(source, options, findings);
  const walk = createWalk(signed.bySize, options.gapMs ?? dayMs + 2 * 3_600_000, findings);
  let tailBytes = 0;
  for await (const block of blocksOf(source)) {
    walk.visit(block);
    tailBytes = block.tail;
    if (block.tail > 0)
      findings.add(
        'incomplete',
        'half-written',
        `${block.segment.name}: ${block.tail} bytes of a half-written record`,
      );
  }
  const { tree, times, mentioned, good } = walk.end(options.nowMs);
  const sealedRecords = good.reduce(
    (most, { isAnchor, size }) => (isAnchor ? most : Math.max(most, size)),
    0,
  );
  for (const size of mentioned) {
    if (!signed.sizes.has(size))
      findings.add('altered', 'checkpoint-missing', `the checkpoint at ${size} records is gone`);
  }
  const unsealed = tree.size - sealedRecords;
  if (unsealed > 0 && tailBytes === 0) {
    findings.add(
      'incomplete',
      'unsealed',
      `${unsealed} of ${tree.size} records are after the last checkpoint`,
      sealedRecords,
    );
  }
  const found = findings.done();
  const isAltered = found.findings.some(({ level }) => level === 'altered');
  const state = isAltered ? 'altered' : found.findings.length > 0 ? 'incomplete' : 'intact';
  return {
    state,
    exitCode: isAltered ? 4 : state === 'intact' ? 0 : 1,
    records: tree.size,
    checkpoints: good.filter(({ isAnchor }) => !isAnchor).length,
    sealedRecords,
    root: base64Of(tree.root()),
    newest: await newestOf(source, good.findLast(({ isAnchor }) => !isAnchor)?.name),
    keys: signed.keys,
    firstTimeMs: times.first,
    lastTimeMs: times.last,
    anchors: good.filter(({ isAnchor }) => isAnchor).map(({ size }) => size),
    ...found,
  };
}

function* inTurn(stored: readonly NamedText[], outside: readonly NamedText[]) {
  for (const { name, text } of stored) yield { name, text, isAnchor: false };
  for (const { name, text } of outside) yield { name, text, isAnchor: true };
}
type NamedText = { readonly name: string; readonly text: string };

/** The checkpoint of that name once more: their texts are not kept while the log passes by. */
async function newestOf(source: AuditSource, name: string | undefined): Promise<Checkpoint | null> {
  if (name === undefined) return null;
  const found = (await source.checkpoints()).findLast((one) => one.name === name);
  return found ? parseCheckpoint(found.text) : null;
}

/** The checkpoints that a given key signed, by size; what is wrong with the others goes to the findings. */
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
  const outside = consistentWith.map((text, index) => ({
    name: `outside checkpoint ${index + 1}`,
    text,
  }));
  for (const { name, text, isAnchor } of inTurn(stored, outside)) {
    const checkpoint = parseCheckpoint(text);
    const signature = checkpoint && checkNote(checkpoint.note, verifiers);
    if (!checkpoint || signature !== 'good') {
      const why = !checkpoint
        ? 'is no checkpoint'
        : signature === 'bad'
          ? 'has a wrong signature'
          : 'is signed by no key that was given';
      findings.add('altered', 'signature', `${name} ${why}`);
      continue;
    }
    origin ??= checkpoint.origin;
    if (checkpoint.origin !== origin)
      findings.add(
        'altered',
        'origin',
        `${name} is of the log "${checkpoint.origin}", not "${origin}"`,
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

/** The pass over all lines: hashes, counts, compares at every checkpoint's size. */
function createWalk(
  bySize: ReadonlyMap<number, readonly Given[]>,
  gapMs: number,
  findings: Findings,
) {
  const tree = new Tree();
  const times: { first: number | null; last: number | null } = { first: null, last: null };
  const mentioned = new Set<number>();
  const good: Given[] = [];
  const near = { logged: createFinder(needles.logged), sequence: createFinder(needles.sequence) };
  let goodUpTo = 0;
  let isBroken = false;

  function compare(given: readonly Given[] | undefined): void {
    for (const one of given ?? []) {
      const { size, root, isAnchor, name } = one;
      if (root === tree.root()) {
        good.push(one);
        if (!isAnchor) goodUpTo = size;
      } else if (isAnchor) {
        findings.add(
          'altered',
          'inconsistent',
          `${name}: the first ${size} records are not those that were signed then`,
        );
      } else if (!isBroken) {
        isBroken = true;
        const where = `records ${goodUpTo} to ${size - 1}`;
        findings.add(
          'altered',
          'root',
          `${where} are not those that ${name} was signed over; none is vouched for after them`,
          goodUpTo,
        );
      }
    }
  }

  function checkTime(timeMs: number, sequence: number): void {
    const { last } = times;
    if (last !== null && timeMs < last) {
      findings.add(
        'incomplete',
        'clock',
        `the time goes back from ${isoTime(last)} to ${isoTime(timeMs)}`,
        sequence,
      );
    } else if (last !== null && timeMs - last > gapMs) {
      findings.add(
        'incomplete',
        'gap',
        `nothing between ${isoTime(last)} and ${isoTime(timeMs)}, not even a heartbeat`,
        sequence,
      );
    }
    times.first ??= timeMs;
    times.last = timeMs;
  }

  function line(bytes: Buffer, start: number, end: number): void {
    const expected = tree.size;
    const logged = near.logged.find(bytes, start, end);
    const at = logged < 0 ? -1 : near.sequence.find(bytes, logged, end);
    if (at < 0) {
      findings.add('altered', 'not-a-record', `line ${expected} is no record`, expected);
    } else {
      const sequence = numberAt(bytes, at + needles.sequence.length);
      if (sequence !== expected)
        findings.add(
          'altered',
          'sequence',
          `record ${expected} says that it is ${sequence}`,
          expected,
        );
      checkTime(numberAt(bytes, logged + needles.logged.length), expected);
    }
    tree.append(leafHashInPlace(bytes, start, end));
    compare(bySize.get(tree.size));
  }

  compare(bySize.get(0));
  return {
    visit({ bytes, start, end }: LineBlock): void {
      // The search runs at the speed of its first byte's: `z` is the rare one in this key.
      for (
        let at = bytes.indexOf(rareEnd, start);
        at >= 0 && at < end;
        at = bytes.indexOf(rareEnd, at + 1)
      ) {
        const key = at + rareEnd.length - needles.sealed.length;
        if (
          bytes.compare(
            needles.sealed,
            0,
            needles.sealed.length,
            Math.max(0, key),
            at + rareEnd.length,
          ) === 0
        )
          mentioned.add(numberAt(bytes, at + rareEnd.length));
      }
      for (let from = start; from < end; ) {
        const to = bytes.indexOf(0x0a, from);
        line(bytes, from, to);
        from = to + 1;
      }
    },
    end(nowMs: number | undefined) {
      for (const [size, given] of bySize) {
        if (size <= tree.size) continue;
        for (const { name } of given)
          findings.add(
            'altered',
            'shortened',
            `${name} was signed over ${size} records, ${tree.size} are left`,
          );
      }
      if (nowMs !== undefined && times.last !== null && nowMs - times.last > gapMs) {
        findings.add(
          'incomplete',
          'gap',
          `nothing since ${isoTime(times.last)}, not even a heartbeat`,
        );
      }
      return { tree, times, mentioned, good };
    },
  };
}
