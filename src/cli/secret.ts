// secret put and get, for the file store only. A value comes from standard input, never from an argument, and is
// printed only when that is asked for by name.

import { UsageError } from '../config/errors.ts';
import { Failure } from '../rotation/failure.ts';
import { Secret } from '../secret.ts';
import type { FileStore } from '../stores/file-store.ts';
import { defaultFields, readFields } from '../stores/secret-document.ts';
import { type Session, selectAccounts, withSession } from './context.ts';
import { boundedText, type CommonFlags, print, readStdin, type Shell, tell } from './terminal.ts';

export async function secretPut(
  shell: Shell,
  name: string,
  flags: CommonFlags & { reason?: string },
): Promise<number> {
  const reason = flags.reason === undefined ? undefined : boundedText('--reason', flags.reason);
  return withSession(shell, flags, async (session) => {
    const { rotator } = session;
    const files = needFiles(session);
    const account = (await selectAccounts(rotator, [name]))[0];
    if (!account) throw new UsageError(`unknown account ${name}`);
    if (shell.stdin.isTTY)
      tell(
        shell,
        'Type the JSON object, {"username","password","clientId","clientSecret"}, and end with Ctrl-D.',
      );
    const value = new Secret((await readStdin(shell)).trim());
    const fields = { ...defaultFields, ...account.fields };
    const oauth = account.oauthSecretId === undefined ? [fields.clientId, fields.clientSecret] : [];
    readFields(value, [fields.username, fields.password, ...oauth], 'standard input');

    const before = await rotator.status(account);
    if (before.state === 'busy' || before.reason === 'in-flight')
      throw new Failure('busy', 'an attempt is under way; putting a value now would be a conflict');
    const event = {
      code: 'secret.changed',
      account: account.name,
      secretId: account.secretId,
      detail: 'put by hand, outside a rotation',
      ...(before.versionId === undefined ? {} : { versionBefore: before.versionId }),
      trigger: session.trigger('manual', { reason }),
    } as const;
    // As with a reset: without an audit record before it nothing is changed.
    await rotator.audit.append([{ ...event, status: 'started' }]);
    const versionAfter = await files.putCurrent(account.secretId, value);
    await rotator.audit.append([{ ...event, status: 'success', versionAfter }]);
    await rotator.audit.checkpoint();

    if (flags.json)
      print(shell, JSON.stringify({ account: account.name, versionId: versionAfter }));
    else if (!flags.quiet) {
      const lifted = before.state === 'stopped' ? ' The stop is lifted.' : '';
      print(shell, `${account.name}: stored as version ${versionAfter}, AWSCURRENT.${lifted}`);
      if (shell.stderr.isTTY) tell(shell, `next: ${shell.program} check ${account.name}`);
    }
    return 0;
  });
}

export async function secretGet(
  shell: Shell,
  name: string,
  flags: CommonFlags & { reveal?: boolean },
): Promise<number> {
  // biome-ignore lint/nursery/noJsRestrictedProperties: the flag of this name, not a Secret
  if (!flags.reveal)
    throw new UsageError('secret get prints the password in clear: say so with --reveal');
  return withSession(shell, flags, async (session) => {
    const files = needFiles(session);
    const account = (await selectAccounts(session.rotator, [name]))[0];
    const version =
      account && (await files.versions(account.secretId).read({ stage: 'AWSCURRENT' }));
    if (!account || !version)
      throw new Failure(
        'secret-not-found',
        `secret ${account?.secretId ?? name} does not exist in the file store`,
      );
    if (version.value === 'binary')
      throw new Failure('secret-invalid', `the value of secret ${account.secretId} is binary`);
    // biome-ignore lint/nursery/noJsRestrictedProperties: the one command that prints a value, and only with --reveal
    print(shell, version.value.reveal().replace(/\n$/, ''));
    return 0;
  });
}

function needFiles({ rotator }: Session): FileStore {
  if (rotator.files) return rotator.files;
  throw new UsageError(
    'the store is Secrets Manager; use the AWS CLI: aws secretsmanager put-secret-value | get-secret-value',
  );
}
