// What an attempt asks of its ports, call after call, and what it reports: without a fault, and
// when one call fails, hangs, comes late or answers something else. The texts are in
// test/fixtures/calls.txt. No call here takes time; each story says how much passes.

import { Failure } from '../../src/rotation/failure.ts';
import type { FoundRecord, Ports, SecretVersion } from '../../src/rotation/ports.ts';
import type { AttemptRecord } from '../../src/rotation/record.ts';
import { rotate } from '../../src/rotation/rotate.ts';
import type { Request } from '../../src/rotation/state.ts';
import { readStatus } from '../../src/rotation/status.ts';
import { Secret } from '../../src/secret.ts';
import {
  bytes,
  type Facts,
  failure,
  nowMs,
  open,
  owner,
  portsOf,
  recordOf,
  request,
  shown,
  version,
} from '../harness/attempt-values.ts';
import { expectGolden } from '../harness/golden.ts';

type Call = (...given: never[]) => unknown;
type Story = {
  readonly facts?: Facts;
  readonly asked?: Partial<Request>;
  /** What a method does instead, at its first call, its second, and so on; then as usual. */
  readonly instead?: Readonly<
    Record<string, readonly (typeof asUsual | ((world: World) => unknown))[]>
  >;
};
type World = {
  readonly calls: string[];
  readonly interrupt: AbortController;
  monotonicMs: number;
  remainingMs: number;
  /** The next limit on waiting is over at once. */
  isHanging: boolean;
  readonly records: AttemptRecord[];
};

/** At this call nothing else happens. */
const asUsual = undefined;
const hangs = (world: World): Promise<never> => {
  world.isHanging = true;
  return new Promise(() => {});
};
const fails = (reason: Parameters<typeof failure>[0]) => async (): Promise<never> => {
  throw failure(reason);
};
const answers = (value: unknown) => async (): Promise<unknown> => value;
const breaks = (error: unknown) => async (): Promise<never> => {
  throw error;
};

const session = { sessionToken: new Secret('session'), credentials: version('', '').credentials };

/** Ports that write each call down, and then do what the story says, or what is usual. */
function portsIn({ facts = {}, instead = {} }: Story, world: World): Ports {
  let now = facts;
  const known = portsOf(facts);
  const counts = new Map<string, number>();
  const wrap = <P extends object>(port: P): P =>
    Object.fromEntries(
      Object.entries(port).map(([method, usual]) => [
        method,
        (...given: never[]) => {
          if (world.calls.length > 300) throw new Error('the attempt does not end');
          const count = counts.get(method) ?? 0;
          counts.set(method, count + 1);
          const args = given.filter((one) => typeof one !== 'function').map(shown);
          world.calls.push(`  ${method} ${args.join(' ')}`.trimEnd());
          const other = instead[method]?.[count];
          return other ? other(world) : (usual as Call)(...given);
        },
      ]),
    ) as P;
  const newest = (): FoundRecord | null => {
    const record = world.records.at(-1);
    return record ? { record, ageMs: 0 } : null;
  };
  const mayBegin = (mayStillSend: () => string | null, from: string) => {
    const detail = mayStillSend();
    return detail === null ? null : { [from]: 'not-sent', detail };
  };
  const store = {
    ...known.store,
    readRecord: async (atLeast: number) => newest() ?? known.store.readRecord(atLeast),
    putRecord: async (record: AttemptRecord) => {
      world.records.push(record);
      return 'written' as const;
    },
    readCurrent: () => portsOf(now).store.readCurrent(),
    readVersion: (id: string) => portsOf(now).store.readVersion(id),
    putPending: async (id: string, _basis: SecretVersion, password: Secret) => {
      now = { ...now, versions: [...(now.versions ?? []), version(id, password.reveal())] };
      return 'stored' as const;
    },
    promote: async (_from: string, to: string) => {
      const { current = version('v1', 'old'), versions = [] } = now;
      const moved = versions.find(({ versionId }) => versionId === to) ?? current;
      now = { ...now, current: moved, versions: [...versions, current] };
      return 'promoted' as const;
    },
    putAnswer: async () => 'answer-1',
    roomAtMs: async () => null,
  };
  const thingspace = {
    ...known.thingspace,
    connectAhead: () => {},
    authorize: async () => {},
    login: async (_: unknown, mayStillSend: () => string | null) =>
      mayBegin(mayStillSend, 'login') ?? { login: 'accepted', session },
    reset: async (_: unknown, mayStillSend: () => string | null) =>
      mayBegin(mayStillSend, 'reset') ?? { reset: 'answered', body: bytes('new') },
    endSession: async () => {},
  };
  const receipts = {
    ...known.receipts,
    prepare: async () => {},
    write: async () => '/receipts/east.age',
    discard: async () => {},
  };
  const audit = { ...known.audit, append: async () => {} };
  const clock = {
    nowMs: () => nowMs,
    monotonicMs: () => world.monotonicMs,
    busyMs: () => 0,
    remainingMs: () => world.remainingMs,
    sleep: (ms: number, wake?: AbortSignal) => {
      world.calls.push(`  sleep ${ms}${wake ? ' at most' : ''}`);
      const isOver = !wake || world.isHanging;
      if (wake) world.isHanging = false;
      if (isOver) return Promise.resolve();
      return new Promise<void>((resolve) => {
        wake.addEventListener('abort', () => {
          world.calls.push(`  woken from ${ms}`);
          resolve();
        });
      });
    },
  };
  let ids = 2;
  const processes = {
    ...known.processes,
    begin: () => owner,
    end: ({ id }: { id: string }) => void world.calls.push(`  end ${id}`),
    rotationId: () => `r${ids++}`,
  };
  const observe = (event: object): void => void world.calls.push(`  observe ${shown(event)}`);
  return {
    store: wrap(store),
    thingspace: wrap(thingspace),
    receipts: wrap(receipts),
    audit: wrap(audit),
    clock,
    processes,
    observe: instead['observe'] ? (instead['observe'][0] as never) : observe,
  } as unknown as Ports;
}

