// The audit log in objects, against the fake S3: two writers, lost responses, cold starts, damage.

import {
  generateSigningKey,
  openSigningKey,
  parseCheckpoint,
  parseVerifierKey,
  parseWitnessKey,
} from '../../src/audit/checkpoint.ts';
import { openWitnessKey } from '../../src/audit/cosignature.ts';
import type { WitnessClient } from '../../src/audit/cosigning.ts';
import { type AuditWriter, openAuditLog } from '../../src/audit/log.ts';
import { openObjectSegments } from '../../src/audit/object-segments.ts';
import { viewLine } from '../../src/audit/record.ts';
import { verifyLog } from '../../src/audit/verify.ts';
import { openKmsSigner } from '../../src/aws/kms-signer.ts';
import { openS3Objects } from '../../src/aws/s3-objects.ts';
import { openClock } from '../../src/clock.ts';
import type { AuditEvent } from '../../src/rotation/event.ts';
import { type AwsFake, openAwsFake } from '../fakes/aws.ts';

const origin = 'test.example/objects';
const { signingKey, verifierKey } = generateSigningKey(origin);
const clock = openClock();

let aws: AwsFake;
let logs: AuditWriter[];
let stray: string[];
beforeEach(async () => {
  aws = await openAwsFake();
  Object.assign(process.env, aws.env);
  logs = [];
  stray = [];
});
afterEach(async () => {
  for (const log of logs) await log.close();
  await aws.close();
});

async function open(
  prefix = 'audit/',
  witnesses: readonly WitnessClient[] = [],
): Promise<AuditWriter> {
  const objects = openS3Objects({
    subject: 'audit log',
    bucket: aws.bucket,
    prefix,
    region: 'us-east-1',
    requestTimeoutMs: 2_000,
    clock,
  });
  const log = await openAuditLog({
    segments: openObjectSegments(objects),
    signer: openSigningKey(signingKey),
    clock,
    origin,
    context: {
      actor: { name: 'tester' },
      productVersion: '0.0.0',
      policy: { maxAgeDays: 90, warnAgeDays: 75 },
    },
    fallback: (line) => stray.push(line),
    witnesses,
  });
  logs.push(log);
  return log;
}

const event = (code: AuditEvent['code'], rotationId: string, account = 'east'): AuditEvent => ({
  code,
  status: code === 'rotation.intended' ? 'started' : 'success',
  account,
  secretId: `thingspace/${account}`,
  rotationId,
  trigger: { kind: 'manual' },
});

const stored = (kind: 'records' | 'checkpoints' | 'heads'): [string, string][] =>
  [...aws.objects]
    .filter(([name]) => name.startsWith(`audit/${kind}/`))
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, bytes]) => [name, bytes.toString('utf8')]);
const lines = (): string[] => stored('records').flatMap(([, text]) => text.trimEnd().split('\n'));
const sequences = (): (number | undefined)[] => lines().map((line) => viewLine(line)?.sequence);

test('each append is one object, named by its first sequence number', async () => {
  const log = await open();
  await log.append([event('rotation.intended', 'r1'), event('secret.stored', 'r1')]);
  await log.append([event('rotation.outcome', 'r1')]);

  expect(stored('records').map(([name]) => name)).toEqual([
    'audit/records/000000000000.jsonl',
    'audit/records/000000000001.jsonl',
    'audit/records/000000000003.jsonl',
  ]);
  expect(sequences()).toEqual([0, 1, 2, 3]);
});

test('two writers at once lose no record and use no number twice', async () => {
  const [one, other] = [await open(), await open()];
  const both = [one, other];

  await Promise.all(
    Array.from({ length: 60 }, (_, index) =>
      both[index % 2]?.append([event('rotation.intended', `r${index}`)]),
    ),
  );

  expect(sequences()).toEqual(Array.from({ length: 61 }, (_, index) => index));
  expect(new Set(lines().map((line) => viewLine(line)?.rotationId)).size).toBe(61);
});

test('two instances that open an empty log at once begin it once', async () => {
  const both = await Promise.all([open(), open(), open()]);

  for (const [index, log] of both.entries())
    await log.append([event('rotation.intended', `r${index}`)]);

  expect(lines().map((line) => viewLine(line)?.code)).toEqual([
    'log.genesis',
    'rotation.intended',
    'rotation.intended',
    'rotation.intended',
  ]);
  expect(sequences()).toEqual([0, 1, 2, 3]);
});

