// A world for the loop: one account's secret, its user at Verizon, receipts, the audit log, and
// time. Plain data and what may happen to it; who acts, and what goes wrong, is in world-run.ts.
// The secret is the model of Secrets Manager (test/fakes), to which the store contract applies.
// Every secret value in it carries the mark §, so that one that leaks is seen.

import type {
  AuditEvent,
  LastRotation,
  LastSuspension,
  OpenIntent,
} from '../../src/rotation/event.ts';
import { type AttemptRecord, parseRecord } from '../../src/rotation/record.ts';
import { openSecretStore, recordToken } from '../../src/stores/secret-store.ts';
import type { SecretState, Service, Value, Version } from '../fakes/secrets-manager-service.ts';
import { addVersion, changeStages, moveStage } from '../fakes/secrets-manager-service.ts';

export type Label = 'AWSCURRENT' | 'AWSPENDING' | 'AWSPREVIOUS' | 'ROTATION' | 'ROTATION_ANSWER';

/** A login that Verizon accepted. */
export type OpenSession = { readonly token: string; readonly order: number };

/**
 * A reset on its way. `order` numbers are the world's steps, so that before and after have a
 * meaning without a clock.
 */
export type Reset = {
  readonly rotationId: string;
  readonly process: string;
  readonly attempt: number;
  readonly sentAtMs: number;
  readonly sentOrder: number;
  readonly loginOrder: number;
  /** Of the order that asked for it. */
  readonly keyDigest?: string | undefined;
  /** How many new versions the secret took when it was sent. */
  readonly room: number;
  /** What Verizon did with it; `in-flight` until it commits or drops it. */
  fate: 'in-flight' | 'done' | 'dropped';
  endedOrder: number;
  /** What its sender learned. */
  response: 'nothing' | 'answered' | 'refused';
};

/** A new password whose bytes have reached a process's memory. */
export type Answer = {
  readonly rotationId: string;
  readonly password: string;
  readonly process: string;
  readonly atMs: number;
  /** The store was asked to keep it. */
  isOffered: boolean;
  /** How far its receipt has come. */
  receipt: 'none' | 'begun' | 'failed' | 'written';
  /** Its owner was killed before the attempt ended. */
  ownerDied: boolean;
  /** It was in the store, and a restored backup does not have it. */
  isForgotten: boolean;
};

/** A move of AWSCURRENT by a process; `was` is where the label sat. */
export type Promotion = {
  readonly process: string;
  readonly attempt: number;
  readonly order: number;
  readonly atMs: number;
  readonly was: string;
  readonly to: string;
  /** The passwords of both, and the rest of both documents: versions may be forgotten. */
  readonly wasPassword: string;
  readonly password: string;
  readonly isEditKept: boolean;
};

/** A write that is done after its caller has timed out. */
export type Commit = {
  readonly atMs: number;
  readonly what: string;
  readonly apply: (world: World) => void;
};

/** An audit record and when it was appended: on the world's clock, and after which step. */
export type Audited = AuditEvent & { readonly atMs: number; readonly order: number };

export type World = {
  /**
   * Milliseconds since the world began: everybody's monotonic clock, and the store's wall clock.
   */
  nowMs: number;
  /** Steps so far. */
  order: number;
  /** How many names have been given. */
  names: number;
  secret: SecretState;
  /** A copy of the file store that somebody made. */
  backup: SecretState | null;
  /** Until then the store denies every write, or throttles every call. */
  deniedUntilMs: number;
  throttledUntilMs: number;
  /** Until then the audit log cannot be written. */
  auditDownUntilMs: number;
  /** The password that lives at Verizon, and since when. */
  live: string;
  liveSinceMs: number;
  /** Consecutive failed logins since the last accepted one: ours, and those of other programs. */
  strikes: number;
  foreignStrikes: number;
  /** Ours that a restored backup does not count. */
  forgottenStrikes: number;
  sessions: OpenSession[];
  resets: Reset[];
  receipts: Map<string, string>;
  audit: Audited[];
  answers: Answer[];
  promotions: Promotion[];
  commits: Commit[];
  /** Passwords whose login was accepted, and this program received the answer. */
  proven: Set<string>;
  /** Valid passwords that ThingSpace refused all the same, as it does for a locked user. */
  refused: Set<string>;
  /** Passwords that a person stored. */
  byHand: Set<string>;
};

/** The store's clock when the world begins. */
export const beginsAtMs = 1_800_000_000_000;
export const dayMs = 86_400_000;
export const account = 'fleet-east';
export const secretId = 'secret';

/** Ids are as long as Secrets Manager asks for, and short where people read them. */
export const idOf = (name: string): string => name.padEnd(32, '-');
export const shortId = (id: string): string =>
  /^[0-9a-f]{64}$/.test(id) ? id.slice(0, 8) : id.replace(/-+$/, '');

