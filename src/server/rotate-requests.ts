// Attempts that somebody asked for over HTTP: asked for, running, over. Memory only, and bounded; what happened to a
// password is in the audit log, with who asked, whatever becomes of this.

import { createHash, randomUUID } from 'node:crypto';
import type { Trigger } from '../rotation/event.ts';
import type { Clock } from '../rotation/ports.ts';
import { resultLine } from '../rotation/result-json.ts';
import type { Result } from '../rotation/state.ts';
import type { Scheduler } from '../scheduler/scheduler.ts';
import { isoTime } from '../time.ts';

/** What was asked for. */
export type Wish = { readonly account: string; readonly force: boolean; readonly trigger: Trigger };

type Attempt = Wish & {
  readonly id: string;
  readonly requestedAtMs: number;
  state: 'running' | 'finished';
  result: Result | null;
};

/** `mismatch`: the idempotency key was used for something else. `full`: too many are running. */
export type Submitted =
  | { readonly submitted: 'new' | 'replayed'; readonly id: string }
  | { readonly submitted: 'unknown-account' | 'mismatch' | 'full' }
  | { readonly submitted: 'busy'; readonly why: string };

export type Attempts = {
  /** Begins an attempt, or finds the one that the same key began. Returns at once. */
  submit(wish: Wish, idempotencyKey: string | undefined): Submitted;
  /** An attempt as JSON; null where there is none (any more). */
  show(id: string): object | null;
};

const keptFinished = 500;
const mostRunning = 64;
/** How long an idempotency key is remembered, in this process. */
const keyLifeMs = 24 * 3_600_000;
const mostKeys = 2_000;

export function createAttempts(
  daemon: Pick<Scheduler, 'statuses' | 'findConflict' | 'request'>,
  clock: Pick<Clock, 'nowMs' | 'monotonicMs'>,
): Attempts {
  const attempts = new Map<string, Attempt>();
  const keys = new Map<
    string,
    { readonly id: string; readonly wish: string; readonly atMs: number }
  >();
  let running = 0;

  /** Maps keep the order of insertion: the oldest go first. */
  function forget(): void {
    for (const [id, { state }] of attempts) {
      if (attempts.size <= keptFinished) break;
      if (state === 'finished') attempts.delete(id);
    }
    for (const [key, { atMs }] of keys) {
      if (keys.size <= mostKeys && clock.monotonicMs() - atMs < keyLifeMs) break;
      keys.delete(key);
    }
  }

  async function run(attempt: Attempt): Promise<void> {
    running += 1;
    const { account, force, trigger } = attempt;
    attempt.result = await daemon.request(account, { purpose: 'rotate', force, trigger });
    attempt.state = 'finished';
    running -= 1;
    forget();
  }

  return {
    submit: (wish, key) => {
      forget();
      const print = createHash('sha256').update(JSON.stringify(wish)).digest('hex');
      const known = key === undefined ? undefined : keys.get(key);
      if (known)
        return known.wish === print
          ? { submitted: 'replayed', id: known.id }
          : { submitted: 'mismatch' };
      if (!daemon.statuses.get(wish.account)) return { submitted: 'unknown-account' };
      const why = daemon.findConflict(wish.account, wish.force);
      if (why !== null) return { submitted: 'busy', why };
      if (running >= mostRunning) return { submitted: 'full' };
      const attempt: Attempt = {
        ...wish,
        id: randomUUID(),
        requestedAtMs: clock.nowMs(),
        state: 'running',
        result: null,
      };
      attempts.set(attempt.id, attempt);
      if (key !== undefined)
        keys.set(key, { id: attempt.id, wish: print, atMs: clock.monotonicMs() });
      void run(attempt);
      return { submitted: 'new', id: attempt.id };
    },
    show: (id) => {
      const attempt = attempts.get(id);
      if (!attempt) return null;
      const { account, force, trigger, requestedAtMs, state, result } = attempt;
      return {
        id,
        account,
        state,
        force,
        requestedAt: isoTime(requestedAtMs, true),
        requestedBy: trigger.requestedBy ?? null,
        reason: trigger.reason ?? null,
        changeRef: trigger.changeRef ?? null,
        result: result && {
          ...(JSON.parse(resultLine(result)) as object),
          detail: result.detail ?? null,
        },
      };
    },
  };
}
