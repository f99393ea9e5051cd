// Which news is worth a person's attention, and in which words. What passes by itself is told only when it lasts; what
// needs a person is told at once, and again every day.

import { nextStep } from '../rotation/catalogue.ts';
import type { RotationEvent } from '../rotation/event.ts';
import { failures, type Reason } from '../rotation/failure.ts';
import { isGood } from '../rotation/result.ts';
import type { Result } from '../rotation/state.ts';
import type { Hear } from '../scheduler/events.ts';
import { agesOf, type Entry } from '../scheduler/status-cache.ts';
import type { Notice, Notifier } from './webhook.ts';

/** Reasons that a later run tries again by itself, and that no later run will mend. */
const needPerson: readonly Reason[] = [
  'store-denied',
  'secret-not-found',
  'secret-invalid',
  'foreign-pending',
  'api-key-refused',
  'receipt-unavailable',
  'audit-unavailable',
];

/** A failure that passes by itself is told from the third in a row on. */
const patience = 3;

/** Tells the notifier what is news to people. */
export function createNotices(
  notifier: Notifier,
  allIsWell: boolean,
): { hear: Hear; observe: (event: RotationEvent) => void } {
  const overdue = (entry: Entry, atMs: number): void => {
    const ages = agesOf(entry, atMs);
    if (!ages || ages.daysLeft >= 0 || !entry.account.enabled) return;
    const text = `the password is ${Math.floor(ages.ageDays)} days old; at most ${entry.policy.maxAgeDays} are allowed`;
    notifier.tell({ ...about(entry), kind: 'overdue', text, daysLeft: rounded(ages.daysLeft) });
  };

  return {
    hear: (news) => {
      switch (news.news) {
        case 'result': {
          const { entry, result } = news;
          const notice = noticeOf(entry, result);
          if (notice) notifier.tell(notice);
          else if (isGood(result) && entry.blocked === undefined)
            notifier.resolve(result.account, `${result.outcome}; all is well again`);
          return overdue(entry, result.endedAtMs);
        }
        case 'broken':
          return notifier.tell({ ...about(news.entry), kind: 'failing', text: news.detail });
        case 'blocked':
          return notifier.tell({
            ...about(news.entry),
            kind: 'stopped',
            text: news.entry.blocked ?? 'not rotated',
            reason: 'shared-user',
          });
        case 'outage.began':
          return notifier.tell({
            kind: 'outage',
            reason: news.dependency,
            text: `${nameOf[news.dependency]} is away; looking on, one account at a time`,
          });
        case 'outage.ended': {
          const minutes = Math.round((news.atMs - news.sinceMs) / 60_000);
          return notifier.resolve(
            undefined,
            `${nameOf[news.dependency]} is back after ${minutes} min`,
          );
        }
        case 'day': {
          for (const entry of news.entries) {
            overdue(entry, news.atMs);
            const standing = standingNotice(entry);
            if (standing) notifier.tell(standing);
          }
          if (allIsWell && news.entries.every((entry) => isWell(entry, news.atMs)))
            notifier.tell(wellNotice(news.entries, news.atMs));
          return;
        }
        case 'run.ended':
        case 'clock.stepped':
          return;
      }
    },
    observe: (event) => {
      if (event.event !== 'audit.failed') return;
      notifier.tell({
        kind: 'audit-failed',
        reason: 'audit-unavailable',
        text: event.detail,
        next: nextStep('audit-unavailable'),
      });
    },
  };
}

const nameOf = { store: 'the secret store', thingspace: 'ThingSpace' } as const;

const about = ({ account }: Entry): { account: string } => ({ account: account.name });

const rounded = (days: number): number => Math.round(days * 100) / 100;

/** What a result is worth; null when nobody needs to hear of it (yet). */
export function noticeOf(entry: Entry, result: Result): Notice | null {
  const { reason } = result;
  if (reason === undefined) return null;
  const kind = kindOf(reason, entry.failures);
  if (!kind) return null;
  const { detail, rotationId, next } = result;
  return {
    ...about(entry),
    kind,
    reason,
    text: `${reason}${detail === undefined ? '' : ` (${detail})`}`,
    next,
    ...(detail === undefined ? {} : { detail }),
    ...(rotationId === undefined ? {} : { rotationId }),
  };
}

function kindOf(reason: Reason, inARow: number): Notice['kind'] | null {
  if (reason === 'verify-refused' || reason === 'verify-unavailable') return 'verify-failed';
  if (reason === 'audit-unavailable') return 'audit-failed';
  const { certainty } = failures[reason];
  const lasts = inARow >= patience;
  switch (certainty) {
    case 'lost':
      return 'lost';
    case 'stopped':
      return 'stopped';
    case 'changed':
      return 'changed';
    case 'in-doubt':
      // These two pass with the settle time, or with the lease.
      return reason === 'settling' || reason === 'in-flight'
        ? lasts
          ? 'in-doubt'
          : null
        : 'in-doubt';
    case 'unchanged':
      return needPerson.includes(reason) || lasts ? 'failing' : null;
  }
}

/** The daily word about an account that still needs a person. */
function standingNotice(entry: Entry): Notice | null {
  if (entry.blocked !== undefined)
    return { ...about(entry), kind: 'stopped', reason: 'shared-user', text: entry.blocked };
  const { reason, detail, next } = entry;
  if (reason === undefined) return null;
  const kind = kindOf(reason, Math.max(entry.failures, patience));
  return (
    kind && {
      ...about(entry),
      kind,
      reason,
      text: `still ${reason}${detail === undefined ? '' : ` (${detail})`}`,
      next,
    }
  );
}

function isWell(entry: Entry, atMs: number): boolean {
  const ages = agesOf(entry, atMs);
  return (
    entry.reason === undefined &&
    entry.blocked === undefined &&
    entry.state === 'settled' &&
    ages !== undefined &&
    ages.daysLeft >= 0
  );
}

function wellNotice(entries: readonly Entry[], atMs: number): Notice {
  const oldest = Math.max(0, ...entries.map((entry) => agesOf(entry, atMs)?.ageDays ?? 0));
  return {
    kind: 'all-is-well',
    text: `all is well: ${entries.length} accounts, the oldest password is ${Math.floor(oldest)} days old`,
  };
}
