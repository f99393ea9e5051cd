// The daemon over real simulators of Secrets Manager and ThingSpace, every kind of fault at 5 %, until every account is
// settled or stopped for a reason. SERVE_ACCOUNTS=1000 makes it the whole fleet; it prints what came of it.

import { afterEach, expect, test } from '@jest/globals';
import type { Account, Rotator } from '../../src/app.ts';
import { failures } from '../../src/rotation/failure.ts';
import type { Clock } from '../../src/rotation/ports.ts';
import type { Result } from '../../src/rotation/state.ts';
import type { News } from '../../src/scheduler/events.ts';
import { openDaemon, usualPace } from '../../src/scheduler/scheduler.ts';
import type { Fault as StoreFault } from '../../src/simulator/secrets-manager.ts';
import { type CallName, type FaultName, faultNames } from '../../src/simulator/thingspace.ts';
import { openRig, type Rig } from '../harness/rig.ts';

const count = Number(process.env['SERVE_ACCOUNTS'] ?? 40);
const chance = 0.05;
/** A thousand accounts and both simulators share one process: what is slow there is not to look like an outage. */
const timeoutMs = count > 100 ? 6_000 : 1_000;
/** Waits of the daemon are this much shorter; timeouts and leases are as they are. */
const hurry = count > 100 ? 1_200 : 2_400;

let rig: Rig | null = null;
afterEach(async () => {
  await rig?.close();
  rig = null;
});

/** Its waits are short, its dates are right. */
function hurried(clock: Clock): Clock {
  return {
    ...clock,
    monotonicMs: () => clock.monotonicMs() * hurry,
    sleep: (ms, wake) => clock.sleep(ms / hurry, wake),
  };
}

/** These wait for `release()`, which nobody gives; a wait past the timeout is `slow`. */
const isWaitingForever = (fault: FaultName): boolean => fault === 'hold' || fault === 'hang';

function armThingSpace({ thingspace }: Rig): void {
  for (const call of ['token', 'login', 'reset', 'logout'] as CallName[]) {
    for (const fault of Object.keys(faultNames) as FaultName[]) {
      if (isWaitingForever(fault)) continue;
      // Armed per call, so that the chance of each kind is what it says although the first one wins.
      thingspace.arm({
        fault,
        call,
        probability: chance,
        count: Number.POSITIVE_INFINITY,
        delayMs: 1_500,
      });
    }
  }
}

const storeFaults: readonly StoreFault[] = [
  'unavailable',
  'internal-error',
  'throttled',
  'access-denied',
  'kms-denied',
  'expired-credentials',
  'limit-exceeded',
  'drop-before-commit',
  'drop-after-commit',
  'proxy-page',
  'truncated',
  'silent',
  'stale-labels',
];

/** With a chance each, an attempt is met by one fault of each kind, at whichever of its requests comes first. */
function withStoreFaults(
  rotator: Rotator,
  { secretsManager }: Rig,
  random: () => number,
  isOn: () => boolean,
) {
  const wrapped: Pick<Rotator, 'config' | 'accounts' | 'attempt' | 'status' | 'audit' | 'observe'> =
    {
      ...rotator,
      attempt: (account: Account, ask, interrupt): Promise<Result> => {
        if (isOn())
          for (const fault of storeFaults)
            if (random() < chance) secretsManager?.inject('*', fault, 1);
        return rotator.attempt(account, ask, interrupt);
      },
    };
  return wrapped;
}

function createRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

