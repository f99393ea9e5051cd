// The waits of the simulator. Each ends by its time, by `release`, or when the simulator closes;
// none outlives it.

/** How a wait ended. */
export type WaitEnd = 'released' | 'closing';

export type Waits = {
  /** Resolves after `ms`, or earlier when all waits end. */
  begin(ms: number): Promise<WaitEnd>;
  /** Ends all waits. */
  end(how: WaitEnd): void;
};

export function createWaits(): Waits {
  const waiting = new Set<(how: WaitEnd) => void>();
  return {
    begin: (ms) =>
      new Promise((resolve) => {
        const timer = Number.isFinite(ms)
          ? setTimeout(() => finish('released'), ms).unref()
          : undefined;
        const finish = (how: WaitEnd): void => {
          clearTimeout(timer);
          waiting.delete(finish);
          resolve(how);
        };
        waiting.add(finish);
      }),
    end: (how) => {
      for (const finish of [...waiting]) finish(how);
    },
  };
}
