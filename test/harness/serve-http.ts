// The HTTP interface over a fleet in memory: real HTTP on loopback, with virtual time in the
// scheduler.

import { request as send } from 'node:http';
import { connect } from 'node:net';
import { openClock } from '../../src/clock.ts';
import { openScheduler } from '../../src/scheduler/scheduler.ts';
import { type AppService, createApp } from '../../src/server/app.ts';
import { createTokenCheck } from '../../src/server/auth.ts';
import { openListener } from '../../src/server/listener.ts';
import { createReadiness } from '../../src/server/readiness.ts';
import { openRotateRequests } from '../../src/server/rotate-requests.ts';
import type { Log } from '../../src/telemetry/log.ts';
import { figuresOf, openMetrics } from '../../src/telemetry/prometheus.ts';
import {
  dailyCron,
  type FleetWorld,
  fleetWorld,
  minuteMs,
  type WorldOptions,
} from './serve-world.ts';

export const token = 'a-token-of-some-length-0123456789';

export type Reply = {
  readonly status: number;
  readonly headers: Record<string, string | string[] | undefined>;
  readonly body: string;
};

export type ServedWorld = {
  readonly world: FleetWorld;
  readonly lines: string[];
  /** As while a reload closes one service and opens the next. */
  reload(isUnderWay: boolean): void;
  ask(
    method: string,
    path: string,
    options?: { headers?: Record<string, string>; body?: string; host?: string },
  ): Promise<Reply>;
  /** POST rotate with the token. */
  rotate(name: string, body?: object, headers?: Record<string, string>): Promise<Reply>;
  /**
   * Bytes as they are; resolves with everything that came back when the server closed the
   * connection.
   */
  raw(text: string): Promise<string>;
  close(): Promise<void>;
};

export function memoryLog(lines: string[]): Log {
  const write = (event: string, fields: object = {}): void =>
    void lines.push(JSON.stringify({ event, ...fields }));
  return { error: write, warn: write, info: write, debug: write, close: async () => {} };
}

export async function servedWorld(
  options: WorldOptions,
  more: {
    token?: boolean;
    requestTimeoutMs?: number;
    report?: AppService['report'];
    readToken?: string;
    /** Called for each rendering of the metrics. */
    onExpose?: () => void;
    host?: string;
  } = {},
): Promise<ServedWorld> {
  const world = fleetWorld(options);
  const { clock } = world;
  const lines: string[] = [];
  const log = memoryLog(lines);
  const daemon = openScheduler({
    rotator: world.rotator,
    clock,
    nextRunMs: dailyCron(clock).nextRunMs,
    emit: () => {},
  });
  const metrics = await openMetrics({
    figures: () => {
      more.onExpose?.();
      return figuresOf(daemon.statuses.entries(), clock.nowMs());
    },
    clock,
    version: '0.1.0',
  });
  const service: AppService = {
    page: () => ({
      entries: daemon.statuses.entries(),
      nowMs: clock.nowMs(),
      host: 'ops-1',
      version: '0.1.0',
      nextRunMs: daemon.nextRunMs(),
      timezone: 'UTC',
      outage: daemon.outage(),
      isAlive: true,
      notReady: [],
      facts: { store: 'file' },
    }),
    readiness: createReadiness({ rotator: world.rotator, daemon, clock }),
    isAlive: () => daemon.idleMs() < 150_000,
    metrics,
    report: more.report ?? (async () => '<!doctype html><title>report</title>'),
    rotateRequests: openRotateRequests({
      scheduler: daemon,
      audit: world.rotator.audit,
      clock: openClock(),
      facts: { store: 'file' },
    }),
    token: more.token === false ? undefined : createTokenCheck(token, 'writing'),
    readToken: more.readToken ? createTokenCheck(more.readToken, 'reading') : undefined,
    tokenName: 'http token http.token',
    log,
  };
  const host = more.host ?? '127.0.0.1';
  let isReloading = false;
  const http = await openListener({
    app: createApp({ service: () => (isReloading ? null : service), host, log, clock }),
    host,
    port: 0,
    clock: openClock(),
    requestTimeoutMs: more.requestTimeoutMs,
  });
  await daemon.start();
  await clock.advance(minuteMs);

  const ask: ServedWorld['ask'] = (method, path, { headers = {}, body, host } = {}) =>
    new Promise((resolve, reject) => {
      const given = { ...headers, ...(host === undefined ? {} : { host }) };
      const request = send(
        { host: '127.0.0.1', port: http.port, method, path, headers: given, agent: false },
        async (response) => {
          const chunks: Buffer[] = [];
          for await (const chunk of response) chunks.push(chunk as Buffer);
          resolve({
            status: response.statusCode ?? 0,
            headers: response.headers,
            body: Buffer.concat(chunks).toString('utf8'),
          });
        },
      );
      request.on('error', reject);
      request.end(body);
    });

  return {
    world,
    lines,
    reload: (isUnderWay) => {
      isReloading = isUnderWay;
    },
    ask,
    rotate: (name, body, headers = {}) =>
      ask('POST', `/v1/accounts/${encodeURIComponent(name)}/rotate`, {
        headers: {
          authorization: `Bearer ${token}`,
          'content-type': 'application/json',
          ...headers,
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      }),
    raw: (text) =>
      new Promise((resolve, reject) => {
        let got = '';
        const socket = connect(http.port, '127.0.0.1', () => socket.write(text));
        socket.on('data', (chunk) => {
          got += chunk;
        });
        socket.on('error', reject);
        socket.on('close', () => resolve(got));
      }),
    close: async () => {
      await http.close();
      await Promise.all([daemon.stop(), clock.advance(minuteMs)]);
    },
  };
}
