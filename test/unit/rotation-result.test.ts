// The JSON form of a result: an interface with fixed fields.

import { isGood } from '../../src/rotation/result.ts';
import { resultJson } from '../../src/rotation/result-json.ts';
import type { Result } from '../../src/rotation/state.ts';

const startedAtMs = Date.UTC(2026, 10, 25, 10, 16);

test('every field of a result is in its JSON form, rounded and without a secret', () => {
  const result: Result = {
    account: 'east',
    secretId: 'thingspace/east',
    outcome: 'failed',
    certainty: 'changed',
    reason: 'verify-unavailable',
    rotationId: 'r-1',
    versionId: 'v-1',
    ageDays: 80.006956,
    dueAtMs: startedAtMs - 1,
    deadWindowMs: 66.6,
    logins: 2,
    startedAtMs,
    endedAtMs: startedAtMs + 1_234,
    next: 'Run recover.',
    facts: {},
  };

  expect(resultJson(result)).toEqual({
    account: 'east',
    secretId: 'thingspace/east',
    outcome: 'failed',
    certainty: 'changed',
    reason: 'verify-unavailable',
    rotationId: 'r-1',
    versionId: 'v-1',
    ageDays: 80.01,
    due: true,
    nextDueAt: '2026-11-25T10:15:59Z',
    logins: 2,
    startedAt: '2026-11-25T10:16:00.000Z',
    endedAt: '2026-11-25T10:16:01.234Z',
    deadWindowMs: 67,
    next: 'Run recover.',
  });
});

test('a field without a value is null', () => {
  const result: Result = {
    account: 'east',
    secretId: 'thingspace/east',
    outcome: 'not-due',
    certainty: 'not-due',
    logins: 0,
    startedAtMs,
    endedAtMs: startedAtMs,
    next: '',
    facts: {},
  };

  expect(resultJson(result)).toMatchObject({
    reason: null,
    rotationId: null,
    versionId: null,
    ageDays: null,
    due: null,
    nextDueAt: null,
    deadWindowMs: null,
    next: null,
  });
});

test('a password is due from the moment on that was announced', () => {
  const at = (dueAtMs: number): unknown => {
    const result = { dueAtMs, endedAtMs: startedAtMs, startedAtMs, next: '' } as Result;
    return resultJson(result).due;
  };

  expect([startedAtMs - 1, startedAtMs, startedAtMs + 1].map(at)).toEqual([true, true, false]);
});

test('a result without a reason is good', () => {
  expect([isGood({} as Result), isGood({ reason: 'busy' } as Result)]).toEqual([true, false]);
});
