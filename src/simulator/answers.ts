// The answers of the simulated ThingSpace: its three shapes of errors, the pages of a proxy, and
// the forms into which a proxy may bring a body.

import type { ServerResponse } from 'node:http';
import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync } from 'node:zlib';
import type { Refused } from './accounts.ts';
import type { Fault, FaultName } from './faults.ts';

export type Answer = {
  readonly status: number;
  readonly body: string | Uint8Array;
  readonly type: string;
  /** The error code of a refusal, for the request log. */
  readonly code?: string | undefined;
  readonly encoding?: string | undefined;
};

export function json(status: number, value: unknown, code?: string): Answer {
  return { status, body: JSON.stringify(value), type: 'application/json;charset=UTF-8', code };
}

/**
 * The shape of the application. Verizon documents 400 for every code, and a service name before the
 * code.
 */
export function refusal({ errorCode, errorMessage }: Refused): Answer {
  return json(400, { errorCode: `UnifiedWebService.${errorCode}`, errorMessage }, errorCode);
}

/** `RequestUndefined` and `Request.InvalidCharacter` are documented. The others are ours. */
export function invalid(what: string): Answer {
  const errorMessage = 'The request is not valid.';
  return refusal({ errorCode: `INPUT_INVALID.${what}`, errorMessage });
}

export const unexpectedError = refusal({
  errorCode: 'REQUEST_FAILED.UnexpectedError',
  errorMessage: 'An unknown server problem.',
});

export function gatewayFault(status: number, code: number, message: string): Answer {
  const description = `${message}. Check the request.`;
  return json(status, { fault: { code, message, description } }, String(code));
}

export function oauthError(status: number, error: string): Answer {
  return json(status, { error, error_description: 'Client authentication failed.' }, error);
}

export function proxyPage(status: number): Answer {
  const body = '<html><body><h1>Please try again later</h1></body></html>';
  return { status, body, type: 'text/html' };
}

/** Beyond Latin-1, JSON escapes the character. */
const toLatin1 = (text: string): Uint8Array =>
  Buffer.from(
    text.replace(
      /[\u0100-\uffff]/g,
      (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
    ),
    'latin1',
  );

/** Makes an answer in another form. */
const encoded =
  (encode: (text: string) => Uint8Array, encoding?: string) =>
  (answer: Answer): Answer => ({ ...answer, body: encode(answer.body.toString()), encoding });

/** What a fault makes of the answer to an executed call; the other faults change nothing. */
const changes: Partial<
  Record<FaultName, (answer: Answer, fault: Fault, resultKey: string) => Answer | 'close'>
> = {
  'drop-after-commit': () => 'close',
  '503-after': () => proxyPage(503),
  'html-200': () => proxyPage(200),
  'empty-200': (answer) => ({ ...answer, status: 200, body: '', code: undefined }),
  'unexpected-error-after': () => unexpectedError,
  'wrong-typed-200': (answer, fault, resultKey) => {
    if (answer.status !== 200) return answer;
    const value = 'wrongValue' in fault ? fault.wrongValue : 42;
    return json(200, { ...JSON.parse(answer.body.toString()), [resultKey]: value });
  },
  'gzip-200': encoded(gzipSync, 'gzip'),
  'deflate-200': encoded(deflateSync, 'deflate'),
  'deflate-raw-200': encoded(deflateRawSync, 'deflate'),
  'br-200': encoded(brotliCompressSync, 'br'),
  'utf8-bom-200': encoded((text) => Buffer.from(`\ufeff${text}`)),
  'utf16le-200': encoded((text) => Buffer.from(text, 'utf16le')),
  'utf16be-200': encoded((text) => Buffer.from(text, 'utf16le').swap16()),
  'latin1-200': encoded(toLatin1),
  'trailing-200': encoded((text) => Buffer.from(`${text}\n<!-- end of response -->`)),
};

/** The answer as this fault changes it. */
export function changeAnswer(answer: Answer, fault: Fault, resultKey: string): Answer | 'close' {
  return changes[fault.fault]?.(answer, fault, resultKey) ?? answer;
}

/** Sends the answer, unless the client has disconnected. */
export function sendAnswer(response: ServerResponse, { status, body, type, encoding }: Answer) {
  response.writeHead(status, {
    'content-type': type,
    'content-length': Buffer.byteLength(body),
    'cache-control': 'no-store',
    ...(encoding === undefined ? {} : { 'content-encoding': encoding }),
  });
  response.end(body);
}

/**
 * Sends the head and the first bytes of the body (default: half of them), then ends the connection.
 */
export function truncateAnswer(response: ServerResponse, answer: Answer, cutAfterBytes?: number) {
  const bytes = Buffer.from(answer.body);
  response.writeHead(answer.status, {
    'content-type': answer.type,
    'content-length': bytes.length,
  });
  response.flushHeaders();
  response.write(bytes.subarray(0, cutAfterBytes ?? Math.floor(bytes.length / 2)));
  response.socket?.end();
}
