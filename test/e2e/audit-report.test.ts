// The report in a real browser: no accessibility violation, nothing wider than the page, nothing loaded, no script run; and on paper.

import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Browser, chromium } from 'playwright-core';
import { buildReport } from '../../src/report/build.ts';
import { reportHtml } from '../../src/report/html.tsx';
import { fleetOf, hostileNames, reportOptions, yearOf } from '../harness/audit-year.ts';

const executablePath = process.env['CHROMIUM'] ?? '/usr/bin/chromium';
const hasBrowser = existsSync(executablePath);
if (!hasBrowser && !process.env['CI'])
  console.warn(`no ${executablePath}: the report was not opened in a browser`);
const inBrowser = hasBrowser || process.env['CI'] ? test : test.skip;
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
/** With AUDIT_SHOTS=DIR the pictures are kept there, to be looked at. */
const shots = process.env['AUDIT_SHOTS'];
if (shots) mkdirSync(shots, { recursive: true });

let browser: Browser;
const folder = mkdtempSync(join(tmpdir(), 'audit-report-'));
beforeAll(async () => {
  if (!hasBrowser && !process.env['CI']) return;
  const args =
    '--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync';
  browser = await chromium.launch({ executablePath, args: args.split(' ') });
}, 30_000);
afterAll(async () => {
  await browser?.close();
  rmSync(folder, { recursive: true, force: true });
});

const cases: [string, () => Promise<Parameters<typeof buildReport>[0]>][] = [
  ['two-hundred', async () => reportOptions(await yearOf(fleetOf(200)))],
  ['one', async () => reportOptions(await yearOf(['fleet-east'], { troubles: false }))],
  ['none', async () => reportOptions(await yearOf([]), { store: null })],
  ['hostile', async () => reportOptions(await yearOf(hostileNames), { store: null })],
];

inBrowser.each(cases)(
  'the report of %s accounts is accessible, fits every page, and loads nothing',
  async (name, make) => {
    const { report } = await buildReport(await make());
    const file = join(folder, `${name}.html`);
    writeFileSync(file, reportHtml(report));
    for (const [kind, width, colorScheme] of [
      ['desktop', 1280, 'light'],
      ['dark', 1280, 'dark'],
      ['phone', 360, 'light'],
    ] as const) {
      const context = await browser.newContext({
        viewport: { width, height: 800 },
        colorScheme,
        bypassCSP: true,
      });
      const page = await context.newPage();
      const requests: string[] = [];
      const said: string[] = [];
      page.on('request', (request) => requests.push(request.url()));
      page.on('dialog', (dialog) => dialog.dismiss());
      page.on('console', (message) => said.push(message.text()));
      await page.goto(`file://${file}`);
      if (shots)
        await page
          .screenshot({
            path: join(shots, `${name}-${kind}.png`),
            fullPage: true,
            clip: { x: 0, y: 0, width, height: 9000 },
          })
          .catch(() => undefined);
      expect(await page.evaluate('document.documentElement.scrollWidth')).toBeLessThanOrEqual(
        width,
      );
      expect(await page.evaluate('document.scripts.length')).toBe(0);
      await page.addScriptTag({ content: axe });
      const { violations } = (await page.evaluate("axe.run({ resultTypes: ['violations'] })")) as {
        violations: { id: string; nodes: { html: string }[] }[];
      };
      expect(violations.map(({ id, nodes }) => [id, nodes[0]?.html])).toEqual([]);
      expect(requests).toEqual([`file://${file}`]);
      expect(said).toEqual([]);
      await context.close();
    }
    const page = await browser.newPage();
    await page.goto(`file://${file}`);
    const pdf = await page.pdf({ preferCSSPageSize: true, printBackground: true });
    if (shots) writeFileSync(join(shots, `${name}.pdf`), pdf);
    expect(pdf.subarray(0, 4).toString()).toBe('%PDF');
    await page.close();
  },
  60_000,
);
