// Runs processes in a world: the production loop over ports whose every call waits until it is
// picked. No timers and no real time: between two steps the microtasks run dry, so the same picks
// give the same world, to the letter.

import type { AuditEvent, RotationEvent } from '../../src/rotation/event.ts';
import { Failure, type Reason } from '../../src/rotation/failure.ts';
import type {
  Credentials,
  FoundRecord,
  LoginAnswer,
  Ports,
  ResetAnswer,
  SecretVersion,
} from '../../src/rotation/ports.ts';
import type { Owner } from '../../src/rotation/record.ts';
import { rotate } from '../../src/rotation/rotate.ts';
import type { Request, Result, Timing } from '../../src/rotation/state.ts';
import { Secret } from '../../src/secret.ts';
import {
  answerId,
  applyReset,
  beginsAtMs,
  endReset,
  handiwork,
  isStale,
  type Label,
  labelled,
  lastRotation,
  logIn,
  moveLabel,
  newestRecord,
  openIntents,
  passTime,
  putVersion,
  recordToken,
  recoveryId,
  resetAt,
  type Version,
  type World,
} from './world.ts';
import { clockSteps, type Method, type Mishap, mishaps, pauses } from './world-mishaps.ts';
import type { Picks } from './world-picks.ts';

/** What a world is like, besides what happens in it. */
export type Config = {
  /** `sealed`: written, to be opened elsewhere. `readable`: with the identity on the machine. */
  readonly receipts: 'off' | 'sealed' | 'readable';
  readonly resetEndsSessions: boolean;
  /** On one machine it is known that a process has ended; across machines it is unknown. */
  readonly machines: 'one' | 'many';
  readonly timing: Timing;
  /** Calls side by side are served in any order, not in the order in which they were made. */
  readonly anyOrder?: true;
  /** Which mishaps there are; without it all of them. */
  readonly enabled?: ReadonlySet<Mishap>;
  /** At which calls; without it at all of them. */
  readonly at?: ReadonlySet<Method>;
  /**
   * The mishaps of a story, in order: each happens at the next call that begins like this. Nothing
   * is picked then.
   */
  readonly planned?: [call: string, mishap: Mishap][];
  /** A bug put around the ports, to see a judge fail. */
  readonly plant?: (ports: Ports, simulation: Simulation, process: Process) => Ports;
};

/** What the worlds are set to; the server keeps to it whatever a process believes. */
export const timing: Timing = {
  requestTimeoutMs: 10_000,
  resetTimeoutMs: 60_000,
  settleMs: 120_000,
};

/** One process and what it has in hand. */
export type Process = {
  readonly name: string;
  alive: boolean;
  attempts: number;
  owner: Owner | null;
  /** What the newest `resetting` record that it wrote calls the rotation. */
  rotationId: string | null;
  loginOrder: number;
  names: number;
  wallOffsetMs: number;
  pausedUntilMs: number;
  calls: Call[];
  timers: Timer[];
  /** A digest of all responses to it. Two processes with the same digest are at the same point. */
  digest: number;
  results: Result[];
  /** How many of them have been judged. */
  judged: number;
};

type Timer = { readonly atMs: number; readonly fire: () => void };

type Call = {
  readonly process: Process;
  readonly method: Method;
  readonly what: string;
  readonly perform: (mishap: Mishap | null) => void;
};

/** A step, for people who read a failed schedule. */
export type Step = {
  readonly atMs: number;
  readonly process: string;
  readonly call: string;
  readonly mishap: Mishap | null;
};

/**
 * A login, and whether the newest record then named its password as one that a closed rotation
 * replaced.
 */
export type SentLogin = {
  readonly process: string;
  readonly password: string;
  readonly replaced: boolean;
};

