import fc from 'fast-check';
import {
  ageDays,
  clockToleranceMs,
  dueAtMs,
  dueness,
  exemptUntilMs,
  isDue,
  isExemptAt,
} from '../../src/rotation/policy.ts';
import { closings } from '../../src/rotation/record.ts';
import { withClosed } from '../../src/rotation/result.ts';
import { dayMs } from '../../src/time.ts';

const policy = { rotateAfterDays: 60, maxAgeDays: 90 };

test.each([
  [0, 'not-due'],
  [59.999, 'not-due'],
  [60, 'due'],
  [90, 'due'],
  [90.001, 'overdue'],
])('a password of %d days is %s', (age, expected) => {
  expect(dueness(age, policy)).toBe(expected);
});

test('a password is due from the moment that was announced', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 4e12 }), (sinceMs) => {
      const dueMs = dueAtMs(sinceMs, policy);

      expect(dueness(ageDays(sinceMs, dueMs), policy)).toBe('due');
      expect(dueness(ageDays(sinceMs, dueMs - 1), policy)).toBe('not-due');
    }),
  );
});

test('a clock that has stepped back makes no password younger than new', () => {
  expect(ageDays(dayMs, 0)).toBe(0);
});

test('an order that is delivered again forces nothing, unless its reset did not happen', () => {
  const request = { force: true, keyDigest: 'a', policy };
  const dueAfter = (as: (typeof closings)[number], age: number): boolean =>
    isDue(request, [{ rotationId: 'r', as, keyDigest: 'a' }], age);

  const forced = closings.map((as) => [as, dueAfter(as, 1), dueAfter(as, 61)]);

  expect(forced).toEqual([
    ['rotated', false, true],
    ['not-applied', true, true],
    ['superseded', false, false],
    ['abandoned', false, false],
  ]);
});

test('an order with another key, or without one, is not a repetition', () => {
  const history = [{ rotationId: 'r', as: 'rotated', keyDigest: 'a' }] as const;

  expect(isDue({ force: true, keyDigest: 'b', policy }, history, 1)).toBe(true);
  expect(isDue({ force: true, policy }, history, 1)).toBe(true);
  expect(isDue({ force: false, policy }, history, 1)).toBe(false);
});

test('resets that did not happen push no order out of the history of eight', () => {
  const ordered = { rotationId: 'ordered', as: 'rotated', keyDigest: 'a' } as const;
  const later = { rotationId: 'later', as: 'rotated' } as const;
  let history = withClosed({ history: [ordered] }, later);
  for (let count = 0; count < 20; count += 1)
    history = withClosed({ history }, { rotationId: `refused-${count}`, as: 'not-applied' });

  expect(history.map(({ rotationId }) => rotationId)).toEqual([
    ...[19, 18, 17, 16, 15, 14].map((count) => `refused-${count}`),
    'later',
    'ordered',
  ]);
});

test('an exemption includes its last day', () => {
  const account = { exempt: { until: '2026-12-01' } };
  const endMs = Date.UTC(2026, 11, 2);

  expect(exemptUntilMs(account)).toBe(endMs);
  expect([endMs - 1, endMs].map((ms) => isExemptAt(account, ms))).toEqual([true, false]);
  expect([exemptUntilMs({}), isExemptAt({}, 0), isExemptAt({}, 1)]).toEqual([
    undefined,
    false,
    false,
  ]);
  expect(exemptUntilMs({ exempt: { until: 'never' } })).toBeUndefined();
});

test('the clock of the store may differ by five minutes', () => {
  expect(clockToleranceMs).toBe(5 * 60_000);
});

test('the history keeps the newest rotation, that of AWSPENDING, and repeated orders', () => {
  const entries = Array.from({ length: 12 }, (_, index) => ({
    rotationId: `r${index}`,
    as: (['not-applied', 'rotated'] as const)[index - 8] ?? ('superseded' as const),
    ...(index === 9 || index === 11 ? { versionId: `v${index}` } : {}),
    ...(index === 8 || index === 10 ? { keyDigest: 'a' } : {}),
  }));
  const closing = { rotationId: 'now', as: 'not-applied' } as const;
  const keptWith = (pending: string | null): string[] =>
    withClosed({ history: entries }, closing, pending).map(({ rotationId }) => rotationId);

  expect(keptWith(null)).toEqual(['now', 'r0', 'r1', 'r2', 'r3', 'r4', 'r9', 'r10']);
  expect(keptWith('v11')).toEqual(['now', 'r0', 'r1', 'r2', 'r3', 'r9', 'r10', 'r11']);
  expect(keptWith('r8')).toEqual(['now', 'r0', 'r1', 'r2', 'r3', 'r8', 'r9', 'r10']);
});

test('the rotation that is closed now is kept, whatever orders are known', () => {
  const orders = Array.from({ length: 10 }, (_, index) => ({
    rotationId: `r${index}`,
    as: 'superseded' as const,
    keyDigest: `order ${index}`,
  }));
  const history = [...orders, { rotationId: 'last', as: 'rotated' as const, versionId: 'v' }];

  const kept = withClosed({ history }, { rotationId: 'now', as: 'not-applied' });

  expect(kept.map(({ rotationId }) => rotationId)).toEqual([
    'now',
    ...[0, 1, 2, 3, 4, 5].map((index) => `r${index}`),
    'last',
  ]);
});

test('a rotation that is closed keeps the key of its order, and is named once', () => {
  const open = { rotationId: 'r1', basis: 'v1', startedAtMs: 1, settleLeftMs: 2, keyDigest: 'a' };
  const before = { rotationId: 'r2', as: 'abandoned', keyDigest: 'b' } as const;

  expect(withClosed({ open, history: [before] }, { rotationId: 'r1', as: 'superseded' })).toEqual([
    { rotationId: 'r1', as: 'superseded', keyDigest: 'a' },
    before,
  ]);
  expect(withClosed({ open, history: [before] }, { rotationId: 'r2', as: 'rotated' })).toEqual([
    { rotationId: 'r2', as: 'rotated', keyDigest: 'b' },
  ]);
  expect(withClosed({}, { rotationId: 'r3', as: 'rotated' })).toEqual([
    { rotationId: 'r3', as: 'rotated' },
  ]);
});
