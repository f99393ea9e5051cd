// What the evidence means: the decision table of docs/ROTATION.md, rule 2, and the checks for
// drift, rule 5. Every attempt begins here, so a restart is not a special path; `status` and
// `check` show the same rows without acting. Pure.

import type { Secret } from '../secret.ts';
import type { Facts, Reason } from './failure.ts';
import type { SecretVersion } from './ports.ts';
import type { AttemptRecord, ClosedRotation, OpenRotation, StoppedRecord } from './record.ts';
import {
  type Details,
  type Evidence,
  type OpenReason,
  type Questions,
  type Request,
  settledAfterMs,
  type Timing,
  type Write,
} from './state.ts';

/** How long after a rotation the store may return data from before it; milliseconds. */
const outdatedReadMs = 60_000;

/** What to do about one account. */
export type Finding =
  /** Nothing is open. */
  | { readonly finding: 'closed'; readonly sinceMs: number; readonly isAgeKnown: boolean }
  /** Another process holds the account for `forMs` more. */
  | { readonly finding: 'busy'; readonly forMs: number; readonly record: AttemptRecord }
  /** Automatic rotation is suspended, and the evidence since then does not clear it. */
  | { readonly finding: 'stopped'; readonly record: StoppedRecord }
  | { readonly finding: 'foreign-pending'; readonly versionId: string }
  /** The store does not have what the audit log, or its own record, names: it is an older copy. */
  | { readonly finding: 'store-older'; readonly missing: Missing }
  /**
   * The audit log is newer than what the store returned, by so little that the read may be
   * outdated.
   */
  | { readonly finding: 'outdated'; readonly forMs: number }
  /** The current version holds a password that a closed rotation replaced. */
  | { readonly finding: 'old-password'; readonly write: Write }
  /** The new password is current; it needs no login any more where `isVerified`. */
  | {
      readonly finding: 'verify';
      readonly open: OpenRotation;
      readonly isVerified: boolean;
    }
  /**
   * The new password is known and not current. `isGiven`: typed by a person, to be proven first.
   */
  | {
      readonly finding: 'write';
      readonly open: OpenRotation;
      readonly write: Write;
      readonly isGiven: boolean;
      /** The receipt that holds it, where no version does. */
      readonly place?: string | undefined;
    }
  /** One login with the current password decides. */
  | {
      readonly finding: 'test';
      readonly open: OpenRotation;
      readonly ifAccepted: 'not-applied' | 'superseded';
      readonly ifRefused: 'password-lost' | 'store-conflict';
      readonly isKnown: boolean;
    }
  /** A receipt exists that cannot be opened here. */
  | { readonly finding: 'sealed'; readonly open: OpenRotation; readonly place: string }
  /** The bytes of the response are kept, and hold no readable password. */
  | { readonly finding: 'unreadable'; readonly open: OpenRotation; readonly versionId: string }
  /** A slow reset may still be processed. */
  | { readonly finding: 'wait'; readonly forMs: number };

/** The version of a rotation, or the attempt record of a suspension. */
type Missing =
  | { readonly rotationId: string; readonly versionId: string }
  | { readonly attemptRecord: number };

/**
 * The open rotation in the evidence. One of 0.1 is closed where its version is current and the
 * audit log has it as verified.
 */
export function openIn({ record, current, lastRotation }: Evidence): OpenRotation | undefined {
  const open = record?.record.open;
  const isClosed =
    open?.isLegacy &&
    open.rotationId === current.versionId &&
    open.rotationId === lastRotation?.rotationId &&
    lastRotation.isVerified;
  return isClosed ? undefined : open;
}

/**
 * The closed rotations that the record names, newest first; with the one that `openIn` takes as
 * closed.
 */
