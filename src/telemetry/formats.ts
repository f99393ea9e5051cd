// The bodies that receivers of notifications read: JSON of this program, Slack, Microsoft Teams and
// PagerDuty. Only PagerDuty takes one event per request.
//
//   Slack incoming webhook    text, and blocks: at most 50, each of at most 3,000 characters
//   Teams Workflows           a message with one adaptive card; at most 28 kB
//   PagerDuty Events v2       trigger, acknowledge or resolve, by dedup_key; summary at most 1,024
//                             characters (all three as documented in 2026-11)

import { isoTime } from '../time.ts';
import { type Alert, type AlertKind, isAcknowledged, type Message } from './notification.ts';

export type Format = 'json' | 'slack' | 'teams' | 'pagerduty';

/** A message for one receiver. Times are UTC milliseconds. */
export type Letter = Pick<Message, 'alerts' | 'isDigest'> & {
  /** The name of this machine. */
  readonly host: string;
  readonly sentAtMs: number;
  /** The integration key, for PagerDuty only. */
  readonly routingKey?: string | undefined;
};

/** The bodies of the requests, in their order; none when this format does not tell such things. */
export function bodiesOf(format: Format, letter: Letter): string[] {
  const alerts = letter.alerts.filter(({ isSuperseded }) => !isSuperseded);
  if (format === 'pagerduty') return eventsOf(letter).map((event) => JSON.stringify(event));
  if (alerts.length === 0) return [];
  const shown = { ...letter, alerts };
  const body = { json: jsonOf, slack: slackOf, teams: teamsOf }[format](shown);
  return [JSON.stringify(body)];
}

/** The Slack mark of each kind, and its title elsewhere. */
const kindTexts: Readonly<Record<AlertKind, readonly [mark: string, title: string]>> = {
  stopped: [':octagonal_sign:', 'Suspended'],
  lost: [':rotating_light:', 'Unrecoverable'],
  'in-doubt': [':question:', 'Not known yet'],
  changed: [':warning:', 'Unfinished'],
  'verify-failed': [':rotating_light:', 'Not verified'],
  overdue: [':hourglass:', 'Over the age limit'],
  stale: [':hourglass:', 'Not checked in time'],
  failing: [':warning:', 'Failing'],
  'audit-failed': [':rotating_light:', 'Audit log'],
  outage: [':electric_plug:', 'Outage'],
  resolved: [':white_check_mark:', 'Resolved'],
  acknowledged: [':eyes:', 'Acknowledged'],
  'all-is-well': [':white_check_mark:', 'Healthy'],
};

function jsonOf(letter: Letter): object {
  const { alerts, host, sentAtMs, isDigest } = letter;
  return {
    text: [headingOf(letter), ...linesOf(letter, slackLine)].filter(Boolean).join('\n'),
    source: 'thingspace-rotator',
    host,
    sentAt: isoTime(sentAtMs),
    digest: isDigest,
    notices: alerts.map(({ sinceMs, acknowledged, subject: _, ...alert }) => ({
      ...alert,
      since: isoTime(sinceMs),
      ...(acknowledged && { acknowledged: { by: acknowledged.by, reason: acknowledged.reason } }),
    })),
  };
}

/** The first line of a daily message; empty for any other one. */
function headingOf({ isDigest, alerts, host, sentAtMs }: Letter): string {
  if (!isDigest) return '';
  const taken = alerts.filter((alert) => isAcknowledged(alert, sentAtMs)).length;
  const also = taken > 0 ? `, ${taken} of them acknowledged` : '';
  return `Open problems on ${host}: ${alerts.length}${also}`;
}

const maxLines = 20;
const maxLineLength = 2_000;

/** One line per alert, the first twenty. */
function linesOf({ alerts, sentAtMs }: Letter, lineOf: (alert: Alert, note: string) => string) {
  const lines = alerts.slice(0, maxLines).map((alert) => {
    const { acknowledged } = alert;
    const isTaken = acknowledged && isAcknowledged(alert, sentAtMs);
    const note = isTaken ? `Acknowledged by ${acknowledged.by}: ${acknowledged.reason}` : '';
    const line = lineOf(alert, note);
    return line.length > maxLineLength ? `${line.slice(0, maxLineLength)}…` : line;
  });
  const more = alerts.length - lines.length;
  if (more > 0)
    lines.push(`… and ${more} more. To list them: \`thingspace-rotator notifications\``);
  return lines;
}

