// audit list, show, verify and prove: the audit log for readers. They need the folder of the log,
// and neither the signing key nor the store. Without the key they leave no record.

import { openAuditSource, openVerifiers, openWitnesses } from '../app.ts';
import { parseVerifierKey, type Verifier } from '../audit/checkpoint.ts';
import type { Finding } from '../audit/findings.ts';
import { eventCodes } from '../audit/meanings.ts';
import { base64Of } from '../audit/merkle.ts';
import { proveRecord } from '../audit/proof.ts';
import { findRecord, followRecords, listRecords, type RecordFilter } from '../audit/query.ts';
import type { AuditSource } from '../audit/reader.ts';
import type { RecordView } from '../audit/record.ts';
import { type Verification, verifyLog } from '../audit/verify.ts';
import { openClock } from '../clock.ts';
import { suggestion, UsageError } from '../config/errors.ts';
import type { Config } from '../config/load.ts';
import { failures } from '../rotation/failure.ts';
import { isoTime, parseEnd, parseWhen } from '../time.ts';
import { readConfig, recordReading } from './context.ts';
import { readGivenFile, writeNewFile } from './files.ts';
import { drained, paintFor, print, printTable, type Shell, tell } from './terminal.ts';

type ListFlags = Pick<
  RecordFilter,
  'account' | 'outcome' | 'event' | 'actor' | 'open' | 'reverse'
> & { since?: string; until?: string; number?: number; follow?: boolean };

type Opened = { readonly config: Config; readonly source: AuditSource };

async function open(shell: Shell): Promise<Opened> {
  const config = await readConfig(shell);
  return { config, source: await openAuditSource(config, openClock()) };
}

/** Records the command that shows records (PCI DSS 10.2.1.3). Reading begins no log. */
async function recordCommand(shell: Shell, { config, source }: Opened): Promise<void> {
  if ((await source.segments()).length === 0) return;
  const event = { code: 'log.read', detail: shell.args.join(' ') } as const;
  await recordReading(shell, config, (audit, trigger) => audit.append([{ ...event, trigger }]));
}

export async function auditList(shell: Shell, flags: ListFlags): Promise<number> {
  const filter = filterOf(flags, openClock().nowMs());
  const opened = await open(shell);
  if (flags.follow && (flags.reverse || flags.open))
    throw new UsageError('--follow excludes --reverse and --open.');
  // It can end without notice, after months. A list does not contain its own record.
  if (flags.follow) await recordCommand(shell, opened);
  const controller = new AbortController();
  const unsubscribe = shell.onSignal(() => controller.abort());
  const signal = AbortSignal.any([controller.signal, shell.outputClosed]);
  const { source } = opened;
  const found = flags.follow ? listAndFollow(source, filter, signal) : listRecords(source, filter);
  try {
    await printRecords(shell, found, signal, flags.follow === true);
  } finally {
    unsubscribe();
  }
  if (flags.follow) return 0;
  await recordCommand(shell, opened);
  return controller.signal.aborted ? 1 : 0;
}

/** What is there, then each new record, until `signal` is aborted. */
async function* listAndFollow(source: AuditSource, filter: RecordFilter, signal: AbortSignal) {
  const cursor = { segment: '', position: 0 };
  yield* listRecords(source, filter, cursor);
  yield* followRecords(source, filter, { clock: openClock(), signal, cursor });
}

async function printRecords(
  shell: Shell,
  records: ReturnType<typeof listRecords>,
  signal: AbortSignal,
  isEndless: boolean,
): Promise<void> {
  const { json, quiet } = shell.flags;
  // A table needs all its rows to be aligned; a pipe gets each record as it is found.
  const isTable = shell.stdout.isTTY === true && !json && !isEndless;
  const rows: RecordView[] = [];
  for await (const { line, view } of records) {
    if (signal.aborted) return;
    if (isTable) rows.push(view);
    else print(shell, json ? line : cellsOf(view).join('\t'));
    await drained(shell);
  }
  if (rows.length > 0)
    printTable(
      shell,
      ['TIME', 'EVENT', 'ACCOUNT', 'RESULT', 'WHO', 'ID'],
      // The sequence number is shorter than the uid; `audit show` accepts both.
      rows.map((view) => cellsOf({ ...view, uid: String(view.sequence) })),
    );
  else if (isTable && !quiet) tell(shell, 'No record matches.');
}

