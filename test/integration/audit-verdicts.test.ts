// The words of `audit verify`: altered beats incomplete, incomplete beats intact, and wrong input
// is none of the three. Version 0.1 (03af53f) judged the first 100 findings only, called a given
// file that is no checkpoint "altered", and never called a log with a gap intact again.
//
//   TAMPERINGS=1000 npm run jest -- test/integration/audit-verdicts

import {
  generateSigningKey,
  openSigningKey,
  parseVerifierKey,
  type Signer,
  signCheckpoint,
} from '../../src/audit/checkpoint.ts';
import { WrongInput } from '../../src/audit/findings.ts';
import { leafHash, Tree } from '../../src/audit/merkle.ts';
import { stampAll } from '../../src/audit/record.ts';
import type { LoggedEvent } from '../../src/audit/schema.ts';
import { type Verification, type VerifyOptions, verifyLog } from '../../src/audit/verify.ts';
import {
  context,
  dayMs,
  intended,
  march,
  memorySource,
  origin,
  outcome,
} from '../harness/audit.ts';

type Log = { readonly lines: string[]; readonly checkpoints: string[] };

const { signingKey } = generateSigningKey(origin);
const signer = openSigningKey(signingKey);
const verifiers = [parseVerifierKey(signer.verifierKey)];

/** Appends events and signs checkpoints, as the writer does. */
function createWriter(key: Signer = signer, name = origin) {
  const log: Log = { lines: [], checkpoints: [] };
  const tree = new Tree();
  let sealedSize: number | undefined;
  let lastTimeMs = 0;
  return {
    log,
    append(nowMs: number, ...events: LoggedEvent[]): void {
      const position = { size: tree.size, lastTimeMs, nowMs, sealedSize };
      const { texts } = stampAll(events, position, context, name);
      sealedSize = undefined;
      lastTimeMs = nowMs;
      for (const text of texts) {
        tree.append(leafHash(Buffer.from(text)));
        log.lines.push(text);
      }
    },
    async checkpoint(by: Signer = key): Promise<void> {
      log.checkpoints.push(await signCheckpoint(name, tree.size, tree.root(), [by]));
      sealedSize = tree.size;
    },
  };
}
type Writer = ReturnType<typeof createWriter>;

const genesis = (key: Signer = signer): LoggedEvent => {
  return { code: 'log.genesis', verifierKey: key.verifierKey };
};
const acknowledged = (exceptionId: string): LoggedEvent => {
  return { code: 'exception.acknowledged', exceptionId, note: 'outage, INC-77' };
};

/** A run every second day: each one leaves a gap, which is harmless. */
async function logWithGaps(gaps: number): Promise<Writer> {
  const writer = createWriter();
  writer.append(march, genesis());
  for (let run = 0; run <= gaps; run += 1) {
    const rotationId = `r-${run}`;
    writer.append(march + 2 * run * dayMs, intended(rotationId), outcome(rotationId));
    await writer.checkpoint();
  }
  return writer;
}

const verify = (
  { lines, checkpoints }: Log,
  options: Partial<VerifyOptions> = {},
): Promise<Verification> => verifyLog(memorySource(lines, checkpoints), { verifiers, ...options });

/** The message of a `WrongInput`; fails when none is thrown. */
async function wrongInput(verification: Promise<Verification>): Promise<string> {
  const thrown = await verification.catch((error: unknown) => error);
  expect(thrown).toBeInstanceOf(WrongInput);
  return (thrown as WrongInput).message;
}

