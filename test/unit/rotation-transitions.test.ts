// Every transition after the survey: for each state, with each kind of plan, and for each answer of
// the effect that it waits for, the event and the state that follows, with all its values. The
// texts are in test/fixtures/transitions.txt; rotation-decisions.test.ts has the transitions of the
// survey.

import { advance, effectOf } from '../../src/rotation/machine.ts';
import { eventOf } from '../../src/rotation/observe.ts';
import type { LoginAnswer, ResetAnswer } from '../../src/rotation/ports.ts';
import { survey } from '../../src/rotation/rotate.ts';
import type {
  Details,
  Effect,
  OpenReason,
  Outcome,
  Request,
  State,
} from '../../src/rotation/state.ts';
import { nextTry, savingTimeMs } from '../../src/rotation/transitions/save.ts';
import { Secret } from '../../src/secret.ts';
import {
  bytes,
  changesIn,
  dayMs,
  type Facts,
  failure,
  nowMs,
  open,
  outcome,
  owner,
  portsOf,
  recordOf,
  shown,
  surveyed,
  version,
} from '../harness/attempt-values.ts';
import { expectGolden } from '../harness/golden.ts';

type Untimed<O> = O extends Outcome ? Omit<O, 'atMs' | 'atMonotonicMs' | 'remainingMs'> : never;
type Answer = Untimed<Outcome> & { readonly remainingMs?: number };
type Answers = Readonly<Record<string, Answer>>;

const session = { sessionToken: new Secret('session-2'), credentials: version('', '').credentials };
const accepted: LoginAnswer = { login: 'accepted', session };
const unanswered: LoginAnswer = {
  login: 'unknown',
  detail: 'login: HTTP 503',
  facts: { host: 'api.test' },
};
const unsent: LoginAnswer = {
  login: 'not-sent',
  detail: 'login: no connection',
  facts: { host: 'api.test' },
};
const rejected: LoginAnswer = { login: 'refused', detail: 'login: HTTP 400' };

const claim = {
  of: 'claim',
  claim: 'written',
  token: 'ready',
  room: 'ready',
  interrupted: false,
  startedAtMonotonicMs: 5_000,
} as const;
const logIn = {
  of: 'log-in',
  login: accepted,
  readBack: 'same',
  isLate: false,
  interrupted: false,
} as const;
const intend = {
  of: 'intend',
  record: 'written',
  audit: 'durable',
  receipt: 'ready',
  startedAtMonotonicMs: 5_100,
} as const;
const reset = { of: 'reset', password: null, freshId: 'r3' } as const;
const keep = { of: 'keep', keep: 'answer-1', receipt: 'none' } as const;
const store = { of: 'store', store: 'stored', receipt: 'none' } as const;
const promote = { of: 'promote', promote: 'promoted' } as const;
const end = { of: 'end', record: 'written', audit: 'durable' } as const;
const place = { place: '/receipts/east.age' };
const refusedReset = (because: 'session' | 'api-token' | 'throttled' | 'code'): Answer => ({
  ...reset,
  answer: { reset: 'refused', because, detail: `reset: ${because}` },
});
const inDoubt = (body?: string): Extract<ResetAnswer, { reset: 'in-doubt' }> => ({
  reset: 'in-doubt',
  detail: 'reset: cut',
  body: body === undefined ? undefined : bytes(body),
});

