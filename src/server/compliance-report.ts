// The compliance report of the service: the last 90 days, with the status cache in place of the
// store. It reads the complete audit log, so the app (app.ts) keeps it for a minute.

import { hash } from 'node:crypto';
import type { Rotator } from '../app.ts';
import { openVerifiers } from '../app.ts';
import { WrongInput } from '../audit/findings.ts';
import { readFrontier } from '../audit/frontier.ts';
import type { AuditSource } from '../audit/reader.ts';
import { buildReport, type Report } from '../report/build.ts';
import { reportHtml } from '../report/html.tsx';
import { Failure } from '../rotation/failure.ts';
import type { Clock } from '../rotation/ports.ts';
import type { AccountEntry } from '../scheduler/status-cache.ts';
import { dayMs, isoTime } from '../time.ts';
import { version } from '../version.ts';

const periodDays = 90;
/** Readers of the page are recorded, but one record for each reload would fill the log. */
const recordedEveryMs = 3_600_000;

/**
 * Creates the report as HTML. Throws `audit-unavailable`, or a UsageError without a verifier key.
 */
export function createComplianceReport(
  { config, audit }: Pick<Rotator, 'config' | 'audit'>,
  clock: Clock,
  entries: () => readonly AccountEntry[],
): () => Promise<string> {
  let recordedAtMs = Number.NEGATIVE_INFINITY;

  async function create(): Promise<string> {
    const nowMs = clock.nowMs();
    const verifiers = await openVerifiers(config, clock);
    const frontier = await readFrontier(audit.source);
    const accounts = entries();
    const { report } = await buildReport({
      source: withPauses(audit.source, clock),
      verifiers,
      // Three months are always in the log, and they can be shorter.
      fromMs: Math.max(nowMs - periodDays * dayMs, (frontier?.lastTimeMs ?? 0) + 1),
      toMs: nowMs,
      nowMs,
      origin: config.audit.origin ?? verifiers[0]?.name ?? 'unknown',
      productVersion: version,
      accounts: accounts.map(({ account }) => account.name),
      store: new Map(accounts.map((entry) => [entry.account.name, storeFactOf(entry)])),
      policy: config.policy,
    });
    const html = reportHtml(report);
    await record(report, html);
    return html;
  }

  /** A log that cannot be written is no reason to show no report. */
  async function record({ fromMs, toMs }: Report, html: string): Promise<void> {
    const nowMs = clock.monotonicMs();
    if (nowMs - recordedAtMs < recordedEveryMs) return;
    const trigger = { kind: 'unattended', requestedBy: 'GET /audit' } as const;
    const dates = { from: isoTime(fromMs), to: isoTime(toMs) };
    const sha256 = hash('sha256', html);
    try {
      await audit.append([{ code: 'report.exported', ...dates, sha256, trigger }]);
      recordedAtMs = nowMs;
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
    }
  }

  return () =>
    create().catch((error: unknown) => {
      throw error instanceof WrongInput
        ? new Failure('audit-unavailable', error.message, { cause: 'log-damaged' })
        : error;
    });
}

/** The same log; before each block the loop does what is due, such as saving a password. */
export const withPauses = (source: AuditSource, clock: Pick<Clock, 'sleep'>): AuditSource => ({
  checkpoints: () => source.checkpoints(),
  frontier: () => source.frontier(),
  segments: async () =>
    (await source.segments()).map((segment) => ({
      name: segment.name,
      month: segment.month,
      open: async () => {
        const reader = await segment.open();
        return {
          read: async (into, at, position) => {
            await clock.sleep(0);
            return reader.read(into, at, position);
          },
          close: () => reader.close(),
        };
      },
    })),
});

const storeFactOf = ({ state, reason, passwordSinceMs }: AccountEntry) => ({
  passwordSinceMs: passwordSinceMs ?? null,
  state: state === 'settled' || reason === undefined ? state : `${state}: ${reason}`,
});
