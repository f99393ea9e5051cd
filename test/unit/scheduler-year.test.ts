// A year of the scheduler in memory. With SERVE_ACCOUNTS=1000 it prints duration and memory.

import { expect, test } from '@jest/globals';
import { defaultPace, openScheduler } from '../../src/scheduler/scheduler.ts';
import { limitMs } from '../harness/limits.mjs';
import { dailyCron, dayMs, fleetWorld, minuteMs } from '../harness/serve-world.ts';

const count = Number(process.env['SERVE_ACCOUNTS'] ?? 30);

test(
  'after a year with outages no password is overdue, and no memory or timer is left behind',
  async () => {
    const names = Array.from(
      { length: count },
      (_, index) => `fleet-${String(index).padStart(4, '0')}`,
    );
    const world = fleetWorld({ names, age: (index) => (index * 37) % 75, keepsAudit: false });
    const { clock } = world;
    const scheduler = openScheduler({
      rotator: world.rotator,
      clock,
      nextRunMs: dailyCron(clock).nextRunMs,
      emit: () => {},
      pace: { ...defaultPace, loopMs: 30 * minuteMs },
    });
    const startedMs = performance.now();
    await scheduler.start();
    const memory: number[] = [];
    let oldest = 0;

    for (let day = 1; day <= 365; day += 1) {
      // Now and then two days without the store, one without ThingSpace, one with a full disk.
      world.broken.store = day % 60 === 20 || day % 60 === 21;
      world.broken.thingspace = day % 45 === 10;
      world.broken.audit = day % 50 === 30;
      await clock.advance(dayMs);
      for (const name of names) oldest = Math.max(oldest, world.ageDays(name));
      if (day % 73 !== 0) continue;
      globalThis.gc?.();
      memory.push(process.memoryUsage().heapUsed / 1e6);
    }
    const tookMs = performance.now() - startedMs;
    const attempts = world.counts.attempts;
    await Promise.all([scheduler.stop(), clock.advance(minuteMs)]);

    if (process.env['SERVE_ACCOUNTS'])
      process.stderr.write(
        `${count} accounts, a year: ${(tookMs / 1000).toFixed(1)} s, ${attempts} attempts, ` +
          `${world.counts.resets} resets, oldest password ${oldest.toFixed(1)} days, ` +
          `heap after each fifth: ${memory.map((mb) => mb.toFixed(1)).join(' ')} MB\n`,
      );
    expect(names.filter((name) => !world.isConsistent(name))).toEqual([]);
    expect(scheduler.statuses.entries().filter(({ state }) => state !== 'settled')).toEqual([]);
    expect(oldest).toBeLessThan(80);
    expect(clock.sleepers()).toBe(0);
    // The first fifth fills caches.
    if (globalThis.gc) expect((memory.at(-1) ?? 0) - (memory[1] ?? 0)).toBeLessThan(10);
  },
  count > 100 ? limitMs(600_000) : undefined,
);
