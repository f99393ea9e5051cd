// The part of a world that can affect its future, as a short text. Two worlds with the same text
// have the same future, so only one of them is explored. The text omits what nothing reads again:
// older records (tokens are only requested from the labelled record upward), closed intents, and
// resets that are recorded or over.

import { createHash } from 'node:crypto';
import {
  answerId,
  beginsAtMs,
  isOutcome,
  labelled,
  lastRotation,
  newestRecord,
  recordToken,
  recoveryId,
  type World,
} from './world.ts';
import type { Process, Simulation } from './world-run.ts';

/**
 * Older than this is all the same: every lease and settle time is over, every label read fresh;
 * milliseconds.
 */
const oldMs = 300_000;
const due = 60 * 86_400_000;

type Name = (name: string) => string;

/**
 * Names in the order in which they appear: `rB7` of one world and `rA2` of another may be the same.
 */
function canonically(): Name {
  const names = new Map<string, string>();
  return (name) => {
    const known = names.get(name);
    if (known !== undefined) return known;
    names.set(name, `#${names.size}`);
    return `#${names.size - 1}`;
  };
}

/**
 * The only question ever asked about a password's age, since time between runs is minutes or more
 * than that.
 */
const maturity = (world: World, atMs: number): string =>
  world.nowMs - atMs >= due ? 'due' : 'young';

/** Between runs: no process lives. */
export function keyBetweenRuns(world: World, mayReadStale: boolean): string {
  return worldKey(world, canonically(), mayReadStale);
}

/** During runs: the responses that a process has received determine its position. */
export function keyWithin(simulation: Simulation): string {
  const { world, config, faultsLeft, switchesLeft, running, processes } = simulation;
  const now = `${world.nowMs} ${faultsLeft} ${switchesLeft} ${running?.name}`;
  const before = worldKey(world, (name) => name, mayReadStale(config));
  const within = processes.map((process) => processKey(process, world));
  const text = [now, before, ...within].join('|');
  return createHash('sha1').update(text).digest('base64');
}

function processKey(
  { name, alive, digest, calls, timers, pausedUntilMs, loginOrder, owner, wallOffsetMs }: Process,
  world: World,
): string {
  if (!alive) return `${name} ended`;
  const sessions = world.sessions.length;
  const unproven = world.resets
    .map(({ response, endedOrder }) =>
      response === 'nothing' && endedOrder >= loginOrder ? 'x' : '.',
    )
    .join('');
  const waits = timers.map(({ atMs }) => atMs).join();
  return (
    `${name} ${digest} ${calls.map(({ what }) => what).join()} ${waits} ${pausedUntilMs} ` +
    `${owner?.id} ${wallOffsetMs} ${unproven} ${sessions}`
  );
}

export const mayReadStale = ({ enabled }: Simulation['config']): boolean =>
  enabled?.has('stale') ?? true;

function worldKey(world: World, name: Name, stales: boolean): string {
  const passwordAt = (id: string | undefined): string => {
    const version = world.versions.get(id ?? '');
    return version?.value ? name(version.value.password) : '-';
  };
  const parts: string[] = [];
  for (const label of ['AWSCURRENT', 'AWSPENDING', 'AWSPREVIOUS'] as const) {
    const id = world.labels.get(label);
    const before = world.before.get(label);
    const stale =
      stales && before && before.untilMs > world.nowMs
        ? `<${name(before.id ?? '')}${before.untilMs - world.nowMs}`
        : '';
    parts.push(`${label}=${name(id ?? '')}:${passwordAt(id)}${stale}`);
  }
  const current = world.versions.get(world.labels.get('AWSCURRENT') ?? '');
  const same = [...world.versions.values()].filter(
    ({ value }) => value?.password === current?.value?.password,
  );
  const sinceMs = Math.min(...same.map(({ createdAtMs }) => createdAtMs));
  parts.push(
    `live=${name(world.live)} since ${maturity(world, current?.createdAtMs ?? 0)} ` +
      `${maturity(world, sinceMs)}`,
  );
  parts.push(
    `hand=${world.byHand.has(current?.value?.password ?? '')}`,
    `strikes=${world.strikes}`,
  );

  const closed = new Set(world.audit.filter(isOutcome).map(({ rotationId }) => rotationId));
  const intents = world.audit.filter(
    ({ code, rotationId }) => code === 'rotation.intended' && !closed.has(rotationId),
  );
  const open = new Set(intents.map(({ rotationId }) => rotationId ?? ''));
  parts.push(...recordParts(world, name, stales, open, passwordAt));
  for (const { rotationId } of intents) parts.push(`intent ${name(rotationId ?? '')}`);
  for (const reset of world.resets) {
    if (reset.fate === 'in-flight' || !closed.has(reset.rotationId))
      parts.push(`reset ${name(reset.rotationId)} ${reset.fate} ${reset.response}`);
    const said = world.audit
      .filter((event) => isOutcome(event) && event.rotationId === reset.rotationId)
      .map(({ certainty }) => certainty);
    if (reset.fate === 'in-flight') parts.push(said.join());
  }
  parts.push(...answerParts(world, name));
  for (const commit of world.commits)
    parts.push(`${commit.atMs - world.nowMs} ${commit.what.replace(/\S*\d\S*/g, name)}`);
  return parts.join(';');
}

