// How a result is printed: one tab-separated line for a pipe, sentences for a person.

import type { Ask } from '../app.ts';
import { explanationLines } from '../rotation/catalogue.ts';
import { rounded } from '../rotation/result-json.ts';
import type { Result } from '../rotation/state.ts';
import { worstExitCode } from '../scheduler/run-log.ts';
import { counted } from '../text.ts';
import { isoDay } from '../time.ts';
import { columnsOf, paintFor, type Shell, wrapped } from './terminal.ts';

/** For pipes: account, outcome, certainty, reason, age in days, version, next step. */
export function plainLine(result: Result): string {
  const { account, outcome, certainty, reason = '', ageDays, versionId = '', next } = result;
  const age = ageDays === undefined ? '' : rounded(ageDays);
  return [account, outcome, certainty, reason, age, versionId, next].join('\t');
}

/** For a person: what happened; after a failure the state of the password, and what to do. */
export function humanLines(shell: Shell, result: Result, purpose: Ask['purpose']): string[] {
  const { green, yellow, red, bold } = paintFor(shell, shell.stdout);
  const { account, reason, detail, facts } = result;
  const columns = columnsOf(shell.stdout) - 2;
  if (reason === undefined) {
    const [first = '', ...rest] = wrapped(columns, `${account}  ${goodText(result, purpose)}`, 4);
    return [`${green('✓')} ${bold(account)}${first.slice(account.length)}`, ...rest];
  }
  const colour = result.certainty === 'unchanged' ? yellow : red;
  const known = { ...facts, account, detail, config: shell.flags.config };
  const wrap = (line: string): string[] => wrapped(columns, line);
  const [first = '', ...rest] = explanationLines(reason, known, wrap);
  return [`${colour('✗')} ${colour(first)}`, ...rest];
}

function goodText(result: Result, purpose: Ask['purpose']): string {
  const { outcome, ageDays, deadWindowMs, detail } = result;
  const age =
    ageDays === undefined ? 'of unknown age' : `${counted(Math.floor(ageDays), 'day')} old`;
  const outOfDate =
    deadWindowMs === undefined
      ? ''
      : ` Stored password was out of date for ${Math.round(deadWindowMs)} ms.`;
  switch (outcome) {
    case 'rotated':
      return (
        'rotated: the new password is current, and a login verified it. ' +
        `The old password was ${age}.${outOfDate}`
      );
    case 'recovered':
      return 'recovered: the new password of the unfinished rotation is current.';
    case 'not-due':
      return detail === undefined ? `not due: ${age}. ${nextOf(result)}` : `${detail}.`;
    case 'checked':
      return (
        'ready: secret, attempt record, API token, login and session work. The password is ' +
        `${age}. ${nextOf(result)}`
      );
    default:
      if (detail !== undefined) return `${detail}.`;
      return purpose === 'resume'
        ? 'resumed: the next run rotates the account when it is due.'
        : 'healthy: no rotation is in progress.';
  }
}

/** What the next run does, which decides by the same date. */
function nextOf({ dueAtMs, endedAtMs }: Result): string {
  if (dueAtMs === undefined) return '';
  return dueAtMs <= endedAtMs
    ? 'It is due: the next run rotates it.'
    : `The next rotation is on ${isoDay(dueAtMs)}.`;
}

/** `3 accounts: 1 rotated, 1 not due, 1 suspended. Exit code 4.` */
export function summary(results: readonly Result[]): string {
  const counts = new Map<string, number>();
  for (const { outcome } of results) {
    const word = outcomeWords[outcome];
    counts.set(word, (counts.get(word) ?? 0) + 1);
  }
  const listed = [...counts].map(([word, count]) => `${count} ${word}`).join(', ');
  return `${results.length} accounts: ${listed}. Exit code ${worstExitCode(results)}.`;
}

/** Outcomes as people read them. */
export const outcomeWords: Record<Result['outcome'], string> = {
  rotated: 'rotated',
  recovered: 'recovered',
  'not-due': 'not due',
  checked: 'ready',
  settled: 'healthy',
  failed: 'failed',
  stopped: 'suspended',
};
