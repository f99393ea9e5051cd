import { describeHolder, doubtedRotation, isHeld, probeInMs, survey } from '../classify.ts';
import type { AuditEvent } from '../event.ts';
import { Failure, type Reason } from '../failure.ts';
import { ageDays, dueness } from '../policy.ts';
import type { AttemptRecord } from '../record.ts';
import {
  auditOf,
  claimed,
  concernsRotation,
  ending,
  released,
  stopEvents,
  stoppedBy,
} from '../result.ts';
import {
  type ClaimPurpose,
  type Evidence,
  type Is,
  type Moment,
  neededForResetMs,
  type Of,
  type Outcome,
  type Request,
  type State,
} from '../state.ts';

/** Two below the lock: five consecutive failed logins lock the user, and only Verizon unlocks it. */
const loginBudget = 3;

/** The evidence is in: claim, roll forward, look closer, or say why not. */
export function afterSurvey(state: Is<'surveying'>, outcome: Of<'survey'>): State {
  const { evidence } = outcome;
  if (evidence instanceof Failure)
    return ending(state, outcome, { reason: evidence.reason, detail: evidence.message });
  const next = following(
    { ...state, tally: { ...state.tally, earlier: earlierRotations(evidence) } },
    outcome,
    evidence,
  );
  const sequence = evidence.record?.record.sequence ?? 0;
  // A write that reached the store after its writer had given up may have moved ROTATION back to an older record. A claim
  // finds out by being taken; whatever else follows is only believed after asking for the record behind this one.
  if (next.at === 'claiming' || sequence <= state.tally.lookedPast) return next;
  return {
    at: 'surveying',
    request: state.request,
    tally: { ...state.tally, lookedPast: sequence },
  };
}

/** How many rotations that came to nothing may follow one whose version still carries AWSPENDING, with that label out of sight. */
const earlierKept = 8;

/** Our own rotations that AWSPENDING may be on. The one it is seen on comes first, so it is never the one that is forgotten. */
function earlierRotations({ record, pending }: Evidence): readonly string[] {
  const { rotationId, earlier = [] } = record?.record ?? {};
  const known = rotationId === undefined ? earlier : [rotationId, ...earlier];
  const seen = pending !== null && known.includes(pending) ? [pending] : [];
  return [...new Set([...seen, ...known])].slice(0, earlierKept);
}

function following(state: Is<'surveying'>, outcome: Of<'survey'>, evidence: Evidence): State {
  const { request } = state;
  const at = { ...outcome, current: evidence.current };
  const found = survey(evidence, request);
  switch (found.finding) {
    case 'clean':
      return afterCleanSurvey(state, outcome, evidence);
    case 'busy': {
      const reason: Reason = doubtedRotation(found.record) === undefined ? 'busy' : 'in-flight';
      return ending(state, at, { reason, detail: describeHolder(found.record, found.forMs) });
    }
    case 'promote':
      if (rollsNothing(request))
        return ending(state, at, { reason: 'not-promoted', rotationId: found.rotationId });
      return {
        at: 'promoting',
        request,
        tally: state.tally,
        current: evidence.current,
        sequence: found.record.sequence,
        rotationId: found.rotationId,
        answered: null,
        tries: 0,
        waitMs: 0,
      };
    case 'examine':
      return {
        at: 'examining',
        request,
        tally: state.tally,
        evidence,
        rotationId: found.rotationId,
      };
    case 'stopped':
      if (request.purpose === 'resume')
        return resumed(state, at, found.record, untoldStop(state, evidence, found.record));
      return ending(state, at, stoppedAlready(found.record), {
        audit: untoldStop(state, evidence, found.record),
      });
    case 'foreign-pending':
      return ending(state, at, {
        reason: 'foreign-pending',
        detail: `AWSPENDING is on version ${found.versionId}, which no attempt of ours names`,
      });
  }
}

/** A check looks, and a resume lifts; neither rolls an open rotation forward. */
const rollsNothing = ({ purpose }: Request): boolean => purpose === 'check' || purpose === 'resume';

function stoppedAlready(record: { reason: Reason; rotationId?: string; sequence: number }): {
  reason: Reason;
  detail: string;
  rotationId?: string;
} {
  const detail = `stopped by attempt ${record.sequence}; lifted by a new AWSCURRENT or by resume`;
  return {
    reason: record.reason,
    detail,
    ...(record.rotationId === undefined ? {} : { rotationId: record.rotationId }),
  };
}

