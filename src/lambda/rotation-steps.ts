// Rotation by Secrets Manager: four steps with one ClientRequestToken; when a step throws, Secrets
// Manager repeats all of them several times. ThingSpace chooses the password, so `setSecret` does
// the complete rotation, and `finishSecret` only checks that it is done.

import * as z from 'zod';
import type { Account } from '../app.ts';
import { recordNativeAccount } from '../audit/facts.ts';
import type { AuditWriter } from '../audit/log.ts';
import { suggestion, UsageError } from '../config/errors.ts';
import { secretName } from '../config/load.ts';
import { explain } from '../rotation/catalogue.ts';
import { Failure, failures, type Reason } from '../rotation/failure.ts';
import { isGood } from '../rotation/result.ts';
import type { Result } from '../rotation/state.ts';
import type { AccountStatus } from '../rotation/status.ts';
import { recordResultOf } from './record-result.ts';
import type { Invocation } from './runtime.ts';

/** The pages of AWS use both spellings (2026-11). */
const steps = {
  createSecret: 'create',
  create_secret: 'create',
  setSecret: 'set',
  set_secret: 'set',
  testSecret: 'test',
  test_secret: 'test',
  finishSecret: 'finish',
  finish_secret: 'finish',
} as const;

const stepNames = Object.keys(steps) as (keyof typeof steps)[];

type Step = {
  readonly name: keyof typeof steps;
  readonly secretId: string;
  readonly token: string;
};

/**
 * A step that Secrets Manager must count as failed. The message goes to the log of the function
 * only.
 */
class StepFailed extends Error {
  constructor({ name }: Step, account: Account, why: string) {
    super(`${name} of ${account.name}: ${why}`);
    this.name = 'StepFailed';
  }
}

/**
 * Resolves when the step is done, now or earlier. Throws StepFailed; a UsageError for an invalid
 * event.
 */
export async function runStep(event: unknown, invocation: Invocation): Promise<void> {
  const step = readStep(event);
  const account = accountOf(step, invocation);
  await recorded(invocation, async (audit) => {
    if (await recordNativeAccount(audit, account)) await audit.checkpoint();
  });
  const status = await invocation.rotator.status(account);
  invocation.log.info('step.started', {
    account: account.name,
    step: step.name,
    rotationId: step.token,
  });
  switch (steps[step.name]) {
    case 'create':
      return checkStatus(step, account, status);
    case 'set':
      return setPassword(step, account, invocation);
    case 'test':
      return testPassword(step, account, status, invocation);
    case 'finish':
      return finish(step, account, status, invocation);
  }
}

const eventSchema = z.object({
  Step: z.unknown(),
  SecretId: z.string().min(1),
  ClientRequestToken: z.string().regex(/^[0-9A-Za-z-]{32,64}$/),
});

function readStep(event: unknown): Step {
  const parsed = eventSchema.safeParse(event);
  if (!parsed.success) {
    const keys = new Set(parsed.error.issues.map(({ path }) => path[0] ?? 'event'));
    throw new UsageError([...keys].map((key) => `${String(key)} is missing or invalid.`));
  }
  const { Step, SecretId: secretId, ClientRequestToken: token } = parsed.data;
  const name = stepNames.find((known) => known === Step);
  if (name === undefined)
    throw new UsageError(`Unknown Step. ${suggestion(String(Step), stepNames)}`);
  return { name, secretId, token };
}

/**
 * The account of a secret, read by its ARN, which can also name a secret of another AWS account. A
 * secret that is not configured is an account, too: its rotation configuration names this function.
 */
function accountOf({ secretId }: Step, { config }: Invocation): Account {
  const name = secretName(secretId);
  const configured = config.accounts.find(
    (account) => account.secretId === secretId || account.secretId === name,
  );
  return configured ? { ...configured, secretId } : { name, secretId, enabled: true };
}

/** What `setSecret` completes without a reset. */
const completable: readonly Reason[] = ['not-stored', 'not-promoted', 'verify-unavailable'];

