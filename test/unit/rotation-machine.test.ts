// The state machine without the loop: each state has one effect and accepts only its outcome. The
// states of a rotation without faults have the order of docs/ROTATION.md. Everything else is in
// test/simulation.

import { Failure } from '../../src/rotation/failure.ts';
import { advance, begin, effectOf } from '../../src/rotation/machine.ts';
import type { SecretVersion, Session } from '../../src/rotation/ports.ts';
import type { Details, Effect, Outcome, Request, State } from '../../src/rotation/state.ts';
import { Secret } from '../../src/secret.ts';

const request: Request = {
  account: 'fleet-east',
  secretId: 'secret',
  purpose: 'rotate',
  force: false,
  impatient: false,
  trigger: { kind: 'schedule' },
  policy: { rotateAfterDays: 60, maxAgeDays: 90 },
  timing: { requestTimeoutMs: 10_000, resetTimeoutMs: 60_000, settleMs: 120_000 },
};
const credentials = {
  username: 'UWSFLEET',
  password: new Secret('old'),
  clientId: 'client',
  clientSecret: new Secret('client secret'),
};
const current: SecretVersion = {
  versionId: 'v1',
  stages: ['AWSCURRENT'],
  createdAtMs: -61 * 86_400_000,
  document: new Secret('{}'),
  credentials,
};
const session: Session = { sessionToken: new Secret('token'), credentials };
const time = { atMs: 0, atMonotonicMs: 0, remainingMs: Number.POSITIVE_INFINITY };

/** Nothing beyond the survey. */
const nothing: Details = {
  versions: new Map(),
  newer: null,
  recoveryId: null,
  restoreId: null,
  receipt: null,
  answer: null,
  password: null,
  sinceMs: 0,
};

/** What a world without mishaps answers. */
const healthy: { readonly [Name in Effect['effect']]: Outcome } = {
  survey: {
    ...time,
    of: 'survey',
    evidence: {
      atMs: 0,
      current,
      record: null,
      pending: null,
      liveness: 'gone',
      openIntents: [],
      lastRotation: null,
    },
  },
  examine: { ...time, of: 'examine', details: nothing },
  claim: {
    ...time,
    of: 'claim',
    claim: 'written',
    token: 'ready',
    room: 'ready',
    interrupted: false,
    startedAtMonotonicMs: 0,
  },
  'log-in': {
    ...time,
    of: 'log-in',
    login: { login: 'accepted', session },
    readBack: 'same',
    isLate: false,
    interrupted: false,
  },
  intend: {
    ...time,
    of: 'intend',
    record: 'written',
    audit: 'durable',
    receipt: 'ready',
    startedAtMonotonicMs: 0,
  },
  reset: {
    ...time,
    of: 'reset',
    answer: { reset: 'answered', body: new Secret(new Uint8Array()) },
    password: new Secret('new'),
    freshId: 'r2',
  },
  keep: { ...time, of: 'keep', keep: 'answer-1', receipt: 'none' },
  store: { ...time, of: 'store', store: 'stored', receipt: 'none' },
  promote: { ...time, of: 'promote', promote: 'promoted' },
  verify: { ...time, of: 'verify', login: { login: 'accepted', session } },
  end: { ...time, of: 'end', record: 'written', audit: 'durable' },
};

/** The states from the beginning to the end, with some answers changed. */
function walk(changes: Partial<typeof healthy> = {}, asked: Request = request): State[] {
  const states = [begin(asked, { id: 'h1' }, 0, asked.native?.rotationId ?? 'r1')];
  for (;;) {
    const state = states.at(-1) as State;
    const effect = effectOf(state);
    if (effect === null || states.length > 50) return states;
    states.push(advance(state, { ...healthy, ...changes }[effect.effect]));
  }
}

const rooms = (states: readonly State[]): string[] => states.map(({ at }) => at);
const resultOf = (states: readonly State[]) => {
  const last = states.at(-1);
  return last?.at === 'finished' ? last.result : null;
};

