// Writes docs/CONFIGURATION.md and docs/rotator.schema.json from the one schema. `--check` writes
// nothing and exits 1 when a file is out of date.

import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { build } from 'esbuild';

const root = join(import.meta.dirname, '..');
const bundle = join(root, 'node_modules', '.cache', `docs-${process.pid}.mjs`);

await build({
  stdin: {
    contents:
      "export { describeConfig } from './src/config/load.ts';" +
      "export { keysOf, nodeAt, variableOf } from './src/config/environment.ts';",
    resolveDir: root,
  },
  outfile: bundle,
  bundle: true,
  platform: 'node',
  format: 'esm',
  mainFields: ['module', 'main'],
  logLevel: 'error',
});
const { describeConfig, keysOf, nodeAt, variableOf } = await import(
  pathToFileURL(bundle).href
).finally(() => rmSync(bundle));

const introduction = `# Configuration

<!-- Made by scripts/docs.mjs from src/config/schema.ts; a test holds it up to date. -->

The program reads \`rotator.yaml\` (YAML or JSON) in the working folder. \`--config FILE\` or
\`ROTATOR_CONFIG\` names another file. Relative paths start from the folder of that file. An unknown
key or an invalid value is an error with exit code 2. The error names the key, the place and the
accepted values, and never prints the value of a secret.

Every key can be set in the environment, which overrides the file:
\`${variableOf(['thingspace', 'baseUrl'])}\` sets \`thingspace.baseUrl\`.
\`__\` separates the parts of a key.
\`_\` inside a part and letter case are ignored. A list or a section is JSON
(\`ROTATOR_ACCOUNTS='[{"name":"fleet-east"}]'\`), or one variable per index and key
(\`${variableOf(['accounts', 0, 'name'])}\`). Commas separate the items of a list of texts.
No file is needed if \`ROTATOR_\` variables exist.

For completion and checks in an editor, start the file with

\`\`\`yaml
# yaml-language-server: $schema=./node_modules/thingspace-rotator/docs/rotator.schema.json
\`\`\`
`;

/** The published JSON Schema, for editors. `accepts` is an extension of ours and is left out. */
function publishedSchema() {
  const publish = (value) => {
    if (Array.isArray(value)) return value.map(publish);
    if (typeof value !== 'object' || value === null) return value;
    return Object.fromEntries(
      Object.entries(value).flatMap(([key, inner]) =>
        key === 'accepts' ? [] : [[key, publish(inner)]],
      ),
    );
  };
  return `${JSON.stringify(publish(describeConfig()), null, 2)}\n`;
}

/** docs/CONFIGURATION.md. */
function configurationPage() {
  const keys = keysOf(describeConfig());
  const sections = keys.filter(({ path }) => path.length === 1);
  const tables = sections.map(({ path, node }) => {
    const name = path[0] ?? '';
    const rows = keys.filter((key) => key.path[0] === name && !isSection(key.node)).map(rowOf);
    const about = isSection(node) ? [node.description ?? '', ''] : [];
    return [
      `## ${name}`,
      '',
      ...about,
      '| Key | Takes | Default | |',
      '| --- | --- | --- | --- |',
      ...rows,
      '',
    ].join('\n');
  });
  return `${introduction}\n${tables.join('\n')}`;
}

const isSection = (node) =>
  node.accepts === undefined ||
  (node.type === 'array' &&
    node.items !== undefined &&
    node.items !== false &&
    node.items.properties !== undefined);

function rowOf({ path, node }) {
  const steps = path.map((step) => (step === '[]' ? 0 : step));
  const isRequired = nodeAt(describeConfig(), steps.slice(0, -1))?.required?.includes(steps.at(-1));
  const key = path.join('.').replaceAll('.[]', '[]');
  const fallback = isRequired
    ? 'required'
    : node.default === undefined
      ? ''
      : `\`${JSON.stringify(node.default).replace(/^"|"$/g, '')}\``;
  const cells = [`\`${key}\``, cell(node.accepts ?? ''), fallback, cell(node.description ?? '')];
  return `| ${cells.join(' | ')} |`;
}

const cell = (text) => text.replaceAll('|', '\\|').replaceAll('*', '\\*');

const files = {
  'docs/CONFIGURATION.md': configurationPage(),
  'docs/rotator.schema.json': publishedSchema(),
};
for (const [name, text] of Object.entries(files)) {
  const file = join(root, name);
  if (!process.argv.includes('--check')) writeFileSync(file, text);
  else if (readFileSync(file, 'utf8') !== text) {
    console.error(`${name} is out of date: node scripts/docs.mjs`);
    process.exitCode = 1;
  }
}
