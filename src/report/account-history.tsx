// What happened to each account in the period, one entry a line, with the sequence numbers of the
// records that show it. The numbers of the other tables link to here.

import type { Child } from 'hono/jsx';
import { mapChunks, Name, Section } from '../html/page.tsx';
import { printable } from '../text.ts';
import { dayMs, isoDay } from '../time.ts';
import type { AccountRow } from './account.ts';
import type { Report } from './build.ts';
import type { Attempt, Change } from './history.ts';
import { bucketFacts } from './text.ts';

/** The anchor of the account with this position in the table. */
export const historyId = (index: number): string => `a${index + 1}`;

/** `record 7`, `records 7, 9 and 12`; of a long list the first ones. */
export function recordsText(records: readonly number[], most = 12): string {
  const shown = records.slice(0, most).map(String);
  if (shown.length === 0) return 'no record';
  if (shown.length === 1) return `record ${shown[0]}`;
  const more = records.length - shown.length;
  const last = more > 0 ? `${more} more (report.json has all)` : shown.pop();
  return `records ${shown.join(', ')} and ${last}`;
}

function attemptText({ status, reason, intendedAtMs, closedAtMs, ...one }: Attempt): string {
  const because = reason === undefined ? '' : ` (${reason})`;
  const late = (closedAtMs ?? intendedAtMs) - intendedAtMs > dayMs;
  const when = late && closedAtMs !== null ? `, determined on ${isoDay(closedAtMs)}` : '';
  const verified = one.verified ? ', verified by a login' : '';
  const by = [one.trigger, one.actor].filter((word) => word !== '').join(', ');
  const said: Readonly<Record<Attempt['status'], string>> = {
    success: `rotated${verified}${when}`,
    failure: `attempt failed${because}`,
    unknown: `outcome unknown${because}${when}`,
    open: 'rotation without an outcome',
  };
  return by === '' ? said[status] : `${said[status]}; ${by}`;
}

function changeText({ by, sequence, sinceMs, actor }: Change): string {
  if (sequence === null) return 'password changed: found in the store';
  const since = sinceMs === null ? 'age not known' : `in use since ${isoDay(sinceMs)}`;
  const what = by === 'first' ? 'first password stored' : 'password stored by hand';
  return `${what}, ${since}; ${actor}`;
}

/** What happened in the period, one entry a line. */
function entryLines({ attempts, changes, stops, exemptions }: AccountRow): string {
  const entries = [
    ...attempts.map((attempt) => ({
      atMs: attempt.intendedAtMs,
      text: attemptText(attempt),
      records: attempt.records,
    })),
    ...changes
      .filter(({ by }) => by === 'first' || by === 'outside')
      .map((change) => ({
        atMs: change.timeMs,
        text: changeText(change),
        records: change.sequence === null ? [] : [change.sequence],
      })),
    ...stops.map(({ fromMs: atMs, toMs, reason, sequence }) => {
      const until = toMs === null ? '' : ` until ${isoDay(toMs)}`;
      return { atMs, text: `suspended (${reason})${until}`, records: [sequence] };
    }),
    ...exemptions.map(({ fromMs: atMs, who, why, until, sequence }) => {
      const text = `exempt until ${until}, approved by ${who}: ${why}`;
      return { atMs, text, records: [sequence] };
    }),
  ];
  const lines = entries
    .sort((a, b) => a.atMs - b.atMs)
    .map(
      ({ atMs, text, records }) => `\n${isoDay(atMs)} ${printable(text)}, ${recordsText(records)}`,
    );
  return lines.join('') || '\nNo record in the period.';
}

/** The section with the history of every account. */
export const Histories = ({ rows }: Report): Child => (
  <Section id="history" title="History of each account">
    <p class="soft">
      The numbers are sequence numbers of records: <code>thingspace-rotator audit show NUMBER</code>
    </p>
    {mapChunks(rows, (part, from) => (
      <ul class="histories">
        {part.map((row, index) => (
          <li id={historyId(from + index)}>
            <Name of={row.account} />
            {` ${bucketFacts[row.bucket].title}${entryLines(row)}`}
          </li>
        ))}
      </ul>
    ))}
  </Section>
);
