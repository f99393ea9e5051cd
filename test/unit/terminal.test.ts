import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { printTable, type Shell } from '../../src/cli/terminal.ts';

/** What a table prints on a terminal of this width; in a pipe where it is null. */
async function printed(columns: number | null, rows: readonly string[][]): Promise<string[]> {
  const stdout = Object.assign(new PassThrough(), {
    isTTY: columns !== null,
    columns: columns ?? 0,
  });
  const shell = { stdout, env: { NO_COLOR: '1' }, outputClosed: new AbortController().signal };
  printTable(shell as unknown as Shell, ['ACCOUNT', 'STATE', 'LAST RESULT'], rows);
  stdout.end();
  return (await text(stdout)).trimEnd().split('\n');
}

const rows = [
  ['fleet-east', 'healthy', '-'],
  ['fleet-south', 'suspended: login-refused', 'login-refused 2026-11-25'],
];

test('a table that fits has one line per row', async () => {
  expect(await printed(80, rows)).toEqual([
    'ACCOUNT      STATE                     LAST RESULT',
    'fleet-east   healthy                   -',
    'fleet-south  suspended: login-refused  login-refused 2026-11-25',
  ]);
});

test('columns that do not fit are aligned on a second line, and no line is wider', async () => {
  const lines = await printed(48, rows);

  expect(lines).toEqual([
    'ACCOUNT      STATE',
    '    LAST RESULT',
    'fleet-east   healthy',
    '    -',
    'fleet-south  suspended: login-refused',
    '    login-refused 2026-11-25',
  ]);
});

test('a pipe gets tab-separated values without a heading', async () => {
  expect(await printed(null, [['fleet-east', 'two\tparts', '-']])).toEqual([
    'fleet-east\ttwo parts\t-',
  ]);
});
