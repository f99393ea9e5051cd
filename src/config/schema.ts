// The schema of the configuration. Parsing, defaults, messages, docs/CONFIGURATION.md and the
// published JSON Schema come from it. `accepts` describes the accepted values, in messages and in
// the documentation.

// Not `{ z }`: esbuild keeps all of zod then (444 kB instead of 83 kB).
import * as z from 'zod';

const path = (about: string) => z.string().min(1).describe(about).meta({ accepts: 'a path' });
const text = (about: string, max = 500) =>
  z
    .string()
    .min(1)
    .max(max)
    .describe(about)
    .meta({ accepts: `text of 1 to ${max} characters` });
const integer = (unit: string) => (least: number, most: number, about: string) =>
  z
    .int()
    .min(least)
    .max(most)
    .describe(about)
    .meta({ accepts: `${unit} from ${least} to ${most}` });
const count = integer('an integer');
const milliseconds = integer('milliseconds');
const secret = (about: string) =>
  z
    .string()
    .regex(/^[A-Za-z0-9:/_+=.@-]{1,2048}$/)
    .describe(about)
    .meta({ accepts: 'letters, digits and : / _ + = . @ -' });
const toggle = (about: string, fallback: boolean) =>
  z.boolean().default(fallback).describe(about).meta({ accepts: 'true or false' });
const section = <Shape extends z.core.$ZodShape>(about: string, shape: Shape) =>
  z.strictObject(shape).describe(about);

const name = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._@/+=-]{0,127}$/)
  .meta({ accepts: 'letters, digits and . _ @ / + = - (1 to 128, first a letter or digit)' });

const policy = {
  rotateAfterDays: count(1, 3650, 'The next run rotates a password of this age.'),
  maxAgeDays: count(1, 3650, 'A password of this age is overdue. Verizon recommends 90 days.'),
};

const schedule = {
  cron: z
    .string()
    .refine(isCron)
    .describe('When a run starts: minute, hour, day of month, month, day of week.')
    .meta({ accepts: 'a cron expression of five fields, such as "17 3 * * *"' }),
  timezone: z
    .string()
    .refine(isTimeZone)
    .describe('The time zone of `cron`.')
    .meta({ accepts: 'an IANA time zone, such as UTC or America/New_York' }),
  jitterMinutes: count(
    0,
    720,
    'Each account waits a fixed part of this time after the start of a run, so that the load is ' +
      'spread.',
  ),
};

const field = (key: string) =>
  z
    .string()
    .min(1)
    .describe(`The name of this key, if it is not \`${key}\`.`)
    .meta({ accepts: 'the name of a key' })
    .exactOptional();

const account = z.strictObject({
  name: name.describe('The name of the account in commands, logs and reports.'),
  secretId: secret(
    'The name or ARN of the secret that holds the credentials. Default: the name of the account.',
  ).exactOptional(),
  enabled: toggle('`false`: the account is rotated only when a command names it.', true),
  policy: section('Overrides `policy` for this account.', {
    rotateAfterDays: policy.rotateAfterDays.exactOptional(),
    maxAgeDays: policy.maxAgeDays.exactOptional(),
  }).exactOptional(),
  schedule: section('Overrides `schedule` for this account.', {
    cron: schedule.cron.exactOptional(),
    timezone: schedule.timezone.exactOptional(),
    jitterMinutes: schedule.jitterMinutes.exactOptional(),
  }).exactOptional(),
  fields: section('The keys of the secret, if they have other names.', {
    username: field('username'),
    password: field('password'),
    clientId: field('clientId'),
    clientSecret: field('clientSecret'),
  }).exactOptional(),
  exempt: section('Exempts the account, from the audit record of it on; the report lists it.', {
    who: text('Who approved the exemption.', 200),
    why: text('Why the account is exempt.'),
    until: z
      .string()
      .regex(/^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])$/)
      .describe('The last day of the exemption, which is included.')
      .meta({ accepts: 'an ISO date, such as 2027-01-31' }),
  }).exactOptional(),
  oauthSecretId: secret(
    'The secret that holds `clientId` and `clientSecret`, if it is another one.',
  ).exactOptional(),
});

