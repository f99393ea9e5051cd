// The schema of the configuration. Parsing, defaults, messages, docs/CONFIGURATION.md and the
// published JSON Schema come from it. `accepts` describes the accepted values.

// Not `{ z }`: esbuild keeps all of zod then (444 kB instead of 83 kB).
import * as z from 'zod';

/** Text that a pattern accepts. */
const pattern = (about: string, regex: RegExp, accepts: string) =>
  z.string().regex(regex).describe(about).meta({ accepts });
/** Text that a function accepts. */
const predicate = (about: string, isValid: (value: string) => boolean, accepts: string) =>
  z.string().refine(isValid).describe(about).meta({ accepts });
/** Text of so many characters. */
const shortText = (about: string, max: number, accepts = `text of 1 to ${max} characters`) =>
  z.string().min(1).max(max).describe(about).meta({ accepts });
const anyText = (about: string, accepts: string) =>
  z.string().min(1).describe(about).meta({ accepts });
const path = (about: string) => anyText(about, 'a path');
const safeUrl = (about: string) =>
  predicate(about, isSafeUrl, 'an https URL (http on loopback only), without user or fragment');
const secret = (about: string) =>
  pattern(about, /^[A-Za-z0-9:/_+=.@-]{1,2048}$/, 'letters, digits and : / _ + = . @ -');
const integer = (unit: string) => (least: number, most: number, about: string) => {
  const accepts = `${unit} from ${least} to ${most}`;
  return z.int().min(least).max(most).describe(about).meta({ accepts });
};
const count = integer('an integer');
const milliseconds = integer('milliseconds');
const toggle = (about: string, fallback: boolean) =>
  z.boolean().default(fallback).describe(about).meta({ accepts: 'true or false' });
const choice = <const Words extends readonly [string, ...string[]]>(
  about: string,
  words: Words,
) => {
  const accepts = `${words.slice(0, -1).join(', ')} or ${words.at(-1)}`;
  return z.enum(words).describe(about).meta({ accepts });
};
/** A list, which is empty by default. */
const list = <Item extends z.ZodType>(about: string, item: Item, accepts: string) =>
  z.array(item).default([]).describe(about).meta({ accepts });
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
  cron: predicate(
    'When a run starts: minute, hour, day of month, month, day of week.',
    isCron,
    'a cron expression of five fields, such as "17 3 * * *"',
  ),
  timezone: predicate(
    'The time zone of `cron`.',
    isTimeZone,
    'an IANA time zone, such as UTC or America/New_York',
  ),
  jitterMinutes: count(
    0,
    720,
    'Each account waits a fixed part of this time after the start of a run, so that the load is ' +
      'spread.',
  ),
};

const field = (key: string) =>
  anyText(`The name of this key, if it is not \`${key}\`.`, 'the name of a key').exactOptional();

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
    who: shortText('Who approved the exemption.', 200),
    why: shortText('Why the account is exempt.', 500),
    until: pattern(
      'The last day of the exemption, which is included.',
      /^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])$/,
      'an ISO date, such as 2027-01-31',
    ),
  }).exactOptional(),
  oauthSecretId: secret(
    'The secret that holds `clientId` and `clientSecret`, if it is another one.',
  ).exactOptional(),
});

const storeType = <const Type extends string>(type: Type) =>
  z
    .literal(type)
    .describe('Where the secrets are stored.')
    .meta({ accepts: 'file or secrets-manager' });

const store = z
  .discriminatedUnion('type', [
    z.strictObject({
      type: storeType('file').default('file'),
      directory: path('`file`: the folder of the encrypted versions (age).').default('./secrets'),
      identityFile: path(
        '`file`: the age identity that decrypts them. Only its owner may have access.',
      ).default('./rotator.key'),
    }),
    z.strictObject({
      type: storeType('secrets-manager'),
      region: pattern(
        '`secrets-manager`: the Region. Default: the Region of the AWS environment.',
        /^[a-z0-9-]{4,30}$/,
        'an AWS Region, such as us-east-1',
      ).exactOptional(),
    }),
  ])
  .describe('The secret store.');

