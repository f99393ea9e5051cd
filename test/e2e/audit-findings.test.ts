// The findings A1, A10, A11, A13, A14, A15 and A20 on version 0.1, and the commands for auditors,
// on the built program. Each finding fails on 03af53f:
//
//   ROTATOR_DIST=../v01/dist npm run jest -- test/e2e/audit-findings

import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { unzipSync } from 'fflate';
import { generateSigningKey } from '../../src/audit/checkpoint.ts';
import { dayMs, intended, openTestLog, outcome, testClock } from '../harness/audit.ts';
import { type BlackBox, dist, openBlackBox, type RunOptions } from '../harness/black-box.ts';
import { testPart } from '../harness/sample.ts';

/** A quarter of them in each run. */
const sampled = testPart(4);

const noon = (day: string): RunOptions => ({ at: `${day} 12:00:00` });
const keyOf = ({ folder }: BlackBox): string => readFileSync(join(folder, 'audit.key'), 'utf8');
const verifierKeyOf = ({ folder }: BlackBox): string =>
  readFileSync(join(folder, 'audit.key.pub'), 'utf8').trim();
const checkpointsOf = ({ folder }: BlackBox): string[] =>
  readdirSync(join(folder, 'audit', 'checkpoints')).sort();
type Finding = { readonly id: string; readonly kind: string };
const findingsOf = (lines: readonly Readonly<Record<string, unknown>>[]): readonly Finding[] =>
  (lines[0]?.['findings'] as readonly Finding[] | undefined) ?? [];

/** A log from the first day on, with a record every `everyDays`, written into the box. */
async function writeLog(box: BlackBox, first: number, count: number, everyDays: number) {
  const directory = join(box.folder, 'audit');
  const clock = testClock(first);
  const log = await openTestLog({ directory, signingKey: keyOf(box), clock, origin: 'box.test' });
  for (let index = 0; index < count; index += 1) {
    clock.atMs = first + index * everyDays * dayMs;
    await log.append([intended(`r-${index}`, 'east'), outcome(`r-${index}`, 'east')]);
    await log.checkpoint();
  }
  await log.close();
}

// 03af53f: exit code 1, "incomplete".
sampled('A1: an edited record is found after 120 gaps', async () => {
  await using box = await openBlackBox();
  await writeLog(box, Date.UTC(2026, 0, 1), 120, 2);
  const file = join(box.folder, 'audit', 'audit-2026-08.jsonl');
  writeFileSync(file, readFileSync(file, 'utf8').replace('"Success"', '"Failure"'));

  const { code, lines } = await box.run(['audit', 'verify'], noon('2026-08-29'));

  expect([code, lines[0]?.['state']]).toEqual([4, 'altered']);
});

// 03af53f: the report of a silent log exits with 0; `acknowledge` takes any id; and `verify` exits
// with 1 for ever.
sampled('A10, A11, A15: a silent log is incomplete until a person acknowledges it', async () => {
  await using box = await openBlackBox();
  await box.run(['rotate', '--force'], noon('2026-01-01'));
  const period = ['--from', '2026-01-01', '--to', '2026-01-31'];

  const report = await box.run(['audit', 'report', ...period, '--out', 'r'], noon('2026-03-02'));
  const silent = await box.run(['audit', 'verify'], noon('2026-03-02'));
  const [gap] = findingsOf(silent.lines);
  const wrong = await box.run(
    ['audit', 'acknowledge', 'gap:4711', '--note', 'outage'],
    noon('2026-03-02'),
  );
  const right = await box.run(
    ['audit', 'acknowledge', gap?.id ?? 'gap', '--note', 'outage, INC-77'],
    noon('2026-03-02'),
  );
  const after = await box.run(['audit', 'verify'], noon('2026-03-02'));

  expect([report.code, report.lines[0]?.['log']]).toEqual([1, 'incomplete']);
  expect([silent.code, gap?.kind]).toEqual([1, 'gap']);
  expect([wrong.code, right.code, after.code]).toEqual([2, 0, 0]);
  expect(wrong.said).toContain('There is no exception gap:4711.');
  expect(findingsOf(after.lines)).toMatchObject([{ id: gap?.id, level: 'explained' }]);
});

