// Verizon ThingSpace Connectivity Management over HTTP: three calls and a token. It says what is *known* after each call, and
// claims that nothing happened only on proof. It must never send a login or a reset twice, and never let a secret into a sentence.
//
//   POST {base}/ts/v1/oauth2/token                        Basic                      grant_type=client_credentials   → access_token
//   POST {base}/m2m/v1/session/login                      Bearer                     {username, password}            → sessionToken
//   PUT  {base}/m2m/v1/session/password/actions/reset     Bearer, VZ-M2M-Token       {oldPassword}                   → newPassword
//   POST {base}/m2m/v1/session/logout                     Bearer, VZ-M2M-Token       no body
//
// Wire facts as of 2026-11: Verizon's API reference and its generated SDKs; no status or code is published for wrong credentials,
// a locked user or a wrong oldPassword, so nothing here depends on one.

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
import { type Exchange, openWire } from './http.ts';
import { createApiTokens } from './token-cache.ts';

export type ThingSpaceOptions = {
  /** Such as `https://thingspace.verizon.com/api`; http or https, without user, query or fragment. */
  readonly baseUrl: string;
  /** Bounds token, login and logout as a whole, and the connecting of each call. */
  readonly requestTimeoutMs: number;
  /** Bounds the reset as a whole. Patient: an answer that comes late is still the only copy of the password. */
  readonly resetTimeoutMs: number;
  readonly clock: Pick<Clock, 'monotonicMs'>;
};

/**
 * Opens a client. It holds API tokens in memory, one per application key, and may be shared by all accounts; `close` cuts what
 * is still running. Throws a plain Error for a `baseUrl` it cannot use.
 */
export function openThingSpace(options: ThingSpaceOptions): ThingSpace & { close(): void } {
  const base = baseOf(options.baseUrl);
  const wire = openWire();

  const tokens = createApiTokens(
    ({ clientId, clientSecret }) =>
      wire.send({
        method: 'POST',
        url: new URL(`${base}/ts/v1/oauth2/token`),
        headers: {
          authorization: `Basic ${Buffer.from(`${clientId}:${clientSecret.reveal()}`).toString('base64')}`,
          'content-type': 'application/x-www-form-urlencoded',
          accept: 'application/json',
        },
        body: 'grant_type=client_credentials',
        timeoutMs: options.requestTimeoutMs,
        connectTimeoutMs: options.requestTimeoutMs,
      }),
    () => options.clock.monotonicMs(),
  );

  const sendLogin = (credentials: Credentials, apiToken: Secret): Promise<Exchange> =>
    wire.send({
      method: 'POST',
      url: new URL(`${base}/m2m/v1/session/login`),
      headers: {
        authorization: `Bearer ${apiToken.reveal()}`,
        'content-type': 'application/json',
        accept: 'application/json',
      },
      body: JSON.stringify({
        username: credentials.username,
        password: credentials.password.reveal(),
      }),
      timeoutMs: options.requestTimeoutMs,
      connectTimeoutMs: options.requestTimeoutMs,
    });

  const sendReset = ({ sessionToken, credentials }: Session, apiToken: Secret): Promise<Exchange> =>
    wire.send({
      method: 'PUT',
      url: new URL(`${base}/m2m/v1/session/password/actions/reset`),
      headers: {
        authorization: `Bearer ${apiToken.reveal()}`,
        'vz-m2m-token': sessionToken.reveal(),
        'content-type': 'application/json',
        accept: 'application/json',
      },
      body: JSON.stringify({ oldPassword: credentials.password.reveal() }),
      timeoutMs: options.resetTimeoutMs,
      connectTimeoutMs: options.requestTimeoutMs,
    });

  const sendLogout = ({ sessionToken }: Session, apiToken: Secret): Promise<Exchange> =>
    wire.send({
      method: 'POST',
      url: new URL(`${base}/m2m/v1/session/logout`),
      headers: {
        authorization: `Bearer ${apiToken.reveal()}`,
        'vz-m2m-token': sessionToken.reveal(),
        accept: 'application/json',
      },
      body: '',
      timeoutMs: options.requestTimeoutMs,
      connectTimeoutMs: options.requestTimeoutMs,
    });

  /**
   * Sends with an API token; when the gateway refuses that, the application never saw the request, so it may be sent once more
   * with a fresh one. For login and logout only: a reset in such a place goes back to the loop, which knows what is durable.
   */
  const sendFreshly = async (
    credentials: Credentials,
    send: (apiToken: Secret) => Promise<Exchange>,
  ): Promise<Exchange> => {
    const apiToken = await tokens.get(credentials);
    const exchange = await send(apiToken);
    if (!saysApiTokenRefused(exchange)) return exchange;
    tokens.drop(credentials, apiToken);
    const freshToken = await tokens.get(credentials);
    const again = await send(freshToken);
    if (saysApiTokenRefused(again)) tokens.drop(credentials, freshToken);
    return again;
  };

  return {
    async authorize(credentials) {
      await tokens.get(credentials);
    },

    async login(credentials) {
      try {
        return loginAnswerOf(
          await sendFreshly(credentials, (apiToken) => sendLogin(credentials, apiToken)),
          credentials,
        );
      } catch (error) {
        if (!(error instanceof Failure)) throw error;
        return { login: 'not-sent', detail: error.message, facts: error.facts };
      }
    },

    async reset(session) {
      const { credentials } = session;
      try {
        const apiToken = await tokens.get(credentials); // from memory, unless it ended since the login
        const exchange = await sendReset(session, apiToken);
        if (saysApiTokenRefused(exchange)) tokens.drop(credentials, apiToken);
        return resetAnswerOf(exchange, session, apiToken);
      } catch (error) {
        if (error instanceof Failure)
          return { reset: 'refused', because: 'api-token', detail: error.message };
        throw error;
      }
    },

    readNewPassword(body) {
      const { newPassword } = parseObject(body.reveal()) ?? {};
      return typeof newPassword === 'string' && newPassword !== '' ? new Secret(newPassword) : null;
    },

    async endSession(session) {
      try {
        await sendFreshly(session.credentials, (apiToken) => sendLogout(session, apiToken));
      } catch (error) {
        if (!(error instanceof Failure)) throw error;
      }
    },

    close: () => wire.close(),
  };
}

