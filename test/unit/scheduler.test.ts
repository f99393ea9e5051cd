import type { SchedulerEvent } from '../../src/scheduler/events.ts';
import {
  defaultPace,
  openScheduler,
  type Pace,
  type Scheduler,
} from '../../src/scheduler/scheduler.ts';
import { isStale, isWell } from '../../src/scheduler/status-cache.ts';
import {
  dailyCron,
  dayMs,
  type FleetWorld,
  fleetWorld,
  minuteMs,
  type WorldOptions,
} from '../harness/serve-world.ts';

const hourMs = 60 * minuteMs;

// These tests pass years of virtual time; a busy machine needs a while.
const named = (count: number): string[] =>
  Array.from({ length: count }, (_, index) => `fleet-${String(index).padStart(4, '0')}`);

async function started(options: WorldOptions, pace: Partial<Pace> = {}) {
  const world = fleetWorld(options);
  const cron = dailyCron(world.clock);
  const emitted: SchedulerEvent[] = [];
  const scheduler = openScheduler({
    rotator: world.rotator,
    clock: world.clock,
    nextRunMs: cron.nextRunMs,
    emit: (one) => void emitted.push(one),
    pace: { ...defaultPace, ...pace },
  });
  await scheduler.start();
  await world.clock.advance(0);
  return { world, cron, scheduler, emitted };
}

async function ended(scheduler: Scheduler, world: FleetWorld): Promise<void> {
  await Promise.all([scheduler.stop(), world.clock.advance(minuteMs)]);
}

test('the first run rotates every password that is due, and no other one', async () => {
  const { world, scheduler } = await started({
    names: named(4),
    age: (index) => [10, 74, 75, 120][index] ?? 0,
  });

  await world.clock.advance(minuteMs);

  expect(world.counts.resets).toBe(2);
  expect(named(4).map((name) => Math.floor(world.ageDays(name)))).toEqual([10, 74, 0, 0]);
  expect(scheduler.statuses.entries().map(({ state }) => state)).toEqual([
    'settled',
    'settled',
    'settled',
    'settled',
  ]);
  await ended(scheduler, world);
});

test('for a year every account is rotated when due, and doubled runs are harmless', async () => {
  const { world, scheduler, cron } = await started(
    { names: named(5), age: (index) => index * 15 },
    { loopMs: 60 * minuteMs },
  );

  for (let day = 0; day < 365; day += 1) {
    // On some days a run starts twice.
    if (day % 7 === 0) cron.runNow();
    await world.clock.advance(dayMs);
    for (const name of named(5)) expect(world.ageDays(name)).toBeLessThan(77);
  }

  // Every 76th day, since a run starts shortly before 75 days have passed: 4, and four times 5.
  expect(world.counts.resets).toBe(24);
  for (const name of named(5)) expect(world.isConsistent(name)).toBe(true);
  await ended(scheduler, world);
});

test('a scheduled run that was missed is made up for', async () => {
  const { world, scheduler } = await started({ names: named(1) });
  await world.clock.advance(minuteMs);
  world.setAge('fleet-0000', 80);

  // The machine was suspended over the time of the run.
  world.clock.step(dayMs);
  await world.clock.advance(minuteMs * 40);

  expect(world.counts.resets).toBe(1);
  await ended(scheduler, world);
});

// Finding S2. In 0.1 the timer of the next run went on waiting for a time 20 days ahead.
test('a clock that was 20 days ahead and is set back delays no run', async () => {
  const { world, scheduler } = await started({ names: named(1) });
  world.clock.step(20 * dayMs);
  await world.clock.advance(hourMs);
  world.clock.step(-20 * dayMs);
  await world.clock.advance(minuteMs);
  world.setAge('fleet-0000', 80);
  const resets = world.counts.resets;

  const next = scheduler.nextRunMs() - world.clock.nowMs();
  await world.clock.advance(dayMs);

  expect(next).toBeLessThanOrEqual(dayMs);
  expect(world.counts.resets).toBe(resets + 1);
  await ended(scheduler, world);
});

