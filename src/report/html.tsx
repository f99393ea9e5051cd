// The report as one self-contained HTML file. The sections are in the order in which an auditor
// asks: verdict, exceptions, age classes, charts, accounts and their history, population,
// integrity, controls, sample.

import type { Child } from 'hono/jsx';
import { Day, Facts, Name, Page, renderPage, Section, Table, Tag, Time } from '../html/page.tsx';
import { counted, printable } from '../text.ts';
import { isoDay } from '../time.ts';
import { version } from '../version.ts';
import type { AccountRow, Bucket } from './account.ts';
import { Histories, historyId, recordsText } from './account-history.tsx';
import type { Report } from './build.ts';
import { Chart } from './chart.tsx';
import { exceptionTitles } from './exceptions.ts';
import {
  basisText,
  bucketFacts,
  bucketMeaning,
  controls,
  daysOf,
  integrityText,
  limitsText,
  periodText,
  verdictText,
} from './text.ts';

/** A section, from the report as its properties. */
type Part = (report: Report) => Child;

/** Empty where it is not known: the style sheet prints a dash in an empty cell. */
const age = (ms: number | null): string => (ms === null ? '' : daysOf(ms));
const day = (ms: number | null): string => (ms === null ? '' : isoDay(ms));

/** The tone of a number of accounts: whether somebody must act on it. */
function countsTone(overdue: number, unknown: number, accounts: number) {
  if (overdue > 0) return 'bad';
  return unknown > 0 || accounts === 0 ? 'warn' : 'good';
}

const integrityTones = { intact: 'good', incomplete: 'warn', altered: 'bad' } as const;

const isOpenException = ({ isOpen, acknowledgement }: Report['exceptions'][number]): boolean =>
  isOpen && !acknowledgement;

function exceptionsText({ exceptions }: Report): string {
  const open = exceptions.filter(isOpenException).length;
  if (exceptions.length === 0) return 'There is no exception in the period.';
  return `${counted(exceptions.length, 'exception')}; ${open} open and not acknowledged.`;
}

/** The statements of the verdict; all have the same weight. */
function statementsOf(report: Report) {
  const { integrity, verdict, period, exceptions, fromMs, endMs } = report;
  const lastDay = countsTone(verdict.outside, verdict.unknown, verdict.accounts);
  const everyDay = countsTone(period.overdue, period.unknown, period.accounts);
  const days = `${isoDay(fromMs)} to ${isoDay(endMs - 1)}`;
  const hasOpen = exceptions.some(isOpenException);
  return [
    ['On the last day', lastDay, verdictText(report), 'accounts'],
    [`On every day, ${days}`, everyDay, periodText(report), 'accounts'],
    ['Audit log', integrityTones[integrity.state], integrityText(report), 'integrity'],
    ['Exceptions', hasOpen ? 'bad' : 'good', exceptionsText(report), 'exceptions'],
  ] as const;
}

const Verdict: Part = (report) => {
  const { integrity, policy } = report;
  const { anchors, newest, keyId } = integrity;
  const key = newest?.note.signatures[0]?.name ?? '';
  const sealed = `${integrity.records}, of which ${integrity.sealedRecords} sealed`;
  const given =
    anchors.length === 0 ? 'none' : `${anchors.length}, at ${anchors.join(', ')} records`;
  const limits = `rotation after ${policy.rotateAfterDays} days, limit ${policy.maxAgeDays} days`;
  return (
    <Section id="verdict" title="Verdict">
      <div class="verdicts">
        {statementsOf(report).map(([title, tone, text, section]) => (
          <div class={`verdict ${tone}`}>
            <h3>{title}</h3>
            <strong>
              <a href={`#${section}`}>{text}</a>
            </strong>
          </div>
        ))}
      </div>
      <Facts
        of={[
          ['Report', <code>{report.id}</code>],
          ['Period', [<Day ms={report.fromMs} />, ' to ', <Day ms={report.toMs - 1} />]],
          ['Status as of', <Time ms={report.endMs} />],
          ['Records in the log', sealed],
          ['Newest checkpoint', newest ? `at ${counted(newest.size, 'record')}` : 'none'],
          ['Key', keyId ? <code>{`${printable(key)}+${keyId}`}</code> : '—'],
          ['Checkpoints given for comparison', given],
          ['Policy of the fleet at the end', limits],
        ]}
      />
      <div class="sign">
        {['Prepared by', 'Reviewed by'].map((who) => (
          <p>
            {who} <span /> Date <span />
          </p>
        ))}
      </div>
    </Section>
  );
};

