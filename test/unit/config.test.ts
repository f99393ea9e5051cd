// The configuration: what is rejected and with which message, then what is read.

import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { keysOf, variableOf } from '../../src/config/environment.ts';
import { UsageError } from '../../src/config/errors.ts';
import { type Config, describeConfig, loadConfig, parseConfig } from '../../src/config/load.ts';

const accounts = 'accounts: [{ name: fleet-east }]\n';

const parse = (text: string | null, env: Record<string, string> = {}): Promise<Config> =>
  parseConfig({ text, file: 'rotator.yaml', folder: '/etc/rotator', env });

async function problemsOf(
  text: string | null,
  env: Record<string, string> = {},
): Promise<readonly string[]> {
  const error: unknown = await parse(text, env).then(
    () => undefined,
    (refused: unknown) => refused,
  );
  if (!(error instanceof UsageError))
    throw new Error(`expected a UsageError, got ${String(error)}`);
  return error.problems;
}

test('an unknown key is reported with its place and the nearest known key', async () => {
  expect(await problemsOf(`${accounts}polcy: { maxAgeDays: 80 }\n`)).toEqual([
    'rotator.yaml:2:1: Unknown key polcy. Did you mean "policy"?',
  ]);
  expect(await problemsOf('accounts:\n  - name: a\n    secertId: b\n')).toEqual([
    'rotator.yaml:3:5: Unknown key accounts[0].secertId. Did you mean "secretId"?',
  ]);
  expect(await problemsOf(`${accounts}policy:\n  max_age_days: 80\n`)).toEqual([
    'rotator.yaml:3:3: Unknown key policy.max_age_days. Did you mean "maxAgeDays"?',
  ]);
});

test('an unknown key without a similar name is reported with the known keys', async () => {
  expect(await problemsOf(`${accounts}policy: { xyzzy: 1 }\n`)).toEqual([
    'rotator.yaml:2:11: Unknown key policy.xyzzy. Use one of: rotateAfterDays, maxAgeDays.',
  ]);
});

test('a wrong value is reported with its key, its place and what is accepted', async () => {
  expect(
    await problemsOf(
      `${accounts}policy:\n  maxAgeDays: ninety\nlog: { level: loud }\nthingspace: { ` +
        `requestTimeoutMs: 5 }\n`,
    ),
  ).toEqual([
    'rotator.yaml:5:15: thingspace.requestTimeoutMs takes milliseconds from 100 to 120000.',
    'rotator.yaml:3:3: policy.maxAgeDays takes an integer from 1 to 3650.',
    'rotator.yaml:4:8: log.level takes error, warn, info or debug.',
  ]);
});

test('all mistakes are reported at once', async () => {
  expect(
    await problemsOf('accounts: [{ secretId: x }]\nstore: { type: vault }\nconcurrency: 0\n'),
  ).toEqual([
    'rotator.yaml:2:10: store.type takes file or secrets-manager.',
    expect.stringMatching(
      /^rotator\.yaml:1:\d+: accounts\[0\]\.name is missing\. It takes letters, digits/,
    ),
    'rotator.yaml:3:1: concurrency takes an integer from 1 to 64.',
  ]);
});

test('a key of the other store type is reported as such', async () => {
  expect(
    await problemsOf(`${accounts}store:\n  type: secrets-manager\n  directory: ./x\n`),
  ).toEqual(['rotator.yaml:4:3: store.directory does not belong to this type.']);
});

test('a duplicate key is rejected', async () => {
  expect(await problemsOf(`${accounts}concurrency: 1\nconcurrency: 2\n`)).toEqual([
    'rotator.yaml:3:1: This is not valid YAML: Map keys must be unique.',
  ]);
});

