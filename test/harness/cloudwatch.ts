// Evaluates the alarms of infra/alarms.yaml over the lines that a function wrote, as CloudWatch
// does (documentation read 2026-11): periods, statistics, metric math with SUM, MAX and FILL, M out
// of N, and missing data. Stricter in one point: a line that is not correct EMF throws, and
// CloudWatch would ignore it.

import { type Fields, type Json, readTemplate } from './cloudformation.ts';

/** One value of a metric. */
export type Datum = {
  readonly namespace: string;
  readonly name: string;
  readonly dimensions: Readonly<Record<string, string>>;
  /** UTC milliseconds. */
  readonly atMs: number;
  readonly value: number;
};

type Emf = {
  _aws: {
    Timestamp: number;
    CloudWatchMetrics: {
      Namespace: string;
      Dimensions: string[][];
      Metrics: { Name: string }[];
    }[];
  };
} & Record<string, unknown>;

/** The data in the EMF lines among these lines of a log. */
export function dataOf(lines: readonly string[]): Datum[] {
  return lines
    .filter((line) => line.includes('"_aws"'))
    .map((line) => JSON.parse(line) as Emf)
    .flatMap((line) =>
      line._aws.CloudWatchMetrics.flatMap(({ Namespace, Dimensions, Metrics }) =>
        Dimensions.flatMap((names) =>
          Metrics.map(({ Name }): Datum => {
            const value = line[Name];
            const dimensions = names.map((name) => [name, line[name]] as const);
            if (typeof value !== 'number' || !Number.isFinite(value))
              throw new Error(`not EMF: ${Name} has no value in ${JSON.stringify(line)}`);
            if (dimensions.some(([, label]) => typeof label !== 'string' || label === ''))
              throw new Error(`not EMF: a dimension has no value in ${JSON.stringify(line)}`);
            return {
              namespace: Namespace,
              name: Name,
              dimensions: Object.fromEntries(dimensions) as Record<string, string>,
              atMs: line._aws.Timestamp,
              value,
            };
          }),
        ),
      ),
    );
}

type Metric = Pick<Datum, 'namespace' | 'name' | 'dimensions'>;
/** Of one period; undefined where there is no datum. */
type Values = Readonly<Record<string, number | undefined>>;

type Alarm = {
  readonly name: string;
  readonly metrics: readonly { id: string; metric: Metric; stat: string }[];
  /** The value of one period. */
  readonly valueOf: (values: Values) => number | undefined;
  readonly periodMs: number;
  readonly periods: number;
  readonly needed: number;
  readonly isBreaching: (value: number) => boolean;
  readonly missing: string;
};

/** The values of the template's parameters. An import has its own name as its value. */
type Parameters = Readonly<Record<string, string>>;

export type Alarms = {
  readonly names: readonly string[];
  /** The alarms that are in ALARM at this time, UTC milliseconds. */
  inAlarm(data: readonly Datum[], atMs: number): string[];
};

export function openAlarms(file: string, given: Parameters): Alarms {
  const { Parameters: declared = {}, Resources } = readTemplate(file);
  const defaults = Object.entries(declared).map(([name, { Default }]) => [name, String(Default)]);
  const parameters = { ...Object.fromEntries(defaults), ...given };
  const alarms = Object.entries(Resources)
    .filter(([, { Type }]) => Type === 'AWS::CloudWatch::Alarm')
    .map(([name, { Properties = {} }]) => alarmOf(name, resolved(Properties, parameters)));
  return {
    names: alarms.map(({ name }) => name),
    inAlarm: (data, atMs) => {
      const series = new Map<string, Datum[]>();
      for (const one of data) series.set(keyOf(one), [...(series.get(keyOf(one)) ?? []), one]);
      return alarms.flatMap((one) => (isOn(one, series, atMs) ? [one.name] : []));
    },
  };
}

/** The same properties without Ref, Sub and ImportValue. */
function resolved(value: Fields, parameters: Parameters): Fields;
function resolved(value: Json, parameters: Parameters): Json;
function resolved(value: Json, parameters: Parameters): Json {
  if (Array.isArray(value)) return value.map((one) => resolved(one, parameters));
  if (typeof value !== 'object' || value === null) return value;
  const { Ref, 'Fn::Sub': text, 'Fn::ImportValue': imported } = value;
  if (typeof Ref === 'string') return parameters[Ref] ?? Ref;
  if (typeof text === 'string')
    return text.replace(/\$\{(\w+)\}/g, (_, name: string) => parameters[name] ?? name);
  if (imported !== undefined) return resolved(imported, parameters);
  return Object.fromEntries(
    Object.entries(value).map(([key, one]) => [key, resolved(one, parameters)]),
  );
}

const comparisons: Record<string, (value: number, threshold: number) => boolean> = {
  GreaterThanThreshold: (value, threshold) => value > threshold,
  LessThanThreshold: (value, threshold) => value < threshold,
};

