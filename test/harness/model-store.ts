// A store of versions over the model of Secrets Manager (test/fakes), without HTTP: what the
// adapter makes of the service's answers. The simulation runs on it, and the store contract holds
// it to the same sentences as the adapter.

import { failureOf, meanings } from '../../src/aws/call.ts';
import { Secret } from '../../src/secret.ts';
import type { ListedVersion, StoredVersion, VersionStore } from '../../src/stores/version-store.ts';
import {
  type Fields,
  findSecret,
  getSecretValue,
  listedVersions,
  putSecretValue,
  type Service,
  ServiceError,
  updateSecretVersionStage,
} from '../fakes/secrets-manager-service.ts';

const service = {
  name: 'Secrets Manager',
  prefix: 'secretsmanager',
  denied: 'store-denied',
  missing: 'secret-not-found',
  deletion: 'secret-invalid',
  unavailable: 'store-unavailable',
} as const;

/** A VersionStore whose calls are done when they are made. All throw `Failure`. */
export type ModelStore = {
  read(which: Parameters<VersionStore['read']>[0]): StoredVersion | null;
  put(version: Parameters<VersionStore['put']>[0]): 'written' | 'taken';
  move(stage: string, from: string | null, to: string): 'moved' | 'conflict';
  list(): ListedVersion[];
};

/** What the service answers, or the name of an error that is an answer. Throws a Failure. */
function ask<Expected extends string>(
  action: string,
  resource: string,
  send: () => Fields,
  ...expected: Expected[]
): Fields | Expected {
  try {
    return send();
  } catch (error) {
    if (!(error instanceof ServiceError)) throw error;
    const meaning = meanings.get(error.code) ?? 'rejected';
    const answer = expected.find((one) => one === meaning);
    if (answer !== undefined) return answer;
    const about = { action, subject: `secret ${resource}`, resource };
    throw failureOf(service, about, { meaning, code: error.code, requestId: '' });
  }
}

/** The secret `SecretId` in `model`, as the adapter shows it. */
export function modelStore(model: Service, SecretId: string): ModelStore {
  return {
    read(which) {
      const input =
        'stage' in which
          ? { SecretId, VersionStage: which.stage }
          : { SecretId, VersionId: which.versionId };
      const send = (): Fields => getSecretValue(model, input, false);
      const found = ask('GetSecretValue', SecretId, send, 'missing');
      if (found === 'missing') return null;
      return {
        versionId: String(found['VersionId']),
        stages: (found['VersionStages'] ?? []) as string[],
        createdAtMs: Number(found['CreatedDate']) * 1000,
        // The Date header has no milliseconds.
        storeNowMs: model.nowMs() - (model.nowMs() % 1000),
        value:
          found['SecretString'] === undefined
            ? 'binary'
            : new Secret(String(found['SecretString'])),
        identity: String(found['ARN']),
      };
    },

    put({ token, value, stages }) {
      const input = {
        SecretId,
        ClientRequestToken: token,
        SecretString: value.reveal(),
        VersionStages: [...stages],
      };
      const send = (): Fields => putSecretValue(model, input);
      return ask('PutSecretValue', SecretId, send, 'exists') === 'exists' ? 'taken' : 'written';
    },

    move(stage, from, to) {
      const input = {
        SecretId,
        VersionStage: stage,
        MoveToVersionId: to,
        ...(from === null ? {} : { RemoveFromVersionId: from }),
      };
      const send = (): Fields => updateSecretVersionStage(model, input);
      const answer = ask('UpdateSecretVersionStage', SecretId, send, 'missing', 'not-allowed');
      return typeof answer === 'string' ? 'conflict' : 'moved';
    },

    list() {
      const listed: ListedVersion[] = [];
      ask('ListSecretVersionIds', SecretId, () => {
        for (const { id, stages, createdMs } of listedVersions(model, findSecret(model, SecretId)))
          listed.push({ versionId: id, stages, createdAtMs: createdMs });
        return {};
      });
      return listed;
    },
  };
}
