import { jest } from '@jest/globals';
import type { News } from '../../src/scheduler/events.ts';
import { type Daemon, openDaemon, type Pace, usualPace } from '../../src/scheduler/scheduler.ts';
import {
  dailyTicker,
  dayMs,
  type FleetWorld,
  fleetWorld,
  minuteMs,
  type WorldOptions,
} from '../harness/serve-world.ts';

const hourMs = 60 * minuteMs;

// Years pass here; on a busy machine that takes a while.
jest.setTimeout(60_000);

const named = (count: number): string[] =>
  Array.from({ length: count }, (_, index) => `fleet-${String(index).padStart(4, '0')}`);

async function started(options: WorldOptions, pace: Partial<Pace> = {}) {
  const world = fleetWorld(options);
  const ticker = dailyTicker(world.clock);
  const news: News[] = [];
  const daemon = openDaemon({
    rotator: world.rotator,
    clock: world.clock,
    openTicker: ticker.open,
    hear: (one) => void news.push(one),
    pace: { ...usualPace, ...pace },
  });
  await daemon.start();
  await world.clock.advance(0);
  return { world, ticker, daemon, news };
}

async function ended(daemon: Daemon, world: FleetWorld): Promise<void> {
  await Promise.all([daemon.stop(), world.clock.advance(minuteMs)]);
}

test('the first look rotates what is due, and enabling rotates nothing else', async () => {
  const { world, daemon } = await started({
    names: named(4),
    age: (index) => [10, 74, 75, 120][index] ?? 0,
  });

  await world.clock.advance(minuteMs);

  expect(world.counts.resets).toBe(2);
  expect(named(4).map((name) => Math.floor(world.ageDays(name)))).toEqual([10, 74, 0, 0]);
  expect(daemon.board.entries().map(({ state }) => state)).toEqual([
    'settled',
    'settled',
    'settled',
    'settled',
  ]);
  await ended(daemon, world);
});

test('a year with a tick a day rotates every account when it is due, and doubled or missed ticks change nothing', async () => {
  const { world, daemon, ticker } = await started(
    { names: named(5), age: (index) => index * 15 },
    { turnMs: 60 * minuteMs },
  );

  for (let day = 0; day < 365; day += 1) {
    // Some ticks come twice at once.
    if (day % 7 === 0) ticker.tick();
    await world.clock.advance(dayMs);
    for (const name of named(5)) expect(world.ageDays(name)).toBeLessThan(77);
  }

  // Every 76th day, since a tick comes a little before the 75 days are full: 4, and four times 5.
  expect(world.counts.resets).toBe(24);
  for (const name of named(5)) expect(world.isConsistent(name)).toBe(true);
  await ended(daemon, world);
});

test('a tick that does not come is made up for', async () => {
  const { world, daemon, ticker } = await started({ names: named(1) });
  ticker.silence();
  world.setAge('fleet-0000', 80);

  await world.clock.advance(dayMs);

  expect(world.counts.resets).toBe(1);
  await ended(daemon, world);
});

test('a fleet spreads over the jitter, always in the same order', async () => {
  const { world, daemon, ticker } = await started({
    names: named(50),
    config: { concurrency: 64 },
  });
  world.began.length = 0;

  ticker.tick();
  await world.clock.advance(0);
  const atOnce = world.began.length;
  await world.clock.advance(15 * minuteMs);
  const half = world.began.length;
  await world.clock.advance(15 * minuteMs);
  const first = [...world.began];
  world.began.length = 0;
  // Doubled, and once more in the middle: whoever waits already is looked at once.
  ticker.tick();
  ticker.tick();
  await world.clock.advance(30 * minuteMs);

  expect(atOnce).toBeLessThan(5);
  expect(half).toBeGreaterThan(15);
  expect(half).toBeLessThan(35);
  expect(first).toHaveLength(50);
  expect(world.began).toEqual(first);
  const runs = (code: string): number => world.audit.filter((event) => event.code === code).length;
  expect(runs('run.finished')).toBe(runs('run.started'));
  await ended(daemon, world);
});