const Contents: Part = ({ exceptions, rows, samples }) => (
  <nav class="contents" aria-label="Contents">
    {(
      [
        ['exceptions', `Exceptions (${exceptions.length})`],
        ['buckets', 'Password age and exemptions'],
        ['chart', 'Charts'],
        ['accounts', `Accounts (${rows.length})`],
        ['history', 'History of each account'],
        ['population', 'Population'],
        ['integrity', 'Integrity'],
        ['controls', 'Control map'],
        ['samples', `Sample (${samples.drawn.length})`],
      ] as const
    ).map(([id, title]) => (
      <a href={`#${id}`}>{title}</a>
    ))}
  </nav>
);

/** The first account of this bucket in the table. */
const bucketId = (bucket: Bucket): string => `first-${bucket}`;

const Buckets: Part = ({ buckets, policy, rows }) => {
  const exempt = rows.flatMap(({ account, exemptions }) =>
    exemptions.map(({ why, who, fromMs, until, sequence }) => [
      <Name of={account} />,
      printable(why),
      printable(who),
      [<Day ms={fromMs} />, ` to ${printable(until)}`],
      sequence,
    ]),
  );
  return (
    <Section id="buckets" title="Accounts by password age">
      <ul class="counts">
        {(Object.keys(buckets) as Bucket[]).map((bucket) => {
          const { title, tone } = bucketFacts[bucket];
          const meaning = <span class="note">{bucketMeaning(bucket, policy)}</span>;
          const content = [<b>{buckets[bucket]}</b>, title, meaning];
          return (
            <li>
              {buckets[bucket] === 0 ? (
                <div class={tone}>{content}</div>
              ) : (
                <a class={tone} href={`#${bucketId(bucket)}`}>
                  {content}
                </a>
              )}
            </li>
          );
        })}
      </ul>
      {exempt.length > 0 && <Table name="exempt" label="Exempt accounts" rows={exempt} />}
    </Section>
  );
};

const changedBy = {
  rotation: '',
  recovery: ' (recovered)',
  first: ' (first password)',
  outside: ' (outside a rotation)',
};

function accountCells(row: AccountRow, index: number, rows: readonly AccountRow[]): Child[] {
  const { account, username, bucket, note, storeState, lastChange, largestAgeMs, days } = row;
  const hasOwnUsername = username !== null && username.toLowerCase() !== account.toLowerCase();
  const isFirst = rows[index - 1]?.bucket !== bucket;
  const { title, tone } = bucketFacts[bucket];
  const href = `#${historyId(index)}`;
  return [
    [
      <Name of={account} />,
      hasOwnUsername && (
        <span class="note">
          <Name of={username} />
        </span>
      ),
    ],
    [
      <Tag tone={tone} id={isFirst ? bucketId(bucket) : undefined}>
        {title}
      </Tag>,
      note !== null && <span class="note">{printable(note)}</span>,
      storeState !== null && storeState !== 'settled' && (
        <span class="note">{`store: ${printable(storeState)}`}</span>
      ),
    ],
    <a href={href}>{`${days.compliant} / ${days.overdue} / ${days.unknown} / ${days.exempt}`}</a>,
    age(row.ageMs),
    largestAgeMs === null ? null : `${age(largestAgeMs)} on ${day(row.largestAtMs)}`,
    row.limits.maxAgeDays,
    day(row.nextDueMs),
    <a href={href}>{`${row.succeeded} / ${row.failed} / ${row.unknown}`}</a>,
    lastChange ? `${day(lastChange.timeMs)}${changedBy[lastChange.by]}` : 'none on record',
    lastChange && (lastChange.verified ? 'yes' : 'no'),
    lastChange?.sequence,
  ];
}

