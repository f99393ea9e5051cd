// Promise 2: AWSCURRENT is only moved to a password that a reset response gave, the newest one. It
// never moves from a valid password to an invalid one, nor from an edit of another key to a version
// without that edit.

import { shortId } from '../../harness/world.ts';
import type { Simulation } from '../../harness/world-run.ts';

export function onlyResetAnswers({ world }: Simulation): string | null {
  const promotion = world.promotions.at(-1);
  if (!promotion || promotion.order !== world.order) return null;
  const { was, wasPassword, password, isEditKept } = promotion;
  const to = shortId(promotion.to);
  // A person may have read it in the bytes of a truncated response.
  if (!world.answers.some((answer) => answer.password === password) && password !== world.live)
    return `AWSCURRENT was moved to ${to}, whose value no reset response gave`;
  if (password !== world.live && password !== world.answers.at(-1)?.password)
    return `AWSCURRENT was moved to ${to}, although a newer reset was answered`;
  if (wasPassword === world.live && password !== world.live)
    return `AWSCURRENT was moved from ${shortId(was)}, whose password is valid, to ${to}`;
  return isEditKept
    ? null
    : `AWSCURRENT was moved to ${to}, which lacks what somebody edited in ${shortId(was)}`;
}