test('an account that is not enabled is only looked at, and rotated by hand', async () => {
  const { world, daemon } = await started({
    names: named(1),
    age: () => 120,
    account: () => ({ enabled: false }),
  });
  await world.clock.advance(2 * dayMs);
  const before = world.counts.attempts;
  const entry = daemon.board.get('fleet-0000');

  const result = await daemon.request('fleet-0000', {
    purpose: 'rotate',
    trigger: { kind: 'manual', requestedBy: 'alice' },
  });

  expect(before).toBe(0);
  expect(entry?.passwordSinceMs).toBeDefined();
  expect(result?.outcome).toBe('rotated');
  await ended(daemon, world);
});

test('what was begun by hand on an account that is not enabled is finished by itself, and nothing else is begun', async () => {
  const world = fleetWorld({
    names: named(1),
    age: () => 120,
    account: () => ({ enabled: false }),
  });
  world.leaveInDoubt('fleet-0000');
  const results: string[] = [];
  const hear = (one: News): void =>
    void (one.news === 'result' && results.push(one.result.outcome));
  const daemon = openDaemon({
    rotator: world.rotator,
    clock: world.clock,
    openTicker: dailyTicker(world.clock).open,
    hear,
  });

  await daemon.start();
  await world.clock.advance(10 * dayMs);

  expect(results).toEqual(['settled']);
  expect([world.counts.logins, world.counts.resets]).toEqual([1, 0]);
  expect(daemon.board.get('fleet-0000')).toMatchObject({ state: 'settled' });
  await ended(daemon, world);
});

test('two users of one ThingSpace account are never rotated in the same window', async () => {
  const pairs = [['fleet-0000', 'fleet-0001']] as [string, string][];
  const { world, daemon } = await started({ names: named(2), age: () => 80, config: { pairs } });

  await world.clock.advance(minuteMs);
  const first = named(2).map((name) => Math.round(world.ageDays(name)));
  await world.clock.advance(2 * dayMs);
  const second = named(2).map((name) => Math.round(world.ageDays(name)));

  expect(first).toEqual([0, 80]);
  expect(second).toEqual([2, 1]);
  const outcomes = world.audit.filter(({ code }) => code === 'rotation.intended');
  expect(outcomes).toHaveLength(2);
  await ended(daemon, world);
});

test('a service that starts again does not rotate the second of a pair in the first one’s window', async () => {
  const pairs = [['fleet-0000', 'fleet-0001']] as [string, string][];
  // As another process left it: the first was rotated an hour ago.
  const { world, daemon } = await started({
    names: named(2),
    age: (index) => (index === 0 ? 1 / 24 : 80),
    config: { pairs },
  });

  await world.clock.advance(minuteMs);

  expect(world.counts.resets).toBe(0);
  await ended(daemon, world);
});

test('accounts that turn out to be one ThingSpace user are not rotated, and the others are', async () => {
  const world = fleetWorld({ names: named(3), age: () => 80 });
  world.setUsername('fleet-0001', 'uws-fleet-0000');
  const news: News[] = [];
  const daemon = openDaemon({
    rotator: world.rotator,
    clock: world.clock,
    openTicker: dailyTicker(world.clock).open,
    hear: (one) => void news.push(one),
  });

  await daemon.start();
  await world.clock.advance(dayMs);

  expect(world.began).toEqual(['fleet-0002', 'fleet-0002']);
  expect(daemon.board.get('fleet-0000')?.blocked).toBe(
    'fleet-0000 and fleet-0001 are one ThingSpace user; keep one of them in the configuration',
  );
  expect(news.filter(({ news }) => news === 'blocked')).toHaveLength(1);
  expect(daemon.conflict('fleet-0001', true)).toContain('one ThingSpace user');
  await ended(daemon, world);
});

