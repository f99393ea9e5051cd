// The attempt record: a small JSON document without any credential, kept as versions of the secret itself
// under the label ROTATION. It is the lock, the journal and the login budget in one. Printer and parser
// stand side by side; the token that names a record's version is derived in stores/ (it needs a hash).
//
//   {
//     "format": "thingspace-rotator/attempt/1",
//     "sequence": 7,                     counts up over the secret's whole life
//     "phase": "resetting",              claimed | resetting | released | stopped
//     "basis": "…",                      VersionId that carried AWSCURRENT when the attempt began
//     "holder": { "id": "…", … },        who wrote it; random, so two writers never have equal content
//     "writtenAtMs": 1795464000000,      the writer's clock: for people, nothing is decided by it
//     "leaseMs": 60000,                  how long the writer may be left alone, on the store's clock
//     "loginsSpent": 1,                  logins since the last accepted one, the next one included
//     "rotationId": "…",                 the newest rotation this secret knows, if any
//     "earlier": ["…"],                  rotations before that one: AWSPENDING may still be on the version of one of them
//     "doubtful": true,                  claimed, released, stopped: that rotation's reset may have happened
//     "reason": "login-refused"          stopped only
//   }

import { Failure, type StopReason, stopReasons } from './failure.ts';

/** Who holds an attempt: a random id, and, where the platform tells, the process, so that its death can be seen. */
export type Holder = {
  readonly id: string;
  readonly host?: string;
  readonly boot?: string;
  readonly namespace?: string;
  readonly pid?: number;
  readonly startedAt?: string;
};

type Common = {
  readonly sequence: number;
  readonly basis: string;
  readonly holder: Holder;
  readonly writtenAtMs: number;
  readonly leaseMs: number;
  readonly loginsSpent: number;
  readonly earlier?: readonly string[];
};

/** A rotation that this secret has seen, and whether its reset may have happened without our knowing the answer. */
export type KnownRotation = { readonly rotationId?: string; readonly doubtful?: true };

export type AttemptRecord =
  | (Common & KnownRotation & { readonly phase: 'claimed' })
  | (Common & { readonly phase: 'resetting'; readonly rotationId: string })
  | (Common & KnownRotation & { readonly phase: 'released' })
  | (Common & KnownRotation & { readonly phase: 'stopped'; readonly reason: StopReason });

const format = 'thingspace-rotator/attempt/1';

/** The record's JSON, the same bytes for the same record. */
export function formatRecord(record: AttemptRecord): string {
  return JSON.stringify({ format, ...record });
}

/** The record in `text`. Throws `record-invalid` for anything this release did not write. */
export function parseRecord(text: string): AttemptRecord {
  const invalid = (what: string): Failure =>
    new Failure(
      'record-invalid',
      `the version under ROTATION is not an attempt record of this release: ${what}`,
    );
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw invalid('it is not JSON');
  }
  if (typeof value !== 'object' || value === null) throw invalid('it is not an object');
  const { format: found, ...fields } = value as Record<string, unknown>;
  if (found !== format) throw invalid(`its "format" is not "${format}"`);
  const problem = problemWith(fields);
  if (problem) throw invalid(problem);
  return fields as AttemptRecord;
}

/** Whether a parsed JSON value claims to be an attempt record of some release. */
export function isRecord(value: unknown): boolean {
  return (
    typeof value === 'object' &&
    value !== null &&
    String((value as Record<string, unknown>)['format']).startsWith('thingspace-rotator/attempt/')
  );
}

function problemWith(fields: Record<string, unknown>): string | null {
  const isCount = (value: unknown): boolean =>
    Number.isSafeInteger(value) && (value as number) >= 0;
  const isText = (value: unknown): boolean => typeof value === 'string' && value !== '';
  if (!['claimed', 'resetting', 'released', 'stopped'].includes(String(fields['phase'])))
    return '"phase" is unknown';
  for (const key of ['sequence', 'leaseMs', 'loginsSpent', 'writtenAtMs'])
    if (!isCount(fields[key])) return `"${key}" is not a count`;
  if (!isText(fields['basis'])) return '"basis" is missing';
  const holder = fields['holder'];
  if (
    typeof holder !== 'object' ||
    holder === null ||
    !isText((holder as Record<string, unknown>)['id'])
  )
    return '"holder" is missing';
  if (fields['rotationId'] !== undefined && !isText(fields['rotationId']))
    return '"rotationId" is not a text';
  if (fields['phase'] === 'resetting' && fields['rotationId'] === undefined)
    return '"rotationId" is missing';
  if (fields['doubtful'] !== undefined && fields['doubtful'] !== true)
    return '"doubtful" is not true';
  const earlier = fields['earlier'];
  if (earlier !== undefined && !(Array.isArray(earlier) && earlier.every(isText)))
    return '"earlier" is not a list of texts';
  if (
    fields['phase'] === 'stopped' &&
    !(stopReasons as readonly unknown[]).includes(fields['reason'])
  )
    return '"reason" is unknown';
  return null;
}
