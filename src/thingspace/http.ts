// One HTTP exchange with ThingSpace, and what is known about it afterwards. Only this file uses
// got. The errors of got carry the request: printing one printed the password and both tokens
// (measured with 14.6, 2026-11). No such error leaves this file, not even as a cause. Nothing here
// retries, redirects, caches or logs.

import type { ClientRequest } from 'node:http';
import got from 'got';
import { Secret } from '../secret.ts';
import {
  type Connection,
  type ConnectionOptions,
  openConnections,
  sentenceFor,
} from './connections.ts';

export type Request = {
  readonly method: 'POST' | 'PUT';
  /** Below the URL of the options, such as `/ts/v1/oauth2/token`. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  /** Bounds the exchange, with the connecting. Milliseconds. */
  readonly timeoutMs: number;
  /** Called directly before the first byte is written; a sentence means: do not send. */
  readonly mayStillSend?: (() => string | null) | undefined;
};

/**
 * How it ended. `complete`: status and every byte of the body. `cut`: a status, and the bytes
 * before it broke off. `silent`: it may have been sent, and no status came. `not-sent`: proven that
 * no byte of it reached the server. `why` is our own sentence, without a secret.
 */
export type Exchange =
  | { readonly ended: 'complete'; readonly status: number; readonly body: Secret<Uint8Array> }
  | {
      readonly ended: 'cut';
      readonly status: number;
      readonly body: Secret<Uint8Array>;
      readonly why: string;
    }
  | { readonly ended: 'silent'; readonly why: string }
  | { readonly ended: 'not-sent'; readonly why: string };

/** Larger than any valid response (a reset response has about 30 bytes). The rest is not read. */
export const bodyLimitBytes = 1024 * 1024;

export type Http = {
  /** Opens a connection for one later call. Never throws. */
  connectAhead(): void;
  /** Sends at most once. Never rejects. */
  send(request: Request): Promise<Exchange>;
  /** Ends every exchange and every connection. */
  close(): void;
};

/** Opens a client for one server. No two exchanges share a connection: connections.ts says why. */
export function openHttp(options: ConnectionOptions): Http {
  const connections = openConnections(options);
  const base = options.url.href.replace(/\/+$/, '');
  return {
    connectAhead: connections.openAhead,
    close: connections.close,
    async send(request) {
      const deadline = AbortSignal.timeout(request.timeoutMs);
      const connection = await connections.take(deadline);
      return 'why' in connection
        ? { ended: 'not-sent', why: connection.why }
        : exchange(new URL(`${base}${request.path}`), request, connection, deadline);
    },
  };
}

function exchange(
  url: URL,
  request: Request,
  connection: Connection,
  deadline: AbortSignal,
): Promise<Exchange> {
  return new Promise((resolve) => {
    const chunks: Uint8Array[] = [];
    let size = 0;
    let status: number | undefined;
    let mayBeSent = false;

    const stream = got.stream(url, {
      method: request.method,
      headers: {
        'user-agent': 'thingspace-rotator',
        'accept-encoding': 'identity',
        ...request.headers,
      },
      body: request.body,
      createConnection: () => connection.socket,
      // Each of these has a default that could send twice, send elsewhere, wait for ever, or change
      // the bytes.
      retry: { limit: 0 }, // A stream would retry only for a listener of 'retry'.
      followRedirect: false,
      signal: deadline, // got's own timer never ends a 101 (measured with 14.6.6, 2026-11).
      throwHttpErrors: false,
      decompress: false,
      cache: false,
      http2: false,
    });

    const end = (why: string | null): void => {
      const body = new Secret(new Uint8Array(Buffer.concat(chunks)));
      if (status === undefined)
        resolve({ ended: mayBeSent ? 'silent' : 'not-sent', why: why ?? 'the connection ended' });
      else if (why === null) resolve({ ended: 'complete', status, body });
      else resolve({ ended: 'cut', status, body, why });
      connection.socket.destroy();
    };

    stream.on('request', (clientRequest: ClientRequest) => {
      // Node writes what got has prepared directly after this event, in the same call.
      clientRequest.once('socket', () => {
        const why = connection.begin()
          ? (request.mayStillSend?.() ?? null)
          : 'the server closed the connection';
        if (why === null) mayBeSent = true;
        else end(why);
      });
    });
    stream.on('response', (response: { statusCode: number }) => {
      status = response.statusCode;
    });
    // Bytes are kept as they come: a response that breaks off later may already hold the password.
    stream.on('data', (chunk: Uint8Array) => {
      const room = bodyLimitBytes - size;
      chunks.push(chunk.subarray(0, room));
      size += Math.min(chunk.length, room);
      if (chunk.length > room) end(`the body has more than ${bodyLimitBytes} bytes`);
    });
    stream.on('end', () => end(null));
    stream.on('error', (error: unknown) =>
      end(
        deadline.aborted
          ? `no complete response within ${request.timeoutMs} ms`
          : sentenceFor(error),
      ),
    );
    stream.on('close', () => end('the connection ended'));
  });
}
