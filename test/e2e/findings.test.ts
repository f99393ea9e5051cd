// The eleven findings on version 0.1 that led to protocol 2, each as a test of the built
// program. ROTATOR_DIST names another build; with that of commit 03af53f every test here fails, in
// the way that its comment says:
//
//   ROTATOR_DIST=../v01/dist npm run jest -- test/e2e/findings

import { readdirSync, readFileSync, watch } from 'node:fs';
import { createServer, type Server, request as sendRequest } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import {
  type BlackBox,
  dist,
  documentOf,
  edited,
  oldPassword,
  openBlackBox,
  type Ran,
  secretId,
} from '../harness/black-box.ts';
import { closing } from '../harness/closing.ts';
import { startFunction } from '../harness/lambda-runtime.ts';
import { openLambdaRig, withoutReceiptsBucket } from '../harness/lambda-world.ts';
import { limitMs } from '../harness/limits.mjs';
import { partOf, testPart } from '../harness/sample.ts';

/** A sixth of them in each run. */
const sampled = testPart(6);

const force = ['rotate', '--force'];
const secretsManager = { store: 'secrets-manager' } as const;

const endOf = ({ code, lines: [line] }: Ran) => ({
  code,
  end: line?.['reason'] ?? line?.['outcome'] ?? line?.['state'],
});

const isCurrentValid = async (box: BlackBox): Promise<boolean> =>
  (await box.current()).password === box.live();

const failedLogins = (box: BlackBox): number => box.thingspace.failedLogins('east').most;

/** The fields of the audit log that are asked about. */
function auditOf(box: BlackBox) {
  return box.audit().map(({ metadata, unmapped }) => {
    const { event_code: code } = metadata as { event_code: string };
    const { certainty, reason } = (unmapped ?? {}) as { certainty?: string; reason?: string };
    return { code, certainty, reason };
  });
}

/** Kills a rotation at its `nth` request of this action, which Secrets Manager never sees. */
async function killAt(box: BlackBox, action: string, nth = 1): Promise<void> {
  const program = box.start(force);
  box.secretsManager?.inject(action, 'silent', 1, nth - 1);
  await program.until(box.secretsManager?.waitFor(({ fault }) => fault === 'silent'));
  await program.kill();
}

// On 03af53f: the reset is sent, and Secrets Manager refuses the new password under a token that
// has another value, so that it is lost with the process.
sampled('F1: a native token whose version has a value already resets nothing', async () => {
  const rig = await openLambdaRig({ users: { east: oldPassword } });
  const times = {
    ROTATOR_THINGSPACE__REQUEST_TIMEOUT_MS: '1000',
    ROTATOR_THINGSPACE__RESET_TIMEOUT_MS: '1000',
  };
  const env = withoutReceiptsBucket(rig.env(times));
  const { execPath: node } = process;
  const lambda = await startFunction({ task: dist, handler: 'lambda.rotationSteps', env, node });
  await using _opened = closing([rig, lambda]);
  const ClientRequestToken = crypto.randomUUID();
  const SecretId = rig.arn('east');
  rig.secretsManager.call('PutSecretValue', {
    SecretId,
    ClientRequestToken,
    SecretString: documentOf({ password: oldPassword, note: 'of another program' }),
    VersionStages: ['NOTE'],
  });

  const event = { Step: 'setSecret', SecretId, ClientRequestToken };
  const ended = await lambda.invoke(event, limitMs(8_000));

  expect(rig.thingspace.resetsReceived('east')).toBe(0);
  expect(ended).toEqual({
    error: { errorType: 'StepFailed', errorMessage: expect.stringContaining('token-used') },
  });
  expect(rig.current('east').password).toBe(rig.thingspace.livePassword('east'));
});

