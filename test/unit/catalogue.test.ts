// What the catalogue prints for every reason, store and cause: plain words, real values, commands
// that work.

import { explain, explanationLines, nextStep, reasons } from '../../src/rotation/catalogue.ts';
import { causes, type Facts, failures, type Reason } from '../../src/rotation/failure.ts';
import { notes } from '../../src/rotation/notes.ts';
import { expectGolden } from '../harness/golden.ts';
import { openParser } from '../harness/parser.ts';

const known: Facts = {
  account: 'fleet east',
  secretId: 'thingspace/fleet-east',
  detail: 'login: HTTP 400, REQUEST_FAILED.LoginFailed',
  path: '/var/lib/thingspace-rotator/rotator.key',
  mode: '0644',
  host: 'thingspace.verizon.com',
  permission: 'secretsmanager:GetSecretValue',
  resource: 'arn:aws:secretsmanager:us-east-1:111111111111:secret:thingspace/fleet-east-AbCdEf',
  rotationId: '0f0e0d0c-0000-4000-8000-000000000001',
  versionId: '0f0e0d0c-0000-4000-8000-000000000002',
  pendingVersionId: '0f0e0d0c-0000-4000-8000-000000000003',
  loginsSpent: 2,
  retryAtMs: Date.UTC(2026, 10, 25),
  suspendedAtMs: Date.UTC(2026, 10, 23),
  receipt: 'receipts/fleet-east.0f0e0d0c-0000-4000-8000-000000000001.age',
  config: '/etc/thingspace-rotator/rotator.yaml',
};

/** Every reason, in both stores, with every cause and without one. */
const cases = reasons.flatMap((reason) =>
  (['file', 'secrets-manager'] as const).flatMap((store) =>
    [undefined, ...causes].map((cause) => ({ reason, facts: { ...known, store, cause } })),
  ),
);

const textOf = ({ reason, facts }: { reason: Reason; facts: Facts }): string =>
  [...explanationLines(reason, facts), nextStep(reason, facts), notes[reason]].join('\n');

/** The left column of the table of terms: words that a reader must decode. */
const replaced = [
  /\blook(?:s|ed|ing)?\b(?! up)/i,
  /(?<!\bas )\bwell\b/i,
  /\baway\b/i,
  /\b(?:stands?|standing|stood)\b/i,
  /\b(?:told|hears?|heard|news)\b/i,
  /\b(?:board|books|agenda|notices)\b/i,
  /(?<!secret )\bputs? (?:a|an|the|by|back|under|in|it|its)\b/i,
  /\bmend(?:s|ed|ing)?\b/i,
  /\b(?:lift(?:s|ed|ing)?|lets? (?:it )?go)\b/i,
  /\bstopped\b/i,
  /\bsettled\b/i,
  /\blost to everybody\b/i,
  /\ba person is needed\b/i,
  /\bdead\b/i,
  /\breset's answer\b/i,
  /\bintents? without an outcome\b/i,
  /\bholders?\b/i,
  /\blease is running\b/i,
  /\bticks?\b|\bturns?\b/i,
  /\bsinks?\b/i,
  /\bthe (?:very )?word\b|\bwhole\b/i,
  /\bof (?:its|their|our|your) own\b|\bby (?:itself|themselves)\b/i,
  /\bat rest\b/i,
];

test('no explanation contains a word that a reader must decode', () => {
  const found = new Set<string>();
  for (const each of cases)
    for (const pattern of replaced) {
      const match = pattern.exec(textOf(each));
      if (match) found.add(`${each.reason}, ${each.facts.cause}: ${match[0]}`);
    }

  expect([...found]).toEqual([]);
});

test('no explanation prints a placeholder for a value that is known', () => {
  const found = new Set<string>();
  for (const each of cases) {
    const placeholder = /\b(?:ACCOUNT|FILE|KEY|TEXT|NAME|ID|PATH|SECRET)\b|in the detail\b/;
    const match = placeholder.exec(explanationLines(each.reason, each.facts).join('\n'));
    if (match) found.add(`${each.reason}, ${each.facts.cause}: ${match[0]}`);
  }

  expect([...found]).toEqual([]);
});

test('the parser accepts every printed command, with the configuration that the user named', () => {
  const commands = new Set(
    cases
      .flatMap(({ reason, facts }) => explain(reason, facts).steps)
      .flatMap(({ command }) => (command === undefined ? [] : [command])),
  );
  const own = [...commands].filter((command) => command.split(' ')[0] === 'thingspace-rotator');

  expect(own.length).toBeGreaterThan(4);
  for (const command of own) {
    expect([command, command.includes(`--config ${known.config}`)]).toEqual([command, true]);
    expect(() => openParser().parse(command)).not.toThrow();
  }
});

