// What the writer knows at the end of a log, record by record; and what a cache, frontier, proof
// and bundle say of it: complete values.

import { unzipSync } from 'fflate';
import { archivedMonths } from '../../src/audit/archive.ts';
import { isBundleOf, sha256Of, zipBundle } from '../../src/audit/bundle-files.ts';
import {
  checkNote,
  describeKey,
  generateSigningKey,
  openSigningKey,
  parseNote,
  parseSigningKey,
  parseVerifierKey,
  parseWitnessKey,
  rawPublicKey,
  signCheckpoint,
  signNote,
  type Verifier,
  verifierKeyOf,
} from '../../src/audit/checkpoint.ts';
import { cosignatureOf, openWitnessKey } from '../../src/audit/cosignature.ts';
import { createFindings } from '../../src/audit/findings.ts';
import { frontierFormat, parseFrontier, signFrontier } from '../../src/audit/frontier.ts';
import { addLine, emptyEnd, formatState, type LogEnd, readState } from '../../src/audit/log-end.ts';
import { emptyRoot, leafHash, Tree } from '../../src/audit/merkle.ts';
import { checkProof, consistencyOf, proveRecord } from '../../src/audit/proof.ts';
import { stampAll, viewLine } from '../../src/audit/record.ts';
import type { LoggedEvent } from '../../src/audit/schema.ts';
import { verifyLog } from '../../src/audit/verify.ts';
import {
  context,
  dayMs,
  intended,
  march,
  memorySource,
  origin,
  outcome,
} from '../harness/audit.ts';

/** The records of these events, one a second. */
function linesOf(events: readonly LoggedEvent[]): string[] {
  return events.flatMap((event, size) => {
    const nowMs = march + size * 1000;
    return stampAll([event], { size, lastTimeMs: 0, nowMs, sealedSize: undefined }, context, origin)
      .texts;
  });
}

function endOf(events: readonly LoggedEvent[]): LogEnd {
  const end = emptyEnd();
  for (const line of linesOf(events)) expect(addLine(end, Buffer.from(line))).toBe(true);
  return end;
}

/** The end without its tree and what is empty. */
function known(events: readonly LoggedEvent[]): Record<string, unknown> {
  const { tree: _, lastTimeMs: __, ...end } = endOf(events);
  const entries = Object.entries(end).filter(([, value]) =>
    value instanceof Map || value instanceof Set ? value.size > 0 : Boolean(value),
  );
  return Object.fromEntries(
    entries.map(([name, value]) => [
      name,
      value instanceof Map || value instanceof Set ? [...value] : value,
    ]),
  );
}

const byHand = { kind: 'manual', requestedBy: 'mia', reason: 'leak', changeRef: 'CHG-1' } as const;
const runStarted = (runId: string, more: object = {}): LoggedEvent => ({
  ...{ code: 'run.started', accounts: 1, trigger: byHand, runId, account: 'east' },
  ...{ keyDigest: 'a1b2', sha256: 'c3d4' },
  ...more,
});
const runFinished = (runId: string): LoggedEvent => ({
  ...{ code: 'run.finished', exitCode: 1, rotated: 0, failed: 1, runId, trigger: byHand },
  account: 'east',
  result: {
    ...{ account: 'east', secretId: 's', outcome: 'failed', logins: 2, next: 'later' },
    ...{ certainty: 'unchanged', reason: 'api-unavailable', rotationId: 'r-1', ageDays: 80 },
    ...{ startedAtMs: 0, endedAtMs: 1, versionId: 'v-2', detail: 'no answer', deadWindowMs: 9 },
    dueAtMs: march,
  },
});
const event = (code: string, more: object = {}, rotationId = 'r-1'): LoggedEvent =>
  ({ ...outcome(rotationId, 'east'), code, ...more }) as LoggedEvent;