/** What each effect can answer; the first one is the answer without a fault. */
const answers: Readonly<Record<Exclude<Effect['effect'], 'survey' | 'examine'>, Answers>> = {
  claim: {
    written: claim,
    taken: { ...claim, claim: 'taken' },
    'without a response': { ...claim, claim: failure('store-unavailable') },
    'no API token': { ...claim, token: failure('api-key-refused') },
    'no room': { ...claim, room: failure('store-full') },
    interrupted: { ...claim, interrupted: true },
  },
  'log-in': {
    accepted: logIn,
    'accepted, and another process took over': { ...logIn, readBack: 'other' },
    'accepted, and the claim cannot be read': { ...logIn, readBack: failure('store-denied') },
    'accepted, and interrupted': { ...logIn, interrupted: true },
    refused: { ...logIn, login: rejected },
    'not answered': { ...logIn, login: unanswered },
    'not sent': { ...logIn, login: unsent },
    'not sent, since the lease has ended': { ...logIn, login: unsent, isLate: true },
  },
  intend: {
    written: intend,
    'taken by another process': { ...intend, record: 'taken' },
    'taken by another process, and not audited': {
      ...intend,
      record: 'taken',
      audit: failure('audit-unavailable'),
    },
    'record without a response': { ...intend, record: failure('store-unavailable') },
    'not audited': { ...intend, audit: failure('audit-unavailable') },
    'no receipt': { ...intend, receipt: failure('receipt-unavailable') },
  },
  reset: {
    answered: {
      ...reset,
      answer: { reset: 'answered', body: bytes('new') },
      password: new Secret('new'),
    },
    'in doubt, with the password': {
      ...reset,
      answer: inDoubt('new'),
      password: new Secret('new'),
    },
    'answered, not readable': { ...reset, answer: { reset: 'answered', body: bytes('?') } },
    'in doubt, not readable': { ...reset, answer: inDoubt('?') },
    'in doubt': { ...reset, answer: inDoubt() },
    'not sent': { ...reset, answer: { reset: 'not-sent', reason: 'out-of-time', detail: 'late' } },
    'session refused': refusedReset('session'),
    'API token refused': refusedReset('api-token'),
    throttled: refusedReset('throttled'),
    'code refused': refusedReset('code'),
  },
  keep: {
    kept: keep,
    'kept, and in a receipt': { ...keep, receipt: place },
    'store unavailable': { ...keep, keep: failure('store-unavailable') },
    'store unavailable, five seconds left': {
      ...keep,
      keep: failure('store-unavailable'),
      remainingMs: 5_000,
    },
    'store unavailable, five seconds left, in a receipt': {
      ...keep,
      keep: failure('store-unavailable'),
      receipt: place,
      remainingMs: 5_000,
    },
    'store denied, in a receipt': { ...keep, keep: failure('store-denied'), receipt: place },
  },
  store: {
    stored: store,
    'the id has other content': { ...store, store: { taken: 'r1>v1' } },
    unavailable: { ...store, store: failure('store-unavailable') },
    'unavailable, in a receipt': {
      ...store,
      store: failure('store-unavailable'),
      receipt: place,
    },
    'unavailable, five seconds left': {
      ...store,
      store: failure('store-unavailable'),
      remainingMs: 5_000,
    },
    'unavailable, five and a half seconds left': {
      ...store,
      store: failure('store-unavailable'),
      remainingMs: 5_500,
    },
    denied: { ...store, store: failure('store-denied') },
    'denied, in a receipt': { ...store, store: failure('store-denied'), receipt: place },
    'too large, in a receipt': { ...store, store: failure('secret-invalid'), receipt: place },
    'deleted, in a receipt': { ...store, store: failure('secret-not-found'), receipt: place },
    'denied, the receipt being written': {
      ...store,
      store: failure('store-denied'),
      receipt: 'being written',
    },
  },
  promote: {
    promoted: promote,
    'promoted before': { ...promote, promote: { conflict: 'r1' } },
    'another version is current': { ...promote, promote: { conflict: 'by-hand' } },
    unavailable: { ...promote, promote: failure('store-unavailable') },
    'unavailable, five seconds left': {
      ...promote,
      promote: failure('store-unavailable'),
      remainingMs: 5_000,
    },
    denied: { ...promote, promote: failure('store-denied') },
  },
  verify: {
    accepted: { of: 'verify', login: accepted },
    refused: { of: 'verify', login: rejected },
    'not answered': { of: 'verify', login: unanswered },
    'not sent': { of: 'verify', login: unsent },
  },
  end: {
    written: end,
    'record taken': { ...end, record: 'taken' },
    'record denied': { ...end, record: failure('store-denied') },
    'not audited': { ...end, audit: failure('audit-unavailable') },
    'record denied, and not audited': {
      ...end,
      record: failure('store-denied'),
      audit: failure('audit-unavailable'),
    },
  },
};

