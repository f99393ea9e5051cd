// The scheduler with the simulators of Secrets Manager and ThingSpace and every kind of fault at 5
// %, until every account is healthy or suspended for a reason. With SERVE_ACCOUNTS=1000 it prints a
// summary.

import { afterEach, expect, test } from '@jest/globals';
import type { Account, Rotator } from '../../src/app.ts';
import { failures } from '../../src/rotation/failure.ts';
import type { Clock } from '../../src/rotation/ports.ts';
import type { Result } from '../../src/rotation/state.ts';
import type { SchedulerEvent } from '../../src/scheduler/events.ts';
import { defaultPace, openScheduler } from '../../src/scheduler/scheduler.ts';
import {
  type CallName,
  type FaultName,
  faultNames,
  isConnectionFault,
} from '../../src/simulator/faults.ts';
import type { Fault as StoreFault } from '../fakes/secrets-manager.ts';
import { limitMs } from '../harness/limits.mjs';
import { openRig, type Rig } from '../harness/rig.ts';

const count = Number(process.env['SERVE_ACCOUNTS'] ?? 40);
const chance = 0.05;
/**
 * A thousand accounts and both simulators share one process; a longer timeout keeps that from
 * counting as an outage.
 */
const timeoutMs = limitMs(count > 100 ? 6_000 : 1_000);
/** The delays of the scheduler are divided by this; timeouts and leases are not. */
const hurry = count > 100 ? 1_200 : 2_400;

let rig: Rig | null = null;
afterEach(async () => {
  await rig?.close();
  rig = null;
});

/** A clock with short delays and right dates. */
function hurried(clock: Clock): Clock {
  return {
    ...clock,
    monotonicMs: () => clock.monotonicMs() * hurry,
    sleep: (ms, wake) => clock.sleep(ms / hurry, wake),
  };
}

/**
 * These faults end with `release()`, which this test does not call; `slow` covers a wait beyond the
 * timeout.
 */
const isEndless = (fault: FaultName): boolean => fault === 'hold' || fault === 'hang';

/** Only the reset response is read in these forms. */
const isEncoding = (fault: FaultName): boolean =>
  /^(gzip|deflate|deflate-raw|br|utf8-bom|utf16le|utf16be|latin1|trailing)-200$/.test(fault);

function armThingSpace({ thingspace }: Rig): void {
  for (const call of ['token', 'login', 'reset', 'logout'] as CallName[]) {
    for (const fault of Object.keys(faultNames) as FaultName[]) {
      if (isEndless(fault)) continue;
      // Armed once: these apply to a connection, whatever call it carries.
      if (call !== 'reset' && (isEncoding(fault) || isConnectionFault(fault))) continue;
      // Armed per call, so that each kind has its probability although the first match wins.
      thingspace.arm({
        fault,
        call,
        probability: chance,
        count: Number.POSITIVE_INFINITY,
        delayMs: 1.5 * timeoutMs,
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

/** Injects each kind of fault with its probability into the next request of an attempt. */
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
  'with every kind of fault all accounts end healthy or suspended for a reason',
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
    // All passwords become due on the same day.
    rig.advance(80 * 86_400_000);
    let isOn = true;
    armThingSpace(rig);
    const emitted: SchedulerEvent[] = [];
    const { openClock } = await import('../../src/clock.ts');
    const system = openClock();
    const clock = hurried({ ...system, nowMs: () => system.nowMs() + 80 * 86_400_000 });
    const faulty = withStoreFaults(rotator, rig, createRandom(5), () => isOn);
    const outcomes = new Map<string, number>();
    let nextRunMs = Number.POSITIVE_INFINITY;
    let [results, runs] = [0, 0];
    let finish = (): void => {};
    const finished = new Promise<void>((resolve) => {
      finish = resolve;
    });
    /** The faults end after three attempts per account; then every account must come to an end. */
    const endFaults = (): void => {
      isOn = false;
      thingspace.clearFaults();
      secretsManager?.heal();
    };
    const scheduler = openScheduler({
      rotator: faulty,
      clock,
      nextRunMs: () => nextRunMs,
      emit: (one) => {
        emitted.push(one);
        if (!isOn && names.every(isFinished)) finish();
        if (one.event === 'run.started') nextRunMs = Number.POSITIVE_INFINITY;
        if (one.event === 'run.ended') {
          runs += 1;
          nextRunMs = clock.nowMs();
        }
        if (one.event !== 'result.recorded') return;
        results += 1;
        if (results === 3 * count) endFaults();
        const { outcome, reason = 'none' } = one.result;
        outcomes.set(`${outcome} ${reason}`, (outcomes.get(`${outcome} ${reason}`) ?? 0) + 1);
      },
      pace: {
        ...defaultPace,
        checkMs: 60_000 * hurry,
        slowAttemptMs: 300_000 * hurry,
        calls: { perSecond: 5, capacity: 200 },
        writes: { perSecond: 5, capacity: 200 },
      },
    });
    const startedMs = performance.now();
    const isFinished = (name: string): boolean => {
      const entry = scheduler.statuses.get(name);
      if (entry?.reason && failures[entry.reason].disposition === 'person') return true;
      return (
        entry?.state === 'settled' &&
        entry.reason === undefined &&
        (entry.passwordSinceMs ?? 0) > clock.nowMs() - 86_400_000
      );
    };

    await scheduler.start();
    await finished;
    const tookMs = performance.now() - startedMs;
    await scheduler.stop();

    const states = new Map<string, number>();
    for (const { state, reason } of scheduler.statuses.entries())
      states.set(
        `${state} ${reason ?? ''}`.trim(),
        (states.get(`${state} ${reason ?? ''}`.trim()) ?? 0) + 1,
      );
    const requests = thingspace.requests.length + (secretsManager?.requests.length ?? 0);
    const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`;
    const summary = [
      `${count} accounts, every kind of fault at ${chance * 100} %: ${seconds(tookMs)}, ` +
        `${requests} requests, ${runs} runs, ` +
        `${Math.round(process.memoryUsage().rss / 1e6)} MB`,
      `ended: ${[...states].map(([state, many]) => `${many} ${state}`).join(', ')}`,
      `attempts: ${[...outcomes]
        .sort((a, b) => b[1] - a[1])
        .map(([end, many]) => `${many} ${end}`)
        .join(', ')}`,
    ];
    if (process.env['SERVE_ACCOUNTS']) process.stderr.write(`${summary.join('\n')}\n`);

    expect(
      names.filter((name) => !isFinished(name)).map((name) => scheduler.statuses.get(name)),
    ).toEqual([]);
    for (const { account, state, reason } of scheduler.statuses.entries()) {
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
    expect(emitted.filter((one) => one.event === 'attempt.broken')).toEqual([]);
    expect(JSON.stringify([emitted, rig.events])).not.toMatch(/first-fleet|app-planted-secret/);
  },
  count > 100 ? limitMs(900_000) : undefined,
);
