// The ports of one process in a world. The store is the production port over the model of Secrets
// Manager; ThingSpace, receipts and the audit log are imitated here. Each call does what its mishap
// says.

import type { AuditEvent } from '../../src/rotation/event.ts';
import { Failure, type Reason } from '../../src/rotation/failure.ts';
import type {
  AuditLog,
  Credentials,
  LoginAnswer,
  MayStillSend,
  Ports,
  ProcessIdentity,
  Receipts,
  ResetAnswer,
  Session,
  ThingSpace,
} from '../../src/rotation/ports.ts';
import { parseRecord } from '../../src/rotation/record.ts';
import { Secret } from '../../src/secret.ts';
import { openSecretStore } from '../../src/stores/secret-store.ts';
import type { VersionStore } from '../../src/stores/version-store.ts';
import { type ModelStore, modelStore } from './model-store.ts';
import {
  applyReset,
  asPromotion,
  beginsAtMs,
  endReset,
  idOf,
  lastRotation,
  lastSuspension,
  logIn,
  openIntents,
  recordAt,
  refuse,
  resetAt,
  roomIn,
  secretId,
  serviceOf,
  shortId,
  type World,
} from './world.ts';
import type { Method, Mishap } from './world-mishaps.ts';
import { die, type Login, type Process, type Simulation, sleep, timing } from './world-run.ts';

/** What a person needs ten minutes for: to give back a permission. */
const deniedForMs = 600_000;
/** Other programs use up what Secrets Manager allows in the account. */
const throttledForMs = 60_000;
/** A full disk under the audit log. */
const downForMs = 60_000;
/** An idle connection is closed by ThingSpace's gateway after so long. */
const idleMs = 60_000;

type Perform<T> = (
  mishap: Mishap | null,
  answer: (value: T) => void,
  fail: (reason: Reason, detail: string) => void,
  madeAtMs: number,
) => void;

/** How a process makes a call, and how a call waits. */
type Caller = {
  readonly simulation: Simulation;
  readonly process: Process;
  call<T>(method: Method, what: string, perform: Perform<T>): Promise<T>;
  after(ms: number, what: string, fire: () => void): void;
};

/** Adds a response to the digest of a process. */
function updateDigest(process: Process, text: string): void {
  let digest = process.digest;
  for (let index = 0; index < text.length; index += 1)
    digest = (Math.imul(digest ^ text.charCodeAt(index), 0x01000193) + 0x9e37) | 0;
  process.digest = digest;
}

/** A response as a short text, for the digest. */
function tell(value: unknown): string {
  if (typeof value !== 'object' || value === null) return String(value);
  if (Array.isArray(value)) return value.map(({ versionId }) => versionId).join();
  if (!('versionId' in value)) return JSON.stringify(value);
  const { versionId, stages, createdAtMs } = value as Record<string, unknown>;
  return `${versionId} ${stages} ${createdAtMs}`;
}

function callerOf(simulation: Simulation, process: Process): Caller {
  const { world } = simulation;
  const after: Caller['after'] = (ms, what, fire) => {
    process.timers.push({ atMs: world.nowMs + ms, what, fire });
  };
  /** A process that is paused reads its response afterwards. */
  const deliver = (what: string, fire: () => void): void => {
    const waitMs = process.pausedUntilMs - world.nowMs;
    const received = (): void => {
      updateDigest(process, `${what}@${world.nowMs}`);
      fire();
    };
    if (waitMs > 0) after(waitMs, what, received);
    else received();
  };
  return {
    simulation,
    process,
    after,
    /**
     * Waits until the call is served. Only the response distinguishes this process from the same
     * process in another world.
     */
    call: (method, what, perform) =>
      new Promise((resolve, reject) => {
        const madeAtMs = world.nowMs;
        process.calls.push({
          process,
          method,
          what,
          madeAtMs,
          perform: (mishap) => {
            if (mishap === 'stale for a while') process.staleAtMs = world.nowMs;
            perform(
              mishap,
              (value) => deliver(`${what}=${tell(value)}`, () => resolve(value)),
              (reason, detail) =>
                deliver(`${what}!${reason}`, () => reject(new Failure(reason, detail))),
              madeAtMs,
            );
          },
        });
      }),
  };
}

