// What the operator and the auditor read when one call of a rotation fails: the complete result,
// records, log events and audit events of that run, the status after it, and ten minutes later a
// check and the next run. The texts are in test/fixtures/transcripts.txt.

import type { Ask } from '../../src/app.ts';
import type { AuditEvent, LastSuspension, OpenIntent } from '../../src/rotation/event.ts';
import { Failure, type Reason } from '../../src/rotation/failure.ts';
import type { FoundRecord, LoginAnswer, Ports, ResetAnswer } from '../../src/rotation/ports.ts';
import type { Request } from '../../src/rotation/state.ts';
import { Secret } from '../../src/secret.ts';
import { expectGolden } from '../harness/golden.ts';
import { fleetWorld } from '../harness/serve-world.ts';

type Room = 'store' | 'thingspace' | 'receipts' | 'audit';
/** What happens at the nth call of this method; `lasts`: and at the later ones of that run. */
type Fault = {
  readonly room: Room;
  readonly method: string;
  readonly nth: number;
  readonly lasts?: boolean | 'for ever' | 'later';
  readonly act: (perform: () => Promise<unknown>) => Promise<unknown>;
};

const refuse = (reason: Reason) => async (): Promise<never> => {
  throw new Failure(reason, 'it failed here', { path: '/some/file', host: 'api.test' });
};
/** The call has its effect, and its response is lost. */
const afterwards =
  (reason: Reason) =>
  async (perform: () => Promise<unknown>): Promise<never> => {
    await perform();
    return refuse(reason)();
  };
const answers = (answer: LoginAnswer | ResetAnswer) => async (): Promise<unknown> => answer;
const bytes = (text: string) => new Secret<Uint8Array>(new TextEncoder().encode(text));

const at = (room: Room, method: string, nth: number, act: Fault['act']): Fault => ({
  room,
  method,
  nth,
  act,
});

const lasting = (fault: Fault): Fault => ({ ...fault, lasts: true });

const stories: Readonly<Record<string, Fault | null>> = {
  'nothing fails': null,
  'the secret cannot be read': at('store', 'readCurrent', 1, refuse('store-unavailable')),
  'the record cannot be read': at('store', 'readRecord', 1, refuse('store-denied')),
  'the claim is not written': at('store', 'putRecord', 1, refuse('store-unavailable')),
  'the claim is written without a response': at(
    'store',
    'putRecord',
    1,
    afterwards('store-unavailable'),
  ),
  'another process has claimed the account': at('store', 'putRecord', 1, async () => 'taken'),
  'the store has no room': at('store', 'roomAtMs', 1, async () => Date.UTC(2026, 11, 1, 6)),
  'no API token': at('thingspace', 'authorize', 1, refuse('api-key-refused')),
  'the login is refused': at(
    'thingspace',
    'login',
    1,
    answers({ login: 'refused', detail: 'login: HTTP 400' }),
  ),
  'the login has no response': at(
    'thingspace',
    'login',
    1,
    answers({ login: 'unknown', detail: 'login: HTTP 503' }),
  ),
  'the login is not sent': at(
    'thingspace',
    'login',
    1,
    answers({ login: 'not-sent', detail: 'login: no connection', facts: { host: 'api.test' } }),
  ),
  'the intent is not written': at('store', 'putRecord', 2, refuse('store-unavailable')),
  'the audit log is not writable': at('audit', 'append', 1, refuse('audit-unavailable')),
  'no receipt can be written': at('receipts', 'prepare', 1, refuse('receipt-unavailable')),
  'the reset is not sent': at(
    'thingspace',
    'reset',
    1,
    answers({ reset: 'not-sent', detail: 'reset: no connection' }),
  ),
  'the reset is in doubt': at(
    'thingspace',
    'reset',
    1,
    answers({ reset: 'in-doubt', detail: 'reset: HTTP 503' }),
  ),
  'the reset is applied without a response': at('thingspace', 'reset', 1, async (perform) => {
    await perform();
    return { reset: 'in-doubt', detail: 'reset: the connection failed (ECONNRESET)' };
  }),
  'the response holds no password': at(
    'thingspace',
    'reset',
    1,
    answers({ reset: 'answered', body: bytes('{"newPassword":5}') }),
  ),
  'the receipt fails': at('receipts', 'write', 1, refuse('receipt-unavailable')),
  'the password is stored at the second try': at(
    'store',
    'putPending',
    1,
    refuse('store-unavailable'),
  ),
  'the promotion has no response': at('store', 'promote', 1, afterwards('store-unavailable')),
  'the current version changes before the promotion': at(
    'store',
    'promote',
    1,
    async () => 'conflict',
  ),
  'the verifying login has no response': at(
    'thingspace',
    'login',
    2,
    answers({ login: 'unknown', detail: 'login: HTTP 503' }),
  ),
  'the verifying login is not sent': at(
    'thingspace',
    'login',
    2,
    answers({ login: 'not-sent', detail: 'login: no connection' }),
  ),
  'the verifying login is refused': at(
    'thingspace',
    'login',
    2,
    answers({ login: 'refused', detail: 'login: HTTP 400' }),
  ),
  'the outcome is not recorded': at('audit', 'append', 2, refuse('audit-unavailable')),
  'the closing record is not written': at('store', 'putRecord', 3, refuse('store-unavailable')),
  'the outcome is never recorded': lasting(at('audit', 'append', 2, refuse('audit-unavailable'))),
  'the closing record is never written': lasting(
    at('store', 'putRecord', 3, refuse('store-denied')),
  ),
  'the promotion is denied': lasting(at('store', 'promote', 1, refuse('store-denied'))),
  'the API is unreachable': lasting(at('thingspace', 'authorize', 1, refuse('api-unavailable'))),
  'the secret is invalid': lasting(at('store', 'readCurrent', 1, refuse('secret-invalid'))),
};

