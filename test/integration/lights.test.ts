// Faults and lights: what page, readiness, heartbeat, notifications and Prometheus say two days
// after a fault began. No fault leaves every light green, and without a fault every light is green.
//
// The scheduler, the subscribers, the page and the registry of the service, over a fleet in memory
// and a virtual clock. Heartbeats go over HTTP, and promtool judges the rules.

import { Failure, failures, type Reason } from '../../src/rotation/failure.ts';
import type { Ports } from '../../src/rotation/ports.ts';
import { defaultPace, openScheduler } from '../../src/scheduler/scheduler.ts';
import { statusPage } from '../../src/server/pages/status.tsx';
import {
  type Check,
  createReadiness,
  type Readiness,
  stuckAfterMs,
} from '../../src/server/readiness.ts';
import { createSubscribers } from '../../src/server/service.ts';
import { openJournal } from '../../src/telemetry/notification-journal.ts';
import { openNotifier } from '../../src/telemetry/notifier.ts';
import { figuresOf, openMetrics } from '../../src/telemetry/prometheus.ts';
import { limitMs } from '../harness/limits.mjs';
import { type Monitor, openMonitor } from '../harness/monitor.ts';
import { judgeRules, type Scrape } from '../harness/promtool.ts';
import { partOf } from '../harness/sample.ts';
import { memoryLog } from '../harness/serve-http.ts';
import {
  dailyCron,
  dayMs,
  type FleetWorld,
  fleetWorld,
  minuteMs,
  virtualClock,
} from '../harness/serve-world.ts';
import { testWith } from '../harness/tools.ts';

const stepMs = 30 * minuteMs;
const daily = { rotateAfterDays: 0.9, maxAgeDays: 90 };

type Lights = {
  /** The class of the verdict on the status page. */
  readonly page: string;
  /** The checks of `/readyz` that fail. */
  readonly notReady: string;
  /** The last signals to the monitor, of the last day. */
  readonly heartbeat: 'success' | 'fail' | 'none';
  /** The kinds of problems in the notifications. */
  readonly notified: string;
  /** The alerts that fire. */
  readonly alerts: string;
};

/** The lights, and the accounts that alerts and notifications name. */
type Seen = {
  readonly lights: Lights;
  readonly alerted: readonly string[];
  readonly notified: readonly string[];
};

type Service = {
  readonly world: FleetWorld;
  /** The process gets no processor time for so long. */
  freeze(ms: number): void;
  /** Sets the clock of the machine; the store and Prometheus keep the right time. */
  setClock(byMs: number): void;
  /** The receivers of notifications refuse what they get. */
  refuseNotices(): void;
  /** Lets time pass, with a scrape every half hour. */
  pass(ms: number): Promise<void>;
  read(): Promise<Seen>;
};

type OpenOptions = {
  readonly names?: readonly string[];
  readonly wrap?: (ports: Ports, name: string) => Ports;
};

