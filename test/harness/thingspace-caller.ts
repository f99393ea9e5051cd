// Calls the ThingSpace simulator without our client, to test what other clients would send.

import { request as httpRequest } from 'node:http';
import type { ThingSpaceSimulator } from '../../src/simulator/thingspace.ts';

export type Answer = {
  readonly status: number;
  readonly type: string | undefined;
  readonly body: string;
};

/** Sends one request. Rejects when the connection ends before the response is complete. */
export function ask(
  simulator: ThingSpaceSimulator,
  method: string,
  path: string,
  headers: Record<string, string>,
  body = '',
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = httpRequest(`${simulator.baseUrl}${path}`, { method, agent: false, headers });
    request.on('error', reject);
    request.on('response', (response) => {
      let text = '';
      response.on('data', (chunk: Buffer) => {
        text += chunk.toString();
      });
      response.on('error', reject);
      response.on('end', () =>
        resolve({
          status: response.statusCode ?? 0,
          type: response.headers['content-type'],
          body: text,
        }),
      );
    });
    request.end(body);
  });
}

export const application = { clientId: 'app-key', clientSecret: 'app-secret' };

export function basic({ clientId, clientSecret } = application): string {
  return `Basic ${Buffer.from(`${clientId}:${clientSecret}`).toString('base64')}`;
}

/** A caller that follows every rule. Each call returns the status and the parsed body. */
export function callerOf(simulator: ThingSpaceSimulator) {
  const parsed = async (
    answer: Promise<Answer>,
  ): Promise<{ status: number; body: Record<string, unknown> }> => {
    const { status, body } = await answer;
    return { status, body: JSON.parse(body) as Record<string, unknown> };
  };
  const json = 'application/json';
  const token = (key = application) =>
    parsed(
      ask(
        simulator,
        'POST',
        '/ts/v1/oauth2/token',
        { authorization: basic(key), 'content-type': 'application/x-www-form-urlencoded' },
        'grant_type=client_credentials',
      ),
    );
  const bearer = async (): Promise<string> => `Bearer ${(await token()).body['access_token']}`;
  return {
    token,
    bearer,
    login: async (username: string, password: string) =>
      parsed(
        ask(
          simulator,
          'POST',
          '/m2m/v1/session/login',
          { authorization: await bearer(), 'content-type': json },
          JSON.stringify({ username, password }),
        ),
      ),
    reset: async (sessionToken: string, oldPassword: string) =>
      parsed(
        ask(
          simulator,
          'PUT',
          '/m2m/v1/session/password/actions/reset',
          { authorization: await bearer(), 'vz-m2m-token': sessionToken, 'content-type': json },
          JSON.stringify({ oldPassword }),
        ),
      ),
    logout: async (sessionToken: string) =>
      parsed(
        ask(simulator, 'POST', '/m2m/v1/session/logout', {
          authorization: await bearer(),
          'vz-m2m-token': sessionToken,
        }),
      ),
  };
}
