import { expect, test } from '@jest/globals';
import { addRunRecord, type RequestedRuns } from '../../src/audit/requested-runs.ts';
import { keyDigestOf } from '../../src/order.ts';
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

const recordOf = { sequence: 0, uid: 'u', status: 'success', severity: 1, actor: 'a' } as const;

function requestsOver(finish: () => Promise<Result | null>, runs: RequestedRuns = new Map()) {
  const clock = virtualClock();
  const statuses = createStatusCache({
    policyOf: () => ({ rotateAfterDays: 75, maxAgeDays: 90 }),
    nextRunMs: () => 0,
    clock,
  });
  statuses.replaceAccounts(accounts);
  return {
    clock,
    ...openRotateRequests({
      scheduler: {
        statuses,
        findConflict: () => null,
        request: finish,
        recorded: async () => {},
      },
      audit: { requestedRuns: () => runs },
      clock,
      facts: {},
    }),
  };
}

const idOf = (submitted: Submitted): string => ('id' in submitted ? submitted.id : '');

test('the last 500 finished attempts are kept, and older ones are forgotten', async () => {
  const { submit, show } = requestsOver(async () => null);
  const ids: string[] = [];
  for (const { name } of accounts) {
    ids.push(idOf(await submit({ account: name, force: false, trigger }, undefined)));
  }

  const kept = ids.filter((id) => show(id) !== null);

  expect(kept.length).toBeLessThanOrEqual(501);
  expect(kept).toContain(ids.at(-1));
  expect(show(ids[0] ?? '')).toBeNull();
});

test('at most 64 requested attempts run at once, and no running one is forgotten', async () => {
  const { submit, show } = requestsOver(() => new Promise(() => {}));

  const submitted = await Promise.all(
    accounts.map(({ name }) => submit({ account: name, force: false, trigger }, undefined)),
  );

  expect(submitted.filter((one) => one.submitted === 'new')).toHaveLength(64);
  expect(submitted.filter((one) => one.submitted === 'full')).toHaveLength(636);
  expect(submitted.slice(0, 64).every((one) => show(idOf(one)) !== null)).toBe(true);
});

test('an idempotency key is valid for seven days', async () => {
  const { submit, clock } = requestsOver(async () => null);
  const request = { account: 'fleet-0', force: true, trigger };

  const first = await submit(request, 'key');
  await clock.advance(7 * dayMs - 1000);
  const same = await submit(request, 'key');
  await clock.advance(2000);
  const later = await submit(request, 'key');

  expect([first.submitted, same.submitted, later.submitted]).toEqual(['new', 'replayed', 'new']);
  expect(idOf(same)).toBe(idOf(first));
});

test('a request that another process began is known by its key and its id', async () => {
  const runs: RequestedRuns = new Map();
  const { submit, show, clock } = requestsOver(async () => null, runs);
  const startedAtMs = clock.nowMs();
  const view = { code: 'run.started', rotationId: 'one', account: 'fleet-0', timeMs: startedAtMs };
  const started = { ...view, force: 'true', keyDigest: keyDigestOf('key') } as const;
  addRunRecord(runs, { ...recordOf, ...started });

  const unknown = show('one');
  const other = await submit({ account: 'fleet-0', force: true, trigger }, 'key');
  addRunRecord(runs, { ...recordOf, ...view, code: 'run.finished', outcome: 'rotated' });
  const finished = show('one');
  await clock.advance(7 * dayMs);

  const recover = 'thingspace-rotator recover fleet-0';
  expect(unknown).toMatchObject({ state: 'unknown', next: expect.stringContaining(recover) });
  expect(other).toEqual({ submitted: 'mismatch' });
  expect(finished).toMatchObject({
    state: 'finished',
    force: true,
    result: { outcome: 'rotated' },
  });
  expect(show('one')).toBeNull();
});
