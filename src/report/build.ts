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
import { type AccountRow, accountRow, dailyCounts, type StoreFact } from './account.ts';
import { exceptionsOf } from './exceptions.ts';
import { addRecord, createHistory, isMember, type LogHistory } from './history.ts';
import { createSampling, drawSamples } from './sample.ts';
import { bucketFacts } from './text.ts';
import { countVerdicts, type DayVerdict, limitsAt } from './timeline.ts';

export type ReportOptions = {
  readonly source: AuditSource;
  readonly verifiers: readonly Verifier[];
  /** UTC milliseconds; `toMs` is excluded. The report shows the state before it, at most now. */
  readonly fromMs: number;
  readonly toMs: number;
  readonly nowMs: number;
  readonly origin: string;
  /** Those of the configuration, for comparison; `null` when it is not known. */
  readonly accounts: readonly string[] | null;
  /** What the store says, by account; `null` when it was not asked. */
  readonly store: ReadonlyMap<string, StoreFact> | null;
  /** For a log that says no policy. */
  readonly policy: Limits;
  /** Checkpoints kept elsewhere, for example that of the previous report. */
  readonly consistentWith?: readonly string[] | undefined;
  /** How many rotations to draw. */
  readonly sampleCount?: number | undefined;
};

export type BuiltReport = Awaited<ReturnType<typeof buildReport>>;
export type Report = BuiltReport['report'];

/** Reads the log for verification, accounts and proofs. Throws `audit-unavailable`. */
export async function buildReport(options: ReportOptions) {
  const { source, verifiers, fromMs, toMs, nowMs, origin, policy } = options;
  const { store, consistentWith = [], sampleCount = 5 } = options;
  const endMs = Math.min(toMs, nowMs);
  const verification = await verifyLog(source, { verifiers, consistentWith, nowMs });
  await checkPeriod(source, fromMs);
  const { history, sampling, records } = await readHistory(source, fromMs, endMs);
  const context = { fromMs, endMs, fleet: history.policies, policy };
  const { inPeriod, atEnd, changes } = populationOf(history, options, endMs);
  const rows = inPeriod
    .map((one) => accountRow(one, store?.get(one.account) ?? null, context))
    .sort(worstFirst);
  const buckets = countBuckets(rows);
  const { samples, proofs } = await drawSamples(source, sampling, verification, sampleCount);
  const report = {
    /** The same for the same period of the same log. */
    id: hash('sha256', `${origin}\n${fromMs}\n${toMs}\n${verification.root}`).slice(0, 16),
    origin,
    fromMs,
    toMs,
    /** The end of the reported time. */
    endMs,
    madeAtMs: nowMs,
    /** That of the fleet, at the end of the period. */
    policy: limitsAt(endMs, [], context),
    /** The accounts of the inventory at the end of the period. */
    verdict: {
      accounts: atEnd.length,
      inside: buckets.inside + buckets.soon,
      outside: buckets.outside,
      unknown: buckets.unknown + buckets.never,
      exempt: buckets.exempt,
    },
    /** The accounts that were in the inventory on any day of the period. */
    period: { accounts: rows.length, ...countVerdicts(rows.map(periodVerdict)) },
    /** How many accounts were judged how on each day. */
    days: dailyCounts(rows),
    buckets,
    /** Worst first. */
    rows,
    exceptions: exceptionsOf(rows, history, verification, fromMs),
    population: {
      ...changes,
      atEnd: atEnd.length,
      /** On any day of the period. */
      inPeriod: rows.length,
      ...records,
      summary: summaryOf(history),
      store: store
        ? {
            asked: store.size,
            differing: rows.filter(({ storeDiffers }) => storeDiffers !== null).length,
            missing: without(atEnd, [...store.keys()]),
          }
        : ('not performed' as const),
    },
    integrity: await integrityOf(source, verification, consistentWith, records),
    samples,
  };
  return { report, proofs };
}

/** The records of the period are in the log. Throws a `WrongInput`. */
async function checkPeriod(source: AuditSource, fromMs: number): Promise<void> {
  const archivedMs = (await readFrontier(source))?.lastTimeMs ?? Number.NEGATIVE_INFINITY;
  if (fromMs > archivedMs) return;
  throw new WrongInput(
    `The period begins in a month that is archived: the log holds records after ` +
      `${isoTime(archivedMs)}. Restore the months (docs/AUDIT.md), or begin the period later.`,
  );
}

