// The report as one page: no script, nothing loaded from anywhere, every name escaped. The order is the auditor's: verdict, picture,
// buckets, accounts, exceptions, population, integrity, controls, samples.

import { reportStyle } from '../html/style.ts';
import { isoDay, isoTime } from '../time.ts';
import type { AccountRow, Bucket } from './account.ts';
import type { Report } from './build.ts';
import { ageStrip, axisOf, type Scale } from './chart.tsx';
import { printable } from './csv.ts';
import {
  basisText,
  bucketText,
  controls,
  daysOf,
  exceptionTitles,
  integrityText,
  limitsText,
  verdictText,
} from './text.ts';

const escapes: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};
/** Text for the page: escaped, and what is invisible or turns the direction of writing made visible. */
const safe = (text: string): string =>
  printable(text).replace(/[&<>"']/g, (character) => escapes[character] ?? '');

const time = (ms: number | null): string =>
  ms === null
    ? '—'
    : `<time datetime="${isoTime(ms)}">${isoTime(ms).replace('T', ' ').replace('Z', ' UTC')}</time>`;
const date = (ms: number | null): string =>
  ms === null ? '—' : `<time datetime="${isoTime(ms)}">${isoDay(ms)}</time>`;
const age = (ms: number | null): string => (ms === null ? '—' : daysOf(ms));
const count = (value: number, one: string, many = `${one}s`): string =>
  `${value} ${value === 1 ? one : many}`;
const facts = (pairs: readonly (readonly [string, string])[]): string =>
  `<dl class="facts">${pairs.map(([name, value]) => `<div><dt>${name}</dt><dd>${value}</dd></div>`).join('')}</dl>`;

/** A table that becomes a list of cards on a narrow screen. Cells are HTML; the first is the row's head. */
function table(
  caption: string,
  heads: readonly string[],
  rows: readonly (readonly string[])[],
  numbers: readonly number[] = [],
): string {
  const kind = (index: number, cell = ''): string => {
    const isLong = cell.replace(/<[^>]*>/g, '').length > 24;
    const classes = [numbers.includes(index) ? 'num' : '', isLong ? 'wide' : '']
      .filter(Boolean)
      .join(' ');
    return classes === '' ? '' : ` class="${classes}"`;
  };
  const body = rows.map((cells) => {
    const row = cells.map((cell, index) => {
      const tag = index === 0 ? 'th scope="row"' : 'td';
      return `<${tag}${kind(index, cell)} data-label="${heads[index]}">${cell}</${index === 0 ? 'th' : 'td'}>`;
    });
    return `<tr>${row.join('')}</tr>`;
  });
  const head = heads.map((title, index) => `<th scope="col"${kind(index)}>${title}</th>`).join('');
  return `<table class="stack" aria-label="${caption}"><thead><tr>${head}</tr></thead><tbody>${body.join('\n')}</tbody></table>`;
}

function verdict(report: Report): string {
  const { verdict: numbers, integrity, policy } = report;
  const grade =
    integrity.state === 'altered' || numbers.outside > 0
      ? 'bad'
      : numbers.unknown > 0 || numbers.accounts === 0 || integrity.state === 'incomplete'
        ? 'warn'
        : 'good';
  const ever =
    numbers.accounts === 0
      ? 'Nothing to judge.'
      : numbers.everOutside === 0
        ? `No account was beyond ${policy.maxAgeDays} days on any day of the period.`
        : `${count(numbers.everOutside, 'account was', 'accounts were')} beyond ${policy.maxAgeDays} days at some moment of the period.`;
  const standing = report.exceptions.filter(
    ({ isStanding, acknowledgement }) => isStanding && !acknowledgement,
  ).length;
  return `<section aria-labelledby="verdict"><h2 id="verdict">Verdict</h2>
<div class="verdict ${grade}"><strong>${verdictText(report)}</strong><span>${ever}</span><span>${integrityText(report)}</span>
<span>${standing === 0 ? 'No standing exception without an acknowledgement.' : `${count(standing, 'standing exception has', 'standing exceptions have')} no acknowledgement.`}</span></div>
${facts([
  ['Period', `${date(report.fromMs)} to ${date(report.toMs - 1)}`],
  ['As it stood at', time(report.endMs)],
  ['Log intact', { intact: 'yes', incomplete: 'incomplete', altered: 'no' }[integrity.state]],
  ['Records in the log', `${integrity.records}, of which ${integrity.sealedRecords} sealed`],
  ['Newest checkpoint', integrity.newest ? `at ${integrity.newest.size} records` : 'none'],
  [
    'Key',
    integrity.keyId
      ? `<code>${safe(integrity.newest?.note.signatures[0]?.name ?? '')}+${integrity.keyId}</code>`
      : '—',
  ],
  [
    'Anchors checked',
    integrity.anchors.length === 0
      ? 'none given'
      : `${integrity.anchors.length}, at ${integrity.anchors.join(', ')} records`,
  ],
  ['Policy', `at most ${policy.maxAgeDays} days; rotated after ${policy.rotateAfterDays}`],
])}</section>`;
}

const legend: readonly (readonly [string, string])[] = [
  ['<path class="age" d="M0 36L1000 6"/>', 'age of the password'],
  ['<path class="age over" d="M0 36L1000 6"/>', 'age beyond the limit'],
  ['<path class="limit" d="M0 20H1000"/>', 'limit'],
  ['<path class="changed" d="M500 0V40"/>', 'rotated'],
  ['<path class="outside" d="M500 0V40"/>', 'changed outside a rotation'],
  ['<path class="failed" d="M500 0V40"/>', 'failed or unknown'],
  ['<rect class="stop" width="1000" height="40"/>', 'stopped'],
];

function stripLabel(row: AccountRow): string {
  if (row.stretches.length === 0) return `${safe(row.account)}: no age known in the period`;
  const parts = [
    `largest age ${age(row.largestAgeMs)} days`,
    `${count(row.succeeded, 'rotation')}`,
    `${count(row.failed + row.unknown, 'failure')}`,
  ];
  if (row.stops.length > 0) parts.push(count(row.stops.length, 'stop'));
  return `${safe(row.account)}: ${parts.join(', ')}`;
}

function picture(report: Report): string {
  const scale: Scale = {
    fromMs: report.fromMs,
    endMs: report.endMs,
    maxAgeDays: report.policy.maxAgeDays,
  };
  if (report.rows.length === 0) return '';
  const rows = report.rows.map((row) => {
    const most = row.largestAgeMs === null ? 'no date' : `${age(row.largestAgeMs)} d`;
    return `<div class="row"><span class="name" title="${safe(row.account)}">${safe(row.account)}</span>${ageStrip(row, scale, stripLabel(row))}<span class="most${row.everOutside ? ' over' : ''}">${most}</span></div>`;
  });
  const axis = axisOf(scale).map(
    ({ percent, label }) => `<span style="left:${percent.toFixed(1)}%">${label}</span>`,
  );
  const marks = legend.map(
    ([drawing, text]) =>
      `<li><svg class="strip" viewBox="0 0 1000 40" preserveAspectRatio="none" aria-hidden="true">${drawing}</svg>${text}</li>`,
  );
  return `<section aria-labelledby="picture"><h2 id="picture">Password age over the period</h2>
<p class="soft">One row per account, worst first; the number on the right is the largest age reached.</p>
<ul class="legend">${marks.join('')}</ul>
<div class="strips"><div class="row axis" aria-hidden="true"><span class="name"></span><span class="months">${axis.join('')}</span><span class="most">most</span></div>
${rows.join('\n')}</div></section>`;
}

const tag = (bucket: Bucket, policy: Report['policy']): string =>
  `<span class="tag ${bucket}">${bucketText(bucket, policy).title}</span>`;

function buckets({ buckets: numbers, policy, rows }: Report): string {
  const items = (Object.keys(numbers) as Bucket[]).map((bucket) => {
    const { title, says } = bucketText(bucket, policy);
    return `<li class="${bucket}"><b>${numbers[bucket]}</b>${title}<br><span class="soft">${says}</span></li>`;
  });
  const exempt = rows.filter(({ exemption }) => exemption !== null);
  const table_ = table(
    'Exempt accounts',
    ['Account', 'Why', 'By whom', 'Until'],
    exempt.map(({ account, exemption }) => [
      safe(account),
      safe(exemption?.why ?? ''),
      safe(exemption?.who ?? ''),
      safe(exemption?.until ?? ''),
    ]),
  );
  return `<section aria-labelledby="buckets"><h2 id="buckets">How they stand at the end</h2><ul class="buckets">${items.join('')}</ul>${exempt.length > 0 ? table_ : ''}</section>`;
}

function changeText({ lastChange }: AccountRow): string {
  if (!lastChange) return 'none on record';
  const by = { rotation: '', recovery: ' (recovered)', outside: ' (outside a rotation)' }[
    lastChange.by
  ];
  return `${date(lastChange.timeMs)}${by}`;
}

function accounts({ rows, policy }: Report): string {
  if (rows.length === 0)
    return '<section aria-labelledby="accounts"><h2 id="accounts">Accounts</h2><p>There were no accounts.</p></section>';
  const heads = [
    'Account',
    'AccountStatus',
    'Last confirmed change',
    'Age, days',
    'Largest age',
    'Next due',
    'Ok / failed / unknown',
    'By, why',
    'Verified by login',
    'Record',
  ];
  const cells = rows.map((row) => [
    `<span>${safe(row.account)}${row.username === null || row.username.toLowerCase() === row.account.toLowerCase() ? '' : `<br><span class="soft">${safe(row.username)}</span>`}</span>`,
    `<span>${tag(row.bucket, policy)}${row.note ? `<br>${safe(row.note)}` : ''}${row.storeState && row.storeState !== 'settled' ? `<br>store: ${safe(row.storeState)}` : ''}</span>`,
    changeText(row),
    age(row.ageMs),
    row.largestAgeMs === null
      ? '—'
      : `${age(row.largestAgeMs)}<span class="soft"> on ${date(row.largestAtMs)}</span>`,
    date(row.nextDueMs),
    `${row.succeeded} / ${row.failed} / ${row.unknown}`,
    row.lastChange
      ? safe([row.lastChange.actor, row.lastChange.trigger].filter(Boolean).join(', ')) || '—'
      : '—',
    row.lastChange ? (row.lastChange.verified ? 'yes' : 'no') : '—',
    row.lastChange?.sequence == null ? '—' : String(row.lastChange.sequence),
  ]);
  return `<section aria-labelledby="accounts"><h2 id="accounts">Accounts</h2>${table('Accounts, worst first', heads, cells, [3, 6, 9])}</section>`;
}

function exceptions({ exceptions: all }: Report): string {
  const head = '<h2 id="exceptions">Exceptions</h2>';
  if (all.length === 0)
    return `<section aria-labelledby="exceptions">${head}<p>None in the period.</p></section>`;
  const kinds = [...new Set(all.map(({ kind }) => kind))];
  const tables = kinds.map((kind) => {
    const rows = all
      .filter((one) => one.kind === kind)
      .map(({ account, atMs, text, acknowledgement, isStanding, id }) => [
        account === null ? '—' : safe(account),
        date(atMs),
        `<span>${safe(text)}${isStanding ? ' <b>Stands.</b>' : ''}</span>`,
        acknowledgement
          ? `<span>${safe(acknowledgement.note)} <span class="soft">(${safe(acknowledgement.by)}, ${date(acknowledgement.atMs)}, record ${acknowledgement.sequence})</span></span>`
          : '<b>none</b>',
        `<code>${safe(id)}</code>`,
      ]);
    return `<h3>${exceptionTitles[kind]} (${rows.length})</h3>${table(exceptionTitles[kind], ['Account', 'When', 'What', 'Acknowledgement', 'Id'], rows)}`;
  });
  return `<section aria-labelledby="exceptions">${head}<p class="soft">An exception stays listed when it is acknowledged: <code>thingspace-rotator audit acknowledge ID --note TEXT</code>.</p>${tables.join('')}</section>`;
}

const names = (list: readonly string[]): string =>
  list.length === 0 ? 'none' : `${list.length}: ${list.map(safe).join(', ')}`;

function population({ population: all }: Report): string {
  const { store } = all;
  const asked =
    store === 'not performed'
      ? 'not performed'
      : `${count(store.asked, 'account')} asked, ${store.differing} differ${store.missing.length > 0 ? `, not found: ${store.missing.map(safe).join(', ')}` : ''}`;
  return `<section aria-labelledby="population"><h2 id="population">Population</h2>${facts([
    ['Accounts at the start', String(all.atStart)],
    ['Added', names(all.added)],
    ['Removed', names(all.removed)],
    ['Accounts at the end', String(all.atEnd)],
    ['Attempts', `${all.attempts} = ${all.withOutcome} with outcome + ${all.open} open`],
    [
      'Records of the period',
      all.firstSequence === null
        ? 'none'
        : `${all.records}, numbers ${all.firstSequence} to ${all.lastSequence}`,
    ],
    [
      'Inventory summary in the log',
      {
        matches: 'matches',
        differs: '<b>differs from the accounts in the log</b>',
        none: 'none recorded',
      }[all.summary],
    ],
    ['Reconciliation with the store', asked],
    ['In the configuration, not in the log', names(all.unseen)],
    ['In the log, not in the configuration', names(all.unlisted)],
  ])}</section>`;
}

function integrity(report: Report): string {
  const { integrity: all } = report;
  const findings = all.findings.map(
    ({ level, message }) => `<li><b>${level}</b>: ${safe(message)}</li>`,
  );
  const first = all.checkpointsInPeriod[0];
  const last = all.checkpointsInPeriod.at(-1);
  const commands = [
    'thingspace-rotator audit verify --consistent-with CHECKPOINT',
    ...(report.samples.drawn[0]
      ? [`thingspace-rotator audit prove ${report.samples.drawn[0].uid}`]
      : []),
    'python3 verify.py …        # the 15 lines in docs/AUDIT.md: stock Python and openssl, nothing of ours',
  ];
  return `<section aria-labelledby="integrity"><h2 id="integrity">Integrity</h2><p>${integrityText(report)}</p>
${findings.length > 0 ? `<ul>${findings.join('')}</ul>` : ''}
${facts([
  [
    'Checkpoints in the period',
    first && last
      ? `${all.checkpointsInPeriod.length}, at ${first.size} to ${last.size} records`
      : 'none',
  ],
  ['Checkpoints in the whole log', String(all.checkpoints)],
  [
    'Consistent with the previous report',
    {
      consistent: 'yes',
      inconsistent: '<b>no</b>',
      'not given': 'no earlier checkpoint was given',
    }[all.previous],
  ],
  ['Root over all records', `<code>${all.root}</code>`],
])}
<p>To repeat the check:</p><pre>${commands.map(safe).join('\n')}</pre>
${all.checkpointText ? `<p>The newest checkpoint. Keep it: a later log must be consistent with it.</p><pre>${safeLines(all.checkpointText)}</pre>` : ''}
<p>Verifier ${all.keys.length === 1 ? 'key' : 'keys'}: ${all.keys.map((key) => `<code>${safe(key)}</code>`).join(' ') || '—'}</p></section>`;
}

const safeLines = (text: string): string => text.trimEnd().split('\n').map(safe).join('\n');

function controlMap(): string {
  const tables = controls.map(({ standard, controls: rows }) => {
    const cells = rows.map(({ id, shows, lacks }) => [safe(id), safe(shows), safe(lacks)]);
    return `<h3>${standard}</h3>${table(standard, ['Requirement', 'Evidence here', 'Not covered here'], cells)}`;
  });
  const limits = limitsText.map((text) => `<li>${safe(text)}</li>`).join('');
  return `<section aria-labelledby="controls"><h2 id="controls">Control map</h2><p>${basisText}</p>${tables.join('')}<h3>What this report cannot show</h3><ul>${limits}</ul></section>`;
}

function samples({ samples: all }: Report): string {
  const rows = all.drawn.map(({ sequence, account, timeMs, file }) => [
    String(sequence),
    safe(account),
    time(timeMs),
    `<code>${safe(file)}</code>`,
  ]);
  const seed = `<p>${rows.length} of ${count(all.population, 'successful rotation')} of the period, drawn by the least SHA-256 of seed, newline and record id. Seed: <code>${safe(all.seed)}</code></p>`;
  return `<section aria-labelledby="samples"><h2 id="samples">Sample</h2>${rows.length === 0 ? '<p>There was no sealed rotation to draw from.</p>' : seed + table('Sample of rotations', ['Record', 'Account', 'When', 'Proof file'], rows)}</section>`;
}

/** `report.html`. */
export function reportHtml(report: Report): string {
  const title = `Password rotation report: ${safe(report.origin)}`;
  const parts = [
    verdict,
    picture,
    buckets,
    accounts,
    exceptions,
    population,
    integrity,
    controlMap,
    samples,
  ].map((part) => part(report));
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>${title}</title>
<style>${reportStyle}</style>
</head>
<body>
<header><h1>Password rotation report</h1><p class="soft">${safe(report.origin)}: Verizon ThingSpace accounts</p></header>
<main>
${parts.join('\n')}
</main>
<footer>Made ${time(report.madeAtMs)} by thingspace-rotator ${safe(report.productVersion)}. report.csv and report.json beside this page carry the same facts and the same checkpoint.</footer>
</body>
</html>
`;
}
