// Alert rules, judged by Debian's promtool on what a real registry exposed. The clock of promtool
// begins at 0, so every date is counted from the first scrape.

import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const rules = join(import.meta.dirname, '../../infra/prometheus/alerts.yaml');
const rulesText = readFileSync(rules, 'utf8');

/** One answer of `/metrics`; `null`: the target did not answer. */
export type Scrape = {
  readonly atMs: number;
  readonly text: string | null;
  /** `gone`: service discovery does not list the target any more. Default: `ops-1:9464`. */
  readonly instance?: string;
};

/** The alerts that fire at the last scrape, and those that ever fired, each as `name account`. */
export type Fired = { readonly now: string[]; readonly ever: string[] };

/** Throws what promtool says about the syntax of the rules. */
export const checkRules = (): string =>
  execFileSync('promtool', ['check', 'rules', rules], { encoding: 'utf8' });

/** Judges the rules on these scrapes, which are `stepMs` apart. */
export function judgeRules(scrapes: readonly Scrape[], stepMs: number): Fired {
  const folder = mkdtempSync(join(tmpdir(), 'promtool-'));
  try {
    const firstMs = Math.min(...scrapes.map(({ atMs }) => atMs));
    const lastMs = Math.max(...scrapes.map(({ atMs }) => atMs));
    const seconds = (ms: number): string => `${Math.round(ms / 1000)}s`;
    const firing = 'ALERTS{alertstate="firing"}';
    const ask = (vector: string) => ({
      expr: `group by (alertname, account) (${vector})`,
      eval_time: seconds(lastMs - firstMs),
      exp_samples: [],
    });
    const file = join(folder, 'test.json');
    const document = {
      rule_files: [rules],
      evaluation_interval: seconds(stepMs),
      tests: [
        {
          interval: seconds(stepMs),
          input_series: seriesOf(scrapes, firstMs, stepMs),
          promql_expr_test: [ask(firing), ask(`max_over_time(${firing}[1000d])`)],
        },
      ],
    };
    writeFileSync(file, JSON.stringify(document));
    const { stdout, stderr } = spawnSync('promtool', ['test', 'rules', file], {
      encoding: 'utf8',
      maxBuffer: 1e8,
    });
    const answers = `${stdout}${stderr}`.split(/^ {4}expr: /m);
    if (answers.length === 1 && !answers[0]?.includes('SUCCESS')) throw new Error(answers[0]);
    const isEver = (answer: string): boolean => answer.includes('max_over_time');
    const alertsIn = (answer = ''): string[] =>
      [...answer.matchAll(/\{([^{}]*alertname="[^{}]*)\} 1E\+00/g)]
        .map(([, labels = '']) =>
          [/alertname="([^"]*)"/, /account="([^"]*)"/]
            .flatMap((label) => label.exec(labels)?.[1] ?? [])
            .join(' '),
        )
        .sort();
    return {
      now: alertsIn(answers.slice(1).find((answer) => !isEver(answer))),
      ever: alertsIn(answers.find(isEver)),
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The metrics that the rules name; promtool takes seconds for the others. */
const isAsked = (name: string): boolean => rulesText.includes(name);

/** The series of all scrapes. A series that a scrape does not have any more is stale. */
function seriesOf(scrapes: readonly Scrape[], firstMs: number, stepMs: number) {
  const series = new Map<string, string[]>();
  const stepOf = ({ atMs }: Scrape): number => Math.round((atMs - firstMs) / stepMs);
  const length = Math.max(...scrapes.map(stepOf)) + 1;
  const valuesOf = (name: string): string[] => {
    const values = series.get(name) ?? Array.from({ length }, () => '_');
    series.set(name, values);
    return values;
  };
  for (const scrape of scrapes) {
    const { text, instance = 'ops-1:9464' } = scrape;
    const target = `job="thingspace-rotator",instance="${instance}"`;
    valuesOf(`up{${target}}`)[stepOf(scrape)] = text === null ? '0' : '1';
    for (const [, name = '', labels = '', value = ''] of (text ?? '').matchAll(
      /^(\w+)(?:\{(.*)\})? (\S+)$/gm,
    )) {
      if (!isAsked(name)) continue;
      const shifted = name.endsWith('_timestamp_seconds') ? Number(value) - firstMs / 1000 : value;
      const all = [labels, target].filter((part) => part !== '').join(',');
      valuesOf(`${name}{${all}}`)[stepOf(scrape)] = String(shifted);
    }
  }
  for (const values of series.values())
    for (let step = 1; step < values.length; step += 1)
      if (values[step] === '_' && values[step - 1] !== '_' && values[step - 1] !== 'stale')
        values[step] = 'stale';
  return [...series].map(([name, values]) => ({ series: name, values: values.join(' ') }));
}
