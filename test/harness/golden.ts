// Texts in files that people read: `UPDATE_GOLDEN=1` writes them; read the difference before you
// commit it.

import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const read = new Map<string, readonly string[]>();

function sectionsOf(file: string): readonly string[] {
  const known = read.get(file);
  if (known) return known;
  const sections = existsSync(file) ? readFileSync(file, 'utf8').split(/(?=^# )/m) : [];
  read.set(file, sections);
  return sections;
}

/** Compares a text with the section of this title in a file of test/fixtures. */
export function expectGolden(name: string, title: string, text: string): void {
  const file = join(import.meta.dirname, '../fixtures', name);
  const sections = sectionsOf(file);
  const head = `# ${title}\n`;
  const section = `${head}${text}\n`;
  const at = sections.findIndex((one) => one.startsWith(head));
  if (!process.env['UPDATE_GOLDEN']) {
    expect(section).toBe(sections[at]);
    return;
  }
  const updated = sections.toSpliced(at < 0 ? sections.length : at, 1, section);
  read.set(file, updated);
  writeFileSync(file, updated.join(''));
}
