// The status page: every account, worst first, its password's age against the limit, its state and the next step in
// words. One HTML document without script; it is made of names and sentences only, each of them escaped.

import type { Outage } from '../../scheduler/circuit-breaker.ts';
import { type AccountEntry, agesOf, rankOf, worstFirst } from '../../scheduler/status-cache.ts';
import { isoDay, isoTime } from '../../time.ts';
import { pageStyle } from './style.ts';

export type PageOptions = {
  readonly entries: readonly AccountEntry[];
  readonly nowMs: number;
  readonly host: string;
  readonly version: string;
  readonly nextTickMs: number;
  readonly timezone: string;
  readonly outage: Outage | null;
  /** Seconds until the page asks for itself again; 0: it does not. */
  readonly refreshSeconds: number;
  /** What the reader asked for. */
  readonly query: URLSearchParams;
};

const accountsPerPage = 100;

type Tone = 'bad' | 'warn' | 'doubt' | 'good' | 'plain';
type Group = {
  readonly key: string;
  readonly title: string;
  readonly tone: Tone;
  readonly ranks: readonly number[];
};

/** By what they need; the ranks are those of board.ts. */
const groups: readonly Group[] = [
  { key: 'person', title: 'need a person', tone: 'bad', ranks: [0, 1] },
  { key: 'overdue', title: 'past the limit', tone: 'bad', ranks: [2] },
  { key: 'doubt', title: 'in doubt or unfinished', tone: 'doubt', ranks: [3, 4] },
  { key: 'failing', title: 'failing', tone: 'warn', ranks: [5, 6] },
  { key: 'well', title: 'well', tone: 'good', ranks: [7] },
  { key: 'unknown', title: 'not looked at yet', tone: 'plain', ranks: [8] },
];

