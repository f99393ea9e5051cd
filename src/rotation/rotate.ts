// The one loop: effect → port → outcome → advance. The only file here that awaits. What runs side
// by side is written side by side; nothing is decided here but what must be decided at the very
// moment of sending.

import { historyIn, openIn, saidSinceMs } from './classify.ts';
import type { AuditEvent } from './event.ts';
import { Failure } from './failure.ts';
import { advance, begin, effectOf } from './machine.ts';
import { eventOf, finishedEvent } from './observe.ts';
import type { Clock, FoundRecord, Ports, SecretStore } from './ports.ts';
import { type AttemptRecord, formatRecord, type Owner } from './record.ts';
import {
  type Details,
  type Effect,
  type Evidence,
  neededForResetMs,
  type Outcome,
  type ReceiptState,
  type Request,
  type Result,
  type Tried,
} from './state.ts';
import { savingTimeMs } from './transitions/save.ts';

/** An outcome before the loop adds the time. */
type Performed = Outcome extends infer O
  ? O extends Outcome
    ? Omit<O, 'atMs' | 'atMonotonicMs' | 'remainingMs'>
    : never
  : never;
type Received = Extract<Performed, { of: 'reset' }>;
type Performing<Name extends Effect['effect']> = Extract<Effect, { effect: Name }>;

/**
 * How long the program waits for a receipt; it never delays the store (rule 4).
 * Milliseconds.
 */
const receiptPatienceMs = 2_000;

/**
 * What the loop keeps beside the state: the receipt, which is written while the password is stored.
 */
type Attempt = {
  readonly ports: Ports;
  readonly request: Request;
  readonly interrupt: AbortSignal;
  readonly owner: Owner;
  receipt: ReceiptState;
  receiptDone: Promise<void>;
};

/**
 * Runs one attempt to its end and says what it knows. Never throws for anything that happens
 * outside; what it throws is a bug. `interrupt` ends an attempt before its reset, and is ignored
 * from there until the new password is current.
 */
export async function rotate(
  given: Ports,
  request: Request,
  interrupt: AbortSignal,
): Promise<Result> {
  const ports = { ...given, observe: withoutThrowing(given.observe) };
  const { clock, processes } = ports;
  const owner = processes.begin();
  const receipts = { receipt: 'none' as const, receiptDone: Promise.resolve() };
  const attempt: Attempt = { ports, request, interrupt, owner, ...receipts };
  try {
    const rotationId = request.native?.rotationId ?? processes.rotationId();
    let state = begin(request, owner, clock.nowMs(), rotationId);
    for (let effect = effectOf(state); effect !== null; effect = effectOf(state)) {
      const performed = await perform(attempt, effect);
      const moment = { atMs: clock.nowMs(), atMonotonicMs: clock.monotonicMs() };
      const outcome = { ...performed, ...moment, remainingMs: clock.remainingMs() } as Outcome;
      const event = eventOf(state, outcome);
      if (event) ports.observe(event);
      state = advance(state, outcome);
    }
    if (state.at !== 'finished') throw new Error('bug: an attempt without an effect is finished');
    ports.observe(finishedEvent(state.result));
    return state.result;
  } finally {
    processes.end(owner);
  }
}

/** An observer must not be able to end an attempt that holds the only copy of a password. */
function withoutThrowing(observe: Ports['observe']): Ports['observe'] {
  return (event) => {
    try {
      observe(event);
    } catch {
      // The observer is the only place that this could be reported to.
    }
  };
}

/** A port's failure is an outcome; anything else is a bug and crashes. */
async function tried<T>(call: Promise<T>): Promise<Tried<T>> {
  try {
    return await call;
  } catch (error) {
    if (error instanceof Failure) return error;
    throw error;
  }
}

/** While the loop holds the only copy of a password nothing may crash it, not even a bug. */
async function triedWithoutThrowing<T>(call: () => Promise<T>): Promise<Tried<T>> {
  try {
    return await call();
  } catch (error) {
    if (error instanceof Failure) return error;
    const name = error instanceof Error ? error.name : 'error';
    return new Failure('store-unavailable', `an unexpected ${name} while saving`);
  }
}

/** A call that may never return, bounded so that the time for the outcome remains. */
async function bounded<T>({ ports }: Attempt, call: () => Promise<T>): Promise<Tried<T>> {
  const { clock } = ports;
  const remainingMs = clock.remainingMs();
  const running = triedWithoutThrowing(call);
  if (remainingMs === Number.POSITIVE_INFINITY) return running;
  const done = new AbortController();
  const limitMs = Math.max(0, savingTimeMs(remainingMs));
  const late = clock
    .sleep(limitMs, done.signal)
    .then(() => new Failure('store-unavailable', `no answer within ${Math.round(limitMs)} ms`));
  const first = await Promise.race([running, late]);
  done.abort();
  return first;
}

