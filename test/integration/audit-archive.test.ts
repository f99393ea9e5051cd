// Retention: months are archived, removed and restored. A20: on 03af53f a log without its oldest
// month was "altered", and without the writer's cache every rotation was refused.

import { spawnSync } from 'node:child_process';
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { unzipSync } from 'fflate';
import { type ArchivedMonth, archivedMonths } from '../../src/audit/archive.ts';
import { isBundleOf, zipBundle } from '../../src/audit/bundle-files.ts';
import {
  describeKey,
  generateSigningKey,
  openSigningKey,
  parseVerifierKey,
} from '../../src/audit/checkpoint.ts';
import { openFileSource, removeMonths, storeFrontier } from '../../src/audit/file-segments.ts';
import { parseFrontier, signFrontier } from '../../src/audit/frontier.ts';
import { checkProof, proveRecord } from '../../src/audit/proof.ts';
import { listRecords } from '../../src/audit/query.ts';
import { verifyLog } from '../../src/audit/verify.ts';
import { buildReport } from '../../src/report/build.ts';
import type { AuditEvent } from '../../src/rotation/event.ts';
import { Failure } from '../../src/rotation/failure.ts';
import {
  dayMs,
  intended,
  linesIn,
  openTestLog,
  origin,
  outcome,
  removeTempFolders,
  type TestLog,
  tempFolder,
  testClock,
} from '../harness/audit.ts';

afterEach(removeTempFolders);

const january = Date.UTC(2026, 0, 1);
/** A rotation a week. */
const gapMs = 8 * dayMs;
const yearFolder = mkdtempSync(join(tmpdir(), 'audit-year-'));

const promoted = (rotationId: string): AuditEvent => {
  return outcome(rotationId, 'idle', { code: 'secret.promoted', secretId: 'thingspace/b' });
};

/** A rotation a week. */
let year: TestLog;
beforeAll(async () => {
  year = await openTestLog({ directory: join(yearFolder, 'audit'), clock: testClock(january) });
  await year.append([
    { code: 'inventory.changed', change: 'added', account: 'fleet-a', secretId: 'thingspace/a' },
    { code: 'inventory.changed', change: 'added', account: 'idle', secretId: 'thingspace/b' },
    intended('r-idle', 'idle'),
    promoted('r-idle'),
    outcome('r-idle', 'idle'),
  ]);
  for (let week = 0; week < 52; week += 1) {
    year.clock.atMs = january + 7 * week * dayMs;
    await year.append([intended(`r-${week}`), outcome(`r-${week}`)]);
    await year.checkpoint();
  }
  await year.close();
}, 60_000);
afterAll(() => rmSync(yearFolder, { recursive: true }));

/** A copy of the year, open for writing. */
function yearLog(): Promise<TestLog> {
  const directory = join(tempFolder(), 'audit');
  cpSync(year.directory, directory, { recursive: true });
  const { signingKey, clock } = year;
  return openTestLog({ directory, signingKey, clock: testClock(clock.atMs) });
}

/** Archives the months before `before`, as the command does, and removes them. */
async function archive(log: TestLog, before: string): Promise<ArchivedMonth[]> {
  const { signer, source, directory } = log;
  const months: ArchivedMonth[] = [];
  for await (const month of archivedMonths({ source, before, origin, signer })) {
    await storeFrontier(directory, log.clock, month.size, month.frontier.text);
    months.push(month);
  }
  await removeMonths(
    directory,
    log.clock,
    months.map(({ month }) => month),
    months.at(-1)?.size ?? 0,
  );
  return months;
}

/** Restores months, as `unzip` does. */
function restore(directory: string, months: readonly ArchivedMonth[]): void {
  for (const { files } of months)
    for (const [name, content] of Object.entries(unzipSync(zipBundle(files)))) {
      if (!/^(audit-|checkpoints\/|frontiers\/)/.test(name)) continue;
      mkdirSync(join(directory, name, '..'), { recursive: true });
      writeFileSync(join(directory, name), content);
    }
}

