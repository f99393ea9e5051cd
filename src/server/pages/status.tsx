// The status page: every account, most urgent first, with the age of its password, its status, and
// what to do next. One document without a script; a reader filters it with links and a form.

import type { Child } from 'hono/jsx';
import { Name, Page, renderPage, Table, Tag, Time, type Tone } from '../../html/page.tsx';
import { explain } from '../../rotation/catalogue.ts';
import type { Facts, Reason } from '../../rotation/failure.ts';
import { dependencyNames, type Outage } from '../../scheduler/circuit-breaker.ts';
import {
  type AccountEntry,
  agesOf,
  isExempt,
  isOverdue,
  isStale,
  isWell,
  rankOf,
  worstFirst,
} from '../../scheduler/status-cache.ts';
import { counted, printable } from '../../text.ts';
import type { Check } from '../readiness.ts';

export type PageOptions = {
  readonly entries: readonly AccountEntry[];
  readonly nowMs: number;
  readonly host: string;
  readonly version: string;
  /** Infinity: no run is scheduled. */
  readonly nextRunMs: number;
  readonly timezone: string;
  readonly outage: Outage | null;
  /** False: the scheduler loop does not run. */
  readonly isAlive: boolean;
  /** The readiness checks that failed when they were made last. */
  readonly notReady: readonly Check[];
  /** What is known about every account: the kind of store, the configuration file. */
  readonly facts: Facts;
  /** Seconds until the browser loads the page again; 0: it does not. */
  readonly refreshSeconds: number;
  /** What the reader asked for: `show`, `q`, `page`, `refresh`. */
  readonly query: URLSearchParams;
};

const accountsPerPage = 100;

type Group = {
  readonly key: string;
  readonly title: string;
  readonly tone: Tone;
  /** As `rankOf` counts. */
  readonly ranks: readonly number[];
};

const groups: readonly Group[] = [
  { key: 'action', title: 'Action required', tone: 'bad', ranks: [0, 1] },
  { key: 'overdue', title: 'Over the age limit', tone: 'bad', ranks: [2] },
  { key: 'unfinished', title: 'Rotation unfinished', tone: 'doubt', ranks: [3, 4] },
  { key: 'failing', title: 'Failed, will be retried', tone: 'warn', ranks: [5, 6] },
  { key: 'stale', title: 'Not checked in time', tone: 'bad', ranks: [7] },
  { key: 'undated', title: 'Age unknown', tone: 'doubt', ranks: [8] },
  { key: 'healthy', title: 'Healthy', tone: 'good', ranks: [9] },
  { key: 'unknown', title: 'Not checked yet', tone: 'plain', ranks: [10] },
  { key: 'exempt', title: 'Exempt', tone: 'plain', ranks: [11] },
];

const countOf = ({ entries, nowMs }: PageOptions, ranks: readonly number[]): number =>
  entries.filter((entry) => ranks.includes(rankOf(entry, nowMs))).length;

/** The page as an HTML document. */
export function statusPage(options: PageOptions): string {
  const { entries, nowMs, host, query } = options;
  const show = groups.find(({ key }) => key === query.get('show'));
  const search = (query.get('q') ?? '').trim().slice(0, 128);
  const matching = worstFirst(entries, nowMs).filter(
    (entry) =>
      (!show || show.ranks.includes(rankOf(entry, nowMs))) &&
      entry.account.name.toLowerCase().includes(search.toLowerCase()),
  );
  const pages = Math.max(1, Math.ceil(matching.length / accountsPerPage));
  const page = Math.min(pages, Math.max(1, Math.floor(Number(query.get('page') ?? 1)) || 1));
  const shown = matching.slice((page - 1) * accountsPerPage, page * accountsPerPage);
  const urgent = countOf(options, [0, 1, 2, 7]);
  return renderPage(
    <Page
      title={`${urgent > 0 ? `(${urgent}) ` : ''}ThingSpace passwords`}
      heading="ThingSpace passwords"
      about={[`${printable(host)}, as of `, <Time ms={nowMs} />]}
      footer={<Footer {...options} />}
    >
      <Verdict {...options} />
      <GroupList options={options} show={show} />
      {entries.length > 0 && <SearchForm search={search} show={show} />}
      <Accounts
        options={options}
        shown={shown}
        total={matching.length}
        isFiltered={search !== '' || show !== undefined}
      />
      {pages > 1 && <PageLinks page={page} pages={pages} query={query} />}
    </Page>,
  );
}

