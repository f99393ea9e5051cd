// Complete rotations on both stores, with the adapters that the program uses.

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { type Ask, openSigner } from '../../src/app.ts';
import { generateSigningKey } from '../../src/audit/checkpoint.ts';
import { openClock } from '../../src/clock.ts';
import { openReceipt, rotationIdOf } from '../../src/receipts/receipts.ts';
import { Secret } from '../../src/secret.ts';
import { closing } from '../harness/closing.ts';
import { createJournal, openDelay, wavesOf } from '../harness/delay.ts';
import { limitMs } from '../harness/limits.mjs';
import { application, eightKeys, openRig, type Rig } from '../harness/rig.ts';

const byHand: Ask = {
  purpose: 'rotate',
  force: true,
  trigger: { kind: 'manual', requestedBy: 'tester', reason: 'a test' },
};
const never = new AbortController().signal;

const rigs: Rig[] = [];
const rigWith = async (...options: Parameters<typeof openRig>): Promise<Rig> => {
  const rig = await openRig(...options);
  rigs.push(rig);
  return rig;
};
afterEach(async () => {
  for (const rig of rigs.splice(0)) await rig.close();
});

async function rotateOnly(rig: Rig, ask: Ask = byHand) {
  const [account] = await rig.rotator.accounts();
  if (!account) throw new Error('the rig has no account');
  return rig.rotator.attempt(account, ask, never);
}

async function currentOf(rig: Rig, account: string): Promise<string> {
  if (rig.secretsManager)
    return String(
      rig.secretsManager.call('GetSecretValue', {
        SecretId: `thingspace/${account}`,
        VersionStage: 'AWSCURRENT',
      })['SecretString'],
    );
  const version = await rig.rotator.files
    ?.versions(`thingspace/${account}`)
    .read({ stage: 'AWSCURRENT' });
  return version && version.value !== 'binary' ? version.value.reveal() : '';
}

const oldPassword = 'old-planted-"pä ss"\\';

