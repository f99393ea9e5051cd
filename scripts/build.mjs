// Builds dist/: one ESM file per entry point, and what they share in chunks, so that a command loads only what it needs.
// The types are checked by `npm run check`. The metafile goes to node_modules/.cache, for who asks what is in the bundle.

import { chmodSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'esbuild';

const root = join(import.meta.dirname, '..');
const dist = join(root, 'dist');
const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));

const { metafile, outputFiles } = await build({
  absWorkingDir: root,
  entryPoints: ['src/cli.ts', 'src/lambda.ts'],
  outdir: 'dist',
  chunkNames: 'chunks/[name]-[hash]',
  bundle: true,
  splitting: true,
  platform: 'node',
  target: 'node20',
  format: 'esm',
  // Packages that offer both are taken as ESM: 140 kB less.
  mainFields: ['module', 'main'],
  // winston and its kin are CommonJS inside and call require for Node's own modules.
  banner: {
    js: "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);",
  },
  define: { ROTATOR_VERSION: JSON.stringify(version) },
  keepNames: true,
  minifySyntax: true,
  legalComments: 'linked',
  metafile: true,
  logLevel: 'warning',
  // Written below, when nothing failed.
  write: false,
});

// What is new first and what is stale last, so that a program that runs from dist/ meanwhile finds its chunks.
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