test('ten of twelve months and the cache are removed, and everything goes on', async () => {
  const log = await yearLog();
  const { directory, signingKey, verifier, clock } = log;
  const verifiers = [verifier];
  const before = await verifyLog(log.source, { verifiers, gapMs });
  const oldProof = (await proveRecord(log.source, '5')) ?? '';
  const kept = before.newest?.text ?? '';
  const early = readFileSync(join(directory, 'checkpoints', '000000000008.checkpoint'), 'utf8');

  const months = await archive(log, '2026-11');
  await log.close();
  rmSync(join(directory, '.writer'), { recursive: true });

  expect(months.map(({ month }) => month)).toEqual(
    Array.from({ length: 10 }, (_, index) => `2026-${String(index + 1).padStart(2, '0')}`),
  );
  expect(readdirSync(directory).sort()).toEqual([
    'audit-2026-11.jsonl',
    'audit-2026-12.jsonl',
    'checkpoints',
    'frontiers',
  ]);
  const archivedRecords = months.at(-1)?.size ?? 0;
  const source = openFileSource(directory, testClock());
  const { archivedRecords: _, checkpoints: __, firstTimeMs: ___, ...same } = before;
  const after = await verifyLog(source, { verifiers, gapMs, consistentWith: [kept] });
  expect(after).toMatchObject({ ...same, anchors: [before.records], archivedRecords });

  // Writing goes on without a cache, and knows what the archived months say.
  const again = await openTestLog({ directory, signingKey, clock });
  expect((await again.rotationsOf('idle')).last?.rotationId).toBe('r-idle');
  clock.atMs += dayMs;
  await again.append([intended('r-new'), outcome('r-new')]);
  await again.checkpoint();
  await again.close();
  const grown = await verifyLog(source, { verifiers, gapMs, consistentWith: [kept] });
  expect(grown).toMatchObject({ state: 'intact', records: before.records + 2 });

  // Proofs, old and new.
  expect(checkProof(oldProof, verifiers)).toMatchObject({ proven: true, index: 5 });
  for (const index of [archivedRecords, archivedRecords + 1, before.records, before.records + 1]) {
    const proof = (await proveRecord(source, String(index))) ?? '';
    expect(checkProof(proof, verifiers)).toMatchObject({ proven: true, index });
  }
  expect(await proveRecord(source, '5')).toBeNull();

  // A checkpoint of archived records cannot be compared, and that is said.
  const early_ = await verifyLog(source, { verifiers, gapMs, consistentWith: [early] });
  expect(early_).toMatchObject({ state: 'incomplete', counts: { archived: 1 } });

  // Restored, the root is the same.
  restore(directory, months);
  const restored = await verifyLog(source, { verifiers, gapMs, consistentWith: [kept, early] });
  expect(restored).toMatchObject({
    state: 'intact',
    root: grown.root,
    archivedRecords: 0,
    anchors: [8, before.records],
  });
}, 60_000);

test('one month that is restored continues at the frontier in its bundle', async () => {
  const log = await yearLog();
  const { verifier, source } = log;
  const { root } = await verifyLog(source, { verifiers: [verifier], gapMs });
  const months = await archive(log, '2026-11');
  await log.close();

  restore(log.directory, months.slice(-1));

  expect(await verifyLog(source, { verifiers: [verifier], gapMs })).toMatchObject({
    state: 'intact',
    root,
    archivedRecords: months.at(-2)?.size,
  });
}, 60_000);