export function portsOf(simulation: Simulation, process: Process): Ports {
  const { world } = simulation;
  const caller = callerOf(simulation, process);
  return {
    store: openSecretStore(versionsOf(caller), { secretId }),
    thingspace: thingspaceOf(caller),
    receipts: receiptsOf(caller),
    audit: auditOf(caller),
    clock: {
      nowMs: () => beginsAtMs + world.nowMs + process.wallOffsetMs,
      monotonicMs: () => world.nowMs,
      busyMs: () => 0,
      remainingMs: () => process.deadlineMs - world.nowMs,
      // The short waits between tries only multiply the worlds: time here is coarse.
      sleep: (ms, wake) => sleep(simulation, process, Math.floor(ms / 1_000) * 1_000, wake),
    },
    processes: processesOf(caller),
    observe: (event) => simulation.said.push(event),
  };
}

function read<T>(
  { call, simulation, process }: Caller,
  method: Method,
  what: string,
  reason: Reason,
  readWorld: (isStale: boolean) => T,
): Promise<T> {
  return call(method, what, (mishap, answer, fail) => {
    if (mishap === 'never returns') return;
    const { world } = simulation;
    if (mishap === 'throttled for a while') world.throttledUntilMs = world.nowMs + throttledForMs;
    const isThrottled = reason === 'store-unavailable' && world.throttledUntilMs > world.nowMs;
    if (mishap === 'unavailable' || isThrottled) {
      process.attempt.isBlind = true;
      return fail(reason, `${method} is unavailable`);
    }
    const isStale = mishap === 'stale' || process.staleAtMs === simulation.world.nowMs;
    if (isStale) process.attempt.isBlind = true;
    return answer(readWorld(isStale));
  });
}

/**
 * A write that may be done or not, whatever its response. `act` may run long after the caller has
 * ended.
 */
function write<T>(
  { call, after, simulation }: Caller,
  method: Method,
  what: string,
  act: (world: World) => T,
): Promise<T> {
  const { world, config } = simulation;
  return call(method, what, (mishap, answer, fail) => {
    const tried = (where: World, done: (value: T) => void, failed = fail): void => {
      try {
        done(act(where));
      } catch (error) {
        if (!(error instanceof Failure)) throw error;
        failed(error.reason, error.message);
      }
    };
    const unanswered = (where: World): void =>
      tried(
        where,
        () => {},
        () => {},
      );
    if (mishap === 'denied') world.deniedUntilMs = world.nowMs + deniedForMs;
    if (mishap === 'throttled for a while') world.throttledUntilMs = world.nowMs + throttledForMs;
    if (world.throttledUntilMs > world.nowMs)
      return fail('store-unavailable', `${method} is throttled`);
    if (world.deniedUntilMs > world.nowMs) return fail('store-denied', `${method} is denied`);
    switch (mishap) {
      case 'unavailable':
        return fail('store-unavailable', `${method} is unavailable`);
      case 'never returns':
        return unanswered(world);
      case 'answer lost':
        unanswered(world);
        return fail('store-unavailable', `${method} gave no answer`);
      case 'repeated':
        unanswered(world);
        return tried(world, answer);
      case 'late':
      case 'very late': {
        const patience = config.timing.requestTimeoutMs;
        const lateness = mishap === 'late' ? 1_000 : config.timing.settleMs;
        world.commits.push({ atMs: world.nowMs + patience + lateness, what, apply: unanswered });
        return after(patience, what, () => fail('store-unavailable', `${method} timed out`));
      }
      default:
        return tried(world, answer);
    }
  });
}

const readMethods = {
  AWSCURRENT: 'readCurrent',
  AWSPENDING: 'readPending',
  ROTATION: 'readRecord',
} as const;

