// The compliance report in a real browser, on paper, and of 5,000 accounts.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Browser } from 'playwright-core';
import { tables } from '../../src/html/tables.ts';
import { buildReport } from '../../src/report/build.ts';
import { reportHtml } from '../../src/report/html.tsx';
import { fleetOf, hostileNames, reportOptions, yearOf } from '../harness/audit-year.ts';
import { examinePage, inBrowser, openBrowser, screens } from '../harness/browser.ts';
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

const views = cases.flatMap(([name, make]) =>
  screens.map((screen) => [name, screen[0], { make, screen }] as const),
);

inBrowser.each(partOf(views, 8))(
  'the report of %s accounts is accessible, fits a %s screen, loads nothing and can be printed',
  async (name, _, { make, screen }) => {
    if (!browser) throw new Error('no browser');
    const file = join(folder, `${name.replaceAll(' ', '-')}.html`);
    writeFileSync(file, reportHtml((await buildReport(await make())).report));

    await examinePage(browser, `report of ${name}`, pathToFileURL(file).href, screen);

    const page = await browser.newPage();
    await page.goto(pathToFileURL(file).href);
    const pdf = await page.pdf({ preferCSSPageSize: true, printBackground: true });
    expect(pdf.subarray(0, 4).toString()).toBe('%PDF');
    await page.close();
  },
);

type Cost = { readonly elements: number; readonly seconds: number };

/** How many elements a document has, and how long its thread needs the processor to show it. */
async function costOf(file: string, html: string): Promise<Cost> {
  if (!browser) throw new Error('no browser');
  writeFileSync(join(folder, file), html);
  const page = await browser.newPage({ viewport: { width: 1280, height: 800 } });
  const devtools = await page.context().newCDPSession(page);
  await devtools.send('Performance.enable', { timeDomain: 'threadTicks' });
  await page.goto(pathToFileURL(join(folder, file)).href);
  const { metrics } = await devtools.send('Performance.getMetrics');
  const elements = Number(await page.evaluate("document.getElementsByTagName('*').length"));
  await page.close();
  return { elements, seconds: metrics.find(({ name }) => name === 'TaskDuration')?.value ?? 0 };
}

/** The median. */
const secondsOf = (costs: readonly Cost[]): number =>
  costs.map(({ seconds }) => seconds).sort((a, b) => a - b)[1] ?? Number.NaN;

// The page of commit 6b45ad5: 32 elements and 1,428 bytes an account, 0.65 to 0.8 of the time.
inBrowser('5,000 accounts open in half the time of a plain table with as many cells', async () => {
  const { report } = await buildReport(reportOptions(await yearOf(fleetOf(50))));
  const rows = Array.from({ length: 100 }).flatMap((_, part) =>
    report.rows.map((row) => ({ ...row, account: `${row.account}-${part}` })),
  );
  const html = reportHtml({ ...report, rows });
  const row = `<tr>${'<td>2026-10-31</td>'.repeat(tables.accounts.length)}</tr>`;
  const plain = `<!doctype html><table>${row.repeat(rows.length)}</table>`;

  const [ours, theirs] = [[], []] as [Cost[], Cost[]];
  for (let round = 0; round < 2; round += 1) {
    ours.push(await costOf('5000.html', html));
    theirs.push(await costOf('plain.html', plain));
  }

  expect({
    histories: html.match(/<li id="a\d+"/g)?.length,
    isAscii: !/[^\0-\x7f]/.test(html),
    bytesFit: html.length / rows.length < 900,
    elementsFit: ours.every(({ elements }) => elements / rows.length < 22),
  }).toEqual({ histories: 5000, isAscii: true, bytesFit: true, elementsFit: true });
  expect(secondsOf(ours) / secondsOf(theirs)).toBeLessThan(0.5);
});

inBrowser('no column is cut off between a phone and a desktop, or on paper', async () => {
  if (!browser) throw new Error('no browser');
  const file = join(folder, 'widths.html');
  writeFileSync(
    file,
    reportHtml((await buildReport(reportOptions(await yearOf(fleetOf(200))))).report),
  );
  const page = await browser.newPage();
  await page.goto(pathToFileURL(file).href);
  // Containment hides what is wider than the page: the table itself tells.
  const widest = (): Promise<number> =>
    page.evaluate(
      "Math.max(...[...document.querySelectorAll('table')].map((one) => one.scrollWidth))",
    );

  for (const width of [360, 740, 900, 1130]) {
    await page.setViewportSize({ width, height: 800 });
    expect(await widest()).toBeLessThanOrEqual(width);
  }
  await page.emulateMedia({ media: 'print' });
  // The width of A4 without the margins, in px.
  await page.setViewportSize({ width: 718, height: 800 });
  expect(await widest()).toBeLessThanOrEqual(718);
  await page.close();
});
