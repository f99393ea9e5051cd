// Entry point of the service: reads the configuration, opens log and metrics, and runs the service
// until a signal ends it. What a path responds is in server/app.ts, when an account is checked in
// scheduler/.

import { hostname } from 'node:os';
import type { Writable } from 'node:stream';
import { openClock } from './clock.ts';
import { loadConfig } from './config/load.ts';
import { openSystemd } from './server/sd-notify.ts';
import type { Service, Surroundings } from './server/service.ts';
import { runService, type SupervisorOptions } from './server/supervisor.ts';
import { openLog } from './telemetry/log.ts';
import { figuresOf, openMetrics } from './telemetry/prometheus.ts';
import { version } from './version.ts';

/** What the service needs of its process; the command line has it at hand. */
export type Host = Pick<Surroundings, 'pid' | 'user' | 'writeLine'> &
  Pick<SupervisorOptions, 'onSignal'> & {
    readonly env: Readonly<Record<string, string | undefined>>;
    readonly cwd: string;
    readonly flags: { readonly config?: string };
    readonly stderr: Writable & { readonly isTTY?: boolean };
  };

/** Runs until a signal; the exit code. Throws a UsageError or a Failure when it cannot start. */
export async function serve(host: Host): Promise<number> {
  const { env, cwd, pid, user, writeLine, stderr, onSignal } = host;
  const { config: configFile } = host.flags;
  const readConfig = () => loadConfig({ env, cwd, file: configFile });
  const config = await readConfig();
  const style = stderr.isTTY ? 'text' : 'json';
  const log = openLog({ level: config.log.level, style, stream: stderr });
  const clock = openClock();
  const onFailure = (detail: string): void => log.warn('systemd.failed', { detail });
  const systemd = openSystemd({ env, pid, onFailure });
  const current: { service: Service | null } = { service: null };
  const metrics = await openMetrics({
    figures: () => figuresOf(current.service?.daemon.statuses.entries() ?? [], clock.nowMs()),
    oldestNoticeMs: () => current.service?.oldestNoticeMs(),
    readiness: () => current.service?.lastReadiness() ?? null,
    clock,
    version,
  });
  const common = { pid, user, writeLine, log, clock, metrics };
  const surroundings = { ...common, hostname: hostname(), configFile };
  try {
    await runService(config, { readConfig, surroundings, systemd, onSignal, current });
    return 0;
  } finally {
    await log.close();
  }
}
