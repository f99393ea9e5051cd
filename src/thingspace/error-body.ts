// Who refused a request, and with which code: the three error bodies that arrive on the ThingSpace
// calls, in any status. Verizon: codes are stable, and messages embed dynamic data. So only codes
// are read, and descriptions stay in this file.
//
//   {"errorCode": "UnifiedWebService.REQUEST_FAILED.X", "errorMessage": "…"}  the application (M2M)
//   {"fault": {"code": 900901, "message": "…", "description": "…"}}  the gateway (WSO2)
//   {"error": "invalid_client", "error_description": "…"}  OAuth (RFC 6749)

import type { Secret } from '../secret.ts';

export type Refusal = { readonly by: 'application' | 'gateway' | 'oauth'; readonly code: string };

/**
 * The closed set: a bare `{"error": "Bad Request"}` is the error page of any framework, and proves
 * nothing.
 */
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

/**
 * The refusal in a body, or `null` when it is none of the three. The code of the application is
 * without its service prefix.
 */
export function readRefusal(body: Uint8Array): Refusal | null {
  const { errorCode, fault, error } = parseObject(body) ?? {};
  if (typeof errorCode === 'string' && errorCode !== '')
    return { by: 'application', code: withoutService(errorCode) };
  const faultCode = isObject(fault) ? String(fault['code']) : '';
  if (/^\d{6}$/.test(faultCode)) return { by: 'gateway', code: faultCode };
  const oauthCode = oauthCodes.find((known) => known === error);
  return oauthCode === undefined ? null : { by: 'oauth', code: oauthCode };
}

/** One JSON object; `null` for anything else, invalid UTF-8 included. Never throws. */
export function parseObject(body: Uint8Array | string): Record<string, unknown> | null {
  try {
    const text =
      typeof body === 'string' ? body : new TextDecoder('utf-8', { fatal: true }).decode(body);
    const value: unknown = JSON.parse(text);
    return isObject(value) ? value : null;
  } catch {
    return null; // The error of the parser quotes the text.
  }
}

/**
 * The gateway refused the API token; the application has not seen the request. 900901 invalid and
 * 900902 missing are Verizon's (Synchronous Error Messages, 2026-11); 900903 expired and 900904
 * inactive are WSO2's, never seen from Verizon.
 */
export function isApiTokenRefusal({ by, code }: Refusal): boolean {
  return by !== 'application' && /^(invalid_token|90090[1-4])$/.test(code);
}

/**
 * The gateway refused the request and did not forward it: 9008xx throttled, 9009xx not authorized
 * or no such resource (WSO2's families). Its 1015xx and 3030xx are different: the application
 * behind the gateway failed, and may have acted.
 */
export function isBeforeApplication({ by, code }: Refusal): boolean {
  return by === 'oauth' || (by === 'gateway' && /^900[89]\d\d$/.test(code));
}

/**
 * 900906 "no matching resource": the base URL leads to a gateway, but not to this API (Verizon).
 */
export function isNoSuchPath({ by, code }: Refusal): boolean {
  return by === 'gateway' && code === '900906';
}

/** WSO2's throttling family. */
export function isThrottle({ by, code }: Refusal): boolean {
  return by === 'gateway' && /^9008\d\d$/.test(code);
}

/**
 * The session has ended, is unknown or is missing: `REQUEST_FAILED.SessionToken.Expired`,
 * `INPUT_INVALID.SessionToken.Invalid`, …
 */
export function isSessionRefusal({ code }: Refusal): boolean {
  return code.split('.').includes('SessionToken');
}

/**
 * `REQUEST_FAILED.UnexpectedError`, Verizon's "unknown server problem": the only application code
 * that proves nothing.
 */
export function isUnexpectedError({ code }: Refusal): boolean {
  return code.split('.').at(-1) === 'UnexpectedError';
}

/**
 * The code as people read it: at most 100 harmless characters. The server chose it, so a code that
 * repeats a secret of the request is not shown.
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