function perform(attempt: Attempt, effect: Effect): Promise<Performed> {
  const { ports } = attempt;
  switch (effect.effect) {
    case 'survey':
      return performSurvey(attempt, effect);
    case 'examine':
      return tried(examine(ports, attempt.request, effect)).then((details) => ({
        of: 'examine',
        details,
      }));
    case 'claim':
      return performClaim(attempt, effect);
    case 'log-in':
      return performLogin(attempt, effect);
    case 'intend':
      return performIntend(ports, effect);
    case 'reset':
      return performReset(attempt, effect);
    case 'keep':
      return performKeep(attempt, effect);
    case 'store':
      return performStore(attempt, effect);
    case 'promote':
      return performPromote(attempt, effect);
    case 'verify':
      return performVerify(ports, effect);
    case 'end':
      return performEnd(attempt, effect);
  }
}

async function pause({ clock }: Ports, waitMs: number): Promise<void> {
  if (waitMs > 0) await clock.sleep(waitMs);
}

async function performSurvey(
  { ports, request, owner }: Attempt,
  { atLeast, waitMs }: Performing<'survey'>,
): Promise<Performed> {
  await pause(ports, waitMs);
  if (request.purpose === 'rotate') {
    ports.thingspace.connectAhead(); // For the API token.
    ports.thingspace.connectAhead(); // For the login: a connection takes two round trips.
  }
  const evidence = await tried(survey(ports, request, atLeast, owner));
  return { of: 'survey', evidence };
}

/** What every attempt, `status` and `check` read first, side by side. Throws a Failure. */
export async function survey(
  { store, audit, processes, clock }: Omit<Ports, 'thingspace' | 'receipts' | 'observe'>,
  { account, secretId }: Request,
  atLeast: number,
  owner: Owner | null = null,
): Promise<Evidence> {
  const reads = await Promise.all([
    tried(store.readCurrent()),
    tried(readRecordFrom(store, atLeast)),
    tried(store.readPending()),
    tried(audit.rotationsOf(account)),
  ]);
  // The current version first: without it, the others can only say the same thing less clearly.
  const current = answerOf(reads[0]);
  const record = answerOf(reads[1]);
  const pending = answerOf(reads[2]);
  const { open: openIntents, last, stored = null, suspension: found } = answerOf(reads[3]);
  const isOwn = owner !== null && record?.record.holder.id === owner.id;
  const liveness = record === null || isOwn ? 'gone' : processes.liveness(record.record.holder);
  const lastRotation = last?.secretId === secretId ? last : null;
  const suspension = found?.secretId === secretId ? found : null;
  const known = { openIntents, lastRotation, stored, suspension };
  return { atMs: clock.nowMs(), current, record, pending, liveness, ...known };
}

/** The answer, or the failure thrown. */
function answerOf<T>(read: Tried<T>): T {
  if (read instanceof Failure) throw read;
  return read;
}

/**
 * The record of `atLeast` or above. A read that does not show it yet is outdated, and nothing may
 * follow from it: the sequence is known to be taken.
 */
async function readRecordFrom(store: SecretStore, atLeast: number): Promise<FoundRecord | null> {
  const found = await store.readRecord(atLeast);
  if ((found?.record.sequence ?? 0) >= atLeast) return found;
  throw new Failure('busy', `the secret store does not return attempt record ${atLeast} yet`);
}

/** The answers to what a survey left open. Throws a Failure. */
export async function examine(
  { store, receipts, thingspace }: Pick<Ports, 'store' | 'receipts' | 'thingspace'>,
  request: Request,
  { evidence, questions }: Pick<Performing<'examine'>, 'evidence' | 'questions'>,
): Promise<Details> {
  const { current, record } = evidence;
  const { rotationId, restores, versionIds } = questions;
  const [recoveryId = null, restoreId = null] = [rotationId, restores].map((id) =>
    id === null ? null : store.recoveryId(id, current.versionId),
  );
  const wanted = [...versionIds, recoveryId, restoreId].filter((id) => id !== null);
  const given = request.receipt?.rotationId === rotationId ? request.receipt : undefined;
  const open = openIn(evidence);
  const [read, newest, receipt, answer, sinceMs] = await Promise.all([
    Promise.all(wanted.map(async (id) => [id, await store.readVersion(id)] as const)),
    store.readRecord((record?.record.sequence ?? 0) + 1),
    given ?? (open ? receipts.find(open.rotationId) : null),
    open ? store.readAnswer(open.rotationId) : null,
    sinceOf(store, evidence),
  ]);
  const isNewer = newest !== null && newest.record.sequence > (record?.record.sequence ?? 0);
  const bodies = [receipt?.body, answer?.body].filter(
    (body) => body !== null && body !== undefined,
  );
  const password = bodies
    .map((body) => thingspace.readNewPassword(body))
    .find((one) => one !== null);
  return {
    versions: new Map(read),
    newer: isNewer ? newest : null,
    recoveryId,
    restoreId,
    receipt,
    answer,
    password: password ?? null,
    sinceMs,
  };
}