const atMs = march;
const opened = { rotationId: 'r-1', account: 'east', intendedAtMs: atMs };
const rotated = (more: object) => [
  [
    'east',
    {
      ...{ rotationId: 'r-1', secretId: 'thingspace/a', versionId: 'v-1', username: 'uws-a', atMs },
      isVerified: false,
      ...more,
    },
  ],
];
const promoted = event('secret.promoted', { versionAfter: 'v-1' });
const suspended = event('account.stopped', { status: 'failure', attemptRecord: 7 });
const requested = {
  ...{ runId: 'run-1', account: 'east', startedAtMs: atMs, force: true, keyDigest: 'a1b2' },
  ...{ sha256: 'c3d4', requestedBy: 'mia', reason: 'leak', changeRef: 'CHG-1' },
};
const end = {
  ...{ atMs: atMs + 1000, outcome: 'failed', certainty: 'unchanged', reason: 'api-unavailable' },
  ...{ detail: 'no answer', secretId: 's', deadWindowMs: 9, logins: 2, rotationId: 'r-1' },
  ...{ versionId: 'v-2', ageDays: 80, dueAtMs: march },
};
const stateEvents: LoggedEvent[] = [
  ...[{ code: 'log.genesis', verifierKey: 'k' } as const, intended('r-0', 'west')],
  ...[event('rotation.outcome', { status: 'unknown' }), promoted, suspended],
  ...[event('secret.changed', { passwordSinceMs: march }), runStarted('run-1')],
  ...[runFinished('run-1'), { code: 'inventory.summary', accounts: ['a'] } as const],
  {
    ...{ code: 'inventory.changed', change: 'added', account: 'west', secretId: 's' },
    trigger: { kind: 'native' },
  } as LoggedEvent,
];

test.each<[string, LoggedEvent[], object]>([
  ['a heartbeat', [{ code: 'log.heartbeat' }], {}],
  ['the begin of a log', [{ code: 'log.genesis', verifierKey: 'k' }], { key: 'k' }],
  [
    'another key',
    [
      { code: 'log.genesis', verifierKey: 'k' },
      { code: 'key.rotated', verifierKey: 'n', verifierKeyBefore: 'k' },
    ],
    { key: 'n' },
  ],
  ['an intent', [intended('r-1', 'east')], { open: [['r-1', opened]] }],
  ['an outcome', [intended('r-1', 'east'), outcome('r-1', 'east')], {}],
  [
    'an outcome that is unknown',
    [intended('r-1', 'east'), event('rotation.outcome', { status: 'unknown' })],
    { unresolved: [['r-1', { ...opened, intendedAtMs: atMs + 1000 }]] },
  ],
  [
    'a rotation that was reconciled',
    [event('rotation.outcome', { status: 'unknown' }), event('rotation.reconciled')],
    {},
  ],
  [
    'a rotation that was reconciled without a known result',
    [intended('r-1', 'east'), event('rotation.reconciled', { status: 'unknown' })],
    {},
  ],
  ['a promoted password', [promoted], { rotated: rotated({}) }],
  [
    'a promotion without a version',
    [event('secret.promoted', { versionAfter: undefined })],
    { rotated: rotated({ versionId: 'r-1' }) },
  ],
  [
    'a verified password',
    [promoted, event('credential.verified')],
    { rotated: rotated({ isVerified: true }) },
  ],
  [
    'a password that was not verified',
    [promoted, event('credential.verified', { status: 'failure' })],
    { rotated: rotated({}) },
  ],
  [
    'a verification of an earlier rotation',
    [promoted, event('credential.verified', {}, 'r-0')],
    { rotated: rotated({}) },
  ],
  [
    'a password that a person stored',
    [event('secret.changed', { versionAfter: 'v-1', passwordSinceMs: march })],
    { stored: [['east', { versionId: 'v-1', sinceMs: march }]] },
  ],
  [
    'a suspension',
    [suspended],
    { suspended: [['east', { secretId: 'thingspace/a', attemptRecord: 7, atMs }]] },
  ],
  [
    'a suspension by version 0.1',
    [event('account.stopped')],
    { suspended: [['east', { secretId: 'thingspace/a', attemptRecord: 0, atMs }]] },
  ],
  ['a suspension that was cleared', [suspended, event('account.resumed')], {}],
  ['an account of native rotation', stateEvents.slice(-1), { native: ['west'] }],
  [
    'an account that is no longer of native rotation',
    [
      ...stateEvents.slice(-1),
      { code: 'inventory.changed', change: 'added', account: 'west', secretId: 's' },
    ],
    {},
  ],
  [
    'a requested run',
    [runStarted('run-1', { force: 'true' })],
    { requested: [['run-1', requested]] },
  ],
  [
    'the end of a requested run',
    [runStarted('run-1'), runFinished('run-1')],
    { requested: [['run-1', { ...requested, force: false, end }]] },
  ],
  ['an end without a begin', [runFinished('run-1')], {}],
  [
    'an end without a result',
    [
      runStarted('run-1', { force: 'true' }),
      {
        ...{ code: 'run.finished', exitCode: 1, rotated: 0, failed: 1, runId: 'run-1' },
        ...{ trigger: byHand, account: 'east' },
      } as LoggedEvent,
    ],
    { requested: [['run-1', { ...requested, end: { atMs: atMs + 1000 } }]] },
  ],
  ['a run without an id', [runStarted('run-1', { runId: undefined })], {}],
  ['a run of the fleet', [runStarted('run-1', { account: undefined })], {}],
])('the writer knows of %s', (_, events, expected) => {
  expect(known(events)).toEqual(expected);
});

