// `npm run sim -- --seed N --runs M --faults K`: bundles the simulation into a temporary folder and
// runs it there.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { build } from 'esbuild';

/** The loop gets the machine that counts what was reached. */
const counting = {
  name: 'counting',
  setup: ({ onResolve }) =>
    onResolve({ filter: /^\.\/machine\.ts$/ }, ({ importer }) =>
      importer.endsWith('rotation/rotate.ts')
        ? { path: join(import.meta.dirname, '../test/simulation/reached-machine.ts') }
        : undefined,
    ),
};

const folder = mkdtempSync(join(tmpdir(), 'thingspace-rotator-sim-'));
try {
  const outfile = join(folder, 'sim.mjs');
  await build({
    entryPoints: [join(import.meta.dirname, '../test/simulation/sim.ts')],
    outfile,
    bundle: true,
    format: 'esm',
    platform: 'node',
    target: 'node20',
    logLevel: 'error',
    plugins: [counting],
  });
  await import(pathToFileURL(outfile).href);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