test('a healthy rotation goes from line 1 to line 9', () => {
  const states = walk();

  expect(rooms(states)).toEqual([
    ...[
      'surveying',
      'claiming',
      'entering',
      'intending',
      'resetting',
      'storing',
      'promoting',
      'verifying',
      'ending',
      'finished',
    ],
  ]);
  expect(resultOf(states)).toMatchObject({
    outcome: 'rotated',
    certainty: 'rotated',
    rotationId: 'r1',
    versionId: 'r1',
    logins: 2,
  });
});

test('an outcome that does not fit is a bug, in every state', () => {
  for (const state of walk()) {
    const asked = effectOf(state)?.effect;
    for (const [of, outcome] of Object.entries(healthy))
      if (of !== asked) expect(() => advance(state, outcome)).toThrow('bug');
  }
});

test('a login is counted before it is sent', () => {
  const [claiming] = walk().filter(({ at }) => at === 'claiming');

  expect(claiming && effectOf(claiming)).toMatchObject({
    effect: 'claim',
    record: { phase: 'claimed', loginsSpent: 1 },
  });
});

test('a refused login stops the account, and no reset is sent', () => {
  const states = walk({
    'log-in': { ...healthy['log-in'], login: { login: 'refused', detail: 'no' } } as Outcome,
  });

  expect(rooms(states)).toEqual(['surveying', 'claiming', 'entering', 'ending', 'finished']);
  expect(resultOf(states)).toMatchObject({ outcome: 'stopped', reason: 'login-refused' });
});

test.each(['record', 'audit', 'receipt'] as const)(
  'without a durable %s no reset is sent',
  (what) => {
    const failure = new Failure('store-unavailable', 'unreachable');

    const states = walk({ intend: { ...healthy.intend, [what]: failure } as Outcome });

    expect(rooms(states)).not.toContain('resetting');
    expect(resultOf(states)?.certainty).toBe('unchanged');
  },
);

test('a lost answer is in doubt, and nothing is sent again', () => {
  const states = walk({
    reset: {
      ...healthy.reset,
      answer: { reset: 'in-doubt', detail: 'cut' },
      password: null,
    } as Outcome,
  });

  expect(rooms(states).filter((at) => at === 'resetting')).toHaveLength(1);
  expect(resultOf(states)).toMatchObject({
    certainty: 'in-doubt',
    reason: 'answer-lost',
    rotationId: 'r1',
  });
});

test('a session that is refused at the reset gets one new login and one new intent only', () => {
  const refused = { reset: 'refused', because: 'session', detail: 'expired' };

  const states = walk({ reset: { ...healthy.reset, answer: refused, password: null } as Outcome });

  expect(rooms(states).filter((at) => at === 'resetting')).toHaveLength(2);
  expect(resultOf(states)).toMatchObject({
    certainty: 'unchanged',
    reason: 'session-refused',
    logins: 2,
  });
});

test(
  'a password that cannot be stored is tried until the platform’s time is up, and never ' +
    'forgotten before',
  () => {
    const unreachable = {
      ...healthy.store,
      store: new Failure('store-unavailable', 'unreachable'),
    } as Outcome;
    const states = walk({ store: { ...unreachable, remainingMs: 0 } });
    const waits = Array.from({ length: 12 }).reduce<State[]>(
      (tried) => [...tried, advance(tried.at(-1) as State, unreachable)],
      [walk().find(({ at }) => at === 'storing') as State],
    );

    expect(resultOf(states)).toMatchObject({ certainty: 'changed', reason: 'not-stored' });
    expect(waits.map((state) => (state.at === 'storing' ? state.waitMs : state.at))).toEqual([
      ...[0, 100, 250, 500, 1_000, 2_000, 5_000, 10_000, 30_000, 30_000, 30_000, 30_000, 30_000],
    ]);
  },
);

/** The evidence of the survey, with a record that is released. */
const surveyOf = (record: object, more: object = {}): Outcome =>
  ({
    ...time,
    of: 'survey',
    evidence: {
      atMs: 0,
      current,
      record: {
        record: {
          phase: 'released',
          sequence: 2,
          basis: 'v0',
          holder: { id: 'h0' },
          writtenAtMs: 0,
          leaseMs: 0,
          loginsSpent: 0,
          ...record,
        },
        ageMs: 9_000_000,
      },
      pending: null,
      liveness: 'gone',
      openIntents: [],
      lastRotation: null,
      ...more,
    },
  }) as Outcome;