test('a line that is not the next record is not added', () => {
  const [first = '', second = ''] = linesOf([promoted, suspended]);
  const end = emptyEnd();

  const added = ['', '{}', second, first.replace('"sequence":0', '"sequence":1'), first, first].map(
    (line) => addLine(end, Buffer.from(line)),
  );

  expect(added).toEqual([false, false, false, false, true, false]);
  expect(end.tree.root()).toBe(new Tree(1, [leafHash(Buffer.from(first))]).root());
  expect(end.lastTimeMs).toBe(march);
});

test('a requested run is forgotten after a week, and 2,000 are known', () => {
  const week = 7 * dayMs;
  const at = (size: number, nowMs: number) => {
    const position = { size, lastTimeMs: 0, nowMs, sealedSize: undefined };
    return stampAll([runStarted(`run-${size}`)], position, context, origin).texts;
  };
  const knownAfter = (times: readonly number[]): string[] => {
    const end = emptyEnd();
    for (const [size, nowMs] of times.entries())
      for (const line of at(size, nowMs)) addLine(end, Buffer.from(line));
    return [...end.requested.keys()];
  };

  expect(knownAfter([march, march + week - 1])).toEqual(['run-0', 'run-1']);
  expect(knownAfter([march, march + 1, march + week])).toEqual(['run-1', 'run-2']);
  const many = knownAfter(Array(2_001).fill(march));
  expect([many.length, many[0]]).toEqual([2_000, 'run-1']);
});

test('the state in a cache or a frontier has all that the writer knows', async () => {
  const { signingKey } = generateSigningKey(origin);
  const before = endOf(stateEvents);

  const state = formatState(before, frontierFormat, ['a line']);
  const text = await signFrontier(origin, before.tree, state, [openSigningKey(signingKey)]);
  const frontier = parseFrontier(text);

  expect({ ...frontier, checkpoint: null, tree: frontier?.tree.root() }).toEqual({
    ...{ checkpoint: null, tree: before.tree.root(), key: 'k', carried: ['a line'], state },
    lastTimeMs: before.lastTimeMs,
  });
  const after = frontier && readState(frontier);
  expect({ ...after, tree: after?.tree.root() }).toEqual({
    ...{ ...before, tree: before.tree.root() },
    position: { month: undefined, position: undefined },
  });
  expect(JSON.parse(state)).toMatchObject({ format: frontierFormat, size: 10, mentioned: 0 });
  const otherFormat = state.replace(frontierFormat, 'x');
  const changes: Record<string, unknown>[] = [
    ...[{ format: 'x' }, { size: 9 }, { size: -1 }, { frontier: 'x' }, { frontier: ['x'] }],
    ...[{ key: 1 }, { lastTimeMs: 'x' }, { carried: [1] }],
  ];
  for (const change of changes) {
    const changed = JSON.stringify({ ...JSON.parse(state), ...change });
    const signed = await signFrontier(origin, before.tree, changed, [openSigningKey(signingKey)]);
    expect(parseFrontier(signed)).toBeNull();
  }
  expect(parseFrontier(text.replace('\nstate ', '\nother '))).toBeNull();
  expect(readState({ state: otherFormat } as never)).toBeNull();
  const wrong = [{ size: -1 }, { open: [{}] }, { rotated: [['a', {}]] }, { stored: [['a', {}]] }];
  for (const change of [
    ...wrong,
    { suspended: [['a', {}]] },
    { requested: [{}] },
    { native: [1] },
  ]) {
    const changed = JSON.stringify({ ...JSON.parse(state), ...change });
    expect(readState({ state: changed } as never)).toBeNull();
  }
  const { stored, suspended: __, requested: ___, native, unresolved, ...old } = JSON.parse(state);
  expect([stored, native, unresolved].map((list) => list.length)).toEqual([1, 1, 1]);
  expect(readState({ state: JSON.stringify(old) } as never)).toMatchObject({
    ...{ stored: new Map(), suspended: new Map(), requested: new Map(), native: new Set() },
    unresolved: new Map(),
  });
});

/** A log of ten records with a checkpoint of eight. */
async function signedLog() {
  const { signingKey, verifierKey } = generateSigningKey(origin);
  const lines = linesOf(stateEvents);
  const tree = new Tree();
  for (const line of lines.slice(0, 8)) tree.append(leafHash(Buffer.from(line)));
  const checkpoint = await signCheckpoint(origin, 8, tree.root(), [openSigningKey(signingKey)]);
  const source = memorySource(lines, [checkpoint]);
  return { lines, checkpoint, source, verifiers: [parseVerifierKey(verifierKey)] };
}

