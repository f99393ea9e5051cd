// rotate, check, recover and resume: one attempt on each account, printed as each one finishes.

import type { Account, Ask } from '../app.ts';
import { openClock } from '../clock.ts';
import { UsageError } from '../config/errors.ts';
import { keyDigestOf, type Order, parseOrder, selectAccounts } from '../order.ts';
import { openReceipt, parseReceiptLine, rotationIdOf } from '../receipts/receipts.ts';
import { nextStep } from '../rotation/catalogue.ts';
import { Failure, failures } from '../rotation/failure.ts';
import { isGood } from '../rotation/result.ts';
import { resultJson } from '../rotation/result-json.ts';
import type { Result } from '../rotation/state.ts';
import { run } from '../scheduler/run.ts';
import { Secret } from '../secret.ts';
import { type Heartbeat, openHeartbeat, withHeartbeat } from '../telemetry/heartbeat.ts';
import { checkEnvironment, checkOffline, isReady, printFindings } from './check.ts';
import { readConfig, type Session, withSession } from './context.ts';
import { readGivenFile } from './files.ts';
import { humanLines, outcomeWords, plainLine, summary } from './format-result.ts';
import { openProgress } from './progress.ts';
import { readStatuses, refuseSharedUsers } from './status.ts';
import { print, readStdin, type Shell, tell } from './terminal.ts';

type OrderFlags = {
  force?: boolean;
  reason?: string;
  changeRef?: string;
  idempotencyKey?: string;
};

type RotateFlags = OrderFlags & { dryRun?: boolean; trigger?: 'schedule' | 'manual' };

export async function rotate(
  shell: Shell,
  flags: RotateFlags,
  ...names: string[]
): Promise<number> {
  if (flags.dryRun) {
    if (flags.force) throw new UsageError('--dry-run and --force exclude each other.');
    return check(shell, flags, ...names);
  }
  const { trigger: kind } = flags;
  return withOrder(shell, 'rotate', names, flags, async (session, accounts, order) => {
    const { config, clock, log, rotator } = session;
    if (accounts.length > 1) refuseSharedUsers(await readStatuses(rotator, accounts));
    const ask: Ask = {
      purpose: 'rotate',
      force: order.force,
      keyDigest: order.idempotencyKey && keyDigestOf(order.idempotencyKey),
      trigger: { ...session.trigger('manual', order), ...(kind && { kind }) },
    };
    const isFleet = order.accounts.length === 0;
    const monitor =
      config.heartbeat && isFleet ? openHeartbeat({ ...config.heartbeat, clock, log }) : undefined;
    return attempt(session, accounts, ask, monitor);
  });
}

/** Everything but the reset, and what a reset would need besides. */
export async function check(
  shell: Shell,
  { offline, ...flags }: OrderFlags & { offline?: boolean },
  ...names: string[]
): Promise<number> {
  if (offline && names.length > 0) throw new UsageError('check --offline takes no account.');
  if (offline) return checkOffline(shell);
  return withOrder(shell, 'check', names, flags, async (session, accounts, order) => {
    const statuses = await readStatuses(session.rotator, accounts);
    refuseSharedUsers(statuses);
    const findings = await checkEnvironment(session, statuses);
    printFindings(shell, findings);
    const trigger = session.trigger('manual', order);
    const ask = { purpose: 'check', trigger } as const;
    const exitCode = await attempt(session, accounts, ask);
    const isAudited = session.isAudited();
    if (!isAudited)
      tell(shell, 'The audit log cannot be written (audit-unavailable). No password can be reset.');
    return Math.max(exitCode, isReady(findings) && isAudited ? 0 : 1);
  });
}

type RecoverFlags = {
  receipt?: string;
  identity?: string;
  rotationId?: string;
  passwordStdin?: boolean;
};

export async function recover(
  shell: Shell,
  flags: RecoverFlags,
  ...names: string[]
): Promise<number> {
  const isGiven = flags.receipt !== undefined || flags.passwordStdin === true;
  if ((flags.receipt === undefined) !== (flags.identity === undefined))
    throw new UsageError('--receipt and --identity are only accepted together.');
  if (isGiven && names.length !== 1)
    throw new UsageError('--receipt and --password-stdin are for one account. Name that account.');
  return withOrder(shell, 'recover', names, {}, async (session, accounts) => {
    const [account] = accounts;
    const given = isGiven && account ? await readGiven(session, account, flags) : undefined;
    const trigger = session.trigger('recovery');
    const ask = { purpose: 'recover', impatient: true, trigger, receipt: given } as const;
    return attempt(session, accounts, ask);
  });
}

/**
 * What the operator gives for one rotation: its receipt, opened where the key fits, or the
 * password. A receipt that does not open decides nothing here: the attempt says what is open.
 */
