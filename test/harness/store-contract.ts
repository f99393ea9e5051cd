// The contract of a store: every MUST of src/stores/version-store.ts and of `SecretStore` in
// src/rotation/ports.ts, for any store that can create a world. Failures of one store alone are in
// the test file of that store.

import { randomUUID } from 'node:crypto';
import { inspect } from 'node:util';
import { Failure } from '../../src/rotation/failure.ts';
import type { SecretStore, SecretVersion } from '../../src/rotation/ports.ts';
import type { AttemptRecord } from '../../src/rotation/record.ts';
import { Secret } from '../../src/secret.ts';
import { type AccountSecret, openSecretStore, recordToken } from '../../src/stores/secret-store.ts';
import type { VersionStore } from '../../src/stores/version-store.ts';

/** An empty store, its clock, and an operator who stores values manually. */
export type StoreWorld = {
  versions(secretId: string): VersionStore;
  /** Creates the secret, or a new AWSCURRENT. Returns the VersionId. */
  putByHand(secretId: string, text: string): Promise<string>;
  /** Advances the store's clock. */
  advance(ms: number): void;
  /** The resolution of the store's clock in milliseconds. */
  readonly resolutionMs: number;
  close(): Promise<void>;
};

/** No message, stack, inspection or JSON may contain these. */
export const planted = {
  password: 'planted-password-7f3a',
  clientSecret: 'planted-client-secret-9c1d',
  fresh: 'planted-fresh-password-22be',
};

export const documentText = JSON.stringify({
  username: 'uws',
  password: planted.password,
  clientId: 'app',
  clientSecret: planted.clientSecret,
});

export const record = (sequence: number, owner = 'owner-1'): AttemptRecord => ({
  phase: 'claimed',
  sequence,
  basis: 'basis',
  holder: { id: owner },
  writtenAtMs: 1_795_464_000_000,
  leaseMs: 60_000,
  loginsSpent: 1,
});

/** The Failure that a promise rejects with; it must contain none of the planted values. */
export async function failureOf(
  promise: Promise<unknown>,
): Promise<{ reason: string; detail: string }> {
  const error: unknown = await promise.then(
    () => new Error('nothing was thrown'),
    (reason: unknown) => reason,
  );
  if (!(error instanceof Failure)) throw error;
  expectNothingPlanted(error);
  return { reason: error.reason, detail: error.message };
}

/** Every text form of a value. */
export function expectNothingPlanted(value: unknown): void {
  const shown = [
    inspect(value, { depth: null, showHidden: true }),
    JSON.stringify(value) ?? '',
    String(value),
    value instanceof Error ? `${value.stack} ${inspect(value.cause)}` : '',
  ].join('\n');
  for (const secret of Object.values(planted)) expect(shown).not.toContain(secret);
}

const secretId = 'thingspace/fleet-east';
const token = (): string => randomUUID();
const secret = (text: string): Secret => new Secret(text);
const stagesOf = async (versions: VersionStore): Promise<Record<string, string[]>> =>
  Object.fromEntries(
    (await versions.list()).map(({ versionId, stages }) => [versionId, [...stages].sort()]),
  );

/** Registers the suite under the store's name. */
export function describeStoreContract(name: string, open: () => Promise<StoreWorld>): void {
  const inWorld = (sentence: string, run: (world: StoreWorld) => Promise<void>): void =>
    test(`${name}: ${sentence}`, async () => {
      const world = await open();
      try {
        await run(world);
      } finally {
        await world.close();
      }
    });
  describeVersions(inWorld);
  describeLabels(inWorld);
  describeSecrets(inWorld);
  describeRecords(inWorld);
  describePending(inWorld);
  describeAge(inWorld);
}

type InWorld = (sentence: string, run: (world: StoreWorld) => Promise<void>) => void;

/** A secret with a value, and its port. */
async function openAccount(
  world: StoreWorld,
  account: Partial<AccountSecret> = {},
): Promise<{ store: SecretStore; versions: VersionStore; basis: string }> {
  const basis = await world.putByHand(secretId, documentText);
  const versions = world.versions(secretId);
  return { store: openSecretStore(versions, { secretId, ...account }), versions, basis };
}