const document = (password: string, note: string): Value => ({
  SecretString: JSON.stringify({
    username: 'UWSFLEET',
    password,
    clientId: 'client',
    clientSecret: '§client',
    note,
  }),
});

/** An account whose password is 61 days old and was rotated by hand. */
export function createWorld(): World {
  const createdMs = beginsAtMs - 61 * dayMs;
  const first: Version = {
    id: idOf('v0'),
    createdMs,
    value: document('§p0', 'n0'),
    stages: ['AWSCURRENT'],
    accessedMs: null,
  };
  const unset = { description: null, kmsKeyId: null, deletedMs: null, tags: null, policy: null };
  const times = { createdMs, changedMs: createdMs, accessedMs: null };
  const arn = `arn:aws:secretsmanager:us-east-1:111111111111:secret:${secretId}-aaaaaa`;
  const versions = { versions: [first], stageChanges: [], rotation: null };
  return {
    nowMs: 0,
    order: 0,
    names: 0,
    secret: { arn, name: secretId, ...times, ...unset, ...versions },
    backup: null,
    deniedUntilMs: 0,
    throttledUntilMs: 0,
    auditDownUntilMs: 0,
    live: '§p0',
    liveSinceMs: -61 * dayMs,
    strikes: 0,
    foreignStrikes: 0,
    forgottenStrikes: 0,
    sessions: [],
    resets: [],
    receipts: new Map(),
    audit: [],
    answers: [],
    promotions: [],
    commits: [],
    proven: new Set(),
    refused: new Set(),
    byHand: new Set(['§p0']),
  };
}

/** Versions never change, so the copy shares their values. */
export const copySecret = (secret: SecretState): SecretState => ({
  ...secret,
  versions: secret.versions.map((version) => ({ ...version, stages: [...version.stages] })),
});

/** An independent world with the same past. */
export function copyWorld(world: World): World {
  return {
    ...world,
    secret: copySecret(world.secret),
    sessions: [...world.sessions],
    resets: world.resets.map((reset) => ({ ...reset })),
    receipts: new Map(world.receipts),
    audit: [...world.audit],
    answers: world.answers.map((answer) => ({ ...answer })),
    promotions: [...world.promotions],
    commits: [...world.commits],
    proven: new Set(world.proven),
    refused: new Set(world.refused),
    byHand: new Set(world.byHand),
  };
}

export const nameOf = (world: World, kind: string): string => {
  world.names += 1;
  return `${kind}${world.names}`;
};

// The store.

/** How old an outdated read may be, and an outdated list; milliseconds. */
export const staleForMs = 30_000;
const listStaleForMs = 60_000;
const labels = ['AWSCURRENT', 'AWSPENDING', 'AWSPREVIOUS', 'ROTATION', 'ROTATION_ANSWER'];

/** The service as it answers now, or as it answered some time ago where `isStale`. */
export function serviceOf(world: World, isStale = false): Service {
  const stale = isStale
    ? { stale: { stages: labels, ms: staleForMs }, listsStale: listStaleForMs }
    : {};
  return {
    secrets: new Map([[secretId, world.secret]]),
    region: 'us-east-1',
    accountId: '111111111111',
    nowMs: () => beginsAtMs + world.nowMs,
    quirks: { limitsYoung: true, ...stale },
  };
}

/** Whether a label was elsewhere so short a time ago that a read may be outdated. */
export const mayBeStale = ({ secret, nowMs }: World): boolean =>
  (secret.stageChanges.at(-1)?.atMs ?? 0) > beginsAtMs + nowMs - staleForMs;

type Content = {
  readonly password: string | null;
  readonly note: string;
  readonly record: AttemptRecord | null;
  readonly answer: string | null;
};

/** Values never change, and copies of a world share them. */
const contents = new WeakMap<object, Content>();

function contentOf(value: Value | null): Content {
  if (value === null || !('SecretString' in value))
    return { password: null, note: '', record: null, answer: null };
  const known = contents.get(value);
  if (known) return known;
  const { format, password = null, note = '', bytes = '' } = JSON.parse(value.SecretString);
  const isRecord = String(format).startsWith('thingspace-rotator/attempt/');
  const isAnswer = String(format).startsWith('thingspace-rotator/answer/');
  const content = {
    password,
    note,
    record: isRecord ? parseRecord(value.SecretString) : null,
    answer: isAnswer ? Buffer.from(bytes, 'base64').toString() : null,
  };
  contents.set(value, content);
  return content;
}

export const versionOf = ({ secret }: World, id: string | undefined): Version | undefined =>
  id === undefined ? undefined : secret.versions.find((version) => version.id === id);