const Accounts: Part = ({ rows }) => (
  <Section id="accounts" title="Accounts">
    {rows.length === 0 && <p>There were no accounts.</p>}
    <Table name="accounts" label="Accounts, most urgent first" rows={rows.map(accountCells)} />
  </Section>
);

function exceptionCells(exception: Report['exceptions'][number]): Child[] {
  const { account, atMs, text, isOpen, acknowledgement, id, records } = exception;
  return [
    account === null ? '—' : <Name of={account} />,
    <Day ms={atMs} />,
    [
      isOpen && <b>Open exception. </b>,
      printable(text),
      <span class="note">{recordsText(records)}</span>,
    ],
    acknowledgement ? (
      [
        printable(acknowledgement.note),
        <span class="note">
          {`${printable(acknowledgement.by)}, `}
          <Day ms={acknowledgement.atMs} />
          {`, record ${acknowledgement.sequence}`}
        </span>,
      ]
    ) : (
      <b>none</b>
    ),
    <code>{printable(id)}</code>,
  ];
}

const Exceptions: Part = ({ exceptions }) => (
  <Section id="exceptions" title="Exceptions">
    {exceptions.length === 0 ? (
      <p>There is no exception in the period.</p>
    ) : (
      <p class="soft">
        {'An exception stays listed after it is acknowledged. To acknowledge one: '}
        <code>thingspace-rotator audit acknowledge ID --note "…"</code>
      </p>
    )}
    {[...new Set(exceptions.map(({ kind }) => kind))].map((kind) => {
      const rows = exceptions
        .filter((one) => one.kind === kind)
        .sort((a, b) => Number(isOpenException(b)) - Number(isOpenException(a)))
        .map(exceptionCells);
      return (
        <>
          <h3>{`${exceptionTitles[kind]} (${rows.length})`}</h3>
          <Table name="exceptions" label={exceptionTitles[kind]} rows={rows} />
        </>
      );
    })}
  </Section>
);

const names = (list: readonly string[]): string =>
  list.length === 0 ? 'none' : `${list.length}: ${list.map(printable).join(', ')}`;

function storeComparison({ store }: Report['population']): string {
  if (store === 'not performed') return store;
  const missing =
    store.missing.length > 0 ? `, not found: ${store.missing.map(printable).join(', ')}` : '';
  return `${counted(store.asked, 'account')} compared, ${store.differing} differ${missing}`;
}

const summaries = {
  matches: 'matches',
  differs: <b>differs from the accounts in the log</b>,
  none: 'none recorded',
};

const Population: Part = ({ population: all }) => {
  const { firstSequence: first, lastSequence: last } = all;
  const attempts = `${all.attempts} = ${all.withOutcome} with outcome + ${all.open} unfinished`;
  const records = first === null ? 'none' : `${all.records}, numbers ${first} to ${last}`;
  return (
    <Section id="population" title="Population">
      <Facts
        of={[
          ['Accounts at the start', all.atStart],
          ['Added', names(all.added)],
          ['Removed', names(all.removed)],
          ['Accounts at the end', all.atEnd],
          ['Accounts on any day of the period', all.inPeriod],
          ['Attempts', attempts],
          ['Records of the period', records],
          ['Inventory summary in the log', summaries[all.summary]],
          ['Comparison with the store', storeComparison(all)],
          ['In the configuration, not in the log', names(all.unseen)],
          ['In the log, not in the configuration', names(all.unlisted)],
        ]}
      />
    </Section>
  );
};

const comparisons = {
  consistent: 'yes',
  inconsistent: <b>no</b>,
  'not given': 'no earlier checkpoint was given',
};