const native = (purpose: Request['purpose']): Partial<Request> => ({
  purpose,
  force: true,
  native: { rotationId: 'r1' },
  trigger: { kind: 'native' },
});
const opened = recordOf({ phase: 'resetting', leaseMs: 90_000, open, loginsSpent: 1 } as never);
const young = {
  rotationId: 'r0',
  as: 'rotated',
  versionId: 'r0',
  replaced: 'v0',
  sinceMs: nowMs - 5 * dayMs,
} as const;
const typed = {
  rotationId: 'r1',
  place: 'standard input',
  body: null,
  password: new Secret('new'),
};
const by: Request['trigger'] = { kind: 'manual', requestedBy: 'ann', reason: 'leaked' };

/** Each kind of attempt: what it finds, and what it was started for. */
const attempts: Readonly<Record<string, readonly [Facts, Partial<Request>]>> = {
  'first rotation': [{}, {}],
  'rotation after others': [
    {
      record: recordOf({ loginsSpent: 2, history: [{ ...young, sinceMs: nowMs - 70 * dayMs }] }),
      current: version('r0', 'p0'),
      intents: ['r0', 'r9'],
    },
    { force: true, keyDigest: 'key-1', trigger: by },
  ],
  'native rotation': [{}, native('rotate')],
  check: [{ record: recordOf({ loginsSpent: 1 }) }, { purpose: 'check' }],
  'verification of an open rotation': [
    { record: opened, current: version('r1', 'new'), intents: ['r1'] },
    {},
  ],
  'verification by testSecret': [
    { record: opened, current: version('r1', 'new') },
    native('check'),
  ],
  'verification by finishSecret': [
    { record: opened, current: version('r1', 'new') },
    native('recover'),
  ],
  'verification by a check': [
    { record: opened, current: version('r1', 'new') },
    { purpose: 'check' },
  ],
  'test of the old password': [{ record: opened, ageMs: 500_000, intents: ['r1'] }, {}],
  'test of the old password, to recover': [
    { record: opened, ageMs: 500_000 },
    { purpose: 'recover' },
  ],
  'test of another password': [
    {
      record: opened,
      current: version('by-hand', 'other', { days: 1 }),
      versions: [version('r1', 'new'), version('v1', 'old')],
      ageMs: 500_000,
    },
    {},
  ],
  'proof of a typed password': [
    { record: opened, request: { receipt: typed } },
    { purpose: 'recover', impatient: true },
  ],
  'proof before an old password is replaced': [
    {
      record: recordOf({ history: [young] }),
      current: version('v0', 'before'),
      versions: [version('r0', 'p0', { days: 5 })],
    },
    {},
  ],
  'proof before an old password is replaced, another rotation being open': [
    {
      record: { ...opened, history: [{ ...young, replaced: 'v0', versionId: 'v1' }] },
      current: version('restored', 'before'),
      versions: [version('v1', 'old'), version('v0', 'before')],
      ageMs: 500_000,
    },
    {},
  ],
  'a password from a receipt': [
    { record: opened, receipt: { ...place, body: bytes('new') }, intents: ['r1'] },
    {},
  ],
  'a stored password': [{ record: opened, versions: [version('r1', 'new')] }, {}],
  resume: [
    { record: recordOf({ phase: 'stopped', reason: 'login-refused', loginsSpent: 1 } as never) },
    { purpose: 'resume', trigger: by },
  ],
};