test(
  'a fleet with faults of every kind ends with every account settled or stopped for a reason, and no promise broken',
  async () => {
    const names = Array.from(
      { length: count },
      (_, index) => `fleet-${String(index).padStart(4, '0')}`,
    );
    const config: Record<string, unknown> = {
      concurrency: 12,
      policy: { rotateAfterDays: 75, maxAgeDays: 90 },
    };
    rig = await openRig({
      store: 'secrets-manager',
      users: Object.fromEntries(names.map((name) => [name, `first-${name}`])),
      config,
      relay: async (urls) => {
        config['thingspace'] = {
          baseUrl: urls.thingspace,
          requestTimeoutMs: timeoutMs,
          resetTimeoutMs: timeoutMs,
          settleMs: 300,
        };
        return urls;
      },
    });
    const { thingspace, secretsManager, rotator } = rig;
    // Every password becomes old enough at once: the worst day of a fleet.
    rig.advance(80 * 86_400_000);
    let isOn = true;
    armThingSpace(rig);
    const news: News[] = [];
    const { openClock } = await import('../../src/clock.ts');
    const system = openClock();
    const clock = hurried({ ...system, nowMs: () => system.nowMs() + 80 * 86_400_000 });
    const faulty = withStoreFaults(rotator, rig, createRandom(5), () => isOn);
    const outcomes = new Map<string, number>();
    const daemon = openDaemon({
      rotator: faulty,
      clock,
      openTicker: () => ({ nextMs: () => Number.POSITIVE_INFINITY, stop: () => {} }),
      hear: (one) => {
        news.push(one);
        if (one.news !== 'result') return;
        const { outcome, reason = 'none' } = one.result;
        outcomes.set(`${outcome} ${reason}`, (outcomes.get(`${outcome} ${reason}`) ?? 0) + 1);
      },
      pace: {
        ...usualPace,
        calls: { perSecond: 5, capacity: 200 },
        writes: { perSecond: 5, capacity: 200 },
      },
    });
    const startedMs = performance.now();
    const isAtRest = (name: string): boolean => {
      const entry = daemon.board.get(name);
      if (entry?.state === 'stopped') return true;
      return (
        entry?.state === 'settled' &&
        entry.reason === undefined &&
        (entry.passwordSinceMs ?? 0) > clock.nowMs() - 86_400_000
      );
    };

    await daemon.start();
    let ticks = 0;
    while (!names.every(isAtRest) && ticks < 40) {
      // As long as the table of waits is, and then a tick.
      await system.sleep((5.5 * 3_600_000) / hurry / (count > 100 ? 1 : 4));
      ticks += 1;
      // With faults for ever somebody is always met by one: now they stop, and all must come to rest.
      if (ticks === 6) {
        isOn = false;
        thingspace.clearFaults();
        secretsManager?.heal();
      }
      await daemon.tick();
    }
    const tookMs = performance.now() - startedMs;
    await daemon.stop();

    const states = new Map<string, number>();
    for (const { state, reason } of daemon.board.entries())
      states.set(
        `${state} ${reason ?? ''}`.trim(),
        (states.get(`${state} ${reason ?? ''}`.trim()) ?? 0) + 1,
      );
    const requests = thingspace.requests.length + (secretsManager?.requests.length ?? 0);
    const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`;
    const summary = [
      `${count} accounts, every kind of fault at ${chance * 100} %: ${seconds(tookMs)}, ${requests} requests, ${ticks} ticks, ${Math.round(process.memoryUsage().rss / 1e6)} MB`,
      `ended: ${[...states].map(([state, many]) => `${many} ${state}`).join(', ')}`,
      `attempts: ${[...outcomes]
        .sort((a, b) => b[1] - a[1])
        .map(([end, many]) => `${many} ${end}`)
        .join(', ')}`,
    ];
    if (process.env['SERVE_ACCOUNTS']) process.stderr.write(`${summary.join('\n')}\n`);

    expect(names.filter((name) => !isAtRest(name)).map((name) => daemon.board.get(name))).toEqual(
      [],
    );
    for (const { account, state, reason } of daemon.board.entries()) {
      const { name } = account;
      expect([
        name,
        thingspace.failedLogins(name).most <= 3,
        thingspace.maxResetsInFlight(name) <= 1,
        thingspace.isLocked(name),
      ]).toEqual([name, true, true, false]);
      const stored = JSON.parse(
        String(
          secretsManager?.call('GetSecretValue', {
            SecretId: `thingspace/${name}`,
            VersionStage: 'AWSCURRENT',
          })['SecretString'],
        ),
      ) as { password: string };
      if (state === 'settled')
        expect([name, stored.password]).toEqual([name, thingspace.livePassword(name)]);
      else expect([name, reason && failures[reason].disposition]).toEqual([name, 'person']);
    }
    expect(news.filter((one) => one.news === 'broken')).toEqual([]);
    expect(JSON.stringify([news, rig.events])).not.toMatch(/first-fleet|app-planted-secret/);
  },
  count > 100 ? 900_000 : 120_000,
);
