// POST /v1/accounts/{name}/rotate: asks for one attempt on one account, at once, as an order of the
// audit log requested by the owner of the token.

import { UsageError } from '../config/errors.ts';
import { type Order, parseOrder } from '../order.ts';
import { type AppContext, refuse, remoteOf } from './limits.ts';

export async function postRotate(c: AppContext): Promise<Response> {
  const { rotateRequests, tokenName, log } = c.var.service;
  const order = await readOrder(c);
  if (order instanceof Response) return order;
  const [account = ''] = order.accounts;
  const { force, reason, changeRef } = order;
  const requestedBy = `${tokenName} from ${remoteOf(c)}`;
  const submitted = await rotateRequests.submit(
    { account, force, trigger: { kind: 'manual', requestedBy, reason, changeRef } },
    order.idempotencyKey,
  );
  log.info('http.rotate', { account, outcome: submitted.submitted, detail: requestedBy });
  switch (submitted.submitted) {
    case 'new':
    case 'replayed': {
      const location = `/v1/attempts/${submitted.id}`;
      c.header('location', location);
      if (submitted.submitted === 'replayed') c.header('idempotency-replayed', 'true');
      return c.json({ id: submitted.id, account, location }, 202);
    }
    case 'unknown-account':
      return refuse(c, 404, 'unknown-account', 'No account has this name.');
    case 'busy':
      return refuse(c, 409, 'busy', submitted.why);
    case 'mismatch':
      return refuse(
        c,
        422,
        'idempotency-mismatch',
        'This Idempotency-Key was used for another request.',
      );
    case 'full':
      return refuse(c, 503, 'full', 'Too many requested attempts are running.', {
        'retry-after': '30',
      });
  }
}

/**
 * The order in path, headers and body; an empty body asks for what is due. A Response refuses it.
 */
async function readOrder(c: AppContext): Promise<Order | Response> {
  const bad = (message: string): Response => refuse(c, 400, 'bad-request', message);
  let input: unknown = {};
  try {
    const body = new TextDecoder('utf-8', { fatal: true }).decode(await c.req.arrayBuffer());
    if (body !== '') {
      if (!/^application\/json\s*(;|$)/i.test(c.req.header('content-type') ?? ''))
        return refuse(c, 415, 'unsupported-media-type', 'The body must be application/json.');
      input = JSON.parse(body);
    }
  } catch {
    return bad('The body is not JSON in UTF-8, or it ended early.');
  }
  try {
    return parseOrder(input, 'request body', {
      action: 'rotate',
      accounts: [c.req.param('name') ?? ''],
      idempotencyKey: c.req.header('idempotency-key'),
    });
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    return bad(error.problems.join(' '));
  }
}