test('one account that hangs and one that ends in a bug hold up nobody, and the bug’s message is told nowhere', async () => {
  const world = fleetWorld({ names: named(20), age: () => 80, config: { concurrency: 2 } });
  let release = (): void => {};
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  world.hold = (name) => (name === 'fleet-0003' ? held : undefined);
  world.broken.attempts.add('fleet-0005');
  const news: News[] = [];
  const daemon = openDaemon({
    rotator: world.rotator,
    clock: world.clock,
    openTicker: dailyTicker(world.clock).open,
    hear: (one) => void news.push(one),
  });

  await daemon.start();
  await world.clock.advance(10 * minuteMs);

  expect(world.counts.resets).toBe(18);
  const broken = news.filter((one) => one.news === 'broken');
  expect(broken).toHaveLength(1);
  expect(JSON.stringify(broken)).toContain('a bug: TypeError');
  expect(JSON.stringify(news)).not.toContain('-password');
  release();
  await world.clock.advance(0);
  expect(world.counts.resets).toBe(19);
  await ended(daemon, world);
});

test('an attempt that is slow for ever gives its place to the next', async () => {
  const world = fleetWorld({ names: named(6), age: () => 80, config: { concurrency: 1 } });
  world.hold = (name) => (name === 'fleet-0000' ? new Promise(() => {}) : undefined);
  const daemon = openDaemon({
    rotator: world.rotator,
    clock: world.clock,
    openTicker: dailyTicker(world.clock).open,
    hear: () => {},
  });

  await daemon.start();
  await world.clock.advance(4 * minuteMs);
  const early = world.counts.resets;
  await world.clock.advance(2 * minuteMs);

  expect(early).toBe(0);
  expect(world.counts.resets).toBe(5);
});

test('a failure that passes is tried again after 15 minutes, 1 hour and 4 hours, then with the next tick', async () => {
  const { world, daemon } = await started({ names: named(1), age: () => 70 });
  await world.clock.advance(4 * hourMs);
  world.broken.secrets.add('fleet-0000');
  const at: number[] = [];
  world.hold = () => {
    at.push(world.clock.monotonicMs() / minuteMs);
    return undefined;
  };

  await daemon.tick();
  await world.clock.advance(23 * hourMs);
  const beforeTick = at.length;
  await world.clock.advance(hourMs);

  const waits = at.slice(1, 4).map((minute, index) => minute - (at[index] ?? 0));
  // Up to a tenth more, so that those who failed together do not come back together.
  [15, 60, 240].forEach((wait, index) => {
    expect(waits[index]).toBeGreaterThanOrEqual(wait);
    expect(waits[index]).toBeLessThanOrEqual(wait * 1.1);
  });
  expect([beforeTick, at.length]).toEqual([4, 5]);
  await ended(daemon, world);
});

test('a stopped account is never tried again by itself, and costs no login', async () => {
  const { world, daemon } = await started({ names: named(1), age: () => 80 });
  await world.clock.advance(minuteMs);
  world.changeLivePassword('fleet-0000');
  world.setAge('fleet-0000', 80);
  const before = world.counts.logins;

  await world.clock.advance(30 * dayMs);

  expect(world.counts.logins - before).toBe(1);
  expect(daemon.board.get('fleet-0000')).toMatchObject({
    state: 'stopped',
    reason: 'login-refused',
  });
  await ended(daemon, world);
});

test('a login that may have counted is followed by no other one before the next tick, and by none after the third', async () => {
  const { world, daemon } = await started({ names: named(1), age: () => 74 });
  world.broken.logins = true;
  const logins: number[] = [];

  for (let day = 0; day < 8; day += 1) {
    await world.clock.advance(dayMs);
    logins.push(world.counts.logins);
  }

  // Due on the second day; from then on one a day.
  expect(logins).toEqual([0, 1, 2, 3, 3, 3, 3, 3]);
  expect(daemon.board.get('fleet-0000')).toMatchObject({
    state: 'stopped',
    reason: 'login-budget-spent',
  });
  await ended(daemon, world);
});