const store = z
  .discriminatedUnion('type', [
    z.strictObject({
      type: z
        .literal('file')
        .default('file')
        .describe('Where the secrets are stored.')
        .meta({ accepts: 'file or secrets-manager' }),
      directory: path('`file`: the folder of the encrypted versions (age).').default('./secrets'),
      identityFile: path(
        '`file`: the age identity that decrypts them. Only its owner may have access.',
      ).default('./rotator.key'),
    }),
    z.strictObject({
      type: z
        .literal('secrets-manager')
        .describe('Where the secrets are stored.')
        .meta({ accepts: 'file or secrets-manager' }),
      region: z
        .string()
        .regex(/^[a-z0-9-]{4,30}$/)
        .describe('`secrets-manager`: the Region. Default: the Region of the AWS environment.')
        .meta({ accepts: 'an AWS Region, such as us-east-1' })
        .exactOptional(),
    }),
  ])
  .describe('The secret store.');

const thingspace = section('The API of Verizon ThingSpace.', {
  baseUrl: z
    .string()
    .refine((url) => isSafeUrl(url) && new URL(url).search === '')
    .default('https://thingspace.verizon.com/api')
    .describe('The URL of the API, without `/ts/v1` and `/m2m/v1`.')
    .meta({ accepts: 'an https URL (http on loopback only), without user, query or fragment' }),
  requestTimeoutMs: milliseconds(100, 120_000, 'The limit for each call except the reset.').default(
    15_000,
  ),
  resetTimeoutMs: milliseconds(
    100,
    600_000,
    'The limit for the reset. A late response is still the only copy of the password.',
  ).default(120_000),
  settleMs: milliseconds(
    0,
    3_600_000,
    'How long to wait after the last possible response to a reset before a login checks whether ' +
      'it happened.',
  ).default(120_000),
});

/** An S3 bucket and the prefix of the objects in it. */
const bucket = (description: string) =>
  section(description, {
    bucket: z
      .string()
      .regex(/^[a-z0-9.-]{3,63}$/)
      .describe('The name of the bucket.')
      .meta({ accepts: 'a bucket name' }),
    prefix: z
      .string()
      .max(512)
      .default('')
      .describe('The prefix of each object name.')
      .meta({ accepts: 'text' }),
  }).exactOptional();

const receipts = section(
  'Receipts: the response to a reset, encrypted to keys on other machines before it is parsed.',
  {
    directory: path('The folder of the receipts. Default: the log only.').exactOptional(),
    recipients: z
      .array(
        z
          .string()
          .regex(/^age1[0-9a-z]{20,4000}$/)
          .meta({ accepts: 'an age recipient (age1…), not an identity (AGE-SECRET-KEY-1…)' }),
      )
      .default([])
      .describe(
        'The age public keys that receipts are encrypted to. None: no receipts are written.',
      )
      .meta({ accepts: 'a list of age recipients (age1…)' }),
    identityFile: path(
      'An age identity on this machine. With it, recovery decrypts receipts automatically.',
    ).exactOptional(),
    s3: bucket('An S3 bucket with Object Lock, where each receipt is an object, too.'),
  },
);

const audit = section('The audit log.', {
  directory: path('The folder of the log.').default('./audit'),
  signingKeyFile: path('The Ed25519 key that signs checkpoints.').default('./audit.key'),
  origin: z
    .string()
    .regex(/^[^\s+\p{Cc}]{1,200}$/u)
    .describe('The permanent name of this log. Default: the name in the signing key.')
    .meta({ accepts: 'a name without spaces and +' })
    .exactOptional(),
  predecessor: path(
    'The last checkpoint of the log that this one follows. The first record names it.',
  ).exactOptional(),
  kmsKeyId: z
    .string()
    .min(1)
    .describe('An Ed25519 key in AWS KMS, instead of `signingKeyFile`.')
    .meta({ accepts: 'a KMS key id, alias or ARN' })
    .exactOptional(),
  signingKeySecretId: secret(
    'A secret that contains only the signing key, instead of `signingKeyFile`.',
  ).exactOptional(),
  witnesses: z
    .array(
      z.strictObject({
        url: z
          .string()
          .refine(isSafeUrl)
          .describe('The URL of the witness, without `/add-checkpoint`.')
          .meta({ accepts: 'an https URL (http on loopback only), without user or fragment' }),
        key: z
          .string()
          .regex(/^[^+\s]+\+[0-9a-f]{8}\+B[A-Za-z0-9+/]{43}$/)
          .describe('The verifier key that the witness prints when it starts.')
          .meta({ accepts: 'a witness key: name+id+base64' }),
      }),
    )
    .default([])
    .describe('Other machines that cosign each checkpoint, so that the log has one history.')
    .meta({ accepts: 'a list of witnesses, each with `url` and `key`' }),
  s3: bucket('An S3 bucket with Object Lock, instead of `directory`.'),
});

