// Which protections this configuration leaves off, and what follows: for `check` on the command
// line and on AWS Lambda. The program works without them, so that only `check` can say it.

import type { Config } from './load.ts';

export type MissingProtection = {
  /** The key of the configuration that enables it. */
  readonly key: 'receipts' | 'audit.witnesses';
  readonly detail: string;
};

export function missingProtections({
  receipts,
  audit,
}: Pick<Config, 'receipts' | 'audit'>): MissingProtection[] {
  const missing: MissingProtection[] = [];
  if (receipts.recipients.length === 0)
    missing.push({
      key: 'receipts',
      detail:
        'No receipts are configured. If this process ends between the reset and the storage of ' +
        'its response, the new password is unrecoverable.',
    });
  if (audit.witnesses.length === 0)
    missing.push({
      key: 'audit.witnesses',
      detail:
        'No witness is configured. Whoever has the signing key can rewrite the audit log, and ' +
        'no other machine can prove it.',
    });
  return missing;
}
