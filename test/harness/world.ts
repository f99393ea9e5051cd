// A world for the loop: one account's secret, its user at Verizon, receipts, the audit log, and
// time. Plain data and what may happen to it; who acts, and what goes wrong, is in world-run.ts.
// Every secret value in it carries the mark §, so that one that leaks is seen.

import { isDeepStrictEqual } from 'node:util';
import type { AuditEvent, LastRotation, OpenIntent } from '../../src/rotation/event.ts';
import type { AttemptRecord } from '../../src/rotation/record.ts';

export type Label = 'AWSCURRENT' | 'AWSPENDING' | 'AWSPREVIOUS' | 'ROTATION' | 'ROTATION_ANSWER';

/** A version of the secret: a value, or an attempt record. Never changes. */
export type Version = {
  readonly id: string;
  readonly createdAtMs: number;
  readonly value: { readonly password: string; readonly note: string } | null;
  readonly record: AttemptRecord | null;
  /** The bytes of a response that could not be read. */
  readonly answer?: string;
};

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
  readonly sentOrder: number;
  readonly loginOrder: number;
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
  /** How far its receipt has come. */
  receipt: 'none' | 'begun' | 'failed' | 'written';
  /** Its owner was killed before the attempt ended. */
  ownerDied: boolean;
};

/** A move of AWSCURRENT by a process; `was` is where the label sat. */
export type Promotion = {
  readonly process: string;
  readonly attempt: number;
  readonly order: number;
  readonly was: string;
  readonly to: string;
};

/** A write that is done after its caller has timed out. */
export type Commit = {
  readonly atMs: number;
  readonly what: string;
  readonly apply: (world: World) => void;
};

export type World = {
  /**
   * Milliseconds since the world began: everybody's monotonic clock, and the store's wall clock.
   */
  nowMs: number;
  /** Steps so far. */
  order: number;
  /** How many names have been given. */
  names: number;
  versions: Map<string, Version>;
  labels: Map<Label, string>;
  /** Where a label was before it last moved, for stale reads. */
  before: Map<Label, { readonly id: string | undefined; readonly untilMs: number }>;
  /** The password that lives at Verizon. */
  live: string;
  /** Consecutive failed logins since the last accepted one, ours and nobody else's. */
  strikes: number;
  sessions: OpenSession[];
  resets: Reset[];
  receipts: Map<string, string>;
  audit: AuditEvent[];
  answers: Answer[];
  promotions: Promotion[];
  commits: Commit[];
  /** Passwords that a person stored. */
  byHand: Set<string>;
};

/** The store's clock when the world begins. */
export const beginsAtMs = 1_800_000_000_000;
export const dayMs = 86_400_000;

/** An account whose password is 61 days old and was rotated by hand. */
export function createWorld(): World {
  return {
    nowMs: 0,
    order: 0,
    names: 0,
    versions: new Map([
      [
        'v0',
        {
          id: 'v0',
          createdAtMs: -61 * dayMs,
          value: { password: '§p0', note: 'n0' },
          record: null,
        },
      ],
    ]),
    labels: new Map([['AWSCURRENT', 'v0']]),
    before: new Map(),
    live: '§p0',
    strikes: 0,
    sessions: [],
    resets: [],
    receipts: new Map(),
    audit: [],
    answers: [],
    promotions: [],
    commits: [],
    byHand: new Set(['§p0']),
  };
}

/** An independent world with the same past. */
export function copyWorld(world: World): World {
  return {
    ...world,
    versions: new Map(world.versions),
    labels: new Map(world.labels),
    before: new Map(world.before),
    sessions: [...world.sessions],
    resets: world.resets.map((reset) => ({ ...reset })),
    receipts: new Map(world.receipts),
    audit: [...world.audit],
    answers: world.answers.map((answer) => ({ ...answer })),
    promotions: [...world.promotions],
    commits: [...world.commits],
    byHand: new Set(world.byHand),
  };
}

export const nameOf = (world: World, kind: string): string => {
  world.names += 1;
  return `${kind}${world.names}`;
};

// The store.

/** A stale read may show a label where it was, this long after it moved; milliseconds. */
const staleForMs = 30_000;

export function moveLabel(world: World, label: Label, id: string): void {
  const from = world.labels.get(label);
  if (from === id) return;
  world.before.set(label, { id: from, untilMs: world.nowMs + staleForMs });
  world.labels.set(label, id);
  if (label !== 'AWSCURRENT' || from === undefined) return;
  moveLabel(world, 'AWSPREVIOUS', from);
  if (world.labels.get('AWSPENDING') === from) world.labels.delete('AWSPENDING');
}

