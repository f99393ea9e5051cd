// The comparison for bench/rotation.ts: a plain script with the same HTTP calls, one after the
// other, without record, audit, receipt or retry. The environment names the servers: THINGSPACE,
// SECRET_ID, and the usual AWS variables.

import { randomUUID } from 'node:crypto';
import {
  GetSecretValueCommand,
  PutSecretValueCommand,
  SecretsManagerClient,
  UpdateSecretVersionStageCommand,
} from '@aws-sdk/client-secrets-manager';

const { THINGSPACE: base, SECRET_ID: SecretId } = process.env;
const client = new SecretsManagerClient({});
const { SecretString, VersionId } = await client.send(
  new GetSecretValueCommand({ SecretId, VersionStage: 'AWSCURRENT' }),
);
const secret = JSON.parse(SecretString);

const call = async (method, path, headers, body) => {
  const response = await fetch(`${base}${path}`, {
    method,
    headers: { 'content-type': 'application/json', accept: 'application/json', ...headers },
    body,
  });
  if (!response.ok) throw new Error(`${path}: HTTP ${response.status}`);
  return response.json();
};
const basic = Buffer.from(`${secret.clientId}:${secret.clientSecret}`).toString('base64');
const { access_token: apiToken } = await call(
  'POST',
  '/ts/v1/oauth2/token',
  { authorization: `Basic ${basic}`, 'content-type': 'application/x-www-form-urlencoded' },
  'grant_type=client_credentials',
);
const authorization = `Bearer ${apiToken}`;
const logIn = ({ username, password }) =>
  call('POST', '/m2m/v1/session/login', { authorization }, JSON.stringify({ username, password }));
const logOut = (token) =>
  fetch(`${base}/m2m/v1/session/logout`, {
    method: 'POST',
    headers: { authorization, accept: 'application/json', 'vz-m2m-token': token },
  });

const first = await logIn(secret);
const reset = '/m2m/v1/session/password/actions/reset';
const headers = { authorization, 'vz-m2m-token': first.sessionToken };
const { newPassword } = await call(
  'PUT',
  reset,
  headers,
  JSON.stringify({ oldPassword: secret.password }),
);
const ClientRequestToken = randomUUID();
const next = JSON.stringify({ ...secret, password: newPassword });
await client.send(
  new PutSecretValueCommand({
    SecretId,
    ClientRequestToken,
    SecretString: next,
    VersionStages: ['AWSPENDING'],
  }),
);
await client.send(
  new UpdateSecretVersionStageCommand({
    SecretId,
    VersionStage: 'AWSCURRENT',
    MoveToVersionId: ClientRequestToken,
    RemoveFromVersionId: VersionId,
  }),
);
const second = await logIn({ ...secret, password: newPassword });
await logOut(first.sessionToken);
await logOut(second.sessionToken);
