// audit list, show, verify, prove, acknowledge: the audit log for readers. Only `acknowledge` writes; the others need neither
// the signing key nor the store, only the folder.

import { readFileSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { openAuditSource, openVerifiers } from '../app.ts';
import { parseVerifierKey, type Verifier } from '../audit/checkpoint.ts';
import { proveRecord } from '../audit/proof.ts';
import {
  type Cursor,
  findRecord,
  followRecords,
  listRecords,
  type RecordFilter,
} from '../audit/query.ts';
import type { RecordView } from '../audit/record.ts';
import { eventCodes } from '../audit/schema.ts';
import { verifyLog } from '../audit/verify.ts';
import { openClock } from '../clock.ts';
import { suggestion, UsageError } from '../config/errors.ts';
import type { Config } from '../config/load.ts';
import { Failure, failures } from '../rotation/failure.ts';
import { isoTime, parseWhen } from '../time.ts';
import { readConfig, withSession } from './context.ts';
import {
  boundedText,
  type CommonFlags,
  drained,
  paintFor,
  print,
  printTable,
  type Shell,
  tell,
} from './terminal.ts';

export type ListFlags = CommonFlags & {
  account?: string;
  outcome?: string;
  event?: string;
  actor?: string;
  since?: string;
  until?: string;
  open?: boolean;
  number?: string;
  follow?: boolean;
  reverse?: boolean;
};

export async function auditList(shell: Shell, flags: ListFlags): Promise<number> {
  const clock = openClock();
  const filter = filterOf(flags, clock.nowMs());
  const source = await openAuditSource(await readConfig(shell, flags), openClock());
  if (flags.follow && (flags.reverse || flags.open))
    throw new UsageError('--follow goes with neither --reverse nor --open');
  const cursor: Cursor = { segment: '', position: 0 };
  if (!flags.follow) {
    const rows: RecordView[] = [];
    for await (const { line, view } of listRecords(source, filter, cursor)) {
      if (shell.outputClosed.aborted) return 0;
      // A table needs all its rows to be aligned; a pipe gets each record as it is found.
      if (shell.stdout.isTTY && !flags.json) rows.push(view);
      else printRecord(shell, flags, line, view);
      await drained(shell);
    }
    if (rows.length > 0)
      printTable(shell, ['TIME', 'EVENT', 'ACCOUNT', 'RESULT', 'WHO', 'ID'], rows.map(cellsOf));
    else if (shell.stdout.isTTY && !flags.json && !flags.quiet) tell(shell, 'no record matches');
    return 0;
  }
  const controller = new AbortController();
  const takeBack = shell.onSignal(() => controller.abort());
  const signal = AbortSignal.any([controller.signal, shell.outputClosed]);
  try {
    for await (const { line, view } of listRecords(source, filter, cursor))
      printRecord(shell, flags, line, view);
    for await (const { line, view } of followRecords(source, filter, { clock, signal, cursor })) {
      printRecord(shell, flags, line, view);
      await drained(shell);
    }
  } finally {
    takeBack();
  }
  return 0;
}

function printRecord(shell: Shell, { json }: CommonFlags, line: string, view: RecordView): void {
  print(shell, json ? line : cellsOf(view).join('\t'));
}

function cellsOf(view: RecordView): string[] {
  const { timeMs, code, account, status, reason, actor, requestedBy, uid } = view;
  return [isoTime(timeMs), code, account ?? '-', reason ?? status, requestedBy ?? actor, uid].map(
    (cell) => cell.replace(/\p{Cc}/gu, '?'),
  );
}

function filterOf(flags: ListFlags, nowMs: number): RecordFilter {
  const { account, outcome, event, actor, open, number, reverse } = flags;
  if (event !== undefined && !(eventCodes as readonly string[]).includes(event))
    throw new UsageError(`unknown event ${event}; ${suggestion(event, eventCodes)}`);
  const outcomes = ['success', 'failure', 'unknown', 'started', ...Object.keys(failures)];
  if (outcome !== undefined && !outcomes.includes(outcome))
    throw new UsageError(`unknown outcome ${outcome}; ${suggestion(outcome, outcomes)}`);
  if (number !== undefined && !/^\d{1,9}$/.test(number))
    throw new UsageError('-n takes a whole number');
  const [sinceMs, untilMs] = [
    whenOf('--since', flags.since, nowMs),
    whenOf('--until', flags.until, nowMs),
  ];
  return {
    ...(account === undefined ? {} : { account }),
    ...(outcome === undefined ? {} : { outcome }),
    ...(event === undefined ? {} : { event }),
    ...(actor === undefined ? {} : { actor }),
    ...(sinceMs === undefined ? {} : { sinceMs }),
    ...(untilMs === undefined ? {} : { untilMs }),
    ...(open ? { open } : {}),
    ...(number === undefined ? {} : { last: Number(number) }),
    ...(reverse ? { reverse } : {}),
  };
}

function whenOf(flag: string, text: string | undefined, nowMs: number): number | undefined {
  if (text === undefined) return undefined;
  const ms = parseWhen(text, nowMs);
  if (ms === null)
    throw new UsageError(
      `${flag} takes an ISO date or time, or words such as "90 days ago", "yesterday", "12h"`,
    );
  return ms;
}

export async function auditShow(shell: Shell, id: string, flags: CommonFlags): Promise<number> {
  const found = await findRecord(
    await openAuditSource(await readConfig(shell, flags), openClock()),
    id,
  );
  if (!found)
    throw new UsageError(`no record ${id}: audit list names them (a uid, or a sequence number)`);
  print(shell, flags.json ? found.line : JSON.stringify(JSON.parse(found.line), null, 2));
  return 0;
}

export async function auditVerify(
  shell: Shell,
  flags: CommonFlags & { consistentWith?: string[]; key?: string[] },
): Promise<number> {
  const config = await readConfig(shell, flags);
  const verifiers = await verifiersFor(shell, config, flags.key ?? []);
  const consistentWith = (flags.consistentWith ?? []).map((file) =>
    readText(shell, '--consistent-with', file),
  );
  const found = await verifyLog(await openAuditSource(config, openClock()), {
    verifiers,
    consistentWith,
    nowMs: openClock().nowMs(),
  });
  if (flags.json) {
    const { firstTimeMs, lastTimeMs, ...rest } = found;
    const times = {
      firstTime: firstTimeMs === null ? null : isoTime(firstTimeMs),
      lastTime: lastTimeMs === null ? null : isoTime(lastTimeMs),
    };
    print(shell, JSON.stringify({ ...rest, ...times }));
    return found.exitCode;
  }
  const paint = paintFor(shell, shell.stdout);
  const colour =
    found.state === 'intact' ? paint.green : found.state === 'altered' ? paint.red : paint.yellow;
  if (!flags.quiet || found.exitCode !== 0) {
    print(
      shell,
      `${colour(found.state)}: ${found.records} records, ${found.sealedRecords} of them sealed by ${found.checkpoints} checkpoints, root ${found.root}`,
    );
    for (const { level, kind, message } of found.findings)
      print(shell, `${level}: ${kind}: ${message}`);
    if (found.more > 0) print(shell, `and ${found.more} more`);
    for (const key of found.keys) print(shell, `signed by ${key}`);
    for (const size of found.anchors)
      print(shell, `continues the given checkpoint of ${size} records`);
  }
  return found.exitCode;
}

export async function auditProve(
  shell: Shell,
  id: string,
  flags: CommonFlags & { out?: string },
): Promise<number> {
  const proof = await proveRecord(
    await openAuditSource(await readConfig(shell, flags), openClock()),
    id,
  );
  if (proof === null)
    throw new UsageError(`no record ${id}: audit list names them (a uid, or a sequence number)`);
  if (proof === 'unsealed') {
    tell(shell, `record ${id} is after the last checkpoint; the next run signs one`);
    return 1;
  }
  if (flags.out === undefined) {
    if (!shell.outputClosed.aborted) shell.stdout.write(proof);
    return 0;
  }
  writeNew(resolve(shell.cwd, flags.out), proof);
  if (!flags.quiet)
    tell(shell, `wrote ${flags.out}; docs/AUDIT.md says how to check it without this program`);
  return 0;
}

/** A person has looked at an exception of the report. */
export async function auditAcknowledge(
  shell: Shell,
  id: string,
  flags: CommonFlags & { note: string; account?: string },
): Promise<number> {
  const note = boundedText('--note', flags.note);
  return withSession(shell, flags, async ({ rotator, trigger }) => {
    const { account } = flags;
    const event = {
      code: 'exception.acknowledged',
      exceptionId: id,
      note,
      trigger: trigger('manual'),
    } as const;
    await rotator.audit.append([{ ...event, ...(account === undefined ? {} : { account }) }]);
    await rotator.audit.checkpoint();
    if (!flags.quiet)
      print(shell, flags.json ? JSON.stringify({ acknowledged: id }) : `acknowledged ${id}`);
    return 0;
  });
}

/** The keys given with --key, else the ones that the configuration names. */
export async function verifiersFor(
  shell: Shell,
  config: Config,
  given: readonly string[],
): Promise<Verifier[]> {
  if (given.length === 0) return openVerifiers(config, openClock());
  return given.map((key) =>
    verifierFrom(
      key.includes('+') && !key.includes('/') ? key : readText(shell, '--key', key, key),
    ),
  );
}

function verifierFrom(text: string): Verifier {
  try {
    return parseVerifierKey(text);
  } catch {
    throw new UsageError(`--key is not a verifier key (name+id+base64), nor a file that holds one`);
  }
}

/** A file's text; `otherwise` where there is no such file. */
function readText({ cwd }: Shell, flag: string, file: string, otherwise?: string): string {
  try {
    return readFileSync(resolve(cwd, file), 'utf8');
  } catch (error) {
    if (otherwise !== undefined) return otherwise;
    throw new UsageError(
      `${flag} ${file}: ${(error as NodeJS.ErrnoException).code ?? 'cannot be read'}`,
    );
  }
}

/** Never overwrites. */
function writeNew(file: string, text: string): void {
  try {
    writeFileSync(file, text, { flag: 'wx' });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST') throw new UsageError(`${file} exists; nothing is overwritten`);
    throw new Failure('audit-unavailable', `cannot write ${file}: ${code}`);
  }
}