/**
 * Since when the current password is valid, where nothing is open: from the record, else from the
 * versions.
 */
function sinceOf(store: SecretStore, evidence: Evidence): Promise<number | null> | number | null {
  if (openIn(evidence)) return null;
  const { current } = evidence;
  const last = historyIn(evidence).find(({ versionId }) => versionId === current.versionId);
  return last?.sinceMs ?? saidSinceMs(evidence) ?? store.passwordSince(current);
}

async function performClaim(
  { ports, interrupt }: Attempt,
  { record, current, needsRoom }: Performing<'claim'>,
): Promise<Performed> {
  const { store, thingspace, clock } = ports;
  const startedAtMonotonicMs = clock.monotonicMs();
  const [claim, token, room] = await Promise.all([
    claimTwice(ports, record),
    tried(thingspace.authorize(current.credentials).then(() => 'ready' as const)),
    needsRoom ? tried(checkRoom(store, clock)) : ('ready' as const),
  ]);
  return { of: 'claim', claim, token, room, interrupted: interrupt.aborted, startedAtMonotonicMs };
}

/**
 * A claim whose answer was lost is written once more, which changes nothing when it arrived
 * (promise 11).
 */
async function claimTwice(
  { store }: Ports,
  record: Performing<'claim'>['record'],
): Promise<Tried<'written' | 'taken'>> {
  const first = await tried(store.putRecord(record));
  const isTransient = first instanceof Failure && first.reason === 'store-unavailable';
  return isTransient ? tried(store.putRecord(record)) : first;
}

/**
 * Rule 3: the store refuses new versions when too many are young. Throws `store-full`, or as the
 * store does.
 */
async function checkRoom(store: SecretStore, clock: Clock): Promise<'ready'> {
  const freeAtMs = await store.roomAtMs(clock.nowMs());
  if (freeAtMs === null) return 'ready';
  const minutes = Math.max(1, Math.ceil((freeAtMs - clock.nowMs()) / 60_000));
  const detail = `the secret has too many versions of the last 24 hours; room in ${minutes} min`;
  throw new Failure('store-full', detail, { retryAtMs: freeAtMs });
}

async function performLogin(
  attempt: Attempt,
  { record, credentials, enterByMonotonicMs }: Performing<'log-in'>,
): Promise<Performed> {
  const { ports, interrupt } = attempt;
  let isLate = false;
  ports.thingspace.connectAhead(); // For the reset.
  const mayStillSend = (): string | null => {
    isLate = ports.clock.monotonicMs() > enterByMonotonicMs;
    return isLate ? 'the process was paused until the lease was over' : null;
  };
  const [login, readBack] = await Promise.all([
    ports.thingspace.login(credentials, mayStillSend),
    readClaim(attempt, record),
  ]);
  return { of: 'log-in', login, readBack, isLate, interrupted: interrupt.aborted };
}

/**
 * Whether the record that is read is the one that was written; a lower sequence is an outdated
 * read. And whether the version of Secrets Manager's token is still empty: it may have got a value
 * between the survey and the claim.
 */
async function readClaim(
  { ports: { store }, request }: Attempt,
  written: AttemptRecord,
): Promise<Tried<'same' | 'other'>> {
  const token = request.purpose === 'rotate' ? request.native?.rotationId : undefined;
  const [found, version] = await Promise.all([
    tried(store.readRecord(written.sequence)),
    token === undefined ? null : tried(store.readVersion(token)),
  ]);
  if (found instanceof Failure) return found;
  if ((found?.record.sequence ?? 0) < written.sequence)
    return new Failure('busy', 'the secret store does not return the claim yet');
  if (!found || formatRecord(found.record) !== formatRecord(written)) return 'other';
  if (version === null) return 'same';
  return version instanceof Failure
    ? version
    : new Failure('token-used', `version ${token} has a value meanwhile`);
}

