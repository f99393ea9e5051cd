// A judge that cannot fail judges nothing: for each promise a program that breaks it, by a bug put
// around its ports, and the schedule by which the judge finds out.

import type { SecretStore } from '../../src/rotation/ports.ts';
import {
  asPromotion,
  beginsAtMs,
  copyWorld,
  createWorld,
  currentOf,
  idOf,
  moveLabel,
  nameOf,
  passTime,
  tokenOf,
  type World,
} from '../harness/world.ts';
import { listedPicks } from '../harness/world-picks.ts';
import {
  type Config,
  type Process,
  type Simulation,
  simulate,
  timing,
} from '../harness/world-run.ts';
import { exploreOneByOne, exploreTwo, finish, type Scope } from './explore.ts';
import { oneInFlight } from './judges/5-one-in-flight.ts';
import { Broken, judge, simulationOf } from './judging.ts';
import { defaults, storyIn } from './story.ts';

type Plant = NonNullable<Scope['plant']>;

const world: Scope = {
  receipts: 'readable',
  session: 'stays',
  machines: 'many',
  mishaps: 'all',
  faults: 1,
};
const two = { ...world, mishaps: 'together', switches: 2 } as const;

const inStore =
  (
    change: (store: SecretStore, simulation: Simulation, process: Process) => Partial<SecretStore>,
  ): Plant =>
  (ports, simulation, process) => ({
    ...ports,
    store: { ...ports.store, ...change(ports.store, simulation, process) },
  });

const receiptAfterTheStore: Plant = (ports) => {
  const begun: (() => Promise<unknown>)[] = [];
  return {
    ...ports,
    receipts: {
      ...ports.receipts,
      write: async (label, body) => {
        begun.push(() => ports.receipts.write(label, body));
        return 'later';
      },
    },
    store: {
      ...ports.store,
      putPending: async (...rest) => {
        const stored = await ports.store.putPending(...rest);
        await begun.pop()?.();
        return stored;
      },
    },
  };
};

const storesTheOldPassword = inStore((store) => ({
  putPending: (rotationId, basis) =>
    store.putPending(rotationId, basis, basis.credentials.password),
}));

const promotesWhateverIsCurrent = inStore((store, simulation, process) => ({
  promote: async (from, to) => {
    const { world } = simulation;
    const by = { process: process.name, attempt: process.attempt.number };
    if ((await store.promote(from, to)) === 'conflict' && currentOf(world).id !== to)
      asPromotion(world, by, () => moveLabel(world, 'AWSCURRENT', to));
    return 'promoted';
  },
}));

const countsNoLogins = inStore((store) => {
  let own = 0;
  return {
    putRecord: (record) => {
      own = record.sequence;
      return store.putRecord(record);
    },
    readRecord: async (atLeast) => {
      const found = await store.readRecord(atLeast);
      return found === null || found.record.sequence === own
        ? found
        : { ...found, record: { ...found.record, loginsSpent: 0 } };
    },
  };
});

const retriesTheReset: Plant = (ports) => ({
  ...ports,
  thingspace: {
    ...ports.thingspace,
    reset: async (session, mayStillSend) => {
      const answer = await ports.thingspace.reset(session, mayStillSend);
      return answer.reset === 'in-doubt' ? ports.thingspace.reset(session, mayStillSend) : answer;
    },
  },
});

const lastWriterWins = inStore((store, simulation) => ({
  putRecord: async (record) => {
    const { world } = simulation;
    const token = tokenOf(world, record.sequence);
    world.secret.versions = world.secret.versions.filter(({ id }) => id !== token);
    await store.putRecord(record);
    return 'written';
  },
}));

const auditsWithoutWriting =
  (codes: readonly string[]): Plant =>
  (ports) => ({
    ...ports,
    audit: {
      ...ports.audit,
      append: (events) => ports.audit.append(events.filter(({ code }) => !codes.includes(code))),
    },
  });

/** Neither writes that it is suspended, nor says so in the audit log. */
const forgetsStops: Plant = (ports) => ({
  ...ports,
  store: {
    ...ports.store,
    putRecord: (record) =>
      record.phase === 'stopped' ? Promise.resolve('written') : ports.store.putRecord(record),
  },
  audit: {
    ...ports.audit,
    append: (events) => ports.audit.append(events.filter(({ code }) => code !== 'account.stopped')),
  },
});

