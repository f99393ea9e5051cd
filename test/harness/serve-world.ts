// A fleet in memory for the scheduler: the real rotate() and readStatus() with a store and a
// ThingSpace that are maps, and a virtual clock that a test advances. Nothing here waits for real
// time.

import type { Account, Rotator } from '../../src/app.ts';
import type { LoggedEvent } from '../../src/audit/schema.ts';
import type { Config } from '../../src/config/load.ts';
import type { RotationEvent } from '../../src/rotation/event.ts';
import { Failure } from '../../src/rotation/failure.ts';
import type {
  Clock,
  Ports,
  SecretStore,
  SecretVersion,
  ThingSpace,
} from '../../src/rotation/ports.ts';
import type { AttemptRecord } from '../../src/rotation/record.ts';
import { rotate } from '../../src/rotation/rotate.ts';
import type { Request } from '../../src/rotation/state.ts';
import { readStatus } from '../../src/rotation/status.ts';
import type { NextRunMs } from '../../src/scheduler/cron.ts';
import { Secret } from '../../src/secret.ts';

export const dayMs = 86_400_000;
export const minuteMs = 60_000;
/** 2026-12-01T00:00:00Z */
const december = Date.UTC(2026, 11, 1);

export type VirtualClock = Clock & {
  /** Advances both clocks; sleepers wake in the order of their times. */
  advance(ms: number): Promise<void>;
  /** Sets the wall clock; the monotonic clock is not changed. */
  step(ms: number): void;
  /** The number of sleepers. */
  sleepers(): number;
};

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

export function virtualClock(startMs: number = december): VirtualClock {
  let [passedMs, steppedMs] = [0, 0];
  const sleeping = new Set<{ atMs: number; done: () => void }>();
  return {
    nowMs: () => startMs + passedMs + steppedMs,
    monotonicMs: () => passedMs,
    busyMs: () => 0,
    remainingMs: () => Number.POSITIVE_INFINITY,
    sleep: (ms, wake) =>
      new Promise((resolve) => {
        if (wake?.aborted) return resolve();
        const sleeper = {
          atMs: passedMs + ms,
          done: () => {
            sleeping.delete(sleeper);
            wake?.removeEventListener('abort', sleeper.done);
            resolve();
          },
        };
        sleeping.add(sleeper);
        wake?.addEventListener('abort', sleeper.done);
      }),
    advance: async (ms) => {
      const untilMs = passedMs + ms;
      for (;;) {
        await turn();
        let next: { atMs: number; done: () => void } | null = null;
        for (const sleeper of sleeping)
          if (sleeper.atMs <= untilMs && (next === null || sleeper.atMs < next.atMs))
            next = sleeper;
        if (!next) break;
        passedMs = Math.max(passedMs, next.atMs);
        next.done();
      }
      passedMs = untilMs;
      await turn();
    },
    step: (ms) => {
      steppedMs += ms;
    },
    sleepers: () => sleeping.size,
  };
}

/** A run every day at 03:17 UTC of the virtual clock, and one after `runNow` is called. */
export function dailyCron(clock: VirtualClock): { nextRunMs: NextRunMs; runNow(): void } {
  const atMs = (3 * 60 + 17) * minuteMs;
  let isWanted = false;
  return {
    nextRunMs: () => {
      const today = Math.floor(clock.nowMs() / dayMs) * dayMs + atMs;
      const nextMs = today > clock.nowMs() ? today : today + dayMs;
      const isNow = isWanted;
      isWanted = false;
      return isNow ? clock.nowMs() : nextMs;
    },
    runNow: () => {
      isWanted = true;
    },
  };
}

type Version = {
  readonly versionId: string;
  readonly createdAtMs: number;
  readonly password: Secret;
};
type Kept = {
  username: string;
  versions: Map<string, Version>;
  current: string;
  pending: string | null;
  records: Map<number, { record: AttemptRecord; atMs: number }>;
  newest: number;
};

