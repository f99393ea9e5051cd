// One run over many accounts, told to the audit log from beginning to end: what `rotate`, the daemon's ticks
// and the Lambda function have in common. A failing audit log holds nobody up here: without it no attempt resets.

import { randomUUID } from 'node:crypto';
import type { Account, Ask, Rotator } from '../app.ts';
import { exitCodeOf, Failure } from '../rotation/failure.ts';
import { isGood } from '../rotation/result.ts';
import type { Result } from '../rotation/state.ts';
import { runFleet } from './keyed-queue.ts';

export type Run = {
  readonly accounts: readonly Account[];
  readonly ask: Ask;
  /** Ends the attempts that have not sent a reset yet; the others finish. */
  readonly interrupt: AbortSignal;
  /** Called as each account finishes. */
  readonly onResult?: (result: Result) => void;
};

export type RunResult = { readonly results: readonly Result[]; readonly exitCode: 0 | 1 | 3 | 4 };

/** Runs one attempt per account, and signs the audit log afterwards. */
export async function run(
  rotator: Rotator,
  { accounts, ask, interrupt, onResult = () => {} }: Run,
): Promise<RunResult> {
  const runId = randomUUID();
  const { trigger } = ask;
  await told(rotator, () =>
    rotator.audit.append([{ code: 'run.started', runId, accounts: accounts.length, trigger }]),
  );
  const results = await runFleet({
    accounts,
    concurrency: rotator.config.concurrency,
    pairs: rotator.config.pairs,
    clock: rotator.clock,
    interrupt,
    attempt: (account) => rotator.attempt(account, ask, interrupt),
    onResult,
  });
  const exitCode = worstExitCode(results);
  const rotated = results.filter(
    ({ outcome }) => outcome === 'rotated' || outcome === 'recovered',
  ).length;
  const failed = results.filter((result) => !isGood(result)).length;
  await told(rotator, () =>
    rotator.audit.append([{ code: 'run.finished', runId, exitCode, rotated, failed, trigger }]),
  );
  await told(rotator, () => rotator.audit.checkpoint());
  return { results, exitCode };
}

/** The worst of several results: 4 before 3 before 1 before 0. */
export function worstExitCode(results: readonly Result[]): 0 | 1 | 3 | 4 {
  const codes = results.map((result) => exitCodeOf(result.certainty, isGood(result)));
  return ([4, 3, 1] as const).find((code) => codes.includes(code)) ?? 0;
}

/** Tells the audit log; what it cannot take is on the second sink already, and is reported. */
async function told(rotator: Rotator, tell: () => Promise<unknown>): Promise<void> {
  try {
    await tell();
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    rotator.observe({ event: 'audit.failed', account: '*', detail: error.message });
  }
}