function describeVersions(inWorld: InWorld): void {
  inWorld('a version is read by its label and by its id, byte for byte', async (world) => {
    const text = ' {"ä":"\\u0000 €\u{1f600}",\r\n\t"n":1e400}\n';
    const versionId = await world.putByHand(secretId, text);
    const versions = world.versions(secretId);

    const [byLabel, byId] = [
      await versions.read({ stage: 'AWSCURRENT' }),
      await versions.read({ versionId }),
    ];

    expect([byLabel?.versionId, byLabel?.stages, byId?.versionId]).toEqual([
      versionId,
      ['AWSCURRENT'],
      versionId,
    ]);
    expect(
      [byLabel, byId].map((version) => version?.value !== 'binary' && version?.value.reveal()),
    ).toEqual([text, text]);
  });

  inWorld('a version tells its age on the store’s own clock', async (world) => {
    await world.putByHand(secretId, documentText);
    world.advance(90_000);

    const version = await world.versions(secretId).read({ stage: 'AWSCURRENT' });

    const ageMs = (version?.storeNowMs ?? 0) - (version?.createdAtMs ?? 0);
    expect(Math.abs(ageMs - 90_000)).toBeLessThanOrEqual(world.resolutionMs);
  });

  inWorld('what is not there is null, whether secret, label or version', async (world) => {
    await world.putByHand(secretId, documentText);

    const found = await Promise.all([
      world.versions('nobody').read({ stage: 'AWSCURRENT' }),
      world.versions(secretId).read({ stage: 'AWSPENDING' }),
      world.versions(secretId).read({ versionId: token() }),
    ]);

    expect(found).toEqual([null, null, null]);
  });

  inWorld(
    'the same token and value stored twice create one version and move no label',
    async (world) => {
      await world.putByHand(secretId, documentText);
      const versions = world.versions(secretId);
      const [first, second] = [token(), token()];
      await versions.put({ token: first, value: secret('a'), stages: ['ROTATION'] });
      await versions.put({ token: second, value: secret('b'), stages: ['ROTATION'] });
      const before = await stagesOf(versions);

      const answer = await versions.put({ token: first, value: secret('a'), stages: ['ROTATION'] });

      expect([answer, await stagesOf(versions)]).toEqual(['written', before]);
    },
  );

  inWorld('a token that holds another value is taken, and nothing changes', async (world) => {
    await world.putByHand(secretId, documentText);
    const versions = world.versions(secretId);
    const id = token();
    await versions.put({ token: id, value: secret('first'), stages: ['ROTATION'] });
    const before = await stagesOf(versions);

    const answer = await versions.put({
      token: id,
      value: secret('second'),
      stages: ['ROTATION', 'AWSPENDING'],
    });

    const kept = await versions.read({ versionId: id });
    expect([
      answer,
      kept?.value !== 'binary' && kept?.value.reveal(),
      await stagesOf(versions),
    ]).toEqual(['taken', 'first', before]);
  });

  inWorld(
    'exactly one of twelve writers of one token wins, and its value is stored',
    async (world) => {
      await world.putByHand(secretId, documentText);
      const id = token();
      const texts = Array.from({ length: 12 }, (_, index) => `writer ${index}`);

      const answers = await Promise.all(
        texts.map((text) =>
          world.versions(secretId).put({ token: id, value: secret(text), stages: ['ROTATION'] }),
        ),
      );

      const stored = await world.versions(secretId).read({ stage: 'ROTATION' });
      const winners = texts.filter((_, index) => answers[index] === 'written');
      expect(winners).toEqual([stored?.value !== 'binary' && stored?.value.reveal()]);
    },
  );

  inWorld(
    'a version for a secret that does not exist is refused with secret-not-found',
    async (world) => {
      const put = world
        .versions('nobody')
        .put({ token: token(), value: secret(planted.fresh), stages: ['ROTATION'] });

      expect((await failureOf(put)).reason).toBe('secret-not-found');
    },
  );

  inWorld('two secrets never have one identity', async (world) => {
    for (const id of [secretId, 'thingspace/fleet-west']) await world.putByHand(id, documentText);

    const [east, west] = await Promise.all(
      [secretId, 'thingspace/fleet-west'].map((id) =>
        world.versions(id).read({ stage: 'AWSCURRENT' }),
      ),
    );

    expect(east?.identity).not.toBe(west?.identity);
  });

  inWorld('the list has every version, those without a label too', async (world) => {
    const ids = [
      await world.putByHand(secretId, 'one'),
      await world.putByHand(secretId, 'two'),
      await world.putByHand(secretId, 'three'),
    ];

    const listed = await stagesOf(world.versions(secretId));

    expect(listed).toEqual({
      [ids[0] ?? '']: [],
      [ids[1] ?? '']: ['AWSPREVIOUS'],
      [ids[2] ?? '']: ['AWSCURRENT'],
    });
  });
}