export type FleetWorld = {
  readonly clock: VirtualClock;
  readonly rotator: Pick<
    Rotator,
    'config' | 'accounts' | 'attempt' | 'status' | 'storeClock' | 'audit' | 'observe'
  >;
  readonly audit: LoggedEvent[];
  readonly events: RotationEvent[];
  /** The accounts that exist; the next run sees a change. */
  readonly accounts: Account[];
  /**
   * What fails now. `logins`: no login is answered. `throttled`: HTTP 429. `attempts`: an attempt
   * on this account throws a bug.
   */
  readonly broken: {
    store: boolean;
    thingspace: boolean;
    thingspaceAfterReset: boolean;
    logins: boolean;
    throttled: boolean;
    audit: boolean;
    attempts: Set<string>;
    secrets: Set<string>;
  };
  readonly counts: {
    attempts: number;
    logins: number;
    resets: number;
    reads: number;
    mostAtOnce: number;
    checkpoints: number;
  };
  /** Called before each attempt, which waits for the promise. */
  hold: (name: string) => Promise<void> | undefined;
  /** The same for the reading of a status. */
  holdStatus: (name: string) => Promise<void> | undefined;
  /** How far the clock of the store is ahead of that of the service. */
  storeAheadMs: number;
  /** From now on the store does not answer for this account. */
  hangFor(name: string): void;
  /** Lets what hangs go on. */
  release(): void;
  /** The order in which attempts began. */
  readonly began: string[];
  ageDays(name: string): number;
  setAge(name: string, days: number): void;
  /** Whether the store's current password is the one that ThingSpace takes. */
  isConsistent(name: string): boolean;
  setUsername(name: string, username: string): void;
  changeLivePassword(name: string): void;
  /** Leaves the record of a process that ended before the reset it had announced was sent. */
  leaveInDoubt(name: string): void;
};

export type WorldOptions = {
  readonly names: readonly string[];
  /** Days, by index. */
  readonly age?: (index: number) => number;
  readonly config?: Partial<Pick<Config, 'concurrency' | 'pairs' | 'policy' | 'schedule'>>;
  readonly account?: (name: string) => Partial<Account>;
  readonly clock?: VirtualClock;
  /** Changes the ports of every attempt. */
  readonly wrap?: (ports: Ports, name: string) => Ports;
  /** Keeps the audit events; false for a test of a year. */
  readonly keepsAudit?: boolean;
};

