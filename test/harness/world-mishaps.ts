// What may go wrong at each call of a port. A mishap is picked when the call is served; the call
// is then performed, half performed, or not at all. A crash after a call is the crash before the
// next one, which differs in nothing that lasts; so is a crash at a read beside others, hence only
// the calls listed here can be crashed at.

import type { Handiwork } from './world-people.ts';

export type Method =
  | 'readCurrent'
  | 'readPending'
  | 'readVersion'
  | 'readRecord'
  | 'list'
  | 'putRecord'
  | 'putPending'
  | 'putAnswer'
  | 'promote'
  | 'authorize'
  | 'login'
  | 'reset'
  | 'endSession'
  | 'prepare'
  | 'write'
  | 'find'
  | 'discard'
  | 'append'
  | 'rotationsOf';

/**
 * How long a process is paused before its call is sent, in milliseconds. For a login and a reset
 * that is after the last check of the clock, and before the first byte.
 */
export const pauses = {
  'paused past the time to send': 11_000,
  'paused past the lease': 100_000,
  'paused past the settle time': 250_000,
} as const;

/** The call is done at once, and its response is read after a pause; milliseconds. */
export const latePauses = {
  'answered, then paused past the time to send': 11_000,
  'answered, then paused past the lease': 100_000,
  'answered, then paused past the settle time': 250_000,
} as const;

/** Milliseconds by which a process's wall clock steps. */
export const clockSteps = {
  'clock steps an hour back': -3_600_000,
  'clock steps an hour forward': 3_600_000,
} as const;

export type Mishap =
  /** The process dies before the call; of several calls side by side the earlier ones are done. */
  | 'crash'
  /** As before, but of several calls side by side all the others are done. */
  | 'crash, the others done'
  /** Of several audit events the first is durable, then the process dies. */
  | 'crash half way'
  /** The reset is done, then the process dies before the answer's bytes are in memory. */
  | 'crash, but done'
  | 'crash, then very late'
  /** SIGTERM: the attempt may end before its reset, and must not after it. */
  | 'interrupted'
  | 'unavailable'
  /** Done, and the answer is lost: the call throws. */
  | 'answer lost'
  /** Done, the answer is lost, and the adapter repeats it: what the repetition says is believed. */
  | 'repeated'
  /** Throws at the timeout, and is done a second, or minutes, after that. */
  | 'late'
  | 'very late'
  /** No response, ever; the platform ends the process. */
  | 'never returns'
  /** One read is outdated, or all reads of this process until time passes. */
  | 'stale'
  | 'stale for a while'
  /** The store denies this write and every later one, for ten minutes. */
  | 'denied'
  /** The store throttles this call and every other one, for a minute. */
  | 'throttled for a while'
  /** The audit log cannot be written for a minute. */
  | 'down for a while'
  | 'not sent'
  | 'refused'
  | 'key refused'
  | 'session refused'
  | 'throttled'
  | 'dropped'
  /**
   * The connection is cut at once, and the reset is done at the last moment at which the server may
   * do it.
   */
  | 'cut, then very late'
  | 'slow'
  | 'truncated'
  | 'garbage, done'
  | 'garbage, dropped'
  /** The new password is in the response, and this program cannot find it. */
  | 'unreadable'
  | keyof typeof pauses
  | keyof typeof latePauses
  | keyof typeof clockSteps
  | Handiwork;

const hands = [
  'operator edits a note',
  'operator stores a wrong password',
  'operator stores the old password',
  'operator moves AWSCURRENT back',
] as const;
const pause = Object.keys(pauses) as (keyof typeof pauses)[];
const latePause = Object.keys(latePauses) as (keyof typeof latePauses)[];
const clocks = Object.keys(clockSteps) as (keyof typeof clockSteps)[];
const read = ['unavailable', 'stale', 'stale for a while', 'never returns'] as const;
const write = [
  'unavailable',
  'answer lost',
  'repeated',
  'late',
  'very late',
  'never returns',
] as const;
const done = [
  'unavailable',
  'answer lost',
  'repeated',
  'late',
  'very late',
  'denied',
  'throttled for a while',
] as const;

