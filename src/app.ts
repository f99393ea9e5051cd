// The composition root, the only place that chooses adapters: a configuration becomes a rotator, or
// the parts that a reader of the audit log needs. An adapter that is not configured is not loaded.

import { readFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import {
  type Checkpoint,
  openSigningKey,
  parseCheckpoint,
  parseVerifierKey,
  type Signer,
  type Verifier,
} from './audit/checkpoint.ts';
import type { CosigningEvent, WitnessClient } from './audit/cosigning.ts';
import { recordFacts } from './audit/facts.ts';
import { type AuditWriter, openAuditLog, openAuditReader } from './audit/log.ts';
import type { AuditSource } from './audit/reader.ts';
import type { AuditContext } from './audit/record.ts';
import { UsageError } from './config/errors.ts';
import type { AccountConfig, Config } from './config/load.ts';
import { openProcessIdentity } from './process-identity.ts';
import { openReceipts } from './receipts/receipts.ts';
import { answerIn } from './rotation/deadline.ts';
import type { AuditEvent, RotationEvent } from './rotation/event.ts';
import { errnoOf, Failure, osErrorText, type Reason } from './rotation/failure.ts';
import type { Clock, Ports, ProcessIdentity, Receipts, SecretStore } from './rotation/ports.ts';
import { rotate } from './rotation/rotate.ts';
import { describeSharedUser } from './rotation/shared-users.ts';
import type { Request, Result } from './rotation/state.ts';
import { type AccountStatus, readStatus } from './rotation/status.ts';
import type { Secret } from './secret.ts';
import type { FileStore } from './stores/file-store.ts';
import { markFolder, refuseLost } from './stores/folders.ts';
import { parseSecret } from './stores/secret-document.ts';
import { openSecretStore } from './stores/secret-store.ts';
import type { SecretsManager } from './stores/secrets-manager.ts';
import type { VersionStore } from './stores/version-store.ts';
import { openThingSpace } from './thingspace/client.ts';
import { version } from './version.ts';

/** What the platform gives: a machine, a function, a test. */
export type Runtime = {
  readonly clock: Clock;
  readonly pid: number;
  /** Who acts and on what machine, for the audit records. */
  readonly context: Omit<AuditContext, 'policy'>;
  /** Everything that happens, for the log and the metrics; must not throw. */
  readonly observe: (event: RotationEvent) => void;
  /**
   * Writes one line to the log, synchronously: sealed receipts, and audit records that the audit
   * storage did not accept.
   */
  readonly writeLine: (line: string) => void;
  /**
   * `read`: nothing is appended, and no attempt is made. `write-if-possible`: the same where the
   * log cannot be written, which is observed. Default: `write`.
   */
  readonly auditAccess?: 'write' | 'read' | 'write-if-possible' | undefined;
};

/** Who acts and on which host, for the audit records. */
export const auditContextOf = ({ name, uid }: Runtime['context']['actor']): Runtime['context'] => ({
  actor: { name, uid },
  productVersion: version,
  sourceEndpoint: { hostname: hostname() },
});

/** One account, configured or discovered. */
export type Account = AccountConfig;

/** What one attempt is asked for; the rest of a `Request` comes from the configuration. */
export type Ask = Pick<Request, 'purpose' | 'trigger'> &
  Partial<Pick<Request, 'force' | 'keyDigest' | 'impatient' | 'native' | 'receipt' | 'abandon'>>;

export type Rotator = {
  readonly config: Config;
  /**
   * The configured accounts, then those discovered by tag. Records in the audit log what differs
   * from what it last says (audit/facts.ts); a failure of that is observed and delays nothing.
   * Throws `store-unavailable`, `store-denied`.
   */
  accounts(): Promise<readonly Account[]>;
  /**
   * One attempt on one account: `rotate()` of the protocol. Never throws for what happens outside.
   */
  attempt(account: Account, ask: Ask, interrupt: AbortSignal): Promise<Result>;
  /** The status of an account. Read-only; sends no login. */
  status(account: Account): Promise<AccountStatus>;
  /**
   * The clock of the store, UTC milliseconds: of a test write where the store allows one, else of
   * a read of the account's secret. Throws as the store does.
   */
  storeClock(account: Account): Promise<number>;
  readonly audit: AuditWriter;
  readonly clock: Clock;
  /** The runtime's observer, for what happens around the attempts. */
  readonly observe: Runtime['observe'];
  /** The file store, for `secret put` and `secret get`; null for Secrets Manager. */
  readonly files: FileStore | null;
  /** Ends connections and seals the audit log. */
  close(): Promise<void>;
};

/**
 * Opens everything that the configuration names. Throws a `Failure` that names what cannot be
 * opened.
 */
export async function compose(config: Config, runtime: Runtime): Promise<Rotator> {
  const { clock } = runtime;
  const { requestTimeoutMs, resetTimeoutMs, settleMs, baseUrl } = config.thingspace;
  const timing = { requestTimeoutMs, resetTimeoutMs, settleMs };
  const thingspace = openThingSpace({ baseUrl, requestTimeoutMs, resetTimeoutMs, clock });
  const secrets = await openSecrets(config, clock);
  const processes = openProcessIdentity(runtime.pid);
  const audit = await openAudit(config, runtime, processes);
  const { receipts, close: closeReceipts } = await openReceiptPlaces(config, runtime);

  const storeFor = (account: Account): SecretStore => {
    const { secretId, fields, oauthSecretId } = account;
    const oauth =
      oauthSecretId === undefined
        ? undefined
        : { secretId: oauthSecretId, versions: secrets.versions(oauthSecretId) };
    return openSecretStore(secrets.versions(secretId), { secretId, fields, oauth });
  };
  const users = createUserRegister(config, audit, storeFor);
  /** For attempts. `status` registers nothing, so that it can show both accounts of one user. */
  const registering = (account: Account): SecretStore => {
    const store = storeFor(account);
    return {
      ...store,
      readCurrent: async () => {
        const current = await store.readCurrent();
        await users.register(account, current.credentials.username);
        return current;
      },
    };
  };
  const { observe } = runtime;
  const common = { thingspace, receipts, audit, clock, processes, observe };
  const portsFor = (store: SecretStore): Ports => ({ store, ...common });
  const requestFor = (account: Account, ask: Ask): Request => ({
    account: account.name,
    secretId: account.secretId,
    store: config.store.type,
    force: false,
    impatient: false,
    policy: account.policy ?? config.policy,
    timing,
    ...ask,
  });

  return {
    config,
    accounts: async () => {
      const accounts = [...config.accounts, ...(await discovered(config, secrets))];
      const { policy } = config;
      if (runtime.auditAccess !== 'read')
        await observed(runtime, '*', recordFacts(audit, { accounts, policy }));
      return accounts;
    },
    attempt: (account, ask, interrupt) =>
      recordedAttempt(portsFor(registering(account)), requestFor(account, ask), interrupt),
    status: (account) =>
      readStatus(
        portsFor(storeFor(account)),
        requestFor(account, { purpose: 'check', trigger: { kind: 'manual' } }),
      ),
    storeClock: async ({ secretId }) => {
      if (secrets.files) return secrets.files.probe();
      const current = await secrets.versions(secretId).read({ stage: 'AWSCURRENT' });
      return current?.storeNowMs ?? clock.nowMs();
    },
    audit,
    clock,
    observe,
    files: secrets.files,
    close: async () => {
      thingspace.close();
      secrets.close();
      closeReceipts();
      await audit.close();
    },
  };
}

/** Waits for a record. The observer gets a failure, which delays nothing. */
const observed = (
  { observe }: Pick<Ports, 'observe'>,
  account: string,
  writing: Promise<void>,
): Promise<void> =>
  writing.catch((error: unknown) => {
    if (!(error instanceof Failure)) throw error;
    observe({ event: 'audit.failed', account, detail: error.message });
  });

/** `rotate`, and a record of the reason why it failed, where the attempt wrote none. */
async function recordedAttempt(
  ports: Ports,
  request: Request,
  interrupt: AbortSignal,
): Promise<Result> {
  const { audit } = ports;
  const reasons = new Set<Reason | undefined>();
  const append = async (events: readonly AuditEvent[]): Promise<void> => {
    await audit.append(events);
    for (const { reason } of events) reasons.add(reason);
  };
  const result = await rotate({ ...ports, audit: { ...audit, append } }, request, interrupt);
  const failed = failedAttempt(result, request);
  if (failed && !reasons.has(failed.reason))
    await observed(ports, request.account, audit.append([failed]));
  return result;
}

/** What the log has to say about an attempt that failed; `null` for a test, and for success. */
function failedAttempt(
  { account, secretId, certainty, reason, detail, rotationId, ageDays }: Result,
  { purpose, trigger, policy: { maxAgeDays } }: Request,
): AuditEvent | null {
  if (reason === undefined || purpose === 'check') return null;
  const about = { account, secretId, certainty, reason, detail, rotationId, trigger };
  const ages = { ageDaysBefore: ageDays, policyMaxAgeDays: maxAgeDays };
  return { code: 'attempt.failed', status: 'failure', ...about, ...ages };
}

/**
 * Which account has which ThingSpace user. Two accounts with one user would make each other's
 * password invalid, so the second one is refused where its secret is read: before any login. What
 * another process knows is in the audit log.
 */
function createUserRegister(
  { accounts }: Config,
  audit: Pick<AuditWriter, 'rotationsOfUser'>,
  storeFor: (account: Account) => SecretStore,
) {
  const userOf = new Map<string, string>();
  const accountOf = new Map<string, string>();
  const refuse = (one: string, other: string): never => {
    throw new Failure('secret-invalid', describeSharedUser([one, other]), { cause: 'shared-user' });
  };
  return {
    /** Throws `secret-invalid` when another account has this user. */
    async register({ name, secretId }: Account, username: string): Promise<void> {
      const other = accountOf.get(username) ?? name;
      if (other !== name) refuse(other, name);
      for (const [rotated, last] of audit.rotationsOfUser(username)) {
        const account = accounts.find((one) => one.name === rotated);
        if (!account || rotated === name || last.secretId === secretId) continue;
        // The log names the user of that time; the secret has the one of today.
        const today = await storeFor(account)
          .readCurrent()
          .catch(() => null);
        if (today?.credentials.username === username) refuse(rotated, name);
      }
      const before = userOf.get(name);
      if (before !== undefined && before !== username) accountOf.delete(before);
      userOf.set(name, username);
      accountOf.set(username, name);
    },
  };
}

type Secrets = {
  versions(secretId: string): VersionStore;
  discover: SecretsManager['discover'] | null;
  files: FileStore | null;
  close(): void;
};

async function openSecrets({ store, thingspace }: Config, clock: Clock): Promise<Secrets> {
  if (store.type === 'file') {
    const { openFileStore } = await import('./stores/file-store.ts');
    const files = await openFileStore({
      directory: store.directory,
      identity: await readIdentity(store.identityFile, clock),
      clock,
    });
    const { versions, close } = files;
    return { versions, discover: null, files, close: () => void close() };
  }
  const { openSecretsManager } = await import('./stores/secrets-manager.ts');
  const manager = openSecretsManager({
    clock,
    requestTimeoutMs: thingspace.requestTimeoutMs,
    region: store.region,
  });
  return {
    versions: manager.versions,
    discover: manager.discover,
    files: null,
    close: manager.close,
  };
}

/** The receipts, and what ends the connections to their bucket. */
async function openReceiptPlaces(
  config: Config,
  { writeLine, clock }: Runtime,
): Promise<{ receipts: Receipts; close: () => void }> {
  const { recipients, directory, identityFile, s3 } = config.receipts;
  const identity = identityFile === undefined ? undefined : await readIdentity(identityFile, clock);
  const objects = s3 && (await openBucket(config, 'receipts', s3, clock));
  const receipts = openReceipts({ recipients, directory, objects, identity, writeLine });
  return { receipts, close: () => objects?.close() };
}

async function readIdentity(path: string, clock: Clock): Promise<Secret> {
  const { readIdentityFile } = await import('./stores/age-key.ts');
  const onDisk = { reason: 'store-unavailable', subject: path, path } as const;
  return answerIn(clock, onDisk, readIdentityFile(path));
}

/**
 * The secrets with the tag that the configuration does not name already; a discovered account has
 * its secret's name.
 */
async function discovered(config: Config, { discover }: Secrets): Promise<Account[]> {
  if (config.discover === undefined || discover === null) return [];
  const known = new Set(config.accounts.flatMap(({ name, secretId }) => [name, secretId]));
  const found = await discover(config.discover.tag);
  return found
    .filter(({ name, secretId }) => !known.has(name) && !known.has(secretId))
    .map(({ name, secretId }) => ({ name, secretId, enabled: true }));
}

/**
 * The audit log for writing: in files, or, where there is no disk to keep them, in the objects of
 * a bucket. Throws `audit-unavailable`.
 */
export async function openAuditWriter(
  config: Config,
  runtime: Pick<Runtime, 'clock' | 'context' | 'writeLine' | 'observe'>,
  processes: ProcessIdentity,
): Promise<AuditWriter> {
  const { audit, policy } = config;
  const { clock } = runtime;
  const { predecessor } = audit;
  const signer = await openSigner(config, clock);
  const common = {
    signer,
    clock,
    origin: audit.origin ?? signer.name,
    context: {
      ...runtime.context,
      policy: { maxAgeDays: policy.maxAgeDays, warnAgeDays: policy.rotateAfterDays },
    },
    fallback: runtime.writeLine,
    predecessor: predecessor === undefined ? undefined : () => readPredecessor(predecessor, clock),
    witnesses: await openWitnesses(config),
    onCosigning: ({ event, witness, detail }: CosigningEvent) =>
      runtime.observe({ event, account: '*', witness, detail }),
  };
  if (audit.s3 === undefined) {
    const { openFileSegments } = await import('./audit/file-segments.ts');
    const { directory } = audit;
    await refuseLostLog(directory, clock);
    const segments = await openFileSegments({ directory, processes, clock });
    await timelyLog(directory, clock, markFolder(directory));
    return openAuditLog({ ...common, segments });
  }
  const { openObjectSegments } = await import('./audit/object-segments.ts');
  const objects = await openBucket(config, 'audit log', audit.s3, clock);
  return openAuditLog({ ...common, segments: openObjectSegments(objects) });
}

/** Throws `audit-unavailable` when the disk of the log does not answer. */
const timelyLog = <T>(path: string, clock: Clock, working: Promise<T>): Promise<T> =>
  answerIn(clock, { reason: 'audit-unavailable', subject: `audit log ${path}`, path }, working);

const readTimely = (path: string, clock: Clock): Promise<string> =>
  answerIn(clock, { reason: 'audit-unavailable', subject: path, path }, readFile(path, 'utf8'));

const refuseLostLog = (directory: string, clock: Clock): Promise<void> =>
  timelyLog(directory, clock, refuseLost(directory, 'audit-unavailable', 'audit log: '));

async function openAudit(
  config: Config,
  runtime: Runtime,
  processes: ProcessIdentity,
): Promise<AuditWriter> {
  const { auditAccess, clock, observe } = runtime;
  const openReader = async () => openAuditReader(await openAuditSource(config, clock));
  if (auditAccess === 'read') return openReader();
  try {
    return await openAuditWriter(config, runtime, processes);
  } catch (error) {
    if (!(error instanceof Failure) || auditAccess !== 'write-if-possible') throw error;
    observe({ event: 'audit.failed', account: '*', detail: error.message });
    return openReader();
  }
}

/** Throws a UsageError, `audit-unavailable`. */
async function readPredecessor(file: string, clock: Clock): Promise<Checkpoint> {
  let checkpoint: Checkpoint | null = null;
  try {
    checkpoint = parseCheckpoint(await readTimely(file, clock));
  } catch (error) {
    if (error instanceof Failure) throw error;
    throw new UsageError(`audit.predecessor ${file}: ${osErrorText(error)}.`);
  }
  if (checkpoint) return checkpoint;
  throw new UsageError(`audit.predecessor ${file}: the file is not a checkpoint.`);
}

/** The witnesses of the audit log. Contacts none of them. Throws a UsageError. */
export async function openWitnesses({ audit }: Config): Promise<WitnessClient[]> {
  if (audit.witnesses.length === 0) return [];
  const { openWitnessClient } = await import('./audit/witness-client.ts');
  return audit.witnesses.map((witness, index) => {
    try {
      return openWitnessClient(witness);
    } catch (error) {
      throw new UsageError(`audit.witnesses[${index}].key: ${(error as Error).message}.`);
    }
  });
}

async function openBucket(
  config: Config,
  subject: string,
  bucket: NonNullable<Config['audit']['s3']>,
  clock: Clock,
) {
  const { openS3Objects } = await import('./aws/s3-objects.ts');
  const { requestTimeoutMs } = config.thingspace;
  return openS3Objects({ subject, clock, requestTimeoutMs, ...regionOf(config), ...bucket });
}

/**
 * The audit log for reading: the folder or the bucket. Needs neither the signing key nor the store.
 */
export async function openAuditSource(config: Config, clock: Clock): Promise<AuditSource> {
  const { audit } = config;
  if (audit.s3 === undefined) {
    const { openFileSource } = await import('./audit/file-segments.ts');
    const source = openFileSource(audit.directory, clock);
    // What needs no audit log can still be read.
    const segments = async () => {
      await refuseLostLog(audit.directory, clock);
      return source.segments();
    };
    return { ...source, segments };
  }
  const { openObjectSource } = await import('./audit/object-segments.ts');
  return openObjectSource(await openBucket(config, 'audit log', audit.s3, clock));
}

/**
 * The public keys that may have signed the audit log: that of the key in KMS or in a secret, else
 * the file beside the signing key, else the one computed from the signing key. Throws a UsageError.
 */
export async function openVerifiers(config: Config, clock: Clock): Promise<Verifier[]> {
  const { kmsKeyId, signingKeySecretId, signingKeyFile } = config.audit;
  if (kmsKeyId !== undefined || signingKeySecretId !== undefined)
    return [parseVerifierKey((await openSigner(config, clock)).verifierKey)];
  try {
    return [parseVerifierKey(await readTimely(`${signingKeyFile}.pub`, clock))];
  } catch (error) {
    // The disk does not answer, which is not the same as a key that is missing.
    if (error instanceof Failure) throw error;
    try {
      const { verifierKey } = openSigningKey(await readTimely(signingKeyFile, clock));
      return [parseVerifierKey(verifierKey)];
    } catch {
      throw new UsageError(
        `no key to verify with: neither ${signingKeyFile}.pub nor ${signingKeyFile} can be ` +
          `read; give one with --key`,
      );
    }
  }
}

/**
 * What signs the audit log: a key file, a key in KMS, or one that is kept as a secret. Throws
 * `audit-unavailable`, and as the store does.
 */
export async function openSigner(config: Config, clock: Clock): Promise<Signer> {
  const { audit, thingspace } = config;
  if (audit.kmsKeyId !== undefined) {
    const { openKmsSigner } = await import('./aws/kms-signer.ts');
    const aws = { clock, requestTimeoutMs: thingspace.requestTimeoutMs, ...regionOf(config) };
    return openKmsSigner({
      ...aws,
      keyId: audit.kmsKeyId,
      name: audit.origin ?? 'thingspace-rotator',
    });
  }
  if (audit.signingKeySecretId === undefined) return signerFrom(audit.signingKeyFile, clock);
  const { signingKeySecretId } = audit;
  const secrets = await openSecrets(config, clock);
  try {
    return await parseSecret(
      secrets.versions(signingKeySecretId),
      `secret ${signingKeySecretId}`,
      openSigningKey,
    );
  } finally {
    secrets.close();
  }
}

const regionOf = ({ store }: Config): { region?: string } =>
  store.type === 'secrets-manager' && store.region !== undefined ? { region: store.region } : {};

async function signerFrom(file: string, clock: Clock): Promise<Signer> {
  try {
    return openSigningKey(await readTimely(file, clock));
  } catch (error) {
    if (error instanceof Failure) throw error;
    throw new Failure(
      'audit-unavailable',
      `audit.signingKeyFile ${file}: ` +
        `${errnoOf(error) || 'not a signing key (PRIVATE+KEY+…); init writes one'}`,
    );
  }
}
