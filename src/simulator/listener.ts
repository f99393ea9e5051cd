// The listening socket of the simulator, for http or https, with the faults of connections.

import { once } from 'node:events';
import { createServer as createHttpServer, type RequestListener } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import type { ArmedFaults } from './faults.ts';
import type { Waits } from './waits.ts';

export type ListenerOptions = {
  readonly port: number;
  readonly host: string;
  /** Key and certificate in PEM, for https. */
  readonly tls: { readonly key: string; readonly cert: string } | undefined;
  readonly faults: ArmedFaults;
  readonly waits: Waits;
  readonly onRequest: RequestListener;
};

export type Listener = {
  /** Such as `http://127.0.0.1:40123`. */
  readonly origin: string;
  /** Ends every connection. */
  close(): Promise<void>;
};

/** Resolves when it listens. */
export async function openListener(options: ListenerOptions): Promise<Listener> {
  const { tls, host, faults, waits } = options;
  const sockets = new Set<Socket>();
  /** The remote ports of the connections that have carried a request. */
  const inUse = new Set<number | undefined>();
  const onRequest: RequestListener = (request, response) => {
    inUse.add(request.socket.remotePort);
    options.onRequest(request, response);
  };
  const server = tls ? createHttpsServer(tls, onRequest) : createHttpServer(onRequest);

  const front = createServer((socket) => {
    const port = socket.remotePort;
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.once('close', () => {
      sockets.delete(socket);
      inUse.delete(port);
    });
    const fault = faults.take('connection');
    const wait = () => waits.begin(fault?.delayMs ?? 1000);
    if (fault?.fault === 'close-on-accept') socket.destroy();
    else if (fault?.fault === 'slow-handshake') {
      socket.pause();
      void wait().then(() => {
        server.emit('connection', socket);
        socket.resume();
      });
    } else {
      server.emit('connection', socket);
      if (fault?.fault === 'close-idle')
        void wait().then(() => {
          if (!inUse.has(port)) socket.destroy();
        });
    }
  });
  await once(front.listen(options.port, host), 'listening');
  const { port } = front.address() as AddressInfo;
  return {
    origin: `${tls ? 'https' : 'http'}://${host}:${port}`,
    async close() {
      const closed = new Promise<void>((resolve) => front.close(() => resolve()));
      for (const socket of sockets) socket.destroy();
      server.close();
      await closed;
    },
  };
}
