// Verizon ThingSpace Connectivity Management over HTTP: three calls and a token. Each answer says
// what is known after the call; "not sent" and "refused" need proof. A login or a reset is never
// sent twice, and no secret enters a sentence.
//
//   POST {base}/ts/v1/oauth2/token                        form      → access_token
//   POST {base}/m2m/v1/session/login                      JSON      → sessionToken
//   PUT  {base}/m2m/v1/session/password/actions/reset     JSON      → newPassword
//   POST {base}/m2m/v1/session/logout                     no body
//
// Source, as of 2026-11: the API reference of Verizon and its generated SDKs. No status or code is
// published for wrong credentials, a locked user or a wrong oldPassword, so nothing here depends on
// one.

import { type Facts, Failure } from '../rotation/failure.ts';
import type {
  Clock,
  Credentials,
  LoginAnswer,
  ResetAnswer,
  Session,
  ThingSpace,
} from '../rotation/ports.ts';
import { Secret } from '../secret.ts';
import {
  isApiTokenRefusal,
  isBeforeApplication,
  isSessionRefusal,
  isThrottle,
  isUnexpectedError,
  parseObject,
  type Refusal,
  readRefusal,
  showCode,
} from './error-body.ts';
import { type Exchange, openHttp, type Request } from './http.ts';
import { mentionsNewPassword, readNewPassword } from './response-body.ts';
import { createApiTokens, isHeaderValue } from './token-cache.ts';

export type ThingSpaceOptions = {
  /**
   * Such as `https://thingspace.verizon.com/api`; http or https, without user, query or fragment.
   */
  readonly baseUrl: string;
  /** Bounds token, login and logout, and the connecting of each call. */
  readonly requestTimeoutMs: number;
  /**
   * Bounds the reset. Longer than the others: a response that comes late is still the only copy of
   * the password.
   */
  readonly resetTimeoutMs: number;
  readonly clock: Pick<Clock, 'monotonicMs' | 'sleep'>;
};

/**
 * Opens a client. It keeps API tokens in memory, one per application key, and may be shared by all
 * accounts. `close` ends every connection. Throws a plain Error for a `baseUrl` that cannot be
 * used.
 */
export function openThingSpace(options: ThingSpaceOptions): ThingSpace & { close(): void } {
  const { clock, requestTimeoutMs, resetTimeoutMs } = options;
  const url = parseBaseUrl(options.baseUrl);
  const http = openHttp({ url, connectTimeoutMs: requestTimeoutMs, clock });
  const tokens = createApiTokens(
    (credentials) => http.send(tokenRequest(credentials, requestTimeoutMs)),
    () => clock.monotonicMs(),
    url.host,
  );

  /**
   * Sends with an API token. When the gateway refuses the token, the application has not seen the
   * request, so it is sent once more with a new token. Only for login and logout: a refused reset
   * goes back to the caller.
   */
  const sendWithToken = async (
    credentials: Credentials,
    requestWith: (apiToken: Secret) => Request,
  ): Promise<Exchange> => {
    const apiToken = await tokens.get(credentials);
    const exchange = await http.send(requestWith(apiToken));
    if (!isTokenRefused(exchange)) return exchange;
    tokens.drop(credentials, apiToken);
    const newToken = await tokens.get(credentials);
    const second = await http.send(requestWith(newToken));
    if (isTokenRefused(second)) tokens.drop(credentials, newToken);
    return second;
  };

  return {
    connectAhead: http.connectAhead,
    close: http.close,
    readNewPassword,

    async authorize(credentials) {
      await tokens.get(credentials);
    },

    login: (credentials, mayStillSend) =>
      orElse(
        async () => {
          const exchange = await sendWithToken(credentials, (apiToken) => ({
            ...loginRequest(credentials, apiToken),
            timeoutMs: requestTimeoutMs,
            mayStillSend,
          }));
          return loginAnswerOf(exchange, credentials);
        },
        ({ message, facts }) => ({ login: 'not-sent', detail: message, facts }),
      ),

    reset: (session, mayStillSend) =>
      orElse(
        async () => {
          const { credentials } = session;
          // From memory, unless it ended since the login.
          const apiToken = await tokens.get(credentials);
          const request = resetRequest(session, apiToken);
          const exchange = await http.send({ ...request, timeoutMs: resetTimeoutMs, mayStillSend });
          if (isTokenRefused(exchange)) tokens.drop(credentials, apiToken);
          return resetAnswerOf(exchange, session, apiToken);
        },
        ({ message }) => ({ reset: 'refused', because: 'api-token', detail: message }),
      ),

    endSession: (session) =>
      orElse(
        async () => {
          await sendWithToken(session.credentials, (apiToken) => ({
            ...logoutRequest(session, apiToken),
            timeoutMs: requestTimeoutMs,
          }));
        },
        () => undefined,
      ),
  };
}

