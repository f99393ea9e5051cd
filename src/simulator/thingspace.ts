// Verizon ThingSpace Connectivity Management on a loopback port: token, login, reset and logout,
// with faults by name. Used by `simulate`, by `demo` and by the tests. It is stricter than
// production about method, path, headers and body. It contacts no other host, and its request log
// holds no secret.

import type { IncomingMessage, ServerResponse } from 'node:http';
import {
  type AccountRules,
  type Accounts,
  type Application,
  createAccounts,
  type Refused,
  randomPassword,
  sessionExpired,
} from './accounts.ts';
import {
  type Answer,
  changeAnswer,
  gatewayFault,
  json,
  proxyPage,
  refusal,
  sendAnswer,
  truncateAnswer,
  unexpectedError,
} from './answers.ts';
import { type ArmedFaults, type CallName, createArmedFaults, type FaultName } from './faults.ts';
import {
  bearerOf,
  type GatewayOptions,
  headerOf,
  passGateway,
  readBody,
  routes,
} from './gateway.ts';
import { openListener } from './listener.ts';
import { createWaits, type Waits } from './waits.ts';

export type ThingSpaceSimulatorOptions = Partial<AccountRules> &
  GatewayOptions & {
    readonly users?: readonly { readonly username: string; readonly password: string }[];
    readonly applications?: readonly Application[];
    /** Default 0: any free port. */
    readonly port?: number;
    /** Default 127.0.0.1. */
    readonly host?: string;
    /** Key and certificate in PEM; with them the simulator serves https. */
    readonly tls?: { readonly key: string; readonly cert: string };
    /** For faults with a probability; default 1. */
    readonly seed?: number;
    /** Called when a request has ended. */
    readonly onRequest?: (line: RequestLine) => void;
  };

/** One request. No header, no body, no secret. Times in monotonic milliseconds. */
export type RequestLine = {
  readonly number: number;
  readonly call: CallName | 'unknown';
  readonly method: string;
  /** Without the query. */
  readonly path: string;
  readonly username?: string;
  readonly startedMs: number;
  /** Absent while the request runs. */
  readonly endedMs?: number;
  /** Absent when no answer was sent. */
  readonly status?: number;
  /** The error code of a refusal. */
  readonly code?: string;
  readonly fault?: FaultName;
  /**
   * Whether the call had its effect: a token given, a session opened or ended, a password changed.
   */
  readonly committed: boolean;
};

/**
 * `arrived`: read, not executed. `held`: waits for `release()` or a time. `committed`: executed.
 * `ended`: answered or closed.
 */
export type Moment = 'arrived' | 'held' | 'committed' | 'ended';

export type ThingSpaceSimulator = Awaited<ReturnType<typeof openThingSpaceSimulator>>;

type Line = { -readonly [key in keyof RequestLine]: RequestLine[key] };

/** What the requests of one simulator share. */
type Simulation = {
  readonly options: ThingSpaceSimulatorOptions;
  readonly accounts: Accounts;
  readonly faults: ArmedFaults;
  readonly waits: Waits;
  readonly requests: Line[];
  readonly moments: ReturnType<typeof createMoments>;
};

/** Starts the simulator; resolves when it listens. */
export async function openThingSpaceSimulator(options: ThingSpaceSimulatorOptions = {}) {
  let advancedMs = 0;
  const accounts = createAccounts({
    generatePassword: randomPassword,
    resetEndsSessions: false,
    wrongOldPasswordCounts: true,
    ...options,
    nowMs: () => (options.nowMs ?? Date.now)() + advancedMs,
  });
  for (const { username, password } of options.users ?? []) accounts.addUser(username, password);
  for (const application of options.applications ?? []) accounts.addApplication(application);
  const faults = createArmedFaults(options.seed ?? 1);
  const waits = createWaits();
  const moments = createMoments();
  const requests: Line[] = [];
  const simulation: Simulation = { options, accounts, faults, waits, requests, moments };

  const listener = await openListener({
    port: options.port ?? 0,
    host: options.host ?? '127.0.0.1',
    tls: options.tls,
    faults,
    waits,
    onRequest: (request, response) => receive(simulation, request, response),
  });
  return {
    /** Such as `http://127.0.0.1:40123/api`. */
    baseUrl: `${listener.origin}/api`,
    ...controlsOf(accounts),
    /** Moves the clock of the simulator. */
    advance: (ms: number): void => {
      advancedMs += ms;
    },
    arm: faults.arm,
    clearFaults: faults.clear,
    /** Ends the waits of `hold`, `hang` and `slow`. */
    release: (): void => waits.end('released'),
    waitFor: moments.waitFor,
    /** All requests, in the order they arrived. */
    requests: requests as readonly RequestLine[],
    /** Ends every connection and every wait; a call that was held is not executed. */
    async close(): Promise<void> {
      waits.end('closing');
      await listener.close();
    },
  };
}

function createMoments() {
  type Which = { readonly call?: CallName; readonly username?: string };
  type Watcher = { moment: Moment; which: Which; resolve: (line: RequestLine) => void };
  const watchers = new Set<Watcher>();
  return {
    reach(moment: Moment, line: Line): void {
      for (const watcher of [...watchers]) {
        const { call = line.call, username = line.username } = watcher.which;
        if (watcher.moment !== moment || call !== line.call || username !== line.username) continue;
        watchers.delete(watcher);
        watcher.resolve(line);
      }
    },
    /**
     * The *next* request that reaches this moment; call it before the request is sent. Never
     * resolves after `close`.
     */
    waitFor: (moment: Moment, which: Which = {}): Promise<RequestLine> =>
      new Promise((resolve) => {
        watchers.add({ moment, which, resolve });
      }),
  };
}

