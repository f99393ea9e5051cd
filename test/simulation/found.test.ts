// What the exploration has found, each as the schedule that broke a promise: run after run, with
// all judges.

import type { Request, Result } from '../../src/rotation/state.ts';
import {
  createWorld,
  type Handiwork,
  handiwork,
  nameOf,
  newestRecord,
  openIntents,
  passTime,
  type World,
} from '../harness/world.ts';
import type { Mishap } from '../harness/world-mishaps.ts';
import { listedPicks } from '../harness/world-picks.ts';
import { account, simulate, timing } from '../harness/world-run.ts';
import { judge, simulationOf } from './judging.ts';

type Run = {
  /** Seconds since the run before. */
  readonly after?: number;
  readonly by?: Handiwork;
  readonly purpose?: Request['purpose'];
  readonly mishaps?: [call: string, mishap: Mishap][];
};

/** The world after these runs, and how each of them ended; null for one that died. */
async function story(...runs: Run[]): Promise<{ world: World; results: (Result | null)[] }> {
  const world = createWorld();
  const results: (Result | null)[] = [];
  for (const { after = 0, by, purpose = 'rotate', mishaps = [] } of runs) {
    const config = {
      receipts: 'off',
      resetEndsSessions: true,
      machines: 'many',
      timing,
      planned: mishaps,
    } as const;
    const simulation = simulationOf(world, config, listedPicks([]), { faults: 0, switches: 0 });
    passTime(world, world.nowMs + after * 1_000, () => judge(simulation));
    if (by) handiwork[by](world);
    await simulate(simulation, [
      {
        name: nameOf(world, 'p'),
        run: async (attempt) => {
          await attempt.rotate(purpose);
        },
      },
    ]);
    expect(mishaps).toEqual([]);
    results.push(simulation.processes[0]?.results[0] ?? null);
  }
  return { world, results };
}

const ends = (results: readonly (Result | null)[]): string[] =>
  results.map((result) => result?.reason ?? result?.outcome ?? 'died');

test('a reset whose connection is cut at once gets the time that the server can take', async () => {
  const { world, results } = await story(
    { mishaps: [['reset', 'cut, then very late']] },
    { after: 130 },
    { after: 60 },
  );

  expect(ends(results)).toEqual(['answer-lost', 'settling', 'password-lost']);
  expect(world.resets).toHaveLength(1);
});

test('a run that completes the rotation of a killed process never says unchanged', async () => {
  const { results } = await story(
    { mishaps: [['promote', 'crash']] },
    {
      after: 200,
      mishaps: [
        ['promote', 'late'],
        ['readCurrent', 'unavailable'],
      ],
    },
    { after: 200 },
  );

  expect(results.map((result) => result?.certainty)).not.toContain('unchanged');
  expect(results.at(-1)).toMatchObject({ certainty: 'rotated' });
});

test('an operator’s edit of the secret does not close a reset that is in progress', async () => {
  const { world, results } = await story(
    { mishaps: [['reset', 'crash, then very late']] },
    { after: 100, by: 'operator edits a note' },
    { after: 100 },
  );

  expect(ends(results)).toEqual(['died', 'settling', 'password-lost']);
  expect(world.resets).toHaveLength(1);
});

test('a suspension that the audit log lacks is recorded by the next run', async () => {
  const { world, results } = await story(
    {
      mishaps: [
        ['log in with §p-r', 'refused'],
        ['append secret.stored', 'crash'],
      ],
    },
    { after: 1 },
  );

  expect(ends(results)).toEqual(['died', 'verify-refused']);
  expect(openIntents(world, account)).toEqual([]);
});

test('a record that reaches the store late moves the label but hides no newer record', async () => {
  const { results } = await story(
    { mishaps: [['putRecord resetting', 'late']] },
    { mishaps: [['promote', 'crash']] },
    { after: 200 },
  );

  expect(ends(results)).toEqual(['store-unavailable', 'died', 'recovered']);
});

test('nor the password of a rotation during which another key was edited', async () => {
  const { results } = await story(
    { mishaps: [['putRecord resetting', 'late']] },
    { mishaps: [['promote', 'operator edits a note']] },
    { after: 200 },
  );

  expect(ends(results)).toEqual(['store-unavailable', 'recovered', 'not-due']);
});

test('AWSCURRENT moved back by hand is corrected without a failed login', async () => {
  const { world, results } = await story({}, { after: 200, by: 'operator moves AWSCURRENT back' });

  expect(ends(results)).toEqual(['rotated', 'recovered']);
  expect(world.strikes).toBe(0);
  expect(world.audit.map(({ certainty }) => certainty)).not.toContain('lost');
});

test('AWSPENDING of an older rotation of this program does not count as foreign', async () => {
  const { results } = await story(
    {},
    { after: 200, by: 'operator stores the right password' },
    { after: 200, by: 'operator stores the right password' },
    { after: 61 * 86_400, mishaps: [['append', 'answer lost']] },
    { after: 1 },
  );

  expect(ends(results)).toEqual(['rotated', 'not-due', 'not-due', 'audit-unavailable', 'rotated']);
});

test('resume records the outcome of the suspended rotation, which is not unchanged', async () => {
  const { world, results } = await story(
    {
      mishaps: [
        ['promote', 'operator stores a wrong password'],
        ['append rotation.outcome', 'crash'],
      ],
    },
    { after: 200, purpose: 'resume' },
    { after: 1 },
  );

  expect(ends(results)).toEqual(['died', 'settled', 'store-conflict']);
  expect(world.audit.map(({ certainty }) => certainty)).not.toContain('unchanged');
  expect(openIntents(world, account)).toEqual([]);
});

test('a process that is paused past its lease does not log in', async () => {
  const { world, results } = await story(
    { mishaps: [['authorize', 'paused past the lease']] },
    { after: 1 },
  );

  expect(results.map((result) => result?.logins)).toEqual([0, 2]);
  expect(newestRecord(world)).toMatchObject({ phase: 'released', loginsSpent: 0 });
});

test('a process that is paused past its time to send sends no reset', async () => {
  const { world, results } = await story({
    mishaps: [['append rotation.intended', 'paused past the time to send']],
  });

  expect(ends(results)).toEqual(['busy']);
  expect(world.resets).toEqual([]);
});
