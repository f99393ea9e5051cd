// A progress bar on standard error, for more than one account on a terminal; nothing anywhere else.

import type { Shell } from './terminal.ts';

export type Progress = {
  /** One account has finished. */
  advance(note: string): void;
  /** Hides the bar while `write` runs. */
  aside(write: () => void): void;
  end(): void;
};

const width = 24;

export function openProgress({ stderr }: Shell, total: number, isQuiet: boolean): Progress {
  if (!stderr.isTTY || total < 2 || isQuiet)
    return { advance: () => {}, aside: (write) => write(), end: () => {} };
  let [done, note] = [0, ''];
  const clear = (): void => {
    stderr.write('\r\u001b[K');
  };
  const draw = (): void => {
    const filled = Math.round((width * done) / total);
    const line = `${'█'.repeat(filled)}${'░'.repeat(width - filled)} ${done} of ${total}  ${note}`;
    stderr.write(`\r${line.slice(0, Math.max(20, (stderr.columns || 80) - 1))}\u001b[K`);
  };
  draw();
  return {
    advance: (latest) => {
      [done, note] = [done + 1, latest];
      draw();
    },
    aside: (write) => {
      clear();
      write();
      draw();
    },
    end: clear,
  };
}