test('no message repeats a value, which can be a secret', async () => {
  const planted = 'planted-Hunter2-value';
  const texts = [
    `${accounts}notify: { webhook: "http://hooks.example/${planted}" }`,
    `${accounts}notify: { webhook: https://${planted}:x@hooks.example/ }`,
    `${accounts}receipts: { recipients: [AGE-SECRET-KEY-${planted}] }`,
    `${accounts}policy: ${planted}`,
    `${accounts}log: { level: ${planted} }`,
    `${accounts}store: { type: ${planted} }`,
    `${accounts}concurrency: ${planted}`,
    `${accounts}schedule: { cron: ${planted}, timezone: ${planted} }`,
    `${accounts}thingspace: { baseUrl: ${planted} }`,
    `accounts: [${planted}]`,
    `accounts: ${planted}`,
    `${planted}`,
    `${accounts}x: *${planted}`,
    `${accounts}x: !${planted} y`,
    `${accounts}x: "${planted}`,
    `${accounts}x: {${planted}`,
    `${accounts}x: \`${planted}`,
    `${accounts}x: "\\q${planted}"`,
    `${accounts}x: y\n ${planted}: [}`,
  ];
  for (const text of texts) expect((await problemsOf(text)).join('\n')).not.toContain(planted);
  for (const name of [
    'ROTATOR_LOG__LEVEL',
    'ROTATOR_STORE',
    'ROTATOR_NOTIFY__WEBHOOK',
    'ROTATOR_CONCURRENCY',
    'ROTATOR_ACCOUNTS__0',
  ]) {
    expect((await problemsOf(accounts, { [name]: `{${planted}` })).join('\n')).not.toContain(
      planted,
    );
  }
});

test('two accounts with the same name or the same secret are rejected', async () => {
  expect(
    await problemsOf(
      'accounts:\n  - { name: east, secretId: a }\n  - { name: East, secretId: b }\n',
    ),
  ).toEqual(['rotator.yaml:3:7: accounts[1] and accounts[0] have the same name, East.']);
  expect(
    await problemsOf(
      'accounts:\n  - { name: east, secretId: a }\n  - { name: west, secretId: a }\n',
    ),
  ).toEqual([
    'rotator.yaml:3:19: The accounts west and east have the same secret. Each account needs its ' +
      'own.',
  ]);
  expect(
    await problemsOf(
      'accounts:\n  - { name: east, secretId: ts/a }\n  - { name: west, secretId: ' +
        '"arn:aws:secretsmanager:us-east-1:123456789012:secret:ts/a-AbCdEf" }\n',
    ),
  ).toEqual([
    'rotator.yaml:3:19: The accounts west and east have the same secret. Each account needs its ' +
      'own.',
  ]);
});

test('keys that contradict each other are rejected', async () => {
  expect(await problemsOf(`${accounts}policy: { rotateAfterDays: 80, maxAgeDays: 60 }`)).toEqual([
    'rotator.yaml:2:11: policy.rotateAfterDays is more than policy.maxAgeDays.',
  ]);
  expect(await problemsOf('accounts: [{ name: a, policy: { maxAgeDays: 60 } }]')).toEqual([
    'rotator.yaml:1:23: accounts[0].policy.rotateAfterDays is more than maxAgeDays.',
  ]);
  expect(await problemsOf('discover: { tag: x }')).toEqual([
    'rotator.yaml:1:1: discover needs store.type: secrets-manager.',
  ]);
  expect(await problemsOf('concurrency: 4')).toEqual([
    'rotator.yaml:1:1: accounts is empty. Name an account, or set discover.tag.',
  ]);
  expect(
    await problemsOf(`${accounts}pairs: [[fleet-east, fleet-eats], [fleet-east, fleet-east]]`),
  ).toEqual([
    'rotator.yaml:2:9: pairs[0] names an unknown account. Did you mean "fleet-east"?',
    'rotator.yaml:2:35: pairs[1] names the same account twice.',
  ]);
});

