// What every attempt and the status decide about what they read: for each finding, the questions,
// and for each purpose the state that follows, with all its values. The texts are in
// test/fixtures/decisions.txt. The rows of rule 2 are explained in rotation-classify.test.ts.

import type { AttemptRecord, ClosedRotation } from '../../src/rotation/record.ts';
import type { Request, State } from '../../src/rotation/state.ts';
import { readStatus } from '../../src/rotation/status.ts';
import { Secret } from '../../src/secret.ts';
import {
  bytes,
  changesIn,
  dayMs,
  type Facts,
  nowMs,
  open,
  portsOf,
  recordOf,
  request,
  shown,
  surveyed,
  version,
} from '../harness/attempt-values.ts';
import { expectGolden } from '../harness/golden.ts';

const native = (rotationId: string, purpose: Request['purpose']): Partial<Request> => ({
  purpose,
  native: { rotationId },
  trigger: { kind: 'native' },
});

/** What an attempt can be started for. */
const purposes: Readonly<Record<string, Partial<Request>>> = {
  rotate: {},
  'rotate --force': { force: true, keyDigest: 'key-1' },
  check: { purpose: 'check' },
  recover: { purpose: 'recover', impatient: true },
  resume: { purpose: 'resume', trigger: { kind: 'manual', reason: 'unlocked' } },
  'resume --abandon': { purpose: 'resume', abandon: 'r1' },
  setSecret: { ...native('r1', 'rotate'), force: true },
  testSecret: native('r1', 'check'),
  finishSecret: native('r1', 'recover'),
};

const closed = (fields: Partial<ClosedRotation> = {}): ClosedRotation => ({
  rotationId: 'r0',
  as: 'rotated',
  versionId: 'r0',
  replaced: 'v0',
  sinceMs: nowMs - 70 * dayMs,
  ...fields,
});
const young = { sinceMs: nowMs - 5 * dayMs };
/** A record with the rotation r0, which made `r0` current in place of `v0`. */
const closedBefore = (fields: Partial<ClosedRotation> = {}, record: Partial<AttemptRecord> = {}) =>
  recordOf({ history: [closed(fields)], ...record });
const opened = (fields: Partial<AttemptRecord> = {}): AttemptRecord =>
  recordOf({ phase: 'resetting', leaseMs: 90_000, open, loginsSpent: 1, ...fields } as never);
const stopped = (reason: string, fields: object = {}): AttemptRecord =>
  recordOf({ phase: 'stopped', reason, refused: 'v1', loginsSpent: 1, ...fields } as never);

const r0 = version('r0', 'p0', { days: 70 });
const v0 = version('v0', 'before');
const edited = version('edited', 'p0', { days: 1 });
const restored = version('restored', 'before', { days: 1 });
const byHand = version('by-hand', 'other', { days: 1 });
const stored = version('r1', 'new', { days: 0 });
const v1 = version('v1', 'old');
const overOld = version('r1>edited', 'new', { days: 0 });
const noted = version('edited', 'old', { days: 1 });
const settled = 500_000;
const sealed = { place: '/receipts/east.age', body: null };
const readable = { place: '/receipts/east.age', body: bytes('new') };
const typed = {
  rotationId: 'r1',
  place: 'standard input',
  body: null,
  password: new Secret('new'),
};

