// schedule (alias next): the next runs, in UTC and in their time zone. Contacts nothing.

import { openClock } from '../clock.ts';
import { UsageError } from '../config/errors.ts';
import type { Config } from '../config/load.ts';
import { findScheduleProblem, nextRuns } from '../scheduler/cron.ts';
import { distance, isoTime, localTime } from '../time.ts';
import { readConfig } from './context.ts';
import { print, printTable, type Shell, tell } from './terminal.ts';

export async function schedule(shell: Shell, { count }: { count: number }): Promise<void> {
  const config = await readConfig(shell);
  const groups = groupAccounts(config);
  const problems = groups.flatMap((group) => findScheduleProblem(group) ?? []);
  if (problems.length > 0) throw new UsageError(problems);
  const listed = groups.map((group) => ({ group, runsMs: nextRuns(group, count) }));
  if (shell.flags.json) {
    const shown = listed.map(({ group, runsMs }) => ({
      ...group,
      runs: runsMs.map((ms) => ({ at: isoTime(ms), local: localTime(ms, group.timezone) })),
    }));
    print(shell, JSON.stringify(shown));
    return;
  }
  const nowMs = openClock().nowMs();
  for (const [index, { group, runsMs }] of listed.entries()) {
    const { cron, timezone, accounts } = group;
    if (shell.stdout.isTTY && !shell.flags.quiet) {
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
}

type Group = Config['schedule'] & { readonly accounts: string[] };

/** One group per schedule that an account has; the common schedule first. */
function groupAccounts({ accounts, schedule: common, discover }: Config): Group[] {
  const groups = new Map<string, Group>();
  const groupOf = (own: Config['schedule']): Group => {
    const key = JSON.stringify(own);
    const group = groups.get(key) ?? { ...own, accounts: [] };
    groups.set(key, group);
    return group;
  };
  const enabled = accounts.filter((account) => account.enabled);
  if (discover) groupOf(common).accounts.push(`every secret with the tag ${discover.tag}`);
  else if (enabled.length === 0 || enabled.some((account) => !account.schedule)) groupOf(common);
  for (const account of enabled) groupOf(account.schedule ?? common).accounts.push(account.name);
  return [...groups.values()];
}
