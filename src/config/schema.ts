// The one schema of the configuration: parsing, defaults, help, docs/CONFIGURATION.md and the published JSON Schema
// all come from it. `accepts` says in words what a value may be; it stands in errors and in the documentation.

// Not `{ z }`: esbuild keeps all of zod then (444 kB instead of 83 kB).
import * as z from 'zod';

const path = (about: string) => z.string().min(1).describe(about).meta({ accepts: 'a path' });
const count = (least: number, most: number, about: string) =>
  z
    .int()
    .min(least)
    .max(most)
    .describe(about)
    .meta({ accepts: `a whole number from ${least} to ${most}` });
const milliseconds = (least: number, most: number, about: string) =>
  z
    .int()
    .min(least)
    .max(most)
    .describe(about)
    .meta({ accepts: `milliseconds, ${least} to ${most}` });
/** A section that may be left out as a whole: its own defaults hold then. */
const section = <Shape extends z.core.$ZodShape>(about: string, shape: Shape) =>
  z.strictObject(shape).describe(about);

const name = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._@/+=-]{0,127}$/)
  .meta({ accepts: 'letters, digits and . _ @ / + = - (1 to 128, first a letter or digit)' });

const policy = {
  rotateAfterDays: count(1, 3650, 'A password of this age is rotated by the next run.'),
  maxAgeDays: count(1, 3650, 'The age that no password may reach; Verizon recommends 90.'),
};

const schedule = {
  cron: z
    .string()
    .refine(isCron)
    .describe('When `serve` looks for what is due: minute, hour, day of month, month, day of week.')
    .meta({ accepts: 'a cron expression of five fields, such as "17 3 * * *"' }),
  timezone: z
    .string()
    .refine(isTimeZone)
    .describe('The time zone of `cron`.')
    .meta({ accepts: 'an IANA time zone, such as UTC or America/New_York' }),
  jitterMinutes: count(
    0,
    720,
    'Each account waits a fixed share of this after the tick, so that a fleet spreads.',
  ),
};

const field = (about: string) =>
  z.string().min(1).describe(about).meta({ accepts: 'the name of a key' });

const account = z.strictObject({
  name: name.describe('What commands, logs and reports call the account.'),
  secretId: z
    .string()
    .regex(/^[A-Za-z0-9:/_+=.@-]{1,2048}$/)
    .describe('The secret that holds it: a name or an ARN. Left out: the account’s name.')
    .meta({ accepts: 'letters, digits and : / _ + = . @ -' })
    .exactOptional(),
  enabled: z
    .boolean()
    .default(true)
    .describe('`false`: rotated only when it is named by hand.')
    .meta({ accepts: 'true or false' }),
  policy: section('Overrides `policy` for this account.', {
    rotateAfterDays: policy.rotateAfterDays.exactOptional(),
    maxAgeDays: policy.maxAgeDays.exactOptional(),
  }).exactOptional(),
  schedule: section('Overrides `schedule` for this account.', {
    cron: schedule.cron.exactOptional(),
    timezone: schedule.timezone.exactOptional(),
    jitterMinutes: schedule.jitterMinutes.exactOptional(),
  }).exactOptional(),
  fields: section('The secret’s keys, where they have other names than ours.', {
    username: field('Instead of `username`.').exactOptional(),
    password: field('Instead of `password`.').exactOptional(),
    clientId: field('Instead of `clientId`.').exactOptional(),
    clientSecret: field('Instead of `clientSecret`.').exactOptional(),
  }).exactOptional(),
  exempt: section('Need not follow the policy for now; the report says so.', {
    who: z.string().min(1).max(200).describe('Who decided it.').meta({ accepts: 'text' }),
    why: z.string().min(1).max(500).describe('Why.').meta({ accepts: 'text' }),
    until: z
      .string()
      .regex(/^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])$/)
      .describe('The day it ends.')
      .meta({ accepts: 'an ISO date, such as 2027-01-31' }),
  }).exactOptional(),
  oauthSecretId: z
    .string()
    .regex(/^[A-Za-z0-9:/_+=.@-]{1,2048}$/)
    .describe('The secret that holds `clientId` and `clientSecret`, where it is another one.')
    .meta({ accepts: 'letters, digits and : / _ + = . @ -' })
    .exactOptional(),
});

