// The faults that the ThingSpace simulator knows, by name, and the list of those that are armed.

/** What each fault does, in one sentence; `simulate` prints them. "Done" means that the call had its effect. */
export const faultNames = {
  'drop-before-commit': 'cuts the connection before anything is done',
  'drop-after-commit': 'does it, then cuts the connection without an answer',
  '503-before': 'answers 503 with a proxy page before anything is done',
  '503-after': 'does it, then answers 503 with a proxy page',
  'html-200': 'does it, then answers 200 with a proxy page instead of the result',
  'empty-200': 'does it, then answers 200 with an empty body',
  'truncated-200':
    'does it, then cuts the answer after cutAfterBytes bytes of its body (default: half)',
  'wrong-typed-200':
    'does it, then answers 200 with a number in place of the result (or wrongValue; undefined leaves it out)',
  slow: 'waits delayMs before it looks at the call, and does it even if the caller has left',
  hold: 'waits for release() before it looks at the call, and does it even if the caller has left',
  hang: 'does it, then keeps the answer back until release()',
  'bearer-401': 'ends the API token and answers 401 with the gateway fault 900901',
  'session-400': 'ends the session and answers 400 with the code SessionToken.Expired',
  '429': 'answers 429 with the gateway fault 900800 before anything is done',
  'unexpected-error':
    'answers 400 with the code REQUEST_FAILED.UnexpectedError before anything is done',
  'unexpected-error-after':
    'does it, then answers 400 with the code REQUEST_FAILED.UnexpectedError',
} as const satisfies Record<string, string>;

export type FaultName = keyof typeof faultNames;

/** The calls a fault can be armed for. */
export type CallName = 'token' | 'login' | 'reset' | 'logout';

/** One armed fault. It meets calls of its kind that name a known user and pass the gateway; a `token` call has no user. */
export type Fault = {
  readonly fault: FaultName;
  readonly call: CallName;
  /** Only this user's calls; all users' without it. */
  readonly username?: string;
  /** How many calls it lets pass first; default 0. */
  readonly after?: number;
  /** How many calls it meets; default 1, `Infinity` for all. */
  readonly count?: number;
  /** Chance, 0 to 1, that it meets a call which it could meet; default 1. From the simulator's seed. */
  readonly probability?: number;
  /** `slow`: milliseconds. */
  readonly delayMs?: number;
  /** `truncated-200`: bytes of the body that are still sent. */
  readonly cutAfterBytes?: number;
  /** `wrong-typed-200`: the value in place of the token or the password. */
  readonly wrongValue?: unknown;
};

export type ArmedFaults = {
  arm(fault: Fault): void;
  /** Removes all. */
  clear(): void;
  /** The fault that meets this call, used up by one; the one armed first wins. */
  take(call: CallName, username: string | undefined): Fault | undefined;
};

export function createArmedFaults(seed: number): ArmedFaults {
  const random = createRandom(seed);
  let armed: { fault: Fault; skip: number; left: number }[] = [];
  return {
    arm(fault) {
      armed.push({ fault, skip: fault.after ?? 0, left: fault.count ?? 1 });
    },
    clear() {
      armed = [];
    },
    take(call, username) {
      for (const entry of armed) {
        const { fault } = entry;
        if (fault.call !== call || (fault.username !== undefined && fault.username !== username))
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

/** mulberry32: small, seeded, good enough to choose faults. */
function createRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}
