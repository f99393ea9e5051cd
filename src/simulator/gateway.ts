// The gateway in front of the simulated application. It checks paths, methods, headers, API tokens
// and the form of each body. It executes nothing: it says which call a request makes, or why it
// makes none.

import type { IncomingMessage } from 'node:http';
import type { Accounts, Refused } from './accounts.ts';
import { type Answer, gatewayFault, invalid, oauthError } from './answers.ts';
import type { CallName } from './faults.ts';

export type GatewayOptions = {
  /**
   * Whether a repeated token request gives the remaining time. Not documented; default false:
   * always 3600.
   */
  readonly expiresInCountsDown?: boolean;
  /**
   * Refuses apostrophe, less-than and backslash in request fields, as documented. Default false:
   * passwords may hold them.
   */
  readonly refusesInvalidCharacters?: boolean;
};

type Route = {
  readonly name: CallName;
  readonly method: string;
  /** The field of the result that `wrong-typed-200` replaces. */
  readonly resultKey: string;
};

/** A call that passed the gateway: its effect, and its user. */
export type Call = Route & {
  readonly username: string | undefined;
  readonly effect: () => Record<string, unknown> | Refused;
};

const session = '/api/m2m/v1/session';

export const routes: Readonly<Record<string, Route>> = {
  '/api/ts/v1/oauth2/token': { name: 'token', method: 'POST', resultKey: 'access_token' },
  [`${session}/login`]: { name: 'login', method: 'POST', resultKey: 'sessionToken' },
  [`${session}/password/actions/reset`]: { name: 'reset', method: 'PUT', resultKey: 'newPassword' },
  [`${session}/logout`]: { name: 'logout', method: 'POST', resultKey: 'sessionToken' },
};

/** The call that a request makes; or the answer of the gateway, before anything is executed. */
export function passGateway(
  request: IncomingMessage,
  body: Uint8Array,
  accounts: Accounts,
  options: GatewayOptions,
): Call | Answer {
  const route = routes[request.url ?? ''];
  // Verizon documents 400 with fault 900906 for a wrong path. A wrong method and a query are
  // treated the same.
  if (!route || route.method !== request.method)
    return gatewayFault(400, 900906, 'No matching resource found');
  if (!/application\/json|\*\/\*/.test(headerOf(request, 'accept') ?? '*/*'))
    return gatewayFault(406, 900906, 'Not acceptable');
  if (route.name === 'token') return passTokenServer(route, request, body, accounts, options);

  const bearer = bearerOf(request);
  if (bearer === undefined) return gatewayFault(401, 900902, 'Missing Credentials');
  if (!accounts.isApiToken(bearer)) return gatewayFault(401, 900901, 'Invalid Credentials');
  const sessionToken = headerOf(request, 'vz-m2m-token');
  const owner = accounts.usernameOf(sessionToken);
  if (route.name === 'logout') {
    if (body.length > 0) return invalid('Request.BodyNotAllowed');
    return { ...route, username: owner, effect: () => accounts.logout(sessionToken) };
  }
  if (!isMediaType(request, 'application/json'))
    return gatewayFault(415, 900906, 'Unsupported media type');
  const isLogin = route.name === 'login';
  // Not documented as forbidden. But no client has a session token before the login.
  if (isLogin && sessionToken !== undefined) return invalid('Request.SessionTokenNotAllowed');
  const fields = readFields(body, isLogin ? ['username', 'password'] : ['oldPassword']);
  if ('status' in fields) return fields;
  const { username = '', password = '', oldPassword = '' } = fields.fields;
  if (options.refusesInvalidCharacters && /['<\\]/.test(`${username}${password}${oldPassword}`))
    return invalid('Request.InvalidCharacter');
  return isLogin
    ? { ...route, username, effect: () => accounts.login(username, password) }
    : { ...route, username: owner, effect: () => accounts.reset(sessionToken, oldPassword) };
}

function passTokenServer(
  route: Route,
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
  const token = { access_token: found.value, token_type: 'Bearer', expires_in: life };
  return { ...route, username: undefined, effect: () => ({ ...token, scope: 'default' }) };
}

/** The body; at most the first 64 kB of it, which is more than any valid request has. */
export async function readBody(request: IncomingMessage): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Uint8Array>) {
    if (size < 65536) chunks.push(chunk);
    size += chunk.length;
  }
  return Buffer.concat(chunks);
}

/** Exactly these keys, each with a string of at least one character; or the refusal. */
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