test('a proof of a record is checked with the key and the record only', async () => {
  const { lines, checkpoint, source, verifiers } = await signedLog();
  const proof = String(await proveRecord(source, '3'));
  const check = (text: string, given?: string) => {
    const checked = checkProof(text, verifiers, given);
    return checked.proven ? [checked.line, checked.index, checked.checkpoint.text] : checked.why;
  };
  const [header, extra = '', ...rest] = proof.split('\n');
  const withoutRecord = [header, ...rest].join('\n');
  const proven = [lines[3], 3, checkpoint];

  expect(check(proof)).toEqual(proven);
  expect(check(withoutRecord, lines[3])).toEqual(proven);
  expect(extra).toBe(`extra ${Buffer.from(lines[3] ?? '').toString('base64')}`);
  expect(rest[0]).toBe('index 3');
  expect([
    check(withoutRecord),
    check(proof, lines[4]),
    check(proof.replace('index 3', 'index 4')),
    check(proof.replace('index 3', 'index 03')),
    check(proof.replace('index 3', 'index -1')),
    check(proof.replace(rest[1] ?? '', 'no hash')),
    check(proof.replace('\n8\n', '\n08\n')),
    check(proof.replace('@v1', '@v2')),
    check('c2sp.org/tlog-proof@v1'),
    check(proof.replace(/— .*\n$/, `— ${origin} AAAAAAAA\n`)),
  ]).toEqual([
    'the proof does not carry the record, and none was given',
    ...Array(2).fill('the record is not in the log that was signed'),
    ...Array(4).fill('the proof is damaged'),
    ...Array(2).fill('the file is no tlog-proof of version 1'),
    'the checkpoint is not signed by a key that was given',
  ]);
  expect(await proveRecord(source, '7')).toMatch(/^c2sp/);
  expect(await proveRecord(source, '8')).toBe('unsealed');
  expect(await proveRecord(source, '10')).toBeNull();
  expect(await proveRecord(memorySource(lines), '3')).toBe('unsealed');
});

test('a log that is not the one that was signed gives no proof', async () => {
  const { lines, checkpoint } = await signedLog();
  const changed = lines.with(5, lines[5]?.replace('uws-a', 'uws-b') ?? '');
  const failure = {
    reason: 'audit-unavailable',
    message: 'the audit log is not the one that its checkpoint was signed over',
    facts: { cause: 'log-damaged' },
  };

  const proofs = [
    proveRecord(memorySource(changed, [checkpoint]), '3'),
    proveRecord(memorySource(lines.slice(0, 7), [checkpoint]), '3'),
    consistencyOf(memorySource(lines.slice(0, 7), []), 4, 8),
  ];

  for (const proof of proofs) await expect(proof).rejects.toMatchObject(failure);
});

test('the names and keys of notes are those of C2SP', async () => {
  const { signingKey, verifierKey } = generateSigningKey('example.com/a');
  const signer = openSigningKey(signingKey);
  const verifier = parseVerifierKey(` ${verifierKey}\n`);
  const { publicKey } = parseSigningKey(`\n${signingKey} `);
  const spki = Buffer.concat([Buffer.from('302a300506032b6570032100', 'hex'), publicKey]);
  const refused = (run: () => unknown): string => {
    try {
      run();
      return 'accepted';
    } catch (error) {
      return (error as Error).message;
    }
  };
  // The base64 can have a plus sign, too.
  const [name, keyId] = verifierKey.split('+');
  const encode = (bytes: Uint8Array): string =>
    [name, keyId, Buffer.from(bytes).toString('base64')].join('+');

  expect(verifier.verifierKey).toBe(verifierKey);
  expect([signer.name, signer.keyId, signer.verifierKey]).toEqual([
    ...['example.com/a', verifier.keyId, verifierKey],
  ]);
  const id = verifier.keyId.toString(16).padStart(8, '0');
  expect(describeKey(verifier)).toBe(`example.com/a (key id ${id})`);
  expect(describeKey({ name: 'a', keyId: 10 })).toBe('a (key id 0000000a)');
  expect(rawPublicKey(spki)?.equals(publicKey)).toBe(true);
  expect(
    [spki.subarray(1), Buffer.concat([spki, spki]), Buffer.alloc(44)].map(rawPublicKey),
  ).toEqual([null, null, null]);
  const noKey = 'a verifier key is name+id+base64 of an Ed25519 key';
  expect([
    refused(() => parseVerifierKey('')),
    refused(() => parseVerifierKey(`x ${verifierKey}`)),
    refused(() => parseVerifierKey(encode(Buffer.concat([Buffer.of(2), publicKey])))),
    refused(() => parseVerifierKey(encode(Buffer.of(1, 2)))),
    refused(() => parseWitnessKey(verifierKey)),
    refused(() => parseVerifierKey(verifierKeyOf('a', publicKey, 4))),
    refused(() => parseSigningKey(signingKey.replace('PRIVATE', 'PUBLIC'))),
    ...['', 'a b', 'a+b', 'a\u0001b'].map((name) => refused(() => generateSigningKey(name))),
  ]).toEqual([
    ...Array(4).fill(noKey),
    'a witness key is name+id+base64 of an Ed25519 key for cosignature/v1',
    noKey,
    'the signing key is not PRIVATE+KEY+name+id+base64 of Ed25519',
    ...Array(4).fill('a key name must be non-empty, without spaces and "+"'),
  ]);
});