test('a young password of a closed rotation is not due, and costs no login', () => {
  const young = { ...current, versionId: 'r1', createdAtMs: 0 };
  const history = [{ rotationId: 'r1', as: 'rotated', versionId: 'r1', sinceMs: 0 }];

  const states = walk({ survey: surveyOf({ history }, { current: young }) });

  expect(rooms(states)).toEqual(['surveying', 'examining', 'finished']);
  expect(resultOf(states)).toMatchObject({ outcome: 'not-due', certainty: 'not-due', logins: 0 });
});

test('a password that was recovered late is as old as its reset', () => {
  const late = { ...current, versionId: 'r1', createdAtMs: 0 };
  const history = [{ rotationId: 'r1', as: 'rotated', versionId: 'r1', sinceMs: -61 * 86_400_000 }];

  const states = walk({ survey: surveyOf({ history }, { current: late }) });

  expect(rooms(states).slice(0, 2)).toEqual(['surveying', 'claiming']);
});

test('a healthy rotation is closed by its id, with no login left counted', () => {
  const ending = walk().find(({ at }) => at === 'ending');

  expect(ending).toMatchObject({
    record: {
      phase: 'released',
      loginsSpent: 0,
      open: undefined,
      history: [{ rotationId: 'r1', as: 'rotated', versionId: 'r1', replaced: 'v1' }],
    },
  });
});

test(
  'under Secrets Manager’s own rotation the token is the rotation, and testing is left to ' +
    'testSecret',
  () => {
    const states = walk({}, { ...request, force: true, native: { rotationId: 'token' } });

    expect(rooms(states)).toEqual([
      'surveying',
      'examining',
      'claiming',
      'entering',
      'intending',
      'resetting',
      'storing',
      'promoting',
      'ending',
      'finished',
    ]);
    expect(states.find(({ at }) => at === 'ending')).toMatchObject({
      record: { phase: 'released', leaseMs: 0, open: { rotationId: 'token' } },
    });
    expect(resultOf(states)).toMatchObject({
      outcome: 'rotated',
      rotationId: 'token',
      versionId: 'token',
      logins: 1,
    });
  },
);

const openRotation = { rotationId: 'r0', basis: 'v1', startedAtMs: 0, settleLeftMs: 0 };
const examined: Outcome = { ...time, of: 'examine', details: { ...nothing, recoveryId: 'r0>v1' } };

test('under Secrets Manager’s own rotation a doubt fails before any login', () => {
  const states = walk(
    { survey: surveyOf({ open: openRotation }), examine: examined },
    { ...request, native: { rotationId: 'token' } },
  );

  expect(rooms(states)).not.toContain('claiming');
  expect(resultOf(states)).toMatchObject({
    reason: 'answer-lost',
    certainty: 'in-doubt',
    logins: 0,
  });
});

test('an attempt that finds an open rotation never says that nothing changed', () => {
  const unavailable = new Failure('api-unavailable', 'HTTP 503');
  const states = walk({
    survey: surveyOf({ open: openRotation }),
    examine: examined,
    claim: { ...healthy.claim, token: unavailable } as Outcome,
  });

  expect(resultOf(states)).toMatchObject({ reason: 'answer-lost', certainty: 'in-doubt' });
});

test('a claim without an answer gives its login back', () => {
  const failure = new Failure('store-unavailable', 'no answer');
  const states = walk({ claim: { ...healthy.claim, claim: failure } as Outcome });

  expect(states.find(({ at }) => at === 'ending')).toMatchObject({
    record: { phase: 'released', loginsSpent: 0, sequence: 1 },
    isUncertain: true,
  });
});

test('an attempt begins with a survey, and with no count', () => {
  const state = begin(request, { id: 'h1' }, 7, 'r1');

  expect(state).toEqual({
    at: 'surveying',
    request,
    tally: {
      owner: { id: 'h1' },
      startedAtMs: 7,
      rotationId: 'r1',
      logins: 0,
      collisions: 0,
      staleReads: 0,
      atLeast: 0,
      retried: false,
      carried: [],
    },
    waitMs: 0,
  });
  expect(effectOf(state)).toEqual({ effect: 'survey', atLeast: 0, waitMs: 0 });
});