// Finding S1. In 0.1 nothing was said of such an account, and no further run started.
test('an account whose store never answers is reported, and delays no other account', async () => {
  const { world, scheduler } = await started({ names: named(3), age: () => 10 });
  await world.clock.advance(minuteMs);
  for (const name of named(3)) world.setAge(name, 80);
  let release = (): void => {};
  const released = new Promise<void>((resolve) => {
    release = resolve;
  });
  world.hold = (name) => (name === 'fleet-0001' ? released : undefined);
  world.holdStatus = world.hold;

  await world.clock.advance(dayMs);
  const ages = named(3).map((name) => Math.floor(world.ageDays(name)));
  const { state, reason, detail } = scheduler.statuses.get('fleet-0001') ?? {};
  release();
  await ended(scheduler, world);

  expect(ages).toEqual([0, 81, 0]);
  expect([state, reason, detail]).toEqual([
    'unreadable',
    'store-unavailable',
    'the store did not answer within 60 s',
  ]);
});

// In 0.1 an account was healthy for as long as its newest check said so, whatever its date.
test('an account that no run reaches is stale two hours after it, and not healthy', async () => {
  const { world, scheduler } = await started({ names: named(1), age: () => 10 });
  await world.clock.advance(minuteMs);
  world.hold = () => new Promise(() => {});
  world.holdStatus = world.hold;
  const status = (): boolean[] => {
    const [entry] = scheduler.statuses.entries();
    const nowMs = world.clock.nowMs();
    return entry ? [isStale(entry, nowMs), isWell(entry, nowMs)] : [];
  };

  const atFirst = status();
  await world.clock.advance(scheduler.nextRunMs() - world.clock.nowMs() + 2 * hourMs);
  const inTime = status();
  await world.clock.advance(hourMs);

  // Before it is stale, the store that does not answer is reported.
  expect([atFirst, inTime, status()]).toEqual([
    [false, true],
    [false, false],
    [true, false],
  ]);
});

// Finding S2: the evidence was dated 20 days ahead.
test('evidence that a wrong clock dated is not believed, and is renewed at once', async () => {
  const { world, scheduler } = await started({ names: named(1), age: () => 10 });
  world.clock.step(20 * dayMs);
  await world.clock.advance(hourMs);
  world.clock.step(-20 * dayMs);
  const [entry] = scheduler.statuses.entries();

  const before = entry && isWell(entry, world.clock.nowMs());
  await world.clock.advance(minuteMs);

  expect([before, entry && isWell(entry, world.clock.nowMs())]).toEqual([false, true]);
  expect(entry?.evidenceAtMs).toBeLessThanOrEqual(world.clock.nowMs());
  await ended(scheduler, world);
});

test('the accounts of a run are spread over the jitter, always in the same order', async () => {
  const { world, scheduler, cron } = await started({
    names: named(50),
    config: { concurrency: 64 },
  });
  world.began.length = 0;

  cron.runNow();
  await world.clock.advance(0);
  const atOnce = world.began.length;
  await world.clock.advance(15 * minuteMs);
  const half = world.began.length;
  await world.clock.advance(16 * minuteMs);
  const first = [...world.began];
  world.began.length = 0;
  // Doubled: an account that waits already is processed once.
  cron.runNow();
  cron.runNow();
  await world.clock.advance(31 * minuteMs);

  expect(atOnce).toBeLessThan(5);
  expect(half).toBeGreaterThan(15);
  expect(half).toBeLessThan(35);
  expect(first).toHaveLength(50);
  expect(world.began).toEqual(first);
  const runs = (code: string): number => world.audit.filter((event) => event.code === code).length;
  expect(runs('run.finished')).toBe(runs('run.started'));
  await ended(scheduler, world);
});

test('a disabled account is checked, and rotated only when a person requests it', async () => {
  const { world, scheduler } = await started({
    names: named(1),
    age: () => 120,
    account: () => ({ enabled: false }),
  });
  await world.clock.advance(2 * dayMs);
  const before = world.counts.attempts;
  const entry = scheduler.statuses.get('fleet-0000');

  const result = await scheduler.request('fleet-0000', {
    purpose: 'rotate',
    trigger: { kind: 'manual', requestedBy: 'alice' },
  });

  expect(before).toBe(0);
  expect(entry?.passwordSinceMs).toBeDefined();
  expect(result?.outcome).toBe('rotated');
  await ended(scheduler, world);
});

