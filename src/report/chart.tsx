// The chart of the report: one strip per account, the age of its password as a saw-tooth over the
// period against the limit. A strip stretches with the page, while its lines keep their width;
// names and months are ordinary text outside it.

import type { Child, PropsWithChildren } from 'hono/jsx';
import { Name, Section } from '../html/page.tsx';
import { counted, printable } from '../text.ts';
import { dayMs, isoDay } from '../time.ts';
import { type AccountRow, dailyCounts } from './account.ts';
import { historyId } from './account-history.tsx';
import type { Report } from './build.ts';
import { daysOf } from './text.ts';
import type { DayVerdict, Segment } from './timeline.ts';

/** The strip's own units; it holds no text. */
const [width, height] = [1000, 40];

/** The top edge of a strip, in limits. A greater age is drawn at the edge. */
const topOfLimit = 1.5;

type Scale = { readonly fromMs: number; readonly endMs: number };

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
 * The lines of the ages, and the area under them, with a bend where one reaches the top edge. An
 * age is drawn as a part of the limit of that day.
 */
function agePaths(segments: readonly Segment[], { x, y }: Projection) {
  const paths = { area: '', age: '', over: '' };
  for (const { fromMs, toMs, ageMs, limits, ageClass } of segments) {
    if (ageMs === null) continue;
    const limitMs = limits.maxAgeDays * dayMs;
    const point = (ms: number): string =>
      `${round(x(ms))} ${round(y((ageMs + ms - fromMs) / limitMs))}`;
    const foot = (ms: number): string => `${round(x(ms))} ${height}`;
    const bendMs = fromMs + limitMs * topOfLimit - ageMs;
    const bend = bendMs > fromMs && bendMs < toMs ? `L${point(bendMs)}` : '';
    const line = `${point(fromMs)}${bend}L${point(toMs)}`;
    paths.area += `M${foot(fromMs)}L${line}L${foot(toMs)}Z`;
    paths[ageClass === 'outside' ? 'over' : 'age'] += `M${line}`;
  }
  return paths;
}

const Path = ({ kind, d }: { kind: string; d: string }) =>
  d === '' ? null : <path class={kind} d={d} />;

type Times = readonly { readonly fromMs: number; readonly toMs: number | null }[];

/** Times as boxes over the height of the strip. */
const Boxes = ({ kind, of, x }: { kind: string; of: Times; x: Projection['x'] }) => {
  const boxes = of.map(({ fromMs, toMs }) => {
    const left = x(fromMs);
    const right = Math.max(left + 2, x(toMs ?? Infinity));
    return `M${round(left)} 0H${round(right)}V${height}H${round(left)}Z`;
  });
  return <Path kind={kind} d={boxes.join('')} />;
};

/** `label` says in words what it shows; without it the text beside the strip does. */
const Strip = ({ label, children }: PropsWithChildren<{ label?: string }>) => (
  <svg
    class="strip"
    viewBox={`0 0 ${width} ${height}`}
    preserveAspectRatio="none"
    role={label === undefined ? undefined : 'img'}
    aria-label={label}
    aria-hidden={label === undefined ? 'true' : undefined}
  >
    {children}
  </svg>
);

function labelOf({ account, largestAgeMs, succeeded, failed, unknown, stops }: AccountRow): string {
  const name = printable(account);
  if (largestAgeMs === null) return `${name}: no age known in the period`;
  const parts = [
    `largest age ${daysOf(largestAgeMs)} days`,
    counted(succeeded, 'rotation'),
    counted(failed + unknown, 'failure'),
  ];
  if (stops.length > 0) parts.push(counted(stops.length, 'suspension'));
  return `${name}: ${parts.join(', ')}`;
}

/** The strip of one account. */
function AgeStrip({ row, scale }: { row: AccountRow; scale: Scale }) {
  const projection = project(scale);
  const { x, y } = projection;
  const { segments, stops, attempts, changes } = row;
  const { area, age, over } = agePaths(segments, projection);
  const outside = changes.filter(({ by }) => by === 'outside');
  const rotations = changes.filter(({ by }) => by !== 'outside');
  const failures = attempts.filter(({ status }) => status === 'failure' || status === 'unknown');
  const mark = (ms: number, from: number, to: number): string => `M${round(x(ms))} ${from}V${to}`;
  const changed = (those: typeof changes, length: number): string =>
    those.map(({ timeMs }) => mark(timeMs, height - length, height)).join('');
  return (
    <Strip label={labelOf(row)}>
      <Boxes kind="exempted" of={segments.filter((one) => one.ageClass === 'exempt')} x={x} />
      <Boxes kind="unknown" of={segments.filter(({ ageMs }) => ageMs === null)} x={x} />
      <Boxes kind="stop" of={stops} x={x} />
      <Path kind="area" d={area} />
      <path class="limit" d={`M0 ${round(y(1))}H${width}`} />
      <Path kind="age" d={age} />
      <Path kind="age over" d={over} />
      <Path kind="changed" d={changed(rotations, 8)} />
      <Path kind="outside" d={changed(outside, 14)} />
      <Path kind="failed" d={failures.map((one) => mark(one.intendedAtMs, 0, 8)).join('')} />
    </Strip>
  );
}

/** From the bottom of the band to its top. */
const bandVerdicts = ['compliant', 'exempt', 'unknown', 'overdue'] as const;

