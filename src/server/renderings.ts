// What reading requests get: rendered at most once in a while, and once at a time, however many
// clients ask, because rendering takes time of the loop that rotates.

import type { Clock } from '../rotation/ports.ts';

/** Encoded once, for all clients. */
export type Rendering = { readonly contentType: string; readonly body: Uint8Array<ArrayBuffer> };

export type Renderings = ReturnType<typeof createRenderings>;

export function createRenderings(clock: Pick<Clock, 'monotonicMs'>) {
  const kept = new Map<string, { readonly value: Promise<Rendering>; untilMs: number }>();
  return {
    /**
     * What `render` gave for this key at most `keptMs` ago; clients that ask meanwhile wait for the
     * same rendering. Rejects as `render` does, and keeps no failure.
     */
    get(key: string, keptMs: number, render: () => Promise<Rendering>): Promise<Rendering> {
      const nowMs = clock.monotonicMs();
      for (const [name, { untilMs }] of kept) if (untilMs <= nowMs) kept.delete(name);
      const known = kept.get(key);
      if (known) return known.value;
      const made = { value: render(), untilMs: Number.POSITIVE_INFINITY };
      kept.set(key, made);
      made.value.then(
        () => {
          made.untilMs = clock.monotonicMs() + keptMs;
        },
        () => kept.delete(key),
      );
      return made.value;
    },
  };
}
