// `npm run sim -- --seed N --runs M --faults K`: bundles the simulation into a temporary folder and
// runs it there.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { buildSync } from 'esbuild';

const folder = mkdtempSync(join(tmpdir(), 'thingspace-rotator-sim-'));
try {
  const outfile = join(folder, 'sim.mjs');
  buildSync({
    entryPoints: [join(import.meta.dirname, '../test/simulation/sim.ts')],
    outfile,
    bundle: true,
    format: 'esm',
    platform: 'node',
    target: 'node20',
    logLevel: 'error',
  });
  await import(pathToFileURL(outfile).href);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