type Calls = { count: number; isFirstRun: boolean };

/** The ports with a fault at one call of the world's life, or at the last ones of the first run. */
function withFault(ports: Ports, fault: Fault | null, calls: Calls): Ports {
  if (fault === null) return ports;
  const { room, method, nth, lasts = false, act } = fault;
  const port = ports[room] as unknown as Record<string, (...given: unknown[]) => Promise<unknown>>;
  const perform = port[method] as (typeof port)[string];
  const faulty = (...given: unknown[]): Promise<unknown> => {
    calls.count += 1;
    const isInTime = calls.isFirstRun ? lasts !== 'later' : lasts !== true;
    const isMet = lasts ? isInTime && calls.count >= nth : calls.count === nth;
    return isMet ? act(() => perform(...given)) : perform(...given);
  };
  return { ...ports, [room]: { ...port, [method]: faulty } };
}

const lineOf = (kind: string, value: object): string => `  ${kind} ${JSON.stringify(value)}`;

type Purpose = Request['purpose'];
/** Steps of Secrets Manager's own rotation, as lambda/rotation-steps.ts asks for them; abandon. */
type SpecialStep = 'setSecret' | 'testSecret' | 'finishSecret' | 'abandon' | 'abandon another';

const native = { native: { rotationId: 'native-token' }, trigger: { kind: 'native' } } as const;
const byHand = { trigger: { kind: 'manual', reason: 'it was reset in the portal' } } as const;
const steps: Readonly<Record<SpecialStep, Ask>> = {
  setSecret: { purpose: 'rotate', force: true, ...native },
  testSecret: { purpose: 'check', force: false, ...native },
  finishSecret: { purpose: 'recover', force: false, ...native },
  abandon: { purpose: 'resume', abandon: 'rotation-2', ...byHand },
  'abandon another': { purpose: 'resume', abandon: 'rotation-7', ...byHand },
};

/** Ends the attempt as a signal does. */
let interrupt = new AbortController();

/** The audit log remembers which rotations have no outcome, as the real one does. */
function openIntents(events: readonly AuditEvent[]): OpenIntent[] {
  const open = new Map<string, OpenIntent>();
  for (const { code, account, rotationId = '' } of events) {
    if (code === 'rotation.intended')
      open.set(rotationId, { rotationId, account, intendedAtMs: 0 });
    if (code === 'rotation.outcome' || code === 'rotation.reconciled') open.delete(rotationId);
  }
  return [...open.values()];
}

/** And which attempt record suspends the account. */
function suspensionIn(events: readonly AuditEvent[]): LastSuspension | null {
  const { code, secretId, attemptRecord } =
    events.findLast((event) => ['account.stopped', 'account.resumed'].includes(event.code)) ?? {};
  if (code !== 'account.stopped' || secretId === undefined) return null;
  return { secretId, attemptRecord: attemptRecord ?? 0, atMs: 0 };
}

