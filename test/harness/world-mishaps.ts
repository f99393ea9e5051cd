// What may go wrong at each call of a port. A mishap is picked when the call is served; the call
// is then performed, half performed, or not at all. A crash after a call is the crash before the
// next one, which differs in nothing that lasts; so is a crash at a read beside others, hence only
// the calls listed here can be crashed at.

import type { Handiwork } from './world.ts';

export type Method =
  | 'readCurrent'
  | 'readPending'
  | 'readVersion'
  | 'readRecord'
  | 'passwordSince'
  | 'putRecord'
  | 'putPending'
  | 'putAnswer'
  | 'readAnswer'
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

/** How long a process is paused, in milliseconds. */
export const pauses = {
  'paused past the time to send': 11_000,
  'paused past the lease': 100_000,
  'paused past the settle time': 250_000,
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
  | 'unavailable'
  /** Done, and the answer is lost: the call throws. */
  | 'answer lost'
  /** Throws at the timeout, and is done a second, or minutes, after that. */
  | 'late'
  | 'very late'
  | 'stale'
  | 'not sent'
  | 'refused'
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
  | keyof typeof pauses
  | keyof typeof clockSteps
  | Handiwork;

const hands = [
  'operator edits a note',
  'operator stores a wrong password',
  'operator moves AWSCURRENT back',
] as const;
const pause = Object.keys(pauses) as (keyof typeof pauses)[];
const clocks = Object.keys(clockSteps) as (keyof typeof clockSteps)[];
const write = ['unavailable', 'answer lost', 'late', 'very late'] as const;

/**
 * Every mishap of every method. No pause at a login or a reset: the request is sent as soon as
 * the loop has read the clock. A process is paused before that, at the calls that come earlier.
 */
export const mishaps: Readonly<Record<Method, readonly Mishap[]>> = {
  readCurrent: ['crash', 'unavailable', 'stale', ...hands, 'operator stores the right password'],
  readPending: ['unavailable', 'stale'],
  readVersion: ['unavailable'],
  readRecord: ['unavailable', 'stale'],
  passwordSince: ['crash', 'unavailable'],
  putRecord: ['crash', 'crash, the others done', ...write, ...pause, ...clocks, ...hands],
  putPending: ['crash', ...write, ...pause, ...hands],
  putAnswer: ['crash', ...write],
  readAnswer: ['unavailable'],
  promote: ['crash', ...write, ...pause, ...hands],
  authorize: ['unavailable', ...pause],
  login: ['crash', 'not sent', 'dropped', 'answer lost', 'late', 'refused', ...hands],
  reset: [
    'crash',
    'crash, but done',
    'crash, then very late',
    'refused',
    'session refused',
    'throttled',
    'dropped',
    'answer lost',
    'late',
    'very late',
    'cut, then very late',
    'slow',
    'truncated',
    'garbage, done',
    'garbage, dropped',
    ...hands,
  ],
  endSession: [],
  prepare: ['unavailable'],
  write: ['crash', 'unavailable', 'answer lost', ...pause],
  find: ['crash', 'unavailable'],
  discard: ['crash'],
  append: ['crash', 'crash half way', 'unavailable', 'answer lost', ...pause],
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