export type Simulation = {
  readonly world: World;
  readonly config: Config;
  readonly picks: Picks;
  readonly processes: Process[];
  faultsLeft: number;
  switchesLeft: number;
  running: Process | null;
  /** How many audit events have been judged. */
  auditJudged: number;
  readonly steps: Step[];
  /** Events and results that no judge has checked yet. */
  readonly said: unknown[];
  /** Logins that were sent and not judged yet. */
  readonly logins: SentLogin[];
  /** After every step; throws to end the world. */
  readonly afterStep: (simulation: Simulation) => void;
};

/** What a process does: attempts, one after the other. */
export type Script = {
  readonly name: string;
  readonly wallOffsetMs?: number;
  readonly run: (attempt: Attempt) => Promise<void>;
};
export type Attempt = {
  readonly process: Process;
  rotate(purpose?: Request['purpose']): Promise<Result>;
  sleep(ms: number): Promise<void>;
};

export const account = 'fleet-east';

function requestOf(config: Config): Request {
  return {
    account,
    secretId: 'secret',
    purpose: 'rotate',
    force: false,
    impatient: false,
    trigger: { kind: 'schedule' },
    policy: { rotateAfterDays: 60, maxAgeDays: 90 },
    timing: config.timing,
  };
}

/**
 * How many microtasks a process may need from an answer to its next call. Too few shows: a process
 * would then wait for nothing.
 */
const microtasks = 32;

/** Runs the scripts until each has ended or died, and leaves the world as it is then. */
export async function simulate(simulation: Simulation, scripts: readonly Script[]): Promise<void> {
  const ended = new Set<Process>();
  const bugs: unknown[] = [];
  for (const { name, wallOffsetMs = 0, run } of scripts) {
    const process = createProcess(name, wallOffsetMs);
    simulation.processes.push(process);
    const attempt: Attempt = {
      process,
      rotate: (purpose) => attemptOf(simulation, process, purpose),
      sleep: (ms) => sleep(simulation, process, ms),
    };
    run(attempt).then(
      () => ended.add(process),
      (bug) => bugs.push(bug),
    );
  }
  for (;;) {
    for (let count = 0; count < microtasks; count += 1) await null;
    if (bugs.length > 0) throw bugs[0];
    simulation.afterStep(simulation);
    const ready = simulation.processes.filter(isReady, simulation);
    if (ready.length > 0) {
      step(simulation, choose(simulation, ready));
      continue;
    }
    const waiting = simulation.processes.filter(
      ({ alive, calls, timers }) => alive && calls.length + timers.length > 0,
    );
    if (waiting.length === 0) break;
    letTimePass(simulation, Math.min(...waiting.map(nextMoment)));
  }
  for (const process of simulation.processes) {
    if (process.alive && !ended.has(process))
      throw new Error(
        `bug: ${process.name} waits for nothing: a call is missing, or a promise never ends`,
      );
    process.alive = false;
  }
}

function isReady(this: Simulation, { alive, calls, pausedUntilMs }: Process): boolean {
  return alive && calls.length > 0 && pausedUntilMs <= this.world.nowMs;
}

/**
 * Another process may go on at every step, but each time that it need not costs one of a bounded
 * number of switches.
 */
function choose(simulation: Simulation, ready: Process[]): Process {
  const [first] = ready;
  if (!first) throw new Error('bug: nobody to choose from');
  if (ready.length === 1) {
    simulation.running = first;
    return first;
  }
  const { running } = simulation;
  if (running === null || !ready.includes(running)) {
    simulation.running = ready[simulation.picks.pick(ready.length)] ?? first;
    return simulation.running;
  }
  if (simulation.switchesLeft === 0) return running;
  const others = ready.filter((process) => process !== running);
  const other = others[simulation.picks.mishap(others.length) - 1];
  if (!other) return running;
  simulation.switchesLeft -= 1;
  simulation.running = other;
  return other;
}

const nextMoment = ({ calls, timers, pausedUntilMs }: Process): number => {
  const timer = Math.min(...timers.map(({ atMs }) => atMs));
  return calls.length > 0 ? pausedUntilMs : Math.max(timer, pausedUntilMs);
};

