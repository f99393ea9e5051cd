// The reasons, the failure table and the runbook are one vocabulary.

import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { failures } from '../../src/rotation/failure.ts';
import { loggedFields } from '../../src/telemetry/log.ts';

const runbook = readFileSync('docs/RUNBOOK.md', 'utf8');
const sections = runbook.slice(0, runbook.indexOf('\n## The log\n')).split(/^### /m).slice(1);

test('the runbook has one section per reason, and no other', () => {
  const headings = sections.map((section) => section.slice(0, section.indexOf('\n')));

  expect([...headings].sort()).toEqual(Object.keys(failures).sort());
});

test('the runbook is what the catalogue of failures says', () => {
  const made = spawnSync(process.execPath, ['scripts/docs.mjs', '--check'], { encoding: 'utf8' });

  expect([made.stderr, made.status]).toEqual(['', 0]);
});

test('every field of the log is explained, and no other', () => {
  const table = runbook.slice(runbook.indexOf('\n## The log\n'));
  const explained = [...table.matchAll(/^\| (`.+?) \|/gm)].flatMap((row) =>
    [...(row[1] ?? '').matchAll(/`([A-Za-z]+)`/g)].map((name) => name[1]),
  );

  expect(explained.sort()).toEqual([...loggedFields].sort());
});