test('the ThingSpace URL is https, and http only on this machine', async () => {
  const url = (baseUrl: string) => `${accounts}thingspace: { baseUrl: "${baseUrl}" }`;
  for (const wrong of [
    'http://thingspace.verizon.com/api',
    'https://u:p@x.example',
    'https://x.example/?a=b',
    'ftp://127.0.0.1',
    'x',
    'http://127.0.0.1.example/',
  ]) {
    expect((await problemsOf(url(wrong)))[0]).toMatch(/thingspace\.baseUrl takes an https URL/);
  }
  for (const right of [
    'https://thingspace.example/api',
    'http://127.0.0.1:8080',
    'http://localhost:1/api',
    'http://[::1]:9',
  ]) {
    expect((await parse(url(right))).thingspace.baseUrl).toBe(right);
  }
});

test.each([
  '* * * *',
  '60 * * * *',
  '* 24 * * *',
  '* * 0 * *',
  '* * * 13 *',
  '* * * * 8',
  '*/0 * * * *',
  '5-1 * * * *',
  '1,,2 * * * *',
  'a * * * *',
  '* * * * * *',
  '',
])('the schedule "%s" is rejected', async (cron) => {
  expect((await problemsOf(`${accounts}schedule: { cron: "${cron}" }`))[0]).toMatch(
    /schedule\.cron takes a cron expression/,
  );
});

test.each(['* * * * *', '17 3 * * *', '*/15 0-6,22 1,15 jan-mar MON', '0 0 * * 7'])(
  'the schedule "%s" is accepted',
  async (cron) => {
    expect((await parse(`${accounts}schedule: { cron: "${cron}" }`)).schedule.cron).toBe(cron);
  },
);

test('an unknown time zone is rejected', async () => {
  expect((await problemsOf(`${accounts}schedule: { timezone: America/Gotham }`))[0]).toMatch(
    /schedule\.timezone takes an IANA time zone/,
  );
});

test('an unknown environment variable is reported with the nearest known one', async () => {
  expect(await problemsOf(accounts, { ROTATOR_STOER__TYPE: 'file', ROTATOR_CONFG: 'x' })).toEqual([
    'ROTATOR_CONFG is not a key of the configuration. Did you mean ROTATOR_CONFIG?',
    'ROTATOR_STOER__TYPE is not a key of the configuration. Did you mean ROTATOR_STORE__TYPE?',
  ]);
});

test('a wrong value in the environment is reported with its variable', async () => {
  expect(
    await problemsOf(accounts, {
      ROTATOR_POLICY__MAXAGEDAYS: 'soon',
      ROTATOR_STORE: '{',
      ROTATOR_HTTP__PORT: '',
    }),
  ).toEqual(['ROTATOR_STORE is not valid JSON.']);
  expect(await problemsOf(accounts, { ROTATOR_POLICY__MAXAGEDAYS: 'soon' })).toEqual([
    'ROTATOR_POLICY__MAXAGEDAYS: policy.maxAgeDays takes an integer from 1 to 3650.',
  ]);
});

test('a missing file is reported with its path, or with how to create one', async () => {
  const cwd = mkdtempSync(join(tmpdir(), 'config-'));
  try {
    await expect(loadConfig({ file: 'no.yaml', env: {}, cwd })).rejects.toThrow(
      `Cannot read the configuration ${cwd}/no.yaml: no such file or folder.`,
    );
    await expect(loadConfig({ env: { ROTATOR_CONFIG: '/no/such' }, cwd })).rejects.toThrow(
      'Cannot read the configuration /no/such: no such file or folder.',
    );
    await expect(loadConfig({ env: {}, cwd })).rejects.toThrow(
      `There is no rotator.yaml in ${cwd}. Create one with \`thingspace-rotator init\``,
    );
  } finally {
    rmSync(cwd, { recursive: true });
  }
});