/** What a person wants to know first. */
function verdictOf(options: PageOptions): readonly [Tone, string] {
  const { entries } = options;
  const all = counted(entries.length, 'account');
  const counts = [[0, 1], [2], [7], [3, 4, 5, 6], [8], [10], [11]].map((ranks) =>
    countOf(options, ranks),
  );
  const [action, overdue, stale, failing, undated, unknown, exempt] = counts;
  if (!options.isAlive) return ['bad', 'The scheduler has stopped. No account is being checked.'];
  if (entries.length === 0) return ['warn', 'No accounts are configured.'];
  if (action) return ['bad', `Action required for ${action} of ${all}.`];
  if (overdue) return ['bad', `${overdue} of ${all}: the password is over the age limit.`];
  if (stale) return ['bad', `${stale} of ${all}: not checked since the last scheduled run.`];
  if (failing) return ['warn', `${failing} of ${all} failed and will be retried.`];
  if (unknown) return ['warn', `${unknown} of ${all} not checked yet.`];
  if (options.notReady.length > 0) return ['bad', 'The service is not ready to rotate.'];
  if (undated) return ['warn', `The age of the password is not known for ${undated} of ${all}.`];
  if (exempt) return ['good', `No problems. ${exempt} of ${all} exempt from the policy.`];
  return ['good', entries.length === 1 ? 'The account is healthy.' : `All ${all} are healthy.`];
}

const Verdict = (options: PageOptions) => {
  const { nowMs, outage, nextRunMs, timezone, notReady } = options;
  const [tone, text] = verdictOf(options);
  return (
    <section class={`verdict ${outage && tone === 'good' ? 'warn' : tone}`} aria-label="Verdict">
      <strong>{text}</strong>
      {notReady.map(({ check, detail }) => (
        <p>
          Readiness check <b>{check}</b>: {printable(detail)}.
        </p>
      ))}
      {outage && (
        <p>
          {dependencyNames[outage.dependency]}
          {' has been unreachable since '}
          <Time ms={outage.sinceMs} nowMs={nowMs} />. The service probes with one account at a time.
        </p>
      )}
      {Number.isFinite(nextRunMs) && (
        <p class="soft">
          {'Next scheduled run: '}
          <Time ms={nextRunMs} nowMs={nowMs} />
          {timezone === 'UTC' ? '.' : ` (schedule in ${timezone}).`}
        </p>
      )}
    </section>
  );
};

const GroupList = ({ options, show }: { options: PageOptions; show: Group | undefined }) => (
  <nav aria-label="Accounts by status">
    <ul class="counts">
      {groups.map((group) => {
        const count = countOf(options, group.ranks);
        if (count === 0 && group !== show) return null;
        const isCurrent = group === show;
        return (
          <li>
            <a
              class={group.tone}
              href={isCurrent ? './' : `./?show=${group.key}`}
              aria-current={isCurrent ? 'true' : undefined}
            >
              <b>{count}</b>
              {group.title}
            </a>
          </li>
        );
      })}
    </ul>
  </nav>
);

const SearchForm = ({ search, show }: { search: string; show: Group | undefined }) => (
  <search>
    <form action="./" method="get">
      <div>
        <label for="q">Account name</label>
        <input id="q" name="q" type="search" maxlength={128} value={search} />
      </div>
      {show && <input type="hidden" name="show" value={show.key} />}
      <button type="submit">Find</button>
    </form>
  </search>
);

type AccountsProps = {
  options: PageOptions;
  shown: readonly AccountEntry[];
  total: number;
  isFiltered: boolean;
};

const Accounts = ({ options, shown, total, isFiltered }: AccountsProps) => {
  const { entries } = options;
  if (entries.length === 0)
    return (
      <p>
        Add accounts to the configuration under <code>accounts</code>, or by a tag under{' '}
        <code>discover</code>.
      </p>
    );
  if (total === 0)
    return (
      <p>
        No matching accounts. <a href="./">Show all accounts</a>
      </p>
    );
  return (
    <>
      <h2>
        {isFiltered
          ? [`${total} of ${counted(entries.length, 'account')} `, <a href="./">Show all</a>]
          : `${counted(total, 'account')}${total === 1 ? '' : ', most urgent first'}`}
      </h2>
      <Table
        name="status"
        label="Accounts"
        rows={shown.map((entry) => [
          <Name of={entry.account.name} />,
          <AgeBar entry={entry} nowMs={options.nowMs} />,
          <Status entry={entry} nowMs={options.nowMs} />,
          <Advice entry={entry} options={options} />,
        ])}
      />
      <p class="soft">
        The thin mark on a bar is the age at which rotation is due. The thick mark is the age limit.
      </p>
    </>
  );
};

