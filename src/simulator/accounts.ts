// The data of the simulated ThingSpace: application keys with their API tokens, users with their
// failed logins, and sessions. Rules only, no HTTP. Where Verizon documents no rule, a comment
// names the chosen one.

import { randomInt, randomUUID } from 'node:crypto';

/** What the simulator counts of each user. */
const noCounts = {
  /** Consecutive failed logins; an accepted one sets it to 0. */
  failedLogins: 0,
  /** The largest value of `failedLogins`. */
  mostFailedLogins: 0,
  loginsReceived: 0,
  resetsReceived: 0,
  resetsCommitted: 0,
  resetsInFlight: 0,
  mostResetsInFlight: 0,
};

export type User = typeof noCounts & { readonly username: string; password: string };

type Session = { readonly username: string; lastUsedMs: number; ended: boolean };

export type Application = { readonly clientId: string; readonly clientSecret: string };

/** A code of the M2M application, without its service prefix. */
export type Refused = { readonly errorCode: string; readonly errorMessage: string };

/** Verizon: "5 consecutive failed logins" lock the username, and only their support unlocks it. */
const failedLoginLimit = 5;
/** Verizon: a session ends after 20 minutes without a call. No other end is documented. */
const sessionIdleMs = 20 * 60 * 1000;
/** Verizon: one hour from the first issue; each request within it gets the same token. */
const apiTokenLifeMs = 60 * 60 * 1000;

// The codes for wrong credentials, a locked user and a wrong oldPassword are not documented. These
// follow the documented pattern. `Simulated` in the name says that no program may depend on them.
const wrongCredentials = {
  errorCode: 'REQUEST_FAILED.SimulatedWrongCredentials',
  errorMessage: 'The username or password is wrong.',
};
const lockedUser = {
  errorCode: 'REQUEST_FAILED.SimulatedUserLocked',
  errorMessage: 'The user is locked. Call support.',
};
const wrongOldPassword = {
  errorCode: 'REQUEST_FAILED.SimulatedWrongOldPassword',
  errorMessage: 'The old password is wrong.',
};
const sessionMissing = {
  errorCode: 'REQUEST_FAILED.SessionToken.Format',
  errorMessage: 'The session token is missing.',
};
const sessionUnknown = {
  errorCode: 'INPUT_INVALID.SessionToken.Invalid',
  errorMessage: 'The session token is not known.',
};
export const sessionExpired = {
  errorCode: 'REQUEST_FAILED.SessionToken.Expired',
  errorMessage: 'The session token has expired.',
};

export type AccountRules = {
  /** UTC milliseconds, for the ends of tokens and sessions; default the clock of the system. */
  readonly nowMs: () => number;
  /** The password that a reset gives; default twelve random letters and digits. */
  readonly generatePassword: (username: string) => string;
  /** Whether a reset ends all sessions of the user, also its own. Not documented; default false. */
  readonly resetEndsSessions: boolean;
  /**
   * Whether a wrong oldPassword counts as a failed login. Not documented; default true, the
   * stricter rule.
   */
  readonly wrongOldPasswordCounts: boolean;
};

export type Accounts = ReturnType<typeof createAccounts>;

export function createAccounts(rules: AccountRules) {
  const { user, ...users } = createUsers();
  return {
    user,
    ...users,
    ...createApplications(rules.nowMs),
    ...createSessions(rules, user, users.hasUser),
  };
}

function createUsers() {
  const users = new Map<string, User>();
  const user = (username: string): User => {
    const found = users.get(username);
    if (!found) throw new Error(`the simulator has no user ${username}`);
    return found;
  };
  return {
    user,
    hasUser: (username: string): boolean => users.has(username),

    addUser(username: string, password: string): void {
      users.set(username, { ...noCounts, username, password });
    },

    isLocked: (username: string): boolean => isLocked(user(username)),

    unlock(username: string): void {
      user(username).failedLogins = 0;
    },
  };
}

function isLocked({ failedLogins }: User): boolean {
  return failedLogins >= failedLoginLimit;
}

function countFailedLogin(user: User): void {
  user.failedLogins += 1;
  user.mostFailedLogins = Math.max(user.mostFailedLogins, user.failedLogins);
}

