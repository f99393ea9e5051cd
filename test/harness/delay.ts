// A network with a round trip time: an HTTP relay on loopback that delays each request and each
// response by half of it, and records when each end received what. Relays can share a journal.

import { createServer, request as httpRequest } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

/**
 * One request from the client's side. `startedAt` and `endedAt` count the events of the journal.
 */
export type Seen = { readonly name: string; readonly startedAt: number; endedAt: number | null };

export type Journal = { readonly seen: Seen[]; next(): number };

export function createJournal(): Journal {
  let now = 0;
  return { seen: [], next: () => ++now };
}

/** Relays to `target`. `nameOf` says what a request is called in the journal. */
export async function openDelay(options: {
  target: string;
  roundTripMs: number;
  journal: Journal;
  nameOf: (request: { method: string; path: string; headers: Record<string, unknown> }) => string;
}): Promise<{ url: string; close(): Promise<void> }> {
  const { target, roundTripMs, journal, nameOf } = options;
  const { hostname, port } = new URL(target);
  const server = createServer(async (incoming, outgoing) => {
    const seen: Seen = {
      name: nameOf({
        method: incoming.method ?? '',
        path: incoming.url ?? '',
        headers: incoming.headers,
      }),
      startedAt: journal.next(),
      endedAt: null,
    };
    journal.seen.push(seen);
    const chunks: Buffer[] = [];
    for await (const chunk of incoming) chunks.push(chunk as Buffer);
    await delay(roundTripMs / 2);
    const onward = httpRequest(
      { hostname, port, method: incoming.method, path: incoming.url, headers: incoming.headers },
      async (answer) => {
        const body: Buffer[] = [];
        for await (const chunk of answer) body.push(chunk as Buffer);
        await delay(roundTripMs / 2);
        seen.endedAt = journal.next();
        outgoing.writeHead(answer.statusCode ?? 502, answer.rawHeaders);
        outgoing.end(Buffer.concat(body));
      },
    );
    onward.on('error', () => incoming.socket.destroy());
    onward.end(Buffer.concat(chunks));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/** The requests in waves: a wave begins when all requests of the previous wave have ended. */
export function wavesOf(seen: readonly Seen[]): string[][] {
  const waves: { names: string[]; endsAt: number }[] = [];
  for (const { name, startedAt, endedAt } of [...seen].sort((a, b) => a.startedAt - b.startedAt)) {
    const wave = waves.at(-1);
    const end = endedAt ?? Number.POSITIVE_INFINITY;
    if (wave && startedAt < wave.endsAt) {
      wave.names.push(name);
      wave.endsAt = Math.max(wave.endsAt, end);
    } else waves.push({ names: [name], endsAt: end });
  }
  return waves.map(({ names }) => names.sort());
}