// 03af53f: "altered", exit code 4, for each of them.
sampled('A13: a checkpoint or key that is wrong input is no altered log', async () => {
  await using box = await openBlackBox();
  await box.run(['rotate', '--force']);
  const [name = ''] = checkpointsOf(box);
  const text = readFileSync(join(box.folder, 'audit', 'checkpoints', name), 'utf8');
  const other = generateSigningKey('box.test').verifierKey;
  const given = async (content: string): Promise<[number | null, string]> => {
    writeFileSync(join(box.folder, 'given'), content);
    const { code, said } = await box.run(['audit', 'verify', '--consistent-with', 'given']);
    return [code, said];
  };

  for (const ends of [text.replaceAll('\n', '\r\n'), `\ufeff${text}`, text.trimEnd()])
    expect((await given(ends))[0]).toBe(0);
  expect(await given('no checkpoint')).toEqual([
    2,
    expect.stringContaining('error: given checkpoint 1 is not a checkpoint'),
  ]);
  const key = await box.run(['audit', 'verify', '--key', other]);
  expect(key.code).toBe(2);
  expect(key.said).toContain('and not by a key that was given');
});

// 03af53f: no record, and "altered" with the new key alone.
sampled('A14: a replaced signing key is recorded, and the log stays intact', async () => {
  await using box = await openBlackBox();
  await box.run(['rotate', '--force']);
  const before = verifierKeyOf(box);
  const { signingKey, verifierKey } = generateSigningKey('box.test');
  writeFileSync(join(box.folder, 'audit.key'), signingKey);
  writeFileSync(join(box.folder, 'audit.key.pub'), verifierKey);

  await box.run(['rotate', '--force']);
  const found = await box.run(['audit', 'verify']);
  const [record] = await box
    .run(['audit', 'list', '--event', 'key.rotated'])
    .then((ran) => ran.lines);

  expect(record?.['unmapped']).toMatchObject({
    verifier_key: verifierKey,
    verifier_key_before: before,
  });
  expect([found.code, found.lines[0]?.['keys']]).toEqual([0, [before, verifierKey]]);
});

// 03af53f: there is no `audit archive`; without its oldest month the log is altered, and without
// the cache every rotation is refused.
sampled('A20: archived months are removed with the cache, and everything goes on', async () => {
  await using box = await openBlackBox();
  const audit = join(box.folder, 'audit');
  await writeLog(box, Date.UTC(2026, 0, 1), 52, 7);
  // Each program begins later than the one before, also where a run takes a minute.
  let hour = 0;
  const january = (): RunOptions => ({ at: `2027-01-02 ${String(++hour).padStart(2, '0')}:00:00` });
  const archive = ['audit', 'archive', '--before', '2026-11', '--out', 'bundles'];
  const verify = async () => {
    const { lines } = await box.run(['audit', 'verify'], january());
    const [{ state, root, archivedRecords } = {}] = lines;
    const kinds = findingsOf(lines).map(({ kind }) => kind);
    return { state, root, archivedRecords, kinds: [...new Set(kinds)] };
  };

  const tooNew = await box.run([...archive.slice(0, 3), '2026-12', '--out', 'bundles'], january());
  const written = await box.run(archive, january());
  const before = await verify();
  const removed = await box.run([...archive, '--delete'], january());
  rmSync(join(audit, '.writer'), { recursive: true });
  const after = await verify();
  const rotated = await box.run(['rotate', '--force'], january());

  expect(tooNew.code).toBe(2);
  expect(tooNew.said).toContain('--before takes 2026-11 or an earlier month');
  expect([written.code, removed.code, rotated.code]).toEqual([0, 0, 0]);
  expect(before).toMatchObject({ state: 'incomplete', kinds: ['gap'], archivedRecords: 0 });
  expect(after).toMatchObject({ state: 'incomplete', kinds: ['gap'] });
  expect(after.archivedRecords).toBeGreaterThan(80);
  const months = readdirSync(audit).filter((name) => name.startsWith('audit-'));
  expect(months).toEqual(['audit-2026-11.jsonl', 'audit-2026-12.jsonl', 'audit-2027-01.jsonl']);
  // Restored, the root is that of the complete log.
  const grown = await verify();
  for (const name of readdirSync(join(box.folder, 'bundles')))
    for (const [path, bytes] of Object.entries(
      unzipSync(readFileSync(join(box.folder, 'bundles', name))),
    )) {
      if (/^(audit-|checkpoints\/)/.test(path)) writeFileSync(join(audit, path), bytes);
    }
  const restored = await verify();
  expect(restored).toMatchObject({ state: 'incomplete', kinds: ['gap'], archivedRecords: 0 });
  // The verification before is a record.
  expect(restored.root).not.toBe(grown.root);
});

