// The survey: attempt record, labels and the liveness of its holder → where to go on from. Every attempt
// begins here, so restart is not a special path. Pure; the crash table of docs/ROTATION.md is this switch.

import type { AttemptRecord } from './record.ts';
import { type Evidence, type Request, settledAfterMs, type Timing } from './state.ts';

export type Finding =
  /** Nothing is open; logins spent so far, and the sequence to go on from. */
  | {
      readonly finding: 'clean';
      readonly loginsSpent: number;
      readonly sequence: number;
      readonly rotationId?: string;
    }
  /** Another instance is at work; look again after `forMs`. */
  | { readonly finding: 'busy'; readonly forMs: number; readonly record: AttemptRecord }
  /** The new password is under AWSPENDING and only needs to be made current. */
  | { readonly finding: 'promote'; readonly rotationId: string; readonly record: AttemptRecord }
  /** The reset may have happened; a receipt may hold its answer. */
  | { readonly finding: 'examine'; readonly rotationId: string; readonly record: AttemptRecord }
  | { readonly finding: 'stopped'; readonly record: Extract<AttemptRecord, { phase: 'stopped' }> }
  | { readonly finding: 'foreign-pending'; readonly versionId: string };

/** The rotation whose reset may have happened without our knowing the answer. */
export function doubtedRotation(record: AttemptRecord): string | undefined {
  if (record.phase === 'resetting') return record.rotationId;
  return record.doubtful ? record.rotationId : undefined;
}

/** Whether the record's holder may still be at work: its lease, on the store's clock, unless its process is known to be dead. */
export function isHeld(evidence: Evidence): boolean {
  const { record, liveness } = evidence;
  return record !== null && liveness !== 'gone' && record.ageMs < record.record.leaseMs;
}

/** What the evidence means. */
export function survey(evidence: Evidence, request: Request): Finding {
  const { current, record: found, pending } = evidence;
  const record = found?.record ?? null;
  const open = found !== null && record !== null && record.basis === current.versionId;
  const doubted = record && open ? doubtedRotation(record) : undefined;

  if (record && open && doubted !== undefined) {
    // A live holder stores and promotes by itself; doing it beside it would be harmless, but is not needed.
    if (isHeld(evidence) && !request.impatient)
      return { finding: 'busy', forMs: record.leaseMs - found.ageMs, record };
    if (pending === doubted) return { finding: 'promote', rotationId: doubted, record };
    if (record.phase !== 'stopped') return { finding: 'examine', rotationId: doubted, record };
    return request.purpose === 'recover'
      ? { finding: 'examine', rotationId: doubted, record }
      : { finding: 'stopped', record };
  }
  if (record?.phase === 'stopped' && open) return { finding: 'stopped', record };
  // Whatever AWSCURRENT has become since: its holder may be about to log in.
  if (record?.phase === 'claimed' && isHeld(evidence))
    return { finding: 'busy', forMs: record.leaseMs - (found?.ageMs ?? 0), record };
  if (found && overtakenForMs(evidence, request.timing) > 0)
    return {
      finding: 'busy',
      forMs: overtakenForMs(evidence, request.timing),
      record: found.record,
    };
  const ours = [record?.rotationId, ...(record?.earlier ?? []), request.native?.rotationId];
  if (pending !== null && !ours.includes(pending))
    return { finding: 'foreign-pending', versionId: pending };
  return {
    finding: 'clean',
    loginsSpent: record?.loginsSpent ?? 0,
    sequence: record?.sequence ?? 0,
    ...(record?.rotationId === undefined ? {} : { rotationId: record.rotationId }),
  };
}

/**
 * AWSCURRENT was set by hand while a reset was under way: how long until that reset is over on the server, whatever became
 * of its sender. Only time tells here, since a holder that has done its work may live on.
 */
function overtakenForMs({ current, record: found }: Evidence, timing: Timing): number {
  if (
    found === null ||
    found.record.basis === current.versionId ||
    found.record.rotationId === current.versionId
  )
    return 0;
  switch (found.record.phase) {
    case 'resetting':
      return settledAfterMs(timing) - found.ageMs;
    case 'released':
      return found.record.doubtful ? timing.resetTimeoutMs + timing.settleMs - found.ageMs : 0;
    case 'claimed':
    case 'stopped':
      return 0;
  }
}

/**
 * With neither AWSPENDING nor a receipt: how long until one login may tell whether the reset happened; 0 now.
 * A probe that came too early could be overtaken by the very reset it asks about.
 */
export function probeInMs(evidence: Evidence, timing: Timing): number {
  const { record: found, liveness } = evidence;
  if (found === null) throw new Error('bug: no doubt without a record');
  const { record, ageMs } = found;
  switch (record.phase) {
    case 'resetting': {
      // A process that still lives may hold the only copy, whatever a clock says. Its own lease ends what it may send.
      const wait = Math.max(0, settledAfterMs(timing) - ageMs);
      return liveness === 'alive' ? Math.max(wait, 1_000) : wait;
    }
    case 'released':
      // A connection that was cut at once ended our patience, not the server's work.
      return Math.max(0, timing.resetTimeoutMs + timing.settleMs - ageMs);
    case 'claimed':
      // A probe that died had waited already; its login, if it was sent, is over by its lease.
      return 0;
    case 'stopped':
      return 0;
  }
}

/** The detail of a busy finding, for people. */
export function describeHolder(record: AttemptRecord, forMs: number): string {
  const where = record.holder.host
    ? ` on ${record.holder.host}${record.holder.pid === undefined ? '' : ` (pid ${record.holder.pid})`}`
    : '';
  return `${record.phase} by ${record.holder.id}${where}, lease ends in ${Math.ceil(forMs / 1000)} s`;
}