async function tell(
  faults: readonly Fault[],
  later: readonly (Purpose | SpecialStep)[],
): Promise<string[]> {
  const calls = faults.map(() => ({ count: 0, isFirstRun: true }));
  const appended: AuditEvent[] = [];
  const wrap = (given: Ports): Ports => {
    const audit: Ports['audit'] = {
      append: async (events) => {
        await given.audit.append(events);
        appended.push(...events);
      },
      rotationsOf: async () => ({
        open: openIntents(appended),
        last: null,
        suspension: suspensionIn(appended),
      }),
    };
    const { store, receipts, ...others } = faults.reduce(
      (ports, fault, index) => withFault(ports, fault, calls[index] as Calls),
      { ...given, audit },
    );
    const putRecord: typeof store.putRecord = (record) => {
      world.events.push({ record } as never);
      return store.putRecord(record);
    };
    const discard = async (discarded: string): Promise<void> => {
      world.events.push({ discarded } as never);
    };
    return { ...others, store: { ...store, putRecord }, receipts: { ...receipts, discard } };
  };
  const world = fleetWorld({ names: ['east'], age: () => 80, wrap });
  const [account] = world.accounts;
  if (!account) throw new Error('no account');
  const lines: string[] = [];
  const run = async (what: Purpose | SpecialStep): Promise<void> => {
    const ask: Ask =
      what in steps
        ? steps[what as SpecialStep]
        : { purpose: what as Purpose, trigger: { kind: 'schedule' } };
    interrupt = new AbortController();
    const running = world.rotator.attempt(account, ask, interrupt.signal);
    // Waits between tries: the clock only moves when somebody moves it.
    let isOver = false;
    void running.then(() => {
      isOver = true;
    });
    for (let seconds = 0; !isOver && seconds < 600; seconds += 1) await world.clock.advance(1_000);
    const result = await running;
    for (const event of world.events.splice(0)) lines.push(lineOf('log', event));
    for (const event of world.audit.splice(0)) lines.push(lineOf('audit', event));
    lines.push(lineOf('result', result));
  };
  await run('rotate');
  for (const one of calls) one.isFirstRun = false;
  lines.push(lineOf('status', await world.rotator.status(account)));
  await world.clock.advance(600_000);
  for (const purpose of later) await run(purpose);
  return lines;
}

test.each(Object.entries(stories))(
  'the result, the log and the audit records tell what happened: %s',
  async (title, fault) => {
    expectGolden(
      'transcripts.txt',
      title,
      (await tell(fault ? [fault] : [], ['check', 'rotate'])).join('\n'),
    );
  },
);

/** What a person does after a failure. */
const repairs: [story: string, ...later: (Purpose | SpecialStep)[]][] = [
  ['nothing fails', 'resume', 'recover'],
  ['the secret cannot be read', 'resume'],
  ['the reset is in doubt', 'abandon another', 'abandon'],
  ['the verifying login is refused', 'abandon', 'check'],
  ['the API is unreachable', 'setSecret', 'setSecret', 'testSecret', 'testSecret', 'finishSecret'],
  ['the API is unreachable', 'setSecret', 'rotate', 'testSecret'],
  ['the promotion is denied', 'setSecret', 'testSecret', 'finishSecret'],
  ['the login is refused', 'setSecret', 'testSecret'],
  ['the claim is written without a response', 'recover', 'resume'],
  ['the login is refused', 'recover', 'resume', 'resume'],
  ['the reset is in doubt', 'recover', 'recover'],
  ['the reset is applied without a response', 'recover', 'resume', 'check'],
  ['the promotion is denied', 'recover', 'recover'],
  ['the promotion has no response', 'recover'],
  ['the verifying login has no response', 'recover'],
  ['the verifying login is refused', 'recover', 'resume', 'check'],
  ['the closing record is never written', 'recover'],
];

test.each(repairs)('after "%s" the repair tells what it did: %s', async (story, ...later) => {
  const fault = stories[story];

  expectGolden(
    'transcripts.txt',
    `${story}; ${later.join()}`,
    (await tell(fault ? [fault] : [], later)).join('\n'),
  );
});

const lost = at('thingspace', 'reset', 1, async (perform) => {
  const answer = (await perform()) as Extract<ResetAnswer, { reset: 'answered' }>;
  lostBody = answer.body;
  return { reset: 'in-doubt', detail: 'reset: the connection failed (ECONNRESET)' };
});
let lostBody: Secret<Uint8Array> | null = null;
const always = (room: Room, method: string, answer: () => unknown): Fault => ({
  room,
  method,
  nth: 1,
  lasts: 'for ever',
  act: async () => answer(),
});

