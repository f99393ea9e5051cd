// What a verification finds, and the verdict that follows from it: altered beats incomplete, and
// incomplete beats intact. Findings are counted per kind, so that no number of harmless ones can
// hide a serious one. The first 100 of each kind are kept.

/**
 * `altered`: something is not what was signed. `incomplete`: nothing was altered, but something is
 * missing. `explained`: incomplete, and a person acknowledged it in a signed record.
 */
export type FindingLevel = 'altered' | 'incomplete' | 'explained';

/** Every kind of finding, and its level until it is acknowledged. */
const levels = {
  /** The records before this checkpoint are not those that were signed. */
  root: 'altered',
  /** The log has fewer records than a signed checkpoint. */
  shortened: 'altered',
  /** A checkpoint has no valid signature by a given key, or is no checkpoint. */
  signature: 'altered',
  /** A checkpoint or the first record belongs to another log. */
  origin: 'altered',
  /** The first record names a key that signed no checkpoint. */
  key: 'altered',
  /** A record mentions a checkpoint that does not exist. */
  'checkpoint-missing': 'altered',
  /** A sequence number is missing, repeated or out of order. */
  sequence: 'altered',
  /** A line without sequence number or time. */
  'not-a-record': 'altered',
  /** The log does not continue a checkpoint that was kept elsewhere. */
  inconsistent: 'altered',
  /** A witness has seen another history of this log. */
  'witness-conflict': 'altered',
  /** Fewer witnesses cosigned the newest checkpoint than the policy asks for. */
  witness: 'incomplete',
  /** A checkpoint that was kept elsewhere ends in archived records. */
  archived: 'incomplete',
  /** Another key signs than before, and no record says so. Version 0.1 wrote none. */
  'key-unrecorded': 'incomplete',
  /** The time goes back. */
  clock: 'incomplete',
  /** No record for more than a day and two hours. */
  gap: 'incomplete',
  /** The last line is incomplete. */
  'half-written': 'incomplete',
  /** Records after the last checkpoint. */
  unsealed: 'incomplete',
} as const satisfies Record<string, FindingLevel>;

export type FindingKind = keyof typeof levels;

/** What a person can acknowledge: it is in the past, and nothing can complete it any more. */
const explainable: ReadonlySet<FindingKind> = new Set(['key-unrecorded', 'clock', 'gap']);

/** A signed record `exception.acknowledged`. */
export type Acknowledgement = {
  readonly by: string;
  /** UTC milliseconds. */
  readonly timeMs: number;
  readonly note: string;
  readonly sequence: number;
};

export type Finding = {
  /** Unique in the log; what `audit acknowledge` takes. */
  readonly id: string;
  readonly kind: FindingKind;
  readonly level: FindingLevel;
  readonly message: string;
  /** The record at which it is. */
  readonly sequence?: number | undefined;
  readonly acknowledgement?: Acknowledgement | undefined;
};

export type Verdict = 'intact' | 'incomplete' | 'altered';

/** 0 intact, 1 incomplete, 4 altered. Wrong input is 2 (`WrongInput`). */
const verdictCodes = { intact: 0, incomplete: 1, altered: 4 } as const;

export type Verified = {
  readonly state: Verdict;
  readonly exitCode: 0 | 1 | 4;
  /** The first 100 of each kind. */
  readonly findings: readonly Finding[];
  /** How many there are of each kind, also those that are explained. */
  readonly counts: Readonly<Partial<Record<FindingKind, number>>>;
};

/** What was given to verify with does not belong to this log. The message says what, and which. */
export class WrongInput extends Error {}

const keptPerKind = 100;

type Group = { count: number; readonly kept: Finding[]; readonly sequences: number[] };

export type Findings = ReturnType<typeof createFindings>;

export function createFindings() {
  const groups = new Map<FindingKind, Group>();
  return {
    /** `place`: the record at which it is, or the name of a checkpoint. */
    add(kind: FindingKind, message: string, place: number | string): void {
      const group = groups.get(kind) ?? { count: 0, kept: [], sequences: [] };
      groups.set(kind, group);
      group.count += 1;
      if (explainable.has(kind)) group.sequences.push(Number(place));
      if (group.kept.length >= keptPerKind) return;
      const sequence = typeof place === 'number' ? place : undefined;
      group.kept.push({ id: `${kind}:${place}`, kind, level: levels[kind], message, sequence });
    },
    isAltered: (): boolean => [...groups.keys()].some((kind) => levels[kind] === 'altered'),
    /** `acknowledgements`: by id of the finding; in signed records. */
    end(acknowledgements: ReadonlyMap<string, Acknowledgement>): Verified {
      const explanationOf = (kind: FindingKind, sequence = -1): Acknowledgement | undefined => {
        const found = acknowledgements.get(`${kind}:${sequence}`);
        return explainable.has(kind) && found && found.sequence >= sequence ? found : undefined;
      };
      const isIncomplete = [...groups].some(([kind, { sequences }]) =>
        explainable.has(kind)
          ? sequences.some((sequence) => !explanationOf(kind, sequence))
          : levels[kind] === 'incomplete',
      );
      const state = this.isAltered() ? 'altered' : isIncomplete ? 'incomplete' : 'intact';
      const findings = [...groups.values()].flatMap(({ kept }) =>
        kept.map((finding): Finding => {
          const acknowledgement = explanationOf(finding.kind, finding.sequence);
          return acknowledgement ? { ...finding, level: 'explained', acknowledgement } : finding;
        }),
      );
      return {
        state,
        exitCode: verdictCodes[state],
        findings,
        counts: Object.fromEntries([...groups].map(([kind, { count }]) => [kind, count])),
      };
    },
  };
}
