// Which protections this configuration leaves off, and what follows: for `check` on the command
// line and on AWS Lambda. The program works without them, so that only `check` can say it.

import type { Config } from './load.ts';

/** By the key of the configuration that enables each one. */
const details = {
  receipts:
    'No receipts are configured. If this process ends between the reset and the storage of ' +
    'its response, the new password is unrecoverable.',
  'audit.witnesses':
    'No witness is configured. Whoever has the signing key can rewrite the audit log, and ' +
    'no other machine can prove it.',
};

export function missingProtections({ receipts, audit }: Pick<Config, 'receipts' | 'audit'>) {
  const keys: (keyof typeof details)[] = [];
  if (receipts.recipients.length === 0) keys.push('receipts');
  if (audit.witnesses.length === 0) keys.push('audit.witnesses');
  return keys.map((key) => ({ key, detail: details[key] }));
}
