// next: the coming runs of the schedule, in its own time zone and in words. Contacts nothing.

import { openClock } from '../clock.ts';
import { UsageError } from '../config/errors.ts';
import type { Config } from '../config/load.ts';
import { outlook, problemWith } from '../scheduler/cron.ts';
import { isoTime } from '../time.ts';
import { readConfig } from './context.ts';
import { type CommonFlags, print, printTable, type Shell, tell } from './terminal.ts';

type Group = { readonly schedule: Config['schedule']; readonly accounts: readonly string[] };

export async function next(shell: Shell, flags: CommonFlags & { count?: string }): Promise<number> {
  const count = flags.count === undefined ? 5 : Number(flags.count);
  if (!Number.isInteger(count) || count < 1 || count > 1_000)
    throw new UsageError('--count takes a whole number from 1 to 1000');
  const config = await readConfig(shell, flags);
  const groups = groupsOf(config);
  const problems = groups.flatMap(({ schedule }) => problemWith(schedule) ?? []);
  if (problems.length > 0) throw new UsageError(problems);
  const nowMs = openClock().nowMs();
  const outlooks = groups.map(({ schedule, accounts }) => ({
    schedule,
    accounts,
    ...outlook(schedule, count, nowMs),
  }));

  if (flags.json) {
    const listed = outlooks.map(({ schedule, accounts, runs, sentences }) => ({
      ...schedule,
      accounts,
      runs: runs.map(({ atMs, local, remark }) => ({
        at: isoTime(atMs),
        local,
        remark: remark ?? null,
      })),
      remarks: sentences,
    }));
    print(shell, JSON.stringify(listed));
    return 0;
  }
  outlooks.forEach(({ accounts, runs, sentences }, index) => {
    if (shell.stdout.isTTY && !flags.quiet) {
      if (index > 0) print(shell, '');
      if (outlooks.length > 1) print(shell, `${accounts.join(', ')}:`);
      for (const sentence of sentences) print(shell, sentence);
    }
    // In a pipe: UTC first, then the local time, the wait, the remark.
    printTable(
      shell,
      ['RUN (UTC)', 'LOCAL', 'WAIT', ''],
      runs.map(({ atMs, local, inWords, remark }) => [isoTime(atMs), local, inWords, remark ?? '']),
    );
  });
  if (!config.discover && config.accounts.every(({ enabled }) => !enabled))
    tell(shell, 'no account is enabled: a run will rotate nothing');
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
