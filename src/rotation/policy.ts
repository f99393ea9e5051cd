// When a password is due, and how old it is. Ages are of the password, in days of 24 hours; nothing
// here reads a clock.

import { dayMs, parseIso } from '../time.ts';
import type { ClosedRotation } from './record.ts';
import type { Policy, Request } from './state.ts';

/** Age in days, never below 0 (a clock may have stepped back since). */
export function ageDays(sinceMs: number, nowMs: number): number {
  return Math.max(0, nowMs - sinceMs) / dayMs;
}

/** The due state at this age. `overdue` is past Verizon's recommendation (maxAgeDays). */
export function dueness(age: number, policy: Policy): 'not-due' | 'due' | 'overdue' {
  if (age > policy.maxAgeDays) return 'overdue';
  return age >= policy.rotateAfterDays ? 'due' : 'not-due';
}

/** When an exemption ends, which includes its last day; UTC milliseconds, undefined without one. */
export function exemptUntilMs({ exempt }: { readonly exempt?: { readonly until: string } }) {
  const lastDayMs = exempt && parseIso(exempt.until);
  return lastDayMs == null ? undefined : lastDayMs + dayMs;
}

/** Whether the policy does not apply now, because somebody approved that. */
export const isExemptAt = (account: Parameters<typeof exemptUntilMs>[0], nowMs: number): boolean =>
  nowMs < (exemptUntilMs(account) ?? 0);

/** How far the clock of the store may differ from this one; milliseconds. */
export const clockToleranceMs = 300_000;

/** When the policy asks for the next rotation; UTC milliseconds. */
export function dueAtMs(sinceMs: number, policy: Policy): number {
  return sinceMs + policy.rotateAfterDays * dayMs;
}

/**
 * The rotation that an earlier delivery of this order started and that may have changed the
 * password; undefined: there is none.
 */
export const orderedBefore = (
  { keyDigest }: Pick<Request, 'keyDigest'>,
  history: readonly ClosedRotation[] | undefined,
): ClosedRotation | undefined =>
  keyDigest === undefined
    ? undefined
    : history?.find((one) => one.keyDigest === keyDigest && one.as !== 'not-applied');

/**
 * Whether a password of this age is rotated for this request. An order that was delivered before
 * starts no second reset: it forces nothing, and after a rotation whose end is not known it waits
 * for an order with another key, or none.
 */
export function isDue(
  request: Pick<Request, 'force' | 'keyDigest' | 'policy'>,
  history: readonly ClosedRotation[] | undefined,
  age: number,
): boolean {
  const isOld = dueness(age, request.policy) !== 'not-due';
  const before = orderedBefore(request, history);
  return before === undefined ? request.force || isOld : before.as === 'rotated' && isOld;
}