const choice = <const Words extends readonly [string, ...string[]]>(about: string, words: Words) =>
  z
    .enum(words)
    .describe(about)
    .meta({ accepts: `${words.slice(0, -1).join(', ')} or ${words.at(-1)}` });

/** Ordered: the last one is the most urgent. The words are those of PagerDuty. */
export const severities = ['info', 'warning', 'error', 'critical'] as const;

/** What a notification can be about. */
export const noticeKinds = [
  'lost',
  'stopped',
  'verify-failed',
  'in-doubt',
  'changed',
  'overdue',
  'stale',
  'audit-failed',
  'failing',
  'outage',
  'all-is-well',
] as const;

const receiver = {
  webhook: z
    .string()
    .refine(isSafeUrl)
    .describe('Receives the notifications, without secrets, by POST.')
    .meta({ accepts: 'an https URL (http on loopback only), without user or fragment' }),
  format: choice(
    'The body: JSON of this program, a Slack incoming webhook, a Microsoft Teams workflow, or ' +
      'PagerDuty Events v2.',
    ['json', 'slack', 'teams', 'pagerduty'],
  ).default('json'),
  secretFile: path(
    '`json`: a file whose content signs the body (HMAC-SHA256). `pagerduty`: a file with the ' +
      'integration key.',
  ).exactOptional(),
  minSeverity: choice('Only problems that are at least so severe.', severities).default('info'),
  kinds: z
    .array(choice('A kind of problem.', noticeKinds))
    .default([])
    .describe('Only these kinds (docs/SERVE.md). None: all kinds.')
    .meta({ accepts: 'a list of kinds, such as [lost, stopped]' }),
};

const notify = section('Notifications about failures, overdue and suspended accounts.', {
  ...receiver,
  webhook: receiver.webhook.exactOptional(),
  receivers: z
    .array(
      z.strictObject({
        name: name.describe('The name of the receiver in the journal and in the log.'),
        ...receiver,
      }),
    )
    .default([])
    .describe('Several receivers, instead of `webhook`.')
    .meta({ accepts: 'a list of receivers, each with `name` and `webhook`' }),
  stateFile: path(
    'The journal of what was reported, delivered and acknowledged. Default: ' +
      '`notifications.jsonl` beside `audit.directory`; with `audit.s3` memory only.',
  ).exactOptional(),
  allIsWell: toggle(
    '`true`: also sends a notification, at most once a day, after a run without problems.',
    false,
  ),
});

const heartbeat = section('Tells a monitor that a run over all accounts started and ended.', {
  url: z
    .string()
    .refine(isSafeUrl)
    .describe('A ping URL of Healthchecks.io, or a push URL of Uptime Kuma.')
    .meta({ accepts: 'an https URL (http on loopback only), without user or fragment' }),
  timeoutMs: count(100, 60_000, 'The longest time for one request.').default(5_000),
});

const http = section('The HTTP interface of `serve`.', {
  host: z
    .string()
    .regex(/^[A-Za-z0-9.:_-]{1,255}$/)
    .default('127.0.0.1')
    .describe('The address to listen on.')
    .meta({ accepts: 'an address or host name' }),
  port: count(0, 65_535, 'The port to listen on; 0 selects a free one.').default(9464),
  tokenFile: path(
    'A file that holds the bearer token of the write endpoint. Default: no write endpoint.',
  ).exactOptional(),
  readTokenFile: path(
    'A file that holds the token of the pages and the metrics. Default: reading needs no token.',
  ).exactOptional(),
});