test('a store that is away for a day is asked by one account at a time, and comes back without a storm', async () => {
  const { world, daemon, news } = await started({
    names: named(1000),
    age: (index) => 10 + (index % 66),
  });
  const { clock, counts } = world;
  const transcript: string[] = [];
  const say = (what: string): void =>
    void transcript.push(`${new Date(clock.nowMs()).toISOString().slice(0, 16)}  ${what}`);
  await clock.advance(2 * hourMs);
  const before = { ...counts };
  say(`1000 accounts, ${counts.attempts} attempts since the start; now the store goes away`);

  // From 02:00 on, over the tick at 03:17, until 02:00 the day after.
  world.broken.store = true;
  for (let hour = 0; hour < 24; hour += 1) {
    const [attempts, reads] = [counts.attempts, counts.reads];
    await clock.advance(hourMs);
    say(
      `${counts.attempts - attempts} attempts, ${counts.reads - reads} reads in this hour; outage: ${daemon.outage()?.dependency ?? 'none'}`,
    );
  }
  const during = counts.attempts - before.attempts;
  world.broken.store = false;
  say('the store is back');
  const back: number[] = [];
  for (let minute = 0; minute < 45; minute += 1) {
    const attempts = counts.attempts;
    await clock.advance(minuteMs);
    back.push(counts.attempts - attempts);
  }
  say(`attempts in each minute since: ${back.join(' ')}`);
  for (const one of news.filter((one) => one.news.startsWith('outage')))
    transcript.push(JSON.stringify(one));
  if (process.env['SERVE_TRANSCRIPT']) process.stderr.write(`${transcript.join('\n')}\n`);

  expect(news.filter(({ news }) => news === 'outage.began')).toHaveLength(1);
  expect(news.filter(({ news }) => news === 'outage.ended')).toHaveLength(1);
  // A probe every quarter of an hour, the first few that found out, and no second round of a thousand.
  expect(during).toBeLessThan(110);
  expect(back.reduce((sum, count) => sum + count, 0)).toBeGreaterThanOrEqual(900);
  // A thousand looks over ten minutes: about a hundred a minute, never all at once.
  expect(Math.max(...back)).toBeLessThan(160);
  expect(daemon.board.entries().filter(({ state }) => state !== 'settled')).toEqual([]);
  expect(
    named(1000).filter((name) => !world.isConsistent(name) || world.ageDays(name) > 76),
  ).toEqual([]);
  await ended(daemon, world);
});

test('a store that is away at start is not asked by a thousand accounts', async () => {
  const world = fleetWorld({ names: named(1000), age: () => 80 });
  world.broken.store = true;
  const daemon = openDaemon({
    rotator: world.rotator,
    clock: world.clock,
    openTicker: dailyTicker(world.clock).open,
    hear: () => {},
  });

  await daemon.start();
  await world.clock.advance(10 * minuteMs);
  const away = world.counts.reads;
  world.broken.store = false;
  await world.clock.advance(60 * minuteMs);

  expect(away).toBeLessThan(100);
  expect(world.counts.resets).toBe(1000);
  await ended(daemon, world);
});

test('while ThingSpace is away, what is not due is still looked at, and hardly a login is spent', async () => {
  const { world, daemon, news } = await started({
    names: named(200),
    age: (index) => (index < 100 ? 74.9 : 10),
    config: { concurrency: 4 },
  });
  await world.clock.advance(3 * 60 * minuteMs);
  world.broken.thingspace = true;
  const before = world.counts.attempts;

  // The tick at 03:17, and all of its jitter.
  await world.clock.advance(52 * minuteMs);
  const during = world.counts.attempts - before;
  world.broken.thingspace = false;
  await world.clock.advance(2 * 60 * minuteMs);

  expect(during).toBeGreaterThanOrEqual(100);
  expect(during).toBeLessThan(130);
  expect(news.filter((one) => one.news === 'outage.began')).toMatchObject([
    { dependency: 'thingspace' },
  ]);
  expect(named(200).every((name) => world.ageDays(name) < 75)).toBe(true);
  await ended(daemon, world);
});

