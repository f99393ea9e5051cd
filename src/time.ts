// Dates as the audit log writes and reads them: UTC milliseconds to ISO 8601 and back, and the words of `--since`.
// Pure arithmetic on the proleptic Gregorian calendar: nothing here may ask what time it is.

/** Milliseconds of one day; UTC has no other kind here, leap seconds are not counted (POSIX). */
export const dayMs = 86_400_000;

/** The civil date of a count of days since 1970-01-01, after Howard Hinnant's `civil_from_days`. */
function civilOf(days: number): { year: number; month: number; day: number } {
  const shifted = days + 719_468;
  const era = Math.floor(shifted / 146_097);
  const dayOfEra = shifted - era * 146_097;
  const yearOfEra = Math.floor(
    (dayOfEra -
      Math.floor(dayOfEra / 1460) +
      Math.floor(dayOfEra / 36_524) -
      Math.floor(dayOfEra / 146_096)) /
      365,
  );
  const dayOfYear =
    dayOfEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100));
  const shiftedMonth = Math.floor((5 * dayOfYear + 2) / 153);
  const month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9;
  return {
    year: yearOfEra + era * 400 + (month <= 2 ? 1 : 0),
    month,
    day: dayOfYear - Math.floor((153 * shiftedMonth + 2) / 5) + 1,
  };
}

/** Days since 1970-01-01 of a civil date; the inverse of `civilOf`. */
function daysOf(year: number, month: number, day: number): number {
  const shifted = month <= 2 ? year - 1 : year;
  const era = Math.floor(shifted / 400);
  const yearOfEra = shifted - era * 400;
  const dayOfYear = Math.floor((153 * (month + (month > 2 ? -3 : 9)) + 2) / 5) + day - 1;
  return (
    era * 146_097 +
    yearOfEra * 365 +
    Math.floor(yearOfEra / 4) -
    Math.floor(yearOfEra / 100) +
    dayOfYear -
    719_468
  );
}

const pad = (value: number, width = 2): string => String(value).padStart(width, '0');

/** `2026-11-23` */
export function isoDay(ms: number): string {
  const { year, month, day } = civilOf(Math.floor(ms / dayMs));
  return `${pad(year, 4)}-${pad(month)}-${pad(day)}`;
}

/** `2026-11-23T03:17:00Z`, or with milliseconds `2026-11-23T03:17:00.123Z`. */
export function isoTime(ms: number, withMs = false): string {
  const inDay = Math.floor(ms - Math.floor(ms / dayMs) * dayMs);
  const clock = `${pad(Math.floor(inDay / 3_600_000))}:${pad(Math.floor(inDay / 60_000) % 60)}:${pad(Math.floor(inDay / 1000) % 60)}`;
  return `${isoDay(ms)}T${clock}${withMs ? `.${pad(inDay % 1000, 3)}` : ''}Z`;
}

const isoPattern =
  /^(\d{4})-(\d{2})-(\d{2})(?:[T ](\d{2}):(\d{2})(?::(\d{2})(?:\.(\d{1,3})\d*)?)?\s*(Z|[+-]\d{2}:?\d{2})?)?$/;

/** UTC milliseconds of an ISO date or date-time; without an offset it is UTC; `null` when it is neither or no such day exists. */
export function parseIso(text: string): number | null {
  const found = isoPattern.exec(text.trim());
  if (!found) return null;
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = found
    .slice(1, 7)
    .map((part) => Number(part ?? 0));
  if (month < 1 || month > 12 || day < 1 || hour > 24 || minute > 59 || second > 59) return null;
  const days = daysOf(year, month, day);
  if (civilOf(days).day !== day) return null;
  const offset = found[8] && found[8] !== 'Z' ? found[8].replace(':', '') : '+0000';
  const offsetMs =
    (Number(offset.slice(1, 3)) * 60 + Number(offset.slice(3, 5))) *
    60_000 *
    (offset.startsWith('-') ? -1 : 1);
  const ms = Number((found[7] ?? '0').padEnd(3, '0'));
  return days * dayMs + ((hour * 60 + minute) * 60 + second) * 1000 + ms - offsetMs;
}

const unitsMs: Readonly<Record<string, number>> = {
  minute: 60_000,
  hour: 3_600_000,
  day: dayMs,
  week: 7 * dayMs,
};

/**
 * UTC milliseconds of what people write after `--since`: `now`, `today`, `yesterday`, `90 days ago`, `90d`, `3 months ago`,
 * or an ISO date. `null` when it is none of these.
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

/** The same day and time, so many calendar months earlier; a day that month lacks becomes its last. */
function monthsBefore(ms: number, months: number): number {
  const days = Math.floor(ms / dayMs);
  const { year, month, day } = civilOf(days);
  const index = year * 12 + (month - 1) - months;
  const [toYear, toMonth] = [Math.floor(index / 12), (((index % 12) + 12) % 12) + 1];
  const last = daysOf(toMonth === 12 ? toYear + 1 : toYear, (toMonth % 12) + 1, 1) - 1;
  return Math.min(daysOf(toYear, toMonth, day), last) * dayMs + (ms - days * dayMs);
}
