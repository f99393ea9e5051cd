// Notifications: which problems are open, and which receivers have accepted them. A problem is sent
// once per cause, also over restarts; then once a day in one message with all open problems, until
// it ends.
//
// 1. A message is in the journal before it is sent, and stays there until its receiver accepts it.
//    Where it cannot be written, it is sent all the same.
// 2. Delivery is bounded, and never delays a rotation. Nothing here throws or waits for a caller.
// 3. A subject has one open problem. Another kind or reason is a new problem, which nobody has
//    acknowledged; that a password is also overdue, or not checked in time, is none.

import { randomUUID } from 'node:crypto';
import pLimit, { type LimitFunction } from 'p-limit';
import { within } from '../rotation/deadline.ts';
import type { Clock } from '../rotation/ports.ts';
import type { Log } from './log.ts';
import {
  type Alert,
  bySeverity,
  type Cause,
  isAcknowledged,
  isAtLeast,
  type Message,
  type ProblemKind,
  severityOf,
} from './notification.ts';
import type { Journal } from './notification-journal.ts';
import type { DeliveryFailure, Receiver } from './webhook.ts';

export type NotifierOptions = {
  readonly receivers: readonly Receiver[];
  readonly journal: Journal;
  /** The name of this machine. */
  readonly host: string;
  readonly clock: Pick<Clock, 'nowMs' | 'monotonicMs' | 'sleep'>;
  readonly log: Pick<Log, 'info' | 'warn' | 'error'>;
  /** Counts alerts by result. */
  readonly onDelivery?: (result: 'delivered' | 'failed' | 'dropped', count: number) => void;
};

/** A problem that exists now. */
export type Problem = Cause & { readonly kind: ProblemKind };

export type Notifier = ReturnType<typeof openNotifier>;

/** What is repeated daily is repeated after so long, whatever the jitter of the day. */
const repeatAfterMs = 20 * 3_600_000;
const maxMessages = 1_000;
const maxPerMessage = 50;
const maxPerDigest = 500;
/** Alerts of the same moment are sent in one message. */
const gatherMs = 1_000;
/** How often the lines of other processes are read: a person acknowledges a problem. */
const pollMs = 60_000;
/** Delays between the tries of one receiver; the last one is repeated. */
export const deliveryDelaysMs: readonly number[] = [1_000, 5_000, 30_000, 120_000, 600_000];
/** A message that is refused is tried again later, and does not hold up the others. */
const refusedDelayMs = 3_600_000;

type State = Required<NotifierOptions> & {
  /** Not in the journal yet. */
  gathered: Alert[];
  /** The tries of each receiver in a row, and when the next one is due. */
  readonly retries: Map<string, { tries: number; atMs: number }>;
  /** When a refused message is tried again, by message and receiver. */
  readonly refused: Map<string, number>;
  /** The delivery in progress of each receiver. */
  readonly deliveries: Map<string, Promise<void>>;
  /** Runs everything that reads or changes the journal, one after the other. */
  readonly inOrder: LimitFunction;
  /** Aborted to end the sleep of the loop. */
  wake: AbortController;
  readonly closed: AbortController;
};

export function openNotifier(options: NotifierOptions) {
  const state: State = {
    onDelivery: () => {},
    ...options,
    gathered: [],
    retries: new Map(),
    refused: new Map(),
    deliveries: new Map(),
    inOrder: pLimit(1),
    wake: new AbortController(),
    closed: new AbortController(),
  };
  const inOrder = (work: () => Promise<void> | void): void => void state.inOrder(work);
  inOrder(() => start(state));
  void loop(state);
  return {
    /** A problem exists. It is sent unless its subject has the same one already. */
    report: (cause: Problem): void => inOrder(() => report(state, cause)),
    /** The problem of this subject is over, if it had one. */
    resolve: (subject: string, text: string): void => inOrder(() => resolve(state, subject, text)),
    /** Every other problem is over: nobody reports it any more. */
    keep: (subjects: ReadonlySet<string>): void => inOrder(() => keep(state, subjects)),
    /** There is no problem. Sent at most once a day, and only where none is open. */
    confirm: (text: string): void => inOrder(() => confirm(state, text)),
    /** Sends all open problems in one message, if that is due. */
    remind: (): void => inOrder(() => remind(state)),
    /** When the oldest message was made that is not delivered; UTC milliseconds. */
    oldestMs: (): number | undefined => [...state.journal.state.messages.values()][0]?.atMs,
    /** Tries to deliver what waits, for at most `withinMs`, and ends. */
    close: (withinMs: number): Promise<void> => close(state, withinMs),
  };
}

async function start({ journal, receivers }: State): Promise<void> {
  await journal.catchUp();
  await journal.compact();
  const names = receivers.map(({ name }) => name);
  for (const { id, to } of [...journal.state.messages.values()])
    for (const name of to) if (!names.includes(name)) await journal.append({ done: id, to: name });
}