function describeLabels(inWorld: InWorld): void {
  inWorld('a put moves its labels from wherever they are', async (world) => {
    const current = await world.putByHand(secretId, documentText);
    const versions = world.versions(secretId);
    const [first, second] = [token(), token()];
    await versions.put({ token: first, value: secret('a'), stages: ['ROTATION', 'AWSPENDING'] });

    await versions.put({ token: second, value: secret('b'), stages: ['ROTATION'] });

    expect(await stagesOf(versions)).toEqual({
      [current]: ['AWSCURRENT'],
      [first]: ['AWSPENDING'],
      [second]: ['ROTATION'],
    });
  });

  inWorld(
    'when AWSCURRENT leaves a version, it receives AWSPREVIOUS and loses AWSPENDING',
    async (world) => {
      const first = await world.putByHand(secretId, 'one');
      const versions = world.versions(secretId);
      const second = token();
      await versions.put({ token: second, value: secret('two'), stages: ['AWSPENDING'] });
      const moved = await versions.move('AWSCURRENT', first, second);
      const afterMove = await stagesOf(versions);

      const third = await world.putByHand(secretId, 'three');

      expect([moved, afterMove]).toEqual([
        'moved',
        { [first]: ['AWSPREVIOUS'], [second]: ['AWSCURRENT', 'AWSPENDING'] },
      ]);
      expect(await stagesOf(versions)).toEqual({
        [first]: [],
        [second]: ['AWSPREVIOUS'],
        [third]: ['AWSCURRENT'],
      });
    },
  );

  inWorld('a label is moved only from where it is, else nothing changes', async (world) => {
    const current = await world.putByHand(secretId, documentText);
    const versions = world.versions(secretId);
    const [first, second] = [token(), token()];
    await versions.put({ token: first, value: secret('a'), stages: ['ROTATION'] });
    await versions.put({ token: second, value: secret('b'), stages: ['AWSPENDING'] });
    const before = await stagesOf(versions);

    const answers = [
      await versions.move('AWSCURRENT', first, second),
      await versions.move('ROTATION', null, second),
      await versions.move('ROTATION', current, second),
      await versions.move('AWSCURRENT', current, token()),
      await versions.move('NOWHERE', first, second),
    ];

    expect([answers, await stagesOf(versions)]).toEqual([Array(5).fill('conflict'), before]);
  });

  inWorld('a label that is nowhere is moved from nowhere', async (world) => {
    const current = await world.putByHand(secretId, documentText);

    const answer = await world.versions(secretId).move('KEPT', null, current);

    expect([answer, await stagesOf(world.versions(secretId))]).toEqual([
      'moved',
      { [current]: ['AWSCURRENT', 'KEPT'] },
    ]);
  });

  inWorld('of eight movers of one label exactly one wins', async (world) => {
    const current = await world.putByHand(secretId, documentText);
    const versions = world.versions(secretId);
    const ids = Array.from({ length: 8 }, token);
    for (const id of ids)
      await versions.put({ token: id, value: secret(id), stages: ['AWSPENDING'] });

    const answers = await Promise.all(
      ids.map((id) => world.versions(secretId).move('AWSCURRENT', current, id)),
    );

    const winners = ids.filter((_, index) => answers[index] === 'moved');
    expect(winners).toEqual([(await versions.read({ stage: 'AWSCURRENT' }))?.versionId]);
  });
}

