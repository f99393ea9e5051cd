// The part of a world that can affect its future, as a short text. Two worlds with the same text
// have the same future, so only one of them is explored. The text omits what nothing reads again:
// older records (tokens are only requested from the labelled record upward), closed intents, and
// resets that are recorded or over.

import { createHash } from 'node:crypto';
import {
  answersIn,
  beginsAtMs,
  currentOf,
  isOutcome,
  labelled,
  lastRotation,
  lastSuspension,
  newestRecord,
  passwordOf,
  recordAt,
  recoveryIdOf,
  roomIn,
  staleForMs,
  tokenOf,
  versionOf,
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

function processKey(process: Process, world: World): string {
  const { name, alive, digest, calls, timers, pausedUntilMs, loginOrder, owner } = process;
  if (!alive) return `${name} ended`;
  const sessions = world.sessions.length;
  const unproven = world.resets
    .map(({ response, endedOrder }) =>
      response === 'nothing' && endedOrder >= loginOrder ? 'x' : '.',
    )
    .join('');
  const waits = timers.map(({ atMs, what }) => `${atMs}${what}`).join();
  const { wallOffsetMs, staleAtMs, interrupt, attempt } = process;
  const calling = calls.map(({ what, madeAtMs }) => `${what}${madeAtMs}`).join();
  return (
    `${name} ${digest} ${calling} ${waits} ${pausedUntilMs} ${owner?.id} ${wallOffsetMs} ` +
    `${staleAtMs} ${interrupt.signal.aborted} ${attempt.isDisturbed} ${attempt.isRestored} ` +
    `${unproven} ${sessions}`
  );
}

export const mayReadStale = ({ enabled }: Simulation['config']): boolean =>
  enabled?.has('stale') ?? true;

function worldKey(world: World, name: Name, stales: boolean): string {
  const passwordAt = (id: string | undefined): string => name(passwordOf(world, id) ?? '-');
  const parts: string[] = [];
  for (const label of ['AWSCURRENT', 'AWSPENDING', 'AWSPREVIOUS'] as const) {
    const id = labelled(world, label)?.id;
    parts.push(`${label}=${name(id ?? '')}:${passwordAt(id)}`);
  }
  if (stales) parts.push(staleKey(world, name));
  const current = currentOf(world);
  const same = world.secret.versions.filter(({ id }) => passwordOf(world, id) === current.password);
  const sinceMs = Math.min(...same.map(({ createdMs }) => createdMs)) - beginsAtMs;
  parts.push(
    `live=${name(world.live)} ${maturity(world, world.liveSinceMs)} since ` +
      `${maturity(world, current.createdMs - beginsAtMs)} ${maturity(world, sinceMs)}`,
  );
  parts.push(
    `hand=${world.byHand.has(current.password)}`,
    `strikes=${world.strikes} ${world.foreignStrikes} ${world.forgottenStrikes}`,
    `denied=${Math.max(0, world.deniedUntilMs - world.nowMs)}`,
    `throttled=${Math.max(0, world.throttledUntilMs - world.nowMs)}`,
    `room=${Math.max(0, 15 - roomIn(world))}`,
    `audit down=${Math.max(0, world.auditDownUntilMs - world.nowMs)}`,
    `backup=${name(world.backup?.versions.at(-1)?.id ?? '')}`,
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

/** Where the labels were, for as long as a read may be outdated. */
function staleKey(world: World, name: Name): string {
  const since = beginsAtMs + world.nowMs - staleForMs;
  const changes = world.secret.stageChanges.filter(({ atMs }) => atMs > since);
  return changes
    .map(({ atMs, before }) => {
      const labels = [...before].flatMap(([id, stages]) =>
        stages.length === 0 ? [] : [`${name(id)}:${stages}`],
      );
      return `${atMs - since} ${labels}`;
    })
    .join('|');
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
  const last = lastRotation(world);
  if (last !== null) {
    const ageMs = Math.min(world.nowMs + beginsAtMs - last.atMs, oldMs);
    parts.push(`last ${name(last.rotationId)} ${ageMs} ${last.isVerified}`);
  }
  const newest = newestRecord(world);
  const suspension = lastSuspension(world);
  if (suspension !== null) {
    const ageMs = Math.min(world.nowMs + beginsAtMs - suspension.atMs, oldMs);
    parts.push(`suspended ${suspension.attemptRecord - (newest?.sequence ?? 0)} ${ageMs}`);
  }
  if (!newest) return parts;
  const labelledAt = labelledSequence(world);
  const current = labelled(world, 'AWSCURRENT')?.id ?? '';
  const pending = labelled(world, 'AWSPENDING')?.id;
  const mayMatter = [current, pending, last?.rotationId, ...intents];
  const first = Math.max(1, labelledAt - (stales ? 1 : 0));
  for (let sequence = first; sequence <= newest.sequence; sequence += 1) {
    const version = versionOf(world, tokenOf(world, sequence));
    const record = recordAt(world, sequence);
    if (!version || !record) continue;
    const { open, history = [], holder: owner } = record;
    const ageOf = (sinceMs = 0): string => maturity(world, sinceMs - beginsAtMs);
    const openPart = open
      ? [
          ...[open.rotationId, open.basis, recoveryIdOf(open.rotationId, current)].map(
            (id) => `${name(id)}:${passwordAt(id)}`,
          ),
          Math.min(open.settleLeftMs, oldMs),
          ageOf(open.startedAtMs),
          open.verified,
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
          passwordAt(recoveryIdOf(rotationId, current)),
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
      `${Math.min(world.nowMs + beginsAtMs - version.createdMs, oldMs)}`;
    parts.push(
      `${sequence - labelledAt} ${record.phase} ${name(record.basis)} ${record.loginsSpent} ` +
        `${openPart} ${past.join('|')} ${planned} ${reason} ${ages}`,
    );
  }
  return parts;
}

function labelledSequence(world: World): number {
  const id = labelled(world, 'ROTATION')?.id;
  let sequence = newestRecord(world)?.sequence ?? 0;
  while (sequence > 0 && tokenOf(world, sequence) !== id) sequence -= 1;
  return sequence;
}

/**
 * Where the living password is besides the store, and who had it. In the store under a label it
 * stays until it is replaced.
 */
function answerParts(world: World, name: Name): string[] {
  const isStored = (['AWSCURRENT', 'AWSPENDING'] as const).some(
    (label) => passwordOf(world, labelled(world, label)?.id) === world.live,
  );
  if (isStored) return [];
  const parts = [
    `kept ${answersIn(world).map((answer) => answer.includes(world.live))}`,
    ...[...world.receipts].map(
      ([rotationId, body]) => `receipt ${name(rotationId)} ${body.includes(world.live)}`,
    ),
  ];
  const answer = world.answers.findLast(({ password }) => password === world.live);
  if (!answer) return parts;
  const said = world.audit
    .filter((event) => event.rotationId === answer.rotationId)
    .map(({ certainty }) => certainty);
  const isSaid = said.includes('in-doubt') || said.includes('lost');
  return [
    ...parts,
    `answer ${name(answer.rotationId)} ${answer.receipt} ${answer.ownerDied} ${isSaid}`,
    `offered ${answer.isOffered}`,
    `forgotten ${answer.isForgotten}`,
  ];
}