export const labelled = ({ secret }: World, label: Label): Version | undefined =>
  secret.versions.find(({ stages }) => stages.includes(label));
export const passwordOf = (world: World, id: string | undefined): string | null =>
  contentOf(versionOf(world, id)?.value ?? null).password;

/** The version under AWSCURRENT. */
export function currentOf(world: World): {
  readonly id: string;
  readonly createdMs: number;
  readonly password: string;
  readonly note: string;
} {
  const version = labelled(world, 'AWSCURRENT');
  const { password, note } = contentOf(version?.value ?? null);
  if (!version || password === null) throw new Error('bug: a world without AWSCURRENT');
  return { id: version.id, createdMs: version.createdMs, password, note };
}

/**
 * How old the password under AWSCURRENT is by the versions since another one, and no older than at
 * Verizon; milliseconds.
 */
export function currentAgeMs(world: World): number {
  const { password, createdMs } = currentOf(world);
  let sinceMs = createdMs;
  for (const version of [...world.secret.versions].sort((a, b) => b.createdMs - a.createdMs)) {
    const older = contentOf(version.value).password;
    if (version.createdMs > createdMs || older === null) continue;
    if (older !== password) break;
    sinceMs = Math.min(sinceMs, version.createdMs);
  }
  return world.nowMs - Math.max(sinceMs - beginsAtMs, world.liveSinceMs);
}

/** Every password that some version still holds. */
export const passwordsIn = ({ secret }: World): (string | null)[] =>
  secret.versions.map(({ value }) => contentOf(value).password);
/** The responses that are kept in the secret. */
export const answersIn = ({ secret }: World): string[] =>
  secret.versions.flatMap(({ value }) => contentOf(value).answer ?? []);

const tokens = new Map<number, string>();
/** The version id of an attempt record. */
export function tokenOf({ secret }: World, sequence: number): string {
  const token = tokens.get(sequence) ?? recordToken(secret.arn, sequence);
  tokens.set(sequence, token);
  return token;
}

export const recordIn = (value: Value | null): AttemptRecord | null => contentOf(value).record;
export const recordAt = (world: World, sequence: number): AttemptRecord | null =>
  contentOf(versionOf(world, tokenOf(world, sequence))?.value ?? null).record;

/** The record of the highest sequence, whatever the label says: what a judge goes by. */
export function newestRecord(world: World): AttemptRecord | null {
  let newest = contentOf(labelled(world, 'ROTATION')?.value ?? null).record;
  if (!newest) return null;
  for (;;) {
    const next = recordAt(world, newest.sequence + 1);
    if (!next) return newest;
    newest = next;
  }
}

const recoveryIds = new Map<string, string>();
const { recoveryId } = openSecretStore({} as Parameters<typeof openSecretStore>[0], { secretId });
/** The version id under which a recovery writes the password of a rotation. */
export function recoveryIdOf(rotationId: string, replaced: string): string {
  const key = `${rotationId} ${replaced}`;
  const id = recoveryIds.get(key) ?? recoveryId(rotationId, replaced);
  recoveryIds.set(key, id);
  return id;
}

/** Notes who moved AWSCURRENT, from where and to where, if `move` moves it. */
export function asPromotion<T>(
  world: World,
  by: { readonly process: string; readonly attempt: number },
  move: () => T,
): T {
  const was = currentOf(world);
  const moved = move();
  const now = currentOf(world);
  if (now.id !== was.id)
    world.promotions.push({
      ...by,
      order: world.order,
      atMs: world.nowMs,
      was: was.id,
      to: now.id,
      wasPassword: was.password,
      password: now.password,
      isEditKept: was.note === now.note,
    });
  return moved;
}

export function moveLabel(world: World, label: Label, to: string | null): void {
  const { secret } = world;
  const target = versionOf(world, to ?? undefined) ?? null;
  changeStages(serviceOf(world), secret, () => moveStage(secret, label, target));
}

/** A person stores a document. */
export function putByHand(world: World, password: string, note: string): void {
  world.byHand.add(password);
  storeVersion(world, idOf(nameOf(world, 'hand')), password, 'AWSCURRENT', note);
}

export function storeVersion(
  world: World,
  id: string,
  password: string,
  label: Label,
  note = currentOf(world).note,
): void {
  if (roomIn(world) < 1) return;
  addVersion(serviceOf(world), world.secret, id, document(password, note), [label]);
}

/** How many more versions the secret takes; about 100 can be younger than a day. */
export const roomIn = ({ secret, nowMs }: World): number =>
  100 - secret.versions.filter(({ createdMs }) => beginsAtMs + nowMs - createdMs < dayMs).length;