function receive(simulation: Simulation, request: IncomingMessage, response: ServerResponse): void {
  const { requests, moments, options } = simulation;
  const path = (request.url ?? '').split('?')[0] ?? '';
  const line: Line = {
    number: requests.length + 1,
    call: routes[path]?.name ?? 'unknown',
    method: request.method ?? '',
    path,
    startedMs: performance.now(),
    committed: false,
  };
  requests.push(line);
  response.once('close', () => {
    line.endedMs = performance.now();
    moments.reach('ended', line);
    options.onRequest?.(line);
  });
  serve(simulation, request, response, line).catch((error: unknown) => {
    if (!request.complete) return; // The client disconnected before the end of its request.
    throw error;
  });
}

/** Answers the request, and counts the resets that are in the server. */
async function serve(
  simulation: Simulation,
  request: IncomingMessage,
  response: ServerResponse,
  line: Line,
): Promise<void> {
  const { accounts } = simulation;
  const body = await readBody(request);
  const owner = accounts.usernameOf(headerOf(request, 'vz-m2m-token'));
  if (owner !== undefined) line.username = owner;
  const answer = (): Promise<void> => respond(simulation, request, response, line, body);
  if (line.call !== 'reset' || owner === undefined) return answer();
  const user = accounts.user(owner);
  user.resetsReceived += 1;
  user.resetsInFlight += 1;
  user.mostResetsInFlight = Math.max(user.mostResetsInFlight, user.resetsInFlight);
  try {
    await answer();
  } finally {
    user.resetsInFlight -= 1;
  }
}

async function respond(
  { accounts, faults, waits, moments, options }: Simulation,
  request: IncomingMessage,
  response: ServerResponse,
  line: Line,
  body: Uint8Array,
): Promise<void> {
  const call = passGateway(request, body, accounts, options);
  if ('status' in call) {
    moments.reach('arrived', line);
    return send(response, line, call);
  }
  if (call.username !== undefined) line.username = call.username;
  if (call.name === 'login' && accounts.hasUser(call.username ?? ''))
    accounts.user(call.username ?? '').loginsReceived += 1;
  const fault = faults.take(call.name, call.username);
  if (fault) line.fault = fault.fault;
  moments.reach('arrived', line);

  const early = fault && earlyAnswers[fault.fault]?.(request, accounts);
  if (early) return send(response, line, early);
  if (fault?.fault === 'slow' || fault?.fault === 'hold') {
    const ms = fault.fault === 'slow' ? (fault.delayMs ?? 1000) : Number.POSITIVE_INFINITY;
    const wait = waits.begin(ms);
    moments.reach('held', line);
    if ((await wait) === 'closing') return;
  }

  const result = call.effect();
  line.committed = !('errorCode' in result);
  if (line.committed) moments.reach('committed', line);
  const answer = 'errorCode' in result ? refusal(result as Refused) : json(200, result);
  if (fault?.fault === 'truncated-200') {
    line.status = answer.status;
    return truncateAnswer(response, answer, fault.cutAfterBytes);
  }
  if (fault?.fault === 'hang') {
    const disconnected = new Promise<void>((resolve) => response.once('close', resolve));
    const wait = waits.begin(Number.POSITIVE_INFINITY);
    moments.reach('held', line);
    await Promise.race([wait, disconnected]);
  }
  send(response, line, fault ? changeAnswer(answer, fault, call.resultKey) : answer);
}

/** What a fault answers before the call is executed; the other faults execute it. */
const earlyAnswers: Partial<
  Record<FaultName, (request: IncomingMessage, accounts: Accounts) => Answer | 'close'>
> = {
  'drop-before-commit': () => 'close',
  '503-before': () => proxyPage(503),
  '429': () => gatewayFault(429, 900800, 'Message throttled out'),
  'unexpected-error': () => unexpectedError,
  'bearer-401': (request, accounts) => {
    accounts.endApiTokens(bearerOf(request));
    return gatewayFault(401, 900901, 'Invalid Credentials');
  },
  'session-400': (request, accounts) => {
    accounts.endSession(headerOf(request, 'vz-m2m-token'));
    return refusal(sessionExpired);
  },
};

function send(response: ServerResponse, line: Line, answer: Answer | 'close'): void {
  if (answer === 'close') response.socket?.destroy();
  if (answer === 'close' || response.destroyed) return; // The client disconnected.
  line.status = answer.status;
  if (answer.code !== undefined) line.code = answer.code;
  sendAnswer(response, answer);
}

/** The part of the simulator that reads or sets the accounts. */
function controlsOf(accounts: Accounts) {
  const { user } = accounts;
  return {
    addUser: accounts.addUser,
    addApplication: accounts.addApplication,
    /** As by an administrator; failed logins and sessions stay. */
    setPassword: (username: string, password: string): void => {
      user(username).password = password;
    },
    unlock: accounts.unlock,
    isLocked: accounts.isLocked,
    livePassword: (username: string) => user(username).password,
    loginsReceived: (username: string) => user(username).loginsReceived,
    /** Every reset that came with a session of this user, also refused ones. */
    resetsReceived: (username: string) => user(username).resetsReceived,
    resetsCommitted: (username: string) => user(username).resetsCommitted,
    /** The largest number of resets of this user in the server at the same time. */
    maxResetsInFlight: (username: string) => user(username).mostResetsInFlight,
    failedLogins: (username: string) => {
      const { failedLogins, mostFailedLogins } = user(username);
      return { consecutive: failedLogins, most: mostFailedLogins };
    },
    openSessions: accounts.openSessionsOf,
    endSessions: accounts.endSessionsOf,
    /** Ends every API token. */
    endApiTokens: (): void => accounts.endApiTokens(),
  };
}
