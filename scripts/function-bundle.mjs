// Bundles the functions for a fast cold start. scripts/package.mjs zips the result and
// bench/startup.mjs measures it. One entry, and chunks that are loaded only if the configuration
// needs them (S3, KMS, SQS, age).

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { build, transform } from 'esbuild';

const root = join(import.meta.dirname, '..');
const outdir = '.package/function';

/**
 * Leaves out what a function never uses: the configuration file, secrets and keys on a disk, the
 * Prometheus endpoint. `bowser` parses the user agent of a browser.
 */
const absent = {
  name: 'absent',
  setup({ onResolve, onLoad }) {
    onResolve(
      { filter: /\/(yaml|file-store|age-key|file-segments)\.ts$|^prom-client$|^bowser/ },
      ({ path, kind }) => {
        if (kind === 'dynamic-import') return { path, namespace: 'absent' };
      },
    );
    onLoad({ filter: /.*/, namespace: 'absent' }, ({ path }) => ({
      contents: `throw new Error('${path} is not part of the function');`,
    }));
  },
};

/**
 * got loads HTTP/2 and a cache, and uses them only with `http2: true` and `cache`;
 * thingspace/http.ts sets both to false.
 */
const unused = {
  name: 'unused',
  setup({ onResolve, onLoad }) {
    const filter = /^(http2-wrapper|cacheable-request)$/;
    onResolve({ filter }, ({ path }) => ({ path, namespace: 'unused' }));
    onLoad({ filter: /.*/, namespace: 'unused' }, () => ({
      contents: 'export default class {} export class CacheError extends Error {}',
    }));
  },
};

/**
 * A function's credentials are in its environment. The SDK's code for nine other places is 110 kB.
 */
const credentials = {
  name: 'credentials',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^@aws-sdk\/credential-provider-node$/ }, () => ({
      path: 'credentials',
      namespace: 'credentials',
    }));
    onLoad({ filter: /.*/, namespace: 'credentials' }, () => ({
      resolveDir: join(root, 'node_modules/@aws-sdk/client-secrets-manager'),
      contents: `export { fromEnv as defaultProvider } from '@aws-sdk/credential-provider-env';`,
    }));
  },
};

/**
 * The files of the zip ({ path, contents }), and esbuild's account of what is in them. `cjs`, what
 * is deployed: esbuild splits ESM only, so its chunks are translated one by one afterwards. `esm`:
 * as esbuild splits them. `single`: everything in one file.
 */
export async function bundleFunction({ format = 'cjs', ...overrides } = {}) {
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const extension = format === 'esm' ? '.mjs' : '.js';
  const { outputFiles, metafile } = await build({
    absWorkingDir: root,
    entryPoints: { lambda: 'src/lambda.ts' },
    outdir,
    bundle: true,
    platform: 'node',
    target: 'node24',
    minify: true,
    // Packages that offer both are taken as ESM: 140 kB less.
    mainFields: ['module', 'main'],
    define: { ROTATOR_VERSION: JSON.stringify(version), 'process.env.NODE_ENV': '"production"' },
    legalComments: 'none',
    metafile: true,
    logLevel: 'warning',
    write: false,
    plugins: [absent, unused, credentials],
    ...(format === 'single'
      ? { format: 'cjs' }
      : {
          format: 'esm',
          splitting: true,
          outExtension: { '.js': extension },
          chunkNames: 'chunks/[name]-[hash]',
          // winston and its dependencies are CommonJS and call `require` for modules of Node.
          ...(format === 'esm'
            ? {
                banner: {
                  js: `import { createRequire as __createRequire } from 'node:module';
const require = __createRequire(import.meta.url);`,
                },
              }
            : {}),
        }),
    ...overrides,
  });
  const prefix = join(root, outdir, '/');
  const files = await Promise.all(
    outputFiles.map(async ({ path, text }) => {
      const code = format === 'cjs' ? await toCommonJs(text) : text;
      return { path: path.slice(prefix.length), contents: Buffer.from(code) };
    }),
  );
  return { files, metafile };
}

async function toCommonJs(text) {
  const { code } = await transform(text, {
    format: 'cjs',
    platform: 'node',
    target: 'node24',
    minify: true,
    legalComments: 'none',
    // import() becomes require(), which the compile cache and the runtime's loader know.
    supported: { 'dynamic-import': false },
  });
  return code;
}

/**
 * Bytes of an output and of what it imports, statically unless `isLazy` says that an import()
 * counts.
 */
export function loadedBytes(outputs, entry, isLazy = () => false) {
  const seen = new Set();
  const visit = (path) => {
    if (seen.has(path)) return;
    seen.add(path);
    for (const { path: next, kind } of outputs[path]?.imports ?? []) {
      if (outputs[next] && (kind !== 'dynamic-import' || isLazy(next))) visit(next);
    }
  };
  visit(entry);
  return { files: seen.size, bytes: [...seen].reduce((sum, path) => sum + outputs[path].bytes, 0) };
}