test('a verification has all that it has seen', async () => {
  const { lines, checkpoint, source, verifiers } = await signedLog();
  const kept = checkpoint.replaceAll('\n', '\r\n').trimEnd();
  const options = { verifiers, consistentWith: [kept], nowMs: march + 2 * dayMs };

  const { newest, root, ...found } = await verifyLog(source, options);

  expect(newest?.text).toBe(checkpoint);
  expect(root).toMatch(/^[A-Za-z0-9+/]{43}=$/);
  const key = verifiers[0]?.verifierKey;
  expect(found).toEqual({
    ...{ state: 'incomplete', exitCode: 1, counts: { gap: 1, unsealed: 1 }, cosignatures: [] },
    findings: [
      {
        ...{ id: 'gap:10', kind: 'gap', level: 'incomplete', sequence: 10 },
        message: 'no record and no heartbeat since 2026-03-01T00:00:09Z',
      },
      {
        ...{ id: 'unsealed:8', kind: 'unsealed', level: 'incomplete', sequence: 8 },
        message: '2 of 10 records are after the last checkpoint',
      },
    ],
    ...{ records: 10, archivedRecords: 0, checkpoints: 1, sealedRecords: 8, anchors: [8] },
    ...{ keys: [key], firstTimeMs: march, lastTimeMs: march + 9_000 },
  });
  const begins = async (text: string) => {
    const frontier = async () => ({ name: 'f', text });
    const { findings, state } = await verifyLog({ ...source, frontier }, { verifiers });
    return [state, findings.find(({ kind }) => kind === 'signature')?.message];
  };
  expect(await begins('x')).toEqual(['altered', 'f is no frontier']);
  const end = endOf(stateEvents);
  const forger = { ...openSigningKey(generateSigningKey(origin).signingKey), name: origin };
  const forged = { ...forger, keyId: verifiers[0]?.keyId ?? 0 };
  const text = await signFrontier(origin, end.tree, formatState(end, frontierFormat, []), [forged]);
  expect(await begins(text)).toEqual(['altered', 'f has an invalid signature']);
  const empty = await verifyLog(memorySource([]), { verifiers });
  expect({ ...empty, root: null }).toMatchObject({
    ...{ records: 0, checkpoints: 0, sealedRecords: 0, newest: null, keys: [], anchors: [] },
    ...{ firstTimeMs: null, lastTimeMs: null, counts: {}, findings: [], state: 'intact' },
  });
  expect(lines).toHaveLength(10);
});

test.each([
  ['altered', 4, ['root', 'shortened', 'signature', 'origin', 'key', 'checkpoint-missing']],
  ['altered', 4, ['sequence', 'not-a-record', 'inconsistent', 'witness-conflict']],
  ['incomplete', 1, ['witness', 'archived', 'half-written', 'unsealed']],
  ['incomplete', 1, ['key-unrecorded', 'clock', 'gap']],
] as const)('the verdict is %s, with the exit code %i, for each of these findings', (...row) => {
  const [state, exitCode, kinds] = row;
  for (const kind of kinds) {
    const findings = createFindings();
    findings.add(kind, 'what', 3);
    const acknowledgement = { by: 'mia', timeMs: march, note: 'seen', sequence: 3 };
    const finding = { id: `${kind}:3`, kind, level: state, message: 'what', sequence: 3 };

    expect(findings.isAltered()).toBe(state === 'altered');
    expect(findings.end(new Map())).toEqual({
      ...{ state, exitCode, findings: [finding], counts: { [kind]: 1 } },
    });
    const isExplained = ['key-unrecorded', 'clock', 'gap'].includes(kind);
    expect(findings.end(new Map([[`${kind}:3`, acknowledgement]]))).toEqual({
      state: isExplained ? 'intact' : state,
      exitCode: isExplained ? 0 : exitCode,
      findings: [isExplained ? { ...finding, level: 'explained', acknowledgement } : finding],
      counts: { [kind]: 1 },
    });
    // It comes before what it explains.
    const early = { ...acknowledgement, sequence: 2 };
    expect(findings.end(new Map([[`${kind}:3`, early]])).state).toBe(state);
  }
});