describe.each(['file', 'secrets-manager'] as const)('%s', (store) => {
  test('a rotation stores the valid password in AWSCURRENT and changes no other byte', async () => {
    const rig = await rigWith({ store, users: { east: oldPassword } });

    const result = await rotateOnly(rig);

    const live = rig.thingspace.livePassword('east');
    expect(live).not.toBe(oldPassword);
    expect(await currentOf(rig, 'east')).toBe(eightKeys('east', live));
    expect(result).toMatchObject({
      outcome: 'rotated',
      certainty: 'rotated',
      logins: 2,
      next: '',
      versionId: result.rotationId,
    });
    expect(rig.thingspace.openSessions('east')).toBe(0);
    expect(readdirSync(join(rig.folder, 'receipts'))).toEqual([]);
  });

  test('an account that is not due is not changed, and no login is sent', async () => {
    const rig = await rigWith({ store, users: { east: oldPassword } });

    const result = await rotateOnly(rig, { ...byHand, force: false });

    expect(result).toMatchObject({ outcome: 'not-due', certainty: 'not-due', logins: 0 });
    expect(rig.thingspace.requests).toEqual([]);
  });

  test('a check does everything except the reset', async () => {
    const rig = await rigWith({ store, users: { east: oldPassword } });

    const result = await rotateOnly(rig, { ...byHand, purpose: 'check' });

    expect(result).toMatchObject({ outcome: 'checked', logins: 1 });
    expect(rig.thingspace.requests.map(({ call }) => call)).toEqual(['token', 'login', 'logout']);
    expect(rig.thingspace.livePassword('east')).toBe(oldPassword);
  });

  test('a rejected login suspends the account until AWSCURRENT is new', async () => {
    const rig = await rigWith({ store, users: { east: oldPassword }, stored: { east: 'wrong' } });

    const first = await rotateOnly(rig);
    const second = await rotateOnly(rig);

    expect(
      [first, second].map(({ outcome, reason, logins }) => ({ outcome, reason, logins })),
    ).toEqual([
      { outcome: 'stopped', reason: 'login-refused', logins: 1 },
      { outcome: 'stopped', reason: 'login-refused', logins: 0 },
    ]);
    const right = eightKeys('east', oldPassword);
    if (rig.secretsManager)
      rig.secretsManager.call('PutSecretValue', {
        SecretId: 'thingspace/east',
        SecretString: right,
        ClientRequestToken: crypto.randomUUID(),
      });
    else await rig.rotator.files?.putCurrent('thingspace/east', new Secret(right));
    expect(await rotateOnly(rig)).toMatchObject({ outcome: 'rotated' });
  });

  test('a truncated reset response is kept in a receipt and in the secret', async () => {
    const rig = await rigWith({ store, users: { east: oldPassword } });
    rig.thingspace.arm({ fault: 'truncated-200', call: 'reset', cutAfterBytes: 20 });

    const result = await rotateOnly(rig);

    expect(result).toMatchObject({
      outcome: 'failed',
      certainty: 'changed',
      reason: 'answer-unreadable',
    });
    expect(await rotateOnly(rig)).toMatchObject({ reason: 'answer-unreadable', logins: 0 });
    const [name = ''] = readdirSync(join(rig.folder, 'receipts'));
    const opened = await openReceipt(
      readFileSync(join(rig.folder, 'receipts', name)),
      new Secret(rig.receiptIdentity),
    );
    expect(opened.reveal()).toHaveLength(20);
  });

  test('in doubt: one rejected login, the last one, shows that it is lost', async () => {
    const rig = await rigWith({ store, users: { east: oldPassword } });
    rig.thingspace.arm({ fault: 'drop-after-commit', call: 'reset' });

    const results = [await rotateOnly(rig), await rotateOnly(rig)];
    rig.advance(limitMs(10_000));
    results.push(await rotateOnly(rig), await rotateOnly(rig));

    expect(results.map(({ reason, logins }) => ({ reason, logins }))).toEqual([
      { reason: 'answer-lost', logins: 1 },
      { reason: 'settling', logins: 0 },
      { reason: 'password-lost', logins: 1 },
      { reason: 'password-lost', logins: 0 },
    ]);
    expect(rig.thingspace.resetsReceived('east')).toBe(1);
    expect(rig.thingspace.failedLogins('east')).toEqual({ consecutive: 1, most: 1 });
  });

  test('in doubt: after one accepted login the account is rotated', async () => {
    const rig = await rigWith({ store, users: { east: oldPassword } });
    rig.thingspace.arm({ fault: 'drop-before-commit', call: 'reset' });

    const results = [await rotateOnly(rig)];
    rig.advance(limitMs(10_000));
    results.push(await rotateOnly(rig));

    expect(results.map(({ outcome, logins }) => ({ outcome, logins }))).toEqual([
      { outcome: 'failed', logins: 1 },
      { outcome: 'rotated', logins: 2 },
    ]);
    expect((await rig.rotator.audit.rotationsOf('east')).open).toEqual([]);
  });

  test('the next run repeats a verification without a response, and sends no reset', async () => {
    const rig = await rigWith({ store, users: { east: oldPassword } });
    rig.thingspace.arm({ fault: '503-before', call: 'login', after: 1 });

    const results = [
      await rotateOnly(rig),
      await rotateOnly(rig, { ...byHand, force: false }),
      await rotateOnly(rig, { ...byHand, force: false }),
    ];

    expect(
      results.map(({ outcome, certainty, reason, logins }) => ({
        outcome,
        certainty,
        reason,
        logins,
      })),
    ).toEqual([
      { outcome: 'failed', certainty: 'changed', reason: 'verify-unavailable', logins: 2 },
      { outcome: 'recovered', certainty: 'rotated', reason: undefined, logins: 1 },
      { outcome: 'not-due', certainty: 'not-due', reason: undefined, logins: 0 },
    ]);
    expect(rig.thingspace.resetsReceived('east')).toBe(1);
    expect((await rig.rotator.audit.rotationsOf('east')).open).toEqual([]);
  });

  test('of two instances at the same time one rotates and the other reports busy', async () => {
    const rig = await rigWith({ store, users: { east: oldPassword } });
    const other = await rig.another();
    const [account] = await other.accounts();
    if (!account) throw new Error('no account');

    // The reset is held until the other instance has ended. Otherwise that one may start later and
    // rotate again.
    rig.thingspace.arm({ fault: 'hold', call: 'reset' });
    const held = rig.thingspace.waitFor('held', { call: 'reset' });

    const attempts = [rotateOnly(rig), other.attempt(account, byHand, never)];
    await Promise.all([held, Promise.race(attempts)]);
    rig.thingspace.release();
    const results = await Promise.all(attempts);

    expect(results.map(({ outcome }) => outcome).sort()).toEqual(['failed', 'rotated']);
    expect(rig.thingspace.maxResetsInFlight('east')).toBe(1);
    expect(rig.thingspace.resetsReceived('east')).toBe(1);
  });

  test('no secret appears in events, lines, results, the audit log or the receipts', async () => {
    const rig = await rigWith({
      store,
      users: { east: oldPassword, west: oldPassword, north: oldPassword },
      stored: { north: 'wrong-planted' },
    });
    rig.thingspace.arm({ fault: 'drop-after-commit', call: 'reset', username: 'west' });

    const results = await Promise.all(
      (await rig.rotator.accounts()).map((account) => rig.rotator.attempt(account, byHand, never)),
    );

    const planted = [
      'old-planted',
      'wrong-planted',
      application.clientSecret,
      rig.thingspace.livePassword('east'),
      rig.thingspace.livePassword('west'),
    ];
    const files = ['audit', 'receipts'].flatMap((part) =>
      readdirSync(join(rig.folder, part), { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile())
        .map((entry) => readFileSync(join(entry.parentPath, entry.name), 'latin1')),
    );
    const said = [
      inspect(results, { depth: 9 }),
      JSON.stringify(results),
      inspect(rig.events, { depth: 9 }),
      ...rig.lines,
      ...files,
    ].join('\n');
    expect(said).toContain('east');
    for (const value of planted) expect(said.includes(value)).toBe(false);
  });
});

test('the second account with the same ThingSpace user is rejected before login', async () => {
  const rig = await rigWith({ store: 'file', users: { east: oldPassword, west: oldPassword } });
  await rig.rotator.files?.putCurrent(
    'thingspace/west',
    new Secret(eightKeys('east', oldPassword)),
  );

  const results = [];
  for (const account of await rig.rotator.accounts())
    results.push(await rig.rotator.attempt(account, byHand, never));

  expect(
    results.map(({ account, outcome, reason, logins }) => ({ account, outcome, reason, logins })),
  ).toEqual([
    { account: 'east', outcome: 'rotated', reason: undefined, logins: 2 },
    { account: 'west', outcome: 'failed', reason: 'secret-invalid', logins: 0 },
  ]);
});

test('another process refuses the second account with the same user before login', async () => {
  const rig = await rigWith({ store: 'file', users: { east: oldPassword, west: oldPassword } });
  const westAsEast = new Secret(eightKeys('east', oldPassword));
  await rig.rotator.files?.putCurrent('thingspace/west', westAsEast);
  const [east, west] = await rig.rotator.accounts();
  if (!east || !west) throw new Error('no accounts');

  const first = await rig.rotator.attempt(east, byHand, never);
  const other = await rig.another();
  const second = await other.attempt(west, byHand, never);

  expect(first.outcome).toBe('rotated');
  expect(second).toMatchObject({ reason: 'secret-invalid', logins: 0 });
  expect(second.facts?.cause).toBe('shared-user');
  expect(rig.thingspace.failedLogins('east').most).toBe(0);
});

test('a log that fails after the reset does not lose the password', async () => {
  const rig = await rigWith({ store: 'file', users: { east: oldPassword } });
  const push = rig.events.push.bind(rig.events);
  rig.events.push = (...events) => {
    if (events.some(({ event }) => event.startsWith('receipt.') || event.startsWith('reset.')))
      throw new Error('write EPIPE');
    return push(...events);
  };

  const result = await rotateOnly(rig);

  expect(result.outcome).toBe('rotated');
  expect(await currentOf(rig, 'east')).toBe(eightKeys('east', rig.thingspace.livePassword('east')));
});

test('with a store outage after the reset, the receipt restores the password', async () => {
  const rig = await rigWith({ store: 'secrets-manager', users: { east: oldPassword } });
  const clock = openClock();
  const answered = (): boolean => rig.events.some(({ event }) => event === 'reset.answered');
  const dying = await rig.another({
    clock: { ...clock, remainingMs: () => (answered() ? 0 : Number.POSITIVE_INFINITY) },
  });
  const [account] = await dying.accounts();
  if (!account) throw new Error('no account');
  const reset = rig.thingspace
    .waitFor('committed', { call: 'reset' })
    .then(() => rig.secretsManager?.inject('PutSecretValue', 'unavailable', 10));

  const first = await dying.attempt(account, byHand, never);
  await reset;
  rig.secretsManager?.heal();
  const [name = ''] = readdirSync(join(rig.folder, 'receipts'));
  const body = await openReceipt(
    readFileSync(join(rig.folder, 'receipts', name)),
    new Secret(rig.receiptIdentity),
  );
  const rotationId = rotationIdOf(name) ?? '';
  const second = await rotateOnly(rig, {
    purpose: 'recover',
    impatient: true,
    receipt: { rotationId, place: name, body },
    trigger: { kind: 'recovery' },
  });

  expect(first).toMatchObject({ certainty: 'changed', reason: 'not-stored', rotationId });
  expect(second).toMatchObject({
    outcome: 'recovered',
    certainty: 'rotated',
    logins: 1,
    rotationId,
  });
  expect(await currentOf(rig, 'east')).toBe(eightKeys('east', rig.thingspace.livePassword('east')));
  expect(rig.thingspace.failedLogins('east')).toEqual({ consecutive: 0, most: 0 });
  expect(readdirSync(join(rig.folder, 'receipts'))).toEqual([]);
});

test.each(['file', 'secrets-manager'] as const)(
  '%s: the key that signs the audit log is a secret, and appears nowhere',
  async (store) => {
    const { signingKey, verifierKey } = generateSigningKey('kept.as.secret');
    const rig = await rigWith({ store, users: { east: oldPassword } });
    if (rig.secretsManager)
      rig.secretsManager.call('CreateSecret', {
        Name: 'audit/key',
        SecretString: signingKey,
        ClientRequestToken: crypto.randomUUID(),
      });
    else await rig.rotator.files?.putCurrent('audit/key', new Secret(signingKey));
    const config = {
      ...rig.rotator.config,
      audit: {
        ...rig.rotator.config.audit,
        directory: join(rig.folder, 'other'),
        signingKeySecretId: 'audit/key',
      },
    };

    const signer = await openSigner(config, openClock());
    const wrong = openSigner(
      { ...config, audit: { ...config.audit, signingKeySecretId: 'thingspace/east' } },
      openClock(),
    );

    expect(signer.verifierKey).toBe(verifierKey);
    await expect(wrong).rejects.toMatchObject({
      reason: 'secret-invalid',
      message: 'the value of secret thingspace/east is not what is expected there',
    });
    expect(inspect(signer, { depth: 9 })).not.toContain(signingKey.slice(-40));
  },
);

test('a rotation takes nine round trips, two of them between response and AWSCURRENT', async () => {
  const journal = createJournal();
  const roundTripMs = limitMs(120);
  const relays: { close(): Promise<void> }[] = [];
  const rig = await rigWith({
    store: 'secrets-manager',
    users: { east: oldPassword },
    relay: async (urls) => {
      const nameOf = ({
        path,
        headers,
      }: {
        path: string;
        headers: Record<string, unknown>;
      }): string =>
        String(headers['x-amz-target'] ?? path)
          .replace('secretsmanager.', '')
          .replace('/api/', '');
      const target = urls.secretsManager ?? '';
      const secretsManager = await openDelay({ target, roundTripMs, journal, nameOf });
      const thingspace = await openDelay({
        target: urls.thingspace,
        roundTripMs,
        journal,
        nameOf,
      });
      relays.push(secretsManager, thingspace);
      return { thingspace: `${thingspace.url}/api`, secretsManager: secretsManager.url };
    },
  });
  await using _relays = closing(relays);

  const first = await rotateOnly(rig);
  const wavesOfFirst = wavesOf(journal.seen.splice(0)).length;
  const second = await rotateOnly(rig);

  expect([first.outcome, second.outcome, wavesOfFirst]).toEqual(['rotated', 'rotated', 9]);
  expect(wavesOf(journal.seen)).toEqual([
    ['GetSecretValue', 'GetSecretValue', 'GetSecretValue'],
    ['ListSecretVersionIds', 'PutSecretValue'],
    ['GetSecretValue', 'm2m/v1/session/login'],
    ['PutSecretValue'],
    ['m2m/v1/session/password/actions/reset'],
    ['PutSecretValue'],
    ['UpdateSecretVersionStage'],
    ['m2m/v1/session/login', 'm2m/v1/session/logout'],
    ['PutSecretValue', 'm2m/v1/session/logout'],
  ]);
});
