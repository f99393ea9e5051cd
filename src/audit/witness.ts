// A witness: it keeps the largest checkpoint that it has seen of each log, and cosigns a larger one
// only with the proof that it continues that. So the owner of the key of a log cannot show two
// histories. The protocol is add-checkpoint of C2SP `tlog-witness` (c2sp.org, read 2026-11).
//
//   STATE/<SHA-256 of the origin>.checkpoint    the newest checkpoint, with the cosignature
//
// 1. The state is durable before the cosignature is returned.
// 2. One process compares and stores at a time.
// 3. A state that cannot be read is an error, and never an empty state.

import { createHash } from 'node:crypto';
import { join } from 'node:path';
import type { Clock, ProcessIdentity } from '../rotation/ports.ts';
import { checkNote, parseCheckpoint, type Verifier } from './checkpoint.ts';
import type { Cosigner } from './cosignature.ts';
import { openDisk, readIfExists, storeText } from './disk.ts';
import { openLock } from './lock.ts';
import { emptyRoot, type Hash, hashOf, isConsistent } from './merkle.ts';
import { damagedLog } from './segments.ts';

export type WitnessOptions = {
  /** An existing folder. */
  readonly directory: string;
  readonly cosigner: Cosigner;
  /** The keys of the logs; the name of a key is the origin of its log. */
  readonly logs: readonly Verifier[];
  readonly clock: Clock;
  readonly processes: Pick<ProcessIdentity, 'begin' | 'end' | 'liveness'>;
};

/** The answer to a request, as HTTP has it. */
export type WitnessAnswer = {
  readonly status: 200 | 400 | 403 | 404 | 409 | 422;
  readonly body: string;
};

export type Witness = {
  /** `body`: old size, consistency proof, empty line, checkpoint. Throws `audit-unavailable`. */
  addCheckpoint(body: string): Promise<WitnessAnswer>;
  /**
   * The newest cosigned checkpoint of the log whose origin has this SHA-256 (hex, lower case);
   * `null` when there is none. Throws `audit-unavailable`.
   */
  checkpointOf(originHash: string): Promise<string | null>;
  close(): Promise<void>;
};

/** The most hashes of a consistency proof. */
const maxProof = 63;

export async function openWitness(options: WitnessOptions): Promise<Witness> {
  const { directory, logs, cosigner, clock, processes } = options;
  const disk = openDisk(clock);
  const lock = await openLock({ directory, disk, processes, clock });
  let last: Promise<unknown> = Promise.resolve();

  const pathOf = (originHash: string): string => join(directory, `${originHash}.checkpoint`);

  const read = (path: string): Promise<string | null> => disk.run(path, () => readIfExists(path));

  /** The size and root that were cosigned last; the empty tree when there is none. */
  async function latest(path: string): Promise<{ readonly size: number; readonly root: Hash }> {
    const text = await read(path);
    if (text === null) return { size: 0, root: emptyRoot };
    const stored = parseCheckpoint(text);
    if (stored === null) throw damagedLog(path, 'the state of the witness is damaged');
    return stored;
  }

  async function addParsed({ old, proof, checkpoint }: Request): Promise<WitnessAnswer> {
    const { origin, size, root, note } = checkpoint;
    const keys = logs.filter(({ name }) => name === origin);
    if (keys.length === 0) return answer(404, `The log "${origin}" is not known here.`);
    if (checkNote(note, keys) !== 'valid')
      return answer(403, `The checkpoint has no valid signature by a known key of "${origin}".`);
    if (old > size) return answer(400, 'The old size is larger than the checkpoint.');
    const path = pathOf(createHash('sha256').update(origin).digest('hex'));
    const seen = await latest(path);
    if (old !== seen.size) return answer(409, `${seen.size}`);
    if (!isConsistent(old, seen.root, size, root, proof))
      return answer(422, 'The proof does not show that the checkpoint continues the latest one.');
    const line = cosigner.cosign(note.text, clock.nowMs());
    await disk.run(path, () => storeText(path, `${checkpoint.text}${line}`));
    return { status: 200, body: line };
  }

  return {
    addCheckpoint(body) {
      const request = parseRequest(body);
      if (request === null)
        return Promise.resolve(
          answer(400, 'The body is not "old SIZE", a proof, an empty line and a checkpoint.'),
        );
      const job = (): Promise<WitnessAnswer> => lock.hold(() => addParsed(request));
      const result = last.then(job, job);
      last = result;
      return result;
    },
    async checkpointOf(originHash) {
      return /^[0-9a-f]{64}$/.test(originHash) ? read(pathOf(originHash)) : null;
    },
    close: lock.close,
  };
}

const answer = (status: WitnessAnswer['status'], text: string): WitnessAnswer => {
  return { status, body: `${text}\n` };
};

type Request = {
  readonly old: number;
  readonly proof: readonly Hash[];
  readonly checkpoint: NonNullable<ReturnType<typeof parseCheckpoint>>;
};

/** The parts of a request; `null` when it is malformed. */
function parseRequest(body: string): Request | null {
  const split = body.indexOf('\n\n');
  const [first = '', ...lines] = body.slice(0, Math.max(0, split)).split('\n');
  const old = /^old (0|[1-9]\d{0,15})$/.exec(first)?.[1];
  const proof = lines.map(hashOf);
  const checkpoint = parseCheckpoint(body.slice(split + 2));
  if (split < 0 || old === undefined || checkpoint === null) return null;
  if (proof.length > maxProof || proof.includes(null)) return null;
  return { old: Number(old), proof: proof as Hash[], checkpoint };
}
