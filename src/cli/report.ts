// audit report: report.html, report.csv and report.json of one period, and the sample's proofs, in a folder of their own.

import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { type Account, openAuditSource, type Rotator } from '../app.ts';
import { openClock } from '../clock.ts';
import { UsageError } from '../config/errors.ts';
import type { Config } from '../config/load.ts';
import type { StoreFact } from '../report/account.ts';
import { type BuiltReport, buildReport, type ReportOptions } from '../report/build.ts';
import { reportCsv, reportJson } from '../report/export.ts';
import { reportHtml } from '../report/html.tsx';
import { verdictText } from '../report/text.ts';
import { isoDay, parseWhen } from '../time.ts';
import { version } from '../version.ts';
import { verifiersFor } from './audit.ts';
import { readConfig, withSession } from './context.ts';
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
  const period = periodOf(flags);
  const folder = freshFolder(shell, flags.out);
  // For an auditor's machine: the log's folder alone, no store, and no new record.
  if (flags.offline) {
    const config = await readConfig(shell, flags);
    const accounts = config.discover ? null : config.accounts;
    return write(
      shell,
      flags,
      folder,
      await built(shell, flags, config, period, { accounts, store: null }),
    );
  }
  return withSession(shell, flags, async ({ config, rotator, trigger }) => {
    const accounts = await rotator.accounts();
    const store = await factsOf(rotator, accounts);
    const report = await built(shell, flags, config, period, { accounts, store });
    const exitCode = write(shell, flags, folder, report);
    const sha256 = createHash('sha256').update(reportJson(report.report)).digest('hex');
    const dates = { from: isoDay(period.fromMs), to: isoDay(period.toMs) };
    await rotator.audit.append([
      { code: 'report.exported', ...dates, sha256, trigger: trigger('manual') },
    ]);
    await rotator.audit.checkpoint();
    return exitCode;
  });
}

function periodOf({ from, to }: ReportFlags): Period {
  const nowMs = openClock().nowMs();
  const [fromMs, toMs] = [parseWhen(from, nowMs), parseWhen(to, nowMs)];
  const wrong = fromMs === null ? '--from' : toMs === null ? '--to' : null;
  if (fromMs === null || toMs === null)
    throw new UsageError(`${wrong} takes an ISO date, or words such as "90 days ago"`);
  if (fromMs >= toMs) throw new UsageError('--from is not before --to');
  return { fromMs, toMs, nowMs };
}

/** A folder that is not there, or empty; made last, so that a report that fails leaves none. */
function freshFolder({ cwd }: Shell, out: string): string {
  const folder = resolve(cwd, out);
  try {
    if (!existsSync(folder) || readdirSync(folder).length === 0) return folder;
  } catch {
    throw new UsageError(`--out ${folder} is no folder`);
  }
  throw new UsageError(`--out ${folder} is not empty; nothing is overwritten`);
}

async function built(
  shell: Shell,
  flags: ReportFlags,
  config: Config,
  period: Period,
  known: { accounts: readonly Account[] | null; store: ReportOptions['store'] },
): Promise<BuiltReport> {
  const verifiers = await verifiersFor(shell, config, flags.key ?? []);
  const count = flags.sample === undefined ? undefined : Number(flags.sample);
  if (count !== undefined && !(Number.isInteger(count) && count >= 0 && count <= 1_000))
    throw new UsageError('--sample takes 0 to 1000');
  const exemptions = (known.accounts ?? []).flatMap(({ name, exempt }) =>
    exempt ? [{ account: name, ...exempt }] : [],
  );
  return buildReport({
    source: await openAuditSource(config, openClock()),
    verifiers,
    ...period,
    origin: config.audit.origin ?? verifiers[0]?.name ?? 'unknown',
    productVersion: version,
    accounts: known.accounts?.map(({ name }) => name) ?? null,
    store: known.store,
    policy: config.policy,
    exemptions,
    consistentWith: (flags.consistentWith ?? []).map((file) => readCheckpoint(shell, file)),
    ...(count === undefined ? {} : { sample: { count } }),
  });
}

function readCheckpoint({ cwd }: Shell, file: string): string {
  try {
    return readFileSync(resolve(cwd, file), 'utf8');
  } catch (error) {
    throw new UsageError(
      `--consistent-with ${file}: ${(error as NodeJS.ErrnoException).code ?? 'cannot be read'}`,
    );
  }
}

async function factsOf(
  rotator: Rotator,
  accounts: readonly Account[],
): Promise<ReadonlyMap<string, StoreFact>> {
  const statuses = await readStatuses(rotator, accounts);
  return new Map(
    statuses.map(({ account, state, reason, passwordSinceMs }) => [
      account,
      {
        passwordSinceMs: passwordSinceMs ?? null,
        state: state === 'settled' || reason === undefined ? state : `${state}: ${reason}`,
      },
    ]),
  );
}

/** The exit code is that of the log's verification: a report over an altered log is made, and must not look like a good one. */
function write(
  shell: Shell,
  flags: ReportFlags,
  folder: string,
  { report, proofs }: BuiltReport,
): number {
  const files = [
    { file: 'report.html', text: reportHtml(report) },
    { file: 'report.csv', text: reportCsv(report) },
    { file: 'report.json', text: reportJson(report) },
    ...proofs,
  ];
  try {
    mkdirSync(folder, { recursive: true });
    for (const { file, text } of files) writeFileSync(join(folder, file), text, { flag: 'wx' });
  } catch (error) {
    throw new UsageError(
      `cannot write in --out ${folder}: ${(error as NodeJS.ErrnoException).code ?? 'an unexpected error'}`,
    );
  }
  const { state, exitCode } = report.integrity;
  const written = files.map(({ file }) => join(folder, file));
  if (flags.json)
    print(shell, JSON.stringify({ files: written, verdict: report.verdict, log: state }));
  else if (!flags.quiet) {
    print(shell, verdictText(report));
    for (const file of written.slice(0, 3)) print(shell, file);
    for (const { file } of proofs) print(shell, join(folder, file));
  }
  if (exitCode !== 0) tell(shell, `the audit log is ${state}: audit verify says why`);
  return exitCode;
}
