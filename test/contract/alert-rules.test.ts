// The alert rules, judged by promtool on what the registry of a real service exposed in a state. A
// fleet in memory and a virtual clock make the state.

import { expect } from '@jest/globals';
import type { Account } from '../../src/app.ts';
import type { RotationEvent } from '../../src/rotation/event.ts';
import type { Ports } from '../../src/rotation/ports.ts';
import type { NextRunMs } from '../../src/scheduler/cron.ts';
import { defaultPace, openScheduler } from '../../src/scheduler/scheduler.ts';
import { createReadiness } from '../../src/server/readiness.ts';
import { figuresOf, type Metrics, openMetrics } from '../../src/telemetry/prometheus.ts';
import { limitMs } from '../harness/limits.mjs';
import { checkRules, type Fired, judgeRules, type Scrape } from '../harness/promtool.ts';
import {
  dailyCron,
  dayMs,
  type FleetWorld,
  fleetWorld,
  minuteMs,
  virtualClock,
  type WorldOptions,
} from '../harness/serve-world.ts';
import { testWith } from '../harness/tools.ts';

const hourMs = 60 * minuteMs;
const testRules = testWith('promtool');

type Instance = {
  readonly name: string;
  /** Runs its readiness checks. */
  check(): Promise<void>;
  /** What it exposes; `null` where it does not answer. */
  text(): Promise<string | null>;
  /** Ends the process, and begins another one when `restarts`. */
  restart(): Promise<void>;
  kill(): Promise<void>;
};

type Monitored = {
  readonly world: FleetWorld;
  /** Lets time pass, with a scrape of every instance at the end of each step. */
  pass(ms: number): Promise<void>;
  readonly instances: readonly Instance[];
  /** Counts an event of an attempt. */
  observe(event: RotationEvent): void;
  /** Service discovery does not list this instance any more. */
  forget(name: string): void;
  /** Ends the instances, and judges the scrapes. */
  judge(): Promise<Fired>;
};

type MonitoredOptions = WorldOptions & {
  readonly instances?: readonly string[];
  readonly nextRunMs?: NextRunMs;
  readonly stepMs?: number;
  /** How far the clock of the service is ahead at its start. */
  readonly aheadMs?: number;
};

/** A service per instance over one fleet, and the Prometheus that scrapes them. */
async function monitored(options: MonitoredOptions): Promise<Monitored> {
  const { stepMs = 5 * minuteMs, instances: names = ['ops-1:9464'] } = options;
  const clock = options.clock ?? virtualClock();
  const isLong = stepMs >= hourMs;
  let observer: Metrics | null = null;
  const wrap = (ports: Ports, name: string): Ports => {
    const wrapped = options.wrap?.(ports, name) ?? ports;
    return { ...wrapped, observe: (event) => observer?.observe(event) };
  };
  const world = fleetWorld({ keepsAudit: false, ...options, clock, wrap });
  const nextRunMs = options.nextRunMs ?? dailyCron(clock).nextRunMs;
  // Prometheus has the right time, whatever the service believes.
  const originMs = clock.nowMs();
  clock.step(options.aheadMs ?? 0);

  async function open() {
    const daemon = openScheduler({
      rotator: world.rotator,
      clock,
      nextRunMs,
      // The loop of a year is long; the readiness says that it is slow.
      pace: { ...defaultPace, loopMs: isLong ? 30 * minuteMs : defaultPace.loopMs },
      emit: (event) => {
        if (event.event === 'result.recorded') metrics.recordResult(event.result);
        if (event.event === 'run.ended' && event.isScheduled) metrics.recordRun(event.atMs);
      },
    });
    const readiness = createReadiness({ rotator: world.rotator, daemon, clock });
    const last: { atMs: number; checks: Awaited<ReturnType<typeof readiness>> } = {
      atMs: 0,
      checks: [],
    };
    const metrics: Metrics = await openMetrics({
      figures: () => figuresOf(daemon.statuses.entries(), clock.nowMs()),
      readiness: () => last,
      clock,
      version: '0.1.0',
    });
    observer = metrics;
    await daemon.start();
    return {
      metrics,
      daemon,
      check: async () => Object.assign(last, { checks: await readiness(), atMs: clock.nowMs() }),
    };
  }

  async function openInstance(name: string): Promise<Instance> {
    let service: Awaited<ReturnType<typeof open>> | null = await open();
    const kill = async (): Promise<void> => {
      await Promise.all([service?.daemon.stop(), clock.advance(1)]);
      service = null;
    };
    return {
      name,
      check: async () => void (isLong || (await service?.check())),
      text: async () => (service ? (await service.metrics.expose()).text : null),
      kill,
      restart: async () => {
        await kill();
        service = await open();
      },
    };
  }

  const instances = await Promise.all(names.map(openInstance));
  const scrapes: Scrape[] = [];
  const gone = new Set<string>();
  return {
    world,
    instances,
    pass: async (ms) => {
      for (let left = ms; left > 0; left -= stepMs) {
        await clock.advance(stepMs - 10_000);
        // A check that hangs ends with its time limit.
        await Promise.all([...instances.map(({ check }) => check()), clock.advance(10_000)]);
        for (const { name, text } of instances.filter((one) => !gone.has(one.name)))
          scrapes.push({
            atMs: originMs + clock.monotonicMs(),
            text: await text(),
            instance: name,
          });
      }
    },
    observe: (event) => observer?.observe(event),
    forget: (name) => void gone.add(name),
    judge: async () => {
      for (const { kill } of instances) await kill();
      return judgeRules(scrapes, stepMs);
    },
  };
}

