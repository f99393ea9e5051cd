// Whether the service could do its work now: the store answers, the audit log takes a lock and so a write, the clock is
// sane, the loop turns. Asked often by orchestrators, so answers are kept for a while, and one question runs at a time.

import type { Rotator } from '../app.ts';
import { Failure } from '../rotation/failure.ts';
import type { Clock } from '../rotation/ports.ts';
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
const patienceMs = 8_000;
/** A loop that turns every half minute and has not for so long is stuck. */
export const stuckAfterMs = 150_000;
/** This program did not exist before; a clock that says so was never set. */
const earliestMs = 1_793_491_200_000; // 2026-11-01
/** The store's dates may be so far ahead of ours. */
const aheadMs = 300_000;

/** Never rejects. */
export function createReadiness({
  rotator,
  daemon,
  clock,
}: ReadinessOptions): () => Promise<readonly Check[]> {
  let kept: { readonly atMs: number; readonly checks: Promise<readonly Check[]> } | null = null;
  let turn = 0;

  async function store(): Promise<Check> {
    const entries = daemon.statuses.entries();
    const entry = entries[turn++ % Math.max(1, entries.length)];
    if (!entry) return { check: 'store', ok: true, detail: 'there are no accounts' };
    const { state, reason, detail = '' } = await rotator.status(entry.account);
    // One secret that is missing or not JSON says nothing about the store.
    const isAway =
      state === 'unreadable' && (reason === 'store-unavailable' || reason === 'store-denied');
    return { check: 'store', ok: !isAway, detail: isAway ? `${reason}: ${detail}` : 'answers' };
  }

  async function audit(): Promise<Check> {
    await rotator.audit.openIntents('');
    return { check: 'audit', ok: true, detail: 'takes records' };
  }

  function clockCheck(): Check {
    const nowMs = clock.nowMs();
    const newestMs = Math.max(
      0,
      ...daemon.statuses.entries().map(({ passwordSinceMs = 0 }) => passwordSinceMs),
    );
    if (nowMs < earliestMs)
      return { check: 'clock', ok: false, detail: 'the clock is before this program was made' };
    const ahead = newestMs - nowMs;
    if (ahead > aheadMs)
      return {
        check: 'clock',
        ok: false,
        detail: `the store is ${Math.round(ahead / 1000)} s ahead of this clock`,
      };
    return { check: 'clock', ok: true, detail: 'agrees with the store' };
  }

  const loop = (): Check => {
    const idle = Math.round(daemon.idleMs() / 1000);
    return { check: 'loop', ok: daemon.idleMs() < stuckAfterMs, detail: `turned ${idle} s ago` };
  };

  /** A failure is an answer; silence is one too. */
  async function bounded(check: Check['check'], ask: () => Promise<Check>): Promise<Check> {
    const over = new AbortController();
    const late = clock
      .sleep(patienceMs, over.signal)
      .then(() => ({ check, ok: false, detail: 'did not answer in time' }));
    const answer = ask().catch((error: unknown) => {
      if (!(error instanceof Failure)) return { check, ok: false, detail: 'an unexpected error' };
      return { check, ok: false, detail: `${error.reason}: ${error.message}` };
    });
    const first = await Promise.race([answer, late]);
    over.abort();
    return first;
  }

  return async () => {
    const nowMs = clock.monotonicMs();
    if (!kept || nowMs - kept.atMs > keptMs)
      kept = {
        atMs: nowMs,
        checks: Promise.all([bounded('store', store), bounded('audit', audit)]),
      };
    return [...(await kept.checks), clockCheck(), loop()];
  };
}