test('a disabled account completes its unfinished rotation and begins no other', async () => {
  const world = fleetWorld({
    names: named(1),
    age: () => 120,
    account: () => ({ enabled: false }),
  });
  world.leaveInDoubt('fleet-0000');
  const results: string[] = [];
  const emit = (one: SchedulerEvent): void =>
    void (one.event === 'result.recorded' && results.push(one.result.outcome));
  const scheduler = openScheduler({
    rotator: world.rotator,
    clock: world.clock,
    nextRunMs: dailyCron(world.clock).nextRunMs,
    emit,
  });

  await scheduler.start();
  await world.clock.advance(10 * dayMs);

  expect(results).toEqual(['settled']);
  expect([world.counts.logins, world.counts.resets]).toEqual([1, 0]);
  expect(scheduler.statuses.get('fleet-0000')).toMatchObject({ state: 'settled' });
  await ended(scheduler, world);
});

test('two users of one ThingSpace account are never rotated in the same run', async () => {
  const pairs = [['fleet-0000', 'fleet-0001']] as [string, string][];
  const { world, scheduler } = await started({ names: named(2), age: () => 80, config: { pairs } });

  await world.clock.advance(minuteMs);
  const first = named(2).map((name) => Math.round(world.ageDays(name)));
  await world.clock.advance(2 * dayMs);
  const second = named(2).map((name) => Math.round(world.ageDays(name)));

  expect(first).toEqual([0, 80]);
  expect(second).toEqual([2, 1]);
  const outcomes = world.audit.filter(({ code }) => code === 'rotation.intended');
  expect(outcomes).toHaveLength(2);
  await ended(scheduler, world);
});

test('after a restart a user of a pair waits when the other was rotated recently', async () => {
  const pairs = [['fleet-0000', 'fleet-0001']] as [string, string][];
  // Another process rotated the first one an hour ago.
  const { world, scheduler } = await started({
    names: named(2),
    age: (index) => (index === 0 ? 1 / 24 : 80),
    config: { pairs },
  });

  await world.clock.advance(minuteMs);

  expect(world.counts.resets).toBe(0);
  await ended(scheduler, world);
});

test('accounts with the same ThingSpace user are not rotated; the others are', async () => {
  const world = fleetWorld({ names: named(3), age: () => 80 });
  world.setUsername('fleet-0001', 'uws-fleet-0000');
  const emitted: SchedulerEvent[] = [];
  const scheduler = openScheduler({
    rotator: world.rotator,
    clock: world.clock,
    nextRunMs: dailyCron(world.clock).nextRunMs,
    emit: (one) => void emitted.push(one),
  });

  await scheduler.start();
  await world.clock.advance(dayMs);

  expect(world.began).toEqual(['fleet-0002', 'fleet-0002']);
  expect(scheduler.statuses.get('fleet-0000')?.blocked).toBe(
    'accounts fleet-0000 and fleet-0001 have the same ThingSpace user; each account needs its own',
  );
  expect(emitted.filter(({ event }) => event === 'account.blocked')).toHaveLength(1);
  expect(scheduler.findConflict('fleet-0001', true)).toContain('the same ThingSpace user');
  await ended(scheduler, world);
});

test('a hanging attempt and a bug delay no account; no event holds the bug’s message', async () => {
  const world = fleetWorld({ names: named(20), age: () => 80, config: { concurrency: 2 } });
  let release = (): void => {};
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  world.hold = (name) => (name === 'fleet-0003' ? held : undefined);
  world.broken.attempts.add('fleet-0005');
  const emitted: SchedulerEvent[] = [];
  const scheduler = openScheduler({
    rotator: world.rotator,
    clock: world.clock,
    nextRunMs: dailyCron(world.clock).nextRunMs,
    emit: (one) => void emitted.push(one),
  });

  await scheduler.start();
  await world.clock.advance(10 * minuteMs);

  expect(world.counts.resets).toBe(18);
  const broken = emitted.filter((one) => one.event === 'attempt.broken');
  expect(broken).toHaveLength(1);
  expect(JSON.stringify(broken)).toContain('a bug: TypeError');
  expect(JSON.stringify(emitted)).not.toContain('-password');
  release();
  await world.clock.advance(0);
  expect(world.counts.resets).toBe(19);
  await ended(scheduler, world);
});