testRules('promtool finds no mistake in the rules', () => {
  expect(checkRules()).toContain('SUCCESS');
});

/** Mondays for a weekly schedule, every day for the others; 03:17 UTC. */
function runsOf(clock: { nowMs(): number }): NextRunMs {
  return ({ cron }) => {
    const atMs = (3 * 60 + 17) * minuteMs;
    let dayMsAt = Math.floor(clock.nowMs() / dayMs) * dayMs;
    const isWeekly = cron.endsWith(' 1');
    // 1 January 1970 was a Thursday.
    while (dayMsAt + atMs <= clock.nowMs() || (isWeekly && (dayMsAt / dayMs + 4) % 7 !== 1))
      dayMsAt += dayMs;
    return dayMsAt + atMs;
  };
}

const weekly = { cron: '17 3 * * 1', timezone: 'UTC', jitterMinutes: 30 };
const exemptUntil = (until: string): Partial<Account> => ({
  exempt: { who: 'CISO', why: 'a laboratory', until },
});

testRules(
  'a year without faults raises no alarm, whatever the schedule, the restarts and the exemptions',
  async () => {
    const clock = virtualClock();
    const service = await monitored({
      names: ['fleet-east', 'weekly', 'spare', 'lab'],
      age: (index) => [10, 70, 300, 300][index] ?? 10,
      account: (name) =>
        ({
          weekly: { schedule: weekly },
          spare: { enabled: false },
          lab: { enabled: false, ...exemptUntil('2026-12-31') },
        })[name] ?? {},
      clock,
      nextRunMs: runsOf(clock),
      // promtool takes five milliseconds for each step.
      stepMs: 8 * hourMs,
    });

    for (let month = 0; month < 12; month += 1) {
      await service.pass(30 * dayMs);
      await service.instances[0]?.restart();
    }
    const { world } = service;
    const fired = await service.judge();

    expect(world.counts.resets).toBeGreaterThan(8);
    expect(fired).toEqual({ now: [], ever: [] });
  },
  limitMs(60_000),
);

