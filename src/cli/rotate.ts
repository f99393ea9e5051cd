// rotate, check, recover and resume: one attempt on each selected account, printed as each one
// finishes.

import type { Account, Ask } from '../app.ts';
import { UsageError } from '../config/errors.ts';
import { type Order, parseOrder, selectAccounts } from '../order.ts';
import { openReceipt, parseReceiptLine, rotationIdOf } from '../receipts/receipts.ts';
import { isGood } from '../rotation/result.ts';
import { resultJson } from '../rotation/result-json.ts';
import type { Result } from '../rotation/state.ts';
import { run } from '../scheduler/run.ts';
import { Secret } from '../secret.ts';
import { checkEnvironment, printFindings } from './check.ts';
import { type Session, withSession } from './context.ts';
import { readGivenFile } from './files.ts';
import { humanLines, outcomeWords, plainLine, policyOf, summary } from './format-result.ts';
import { openProgress } from './progress.ts';
import { readStatuses, refuseSharedUsers } from './status.ts';
import { type CommonFlags, print, type Shell, tell } from './terminal.ts';

type OrderFlags = CommonFlags & { force?: boolean; reason?: string; changeRef?: string };

/** The order in the arguments. Throws a UsageError. */
function orderOf(
  action: Order['action'],
  accounts: readonly string[],
  { force, reason, changeRef }: OrderFlags,
): Order {
  return parseOrder({ accounts, force, reason, changeRef }, 'command line', { action });
}

export async function rotate(
  shell: Shell,
  names: readonly string[],
  flags: OrderFlags & { dryRun?: boolean },
): Promise<number> {
  if (flags.dryRun) {
    if (flags.force) throw new UsageError('--dry-run and --force exclude each other.');
    return check(shell, names, flags);
  }
  const order = orderOf('rotate', names, flags);
  return withSession(shell, flags, async (session) => {
    const accounts = selectAccounts(await session.rotator.accounts(), order.accounts);
    if (accounts.length > 1) refuseSharedUsers(await readStatuses(session.rotator, accounts));
    return attempt(shell, flags, session, accounts, {
      purpose: 'rotate',
      force: order.force,
      trigger: session.trigger('manual', order),
    });
  });
}

/** Everything but the reset, and what a reset would need besides. */
export async function check(
  shell: Shell,
  names: readonly string[],
  flags: OrderFlags,
): Promise<number> {
  const order = orderOf('check', names, flags);
  return withSession(shell, flags, async (session) => {
    const { rotator } = session;
    const accounts = selectAccounts(await rotator.accounts(), order.accounts);
    const statuses = await readStatuses(rotator, accounts);
    refuseSharedUsers(statuses);
    const isReady = printFindings(shell, flags, await checkEnvironment(session, statuses));
    let isAudited = true;
    session.subscribe(({ event }) => {
      if (event === 'audit.failed') isAudited = false;
    });
    const exitCode = await attempt(shell, flags, session, accounts, {
      purpose: 'check',
      trigger: session.trigger('manual', order),
    });
    if (!isAudited)
      tell(shell, 'The audit log cannot be written (audit-unavailable). No password can be reset.');
    return Math.max(exitCode, isReady && isAudited ? 0 : 1);
  });
}

type RecoverFlags = CommonFlags & { receipt?: string; identity?: string; rotationId?: string };

export async function recover(
  shell: Shell,
  names: readonly string[],
  flags: RecoverFlags,
): Promise<number> {
  const { receipt, identity } = flags;
  if ((receipt === undefined) !== (identity === undefined))
    throw new UsageError('--receipt and --identity are only accepted together.');
  if (receipt !== undefined && names.length !== 1)
    throw new UsageError('--receipt is the receipt of one account. Name that account.');
  const order = orderOf('recover', names, {});
  return withSession(shell, flags, async (session) => {
    const accounts = selectAccounts(await session.rotator.accounts(), order.accounts);
    const [account] = accounts;
    const given =
      receipt === undefined || identity === undefined || account === undefined
        ? undefined
        : await readReceipt(shell, session, account, { ...flags, receipt, identity });
    return attempt(shell, flags, session, accounts, {
      purpose: 'recover',
      impatient: true,
      trigger: session.trigger('recovery'),
      ...(given === undefined ? {} : { receipt: given }),
    });
  });
}

async function readReceipt(
  shell: Shell,
  { rotator }: Session,
  account: Account,
  { receipt, identity, rotationId }: RecoverFlags & { receipt: string; identity: string },
): Promise<NonNullable<Ask['receipt']>> {
  const content = readGivenFile(shell, '--receipt', receipt);
  const found =
    rotationId ??
    rotationIdOf(receipt) ??
    parseReceiptLine(content.toString('utf8'))?.rotationId ??
    (await rotator.status(account)).rotationId;
  if (found === undefined)
    throw new UsageError('--receipt has a file name without a rotation id. Add --rotation-id ID.');
  const key = new Secret(readGivenFile(shell, '--identity', identity).toString('utf8'));
  return { rotationId: found, body: await openReceipt(content, key) };
}

export async function resume(
  shell: Shell,
  name: string,
  flags: OrderFlags & { reason: string },
): Promise<number> {
  const order = orderOf('resume', [name], flags);
  return withSession(shell, flags, async (session) =>
    attempt(
      shell,
      flags,
      session,
      selectAccounts(await session.rotator.accounts(), order.accounts),
      {
        purpose: 'resume',
        trigger: session.trigger('manual', order),
      },
    ),
  );
}

/** One attempt for each account; prints each result. Returns the worst exit code. */
async function attempt(
  shell: Shell,
  flags: CommonFlags,
  session: Session,
  accounts: readonly Account[],
  ask: Ask,
): Promise<number> {
  const { rotator, interrupt, config } = session;
  if (accounts.length === 0) {
    if (!flags.json) tell(shell, 'No account is enabled. Name an account to work on it.');
    return 0;
  }
  const isQuiet = flags.quiet === true || flags.json === true;
  const progress = openProgress(shell, accounts.length, isQuiet);
  const byName = new Map(accounts.map((account) => [account.name, account]));
  let failed = 0;
  const onResult = (result: Result): void => {
    if (!isGood(result)) failed += 1;
    const policy = policyOf(byName.get(result.account), config);
    progress.aside(() => printResult(shell, flags, result, policy, ask.purpose));
    const failures = failed === 0 ? '' : `${failed} failed, `;
    progress.advance(`${failures}last: ${result.account} ${outcomeWords[result.outcome]}`);
  };
  try {
    const { results, exitCode } = await run(rotator, { accounts, ask, interrupt, onResult });
    progress.end();
    if (shell.stdout.isTTY && !isQuiet && results.length > 1) print(shell, summary(results));
    return exitCode;
  } finally {
    progress.end();
  }
}

function printResult(
  shell: Shell,
  flags: CommonFlags,
  result: Result,
  policy: ReturnType<typeof policyOf>,
  purpose: Ask['purpose'],
): void {
  if (flags.json) print(shell, JSON.stringify(resultJson(result)));
  else if (flags.quiet && isGood(result)) return;
  else if (!shell.stdout.isTTY) print(shell, plainLine(result));
  else for (const line of humanLines(shell, flags, result, policy, purpose)) print(shell, line);
}
