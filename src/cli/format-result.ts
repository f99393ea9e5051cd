// How a result is told: the plain line of a pipe, and the words for a person.

import type { Account } from '../app.ts';
import type { Config } from '../config/load.ts';
import type { Reason } from '../rotation/failure.ts';
import { dueAtMs } from '../rotation/policy.ts';
import { isGood } from '../rotation/result.ts';
import { rounded } from '../rotation/result-json.ts';
import type { Result } from '../rotation/state.ts';
import { isoDay } from '../time.ts';
import type { Paint } from './terminal.ts';

/** Tab-separated, for pipes: account, outcome, certainty, reason, age in days, version, next step. */
export function plainLine({
  account,
  outcome,
  certainty,
  reason,
  ageDays,
  versionId,
  next,
}: Result): string {
  const age = ageDays === undefined ? '' : String(rounded(ageDays));
  return [account, outcome, certainty, reason ?? '', age, versionId ?? '', next].join('\t');
}

/** For a person: what happened; and after a failure what the password is now, and what to do. */
export function humanLines(
  result: Result,
  at: { account: Account | undefined; config: Config; paint: Paint },
): string[] {
  const { paint } = at;
  const { account, reason, detail, next } = result;
  if (isGood(result))
    return [`${paint.green('✓')} ${paint.bold(account)}  ${goodWords(result, at)}`];
  const colour = result.certainty === 'unchanged' ? paint.yellow : paint.red;
  return [
    `${colour('✗')} ${paint.bold(account)}  ${colour(reason === undefined ? result.outcome : `${result.certainty}: ${reason}`)}${detail === undefined ? '' : ` (${detail})`}`,
    `    the password now: ${passwordNow(result)}`,
    ...(next === '' ? [] : [`    next: ${next}`]),
  ];
}

function goodWords(
  result: Result,
  { account, config }: { account: Account | undefined; config: Config },
): string {
  const age = result.ageDays === undefined ? '' : daysWord(result.ageDays);
  const window =
    result.deadWindowMs === undefined
      ? ''
      : `; consumers read a dead password for ${Math.round(result.deadWindowMs)} ms`;
  const policy = account?.policy ?? config.policy;
  switch (result.outcome) {
    case 'rotated':
      return `rotated; the new password is in AWSCURRENT and has logged in. The old one was ${age} old${window}.`;
    case 'recovered':
      return 'recovered: the password of an unfinished rotation is in AWSCURRENT.';
    case 'not-due': {
      if (result.ageDays === undefined) return 'not due.';
      const sinceMs = result.startedAtMs - result.ageDays * 86_400_000;
      return `not due: ${age} old; next rotation on ${isoDay(dueAtMs(sinceMs, policy))}.`;
    }
    case 'checked':
      return `would rotate: secret, attempt record, API token, login and session are in order${age === '' ? '' : `; the password is ${age} old`}.`;
    default:
      return `${result.detail ?? 'settled'}.`;
  }
}

const daysWord = (days: number): string =>
  Math.floor(days) === 1 ? '1 day' : `${Math.floor(days)} days`;

/** In words; what only some reasons know is said by reason. */
function passwordNow({ certainty, reason }: Pick<Result, 'certainty' | 'reason'>): string {
  switch (certainty) {
    case 'rotated':
    case 'not-due':
      return 'in AWSCURRENT.';
    case 'unchanged':
      return 'the old one, in AWSCURRENT; nothing happened at Verizon.';
    case 'changed':
      return changedWords(reason);
    case 'in-doubt':
      return 'either the old one or a new one; it is not known yet which.';
    case 'lost':
      return 'a new one that nobody has, unless a receipt does.';
    case 'stopped':
      return stoppedWords(reason);
  }
}

function changedWords(reason: Reason | undefined): string {
  if (reason === 'not-promoted') return 'the new one, safe under AWSPENDING; AWSCURRENT is dead.';
  if (reason === 'verify-unavailable')
    return 'the new one, in AWSCURRENT; it has not logged in yet.';
  return 'a new one, which only the receipt holds.';
}

function stoppedWords(reason: Reason | undefined): string {
  if (reason === 'login-refused')
    return 'not the one in AWSCURRENT: ThingSpace refused it. Nothing was changed.';
  if (reason === 'verify-refused')
    return 'unclear: the new one is in AWSCURRENT, and ThingSpace refused it.';
  if (reason === 'store-conflict')
    return 'the one under AWSPENDING; somebody else changed AWSCURRENT meanwhile.';
  return 'not certain; nothing is tried until a person has looked.';
}