test('a reader has the newest state of each account after an archive', async () => {
  const log = await yearLog();
  await archive(log, '2026-11');
  await archive(log, '2026-12');
  await log.close();

  const read: string[] = [];
  for await (const { view } of listRecords(log.source, { untilMs: Date.UTC(2026, 11, 1) }))
    read.push(`${view.code} ${view.account} ${view.rotationId ?? ''}`.trim());

  expect(read).toEqual([
    'inventory.changed fleet-a',
    'inventory.changed idle',
    'rotation.intended idle r-idle',
    'secret.promoted idle r-idle',
    'rotation.outcome idle r-idle',
    'rotation.intended fleet-a r-47',
    'rotation.outcome fleet-a r-47',
  ]);
}, 60_000);

test('a report says that its period begins in an archived month', async () => {
  const log = await yearLog();
  await archive(log, '2026-11');
  const { source, verifier } = log;
  const nowMs = log.clock.atMs;
  await log.close();
  const reportFrom = (fromMs: number) =>
    buildReport({
      source,
      verifiers: [verifier],
      fromMs,
      toMs: nowMs,
      nowMs,
      origin,
      accounts: null,
      store: null,
      policy: { maxAgeDays: 90, rotateAfterDays: 75 },
    });

  await expect(reportFrom(january)).rejects.toThrow(
    'The period begins in a month that is archived: the log holds records after 2026-10-29',
  );
  const { report } = await reportFrom(Date.UTC(2026, 10, 1));
  // The inventory and the last change of both are archived, and are carried.
  expect(report.rows.map(({ account, lastChange }) => [account, lastChange !== null])).toEqual(
    expect.arrayContaining([
      ['fleet-a', true],
      ['idle', true],
    ]),
  );
});

test('a new log names the last checkpoint of the one before it', async () => {
  const old = await yearLog();
  const last = await old.checkpoint();
  await old.close();

  const next = await openTestLog({ predecessor: async () => last });
  await next.close();

  const [genesis = ''] = linesIn(next.directory);
  expect(JSON.parse(genesis).unmapped.predecessor).toBe(
    last.text.split('\n').slice(0, 3).join(' '),
  );
});

test('what is changed after an archive is altered: records, frontier, missing months', async () => {
  const log = await yearLog();
  const { verifier, directory } = log;
  const months = await archive(log, '2026-11');
  await log.close();
  const after = async (change: (copy: string) => void) => {
    const copy = join(tempFolder(), 'audit');
    cpSync(directory, copy, { recursive: true });
    change(copy);
    const { state } = await verifyLog(openFileSource(copy, testClock()), {
      verifiers: [verifier],
      gapMs,
    });
    return state;
  };
  const frontier = months.at(-1)?.frontier.name ?? '';
  const november = 'audit-2026-11.jsonl';
  const edit = (name: string, from: string | RegExp, to: string) => (copy: string) => {
    const path = join(copy, name);
    writeFileSync(path, readFileSync(path, 'utf8').replace(from, to));
  };

  expect(await after(() => undefined)).toBe('intact');
  expect(await after(edit(november, '"Success"', '"Failure"'))).toBe('altered');
  expect(await after(edit(frontier, /\nstate .{40}/, '\nstate x'))).toBe('altered');
  expect(await after((copy) => rmSync(join(copy, frontier)))).toBe('altered');
  expect(await after((copy) => rmSync(join(copy, november)))).toBe('altered');
}, 60_000);

test('months that were moved without an archive are named by the writer', async () => {
  const log = await yearLog();
  const { directory, signingKey, clock } = log;
  await log.close();
  rmSync(join(directory, 'audit-2026-01.jsonl'));
  rmSync(join(directory, '.writer'), { recursive: true });

  const failure = await openTestLog({ directory, signingKey, clock }).catch((error) => error);

  expect(failure).toBeInstanceOf(Failure);
  expect(failure.facts.cause).toBe('log-begins-later');
  expect(failure.message).toMatch(/it begins with record \d+, and no frontier of that record/);
}, 60_000);