/** The page. Its one style element is allowed by `pageStyle`'s hash. */
export function statusPage(options: PageOptions): string {
  const { entries, nowMs, host, query } = options;
  const show = groups.find(({ key }) => key === query.get('show'));
  const search = (query.get('q') ?? '').trim().slice(0, 128);
  const ranked = worstFirst(entries, nowMs);
  const chosen = ranked.filter(
    (entry) =>
      (!show || show.ranks.includes(rankOf(entry, nowMs))) &&
      entry.account.name.toLowerCase().includes(search.toLowerCase()),
  );
  const pages = Math.max(1, Math.ceil(chosen.length / accountsPerPage));
  const page = Math.min(pages, Math.max(1, Math.floor(Number(query.get('page') ?? 1)) || 1));
  const shown = chosen.slice((page - 1) * accountsPerPage, page * accountsPerPage);
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>${escapeHtml(titleOf(entries, nowMs))}</title>
<style>${pageStyle}</style>
</head>
<body>
<header>
<h1>ThingSpace passwords</h1>
<p class="soft">${escapeHtml(host)}, as of <time datetime="${isoTime(nowMs)}">${dateTime(nowMs)}</time></p>
</header>
<main>
${verdict(options)}
${groupList(ranked, nowMs, show)}
${entries.length === 0 ? '' : searchForm(search, show)}
${accountTable(shown, chosen.length, search !== '' || show !== undefined, options)}
${pageLinks(page, pages, query)}
</main>
${footer(options)}
</body>
</html>
`;
}

function titleOf(entries: readonly AccountEntry[], nowMs: number): string {
  const needing = entries.filter((entry) => rankOf(entry, nowMs) <= 2).length;
  return needing > 0 ? `(${needing}) ThingSpace passwords` : 'ThingSpace passwords';
}

/** What a person wants to know in one second. */
function verdict({ entries, nowMs, outage, nextTickMs, timezone }: PageOptions): string {
  const count = (ranks: readonly number[]): number =>
    entries.filter((entry) => ranks.includes(rankOf(entry, nowMs))).length;
  const [person, overdue, trouble, unknown] = [
    count([0, 1]),
    count([2]),
    count([3, 4, 5, 6]),
    count([8]),
  ];
  const of = `${entries.length} ${entries.length === 1 ? 'account' : 'accounts'}`;
  const [tone, says] = ((): [string, string] => {
    if (entries.length === 0) return ['warn', 'There are no accounts.'];
    if (person > 0)
      return ['bad', `${person} of ${of} ${person === 1 ? 'needs' : 'need'} a person.`];
    if (overdue > 0)
      return ['bad', `${overdue} of ${of} ${overdue === 1 ? 'is' : 'are'} past the limit.`];
    if (trouble > 0)
      return ['warn', `${trouble} of ${of} ${trouble === 1 ? 'is' : 'are'} being tried again.`];
    if (unknown > 0)
      return [
        'warn',
        `${unknown} of ${of} ${unknown === 1 ? 'has' : 'have'} not been looked at yet.`,
      ];
    return [
      'good',
      entries.length === 1 ? 'The account is well.' : `All ${entries.length} accounts are well.`,
    ];
  })();
  const away = outage
    ? `<p>${outage.dependency === 'store' ? 'The secret store' : 'ThingSpace'} has been away since ${dateTime(outage.sinceMs)}; one account at a time finds out when it is back.</p>`
    : '';
  const next = Number.isFinite(nextTickMs)
    ? `<p class="soft">Next look: <time datetime="${isoTime(nextTickMs)}">${dateTime(nextTickMs)}</time>${timezone === 'UTC' ? '' : ` (schedule in ${escapeHtml(timezone)})`}.</p>`
    : '';
  return `<section class="verdict ${outage && tone === 'good' ? 'warn' : tone}" aria-label="Verdict"><strong>${says}</strong>${away}${next}</section>`;
}

function groupList(
  ranked: readonly AccountEntry[],
  nowMs: number,
  show: Group | undefined,
): string {
  const items = groups.flatMap((group) => {
    const count = ranked.filter((entry) => group.ranks.includes(rankOf(entry, nowMs))).length;
    if (count === 0 && group !== show) return [];
    const current = group === show ? ' aria-current="true"' : '';
    const href = group === show ? './' : `./?show=${group.key}`;
    return [
      `<li><a class="${group.tone}" href="${href}"${current}><b>${count}</b>${group.title}</a></li>`,
    ];
  });
  return items.length === 0
    ? ''
    : `<nav aria-label="Accounts by state"><ul class="groups">${items.join('')}</ul></nav>`;
}

function searchForm(search: string, show: Group | undefined): string {
  const hidden = show ? `<input type="hidden" name="show" value="${show.key}">` : '';
  return `<form action="./" method="get" role="search"><div><label for="q">Account name</label><input id="q" name="q" type="search" maxlength="128" value="${escapeHtml(search)}"></div>${hidden}<button type="submit">Find</button></form>`;
}

function accountTable(
  shown: readonly AccountEntry[],
  total: number,
  isFiltered: boolean,
  { nowMs, entries }: PageOptions,
): string {
  if (entries.length === 0)
    return '<p>Name at least one under <code>accounts</code> in the configuration, or let them be found by a tag.</p>';
  if (total === 0) return '<p>No account is like that. <a href="./">Show all</a></p>';
  const heading = isFiltered
    ? `${total} of ${entries.length} accounts`
    : `${total} ${total === 1 ? 'account' : 'accounts'}, worst first`;
  return `<h2>${heading}${isFiltered ? ' <a href="./">show all</a>' : ''}</h2>
<table>
<thead><tr><th scope="col">Account</th><th scope="col">Age of the password</th><th scope="col">State</th><th scope="col">Next step</th></tr></thead>
<tbody>
${shown.map((entry) => row(entry, nowMs)).join('\n')}
</tbody>
</table>
<p class="soft">The thin mark on a bar is the age at which a password is due, the thick one the limit.</p>`;
}

function row(entry: AccountEntry, nowMs: number): string {
  const { account } = entry;
  const { tone, word } = stateWords(entry, nowMs);
  const looked =
    entry.checkedAtMs === undefined
      ? ''
      : `<span class="note">looked at ${ago(nowMs - entry.checkedAtMs)}</span>`;
  return `<tr><th scope="row"><bdi>${escapeHtml(visible(account.name))}</bdi></th><td class="age">${ageBar(entry, nowMs)}</td><td class="state"><span class="tag ${tone}">${escapeHtml(word)}</span>${looked}</td><td class="next">${nextStep(entry, nowMs)}</td></tr>`;
}

function stateWords(entry: AccountEntry, nowMs: number): { tone: Tone; word: string } {
  const rank = rankOf(entry, nowMs);
  const { reason, state } = entry;
  if (reason === 'password-lost') return { tone: 'bad', word: 'lost' };
  if (entry.blocked !== undefined) return { tone: 'bad', word: 'not rotated: shared user' };
  if (state === 'stopped')
    return { tone: 'bad', word: reason === undefined ? 'stopped' : `stopped: ${reason}` };
  if (state === 'in-doubt') return { tone: 'doubt', word: 'in doubt' };
  if (state === 'changed') return { tone: 'doubt', word: `unfinished: ${reason ?? 'changed'}` };
  if (state === 'unreadable') return { tone: 'warn', word: reason ?? 'cannot be read' };
  if (rank === 2) return { tone: 'bad', word: 'overdue' };
  if (state === 'busy') return { tone: 'plain', word: 'busy' };
  if (state === 'unknown') return { tone: 'plain', word: 'not looked at yet' };
  if (reason !== undefined) return { tone: 'warn', word: reason };
  const ages = agesOf(entry, nowMs);
  return ages && ages.dueAtMs <= nowMs
    ? { tone: 'warn', word: 'due' }
    : { tone: 'good', word: 'well' };
}

/** In words; the failure table's sentence where there is one. */
function nextStep(entry: AccountEntry, nowMs: number): string {
  if (entry.blocked !== undefined) return escapeHtml(`${entry.blocked}.`);
  const detail =
    entry.detail === undefined ? '' : `<span class="note">${escapeHtml(entry.detail)}</span>`;
  if (entry.next !== '')
    return `${escapeHtml(entry.next.replaceAll('ACCOUNT', visible(entry.account.name)))}${detail}`;
  if (!entry.account.enabled) return 'Rotated by hand only.';
  const ages = agesOf(entry, nowMs);
  if (!ages) return '';
  if (ages.dueAtMs <= nowMs) return `The next look rotates it.${detail}`;
  return `Rotated when due, on ${isoDay(ages.dueAtMs)}.${detail}`;
}

/** The limit stands at three quarters, so that what is past it can be seen. */
function ageBar(entry: AccountEntry, nowMs: number): string {
  const ages = agesOf(entry, nowMs);
  const { maxAgeDays, rotateAfterDays } = entry.policy;
  if (!ages) return '<span class="days soft">not known</span>';
  const days = Math.floor(ages.ageDays);
  const at = (age: number): number => Math.min(100, Math.round((age / maxAgeDays) * 7500) / 100);
  const tone = ages.daysLeft < 0 ? 'bad' : ages.ageDays >= rotateAfterDays ? 'warn' : 'fill';
  const words = `${days} of ${maxAgeDays} days${ages.daysLeft < 0 ? `, ${Math.ceil(-ages.daysLeft)} too many` : ''}`;
  return `<svg class="bar" viewBox="0 0 100 14" preserveAspectRatio="none" aria-hidden="true"><rect class="track" width="100" height="10" y="2" rx="1"/><rect class="${tone}" width="${at(ages.ageDays)}" height="10" y="2" rx="1"/><rect class="due" x="${at(rotateAfterDays)}" width=".4" height="14"/><rect class="limit" x="75" width=".7" height="14"/></svg><span class="days">${words}</span>`;
}

function pageLinks(page: number, pages: number, query: URLSearchParams): string {
  if (pages === 1) return '';
  const link = (to: number, text: string): string => {
    const params = new URLSearchParams(query);
    params.set('page', String(to));
    return `<a href="./?${escapeHtml(params.toString())}">${text}</a>`;
  };
  const before = page > 1 ? [link(1, 'First'), link(page - 1, 'Previous')] : [];
  const after = page < pages ? [link(page + 1, 'Next'), link(pages, 'Last')] : [];
  return `<nav class="pages" aria-label="Pages">${before.join('')}<span>Page ${page} of ${pages}</span>${after.join('')}</nav>`;
}

function footer({ version, refreshSeconds, query }: PageOptions): string {
  const params = new URLSearchParams(query);
  if (refreshSeconds > 0) params.set('refresh', '0');
  else params.delete('refresh');
  const href = `./${params.size > 0 ? `?${escapeHtml(params.toString())}` : ''}`;
  const refresh =
    refreshSeconds > 0
      ? `Asks again every ${refreshSeconds} s. <a href="${href}">Stop that</a>`
      : `Stands still. <a href="${href}">Refresh by itself</a>`;
  return `<footer><p><a href="./audit">Compliance report</a><a href="./metrics">Metrics</a><a href="./readyz">Readiness</a></p><p>${refresh} thingspace-rotator ${escapeHtml(version)}</p></footer>`;
}

/** `2026-11-23 03:17 UTC` */
const dateTime = (ms: number): string => `${isoTime(ms).slice(0, 16).replace('T', ' ')} UTC`;

function ago(ms: number): string {
  const minutes = Math.floor(Math.max(0, ms) / 60_000);
  if (minutes < 1) return 'just now';
  if (minutes < 60) return `${minutes} min ago`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ago` : `${Math.floor(hours / 24)} days ago`;
}

const entities: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

/** A character that is not seen can turn a name into another one's: it is shown by its number. */
const visible = (name: string): string =>
  name.replace(
    /[\p{Cc}\p{Cf}]/gu,
    (character) => `[U+${character.codePointAt(0)?.toString(16).toUpperCase().padStart(4, '0')}]`,
  );

/** For text and for quoted attributes. */
const escapeHtml = (text: string): string =>
  text.replace(/[&<>"']/g, (character) => entities[character] ?? '');
