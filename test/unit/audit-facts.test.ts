import { type Facts, recordFacts, recordNativeAccount } from '../../src/audit/facts.ts';
import { listRecords } from '../../src/audit/query.ts';
import { buildReport } from '../../src/report/build.ts';
import { dayMs, openTestLog, origin, removeTempFolders, type TestLog } from '../harness/audit.ts';

afterEach(removeTempFolders);

const policy = { maxAgeDays: 90, rotateAfterDays: 75 };
const own = { maxAgeDays: 30, rotateAfterDays: 20 };
const exempt = { who: 'ciso', why: 'decommissioned in May', until: '2026-05-31' };

/** The facts in the log, without genesis and summaries. */
async function factsIn({ source }: TestLog) {
  const found = [];
  for await (const { view } of listRecords(source, {})) {
    const { code, account = null, change, maxAgeDays, maxAgeDaysBefore, secretId } = view;
    const { exemptBy, exemptWhy, exemptUntil } = view;
    const fields = { change, secretId, maxAgeDays, maxAgeDaysBefore, exemptBy };
    const more = { exemptWhy, exemptUntil };
    if (/^(inventory.changed|policy|exemption)/.test(code))
      found.push(JSON.parse(JSON.stringify([code, account, { ...fields, ...more }])));
  }
  return found;
}

test('the facts are recorded once, and again only where they differ', async () => {
  const log = await openTestLog();
  const [a, b] = [
    { name: 'a', secretId: 'thingspace/a', policy: own, exempt },
    { name: 'b', secretId: 'thingspace/b' },
  ];
  const steps: readonly Facts[] = [
    { policy, accounts: [a, b] },
    { policy, accounts: [b, a] },
    { policy: { ...policy, maxAgeDays: 120 }, accounts: [{ ...b, secretId: 'other' }] },
    {
      policy: { ...policy, maxAgeDays: 120 },
      accounts: [{ name: 'a' }, { ...b, secretId: 'other' }],
    },
  ];

  const sizes: number[] = [];
  for (const facts of steps) {
    await recordFacts(log, facts);
    sizes.push((await factsIn(log)).length);
  }

  expect(sizes).toEqual([5, 5, 8, 9]);
  expect(await factsIn(log)).toEqual([
    ['policy.changed', null, { maxAgeDays: 90 }],
    ['inventory.changed', 'a', { change: 'added', secretId: 'thingspace/a' }],
    ['policy.changed', 'a', { maxAgeDays: 30 }],
    [
      'exemption.changed',
      'a',
      {
        change: 'added',
        exemptBy: 'ciso',
        exemptWhy: 'decommissioned in May',
        exemptUntil: '2026-05-31',
      },
    ],
    ['inventory.changed', 'b', { change: 'added', secretId: 'thingspace/b' }],
    ['policy.changed', null, { maxAgeDays: 120, maxAgeDaysBefore: 90 }],
    ['inventory.changed', 'a', { change: 'removed', secretId: 'thingspace/a' }],
    ['inventory.changed', 'b', { change: 'moved', secretId: 'other' }],
    ['inventory.changed', 'a', { change: 'added' }],
  ]);
  await log.close();
});

test('facts that the log has already are neither read nor appended', async () => {
  const log = await openTestLog();
  const facts: Facts = { policy, accounts: [{ name: 'a', secretId: 'thingspace/a' }] };
  await recordFacts(log, facts);
  const refuse = () => Promise.reject(new Error('it was called'));

  await recordFacts({ factsHash: log.factsHash, append: refuse, source: null as never }, facts);

  await log.close();
});

test('an account of native rotation is recorded once, and a run over others keeps it', async () => {
  const log = await openTestLog();
  const [own, native] = [{ name: 'a' }, { name: 'n', secretId: 'arn:n' }];
  await recordFacts(log, { policy, accounts: [own] });

  const added = [await recordNativeAccount(log, native), await recordNativeAccount(log, native)];
  await recordFacts(log, { policy, accounts: [own, { name: 'b' }] });
  const whileNative = (await factsIn(log)).slice(2);
  // Its mode is changed to the schedule of this program, and back.
  await recordFacts(log, { policy, accounts: [own, { name: 'n', secretId: 'arn:n' }] });
  await recordFacts(log, { policy, accounts: [own] });
  added.push(await recordNativeAccount(log, native));

  expect(added).toEqual([true, false, true]);
  expect(whileNative).toEqual([
    ['inventory.changed', 'n', { change: 'added', secretId: 'arn:n' }],
    ['inventory.changed', 'b', { change: 'added' }],
  ]);
  expect((await factsIn(log)).slice(4)).toEqual([
    ['inventory.changed', 'b', { change: 'removed' }],
    ['inventory.changed', 'n', { change: 'added', secretId: 'arn:n' }],
    ['inventory.changed', 'n', { change: 'removed', secretId: 'arn:n' }],
    ['inventory.changed', 'n', { change: 'added', secretId: 'arn:n' }],
  ]);
  await log.close();
});

test('the inventory summary fits the report, also with an account of native rotation', async () => {
  const log = await openTestLog();
  const { source, verifier, clock } = log;
  await recordNativeAccount(log, { name: 'n', secretId: 'arn:n' });
  await recordFacts(log, { policy, accounts: [{ name: 'a' }] });
  await log.checkpoint();
  await log.close();

  const { report } = await buildReport({
    ...{ source, verifiers: [verifier], origin, policy },
    fromMs: clock.atMs - dayMs,
    ...{ toMs: clock.atMs + 1, nowMs: clock.atMs + 1, accounts: ['a'], store: null },
  });

  const { summary, unlisted } = report.population;
  expect([summary, unlisted, report.rows.map(({ account, bucket }) => [account, bucket])]).toEqual([
    'matches',
    ['n'],
    [
      ['a', 'never'],
      ['n', 'never'],
    ],
  ]);
});

test('limits and an exemption that end are recorded, also by another process', async () => {
  const log = await openTestLog();
  await recordFacts(log, { policy, accounts: [{ name: 'a', policy: own, exempt }] });
  await log.checkpoint();
  await log.close();
  const other = await openTestLog(log);

  await recordFacts(other, { policy, accounts: [{ name: 'a', policy: own, exempt }] });
  const unchanged = (await factsIn(other)).length;
  await recordFacts(other, { policy, accounts: [{ name: 'a' }] });

  expect(unchanged).toBe(4);
  expect((await factsIn(other)).slice(4)).toEqual([
    ['policy.changed', 'a', { maxAgeDaysBefore: 30 }],
    [
      'exemption.changed',
      'a',
      {
        change: 'removed',
        exemptBy: 'ciso',
        exemptWhy: 'decommissioned in May',
        exemptUntil: '2026-05-31',
      },
    ],
  ]);
  await other.close();
});
