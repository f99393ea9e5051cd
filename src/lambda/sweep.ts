// The recover sweep: a function that was killed after a reset can leave a secret whose current
// password is invalid until the next daily run. A schedule starts the sweep every 15
// minutes. It costs one read of the audit log when no rotation is open: no login, no write.

import { Failure } from '../rotation/failure.ts';
import { type ResultJson, resultJson } from '../rotation/result-json.ts';
import type { AccountStatus } from '../rotation/status.ts';
import { run } from '../scheduler/run.ts';
import { isBusy } from '../telemetry/emf.ts';
import { judgedBy, recordResultOf } from './record-result.ts';
import type { Invocation } from './runtime.ts';

export type Swept = {
  readonly exitCode: 0 | 1 | 3 | 4;
  readonly results: readonly ResultJson[];
};

/**
 * Completes the rotations that no process is working on. What cannot be read is observed: the next
 * sweep is soon, and an error would leave the event in the dead-letter queue.
 */
export async function sweep(invocation: Invocation): Promise<Swept> {
  try {
    return await completeOpen(invocation);
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    invocation.rotator.observe({ event: 'audit.failed', account: '*', detail: error.message });
    return { exitCode: 1, results: [] };
  }
}

async function completeOpen(invocation: Invocation): Promise<Swept> {
  const { rotator, interrupt, log, metrics, requestId } = invocation;
  const open = await rotator.audit.unfinished();
  if (open.length === 0) return { exitCode: 0, results: [] };
  // Secrets Manager repeats its own rotations, which are not among these accounts.
  const accounts = (await rotator.accounts()).filter(
    ({ name, enabled }) => enabled && open.some(({ account }) => account === name),
  );
  const statuses = await Promise.all(accounts.map((account) => rotator.status(account)));
  const needed = accounts.filter((_, index) => isRecoverable(statuses[index]));
  // Those that wait alarm now, and not with the next daily run.
  for (const status of statuses)
    if (!isRecoverable(status) && !isBusy(status))
      metrics.recordAccount(status, judgedBy(invocation, accounts, status.account).isExempt);
  if (needed.length === 0) return { exitCode: 0, results: [] };
  log.info('run.started', { accounts: needed.length, reason: 'recover sweep' });
  const { results, exitCode } = await run(rotator, {
    accounts: needed,
    ask: {
      purpose: 'recover',
      trigger: { kind: 'recovery', requestedBy: `lambda:${requestId}`, reason: 'recover sweep' },
    },
    interrupt,
    onResult: recordResultOf(invocation, needed),
  });
  return { exitCode, results: results.map(resultJson) };
}

/**
 * Whether an attempt can complete the rotation now. At most one login per rotation: an outage of an
 * hour must not use up the limit of three. The rotation that was killed has counted one itself.
 */
function isRecoverable({ reason, loginsSpent = 0 }: Partial<AccountStatus> = {}): boolean {
  switch (reason) {
    case 'not-stored':
    case 'not-promoted':
    case 'answer-lost':
      return loginsSpent < 2;
    case 'verify-unavailable':
      return loginsSpent === 0;
    default:
      return false;
  }
}
