// What a person reads about each reason: title, meaning, and the steps that correct it, with the
// real values filled in. One formatter serves the terminal, the status page, notifications, the log
// and `explain REASON`; docs/RUNBOOK.md is generated from this table. Pure.
//
// Callers give the facts that they know. A step prints a complete command where there is one.

import { isoTime } from '../time.ts';
import { type Cause, type Facts, failures, type Reason } from './failure.ts';

/** One thing to do. `command` can be pasted into a shell as it is. */
export type Step = { readonly text: string; readonly command?: string };

type Entry = {
  /** Five words at most, lower case. */
  readonly title: string;
  /** The state of the password, then why: one or two sentences. */
  readonly meaning: (facts: Facts) => string;
  readonly steps: (facts: Facts) => readonly Step[];
};

/** A reason with its facts, ready to print. */
export type Explanation = {
  readonly reason: Reason;
  readonly title: string;
  readonly meaning: string;
  readonly steps: readonly Step[];
};

/** The identity that decrypts receipts, as `init` names it; it is on another machine. */
const identity = 'receipts.key';
/** A receipt that was copied from the log or from a bucket. */
const receiptCopy = 'receipt.json';

/** Printed where no account is known (`explain REASON`, the runbook). */
const anyAccount = 'ACCOUNT';

const accountOf = (facts: Facts): string => facts.account ?? anyAccount;
const secretOf = (facts: Facts): string => facts.secretId ?? accountOf(facts);
const usesFiles = (facts: Facts): boolean => facts.store === 'file';
const current = (facts: Facts): string => (usesFiles(facts) ? 'the current version' : 'AWSCURRENT');
const pending = (facts: Facts): string =>
  usesFiles(facts) ? 'the pending version' : 'the version under AWSPENDING';

/** A word of a printed command, quoted for a POSIX shell where it needs it. */
const quoted = (word: string): string =>
  /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;

/** A complete command of this program, with the configuration that the caller used. */
export function ownCommand(facts: Facts, ...words: readonly string[]): string {
  const config = facts.config === undefined ? [] : ['--config', facts.config];
  return ['thingspace-rotator', ...words, ...config].map(quoted).join(' ');
}

const retry = (facts: Facts): Step => ({
  text: 'The next scheduled run retries. To retry now',
  command: ownCommand(facts, 'rotate', accountOf(facts)),
});
const recover = (facts: Facts, text: string): Step => ({
  text,
  command: ownCommand(facts, 'recover', accountOf(facts)),
});
const resume = (facts: Facts, text: string): Step => ({
  text,
  command: `${ownCommand(facts, 'resume', accountOf(facts))} --reason "…"`,
});
/** Storing a password needs another tool where the secret is in AWS. */
const store = (facts: Facts, text: string): Step =>
  usesFiles(facts) || facts.account === undefined
    ? { text, command: ownCommand(facts, 'secret', 'put', accountOf(facts)) }
    : { text: `${text}: edit the secret ${secretOf(facts)} in AWS Secrets Manager` };
/** `infra/account.yaml` creates a secret without a value. */
const putValue = (facts: Facts): Step => ({
  text: 'If the secret exists, store its value from a file',
  command:
    `aws secretsmanager put-secret-value --secret-id ${quoted(secretOf(facts))} ` +
    '--secret-string file://secret.json',
});
/** How the receipt gets into a file, where it is in none. */
function copyReceipt({ receipt = '', rotationId = 'ROTATION_ID' }: Facts): Step[] {
  if (receipt === 'the log')
    return [
      {
        text:
          `Save the line of the log with "receipt.sealed" and rotation ${rotationId} as ` +
          `${receiptCopy}`,
      },
    ];
  if (!receipt.startsWith('s3://')) return [];
  const command = `aws s3 cp ${quoted(receipt)} ${receiptCopy}`;
  return [{ text: 'Copy the receipt to the machine with the receipts identity', command }];
}
function openReceipt(facts: Facts): Step[] {
  const copied = copyReceipt(facts);
  const file = copied.length > 0 ? receiptCopy : (facts.receipt ?? 'FILE');
  const command = ownCommand(
    facts,
    'recover',
    accountOf(facts),
    '--receipt',
    file,
    '--identity',
    identity,
  );
  const text = 'Complete the rotation from the receipt with the receipts identity';
  return [...copied, { text, command }];
}
/** The kept bytes of a response: in the secret, in base64. */
const readAnswer = (facts: Facts): Step => ({
  text: 'Read the kept response; its field "bytes" is in base64',
  command: usesFiles(facts)
    ? `${ownCommand(facts, 'secret', 'get', accountOf(facts), '--stage', 'ROTATION_ANSWER')} ` +
      `--reveal`
    : `aws secretsmanager get-secret-value --secret-id ${quoted(secretOf(facts))} ` +
      `--version-stage ROTATION_ANSWER`,
});
const verizonResets: Step = {
  text: 'If no receipt exists, ask Verizon support to reset the password, then store the new one',
};

