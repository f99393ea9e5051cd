// Witnesses: cosigned checkpoints, and what the owner of the signing key cannot hide from them.
// Version 0.1 (03af53f) had none: a log that was changed and signed again with the real key was
// intact without a checkpoint that somebody kept.

import { createHash } from 'node:crypto';
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  generateSigningKey,
  openSigningKey,
  parseCheckpoint,
  parseNote,
  parseVerifierKey,
  parseWitnessKey,
  signCheckpoint,
} from '../../src/audit/checkpoint.ts';
import { cosignatureOf, openWitnessKey } from '../../src/audit/cosignature.ts';
import type { CosigningEvent, WitnessClient } from '../../src/audit/cosigning.ts';
import { openFileSource } from '../../src/audit/file-segments.ts';
import {
  base64Of,
  consistencyRanges,
  createRangeHasher,
  leafHash,
  Tree,
} from '../../src/audit/merkle.ts';
import { type Verification, verifyLog } from '../../src/audit/verify.ts';
import { openWitness, type Witness } from '../../src/audit/witness.ts';
import { openWitnessClient } from '../../src/audit/witness-client.ts';
import { openClock } from '../../src/clock.ts';
import { openListener } from '../../src/server/listener.ts';
import { createWitnessApp } from '../../src/server/witness-app.ts';
import {
  dayMs,
  intended,
  march,
  openTestLog,
  origin,
  outcome,
  processes,
  removeTempFolders,
  type TestLog,
  tempFolder,
  testClock,
} from '../harness/audit.ts';

afterEach(removeTempFolders);

const { signingKey } = generateSigningKey(origin);
const signer = openSigningKey(signingKey);
const cosigner = openWitnessKey(generateSigningKey('witness.example/w1').signingKey);
const witnessKey = parseWitnessKey(cosigner.verifierKey);

type TestWitness = AsyncDisposable & Witness & { readonly state: string; readonly url: string };

/** A witness on loopback. */
async function startWitness(state = join(tempFolder(), 'state')): Promise<TestWitness> {
  mkdirSync(state, { recursive: true });
  const logs = [parseVerifierKey(signer.verifierKey)];
  const clock = testClock(march);
  const core = await openWitness({ directory: state, cosigner, logs, clock, processes });
  const app = createWitnessApp(core, () => undefined);
  const listener = await openListener({ app, host: '127.0.0.1', port: 0, clock: openClock() });
  return {
    ...core,
    state,
    url: `http://127.0.0.1:${listener.port}`,
    [Symbol.asyncDispose]: async () => {
      await listener.close();
      await core.close();
    },
  };
}

const clientOf = ({ url }: TestWitness): WitnessClient =>
  openWitnessClient({ url, key: cosigner.verifierKey });

const leaves = Array.from({ length: 20 }, (_, index) => leafHash(Buffer.from(`${index}`)));
const treeOf = (size: number): Tree => {
  const tree = new Tree();
  for (const leaf of leaves.slice(0, size)) tree.append(leaf);
  return tree;
};
const checkpointOf = (size: number, by = signer, name = origin, root = treeOf(size).root()) =>
  signCheckpoint(name, size, root, [by]);
function proofOf(older: number, size: number): string {
  const hasher = createRangeHasher(consistencyRanges(older, size));
  for (const [index, leaf] of leaves.slice(0, size).entries()) hasher.add(index, leaf);
  return hasher
    .hashes()
    .map((hash) => `${base64Of(hash)}\n`)
    .join('');
}