test.each<[number, LoggedEvent]>([
  [5, event('rotation.outcome', { status: 'unknown' })],
  [5, event('attempt.failed', { status: 'failure', certainty: 'lost', reason: undefined })],
  [5, event('account.stopped', { status: 'failure', reason: 'password-lost' })],
  [1, event('rotation.outcome', { ageDaysBefore: 500 })],
  [4, event('account.stopped', { status: 'failure', reason: 'api-unavailable' })],
  [4, event('attempt.failed', { status: 'failure', reason: 'login-refused' })],
  [4, event('attempt.failed', { status: 'failure', reason: 'store-conflict' })],
  [4, event('attempt.failed', { status: 'failure', reason: 'api-unavailable', ageDaysBefore: 91 })],
  [3, event('attempt.failed', { status: 'failure', reason: 'api-unavailable', ageDaysBefore: 90 })],
  [3, event('attempt.failed', { status: 'failure', reason: 'api-unavailable', ageDaysBefore: 76 })],
  [2, event('attempt.failed', { status: 'failure', reason: 'api-unavailable', ageDaysBefore: 75 })],
  [
    4,
    event('attempt.failed', {
      ...{ status: 'failure', reason: 'api-unavailable', ageDaysBefore: 31 },
      policyMaxAgeDays: 30,
    }),
  ],
  [
    4,
    event('account.stopped', {
      ...{ status: 'failure', certainty: undefined, ageDaysBefore: undefined },
    }),
  ],
  [1, event('rotation.intended', { status: 'started', certainty: undefined })],
  [1, { code: 'log.heartbeat' }],
  [3, { code: 'sink.failed', sink: 's', detail: 'd', lost: 1 }],
  [3, { code: 'log.verified', state: 'altered', size: 1, root: 'r' }],
])('the severity %i of a record (case %#)', (severity, one) => {
  const [line = ''] = linesOf([one]);

  expect(viewLine(line)?.severity).toBe(severity);
});

test('the actor, the host and the cloud are in each record', () => {
  const own = {
    ...{ actor: { name: 'ops', uid: 'u-1' }, productVersion: '1.2.3' },
    sourceEndpoint: { hostname: 'h', ip: '10.0.0.1', uid: 'e-1' },
    cloud: { provider: 'AWS', region: 'r', accountUid: 'c' },
    policy: { maxAgeDays: 90, warnAgeDays: 75 },
  };
  const position = { size: 3, lastTimeMs: march + 5_000, nowMs: march, sealedSize: 2 };
  const stamped = stampAll([{ code: 'log.heartbeat' }, promoted], position, own, origin);

  const views = stamped.texts.map((text) => viewLine(text));
  const common = {
    ...{ actor: 'ops', actorUid: 'u-1', productVersion: '1.2.3', hostname: 'h', ip: '10.0.0.1' },
    ...{ endpointUid: 'e-1', cloudProvider: 'AWS', cloudRegion: 'r', cloudAccount: 'c' },
    ...{ timeMs: march + 5_000, eventTimeMs: march + 5_000, logName: origin, status: 'success' },
  };
  expect(stamped.timeMs).toBe(march + 5_000);
  expect(views).toMatchObject([
    { ...common, sequence: 3, batchRemaining: 1, sealedSize: 2, code: 'log.heartbeat' },
    { ...common, sequence: 4, code: 'secret.promoted', account: 'east', username: 'uws-a' },
  ]);
  expect(views.map((view) => [view?.username, view?.batchRemaining, view?.sealedSize])).toEqual([
    [undefined, 1, 2],
    ['uws-a', undefined, undefined],
  ]);
  expect(JSON.parse(stamped.texts[0] ?? '')).toEqual({
    ...{ activity_id: 99, activity_name: 'log.heartbeat', category_uid: 3, class_uid: 3001 },
    actor: { app_name: 'thingspace-rotator', user: { name: 'ops', uid: 'u-1' } },
    cloud: { account: { uid: 'c' }, provider: 'AWS', region: 'r' },
    message: 'log.heartbeat: ops',
    metadata: {
      ...{ event_code: 'log.heartbeat', log_name: origin, logged_time: march + 5_000 },
      product: { name: 'thingspace-rotator', vendor_name: 'thingspace-rotator', version: '1.2.3' },
      ...{ profiles: ['cloud'], sequence: 3, uid: views[0]?.uid, version: '1.5.0' },
    },
    ...{ severity_id: 1, status: 'Success', status_id: 1, time: march + 5_000, type_uid: 300_199 },
    src_endpoint: { hostname: 'h', ip: '10.0.0.1', uid: 'e-1' },
    unmapped: { batch_remaining: 1, sealed_size: 2 },
    user: { name: 'ops' },
  });
  const late = stampAll([promoted], { ...position, nowMs: march - 1 }, own, origin);
  expect(late.timeMs).toBe(march - 1);
  expect(new Set(views.map((view) => view?.uid)).size).toBe(2);
  expect([viewLine('[]'), viewLine('{}'), viewLine('null'), viewLine('x')]).toEqual(
    Array(4).fill(null),
  );
});

