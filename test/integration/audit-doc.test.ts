// The Python in docs/AUDIT.md, run with python3 and openssl; and the tables of that page.

import { execFileSync, spawnSync } from 'node:child_process';
import { createHash, createPublicKey, verify } from 'node:crypto';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { archivedMonths } from '../../src/audit/archive.ts';
import { generateSigningKey } from '../../src/audit/checkpoint.ts';
import { openWitnessKey } from '../../src/audit/cosignature.ts';
import { eventMeanings, fieldMeanings } from '../../src/audit/meanings.ts';
import { proveRecord } from '../../src/audit/proof.ts';
import { type FieldName, fields } from '../../src/audit/schema.ts';
import { filledLog, linesIn, origin, removeTempFolders, tempFolder } from '../harness/audit.ts';
import { testWith } from '../harness/tools.ts';

afterAll(removeTempFolders);
const page = readFileSync(join(import.meta.dirname, '../../docs/AUDIT.md'), 'utf8');
const [verifyCode = '', rootCode = '', checkpointCode = ''] = [
  ...page.matchAll(/```python\n([\s\S]*?)```/g),
].map(([, code]) => code ?? '');

testWith('python3', 'openssl')(
  'verify.py accepts a proof of every record, and nothing else',
  async () => {
    const folder = tempFolder();
    const script = join(folder, 'verify.py');
    writeFileSync(script, verifyCode);
    const log = await filledLog(11, 4);
    await log.close();
    const run = (proof: string, key: string): { status: number | null; output: string } => {
      writeFileSync(join(folder, 'p.tlog-proof'), proof);
      const { status, stdout, stderr } = spawnSync(
        'python3',
        [script, join(folder, 'p.tlog-proof'), key],
        { encoding: 'utf8' },
      );
      return { status, output: stdout + stderr };
    };
    for (const index of [0, 1, 2, 6, 13, 14, 15, 16, 20, 21, 22]) {
      const proof = await proveRecord(log.source, String(index));
      const { status, output } = run(proof ?? '', log.verifier.verifierKey);
      expect([index, status, output]).toEqual([
        index,
        0,
        expect.stringContaining(
          `record ${index} of 23 in ${origin}, signed by ${origin}:\n{"activity_id"`,
        ),
      ]);
    }

    const proof = (await proveRecord(log.source, '6')) ?? '';
    const extra = /extra (\S+)/.exec(proof)?.[1] ?? '';
    const forged = Buffer.from(
      Buffer.from(extra, 'base64').toString().replace('fleet-a', 'fleet-z'),
    ).toString('base64');
    expect(run(proof.replace(extra, forged), log.verifier.verifierKey).output).toContain(
      'NOT in the signed log',
    );
    expect(run(proof.replace('index 6', 'index 7'), log.verifier.verifierKey).status).not.toBe(0);
    expect(run(proof.replace('\n23\n', '\n24\n'), log.verifier.verifierKey).status).not.toBe(0);
    expect(run(proof, generateSigningKey(origin).verifierKey).status).not.toBe(0);
  },
);

testWith('python3')('root.py computes the root of the checkpoint', async () => {
  const script = join(tempFolder(), 'root.py');
  writeFileSync(script, rootCode);
  const log = await filledLog(40, 40);
  await log.close();
  const files = readdirSync(log.directory)
    .filter((name) => name.endsWith('.jsonl'))
    .sort();
  const checkpoint = readFileSync(
    join(log.directory, 'checkpoints', '000000000081.checkpoint'),
    'utf8',
  ).split('\n');

  const output = execFileSync(
    'python3',
    [script, ...files.map((name) => join(log.directory, name))],
    { encoding: 'utf8' },
  );

  expect(files.length).toBe(2);
  expect(output.trim()).toBe(`${checkpoint[1]} ${checkpoint[2]}`);
});

testWith('python3', 'openssl')(
  'checkpoint.py accepts the signature of the given key only',
  async () => {
    const script = join(tempFolder(), 'checkpoint.py');
    writeFileSync(script, checkpointCode);
    const log = await filledLog(3, 3);
    await log.close();
    const file = join(log.directory, 'checkpoints', '000000000007.checkpoint');
    const text = readFileSync(file, 'utf8');
    const run = (path: string, key: string) =>
      spawnSync('python3', [script, path, key], { encoding: 'utf8' });
    const forged = join(tempFolder(), 'forged');
    writeFileSync(forged, text.replace('\n7\n', '\n6\n'));

    expect(run(file, log.verifier.verifierKey)).toMatchObject({
      status: 0,
      stdout: `signed: ${text.split('\n').slice(0, 3).join(' ')}\n`,
    });
    expect(run(forged, log.verifier.verifierKey).status).not.toBe(0);
    expect(run(file, generateSigningKey(origin).verifierKey).status).not.toBe(0);
  },
);

testWith('python3')('the first records have the root of an older checkpoint', async () => {
  const folder = tempFolder();
  writeFileSync(join(folder, 'root.py'), rootCode);
  const log = await filledLog(6, 3);
  await log.close();
  const checkpoint = join(log.directory, 'checkpoints', '000000000007.checkpoint');
  const [, size, root] = readFileSync(checkpoint, 'utf8').split('\n');

  const output = execFileSync(
    'sh',
    ['-c', 'cat audit-*.jsonl | head -n 7 > "$0/first"; python3 "$0/root.py" "$0/first"', folder],
    { cwd: log.directory, encoding: 'utf8' },
  );

  expect(output.trim()).toBe(`${size} ${root}`);
});

