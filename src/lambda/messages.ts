// What the functions receive: the event of EventBridge Scheduler, an order, and the SQS messages
// that one invocation sends to others. The printer and the parser of the message are both here.

import * as z from 'zod';
import { UsageError } from '../config/errors.ts';
import { freeText, idempotencyKey, maxTextLength, type Order, parseOrder } from '../order.ts';
import { type Trigger, triggerKinds } from '../rotation/event.ts';

/** What one invocation of `scheduled` does. Without names: all enabled accounts. */
export type ScheduledOrder = Order & { readonly trigger: Trigger; readonly idempotencyKey: string };

/**
 * The order in an event. An event with a `source` or a `detail-type` and without an `action` is one
 * of the schedule. Throws a UsageError. `requestId` goes into the audit record: CloudTrail knows
 * its caller. It is the idempotency key of an order without one: when Lambda repeats an invocation,
 * it repeats the id.
 */
export function readOrder(event: unknown, requestId: string): ScheduledOrder {
  const request = `lambda:${requestId}`;
  if (isScheduleEvent(event)) {
    const order = parseOrder({}, 'event', { action: 'rotate' });
    const trigger: Trigger = { kind: 'schedule', requestedBy: request };
    return { ...order, trigger, idempotencyKey: requestId };
  }
  const order = parseOrder(event, 'event');
  const { action, requestedBy, reason, changeRef, idempotencyKey = requestId } = order;
  const trigger: Trigger = {
    kind: action === 'recover' ? 'recovery' : 'manual',
    // The name is what the caller claims; CloudTrail proves the request id.
    requestedBy: requestedBy === undefined ? request : `${requestedBy} (${request})`,
    reason,
    changeRef,
  };
  return { ...order, trigger, idempotencyKey };
}

/** Whether this is the schedule of the recover sweep (serverless.yml). */
export function isSweep(event: unknown): boolean {
  return isScheduleEvent(event) && Object(event)['detail-type'] === 'sweep';
}

function isScheduleEvent(event: unknown): boolean {
  if (typeof event !== 'object' || event === null || 'action' in event) return false;
  return 'detail-type' in event || ('source' in event && typeof event.source === 'string');
}

const format = 'thingspace-rotator/work/1';

const workSchema = z.object({
  format: z.literal(format),
  account: freeText,
  secretId: z.string().min(1),
  force: z.boolean(),
  /** SQS can deliver a message twice. Absent in messages of 0.1. */
  idempotencyKey: idempotencyKey.optional(),
  trigger: z.object({
    kind: z.enum(triggerKinds),
    // The name, and the request id in parentheses.
    requestedBy: z
      .string()
      .max(maxTextLength + 100)
      .optional(),
    reason: freeText.optional(),
    changeRef: freeText.optional(),
  }),
});

/** One account for `worker`. */
export type Work = Readonly<Omit<z.output<typeof workSchema>, 'format'>>;

export const formatWork = (work: Work): string => JSON.stringify({ format, ...work });

/**
 * The work in the body of a message. Throws a UsageError for a message that this release did not
 * write.
 */
export function parseWork(body: string): Work {
  let value: unknown;
  try {
    value = JSON.parse(body);
  } catch {
    throw new UsageError('The message takes JSON.');
  }
  const parsed = workSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  const fields = new Set(parsed.error.issues.map(({ path }) => path.join('.')));
  throw new UsageError(
    [...fields].map((field) => `"${field}" in the message is missing or has a wrong value.`),
  );
}
