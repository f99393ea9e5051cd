// What the function is asked: EventBridge Scheduler's event, an order by hand, and the SQS messages that one invocation sends to
// others. Parser and printer of the message side by side. What does not fit is refused with the nearest right word.

import { suggestion, UsageError } from '../config/errors.ts';
import type { Trigger } from '../rotation/event.ts';

/** What one invocation of `scheduled` is to do. */
export type Order = {
  readonly purpose: 'rotate' | 'check' | 'recover' | 'resume';
  /** Account names; none means all that are enabled. */
  readonly accounts: readonly string[];
  readonly force: boolean;
  readonly trigger: Trigger;
};

const actions = ['rotate', 'check', 'recover', 'resume'] as const;
const orderKeys = ['action', 'accounts', 'force', 'reason', 'changeRef', 'requestedBy'];

/** How long free text by people may be. */
const maxText = 1_024;

type Fields = Readonly<Record<string, unknown>>;

const isFields = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/**
 * The order in an event. Anything that names a `source` or a `detail-type` and no `action` is the schedule's. Throws a UsageError for
 * an order by hand that cannot be carried out. `requestId` goes to the audit record: CloudTrail knows who that was.
 */
export function readOrder(event: unknown, requestId: string): Order {
  if (!isFields(event) || event['action'] === undefined) {
    if (isFields(event) && (typeof event['source'] === 'string' || 'detail-type' in event))
      return {
        purpose: 'rotate',
        accounts: [],
        force: false,
        trigger: { kind: 'schedule', requestedBy: `lambda:${requestId}` },
      };
    throw new UsageError(
      'the event has no "action"; by hand it is {"action":"rotate","accounts":["NAME"],"force":true,"reason":"TEXT"}',
    );
  }
  const problems: string[] = [];
  const isForced = event['force'] === true;
  for (const key of Object.keys(event))
    if (!orderKeys.includes(key))
      problems.push(`unknown key in the event: ${suggestion(key, orderKeys)}`);
  const purpose = actions.find((name) => name === event['action']);
  if (purpose === undefined)
    problems.push(`unknown action; ${suggestion(String(event['action']), actions)}`);
  const { accounts = [] } = event;
  const isList =
    Array.isArray(accounts) && accounts.every((name) => typeof name === 'string' && name !== '');
  if (!isList) problems.push('"accounts" takes a list of account names');
  if (!['boolean', 'undefined'].includes(typeof event['force']))
    problems.push('"force" takes true or false');
  const text = (key: string): string | undefined => {
    const value = event[key];
    if (value === undefined) return undefined;
    if (typeof value === 'string' && value.length <= maxText) return value;
    problems.push(`"${key}" takes a text of at most ${maxText} letters`);
    return undefined;
  };
  const [reason, changeRef, requestedBy] = [text('reason'), text('changeRef'), text('requestedBy')];
  if (purpose === 'resume' && reason === undefined)
    problems.push('"resume" needs a "reason": why the account may go on');
  if (purpose === 'resume' && isList && accounts.length === 0)
    problems.push('"resume" needs "accounts": which ones may go on');
  if (problems.length > 0 || purpose === undefined) throw new UsageError(problems);
  const trigger: Trigger = {
    kind: purpose === 'recover' ? 'recovery' : 'manual',
    // What the caller says of himself is not proven; the request id is, by CloudTrail.
    requestedBy:
      requestedBy === undefined ? `lambda:${requestId}` : `${requestedBy} (lambda:${requestId})`,
    ...(reason === undefined ? {} : { reason }),
    ...(changeRef === undefined ? {} : { changeRef }),
  };
  return { purpose, accounts: accounts as string[], force: isForced, trigger };
}

/** One account for `worker`. */
export type Work = {
  readonly account: string;
  readonly secretId: string;
  readonly force: boolean;
  /** A password that is younger than this has been rotated by an earlier copy of the message; UTC milliseconds. */
  readonly requestedAtMs: number;
  readonly trigger: Trigger;
};

const workFormat = 'thingspace-rotator/work/1';

export function formatWork(work: Work): string {
  return JSON.stringify({ format: workFormat, ...work });
}

/** The work in a message's body; `null` for anything this release did not write. */
export function parseWork(body: string): Work | null {
  let value: unknown;
  try {
    value = JSON.parse(body);
  } catch {
    return null;
  }
  if (!isFields(value) || value['format'] !== workFormat) return null;
  const { account, secretId, force, requestedAtMs, trigger } = value;
  if (typeof account !== 'string' || typeof secretId !== 'string' || typeof force !== 'boolean')
    return null;
  if (!Number.isSafeInteger(requestedAtMs) || !isFields(trigger)) return null;
  const kind = (['schedule', 'manual', 'native', 'recovery'] as const).find(
    (name) => name === trigger['kind'],
  );
  if (kind === undefined) return null;
  const text = (key: string): Record<string, string> =>
    typeof trigger[key] === 'string' ? { [key]: trigger[key].slice(0, maxText + 100) } : {};
  return {
    account,
    secretId,
    force,
    requestedAtMs: requestedAtMs as number,
    trigger: { kind, ...text('requestedBy'), ...text('reason'), ...text('changeRef') },
  };
}
