// API tokens (OAuth2 bearer), one per application key, shared by every account that uses the key.
// They are kept in memory only, and never revoked: a revocation would end the token of every other
// consumer of the same key.

import { createHash } from 'node:crypto';
import { type Cause, Failure } from '../rotation/failure.ts';
import type { Credentials } from '../rotation/ports.ts';
import { Secret } from '../secret.ts';
import { isNoSuchPath, isThrottle, parseObject, readRefusal, showCode } from './error-body.ts';
import type { Exchange } from './http.ts';

export type ApiTokens = {
  /**
   * The API token of this application key, from memory or requested; one request at a time per key.
   * Throws `api-unavailable`, `api-key-refused`.
   */
  get(credentials: Credentials): Promise<Secret>;
  /** Forgets `token`, unless another token has replaced it. */
  drop(credentials: Credentials, token: Secret): void;
};

/**
 * One hour from the *first* issue; a repeated request within it gives the same token (Verizon,
 * Getting Credentials, 2026-11).
 */
const defaultLifeSeconds = 3600;

/**
 * A token is requested again this long before its end, so that it lasts through a login and a
 * reset.
 */
const marginSeconds = 60;

type Kept = { readonly token: Secret; readonly untilMs: number };

/**
 * `request` sends the token request to `host`, once. It is not known whether `expires_in` counts
 * down on a repeated request, so a kept token may end early. Then the gateway refuses it, and the
 * client drops it.
 */
export function createApiTokens(
  request: (credentials: Credentials) => Promise<Exchange>,
  monotonicMs: () => number,
  host: string,
): ApiTokens {
  const kept = new Map<string, Kept>();
  const pending = new Map<string, Promise<Secret>>();

  const renew = async (key: string, credentials: Credentials): Promise<Secret> => {
    try {
      const exchange = await request(credentials);
      const renewed = readToken(exchange, credentials, { nowMs: monotonicMs(), host });
      kept.set(key, renewed);
      return renewed.token;
    } finally {
      pending.delete(key);
    }
  };

  return {
    async get(credentials) {
      const key = keyOf(credentials);
      const found = kept.get(key);
      if (found && monotonicMs() < found.untilMs) return found.token;
      const renewal = pending.get(key) ?? renew(key, credentials);
      pending.set(key, renewal);
      return renewal;
    },
    drop(credentials, token) {
      const key = keyOf(credentials);
      if (kept.get(key)?.token.equals(token)) kept.delete(key);
    },
  };
}

function readToken(
  exchange: Exchange,
  credentials: Credentials,
  { nowMs, host }: { nowMs: number; host: string },
): Kept {
  if (exchange.ended !== 'complete')
    throw new Failure('api-unavailable', `token: ${exchange.why}`, { host });
  const { status } = exchange;
  const body = exchange.body.reveal();
  if (status >= 200 && status < 300) {
    const { access_token: token, expires_in: life } = parseObject(body) ?? {};
    if (!isHeaderValue(token))
      throw new Failure('api-unavailable', `token: HTTP ${status} without a usable access_token`, {
        host,
      });
    const lifeSeconds = typeof life === 'number' && life > 0 ? life : defaultLifeSeconds;
    const untilMs = nowMs + Math.max(0, lifeSeconds - marginSeconds) * 1000;
    return { token: new Secret(token), untilMs };
  }
  const refusal = readRefusal(body);
  const secrets = [credentials.clientSecret, credentials.password];
  const detail = `token: HTTP ${status}${refusal ? `, ${showCode(refusal, secrets)}` : ''}`;
  const isNamed = refusal !== null && refusal.by !== 'application' && !isThrottle(refusal);
  const isRefused = status === 401 || ((status === 400 || status === 403) && isNamed);
  const isThrottled = status === 429 || (refusal !== null && isThrottle(refusal));
  const isWrongPath = refusal !== null && isNoSuchPath(refusal);
  const cause: Cause | undefined = isThrottled ? 'throttled' : isWrongPath ? 'base-url' : undefined;
  throw new Failure(isRefused ? 'api-key-refused' : 'api-unavailable', detail, { host, cause });
}

/**
 * Visible ASCII: a token goes into a header, and any other character would fail before or after the
 * call, unpredictably.
 */
export function isHeaderValue(value: unknown): value is string {
  return typeof value === 'string' && /^[\x21-\x7e]+$/.test(value);
}

/** A digest, so that no key of a map is a secret. */
function keyOf({ clientId, clientSecret }: Credentials): string {
  return createHash('sha256')
    .update(JSON.stringify([clientId, clientSecret.reveal()]))
    .digest('hex');
}
