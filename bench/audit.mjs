// The audit log against the plain tools: verify against openssl, list against grep, append against
// a bare write and fdatasync.
//
//   node bench/audit.mjs [--records 1000000] [--large]
//
// --large measures memory over ten times as many records as well (15 GB in the temporary folder).
// docs/BENCHMARKS.md has the results.

import { execFileSync, spawnSync } from 'node:child_process';
import {
  closeSync,
  fdatasyncSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const root = join(import.meta.dirname, '..');
const argument = (name, otherwise) => {
  const at = process.argv.indexOf(name);
  return at < 0 ? otherwise : Number(process.argv[at + 1]);
};
const count = argument('--records', 1_000_000);
const work = mkdtempSync(join(process.env['TMPDIR'] ?? tmpdir(), 'bench-audit-'));
process.on('exit', () => rmSync(work, { recursive: true, force: true }));

/** The audit code, bundled into one file as in the command-line program. */
async function load() {
  const outfile = join(work, 'audit.mjs');
  const exports = [
    ...[
      'checkpoint',
      'file-segments',
      'log',
      'merkle',
      'query',
      'record',
      'segments',
      'verify',
    ].map((name) => `audit/${name}`),
    'clock',
    'process-identity',
  ];
  const input = exports.map((name) => `export * from '${root}/src/${name}.ts';\n`).join('');
  const args = [
    '--bundle',
    '--platform=node',
    '--format=esm',
    `--outfile=${outfile}`,
    '--log-level=error',
    '--loader=ts',
  ];
  execFileSync(join(root, 'node_modules/.bin/esbuild'), args, { input, cwd: root });
  return import(pathToFileURL(outfile).href);
}

const origin = 'example.com/bench';
const secretArn = 'arn:aws:secretsmanager:us-east-1:123456789012:secret:thingspace';
const context = {
  actor: {
    name: 'arn:aws:sts::123456789012:assumed-role/thingspace-rotator/thingspace-rotator-prod',
    uid: 'AROAEXAMPLEEXAMPLE:thingspace-rotator-prod',
  },
  productVersion: '1.0.0',
  sourceEndpoint: { hostname: 'ip-10-0-0-1.ec2.internal', ip: '10.0.0.1' },
  cloud: { provider: 'AWS', region: 'us-east-1', accountUid: '123456789012' },
  policy: { maxAgeDays: 90, warnAgeDays: 75 },
};
const eventOf = (index) => ({
  code: 'rotation.outcome',
  status: 'success',
  certainty: 'rotated',
  account: index % 5000 === 0 ? 'the-one' : `fleet-${index % 200}`,
  secretId: `${secretArn}/fleet-${index % 200}-AbCdEf`,
  username: `UWSFLEET${index % 200}`,
  rotationId: `6f1c2d3e-0000-4000-8000-${String(index).padStart(12, '0')}`,
  versionBefore: `5f1c2d3e-0000-4000-8000-${String(index).padStart(12, '0')}`,
  versionAfter: `6f1c2d3e-0000-4000-8000-${String(index).padStart(12, '0')}`,
  verifiedBy: 'login',
  deadWindowMs: 840 + (index % 300),
  ageDaysBefore: 75,
  nextDueMs: Date.UTC(2026, 5, 1) + index,
  trigger: {
    kind: 'schedule',
    requestedBy: 'scheduler',
    reason: 'the password is 75 days old, and policy asks for a new one after 75 days',
  },
});

/**
 * Writes a log of `records` in one month file with a checkpoint per thousand, without the locks and
 * syncs of the audit log, because that is faster. Returns the verifier key.
 */
async function generate(audit, directory, records) {
  const { signingKey } = audit.generateSigningKey(origin);
  const signer = audit.openSigningKey(signingKey);
  mkdirSync(join(directory, 'checkpoints'), { recursive: true });
  const fd = openSync(join(directory, 'audit-2026-03.jsonl'), 'w');
  const tree = new audit.Tree();
  let lines = [];
  for (let index = 0; index < records; index += 1) {
    const timeMs = Date.UTC(2026, 2, 1) + index * 2;
    const stamp = { uid: audit.uuidv7(timeMs), sequence: index, timeMs, origin, batchRemaining: 0 };
    const line = Buffer.from(audit.formatRecord(eventOf(index), stamp, context));
    tree.append(audit.leafHash(line));
    lines.push(line, Buffer.from('\n'));
    if ((index + 1) % 1000 === 0 || index + 1 === records) {
      writeSync(fd, Buffer.concat(lines));
      lines = [];
      const text = await audit.signCheckpoint(origin, index + 1, tree.root(), [signer]);
      writeFileSync(join(directory, 'checkpoints', audit.checkpointFile(index + 1)), text);
    }
  }
  closeSync(fd);
  return signer.verifierKey;
}

const medianOf = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];
const rows = [];
const row = (what, ours, theirs, bar) =>
  rows.push({
    what,
    ours,
    theirs,
    ratio: (Number.parseFloat(ours) / Number.parseFloat(theirs)).toFixed(2),
    bar,
  });
