// secret put and secret get, for the file store only. A value is read from standard input, never
// from an argument, and it is printed only with --reveal.

import { openClock } from '../clock.ts';
import { UsageError } from '../config/errors.ts';
import { parseFreeText } from '../order.ts';
import { ownCommand } from '../rotation/catalogue.ts';
import { Failure } from '../rotation/failure.ts';
import { Secret } from '../secret.ts';
import type { FileStore } from '../stores/file-store.ts';
import { defaultFields, readFields } from '../stores/secret-document.ts';
import { parseWhen } from '../time.ts';
import { findAccount, type Session, withSession } from './context.ts';
import { print, printResult, readStdin, type Shell, tell } from './terminal.ts';

export async function secretPut(
  shell: Shell,
  flags: { reason?: string; changedAt: string },
  name: string,
): Promise<void> {
  const passwordSinceMs = parseChangedAt(flags.changedAt);
  const reason = flags.reason === undefined ? undefined : parseFreeText('--reason', flags.reason);
  return withSession(shell, async (session) => {
    const { rotator } = session;
    const files = needFiles(session);
    const account = await findAccount(rotator, name);
    const { secretId, oauthSecretId } = account;
    if (shell.stdin.isTTY)
      tell(
        shell,
        'Type the JSON object {"username","password","clientId","clientSecret"}, then Ctrl-D.',
      );
    const value = new Secret((await readStdin(shell)).trim());
    const fields = { ...defaultFields, ...account.fields };
    const oauth = oauthSecretId === undefined ? [fields.clientId, fields.clientSecret] : [];
    readFields(value, [fields.username, fields.password, ...oauth], 'standard input');

    const before = await rotator.status(account);
    if (before.state === 'busy' || before.reason === 'in-flight')
      throw new Failure('busy', 'A rotation is in progress, and a new value would be a conflict', {
        ...before.facts,
      });
    const event = {
      code: 'secret.changed',
      account: name,
      secretId,
      detail: 'stored by hand, outside a rotation',
      versionBefore: before.versionId,
      passwordSinceMs,
      trigger: session.trigger('manual', { reason }),
    } as const;
    // As with a reset: nothing is changed without a durable audit record.
    await rotator.audit.append([{ ...event, status: 'started' }]);
    const versionId = await files.putCurrent(secretId, value);
    await rotator.audit.append([{ ...event, status: 'success', versionAfter: versionId }]);
    await rotator.audit.checkpoint();

    const resumed = before.state === 'stopped' ? ' Automatic rotation is resumed.' : '';
    const text = `${name}: stored as the current version ${versionId}.${resumed}`;
    printResult(shell, { account: name, versionId }, text);
    const { json, quiet, config } = shell.flags;
    if (shell.stderr.isTTY && !json && !quiet)
      tell(shell, `Next: ${ownCommand({ config }, 'check', name)}`);
  });
}

/** When the password was last changed; undefined when it is not known. Throws a UsageError. */
function parseChangedAt(text: string): number | undefined {
  if (text === 'unknown') return undefined;
  const nowMs = openClock().nowMs();
  const ms = parseWhen(text, nowMs);
  if (ms !== null && ms <= nowMs) return ms;
  throw new UsageError('--changed-at takes a date that is over, such as 2026-09-30, or unknown.');
}

export async function secretGet(
  shell: Shell,
  flags: { reveal?: boolean; stage?: string },
  name: string,
): Promise<void> {
  // biome-ignore lint/nursery/noJsRestrictedProperties: the flag of this name, not a Secret
  if (!flags.reveal)
    throw new UsageError('secret get prints the password in plain text. Add --reveal to confirm.');
  const show = async (session: Session): Promise<void> => {
    const files = needFiles(session);
    const { name: account, secretId } = await findAccount(session.rotator, name);
    const facts = { account, secretId, store: 'file' } as const;
    const { stage = 'AWSCURRENT' } = flags;
    const version = await files.versions(secretId).read({ stage });
    if (!version)
      throw new Failure('secret-not-found', `Secret ${secretId} has no version ${stage}`, facts);
    if (version.value === 'binary')
      throw new Failure('secret-invalid', `The value of secret ${secretId} is binary`, facts);
    // biome-ignore lint/nursery/noJsRestrictedProperties: only this command prints a value
    print(shell, version.value.reveal().replace(/\n$/, ''));
  };
  return withSession(shell, show, 'read');
}

function needFiles({ rotator }: Session): FileStore {
  if (rotator.files) return rotator.files;
  throw new UsageError(
    'The store is AWS Secrets Manager. Use `aws secretsmanager put-secret-value` or ' +
      '`get-secret-value`.',
  );
}
