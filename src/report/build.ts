// The compliance report as one object, from the log and, where it was asked, the store. HTML, CSV
// and JSON are printed from it. No age is reported lower than log and store allow.

import { hash } from 'node:crypto';
import { hexOf, parseCheckpoint, type Verifier } from '../audit/checkpoint.ts';
import type { Limits } from '../audit/facts.ts';
import { WrongInput } from '../audit/findings.ts';
import { readFrontier } from '../audit/frontier.ts';
import { listRecords } from '../audit/query.ts';
import type { AuditSource } from '../audit/reader.ts';
import { inventoryHash } from '../audit/record.ts';
import { type Verification, verifyLog } from '../audit/verify.ts';
import { isoTime } from '../time.ts';
import {
  type AccountRow,
  accountRow,
  type DayCounts,
  dailyCounts,
  type StoreFact,
} from './account.ts';
import { type Exception, exceptionsOf } from './exceptions.ts';
import { addRecord, createHistory, isMember, type LogHistory } from './history.ts';
import { createSampling, drawSamples, type Proof, type Samples } from './sample.ts';
import { type DayVerdict, limitsAt } from './timeline.ts';

export type ReportOptions = {
  readonly source: AuditSource;
  readonly verifiers: readonly Verifier[];
  /**
   * UTC milliseconds; `toMs` is excluded. The report shows the state just before it, or now if that
   * is earlier.
   */
  readonly fromMs: number;
  readonly toMs: number;
  readonly nowMs: number;
  readonly origin: string;
  readonly productVersion: string;
  /**
   * Accounts of the configuration, for comparison; `null` when it is not available. The report is
   * about the accounts in the log.
   */
  readonly accounts: readonly string[] | null;
  /** What the store says, by account; `null` when it was not asked. */
  readonly store: ReadonlyMap<string, StoreFact> | null;
  /** For a log that says no policy. */
  readonly policy: Limits;
  /** Checkpoints kept elsewhere, for example that of the previous report. */
  readonly consistentWith?: readonly string[] | undefined;
  /** How many rotations to draw, and the seed; by default the root of the newest checkpoint. */
  readonly sample?: { readonly count: number; readonly seed?: string | undefined } | undefined;
};

export type Buckets = Readonly<Record<AccountRow['bucket'], number>>;

export type Report = {
  /** The same for the same period of the same log. */
  readonly id: string;
  readonly origin: string;
  readonly productVersion: string;
  readonly fromMs: number;
  readonly toMs: number;
  /** The end of the reported time. */
  readonly endMs: number;
  readonly madeAtMs: number;
  /** That of the fleet, at the end of the period. */
  readonly policy: Limits;
  /** The accounts of the inventory at the end of the period. */
  readonly verdict: {
    readonly accounts: number;
    readonly inside: number;
    readonly outside: number;
    readonly unknown: number;
    readonly exempt: number;
  };
  /**
   * The accounts that were in the inventory on any day of the period: compliant on each of their
   * days, overdue on one, unknown on one and never overdue, or exempt on one and else compliant.
   */
  readonly period: Readonly<Record<DayVerdict | 'accounts', number>>;
  /** How many accounts were judged how on each day. */
  readonly days: readonly DayCounts[];
  readonly buckets: Buckets;
  /** Worst first. */
  readonly rows: readonly AccountRow[];
  readonly exceptions: readonly Exception[];
  readonly population: {
    readonly atStart: number;
    readonly added: readonly string[];
    readonly removed: readonly string[];
    readonly atEnd: number;
    /** On any day of the period. */
    readonly inPeriod: number;
    readonly attempts: number;
    readonly withOutcome: number;
    readonly open: number;
    readonly firstSequence: number | null;
    readonly lastSequence: number | null;
    readonly records: number;
    /** Whether the newest `inventory.summary` fits the accounts in the log. */
    readonly summary: 'matches' | 'differs' | 'none';
    readonly store:
      | 'not performed'
      | { readonly asked: number; readonly differing: number; readonly missing: readonly string[] };
    /** In the configuration but not in the log. */
    readonly unseen: readonly string[];
    /** In the log but not in the configuration. */
    readonly unlisted: readonly string[];
  };
  readonly integrity: Verification & {
    readonly checkpointsInPeriod: readonly { readonly size: number; readonly name: string }[];
    /** The text of the newest checkpoint. */
    readonly checkpointText: string | null;
    readonly keyId: string | null;
    readonly previous: 'consistent' | 'inconsistent' | 'not given';
  };
  readonly samples: Samples;
};