function cellsOf(view: RecordView): string[] {
  const { timeMs, code, account, status, reason, actor, requestedBy, uid } = view;
  return [isoTime(timeMs), code, account ?? '-', reason ?? status, requestedBy ?? actor, uid].map(
    (cell) => cell.replace(/\p{Cc}/gu, '?'),
  );
}

function filterOf(flags: ListFlags, nowMs: number): RecordFilter {
  const { account, outcome, event, actor, open, reverse, number: last } = flags;
  const isEvent = event === undefined || eventCodes.some((code) => code === event);
  if (!isEvent) throw new UsageError(`Unknown event ${event}. ${suggestion(event, eventCodes)}`);
  const outcomes = ['success', 'failure', 'unknown', 'started', ...Object.keys(failures)];
  if (outcome !== undefined && !outcomes.includes(outcome))
    throw new UsageError(`Unknown outcome ${outcome}. ${suggestion(outcome, outcomes)}`);
  const timeOf = (flag: string, text?: string, parse = parseWhen): number | undefined => {
    const ms = text === undefined ? undefined : parse(text, nowMs);
    if (ms !== null) return ms;
    throw new UsageError(
      `${flag} takes an ISO date or time, or words such as "90 days ago", "yesterday" or "12h".`,
    );
  };
  const sinceMs = timeOf('--since', flags.since);
  const untilMs = timeOf('--until', flags.until, parseEnd);
  return { account, outcome, event, actor, sinceMs, untilMs, open, last, reverse };
}

const noRecord = (id: string): UsageError =>
  new UsageError(`There is no record ${id}. \`audit list\` prints the uid of each record.`);

export async function auditShow(shell: Shell, _: object, id: string): Promise<void> {
  const opened = await open(shell);
  const found = await findRecord(opened.source, id);
  if (!found) throw noRecord(id);
  const { line } = found;
  print(shell, shell.flags.json ? line : JSON.stringify(JSON.parse(line), null, 2));
  await recordCommand(shell, opened);
}

export async function auditVerify(
  shell: Shell,
  flags: { consistentWith?: string[]; key?: string[]; witnessPolicy?: string },
): Promise<number> {
  const { config, source } = await open(shell);
  const clients = await openWitnesses(config);
  const required = parsePolicy(flags.witnessPolicy, clients.length);
  const found = await verifyLog(source, {
    verifiers: await verifiersFor(shell, config, flags.key),
    consistentWith: readCheckpoints(shell, flags),
    witnesses: { clients, required },
    nowMs: openClock().nowMs(),
  });
  const { state, records: size, root, exitCode } = found;
  if (shell.flags.json) print(shell, JSON.stringify(verificationJson(found)));
  else if (!shell.flags.quiet || exitCode !== 0) printVerification(shell, found);
  if (size > 0)
    await recordReading(shell, config, (audit, trigger) =>
      audit.append([{ code: 'log.verified', state, size, root, trigger }]),
    );
  return exitCode;
}

/** How many of the configured witnesses must have cosigned. */
function parsePolicy(policy: string | undefined, count: number): number | undefined {
  if (policy === undefined) return undefined;
  const [, required = 0, all = 0] = /^(\d{1,4})-of-(\d{1,4})$/.exec(policy)?.map(Number) ?? [];
  if (count === 0)
    throw new UsageError('--witness-policy needs witnesses: audit.witnesses names none.');
  if (all !== count || required < 1 || required > all)
    throw new UsageError(
      `--witness-policy takes K-of-${count}, with K from 1 to ${count}: audit.witnesses names ` +
        `${count}.`,
    );
  return required;
}

