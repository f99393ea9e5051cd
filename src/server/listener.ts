// The transport: one small HTTP server on node:http with a limit on everything. It knows no account; what a path
// answers is routes.ts. Nothing that was thrown is ever shown to a client.

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Failure } from '../rotation/failure.ts';
import type { Clock } from '../rotation/ports.ts';
import type { Log } from '../telemetry/log.ts';

export type Asked = {
  /** `HEAD` arrives as `GET`. */
  readonly method: string;
  /** Still percent-encoded. */
  readonly path: string;
  readonly query: URLSearchParams;
  /** Lower case; the first where there are several. */
  header(name: string): string | undefined;
  readonly remote: string;
  /** The body, at most 16 KiB. Throws a Refusal: 413. */
  body(): Promise<Buffer>;
};

export type Answer = {
  readonly status: number;
  readonly type: string;
  readonly body: string;
  readonly headers?: Readonly<Record<string, string>>;
};

/** What a handler throws to answer with an error. */
export class Refusal extends Error {
  readonly answer: Answer;

  constructor(
    status: number,
    error: string,
    message: string,
    headers?: Readonly<Record<string, string>>,
  ) {
    super(message);
    this.answer = errorAnswer(status, error, message, headers);
  }
}

export function errorAnswer(
  status: number,
  error: string,
  message: string,
  headers: Readonly<Record<string, string>> = {},
): Answer {
  return json(status, { error, message }, headers);
}

export function json(
  status: number,
  value: unknown,
  headers: Readonly<Record<string, string>> = {},
): Answer {
  return {
    status,
    type: 'application/json; charset=utf-8',
    body: `${JSON.stringify(value)}\n`,
    headers,
  };
}

export type HttpOptions = {
  readonly host: string;
  /** 0: a free one. */
  readonly port: number;
  /** Asked for every request, so that a reload can put another one in its place. */
  readonly handle: (asked: Asked) => Promise<Answer>;
  readonly log: Log;
  readonly clock: Clock;
  /** How long a whole request may take to arrive. */
  readonly requestTimeoutMs?: number;
};

export type HttpServer = {
  readonly host: string;
  readonly port: number;
  /** Takes no new connections; resolves when the open ones have ended, by themselves or after two seconds. */
  close(): Promise<void>;
};

const maxBodyBytes = 16_384;
const maxUrlLength = 4_096;
const maxConnections = 128;
const closeWithinMs = 2_000;

/** Listens. Rejects with Node's own error, with its code, where the address cannot be had. */
export async function openHttp(options: HttpOptions): Promise<HttpServer> {
  const { host, clock, requestTimeoutMs = 10_000 } = options;
  const isLoopback = isLoopbackName(host);
  const server = createServer(
    {
      maxHeaderSize: 16_384,
      headersTimeout: Math.min(5_000, requestTimeoutMs),
      requestTimeout: requestTimeoutMs,
      connectionsCheckingInterval: Math.min(1_000, requestTimeoutMs),
      keepAliveTimeout: 5_000,
    },
    (request, response) => void serveOne(options, isLoopback, request, response),
  );
  server.maxConnections = maxConnections;
  server.maxRequestsPerSocket = 1_000;
  await listening(server, host, options.port);
  const { port } = server.address() as AddressInfo;
  return {
    host,
    port,
    close: async () => {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeIdleConnections();
      const over = new AbortController();
      await Promise.race([
        closed.then(() => over.abort()),
        clock.sleep(closeWithinMs, over.signal),
      ]);
      server.closeAllConnections();
      await closed;
    },
  };
}

function listening(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => {
      server.off('error', reject);
      resolve();
    });
  });
}

async function serveOne(
  options: HttpOptions,
  isLoopback: boolean,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const startedMs = options.clock.monotonicMs();
  request.on('error', () => undefined);
  const answer = await answerTo(options, isLoopback, request);
  // What is left of the body will not be read: the connection cannot be used again.
  const isWhole =
    request.complete ||
    (request.headers['content-length'] === undefined &&
      request.headers['transfer-encoding'] === undefined);
  response.writeHead(answer.status, {
    ...safeHeaders,
    'content-type': answer.type,
    'content-length': Buffer.byteLength(answer.body),
    ...answer.headers,
    ...(isWhole ? {} : { connection: 'close' }),
  });
  response.end(request.method === 'HEAD' ? '' : answer.body);
  const path = (request.url ?? '').split('?', 1)[0]?.slice(0, 200);
  options.log.debug('http.answered', {
    url: path,
    outcome: answer.status,
    durationMs: Math.round(options.clock.monotonicMs() - startedMs),
  });
}

async function answerTo(
  { handle, log }: HttpOptions,
  isLoopback: boolean,
  request: IncomingMessage,
): Promise<Answer> {
  try {
    return await handle(askedOf(request, isLoopback));
  } catch (error) {
    if (error instanceof Refusal) return error.answer;
    if (error instanceof Failure) return errorAnswer(503, error.reason, error.message);
    log.error('http.failed', {
      detail: error instanceof Error ? error.name : 'an unexpected error',
    });
    return errorAnswer(500, 'internal', 'an unexpected error; the log has more');
  }
}

function askedOf(request: IncomingMessage, isLoopback: boolean): Asked {
  const { url = '/', method = 'GET', headers } = request;
  if (url.length > maxUrlLength)
    throw new Refusal(414, 'uri-too-long', `a URL has at most ${maxUrlLength} characters`);
  // A page on the web can have its own name point to this machine (DNS rebinding); it cannot change what the browser calls it.
  if (isLoopback && !isLoopbackName(hostOf(headers.host)))
    throw new Refusal(
      403,
      'host-refused',
      'this service listens on loopback and answers to localhost only',
    );
  if (!URL.canParse(url, 'http://localhost'))
    throw new Refusal(400, 'bad-request', 'the URL is not well formed');
  const { pathname, searchParams } = new URL(url, 'http://localhost');
  return {
    method: method === 'HEAD' ? 'GET' : method,
    path: pathname,
    query: searchParams,
    header: (name) => {
      const value = headers[name];
      return Array.isArray(value) ? value[0] : value;
    },
    remote: request.socket.remoteAddress ?? 'an unknown address',
    body: () => readBody(request),
  };
}

async function readBody(request: IncomingMessage): Promise<Buffer> {
  const tooLarge = (): Refusal =>
    new Refusal(413, 'too-large', `a body has at most ${maxBodyBytes} bytes`);
  if (Number(request.headers['content-length'] ?? 0) > maxBodyBytes) throw tooLarge();
  const chunks: Buffer[] = [];
  let size = 0;
  return new Promise((resolve, reject) => {
    request.on('data', (chunk: Buffer) => {
      size += chunk.length;
      if (size > maxBodyBytes) {
        request.pause();
        return reject(tooLarge());
      }
      chunks.push(chunk);
    });
    request.on('end', () => resolve(Buffer.concat(chunks)));
    request.on('close', () => reject(new Refusal(400, 'bad-request', 'the request ended early')));
  });
}

/** The name in a Host header, without the port. */
function hostOf(host: string | undefined): string {
  return /^(\[[^\]]*\]|[^:]*)(?::\d+)?$/.exec(host ?? '')?.[1] ?? '';
}

export function isLoopbackName(name: string): boolean {
  return (
    name === 'localhost' || name === '::1' || name === '[::1]' || /^127(\.\d{1,3}){3}$/.test(name)
  );
}

const safeHeaders = {
  'cache-control': 'no-store',
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'x-frame-options': 'DENY',
  'cross-origin-resource-policy': 'same-origin',
} as const;
