// A monitor that receives heartbeats: Healthchecks.io and Uptime Kuma push, as far as their HTTP.

import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';

export type Monitor = AsyncDisposable & {
  /** The address of the server, without a path. */
  readonly url: string;
  /** `METHOD path body`, in order. */
  readonly signals: readonly string[];
  /** Resolves when so many signals were received. */
  received(count: number): Promise<void>;
};

/** Answers with these statuses, then with 200. */
export async function openMonitor(...statuses: number[]): Promise<Monitor> {
  const signals: string[] = [];
  const watchers: (() => void)[] = [];
  const server = createServer(async (request, response) => {
    signals.push(`${request.method} ${request.url} ${await text(request)}`.trim());
    response.writeHead(statuses.shift() ?? 200, { connection: 'close' }).end();
    for (const notify of watchers.splice(0)) notify();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    signals,
    received: async (count) => {
      while (signals.length < count) await new Promise<void>((resolve) => watchers.push(resolve));
    },
    [Symbol.asyncDispose]: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
