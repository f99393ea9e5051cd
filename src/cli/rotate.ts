// rotate, check, recover and resume: one attempt on each account that is meant, told as each one finishes.

import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import type { Account, Ask } from '../app.ts';
import { UsageError } from '../config/errors.ts';
import { openReceipt, rotationIdOf } from '../receipts/receipts.ts';
import { isGood } from '../rotation/result.ts';
import { resultJson } from '../rotation/result-json.ts';
import type { Result } from '../rotation/state.ts';
import { run } from '../scheduler/run.ts';
import { worstExitCode } from '../scheduler/run-log.ts';
import { Secret } from '../secret.ts';
import { surroundings, tellSurroundings } from './check.ts';
import { type Session, selectAccounts, withSession } from './context.ts';
import { humanLines, plainLine } from './format-result.ts';
import { openProgress } from './progress.ts';
import { readStatuses, refuseSharedUsers } from './status.ts';
import { boundedText, type CommonFlags, paintFor, print, type Shell, tell } from './terminal.ts';

export type RotateFlags = CommonFlags & {
  force?: boolean;
  dryRun?: boolean;
  reason?: string;
  changeRef?: string;
};

export async function rotate(
  shell: Shell,
  names: readonly string[],
  flags: RotateFlags,
): Promise<number> {
  if (flags.dryRun) {
    if (flags.force) throw new UsageError('--dry-run and --force exclude each other');
    return check(shell, names, flags);
  }
  const why = whyOf(flags);
  return withSession(shell, flags, async (session) => {
    const accounts = await selectAccounts(session.rotator, names);
    if (accounts.length > 1) refuseSharedUsers(await readStatuses(session.rotator, accounts));
    return attempt(shell, flags, session, accounts, {
      purpose: 'rotate',
      force: flags.force ?? false,
      trigger: session.trigger('manual', why),
    });
  });
}

/** The honest dry run: everything but the reset, and what a reset would need besides. */
export async function check(
  shell: Shell,
  names: readonly string[],
  flags: CommonFlags & { reason?: string; changeRef?: string },
): Promise<number> {
  const why = whyOf(flags);
  return withSession(shell, flags, async (session) => {
    const { rotator } = session;
    const accounts = await selectAccounts(rotator, names);
    const statuses = await readStatuses(rotator, accounts);
    refuseSharedUsers(statuses);
    const isAround = tellSurroundings(shell, flags, await surroundings(session, statuses));
    let isAudited = true;
    session.watch(({ event }) => {
      if (event === 'audit.failed') isAudited = false;
    });
    const exitCode = await attempt(shell, flags, session, accounts, {
      purpose: 'check',
      trigger: session.trigger('manual', why),
    });
    if (!isAudited)
      tell(
        shell,
        'audit-unavailable: the audit log could not be written; nothing would be reset without it',
      );
    return Math.max(exitCode, isAround && isAudited ? 0 : 1);
  });
}

export async function recover(
  shell: Shell,
  names: readonly string[],
  flags: CommonFlags & { receipt?: string; identity?: string; rotationId?: string },
): Promise<number> {
  const { receipt, identity } = flags;
  if ((receipt === undefined) !== (identity === undefined))
    throw new UsageError('--receipt and --identity belong together');
  if (receipt !== undefined && names.length !== 1)
    throw new UsageError('--receipt belongs to one account: name it');
  return withSession(shell, flags, async (session) => {
    const accounts = await selectAccounts(session.rotator, names);
    const ask: Ask = { purpose: 'recover', impatient: true, trigger: session.trigger('recovery') };
    const [account] = accounts;
    if (receipt === undefined || identity === undefined || account === undefined)
      return attempt(shell, flags, session, accounts, ask);
    const content = readGiven(shell, '--receipt', receipt);
    const rotationId =
      flags.rotationId ??
      rotationIdOf(receipt) ??
      rotationIdIn(content) ??
      (await session.rotator.status(account)).rotationId;
    if (rotationId === undefined)
      throw new UsageError(
        'the receipt’s file name does not say which rotation it is of: add --rotation-id ID',
      );
    // A receipt that this identity does not open says nothing about the rotation: the attempt says what is open.
    const body = await openReceipt(
      content,
      new Secret(readGiven(shell, '--identity', identity).toString('utf8')),
    ).catch(() => null);
    const given = { rotationId, place: receipt, body };
    return attempt(shell, flags, session, accounts, { ...ask, receipt: given });
  });
}