const answerTo = (state: State, name: string): Outcome => {
  const { remainingMs, ...given } = optionsOf(state)[name] as Answer;
  return outcome(given as never, remainingMs);
};
const optionsOf = (state: State): Answers =>
  answers[effectOf(state)?.effect as keyof typeof answers] ?? {};

/** The answers that lead to states that an attempt without faults does not have. */
const detours = ['answered, not readable', 'session refused', 'unavailable'];

/** Each state of an attempt, and those to which a detour from it leads. */
async function statesOf(facts: Facts, asked: Partial<Request>): Promise<Map<string, State>> {
  const states = new Map<string, State>();
  const goOn = (from: State, suffix: string): void => {
    for (let state = from; effectOf(state)?.effect !== undefined; ) {
      const names = Object.keys(optionsOf(state));
      const [healthy] = names;
      if (healthy === undefined) return;
      states.set(`${state.at}${suffix}`, state);
      for (const name of names.filter((one) => suffix === '' && detours.includes(one))) {
        const aside = advance(state, answerTo(state, name));
        if (name === 'session refused') goOn(aside, ` after ${name}`);
        else states.set(`${aside.at} after ${name}`, aside);
      }
      state = advance(state, answerTo(state, healthy));
    }
  };
  goOn((await surveyed(facts, asked)).at(-1) as State, '');
  return states;
}

function transitionsOf(state: State): string[] {
  return Object.keys(optionsOf(state)).map((name) => {
    const given = answerTo(state, name);
    const event = shown(eventOf(state, given));
    return [`${name}: event ${event}`, ...changesIn(state, advance(state, given))].join('\n  ');
  });
}

test.each(Object.entries(attempts))(
  'every answer of every effect leads to the state with these values: %s',
  async (title, [facts, asked]) => {
    const states = await statesOf(facts, asked);
    const blocks = [...states].map(([path, state]) =>
      [`-- ${path}`, `effect ${shown(effectOf(state))}`, ...transitionsOf(state)].join('\n'),
    );

    expectGolden('transitions.txt', title, blocks.join('\n'));
  },
);

test('an account is busy after a hundred claims that others took', async () => {
  const [claiming] = (await surveyed({})).slice(-1) as [State];
  const taken = outcome({ ...claim, claim: 'taken' });
  const after = (collisions: number): State =>
    advance({ ...claiming, tally: { ...claiming.tally, collisions } } as State, taken);

  expect(after(98)).toMatchObject({ at: 'surveying', tally: { collisions: 99 } });
  expect(after(99)).toMatchObject({
    at: 'finished',
    result: {
      reason: 'busy',
      detail: '100 attempts in a row were taken by other processes',
    },
  });
});

const unavailable = failure('store-unavailable');
const denied = failure('store-denied');
const forEver = Number.POSITIVE_INFINITY;

test.each<[string, Parameters<typeof nextTry>, ReturnType<typeof nextTry>]>([
  ['the first wait', [0, forEver, unavailable, 'none'], { tries: 1, waitMs: 100 }],
  ['the last wait', [7, forEver, unavailable, 'none'], { tries: 8, waitMs: 30_000 }],
  ['the last wait again', [8, forEver, unavailable, 'none'], { tries: 9, waitMs: 30_000 }],
  ['half of the time for saving', [8, 25_000, unavailable, 'none'], { tries: 9, waitMs: 10_000 }],
  ['a millisecond too early to end', [0, 5_001, unavailable, 'none'], { tries: 1, waitMs: 100 }],
  ['the time is over', [0, 5_000, unavailable, 'none'], null],
  [
    'denied for the second time, with a receipt',
    [1, forEver, denied, place],
    { tries: 2, waitMs: 250 },
  ],
  ['denied for the third time, with a receipt', [2, forEver, denied, place], null],
  ['denied for the third time', [2, forEver, denied, 'none'], { tries: 3, waitMs: 500 }],
  [
    'unavailable for the third time, with a receipt',
    [2, forEver, unavailable, place],
    { tries: 3, waitMs: 500 },
  ],
  ['too large for the third time', [2, forEver, failure('secret-invalid'), place], null],
  ['deleted for the third time', [2, forEver, failure('secret-not-found'), place], null],
])('a password that cannot be saved is tried again: %s', (_, given, expected) => {
  expect(nextTry(...given)).toEqual(expected);
});

