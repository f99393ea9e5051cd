// Chromium for the tests of the pages. With PAGE_SHOTS=DIR it writes a picture of every page to
// DIR.

import { mkdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { type Browser, chromium } from 'playwright-core';
import { chromiumPath as executablePath, hasTool, testWith } from './tools.ts';

export const inBrowser = testWith('chromium');

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const shots = process.env['PAGE_SHOTS'];
if (shots) mkdirSync(shots, { recursive: true });

const flags = [
  '--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-sync',
  '--disable-background-networking --disable-component-update',
].join(' ');

/** Null without a browser. */
export async function openBrowser(): Promise<Browser | null> {
  return hasTool('chromium') ? chromium.launch({ executablePath, args: flags.split(' ') }) : null;
}

export type Screen = readonly [kind: string, width: number, colorScheme: 'light' | 'dark'];
export const screens: readonly Screen[] = [
  ['desktop', 1280, 'light'],
  ['phone', 360, 'light'],
];
/** The colours are the same on every page: one page with every state shows them. */
export const darkScreen: Screen = ['dark', 1280, 'dark'];

/**
 * Opens a page on a screen. It must fit the width and apply its style sheet under its policy. It
 * must run no script, load nothing else, print no error, and have no violation of axe.
 */
export async function examinePage(
  browser: Browser,
  name: string,
  url: string,
  [kind, width, colorScheme]: Screen,
): Promise<void> {
  const viewport = { width, height: 800 };
  const context = await browser.newContext({ viewport, colorScheme });
  const tab = await context.newPage();
  const requests: string[] = [];
  const printed: string[] = [];
  tab.on('request', (request) => requests.push(request.url()));
  tab.on('console', (message) => printed.push(message.text()));
  tab.on('dialog', (dialog) => {
    printed.push('dialog');
    void dialog.dismiss();
  });
  await tab.goto(url);
  expect(await tab.evaluate('getComputedStyle(document.body).maxWidth')).not.toBe('none');
  expect(await tab.evaluate('document.documentElement.scrollWidth')).toBeLessThanOrEqual(width);
  expect(await tab.evaluate('document.scripts.length')).toBe(0);
  expect(await tab.title()).not.toContain('owned');
  if (shots) {
    const clip = { x: 0, y: 0, width, height: 8_000 };
    const path = join(shots, `${name.replaceAll(' ', '-')}-${kind}.png`);
    await tab.screenshot({ path, fullPage: true, clip }).catch(() => tab.screenshot({ path }));
  }
  expect(requests.filter((one) => !one.endsWith('/favicon.ico'))).toEqual([url]);
  expect(printed.filter((line) => !line.includes('404'))).toEqual([]);

  // The policy of the page does not apply to what the debugger evaluates.
  await tab.evaluate(axe);
  const { violations } = (await tab.evaluate("axe.run({ resultTypes: ['violations'] })")) as {
    violations: { id: string; nodes: { html: string }[] }[];
  };
  expect(violations.map(({ id, nodes }) => [id, nodes[0]?.html])).toEqual([]);
  await context.close();
}
