// Builds dist/: one ESM file per entry point, and chunks for shared code, so that a command loads
// only what it needs. `npm run check` checks the types. node_modules/.cache/build-meta.json lists
// what is in the bundle.

import { chmodSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'esbuild';

const root = join(import.meta.dirname, '..');
const dist = join(root, 'dist');
const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));

const { metafile, outputFiles } = await build({
  absWorkingDir: root,
  entryPoints: {
    cli: 'src/cli.ts',
    lambda: 'src/lambda.ts',
    'report-worker': 'src/server/report-worker.ts',
  },
  outdir: 'dist',
  chunkNames: 'chunks/[name]-[hash]',
  bundle: true,
  splitting: true,
  platform: 'node',
  target: 'node20',
  format: 'esm',
  // Packages that offer both are taken as ESM: 140 kB less.
  mainFields: ['module', 'main'],
  // winston and its dependencies are CommonJS and call `require` for modules of Node.
  banner: {
    js: `import { createRequire as __createRequire } from 'node:module';
const require = __createRequire(import.meta.url);`,
  },
  define: { ROTATOR_VERSION: JSON.stringify(version) },
  keepNames: true,
  minifySyntax: true,
  legalComments: 'linked',
  metafile: true,
  logLevel: 'warning',
  // Written below, after a successful build.
  write: false,
});

// Writes new files before it removes old ones, because a program may be running from dist/.
mkdirSync(join(dist, 'chunks'), { recursive: true });
for (const { path, contents } of outputFiles) writeFileSync(path, contents);
const current = new Set(outputFiles.map(({ path }) => path));
for (const folder of [dist, join(dist, 'chunks')]) {
  const files = readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isFile());
  for (const { name } of files) if (!current.has(join(folder, name))) rmSync(join(folder, name));
}
chmodSync(join(dist, 'cli.js'), 0o755);

const cache = join(root, 'node_modules', '.cache');
mkdirSync(cache, { recursive: true });
writeFileSync(join(cache, 'build-meta.json'), JSON.stringify(metafile));
