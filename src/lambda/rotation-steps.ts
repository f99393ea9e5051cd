// Secrets Manager's own rotation: four steps with one ClientRequestToken, repeated as a whole, several times, when one throws. The
// server invents the password, so `setSecret` does the work and `finishSecret` finds it done. Throwing is how a step fails.

import type { Account } from '../app.ts';
import { suggestion, UsageError } from '../config/errors.ts';
import { failures } from '../rotation/failure.ts';
import { isGood } from '../rotation/result.ts';
import type { Result } from '../rotation/state.ts';
import type { AccountStatus } from '../rotation/status.ts';
import type { Invocation } from './runtime.ts';

/** AWS's pages show both spellings (2026-11). */
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

type Step = {
  readonly step: (typeof steps)[keyof typeof steps];
  readonly name: string;
  readonly secretId: string;
  readonly token: string;
};

/** A step that Secrets Manager is to count as failed. The message goes to the function's log and to nobody else. */
class StepFailed extends Error {
  constructor(step: string, account: string, why: string) {
    super(`${step} of ${account}: ${why}`);
    this.name = 'StepFailed';
  }
}

/** Resolves when the step is done; whatever was done before is left alone. Throws StepFailed, and a UsageError for what is no such event. */
export async function runStep(event: unknown, invocation: Invocation): Promise<void> {
  const asked = readStep(event);
  const account = accountFor(asked.secretId, invocation);
  const status = await invocation.rotator.status(account);
  invocation.log.info('step.started', {
    account: account.name,
    step: asked.name,
    rotationId: asked.token,
  });
  switch (asked.step) {
    case 'create':
      return checkStanding(asked, account, status);
    case 'set':
      return setPassword(asked, account, invocation);
    case 'test':
      return testPassword(asked, account, status, invocation);
    case 'finish':
      return finish(asked, account, status, invocation);
  }
}

function readStep(event: unknown): Step {
  const {
    Step: name,
    SecretId: secretId,
    ClientRequestToken: token,
  } = (event ?? {}) as Record<string, unknown>;
  if (typeof name !== 'string' || !Object.hasOwn(steps, name))
    throw new UsageError(`unknown Step; ${suggestion(String(name), Object.keys(steps))}`);
  if (typeof secretId !== 'string' || secretId === '') throw new UsageError('SecretId is missing');
  if (typeof token !== 'string' || !/^[0-9A-Za-z-]{32,64}$/.test(token))
    throw new UsageError('ClientRequestToken is missing, or no token');
  return { step: steps[name as keyof typeof steps], name, secretId, token };
}

/**
 * The account of a secret. By its ARN, which also names a secret of another AWS account; a name alone would be looked for in ours.
 * One that is not configured is an account all the same: somebody has made us its rotation function.
 */
function accountFor(secretId: string, { config }: Invocation): Account {
  const named =
    /^arn:[^:]*:secretsmanager:[^:]*:[^:]*:secret:(.+?)(?:-[A-Za-z0-9]{6})?$/.exec(secretId)?.[1] ??
    secretId;
  const configured = config.accounts.find(
    (account) => account.secretId === secretId || account.secretId === named,
  );
  return configured ? { ...configured, secretId } : { name: named, secretId, enabled: true };
}

/** Nothing is to be created, since the server will invent the password; but what would stop the next step stops here already. */
function checkStanding({ name, token }: Step, account: Account, status: AccountStatus): void {
  if (status.versionId === token) return;
  const { state, reason, detail, next } = status;
  if (state === 'settled' && (reason === undefined || reason === 'foreign-pending')) {
    if (reason === undefined || detail?.includes(token)) return;
  }
  // A new password that only needs to be made current is what the next step is for.
  if (state === 'changed') return;
  throw new StepFailed(name, account.name, told({ reason: reason ?? 'busy', detail, next }));
}

const told = ({
  reason,
  detail,
  next,
}: {
  reason: string;
  detail?: string | undefined;
  next: string;
}): string => `${reason}${detail === undefined ? '' : ` (${detail})`}. ${next}`;

function failed({ name }: Step, account: Account, result: Result): StepFailed {
  const reason = result.reason ?? 'busy';
  const { certainty } = failures[reason];
  return new StepFailed(
    name,
    account.name,
    told({ reason: `${certainty}: ${reason}`, detail: result.detail, next: result.next }),
  );
}

function attempt(
  { token }: Step,
  account: Account,
  { rotator, interrupt, metrics }: Invocation,
  purpose: 'rotate' | 'check' | 'recover',
): Promise<Result> {
  const ask = {
    purpose,
    force: purpose === 'rotate',
    native: { rotationId: token },
    trigger: { kind: 'native' },
  } as const;
  return rotator.attempt(account, ask, interrupt).then((result) => {
    metrics.recordResult(result);
    return result;
  });
}

/** Lines 1 to 7 of the protocol. A rotation that was left unfinished under another token is finished first, and does not count as this one. */
async function setPassword(asked: Step, account: Account, invocation: Invocation): Promise<void> {
  for (let tries = 0; tries < 2; tries += 1) {
    const result = await attempt(asked, account, invocation, 'rotate');
    if (!isGood(result)) {
      await sealed(invocation);
      throw failed(asked, account, result);
    }
    if (result.versionId === asked.token) return sealed(invocation);
  }
  await sealed(invocation);
  throw new StepFailed(
    asked.name,
    account.name,
    'an unfinished rotation was finished; the next try begins this one',
  );
}

/**
 * Line 8. On a version that is not current, and so is empty, only what can be seen without a login is checked: that is what Secrets
 * Manager asks for when rotation is switched on with RotateImmediately=false.
 */
async function testPassword(
  asked: Step,
  account: Account,
  status: AccountStatus,
  invocation: Invocation,
): Promise<void> {
  if (status.versionId !== asked.token) return checkStanding(asked, account, status);
  const result = await attempt(asked, account, invocation, 'check');
  await sealed(invocation);
  if (!isGood(result)) throw failed(asked, account, result);
}

async function finish(
  asked: Step,
  account: Account,
  status: AccountStatus,
  invocation: Invocation,
): Promise<void> {
  if (status.versionId === asked.token) return;
  if (status.state !== 'changed' || status.rotationId !== asked.token)
    throw new StepFailed(
      asked.name,
      account.name,
      'there is nothing to finish: no password has been set under this token. Rotate the secret again.',
    );
  const result = await attempt(asked, account, invocation, 'recover');
  await sealed(invocation);
  if (!isGood(result) || result.versionId !== asked.token) throw failed(asked, account, result);
}

/** Signs what the audit log says so far. That it could not be signed fails no step: the next run signs it. */
async function sealed({ rotator }: Invocation): Promise<void> {
  try {
    await rotator.audit.checkpoint();
  } catch (error) {
    rotator.observe({
      event: 'audit.failed',
      account: '*',
      detail: error instanceof Error ? error.message : 'unknown',
    });
  }
}
