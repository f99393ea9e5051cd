// Who may ask for a rotation over HTTP: whoever holds the bearer token. The token is read once from
// its file, kept as a digest and compared in constant time; it must never reach a log or a
// response.

import { createHash, timingSafeEqual } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { UsageError } from '../config/errors.ts';
import { errnoOf } from '../rotation/failure.ts';
import { type AppMiddleware, refuse, remoteOf } from './limits.ts';

export type TokenCheck = (authorization: string | undefined) => 'right' | 'wrong' | 'missing';

const minTokenLength = 24;
/** Requests without the token, per minute, until further ones are refused without a log line. */
const maxWrongPerMinute = 10;

/** The check of a token file, if there is one. Throws a UsageError that names only the file. */
export function openToken(
  key: 'http.tokenFile' | 'http.readTokenFile',
  file: string | undefined,
): TokenCheck | undefined {
  if (file === undefined) return undefined;
  const token = readSecretFile(key, file);
  if (token.length < minTokenLength || !/^[\x21-\x7e]+$/.test(token))
    throw new UsageError(
      `${key} ${file}: a token has at least ${minTokenLength} visible ASCII characters`,
    );
  return createTokenCheck(token, key === 'http.tokenFile' ? 'writing' : 'reading');
}

/**
 * The trimmed content of a file that holds one secret. Throws a UsageError that names key and file.
 */
export function readSecretFile(key: string, file: string): string {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch (error) {
    const code = errnoOf(error) || 'an unexpected error';
    throw new UsageError(`${key} ${file}: the file cannot be read (${code})`);
  }
}

/**
 * A check for `Bearer`. One for reading accepts the token as the password of `Basic` as well, which
 * browsers ask a person for; for writing that would let other pages use it.
 */
export function createTokenCheck(token: string, use: 'writing' | 'reading'): TokenCheck {
  const expected = digestOf(token);
  return (authorization) => {
    const given =
      bearerIn(authorization) ?? (use === 'reading' ? basicIn(authorization) : undefined);
    if (given === undefined) return 'missing';
    // Digests have one length, so the duration reveals nothing, not even the length of the token.
    return timingSafeEqual(digestOf(given), expected) ? 'right' : 'wrong';
  };
}

const bearerIn = (authorization = ''): string | undefined =>
  /^Bearer +([\x21-\x7e]+) *$/i.exec(authorization)?.[1];

function basicIn(authorization = ''): string | undefined {
  const encoded = /^Basic +([A-Za-z0-9+/=]+) *$/i.exec(authorization)?.[1] ?? '';
  return /^[^:]*:(.*)$/s.exec(Buffer.from(encoded, 'base64').toString('utf8'))?.[1];
}

const digestOf = (text: string): Buffer => createHash('sha256').update(text).digest();

/** Where reading is protected, passes a request only with a token. */
export const requireReadToken: AppMiddleware = async (c, next) => {
  const { token, readToken } = c.var.service;
  const checks = readToken ? [readToken, token] : [];
  const given = checks.map((check) => check?.(c.req.header('authorization')));
  if (checks.length === 0 || given.includes('right')) return next();
  const message = 'Send the token as "Bearer", or as the password of "Basic".';
  const challenge = 'Basic realm="thingspace-rotator", charset="UTF-8"';
  return refuse(c, 401, 'token-needed', message, { 'www-authenticate': challenge });
};

/**
 * Passes a request only with the right token, and never one that a page of another site made a
 * browser send. Refusals do not depend on what exists, so that they reveal no account. Wrong tokens
 * are logged, up to a bound per minute.
 */
export function requireToken(monotonicMs: () => number): AppMiddleware {
  let [minute, wrong] = [0, 0];
  return async (c, next) => {
    const { token, log } = c.var.service;
    const site = c.req.header('sec-fetch-site');
    if (site !== undefined && site !== 'same-origin' && site !== 'none')
      return refuse(c, 403, 'cross-site', 'A page of another site may not call this service.');
    if (!token)
      return refuse(c, 403, 'disabled', 'Rotation over HTTP is off: http.tokenFile is not set.');
    const given = token(c.req.header('authorization'));
    if (given === 'right') return next();
    const now = Math.floor(monotonicMs() / 60_000);
    [minute, wrong] = now === minute ? [minute, wrong + 1] : [now, 1];
    if (wrong > maxWrongPerMinute)
      return refuse(c, 429, 'too-many', 'Too many requests without the right token.', {
        'retry-after': '60',
      });
    log.warn('http.refused', { detail: `${given} token from ${remoteOf(c)}` });
    return refuse(c, 401, `${given}-token`, 'Send the header "Authorization: Bearer TOKEN".', {
      'www-authenticate': given === 'wrong' ? 'Bearer error="invalid_token"' : 'Bearer',
    });
  };
}
