// What each path answers. Reading is open to whoever reaches the port; writing needs the bearer token, and does not
// exist without one. No answer holds a secret: they are made of the board, of results and of the report.

import { createHash } from 'node:crypto';
import { nearest } from '../config/errors.ts';
import type { Log } from '../telemetry/log.ts';
import type { Metrics } from '../telemetry/prometheus.ts';
import type { TokenCheck } from './auth.ts';
import { type Answer, type Asked, json, Refusal } from './listener.ts';
import { type PageOptions, statusPage } from './pages/status.tsx';
import { pageStyle } from './pages/style.ts';
import type { Check } from './readiness.ts';
import type { Attempts } from './rotate-requests.ts';

export type RouteOptions = {
  readonly page: () => Omit<PageOptions, 'query' | 'refreshSeconds'>;
  readonly readiness: () => Promise<readonly Check[]>;
  readonly isAlive: () => boolean;
  readonly metrics: Pick<Metrics, 'expose'>;
  /** The compliance report as one HTML document. */
  readonly report: () => Promise<string>;
  readonly attempts: Attempts;
  /** Without it nothing can be written. */
  readonly token?: TokenCheck;
  /** What the audit log calls a holder of the token. */
  readonly tokenName: string;
  readonly log: Pick<Log, 'info' | 'warn'>;
  readonly monotonicMs: () => number;
};

/** Seconds. */
const refreshEvery = 60;

const hash = (text: string): string =>
  `'sha256-${createHash('sha256').update(text).digest('base64')}'`;
const pagePolicy = `default-src 'none'; style-src ${hash(pageStyle)}; form-action 'self'; base-uri 'none'; frame-ancestors 'none'`;
// The report is a document of its own, made by audit/report-html.ts, with styles on its elements.
const reportPolicy =
  "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'";

export function createRoutes(options: RouteOptions): (asked: Asked) => Promise<Answer> {
  const guard = createGuard(options);

  const reading: Readonly<Record<string, (asked: Asked) => Promise<Answer>>> = {
    '/': async ({ query }) => showPage(options, query),
    '/healthz': async () => (options.isAlive() ? text(200, 'ok') : text(503, 'the loop is stuck')),
    '/readyz': async () => {
      const checks = await options.readiness();
      return json(checks.every(({ ok }) => ok) ? 200 : 503, {
        ready: checks.every(({ ok }) => ok),
        checks,
      });
    },
    '/metrics': async () => {
      const { contentType, text: body } = await options.metrics.expose();
      return { status: 200, type: contentType, body };
    },
    '/audit': async () => html(await options.report(), { 'content-security-policy': reportPolicy }),
  };

  return async (asked) => {
    const read = Object.hasOwn(reading, asked.path) ? reading[asked.path] : undefined;
    if (read) return only('GET', asked, read);
    const rotate = /^\/v1\/accounts\/(.+)\/rotate$/.exec(asked.path)?.[1];
    if (rotate !== undefined)
      return only('POST', asked, async () => postRotate(options, guard, asked, decoded(rotate)));
    const attempt = /^\/v1\/attempts\/([0-9a-f-]{36})$/.exec(asked.path)?.[1];
    if (attempt !== undefined)
      return only('GET', asked, async () => {
        guard(asked);
        const shown = options.attempts.show(attempt);
        if (!shown)
          throw new Refusal(
            404,
            'unknown-attempt',
            'there is no such attempt, or it is too long ago; the audit log has it',
          );
        return json(200, shown);
      });
    throw new Refusal(
      404,
      'not-found',
      'there is /, /audit, /metrics, /healthz, /readyz and POST /v1/accounts/{name}/rotate',
    );
  };
}

function only(
  method: string,
  asked: Asked,
  answer: (asked: Asked) => Promise<Answer>,
): Promise<Answer> {
  if (asked.method === method) return answer(asked);
  const allow = method === 'GET' ? 'GET, HEAD' : method;
  throw new Refusal(405, 'method-not-allowed', `this takes ${allow}`, { allow });
}

const text = (status: number, body: string): Answer => ({
  status,
  type: 'text/plain; charset=utf-8',
  body: `${body}\n`,
});

const html = (body: string, headers: Record<string, string>): Answer => ({
  status: 200,
  type: 'text/html; charset=utf-8',
  body,
  headers,
});

function showPage({ page }: RouteOptions, query: URLSearchParams): Answer {
  const refreshSeconds = query.get('refresh') === '0' ? 0 : refreshEvery;
  // The header does what a meta element would; a reader can switch it off (WCAG 2.2.1).
  const refresh: Record<string, string> =
    refreshSeconds > 0 ? { refresh: String(refreshSeconds) } : {};
  return html(statusPage({ ...page(), query, refreshSeconds }), {
    'content-security-policy': pagePolicy,
    ...refresh,
  });
}

