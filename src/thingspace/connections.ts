// Connections to the ThingSpace server, each for exactly one request.
//
// A kept-alive connection may be closed by the server just as a request is written. Then a
// request that was never read cannot be distinguished from one that was executed. On a connection
// that has carried no byte, a failure proves that nothing was sent. To save the round trips of TCP
// and TLS, the next connection is opened while the current call runs.
//
// Callers must call `begin` directly before the first byte, and must not use a socket twice.

import { connect, isIP, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import type { Clock } from '../rotation/ports.ts';

/**
 * A connected socket that has carried no byte; for https, the certificate of the server is
 * verified.
 */
export type Connection = {
  readonly socket: Socket;
  /**
   * Ends the watch for an early close. False: the server has closed the connection; do not write.
   */
  begin(): boolean;
};

/** `why` is our own sentence, without a secret. */
export type NoConnection = { readonly why: string };

export type Connections = {
  /** Opens a connection for one later call. Never throws. */
  openAhead(): void;
  /**
   * The oldest connection that was opened ahead and is still open, or a new one. `deadline` has not
   * ended. Never rejects.
   */
  take(deadline: AbortSignal): Promise<Connection | NoConnection>;
  /** Closes every connection, also those in use. */
  close(): void;
};

export type ConnectionOptions = {
  readonly url: URL;
  /** Bounds DNS, TCP and TLS together. */
  readonly connectTimeoutMs: number;
  readonly clock: Pick<Clock, 'monotonicMs' | 'sleep'>;
  /** A connection that no call takes is closed after this time. */
  readonly unusedLimitMs?: number | undefined;
};

/** Servers close a connection without a request a little later. */
const defaultUnusedLimitMs = 5_000;

/** Further connections are not opened ahead; the calls open their own. */
const mostUnused = 64;

type Opened = Connection & {
  /** Null when the connection is established, else the reason why it is not. */
  readonly outcome: Promise<string | null>;
  /**
   * False before it is established, and after the limit for unused connections, also when the
   * process was paused and its timers did not run.
   */
  isFresh(): boolean;
};

export function openConnections(options: ConnectionOptions): Connections {
  const { clock } = options;
  const open = new Set<Socket>();
  const unused = new Set<Opened>();
  let isClosed = false;

  const connectNow = (): Opened => {
    const opened = openConnection(options);
    open.add(opened.socket);
    opened.socket.once('close', () => {
      open.delete(opened.socket);
      unused.delete(opened);
    });
    return opened;
  };

  /**
   * Whether the server has left the connection open: a close that has arrived is seen after one
   * poll for events.
   */
  const isStillOpen = async ({ socket }: Opened): Promise<boolean> => {
    await clock.sleep(0); // The events that are ready now are processed.
    await clock.sleep(0); // Events were polled once more since then.
    return !socket.destroyed;
  };

  return {
    openAhead() {
      if (isClosed || unused.size >= mostUnused) return;
      const opened = connectNow();
      opened.socket.unref(); // An unused connection must not keep the process running.
      unused.add(opened);
    },

    async take(deadline) {
      const late = new Promise<string>((resolve) => {
        const expire = (): void => resolve('no connection before the time limit of the request');
        deadline.addEventListener('abort', expire);
      });
      for (const opened of unused) {
        unused.delete(opened);
        opened.socket.ref();
        await Promise.race([opened.outcome, late]);
        if (opened.isFresh() && (await isStillOpen(opened))) return opened;
        opened.socket.destroy();
      }
      if (isClosed) return { why: 'the client is closed' };
      const opened = connectNow();
      const why = await Promise.race([opened.outcome, late]);
      if (why === null) return opened;
      opened.socket.destroy();
      return { why };
    },

    close() {
      isClosed = true;
      for (const socket of open) socket.destroy();
    },
  };
}

function openConnection(options: ConnectionOptions): Opened {
  const { url, connectTimeoutMs, clock, unusedLimitMs = defaultUnusedLimitMs } = options;
  const isSecure = url.protocol === 'https:';
  const socket = isSecure ? openTls(url) : openTcp(url);
  let connectedAtMs = Number.NEGATIVE_INFINITY;

  const outcome = new Promise<string | null>((resolve) => {
    const tooLate = AbortSignal.timeout(connectTimeoutMs);
    const settle = (why: string | null): void => {
      tooLate.removeEventListener('abort', giveUp);
      resolve(why);
    };
    const giveUp = (): void => {
      settle(`no connection within ${connectTimeoutMs} ms`);
      socket.destroy();
    };
    tooLate.addEventListener('abort', giveUp);
    // This listener stays: an error without a listener ends the process.
    socket.on('error', (error) => settle(sentenceFor(error)));
    socket.once('close', () => settle('the connection failed'));
    socket.once(isSecure ? 'secureConnect' : 'connect', () => {
      connectedAtMs = clock.monotonicMs();
      socket.setTimeout(unusedLimitMs);
      settle(null);
    });
  });

  // The server has nothing to say before a request: bytes, or the end of its bytes, mean that it
  // gives the connection up.
  const discard = (): void => void socket.destroy();
  const early = ['data', 'end', 'timeout'] as const;
  for (const event of early) socket.on(event, discard);

  return {
    socket,
    outcome,
    isFresh: () => clock.monotonicMs() - connectedAtMs < unusedLimitMs,
    begin() {
      for (const event of early) socket.off(event, discard);
      socket.setTimeout(0); // The limit was for an unused one; a reset may take a minute.
      return !socket.destroyed;
    },
  };
}

/** The host of a URL; an IPv6 address without its brackets. */
const hostOf = (url: URL): string => url.hostname.replace(/[[\]]/g, '');

function openTcp(url: URL): Socket {
  return connect({ host: hostOf(url), port: Number(url.port || 80), noDelay: true });
}

function openTls(url: URL): Socket {
  const host = hostOf(url);
  const socket = connectTls({
    host,
    port: Number(url.port || 443),
    servername: isIP(host) === 0 ? host : '',
    ALPNProtocols: ['http/1.1'],
    rejectUnauthorized: true, // NODE_TLS_REJECT_UNAUTHORIZED=0 does not disable it.
  });
  return socket.setNoDelay(true);
}

/**
 * A sentence for an error of a socket or of got: the code of Node or OpenSSL. Nothing else of the
 * error is read.
 */
export function sentenceFor(error: unknown): string {
  const code = String((error as { code?: unknown }).code);
  return /^[A-Z][A-Z0-9_/]{1,60}$/.test(code)
    ? `the connection failed (${code})`
    : 'the connection failed';
}
