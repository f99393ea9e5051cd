// explain: what a reason means and what to do, without any contact to a store or to ThingSpace.

import { suggestion, UsageError } from '../config/errors.ts';
import { explain as explainReason, explanationLines, reasons } from '../rotation/catalogue.ts';
import { exitCodeOf, failures } from '../rotation/failure.ts';
import { notes } from '../rotation/notes.ts';
import { columnsOf, print, printTable, type Shell, wrapped } from './terminal.ts';

/** Prints one reason, or the titles of all reasons. Throws a UsageError for an unknown reason. */
export async function explain(shell: Shell, _: object, name?: string): Promise<void> {
  const { json, config } = shell.flags;
  if (name === undefined) {
    const all = reasons.map((reason) => ({ reason, title: explainReason(reason).title }));
    const rows = all.map(({ reason, title }) => [reason, title]);
    if (json) print(shell, JSON.stringify(all));
    else printTable(shell, ['REASON', 'TITLE'], rows);
    return;
  }
  const reason = reasons.find((known) => known === name);
  if (reason === undefined)
    throw new UsageError(
      `Unknown reason ${name}. ${suggestion(name, reasons)} \`explain\` lists all reasons.`,
    );
  const exitCode = exitCodeOf(failures[reason].certainty, false);
  const note = notes[reason];
  if (json) {
    print(shell, JSON.stringify({ ...explainReason(reason, { config }), note, exitCode }));
    return;
  }
  const wrap = (line: string): string[] => wrapped(columnsOf(shell.stdout), line);
  // The last line refers to this command.
  for (const line of explanationLines(reason, { config }, wrap).slice(0, -1)) print(shell, line);
  for (const line of wrap(`  Note: ${note}`)) print(shell, line);
  print(shell, `  Exit code: ${exitCode}`);
}
