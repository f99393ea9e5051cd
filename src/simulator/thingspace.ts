// Verizon ThingSpace Connectivity Management on a loopback port: token, login, reset and logout,
// with faults by name. Used by `simulate`, by `demo` and by the tests. It is stricter than
// production about method, path, headers and body. It contacts no other host, and its request log
// holds no secret.

import type { IncomingMessage, ServerResponse } from 'node:http';
import {
  type Accounts,
  type Application,
  createAccounts,
  type Refused,
  randomPassword,
  sessionExpired,
} from './accounts.ts';
import {
  type Answer,
  encodeAnswer,
  gatewayFault,
  json,
  proxyPage,
  refusal,
  sendAnswer,
  truncateAnswer,
  unexpectedError,
} from './answers.ts';
import {
  type ArmedFaults,
  type CallName,
  createArmedFaults,
  type Fault,
  type FaultName,
} from './faults.ts';
import { bearerOf, type Call, headerOf, passGateway, readBody, routes } from './gateway.ts';
import { openListener } from './listener.ts';
import { createWaits, type Waits } from './waits.ts';

export type { Application } from './accounts.ts';
export {
  type CallName,
  type Fault,
  type FaultName,
  faultNames,
  isConnectionFault,
} from './faults.ts';

export type ThingSpaceSimulatorOptions = {
  readonly users?: readonly { readonly username: string; readonly password: string }[];
  readonly applications?: readonly Application[];
  /** Default 0: any free port. */
  readonly port?: number;
  /** Default 127.0.0.1. */
  readonly host?: string;
  /** Key and certificate in PEM; with them the simulator serves https. */
  readonly tls?: { readonly key: string; readonly cert: string };
  /** Whether a reset ends all sessions of the user, also its own. Not documented; default false. */
  readonly resetEndsSessions?: boolean;
  /**
   * Whether a wrong oldPassword counts as a failed login. Not documented; default true, the
   * stricter rule.
   */
  readonly wrongOldPasswordCounts?: boolean;
  /**
   * Whether a repeated token request gives the remaining time. Not documented; default false:
   * always 3600.
   */
  readonly expiresInCountsDown?: boolean;
  /**
   * Refuses apostrophe, less-than and backslash in request fields, as documented. Default false:
   * passwords may hold them.
   */
  readonly refusesInvalidCharacters?: boolean;
  /** The password that a reset gives; default twelve random letters and digits. */
  readonly generatePassword?: (username: string) => string;
  /** UTC milliseconds, for the ends of tokens and sessions; default the clock of the system. */
  readonly nowMs?: () => number;
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

export type ThingSpaceSimulator = {
  /** Such as `http://127.0.0.1:40123/api`. */
  readonly baseUrl: string;
  addUser(username: string, password: string): void;
  addApplication(application: Application): void;
  /** As by an administrator; failed logins and sessions stay. */
  setPassword(username: string, password: string): void;
  unlock(username: string): void;
  isLocked(username: string): boolean;
  livePassword(username: string): string;
  loginsReceived(username: string): number;
  /** Every reset that came with a session of this user, also refused ones. */
  resetsReceived(username: string): number;
  resetsCommitted(username: string): number;
  /** The largest number of resets of this user in the server at the same time. */
  maxResetsInFlight(username: string): number;
  failedLogins(username: string): { readonly consecutive: number; readonly most: number };
  openSessions(username: string): number;
  endSessions(username: string): void;
  /** Ends every API token. */
  endApiTokens(): void;
  /** Moves the clock of the simulator. */
  advance(ms: number): void;
  arm(fault: Fault): void;
  clearFaults(): void;
  /** Ends the waits of `hold`, `hang` and `slow`. */
  release(): void;
  /**
   * The *next* request that reaches this moment; call it before the request is sent. Never resolves
   * after `close`.
   */
  waitFor(
    moment: Moment,
    which?: { readonly call?: CallName; readonly username?: string },
  ): Promise<RequestLine>;
  /** All requests, in the order they arrived. */
  readonly requests: readonly RequestLine[];
  /** Ends every connection and every wait; a call that was held is not executed. */
  close(): Promise<void>;
};

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
export async function openThingSpaceSimulator(
  options: ThingSpaceSimulatorOptions = {},
): Promise<ThingSpaceSimulator> {
  let advancedMs = 0;
  const accounts = createAccounts({
    nowMs: () => (options.nowMs ?? Date.now)() + advancedMs,
    generatePassword: options.generatePassword ?? randomPassword,
    resetEndsSessions: options.resetEndsSessions ?? false,
    wrongOldPasswordCounts: options.wrongOldPasswordCounts ?? true,
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
    baseUrl: `${listener.origin}/api`,
    ...controlsOf(accounts, faults),
    advance: (ms) => {
      advancedMs += ms;
    },
    release: () => waits.end('released'),
    waitFor: moments.waitFor,
    requests,
    async close() {
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
    call: routes[path]?.call ?? 'unknown',
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

  const early = fault && answerBefore(fault.fault, request, accounts);
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
  send(response, line, fault ? answerAfter(fault, call, answer) : answer);
}

/** What a fault answers before the call is executed; undefined for the other faults. */
function answerBefore(
  fault: FaultName,
  request: IncomingMessage,
  accounts: Accounts,
): Answer | 'close' | undefined {
  switch (fault) {
    case 'drop-before-commit':
      return 'close';
    case '503-before':
      return proxyPage(503);
    case '429':
      return gatewayFault(429, 900800, 'Message throttled out');
    case 'unexpected-error':
      return unexpectedError;
    case 'bearer-401':
      accounts.endApiTokens(bearerOf(request));
      return gatewayFault(401, 900901, 'Invalid Credentials');
    case 'session-400':
      accounts.endSession(headerOf(request, 'vz-m2m-token'));
      return refusal(sessionExpired);
    default:
      return undefined;
  }
}

/** What a fault makes of the answer to an executed call. */
function answerAfter(fault: Fault, { resultKey }: Call, answer: Answer): Answer | 'close' {
  switch (fault.fault) {
    case 'drop-after-commit':
      return 'close';
    case '503-after':
      return proxyPage(503);
    case 'html-200':
      return proxyPage(200);
    case 'empty-200':
      return { ...answer, status: 200, body: '', code: undefined };
    case 'unexpected-error-after':
      return unexpectedError;
    case 'wrong-typed-200': {
      const value = 'wrongValue' in fault ? fault.wrongValue : 42;
      const result: unknown = JSON.parse(answer.body.toString());
      return answer.status === 200
        ? json(200, Object.assign({}, result, { [resultKey]: value }))
        : answer;
    }
    default:
      return encodeAnswer(answer, fault.fault) ?? answer;
  }
}

function send(response: ServerResponse, line: Line, answer: Answer | 'close'): void {
  if (answer === 'close') response.socket?.destroy();
  if (answer === 'close' || response.destroyed) return; // The client disconnected.
  line.status = answer.status;
  if (answer.code !== undefined) line.code = answer.code;
  sendAnswer(response, answer);
}

/** The part of the simulator that reads or sets the accounts and the faults. */
function controlsOf(accounts: Accounts, faults: ArmedFaults) {
  return {
    addUser: accounts.addUser,
    addApplication: accounts.addApplication,
    setPassword: (username: string, password: string) => {
      accounts.user(username).password = password;
    },
    unlock: accounts.unlock,
    isLocked: accounts.isLocked,
    livePassword: (username: string) => accounts.user(username).password,
    loginsReceived: (username: string) => accounts.user(username).loginsReceived,
    resetsReceived: (username: string) => accounts.user(username).resetsReceived,
    resetsCommitted: (username: string) => accounts.user(username).resetsCommitted,
    maxResetsInFlight: (username: string) => accounts.user(username).mostResetsInFlight,
    failedLogins: (username: string) => {
      const { failedLogins, mostFailedLogins } = accounts.user(username);
      return { consecutive: failedLogins, most: mostFailedLogins };
    },
    openSessions: accounts.openSessionsOf,
    endSessions: accounts.endSessionsOf,
    endApiTokens: () => accounts.endApiTokens(),
    arm: faults.arm,
    clearFaults: faults.clear,
  };
}
