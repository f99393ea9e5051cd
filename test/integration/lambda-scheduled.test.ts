// The daily run, orders, and the queue worker, in this process against simulated services.

import { createHash } from 'node:crypto';
import { generateIdentity, identityToRecipient } from 'age-encryption';
import {
  checkNote,
  keyIdOf,
  parseCheckpoint,
  parseVerifierKey,
} from '../../src/audit/checkpoint.ts';
import { viewLine } from '../../src/audit/record.ts';
import { formatWork, parseWork } from '../../src/lambda/messages.ts';
import { runScheduled } from '../../src/lambda/scheduled.ts';
import { needsRedelivery, runWorker } from '../../src/lambda/sqs-worker.ts';
import { openReceipt } from '../../src/receipts/receipts.ts';
import { failures, type Reason } from '../../src/rotation/failure.ts';
import { Secret } from '../../src/secret.ts';
import { type LambdaRig, openLambdaRig, sqsEvent } from '../harness/lambda-world.ts';

let rig: LambdaRig;
afterEach(() => rig.close());

const byHand = { action: 'rotate', force: true, reason: 'quarterly', changeRef: 'CHG-7' };
const daily = { source: 'aws.scheduler' };

/** Every audit record, in order. */
const records = () =>
  [...rig.aws.objects]
    .filter(([name]) => name.includes('/records/') || name.startsWith('audit/records/'))
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .flatMap(([, bytes]) => bytes.toString('utf8').trimEnd().split('\n'))
    .map((line) => viewLine(line));

/** The metrics of all EMF lines, by name. */
function metricsIn(lines: readonly string[]): Record<string, Record<string, unknown>[]> {
  const found: Record<string, Record<string, unknown>[]> = {};
  for (const line of lines) {
    const parsed = JSON.parse(line);
    for (const { Metrics } of parsed._aws?.CloudWatchMetrics ?? []) {
      for (const { Name } of Metrics) {
        const { _aws, ...rest } = parsed;
        found[Name] = [...(found[Name] ?? []), rest];
      }
    }
  }
  return found;
}