async function tell(story: Story): Promise<string> {
  const { facts = {}, asked = {} } = story;
  const world: World = {
    calls: [],
    interrupt: new AbortController(),
    monotonicMs: 1_000,
    remainingMs: Number.POSITIVE_INFINITY,
    isHanging: false,
    records: [],
  };
  const ports = portsIn(story, world);
  const whole = { ...request, ...facts.request, ...asked };
  const result = await rotate(ports, whole, world.interrupt.signal).catch((error: unknown) =>
    String(error),
  );
  return [...world.calls, shown(result)].join('\n');
}

/** The process is paused, and then the call does what is usual. */
const pausedUntil =
  (monotonicMs: number, value: unknown) =>
  async (world: World): Promise<unknown> => {
    world.monotonicMs = monotonicMs;
    return value;
  };
const interrupted =
  (value: unknown) =>
  async (world: World): Promise<unknown> => {
    world.interrupt.abort();
    return value;
  };
const withLeft =
  (remainingMs: number, value: unknown) =>
  async (world: World): Promise<unknown> => {
    world.remainingMs = remainingMs;
    return value;
  };
/** The record is written by this attempt, and the call answers something else. */
const ownRecord =
  (fields: Partial<AttemptRecord>, answer: 'taken' | Failure) =>
  async (world: World): Promise<unknown> => {
    world.records.push(recordOf({ sequence: 1, holder: owner, ...fields }));
    if (answer instanceof Failure) throw answer;
    return answer;
  };

const slowly = async (): Promise<string> => {
  for (let turns = 0; turns < 200; turns += 1) await Promise.resolve();
  return '/receipts/east.age';
};

const unavailable = fails('store-unavailable');
const denied = fails('store-denied');
const rejected = answers({ login: 'refused', detail: 'login: HTTP 400' });
const unreadable = answers({ reset: 'answered', body: bytes('?') });
const native: Partial<Request> = {
  force: true,
  native: { rotationId: 'token' },
  trigger: { kind: 'native' },
};
const opened = recordOf({ phase: 'resetting', leaseMs: 90_000, open, loginsSpent: 1 } as never);
const stopped = recordOf({ phase: 'stopped', reason: 'login-refused', loginsSpent: 1 } as never);
const resume: Partial<Request> = { purpose: 'resume' };

