// When a password is due, and how old it is. Ages are of the password, in days of 24 hours; nothing
// here reads a clock.

import { parseIso } from '../time.ts';
import type { Policy } from './state.ts';

export const dayMs = 86_400_000;

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

/** When the policy asks for the next rotation; UTC milliseconds. */
export function dueAtMs(sinceMs: number, policy: Policy): number {
  return sinceMs + policy.rotateAfterDays * dayMs;
}
