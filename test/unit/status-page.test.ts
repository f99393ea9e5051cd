import { statusPage } from '../../src/server/pages/status.tsx';
import { entryOf, nowMs } from '../harness/serve-pages.ts';

const pageOf = (...entries: ReturnType<typeof entryOf>[]): string =>
  statusPage({
    entries,
    nowMs,
    host: 'ops-1',
    version: '1',
    nextRunMs: nowMs,
    timezone: 'UTC',
    outage: null,
    isAlive: true,
    notReady: [],
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

test('the page calls no account healthy that was not checked in its last scheduled run', () => {
  const hourMs = 3_600_000;
  const fresh = entryOf('a', 3, { nextRunMs: nowMs - hourMs });
  const stale = entryOf('b', 3, { nextRunMs: nowMs - 3 * hourMs });

  expect(pageOf(fresh)).toContain('The account is healthy.');
  const page = pageOf(fresh, stale);
  expect(page).toContain('1 of 2 accounts: not checked since the last scheduled run.');
  expect(page).toContain('Outdated</span>');
});

// Finding S8. In 0.1 an exempt account was red on the page, and its rule paged.
test('the page shows an exempt account as exempt, until the end of its last day', () => {
  const exempt = { who: 'CISO', why: 'a laboratory', until: '2026-11-23' };
  const account = { name: 'lab', secretId: 'lab', enabled: true, exempt };
  const over = entryOf('lab', 97, { account });
  const ended = { ...exempt, until: '2026-11-22' };

  const page = pageOf(entryOf('a', 3), over);
  expect(page).toContain('No problems. 1 of 2 accounts exempt from the policy.');
  expect(page).toContain('Exempt</span>');
  expect(page).toContain('Exempt until 2026-11-23: a laboratory');
  expect(pageOf(entryOf('lab', 97, { account: { ...account, exempt: ended } }))).toContain(
    '1 of 1 account: the password is over the age limit.',
  );
});

// Finding S17: 90 days left, in green.
test('nothing in the row of a suspended account is green, and a lost password has no age', () => {
  const suspended = pageOf(entryOf('a', 3, { state: 'stopped', reason: 'login-refused' }));
  const lost = pageOf(entryOf('a', 3, { state: 'stopped', reason: 'password-lost' }));

  const rows = [suspended, lost].map((page) => /<tbody>.*<\/tbody>/s.exec(page)?.[0] ?? '');
  expect(rows.map((row) => row.includes('good'))).toEqual([false, false]);
  expect(rows.map((row) => row.includes('3 of 90 days'))).toEqual([true, false]);
});