function slackLine({ kind, account, text, next }: Alert, note: string): string {
  const subject = account === undefined ? '' : `*${escapeSlack(account)}*: `;
  const parts = [next, note].flatMap((part) => (part ? [` _${escapeSlack(part)}_`] : []));
  return `${kindTexts[kind][0]} ${subject}${escapeSlack(text)}${parts.join('')}`;
}

/** The characters that Slack escapes: a name must not mention a channel or begin a link. */
const escapeSlack = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');

function slackOf(letter: Letter): object {
  const heading = headingOf(letter);
  const lines = linesOf(letter, slackLine);
  const section = (text: string) => ({ type: 'section', text: { type: 'mrkdwn', text } });
  const header = { type: 'header', text: { type: 'plain_text', text: heading.slice(0, 150) } };
  const about = { type: 'mrkdwn', text: escapeSlack(`thingspace-rotator on ${letter.host}`) };
  return {
    text: [heading, ...lines].filter(Boolean).join('\n'),
    blocks: [
      ...(heading ? [header] : []),
      ...lines.map(section),
      { type: 'context', elements: [about] },
    ],
  };
}

function teamsLine({ kind, account, text, next }: Alert, note: string): string {
  const subject = account === undefined ? '' : `${account}: `;
  const parts = [`${kindTexts[kind][1]}: ${subject}${text}`, next, note];
  return parts.flatMap((part) => (part ? [escapeMarkdown(part)] : [])).join('\n\n');
}

/** A text block knows links, emphasis and lists. */
const escapeMarkdown = (text: string): string => text.replace(/[\\[\]()*_~`#]/g, '\\$&');

const teamsColors: Readonly<Record<Alert['severity'], string>> = {
  critical: 'attention',
  error: 'attention',
  warning: 'warning',
  info: 'default',
};

function teamsOf(letter: Letter): object {
  const heading = headingOf(letter) || `thingspace-rotator on ${letter.host}`;
  const block = (text: string, more: object) => ({ type: 'TextBlock', text, wrap: true, ...more });
  const lines = linesOf(letter, teamsLine);
  const content = {
    $schema: 'http://adaptivecards.io/schemas/adaptive-card.json',
    type: 'AdaptiveCard',
    version: '1.4',
    body: [
      block(escapeMarkdown(heading), { weight: 'bolder', size: 'medium' }),
      ...lines.map((line, index) => {
        const { kind, severity } = letter.alerts[index] ?? { kind: 'resolved', severity: 'info' };
        return block(line, { color: kind === 'resolved' ? 'good' : teamsColors[severity] });
      }),
    ],
  };
  const contentType = 'application/vnd.microsoft.card.adaptive';
  return { type: 'message', attachments: [{ contentType, contentUrl: null, content }] };
}

const actions: Partial<Record<AlertKind, string>> = {
  resolved: 'resolve',
  acknowledged: 'acknowledge',
};

/** PagerDuty escalates what nobody acknowledges, so it gets no daily message. */
function eventsOf({ alerts, isDigest, host, routingKey }: Letter): object[] {
  const sent = alerts.filter(({ kind }) => !isDigest && kind !== 'all-is-well');
  return sent.map((alert) => {
    const { id, kind, severity, account, text, sinceMs, reason, detail, next, rotationId } = alert;
    const event_action = actions[kind] ?? 'trigger';
    const event = { routing_key: routingKey, event_action, dedup_key: `thingspace-rotator/${id}` };
    if (event_action !== 'trigger') return event;
    const summary = `${account === undefined ? '' : `${account}: `}${text}`.slice(0, 1_024);
    return {
      ...event,
      client: 'thingspace-rotator',
      payload: {
        summary,
        source: host,
        severity,
        timestamp: isoTime(sinceMs),
        component: account,
        class: kind,
        custom_details: { reason, detail, next, rotationId },
      },
    };
  });
}