const nothingOpen: Readonly<Record<string, Facts>> = {
  'no record, due': {},
  'no record, not due': { current: version('v1', 'old', { days: 10 }), sinceDays: 10 },
  'no record, due today': { current: version('v1', 'old', { days: 60 }), sinceDays: 60 },
  'an edit made the version young, not the password': {
    current: version('v1', 'old', { days: 10 }),
  },
  'released with a failed login': { record: recordOf({ loginsSpent: 2 }) },
  'released with three failed logins': { record: recordOf({ loginsSpent: 3 }) },
  'released with three failed logins, and an unfinished rotation': {
    record: recordOf({ loginsSpent: 3, planned: 'r4' } as never),
    intents: ['r4'],
  },
  'a rotation made the current version, due': { record: closedBefore(), current: r0 },
  'a rotation made the current version, not due': { record: closedBefore(young), current: r0 },
  'another key was edited since': {
    record: closedBefore(),
    current: edited,
    versions: [r0],
    sinceDays: 1,
  },
  'another key was edited since, and the version of the rotation is gone': {
    record: closedBefore(),
    current: edited,
    sinceDays: 1,
  },
  'another password was stored since': {
    record: closedBefore(),
    current: byHand,
    versions: [r0, v0],
    sinceDays: 1,
  },
  'a person stored the password, and said since when it is in use': {
    current: byHand,
    stored: { versionId: 'by-hand', sinceMs: nowMs - 80 * dayMs },
  },
  'a person stored the password, and did not say since when it is in use': {
    current: byHand,
    stored: { versionId: 'by-hand', sinceMs: null },
    sinceDays: 1,
  },
  'a person stored the password, with a date that another clock can have': {
    current: byHand,
    stored: { versionId: 'by-hand', sinceMs: nowMs + 300_000 },
  },
  'a person stored the password, with a date in the future': {
    current: byHand,
    stored: { versionId: 'by-hand', sinceMs: nowMs + 300_001 },
  },
  'a person stored another password before': {
    current: byHand,
    stored: { versionId: 'v1', sinceMs: nowMs - 80 * dayMs },
    sinceDays: 1,
  },
  'the audit log names the current version': {
    record: closedBefore({ rotationId: 'r5', versionId: 'other', replaced: 'v0' }),
    current: version('r5', 'p5'),
    last: {},
  },
  'an old password was stored again': {
    record: closedBefore(),
    current: restored,
    versions: [r0, v0],
  },
  'an old password was stored again, and the later one is written over it': {
    record: closedBefore(),
    current: restored,
    versions: [r0, v0, version('r0>restored', 'p0')],
  },
  'an old password was stored again, and another version has the id': {
    record: closedBefore(),
    current: restored,
    versions: [r0, v0, version('r0>restored', 'another')],
  },
  'an old password was stored again after three failed logins': {
    record: closedBefore({}, { loginsSpent: 3 }),
    current: restored,
    versions: [r0, v0],
  },
  'AWSCURRENT was moved back': {
    record: closedBefore({ sinceMs: undefined }),
    current: v0,
    versions: [r0],
  },
  'the password before the last two was stored again': {
    record: recordOf({
      history: [closed({ rotationId: 'r3', versionId: 'r3', replaced: 'r0' }), closed()],
    }),
    current: restored,
    versions: [version('r3', 'p3'), r0, v0],
  },
  'AWSCURRENT was moved back, and that version is not found by its id': {
    record: closedBefore(),
    current: v0,
    versions: [r0],
    hidden: ['v0'],
  },
  'the new password equals the old one, and another key was edited': {
    record: closedBefore(young),
    current: edited,
    versions: [r0, version('v0', 'p0')],
    sinceDays: 1,
  },
  'the version that replaced this password is gone': {
    record: closedBefore(),
    current: restored,
    versions: [v0],
  },
  'the audit log knows a later rotation': {
    record: closedBefore(),
    current: r0,
    last: { atMs: nowMs - 3_600_000 },
    intents: ['r5'],
  },
  'the audit log knows a rotation of a minute ago': {
    record: closedBefore(),
    current: r0,
    last: { atMs: nowMs - 60_000 },
  },
  'the audit log knows a rotation of almost a minute ago': {
    record: closedBefore(),
    current: r0,
    last: { atMs: nowMs - 59_999 },
  },
  'the audit log knows a rotation of seconds ago': {
    record: closedBefore(),
    current: r0,
    last: { atMs: nowMs - 28_999 },
  },
  'the audit log knows a rotation of another secret': {
    record: closedBefore(),
    current: r0,
    last: { secretId: 'another' },
  },
  'a pending version that no rotation names': {
    record: closedBefore(),
    current: r0,
    pending: 'foreign',
    versions: [version('foreign', 'x'), v0],
    intents: ['r0', 'r9'],
  },
  'a pending version with a known password': {
    record: closedBefore(),
    current: r0,
    pending: 'copy',
    versions: [version('copy', 'before'), v0],
  },
  'a pending version without a value that can be read': {
    record: closedBefore(),
    current: r0,
    pending: 'unreadable',
    versions: [v0],
  },
  'a pending version of a rotation that was not applied': {
    record: closedBefore({ as: 'not-applied', versionId: undefined, replaced: undefined }),
    pending: 'r0',
  },
  'a pending version, and an old version is gone': {
    record: closedBefore(),
    current: r0,
    pending: 'foreign',
    versions: [version('foreign', 'x')],
  },
  'no record, and the audit log knows a rotation': { last: { atMs: nowMs - 3_600_000 } },
  'no record was shown, and one exists': { newer: recordOf({ sequence: 1, loginsSpent: 1 }) },
  'two rotations are unfinished in the audit log': {
    record: recordOf({ history: [closed({ rotationId: 'r8', as: 'superseded' })] }),
    intents: ['r8', 'r9'],
  },
  'the newest record was not shown': {
    record: recordOf({ sequence: 4 }),
    newer: recordOf({ sequence: 7, loginsSpent: 1 }),
    current: version('v1', 'old', { days: 10 }),
    sinceDays: 10,
  },
  'a newer record that is no newer': {
    record: recordOf({ sequence: 7 }),
    newer: recordOf({ sequence: 7, loginsSpent: 2 }),
    current: version('v1', 'old', { days: 10 }),
    sinceDays: 10,
  },
  'AWSCURRENT was outdated': {
    record: closedBefore(young),
    outdated: v0,
    current: r0,
    versions: [v0],
  },
  'AWSCURRENT stays outdated': { record: closedBefore(), current: v0, isUnlabelled: true },
  'too little time for a reset': { remainingMs: 89_999 },
  'just enough time for a reset': { remainingMs: 90_000 },
  'a receipt of another rotation is given': {
    request: { receipt: { ...typed, rotationId: 'r9' } },
  },
};

