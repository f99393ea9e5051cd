// audit report: report.html, report.csv and report.json of one period, and the proofs of the
// sample, in one new folder.

import { hash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { type Account, openAuditSource } from '../app.ts';
import { recordFacts } from '../audit/facts.ts';
import { openClock } from '../clock.ts';
import { explainErrors, UsageError } from '../config/errors.ts';
import type { Config } from '../config/load.ts';
import { storeFactOf } from '../report/account.ts';
import { type BuiltReport, buildReport, type Report, type ReportOptions } from '../report/build.ts';
import { reportCsv, reportJson } from '../report/export.ts';
import { reportHtml } from '../report/html.tsx';
import { verdictText } from '../report/text.ts';
import { isoDay, parseEnd, parseWhen } from '../time.ts';
import { readCheckpoints, verifiersFor } from './audit.ts';
import { readConfig, recordReading, withSession } from './context.ts';
import { readStatuses } from './status.ts';
import { printResult, type Shell, tell } from './terminal.ts';

export type ReportFlags = {
  from: string;
  to: string;
  out: string;
  consistentWith?: string[];
  key?: string[];
  offline?: boolean;
  sample?: number;
};

export async function auditReport(shell: Shell, flags: ReportFlags): Promise<number> {
  // It is created last, so that a failed report leaves no folder.
  const folder = resolve(shell.cwd, flags.out);
  const isFresh = (): boolean => !existsSync(folder) || readdirSync(folder).length === 0;
  if (!explainErrors(`--out ${folder}`, isFresh))
    throw new UsageError(`--out ${folder} is not empty. No file is overwritten.`);
  return createReport(shell, flags, ({ report, proofs }) => {
    const files = [...reportFiles(report), ...proofs];
    explainErrors(`--out ${folder}`, () => {
      mkdirSync(folder, { recursive: true });
      for (const { file, text } of files) writeFileSync(join(folder, file), text, { flag: 'wx' });
    });
    const written = files.map(({ file }) => join(folder, file));
    const document = { files: written, verdict: report.verdict, log: report.integrity.state };
    printResult(shell, document, verdictText(report), ...written);
  });
}

/**
 * Builds the report, passes it to `write`, and records that. Returns the exit code of the
 * verification: the report of an altered log is written, too. Throws a UsageError.
 */
export async function createReport(
  shell: Shell,
  flags: ReportFlags,
  write: (built: BuiltReport, config: Config) => void | Promise<void>,
): Promise<number> {
  const period = parsePeriod(flags);
  const config = await readConfig(shell);
  const create = async (accounts: readonly Account[] | null, store: ReportOptions['store']) => {
    const verifiers = await verifiersFor(shell, config, flags.key);
    const built = await buildReport({
      source: await openAuditSource(config, openClock()),
      verifiers,
      ...period,
      origin: config.audit.origin ?? verifiers[0]?.name ?? 'unknown',
      accounts: accounts?.map(({ name }) => name) ?? null,
      store,
      policy: config.policy,
      consistentWith: readCheckpoints(shell, flags),
      sampleCount: flags.sample,
    });
    await write(built, config);
    const { state, exitCode } = built.report.integrity;
    if (exitCode !== 0)
      tell(shell, `The audit log is ${state}. \`audit verify\` prints the findings.`);
    return built.report;
  };
  // For the machine of an auditor: the folder of the log is enough, and no record is appended.
  if (flags.offline)
    return (await create(config.discover ? null : config.accounts, null)).integrity.exitCode;
  return withSession(
    shell,
    async ({ rotator }) => {
      const accounts = await rotator.accounts();
      const facts = { accounts, policy: config.policy };
      const isWritable = await recordReading(shell, config, (audit) => recordFacts(audit, facts));
      const statuses = await readStatuses(rotator, accounts);
      const store = new Map(statuses.map((status) => [status.account, storeFactOf(status)]));
      const report = await create(accounts, store);
      const sha256 = hash('sha256', reportJson(report));
      const dates = { from: isoDay(period.fromMs), to: isoDay(period.toMs - 1) };
      const event = { code: 'report.exported', ...dates, sha256 } as const;
      if (isWritable)
        await recordReading(shell, config, (audit, trigger) =>
          audit.append([{ ...event, trigger }]),
        );
      return report.integrity.exitCode;
    },
    'read',
  );
}

function parsePeriod({ from, to }: ReportFlags) {
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

/** The three files of a report; the page names the SHA-256 of the others. */
export function reportFiles(report: Report): { readonly file: string; readonly text: string }[] {
  const others = [
    { file: 'report.csv', text: reportCsv(report) },
    { file: 'report.json', text: reportJson(report) },
  ];
  const hashes = others.map(({ file, text }) => [file, hash('sha256', text)]);
  return [{ file: 'report.html', text: reportHtml(report, Object.fromEntries(hashes)) }, ...others];
}
