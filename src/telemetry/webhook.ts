// Notices to a webhook: text that Slack reads, and the same as JSON. Delivery is best effort and bounded; it must never
// hold up a rotation, and the address (which may be a secret itself) must never reach a log.
//
//   POST {webhook}
//   content-type: application/json
//   x-rotator-signature: t=1795464000,v1=<hex HMAC-SHA256 of "t.body">        with notify.secretFile
//
//   { "text": "…", "source": "thingspace-rotator", "host": "ops-1", "sentAt": "2026-11-23T03:17:04Z", "dropped": 0,
//     "notices": [ { "kind": "stopped", "account": "fleet-east", "reason": "login-refused", "text": "…", "next": "…", … } ] }

import { createHmac, type KeyObject } from 'node:crypto';
import type { Clock } from '../rotation/ports.ts';
import { isoTime } from '../time.ts';
import type { Log } from './log.ts';

/** What happened. `resolved` takes back what was told before; `all-is-well` is the daily word that nothing is wrong. */
export type NoticeKind =
  | 'stopped'
  | 'lost'
  | 'in-doubt'
  | 'changed'
  | 'verify-failed'
  | 'overdue'
  | 'failing'
  | 'audit-failed'
  | 'outage'
  | 'resolved'
  | 'all-is-well';

/** One notice. Free of secrets by its type: names, reasons, and sentences of our own. */
export type Notice = {
  readonly kind: NoticeKind;
  /** One line for people, without the account's name. */
  readonly text: string;
  readonly account?: string;
  readonly reason?: string;
  readonly detail?: string;
  readonly next?: string;
  readonly rotationId?: string;
  /** Days of 24 hours, two decimals; negative when overdue. */
  readonly daysLeft?: number;
};

export type NotifyOptions = {
  readonly webhook: string;
  /** Signs the body; none: unsigned. */
  readonly key?: KeyObject;
  /** What this machine is called. */
  readonly host: string;
  readonly clock: Pick<Clock, 'nowMs' | 'monotonicMs' | 'sleep'>;
  readonly log: Pick<Log, 'info' | 'warn' | 'error'>;
  /** Counts what became of notices. */
  readonly onDelivery?: (result: 'delivered' | 'failed' | 'dropped', count: number) => void;
};

export type Notifier = {
  /** Takes a notice unless the same one was told within the last 20 hours. Returns at once, never throws. */
  tell(notice: Notice): void;
  /** Tells `resolved` if anything was told about this account (or, without a name, about the service) that still stands. */
  resolve(account: string | undefined, text: string): void;
  /** Resolves when everything is delivered or given up, or the time is over. */
  flush(withinMs: number): Promise<void>;
};

/** The same notice again: daily, whatever the jitter of the day. */
const repeatAfterMs = 20 * 3_600_000;
const maxWaiting = 500;
const maxPerPost = 50;
const postTimeoutMs = 10_000;
/** So that what happens in one moment is one message. */
const gatherMs = 1_000;
/** Waits between the tries of one message; then it is given up, and told on the log. */
export const deliveryWaitsMs: readonly number[] = [1_000, 5_000, 30_000, 120_000, 600_000];
const longestRetryAfterMs = 600_000;

export function openNotifier(options: NotifyOptions): Notifier {
  const { clock, log, onDelivery = () => {} } = options;
  const waiting: Notice[] = [];
  /** When what was told last; the subject is an account, or '' for the service. */
  const told = new Map<string, Map<string, number>>();
  let dropped = 0;
  let delivering: Promise<void> | null = null;
  let hurry = new AbortController();

  function enqueue(notice: Notice): void {
    if (waiting.length >= maxWaiting) {
      dropped += 1;
      onDelivery('dropped', 1);
      return;
    }
    waiting.push(notice);
    delivering ??= deliverAll().finally(() => {
      delivering = null;
    });
  }

  async function deliverAll(): Promise<void> {
    await clock.sleep(gatherMs, hurry.signal);
    while (waiting.length > 0) {
      const batch = waiting.splice(0, maxPerPost);
      const lost = dropped;
      dropped = 0;
      if (await deliver(batch, lost)) continue;
      onDelivery('failed', batch.length);
      // It was not told, so it may be told again.
      for (const { account = '', ...notice } of batch) told.get(account)?.delete(sameness(notice));
    }
  }

  async function deliver(batch: readonly Notice[], lost: number): Promise<boolean> {
    for (let tries = 1; ; tries += 1) {
      const answer = await post(options, batch, lost);
      if (answer.delivered) {
        onDelivery('delivered', batch.length);
        return true;
      }
      const waitMs = deliveryWaitsMs[tries - 1];
      const isLast = waitMs === undefined || answer.final || hurry.signal.aborted;
      log[isLast ? 'error' : 'warn'](isLast ? 'notify.failed' : 'notify.retried', {
        detail: answer.detail,
        count: batch.length,
        tries,
      });
      if (isLast) return false;
      await clock.sleep(Math.max(waitMs, answer.retryAfterMs ?? 0), hurry.signal);
    }
  }

  return {
    tell: (notice) => {
      const { account = '' } = notice;
      const nowMs = clock.monotonicMs();
      const about = told.get(account) ?? new Map<string, number>();
      const lastMs = about.get(sameness(notice));
      if (lastMs !== undefined && nowMs - lastMs < repeatAfterMs) return;
      about.set(sameness(notice), nowMs);
      told.set(account, about);
      enqueue(notice);
    },
    resolve: (account, text) => {
      if (!told.delete(account ?? '')) return;
      enqueue({ kind: 'resolved', text, ...(account === undefined ? {} : { account }) });
    },
    flush: async (withinMs) => {
      if (!delivering) return;
      hurry.abort();
      const over = new AbortController();
      await Promise.race([delivering.then(() => over.abort()), clock.sleep(withinMs, over.signal)]);
      hurry = new AbortController();
    },
  };
}