const store = z
  .discriminatedUnion('type', [
    z.strictObject({
      type: z
        .literal('file')
        .default('file')
        .describe('Where the secrets are.')
        .meta({ accepts: 'file or secrets-manager' }),
      directory: path('`file`: the folder of the age-encrypted versions.').default('./secrets'),
      identityFile: path(
        '`file`: the age identity that opens them; readable for its owner only.',
      ).default('./rotator.key'),
    }),
    z.strictObject({
      type: z
        .literal('secrets-manager')
        .describe('Where the secrets are.')
        .meta({ accepts: 'file or secrets-manager' }),
      region: z
        .string()
        .regex(/^[a-z0-9-]{4,30}$/)
        .describe('`secrets-manager`: the Region; left out: from the usual AWS environment.')
        .meta({ accepts: 'an AWS Region, such as us-east-1' })
        .exactOptional(),
    }),
  ])
  .describe('The secret store.');

export const schema = z
  .strictObject({
    thingspace: section('Verizon’s API.', {
      baseUrl: z
        .string()
        .refine((text) => isSafeUrl(text) && new URL(text).search === '')
        .default('https://thingspace.verizon.com/api')
        .describe('Where the API is; what comes before `/ts/v1` and `/m2m/v1`.')
        .meta({ accepts: 'an https URL (http on loopback only), without user, query or fragment' }),
      requestTimeoutMs: milliseconds(100, 120_000, 'Bounds each call but the reset.').default(
        15_000,
      ),
      resetTimeoutMs: milliseconds(
        100,
        600_000,
        'Bounds the reset. Be patient: a late answer is still the only copy of the password.',
      ).default(120_000),
      settleMs: milliseconds(
        0,
        3_600_000,
        'How long after a reset could last have been answered a login may find out whether it happened.',
      ).default(120_000),
    }).prefault({}),
    store: store.prefault({}),
    accounts: z
      .array(account)
      .max(10_000)
      .default([])
      .describe('The ThingSpace users to rotate.')
      .meta({ accepts: 'a list of accounts' }),
    discover: section('Every secret with a tag is an account as well (`secrets-manager` only).', {
      tag: z.string().min(1).max(128).describe('The tag’s key.').meta({ accepts: 'a tag key' }),
    }).exactOptional(),
    pairs: z
      .array(z.tuple([name, name]).meta({ accepts: 'two account names' }))
      .default([])
      .describe(
        'Users of one ThingSpace account that are never rotated in the same run, so that consumers can alternate.',
      )
      .meta({ accepts: 'a list of pairs of account names, such as [[fleet-a, fleet-b]]' }),
    policy: section('How old a password may become.', {
      rotateAfterDays: policy.rotateAfterDays.default(75),
      maxAgeDays: policy.maxAgeDays.default(90),
    }).prefault({}),
    schedule: section('When `serve` looks for what is due.', {
      cron: schedule.cron.default('17 3 * * *'),
      timezone: schedule.timezone.default('UTC'),
      jitterMinutes: schedule.jitterMinutes.default(30),
    }).prefault({}),
    concurrency: count(1, 64, 'How many accounts are worked on side by side.').default(8),
    receipts: section(
      'The reset’s answer, sealed to keys that are kept elsewhere, before anything reads it.',
      {
        directory: path('Where receipts lie. Left out: they only go to the log.').exactOptional(),
        recipients: z
          .array(
            z
              .string()
              .regex(/^age1[0-9a-z]{20,4000}$/)
              .meta({ accepts: 'an age recipient (age1…), not an identity (AGE-SECRET-KEY-1…)' }),
          )
          .default([])
          .describe('Who can open them (age public keys). None: no receipts are written.')
          .meta({ accepts: 'a list of age recipients (age1…)' }),
        identityFile: path(
          'An age identity on this machine: recovery then opens receipts by itself.',
        ).exactOptional(),
      },
    ).prefault({}),
    audit: section('The audit log.', {
      directory: path('The folder of the log.').default('./audit'),
      signingKeyFile: path('The Ed25519 key that signs checkpoints.').default('./audit.key'),
      origin: z
        .string()
        .regex(/^[^\s+\p{Cc}]{1,200}$/u)
        .describe('What this log is called, for ever. Left out: the name in the signing key.')
        .meta({ accepts: 'a name without spaces and +' })
        .exactOptional(),
      kmsKeyId: z
        .string()
        .min(1)
        .describe('An Ed25519 key in AWS KMS, instead of `signingKeyFile`.')
        .meta({ accepts: 'a KMS key id, alias or ARN' })
        .exactOptional(),
      signingKeySecretId: z
        .string()
        .regex(/^[A-Za-z0-9:/_+=.@-]{1,2048}$/)
        .describe('A secret whose whole value is the signing key, instead of `signingKeyFile`.')
        .meta({ accepts: 'letters, digits and : / _ + = . @ -' })
        .exactOptional(),
      s3: section('A bucket with Object Lock, instead of `directory`.', {
        bucket: z
          .string()
          .regex(/^[a-z0-9.-]{3,63}$/)
          .describe('The bucket.')
          .meta({ accepts: 'a bucket name' }),
        prefix: z
          .string()
          .max(512)
          .default('')
          .describe('Put before every object’s name.')
          .meta({ accepts: 'text' }),
      }).exactOptional(),
    }).prefault({}),
    notify: section('Who is told about failures, overdue and stopped accounts.', {
      webhook: z
        .string()
        .refine(isSafeUrl)
        .describe('Gets secret-free JSON by POST; Slack reads its `text`.')
        .meta({ accepts: 'an https URL (http on loopback only), without user or fragment' }),
      secretFile: path(
        'A file whose contents sign the webhook’s body (HMAC-SHA256).',
      ).exactOptional(),
      allIsWell: z
        .boolean()
        .default(false)
        .describe('Also say once a day that all is well.')
        .meta({ accepts: 'true or false' }),
    }).exactOptional(),
    http: section('What `serve` listens on.', {
      host: z
        .string()
        .regex(/^[A-Za-z0-9.:_-]{1,255}$/)
        .default('127.0.0.1')
        .describe('The address.')
        .meta({ accepts: 'an address or host name' }),
      port: count(0, 65_535, 'The port; 0 takes a free one.').default(9464),
      tokenFile: path(
        'The bearer token of the write endpoint. Left out: there is no write endpoint.',
      ).exactOptional(),
    }).prefault({}),
    log: section('Diagnostics on standard error.', {
      level: z
        .enum(['error', 'warn', 'info', 'debug'])
        .default('info')
        .describe('The least that is logged.')
        .meta({ accepts: 'error, warn, info or debug' }),
    }).prefault({}),
  })
  .meta({
    title: 'thingspace-rotator',
    description: 'Configuration of thingspace-rotator (rotator.yaml).',
  });

