// Who said no, and in which code: the three error bodies that arrive on the same ThingSpace calls, in any status.
// Verizon: codes are stable, messages embed dynamic data; so only codes are read, and descriptions never leave this file.
//
//   {"errorCode": "UnifiedWebService.REQUEST_FAILED.X", "errorMessage": "…"}      the application (M2M)
//   {"fault": {"code": 900901, "message": "…", "description": "…"}}               the gateway (WSO2)
//   {"error": "invalid_client", "error_description": "…"}                         the token server (OAuth, RFC 6749 and 6750)

import type { Secret } from '../secret.ts';

export type Refusal = { readonly by: 'application' | 'gateway' | 'oauth'; readonly code: string };

/** The closed set: a bare `{"error": "Bad Request"}` is any framework's error page, and proves nothing. */
const oauthCodes = [
  'invalid_request',
  'invalid_client',
  'invalid_grant',
  'unauthorized_client',
  'unsupported_grant_type',
  'invalid_scope',
  'invalid_token',
  'insufficient_scope',
];

/** The refusal in a body, or `null` when it is none of the three. An application code comes without its service prefix. */
export function readRefusal(body: Uint8Array): Refusal | null {
  const { errorCode, fault, error } = parseObject(body) ?? {};
  if (typeof errorCode === 'string' && errorCode !== '')
    return { by: 'application', code: withoutService(errorCode) };
  const faultCode = isObject(fault) ? String(fault['code']) : '';
  if (/^\d{6}$/.test(faultCode)) return { by: 'gateway', code: faultCode };
  if (typeof error === 'string' && oauthCodes.includes(error)) return { by: 'oauth', code: error };
  return null;
}

/** The bytes as one JSON object; `null` for anything else, invalid UTF-8 included. Never throws. */
export function parseObject(body: Uint8Array): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body));
    return isObject(value) ? value : null;
  } catch {
    return null; // the parser's error quotes the text it stumbled over
  }
}

/**
 * The API token was not accepted, before the application saw the request. 900901 invalid and 900902 missing are Verizon's
 * (Synchronous Error Messages, 2026-11); 900903 expired and 900904 inactive are WSO2's, never seen from Verizon.
 */
export function isApiTokenRefusal({ by, code }: Refusal): boolean {
  return (
    (by === 'oauth' && code === 'invalid_token') || (by === 'gateway' && /^90090[1-4]$/.test(code))
  );
}

/**
 * The gateway turned the request away itself: 9008xx throttled, 9009xx not authorized or no such resource (WSO2's families).
 * Not so its 1015xx and 3030xx: the gateway had trouble *with* the application behind it, which may have acted.
 */
export function isBeforeApplication({ by, code }: Refusal): boolean {
  return by === 'oauth' || (by === 'gateway' && /^900[89]\d\d$/.test(code));
}

/** WSO2's throttling family. */
export function isThrottle({ by, code }: Refusal): boolean {
  return by === 'gateway' && /^9008\d\d$/.test(code);
}

/** The session is over, unknown or missing: `REQUEST_FAILED.SessionToken.Expired`, `INPUT_INVALID.SessionToken.Invalid`, … */
export function isSessionRefusal({ by, code }: Refusal): boolean {
  return by === 'application' && code.split('.').includes('SessionToken');
}

/** `REQUEST_FAILED.UnexpectedError`, Verizon's "unknown server problem": the one application code that decides nothing. */
export function isUnexpectedError({ by, code }: Refusal): boolean {
  return by === 'application' && code.split('.').at(-1) === 'UnexpectedError';
}

/**
 * The code for a person to read: at most 100 harmless characters. The server chose it, so one that repeats a secret we
 * sent is not shown at all.
 */
export function showCode({ code }: Refusal, secrets: readonly Secret[]): string {
  if (secrets.some((secret) => !secret.isEmpty && code.includes(secret.reveal())))
    return 'a code that repeats a secret';
  return code.replace(/[^A-Za-z0-9_.-]/g, '?').slice(0, 100);
}

function withoutService(errorCode: string): string {
  return errorCode.replace(/^.*?\b(?=(REQUEST_FAILED|INPUT_INVALID)\.)/s, '');
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