const tellsThePassword: Plant = (ports) => ({
  ...ports,
  thingspace: {
    ...ports.thingspace,
    login: async (credentials, mayStillSend) => {
      const answer = await ports.thingspace.login(credentials, mayStillSend);
      return answer.login === 'refused'
        ? { ...answer, detail: `${credentials.password.reveal()} was refused` }
        : answer;
    },
  },
});

const readsNoOtherVersion = inStore(() => ({ readVersion: async () => null }));

const saysPromoted = inStore(() => ({ promote: async () => 'promoted' }));

async function brokenBy(
  exploration: Promise<unknown>,
): Promise<{ promise: string; mishaps: string[] }> {
  const error = await exploration.then(
    () => null,
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof Broken)) throw new Error(`nothing was found: ${error}`);
  return {
    promise: error.promise,
    mishaps: [...error.schedule.matchAll(/<<< (.+)$/gm)].map(([, mishap]) => mishap ?? ''),
  };
}

test('a receipt that is written after the store is found by a crash between', async () => {
  expect(await brokenBy(exploreOneByOne({ ...world, plant: receiptAfterTheStore }))).toEqual({
    promise: 'promise 1',
    mishaps: ['crash'],
  });
});

test('a store that is given the old password again is found without any fault', async () => {
  const found = await brokenBy(
    exploreOneByOne({ ...world, faults: 0, plant: storesTheOldPassword }),
  );

  expect(found).toEqual({ promise: 'promise 2', mishaps: [] });
});

test('a promote without compare-and-swap is found when an operator writes meanwhile', async () => {
  expect(await brokenBy(exploreOneByOne({ ...world, plant: promotesWhateverIsCurrent }))).toEqual({
    promise: 'promise 2',
    mishaps: ['operator edits a note'],
  });
});

test('logins that are not counted are found by deaths before the refusal is written', async () => {
  const refused = createWorld();
  refused.live = '§somebody else’s';

  await expect(dieFourTimes(refused, countsNoLogins)).rejects.toMatchObject({
    promise: 'promise 3',
  });
  await dieFourTimes(copyWorld({ ...createWorld(), live: '§somebody else’s' }));
});

/** Four runs, each killed before it can write that its login was rejected. */
async function dieFourTimes(refused: World, plant?: Plant): Promise<void> {
  for (let run = 0; run < 4; run += 1) {
    const config: Config = {
      receipts: 'off',
      resetEndsSessions: true,
      machines: 'many',
      timing,
      planned: [['putRecord stopped', 'crash']],
      ...(plant ? { plant } : {}),
    };
    const simulation = simulationOf(refused, config, listedPicks([]), { faults: 0, switches: 0 });
    passTime(refused, refused.nowMs + 200_000, () => judge(simulation));
    const name = nameOf(refused, 'p');
    await simulate(simulation, [{ name, run: async (attempt) => void (await attempt.rotate()) }]);
  }
}

test('a program that compares no versions is found by an outdated read', async () => {
  const found = await brokenBy(exploreOneByOne({ ...world, plant: readsNoOtherVersion }));

  expect(found).toEqual({ promise: 'promise 10', mishaps: [expect.any(String)] });
});

test('a client that retries the reset is found by an answer that is lost', async () => {
  const found = await brokenBy(exploreOneByOne({ ...world, plant: retriesTheReset }));

  expect(found).toEqual({ promise: 'promise 4', mishaps: [expect.any(String)] });
});

test('a settle time of nothing is found by a reset that is late', async () => {
  const told = storyIn(
    { timing: { ...timing, settleMs: 0 } },
    { mishaps: [['reset', 'very late']] },
    { after: 61 },
  );

  await expect(told).rejects.toMatchObject({ promise: 'promise 6' });
});

test('attempt records that the last writer wins are found by two processes', async () => {
  const found = await brokenBy(exploreTwo({ ...two, faults: 0, plant: lastWriterWins }));

  expect(found).toEqual({ promise: 'promise 11', mishaps: [expect.stringMatching('switch')] });
});

test('a reset without a durable intent is found without any fault', async () => {
  const found = await brokenBy(
    exploreOneByOne({ ...world, faults: 0, plant: auditsWithoutWriting(['rotation.intended']) }),
  );

  expect(found).toEqual({ promise: 'promise 6', mishaps: [] });
});

test('a rotation whose outcome is never recorded is found when no fault is left', async () => {
  const plant = auditsWithoutWriting(['rotation.outcome', 'rotation.reconciled']);

  const found = await brokenBy(exploreOneByOne({ ...world, faults: 0, plant }));

  expect(found).toEqual({ promise: 'promise 6', mishaps: [] });
});