/** The result of the call; or what `otherwise` makes of the failure to get an API token. */
async function orElse<T>(call: () => Promise<T>, otherwise: (failure: Failure) => T): Promise<T> {
  try {
    return await call();
  } catch (error) {
    if (error instanceof Failure) return otherwise(error);
    throw error;
  }
}

/** A user or a query in the base URL would be part of every URL, and so perhaps of a log. */
function parseBaseUrl(baseUrl: string): URL {
  const url = URL.canParse(baseUrl) ? new URL(baseUrl) : null;
  const isUsable =
    url &&
    /^https?:$/.test(url.protocol) &&
    `${url.username}${url.password}${url.search}${url.hash}` === '';
  if (!isUsable)
    throw new Error(
      'the ThingSpace base URL must be http or https, without user, query or fragment',
    );
  return url;
}

type Unbounded = Omit<Request, 'timeoutMs' | 'mayStillSend'>;

function tokenRequest({ clientId, clientSecret }: Credentials, timeoutMs: number): Request {
  const key = Buffer.from(`${clientId}:${clientSecret.reveal()}`).toString('base64');
  return {
    method: 'POST',
    path: '/ts/v1/oauth2/token',
    headers: {
      authorization: `Basic ${key}`,
      'content-type': 'application/x-www-form-urlencoded',
      accept: 'application/json',
    },
    body: 'grant_type=client_credentials',
    timeoutMs,
  };
}

function loginRequest({ username, password }: Credentials, apiToken: Secret): Unbounded {
  return {
    method: 'POST',
    path: '/m2m/v1/session/login',
    headers: {
      authorization: `Bearer ${apiToken.reveal()}`,
      'content-type': 'application/json',
      accept: 'application/json',
    },
    body: JSON.stringify({ username, password: password.reveal() }),
  };
}

function resetRequest({ sessionToken, credentials }: Session, apiToken: Secret): Unbounded {
  return {
    method: 'PUT',
    path: '/m2m/v1/session/password/actions/reset',
    headers: {
      authorization: `Bearer ${apiToken.reveal()}`,
      'vz-m2m-token': sessionToken.reveal(),
      'content-type': 'application/json',
      accept: 'application/json',
    },
    body: JSON.stringify({ oldPassword: credentials.password.reveal() }),
  };
}

function logoutRequest({ sessionToken }: Session, apiToken: Secret): Unbounded {
  return {
    method: 'POST',
    path: '/m2m/v1/session/logout',
    headers: {
      authorization: `Bearer ${apiToken.reveal()}`,
      'vz-m2m-token': sessionToken.reveal(),
      accept: 'application/json',
    },
    body: '',
  };
}

/**
 * Only a 4xx counts as a refusal. Whatever a 5xx says, something failed after the request was
 * accepted.
 */
function refusalIn(exchange: Exchange): Refusal | null {
  if (exchange.ended !== 'complete' || exchange.status < 400 || exchange.status > 499) return null;
  return readRefusal(exchange.body.reveal());
}

function isTokenRefused(exchange: Exchange): boolean {
  const refusal = refusalIn(exchange);
  return refusal !== null && isApiTokenRefusal(refusal);
}

function isSuccess(status: number): boolean {
  return status >= 200 && status < 300;
}