export function historyIn(evidence: Evidence): readonly ClosedRotation[] {
  const { record, current } = evidence;
  const history = record?.record.history ?? [];
  const open = record?.record.open;
  if (open === undefined || openIn(evidence) !== undefined) return history;
  const { rotationId, basis } = open;
  const sinceMs = current.createdAtMs;
  return [
    { rotationId, as: 'rotated', versionId: rotationId, replaced: basis, sinceMs },
    ...history,
  ];
}

/**
 * Whether the record's owner may still be working: its lease, on the store's clock, is valid, and
 * its process is not known to have ended.
 */
export function hasValidLease({ record, liveness }: Evidence): boolean {
  return record !== null && liveness !== 'gone' && record.ageMs < record.record.leaseMs;
}

/** Milliseconds until the server can no longer process the open reset; 0 when that time is over. */
export function settleLeftMs({ record, liveness }: Evidence, timing: Timing): number {
  const open = record?.record.open;
  if (!record || !open) return 0;
  const limit = open.isLegacy
    ? Math.max(open.settleLeftMs, settledAfterMs(timing))
    : open.settleLeftMs;
  const left = Math.max(0, limit - record.ageMs);
  // A process that runs may hold the only copy, whatever a clock says. Its lease ends what it may
  // send.
  return record.record.phase === 'resetting' && liveness === 'alive' ? Math.max(left, 1_000) : left;
}

/** The newest rotation that made its password current. */
const lastRotated = (evidence: Evidence): ClosedRotation | undefined =>
  historyIn(evidence).find(({ as }) => as === 'rotated');

/** What must be read before the evidence can be classified. */
export function questionsOf(evidence: Evidence, request: Request): Questions {
  const { current, record } = evidence;
  const open = openIn(evidence);
  const refused = record?.record.phase === 'stopped' ? record.record.refused : undefined;
  const last = lastRotated(evidence);
  const isDrifted = last?.versionId !== undefined && last.versionId !== current.versionId;
  const { pending } = evidence;
  const isForeign = pending !== null && !namesIn(evidence).includes(pending);
  const past = open || isDrifted || isForeign ? pastVersions(evidence) : [];
  const wanted = open ? [open.rotationId, open.basis, ...past] : past;
  const versionIds = new Set([...wanted, ...(refused === undefined ? [] : [refused])]);
  if (isForeign) for (const id of [pending, ...namesIn(evidence)]) versionIds.add(id);
  // The current version is read by its id too, wherever a login or a write may depend on it.
  if (versionIds.size > 0) versionIds.add(current.versionId);
  const rotationId = open?.rotationId ?? null;
  const restores = isDrifted ? last.rotationId : null;
  if (request.native) versionIds.add(request.native.rotationId);
  return { versionIds: [...versionIds], rotationId, restores };
}

/** The versions that closed rotations made and replaced. */
const pastVersions = (evidence: Evidence): string[] =>
  historyIn(evidence)
    .flatMap(({ versionId, replaced }) => [versionId, replaced])
    .filter((id) => id !== undefined);

/**
 * The version that the answers show to be current, where the read by label was outdated; null where
 * they agree.
 */
export function fresherCurrent(
  { current }: Evidence,
  { versions }: Details,
): SecretVersion | 'unknown' | null {
  const labelled = [...versions.values()].find((version) => version?.stages.includes('AWSCURRENT'));
  if (labelled) return labelled.versionId === current.versionId ? null : labelled;
  return versions.get(current.versionId) ? 'unknown' : null;
}

/** What the evidence and the answers mean. */
export function classify(evidence: Evidence, details: Details, request: Request): Finding {
  const { record: found } = evidence;
  const record = found?.record;
  const open = openIn(evidence);
  if (found && hasValidLease(evidence) && !request.impatient)
    return { finding: 'busy', forMs: found.record.leaseMs - found.ageMs, record: found.record };
  const missing = missingIn(evidence);
  if (missing !== null) {
    const forMs = missing.atMs + outdatedReadMs - evidence.atMs;
    return forMs > 0 ? { finding: 'outdated', forMs } : { finding: 'store-older', missing };
  }
  const finding = open
    ? classifyOpen(open, evidence, details, request)
    : classifyClosed(evidence, details);
  if (record?.phase === 'stopped' && isStillStopped(record, finding, evidence, details))
    return { finding: 'stopped', record };
  return finding;
}

