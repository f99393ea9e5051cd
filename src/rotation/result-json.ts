// The one JSON form of a result: `rotate --json`, the HTTP interface and the functions print it.

import { isoTime } from '../time.ts';
import type { Result } from './state.ts';

/** These fields, in this order; null where there is no value. */
export function resultJson(result: Result) {
  const {
    account,
    secretId,
    outcome,
    certainty,
    reason,
    rotationId,
    versionId,
    ageDays,
    logins,
    startedAtMs,
    endedAtMs,
    deadWindowMs,
    next,
  } = result;
  return {
    account,
    secretId,
    outcome,
    certainty,
    reason: reason ?? null,
    rotationId: rotationId ?? null,
    versionId: versionId ?? null,
    ageDays: ageDays === undefined ? null : rounded(ageDays),
    logins,
    startedAt: isoTime(startedAtMs, true),
    endedAt: isoTime(endedAtMs, true),
    deadWindowMs: deadWindowMs === undefined ? null : Math.round(deadWindowMs),
    next: next === '' ? null : next,
  };
}

/** Days with two decimals. */
export const rounded = (days: number): number => Math.round(days * 100) / 100;
