// The compliance report in a real browser, and on paper.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Browser } from 'playwright-core';
import { buildReport } from '../../src/report/build.ts';
import { reportHtml } from '../../src/report/html.tsx';
import { fleetOf, hostileNames, reportOptions, yearOf } from '../harness/audit-year.ts';
import { examinePage, inBrowser, openBrowser } from '../harness/browser.ts';
import { partOf } from '../harness/sample.ts';

let browser: Browser | null = null;
const folder = mkdtempSync(join(tmpdir(), 'audit-report-'));
beforeAll(async () => {
  browser = await openBrowser();
});
afterAll(async () => {
  await browser?.close();
  rmSync(folder, { recursive: true, force: true });
});

const cases: [string, () => Promise<Parameters<typeof buildReport>[0]>][] = [
  ['two hundred', async () => reportOptions(await yearOf(fleetOf(200)))],
  ['one', async () => reportOptions(await yearOf(['fleet-east'], { troubles: false }))],
  ['no', async () => reportOptions(await yearOf([]), { store: null })],
  ['hostile', async () => reportOptions(await yearOf(hostileNames), { store: null })],
];

inBrowser.each([...cases.slice(0, 1), ...partOf(cases.slice(1), 3)])(
  'the report of %s accounts is accessible, fits every screen, loads nothing and can be printed',
  async (name, make) => {
    if (!browser) throw new Error('no browser');
    const file = join(folder, `${name.replaceAll(' ', '-')}.html`);
    writeFileSync(file, reportHtml((await buildReport(await make())).report));

    await examinePage(browser, `report of ${name}`, pathToFileURL(file).href);

    const page = await browser.newPage();
    await page.goto(pathToFileURL(file).href);
    const pdf = await page.pdf({ preferCSSPageSize: true, printBackground: true });
    expect(pdf.subarray(0, 4).toString()).toBe('%PDF');
    await page.close();
  },
);