describe('F2: the process dies between store and promote, and another key is edited', () => {
  async function interrupted(): Promise<BlackBox> {
    const box = await openBlackBox(secretsManager);
    await killAt(box, 'UpdateSecretVersionStage');
    await box.putByHand(edited(await box.current()));
    box.advance(60_000);
    return box;
  }

  // On 03af53f: exit 0, not-due, and AWSCURRENT does not log in.
  sampled('F2: the next rotate makes the new password current and keeps the edit', async () => {
    await using box = await interrupted();

    const ran = await box.run(['rotate']);

    expect(await isCurrentValid(box)).toBe(true);
    expect(endOf(ran)).toEqual({ code: 0, end: 'recovered' });
    expect(JSON.parse((await box.current()).document).note).toBe('edited');
    expect(failedLogins(box)).toBe(0);
  });

  // On 03af53f: exit 0, settled, and AWSCURRENT does not log in.
  sampled('F2: recover makes the new password current', async () => {
    await using box = await interrupted();

    const ran = await box.run(['recover']);

    expect(await isCurrentValid(box)).toBe(true);
    expect(endOf(ran)).toEqual({ code: 0, end: 'recovered' });
  });

  // On 03af53f: exit 0, settled.
  sampled('F2: status says that the password has changed', async () => {
    await using box = await interrupted();

    const { code, lines } = await box.run(['status']);

    expect([code, lines[0]?.['state']]).toEqual([3, 'changed']);
  });

  // On 03af53f: exit 0, settled, without a detail.
  sampled('F2: status names the version that holds the new password', async () => {
    await using box = await interrupted();

    const { lines } = await box.run(['status']);

    expect(lines[0]?.['detail']).toContain(String(lines[0]?.['rotationId']));
  });
});

// On 03af53f: the store gets nothing before the fsync returns, after 10 seconds.
sampled.with('strace')(
  'F3: an fsync of the receipts folder that never returns delays the new password by nothing',
  async () => {
    await using box = await openBlackBox(secretsManager);
    const hang = 'inject=fsync:delay_enter=10000000';
    const where = ['-o', join(box.folder, 'strace.log'), '-P', join(box.folder, 'receipts')];
    const wrap = ['strace', '-f', '-qq', ...where, '-e', 'trace=fsync', '-e', hang];

    const program = box.start(force, { wrap });
    await program.said('receipt.failed');
    await program.said('"outcome":"rotated"');

    expect(await isCurrentValid(box)).toBe(true);
  },
);

// On 03af53f: the reset is sent, Secrets Manager refuses the version of the new password with
// LimitExceededException, and the process keeps the only copy in its memory.
sampled('F4: no reset is sent when the secret has no room for more versions', async () => {
  await using box = await openBlackBox({
    ...secretsManager,
    secretsManager: { quirks: { limitsYoung: true } },
  });
  for (let count = 1; count <= 97; count += 1) await box.putByHand((await box.current()).document);

  const program = box.start(force);
  const refused = box.secretsManager?.waitFor(({ error }) => error === 'LimitExceededException');
  await Promise.race([program.ended, refused]);

  expect(box.thingspace.resetsReceived('east')).toBe(0);
  expect(endOf(await program.ended)).toEqual({ code: 1, end: 'store-full' });
  expect(await isCurrentValid(box)).toBe(true);
});

// On 03af53f: recover spends a login with the replaced password, and ends with password-lost.
sampled('F5: a sealed receipt in the folder is named, and no login is spent', async () => {
  await using box = await openBlackBox({ ...secretsManager, receipts: 'sealed' });
  const program = box.start(force);
  box.secretsManager?.inject('PutSecretValue', 'silent', 1, 2);
  await program.until(box.secretsManager?.waitFor(({ fault }) => fault === 'silent'));
  await program.said('receipt.written');
  await program.kill();
  box.advance(60_000);
  const loginsBefore = box.thingspace.loginsReceived('east');

  const ran = await box.run(['recover']);

  expect(endOf(ran)).toEqual({ code: 3, end: 'receipt-sealed' });
  expect(box.thingspace.loginsReceived('east')).toBe(loginsBefore);
  expect(ran.lines[0]?.['next']).toContain('recover');
  expect(JSON.stringify(ran.lines[0])).toContain(box.receipts()[0]);
  expect(auditOf(box).map(({ certainty }) => certainty)).not.toContain('lost');
});

