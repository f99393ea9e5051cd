// The real parser of the command line, without the commands behind it: it accepts or rejects
// arguments.

import { Writable } from 'node:stream';
import type { Command } from 'commander';
import { createProgram } from '../../src/cli/program.ts';
import type { Shell } from '../../src/cli/terminal.ts';

export type Parser = {
  readonly program: Command;
  /** Parses a command as a POSIX shell would pass it. Throws what commander throws. */
  parse(command: string): void;
};

export function openParser(): Parser {
  const stream = new Writable({ write: (_chunk, _encoding, done) => done() });
  const shell = { stdout: stream, stderr: stream } as unknown as Shell;
  const program = createProgram(
    shell,
    async () => 0,
    () => {},
  );
  for (const command of commandsOf(program))
    if (command.commands.length === 0) command.action(() => {});
  return {
    program,
    parse: (command) => {
      const [, ...words] = shellWords(command);
      program.parse(words, { from: 'user' });
    },
  };
}

/** A command and all commands below it. */
export function commandsOf(command: Command): Command[] {
  return [command, ...command.commands.flatMap(commandsOf)];
}

/** The words of a simple command: quotes group, and nothing is expanded. */
function shellWords(command: string): string[] {
  const words = command.matchAll(/(?:[^\s'"\\]|\\.|'[^']*'|"[^"]*")+/g);
  return [...words].map(([word]) =>
    word.replace(/'([^']*)'|"([^"]*)"|\\(.)/g, (_, single, double, escaped) =>
      String(single ?? double ?? escaped),
    ),
  );
}
