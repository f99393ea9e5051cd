// Whether the service could rotate now: the store answers and can be written, the audit log takes
// records, the clock agrees with the store, the scheduler runs, and no evidence is stale. A check
// that is good says when that was seen. Orchestrators ask often, so answers are kept for a while.

import type { Rotator } from '../app.ts';
import { within } from '../rotation/deadline.ts';
import { Failure, storeFailures } from '../rotation/failure.ts';
import { clockToleranceMs } from '../rotation/policy.ts';
import type { Clock } from '../rotation/ports.ts';
import type { Scheduler } from '../scheduler/scheduler.ts';
import { type AccountEntry, isStale } from '../scheduler/status-cache.ts';
import { counted } from '../text.ts';
import { isoTime } from '../time.ts';

export type Check = {
  readonly check: 'store' | 'audit' | 'clock' | 'evidence' | 'loop';
  readonly ok: boolean;
  readonly detail: string;
  /** When that was seen; ISO 8601. */
  readonly at: string;
};

export type ReadinessOptions = {
  readonly rotator: Pick<Rotator, 'storeClock' | 'status' | 'audit'>;
  readonly daemon: Pick<Scheduler, 'statuses' | 'idleMs'>;
  readonly clock: Clock;
};

export type Readiness = () => Promise<readonly Check[]>;

/** What was found, before it is dated. */
type Found = { readonly ok: boolean; readonly detail: string };

const keptMs = 5_000;
const checkTimeoutMs = 8_000;
/** The scheduler runs every half minute; after this long without a run it is stuck. */
export const stuckAfterMs = 150_000;
/** The release date of this program: an earlier clock was never set. */
const earliestMs = 1_793_491_200_000; // 2026-11-01

/** Never rejects. */
export function createReadiness({ rotator, daemon, clock }: ReadinessOptions): Readiness {
  const { statuses } = daemon;
  let nextEntry = 0;
  /** Of the last answer; positive when the store is ahead. */
  let differenceMs = 0;

  /** One account per call, in turn. */
  async function checkStore(): Promise<Found> {
    const entries = statuses.entries();
    const entry = entries[nextEntry++ % Math.max(1, entries.length)];
    if (!entry) return { ok: true, detail: 'no accounts' };
    const storeMs = await rotator.storeClock(entry.account);
    const nowMs = clock.nowMs();
    differenceMs = storeMs - nowMs;
    const { state, reason, detail = '' } = await rotator.status(entry.account);
    // A single secret that is missing or malformed says nothing about the store.
    const isFailing = state === 'unreadable' && storeFailures.some((one) => one === reason);
    return isFailing
      ? { ok: false, detail: `${reason}: ${detail}` }
      : { ok: true, detail: `answers for ${entry.account.name}` };
  }

  async function checkAudit(): Promise<Found> {
    const newestMs = await rotator.audit.probe();
    return { ok: true, detail: `takes records; the newest is of ${isoTime(newestMs)}` };
  }

  const store = createProbe(clock, checkStore);
  const audit = createProbe(clock, checkAudit);

  return async () => {
    const [storeCheck, auditCheck] = await Promise.all([store(), audit()]);
    const nowMs = clock.nowMs();
    const dated = (check: Check['check'], found: Found): Check => {
      return { check, ...found, at: isoTime(nowMs) };
    };
    return [
      { check: 'store', ...storeCheck },
      { check: 'audit', ...auditCheck },
      dated('clock', checkClock(statuses.entries(), nowMs, differenceMs)),
      dated('evidence', checkEvidence(statuses, nowMs)),
      dated('loop', checkLoop(daemon.idleMs())),
    ];
  };
}

type Dated = Omit<Check, 'check'>;

/**
 * Runs a check that can hang, and keeps what it found for a while. A failure is a negative answer,
 * and so is none in time. While one run hangs, no other one begins: each would keep a thread of the
 * file system.
 */
function createProbe(clock: Clock, check: () => Promise<Found>): () => Promise<Dated> {
  let running: Promise<Dated> | null = null;
  let kept: { readonly atMs: number; readonly found: Dated } | null = null;

  async function run(): Promise<Dated> {
    const found = await check().catch((error: unknown): Found => {
      const isKnown = error instanceof Failure;
      return {
        ok: false,
        detail: isKnown ? `${error.reason}: ${error.message}` : 'an unexpected error',
      };
    });
    const dated = { ...found, at: isoTime(clock.nowMs()) };
    kept = { atMs: clock.monotonicMs(), found: dated };
    running = null;
    return dated;
  }

  return async () => {
    if (kept && clock.monotonicMs() - kept.atMs < keptMs) return kept.found;
    running ??= run();
    const found = await within(clock, checkTimeoutMs, running);
    if (found !== 'late') return found;
    const last = kept ? ` since ${kept.found.at}` : '';
    return { ok: false, detail: `no answer${last}`, at: isoTime(clock.nowMs()) };
  };
}

function checkClock(entries: readonly AccountEntry[], nowMs: number, differenceMs: number): Found {
  if (nowMs < earliestMs)
    return { ok: false, detail: 'the clock is before the release of this program' };
  const ahead = entries.find(
    ({ passwordSinceMs = 0 }) => passwordSinceMs > nowMs + clockToleranceMs,
  );
  if (ahead)
    return { ok: false, detail: `the password of ${ahead.account.name} is dated in the future` };
  if (Math.abs(differenceMs) <= clockToleranceMs)
    return { ok: true, detail: 'in agreement with the store' };
  const seconds = Math.round(Math.abs(differenceMs) / 1000);
  const where = differenceMs > 0 ? 'ahead of' : 'behind';
  return { ok: false, detail: `the store is ${seconds} s ${where} this clock` };
}

function checkEvidence({ entries }: Scheduler['statuses'], nowMs: number): Found {
  const all = entries();
  const stale = all.filter((entry) => isStale(entry, nowMs)).length;
  const newestMs = Math.max(0, ...all.map(({ evidenceAtMs = 0 }) => evidenceAtMs));
  const newest = newestMs === 0 ? 'none yet' : `the newest is of ${isoTime(newestMs)}`;
  return stale === 0
    ? { ok: true, detail: newest }
    : { ok: false, detail: `stale for ${stale} of ${counted(all.length, 'account')}; ${newest}` };
}

const checkLoop = (idleMs: number): Found => ({
  ok: idleMs < stuckAfterMs,
  detail: `the scheduler ran ${Math.round(idleMs / 1000)} s ago`,
});
