// The words of the report: buckets, verdict, controls, and what it does not show. Made in one place, so that HTML, CSV and JSON say
// the same. Claims no certification.

import { dayMs, isoDay } from '../time.ts';
import type { Bucket } from './account.ts';
import type { Report } from './build.ts';
import type { ExceptionKind } from './exceptions.ts';

/** Age in days with one decimal, rounded up, so that what is over a limit also reads as over it. */
export const daysOf = (ms: number): string => (Math.ceil((ms * 10) / dayMs) / 10).toFixed(1);

export function bucketText(
  bucket: Bucket,
  { maxAgeDays, rotateAfterDays }: Report['policy'],
): { readonly title: string; readonly says: string } {
  switch (bucket) {
    case 'inside':
      return { title: 'Inside', says: `up to ${rotateAfterDays} days` };
    case 'soon':
      return { title: 'Due soon', says: `over ${rotateAfterDays}, up to ${maxAgeDays} days` };
    case 'outside':
      return { title: 'Outside', says: `over ${maxAgeDays} days` };
    case 'never':
      return { title: 'Never rotated', says: 'no change and no date known' };
    case 'unknown':
      return { title: 'Unknown', says: 'the last outcome is not known' };
    case 'exempt':
      return { title: 'Exempt', says: 'by a person’s decision' };
  }
}

export const exceptionTitles: Readonly<Record<ExceptionKind, string>> = {
  integrity: 'Integrity of the log',
  'unknown-outcome': 'Outcome unknown',
  'open-intent': 'Intent without outcome',
  'over-age': 'Beyond the policy’s age',
  stop: 'Stopped, waiting for a person',
  'outside-change': 'Changed outside the product',
  failures: 'Failed rotations',
  sink: 'Audit log could not be written',
};

/** *N of M accounts inside 90 days on DATE; K outside; U unknown.* */
export function verdictText({ verdict, policy, endMs }: Report): string {
  const { accounts, inside, outside, unknown, exempt } = verdict;
  if (accounts === 0) return `No accounts on ${isoDay(endMs - 1)}.`;
  const head = `${inside} of ${accounts} ${accounts === 1 ? 'account' : 'accounts'} inside ${policy.maxAgeDays} days on ${isoDay(endMs - 1)}`;
  return `${head}; ${outside} outside; ${unknown} unknown${exempt > 0 ? `; ${exempt} exempt` : ''}.`;
}

/** Whether the log is intact, in a sentence. */
export function integrityText({ integrity }: Report): string {
  switch (integrity.state) {
    case 'intact':
      return 'The log is intact: every record is covered by a signed checkpoint.';
    case 'incomplete':
      return 'No record was altered, but something is missing; see Integrity.';
    case 'altered':
      return 'The log was altered. This report cannot be relied upon; see Integrity.';
  }
}

export type Control = { readonly id: string; readonly shows: string; readonly lacks: string };

/** What the report has evidence for, and what it has not. */
export const controls: readonly {
  readonly standard: string;
  readonly controls: readonly Control[];
}[] = [
  {
    standard: 'PCI DSS 4.0.1',
    controls: [
      {
        id: '8.6.3',
        shows:
          'how often each application or system account’s password was changed, and its greatest age',
        lacks: 'the risk analysis (12.3.1) that sets the frequency; password complexity',
      },
      {
        id: '8.3.9',
        shows: 'ages against 90 days',
        lacks: 'it is about people’s passwords as the only factor; named for comparison',
      },
      {
        id: '10.2.1.5',
        shows: 'changes of authentication credentials, and who made them',
        lacks: 'creation of accounts and changes of privilege at Verizon',
      },
      {
        id: '10.2.2',
        shows: 'user, type, time, result, origin and affected account of every event',
        lacks: '—',
      },
      {
        id: '10.3.2–10.3.4',
        shows: 'protection against alteration: signed Merkle tree, checkpoints kept elsewhere',
        lacks: 'the access rights of the machine or bucket that holds the log',
      },
      {
        id: '10.5.1',
        shows: 'first and last record of the period, without a gap',
        lacks: 'that records are kept twelve months: a retention setting',
      },
    ],
  },
  {
    standard: 'NIST SP 800-53 rev. 5',
    controls: [
      {
        id: 'IA-5',
        shows: 'refreshing of authenticators at the set interval, and upon doubt',
        lacks: 'issue and revocation of accounts',
      },
      {
        id: 'AU-2, AU-3, AU-12',
        shows: 'the events recorded and their content',
        lacks: 'events of Verizon’s systems',
      },
      {
        id: 'AU-8',
        shows: 'UTC time stamps, their order checked',
        lacks: 'that the machine’s clock was right',
      },
      {
        id: 'AU-9, AU-10',
        shows: 'protection by signature and tree; non-repudiation by the log’s key',
        lacks: 'who else could use the key',
      },
      { id: 'AU-11', shows: 'what is there', lacks: 'the retention period' },
    ],
  },
  {
    standard: 'SOC 2 (2017 criteria)',
    controls: [
      {
        id: 'CC6.1',
        shows: 'credentials of infrastructure accounts are managed and changed',
        lacks: 'access to the secrets themselves',
      },
      {
        id: 'CC7.1, CC7.2',
        shows: 'failures, stops and changes outside the product are detected and recorded',
        lacks: 'who was told, and when they acted',
      },
    ],
  },
  {
    standard: 'ISO/IEC 27001:2022, Annex A',
    controls: [
      {
        id: 'A.5.17',
        shows: 'management of authentication information',
        lacks: 'allocation to people',
      },
      {
        id: 'A.5.33, A.8.15',
        shows: 'protection of records; logging',
        lacks: 'review by the organisation',
      },
    ],
  },
];

export const basisText =
  'The basis of the limit is Verizon’s recommendation to change UWS passwords every 90 days, and the organisation’s own risk analysis as PCI DSS 8.6.3 asks for. PCI DSS sets no 90 days for machine accounts. This report is evidence; it certifies nothing.';

/** What no log of this kind can show. */
export const limitsText: readonly string[] = [
  'That an event was recorded truthfully in the first place: the log shows that nothing was changed afterwards.',
  'Anything written after the last checkpoint that left the machine: whoever holds the machine and its key could write that part anew.',
  'Changes of a password at Verizon that were never put into the secret store: they show at the next login.',
  'AWS Config, Security Hub and Prowler read LastRotatedDate of Secrets Manager, which stays empty when a password is written with PutSecretValue. Where they disagree with this report, that is why; AWS’s native rotation mode fills it.',
];