const where = ({ path }: Facts): string => path ?? 'the path in the detail';
const disk = (facts: Facts): string => (facts.path === undefined ? '' : ` of ${facts.path}`);

/** What corrects a cause, whatever the reason is. */
const causeSteps: Record<Cause, (facts: Facts) => readonly Step[]> = {
  'file-mode': (facts) => [
    {
      text: 'Make the key file readable by its owner only',
      command: `chmod 600 ${quoted(where(facts))}`,
    },
  ],
  'file-denied': (facts) => [
    {
      text: `Give the user that runs thingspace-rotator read and write access to ${where(facts)}`,
      command: `ls -ld ${quoted(where(facts))}`,
    },
  ],
  'file-missing': (facts) => [
    { text: `Restore ${where(facts)}, or correct its path in the configuration` },
  ],
  'folder-missing': (facts) => [
    {
      text: `Mount or restore the folder ${where(facts)}, or correct its path in the configuration`,
    },
    ...(facts.mark === undefined
      ? []
      : [
          {
            text: 'Only if it must begin anew, empty: delete its mark',
            command: `rm ${quoted(facts.mark)}`,
          },
        ]),
  ],
  'disk-full': (facts) => [
    {
      text: `Free disk space on the file system${disk(facts)}`,
      command: `df -h ${quoted(where(facts))}`,
    },
  ],
  'disk-error': (facts) => [
    { text: `Check the disk and the file system${disk(facts)}; the system log has the error` },
  ],
  'disk-hangs': (facts) => [
    {
      text: `Check that the file system${disk(facts)} answers: a network mount waits for its host`,
    },
    retry(facts),
  ],
  damaged: (facts) => [{ text: `Restore ${where(facts)} from a backup` }],
  'key-invalid': (facts) => [
    {
      text:
        `Replace the content of ${where(facts)} with a valid key, or correct its path in ` +
        `the configuration`,
    },
  ],
  'key-mismatch': (facts) => [
    { text: `Use the key that the data was encrypted to; ${where(facts)} holds another one` },
  ],
  iam: ({ permission = 'the permission in the detail', resource }) => [
    {
      text:
        `Grant ${permission}${resource === undefined ? '' : ` on ${resource}`} to the role ` +
        `that runs thingspace-rotator`,
    },
  ],
  'kms-key': ({ permission = 'kms:Decrypt and kms:GenerateDataKey' }) => [
    { text: `Enable the KMS key of the secret, and grant ${permission} on it` },
  ],
  'aws-credentials': () => [
    { text: 'Renew the AWS credentials of this process', command: 'aws sts get-caller-identity' },
  ],
  'aws-region': () => [{ text: 'Set store.region in the configuration, or AWS_REGION' }],
  'secret-deleted': (facts) => [
    {
      text: 'Cancel the deletion of the secret',
      command: `aws secretsmanager restore-secret --secret-id ${quoted(secretOf(facts))}`,
    },
  ],
  quota: (facts) => [
    { text: 'Wait until the service removes old versions, which it does after 24 hours' },
    retry(facts),
  ],
  throttled: (facts) => [retry(facts)],
  'base-url': () => [
    {
      text:
        'Correct thingspace.baseUrl in the configuration; Verizon documents ' +
        'https://thingspace.verizon.com/api',
    },
  ],
  'recipient-invalid': () => [
    { text: 'Correct receipts.recipients in the configuration: each is an age recipient (age1…)' },
  ],
  'other-rotation': (facts) => [
    {
      text:
        'Check which rotation is unfinished, and use its receipt; the file name holds the ' +
        'rotation id',
      command: ownCommand(facts, 'status', accountOf(facts)),
    },
  ],
  'receipt-content': (facts) => [
    {
      text: 'Read the receipt yourself; it holds the response of ThingSpace as it arrived',
      command:
        `age --decrypt --identity ${identity} ` +
        `${quoted(facts.receipt ?? facts.path ?? 'FILE')}`,
    },
  ],
  contention: (facts) => [
    { text: 'Find the other processes that change the same data at the same time' },
    retry(facts),
  ],
  'shared-user': () => [
    {
      text:
        'Keep one of the accounts in the configuration, or store another ThingSpace user in ' +
        'one of the secrets',
    },
  ],
  'order-repeated': () => [
    { text: 'Give the order another idempotency key, or wait for the next scheduled run' },
  ],
  'log-damaged': (facts) => [
    {
      text: 'Check which records are damaged, then restore the audit log from a backup',
      command: ownCommand(facts, 'audit', 'verify'),
    },
  ],
  'log-begins-later': (facts) => [
    {
      text:
        `Copy back into ${where(facts)} the months that were moved, or the file in frontiers/ of ` +
        'the newest bundle that `audit archive` wrote',
    },
    retry(facts),
  ],
};