const later = (room: Room, method: string, act: Fault['act']): Fault => ({
  room,
  method,
  nth: 1,
  lasts: 'later',
  act,
});

/** What else can be in the store, in the receipts folder and in the audit log. */
const findings: Readonly<Record<string, readonly Fault[]>> = {
  'the response is in a sealed receipt': [
    lost,
    always('receipts', 'find', () => ({ place: '/receipts/east.age', body: null })),
  ],
  'the response is in a readable receipt': [
    lost,
    always('receipts', 'find', () => ({ place: '/receipts/east.age', body: lostBody })),
  ],
  'the receipt holds no password': [
    lost,
    always('receipts', 'find', () => ({ place: '/receipts/east.age', body: bytes('{}') })),
  ],
  'the response is kept in the secret': [
    lost,
    always('store', 'readAnswer', () => ({ versionId: 'answer-1', body: lostBody })),
  ],
  'the kept response holds no password': [
    lost,
    always('store', 'readAnswer', () => ({ versionId: 'answer-1', body: bytes('{}') })),
  ],
  'another program left a pending version': [always('store', 'readPending', () => 'foreign-1')],
  'the audit log knows a newer version': [
    always('audit', 'rotationsOf', () => ({
      open: [],
      last: {
        rotationId: 'rotation-9',
        secretId: 'east',
        versionId: 'v-9',
        atMs: Date.UTC(2026, 10, 30),
        isVerified: true,
      },
    })),
  ],
  'a signal arrives during the login': [
    at('thingspace', 'login', 1, async (perform) => {
      interrupt.abort();
      return perform();
    }),
  ],
  'a signal arrives during the reset': [
    at('thingspace', 'reset', 1, async (perform) => {
      interrupt.abort();
      return perform();
    }),
  ],
  'another process takes over during the login': [
    at('store', 'readRecord', 2, async (perform) => {
      const found = (await perform()) as FoundRecord;
      return { ...found, record: { ...found.record, holder: { id: 'other' }, sequence: 2 } };
    }),
  ],
  'an old version cannot be read after a lost reset': [
    lost,
    later('store', 'readVersion', refuse('store-unavailable')),
  ],
  'the audit log has an intent that no record names': [
    always('audit', 'rotationsOf', () => ({
      open: [{ rotationId: 'rotation-x', account: 'east', intendedAtMs: 0 }],
      last: null,
    })),
  ],
  'the verification cannot be repeated': [
    at('thingspace', 'login', 2, answers({ login: 'unknown', detail: 'login: HTTP 503' })),
    later('thingspace', 'login', answers({ login: 'refused', detail: 'login: HTTP 400' })),
  ],
  'the audit log cannot be read': [
    lasting(at('audit', 'rotationsOf', 1, refuse('audit-unavailable'))),
  ],
  'the claim dies with its attempt': [
    at('store', 'readRecord', 2, refuse('store-unavailable')),
    lasting(at('thingspace', 'login', 1, answers({ login: 'unknown', detail: 'login: HTTP 503' }))),
  ],
  'the reset is refused: session': [
    at(
      'thingspace',
      'reset',
      1,
      answers({ reset: 'refused', because: 'session', detail: 'reset: HTTP 401' }),
    ),
  ],
  'the reset is refused: api-token': [
    at(
      'thingspace',
      'reset',
      1,
      answers({ reset: 'refused', because: 'api-token', detail: 'reset: HTTP 401' }),
    ),
  ],
  'the reset is refused: throttled': [
    at(
      'thingspace',
      'reset',
      1,
      answers({ reset: 'refused', because: 'throttled', detail: 'reset: HTTP 429' }),
    ),
  ],
  'the reset is refused: code': [
    at(
      'thingspace',
      'reset',
      1,
      answers({ reset: 'refused', because: 'code', detail: 'reset: HTTP 400' }),
    ),
  ],
};

test.each(Object.entries(findings))(
  'the result, the log and the audit records tell what was found: %s',
  async (title, faults) => {
    const told = await tell(faults, ['check', 'recover', 'rotate']);

    expectGolden('transcripts.txt', title, told.join('\n'));
  },
);
