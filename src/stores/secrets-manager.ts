// AWS Secrets Manager as a store of versions. It always reads by a label or a VersionId, and takes
// the time from the Date header of the server. aws/call.ts has the deadline, the retries and the
// meaning of errors.

import {
  GetSecretValueCommand,
  ListSecretsCommand,
  ListSecretVersionIdsCommand,
  PutSecretValueCommand,
  SecretsManagerClient,
  UpdateSecretVersionStageCommand,
} from '@aws-sdk/client-secrets-manager';
import { type AwsCall, type AwsService, clientSettings, createAwsCall } from '../aws/call.ts';
import type { Clock } from '../rotation/ports.ts';
import { Secret } from '../secret.ts';
import { parseHttpDate } from '../time.ts';
import type { ListedVersion, StoredVersion, VersionStore } from './version-store.ts';

export type SecretsManagerOptions = {
  /**
   * By default from AWS_REGION or the profile, as are the credentials and
   * AWS_ENDPOINT_URL_SECRETS_MANAGER.
   */
  readonly region?: string | undefined;
  /** One attempt, from credentials to the last byte of the response. */
  readonly requestTimeoutMs?: number | undefined;
  readonly maxAttempts?: number | undefined;
  /** For waits, and for the time where a response has no Date header. */
  readonly clock: Clock;
};

export type SecretsManager = {
  /** The versions of a secret, by its name or ARN. Contacts nothing yet. */
  versions(secretId: string): VersionStore;
  /**
   * Every secret that carries this tag key, without those scheduled for deletion. Throws
   * `store-unavailable`, `store-denied`.
   */
  discover(tag: string): Promise<readonly { readonly secretId: string; readonly name: string }[]>;
  /** Ends the connections. */
  close(): void;
};

const service: AwsService = {
  name: 'Secrets Manager',
  prefix: 'secretsmanager',
  denied: 'store-denied',
  missing: 'secret-not-found',
  deletion: 'secret-invalid',
  unavailable: 'store-unavailable',
};

/** More than 64 accounts at once can use: with the SDK's limit of 50 they wait for each other. */
const maxSockets = 512;

/** One client for all accounts. Contacts nothing yet. */
export function openSecretsManager(options: SecretsManagerOptions): SecretsManager {
  const { clock, requestTimeoutMs = 10_000, maxAttempts = 3 } = options;
  const settings = clientSettings(requestTimeoutMs, options.region);
  const client = new SecretsManagerClient({
    ...settings,
    requestHandler: {
      ...settings.requestHandler,
      // No call may wait for a connection that another account uses.
      httpAgent: { keepAlive: true, maxSockets },
      httpsAgent: { keepAlive: true, maxSockets },
    },
  });
  const answeredAtMs = recordDates(client);

  const call = createAwsCall(service, { requestTimeoutMs, maxAttempts, clock });
  const nowOf = (output: object): number => answeredAtMs.get(output) ?? clock.nowMs();
  return {
    versions: (secretId) => versionsOf(client, secretId, call, nowOf),

    async discover(tag) {
      const found: { secretId: string; name: string }[] = [];
      for (let token: string | undefined; ; ) {
        const Filters = [{ Key: 'tag-key' as const, Values: [tag] }];
        const input = {
          Filters,
          MaxResults: 100,
          IncludePlannedDeletion: false,
          NextToken: token,
        };
        const page = await call({
          action: 'ListSecrets',
          subject: `secrets with the tag ${tag}`,
          resource: '*',
          send: (options) => client.send(new ListSecretsCommand(input), options),
        });
        for (const { ARN, Name, Tags } of page.SecretList ?? []) {
          // The filter matches prefixes.
          if (ARN && Name && Tags?.some(({ Key }) => Key === tag))
            found.push({ secretId: ARN, name: Name });
        }
        token = page.NextToken;
        if (!token) return found;
      }
    },

    close: () => client.destroy(),
  };
}

/**
 * No version younger than 24 hours is removed, and about 100 are kept (AWS's quotas page, 2026-11).
 */
const youngVersionLimit = 100;

function versionsOf(
  client: SecretsManagerClient,
  secretId: string,
  call: AwsCall,
  nowOf: (output: object) => number,
): VersionStore {
  const about = { subject: `secret ${secretId}`, resource: secretId };
  return {
    youngVersionLimit,

    async read(which): Promise<StoredVersion | null> {
      const input = {
        SecretId: secretId,
        ...('stage' in which ? { VersionStage: which.stage } : { VersionId: which.versionId }),
      };
      const output = await call({
        ...about,
        action: 'GetSecretValue',
        send: (options) => client.send(new GetSecretValueCommand(input), options),
        expected: ['missing'],
      });
      if (output === 'missing' || !output.VersionId) return null;
      return {
        versionId: output.VersionId,
        stages: output.VersionStages ?? [],
        createdAtMs: output.CreatedDate?.getTime() ?? 0,
        storeNowMs: nowOf(output),
        value: output.SecretString === undefined ? 'binary' : new Secret(output.SecretString),
        identity: output.ARN ?? secretId,
      };
    },

    async put({ token, value, stages }) {
      const input = {
        SecretId: secretId,
        ClientRequestToken: token,
        SecretString: value.reveal(),
        VersionStages: [...stages],
      };
      const output = await call({
        ...about,
        action: 'PutSecretValue',
        send: (options) => client.send(new PutSecretValueCommand(input), options),
        expected: ['exists'],
      });
      return output === 'exists' ? 'taken' : 'written';
    },

    async move(stage, from, to) {
      const input = {
        SecretId: secretId,
        VersionStage: stage,
        MoveToVersionId: to,
        RemoveFromVersionId: from ?? undefined,
      };
      const output = await call({
        ...about,
        action: 'UpdateSecretVersionStage',
        send: (options) => client.send(new UpdateSecretVersionStageCommand(input), options),
        expected: ['missing', 'not-allowed'],
      });
      return output === 'missing' || output === 'not-allowed' ? 'conflict' : 'moved';
    },

    async list() {
      const listed: ListedVersion[] = [];
      for (let token: string | undefined; ; ) {
        const input = {
          SecretId: secretId,
          IncludeDeprecated: true,
          MaxResults: 100,
          NextToken: token,
        };
        const page = await call({
          ...about,
          action: 'ListSecretVersionIds',
          send: (options) => client.send(new ListSecretVersionIdsCommand(input), options),
        });
        for (const { VersionId, VersionStages, CreatedDate } of page.Versions ?? []) {
          if (VersionId)
            listed.push({
              versionId: VersionId,
              stages: VersionStages ?? [],
              createdAtMs: CreatedDate?.getTime() ?? 0,
            });
        }
        token = page.NextToken;
        if (!token) return listed;
      }
    },
  };
}

/** The Date header of each response, by its output. */
function recordDates(client: SecretsManagerClient): WeakMap<object, number> {
  const answeredAtMs = new WeakMap<object, number>();
  client.middlewareStack.add(
    (next) => async (args) => {
      const result = await next(args);
      const headers = (result.response as { headers?: Record<string, string> }).headers ?? {};
      const dateMs = parseHttpDate(headers['date']);
      if (dateMs !== null && result.output) answeredAtMs.set(result.output, dateMs);
      return result;
    },
    // Around the deserializer, so that both the answer and its headers are there.
    { step: 'deserialize', priority: 'high', name: 'recordDates' },
  );
  return answeredAtMs;
}