// Finding S8. In 0.1 `MissedRun` asked for the end of a run within 26 hours: there is none where
// all accounts are disabled (so `Absent` fired for ever), and one a week for a weekly schedule.
testRules('no run is missed where no account is enabled, or where runs are weekly', async () => {
  const disabled = await monitored({
    names: ['spare'],
    account: () => ({ enabled: false }),
    stepMs: hourMs,
  });
  await disabled.pass(3 * dayMs);
  const clock = virtualClock();
  const rare = await monitored({
    names: ['weekly'],
    config: { schedule: weekly },
    clock,
    nextRunMs: runsOf(clock),
    stepMs: hourMs,
  });
  await rare.pass(15 * dayMs);

  expect([await disabled.judge(), await rare.judge()]).toEqual([
    { now: [], ever: [] },
    { now: [], ever: [] },
  ]);
});

// Finding S8. In 0.1 the rule asked for an increase of a counter, which begins with the process.
testRules(
  'a password that is found lost at the start of the service is in the first scrape',
  async () => {
    const service = await monitored({ names: ['fleet-east', 'depot-09'] });
    service.world.leaveInDoubt('depot-09');
    service.world.changeLivePassword('depot-09');
    await service.instances[0]?.restart();
    await service.pass(hourMs);

    const fired = await service.judge();

    expect(fired.now).toEqual([
      'ThingSpaceAccountStopped depot-09',
      'ThingSpacePasswordLost depot-09',
    ]);
  },
);

// Finding S8. In 0.1 any rotation of the hour, of any account, silenced this alarm.
testRules('a response without a rotation raises an alarm while other accounts rotate', async () => {
  const unreadable = new Set<unknown>();
  const service = await monitored({
    names: ['fleet-east', 'depot-09', 'fleet-west'],
    age: () => 80,
    wrap: (ports) => ({
      ...ports,
      receipts: {
        ...ports.receipts,
        write: async ({ account }, body) => {
          if (account === 'depot-09') unreadable.add(body);
          return `/receipts/${account}.age`;
        },
      },
      thingspace: {
        ...ports.thingspace,
        readNewPassword: (body) =>
          unreadable.has(body) ? null : ports.thingspace.readNewPassword(body),
      },
    }),
  });
  await service.pass(hourMs);

  const { counts } = service.world;
  const { now } = await service.judge();

  expect(counts.resets).toBe(3);
  expect(now).toEqual(['ThingSpaceReceiptsWithoutRotation depot-09']);
});

// Finding S8. In 0.1 `for: 26h` began anew at each restart, and the state of a doubt has no date.
testRules('an unfinished rotation raises an alarm after two hours, whatever restarts', async () => {
  const service = await monitored({ names: ['fleet-east', 'trucks-north'], stepMs: 10 * minuteMs });
  service.world.leaveInDoubt('trucks-north');
  service.world.broken.thingspace = true;
  for (let round = 0; round < 4; round += 1) {
    await service.instances[0]?.restart();
    await service.pass(hourMs);
  }

  const { now } = await service.judge();

  expect(now).toEqual(['ThingSpaceAccountInDoubt trucks-north']);
});

// Finding S8: an account that fails, in a process that is restarted every four hours.
testRules('an account that fails for six hours raises an alarm, whatever restarts', async () => {
  const options = { names: ['depot-10'], age: () => 80, stepMs: 10 * minuteMs };
  const service = await monitored(options);
  service.world.broken.thingspace = true;
  for (let round = 0; round < 3; round += 1) {
    await service.instances[0]?.restart();
    await service.pass(4 * hourMs);
  }
  const failing = await service.judge();
  const healed = await monitored(options);
  healed.world.broken.thingspace = true;
  await healed.pass(hourMs);
  healed.world.broken.thingspace = false;
  await healed.pass(8 * hourMs);

  expect(failing.now).toEqual(['ThingSpaceAccountFails depot-10']);
  expect((await healed.judge()).ever).toEqual([]);
});