async function readGiven(
  { shell, rotator }: Session,
  account: Account,
  { receipt, identity, rotationId, passwordStdin }: RecoverFlags,
): Promise<NonNullable<Ask['receipt']>> {
  const content = receipt === undefined ? null : readGivenFile(shell, '--receipt', receipt);
  const found =
    rotationId ??
    (receipt === undefined ? undefined : rotationIdOf(receipt)) ??
    parseReceiptLine(content?.toString('utf8') ?? '')?.rotationId ??
    (await rotator.status(account)).rotationId;
  if (found === undefined)
    throw new UsageError('No rotation is known for this account. Add --rotation-id ID.');
  const key =
    identity === undefined
      ? null
      : new Secret(readGivenFile(shell, '--identity', identity).toString('utf8'));
  const body = content && key ? await openReceipt(content, key).catch(noBody) : null;
  const password = passwordStdin ? await readPassword(shell) : undefined;
  return { rotationId: found, place: receipt ?? 'standard input', body, password };
}

/** A receipt that this key does not open. Anything but a Failure is a bug. */
function noBody(error: unknown): null {
  if (error instanceof Failure) return null;
  throw error;
}

/** One line of standard input, without its end of line. */
async function readPassword(shell: Shell): Promise<Secret> {
  if (shell.stdin.isTTY) tell(shell, 'Type the password, and end with Ctrl-D.');
  const password = new Secret((await readStdin(shell)).replace(/\r?\n$/, ''));
  if (password.isEmpty) throw new UsageError('--password-stdin got an empty password.');
  return password;
}

export async function resume(
  shell: Shell,
  { abandon, ...flags }: OrderFlags & { reason: string; abandon?: string },
  name: string,
): Promise<number> {
  return withOrder(shell, 'resume', [name], flags, async (session, accounts, order) => {
    const [account] = accounts;
    if (abandon !== undefined && account) {
      const open = (await session.rotator.status(account)).facts?.rotationId;
      if (open !== abandon)
        throw new UsageError(
          `--abandon takes the open rotation of ${account.name}: ${open ?? 'none is open'}.`,
        );
    }
    const trigger = session.trigger('manual', order);
    return attempt(session, accounts, { purpose: 'resume', trigger, abandon });
  });
}

/**
 * A session for an order, and its accounts. When no attempt can begin, because the store or the
 * audit log cannot be opened, `--json` still prints one object per account. Throws a UsageError.
 */
async function withOrder(
  shell: Shell,
  action: Order['action'],
  accounts: readonly string[],
  { force, reason, changeRef, idempotencyKey }: OrderFlags,
  work: (session: Session, accounts: readonly Account[], order: Order) => Promise<number>,
): Promise<number> {
  const input = { accounts, force, reason, changeRef, idempotencyKey };
  const order = parseOrder(input, 'command line', { action });
  const startedAtMs = openClock().nowMs();
  // A test needs no audit log, and says when it cannot be written.
  const access = action === 'check' ? 'write-if-possible' : 'write';
  const begin = async (session: Session): Promise<number> =>
    work(session, selectAccounts(await session.rotator.accounts(), order.accounts), order);
  try {
    return await withSession(shell, begin, access);
  } catch (error) {
    if (!(error instanceof Failure && shell.flags.json)) throw error;
    const config = await readConfig(shell);
    for (const account of selectAccounts(config.accounts, order.accounts))
      printAttempt(shell, notBegun(account, error, startedAtMs), 'rotate');
    throw error;
  }
}

/** The result of an attempt that could not begin. */
function notBegun({ name, secretId }: Account, failure: Failure, startedAtMs: number): Result {
  const { reason, message: detail } = failure;
  const facts = { ...failure.facts, account: name, secretId, detail };
  return {
    account: name,
    secretId,
    outcome: 'failed',
    certainty: failures[reason].certainty,
    reason,
    detail,
    logins: 0,
    startedAtMs,
    endedAtMs: openClock().nowMs(),
    next: nextStep(reason, facts),
    facts,
  };
}

/** One attempt for each account; prints each result. Returns the worst exit code. */
async function attempt(
  { shell, rotator, interrupt }: Session,
  accounts: readonly Account[],
  ask: Ask,
  heartbeat?: Heartbeat,
): Promise<number> {
  const { json, quiet } = shell.flags;
  if (accounts.length === 0) {
    if (!json) tell(shell, 'No account is enabled. Name an account to work on it.');
    return 0;
  }
  const isQuiet = quiet === true || json === true;
  const progress = openProgress(shell, accounts.length, isQuiet);
  let failed = 0;
  const onResult = (result: Result): void => {
    if (!isGood(result)) failed += 1;
    progress.aside(() => printAttempt(shell, result, ask.purpose));
    const failures = failed === 0 ? '' : `${failed} failed, `;
    progress.advance(`${failures}last: ${result.account} ${outcomeWords[result.outcome]}`);
  };
  try {
    const { results, exitCode } = await withHeartbeat(heartbeat, accounts.length, () =>
      run(rotator, { accounts, ask, interrupt, onResult }),
    );
    progress.end();
    if (shell.stdout.isTTY && !isQuiet && results.length > 1) print(shell, summary(results));
    return exitCode;
  } finally {
    progress.end();
  }
}

function printAttempt(shell: Shell, result: Result, purpose: Ask['purpose']): void {
  if (shell.flags.json) print(shell, JSON.stringify(resultJson(result)));
  else if (shell.flags.quiet && isGood(result)) return;
  else if (!shell.stdout.isTTY) print(shell, plainLine(result));
  else for (const line of humanLines(shell, result, purpose)) print(shell, line);
}