function createApplications(nowMs: () => number) {
  type Known = Application & { apiToken?: { value: string; endsMs: number } };
  const applications = new Map<string, Known>();
  return {
    addApplication(application: Application): void {
      applications.set(application.clientId, { ...application });
    },

    /** The API token of the key and its remaining seconds; `undefined` for a wrong key. */
    apiTokenFor(
      clientId: string,
      clientSecret: string,
    ): { value: string; lifeSeconds: number } | undefined {
      const application = applications.get(clientId);
      if (application?.clientSecret !== clientSecret) return undefined;
      if (!application.apiToken || application.apiToken.endsMs <= nowMs()) {
        application.apiToken = { value: randomUUID(), endsMs: nowMs() + apiTokenLifeMs };
      }
      const { value, endsMs } = application.apiToken;
      return { value, lifeSeconds: Math.floor((endsMs - nowMs()) / 1000) };
    },

    isApiToken: (value: string): boolean =>
      [...applications.values()].some(
        ({ apiToken }) => apiToken?.value === value && apiToken.endsMs > nowMs(),
      ),

    /** Ends this API token, or all of them. */
    endApiTokens(value?: string): void {
      for (const application of applications.values()) {
        if (value === undefined || application.apiToken?.value === value)
          delete application.apiToken;
      }
    },
  };
}

function createSessions(
  rules: AccountRules,
  user: (username: string) => User,
  hasUser: (username: string) => boolean,
) {
  const sessions = new Map<string, Session>();
  const isOpen = (session: Session): boolean =>
    !session.ended && rules.nowMs() - session.lastUsedMs < sessionIdleMs;
  const sessionsOf = (username: string): Session[] =>
    [...sessions.values()].filter((session) => session.username === username);
  const endSessionsOf = (username: string): void => {
    for (const session of sessionsOf(username)) session.ended = true;
  };

  /** The open session, or why there is none. Its idle time begins again. */
  const openSession = (token: string | undefined): Session | Refused => {
    if (token === undefined || token === '') return sessionMissing;
    const session = sessions.get(token);
    if (!session) return sessionUnknown;
    if (!isOpen(session)) return sessionExpired;
    session.lastUsedMs = rules.nowMs();
    return session;
  };

  return {
    endSessionsOf,

    /** A session token, or why there is none. An unknown user is answered like a wrong password. */
    login(username: string, password: string): { sessionToken: string } | Refused {
      if (!hasUser(username)) return wrongCredentials;
      const found = user(username);
      if (isLocked(found)) return lockedUser;
      if (found.password !== password) {
        countFailedLogin(found);
        return wrongCredentials;
      }
      found.failedLogins = 0;
      const sessionToken = randomUUID();
      sessions.set(sessionToken, { username, lastUsedMs: rules.nowMs(), ended: false });
      return { sessionToken };
    },

    /** The user of this session, also after its end. */
    usernameOf: (sessionToken: string | undefined): string | undefined =>
      sessions.get(sessionToken ?? '')?.username,

    /** A new password for the user of the session, valid at once; or why there is none. */
    reset(
      sessionToken: string | undefined,
      oldPassword: string,
    ): { newPassword: string } | Refused {
      const session = openSession(sessionToken);
      if ('errorCode' in session) return session;
      const found = user(session.username);
      if (isLocked(found)) return lockedUser;
      if (found.password !== oldPassword) {
        if (rules.wrongOldPasswordCounts) countFailedLogin(found);
        return wrongOldPassword;
      }
      found.password = rules.generatePassword(found.username);
      found.resetsCommitted += 1;
      if (rules.resetEndsSessions) endSessionsOf(found.username);
      return { newPassword: found.password };
    },

    /** Ends the session and returns its token. */
    logout(sessionToken: string | undefined): { sessionToken: string } | Refused {
      const session = openSession(sessionToken);
      if ('errorCode' in session) return session;
      session.ended = true;
      return { sessionToken: sessionToken ?? '' };
    },

    endSession(sessionToken: string | undefined): void {
      const session = sessions.get(sessionToken ?? '');
      if (session) session.ended = true;
    },

    /** The number of sessions of the user that a call may use. */
    openSessionsOf: (username: string): number => sessionsOf(username).filter(isOpen).length,
  };
}

/** Twelve letters and digits, as in the example of Verizon; no policy is documented. */
export function randomPassword(): string {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789';
  return Array.from({ length: 12 }, () => alphabet[randomInt(alphabet.length)]).join('');
}