function describeSecrets(inWorld: InWorld): void {
  inWorld('the current secret is read completely', async (world) => {
    const { store, basis } = await openAccount(world);

    const current = await store.readCurrent();

    expect([current.versionId, current.document.reveal()]).toEqual([basis, documentText]);
    expect(revealed(current)).toEqual({
      username: 'uws',
      password: planted.password,
      clientId: 'app',
      clientSecret: planted.clientSecret,
    });
    expectNothingPlanted(current);
  });

  inWorld('a secret that is not there is named', async (world) => {
    const store = openSecretStore(world.versions('nobody'), { secretId: 'nobody' });

    expect(await failureOf(store.readCurrent())).toEqual({
      reason: 'secret-not-found',
      detail: expect.stringContaining('secret nobody'),
    });
  });

  inWorld(
    'an error about an invalid account names the defect and never quotes the value',
    async (world) => {
      const bad: [string, string][] = [
        [planted.password, 'is not JSON'],
        [`{"password": ${planted.password}}`, 'is not JSON'],
        [`["${planted.password}"]`, 'is JSON, but not an object'],
        [`{"password":"${planted.password}"}`, 'has no "username"'],
        [documentText.replace('"uws"', '7'), 'has a "username" that is not a string'],
        [documentText.replace('"uws"', '""'), 'has an empty "username"'],
        [
          documentText.replace('"username"', '"password":"twice","username"'),
          'has "password" twice',
        ],
        [documentText.replace('"uws"', `"${'u'.repeat(60_000)}"`), 'is over 60000 bytes'],
      ];
      for (const [text, what] of bad) {
        await world.putByHand(secretId, text);

        const failure = await failureOf(
          openSecretStore(world.versions(secretId), { secretId }).readCurrent(),
        );

        expect(failure).toEqual({
          reason: 'secret-invalid',
          detail: `the value of secret ${secretId} ${what}`,
        });
      }
    },
  );

  inWorld('keys may have the customer’s own names', async (world) => {
    const fields = { username: 'uwsUser', password: 'uws.password' };
    await world.putByHand(
      secretId,
      `{"uwsUser":"u","uws.password":"p","password":"other","clientId":"c","clientSecret":"s"}`,
    );
    const store = openSecretStore(world.versions(secretId), { secretId, fields });

    await store.putPending(token(), await store.readCurrent(), secret('new'));

    const pending = await world.versions(secretId).read({ stage: 'AWSPENDING' });
    const text =
      '{"uwsUser":"u","uws.password":"new","password":"other","clientId":"c","clientSecret":"s"}';
    expect(pending?.value !== 'binary' && pending?.value.reveal()).toBe(text);
  });

  inWorld('clientId and clientSecret may live in another secret', async (world) => {
    await world.putByHand(secretId, `{"username":"u","password":"p","clientId":"not this one"}`);
    await world.putByHand('thingspace/app', `{"clientId":"c","clientSecret":"s"}`);
    const oauth = { secretId: 'thingspace/app', versions: world.versions('thingspace/app') };

    const current = await openSecretStore(world.versions(secretId), {
      secretId,
      oauth,
    }).readCurrent();

    expect(revealed(current)).toEqual({
      username: 'u',
      password: 'p',
      clientId: 'c',
      clientSecret: 's',
    });
  });

  inWorld(
    'a missing application key pair is read from the secret that is configured for it',
    async (world) => {
      await world.putByHand(secretId, documentText);
      await world.putByHand('thingspace/app', `{"clientId":"c"}`);
      const failureWith = (oauthId: string): Promise<{ detail: string }> => {
        const oauth = { secretId: oauthId, versions: world.versions(oauthId) };
        return failureOf(
          openSecretStore(world.versions(secretId), { secretId, oauth }).readCurrent(),
        );
      };

      const [incomplete, absent] = [
        await failureWith('thingspace/app'),
        await failureWith('thingspace/none'),
      ];

      expect(incomplete.detail).toBe('the value of secret thingspace/app has no "clientSecret"');
      expect(absent.detail).toContain('secret thingspace/none');
    },
  );
}

