// What an exploration has reached: every state with every outcome, every row of the decision table,
// every reason and every crash point. `npm run sim -- --reach` fails when one was never reached.

import { classify, type Finding, fresherCurrent } from '../../src/rotation/classify.ts';
import { Failure, failures, type Reason } from '../../src/rotation/failure.ts';
import type { Outcome, Result, State } from '../../src/rotation/state.ts';
import type { Step } from '../harness/world-run.ts';

const counts = new Map<string, number>();

function reached(name: string): void {
  counts.set(name, (counts.get(name) ?? 0) + 1);
}

/** Names that the simulation cannot reach, and why. */
const unreachable: Readonly<Record<string, string>> = {
  'reason store-missing': 'the store is there; test/contract/file-store.test.ts',
  'reason secret-not-found': 'the secret is never deleted; test/contract/secrets-manager.test.ts',
  'reason secret-invalid': 'documents stay readable; test/unit and test/contract have the others',
  'reason record-invalid': 'nobody writes under ROTATION; test/unit/rotation-record.test.ts',
};

const rows = [
  'closed',
  'busy',
  'stopped',
  'foreign-pending',
  'store-older',
  'outdated',
  'old-password',
  'verify, not verified',
  'verify, verified',
  'write, from the version before the reset',
  'write, from an edited version',
  'write, from a receipt',
  'write, typed',
  'test, not-applied',
  'test, superseded, password known',
  'test, superseded, password unknown',
  'sealed',
  'unreadable',
  'wait',
] as const;

const plans = ['rotate', 'check', 'verify', 'test', 'prove'] as const;
const outcomes: Readonly<Record<string, readonly string[]>> = {
  surveying: ['read', 'store-unavailable', 'audit-unavailable', 'busy'],
  examining: [
    'store-unavailable',
    'receipt-unavailable',
    'newer record',
    'outdated',
    ...rows.map((row) => `row ${row}`),
  ],
  claiming: [
    'written',
    'taken',
    'claim failed',
    'no token',
    'key refused',
    'no room',
    'interrupted',
  ],
  entering: [
    ...plans.flatMap((plan) =>
      ['accepted', 'refused', 'unknown', 'not-sent'].map((login) => `${plan}, ${login}`),
    ),
    'late',
    'read back other',
    'read back failed',
    'interrupted',
  ],
  intending: ['durable', 'record taken', 'record failed', 'audit failed', 'receipt failed'],
  resetting: [
    'answered',
    'answered, not readable',
    'in doubt',
    'in doubt, with bytes',
    ...['session', 'throttled', 'code'].map((because) => `refused, ${because}`),
    ...['interrupted', 'out-of-time', 'busy', 'reset-refused'].map((why) => `not sent, ${why}`),
  ],
  keeping: ['kept', 'failed', 'denied'],
  storing: ['stored', 'taken', 'failed', 'denied'],
  promoting: ['promoted', 'conflict', 'failed', 'denied'],
  verifying: ['accepted', 'refused', 'unknown', 'not-sent'],
  ending: ['done', 'record failed', 'record taken', 'audit failed'],
};

const crashes = [
  ...['claimed', 'resetting', 'released', 'stopped'].map((phase) => `putRecord ${phase}`),
  ...['readCurrent', 'readVersion', 'putPending', 'putAnswer', 'promote', 'log in', 'reset'],
  ...['write the receipt', 'find the receipt', 'discard the receipt'],
  ...['rotation.intended', 'rotation.outcome', 'secret.stored', 'account.stopped'].map(
    (code) => `append ${code}`,
  ),
];

const expected: readonly string[] = [
  ...Object.entries(outcomes).flatMap(([at, names]) => names.map((name) => `${at}: ${name}`)),
  ...(Object.keys(failures) as Reason[]).map((reason) => `reason ${reason}`),
  ...['rotated', 'recovered', 'not-due', 'checked', 'settled'].map((name) => `outcome ${name}`),
  ...crashes.map((call) => `crash at ${call}`),
];

/** What was never reached and is not listed above; what is listed and was reached; the rarest. */
export function reachReport(): { readonly missing: string[]; readonly lines: string[] } {
  const missing = expected.filter((name) => !counts.has(name) && !(name in unreachable));
  const wrong = Object.keys(unreachable).filter((name) => counts.has(name));
  const rarest = [...counts].sort(([, a], [, b]) => a - b).slice(0, 8);
  return {
    missing: [...missing, ...wrong.map((name) => `${name} (is listed as unreachable)`)],
    lines: rarest.map(([name, count]) => `${String(count).padStart(6)}  ${name}`),
  };
}

