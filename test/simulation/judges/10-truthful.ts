// Promise 10: exit code 0 is never given while AWSCURRENT does not log in and the program could
// know it. It could know when a rotation is open or a closed rotation has replaced that password.

import { currentOf, newestRecord } from '../../harness/world.ts';
import type { Simulation } from '../../harness/world-run.ts';

/** Checks the newest result of each process once; `results-are-true` counts them. */
export function truthful({ world, processes }: Simulation): string | null {
  for (const process of processes) {
    if (process.judged === process.results.length) continue;
    const result = process.results.at(-1);
    const current = currentOf(world);
    if (!result || result.reason !== undefined || result.outcome === 'checked') continue;
    // A person's own word is believed; what a person stores meanwhile, nobody can know.
    if (result.outcome === 'settled' || result.versionId !== current.id) continue;
    // A login of this run was accepted: whatever made the password invalid came after it.
    if (current.value.password === world.live || result.logins > 0) continue;
    const record = newestRecord(world);
    const replaced = (record?.history ?? []).some(
      ({ as, replaced: id }) =>
        as === 'rotated' &&
        world.versions.get(id ?? '')?.value?.password === current.value.password,
    );
    if (replaced)
      return `the run says ${result.outcome}, although AWSCURRENT holds a replaced password`;
    // Another process may have begun the next rotation after this one's last login.
    const sent = world.resets.find(({ rotationId }) => rotationId === record?.open?.rotationId);
    if (record?.open && sent && sent.sentOrder < process.loginOrder)
      return `the run says ${result.outcome}, although rotation ${record.open.rotationId} is open`;
  }
  return null;
}