const ordered = { keyDigest: 'key-1', rotationId: 'r7' };
const owned: Readonly<Record<string, Facts>> = {
  'another process has claimed the account': {
    record: recordOf({ phase: 'claimed', leaseMs: 40_000, planned: 'r4' } as never),
    ageMs: 39_999,
    intents: ['r4'],
  },
  'the lease of another process has ended': {
    record: recordOf({ phase: 'claimed', leaseMs: 40_000, planned: 'r4', loginsSpent: 1 } as never),
    ageMs: 40_000,
    intents: ['r4', 'r9'],
  },
  'the process with the lease has ended': {
    record: recordOf({ phase: 'claimed', leaseMs: 40_000, planned: 'r4', loginsSpent: 1 } as never),
    ageMs: 1_000,
    liveness: 'gone',
    pending: 'r4',
  },
  'a claim that names nobody': {
    record: recordOf({ phase: 'claimed', leaseMs: 40_000, holder: { id: 'owner-0' } }),
    ageMs: 1_500,
  },
  'a claim of a process without a number': {
    record: recordOf({ phase: 'claimed', leaseMs: 40_000, holder: { id: 'o', host: 'there' } }),
    ageMs: 1_500,
  },
  'the login was rejected': { record: stopped('login-refused'), intents: ['r0'] },
  'the login was rejected, and none is counted': {
    record: stopped('login-refused', { loginsSpent: 0 }),
  },
  'the login was rejected, and another key was edited': {
    record: stopped('login-refused'),
    current: noted,
    versions: [v1],
  },
  'the login was rejected, and another password was stored': {
    record: stopped('login-refused'),
    current: byHand,
    versions: [v1],
  },
  'the login was rejected with a version that is gone': {
    record: stopped('login-refused', { refused: 'gone' }),
  },
  'the login was rejected, and no version is named': {
    record: stopped('login-refused', { refused: undefined }),
  },
  'the login limit was reached': {
    record: stopped('login-budget-spent', { refused: undefined, loginsSpent: 3 }),
    current: byHand,
  },
  'the login limit was reached while a rotation was open': {
    record: stopped('login-budget-spent', { refused: undefined, loginsSpent: 3, open }),
    ageMs: settled,
    intents: ['r1'],
  },
  'the login limit was reached while a rotation was open, and the intent has its outcome': {
    record: stopped('login-budget-spent', { refused: undefined, loginsSpent: 3, open }),
    ageMs: settled,
  },
  'the login was rejected while a rotation was open': {
    record: stopped('login-refused', { open }),
    ageMs: settled,
    versions: [stored],
    intents: ['r1', 'r9'],
  },
  'the login was rejected, and the audit log is newer': {
    record: stopped('login-refused'),
    last: { atMs: nowMs - 3_600_000 },
  },
  'the audit log knows a suspension that the store does not have': {
    record: recordOf(),
    suspension: {},
  },
  'the audit log knows a suspension of seconds ago that the store does not have': {
    record: recordOf({ sequence: 8 }),
    suspension: { atMs: nowMs - 28_999 },
  },
  'the audit log knows a suspension, and the store has no record': {
    suspension: { attemptRecord: 1 },
  },
  'the audit log knows a suspension of another secret': {
    record: recordOf(),
    suspension: { secretId: 'another' },
  },
  'the audit log has the suspension of the record': {
    record: stopped('login-refused', { sequence: 9 }),
    suspension: {},
  },
  'the audit log has an earlier suspension': {
    record: stopped('login-refused', { sequence: 9 }),
    suspension: { attemptRecord: 8 },
  },
  'the new password was rejected, and the suspension is in the audit log': {
    record: stopped('verify-refused', { open, refused: 'r1', sequence: 9 }),
    current: stored,
    versions: [v1],
    intents: ['r1'],
    suspension: {},
  },
  'the new password was rejected': {
    record: stopped('verify-refused', { open, refused: 'r1' }),
    current: stored,
    versions: [v1],
    intents: ['r1'],
  },
  'the new password was rejected, and the intent has its outcome': {
    record: stopped('verify-refused', { open, refused: 'r1' }),
    current: stored,
    versions: [v1],
  },
  'the password was lost, and it is in a sealed receipt': {
    record: stopped('password-lost', { open }),
    ageMs: settled,
    receipt: sealed,
  },
  'the password was lost, and it is in a receipt that opens': {
    record: stopped('password-lost', { open }),
    ageMs: settled,
    receipt: readable,
  },
  'the login was rejected, and the version of the last rotation is gone': {
    record: stopped('login-refused', { refused: 'v0', history: [closed()] }),
    current: restored,
    versions: [v0],
  },
  'the owner of a claim has ended after a rotation': {
    record: recordOf({ phase: 'claimed', planned: 'r4', history: [closed()] } as never),
    current: r0,
    liveness: 'gone',
    intents: ['r4'],
  },
  'an old password was rejected before it was restored': {
    record: stopped('store-conflict', { refused: 'r0', history: [closed()] }),
    current: restored,
    versions: [r0, v0],
  },
  'the token of this rotation is current': {
    record: recordOf(),
    current: version('r1', 'new', { days: 1 }),
    sinceDays: 1,
    intents: ['r9'],
  },
  'the token of this rotation is closed and current': {
    record: closedBefore({ rotationId: 'r1', versionId: 'r0', ...young }),
    current: r0,
  },
  'the token of this rotation is closed and replaced': {
    record: recordOf({ history: [closed(young), closed({ rotationId: 'r1', versionId: 'r1' })] }),
    current: r0,
    versions: [stored],
  },
  'the token of this rotation is closed, and another key was edited': {
    record: closedBefore({ rotationId: 'r1', versionId: 'r1', ...young }),
    current: version('edited', 'new', { days: 1 }),
    versions: [stored, v0],
  },
  'the token of this rotation is closed, and its version is gone': {
    record: recordOf({ history: [closed(young), closed({ rotationId: 'r1', versionId: 'r1' })] }),
    current: r0,
  },
  'the token of this rotation has a value': { versions: [stored], sinceDays: 5 },
  'the same order rotated the password': {
    record: closedBefore({ ...ordered, versionId: 'r0', ...young }),
    current: r0,
  },
  'the same order rotated the password, and nobody knows when': {
    record: closedBefore({ ...ordered, versionId: 'r0', sinceMs: undefined }),
    current: version('r0', 'p0', { days: 1 }),
    sinceDays: 1,
  },
  'the same order rotated the password long ago': {
    record: closedBefore({ ...ordered, versionId: 'r0' }),
    current: r0,
  },
  'the same order began a rotation that was superseded': {
    record: closedBefore({
      ...ordered,
      as: 'superseded',
      versionId: undefined,
      sinceMs: undefined,
    }),
  },
  'the same order reset nothing': {
    record: closedBefore({ ...ordered, as: 'not-applied', versionId: undefined }),
  },
  'the secret cannot be read': { fails: 'readCurrent' },
  'the record cannot be read': { fails: 'readRecord' },
  'the pending version cannot be read': { fails: 'readPending' },
  'the audit log cannot be read': { fails: 'rotationsOf' },
  'an old version cannot be read': { record: opened(), fails: 'readVersion' },
  'the age cannot be read': {
    current: version('v1', 'old', { days: 10 }),
    fails: 'passwordSince',
  },
};