/** What the audit log has and the store has not. */
function missingIn(evidence: Evidence): (Missing & { readonly atMs: number }) | null {
  const { lastRotation, suspension = null, record } = evidence;
  if (lastRotation !== null && !namesIn(evidence).includes(lastRotation.rotationId))
    return lastRotation;
  const isMissing = suspension && (record?.record.sequence ?? 0) < suspension.attemptRecord;
  return isMissing ? suspension : null;
}

/** Every rotation and version that the record names. */
const namesIn = (evidence: Evidence): readonly string[] => [
  ...(evidence.record?.record.open ? [evidence.record.record.open.rotationId] : []),
  ...historyIn(evidence).flatMap(({ rotationId, versionId = rotationId }) => [
    rotationId,
    versionId,
  ]),
];

function classifyOpen(
  open: OpenRotation,
  evidence: Evidence,
  details: Details,
  request: Request,
): Finding {
  const { current } = evidence;
  const { versions, recoveryId, receipt, answer } = details;
  if (recoveryId === null) throw new Error('bug: an open rotation was examined without its id');
  const [stored, recovered] = [versions.get(open.rotationId), versions.get(recoveryId)];
  const given = request.receipt?.rotationId === open.rotationId ? request.receipt : undefined;
  const password =
    recovered?.credentials.password ??
    stored?.credentials.password ??
    given?.password ??
    details.password;
  const basis = open.basis === current.versionId ? current : versions.get(open.basis);
  const isBasis = basis ? hasSamePassword(current, basis) : false;
  const isOld = holdsOldPassword(evidence, details);

  if (password && current.credentials.password.equals(password))
    return { finding: 'verify', open, isVerified: open.verified === true };
  if (password && (isBasis || isOld)) {
    const isFirst = current.versionId === open.basis && !recovered;
    const versionId = isFirst ? open.rotationId : recoveryId;
    const isStored = versions.get(versionId)?.credentials.password.equals(password) === true;
    const isTyped = !stored && !recovered && given?.password !== undefined;
    const { rotationId, startedAtMs: sinceMs } = open;
    const source = recovered?.versionId ?? stored?.versionId;
    const write = { rotationId, versionId, password, source, isStored, sinceMs };
    const place = source === undefined ? receipt?.place : undefined;
    const saving = { ...write, isVerified: false };
    return { finding: 'write', open, write: saving, isGiven: isTyped, place };
  }
  if (password)
    return {
      finding: 'test',
      open,
      ifAccepted: 'superseded',
      ifRefused: 'store-conflict',
      isKnown: password !== given?.password,
    };
  // The kept response needs no key, so it comes before a sealed receipt of the same bytes.
  if (answer) return { finding: 'unreadable', open, versionId: answer.versionId };
  if (receipt) return { finding: 'sealed', open, place: receipt.place };
  const forMs = settleLeftMs(evidence, request.timing);
  if (forMs > 0) return { finding: 'wait', forMs };
  // An old password cannot be valid: the one that the reset began with is proven and written first.
  const restored = isBasis ? null : replacedPassword(evidence, details);
  if (restored) return restored;
  const ifAccepted = isBasis ? 'not-applied' : 'superseded';
  return { finding: 'test', open, ifAccepted, ifRefused: 'password-lost', isKnown: false };
}

