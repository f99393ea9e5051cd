// Texts in files that people read: `UPDATE_GOLDEN=1` writes them; read the difference before you
// commit it.

import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Compares a text with the section of this title in a file of test/fixtures. */
export function expectGolden(name: string, title: string, text: string): void {
  const file = join(import.meta.dirname, '../fixtures', name);
  const sections = existsSync(file) ? readFileSync(file, 'utf8').split(/(?=^# )/m) : [];
  const head = `# ${title}\n`;
  const section = `${head}${text}\n`;
  const at = sections.findIndex((one) => one.startsWith(head));
  if (!process.env['UPDATE_GOLDEN']) {
    expect(section).toBe(sections[at]);
    return;
  }
  sections.splice(at < 0 ? sections.length : at, 1, section);
  writeFileSync(file, sections.join(''));
}