// Written from the page alone, with the SHA-256 and Ed25519 of Node and nothing of this program.
describe('a verifier that is written from the page', () => {
  const sha = (...parts: (Buffer | string)[]): Buffer =>
    parts.reduce((hash, part) => hash.update(part), createHash('sha256')).digest();
  const [leafByte, nodeByte] = [Buffer.of(0), Buffer.of(1)];

  function rootOf(lines: readonly string[], start: readonly Buffer[] = [], count = 0): string {
    const stack = [...start];
    for (const [index, line] of lines.entries()) {
      let node = sha(leafByte, line);
      for (let n = count + index; n % 2 === 1; n = (n - 1) / 2)
        node = sha(nodeByte, stack.pop() ?? '', node);
      stack.push(node);
    }
    let node = stack.pop() ?? sha('');
    while (stack.length > 0) node = sha(nodeByte, stack.pop() ?? '', node);
    return node.toString('base64');
  }

  function isSigned(text: string, verifierKey: string): boolean {
    const [body = '', lines = ''] = text.split('\n\n');
    const [name = '', id = '', ...rest] = verifierKey.split('+');
    const key = Buffer.from(rest.join('+'), 'base64');
    if (sha(`${name}\n`, key).subarray(0, 4).toString('hex') !== id) return false;
    const spki = Buffer.concat([Buffer.from('302a300506032b6570032100', 'hex'), key.subarray(1)]);
    const signatures = lines
      .split('\n')
      .filter(Boolean)
      .map((line) => line.split(' '));
    const found = signatures
      .filter(([, signer]) => signer === name)
      .map(([, , data = '']) => Buffer.from(data, 'base64'))
      .find((data) => data.subarray(0, 4).toString('hex') === id);
    if (!found) return false;
    const isWitness = key[0] === 4;
    const seconds = isWitness ? found.readBigUInt64BE(4) : 0n;
    const message = isWitness ? `cosignature/v1\ntime ${seconds}\n${body}\n` : `${body}\n`;
    const signature = found.subarray(isWitness ? 12 : 4);
    const publicKey = createPublicKey({ key: spki, format: 'der', type: 'spki' });
    return verify(null, Buffer.from(message), publicKey, signature);
  }

  test('accepts checkpoints, cosignatures and an archive, and no other signature', async () => {
    const log = await filledLog(40, 4);
    const witness = openWitnessKey(generateSigningKey('witness.example/w1').signingKey);
    const all = linesIn(log.directory);
    const checkpoints = readdirSync(join(log.directory, 'checkpoints')).map((name) =>
      readFileSync(join(log.directory, 'checkpoints', name), 'utf8'),
    );
    const { verifierKey } = log.verifier;
    const other = generateSigningKey(origin).verifierKey;

    for (const text of checkpoints) {
      const [first, size, root] = text.split('\n');
      const note = text.slice(0, text.indexOf('\n\n') + 1);
      const cosigned = `${text}${witness.cosign(note, 1_700_000_000_000)}`;
      expect([first, root]).toEqual([origin, rootOf(all.slice(0, Number(size)))]);
      expect(isSigned(cosigned, verifierKey)).toBe(true);
      expect(isSigned(cosigned, witness.verifierKey)).toBe(true);
      expect(isSigned(text, other)).toBe(false);
      const forged = cosigned.replace(`\n${size}\n`, '\n1\n');
      for (const key of [verifierKey, witness.verifierKey])
        expect(isSigned(forged, key)).toBe(false);
    }
    const { source, signer } = log;
    for await (const { frontier, size } of archivedMonths({
      ...{ source, signer, origin },
      before: '2026-04',
    })) {
      const [, , , state = ''] = frontier.text.split('\n');
      const { frontier: hashes } = JSON.parse(
        Buffer.from(state.slice('state '.length), 'base64').toString(),
      );
      const start = hashes.map((hash: string) => Buffer.from(hash, 'base64'));
      expect(isSigned(frontier.text, verifierKey)).toBe(true);
      expect(rootOf(all.slice(size), start, size)).toBe(rootOf(all));
    }
    await log.close();
  });
});

/** The text between `<!-- name -->` and `<!-- /name -->`. */
const tableIn = (name: string): string =>
  new RegExp(`<!-- ${name} -->\\n([\\s\\S]*?)<!-- /${name} -->`).exec(page)?.[1] ?? '';
const tableOf = (head: string, rows: readonly (readonly [string, string])[]): string =>
  [
    `| ${head} |`,
    '| --- | --- |',
    ...rows.map(([name, text]) => `| \`${name}\` | ${text} |`),
    '',
  ].join('\n');

// A difference shows the table to copy into the page.
test('the page describes every field of a record and every event', () => {
  const rows = (Object.keys(fields) as FieldName[]).map(
    (name) => [fields[name].path, fieldMeanings[name]] as const,
  );

  expect(tableIn('fields')).toBe(tableOf('Field | What it holds', rows));
  expect(tableIn('events')).toBe(tableOf('Event | Meaning', Object.entries(eventMeanings)));
});