/** Every mishap of every method. */
export const mishaps: Readonly<Record<Method, readonly Mishap[]>> = {
  readCurrent: [
    'crash',
    ...read,
    ...hands,
    'operator stores the right password',
    'operator moves ROTATION back',
    'operator removes AWSPENDING',
    'somebody stages a password',
    'somebody makes a backup',
    'somebody restores the backup',
    'another program fails to log in',
    'another account resets the same user',
    'another program fills the secret',
    'throttled for a while',
    'interrupted',
  ],
  readPending: ['unavailable', 'stale'],
  readVersion: ['unavailable', 'crash', ...latePause],
  readRecord: ['unavailable', 'stale'],
  list: ['unavailable', 'stale'],
  putRecord: [
    'crash',
    'crash, the others done',
    ...write,
    'denied',
    'throttled for a while',
    'another program fills the secret',
    ...pause,
    ...latePause,
    ...clocks,
    ...hands,
    'interrupted',
  ],
  putPending: [
    'crash',
    ...done,
    'never returns',
    ...pause,
    ...latePause,
    ...hands,
    'somebody stages a password',
  ],
  putAnswer: ['crash', ...done, 'never returns'],
  promote: [
    'crash',
    ...done,
    'never returns',
    'another account resets the same user',
    ...pause,
    ...latePause,
    ...hands,
  ],
  authorize: ['unavailable', 'key refused', 'never returns', ...pause, ...latePause],
  login: [
    'crash',
    'not sent',
    'dropped',
    'answer lost',
    'late',
    'refused',
    'never returns',
    'interrupted',
    'another program fails to log in',
    'another account resets the same user',
    ...pause,
    ...latePause,
    ...hands,
  ],
  reset: [
    'crash',
    'crash, but done',
    'crash, then very late',
    'not sent',
    'refused',
    'session refused',
    'throttled',
    'dropped',
    'answer lost',
    'late',
    'very late',
    'cut, then very late',
    'never returns',
    'slow',
    'truncated',
    'garbage, done',
    'garbage, dropped',
    'unreadable',
    'interrupted',
    'another account resets the same user',
    ...pause,
    ...latePause,
    ...hands,
  ],
  endSession: [],
  prepare: ['unavailable', 'interrupted', ...latePause],
  write: ['crash', 'unavailable', 'answer lost', 'never returns', ...pause],
  find: ['crash', 'unavailable'],
  discard: ['crash'],
  append: [
    'crash',
    'crash half way',
    'unavailable',
    'answer lost',
    'down for a while',
    ...pause,
    ...latePause,
  ],
  rotationsOf: ['unavailable'],
};

/** All mishaps, each once. */
export const everyMishap: readonly Mishap[] = [...new Set(Object.values(mishaps).flat())];

/**
 * The mishaps that the exploration combines up to three at a time; all others up to two at a time,
 * and in swarms.
 */
export const coreMishaps: ReadonlySet<Mishap> = new Set<Mishap>([
  'crash',
  'crash, the others done',
  'crash, but done',
  'unavailable',
  'answer lost',
  'dropped',
  'refused',
  'very late',
  'garbage, done',
  'clock steps an hour back',
]);

/** What spends logins: a value that is not right, and death before the refusal is written down. */
export const refusalMishaps: ReadonlySet<Mishap> = new Set<Mishap>([
  'operator stores a wrong password',
  'crash',
]);

/** The mishaps that matter between two processes, combined two at a time. */
export const togetherMishaps: ReadonlySet<Mishap> = new Set<Mishap>([
  'crash',
  'crash, then very late',
  'answer lost',
  'very late',
  'cut, then very late',
  'stale',
  'refused',
  'session refused',
  'paused past the time to send',
  'paused past the lease',
  'paused past the settle time',
  'operator edits a note',
]);