const Integrity: Part = (report) => {
  const { integrity, samples } = report;
  const { findings, checkpointsInPeriod, checkpointText, keys } = integrity;
  const [first, last] = [checkpointsInPeriod[0], checkpointsInPeriod.at(-1)];
  const inPeriod = `${checkpointsInPeriod.length}, at ${first?.size} to ${last?.size} records`;
  const uid = samples.drawn[0]?.uid;
  return (
    <Section id="integrity" title="Integrity">
      <p>{integrityText(report)}</p>
      {findings.length > 0 && (
        <ul>
          {findings.map(({ level, message }) => (
            <li>
              <b>{level}</b>: {printable(message)}
            </li>
          ))}
        </ul>
      )}
      <Facts
        of={[
          ['Checkpoints in the period', first ? inPeriod : 'none'],
          ['Checkpoints in the log', integrity.checkpoints],
          ['Consistent with the previous report', comparisons[integrity.previous]],
          ['Root over all records', <code>{integrity.root}</code>],
        ]}
      />
      <p>To repeat the verification:</p>
      <pre>
        {[
          'thingspace-rotator audit verify --consistent-with CHECKPOINT',
          ...(uid === undefined ? [] : [`thingspace-rotator audit prove ${uid}`]),
        ].join('\n')}
      </pre>
      <p>
        To verify without this program, use the Python script in docs/AUDIT.md. It needs only Python
        and openssl.
      </p>
      {checkpointText !== null && (
        <>
          <p>The newest checkpoint follows. Keep it: a later log must be consistent with it.</p>
          <pre>{checkpointText.trimEnd().split('\n').map(printable).join('\n')}</pre>
        </>
      )}
      <p>
        {keys.length === 1 ? 'Verifier key: ' : 'Verifier keys: '}
        {keys.length === 0 ? '—' : keys.map((key) => <code>{printable(key)} </code>)}
      </p>
    </Section>
  );
};

const Controls: Part = () => (
  <Section id="controls" title="Control map">
    <p>{basisText}</p>
    {controls.map(({ standard, controls: rows }) => (
      <>
        <h3>{standard}</h3>
        <Table
          name="controls"
          label={standard}
          rows={rows.map(({ id, shows, lacks }) => [id, shows, lacks])}
        />
      </>
    ))}
    <h3>What this report cannot show</h3>
    <ul>
      {limitsText.map((text) => (
        <li>{text}</li>
      ))}
    </ul>
  </Section>
);

const sampledKinds = { rotation: 'rotation', attempt: 'failed attempt', change: 'change by hand' };

const Samples: Part = ({ samples }) => (
  <Section id="samples" title="Sample">
    {samples.drawn.length === 0 ? (
      <p>The log holds no sealed rotation, failed attempt or change by hand in the period.</p>
    ) : (
      <>
        <p>
          {`${samples.drawn.length} of ${samples.population}: rotations, failed attempts and `}
          {'changes by hand. '}
          The sample has the smallest SHA-256 values of seed, newline and the id of the first
          record. Seed: <code>{printable(samples.seed)}</code>
        </p>
        <Table
          name="samples"
          label="Sample of rotations"
          rows={samples.drawn.map(({ sequence, account, timeMs, kind, status, files }) => [
            sequence,
            <Name of={account} />,
            <Time ms={timeMs} />,
            `${sampledKinds[kind]}: ${status}`,
            <code>{printable(files.join(' '))}</code>,
          ])}
        />
      </>
    )}
  </Section>
);

const parts: readonly Part[] = [
  Verdict,
  Contents,
  Exceptions,
  Buckets,
  Chart,
  Accounts,
  Histories,
  Population,
  Integrity,
  Controls,
  Samples,
];

/** `report.html`. `files`: the SHA-256 of the files that come with it, by name. */
export function reportHtml(report: Report, files: Readonly<Record<string, string>> = {}): string {
  const origin = printable(report.origin);
  return renderPage(
    <Page
      title={`Password rotation report ${report.id}: ${origin}`}
      heading="Password rotation report"
      about={`${origin}: Verizon ThingSpace accounts`}
      footer={
        <p>
          {'Created '}
          <Time ms={report.madeAtMs} />
          {` by thingspace-rotator ${printable(version)}. `}
          The files report.csv and report.json hold the same facts and the same checkpoint.{' '}
          {Object.entries(files).map(([name, sha256]) => (
            <>
              {` SHA-256 of ${name}: `}
              <code>{sha256}</code>.
            </>
          ))}
        </p>
      }
    >
      {parts.map((part) => part(report))}
    </Page>,
  );
}
