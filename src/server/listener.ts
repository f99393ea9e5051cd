// The HTTP server on node:http, with a limit on everything that a client could hold open. It knows
// no path: the app (app.ts) responds.

import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { getRequestListener } from '@hono/node-server';
import { within } from '../rotation/deadline.ts';
import type { Clock } from '../rotation/ports.ts';

export type ListenerOptions = {
  readonly app: { fetch(request: Request): Response | Promise<Response> };
  readonly host: string;
  /** 0: a free one. */
  readonly port: number;
  readonly clock: Pick<Clock, 'sleep'>;
  /** How long a complete request may take to arrive. */
  readonly requestTimeoutMs?: number | undefined;
};

export type Listener = Awaited<ReturnType<typeof openListener>>;

/** More than the app responds to at a time, so that the connection of a probe is accepted. */
const maxConnections = 1_024;
/** A client that reads nothing for so long is disconnected. */
const stalledMs = 120_000;
const closeWithinMs = 2_000;

/** Listens. Rejects with Node's own error, with its code, when the address cannot be used. */
export async function openListener(options: ListenerOptions) {
  const { app, host, clock, requestTimeoutMs = 10_000 } = options;
  const server = createServer(
    {
      maxHeaderSize: 16_384,
      headersTimeout: Math.min(5_000, requestTimeoutMs),
      requestTimeout: requestTimeoutMs,
      connectionsCheckingInterval: Math.min(1_000, requestTimeoutMs),
      keepAliveTimeout: 5_000,
    },
    getRequestListener(app.fetch),
  );
  server.maxConnections = maxConnections;
  server.timeout = stalledMs;
  server.maxRequestsPerSocket = 1_000;
  await once(server.listen(options.port, host), 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    /**
     * Accepts no new connections; resolves when the open ones have ended, or were cut after two
     * seconds.
     */
    close: async (): Promise<void> => {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      await within(clock, closeWithinMs, closed);
      server.closeAllConnections();
      await closed;
    },
  };
}
