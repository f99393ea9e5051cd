// Notifications to a webhook: text that Slack shows, and the same data as JSON. Delivery is best
// effort and bounded. It never delays a rotation, and the address, which may be a secret, never
// reaches a log.
//
//   POST {webhook}
//   content-type: application/json
//   webhook-id, webhook-timestamp, webhook-signature      with notify.secretFile
//
//   { "text": "…", "source": "thingspace-rotator", "host": "ops-1",
//     "sentAt": "2026-11-23T03:17:04Z", "dropped": 0,
//     "notices": [ { "kind": "stopped", "account": "fleet-east", "reason": "login-refused",
//                    "text": "…", "next": "…" } ] }

import { type KeyObject, randomUUID } from 'node:crypto';
import { Webhook } from 'standardwebhooks';
import { UsageError } from '../config/errors.ts';
import type { Clock } from '../rotation/ports.ts';
import { isoTime, toDate } from '../time.ts';
import type { Log } from './log.ts';

/** What happened, with its Slack mark. `resolved`: an earlier alert is over. */
const marks = {
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
} as const;

/** One alert: names, reasons and sentences of this program; its type has no place for a secret. */
export type Alert = {
  readonly kind: keyof typeof marks;
  /** Sentences for people, without the name of the account. */
  readonly text: string;
  readonly account?: string | undefined;
  readonly reason?: string | undefined;
  readonly detail?: string | undefined;
  readonly next?: string | undefined;
  readonly rotationId?: string | undefined;
  /** Days of 24 hours, two decimals; negative when overdue. */
  readonly daysLeft?: number | undefined;
};

export type NotifierOptions = {
  readonly webhook: string;
  /** Signs the body; without it the body is not signed. */
  readonly key?: KeyObject | undefined;
  /** The name of this machine. */
  readonly host: string;
  readonly clock: Pick<Clock, 'nowMs' | 'monotonicMs' | 'sleep'>;
  readonly log: Pick<Log, 'info' | 'warn' | 'error'>;
  /** Counts alerts by result. */
  readonly onDelivery?: (result: 'delivered' | 'failed' | 'dropped', count: number) => void;
};

export type Notifier = ReturnType<typeof openNotifier>;

/** The same alert is sent once a day, whatever the jitter of the day. */
const repeatAfterMs = 20 * 3_600_000;
const maxWaiting = 500;
const maxPerPost = 50;
const postTimeoutMs = 10_000;
/** Alerts of the same moment are sent in one message. */
const gatherMs = 1_000;
/** Delays between the tries of one message; after the last one it has failed. */
export const deliveryDelaysMs: readonly number[] = [1_000, 5_000, 30_000, 120_000, 600_000];
const longestRetryAfterMs = 600_000;

/** Throws a UsageError when the key is not usable. */
export function openNotifier(options: NotifierOptions) {
  const { clock, key, onDelivery = () => {} } = options;
  const signer = key === undefined ? null : signerOf(key);
  const waiting: Alert[] = [];
  /** When each alert was sent last, by account ('' for the service) and by kind and reason. */
  const sent = new Map<string, Map<string, number>>();
  let dropped = 0;
  let delivering: Promise<void> | null = null;
  let hurry = new AbortController();

  function enqueue(alert: Alert): void {
    if (waiting.length >= maxWaiting) {
      dropped += 1;
      onDelivery('dropped', 1);
      return;
    }
    waiting.push(alert);
    delivering ??= deliverAll().finally(() => {
      delivering = null;
    });
  }

  async function deliverAll(): Promise<void> {
    await clock.sleep(gatherMs, hurry.signal);
    while (waiting.length > 0) {
      const batch = waiting.splice(0, maxPerPost);
      const message = { id: `msg_${randomUUID()}`, notices: batch, dropped };
      dropped = 0;
      const isDelivered = await deliver(options, signer, message, () => hurry.signal);
      onDelivery(isDelivered ? 'delivered' : 'failed', batch.length);
      // An alert that was not delivered may be sent again.
      if (!isDelivered)
        for (const alert of batch) sent.get(alert.account ?? '')?.delete(keyOf(alert));
    }
  }

  return {
    /** Sends an alert unless it was sent within 20 hours. Returns at once, never throws. */
    send: (alert: Alert): void => {
      const { account = '' } = alert;
      const nowMs = clock.monotonicMs();
      const ofAccount = sent.get(account) ?? new Map<string, number>();
      const lastMs = ofAccount.get(keyOf(alert));
      if (lastMs !== undefined && nowMs - lastMs < repeatAfterMs) return;
      sent.set(account, ofAccount.set(keyOf(alert), nowMs));
      enqueue(alert);
    },
    /** Sends `resolved` if an alert about this account (undefined: the service) was sent. */
    resolve: (account: string | undefined, text: string): void => {
      if (sent.delete(account ?? '')) enqueue({ kind: 'resolved', text, account });
    },
    /** Resolves when everything is delivered or failed, or after `withinMs`. */
    flush: async (withinMs: number): Promise<void> => {
      if (!delivering) return;
      hurry.abort();
      const ended = new AbortController();
      await Promise.race([
        delivering.then(() => ended.abort()),
        clock.sleep(withinMs, ended.signal),
      ]);
      hurry = new AbortController();
    },
  };
}

