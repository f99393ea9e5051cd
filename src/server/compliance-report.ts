// The compliance report of the service: the last 90 days, with the status cache in place of the
// store. Another thread creates it (report-worker.ts); the app (app.ts) keeps it for a minute.

import { hash } from 'node:crypto';
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import type { Rotator } from '../app.ts';
import { storeFactOf } from '../report/account.ts';
import { Failure } from '../rotation/failure.ts';
import type { Clock } from '../rotation/ports.ts';
import type { AccountEntry } from '../scheduler/status-cache.ts';
import { isoTime } from '../time.ts';
import type { ReportAnswer, ReportTask } from './report-worker.ts';

/** Readers of the page are recorded, but one record for each reload would fill the log. */
const recordedEveryMs = 3_600_000;

/** Beside the chunk of dist/ that holds this file. */
const workerFile = new URL('../report-worker.js', import.meta.url);

/** Leaves room for the service where the memory of a unit or a container is limited. */
const resourceLimits = { maxOldGenerationSizeMb: 256 };

/** Creates the report as HTML. Throws `audit-unavailable`. */
export function createComplianceReport(
  { config, audit }: Pick<Rotator, 'config' | 'audit'>,
  clock: Clock,
  entries: () => readonly AccountEntry[],
): () => Promise<string> {
  let recordedAtMs = Number.NEGATIVE_INFINITY;

  /** A log that cannot be written is no reason to show no report. */
  async function record(html: string, fromMs: number, toMs: number): Promise<void> {
    const nowMs = clock.monotonicMs();
    if (nowMs - recordedAtMs < recordedEveryMs) return;
    const trigger = { kind: 'unattended', requestedBy: 'GET /audit' } as const;
    const dates = { from: isoTime(fromMs), to: isoTime(toMs) };
    const sha256 = hash('sha256', html);
    try {
      await audit.append([{ code: 'report.exported', ...dates, sha256, trigger }]);
      recordedAtMs = nowMs;
      await audit.checkpoint();
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
    }
  }

  return async () => {
    const store = new Map(entries().map((entry) => [entry.account.name, storeFactOf(entry)]));
    const answer = await createApart({ config, nowMs: clock.nowMs(), store });
    if ('reason' in answer) throw new Failure(answer.reason, answer.message, answer.facts);
    await record(answer.html, answer.fromMs, answer.toMs);
    return answer.html;
  };
}

async function createApart(task: ReportTask): Promise<ReportAnswer> {
  const worker = new Worker(workerFile, { workerData: task, resourceLimits });
  worker.unref();
  const exit = once(worker, 'exit').then(() => {
    throw new Error('the thread ended without an answer');
  });
  const [answer] = await Promise.race([once(worker, 'message'), exit]);
  return answer;
}