/** What was said last about a subject, also in what is not in the journal yet. */
function openProblem({ gathered, journal }: State, subject: string): Alert | undefined {
  const last = gathered.findLast((one) => one.subject === subject && one.kind !== 'acknowledged');
  return last ? (last.kind === 'resolved' ? undefined : last) : journal.state.problems.get(subject);
}

/** These say nothing new of an account that has another problem. */
const isMinor = (kind: ProblemKind): boolean => kind === 'overdue' || kind === 'stale';

function report(state: State, cause: Problem): void {
  const open = openProblem(state, cause.subject);
  if (open && open.kind === cause.kind && open.reason === cause.reason) {
    // The next message has the newest text.
    replace(state, open, { ...open, ...cause });
    return;
  }
  if (open && isMinor(cause.kind)) {
    const text = open.text.includes(cause.text) ? open.text : `${open.text} ${cause.text}`;
    replace(state, open, { ...open, text });
    return;
  }
  if (open) {
    const end = aboutProblem('resolved', open, `Replaced by: ${cause.kind}.`);
    gather(state, { ...end, isSuperseded: true });
  }
  const id = randomUUID().slice(0, 8);
  const severity = severityOf(cause.kind);
  gather(state, { ...cause, id, severity, sinceMs: state.clock.nowMs() });
}

/** Changes an open problem, which is not sent again. */
function replace({ gathered, journal }: State, open: Alert, changed: Alert): void {
  const index = gathered.indexOf(open);
  if (index >= 0) gathered[index] = changed;
  else journal.state.problems.set(open.subject, changed);
}

/** What became of a problem; its severity leads the alert to the receivers of the problem. */
const aboutProblem = (
  kind: 'resolved' | 'acknowledged',
  { id, subject, account, kind: of, severity, sinceMs }: Alert,
  text: string,
): Alert => ({ kind, of: of as ProblemKind, id, subject, account, severity, sinceMs, text });

function resolve(state: State, subject: string, text: string): void {
  const open = openProblem(state, subject);
  if (open) gather(state, aboutProblem('resolved', open, text));
}

function keep(state: State, subjects: ReadonlySet<string>): void {
  for (const { subject, account } of [...state.journal.state.problems.values()])
    if (!subjects.has(subject))
      resolve(
        state,
        subject,
        account === undefined
          ? 'It did not happen again until the end of the next run.'
          : 'The account is not configured any more.',
      );
}

/** Whether this was so recently that it is not repeated. A time ahead is of a wrong clock. */
const isRecent = (atMs: number, nowMs: number): boolean =>
  atMs <= nowMs + gatherMs && nowMs - atMs < repeatAfterMs;

function confirm(state: State, text: string): void {
  const nowMs = state.clock.nowMs();
  const { problems, healthyAtMs } = state.journal.state;
  if (problems.size > 0 || state.gathered.length > 0 || isRecent(healthyAtMs, nowMs)) return;
  const id = randomUUID().slice(0, 8);
  gather(state, { kind: 'all-is-well', subject: '', id, severity: 'info', sinceMs: nowMs, text });
}

async function remind(state: State): Promise<void> {
  const nowMs = state.clock.nowMs();
  const { problems, digestAtMs } = state.journal.state;
  const isUrgent = (alert: Alert): boolean => !isAcknowledged(alert, nowMs);
  const open = [...problems.values()].sort(
    (a, b) =>
      Number(isUrgent(b)) - Number(isUrgent(a)) || bySeverity(a, b) || a.sinceMs - b.sinceMs,
  );
  const isDue = open.some((alert) => isUrgent(alert) && !isRecent(alert.sinceMs, nowMs));
  if (!isDue || isRecent(digestAtMs, nowMs)) return;
  await send(state, open.slice(0, maxPerDigest), true);
}

/** The next message has this alert. */
function gather(state: State, alert: Alert): void {
  const { clock, closed } = state;
  if (state.gathered.push(alert) > 1) return;
  void clock.sleep(gatherMs, closed.signal).then(() => state.inOrder(() => sendGathered(state)));
}

async function sendGathered(state: State): Promise<void> {
  const { gathered } = state;
  // They stay visible to `openProblem` until they are applied.
  for (let at = 0; at < gathered.length; at += maxPerMessage)
    await send(state, gathered.slice(at, at + maxPerMessage), false);
  state.gathered = [];
}

async function send(state: State, alerts: readonly Alert[], isDigest: boolean): Promise<void> {
  const { journal, receivers, clock } = state;
  const to = receivers.filter(({ accepts }) => alerts.some(accepts)).map(({ name }) => name);
  const id = `msg_${randomUUID()}`;
  const message: Message = { id, atMs: clock.nowMs(), isDigest, alerts: [...alerts], to };
  await journal.append({ message });
  await dropOldest(state);
  state.wake.abort();
}

