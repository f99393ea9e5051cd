// A progress bar on standard error, for more than one account on a terminal; nothing anywhere else.

import type { Shell } from './terminal.ts';

const width = 24;

/** `advance`: one account has finished. `aside`: hides the bar while `write` runs. */
export function openProgress({ stderr }: Shell, total: number, isQuiet: boolean) {
  if (!stderr.isTTY || total < 2 || isQuiet)
    return { advance: () => {}, aside: (write: () => void) => write(), end: () => {} };
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
    advance: (latest: string) => {
      [done, note] = [done + 1, latest];
      draw();
    },
    aside: (write: () => void) => {
      clear();
      write();
      draw();
    },
    end: clear,
  };
}
