// Which events become notifications. A failure that a person must correct is reported at once; a
// failure that a retry can correct is reported only when it lasts.

import { explain, nextStep } from '../rotation/catalogue.ts';
import type { RotationEvent } from '../rotation/event.ts';
import { type Facts, failures, type Reason } from '../rotation/failure.ts';
import { isGood } from '../rotation/result.ts';
import type { Result } from '../rotation/state.ts';
import { dependencyNames } from '../scheduler/circuit-breaker.ts';
import type { Emit } from '../scheduler/events.ts';
import {
  type AccountEntry,
  agesOf,
  isExempt,
  isOverdue,
  isStale,
  isWell,
} from '../scheduler/status-cache.ts';
import { isoTime } from '../time.ts';
import type { ProblemKind } from './notification.ts';
import type { Notifier, Problem } from './notifier.ts';

type WitnessEvent = Extract<RotationEvent, { event: `witness.${string}` }>;

/** A later run retries these reasons, and only a person can correct them. */
const personalReasons: readonly Reason[] = [
  'store-denied',
  'secret-not-found',
  'secret-invalid',
  'foreign-pending',
  'api-key-refused',
  'receipt-unavailable',
  'audit-unavailable',
];

/** A failure that a retry can correct lasts from the third one in a row on, or after six hours. */
const lastingFailures = 3;
const lastingMs = 6 * 3_600_000;

const isLasting = ({ failures, failingSinceMs }: AccountEntry, atMs: number): boolean =>
  failures >= lastingFailures ||
  (failingSinceMs !== undefined && atMs - failingSinceMs >= lastingMs);

type AlertNotifier = Pick<Notifier, 'report' | 'resolve' | 'keep' | 'confirm' | 'remind'>;

/** Reports the events of the scheduler (`notify`) and of the attempts (`observe`). */
export function createAlerts(notifier: AlertNotifier, allIsWell: boolean) {
  /** What happened to parts of the service since the last scheduled run ended. */
  let reported = new Set<string>();
  const outages = new Set<string>();
  const reportPart = (problem: Problem): void => {
    reported.add(problem.subject);
    notifier.report(problem);
  };
  const notify: Emit = (event) => {
    switch (event.event) {
      case 'result.recorded': {
        const { entry, result } = event;
        const { account, endedAtMs, outcome } = result;
        reportEach(notifier, problemOf(result, isLasting(entry, endedAtMs)));
        if (isGood(result) && entry.blocked === undefined && !isOverdue(entry, endedAtMs))
          notifier.resolve(account, `Outcome: ${outcome}. No open problems.`);
        reportEach(notifier, overdueProblem(entry, endedAtMs));
        break;
      }
      case 'attempt.broken': {
        const text = `The attempt ended in ${event.detail}.`;
        const { account, next } = event.entry;
        notifier.report({ ...aboutAccount(account.name), kind: 'failing', text, next });
        break;
      }
      case 'account.blocked':
        reportEach(notifier, blockedProblem(event.entry));
        break;
      case 'outage.began': {
        const { dependency } = event;
        const name = dependencyNames[dependency];
        const text = `${name} is unreachable. Probing with one account every 1 to 15 min.`;
        outages.add(dependency);
        reportPart({ subject: dependency, kind: 'outage', reason: dependency, text });
        break;
      }
      case 'outage.ended': {
        const { dependency, atMs, sinceMs } = event;
        const minutes = Math.round((atMs - sinceMs) / 60_000);
        const text = `${dependencyNames[dependency]} is reachable again after ${minutes} min.`;
        outages.delete(dependency);
        notifier.resolve(dependency, text);
        break;
      }
      case 'day.passed':
        reportAll(notifier, event.entries, event.atMs);
        break;
      case 'run.ended': {
        if (!event.isScheduled) break;
        const names = event.entries.map(({ account }) => account.name);
        notifier.keep(new Set([...names, ...reported, ...outages]));
        reported = new Set();
        reportAll(notifier, event.entries, event.atMs);
        if (allIsWell) confirm(notifier, event.entries, event.atMs);
      }
    }
  };
  const observe = (event: RotationEvent): void => {
    switch (event.event) {
      case 'witness.failed':
      case 'witness.refused':
        reportPart(witnessProblem(event));
        break;
      case 'witness.cosigned':
        notifier.resolve(`witness ${event.witness}`, `Witness ${event.witness} cosigns again.`);
        break;
      case 'audit.failed':
        reportPart(auditProblem(event.detail));
    }
  };
  return { notify, observe };
}

function reportEach(notifier: AlertNotifier, ...problems: readonly (Problem | null)[]): void {
  for (const problem of problems) if (problem) notifier.report(problem);
}

/** What is known of all accounts, of which a daily message is made when it is due. */
function reportAll(notifier: AlertNotifier, entries: readonly AccountEntry[], atMs: number): void {
  for (const entry of entries) {
    reportEach(
      notifier,
      blockedProblem(entry) ?? knownProblem(entry, atMs),
      overdueProblem(entry, atMs),
      staleProblem(entry, atMs),
    );
    if (isWell(entry, atMs)) notifier.resolve(entry.account.name, 'No open problems.');
  }
  notifier.remind();
}