/** When a retry can succeed, in parentheses; empty where it is not known. */
const timeOf = ({ retryAtMs }: Facts): string =>
  retryAtMs === undefined ? '' : ` (${utcText(retryAtMs)})`;

/** `2026-11-23 03:17 UTC` */
const utcText = (ms: number): string => `${isoTime(ms).slice(0, 16).replace('T', ' ')} UTC`;

const unchangedSince = (why: string) => (): string => `This run changed nothing. ${why}`;

/** Every reason, in the order of failure.ts. */
const catalogue: Record<Reason, Entry> = {
  busy: {
    title: 'another process is working',
    meaning: unchangedSince('Another process holds the lease of this account.'),
    steps: (facts) => [{ text: `Wait until the lease ends${timeOf(facts)}` }, retry(facts)],
  },
  interrupted: {
    title: 'interrupted before the reset',
    meaning: unchangedSince('The program received a signal before it sent the reset.'),
    steps: (facts) => [retry(facts)],
  },
  'out-of-time': {
    title: 'not enough time left',
    meaning: unchangedSince('The platform leaves less time than a reset and its storage can need.'),
    steps: () => [
      {
        text:
          'Raise the timeout of the function above resetTimeoutMs plus three times ' +
          'requestTimeoutMs, or rotate fewer accounts per run',
      },
    ],
  },
  'store-unavailable': {
    title: 'secret store unreachable',
    meaning: unchangedSince('The secret store did not answer, or its data cannot be read.'),
    steps: (facts) => [
      {
        text:
          `Check that the secret store is ` +
          `reachable${facts.host === undefined ? '' : `: ${facts.host}`}`,
      },
      retry(facts),
    ],
  },
  'store-denied': {
    title: 'access to secret store denied',
    meaning: unchangedSince('The secret store refused access.'),
    steps: (facts) => [{ text: 'Grant the access that the detail names' }, retry(facts)],
  },
  'store-missing': {
    title: 'secret store is missing',
    meaning: unchangedSince('The folder of the file store is not there.'),
    steps: (facts) => causeSteps['folder-missing'](facts),
  },
  'secret-not-found': {
    title: 'secret not found',
    meaning: (facts) =>
      `Unknown. The secret ${secretOf(facts)} does not exist, or it has no ` +
      `${usesFiles(facts) ? 'current version' : 'version under AWSCURRENT'}. ThingSpace was ` +
      `not contacted.`,
    steps: (facts) => [
      ...(facts.store === 'secrets-manager' ? [putValue(facts)] : []),
      store(
        facts,
        'Create the secret, or correct the secretId of the account in the configuration',
      ),
    ],
  },
  'secret-invalid': {
    title: 'secret has wrong content',
    meaning: unchangedSince(
      'The content of the secret cannot be used. ThingSpace was not contacted.',
    ),
    steps: (facts) => [store(facts, 'Correct the content of the secret as the detail says')],
  },
  'foreign-pending': {
    title: 'pending version of unknown origin',
    meaning: (facts) =>
      `This run changed nothing. Another program wrote ${pending(facts)}, and its rotation may ` +
      `be unfinished.`,
    steps: (facts) => [
      { text: `Find out which program wrote version ${facts.pendingVersionId ?? 'in the detail'}` },
      ...(usesFiles(facts) || facts.pendingVersionId === undefined
        ? []
        : [
            {
              text: 'When that version is not needed, remove its label',
              command:
                `aws secretsmanager update-secret-version-stage --secret-id ` +
                `${quoted(secretOf(facts))} --version-stage AWSPENDING --remove-from-version-id ` +
                `${quoted(facts.pendingVersionId)}`,
            },
          ]),
    ],
  },
  'token-used': {
    title: 'rotation token used before',
    meaning: unchangedSince(
      'The ClientRequestToken, or the idempotency key, belongs to an earlier rotation.',
    ),
    steps: (facts) => [
      {
        text: 'Start a new rotation; Secrets Manager gives it a new token',
        command: `aws secretsmanager rotate-secret --secret-id ${quoted(secretOf(facts))}`,
      },
    ],
  },
  'store-full': {
    title: 'too many young versions',
    meaning: unchangedSince(
      'Secrets Manager keeps about 100 versions and removes none that is younger than 24 hours.',
    ),
    steps: (facts) => [
      { text: 'Find out which program writes so many versions of this secret' },
      retry(facts),
    ],
  },
  'record-invalid': {
    title: 'attempt record cannot be read',
    meaning: () =>
      'Unknown. The attempt record was written by a newer release or edited by a person. ' +
      'Automatic rotation is suspended.',
    steps: () => [
      {
        text:
          'Use the release that wrote the record, or restore the record; it is the version ' +
          'under the label ROTATION',
      },
    ],
  },
  'api-unavailable': {
    title: 'ThingSpace unreachable',
    meaning: ({ host = 'The ThingSpace API' }) =>
      `This run changed nothing. ${host} is unreachable, or it answered with an error before ` +
      `the login. No login was counted.`,
    steps: (facts) => [
      { text: `Check the network path to ${facts.host ?? 'the ThingSpace API'}` },
      retry(facts),
    ],
  },
  'api-key-refused': {
    title: 'application key rejected',
    meaning: unchangedSince('ThingSpace rejected clientId and clientSecret. No login was counted.'),
    steps: (facts) => [
      store(facts, 'Correct clientId and clientSecret in the secret; leave the password as it is'),
    ],
  },
  'login-unavailable': {
    title: 'login not answered',
    meaning: ({ host = 'ThingSpace' }) =>
      `This run changed nothing. ${host} did not answer the login. Verizon may have counted it ` +
      `as failed.`,
    steps: (facts) => [{ text: 'Check that the ThingSpace API works' }, retry(facts)],
  },
  'session-refused': {
    title: 'session rejected twice',
    meaning: unchangedSince('ThingSpace ended two sessions in a row before the reset.'),
    steps: (facts) => [retry(facts)],
  },
  'reset-refused': {
    title: 'reset rejected',
    meaning: unchangedSince('ThingSpace rejected the reset, or the request was never sent.'),
    steps: () => [
      {
        text:
          'Find the error code of the response in the Verizon documentation; if it ' +
          'persists, ask Verizon support',
      },
    ],
  },
  'reset-throttled': {
    title: 'reset throttled',
    meaning: unchangedSince(
      'ThingSpace answered that requests come too fast, before it processed the reset.',
    ),
    steps: (facts) => [
      { text: 'Lower concurrency in the configuration if this repeats' },
      retry(facts),
    ],
  },
  'receipt-unavailable': {
    title: 'receipt cannot be used',
    meaning: unchangedSince('A receipt cannot be written or cannot be opened.'),
    steps: (facts) => [
      {
        text:
          'Correct the receipts section of the configuration, or give the matching receipt ' +
          'and identity',
      },
      retry(facts),
    ],
  },
  'audit-unavailable': {
    title: 'audit log not writable',
    meaning: unchangedSince(
      'The audit log cannot be written or read. Without a durable record nothing is reset.',
    ),
    steps: (facts) => [
      { text: 'Make the audit storage that the detail names writable' },
      retry(facts),
    ],
  },
  'not-stored': {
    title: 'new password not stored',
    meaning: () =>
      'Changed. ThingSpace issued a new password, and the secret store did not accept it in time.',
    steps: (facts) => [...openReceipt(facts), verizonResets],
  },
  'not-promoted': {
    title: 'new password not yet current',
    meaning: (facts) =>
      `Changed. The new password is stored in ${pending(facts)}, and is not current yet.`,
    steps: (facts) => [recover(facts, 'Make the new password current')],
  },
  'verify-unavailable': {
    title: 'new password not verified',
    meaning: (facts) =>
      `Changed. The new password is in ${current(facts)}. The login that verifies it was not ` +
      `answered.`,
    steps: (facts) => [recover(facts, 'Verify the password with one login')],
  },
  'receipt-sealed': {
    title: 'new password in sealed receipt',
    meaning: () =>
      'Changed. The response of ThingSpace is in a receipt that no key on this machine opens.',
    steps: (facts) => openReceipt(facts),
  },
  'answer-unreadable': {
    title: 'reset response not readable',
    meaning: () =>
      'Changed. ThingSpace answered the reset, and the response holds no password that this ' +
      'program can read. The bytes are kept.',
    steps: (facts) => [
      readAnswer(facts),
      {
        text: 'Store the password that you read, from standard input',
        command: ownCommand(
          facts,
          'recover',
          accountOf(facts),
          '--rotation-id',
          facts.rotationId ?? 'ROTATION_ID',
          '--password-stdin',
        ),
      },
      {
        text:
          'If the response holds no password, close the rotation; the next run then tests ' +
          'the stored password',
        command: `${ownCommand(
          facts,
          'resume',
          accountOf(facts),
          '--abandon',
          facts.rotationId ?? 'ROTATION_ID',
        )} --reason "…"`,
      },
    ],
  },
  'old-password-restored': {
    title: 'old password restored',
    meaning: (facts) =>
      `Changed. ${usesFiles(facts) ? 'The current version' : 'AWSCURRENT'} holds a password ` +
      `that a later rotation replaced. The later password is in the secret.`,
    steps: (facts) => [
      recover(facts, 'Test the later password with one login, and make it current'),
    ],
  },
  'in-flight': {
    title: 'rotation in progress elsewhere',
    meaning: () =>
      'Not known yet. Another process sent a reset and has not stored the response yet.',
    steps: (facts) => [recover(facts, 'Wait for that process, then check the result')],
  },
  'answer-lost': {
    title: 'reset response not received',
    meaning: () =>
      'Not known yet. The reset was sent and no response arrived: the old password or a new one ' +
      'is valid.',
    steps: (facts) => [
      recover(facts, 'After the settle time, one login shows whether the reset happened'),
    ],
  },
  settling: {
    title: 'waiting for the settle time',
    meaning: () =>
      'Not known yet. A slow reset can still finish at Verizon, so no login is sent before the ' +
      'settle time ends.',
    steps: (facts) => [
      recover(facts, `After the settle time ends${timeOf(facts)}, check the result`),
    ],
  },
  'login-refused': {
    title: 'login rejected',
    meaning: () =>
      'Unchanged. ThingSpace rejected the stored password. Automatic rotation is suspended.',
    steps: (facts) => [
      store(facts, 'Store the correct password'),
      resume(
        facts,
        'If the stored password is correct (for example, the user was locked and is unlocked now)',
      ),
    ],
  },
  'login-budget-spent': {
    title: 'login limit reached',
    meaning: () =>
      'Unknown. Three logins were rejected or not answered in a row. Automatic rotation is ' +
      'suspended.',
    steps: (facts) => [
      {
        text:
          'Log in once by hand with the stored password; Verizon locks the user after five ' +
          'failed logins',
      },
      resume(facts, 'If the login was accepted'),
      store(facts, 'If it was rejected, store the correct password'),
    ],
  },
  'verify-refused': {
    title: 'new password rejected',
    meaning: (facts) =>
      `Unknown. The new password is in ${current(facts)}, and ThingSpace rejected it. Automatic ` +
      `rotation is suspended.`,
    steps: (facts) => [
      {
        text:
          'Log in once by hand with the stored password; Verizon locks the user after five ' +
          'failed logins',
      },
      resume(facts, 'If the login was accepted'),
      store(
        facts,
        'If it was rejected, ask Verizon support to reset the password, then store the new one',
      ),
    ],
  },
  'store-conflict': {
    title: 'secret changed during rotation',
    meaning: (facts) =>
      `Changed. The new password is in ${pending(facts)}. Another user or program changed ` +
      `${current(facts)} meanwhile. Automatic rotation is suspended.`,
    steps: (facts) => [
      ...(usesFiles(facts) || facts.pendingVersionId === undefined || facts.versionId === undefined
        ? [
            {
              text:
                `Compare ${current(facts)} with ${pending(facts)}, and make the correct one ` +
                `current`,
            },
          ]
        : [
            {
              text: 'If the password that Verizon issued is the correct one, make it current',
              command:
                `aws secretsmanager update-secret-version-stage --secret-id ` +
                `${quoted(secretOf(facts))} --version-stage AWSCURRENT --move-to-version-id ` +
                `${quoted(facts.pendingVersionId)} --remove-from-version-id ` +
                `${quoted(facts.versionId)}`,
            },
          ]),
      resume(facts, `If ${current(facts)} is correct`),
    ],
  },
  'store-older-than-audit': {
    title: 'secret store is outdated',
    meaning: () =>
      'Unknown. The audit log or the attempt record names a version or a suspension that the ' +
      'secret store does not have. A backup was probably restored. Automatic rotation is ' +
      'suspended.',
    steps: (facts) => [
      {
        text:
          facts.pendingVersionId === undefined
            ? 'Restore the newest state of the secret store'
            : 'Restore the newest state of the secret store; ' +
              `version ${facts.pendingVersionId} is missing`,
      },
      store(
        facts,
        'If it no longer exists, ask Verizon support to reset the password, then store the new one',
      ),
      resume(facts, 'When the stored password is correct'),
    ],
  },
  'password-lost': {
    title: 'new password not known',
    meaning: () =>
      'Lost. Verizon changed the password, and this program does not have the new one. ' +
      'Automatic rotation is suspended.',
    steps: (facts) => [
      ...openReceipt(facts),
      verizonResets,
      store(facts, 'Store the password that Verizon support gives'),
    ],
  },
};