test('every default is filled in, and paths start at the folder of the file', async () => {
  expect(await parse(accounts)).toEqual({
    thingspace: {
      baseUrl: 'https://thingspace.verizon.com/api',
      requestTimeoutMs: 15_000,
      resetTimeoutMs: 120_000,
      settleMs: 120_000,
    },
    store: {
      type: 'file',
      directory: '/etc/rotator/secrets',
      identityFile: '/etc/rotator/rotator.key',
    },
    accounts: [{ name: 'fleet-east', secretId: 'fleet-east', enabled: true }],
    pairs: [],
    policy: { rotateAfterDays: 75, maxAgeDays: 90 },
    schedule: { cron: '17 3 * * *', timezone: 'UTC', jitterMinutes: 30 },
    concurrency: 8,
    receipts: { recipients: [] },
    audit: {
      directory: '/etc/rotator/audit',
      signingKeyFile: '/etc/rotator/audit.key',
      witnesses: [],
    },
    http: { host: '127.0.0.1', port: 9464 },
    log: { level: 'info' },
  });
});

test('the policy and the schedule of an account are completed from the common ones', async () => {
  const config = await parse(
    'accounts: [{ name: a, policy: { maxAgeDays: 80 }, schedule: { timezone: America/Denver } ' +
      '}]\npolicy: { rotateAfterDays: 60 }\nschedule: { cron: "0 4 * * *" }\n',
  );

  expect(config.accounts[0]).toEqual({
    name: 'a',
    secretId: 'a',
    enabled: true,
    policy: { rotateAfterDays: 60, maxAgeDays: 80 },
    schedule: { cron: '0 4 * * *', timezone: 'America/Denver', jitterMinutes: 30 },
  });
});

test('JSON is accepted, and an empty section means the same as a missing one', async () => {
  expect(await parse('{"accounts":[{"name":"fleet-east"}],"notify":null}')).toEqual(
    await parse(`${accounts}policy:\nreceipts:\n  directory:\n`),
  );
});

test('the environment overrides the file, and a key overrides its section', async () => {
  const config = await parse(`${accounts}store: { type: file, directory: ./x }\n`, {
    ROTATOR_STORE: '{"type":"file","directory":"/one"}',
    ROTATOR_STORE__DIRECTORY: '/two',
    ROTATOR_THINGSPACE__BASEURL: 'http://127.0.0.1:1',
    ROTATOR_ACCOUNTS__0__SECRET_ID: 'thingspace/east',
    ROTATOR_ACCOUNTS__1__NAME: 'west',
    ROTATOR_ACCOUNTS__1__ENABLED: 'false',
    ROTATOR_RECEIPTS__RECIPIENTS: 'age1qqqqqqqqqqqqqqqqqqqqqqqqq, age1ppppppppppppppppppppppppp',
    ROTATOR_HTTP__PORT: '0',
    ROTATOR_NOTIFY__WEBHOOK: '',
    ROTATOR_CONFIG: '/elsewhere',
    PATH: '/bin',
  });

  expect(config.store).toEqual({
    type: 'file',
    directory: '/two',
    identityFile: '/etc/rotator/rotator.key',
  });
  expect(config.thingspace.baseUrl).toBe('http://127.0.0.1:1');
  expect(config.accounts).toEqual([
    { name: 'fleet-east', secretId: 'thingspace/east', enabled: true },
    { name: 'west', secretId: 'west', enabled: false },
  ]);
  expect(config.receipts.recipients).toHaveLength(2);
  expect(config.http.port).toBe(0);
  expect(config.notify).toBeUndefined();
});

test('no file is needed when the environment has the configuration', async () => {
  const config = await loadConfig({
    env: { ROTATOR_STORE__TYPE: 'secrets-manager', ROTATOR_DISCOVER__TAG: 'rotate-me' },
    cwd: '/nowhere',
  });

  expect(config.store).toEqual({ type: 'secrets-manager' });
  expect(config.discover).toEqual({ tag: 'rotate-me' });
});

test('every key has a description, and every value says what is accepted', () => {
  const silent = keysOf(describeConfig()).filter(
    ({ node }) => !node.description || (!node.properties && !node.oneOf && !node.accepts),
  );

  expect(silent.map(({ path }) => path.join('.'))).toEqual([]);
});

