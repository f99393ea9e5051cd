// The status page in a real browser, with its own policy in force: no accessibility violation, nothing wider than a phone,
// no script, nothing loaded but itself. With STATUS_SHOTS=DIR the pictures are kept there, to be looked at.

import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { type Browser, chromium } from 'playwright-core';
import { openClock } from '../../src/clock.ts';
import { createRoutes } from '../../src/server/app.ts';
import { type HttpServer, openHttp } from '../../src/server/listener.ts';
import type { PageOptions } from '../../src/server/pages/status.tsx';
import { memoryLog } from '../harness/serve-http.ts';
import { entryOf, everyState, hostile, many, nowMs, pageOf } from '../harness/serve-pages.ts';

const executablePath = process.env['CHROMIUM'] ?? '/usr/bin/chromium';
const hasBrowser = existsSync(executablePath);
if (!hasBrowser && !process.env['CI'])
  console.warn(`no ${executablePath}: the status page was not opened in a browser`);
const inBrowser = hasBrowser || process.env['CI'] ? test : test.skip;
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const shots = process.env['STATUS_SHOTS'];
if (shots) mkdirSync(shots, { recursive: true });

let browser: Browser;
let http: HttpServer;
let shown = pageOf([]);

beforeAll(async () => {
  const handle = createRoutes({
    page: () => shown,
    readiness: async () => [],
    isAlive: () => true,
    metrics: { expose: async () => ({ contentType: 'text/plain', text: '' }) },
    report: async () => '',
    attempts: { submit: () => ({ submitted: 'unknown-account' }), show: () => null },
    tokenName: '',
    log: memoryLog([]),
    monotonicMs: () => 0,
  });
  http = await openHttp({
    host: '127.0.0.1',
    port: 0,
    handle,
    log: memoryLog([]),
    clock: openClock(),
  });
  if (!hasBrowser && !process.env['CI']) return;
  const args =
    '--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync';
  browser = await chromium.launch({ executablePath, args: args.split(' ') });
}, 30_000);

afterAll(async () => {
  await browser?.close();
  await http.close();
});

const away = { dependency: 'store', sinceMs: nowMs - 3 * 3_600_000, probes: 11 } as const;
const cases: [string, Omit<PageOptions, 'query' | 'refreshSeconds'>, string?][] = [
  ['every state', pageOf(everyState)],
  ['one account', pageOf([entryOf('fleet-east', 41)])],
  ['no account', pageOf([])],
  ['two hundred accounts', pageOf(many(200))],
  ['a thousand accounts', pageOf(many(1000)), '?page=5'],
  ['a group', pageOf(many(200)), '?show=person&q=00'],
  ['names that mean harm', pageOf(hostile)],
  ['a store that is away', pageOf(many(30), { outage: away, timezone: 'Europe/Berlin' })],
];

inBrowser.each(cases)(
  'the page of %s is accessible, fits every screen, runs no script and loads nothing',
  async (name, page, query = '') => {
    shown = page;
    const url = `http://127.0.0.1:${http.port}/${query}`;
    for (const [kind, width, colorScheme] of [
      ['desktop', 1280, 'light'],
      ['dark', 1280, 'dark'],
      ['phone', 360, 'light'],
    ] as const) {
      const said: string[] = [];
      const requests: string[] = [];
      // First as a reader has it, with the page's own policy.
      const context = await browser.newContext({ viewport: { width, height: 800 }, colorScheme });
      const tab = await context.newPage();
      tab.on('request', (request) => requests.push(new URL(request.url()).pathname));
      tab.on('console', (message) => said.push(message.text()));
      tab.on('dialog', (dialog) => {
        said.push('dialog');
        void dialog.dismiss();
      });
      await tab.goto(url);
      expect(await tab.evaluate('getComputedStyle(document.body).maxWidth')).not.toBe('none');
      expect(await tab.evaluate('document.documentElement.scrollWidth')).toBeLessThanOrEqual(width);
      expect(await tab.evaluate('document.scripts.length')).toBe(0);
      expect(await tab.title()).not.toContain('owned');
      if (shots)
        await tab.screenshot({
          path: join(shots, `${name.replaceAll(' ', '-')}-${kind}.png`),
          fullPage: page.entries.length <= 40,
        });
      expect(requests.filter((path) => path !== '/favicon.ico')).toEqual(['/']);
      expect(said.filter((line) => !line.includes('404'))).toEqual([]);
      await context.close();

      // Then with axe in it, which the policy would not let run.
      const open = await browser.newContext({
        viewport: { width, height: 800 },
        colorScheme,
        bypassCSP: true,
      });
      const examined = await open.newPage();
      await examined.goto(url);
      await examined.addScriptTag({ content: axe });
      const { violations } = (await examined.evaluate(
        "axe.run({ resultTypes: ['violations'] })",
      )) as {
        violations: { id: string; nodes: { html: string }[] }[];
      };
      expect(violations.map(({ id, nodes }) => [id, nodes[0]?.html])).toEqual([]);
      await open.close();
    }
  },
  120_000,
);

inBrowser(
  'a reader finds an account, keeps to a group, turns pages and stops the page from refreshing, with the keyboard alone',
  async () => {
    shown = pageOf(many(1000));
    const context = await browser.newContext({ viewport: { width: 1280, height: 800 } });
    const tab = await context.newPage();
    await tab.goto(`http://127.0.0.1:${http.port}/`);

    await tab.getByLabel('Account name').focus();
    await tab.keyboard.type('0042');
    await tab.keyboard.press('Enter');
    await tab.waitForURL('**/?q=0042');
    expect(await tab.getByRole('rowheader').allTextContents()).toEqual(['fleet-0042']);

    await tab.getByRole('link', { name: 'show all' }).press('Enter');
    await tab.waitForURL('**/');
    await tab.getByRole('link', { name: /need a person/ }).press('Enter');
    await tab.waitForURL('**/?show=person');
    expect(await tab.getByRole('row').count()).toBe(
      1 + many(1000).filter(({ state }) => state === 'stopped').length,
    );

    await tab.goto(`http://127.0.0.1:${http.port}/`);
    await tab.getByRole('link', { name: 'Next', exact: true }).press('Enter');
    await tab.waitForURL('**/?page=2');
    expect(await tab.getByText('Page 2 of 10').count()).toBe(1);
    await tab.getByRole('link', { name: 'Stop that' }).press('Enter');
    await tab.waitForURL('**/?page=2&refresh=0');
    expect(await tab.getByText('Stands still.').count()).toBe(1);
    await context.close();
  },
  60_000,
);

test('the page of a thousand accounts is small, and made in an instant', async () => {
  shown = pageOf(many(1000));
  const startedMs = performance.now();

  const answer = await fetch(`http://127.0.0.1:${http.port}/`);
  const html = await answer.text();

  expect(html.length).toBeLessThan(120_000);
  expect(html.match(/<tr>/g)).toHaveLength(101);
  expect(performance.now() - startedMs).toBeLessThan(1_000);
});