test('the parser rejects a command that does not exist, so the test above can fail', () => {
  expect(() => openParser().parse('thingspace-rotator resume fleet-east')).toThrow();
  expect(() => openParser().parse('thingspace-rotator fix fleet-east')).toThrow();
});

test('a title has at most five words, and a sentence at most 25', () => {
  for (const { reason, facts } of cases) {
    const { title, meaning, steps } = explain(reason, facts);
    const sentences = [meaning, notes[reason], ...steps.map(({ text }) => text)]
      .flatMap((text) => text.split(/[.;:]\s+/))
      .map((sentence) => sentence.split(/\s+/).length);

    expect([reason, title.split(' ').length <= 5]).toEqual([reason, true]);
    expect([reason, facts.cause, Math.max(...sentences) <= 25]).toEqual([
      reason,
      facts.cause,
      true,
    ]);
  }
});

/** What a terminal shows for a reason: with the facts of both stores, and without any fact. */
const blocksOf = (reason: Reason): string =>
  [{ ...known, store: 'file' }, { ...known, store: 'secrets-manager' }, {}]
    .map((facts) => explanationLines(reason, facts as Facts).join('\n'))
    .concat(notes[reason])
    .join('\n\n');

test.each(reasons)('an operator reads this for the reason %s', (reason) => {
  expectGolden('explanations.txt', reason, blocksOf(reason));
});

test.each(causes)('an operator reads this for the cause %s', (cause) => {
  const stores = ['file', 'secrets-manager'] as const;
  const lines = [...stores.map((store) => ({ ...known, store, cause })), { cause }].flatMap(
    (facts) => explain('store-unavailable', facts).steps.map((step) => JSON.stringify(step)),
  );

  expectGolden('explanations.txt', `cause ${cause}`, lines.join('\n'));
});

test.each<[string, Facts]>([
  ['in a file', { receipt: '/var/lib/receipts/east of.age' }],
  ['in the log', { receipt: 'the log' }],
  ['in the log, of a known rotation', { receipt: 'the log', rotationId: 'r1' }],
  ['in a bucket', { receipt: 's3://bucket/east.age' }],
  ['nowhere', {}],
  ['in a file with a quotation mark', { receipt: "it's.age", config: 'a b.yaml' }],
  ['in the file of the failure', { path: '/tmp/east.age', cause: 'receipt-content' }],
  ['in the file of the account', { receipt: 'east.age', path: 'x', cause: 'receipt-content' }],
  ['of no known file', { cause: 'receipt-content' }],
  [
    'in a folder with a mark',
    { path: '/store', mark: '/state/store.mark', cause: 'folder-missing' },
  ],
  ['in a folder without a mark', { path: '/store', cause: 'folder-missing' }],
  [
    'that the role may not read',
    { cause: 'iam', resource: 'arn:aws:x', permission: 's3:GetObject' },
  ],
  ['that the role may not read, for an unknown permission', { cause: 'iam' }],
])('what is known decides which steps are printed: a receipt %s', (title, facts) => {
  const account = { account: 'fleet east', ...facts };
  const lines = [explain('receipt-sealed', account), explain('receipt-sealed', facts)].map((one) =>
    JSON.stringify(one),
  );

  expectGolden('explanations.txt', `receipt ${title}`, lines.join('\n'));
});

test('long lines are wrapped, and commands are not', () => {
  const wrap = (line: string): string[] => [`<${line.trim()}>`];
  const facts = { ...known, store: 'file' } as const;

  expectGolden('explanations.txt', 'wrapped', explanationLines('busy', facts, wrap).join('\n'));
});

test('the reasons are those of the table of failures, in its order', () => {
  expect(reasons).toEqual(Object.keys(failures));
});

test('a detail that is a sentence gets no second full stop', () => {
  const lineOf = (detail: string): string | undefined => explanationLines('busy', { detail })[2];

  expect(['it ended', 'It ended.', 'Did it end?'].map(lineOf)).toEqual([
    '  Detail: it ended.',
    '  Detail: It ended.',
    '  Detail: Did it end?',
  ]);
});

test.each<[Reason, Facts]>([
  ['store-conflict', { versionId: 'v1' }],
  ['store-conflict', { pendingVersionId: 'v2' }],
  ['store-conflict', { versionId: 'v1', pendingVersionId: 'v2' }],
  ['foreign-pending', {}],
  ['foreign-pending', { pendingVersionId: 'v2' }],
])('a command is printed where both versions are known: %s %j', (reason, facts) => {
  const commandsOf = (store: Facts['store']): boolean[] =>
    explain(reason, { account: 'east', store, ...facts }).steps.map(({ command = '' }) =>
      command.includes('update-secret-version-stage'),
    );
  const isKnown =
    facts.pendingVersionId !== undefined && (reason === 'foreign-pending' || 'versionId' in facts);

  expect(commandsOf('secrets-manager').includes(true)).toBe(isKnown);
  expect(commandsOf('file').includes(true)).toBe(false);
});