/** The version under a label; `stale` asks for where the label was before. */
export function labelled(world: World, label: Label, stale = false): Version | null {
  const before = world.before.get(label);
  const id = stale && before && before.untilMs > world.nowMs ? before.id : world.labels.get(label);
  return id === undefined ? null : (world.versions.get(id) ?? null);
}

export function isStale(world: World, label: Label): boolean {
  return (world.before.get(label)?.untilMs ?? 0) > world.nowMs;
}

export const currentOf = (world: World): Version & { value: NonNullable<Version['value']> } => {
  const version = labelled(world, 'AWSCURRENT');
  if (!version?.value) throw new Error('bug: a world without AWSCURRENT');
  return { ...version, value: version.value };
};

/**
 * Stores a version and moves a label to it; `taken` when the token holds another value. The same
 * value again moves nothing.
 */
export function putVersion(
  world: World,
  id: string,
  content: Pick<Version, 'value' | 'record' | 'answer'>,
  label: Label,
): 'written' | 'taken' {
  const there = world.versions.get(id);
  if (there)
    return isDeepStrictEqual(
      { value: there.value, record: there.record, answer: there.answer },
      { value: content.value, record: content.record, answer: content.answer },
    )
      ? 'written'
      : 'taken';
  world.versions.set(id, { id, createdAtMs: world.nowMs, ...content });
  moveLabel(world, label, id);
  return 'written';
}

export const recordToken = (sequence: number): string => `record-${sequence}`;
export const recoveryId = (rotationId: string, replaced: string): string =>
  `${rotationId}>${replaced}`;
export const answerId = (rotationId: string): string => `answer-${rotationId}`;

/** The record of the highest sequence, whatever the label says: what a judge goes by. */
export function newestRecord(world: World): AttemptRecord | null {
  const label = labelled(world, 'ROTATION')?.record ?? null;
  if (!label) return null;
  let newest = label;
  for (;;) {
    const next = world.versions.get(recordToken(newest.sequence + 1))?.record;
    if (!next) return newest;
    newest = next;
  }
}

// Verizon.

export function logIn(world: World, password: string, token: string): OpenSession | null {
  if (password !== world.live || world.strikes >= 5) {
    world.strikes += 1;
    return null;
  }
  world.strikes = 0;
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
  world.live = `§p-${rotationId}${isRepeated ? '-again' : ''}`;
  if (endsSessions) world.sessions = [];
  endReset(world, sentOrder, 'done');
  return world.live;
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

// The audit log.

export function openIntents(world: World, account: string): OpenIntent[] {
  const closed = new Set(world.audit.filter(isOutcome).map(({ rotationId }) => rotationId));
  const intents = world.audit.filter(
    ({ code, rotationId }) => code === 'rotation.intended' && !closed.has(rotationId),
  );
  return intents.map(({ rotationId }) => ({
    rotationId: rotationId ?? '',
    account,
    intendedAtMs: 0,
  }));
}

export const isOutcome = ({ code }: AuditEvent): boolean =>
  code === 'rotation.outcome' || code === 'rotation.reconciled';

/** The newest rotation whose password became current, as the log has it. */
export function lastRotation(world: World): LastRotation | null {
  const event = world.audit.findLast(({ code }) => code === 'secret.promoted');
  if (event?.rotationId === undefined || event.versionAfter === undefined) return null;
  const { rotationId, versionAfter: versionId, secretId } = event;
  return { rotationId, versionId, secretId, atMs: 0, isVerified: false };
}

// A person.

/** What an operator may do at any moment. */
export const handiwork = {
  /** Edits another key: a new version with the same password. */
  'operator edits a note': (world: World): void =>
    putByHand(world, currentOf(world).value.password),
  'operator stores a wrong password': (world: World): void =>
    putByHand(world, nameOf(world, '§wrong')),
  'operator moves AWSCURRENT back': (world: World): void => {
    const previous = labelled(world, 'AWSPREVIOUS');
    if (!previous?.value) return;
    moveLabel(world, 'AWSCURRENT', previous.id);
    world.byHand.add(previous.value.password);
  },
  /** Verizon support resets the password, and the operator stores it. */
  'operator stores the right password': (world: World): void => {
    world.strikes = 0;
    world.live = nameOf(world, '§support');
    world.sessions = [];
    putByHand(world, world.live);
  },
} as const;

export type Handiwork = keyof typeof handiwork;

function putByHand(world: World, password: string): void {
  world.byHand.add(password);
  putVersion(
    world,
    nameOf(world, 'hand'),
    { value: { password, note: nameOf(world, 'note') }, record: null },
    'AWSCURRENT',
  );
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
