// What is written to the audit log besides attempts and facts: runs and checkpoints. A failure to
// write delays nothing here: without the audit log no attempt sends a reset.

import { randomUUID } from 'node:crypto';
import pLimit from 'p-limit';
import type { Rotator } from '../app.ts';
import type { Trigger } from '../rotation/event.ts';
import { exitCodeOf, Failure } from '../rotation/failure.ts';
import { isGood } from '../rotation/result.ts';
import type { Result } from '../rotation/state.ts';
import { hasChanged } from './keyed-queue.ts';

/** One run over some accounts; it ends when its last account is finished. */
export type Run = {
  readonly trigger: Trigger;
  /** One account is finished; null when no attempt was made. */
  finish(name: string, result: Result | null): void;
};

export type RunLog = ReturnType<typeof openRunLog>;

/** A run that somebody requested for one account: the log keeps its result for seven days. */
export type RunRequest = {
  readonly runId: string;
  readonly account: string;
  readonly force?: 'true' | undefined;
  /** Digest of the idempotency key. */
  readonly keyDigest?: string | undefined;
  /** Digest of the request. */
  readonly sha256: string;
};

/** Writes through the audit log of the rotator, in order. */
export function openRunLog({ audit, observe }: Pick<Rotator, 'audit' | 'observe'>) {
  const inOrder = pLimit(1);
  /** The observer gets a failure; any other error is a bug. */
  const write = (task: () => Promise<unknown>): Promise<void> =>
    inOrder(async () => {
      try {
        await task();
      } catch (error) {
        if (!(error instanceof Failure)) throw error;
        observe({ event: 'audit.failed', account: '*', detail: error.message });
      }
    });
  /** Signs the audit log. */
  const checkpoint = (): Promise<void> => write(() => audit.checkpoint());

  /** Starts a run over these accounts. `onEnd` is called once, before the end is written. */
  function start(
    names: readonly string[],
    trigger: Trigger,
    onEnd = (): void => {},
    request?: RunRequest,
  ): Run {
    const runId = request?.runId ?? randomUUID();
    const pending = new Set(names);
    const results: Result[] = [];
    const end = (): void => {
      const exitCode = worstExitCode(results);
      const rotated = results.filter((result) => isGood(result) && hasChanged(result)).length;
      const failed = results.filter((result) => !isGood(result)).length;
      const finished = { code: 'run.finished', runId, exitCode, rotated, failed, trigger } as const;
      const answer = request && { account: request.account, result: results[0] };
      onEnd();
      void write(() => audit.append([{ ...finished, ...answer }]));
      void checkpoint();
    };
    const accounts = names.length;
    const started = { code: 'run.started', accounts, trigger, ...request, runId } as const;
    void write(() => audit.append([started]));
    if (names.length === 0) end();
    return {
      trigger,
      finish: (name, result) => {
        if (!pending.delete(name)) return;
        if (result) results.push(result);
        if (pending.size === 0) end();
      },
    };
  }

  /** `flush` resolves when everything before is written. */
  return { start, checkpoint, flush: (): Promise<void> => inOrder(async () => {}) };
}

/** The worst of several results: 4 before 3 before 1 before 0. */
export function worstExitCode(results: readonly Result[]): 0 | 1 | 3 | 4 {
  const codes = results.map((result) => exitCodeOf(result.certainty, isGood(result)));
  return ([4, 3, 1] as const).find((code) => codes.includes(code)) ?? 0;
}
