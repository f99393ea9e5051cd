// Which events become notifications. A failure that a person must correct is sent at once and again
// every day; a failure that a retry can correct is sent only when it lasts.

import { explain, nextStep } from '../rotation/catalogue.ts';
import type { RotationEvent } from '../rotation/event.ts';
import { type Facts, failures, type Reason } from '../rotation/failure.ts';
import { isGood } from '../rotation/result.ts';
import type { Emit } from '../scheduler/events.ts';
import { type AccountEntry, agesOf, isWell } from '../scheduler/status-cache.ts';
import type { Alert, Notifier } from './webhook.ts';

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

/** A failure that a retry can correct is sent from the third one in a row on. */
const failuresUntilAlert = 3;

/** Sends alerts for the events of the scheduler (`notify`) and of the attempts (`observe`). */
export function createAlerts(
  notifier: Pick<Notifier, 'send' | 'resolve'>,
  allIsWell: boolean,
): { notify: Emit; observe: (event: RotationEvent) => void } {
  const send = (alert: Alert | null): void => {
    if (alert) notifier.send(alert);
  };
  const notify: Emit = (event) => {
    switch (event.event) {
      case 'result.recorded': {
        const { entry, result } = event;
        send(alertOf(result, entry.failures));
        if (isGood(result) && entry.blocked === undefined)
          notifier.resolve(result.account, `Outcome: ${result.outcome}. No open problems.`);
        send(overdueAlert(entry, result.endedAtMs));
        break;
      }
      case 'attempt.broken': {
        const text = `The attempt ended in ${event.detail}.`;
        const { account, next } = event.entry;
        send({ account: account.name, kind: 'failing', text, next });
        break;
      }
      case 'account.blocked':
        send(blockedAlert(event.entry));
        break;
      case 'outage.began': {
        const name = dependencyNames[event.dependency];
        const text = `${name} is unreachable. Probing with one account every 1 to 15 min.`;
        send({ kind: 'outage', reason: event.dependency, text });
        break;
      }
      case 'outage.ended': {
        const minutes = Math.round((event.atMs - event.sinceMs) / 60_000);
        const name = dependencyNames[event.dependency];
        notifier.resolve(undefined, `${name} is reachable again after ${minutes} min.`);
        break;
      }
      case 'day.passed':
        for (const entry of event.entries) {
          send(overdueAlert(entry, event.atMs));
          send(blockedAlert(entry) ?? dailyAlert(entry));
        }
        break;
      case 'run.ended':
        if (allIsWell && event.isScheduled) send(healthyAlert(event.entries, event.atMs));
    }
  };
  return {
    notify,
    observe: (event) => {
      if (event.event === 'witness.failed' || event.event === 'witness.refused')
        send(witnessAlert(event));
      if (event.event !== 'audit.failed') return;
      // The event says nothing about a password: a record may be missing before or after a reset.
      const text = `An audit record could not be written: ${event.detail}.`;
      const next = nextStep('audit-unavailable', { detail: event.detail });
      send({ kind: 'audit-failed', reason: 'audit-unavailable', text, next });
    },
  };
}

function witnessAlert({ event, witness, detail = '' }: WitnessEvent): Alert {
  const isRefused = event === 'witness.refused';
  return {
    kind: 'audit-failed',
    reason: event,
    text: isRefused
      ? `Witness ${witness} has another history of the audit log: ${detail}.`
      : `Witness ${witness} did not cosign the newest checkpoint: ${detail}.`,
    next: isRefused
      ? 'Keep the log and the folder of the witness as they are, and compare both with a backup'
      : 'Check that the witness runs and can be reached. Rotations continue without it',
  };
}

const dependencyNames = { store: 'The secret store', thingspace: 'ThingSpace' } as const;

/** Title, meaning and detail of a reason, as sentences. */
function describe(reason: Reason, facts: Facts): string {
  const { title, meaning } = explain(reason, facts);
  const heading = title.charAt(0).toUpperCase() + title.slice(1);
  const detail = facts.detail === undefined ? '' : ` Detail: ${facts.detail}.`;
  return `${heading} (${reason}). Password: ${meaning}${detail}`;
}

type Problem = {
  readonly account: string;
  readonly reason?: Reason | undefined;
  readonly detail?: string | undefined;
  readonly facts?: Facts | undefined;
  readonly next: string;
  readonly rotationId?: string | undefined;
};

/** The alert about a failure; null when it is not sent (yet). */
export function alertOf(problem: Problem, failuresInARow: number): Alert | null {
  const { account, reason, detail, facts, next, rotationId } = problem;
  if (reason === undefined) return null;
  const kind = kindOf(reason, failuresInARow >= failuresUntilAlert);
  const text = describe(reason, { ...facts, account, detail });
  return kind && { account, kind, reason, text, next, detail, rotationId };
}

function kindOf(reason: Reason, isLasting: boolean): Alert['kind'] | null {
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

const dailyAlert = ({ account, ...known }: AccountEntry): Alert | null =>
  alertOf({ ...known, account: account.name }, failuresUntilAlert);

function blockedAlert({ account, blocked }: AccountEntry): Alert | null {
  if (blocked === undefined) return null;
  const text = `Not rotated: ${blocked}.`;
  const next = nextStep('secret-invalid', { cause: 'shared-user' });
  return { account: account.name, kind: 'stopped', reason: 'shared-user', text, next };
}

function overdueAlert(entry: AccountEntry, atMs: number): Alert | null {
  const { account, policy } = entry;
  const ages = agesOf(entry, atMs);
  if (!ages || ages.daysLeft >= 0 || !account.enabled) return null;
  const days = Math.floor(ages.ageDays);
  const text = `The password is ${days} days old. The policy allows ${policy.maxAgeDays} days.`;
  const daysLeft = Math.round(ages.daysLeft * 100) / 100;
  return { account: account.name, kind: 'overdue', text, daysLeft };
}

/** The message after a run that there are no problems; null when there is one. */
function healthyAlert(entries: readonly AccountEntry[], atMs: number): Alert | null {
  if (!entries.every((entry) => isWell(entry, atMs))) return null;
  const known = entries.filter(({ isAgeKnown }) => isAgeKnown !== false);
  const days = Math.floor(Math.max(0, ...known.map((entry) => agesOf(entry, atMs)?.ageDays ?? 0)));
  const unknown = entries.length - known.length;
  const sentences = [
    `No problems. Accounts: ${entries.length}.`,
    ...(known.length > 0 ? [`The oldest password is ${days} days old.`] : []),
    ...(unknown > 0 ? [`Passwords of unknown age: ${unknown}.`] : []),
  ];
  return { kind: 'all-is-well', text: sentences.join(' ') };
}
