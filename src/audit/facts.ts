// The facts that a report replays: which accounts there are, the limits, and who is exempt. They
// are records, written by one function wherever accounts are read, whenever they differ from what
// the log last says.

import { createHash } from 'node:crypto';
import type { AuditWriter } from './log.ts';
import { listRecords } from './query.ts';
import type { RecordView } from './record.ts';
import type { LogEvent } from './schema.ts';

/** The age at which the next run rotates a password, and the largest permitted one; days. */
export type Limits = { readonly maxAgeDays: number; readonly rotateAfterDays: number };

/** An account that need not follow the policy, up to and including an ISO date. */
export type Exemption = { readonly who: string; readonly why: string; readonly until: string };

export type AccountFacts = {
  readonly name: string;
  readonly secretId?: string | undefined;
  /** Its own limits; without them those of the fleet apply. */
  readonly policy?: Limits | undefined;
  readonly exempt?: Exemption | undefined;
};

export type Facts = { readonly accounts: readonly AccountFacts[]; readonly policy: Limits };

const limitsOf = (from: Limits | undefined) =>
  from && ([from.maxAgeDays, from.rotateAfterDays] as const);
const exemptionOf = (from: Exemption | undefined) => from && [from.who, from.why, from.until];
const isSame = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b);

/** SHA-256, hex, over all facts: `inventory.summary` carries it. */
function factsHash({ accounts, policy }: Facts): string {
  const hash = createHash('sha256').update(`${JSON.stringify(limitsOf(policy))}\n`);
  for (const one of [...accounts].sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const facts = [one.name, one.secretId, limitsOf(one.policy), exemptionOf(one.exempt)];
    hash.update(`${JSON.stringify(facts)}\n`);
  }
  return hash.digest('hex');
}

/** The log takes a bounded number of events at once. */
const eventsPerAppend = 500;

/**
 * Appends what differs between `facts` and the log. Reads the log only when the newest
 * `inventory.summary` has another hash. Throws `audit-unavailable`.
 */
export async function recordFacts(
  audit: Pick<AuditWriter, 'append' | 'source' | 'factsHash'>,
  facts: Facts,
): Promise<void> {
  const sha256 = factsHash(facts);
  if (audit.factsHash() === sha256) return;
  const names = facts.accounts.map(({ name }) => name);
  const summary = { code: 'inventory.summary', accounts: names, factsSha256: sha256 } as const;
  const events = [...changesBetween(await readFacts(audit), facts), summary];
  for (let from = 0; from < events.length; from += eventsPerAppend)
    await audit.append(events.slice(from, from + eventsPerAppend));
}

/**
 * Appends an account that Secrets Manager rotates, unless that is recorded. Runs over the accounts
 * do not find it, and do not say that it was removed. Resolves with whether it appended. Throws
 * `audit-unavailable`.
 */
export async function recordNativeAccount(
  audit: Pick<AuditWriter, 'append' | 'nativeAccounts'>,
  account: AccountFacts,
): Promise<boolean> {
  if (audit.nativeAccounts().has(account.name)) return false;
  const trigger = { kind: 'native' } as const;
  await audit.append(accountChanges(undefined, account).map((event) => ({ ...event, trigger })));
  return true;
}

type KnownAccount = AccountFacts & { readonly isNative: boolean };
type Known = { readonly accounts: Map<string, KnownAccount>; policy: Limits | undefined };

/** The facts as the log last says them. */
async function readFacts({ source }: Pick<AuditWriter, 'source'>): Promise<Known> {
  const known: Known = { accounts: new Map(), policy: undefined };
  const views: RecordView[] = [];
  for (const event of ['inventory.changed', 'policy.changed', 'exemption.changed'])
    for await (const { view } of listRecords(source, { event })) views.push(view);
  for (const view of views.sort((a, b) => a.sequence - b.sequence)) addFact(known, view);
  return known;
}

/** An account that was removed begins without limits and exemption when it is added again. */
function addFact(known: Known, view: RecordView): void {
  const { code, account: name, change, secretId, trigger } = view;
  const isNative = trigger === 'native';
  if (name === undefined) {
    if (code === 'policy.changed') known.policy = limitsIn(view);
    return;
  }
  const before = known.accounts.get(name);
  if (code === 'inventory.changed' && change === 'removed') known.accounts.delete(name);
  else if (code === 'inventory.changed')
    known.accounts.set(name, { ...before, name, secretId, isNative });
  else if (before && code === 'policy.changed')
    known.accounts.set(name, { ...before, policy: limitsIn(view) });
  else if (before) known.accounts.set(name, { ...before, exempt: exemptionIn(view) });
}

/** The limits in a `policy.changed`; `undefined`: the account follows the fleet again. */
export function limitsIn({ maxAgeDays, rotateAfterDays }: RecordView): Limits | undefined {
  if (maxAgeDays === undefined || rotateAfterDays === undefined) return undefined;
  return { maxAgeDays, rotateAfterDays };
}

/** The exemption in an `exemption.changed`; `undefined`: it ended. */
export function exemptionIn(view: RecordView): Exemption | undefined {
  const { change, exemptBy: who = '', exemptWhy: why = '', exemptUntil: until = '' } = view;
  return change === 'removed' ? undefined : { who, why, until };
}

function changesBetween(before: Known, { accounts, policy }: Facts): LogEvent[] {
  const names = new Set(accounts.map(({ name }) => name));
  const removed = [...before.accounts.values()].filter(
    ({ name, isNative }) => !isNative && !names.has(name),
  );
  const fleet: LogEvent[] = isSame(limitsOf(before.policy), limitsOf(policy))
    ? []
    : [{ code: 'policy.changed', ...policy, ...limitsBefore(before.policy) }];
  return [
    ...fleet,
    ...removed.map(({ name, secretId }) => inventoryEvent('removed', name, secretId)),
    ...accounts.flatMap((account) => accountChanges(before.accounts.get(account.name), account)),
  ];
}

function accountChanges(before: KnownAccount | undefined, now: AccountFacts): LogEvent[] {
  const { name: account, secretId, policy, exempt } = now;
  const events: LogEvent[] = [];
  if (before === undefined || before.isNative)
    events.push(inventoryEvent('added', account, secretId));
  else if (before.secretId !== secretId) events.push(inventoryEvent('moved', account, secretId));
  if (!isSame(limitsOf(before?.policy), limitsOf(policy)))
    events.push({ code: 'policy.changed', account, ...policy, ...limitsBefore(before?.policy) });
  if (!isSame(exemptionOf(before?.exempt), exemptionOf(exempt))) {
    const ended = exempt ?? before?.exempt;
    const { who: exemptBy = '', why: exemptWhy = '', until: exemptUntil = '' } = ended ?? {};
    const change = exempt ? 'added' : 'removed';
    events.push({ code: 'exemption.changed', change, account, exemptBy, exemptWhy, exemptUntil });
  }
  return events;
}

const inventoryEvent = (
  change: 'added' | 'removed' | 'moved',
  account: string,
  secretId: string | undefined,
): LogEvent => ({ code: 'inventory.changed', change, account, ...(secretId ? { secretId } : {}) });

const limitsBefore = (before: Limits | undefined) =>
  before && {
    maxAgeDaysBefore: before.maxAgeDays,
    rotateAfterDaysBefore: before.rotateAfterDays,
  };
