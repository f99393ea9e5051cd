// Shared by the ThingSpace tests: a raw server that records requests and sends the given bytes, and
// accounts with recognisable secrets.

import type { AddressInfo } from 'node:net';
import { createServer, type Socket } from 'node:net';
import { inspect } from 'node:util';
import { openClock } from '../../src/clock.ts';
import type { Credentials, Session } from '../../src/rotation/ports.ts';
import { Secret } from '../../src/secret.ts';
import { openThingSpace } from '../../src/thingspace/client.ts';
import { limitMs } from './limits.mjs';

/** One request as received; header names as sent. */
export type Seen = {
  readonly line: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
};

export type RawServer = {
  readonly baseUrl: string;
  readonly port: number;
  readonly seen: readonly Seen[];
  close(): Promise<void>;
};

/**
 * Passes the socket to `answer` after the complete request was read. A returned string or buffer is
 * written, and the connection is ended.
 */
export async function openRawServer(
  answer: (seen: Seen, nth: number, socket: Socket) => string | Uint8Array | undefined,
): Promise<RawServer> {
  const seen: Seen[] = [];
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    let text = '';
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => undefined);
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1');
      const request = parseRequest(text);
      if (!request) return;
      text = '';
      seen.push(request);
      const bytes = answer(request, seen.length, socket);
      if (bytes !== undefined) socket.end(bytes);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    baseUrl: `http://127.0.0.1:${port}/api`,
    port,
    seen,
    async close() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

function parseRequest(text: string): Seen | null {
  const headEnd = text.indexOf('\r\n\r\n');
  if (headEnd < 0) return null;
  const [line = '', ...lines] = text.slice(0, headEnd).split('\r\n');
  const headers = Object.fromEntries(
    lines.map((each) => [
      each.slice(0, each.indexOf(':')).toLowerCase(),
      each.slice(each.indexOf(':') + 2),
    ]),
  );
  const body = text.slice(headEnd + 4);
  if (body.length < Number(headers['content-length'] ?? 0)) return null;
  return { line, headers, body: Buffer.from(body, 'latin1').toString() };
}

/** An HTTP answer with a content length. */
export function http(status: number, body: string, headers: Record<string, string> = {}): string {
  const all = {
    'Content-Type': 'application/json',
    'Content-Length': String(Buffer.byteLength(body)),
    ...headers,
  };
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  return `HTTP/1.1 ${String(status).padStart(3, '0')} Whatever\r\n${lines.join('')}\r\n${body}`;
}

export const tokenAnswer = http(
  200,
  '{"access_token":"api-token-1","token_type":"Bearer","expires_in":3600}',
);
export const loginAnswer = http(200, '{"sessionToken":"5e551011-0000-4000-8000-000000000000"}');

/** A raw server whose token and login calls succeed; `reset` answers the rest. */
export function openResetServer(
  reset: (seen: Seen, nth: number, socket: Socket) => string | Uint8Array | undefined,
): Promise<RawServer> {
  return openRawServer((seen, nth, socket) => {
    if (seen.line.includes('/oauth2/token')) return tokenAnswer;
    return seen.line.includes('/session/login') ? loginAnswer : reset(seen, nth, socket);
  });
}

export const plantedPassword = 'Planted-Pass/word?1';
export const plantedClientSecret = 'planted-client-secret-2';

export function credentialsOf(username = 'uws-user', password = plantedPassword): Credentials {
  return {
    username,
    password: new Secret(password),
    clientId: 'app-key',
    clientSecret: new Secret(plantedClientSecret),
  };
}

export function sessionOf(
  sessionToken = '5e551011-0000-4000-8000-000000000000',
  credentials = credentialsOf(),
): Session {
  return { sessionToken: new Secret(sessionToken), credentials };
}

const always = (): string | null => null;

/**
 * A client with short timeouts and a clock that only `advance` moves. Without a check, login and
 * reset are sent.
 */
export function openClient(
  baseUrl: string,
  timeouts: { requestTimeoutMs?: number; resetTimeoutMs?: number } = {},
) {
  let now = 0;
  const client = openThingSpace({
    baseUrl,
    requestTimeoutMs: limitMs(5000),
    resetTimeoutMs: limitMs(5000),
    clock: { monotonicMs: () => now, sleep: openClock().sleep },
    ...timeouts,
  });
  return {
    ...client,
    login: (credentials: Credentials, mayStillSend = always) =>
      client.login(credentials, mayStillSend),
    reset: (session: Session, mayStillSend = always) => client.reset(session, mayStillSend),
    advance: (ms: number) => {
      now += ms;
    },
  };
}

/** Every text form of a value in a log. */
export function textsOf(value: unknown): string {
  const error =
    value instanceof Error
      ? [value.message, value.stack, JSON.stringify({ ...value }), inspect(value.cause)]
      : [];
  return [
    inspect(value, { depth: 20, showHidden: true, getters: true }),
    JSON.stringify(value),
    String(value),
    ...error,
  ].join('\n');
}

/** The bytes of a Secret as text, and `undefined` for none. */
export function textOf(secret: Secret<Uint8Array> | undefined): string | undefined {
  return secret && Buffer.from(secret.reveal()).toString();
}
