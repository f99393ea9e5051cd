import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { viewLine } from '../../src/audit/record.ts';
import { buildReport } from '../../src/report/build.ts';
import { dayMs } from '../../src/time.ts';
import { memorySource, origin } from '../harness/audit.ts';

const fixtures = join('test', 'fixtures', 'upgrade-0.1');

/** The lines of the log that version 0.1 wrote in this state. */
function linesOf(state: string): string[] {
  const folder = join(fixtures, state, 'audit');
  return readdirSync(folder)
    .filter((name) => name.endsWith('.jsonl'))
    .sort()
    .flatMap((name) => readFileSync(join(folder, name), 'utf8').trimEnd().split('\n'));
}

/** The row of the one account, a day after the last record. */
async function rowOf(state: string) {
  const lines = linesOf(state);
  const endMs = (viewLine(lines.at(-1) ?? '')?.timeMs ?? 0) + dayMs;
  const { report } = await buildReport({
    source: memorySource(lines),
    verifiers: [],
    fromMs: endMs - 30 * dayMs,
    toMs: endMs,
    nowMs: endMs,
    origin,
    accounts: null,
    store: null,
    policy: { maxAgeDays: 90, rotateAfterDays: 75 },
  });
  const [row] = report.rows;
  if (!row) return null;
  const { bucket, succeeded, failed, unknown, lastChange } = row;
  const change = lastChange?.by ?? 'none';
  return `${bucket}, attempts ${succeeded}/${failed}/${unknown}, change ${change}`;
}

test('the report reads the logs that version 0.1 wrote', async () => {
  const entries = readdirSync(fixtures, { withFileTypes: true });
  const states = entries
    .filter(
      (entry) => entry.isDirectory() && readdirSync(join(fixtures, entry.name)).includes('audit'),
    )
    .map(({ name }) => name);

  const rows = await Promise.all(states.map(async (state) => [state, await rowOf(state)]));

  const doubtful = 'unknown, attempts 0/0/1, change none';
  const rejected = 'unknown, attempts 0/1/0, change none';
  expect(Object.fromEntries(rows)).toEqual({
    'claimed-by-a-dead-process': 'never, attempts 0/0/0, change none',
    'in-doubt-reset-applied': doubtful,
    'in-doubt-reset-not-applied': doubtful,
    released: 'never, attempts 0/1/0, change none',
    'reset-with-a-receipt': doubtful,
    rotated: 'inside, attempts 1/0/0, change rotation',
    'stopped-login-budget-spent': 'never, attempts 0/0/0, change none',
    'stopped-login-refused': 'unknown, attempts 0/0/0, change none',
    'stopped-password-lost': rejected,
    'stopped-store-conflict': rejected,
    'stopped-verify-refused': rejected,
    'stored-not-promoted': doubtful,
    'stored-then-edited': 'unknown, attempts 0/0/1, change outside',
    'verify-unavailable': doubtful,
  });
});
