// Bundles each test file with the mutated source of a room.

import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { build } from 'esbuild';

const root = join(import.meta.dirname, '../..');

/** `codeOf(path)`: the code of a mutated file; undefined for others. Returns name and path. */
export async function bundleTests(tests, codeOf, outdir) {
  const mutated = {
    name: 'mutated',
    setup(builder) {
      builder.onResolve({ filter: /\/exploring\.ts$/ }, () => ({
        path: join(root, 'scripts/mutants/exploring.ts'),
      }));
      builder.onResolve({ filter: /^@jest\/globals$/ }, () => ({
        path: 'jest',
        namespace: 'jest',
      }));
      builder.onLoad({ filter: /./, namespace: 'jest' }, () => ({
        contents: `module.exports = { test, it, describe, expect, jest, beforeAll, afterAll,
          beforeEach, afterEach };`,
      }));
      builder.onLoad({ filter: /\.tsx?$/ }, async ({ path }) => {
        const source = codeOf(path) ?? (await readFile(path, 'utf8'));
        const contents = source
          .replaceAll('import.meta.dirname', JSON.stringify(dirname(path)))
          .replaceAll('import.meta.url', JSON.stringify(`file://${path}`));
        return { contents, loader: path.endsWith('x') ? 'tsx' : 'ts' };
      });
    },
  };
  await build({
    entryPoints: Object.fromEntries(
      tests.map((name) => [name, join(root, 'test', `${name}.test.ts`)]),
    ),
    outdir,
    bundle: true,
    packages: 'external',
    platform: 'node',
    target: 'node20',
    format: 'cjs',
    jsx: 'automatic',
    jsxImportSource: 'hono/jsx',
    logLevel: 'error',
    plugins: [mutated],
  });
  return tests.map((name) => ({ name, path: join(outdir, `${name}.js`) }));
}