test('a note is what C2SP signed-note says, and everything else is none', async () => {
  const signer = openSigningKey(generateSigningKey('a').signingKey);
  const note = await signNote('one\n\ntwo\n', [signer, signer]);
  const bytesOf = (length: number): string => Buffer.alloc(length, 1).toString('base64');

  const parsed = parseNote(note);

  expect(parsed?.text).toBe('one\n\ntwo\n');
  expect(parsed?.signatures.map(({ name, keyId }) => [name, keyId])).toEqual(
    Array(2).fill(['a', signer.keyId]),
  );
  for (const text of ['no end', 'a\u0000\n', '\u001f\n', '\t\n'])
    await expect(signNote(text, [signer])).rejects.toThrow(
      'a note must end in a newline and hold no control characters',
    );
  expect(parseNote(`x\n\n— a ${bytesOf(5)}\n`)?.signatures).toEqual([
    { name: 'a', keyId: 0x01010101, signature: Buffer.of(1) },
  ]);
  const broken = [
    ...['', 'x\n', 'x\n\n', `x\n\n— a ${bytesOf(4)}\n`, `x\n\n— a ${bytesOf(5)}`],
    ...[`x\u0000\n\n— a ${bytesOf(5)}\n`, `x\n\n— a+b ${bytesOf(5)}\n`, `x\n\n— a ?\n`],
    ...[`x\n\n— a ${bytesOf(5)}\n?\n`, `x\n\n- a ${bytesOf(5)}\n`],
  ];
  expect(broken.map(parseNote)).toEqual(broken.map(() => null));
});

test('a cosignature names its witness and its time, and a changed one is invalid', async () => {
  const { signingKey } = generateSigningKey('w');
  const witness = openWitnessKey(signingKey);
  const verifier = parseWitnessKey(witness.verifierKey);
  const other = parseWitnessKey(openWitnessKey(generateSigningKey('w').signingKey).verifierKey);
  const signer = openSigningKey(generateSigningKey('a').signingKey);
  const note = await signCheckpoint('a', 0, emptyRoot, [signer]);
  const line = witness.cosign(note.split('\n\n')[0]?.concat('\n') ?? '', march + 1_999);
  const found = (text: string, key: Verifier = verifier) => {
    const parsed = parseNote(text);
    return parsed && cosignatureOf(parsed, key);
  };
  const [, encoded = ''] = /— w (.*)\n/.exec(line) ?? [];
  const changed = (at: number): string => {
    const bytes = Buffer.from(encoded, 'base64');
    bytes[at] = (bytes[at] ?? 0) ^ 1;
    return `${note}— w ${bytes.toString('base64')}\n`;
  };

  const expected = { witness: 'w', verifierKey: witness.verifierKey, timeMs: march + 1_000 };
  expect(found(note + line)).toEqual(expected);
  expect([found(note), found(note + line, other), found(changed(11)), found(changed(12))]).toEqual([
    ...[null, null, 'invalid', 'invalid'],
  ]);
  const short = Buffer.from(encoded, 'base64').subarray(0, -1).toString('base64');
  expect(found(`${note}— w ${short}\n`)).toBe('invalid');
  const parsed = parseNote(note + line);
  expect(parsed && checkNote(parsed, [parseVerifierKey(signer.verifierKey)])).toBe('valid');
});