function letTimePass(simulation: Simulation, untilMs: number): void {
  passTime(simulation.world, untilMs, () => simulation.afterStep(simulation));
  for (const process of simulation.processes) {
    if (!process.alive || process.pausedUntilMs > untilMs) continue;
    for (const timer of process.timers.filter(({ atMs }) => atMs <= untilMs)) {
      process.timers.splice(process.timers.indexOf(timer), 1);
      timer.fire();
    }
  }
}

/** Performs the process's first call, with or without a mishap. */
function step(simulation: Simulation, process: Process): void {
  const { world, config, picks } = simulation;
  if (config.anyOrder)
    process.calls.unshift(...process.calls.splice(picks.pick(process.calls.length), 1));
  const mishap = mishapFor(simulation, process);
  if (mishap !== null && mishap in pauses) {
    process.pausedUntilMs = world.nowMs + pauses[mishap as keyof typeof pauses];
    note(simulation, process, mishap);
    return;
  }
  const call = process.calls.shift();
  if (!call) throw new Error('bug: a step without a call');
  world.order += 1;
  note(simulation, process, mishap, call);
  if (mishap !== null && mishap in clockSteps)
    process.wallOffsetMs += clockSteps[mishap as keyof typeof clockSteps];
  if (mishap !== null && mishap in handiwork) {
    handiwork[mishap as keyof typeof handiwork](world);
    world.order += 1;
    simulation.afterStep(simulation);
  }
  if (mishap === 'crash, the others done') for (const other of process.calls) other.perform(null);
  // A reset that is never performed has to be dropped, since it counts as sent.
  const isKilled = mishap === 'crash' || mishap === 'crash, the others done';
  if (isKilled && call.method !== 'reset') die(simulation, process);
  else call.perform(mishap);
}

function mishapFor(simulation: Simulation, process: Process): Mishap | null {
  const { planned } = simulation.config;
  if (planned) {
    const [next] = planned;
    return next && process.calls[0]?.what.startsWith(next[0])
      ? (planned.shift()?.[1] ?? null)
      : null;
  }
  if (simulation.faultsLeft === 0) return null;
  const options = mishapsNow(simulation, process);
  if (options.length === 0) return null;
  const mishap = options[simulation.picks.mishap(options.length) - 1] ?? null;
  if (mishap !== null) simulation.faultsLeft -= 1;
  return mishap;
}

function mishapsNow({ world, config }: Simulation, { calls }: Process): Mishap[] {
  const method = calls[0]?.method;
  if (!method || config.at?.has(method) === false) return [];
  return mishaps[method].filter((mishap) => {
    if (config.enabled && !config.enabled.has(mishap)) return false;
    if (mishap === 'stale') return isStale(world, staleLabel[method] ?? 'ROTATION');
    if (mishap === 'crash, the others done') return calls.length > 1;
    if (mishap === 'operator moves AWSCURRENT back') return world.labels.has('AWSPREVIOUS');
    return true;
  });
}

const staleLabel: Partial<Record<Method, Label>> = {
  readCurrent: 'AWSCURRENT',
  readPending: 'AWSPENDING',
  readRecord: 'ROTATION',
};

function note(
  { steps, world }: Simulation,
  process: Process,
  mishap: Mishap | null,
  call?: Call,
): void {
  steps.push({ atMs: world.nowMs, process: process.name, call: call?.what ?? '', mishap });
}

function die({ world }: Simulation, process: Process): void {
  process.alive = false;
  for (const answer of world.answers) if (answer.process === process.name) answer.ownerDied = true;
  process.calls = [];
  process.timers = [];
}

function createProcess(name: string, wallOffsetMs: number): Process {
  return {
    name,
    alive: true,
    attempts: 0,
    owner: null,
    rotationId: null,
    loginOrder: 0,
    names: 0,
    wallOffsetMs,
    pausedUntilMs: 0,
    calls: [],
    timers: [],
    digest: 0,
    results: [],
    judged: 0,
  };
}

