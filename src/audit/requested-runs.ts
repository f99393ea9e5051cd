// The runs that somebody requested for one account, such as over HTTP: kept beside the end of the
// log (log-end.ts) for seven days, so that the answer to a request outlives the process.

// Not `{ z }`: esbuild keeps all of zod then.
import * as z from 'zod';
import { dayMs, parseIso } from '../time.ts';
import type { RecordView } from './record.ts';

/** How long a request is known; milliseconds. */
export const requestLifeMs = 7 * dayMs;
const maxRuns = 2_000;

const runSchema = z.object({
  runId: z.string(),
  account: z.string(),
  startedAtMs: z.number(),
  force: z.boolean(),
  /** Digest of the idempotency key. */
  keyDigest: z.string().optional(),
  /** Digest of the complete request. */
  sha256: z.string().optional(),
  requestedBy: z.string().optional(),
  reason: z.string().optional(),
  changeRef: z.string().optional(),
  /** Absent while it runs, and where its process ended before it could record the end. */
  end: z
    .object({
      atMs: z.number(),
      /** Absent where no attempt was made. */
      outcome: z.string().optional(),
      certainty: z.string().optional(),
      reason: z.string().optional(),
      detail: z.string().optional(),
      secretId: z.string().optional(),
      rotationId: z.string().optional(),
      versionId: z.string().optional(),
      ageDays: z.number().optional(),
      dueAtMs: z.number().optional(),
      deadWindowMs: z.number().optional(),
      logins: z.number().optional(),
    })
    .optional(),
});

export type RequestedRun = z.infer<typeof runSchema>;

/** By id, oldest first. */
export type RequestedRuns = Map<string, RequestedRun>;

/** The list in a cache of the end. */
export const requestedRunsSchema = z
  .array(runSchema)
  .default([])
  .transform((runs): RequestedRuns => new Map(runs.map((run) => [run.runId, run])));

/** Adds a record `run.started` or `run.finished`, and forgets what is too old. */
export function addRunRecord(runs: RequestedRuns, view: RecordView): void {
  const { code, rotationId: runId, account } = view;
  if (runId === undefined || account === undefined) return;
  if (code === 'run.started') {
    const { timeMs: startedAtMs, keyDigest, sha256, requestedBy, changeRef } = view;
    const about = { keyDigest, sha256, requestedBy, reason: view.triggerReason, changeRef };
    runs.set(runId, { runId, account, startedAtMs, force: view.force === 'true', ...about });
    for (const [id, run] of runs) {
      if (runs.size <= maxRuns && startedAtMs - run.startedAtMs < requestLifeMs) break;
      runs.delete(id);
    }
    return;
  }
  const run = runs.get(runId);
  if (code === 'run.finished' && run) runs.set(runId, { ...run, end: endIn(view) });
}

function endIn(view: RecordView): NonNullable<RequestedRun['end']> {
  const { timeMs: atMs, outcome, certainty, reason, detail, secretId, deadWindowMs, logins } = view;
  return {
    ...{ atMs, outcome, certainty, reason, detail, secretId, deadWindowMs, logins },
    rotationId: view.ofRotation,
    versionId: view.versionAfter,
    ageDays: view.ageDaysBefore,
    dueAtMs: parseIso(view.nextDue ?? '') ?? undefined,
  };
}