export async function resume(
  shell: Shell,
  name: string,
  flags: CommonFlags & { reason: string; changeRef?: string },
): Promise<number> {
  const why = whyOf(flags);
  return withSession(shell, flags, async (session) =>
    attempt(shell, flags, session, await selectAccounts(session.rotator, [name]), {
      purpose: 'resume',
      trigger: session.trigger('manual', why),
    }),
  );
}

/** One attempt each; prints as they finish. The worst exit code. */
async function attempt(
  shell: Shell,
  flags: CommonFlags,
  session: Session,
  accounts: readonly Account[],
  ask: Ask,
): Promise<number> {
  const { rotator, interrupt } = session;
  if (accounts.length === 0) {
    if (!flags.json) tell(shell, 'no account is enabled; name one to work on it all the same');
    return 0;
  }
  const progress = openProgress(
    shell,
    accounts.length,
    flags.quiet === true || flags.json === true,
  );
  const byName = new Map(accounts.map((account) => [account.name, account]));
  const counts = { good: 0, failed: 0 };
  const onResult = (result: Result): void => {
    counts[isGood(result) ? 'good' : 'failed'] += 1;
    progress.aside(() => printResult(shell, flags, session, byName.get(result.account), result));
    progress.advance(
      `${counts.failed === 0 ? '' : `${counts.failed} failed, `}last: ${result.account} ${result.outcome}`,
    );
  };
  try {
    const { results, exitCode } = await run(rotator, { accounts, ask, interrupt, onResult });
    progress.end();
    if (shell.stdout.isTTY && !flags.json && !flags.quiet && results.length > 1)
      print(shell, summary(results));
    return exitCode;
  } finally {
    progress.end();
  }
}

function printResult(
  shell: Shell,
  flags: CommonFlags,
  { config }: Session,
  account: Account | undefined,
  result: Result,
): void {
  const paint = paintFor(shell, shell.stdout);
  if (flags.json) print(shell, JSON.stringify(resultJson(result)));
  else if (flags.quiet && isGood(result)) return;
  else if (!shell.stdout.isTTY) print(shell, plainLine(result));
  else for (const line of humanLines(result, { account, config, paint })) print(shell, line);
}

/** `3 accounts: 1 rotated, 1 not-due, 1 stopped. Exit code 4.` */
export function summary(results: readonly Result[]): string {
  const outcomes = new Map<string, number>();
  for (const { outcome } of results) outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
  const counts = [...outcomes].map(([outcome, count]) => `${count} ${outcome}`).join(', ');
  return `${results.length} accounts: ${counts}. Exit code ${worstExitCode(results)}.`;
}

function whyOf({ reason, changeRef }: { reason?: string; changeRef?: string }): {
  reason?: string;
  changeRef?: string;
} {
  return {
    ...(reason === undefined ? {} : { reason: boundedText('--reason', reason) }),
    ...(changeRef === undefined ? {} : { changeRef: boundedText('--change-ref', changeRef) }),
  };
}

function readGiven({ cwd }: Shell, flag: string, file: string): Buffer {
  try {
    return readFileSync(resolve(cwd, file));
  } catch (error) {
    throw new UsageError(
      `${flag} ${file}: ${(error as NodeJS.ErrnoException).code ?? 'cannot be read'}`,
    );
  }
}

/** The rotation that a receipt's log line speaks of. */
function rotationIdIn(content: Uint8Array): string | undefined {
  try {
    const { rotationId } = JSON.parse(new TextDecoder().decode(content)) as {
      rotationId?: unknown;
    };
    return typeof rotationId === 'string' ? rotationId : undefined;
  } catch {
    return undefined;
  }
}
