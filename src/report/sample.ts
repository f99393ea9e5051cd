// The sample of a report: attempts and changes by hand, drawn at random, with the proof of each of
// their records from the intent to the outcome.

import { hash } from 'node:crypto';
import { proofsOf } from '../audit/proof.ts';
import { listRecords } from '../audit/query.ts';
import type { AuditSource } from '../audit/reader.ts';
import type { RecordView } from '../audit/record.ts';
import type { Verification } from '../audit/verify.ts';

/** What can be drawn: a rotation, an attempt that failed before it, or a change by hand. */
export type SampledKind = 'rotation' | 'attempt' | 'change';

export type Sample = {
  readonly kind: SampledKind;
  readonly account: string;
  /** Of the last record. */
  readonly sequence: number;
  readonly uid: string;
  readonly timeMs: number;
  readonly status: string;
  /** The names of the proof files beside the report: one for each record. */
  readonly files: readonly string[];
};

export type Samples = {
  readonly seed: string;
  readonly population: number;
  readonly drawn: readonly Sample[];
};

export type Proof = { readonly file: string; readonly text: string };

type Item = Omit<Sample, 'files'> & { readonly id: string; readonly sequences: readonly number[] };

export type Sampling = ReturnType<typeof createSampling>;

/** Collects what ends in the period; begins with the records before it. */
export function createSampling(fromMs: number) {
  const items = new Map<string, Item>();
  /** The key of the change by hand that has started, by account. */
  const started = new Map<string, string>();

  function keyOf({ code, account = '', rotationId, uid, status }: RecordView): string | null {
    if (code === 'attempt.failed') return rotationId ?? uid;
    if (code === 'secret.changed') {
      const key = status === 'started' ? uid : (started.get(account) ?? uid);
      if (status === 'started') started.set(account, uid);
      else started.delete(account);
      return key;
    }
    return /^(rotation|secret|credential)\./.test(code) ? (rotationId ?? null) : null;
  }

  const kindOf = (code: string, before: Item | undefined): SampledKind => {
    if (code === 'secret.changed') return 'change';
    return code === 'attempt.failed' && before === undefined ? 'attempt' : 'rotation';
  };

  return {
    add(view: RecordView): void {
      const { account, code, sequence, uid, timeMs, status } = view;
      const key = account === undefined ? null : keyOf(view);
      if (key === null || account === undefined) return;
      const before = items.get(key);
      items.set(key, {
        kind: before?.kind ?? kindOf(code, before),
        account,
        id: before?.id ?? uid,
        sequence,
        uid,
        timeMs,
        status,
        sequences: [...(before?.sequences ?? []), sequence],
      });
    },
    /** In the period, in the order of the log. */
    population: (): Item[] => [...items.values()].filter(({ timeMs }) => timeMs >= fromMs),
  };
}

export type SampleOptions = { readonly count: number; readonly seed?: string | undefined };

/**
 * Draws by hash. The seed and the log determine which ones, so that the choice can be checked and
 * cannot be influenced. Throws `audit-unavailable`.
 */
export async function drawSamples(
  source: AuditSource,
  sampling: Sampling,
  { newest, state, archivedRecords }: Verification,
  { count, seed: given }: SampleOptions,
): Promise<{ samples: Samples; proofs: readonly Proof[] }> {
  const seed = given ?? newest?.note.text.split('\n')[2] ?? '';
  const size = newest?.size ?? 0;
  const isProvable = ({ sequences }: Item): boolean =>
    sequences.every((sequence) => sequence >= archivedRecords && sequence < size);
  const population = sampling.population().filter(isProvable);
  const drawn = population
    .map((item) => ({ item, rank: hash('sha256', `${seed}\n${item.id}`) }))
    .sort((a, b) => (a.rank < b.rank ? -1 : 1))
    .slice(0, count)
    .map(({ item }) => item)
    .sort((a, b) => a.sequence - b.sequence);
  const wanted = new Set(drawn.flatMap(({ sequences }) => sequences));
  const records: { readonly index: number; readonly line: string }[] = [];
  if (wanted.size > 0)
    for await (const { line, index } of listRecords(source, {}))
      if (wanted.has(index)) records.push({ index, line });
  const texts =
    newest !== null && state !== 'altered' ? await proofsOf(source, records, newest) : [];
  return {
    samples: {
      seed,
      population: population.length,
      drawn: drawn.map(({ id: _id, sequences, ...item }) => ({
        ...item,
        files: sequences.map(proofFile),
      })),
    },
    proofs: texts.map((text, place) => ({ file: proofFile(records[place]?.index ?? 0), text })),
  };
}

const proofFile = (sequence: number): string => `record-${sequence}.tlog-proof`;