test('the last five seconds, or half of the time, are kept for the outcome', () => {
  expect([forEver, 60_000, 10_000, 4_000].map(savingTimeMs)).toEqual([
    forEver,
    55_000,
    5_000,
    2_000,
  ]);
});

test('an outcome that does not belong to the state is not logged', async () => {
  const [claiming] = (await surveyed({})).slice(-1) as [State];
  const finished: State = { ...claiming, at: 'finished', result: {} as never } as State;
  const eventsOf = (of: keyof typeof answers): unknown[] =>
    Object.values(answers[of]).map((given) => eventOf(finished, outcome(given as never)));
  const silent = ['claim', 'intend', 'keep', 'store', 'promote'] as const;

  for (const of of silent) expect(eventsOf(of)).toEqual(Object.keys(answers[of]).map(() => null));
  expect(eventsOf('reset')[0]).toEqual({ event: 'reset.answered', account: 'east' });
  expect(eventOf(finished, outcome({ of: 'examine', details: failure('busy') }))).toBeNull();
});

test('a password may be lost only while its rotation is open', async () => {
  const record = recordOf({ phase: 'claimed', leaseMs: 40_000 });
  const [surveying] = (await surveyed({ record })) as [State];
  const told = async (openReason: OpenReason | undefined): Promise<unknown> => {
    const state = { ...surveying, tally: { ...surveying.tally, openReason } } as State;
    const evidence = await survey(portsOf({ record, ageMs: 0 }), state.request, 0, owner);
    const examining = advance(state, outcome({ of: 'survey', evidence }));
    return [examining.at, examining.tally.openReason];
  };

  expect(await told('answer-lost')).toEqual(['examining', undefined]);
  expect(await told('not-promoted')).toEqual(['examining', 'not-promoted']);
  expect(await told(undefined)).toEqual(['examining', undefined]);
});

test('a state that cannot be is a bug', async () => {
  const [claiming] = (await surveyed({})).slice(-1) as [State];
  const verifying = { ...claiming, at: 'verifying', reset: null } as unknown as State;
  const given = outcome({ of: 'verify', login: accepted });

  expect(() => effectOf(verifying)).toThrow('bug: only a reset of this attempt is verified here');
  expect(() => advance(verifying, given)).toThrow('bug: only a reset of this attempt');
});

test('a login of another process counts, although this attempt has a session', async () => {
  const record = recordOf({ loginsSpent: 2 });
  const [surveying] = (await surveyed({ record })) as [State];
  const after = async (holder: typeof owner): Promise<unknown> => {
    const state = { ...surveying, tally: { ...surveying.tally, session } } as State;
    const facts = { record: { ...record, holder }, ageMs: 0 };
    const evidence = await survey(portsOf(facts), state.request, 0, owner);
    const claiming = advance(state, outcome({ of: 'survey', evidence }));
    return claiming.at === 'claiming' ? claiming.record.loginsSpent : claiming.at;
  };

  expect(await after(owner)).toBe(1);
  expect(await after({ ...owner, id: 'owner-0' })).toBe(3);
});

test('a newer record is read at once', async () => {
  const [, examining] = (await surveyed(
    { record: recordOf(), sinceDays: 1 },
    { purpose: 'check' },
  )) as [State, State];
  const found = { record: recordOf({ sequence: 9 }), ageMs: 0 };
  const details = { versions: new Map(), newer: found } as unknown as Details;

  expect(advance(examining, outcome({ of: 'examine', details }))).toEqual({
    at: 'surveying',
    request: examining.request,
    tally: { ...examining.tally, atLeast: 9 },
    waitMs: 0,
  });
});