test('an attempt that never ends frees its place for the next account', async () => {
  const world = fleetWorld({ names: named(6), age: () => 80, config: { concurrency: 1 } });
  world.hold = (name) => (name === 'fleet-0000' ? new Promise(() => {}) : undefined);
  const scheduler = openScheduler({
    rotator: world.rotator,
    clock: world.clock,
    nextRunMs: dailyCron(world.clock).nextRunMs,
    emit: () => {},
  });

  await scheduler.start();
  await world.clock.advance(4 * minuteMs);
  const early = world.counts.resets;
  await world.clock.advance(2 * minuteMs);

  expect(early).toBe(0);
  expect(world.counts.resets).toBe(5);
});

test('a failure is retried after 15 min, 1 h and 4 h, then at the next scheduled run', async () => {
  const { world, cron, scheduler } = await started({ names: named(1), age: () => 70 });
  await world.clock.advance(4 * hourMs);
  world.broken.secrets.add('fleet-0000');
  const at: number[] = [];
  world.hold = () => {
    at.push(world.clock.monotonicMs() / minuteMs);
    return undefined;
  };

  cron.runNow();
  await world.clock.advance(23 * hourMs);
  const beforeRun = at.length;
  await world.clock.advance(hourMs);

  const waits = at.slice(1, 4).map((minute, index) => minute - (at[index] ?? 0));
  // Up to a tenth more, so that accounts that failed together do not retry together.
  [15, 60, 240].forEach((wait, index) => {
    expect(waits[index]).toBeGreaterThanOrEqual(wait);
    expect(waits[index]).toBeLessThanOrEqual(wait * 1.1);
  });
  expect([beforeRun, at.length]).toEqual([4, 5]);
  await ended(scheduler, world);
});

test('a suspended account is not retried, and no login is sent for it', async () => {
  const { world, scheduler } = await started({ names: named(1), age: () => 80 });
  await world.clock.advance(minuteMs);
  world.changeLivePassword('fleet-0000');
  const before = world.counts.logins;

  await world.clock.advance(110 * dayMs);

  expect(world.counts.logins - before).toBe(1);
  expect(scheduler.statuses.get('fleet-0000')).toMatchObject({
    state: 'stopped',
    reason: 'login-refused',
  });
  await ended(scheduler, world);
});

test('after an unanswered login the next scheduled run retries, three times at most', async () => {
  const { world, scheduler } = await started({ names: named(1), age: () => 74 });
  world.broken.logins = true;
  const logins: number[] = [];

  for (let day = 0; day < 8; day += 1) {
    await world.clock.advance(dayMs);
    logins.push(world.counts.logins);
  }

  // Due on the second day; from then on one login a day.
  expect(logins).toEqual([0, 1, 2, 3, 3, 3, 3, 3]);
  expect(scheduler.statuses.get('fleet-0000')).toMatchObject({
    state: 'stopped',
    reason: 'login-budget-spent',
  });
  await ended(scheduler, world);
});