export function reachedCrashes(steps: readonly Step[]): void {
  for (const { call, mishap } of steps) {
    if (mishap !== 'crash') continue;
    const point = crashes.find((name) => call.startsWith(name));
    if (point !== undefined) reached(`crash at ${point}`);
  }
}

export function reachedEnd({ reason, outcome }: Result): void {
  reached(reason === undefined ? `outcome ${outcome}` : `reason ${reason}`);
}

/** One step of the machine. */
export function reachedOutcome(state: State, outcome: Outcome): void {
  for (const name of namesOf(state, outcome)) reached(`${state.at}: ${name}`);
}

function namesOf(state: State, outcome: Outcome): string[] {
  switch (outcome.of) {
    case 'survey':
      return [outcome.evidence instanceof Failure ? outcome.evidence.reason : 'read'];
    case 'examine':
      return state.at === 'examining' ? [examined(state, outcome)] : [];
    case 'claim':
      return [claimed(outcome)];
    case 'log-in': {
      const plan = state.at === 'entering' ? state.plan.plan : '';
      const { login, readBack, isLate, interrupted } = outcome;
      const read = readBack instanceof Failure ? 'failed' : readBack;
      return [
        `${plan}, ${login.login}`,
        ...(isLate ? ['late'] : []),
        ...(login.login === 'accepted' && read !== 'same' ? [`read back ${read}`] : []),
        ...(interrupted ? ['interrupted'] : []),
      ];
    }
    case 'intend':
      return [intended(outcome)];
    case 'reset':
      return [answered(outcome)];
    case 'keep':
      return [failedOr(outcome.keep, 'kept')];
    case 'store':
      return [failedOr(outcome.store, outcome.store === 'stored' ? 'stored' : 'taken')];
    case 'promote':
      return [failedOr(outcome.promote, outcome.promote === 'promoted' ? 'promoted' : 'conflict')];
    case 'verify':
      return [outcome.login.login];
    case 'end':
      return ended(outcome);
  }
}

type Of<Name extends Outcome['of']> = Extract<Outcome, { of: Name }>;

function failedOr(tried: unknown, name: string): string {
  if (!(tried instanceof Failure)) return name;
  return tried.reason === 'store-denied' ? 'denied' : 'failed';
}

function examined(state: Extract<State, { at: 'examining' }>, { details }: Of<'examine'>): string {
  if (details instanceof Failure) return details.reason;
  if (details.newer !== null) return 'newer record';
  const { evidence, request } = state;
  if (fresherCurrent(evidence, details) !== null) return 'outdated';
  return `row ${rowOf(classify(evidence, details, request))}`;
}

function rowOf(finding: Finding): (typeof rows)[number] {
  switch (finding.finding) {
    case 'verify':
      return finding.isVerified ? 'verify, verified' : 'verify, not verified';
    case 'write':
      if (finding.isGiven) return 'write, typed';
      if (finding.place !== undefined) return 'write, from a receipt';
      return finding.write.versionId === finding.open.rotationId
        ? 'write, from the version before the reset'
        : 'write, from an edited version';
    case 'test':
      if (finding.ifAccepted === 'not-applied') return 'test, not-applied';
      return finding.isKnown
        ? 'test, superseded, password known'
        : 'test, superseded, password unknown';
    default:
      return finding.finding;
  }
}

function claimed({ claim, token, room, interrupted }: Of<'claim'>): string {
  if (claim instanceof Failure) return 'claim failed';
  if (claim === 'taken') return 'taken';
  if (token instanceof Failure)
    return token.reason === 'api-key-refused' ? 'key refused' : 'no token';
  if (room instanceof Failure) return room.reason === 'store-full' ? 'no room' : 'claim failed';
  return interrupted ? 'interrupted' : 'written';
}

function intended({ record, audit, receipt }: Of<'intend'>): string {
  if (record instanceof Failure) return 'record failed';
  if (audit instanceof Failure) return 'audit failed';
  if (receipt instanceof Failure) return 'receipt failed';
  return record === 'taken' ? 'record taken' : 'durable';
}

function answered({ answer, password }: Of<'reset'>): string {
  switch (answer.reset) {
    case 'answered':
      return password ? 'answered' : 'answered, not readable';
    case 'in-doubt':
      return answer.body === undefined ? 'in doubt' : 'in doubt, with bytes';
    case 'refused':
      return `refused, ${answer.because}`;
    case 'not-sent':
      return `not sent, ${answer.reason}`;
  }
}

function ended({ record, audit }: Of<'end'>): string[] {
  const names = [
    ...(record instanceof Failure ? ['record failed'] : []),
    ...(record === 'taken' ? ['record taken'] : []),
    ...(audit instanceof Failure ? ['audit failed'] : []),
  ];
  return names.length === 0 ? ['done'] : names;
}
