// The one loop: effect → port → outcome → advance. The only file here that awaits. What runs side by side
// is written side by side; nothing is decided here but what must be decided at the very moment of sending.

import { Failure } from './failure.ts';
import { advance, begin, effectOf } from './machine.ts';
import { eventOf, finishedEvent } from './observe.ts';
import type { Clock, FoundRecord, Ports, ResetAnswer, SecretStore } from './ports.ts';
import { formatRecord, type Holder } from './record.ts';
import {
  type Effect,
  neededForResetMs,
  type Outcome,
  type Request,
  type Result,
  type Tried,
} from './state.ts';

/** What an outcome says, before the loop puts the time on it. */
type Performed = Outcome extends infer O
  ? O extends Outcome
    ? Omit<O, 'atMs' | 'atMonotonicMs' | 'remainingMs'>
    : never
  : never;
type Performing<Name extends Effect['effect']> = Extract<Effect, { effect: Name }>;

/**
 * Runs one attempt to its end and says what it knows. Never throws for anything that happens outside; what it throws is a
 * bug. `interrupt` ends an attempt before its reset, and is ignored from there until the new password is current.
 */
export async function rotate(
  given: Ports,
  request: Request,
  interrupt: AbortSignal,
): Promise<Result> {
  const ports = { ...given, observe: harmless(given.observe) };
  const holder = ports.processes.begin();
  try {
    let state = begin(request, holder, ports.clock.nowMs());
    for (let effect = effectOf(state); effect !== null; effect = effectOf(state)) {
      const performed = await perform(ports, request, effect, interrupt, holder);
      const { clock } = ports;
      const outcome = {
        ...performed,
        atMs: clock.nowMs(),
        atMonotonicMs: clock.monotonicMs(),
        remainingMs: clock.remainingMs(),
      } as Outcome;
      const event = eventOf(state, outcome);
      if (event) ports.observe(event);
      state = advance(state, outcome);
    }
    if (state.at !== 'finished') throw new Error('bug: an attempt without an effect is finished');
    ports.observe(finishedEvent(state.result));
    return state.result;
  } finally {
    ports.processes.end(holder);
  }
}

