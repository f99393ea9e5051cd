// The frontier of a log whose oldest months are archived: where its records go on. It is a
// checkpoint at the number of archived records, with one more line that the signature covers:
//
//   example.com/fleet/audit            origin
//   4711                               number of archived records
//   CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=    their root
//   state eyJmb3JtYXQiOiJ0aGluZ3Nw…    base64 of JSON: the hashes of the complete subtrees, what
//                                      the writer knows at this record, and carried records
//
// A root over later records fits a checkpoint only if the hashes are right. The signature vouches
// for the rest.

import * as z from 'zod';
import { type Checkpoint, parseCheckpoint, type Signer, signNote } from './checkpoint.ts';
import { base64Of, hashOf, Tree } from './merkle.ts';
import type { AuditSource } from './reader.ts';
import { paddedSize } from './segments.ts';

export const frontierFolder = 'frontiers';
export const frontierFile = (size: number): string => `${paddedSize(size)}.frontier`;
export const frontierFormat = 'thingspace-rotator/audit-frontier/1';

export type Frontier = {
  readonly checkpoint: Checkpoint;
  /** The tree over the archived records. Callers must not append to it. */
  readonly tree: Tree;
  /** The verifier key in force, as the archived records name it. */
  readonly key: string | null;
  /** The time of the newest archived record; UTC milliseconds. */
  readonly lastTimeMs: number;
  /** Lines of archived records that a reader still needs (archive.ts), oldest first. */
  readonly carried: readonly string[];
  /** The JSON as it was signed; log-end.ts reads the rest of it. */
  readonly state: string;
};

const stateSchema = z.object({
  format: z.literal(frontierFormat),
  size: z.int().positive(),
  frontier: z.array(z.string()),
  key: z.string().nullable(),
  lastTimeMs: z.int(),
  carried: z.array(z.string()),
});

/** The signed note of a frontier. `state` is JSON with the fields of `stateSchema`. */
export function signFrontier(
  origin: string,
  tree: Tree,
  state: string,
  signers: readonly Signer[],
): Promise<string> {
  const encoded = Buffer.from(state, 'utf8').toString('base64');
  const head = `${origin}\n${tree.size}\n${base64Of(tree.root())}\n`;
  return signNote(`${head}state ${encoded}\n`, signers);
}

/** The parts of a frontier, its signature not checked; `null` when the text is none. */
export function parseFrontier(text: string): Frontier | null {
  const checkpoint = parseCheckpoint(text);
  const line = checkpoint?.note.text.split('\n')[3] ?? '';
  if (!checkpoint || !line.startsWith('state ')) return null;
  const state = Buffer.from(line.slice('state '.length), 'base64').toString('utf8');
  try {
    const { size, frontier, key, lastTimeMs, carried } = stateSchema.parse(JSON.parse(state));
    const tree = new Tree(
      size,
      frontier.map((hash) => hashOf(hash) ?? ''),
    );
    if (size !== checkpoint.size || tree.root() !== checkpoint.root) return null;
    return { checkpoint, tree, key, lastTimeMs, carried, state };
  } catch {
    return null;
  }
}

/** Where the records of a source go on; `null` for a log that begins with record 0. */
export async function readFrontier(
  source: Pick<AuditSource, 'frontier'>,
): Promise<Frontier | null> {
  const found = await source.frontier();
  return found && parseFrontier(found.text);
}