const revealed = ({
  credentials: { username, password, clientId, clientSecret },
}: SecretVersion): object => ({
  username,
  password: password.reveal(),
  clientId,
  clientSecret: clientSecret.reveal(),
});

function describeRecords(inWorld: InWorld): void {
  inWorld('an account that was never rotated has no attempt record', async (world) => {
    const { store } = await openAccount(world);

    expect([await store.readRecord(0), await store.readRecord(1)]).toEqual([null, null]);
  });

  inWorld(
    'an attempt record is read back unchanged, with its age on the store’s clock',
    async (world) => {
      const { store } = await openAccount(world);
      await store.putRecord(record(1));
      world.advance(30_000);

      const found = await store.readRecord(1);

      expect(found?.record).toEqual(record(1));
      expect(Math.abs((found?.ageMs ?? 0) - 30_000)).toBeLessThanOrEqual(world.resolutionMs);
    },
  );

  inWorld(
    'a record’s age is never negative, also when the store’s clock was set back',
    async (world) => {
      const { store } = await openAccount(world);
      await store.putRecord(record(1));
      world.advance(-3_600_000);

      expect((await store.readRecord(1))?.ageMs).toBe(0);
    },
  );

  inWorld(
    'one owner wins a sequence; the winner may repeat it, the other reads the owner',
    async (world) => {
      const { store, versions } = await openAccount(world);
      const other = openSecretStore(versions, { secretId });

      const answers = [
        await store.putRecord(record(1, 'a')),
        await other.putRecord(record(1, 'b')),
        await store.putRecord(record(1, 'a')),
      ];

      expect([answers, (await other.readRecord(1))?.record.holder.id]).toEqual([
        ['written', 'taken', 'written'],
        'a',
      ]);
    },
  );

  inWorld(
    'a record is found by its sequence when the label is on an older record',
    async (world) => {
      const { store, versions } = await openAccount(world);
      for (const sequence of [1, 2]) await store.putRecord(record(sequence));
      const identity = (await versions.read({ stage: 'AWSCURRENT' }))?.identity ?? '';
      await versions.move('ROTATION', recordToken(identity, 2), recordToken(identity, 1));

      const found = [
        await store.readRecord(0),
        await store.readRecord(1),
        await store.readRecord(2),
        await store.readRecord(3),
      ];

      expect(found.map((one) => one?.record.sequence)).toEqual([1, 1, 2, 1]);
    },
  );

  inWorld(
    'a record is found by its sequence when the label is on a foreign version',
    async (world) => {
      const { store, versions } = await openAccount(world);
      await store.putRecord(record(1));
      await versions.put({ token: token(), value: secret(documentText), stages: ['ROTATION'] });

      const failure = await failureOf(store.readRecord(0));

      expect(failure).toEqual({
        reason: 'record-invalid',
        detail: expect.stringContaining('not an attempt record'),
      });
    },
  );

  inWorld('a process that knows no record yet finds one by its sequence', async (world) => {
    const { store, versions } = await openAccount(world);
    await store.putRecord(record(5));
    const identity = (await versions.read({ stage: 'AWSCURRENT' }))?.identity ?? '';
    await versions.put({
      token: token(),
      value: secret(JSON.stringify({ format: 'thingspace-rotator/attempt/1', ...record(1) })),
      stages: ['ROTATION'],
    });

    const found = await openSecretStore(versions, { secretId }).readRecord(5);

    expect([
      found?.record.sequence,
      (await versions.read({ versionId: recordToken(identity, 5) }))?.stages,
    ]).toEqual([5, []]);
  });
}