function classifyClosed(evidence: Evidence, details: Details): Finding {
  const { current, pending } = evidence;
  const { versions } = details;
  const last = lastRotated(evidence);
  const newest = last?.versionId === undefined ? undefined : versions.get(last.versionId);
  const isNewest =
    last?.versionId === current.versionId || (newest && hasSamePassword(current, newest));
  const restored = isNewest ? null : replacedPassword(evidence, details);
  if (restored) return restored;
  if (pending !== null && isForeign(pending, evidence, details))
    return { finding: 'foreign-pending', versionId: pending };
  const knownMs = isNewest ? last?.sinceMs : undefined;
  const isAgeKnown = knownMs !== undefined || isCurrentDated(evidence);
  const sinceMs = knownMs ?? details.sinceMs ?? current.createdAtMs;
  return { finding: 'closed', sinceMs, isAgeKnown };
}

/** Whether a rotation made the current version, or who stored it said how old the password is. */
export const isCurrentDated = (evidence: Evidence): boolean => {
  const { versionId } = evidence.current;
  const isOurs = historyIn(evidence).some((one) => one.versionId === versionId);
  return isOurs || evidence.lastRotation?.versionId === versionId || saidSinceMs(evidence) !== null;
};

/** Since when the current password is in use, as the person said who stored it; else null. */
export const saidSinceMs = ({ current, stored }: Evidence): number | null =>
  stored?.versionId === current.versionId ? stored.sinceMs : null;

/**
 * What to do where a closed rotation replaced the current password; null where none did. The later
 * one is proven and written over it. Where its version is gone, the store is an older copy.
 */
function replacedPassword(evidence: Evidence, details: Details): Finding | null {
  const { versions, restoreId } = details;
  const last = lastRotated(evidence);
  if (last?.versionId === undefined || !holdsOldPassword(evidence, details)) return null;
  const { rotationId, versionId } = last;
  const newest = versions.get(versionId);
  if (!newest) return { finding: 'store-older', missing: { rotationId, versionId } };
  if (restoreId === null) return null;
  const { sinceMs = newest.createdAtMs } = last;
  const { password } = newest.credentials;
  const isStored = versions.get(restoreId)?.credentials.password.equals(password) === true;
  const source = newest.versionId;
  const write = { rotationId, versionId: restoreId, password, source, isStored, sinceMs };
  return { finding: 'old-password', write: { ...write, isVerified: false } };
}

/**
 * Whether a version under AWSPENDING belongs to no rotation of this secret: neither its id nor its
 * password is known.
 */
function isForeign(pending: string, evidence: Evidence, { versions }: Details): boolean {
  if (namesIn(evidence).includes(pending)) return false;
  const version = versions.get(pending);
  return ![...namesIn(evidence), ...pastVersions(evidence)].some((id) => {
    const past = versions.get(id);
    return version && past && hasSamePassword(version, past);
  });
}

/** Whether the current version holds a password that a closed rotation replaced. */
function holdsOldPassword(evidence: Evidence, { versions }: Details): boolean {
  const { current } = evidence;
  const newest = lastRotated(evidence)?.versionId;
  return pastVersions(evidence).some((id) => {
    const past = id === current.versionId ? current : versions.get(id);
    return id !== newest && past && hasSamePassword(current, past);
  });
}

export const hasSamePassword = (one: SecretVersion, other: SecretVersion): boolean =>
  one.credentials.password.equals(other.credentials.password);

/**
 * A suspension ends when the next login would use another password than the rejected one. Editing
 * another key of the secret does not clear it; nor does anything clear a spent login limit but
 * `resume`.
 */
function isStillStopped(
  record: StoppedRecord,
  finding: Finding,
  { current }: Evidence,
  { versions }: Details,
): boolean {
  if (finding.finding === 'sealed' || finding.finding === 'store-older') return false;
  if (record.reason === 'login-budget-spent') return true;
  const refused = record.refused === undefined ? null : versions.get(record.refused);
  if (!refused) return false;
  return refused.credentials.password.equals(passwordFor(finding, current));
}

/** The password that the next login would use. */
function passwordFor(finding: Finding, current: SecretVersion): Secret {
  return finding.finding === 'write' || finding.finding === 'old-password'
    ? finding.write.password
    : current.credentials.password;
}