/** Unpacks a bundle, with one file changed, and runs the script in it. */
function verifyBundle(box: BlackBox, file: string, changed?: string, given: string[] = []) {
  const folder = join(box.folder, `unpacked-${changed?.replaceAll('/', '-') ?? 'all'}`);
  for (const [path, bytes] of Object.entries(unzipSync(readFileSync(join(box.folder, file))))) {
    mkdirSync(join(folder, path, '..'), { recursive: true });
    writeFileSync(join(folder, path), bytes);
    if (path !== changed) continue;
    const edited = Buffer.from(bytes);
    edited[edited.length >> 1] = (edited[edited.length >> 1] ?? 0) ^ 1;
    writeFileSync(join(folder, path), edited);
  }
  const ran = spawnSync('python3', ['verify.py', ...given], { cwd: folder, encoding: 'utf8' });
  return { folder, status: ran.status, out: ran.stdout, error: ran.stderr };
}

/** The files of the bundle, and one of each folder. */
function oneOfEachKind({ folder }: BlackBox): string[] {
  const names = Object.keys(unzipSync(readFileSync(join(folder, 'evidence.zip')))).sort();
  return [...new Map(names.map((name) => [name.split('/')[0], name])).values()];
}

sampled(
  'an evidence bundle is checked with Python and openssl, and any change is found',
  async () => {
    await using box = await openBlackBox();
    await box.run(['rotate', '--force']);
    await box.run(['secret', 'put', 'east'], { input: (await box.current()).document });
    await box.run(['rotate', '--force']);

    const made = await box.run([
      ...['audit', 'bundle', '--from', '2026-01-01', '--to', 'now'],
      ...['--out', 'evidence.zip', '--sample', '9'],
    ]);
    const again = await box.run([
      'audit',
      'bundle',
      '--from',
      '2026-01-01',
      '--out',
      'evidence.zip',
    ]);
    const good = verifyBundle(box, 'evidence.zip', undefined, [verifierKeyOf(box)]);

    expect([made.code, again.code]).toEqual([0, 2]);
    expect(good).toMatchObject({ status: 0, error: '' });
    expect(good.out).toContain('is the key that was given');
    expect(good.out).toMatch(/report [0-9a-f-]+: the three files belong together/);
    expect(good.out.trimEnd().split('\n').at(-1)).toBe('VERIFIED');
    expect(readdirSync(good.folder).sort()).toEqual([
      'README.txt',
      'checkpoints',
      'keys',
      'log',
      'manifest.json',
      'proofs',
      'report.csv',
      'report.html',
      'report.json',
      'verify.py',
    ]);
    const { samples, report_id } = JSON.parse(
      readFileSync(join(good.folder, 'report.json'), 'utf8'),
    );
    // Two rotations from the intent to the outcome, and the change by hand.
    const kinds = samples.drawn.map(({ kind, files }: { kind: string; files: string[] }) => [
      kind,
      files.length > 1,
    ]);
    expect(kinds).toEqual([
      ['rotation', true],
      ['change', true],
      ['rotation', true],
    ]);
    for (const file of ['report.html', 'report.csv'])
      expect(readFileSync(join(good.folder, file), 'utf8')).toContain(report_id);
    // The next test has the other files.
    for (const name of ['report.html', 'README.txt', 'manifest.json'])
      expect([name, verifyBundle(box, 'evidence.zip', name).status]).toEqual([name, 1]);
  },
);

