// Every way in which a log can be altered is found, and an unchanged log is intact.

import {
  appendFileSync,
  copyFileSync,
  cpSync,
  existsSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { openSigningKey, parseVerifierKey, signCheckpoint } from '../../src/audit/checkpoint.ts';
import { openFileSource } from '../../src/audit/file-segments.ts';
import { leafHash, Tree } from '../../src/audit/merkle.ts';
import { type Verification, verifyLog } from '../../src/audit/verify.ts';
import {
  dayMs,
  filledLog,
  intended,
  openTestLog,
  origin,
  outcome,
  removeTempFolders,
  type TestLog,
  tempFolder,
  testClock,
} from '../harness/audit.ts';

afterAll(removeTempFolders);

let pristine: TestLog;
let anchor: string;
beforeAll(async () => {
  pristine = await filledLog(12, 3);
  await pristine.close();
  anchor = readFileSync(
    join(pristine.directory, 'checkpoints', names(pristine.directory).at(-1) ?? ''),
    'utf8',
  );
});

const names = (directory: string): string[] => readdirSync(join(directory, 'checkpoints')).sort();
const logFile = (directory: string): string => join(directory, 'audit-2026-03.jsonl');
const linesOf = (directory: string): string[] =>
  readFileSync(logFile(directory), 'utf8').split('\n').slice(0, -1);
const store = (directory: string, lines: readonly string[]): void =>
  writeFileSync(logFile(directory), lines.map((line) => `${line}\n`).join(''));
const renumber = (lines: readonly string[]): string[] =>
  lines.map((line, index) => line.replace(/"sequence":\d+/, `"sequence":${index}`));
const at = (lines: readonly string[], index: number): string => lines[index] ?? '';

/** A copy of the log, changed, and what `verify` says of it. */
async function after(
  change: (directory: string) => void | Promise<void>,
  consistentWith: string[] = [],
): Promise<Verification> {
  const directory = join(tempFolder(), 'audit');
  cpSync(pristine.directory, directory, { recursive: true });
  await change(directory);
  return verifyLog(openFileSource(directory, testClock()), {
    verifiers: [pristine.verifier],
    consistentWith,
  });
}
const kinds = ({ findings }: Verification): string[] => [
  ...new Set(findings.map(({ kind }) => kind)),
];
const change = (edit: (lines: string[]) => readonly string[]) => (directory: string) =>
  store(directory, edit(linesOf(directory)));

/** Signs every checkpoint anew over what the file now holds, as one who has the key could. */
async function resign(directory: string, signingKey: string): Promise<void> {
  const signer = openSigningKey(signingKey);
  const lines = linesOf(directory);
  for (const name of names(directory)) {
    const size = Math.min(Number.parseInt(name, 10), lines.length);
    const tree = new Tree();
    for (const line of lines.slice(0, size)) tree.append(leafHash(Buffer.from(line)));
    rmSync(join(directory, 'checkpoints', name));
    const text = await signCheckpoint(origin, size, tree.root(), [signer]);
    writeFileSync(
      join(directory, 'checkpoints', `${String(size).padStart(12, '0')}.checkpoint`),
      text,
    );
  }
}

test('an unchanged log is intact, and still is after more records', async () => {
  const verification = await after(() => undefined, [anchor]);
  expect(verification).toMatchObject({
    state: 'intact',
    exitCode: 0,
    records: 25,
    sealedRecords: 25,
    checkpoints: 4,
    anchors: [25],
    findings: [],
  });

  const continued = await after(
    async (directory) => {
      const clock = testClock(pristine.clock.atMs + dayMs);
      const log = await openTestLog({ directory, signingKey: pristine.signingKey, clock });
      await log.append([intended('r-new'), outcome('r-new')]);
      await log.checkpoint();
      await log.close();
    },
    [anchor],
  );
  expect(continued).toMatchObject({ state: 'intact', records: 27, anchors: [25] });
});

test('any single flipped bit of any record is found', async () => {
  const bytes = readFileSync(logFile(pristine.directory));
  for (let place = 0; place < bytes.length; place += 211) {
    const verification = await after((directory) => {
      const flipped = Buffer.from(bytes);
      flipped[place] = (flipped[place] ?? 0) ^ (1 << (place % 8));
      writeFileSync(logFile(directory), flipped);
    });
    expect([place, verification.exitCode]).toEqual([place, 4]);
  }
});

test.each<[string, (lines: string[]) => readonly string[], string]>([
  [
    'a value is changed and the JSON stays valid',
    (lines) =>
      lines.map((line, index) => (index === 7 ? line.replace('"fleet-a"', '"fleet-z"') : line)),
    'root',
  ],
  ['a record is deleted', (lines) => lines.filter((_, index) => index !== 7), 'sequence'],
  [
    'a record is deleted and the rest is renumbered',
    (lines) => renumber(lines.filter((_, index) => index !== 7)),
    'root',
  ],
  [
    'two records are swapped',
    (lines) => [...lines.slice(0, 7), at(lines, 8), at(lines, 7), ...lines.slice(9)],
    'sequence',
  ],
  [
    'two records are swapped and renumbered',
    (lines) => renumber([...lines.slice(0, 7), at(lines, 8), at(lines, 7), ...lines.slice(9)]),
    'root',
  ],
  [
    'a record is forged in',
    (lines) => renumber([...lines.slice(0, 7), at(lines, 5), ...lines.slice(7)]),
    'root',
  ],
  ['the tail is dropped', (lines) => lines.slice(0, 20), 'shortened'],
  [
    'the last record is edited',
    (lines) => [
      ...lines.slice(0, -1),
      at(lines, lines.length - 1).replace('"Success"', '"Failure"'),
    ],
    'root',
  ],
  [
    'a number is there twice',
    (lines) =>
      lines.map((line, index) =>
        index === 9 ? line.replace('"sequence":9', '"sequence":8') : line,
      ),
    'sequence',
  ],
  [
    'a line is replaced by something else',
    (lines) => lines.map((line, index) => (index === 9 ? '{}' : line)),
    'not-a-record',
  ],
  ['the log is emptied', () => [], 'shortened'],
])('%s: found', async (_, edit, kind) => {
  const verification = await after(change(edit));
  expect(verification).toMatchObject({ state: 'altered', exitCode: 4 });
  expect(kinds(verification)).toContain(kind);
});

test('a kept checkpoint shows that a log was shortened and signed again', async () => {
  const rechain = async (directory: string): Promise<void> => {
    store(
      directory,
      renumber(linesOf(directory).filter((_, index) => index !== 7 && index !== 8)).map((line) =>
        line.replace(/,"sealed_size":\d+/, ''),
      ),
    );
    await resign(directory, pristine.signingKey);
  };
  expect((await after(rechain)).state).not.toBe('altered');

  const verification = await after(rechain, [anchor]);
  expect(verification).toMatchObject({ state: 'altered', exitCode: 4, anchors: [] });
  expect(kinds(verification)).toContain('shortened');
});

test('a kept checkpoint shows that a record was edited and signed again', async () => {
  const verification = await after(
    async (directory) => {
      change((lines) =>
        lines.map((line, index) => (index === 7 ? line.replace('"fleet-a"', '"fleet-z"') : line)),
      )(directory);
      await resign(directory, pristine.signingKey);
    },
    [anchor],
  );

  expect(kinds(verification)).toEqual(['inconsistent']);
});

test('a deleted checkpoint is found; the last one by a kept checkpoint', async () => {
  const middle = await after((directory) =>
    rmSync(join(directory, 'checkpoints', names(directory)[1] ?? '')),
  );
  expect([middle.state, kinds(middle)]).toEqual(['altered', ['checkpoint-missing']]);

  const last = await after(
    (directory) => rmSync(join(directory, 'checkpoints', names(directory).at(-1) ?? '')),
    [anchor],
  );
  expect([last.state, kinds(last)]).toEqual(['incomplete', ['unsealed']]);

  const dropped = (directory: string): void => {
    rmSync(join(directory, 'checkpoints', names(directory).at(-1) ?? ''));
    change((lines) => lines.slice(0, 19))(directory);
  };
  expect((await after(dropped)).state).toBe('intact');
  expect(kinds(await after(dropped, [anchor]))).toEqual(['shortened']);
});

test('another key, a forged signature and a checkpoint of another log are found', async () => {
  const other = await openTestLog();
  await other.close();
  const swapped = await after((directory) => resign(directory, other.signingKey));
  expect([swapped.state, kinds(swapped)]).toEqual(['altered', ['signature', 'unsealed']]);

  const forged = await after((directory) => {
    const path = join(directory, 'checkpoints', names(directory).at(-1) ?? '');
    const text = readFileSync(path, 'utf8');
    writeFileSync(
      path,
      text.replace(/(.{20})\n$/, (_, end: string) => `${[...end].reverse().join('')}\n`),
    );
  });
  expect(forged.exitCode).toBe(4);
  expect(kinds(forged)).toContain('signature');

  const foreign = await after(async (directory) => {
    const signer = openSigningKey(pristine.signingKey);
    const path = join(directory, 'checkpoints', names(directory).at(-1) ?? '');
    const [, , root = ''] = readFileSync(path, 'utf8').split('\n');
    writeFileSync(
      path,
      await signCheckpoint(
        'example.com/other',
        25,
        Buffer.from(root, 'base64').toString('latin1'),
        [signer],
      ),
    );
  });
  expect(kinds(foreign)).toContain('origin');
});

test('a clock that was set back, and more than a day without records, are reported', async () => {
  const log = await openTestLog();
  await log.append([intended('r-1')]);
  log.clock.atMs -= 2 * dayMs;
  await log.append([outcome('r-1')]);
  log.clock.atMs += 3 * dayMs;
  await log.append([intended('r-2')]);
  await log.checkpoint();
  await log.close();

  const verification = await verifyLog(log.source, {
    verifiers: [log.verifier],
    nowMs: log.clock.atMs + dayMs,
  });
  expect(verification).toMatchObject({ state: 'incomplete', exitCode: 1 });
  expect(verification.findings.map(({ kind, sequence }) => [kind, sequence])).toEqual([
    ['clock', 2],
    ['gap', 3],
  ]);
  const later = await verifyLog(log.source, {
    verifiers: [log.verifier],
    nowMs: log.clock.atMs + 2 * dayMs,
  });
  expect(later.findings.length).toBe(3);
});

test('numbers that were used twice are found', async () => {
  const verification = await after((directory) => {
    const copy = linesOf(directory).slice(-2);
    appendFileSync(logFile(directory), copy.map((line) => `${line}\n`).join(''));
  });
  expect(kinds(verification)).toEqual(['sequence', 'unsealed']);
});

test('unsealed records and an incomplete one are not called altered', async () => {
  const unsealed = await after(async (directory) => {
    const log = await openTestLog({
      directory,
      signingKey: pristine.signingKey,
      clock: testClock(pristine.clock.atMs),
    });
    await log.append([intended('r-new')]);
    await log.close();
  });
  expect([unsealed.exitCode, kinds(unsealed)]).toEqual([1, ['unsealed']]);

  const torn = await after((directory) => appendFileSync(logFile(directory), '{"activity_id":3,'));
  expect([torn.exitCode, kinds(torn)]).toEqual([1, ['half-written']]);
});

test('verify changes nothing in the folder', async () => {
  const directory = join(tempFolder(), 'audit');
  cpSync(pristine.directory, directory, { recursive: true });
  rmSync(join(directory, '.writer'), { recursive: true });
  copyFileSync(logFile(directory), join(directory, 'kept'));
  await verifyLog(openFileSource(directory, testClock()), {
    verifiers: [parseVerifierKey(pristine.signer.verifierKey)],
  });

  expect(existsSync(join(directory, '.writer'))).toBe(false);
  expect(readFileSync(join(directory, 'kept')).equals(readFileSync(logFile(directory)))).toBe(true);
});
