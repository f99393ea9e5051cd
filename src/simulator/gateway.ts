// What stands before the simulated application: paths, methods, headers, API tokens, the form of each body; and the answers in their
// three shapes. It does nothing itself; it says which call a request makes, or why it makes none.

import type { IncomingMessage } from 'node:http';
import type { Accounts, Refused } from './accounts.ts';
import type { CallName } from './faults.ts';

export type GatewayOptions = {
  readonly expiresInCountsDown?: boolean;
  readonly refusesInvalidCharacters?: boolean;
};

/** A call that passed the gateway: what it would do, and for whom. */
export type Call = {
  readonly name: CallName;
  readonly username: string | undefined;
  readonly effect: () => Record<string, unknown> | Refused;
  /** The field of the result that `wrong-typed-200` spoils. */
  readonly resultKey: string;
};

export type Answer = {
  readonly status: number;
  readonly body: string;
  readonly type: string;
  readonly code?: string;
};

export const routes: Readonly<
  Record<string, { readonly call: CallName; readonly method: string }>
> = {
  '/api/ts/v1/oauth2/token': { call: 'token', method: 'POST' },
  '/api/m2m/v1/session/login': { call: 'login', method: 'POST' },
  '/api/m2m/v1/session/password/actions/reset': { call: 'reset', method: 'PUT' },
  '/api/m2m/v1/session/logout': { call: 'logout', method: 'POST' },
};

/** Everything that is wrong with a request before its content matters; else the call it makes. */
export function passGateway(
  request: IncomingMessage,
  body: Uint8Array,
  accounts: Accounts,
  options: GatewayOptions,
): Call | Answer {
  const route = routes[request.url ?? ''];
  // Verizon documents 400 with fault 900906 for a wrong path; a wrong method and a query are treated alike.
  if (!route || route.method !== request.method)
    return gatewayFault(400, 900906, 'No matching resource found');
  if (!/application\/json|\*\/\*/.test(headerOf(request, 'accept') ?? '*/*'))
    return gatewayFault(406, 900906, 'Not acceptable');
  if (route.call === 'token') return passTokenServer(request, body, accounts, options);

  const bearer = bearerOf(request);
  if (bearer === undefined) return gatewayFault(401, 900902, 'Missing Credentials');
  if (!accounts.isApiToken(bearer)) return gatewayFault(401, 900901, 'Invalid Credentials');
  const sessionToken = headerOf(request, 'vz-m2m-token');
  if (route.call === 'logout') {
    if (body.length > 0) return invalid('Request.BodyNotAllowed');
    return {
      name: 'logout',
      username: accounts.usernameOf(sessionToken),
      effect: () => accounts.logout(sessionToken),
      resultKey: 'sessionToken',
    };
  }
  if (!isMediaType(request, 'application/json'))
    return gatewayFault(415, 900906, 'Unsupported media type');
  // Not documented as forbidden; but nobody has a session token to send before he has logged in.
  if (route.call === 'login' && sessionToken !== undefined)
    return invalid('Request.SessionTokenNotAllowed');
  const fields = readFields(
    body,
    route.call === 'login' ? ['username', 'password'] : ['oldPassword'],
  );
  if ('status' in fields) return fields;
  const { username = '', password = '', oldPassword = '' } = fields.fields;
  if (options.refusesInvalidCharacters && /['<\\]/.test(`${username}${password}${oldPassword}`))
    return invalid('Request.InvalidCharacter');
  return route.call === 'login'
    ? {
        name: 'login',
        username,
        effect: () => accounts.login(username, password),
        resultKey: 'sessionToken',
      }
    : {
        name: 'reset',
        username: accounts.usernameOf(sessionToken),
        effect: () => accounts.reset(sessionToken, oldPassword),
        resultKey: 'newPassword',
      };
}

function passTokenServer(
  request: IncomingMessage,
  body: Uint8Array,
  accounts: Accounts,
  options: GatewayOptions,
): Call | Answer {
  const [, basic] =
    /^Basic ([A-Za-z0-9+/]+=*)$/.exec(headerOf(request, 'authorization') ?? '') ?? [];
  if (basic === undefined) return gatewayFault(401, 900902, 'Missing Credentials');
  const [, clientId = '', clientSecret = ''] =
    /^([^:]*):(.*)$/s.exec(Buffer.from(basic, 'base64').toString()) ?? [];
  if (!isMediaType(request, 'application/x-www-form-urlencoded'))
    return gatewayFault(415, 900906, 'Unsupported media type');
  const form = [...new URLSearchParams(Buffer.from(body).toString())].filter(
    ([key]) => key !== 'scope',
  );
  // Verizon documents a gateway fault with 400 for a wrong grant_type, without its code.
  if (JSON.stringify(form) !== '[["grant_type","client_credentials"]]')
    return gatewayFault(400, 900900, 'Unsupported grant_type');
  const found = accounts.apiTokenFor(clientId, clientSecret);
  if (!found) return oauthError(401, 'invalid_client');
  const life = options.expiresInCountsDown ? found.lifeSeconds : 3600;
  return {
    name: 'token',
    username: undefined,
    effect: () => ({
      access_token: found.value,
      token_type: 'Bearer',
      expires_in: life,
      scope: 'default',
    }),
    resultKey: 'access_token',
  };
}

/** The whole body; only as much of it as any honest request has (64 kB). */
export async function readBody(request: IncomingMessage): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Uint8Array>) {
    if (size < 65536) chunks.push(chunk);
    size += chunk.length;
  }
  return Buffer.concat(chunks);
}

