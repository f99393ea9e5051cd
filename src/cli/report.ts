// audit report: report.html, report.csv and report.json of one period, and the proofs of the
// sample, in one new folder.

import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { type Account, openAuditSource, type Rotator } from '../app.ts';
import { recordFacts } from '../audit/facts.ts';
import { openClock } from '../clock.ts';
import { UsageError } from '../config/errors.ts';
import type { Config } from '../config/load.ts';
import { type StoreFact, storeFactOf } from '../report/account.ts';
import { type BuiltReport, buildReport, type Report, type ReportOptions } from '../report/build.ts';
import { reportCsv, reportJson } from '../report/export.ts';
import { reportHtml } from '../report/html.tsx';
import { verdictText } from '../report/text.ts';
import { osErrorText } from '../rotation/failure.ts';
import { isoDay, parseEnd, parseWhen } from '../time.ts';
import { version } from '../version.ts';
import { readCheckpoints, verifiersFor } from './audit.ts';
import { readConfig, readingTrigger, recordReading, withSession } from './context.ts';
import { readStatuses } from './status.ts';
import { type CommonFlags, print, type Shell, tell } from './terminal.ts';

export type ReportFlags = CommonFlags & {
  from: string;
  to: string;
  out: string;
  consistentWith?: string[];
  key?: string[];
  offline?: boolean;
  sample?: string;
};

type Period = { readonly fromMs: number; readonly toMs: number; readonly nowMs: number };

export async function auditReport(shell: Shell, flags: ReportFlags): Promise<number> {
  const folder = freshFolder(shell, flags.out);
  return createReport(shell, flags, async (built) => write(shell, flags, folder, built));
}

/**
 * Builds the report, passes it to `write`, and records that; returns what `write` does. Throws a
 * UsageError.
 */
export async function createReport(
  shell: Shell,
  flags: ReportFlags,
  write: (built: BuiltReport, config: Config) => Promise<number>,
): Promise<number> {
  const period = parsePeriod(flags);
  // For the machine of an auditor: the folder of the log is enough, and no record is appended.
  if (flags.offline) {
    const config = await readConfig(shell, flags);
    const accounts = config.discover ? null : config.accounts;
    const report = await build(shell, flags, config, period, { accounts, store: null });
    return write(report, config);
  }
  const config = await readConfig(shell, flags);
  return withSession(
    shell,
    flags,
    async ({ rotator }) => {
      const accounts = await rotator.accounts();
      const facts = { accounts, policy: config.policy };
      const isWritable = await recordReading(shell, config, (audit) => recordFacts(audit, facts));
      const store = await readStore(rotator, accounts);
      const built = await build(shell, flags, config, period, { accounts, store });
      const exitCode = await write(built, config);
      const sha256 = createHash('sha256').update(reportJson(built.report)).digest('hex');
      const { fromMs, toMs } = period;
      const dates = { from: isoDay(fromMs), to: isoDay(toMs - 1) };
      const event = { code: 'report.exported', ...dates, sha256 } as const;
      const trigger = readingTrigger(shell);
      if (isWritable)
        await recordReading(shell, config, (audit) => audit.append([{ ...event, trigger }]));
      return exitCode;
    },
    'read',
  );
}

function parsePeriod({ from, to }: ReportFlags): Period {
  const nowMs = openClock().nowMs();
  const parse = (flag: string, text: string, parseTime = parseWhen): number => {
    const ms = parseTime(text, nowMs);
    if (ms !== null) return ms;
    throw new UsageError(`${flag} takes an ISO date, or words such as "90 days ago".`);
  };
  const [fromMs, toMs] = [parse('--from', from), parse('--to', to, parseEnd)];
  if (fromMs >= toMs)
    throw new UsageError('--from takes a date that is not after the one of --to.');
  return { fromMs, toMs, nowMs };
}

/**
 * A folder that does not exist, or is empty. It is created last, so that a failed report leaves
 * none.
 */
function freshFolder({ cwd }: Shell, out: string): string {
  const folder = resolve(cwd, out);
  try {
    if (!existsSync(folder) || readdirSync(folder).length === 0) return folder;
  } catch (error) {
    throw new UsageError(`--out ${folder}: ${osErrorText(error)}.`);
  }
  throw new UsageError(`--out ${folder} is not empty. No file is overwritten.`);
}

async function build(
  shell: Shell,
  flags: ReportFlags,
  config: Config,
  period: Period,
  known: { accounts: readonly Account[] | null; store: ReportOptions['store'] },
): Promise<BuiltReport> {
  const verifiers = await verifiersFor(shell, config, flags.key ?? []);
  const count = flags.sample === undefined ? undefined : Number(flags.sample);
  if (count !== undefined && !(Number.isInteger(count) && count >= 0 && count <= 1_000))
    throw new UsageError('--sample takes an integer from 0 to 1000.');
  return buildReport({
    source: await openAuditSource(config, openClock()),
    verifiers,
    ...period,
    origin: config.audit.origin ?? verifiers[0]?.name ?? 'unknown',
    productVersion: version,
    accounts: known.accounts?.map(({ name }) => name) ?? null,
    store: known.store,
    policy: config.policy,
    consistentWith: readCheckpoints(shell, flags),
    sampleCount: count,
  });
}

async function readStore(
  rotator: Rotator,
  accounts: readonly Account[],
): Promise<ReadonlyMap<string, StoreFact>> {
  const statuses = await readStatuses(rotator, accounts);
  return new Map(statuses.map((status) => [status.account, storeFactOf(status)]));
}

/** The three files of a report; the page names the SHA-256 of the others. */
export function reportFiles(report: Report): { readonly file: string; readonly text: string }[] {
  const others = [
    { file: 'report.csv', text: reportCsv(report) },
    { file: 'report.json', text: reportJson(report) },
  ];
  const hashes = Object.fromEntries(
    others.map(({ file, text }) => [file, createHash('sha256').update(text).digest('hex')]),
  );
  return [{ file: 'report.html', text: reportHtml(report, hashes) }, ...others];
}

/** Returns the exit code of the verification: the report of an altered log is written, too. */
function write(
  shell: Shell,
  flags: ReportFlags,
  folder: string,
  { report, proofs }: BuiltReport,
): number {
  const files = [...reportFiles(report), ...proofs];
  try {
    mkdirSync(folder, { recursive: true });
    for (const { file, text } of files) writeFileSync(join(folder, file), text, { flag: 'wx' });
  } catch (error) {
    throw new UsageError(`--out ${folder}: ${osErrorText(error)}.`);
  }
  const { state, exitCode } = report.integrity;
  const written = files.map(({ file }) => join(folder, file));
  if (flags.json)
    print(shell, JSON.stringify({ files: written, verdict: report.verdict, log: state }));
  else if (!flags.quiet) for (const line of [verdictText(report), ...written]) print(shell, line);
  if (exitCode !== 0)
    tell(shell, `The audit log is ${state}. \`audit verify\` prints the findings.`);
  return exitCode;
}