async function attemptOf(
  simulation: Simulation,
  process: Process,
  purpose: Request['purpose'] = 'rotate',
): Promise<Result> {
  process.attempts += 1;
  const ports = portsOf(simulation, process);
  const { plant } = simulation.config;
  const result = await rotate(
    plant ? plant(ports, simulation, process) : ports,
    { ...requestOf(simulation.config), purpose },
    new AbortController().signal,
  );
  process.results.push(result);
  simulation.said.push(result);
  return result;
}

function sleep({ world }: Simulation, process: Process, ms: number): Promise<void> {
  return new Promise((resolve) => process.timers.push({ atMs: world.nowMs + ms, fire: resolve }));
}

/** Adds a response to the digest of a process. */
function updateDigest(process: Process, text: string): void {
  let digest = process.digest;
  for (let index = 0; index < text.length; index += 1)
    digest = (Math.imul(digest ^ text.charCodeAt(index), 0x01000193) + 0x9e37) | 0;
  process.digest = digest;
}

// The ports.

type Perform<T> = (
  mishap: Mishap | null,
  answer: (value: T) => void,
  fail: (reason: Reason, detail: string) => void,
) => void;

function portsOf(simulation: Simulation, process: Process): Ports {
  const { world, config } = simulation;

  /**
   * Waits until the call is served. Only the response distinguishes this process from the same
   * process in another world.
   */
  const call = <T>(method: Method, what: string, perform: Perform<T>): Promise<T> =>
    new Promise((resolve, reject) => {
      const answer = (value: T): void => {
        updateDigest(process, `${what}=${tell(value)}@${world.nowMs}`);
        resolve(value);
      };
      const fail = (reason: Reason, detail: string): void => {
        updateDigest(process, `${what}!${reason}@${world.nowMs}`);
        reject(new Failure(reason, detail));
      };
      process.calls.push({
        process,
        method,
        what,
        perform: (mishap) => perform(mishap, answer, fail),
      });
    });

  const after = (ms: number, fire: () => void): void => {
    process.timers.push({ atMs: world.nowMs + ms, fire });
  };

  const read = <T>(
    method: Method,
    what: string,
    reason: Reason,
    readWorld: (stale: boolean) => T,
  ): Promise<T> =>
    call(method, what, (mishap, answer, fail) => {
      if (mishap === 'unavailable') fail(reason, `${method} is unavailable`);
      else answer(readWorld(mishap === 'stale'));
    });

  /**
   * A write that may be done or not, whatever its response. `act` may run long after the caller
   * has ended.
   */
  const write = <T>(
    method: Method,
    what: string,
    reason: Reason,
    act: (world: World) => T,
  ): Promise<T> =>
    call(method, what, (mishap, answer, fail) => {
      switch (mishap) {
        case 'unavailable':
          return fail(reason, `${method} is unavailable`);
        case 'answer lost':
          act(world);
          return fail(reason, `${method} gave no answer`);
        case 'late':
        case 'very late': {
          const patience = config.timing.requestTimeoutMs;
          const lateness = mishap === 'late' ? 1_000 : config.timing.settleMs;
          world.commits.push({ atMs: world.nowMs + patience + lateness, what, apply: act });
          return after(patience, () => fail(reason, `${method} timed out`));
        }
        default:
          return answer(act(world));
      }
    });

  const said = (event: unknown): void => {
    simulation.said.push(event);
  };

  return {
    store: {
      readCurrent: () =>
        read('readCurrent', 'readCurrent', 'store-unavailable', (stale) =>
          currentSecret(world, stale),
        ),
      readVersion: (versionId) =>
        read('readVersion', `readVersion ${versionId}`, 'store-unavailable', () => {
          const version = world.versions.get(versionId);
          return version?.value ? secretOf(world, version) : null;
        }),
      readPending: () =>
        read('readPending', 'readPending', 'store-unavailable', (stale) => {
          const pending = labelled(world, 'AWSPENDING', stale);
          const used = [world.labels.get('AWSCURRENT'), world.labels.get('AWSPREVIOUS')];
          return pending === null || used.includes(pending.id) ? null : pending.id;
        }),
      readRecord: (atLeast) =>
        read('readRecord', 'readRecord', 'store-unavailable', (stale) => {
          const newest = labelled(world, 'ROTATION', stale);
          if (atLeast < 1 || (newest?.record && newest.record.sequence >= atLeast))
            return foundOf(world, newest);
          return foundOf(world, world.versions.get(recordToken(atLeast)) ?? newest);
        }),
      putRecord: (record) => {
        if (record.phase === 'resetting') process.rotationId = record.open.rotationId;
        const { phase, sequence, loginsSpent } = record;
        return write(
          'putRecord',
          `putRecord ${phase} ${sequence} (logins ${loginsSpent})`,
          'store-unavailable',
          (where) => {
            // A person resumes: the count begins anew on that word.
            if (process.name.startsWith('person') && phase === 'released') where.strikes = 0;
            return putVersion(where, recordToken(sequence), { value: null, record }, 'ROTATION');
          },
        );
      },
      putPending: (versionId, basis, password) => {
        const note = noteIn(basis);
        const value = { password: password.reveal(), note };
        return write('putPending', `putPending ${versionId}`, 'store-unavailable', (where) => {
          putVersion(where, versionId, { value, record: null }, 'AWSPENDING');
          const stored = where.versions.get(versionId)?.value?.password;
          return stored === password.reveal() ? ('stored' as const) : ('taken' as const);
        });
      },
      recoveryId,
      putAnswer: (rotationId, body) =>
        write('putAnswer', `putAnswer ${rotationId}`, 'store-unavailable', (where) => {
          const id = answerId(rotationId);
          const answer = new TextDecoder().decode(body.reveal());
          putVersion(where, id, { value: null, record: null, answer }, 'ROTATION_ANSWER');
          return id;
        }),
      readAnswer: (rotationId) =>
        read('readAnswer', 'readAnswer', 'store-unavailable', () => {
          const versionId = answerId(rotationId);
          const answer = world.versions.get(versionId)?.answer;
          const bytes = new TextEncoder().encode(answer);
          return answer === undefined ? null : { versionId, body: new Secret(bytes) };
        }),
      roomAtMs: async () => null,
      promote: (from, to) => {
        const by = { process: process.name, attempt: process.attempts };
        return write('promote', `promote ${from} to ${to}`, 'store-unavailable', (where) => {
          if (where.labels.get('AWSCURRENT') !== from) return 'conflict';
          promote(where, by, to);
          return 'promoted';
        });
      },
      passwordSince: (current) =>
        read('passwordSince', 'passwordSince', 'store-unavailable', () => {
          const password = current.credentials.password.reveal();
          const same = [...world.versions.values()].filter(
            ({ value }) => value?.password === password,
          );
          return beginsAtMs + Math.min(...same.map(({ createdAtMs }) => createdAtMs));
        }),
    },
    thingspace: {
      connectAhead: () => {},
      authorize: () => read('authorize', 'authorize', 'api-unavailable', () => undefined),
      login: async (credentials, mayStillSend) => {
        const detail = mayStillSend();
        if (detail !== null) return { login: 'not-sent', detail };
        return login(simulation, process, credentials, call, after);
      },
      reset: async (session, mayStillSend) => {
        const detail = mayStillSend();
        if (detail !== null) return { reset: 'not-sent', detail };
        const { credentials, sessionToken } = session;
        return reset(
          simulation,
          process,
          { token: sessionToken.reveal(), password: credentials.password.reveal() },
          call,
          after,
        );
      },
      readNewPassword: (body) => {
        const text = new TextDecoder().decode(body.reveal());
        return text.startsWith('{') && text.endsWith('}') ? new Secret(text.slice(1, -1)) : null;
      },
      endSession: ({ sessionToken }) =>
        call('endSession', 'endSession', (_, answer) => {
          world.sessions = world.sessions.filter(({ token }) => token !== sessionToken.reveal());
          answer(undefined);
        }),
    },
    receipts: {
      prepare: () =>
        config.receipts === 'off'
          ? Promise.resolve()
          : read('prepare', 'prepare', 'receipt-unavailable', () => undefined),
      write: ({ rotationId }, body) => {
        if (config.receipts === 'off') return Promise.resolve(null);
        const answered = world.answers.find(
          (one) => one.rotationId === rotationId && one.receipt === 'none',
        );
        if (answered) answered.receipt = 'begun';
        return call('write', 'write the receipt', (mishap, answer, fail) => {
          if (mishap !== 'unavailable')
            world.receipts.set(rotationId, new TextDecoder().decode(body.reveal()));
          if (answered) answered.receipt = mishap === 'unavailable' ? 'failed' : 'written';
          if (mishap === 'unavailable' || mishap === 'answer lost')
            fail('receipt-unavailable', 'the receipts folder is full');
          else answer('receipts/');
        });
      },
      find: (rotationId) =>
        config.receipts === 'off'
          ? Promise.resolve(null)
          : call('find', 'find the receipt', (mishap, answer) => {
              const body = world.receipts.get(rotationId);
              if (mishap === 'unavailable' || body === undefined) return answer(null);
              const bytes = new Secret(new TextEncoder().encode(body));
              answer({ place: 'receipts/', body: config.receipts === 'readable' ? bytes : null });
            }),
      discard: (rotationId) =>
        config.receipts === 'off'
          ? Promise.resolve()
          : call('discard', 'discard the receipt', (_, answer) => {
              world.receipts.delete(rotationId);
              answer(undefined);
            }),
    },
    audit: {
      append: (events) =>
        call(
          'append',
          `append ${events.map(({ code }) => code).join(', ')}`,
          (mishap, answer, fail) => {
            if (mishap === 'unavailable')
              return fail('audit-unavailable', 'the audit log cannot be written');
            const durable: readonly AuditEvent[] =
              mishap === 'crash half way' ? events.slice(0, 1) : events;
            world.audit.push(...durable);
            simulation.said.push(...durable);
            if (mishap === 'crash half way') return die(simulation, process);
            if (mishap === 'answer lost')
              return fail('audit-unavailable', 'the audit log gave no answer');
            answer(undefined);
          },
        ),
      rotationsOf: (name) =>
        read('rotationsOf', 'rotationsOf', 'audit-unavailable', () => ({
          open: openIntents(world, name),
          last: lastRotation(world),
        })),
    },
    clock: {
      nowMs: () => beginsAtMs + world.nowMs + process.wallOffsetMs,
      monotonicMs: () => world.nowMs,
      busyMs: () => 0,
      remainingMs: () => Number.POSITIVE_INFINITY,
      // The short waits between tries only multiply the worlds: time here is coarse.
      sleep: (ms) => sleep(simulation, process, Math.floor(ms / 1_000) * 1_000),
    },
    processes: {
      begin: () => {
        process.owner = { id: `owner-${process.name}${process.attempts}`, host: process.name };
        return process.owner;
      },
      end: () => {
        process.owner = null;
      },
      liveness: (owner) => liveness(simulation, process, owner),
      rotationId: () => {
        process.names += 1;
        return `r${process.name}${process.names}`;
      },
    },
    observe: said as (event: RotationEvent) => void,
  };
}