const seconds = (ms) => `${(ms / 1000).toFixed(2)} s`;

function timedProcess(command, args) {
  const started = performance.now();
  const done = spawnSync(command, args, { encoding: 'utf8', maxBuffer: 1 << 30 });
  if (done.error) throw done.error;
  return { ms: performance.now() - started, output: done.stdout, done };
}

/** A fresh process for each figure, as the command-line program would be; start-up and all. */
function ours(program, args) {
  const bundle = pathToFileURL(join(work, 'audit.mjs')).href;
  const text = `import * as audit from ${JSON.stringify(bundle)};\n${program}`;
  const file = join(work, 'step.mjs');
  writeFileSync(file, text);
  const { ms, done } = timedProcess(process.execPath, [file, ...args]);
  if (done.status !== 0) throw new Error(done.stderr);
  return { ms, output: done.stdout };
}

const verifyProgram = `
const [directory, key] = process.argv.slice(2);
const verifiers = [audit.parseVerifierKey(key)];
const source = audit.openFileSource(directory, audit.openClock());
const found = await audit.verifyLog(source, { verifiers });
if (found.state !== 'intact') throw new Error(JSON.stringify(found.findings));
console.log(process.resourceUsage().maxRSS / 1024);`;
const listProgram = `
const [directory] = process.argv.slice(2);
let count = 0;
const source = audit.openFileSource(directory, audit.openClock());
const records = audit.listRecords(source, { account: 'the-one' });
for await (const record of records) count += record.line.length > 0;
console.log(count);`;

const times = (runs, step) => medianOf(Array.from({ length: runs }, step));

const audit = await load();
const directory = join(work, 'audit');
const verifierKey = await generate(audit, directory, count);
const file = join(directory, 'audit-2026-03.jsonl');
console.log(
  `${count} records, ${(statSync(file).size / 1e9).toFixed(2)} GB, Node ${process.version}`,
);

const memory = [];
const verifyMs = times(3, () => {
  const { ms, output } = ours(verifyProgram, [directory, verifierKey]);
  memory.push(Number(output));
  return ms;
});
row(
  'verify : openssl dgst -sha256',
  seconds(verifyMs),
  seconds(times(3, () => timedProcess('openssl', ['dgst', '-sha256', file]).ms)),
  '2.5',
);

const grepped =
  timedProcess('grep', ['-F', '"account":{"name":"the-one"}', file]).output.split('\n').length - 1;
const listMs = times(3, () => {
  const { ms, output } = ours(listProgram, [directory]);
  if (Number(output) !== grepped) throw new Error(`listed ${output}, grep found ${grepped}`);
  return ms;
});
row(
  'list --account : grep -F',
  seconds(listMs),
  seconds(times(3, () => timedProcess('grep', ['-F', '"account":{"name":"the-one"}', file]).ms)),
  '2',
);

// Both alternate every hundred appends, so that other load on the machine affects them equally.
const clock = audit.openClock();
const log = await audit.openAuditLog({
  segments: await audit.openFileSegments({
    directory: join(work, 'appended'),
    processes: audit.openProcessIdentity(process.pid),
    clock,
  }),
  signer: audit.openSigningKey(audit.generateSigningKey(origin).signingKey),
  clock,
  origin,
  context,
});
const bare = openSync(join(work, 'bare.jsonl'), 'a');
const stamp = { uid: audit.uuidv7(1), sequence: 1, timeMs: 1, origin, batchRemaining: 0 };
const sample = Buffer.from(`${audit.formatRecord(eventOf(1), stamp, context)}\n`);
const per = { append: [], bare: [] };
for (let round = 0; round < 40; round += 1) {
  const events = Array.from({ length: 100 }, (_, index) => [eventOf(index)]);
  const begin = performance.now();
  for (const event of events) await log.append(event);
  const middle = performance.now();
  for (let index = 0; index < 100; index += 1) {
    writeSync(bare, sample);
    fdatasyncSync(bare);
  }
  per.append.push((middle - begin) * 10);
  per.bare.push((performance.now() - middle) * 10);
}
closeSync(bare);
await log.close();
row(
  'append : write + fdatasync',
  `${medianOf(per.append).toFixed(0)} µs`,
  `${medianOf(per.bare).toFixed(0)} µs`,
  '1.15',
);

if (process.argv.includes('--large')) {
  rmSync(directory, { recursive: true });
  const large = join(work, 'large');
  const key = await generate(audit, large, count * 10);
  const { output } = ours(verifyProgram, [large, key]);
  row(
    `memory of verify, ${count * 10} : ${count}`,
    `${Number(output).toFixed(0)} MB`,
    `${medianOf(memory).toFixed(0)} MB`,
    'flat',
  );
} else {
  console.log(`memory of verify: ${medianOf(memory).toFixed(0)} MB`);
}
console.table(rows);
