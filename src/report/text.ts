// The words of the report, in one place, so that the page, the CSV file and the JSON file say the
// same. The report is evidence, and claims no certification.

import type { Limits } from '../audit/facts.ts';
import { counted } from '../text.ts';
import { dayMs, isoDay } from '../time.ts';
import type { Bucket } from './account.ts';
import type { Report } from './build.ts';
import type { ExceptionKind } from './exceptions.ts';

/**
 * Age in days with one decimal, rounded up, so that an age over a limit is also shown as over it.
 */
export const daysOf = (ms: number): string => (Math.ceil((ms * 10) / dayMs) / 10).toFixed(1);

export function bucketText(
  bucket: Bucket,
  { maxAgeDays, rotateAfterDays }: Limits,
): { readonly title: string; readonly says: string } {
  switch (bucket) {
    case 'inside':
      return { title: 'Compliant', says: `up to ${rotateAfterDays} days` };
    case 'soon':
      return { title: 'Due soon', says: `over ${rotateAfterDays}, up to ${maxAgeDays} days` };
    case 'outside':
      return { title: 'Overdue', says: `over ${maxAgeDays} days` };
    case 'never':
      return { title: 'Never rotated', says: 'no change and no date is known' };
    case 'unknown':
      return { title: 'Unknown', says: 'the password or its age is not known' };
    case 'exempt':
      return { title: 'Exempt', says: 'by a recorded decision' };
    case 'removed':
      return { title: 'Removed', says: 'before the end of the period' };
  }
}

export const exceptionTitles: Readonly<Record<ExceptionKind, string>> = {
  integrity: 'Integrity of the log',
  'unknown-outcome': 'Unknown outcome',
  'open-intent': 'Unfinished rotation',
  'over-age': 'Password older than the policy allows',
  'unknown-age': 'Age of the password not known',
  stop: 'Automatic rotation suspended',
  'outside-change': 'Password changed outside the product',
  failures: 'Failed attempts',
  sink: 'Audit storage not writable',
};

/** How many accounts were compliant at the end of the period. */
export function verdictText({ verdict, endMs }: Report): string {
  const { accounts, inside, outside, unknown, exempt } = verdict;
  const day = isoDay(endMs - 1);
  if (accounts === 0) return `There were no accounts on ${day}.`;
  const others = [`${outside} overdue`, `${unknown} unknown`];
  if (exempt > 0) others.push(`${exempt} exempt`);
  const all = `${inside} of ${counted(accounts, 'account')}`;
  return `${all} were compliant on ${day}; ${others.join('; ')}.`;
}

/** How many accounts were compliant on each of their days. */
export function periodText({ period }: Report): string {
  const { accounts, compliant, overdue, unknown, exempt } = period;
  if (accounts === 0) return 'There were no accounts in the period.';
  const others = [`${overdue} overdue on at least one day`, `${unknown} unknown`];
  if (exempt > 0) others.push(`${exempt} exempt`);
  const all = `${compliant} of ${counted(accounts, 'account')}`;
  return `${all} were compliant on every day of the period; ${others.join('; ')}.`;
}

/** Whether the log is intact, in a sentence. */
export function integrityText({ integrity }: Report): string {
  switch (integrity.state) {
    case 'intact':
      return 'The log is intact: a signed checkpoint covers every record.';
    case 'incomplete':
      return 'No record was altered, but something is missing; see Integrity.';
    case 'altered':
      return 'The log was altered. This report cannot be relied upon; see Integrity.';
  }
}

export type Control = { readonly id: string; readonly shows: string; readonly lacks: string };

const control = (id: string, shows: string, lacks: string): Control => ({ id, shows, lacks });

/** What the report has evidence for, and what it has not. */
export const controls: readonly {
  readonly standard: string;
  readonly controls: readonly Control[];
}[] = [
  {
    standard: 'PCI DSS 4.0.1',
    controls: [
      control(
        '8.6.3',
        'how often the password of each account was changed, and its largest age',
        'the risk analysis (12.3.1) that sets the frequency; password complexity',
      ),
      control(
        '8.3.9',
        'ages compared with 90 days',
        'it concerns passwords of people as the only factor; listed for comparison',
      ),
      control(
        '10.2.1.5',
        'changes of authentication credentials, and who made them',
        'creation of accounts and changes of privileges at Verizon',
      ),
      control(
        '10.2.2',
        'user, type, time, result, origin and affected account of every event',
        '—',
      ),
      control(
        '10.3.2–10.3.4',
        'protection against alteration: signed Merkle tree, checkpoints kept elsewhere',
        'the access rights of the machine or bucket that holds the log',
      ),
      control(
        '10.5.1',
        'first and last record of the period, without a gap',
        'that records are kept for twelve months: a retention setting',
      ),
    ],
  },
  {
    standard: 'NIST SP 800-53 rev. 5',
    controls: [
      control(
        'IA-5',
        'authenticators changed at the set interval, and in case of doubt',
        'issue and revocation of accounts',
      ),
      control(
        'AU-2, AU-3, AU-12',
        'the events recorded and their content',
        'events of the systems of Verizon',
      ),
      control(
        'AU-8',
        'UTC time stamps, and their order',
        'that the clock of the machine was correct',
      ),
      control(
        'AU-9, AU-10',
        'protection by signature and tree; non-repudiation by the key of the log',
        'who else could use the key',
      ),
      control('AU-11', 'which records exist', 'the retention period'),
    ],
  },
  {
    standard: 'SOC 2 (2017 criteria)',
    controls: [
      control(
        'CC6.1',
        'credentials of infrastructure accounts are managed and changed',
        'access to the secrets',
      ),
      control(
        'CC7.1, CC7.2',
        'failures, suspensions and outside changes are detected and recorded',
        'who was notified, and when they acted',
      ),
    ],
  },
  {
    standard: 'ISO/IEC 27001:2022, Annex A',
    controls: [
      control('A.5.17', 'management of authentication information', 'allocation to people'),
      control('A.5.33, A.8.15', 'protection of records; logging', 'review by the organisation'),
    ],
  },
];

export const basisText = [
  'Verizon recommends that UWS passwords are changed every 90 days.',
  'PCI DSS 8.6.3 requires a risk analysis, and sets no 90 days for machine accounts.',
  'The limit follows from both. This report is evidence; it certifies nothing.',
].join(' ');

/** What no log of this kind can show. */
export const limitsText: readonly string[] = [
  'That an event was recorded truthfully: the log shows that no record was changed afterwards.',
  [
    'Records after the last checkpoint that was kept on another machine:',
    'who controls the machine and its key can write them again.',
  ].join(' '),
  [
    'A password that was changed at Verizon and never stored in the secret store:',
    'the next login shows it.',
  ].join(' '),
  [
    'AWS Config, Security Hub and Prowler read LastRotatedDate of Secrets Manager.',
    'It stays empty when a password is written with PutSecretValue.',
    'They can report an account as overdue that is not. The native rotation of AWS sets it.',
  ].join(' '),
];