// Without the manifest the signatures decide: who changes a file can make a manifest.
sampled('a bundle with a new manifest is found by its signatures, roots and proofs', async () => {
  await using box = await openBlackBox();
  await box.run(['rotate', '--force']);
  await box.run(['audit', 'bundle', '--from', '2026-01-01', '--out', 'evidence.zip']);
  const script =
    'import hashlib,json,sys\nm=json.load(open("manifest.json"))\n' +
    'for n in m["sha256"]: m["sha256"][n]=hashlib.sha256(open(n,"rb").read()).hexdigest()\n' +
    'json.dump(m,open("manifest.json","w"))';
  const changed = oneOfEachKind(box).filter((name) =>
    /^(log|checkpoints|keys|proofs|report\.[cj])/.test(name),
  );

  for (const name of changed) {
    const { folder } = verifyBundle(box, 'evidence.zip', name);
    spawnSync('python3', ['-c', script], { cwd: folder });
    const ran = spawnSync('python3', ['verify.py'], { cwd: folder, encoding: 'utf8' });
    expect([name, ran.status]).toEqual([name, 1]);
  }
  expect(changed.length).toBe(6);
});

type WitnessProcess = AsyncDisposable & { readonly url: string; readonly key: string };

/** `thingspace-rotator witness`, in its own process. */
async function startWitness(box: BlackBox, port = 0): Promise<WitnessProcess> {
  const child: ChildProcess = spawn(
    process.execPath,
    [
      ...[join(dist, 'cli.js'), 'witness', '--listen', `127.0.0.1:${port}`, '--state', 'witness'],
      ...['--key', 'witness.key', '--log', verifierKeyOf(box)],
    ],
    { cwd: box.folder },
  );
  let said = '';
  const found = await new Promise<RegExpExecArray>((resolve, reject) => {
    const add = (chunk: Buffer): void => {
      said += chunk;
      const key = /(\S+\+[0-9a-f]{8}\+\S+)/.exec(said)?.[1];
      const listening = /Listening on (http:\S+)/.exec(said);
      if (key && listening) resolve(Object.assign(listening, { input: key }));
    };
    child.stdout?.on('data', add);
    child.stderr?.on('data', add);
    child.once('close', () => reject(new Error(said)));
  });
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
  return {
    url: found[1] ?? '',
    key: found.input,
    [Symbol.asyncDispose]: async () => {
      child.kill('SIGKILL');
      await ended;
    },
  };
}

sampled(
  'a witness process cosigns, survives a kill, and its silence delays no rotation',
  async () => {
    await using box = await openBlackBox();
    const first = await startWitness(box);
    const file = join(box.folder, 'rotator.yaml');
    const config = JSON.parse(readFileSync(file, 'utf8'));
    const { url, key } = first;
    writeFileSync(file, JSON.stringify({ ...config, audit: { witnesses: [{ url, key }] } }));
    const verify = ['audit', 'verify', '--witness-policy', '1-of-1'];

    expect((await box.run(['rotate', '--force'])).code).toBe(0);
    const cosigned = await box.run(verify);
    await first[Symbol.asyncDispose]();
    const alone = await box.run(['rotate', '--force']);
    const silent = await box.run(verify);
    const policy = await box.run(['audit', 'verify', '--witness-policy', '2-of-2']);
    await using second = await startWitness(box, Number(new URL(url).port));
    const again = await box.run(verify);

    expect([cosigned.code, cosigned.lines[0]?.['cosignatures']]).toMatchObject([
      0,
      [{ verifierKey: key, time: expect.stringMatching(/^20/) }],
    ]);
    expect(alone.code).toBe(0);
    expect(alone.said).toContain('witness.failed');
    expect([silent.code, findingsOf(silent.lines)[0]?.kind]).toEqual([1, 'witness']);
    expect(policy.code).toBe(2);
    expect(second.key).toBe(key);
    expect(again.code).toBe(0);
    expect(existsSync(join(box.folder, 'witness.key'))).toBe(true);
  },
);
