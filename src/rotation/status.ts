// The status of an account, read-only: what the survey finds, how old the password is, and what to
// do next. For `status`, the status page, the metrics and the report. Contacts only the store and
// sends no login.

import { nextStep } from './catalogue.ts';
import {
  classify,
  detailOf,
  type Finding,
  factsOf,
  fresherCurrent,
  isCurrentDated,
  openIn,
  questionsOf,
  reasonOf,
} from './classify.ts';
import { type Facts, Failure, failures, type Reason, storeFailures } from './failure.ts';
import { ageDays, clockToleranceMs, dueAtMs, dueness } from './policy.ts';
import type { Ports } from './ports.ts';
import { examine, survey } from './rotate.ts';
import type { Details, Evidence, Policy, Request } from './state.ts';

export type AccountStatus = {
  readonly account: string;
  readonly secretId: string;
  /** `settled`: no rotation is in progress. `unreadable`: the store did not give usable data. */
  readonly state: 'settled' | 'busy' | 'in-doubt' | 'changed' | 'stopped' | 'unreadable';
  readonly reason?: Reason | undefined;
  readonly detail?: string | undefined;
  /** The first step to take, on one line; empty when there is none. */
  readonly next: string;
  /** What is known about a failure, for `explain` (catalogue.ts). */
  readonly facts?: Facts | undefined;
  readonly username?: string | undefined;
  readonly versionId?: string | undefined;
  /** When the password was first stored; UTC milliseconds. */
  readonly passwordSinceMs?: number | undefined;
  /** Whether the age of the password is known: from a rotation, or from who stored it. */
  readonly isAgeKnown?: boolean | undefined;
  /** Where the age is not known: since it was stored, which decides when it is due. */
  readonly ageDays?: number | undefined;
  /** Days until the password is older than the policy's maxAgeDays; negative when overdue. */
  readonly daysLeft?: number | undefined;
  readonly dueAtMs?: number | undefined;
  readonly dueness?: ReturnType<typeof dueness> | undefined;
  /** The newest rotation that this secret's attempts name. */
  readonly rotationId?: string | undefined;
  readonly loginsSpent?: number | undefined;
};

/** What `readStatus` needs of the loop's ports. */
type StatusPorts = Omit<Ports, 'observe'>;

/**
 * Reads what an attempt would read, and classifies it the same way. Never throws a Failure: what
 * cannot be read is `unreadable`.
 */
export async function readStatus(ports: StatusPorts, request: Request): Promise<AccountStatus> {
  const { account, secretId, store, policy } = request;
  const known: Facts = { account, secretId, store };
  const unread: Failure[] = [];
  // What the store says is worth knowing, also without the audit log.
  const audit: Ports['audit'] = {
    ...ports.audit,
    rotationsOf: (name) =>
      ports.audit.rotationsOf(name).catch((error: unknown) => {
        if (!(error instanceof Failure)) throw error;
        unread.push(error);
        return { open: [], last: null };
      }),
  };
  try {
    const { evidence, details } = await readFresh({ ...ports, audit }, request);
    const finding = classify(evidence, details, request);
    const { current, record } = evidence;
    const loginsSpent = record?.record.loginsSpent ?? 0;
    const sinceMs = sinceOf(finding, evidence, details);
    const rotationId = record?.record.open?.rotationId ?? record?.record.history?.[0]?.rotationId;
    const facts = { ...known, versionId: current.versionId, loginsSpent };
    const found = described(finding, evidence, facts);
    const [failure] = unread;
    return {
      account,
      secretId,
      ...(failure && found.state === 'settled' ? unreadableBy(failure, facts) : found),
      username: current.credentials.username,
      versionId: current.versionId,
      rotationId,
      loginsSpent,
      ...ages(sinceMs, isAgeKnown(finding, evidence), ports.clock.nowMs(), policy),
    };
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    return { account, secretId, ...unreadableBy(error, known) };
  }
}

/** What could not be read is not known to be in order. */
function unreadableBy({ reason, facts, message: detail }: Failure, known: Facts): Described {
  const found = failed(reason, { ...known, ...facts, detail });
  return { ...found, state: found.state === 'settled' ? 'unreadable' : found.state };
}

/** How often what is outdated is read again. */
const readingTries = 3;

/** The evidence and the answers, unless they show that a read was outdated. Throws a Failure. */
async function readFresh(
  ports: StatusPorts,
  request: Request,
): Promise<{ evidence: Evidence; details: Details }> {
  let atLeast = 0;
  for (let tries = 0; tries < readingTries; tries += 1) {
    const evidence = await survey(ports, request, atLeast);
    const questions = questionsOf(evidence, request);
    const details = await examine(ports, request, { evidence, questions });
    if (details.newer === null && fresherCurrent(evidence, details) === null)
      return { evidence, details };
    atLeast = details.newer?.record.sequence ?? atLeast;
  }
  throw new Failure('busy', 'the secret store returns outdated data');
}

/** Since when the current password is valid. */
function sinceOf(finding: Finding, { current }: Evidence, { sinceMs }: Details): number {
  if (finding.finding === 'closed') return finding.sinceMs;
  if (finding.finding === 'verify') return finding.open.startedAtMs;
  return sinceMs ?? current.createdAtMs;
}

function isAgeKnown(finding: Finding, evidence: Evidence): boolean {
  if (finding.finding === 'closed') return finding.isAgeKnown;
  return finding.finding === 'verify' || isCurrentDated(evidence);
}

function ages(sinceMs: number, isAgeKnown: boolean, nowMs: number, policy: Policy) {
  const age = ageDays(sinceMs, nowMs);
  return {
    passwordSinceMs: sinceMs,
    // A date in the future was written while a clock was wrong.
    isAgeKnown: isAgeKnown && sinceMs <= nowMs + clockToleranceMs,
    ageDays: age,
    daysLeft: policy.maxAgeDays - age,
    dueAtMs: dueAtMs(sinceMs, policy),
    dueness: dueness(age, policy),
  };
}

type Described = Pick<AccountStatus, 'state' | 'reason' | 'detail' | 'next' | 'facts'>;

function described(finding: Finding, evidence: Evidence, known: Facts): Described {
  const reason = reasonOf(finding);
  if (reason === null) return { state: 'settled', next: '', facts: known };
  const open = openIn(evidence);
  const facts: Facts = {
    ...known,
    detail: detailOf(finding, evidence),
    rotationId: open?.rotationId,
    unfinishedSinceMs: open?.startedAtMs,
    ...factsOf(finding, evidence),
  };
  return failed(reason, facts);
}

/** The reasons for which the state of the password cannot be read from the store. */
const unreadable: readonly Reason[] = [...storeFailures, 'secret-not-found', 'secret-invalid'];

/** The state of an account for which this reason is known, from its attempt or from its secret. */
export function stateOfReason(reason: Reason): AccountStatus['state'] {
  if (reason === 'busy') return 'busy';
  if (unreadable.includes(reason)) return 'unreadable';
  const { certainty } = failures[reason];
  if (certainty === 'lost') return 'stopped';
  return certainty === 'unchanged' ? 'settled' : certainty;
}

function failed(reason: Reason, facts: Facts): Described {
  const { detail } = facts;
  const next = nextStep(reason, facts);
  const state = stateOfReason(reason);
  return { state, reason, next, facts, detail };
}
