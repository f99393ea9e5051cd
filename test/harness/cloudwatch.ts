// Evaluates the alarms of infra/alarms.yaml over the lines that a function wrote, as CloudWatch
// does (documentation read 2026-11): periods, statistics, M out of N, and missing data. Stricter in
// one point: a line that is not correct EMF throws, and CloudWatch would ignore it. Of metric math
// it knows the two forms of version 0.1: a sum of metrics, and metrics subtracted from another one.

import { join } from 'node:path';
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
          Metrics.flatMap(({ Name }): Datum[] => {
            const values = [line[Name]].flat();
            const dimensions = names.map((name) => [name, line[name]] as const);
            if (!values.every((value) => Number.isFinite(value)))
              throw new Error(`not EMF: ${Name} has no value in ${JSON.stringify(line)}`);
            if (dimensions.some(([, label]) => typeof label !== 'string' || label === ''))
              throw new Error(`not EMF: a dimension has no value in ${JSON.stringify(line)}`);
            return values.map((value) => ({
              namespace: Namespace,
              name: Name,
              dimensions: Object.fromEntries(dimensions) as Record<string, string>,
              atMs: line._aws.Timestamp,
              value: Number(value),
            }));
          }),
        ),
      ),
    );
}

type Metric = Pick<Datum, 'namespace' | 'name' | 'dimensions'>;

/** One metric of the value of an alarm, which is their sum. */
type Term = { readonly metric: Metric; readonly stat: string; readonly factor: 1 | -1 };

type Alarm = {
  readonly name: string;
  readonly terms: readonly Term[];
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

const ownFile = join(import.meta.dirname, '../../infra/alarms.yaml');

/** The alarms of the stage `live`. */
export function openAlarms(file = ownFile): Alarms {
  const given: Parameters = { Stage: 'live', LateDaysLeft: '12', UrgentDaysLeft: '5' };
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
  const compare = comparisons[String(fields['ComparisonOperator'])];
  if (!compare) throw new Error(`${name}: not evaluated here`);
  const periods = Number(fields['EvaluationPeriods']);
  const { terms, periodMs } = termsOf(name, fields);
  return {
    name,
    terms,
    periodMs,
    periods,
    needed: Number(fields['DatapointsToAlarm'] ?? periods),
    isBreaching: (value) => compare(value, Number(fields['Threshold'])),
    missing: String(fields['TreatMissingData']),
  };
}

type Query = {
  readonly Id: string;
  readonly Expression?: string;
  readonly MetricStat?: { readonly Metric: Fields; readonly Period: number; readonly Stat: string };
};

const expressionForm = /^(SUM\(\[\w+(, \w+)*\]\)|FILL\(\w+, 0\)( - FILL\(\w+, 0\))*)$/;

/** What an alarm compares with its threshold in each period: one metric, or metric math. */
function termsOf(name: string, fields: Fields): Pick<Alarm, 'terms' | 'periodMs'> {
  if (fields['Metrics'] === undefined) {
    const term: Term = { metric: metricOf(fields), stat: String(fields['Statistic']), factor: 1 };
    return { terms: [term], periodMs: Number(fields['Period']) * 1000 };
  }
  const queries = fields['Metrics'] as unknown as Query[];
  const expression = queries.find(({ Expression }) => Expression)?.Expression ?? '';
  if (!expressionForm.test(expression)) throw new Error(`${name}: not evaluated here`);
  const metrics = new Map(queries.map(({ Id, MetricStat }) => [Id, MetricStat]));
  const found = [...expression.matchAll(/(- FILL\()?\b([a-z]\w*)/g)].map(([, minus, id = '']) => {
    const query = metrics.get(id);
    if (!query) throw new Error(`${name}: there is no metric ${id}`);
    return { query, factor: minus === undefined ? 1 : -1 } as const;
  });
  return {
    terms: found.map(({ query: { Metric, Stat }, factor }) => ({
      metric: metricOf(Metric),
      stat: Stat,
      factor,
    })),
    periodMs: Number(found[0]?.query.Period) * 1000,
  };
}

function metricOf(fields: Fields): Metric {
  const dimensions = (fields['Dimensions'] ?? []) as { Name: string; Value: string }[];
  return {
    namespace: String(fields['Namespace']),
    name: String(fields['MetricName']),
    dimensions: Object.fromEntries(dimensions.map(({ Name, Value }) => [Name, Value])),
  };
}

const keyOf = ({ namespace, name, dimensions }: Metric): string =>
  JSON.stringify([namespace, name, Object.entries(dimensions).sort()]);

function isOn(alarm: Alarm, series: ReadonlyMap<string, readonly Datum[]>, atMs: number): boolean {
  const { periodMs, periods, missing, needed } = alarm;
  const endMs = (Math.floor(atMs / periodMs) + 1) * periodMs;
  const states = Array.from({ length: periods }, (_, index) => {
    const fromMs = endMs - (index + 1) * periodMs;
    // A metric without a value counts as 0, which is in favour of an alarm of several metrics.
    const values = alarm.terms.flatMap(({ metric, stat, factor }) => {
      const data = series.get(keyOf(metric)) ?? [];
      const within = data.filter((one) => one.atMs >= fromMs && one.atMs < fromMs + periodMs);
      const value = statistic(stat, within);
      return value === undefined ? [] : [factor * value];
    });
    if (values.length === 0) return missing === 'breaching';
    return alarm.isBreaching(values.reduce((sum, value) => sum + value, 0));
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