export const schema = z
  .strictObject({
    thingspace: thingspace.prefault({}),
    store: store.prefault({}),
    accounts: z
      .array(account)
      .max(10_000)
      .default([])
      .describe('The ThingSpace users to rotate.')
      .meta({ accepts: 'a list of accounts' }),
    discover: section('Each secret with a tag is an account, too (`secrets-manager` only).', {
      tag: z
        .string()
        .min(1)
        .max(128)
        .describe('The key of the tag.')
        .meta({ accepts: 'a tag key of 1 to 128 characters' }),
    }).exactOptional(),
    pairs: z
      .array(z.tuple([name, name]).meta({ accepts: 'two account names' }))
      .default([])
      .describe(
        'Pairs of users of the same ThingSpace account. One run never rotates both, so that ' +
          'programs can use the other one.',
      )
      .meta({ accepts: 'a list of pairs of account names, such as [[fleet-a, fleet-b]]' }),
    policy: section('The permitted age of a password.', {
      rotateAfterDays: policy.rotateAfterDays.default(75),
      maxAgeDays: policy.maxAgeDays.default(90),
    }).prefault({}),
    schedule: section('When `serve` rotates the accounts that are due.', {
      cron: schedule.cron.default('17 3 * * *'),
      timezone: schedule.timezone.default('UTC'),
      jitterMinutes: schedule.jitterMinutes.default(30),
    }).prefault({}),
    concurrency: count(1, 64, 'The number of accounts that are rotated at the same time.').default(
      8,
    ),
    receipts: receipts.prefault({}),
    audit: audit.prefault({}),
    notify: notify.exactOptional(),
    heartbeat: heartbeat.exactOptional(),
    http: http.prefault({}),
    log: section('The log on standard error.', {
      level: z
        .enum(['error', 'warn', 'info', 'debug'])
        .default('info')
        .describe('The lowest level that is logged.')
        .meta({ accepts: 'error, warn, info or debug' }),
    }).prefault({}),
  })
  .meta({
    title: 'thingspace-rotator',
    description: 'Configuration of thingspace-rotator (rotator.yaml).',
  });

/**
 * https, or http to this machine; no user and no fragment, because a URL must not hold a secret.
 */
function isSafeUrl(url: string): boolean {
  if (!URL.canParse(url)) return false;
  const { protocol, hostname, username, password, hash } = new URL(url);
  const isLoopback =
    hostname === 'localhost' || hostname === '[::1]' || /^127(\.\d{1,3}){3}$/.test(hostname);
  return (
    (protocol === 'https:' || (protocol === 'http:' && isLoopback)) &&
    `${username}${password}${hash}` === ''
  );
}

function isTimeZone(zone: string): boolean {
  try {
    new Intl.DateTimeFormat('en', { timeZone: zone });
    return true;
  } catch {
    return false;
  }
}

const months = ' jan feb mar apr may jun jul aug sep oct nov dec'.split(' ');
const weekdays = 'sun mon tue wed thu fri sat'.split(' ');
const cronFields: readonly { least: number; most: number; names: readonly string[] }[] = [
  { least: 0, most: 59, names: [] },
  { least: 0, most: 23, names: [] },
  { least: 1, most: 31, names: [] },
  { least: 1, most: 12, names: months },
  { least: 0, most: 7, names: weekdays },
];

/** Five fields of numbers, names, ranges, lists and steps within their bounds. */
function isCron(expression: string): boolean {
  const fields = expression.trim().toLowerCase().split(/\s+/);
  return (
    fields.length === cronFields.length &&
    fields.every((part, index) => {
      const { least, most, names } = cronFields[index] ?? { least: 0, most: 0, names: [] };
      const numberOf = (word: string): number =>
        /^\d{1,2}$/.test(word) ? Number(word) : word === '' ? -1 : names.indexOf(word);
      const isIn = (value: number): boolean => value >= least && value <= most;
      return part.split(',').every((item) => {
        const [range = '', step, ...rest] = item.split('/');
        if (rest.length > 0 || (step !== undefined && !/^[1-9]\d?$/.test(step))) return false;
        if (range === '*') return true;
        const [from = -1, to = from, ...more] = range.split('-').map(numberOf);
        return more.length === 0 && isIn(from) && isIn(to) && from <= to;
      });
    })
  );
}