test('a suspension that is not written is found when no fault is left', async () => {
  const found = await brokenBy(
    exploreOneByOne({ ...world, mishaps: 'refusals', plant: forgetsStops }),
  );

  expect(found).toEqual({ promise: 'promise 7', mishaps: ['operator stores a wrong password'] });
});

test('a password in a detail is found when it is said', async () => {
  const found = await brokenBy(
    exploreOneByOne({ ...world, mishaps: 'refusals', plant: tellsThePassword }),
  );

  expect(found.promise).toBe('promise 8');
});

test('a promote that only says so is found by what the run says', async () => {
  const found = await brokenBy(exploreOneByOne({ ...world, faults: 0, plant: saysPromoted }));

  expect(found).toEqual({ promise: 'promise 6', mishaps: [] });
});

test('two processes without a lock are found by resets that overlap', () => {
  const reset = {
    rotationId: 'r1',
    attempt: 1,
    sentAtMs: 0,
    sentOrder: 1,
    loginOrder: 0,
    room: 100,
    fate: 'in-flight',
    endedOrder: Number.POSITIVE_INFINITY,
    response: 'nothing',
  } as const;
  const overlapping = createWorld();
  overlapping.resets = ['p1', 'p2'].map((process) => ({ ...reset, process }));
  const budget = { faults: 0, switches: 0 };

  const found = oneInFlight(simulationOf(overlapping, defaults, listedPicks([]), budget));

  expect(found).toBe('resets of p1 and p2 were in flight at the same time');
});

test('an account that is never due is found by a rotation that does not follow', async () => {
  const plant = inStore(({ readCurrent }, { world }) => ({
    readCurrent: async () => ({
      ...(await readCurrent()),
      createdAtMs: beginsAtMs + world.nowMs,
      versionId: idOf('v0'),
    }),
    passwordSince: async () => beginsAtMs + world.nowMs,
  }));
  const quiet = { ...defaults, plant };

  const objection = await finish(createWorld(), quiet, []).catch((error: unknown) => error);

  expect(objection).toMatchObject({ promise: expect.stringMatching(/promise (9|10)/) });
});

test('a run that says not-due to everything is found by the age of the password', async () => {
  const plant = inStore(() => ({ passwordSince: async (current) => current.createdAtMs }));

  const told = storyIn({ plant }, { by: 'operator edits a note' });

  await expect(told).rejects.toMatchObject({ promise: 'promise 10' });
});

test('a login that is counted although it was not sent is found by the record', async () => {
  const plant: Plant = (ports) => ({
    ...ports,
    thingspace: {
      ...ports.thingspace,
      login: async (credentials, mayStillSend) => {
        const answer = await ports.thingspace.login(credentials, mayStillSend);
        return answer.login === 'not-sent' ? { ...answer, login: 'unknown' } : answer;
      },
    },
  });

  const told = storyIn({ plant }, { mishaps: [['log in', 'not sent']] });

  await expect(told).rejects.toMatchObject({ promise: 'promise 3' });
});

test('a receipt that is deleted before the outcome is durable is found by a crash', async () => {
  const plant: Plant = (ports) => ({
    ...ports,
    store: {
      ...ports.store,
      putPending: async (versionId, ...rest) => {
        await ports.receipts.discard(versionId);
        return ports.store.putPending(versionId, ...rest);
      },
    },
  });
  const mishaps = [['putPending', 'crash']] as const;

  const told = storyIn({ receipts: 'readable', plant }, { mishaps });

  await expect(told).rejects.toMatchObject({ promise: 'promise 1' });
});

test('an audit record of a login that was not accepted is found when it is written', async () => {
  const plant: Plant = (ports) => ({
    ...ports,
    audit: {
      ...ports.audit,
      append: (events) =>
        ports.audit.append(events.map((event) => ({ ...event, code: 'credential.verified' }))),
    },
  });
  const told = storyIn({ plant }, { mishaps: [['log in with §p-r', 'dropped']] });

  await expect(told).rejects.toMatchObject({ promise: 'promise 6' });
});

test('a record that loses the key of its order is found by a second delivery', async () => {
  const plant = inStore((store) => ({
    putRecord: (record) => {
      const history = record.history?.map(({ keyDigest: _, ...one }) => one);
      return store.putRecord({ ...record, history });
    },
  }));
  const act = 'rotate --force with a key';

  const told = storyIn({ plant }, { act }, { act, after: 200 });

  await expect(told).rejects.toMatchObject({ promise: 'promise 12' });
});