/**
 * As on Linux: a process knows which of its attempts are over. About another process it only knows
 * whether that is running.
 */
function liveness(
  { processes, config }: Simulation,
  asking: Process,
  owner: Owner,
): 'alive' | 'gone' | 'unknown' {
  const other = processes.find(({ name }) => name === owner.host);
  if (other === asking) return asking.owner?.id === owner.id ? 'alive' : 'gone';
  if (config.machines === 'many') return 'unknown';
  return other?.alive ? 'alive' : 'gone';
}

/** Moves AWSCURRENT from any version; a caller that needs a compare-and-swap compares first. */
export function promote(
  world: World,
  by: { readonly process: string; readonly attempt: number },
  to: string,
): void {
  const was = world.labels.get('AWSCURRENT') ?? '';
  world.promotions.push({ ...by, order: world.order, was, to });
  moveLabel(world, 'AWSCURRENT', to);
}

const noteIn = (basis: SecretVersion): string =>
  String((JSON.parse(basis.document.reveal()) as { note: unknown }).note);

/** What a read by the label returns; an outdated one shows the labels of that time. */
function currentSecret(world: World, stale: boolean): SecretVersion {
  const version = labelled(world, 'AWSCURRENT', stale);
  if (!version?.value) throw new Failure('secret-not-found', 'there is no AWSCURRENT');
  const { stages, ...secret } = secretOf(world, version);
  return { ...secret, stages: [...new Set([...stages, 'AWSCURRENT'])] };
}

