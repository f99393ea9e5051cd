// The one JSON form of a result: what `rotate --json`, the HTTP interface and the functions return.
// The fields and their order are an interface.

import { isoTime } from '../time.ts';
import type { Result } from './state.ts';

export type ResultJson = ReturnType<typeof resultJson>;

/** The fields of `rotate --json`; null where there is no value. Never a secret. */
export function resultJson(result: Result) {
  const { ageDays, deadWindowMs, dueAtMs, endedAtMs } = result;
  return {
    account: result.account,
    secretId: result.secretId,
    outcome: result.outcome,
    certainty: result.certainty,
    reason: result.reason ?? null,
    rotationId: result.rotationId ?? null,
    versionId: result.versionId ?? null,
    ageDays: ageDays === undefined ? null : rounded(ageDays),
    due: dueAtMs === undefined ? null : dueAtMs <= endedAtMs,
    nextDueAt: dueAtMs === undefined ? null : isoTime(dueAtMs),
    logins: result.logins,
    startedAt: isoTime(result.startedAtMs, true),
    endedAt: isoTime(result.endedAtMs, true),
    deadWindowMs: deadWindowMs === undefined ? null : Math.round(deadWindowMs),
    next: result.next === '' ? null : result.next,
  };
}

/** Days with two decimals. */
export const rounded = (days: number): number => Math.round(days * 100) / 100;