/** The versions of the secret; every call waits until it is served. */
function versionsOf(caller: Caller): VersionStore {
  const { simulation, process } = caller;
  const { world } = simulation;
  const modelOf = (where: World, isStale = false): ModelStore =>
    modelStore(serviceOf(where, isStale), secretId);
  return {
    youngVersionLimit: 100,
    read: (which) => {
      const [method, what] =
        'stage' in which
          ? ([readMethods[which.stage as keyof typeof readMethods], which.stage] as const)
          : (['readVersion', shortId(which.versionId)] as const);
      return read(caller, method, `${method} ${what}`, 'store-unavailable', (isStale) =>
        modelOf(world, isStale).read(which),
      );
    },
    put: (version) => {
      const [method, what] = describePut(version);
      const { token, value, stages } = version;
      if (method === 'putRecord') {
        const record = parseRecord(value.reveal());
        if (record.phase === 'resetting') process.rotationId = record.open.rotationId;
        const below = recordAt(world, record.sequence - 1);
        if (below?.holder.id !== process.owner?.id) {
          process.attempt.countedBelow = below?.loginsSpent ?? 0;
          process.attempt.loginsBelow = process.attempt.logins.length;
        }
        // A number that is taken, also in a store that was restored, is written by nobody else.
        if (recordAt(world, record.sequence) === null)
          simulation.records.push({ attempt: process.attempt, record });
      } else
        for (const answer of world.answers)
          if (answer.process === process.name) answer.isOffered = true;
      return write(caller, method, what, (where) => {
        // A person resumes: the count begins anew on that word.
        if (method === 'putRecord' && process.attempt.request?.purpose === 'resume')
          Object.assign(where, { strikes: 0, forgottenStrikes: 0 });
        return modelOf(where).put({ token, value, stages });
      });
    },
    move: (stage, from, to) => {
      const by = { process: process.name, attempt: process.attempt.number };
      const what = `promote ${shortId(from ?? '')} to ${shortId(to)}`;
      return write(caller, 'promote', what, (where) =>
        asPromotion(where, by, () => modelOf(where).move(stage, from, to)),
      );
    },
    list: () =>
      read(caller, 'list', 'list', 'store-unavailable', (isStale) =>
        modelOf(world, isStale).list(),
      ),
  };
}

function describePut({ token, value, stages }: Parameters<VersionStore['put']>[0]) {
  switch (stages[0]) {
    case 'ROTATION': {
      const { phase, sequence, loginsSpent } = parseRecord(value.reveal());
      return ['putRecord', `putRecord ${phase} ${sequence} (logins ${loginsSpent})`] as const;
    }
    case 'AWSPENDING':
      return ['putPending', `putPending ${shortId(token)}`] as const;
    default:
      return ['putAnswer', `putAnswer ${shortId(token)}`] as const;
  }
}

const bytesOf = (text: string): Secret<Uint8Array> => new Secret(new TextEncoder().encode(text));
const textIn = (body: Secret<Uint8Array>): string => new TextDecoder().decode(body.reveal());

function thingspaceOf(caller: Caller): ThingSpace {
  const { simulation, call } = caller;
  const { world } = simulation;
  return {
    connectAhead: () => {},
    authorize: () =>
      call('authorize', 'authorize', (mishap, answer, fail) => {
        if (mishap === 'never returns') return;
        if (mishap === 'unavailable') fail('api-unavailable', 'the API is unavailable');
        else if (mishap === 'key refused') fail('api-key-refused', 'the key was refused');
        else answer(undefined);
      }),
    login: (credentials, mayStillSend) => login(caller, credentials, mayStillSend),
    reset: (session, mayStillSend) => reset(caller, session, mayStillSend),
    readNewPassword: (body) => {
      const text = textIn(body);
      return text.startsWith('{') && text.endsWith('}') ? new Secret(text.slice(1, -1)) : null;
    },
    endSession: ({ sessionToken }) =>
      call('endSession', 'endSession', (_, answer) => {
        world.sessions = world.sessions.filter(({ token }) => token !== sessionToken.reveal());
        answer(undefined);
      }),
  };
}

async function login(
  { simulation, process, call, after }: Caller,
  credentials: Credentials,
  mayStillSend: MayStillSend,
): Promise<LoginAnswer> {
  const held = mayStillSend();
  if (held !== null) return { login: 'not-sent', detail: held };
  const { world, config } = simulation;
  const password = credentials.password.reveal();
  process.names += 1;
  const token = `§t${process.name}${process.names}`;
  simulation.logins.push({ process, password });
  return call('login', `log in with ${password}`, (mishap, answer, _, madeAtMs) => {
    const detail = `login: ${mishap ?? 'refused'}`;
    const entry: Login = { password, told: 'nothing' };
    process.attempt.logins.push(entry);
    const unaccepted = (told: Exclude<LoginAnswer['login'], 'accepted'>): void => {
      entry.told = told;
      answer({ login: told, detail });
    };
    if (world.nowMs - madeAtMs > idleMs) return unaccepted('unknown');
    switch (mishap) {
      case 'never returns':
        logIn(world, password, token);
        return undefined;
      case 'not sent':
        return unaccepted('not-sent');
      case 'dropped':
        return unaccepted('unknown');
      case 'answer lost':
        logIn(world, password, token);
        return unaccepted('unknown');
      case 'late': {
        const patience = config.timing.requestTimeoutMs;
        world.commits.push({
          atMs: world.nowMs + patience + 1_000,
          what: `login ${password}`,
          apply: (then) => logIn(then, password, token),
        });
        return after(patience, 'login', () => unaccepted('unknown'));
      }
      case 'refused':
        refuse(world, password);
        return unaccepted('refused');
      default: {
        const session = logIn(world, password, token);
        if (!session) return unaccepted('refused');
        entry.told = 'accepted';
        world.proven.add(password);
        process.loginOrder = session.order;
        return answer({
          login: 'accepted',
          session: { sessionToken: new Secret(session.token), credentials },
        });
      }
    }
  });
}

