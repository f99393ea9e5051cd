// Runs tests against mutants, in a process that its parent ends when a mutant never returns.
//
//   { do: 'cover', count, name }  runs a file without a mutant; answers what each test reaches
//   { do: 'all' }                 runs every test until one fails
//   { do: 'try', id, plan }       runs the tests of the plan with one mutant until one fails

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { types } from 'node:util';
import { constants, Script } from 'node:vm';
import { createCollector, runTests } from './harness.mjs';

// All cases, whatever the hour: a survivor today is one tomorrow.
process.env['MATRIX'] = 'complete';

const root = join(import.meta.dirname, '../..');
const require = createRequire(join(root, 'package.json'));
const { bundles } = JSON.parse(process.argv[2]);
const parameters = ['require', 'module', 'exports', '__mutant', '__isNamespace', 'test', 'it'];
parameters.push('describe', 'expect', 'beforeAll', 'afterAll', 'beforeEach', 'afterEach', 'jest');
/** esbuild's import of a package in CommonJS; a package may also be a module that has a default. */
const readBundle = (path) =>
  readFileSync(path, 'utf8').replace(
    /__toESM\((require\("[^"]+"\)), 1\)/g,
    '__toESM($1, __isNamespace($1) ? 0 : 1)',
  );

const scripts = new Map(
  bundles.map(({ name, path }) => {
    const code = `(function (${parameters.join(', ')}) {${readBundle(path)}\n})`;
    const importModuleDynamically = constants.USE_MAIN_CONTEXT_DEFAULT_LOADER;
    return [name, new Script(code, { filename: path, importModuleDynamically })];
  }),
);

// A mutant may leave promises behind that nobody waits for.
process.on('unhandledRejection', () => {});
process.on('uncaughtException', () => {});

/** Evaluates a test file anew; `isActive` says whether a mutant is on. */
function load(name, isActive) {
  const { tests, globals } = createCollector();
  const module = { exports: {} };
  const given = { require, module, exports: module.exports, __mutant: isActive, ...globals };
  given.__isNamespace = types.isModuleNamespaceObject;
  scripts.get(name).runInThisContext()(...parameters.map((parameter) => given[parameter]));
  return tests;
}

const secondsSince = (ms) => ((performance.now() - ms) / 1000).toFixed(1);

async function cover(count, name) {
  const beganMs = performance.now();
  const reached = new Uint8Array(count);
  const takeReached = () => {
    const ids = [...reached.keys()].filter((id) => reached[id] === 1);
    reached.fill(0);
    return ids;
  };
  const tests = load(name, (id) => {
    reached[id] = 1;
    return false;
  });
  const atLoad = takeReached();
  const found = [];
  for (const test of tests) {
    const startedMs = performance.now();
    const failure = await runTests([test], () => 300_000);
    if (failure !== null) {
      takeReached();
      process.send({
        broken: `${name}: ${failure.title}: ${String(failure.error?.message).split('\n')[0]}`,
      });
      continue;
    }
    found.push({ title: test.title, ms: performance.now() - startedMs, ids: takeReached() });
  }
  process.send({ note: `${name}: ${found.length} tests in ${secondsSince(beganMs)} s` });
  return { name, atLoad, tests: found };
}

/** Plan: files in order, each with titles and limits. */
async function tryMutant(id, plan) {
  const isActive = (asked) => asked === id;
  for (const { name, tests: wanted } of plan) {
    let tests;
    try {
      tests = new Map(load(name, isActive).map((test) => [test.title, test]));
    } catch {
      return { by: `${name}: cannot be loaded` };
    }
    const chosen = wanted.map(({ title }) => tests.get(title));
    if (chosen.includes(undefined)) return { by: `${name}: other tests` };
    const limits = new Map(wanted.map(({ title, limitMs }) => [title, limitMs]));
    const failure = await runTests(chosen, ({ title }) => {
      const limitMs = limits.get(title);
      process.send({ began: title, limitMs });
      return limitMs;
    });
    if (failure !== null) return { by: `${name}: ${failure.title}`, isTimeout: failure.isTimeout };
  }
  return { by: null };
}

async function tryAll() {
  for (const name of scripts.keys()) {
    const failure = await runTests(
      load(name, () => false),
      () => 60_000,
    );
    if (failure !== null) return { by: `${name}: ${failure.title}` };
  }
  return { by: null };
}

process.on('message', async (message) => {
  if (message.do === 'cover') process.send({ covered: await cover(message.count, message.name) });
  else if (message.do === 'all') process.send(await tryAll());
  else process.send({ tried: message.id, ...(await tryMutant(message.id, message.plan)) });
});
// The parent was ended: nobody waits for an answer.
process.on('disconnect', () => process.exit());
process.send({ ready: true });
