// What version 0.1 left behind, read by the built program of today: the file stores, audit logs
// and receipts in test/fixtures/upgrade-0.1, which the real 0.1 wrote on 2026-10-01 at 12:00
// (make.mjs there says how). The program runs an hour later by its own clock: leases and settle
// times are over.

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  type BlackBox,
  documentOf,
  openBlackBox,
  type Ran,
  type ReceiptsMode,
} from '../harness/black-box.ts';
import { partOf, testPart } from '../harness/sample.ts';
import { testWith } from '../harness/tools.ts';

const fixtures = join(import.meta.dirname, '../fixtures/upgrade-0.1');
const at = '2026-10-01 13:00:00';
const timed = testWith('faketime');
/** A quarter of the single states in each run. */
const sampled = testPart(4).with('faketime');

/** What each command ends with: exit code, and reason or outcome. */
type Ends = {
  readonly status: string;
  readonly check: string;
  readonly recover: string;
  readonly rotate: string;
  readonly receipts?: ReceiptsMode;
};

const all = (end: string): Ends => ({ status: end, check: end, recover: end, rotate: end });
const healthy = { status: '0 settled', check: '0 checked', recover: '0 settled' };
const recovered = { recover: '0 recovered', rotate: '0 recovered' };

const states: readonly [state: string, meaning: string, ends: Ends][] = [
  ['rotated', 'rotated and verified', { ...healthy, rotate: '0 not-due' }],
  [
    'claimed-by-a-dead-process',
    'claimed by a process that was killed',
    { ...healthy, rotate: '0 rotated' },
  ],
  // Its last attempt failed, and it is due.
  [
    'released',
    'released after a rejected reset',
    { ...healthy, status: '1 settled', rotate: '0 rotated' },
  ],
  [
    'reset-with-a-receipt',
    'killed between reset and store, with a receipt that opens here',
    { status: '3 not-stored', check: '3 not-stored', ...recovered, receipts: 'readable' },
  ],
  [
    'reset-with-a-receipt',
    'killed between reset and store, with a sealed receipt',
    all('3 receipt-sealed'),
  ],
  [
    'stored-not-promoted',
    'killed between store and promote',
    { status: '3 not-promoted', check: '3 not-promoted', ...recovered },
  ],
  [
    'verify-unavailable',
    'promoted and never verified',
    { status: '3 verify-unavailable', check: '0 checked', ...recovered },
  ],
  [
    'in-doubt-reset-applied',
    'in doubt, and the reset was applied',
    {
      status: '3 answer-lost',
      check: '3 answer-lost',
      recover: '4 password-lost',
      rotate: '4 password-lost',
    },
  ],
  [
    'in-doubt-reset-not-applied',
    'in doubt, and the reset was not applied',
    {
      status: '3 answer-lost',
      check: '3 answer-lost',
      recover: '0 settled',
      rotate: '0 rotated',
    },
  ],
  ['stopped-login-refused', 'suspended for a rejected login', all('4 login-refused')],
  ['stopped-password-lost', 'suspended for a lost password', all('4 password-lost')],
  ['stopped-verify-refused', 'suspended for a rejected new password', all('4 verify-refused')],
  ['stopped-login-budget-spent', 'suspended for a spent login limit', all('4 login-budget-spent')],
];

type Facts = { readonly username: string; readonly live: string; readonly current: string };
const factsOf = (state: string): Facts =>
  JSON.parse(readFileSync(join(fixtures, state, 'state.json'), 'utf8'));

function openFixture(state: string, receipts: ReceiptsMode = 'sealed'): Promise<BlackBox> {
  const { username, live } = factsOf(state);
  const fixture = { keys: join(fixtures, 'keys'), state: join(fixtures, state) };
  return openBlackBox({ username, live, receipts, fixture });
}

const endOf = ({ code, lines: [line] }: Ran): string =>
  `${code} ${line?.['reason'] ?? line?.['outcome'] ?? line?.['state']}`;

/** Runs a command, and checks what no command may do: claim success, or spend a second login. */
async function judged(box: BlackBox, args: string): Promise<string> {
  const ran = await box.run(args.split(' '), { at });
  const isCurrentValid = (await box.current()).password === box.live();
  if (ran.code === 0 && !isCurrentValid)
    throw new Error(`${args} ended with 0, and AWSCURRENT does not log in`);
  const { username } = JSON.parse((await box.current()).document);
  expect(box.thingspace.failedLogins(username).most).toBeLessThanOrEqual(1);
  return endOf(ran);
}

/** The notes and the rotation ids stay what they were: nothing of the document is lost. */
const noteIn = async (box: BlackBox): Promise<string> =>
  JSON.parse((await box.current()).document).note;

