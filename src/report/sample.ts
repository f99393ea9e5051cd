// The sample of a report: attempts and changes by hand, drawn at random, with the proof of each of
// their records from the intent to the outcome.

import { hash } from 'node:crypto';
import { proofsOf } from '../audit/proof.ts';
import { listRecords } from '../audit/query.ts';
import type { AuditSource } from '../audit/reader.ts';
import type { RecordView } from '../audit/record.ts';
import type { Verification } from '../audit/verify.ts';

/** What can be drawn: a rotation, an attempt that failed before it, or a change by hand. */
type Item = {
  readonly kind: 'rotation' | 'attempt' | 'change';
  readonly account: string;
  /** The uid of its first record. */
  readonly id: string;
  readonly sequences: readonly number[];
  /** Of its last record. */
  readonly sequence: number;
  readonly uid: string;
  readonly timeMs: number;
  readonly status: string;
};

/** Collects what ends in the period; begins with the records before it. */
export function createSampling(fromMs: number) {
  const items = new Map<string, Item>();
  /** The key of the change by hand that has started, by account. */
  const started = new Map<string, string>();

  function keyOf({ code, account = '', rotationId, uid, status }: RecordView): string | undefined {
    if (code === 'attempt.failed') return rotationId ?? uid;
    if (code === 'secret.changed') {
      const key = status === 'started' ? uid : (started.get(account) ?? uid);
      if (status === 'started') started.set(account, uid);
      else started.delete(account);
      return key;
    }
    return /^(rotation|secret|credential)\./.test(code) ? rotationId : undefined;
  }

  const kinds = new Map<string, Item['kind']>([
    ['secret.changed', 'change'],
    ['attempt.failed', 'attempt'],
  ]);

  return {
    add(view: RecordView): void {
      const { account, code, sequence, uid, timeMs, status } = view;
      const key = account === undefined ? undefined : keyOf(view);
      if (account === undefined || key === undefined) return;
      const { kind, id, sequences } = items.get(key) ?? {
        kind: kinds.get(code) ?? 'rotation',
        id: uid,
        sequences: [],
      };
      const last = { account, sequence, uid, timeMs, status };
      items.set(key, { kind, id, sequences: [...sequences, sequence], ...last });
    },
    /** In the period, in the order of the log. */
    population: (): Item[] => [...items.values()].filter(({ timeMs }) => timeMs >= fromMs),
  };
}

/**
 * Draws by hash. The root of the newest checkpoint and the log determine which ones, so that the
 * choice can be checked and cannot be influenced. Throws `audit-unavailable`.
 */
export async function drawSamples(
  source: AuditSource,
  sampling: ReturnType<typeof createSampling>,
  { newest, state, archivedRecords }: Verification,
  count: number,
) {
  const seed = newest?.note.text.split('\n')[2] ?? '';
  const size = newest?.size ?? 0;
  const population = sampling
    .population()
    .filter(({ sequences }) => sequences.every((one) => one >= archivedRecords && one < size));
  const drawn = population
    .map((item) => ({ ...item, rank: hash('sha256', `${seed}\n${item.id}`) }))
    .sort((a, b) => (a.rank < b.rank ? -1 : 1))
    .slice(0, count)
    .sort((a, b) => a.sequence - b.sequence);
  const wanted = new Set(drawn.flatMap(({ sequences }) => sequences));
  const records: { readonly index: number; readonly line: string }[] = [];
  if (wanted.size > 0)
    for await (const { line, index } of listRecords(source, {}))
      if (wanted.has(index)) records.push({ index, line });
  const isProvable = newest !== null && state !== 'altered';
  const texts = isProvable ? await proofsOf(source, records, newest) : [];
  return {
    samples: {
      seed,
      population: population.length,
      drawn: drawn.map(({ id: _id, rank: _rank, sequences, ...item }) => ({
        ...item,
        /** The names of the proof files beside the report: one for each record. */
        files: sequences.map(proofFile),
      })),
    },
    proofs: texts.map((text, place) => ({ file: proofFile(records[place]?.index ?? 0), text })),
  };
}

const proofFile = (sequence: number): string => `record-${sequence}.tlog-proof`;
