// When the service looks: node-cron's ticks, the coming ones in words, and each account's own fixed share of the
// spread. A tick only says "look now"; it must never decide that a password is due.
//
// node-cron 4.6 as measured (2026-11): a local time that the clocks jump over has no run that day, one that comes twice runs
// once; missed runs are not made up for; day of month *and* day of week must both hold, unlike in Vixie cron.

import { createHash } from 'node:crypto';
import { createTask, schedule as startTask } from 'node-cron';

export type Schedule = {
  /** Minute, hour, day of month, month, day of week. */
  readonly cron: string;
  /** An IANA name. */
  readonly timezone: string;
  readonly jitterMinutes: number;
};

/** A running schedule. */
export type Ticker = {
  /** When the next tick should come, UTC milliseconds; asked again after each tick. */
  nextMs(): number;
  stop(): void;
};

/** Starts a schedule. `onTick` is called at every run, and for runs that were missed (a blocked loop, a suspended machine). */
export type OpenTicker = (
  schedule: Pick<Schedule, 'cron' | 'timezone'>,
  onTick: () => void,
) => Ticker;

const silent = { info: () => {}, warn: () => {}, error: () => {}, debug: () => {} };

/** node-cron's. Several missed runs are one tick each: whoever is told must not mind. */
export const openTicker: OpenTicker = ({ cron, timezone }, onTick) => {
  const task = startTask(cron, () => onTick(), {
    timezone,
    logger: silent,
    suppressMissedWarning: true,
  });
  task.on('execution:missed', () => onTick());
  return {
    nextMs: () => task.getNextRun()?.getTime() ?? Number.POSITIVE_INFINITY,
    stop: () => void task.destroy(),
  };
};

/** What is wrong with a schedule that has the right form ("30 2" for day and month never comes); null when it runs. */
export function problemWith({
  cron,
  timezone,
}: Pick<Schedule, 'cron' | 'timezone'>): string | null {
  try {
    nextRuns({ cron, timezone }, 1);
    return null;
  } catch {
    return `the schedule "${cron}" (${timezone}) never comes`;
  }
}

/** The next `count` runs from now on, UTC milliseconds, ascending. Throws where there is none. */
export function nextRuns(
  { cron, timezone }: Pick<Schedule, 'cron' | 'timezone'>,
  count: number,
): number[] {
  const task = createTask(cron, () => {}, { timezone, logger: silent });
  try {
    return task.getNextRuns(count).map((run) => run.getTime());
  } finally {
    void task.destroy();
  }
}

/** The account's share of the spread: always the same for the same name, evenly spread over names; milliseconds. */
export function jitterMs(account: string, jitterMinutes: number): number {
  const share =
    createHash('sha256').update(`thingspace-rotator/jitter\0${account}`).digest().readUIntBE(0, 6) /
    2 ** 48;
  return Math.floor(share * jitterMinutes * minuteMs);
}

/** One coming run. */
export type Run = {
  readonly atMs: number;
  /** `Tue 24 Nov 2026, 03:17 GMT+1` */
  readonly local: string;
  /** `in 6 h 27 min` */
  readonly inWords: string;
  /** What is unusual about it; absent when nothing is. */
  readonly remark?: string;
};

export type Outlook = { readonly runs: readonly Run[]; readonly sentences: readonly string[] };

/** The coming runs for people: when, in which local time, and what daylight saving does to them within the next year. */
export function outlook(schedule: Schedule, count: number, nowMs: number): Outlook {
  const { cron, timezone, jitterMinutes } = schedule;
  const at = nextRuns(schedule, count);
  const zone = openZone(timezone);
  const runs = at.map((atMs, index) => {
    const before = zone.offsetMs(at[index - 1] ?? nowMs);
    const change = (zone.offsetMs(atMs) - before) / minuteMs;
    const remark =
      change === 0
        ? {}
        : {
            remark: `the clocks went ${change > 0 ? 'forward' : 'back'} ${Math.abs(change)} min before it`,
          };
    return { atMs, local: zone.show(atMs), inWords: inWords(atMs - nowMs), ...remark };
  });
  return {
    runs,
    sentences: [
      `${capital(describeCron(cron))}, ${timezone}.`,
      jitterMinutes === 0
        ? 'All accounts follow at once, as many side by side as concurrency allows.'
        : `Each account follows within ${jitterMinutes} min, always at its own same minute.`,
      'A run only looks: what is rotated is decided by the age of each password.',
      ...daylightSaving(schedule, zone, nowMs),
    ],
  };
}

const minuteMs = 60_000;
const dayMs = 86_400_000;

type Zone = {
  offsetMs(atMs: number): number;
  show(atMs: number): string;
  showDay(atMs: number): string;
  showClock(atMs: number): string;
};