/** What is true about the password while this rotation is open. */
export function openReasonOf(finding: Finding): OpenReason | undefined {
  switch (finding.finding) {
    case 'verify':
      return 'verify-unavailable';
    case 'write':
      // A password that a person typed is not known to be that of the reset.
      if (finding.isGiven) return 'answer-lost';
      return finding.write.source === undefined ? 'not-stored' : 'not-promoted';
    case 'test':
      return finding.isKnown ? 'not-promoted' : 'answer-lost';
    case 'old-password':
      return 'old-password-restored';
    default:
      return undefined;
  }
}

/**
 * The reason to report for a finding that is not acted on; null for a closed account.
 */
export function reasonOf(finding: Finding): Reason | null {
  switch (finding.finding) {
    case 'busy':
      return finding.record.open ? 'in-flight' : 'busy';
    case 'stopped':
      return finding.record.reason;
    case 'foreign-pending':
      return 'foreign-pending';
    case 'outdated':
      return 'busy';
    case 'store-older':
      return 'store-older-than-audit';
    case 'sealed':
      return 'receipt-sealed';
    case 'unreadable':
      return 'answer-unreadable';
    case 'wait':
      return 'settling';
    default:
      return openReasonOf(finding) ?? null;
  }
}

/** The detail of a finding, for people; undefined where the reason says it all. */
export function detailOf(finding: Finding, { current }: Evidence): string | undefined {
  switch (finding.finding) {
    case 'busy':
      return describeOwner(finding.record, finding.forMs);
    case 'foreign-pending':
      return (
        `AWSPENDING is on version ${finding.versionId}, which no rotation of this program ` +
        `names`
      );
    case 'store-older': {
      const { missing } = finding;
      const name =
        'versionId' in missing
          ? `version ${missing.versionId} of rotation ${missing.rotationId}`
          : `attempt record ${missing.attemptRecord}, which suspends the account`;
      return `the secret store is an older copy: it does not have ${name}`;
    }
    case 'outdated':
      return (
        `the secret store returned data that is older than the audit log; retry in ` +
        `${Math.ceil(finding.forMs / 1000)} s`
      );
    case 'old-password':
      return (
        `version ${current.versionId} holds a password that rotation ` +
        `${finding.write.rotationId} replaced`
      );
    case 'write': {
      const { source } = finding.write;
      return source === undefined
        ? 'the new password is in a receipt on this machine'
        : `the new password is in version ${source}`;
    }
    case 'test':
      return `one login with version ${current.versionId} shows which password is valid`;
    case 'sealed':
      return `no key on this machine opens the receipt ${finding.place}`;
    case 'unreadable':
      return `the response is kept in version ${finding.versionId} under the label ROTATION_ANSWER`;
    case 'wait':
      return `retry in ${Math.ceil(finding.forMs / 1000)} s`;
    default:
      return undefined;
  }
}

/** What a finding adds to the facts of its reason. */
export function factsOf(finding: Finding, { atMs, pending }: Evidence): Facts {
  const about = finding.finding === 'store-older' ? finding.missing : finding;
  return {
    receipt: 'place' in finding ? finding.place : undefined,
    suspendedAtMs: finding.finding === 'stopped' ? finding.record.writtenAtMs : undefined,
    pendingVersionId: 'versionId' in about ? about.versionId : (pending ?? undefined),
    retryAtMs: 'forMs' in finding ? atMs + finding.forMs : undefined,
  };
}

/** Who owns a record and how long, in words. */
function describeOwner({ phase, holder: owner }: AttemptRecord, forMs: number): string {
  const pid = owner.pid === undefined ? '' : ` (process ${owner.pid})`;
  const where = owner.host === undefined ? owner.id : `${owner.host}${pid}`;
  return `${phase} by ${where}, lease ends in ${Math.ceil(forMs / 1000)} s`;
}