async function performIntend(
  ports: Ports,
  { record, audit, label }: Performing<'intend'>,
): Promise<Performed> {
  const startedAtMonotonicMs = ports.clock.monotonicMs();
  const [written, durable, receipt] = await Promise.all([
    tried(ports.store.putRecord(record)),
    tried(ports.audit.append(audit).then(() => 'durable' as const)),
    tried(ports.receipts.prepare(label).then(() => 'ready' as const)),
  ]);
  return { of: 'intend', record: written, audit: durable, receipt, startedAtMonotonicMs };
}

async function performReset(attempt: Attempt, effect: Performing<'reset'>): Promise<Performed> {
  const { ports } = attempt;
  const freshId = ports.processes.rotationId();
  const received = (
    answer: Received['answer'],
    password: Received['password'] = null,
  ): Performed => ({
    of: 'reset',
    answer,
    password,
    freshId,
  });
  let held: ReturnType<typeof mayNotSend> = null;
  const answer = await ports.thingspace.reset(effect.session, () => {
    held = mayNotSend(attempt, effect);
    return held === null ? null : (held as { detail: string }).detail;
  });
  if (answer.reset === 'not-sent') {
    const { detail } = answer;
    const unsent = held ?? { reset: 'not-sent' as const, reason: 'reset-refused' as const, detail };
    return received(unsent);
  }
  const body = 'body' in answer ? answer.body : undefined;
  if (body === undefined) return received(answer);
  // Rule 4: the receipt starts now and the store right after it; neither waits for the other.
  startReceipt(attempt, effect.label, body);
  return received(answer, ports.thingspace.readNewPassword(body));
}

/**
 * The last check before the first byte: a process that was paused, interrupted or is nearly out of
 * time does not send.
 */
function mayNotSend(
  { ports: { clock }, request, interrupt }: Attempt,
  { sendByMonotonicMs }: Performing<'reset'>,
) {
  const refuse = (reason: 'interrupted' | 'out-of-time' | 'busy', detail: string) =>
    ({ reset: 'not-sent', reason, detail }) as const;
  if (interrupt.aborted) return refuse('interrupted', 'interrupted before the reset was sent');
  if (clock.monotonicMs() > sendByMonotonicMs)
    return refuse('busy', 'the process was paused until the time to send was over');
  if (clock.remainingMs() < neededForResetMs(request.timing))
    return refuse('out-of-time', 'the platform leaves too little time to reset and save');
  return null;
}

/**
 * Seals and writes the response beside the store. A receipt that fails or never ends costs a
 * warning.
 */
function startReceipt(
  attempt: Attempt,
  label: Performing<'reset'>['label'],
  body: Parameters<Ports['receipts']['write']>[1],
): void {
  const { ports, request } = attempt;
  const { account } = request;
  const { rotationId } = label;
  attempt.receipt = 'being written';
  const written = async (): Promise<void> => {
    try {
      const place = await ports.receipts.write(label, body);
      attempt.receipt = place === null ? 'none' : { place };
      if (place !== null) ports.observe({ event: 'receipt.written', account, rotationId, place });
    } catch (error) {
      attempt.receipt = 'none';
      const detail = error instanceof Failure ? error.message : 'an unexpected error';
      ports.observe({ event: 'receipt.failed', account, rotationId, detail });
    }
  };
  const done = new AbortController();
  const finished = written().finally(() => done.abort());
  const patience = ports.clock.sleep(receiptPatienceMs, done.signal).then(() => {
    if (attempt.receipt !== 'being written') return;
    const detail = `the receipt is not written after ${receiptPatienceMs} ms`;
    ports.observe({ event: 'receipt.failed', account, rotationId, detail });
  });
  attempt.receiptDone = Promise.race([finished, patience]);
}

async function performKeep(
  attempt: Attempt,
  { waitMs, rotationId, body }: Performing<'keep'>,
): Promise<Performed> {
  const { ports } = attempt;
  await pause(ports, waitMs);
  const keep = await bounded(attempt, () => ports.store.putAnswer(rotationId, body));
  await attempt.receiptDone;
  return { of: 'keep', keep, receipt: attempt.receipt };
}

async function performStore(
  attempt: Attempt,
  { waitMs, write, current }: Performing<'store'>,
): Promise<Performed> {
  const { ports } = attempt;
  const { store, thingspace } = ports;
  await pause(ports, waitMs);
  thingspace.connectAhead(); // For the verifying login.
  thingspace.connectAhead(); // For the first logout.
  const { versionId, rotationId, password } = write;
  const stored = await bounded(attempt, () => store.putPending(versionId, current, password));
  if (stored instanceof Failure) {
    // Whether another copy exists decides what an error means.
    await attempt.receiptDone;
    return { of: 'store', store: stored, receipt: attempt.receipt };
  }
  const replaced = versionId === rotationId ? current.versionId : versionId;
  const taken = { taken: store.recoveryId(rotationId, replaced) };
  return { of: 'store', store: stored === 'stored' ? stored : taken, receipt: attempt.receipt };
}

