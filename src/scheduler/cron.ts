// Schedules, and the fixed delay of each account within a run. A schedule only says when a run
// starts; the age of each password decides what is rotated. node-cron reads and matches the
// expressions; its timers are not used, because a clock that is set makes them wait for a wrong
// time.
//
// node-cron 4.6, as measured (2026-11): a local time that the clocks skip has no run on that day,
// and one that comes twice has one run. Day of month and day of week must both match, unlike in
// Vixie cron.

import { createHash } from 'node:crypto';
import { createTask } from 'node-cron';
import type { Clock } from '../rotation/ports.ts';

/** When runs start. */
type Times = {
  /** Minute, hour, day of month, month, day of week. */
  readonly cron: string;
  /** An IANA name. */
  readonly timezone: string;
};

export type Schedule = Times & { readonly jitterMinutes: number };

/** The schedule of an account: its own, or the common one. */
export const scheduleOf = (
  account: { readonly schedule?: Schedule | undefined },
  { schedule }: { readonly schedule: Schedule },
): Schedule => account.schedule ?? schedule;

/** The same for schedules with the same runs. */
export const keyOf = ({ cron, timezone }: Times): string => `${cron} ${timezone}`;

/** The next time at which a run is due, later than now; UTC milliseconds. */
export type NextRunMs = (schedule: Times) => number;

/**
 * Answers by node-cron, which takes a millisecond. The scheduler asks whenever an account is
 * finished, and an expression without seconds has one answer for a minute.
 */
export function createNextRunMs({ nowMs }: Pick<Clock, 'nowMs'>): NextRunMs {
  const known = new Map<string, { readonly minute: number; readonly nextMs: number }>();
  return (schedule) => {
    const key = keyOf(schedule);
    const minute = Math.floor(nowMs() / minuteMs);
    const last = known.get(key);
    if (last?.minute === minute) return last.nextMs;
    const nextMs = nextRuns(schedule, 1)[0] ?? Number.POSITIVE_INFINITY;
    known.set(key, { minute, nextMs });
    return nextMs;
  };
}

const silent = { info: () => {}, warn: () => {}, error: () => {}, debug: () => {} };

/** Why a valid schedule has no run (30 February does not exist); null when it has one. */
export function findScheduleProblem({ cron, timezone }: Times): string | null {
  try {
    nextRuns({ cron, timezone }, 1);
    return null;
  } catch {
    return `schedule.cron "${cron}" (${timezone}) matches no date, so no run would start`;
  }
}

/** The next `count` runs, UTC milliseconds, ascending. Throws when there is none. */
export function nextRuns({ cron, timezone }: Times, count: number): number[] {
  const task = createTask(cron, () => {}, { timezone, logger: silent });
  try {
    return task.getNextRuns(count).map((run) => run.getTime());
  } finally {
    void task.destroy();
  }
}

/** The delay of an account within a run: fixed for each name, evenly spread over names. */
export function jitterMs(account: string, jitterMinutes: number): number {
  const share =
    createHash('sha256').update(`thingspace-rotator/jitter\0${account}`).digest().readUIntBE(0, 6) /
    2 ** 48;
  return Math.floor(share * jitterMinutes * minuteMs);
}

const minuteMs = 60_000;
