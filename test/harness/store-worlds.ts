// The worlds of the store contract: the file store in a temporary folder, and Secrets Manager on
// loopback.

import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { generateIdentity } from 'age-encryption';
import { openClock } from '../../src/clock.ts';
import type { Clock } from '../../src/rotation/ports.ts';
import { Secret } from '../../src/secret.ts';
import { type FileStore, openFileStore } from '../../src/stores/file-store.ts';
import {
  openSecretsManager,
  type SecretsManager,
  type SecretsManagerOptions,
} from '../../src/stores/secrets-manager.ts';
import {
  openSecretsManagerSimulator,
  type SecretsManagerSimulator,
  type SecretsManagerSimulatorOptions,
} from '../fakes/secrets-manager.ts';
import { createSecret, putSecretValue, type Service } from '../fakes/secrets-manager-service.ts';
import { limitMs } from './limits.mjs';
import { modelStore } from './model-store.ts';
import type { StoreWorld } from './store-contract.ts';

/** The system's clock plus `ahead.ms`; its sleeps are real. */
function clockAhead(ahead: { ms: number }): Clock {
  const clock = openClock();
  return { ...clock, nowMs: () => clock.nowMs() + ahead.ms };
}

export type FileWorld = StoreWorld & {
  readonly directory: string;
  readonly identity: string;
  readonly store: FileStore;
  reopen(): Promise<FileStore>;
};

/** A new folder and a new key. */
export async function openFileWorld(): Promise<FileWorld> {
  const parent = await mkdtemp(join(tmpdir(), 'rotator-store-'));
  const directory = join(parent, 'secrets');
  const identity = await generateIdentity();
  const ahead = { ms: 0 };
  const reopen = (): Promise<FileStore> =>
    openFileStore({ directory, identity: new Secret(identity), clock: clockAhead(ahead) });
  const store = await reopen();
  return {
    directory,
    identity,
    store,
    reopen,
    versions: (secretId) => store.versions(secretId),
    putByHand: (secretId, text) => store.putCurrent(secretId, new Secret(text)),
    advance: (ms) => {
      ahead.ms += ms;
    },
    // Real time passes too.
    resolutionMs: limitMs(10_000),
    close: () => rm(parent, { recursive: true, force: true }),
  };
}

/** The store that the simulation runs on: the model of Secrets Manager without HTTP. */
export async function openModelWorld(): Promise<StoreWorld> {
  let aheadMs = 0;
  const model: Service = {
    secrets: new Map(),
    region: 'us-east-1',
    accountId: '111111111111',
    nowMs: () => Date.now() + aheadMs,
    quirks: { limitsYoung: true },
  };
  return {
    versions: (secretId) => {
      const store = modelStore(model, secretId);
      return {
        youngVersionLimit: 100,
        read: async (which) => store.read(which),
        put: async (version) => store.put(version),
        move: async (...move) => store.move(...move),
        list: async () => store.list(),
      };
    },
    async putByHand(Name, SecretString) {
      const ClientRequestToken = randomUUID();
      const value = { ClientRequestToken, SecretString };
      if (model.secrets.has(Name)) putSecretValue(model, { ...value, SecretId: Name });
      else createSecret(model, { ...value, Name });
      return ClientRequestToken;
    },
    advance: (ms) => {
      aheadMs += ms;
    },
    resolutionMs: 10_000,
    close: async () => {},
  };
}

export type SecretsManagerWorld = StoreWorld & {
  readonly simulator: SecretsManagerSimulator;
  readonly store: SecretsManager;
};

/** A simulator and the adapter. The SDK finds both in the environment, as in production. */
export async function openSecretsManagerWorld(
  options: Partial<SecretsManagerOptions> = {},
  simulated: SecretsManagerSimulatorOptions = {},
): Promise<SecretsManagerWorld> {
  const ahead = { ms: 0 };
  const simulator = await openSecretsManagerSimulator({
    nowMs: () => Date.now() + ahead.ms,
    ...simulated,
  });
  Object.assign(process.env, {
    AWS_ENDPOINT_URL_SECRETS_MANAGER: simulator.url,
    AWS_ACCESS_KEY_ID: 'test',
    AWS_SECRET_ACCESS_KEY: 'test',
    AWS_REGION: simulator.region,
  });
  const store = openSecretsManager({ clock: openClock(), ...options });
  return {
    simulator,
    store,
    versions: (secretId) => store.versions(secretId),
    async putByHand(secretId, text) {
      const ClientRequestToken = randomUUID();
      try {
        simulator.call('PutSecretValue', {
          SecretId: secretId,
          ClientRequestToken,
          SecretString: text,
        });
      } catch {
        simulator.call('CreateSecret', { Name: secretId, ClientRequestToken, SecretString: text });
      }
      return ClientRequestToken;
    },
    advance: (ms) => {
      ahead.ms += ms;
    },
    resolutionMs: limitMs(10_000),
    async close() {
      store.close();
      await simulator.close();
    },
  };
}
