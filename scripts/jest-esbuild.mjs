// Jest's TypeScript transformer: esbuild removes the types; `npm run check` checks them.
import { createHash } from 'node:crypto';
import { transformSync, version } from 'esbuild';

export default {
  getCacheKey: (source, path) =>
    createHash('sha256').update(`${version}\0${path}\0${source}`).digest('hex'),
  process(source, path) {
    const { code, map } = transformSync(source, {
      loader: path.endsWith('x') ? 'tsx' : 'ts',
      jsx: 'automatic',
      jsxImportSource: 'hono/jsx',
      format: 'esm',
      target: 'node20',
      sourcefile: path,
      sourcemap: 'both',
      sourcesContent: false,
    });
    return { code, map };
  },
};
