// Hand-written notes on each reason: what not to do, and why. `explain REASON` prints them after
// the steps of catalogue.ts.

import type { Reason } from './failure.ts';

export const notes: Record<Reason, string> = {
  busy:
    'Do not remove the label ROTATION: it is the lock and the count of logins. A lease ends at ' +
    'its time; on the same machine, the end of a process is detected at once.',
  interrupted:
    'A signal cannot end an attempt between the reset and the storage of its response: the ' +
    'attempt finishes first.',
  'out-of-time':
    'Do not shorten resetTimeoutMs to make it fit: a late response is still the only copy of ' +
    'the new password.',
  'store-unavailable':
    'Do not delete files of the file store. Versions never change, so what exists can be read.',
  'store-denied':
    'Do not grant secretsmanager:*. The files in infra/ list the permissions that are needed.',
  'store-missing':
    'Do not store the passwords again in a new folder: a backup or the unmounted disk holds the ' +
    'attempt records, which say whether a rotation is unfinished.',
  'secret-not-found':
    'Do not create an empty secret: it needs username, password, clientId and clientSecret.',
  'secret-invalid':
    'Do not pass the secret on a command line: `secret put` reads standard input. If its keys ' +
    'have other names, configure `fields`.',
  'foreign-pending': 'Do not use two rotation programs for one secret.',
  'token-used':
    'A version never changes, so a new password could not be stored under this token. No reset ' +
    'was sent.',
  'store-full':
    'Do not delete versions by hand. A rotation writes four versions, and a recovery a few more.',
  'record-invalid':
    'Do not downgrade while a rotation is unfinished. The attempt record holds no credential, ' +
    'so you can read it.',
  'api-unavailable': 'No login was sent, so retries are safe.',
  'api-key-refused':
    'The application key can also be in the secret that oauthSecretId names. Do not change the ' +
    'password.',
  'login-unavailable':
    'Do not retry many times: after three logins that were not accepted, the account is ' +
    'suspended (login-budget-spent).',
  'session-refused': 'The cause at ThingSpace is not known. A retry is safe.',
  'reset-refused': 'Do not reset the password by other means before you know what the code means.',
  'reset-throttled': 'Do not raise `concurrency`.',
  'receipt-unavailable':
    'Do not disable receipts to avoid this failure. The file name of a receipt holds its ' +
    'rotation id.',
  'audit-unavailable':
    'Do not delete audit files to free disk space: verification would then report the log as ' +
    'altered. Move the complete folder.',
  'not-stored':
    'Do not log in with the stored password: it is invalid. The receipt is in the receipts ' +
    'folder, and in the line `receipt.sealed` of the log.',
  'not-promoted': 'Do not remove the pending version. No login with the old password is needed.',
  'verify-unavailable':
    'Do not make the previous version current again: the old password is invalid.',
  'in-flight': 'Do not end that process with SIGKILL. SIGTERM lets it finish.',
  'answer-lost': 'Do not log in or reset the password by hand before the settle time has passed.',
  'receipt-sealed':
    'Do not log in with the stored password: it is probably invalid. Copy the receipt to the ' +
    'machine that has its key, or name the key with --identity.',
  'answer-unreadable':
    'Do not remove the label ROTATION_ANSWER before the account is healthy. No login is sent ' +
    'while the response is undecided.',
  'old-password-restored':
    'Do not restore secrets from a backup or from a template: a rotated password is replaced ' +
    'by an invalid one.',
  settling: 'The clock of the secret store decides, so a change of the local clock has no effect.',
  'login-refused':
    'Do not resume without a reason to believe that the stored password is correct: each ' +
    'rejected login counts.',
  'login-budget-spent':
    'Do not resume before you have logged in once by hand. Two logins are left.',
  'verify-refused': 'Do not make the previous version current again: the old password is invalid.',
  'store-conflict': 'Do not delete the pending version: it holds the password that Verizon issued.',
  'store-older-than-audit':
    'Do not log in with the stored password: a later rotation replaced it, or later logins with ' +
    'it were rejected. The detail names what is missing.',
  'password-lost': 'Do not try old passwords: each rejected login counts.',
};
