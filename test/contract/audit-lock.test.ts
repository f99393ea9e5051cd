// The lock of an audit log on real files, beside owners that a test describes. The clock moves one
// second with each wait.

import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openDisk } from '../../src/audit/disk.ts';
import { type Lock, openLock } from '../../src/audit/lock.ts';
import type { Clock } from '../../src/rotation/ports.ts';
import type { Owner } from '../../src/rotation/record.ts';
import { testClock } from '../harness/audit.ts';

type Liveness = 'alive' | 'gone' | 'unknown';

let directory: string;
let locks: Lock[] = [];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'audit-lock-'));
});

afterEach(async () => {
  for (const lock of locks) await lock.close();
  locks = [];
  rmSync(directory, { recursive: true });
});

/** A lock of the process `me`; `others` says which processes run. */
async function open(others: Record<string, Liveness> = {}, onSleep: () => void = () => {}) {
  let nowMs = 5_000;
  const ended: Owner[] = [];
  const clock: Clock = {
    ...testClock(),
    monotonicMs: () => nowMs,
    sleep: (ms, wake) => {
      if (ms >= 30_000) return testClock().sleep(ms, wake);
      nowMs += 1_000;
      onSleep();
      return new Promise((resolve) => setImmediate(resolve));
    },
  };
  const lock = await openLock({
    directory,
    disk: openDisk(clock),
    processes: {
      begin: () => ({ id: 'me', pid: 1 }) as Owner,
      end: (owner) => void ended.push(owner),
      liveness: ({ id }) => others[id] ?? 'alive',
    },
    clock,
  });
  locks.push(lock);
  return { lock, ended, waitedMs: () => nowMs - 5_000 };
}

const files = (): string[] => readdirSync(directory).sort();
const write = (name: string, content: unknown): void =>
  writeFileSync(
    join(directory, name),
    typeof content === 'string' ? content : JSON.stringify(content),
  );
const seen = async (isFresh: boolean): Promise<unknown> => [isFresh, files()];
const released = async (): Promise<void> => {
  while (existsSync(join(directory, 'lock'))) await new Promise((resolve) => setImmediate(resolve));
};

test('the lock is held for uses in a row, and released when nothing uses it', async () => {
  const { lock, ended } = await open();
  const held = ['.holder-me', 'lock'];

  const uses = [await lock.hold(seen), await lock.hold(seen)];
  const content = readFileSync(join(directory, 'lock'), 'utf8');
  await released();
  uses.push(await lock.hold(seen));
  await lock.close();

  expect(uses).toEqual([
    [true, held],
    [false, held],
    [true, held],
  ]);
  expect(content).toBe('{"id":"me","pid":1}');
  expect([files(), ended]).toEqual([[], [{ id: 'me', pid: 1 }]]);
});

test('work that fails releases the lock, and its error is thrown', async () => {
  const { lock } = await open();

  await expect(lock.hold(() => Promise.reject(new Error('failed')))).rejects.toThrow('failed');
  await released();

  expect(files()).toEqual(['.holder-me']);
});

test('the lock is kept while its work takes long', async () => {
  const { lock, waitedMs } = await open();

  await lock.hold(async () => {
    while (waitedMs() < 50_000) await new Promise((resolve) => setImmediate(resolve));
    expect(files()).toEqual(['.holder-me', 'lock']);
  });
});

test('a waiting process gets the lock after 64 uses', async () => {
  const { lock } = await open();
  const fresh: boolean[] = [];

  for (let use = 1; use <= 100; use += 1) {
    if (use === 10) write('wanted', '');
    await lock.hold(async (isFresh) => void fresh.push(isFresh));
    if (use === 64) expect(files()).toEqual(['.holder-me']);
  }

  const places = fresh.flatMap((isFresh, index) => (isFresh ? [index + 1] : []));
  expect(places).toEqual([1, 65]);
});

test.each<[string, unknown, Liveness, number, string]>([
  ['a running process', { id: 'other', pid: 7 }, 'alive', 10_000, 'process 7'],
  [
    'a running process of a host',
    { id: 'other', pid: 7, host: 'ops-2' },
    'alive',
    10_000,
    'process 7 on ops-2',
  ],
  ['an owner without a number', { id: 'other' }, 'alive', 10_000, 'owner other'],
  ['a file without an owner', 'no JSON', 'alive', 10_000, 'owner undefined'],
  ['a file without an id', { pid: 7 }, 'alive', 10_000, 'owner undefined'],
  ['a file with null', 'null', 'gone', 10_000, 'owner undefined'],
])('a lock of %s is an error after ten seconds', async (_, owner, liveness, ms, who) => {
  write('lock', owner);
  const { lock, waitedMs } = await open({ other: liveness });

  const path = join(directory, 'lock');
  await expect(lock.hold(seen)).rejects.toMatchObject({
    reason: 'audit-unavailable',
    message: `audit log ${path}: ${who} is running and does not release the lock`,
    facts: { cause: 'contention', path },
  });
  expect(waitedMs()).toBe(ms);
  expect(files()).toEqual(['.holder-me', 'lock', 'wanted']);
});

test.each<[Liveness, number]>([
  ['gone', 1_000],
  ['unknown', 31_000],
])('the lock of a process that is %s is taken over', async (liveness, ms) => {
  write('lock', { id: 'other' });
  const { lock, waitedMs } = await open({ other: liveness });

  expect(await lock.hold(seen)).toEqual([true, ['.holder-me', 'lock']]);
  expect(waitedMs()).toBeGreaterThanOrEqual(ms);
  expect(waitedMs()).toBeLessThan(ms + 5_000);
});

test('the right to take over is itself taken over from a process that ended', async () => {
  write('lock', { id: 'other' });
  write('lock.over-other', { id: 'third' });
  const { lock } = await open({ other: 'gone', third: 'gone' });

  expect(await lock.hold(seen)).toEqual([true, ['.holder-me', 'lock']]);
});

test('a running process that takes over is not disturbed', async () => {
  write('lock', { id: 'other' });
  write('lock.over-other', { id: 'third' });
  let waits = 0;
  const { lock } = await open({ other: 'gone' }, () => {
    waits += 1;
    if (waits === 3) expect(files()).toEqual(['.holder-me', 'lock', 'lock.over-other', 'wanted']);
    // It has taken over, and released.
    if (waits === 5) for (const name of ['lock', 'lock.over-other']) rmSync(join(directory, name));
  });

  expect(await lock.hold(seen)).toEqual([true, ['.holder-me', 'lock']]);
  expect(waits).toBeGreaterThanOrEqual(5);
});

test('a lock that passes from one running process to another is waited for', async () => {
  write('lock', { id: 'other' });
  let waits = 0;
  const { lock, waitedMs } = await open({}, () => {
    waits += 1;
    if (waits === 8) write('lock', { id: 'third' });
    if (waits === 16) rmSync(join(directory, 'lock'));
  });

  expect(await lock.hold(seen)).toEqual([true, ['.holder-me', 'lock']]);
  expect(waitedMs()).toBeGreaterThanOrEqual(16_000);
});

test('the files of processes that ended are removed at the start, and no others', async () => {
  for (const id of ['gone', 'alive', 'unknown']) write(`.holder-${id}`, { id });
  write('.holder-damaged', '{');
  write('note', { id: 'gone' });

  await open({ gone: 'gone', unknown: 'unknown' });

  expect(files()).toEqual([
    '.holder-alive',
    '.holder-damaged',
    '.holder-me',
    '.holder-unknown',
    'note',
  ]);
});
