// ThingSpace Connectivity Management on a loopback port: token, login, reset, logout, with faults by name. Used by `simulate`, by
// `demo` and by the tests. Stricter than production about method, path, headers and body. It must never contact anything, and its
// request log must never hold a secret.

import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import {
  type Application,
  createAccounts,
  type Refused,
  randomPassword,
  sessionExpired,
} from './accounts.ts';
import {
  type ArmedFaults,
  type CallName,
  createArmedFaults,
  type Fault,
  type FaultName,
} from './faults.ts';

import {
  type Answer,
  bearerOf,
  gatewayFault,
  headerOf,
  json,
  passGateway,
  proxyPage,
  readBody,
  refusal,
  routes,
  unexpectedError,
} from './gateway.ts';

export type { Application } from './accounts.ts';
export { type CallName, type Fault, type FaultName, faultNames } from './faults.ts';

export type ThingSpaceSimulatorOptions = {
  readonly users?: readonly { readonly username: string; readonly password: string }[];
  readonly applications?: readonly Application[];
  /** Default 0: any free port. */
  readonly port?: number;
  /** Default 127.0.0.1. */
  readonly host?: string;
  /** Whether a reset ends all sessions of the user, the one it came in included. Verizon says neither; default false. */
  readonly resetEndsSessions?: boolean;
  /** Whether a wrong oldPassword is a strike. Verizon says neither; default true, the harsher one. */
  readonly wrongOldPasswordCounts?: boolean;
  /** Whether a repeated token request tells the time that is left. Verizon says neither; default false: it always says 3600. */
  readonly expiresInCountsDown?: boolean;
  /** Refuses apostrophe, less-than and backslash in request fields, as Verizon documents. Default false, so that a password may hold anything. */
  readonly refusesInvalidCharacters?: boolean;
  /** The password that a reset gives; default twelve random alphanumerics. */
  readonly generatePassword?: (username: string) => string;
  /** UTC milliseconds, for token and session ends; default the system's. */
  readonly nowMs?: () => number;
  /** For faults with a probability; default 1. */
  readonly seed?: number;
  /** Called when a request has ended. */
  readonly onRequest?: (line: RequestLine) => void;
};

/** One request as it was seen. No header, no body, no secret. Times in monotonic milliseconds. */
export type RequestLine = {
  readonly number: number;
  readonly call: CallName | 'unknown';
  readonly method: string;
  /** Without query. */
  readonly path: string;
  readonly username?: string;
  readonly startedMs: number;
  /** Absent while it runs. */
  readonly endedMs?: number;
  /** Absent when no answer was sent. */
  readonly status?: number;
  /** The error code of a refusal, of whichever shape. */
  readonly code?: string;
  readonly fault?: FaultName;
  /** Whether the call had its effect: a token given, a session opened or ended, a password changed. */
  readonly committed: boolean;
};

/** `arrived`: read, nothing done yet. `held`: waits, for `release()` or for time. `committed`: done. `ended`: answered or cut. */
export type Moment = 'arrived' | 'held' | 'committed' | 'ended';

export type ThingSpaceSimulator = {
  /** Such as `http://127.0.0.1:40123/api`. */
  readonly baseUrl: string;
  addUser(username: string, password: string): void;
  addApplication(application: Application): void;
  /** As an administrator would, by hand; leaves strikes and sessions alone. */
  setPassword(username: string, password: string): void;
  unlock(username: string): void;
  isLocked(username: string): boolean;
  livePassword(username: string): string;
  loginsReceived(username: string): number;
  /** Every reset that came with a session of this user, refused ones included. */
  resetsReceived(username: string): number;
  resetsCommitted(username: string): number;
  /** The most resets of this user that were ever in the server at the same time. */
  maxResetsInFlight(username: string): number;
  failedLogins(username: string): { readonly consecutive: number; readonly most: number };
  openSessions(username: string): number;
  endSessions(username: string): void;
  /** As if every API token's hour were over. */
  endApiTokens(): void;
  /** Moves the simulator's clock. */
  advance(ms: number): void;
  arm(fault: Fault): void;
  clearFaults(): void;
  /** Lets everything go on that `hold` or `hang` keeps, and cuts short what is `slow`. */
  release(): void;
  /** The *next* request that reaches this moment; ask before you cause it. Never resolves after `close`. */
  waitFor(
    moment: Moment,
    which?: { readonly call?: CallName; readonly username?: string },
  ): Promise<RequestLine>;
  /** All requests, in the order they arrived. */
  readonly requests: readonly RequestLine[];
  /** Ends every connection and everything held; nothing that was held has its effect. */
  close(): Promise<void>;
};