test('one account at a time probes an unreachable store; later all start over 10 min', async () => {
  const { world, scheduler, emitted } = await started({
    names: named(1000),
    age: (index) => 10 + (index % 66),
  });
  const { clock, counts } = world;
  const transcript: string[] = [];
  const say = (what: string): void =>
    void transcript.push(`${new Date(clock.nowMs()).toISOString().slice(0, 16)}  ${what}`);
  await clock.advance(2 * hourMs);
  const before = { ...counts };
  say(`1000 accounts, ${counts.attempts} attempts since the start; the store becomes unreachable`);

  // From 02:00 to 02:00 on the next day, with the run at 03:17.
  world.broken.store = true;
  for (let hour = 0; hour < 24; hour += 1) {
    const [attempts, reads] = [counts.attempts, counts.reads];
    await clock.advance(hourMs);
    say(
      `${counts.attempts - attempts} attempts, ${counts.reads - reads} reads in this hour; ` +
        `outage: ${scheduler.outage()?.dependency ?? 'none'}`,
    );
  }
  const during = counts.attempts - before.attempts;
  world.broken.store = false;
  say('the store is reachable again');
  const back: number[] = [];
  for (let minute = 0; minute < 45; minute += 1) {
    const attempts = counts.attempts;
    await clock.advance(minuteMs);
    back.push(counts.attempts - attempts);
  }
  say(`attempts in each minute since: ${back.join(' ')}`);
  for (const one of emitted.filter((one) => one.event.startsWith('outage')))
    transcript.push(JSON.stringify(one));
  if (process.env['SERVE_TRANSCRIPT']) process.stderr.write(`${transcript.join('\n')}\n`);

  expect(emitted.filter(({ event }) => event === 'outage.began')).toHaveLength(1);
  expect(emitted.filter(({ event }) => event === 'outage.ended')).toHaveLength(1);
  // A probe every quarter of an hour and the first few accounts, and no round of a thousand.
  expect(during).toBeLessThan(110);
  expect(back.reduce((sum, count) => sum + count, 0)).toBeGreaterThanOrEqual(900);
  // A thousand accounts over ten minutes: about a hundred a minute.
  expect(Math.max(...back)).toBeLessThan(160);
  expect(scheduler.statuses.entries().filter(({ state }) => state !== 'settled')).toEqual([]);
  expect(
    named(1000).filter((name) => !world.isConsistent(name) || world.ageDays(name) > 76),
  ).toEqual([]);
  await ended(scheduler, world);
});

test('a store that is unreachable at start is not read by a thousand accounts', async () => {
  const world = fleetWorld({ names: named(1000), age: () => 80 });
  world.broken.store = true;
  const scheduler = openScheduler({
    rotator: world.rotator,
    clock: world.clock,
    nextRunMs: dailyCron(world.clock).nextRunMs,
    emit: () => {},
  });

  await scheduler.start();
  await world.clock.advance(10 * minuteMs);
  const duringOutage = world.counts.reads;
  world.broken.store = false;
  await world.clock.advance(60 * minuteMs);

  expect(duringOutage).toBeLessThan(100);
  expect(world.counts.resets).toBe(1000);
  await ended(scheduler, world);
});

test('while ThingSpace is unreachable, accounts are checked and few logins are sent', async () => {
  const { world, scheduler, emitted } = await started({
    names: named(200),
    age: (index) => (index < 100 ? 74.9 : 10),
    config: { concurrency: 4 },
  });
  await world.clock.advance(3 * 60 * minuteMs);
  world.broken.thingspace = true;
  const before = world.counts.attempts;

  // The run at 03:17, and all of its jitter.
  await world.clock.advance(52 * minuteMs);
  const during = world.counts.attempts - before;
  world.broken.thingspace = false;
  await world.clock.advance(2 * 60 * minuteMs);

  expect(during).toBeGreaterThanOrEqual(100);
  expect(during).toBeLessThan(130);
  expect(emitted.filter((one) => one.event === 'outage.began')).toMatchObject([
    { dependency: 'thingspace' },
  ]);
  expect(named(200).every((name) => world.ageDays(name) < 75)).toBe(true);
  await ended(scheduler, world);
});

test('a removed account is forgotten', async () => {
  const { world, scheduler } = await started({ names: named(3) });
  await world.clock.advance(minuteMs);
  const [removed] = world.accounts.splice(0, 1);

  await world.clock.advance(dayMs);

  expect(scheduler.statuses.get(removed?.name ?? '')).toBeUndefined();
  await ended(scheduler, world);
});

test('the audit log records every run, with checkpoints', async () => {
  const { world, scheduler } = await started({ names: named(2) });
  await world.clock.advance(2 * dayMs + minuteMs);

  const codes = world.audit.map(({ code }) => code).filter((code) => code.startsWith('run.'));

  expect(codes).toEqual([1, 2, 3].flatMap(() => ['run.started', 'run.finished']));
  expect(world.counts.checkpoints).toBeGreaterThanOrEqual(5);
  await ended(scheduler, world);
});