async function performPromote(
  attempt: Attempt,
  { waitMs, from, to }: Performing<'promote'>,
): Promise<Performed> {
  const { store, thingspace } = attempt.ports;
  await pause(attempt.ports, waitMs);
  thingspace.connectAhead(); // For the last logout.
  const promote = await bounded(attempt, async () => {
    const moved = await store.promote(from, to);
    return moved === 'promoted' ? moved : { conflict: (await store.readCurrent()).versionId };
  });
  // A conflict that still shows the version to be replaced is an outdated read, or a busy store:
  // try again.
  const isOutdated =
    typeof promote === 'object' && 'conflict' in promote && promote.conflict === from;
  const detail = 'the store refused to move AWSCURRENT, and returns it where it was';
  return {
    of: 'promote',
    promote: isOutdated ? new Failure('store-unavailable', detail) : promote,
  };
}

async function performVerify(
  { thingspace, clock }: Ports,
  { credentials, session, verifyByMonotonicMs }: Performing<'verify'>,
): Promise<Performed> {
  const mayStillSend = (): string | null =>
    clock.monotonicMs() > verifyByMonotonicMs ? 'the lease ended before the verifying login' : null;
  const [login] = await Promise.all([
    thingspace.login(credentials, mayStillSend),
    thingspace.endSession(session),
  ]);
  return { of: 'verify', login };
}

/**
 * How often the last record and the last audit events are tried; what they say is also in the
 * result and in the log.
 */
const endingTries = 3;

async function performEnd(attempt: Attempt, effect: Performing<'end'>): Promise<Performed> {
  const { ports } = attempt;
  const { record, audit, session, discardReceipt } = effect.ending;
  const writing = record ? putLast(attempt, effect.ending, record) : ('written' as const);
  // A suspension and its end are recorded in the audit log only when their record is durable: until
  // then nothing is suspended or resumed. With the token of Secrets Manager another attempt may
  // have reset the password, unless this record is the newest.
  const { purpose, native } = attempt.request;
  const isFirst = record?.phase === 'stopped' || purpose === 'resume' || native !== undefined;
  const isMissing = isFirst && (await writing) !== 'written';
  const events = isMissing
    ? audit.filter((event) => purpose !== 'resume' && isTrueAlone(event))
    : audit;
  const [written, durable] = await Promise.all([
    writing,
    events.length > 0
      ? again(attempt, () => ports.audit.append(events).then(() => 'durable' as const))
      : ('durable' as const),
    session ? ports.thingspace.endSession(session) : undefined,
    attempt.receiptDone,
  ]);
  // The receipt goes last: as long as the closing is not durable, it is evidence (promise 1).
  const isClosed = !(durable instanceof Failure) && written === 'written';
  if (discardReceipt !== null && isClosed) await ports.receipts.discard(discardReceipt);
  return { of: 'end', record: written, audit: durable };
}

const isTrueAlone = ({ code, certainty }: AuditEvent): boolean =>
  code !== 'account.stopped' && certainty !== 'unchanged';

/** The last record; above this attempt's own one, where that exists after all (invariant R3). */
async function putLast(
  attempt: Attempt,
  { isUncertain }: Performing<'end'>['ending'],
  record: AttemptRecord,
): Promise<Tried<'written' | 'taken'>> {
  const { store } = attempt.ports;
  const written = await again(attempt, () => store.putRecord(record));
  if (written !== 'taken' || !isUncertain) return written;
  const found = await tried(store.readRecord(record.sequence));
  if (found instanceof Failure) return found;
  const { sequence, holder: owner } = found?.record ?? {};
  const isOwn = sequence === record.sequence && owner?.id === record.holder.id;
  const above = { ...record, sequence: record.sequence + 1 };
  return isOwn ? again(attempt, () => store.putRecord(above)) : written;
}

async function again<T>(attempt: Attempt, call: () => Promise<T>): Promise<Tried<T>> {
  for (let tries = 1; ; tries += 1) {
    const result = await triedWithoutThrowing(call);
    if (!(result instanceof Failure) || tries >= endingTries) return result;
    await attempt.ports.clock.sleep(100 * tries);
  }
}
