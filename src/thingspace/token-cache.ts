// API tokens (OAuth2 bearer), one per application key, shared by every account that uses the key. Kept in memory only and
// never revoked: revoking would cut off every other consumer of the same key.

import { createHash } from 'node:crypto';
import { type Facts, Failure } from '../rotation/failure.ts';
import type { Credentials } from '../rotation/ports.ts';
import { Secret } from '../secret.ts';
import { isThrottle, parseObject, readRefusal, showCode } from './error-body.ts';
import type { Exchange } from './http.ts';

export type ApiTokens = {
  /** The API token of this application key: from memory, or minted; one mint at a time per key. Throws `api-unavailable`, `api-key-refused`. */
  get(credentials: Credentials): Promise<Secret>;
  /** Forgets `token`, unless another one has taken its place already. */
  drop(credentials: Credentials, token: Secret): void;
};

/** One hour from *first* issue, and a repeated request inside it gives the same token (Verizon, Getting Credentials, 2026-11). */
const defaultLifeSeconds = 3600;

/** Asked for anew this long before its end, so that it lasts through a login and a reset. */
const marginSeconds = 60;

type Kept = { readonly token: Secret; readonly untilMs: number };

/**
 * Keeps tokens. `mint` sends the token request, once. Whether `expires_in` counts down on a repeated request is not known, so a
 * kept token may die before its time; then the gateway says so, and the client drops it.
 */
export function createApiTokens(
  mint: (credentials: Credentials) => Promise<Exchange>,
  monotonicMs: () => number,
): ApiTokens {
  const kept = new Map<string, Kept>();
  const minting = new Map<string, Promise<Kept>>();

  return {
    async get(credentials) {
      const key = keyOf(credentials);
      const found = kept.get(key);
      if (found && monotonicMs() < found.untilMs) return found.token;
      let pending = minting.get(key);
      if (!pending) {
        pending = mint(credentials)
          .then((exchange) => {
            const minted = readToken(exchange, credentials, monotonicMs());
            kept.set(key, minted);
            return minted;
          })
          .finally(() => minting.delete(key));
        minting.set(key, pending);
      }
      return (await pending).token;
    },
    drop(credentials, token) {
      const key = keyOf(credentials);
      if (kept.get(key)?.token.equals(token)) kept.delete(key);
    },
  };
}

function readToken(exchange: Exchange, credentials: Credentials, nowMs: number): Kept {
  if (exchange.ended !== 'whole') throw new Failure('api-unavailable', `token: ${exchange.why}`);
  const { status } = exchange;
  const body = exchange.body.reveal();
  const answer = parseObject(body);
  if (status >= 200 && status < 300) {
    const { access_token: token, expires_in: life } = answer ?? {};
    // It goes into a header; anything a header cannot hold would make the next call fail in an unknown place.
    if (typeof token !== 'string' || !/^[\x21-\x7e]+$/.test(token)) {
      throw new Failure('api-unavailable', `token: HTTP ${status} without a usable access_token`);
    }
    const lifeSeconds = typeof life === 'number' && life > 0 ? life : defaultLifeSeconds;
    return {
      token: new Secret(token),
      untilMs: nowMs + Math.max(0, lifeSeconds - marginSeconds) * 1000,
    };
  }
  const refusal = readRefusal(body);
  const detail = `token: HTTP ${status}${refusal ? `, ${showCode(refusal, [credentials.clientSecret, credentials.password])}` : ''}`;
  const named = refusal !== null && refusal.by !== 'application' && !isThrottle(refusal);
  const refused = status === 401 || ((status === 400 || status === 403) && named);
  const facts: Facts = status === 429 ? { cause: 'throttled' } : {};
  throw new Failure(refused ? 'api-key-refused' : 'api-unavailable', detail, facts);
}

/** A digest, so that no key of a map is a secret. */
function keyOf({ clientId, clientSecret }: Credentials): string {
  return createHash('sha256')
    .update(JSON.stringify([clientId, clientSecret.reveal()]))
    .digest('hex');
}
