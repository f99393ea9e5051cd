import { expect, test } from '@jest/globals';
import type { Result } from '../../src/rotation/state.ts';
import { createStatusCache } from '../../src/scheduler/status-cache.ts';
import { openRotateRequests, type Submitted } from '../../src/server/rotate-requests.ts';
import { dayMs, virtualClock } from '../harness/serve-world.ts';

const accounts = Array.from({ length: 700 }, (_, index) => ({
  name: `fleet-${index}`,
  secretId: `fleet-${index}`,
  enabled: true,
}));
const trigger = { kind: 'manual', requestedBy: 'test' } as const;

function requestsOver(finish: () => Promise<Result | null>) {
  const clock = virtualClock();
  const statuses = createStatusCache({
    policyOf: () => ({ rotateAfterDays: 75, maxAgeDays: 90 }),
    nextRunMs: () => 0,
    clock,
  });
  statuses.replaceAccounts(accounts);
  return {
    clock,
    ...openRotateRequests({ statuses, findConflict: () => null, request: finish }, clock),
  };
}

const idOf = (submitted: Submitted): string => ('id' in submitted ? submitted.id : '');

test('the last 500 finished attempts are kept, and older ones are forgotten', async () => {
  const { submit, show } = requestsOver(async () => null);
  const ids: string[] = [];
  for (const { name } of accounts) {
    ids.push(idOf(submit({ account: name, force: false, trigger }, undefined)));
    await Promise.resolve();
    await Promise.resolve();
  }

  const kept = ids.filter((id) => show(id) !== null);

  expect(kept.length).toBeLessThanOrEqual(501);
  expect(kept).toContain(ids.at(-1));
  expect(show(ids[0] ?? '')).toBeNull();
});

test('at most 64 requested attempts run at once, and a running one is never forgotten', () => {
  const { submit, show } = requestsOver(() => new Promise(() => {}));

  const submitted = accounts.map(({ name }) =>
    submit({ account: name, force: false, trigger }, undefined),
  );

  expect(submitted.filter((one) => one.submitted === 'new')).toHaveLength(64);
  expect(submitted.filter((one) => one.submitted === 'full')).toHaveLength(636);
  expect(submitted.slice(0, 64).every((one) => show(idOf(one)) !== null)).toBe(true);
});

test('an idempotency key is valid for one day', async () => {
  const { submit, clock } = requestsOver(async () => null);
  const request = { account: 'fleet-0', force: true, trigger };

  const first = submit(request, 'key');
  await clock.advance(dayMs - 1000);
  const same = submit(request, 'key');
  await clock.advance(2000);
  const later = submit(request, 'key');

  expect([first.submitted, same.submitted, later.submitted]).toEqual(['new', 'replayed', 'new']);
  expect(idOf(same)).toBe(idOf(first));
});