function alarmOf(name: string, fields: Fields): Alarm {
  const queries: readonly Fields[] = (fields['Metrics'] as Fields[] | undefined) ?? [
    { Id: 'only', MetricStat: { Metric: fields, ...fields, Stat: fields['Statistic'] ?? null } },
  ];
  const metrics = queries.flatMap(({ Id, MetricStat }) => {
    if (MetricStat === undefined) return [];
    const { Metric, Stat } = MetricStat as Fields;
    return [{ id: String(Id), metric: metricOf(Metric as Fields), stat: String(Stat) }];
  });
  const periods = queries.flatMap(({ MetricStat }) => (MetricStat as Fields)?.['Period'] ?? []);
  if (new Set(periods).size !== 1) throw new Error(`${name} mixes periods`);
  const expression = queries.find(({ Expression }) => Expression !== undefined)?.['Expression'];
  const compare = comparisons[String(fields['ComparisonOperator'])];
  if (!compare) throw new Error(`${name}: unknown comparison`);
  const evaluated = Number(fields['EvaluationPeriods']);
  return {
    name,
    metrics,
    valueOf: expression === undefined ? ({ only }) => only : mathOf(String(expression)),
    periodMs: Number(periods[0]) * 1000,
    periods: evaluated,
    needed: Number(fields['DatapointsToAlarm'] ?? evaluated),
    isBreaching: (value) => compare(value, Number(fields['Threshold'])),
    missing: String(fields['TreatMissingData']),
  };
}

function metricOf({ Namespace, MetricName, Dimensions = [] }: Fields): Metric {
  const dimensions = (Dimensions as { Name: string; Value: string }[]).map(
    ({ Name, Value }) => [Name, Value] as const,
  );
  return {
    namespace: String(Namespace),
    name: String(MetricName),
    dimensions: Object.fromEntries(dimensions),
  };
}

/** Sums and differences of terms: `a`, `FILL(a, 0)`, `SUM([a, b])`, `MAX([a, b])`. */
function mathOf(expression: string): Alarm['valueOf'] {
  const term = /\s*([+-]?)\s*(?:FILL\((\w+), *(\d+)\)|(SUM|MAX)\(\[([\w, ]+)\]\)|(\w+))\s*/y;
  const terms: ((values: Values) => number | undefined)[] = [];
  while (term.lastIndex < expression.length) {
    const found = term.exec(expression);
    if (!found) throw new Error(`unknown metric math: ${expression}`);
    const [, sign, filled, filler, name, list = '', id] = found;
    const operands = (filled ?? id ?? list).split(/, */);
    terms.push((values) => {
      const known = operands.flatMap((one) => values[one] ?? []);
      const value =
        name === 'MAX' && known.length > 0
          ? Math.max(...known)
          : known.reduce<number | undefined>((sum, one) => (sum ?? 0) + one, undefined);
      const given = value ?? (filled === undefined ? undefined : Number(filler));
      return given === undefined ? undefined : sign === '-' ? -given : given;
    });
  }
  return (values) =>
    terms
      .map((one) => one(values))
      .reduce((sum, one) => (sum === undefined || one === undefined ? undefined : sum + one), 0);
}

const keyOf = ({ namespace, name, dimensions }: Metric): string =>
  JSON.stringify([namespace, name, Object.entries(dimensions).sort()]);

function isOn(alarm: Alarm, series: ReadonlyMap<string, readonly Datum[]>, atMs: number): boolean {
  const { periodMs, periods, missing, needed } = alarm;
  const endMs = (Math.floor(atMs / periodMs) + 1) * periodMs;
  const metrics = alarm.metrics.map((one) => ({ ...one, data: series.get(keyOf(one.metric)) }));
  const states = Array.from({ length: periods }, (_, index) => {
    const fromMs = endMs - (index + 1) * periodMs;
    const values = metrics.map(({ id, stat, data = [] }) => {
      const within = data.filter((one) => one.atMs >= fromMs && one.atMs < fromMs + periodMs);
      return [id, statistic(stat, within)] as const;
    });
    const value = alarm.valueOf(Object.fromEntries(values));
    return value === undefined ? missing === 'breaching' : alarm.isBreaching(value);
  });
  return states.filter(Boolean).length >= needed;
}

function statistic(stat: string, data: readonly Datum[]): number | undefined {
  const values = data.map(({ value }) => value);
  if (values.length === 0) return undefined;
  switch (stat) {
    case 'Sum':
      return values.reduce((sum, value) => sum + value, 0);
    case 'Maximum':
      return Math.max(...values);
    case 'Minimum':
      return Math.min(...values);
    case 'SampleCount':
      return values.length;
    default:
      throw new Error(`unknown statistic ${stat}`);
  }
}
