// What readers see of a stored record: its fields by our own names, taken from any JSON object that has the few we need.
// A record is somebody else's text until the tree has been checked: nothing here throws, nothing here trusts a type.

/** A record, flat. Fields that are absent or of another type are `undefined`. */
export type RecordView = {
  readonly sequence: number;
  readonly uid: string;
  /** UTC milliseconds, stamped by the writer. */
  readonly timeMs: number;
  readonly code: string;
  readonly status: 'started' | 'success' | 'failure' | 'unknown';
  readonly severity: number;
  readonly account: string | undefined;
  readonly username: string | undefined;
  readonly rotationId: string | undefined;
  readonly reason: string | undefined;
  readonly detail: string | undefined;
  readonly actor: string;
  readonly trigger: string | undefined;
  readonly requestedBy: string | undefined;
  readonly why: string | undefined;
  readonly changeRef: string | undefined;
  readonly productVersion: string | undefined;
  /** Everything under `unmapped`. */
  readonly more: Readonly<Record<string, unknown>>;
};

type Fields = Readonly<Record<string, unknown>>;

const fieldsOf = (value: unknown): Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : {};
const textOf = (value: unknown): string | undefined =>
  typeof value === 'string' ? value : undefined;
const countOf = (value: unknown): number | undefined =>
  Number.isSafeInteger(value) && (value as number) >= 0 ? (value as number) : undefined;

const statuses: Readonly<Record<string, RecordView['status']>> = {
  '1': 'success',
  '2': 'failure',
  '99': 'started',
};

/** The fields of a line's JSON object; `null` when it is no JSON object. */
export function parseLine(line: string | Buffer): Fields | null {
  try {
    const value: unknown = JSON.parse(typeof line === 'string' ? line : line.toString('utf8'));
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Fields)
      : null;
  } catch {
    return null;
  }
}

/** The view of a record; `null` when uid, sequence, time or event code are missing. */
export function viewOf(record: Fields): RecordView | null {
  const metadata = fieldsOf(record['metadata']);
  const user = fieldsOf(record['user']);
  const more = fieldsOf(record['unmapped']);
  const actor = fieldsOf(record['actor']);
  const [sequence, timeMs] = [countOf(metadata['sequence']), countOf(metadata['logged_time'])];
  const [uid, code] = [textOf(metadata['uid']), textOf(metadata['event_code'])];
  if (sequence === undefined || timeMs === undefined || uid === undefined || code === undefined)
    return null;
  return {
    sequence,
    uid,
    timeMs,
    code,
    status: statuses[String(record['status_id'])] ?? 'unknown',
    severity: countOf(record['severity_id']) ?? 0,
    account: textOf(fieldsOf(user['account'])['name']),
    username: textOf(user['account'] === undefined ? undefined : user['name']),
    rotationId: textOf(metadata['correlation_uid']),
    reason: textOf(record['status_code']),
    detail: textOf(record['status_detail']),
    actor: textOf(fieldsOf(actor['user'])['name']) ?? textOf(actor['app_name']) ?? '',
    trigger: textOf(more['trigger']),
    requestedBy: textOf(more['requested_by']),
    why: textOf(more['reason']),
    changeRef: textOf(more['change_ref']),
    productVersion: textOf(fieldsOf(metadata['product'])['version']),
    more,
  };
}

/** The view of a stored line; `null` when it is no record. */
export function viewLine(line: string | Buffer): RecordView | null {
  const record = parseLine(line);
  return record && viewOf(record);
}
