// What a command sees of the process; no other file of cli/ uses `process`. Results go to standard
// output, everything else to standard error; a pipe gets plain text.

import { once } from 'node:events';
import { userInfo } from 'node:os';
import { basename, join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { styleText } from 'node:util';
import { UsageError } from '../config/errors.ts';
import { writeLineTo } from '../telemetry/write-line.ts';

export type Stream = Writable & { readonly isTTY?: boolean; readonly columns?: number };

export type Shell = {
  readonly args: readonly string[];
  /** Those that every command has. */
  readonly flags: { readonly config?: string; readonly json?: boolean; readonly quiet?: boolean };
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  readonly pid: number;
  /** How this program was called, for the commands that it prints. */
  readonly program: string;
  /** `requestedBy`: the user who called sudo, as its environment says, else the user. */
  readonly user: { readonly name: string; readonly uid?: string; readonly requestedBy: string };
  /** Whether a terminal is connected, so that a person can be assumed. */
  readonly isAttended: boolean;
  readonly stdin: Readable & { readonly isTTY?: boolean };
  readonly stdout: Stream;
  readonly stderr: Stream;
  /** Aborted when nobody reads standard output any more. */
  readonly outputClosed: AbortSignal;
  /** Writes one line to standard error, synchronously; never throws. */
  readonly writeLine: (line: string) => void;
  /** Calls `handler` for SIGINT, SIGTERM and SIGHUP, until the returned function is called. */
  readonly onSignal: (handler: (signal: string) => void) => () => void;
  /** The published JSON Schema, as a path or URL. */
  readonly schema: string;
};

const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** The shell of this process. `folder` is the one of the entry point: src/ or dist/. */
export function openShell(folder: string): Shell {
  const closed = new AbortController();
  // A reader that ends early (`| head`) must not end a rotation.
  process.stdout.on('error', () => closed.abort());
  process.stderr.on('error', () => {});
  const script = process.argv[1] ?? '';
  return {
    args: process.argv.slice(2),
    flags: {},
    env: process.env,
    cwd: process.cwd(),
    pid: process.pid,
    program: basename(script) === 'cli.js' ? `node ${script}` : 'thingspace-rotator',
    user: currentUser(),
    isAttended: [process.stdin, process.stdout, process.stderr].some(({ isTTY }) => isTTY),
    stdin: process.stdin,
    stdout: process.stdout,
    stderr: process.stderr,
    outputClosed: closed.signal,
    writeLine: (line) => writeLineTo(2, line, 5_000),
    onSignal: (handler) => {
      for (const signal of signals) process.on(signal, handler);
      return () => {
        for (const signal of signals) process.off(signal, handler);
      };
    },
    schema: join(folder, '..', 'docs', 'rotator.schema.json'),
  };
}

/** The user of a container can have a number and no name. */
function currentUser(): Shell['user'] {
  const requestedBy = process.env['SUDO_USER'];
  try {
    const { username, uid } = userInfo();
    return { name: username, uid: String(uid), requestedBy: requestedBy || username };
  } catch {
    const uid = String(process.getuid?.() ?? 'unknown');
    return { name: `uid:${uid}`, uid, requestedBy: requestedBy || `uid:${uid}` };
  }
}

/** One line of results. Await `drained` where there are many. */
export function print(shell: Shell, line: string): void {
  if (!shell.outputClosed.aborted) shell.stdout.write(`${line}\n`);
}

/** One line for people, on standard error. */
export function tell(shell: Shell, line: string): void {
  shell.stderr.write(`${line}\n`);
}

/** The result of a command: JSON with `--json`, nothing with `--quiet`, else lines. */
export function printResult(shell: Shell, document: unknown, ...lines: readonly string[]): void {
  if (shell.flags.json) print(shell, JSON.stringify(document));
  else if (!shell.flags.quiet) for (const line of lines) print(shell, line);
}

/** Resolves when standard output accepts more, or is closed. */
export async function drained({ stdout, outputClosed }: Shell): Promise<void> {
  if (stdout.writableNeedDrain && !outputClosed.aborted)
    await once(stdout, 'drain', { signal: outputClosed }).catch(() => {});
}

/** NO_COLOR (no-color.org) disables colours, FORCE_COLOR enables them, else a terminal has them. */
export function paintFor({ env }: Shell, stream: Stream) {
  const forced = env['FORCE_COLOR'];
  const isForced = forced !== undefined && forced !== '0' && forced !== 'false';
  const isTerminal = stream.isTTY === true && env['TERM'] !== 'dumb';
  const isColoured = !env['NO_COLOR'] && (isForced || isTerminal);
  const paint = (style: 'bold' | 'red' | 'green' | 'yellow') => (text: string) =>
    isColoured ? styleText(style, text, { validateStream: false }) : text;
  return { bold: paint('bold'), red: paint('red'), green: paint('green'), yellow: paint('yellow') };
}

/** A cell and how to paint it; paint adds no width. */
export type Cell = string | { readonly text: string; readonly paint: (text: string) => string };

const textOf = (cell: Cell): string => (typeof cell === 'string' ? cell : cell.text);

/**
 * A table with aligned columns on a terminal, where columns that do not fit are on a second line;
 * tab-separated lines without a heading in a pipe.
 */
export function printTable(
  shell: Shell,
  heading: readonly string[],
  rows: readonly (readonly Cell[])[],
): void {
  if (!shell.stdout.isTTY) {
    for (const row of rows)
      print(shell, row.map((cell) => textOf(cell).replace(/[\t\n]/g, ' ')).join('\t'));
    return;
  }
  const { bold } = paintFor(shell, shell.stdout);
  const widths = heading.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => textOf(row[column] ?? '').length)),
  );
  const padded = (cell: Cell, column: number): string => {
    const text = textOf(cell);
    const painted = typeof cell === 'string' ? text : cell.paint(text);
    return painted + ' '.repeat(Math.max(0, (widths[column] ?? 0) - text.length));
  };
  const gaps = gapsBefore(widths, columnsOf(shell.stdout));
  const titles = heading.map((text) => (text === '' ? text : { text, paint: bold }));
  for (const row of [titles, ...rows]) {
    const text = row.map((cell, column) => `${gaps[column]}${padded(cell, column)}`).join('');
    print(shell, text.replace(/ +$/gm, ''));
  }
}