function secretOf(world: World, version: Version): SecretVersion {
  if (!version.value) throw new Failure('secret-not-found', 'no such version');
  const { password, note } = version.value;
  const stages = [...world.labels].flatMap(([label, id]) => (id === version.id ? [label] : []));
  return {
    versionId: version.id,
    stages,
    createdAtMs: beginsAtMs + version.createdAtMs,
    document: new Secret(JSON.stringify({ note })),
    credentials: {
      username: 'UWSFLEET',
      password: new Secret(password),
      clientId: 'client',
      clientSecret: new Secret('§client'),
    },
  };
}

function foundOf({ nowMs }: World, version: Version | null): FoundRecord | null {
  return version?.record
    ? { record: version.record, ageMs: Math.max(0, nowMs - version.createdAtMs) }
    : null;
}

/** A response as a short text, for the digest. */
function tell(value: unknown): string {
  if (typeof value !== 'object' || value === null) return String(value);
  if ('versionId' in value) return String(value.versionId);
  if ('record' in value) {
    const { record, ageMs } = value as FoundRecord;
    const { sequence, phase, holder, basis, loginsSpent } = record;
    return [sequence, phase, holder.id, basis, loginsSpent, ageMs].join('');
  }
  if (Array.isArray(value)) return value.map(({ rotationId }) => rotationId).join();
  return JSON.stringify(value);
}