function describePending(inWorld: InWorld): void {
  inWorld(
    'the new password is stored in a new version, and no other byte changes',
    async (world) => {
      const text =
        `\n{ "note" : "\\u00e9\\/", "n": 1e400, "password" :\t"p", ` +
        `"username":"u","clientId":"c","clientSecret":"s", "nested":{"password":"p"} }\n`;
      await world.putByHand(secretId, text);
      const store = openSecretStore(world.versions(secretId), { secretId });
      const rotationId = token();

      await store.putPending(rotationId, await store.readCurrent(), secret('n"ew\\'));

      const version = await store.readVersion(rotationId);
      expect(version?.document.reveal()).toBe(text.replace(':\t"p"', ':\t"n\\"ew\\\\"'));
      expect((await store.readCurrent()).document.reveal()).toBe(text);
    },
  );

  inWorld('the pending version is named until it is current', async (world) => {
    const { store, basis } = await openAccount(world);
    const rotationId = token();
    const seen = [await store.readPending()];
    await store.putPending(rotationId, await store.readCurrent(), secret(planted.fresh));
    seen.push(await store.readPending());

    const answer = await store.promote(basis, rotationId);

    seen.push(await store.readPending());
    const current = await store.readCurrent();
    expect([answer, seen, current.versionId, current.credentials.password.reveal()]).toEqual([
      'promoted',
      [null, rotationId, null],
      rotationId,
      planted.fresh,
    ]);
  });

  inWorld('a version with AWSPREVIOUS does not count as pending', async (world) => {
    const { store, basis } = await openAccount(world);
    const rotationId = token();
    await store.putPending(rotationId, await store.readCurrent(), secret(planted.fresh));
    await store.promote(basis, rotationId);

    await world.putByHand(secretId, documentText);

    expect(await store.readPending()).toBeNull();
  });

  inWorld('storing the same new password again is a no-op', async (world) => {
    const { store, versions } = await openAccount(world);
    const [rotationId, basis] = [token(), await store.readCurrent()];
    await store.putPending(rotationId, basis, secret(planted.fresh));
    const before = await stagesOf(versions);

    await store.putPending(rotationId, basis, secret(planted.fresh));

    expect(await stagesOf(versions)).toEqual(before);
  });

  inWorld('a version that contains another password never counts as stored', async (world) => {
    const { store } = await openAccount(world);
    const [rotationId, basis] = [token(), await store.readCurrent()];
    await store.putPending(rotationId, basis, secret('another'));

    const answer = await store.putPending(rotationId, basis, secret(planted.fresh));

    expect(answer).toBe('taken');
    expect((await store.readVersion(rotationId))?.credentials.password.reveal()).toBe('another');
  });

  inWorld('a version that holds the same password in another document is stored', async (world) => {
    const { store } = await openAccount(world);
    const rotationId = token();
    await store.putPending(rotationId, await store.readCurrent(), secret(planted.fresh));
    await world.putByHand(secretId, documentText.replace('}', ',"note":"edited meanwhile"}'));

    const again = await store.putPending(
      rotationId,
      await store.readCurrent(),
      secret(planted.fresh),
    );

    expect(again).toBe('stored');
    expect((await store.readVersion(rotationId))?.credentials.password.reveal()).toBe(
      planted.fresh,
    );
  });

  inWorld('a version that does not exist is no failure', async (world) => {
    const { store } = await openAccount(world);

    expect(await store.readVersion(token())).toBeNull();
  });

  inWorld('the id of a recovery names the rotation and the version it replaces', async (world) => {
    const { store, basis } = await openAccount(world);
    const rotationId = token();

    const id = store.recoveryId(rotationId, basis);
    await store.putPending(id, await store.readCurrent(), secret(planted.fresh));

    expect(id).toBe(store.recoveryId(rotationId, basis));
    expect(store.recoveryId(rotationId, token())).not.toBe(id);
    expect((await store.readVersion(id))?.credentials.password.reveal()).toBe(planted.fresh);
  });

  inWorld(
    'the bytes of an unreadable response are kept, and read back as they were',
    async (world) => {
      const { store, versions } = await openAccount(world);
      const [rotationId, other] = [token(), token()];
      const bytes = new Uint8Array([0x1f, 0x8b, 0, 255, 128, 10]);

      const versionId = await store.putAnswer(rotationId, new Secret(bytes));

      const kept = await store.readAnswer(rotationId);
      expect(kept?.versionId).toBe(versionId);
      expect([...(kept?.body.reveal() ?? [])]).toEqual([...bytes]);
      expect((await versions.read({ stage: 'ROTATION_ANSWER' }))?.versionId).toBe(versionId);
      expect(await store.readAnswer(other)).toBeNull();
    },
  );

  inWorld('a secret with few young versions has room for a rotation', async (world) => {
    const { store } = await openAccount(world);

    expect(await store.roomAtMs(Date.now())).toBeNull();
  });

  inWorld('a promotion from where AWSCURRENT is not changes nothing', async (world) => {
    const { store, versions, basis } = await openAccount(world);
    const rotationId = token();
    await store.putPending(rotationId, await store.readCurrent(), secret(planted.fresh));
    const byHand = await world.putByHand(secretId, documentText);
    const before = await stagesOf(versions);

    const answer = await store.promote(basis, rotationId);

    expect([answer, await stagesOf(versions), (await store.readCurrent()).versionId]).toEqual([
      'conflict',
      before,
      byHand,
    ]);
  });
}