/** The text before each column: two spaces, or a new line where it would not fit. */
function gapsBefore(widths: readonly number[], columns: number): string[] {
  let end = 0;
  return widths.map((width, column) => {
    const fits = end + 2 + width <= columns;
    end = (fits ? end + 2 : 4) + width;
    if (column > 0) return fits ? '  ' : '\n    ';
    end = width;
    return '';
  });
}

/** Lines of at most `columns`; the lines after the first are indented by `hang` more spaces. */
export function wrapped(columns: number, text: string, hang = 2): string[] {
  const indent = ' '.repeat(text.length - text.trimStart().length);
  const lines: string[] = [];
  let line = '';
  for (const word of text.trimStart().split(' ')) {
    if (line !== '' && line.length + 1 + word.length > columns) {
      lines.push(line);
      line = `${indent}${' '.repeat(hang)}${word}`;
    } else line = line === '' ? `${indent}${word}` : `${line} ${word}`;
  }
  return [...lines, line];
}

export const columnsOf = ({ columns }: Stream): number => columns || 100;

/** All of standard input, up to a limit. Throws a UsageError beyond it. */
export async function readStdin({ stdin }: Shell, maxBytes = 1_000_000): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of stdin) {
    const bytes = Buffer.from(chunk);
    size += bytes.length;
    if (size > maxBytes) throw new UsageError(`Standard input takes at most ${maxBytes} bytes.`);
    chunks.push(bytes);
  }
  return Buffer.concat(chunks).toString('utf8');
}