// Before: the writer went on from any frontier whose hashes are consistent.
test('the writer goes on only from a frontier that a key of the log signed', async () => {
  const log = await yearLog();
  const { directory, signingKey, verifier, signer, clock } = log;
  const months = await archive(log, '2026-11');
  await log.close();
  const next = generateSigningKey(origin).signingKey;
  const { name = '', text = '' } = months.at(-1)?.frontier ?? {};
  const frontier = parseFrontier(text);
  if (!frontier) throw new Error('no frontier');
  const { tree } = frontier;
  const state = JSON.parse(frontier.state);
  /** The same frontier, which does not know a rotation, signed by another key. */
  const forged = (key: string): Promise<string> =>
    signFrontier(origin, tree, JSON.stringify({ ...state, rotated: [], key }), [
      openSigningKey(next),
    ]);
  const write = (content: string): void => {
    writeFileSync(join(directory, name), content);
    rmSync(join(directory, '.writer'), { recursive: true, force: true });
  };
  const open = async (key = signingKey): Promise<string> => {
    const opened = await openTestLog({ directory, signingKey: key, clock }).catch((error) => error);
    if (opened instanceof Failure) return `${opened.facts.cause}: ${opened.message}`;
    await opened.checkpoint();
    await opened.close();
    return 'open';
  };

  write(text.replace(/^(— \S+ .{20})(.)/m, (_, head, one) => head + (one === '/' ? '+' : '/')));
  const damaged = await open();
  write(await forged(signer.verifierKey));
  const named = await open();
  write(await forged(openSigningKey(next).verifierKey));
  const names = await open();
  write('no frontier');
  const none = await open();

  const begins = `audit log ${directory}: it begins with record ${tree.size}, and`;
  const byOther = `is signed by another key: ${describeKey(openSigningKey(next))}`;
  const file = name.replace('frontiers/', '');
  expect([damaged, named, names, none]).toEqual([
    `log-begins-later: ${begins} ${file} has an invalid signature`,
    `log-begins-later: ${begins} ${file} ${byOther}`,
    `log-begins-later: ${begins} ${file} ${byOther}`,
    `log-begins-later: ${begins} no frontier of that record exists`,
  ]);

  // Another key takes over, and the cache is lost again when it is in use.
  write(text);
  expect(await open(next)).toBe('open');
  write(text);
  expect(await open(next)).toBe('open');
  const verifiers = [parseVerifierKey(openSigningKey(next).verifierKey)];
  expect(
    await verifyLog(openFileSource(directory, testClock()), { verifiers, gapMs }),
  ).toMatchObject({
    state: 'intact',
    keys: expect.arrayContaining([verifier.verifierKey]),
  });
}, 60_000);

test('verify.py checks a bundle with Python and openssl, and finds a change', async () => {
  const log = await yearLog();
  const [january_, february] = await archive(log, '2026-11');
  await log.close();
  const run = (month: ArchivedMonth | undefined, edits: Record<string, string> = {}) => {
    const folder = tempFolder();
    const zip = zipBundle(month?.files ?? new Map());
    for (const [name, content] of Object.entries(unzipSync(zip))) {
      mkdirSync(join(folder, name, '..'), { recursive: true });
      writeFileSync(join(folder, name), edits[name] ?? content);
    }
    const { status, stdout, stderr } = spawnSync('python3', [join(folder, 'verify.py')], {
      encoding: 'utf8',
    });
    return [status, stdout.trim().split('\n').at(-1), stderr.trim()];
  };

  expect(isBundleOf(zipBundle(february?.files ?? new Map()), february?.files ?? new Map())).toBe(
    true,
  );
  expect(run(january_)).toEqual([0, 'VERIFIED', '']);
  expect(run(february)).toEqual([0, 'VERIFIED', '']);
  const line = String(february?.files.get('audit-2026-02.jsonl'));
  expect(run(february, { 'audit-2026-02.jsonl': line.replace('fleet-a', 'fleet-b') })).toEqual([
    1,
    '',
    'NOT VERIFIED: audit-2026-02.jsonl has another SHA-256 than manifest.json says',
  ]);
}, 120_000);