/** A reset counts as sent when it is served: before, its connection carries no byte. */
async function reset(
  { simulation, process, call, after }: Caller,
  session: Session,
  mayStillSend: MayStillSend,
): Promise<ResetAnswer> {
  const { world, config } = simulation;
  const rotationId = process.rotationId ?? 'unannounced';
  const held = mayStillSend();
  if (held !== null) return { reset: 'not-sent', detail: held };
  type Received = { readonly answer: ResetAnswer; readonly password?: string };
  const received = await call<Received>('reset', `reset ${shortId(rotationId)}`, (...served) => {
    const [mishap, receive, , madeAtMs] = served;
    const answer = (value: ResetAnswer): void => receive({ answer: value });
    if (mishap === 'not sent') return answer({ reset: 'not-sent', detail: 'no connection' });
    const sentOrder = send(simulation, process, rotationId);
    const { resetTimeoutMs, settleMs } = timing;
    const done = (where: World): string => applyReset(where, sentOrder, config.resetEndsSessions);
    // The settle time is for the server and for what delays the first byte, together.
    const doneAfter = (ms: number): void => {
      world.commits.push({
        atMs: madeAtMs + ms,
        what: `reset ${shortId(rotationId)}`,
        apply: done,
      });
    };
    const doubt = (): void => answer({ reset: 'in-doubt', detail: `reset: ${mishap}` });
    const refuseIt = (because: 'session' | 'code' | 'throttled'): void => {
      endReset(world, sentOrder, 'dropped');
      resetAt(world, sentOrder).response = 'refused';
      answer({ reset: 'refused', because, detail: `reset: ${mishap ?? because}` });
    };
    const drop = (): void => endReset(world, sentOrder, 'dropped');
    const answered = (format = (password: string) => `{${password}}`): void => {
      const password = done(world);
      resetAt(world, sentOrder).response = 'answered';
      receive({ answer: { reset: 'answered', body: bytesOf(format(password)) }, password });
    };
    if (world.nowMs - madeAtMs > idleMs) {
      drop();
      return doubt();
    }
    switch (mishap) {
      case 'refused':
        return refuseIt('code');
      case 'session refused':
        return refuseIt('session');
      case 'throttled':
        return refuseIt('throttled');
      case 'dropped':
        drop();
        return doubt();
      case 'answer lost':
        done(world);
        return doubt();
      case 'crash':
        drop();
        return die(simulation, process);
      case 'crash, but done':
        done(world);
        return die(simulation, process);
      case 'crash, then very late':
        doneAfter(resetTimeoutMs + settleMs - 1_000);
        return die(simulation, process);
      case 'never returns':
        return void done(world);
      case 'late':
      case 'very late':
        doneAfter(resetTimeoutMs + (mishap === 'late' ? 1_000 : settleMs - 1_000));
        return after(resetTimeoutMs, 'reset', doubt);
      case 'cut, then very late':
        doneAfter(resetTimeoutMs + settleMs - 1_000);
        return doubt();
      case 'truncated':
        return answer({
          reset: 'in-doubt',
          detail: 'reset: cut',
          body: bytesOf(`{${done(world)}`),
        });
      case 'unreadable':
        return answered((password) => `<${password}>`);
      case 'garbage, done':
        done(world);
        return answer({ reset: 'answered', body: bytesOf('<html>') });
      case 'garbage, dropped':
        drop();
        return answer({ reset: 'answered', body: bytesOf('<html>') });
      case 'slow':
        return after(resetTimeoutMs - 1_000, 'reset', () => answered());
      default: {
        const token = session.sessionToken.reveal();
        if (!world.sessions.some((one) => one.token === token)) return refuseIt('session');
        return session.credentials.password.reveal() === world.live ? answered() : refuseIt('code');
      }
    }
  });
  const { answer, password } = received;
  if (password !== undefined) {
    const about = { rotationId, password, process: process.name, atMs: world.nowMs };
    const nothingYet = { receipt: 'none', isOffered: false } as const;
    world.answers.push({ ...about, ...nothingYet, ownerDied: false, isForgotten: false });
  }
  return answer;
}