/** Whoever listens must not be able to end an attempt that holds the only copy of a password. */
function harmless(observe: Ports['observe']): Ports['observe'] {
  return (event) => {
    try {
      observe(event);
    } catch {
      // There is nobody left to tell.
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

/** While we hold the only copy of a password nothing may crash the loop, not even a bug. */
async function triedWhateverHappens<T>(call: () => Promise<T>): Promise<Tried<T>> {
  try {
    return await call();
  } catch (error) {
    if (error instanceof Failure) return error;
    return new Failure(
      'store-unavailable',
      `an unexpected ${error instanceof Error ? error.name : 'error'} while saving`,
    );
  }
}

function perform(
  ports: Ports,
  request: Request,
  effect: Effect,
  interrupt: AbortSignal,
  holder: Holder,
): Promise<Performed> {
  switch (effect.effect) {
    case 'survey':
      return performSurvey(ports, request, effect, holder);
    case 'find-receipt':
      return performFindReceipt(ports, request, effect);
    case 'date-password':
      return tried(ports.store.passwordSince(effect.current)).then((sinceMs) => ({
        of: 'date-password',
        sinceMs,
      }));
    case 'claim':
      return performClaim(ports, effect, interrupt);
    case 'log-in':
      return performLogin(ports, effect, interrupt);
    case 'intend':
      return performIntend(ports, effect);
    case 'reset':
      return performReset(ports, request, effect, interrupt);
    case 'store':
      return performStore(ports, effect);
    case 'promote':
      return performPromote(ports, effect);
    case 'verify':
      return performVerify(ports, effect);
    case 'end':
      return performEnd(ports, effect);
  }
}

async function performSurvey(
  ports: Ports,
  request: Request,
  effect: Performing<'survey'>,
  holder: Holder,
): Promise<Performed> {
  const { store, audit, processes, thingspace } = ports;
  thingspace.connectAhead(); // For the API token.
  thingspace.connectAhead(); // For the login: a connection takes two round trips.
  const [current, record, pending, openIntents] = await Promise.all([
    tried(store.readCurrent()),
    tried(readRecordFrom(store, effect.atLeast)),
    tried(store.readPending()),
    tried(audit.openIntents(request.account)),
  ]);
  // AWSCURRENT first: without it, the others can only say the same thing less clearly.
  if (current instanceof Failure) return { of: 'survey', evidence: current };
  if (record instanceof Failure) return { of: 'survey', evidence: record };
  if (pending instanceof Failure) return { of: 'survey', evidence: pending };
  if (openIntents instanceof Failure) return { of: 'survey', evidence: openIntents };
  const liveness =
    record === null || record.record.holder.id === holder.id
      ? 'gone'
      : processes.liveness(record.record.holder);
  return { of: 'survey', evidence: { current, record, pending, liveness, openIntents } };
}

/**
 * The record of `atLeast` or above; where there is none yet, the one below it, which was seen before: the label may be on
 * a still older one.
 */
async function readRecordFrom(store: SecretStore, atLeast: number): Promise<FoundRecord | null> {
  const found = await store.readRecord(atLeast);
  return found !== null && found.record.sequence < atLeast - 1
    ? store.readRecord(atLeast - 1)
    : found;
}

async function performFindReceipt(
  ports: Ports,
  request: Request,
  effect: Performing<'find-receipt'>,
): Promise<Performed> {
  const given = request.receipt?.rotationId === effect.rotationId ? request.receipt.body : null;
  const [body, version] = await Promise.all([
    given ?? (request.receipt ? null : ports.receipts.find(effect.rotationId)),
    tried(ports.store.readVersion(effect.rotationId)),
  ]);
  const isMissing = version instanceof Failure && version.reason === 'secret-not-found';
  const saved = isMissing ? false : version instanceof Failure ? version : true;
  return {
    of: 'find-receipt',
    body,
    password: body && ports.thingspace.readNewPassword(body),
    saved,
  };
}

async function performClaim(
  ports: Ports,
  effect: Performing<'claim'>,
  interrupt: AbortSignal,
): Promise<Performed> {
  const startedAtMonotonicMs = ports.clock.monotonicMs();
  const [claim, token] = await Promise.all([
    tried(ports.store.putRecord(effect.record)),
    tried(ports.thingspace.authorize(effect.current.credentials).then(() => 'ready' as const)),
  ]);
  return { of: 'claim', claim, token, interrupted: interrupt.aborted, startedAtMonotonicMs };
}

async function performLogin(
  ports: Ports,
  effect: Performing<'log-in'>,
  interrupt: AbortSignal,
): Promise<Performed> {
  let isLate = false;
  ports.thingspace.connectAhead(); // For the reset.
  const [login, found] = await Promise.all([
    ports.thingspace.login(effect.current.credentials, () => {
      isLate = ports.clock.monotonicMs() > effect.enterByMonotonicMs;
      return isLate ? 'paused past the lease' : null;
    }),
    tried(ports.store.readRecord(effect.record.sequence)),
  ]);
  const readBack =
    found instanceof Failure
      ? found
      : found && formatRecord(found.record) === formatRecord(effect.record)
        ? 'same'
        : 'other';
  const late = isLate ? { isLate: true as const } : {};
  return {
    of: 'log-in',
    login,
    readBack,
    ...late,
    interrupted: interrupt.aborted,
    rotationId: ports.processes.rotationId(),
  };
}

async function performIntend(ports: Ports, effect: Performing<'intend'>): Promise<Performed> {
  const startedAtMonotonicMs = ports.clock.monotonicMs();
  const [record, audit, receipt] = await Promise.all([
    tried(ports.store.putRecord(effect.record)),
    tried(ports.audit.append(effect.audit).then(() => 'durable' as const)),
    tried(ports.receipts.prepare(effect.label).then(() => 'ready' as const)),
  ]);
  return { of: 'intend', record, audit, receipt, startedAtMonotonicMs };
}

async function performReset(
  ports: Ports,
  request: Request,
  effect: Performing<'reset'>,
  interrupt: AbortSignal,
): Promise<Performed> {
  let held: ReturnType<typeof mayNotSend> = null;
  const answer: ResetAnswer = await ports.thingspace.reset(effect.session, () => {
    held = mayNotSend(ports.clock, request, effect, interrupt);
    return held?.detail ?? null;
  });
  if (answer.reset === 'not-sent') {
    const { detail } = answer;
    return {
      of: 'reset',
      answer: held ?? { reset: 'refused', because: 'code', detail },
      password: null,
    };
  }
  if (answer.reset === 'refused' || answer.body === undefined)
    return { of: 'reset', answer, password: null };
  // The receipt comes before anything parses the bytes; failing to write it must not cost the password.
  try {
    const place = await ports.receipts.write(effect.label, answer.body);
    if (place !== null)
      ports.observe({
        event: 'receipt.written',
        account: request.account,
        rotationId: effect.label.rotationId,
        place,
      });
  } catch (error) {
    const detail = error instanceof Failure ? error.message : 'an unexpected error';
    ports.observe({
      event: 'receipt.failed',
      account: request.account,
      rotationId: effect.label.rotationId,
      detail,
    });
  }
  return { of: 'reset', answer, password: ports.thingspace.readNewPassword(answer.body) };
}

/** The last check before the first byte: a process that was paused, interrupted or is nearly out of time does not send. */
function mayNotSend(
  clock: Clock,
  request: Request,
  effect: Performing<'reset'>,
  interrupt: AbortSignal,
) {
  const refuse = (reason: 'interrupted' | 'out-of-time' | 'busy', detail: string) =>
    ({ reset: 'not-sent', reason, detail }) as const;
  if (interrupt.aborted) return refuse('interrupted', 'told to end before the reset was sent');
  if (clock.monotonicMs() > effect.sendByMonotonicMs)
    return refuse('busy', 'paused past the time in which the reset may be sent');
  if (clock.remainingMs() < neededForResetMs(request.timing))
    return refuse('out-of-time', 'the platform leaves too little time to reset and save');
  return null;
}

async function performStore(ports: Ports, effect: Performing<'store'>): Promise<Performed> {
  if (effect.waitMs > 0) await ports.clock.sleep(effect.waitMs);
  const { rotationId, current, password } = effect;
  ports.thingspace.connectAhead(); // For the verifying login.
  ports.thingspace.connectAhead(); // For the first logout.
  const store = await triedWhateverHappens(() =>
    ports.store.putPending(rotationId, current, password).then(() => 'stored' as const),
  );
  return { of: 'store', store };
}

async function performPromote(ports: Ports, effect: Performing<'promote'>): Promise<Performed> {
  if (effect.waitMs > 0) await ports.clock.sleep(effect.waitMs);
  ports.thingspace.connectAhead(); // For the last logout.
  const promote = await triedWhateverHappens(async () => {
    const moved = await ports.store.promote(effect.from, effect.to);
    return moved === 'promoted' ? moved : { conflict: (await ports.store.readCurrent()).versionId };
  });
  // A conflict that still shows our basis is a stale read, or a store that was busy: nothing moved, so try again.
  const stale =
    typeof promote === 'object' && 'conflict' in promote && promote.conflict === effect.from;
  return {
    of: 'promote',
    promote: stale
      ? new Failure(
          'store-unavailable',
          'the store refused to move AWSCURRENT, yet it is where it was',
        )
      : promote,
  };
}

async function performVerify(ports: Ports, effect: Performing<'verify'>): Promise<Performed> {
  const { current, password, session } = effect;
  const [login] = await Promise.all([
    ports.thingspace.login({ ...current.credentials, password }, () => null),
    session ? ports.thingspace.endSession(session) : undefined,
  ]);
  return { of: 'verify', login };
}

/** How often the last record and the last audit events are tried; what they tell is also in the result and on the log. */
const endingTries = 3;

async function performEnd(ports: Ports, effect: Performing<'end'>): Promise<Performed> {
  const { record, audit, session, discardReceipt } = effect.ending;
  const [written, durable] = await Promise.all([
    record ? again(ports, () => ports.store.putRecord(record)) : ('written' as const),
    audit.length > 0
      ? again(ports, () => ports.audit.append(audit).then(() => 'durable' as const))
      : ('durable' as const),
    session ? ports.thingspace.endSession(session) : undefined,
  ]);
  // The receipt goes last: as long as the outcome is not durable, it is evidence.
  if (discardReceipt !== null && !(durable instanceof Failure))
    await ports.receipts.discard(discardReceipt);
  return { of: 'end', record: written, audit: durable };
}

async function again<T>(ports: Ports, call: () => Promise<T>): Promise<Tried<T>> {
  for (let tries = 1; ; tries += 1) {
    const result = await triedWhateverHappens(call);
    if (!(result instanceof Failure) || tries >= endingTries) return result;
    await ports.clock.sleep(100 * tries);
  }
}
