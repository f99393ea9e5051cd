// As much of Jest as the tests of the mutated rooms use. It runs test files many times in one
// process, and single tests of them.

import { expect } from 'expect';

/** The tests of a file in their order, and the globals that collect them. */
export function createCollector() {
  const root = { parent: null, before: [], after: [], beforeEach: [], afterEach: [] };
  const tests = [];
  let suite = root;
  const titled = (title) => `${tests.length} ${title}`;
  const test = (title, run) => void tests.push({ title: titled(title), run, suite });
  const rowsOf = (run) => (row) => () => (Array.isArray(row) ? run(...row) : run(row));
  test.each = (rows) => (title, run) => {
    for (const row of rows) test(title, rowsOf(run)(row));
  };
  test.skip = Object.assign(() => {}, { each: () => () => {} });
  const describe = (_title, collect) => {
    suite = { parent: suite, before: [], after: [], beforeEach: [], afterEach: [] };
    collect();
    suite = suite.parent;
  };
  describe.each = (rows) => (title, collect) => {
    for (const row of rows) describe(title, rowsOf(collect)(row));
  };
  const globals = {
    test,
    it: test,
    describe,
    expect,
    beforeAll: (hook) => void suite.before.push(hook),
    afterAll: (hook) => void suite.after.unshift(hook),
    beforeEach: (hook) => void suite.beforeEach.push(hook),
    afterEach: (hook) => void suite.afterEach.unshift(hook),
    jest: { setTimeout() {} },
  };
  return { tests, globals };
}

const suitesOf = (suite) => (suite === null ? [] : [...suitesOf(suite.parent), suite]);

/**
 * Runs these tests until one fails. `begin` is called before each; it returns the limit in
 * milliseconds. Returns the title of the failed test, or null, and whether it ran into its limit.
 */
export async function runTests(tests, begin) {
  const open = new Set();
  const failed = async (test) => {
    const limitMs = begin(test);
    let timer;
    const limit = new Promise((_, reject) => {
      timer = setTimeout(() => reject(timedOut), limitMs);
    });
    try {
      await Promise.race([runTest(test, open), limit]);
      return null;
    } catch (error) {
      return { title: test.title, error, isTimeout: error === timedOut };
    } finally {
      clearTimeout(timer);
    }
  };
  let failure = null;
  for (const test of tests) {
    failure = await failed(test);
    if (failure !== null) break;
  }
  if (!failure?.isTimeout)
    for (const suite of [...open].reverse())
      for (const hook of suite.after)
        await Promise.resolve()
          .then(hook)
          .catch(() => {});
  return failure;
}

const timedOut = new Error('the limit of a test');

async function runTest({ run, suite }, open) {
  const suites = suitesOf(suite);
  for (const one of suites) {
    if (open.has(one)) continue;
    open.add(one);
    for (const hook of one.before) await hook();
  }
  try {
    for (const one of suites) for (const hook of one.beforeEach) await hook();
    await run();
  } finally {
    for (const one of [...suites].reverse()) for (const hook of one.afterEach) await hook();
  }
}