const stories: Readonly<Record<string, Story>> = {
  'nothing fails': {},
  'nothing is due': { facts: { current: version('v1', 'old', { days: 1 }), sinceDays: 1 } },
  'a check': { asked: { purpose: 'check' } },
  'a rotation of Secrets Manager': { asked: native },
  'a stored password is made current': {
    facts: { record: opened, versions: [version('r1', 'new')] },
    asked: { purpose: 'recover' },
  },
  'the claim has no response': { instead: { putRecord: [unavailable] } },
  'the claim is denied': { instead: { putRecord: [denied] } },
  'the claim has no response twice': { instead: { putRecord: [unavailable, unavailable] } },
  'the claim has no response twice, and is written': {
    instead: {
      putRecord: [unavailable, ownRecord({}, failure('store-unavailable')), answers('taken')],
    },
  },
  'the claim has no response twice, and another process has written one': {
    instead: {
      putRecord: [
        unavailable,
        ownRecord({ holder: { id: 'other' } }, failure('store-unavailable')),
        answers('taken'),
      ],
    },
  },
  'the claim has no response twice, and a later record exists': {
    instead: {
      putRecord: [
        unavailable,
        ownRecord({ sequence: 2 }, failure('store-unavailable')),
        answers('taken'),
      ],
    },
  },
  'the claim has no response twice, and cannot be read': {
    instead: {
      putRecord: [unavailable, unavailable, answers('taken')],
      readRecord: [answers(null), unavailable],
    },
  },
  'the claim has no response twice, and no record exists': {
    instead: { putRecord: [unavailable, unavailable, answers('taken')] },
  },
  'the store has room in half a minute': { instead: { roomAtMs: [answers(nowMs + 30_000)] } },
  'the store has room in an hour': { instead: { roomAtMs: [answers(nowMs + 3_600_001)] } },
  'the store has room now': { instead: { roomAtMs: [answers(nowMs - 1)] } },
  'the lease ends before the login': { instead: { authorize: [pausedUntil(41_001, undefined)] } },
  'the lease ends with the login': { instead: { authorize: [pausedUntil(41_000, undefined)] } },
  'the claim is not read back': { instead: { readRecord: [answers(null), answers(null)] } },
  'an older record is read back': {
    instead: {
      readRecord: [answers(null), answers({ record: recordOf({ sequence: 0 }), ageMs: 0 })],
    },
  },
  'another record is read back': {
    instead: {
      readRecord: [answers(null), answers({ record: recordOf({ sequence: 1 }), ageMs: 0 })],
    },
  },
  'the claim cannot be read back': { instead: { readRecord: [answers(null), denied] } },
  'the token of Secrets Manager has a value after the claim': {
    asked: native,
    instead: { readVersion: [answers(null), answers(version('token', 'x'))] },
  },
  'the token of Secrets Manager cannot be read after the claim': {
    asked: native,
    instead: { readVersion: [answers(null), denied] },
  },
  'a check of Secrets Manager': { asked: { ...native, force: false, purpose: 'check' } },
  'the intent is not audited': { instead: { append: [fails('audit-unavailable')] } },
  'no receipt can be written': { instead: { prepare: [fails('receipt-unavailable')] } },
  'a signal before the login': { instead: { authorize: [interrupted(undefined)] } },
  'a signal before the reset': { instead: { prepare: [interrupted(undefined)] } },
  'a signal after the reset': { instead: { write: [interrupted('/receipts/east.age')] } },
  'paused until the time to send is over': {
    instead: { prepare: [pausedUntil(11_001, undefined)] },
  },
  'paused until the time to send ends': { instead: { prepare: [pausedUntil(11_000, undefined)] } },
  'too little time for the reset': { instead: { prepare: [withLeft(89_999, undefined)] } },
  'just enough time for the reset': { instead: { prepare: [withLeft(90_000, undefined)] } },
  'the reset is not sent': {
    instead: { reset: [answers({ reset: 'not-sent', detail: 'reset: no connection' })] },
  },
  'the reset is in doubt': {
    instead: { reset: [answers({ reset: 'in-doubt', detail: 'reset: cut' })] },
  },
  'the reset is in doubt, and the password arrived': {
    instead: { reset: [answers({ reset: 'in-doubt', detail: 'reset: cut', body: bytes('new') })] },
  },
  'the reset is refused, and the last record is not written': {
    instead: {
      reset: [answers({ reset: 'refused', because: 'code', detail: 'HTTP 400' })],
      putRecord: [asUsual, asUsual, denied, denied, denied],
    },
  },
  'the session is refused': {
    instead: { reset: [answers({ reset: 'refused', because: 'session', detail: 'HTTP 401' })] },
  },
  'receipts are off': { instead: { write: [answers(null)] } },
  'the receipt fails': { instead: { write: [fails('receipt-unavailable')] } },
  'the receipt breaks': { instead: { write: [breaks(new TypeError('a bug'))] } },
  'the receipt is written slowly': { instead: { write: [slowly] } },
  'the receipt is written slowly, and the store denies the password': {
    instead: { write: [slowly], putPending: [denied, denied, denied] },
  },
  'the receipt is written slowly, and the store denies the response': {
    instead: { reset: [unreadable], write: [slowly], putAnswer: [denied, denied, denied] },
  },
  'the receipt hangs': { instead: { write: [hangs] } },
  'the response is kept': { instead: { reset: [unreadable] } },
  'the response is kept at the second try': {
    instead: { reset: [unreadable], putAnswer: [unavailable, unavailable] },
  },
  'the response is kept in the receipt only': {
    instead: { reset: [unreadable], putAnswer: [denied, denied, denied] },
  },
  'the password is stored at the third try': {
    instead: { putPending: [unavailable, unavailable], write: [answers(null)] },
  },
  'receipts are off, and the store denies the password three times': {
    instead: { write: [answers(null)], putPending: [denied, denied, denied] },
  },
  'the store denies the password three times': {
    instead: { putPending: [denied, denied, denied] },
  },
  'the new password equals the old one': {
    instead: { reset: [answers({ reset: 'answered', body: bytes('old') })] },
  },
  'the storing breaks': { instead: { putPending: [breaks(new TypeError('a bug'))] } },
  'the storing breaks without an error': { instead: { putPending: [breaks('a text')] } },
  'the storing hangs until the time ends': {
    instead: { prepare: [withLeft(90_000, undefined)], putPending: [hangs] },
  },
  'the storing hangs after the end of the time': {
    instead: {
      prepare: [withLeft(90_000, undefined)],
      write: [withLeft(-10, null)],
      putPending: [hangs],
    },
  },
  'the storing hangs at the end of the time': {
    instead: {
      prepare: [withLeft(90_000, undefined)],
      write: [withLeft(3_001, null)],
      putPending: [hangs],
    },
  },
  'the id of the password is taken twice': {
    instead: { putPending: [answers('taken'), answers('taken')] },
  },
  'the promotion is tried again': { instead: { promote: [unavailable] } },
  'the promotion conflicts with the version to be replaced': {
    instead: { promote: [answers('conflict')] },
  },
  'the promotion was done before': {
    instead: {
      promote: [answers('conflict')],
      readCurrent: [answers(version('v1', 'old')), answers(version('r2', 'new'))],
    },
  },
  'another version was made current': {
    instead: {
      promote: [answers('conflict')],
      readCurrent: [answers(version('v1', 'old')), answers(version('by-hand', 'other'))],
    },
  },
  'the lease ends before the verifying login': {
    instead: { promote: [pausedUntil(91_001, 'promoted')] },
  },
  'the lease ends with the verifying login': {
    instead: { promote: [pausedUntil(91_000, 'promoted')] },
  },
  'the outcome is recorded at the third try': {
    instead: { append: [answers(undefined), ...Array(2).fill(fails('audit-unavailable'))] },
  },
  'the outcome is not recorded': {
    instead: { append: [answers(undefined), ...Array(3).fill(fails('audit-unavailable'))] },
  },
  'the last record is written at the third try': {
    instead: { putRecord: [asUsual, asUsual, denied, denied] },
  },
  'the last record is not written': {
    instead: { putRecord: [asUsual, asUsual, denied, denied, denied] },
  },
  'the last record is taken': {
    instead: { putRecord: [asUsual, asUsual, answers('taken')] },
  },
  'a suspension is not written': {
    instead: { login: [rejected], putRecord: [asUsual, denied, denied, denied] },
  },
  'a suspension after the reset is not written': {
    instead: {
      login: [answers({ login: 'accepted', session }), rejected],
      putRecord: [asUsual, asUsual, denied, denied, denied],
    },
  },
  'Secrets Manager rotates a suspended account, which the audit log does not have': {
    facts: { record: { ...stopped, refused: 'v1' } as AttemptRecord },
    asked: native,
  },
  'a resume': { facts: { record: stopped, intents: ['r9'] }, asked: resume },
  'a resume is not written': {
    facts: { record: stopped, intents: ['r9'] },
    asked: resume,
    instead: { putRecord: [denied, denied, denied] },
  },
  'a resume is taken': {
    facts: { record: stopped },
    asked: resume,
    instead: { putRecord: [answers('taken')] },
  },
  'a rotation of Secrets Manager whose release is taken': {
    asked: native,
    instead: {
      reset: [answers({ reset: 'not-sent', detail: 'reset: no connection' })],
      putRecord: [asUsual, asUsual, answers('taken')],
    },
  },
  'a rotation of Secrets Manager whose last record is taken': {
    asked: native,
    instead: { putRecord: [asUsual, asUsual, answers('taken')] },
  },
  'the observer fails': {
    instead: {
      observe: [
        () => {
          throw new Error('the disk is full');
        },
      ],
    },
  },
  'the survey breaks': { instead: { readCurrent: [breaks(new TypeError('a bug'))] } },
  'the newest record is not shown': {
    facts: { record: recordOf({ sequence: 4 }), newer: recordOf({ sequence: 6 }) },
    asked: { purpose: 'check' },
  },
  'a read of the newest record is outdated': {
    facts: { record: recordOf({ sequence: 4 }) },
    asked: { purpose: 'check' },
    instead: {
      readRecord: [
        answers({ record: recordOf({ sequence: 4 }), ageMs: 0 }),
        answers({ record: recordOf({ sequence: 5 }), ageMs: 0 }),
        answers({ record: recordOf({ sequence: 4 }), ageMs: 0 }),
      ],
    },
  },
  'AWSCURRENT is outdated': {
    facts: { record: opened, isUnlabelled: true },
    asked: { purpose: 'recover' },
  },
};

