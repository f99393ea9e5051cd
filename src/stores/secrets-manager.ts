// AWS Secrets Manager as a store of versions; the only file that knows the SDK. It never reads unqualified, never
// lets a vendor's error or message through, and tells time by the server's own Date header.

import {
  GetSecretValueCommand,
  ListSecretsCommand,
  ListSecretVersionIdsCommand,
  PutSecretValueCommand,
  SecretsManagerClient,
  UpdateSecretVersionStageCommand,
} from '@aws-sdk/client-secrets-manager';
import type { Clock } from '../rotation/ports.ts';
import { Secret } from '../secret.ts';
import { parseHttpDate } from './http-date.ts';
import { failureOf, type Meaning, refusalOf, waitsMs } from './secrets-manager-errors.ts';
import type { ListedVersion, StoredVersion, VersionStore } from './version-store.ts';

export type SecretsManagerOptions = {
  /** Else from the usual AWS environment: AWS_REGION, the profile. So are credentials, and AWS_ENDPOINT_URL_SECRETS_MANAGER. */
  readonly region?: string;
  /** One try, from credentials to the last byte of the answer. */
  readonly requestTimeoutMs?: number;
  /** Tries in all. The waits between them are `waitsMs`. */
  readonly maxAttempts?: number;
  /** For waits, and for the time where an answer has no Date header. */
  readonly clock: Clock;
};

export type SecretsManager = {
  /** The versions of a secret, by its name or ARN. Contacts nothing yet. */
  versions(secretId: string): VersionStore;
  /** Every secret that carries this tag key, without those scheduled for deletion. Throws `store-unavailable`, `store-denied`. */
  discover(tag: string): Promise<readonly { readonly secretId: string; readonly name: string }[]>;
  /** Ends the connections. */
  close(): void;
};

/** Meanings a caller takes as an answer instead of a failure. */
type Expected = Extract<Meaning, 'missing' | 'exists' | 'not-allowed'>;

/** One client for all accounts. Contacts nothing yet. */
export function openSecretsManager(options: SecretsManagerOptions): SecretsManager {
  const { clock, requestTimeoutMs = 10_000, maxAttempts = 3 } = options;
  const client = new SecretsManagerClient({
    ...(options.region === undefined ? {} : { region: options.region }),
    // The tries are ours (`again` below): the SDK's own count LimitExceeded as load, and wait on timers nobody can wake.
    maxAttempts: 1,
    requestHandler: {
      connectionTimeout: Math.min(3000, requestTimeoutMs),
      socketTimeout: requestTimeoutMs,
      httpsAgent: { keepAlive: true, maxSockets: 50 },
    },
  });
  const answeredAtMs = recordDates(client);

  /** One try, bounded as a whole: the handler's own timeouts cover neither credentials nor a body that stops midway. */
  async function once<Output>(
    send: (options: { abortSignal: AbortSignal }) => Promise<Output>,
  ): Promise<Output> {
    const [late, done] = [new AbortController(), new AbortController()];
    const deadline = clock.sleep(requestTimeoutMs, done.signal).then(() => {
      late.abort();
      throw Object.assign(new Error('late'), { name: 'TimeoutError' });
    });
    try {
      return await Promise.race([send({ abortSignal: late.signal }), deadline]);
    } finally {
      deadline.catch(() => undefined);
      done.abort();
    }
  }

  async function call<Output, E extends Expected = never>(
    action: string,
    where: string,
    send: (options: { abortSignal: AbortSignal }) => Promise<Output>,
    expected: readonly E[] = [],
  ): Promise<Output | E> {
    for (let tries = 1; ; tries += 1) {
      try {
        return await once(send);
      } catch (error) {
        const refusal = refusalOf(error);
        const answer = expected.find((meaning) => meaning === refusal.meaning);
        if (answer) return answer;
        if (refusal.meaning !== 'again' || tries >= maxAttempts)
          throw failureOf(refusal, action, where);
        await clock.sleep(waitsMs[tries - 1] ?? waitsMs.at(-1) ?? 0);
      }
    }
  }

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
          ...(token ? { NextToken: token } : {}),
        };
        const page = await call('ListSecrets', `secrets with the tag ${tag}`, (options) =>
          client.send(new ListSecretsCommand(input), options),
        );
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

type Call = <Output, E extends Expected = never>(
  action: string,
  where: string,
  send: (options: { abortSignal: AbortSignal }) => Promise<Output>,
  expected?: readonly E[],
) => Promise<Output | E>;

function versionsOf(
  client: SecretsManagerClient,
  secretId: string,
  call: Call,
  nowOf: (output: object) => number,
): VersionStore {
  const where = `secret ${secretId}`;
  return {
    async read(which): Promise<StoredVersion | null> {
      const input = {
        SecretId: secretId,
        ...('stage' in which ? { VersionStage: which.stage } : { VersionId: which.versionId }),
      };
      const output = await call(
        'GetSecretValue',
        where,
        (options) => client.send(new GetSecretValueCommand(input), options),
        ['missing'],
      );
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
      const output = await call(
        'PutSecretValue',
        where,
        (options) => client.send(new PutSecretValueCommand(input), options),
        ['exists'],
      );
      return output === 'exists' ? 'taken' : 'written';
    },

    async move(stage, from, to) {
      const input = {
        SecretId: secretId,
        VersionStage: stage,
        MoveToVersionId: to,
        ...(from === null ? {} : { RemoveFromVersionId: from }),
      };
      const send = (options: { abortSignal: AbortSignal }) =>
        client.send(new UpdateSecretVersionStageCommand(input), options);
      const output = await call('UpdateSecretVersionStage', where, send, [
        'missing',
        'not-allowed',
      ]);
      return output === 'missing' || output === 'not-allowed' ? 'conflict' : 'moved';
    },

    async list() {
      const listed: ListedVersion[] = [];
      for (let token: string | undefined; ; ) {
        const input = {
          SecretId: secretId,
          IncludeDeprecated: true,
          MaxResults: 100,
          ...(token ? { NextToken: token } : {}),
        };
        const page = await call('ListSecretVersionIds', where, (options) =>
          client.send(new ListSecretVersionIdsCommand(input), options),
        );
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

/** Remembers for each answer when the server says it gave it. Seen once, it is collected with the answer. */
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