type CallPort = <T>(method: Method, what: string, perform: Perform<T>) => Promise<T>;
type After = (ms: number, fire: () => void) => void;

function login(
  simulation: Simulation,
  process: Process,
  credentials: Credentials,
  call: CallPort,
  after: After,
): Promise<LoginAnswer> {
  const { world, config } = simulation;
  const password = credentials.password.reveal();
  process.names += 1;
  const token = `§t${process.name}${process.names}`;
  const passwordOf = (id?: string) => world.versions.get(id ?? '')?.value?.password;
  const history = newestRecord(world)?.history?.filter(({ as }) => as === 'rotated') ?? [];
  const newest = passwordOf(history[0]?.versionId);
  const replaced =
    password !== newest && history.some((one) => passwordOf(one.replaced) === password);
  simulation.logins.push({ process: process.name, password, replaced });
  return call('login', `log in with ${password}`, (mishap, answer) => {
    const detail = `login: ${mishap ?? 'refused'}`;
    switch (mishap) {
      case 'not sent':
        return answer({ login: 'not-sent', detail });
      case 'dropped':
        return answer({ login: 'unknown', detail });
      case 'answer lost':
        logIn(world, password, token);
        return answer({ login: 'unknown', detail });
      case 'late': {
        const patience = config.timing.requestTimeoutMs;
        world.commits.push({
          atMs: world.nowMs + patience + 1_000,
          what: `login ${password}`,
          apply: (then) => logIn(then, password, token),
        });
        return after(patience, () => answer({ login: 'unknown', detail }));
      }
      case 'refused':
        world.strikes += 1;
        return answer({ login: 'refused', detail });
      default: {
        const session = logIn(world, password, token);
        if (!session) return answer({ login: 'refused', detail });
        process.loginOrder = session.order;
        return answer({
          login: 'accepted',
          session: { sessionToken: new Secret(session.token), credentials },
        });
      }
    }
  });
}

