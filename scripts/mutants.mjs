// Mutation tests: changes the source in many small ways, one at a time, and runs the tests of that
// room against each. A mutant that no test detects is a survivor; test/survivors.json lists the
// known ones, each with a reason.
//
//   npm run mutants                         a sample of every room
//   npm run mutants -- --rooms rotation --all     every mutant of a room
//   npm run mutants -- --all --seconds 500  in slices: what is known is kept in node_modules/.cache
//   npm run mutants -- --workers 2          two processes side by side
//   npm run mutants -- --retry              survivors again, after tests were added
//   npm run mutants -- --only claim.ts      mutants whose file and line match; what detects each
//   npm run mutants -- --examples            the findings on version 0.1, one by one; --only F3
//   npm run mutants -- --check              only whether test/survivors.json matches the source

import { fork } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { bundleTests } from './mutants/bundle.mjs';
import { examples } from './mutants/examples.mjs';
import { mutate } from './mutants/mutate.mjs';
import { rooms } from './mutants/rooms.mjs';

const root = join(import.meta.dirname, '..');
const cache = join(root, 'node_modules/.cache/mutants');
mkdirSync(cache, { recursive: true });

const { values: options } = parseArgs({
  options: {
    rooms: { type: 'string', default: Object.keys(rooms).join() },
    all: { type: 'boolean', default: false },
    sample: { type: 'string', default: '150' },
    seed: { type: 'string', default: '1' },
    seconds: { type: 'string', default: '100000' },
    workers: { type: 'string', default: '1' },
    retry: { type: 'boolean', default: false },
    only: { type: 'string' },
    check: { type: 'boolean', default: false },
    examples: { type: 'boolean', default: false },
  },
});
const endsAtMs = performance.now() + Number(options.seconds) * 1000;
const hash = (text) => createHash('sha256').update(text).digest('hex').slice(0, 12);
const nameOf = ({ file, within, change, nth }) => `${file} | ${within} | ${change} | ${nth}`;
const read = (path, otherwise) => {
  try {
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    if (error.code === 'ENOENT') return otherwise;
    throw error;
  }
};

/** The mutants of a room, and the code that contains them. */
function mutantsOf(room) {
  const folder = join(root, 'src', room);
  const codes = new Map();
  const mutants = [];
  for (const name of readdirSync(folder, { recursive: true }).sort()) {
    if (!name.endsWith('.ts')) continue;
    const path = join(folder, name);
    const source = readFileSync(path, 'utf8');
    const found = mutate(`${room}/${name}`, source, mutants.length);
    codes.set(path, found.code);
    for (const mutant of found.mutants)
      mutants.push({ ...mutant, name: nameOf(mutant), source: hash(source) });
  }
  return { codes, mutants };
}

/** A process that runs tests; `ask` resolves with its answer, or with null when it was ended. */
function startWorker(bundles) {
  const child = fork(
    join(import.meta.dirname, 'mutants/worker.mjs'),
    [JSON.stringify({ bundles })],
    {
      execArgv: ['--max-old-space-size=2000', '--disable-warning=ExperimentalWarning'],
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
      env: { ...process.env, AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED: 'true' },
    },
  );
  let settle = () => {};
  let timer;
  child.on('message', (message) => {
    if (message.began !== undefined) {
      clearTimeout(timer);
      // A loop that never waits cannot end itself.
      timer = setTimeout(() => child.kill('SIGKILL'), message.limitMs + 5_000);
    } else if (message.broken !== undefined) console.error(`without a mutant: ${message.broken}`);
    else if (message.note !== undefined) console.error(message.note);
    else if (!message.ready) settle(message);
  });
  child.on('exit', () => settle(null));
  return {
    ask: (question) =>
      new Promise((resolve) => {
        settle = (answer) => {
          clearTimeout(timer);
          resolve(answer);
        };
        if (child.exitCode !== null || child.signalCode !== null) settle(null);
        else child.send(question);
      }),
    end: () => child.kill('SIGKILL'),
  };
}

/** A test that is faster than this runs before the slow ones of other files. Milliseconds. */
const fast = 50;

/** A mutant that tests of this length together do not kill has survived. Milliseconds. */
const budget = 20_000;

/**
 * Which tests reach a mutant: first what killed a mutant of the same function, then the fast tests
 * of each file, then the slow ones.
 */
function planFor(id, covered, killers) {
  const plan = [];
  let left = budget;
  for (const at of [0, 1, 2])
    for (const { name, atLoad, tests } of covered) {
      const rank = ({ title, ms }) => (killers.has(`${name}: ${title}`) ? 0 : ms < fast ? 1 : 2);
      const chosen = [];
      for (const { title, ms, ids } of tests.toSorted((one, other) => one.ms - other.ms)) {
        if (rank({ title, ms }) !== at || !(atLoad.includes(id) || ids.includes(id))) continue;
        if (left <= 0) break;
        left -= ms;
        chosen.push({ title, limitMs: Math.max(2_000, 10 * ms) });
      }
      if (chosen.length > 0) plan.push({ name, tests: chosen });
    }
  return plan;
}

/** Every n-th mutant of a shuffle by the seed. */
function sampleOf(mutants) {
  if (options.only !== undefined)
    return mutants.filter(({ file, line }) => `${file}:${line}:`.includes(options.only));
  if (options.all) return mutants;
  return [...mutants]
    .sort((one, other) =>
      hash(options.seed + one.name).localeCompare(hash(options.seed + other.name)),
    )
    .slice(0, Number(options.sample));
}

