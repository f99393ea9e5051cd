import { generateSigningKey, parseVerifierKey } from '../../src/audit/checkpoint.ts';
import { checkProof, proveRecord } from '../../src/audit/proof.ts';
import {
  type Cursor,
  findRecord,
  followRecords,
  listRecords,
  type RecordFilter,
} from '../../src/audit/query.ts';
import { formatRecord, uuidv7 } from '../../src/audit/record.ts';
import type { LoggedEvent } from '../../src/audit/schema.ts';
import { printable } from '../../src/text.ts';
import {
  context,
  dayMs,
  filledLog,
  intended,
  march,
  memorySource,
  openTestLog,
  origin,
  outcome,
  removeTempFolders,
  testClock,
} from '../harness/audit.ts';

afterEach(removeTempFolders);

const lineOf = (event: LoggedEvent, sequence: number, timeMs = march + sequence * dayMs): string =>
  formatRecord(
    event,
    { uid: uuidv7(timeMs), sequence, timeMs, origin, batchRemaining: 0 },
    context,
  );

const events: readonly LoggedEvent[] = [
  intended('r-1', 'a'),
  outcome('r-1', 'a'),
  intended('r-2', 'b "ü"'),
  outcome('r-2', 'b "ü"', { status: 'failure', reason: 'login-refused', certainty: 'stopped' }),
  intended('r-3', 'a'),
  intended('r-4', 'b "ü"', { trigger: { kind: 'manual', requestedBy: 'mia@example.com' } }),
  outcome('r-4', 'b "ü"', { status: 'unknown', certainty: 'in-doubt' }),
  intended('r-4', 'b "ü"'),
];
const source = memorySource(events.map((event, index) => lineOf(event, index)));
const listed = async (filter: RecordFilter): Promise<number[]> => {
  const found: number[] = [];
  for await (const { index } of listRecords(source, filter)) found.push(index);
  return found;
};

test('every filter finds its records, alone and combined', async () => {
  expect(await listed({})).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
  expect(await listed({ account: 'a' })).toEqual([0, 1, 4]);
  expect(await listed({ account: 'b "ü"', outcome: 'login-refused' })).toEqual([3]);
  expect(await listed({ outcome: 'success' })).toEqual([1]);
  expect(await listed({ event: 'rotation.outcome' })).toEqual([1, 3, 6]);
  expect(await listed({ actor: 'mia@' })).toEqual([5]);
  expect(await listed({ actor: 'rotator', event: 'rotation.intended', account: 'a' })).toEqual([
    0, 4,
  ]);
  expect(await listed({ sinceMs: march + 2 * dayMs, untilMs: march + 4 * dayMs })).toEqual([2, 3]);
  expect(await listed({ last: 3 })).toEqual([5, 6, 7]);
  expect(await listed({ last: 2, reverse: true, account: 'a' })).toEqual([4, 1]);
  expect(await listed({ account: 'nobody' })).toEqual([]);
});

test('--open lists unfinished rotations; a later intent opens one again', async () => {
  expect(await listed({ open: true })).toEqual([4, 7]);
  expect(await listed({ open: true, account: 'a' })).toEqual([4]);
});

test('records are found across blocks and in long lines', async () => {
  const padding = (sequence: number): string =>
    lineOf(outcome('r', `x-${sequence}`, { detail: 'd'.repeat(2000) }), sequence);
  const many = Array.from({ length: 3000 }, (_, index) =>
    index % 1000 === 999 ? lineOf(intended('r', 'needle'), index) : padding(index),
  );
  const found: number[] = [];
  for await (const { index } of listRecords(memorySource(many), { account: 'needle' }))
    found.push(index);
  expect(found).toEqual([999, 1999, 2999]);
});

test('--follow continues after the listing, and ends when it is aborted', async () => {
  const log = await openTestLog();
  await log.append([intended('r-1')]);
  const cursor: Cursor = { segment: '', position: 0 };
  for await (const _ of listRecords(log.source, {}, cursor)) void _;
  const stop = new AbortController();
  const clock = { ...testClock(), sleep: () => log.append([outcome('r-1')]) };

  const seen: string[] = [];
  for await (const { view } of followRecords(
    log.source,
    { account: 'fleet-a' },
    { clock, signal: stop.signal, cursor },
  )) {
    seen.push(view.code);
    if (seen.length === 2) stop.abort();
  }
  await log.close();

  expect(seen).toEqual(['rotation.outcome', 'rotation.outcome']);
});

test('a month before --since is not opened', async () => {
  const log = await openTestLog();
  await log.append([intended('r-1')]);
  log.clock.atMs = Date.UTC(2026, 4, 2);
  await log.append([intended('r-2')]);
  await log.close();
  const opened: string[] = [];
  const watched = {
    ...log.source,
    segments: async () =>
      (await log.source.segments()).map((segment) => ({
        ...segment,
        open: () => {
          opened.push(segment.name);
          return segment.open();
        },
      })),
  };

  const found: (string | undefined)[] = [];
  for await (const { view } of listRecords(watched, { sinceMs: Date.UTC(2026, 4, 1) }))
    found.push(view.rotationId);

  expect([found, opened]).toEqual([['r-2'], ['audit-2026-05.jsonl']]);
});

test('a proof of any record verifies with the key only, and a changed one does not', async () => {
  const log = await filledLog(6);
  await log.append([intended('r-late')]);
  await log.close();
  for (let index = 0; index < 13; index += 1) {
    const record = await findRecord(log.source, String(index));
    const proof = await proveRecord(log.source, record?.view.uid ?? '');
    if (proof === null || proof === 'unsealed') throw new Error(`no proof of record ${index}`);
    expect(checkProof(proof, [log.verifier])).toMatchObject({
      proven: true,
      index,
      line: record?.line,
    });
    expect(
      checkProof(proof, [log.verifier], record?.line.replace('rotator', 'rotated')),
    ).toMatchObject({ proven: false });
    expect(
      checkProof(proof.replace(`index ${index}`, `index ${index + 1}`), [log.verifier]).proven,
    ).toBe(false);
    expect(
      checkProof(proof, [parseVerifierKey(generateSigningKey(origin).verifierKey)]),
    ).toMatchObject({ proven: false });
  }

  expect(await proveRecord(log.source, '13')).toBe('unsealed');
  expect(await proveRecord(log.source, 'no-such-record')).toBeNull();
  expect(checkProof('anything', [log.verifier]).proven).toBe(false);
});

test('control characters and direction marks become escape sequences', () => {
  expect(printable('\u001b[2Jx\ty\n\u202e=cmd')).toBe('\\u001b[2Jx\\u0009y\\u000a\\u202e=cmd');
});