function send({ world }: Simulation, process: Process, rotationId: string): number {
  world.order += 1;
  world.resets.push({
    rotationId,
    process: process.name,
    attempt: process.attempt.number,
    sentAtMs: world.nowMs,
    sentOrder: world.order,
    loginOrder: process.loginOrder,
    keyDigest: process.attempt.request?.keyDigest,
    room: roomIn(world),
    fate: 'in-flight',
    endedOrder: Number.POSITIVE_INFINITY,
    response: 'nothing',
  });
  return world.order;
}

const noReceipts: Receipts = {
  prepare: async () => {},
  write: async () => null,
  find: async () => null,
  discard: async () => {},
};

function receiptsOf(caller: Caller): Receipts {
  const { simulation, call } = caller;
  const { world, config } = simulation;
  if (config.receipts === 'off') return noReceipts;
  return {
    prepare: () => read(caller, 'prepare', 'prepare', 'receipt-unavailable', () => undefined),
    write: ({ rotationId }, body) => {
      const answered = world.answers.find(
        (one) => one.rotationId === rotationId && one.receipt === 'none',
      );
      if (answered) answered.receipt = 'begun';
      return call('write', 'write the receipt', (mishap, answer, fail) => {
        const isWritten = mishap !== 'unavailable' && mishap !== 'never returns';
        if (isWritten) world.receipts.set(rotationId, textIn(body));
        if (answered) answered.receipt = isWritten ? 'written' : 'failed';
        if (mishap === 'never returns') return undefined;
        return mishap === 'unavailable' || mishap === 'answer lost'
          ? fail('receipt-unavailable', 'the receipts folder is full')
          : answer('receipts/');
      });
    },
    find: (rotationId) =>
      read(caller, 'find', 'find the receipt', 'receipt-unavailable', () => {
        const body = world.receipts.get(rotationId);
        const isReadable = config.receipts === 'readable';
        return body === undefined
          ? null
          : { place: 'receipts/', body: isReadable ? bytesOf(body) : null };
      }),
    discard: (rotationId) =>
      call('discard', 'discard the receipt', (_, answer) => {
        world.receipts.delete(rotationId);
        answer(undefined);
      }),
  };
}

function auditOf(caller: Caller): AuditLog {
  const { simulation, process, call } = caller;
  const { world } = simulation;
  return {
    append: (events) =>
      call(
        'append',
        `append ${events.map(({ code }) => code).join(', ')}`,
        (mishap, answer, fail) => {
          if (mishap === 'down for a while') world.auditDownUntilMs = world.nowMs + downForMs;
          if (mishap === 'unavailable' || world.auditDownUntilMs > world.nowMs)
            return fail('audit-unavailable', 'the audit log cannot be written');
          const durable: readonly AuditEvent[] =
            mishap === 'crash half way' ? events.slice(0, 1) : events;
          const { nowMs: atMs, order } = world;
          world.audit.push(...durable.map((event) => ({ ...event, atMs, order })));
          simulation.said.push(...durable);
          if (mishap === 'crash half way') return die(simulation, process);
          if (mishap === 'answer lost')
            return fail('audit-unavailable', 'the audit log gave no answer');
          return answer(undefined);
        },
      ),
    rotationsOf: () =>
      read(caller, 'rotationsOf', 'rotationsOf', 'audit-unavailable', () => ({
        open: openIntents(world),
        last: lastRotation(world),
        suspension: lastSuspension(world),
      })),
  };
}

function processesOf({ simulation, process }: Caller): ProcessIdentity {
  return {
    begin: () => {
      process.owner = { id: `owner-${process.name}${process.attempt.number}`, host: process.name };
      return process.owner;
    },
    end: () => {
      process.owner = null;
    },
    liveness: ({ host, id }) => {
      // As on Linux: a process knows which of its attempts are over. About another process it only
      // knows whether that is running.
      const other = simulation.processes.find(({ name }) => name === host);
      if (other === process) return process.owner?.id === id ? 'alive' : 'gone';
      if (simulation.config.machines === 'many') return 'unknown';
      return other?.alive ? 'alive' : 'gone';
    },
    rotationId: () => {
      process.names += 1;
      return idOf(`r${process.name}${process.names}`);
    },
  };
}