describe('F6: somebody stores the old password again after a rotation', () => {
  async function restored(): Promise<BlackBox> {
    const box = await openBlackBox(secretsManager);
    const { document } = await box.current();
    await box.run(force);
    await box.putByHand(document);
    box.advance(60_000);
    return box;
  }

  // On 03af53f: exit 0, not-due, and AWSCURRENT does not log in.
  sampled('F6: the next rotate proves the new password and makes it current', async () => {
    await using box = await restored();

    const ran = await box.run(['rotate']);

    expect(await isCurrentValid(box)).toBe(true);
    expect(ran.code).toBe(0);
    expect(box.thingspace.loginsReceived('east')).toBe(3);
    expect(failedLogins(box)).toBe(0);
  });

  // On 03af53f: exit 0, settled.
  sampled('F6: status reports the old password without a login', async () => {
    await using box = await restored();

    const ran = await box.run(['status']);

    expect(ran.code).toBe(3);
    expect(ran.lines[0]?.['reason']).toBe('old-password-restored');
    expect(box.thingspace.loginsReceived('east')).toBe(2);
  });
});

// On 03af53f: the third run ends with login-budget-spent, exit 4.
sampled('F7: two error pages after a healthy rotation do not suspend the account', async () => {
  await using box = await openBlackBox(secretsManager);
  await box.run(force);
  box.thingspace.arm({ fault: '503-before', call: 'login', count: 2 });

  const ends = [];
  for (let runs = 1; runs <= 3; runs += 1) ends.push(endOf(await box.run(force)));

  expect(ends).toEqual([
    { code: 1, end: 'login-unavailable' },
    { code: 1, end: 'login-unavailable' },
    { code: 0, end: 'rotated' },
  ]);
});

describe('F8: with receipts off, a complete response is never discarded', () => {
  // On 03af53f: answer-lost, and the bytes are nowhere.
  sampled('F8: a response without a readable password is kept in the secret', async () => {
    const simulator = { generatePassword: () => 'fresh-password-1' };
    await using box = await openBlackBox({ ...secretsManager, simulator, receipts: 'none' });
    const wrongValue = { secret: 'fresh-password-1' };
    box.thingspace.arm({ fault: 'wrong-typed-200', call: 'reset', wrongValue });

    const ran = await box.run(force);

    expect(endOf(ran)).toEqual({ code: 3, end: 'answer-unreadable' });
    expect(keptAnswer(box)).toContain('fresh-password-1');
    box.advance(60_000);
    expect(endOf(await box.run(['recover']))).toEqual({ code: 3, end: 'answer-unreadable' });
    expect(box.thingspace.loginsReceived('east')).toBe(1);
  });

  const bodies: [string, Record<string, string>, (body: Buffer) => Buffer][] = [
    ['compressed although it was not asked for', { 'content-encoding': 'gzip' }, gzipSync],
    [
      'in UTF-16',
      { 'content-type': 'application/json; charset=utf-16' },
      (body) => Buffer.from(`\ufeff${body}`, 'utf16le'),
    ],
    ['with bytes after the JSON value', {}, (body) => Buffer.concat([body, Buffer.from('\n}')])],
  ];

  // On 03af53f: answer-lost, and AWSCURRENT does not log in.
  test.each(partOf(bodies, 3))(
    'F8: a response %s is understood',
    async (_form, headers, encode) => {
      const relay = await openRelay(headers, encode);
      await using _relay = closing([relay]);
      await using box = await openBlackBox({
        ...secretsManager,
        receipts: 'none',
        relay: relay.before,
      });

      const ran = await box.run(force);

      expect(await isCurrentValid(box)).toBe(true);
      expect(endOf(ran)).toEqual({ code: 0, end: 'rotated' });
    },
  );
});

