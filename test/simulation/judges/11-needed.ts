// Promise 11: no login is sent with a password that a closed rotation replaced, nor with one that
// ThingSpace has rejected in a suspension that still holds.

import type { Simulation } from '../../harness/world-run.ts';

export function needed({ logins }: Simulation): string | null {
  for (const { password, process, replaced } of logins.splice(0))
    if (replaced) return `${process} logged in with ${password}, which a closed rotation replaced`;
  return null;
}