/** `verify --json`: an interface. Times are ISO 8601, hashes base64. */
function verificationJson(found: Verification) {
  const { newest, cosignatures, firstTimeMs, lastTimeMs, findings, ...rest } = found;
  const timeOf = (ms: number | null): string | null => (ms === null ? null : isoTime(ms));
  return {
    ...rest,
    newest: newest && {
      origin: newest.origin,
      size: newest.size,
      root: base64Of(newest.root),
      text: newest.text,
    },
    cosignatures: cosignatures.map(({ witness, verifierKey, timeMs }) => {
      return { witness, verifierKey, time: isoTime(timeMs) };
    }),
    firstTime: timeOf(firstTimeMs),
    lastTime: timeOf(lastTimeMs),
    findings: findings.map(({ acknowledgement, ...finding }) => {
      if (acknowledgement === undefined) return finding;
      const { timeMs, ...acknowledged } = acknowledgement;
      return { ...finding, acknowledgement: { ...acknowledged, time: isoTime(timeMs) } };
    }),
  };
}

function printVerification(shell: Shell, found: Verification): void {
  const { green, yellow, red } = paintFor(shell, shell.stdout);
  const colour = { intact: green, incomplete: yellow, altered: red }[found.state];
  const { records, checkpoints, sealedRecords, root, archivedRecords: archived } = found;
  const sealed = `${checkpoints} checkpoints sign ${sealedRecords} of them`;
  const lines = [
    `${colour(found.state)}: ${records} records; ${sealed}; root ${root}`,
    ...(archived > 0 ? [`The first ${archived} records are archived.`] : []),
    ...found.findings.map(findingLine),
    ...notShown(found),
    ...found.keys.map((key) => `Signed by ${key}.`),
    ...found.cosignatures.map(
      ({ witness, timeMs }) =>
        `Cosigned by ${witness} at ${isoTime(timeMs)}, up to ${found.newest?.size} records.`,
    ),
    ...found.anchors.map((size) => `Continues the given checkpoint of ${size} records.`),
  ];
  for (const line of lines) print(shell, line);
}

function findingLine({ level, kind, message, id, acknowledgement }: Finding): string {
  const line = `${level}: ${kind}: ${message}`;
  if (acknowledgement === undefined) return level === 'altered' ? line : `${line} [${id}]`;
  const { by, note, sequence } = acknowledgement;
  return `${line}. Acknowledged by ${by} in record ${sequence}: ${note}`;
}

/** How many findings of each kind are not in the list. */
function notShown({ counts, findings }: Verification): string[] {
  return Object.entries(counts).flatMap(([kind, count]) => {
    const more = count - findings.filter((finding) => finding.kind === kind).length;
    return more > 0 ? [`${more} more findings of the kind ${kind} are not shown.`] : [];
  });
}

export async function auditProve(
  shell: Shell,
  { out }: { out?: string },
  id: string,
): Promise<number> {
  const opened = await open(shell);
  const proof = await proveRecord(opened.source, id);
  if (proof === null) throw noRecord(id);
  if (proof === 'unsealed') {
    tell(shell, `No checkpoint signs record ${id} yet. The next run writes one.`);
    return 1;
  }
  if (out === undefined) print(shell, proof.replace(/\n$/, ''));
  else {
    writeNewFile(shell, '--out', out, proof);
    if (!shell.flags.quiet)
      tell(shell, `Wrote ${out}. docs/AUDIT.md describes how other programs check it.`);
  }
  await recordCommand(shell, opened);
  return 0;
}

/** The checkpoints that --consistent-with names. */
export const readCheckpoints = (
  shell: Shell,
  { consistentWith = [] }: { consistentWith?: readonly string[] },
): string[] =>
  consistentWith.map((file) => readGivenFile(shell, '--consistent-with', file).toString('utf8'));

/** The keys given with --key, else the ones that the configuration names. */
export async function verifiersFor(
  shell: Shell,
  config: Config,
  given: readonly string[] = [],
): Promise<Verifier[]> {
  if (given.length === 0) return openVerifiers(config, openClock());
  return given.map((text) => {
    const key = parseKey(text) ?? parseKey(readGivenFile(shell, '--key', text).toString('utf8'));
    if (key) return key;
    throw new UsageError('--key takes a verifier key (name+id+base64), or a file that holds one.');
  });
}

function parseKey(text: string): Verifier | null {
  try {
    return parseVerifierKey(text);
  } catch {
    return null;
  }
}