function statusOf(entry: AccountEntry, nowMs: number): readonly [Tone, string] {
  const { reason, state, blocked } = entry;
  const ages = agesOf(entry, nowMs);
  if (reason === 'password-lost') return ['bad', 'Unrecoverable'];
  if (blocked !== undefined || state === 'stopped') return ['bad', 'Suspended'];
  if (state === 'in-doubt') return ['doubt', 'Not known yet'];
  if (state === 'changed') return ['doubt', 'Unfinished'];
  if (state === 'unreadable') return ['warn', 'Not readable'];
  if (isOverdue(entry, nowMs)) return ['bad', 'Over the age limit'];
  if (state === 'busy') return ['plain', 'Busy'];
  if (reason !== undefined) return ['warn', 'Failed'];
  if (isStale(entry, nowMs)) return ['bad', 'Outdated'];
  if (state === 'unknown') return ['plain', 'Not checked yet'];
  if (isExempt(entry, nowMs)) return ['plain', 'Exempt'];
  if (ages && ages.dueAtMs <= nowMs) return ['warn', 'Due'];
  return entry.isAgeKnown === false ? ['doubt', 'Age unknown'] : ['good', 'Healthy'];
}

const Status = ({ entry, nowMs }: { entry: AccountEntry; nowMs: number }) => {
  const [tone, word] = statusOf(entry, nowMs);
  return (
    <>
      <Tag tone={tone}>{word}</Tag>
      {entry.reason !== undefined && <span class="note">{entry.reason}</span>}
      <Dated text="Checked " ms={entry.checkedAtMs} nowMs={nowMs} />
      {entry.evidenceAtMs !== entry.checkedAtMs && (
        <Dated text="Last confirmed " ms={entry.evidenceAtMs} nowMs={nowMs} />
      )}
      {entry.failures > 1 && (
        <Dated
          text={`${counted(entry.failures, 'failure')} since `}
          ms={entry.failingSinceMs}
          nowMs={nowMs}
        />
      )}
    </>
  );
};

/** A note with its time; nothing when the time is not known. */
const Dated = (of: { text: string; ms: number | undefined; nowMs: number }) =>
  of.ms === undefined ? null : (
    <span class="note">
      {of.text}
      <Time ms={of.ms} nowMs={of.nowMs} />
    </span>
  );

type Failed = { readonly reason: Reason; readonly facts: Facts };

/** Why the account is not rotated, with everything that is known; null without a failure. */
function failureOf(entry: AccountEntry, common: Facts): Failed | null {
  const { account, reason, detail, blocked } = entry;
  const facts: Facts = { ...common, account: account.name, secretId: account.secretId, detail };
  if (blocked !== undefined)
    return { reason: 'secret-invalid', facts: { ...facts, cause: 'shared-user', detail: blocked } };
  if (reason === undefined) return null;
  return { reason, facts: { ...facts, ...entry.facts, detail: detail ?? entry.facts?.detail } };
}

/** What happened, what it means and what to do; without a failure, what happens next. */
const Advice = ({ entry, options }: { entry: AccountEntry; options: PageOptions }) => {
  const failure = failureOf(entry, options.facts);
  if (failure) return <Failure {...failure} />;
  if (entry.next !== '') return <p>{printable(entry.next)}</p>;
  const { enabled, exempt } = entry.account;
  if (!enabled) return <p>Rotated on request only.</p>;
  if (exempt && isExempt(entry, options.nowMs))
    return <p>{`Exempt until ${exempt.until}: ${printable(exempt.why)}`}</p>;
  if (isStale(entry, options.nowMs))
    return (
      <p>
        The last scheduled run did not read this account. See <a href="./readyz">Readiness</a> and
        the log of the service.
      </p>
    );
  const ages = agesOf(entry, options.nowMs);
  if (!ages) return null;
  return (
    <>
      {ages.dueAtMs <= options.nowMs ? (
        <p>The next scheduled run rotates it.</p>
      ) : (
        <p>
          Rotation is due <Time ms={ages.dueAtMs} nowMs={options.nowMs} />.
        </p>
      )}
      {entry.detail !== undefined && <p class="note">{printable(entry.detail)}</p>}
    </>
  );
};

