// Attempts that were requested over HTTP. Those of this service are kept in memory, bounded. The
// audit log has the others, so that an idempotency key and the address of an attempt are valid for
// seven days, also after a reload and a restart.

import { hash, randomUUID } from 'node:crypto';
import type { AuditWriter } from '../audit/log.ts';
import { type RequestedRun, requestLifeMs } from '../audit/requested-runs.ts';
import { keyDigestOf } from '../order.ts';
import { nextStep, ownCommand } from '../rotation/catalogue.ts';
import { within } from '../rotation/deadline.ts';
import type { Trigger } from '../rotation/event.ts';
import { type Facts, failures, type Reason } from '../rotation/failure.ts';
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
  readonly keyDigest: string | undefined;
  /** Of what was requested, without who requested it. */
  readonly sha256: string | undefined;
  /** `unknown`: the process that made the attempt did not record its end. */
  state: 'running' | 'finished' | 'unknown';
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

export type RotateRequests = ReturnType<typeof openRotateRequests>;

const maxFinished = 500;
const maxRunning = 64;
/** How long a response waits for the audit log. */
const recordedWithinMs = 5_000;

export type RotateRequestsOptions = {
  readonly scheduler: Pick<Scheduler, 'statuses' | 'findConflict' | 'request' | 'recorded'>;
  readonly audit: Pick<AuditWriter, 'requestedRuns'>;
  readonly clock: Pick<Clock, 'nowMs' | 'sleep'>;
  /** For printed commands. */
  readonly facts: Facts;
};

export function openRotateRequests({ scheduler, audit, clock, facts }: RotateRequestsOptions) {
  const attempts = new Map<string, Attempt>();
  let running = 0;

  const isKept = ({ requestedAtMs }: Attempt): boolean =>
    clock.nowMs() - requestedAtMs < requestLifeMs;

  /** A map keeps the order of insertion, so the oldest are removed first. */
  function forgetOld(): void {
    for (const [id, attempt] of attempts) {
      if (attempts.size <= maxFinished && isKept(attempt)) break;
      if (attempt.state === 'finished') attempts.delete(id);
    }
  }

  /** The newest attempt that this key started, here or in an earlier process. */
  function findByKey(keyDigest: string): Attempt | undefined {
    const isOfKey = (one: { readonly keyDigest?: string | undefined }): boolean =>
      one.keyDigest === keyDigest;
    const run = [...audit.requestedRuns().values()].findLast(isOfKey);
    return [...attempts.values()].findLast(isOfKey) ?? (run && attemptIn(run, facts));
  }

  async function run(attempt: Attempt): Promise<void> {
    running += 1;
    const { id: runId, account, force, trigger, keyDigest, sha256 = '' } = attempt;
    const ask = { purpose: 'rotate', force, keyDigest, trigger } as const;
    const forced = force ? ('true' as const) : undefined;
    const request = { runId, account, force: forced, keyDigest, sha256 };
    attempt.result = await scheduler.request(account, ask, request);
    attempt.state = 'finished';
    running -= 1;
    forgetOld();
  }

  return {
    /**
     * Starts an attempt, or finds the one that the same key started. Resolves when the request is
     * in the audit log, within a bounded time.
     */
    submit: async (request: RotateRequest, key: string | undefined): Promise<Submitted> => {
      const { account, force } = request;
      const sha256 = digestOf(request);
      const keyDigest = key === undefined ? undefined : keyDigestOf(key);
      const known = keyDigest === undefined ? undefined : findByKey(keyDigest);
      if (known && isKept(known))
        return known.sha256 === sha256
          ? { submitted: 'replayed', id: known.id }
          : { submitted: 'mismatch' };
      if (!scheduler.statuses.get(account)) return { submitted: 'unknown-account' };
      const why = scheduler.findConflict(account, force);
      if (why !== null) return { submitted: 'busy', why };
      if (running >= maxRunning) return { submitted: 'full' };
      const id = randomUUID();
      const identity = { id, requestedAtMs: clock.nowMs(), keyDigest, sha256 };
      const attempt: Attempt = { ...request, ...identity, state: 'running', result: null };
      attempts.set(id, attempt);
      void run(attempt);
      await within(clock, recordedWithinMs, scheduler.recorded());
      return { submitted: 'new', id };
    },
    /** An attempt as JSON; null when none with this id is known. */
    show: (id: string): object | null => {
      const run = audit.requestedRuns().get(id);
      const attempt = attempts.get(id) ?? (run && attemptIn(run, facts));
      return attempt && isKept(attempt) ? attemptJson(attempt, facts) : null;
    },
  };
}

/** Who sends a request again may have another address. */
const digestOf = ({ account, force, trigger: { reason, changeRef } }: RotateRequest): string =>
  hash('sha256', JSON.stringify([account, force, reason, changeRef]));

/** An attempt that this service did not start, or has forgotten. */
function attemptIn(run: RequestedRun, facts: Facts): Attempt {
  const { runId: id, account, force, startedAtMs: requestedAtMs, keyDigest, sha256, end } = run;
  const { requestedBy, reason, changeRef } = run;
  return {
    ...{ id, account, force, requestedAtMs, keyDigest, sha256 },
    trigger: { kind: 'manual', requestedBy, reason, changeRef },
    state: end ? 'finished' : 'unknown',
    result: resultIn(run, facts),
  };
}

function resultIn({ account, startedAtMs, end }: RequestedRun, facts: Facts): Result | null {
  if (end?.outcome === undefined) return null;
  const { atMs: endedAtMs, outcome, certainty, secretId = '', logins = 0, ...rest } = end;
  const isKnown = end.reason !== undefined && Object.hasOwn(failures, end.reason);
  const reason = isKnown ? (end.reason as Reason) : undefined;
  const { detail, rotationId, versionId } = end;
  const known = { ...facts, account, secretId, detail, rotationId, versionId };
  return {
    ...{ ...rest, account, secretId, logins, startedAtMs, endedAtMs },
    outcome: outcome as Result['outcome'],
    certainty: certainty as Result['certainty'],
    reason,
    next: reason === undefined ? '' : nextStep(reason, known),
  };
}

function attemptJson(attempt: Attempt, facts: Facts) {
  const { id, account, state, force, requestedAtMs, trigger, result } = attempt;
  const command = ownCommand({ ...facts, account }, 'recover', account);
  const next = `The service did not record the result. To complete the rotation: ${command}`;
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
    ...(state === 'unknown' ? { next } : {}),
  };
}