const rotationOpen: Readonly<Record<string, Facts>> = {
  'the new password is current': { record: opened(), current: stored, intents: ['r1', 'r9'] },
  'the new password is current, and another key was edited': {
    record: opened(),
    current: version('edited', 'new', { days: 0 }),
    versions: [stored, v1],
  },
  'the new password is current and was verified': {
    record: opened({ open: { ...open, verified: true, keyDigest: 'key-9' } }),
    current: stored,
    pending: 'r0',
    intents: ['r1'],
  },
  'the new password is current after three failed logins': {
    record: opened({ loginsSpent: 3 }),
    current: stored,
    intents: ['r1'],
  },
  'the new password is current, and its receipt is given': {
    record: opened(),
    current: stored,
    request: { receipt: { ...typed, rotationId: 'r9' } },
  },
  'the new password is stored': { record: opened(), versions: [stored], pending: 'r1' },
  'the new password is stored, and another key was edited': {
    record: opened(),
    current: noted,
    versions: [v1, stored],
  },
  'the new password is stored over an edited version': {
    record: opened(),
    current: noted,
    versions: [v1, stored, overOld],
  },
  'the new password is stored over the basis under another id': {
    record: opened(),
    versions: [version('r1>v1', 'new')],
  },
  'the id of the rotation has another password': {
    record: opened(),
    versions: [version('r1', 'staged')],
    receipt: readable,
  },
  'the new password is stored, and an older password was restored': {
    record: opened({ history: [closed({ versionId: 'v1', replaced: 'v0' })] }),
    current: restored,
    versions: [v1, stored, v0],
  },
  'the new password is stored, and another password is current': {
    record: opened(),
    current: byHand,
    versions: [v1, stored],
    intents: ['r1'],
  },
  'the new password is stored, and nobody knows the basis': {
    record: opened({ open: { ...open, basis: 'gone' } }),
    versions: [stored],
  },
  'the new password is in a receipt that opens': { record: opened(), receipt: readable },
  'the new password is in a receipt that opens, for another password': {
    record: opened(),
    receipt: readable,
    current: byHand,
    versions: [v1],
  },
  'the new password is in a sealed receipt': {
    record: opened(),
    receipt: sealed,
    ageMs: settled,
    intents: ['r1', 'r9'],
  },
  'the receipt holds no password': {
    record: opened(),
    receipt: { ...sealed, body: bytes('?') },
    ageMs: settled,
  },
  'the response is kept and readable': { record: opened(), answer: 'new' },
  'the response is kept and not readable': {
    record: opened(),
    answer: '?',
    receipt: sealed,
    intents: ['r1'],
    pending: 'r0',
  },
  'the receipts folder cannot be read': { record: opened(), fails: 'find' },
  'an operator typed the new password': { record: opened(), request: { receipt: typed } },
  'an operator typed the new password, and another one is current': {
    record: opened(),
    current: byHand,
    versions: [v1],
    request: { receipt: typed },
  },
  'nothing is known, and the last reset gave the password of before': {
    record: opened({ open: { ...open, basis: 'gone' }, history: [closed()] }),
    ageMs: settled,
    current: version('r0', 'before', { days: 70 }),
    versions: [v0],
  },
  'an operator typed the password that is current': {
    record: opened(),
    request: { receipt: { ...typed, password: new Secret('old') } },
  },
  'an operator typed the new password, which is stored': {
    record: opened(),
    versions: [stored],
    request: { receipt: typed },
  },
  'an operator typed the new password, which is stored over an edited version': {
    record: opened(),
    current: noted,
    versions: [v1, overOld],
    request: { receipt: typed },
  },
  'an operator gives a receipt that opens': {
    record: opened(),
    request: { receipt: { ...readable, rotationId: 'r1' } },
  },
  'an operator gives a sealed receipt of another rotation': {
    record: opened(),
    ageMs: settled,
    receipt: sealed,
    request: { receipt: { ...typed, rotationId: 'r9' } },
  },
  'the settle time is not over': { record: opened(), ageMs: 100_999, intents: ['r1'] },
  'the settle time ends now': { record: opened(), ageMs: 190_000 },
  'the settle time ends in a moment': { record: opened(), ageMs: 189_999 },
  'the process that reset the password still runs': {
    record: opened(),
    ageMs: settled,
    liveness: 'alive',
  },
  'the process that gave the rotation up still runs': {
    record: recordOf({ open }),
    ageMs: settled,
    liveness: 'alive',
  },
  'the audit log cannot be read while a rotation is open': {
    record: opened(),
    ageMs: 100_000,
    fails: 'rotationsOf',
  },
  'the process that reset the password has the lease': { record: opened(), ageMs: 30_999 },
  'the process that reset the password has ended': {
    record: opened(),
    ageMs: 30_500,
    liveness: 'gone',
  },
  'a claim carries the rotation that is open': {
    record: opened({ phase: 'claimed', leaseMs: 40_000, planned: 'r4' } as never),
    ageMs: 60_000,
    intents: ['r1', 'r4'],
  },
  'nothing is known, and the old password is current': { record: opened(), ageMs: settled },
  'nothing is known after three failed logins': {
    record: opened({ loginsSpent: 3 }),
    ageMs: settled,
    intents: ['r1', 'r9'],
  },
  'nothing is known after three failed logins, and the intent has its outcome': {
    record: opened({ loginsSpent: 3 }),
    ageMs: settled,
  },
  'nothing is known, and the current version is not found by its id': {
    record: opened(),
    ageMs: settled,
    hidden: ['v1'],
  },
  'nothing is known about a rotation that began after another one': {
    record: opened({ open: { ...open, basis: 'r0' }, history: [closed()] }),
    ageMs: settled,
    current: r0,
    versions: [v0],
  },
  'nothing is known, and another key was edited': {
    record: opened(),
    ageMs: settled,
    current: version('edited', 'old', { days: 10 }),
    versions: [v1],
  },
  'nothing is known, and another password is current': {
    record: opened({ history: [closed({ versionId: 'v1', replaced: 'v0' })] }),
    ageMs: settled,
    current: byHand,
    versions: [v1, v0],
  },
  'nothing is known, and an old password was restored': {
    record: opened({ history: [closed({ versionId: 'v1', replaced: 'v0' })] }),
    ageMs: settled,
    current: restored,
    versions: [v1, v0],
  },
  'nothing is known, and the basis is an old password': {
    record: opened({
      open: { ...open, basis: 'v0' },
      history: [closed({ versionId: 'v1', replaced: 'v0' })],
    }),
    ageMs: settled,
    current: v0,
    versions: [v1],
  },
  'a rotation of version 0.1': {
    record: recordOf({ open: { ...open, settleLeftMs: 1_000, isLegacy: true } }),
  },
  'a rotation of version 0.1 that may be slow': {
    record: recordOf({ open: { ...open, settleLeftMs: 600_000, isLegacy: true } }),
    ageMs: settled,
  },
  'a rotation of version 0.1 that is current and verified': {
    record: recordOf({
      open: { ...open, isLegacy: true },
      history: [closed({ rotationId: 'r-1', as: 'abandoned' })],
    }),
    current: version('r1', 'new', { days: 61 }),
    versions: [v1],
    last: { rotationId: 'r1', versionId: 'r1', isVerified: true },
  },
  'a rotation of version 0.1 that was verified, and another password is current': {
    record: recordOf({ open: { ...open, isLegacy: true } }),
    ageMs: 700_000,
    current: byHand,
    versions: [stored, v1],
    last: { rotationId: 'r1', versionId: 'r1', isVerified: true },
  },
  'a rotation of version 0.1 that is current and not verified': {
    record: recordOf({ open: { ...open, isLegacy: true } }),
    current: stored,
    last: { rotationId: 'r1', versionId: 'r1' },
  },
};