test('appends at the same moment share an object', async () => {
  const log = await open();

  await Promise.all(
    Array.from({ length: 40 }, (_, index) => log.append([event('rotation.intended', `r${index}`)])),
  );

  expect(sequences()).toHaveLength(41);
  expect(stored('records').length).toBeLessThan(6);
});

test('a stored append whose response was lost is not stored again', async () => {
  const log = await open();
  aws.inject('PutObject', 'lost');

  await log.append([event('rotation.intended', 'r1')]);

  expect(lines().filter((line) => line.includes('rotation.intended'))).toHaveLength(1);
});

test('an intent stays open for every instance until some instance writes its outcome', async () => {
  const one = await open();
  await one.append([event('rotation.intended', 'r1')]);
  const other = await open();

  const before = (await other.rotationsOf('east')).open;
  await one.append([event('rotation.outcome', 'r1')]);
  const after = (await other.rotationsOf('east')).open;

  expect(before.map(({ rotationId }) => rotationId)).toEqual(['r1']);
  expect(after).toEqual([]);
});

test('a cold start reads the newest head and later records only', async () => {
  const log = await open();
  for (let index = 0; index < 30; index += 1)
    await log.append([event('rotation.intended', `r${index}`)]);
  await log.checkpoint();
  await log.append([event('rotation.outcome', 'r3')]);
  aws.calls.length = 0;

  const cold = await open();
  const open30 = (await cold.rotationsOf('east')).open;

  expect(open30).toHaveLength(29);
  expect(aws.calls.length).toBeLessThan(8);
});

test('a head that does not fit its checkpoint is not used', async () => {
  const log = await open();
  await log.append([event('rotation.intended', 'r1')]);
  await log.checkpoint();
  const [[name = '', text = ''] = []] = stored('heads');
  const forged = {
    ...JSON.parse(text),
    open: [{ rotationId: 'forged', account: 'east', intendedAtMs: 1 }],
  };
  forged.frontier[0] = Buffer.alloc(32).toString('base64');
  aws.objects.set(name, Buffer.from(JSON.stringify(forged)));

  const cold = await open();
  const intents = (await cold.rotationsOf('east')).open;
  await cold.append([event('rotation.outcome', 'r1')]);

  expect(intents.map(({ rotationId }) => rotationId)).toEqual(['r1']);
  expect(sequences()).toEqual([0, 1, 2]);
});

test('a head whose checkpoint our key did not sign is not used', async () => {
  const log = await open();
  await log.append([event('rotation.intended', 'r1')]);
  await log.checkpoint();
  const [[name = '', text = ''] = []] = stored('heads');
  const [[note = '', signed = ''] = []] = stored('checkpoints');
  aws.objects.set(name, Buffer.from(JSON.stringify({ ...JSON.parse(text), open: [] })));
  const changed = signed.slice(-90, -80).replace(/[A-Za-z]/g, 'x');
  aws.objects.set(note, Buffer.from(`${signed.slice(0, -90)}${changed}${signed.slice(-80)}`));

  const intents = (await (await open()).rotationsOf('east')).open;

  expect(intents.map(({ rotationId }) => rotationId)).toEqual(['r1']);
});