/** The bytes in the version under ROTATION_ANSWER, as text. */
function keptAnswer({ secretsManager: service }: BlackBox): string {
  const wanted = { SecretId: secretId, VersionStage: 'ROTATION_ANSWER' };
  const { SecretString } = service?.call('GetSecretValue', wanted) ?? {};
  const { bytes } = JSON.parse(String(SecretString)) as { bytes: string };
  return Buffer.from(bytes, 'base64').toString('utf8');
}

/** A server in front of ThingSpace that encodes the response to a reset. */
async function openRelay(headers: Record<string, string>, encode: (body: Buffer) => Buffer) {
  let target = '';
  const server: Server = createServer((request, response) => {
    const url = new URL(request.url ?? '', target);
    const { method, headers: sent } = request;
    const upstream = sendRequest(url, { method, headers: sent }, async (answer) => {
      const chunks: Buffer[] = [];
      for await (const chunk of answer) chunks.push(chunk as Buffer);
      const received = Buffer.concat(chunks);
      const isReset = url.pathname.endsWith('/reset') && answer.statusCode === 200;
      const body = isReset ? encode(received) : received;
      const type = { 'content-type': answer.headers['content-type'] };
      const length = { 'content-length': body.length };
      response.writeHead(answer.statusCode ?? 500, {
        ...type,
        ...(isReset ? headers : {}),
        ...length,
      });
      response.end(body);
    });
    request.pipe(upstream);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    before: (baseUrl: string) => {
      target = baseUrl;
      return `http://127.0.0.1:${port}/api`;
    },
    close: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

// On 03af53f: the second run logs in with the replaced password and suspends the account.
test.each(partOf(['AWSCURRENT', 'AWSCURRENT and ROTATION'], 2))(
  'F9: reads of %s that are out of date cost no login and suspend nothing',
  async (names) => {
    const stages = names.split(' and ');
    await using box = await openBlackBox({
      ...secretsManager,
      secretsManager: { quirks: { stale: { stages, ms: 30_000 } } },
    });
    box.advance(60_000);
    await box.run(force);

    const second = await box.run(force);
    box.advance(60_000);
    const third = await box.run(force);

    expect(failedLogins(box)).toBe(0);
    expect(second.code).toBeLessThanOrEqual(1);
    expect(endOf(third)).toEqual({ code: 0, end: 'rotated' });
    expect(await isCurrentValid(box)).toBe(true);
  },
);

// On 03af53f: the audit log says in-doubt about this rotation.
sampled('F10: a rotation whose reset was never sent is recorded as unchanged', async () => {
  await using box = await openBlackBox(secretsManager);
  const program = box.start(force);
  // The intent becomes durable, and the record that must be there before a reset does not.
  box.secretsManager?.inject('PutSecretValue', 'silent', 1, 1);
  await program.until(box.secretsManager?.waitFor(({ fault }) => fault === 'silent'));
  await program.until(written(join(box.folder, 'audit'), '"rotation.intended"'));
  await program.kill();

  await box.run(['recover']);
  await box.run(force);

  const outcomes = auditOf(box).filter(({ code }) =>
    ['rotation.outcome', 'rotation.reconciled'].includes(code),
  );
  expect(outcomes.map(({ certainty }) => certainty)).toEqual(['unchanged', 'rotated']);
});

/** Resolves when a file in this folder contains the text. */
function written(folder: string, what: string): Promise<void> {
  return new Promise((resolve) => {
    const check = (): void => {
      const names = readdirSync(folder).filter((name) => name.endsWith('.jsonl'));
      if (!names.some((name) => readFileSync(join(folder, name), 'utf8').includes(what))) return;
      watcher.close();
      resolve();
    };
    const watcher = watch(folder, check);
    check();
  });
}

// On 03af53f: the audit log has account.stopped, and the next run logs in again.
sampled('F11: a suspension is in the audit log only when its record is in the store', async () => {
  await using box = await openBlackBox({ ...secretsManager, live: 'changed-in-the-portal' });
  box.secretsManager?.inject('PutSecretValue', 'access-denied', Number.POSITIVE_INFINITY, 1);

  await box.run(force);

  expect(auditOf(box)).not.toContainEqual(expect.objectContaining({ code: 'account.stopped' }));
});