test('every key can be set by the variable that the documentation names', async () => {
  const scalars = keysOf(describeConfig()).filter(
    ({ node }) => node.accepts !== undefined && node.type !== 'array',
  );
  for (const { path } of scalars) {
    const variable = variableOf(path.map((step) => (step === '[]' ? 0 : step)));
    // A value that is rejected under the name of the key arrived there.
    const outcome = await parse(accounts, { [variable]: '\u0000' }).then(
      () => 'accepted',
      (error: UsageError) => error.message,
    );
    if (outcome !== 'accepted')
      expect([variable, outcome]).toEqual([variable, expect.stringContaining(path[0] ?? '')]);
  }
});

test('any text is parsed or rejected with a UsageError', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.oneof(
        fc.string(),
        fc.json(),
        fc.string({ unit: fc.constantFrom(...':{}[]-&*!|>\'"%@` \n#a1') }),
      ),
      async (text) => {
        await parse(text).catch((error: unknown) => {
          if (!(error instanceof UsageError)) throw error;
        });
      },
    ),
    { numRuns: 300 },
  );
});

test('the generated documentation and JSON Schema are up to date', () => {
  const check = spawnSync(process.execPath, ['scripts/docs.mjs', '--check'], { encoding: 'utf8' });

  expect([check.stderr, check.status]).toEqual(['', 0]);
});

test('the published schema has the keys that the parser accepts', () => {
  const published = JSON.parse(readFileSync('docs/rotator.schema.json', 'utf8'));

  expect(Object.keys(published.properties)).toEqual(Object.keys(describeConfig().properties ?? {}));
  expect(JSON.stringify(published)).not.toContain('"accepts"');
});

test('notifications go to one webhook or to several receivers', async () => {
  const hook = 'https://hooks.example/x';
  const common = { format: 'json', minSeverity: 'info', kinds: [] };

  expect(
    (await parse(`${accounts}notify: { webhook: "${hook}", secretFile: key }`)).notify,
  ).toEqual({
    allIsWell: false,
    receivers: [{ ...common, name: 'default', webhook: hook, secretFile: '/etc/rotator/key' }],
    stateFile: '/etc/rotator/notifications.jsonl',
  });
  const several = await parse(
    `${accounts}audit: { s3: { bucket: logs } }\nnotify:\n  receivers:\n` +
      `    - { name: chat, webhook: "${hook}", format: slack }\n` +
      `    - { name: pager, webhook: "${hook}", format: pagerduty, ` +
      `secretFile: k, kinds: [lost] }\n`,
  );
  expect(several.notify).toEqual({
    allIsWell: false,
    receivers: [
      { ...common, name: 'chat', webhook: hook, format: 'slack' },
      {
        ...common,
        name: 'pager',
        webhook: hook,
        format: 'pagerduty',
        secretFile: '/etc/rotator/k',
        kinds: ['lost'],
      },
    ],
  });
});

test('a mistake in the receivers is reported with its place', async () => {
  const hook = 'https://hooks.example/x';

  expect(await problemsOf(`${accounts}notify: { allIsWell: true }`)).toEqual([
    'rotator.yaml:2:1: notify needs webhook or receivers.',
  ]);
  expect(
    await problemsOf(
      `${accounts}notify:\n  webhook: ${hook}\n  receivers:\n` +
        `    - { name: a, webhook: "${hook}", format: pagerduty }\n` +
        `    - { name: a, webhook: "${hook}" }\n`,
    ),
  ).toEqual([
    'rotator.yaml:4:3: notify.webhook and notify.receivers exclude each other.',
    expect.stringMatching(
      /^rotator.yaml:5:\d+: notify.receivers\[0\].format: pagerduty needs secretFile, /,
    ),
    expect.stringMatching(/^rotator.yaml:6:\d+: notify.receivers\[1\].name: a is there twice.$/),
  ]);
  expect(await problemsOf(`${accounts}notify: { webhook: "${hook}", format: msn }`)).toEqual([
    expect.stringContaining('notify.format takes json, slack, teams or pagerduty.'),
  ]);
});