/** A key `whsec_…` is base64 (Standard Webhooks); any other key is used as it is. */
function signerOf(key: KeyObject): Webhook {
  const bytes = key.export();
  const text = bytes.toString('utf8');
  if (!text.startsWith('whsec_')) return new Webhook(bytes, { format: 'raw' });
  try {
    return new Webhook(text);
  } catch {
    throw new UsageError('notify.secretFile: the text after "whsec_" is not base64');
  }
}

const keyOf = ({ kind, reason }: Alert): string => `${kind} ${reason ?? ''}`;

type Message = {
  readonly id: string;
  readonly notices: readonly Alert[];
  readonly dropped: number;
};

/** Whether the webhook accepted the message, at the latest after all retries. */
async function deliver(
  options: NotifierOptions,
  signer: Webhook | null,
  message: Message,
  hurry: () => AbortSignal,
): Promise<boolean> {
  const { clock, log } = options;
  for (let tries = 1; ; tries += 1) {
    const failed = await post(options, signer, message);
    if (!failed) return true;
    const { detail, isFinal, retryAfterMs } = failed;
    const delayMs = deliveryDelaysMs[tries - 1];
    const fields = { detail, count: message.notices.length, tries };
    if (delayMs === undefined || isFinal || hurry().aborted) {
      log.error('notify.failed', fields);
      return false;
    }
    log.warn('notify.retried', fields);
    await clock.sleep(Math.max(delayMs, retryAfterMs), hurry());
  }
}

/** `isFinal`: a retry cannot help. */
type PostFailure = {
  readonly detail: string;
  readonly isFinal: boolean;
  readonly retryAfterMs: number;
};

/** Sends one message; null when the webhook accepted it. */
async function post(
  { webhook, host, clock }: NotifierOptions,
  signer: Webhook | null,
  { id, notices, dropped }: Message,
): Promise<PostFailure | null> {
  const sentAtMs = clock.nowMs();
  const body = JSON.stringify({
    text: textOf(notices, dropped),
    source: 'thingspace-rotator',
    host,
    sentAt: isoTime(sentAtMs),
    dropped,
    notices,
  });
  try {
    // A redirect would send the message, and its signature, to an address that is not configured.
    const response = await fetch(webhook, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        'user-agent': 'thingspace-rotator',
        ...(signer && signatureHeaders(signer, id, sentAtMs, body)),
      },
      body,
      redirect: 'error',
      signal: AbortSignal.timeout(postTimeoutMs),
    });
    await response.body?.cancel();
    return response.ok ? null : failureOf(response);
  } catch (error) {
    // The message of the error is left out: it may quote the address.
    const isLate = error instanceof Error && error.name === 'TimeoutError';
    const detail = isLate ? 'the webhook did not answer in time' : 'the webhook is unreachable';
    return { detail, isFinal: false, retryAfterMs: 0 };
  }
}

function failureOf({ status, headers }: Response): PostFailure {
  const seconds = Number(headers.get('retry-after') ?? Number.NaN);
  return {
    detail: `the webhook answered HTTP ${status}`,
    isFinal: status !== 408 && status !== 429 && status < 500,
    retryAfterMs: Number.isFinite(seconds)
      ? Math.min(Math.max(0, seconds) * 1000, longestRetryAfterMs)
      : 0,
  };
}

function signatureHeaders(
  signer: Webhook,
  id: string,
  sentAtMs: number,
  body: string,
): Record<string, string> {
  return {
    'webhook-id': id,
    'webhook-timestamp': String(Math.floor(sentAtMs / 1000)),
    'webhook-signature': signer.sign(id, toDate(sentAtMs), body),
  };
}

const maxLines = 20;

/** What a channel shows: one line per alert, the first twenty. */
function textOf(alerts: readonly Alert[], dropped: number): string {
  const lines = alerts.slice(0, maxLines).map(({ kind, account, text, next }) => {
    const subject = account === undefined ? '' : `*${escapeText(account)}*: `;
    return `${marks[kind]} ${subject}${escapeText(text)}${next ? ` _${escapeText(next)}_` : ''}`;
  });
  const more = alerts.length - lines.length + dropped;
  if (more > 0) lines.push(`… and ${more} more. To list them: \`thingspace-rotator status\``);
  return lines.join('\n');
}

/** The characters that Slack escapes: a name must not mention a channel or begin a link. */
const escapeText = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