/** Secrets Manager begins a rotation: an empty version under AWSPENDING; null where it refuses. */
export function beginNatively(world: World): string | null {
  const pending = labelled(world, 'AWSPENDING');
  // "A previous rotation isn't complete. That rotation will be reattempted."
  if (pending && !pending.stages.includes('AWSCURRENT')) return pending.id;
  if (roomIn(world) < 1) return null;
  const token = idOf(nameOf(world, 'native'));
  addVersion(serviceOf(world), world.secret, token, null, ['AWSPENDING']);
  return token;
}

// Verizon.

/** Verizon locks a user after so many consecutive failed logins. */
const isLocked = ({ strikes, foreignStrikes }: World): boolean => strikes + foreignStrikes >= 5;

export function refuse(world: World, password: string): null {
  world.strikes += 1;
  if (password === world.live) world.refused.add(password);
  return null;
}

/** No failed login counts any more. */
export function unlock(world: World): void {
  world.strikes = 0;
  world.foreignStrikes = 0;
  world.forgottenStrikes = 0;
}

export function logIn(world: World, password: string, token: string): OpenSession | null {
  if (password !== world.live || isLocked(world)) return refuse(world, password);
  unlock(world);
  const session = { token, order: world.order };
  world.sessions.push(session);
  return session;
}

/** Verizon changes the password; `endsSessions` is one of the things nobody has published. */
export function applyReset(world: World, sentOrder: number, endsSessions: boolean): string {
  const { rotationId } = resetAt(world, sentOrder);
  const isRepeated = world.resets.some(
    (one) => one.rotationId === rotationId && one.fate === 'done',
  );
  setPassword(world, `§p-${shortId(rotationId)}${isRepeated ? '-again' : ''}`);
  if (endsSessions) world.sessions = [];
  endReset(world, sentOrder, 'done');
  return world.live;
}

export function setPassword(world: World, password: string): void {
  world.live = password;
  world.liveSinceMs = world.nowMs;
}

export function resetAt(world: World, sentOrder: number): Reset {
  const reset = world.resets.find((one) => one.sentOrder === sentOrder);
  if (!reset) throw new Error('bug: no such reset');
  return reset;
}

export function endReset(world: World, sentOrder: number, fate: 'done' | 'dropped'): void {
  const reset = resetAt(world, sentOrder);
  reset.fate = fate;
  reset.endedOrder = world.order;
}

// The audit log, as the writer of the program knows its end (src/audit/log-end.ts).

export function openIntents(world: World): OpenIntent[] {
  const open = new Map<string, OpenIntent>();
  for (const event of world.audit) {
    const { code, rotationId, atMs } = event;
    if (rotationId === undefined) continue;
    if (code === 'rotation.intended')
      open.set(rotationId, { rotationId, account, intendedAtMs: beginsAtMs + atMs });
    if (isOutcome(event)) open.delete(rotationId);
  }
  return [...open.values()];
}

export const isOutcome = ({ code }: AuditEvent): boolean =>
  code === 'rotation.outcome' || code === 'rotation.reconciled';

/** The newest rotation whose password became current, as the log has it. */
export function lastRotation(world: World): LastRotation | null {
  const at = world.audit.findLastIndex(({ code }) => code === 'secret.promoted');
  const event = world.audit[at];
  if (event?.rotationId === undefined || event.versionAfter === undefined) return null;
  const { rotationId, versionAfter: versionId, secretId: id, username, atMs } = event;
  const isVerified = world.audit
    .slice(at)
    .some(
      (one) =>
        one.code === 'credential.verified' &&
        one.status === 'success' &&
        one.rotationId === rotationId,
    );
  const about = { rotationId, versionId, secretId: id, username };
  return { ...about, atMs: beginsAtMs + atMs, isVerified };
}

/** The newest suspension that nobody has resumed, as the log has it. */
export function lastSuspension(world: World): LastSuspension | null {
  const event = world.audit.findLast(
    ({ code }) => code === 'account.stopped' || code === 'account.resumed',
  );
  if (event?.attemptRecord === undefined) return null;
  const { attemptRecord, secretId: id, atMs } = event;
  return { secretId: id, attemptRecord, atMs: beginsAtMs + atMs };
}

/** Lets time pass; what was still under way happens when its time comes. */
export function passTime(world: World, untilMs: number, afterEach: () => void): void {
  for (;;) {
    const due = world.commits
      .filter(({ atMs }) => atMs <= untilMs)
      .sort((a, b) => a.atMs - b.atMs)[0];
    if (!due) break;
    world.commits = world.commits.filter((commit) => commit !== due);
    world.nowMs = Math.max(world.nowMs, due.atMs);
    world.order += 1;
    due.apply(world);
    afterEach();
  }
  world.nowMs = Math.max(world.nowMs, untilMs);
}
