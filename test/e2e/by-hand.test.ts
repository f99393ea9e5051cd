// A person completes or abandons a rotation that the program cannot complete: it was killed after
// the reset, before the store had the new password, and its receipt opens only with a key that
// this machine does not have.

import { existsSync, readFileSync, watch, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Encrypter, identityToRecipient } from 'age-encryption';
import { type BlackBox, oldPassword, openBlackBox, type Ran } from '../harness/black-box.ts';
import { partOf, testPart } from '../harness/sample.ts';

/** A quarter of them in each run. */
const sampled = testPart(4);

const typed = ['recover', 'east', '--password-stdin'];

const endOf = ({ code, lines: [line] }: Ran): string =>
  `${code} ${line?.['reason'] ?? line?.['outcome'] ?? line?.['state']}`;

/** An account whose new password only the sealed receipt holds. */
async function openSealed(): Promise<BlackBox> {
  const box = await openBlackBox({ store: 'secrets-manager', receipts: 'sealed' });
  const program = box.start(['rotate', '--force']);
  // The third value is the new password, after the claim and the record of the reset.
  box.secretsManager?.inject('PutSecretValue', 'silent', 1, 2);
  await program.until(box.secretsManager?.waitFor(({ fault }) => fault === 'silent'));
  await program.until(receiptIn(box));
  await program.kill();
  return box;
}

/** Resolves when a complete receipt is in the folder. */
function receiptIn(box: BlackBox): Promise<void> {
  const isWritten = (): boolean => box.receipts().some((path) => path.endsWith('.age'));
  const folder = join(box.folder, 'receipts');
  return new Promise((resolve) => {
    const watcher = watch(existsSync(folder) ? folder : box.folder, { recursive: true }, check);
    function check(): void {
      if (!isWritten()) return;
      watcher.close();
      resolve();
    }
    check();
  });
}

sampled('the password that a person types is proven with one login, and stored', async () => {
  await using box = await openSealed();

  const before = endOf(await box.run(['status']));
  const recovered = await box.run(typed, { input: `${box.live()}\n` });
  const after = endOf(await box.run(['status']));

  expect([before, endOf(recovered), after]).toEqual([
    '3 receipt-sealed',
    '0 recovered',
    '0 settled',
  ]);
  expect((await box.current()).password).toBe(box.live());
  expect(box.thingspace.failedLogins('east').most).toBe(0);
  expect(recovered.said).not.toContain(box.live());
});

sampled('a wrong password costs one login, and the right one is accepted afterwards', async () => {
  await using box = await openSealed();

  const wrong = await box.run(typed, { input: 'not-the-password' });
  const spent = box.thingspace.failedLogins('east').most;
  const current = (await box.current()).password;
  const right = await box.run(typed, { input: box.live() });

  expect(wrong.code).toBeGreaterThan(1);
  expect([spent, current]).toEqual([1, oldPassword]);
  expect(endOf(right)).toBe('0 recovered');
  expect(wrong.said).not.toContain('not-the-password');
});

const refusals: [string, string[], string][] = [
  ['nothing on standard input', typed, '--password-stdin got an empty password'],
  ['no account', ['recover', '--password-stdin'], 'Name that account'],
  [
    'a rotation that is not open',
    ['resume', 'east', '--reason', 'case 4711', '--abandon', 'another'],
    '--abandon takes the open rotation of east',
  ],
];
test.each(partOf(refusals, 3))('%s: exit 2, and no login', async (_case, args, said) => {
  await using box = await openSealed();
  const logins = box.thingspace.loginsReceived('east');

  const ran = await box.run(args, { input: '' });

  expect([ran.code, box.thingspace.loginsReceived('east') - logins]).toEqual([2, 0]);
  expect(ran.said).toContain(said);
});

sampled('a receipt that cannot be parsed leaves the rotation open for a person', async () => {
  await using box = await openSealed();
  const [name = ''] = box.receipts();
  const identity = readFileSync(join(box.folder, 'receipts.key'), 'utf8');
  const encrypter = new Encrypter();
  encrypter.addRecipient(await identityToRecipient(identity.trim()));
  writeFileSync(name, await encrypter.encrypt('<html>not a response</html>'));
  const given = ['recover', 'east', '--receipt', name, '--identity', 'receipts.key'];

  const unreadable = await box.run(given);
  writeFileSync(name, 'nonsense');
  const damaged = await box.run(given);
  const closed = await box.run([...given, '--password-stdin'], { input: box.live() });

  expect([3, 4]).toContain(unreadable.code);
  expect([3, 4]).toContain(damaged.code);
  expect(endOf(closed)).toBe('0 recovered');
  expect(box.thingspace.failedLogins('east').most).toBe(0);
  expect(unreadable.said).not.toContain('<html>');
});

sampled('an abandoned rotation stays in the audit log, and the program starts again', async () => {
  await using box = await openSealed();
  const [line] = (await box.run(['status'])).lines;
  const rotationId = String(line?.['rotationId']);

  const resumed = await box.run([
    'resume',
    'east',
    '--reason',
    'case 4711',
    '--abandon',
    rotationId,
  ]);
  const next = await box.run(['rotate', '--force']);
  const open = await box.run(['audit', 'list', '--open']);

  expect(resumed.code).toBe(0);
  expect(endOf(next)).toBe('4 login-refused');
  expect(open.lines).toEqual([]);
  expect(box.thingspace.failedLogins('east').most).toBe(1);
});
