// The audit log in files on a real disk: what was acknowledged is in the log.

import { execFileSync } from 'node:child_process';
import {
  appendFileSync,
  chownSync,
  closeSync,
  constants,
  existsSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { parseCheckpoint } from '../../src/audit/checkpoint.ts';
import { openFileSource } from '../../src/audit/file-segments.ts';
import { viewLine } from '../../src/audit/record.ts';
import { verifyLog } from '../../src/audit/verify.ts';
import { openClock } from '../../src/clock.ts';
import { Failure } from '../../src/rotation/failure.ts';
import {
  dayMs,
  filledLog,
  intended,
  linesIn,
  march,
  openTestLog,
  outcome,
  removeTempFolders,
  tempFolder,
  testClock,
} from '../harness/audit.ts';
import { testWith } from '../harness/tools.ts';

afterEach(removeTempFolders);

const codesIn = (directory: string): (string | undefined)[] =>
  linesIn(directory).map((line) => viewLine(line)?.code);
const sequencesIn = (directory: string): (number | undefined)[] =>
  linesIn(directory).map((line) => viewLine(line)?.sequence);
const upTo = (count: number): number[] => Array.from({ length: count }, (_, index) => index);
const failureOf = async (work: Promise<unknown>): Promise<Failure> => {
  try {
    await work;
  } catch (error) {
    if (error instanceof Failure) return error;
    throw error;
  }
  throw new Error('it did not fail');
};

test('an append is in the file of its month, without a gap, when it resolves', async () => {
  const log = await openTestLog({ clock: testClock(Date.UTC(2026, 2, 31, 23, 59)) });
  await log.append([intended('r-1')]);
  log.clock.atMs += 120_000;
  await log.append([outcome('r-1'), intended('r-2')]);
  await log.close();

  expect(readdirSync(log.directory).filter((name) => name.endsWith('.jsonl'))).toEqual([
    'audit-2026-03.jsonl',
    'audit-2026-04.jsonl',
  ]);
  expect(codesIn(log.directory)).toEqual([
    'log.genesis',
    'rotation.intended',
    'rotation.outcome',
    'rotation.intended',
  ]);
  expect(sequencesIn(log.directory)).toEqual([0, 1, 2, 3]);
});

test('a checkpoint covers all records; a day without records has a heartbeat', async () => {
  const log = await openTestLog();
  await log.append([intended('r-1')]);
  const first = await log.checkpoint();
  log.clock.atMs += dayMs;
  const second = await log.checkpoint();
  await log.append([outcome('r-1')]);
  await log.close();

  expect([first.size, second.size]).toEqual([2, 3]);
  expect(readdirSync(join(log.directory, 'checkpoints'))).toEqual([
    '000000000002.checkpoint',
    '000000000003.checkpoint',
  ]);
  expect(
    parseCheckpoint(
      readFileSync(join(log.directory, 'checkpoints', '000000000003.checkpoint'), 'utf8'),
    )?.root,
  ).toBe(second.root);
  const records = linesIn(log.directory).map((line) => viewLine(line));
  expect(records.map((record) => [record?.code, record?.sealedSize])).toEqual([
    ['log.genesis', undefined],
    ['rotation.intended', undefined],
    ['log.heartbeat', 2],
    ['rotation.outcome', 3],
  ]);
});

test('an intent is open until its outcome, and a later intent opens it again', async () => {
  const log = await openTestLog();
  const open = async (): Promise<string[]> =>
    (await log.rotationsOf('fleet-a')).open.map(({ rotationId }) => rotationId);
  await log.append([intended('r-1'), intended('r-2'), intended('r-3', 'fleet-b')]);
  expect(await open()).toEqual(['r-1', 'r-2']);
  await log.append([outcome('r-1')]);
  await log.append([outcome('r-2', 'fleet-a', { code: 'rotation.reconciled' })]);
  expect(await open()).toEqual([]);
  await log.append([intended('r-1')]);
  expect(await open()).toEqual(['r-1']);
  await log.close();

  const again = await openTestLog({ directory: log.directory, signingKey: log.signingKey });
  expect((await again.rotationsOf('fleet-a')).open).toEqual([
    { rotationId: 'r-1', account: 'fleet-a', intendedAtMs: march },
  ]);
  await again.close();
});

test('a missing cache, or one that does not fit its checkpoint, changes nothing', async () => {
  const log = await filledLog(5);
  await log.append([intended('r-open')]);
  await log.close();
  const statePath = join(log.directory, '.writer', 'state.json');
  const state = JSON.parse(readFileSync(statePath, 'utf8'));
  const roots: string[] = [];
  for (const cache of [
    JSON.stringify(state),
    '{',
    JSON.stringify({ ...state, size: 1, frontier: state.frontier.slice(0, 1) }),
    null,
  ]) {
    if (cache === null) rmSync(statePath);
    else writeFileSync(statePath, cache);
    const again = await openTestLog({ directory: log.directory, signingKey: log.signingKey });
    expect((await again.rotationsOf('fleet-a')).open.map(({ rotationId }) => rotationId)).toEqual([
      'r-open',
    ]);
    roots.push((await again.checkpoint()).root);
    await again.close();
    rmSync(join(log.directory, 'checkpoints', '000000000012.checkpoint'));
  }

  expect(new Set(roots).size).toBe(1);
});

test('an incomplete record is removed at the next start, and none before it', async () => {
  const log = await openTestLog();
  await log.append([intended('r-1')]);
  const file = join(log.directory, 'audit-2026-03.jsonl');
  const before = readFileSync(file);
  await log.append([outcome('r-1')]);
  await log.close();
  const complete = readFileSync(file);

  for (let length = before.length + 1; length < complete.length; length += 37) {
    writeFileSync(file, complete.subarray(0, length));
    const again = await openTestLog({ directory: log.directory, signingKey: log.signingKey });
    await again.append([outcome('r-1')]);
    await again.close();
    expect(codesIn(log.directory)).toEqual([
      'log.genesis',
      'rotation.intended',
      'log.repaired',
      'rotation.outcome',
    ]);
    expect(sequencesIn(log.directory)).toEqual(upTo(4));
    expect(readFileSync(file).subarray(0, before.length).equals(before)).toBe(true);
  }
});

test('an append of several records is complete or absent', async () => {
  const log = await openTestLog();
  await log.append([intended('r-1')]);
  const file = join(log.directory, 'audit-2026-03.jsonl');
  const before = statSync(file).size;
  await log.append([outcome('r-1'), intended('r-2'), outcome('r-2')]);
  await log.close();
  const complete = readFileSync(file);
  const ends = [...complete.keys()]
    .filter((index) => index >= before && complete[index] === 0x0a)
    .map((index) => index + 1);

  for (const length of ends.slice(0, 2)) {
    writeFileSync(file, complete.subarray(0, length));
    const again = await openTestLog({ directory: log.directory, signingKey: log.signingKey });
    expect((await again.rotationsOf('fleet-a')).open.map(({ rotationId }) => rotationId)).toEqual([
      'r-1',
    ]);
    await again.close();
    expect(codesIn(log.directory)).toEqual(['log.genesis', 'rotation.intended', 'log.repaired']);
  }
});

test('zeros that a power failure left at the end are removed', async () => {
  const log = await openTestLog();
  await log.append([intended('r-1')]);
  await log.close();
  appendFileSync(
    join(log.directory, 'audit-2026-03.jsonl'),
    Buffer.concat([Buffer.alloc(300), Buffer.from('\n'), Buffer.alloc(20)]),
  );

  const again = await openTestLog({ directory: log.directory, signingKey: log.signingKey });
  await again.close();

  expect(codesIn(log.directory)).toEqual(['log.genesis', 'rotation.intended', 'log.repaired']);
});

test('two writers read what the other one wrote, and its checkpoints', async () => {
  const one = await openTestLog();
  const two = await openTestLog({ directory: one.directory, signingKey: one.signingKey });
  await Promise.all(
    upTo(40).map((index) => (index % 2 === 0 ? one : two).append([intended(`r-${index}`)])),
  );
  await one.checkpoint();
  await two.append([outcome('r-0')]);
  expect((await one.rotationsOf('fleet-a')).open.length).toBe(39);
  await two.checkpoint();
  await Promise.all([one.close(), two.close()]);

  expect(sequencesIn(one.directory)).toEqual(upTo(42));
  expect(viewLine(linesIn(one.directory)[41] ?? '')?.sealedSize).toBe(41);
});

test('two busy writers that pass the lock to each other leave only records', async () => {
  const clock = { ...testClock(), ...openClock() };
  const one = await openTestLog({ clock });
  const two = await openTestLog({ directory: one.directory, signingKey: one.signingKey, clock });
  const appendSerially = async (log: typeof one, name: string): Promise<void> => {
    for (let index = 0; index < 75; index += 1) {
      await log.append([intended(`${name}-${index}`)]);
      // A different time between two appends, so that they meet in every order.
      await clock.sleep((index * name.charCodeAt(0)) % 7);
    }
  };
  const names = [...'abcdefghijklmnop'];
  await Promise.all(names.map((name, index) => appendSerially(index % 2 === 0 ? one : two, name)));
  await Promise.all([one.close(), two.close()]);

  expect(sequencesIn(one.directory)).toEqual(upTo(1201));
  const verification = await verifyLog(one.source, { verifiers: [one.verifier] });
  expect(verification.findings.map(({ kind }) => kind)).toEqual(['unsealed']);
});

test('a log that was shortened or altered before its checkpoint is not continued', async () => {
  const log = await filledLog(4);
  await log.close();
  const file = join(log.directory, 'audit-2026-03.jsonl');
  const complete = readFileSync(file);
  const reopen = (): Promise<unknown> =>
    openTestLog({ directory: log.directory, signingKey: log.signingKey });
  rmSync(join(log.directory, '.writer', 'state.json'));

  truncateSync(file, complete.length - 100);
  expect((await failureOf(reopen())).message).toContain('damaged');
  writeFileSync(file, Buffer.from(complete.toString().replace('fleet-a', 'fleet-b')));
  expect((await failureOf(reopen())).message).toContain(
    'does not continue its checkpoint at 9 records',
  );
  writeFileSync(file, complete);
  const again = await openTestLog({ directory: log.directory, signingKey: log.signingKey });
  while (existsSync(join(log.directory, '.writer', 'lock'))) await setImmediate();
  writeFileSync(file, complete.subarray(0, -200));
  expect((await failureOf(again.append([intended('r-9')]))).message).toContain(
    'shorter than before',
  );
  await again.close();
});

test('a clock that goes back a little keeps the order; a larger step is recorded', async () => {
  const log = await openTestLog();
  await log.append([intended('r-1')]);
  log.clock.atMs -= 3_000;
  await log.append([outcome('r-1')]);
  log.clock.atMs -= 40 * dayMs;
  await log.append([intended('r-2')]);
  await log.close();

  expect(linesIn(log.directory).map((line) => viewLine(line)?.timeMs)).toEqual([
    march,
    march,
    march,
    march - 3_000 - 40 * dayMs,
  ]);
  expect(readdirSync(log.directory).filter((name) => name.endsWith('.jsonl'))).toEqual([
    'audit-2026-03.jsonl',
  ]);
});

test('a log that cannot be written is named, and the records go to the fallback', async () => {
  const again = await openTestLog({ directory: join(tempFolder(), 'audit') });
  symlinkSync('/nowhere/at/all', join(again.directory, 'audit-2026-04.jsonl'));
  again.clock.atMs = Date.UTC(2026, 3, 1);
  const intent = await failureOf(again.append([intended('r-2')]));
  expect(intent.reason).toBe('audit-unavailable');
  expect(intent.message).toMatch(/audit-2026-04\.jsonl: no such file or folder \(ENOENT\)/);
  expect(again.strays).toEqual([]);
  await failureOf(again.append([outcome('r-2')]));
  expect(
    again.strays.map((line) => viewLine(line)?.code ?? JSON.parse(line).metadata.event_code),
  ).toEqual(['rotation.outcome']);
  expect(JSON.parse(again.strays[0] ?? '').metadata.sequence).toBeUndefined();

  rmSync(join(again.directory, 'audit-2026-04.jsonl'));
  await again.append([intended('r-3')]);
  await again.close();
  expect(codesIn(again.directory)).toEqual(['log.genesis', 'sink.failed', 'rotation.intended']);
  expect(viewLine(linesIn(again.directory)[1] ?? '')).toMatchObject({ lost: 1 });
});

/** Resolves when a thread of this process waits for the other end of a FIFO. */
async function untilOpenHangs(): Promise<void> {
  const waits = (): boolean =>
    readdirSync('/proc/self/task').some(
      (thread) => readFileSync(`/proc/self/task/${thread}/wchan`, 'utf8') === 'wait_for_partner',
    );
  while (!waits()) await setImmediate();
}

// Before: the file belonged to root, and every rotation of the service was refused for a month.
(process.getuid?.() === 0 ? test : test.skip)(
  'a month that root begins belongs to the user of the service',
  async () => {
    const log = await openTestLog();
    chownSync(log.directory, 12_345, -1);
    log.clock.atMs = Date.UTC(2026, 3, 1);

    await log.append([intended('r-1')]);

    expect(statSync(join(log.directory, 'audit-2026-04.jsonl')).uid).toBe(12_345);
    await log.close();
  },
);

testWith('procfs')(
  'an append to a disk that hangs fails in time, and the log goes on',
  async () => {
    const log = await openTestLog();
    await log.append([intended('r-1')]);
    log.clock.atMs = Date.UTC(2026, 3, 1);
    const month = join(log.directory, 'audit-2026-04.jsonl');
    execFileSync('mkfifo', [month]);

    const hanging = failureOf(log.append([outcome('r-1')]));
    await untilOpenHangs();
    log.clock.expire();
    const [late, next] = [await hanging, await failureOf(log.append([outcome('r-2')]))];
    const heldBy = readdirSync(join(log.directory, '.writer'));
    const reader = openSync(month, constants.O_RDONLY | constants.O_NONBLOCK);
    rmSync(month);
    let isWritten = false;
    while (!isWritten) {
      await setImmediate();
      const written = log.append([outcome('r-3')]);
      isWritten = await written.then(
        () => true,
        () => false,
      );
    }
    await log.checkpoint();
    await log.close();
    closeSync(reader);

    for (const { reason, facts, message } of [late, next])
      expect([reason, facts.cause, message]).toEqual([
        'audit-unavailable',
        'disk-hangs',
        expect.stringMatching(/: the disk did not answer within 30 s$/),
      ]);
    // Another process must not write while what is late may still do so.
    expect(heldBy).toContain('lock');
    expect(log.strays.length).toBeGreaterThanOrEqual(2);
    expect(codesIn(log.directory)).toEqual([
      'log.genesis',
      'rotation.intended',
      'sink.failed',
      'rotation.outcome',
    ]);
    const source = openFileSource(log.directory, testClock());
    const { state } = await verifyLog(source, { verifiers: [log.verifier], gapMs: 90 * dayMs });
    expect(state).toBe('intact');
  },
);

test('a log of another origin is rejected, and closing leaves no files', async () => {
  const log = await filledLog(1);
  await log.close();
  expect(readdirSync(join(log.directory, '.writer'))).toEqual(['state.json']);
  const checkpoint = join(log.directory, 'checkpoints', '000000000003.checkpoint');
  writeFileSync(
    checkpoint,
    readFileSync(checkpoint, 'utf8').replace('example.com/fleet', 'example.com/other'),
  );

  expect(
    (await failureOf(openTestLog({ directory: log.directory, signingKey: log.signingKey })))
      .message,
  ).toContain('belongs to the log');
  expect(existsSync(join(log.directory, '.writer', 'lock'))).toBe(false);
});

// A14. 03af53f wrote no record.
test('a signing key that was replaced is recorded before anything that it signs', async () => {
  const first = await openTestLog();
  await first.append([intended('r-1')]);
  await first.checkpoint();
  await first.close();
  const { directory, clock } = first;

  const second = await openTestLog({ directory, clock });
  await second.checkpoint();
  await second.close();

  const [, , rotated = ''] = linesIn(directory);
  expect(linesIn(directory).length).toBe(3);
  expect(JSON.parse(rotated)).toMatchObject({
    metadata: { event_code: 'key.rotated' },
    unmapped: {
      verifier_key: second.verifier.verifierKey,
      verifier_key_before: first.verifier.verifierKey,
    },
  });
  const verifiers = [second.verifier];
  expect(await verifyLog(openFileSource(directory, testClock()), { verifiers })).toMatchObject({
    state: 'intact',
    keys: [first.verifier.verifierKey, second.verifier.verifierKey],
  });
});
