// A network with a round trip time, at the level of TCP, and a count of the dependent round trips
// of one client.
//
// A relay delays each direction by half a round trip, and the first bytes of a connection by one
// round trip more, as the TCP handshake would. TLS passes through, so each of its flights is
// delayed too.
//
// The count is a logical clock (Lamport), in flights of half a round trip. What the client sends
// depends on everything it has received; what a server sends depends on what it has received on
// that connection. So the count does not grow with the time that client and servers need to
// compute, as long as that is clearly less than a round trip.

import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { createServer as createTlsServer } from 'node:tls';

/**
 * The flights that the client has received, one after the other; shared by all relays of the
 * client.
 */
export type FlightClock = { flights: number };

export type Relay = { readonly port: number; close(): Promise<void> };

type Address = { readonly host: string; readonly port: number };

export function addressOf(url: string): Address {
  const { hostname, port } = new URL(url);
  return { host: hostname, port: Number(port) };
}

export function openRelay(
  target: Address,
  roundTripMs: number,
  clock: FlightClock,
): Promise<Relay> {
  return listen((client) => {
    const server = connect({ ...target, noDelay: true });
    const connected = { atFlight: clock.flights + 2, atMs: performance.now() + roundTripMs };
    let serverFlights = 0;
    client.setNoDelay(true);
    forward(client, server, {
      leaveAtMs: () => Math.max(performance.now(), connected.atMs) + roundTripMs / 2,
      send: () => Math.max(clock.flights, connected.atFlight) + 1,
      arrive: (flight) => {
        serverFlights = Math.max(serverFlights, flight);
      },
    });
    forward(server, client, {
      leaveAtMs: () => performance.now() + roundTripMs / 2,
      send: () => serverFlights + 1,
      arrive: (flight) => {
        clock.flights = Math.max(clock.flights, flight);
      },
    });
    return server;
  });
}

/** Accepts TLS and passes the plain bytes on, for a server that speaks only http. */
export function openTlsFront(
  target: Address,
  tls: { readonly key: string; readonly cert: string },
): Promise<Relay> {
  const server = createTlsServer(tls, (socket) => {
    const plain = connect({ ...target, noDelay: true });
    socket.pipe(plain).pipe(socket);
    for (const end of [socket, plain]) end.on('error', () => end.destroy());
  });
  return listen((client) => {
    server.emit('connection', client);
    return null;
  });
}

type Direction = {
  /** When bytes that come now arrive at the other end. */
  leaveAtMs(): number;
  /** The flight that carries them. */
  send(): number;
  arrive(flight: number): void;
};

/** Passes bytes and the end of them on, late and in order. */
function forward(from: Socket, to: Socket, direction: Direction): void {
  let last = Promise.resolve();
  const later = (act: () => void): void => {
    const atMs = direction.leaveAtMs();
    last = last.then(async () => {
      await delay(Math.max(0, atMs - performance.now()));
      act();
    });
  };
  from.on('data', (chunk) => {
    const flight = direction.send();
    later(() => {
      direction.arrive(flight);
      to.write(chunk);
    });
  });
  from.on('end', () => later(() => to.end()));
  from.on('error', () => later(() => to.destroy()));
}

/** `accept` returns the socket that must end with the client's, if there is one. */
async function listen(accept: (client: Socket) => Socket | null): Promise<Relay> {
  const open = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (client) => {
    for (const socket of [client, accept(client)]) {
      if (!socket) continue;
      open.add(socket);
      socket.once('close', () => open.delete(socket));
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    async close() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      for (const socket of open) socket.destroy();
      await closed;
    },
  };
}
