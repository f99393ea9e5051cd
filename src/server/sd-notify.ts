// What systemd is told (sd_notify(3)): ready, reloading, stopping, alive. Node cannot write to a datagram socket, so a
// child, `systemd-notify`, does it; the unit says NotifyAccess=all. Never required: without NOTIFY_SOCKET nothing happens.

import { spawn } from 'node:child_process';

export type Systemd = {
  /** Sends `READY=1` and the like, in order; best effort, bounded in time, never rejects. */
  notify(...assignments: string[]): Promise<void>;
  /** How often to say WATCHDOG=1, in milliseconds: half of what systemd waits for; null when it does not wait. */
  readonly watchdogMs: number | null;
};

export type SystemdOptions = {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly pid: number;
  /** Told once when it does not work. */
  readonly onTrouble: (detail: string) => void;
  /** The program; a test has its own. */
  readonly command?: string;
};

const patienceMs = 5_000;

export function openSystemd({
  env,
  pid,
  onTrouble,
  command = 'systemd-notify',
}: SystemdOptions): Systemd {
  const socket = env['NOTIFY_SOCKET'];
  if (!socket) return { notify: async () => {}, watchdogMs: null };
  const childEnv = { NOTIFY_SOCKET: socket, PATH: env['PATH'] ?? '/usr/bin:/bin' };
  const usec = Number(env['WATCHDOG_USEC'] ?? 0);
  const isOurs = env['WATCHDOG_PID'] === undefined || env['WATCHDOG_PID'] === String(pid);
  let last: Promise<void> = Promise.resolve();
  let isTold = false;

  const trouble = (detail: string): void => {
    if (!isTold) onTrouble(detail);
    isTold = true;
  };

  const send = (assignments: readonly string[]): Promise<void> =>
    new Promise((resolve) => {
      const child = spawn(command, [...assignments], {
        env: childEnv,
        stdio: 'ignore',
        timeout: patienceMs,
      });
      child.once('error', (error) => {
        trouble(`${command}: ${(error as NodeJS.ErrnoException).code ?? 'cannot be started'}`);
        resolve();
      });
      child.once('exit', (code) => {
        if (code !== 0) trouble(`${command} ended with ${code ?? 'a signal'}`);
        resolve();
      });
    });

  return {
    notify: (...assignments) => {
      last = last.then(() => send(assignments));
      return last;
    },
    watchdogMs: isOurs && usec > 0 ? Math.floor(usec / 2_000) : null,
  };
}
