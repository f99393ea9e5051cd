// notifications: the open problems as their receivers know them, and what a person does about one.
// The service has the same journal open, and sees a new line within a minute.

import { openClock } from '../clock.ts';
import { UsageError } from '../config/errors.ts';
import { parseFreeText } from '../order.ts';
import { type Alert, bySeverity, isAcknowledged } from '../telemetry/notification.ts';
import { openJournal } from '../telemetry/notification-journal.ts';
import { distance, isoTime, parseEnd } from '../time.ts';
import { readConfig } from './context.ts';
import { print, printResult, printTable, type Shell } from './terminal.ts';

/** Lists the open problems, most severe first. Writes nothing. */
export async function notifications(shell: Shell): Promise<void> {
  const { state } = await readJournal(shell);
  const nowMs = openClock().nowMs();
  const messages = [...state.messages.values()];
  const problems = [...state.problems.values()].sort(bySeverity).map((problem) => {
    const waiting = messages.filter(({ alerts }) => alerts.some(({ id }) => id === problem.id));
    return { problem, waitingFor: [...new Set(waiting.flatMap(({ to }) => to))] };
  });
  if (shell.flags.json)
    print(shell, JSON.stringify(problems.map((one) => jsonOf(one.problem, one.waitingFor))));
  else if (problems.length > 0)
    printTable(
      shell,
      ['ID', 'SINCE', 'SEVERITY', 'PROBLEM', 'ABOUT', 'STATUS'],
      problems.map(({ problem: one, waitingFor }) => [
        one.id,
        distance(one.sinceMs - nowMs),
        one.severity,
        one.kind,
        one.account ?? one.subject,
        statusOf(one, waitingFor, nowMs),
      ]),
    );
  else if (!shell.flags.quiet)
    print(shell, 'The journal has no open problem. To check now: `thingspace-rotator status`');
}

function statusOf(problem: Alert, waiting: readonly string[], nowMs: number): string {
  const { acknowledged } = problem;
  if (waiting.length > 0) return `not delivered to ${waiting.join(', ')}`;
  if (!acknowledged || !isAcknowledged(problem, nowMs)) return 'open';
  const { by, reason, untilMs } = acknowledged;
  return untilMs === undefined
    ? `acknowledged by ${by}: ${reason}`
    : `snoozed until ${isoTime(untilMs)} by ${by}: ${reason}`;
}

/** The fields of `notifications --json`; null where there is no value. */
function jsonOf(problem: Alert, undelivered: readonly string[]): object {
  const { id, account, subject, kind, reason, severity, sinceMs, text, next } = problem;
  const { acknowledged } = problem;
  return {
    id,
    account: account ?? null,
    subject,
    kind,
    reason: reason ?? null,
    severity,
    since: isoTime(sinceMs),
    text,
    next: next ?? null,
    undelivered,
    acknowledged: acknowledged
      ? {
          by: acknowledged.by,
          reason: acknowledged.reason,
          at: isoTime(acknowledged.atMs),
          until: acknowledged.untilMs === undefined ? null : isoTime(acknowledged.untilMs),
        }
      : null,
  };
}

/** Acknowledges a problem; with `until` it is urgent again from then on. */
export async function acknowledge(
  shell: Shell,
  flags: { readonly reason: string; readonly until?: string },
  id: string,
): Promise<void> {
  const reason = parseFreeText('--reason', flags.reason);
  const nowMs = openClock().nowMs();
  const untilMs = flags.until === undefined ? undefined : parseEnd(flags.until, nowMs);
  if (untilMs === null || (untilMs !== undefined && untilMs <= nowMs))
    throw new UsageError('--until takes a date in the future, such as 2026-12-24.');
  const { state, append, problems } = await readJournal(shell);
  const problem = [...state.problems.values()].find((one) => one.id === id);
  if (!problem)
    throw new UsageError(
      `There is no open problem ${id}. \`thingspace-rotator notifications\` prints the ids.`,
    );
  const by = shell.user.requestedBy;
  const acknowledged = { reason, by, atMs: nowMs, ...(untilMs !== undefined && { untilMs }) };
  if (!(await append({ problem: id, acknowledged }))) throw new UsageError(problems);
  const about = problem.account ?? problem.subject;
  const what = untilMs === undefined ? 'Acknowledged' : `Snoozed until ${isoTime(untilMs)}`;
  printResult(shell, { acknowledged: id }, `${what}: ${about}, ${problem.kind}.`);
}

/** Throws a UsageError when there is no journal, or when it cannot be read. */
async function readJournal(shell: Shell) {
  const { notify } = await readConfig(shell);
  if (!notify) throw new UsageError('The configuration has no section notify.');
  if (notify.stateFile === undefined)
    throw new UsageError('There is no notify.stateFile, so no other process sees the problems.');
  const problems: string[] = [];
  const onFailure = (detail: string): void => void problems.push(`notify.stateFile ${detail}.`);
  const journal = openJournal({ file: notify.stateFile, clock: openClock(), onFailure });
  await journal.catchUp();
  if (problems.length > 0) throw new UsageError(problems);
  return { ...journal, problems };
}
