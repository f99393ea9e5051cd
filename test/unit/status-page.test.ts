import { statusPage } from '../../src/server/pages/status.tsx';
import { everyState, hostile, nowMs, pageOf } from '../harness/serve-pages.ts';

const facts = { store: 'file', config: '/etc/thingspace rotator.yaml' } as const;
const page = (entries: Parameters<typeof pageOf>[0], query = '', more = {}): string =>
  statusPage({
    ...pageOf(entries, { facts, ...more }),
    refreshSeconds: 60,
    query: new URLSearchParams(query),
  });
const textOf = (html: string): string =>
  html
    .replace(/<(style|title)>.*?<\/\1>/gs, '')
    .replace(/<[^>]*>/g, ' ')
    .replace(/\s+/g, ' ');
/** What a browser shows of the escaped text of the commands. */
const commandsOf = (html: string): string[] =>
  [...html.matchAll(/<code>([^<]*)<\/code>/g)].map(([, code = '']) =>
    code.replaceAll('&quot;', '"').replaceAll('&#39;', "'").replaceAll('&amp;', '&'),
  );

test('each failure is explained, with complete commands for its account and configuration', () => {
  const html = page(everyState, 'q=depot-08');

  expect(textOf(html)).toContain(
    'Login rejected. Password: Unchanged. ThingSpace rejected the stored password.',
  );
  expect(textOf(html)).toContain('Failed logins counted: 1 of 3');
  expect(commandsOf(html)).toEqual([
    "thingspace-rotator secret put depot-08 --config '/etc/thingspace rotator.yaml'",
    `thingspace-rotator resume depot-08 --config '/etc/thingspace rotator.yaml' --reason "…"`,
  ]);
  expect(html).not.toContain('ACCOUNT');
});

test('accounts that share a ThingSpace user are suspended, with the way to correct it', () => {
  const text = textOf(page(everyState, 'q=twin-a'));

  expect(text).toContain('accounts twin-a and twin-b have the same ThingSpace user');
  expect(text).toContain('Keep one of the accounts in the configuration');
});

test('times are in UTC with their distance', () => {
  const text = textOf(page(everyState));

  expect(text).toContain('Next scheduled run: 2026-11-24 03:17 UTC , in 6 h 27 min');
  expect(text).toContain('Checked 2026-11-23 20:33 UTC , 17 min ago');
});

test('an outage is named, with its beginning', () => {
  const outage = { dependency: 'thingspace', sinceMs: nowMs - 3 * 3_600_000, probes: 2 } as const;

  expect(textOf(page(everyState, '', { outage }))).toContain(
    'ThingSpace has been unreachable since 2026-11-23 17:50 UTC , 3 h ago.',
  );
});

test('a search without a match says so', () => {
  expect(textOf(page(everyState, 'q=zzz'))).toContain('No matching accounts.');
});

test('a hostile name is text, and its invisible characters are visible', () => {
  const html = page(hostile);

  expect(html).not.toMatch(/<script|<img|<h1>owned|\u202e/);
  expect(html).toContain('\\u202egnp.exe');
});