test('a resume accepts that the version of the last rotation is gone', async () => {
  // The resume ended with exit code 0, and the account stayed suspended, when the audit log did not
  // name that rotation.
  const facts: Facts = { record: closedBefore(), current: restored, versions: [v0] };

  const resumed = (await surveyed(facts, { purpose: 'resume' })).at(-1);
  const record = resumed?.at === 'ending' ? resumed.record : null;
  const next = (await surveyed({ ...facts, record })).at(-1);

  expect(record?.history).toEqual([{ rotationId: 'r0', as: 'abandoned' }]);
  expect(next).toMatchObject({ at: 'claiming', plan: { plan: 'rotate' } });
});

/** What happens for this purpose, from the survey to the first state that reads nothing. */
async function follow(facts: Facts, asked: Partial<Request>): Promise<string> {
  const states = await surveyed(facts, asked);
  const [before, after] = states.slice(-2) as [State, State];
  const isOver = ['surveying', 'examining'].includes(after.at);
  const reads = states.map(({ at }) => at).slice(0, -1);
  return [`after ${reads.join()}`, ...(isOver ? [] : changesIn(before, after))].join('\n  ');
}

async function described(facts: Facts): Promise<string> {
  const states = await surveyed(facts);
  const examining = states.find(({ at }) => at === 'examining');
  const questions = examining?.at === 'examining' ? shown(examining.questions) : 'none';
  const status = await readStatus(portsOf(facts), { ...request, ...facts.request });
  const texts = new Map<string, string[]>();
  for (const [purpose, asked] of Object.entries(purposes)) {
    const text = await follow(facts, asked);
    texts.set(text, [...(texts.get(text) ?? []), purpose]);
  }
  const decisions = [...texts].map(([text, names]) => `${names.join(', ')}: ${text}`);
  return [`questions ${questions}`, `status ${shown(status)}`, ...decisions].join('\n');
}

test.each(Object.entries({ ...nothingOpen, ...owned, ...rotationOpen }))(
  'what is read decides what follows, for every purpose: %s',
  async (title, facts) => {
    expectGolden('decisions.txt', title, await described(facts));
  },
);
