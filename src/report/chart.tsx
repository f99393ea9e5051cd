// The chart of the report: one strip per account, the age of its password as a saw-tooth over the
// period against the limit. A strip stretches with the page, while its lines keep their width;
// names and months are ordinary text outside it.

import { counted } from '../text.ts';
import { dayMs, isoDay } from '../time.ts';
import { type AccountRow, dailyCounts } from './account.ts';
import type { DayVerdict, Segment } from './timeline.ts';

/** The strip's own units; it holds no text. */
const [width, height] = [1000, 40];

/**
 * The top edge of a strip, in limits. A greater age is drawn at the edge; the table has the number.
 */
const topOfLimit = 1.5;

export type Scale = { readonly fromMs: number; readonly endMs: number };

const round = (value: number): string => String(Math.round(value * 10) / 10);

function project({ fromMs, endMs }: Scale) {
  const span = Math.max(1, endMs - fromMs);
  return {
    x: (ms: number): number => ((Math.min(Math.max(ms, fromMs), endMs) - fromMs) / span) * width,
    /** The height of an age, as a part of the limit. */
    y: (ofLimit: number): number =>
      height - (Math.min(Math.max(ofLimit, 0), topOfLimit) / topOfLimit) * height,
  };
}

type Projection = ReturnType<typeof project>;

/**
 * The line of a segment and the area under it, with a bend where it reaches the top edge. The age
 * is drawn as a part of the limit of that day.
 */
function agePath({ fromMs, toMs, ageMs, limits, ageClass }: Segment, { x, y }: Projection) {
  if (ageMs === null) return null;
  const limitMs = limits.maxAgeDays * dayMs;
  const point = (ms: number): string =>
    `${round(x(ms))} ${round(y((ageMs + ms - fromMs) / limitMs))}`;
  const foot = (ms: number): string => `${round(x(ms))} ${height}`;
  const bendMs = fromMs + limitMs * topOfLimit - ageMs;
  const bend = bendMs > fromMs && bendMs < toMs ? `L${point(bendMs)}` : '';
  const line = `${point(fromMs)}${bend}L${point(toMs)}`;
  return {
    isOver: ageClass === 'outside',
    line: `M${line}`,
    area: `M${foot(fromMs)}L${line}L${foot(toMs)}Z`,
  };
}

const Path = ({ of, kind }: { of: readonly string[]; kind: string }) => {
  const d = of.join('');
  return d === '' ? null : <path class={kind} d={d} />;
};

/** Times as boxes over the height of the strip. */
const Times = ({
  kind,
  of,
  x,
}: {
  kind: string;
  of: readonly { readonly fromMs: number; readonly toMs: number | null }[];
  x: Projection['x'];
}) => {
  const boxes = of.map(({ fromMs, toMs }) => {
    const left = x(fromMs);
    const right = Math.max(left + 2, x(toMs ?? Infinity));
    return `M${round(left)} 0H${round(right)}V${height}H${round(left)}Z`;
  });
  return <Path kind={kind} of={boxes} />;
};

const hasFailed = ({ status }: AccountRow['attempts'][number]): boolean =>
  status === 'failure' || status === 'unknown';

/** The strip of one account. `label` says in words what it shows. */
export function AgeStrip({ row, scale, label }: { row: AccountRow; scale: Scale; label: string }) {
  const projection = project(scale);
  const { x, y } = projection;
  const paths = row.segments.flatMap((segment) => agePath(segment, projection) ?? []);
  const lines = (isOver: boolean): string[] =>
    paths.filter((path) => path.isOver === isOver).map(({ line }) => line);
  const unknown = row.segments.filter(({ ageMs }) => ageMs === null);
  const exempt = row.segments.filter(({ ageClass }) => ageClass === 'exempt');
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
      <Times kind="exempted" of={exempt} x={x} />
      <Times kind="unknown" of={unknown} x={x} />
      <Times kind="stop" of={row.stops} x={x} />
      <Path kind="area" of={paths.map(({ area }) => area)} />
      <path class="limit" d={`M0 ${round(y(1))}H${width}`} />
      <Path kind="age" of={lines(false)} />
      <Path kind="age over" of={lines(true)} />
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
  const { x } = project(scale);
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
