// The faults of the ThingSpace simulator, by name, and the list of those that are armed.

/**
 * What each fault does to a call, in one sentence; `simulate` prints them. "Executes" means that
 * the call has its effect.
 */
const callFaults = {
  'drop-before-commit': 'closes the connection without an answer, before it executes the call',
  'drop-after-commit': 'executes the call, then closes the connection before the first byte',
  '503-before': 'answers 503 with a proxy page, before it executes the call',
  '503-after': 'executes the call, then answers 503 with a proxy page',
  'html-200': 'executes the call, then answers 200 with a proxy page',
  'empty-200': 'executes the call, then answers 200 with an empty body',
  'truncated-200':
    'executes the call, then sends only cutAfterBytes bytes of the body (default: half)',
  'wrong-typed-200':
    'executes the call, then answers with a number as the result (or wrongValue; undefined: none)',
  'gzip-200': 'executes the call, then answers with a gzip body',
  'deflate-200': 'executes the call, then answers with a deflate body',
  'deflate-raw-200': 'executes the call, then answers with a deflate body without zlib header',
  'br-200': 'executes the call, then answers with a brotli body',
  'utf8-bom-200': 'executes the call, then answers in UTF-8 with a byte order mark',
  'utf16le-200': 'executes the call, then answers in UTF-16LE',
  'utf16be-200': 'executes the call, then answers in UTF-16BE',
  'latin1-200': 'executes the call, then answers in Latin-1',
  'trailing-200': 'executes the call, then answers with text after the JSON value',
  slow: 'waits delayMs, then executes the call, even if the client has disconnected',
  hold: 'waits for release(), then executes the call, even if the client has disconnected',
  hang: 'executes the call, then waits for release() before it answers',
  'bearer-401': 'ends the API token and answers 401 with the gateway fault 900901',
  'session-400': 'ends the session and answers 400 with the code SessionToken.Expired',
  '429': 'answers 429 with the gateway fault 900800, before it executes the call',
  'unexpected-error': 'answers 400 with the code UnexpectedError, before it executes the call',
  'unexpected-error-after': 'executes the call, then answers 400 with the code UnexpectedError',
} as const satisfies Record<string, string>;

/** What each fault does to a new connection, whatever call it would carry. */
const connectionFaults = {
  'close-on-accept': 'closes a new connection at once',
  'close-idle': 'closes a new connection that has carried no request for delayMs (default 1000)',
  'slow-handshake': 'waits delayMs (default 1000) before it reads from a new connection',
} as const satisfies Record<string, string>;

export const faultNames = { ...callFaults, ...connectionFaults };

export type FaultName = keyof typeof faultNames;

export function isConnectionFault(name: FaultName): name is keyof typeof connectionFaults {
  return name in connectionFaults;
}

/** The calls that a fault can be armed for. */
export type CallName = 'token' | 'login' | 'reset' | 'logout';

/**
 * One armed fault. It applies to calls that name a known user and pass the gateway; a `token` call
 * has no user.
 */
export type Fault = {
  readonly fault: FaultName;
  /** Ignored by a fault of connections. */
  readonly call: CallName;
  /** Only the calls of this user; without it, of all users. */
  readonly username?: string;
  /** How many calls pass first; default 0. */
  readonly after?: number;
  /** How many calls it applies to; default 1, `Infinity` for all. */
  readonly count?: number;
  /** The chance, 0 to 1, that it applies to a call; default 1. From the seed of the simulator. */
  readonly probability?: number;
  /** `slow`, `close-idle`, `slow-handshake`: milliseconds. */
  readonly delayMs?: number;
  /** `truncated-200`: the bytes of the body that are still sent. */
  readonly cutAfterBytes?: number;
  /** `wrong-typed-200`: the value in place of the token or the password. */
  readonly wrongValue?: unknown;
};

export type ArmedFaults = ReturnType<typeof createArmedFaults>;

export function createArmedFaults(seed: number) {
  const random = createRandom(seed);
  let armed: { fault: Fault; skip: number; left: number }[] = [];
  return {
    arm(fault: Fault): void {
      armed.push({ fault, skip: fault.after ?? 0, left: fault.count ?? 1 });
    },
    /** Removes all. */
    clear(): void {
      armed = [];
    },
    /**
     * The fault that applies, which is used up by one; the fault that was armed first has priority.
     */
    take(what: CallName | 'connection', username?: string): Fault | undefined {
      for (const entry of armed) {
        const { fault } = entry;
        if ((isConnectionFault(fault.fault) ? 'connection' : fault.call) !== what) continue;
        if (what !== 'connection' && fault.username !== undefined && fault.username !== username)
          continue;
        if (entry.skip > 0) {
          entry.skip -= 1;
          continue;
        }
        if (fault.probability !== undefined && random() >= fault.probability) continue;
        entry.left -= 1;
        if (entry.left <= 0) armed = armed.filter((other) => other !== entry);
        return fault;
      }
      return undefined;
    },
  };
}

/** mulberry32: small and seeded. */
function createRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}