function describeAge(inWorld: InWorld): void {
  inWorld('editing another key does not change the age of the password', async (world) => {
    const { store, versions } = await openAccount(world);
    const first = (await versions.list())[0]?.createdAtMs;
    for (const note of ['a', 'b']) {
      world.advance(60_000);
      await store.putRecord(record(note === 'a' ? 1 : 2));
      await world.putByHand(secretId, documentText.replace('}', `,"note":"${note}"}`));
    }

    expect(await store.passwordSince(await store.readCurrent())).toBe(first);
  });

  inWorld(
    'attempt records between two edits do not limit the search for the password’s age',
    async (world) => {
      const { store, versions } = await openAccount(world);
      const first = (await versions.list())[0]?.createdAtMs;
      for (let sequence = 1; sequence <= 22; sequence += 1) await store.putRecord(record(sequence));
      world.advance(60_000);
      await world.putByHand(secretId, documentText.replace('}', ',"note":1}'));

      expect(await store.passwordSince(await store.readCurrent())).toBe(first);
    },
  );

  inWorld(
    'attempt records without the label are recognised by their format and skipped',
    async (world) => {
      const { store, versions } = await openAccount(world);
      const [first, identity] = [
        (await versions.list())[0]?.createdAtMs,
        (await versions.read({ stage: 'AWSCURRENT' }))?.identity ?? '',
      ];
      for (const sequence of [1, 2, 3]) await store.putRecord(record(sequence));
      await versions.move('ROTATION', recordToken(identity, 3), recordToken(identity, 1));
      world.advance(60_000);
      await world.putByHand(secretId, documentText.replace('}', ',"note":1}'));

      expect(await store.passwordSince(await store.readCurrent())).toBe(first);
    },
  );

  inWorld('another password before it ends the password’s age', async (world) => {
    const { store } = await openAccount(world);
    world.advance(60_000);
    const rotationId = token();
    await store.putPending(rotationId, await store.readCurrent(), secret(planted.fresh));
    await store.promote((await store.readCurrent()).versionId, rotationId);
    const stored = await store.readCurrent();
    world.advance(60_000);
    await world.putByHand(
      secretId,
      documentText.replace(planted.password, planted.fresh).replace('}', ',"note":1}'),
    );

    expect(await store.passwordSince(await store.readCurrent())).toBe(stored.createdAtMs);
  });

  inWorld('a program that stores many versions does not make the password young', async (world) => {
    const { store, versions } = await openAccount(world);
    world.advance(60_000);
    await world.putByHand(secretId, documentText.replace(planted.password, planted.fresh));
    for (let edit = 0; edit < 60; edit += 1) {
      world.advance(60_000);
      const edited = documentText.replace('}', `,"edit":${edit}}`);
      await world.putByHand(secretId, edited.replace(planted.password, planted.fresh));
    }
    const dates = (await versions.list())
      .map(({ createdAtMs }) => createdAtMs)
      .sort((a, b) => a - b);

    expect(await store.passwordSince(await store.readCurrent())).toBe(dates[1]);
  });
}
