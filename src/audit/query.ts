// Finding records. A line is parsed only when its bytes hold what is asked for: the search runs over whole blocks, as grep's does.

import type { Clock } from '../rotation/ports.ts';
import { isoDay } from '../time.ts';
import { type AuditSource, blocksOf } from './reader.ts';
import { type RecordView, viewLine } from './record-view.ts';

/** What `audit list` asks for; all of it must hold. */
export type RecordFilter = {
  readonly account?: string;
  /** A status (`success`, `failure`, `unknown`, `started`) or a reason (`login-refused`). */
  readonly outcome?: string;
  readonly event?: string;
  /** Part of the name of who acted or of who asked for it. */
  readonly actor?: string;
  /** UTC milliseconds, from and including / up to and excluding. */
  readonly sinceMs?: number;
  readonly untilMs?: number;
  /** Only intents that have no outcome. */
  readonly open?: boolean;
  /** The newest so many. */
  readonly last?: number;
  /** Newest first. */
  readonly reverse?: boolean;
};

/** A stored record: `line` is the very text without LF, `index` its place in the log, zero-based. */
export type FoundRecord = {
  readonly line: string;
  readonly index: number;
  readonly view: RecordView;
};

/** How far a reader has come; `index` counts lines only where nothing was passed over. */
export type Cursor = { segment: string; position: number };

const statuses: Readonly<Record<string, string>> = {
  success: 'Success',
  failure: 'Failure',
  unknown: 'Unknown',
  started: 'Started',
};
const jsonText = (text: string): string => JSON.stringify(text).slice(1, -1);

/** What a matching line must contain, the rarest first. Texts are looked for as JSON writes them. */
function needlesOf(filter: RecordFilter): Buffer[] {
  const { account, outcome, event, actor, open } = filter;
  const texts = [
    account === undefined ? undefined : `"account":{"name":${JSON.stringify(account)}}`,
    actor === undefined ? undefined : jsonText(actor),
    open
      ? '"event_code":"rotation.'
      : event === undefined
        ? undefined
        : `"event_code":${JSON.stringify(event)}`,
    outcome === undefined || open
      ? undefined
      : statuses[outcome]
        ? `"status":"${statuses[outcome]}"`
        : `"status_code":${JSON.stringify(outcome)}`,
  ];
  return texts
    .filter((text) => text !== undefined && text !== '')
    .map((text) => Buffer.from(text as string));
}

/** Whether a record is what the filter asks for. */
function matches(view: RecordView, filter: RecordFilter): boolean {
  const { account, outcome, event, actor, sinceMs, untilMs } = filter;
  if (account !== undefined && view.account !== account) return false;
  if (event !== undefined && view.code !== event) return false;
  if (outcome !== undefined && view.status !== outcome && view.reason !== outcome) return false;
  if (actor !== undefined && !view.actor.includes(actor) && !view.requestedBy?.includes(actor))
    return false;
  return (
    (sinceMs === undefined || view.timeMs >= sinceMs) &&
    (untilMs === undefined || view.timeMs < untilMs)
  );
}

/** All lines that contain every needle, parsed; in log order. Moves `cursor` along, and starts from it when it names a segment. */
async function* scan(
  source: AuditSource,
  needles: readonly Buffer[],
  sinceMs: number | undefined,
  cursor: Cursor = { segment: '', position: 0 },
): AsyncGenerator<RecordView & { line: string }, void, undefined> {
  const [first, ...others] = needles;
  const since = sinceMs === undefined ? '' : isoDay(sinceMs).slice(0, 7);
  const skip = ({ month }: { month?: string }): boolean => month !== undefined && month < since;
  for await (const block of blocksOf(source, {
    skip,
    ...(cursor.segment === '' ? {} : { from: { ...cursor } }),
  })) {
    const { bytes, end } = block;
    let from = block.start;
    while (from < end) {
      const hit = first === undefined ? from : bytes.indexOf(first, from);
      if (hit < 0 || hit >= end) break;
      const start = first === undefined ? from : Math.max(from, bytes.lastIndexOf(0x0a, hit) + 1);
      const stop = bytes.indexOf(0x0a, hit);
      from = stop + 1;
      const line = bytes.subarray(start, stop);
      if (!others.every((needle) => line.includes(needle))) continue;
      const text = line.toString('utf8');
      const view = viewLine(text);
      if (view) yield { ...view, line: text };
    }
    Object.assign(cursor, {
      segment: block.segment.name,
      position: block.position + (end - block.start),
    });
  }
}

