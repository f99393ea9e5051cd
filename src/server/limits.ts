// What every request passes before a route sees it, and what every response carries: limits, the
// check of the Host header, safe headers. A response never shows what was thrown.

import type { HttpBindings } from '@hono/node-server';
import { getConnInfo } from '@hono/node-server/conninfo';
import type { Context, MiddlewareHandler } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import { secureHeaders } from 'hono/secure-headers';
import type { ContentfulStatusCode } from 'hono/utils/http-status';
import { Failure } from '../rotation/failure.ts';
import type { Clock } from '../rotation/ports.ts';
import type { Log } from '../telemetry/log.ts';
import type { AppService } from './app.ts';
import type { Renderings } from './renderings.ts';

/** `service`: the one that is open when the request arrives. */
export type AppEnv = {
  Bindings: HttpBindings;
  Variables: { service: AppService; renderings: Renderings };
};
export type AppContext = Context<AppEnv>;
export type AppMiddleware = MiddlewareHandler<AppEnv>;

const maxBodyBytes = 16_384;
const maxUrlLength = 4_096;

/** An error response: `{ "error": code, "message": one sentence }`. */
export const refuse = (
  c: AppContext,
  status: ContentfulStatusCode,
  error: string,
  message: string,
  headers: Readonly<Record<string, string>> = {},
): Response => c.json({ error, message }, status, headers);

/**
 * The response to what a route threw: a Failure is named, anything else is a bug and is only
 * logged.
 */
export function refuseThrown(log: Log, error: Error, c: AppContext): Response {
  if (error instanceof Failure) return refuse(c, 503, error.reason, error.message);
  log.error('http.failed', { detail: error.name });
  return refuse(c, 500, 'internal', 'An unexpected error occurred. The log has its kind.');
}

export const remoteOf = (c: AppContext): string =>
  getConnInfo(c).remote.address ?? 'an unknown address';

/** One line per response at level debug; the query is left out. */
export const logResponses =
  (log: Log, clock: Pick<Clock, 'monotonicMs'>): AppMiddleware =>
  async (c, next) => {
    const startedMs = clock.monotonicMs();
    await next();
    log.debug('http.answered', {
      url: c.req.path.slice(0, 200),
      outcome: c.res.status,
      durationMs: Math.round(clock.monotonicMs() - startedMs),
    });
  };

/** Nothing is stored, framed, or read as another type. A route may replace the policy. */
export const safeHeaders: AppMiddleware = secureHeaders({
  xFrameOptions: 'DENY',
  contentSecurityPolicy: { defaultSrc: ["'none'"], frameAncestors: ["'none'"] },
  // The service speaks HTTP, where browsers ignore these and complain.
  strictTransportSecurity: false,
  crossOriginOpenerPolicy: false,
  originAgentCluster: false,
  overwrite: false,
});

export const noStore: AppMiddleware = (c, next) => {
  // Before the response: a header that is set later makes a copy of its body.
  c.header('cache-control', 'no-store');
  return next() as Promise<undefined>;
};

export const limitUrl: AppMiddleware = async (c, next) => {
  if ((c.env.incoming.url ?? '').length > maxUrlLength)
    return refuse(c, 414, 'uri-too-long', `A URL has at most ${maxUrlLength} characters.`);
  try {
    decodeURIComponent(new URL(c.req.url).pathname);
  } catch {
    return refuse(c, 400, 'bad-request', 'The path is not valid percent-encoding.');
  }
  return next();
};

/**
 * On a loopback address the service answers only to the names of this machine. A page on the web
 * can let its own name point to this machine (DNS rebinding), but it cannot change the Host header.
 */
export const checkHost =
  (listensOn: string): AppMiddleware =>
  async (c, next) => {
    const name = /^(\[[^\]]*\]|[^:]*)(?::\d+)?$/.exec(c.req.header('host') ?? '')?.[1] ?? '';
    if (isLoopbackName(listensOn) && !isLoopbackName(name))
      return refuse(c, 403, 'host-refused', 'This service answers only to localhost.');
    return next();
  };

export const isLoopbackName = (name: string): boolean =>
  ['localhost', '::1', '[::1]'].includes(name) || /^127(\.\d{1,3}){3}$/.test(name);

/** Requests whose response is not sent yet: of one client, and of all. */
const maxOfClient = 16;
const maxOfAll = 64;
/** Requests of one client in ten seconds. */
const maxInWindow = 200;
const windowMs = 10_000;
const maxClients = 1_000;

/**
 * Limits what clients may ask for at a time, so that the probes, which come before this, are
 * answered. A client is an address.
 */
export function limitClients({ monotonicMs }: Pick<Clock, 'monotonicMs'>): AppMiddleware {
  const clients = new Map<string, { window: number; count: number; open: number }>();
  let open = 0;
  return (c, next) => {
    const address = remoteOf(c);
    const nowMs = monotonicMs();
    const window = Math.floor(nowMs / windowMs);
    const client = clients.get(address) ?? { window, count: 0, open: 0 };
    if (client.window !== window) Object.assign(client, { window, count: 0 });
    for (const [name, one] of clients) {
      if (clients.size < maxClients) break;
      if (one.open === 0) clients.delete(name);
    }
    clients.set(address, client);
    client.count += 1;
    if (client.count > maxInWindow || client.open >= maxOfClient) {
      const isOpen = client.count <= maxInWindow;
      const seconds = isOpen ? 1 : Math.ceil(((window + 1) * windowMs - nowMs) / 1000);
      const message = `A client has ${maxOfClient} requests at a time, and ${maxInWindow} in 10 s.`;
      const after = { 'retry-after': String(seconds) };
      return Promise.resolve(refuse(c, 429, 'too-many', message, after));
    }
    if (open >= maxOfAll) {
      const message = 'Too many requests wait for a response.';
      return Promise.resolve(refuse(c, 503, 'full', message, { 'retry-after': '1' }));
    }
    client.open += 1;
    open += 1;
    c.env.outgoing.once('close', () => {
      client.open -= 1;
      open -= 1;
    });
    return next() as Promise<undefined>;
  };
}

export const limitBody: AppMiddleware = bodyLimit({
  maxSize: maxBodyBytes,
  onError: (c) => refuse(c, 413, 'too-large', `A body has at most ${maxBodyBytes} bytes.`),
});
