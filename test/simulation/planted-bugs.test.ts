// A judge that cannot fail judges nothing: for each promise a program that breaks it, by a bug put
// around its ports, and the schedule by which the judge finds out.

import type { SecretStore } from '../../src/rotation/ports.ts';
import { copyWorld, createWorld, nameOf, passTime, type World } from '../harness/world.ts';
import { listedPicks } from '../harness/world-picks.ts';
import {
  type Config,
  type Process,
  promote,
  type Simulation,
  simulate,
  timing,
} from '../harness/world-run.ts';
import { exploreOneByOne, exploreTwo, type Scope } from './explore.ts';
import { Broken, judge, simulationOf } from './judging.ts';

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
    const moved = await store.promote(from, to);
    if (moved === 'conflict' && simulation.world.labels.get('AWSCURRENT') !== to)
      promote(simulation.world, { process: process.name, attempt: process.attempts }, to);
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
    simulation.world.versions.delete(`record-${record.sequence}`);
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

const forgetsStops = inStore((store) => ({
  putRecord: (record) =>
    record.phase === 'stopped' ? Promise.resolve('written') : store.putRecord(record),
}));

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

  expect(found).toEqual({ promise: 'promise 11', mishaps: [expect.any(String)] });
});

test('a client that retries the reset is found by an answer that is lost', async () => {
  const found = await brokenBy(exploreOneByOne({ ...world, plant: retriesTheReset }));

  expect(found).toEqual({ promise: 'promise 4', mishaps: [expect.any(String)] });
});

test('a settle time of nothing is found by a reset that is late', async () => {
  const found = await brokenBy(exploreOneByOne({ ...world, timing: { ...timing, settleMs: 0 } }));

  expect(found).toEqual({ promise: 'promise 5', mishaps: [expect.stringContaining('late')] });
});

test('attempt records that the last writer wins are found by two processes', async () => {
  const found = await brokenBy(exploreTwo({ ...two, faults: 0, plant: lastWriterWins }));

  expect(found).toEqual({ promise: 'promise 11', mishaps: [] });
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

  expect(found).toEqual({ promise: 'the outcomes', mishaps: [] });
});