test('an account that comes is seen and told at the next tick, one that goes is forgotten', async () => {
  const { world, daemon } = await started({ names: named(3) });
  await world.clock.advance(minuteMs);
  const [gone] = world.accounts.splice(0, 1);
  world.audit.length = 0;

  await world.clock.advance(dayMs);

  expect(daemon.board.get(gone?.name ?? '')).toBeUndefined();
  expect(world.audit.filter(({ code }) => code === 'inventory.changed')).toEqual([
    { code: 'inventory.changed', change: 'removed', account: 'fleet-0000', secretId: 'fleet-0000' },
  ]);
  await ended(daemon, world);
});

test('every run, and every day, is told to the audit log and sealed', async () => {
  const { world, daemon } = await started({ names: named(2) });
  await world.clock.advance(2 * dayMs + minuteMs);

  const codes = world.audit
    .map(({ code }) => code)
    .filter((code) => code.startsWith('run.') || code === 'inventory.summary');

  expect(codes).toEqual([
    'inventory.summary',
    'run.started',
    'run.finished',
    'run.started',
    'run.finished',
    'inventory.summary',
    'run.started',
    'run.finished',
    'inventory.summary',
  ]);
  expect(world.counts.checkpoints).toBeGreaterThanOrEqual(5);
  await ended(daemon, world);
});

test('a full disk under the audit log resets nothing, ends nothing, and is over when there is room', async () => {
  const { world, daemon } = await started({ names: named(3), age: () => 10 });
  await world.clock.advance(minuteMs);
  for (const name of named(3)) world.setAge(name, 80);
  world.broken.audit = true;

  await daemon.tick();
  await world.clock.advance(40 * minuteMs);
  const during = world.counts.resets;
  world.broken.audit = false;
  await world.clock.advance(2 * dayMs);

  expect(during).toBe(0);
  expect(world.events.some(({ event }) => event === 'audit.failed')).toBe(true);
  expect(world.counts.resets).toBe(3);
  await ended(daemon, world);
});

test('a clock that steps is told, and rotates nothing before its time', async () => {
  const { world, daemon, news } = await started({ names: named(3), age: () => 20 });
  await world.clock.advance(minuteMs);

  world.clock.step(-3 * dayMs);
  await world.clock.advance(dayMs);
  world.clock.step(3 * dayMs);
  await world.clock.advance(dayMs);

  expect(
    news
      .filter((one) => one.news === 'clock.stepped')
      .map((one) => Math.round((one as { byMs: number }).byMs / dayMs)),
  ).toEqual([-3, 3]);
  expect(world.counts.resets).toBe(0);
  await ended(daemon, world);
});

test('the first signal begins no attempt, ends those before their reset, and waits for the others', async () => {
  const world = fleetWorld({ names: named(10), age: () => 80, config: { concurrency: 2 } });
  let release = (): void => {};
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  world.hold = () => held;
  const daemon = openDaemon({
    rotator: world.rotator,
    clock: world.clock,
    openTicker: dailyTicker(world.clock).open,
    hear: () => {},
  });
  await daemon.start();
  await world.clock.advance(1000);

  let isStopped = false;
  const stopped = daemon.stop().then(() => {
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

test('an attempt by hand runs at once beside a full fleet, and a second one is refused meanwhile', async () => {
  const world = fleetWorld({ names: named(10), age: () => 80, config: { concurrency: 1 } });
  let release = (): void => {};
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  world.hold = (name) => (name === 'fleet-0000' ? held : undefined);
  const daemon = openDaemon({
    rotator: world.rotator,
    clock: world.clock,
    openTicker: dailyTicker(world.clock).open,
    hear: () => {},
  });
  await daemon.start();
  await world.clock.advance(1000);

  const waiting = daemon.conflict('fleet-0009', false);
  const strange = daemon.conflict('nobody', false);

  expect(waiting).toBe('an attempt on this account is running or waiting');
  expect(strange).toBe('there is no such account');
  release();
  await world.clock.advance(minuteMs);
  const result = daemon.request('fleet-0009', {
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
  await ended(daemon, world);
});