export type BuiltReport = {
  readonly report: Report;
  readonly proofs: readonly Proof[];
};

/**
 * Reads the log once to verify it, once for the accounts, and once for the proofs. Throws
 * `audit-unavailable`.
 */
export async function buildReport(options: ReportOptions): Promise<BuiltReport> {
  const { source, verifiers, fromMs, nowMs } = options;
  const endMs = Math.min(options.toMs, nowMs);
  const verification = await verifyLog(source, {
    verifiers,
    consistentWith: options.consistentWith ?? [],
    nowMs,
  });
  await checkPeriod(options);
  const read = await readHistory(source, fromMs, endMs);
  const { history } = read;
  const names = populationOf(history, options.accounts, fromMs, endMs);
  const rows = names.inPeriod.map((account) =>
    accountRow({
      history: account,
      store: options.store?.get(account.account) ?? null,
      fromMs,
      endMs,
      fleet: history.policies,
      policy: options.policy,
    }),
  );
  rows.sort(worstFirst);
  const buckets = countBuckets(rows);
  const { samples, proofs } = await drawSamples(
    source,
    read.sampling,
    verification,
    options.sample ?? { count: 5 },
  );
  const report: Report = {
    id: reportId(options, verification.root),
    origin: options.origin,
    productVersion: options.productVersion,
    fromMs,
    toMs: options.toMs,
    endMs,
    madeAtMs: nowMs,
    policy: limitsAt(endMs, [], history.policies, options.policy),
    verdict: {
      accounts: names.atEnd.length,
      inside: buckets.inside + buckets.soon,
      outside: buckets.outside,
      unknown: buckets.unknown + buckets.never,
      exempt: buckets.exempt,
    },
    period: periodOf(rows),
    days: dailyCounts(rows),
    buckets,
    rows,
    exceptions: exceptionsOf({ rows, history, verification, fromMs }),
    population: {
      ...names.listed,
      atEnd: names.atEnd.length,
      inPeriod: rows.length,
      ...read.counts,
      summary: summaryOf(history),
      store: reconciliationOf(options.store, names.atEnd, rows),
    },
    integrity: await integrityOf(options, verification, read.counts),
    samples,
  };
  return { report, proofs };
}

const reportId = ({ origin, fromMs, toMs }: ReportOptions, root: string): string =>
  hash('sha256', `${origin}\n${fromMs}\n${toMs}\n${root}`).slice(0, 16);

/** The records of the period are in the log. Throws a `WrongInput`. */
async function checkPeriod({ source, fromMs }: ReportOptions): Promise<void> {
  const archivedMs = (await readFrontier(source))?.lastTimeMs ?? Number.NEGATIVE_INFINITY;
  if (fromMs > archivedMs) return;
  throw new WrongInput(
    `The period begins in a month that is archived: the log holds records after ` +
      `${isoTime(archivedMs)}. Restore the months (docs/AUDIT.md), or begin the period later.`,
  );
}

function countBuckets(rows: readonly AccountRow[]): Buckets {
  const buckets = { inside: 0, soon: 0, outside: 0, never: 0, unknown: 0, exempt: 0, removed: 0 };
  for (const { bucket } of rows) buckets[bucket] += 1;
  return buckets;
}

function periodOf(rows: readonly AccountRow[]): Report['period'] {
  const period = { accounts: rows.length, compliant: 0, overdue: 0, unknown: 0, exempt: 0 };
  const order = ['overdue', 'unknown', 'exempt'] as const;
  for (const { days } of rows) period[order.find((one) => days[one] > 0) ?? 'compliant'] += 1;
  return period;
}

function reconciliationOf(
  store: ReportOptions['store'],
  accounts: readonly string[],
  rows: readonly AccountRow[],
): Report['population']['store'] {
  if (store === null) return 'not performed';
  return {
    asked: store.size,
    differing: rows.filter(({ storeDiffers }) => storeDiffers !== null).length,
    missing: accounts.filter((account) => !store.has(account)),
  };
}