/** The event says nothing about a password: a record may be missing before or after a reset. */
function auditProblem(detail: string): Problem {
  const reason = 'audit-unavailable';
  const text = `An audit record could not be written: ${detail}.`;
  return {
    subject: 'audit',
    kind: 'audit-failed',
    reason,
    text,
    next: nextStep(reason, { detail }),
  };
}

const aboutAccount = (account: string) => ({ account, subject: account });

function witnessProblem({ event, witness, detail = '' }: WitnessEvent): Problem {
  const [text, next] =
    event === 'witness.refused'
      ? [
          `Witness ${witness} has another history of the audit log: ${detail}.`,
          'Keep the log and the folder of the witness as they are, and compare both with a backup',
        ]
      : [
          `Witness ${witness} did not cosign the newest checkpoint: ${detail}.`,
          'Check that the witness runs and can be reached. Rotations continue without it',
        ];
  return { subject: `witness ${witness}`, kind: 'audit-failed', reason: event, text, next };
}

/** Title, meaning and detail of a reason, as sentences. */
function describe(reason: Reason, facts: Facts): string {
  const { title, meaning } = explain(reason, facts);
  const heading = title.charAt(0).toUpperCase() + title.slice(1);
  const detail = facts.detail === undefined ? '' : ` Detail: ${facts.detail}.`;
  return `${heading} (${reason}). Password: ${meaning}${detail}`;
}

type Failed = Pick<Result, 'reason' | 'detail' | 'facts' | 'next' | 'rotationId' | 'account'>;

/** The problem that a failure is; null when it is not reported (yet). */
export function problemOf(failed: Failed, isLasting: boolean): Problem | null {
  const { account, reason, detail, facts, next, rotationId } = failed;
  if (reason === undefined) return null;
  const kind = kindOf(reason, isLasting);
  const text = describe(reason, { ...facts, account, detail });
  return kind && { ...aboutAccount(account), kind, reason, text, next, detail, rotationId };
}

function kindOf(reason: Reason, isLasting: boolean): ProblemKind | null {
  if (reason === 'verify-refused' || reason === 'verify-unavailable') return 'verify-failed';
  if (reason === 'audit-unavailable') return 'audit-failed';
  const { certainty } = failures[reason];
  switch (certainty) {
    case 'lost':
    case 'stopped':
    case 'changed':
      return certainty;
    case 'in-doubt':
      // These two end with the settle time or with the lease.
      return (reason === 'settling' || reason === 'in-flight') && !isLasting ? null : 'in-doubt';
    case 'unchanged':
      return personalReasons.includes(reason) || isLasting ? 'failing' : null;
  }
}

/** A busy account is no problem: another process works on it. */
const knownProblem = (entry: AccountEntry, atMs: number): Problem | null =>
  entry.reason === 'busy'
    ? null
    : problemOf({ ...entry, account: entry.account.name }, isLasting(entry, atMs));

function blockedProblem({ account, blocked }: AccountEntry): Problem | null {
  if (blocked === undefined) return null;
  const text = `Not rotated: ${blocked}.`;
  const next = nextStep('secret-invalid', { cause: 'shared-user' });
  return { ...aboutAccount(account.name), kind: 'stopped', reason: 'shared-user', text, next };
}

function overdueProblem(entry: AccountEntry, atMs: number): Problem | null {
  const { account, policy } = entry;
  const ages = agesOf(entry, atMs);
  if (!ages || !isOverdue(entry, atMs)) return null;
  const days = Math.floor(ages.ageDays);
  const text = `The password is ${days} days old. The policy allows ${policy.maxAgeDays} days.`;
  const daysLeft = Math.round(ages.daysLeft * 100) / 100;
  return { ...aboutAccount(account.name), kind: 'overdue', text, daysLeft };
}

function staleProblem(entry: AccountEntry, atMs: number): Problem | null {
  if (!isStale(entry, atMs)) return null;
  const { account, evidenceAtMs } = entry;
  const last =
    evidenceAtMs === undefined
      ? 'The store has not shown its status since the start of the service.'
      : `The store last showed its status at ${isoTime(evidenceAtMs)}.`;
  const next = 'Check that the secret store answers: `thingspace-rotator status`';
  const text = `Not checked in time. ${last}`;
  return { ...aboutAccount(account.name), kind: 'stale', text, next };
}

/** Says after a run that there are no problems; nothing when there is one. */
function confirm(notifier: AlertNotifier, entries: readonly AccountEntry[], atMs: number): void {
  if (!entries.every((entry) => isWell(entry, atMs))) return;
  const exempt = entries.filter((entry) => isExempt(entry, atMs));
  const others = entries.filter((entry) => !exempt.includes(entry));
  const known = others.filter(({ isAgeKnown }) => isAgeKnown !== false);
  const days = Math.floor(Math.max(0, ...known.map((entry) => agesOf(entry, atMs)?.ageDays ?? 0)));
  const unknown = others.length - known.length;
  const sentences = [
    `No problems. Accounts: ${entries.length}.`,
    known.length > 0 && `The oldest password is ${days} days old.`,
    unknown > 0 && `Passwords of unknown age: ${unknown}.`,
    exempt.length > 0 && `Exempt accounts: ${exempt.length}.`,
  ];
  notifier.confirm(sentences.filter(Boolean).join(' '));
}
