// Kills the built program at the calls that it makes to its store during one rotation; then
// somebody changes the secret, or nobody does; then the program runs twice. Every combination has
// a world for itself. A part of the kills runs; MATRIX=complete runs all of them.
//
// What must be true each time: a run that ends with 0 leaves a password under AWSCURRENT that logs
// in; after two runs AWSCURRENT logs in, or the output names the version or the receipt that does;
// at most one login fails.

import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { jest } from '@jest/globals';
import { generateIdentity, identityToRecipient } from 'age-encryption';
import pLimit from 'p-limit';
import {
  type BlackBox,
  dist,
  documentOf,
  edited,
  type Hands,
  handsIn,
  oldPassword,
  openBlackBox,
} from '../harness/black-box.ts';
import { type FunctionProcess, startFunction } from '../harness/lambda-runtime.ts';
import { openLambdaRig } from '../harness/lambda-world.ts';
import { limitMs } from '../harness/limits.mjs';
import { partOf } from '../harness/sample.ts';
import { testWith } from '../harness/tools.ts';

jest.setTimeout(limitMs(600_000));

/** Two cores; each world waits for processes most of the time. */
const together = pLimit(3);

/** What happens to the secret between the kill and the next run. */
const mishaps: Readonly<Record<string, (hands: Hands) => Promise<unknown>>> = {
  nothing: async () => {},
  'another key edited': async (hands) => hands.putByHand(edited(await hands.current())),
  'old password stored again': (hands) =>
    hands.putByHand(documentOf({ password: oldPassword, note: 'restored' })),
  'labels rolled back': (hands) => hands.rollBack(),
};
const rows = Object.keys(mishaps);

type Fault = 'silent' | 'silent-after-commit';
/** One kill: at this call, before or after it has its effect. */
type Kill = { readonly nth: number; readonly fault: Fault; readonly isRead: boolean };

/** A third of the rows, an eighth of the writes in each: each of these in the course of a day. */
const someRows = (all: readonly string[], offset: number) => partOf(all, 3, offset);
/** Reads have no effect: a kill at one is nearly always a kill at the next write. */
const sampleOf = (kills: readonly Kill[]): readonly Kill[] => [
  ...partOf(
    kills.filter(({ isRead }) => !isRead),
    8,
  ),
  ...partOf(
    kills.filter(({ isRead }) => isRead),
    40,
  ),
];

/** Reads have no effect, so that before and after are the same. */
const killsOf = (actions: readonly string[]): Kill[] =>
  actions.flatMap((action, index): Kill[] => {
    const isRead = /^(Get|List|Describe)/.test(action);
    const before: Kill = { nth: index + 1, fault: 'silent', isRead };
    return isRead ? [before] : [before, { ...before, fault: 'silent-after-commit' }];
  });

type Subject = {
  readonly hands: Hands;
  live(): string;
  failedLogins(): number;
  receipts(): string[];
};
type Told = { readonly isGood: boolean; readonly text: string };

/** Where the valid password is besides AWSCURRENT. */
const placesOf = async ({ hands, live, receipts }: Subject): Promise<string[]> => [
  ...(await hands.holdersOf(live())),
  ...receipts(),
];

/** Runs twice, and says what was wrong. */
async function judge(
  where: string,
  subject: Subject,
  isKept: boolean,
  runOnce: () => Promise<Told>,
): Promise<string[]> {
  const { hands, live, failedLogins } = subject;
  const problems: string[] = [];
  const isValid = async (): Promise<boolean> => (await hands.current()).password === live();
  let text = '';
  for (const run of [1, 2]) {
    const told = await runOnce();
    text = told.text;
    if (told.isGood && !(await isValid()))
      problems.push(`${where}: run ${run} ended with 0, and AWSCURRENT does not log in`);
  }
  if (failedLogins() > 1) problems.push(`${where}: ${failedLogins()} failed logins`);
  if (!isKept || (await isValid())) return problems;
  const places = await placesOf(subject);
  const isNamed = places.some((place) => text.includes(place));
  return isNamed
    ? problems
    : [...problems, `${where}: nothing names ${places.join(' or ') || 'it'}: ${text}`];
}

const subjectOf = (box: BlackBox): Subject => ({
  hands: box,
  live: box.live,
  failedLogins: () => box.thingspace.failedLogins('east').most,
  receipts: box.receipts,
});

