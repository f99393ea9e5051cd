// The bearer token of the write endpoint: read once from a file, kept as a digest, compared in constant time.

import { createHash, timingSafeEqual } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { UsageError } from '../config/errors.ts';

export type TokenCheck = (authorization: string | undefined) => 'right' | 'wrong' | 'missing';

const leastLength = 24;

/** Reads the token file. Throws a UsageError that names the file and never its contents. */
export function openToken(file: string): TokenCheck {
  let text: string;
  try {
    text = readFileSync(file, 'utf8').trim();
  } catch (error) {
    throw new UsageError(
      `http.tokenFile ${file}: ${(error as NodeJS.ErrnoException).code ?? 'cannot be read'}; init writes one`,
    );
  }
  if (text.length < leastLength || !/^[\x21-\x7e]+$/.test(text))
    throw new UsageError(
      `http.tokenFile ${file}: a token has at least ${leastLength} visible ASCII characters, and no spaces`,
    );
  return createTokenCheck(text);
}

export function createTokenCheck(token: string): TokenCheck {
  const expected = digestOf(token);
  return (authorization) => {
    const given = /^Bearer +([\x21-\x7e]+) *$/i.exec(authorization ?? '')?.[1];
    if (given === undefined) return 'missing';
    // Digests have one length, so nothing is learnt from the time, not even how long the token is.
    return timingSafeEqual(digestOf(given), expected) ? 'right' : 'wrong';
  };
}

const digestOf = (text: string): Buffer => createHash('sha256').update(text).digest();
