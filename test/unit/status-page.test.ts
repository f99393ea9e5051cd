import { statusPage } from '../../src/server/pages/status.tsx';
import { entryOf } from '../harness/serve-pages.ts';

const nowMs = Date.UTC(2026, 10, 30);
const pageOf = (...entries: ReturnType<typeof entryOf>[]): string =>
  statusPage({
    entries,
    nowMs,
    host: 'ops-1',
    version: '1',
    nextRunMs: nowMs,
    timezone: 'UTC',
    outage: null,
    facts: {},
    query: new URLSearchParams(),
    refreshSeconds: 60,
  });

test('the page calls no account healthy while the age of its password is not known', () => {
  const [dated, undated] = [entryOf('a', 3), entryOf('b', 3, { isAgeKnown: false })];

  expect(pageOf(dated)).toContain('The account is healthy.');
  const page = pageOf(dated, undated);
  expect(page).toContain('The age of the password is not known for 1 of 2 accounts.');
  expect(page).toContain('Age unknown</span>');
  expect(page).not.toContain('are healthy');
});
