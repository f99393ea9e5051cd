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

const kinds = ['create', 'set', 'test', 'finish'] as const;

/** The pages of AWS use both spellings (2026-11). */
const spellings = kinds.flatMap((kind) =>
  [`${kind}Secret`, `${kind}_secret`].map((name) => ({ kind, name })),
);

type Step = (typeof spellings)[number] & { readonly secretId: string; readonly token: string };

/** A step, its account with the status before it, and the invocation that performs it. */
type StepCall = {
  readonly step: Step;
  readonly account: Account;
  readonly status: AccountStatus;
  readonly invocation: Invocation;
};

/**
 * A step that Secrets Manager must count as failed. The message goes to the log of the function
 * only.
 */
class StepFailed extends Error {
  constructor({ step, account }: StepCall, why: string) {
    super(`${step.name} of ${account.name}: ${why}`);
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
  const { name, token: rotationId } = step;
  invocation.log.info('step.started', { account: account.name, step: name, rotationId });
  const perform = {
    create: checkStatus,
    set: setPassword,
    test: testPassword,
    finish: finishRotation,
  }[step.kind];
  await perform({ step, account, status, invocation });
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
  const spelling = spellings.find(({ name }) => name === Step);
  if (spelling) return { ...spelling, secretId, token };
  const names = spellings.map(({ name }) => name);
  throw new UsageError(`Unknown Step. ${suggestion(String(Step), names)}`);
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
function checkStatus(call: StepCall): void {
  const { token } = call.step;
  const { versionId, reason, facts } = call.status;
  if (versionId === token) return;
  // A version of this token that has a value already cannot take the new password.
  if (facts?.pendingVersionId === token && reason === 'foreign-pending')
    throw new StepFailed(call, describe('token-used', { facts }));
  // A new password that is known and not complete yet: the next step does that.
  if (isHealthy(call.status) || completable.some((known) => known === reason)) return;
  throw new StepFailed(call, describe(reason ?? 'busy', call.status));
}

const isHealthy = ({ state, reason }: AccountStatus): boolean =>
  state === 'settled' && reason === undefined;

/** The reason, the detail, and what to do. */
function describe(reason: Reason, { detail, facts }: Pick<Result, 'detail' | 'facts'>): string {
  const { title, steps } = explain(reason, facts);
  return [
    `${reason} (${detail ?? title}).`,
    ...steps.map(({ text, command }) => (command ? `${text}: ${command}` : `${text}.`)),
  ].join(' ');
}

/** One attempt for this token, and a checkpoint of the audit log after it. Throws StepFailed. */
async function attempt(
  call: StepCall,
  purpose: 'rotate' | 'check' | 'recover',
  isDone: (result: Result) => boolean = () => true,
): Promise<Result> {
  const { step, account, invocation } = call;
  const { rotator, interrupt } = invocation;
  const ask = {
    purpose,
    force: purpose === 'rotate',
    native: { rotationId: step.token },
    trigger: { kind: 'native' },
  } as const;
  const result = await rotator.attempt(account, ask, interrupt);
  recordResultOf(invocation, [account])(result);
  await recorded(invocation, (audit) => audit.checkpoint());
  if (isGood(result) && isDone(result)) return result;
  const reason = result.reason ?? 'busy';
  throw new StepFailed(call, `${failures[reason].certainty}: ${describe(reason, result)}`);
}

/**
 * Lines 1 to 7 of the protocol. An unfinished rotation of another token is completed first, and is
 * not the rotation of this token.
 */
async function setPassword(call: StepCall): Promise<void> {
  for (let tries = 0; tries < 2; tries += 1)
    if ((await attempt(call, 'rotate')).versionId === call.step.token) return;
  throw new StepFailed(
    call,
    'An unfinished rotation was completed. The next attempt starts this rotation.',
  );
}

/**
 * Line 8. While the version of the token is not current, it is empty, and only the status is
 * checked. Secrets Manager asks for this when rotation is enabled with RotateImmediately=false.
 */
async function testPassword(call: StepCall): Promise<void> {
  if (call.status.versionId === call.step.token) await attempt(call, 'check');
  else checkStatus(call);
}

async function finishRotation(call: StepCall): Promise<void> {
  const { status } = call;
  const { token } = call.step;
  if (isHealthy(status) && status.versionId === token) return;
  if (status.versionId !== token && status.rotationId !== token)
    throw new StepFailed(
      call,
      'There is nothing to finish: no password was set for this token. Rotate the secret again.',
    );
  await attempt(call, 'recover', ({ versionId }) => versionId === token);
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
