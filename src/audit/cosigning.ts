// Cosigning from the side of the log: a checkpoint, with the proof that it continues what a witness
// has seen, goes to each witness. Nothing waits for a witness: every call is bounded, and a witness
// that fails gets the next checkpoint.

import { Failure } from '../rotation/failure.ts';
import { type Checkpoint, parseNote, type Verifier } from './checkpoint.ts';
import { type Cosignature, cosignatureOf } from './cosignature.ts';
import { base64Of, type Hash } from './merkle.ts';

/** A configured witness. */
export type WitnessClient = {
  /** Verifies its cosignatures. */
  readonly verifier: Verifier;
  /**
   * Sends the body of add-checkpoint. Resolves with the response, or with `null` when there is none
   * in time.
   */
  send(body: string): Promise<{ readonly status: number; readonly body: string } | null>;
};

export type CosigningResult =
  | { readonly result: 'cosigned'; readonly line: string; readonly cosignature: Cosignature }
  /** The witness has seen a larger log: this one was shortened, or another process continued it. */
  | { readonly result: 'behind'; readonly size: number }
  /** The witness has seen another log of this name and size: it was changed and signed again. */
  | { readonly result: 'conflict'; readonly detail: string }
  | { readonly result: 'failed'; readonly detail: string };

/** The hashes that prove that `checkpoint` continues `older` records; `null`: not known. */
export type ProveFrom = (older: number, checkpoint: Checkpoint) => Promise<readonly Hash[] | null>;

/** `known`: the size that the witness cosigned last, as far as it is known. */
export async function cosign(
  { verifier, send }: WitnessClient,
  checkpoint: Checkpoint,
  known: number,
  proveFrom: ProveFrom,
): Promise<CosigningResult> {
  let old = Math.min(known, checkpoint.size);
  // The second try has the size that the witness said; a third one, when it was faster.
  for (let tries = 1; tries <= 3; tries += 1) {
    const proof = old === 0 || old === checkpoint.size ? [] : await proveFrom(old, checkpoint);
    if (proof === null)
      return failed(`the records from ${old} on, which it needs a proof of, are archived`);
    const lines = proof.map((hash) => `${base64Of(hash)}\n`).join('');
    const response = await send(`old ${old}\n${lines}\n${checkpoint.text}`);
    if (response === null) return failed('no response');
    const { status, body } = response;
    if (status === 200) return readCosignature(checkpoint, verifier, body);
    if (status === 422)
      return conflict(
        old === checkpoint.size
          ? `it has seen another checkpoint of ${old} records`
          : `it has seen other records before ${checkpoint.size}`,
      );
    if (status !== 409) return failed(`HTTP status ${status}`);
    const size = /^\d{1,15}\n?$/.test(body) ? Number(body) : Number.NaN;
    if (size === old) return failed('HTTP status 409 with the size that was sent');
    if (size > checkpoint.size) return { result: 'behind', size };
    if (Number.isNaN(size)) return failed('HTTP status 409 without a size');
    old = size;
  }
  return failed('other processes were faster');
}

const failed = (detail: string): CosigningResult => ({ result: 'failed', detail });
const conflict = (detail: string): CosigningResult => ({ result: 'conflict', detail });

/** The line of this witness in a response. */
function readCosignature({ note }: Checkpoint, verifier: Verifier, body: string): CosigningResult {
  const signed = parseNote(`${note.text}\n${body}`);
  const cosignature = signed && cosignatureOf(signed, verifier);
  const line = body.split('\n').find((one) => one.startsWith(`— ${verifier.name} `));
  if (!cosignature || cosignature === 'invalid' || line === undefined)
    return failed('the response has no valid cosignature by its key');
  return { result: 'cosigned', line: `${line}\n`, cosignature };
}

/** What happened with a witness, for log, metrics and alerts. */
export type CosigningEvent = {
  readonly event: 'witness.cosigned' | 'witness.failed' | 'witness.refused';
  readonly witness: string;
  readonly detail?: string | undefined;
};

export type CosigningOptions = {
  readonly witnesses: readonly WitnessClient[];
  readonly proveFrom: ProveFrom;
  /** Keeps the line with the checkpoint of that size. */
  readonly store: (size: number, line: string) => Promise<void>;
  /** The size of the newest checkpoint in the log. */
  readonly newestSize: () => Promise<number>;
  readonly report: (event: CosigningEvent) => void;
};

/** Sends checkpoints to the witnesses, the newest one first, and keeps the cosignatures. */
export function createCosigning(options: CosigningOptions) {
  const { witnesses, proveFrom, store, newestSize, report } = options;
  const known = new Map<string, number>();
  let waiting: Checkpoint | null = null;
  let running: Promise<void> | null = null;

  async function sendTo(client: WitnessClient, checkpoint: Checkpoint): Promise<void> {
    const { verifierKey, name: witness } = client.verifier;
    const answer = await cosign(client, checkpoint, known.get(verifierKey) ?? 0, proveFrom);
    switch (answer.result) {
      case 'cosigned':
        known.set(verifierKey, checkpoint.size);
        await store(checkpoint.size, answer.line);
        report({ event: 'witness.cosigned', witness });
        break;
      case 'behind': {
        // Another process may have continued the log, and have sent its checkpoint.
        const size = await newestSize();
        if (size >= answer.size) break;
        const detail = `it has seen ${answer.size} records, and checkpoints cover ${size}`;
        report({ event: 'witness.refused', witness, detail });
        break;
      }
      case 'conflict':
        report({ event: 'witness.refused', witness, detail: answer.detail });
        break;
      case 'failed':
        report({ event: 'witness.failed', witness, detail: answer.detail });
    }
  }

  async function sendWaiting(): Promise<void> {
    while (waiting !== null) {
      const checkpoint: Checkpoint = waiting;
      waiting = null;
      await Promise.all(
        witnesses.map((client) =>
          sendTo(client, checkpoint).catch((error: unknown) => {
            if (!(error instanceof Failure)) throw error;
            const { name: witness } = client.verifier;
            report({ event: 'witness.failed', witness, detail: error.message });
          }),
        ),
      );
    }
    running = null;
  }

  return {
    /** A stored checkpoint: what the witnesses have cosigned of it, they have seen. */
    begin({ note, size }: Checkpoint): void {
      for (const { verifier } of witnesses)
        if (cosignatureOf(note, verifier)) known.set(verifier.verifierKey, size);
    },
    /** Returns at once. A checkpoint that waits is replaced by a newer one. */
    submit(checkpoint: Checkpoint): void {
      if (witnesses.length === 0) return;
      waiting = checkpoint;
      running ??= sendWaiting();
    },
    /** Resolves when nothing is being sent: a few timeouts later at most. */
    idle: async (): Promise<void> => {
      await running;
    },
  };
}
