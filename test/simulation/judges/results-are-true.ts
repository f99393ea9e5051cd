// "Four outcomes": what a run says about the password is so.

import { currentOf, newestRecord } from '../../harness/world.ts';
import type { Process, Simulation } from '../../harness/world-run.ts';

/** Checks each result once, when it arrives. */
export function resultsAreTrue(simulation: Simulation): string | null {
  for (const process of simulation.processes) {
    if (process.judged === process.results.length) continue;
    process.judged = process.results.length;
    const wrong = untruth(simulation, process);
    if (wrong) return wrong;
  }
  return null;
}

function untruth(
  { world }: Simulation,
  { name, attempts, results, loginOrder }: Process,
): string | null {
  const result = results.at(-1);
  const current = currentOf(world);
  // A person, or the next rotation of somebody else, may have come between the verifying login and
  // this.
  const isOurs =
    !world.byHand.has(current.value.password) &&
    !world.resets.some(({ sentOrder }) => sentOrder > loginOrder);
  if (
    result?.certainty === 'rotated' &&
    result.versionId === current.id &&
    isOurs &&
    current.value.password !== world.live
  )
    return 'the run says rotated, but AWSCURRENT does not log in';
  const isPromoted = world.promotions.some(({ to }) => to === result?.versionId);
  if (result?.outcome === 'rotated' && !isPromoted)
    return 'the run says rotated, but AWSCURRENT was never moved';
  if (result?.certainty !== 'unchanged') return null;
  const isOfThis = (one: { process: string; attempt: number }): boolean =>
    one.process === name && one.attempt === attempts;
  if (world.resets.some((reset) => isOfThis(reset) && reset.fate !== 'dropped'))
    return `the run says unchanged (${result.reason}), although its reset may have happened`;
  // Restoring the password of a closed rotation changes nothing at Verizon.
  const closed = newestRecord(world)?.history ?? [];
  const isNew = ({ to }: { to: string }): boolean =>
    !closed.some(({ as, rotationId }) => as === 'rotated' && to.startsWith(`${rotationId}>`));
  return world.promotions.some((promotion) => isOfThis(promotion) && isNew(promotion))
    ? `the run says unchanged (${result.reason}), although it made a new password current`
    : null;
}