/** Numbers in `[0, below)` from a seed. */
function createRandom(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

type Random = ReturnType<typeof createRandom>;
const swap = (items: string[], one: number, other: number): void => {
  [items[one], items[other]] = [items[other] ?? '', items[one] ?? ''];
};
const editAt = (items: string[], place: number, edit: (text: string) => string): void => {
  items[place] = edit(items[place] ?? '');
};
/** Exchanges one letter or digit for another one, so that JSON stays JSON. */
const editLetter = (random: Random) => (text: string) => {
  const places = [...text.matchAll(/[a-z0-9]/g)].map(({ index }) => index);
  const place = places[random(places.length)] ?? 0;
  const letter = text[place] === '7' ? '8' : '7';
  return `${text.slice(0, place)}${letter}${text.slice(place + 1)}`;
};
const monthOf = (line: string): string =>
  new Date(JSON.parse(line).metadata.logged_time).toISOString().slice(0, 7);

const tamperings: Readonly<Record<string, (log: Log, random: Random) => void>> = {
  'a letter of a record is changed': ({ lines }, random) =>
    editAt(lines, random(lines.length), editLetter(random)),
  'a record is deleted': ({ lines }, random) => {
    lines.splice(random(lines.length), 1);
  },
  'a record is repeated': ({ lines }, random) => {
    const place = random(lines.length);
    lines.splice(place, 0, lines[place] ?? '');
  },
  'two records are exchanged': ({ lines }, random) => {
    const place = random(lines.length - 1);
    swap(lines, place, place + 1);
  },
  'a month is deleted': ({ lines }, random) => {
    const months = lines.map(monthOf);
    const month = months[random(months.length)] ?? '';
    lines.splice(months.indexOf(month), months.lastIndexOf(month) - months.indexOf(month) + 1);
  },
  'the last records are deleted, and their checkpoints': ({ lines, checkpoints }, random) => {
    const runs = 1 + random(checkpoints.length);
    lines.splice(-2 * runs);
    checkpoints.splice(-runs);
  },
  'a checkpoint is deleted': ({ checkpoints, lines }, random) => {
    // The last one is mentioned by no record; a log without it ends before it.
    const place = random(checkpoints.length);
    checkpoints.splice(place, 1);
    if (place === checkpoints.length) lines.splice(-2);
  },
  'a letter of a checkpoint is changed': ({ checkpoints }, random) =>
    editAt(checkpoints, random(checkpoints.length), editLetter(random)),
  'a checkpoint has another size': ({ checkpoints }, random) => {
    const place = random(checkpoints.length);
    editAt(checkpoints, place, (text) => text.replace(/\n\d+\n/, '\n1\n'));
  },
};

test('no tampering is called less than altered, no untouched log is called altered', async () => {
  const count = Number(process.env['TAMPERINGS'] ?? 60);
  const names = Object.keys(tamperings);
  const logs = new Map<number, Log>();

  for (let seed = 0; seed < count; seed += 1) {
    const random = createRandom(seed);
    const gaps = [0, 1, 99, 100, 101, 250, 500][seed % 7] ?? 0;
    const log = logs.get(gaps) ?? (await logWithGaps(gaps)).log;
    const anchor = log.checkpoints.at(-1) ?? '';
    const name = names[random(names.length)] ?? '';
    const copy = structuredClone(log);
    tamperings[name]?.(copy, random);

    const untouched = logs.has(gaps) ? null : await verify(log, { consistentWith: [anchor] });
    const tampered = await verify(copy, { consistentWith: [anchor] });

    if (untouched) {
      expect([gaps, untouched.exitCode]).toEqual([gaps, gaps === 0 ? 0 : 1]);
      expect(untouched.counts).toEqual(gaps === 0 ? {} : { gap: gaps });
    }
    expect([seed, name, tampered.state, tampered.exitCode]).toEqual([seed, name, 'altered', 4]);
    logs.set(gaps, log);
  }
}, 120_000);

// A1. 03af53f: "incomplete", since 100 gaps fill its list of findings.
test('after 120 gaps an edited record is altered, and 100 of each kind are listed', async () => {
  const { log } = await logWithGaps(120);
  editAt(log.lines, 239, (line) => line.replace('"fleet-a"', '"fleet-z"'));

  const { state, exitCode, counts, findings } = await verify(log);

  expect({ state, exitCode, counts }).toEqual({
    state: 'altered',
    exitCode: 4,
    counts: { gap: 120, root: 1, unsealed: 1 },
  });
  expect(findings.filter(({ kind }) => kind === 'gap').length).toBe(100);
  expect(findings.filter(({ level }) => level === 'altered').map(({ id }) => id)).toEqual([
    'root:239',
  ]);
});

// A11. 03af53f: exit code 1 for ever.
test('a gap that a signed acknowledgement explains is listed, and the log is intact', async () => {
  const writer = await logWithGaps(2);
  const before = await verify(writer.log);
  writer.append(march + 5 * dayMs, ...before.findings.map(({ id }) => acknowledged(id)));
  const unsigned = await verify(writer.log);
  await writer.checkpoint();

  const after = await verify(writer.log);

  expect(before.findings.map(({ id, level }) => [id, level])).toEqual([
    ['gap:3', 'incomplete'],
    ['gap:5', 'incomplete'],
  ]);
  expect(unsigned.findings.map(({ kind, level }) => [kind, level])).toEqual([
    ['gap', 'incomplete'],
    ['gap', 'incomplete'],
    ['unsealed', 'incomplete'],
  ]);
  expect(after).toMatchObject({ state: 'intact', exitCode: 0, counts: { gap: 2 } });
  expect(
    after.findings.map(({ id, level, acknowledgement }) => [id, level, acknowledgement]),
  ).toEqual(
    [7, 8].map((sequence, index) => [
      ['gap:3', 'gap:5'][index],
      'explained',
      { by: 'rotator', timeMs: march + 5 * dayMs, note: 'outage, INC-77', sequence },
    ]),
  );
});

test('an acknowledgement explains no alteration, and no gap that comes after it', async () => {
  const writer = createWriter();
  writer.append(march, genesis(), acknowledged('gap:3'), acknowledged('root:0'));
  writer.append(march + 2 * dayMs, intended('r-1'));
  await writer.checkpoint();
  const { log } = writer;
  const edited = structuredClone(log);
  editAt(edited.lines, 3, (line) => line.replace('"fleet-a"', '"fleet-z"'));

  expect((await verify(log)).findings.map(({ id, level }) => [id, level])).toEqual([
    ['gap:3', 'incomplete'],
  ]);
  expect((await verify(edited)).state).toBe('altered');
});

// A13. 03af53f: "altered", exit code 4, for each of these.
test('a kept checkpoint may have the line ends of another system', async () => {
  const { log } = await logWithGaps(0);
  const [kept = ''] = log.checkpoints;

  for (const text of [kept.replaceAll('\n', '\r\n'), `\ufeff${kept}`, kept.slice(0, -1)])
    expect(await verify(log, { consistentWith: [text] })).toMatchObject({
      exitCode: 0,
      anchors: [3],
    });
});

test('a checkpoint or key of another log is wrong input, and not an altered log', async () => {
  const { log } = await logWithGaps(0);
  const [kept = ''] = log.checkpoints;
  const otherKey = openSigningKey(generateSigningKey(origin).signingKey);
  const otherLog = createWriter(signer, 'example.com/other/audit');
  otherLog.append(march, genesis());
  await otherLog.checkpoint();
  const resigned = await signCheckpoint(origin, 3, leafHash(Buffer.from('x')), [otherKey]);
  const given = (text: string) => wrongInput(verify(log, { consistentWith: [text] }));
  const idOf = (key: Signer): string => key.verifierKey.split('+')[1] ?? '';

  expect(await given('{"not":"a checkpoint"}')).toBe(
    'given checkpoint 1 is not a checkpoint: a text of origin, size and root, an empty line, and ' +
      'a signature.',
  );
  expect(await given(otherLog.log.checkpoints[0] ?? '')).toBe(
    `given checkpoint 1 belongs to the log "example.com/other/audit", not to "${origin}".`,
  );
  expect(await given(kept.replace('\n3\n', '\n2\n'))).toBe(
    'given checkpoint 1 has an invalid signature.',
  );
  expect(await given(resigned)).toContain(
    `given checkpoint 1 is signed by ${origin} (key id ${idOf(otherKey)}), and not by a key`,
  );
  const verifier = parseVerifierKey(otherKey.verifierKey);
  expect(await wrongInput(verify(log, { verifiers: [verifier] }))).toBe(
    `0 is signed by ${signer.verifierKey}, and not by a key that was given: ` +
      `${otherKey.verifierKey}. Give the key that signed it, when the owner of the log confirms ` +
      'that key.',
  );
});

// A14. 03af53f: "intact" for each of these logs.
test('the keys that sign are those that the records name', async () => {
  const second = openSigningKey(generateSigningKey(origin).signingKey);
  const both = [...verifiers, parseVerifierKey(second.verifierKey)];
  const rotated: LoggedEvent = {
    code: 'key.rotated',
    verifierKey: second.verifierKey,
    verifierKeyBefore: signer.verifierKey,
  };
  /** A log whose second checkpoint is signed by the second key. */
  const logWith = async (first: LoggedEvent, ...then: LoggedEvent[]): Promise<Log> => {
    const writer = createWriter();
    writer.append(march, first);
    await writer.checkpoint();
    writer.append(march + 1, ...then, intended('r-1'));
    await writer.checkpoint(second);
    return writer.log;
  };
  const kindsOf = async (log: Log) =>
    (await verify(log, { verifiers: both })).findings.map(({ id, level }) => [id, level]);

  const recorded = await logWith(genesis(), rotated);
  expect(await kindsOf(recorded)).toEqual([]);
  // The second key signed the records that name the first one.
  expect(await verify(recorded, { verifiers: both.slice(1) })).toMatchObject({
    state: 'intact',
    keys: [signer.verifierKey, second.verifierKey],
  });
  expect(await wrongInput(verify(recorded))).toContain(
    `1 is signed by ${second.verifierKey}, and not by a key that was given`,
  );
  expect(await kindsOf(await logWith(genesis()))).toEqual([['key-unrecorded:2', 'incomplete']]);
  expect(await kindsOf(await logWith(genesis(second)))).toEqual([
    ['key:0', 'altered'],
    ['key-unrecorded:2', 'incomplete'],
  ]);

  const foreign = createWriter();
  foreign.append(march, genesis());
  foreign.log.lines[0] = foreign.log.lines[0]?.replace(origin, 'example.com/other') ?? '';
  const tree = new Tree();
  tree.append(leafHash(Buffer.from(foreign.log.lines[0])));
  foreign.log.checkpoints.push(await signCheckpoint(origin, 1, tree.root(), [signer]));
  expect(await kindsOf(foreign.log)).toEqual([['origin:0', 'altered']]);
});