test('the witness answers as C2SP tlog-witness says', async () => {
  await using witness = await startWitness();
  const post = async (body: string) => {
    const response = await fetch(`${witness.url}/add-checkpoint`, { method: 'POST', body });
    return [response.status, response.headers.get('content-type'), await response.text()];
  };
  const statusOf = async (body: string) => (await post(body))[0];
  const other = openSigningKey(generateSigningKey(origin).signingKey);
  const text = 'text/plain; charset=utf-8';
  const cosigned = [200, text, expect.stringMatching(/^— witness\.example\/w1 \S+\n$/)];
  const sizeIs = (size: number) => [409, 'text/x.tlog.size', `${size}\n`];

  expect(await post('no request')).toEqual([400, text, expect.any(String)]);
  expect(await statusOf(`old 0\nno hash\n\n${await checkpointOf(5)}`)).toBe(400);
  expect(await statusOf(`old 6\n\n${await checkpointOf(5)}`)).toBe(400);
  expect(await statusOf(`old 0\n\n${await checkpointOf(5, signer, 'other.example')}`)).toBe(404);
  expect(await statusOf(`old 0\n\n${await checkpointOf(5, other)}`)).toBe(403);
  expect(await post(`old 3\n${proofOf(3, 5)}\n${await checkpointOf(5)}`)).toEqual(sizeIs(0));
  expect(await post(`old 0\n\n${await checkpointOf(5)}`)).toEqual(cosigned);
  // Once more, and the same size with another root.
  expect(await post(`old 5\n\n${await checkpointOf(5)}`)).toEqual(cosigned);
  expect(await statusOf(`old 5\n\n${await checkpointOf(5, signer, origin, leaves[0])}`)).toBe(422);
  expect(await post(`old 0\n\n${await checkpointOf(9)}`)).toEqual(sizeIs(5));
  expect(await statusOf(`old 5\n${proofOf(4, 9)}\n${await checkpointOf(9)}`)).toBe(422);
  expect(await post(`old 5\n${proofOf(5, 9)}\n${await checkpointOf(9)}`)).toEqual(cosigned);
  expect(await post(`old 5\n${proofOf(5, 9)}\n${await checkpointOf(9)}`)).toEqual(sizeIs(9));
  expect(await fetch(witness.url).then(({ status }) => status)).toBe(404);
  // Monitors read what was cosigned last: the log's signature and the witness's.
  const hash = createHash('sha256').update(origin).digest('hex');
  const newest = await fetch(`${witness.url}/${hash}/checkpoint`).then((answer) => answer.text());
  expect(newest.startsWith(await checkpointOf(9))).toBe(true);
  expect(newest).toMatch(/\n— witness\.example\/w1 \S+\n$/);
  expect((await fetch(`${witness.url}/${hash.replace(/./g, '0')}/checkpoint`)).status).toBe(404);
});

test('a cosignature is what C2SP tlog-cosignature says', async () => {
  const text = await checkpointOf(5);
  const line = cosigner.cosign(parseCheckpoint(text)?.note.text ?? '', 1_700_000_000_999);
  const bytes = Buffer.from(line.trim().split(' ')[2] ?? '', 'base64');
  const note = parseNote(`${text}${line}`);
  const forged = parseNote(`${text}${line}`.replace('\n5\n', '\n6\n'));

  expect(bytes.length).toBe(4 + 8 + 64);
  expect(bytes.subarray(0, 4).toString('hex')).toBe(cosigner.verifierKey.split('+')[1]);
  expect(bytes.readBigUInt64BE(4)).toBe(1_700_000_000n);
  expect(note && cosignatureOf(note, witnessKey)).toMatchObject({ timeMs: 1_700_000_000_000 });
  expect(forged && cosignatureOf(forged, witnessKey)).toBe('invalid');
});

test('the state of a witness survives it, and a damaged state is not an empty one', async () => {
  const state = join(tempFolder(), 'state');
  const first = await startWitness(state);
  await first.addCheckpoint(`old 0\n\n${await checkpointOf(5)}`);
  await first[Symbol.asyncDispose]();
  const [file = ''] = readdirSync(state).filter((name) => name.endsWith('.checkpoint'));

  await using second = await startWitness(state);
  const answers = await Promise.all(
    [6, 7, 8].map(async (size) =>
      second.addCheckpoint(`old 5\n${proofOf(5, size)}\n${await checkpointOf(size)}`),
    ),
  );

  // They compete, and one of them wins.
  expect(answers.map(({ status }) => status)).toEqual([200, 409, 409]);
  expect(readFileSync(join(state, file), 'utf8')).toBe(
    `${await checkpointOf(6)}${answers[0]?.body}`,
  );
  writeFileSync(join(state, file), 'damaged');
  await expect(second.addCheckpoint(`old 0\n\n${await checkpointOf(9)}`)).rejects.toThrow(
    'the state of the witness is damaged',
  );
});

