// Whether the service could rotate now: the store responds, the audit log is writable, the clock
// agrees with the store, the scheduler runs. Orchestrators ask often, so responses are kept for a
// while.

import type { Rotator } from '../app.ts';
import { Failure } from '../rotation/failure.ts';
import type { Clock } from '../rotation/ports.ts';
import { within } from '../scheduler/deadline.ts';
import type { Scheduler } from '../scheduler/scheduler.ts';

export type Check = {
  readonly check: 'store' | 'audit' | 'clock' | 'loop';
  readonly ok: boolean;
  readonly detail: string;
};

export type ReadinessOptions = {
  readonly rotator: Pick<Rotator, 'accounts' | 'status' | 'audit'>;
  readonly daemon: Pick<Scheduler, 'statuses' | 'idleMs'>;
  readonly clock: Clock;
};

const keptMs = 15_000;
const checkTimeoutMs = 8_000;
/** The scheduler runs every half minute; after this long without a run it is stuck. */
export const stuckAfterMs = 150_000;
/** The release date of this program: an earlier clock was never set. */
const earliestMs = 1_793_491_200_000; // 2026-11-01
/** How far the dates of the store may be ahead of this clock. */
const maxAheadMs = 300_000;

/** Never rejects. */
export function createReadiness(options: ReadinessOptions): () => Promise<readonly Check[]> {
  const { rotator, daemon, clock } = options;
  let kept: { readonly atMs: number; readonly checks: Promise<readonly Check[]> } | null = null;
  let nextEntry = 0;

  /** One account per call, in turn. */
  async function checkStore(): Promise<Check> {
    const entries = daemon.statuses.entries();
    const entry = entries[nextEntry++ % Math.max(1, entries.length)];
    if (!entry) return { check: 'store', ok: true, detail: 'no accounts' };
    const { state, reason, detail = '' } = await rotator.status(entry.account);
    // A single secret that is missing or malformed says nothing about the store.
    const isFailing =
      state === 'unreadable' && (reason === 'store-unavailable' || reason === 'store-denied');
    return {
      check: 'store',
      ok: !isFailing,
      detail: isFailing ? `${reason}: ${detail}` : 'reachable',
    };
  }

  async function checkAudit(): Promise<Check> {
    (await rotator.audit.rotationsOf('')).open;
    return { check: 'audit', ok: true, detail: 'writable' };
  }

  /** A failure is a negative check, and so is no response in time. */
  async function bounded(check: Check['check'], run: () => Promise<Check>): Promise<Check> {
    const response = run().catch((error: unknown) => {
      const detail =
        error instanceof Failure ? `${error.reason}: ${error.message}` : 'an unexpected error';
      return { check, ok: false, detail };
    });
    const first = await within(clock, checkTimeoutMs, response);
    const detail = `no response within ${checkTimeoutMs} ms`;
    return first === 'late' ? { check, ok: false, detail } : first;
  }

  return async () => {
    const nowMs = clock.monotonicMs();
    if (!kept || nowMs - kept.atMs > keptMs)
      kept = {
        atMs: nowMs,
        checks: Promise.all([bounded('store', checkStore), bounded('audit', checkAudit)]),
      };
    return [...(await kept.checks), checkClock(daemon, clock.nowMs()), checkLoop(daemon)];
  };
}

function checkClock({ statuses }: ReadinessOptions['daemon'], nowMs: number): Check {
  const newestMs = Math.max(0, ...statuses.entries().map((entry) => entry.passwordSinceMs ?? 0));
  const aheadMs = newestMs - nowMs;
  if (nowMs < earliestMs)
    return { check: 'clock', ok: false, detail: 'the clock is before the release of this program' };
  return aheadMs > maxAheadMs
    ? {
        check: 'clock',
        ok: false,
        detail: `the store is ${Math.round(aheadMs / 1000)} s ahead of this clock`,
      }
    : { check: 'clock', ok: true, detail: 'in agreement with the store' };
}

function checkLoop({ idleMs }: ReadinessOptions['daemon']): Check {
  const idle = idleMs();
  const detail = `the scheduler ran ${Math.round(idle / 1000)} s ago`;
  return { check: 'loop', ok: idle < stuckAfterMs, detail };
}
