import { jest } from '@jest/globals';

/** Sets `new Date()`, UTC milliseconds; timers stay real. `jest.useRealTimers()` ends it. */
export function itIs(ms: number): void {
  jest.useFakeTimers({
    now: ms,
    doNotFake: [
      'setTimeout',
      'setInterval',
      'setImmediate',
      'clearTimeout',
      'clearInterval',
      'clearImmediate',
      'queueMicrotask',
      'nextTick',
      'performance',
      'hrtime',
    ],
  });
}