export function fleetWorld(options: WorldOptions): FleetWorld {
  const { names, age = () => 10, clock = virtualClock(), keepsAudit = true } = options;
  const { wrap = (ports: Ports): Ports => ports } = options;
  const config = {
    accounts: [],
    concurrency: 8,
    pairs: [],
    policy: { rotateAfterDays: 75, maxAgeDays: 90 },
    schedule: { cron: '17 3 * * *', timezone: 'UTC', jitterMinutes: 30 },
    thingspace: { requestTimeoutMs: 15_000, resetTimeoutMs: 120_000, settleMs: 120_000 },
    ...options.config,
  } as unknown as Config;
  const accounts: Account[] = names.map((name) => ({
    name,
    secretId: name,
    enabled: true,
    ...options.account?.(name),
  }));
  const kept = new Map<string, Kept>();
  const live = new Map<string, Secret>();
  let counter = 0;
  const audit: LoggedEvent[] = [];
  const events: RotationEvent[] = [];
  const broken: FleetWorld['broken'] = {
    store: false,
    thingspace: false,
    thingspaceAfterReset: false,
    logins: false,
    throttled: false,
    audit: false,
    attempts: new Set(),
    secrets: new Set(),
  };
  const counts = { attempts: 0, logins: 0, resets: 0, reads: 0, mostAtOnce: 0, checkpoints: 0 };
  const began: string[] = [];
  const active = new Set<string>();
  let running = 0;

  const version = (
    password: Secret,
    createdAtMs: number,
    versionId = `v-${counter++}`,
  ): Version => ({ versionId, createdAtMs, password });
  names.forEach((name, index) => {
    const password = new Secret(`first-${name}`);
    const first = version(password, clock.nowMs() - age(index) * dayMs);
    kept.set(name, {
      username: `uws-${name}`,
      versions: new Map([[first.versionId, first]]),
      current: first.versionId,
      pending: null,
      records: new Map(),
      newest: 0,
    });
    live.set(`uws-${name}`, password);
  });
  const of = (name: string): Kept => kept.get(name) as Kept;

  const storeFor = (name: string): SecretStore => {
    const secret = (): Kept => {
      counts.reads += 1;
      if (broken.store) throw new Failure('store-unavailable', 'the store is unreachable');
      if (broken.secrets.has(name)) throw new Failure('secret-invalid', 'the value is not JSON');
      return of(name);
    };
    const shown = (
      { versionId, createdAtMs, password }: Version,
      { username }: Kept,
    ): SecretVersion => ({
      versionId,
      stages: of(name).current === versionId ? ['AWSCURRENT'] : [],
      createdAtMs,
      document: password,
      credentials: { username, password, clientId: 'app', clientSecret: new Secret('app-secret') },
    });
    return {
      readCurrent: async () => shown(secret().versions.get(of(name).current) as Version, of(name)),
      readVersion: async (id) => {
        const found = secret().versions.get(id);
        return found ? shown(found, of(name)) : null;
      },
      readPending: async () => {
        const { pending, current } = secret();
        return pending === current ? null : pending;
      },
      readRecord: async () => {
        const { records, newest } = secret();
        const found = records.get(newest);
        return found ? { record: found.record, ageMs: clock.nowMs() - found.atMs } : null;
      },
      putRecord: async (record) => {
        const { records } = secret();
        if (records.has(record.sequence)) return 'taken';
        records.set(record.sequence, { record, atMs: clock.nowMs() });
        records.delete(record.sequence - 20);
        of(name).newest = record.sequence;
        return 'written';
      },
      putPending: async (versionId, _basis, password) => {
        secret().versions.set(versionId, version(password, clock.nowMs(), versionId));
        of(name).pending = versionId;
        return 'stored';
      },
      recoveryId: (rotationId, replaced) => `${rotationId}>${replaced}`,
      putAnswer: async (rotationId) => `answer-${rotationId}`,
      readAnswer: async () => null,
      roomAtMs: async () => null,
      promote: async (from, to) => {
        const found = secret();
        if (found.current !== from) return 'conflict';
        found.versions.delete(from);
        Object.assign(found, { current: to, pending: null });
        return 'promoted';
      },
      passwordSince: async ({ createdAtMs }) => createdAtMs,
    };
  };

  const thingspace: ThingSpace = {
    authorize: async () => {
      if (broken.throttled)
        throw new Failure('api-unavailable', 'token: HTTP 429', { cause: 'throttled' });
      if (broken.thingspace) throw new Failure('api-unavailable', 'token: HTTP 503');
    },
    connectAhead: () => {},
    login: async (credentials, mayStillSend) => {
      const detail = mayStillSend();
      if (detail !== null) return { login: 'not-sent', detail };
      counts.logins += 1;
      if (broken.thingspace || broken.logins)
        return { login: 'unknown', detail: 'login: HTTP 503' };
      if (!live.get(credentials.username)?.equals(credentials.password))
        return { login: 'refused', detail: 'login: HTTP 400' };
      return { login: 'accepted', session: { sessionToken: new Secret('session'), credentials } };
    },
    reset: async ({ credentials }, mayStillSend) => {
      const detail = mayStillSend();
      if (detail !== null) return { reset: 'not-sent', detail };
      counts.resets += 1;
      if (broken.thingspaceAfterReset) broken.thingspace = true;
      const password = `reset-${counter++}`;
      live.set(credentials.username, new Secret(password));
      return {
        reset: 'answered',
        body: new Secret<Uint8Array>(
          new TextEncoder().encode(JSON.stringify({ newPassword: password })),
        ),
      };
    },
    readNewPassword: (body) => {
      const { newPassword } = JSON.parse(new TextDecoder().decode(body.reveal()));
      return typeof newPassword === 'string' ? new Secret(newPassword) : null;
    },
    endSession: async () => {},
  };

  const log = {
    append: async (appended: readonly LoggedEvent[]) => {
      if (broken.audit) throw new Failure('audit-unavailable', 'no space left on device (ENOSPC)');
      if (keepsAudit) audit.push(...appended);
    },
    rotationsOf: async () => ({ open: [], last: null }),
    unfinished: async () => [],
    rotationsOfUser: () => new Map(),
    requestedRuns: () => new Map(),
    factsHash: () => undefined,
    nativeAccounts: () => new Set<string>(),
    probe: async () => {
      if (broken.audit) throw new Failure('audit-unavailable', 'no space left on device (ENOSPC)');
      return clock.nowMs();
    },
    witnessed: async () => {},
    checkpoint: async () => {
      counts.checkpoints += 1;
      if (broken.audit) throw new Failure('audit-unavailable', 'no space left on device (ENOSPC)');
      return {} as never;
    },
    source: { segments: async () => [], checkpoints: async () => [], frontier: async () => null },
    close: async () => {},
  };

  const observe = (event: RotationEvent): void => {
    if (keepsAudit) events.push(event);
  };
  const portsFor = (name: string): Ports => ({
    store: storeFor(name),
    thingspace,
    receipts: {
      prepare: async () => {},
      write: async () => null,
      find: async () => null,
      discard: async () => {},
    },
    audit: log,
    clock,
    processes: {
      begin: () => {
        const owner = { id: `owner-${counter++}` };
        active.add(owner.id);
        return owner;
      },
      end: ({ id }) => void active.delete(id),
      liveness: ({ id }) => (active.has(id) ? 'alive' : 'gone'),
      rotationId: () => `rotation-${counter++}`,
    },
    observe,
  });
  const requestFor = (
    { name, secretId, policy }: Account,
    ask: Parameters<Rotator['attempt']>[1],
  ): Request => ({
    account: name,
    secretId,
    force: false,
    impatient: false,
    policy: policy ?? config.policy,
    timing: config.thingspace,
    ...ask,
  });

  let release = (): void => {};
  const released = new Promise<void>((resolve) => {
    release = resolve;
  });
  const world: FleetWorld = {
    clock,
    audit,
    events,
    accounts,
    broken,
    counts,
    began,
    hold: () => undefined,
    holdStatus: () => undefined,
    storeAheadMs: 0,
    hangFor: (hanging) => {
      const hold = (name: string) => (name === hanging ? released : undefined);
      Object.assign(world, { hold, holdStatus: hold });
    },
    release: () => release(),
    rotator: {
      config,
      audit: log,
      observe,
      accounts: async () => [...accounts],
      attempt: async (account, ask, interrupt) => {
        counts.attempts += 1;
        running += 1;
        counts.mostAtOnce = Math.max(counts.mostAtOnce, running);
        if (keepsAudit) began.push(account.name);
        try {
          await world.hold(account.name);
          if (broken.attempts.has(account.name))
            throw new TypeError(`Cannot read "${of(account.name).username}-password"`);
          return await rotate(
            wrap(portsFor(account.name), account.name),
            requestFor(account, ask),
            interrupt,
          );
        } finally {
          running -= 1;
        }
      },
      storeClock: async ({ name }) => {
        await world.holdStatus(name);
        if (broken.store) throw new Failure('store-unavailable', 'the store is unreachable');
        return clock.nowMs() + world.storeAheadMs;
      },
      status: async (account) => {
        await world.holdStatus(account.name);
        return readStatus(
          wrap(portsFor(account.name), account.name),
          requestFor(account, { purpose: 'check', trigger: { kind: 'manual' } }),
        );
      },
    },
    ageDays: (name) =>
      (clock.nowMs() - (of(name).versions.get(of(name).current) as Version).createdAtMs) / dayMs,
    setAge: (name, days) => {
      const secret = of(name);
      const current = secret.versions.get(secret.current) as Version;
      secret.versions.set(secret.current, {
        ...current,
        createdAtMs: clock.nowMs() - days * dayMs,
      });
    },
    isConsistent: (name) => {
      const { username, versions, current } = of(name);
      return live.get(username)?.equals((versions.get(current) as Version).password) ?? false;
    },
    setUsername: (name, username) => {
      of(name).username = username;
    },
    leaveInDoubt: (name) => {
      const secret = of(name);
      const { current } = secret;
      const common = {
        basis: current,
        holder: { id: 'ended' },
        writtenAtMs: clock.nowMs() - dayMs,
        leaseMs: 1_000,
        loginsSpent: 0,
      };
      const record: AttemptRecord = {
        phase: 'resetting',
        sequence: 1,
        open: {
          rotationId: 'rotation-lost',
          basis: current,
          startedAtMs: clock.nowMs() - dayMs,
          settleLeftMs: 0,
        },
        ...common,
      };
      secret.records.set(1, { record, atMs: clock.nowMs() - dayMs });
      secret.newest = 1;
    },
    changeLivePassword: (name) => void live.set(of(name).username, new Secret('changed-by-hand')),
  };
  return world;
}
