// Promise 2: AWSCURRENT is only moved to a password that a reset response gave, the newest one. It
// never moves from a valid password to an invalid one, nor from an edit of another key to a version
// without that edit.

import type { Simulation } from '../../harness/world-run.ts';

export function onlyResetAnswers({ world }: Simulation): string | null {
  const promotion = world.promotions.at(-1);
  if (!promotion || promotion.order !== world.order) return null;
  const { to, was } = promotion;
  const password = world.versions.get(to)?.value?.password;
  if (!world.answers.some((answer) => answer.password === password))
    return `AWSCURRENT was moved to ${to}, whose value no reset response gave`;
  if (password !== world.answers.at(-1)?.password)
    return `AWSCURRENT was moved to ${to}, although a newer reset was answered`;
  const replaced = world.versions.get(was)?.value;
  if (replaced?.password === world.live && password !== world.live)
    return `AWSCURRENT was moved from ${was}, whose password is valid, to ${to}`;
  return replaced?.note === world.versions.get(to)?.value?.note
    ? null
    : `AWSCURRENT was moved to ${to}, which lacks what somebody edited in ${was}`;
}
