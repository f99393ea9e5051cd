// One HTTP exchange with ThingSpace, and what is known about it afterwards. The only file that touches got.
// got's errors carry the request, and printing one printed the password and both tokens (measured with 14.6, 2026-11):
// none of them leaves this file, not even as a cause. Nothing in here retries, redirects, caches or logs.

import { type ClientRequest, Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import type { Socket } from 'node:net';
import got, { TimeoutError } from 'got';
import { Secret } from '../secret.ts';

/** What is sent; times in milliseconds. `connectTimeoutMs` bounds DNS, TCP and TLS each, `timeoutMs` the whole exchange. */
export type Request = {
  readonly method: 'POST' | 'PUT';
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  readonly timeoutMs: number;
  readonly connectTimeoutMs: number;
};

/**
 * How it ended. `whole`: status and every byte of the body. `cut`: a status, and the bytes that came before it broke off.
 * `silent`: may have been sent, no status came. `not-sent`: proven that the server saw no byte of the request.
 * `why` is our own sentence, without a secret.
 */
export type Exchange =
  | { readonly ended: 'whole'; readonly status: number; readonly body: Secret<Uint8Array> }
  | {
      readonly ended: 'cut';
      readonly status: number;
      readonly body: Secret<Uint8Array>;
      readonly why: string;
    }
  | { readonly ended: 'silent'; readonly why: string }
  | { readonly ended: 'not-sent'; readonly why: string };

/** More than any answer has reason to be (a reset answer is about 30 bytes); the rest is not read. */
export const bodyLimitBytes = 1024 * 1024;

export type Wire = {
  /** Sends once and never rejects. Bounded by `timeoutMs`. */
  send(request: Request): Promise<Exchange>;
  /** Cuts every exchange that is still running. */
  close(): void;
};

/**
 * Opens the wire. Every exchange has a connection of its own: on a kept-alive one the server may close just as we
 * write, and then nobody can tell a request that was never read from one that was obeyed; that would put a harmless
 * race in doubt and spend a login. On a fresh connection a failure before it stands is proof that nothing was sent. The
 * handshake costs a round trip or two *before* a reset, never between the server's commit and our save.
 */
export function openWire(): Wire {
  const agent = {
    http: new HttpAgent({ keepAlive: false }),
    https: new HttpsAgent({ keepAlive: false }),
  };
  return {
    send: (request) => send(request, agent),
    close: () => {
      agent.http.destroy();
      agent.https.destroy();
    },
  };
}

function send(request: Request, agent: { http: HttpAgent; https: HttpsAgent }): Promise<Exchange> {
  return new Promise((resolve) => {
    const chunks: Uint8Array[] = [];
    let size = 0;
    let status: number | undefined;
    let mayBeSent = false;

    const stream = got.stream(request.url, {
      method: request.method,
      headers: {
        'user-agent': 'thingspace-rotator',
        'accept-encoding': 'identity',
        ...request.headers,
      },
      body: request.body,
      // Each of these has a default that could send twice, send elsewhere, wait for ever, or touch the bytes.
      retry: { limit: 0 }, // and a stream would retry only for a listener of 'retry'
      followRedirect: false,
      timeout: {
        lookup: request.connectTimeoutMs,
        connect: request.connectTimeoutMs,
        secureConnect: request.connectTimeoutMs,
        request: request.timeoutMs,
      },
      signal: AbortSignal.timeout(request.timeoutMs), // got's own timer never ends a 101 (measured with 14.6.6, 2026-11)
      throwHttpErrors: false,
      decompress: false,
      cache: false,
      http2: false,
      https: { rejectUnauthorized: true }, // NODE_TLS_REJECT_UNAUTHORIZED=0 does not switch it off
      agent,
    });

    const end = (why: string | null): void => {
      const body = new Secret(concat(chunks, size));
      if (status === undefined)
        resolve({ ended: mayBeSent ? 'silent' : 'not-sent', why: why ?? 'the connection ended' });
      else if (why === null) resolve({ ended: 'whole', status, body });
      else resolve({ ended: 'cut', status, body, why });
      stream.destroy();
    };

    stream.on('request', (clientRequest: ClientRequest) => {
      clientRequest.once('socket', (socket: Socket) => {
        // Node queues what is written until the connection stands (for TLS: until the peer is verified).
        if (!socket.connecting) mayBeSent = true;
        socket.once(request.url.protocol === 'https:' ? 'secureConnect' : 'connect', () => {
          mayBeSent = true;
        });
      });
    });
    stream.on('response', (response: { statusCode: number }) => {
      status = response.statusCode;
    });
    // Read as it comes, not at the end: an answer that is cut later may hold the password already.
    stream.on('data', (chunk: Uint8Array) => {
      const room = bodyLimitBytes - size;
      chunks.push(chunk.subarray(0, room));
      size += Math.min(chunk.length, room);
      if (chunk.length > room) end(`more than ${bodyLimitBytes} bytes of body`);
    });
    stream.on('end', () => end(null));
    stream.on('error', (error: unknown) => end(sentenceFor(error, request)));
    stream.on('close', () => end('the connection ended'));
  });
}

/** A sentence for a got error: Node's or OpenSSL's code, or the time that ran out; nothing else of it is read. */
function sentenceFor(error: unknown, { timeoutMs, connectTimeoutMs }: Request): string {
  if (error instanceof TimeoutError) {
    const connecting = ['lookup', 'connect', 'secureConnect'].includes(error.event);
    return connecting
      ? `no connection within ${connectTimeoutMs} ms`
      : `no whole answer within ${timeoutMs} ms`;
  }
  const code = (error as { code?: unknown }).code;
  return typeof code === 'string' && /^[A-Z][A-Z0-9_]{1,60}$/.test(code)
    ? `the connection failed (${code})`
    : 'the connection failed';
}

function concat(chunks: readonly Uint8Array[], size: number): Uint8Array {
  const whole = new Uint8Array(size);
  let at = 0;
  for (const chunk of chunks) {
    whole.set(chunk, at);
    at += chunk.length;
  }
  return whole;
}