const Failure = ({ reason, facts }: Failed) => {
  const { title, meaning, steps } = explain(reason, facts);
  const { detail, loginsSpent = 0 } = facts;
  return (
    <>
      <p>
        <b>{title.charAt(0).toUpperCase() + title.slice(1)}.</b> Password: {printable(meaning)}
      </p>
      {detail !== undefined && <p class="note">Detail: {printable(detail)}</p>}
      {loginsSpent > 0 && (
        <p class="note">Failed logins counted: {loginsSpent} of 3 (Verizon locks the user at 5).</p>
      )}
      <ul class="steps">
        {steps.map(({ text, command }) => (
          <li>
            {printable(text)}
            {command === undefined ? '.' : [':', <code>{printable(command)}</code>]}
          </li>
        ))}
      </ul>
    </>
  );
};

/** The limit is at three quarters of the bar, so that an age over it is visible. */
const AgeBar = ({ entry, nowMs }: { entry: AccountEntry; nowMs: number }) => {
  const ages = agesOf(entry, nowMs);
  const { maxAgeDays, rotateAfterDays } = entry.policy;
  if (!ages) return <span class="soft">unknown</span>;
  const { ageDays, daysLeft } = ages;
  if (entry.isAgeKnown === false)
    return <span class="soft">{`unknown; stored ${counted(Math.floor(ageDays), 'day')} ago`}</span>;
  const at = (age: number): number =>
    Math.min(100, Math.round((Math.max(0, age) / maxAgeDays) * 7500) / 100);
  const isWarned = ageDays >= rotateAfterDays || !isWell(entry, nowMs);
  const tone: Tone = isOverdue(entry, nowMs) ? 'bad' : isWarned ? 'warn' : 'good';
  return (
    <>
      <svg class="bar" viewBox="0 0 100 14" preserveAspectRatio="none" aria-hidden="true">
        <rect class="track" width="100" height="10" y="2" rx="1" />
        <rect class={tone} width={at(ageDays)} height="10" y="2" rx="1" />
        <rect class="due" x={at(rotateAfterDays)} width=".4" height="14" />
        <rect class="limit" x="75" width=".7" height="14" />
      </svg>
      {`${Math.floor(ageDays)} of ${maxAgeDays} days`}
      {daysLeft < 0 && `, ${counted(Math.ceil(-daysLeft), 'day')} over`}
    </>
  );
};

/** The address of this page with some of the query's values changed; null removes one. */
function linkTo(query: URLSearchParams, changes: Readonly<Record<string, string | null>>): string {
  const params = new URLSearchParams(query);
  for (const [name, value] of Object.entries(changes)) {
    if (value === null) params.delete(name);
    else params.set(name, value);
  }
  return params.size > 0 ? `./?${params}` : './';
}

type PageLinksProps = { page: number; pages: number; query: URLSearchParams };

const PageLinks = ({ page, pages, query }: PageLinksProps) => {
  const link = (to: number, text: string): Child => (
    <a href={linkTo(query, { page: String(to) })}>{text}</a>
  );
  return (
    <nav class="pages" aria-label="Pages">
      {page > 1 && [link(1, 'First'), link(page - 1, 'Previous')]}
      <span>{`Page ${page} of ${pages}`}</span>
      {page < pages && [link(page + 1, 'Next'), link(pages, 'Last')]}
    </nav>
  );
};

const Footer = ({ version, refreshSeconds, query }: PageOptions) => (
  <>
    <nav aria-label="Other pages">
      <a href="./audit">Compliance report</a>
      <a href="./metrics">Metrics</a>
      <a href="./readyz">Readiness</a>
    </nav>
    <p>
      {refreshSeconds > 0 ? (
        <>
          Auto-refresh every {refreshSeconds} s (<a href={linkTo(query, { refresh: '0' })}>pause</a>
          ).
        </>
      ) : (
        <>
          Auto-refresh is paused (<a href={linkTo(query, { refresh: null })}>resume</a>).
        </>
      )}
      {` thingspace-rotator ${version}`}
    </p>
  </>
);
