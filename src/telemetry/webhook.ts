// One message to one receiver by HTTP. The address, which may be a secret, never reaches a log.
//
//   POST {webhook}
//   content-type: application/json
//   webhook-id, webhook-timestamp, webhook-signature      json with notify.secretFile

import type { KeyObject } from 'node:crypto';
import { Webhook } from 'standardwebhooks';
import { UsageError } from '../config/errors.ts';
import { toDate } from '../time.ts';
import { bodiesOf, type Format } from './formats.ts';
import {
  type Alert,
  type AlertKind,
  isAtLeast,
  type Message,
  type Severity,
} from './notification.ts';
import { type PostFailure, post } from './post.ts';

export type ReceiverOptions = {
  readonly name: string;
  readonly webhook: string;
  readonly format: Format;
  /** Signs the body of `json`; the routing key of `pagerduty`. */
  readonly key?: KeyObject | undefined;
  readonly minSeverity: Severity;
  /** All kinds when it is empty. */
  readonly kinds: readonly AlertKind[];
};

/** Why a receiver did not accept a message. `isFinal`: it refuses this message, not every one. */
export type DeliveryFailure = {
  readonly detail: string;
  readonly isFinal: boolean;
  readonly retryAfterMs: number;
};

export type Receiver = ReturnType<typeof openReceiver>;

const postTimeoutMs = 10_000;
const longestRetryAfterMs = 600_000;

/** Throws a UsageError when the key is not usable. */
export function openReceiver(options: ReceiverOptions) {
  const { name, webhook, format, key, minSeverity, kinds } = options;
  const signer = key && format === 'json' ? signerOf(key) : null;
  const routingKey = format === 'pagerduty' ? key?.export().toString('utf8').trim() : undefined;
  /** Whether this receiver is for such an alert. */
  const accepts = ({ kind, of, severity }: Alert): boolean =>
    isAtLeast(severity, minSeverity) && (kinds.length === 0 || kinds.includes(of ?? kind));
  return {
    name,
    accepts,
    /** Sends what it accepts of a message; null when all of it was accepted. Never rejects. */
    send: async (
      { id, alerts, isDigest }: Message,
      host: string,
      nowMs: number,
    ): Promise<DeliveryFailure | null> => {
      const sent = { isDigest, host, sentAtMs: nowMs, routingKey };
      for (const body of bodiesOf(format, { ...sent, alerts: alerts.filter(accepts) })) {
        const signature = signer ? sign(signer, id, nowMs, body) : {};
        const headers = { 'content-type': 'application/json', ...signature };
        const request = { method: 'POST', headers, body };
        const failed = await post('webhook', webhook, postTimeoutMs, request);
        if (failed) return deliveryFailure(failed);
      }
      return null;
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

function deliveryFailure({ detail, response }: PostFailure): DeliveryFailure {
  if (!response) return { detail, isFinal: false, retryAfterMs: 0 };
  const { status, headers } = response;
  const seconds = Number(headers.get('retry-after') ?? Number.NaN);
  return {
    detail,
    isFinal: status !== 408 && status !== 429 && status < 500,
    retryAfterMs: Number.isFinite(seconds)
      ? Math.min(Math.max(0, seconds) * 1000, longestRetryAfterMs)
      : 0,
  };
}

function sign(signer: Webhook, id: string, sentAtMs: number, body: string) {
  return {
    'webhook-id': id,
    'webhook-timestamp': String(Math.floor(sentAtMs / 1000)),
    'webhook-signature': signer.sign(id, toDate(sentAtMs), body),
  };
}