function openZone(timeZone: string): Zone {
  const format = (options: Intl.DateTimeFormatOptions): Intl.DateTimeFormat =>
    new Intl.DateTimeFormat('en-GB', { timeZone, hourCycle: 'h23', ...options });
  const offset = format({ timeZoneName: 'longOffset' });
  const day = format({ weekday: 'short', day: 'numeric', month: 'short', year: 'numeric' });
  const clock = format({ hour: '2-digit', minute: '2-digit' });
  const named = format({ hour: '2-digit', minute: '2-digit', timeZoneName: 'short' });
  const plainDay = (atMs: number): string => day.format(atMs).replaceAll(',', '');
  return {
    offsetMs: (atMs) => {
      const name =
        offset.formatToParts(atMs).find(({ type }) => type === 'timeZoneName')?.value ?? '';
      const [, sign = '+', hours = '0', minutes = '0'] =
        /GMT([+-])(\d{2}):(\d{2})/.exec(name) ?? [];
      return (Number(hours) * 60 + Number(minutes)) * minuteMs * (sign === '-' ? -1 : 1);
    },
    show: (atMs) => `${plainDay(atMs)}, ${named.format(atMs)}`,
    showDay: plainDay,
    showClock: (atMs) => clock.format(atMs),
  };
}

/** What the next year's changes of the clocks do to the runs; empty where there are none, or they do nothing. */
function daylightSaving({ cron, timezone }: Schedule, zone: Zone, nowMs: number): string[] {
  const local = createTask(cron, () => {}, { timezone: 'UTC', logger: silent });
  // In UTC the wall clock is the time itself, so the expression can be asked about local times that do not exist.
  // biome-ignore lint/style/noRestrictedGlobals: node-cron asks for a Date; no clock is read.
  const comesAt = (wallMs: number): boolean => local.match(new Date(wallMs));
  const sentences = changesOfClocks(zone, nowMs).flatMap(({ atMs, byMs }) => {
    // Forward: the local times from the change on are jumped over. Back: those before the change come again.
    const fromWallMs = atMs + zone.offsetMs(atMs - 1) + Math.min(byMs, 0);
    const affected = Array.from(
      { length: Math.abs(byMs) / minuteMs },
      (_, minute) => fromWallMs + minute * minuteMs,
    ).find(comesAt);
    if (affected === undefined) return [];
    const when = `${zone.showDay(atMs)} in ${timezone}`;
    const clock = openZone('UTC').showClock(affected);
    return byMs > 0
      ? [
          `On ${when} there is no ${clock}: that run is left out, and the next one finds what it would have found.`,
        ]
      : [
          `On ${when} ${clock} comes twice: the second one finds nothing left to do, if it runs at all.`,
        ];
  });
  void local.destroy();
  return sentences;
}

/** Each change of the zone's offset within a year, to the minute. */
function changesOfClocks(zone: Zone, nowMs: number): { atMs: number; byMs: number }[] {
  const changes: { atMs: number; byMs: number }[] = [];
  const from = Math.floor(nowMs / minuteMs) * minuteMs;
  for (let day = 0; day < 365; day += 1) {
    let [low, high] = [from + day * dayMs, from + (day + 1) * dayMs];
    const byMs = zone.offsetMs(high) - zone.offsetMs(low);
    if (byMs === 0) continue;
    const before = zone.offsetMs(low);
    while (high - low > minuteMs) {
      const middle = low + Math.floor((high - low) / 2 / minuteMs) * minuteMs;
      if (zone.offsetMs(middle) === before) low = middle;
      else high = middle;
    }
    changes.push({ atMs: high, byMs });
  }
  return changes;
}

/** `every day at 03:17`; what is not simple is quoted. */
function describeCron(cron: string): string {
  const [minute = '', hour = '', day = '*', month = '*', weekday = '*'] = cron.trim().split(/\s+/);
  const isNumber = (field: string): boolean => /^\d{1,2}$/.test(field);
  const whole = month === '*' && day === '*' && weekday === '*';
  if (isNumber(minute) && hour === '*' && whole) return `every hour at minute ${minute}`;
  if (!isNumber(minute) || !isNumber(hour) || month !== '*')
    return `by the cron expression "${cron}"`;
  const clock = `at ${hour.padStart(2, '0')}:${minute.padStart(2, '0')}`;
  if (whole) return `every day ${clock}`;
  const names = [
    'Sunday',
    'Monday',
    'Tuesday',
    'Wednesday',
    'Thursday',
    'Friday',
    'Saturday',
    'Sunday',
  ];
  if (day === '*' && /^[0-7]$/.test(weekday)) return `every ${names[Number(weekday)]} ${clock}`;
  if (weekday === '*' && isNumber(day)) return `on day ${day} of every month ${clock}`;
  if (day !== '*' && weekday !== '*')
    return `by "${cron}", when day of month and day of week both hold`;
  return `by the cron expression "${cron}"`;
}

const capital = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);

/** `in 6 h 27 min`, `in 3 days 2 h` */
function inWords(ms: number): string {
  const minutes = Math.max(0, Math.round(ms / minuteMs));
  const [days, hours] = [Math.floor(minutes / 1440), Math.floor((minutes % 1440) / 60)];
  if (days > 0) return `in ${days} ${days === 1 ? 'day' : 'days'}${hours > 0 ? ` ${hours} h` : ''}`;
  return hours > 0 ? `in ${hours} h ${minutes % 60} min` : `in ${minutes} min`;
}