const sameness = ({ kind, reason }: Pick<Notice, 'kind' | 'reason'>): string =>
  `${kind} ${reason ?? ''}`;

type Posted = {
  readonly delivered: boolean;
  readonly final?: boolean;
  readonly detail: string;
  readonly retryAfterMs?: number;
};

async function post(
  { webhook, key, host, clock }: NotifyOptions,
  notices: readonly Notice[],
  dropped: number,
): Promise<Posted> {
  const sentAtMs = clock.nowMs();
  const body = JSON.stringify({
    text: textOf(notices, dropped),
    source: 'thingspace-rotator',
    host,
    sentAt: isoTime(sentAtMs),
    dropped,
    notices,
  });
  const headers: Record<string, string> = {
    'content-type': 'application/json',
    'user-agent': 'thingspace-rotator',
  };
  if (key) headers['x-rotator-signature'] = signature(key, Math.floor(sentAtMs / 1000), body);
  try {
    // A redirect would take the notice, and its signature, to an address nobody configured.
    const answer = await fetch(webhook, {
      method: 'POST',
      headers,
      body,
      redirect: 'error',
      signal: AbortSignal.timeout(postTimeoutMs),
    });
    await answer.body?.cancel();
    if (answer.ok) return { delivered: true, detail: '' };
    const mayChange = answer.status === 408 || answer.status === 429 || answer.status >= 500;
    const seconds = Number(answer.headers.get('retry-after') ?? Number.NaN);
    const retryAfterMs = Number.isFinite(seconds)
      ? Math.min(Math.max(0, seconds) * 1000, longestRetryAfterMs)
      : 0;
    return {
      delivered: false,
      final: !mayChange,
      detail: `the webhook answered HTTP ${answer.status}`,
      retryAfterMs,
    };
  } catch (error) {
    // Never its message: it may quote the address.
    const isLate = error instanceof Error && error.name === 'TimeoutError';
    return {
      delivered: false,
      detail: isLate ? 'the webhook did not answer in time' : 'the webhook could not be reached',
    };
  }
}

/** `t=1795464000,v1=<hex>`: the receiver computes HMAC-SHA256 over "t.body", and refuses an old t. */
export function signature(key: KeyObject, atSeconds: number, body: string): string {
  return `t=${atSeconds},v1=${createHmac('sha256', key).update(`${atSeconds}.${body}`).digest('hex')}`;
}

const maxLines = 20;

/** What a channel shows: one line per notice, the first twenty. */
function textOf(notices: readonly Notice[], dropped: number): string {
  const lines = notices.slice(0, maxLines).map(({ kind, account, text, next }) => {
    const subject = account === undefined ? '' : `*${escapeText(account)}*: `;
    return `${marks[kind]} ${subject}${escapeText(text)}${next ? ` _${escapeText(next)}_` : ''}`;
  });
  const more = notices.length - lines.length + dropped;
  return [
    ...lines,
    ...(more > 0 ? [`… and ${more} more; see thingspace-rotator status`] : []),
  ].join('\n');
}

const marks: Readonly<Record<NoticeKind, string>> = {
  stopped: ':octagonal_sign:',
  lost: ':rotating_light:',
  'in-doubt': ':question:',
  changed: ':warning:',
  'verify-failed': ':rotating_light:',
  overdue: ':hourglass:',
  failing: ':warning:',
  'audit-failed': ':rotating_light:',
  outage: ':electric_plug:',
  resolved: ':white_check_mark:',
  'all-is-well': ':white_check_mark:',
};

/** Slack's three: a name can then neither mention a channel nor begin a link. */
const escapeText = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
