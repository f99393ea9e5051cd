// What notifications are about: open problems, and the messages about them. The state is what
// follows from the lines of the journal, in their order (notification-journal.ts). Pure.

import * as z from 'zod';
import { type noticeKinds, severities } from '../config/schema.ts';

export type Severity = (typeof severities)[number];

/** Kinds of problems. A new kind or reason of the same subject is a new problem. */
const problemKinds = {
  lost: 'critical',
  stopped: 'critical',
  'verify-failed': 'critical',
  'in-doubt': 'error',
  changed: 'error',
  overdue: 'error',
  stale: 'error',
  'audit-failed': 'error',
  failing: 'warning',
  outage: 'warning',
} as const satisfies Record<Exclude<(typeof noticeKinds)[number], 'all-is-well'>, Severity>;

export type ProblemKind = keyof typeof problemKinds;

/** `resolved` and `acknowledged` are about a problem; `all-is-well` says that there is none. */
const alertKinds = [
  ...(Object.keys(problemKinds) as ProblemKind[]),
  'resolved',
  'acknowledged',
  'all-is-well',
] as const;
export type AlertKind = (typeof alertKinds)[number];

/** `untilMs`: snoozed until then, UTC milliseconds. Without it until the problem ends. */
const acknowledgement = z.object({
  reason: z.string(),
  by: z.string(),
  atMs: z.number(),
  untilMs: z.number().optional(),
});

const optionalText = z.string().optional();

/** What happened: names, reasons and sentences of this program; no field is for a secret. */
const cause = z.object({
  kind: z.enum(alertKinds),
  /** The account, or the part of the service. It has one open problem at a time. */
  subject: z.string(),
  /** Sentences for people, without the name of the account. */
  text: z.string(),
  account: optionalText,
  reason: optionalText,
  detail: optionalText,
  next: optionalText,
  rotationId: optionalText,
  /** Days of 24 hours, two decimals; negative when overdue. */
  daysLeft: z.number().optional(),
});

export type Cause = z.output<typeof cause>;

/** One entry of a message. `id`: of the problem, also in its `resolved` and `acknowledged`. */
const alert = cause.extend({
  id: z.string(),
  severity: z.enum(severities),
  /** What the problem is, in `resolved` and `acknowledged`. */
  of: z.enum(Object.keys(problemKinds) as ProblemKind[]).optional(),
  /** Since when the problem is open; UTC milliseconds. */
  sinceMs: z.number(),
  acknowledged: acknowledgement.optional(),
  /** A worse problem of the same subject took its place; people need not read this. */
  isSuperseded: z.boolean().optional(),
});

export type Alert = z.output<typeof alert>;

/** One line of the journal. */
export const lineSchema = z.union([
  /** A message, for the receivers `to`. Its alerts open and end problems. */
  z.object({
    message: z.object({
      id: z.string(),
      atMs: z.number(),
      isDigest: z.boolean(),
      alerts: z.array(alert),
      to: z.array(z.string()),
    }),
  }),
  /** The receiver `to` accepted it, or it is not tried any more. */
  z.object({ done: z.string(), to: z.string() }),
  z.object({ problem: z.string(), acknowledged: acknowledgement }),
  /** Everything before, but the messages that are not delivered. */
  z.object({
    snapshot: z.object({
      problems: z.array(alert),
      digestAtMs: z.number(),
      healthyAtMs: z.number(),
    }),
  }),
]);

export type Line = z.output<typeof lineSchema>;
export type Message = Extract<Line, { message: unknown }>['message'];

export type NotificationState = {
  /** The open problems, by subject. */
  problems: Map<string, Alert>;
  /** What some receiver has not accepted yet, oldest first, by id. */
  readonly messages: Map<string, Message>;
  digestAtMs: number;
  /** When a message said last that there is no problem. */
  healthyAtMs: number;
};

export const emptyState = (): NotificationState => {
  return { problems: new Map(), messages: new Map(), digestAtMs: 0, healthyAtMs: 0 };
};

/** Changes the state as the line says. The same line twice changes nothing more. */
export function applyLine(state: NotificationState, line: Line): void {
  if ('message' in line) applyMessage(state, line.message);
  else if ('snapshot' in line) {
    const { problems, digestAtMs, healthyAtMs } = line.snapshot;
    state.problems = new Map(problems.map((problem) => [problem.subject, problem]));
    Object.assign(state, { digestAtMs, healthyAtMs });
  } else if ('done' in line) {
    const message = state.messages.get(line.done);
    const to = message?.to.filter((name) => name !== line.to) ?? [];
    if (message && to.length > 0) state.messages.set(message.id, { ...message, to });
    else state.messages.delete(line.done);
  } else {
    const problem = [...state.problems.values()].find(({ id }) => id === line.problem);
    if (problem)
      state.problems.set(problem.subject, { ...problem, acknowledged: line.acknowledged });
  }
}

function applyMessage(state: NotificationState, message: Message): void {
  const { problems, messages } = state;
  if (message.to.length > 0) messages.set(message.id, message);
  if (message.isDigest) {
    state.digestAtMs = message.atMs;
    return;
  }
  for (const one of message.alerts) {
    const { kind, subject, id } = one;
    if (kind === 'all-is-well') state.healthyAtMs = message.atMs;
    else if (kind === 'resolved') {
      if (problems.get(subject)?.id === id) problems.delete(subject);
    } else if (kind !== 'acknowledged') problems.set(subject, one);
  }
}

export const severityOf = (kind: ProblemKind): Severity => problemKinds[kind];
export const isAtLeast = (severity: Severity, least: Severity): boolean =>
  severities.indexOf(severity) >= severities.indexOf(least);

/** Orders problems, the most severe first. */
export const bySeverity = (a: Pick<Alert, 'severity'>, b: Pick<Alert, 'severity'>): number =>
  severities.indexOf(b.severity) - severities.indexOf(a.severity);

/** Whether somebody took the problem over, and its time has not passed. */
export const isAcknowledged = ({ acknowledged }: Alert, nowMs: number): boolean =>
  acknowledged !== undefined && nowMs < (acknowledged.untilMs ?? Number.POSITIVE_INFINITY);
