// What a command sees of the world: handed in by cli.ts, so that no command looks at the process. Results go to
// standard output, everything else to standard error; what a pipe gets is plain.

import type { Readable, Writable } from 'node:stream';
import { UsageError } from '../config/errors.ts';

export type Stream = Writable & { readonly isTTY?: boolean; readonly columns?: number };

export type Shell = {
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  readonly pid: number;
  /** How this program was called, for the commands it suggests. */
  readonly program: string;
  readonly user: { readonly name: string; readonly uid?: string };
  readonly stdin: Readable & { readonly isTTY?: boolean };
  readonly stdout: Stream;
  readonly stderr: Stream;
  /** Aborted when nobody reads standard output any more. */
  readonly outputClosed: AbortSignal;
  /** Writes one line to standard error, synchronously; never throws. */
  readonly writeLine: (line: string) => void;
  /** Calls `handler` for SIGINT, SIGTERM and SIGHUP instead of ending; the answer takes it back. */
  readonly onSignal: (handler: (signal: string) => void) => () => void;
  /** The published JSON Schema, as a path or URL. */
  readonly schema: string;
};

/** Flags that every command has. */
export type CommonFlags = {
  readonly config?: string;
  readonly json?: boolean;
  readonly quiet?: boolean;
};

/** One line of results. Wait for `drained` where there are many. */
export function print(shell: Shell, line: string): void {
  if (!shell.outputClosed.aborted) shell.stdout.write(`${line}\n`);
}

/** One line for people, on standard error. */
export function tell(shell: Shell, line: string): void {
  shell.stderr.write(`${line}\n`);
}

/** Resolves when standard output takes more, or is closed. */
export function drained(shell: Shell): Promise<void> {
  const { stdout, outputClosed } = shell;
  if (!stdout.writableNeedDrain || outputClosed.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const done = (): void => {
      stdout.off('drain', done);
      outputClosed.removeEventListener('abort', done);
      resolve();
    };
    stdout.once('drain', done);
    outputClosed.addEventListener('abort', done);
  });
}

export type Paint = Readonly<
  Record<'bold' | 'dim' | 'red' | 'green' | 'yellow', (text: string) => string>
>;

/** Colours where they are wanted: NO_COLOR (no-color.org) wins, FORCE_COLOR asks, else a terminal decides. */
export function paintFor({ env }: Shell, stream: Stream): Paint {
  const isForced =
    env['FORCE_COLOR'] !== undefined &&
    env['FORCE_COLOR'] !== '0' &&
    env['FORCE_COLOR'] !== 'false';
  const isWanted =
    !env['NO_COLOR'] && (isForced || (stream.isTTY === true && env['TERM'] !== 'dumb'));
  const code = (on: number, off: number) => (text: string) =>
    isWanted ? `\u001b[${on}m${text}\u001b[${off}m` : text;
  return {
    bold: code(1, 22),
    dim: code(2, 22),
    red: code(31, 39),
    green: code(32, 39),
    yellow: code(33, 39),
  };
}

/** A cell and how to paint it; the paint adds no width. */
export type Cell = string | { readonly text: string; readonly paint: (text: string) => string };

/** A table with aligned columns on a terminal; tab-separated lines without a heading in a pipe. */
export function printTable(
  shell: Shell,
  heading: readonly string[],
  rows: readonly (readonly Cell[])[],
): void {
  const textOf = (cell: Cell): string => (typeof cell === 'string' ? cell : cell.text);
  if (!shell.stdout.isTTY) {
    for (const row of rows)
      print(shell, row.map((cell) => textOf(cell).replace(/[\t\n]/g, ' ')).join('\t'));
    return;
  }
  const paint = paintFor(shell, shell.stdout);
  const widths = heading.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => textOf(row[column] ?? '').length)),
  );
  const line = (cells: readonly Cell[]): string =>
    cells
      .map((cell, column) => {
        const text = textOf(cell);
        const space =
          column === cells.length - 1 ? '' : ' '.repeat((widths[column] ?? 0) - text.length);
        return `${typeof cell === 'string' ? text : cell.paint(text)}${space}`;
      })
      .join('  ')
      .trimEnd();
  print(shell, line(heading.map((text) => (text === '' ? text : { text, paint: paint.bold }))));
  for (const row of rows) print(shell, line(row));
}

/** Everything on standard input, up to a limit. Throws a UsageError beyond it. */
export async function readStdin({ stdin }: Shell, maxBytes = 1_000_000): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of stdin) {
    const bytes = Buffer.from(chunk);
    size += bytes.length;
    if (size > maxBytes) throw new UsageError(`standard input is over ${maxBytes} bytes`);
    chunks.push(bytes);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** Free text that goes into the audit log: bounded, and on one line. */
export function boundedText(flag: string, text: string): string {
  const trimmed = text.trim();
  if (trimmed === '' || trimmed.length > 500 || /\p{Cc}/u.test(trimmed))
    throw new UsageError(`${flag} takes 1 to 500 characters on one line`);
  return trimmed;
}