// Finding S8. In 0.1 an exempt account paged, was red on the page, and was in no notification.
testRules('an exempt account is overdue from the day after its exemption on', async () => {
  const options: MonitoredOptions = {
    names: ['lab'],
    age: () => 97,
    account: () => exemptUntil('2026-12-02'),
    stepMs: 30 * minuteMs,
  };
  const service = await monitored(options);
  // Its password cannot be rotated, so it stays as old as it is.
  service.world.broken.logins = true;
  await service.pass(2 * dayMs - hourMs);
  const exempt = await service.judge();
  const later = await monitored(options);
  later.world.broken.logins = true;
  await later.pass(2 * dayMs + hourMs);

  expect(exempt.ever).toEqual(['ThingSpaceAccountFails lab']);
  expect((await later.judge()).now).toEqual([
    'ThingSpaceAccountFails lab',
    'ThingSpacePasswordOverdue lab',
  ]);
});

// Finding S3. In 0.1 `MissedRun` and `Absent` asked for any instance, and were silent for 60 hours.
testRules(
  'one of two instances that dies raises an alarm, and so does one that is gone',
  async () => {
    const names = ['ops-1:9464', 'ops-2:9464'];
    const died = await monitored({ names: ['fleet-east'], instances: names });
    await died.pass(hourMs);
    await died.instances[1]?.kill();
    await died.pass(hourMs);
    const gone = await monitored({ names: ['fleet-east'], instances: names, stepMs: hourMs });
    await gone.pass(2 * dayMs);
    gone.forget('ops-2:9464');
    await gone.pass(2 * hourMs);

    expect([await died.judge(), await gone.judge()]).toEqual([
      { now: ['ThingSpaceRotatorDown'], ever: ['ThingSpaceRotatorDown'] },
      { now: ['ThingSpaceRotatorAbsent'], ever: ['ThingSpaceRotatorAbsent'] },
    ]);
  },
);

// Findings S1 and S2. In 0.1 a hung store and a clock that was ahead left every alarm silent.
testRules(
  'a store that hangs, a wrong clock and a service that never sees its accounts raise alarms',
  async () => {
    const hung = await monitored({ names: ['fleet-east'], stepMs: 10 * minuteMs });
    const ended = new AbortController();
    const held = new Promise<void>((done) => ended.signal.addEventListener('abort', () => done()));
    Object.assign(hung.world, { hold: () => held, holdStatus: () => held });
    await hung.pass(6 * hourMs);
    ended.abort();
    const ahead = await monitored({ names: ['fleet-east'], aheadMs: 20 * dayMs });
    await ahead.pass(hourMs);
    const looping = await monitored({ names: ['fleet-east'], stepMs: 10 * minuteMs });
    looping.world.broken.store = true;
    for (let round = 0; round < 7; round += 1) {
      await looping.instances[0]?.restart();
      await looping.pass(hourMs);
    }

    const all = [await hung.judge(), await ahead.judge(), await looping.judge()];

    const unseen = ['ThingSpaceRotatorMissedRun', 'ThingSpaceRotatorNotReady'];
    expect(all.map(({ now }) => now)).toEqual([
      unseen,
      ['ThingSpaceClockWrong'],
      ['ThingSpaceAccountFails fleet-east', ...unseen],
    ]);
  },
);

// Finding S8: in 0.1 what happened before the first scrape was never an increase.
testRules('what happened before the first scrape raises an alarm', async () => {
  const service = await monitored({ names: ['fleet-east'] });
  service.observe({ event: 'audit.failed', account: '*', detail: '' });
  service.observe({
    event: 'saving.retried',
    account: 'fleet-east',
    step: 'store',
    tries: 1,
    waitMs: 0,
    reason: 'store-unavailable',
    detail: '',
  });
  service.observe({ event: 'witness.refused', account: '*', witness: 'ops-2' });
  await service.pass(5 * minuteMs);

  expect((await service.judge()).now).toEqual([
    'ThingSpaceAuditFails',
    'ThingSpaceAuditWitnessRefused',
    'ThingSpaceSavingIsHard',
  ]);
});
