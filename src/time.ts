// Times as the audit log writes and reads them, and as people read and write them. Calendar
// arithmetic in UTC by Date; nothing here reads a clock.

/** Milliseconds of one day. UTC has no daylight saving time, and Unix time has no leap seconds. */
export const dayMs = 86_400_000;

/** For libraries that take a Date. */
export const toDate = (ms: number): Date => new Date(ms);

/** `2026-11-23` */
export function isoDay(ms: number): string {
  return isoTime(ms).split('T', 1)[0] ?? '';
}

/** `2026-11-23T03:17:00Z`, or with milliseconds. Never throws: a log may hold any number. */
export function isoTime(ms: number, withMs = false): string {
  const date = new Date(Math.floor(ms));
  if (Number.isNaN(date.getTime())) return 'invalid time';
  const text = date.toISOString();
  return withMs ? text : text.replace(/\.\d{3}Z$/, 'Z');
}

/** `Tue 24 Nov 2026, 03:17 GMT+1` */
export function localTime(ms: number, timeZone: string): string {
  const format = (options: Intl.DateTimeFormatOptions): string =>
    new Intl.DateTimeFormat('en-GB', { timeZone, hourCycle: 'h23', ...options }).format(ms);
  const day = format({ weekday: 'short', day: 'numeric', month: 'short', year: 'numeric' });
  const clock = format({ hour: '2-digit', minute: '2-digit', timeZoneName: 'short' });
  return `${day.replaceAll(',', '')}, ${clock}`;
}

/** How far a time is from now: `in 6 h 27 min`, `3 days 2 h ago`, `now`. For people. */
export function distance(ms: number): string {
  const minutes = Math.round(Math.abs(ms) / 60_000);
  if (minutes === 0) return 'now';
  const [days, hours] = [Math.floor(minutes / 1440), Math.floor((minutes % 1440) / 60)];
  const units = [`${days} ${days === 1 ? 'day' : 'days'}`, `${hours} h`, `${minutes % 60} min`];
  const counts = [days, hours, days > 0 ? 0 : minutes % 60];
  const length = units.filter((_, index) => counts[index] !== 0).join(' ');
  return ms > 0 ? `in ${length}` : `${length} ago`;
}

const isoPattern =
  /^([\d-]{10})(?:[T ](\d\d:\d\d)(?::(\d\d)(?:\.(\d{1,3})\d*)?)?\s*(?:Z|([+-]\d\d):?(\d\d))?)?$/;

/** UTC milliseconds of an ISO date or date-time, UTC by default; null for any other text. */
export function parseIso(text: string): number | null {
  const found = isoPattern.exec(text.trim());
  if (!found) return null;
  const [, day = '', time = '00:00', second = '00', fraction = '', hours, minutes] = found;
  // Date.parse reads 30 February as 2 March.
  if (isoDay(Date.parse(day)) !== day) return null;
  const offset = hours === undefined ? 'Z' : `${hours}:${minutes}`;
  const ms = Date.parse(`${day}T${time}:${second}.${fraction.padEnd(3, '0')}${offset}`);
  return Number.isNaN(ms) ? null : ms;
}

const unitsMs: Readonly<Record<string, number>> = {
  minute: 60_000,
  hour: 3_600_000,
  day: dayMs,
  week: 7 * dayMs,
};

/**
 * UTC milliseconds of a value of `--since`: `now`, `today`, `yesterday`, `90 days ago`, `90d`, `3
 * months ago`, or an ISO date. Null for any other text.
 */
export function parseWhen(text: string, nowMs: number): number | null {
  const words = text.trim().toLowerCase();
  const midnight = Math.floor(nowMs / dayMs) * dayMs;
  if (words === 'now') return nowMs;
  if (words === 'today') return midnight;
  if (words === 'yesterday') return midnight - dayMs;
  const short: Readonly<Record<string, string>> = {
    m: 'minute',
    min: 'minute',
    h: 'hour',
    d: 'day',
    w: 'week',
    y: 'year',
  };
  const found = /^(\d{1,6})\s*([a-z]+?)s?(?:\s+ago)?$/.exec(words);
  if (!found) return parseIso(text);
  const count = Number(found[1]);
  const unit = short[found[2] ?? ''] ?? found[2] ?? '';
  if (unit === 'month' || unit === 'year')
    return monthsBefore(nowMs, unit === 'year' ? count * 12 : count);
  const unitMs = unitsMs[unit];
  return unitMs === undefined ? null : nowMs - count * unitMs;
}

/** The end of what such a value names: of a date the last moment, else the same moment. */
export function parseEnd(text: string, nowMs: number): number | null {
  const ms = parseWhen(text, nowMs);
  const isDay = /^(\d{4}-\d\d-\d\d|today|yesterday)$/.test(text.trim().toLowerCase());
  return ms !== null && isDay ? ms + dayMs : ms;
}

/** So many calendar months earlier; a day that the month does not have becomes its last. */
function monthsBefore(ms: number, months: number): number | null {
  const date = new Date(ms);
  const day = date.getUTCDate();
  date.setUTCMonth(date.getUTCMonth() - months);
  // 31 May minus 3 months overflows into March: day 0 of March is the last day of February.
  if (date.getUTCDate() !== day) date.setUTCDate(0);
  return Number.isNaN(date.getTime()) ? null : date.getTime();
}

/** UTC milliseconds of an HTTP date (RFC 9110: `Sun, 06 Nov 1994 08:49:37 GMT`); else `null`. */
export function parseHttpDate(text: string | undefined): number | null {
  const isHttpDate = /^[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT$/.test(
    text ?? '',
  );
  const ms = isHttpDate ? Date.parse(text ?? '') : Number.NaN;
  return Number.isNaN(ms) ? null : ms;
}
