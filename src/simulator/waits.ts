// The waits of the simulator. Each ends by its time, by `release`, or when the simulator closes;
// none outlives it.

/** How a wait ended. */
export type WaitEnd = 'released' | 'closing';

export type Waits = ReturnType<typeof createWaits>;

export function createWaits() {
  const waiting = new Set<(how: WaitEnd) => void>();
  return {
    /** Resolves after `ms`, or earlier when all waits end. */
    begin: (ms: number): Promise<WaitEnd> =>
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
    /** Ends all waits. */
    end: (how: WaitEnd): void => {
      for (const finish of [...waiting]) finish(how);
    },
  };
}