/**
 * The records that match, oldest first, or newest first with `reverse`. With neither `last`, `reverse` nor `open` it holds one record
 * at a time. Throws `audit-unavailable` when the log cannot be read.
 */
export async function* listRecords(
  source: AuditSource,
  filter: RecordFilter,
  cursor?: Cursor,
): AsyncGenerator<FoundRecord, void, undefined> {
  const found = filter.open
    ? openIntentsIn(source, filter, cursor)
    : matching(source, filter, cursor);
  if (filter.last === undefined && !filter.reverse) {
    yield* found;
    return;
  }
  let kept: FoundRecord[] = [];
  const last = filter.last ?? Number.POSITIVE_INFINITY;
  for await (const record of found) {
    kept.push(record);
    if (kept.length > 2 * last) kept = kept.slice(-last);
  }
  kept = last === 0 ? [] : kept.slice(-last);
  yield* filter.reverse ? kept.reverse() : kept;
}

async function* matching(
  source: AuditSource,
  filter: RecordFilter,
  cursor?: Cursor,
): AsyncGenerator<FoundRecord, void, undefined> {
  for await (const { line, ...view } of scan(source, needlesOf(filter), filter.sinceMs, cursor)) {
    if (matches(view, filter)) yield { line, index: view.sequence, view };
  }
}

/** By order: an outcome closes its intent, a later intent of the same rotation opens it again. */
async function* openIntentsIn(
  source: AuditSource,
  filter: RecordFilter,
  cursor?: Cursor,
): AsyncGenerator<FoundRecord, void, undefined> {
  const open = new Map<string, FoundRecord>();
  const { account } = filter;
  const needles = needlesOf({ open: true, ...(account === undefined ? {} : { account }) });
  for await (const { line, ...view } of scan(source, needles, undefined, cursor)) {
    const id = view.rotationId ?? view.uid;
    if (view.code === 'rotation.intended') open.set(id, { line, index: view.sequence, view });
    if (view.code === 'rotation.outcome' || view.code === 'rotation.reconciled') open.delete(id);
  }
  for (const record of open.values()) if (matches(record.view, filter)) yield record;
}

/**
 * What matches and is appended from now on (`cursor` from a listing: from there on), until `signal` is aborted. Looks every `everyMs`.
 */
export async function* followRecords(
  source: AuditSource,
  filter: RecordFilter,
  options: {
    readonly clock: Pick<Clock, 'sleep'>;
    readonly signal: AbortSignal;
    readonly cursor: Cursor;
    readonly everyMs?: number;
  },
): AsyncGenerator<FoundRecord, void, undefined> {
  const { clock, signal, cursor, everyMs = 500 } = options;
  const { open: _open, last: _last, reverse: _reverse, ...plain } = filter;
  while (!signal.aborted) {
    yield* matching(source, plain, cursor);
    if (!signal.aborted) await clock.sleep(everyMs, signal);
  }
}

/** The record with this uid or sequence number; `null` when there is none. `index` is its true place, whatever number it bears. */
export async function findRecord(source: AuditSource, id: string): Promise<FoundRecord | null> {
  const wanted = /^\d{1,15}$/.test(id) ? Number(id) : null;
  const needle = Buffer.from(
    wanted === null ? `"uid":${JSON.stringify(id)}` : `"sequence":${wanted},`,
  );
  let index = 0;
  for await (const { bytes, start, end } of blocksOf(source)) {
    const hit = bytes.indexOf(needle, start);
    for (let from = start; from < end; index += 1) {
      const stop = bytes.indexOf(0x0a, from);
      if (hit >= 0 && hit < end && stop > hit) {
        const line = bytes.subarray(from, stop);
        const view = line.includes(needle) ? viewLine(line) : null;
        if (view && (wanted === null ? view.uid === id : view.sequence === wanted))
          return { line: line.toString('utf8'), index, view };
      }
      from = stop + 1;
    }
  }
  return null;
}