async function open(monitor: Monitor, given: OpenOptions = {}): Promise<Service> {
  const { names = ['fleet-east', 'fleet-west', 'depot-09'], wrap = (ports) => ports } = given;
  const clock = virtualClock();
  let observer: ReturnType<typeof createSubscribers> | null = null;
  const world = fleetWorld({
    names,
    // The first run rotates all of them, and the ages are known then.
    age: () => 80,
    // One account is due every day.
    account: (name) => (name === 'depot-09' ? { policy: daily } : {}),
    clock,
    wrap: (ports, name) => ({
      ...wrap(ports, name),
      observe: (event) => observer?.observe(event),
    }),
  });
  const log = memoryLog([]);
  let checks: { atMs: number; checks: readonly Check[] } | null = null;
  const figures = () => figuresOf(daemon.statuses.entries(), clock.nowMs());
  const readiness = () => checks;
  const oldestNoticeMs = (): number | undefined => notifier.oldestMs();
  const options = { figures, readiness, oldestNoticeMs, clock, version: '0.1.0' };
  const metrics = await openMetrics(options);
  const told: string[] = [];
  const notified = new Set<string>();
  let isRefusing = false;
  const notifier = openNotifier({
    receivers: [
      {
        name: 'people',
        accepts: () => true,
        send: async ({ alerts }) => {
          if (isRefusing) return { detail: 'HTTP 410', isFinal: true, retryAfterMs: 0 };
          for (const { kind, of, account } of alerts) {
            told.push(of ?? kind);
            if (account !== undefined) notified.add(account);
          }
          return null;
        },
      },
    ],
    journal: openJournal({ file: undefined, clock, onFailure: () => {} }),
    host: 'ops-1',
    clock,
    log,
    onDelivery: metrics.recordDelivery,
  });
  const check: Readiness = () => ready();
  const heartbeat = { url: monitor.url, timeoutMs: 60_000 };
  const subscribers = createSubscribers({ heartbeat }, { log, metrics, clock }, notifier, check);
  observer = subscribers;
  let runSignals = 0;
  const daemon = openScheduler({
    rotator: { ...world.rotator, observe: subscribers.observe },
    clock,
    nextRunMs: dailyCron(clock).nextRunMs,
    pace: { ...defaultPace, loopMs: 2 * minuteMs },
    emit: (event) => {
      if ('isScheduled' in event && event.isScheduled) runSignals += 1;
      subscribers.emit(event);
    },
  });
  const ready = createReadiness({ rotator: world.rotator, daemon, clock });
  await daemon.start();

  const originMs = clock.nowMs();
  const scrapes: Scrape[] = [];
  let frozenMs = 0;
  let frozenSinceMs = 0;
  const scrape = async (): Promise<void> => {
    await Promise.all([
      check().then((found) => {
        checks = { atMs: clock.nowMs(), checks: found };
      }),
      clock.advance(10_000),
    ]);
    const { text } = await metrics.expose();
    scrapes.push({ atMs: originMs + frozenMs + clock.monotonicMs(), text });
  };
  return {
    world,
    freeze: (ms) => {
      frozenSinceMs = monitor.signals.length;
      for (let left = ms; left > 0; left -= stepMs)
        scrapes.push({ atMs: originMs + frozenMs + clock.monotonicMs() + ms - left, text: null });
      frozenMs += ms;
      clock.step(ms);
    },
    setClock: (byMs) => {
      clock.step(byMs);
      world.storeAheadMs -= byMs;
    },
    refuseNotices: () => {
      isRefusing = true;
    },
    pass: async (ms) => {
      for (let left = ms; left > 0; left -= stepMs) {
        await clock.advance(stepMs - 10_000);
        await monitor.received(runSignals);
        await scrape();
      }
    },
    read: async () => {
      const failed = (checks?.checks ?? []).filter(({ ok }) => !ok);
      const page = statusPage({
        entries: daemon.statuses.entries(),
        nowMs: clock.nowMs(),
        host: 'ops-1',
        version: '0.1.0',
        nextRunMs: daemon.nextRunMs(),
        timezone: 'UTC',
        outage: daemon.outage(),
        isAlive: daemon.idleMs() < stuckAfterMs,
        notReady: failed,
        facts: {},
        query: new URLSearchParams(),
        refreshSeconds: 0,
      });
      const last = monitor.signals.slice(Math.max(frozenSinceMs, 0)).at(-1) ?? '';
      const firing = judgeRules(scrapes, stepMs).now.map((alert) => alert.split(' '));
      const lights: Lights = {
        page: /class="verdict (\w+)"/.exec(page)?.[1] ?? '',
        notReady: failed.map((one) => one.check).join(' '),
        heartbeat: last.startsWith('POST /fail')
          ? 'fail'
          : last.startsWith('POST / ')
            ? 'success'
            : 'none',
        notified: [...new Set(told)].join(' '),
        alerts: [...new Set(firing.map(([name]) => name))].join(' '),
      };
      world.release();
      await Promise.all([daemon.stop(), notifier.close(0), clock.advance(dayMs)]);
      const alerted = [...new Set(firing.flatMap(([, account]) => account ?? []))];
      return { lights, alerted: alerted.sort(), notified: [...notified].sort() };
    },
  };
}

const green: Lights = {
  page: 'good',
  notReady: '',
  heartbeat: 'success',
  notified: '',
  alerts: '',
};

const [fails, missed, notReady] = [
  'ThingSpaceAccountFails',
  'ThingSpaceRotatorMissedRun',
  'ThingSpaceRotatorNotReady',
] as const;
const failing = { page: 'warn', heartbeat: 'fail', notified: 'failing', alerts: fails } as const;
/** No account can be read. */
const blind = { ...failing, alerts: `${fails} ${missed} ${notReady}` };
const wrongClock = {
  page: 'bad',
  notReady: 'clock',
  heartbeat: 'fail',
  notified: 'stale',
} as const;