test('after HTTP 429 no attempt calls ThingSpace for a minute', async () => {
  const world = fleetWorld({ names: named(2), age: () => 80, config: { concurrency: 1 } });
  world.broken.throttled = true;
  const scheduler = openScheduler({
    rotator: world.rotator,
    clock: world.clock,
    nextRunMs: dailyCron(world.clock).nextRunMs,
    emit: () => {},
  });

  await scheduler.start();
  await world.clock.advance(59_000);
  const duringPause = world.counts.attempts;
  world.broken.throttled = false;
  await world.clock.advance(2_000);

  expect(duringPause).toBe(1);
  expect(world.counts.resets).toBe(1);
  await ended(scheduler, world);
});

test('while the audit log is not writable nothing is reset; rotations continue later', async () => {
  const { world, cron, scheduler } = await started({ names: named(3), age: () => 10 });
  await world.clock.advance(minuteMs);
  for (const name of named(3)) world.setAge(name, 80);
  world.broken.audit = true;

  cron.runNow();
  await world.clock.advance(40 * minuteMs);
  const during = world.counts.resets;
  world.broken.audit = false;
  await world.clock.advance(2 * dayMs);

  expect(during).toBe(0);
  expect(world.events.some(({ event }) => event === 'audit.failed')).toBe(true);
  expect(world.counts.resets).toBe(3);
  await ended(scheduler, world);
});

test('a step of the wall clock is reported, and rotates nothing before it is due', async () => {
  const { world, scheduler, emitted } = await started({ names: named(3), age: () => 20 });
  await world.clock.advance(minuteMs);

  world.clock.step(-3 * dayMs);
  await world.clock.advance(dayMs);
  world.clock.step(3 * dayMs);
  await world.clock.advance(dayMs);

  expect(
    emitted
      .filter((one) => one.event === 'clock.stepped')
      .map((one) => Math.round((one as { byMs: number }).byMs / dayMs)),
  ).toEqual([-3, 3]);
  expect(world.counts.resets).toBe(0);
  await ended(scheduler, world);
});

test('stop ends the attempts before their reset and waits for the others', async () => {
  const world = fleetWorld({ names: named(10), age: () => 80, config: { concurrency: 2 } });
  let release = (): void => {};
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  world.hold = () => held;
  const scheduler = openScheduler({
    rotator: world.rotator,
    clock: world.clock,
    nextRunMs: dailyCron(world.clock).nextRunMs,
    emit: () => {},
  });
  await scheduler.start();
  await world.clock.advance(1000);

  let isStopped = false;
  const stopped = scheduler.stop().then(() => {
    isStopped = true;
  });
  await world.clock.advance(minuteMs);
  const whileHeld = isStopped;
  release();
  await world.clock.advance(minuteMs);
  await stopped;

  expect(whileHeld).toBe(false);
  expect(world.counts.resets).toBe(0);
  expect(world.counts.attempts).toBe(2);
  expect(world.audit.at(-1)).toMatchObject({ code: 'run.finished' });
  expect(world.clock.sleepers()).toBe(0);
});

test('a requested attempt starts at once, and a second one is refused meanwhile', async () => {
  const world = fleetWorld({ names: named(10), age: () => 80, config: { concurrency: 1 } });
  let release = (): void => {};
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  world.hold = (name) => (name === 'fleet-0000' ? held : undefined);
  const scheduler = openScheduler({
    rotator: world.rotator,
    clock: world.clock,
    nextRunMs: dailyCron(world.clock).nextRunMs,
    emit: () => {},
  });
  await scheduler.start();
  await world.clock.advance(1000);

  const waiting = scheduler.findConflict('fleet-0009', false);
  const strange = scheduler.findConflict('nobody', false);

  expect(waiting).toBe('another attempt on fleet-0009 is running or waiting');
  expect(strange).toBe('there is no account nobody');
  release();
  await world.clock.advance(minuteMs);
  const result = scheduler.request('fleet-0009', {
    purpose: 'rotate',
    force: true,
    trigger: { kind: 'manual', requestedBy: 'bob', reason: 'leaver' },
  });
  await world.clock.advance(minuteMs);
  expect(await result).toMatchObject({ outcome: 'rotated' });
  expect(world.audit.filter(({ code }) => code === 'run.started').at(-1)).toMatchObject({
    accounts: 1,
    trigger: { kind: 'manual', requestedBy: 'bob', reason: 'leaver' },
  });
  await ended(scheduler, world);
});
