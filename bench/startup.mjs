// Measures cold starts: the function's bundle in several formats, what each dependency adds to it,
// and the command line. Each figure is a ratio to a bare Node in the same run. Runs are interleaved
// and medians are reported, so that other load affects all equally.
//
//   node bench/startup.mjs [--runs 21] [--node PATH]   PATH: the Node to measure; default: this one
//
// Limits (issue 6, point 7): a function loads at most 700 kB minified; `--version` takes at most
// 1.5 times as long as a bare Node.

import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { build } from 'esbuild';
import { bundleFunction, loadedBytes } from '../scripts/function-bundle.mjs';

const { values } = parseArgs({
  options: {
    runs: { type: 'string', default: '21' },
    node: { type: 'string', default: process.execPath },
  },
});
const runs = Number(values.runs);
const root = join(import.meta.dirname, '..');
const folder = mkdtempSync(join(tmpdir(), 'startup-'));
const put = (path, contents) => {
  mkdirSync(dirname(join(folder, path)), { recursive: true });
  writeFileSync(join(folder, path), contents);
  return join(folder, path);
};
const kB = (bytes) => `${Math.round(bytes / 1000)} kB`;

const shapes = {};
for (const format of ['cjs', 'esm', 'single']) {
  const { files, metafile } = await bundleFunction({ format });
  for (const { path, contents } of files) put(join(format, path), contents);
  shapes[format] = {
    metafile,
    bytes: files.reduce((sum, { contents }) => sum + contents.length, 0),
    files: files.length,
  };
}
const { outputs } = shapes.cjs.metafile;
const entry = Object.keys(outputs).find((path) => path.endsWith('/lambda.js'));
const of =
  (...names) =>
  (path) =>
    names.some((name) => outputs[path].entryPoint?.includes(name));
const always = loadedBytes(outputs, entry);
const withSecrets = loadedBytes(outputs, entry, of('stores/secrets-manager'));
const withAudit = loadedBytes(
  outputs,
  entry,
  of('stores/secrets-manager', 'aws/s3-objects', 'audit/object-segments', 'aws/kms-signer'),
);
const withAll = loadedBytes(
  outputs,
  entry,
  of(
    'stores/secrets-manager',
    'aws/s3-objects',
    'audit/object-segments',
    'aws/kms-signer',
    'age-encryption',
    'aws/sqs-queue',
  ),
);

/** The chunk that a configuration loads after the entry, by the source file that it starts with. */
const chunkOf = (name) => Object.keys(outputs).find(of(name))?.replace('.package/function/', './');
const requires = (...names) =>
  ['./lambda.js', ...names.map(chunkOf)]
    .map((path) => `require(${JSON.stringify(path)});`)
    .join('\n');
const configured = [
  'stores/secrets-manager',
  'aws/s3-objects',
  'audit/object-segments',
  'aws/kms-signer',
  'age-encryption',
];

const compileCache = JSON.stringify(join(folder, 'cache'));
const programs = {
  'bare Node': [put('bare.cjs', '')],
  'bare Node, ESM': [put('bare.mjs', '')],
  'CJS in chunks (deployed): entry': [put('cjs/entry.cjs', requires())],
  'CJS in chunks (deployed): entry, Secrets Manager': [
    put('cjs/secrets.cjs', requires('stores/secrets-manager')),
  ],
  'CJS in chunks (deployed): entry, Secrets Manager, S3, KMS, age': [
    put('cjs/all.cjs', requires(...configured)),
  ],
  'CJS in chunks, with a filled compile cache: the same': [
    put(
      'cjs/cached.cjs',
      `require('node:module').enableCompileCache?.(${compileCache});\n${requires(...configured)}`,
    ),
  ],
  'CJS in one file: entry': [put('single/entry.cjs', "require('./lambda.js');")],
  'ESM in chunks: entry': [put('esm/entry.mjs', "import './lambda.mjs';")],
};

