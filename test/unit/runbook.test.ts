// The reasons, the failure table and the runbook are one vocabulary.

import { readFileSync } from 'node:fs';
import { failures } from '../../src/rotation/failure.ts';
import { loggedFields } from '../../src/telemetry/log.ts';

const runbook = readFileSync('docs/RUNBOOK.md', 'utf8');
const sections = runbook.slice(0, runbook.indexOf('\n## The log\n')).split(/^### /m).slice(1);

test('the runbook has one section per reason, and no other', () => {
  const headings = sections.map((section) => section.slice(0, section.indexOf('\n')));

  expect([...headings].sort()).toEqual(Object.keys(failures).sort());
});

test('every section says what it means, what the password is now, what to do and what not to do', () => {
  for (const section of sections) {
    const said = [...section.matchAll(/^\*\*(.+?)\*\*: \S/gm)].map((match) => match[1]);

    expect(said).toEqual(['Means', 'The password now', 'Do', 'Do not']);
  }
});

test('a reason stands in the chapter of its certainty', () => {
  const chapters = new Map<string, string>([
    ['unchanged', 'Nothing happened at Verizon'],
    ['changed', 'The password changed, and we know it'],
    ['in-doubt', 'In doubt'],
    ['stopped', 'A person is needed'],
    ['lost', 'A person is needed'],
  ]);
  for (const [reason, { certainty }] of Object.entries(failures)) {
    const chapter = [
      ...runbook.slice(0, runbook.indexOf(`### ${reason}\n`)).matchAll(/^## (.+)$/gm),
    ].at(-1)?.[1];

    expect([reason, chapter]).toEqual([reason, chapters.get(certainty)]);
  }
});

test('every field of the log is explained, and no other', () => {
  const table = runbook.slice(runbook.indexOf('\n## The log\n'));
  const explained = [...table.matchAll(/^\| (`.+?) \|/gm)].flatMap((row) =>
    [...(row[1] ?? '').matchAll(/`([A-Za-z]+)`/g)].map((name) => name[1]),
  );

  expect(explained.sort()).toEqual([...loggedFields].sort());
});