async function integrityOf(
  options: ReportOptions,
  verification: Verification,
  { firstSequence, lastSequence }: Pick<Report['population'], 'firstSequence' | 'lastSequence'>,
): Promise<Report['integrity']> {
  const { newest } = verification;
  const [signature] = newest?.note.signatures ?? [];
  const checkpoints: { name: string; size: number }[] = [];
  for (const stored of await options.source.checkpoints())
    checkpoints.push({
      name: stored.name,
      size: parseCheckpoint(await stored.read())?.size ?? -1,
    });
  return {
    ...verification,
    checkpointsInPeriod: checkpoints.filter(
      ({ size }) => size > (firstSequence ?? 0) && size <= (lastSequence ?? -1) + 1,
    ),
    checkpointText: newest?.text ?? null,
    keyId: signature === undefined ? null : hexOf(signature.keyId),
    previous: previousOf(options, verification),
  };
}

function previousOf(
  { consistentWith = [] }: ReportOptions,
  { anchors }: Verification,
): Report['integrity']['previous'] {
  if (consistentWith.length === 0) return 'not given';
  return anchors.length === consistentWith.length ? 'consistent' : 'inconsistent';
}

async function readHistory(source: AuditSource, fromMs: number, endMs: number) {
  const history = createHistory();
  const sampling = createSampling(fromMs);
  let [firstSequence, lastSequence, records] = [null as number | null, null as number | null, 0];
  for await (const { view } of listRecords(source, {})) {
    // Later records belong to another report: an outcome after the end does not close an intent
    // before it. An acknowledgement counts whenever it is made.
    if (view.timeMs >= endMs && view.code !== 'exception.acknowledged') continue;
    addRecord(history, view);
    if (view.timeMs >= endMs) continue;
    sampling.add(view);
    if (view.timeMs < fromMs) continue;
    firstSequence ??= view.sequence;
    lastSequence = view.sequence;
    records += 1;
  }
  const inPeriod = [...history.accounts.values()]
    .flatMap(({ attempts }) => attempts)
    .filter(({ intendedAtMs }) => intendedAtMs >= fromMs);
  const open = inPeriod.filter(({ closedAtMs }) => closedAtMs === null).length;
  return {
    history,
    sampling,
    counts: {
      attempts: inPeriod.length,
      withOutcome: inPeriod.length - open,
      open,
      firstSequence,
      lastSequence,
      records,
    },
  };
}

/** The inventory before, in and at the end of the period, and where the configuration differs. */
function populationOf(
  history: LogHistory,
  configured: readonly string[] | null,
  fromMs: number,
  endMs: number,
) {
  const known = [...history.accounts.values()];
  const namesAt = (timeMs: number): string[] =>
    known.filter((account) => isMember(account, timeMs)).map(({ account }) => account);
  const [before, atEnd] = [new Set(namesAt(fromMs)), new Set(namesAt(endMs))];
  const inPeriod = known.filter(({ memberships }) =>
    memberships.some((one) => one.fromMs < endMs && (one.toMs ?? endMs) > fromMs),
  );
  const names = inPeriod.map(({ account }) => account).sort();
  return {
    inPeriod,
    atEnd: [...atEnd],
    listed: {
      atStart: before.size,
      added: names.filter((account) => !before.has(account)),
      removed: names.filter((account) => !atEnd.has(account)),
      unseen: (configured ?? []).filter((account) => !atEnd.has(account)),
      unlisted:
        configured === null ? [] : [...atEnd].filter((name) => !configured.includes(name)).sort(),
    },
  };
}

function summaryOf(history: LogHistory): 'matches' | 'differs' | 'none' {
  const summary = history.inventorySummary;
  if (!summary) return 'none';
  const then = [...history.accounts.values()]
    .filter((account) => account.isListed && isMember(account, summary.timeMs + 1))
    .map(({ account }) => account);
  return summary.sha256 === inventoryHash(then) ? 'matches' : 'differs';
}

const order: Readonly<Record<AccountRow['bucket'], number>> = {
  unknown: 0,
  outside: 1,
  never: 2,
  soon: 3,
  inside: 4,
  exempt: 5,
  removed: 6,
};

/** By bucket, then by the days that were not compliant, then by age. */
function worstFirst(a: AccountRow, b: AccountRow): number {
  return (
    order[a.bucket] - order[b.bucket] ||
    b.days.overdue + b.days.unknown - a.days.overdue - a.days.unknown ||
    (b.ageMs ?? 0) - (a.ageMs ?? 0) ||
    (b.largestAgeMs ?? 0) - (a.largestAgeMs ?? 0) ||
    (a.account < b.account ? -1 : a.account > b.account ? 1 : 0)
  );
}