/** A stop whose writer died before the audit log heard of it leaves its intent open; this closes it. */
function untoldStop(
  state: Is<'surveying'>,
  evidence: Evidence,
  record: Extract<AttemptRecord, { phase: 'stopped' }>,
): AuditEvent[] {
  return evidence.openIntents.flatMap(({ rotationId }) =>
    rotationId === record.rotationId && concernsRotation(record.reason)
      ? stopEvents(state, evidence.current, record.reason, { rotationId })
      : [superseded(state, evidence, rotationId)],
  );
}

/** An operator's word lifts a stop and a spent budget: the password is known to be right, or has been put right. */
function resumed(
  state: Is<'surveying'>,
  at: Moment,
  record: AttemptRecord,
  untold: readonly AuditEvent[],
): State {
  const { rotationId } = record;
  const facts = {
    username: at.current.credentials.username,
    ...(rotationId === undefined ? {} : { rotationId }),
  };
  // The release does not name the rotation: it does not say that this one came to nothing.
  const { rotationId: _, ...release } = released(state, at, {
    after: record,
    loginsSpent: 0,
    keepDoubt: false,
  });
  return ending(
    state,
    at,
    { outcome: 'settled' },
    { record: release, audit: [...untold, auditOf(state, 'account.resumed', 'success', facts)] },
  );
}

function afterCleanSurvey(state: Is<'surveying'>, outcome: Outcome, evidence: Evidence): State {
  const { request } = state;
  const { current, record } = evidence;
  const age = ageDays(current.createdAtMs, outcome.atMs);
  const ours = state.tally.earlier.includes(current.versionId);
  // A holder that promoted a moment ago closes its intent by itself; testSecret is that closing.
  const leave = isHeld(evidence) && !request.native && !request.impatient;
  const closes = leave
    ? []
    : evidence.openIntents
        .map((intended) => intended.rotationId)
        .filter((id) => id !== state.tally.recovered);
  const toVerify = state.tally.recovered ?? closes.find((id) => id === current.versionId) ?? null;
  const carried = closes
    .filter((id) => id !== current.versionId)
    .map((rotationId) => superseded(state, evidence, rotationId));
  const looked = {
    ...state,
    tally: { ...state.tally, ageDays: age, carried: [...state.tally.carried, ...carried] },
  };
  const at = { ...outcome, current };

  if (request.receipt && request.receipt.rotationId !== current.versionId) {
    return ending(looked, at, {
      reason: 'receipt-unavailable',
      detail: `the receipt is of rotation ${request.receipt.rotationId}, and nothing is open; AWSCURRENT is version ${current.versionId}`,
    });
  }
  if (request.purpose === 'resume') {
    if (record === null || record.record.loginsSpent === 0)
      return ending(state, at, {
        outcome: 'settled',
        detail: 'nothing to resume: the account is not stopped',
      });
    return resumed(looked, at, { ...record.record, basis: current.versionId }, []);
  }
  if (request.purpose === 'check') return claim(looked, at, evidence, 'check', toVerify);
  if (request.native && request.native.rotationId === current.versionId)
    return ending(looked, at, { outcome: 'rotated', rotationId: current.versionId });
  if (toVerify !== null) return claim(looked, at, evidence, 'verify', toVerify);
  if (request.purpose === 'recover') return ending(looked, at, { outcome: 'settled' });
  if (request.force || dueness(age, request.policy) !== 'not-due')
    return claim(looked, at, evidence, 'rotate', null);
  // A young version may hold an old password, since editing another key makes a new version too. Ours never does.
  if (ours) return ending(looked, at, { outcome: 'not-due' });
  return { at: 'dating', request, tally: looked.tally, evidence };
}

/** An intent that AWSCURRENT has moved past: refused and released, or overtaken by a value from elsewhere. */
function superseded(
  state: Is<'surveying'>,
  { record, current }: Evidence,
  rotationId: string,
): AuditEvent {
  const known = record?.record;
  const isNewest = known?.rotationId === rotationId;
  const nothingHappened = isNewest && known.phase === 'released' && !known.doubtful;
  const isOpen =
    isNewest && known.basis === current.versionId && doubtedRotation(known) === rotationId;
  const unknown = isOpen
    ? 'nobody knows whether this reset happened, and nothing automatic will find out'
    : 'its end was not recorded, and AWSCURRENT is on another version';
  return auditOf(state, 'rotation.reconciled', nothingHappened ? 'failure' : 'unknown', {
    rotationId,
    username: current.credentials.username,
    certainty: nothingHappened ? 'unchanged' : 'in-doubt',
    detail: nothingHappened ? 'the attempt ended before anything changed' : unknown,
    versionAfter: current.versionId,
  });
}