const dependencies = [
  'got',
  'zod',
  'winston',
  '@aws-sdk/client-secrets-manager',
  '@aws-sdk/client-s3',
  '@aws-sdk/client-kms',
  '@aws-sdk/client-sqs',
  'age-encryption',
];
const alone = {};
for (const name of dependencies) {
  const path = join(folder, 'alone', `${name.replace(/\W/g, '-')}.cjs`);
  await build({
    absWorkingDir: root,
    stdin: { contents: `import * as all from '${name}'; globalThis.all = all;`, resolveDir: root },
    outfile: path,
    bundle: true,
    platform: 'node',
    target: 'node24',
    format: 'cjs',
    minify: true,
    mainFields: ['module', 'main'],
    define: { 'process.env.NODE_ENV': '"production"' },
    legalComments: 'none',
    logLevel: 'error',
  });
  alone[name] = path;
  programs[`only ${name}`] = [path];
}
const cli = join(root, 'dist/cli.js');
if (existsSync(cli)) programs['command line: --version'] = [cli, '--version'];

const environment = { PATH: process.env.PATH, HOME: folder };
function once(args) {
  const startedMs = performance.now();
  const { status, stderr } = spawnSync(values.node, args, {
    env: environment,
    stdio: 'pipe',
    encoding: 'utf8',
  });
  if (status !== 0)
    throw new Error(`${args.join(' ')} ended with ${status}: ${stderr.slice(0, 500)}`);
  return performance.now() - startedMs;
}
const times = Object.fromEntries(Object.keys(programs).map((name) => [name, []]));
for (const args of Object.values(programs)) once(args);
for (let run = 0; run < runs; run += 1)
  for (const [name, args] of Object.entries(programs)) times[name].push(once(args));
const median = (name) => times[name].sort((a, b) => a - b)[Math.floor(runs / 2)];
const floor = median('bare Node');

const measured = spawnSync(values.node, ['--version'], { encoding: 'utf8' }).stdout.trim();
console.log(`Node ${measured}, ${runs} runs, medians; bare Node ${floor.toFixed(0)} ms`);
console.log('\n| start | ms | × bare Node | over it |\n| --- | ---: | ---: | ---: |');
for (const name of Object.keys(programs)) {
  const ms = median(name);
  const over = Math.max(0, ms - floor).toFixed(0);
  console.log(`| ${name} | ${ms.toFixed(0)} | ${(ms / floor).toFixed(2)} | ${over} ms |`);
}

console.log('\n| loaded at a cold start, minified | size | files |\n| --- | ---: | ---: |');
console.log(`| always | ${kB(always.bytes)} | ${always.files} |`);
console.log(`| and Secrets Manager | ${kB(withSecrets.bytes)} | ${withSecrets.files} |`);
console.log(`| and audit in S3, signed by KMS | ${kB(withAudit.bytes)} | ${withAudit.files} |`);
console.log(`| and receipts, and the work queue | ${kB(withAll.bytes)} | ${withAll.files} |`);
console.log(`| the complete zip, unpacked | ${kB(shapes.cjs.bytes)} | ${shapes.cjs.files} |`);
console.log(`| in one file | ${kB(shapes.single.bytes)} | 1 |`);

console.log('\n| in the bundle | minified |\n| --- | ---: |');
const by = {};
for (const { inputs } of Object.values(outputs)) {
  for (const [path, { bytesInOutput }] of Object.entries(inputs)) {
    const name = /node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(path)?.[1] ?? 'our own';
    by[name] = (by[name] ?? 0) + bytesInOutput;
  }
}
const ranked = Object.entries(by).sort((a, b) => b[1] - a[1]);
for (const [name, bytes] of ranked.slice(0, 15)) console.log(`| ${name} | ${kB(bytes)} |`);
const rest = ranked.slice(15).reduce((sum, [, bytes]) => sum + bytes, 0);
console.log(`| ${ranked.length - 15} more | ${kB(rest)} |`);

const version = existsSync(cli) ? median('command line: --version') / floor : 0;
const bars = [
  [`a function loads ${kB(withSecrets.bytes)} (at most 700 kB)`, withSecrets.bytes <= 700_000],
  [`--version is ${version.toFixed(2)} × a bare Node (at most 1.5)`, version <= 1.5],
];
console.log('');
for (const [what, isMet] of bars) console.log(`${isMet ? 'met' : 'MISSED'}: ${what}`);
if (bars.some(([, isMet]) => !isMet)) process.exitCode = 1;
rmSync(folder, { recursive: true, force: true });
