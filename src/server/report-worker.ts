// The thread that creates the compliance report: reading a log of years and writing megabytes of
// HTML takes seconds, in which the loop that rotates could do nothing else.

import { parentPort, workerData } from 'node:worker_threads';
import { openAuditSource, openVerifiers } from '../app.ts';
import { WrongInput } from '../audit/findings.ts';
import { readFrontier } from '../audit/frontier.ts';
import { openClock } from '../clock.ts';
import type { Config } from '../config/load.ts';
import type { StoreFact } from '../report/account.ts';
import { buildReport } from '../report/build.ts';
import { reportHtml } from '../report/html.tsx';
import { type Facts, Failure, type Reason } from '../rotation/failure.ts';
import { dayMs } from '../time.ts';

/** What the thread is given: data that can be copied. */
export type ReportTask = {
  readonly config: Config;
  readonly nowMs: number;
  /** The accounts, and what the status cache says about each. */
  readonly store: ReadonlyMap<string, StoreFact>;
};

/** What it answers, once. */
export type ReportAnswer =
  | { readonly html: string; readonly fromMs: number; readonly toMs: number }
  | { readonly reason: Reason; readonly message: string; readonly facts?: Facts | undefined };

const periodDays = 90;

async function create({ config, nowMs, store }: ReportTask): Promise<ReportAnswer> {
  const clock = openClock();
  const verifiers = await openVerifiers(config, clock);
  const source = await openAuditSource(config, clock);
  const frontier = await readFrontier(source);
  const { report } = await buildReport({
    source,
    verifiers,
    // Three months are always in the log, and they can be shorter.
    fromMs: Math.max(nowMs - periodDays * dayMs, (frontier?.lastTimeMs ?? 0) + 1),
    toMs: nowMs,
    nowMs,
    origin: config.audit.origin ?? verifiers[0]?.name ?? 'unknown',
    accounts: [...store.keys()],
    store,
    policy: config.policy,
  });
  return { html: reportHtml(report), fromMs: report.fromMs, toMs: report.toMs };
}

/** An error that is not a failure of the log is a bug, and ends the thread. */
function failureIn(error: unknown): ReportAnswer {
  if (error instanceof WrongInput)
    return {
      reason: 'audit-unavailable',
      message: error.message,
      facts: { cause: 'log-damaged' },
    };
  if (!(error instanceof Failure)) throw error;
  const { reason, message, facts } = error;
  return { reason, message, facts };
}

parentPort?.postMessage(await create(workerData as ReportTask).catch(failureIn));
