// The report as JSON (one OCSF Compliance Finding, class 2003, per account) and as CSV. The same facts as the page.

import { canonicalJson } from '../audit/canonical-json.ts';
import { uuidv7 } from '../audit/record.ts';
import { isoTime } from '../time.ts';
import type { AccountRow } from './account.ts';
import type { Report } from './build.ts';
import { csvMark, csvRow } from './csv.ts';
import { bucketText, controls, daysOf, integrityText, limitsText, verdictText } from './text.ts';

const iso = (ms: number | null): string | null => (ms === null ? null : isoTime(ms));
const days = (ms: number | null): number | null => (ms === null ? null : Number(daysOf(ms)));

/** Pass, fail, and *Warning* where information is missing: OCSF 1.5.0, compliance.status_id 1, 3, 2; severity as in records. */
const standings: Readonly<
  Record<AccountRow['bucket'], readonly [statusId: number, status: string, severity: number]>
> = {
  inside: [1, 'Pass', 1],
  soon: [1, 'Pass', 2],
  outside: [3, 'Fail', 4],
  never: [2, 'Warning', 3],
  unknown: [2, 'Warning', 5],
  exempt: [2, 'Warning', 2],
};

/** One finding. Required of class 2003: activity_id, category_uid, class_uid, compliance{standards}, finding_info{uid}, metadata, severity_id, time, type_uid. */
function findingOf(report: Report, row: AccountRow): object {
  const [statusId, status, severity] = standings[row.bucket];
  const { title, says } = bucketText(row.bucket, report.policy);
  return {
    activity_id: 1,
    category_uid: 2,
    class_uid: 2003,
    compliance: {
      control: 'PCI DSS 4.0.1 8.6.3',
      requirements: ['8.6.3'],
      standards: ['PCI DSS 4.0.1', 'NIST SP 800-53 rev. 5 IA-5'],
      status,
      status_code: row.bucket,
      status_detail: row.note ?? `${title}: ${says}`,
      status_id: statusId,
    },
    finding_info: {
      created_time: report.madeAtMs,
      title: `Password age of ${row.account}`,
      types: ['Credential rotation'],
      uid: `${report.origin}/${row.account}/${isoTime(report.endMs)}`,
    },
    message: `${row.account}: ${title} (${says})`,
    metadata: {
      log_name: report.origin,
      product: {
        name: 'thingspace-rotator',
        vendor_name: 'thingspace-rotator',
        version: report.productVersion,
      },
      uid: uuidv7(report.madeAtMs),
      version: '1.5.0',
    },
    resources: [
      {
        name: row.account,
        type: 'ThingSpace UWS account',
        ...(row.secretId === null ? {} : { uid: row.secretId }),
      },
    ],
    severity_id: severity,
    status_id: 1,
    time: report.madeAtMs,
    type_uid: 200_301,
    unmapped: {
      age_days: days(row.ageMs),
      failed: row.failed,
      largest_age_at: iso(row.largestAtMs),
      largest_age_days: days(row.largestAgeMs),
      last_change: iso(row.lastChange?.timeMs ?? null),
      last_change_by: row.lastChange?.by ?? null,
      last_change_sequence: row.lastChange?.sequence ?? null,
      next_due: iso(row.nextDueMs),
      store_state: row.storeState,
      succeeded: row.succeeded,
      unknown: row.unknown,
      verified_by_login: row.lastChange?.verified ?? false,
    },
  };
}

/** `report.json`: one document. */
export function reportJson(report: Report): string {
  const { newest: _newest, ...integrity } = report.integrity;
  const document = {
    format: 'thingspace-rotator/report/1',
    origin: report.origin,
    period: { from: isoTime(report.fromMs), to: isoTime(report.toMs), end: isoTime(report.endMs) },
    made_at: isoTime(report.madeAtMs),
    policy: {
      max_age_days: report.policy.maxAgeDays,
      rotate_after_days: report.policy.rotateAfterDays,
    },
    verdict: { ...report.verdict, text: verdictText(report) },
    buckets: report.buckets,
    integrity: { ...integrity, text: integrityText(report) },
    findings: report.rows.map((row) => findingOf(report, row)),
    exceptions: report.exceptions,
    population: report.population,
    samples: report.samples,
    controls,
    limits: limitsText,
  };
  return `${JSON.stringify(JSON.parse(canonicalJson(document)), null, 1)}\n`;
}

/** `report.csv`: the account table, one line each, worst first; UTF-8 with BOM, RFC 4180, ISO times, no formula runs. */
export function reportCsv(report: Report): string {
  const head = [
    'account',
    'username',
    'secret_id',
    'standing',
    'note',
    'last_change',
    'last_change_by',
    'age_days',
    'largest_age_days',
    'largest_age_at',
    'next_due',
    'rotations_ok',
    'rotations_failed',
    'rotations_unknown',
    'last_actor',
    'last_trigger',
    'verified_by_login',
    'record',
    'store_state',
    'period_from',
    'period_end',
    'checkpoint_size',
    'checkpoint_root',
    'log',
  ];
  const { integrity } = report;
  const rows = report.rows.map((row) => [
    row.account,
    row.username ?? undefined,
    row.secretId ?? undefined,
    bucketText(row.bucket, report.policy).title,
    row.note ?? undefined,
    iso(row.lastChange?.timeMs ?? null) ?? undefined,
    row.lastChange?.by,
    days(row.ageMs) ?? undefined,
    days(row.largestAgeMs) ?? undefined,
    iso(row.largestAtMs) ?? undefined,
    iso(row.nextDueMs) ?? undefined,
    row.succeeded,
    row.failed,
    row.unknown,
    row.lastChange?.actor,
    row.lastChange?.trigger,
    row.lastChange ? (row.lastChange.verified ? 'yes' : 'no') : undefined,
    row.lastChange?.sequence ?? undefined,
    row.storeState ?? undefined,
    isoTime(report.fromMs),
    isoTime(report.endMs),
    integrity.newest?.size,
    integrity.newest?.note.text.split('\n')[2],
    integrity.state,
  ]);
  return csvMark + [head, ...rows].map(csvRow).join('');
}
