// Where an account stands, read-only: what the survey finds, how old the password is, and what to do next.
// For `status`, the status page, the metrics and the report. Contacts only the store; logs in nowhere.

import { nextStep } from './catalogue.ts';
import { survey } from './classify.ts';
import { type Facts, Failure, failures, type Reason } from './failure.ts';
import { ageDays, dueAtMs, dueness } from './policy.ts';
import type { Ports } from './ports.ts';
import type { Evidence, Policy, Request } from './state.ts';

export type AccountStatus = {
  readonly account: string;
  readonly secretId: string;
  /** `settled`: no rotation is in progress. `unreadable`: the store did not give usable data. */
  readonly state: 'settled' | 'busy' | 'in-doubt' | 'changed' | 'stopped' | 'unreadable';
  readonly reason?: Reason;
  readonly detail?: string;
  /** The first step to take, on one line; empty when there is none. */
  readonly next: string;
  /** What is known about a failure, for `explain` (catalogue.ts). */
  readonly facts?: Facts;
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

/** Reads the secret and its attempt record. Never throws a Failure: its reason is in the status. */
export async function readStatus(ports: Ports, request: Request): Promise<AccountStatus> {
  const { account, secretId, store, policy } = request;
  const known: Facts = { account, secretId, store };
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
    const liveness = record ? ports.processes.liveness(record.record.holder) : 'unknown';
    const found = stateOf({ current, record, pending, liveness, openIntents: [] }, request, {
      ...known,
      versionId: current.versionId,
      loginsSpent: record?.record.loginsSpent,
    });
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
    const found = failed(error.reason, { ...known, ...error.facts, detail: error.message });
    // Nothing was read, so nothing is known to be in order.
    const state = found.state === 'settled' ? 'unreadable' : found.state;
    return { account, secretId, ...found, state };
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

type Described = Pick<AccountStatus, 'state' | 'reason' | 'detail' | 'next' | 'facts'>;

/** The reasons for which the state of the password cannot be read from the store. */
const unreadable: readonly Reason[] = [
  'store-unavailable',
  'store-denied',
  'secret-not-found',
  'secret-invalid',
];

/** The state of an account for which this reason is known, from its attempt or from its secret. */
export function stateOfReason(reason: Reason): AccountStatus['state'] {
  if (reason === 'busy') return 'busy';
  if (unreadable.includes(reason)) return 'unreadable';
  const { certainty } = failures[reason];
  if (certainty === 'stopped' || certainty === 'lost') return 'stopped';
  return certainty === 'unchanged' ? 'settled' : certainty;
}

function failed(reason: Reason, facts: Facts): Described {
  const { detail } = facts;
  const next = nextStep(reason, facts);
  const state = stateOfReason(reason);
  return { state, reason, next, facts, ...(detail === undefined ? {} : { detail }) };
}

function stateOf(evidence: Evidence, request: Request, facts: Facts): Described {
  const found = survey(evidence, request);
  switch (found.finding) {
    case 'clean':
      return { state: 'settled', next: '', facts };
    case 'busy':
      return found.record.phase === 'claimed' ? failed('busy', facts) : failed('in-flight', facts);
    case 'promote':
      return failed('not-promoted', facts);
    case 'examine':
      return failed('answer-lost', facts);
    case 'stopped':
      return failed(found.record.reason, {
        ...facts,
        rotationId: found.record.rotationId,
        pendingVersionId: evidence.pending ?? undefined,
      });
    case 'foreign-pending':
      return failed('foreign-pending', {
        ...facts,
        pendingVersionId: found.versionId,
        detail: `AWSPENDING is on version ${found.versionId}`,
      });
  }
}
