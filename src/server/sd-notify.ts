// Notifications to systemd (sd_notify(3)): ready, reloading, stopping, watchdog. Node cannot write
// to a datagram socket, so the program `systemd-notify` does it; the unit must set
// NotifyAccess=all. Without NOTIFY_SOCKET nothing is sent.

import { execFile } from 'node:child_process';
import pLimit from 'p-limit';

export type Systemd = ReturnType<typeof openSystemd>;

export type SystemdOptions = {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly pid: number;
  /** Called once, when a notification cannot be sent. */
  readonly onFailure: (detail: string) => void;
};

const command = 'systemd-notify';
const timeoutMs = 5_000;
const statusEveryMs = 30_000;

export function openSystemd({ env, pid, onFailure }: SystemdOptions) {
  const socket = env['NOTIFY_SOCKET'];
  const childEnv = { NOTIFY_SOCKET: socket, PATH: env['PATH'] ?? '/usr/bin:/bin' };
  const watchdogUsec = Number(env['WATCHDOG_USEC'] ?? 0);
  const isForThisProcess = env['WATCHDOG_PID'] === undefined || env['WATCHDOG_PID'] === String(pid);
  const hasWatchdog = Boolean(socket) && isForThisProcess && watchdogUsec > 0;
  const everyMs = hasWatchdog ? Math.floor(watchdogUsec / 2_000) : statusEveryMs;
  const inOrder = pLimit(1);
  let hasFailed = false;

  const fail = (detail: string): void => {
    if (!hasFailed) onFailure(detail);
    hasFailed = true;
  };
  const send = (assignments: readonly string[]): Promise<void> =>
    new Promise((resolve) => {
      execFile(command, assignments, { env: childEnv, timeout: timeoutMs }, (error) => {
        if (typeof error?.code === 'string') fail(`${command} cannot be started (${error.code})`);
        else if (error) fail(`${command} ended with ${error.code ?? 'a signal'}`);
        resolve();
      });
    });

  return {
    /** Sends assignments such as `READY=1`, in order. Bounded in time; never rejects. */
    notify: async (...assignments: string[]): Promise<void> => {
      if (socket) await inOrder(() => send(assignments));
    },
    /** Whether systemd expects WATCHDOG=1 of this process. */
    hasWatchdog,
    /**
     * How often to send the status and WATCHDOG=1, in milliseconds: twice in the limit of systemd;
     * null where nobody listens.
     */
    everyMs: socket ? everyMs : null,
  };
}
