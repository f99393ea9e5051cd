// Promise 11: no login is sent that evidence at hand makes needless. Each login is judged when the
// attempt has decided on it, by what the store, the receipts and the attempt itself can show then.

import { answersIn, newestRecord, passwordOf, recoveryIdOf } from '../../harness/world.ts';
import type { Process, Simulation } from '../../harness/world-run.ts';

export function needed(simulation: Simulation): string | null {
  for (const { process, password } of simulation.logins.splice(0)) {
    const why = needless(simulation, process, password);
    if (why !== null) return `${process.name} logged in with ${password}, ${why}`;
  }
  return null;
}

function needless({ world, config }: Simulation, process: Process, password: string) {
  const record = newestRecord(world);
  const history = record?.history?.filter(({ as }) => as === 'rotated') ?? [];
  const newest = passwordOf(world, history[0]?.versionId);
  if (
    password !== newest &&
    !process.attempt.isRestored &&
    history.some(({ replaced }) => passwordOf(world, replaced) === password)
  )
    return 'which a closed rotation replaced';
  if (process.attempt.logins.some((one) => one.password === password && one.told === 'refused'))
    return 'which was refused in the same attempt';
  // What follows another process may have changed since the survey.
  if (process.attempt.isDisturbed || !record) return null;
  if (record.phase === 'stopped' && passwordOf(world, record.refused) === password)
    return 'which was refused, and the suspension still applies';
  const { open } = record;
  if (!open) return null;
  const id = open.rotationId;
  const stored = [id, recoveryIdOf(id, record.basis)].some((one) => passwordOf(world, one));
  if (open.verified && passwordOf(world, id) === password) return 'which is verified already';
  // A typed password is given in the place of a receipt.
  if (stored || process.attempt.request?.receipt !== undefined || record.phase === 'resetting')
    return null;
  const isSealed = config.receipts === 'sealed' && world.receipts.has(id);
  if (isSealed) return 'although a receipt of the open rotation waits for its key';
  return answersIn(world).some((answer) => answer.startsWith('<') && answer.includes(id))
    ? 'although the response of the open rotation is kept'
    : null;
}