/**
 * The labelled record and those above it. One that our own promotion has made history is no longer
 * asked how old it is.
 */
function recordParts(
  world: World,
  name: Name,
  stales: boolean,
  intents: ReadonlySet<string>,
  passwordAt: (id: string | undefined) => string,
): string[] {
  const parts: string[] = [];
  const last = lastRotation(world)?.rotationId;
  if (last !== undefined) parts.push(`last ${name(last)}`);
  const label = labelled(world, 'ROTATION')?.record;
  const newest = newestRecord(world);
  if (!label || !newest) return parts;
  const current = world.labels.get('AWSCURRENT');
  const before = stales ? world.before.get('ROTATION') : undefined;
  const isStale = before !== undefined && before.untilMs > world.nowMs;
  // AWSPENDING only ever moves to a rotation that is new; the others have no way back.
  const pendingBefore = stales ? world.before.get('AWSPENDING')?.id : undefined;
  const mayMatter = [current, world.labels.get('AWSPENDING'), pendingBefore, last, ...intents];
  if (isStale) parts.push(`stale ${before.id === undefined} ${before.untilMs - world.nowMs}`);
  for (
    let sequence = Math.max(1, label.sequence - (isStale ? 1 : 0));
    sequence <= newest.sequence;
    sequence += 1
  ) {
    const version = world.versions.get(recordToken(sequence));
    const record = version?.record;
    if (!version || !record) continue;
    const { open, history = [], holder: owner } = record;
    const ageOf = (sinceMs = 0): string => maturity(world, sinceMs - beginsAtMs);
    const openPart = open
      ? [
          ...[open.rotationId, open.basis, recoveryId(open.rotationId, current ?? '')].map(
            (id) => `${name(id)}:${passwordAt(id)}`,
          ),
          Math.min(open.settleLeftMs, oldMs),
          ageOf(open.startedAtMs),
          open.verified,
          world.versions.has(answerId(open.rotationId)),
          world.receipts.has(open.rotationId),
        ].join(' ')
      : '';
    const past = history
      .filter(({ as, rotationId }) => as === 'rotated' || mayMatter.includes(rotationId))
      .map(({ rotationId, as, versionId = '', replaced, sinceMs }) =>
        [
          name(rotationId),
          as,
          name(versionId),
          passwordAt(versionId),
          passwordAt(replaced),
          passwordAt(recoveryId(rotationId, current ?? '')),
          ageOf(sinceMs),
        ].join(' '),
      );
    const reason =
      record.phase === 'stopped' ? `${record.reason} ${passwordAt(record.refused)}` : '';
    const planned =
      record.phase === 'claimed' && intents.has(record.planned ?? '')
        ? name(record.planned ?? '')
        : '';
    const ages =
      `${name(owner.id)} ${record.leaseMs} ` +
      `${Math.min(world.nowMs - version.createdAtMs, oldMs)}`;
    parts.push(
      `${sequence - label.sequence} ${record.phase} ${name(record.basis)} ${record.loginsSpent} ` +
        `${openPart} ${past.join('|')} ${planned} ${reason} ${ages}`,
    );
  }
  return parts;
}

/**
 * Where the living password is besides the store, and who had it. In the store under a label it
 * stays until it is replaced.
 */
function answerParts(world: World, name: Name): string[] {
  const isStored = (['AWSCURRENT', 'AWSPENDING'] as const).some(
    (label) => labelled(world, label)?.value?.password === world.live,
  );
  if (isStored) return [];
  const parts = [...world.receipts].map(
    ([rotationId, body]) => `receipt ${name(rotationId)} ${body.includes(world.live)}`,
  );
  const answer = world.answers.findLast(({ password }) => password === world.live);
  if (!answer) return parts;
  const said = world.audit
    .filter((event) => event.rotationId === answer.rotationId)
    .map(({ certainty }) => certainty);
  const isSaid = said.includes('in-doubt') || said.includes('lost');
  return [
    ...parts,
    `answer ${name(answer.rotationId)} ${answer.receipt} ${answer.ownerDied} ${isSaid}`,
  ];
}
