// The chart of the report: one strip per account, the age of its password as a saw-tooth over the
// period against the limit. A strip stretches with the page, while its lines keep their width;
// names and months are ordinary text outside it.

import { counted } from '../text.ts';
import { dayMs, isoDay } from '../time.ts';
import { type AccountRow, dailyCounts } from './account.ts';
import type { DayVerdict } from './timeline.ts';

/** The strip's own units; it holds no text. */
const [width, height] = [1000, 40];

/**
 * The top edge of a strip, in limits. A greater age is drawn at the edge; the table has the number.
 */
const topOfLimit = 1.5;

export type Scale = { readonly fromMs: number; readonly endMs: number };

/** From `fromMs` to `toMs` the age of the password grew from `ageMs`. */
type AgeStretch = { readonly fromMs: number; toMs: number; readonly ageMs: number };

/** The ages of a row; one stretch from each change of the password to the next. */
function stretchesOf({ segments }: AccountRow): AgeStretch[] {
  const stretches: AgeStretch[] = [];
  for (const { fromMs, toMs, ageMs } of segments) {
    if (ageMs === null) continue;
    const last = stretches.at(-1);
    if (last?.toMs === fromMs && last.ageMs + fromMs - last.fromMs === ageMs) last.toMs = toMs;
    else stretches.push({ fromMs, toMs, ageMs });
  }
  return stretches;
}

const round = (value: number): string => String(Math.round(value * 10) / 10);

function project({ fromMs, endMs }: Scale, maxAgeDays: number) {
  const span = Math.max(1, endMs - fromMs);
  const limitMs = maxAgeDays * dayMs;
  const topMs = limitMs * topOfLimit;
  const x = (ms: number): number =>
    ((Math.min(Math.max(ms, fromMs), endMs) - fromMs) / span) * width;
  const y = (ageMs: number): number =>
    height - (Math.min(Math.max(ageMs, 0), topMs) / topMs) * height;
  return { x, y, limitMs, topMs };
}

type Projection = ReturnType<typeof project>;

/**
 * The line of a stretch, divided where it crosses the limit, with a bend where it reaches the top
 * edge.
 */
function agePaths({ fromMs, toMs, ageMs }: AgeStretch, { x, y, limitMs, topMs }: Projection) {
  const point = (ms: number): string => `${round(x(ms))} ${round(y(ageMs + ms - fromMs))}`;
  const foot = (ms: number): string => `${round(x(ms))} ${height}`;
  const crossMs = fromMs + limitMs - ageMs;
  const bendMs = fromMs + topMs - ageMs;
  const line = (a: number, b: number): string => {
    if (b <= a) return '';
    return `M${point(a)}${a < bendMs && bendMs < b ? `L${point(bendMs)}` : ''}L${point(b)}`;
  };
  const bend = bendMs > fromMs && bendMs < toMs ? `L${point(bendMs)}` : '';
  return {
    under: line(fromMs, Math.min(toMs, crossMs)),
    over: line(Math.max(fromMs, crossMs), toMs),
    area: `M${foot(fromMs)}L${point(fromMs)}${bend}L${point(toMs)}L${foot(toMs)}Z`,
  };
}

const Path = ({ of, kind }: { of: readonly string[]; kind: string }) => {
  const d = of.join('');
  return d === '' ? null : <path class={kind} d={d} />;
};

const hasFailed = ({ status }: AccountRow['attempts'][number]): boolean =>
  status === 'failure' || status === 'unknown';

/** The strip of one account. `label` says in words what it shows. */
export function AgeStrip({ row, scale, label }: { row: AccountRow; scale: Scale; label: string }) {
  const projection = project(scale, row.limits.maxAgeDays);
  const { x, y, limitMs } = projection;
  const paths = stretchesOf(row).map((stretch) => agePaths(stretch, projection));
  const changes = row.changes.filter(
    ({ timeMs }) => timeMs >= scale.fromMs && timeMs < scale.endMs,
  );
  const marks = (at: readonly number[], from: number, to: number): string[] =>
    at.map((ms) => `M${round(x(ms))} ${from}V${to}`);
  const changedBy = (isOutside: boolean): number[] =>
    changes.filter(({ by }) => (by === 'outside') === isOutside).map(({ timeMs }) => timeMs);
  return (
    <svg
      class="strip"
      viewBox={`0 0 ${width} ${height}`}
      preserveAspectRatio="none"
      role="img"
      aria-label={label}
    >
      {row.stops.map(({ fromMs, toMs }) => {
        const [left, right] = [x(fromMs), x(toMs ?? scale.endMs)];
        return right <= left ? null : (
          <rect
            class="stop"
            x={round(left)}
            width={round(Math.max(2, right - left))}
            height={height}
          />
        );
      })}
      <Path kind="area" of={paths.map(({ area }) => area)} />
      <path class="limit" d={`M0 ${round(y(limitMs))}H${width}`} />
      <Path kind="age" of={paths.map(({ under }) => under)} />
      <Path kind="age over" of={paths.map(({ over }) => over)} />
      <Path kind="changed" of={marks(changedBy(false), height - 8, height)} />
      <Path kind="outside" of={marks(changedBy(true), height - 14, height)} />
      <Path
        kind="failed"
        of={marks(
          row.attempts.filter(hasFailed).map((one) => one.intendedAtMs),
          0,
          8,
        )}
      />
    </svg>
  );
}