type Line = { -readonly [key in keyof RequestLine]: RequestLine[key] };

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
  const requests: Line[] = [];
  let watchers: {
    moment: Moment;
    call?: CallName;
    username?: string;
    resolve: (line: RequestLine) => void;
  }[] = [];

  const reach = (moment: Moment, line: Line): void => {
    const isMet = (watcher: (typeof watchers)[number]): boolean =>
      watcher.moment === moment &&
      (watcher.call === undefined || watcher.call === line.call) &&
      (watcher.username === undefined || watcher.username === line.username);
    const met = watchers.filter(isMet);
    watchers = watchers.filter((watcher) => !met.includes(watcher));
    for (const { resolve } of met) resolve(line);
  };

  const server = createServer((request, response) => {
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
      reach('ended', line);
      options.onRequest?.(line);
    });
    serve(request, response, line).catch((error: unknown) => {
      if (!request.complete) return; // the caller left in the middle of its request
      throw error;
    });
  });

  async function serve(
    request: IncomingMessage,
    response: ServerResponse,
    line: Line,
  ): Promise<void> {
    const body = await readBody(request);
    const sessionToken = headerOf(request, 'vz-m2m-token');
    const owner = accounts.usernameOf(sessionToken);
    if (owner !== undefined) line.username = owner;
    if (line.call !== 'reset' || owner === undefined) return act(request, response, line, body);
    const user = accounts.user(owner);
    user.resetsReceived += 1;
    user.resetsInFlight += 1;
    user.mostResetsInFlight = Math.max(user.mostResetsInFlight, user.resetsInFlight);
    try {
      await act(request, response, line, body);
    } finally {
      user.resetsInFlight -= 1;
    }
  }

  async function act(
    request: IncomingMessage,
    response: ServerResponse,
    line: Line,
    body: Uint8Array,
  ): Promise<void> {
    const call = passGateway(request, body, accounts, options);
    if ('status' in call) {
      reach('arrived', line);
      return send(response, line, call);
    }
    if (call.username !== undefined) line.username = call.username;
    if (call.name === 'login' && accounts.hasUser(call.username ?? ''))
      accounts.user(call.username ?? '').loginsReceived += 1;
    const fault = faults.take(call.name, call.username);
    if (fault) line.fault = fault.fault;
    reach('arrived', line);

    const early = fault && answerBefore(fault.fault, request);
    if (early === 'drop') return cut(response);
    if (early) return send(response, line, early);
    if (fault?.fault === 'slow' || fault?.fault === 'hold') {
      const wait = waits.begin(
        fault.fault === 'slow' ? (fault.delayMs ?? 1000) : Number.POSITIVE_INFINITY,
      );
      reach('held', line);
      if ((await wait) === 'closing') return;
    }

    const result = call.effect();
    line.committed = !('errorCode' in result);
    if (line.committed) reach('committed', line);
    const answer = 'errorCode' in result ? refusal(400, result as Refused) : json(200, result);

    switch (fault?.fault) {
      case 'drop-after-commit':
        return cut(response);
      case '503-after':
        return send(response, line, proxyPage(503));
      case 'html-200':
        return send(response, line, proxyPage(200));
      case 'empty-200':
        return send(response, line, { status: 200, body: '', type: 'application/json' });
      case 'unexpected-error-after':
        return send(response, line, unexpectedError);
      case 'wrong-typed-200':
        return send(
          response,
          line,
          line.committed ? json(200, { ...result, [call.resultKey]: wrongValueOf(fault) }) : answer,
        );
      case 'truncated-200':
        line.status = answer.status;
        return truncate(response, answer, fault.cutAfterBytes);
      case 'hang': {
        const left = new Promise<void>((resolve) => response.once('close', resolve));
        const wait = waits.begin(Number.POSITIVE_INFINITY);
        reach('held', line);
        await Promise.race([wait, left]);
        return send(response, line, answer);
      }
      default:
        return send(response, line, answer);
    }
  }

  /** What a fault answers before anything is done, if it is such a fault. */
  function answerBefore(fault: FaultName, request: IncomingMessage): Answer | 'drop' | undefined {
    switch (fault) {
      case 'drop-before-commit':
        return 'drop';
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
        return refusal(400, sessionExpired);
      default:
        return undefined;
    }
  }

  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.port ?? 0, options.host ?? '127.0.0.1', resolve);
  });
  const { port } = server.address() as AddressInfo;

  return {
    baseUrl: `http://${options.host ?? '127.0.0.1'}:${port}/api`,
    ...leversOf(accounts, faults),
    advance: (ms) => {
      advancedMs += ms;
    },
    release: () => waits.end('released'),
    waitFor: (moment, which = {}) =>
      new Promise((resolve) => watchers.push({ moment, ...which, resolve })),
    requests,
    async close() {
      waits.end('closing');
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeAllConnections();
      await closed;
    },
  };
}

/** The part of the simulator that only looks at the accounts or sets them. */
function leversOf(accounts: ReturnType<typeof createAccounts>, faults: ArmedFaults) {
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

/** Waits that end by time, by `end`, or both; none outlives the server. */
function createWaits(): {
  begin(ms: number): Promise<'released' | 'closing'>;
  end(how: 'released' | 'closing'): void;
} {
  const waiting = new Set<(how: 'released' | 'closing') => void>();
  return {
    begin: (ms) =>
      new Promise((resolve) => {
        const timer = Number.isFinite(ms)
          ? setTimeout(() => finish('released'), ms).unref()
          : undefined;
        const finish = (how: 'released' | 'closing'): void => {
          clearTimeout(timer);
          waiting.delete(finish);
          resolve(how);
        };
        waiting.add(finish);
      }),
    end: (how) => {
      for (const finish of [...waiting]) finish(how);
    },
  };
}

function wrongValueOf(fault: Fault): unknown {
  return 'wrongValue' in fault ? fault.wrongValue : 42;
}

function send(response: ServerResponse, line: Line, { status, body, type, code }: Answer): void {
  if (response.destroyed) return; // the caller left
  line.status = status;
  if (code !== undefined) line.code = code;
  response.writeHead(status, {
    'content-type': type,
    'content-length': Buffer.byteLength(body),
    'cache-control': 'no-store',
  });
  response.end(body);
}

function cut(response: ServerResponse): void {
  response.socket?.destroy();
}

/** Sends the head and the first bytes of the body, then ends the connection; what was written still arrives. */
function truncate(
  response: ServerResponse,
  { status, body, type }: Answer,
  cutAfterBytes?: number,
): void {
  const bytes = Buffer.from(body);
  response.writeHead(status, { 'content-type': type, 'content-length': bytes.length });
  response.flushHeaders();
  response.write(bytes.subarray(0, cutAfterBytes ?? Math.floor(bytes.length / 2)));
  response.socket?.end();
}