/** Exactly these keys, each a string that is not empty; or the refusal. */
function readFields(
  body: Uint8Array,
  keys: readonly string[],
): { readonly fields: Record<string, string> } | Answer {
  if (body.length === 0) return invalid('RequestUndefined');
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(body));
  } catch {
    return invalid('Request.NotJson');
  }
  if (typeof value !== 'object' || value === null) return invalid('Request.NotAnObject');
  const fields = value as Record<string, unknown>;
  if (Object.keys(fields).sort().join() !== [...keys].sort().join())
    return invalid('Request.Fields');
  if (!Object.values(fields).every((field) => typeof field === 'string' && field !== ''))
    return invalid('Request.FieldType');
  return { fields: fields as Record<string, string> };
}

export function headerOf(request: IncomingMessage, name: string): string | undefined {
  const value = request.headers[name];
  return typeof value === 'string' ? value : undefined;
}

export function bearerOf(request: IncomingMessage): string | undefined {
  return /^Bearer (\S+)$/.exec(headerOf(request, 'authorization') ?? '')?.[1];
}

function isMediaType(request: IncomingMessage, type: string): boolean {
  const [found = '', ...parameters] = (headerOf(request, 'content-type') ?? '')
    .toLowerCase()
    .split(/ *; */);
  return found === type && parameters.every((parameter) => parameter === 'charset=utf-8');
}

export function json(status: number, value: unknown, code?: string): Answer {
  const answer = { status, body: JSON.stringify(value), type: 'application/json;charset=UTF-8' };
  return code === undefined ? answer : { ...answer, code };
}

/** The M2M shape. Verizon shows 400 for all of them, and a service name before the code. */
export function refusal(status: number, { errorCode, errorMessage }: Refused): Answer {
  return json(status, { errorCode: `UnifiedWebService.${errorCode}`, errorMessage }, errorCode);
}

/** RequestUndefined and Request.InvalidCharacter are documented; the others are ours, for what Verizon leaves open. */
function invalid(what: string): Answer {
  return refusal(400, {
    errorCode: `INPUT_INVALID.${what}`,
    errorMessage: 'The request is not valid.',
  });
}

export const unexpectedError = refusal(400, {
  errorCode: 'REQUEST_FAILED.UnexpectedError',
  errorMessage: 'An unknown server problem.',
});

export function gatewayFault(status: number, code: number, message: string): Answer {
  return json(
    status,
    { fault: { code, message, description: `${message}. Check the request.` } },
    String(code),
  );
}

function oauthError(status: number, error: string): Answer {
  return json(status, { error, error_description: 'Client authentication failed.' }, error);
}

export function proxyPage(status: number): Answer {
  return {
    status,
    body: '<html><body><h1>Please try again later</h1></body></html>',
    type: 'text/html',
  };
}
