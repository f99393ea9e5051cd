// schedule (alias next): the next runs of each schedule, in UTC and in its time zone. Contacts
// nothing.

import { openClock } from '../clock.ts';
import { UsageError } from '../config/errors.ts';
import type { Config } from '../config/load.ts';
import { findScheduleProblem, nextRuns } from '../scheduler/cron.ts';
import { distance, isoTime, localTime } from '../time.ts';
import { readConfig } from './context.ts';
import { type CommonFlags, print, printTable, type Shell, tell } from './terminal.ts';

type Group = { readonly schedule: Config['schedule']; readonly accounts: string[] };

export async function schedule(
  shell: Shell,
  flags: CommonFlags & { count?: string },
): Promise<number> {
  const count = flags.count === undefined ? 5 : Number(flags.count);
  if (!Number.isInteger(count) || count < 1 || count > 1_000)
    throw new UsageError('--count takes an integer from 1 to 1000.');
  const config = await readConfig(shell, flags);
  const groups = groupAccounts(config);
  const problems = groups.flatMap((group) => findScheduleProblem(group.schedule) ?? []);
  if (problems.length > 0) throw new UsageError(problems);
  const listed = groups.map(({ schedule: own, accounts }) => ({
    ...own,
    accounts,
    runsMs: nextRuns(own, count),
  }));

  if (flags.json) {
    const shown = listed.map(({ runsMs, ...group }) => ({
      ...group,
      runs: runsMs.map((ms) => ({ at: isoTime(ms), local: localTime(ms, group.timezone) })),
    }));
    print(shell, JSON.stringify(shown));
    return 0;
  }
  const nowMs = openClock().nowMs();
  for (const [index, { cron, timezone, accounts, runsMs }] of listed.entries()) {
    if (shell.stdout.isTTY && !flags.quiet) {
      if (index > 0) print(shell, '');
      if (listed.length > 1) print(shell, `${accounts.join(', ')}:`);
      print(shell, `Schedule: ${cron}, time zone ${timezone}.`);
    }
    printTable(
      shell,
      ['RUN (UTC)', 'LOCAL', 'WAIT'],
      runsMs.map((ms) => [isoTime(ms), localTime(ms, timezone), distance(ms - nowMs)]),
    );
  }
  if (!config.discover && config.accounts.every(({ enabled }) => !enabled))
    tell(shell, 'No account is enabled: scheduled runs rotate nothing.');
  return 0;
}

/** One group per schedule that an account has; the common schedule first. */
function groupAccounts({ accounts, schedule: common, discover }: Config): Group[] {
  const groups = new Map<string, Group>();
  const groupOf = (own: Config['schedule']): Group => {
    const key = JSON.stringify(own);
    const group = groups.get(key) ?? { schedule: own, accounts: [] };
    groups.set(key, group);
    return group;
  };
  const enabled = accounts.filter((account) => account.enabled);
  if (discover) groupOf(common).accounts.push(`every secret with the tag ${discover.tag}`);
  else if (enabled.length === 0 || enabled.some((account) => !account.schedule)) groupOf(common);
  for (const account of enabled) groupOf(account.schedule ?? common).accounts.push(account.name);
  return [...groups.values()];
}
