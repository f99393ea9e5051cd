// The report as one self-contained HTML file. The sections are in the order in which an auditor
// asks: verdict, exceptions, age classes, charts, accounts and their history, population,
// integrity, controls, sample.

import type { Child } from 'hono/jsx';
import {
  Day,
  Facts,
  Name,
  Page,
  renderPage,
  Section,
  Table,
  Tag,
  Time,
  type Tone,
} from '../html/page.tsx';
import { counted, printable } from '../text.ts';
import { isoDay } from '../time.ts';
import type { AccountRow, Bucket } from './account.ts';
import { Histories, historyId, recordsText } from './account-history.tsx';
import type { Report } from './build.ts';
import { AgeStrip, Axis, bandVerdicts, DensityBand, type Scale } from './chart.tsx';
import {
  basisText,
  bucketText,
  controls,
  daysOf,
  exceptionTitles,
  integrityText,
  limitsText,
  periodText,
  verdictText,
} from './text.ts';

type Part = (props: { report: Report }) => Child;

/** Empty where it is not known: the style sheet prints a dash in an empty cell. */
const age = (ms: number | null): string => (ms === null ? '' : daysOf(ms));
const day = (ms: number | null): string => (ms === null ? '' : isoDay(ms));

const bucketTones: Readonly<Record<Bucket, Tone>> = {
  inside: 'good',
  soon: 'warn',
  outside: 'bad',
  never: 'doubt',
  unknown: 'doubt',
  exempt: 'plain',
  removed: 'plain',
};

