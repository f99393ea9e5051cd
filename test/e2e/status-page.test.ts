// The status page in a real browser, with its own policy in force.

import type { Browser } from 'playwright-core';
import { openClock } from '../../src/clock.ts';
import { createApp } from '../../src/server/app.ts';
import { type Listener, openListener } from '../../src/server/listener.ts';
import type { PageOptions } from '../../src/server/pages/status.tsx';
import { darkScreen, examinePage, inBrowser, openBrowser, screens } from '../harness/browser.ts';
import { partOf } from '../harness/sample.ts';
import { memoryLog } from '../harness/serve-http.ts';
import { entryOf, everyState, hostile, many, nowMs, pageOf } from '../harness/serve-pages.ts';

let browser: Browser | null = null;
let http: Listener;
let shown = pageOf([]);

beforeAll(async () => {
  const log = memoryLog([]);
  const clock = openClock();
  const service = {
    page: () => shown,
    readiness: async () => [],
    isAlive: () => true,
    metrics: { expose: async () => ({ contentType: 'text/plain', text: '' }) },
    report: async () => '',
    rotateRequests: {
      submit: async () => ({ submitted: 'unknown-account' }) as const,
      show: () => null,
    },
    tokenName: '',
    log,
  };
  const host = '127.0.0.1';
  // Another service each time: nothing is kept of the page before.
  const app = createApp({ service: () => ({ ...service }), host, log, clock });
  http = await openListener({ app, host, port: 0, clock });
  browser = await openBrowser();
});

afterAll(async () => {
  await browser?.close();
  await http.close();
});

const notReady = [
  {
    check: 'audit',
    ok: false,
    detail:
      'audit-unavailable: audit log /data/audit/.writer/probe: no space left on the disk (ENOSPC)',
    at: '2026-11-23T20:49:41Z',
  },
] as const;
const outage = { dependency: 'store', sinceMs: nowMs - 3 * 3_600_000, probes: 11 } as const;
const cases: [string, Omit<PageOptions, 'query' | 'refreshSeconds'>, string?][] = [
  ['every state', pageOf(everyState)],
  ['one account', pageOf([entryOf('fleet-east', 41)])],
  ['no account', pageOf([])],
  ['two hundred accounts', pageOf(many(200))],
  ['a thousand accounts', pageOf(many(1000)), '?page=5'],
  ['a group', pageOf(many(200)), '?show=action&q=00'],
  ['hostile names', pageOf(hostile)],
  ['a service that is not ready', pageOf(many(30), { notReady })],
  ['an unreachable store', pageOf(many(30), { outage, timezone: 'Europe/Berlin' })],
];

const views = cases.flatMap(([name, page, query = '']) =>
  [...screens, ...(name === 'every state' ? [darkScreen] : [])].map(
    (screen) => [name, screen[0], { page, query, screen }] as const,
  ),
);

inBrowser.each(partOf(views, 8))(
  'the page of %s is accessible, fits a %s screen, runs no script and loads nothing',
  async (name, _, { page, query, screen }) => {
    if (!browser) throw new Error('no browser');
    shown = page;

    const url = `http://127.0.0.1:${http.port}/${query}`;
    await examinePage(browser, `status of ${name}`, url, screen);
  },
);

inBrowser('a reader can find, filter, page and pause the refresh with the keyboard', async () => {
  if (!browser) throw new Error('no browser');
  shown = pageOf(many(1000));
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 } });
  const tab = await context.newPage();
  await tab.goto(`http://127.0.0.1:${http.port}/`);

  await tab.getByLabel('Account name').focus();
  await tab.keyboard.type('0042');
  await tab.keyboard.press('Enter');
  await tab.waitForURL('**/?q=0042');
  expect(await tab.getByRole('rowheader').allTextContents()).toEqual(['fleet-0042']);

  await tab.getByRole('link', { name: 'Show all' }).press('Enter');
  await tab.waitForURL('**/');
  await tab.getByRole('link', { name: /Action required/ }).press('Enter');
  await tab.waitForURL('**/?show=action');
  expect(await tab.getByRole('row').count()).toBe(
    1 + many(1000).filter(({ state }) => state === 'stopped').length,
  );

  await tab.goto(`http://127.0.0.1:${http.port}/`);
  await tab.getByRole('link', { name: 'Next', exact: true }).press('Enter');
  await tab.waitForURL('**/?page=2');
  expect(await tab.getByText('Page 2 of 10').count()).toBe(1);
  await tab.getByRole('link', { name: 'pause' }).press('Enter');
  await tab.waitForURL('**/?page=2&refresh=0');
  expect(await tab.getByText('Auto-refresh is paused').count()).toBe(1);
  await context.close();
});

test('the page of a thousand accounts shows a hundred of them in at most 120 kB', async () => {
  shown = pageOf(many(1000));

  const answer = await fetch(`http://127.0.0.1:${http.port}/`);
  const html = await answer.text();

  expect(html.length).toBeLessThan(120_000);
  expect(html.match(/<tr>/g)).toHaveLength(101);
});
