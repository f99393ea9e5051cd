// The built program on the command line: what it rejects, what it prints and where, and its exit
// code.

import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough, Writable } from 'node:stream';
import { Encrypter } from 'age-encryption';
import { auditList } from '../../src/cli/audit.ts';
import type { Shell } from '../../src/cli/terminal.ts';
import { reasons } from '../../src/rotation/catalogue.ts';
import { isoDay } from '../../src/time.ts';
import {
  killLeftovers,
  openFakeStore,
  openPlace,
  type Place,
  program,
  run,
  start,
  startOnTerminal,
} from '../harness/cli.ts';
import { partOf, testPart } from '../harness/sample.ts';

/** A sixth of them in each run. */
const sampled = testPart(6);

const folders: string[] = [];
const places: Place[] = [];

function tempFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'cli-'));
  folders.push(folder);
  return folder;
}

async function place(accounts: Parameters<typeof openPlace>[0]): Promise<Place> {
  const opened = await openPlace(accounts);
  places.push(opened);
  return opened;
}

afterEach(async () => {
  killLeftovers();
  for (const opened of places.splice(0)) await opened.close();
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

const resultFields = [
  'account',
  'secretId',
  'outcome',
  'certainty',
  'reason',
  'rotationId',
  'versionId',
  'ageDays',
  'due',
  'nextDueAt',
  'logins',
  'startedAt',
  'endedAt',
  'deadWindowMs',
  'next',
];

const dayMs = 86_400_000;
const linesOf = (text: string): string[] => text.split('\n').filter((line) => line !== '');

sampled(
  'an unknown command, flag, account, event or fault ends with 2 and a suggestion',
  async () => {
    const { run: inPlace } = await place({ 'fleet-east': { ageDays: 1 } });
    const cases: [string[], RegExp][] = [
      [['rotat'], /Did you mean rotate\?/],
      [['rotate', '--forc'], /Did you mean --force\?/],
      [['audit', 'lst'], /Did you mean list\?/],
      [['rotate', 'fleet-eats'], /Unknown account fleet-eats\. Did you mean "fleet-east"\?/],
      [['status', 'nothing-like-it'], /Unknown account nothing-like-it\. Use one of: fleet-east\./],
      [['audit', 'list', '--event', 'rotation.outcom'], /Did you mean "rotation\.outcome"\?/],
      [['audit', 'list', '--outcome', 'login-refusd'], /Did you mean "login-refused"\?/],
      [['audit', 'list', '--since', 'sometime'], /--since takes an ISO date/],
      [['audit', 'show', '99999'], /There is no record 99999/],
      [['simulate', '--fault', 'drop-after-comit'], /Did you mean "drop-after-commit"\?/],
      [['completion', 'tcsh'], /takes bash, zsh, fish/],
      [['resume', 'fleet-east'], /required option '--reason/],
      [['rotate', '--dry-run', '--force'], /exclude each other/],
      [['recover', 'fleet-east', '--receipt', 'x'], /only accepted together/],
      [['next', '--count', '0'], /--count takes/],
      [['explain', 'login-refusd'], /Did you mean "login-refused"\?/],
      [['secret', 'get', 'fleet-east'], /--reveal/],
      [[], /Usage:/],
    ];

    for (const [args, says] of cases) {
      const { code, stdout, stderr } = await inPlace(args);
      expect([args, code, stdout, stderr]).toEqual([args, 2, '', expect.stringMatching(says)]);
    }
  },
);

sampled('a missing or wrong configuration ends with 2 and names file, line and key', async () => {
  const folder = tempFolder();
  expect(await run(['rotate'], { cwd: folder })).toEqual({
    code: 2,
    stdout: '',
    stderr:
      `error: There is no rotator.yaml in ${folder}. ` +
      'Create one with `thingspace-rotator init`, or name one with --config FILE.\n',
  });
  writeFileSync(
    join(folder, 'rotator.yaml'),
    'accounts: [{ name: a }]\npolicy:\n  maxAgeDay: 80\n',
  );
  expect(await run(['status'], { cwd: folder })).toEqual({
    code: 2,
    stdout: '',
    stderr:
      `error: ${folder}/rotator.yaml:3:3: Unknown key policy.maxAgeDay. Did you mean ` +
      `"maxAgeDays"?\n`,
  });
});

sampled('two accounts with the same ThingSpace user are refused before any login', async () => {
  const opened = await place({ east: { ageDays: 80 }, west: { ageDays: 80 } });
  await opened.run(['secret', 'put', 'west'], {
    input: JSON.stringify({
      username: 'USER-east',
      password: 'planted-east',
      clientId: 'app-key',
      clientSecret: 'app-planted-secret',
    }),
  });

  for (const command of ['rotate', 'check', 'status']) {
    const { code, stderr } = await opened.run([command]);
    expect([command, code, stderr]).toEqual([
      command,
      2,
      expect.stringContaining('accounts east and west have the same ThingSpace user'),
    ]);
  }
  expect(opened.simulator.loginsReceived('USER-east')).toBe(0);
});

sampled('init never overwrites, and writes nothing when one file exists', async () => {
  const folder = tempFolder();
  writeFileSync(join(folder, 'audit.key'), 'precious');

  const { code, stdout, stderr } = await run(['init', '--account', 'a'], { cwd: folder });

  expect([code, stdout]).toEqual([2, '']);
  expect(stderr).toBe(
    `error: ${folder}/audit.key exists. init overwrites no file, and has written none.\n`,
  );
  expect(readdirSync(folder)).toEqual(['audit.key']);
  expect(readFileSync(join(folder, 'audit.key'), 'utf8')).toBe('precious');
});

sampled('init in a folder that cannot be created says why', async () => {
  const folder = tempFolder();
  writeFileSync(join(folder, 'file'), '');

  const { code, stderr } = await run(['init', '--account', 'a', '--config', 'file/rotator.yaml'], {
    cwd: folder,
  });

  expect([code, stderr]).toEqual([
    2,
    `error: Cannot create ${folder}/file: the file exists already.\n`,
  ]);
});

sampled('init without an account, or with a wrong one, writes nothing', async () => {
  const folder = tempFolder();
  const cases: [string[], RegExp][] = [
    [[], /init needs an account/],
    [['--account', '--store'], /argument missing|unknown|takes/],
    [['--account', 'a b'], /accounts\[0\]\.name takes letters/],
    [['--account', 'a=x', '--account', 'b=x'], /have the same secret/],
    [['--account', 'a', '--base-url', 'http://verizon.example'], /baseUrl takes an https URL/],
    [
      ['--account', 'a', '--store', 'flie'],
      /--store takes file or secrets-manager\. Did you mean "file"\?/,
    ],
  ];

  for (const [flags, says] of cases) {
    const { code, stderr } = await run(['init', ...flags], { cwd: folder });
    expect([flags, code, stderr]).toEqual([flags, 2, expect.stringMatching(says)]);
  }
  expect(readdirSync(folder)).toEqual([]);
});

sampled('init writes a valid configuration, private keys, and an audit log', async () => {
  const folder = tempFolder();

  const { code } = await run(
    [
      ...['init', '--account', 'fleet-east', '--account', 'b=other/b', '--account', '4711=null'],
      ...['--config', 'new/rotator.yaml'],
    ],
    { cwd: folder },
  );

  expect(code).toBe(0);
  const made = join(folder, 'new');
  expect(readdirSync(made).sort()).toEqual([
    '.audit.mark',
    'audit',
    'audit.key',
    'audit.key.pub',
    'http.token',
    'receipts.key',
    'rotator.key',
    'rotator.yaml',
  ]);
  for (const name of ['audit.key', 'http.token', 'receipts.key', 'rotator.key'])
    expect([name, statSync(join(made, name)).mode & 0o777]).toEqual([name, 0o600]);
  const text = readFileSync(join(made, 'rotator.yaml'), 'utf8');
  const schema = /^# yaml-language-server: \$schema=(.+)$/m.exec(text)?.[1] ?? '';
  expect(existsSync(schema)).toBe(true);
  expect(text).toContain('secretId: thingspace/fleet-east');
  expect(text).toContain('secretId: other/b');
  expect(text).toContain('- name: "4711"\n    secretId: "null"\n');
  expect(
    (await run(['check', '--offline', '--config', 'new/rotator.yaml'], { cwd: folder })).code,
  ).toBe(0);
  const verified = await run(['audit', 'verify', '--json', '--config', 'new/rotator.yaml'], {
    cwd: folder,
  });
  expect([verified.code, JSON.parse(verified.stdout).state]).toEqual([0, 'intact']);
});

sampled.with('script')('init asks on a terminal', async () => {
  const folder = tempFolder();

  const child = startOnTerminal(['init'], { cwd: folder });
  const answers: [RegExp, string][] = [
    [/Secret store.*: /, 'file\r'],
    [/ThingSpace API.*: /, '\r'],
    [/first account: /, 'fleet-east\r'],
    [/Secret of fleet-east.*: /, '\r'],
    [/Another account.*: /, '\r'],
  ];
  for (const [question, answer] of answers) {
    await child.saw(question);
    child.process.stdin?.write(answer);
  }
  const { code } = await child.ended;

  expect(code).toBe(0);
  expect(readFileSync(join(folder, 'rotator.yaml'), 'utf8')).toContain(
    '  - name: fleet-east\n    secretId: thingspace/fleet-east\n',
  );
});

sampled('rotate --json prints one line per account, with the documented fields', async () => {
  const { run: inPlace, simulator } = await place({
    due: { ageDays: 80 },
    young: { ageDays: 3 },
    wrong: { ageDays: 80, password: 'stale' },
  });

  const { code, stdout, stderr } = await inPlace([
    'rotate',
    '--json',
    '--reason',
    'test',
    '--change-ref',
    'CHG-1',
  ]);

  const results = linesOf(stdout).map((line) => JSON.parse(line));
  for (const result of results) expect(Object.keys(result)).toEqual(resultFields);
  const byAccount = Object.fromEntries(results.map((result) => [result.account, result]));
  expect(byAccount['due']).toEqual({
    account: 'due',
    secretId: 'thingspace/due',
    outcome: 'rotated',
    certainty: 'rotated',
    reason: null,
    rotationId: expect.stringMatching(/^[0-9a-f-]{36}$/),
    versionId: byAccount['due'].rotationId,
    ageDays: 80,
    due: false,
    nextDueAt: expect.stringMatching(isoDay(Date.now() + 75 * dayMs)),
    logins: 2,
    startedAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
    endedAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
    deadWindowMs: expect.any(Number),
    next: null,
  });
  expect([byAccount['young'].outcome, byAccount['young'].logins]).toEqual(['not-due', 0]);
  expect([
    byAccount['wrong'].certainty,
    byAccount['wrong'].reason,
    byAccount['wrong'].next,
  ]).toEqual([
    'stopped',
    'login-refused',
    expect.stringMatching(/^Store the correct password: `thingspace-rotator secret put wrong`/),
  ]);
  expect(code).toBe(4);
  for (const line of linesOf(stderr)) expect(() => JSON.parse(line)).not.toThrow();
  expect(stdout + stderr).not.toContain('planted');
  expect(stdout + stderr).not.toContain(simulator.livePassword('USER-due'));
  const intended = await inPlace(['audit', 'list', '--event', 'rotation.intended', '--json']);
  expect(JSON.parse(intended.stdout).unmapped).toMatchObject({
    reason: 'test',
    change_ref: 'CHG-1',
    trigger: 'unattended',
  });
});

// Finding S17. Version 0.1 said "would rotate" of accounts that rotate then called not due.
sampled(
  'a dry run and a run share one decision, and both say when the next rotation is',
  async () => {
    const opened = await place({ due: { ageDays: 80 }, young: { ageDays: 3 } });
    const nextDays = {
      due: isoDay(Date.now() - 5 * dayMs),
      young: isoDay(Date.now() + 72 * dayMs),
    };

    const dry = await opened.run(['rotate', '--dry-run', '--json']);
    const { stdout: text } = await startOnTerminal(['check', 'due', 'young'], {
      cwd: opened.folder,
    }).ended;
    const rotated = await opened.run(['rotate', '--json']);

    const said = linesOf(dry.stdout).map((line) => JSON.parse(line));
    const done = linesOf(rotated.stdout).map((line) => JSON.parse(line));
    const decided = (results: typeof said): unknown =>
      results
        .map(({ account, outcome, due, nextDueAt }) => [
          account,
          outcome,
          due,
          nextDueAt.slice(0, 10),
        ])
        .sort();
    expect(decided(said)).toEqual([
      ['due', 'checked', true, nextDays.due],
      ['young', 'checked', false, nextDays.young],
    ]);
    expect(decided(done)).toEqual([
      ['due', 'rotated', false, isoDay(Date.now() + 75 * dayMs)],
      ['young', 'not-due', false, nextDays.young],
    ]);
    expect(text).toContain('It is due: the next run rotates it.');
    expect(text).toContain(`The next rotation is on ${nextDays.young}.`);
  },
);

sampled('each certainty has its exit code', async () => {
  const opened = await place({ east: { ageDays: 80 } });
  const settings = {
    ROTATOR_THINGSPACE__SETTLE_MS: '0',
    ROTATOR_THINGSPACE__REQUEST_TIMEOUT_MS: '1000',
    ROTATOR_THINGSPACE__RESET_TIMEOUT_MS: '1000',
  };
  const rotate = async () => {
    const { code, stdout } = await opened.run(['rotate', '--json'], { env: settings });
    return [code, JSON.parse(stdout).certainty, JSON.parse(stdout).reason];
  };

  opened.simulator.arm({ fault: '429', call: 'reset' });
  expect(await rotate()).toEqual([1, 'unchanged', 'reset-throttled']);
  opened.simulator.arm({ fault: 'drop-after-commit', call: 'reset' });
  expect(await rotate()).toEqual([3, 'in-doubt', 'answer-lost']);
  expect((await opened.run(['status'], { env: settings })).code).toBe(3);
});

sampled(
  'in a pipe the results are tab-separated lines without colour or progress bar',
  async () => {
    const { run: inPlace } = await place({ a: { ageDays: 80 }, b: { ageDays: 3 } });

    const { code, stdout, stderr } = await inPlace(['rotate']);

    expect(code).toBe(0);
    expect(
      linesOf(stdout)
        .map((line) => line.split('\t').slice(0, 3))
        .sort(),
    ).toEqual([
      ['a', 'rotated', 'rotated'],
      ['b', 'not-due', 'not-due'],
    ]);
    expect(stdout + stderr).not.toContain('\u001b');
    expect(stderr).not.toContain('█');
  },
);

sampled('FORCE_COLOR enables colours in a pipe, and NO_COLOR disables them', async () => {
  const { run: inPlace } = await place({ a: { ageDays: 1 } });
  const verify = (env: Record<string, string>) => inPlace(['audit', 'verify'], { env });

  expect((await verify({ FORCE_COLOR: '1' })).stdout).toContain('\u001b[32mintact');
  expect((await verify({ FORCE_COLOR: '1', NO_COLOR: '1' })).stdout).toMatch(/^intact/);
});

sampled.with('script')(
  'a terminal shows a progress bar, a table, and what to do after a failure',
  async () => {
    const { folder } = await place({
      due: { ageDays: 80 },
      young: { ageDays: 3 },
      wrong: { ageDays: 80, password: 'stale' },
    });

    const rotated = await startOnTerminal(['rotate', '--config', 'rotator.yaml'], {
      cwd: folder,
    }).ended;
    const status = await startOnTerminal(['status'], { cwd: folder, env: { NO_COLOR: '1' } }).ended;

    expect(rotated.code).toBe(4);
    expect(rotated.stdout).toContain('█');
    expect(rotated.stdout).toContain('wrong: login rejected (login-refused)');
    expect(rotated.stdout).toContain('To fix: Store the correct password:');
    expect(rotated.stdout).toContain(
      '      thingspace-rotator secret put wrong --config rotator.yaml',
    );
    expect(rotated.stdout).toContain('3 accounts:');
    expect(rotated.stdout).not.toContain('BEGIN AGE ENCRYPTED FILE');
    expect(status.code).toBe(4);
    expect(status.stdout).toMatch(/^ACCOUNT +AGE +LEFT +NEXT ROTATION +STATE +LAST RESULT/);
    expect(status.stdout).toMatch(/young +unknown +unknown +\d{4}/);
    expect(status.stdout).toMatch(
      /wrong +unknown +unknown +due now +suspended: login-refused +login-refused 2/,
    );
    expect(status.stdout).not.toContain('\u001b');
  },
);

sampled(
  'a reader that closes the pipe changes neither the rotation nor the exit code',
  async () => {
    const opened = await place({ a: { ageDays: 80 } });

    const child = opened.start(['rotate', '--json']);
    child.process.stdout?.destroy();
    const { code } = await child.ended;

    expect(code).toBe(0);
    expect(opened.simulator.resetsCommitted('USER-a')).toBe(1);
    const head = spawnSync(
      'bash',
      ['-c', `set -o pipefail; '${process.execPath}' '${program}' audit list | head -n 1`],
      {
        cwd: opened.folder,
        encoding: 'utf8',
      },
    );
    expect([head.status, head.stderr, linesOf(head.stdout).length]).toEqual([0, '', 1]);
  },
);

sampled('a signal before the reset ends the attempt, and the password is unchanged', async () => {
  const { simulator, start: inPlace } = await place({ a: { ageDays: 80 } });
  simulator.arm({ fault: 'hold', call: 'login' });
  const held = simulator.waitFor('held');

  const child = inPlace(['rotate', '--json']);
  await held;
  child.process.kill('SIGTERM');
  await child.saw(/SIGTERM: The program ends\./);
  simulator.release();
  const { code, stdout } = await child.ended;

  expect([code, JSON.parse(stdout).reason]).toEqual([1, 'interrupted']);
  expect(simulator.resetsReceived('USER-a')).toBe(0);
});

sampled('after the reset a signal waits, and a second one says what is at risk', async () => {
  const { simulator, start: inPlace } = await place({ a: { ageDays: 80 } });
  simulator.arm({ fault: 'hold', call: 'reset' });
  const held = simulator.waitFor('held');

  const child = inPlace(['rotate', '--json']);
  await held;
  child.process.kill('SIGINT');
  await child.saw(
    /SIGINT: The program ends when the new passwords of these accounts are stored: a\./,
  );
  child.process.kill('SIGHUP');
  await child.saw(
    /SIGHUP: If you end this process now, the new passwords .* are lost: a\. Still waiting\./,
  );
  simulator.release();
  const { code, stdout } = await child.ended;

  expect([code, JSON.parse(stdout).outcome]).toEqual([0, 'rotated']);
});

sampled('check tests an account and does not reset its password', async () => {
  const { simulator, run: inPlace } = await place({ a: { ageDays: 80 } });

  const { code, stdout } = await inPlace(['check', '--json']);

  expect([code, JSON.parse(stdout).outcome]).toEqual([0, 'checked']);
  expect(simulator.loginsReceived('USER-a')).toBe(1);
  expect(simulator.resetsReceived('USER-a')).toBe(0);
  expect(simulator.openSessions('USER-a')).toBe(0);
});

sampled('check warns when no receipts are configured', async () => {
  const { run: inPlace } = await place({ a: { ageDays: 1 } });

  const { code, stderr } = await inPlace(['check'], {
    env: { ROTATOR_RECEIPTS: '{"recipients":[]}' },
  });

  expect(code).toBe(0);
  expect(stderr).toContain('the new password is unrecoverable');
});

sampled(
  'check --offline contacts nothing, and reports a key that other users can read',
  async () => {
    const { simulator, folder, run: inPlace } = await place({ a: { ageDays: 1 } });
    chmodSync(join(folder, 'rotator.key'), 0o644);

    const { code, stderr } = await inPlace(['check', '--offline']);

    expect(code).toBe(1);
    expect(stderr).toMatch(/✗ store\.identityFile: .*mode 0644/);
    expect(simulator.requests).toEqual([]);
  },
);

sampled('check --offline reports a folder in the place of the signing key', async () => {
  const { folder, run: inPlace } = await place({ a: { ageDays: 1 } });
  rmSync(join(folder, 'audit.key'));
  mkdirSync(join(folder, 'audit.key'), { mode: 0o700 });

  const { code, stderr } = await inPlace(['check', '--offline']);

  expect(code).toBe(1);
  expect(stderr).toMatch(/✗ audit\.signingKeyFile: .*audit\.key holds no signing key/);
});

sampled(
  'a secret is stored from standard input, audited, and printed only on request',
  async () => {
    const { run: inPlace } = await place({ a: { ageDays: 80 } });
    const object =
      '{ "username": "USER-a",  "password":"planted \\u00fc", "clientId": "x", "clientSecret": ' +
      '"y", "more": [1.0] }';

    const put = await inPlace(['secret', 'put', 'a', '--json'], { input: `${object}\n` });
    const get = await inPlace(['secret', 'get', 'a', '--reveal']);
    const listed = await inPlace(['audit', 'list', '--event', 'secret.changed', '--json']);

    expect([put.code, put.stderr]).toEqual([0, '']);
    expect(get).toEqual({ code: 0, stdout: `${object}\n`, stderr: '' });
    expect(linesOf(listed.stdout).map((line) => JSON.parse(line).status)).toEqual([
      'Started',
      'Success',
    ]);
    expect(listed.stdout).toContain(JSON.parse(put.stdout).versionId);
    expect(put.stdout + listed.stdout).not.toContain('planted');
  },
);

const wrongSecrets = [
  ['no JSON', 'planted{'],
  ['a missing key', '{"username":"planted","clientId":"x","clientSecret":"y"}'],
  ['nothing', ''],
] as const;
test.each(partOf(wrongSecrets, 3))(
  'a secret that is %s is rejected, and not repeated',
  async (_, input) => {
    const { run: inPlace } = await place({ a: { ageDays: 80 } });

    const { code, stdout, stderr } = await inPlace(['secret', 'put', 'a'], { input });

    expect([code, stdout]).toEqual([1, '']);
    expect(stderr).toMatch(/^secret has wrong content \(secret-invalid\)\n/);
    expect(stderr).not.toContain('planted');
  },
);

sampled('storing the correct password resumes a suspended account', async () => {
  const { run: inPlace, simulator } = await place({ a: { ageDays: 80, password: 'stale' } });
  expect((await inPlace(['rotate'])).code).toBe(4);

  const right = JSON.stringify({
    username: 'USER-a',
    password: 'planted-a',
    clientId: 'app-key',
    clientSecret: 'app-planted-secret',
  });
  const put = await inPlace(['secret', 'put', 'a'], { input: right });

  expect([put.code, put.stdout]).toEqual([
    0,
    expect.stringContaining('Automatic rotation is resumed.'),
  ]);
  expect(JSON.parse((await inPlace(['status', '--json'])).stdout)[0].state).toBe('settled');
  expect((await inPlace(['rotate', '--force'])).code).toBe(0);
  expect(simulator.failedLogins('USER-a').consecutive).toBe(0);
});

sampled('resume ends a suspension, with its reason in the audit log', async () => {
  const { run: inPlace, simulator } = await place({ a: { ageDays: 80, password: 'stale' } });
  await inPlace(['rotate']);
  simulator.setPassword('USER-a', 'stale');

  const resumed = await inPlace(['resume', 'a', '--reason', 'Verizon set it back']);

  expect(resumed.code).toBe(0);
  expect((await inPlace(['rotate'])).code).toBe(0);
  const listed = await inPlace(['audit', 'list', '--event', 'account.resumed', '--json']);
  expect(JSON.parse(listed.stdout).unmapped.reason).toBe('Verizon set it back');
});

sampled('a receipt is opened with its identity, stored and made current', async () => {
  const { run: inPlace, folder, simulator } = await place({ a: { ageDays: 80 } });
  const settings = { ROTATOR_THINGSPACE__SETTLE_MS: '0' };
  simulator.arm({ fault: 'drop-after-commit', call: 'reset' });
  const lost = await inPlace(['rotate', '--json'], { env: settings });
  expect([lost.code, JSON.parse(lost.stdout).certainty]).toEqual([3, 'in-doubt']);
  // As if the answer had arrived, and the process had died right after sealing it.
  const receipt = `a.${JSON.parse(lost.stdout).rotationId}.age`;
  const encrypter = new Encrypter();
  encrypter.addRecipient(
    /recipients: \[(age1[^\]]+)\]/.exec(readFileSync(join(folder, 'rotator.yaml'), 'utf8'))?.[1] ??
      '',
  );
  const answer = JSON.stringify({ newPassword: simulator.livePassword('USER-a') });
  writeFileSync(join(folder, 'receipts', receipt), await encrypter.encrypt(answer));

  const wrong = await inPlace(
    ['recover', 'a', '--receipt', join('receipts', receipt), '--identity', 'rotator.key'],
    { env: settings },
  );
  const right = await inPlace(
    [
      'recover',
      'a',
      '--json',
      '--receipt',
      join('receipts', receipt),
      '--identity',
      'receipts.key',
    ],
    {
      env: settings,
    },
  );

  expect([wrong.code, wrong.stderr]).toEqual([3, expect.stringContaining('receipt-sealed')]);
  expect([right.code, JSON.parse(right.stdout).outcome]).toEqual([0, 'recovered']);
  const stored = JSON.parse((await inPlace(['secret', 'get', 'a', '--reveal'])).stdout);
  expect(stored.password).toBe(simulator.livePassword('USER-a'));
});

sampled('schedule lists the next runs in their time zone, and contacts nothing', async () => {
  const { run: inPlace, simulator } = await place({ a: { ageDays: 1 } });
  const env = {
    ROTATOR_SCHEDULE__CRON: '30 2 * * *',
    ROTATOR_SCHEDULE__TIMEZONE: 'America/New_York',
  };

  const { code, stdout } = await inPlace(['schedule', '--count', '3', '--json'], { env });
  const alias = await inPlace(['next', '--count', '3', '--json'], { env });

  const [group] = JSON.parse(stdout);
  expect([code, alias.code, alias.stdout]).toEqual([0, 0, stdout]);
  expect([group.cron, group.timezone, group.accounts, group.runs.length]).toEqual([
    '30 2 * * *',
    'America/New_York',
    ['a'],
    3,
  ]);
  for (const { local } of group.runs) expect(local).toContain('02:30');
  expect(simulator.requests).toEqual([]);
});

sampled('an audit record is listed, shown, proven and reported', async () => {
  const { run: inPlace, folder } = await place({ a: { ageDays: 80 } });
  await inPlace(['rotate']);

  const last = await inPlace([
    'audit',
    'list',
    '--account',
    'a',
    '--event',
    'rotation.outcome',
    '-n',
    '1',
    '--json',
  ]);
  const { uid } = JSON.parse(last.stdout).metadata;
  const shown = await inPlace(['audit', 'show', uid, '--json']);
  const proof = await inPlace(['audit', 'prove', uid]);
  const report = await inPlace([
    'audit',
    'report',
    '--from',
    '7 days ago',
    '--out',
    'report',
    '--json',
  ]);

  expect(shown.stdout).toBe(last.stdout);
  expect(proof.stdout).toMatch(/^c2sp\.org\/tlog-proof@v1\n/);
  expect([
    report.code,
    JSON.parse(report.stdout).verdict.inside,
    JSON.parse(report.stdout).log,
  ]).toEqual([0, 1, 'intact']);
  expect(readdirSync(join(folder, 'report')).sort()).toEqual(
    expect.arrayContaining(['report.csv', 'report.html', 'report.json']),
  );
  expect((await inPlace(['audit', 'list', '--event', 'report.exported'])).stdout).toContain(
    'report.exported',
  );
  expect((await inPlace(['audit', 'verify'])).code).toBe(0);
});

sampled('a changed byte in the audit log makes verify end with 4', async () => {
  const { run: inPlace, folder } = await place({ a: { ageDays: 80 } });
  const [month = ''] = readdirSync(join(folder, 'audit')).filter((name) => name.endsWith('.jsonl'));
  const file = join(folder, 'audit', month);
  writeFileSync(file, readFileSync(file, 'utf8').replace('thingspace/a', 'thingspace/b'));

  const { code, stdout } = await inPlace(['audit', 'verify']);

  expect([code, stdout]).toEqual([4, expect.stringMatching(/^altered/)]);
});

sampled('a list that a signal interrupts is recorded', async () => {
  const { folder, run: inPlace } = await place({ a: { ageDays: 80 } });
  await inPlace(['rotate']);
  const printed: string[] = [];
  let interrupt = (_signal: string): void => {};
  const stdout = new Writable({
    write(chunk, _encoding, done) {
      printed.push(String(chunk));
      interrupt('SIGINT');
      done();
    },
  });
  const shell: Shell = {
    ...{ args: ['audit', 'list'], flags: {}, env: {}, cwd: folder, pid: process.pid },
    ...{ program: '', schema: '' },
    ...{ user: { name: 'ops', requestedBy: 'mia' }, isAttended: true, stdin: new PassThrough() },
    ...{ stdout, stderr: new PassThrough(), outputClosed: new AbortController().signal },
    writeLine: () => {},
    onSignal: (handler) => {
      interrupt = handler;
      return () => {};
    },
  };

  const code = await auditList(shell, {});

  expect([code, printed]).toEqual([1, [expect.stringMatching(/\tlog\.genesis\t/)]]);
  const listed = await inPlace(['audit', 'list', '--event', 'log.read']);
  expect(listed.stdout).toMatch(/\tlog\.read\t-\tsuccess\tmia\t[^\n]+\n$/);
});

sampled('audit list -f prints what is appended, until a signal, and is one record', async () => {
  const opened = await place({ a: { ageDays: 80 } });

  const child = opened.start(['audit', 'list', '-f']);
  await child.saw(/inventory\.summary/);
  await opened.run(['rotate']);
  await child.saw(/rotation\.outcome/);
  child.process.kill('SIGINT');

  const { code, stdout } = await child.ended;
  expect([code, stdout.match(/\tlog\.read\t/g)]).toEqual([0, ['\tlog.read\t']]);
});

sampled('the simulator answers on loopback until a signal, and prints no password', async () => {
  const folder = tempFolder();
  const credentials = JSON.stringify({
    username: 'U',
    password: 'planted',
    clientId: 'id',
    clientSecret: 'planted-too',
  });

  const child = start(['simulate', '--credentials', '-', '--fault', '429:reset:all'], {
    cwd: folder,
    input: credentials,
  });
  await child.saw(/^ROTATOR_THINGSPACE__BASE_URL=/m);
  child.process.kill('SIGTERM');
  const { code, stdout, stderr } = await child.ended;

  expect(code).toBe(0);
  expect(stdout).toMatch(/^ROTATOR_THINGSPACE__BASE_URL=http:\/\/127\.0\.0\.1:\d+\/api$/m);
  expect(stdout + stderr).not.toContain('planted');
});

sampled('a rotation on Secrets Manager, against the simulator that `simulate` starts', async () => {
  const folder = tempFolder();
  const credentials = JSON.stringify({
    username: 'U',
    password: 'planted',
    clientId: 'id',
    clientSecret: 's',
    more: 1,
  });
  const simulated = start(['simulate'], {
    cwd: folder,
    env: { SIMULATOR_CREDENTIALS: credentials },
  });
  const printed = await simulated.saw(/^ROTATOR_\S+=(\S+)$/m);
  await using store = await openFakeStore({ 'thingspace/U': credentials });
  const env = { ROTATOR_THINGSPACE__BASE_URL: printed[1] ?? '', ...store.env };

  const created = await run(['init', '--store', 'secrets-manager', '--account', 'a=thingspace/U'], {
    cwd: folder,
  });
  const checked = await run(['check'], { cwd: folder, env });
  const rotated = await run(['rotate', '--force', '--json'], { cwd: folder, env });
  const put = await run(['secret', 'put', 'a'], { cwd: folder, env });
  simulated.process.kill('SIGTERM');
  const { stderr: requests } = await simulated.ended;

  expect([created.code, checked.code, rotated.code, JSON.parse(rotated.stdout).outcome]).toEqual([
    0,
    0,
    0,
    'rotated',
  ]);
  expect([put.code, put.stderr]).toEqual([
    2,
    expect.stringContaining('aws secretsmanager put-secret-value'),
  ]);
  expect(requests).toMatch(/^PUT \S+\/password\/actions\/reset U 200 done$/m);
});

sampled('explain works without a configuration, for one reason and for all', async () => {
  const folder = tempFolder();

  const one = await run(['explain', 'login-refused'], { cwd: folder });
  const json = await run(['explain', 'login-refused', '--json'], { cwd: folder });
  const all = await run(['explain'], { cwd: folder });

  expect([one.code, json.code, all.code]).toEqual([0, 0, 0]);
  expect(one.stdout).toContain('login rejected (login-refused)\n');
  expect(one.stdout).toContain('      thingspace-rotator secret put ACCOUNT\n');
  expect(Object.keys(JSON.parse(json.stdout))).toEqual([
    'reason',
    'title',
    'meaning',
    'steps',
    'note',
    'exitCode',
  ]);
  expect(linesOf(all.stdout)).toHaveLength(reasons.length);
});

sampled('the demo can be repeated, and leaves a folder whose commands work', async () => {
  const folder = tempFolder();
  expect((await run(['demo'], { cwd: folder })).code).toBe(0);
  const { code, stdout } = await run(['demo'], { cwd: folder });

  expect(code).toBe(0);
  expect(stdout).toContain('fleet-east  rotated');
  expect(stdout).toContain('fleet-west  not due: 12 days old');
  expect(stdout).toContain('fleet-south: login rejected (login-refused)');
  expect(stdout).toContain('fleet-south: 1 login (1 rejected');
  expect(stdout).not.toContain('live-at-verizon');
  const config = ['--config', 'demo/rotator.yaml'];
  const status = await run(['status', '--json', ...config], { cwd: folder });
  expect(
    JSON.parse(status.stdout).map(({ account, state, ageDays }: Record<string, unknown>) => [
      account,
      state,
      ageDays,
    ]),
  ).toEqual([
    ['fleet-east', 'settled', 0],
    ['fleet-west', 'settled', null],
    ['fleet-south', 'stopped', null],
  ]);
  const records = await run(['audit', 'list', ...config], { cwd: folder });
  const claimed = Number(/(\d+) records, intact/.exec(stdout)?.[1]);
  expect(linesOf(records.stdout).length).toBe(claimed);
  for (const [, command = ''] of stdout.matchAll(/^ {2}node \S+cli\.js (.+)$/gm)) {
    expect([command, (await run(command.split(' '), { cwd: folder })).code]).toEqual([
      command,
      command.startsWith('status') ? 4 : 0,
    ]);
  }
});

sampled('the demo does not touch a folder that it did not create', async () => {
  const folder = tempFolder();
  writeFileSync(join(folder, 'precious'), '');

  const { code, stderr } = await run(['demo', '--directory', folder]);

  expect([code, stderr]).toEqual([
    2,
    `error: ${folder} exists, and no demo created it. Name another folder with --directory.\n`,
  ]);
  expect(readdirSync(folder)).toEqual(['precious']);
});

sampled('every command has help with an example, on standard output', async () => {
  const commands = [
    'init',
    'check',
    'rotate',
    'status',
    'recover',
    'resume',
    'serve',
    'schedule',
    'explain',
    'simulate',
    'demo',
    'completion',
  ];
  const nested = [
    'notifications',
    'notifications ack',
    'notifications snooze',
    'audit list',
    'audit show',
    'audit verify',
    'audit prove',
    'audit report',
    'audit acknowledge',
    'secret put',
    'secret get',
  ];

  for (const command of [...commands, ...nested]) {
    const { code, stdout, stderr } = await run([...command.split(' '), '--help']);
    expect([command, code, stderr]).toEqual([command, 0, '']);
    expect(stdout).toContain(`Example:\n  $ thingspace-rotator ${command}`);
    for (const flag of ['--config', '--json', '--quiet']) expect(stdout).toContain(flag);
  }
});

sampled('--version prints the release, and loads nothing', async () => {
  const { version } = JSON.parse(readFileSync('package.json', 'utf8'));

  expect(await run(['--version'])).toEqual({ code: 0, stdout: `${version}\n`, stderr: '' });
  const loaded = await run(['--version'], { env: { NODE_DEBUG: 'esm' } });
  expect(loaded.stderr).toContain('dist/cli.js');
  expect(loaded.stderr).not.toContain('chunks/program');
});

sampled('the completion scripts are valid, and complete commands and flags', async () => {
  const { stdout } = await run(['completion', 'bash']);
  const complete = (words: string): string => {
    const body =
      `${stdout}\nCOMP_WORDS=(thingspace-rotator ${words}); ` +
      `COMP_CWORD=$((\${#COMP_WORDS[@]}-1)); ` +
      `_thingspace_rotator; echo "\${COMPREPLY[@]}"`;
    return spawnSync('bash', ['-c', body], { encoding: 'utf8' }).stdout.trim();
  };

  expect(complete('rot')).toBe('rotate');
  expect(complete('rotate --forc')).toBe('--force');
  expect(complete('audit ver')).toBe('verify');
  expect((await run(['completion', 'fish'])).stdout).toContain('complete -c thingspace-rotator');
  expect((await run(['completion', 'zsh'])).stdout).toMatch(/^#compdef thingspace-rotator\n/);
});