/** https; http only to this machine. No user, no fragment: what must be secret is no part of an address. */
function isSafeUrl(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const { protocol, hostname, username, password, hash } = new URL(text);
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

/** Five fields of numbers, names, ranges, lists and steps within their bounds. */
function isCron(expression: string): boolean {
  const months = [
    'jan',
    'feb',
    'mar',
    'apr',
    'may',
    'jun',
    'jul',
    'aug',
    'sep',
    'oct',
    'nov',
    'dec',
  ];
  const days = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'];
  const bounds: readonly [number, number, readonly string[]][] = [
    [0, 59, []],
    [0, 23, []],
    [1, 31, []],
    [1, 12, ['', ...months]],
    [0, 7, days],
  ];
  const fields = expression.trim().toLowerCase().split(/\s+/);
  return (
    fields.length === bounds.length &&
    fields.every((field, index) => {
      const [least, most, names] = bounds[index] ?? [0, 0, []];
      const numberOf = (text: string): number =>
        /^\d{1,2}$/.test(text) ? Number(text) : text === '' ? -1 : names.indexOf(text);
      const isIn = (value: number): boolean => value >= least && value <= most;
      return field.split(',').every((part) => {
        const [range = '', step, ...rest] = part.split('/');
        if (rest.length > 0 || (step !== undefined && !/^[1-9]\d?$/.test(step))) return false;
        if (range === '*') return true;
        const [from = -1, to = from, ...more] = range.split('-').map(numberOf);
        return more.length === 0 && isIn(from) && isIn(to) && from <= to;
      });
    })
  );
}
