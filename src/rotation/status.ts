// Where an account stands, read-only: what the survey finds, how old the password is, and what to do next.
// For `status`, the status page, the metrics and the report. Contacts only the store; logs in nowhere.

import { survey } from './classify.ts';
import { Failure, failures, type Reason } from './failure.ts';
import { ageDays, dueAtMs, dueness } from './policy.ts';
import type { Ports } from './ports.ts';
import type { Evidence, Policy, Request } from './state.ts';

export type Standing = {
  readonly account: string;
  readonly secretId: string;
  /** `settled`: nothing is open. `unreadable`: the store did not tell. */
  readonly state: 'settled' | 'busy' | 'in-doubt' | 'changed' | 'stopped' | 'unreadable';
  readonly reason?: Reason;
  readonly detail?: string;
  /** One imperative sentence; empty when nothing is to be done. */
  readonly next: string;
  readonly username?: string;
  readonly versionId?: string;
  /** When the password was first stored; UTC milliseconds. */
  readonly passwordSinceMs?: number;
  readonly ageDays?: number;
  /** Days until the password is older than the policy's maxAgeDays; negative when overdue. */
  readonly daysLeft?: number;
  readonly dueAtMs?: number;
  readonly dueness?: ReturnType<typeof dueness>;
  /** The newest rotation that this secret's attempts name. */
  readonly rotationId?: string;
  readonly loginsSpent?: number;
};

/** Reads the secret and its attempt record. Never throws a Failure: what cannot be read is `unreadable`, with its reason. */
export async function standingOf(ports: Ports, request: Request): Promise<Standing> {
  const { account, secretId, policy } = request;
  try {
    const [current, record, pending] = await Promise.all([
      ports.store.readCurrent(),
      ports.store.readRecord(0),
      ports.store.readPending(),
    ]);
    const sinceMs =
      record?.record.rotationId === current.versionId
        ? current.createdAtMs
        : await ports.store.passwordSince(current);
    const standing = record ? ports.holders.standing(record.record.holder) : 'unknown';
    const found = stateOf({ current, record, pending, standing, openIntents: [] }, request);
    return {
      account,
      secretId,
      ...found,
      username: current.credentials.username,
      versionId: current.versionId,
      ...(record?.record.rotationId === undefined ? {} : { rotationId: record.record.rotationId }),
      loginsSpent: record?.record.loginsSpent ?? 0,
      ...ages(sinceMs, ports.clock.nowMs(), policy),
    };
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    return {
      account,
      secretId,
      state: 'unreadable',
      reason: error.reason,
      detail: error.message,
      next: failures[error.reason].next,
    };
  }
}

function ages(sinceMs: number, nowMs: number, policy: Policy) {
  const age = ageDays(sinceMs, nowMs);
  return {
    passwordSinceMs: sinceMs,
    ageDays: age,
    daysLeft: policy.maxAgeDays - age,
    dueAtMs: dueAtMs(sinceMs, policy),
    dueness: dueness(age, policy),
  };
}

function stateOf(
  evidence: Evidence,
  request: Request,
): Pick<Standing, 'state' | 'reason' | 'detail' | 'next'> {
  const found = survey(evidence, request);
  const because = (state: Standing['state'], reason: Reason, detail?: string) => ({
    state,
    reason,
    next: failures[reason].next,
    ...(detail === undefined ? {} : { detail }),
  });
  switch (found.finding) {
    case 'clean':
      return { state: 'settled', next: '' };
    case 'busy':
      return found.record.phase === 'claimed'
        ? because('busy', 'busy')
        : because('in-doubt', 'in-flight');
    case 'promote':
      return because('changed', 'not-promoted');
    case 'examine':
      return because('in-doubt', 'answer-lost');
    case 'stopped':
      return because('stopped', found.record.reason);
    case 'foreign-pending':
      return because('settled', 'foreign-pending', `AWSPENDING is on version ${found.versionId}`);
  }
}
