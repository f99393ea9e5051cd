// Attempts that were requested over HTTP, while they run and for a while after. Kept in memory only
// and bounded; the audit log holds what happened to a password and who asked, whatever is forgotten
// here.

import { createHash, randomUUID } from 'node:crypto';
import type { Trigger } from '../rotation/event.ts';
import type { Clock } from '../rotation/ports.ts';
import { resultJson } from '../rotation/result-json.ts';
import type { Result } from '../rotation/state.ts';
import type { Scheduler } from '../scheduler/scheduler.ts';
import { isoTime } from '../time.ts';

export type RotateRequest = {
  readonly account: string;
  readonly force: boolean;
  readonly trigger: Trigger;
};

type Attempt = RotateRequest & {
  readonly id: string;
  readonly requestedAtMs: number;
  state: 'running' | 'finished';
  result: Result | null;
};

/**
 * `mismatch`: the idempotency key belongs to another request. `full`: too many attempts are
 * running.
 */
export type Submitted =
  | { readonly submitted: 'new' | 'replayed'; readonly id: string }
  | { readonly submitted: 'unknown-account' | 'mismatch' | 'full' }
  | { readonly submitted: 'busy'; readonly why: string };

export type RotateRequests = {
  /** Starts an attempt, or finds the one that the same key started. Returns at once. */
  submit(request: RotateRequest, idempotencyKey: string | undefined): Submitted;
  /** An attempt as JSON; null when none with this id is kept. */
  show(id: string): object | null;
};

const maxFinished = 500;
const maxRunning = 64;
/** How long an idempotency key is kept. */
const keyLifeMs = 24 * 3_600_000;
const maxKeys = 2_000;

export function openRotateRequests(
  scheduler: Pick<Scheduler, 'statuses' | 'findConflict' | 'request'>,
  clock: Pick<Clock, 'nowMs' | 'monotonicMs'>,
): RotateRequests {
  const attempts = new Map<string, Attempt>();
  const keys = new Map<string, { id: string; digest: string; atMs: number }>();
  let running = 0;

  /** Maps keep the order of insertion, so the oldest are removed first. */
  function forgetOld(): void {
    for (const [id, { state }] of attempts) {
      if (attempts.size <= maxFinished) break;
      if (state === 'finished') attempts.delete(id);
    }
    for (const [key, { atMs }] of keys) {
      if (keys.size <= maxKeys && clock.monotonicMs() - atMs < keyLifeMs) break;
      keys.delete(key);
    }
  }

  async function run(attempt: Attempt): Promise<void> {
    running += 1;
    const { account, force, trigger } = attempt;
    attempt.result = await scheduler.request(account, { purpose: 'rotate', force, trigger });
    attempt.state = 'finished';
    running -= 1;
    forgetOld();
  }

  return {
    submit: (request, key) => {
      forgetOld();
      const digest = createHash('sha256').update(JSON.stringify(request)).digest('hex');
      const known = key === undefined ? undefined : keys.get(key);
      if (known)
        return known.digest === digest
          ? { submitted: 'replayed', id: known.id }
          : { submitted: 'mismatch' };
      if (!scheduler.statuses.get(request.account)) return { submitted: 'unknown-account' };
      const why = scheduler.findConflict(request.account, request.force);
      if (why !== null) return { submitted: 'busy', why };
      if (running >= maxRunning) return { submitted: 'full' };
      const id = randomUUID();
      const attempt: Attempt = {
        ...request,
        id,
        requestedAtMs: clock.nowMs(),
        state: 'running',
        result: null,
      };
      attempts.set(id, attempt);
      if (key !== undefined) keys.set(key, { id, digest, atMs: clock.monotonicMs() });
      void run(attempt);
      return { submitted: 'new', id };
    },
    show: (id) => {
      const attempt = attempts.get(id);
      return attempt ? attemptJson(attempt) : null;
    },
  };
}

function attemptJson({ id, account, state, force, requestedAtMs, trigger, result }: Attempt) {
  return {
    id,
    account,
    state,
    force,
    requestedAt: isoTime(requestedAtMs, true),
    requestedBy: trigger.requestedBy ?? null,
    reason: trigger.reason ?? null,
    changeRef: trigger.changeRef ?? null,
    result: result && { ...resultJson(result), detail: result.detail ?? null },
  };
}
