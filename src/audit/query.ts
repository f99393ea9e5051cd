// Finds records. A line is parsed only when its bytes contain what is asked for: like grep, the
// search runs over blocks of many lines. The needles below depend on the exact bytes that record.ts
// prints.

import type { Clock } from '../rotation/ports.ts';
import { isoDay } from '../time.ts';
import { readFrontier } from './frontier.ts';
import { type AuditSource, blocksOf, type Segment } from './reader.ts';
import { type RecordView, storedStatus, viewLine } from './record.ts';

/** What `audit list` asks for. A record must match all of it. */
export type RecordFilter = {
  readonly account?: string | undefined;
  /** A status (`success`, `failure`, `unknown`, `started`) or a reason (`login-refused`). */
  readonly outcome?: string | undefined;
  readonly event?: string | undefined;
  /** Part of the name of who acted or who requested it. */
  readonly actor?: string | undefined;
  /** UTC milliseconds, included. */
  readonly sinceMs?: number | undefined;
  /** UTC milliseconds, excluded. */
  readonly untilMs?: number | undefined;
  /** Only intents that have no outcome. */
  readonly open?: boolean | undefined;
  /** Only the last so many of them. */
  readonly last?: number | undefined;
  /** Newest first. */
  readonly reverse?: boolean | undefined;
};

/** A stored record: `line` is its text without LF, `index` its position in the log, zero-based. */
export type FoundRecord = {
  readonly line: string;
  readonly index: number;
  readonly view: RecordView;
};

/** Where a reader continues. */
export type Cursor = { segment: string; position: number };

const jsonText = (text: string): string => JSON.stringify(text).slice(1, -1);

/** What a matching line must contain, as JSON writes it; the rarest first. */
function needlesOf({ account, outcome, event, actor, open }: RecordFilter): Buffer[] {
  const needles: string[] = [];
  if (account !== undefined) needles.push(`"account":{"name":${JSON.stringify(account)}}`);
  if (actor !== undefined && actor !== '') needles.push(jsonText(actor));
  if (open) needles.push('"event_code":"rotation.');
  else if (event !== undefined) needles.push(`"event_code":${JSON.stringify(event)}`);
  if (outcome !== undefined && !open) {
    const status = storedStatus(outcome);
    needles.push(
      status === undefined
        ? `"status_code":${JSON.stringify(outcome)}`
        : `"status":${JSON.stringify(status)}`,
    );
  }
  return needles.map((needle) => Buffer.from(needle));
}

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

/**
 * Every record whose line contains all needles, in log order; first those that a frontier carries.
 * Continues at `cursor`, and moves it.
 */
async function* scan(
  source: AuditSource,
  needles: readonly Buffer[],
  sinceMs: number | undefined,
  cursor: Cursor = { segment: '', position: 0 },
): AsyncGenerator<FoundRecord, void, undefined> {
  const [first, ...others] = needles;
  if (cursor.segment === '') {
    for (const line of (await readFrontier(source))?.carried ?? []) {
      const bytes = Buffer.from(line);
      const view = needles.every((needle) => bytes.includes(needle)) ? viewLine(line) : null;
      if (view) yield { line, index: view.sequence, view };
    }
  }
  const since = sinceMs === undefined ? '' : isoDay(sinceMs).slice(0, 7);
  const skip = ({ month }: Segment): boolean => month !== undefined && month < since;
  for await (const block of blocksOf(source, {
    skip,
    from: cursor.segment === '' ? undefined : { ...cursor },
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
      if (view) yield { line: text, index: view.sequence, view };
    }
    Object.assign(cursor, {
      segment: block.segment.name,
      position: block.position + (end - block.start),
    });
  }
}

/**
 * The records that match, oldest first, or newest first with `reverse`. Without `last`, `reverse`
 * and `open` it keeps one record in memory. `index` is the sequence number that the record carries.
 * Throws `audit-unavailable`.
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
  for await (const record of scan(source, needlesOf(filter), filter.sinceMs, cursor))
    if (matches(record.view, filter)) yield record;
}

/** An outcome closes its intent; a later intent of the same rotation opens it again. */
async function* openIntentsIn(
  source: AuditSource,
  filter: RecordFilter,
  cursor?: Cursor,
): AsyncGenerator<FoundRecord, void, undefined> {
  const open = new Map<string, FoundRecord>();
  const needles = needlesOf({ open: true, account: filter.account });
  for await (const record of scan(source, needles, undefined, cursor)) {
    const { view } = record;
    const id = view.rotationId ?? view.uid;
    if (view.code === 'rotation.intended') open.set(id, record);
    if (view.code === 'rotation.outcome' || view.code === 'rotation.reconciled') open.delete(id);
  }
  for (const record of open.values()) if (matches(record.view, filter)) yield record;
}

/**
 * What matches and is appended after `cursor`, until `signal` is aborted. Reads every `everyMs`.
 */
export async function* followRecords(
  source: AuditSource,
  filter: RecordFilter,
  options: {
    readonly clock: Pick<Clock, 'sleep'>;
    readonly signal: AbortSignal;
    readonly cursor: Cursor;
    readonly everyMs?: number | undefined;
  },
): AsyncGenerator<FoundRecord, void, undefined> {
  const { clock, signal, cursor, everyMs = 500 } = options;
  const { open: _open, last: _last, reverse: _reverse, ...plain } = filter;
  while (!signal.aborted) {
    yield* matching(source, plain, cursor);
    if (!signal.aborted) await clock.sleep(everyMs, signal);
  }
}

/**
 * The record with this uid or sequence number; `null` when there is none. `index` is its position
 * by count of lines.
 */
export async function findRecord(source: AuditSource, id: string): Promise<FoundRecord | null> {
  const wanted = /^\d{1,15}$/.test(id) ? Number(id) : null;
  const needle = Buffer.from(
    wanted === null ? `"uid":${JSON.stringify(id)}` : `"sequence":${wanted},`,
  );
  let index = (await readFrontier(source))?.tree.size ?? 0;
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
