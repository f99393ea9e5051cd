// The audit events that close a rotation or say how far it is. Pure.

import type { AuditEvent } from '../event.ts';
import type { Reason } from '../failure.ts';
import { dueAtMs } from '../policy.ts';
import type { SecretVersion } from '../ports.ts';
import type { ClosedRotation } from '../record.ts';
import { auditOf } from '../result.ts';
import type { State } from '../state.ts';

const details: Record<ClosedRotation['as'], string | undefined> = {
  rotated: undefined,
  'not-applied': 'the reset did not happen',
  superseded: 'a password from elsewhere is valid; the one of this rotation is not needed any more',
  abandoned: 'an operator closed this rotation; its password is not known',
};

const statuses = {
  rotated: ['success', 'rotated'],
  'not-applied': ['failure', 'unchanged'],
  superseded: ['unknown', 'in-doubt'],
  abandoned: ['unknown', 'in-doubt'],
} as const;

/**
 * The event that closes a rotation in the audit log; `reconciled` where an earlier attempt began
 * it.
 */
export function closed(
  state: State,
  current: SecretVersion,
  { rotationId, as, versionId, replaced, sinceMs }: ClosedRotation,
  code: 'rotation.outcome' | 'rotation.reconciled' = 'rotation.reconciled',
): AuditEvent {
  const [status, certainty] = statuses[as];
  const detail = details[as];
  const { username } = current.credentials;
  return auditOf(state, code, status, {
    rotationId,
    username,
    certainty,
    detail,
    versionBefore: replaced,
    versionAfter: versionId,
    verifiedBy: as === 'rotated' ? 'login' : undefined,
    passwordSinceMs: sinceMs,
    nextDueMs: sinceMs === undefined ? undefined : dueAtMs(sinceMs, state.request.policy),
  });
}

/** The outcome of a rotation that ended without its password being current. */
export function outcomeOf(
  state: State,
  current: SecretVersion,
  facts: {
    readonly rotationId: string;
    readonly reason: Reason;
    readonly detail?: string | undefined;
    readonly certainty: 'unchanged' | 'changed' | 'in-doubt';
  },
): AuditEvent {
  const status = facts.certainty === 'unchanged' ? 'failure' : 'unknown';
  return auditOf(state, 'rotation.outcome', status, {
    ...facts,
    username: current.credentials.username,
    versionBefore: current.versionId,
  });
}