async function runOnce(box: BlackBox, wrap: readonly string[] = []): Promise<Told> {
  const { code, lines, said } = await box.run(['rotate'], { wrap });
  return { isGood: code === 0, text: JSON.stringify(lines[0] ?? said) };
}

const problemsOf = async (worlds: readonly Promise<string[]>[]): Promise<string[]> =>
  (await Promise.all(worlds)).flat();

describe('Secrets Manager', () => {
  const options = { store: 'secrets-manager', receipts: 'readable' } as const;
  let kills: Kill[] = [];

  beforeAll(async () => {
    await using box = await openBlackBox(options);
    await box.run(['rotate', '--force']);
    kills = killsOf(box.secretsManager?.requests.map(({ action }) => action) ?? []);
  });

  async function world(row: string, { nth, fault }: Kill): Promise<string[]> {
    await using box = await openBlackBox(options);
    const program = box.start(['rotate', '--force']);
    box.secretsManager?.inject('*', fault, 1, nth - 1);
    await program.until(box.secretsManager?.waitFor((request) => request.fault === fault));
    // The receipt is written beside the store's call, so that both may be under way at the kill.
    if (box.live() !== oldPassword) await program.said('receipt.written');
    await program.kill();
    await mishaps[row]?.(box);
    box.advance(60_000);
    return await judge(`call ${nth}, ${fault}`, subjectOf(box), true, () => runOnce(box));
  }

  test.each(someRows(rows, 0))(
    'a kill at each store call, then "%s": two runs end with the truth',
    async (row) => {
      const sample = sampleOf(kills);

      const problems = await problemsOf(sample.map((kill) => together(() => world(row, kill))));

      expect(problems).toEqual([]);
    },
  );
});

describe('file store', () => {
  const options = { store: 'file', receipts: 'readable' } as const;
  /** Every change of the store is one link in the index folder, then an fsync of that folder. */
  const changes = 5;
  const kills = killsOf(Array.from({ length: changes }, () => 'link'));

  const strace = (box: BlackBox, { nth, fault }: Kill): string[] => {
    const index = join(box.folder, 'secrets/thingspace%2feast/index');
    const [call, filter] = fault === 'silent' ? ['link', []] : ['fsync', ['-P', index]];
    const inject = `inject=${call}:signal=SIGKILL:when=${nth}`;
    const log = join(box.folder, 'strace.log');
    return ['strace', '-f', '-qq', '-o', log, ...filter, '-e', `trace=${call}`, '-e', inject];
  };

  async function world(row: string, kill: Kill): Promise<string[]> {
    await using box = await openBlackBox(options);
    const wrap = strace(box, kill);
    const { code } = await box.run(['rotate', '--force'], {
      wrap,
      env: { UV_THREADPOOL_SIZE: '1' },
    });
    const where = `change ${kill.nth}, ${kill.fault}`;
    if (code === 0) return [`${where}: nothing was killed`];
    const subject = subjectOf(box);
    const isKept = (await placesOf(subject)).length > 0;
    await mishaps[row]?.(box);
    return await judge(where, subject, isKept, () => runOnce(box, ['faketime', '-f', '+60s']));
  }

  testWith('strace')('a rotation changes the store five times', async () => {
    await using box = await openBlackBox(options);
    const wrap = strace(box, { nth: changes + 1, fault: 'silent-after-commit', isRead: false });

    const env = { UV_THREADPOOL_SIZE: '1' };
    const { code } = await box.run(['rotate', '--force'], { wrap, env });

    expect(code).toBe(0);
  });

  testWith('strace', 'faketime').each(someRows(rows, 1))(
    'a kill at each change, then "%s": two runs end with the truth',
    async (row) => {
      const sample = sampleOf(kills);

      const problems = await problemsOf(sample.map((kill) => together(() => world(row, kill))));

      expect(problems).toEqual([]);
    },
  );
});