/** `createSecret` has nothing to create; it fails where `setSecret` would fail. */
function checkStatus(step: Step, account: Account, status: AccountStatus): void {
  const { versionId, state, reason, facts } = status;
  if (versionId === step.token) return;
  // A version of this token that has a value already cannot take the new password.
  if (facts?.pendingVersionId === step.token && reason === 'foreign-pending')
    throw new StepFailed(step, account, describe('token-used', { facts }));
  const isHealthy = state === 'settled' && reason === undefined;
  // A new password that is known and not complete yet: the next step does that.
  if (isHealthy || completable.some((known) => known === reason)) return;
  throw new StepFailed(step, account, describe(reason ?? 'busy', status));
}

/** The reason, the detail, and what to do. */
function describe(reason: Reason, { detail, facts }: Pick<Result, 'detail' | 'facts'>): string {
  const { title, steps: fixes } = explain(reason, facts);
  const what = `${reason} (${detail ?? title})`;
  return [
    `${what}.`,
    ...fixes.map(({ text, command }) => (command ? `${text}: ${command}` : `${text}.`)),
  ].join(' ');
}

function failureOf(step: Step, account: Account, result: Result): StepFailed {
  const reason = result.reason ?? 'busy';
  const { certainty } = failures[reason];
  return new StepFailed(step, account, `${certainty}: ${describe(reason, result)}`);
}

/** One attempt for this token, and a checkpoint of the audit log after it. */
async function attempt(
  { token }: Step,
  account: Account,
  invocation: Invocation,
  purpose: 'rotate' | 'check' | 'recover',
): Promise<Result> {
  const { rotator, interrupt } = invocation;
  const ask = {
    purpose,
    force: purpose === 'rotate',
    native: { rotationId: token },
    trigger: { kind: 'native' },
  } as const;
  const result = await rotator.attempt(account, ask, interrupt);
  recordResultOf(invocation, [account])(result);
  await recorded(invocation, (audit) => audit.checkpoint());
  return result;
}

/**
 * Lines 1 to 7 of the protocol. An unfinished rotation of another token is completed first, and is
 * not the rotation of this token.
 */
async function setPassword(step: Step, account: Account, invocation: Invocation): Promise<void> {
  for (let tries = 0; tries < 2; tries += 1) {
    const result = await attempt(step, account, invocation, 'rotate');
    if (!isGood(result)) throw failureOf(step, account, result);
    if (result.versionId === step.token) return;
  }
  throw new StepFailed(
    step,
    account,
    'An unfinished rotation was completed. The next attempt starts this rotation.',
  );
}

/**
 * Line 8. While the version of the token is not current, it is empty, and only the status is
 * checked. Secrets Manager asks for this when rotation is enabled with RotateImmediately=false.
 */
async function testPassword(
  step: Step,
  account: Account,
  status: AccountStatus,
  invocation: Invocation,
): Promise<void> {
  if (status.versionId !== step.token) return checkStatus(step, account, status);
  const result = await attempt(step, account, invocation, 'check');
  if (!isGood(result)) throw failureOf(step, account, result);
}

async function finish(
  step: Step,
  account: Account,
  status: AccountStatus,
  invocation: Invocation,
): Promise<void> {
  const isClosed = status.state === 'settled' && status.reason === undefined;
  if (isClosed && status.versionId === step.token) return;
  if (status.versionId !== step.token && status.rotationId !== step.token)
    throw new StepFailed(
      step,
      account,
      'There is nothing to finish: no password was set for this token. Rotate the secret again.',
    );
  const result = await attempt(step, account, invocation, 'recover');
  if (!isGood(result) || result.versionId !== step.token) throw failureOf(step, account, result);
}

/** Writes what fails no step: the next run signs all records. */
async function recorded(
  { rotator }: Invocation,
  write: (audit: AuditWriter) => Promise<unknown>,
): Promise<void> {
  try {
    await write(rotator.audit);
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    rotator.observe({ event: 'audit.failed', account: '*', detail: error.message });
  }
}