test('a denied request names the permission, and outcomes go to the fallback', async () => {
  const log = await open();
  aws.inject('PutObject', 'denied', 2);

  await expect(log.append([event('rotation.intended', 'r1')])).rejects.toMatchObject({
    reason: 'audit-unavailable',
    message: expect.stringMatching(/s3:PutObject on audit log s3:.* is not allowed \(AccessDenied/),
  });
  await expect(log.append([event('rotation.outcome', 'r2')])).rejects.toMatchObject({
    reason: 'audit-unavailable',
  });
  await log.append([event('rotation.outcome', 'r3')]);

  expect(
    stray.map((line) => viewLine(`${line}`)?.code ?? JSON.parse(line).metadata.event_code),
  ).toEqual(['rotation.outcome']);
  expect(lines().map((line) => viewLine(line)?.code)).toEqual([
    'log.genesis',
    'sink.failed',
    'rotation.outcome',
  ]);
});

test('a bucket that is throttled for a moment is asked again', async () => {
  const log = await open();
  aws.inject('PutObject', 'unavailable', 2);

  await log.append([event('rotation.intended', 'r1')]);

  expect(sequences()).toEqual([0, 1]);
});

test('a checkpoint without new records adds a heartbeat', async () => {
  const log = await open();
  await log.checkpoint();
  await log.checkpoint();
  const other = await open();
  await other.append([event('rotation.intended', 'r1')]);
  const [a, b] = await Promise.all([log.checkpoint(), other.checkpoint()]);

  expect(lines().filter((line) => line.includes('log.heartbeat')).length).toBeGreaterThanOrEqual(1);
  expect([a.size, b.size].sort()).toEqual([a.size, b.size]);
  for (const [, text] of stored('checkpoints')) expect(parseCheckpoint(text)?.origin).toBe(origin);
});

test('the log of another origin is not continued', async () => {
  const log = await open();
  await log.checkpoint();
  for (const [name, text] of stored('checkpoints'))
    aws.objects.set(name, Buffer.from(text.replaceAll(origin, 'somebody.else/log')));

  await expect(open()).rejects.toMatchObject({ reason: 'audit-unavailable' });
});

test('verify reports an intact log, and a record that was changed', async () => {
  const log = await open();
  for (let index = 0; index < 20; index += 1)
    await log.append([
      event('rotation.intended', `r${index}`),
      event('rotation.outcome', `r${index}`),
    ]);
  await log.checkpoint();

  const intact = await verifyLog(log.source, {
    verifiers: [parseVerifierKey(verifierKey)],
    nowMs: clock.nowMs(),
  });
  const [, [name = '', text = ''] = []] = stored('records');
  aws.objects.set(name, Buffer.from(text.replace('"r0"', '"rX"')));
  const altered = await verifyLog(log.source, {
    verifiers: [parseVerifierKey(verifierKey)],
    nowMs: clock.nowMs(),
  });

  expect([intact.state, altered.state]).toEqual(['intact', 'altered']);
});

test('a cosignature is an object beside its checkpoint, which cannot be replaced', async () => {
  const cosigner = openWitnessKey(generateSigningKey('witness.example/w1').signingKey);
  const client: WitnessClient = {
    verifier: parseWitnessKey(cosigner.verifierKey),
    send: async (body) => {
      const text = body.slice(body.indexOf('\n\n') + 2);
      return { status: 200, body: cosigner.cosign(parseCheckpoint(text)?.note.text ?? '', 9_000) };
    },
  };
  const log = await open('audit/', [client]);
  await log.append([event('rotation.intended', 'r1')]);
  await log.checkpoint();
  await log.witnessed();

  const [checkpoint, cosignature, ...more] = stored('checkpoints').map(([name]) => name);
  expect(checkpoint).toBe('audit/checkpoints/000000000002.checkpoint');
  expect(cosignature).toMatch(/^audit\/checkpoints\/000000000002\.checkpoint\.[0-9a-f]{16}$/);
  expect(more).toEqual([]);
  const found = await verifyLog(log.source, {
    verifiers: [parseVerifierKey(verifierKey)],
    witnesses: { clients: [client] },
  });
  expect(found).toMatchObject({
    state: 'intact',
    checkpoints: 1,
    cosignatures: [{ witness: 'witness.example/w1', timeMs: 9_000 }],
  });
  // The next cold start finds the checkpoint, and not its cosignature.
  const again = await open('audit/', [client]);
  await again.append([event('rotation.outcome', 'r1')]);
  expect(sequences()).toEqual([0, 1, 2]);
});

test('an unusable KMS key is named, with the missing permission or as missing', async () => {
  const options = { name: origin, region: 'us-east-1', requestTimeoutMs: 2_000, clock };
  aws.inject('GetPublicKey', 'denied');

  await expect(openKmsSigner({ ...options, keyId: aws.keyArn })).rejects.toThrow(
    /kms:GetPublicKey on audit.kmsKeyId .* is not allowed/,
  );
  await expect(openKmsSigner({ ...options, keyId: 'alias/none' })).rejects.toThrow(
    /NotFoundException/,
  );
});