function countBuckets(rows: readonly AccountRow[]): Record<AccountRow['bucket'], number> {
  const buckets = { inside: 0, soon: 0, outside: 0, never: 0, unknown: 0, exempt: 0, removed: 0 };
  for (const { bucket } of rows) buckets[bucket] += 1;
  return buckets;
}

/** The most severe verdict of its days. */
const periodVerdict = ({ days }: AccountRow): DayVerdict =>
  (['overdue', 'unknown', 'exempt'] as const).find((one) => days[one] > 0) ?? 'compliant';

async function integrityOf(
  source: AuditSource,
  verification: Verification,
  given: readonly string[],
  { firstSequence, lastSequence }: Awaited<ReturnType<typeof readHistory>>['records'],
) {
  const { newest, anchors } = verification;
  const [signature] = newest?.note.signatures ?? [];
  const checkpointsInPeriod: { name: string; size: number }[] = [];
  for (const stored of await source.checkpoints()) {
    const size = parseCheckpoint(await stored.read())?.size ?? -1;
    if (size > (firstSequence ?? 0) && size <= (lastSequence ?? -1) + 1)
      checkpointsInPeriod.push({ name: stored.name, size });
  }
  const isConsistent = anchors.length === given.length;
  const comparison = isConsistent ? ('consistent' as const) : ('inconsistent' as const);
  return {
    ...verification,
    checkpointsInPeriod,
    /** The text of the newest checkpoint. */
    checkpointText: newest?.text ?? null,
    keyId: signature === undefined ? null : hexOf(signature.keyId),
    /** Whether the log continues the checkpoints that were given. */
    previous: given.length === 0 ? ('not given' as const) : comparison,
  };
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
  const attempts = [...history.accounts.values()]
    .flatMap((account) => account.attempts)
    .filter(({ intendedAtMs }) => intendedAtMs >= fromMs);
  const open = attempts.filter(({ closedAtMs }) => closedAtMs === null).length;
  const counts = { attempts: attempts.length, withOutcome: attempts.length - open, open };
  return { history, sampling, records: { ...counts, firstSequence, lastSequence, records } };
}

/** The inventory before, in and at the end of the period, and where the configuration differs. */
function populationOf(
  history: LogHistory,
  { accounts: configured, fromMs }: ReportOptions,
  endMs: number,
) {
  const known = [...history.accounts.values()];
  const namesAt = (timeMs: number): string[] =>
    known.filter((account) => isMember(account, timeMs)).map(({ account }) => account);
  const [before, atEnd] = [namesAt(fromMs), namesAt(endMs)];
  const inPeriod = known.filter(({ memberships }) =>
    memberships.some((one) => one.fromMs < endMs && (one.toMs ?? endMs) > fromMs),
  );
  const names = inPeriod.map(({ account }) => account).sort();
  return {
    inPeriod,
    atEnd,
    changes: {
      atStart: before.length,
      added: without(names, before),
      removed: without(names, atEnd),
      /** In the configuration but not in the log. */
      unseen: without(configured ?? [], atEnd),
      /** In the log but not in the configuration. */
      unlisted: configured === null ? [] : without(atEnd, configured).sort(),
    },
  };
}

/** The names that are not among others. */
function without(names: readonly string[], others: readonly string[]): string[] {
  const known = new Set(others);
  return names.filter((name) => !known.has(name));
}

/** Whether the newest `inventory.summary` fits the accounts in the log. */
function summaryOf(history: LogHistory): 'matches' | 'differs' | 'none' {
  const summary = history.inventorySummary;
  if (!summary) return 'none';
  const then = [...history.accounts.values()]
    .filter((account) => account.isListed && isMember(account, summary.timeMs + 1))
    .map(({ account }) => account);
  return summary.sha256 === inventoryHash(then) ? 'matches' : 'differs';
}

/** By bucket, then by the days that were not compliant, then by age. */
function worstFirst(a: AccountRow, b: AccountRow): number {
  return (
    bucketFacts[a.bucket].order - bucketFacts[b.bucket].order ||
    b.days.overdue + b.days.unknown - a.days.overdue - a.days.unknown ||
    (b.ageMs ?? 0) - (a.ageMs ?? 0) ||
    (b.largestAgeMs ?? 0) - (a.largestAgeMs ?? 0) ||
    (a.account < b.account ? -1 : a.account > b.account ? 1 : 0)
  );
}