/** Throws a Refusal unless the request carries the token. Wrong ones are logged, but not without end. */
function createGuard({ token, log, monotonicMs }: RouteOptions): (asked: Asked) => void {
  const mostPerMinute = 10;
  let [minute, wrong] = [0, 0];
  return (asked) => {
    if (!token)
      throw new Refusal(
        403,
        'disabled',
        'there is no write endpoint: http.tokenFile is not configured',
      );
    const given = token(asked.header('authorization'));
    if (given === 'right') return;
    const now = Math.floor(monotonicMs() / 60_000);
    [minute, wrong] = now === minute ? [minute, wrong + 1] : [now, 1];
    if (wrong > mostPerMinute)
      throw new Refusal(429, 'too-many', 'too many requests without the right token', {
        'retry-after': '60',
      });
    log.warn('http.refused', { detail: `${given} token from ${asked.remote}` });
    const challenge = given === 'wrong' ? 'Bearer error="invalid_token"' : 'Bearer';
    throw new Refusal(
      401,
      `${given}-token`,
      'this takes Authorization: Bearer TOKEN, from http.tokenFile',
      {
        'www-authenticate': challenge,
      },
    );
  };
}

async function postRotate(
  options: RouteOptions,
  guard: (asked: Asked) => void,
  asked: Asked,
  account: string,
): Promise<Answer> {
  // A page on another site can make a browser send this, though not with the token; it is refused all the same.
  const site = asked.header('sec-fetch-site');
  if (site !== undefined && site !== 'same-origin' && site !== 'none')
    throw new Refusal(403, 'cross-site', 'not from another site');
  guard(asked);
  const key = asked.header('idempotency-key');
  if (key !== undefined && !/^[\x21-\x7e]{1,255}$/.test(key))
    throw new Refusal(400, 'bad-request', 'Idempotency-Key has 1 to 255 visible ASCII characters');
  const { force, reason, changeRef } = wishIn(await asked.body(), asked.header('content-type'));
  const requestedBy = `${options.tokenName} from ${asked.remote}`;
  const trigger = {
    kind: 'manual' as const,
    requestedBy,
    ...(reason && { reason }),
    ...(changeRef && { changeRef }),
  };
  const answer = options.attempts.submit({ account, force, trigger }, key);
  options.log.info('http.rotate', { account, outcome: answer.submitted, detail: requestedBy });
  switch (answer.submitted) {
    case 'new':
    case 'replayed': {
      const location = `/v1/attempts/${answer.id}`;
      const replayed: Record<string, string> =
        answer.submitted === 'replayed' ? { 'idempotency-replayed': 'true' } : {};
      return json(202, { id: answer.id, account, location }, { location, ...replayed });
    }
    case 'unknown-account':
      throw new Refusal(404, 'unknown-account', 'there is no such account');
    case 'busy':
      throw new Refusal(409, 'busy', answer.why);
    case 'mismatch':
      throw new Refusal(
        422,
        'idempotency-mismatch',
        'this Idempotency-Key was used for another request',
      );
    case 'full':
      throw new Refusal(503, 'full', 'too many attempts by hand are running', {
        'retry-after': '30',
      });
  }
}

type Wishes = { readonly force: boolean; readonly reason?: string; readonly changeRef?: string };

const wishKeys = ['reason', 'changeRef', 'force'];

/** The body of a rotate request; an empty one asks for what is due. Throws a Refusal: 415, 400. */
function wishIn(body: Buffer, contentType: string | undefined): Wishes {
  if (body.length === 0) return { force: false };
  if (!/^application\/json\s*(;|$)/i.test(contentType ?? ''))
    throw new Refusal(415, 'unsupported-media-type', 'a body is application/json');
  const bad = (message: string): Refusal => new Refusal(400, 'bad-request', message);
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body));
  } catch {
    throw bad('the body is not JSON');
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw bad('the body is a JSON object');
  const fields = value as Record<string, unknown>;
  const unknown = Object.keys(fields).find((key) => !wishKeys.includes(key));
  if (unknown !== undefined)
    throw bad(`unknown key; ${nearest(unknown, wishKeys) ?? wishKeys.join(', ')} is known`);
  const { force = false, reason, changeRef } = fields;
  if (typeof force !== 'boolean') throw bad('force is true or false');
  const isText = (field: unknown): field is string =>
    typeof field === 'string' &&
    field.trim() !== '' &&
    field.length <= 500 &&
    !/\p{Cc}/u.test(field);
  if (reason !== undefined && !isText(reason))
    throw bad('reason is 1 to 500 characters on one line');
  if (changeRef !== undefined && !isText(changeRef))
    throw bad('changeRef is 1 to 500 characters on one line');
  return {
    force,
    ...(reason === undefined ? {} : { reason: reason.trim() }),
    ...(changeRef === undefined ? {} : { changeRef: changeRef.trim() }),
  };
}

function decoded(name: string): string {
  try {
    return decodeURIComponent(name);
  } catch {
    throw new Refusal(400, 'bad-request', 'the account’s name is not well encoded');
  }
}