/** A log of three days, each with a cosigned checkpoint. */
async function cosignedLog(witness: TestWitness): Promise<TestLog> {
  const log = await openTestLog({ signingKey, witnesses: [clientOf(witness)] });
  for (const day of [0, 1, 2]) {
    log.clock.atMs = march + day * dayMs;
    await log.append([intended(`r-${day}`), outcome(`r-${day}`)]);
    await log.checkpoint();
    await log.witnessed();
  }
  await log.close();
  return log;
}

/** `required`: how many witnesses; 0: none is asked. */
const verify = (
  directory: string,
  client: WitnessClient,
  required: 0 | 1 = 1,
): Promise<Verification> =>
  verifyLog(openFileSource(directory, testClock()), {
    verifiers: [parseVerifierKey(signer.verifierKey)],
    witnesses: { clients: [client], required: required || undefined },
  });
const idsOf = ({ findings }: Verification): string[] => findings.map(({ id }) => id);

test('every checkpoint is cosigned, and the time of the witness is shown', async () => {
  await using witness = await startWitness();
  const { directory } = await cosignedLog(witness);

  const found = await verify(directory, clientOf(witness));

  expect(found).toMatchObject({ state: 'intact', records: 7 });
  expect(found.cosignatures).toEqual([
    { witness: 'witness.example/w1', verifierKey: cosigner.verifierKey, timeMs: march },
  ]);
  for (const size of [3, 5, 7]) {
    const file = join(directory, 'checkpoints', `${String(size).padStart(12, '0')}.checkpoint`);
    const note = parseNote(readFileSync(file, 'utf8'));
    expect(note && cosignatureOf(note, witnessKey)).toMatchObject({ timeMs: march });
  }
});

/** The lines of a log, and a checkpoint of some sizes, signed again with the real key. */
async function rewrite(
  { directory }: TestLog,
  edit: (lines: string[]) => string[],
): Promise<string> {
  const copy = join(tempFolder(), 'audit');
  cpSync(directory, copy, { recursive: true });
  rmSync(join(copy, 'checkpoints'), { recursive: true });
  mkdirSync(join(copy, 'checkpoints'));
  const file = join(copy, 'audit-2026-03.jsonl');
  const lines = edit(readFileSync(file, 'utf8').split('\n').slice(0, -1));
  writeFileSync(file, lines.map((line) => `${line}\n`).join(''));
  const tree = new Tree();
  for (const line of lines) {
    tree.append(leafHash(Buffer.from(line)));
    if (![3, 5, 7].includes(tree.size)) continue;
    const text = await signCheckpoint(origin, tree.size, tree.root(), [signer]);
    const name = `${String(tree.size).padStart(12, '0')}.checkpoint`;
    writeFileSync(join(copy, 'checkpoints', name), text);
  }
  return copy;
}

// 03af53f: "intact" for all three.
test('a fork, a rollback and a changed record signed with the real key are altered', async () => {
  await using witness = await startWitness();
  const log = await cosignedLog(witness);
  const edited = await rewrite(log, (lines) =>
    lines.map((line, index) => (index === 1 ? line.replace('"fleet-a"', '"fleet-z"') : line)),
  );
  const shortened = await rewrite(log, (lines) => lines.slice(0, 5));
  // The same beginning, and another end: it is longer than what the witness has seen.
  const forked = await rewrite(log, (lines) => lines.slice(0, 5));
  const fork = await openTestLog({
    directory: forked,
    signingKey,
    clock: testClock(march + dayMs),
  });
  await fork.append([intended('x-1'), outcome('x-1'), intended('x-2')]);
  await fork.checkpoint();
  await fork.close();

  for (const [directory, message] of [
    [edited, 'it has seen another checkpoint of 7 records'],
    [shortened, 'has seen 7 records, and the newest checkpoint covers 5'],
    [forked, 'it has seen other records before 8'],
  ] as const) {
    const without = await verify(directory, clientOf(witness), 0);
    const found = await verify(directory, clientOf(witness));
    expect([message, idsOf(without)]).toEqual([message, []]);
    expect(found).toMatchObject({ state: 'altered', exitCode: 4 });
    expect(idsOf(found)).toContain('witness-conflict:witness.example/w1');
    expect(found.findings[0]?.message).toContain(message);
  }
  // The true log is what it was.
  expect(await verify(log.directory, clientOf(witness))).toMatchObject({ state: 'intact' });
});

