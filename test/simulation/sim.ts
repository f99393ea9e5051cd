// `npm run sim`: long explorations from a seed, and the replay of one schedule. The first line
// prints the seed; a failure prints the one command that replays it, and exits with 1.

import { parseArgs } from 'node:util';
import { explore, parseScope, replay } from './explore.ts';
import { playRare } from './rare.ts';
import { reachReport } from './reached.ts';
import { exploreSeed } from './swarm.ts';

const { values } = parseArgs({
  options: {
    seed: { type: 'string' },
    runs: { type: 'string', default: '10000' },
    faults: { type: 'string', default: '5' },
    /** Fails when something that can be reached was not. */
    reach: { type: 'boolean', default: false },
    replay: { type: 'string' },
    /**
     * Counted: receipts,session,machines,mishaps,faults and, for two processes at once, switches.
     */
    count: { type: 'string' },
  },
});

// Stacks of errors that are answers cost a third of the time.
if (values.replay === undefined) Error.stackTraceLimit = 0;

const seed = values.seed === undefined ? Math.floor(Math.random() * 2 ** 31) : Number(values.seed);
const [runs, faults] = [Number(values.runs), Number(values.faults)];
const begunMs = performance.now();

try {
  if (values.replay !== undefined) {
    console.log(`replay ${values.replay}`);
    await replay(values.replay);
    console.log('no promise was broken');
  } else if (values.count !== undefined) {
    console.log(`count ${values.count}`);
    tell(await explore(parseScope(values.count)));
  } else {
    console.log(`seed ${seed}, runs ${runs}, faults ${faults}`);
    const total = { worlds: 0, steps: 0, states: 0 };
    for (let run = 0; run < runs; run += 1) {
      const { worlds, steps, states } = await exploreSeed(seed + run, faults);
      total.worlds += worlds;
      total.steps += steps;
      total.states += states;
    }
    tell(total);
    if (values.reach) {
      await playRare();
      reportReached();
    }
  }
} catch (error) {
  console.error(error instanceof Error && error.name === 'Broken' ? error.message : error);
  process.exitCode = 1;
}

function reportReached(): void {
  const { missing, lines } = reachReport();
  console.log(['rarest:', ...lines].join('\n'));
  if (missing.length === 0) return;
  console.error(['never reached:', ...missing].join('\n'));
  process.exitCode = 1;
}

function tell({ worlds, steps, states }: { worlds: number; steps: number; states: number }): void {
  const seconds = (performance.now() - begunMs) / 1000;
  console.log(
    `${worlds} worlds, ${steps} steps, ${states} states between runs explored in ` +
      `${seconds.toFixed(1)} s; no promise was broken`,
  );
}
