// The system's clocks and timers. Only this file and simulator/ use them.

import { uptime } from 'node:os';
import type { Clock } from './rotation/ports.ts';

/**
 * The system clock. `remainingMs` is the platform's own countdown where there is one (a Lambda
 * context's getRemainingTimeInMillis); without it there is no limit.
 */
export function openClock(remainingMs: () => number = () => Number.POSITIVE_INFINITY): Clock {
  const elapsed = elapsedSince();
  return {
    nowMs: () => Date.now(),
    monotonicMs: elapsed,
    busyMs: () => performance.eventLoopUtilization().active,
    remainingMs,
    sleep: (ms, wake) =>
      new Promise((resolve) => {
        if (wake?.aborted) return resolve();
        // Zero means after the work that is ready now; a timer would take a millisecond.
        if (ms === 0) return void setImmediate(resolve);
        const done = (): void => {
          clearTimeout(timer);
          wake?.removeEventListener('abort', done);
          resolve();
        };
        // setTimeout fires at once for a delay above 2^31 ms.
        const timer = setTimeout(done, Math.min(ms, 2 ** 31 - 1));
        wake?.addEventListener('abort', done);
      }),
  };
}

/**
 * Milliseconds since the call, including the time in which the machine was suspended: Node's
 * monotonic clock stops then (CLOCK_MONOTONIC), the uptime does not. A process must notice when its
 * lease ended meanwhile.
 */
function elapsedSince(): () => number {
  const startedMs = performance.now();
  const startedUptimeMs = uptime() * 1000;
  const noticeableMs = 1_000;
  return () => {
    const running = performance.now() - startedMs;
    const passed = uptime() * 1000 - startedUptimeMs;
    return passed - running > noticeableMs ? passed : running;
  };
}