/** How many of many accounts were judged how on each day, one above the other. */
function DensityBand({ rows, scale }: { rows: readonly AccountRow[]; scale: Scale }) {
  const days = dailyCounts(rows);
  const { x } = project(scale);
  const y = (count: number): string => round(height - (count / rows.length) * height);
  const worst = (verdict: DayVerdict): number =>
    Math.max(0, ...days.map((counts) => counts[verdict]));
  const label =
    `${counted(rows.length, 'account')}: on the worst day ${worst('overdue')} overdue, ` +
    `${worst('unknown')} unknown, ${worst('exempt')} exempt`;
  return (
    <Strip label={label}>
      {bandVerdicts.map((verdict, index) => {
        const boxes = days.map((counts) => {
          if (counts[verdict] === 0) return '';
          const { day } = counts;
          const below = bandVerdicts.slice(0, index).reduce((sum, one) => sum + counts[one], 0);
          const [bottom, top] = [y(below), y(below + counts[verdict])];
          const [left, right] = [round(x(day * dayMs)), round(x((day + 1) * dayMs))];
          return `M${left} ${bottom}V${top}H${right}V${bottom}Z`;
        });
        return <Path kind={`day ${verdict}`} d={boxes.join('')} />;
      })}
    </Strip>
  );
}

const months = 'Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec'.split(' ');

/** Beginnings of months, or, where the period has fewer than two, days; at most about twelve. */
function axisMarks({ fromMs, endMs }: Scale): { ms: number; label: string; year: string }[] {
  const starts: number[] = [];
  for (let ms = Math.ceil(fromMs / dayMs) * dayMs; ms < endMs; ms += dayMs)
    if (isoDay(ms).endsWith('-01')) starts.push(ms);
  const isShort = starts.length < 2;
  if (isShort) {
    starts.length = 0;
    const stepMs = Math.max(1, Math.ceil((endMs - fromMs) / dayMs / 8)) * dayMs;
    for (let ms = fromMs; ms < Math.max(endMs, fromMs + 1); ms += stepMs) starts.push(ms);
  }
  const step = Math.ceil(starts.length / 12);
  return starts
    .filter((_, index) => index % step === 0)
    .map((ms) => {
      const [year = '', month, day] = isoDay(ms).split('-');
      const name = months[Number(month) - 1] ?? '';
      if (isShort) return { ms, label: `${name} ${Number(day)}`, year: '' };
      return { ms, label: name, year: name === 'Jan' ? ` ${year}` : '' };
    });
}

/** The time axis of all strips. */
function Axis({ scale }: { scale: Scale }) {
  const { fromMs, endMs } = scale;
  return (
    <svg class="months" aria-hidden="true">
      {axisMarks(scale).map(({ ms, label, year }) => {
        const part = ((ms - fromMs) / Math.max(1, endMs - fromMs)) * 100;
        if (part > 97) return null;
        const percent = `${part.toFixed(1)}%`;
        return (
          <g>
            <line x1={percent} x2={percent} y2="100%" />
            <text x={percent} dx="4" y="1em">
              {label}
              <tspan class="year">{year}</tspan>
            </text>
          </g>
        );
      })}
    </svg>
  );
}

const [slope, middle, full] = ['M0 36L1000 6', 'M500 0V40', 'M0 0H1000V40H0Z'];

const stripLegend = [
  ['age', slope, 'age of the password'],
  ['age over', slope, 'age over the limit'],
  ['limit', 'M0 20H1000', 'limit of the day'],
  ['changed', middle, 'rotated'],
  ['outside', middle, 'changed outside a rotation'],
  ['failed', middle, 'attempt failed or unknown'],
  ['stop', full, 'automatic rotation suspended'],
  ['unknown', full, 'password or age not known'],
  ['exempted', full, 'exempt'],
] as const;

const bandLegend = bandVerdicts.map(
  (verdict) => [`day ${verdict}`, full, `accounts ${verdict} on that day`] as const,
);

const Legend = ({ of }: { of: readonly (readonly [string, string, string])[] }) => (
  <ul class="legend">
    {of.map(([kind, path, text]) => (
      <li>
        <Strip>
          <path class={kind} d={path} />
        </Strip>
        {text}
      </li>
    ))}
  </ul>
);

/** So many accounts have a strip; the others share one band. */
const stripCount = 50;

/** The section with the strip of every account. */
export const Chart = ({ rows, fromMs, endMs }: Report): Child => {
  const scale = { fromMs, endMs };
  const [worst, others] = [rows.slice(0, stripCount), rows.slice(stripCount)];
  return (
    <Section id="chart" title="Password age over the period">
      <p class="soft">
        {others.length === 0
          ? 'One strip per account, most urgent first. '
          : `One strip for each of the ${stripCount} most urgent accounts; one band for the rest. `}
        The number on the right is the largest age in the period, in days.
      </p>
      <Legend of={stripLegend} />
      <div class="strips">
        <div class="row axis">
          <span class="name" />
          <Axis scale={scale} />
          <span class="most">largest</span>
        </div>
        {worst.map((row, index) => (
          <div class="row">
            <a class="name" href={`#${historyId(index)}`} title={printable(row.account)}>
              <Name of={row.account} />
            </a>
            <AgeStrip row={row} scale={scale} />
            <span class={row.days.overdue > 0 ? 'most over' : 'most'}>
              {row.largestAgeMs === null ? 'no date' : `${daysOf(row.largestAgeMs)} d`}
            </span>
          </div>
        ))}
        {others.length > 0 && (
          <div class="row band">
            <span class="name">{`${others.length} other accounts`}</span>
            <DensityBand rows={others} scale={scale} />
            <span class="most" />
          </div>
        )}
      </div>
      {others.length > 0 && <Legend of={bandLegend} />}
    </Section>
  );
};