const thingspace = section('The API of Verizon ThingSpace.', {
  baseUrl: predicate(
    'The URL of the API, without `/ts/v1` and `/m2m/v1`.',
    (url) => isSafeUrl(url) && new URL(url).search === '',
    'an https URL (http on loopback only), without user, query or fragment',
  ).default('https://thingspace.verizon.com/api'),
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
const bucket = (about: string) =>
  section(about, {
    bucket: pattern('The name of the bucket.', /^[a-z0-9.-]{3,63}$/, 'a bucket name'),
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
    recipients: list(
      'The age public keys that receipts are encrypted to. None: no receipts are written.',
      z
        .string()
        .regex(/^age1[0-9a-z]{20,4000}$/)
        .meta({ accepts: 'an age recipient (age1…), not an identity (AGE-SECRET-KEY-1…)' }),
      'a list of age recipients (age1…)',
    ),
    identityFile: path(
      'An age identity on this machine. With it, recovery decrypts receipts automatically.',
    ).exactOptional(),
    s3: bucket('An S3 bucket with Object Lock, where each receipt is an object, too.'),
  },
);

const witness = z.strictObject({
  url: safeUrl('The URL of the witness, without `/add-checkpoint`.'),
  key: pattern(
    'The verifier key that the witness prints when it starts.',
    /^[^+\s]+\+[0-9a-f]{8}\+B[A-Za-z0-9+/]{43}$/,
    'a witness key: name+id+base64',
  ),
});

const audit = section('The audit log.', {
  directory: path('The folder of the log.').default('./audit'),
  signingKeyFile: path('The Ed25519 key that signs checkpoints.').default('./audit.key'),
  origin: pattern(
    'The permanent name of this log. Default: the name in the signing key.',
    /^[^\s+\p{Cc}]{1,200}$/u,
    'a name without spaces and +',
  ).exactOptional(),
  predecessor: path(
    'The last checkpoint of the log that this one follows. The first record names it.',
  ).exactOptional(),
  kmsKeyId: anyText(
    'An Ed25519 key in AWS KMS, instead of `signingKeyFile`.',
    'a KMS key id, alias or ARN',
  ).exactOptional(),
  signingKeySecretId: secret(
    'A secret that contains only the signing key, instead of `signingKeyFile`.',
  ).exactOptional(),
  witnesses: list(
    'Other machines that cosign each checkpoint, so that the log has one history.',
    witness,
    'a list of witnesses, each with `url` and `key`',
  ),
  s3: bucket('An S3 bucket with Object Lock, instead of `directory`.'),
});

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
  webhook: safeUrl('Receives the notifications, without secrets, by POST.'),
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
  kinds: list(
    'Only these kinds (docs/SERVE.md). None: all kinds.',
    choice('A kind of problem.', noticeKinds),
    'a list of kinds, such as [lost, stopped]',
  ),
};

const notify = section('Notifications about failures, overdue and suspended accounts.', {
  ...receiver,
  webhook: receiver.webhook.exactOptional(),
  receivers: list(
    'Several receivers, instead of `webhook`.',
    z.strictObject({
      name: name.describe('The name of the receiver in the journal and in the log.'),
      ...receiver,
    }),
    'a list of receivers, each with `name` and `webhook`',
  ),
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
  url: safeUrl('A ping URL of Healthchecks.io, or a push URL of Uptime Kuma.'),
  timeoutMs: count(100, 60_000, 'The longest time for one request.').default(5_000),
});

const http = section('The HTTP interface of `serve`.', {
  host: pattern(
    'The address to listen on.',
    /^[A-Za-z0-9.:_-]{1,255}$/,
    'an address or host name',
  ).default('127.0.0.1'),
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
      tag: shortText('The key of the tag.', 128, 'a tag key of 1 to 128 characters'),
    }).exactOptional(),
    pairs: list(
      'Pairs of users of the same ThingSpace account. One run never rotates both, so that ' +
        'programs can use the other one.',
      z.tuple([name, name]).meta({ accepts: 'two account names' }),
      'a list of pairs of account names, such as [[fleet-a, fleet-b]]',
    ),
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
      level: choice('The lowest level that is logged.', ['error', 'warn', 'info', 'debug']).default(
        'info',
      ),
    }).prefault({}),
  })
  .meta({
    title: 'thingspace-rotator',
    description: 'Configuration of thingspace-rotator (rotator.yaml).',
  });

/** https, or http to this machine; no user and no fragment, which can hold a secret. */
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

/** The numbers of the fields of a cron expression, and the names of the first ones. */
const cronFields: readonly (readonly [least: number, most: number, names?: string])[] = [
  [0, 59],
  [0, 23],
  [1, 31],
  [1, 12, ' jan feb mar apr may jun jul aug sep oct nov dec'],
  [0, 7, 'sun mon tue wed thu fri sat'],
];

/** Five fields of numbers, names, ranges, lists and steps within their bounds. */
function isCron(expression: string): boolean {
  const fields = expression.trim().toLowerCase().split(/\s+/);
  if (fields.length !== cronFields.length) return false;
  return cronFields.every(([least, most, names = ''], index) => {
    const numberOf = (word: string): number =>
      /^\d{1,2}$/.test(word) ? Number(word) : word === '' ? -1 : names.split(' ').indexOf(word);
    const isIn = (value: number): boolean => value >= least && value <= most;
    return fields[index]?.split(',').every((item) => {
      const [range = '', step, ...rest] = item.split('/');
      if (rest.length > 0 || (step !== undefined && !/^[1-9]\d?$/.test(step))) return false;
      if (range === '*') return true;
      const [from = -1, to = from, ...more] = range.split('-').map(numberOf);
      return more.length === 0 && isIn(from) && isIn(to) && from <= to;
    });
  });
}