test('the writer reports that its witness has seen another history', async () => {
  await using witness = await startWitness();
  const log = await cosignedLog(witness);
  const directory = await rewrite(log, (lines) => lines.slice(0, 5));
  const events: CosigningEvent[] = [];
  const witnesses = [clientOf(witness)];

  const again = await openTestLog({
    directory,
    signingKey,
    clock: testClock(march + 3 * dayMs),
    witnesses,
    onCosigning: (event) => events.push(event),
  });
  await again.append([intended('x-1')]);
  await again.checkpoint();
  await again.witnessed();
  await again.append([intended('x-2'), intended('x-3')]);
  await again.checkpoint();
  await again.close();

  expect(events).toEqual([
    {
      event: 'witness.refused',
      witness: 'witness.example/w1',
      detail: 'it has seen 7 records, and checkpoints cover 6',
    },
    {
      event: 'witness.refused',
      witness: 'witness.example/w1',
      detail: 'it has seen other records before 8',
    },
  ]);
});

test('a witness that does not answer delays no append and no checkpoint', async () => {
  let answer: (response: null) => void = () => undefined;
  const silent: WitnessClient = {
    verifier: witnessKey,
    send: () =>
      new Promise((resolve) => {
        answer = resolve;
      }),
  };
  const events: CosigningEvent[] = [];
  const log = await openTestLog({
    signingKey,
    witnesses: [silent],
    onCosigning: (event) => events.push(event),
  });

  await log.append([intended('r-1')]);
  await log.checkpoint();
  await log.append([outcome('r-1')]);
  await log.checkpoint();
  expect(events).toEqual([]);
  answer(null);
  // The newer checkpoint, which waited.
  await new Promise(setImmediate);
  answer(null);
  await log.close();

  const failed = { event: 'witness.failed', witness: 'witness.example/w1', detail: 'no response' };
  expect(events).toEqual([failed, failed]);
  const found = await verify(log.directory, { ...silent, send: async () => null });
  expect(found).toMatchObject({ state: 'incomplete', exitCode: 1, counts: { witness: 1 } });
  expect(found.findings[0]?.message).toBe(
    '0 of 1 required witnesses cosigned the newest checkpoint, of 3 records; missing: ' +
      'witness.example/w1 (no response)',
  );
});

test('a witness that missed checkpoints continues with a proof from all records', async () => {
  await using witness = await startWitness();
  const { directory, clock } = await cosignedLog(witness);
  const { length } = readdirSync(join(directory, 'checkpoints'));
  // Two runs without the witness, and a third one whose cache is newer than what it has seen.
  for (const run of [1, 2, 3]) {
    const log = await openTestLog({
      directory,
      signingKey,
      clock,
      witnesses: run === 3 ? [clientOf(witness)] : [],
    });
    await log.append([intended(`x-${run}`), outcome(`x-${run}`)]);
    await log.checkpoint();
    await log.close();
  }

  expect(readdirSync(join(directory, 'checkpoints')).length).toBe(length + 3);
  expect(await verify(directory, clientOf(witness), 0)).toMatchObject({
    state: 'intact',
    records: 13,
    cosignatures: [{ witness: 'witness.example/w1' }],
  });
});

test('a forged cosignature is altered', async () => {
  await using witness = await startWitness();
  const { directory } = await cosignedLog(witness);
  const file = join(directory, 'checkpoints', '000000000007.checkpoint');
  const text = readFileSync(file, 'utf8');
  const line = text.split('\n').find((one) => one.startsWith('— witness')) ?? '';
  const bytes = Buffer.from(line.split(' ')[2] ?? '', 'base64');
  bytes.writeBigUInt64BE(1n, 4);
  writeFileSync(file, text.replace(line, `— witness.example/w1 ${bytes.toString('base64')}`));

  const found = await verify(directory, clientOf(witness), 0);

  expect(found.state).toBe('altered');
  expect(idsOf(found)).toEqual(['signature:witness.example/w1']);
});
