// One rotator on loopback: a simulated ThingSpace, a secret store, an audit log and receipts in a
// temporary folder, composed as the program composes them. `close` removes everything.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { generateIdentity, identityToRecipient } from 'age-encryption';
import { compose, type Rotator } from '../../src/app.ts';
import { generateSigningKey } from '../../src/audit/checkpoint.ts';
import { openClock } from '../../src/clock.ts';
import { parseConfig } from '../../src/config/load.ts';
import type { RotationEvent } from '../../src/rotation/event.ts';
import type { Clock } from '../../src/rotation/ports.ts';
import { Secret } from '../../src/secret.ts';
import {
  openThingSpaceSimulator,
  type ThingSpaceSimulator,
  type ThingSpaceSimulatorOptions,
} from '../../src/simulator/thingspace.ts';
import {
  openSecretsManagerSimulator,
  type SecretsManagerSimulator,
} from '../fakes/secrets-manager.ts';
import { limitMs } from './limits.mjs';

export const application = { clientId: 'app-key', clientSecret: 'app-planted-secret' };

/** A secret of eight keys, with unusual spaces and an unusual order. */
export function eightKeys(username: string, password: string): string {
  const { clientId, clientSecret } = application;
  const name = JSON.stringify(username);
  const nested = '{"password": "not this one", "list": [1, 2.50]}';
  return `{ "zebra": 1e2,\n  "username": ${name},\t"note": "caf\\u00e9 \\/ \\"q\\"",
  "password" : ${JSON.stringify(password)}, "clientId":"${clientId}",
  "clientSecret":"${clientSecret}", "nested": ${nested}, "": null }\n`;
}

export type Rig = AsyncDisposable & {
  readonly folder: string;
  readonly thingspace: ThingSpaceSimulator;
  readonly secretsManager: SecretsManagerSimulator | null;
  readonly rotator: Rotator;
  readonly events: RotationEvent[];
  readonly lines: string[];
  readonly receiptIdentity: string;
  /** Moves the clocks of the store and of the rotators: what has to settle has settled. */
  advance(ms: number): void;
  /** Opens another rotator on the same world: another process, as far as the world can tell. */
  another(options?: { clock?: Clock }): Promise<Rotator>;
  close(): Promise<void>;
};

export type RigOptions = {
  readonly store: 'file' | 'secrets-manager';
  /** Username and password of each account; the account's name is the username. */
  readonly users: Readonly<Record<string, string>>;
  /** The password that the secret says, where it is another one. */
  readonly stored?: Readonly<Record<string, string>>;
  readonly thingspace?: Partial<ThingSpaceSimulatorOptions>;
  readonly config?: Readonly<Record<string, unknown>>;
  /** Opens a relay in front of the servers. */
  readonly relay?: (urls: {
    thingspace: string;
    secretsManager: string | null;
  }) => Promise<{ thingspace: string; secretsManager: string | null }>;
};

export async function openRig(options: RigOptions): Promise<Rig> {
  const folder = mkdtempSync(join(tmpdir(), 'rig-'));
  const users = Object.entries(options.users).map(([username, password]) => ({
    username,
    password,
  }));
  const thingspace = await openThingSpaceSimulator({
    users,
    applications: [application],
    ...options.thingspace,
  });
  let aheadMs = 0;
  const nowMs = (): number => Date.now() + aheadMs;
  const secretsManager =
    options.store === 'secrets-manager' ? await openSecretsManagerSimulator({ nowMs }) : null;
  const direct = { thingspace: thingspace.baseUrl, secretsManager: secretsManager?.url ?? null };
  const urls = options.relay ? await options.relay(direct) : direct;
  const storeKey = await generateIdentity();
  const receiptIdentity = await generateIdentity();
  writeFileSync(join(folder, 'rotator.key'), storeKey, { mode: 0o600 });
  writeFileSync(join(folder, 'audit.key'), generateSigningKey('rig.test').signingKey, {
    mode: 0o600,
  });
  // The file is there for whoever runs the built program in this folder.
  const config = {
    thingspace: {
      baseUrl: urls.thingspace,
      requestTimeoutMs: limitMs(5_000),
      resetTimeoutMs: limitMs(5_000),
      settleMs: 0,
    },
    store:
      options.store === 'file'
        ? { type: 'file' }
        : { type: 'secrets-manager', region: 'us-east-1' },
    accounts: users.map(({ username }) => ({ name: username, secretId: `thingspace/${username}` })),
    receipts: { directory: './receipts', recipients: [await identityToRecipient(receiptIdentity)] },
    ...options.config,
  };
  writeFileSync(join(folder, 'rotator.yaml'), JSON.stringify(config));
  const events: RotationEvent[] = [];
  const lines: string[] = [];
  const env: NodeJS.ProcessEnv = process.env;
  if (urls.secretsManager !== null) {
    Object.assign(env, {
      AWS_ENDPOINT_URL_SECRETS_MANAGER: urls.secretsManager,
      AWS_ACCESS_KEY_ID: 'test',
      AWS_SECRET_ACCESS_KEY: 'test',
    });
  }
  const open = async (clock: Clock): Promise<Rotator> =>
    compose(
      await parseConfig({ text: JSON.stringify(config), file: 'rotator.yaml', folder, env: {} }),
      {
        clock,
        pid: process.pid,
        context: { actor: { name: 'tester' }, productVersion: '0.0.0' },
        observe: (event) => events.push(event),
        writeLine: (line) => lines.push(line),
      },
    );
  const clock = (): Clock => ({ ...openClock(), nowMs });
  const rotator = await open(clock());
  const rotators = [rotator];
  for (const { username, password } of users) {
    const value = eightKeys(username, options.stored?.[username] ?? password);
    if (rotator.files) await rotator.files.putCurrent(`thingspace/${username}`, new Secret(value));
    else
      secretsManager?.call('CreateSecret', {
        Name: `thingspace/${username}`,
        SecretString: value,
        ClientRequestToken: crypto.randomUUID(),
      });
  }
  const close = async (): Promise<void> => {
    for (const one of rotators) await one.close();
    await thingspace.close();
    await secretsManager?.close();
    rmSync(folder, { recursive: true, force: true });
  };
  return {
    folder,
    thingspace,
    secretsManager,
    rotator,
    events,
    lines,
    receiptIdentity,
    advance: (ms) => {
      aheadMs += ms;
    },
    another: async (others = {}) => {
      const other = await open(others.clock ?? clock());
      rotators.push(other);
      return other;
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}