/** Without limit a receiver that is gone for ever would cost memory for ever. */
async function dropOldest({ journal, onDelivery }: State): Promise<void> {
  const { messages } = journal.state;
  for (const { id, to, alerts } of [...messages.values()]) {
    if (messages.size <= maxMessages) return;
    if (alerts.some(({ severity }) => isAtLeast(severity, 'critical'))) continue;
    for (const name of to) await journal.append({ done: id, to: name });
    onDelivery('dropped', alerts.length);
  }
}

async function loop(state: State): Promise<void> {
  const { clock, closed } = state;
  while (!closed.signal.aborted) {
    await state.inOrder(() => readOthers(state));
    await Promise.all(state.receivers.map((receiver) => deliver(state, receiver)));
    if (state.wake.signal.aborted) state.wake = new AbortController();
    else await clock.sleep(sleepMs(state), AbortSignal.any([state.wake.signal, closed.signal]));
  }
}

/** What a person acknowledged with a command is sent to the receivers. */
async function readOthers(state: State): Promise<void> {
  const { journal } = state;
  for (const line of await journal.catchUp()) {
    if (!('acknowledged' in line)) continue;
    const problem = [...journal.state.problems.values()].find(({ id }) => id === line.problem);
    if (!problem) continue;
    const { by, reason, untilMs } = line.acknowledged;
    const what = untilMs === undefined ? 'Acknowledged' : 'Snoozed';
    gather(state, aboutProblem('acknowledged', problem, `${what} by ${by}: ${reason}`));
  }
}

/** Until the next try is due. */
function sleepMs({ retries, refused, clock, journal }: State): number {
  if (journal.state.messages.size === 0) return pollMs;
  const dueMs = [...[...retries.values()].map(({ atMs }) => atMs), ...refused.values()];
  const future = dueMs.map((atMs) => atMs - clock.monotonicMs()).filter((ms) => ms > 0);
  return Math.min(pollMs, ...future);
}

/** One delivery at a time for each receiver, also while the notifier closes. */
function deliver(state: State, receiver: Receiver): Promise<void> {
  const before = state.deliveries.get(receiver.name) ?? Promise.resolve();
  const done = before.then(() => deliverAll(state, receiver));
  state.deliveries.set(receiver.name, done);
  return done;
}

/** Sends what waits for this receiver, oldest first, until it does not accept it. */
async function deliverAll(state: State, receiver: Receiver): Promise<void> {
  const { journal, clock, host, retries, refused, onDelivery } = state;
  const { name } = receiver;
  for (const message of [...journal.state.messages.values()]) {
    const key = `${message.id} ${name}`;
    const nowMs = clock.monotonicMs();
    if ((retries.get(name)?.atMs ?? 0) > nowMs) return;
    if (!message.to.includes(name) || (refused.get(key) ?? 0) > nowMs) continue;
    const failed = await receiver.send(message, host, clock.nowMs());
    if (failed) {
      noteFailure(state, name, message, failed);
      continue;
    }
    retries.delete(name);
    refused.delete(key);
    await state.inOrder(() => journal.append({ done: message.id, to: name }));
    onDelivery('delivered', message.alerts.length);
  }
}

function noteFailure(state: State, name: string, message: Message, failed: DeliveryFailure): void {
  const { clock, log, retries, refused, onDelivery } = state;
  const { detail, isFinal, retryAfterMs } = failed;
  const nowMs = clock.monotonicMs();
  const key = `${message.id} ${name}`;
  const tries = (retries.get(name)?.tries ?? 0) + 1;
  const count = message.alerts.length;
  const isLogged = isFinal ? !refused.has(key) : tries === deliveryDelaysMs.length + 1;
  if (isFinal) refused.set(key, nowMs + refusedDelayMs);
  else {
    const delayMs = deliveryDelaysMs[tries - 1] ?? deliveryDelaysMs.at(-1) ?? 0;
    retries.set(name, { tries, atMs: nowMs + Math.max(delayMs, retryAfterMs) });
    if (tries <= deliveryDelaysMs.length)
      log.warn('notify.retried', { receiver: name, detail, count, tries });
  }
  if (!isLogged) return;
  log.error('notify.failed', { receiver: name, detail, count, tries });
  onDelivery('failed', count);
}

async function close(state: State, withinMs: number): Promise<void> {
  const { clock, closed, retries } = state;
  const deliverLast = async (): Promise<void> => {
    await state.inOrder(() => sendGathered(state));
    retries.clear();
    await Promise.all(state.receivers.map((receiver) => deliver(state, receiver)));
  };
  await within(clock, withinMs, deliverLast());
  closed.abort();
}
