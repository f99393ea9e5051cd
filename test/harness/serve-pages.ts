// Accounts for the status page: one in every state, many, none, and names that attack the page.

import { nextStep } from '../../src/rotation/catalogue.ts';
import type { Facts, Reason } from '../../src/rotation/failure.ts';
import { describeSharedUser } from '../../src/rotation/shared-users.ts';
import type { AccountEntry } from '../../src/scheduler/status-cache.ts';
import type { PageOptions } from '../../src/server/pages/status.tsx';

export const nowMs = Date.UTC(2026, 10, 23, 20, 50);
const dayMs = 86_400_000;
const policy = { rotateAfterDays: 75, maxAgeDays: 90 };

export function entryOf(
  name: string,
  days: number | null,
  more: Partial<AccountEntry> = {},
): AccountEntry {
  return {
    account: { name, secretId: `thingspace/${name}`, enabled: true },
    policy,
    state: 'settled',
    next: '',
    ...(days === null ? {} : { passwordSinceMs: nowMs - days * dayMs }),
    checkedAtMs: nowMs - 17 * 60_000,
    evidenceAtMs: nowMs - 17 * 60_000,
    nextRunMs: nowMs + dayMs / 2,
    failures: 0,
    ...more,
  };
}

const failed = (
  reason: Reason,
  state: AccountEntry['state'],
  detail?: string,
  facts?: Facts,
): Partial<AccountEntry> => ({
  state,
  reason,
  detail,
  facts,
  next: nextStep(reason),
  failures: 3,
  failingSinceMs: nowMs - 3 * dayMs,
});

/** One of each kind. */
export const everyState: readonly AccountEntry[] = [
  entryOf('fleet-east', 12),
  entryOf('fleet-west', 41),
  entryOf('plant-hamburg', 74.2),
  entryOf('plant-lyon', 76),
  entryOf(
    'depot-08',
    88,
    failed('login-refused', 'stopped', 'login: HTTP 400, REQUEST_FAILED.LoginFailed', {
      loginsSpent: 1,
    }),
  ),
  entryOf(
    'depot-09',
    79,
    failed('password-lost', 'stopped', 'the reset was applied and its response never arrived', {
      receipt: '/var/lib/thingspace-rotator/receipts/depot-09-0198a2.age',
    }),
  ),
  entryOf(
    'depot-10',
    97,
    failed('api-unavailable', 'settled', 'token: HTTP 503', { host: 'thingspace.verizon.com' }),
  ),
  entryOf(
    'trucks-north',
    75.4,
    failed('answer-lost', 'in-doubt', 'reset: the connection was cut after the request was sent'),
  ),
  entryOf(
    'trucks-south',
    0.1,
    failed('verify-unavailable', 'changed', 'login: no answer within 15000 ms'),
  ),
  entryOf(
    'meters/lab',
    null,
    failed(
      'secret-invalid',
      'unreadable',
      'the value of secret thingspace/meters/lab has no "password"',
    ),
  ),
  entryOf(
    'meters/field',
    62,
    failed('busy', 'busy', 'claimed by 5b2c… on ops-2 (pid 4711), lease ends in 41 s'),
  ),
  entryOf('spare', 20, { account: { name: 'spare', secretId: 'spare', enabled: false } }),
  entryOf('twin-a', 30, {
    blocked: describeSharedUser(['twin-a', 'twin-b']),
  }),
  entryOf('frozen', 30, { evidenceAtMs: nowMs - 2 * dayMs, nextRunMs: nowMs - dayMs }),
  entryOf('newcomer', null, { state: 'unknown', checkedAtMs: undefined, evidenceAtMs: undefined }),
];

export const many = (count: number): AccountEntry[] =>
  Array.from({ length: count }, (_, index) => {
    const name = `fleet-${String(index).padStart(4, '0')}`;
    if (index % 97 === 3) return entryOf(name, 80, failed('login-refused', 'stopped'));
    if (index % 61 === 7)
      return entryOf(name, 77, failed('api-unavailable', 'settled', 'token: HTTP 503'));
    return entryOf(name, (index * 37) % 76);
  });

export const hostile: readonly AccountEntry[] = [
  '<script>document.title="owned"</script>',
  '"><img src=x onerror=alert(1)>',
  "' onmouseover='alert(1)",
  '</style><h1>owned</h1>',
  '&lt;b&gt;',
  '\u202Egnp.exe',
  'عربى',
  'x'.repeat(512),
  'a b\tc',
].map((name, index) =>
  entryOf(
    name,
    index * 11,
    index === 1 ? failed('secret-invalid', 'unreadable', '<b>"detail"</b>') : {},
  ),
);

export const pageOf = (
  entries: readonly AccountEntry[],
  more: Partial<PageOptions> = {},
): Omit<PageOptions, 'query' | 'refreshSeconds'> => ({
  entries,
  nowMs,
  host: 'ops-1.example.com',
  version: '0.1.0',
  nextRunMs: Date.UTC(2026, 10, 24, 3, 17),
  timezone: 'UTC',
  outage: null,
  isAlive: true,
  notReady: [],
  facts: { store: 'file' },
  ...more,
});
