// What a command throws, told on standard error, and its exit code.

import { UsageError } from '../config/errors.ts';
import { explanationLines } from '../rotation/catalogue.ts';
import { exitCodeOf, Failure, failures } from '../rotation/failure.ts';
import { type Shell, tell } from './terminal.ts';

/** The exit code of what a command threw, told with what to do next. Bugs are thrown on. */
export function exitCodeFor(shell: Shell, error: unknown): number {
  if (error instanceof Failure) {
    const { certainty } = failures[error.reason];
    for (const line of explanationLines(error.reason, { ...error.facts, detail: error.message }))
      tell(shell, line);
    return exitCodeOf(certainty, false);
  }
  if (!(error instanceof UsageError)) throw error;
  for (const problem of error.problems) tell(shell, `error: ${problem}`);
  return 2;
}
