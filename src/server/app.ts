// The HTTP interface: which paths there are, and what each one responds. Reading needs a token
// where one is configured; writing needs one always, and is off without it. No response holds a
// secret: the sources are the status cache, results and the report.

import { Hono } from 'hono';
import { methodNotAllowed } from 'hono/method-not-allowed';
import { contentPolicy } from '../html/page.tsx';
import type { Clock } from '../rotation/ports.ts';
import type { Log } from '../telemetry/log.ts';
import type { Metrics } from '../telemetry/prometheus.ts';
import { requireReadToken, requireToken, type TokenCheck } from './auth.ts';
import {
  type AppContext,
  type AppEnv,
  checkHost,
  limitBody,
  limitClients,
  limitUrl,
  logResponses,
  noStore,
  refuse,
  refuseThrown,
  safeHeaders,
} from './limits.ts';
import { type PageOptions, statusPage } from './pages/status.tsx';
import type { Check } from './readiness.ts';
import { createRenderings, type Rendering, type Renderings } from './renderings.ts';
import type { RotateRequests } from './rotate-requests.ts';
import { postRotate } from './rotate-route.ts';

/** The parts of an open service that the paths need. A reload replaces all of them at once. */
export type AppService = {
  readonly page: () => Omit<PageOptions, 'query' | 'refreshSeconds'>;
  readonly readiness: () => Promise<readonly Check[]>;
  readonly isAlive: () => boolean;
  readonly metrics: Pick<Metrics, 'expose'>;
  /** The compliance report as one HTML document. */
  readonly report: () => Promise<string>;
  readonly rotateRequests: RotateRequests;
  /** Without it nothing can be written. */
  readonly token?: TokenCheck | undefined;
  /** With it, reading needs this token or the one above; the probes need none. */
  readonly readToken?: TokenCheck | undefined;
  /** The requester in the audit log, for whoever sends the token. */
  readonly tokenName: string;
  readonly log: Pick<Log, 'info' | 'warn'>;
};

export type AppOptions = {
  /** The open service; null while a reload opens the next one. */
  readonly service: () => AppService | null;
  /** The address on which the listener listens. */
  readonly host: string;
  readonly log: Log;
  readonly clock: Pick<Clock, 'monotonicMs'>;
};

export type App = Hono<AppEnv>;

const refreshSeconds = 60;

export function createApp({ service, host, log, clock }: AppOptions): App {
  const app: App = new Hono();
  app.onError((error, c) => refuseThrown(log, error, c));
  app.notFound((c) =>
    refuse(
      c,
      404,
      'not-found',
      'The paths are /, /audit, /metrics, /healthz, /readyz and /v1/accounts/{name}/rotate.',
    ),
  );
  app.use(logResponses(log, clock), safeHeaders, noStore, limitUrl, checkHost(host));
  app.use(
    methodNotAllowed({
      app,
      onMethodNotAllowed: (c, methods) =>
        refuse(c, 405, 'method-not-allowed', `This path takes ${methods.join(', ')}.`, {
          allow: methods.join(', '),
        }),
    }),
  );
  const renderings = new WeakMap<AppService, Renderings>();
  app.use(async (c, next) => {
    const open = service();
    if (!open) return refuse(c, 503, 'reloading', 'The configuration is being reloaded.');
    c.set('service', open);
    const known = renderings.get(open) ?? createRenderings(clock);
    renderings.set(open, known);
    c.set('renderings', known);
    return next();
  });
  addProbes(app);
  app.use(limitClients(clock));
  addReadRoutes(app);
  app.use('/v1/*', requireToken(clock.monotonicMs));
  app.post('/v1/accounts/:name{.+}/rotate', limitBody, postRotate);
  app.get('/v1/attempts/:id', (c) => {
    const shown = c.var.service.rotateRequests.show(c.req.param('id'));
    return shown
      ? c.json(shown)
      : refuse(c, 404, 'unknown-attempt', 'No such attempt is kept. The audit log has older ones.');
  });
  return app;
}

/** How long a rendering is good enough; milliseconds. The report reads the complete log. */
const pageMs = 1_000;
const reportMs = 60_000;

function addReadRoutes(app: App): void {
  app.use('/', requireReadToken).use('/audit', requireReadToken).use('/metrics', requireReadToken);
  app.get('/', (c) => {
    const query = new URL(c.req.url).searchParams;
    const seconds = query.get('refresh') === '0' ? 0 : refreshSeconds;
    // A reader can switch it off (WCAG 2.2.1).
    if (seconds > 0) c.header('refresh', String(seconds));
    const { service } = c.var;
    c.header('content-security-policy', pagePolicy);
    return rendered(c, `/?${query}`, pageMs, async () =>
      html(statusPage({ ...service.page(), query, refreshSeconds: seconds })),
    );
  });
  app.get('/audit', (c) => {
    const { service } = c.var;
    c.header('content-security-policy', pagePolicy);
    return rendered(c, '/audit', reportMs, async () => html(await service.report()));
  });
  app.get('/metrics', (c) => {
    const { service } = c.var;
    return rendered(c, '/metrics', pageMs, async () => {
      const { contentType, text } = await service.metrics.expose();
      return { contentType, body: bytesOf(text) };
    });
  });
}

/** The probes of an orchestrator: without a token, and without a limit. */
function addProbes(app: App): void {
  app.get('/healthz', (c) =>
    c.var.service.isAlive() ? c.text('ok\n') : c.text('The scheduler does not respond.\n', 503),
  );
  app.get('/readyz', async (c) => {
    const checks = await c.var.service.readiness();
    const ready = checks.every(({ ok }) => ok);
    return c.json({ ready, checks }, ready ? 200 : 503);
  });
}

const pagePolicy = `${contentPolicy}; frame-ancestors 'none'`;
const bytesOf = (text: string): Rendering['body'] => new TextEncoder().encode(text);
const html = (document: string): Rendering => ({
  contentType: 'text/html; charset=UTF-8',
  body: bytesOf(document),
});

async function rendered(
  c: AppContext,
  key: string,
  keptMs: number,
  render: () => Promise<Rendering>,
): Promise<Response> {
  const { contentType, body } = await c.var.renderings.get(key, keptMs, render);
  return c.body(body, 200, { 'content-type': contentType });
}
