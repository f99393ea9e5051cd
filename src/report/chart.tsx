// The picture: one strip per account, the age of its password as a saw-tooth over the period against the limit. A strip stretches
// with the page (lines keep their width), so names and months stay ordinary text outside it, readable at any size.

import { dayMs, isoDay } from '../time.ts';
import type { AccountRow, AgeStretch } from './account.ts';

/** The strip's own units; nothing in it is text. */
const [width, height] = [1000, 40];

export type Scale = {
  readonly fromMs: number;
  readonly endMs: number;
  readonly maxAgeDays: number;
};

const round = (value: number): string => String(Math.round(value * 10) / 10);

/** Ages above one and a half limits are drawn at the top edge; the table tells them. */
function scaled({ fromMs, endMs, maxAgeDays }: Scale) {
  const span = Math.max(1, endMs - fromMs);
  const top = maxAgeDays * 1.5 * dayMs;
  return {
    x: (ms: number): number => ((Math.min(Math.max(ms, fromMs), endMs) - fromMs) / span) * width,
    y: (ageMs: number): number => height - (Math.min(Math.max(ageMs, 0), top) / top) * height,
    limit: maxAgeDays * dayMs,
  };
}

/** The stretch's line, cut where it crosses the limit and where it leaves the picture at the top. */
function pathsOf(
  { fromMs, toMs, ageMs }: AgeStretch,
  scale: Scale,
): { under: string; over: string } {
  const { x, y, limit } = scaled(scale);
  const point = (ms: number): string => `${round(x(ms))} ${round(y(ageMs + ms - fromMs))}`;
  const cross = fromMs + limit - ageMs;
  const top = fromMs + limit * 1.5 - ageMs;
  const line = (a: number, b: number): string =>
    b <= a
      ? ''
      : a < top && top < b
        ? `M${point(a)}L${point(top)}L${point(b)}`
        : `M${point(a)}L${point(b)}`;
  return { under: line(fromMs, Math.min(toMs, cross)), over: line(Math.max(fromMs, cross), toMs) };
}

/** The strip of one account, as inline SVG. `label` is what it shows, in words. */
export function ageStrip(row: AccountRow, scale: Scale, label: string): string {
  const { x, y, limit } = scaled(scale);
  const paths = row.stretches.map((stretch) => pathsOf(stretch, scale));
  const area = row.stretches
    .map(({ fromMs, toMs, ageMs }) => {
      const [left, right] = [x(fromMs), x(toMs)];
      const top = fromMs + limit * 1.5 - ageMs;
      const bend = top > fromMs && top < toMs ? `L${round(x(top))} 0` : '';
      return `M${round(left)} ${height}L${round(left)} ${round(y(ageMs))}${bend}L${round(right)} ${round(y(ageMs + toMs - fromMs))}L${round(right)} ${height}Z`;
    })
    .join('');
  const drop = row.changes
    .filter(({ timeMs }) => timeMs >= scale.fromMs && timeMs < scale.endMs)
    .map(({ timeMs, by }) => ({ at: round(x(timeMs)), outside: by === 'outside' }));
  const ticks = (at: readonly string[], from: number, to: number, name: string): string =>
    at.length === 0
      ? ''
      : `<path class="${name}" d="${at.map((left) => `M${left} ${from}V${to}`).join('')}"/>`;
  const stops = row.stops
    .map(({ fromMs, toMs }) => {
      const [left, right] = [x(fromMs), x(toMs ?? scale.endMs)];
      return right <= left
        ? ''
        : `<rect class="stop" x="${round(left)}" y="0" width="${round(Math.max(2, right - left))}" height="${height}"/>`;
    })
    .join('');
  const failures = row.failures.map(({ intendedAtMs }) => round(x(intendedAtMs)));
  const under = paths.map((path) => path.under).join('');
  const over = paths.map((path) => path.over).join('');
  return (
    `<svg class="strip" viewBox="0 0 ${width} ${height}" preserveAspectRatio="none" role="img" aria-label="${label}">` +
    stops +
    (area ? `<path class="area" d="${area}"/>` : '') +
    `<path class="limit" d="M0 ${round(y(limit))}H${width}"/>` +
    (under ? `<path class="age" d="${under}"/>` : '') +
    (over ? `<path class="age over" d="${over}"/>` : '') +
    ticks(
      drop.filter(({ outside }) => !outside).map(({ at }) => at),
      height - 8,
      height,
      'changed',
    ) +
    ticks(
      drop.filter(({ outside }) => outside).map(({ at }) => at),
      height - 14,
      height,
      'outside',
    ) +
    ticks(failures, 0, 8, 'failed') +
    '</svg>'
  );
}

const months = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];

/** Where the axis is labelled (HTML), in percent from the left: month beginnings, or days when the period is short. At most about twelve. */
export function axisOf({
  fromMs,
  endMs,
}: Scale): readonly { readonly percent: number; readonly label: string }[] {
  const span = Math.max(1, endMs - fromMs);
  const starts: number[] = [];
  for (let day = Math.ceil(fromMs / dayMs); day * dayMs < endMs; day += 1)
    if (isoDay(day * dayMs).endsWith('-01')) starts.push(day * dayMs);
  const isShort = starts.length < 2;
  const dayStep = Math.max(1, Math.ceil(span / dayMs / 8));
  const ticks = isShort
    ? Array.from(
        { length: Math.ceil(span / dayMs / dayStep) },
        (_, index) => fromMs + index * dayStep * dayMs,
      )
    : starts;
  const step = Math.ceil(ticks.length / 12);
  return ticks
    .filter((_, index) => index % step === 0)
    .map((ms) => {
      const [year, month = '1', day] = isoDay(ms).split('-');
      const name = months[Number(month) - 1] ?? '';
      return {
        percent: ((ms - fromMs) / span) * 100,
        label: isShort
          ? `${name} ${Number(day)}`
          : name === 'Jan'
            ? `${name}<i class="year"> ${year}</i>`
            : name,
      };
    })
    .filter(({ percent }) => percent <= 97);
}
