// The failure table holds together: what is known, who acts, and what the process exits with.

import { triggerKinds } from '../../src/rotation/event.ts';
import {
  type Certainty,
  errnoOf,
  exitCodeOf,
  Failure,
  failures,
  osErrorText,
  type Reason,
  stopReasons,
  storeFailures,
  systemFailure,
} from '../../src/rotation/failure.ts';
import { closings } from '../../src/rotation/record.ts';
import { describeSharedUser, findSharedUsers } from '../../src/rotation/shared-users.ts';
import { stateOfReason } from '../../src/rotation/status.ts';

const rows = Object.entries(failures);

/** The new password exists, and no program can read it. */
const unreadable = ['receipt-sealed', 'answer-unreadable'];

test.each(rows)('%s says who acts next', (reason, { certainty, disposition }) => {
  const whom = {
    unchanged: 'later',
    changed: 'recover',
    'in-doubt': 'recover',
    lost: 'person',
    stopped: 'person',
  } as const;

  expect(disposition).toBe(unreadable.includes(reason) ? 'person' : whom[certainty]);
});

test('a suspended account waits for a person', () => {
  expect(stopReasons.map((reason) => failures[reason].disposition)).toEqual(
    stopReasons.map(() => 'person'),
  );
});

test.each<[Certainty, number]>([
  ['rotated', 0],
  ['not-due', 0],
  ['unchanged', 1],
  ['changed', 3],
  ['in-doubt', 3],
  ['lost', 4],
  ['stopped', 4],
])('%s exits with %d, and with 0 when that is what was asked for', (certainty, code) => {
  expect(exitCodeOf(certainty, false)).toBe(code);
  expect(exitCodeOf(certainty, true)).toBe(0);
});

const systemError = (code: unknown, errno?: number): Error =>
  Object.assign(new Error('of the system'), { code, errno });

test.each<[unknown, string]>([
  [systemError('ENOSPC', -28), 'ENOSPC'],
  [systemError('Unknown system error -122', -122), 'EDQUOT'],
  [systemError('Unknown system error -116', -116), 'ESTALE'],
  [systemError('Unknown system error -37', -37), 'ENOLCK'],
  [systemError('enospc'), ''],
  [systemError(7), ''],
  [systemError(['ENOENT']), ''],
  [new Error('no code'), ''],
  [null, ''],
  [undefined, ''],
])('the errno name of an error of the operating system: %#', (error, name) => {
  expect(errnoOf(error)).toBe(name);
});

test.each<[string, string, string | undefined]>([
  ['EACCES', 'permission denied', 'file-denied'],
  ['EDQUOT', 'disk quota exceeded', 'disk-full'],
  ['EIO', 'input or output error', 'disk-error'],
  ['ENOENT', 'no such file or folder', 'file-missing'],
  ['ENOSPC', 'no space left on the disk', 'disk-full'],
  ['EPERM', 'operation not permitted', 'file-denied'],
  ['EROFS', 'the file system is read-only', 'file-denied'],
  ['ELOOP', 'the operating system reported an error', undefined],
])('%s is explained, with the path and the cause', (code, meaning, cause) => {
  const failure = systemFailure('store-unavailable', 'index', '/a/file', systemError(code));

  expect([failure.reason, failure.message]).toEqual([
    'store-unavailable',
    `index: ${meaning} (${code})`,
  ]);
  expect(failure.facts).toEqual({ cause, path: '/a/file' });
});

test.each<[string, string]>([
  ['EACCES', 'permission denied'],
  ['EADDRINUSE', 'the address is in use'],
  ['EADDRNOTAVAIL', 'this machine does not have the address'],
  ['EEXIST', 'the file exists already'],
  ['EISDIR', 'it is a folder'],
  ['ENOTDIR', 'it is not a folder'],
  ['ELOOP', 'system error ELOOP'],
  ['no code', 'system error unknown'],
])('%s is explained in words', (code, meaning) => {
  expect(osErrorText(systemError(code))).toBe(meaning);
});

test('the names in records, logs and metrics are an interface', () => {
  expect({ triggerKinds, closings, stopReasons, storeFailures }).toEqual({
    triggerKinds: ['schedule', 'manual', 'native', 'recovery', 'unattended'],
    closings: ['rotated', 'not-applied', 'superseded', 'abandoned'],
    stopReasons: [
      'login-refused',
      'login-budget-spent',
      'verify-refused',
      'store-conflict',
      'password-lost',
    ],
    storeFailures: ['store-unavailable', 'store-denied', 'store-missing'],
  });
});

test('each reason has one state of its account', () => {
  const reasonsOf = (state: string): string[] =>
    rows.map(([reason]) => reason).filter((reason) => stateOfReason(reason as Reason) === state);

  expect(reasonsOf('busy')).toEqual(['busy']);
  expect(reasonsOf('unreadable')).toEqual([
    'store-unavailable',
    'store-denied',
    'store-missing',
    'secret-not-found',
    'secret-invalid',
  ]);
  expect(reasonsOf('stopped')).toEqual([
    'record-invalid',
    'login-refused',
    'login-budget-spent',
    'verify-refused',
    'store-conflict',
    'store-older-than-audit',
    'password-lost',
  ]);
  expect(reasonsOf('in-doubt')).toEqual(['in-flight', 'answer-lost', 'settling']);
  expect(reasonsOf('changed')).toEqual([
    'not-stored',
    'not-promoted',
    'verify-unavailable',
    'receipt-sealed',
    'answer-unreadable',
    'old-password-restored',
  ]);
});

test('a failure has its name, its reason and its facts', () => {
  const { name, reason, message, facts } = new Failure('store-denied', 'no');

  expect({ name, reason, message, facts }).toEqual({
    name: 'Failure',
    reason: 'store-denied',
    message: 'no',
    facts: {},
  });
});

test('a failure stays what it is, and a bug is thrown', () => {
  const failure = new Failure('store-denied', 'no');
  const bug = new TypeError('a bug');

  expect(systemFailure('store-unavailable', 'x', '/x', failure)).toBe(failure);
  expect(() => systemFailure('store-unavailable', 'x', '/x', bug)).toThrow(bug);
});

test('accounts that hold one ThingSpace user are found, and the user is not printed', () => {
  const accounts = [
    { account: 'a', username: 'UWS1' },
    { account: 'b', username: 'UWS2' },
    { account: 'c', username: 'UWS1' },
    { account: 'd' },
    { account: 'e' },
  ];

  expect(findSharedUsers(accounts)).toEqual([['a', 'c']]);
  expect(describeSharedUser(['a', 'c'])).toBe(
    'accounts a and c have the same ThingSpace user; each account needs its own',
  );
});
