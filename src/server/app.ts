// The HTTP interface: which paths there are, and what each one responds. Reading needs no token;
// writing does, and is off without one. No response holds a secret: the sources are the status
// cache, results and the report.

import { Hono } from 'hono';
import { methodNotAllowed } from 'hono/method-not-allowed';
import { contentPolicy } from '../html/page.tsx';
import type { Clock } from '../rotation/ports.ts';
import type { Log } from '../telemetry/log.ts';
import type { Metrics } from '../telemetry/prometheus.ts';
import { requireToken, type TokenCheck } from './auth.ts';
import {
  type AppContext,
  type AppEnv,
  checkHost,
  limitBody,
  limitUrl,
  logResponses,
  noStore,
  refuse,
  refuseThrown,
  safeHeaders,
} from './limits.ts';
import { type PageOptions, statusPage } from './pages/status.tsx';
import type { Check } from './readiness.ts';
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
  app.use(async (c, next) => {
    const open = service();
    if (!open) return refuse(c, 503, 'reloading', 'The configuration is being reloaded.');
    c.set('service', open);
    return next();
  });
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

function addReadRoutes(app: App): void {
  app.get('/', (c) => {
    const query = new URL(c.req.url).searchParams;
    const seconds = query.get('refresh') === '0' ? 0 : refreshSeconds;
    // A reader can switch it off (WCAG 2.2.1).
    if (seconds > 0) c.header('refresh', String(seconds));
    return html(c, statusPage({ ...c.var.service.page(), query, refreshSeconds: seconds }));
  });
  app.get('/audit', async (c) => html(c, await c.var.service.report()));
  app.get('/metrics', async (c) => {
    const { contentType, text } = await c.var.service.metrics.expose();
    return c.body(text, 200, { 'content-type': contentType });
  });
  app.get('/healthz', (c) =>
    c.var.service.isAlive() ? c.text('ok\n') : c.text('The scheduler does not respond.\n', 503),
  );
  app.get('/readyz', async (c) => {
    const checks = await c.var.service.readiness();
    const ready = checks.every(({ ok }) => ok);
    return c.json({ ready, checks }, ready ? 200 : 503);
  });
}

function html(c: AppContext, document: string): Response {
  c.header('content-security-policy', `${contentPolicy}; frame-ancestors 'none'`);
  return c.html(document) as Response;
}
