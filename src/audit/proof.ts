// The proof that one record is in the signed log, in the public C2SP format `tlog-proof` v1. It is
// checked with the record and the verifier key only: without the log and without this program. The
// `extra` line carries the record; the hash proves it.
//
//   c2sp.org/tlog-proof@v1
//   extra eyJhY3Rpdml0eV9pZCI6M…      base64 of the record's line
//   index 73894
//   gSKyXoYZUgZ6jduWYrkDOARinOM…      sibling hashes, leaf to root
//                                     (empty line)
//   example.com/fleet/audit …         the checkpoint, verbatim

import { Failure } from '../rotation/failure.ts';
import {
  type Checkpoint,
  checkNote,
  newestCheckpoint,
  parseCheckpoint,
  signatureProblems,
  type Verifier,
} from './checkpoint.ts';
import { readFrontier } from './frontier.ts';
import {
  base64Of,
  consistencyRanges,
  createRangeHasher,
  type Hash,
  hashOf,
  inclusionRanges,
  leafHash,
  leafHashInPlace,
  rootFromInclusion,
} from './merkle.ts';
import { findRecord } from './query.ts';
import { type AuditSource, blocksOf, eachLine } from './reader.ts';

const header = 'c2sp.org/tlog-proof@v1';

/**
 * The proof of a record, by uid or sequence number, under the newest checkpoint. `null` when there
 * is no such record, `unsealed` when no checkpoint covers it yet. Throws `audit-unavailable` when
 * the log cannot be read, or is not the one that was signed.
 */
export async function proveRecord(
  source: AuditSource,
  id: string,
): Promise<string | 'unsealed' | null> {
  const record = await findRecord(source, id);
  if (!record) return null;
  const newest = await newestCheckpoint(source);
  if (!newest || record.index >= newest.size) return 'unsealed';
  const [proof] = await proofsOf(source, [record], newest);
  return proof ?? null;
}

/** The proofs of several records in one pass over the log. */
export async function proofsOf(
  source: AuditSource,
  records: readonly { readonly index: number; readonly line: string }[],
  checkpoint: Checkpoint,
): Promise<readonly string[]> {
  const start = (await readFrontier(source))?.tree;
  const hashers = records.map(({ index }) =>
    createRangeHasher(inclusionRanges(index, checkpoint.size), start),
  );
  let size = start?.size ?? 0;
  for await (const block of blocksOf(source)) {
    eachLine(block, (bytes, start, end) => {
      const leaf = leafHashInPlace(bytes, start, end);
      if (size < checkpoint.size) for (const hasher of hashers) hasher.add(size, leaf);
      size += 1;
    });
    if (size >= checkpoint.size) break;
  }
  if (size < checkpoint.size) throw notSigned();
  return records.map(({ index, line }, place) => {
    const path = hashers[place]?.hashes() ?? [];
    if (
      rootFromInclusion(leafHash(Buffer.from(line)), index, checkpoint.size, path) !==
      checkpoint.root
    )
      throw notSigned();
    return formatProof({ line, index, path, checkpoint: checkpoint.text });
  });
}

/**
 * The proof that the first `size` records continue the first `older` ones, from all records;
 * `null` when those are archived. `pause` is awaited between blocks, so that other work goes on.
 */
export async function consistencyOf(
  source: AuditSource,
  older: number,
  size: number,
  pause: () => Promise<void> = async () => {},
): Promise<Hash[] | null> {
  const start = (await readFrontier(source))?.tree;
  if (older < (start?.size ?? 0)) return null;
  const hasher = createRangeHasher(consistencyRanges(older, size), start);
  let next = start?.size ?? 0;
  for await (const block of blocksOf(source)) {
    eachLine(block, (bytes, from, to) => {
      const leaf = leafHashInPlace(bytes, from, to);
      if (next < size) hasher.add(next, leaf);
      next += 1;
    });
    if (next >= size) break;
    await pause();
  }
  if (next < size) throw notSigned();
  return hasher.hashes();
}

const notSigned = (): Failure =>
  new Failure(
    'audit-unavailable',
    'the audit log is not the one that its checkpoint was signed over',
    {
      cause: 'log-damaged',
    },
  );

function formatProof({
  line,
  index,
  path,
  checkpoint,
}: {
  line: string;
  index: number;
  path: readonly Hash[];
  checkpoint: string;
}): string {
  const hashes = path.map((hash) => `${base64Of(hash)}\n`).join('');
  const extra = Buffer.from(line).toString('base64');
  return `${header}\nextra ${extra}\nindex ${index}\n${hashes}\n${checkpoint}`;
}

export type CheckedProof =
  | {
      readonly proven: true;
      readonly line: string;
      readonly index: number;
      readonly checkpoint: Checkpoint;
    }
  | { readonly proven: false; readonly why: string };

/**
 * Checks a proof file against verifier keys. `given` is the record, where the proof does not carry
 * it.
 */
export function checkProof(
  text: string,
  verifiers: readonly Verifier[],
  given?: string,
): CheckedProof {
  const no = (why: string): CheckedProof => ({ proven: false, why });
  const split = text.indexOf('\n\n');
  const head = split < 0 ? [] : text.slice(0, split).split('\n');
  if (head[0] !== header) return no('the file is no tlog-proof of version 1');
  const extra = head[1]?.startsWith('extra ') ? head[1].slice(6) : undefined;
  const rest = head.slice(extra === undefined ? 1 : 2);
  const index = /^index (0|[1-9]\d{0,15})$/.exec(rest[0] ?? '')?.[1];
  const path = rest.slice(1).map(hashOf);
  const line =
    given ?? (extra === undefined ? undefined : Buffer.from(extra, 'base64').toString('utf8'));
  const checkpoint = parseCheckpoint(text.slice(split + 2));
  if (index === undefined || path.includes(null) || !checkpoint) return no('the proof is damaged');
  if (line === undefined) return no('the proof does not carry the record, and none was given');
  const signature = checkNote(checkpoint.note, verifiers);
  if (signature !== 'valid') return no(`the checkpoint ${signatureProblems[signature]}`);
  const root = rootFromInclusion(
    leafHash(Buffer.from(line)),
    Number(index),
    checkpoint.size,
    path as Hash[],
  );
  if (root !== checkpoint.root) return no('the record is not in the log that was signed');
  return { proven: true, line, index: Number(index), checkpoint };
}