/** From the bottom of the band to its top. */
export const bandVerdicts = ['compliant', 'exempt', 'unknown', 'overdue'] as const;

/** How many of many accounts were judged how on each day, one above the other. */
export function DensityBand({ rows, scale }: { rows: readonly AccountRow[]; scale: Scale }) {
  const { fromMs, endMs } = scale;
  const days = new Map(dailyCounts(rows).map((counts) => [counts.day, counts]));
  const numbers = [...days.keys()];
  const { x } = project(scale, 1);
  const worst = (verdict: DayVerdict): number =>
    Math.max(0, ...[...days.values()].map((counts) => counts[verdict]));
  const label =
    `${counted(rows.length, 'account')}: on the worst day ${worst('overdue')} overdue, ` +
    `${worst('unknown')} unknown, ${worst('exempt')} exempt`;
  let below = new Map(numbers.map((day) => [day, 0]));
  return (
    <svg
      class="strip"
      viewBox={`0 0 ${width} ${height}`}
      preserveAspectRatio="none"
      role="img"
      aria-label={label}
    >
      {bandVerdicts.map((verdict) => {
        const foot = below;
        below = new Map(
          numbers.map((day) => [day, (foot.get(day) ?? 0) + (days.get(day)?.[verdict] ?? 0)]),
        );
        const y = (count = 0): string => round(height - (count / rows.length) * height);
        const boxes = numbers.flatMap((day) => {
          if (foot.get(day) === below.get(day)) return [];
          const [left, right] = [
            x(Math.max(day * dayMs, fromMs)),
            x(Math.min((day + 1) * dayMs, endMs)),
          ];
          const [bottom, top] = [y(foot.get(day)), y(below.get(day))];
          return [`M${round(left)} ${bottom}V${top}H${round(right)}V${bottom}Z`];
        });
        return <Path kind={`day ${verdict}`} of={boxes} />;
      })}
    </svg>
  );
}

const months = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];

/** Beginnings of months, or, where the period has fewer than two, days; at most about twelve. */
function axisMarks({ fromMs, endMs }: Scale): { ms: number; label: string; year: string }[] {
  const starts: number[] = [];
  for (let day = Math.ceil(fromMs / dayMs); day * dayMs < endMs; day += 1)
    if (isoDay(day * dayMs).endsWith('-01')) starts.push(day * dayMs);
  const isShort = starts.length < 2;
  const days = Math.max(1, endMs - fromMs) / dayMs;
  const dayStep = Math.max(1, Math.ceil(days / 8));
  const marks = isShort
    ? Array.from(
        { length: Math.ceil(days / dayStep) },
        (_, index) => fromMs + index * dayStep * dayMs,
      )
    : starts;
  const step = Math.ceil(marks.length / 12);
  return marks
    .filter((_, index) => index % step === 0)
    .map((ms) => {
      const [year = '', month, day] = isoDay(ms).split('-');
      const name = months[Number(month) - 1] ?? '';
      return isShort
        ? { ms, label: `${name} ${Number(day)}`, year: '' }
        : { ms, label: name, year: name === 'Jan' ? ` ${year}` : '' };
    });
}

/** The time axis of all strips. */
export function Axis({ scale }: { scale: Scale }) {
  const { fromMs, endMs } = scale;
  const marks = axisMarks(scale).map(({ ms, ...mark }) => ({
    ...mark,
    percent: ((ms - fromMs) / Math.max(1, endMs - fromMs)) * 100,
  }));
  return (
    <svg class="months" aria-hidden="true">
      {marks
        .filter(({ percent }) => percent <= 97)
        .map(({ percent, label, year }) => (
          <g>
            <line x1={`${percent.toFixed(1)}%`} x2={`${percent.toFixed(1)}%`} y2="100%" />
            <text x={`${percent.toFixed(1)}%`} dx="4" y="1em">
              {label}
              <tspan class="year">{year}</tspan>
            </text>
          </g>
        ))}
    </svg>
  );
}
