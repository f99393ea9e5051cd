// What a command throws, told on standard error, and its exit code.

import { UsageError } from '../config/errors.ts';
import { exitCodeOf, Failure, failures } from '../rotation/failure.ts';
import { type Shell, tell } from './terminal.ts';

/** The exit code of what a command threw, told with what to do next. Bugs are thrown on. */
export function exitCodeFor(shell: Shell, error: unknown): number {
  if (error instanceof Failure) {
    const { certainty, next } = failures[error.reason];
    tell(shell, `error: ${error.reason}: ${error.message}`);
    tell(shell, `next: ${next}`);
    return exitCodeOf(certainty, false);
  }
  if (!(error instanceof UsageError)) throw error;
  for (const problem of error.problems) tell(shell, `error: ${problem}`);
  return 2;
}