type Fault = (service: Service) => Promise<void> | void;
/** The fault, the lights that are not green after it, and how long after it they are read. */
const faults: Readonly<Record<string, [Fault, Partial<Lights>, number?]>> = {
  'no fault': [() => {}, {}],
  'S1: the store of one account never answers': [
    ({ world }) => world.hangFor('fleet-west'),
    { ...blind, notReady: 'store evidence' },
  ],
  'S4: the audit log cannot be written': [
    ({ world }) => {
      world.broken.audit = true;
    },
    { ...blind, notReady: 'audit evidence', notified: 'audit-failed' },
  ],
  'S5: the store is unreachable': [
    ({ world }) => {
      world.broken.store = true;
    },
    { ...blind, notReady: 'store evidence' },
  ],
  'S2: the clock is 20 days ahead': [
    ({ setClock }) => setClock(20 * dayMs),
    { ...wrongClock, alerts: `ThingSpaceClockWrong ${notReady}` },
  ],
  'S2: the clock is 20 days behind': [
    ({ setClock }) => setClock(-20 * dayMs),
    { ...wrongClock, alerts: `ThingSpaceClockWrong ${missed} ${notReady}` },
  ],
  // The age of the password that was rotated meanwhile is not known.
  'S2: the clock was 20 days ahead, and is right again': [
    async ({ setClock, pass }) => {
      setClock(20 * dayMs);
      await pass(dayMs);
      setClock(-20 * dayMs);
    },
    { page: 'warn', notified: 'stale' },
  ],
  'the process gets no time for a day': [
    ({ freeze }) => freeze(dayMs),
    { page: 'bad', heartbeat: 'none', alerts: 'ThingSpaceRotatorAbsent ThingSpaceRotatorDown' },
    0,
  ],
  'the process got no time for a day, and goes on': [
    ({ freeze }) => freeze(dayMs),
    { notified: 'stale' },
  ],
  'the receivers of notifications refuse them': [
    ({ world, refuseNotices }) => {
      refuseNotices();
      world.broken.secrets.add('depot-09');
    },
    { ...failing, notified: '', alerts: `${fails} ThingSpaceNoticesLost` },
  ],
  'ThingSpace is unreachable, and a password is due': [
    ({ world }) => {
      world.broken.thingspace = true;
    },
    failing,
  ],
  'a wrong password is stored, and it is due': [
    ({ world }) => world.changeLivePassword('depot-09'),
    { ...failing, page: 'bad', notified: 'stopped', alerts: 'ThingSpaceAccountStopped' },
  ],
  'a secret has no usable value': [
    ({ world }) => void world.broken.secrets.add('depot-09'),
    failing,
  ],
};

testWith('promtool').each(partOf(Object.entries(faults), 4))(
  '%s: no light is green that should not be',
  async (_name, [fault, expected, afterMs = 2 * dayMs]) => {
    await using monitor = await openMonitor();
    const service = await open(monitor);
    await service.pass(dayMs);
    await fault(service);
    await service.pass(afterMs);

    expect((await service.read()).lights).toEqual({ ...green, ...expected });
  },
  limitMs(120_000),
);

/** Those that a run can meet before it sends a reset, and that a later run does not correct. */
const lasting = (Object.keys(failures) as Reason[]).filter(
  (reason) =>
    failures[reason].certainty === 'unchanged' &&
    !['busy', 'interrupted', 'out-of-time'].includes(reason),
);

testWith('promtool')(
  'every account that fails for whatever reason is named by an alert and by a notification',
  async () => {
    await using monitor = await openMonitor();
    const broken = new Set<string>();
    const failing = async (reason: string): Promise<never> => {
      throw new Failure(reason as Reason, 'this is broken');
    };
    const service = await open(monitor, {
      names: lasting,
      wrap: (ports, name) => ({
        ...ports,
        store: {
          ...ports.store,
          readCurrent: () => (broken.has(name) ? failing(name) : ports.store.readCurrent()),
        },
      }),
    });
    await service.pass(dayMs);
    for (const reason of lasting) broken.add(reason);
    await service.pass(2 * dayMs);

    const { lights, alerted, notified } = await service.read();

    expect(lasting.length).toBeGreaterThan(12);
    expect([alerted, notified]).toEqual([[...lasting].sort(), [...lasting].sort()]);
    expect(lights).toMatchObject({ page: 'warn', heartbeat: 'fail' });
  },
  limitMs(120_000),
);