test('every fixture has its expectation', () => {
  const folders = readdirSync(fixtures).filter((name) => !['keys', 'make.mjs'].includes(name));
  const named = [...states.map(([state]) => state), 'stored-then-edited', 'stopped-store-conflict'];

  expect([...new Set(named)].sort()).toEqual(folders.sort());
});

timed.each(partOf(states, 12))(
  '0.1 left "%s": %s',
  async (state, _meaning, { receipts, ...expected }) => {
    const commands = ['status', 'check', 'recover', 'rotate'] as const;

    const ends = await Promise.all(
      commands.map(async (command) => {
        await using box = await openFixture(state, receipts);
        return [command, await judged(box, command)];
      }),
    );

    expect(Object.fromEntries(ends)).toEqual(expected);
  },
);

timed.each(
  partOf(
    states.filter(([, , { rotate }]) => rotate.startsWith('0')),
    6,
  ),
)(
  '0.1 left "%s" (%s): the second run finds no open rotation, and the audit log is intact',
  async (state, _meaning, { receipts }) => {
    await using box = await openFixture(state, receipts);

    await judged(box, 'rotate --force');
    const second = await judged(box, 'rotate --force');
    const status = await judged(box, 'status');
    const open = await box.run(['audit', 'list', '--open'], { at });
    const verified = await box.run(['audit', 'verify'], { at });

    expect([second, status, open.lines, verified.code]).toEqual(['0 rotated', '0 settled', [], 0]);
    expect(await noteIn(box)).toBe('kept');
  },
);

sampled('a sealed receipt of 0.1 is stored with the command that names it', async () => {
  await using box = await openFixture('reset-with-a-receipt');
  const [receipt = ''] = box.receipts();

  const end = await judged(box, `recover east --receipt ${receipt} --identity receipts.key`);

  expect(end).toBe('0 recovered');
  expect(box.thingspace.loginsReceived(factsOf('reset-with-a-receipt').username)).toBe(1);
});

const lost = [
  'in-doubt-reset-applied',
  'stopped-login-refused',
  'stopped-password-lost',
  'stopped-verify-refused',
];
timed.each(partOf(lost, 4))(
  '0.1 left "%s": a person stores the valid password, and the next run rotates',
  async (state) => {
    await using box = await openFixture(state);
    const { username, live } = factsOf(state);
    const input = documentOf({ username, password: live }).replace('kept', 'by hand');

    const put = await box.run(['secret', 'put', 'east'], { at, input });
    const rotated = [await judged(box, 'rotate --force'), await judged(box, 'rotate --force')];

    expect(put.code).toBe(0);
    expect(rotated.at(-1)).toBe('0 rotated');
    expect(box.thingspace.failedLogins(username).most).toBe(0);
  },
);

const resumable: [string, string][] = [
  ['stopped-login-refused', '4 login-refused'],
  ['stopped-password-lost', '4 password-lost'],
  ['stopped-login-budget-spent', '0 rotated'],
];
timed.each(partOf(resumable, 3))(
  '0.1 left "%s": after resume, one login shows what is true',
  async (state, expected) => {
    await using box = await openFixture(state);

    const resumed = await box.run(['resume', 'east', '--reason', 'case 4711'], { at });
    const end = await judged(box, 'rotate');

    expect([resumed.code, end]).toEqual([0, expected]);
  },
);

// A rotation that 0.1 suspended with verify-refused counts as closed, because AWSCURRENT is its
// version and the audit log has an outcome. After resume nothing is open, and no login is sent.
sampled(
  '0.1 left "stopped-verify-refused": after resume, one login shows that it is still \
rejected',
  async () => {
    await using box = await openFixture('stopped-verify-refused');
    await box.run(['resume', 'east', '--reason', 'case 4711'], { at });

    const end = await judged(box, 'rotate');

    expect(end).toBe('4 verify-refused');
  },
);

sampled(
  '0.1 died between store and promote, and somebody edited another key: the edit is kept \
and the new password is current',
  async () => {
    await using box = await openFixture('stored-then-edited');

    const ends = [await judged(box, 'recover'), await judged(box, 'status')];

    expect(ends).toEqual(['0 recovered', '0 settled']);
    expect(await noteIn(box)).toBe('edited');
  },
);

// 0.1 recorded the edited version as the basis of the suspended rotation, so nothing shows whether
// the password in it is the one that the reset began with. A person decides.
sampled(
  '0.1 suspended with store-conflict: the edit is kept, and status says where the new password \
is',
  async () => {
    await using box = await openFixture('stopped-store-conflict');

    const ends = [await judged(box, 'recover'), await judged(box, 'rotate')];
    const { code, lines } = await box.run(['status'], { at });

    expect([...ends, code]).toEqual(['4 store-conflict', '4 store-conflict', 4]);
    expect(lines[0]?.['next']).toContain('pending version');
    expect(await noteIn(box)).toBe('edited');
  },
);