/** Claims the account, counting the login that follows; or stops it when the budget is spent. */
function claim(
  state: State,
  at: Moment,
  evidence: Evidence,
  purpose: ClaimPurpose,
  closes: string | null,
): State {
  const { request } = state;
  const spentBefore = evidence.record?.record.loginsSpent ?? 0;
  const sequence = Math.max(evidence.record?.record.sequence ?? 0, state.tally.atLeast) + 1;
  if (spentBefore >= loginBudget)
    return stoppedBy(state, at, 'login-budget-spent', {
      sequence,
      loginsSpent: spentBefore,
      known: knownBy(evidence),
    });
  if (purpose === 'rotate' && at.remainingMs < neededForResetMs(request.timing))
    return ending(state, at, { reason: 'out-of-time' });
  const record = claimed(state, at, {
    sequence,
    loginsSpent: spentBefore + 1,
    known: knownBy(evidence),
  });
  return {
    at: 'claiming',
    request,
    tally: state.tally,
    current: at.current,
    claim: purpose,
    record,
    spentBefore,
    closes,
  };
}

/** What a claim carries on: the open doubt. A rotation that a released record names without doubt came to nothing. */
function knownBy({ record, current }: Evidence): { rotationId?: string; doubtful?: true } {
  const doubted =
    record?.record.basis === current.versionId ? doubtedRotation(record.record) : undefined;
  return doubted === undefined ? {} : { rotationId: doubted, doubtful: true };
}

/** An open doubt was looked into: store what a receipt holds, probe with one login, or wait. */
export function afterExamining(state: Is<'examining'>, outcome: Of<'find-receipt'>): State {
  const { request, evidence, rotationId } = state;
  const record = evidence.record?.record;
  if (!record) throw new Error('bug: nothing to examine without a record');
  const at = { ...outcome, current: evidence.current };
  if (outcome.saved instanceof Failure)
    return ending(state, at, {
      reason: outcome.saved.reason,
      rotationId,
      detail: outcome.saved.message,
    });
  if (outcome.saved && state.tally.foundSaved !== rotationId)
    return { at: 'surveying', request, tally: { ...state.tally, foundSaved: rotationId } };
  if (outcome.saved && record.phase !== 'stopped') {
    // Twice in the store and not under AWSPENDING: it has been current, and AWSCURRENT was moved back by hand. That record is history.
    const history = {
      ...evidence,
      record: { ageMs: evidence.record?.ageMs ?? 0, record: { ...record, basis: rotationId } },
    };
    return afterCleanSurvey({ at: 'surveying', request, tally: state.tally }, outcome, history);
  }
  if (outcome.password) {
    if (rollsNothing(request))
      return ending(state, at, {
        reason: 'not-stored',
        rotationId,
        detail: 'a receipt on this machine holds the new password',
      });
    const answered = {
      current: evidence.current,
      sequence: record.sequence,
      rotationId,
      password: outcome.password,
      session: null,
    };
    return {
      at: 'storing',
      request,
      tally: state.tally,
      ...answered,
      answeredAtMonotonicMs: outcome.atMonotonicMs,
      tries: 0,
      waitMs: 0,
    };
  }
  if (request.receipt) {
    return ending(state, at, {
      reason: 'receipt-unavailable',
      rotationId,
      detail:
        request.receipt.rotationId === rotationId
          ? 'the receipt holds no password that we can read; open it with age -d'
          : `the receipt is of rotation ${request.receipt.rotationId}; the open one is ${rotationId}`,
    });
  }
  if (record.phase === 'stopped') return ending(state, at, stoppedAlready(record));
  // Secrets Manager repeats a failed rotation by itself, several times: no login may be spent by that.
  if (request.native || rollsNothing(request))
    return ending(state, at, { reason: 'answer-lost', rotationId });
  const waitMs = probeInMs(evidence, request.timing);
  if (waitMs > 0) {
    // A process that lives may yet bring the answer; otherwise only the server's time has to pass.
    const reason =
      evidence.liveness === 'alive' && record.phase === 'resetting' ? 'in-flight' : 'settling';
    return ending(state, at, {
      reason,
      rotationId,
      detail: `look again in ${Math.ceil(waitMs / 1000)} s`,
    });
  }
  return claim(state, at, evidence, 'probe', null);
}

/** The age of a password whose version looks young is known: due or not. */
export function afterDating(state: Is<'dating'>, outcome: Of<'date-password'>): State {
  const { evidence, request } = state;
  const at = { ...outcome, current: evidence.current };
  if (outcome.sinceMs instanceof Failure)
    return ending(state, at, { reason: outcome.sinceMs.reason, detail: outcome.sinceMs.message });
  const age = ageDays(outcome.sinceMs, outcome.atMs);
  const dated = { ...state, tally: { ...state.tally, ageDays: age } };
  if (dueness(age, request.policy) === 'not-due') return ending(dated, at, { outcome: 'not-due' });
  return claim(dated, at, evidence, 'rotate', null);
}