async function examine(room, listed) {
  const { codes, mutants } = mutantsOf(room);
  const names = new Set(mutants.map(({ name }) => name));
  const unmatched = listed.filter(
    (entry) => entry.file.startsWith(`${room}/`) && !names.has(nameOf(entry)),
  );
  for (const entry of unmatched)
    console.log(`test/survivors.json: no such mutant: ${nameOf(entry)}`);
  if (unmatched.length > 0) process.exitCode = 1;
  if (options.check) return;

  const place = join(cache, `${room}.json`);
  const known = read(place, {});
  const isKnown = ({ name, source }) =>
    options.only === undefined &&
    known[name]?.source === source &&
    !(options.retry && known[name].by === null);
  const chosen = sampleOf(mutants);
  const folder = mkdtempSync(join(cache, 'bundles-'));
  try {
    const open = chosen.filter((mutant) => !isKnown(mutant));
    if (open.length > 0) await tryAll(room, { codes, count: mutants.length }, open, known, folder);
  } finally {
    rmSync(folder, { recursive: true });
    writeFileSync(place, JSON.stringify(known));
  }
  report(room, chosen, known, listed);
}

/** What each test reaches; kept until its bundle changes, which has the test and all mutants. */
async function coverageOf(room, bundles, count, worker) {
  const place = join(cache, `${room}-coverage.json`);
  const kept = read(place, {});
  const keyOf = ({ path }) => hash(readFileSync(path, 'utf8'));
  for (const bundle of bundles) {
    const [{ name }, key] = [bundle, keyOf(bundle)];
    if (kept[name]?.key === key) continue;
    const answer = await worker.ask({ do: 'cover', count, name });
    if (answer === null) throw new Error(`${name} ended its process`);
    kept[name] = { key, covered: answer.covered };
    writeFileSync(place, JSON.stringify(kept));
  }
  return bundles.map(({ name }) => kept[name].covered);
}

async function tryAll(room, { codes, count }, open, known, folder) {
  const bundles = await bundleTests(rooms[room].tests, (path) => codes.get(path), folder);
  const first = startWorker(bundles);
  const covered = await coverageOf(room, bundles, count, first);
  const killersOf = new Map();
  const queue = [...open.entries()];
  /** One process, with one mutant after the other. */
  const work = async (_, number) => {
    let worker = number === 0 ? first : startWorker(bundles);
    while (queue.length > 0 && performance.now() < endsAtMs) {
      const [index, mutant] = queue.shift();
      const { id, name, source, file, within, line, change } = mutant;
      if (index % 25 === 24) console.error(`${room}: ${index + 1} of ${open.length}`);
      const where = `${file} ${within}`;
      const killers = killersOf.get(where) ?? new Set();
      const plan = planFor(id, covered, killers);
      const startedMs = performance.now();
      const tried = plan.length === 0 ? { by: null } : await worker.ask({ do: 'try', id, plan });
      const { by, isTimeout = false } = tried ?? { by: 'the process ended', isTimeout: true };
      const seconds = (performance.now() - startedMs) / 1000;
      known[name] = { source, by, seconds: Number(seconds.toFixed(1)) };
      if (by !== null && tried !== null) killersOf.set(where, killers.add(by));
      if (options.only !== undefined) console.log(`${line} ${within}: ${change}\n    ${by}`);
      if (!isTimeout && tried !== null) continue;
      // What the mutant has left behind may disturb the next one.
      worker.end();
      worker = startWorker(bundles);
    }
    worker.end();
  };
  await Promise.all(Array.from({ length: Number(options.workers) }, work));
}

function report(room, chosen, known, listed) {
  const tried = chosen.filter(({ name, source }) => known[name]?.source === source);
  const survived = tried.filter(({ name }) => known[name].by === null);
  const reasons = new Map(listed.map((entry) => [nameOf(entry), entry]));
  const equivalent = survived.filter(({ name }) => reasons.get(name)?.equivalent);
  const killed = tried.length - survived.length;
  const score = (100 * killed) / Math.max(1, tried.length - equivalent.length);
  const unlisted = survived.filter(({ name }) => !reasons.has(name));
  const { atLeast } = rooms[room];
  console.log(
    `${room}: ${tried.length} of ${chosen.length} mutants tried, ${killed} killed, ` +
      `${survived.length} survived, ${equivalent.length} of them equivalent: ` +
      `${score.toFixed(1)} % (at least ${atLeast} %)`,
  );
  for (const { file, line, within, change, nth } of unlisted)
    console.log(`  src/${file}:${line} ${within}: ${change}${nth > 1 ? ` (${nth})` : ''}`);
  if (score < atLeast) process.exitCode = 1;
}

/** The code of the files that an example changes, by path. */
function changedBy({ title, changes }) {
  const codes = new Map();
  for (const { file, from, to } of changes) {
    const path = join(root, 'src', file);
    const source = codes.get(path) ?? readFileSync(path, 'utf8');
    if (source.split(from).length !== 2)
      throw new Error(`"${title}": ${file} does not have once: ${from}`);
    codes.set(
      path,
      source.replace(from, () => to),
    );
  }
  return codes;
}

/** Each example must be detected by one of its tests. */
async function tryExamples() {
  for (const example of examples) {
    const { title, tests } = example;
    const codes = changedBy(example);
    if (options.check || !title.startsWith(options.only ?? '')) continue;
    const folder = mkdtempSync(join(cache, 'bundles-'));
    const worker = startWorker(await bundleTests(tests, (path) => codes.get(path), folder));
    const answer = await worker.ask({ do: 'all' });
    worker.end();
    rmSync(folder, { recursive: true });
    console.log(`${title}\n    ${answer === null ? 'the process ended' : answer.by}`);
    if (answer?.by === null) process.exitCode = 1;
  }
}

const survivors = read(join(root, 'test/survivors.json'), []);
if (options.examples || options.check) await tryExamples();
if (!options.examples) for (const room of options.rooms.split(',')) await examine(room, survivors);