test('an archive carries the newest state of each account, and what follows a change', async () => {
  const { signingKey } = generateSigningKey(origin);
  const inMonth = (month: string, lines: readonly string[]) => {
    const bytes = Buffer.from(lines.map((line) => `${line}\n`).join(''));
    const read = (into: Buffer, at: number, position: number) => bytes.copy(into, at, position);
    return { name: `${month}.jsonl`, month, open: () => ({ read, close: () => undefined }) };
  };
  const state: LoggedEvent[] = [
    { code: 'inventory.changed', change: 'added', account: 'east', secretId: 's' },
    { code: 'inventory.summary', accounts: ['east'] },
    { code: 'policy.changed', account: 'east', maxAgeDays: 30, rotateAfterDays: 20 },
    {
      ...{ code: 'exemption.changed', change: 'added', account: 'east', exemptBy: 'ciso' },
      ...{ exemptWhy: 'decommissioned', exemptUntil: '2026-06-30' },
    },
    ...['secret.changed', 'account.stopped', 'account.resumed'].map((code) => event(code)),
  ];
  const old = [intended('r-1', 'east'), outcome('r-1', 'east')];
  const newest = [
    ...[intended('r-2', 'east'), event('credential.verified', {}, 'r-2'), outcome('r-2', 'east')],
    outcome('r-3', 'east', { status: 'failure' }),
  ];
  const lines = linesOf([...state, ...old, { code: 'log.heartbeat' }, ...state, ...newest]);
  const checkpoint = (size: number, root: Tree) =>
    signCheckpoint(origin, size, root.root(), [openSigningKey(signingKey)]);
  const tree = new Tree();
  for (const line of lines.slice(0, 12)) tree.append(leafHash(Buffer.from(line)));
  const checkpoints = [await checkpoint(12, tree), await checkpoint(99, tree)];
  const source = {
    ...memorySource([], checkpoints),
    segments: async () => [
      inMonth('2026-03', lines.slice(0, 20)),
      inMonth('2026-04', lines.slice(20)),
      inMonth('2026-05', []),
    ],
  };

  const months = [];
  const signer = openSigningKey(signingKey);
  for await (const month of archivedMonths({ source, before: '2026-05', origin, signer }))
    months.push(month);

  const frontiers = months.map(({ frontier }) => parseFrontier(frontier.text));
  expect(months.map(({ month, size }) => [month, size])).toEqual([
    ['2026-03', 20],
    ['2026-04', lines.length],
  ]);
  const [march3, april] = frontiers.map((frontier) => frontier?.carried);
  expect(april).toEqual(lines.slice(10));
  expect(march3?.length).toBeGreaterThan(9);
  const path = (size: number) => `frontiers/${String(size).padStart(12, '0')}.frontier`;
  expect(months.map(({ files }) => [...files.keys()])).toEqual([
    ['2026-03.jsonl', 'checkpoints/0', path(20), 'keys/log.vkey', 'README.txt'],
    ['2026-04.jsonl', path(20), path(lines.length), 'keys/log.vkey', 'README.txt'],
  ]);
  expect(months[1]?.files.get(path(20))).toBe(months[0]?.frontier.text);
  expect(months[0]?.files.get('keys/log.vkey')).toBe(`${signer.verifierKey}\n`);
  expect(String(months[0]?.files.get('2026-03.jsonl'))).toBe(
    lines
      .slice(0, 20)
      .map((line) => `${line}\n`)
      .join(''),
  );
});

test('a bundle has the same bytes for the same files, and a manifest of them', () => {
  const files = new Map<string, string | Uint8Array>([
    ['b/text', 'text'],
    ['a', new Uint8Array([1, 2])],
  ]);

  const zip = zipBundle(files);

  const stored = unzipSync(zip);
  const manifest = JSON.parse(Buffer.from(stored['manifest.json'] ?? []).toString());
  expect(Object.keys(stored).sort()).toEqual(['a', 'b/text', 'manifest.json', 'verify.py']);
  expect(Object.keys(manifest.sha256)).toEqual(['a', 'b/text', 'verify.py']);
  expect(manifest.sha256['b/text']).toBe(sha256Of('text'));
  expect(Buffer.from(stored['manifest.json'] ?? []).toString()).toBe(
    `${JSON.stringify(manifest, null, 2)}\n`,
  );
  expect(sha256Of('')).toBe('e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855');
  // January 1980, in the format of MS-DOS and in any time zone.
  expect(Buffer.from(zip).readUInt16LE(12) >> 5).toBe(1);
  expect(zipBundle(new Map(files))).toEqual(zip);
  expect([
    isBundleOf(zip, files),
    isBundleOf(zip, new Map([['a', new Uint8Array([1, 2])]])),
    isBundleOf(zip, new Map([['a', 'x']])),
    isBundleOf(zip, new Map([['c', 'x']])),
    isBundleOf(new Uint8Array([1]), files),
  ]).toEqual([true, true, false, false, false]);
});
