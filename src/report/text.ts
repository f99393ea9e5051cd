// The words of the report, in one place, so that the page, the CSV file and the JSON file say the
// same. The report is evidence, and claims no certification.

import type { Limits } from '../audit/facts.ts';
import type { Tone } from '../html/page.tsx';
import { counted } from '../text.ts';
import { dayMs, isoDay } from '../time.ts';
import type { Bucket } from './account.ts';
import type { Report } from './build.ts';

/** Age in days, rounded up to one decimal, so that an age over a limit is shown as over it. */
export const daysOf = (ms: number): string => (Math.ceil((ms * 10) / dayMs) / 10).toFixed(1);

/** OCSF 1.5.0, compliance.status_id. Warning: information is missing. */
export const statusIds = { Pass: 1, Warning: 2, Fail: 3, Other: 99 } as const;

type BucketFacts = {
  readonly title: string;
  /** Its name in report.csv, which is an interface. */
  readonly standing: string;
  readonly tone: Tone;
  /** The accounts of bucket 0 are listed first. */
  readonly order: number;
  /** Status and severity of a finding (OCSF). */
  readonly ocsf: readonly [status: keyof typeof statusIds, severity: number];
};

export const bucketFacts: Readonly<Record<Bucket, BucketFacts>> = {
  inside: { title: 'Compliant', standing: 'Inside', tone: 'good', order: 4, ocsf: ['Pass', 1] },
  soon: { title: 'Due soon', standing: 'Due soon', tone: 'warn', order: 3, ocsf: ['Pass', 2] },
  outside: { title: 'Overdue', standing: 'Outside', tone: 'bad', order: 1, ocsf: ['Fail', 4] },
  never: {
    title: 'Never rotated',
    standing: 'Never rotated',
    tone: 'doubt',
    order: 2,
    ocsf: ['Warning', 3],
  },
  unknown: { title: 'Unknown', standing: 'Unknown', tone: 'doubt', order: 0, ocsf: ['Warning', 5] },
  exempt: { title: 'Exempt', standing: 'Exempt', tone: 'plain', order: 5, ocsf: ['Warning', 2] },
  removed: { title: 'Removed', standing: 'Removed', tone: 'plain', order: 6, ocsf: ['Other', 1] },
};

/** Which accounts are in a bucket. */
export const bucketMeaning = (bucket: Bucket, { maxAgeDays, rotateAfterDays }: Limits): string =>
  ({
    inside: `up to ${rotateAfterDays} days`,
    soon: `over ${rotateAfterDays}, up to ${maxAgeDays} days`,
    outside: `over ${maxAgeDays} days`,
    never: 'no change and no date is known',
    unknown: 'the password or its age is not known',
    exempt: 'by a recorded decision',
    removed: 'before the end of the period',
  })[bucket];

/** How many accounts were compliant at the end of the period. */
export function verdictText({ verdict, endMs }: Report): string {
  const { accounts, inside, outside, unknown, exempt } = verdict;
  const day = isoDay(endMs - 1);
  if (accounts === 0) return `There were no accounts on ${day}.`;
  const others = `${outside} overdue; ${unknown} unknown${exempt > 0 ? `; ${exempt} exempt` : ''}`;
  return `${inside} of ${counted(accounts, 'account')} were compliant on ${day}; ${others}.`;
}

/** How many accounts were compliant on each of their days. */
export function periodText({ period }: Report): string {
  const { accounts, compliant, overdue, unknown, exempt } = period;
  if (accounts === 0) return 'There were no accounts in the period.';
  return (
    `${compliant} of ${counted(accounts, 'account')} were compliant on every day of the period; ` +
    `${overdue} overdue on at least one day; ${unknown} unknown` +
    `${exempt > 0 ? `; ${exempt} exempt` : ''}.`
  );
}

const integrityTexts = {
  intact: 'The log is intact: a signed checkpoint covers every record.',
  incomplete: 'No record was altered, but something is missing; see Integrity.',
  altered: 'The log was altered. This report cannot be relied upon; see Integrity.',
};

/** Whether the log is intact, in a sentence. */
export const integrityText = ({ integrity }: Report): string => integrityTexts[integrity.state];

type Evidence = Readonly<Record<string, readonly [shows: string, lacks: string]>>;

/** What the report has evidence for, and what it has not: by standard and requirement. */
const evidence: Readonly<Record<string, Evidence>> = {
  'PCI DSS 4.0.1': {
    '8.6.3': [
      'how often the password of each account was changed, and its largest age',
      'the risk analysis (12.3.1) that sets the frequency; password complexity',
    ],
    '8.3.9': [
      'ages compared with 90 days',
      'it concerns passwords of people as the only factor; listed for comparison',
    ],
    '10.2.1.5': [
      'changes of authentication credentials, and who made them',
      'creation of accounts and changes of privileges at Verizon',
    ],
    '10.2.2': ['user, type, time, result, origin and affected account of every event', '—'],
    '10.3.2–10.3.4': [
      'protection against alteration: signed Merkle tree, checkpoints kept elsewhere',
      'the access rights of the machine or bucket that holds the log',
    ],
    '10.5.1': [
      'first and last record of the period, without a gap',
      'that records are kept for twelve months: a retention setting',
    ],
  },
  'NIST SP 800-53 rev. 5': {
    'IA-5': [
      'authenticators changed at the set interval, and in case of doubt',
      'issue and revocation of accounts',
    ],
    'AU-2, AU-3, AU-12': [
      'the events recorded and their content',
      'events of the systems of Verizon',
    ],
    'AU-8': ['UTC time stamps, and their order', 'that the clock of the machine was correct'],
    'AU-9, AU-10': [
      'protection by signature and tree; non-repudiation by the key of the log',
      'who else could use the key',
    ],
    'AU-11': ['which records exist', 'the retention period'],
  },
  'SOC 2 (2017 criteria)': {
    'CC6.1': [
      'credentials of infrastructure accounts are managed and changed',
      'access to the secrets',
    ],
    'CC7.1, CC7.2': [
      'failures, suspensions and outside changes are detected and recorded',
      'who was notified, and when they acted',
    ],
  },
  'ISO/IEC 27001:2022, Annex A': {
    'A.5.17': ['management of authentication information', 'allocation to people'],
    'A.5.33, A.8.15': ['protection of records; logging', 'review by the organisation'],
  },
};

export const controls = Object.entries(evidence).map(([standard, requirements]) => ({
  standard,
  controls: Object.entries(requirements).map(([id, [shows, lacks]]) => ({ id, shows, lacks })),
}));

export const basisText =
  'Verizon recommends that UWS passwords are changed every 90 days. ' +
  'PCI DSS 8.6.3 requires a risk analysis, and sets no 90 days for machine accounts. ' +
  'The limit follows from both. This report is evidence; it certifies nothing.';

/** What no log of this kind can show. */
export const limitsText: readonly string[] = [
  'That an event was recorded truthfully: the log shows that no record was changed afterwards.',
  'Records after the last checkpoint that was kept on another machine: ' +
    'who controls the machine and its key can write them again.',
  'A password that was changed at Verizon and never stored in the secret store: ' +
    'the next login shows it.',
  'AWS Config, Security Hub and Prowler read LastRotatedDate of Secrets Manager. ' +
    'It stays empty when a password is written with PutSecretValue. ' +
    'They can report an account as overdue that is not. The native rotation of AWS sets it.',
];