test.each(Object.entries(stories))(
  'an attempt asks this of its ports, and reports this: %s',
  async (title, story) => {
    expectGolden('calls.txt', title, await tell(story));
  },
);

test('the status is read again while a read is outdated, three times at most', async () => {
  const tries = async (newest: readonly number[]): Promise<object> => {
    const reads = [...newest];
    const ports = portsOf({ record: recordOf({ sequence: 4 }) });
    const readRecord = async () => {
      const sequence = reads.shift();
      return sequence === undefined ? null : { record: recordOf({ sequence }), ageMs: 0 };
    };
    const store = { ...ports.store, readRecord };
    const { state, reason, detail } = await readStatus({ ...ports, store }, request);
    return { state, reason, detail, left: reads.length };
  };
  const settled = { state: 'settled', reason: undefined, detail: undefined };

  expect(await tries([4, 0])).toEqual({ ...settled, left: 0 });
  expect(await tries([4, 5, 5, 6, 6, 6])).toEqual({ ...settled, left: 0 });
  expect(await tries([4, 5, 5, 6, 6, 7, 7, 7])).toEqual({
    state: 'busy',
    reason: 'busy',
    detail: 'the secret store returns outdated data',
    left: 2,
  });
});

test('a status that found a newer record does not go back to an older one', async () => {
  const ports = portsOf({ record: opened, isUnlabelled: true });
  const asked: number[] = [];
  const readRecord = async (atLeast: number) => {
    asked.push(atLeast);
    const sequence = atLeast === 0 ? 7 : 8;
    return { record: { ...opened, sequence }, ageMs: 100_000 };
  };

  const { reason } = await readStatus({ ...ports, store: { ...ports.store, readRecord } }, request);

  expect([reason, asked]).toEqual(['busy', [0, 8, 8, 9, 8, 9]]);
});

test('a bug in a port is thrown, also by the status', async () => {
  const bug = new TypeError('a bug');
  const ports = portsOf({});
  const audit = { ...ports.audit, rotationsOf: breaks(bug) };
  const store = { ...ports.store, readCurrent: breaks(bug) };

  await expect(readStatus({ ...ports, audit }, request)).rejects.toBe(bug);
  await expect(readStatus({ ...ports, store }, request)).rejects.toBe(bug);
});