/**
 * What a login response means. An application code is believed in any status (`UnexpectedError`
 * excepted): a login too many is worse than a needless suspension. `not-sent` needs proof that the
 * application did not see the login.
 */
function loginAnswerOf(exchange: Exchange, credentials: Credentials): LoginAnswer {
  if (exchange.ended === 'not-sent')
    return { login: 'not-sent', detail: `login: not sent, ${exchange.why}` };
  if (exchange.ended === 'silent') return { login: 'unknown', detail: `login: ${exchange.why}` };
  const { status } = exchange;
  if (exchange.ended === 'cut')
    return { login: 'unknown', detail: `login: HTTP ${status}, ${exchange.why}` };

  const body = exchange.body.reveal();
  const sessionToken = isSuccess(status) ? parseObject(body)?.['sessionToken'] : undefined;
  if (isHeaderValue(sessionToken))
    return { login: 'accepted', session: { sessionToken: new Secret(sessionToken), credentials } };
  const refusal = readRefusal(body);
  const secrets = [credentials.password, credentials.clientSecret];
  const detail = `login: HTTP ${status}${refusal ? `, ${showCode(refusal, secrets)}` : ''}`;
  const facts: Facts | undefined = status === 429 ? { cause: 'throttled' } : undefined;
  if (refusal?.by === 'application') {
    const isUndecided = isUnexpectedError(refusal) || status === 429;
    return isUndecided ? { login: 'unknown', detail, facts } : { login: 'refused', detail };
  }
  const believed = refusalIn(exchange);
  const isNotSent = status === 429 || (believed !== null && isBeforeApplication(believed));
  return {
    login: isNotSent ? 'not-sent' : 'unknown',
    detail: status < 300 ? `${detail} without a usable session token` : detail,
    facts,
  };
}

/**
 * What a reset response means. `refused` needs a body that names its author: a fault that the
 * gateway gives before it forwards, or an error code of the application in a 4xx; or a 429. Any
 * other page is in doubt. A body that holds a new password is never a refusal.
 */
function resetAnswerOf(
  exchange: Exchange,
  { credentials, sessionToken }: Session,
  apiToken: Secret,
): ResetAnswer {
  if (exchange.ended === 'not-sent')
    return { reset: 'not-sent', detail: `reset: not sent, ${exchange.why}` };
  if (exchange.ended === 'silent') return { reset: 'in-doubt', detail: `reset: ${exchange.why}` };
  const { status, body } = exchange;
  if (exchange.ended === 'cut')
    return inDoubt(`reset: HTTP ${status}, ${exchange.why}`, status, body);
  if (isSuccess(status)) return { reset: 'answered', body };

  const refusal = readNewPassword(body) ? null : refusalIn(exchange);
  const secrets = [credentials.password, credentials.clientSecret, sessionToken, apiToken];
  const detail = `reset: HTTP ${status}${refusal ? `, ${showCode(refusal, secrets)}` : ''}`;
  if (refusal && isThrottle(refusal)) return { reset: 'refused', because: 'throttled', detail };
  if (status === 429 && !mentionsNewPassword(body))
    return { reset: 'refused', because: 'throttled', detail };
  if (!refusal || isUnexpectedError(refusal)) return inDoubt(detail, status, body);
  if (isApiTokenRefusal(refusal)) return { reset: 'refused', because: 'api-token', detail };
  if (isSessionRefusal(refusal)) return { reset: 'refused', because: 'session', detail };
  if (refusal.by === 'application' || isBeforeApplication(refusal))
    return { reset: 'refused', because: 'code', detail };
  return inDoubt(detail, status, body);
}

/**
 * In doubt, with the bytes when they may hold a password: any bytes of a 2xx, and bytes that name
 * the field.
 */
function inDoubt(detail: string, status: number, body: Secret<Uint8Array>): ResetAnswer {
  const mayHoldPassword = (isSuccess(status) && !body.isEmpty) || mentionsNewPassword(body);
  return mayHoldPassword ? { reset: 'in-doubt', detail, body } : { reset: 'in-doubt', detail };
}