test('an order rotates the accounts that it names, and is audited with its reason', async () => {
  rig = await openLambdaRig({ users: { east: 'old-east', west: 'old-west' } });
  const instance = rig.instance();

  const answer = await instance.invoke(runScheduled, {
    ...byHand,
    accounts: ['thingspace/east'],
    requestedBy: 'ops',
  });

  expect(answer).toMatchObject({
    exitCode: 0,
    accounts: 1,
    queued: [],
    results: [{ account: 'thingspace/east', outcome: 'rotated' }],
  });
  expect(rig.current('east').password).toBe(rig.thingspace.livePassword('east'));
  expect(rig.current('west').password).toBe('old-west');
  const intended = records().find((record) => record?.code === 'rotation.intended');
  expect(intended).toMatchObject({
    trigger: 'manual',
    triggerReason: 'quarterly',
    changeRef: 'CHG-7',
    requestedBy: expect.stringMatching(/^ops \(lambda:/),
  });
});

test('the daily run rotates only what is due, and reports the age of every password', async () => {
  rig = await openLambdaRig({ users: { east: 'old-east', west: 'old-west' } });
  const instance = rig.instance();

  const answer = await instance.invoke(runScheduled, daily);

  expect(answer.results).toMatchObject([{ outcome: 'not-due' }, { outcome: 'not-due' }]);
  expect(rig.thingspace.loginsReceived('east')).toBe(0);
  const metrics = metricsIn(instance.lines);
  expect(metrics['thingspace_rotator_password_days_left']?.map(({ account }) => account)).toEqual([
    'thingspace/east',
    'thingspace/west',
  ]);
  expect(metrics['thingspace_rotator_account_state']).toEqual(
    ['thingspace/east', 'thingspace/west'].map((account) => ({
      account,
      state: 'settled',
      thingspace_rotator_account_state: 1,
    })),
  );
  expect(metrics['thingspace_rotator_last_run_timestamp_seconds']).toHaveLength(1);
});

test('every line of an invocation is a JSON object with the request id, or a metric', async () => {
  rig = await openLambdaRig({ users: { east: 'old-east' } });
  const instance = rig.instance();

  await instance.invoke(runScheduled, { ...byHand, accounts: [] });

  for (const line of instance.lines) {
    const parsed = JSON.parse(line);
    expect(parsed._aws ?? parsed.requestId).toBeDefined();
  }
  expect(instance.lines.join('\n')).not.toContain(rig.current('east').password);
  expect(instance.lines.join('\n')).not.toContain('old-east');
});

test.each<[string, unknown, RegExp]>([
  ['no action', {}, /"action" in the event takes rotate, check, recover, resume\./],
  ['no content', null, /The event takes a JSON object\./],
  ['an unknown action', { action: 'rotat' }, /"action" in the event takes rotate, check/],
  ['an unknown key', { action: 'rotate', account: ['a'] }, /Did you mean "accounts"/],
  [
    'an unknown account',
    { action: 'rotate', accounts: ['thingspace/eats'] },
    /Unknown account thingspace\/eats\. Did you mean "thingspace\/east"/,
  ],
  [
    'a text for a list',
    { action: 'rotate', accounts: 'thingspace/east' },
    /"accounts" in the event takes a list/,
  ],
  ['a text for a boolean', { action: 'rotate', force: 'yes' }, /"force" in the event takes true/],
  ['a reason that is too long', { action: 'rotate', reason: 'x'.repeat(2000) }, /takes 1 to 1024/],
  [
    'a resume without a reason',
    { action: 'resume', accounts: ['thingspace/east'] },
    /resume needs "reason" in the event/,
  ],
  ['a resume of all accounts', { action: 'resume', reason: 'because' }, /resume needs "accounts"/],
])('an order with %s is rejected, and ThingSpace is not contacted', async (_, event, expected) => {
  rig = await openLambdaRig({ users: { east: 'old-east' } });

  await expect(rig.instance().invoke(runScheduled, event)).rejects.toThrow(expected);

  expect(rig.thingspace.requests).toEqual([]);
});

test('an order resumes a suspended account with a reason', async () => {
  rig = await openLambdaRig({ users: { east: 'live' } });
  rig.thingspace.setPassword('east', 'another');
  const instance = rig.instance();
  await instance.invoke(runScheduled, { ...byHand });
  rig.thingspace.setPassword('east', 'live');

  const stopped = await instance.invoke(runScheduled, { ...byHand });
  await instance.invoke(runScheduled, {
    action: 'resume',
    accounts: ['thingspace/east'],
    reason: 'corrected at Verizon',
  });
  const rotated = await instance.invoke(runScheduled, { ...byHand });

  expect(stopped).toMatchObject({
    exitCode: 4,
    results: [{ outcome: 'stopped', reason: 'login-refused' }],
  });
  expect(rotated).toMatchObject({ exitCode: 0, results: [{ outcome: 'rotated' }] });
});

test('no reset is started when too little time is left to store its response', async () => {
  rig = await openLambdaRig({ users: { east: 'old-east' } });

  const answer = await rig.instance().invoke(runScheduled, { ...byHand }, () => 12_000);

  expect(answer.results).toMatchObject([{ certainty: 'unchanged', reason: 'out-of-time' }]);
  expect(rig.thingspace.resetsReceived('east')).toBe(0);
});

test('SIGTERM ends an attempt that has not sent a reset', async () => {
  rig = await openLambdaRig({ users: { east: 'old-east' } });
  const instance = rig.instance();
  rig.thingspace.arm({ fault: 'hold', call: 'login' });
  const held = rig.thingspace.waitFor('held', { call: 'login' });

  const running = instance.invoke(runScheduled, { ...byHand });
  await held;
  instance.shutdown();
  rig.thingspace.release();
  const answer = await running;

  expect(answer.results).toMatchObject([{ certainty: 'unchanged', reason: 'interrupted' }]);
  expect(rig.thingspace.resetsReceived('east')).toBe(0);
});

test('no password is reset when the audit bucket is not writable', async () => {
  rig = await openLambdaRig({ users: { east: 'old-east' } });
  const instance = rig.instance();
  await instance.invoke(runScheduled, daily);
  rig.aws.inject('PutObject', 'denied', 100);

  const answer = await instance.invoke(runScheduled, { ...byHand });

  expect(answer.results).toMatchObject([{ certainty: 'unchanged', reason: 'audit-unavailable' }]);
  expect(rig.thingspace.resetsReceived('east')).toBe(0);
  expect(
    metricsIn(instance.lines)['thingspace_rotator_audit_failures_total']?.length,
  ).toBeGreaterThan(0);
});

test('KMS signs the audit log after every run, and a new instance continues the log', async () => {
  rig = await openLambdaRig({ users: { east: 'old-east' } });
  await rig.instance().invoke(runScheduled, { ...byHand });
  await rig.instance().invoke(runScheduled, { ...byHand });

  const all = records();
  expect(all.map((record) => record?.sequence)).toEqual(all.map((_, index) => index));
  expect(all.filter((record) => record?.code === 'log.genesis')).toHaveLength(1);
  const raw = rig.aws.publicKey.export({ type: 'spki', format: 'der' }).subarray(-32);
  const name = 'test.example/audit';
  const verifier = parseVerifierKey(
    [
      name,
      keyIdOf(name, raw).toString(16).padStart(8, '0'),
      Buffer.concat([Buffer.of(1), raw]).toString('base64'),
    ].join('+'),
  );
  const notes = [...rig.aws.objects]
    .filter(([key]) => key.startsWith('audit/checkpoints/'))
    .map(([, text]) => parseCheckpoint(text.toString('utf8')));
  expect(notes).toHaveLength(2);
  for (const note of notes) expect(note && checkNote(note.note, [verifier])).toBe('valid');
  expect(Math.max(...notes.map((note) => note?.size ?? 0))).toBe(all.length);
});

test('a receipt is an encrypted line of the log that the offline key opens', async () => {
  rig = await openLambdaRig({ users: { east: 'old-east' } });
  const identity = await generateIdentity();
  const instance = rig.instance({
    ROTATOR_RECEIPTS__RECIPIENTS: await identityToRecipient(identity),
  });

  await instance.invoke(runScheduled, { ...byHand });

  const line = instance.lines.find((one) => one.includes('receipt.sealed')) ?? '';
  const opened = await openReceipt(Buffer.from(line), new Secret(identity));
  expect(Buffer.from(opened.reveal()).toString('utf8')).toContain(rig.current('east').password);
});

test('with many accounts, a message is queued for each account that needs an attempt', async () => {
  const users = Object.fromEntries(
    Array.from({ length: 12 }, (_, index) => [`u${index}`, `old-${index}`]),
  );
  rig = await openLambdaRig({ users });
  const instance = rig.instance({ WORK_QUEUE_URL: rig.aws.queueUrl, INLINE_ACCOUNTS: '3' });

  const idle = await instance.invoke(runScheduled, daily);
  const forced = await instance.invoke(runScheduled, { ...byHand });

  expect(idle).toMatchObject({ queued: [], results: [] });
  expect(forced.queued).toHaveLength(12);
  expect(rig.aws.messages.map(({ body }) => parseWork(body).account).sort()).toEqual(
    [...forced.queued].sort(),
  );
  expect(rig.thingspace.requests).toEqual([]);
});

// S7: 03af53f rotated the account twice, and takes no idempotencyKey in an order.
test('a forced order that is sent to the function twice resets the password once', async () => {
  rig = await openLambdaRig({ users: { east: 'old-east' } });
  const order = { ...byHand, idempotencyKey: 'CHG-7' };

  const first = await rig.instance().invoke(runScheduled, order);
  const second = await rig.instance().invoke(runScheduled, order);

  expect(first.results).toMatchObject([{ outcome: 'rotated' }]);
  const [{ rotationId } = {}] = first.results;
  expect(second).toMatchObject({ exitCode: 0, results: [{ outcome: 'not-due', rotationId }] });
  expect(rig.thingspace.resetsReceived('east')).toBe(1);
});

test('a queued order has its own key, or the id of the invocation that queued it', async () => {
  rig = await openLambdaRig({ users: { east: 'a', west: 'b' } });
  const instance = rig.instance({ WORK_QUEUE_URL: rig.aws.queueUrl, INLINE_ACCOUNTS: '1' });

  await instance.invoke(runScheduled, { ...byHand, idempotencyKey: 'CHG-7' });
  await instance.invoke(runScheduled, { ...byHand });

  const works = rig.aws.messages.map(({ body }) => parseWork(body));
  expect(
    works.map(({ idempotencyKey, trigger }) => [
      idempotencyKey,
      idempotencyKey === trigger.requestedBy?.replace('lambda:', ''),
    ]),
  ).toEqual([
    ['CHG-7', false],
    ['CHG-7', false],
    [expect.stringMatching(/^[0-9a-f-]{36}$/), true],
    [works[2]?.idempotencyKey, true],
  ]);
});

test('a message that the queue rejects makes the run fail', async () => {
  const users = Object.fromEntries(
    Array.from({ length: 5 }, (_, index) => [`u${index}`, `old-${index}`]),
  );
  rig = await openLambdaRig({ users });
  rig.aws.inject('SendMessage', 'not-taken');
  const instance = rig.instance({ WORK_QUEUE_URL: rig.aws.queueUrl, INLINE_ACCOUNTS: '3' });

  const answer = await instance.invoke(runScheduled, { ...byHand });

  expect(answer).toMatchObject({ exitCode: 1 });
  expect(answer.queued).toHaveLength(4);
  expect(instance.lines.some((line) => line.includes('last_run_timestamp'))).toBe(false);
  expect(instance.lines.some((line) => line.includes('work.not-queued'))).toBe(true);
});

const work = (account: string, more: object = {}) =>
  formatWork({
    account: `thingspace/${account}`,
    secretId: rig.arn(account),
    force: true,
    idempotencyKey: 'order-1',
    trigger: { kind: 'manual' },
    ...more,
  });

test('duplicate messages reset each account once, and an invalid one is repeated', async () => {
  const users = Object.fromEntries(
    Array.from({ length: 10 }, (_, index) => [`u${index}`, `old-${index}`]),
  );
  rig = await openLambdaRig({ users });
  const instance = rig.instance();
  const messages = Object.keys(users).map((account) => work(account));

  const first = await instance.invoke(
    runWorker,
    sqsEvent(...messages.slice(0, 5), messages[0] ?? '', '{"not":"ours"}'),
  );
  const second = await instance.invoke(
    runWorker,
    sqsEvent(...messages.slice(5), messages[7] ?? ''),
  );

  expect(first).toEqual({ batchItemFailures: [{ itemIdentifier: 'message-6' }] });
  expect(second).toEqual({ batchItemFailures: [] });
  for (const account of Object.keys(users)) {
    expect([account, rig.thingspace.resetsReceived(account)]).toEqual([account, 1]);
    expect(rig.current(account).password).toBe(rig.thingspace.livePassword(account));
  }
});

test('a message is delivered again, without a login, when too little time is left', async () => {
  rig = await openLambdaRig({ users: { east: 'old-east' } });

  const answer = await rig.instance().invoke(runWorker, sqsEvent(work('east')), () => 10_000);

  expect(answer.batchItemFailures).toHaveLength(1);
  expect(rig.thingspace.requests).toEqual([]);
});

test('a message is delivered again when SIGTERM ends its worker', async () => {
  rig = await openLambdaRig({ users: { east: 'old-east' } });
  const instance = rig.instance();
  rig.thingspace.arm({ fault: 'hold', call: 'login' });
  const held = rig.thingspace.waitFor('held', { call: 'login' });

  const running = instance.invoke(runWorker, sqsEvent(work('east')));
  await held;
  instance.shutdown();
  rig.thingspace.release();

  expect((await running).batchItemFailures).toHaveLength(1);
  expect(rig.thingspace.resetsReceived('east')).toBe(0);
});

test('a message is not delivered again when the account needs a person', async () => {
  rig = await openLambdaRig({ users: { east: 'live' } });
  rig.thingspace.setPassword('east', 'another');

  const answer = await rig.instance().invoke(runWorker, sqsEvent(work('east')));

  expect(answer).toEqual({ batchItemFailures: [] });
  expect(rig.thingspace.loginsReceived('east')).toBe(1);
});

test('no message is delivered again that would use a login each time', () => {
  const result = (reason: Reason, logins: number) => ({ reason, logins }) as never;

  for (const reason of Object.keys(failures) as Reason[]) {
    const { certainty, disposition } = failures[reason];
    if (disposition === 'person')
      expect([reason, needsRedelivery(result(reason, 0))]).toEqual([reason, false]);
    // An attempt is interrupted after a login only where the login was accepted.
    const isSpent =
      certainty === 'unchanged' && disposition !== 'person' && reason !== 'interrupted';
    if (isSpent) expect([reason, needsRedelivery(result(reason, 1))]).toEqual([reason, false]);
    if (certainty === 'unchanged' && disposition !== 'person')
      expect([reason, needsRedelivery(result(reason, 0))]).toEqual([reason, true]);
    if (certainty === 'in-doubt')
      expect([reason, needsRedelivery(result(reason, 1))]).toEqual([reason, true]);
  }
});

test('a wrong configuration fails each invocation, and each one reads it again', async () => {
  rig = await openLambdaRig({ users: { east: 'old-east' } });
  const instance = rig.instance({
    ROTATOR_POLICY__MAX_AGE_DAYS: createHash('sha256').update('x').digest('hex'),
  });

  await expect(instance.invoke(runScheduled, daily)).rejects.toThrow(
    /policy.maxAgeDays takes an integer/,
  );
  await expect(instance.invoke(runScheduled, daily)).rejects.toThrow(
    /policy.maxAgeDays takes an integer/,
  );
});

// On 03af53f the update command of DEPLOY.md, without its parameters, turned receipts off, and
// neither `check` nor `rotate` said so.
test('a check says which protections are off', async () => {
  rig = await openLambdaRig({ users: { east: 'old-east' } });
  const check = { action: 'check' };
  const recipient = await identityToRecipient(await generateIdentity());

  const off = await rig.instance({ ALARM_EMAIL: '' }).invoke(runScheduled, check);
  const on = await rig
    .instance({ ALARM_EMAIL: 'ops@example.com', ROTATOR_RECEIPTS__RECIPIENTS: recipient })
    .invoke(runScheduled, check);

  expect(off.warnings).toEqual([
    expect.stringMatching(/^receipts: No receipts are configured\./),
    expect.stringMatching(/^audit\.witnesses: No witness is configured\./),
    expect.stringMatching(/^alarms: The stage file names no AlarmEmail\./),
  ]);
  expect(on.warnings).toEqual([expect.stringMatching(/^audit\.witnesses: /)]);
});
