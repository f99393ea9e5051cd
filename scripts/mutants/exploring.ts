// Replaces test/simulation/exploring.ts in a mutation run: explores in this process, and less.

import { explore, parseScope } from '../../test/simulation/explore.ts';
import { exploreSeed } from '../../test/simulation/swarm.ts';

// More faults, ways or seeds would take minutes for each mutant.
const seeds = 100;
const ways = ['readable,stays,many'];

export async function exploring(...options: string[]): Promise<number> {
  const optionOf = (name: string): string => options[options.indexOf(name) + 1] ?? '';
  if (options.includes('--count')) {
    const scope = optionOf('--count');
    if (ways.some((way) => scope.startsWith(`${way},`)))
      await explore({ ...parseScope(scope), mishaps: 'core', faults: 1 });
    return Number.POSITIVE_INFINITY;
  }
  const runs = Number(optionOf('--runs'));
  for (let run = 0; run < Math.min(runs, seeds); run += 1)
    await exploreSeed(Number(optionOf('--seed')) + run, Number(optionOf('--faults')));
  return runs;
}