describe('Lambda steps', () => {
  const steps = ['createSecret', 'setSecret', 'testSecret', 'finishSecret'];
  const handler = 'lambda.rotationSteps';
  const { execPath: node } = process;

  /** The four steps as Secrets Manager sends them; it stops at the first that fails. */
  async function rotate(lambda: FunctionProcess, arn: string, token: string): Promise<Told> {
    for (const Step of steps) {
      const event = { Step, SecretId: arn, ClientRequestToken: token };
      const ended = await lambda.invoke(event, 20_000);
      if (!('value' in ended)) return { isGood: false, text: JSON.stringify(ended) };
    }
    return { isGood: true, text: '' };
  }

  /** One fleet for a row: users for all kills, and one warm instance that runs afterwards. */
  async function openFleet() {
    const folder = mkdtempSync(join(tmpdir(), 'steps-'));
    const receipts = join(folder, 'receipts');
    const identity = await generateIdentity();
    const identityFile = join(folder, 'receipts.key');
    writeFileSync(identityFile, identity, { mode: 0o600 });
    const users = ['counted', ...Array.from({ length: 100 }, (_, index) => `user-${index}`)];
    const rig = await openLambdaRig({
      users: Object.fromEntries(users.map((user) => [user, oldPassword])),
    });
    const env = rig.env({
      ROTATOR_THINGSPACE__REQUEST_TIMEOUT_MS: '1000',
      ROTATOR_THINGSPACE__RESET_TIMEOUT_MS: '1000',
      ROTATOR_RECEIPTS__DIRECTORY: receipts,
      ROTATOR_RECEIPTS__RECIPIENTS: await identityToRecipient(identity),
      ROTATOR_RECEIPTS__IDENTITY_FILE: identityFile,
    });
    const start = () => startFunction({ task: dist, handler, env, node });
    const warm = await start();
    // It loads while the instance before it is used.
    let spare = start();
    return {
      rig,
      warm,
      /** A cold instance that nobody has used. */
      cold: (): Promise<FunctionProcess> => {
        const taken = spare;
        spare = start();
        return taken;
      },
      receiptsOf: (user: string): string[] =>
        (existsSync(receipts) ? readdirSync(receipts) : [])
          .filter((name) => name.includes(`${user}.`) && name.endsWith('.age'))
          .map((name) => join(receipts, name)),
      async [Symbol.asyncDispose]() {
        for (const one of [warm, await spare]) await one.close();
        await rig.close();
        rmSync(folder, { recursive: true, force: true });
      },
    };
  }
  type Fleet = Awaited<ReturnType<typeof openFleet>>;

  /** Runs the steps of one user until the kill; what was received is on the disk by then. */
  async function kill(fleet: Fleet, user: string, token: string, { nth, fault }: Kill) {
    const { rig, cold } = fleet;
    const lambda = await cold();
    const arn = rig.arn(user);
    const running = rotate(lambda, arn, token);
    rig.secretsManager.inject('*', fault, 1, nth - 1);
    const met = rig.secretsManager.waitFor(
      (request) => request.resource === arn && request.fault === fault,
    );
    await Promise.race([met, running]);
    if (rig.thingspace.livePassword(user) !== oldPassword) await lambda.line('receipt.written');
    await lambda.close();
    await running;
  }

  /** All kills of one rotation. */
  async function killsIn({ rig, warm }: Fleet): Promise<Kill[]> {
    await rotate(warm, rig.arn('counted'), crypto.randomUUID());
    return killsOf(rig.secretsManager.requests.map(({ action }) => action));
  }

  async function world(fleet: Fleet, row: string, user: string, one: Kill): Promise<string[]> {
    const { rig, warm } = fleet;
    const token = crypto.randomUUID();
    await kill(fleet, user, token, one);
    const arn = rig.arn(user);
    const hands = handsIn(rig.secretsManager, arn);
    await mishaps[row]?.(withUser(hands, user));
    rig.advance(5_000);
    const subject: Subject = {
      hands,
      live: () => rig.thingspace.livePassword(user),
      failedLogins: () => rig.thingspace.failedLogins(user).most,
      receipts: () => fleet.receiptsOf(user),
    };
    const isSame = row === sameToken;
    const next = () => rotate(warm, arn, isSame ? token : crypto.randomUUID());
    return await judge(`call ${one.nth}, ${one.fault}`, subject, true, next);
  }

  /** The document that is stored again belongs to this user. */
  const withUser = (hands: Hands, username: string): Hands => ({
    ...hands,
    putByHand: (document) => hands.putByHand(JSON.stringify({ ...JSON.parse(document), username })),
  });

  const sameToken = 'the same native token again';

  test.each(someRows([...rows, sameToken], 2))(
    'a kill at each store call, then "%s": two rotations end with the truth',
    async (row) => {
      await using fleet = await openFleet();
      const sample = sampleOf(await killsIn(fleet));

      const problems: string[] = [];
      for (const [index, one] of sample.entries())
        problems.push(...(await world(fleet, row, `user-${index}`, one)));

      expect(problems).toEqual([]);
      expect(sample.length).toBeGreaterThan(0);
    },
  );
});