/** The base without a trailing slash. A user or a query in it would end up in every URL, and perhaps in a log. */
function baseOf(baseUrl: string): string {
  const url = URL.canParse(baseUrl) ? new URL(baseUrl) : null;
  const usable =
    url &&
    /^https?:$/.test(url.protocol) &&
    `${url.username}${url.password}${url.search}${url.hash}` === '';
  if (!usable)
    throw new Error(
      'the ThingSpace base URL must be http or https, without user, query or fragment',
    );
  return url.href.replace(/\/+$/, '');
}

/** Only a 4xx counts as a refusal; whatever a 5xx says, something broke after it began. */
function refusalIn(exchange: Exchange): Refusal | null {
  if (exchange.ended !== 'whole' || exchange.status < 400 || exchange.status > 499) return null;
  return readRefusal(exchange.body.reveal());
}

function saysApiTokenRefused(exchange: Exchange): boolean {
  const refusal = refusalIn(exchange);
  return refusal !== null && isApiTokenRefusal(refusal);
}

/**
 * What a login answer means. An application code is believed in any status (`UnexpectedError` excepted), since one strike too
 * many is worse than a stop too many; `not-sent` takes proof that the application did not see it.
 */
function loginAnswerOf(exchange: Exchange, credentials: Credentials): LoginAnswer {
  if (exchange.ended === 'not-sent')
    return { login: 'not-sent', detail: `login: never sent, ${exchange.why}` };
  if (exchange.ended === 'silent') return { login: 'unknown', detail: `login: ${exchange.why}` };
  const { status } = exchange;
  if (exchange.ended === 'cut')
    return { login: 'unknown', detail: `login: HTTP ${status}, ${exchange.why}` };

  const body = exchange.body.reveal();
  if (status >= 200 && status < 300) {
    const { sessionToken } = parseObject(body) ?? {};
    // Visible ASCII: it goes into a header (Verizon's example is a UUID).
    if (typeof sessionToken === 'string' && /^[\x21-\x7e]+$/.test(sessionToken)) {
      return {
        login: 'accepted',
        session: { sessionToken: new Secret(sessionToken), credentials },
      };
    }
  }
  const said = readRefusal(body);
  const detail = `login: HTTP ${status}${said ? `, ${showCode(said, [credentials.password, credentials.clientSecret])}` : ''}`;
  const facts: Facts | undefined = status === 429 ? { cause: 'throttled' } : undefined;
  if (said?.by === 'application') {
    if (isUnexpectedError(said) || status === 429) return { login: 'unknown', detail, facts };
    return { login: 'refused', detail };
  }
  const refusal = refusalIn(exchange);
  const before = status === 429 || (refusal !== null && isBeforeApplication(refusal));
  return {
    login: before ? 'not-sent' : 'unknown',
    detail: status < 300 ? `${detail} without a usable session token` : detail,
    facts,
  };
}

/**
 * What a reset answer means. `refused` only on the word of somebody who named himself: the gateway by a fault that it gives
 * before it forwards, or the application by an error code in a 4xx, or a 429. A bare page in any status is in doubt.
 */
function resetAnswerOf(
  exchange: Exchange,
  { credentials, sessionToken }: Session,
  apiToken: Secret,
): ResetAnswer {
  if (exchange.ended === 'not-sent')
    return { reset: 'refused', because: 'code', detail: `reset: never sent, ${exchange.why}` };
  if (exchange.ended === 'silent') return { reset: 'in-doubt', detail: `reset: ${exchange.why}` };
  const { status, body } = exchange;
  if (exchange.ended === 'cut')
    return inDoubt(`reset: HTTP ${status}, ${exchange.why}`, status, body);
  if (isSuccess(status)) return { reset: 'answered', body };

  const refusal = refusalIn(exchange);
  const shown = refusal
    ? `, ${showCode(refusal, [credentials.password, credentials.clientSecret, sessionToken, apiToken])}`
    : '';
  const detail = `reset: HTTP ${status}${shown}`;
  if (status === 429 || (refusal && isThrottle(refusal)))
    return { reset: 'refused', because: 'throttled', detail };
  if (!refusal || isUnexpectedError(refusal)) return inDoubt(detail, status, body);
  if (isApiTokenRefusal(refusal)) return { reset: 'refused', because: 'api-token', detail };
  if (isSessionRefusal(refusal)) return { reset: 'refused', because: 'session', detail };
  if (refusal.by === 'application' || isBeforeApplication(refusal))
    return { reset: 'refused', because: 'code', detail };
  return inDoubt(detail, status, body);
}

/** In doubt, with the bytes wherever they might hold a password: any of a 2xx, and any that mention one. */
function inDoubt(detail: string, status: number, body: Secret<Uint8Array>): ResetAnswer {
  const mayHoldPassword =
    !body.isEmpty && (isSuccess(status) || Buffer.from(body.reveal()).includes('newPassword'));
  return mayHoldPassword ? { reset: 'in-doubt', detail, body } : { reset: 'in-doubt', detail };
}

function isSuccess(status: number): boolean {
  return status >= 200 && status < 300;
}
