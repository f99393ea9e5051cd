// next: the next scheduled runs, in UTC and in the time zone of the schedule. Contacts nothing.

import { openClock } from '../clock.ts';
import { UsageError } from '../config/errors.ts';
import type { Config } from '../config/load.ts';
import { findScheduleProblem, nextRuns } from '../scheduler/cron.ts';
import { distance, isoTime, localTime } from '../time.ts';
import { readConfig } from './context.ts';
import { type CommonFlags, print, printTable, type Shell, tell } from './terminal.ts';

type Group = { readonly schedule: Config['schedule']; readonly accounts: readonly string[] };

export async function next(shell: Shell, flags: CommonFlags & { count?: string }): Promise<number> {
  const count = flags.count === undefined ? 5 : Number(flags.count);
  if (!Number.isInteger(count) || count < 1 || count > 1_000)
    throw new UsageError('--count takes a whole number from 1 to 1000');
  const config = await readConfig(shell, flags);
  const groups = groupsOf(config);
  const problems = groups.flatMap(({ schedule }) => findScheduleProblem(schedule) ?? []);
  if (problems.length > 0) throw new UsageError(problems);
  const nowMs = openClock().nowMs();
  const listed = groups.map(({ schedule, accounts }) => ({
    ...schedule,
    accounts,
    runsMs: nextRuns(schedule, count),
  }));

  if (flags.json) {
    const shown = listed.map(({ runsMs, ...group }) => ({
      ...group,
      runs: runsMs.map((ms) => ({ at: isoTime(ms), local: localTime(ms, group.timezone) })),
    }));
    print(shell, JSON.stringify(shown));
    return 0;
  }
  listed.forEach(({ cron, timezone, accounts, runsMs }, index) => {
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
  });
  if (!config.discover && config.accounts.every(({ enabled }) => !enabled))
    tell(shell, 'No account is enabled, so a run rotates nothing.');
  return 0;
}

/** One group per schedule that an account has; those without their own, and those discovered, first. */
function groupsOf({ accounts, schedule, discover }: Config): Group[] {
  const groups = new Map<string, { schedule: Config['schedule']; accounts: string[] }>();
  const enabled = accounts.filter((account) => account.enabled);
  const isCommonUsed =
    discover !== undefined || enabled.length === 0 || enabled.some((account) => !account.schedule);
  if (isCommonUsed)
    groups.set(JSON.stringify(schedule), {
      schedule,
      accounts: discover ? [`every secret with the tag ${discover.tag}`] : [],
    });
  for (const account of enabled) {
    const own = account.schedule ?? schedule;
    const group = groups.get(JSON.stringify(own)) ?? { schedule: own, accounts: [] };
    group.accounts.push(account.name);
    groups.set(JSON.stringify(own), group);
  }
  return [...groups.values()];
}