/** The tone of a number of accounts: whether somebody must act on it. */
function countsTone(overdue: number, unknown: number, accounts: number): Tone {
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

/** One of the statements of the verdict; all have the same weight. */
const Statement = ({ tone, title, text, href }: Readonly<Record<string, string>>) => (
  <div class={`verdict ${tone}`}>
    <h3>{title}</h3>
    <strong>
      <a href={href}>{text}</a>
    </strong>
  </div>
);

const Verdict: Part = ({ report }) => {
  const { integrity, policy, verdict, period } = report;
  const { anchors, newest } = integrity;
  const key = newest?.note.signatures[0]?.name ?? '';
  const days = `${isoDay(report.fromMs)} to ${isoDay(report.endMs - 1)}`;
  const open = report.exceptions.filter(isOpenException).length;
  return (
    <Section id="verdict" title="Verdict">
      <div class="verdicts">
        <Statement
          tone={countsTone(verdict.outside, verdict.unknown, verdict.accounts)}
          title="On the last day"
          text={verdictText(report)}
          href="#accounts"
        />
        <Statement
          tone={countsTone(period.overdue, period.unknown, period.accounts)}
          title={`On every day, ${days}`}
          text={periodText(report)}
          href="#accounts"
        />
        <Statement
          tone={integrityTones[integrity.state]}
          title="Audit log"
          text={integrityText(report)}
          href="#integrity"
        />
        <Statement
          tone={open > 0 ? 'bad' : 'good'}
          title="Exceptions"
          text={exceptionsText(report)}
          href="#exceptions"
        />
      </div>
      <Facts
        of={[
          ['Report', <code>{report.id}</code>],
          ['Period', [<Day ms={report.fromMs} />, ' to ', <Day ms={report.toMs - 1} />]],
          ['Status as of', <Time ms={report.endMs} />],
          [
            'Records in the log',
            `${integrity.records}, of which ${integrity.sealedRecords} sealed`,
          ],
          ['Newest checkpoint', newest ? `at ${counted(newest.size, 'record')}` : 'none'],
          ['Key', integrity.keyId ? <code>{`${printable(key)}+${integrity.keyId}`}</code> : '—'],
          [
            'Checkpoints given for comparison',
            anchors.length === 0 ? 'none' : `${anchors.length}, at ${anchors.join(', ')} records`,
          ],
          [
            'Policy of the fleet at the end',
            `rotation after ${policy.rotateAfterDays} days, limit ${policy.maxAgeDays} days`,
          ],
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

const Contents: Part = ({ report: { exceptions, rows, samples } }) => (
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

const legend: readonly (readonly [Child, string])[] = [
  [<path class="age" d="M0 36L1000 6" />, 'age of the password'],
  [<path class="age over" d="M0 36L1000 6" />, 'age over the limit'],
  [<path class="limit" d="M0 20H1000" />, 'limit of the day'],
  [<path class="changed" d="M500 0V40" />, 'rotated'],
  [<path class="outside" d="M500 0V40" />, 'changed outside a rotation'],
  [<path class="failed" d="M500 0V40" />, 'attempt failed or unknown'],
  [<path class="stop" d="M0 0H1000V40H0Z" />, 'automatic rotation suspended'],
  [<path class="unknown" d="M0 0H1000V40H0Z" />, 'password or age not known'],
  [<path class="exempted" d="M0 0H1000V40H0Z" />, 'exempt'],
];

function stripLabel(row: AccountRow): string {
  const name = printable(row.account);
  if (row.largestAgeMs === null) return `${name}: no age known in the period`;
  const parts = [
    `largest age ${age(row.largestAgeMs)} days`,
    counted(row.succeeded, 'rotation'),
    counted(row.failed + row.unknown, 'failure'),
  ];
  if (row.stops.length > 0) parts.push(counted(row.stops.length, 'suspension'));
  return `${name}: ${parts.join(', ')}`;
}

/** So many accounts have a strip; the others share one band. */
const stripCount = 50;

const Chart: Part = ({ report: { rows, fromMs, endMs } }) => {
  const scale: Scale = { fromMs, endMs };
  const [worst, others] = [rows.slice(0, stripCount), rows.slice(stripCount)];
  return (
    <Section id="chart" title="Password age over the period">
      <p class="soft">
        {others.length === 0
          ? 'One strip per account, most urgent first. '
          : `One strip for each of the ${stripCount} most urgent accounts; one band for the rest. `}
        The number on the right is the largest age in the period, in days.
      </p>
      <ul class="legend">
        {legend.map(([drawing, text]) => (
          <li>
            <svg class="strip" viewBox="0 0 1000 40" preserveAspectRatio="none" aria-hidden="true">
              {drawing}
            </svg>
            {text}
          </li>
        ))}
      </ul>
      <div class="strips">
        <div class="row axis">
          <span class="name" />
          <Axis scale={scale} />
          <span class="most">largest</span>
        </div>
        {worst.map((row, index) => (
          <div class="row">
            <a class="name" href={`#${historyId(index)}`} title={printable(row.account)}>
              <Name of={row.account} />
            </a>
            <AgeStrip row={row} scale={scale} label={stripLabel(row)} />
            <span class={row.days.overdue > 0 ? 'most over' : 'most'}>
              {row.largestAgeMs === null ? 'no date' : `${age(row.largestAgeMs)} d`}
            </span>
          </div>
        ))}
        {others.length > 0 && (
          <div class="row band">
            <span class="name">{`${others.length} other accounts`}</span>
            <DensityBand rows={others} scale={scale} />
            <span class="most" />
          </div>
        )}
      </div>
      {others.length > 0 && (
        <ul class="legend">
          {bandVerdicts.map((verdict) => (
            <li>
              <svg class="strip" viewBox="0 0 1 1" preserveAspectRatio="none" aria-hidden="true">
                <rect class={`day ${verdict}`} width="1" height="1" />
              </svg>
              {`accounts ${verdict} on that day`}
            </li>
          ))}
        </ul>
      )}
    </Section>
  );
};

/** The first account of this bucket in the table. */
const bucketId = (bucket: Bucket): string => `first-${bucket}`;

const Buckets: Part = ({ report: { buckets, policy, rows } }) => {
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
          const { title, says } = bucketText(bucket, policy);
          const content = [<b>{buckets[bucket]}</b>, title, <span class="note">{says}</span>];
          const tone = bucketTones[bucket];
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

function accountCells(row: AccountRow, index: number, isFirst: boolean): Child[] {
  const { account, username, bucket, note, storeState, lastChange, largestAgeMs, days } = row;
  const hasOwnUsername = username !== null && username.toLowerCase() !== account.toLowerCase();
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
      <Tag tone={bucketTones[bucket]} id={isFirst ? bucketId(bucket) : undefined}>
        {bucketText(bucket, row.limits).title}
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

const Accounts: Part = ({ report: { rows } }) => {
  const seen = new Set<Bucket>();
  const cells = rows.map((row, index) => {
    const isFirst = !seen.has(row.bucket);
    seen.add(row.bucket);
    return accountCells(row, index, isFirst);
  });
  return (
    <Section id="accounts" title="Accounts">
      {rows.length === 0 && <p>There were no accounts.</p>}
      <Table name="accounts" label="Accounts, most urgent first" rows={cells} />
    </Section>
  );
};

function exceptionCells(exception: Report['exceptions'][number]): Child[] {
  const { account, atMs, text, isOpen, acknowledgement, id, records } = exception;
  const note = acknowledgement && [
    printable(acknowledgement.note),
    <span class="note">
      {`${printable(acknowledgement.by)}, `}
      <Day ms={acknowledgement.atMs} />
      {`, record ${acknowledgement.sequence}`}
    </span>,
  ];
  return [
    account === null ? '—' : <Name of={account} />,
    <Day ms={atMs} />,
    [
      isOpen && <b>Open exception. </b>,
      printable(text),
      <span class="note">{recordsText(records)}</span>,
    ],
    note ?? <b>none</b>,
    <code>{printable(id)}</code>,
  ];
}

const Exceptions: Part = ({ report: { exceptions } }) => (
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

const Population: Part = ({ report: { population: all } }) => (
  <Section id="population" title="Population">
    <Facts
      of={[
        ['Accounts at the start', all.atStart],
        ['Added', names(all.added)],
        ['Removed', names(all.removed)],
        ['Accounts at the end', all.atEnd],
        ['Accounts on any day of the period', all.inPeriod],
        ['Attempts', `${all.attempts} = ${all.withOutcome} with outcome + ${all.open} unfinished`],
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
            differs: <b>differs from the accounts in the log</b>,
            none: 'none recorded',
          }[all.summary],
        ],
        ['Comparison with the store', storeComparison(all)],
        ['In the configuration, not in the log', names(all.unseen)],
        ['In the log, not in the configuration', names(all.unlisted)],
      ]}
    />
  </Section>
);

const comparisons: Readonly<Record<Report['integrity']['previous'], Child>> = {
  consistent: 'yes',
  inconsistent: <b>no</b>,
  'not given': 'no earlier checkpoint was given',
};

const Integrity: Part = ({ report }) => {
  const { integrity, samples } = report;
  const { findings, checkpointsInPeriod, checkpointText, keys } = integrity;
  const [first, last] = [checkpointsInPeriod[0], checkpointsInPeriod.at(-1)];
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
          [
            'Checkpoints in the period',
            first && last
              ? `${checkpointsInPeriod.length}, at ${first.size} to ${last.size} records`
              : 'none',
          ],
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

const sampledKinds = {
  rotation: 'rotation',
  attempt: 'failed attempt',
  change: 'change by hand',
} as const;

const Samples: Part = ({ report: { samples } }) => (
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
  ({ report: { rows } }) => <Histories rows={rows} />,
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
          {` by thingspace-rotator ${printable(report.productVersion)}. `}
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
      {parts.map((part) => part({ report }))}
    </Page>,
  );
}