/**
 * The reset is sent when it is called: nothing can happen between the loop's last reading of the
 * clock and this call.
 */
function reset(
  simulation: Simulation,
  process: Process,
  { token, password }: { token: string; password: string },
  call: CallPort,
  after: After,
): Promise<ResetAnswer> {
  const { world, config } = simulation;
  const rotationId = process.rotationId ?? 'unannounced';
  world.order += 1;
  const sentOrder = world.order;
  world.resets.push({
    rotationId,
    process: process.name,
    attempt: process.attempts,
    sentOrder,
    loginOrder: process.loginOrder,
    fate: 'in-flight',
    endedOrder: Number.POSITIVE_INFINITY,
    response: 'nothing',
  });
  const { resetTimeoutMs, settleMs } = timing;
  const done = (where: World): string => applyReset(where, sentOrder, config.resetEndsSessions);
  const doneAfter = (ms: number): void => {
    world.commits.push({ atMs: world.nowMs + ms, what: `reset ${rotationId}`, apply: done });
  };
  return call('reset', `reset ${rotationId}`, (mishap, answer) => {
    const doubt = (): void => answer({ reset: 'in-doubt', detail: `reset: ${mishap}` });
    const refuse = (because: 'session' | 'code' | 'throttled'): void => {
      endReset(world, sentOrder, 'dropped');
      resetAt(world, sentOrder).response = 'refused';
      answer({ reset: 'refused', because, detail: `reset: ${mishap ?? because}` });
    };
    const bytes = (text: string): Secret<Uint8Array> => new Secret(new TextEncoder().encode(text));
    const answered = (): void => {
      const fresh = done(world);
      resetAt(world, sentOrder).response = 'answered';
      world.answers.push({
        rotationId,
        password: fresh,
        process: process.name,
        receipt: 'none',
        ownerDied: false,
      });
      answer({ reset: 'answered', body: bytes(`{${fresh}}`) });
    };
    switch (mishap) {
      case 'refused':
        return refuse('code');
      case 'session refused':
        return refuse('session');
      case 'throttled':
        return refuse('throttled');
      case 'dropped':
        endReset(world, sentOrder, 'dropped');
        return doubt();
      case 'answer lost':
        done(world);
        return doubt();
      case 'crash':
        endReset(world, sentOrder, 'dropped');
        return die(simulation, process);
      case 'crash, but done':
        done(world);
        return die(simulation, process);
      case 'crash, then very late':
        doneAfter(resetTimeoutMs + settleMs - 1_000);
        return die(simulation, process);
      case 'late':
      case 'very late':
        doneAfter(resetTimeoutMs + (mishap === 'late' ? 1_000 : settleMs - 1_000));
        return after(resetTimeoutMs, doubt);
      case 'cut, then very late':
        doneAfter(resetTimeoutMs + settleMs - 1_000);
        return doubt();
      case 'truncated':
        return answer({ reset: 'in-doubt', detail: 'reset: cut', body: bytes(`{${done(world)}`) });
      case 'garbage, done':
        done(world);
        return answer({ reset: 'answered', body: bytes('<html>') });
      case 'garbage, dropped':
        endReset(world, sentOrder, 'dropped');
        return answer({ reset: 'answered', body: bytes('<html>') });
      case 'slow':
        return after(resetTimeoutMs - 1_000, answered);
      default:
        if (!world.sessions.some((session) => session.token === token)) return refuse('session');
        return password === world.live ? answered() : refuse('code');
    }
  });
}