/**
 * What happened, what it means and what to do, for one reason. The steps fit the cause where it is
 * known.
 */
export function explain(reason: Reason, facts: Facts = {}): Explanation {
  const { title, meaning, steps } = catalogue[reason];
  const fitting = facts.cause === undefined ? steps(facts) : causeSteps[facts.cause](facts);
  return { reason, title, meaning: meaning(facts), steps: fitting };
}

/** The first step on one line, for a JSON field or a table cell. */
export function nextStep(reason: Reason, facts: Facts = {}): string {
  const [first] = explain(reason, facts).steps;
  return first === undefined ? '' : lineOf(first);
}

const lineOf = ({ text, command }: Step): string =>
  command === undefined ? `${text}.` : `${text}: \`${command}\``;

/**
 * The block that a terminal, a notification and a log reader show; the first line names the
 * account. `wrap` breaks a long line of text; a command stays on one line, so that it can be
 * pasted.
 */
export function explanationLines(
  reason: Reason,
  facts: Facts = {},
  wrap: (line: string) => readonly string[] = (line) => [line],
): string[] {
  const { title, meaning, steps } = explain(reason, facts);
  const { account, detail, suspendedAtMs, loginsSpent = 0 } = facts;
  return [
    `${account === undefined ? '' : `${account}: `}${title} (${reason})`,
    ...wrap(`  Password: ${meaning}`),
    ...(detail === undefined ? [] : wrap(`  Detail: ${sentence(detail)}`)),
    ...(suspendedAtMs === undefined
      ? []
      : wrap(
          `  Suspended since ${utcText(suspendedAtMs)}. Cleared by a new password or by ` +
            `\`resume\`.`,
        )),
    ...(loginsSpent === 0
      ? []
      : wrap(`  Failed logins counted: ${loginsSpent} of 3 (Verizon locks the user at 5).`)),
    ...steps.flatMap((step) => stepLines(step, wrap)),
    `  More: ${ownCommand({}, 'explain', reason)}`,
  ];
}

function stepLines(
  { text, command }: Step,
  wrap: (line: string) => readonly string[],
): readonly string[] {
  if (command === undefined) return wrap(`  To fix: ${text}.`);
  return [...wrap(`  To fix: ${text}:`), `      ${command}`];
}

const sentence = (text: string): string => (/[.!?]$/.test(text) ? text : `${text}.`);

/** Every reason, in the order of the runbook. */
export const reasons = Object.keys(failures) as readonly Reason[];
